/*
 * adopt.c
 *		A restored view's output against its query: the comparison of verify(), put to the windows of a dump.
 *
 * The stream side is the restored table, the batch side the view's query over all stored rows, both up to the end of the
 * last window restored.  The statement runs in the worker, in a tick, as the view's owner (worker/adopt.c).
 *
 * How many rows a window lacks can be told where the view shows an unfiltered count(*) of each group: by how much the
 * counts differ.  Elsewhere each result that differs stands for one row, and where results are compared with a tolerance
 * the window for one, so that it is at least so many.
 */
#include "verify/verify_internal.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "worker/dataflow.h"

static const char *
time_type_name(const SfVerification *verification)
{
	return verification->definition->time_type == TIMESTAMPTZOID ? "pg_catalog.timestamptz" : "pg_catalog.timestamp";
}

static char *
relation_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
}

static const char *
column_name(Relation rel, AttrNumber attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
}

/* The view's columns of the output table, as a query to be put in the view's place. */
Query *
sf_adopted_side(const SfVerification *verification)
{
	Relation output = table_open(verification->row->output, AccessShareLock);
	int ncolumns = list_length(verification->definition->target);
	StringInfoData text;
	Query *query;

	initStringInfo(&text);
	for (int i = 1; i <= ncolumns; i++)
		appendStringInfo(&text, "%s%s", i == 1 ? "SELECT " : ", ", column_name(output, i));
	appendStringInfo(&text, " FROM ONLY %s", relation_name(output));
	query = parse_analyze_fixedparams(linitial_node(RawStmt, raw_parser(text.data, RAW_PARSE_DEFAULT)), text.data, NULL,
	                                  0, NULL);
	/* Windows that the view has closed since are none of the dump's. */
	sf_verify_keep_until(verification, query, 1, verification->definition->output_window_end,
	                     verification->adopted_until);
	table_close(output, NoLock);
	return query;
}

static bool
is_count_of_rows(Expr *expr)
{
	Aggref *aggregate = (Aggref *) expr;

	return IsA(aggregate, Aggref) && aggregate->aggfnoid == F_COUNT_ && aggregate->aggfilter == NULL;
}

/*
 * The view's column that is count(*) of each group, or 0.  A row is counted once in each grouping set.  HAVING would leave
 * groups out.
 */
static AttrNumber
count_column(const SfDefinition *definition)
{
	ListCell *cell;

	if (definition->having != NULL)
		return 0;
	foreach (cell, definition->target)
	{
		Var *var = (Var *) lfirst_node(TargetEntry, cell)->expr;
		int aggregate = IsA(var, Var) ? var->varattno - 3 - definition->nkeys : -1;

		if (aggregate >= 0 && is_count_of_rows(list_nth(definition->aggrefs, aggregate)))
			return foreach_current_index(cell) + 1;
	}
	return 0;
}

static bool
has_tolerance(const SfVerification *verification, Relation view)
{
	TupleDesc desc = RelationGetDescr(view);

	for (int i = 0; i < desc->natts; i++)
		if (sf_verify_is_float(verification, i, TupleDescAttr(desc, i)->atttypid))
			return true;
	return false;
}

/* A column of a difference, which is an object of the view's columns. */
static char *
difference_column(const SfVerification *verification, Relation view, AttrNumber attnum)
{
	if (attnum == 0)
		return psprintf("CAST(NULL AS %s)", time_type_name(verification));
	return psprintf("CAST(d.r OPERATOR(pg_catalog.->>) %s AS %s)",
	                quote_literal_cstr(NameStr(TupleDescAttr(RelationGetDescr(view), attnum - 1)->attname)),
	                time_type_name(verification));
}

/*
 * window_start, rows, window_end: for each window that differs.  The end is null where the view does not show it.  A view
 * that does not show window_start cannot say which window a difference is of, so that it may be any.
 */
static char *
differences_statement(const SfVerification *verification, Relation view, Relation output)
{
	const SfDefinition *definition = verification->definition;
	AttrNumber start = sf_view_column(definition, 1);
	AttrNumber count = count_column(definition);
	char *compare = sf_verify_statement(verification, view);
	StringInfoData out;
	char *rows;

	if (count != 0)
		rows = psprintf(
		    "pg_catalog.abs(pg_catalog.sum(CASE d.side WHEN 'batch' THEN d.n ELSE OPERATOR(pg_catalog.-) d.n "
		    "END OPERATOR(pg_catalog.*) CAST(d.r OPERATOR(pg_catalog.->>) %s AS pg_catalog.int8))) "
		    "OPERATOR(pg_catalog./) %d",
		    quote_literal_cstr(NameStr(TupleDescAttr(RelationGetDescr(view), count - 1)->attname)),
		    Max(definition->nsets, 1));
	else if (has_tolerance(verification, view))
		rows = pstrdup("1");
	else
		rows = pstrdup("pg_catalog.sum(d.n) FILTER (WHERE d.side OPERATOR(pg_catalog.=) 'batch')");

	initStringInfo(&out);
	if (start != 0)
		appendStringInfo(
		    &out,
		    "SELECT x.s, GREATEST(CAST(%s AS pg_catalog.int8), 1), x.e FROM (%s) AS d (side, r, n) CROSS JOIN LATERAL "
		    "(SELECT %s, %s) AS x (s, e) GROUP BY x.s, x.e ORDER BY x.s, x.e",
		    rows, compare, difference_column(verification, view, start),
		    difference_column(verification, view, sf_view_column(definition, 2)));
	else
		appendStringInfo(
		    &out,
		    "SELECT DISTINCT o.%s, CAST(1 AS pg_catalog.int8), o.%s FROM ONLY %s AS o WHERE EXISTS (%s) ORDER BY 1, 3",
		    column_name(output, definition->output_window_start), column_name(output, definition->output_window_end),
		    relation_name(output), compare);
	return out.data;
}

static List *
add_window(List *differences, SfTime start, SfTime end, int64 rows)
{
	SfAdoptedDifference *difference = palloc(sizeof(SfAdoptedDifference));

	*difference = (SfAdoptedDifference){start, end, rows};
	return lappend(differences, difference);
}

/* The windows of the dump that start at a time, or the one that also ends at *end.  A session is known by its start. */
static List *
add_windows(List *differences, const SfVerification *verification, SfTime start, const SfTime *end, int64 rows)
{
	const SfSessionSpec *session = verification->definition->session;
	SfWindowIterator windows;

	if (session != NULL)
		return add_window(differences, start, end != NULL ? *end : start + session->gap, rows);
	sf_windows_of(&windows, &verification->definition->window, start);
	while (sf_windows_next(&windows))
	{
		if (windows.start != start || windows.end > verification->adopted_until || (end != NULL && windows.end != *end))
			continue;
		differences = add_window(differences, windows.start, windows.end, rows);
	}
	return differences;
}

static List *
collect_differences(const SfVerification *verification, MemoryContext context)
{
	List *differences = NIL;
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		bool no_end;
		bool isnull;
		SfTime start = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		int64 rows = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
		SfTime end = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 3, &no_end));

		CHECK_FOR_INTERRUPTS();
		differences = add_windows(differences, verification, start, no_end ? NULL : &end, rows);
	}
	MemoryContextSwitchTo(old);
	return differences;
}

/* Under the active snapshot, as the current user; the relations are locked.  The list is in the caller's context. */
List *
sf_compare_adopted(const SfFragmentRow *row, SfDefinition *definition, const SfProgress *progress)
{
	MemoryContext context = CurrentMemoryContext;
	SfVerification verification = {.view = row->view,
	                               .row = row,
	                               .definition = definition,
	                               .adoption = true,
	                               .adopted_until = row->adopted_until,
	                               .tick_context = context,
	                               .progress = *progress,
	                               .snapshot = GetActiveSnapshot(),
	                               .from = SF_TIME_MINUS_INFINITY,
	                               .to = SF_TIME_INFINITY};
	SPIExecuteOptions options = {.read_only = true};
	Relation view = table_open(row->view, NoLock);
	Relation output = table_open(row->output, NoLock);
	List *differences;

	sf_verify_read_failed(&verification);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (sf_verify_run(&verification, differences_statement(&verification, view, output), &options) != SPI_OK_SELECT)
		elog(ERROR, "comparison of a restored view was not run as a query");
	differences = collect_differences(&verification, context);
	SPI_finish();
	table_close(output, NoLock);
	table_close(view, NoLock);
	return differences;
}
