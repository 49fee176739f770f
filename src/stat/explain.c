/*
 * explain.c
 *		streamfuse.explain(): what of a view is maintained, and how; or what would be of a query.
 *
 * Of a view whoever may call it learns what its stored query says, which anybody may read in pg_matviews, and figures
 * that streamfuse.stat_views shows to all.  What of its query is evaluated meanwhile (constants) is evaluated as the
 * view's owner, under the view's settings.  A query is looked at as its caller: CREATE would raise the same errors.
 */
#include "stat/explain.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "plan/fragment.h"
#include "plan/view.h"
#include "read/live.h"
#include "state/catalog.h"

PG_FUNCTION_INFO_V1(sf_explain);
PG_FUNCTION_INFO_V1(sf_explain_view);

typedef enum Format
{
	FORMAT_TEXT,
	FORMAT_JSON,
	FORMAT_DOT,
} Format;

static Format
parse_format(const char *name)
{
	if (pg_strcasecmp(name, "text") == 0)
		return FORMAT_TEXT;
	if (pg_strcasecmp(name, "json") == 0)
		return FORMAT_JSON;
	if (pg_strcasecmp(name, "dot") == 0)
		return FORMAT_DOT;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized format \"%s\"", name),
	                errhint("Formats are \"text\", \"json\" and \"dot\".")));
}

/* ---- a query ---- */

/* An error's place is one in the query that is explained, not in the one that calls us. */
static void
place_error(void *arg)
{
	int position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(arg);
}

static Query *
analyse_query(const char *text)
{
	List *statements = pg_parse_query(text);
	RawStmt *statement = list_length(statements) == 1 ? linitial_node(RawStmt, statements) : NULL;

	if (statement == NULL || !IsA(statement->stmt, SelectStmt) || ((SelectStmt *) statement->stmt)->intoClause != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("can explain one continuous view or one SELECT"),
		                errhint("Leave out what comes before SELECT.")));
	return parse_analyze_fixedparams(statement, text, NULL, 0, NULL);
}

static SfExplainNode *
explain_query(char *text)
{
	ErrorContextCallback callback = {.callback = place_error, .arg = text, .previous = error_context_stack};
	SfExplainNode *model;
	Query *query;

	error_context_stack = &callback;
	query = analyse_query(text);
	sf_fix_time_zone(query);
	model = sf_explain_model(sf_define_new(copyObject(query)), query, InvalidOid);
	error_context_stack = callback.previous;
	return model;
}

/* ---- a view ---- */

static SfExplainNode *
explain_view(Oid view)
{
	Query *query;

	if (!sf_is_continuous_view(view))
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous view", get_rel_name(view))));
	query = sf_view_query(view);
	AcquireRewriteLocks(query, false, false);
	return sf_explain_model(sf_read_definition(CurrentMemoryContext, view), query, view);
}

/* Is the text a name, maybe qualified and quoted?  No query is: what follows its first word is not a dot. */
static List *
parse_name(const char *text)
{
	List *words;
	List *names = NIL;
	ListCell *cell;

	if (!SplitIdentifierString(pstrdup(text), '.', &words))
		return NIL;
	foreach (cell, words)
		names = lappend(names, makeString(lfirst(cell)));
	return names;
}

static SfExplainNode *
explain_target(char *text)
{
	List *names = parse_name(text);

	if (names == NIL)
		return explain_query(text);
	return explain_view(RangeVarGetRelid(makeRangeVarFromNameList(names), AccessShareLock, false));
}

/* ---- the functions ---- */

static void
put_line(ReturnSetInfo *result, const char *line)
{
	Datum value = CStringGetTextDatum(line);
	bool isnull = false;

	tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
}

static Datum
print_model(FunctionCallInfo fcinfo, const SfExplainNode *model, Format format)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (format == FORMAT_JSON)
		put_line(result, sf_explain_json(model));
	else if (format == FORMAT_DOT)
		put_line(result, sf_explain_dot(model));
	else
		foreach (cell, sf_explain_text(model))
			put_line(result, lfirst(cell));
	return (Datum) 0;
}

/* explain(target text, format text) returns setof text: lines of text, or one document */
Datum
sf_explain(PG_FUNCTION_ARGS)
{
	char *target = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Format format = parse_format(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	sf_require_preload();
	sf_require_layout();
	return print_model(fcinfo, explain_target(target), format);
}

/* explain(view regclass, format text): the same for a view that is at hand */
Datum
sf_explain_view(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	Format format = parse_format(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	sf_require_preload();
	sf_require_layout();
	LockRelationOid(view, AccessShareLock);
	if (get_rel_name(view) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", view)));
	return print_model(fcinfo, explain_view(view), format);
}
