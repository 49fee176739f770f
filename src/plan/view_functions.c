/*
 * view_functions.c
 *		The SQL functions that tell about one continuous view: its output table, its status, hints.
 *
 * They read catalogs and shared memory and change nothing.  What they say of a view's status is a glance: it may be
 * another one by the time the row is shown.
 */
#include "plan/view.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "plan/hints.h"
#include "state/shared.h"
#include "state/store.h"

PG_FUNCTION_INFO_V1(streamfuse_output);
PG_FUNCTION_INFO_V1(streamfuse_view_status);
PG_FUNCTION_INFO_V1(streamfuse_view_hints);
PG_FUNCTION_INFO_V1(streamfuse_view_exemptions);

/* streamfuse.output(view): the table of closed results. */
Datum
streamfuse_output(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);

	sf_require_preload();
	if (get_rel_name(view) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", view)));
	if (!sf_is_continuous_view(view))
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous view", get_rel_name(view))));
	sf_view_require_active(view);
	PG_RETURN_OID(sf_view_output(view));
}

/*
 * streamfuse.view_status(view): inert, starting, backfilling, running, retrying, paused or failed.  A view that the
 * worker does not know yet is starting.
 */
Datum
streamfuse_view_status(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	SfFragmentRow *row;
	SfGlance glance;

	sf_require_preload();
	if (!sf_is_continuous_view(view))
		PG_RETURN_NULL();
	row = OidIsValid(sf_view_output(view)) ? sf_fragment_row(view) : NULL;
	if (row == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("inert"));
	if (!sf_fragment_glance(sf_dataflow_get(MyDatabaseId, false), view, &glance))
		glance = (SfGlance){.status = SF_FRAGMENT_STARTING, .resumes = row->resumes};
	PG_RETURN_TEXT_P(cstring_to_text(
	    sf_status_word(glance.status, glance.retry_at != 0, row->paused, glance.resumes != row->resumes)));
}

/* Does it collect its arguments, in the order in which they come? */
static bool
collects_in_order(const Aggref *aggregate)
{
	switch (aggregate->aggfnoid)
	{
		case F_ARRAY_AGG_ANYNONARRAY:
		case F_ARRAY_AGG_ANYARRAY:
		case F_STRING_AGG_TEXT_TEXT:
		case F_STRING_AGG_BYTEA_BYTEA:
		case F_JSON_AGG:
		case F_JSONB_AGG:
		case F_JSON_OBJECT_AGG:
		case F_JSONB_OBJECT_AGG:
			return aggregate->aggorder == NIL;
		default:
			return aggregate->aggfnoid >= FirstNormalObjectId && aggregate->aggorder == NIL;
	}
}

/* streamfuse.view_hints(view, streams): what its user should know, one sentence each; an empty array is best. */
Datum
streamfuse_view_hints(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	ArrayBuildState *hints = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	sf_require_preload();
	if (PG_ARGISNULL(0) || !sf_is_continuous_view(view))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1) || !OidIsValid(sf_view_output(view)))
		hints = accumArrayResult(hints, CStringGetTextDatum(SF_HINT_INERT), false, TEXTOID, CurrentMemoryContext);
	else
	{
		ListCell *cell;

		foreach (cell, sf_view_hints(view))
			hints = accumArrayResult(hints, CStringGetTextDatum(((SfHint *) lfirst(cell))->message), false, TEXTOID,
			                         CurrentMemoryContext);
	}
	PG_RETURN_DATUM(makeArrayResult(hints, CurrentMemoryContext));
}

/* In what a view may differ from its query run as a batch, by its aggregates. */
typedef struct Exemptions
{
	bool rounding;
	bool order;
} Exemptions;

/* min and max have an operator that sorts; whatever else adds floating-point numbers up depends on the order. */
static bool
rounds(const Aggref *aggregate)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate->aggfnoid));
	Form_pg_aggregate form;
	bool result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggregate->aggfnoid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	result = !OidIsValid(form->aggsortop) && (form->aggtranstype == FLOAT4OID || form->aggtranstype == FLOAT8OID ||
	                                          form->aggtranstype == FLOAT8ARRAYOID);
	ReleaseSysCache(tuple);
	return result;
}

static bool
find_exemptions(Node *node, void *arg)
{
	Exemptions *exemptions = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_exemptions, arg, 0);
	if (IsA(node, Aggref))
	{
		exemptions->rounding = exemptions->rounding || rounds((Aggref *) node);
		exemptions->order = exemptions->order || collects_in_order((Aggref *) node);
	}
	return expression_tree_walker(node, find_exemptions, arg);
}

List *
sf_query_exemptions(Query *query)
{
	Exemptions exemptions = {0};
	List *result = NIL;

	find_exemptions((Node *) query, &exemptions);
	if (exemptions.rounding)
		result = lappend(result, "floating-point results agree to rounding");
	if (exemptions.order)
		result = lappend(result, "an aggregate takes rows in any order");
	return result;
}

/* Does it forget groups by its options, or has it forgotten some before these were changed? */
static bool
forgets(Oid view)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, false);
	SfViewOptions options;
	SfGlance glance;

	sf_view_options_get(view, &options);
	if (options.state_ttl != SF_TTL_NONE)
		return true;
	return dataflow != NULL && sf_fragment_glance(dataflow, view, &glance) && glance.forgotten_before > SF_LIFE_LEAST;
}

List *
sf_view_exemptions(Oid view)
{
	List *exemptions = sf_query_exemptions(sf_view_query(view));

	return forgets(view) ? lcons("groups that are idle for longer than state_ttl are forgotten", exemptions)
	                     : exemptions;
}

/* streamfuse.view_exemptions(view): in what its answer may differ from its query run as a batch; an empty array: nothing. */
Datum
streamfuse_view_exemptions(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	ArrayBuildState *result = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ListCell *cell;

	sf_require_preload();
	if (!sf_is_continuous_view(view))
		PG_RETURN_NULL();
	foreach (cell, sf_view_exemptions(view))
		result = accumArrayResult(result, CStringGetTextDatum((char *) lfirst(cell)), false, TEXTOID,
		                          CurrentMemoryContext);
	PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
}
