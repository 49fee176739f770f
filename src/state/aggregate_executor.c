/*
 * aggregate_executor.c
 *		What is kept in a list, aggregated by PostgreSQL's executor: Agg over a scan of the list, and for a set with
 *		DISTINCT, Unique over Sort over such a scan.
 *
 * The plans are made here, as the planner would make them, and stay ready for as many lists as one transaction asks for:
 * each run is a rescan.  Where a run has raised, or another transaction has begun, they are made anew.
 *
 * The scan gives the rows in the order of their places in the stream, and after the values the place itself: relation,
 * line, and branch of the query.  An
 * aggregate with ORDER BY is sorted by the place last, so that rows which the query does not tell apart come in that
 * order too, and the answer is the same each time.
 */
#include "state/aggregate_private.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "storage/proc.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/* A plan over a list, and the list. */
struct ListPlan
{
	MemoryContext context; /* all of it */
	LocalTransactionId transaction;
	bool running;
	EState *estate;
	PlanState *plan;

	/* Of the run. */
	MemoryContext entries_context;
	const SfEntry **entries;
	uint64 nentries;
	uint64 next;
	bool shared; /* in shared memory: rows are copied out */
};

typedef struct ListScan /* plan node */
{
	CustomScan scan;
	TupleDesc desc; /* of the values */
	ListPlan *of;   /* whose list it reads */
} ListScan;

typedef struct ListScanState
{
	CustomScanState css;
	ListScan *scan;
	TupleTableSlot *values;
	ItemPointerData place;
} ListScanState;

/* ---- the scan ---- */

static void
begin_list_scan(CustomScanState *node, EState *estate, int eflags)
{
	ListScanState *state = (ListScanState *) node;

	state->values = ExecInitExtraTupleSlot(estate, state->scan->desc, &TTSOpsMinimalTuple);
}

/* The values of an entry, into a virtual slot. */
static void
fill_values(ListScanState *state, const SfEntry *entry, TupleTableSlot *slot)
{
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	int natts = state->scan->desc->natts;
	MinimalTuple tuple = (MinimalTuple) &entry->values;

	if (entry->length == SfEntryWithoutValues)
	{
		slot->tts_values[0] = sf_set_value(entry);
		slot->tts_isnull[0] = false;
		return;
	}
	if (state->scan->of->shared)
	{
		MemoryContext old;

		ResetExprContext(econtext);
		old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
		tuple = sf_copy_minimal_tuple(tuple);
		MemoryContextSwitchTo(old);
	}
	ExecStoreMinimalTuple(tuple, state->values, false);
	slot_getallattrs(state->values);
	memcpy(slot->tts_values, state->values->tts_values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, state->values->tts_isnull, sizeof(bool) * natts);
}

static TupleTableSlot *
exec_list_scan(CustomScanState *node)
{
	ListScanState *state = (ListScanState *) node;
	ListPlan *plan = state->scan->of;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	int natts = state->scan->desc->natts;
	const SfEntry *entry;

	ExecClearTuple(slot);
	if (plan->next == plan->nentries)
		return slot;
	entry = plan->entries[plan->next++];
	fill_values(state, entry, slot);
	ItemPointerSet(&state->place, entry->block, entry->offset);
	slot->tts_values[natts] = ObjectIdGetDatum(entry->relation);
	slot->tts_values[natts + 1] = PointerGetDatum(&state->place);
	slot->tts_values[natts + 2] = Int32GetDatum(entry->branch);
	slot->tts_isnull[natts] = slot->tts_isnull[natts + 1] = slot->tts_isnull[natts + 2] = false;
	return ExecStoreVirtualTuple(slot);
}

static void
end_list_scan(CustomScanState *node)
{
}

static void
rescan_list_scan(CustomScanState *node)
{
	((ListScanState *) node)->scan->of->next = 0;
}

static const CustomExecMethods list_exec_methods = {
    .CustomName = "streamfuse list",
    .BeginCustomScan = begin_list_scan,
    .ExecCustomScan = exec_list_scan,
    .EndCustomScan = end_list_scan,
    .ReScanCustomScan = rescan_list_scan,
};

static Node *
create_list_scan(CustomScan *scan)
{
	ListScanState *state = (ListScanState *) newNode(sizeof(ListScanState), T_CustomScanState);

	state->css.methods = &list_exec_methods;
	state->scan = (ListScan *) scan;
	return (Node *) state;
}

static const CustomScanMethods list_scan_methods = {
    .CustomName = "streamfuse list",
    .CreateCustomScanState = create_list_scan,
};

/* ---- plans ---- */

static const Oid place_types[] = {OIDOID, TIDOID, INT4OID};

/* Vars for the values and the place. */
static List *
list_columns(const CollectedAggregate *collected, int varno)
{
	List *columns = NIL;
	int natts = collected->desc->natts;

	for (int i = 1; i <= natts + (int) lengthof(place_types); i++)
	{
		Form_pg_attribute column = i <= natts ? TupleDescAttr(collected->desc, i - 1) : NULL;
		Var *var = column != NULL ? makeVar(varno, i, column->atttypid, column->atttypmod, column->attcollation, 0)
		                          : makeVar(varno, i, place_types[i - natts - 1], -1, InvalidOid, 0);

		columns = lappend(columns, makeTargetEntry((Expr *) var, i, NULL, false));
	}
	return columns;
}

static Plan *
make_list_scan(const CollectedAggregate *collected, ListPlan *plan)
{
	ListScan *scan = (ListScan *) newNode(sizeof(ListScan), T_CustomScan);

	scan->scan.methods = &list_scan_methods;
	scan->scan.custom_scan_tlist = list_columns(collected, INDEX_VAR);
	scan->scan.scan.plan.targetlist = list_columns(collected, INDEX_VAR);
	scan->desc = collected->desc;
	scan->of = plan;
	return &scan->scan.scan.plan;
}

void
sf_aggregate_sort_by(Aggref *aggref, Var *var)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	TypeCacheEntry *operators = lookup_type_cache(var->vartype, TYPECACHE_LT_OPR | TYPECACHE_EQ_OPR);
	TargetEntry *entry = makeTargetEntry((Expr *) var, list_length(aggref->args) + 1, NULL, true);

	clause->eqop = operators->eq_opr;
	clause->sortop = operators->lt_opr;
	aggref->args = lappend(aggref->args, entry);
	clause->tleSortGroupRef = assignSortGroupRef(entry, aggref->args);
	aggref->aggorder = lappend(aggref->aggorder, clause);
}

/* The aggregate call over the scan's columns; direct arguments are parameters. */
static Aggref *
make_call(const AggregateImpl *agg)
{
	Aggref *call = copyObject(agg->public.aggref);
	CollectedAggregate *collected = agg->collected;
	ListCell *cell;

	call->aggtranstype = collected->transition_type;
	call->args = copyObject(collected->args);
	call->aggfilter = NULL;
	call->aggsplit = AGGSPLIT_SIMPLE;
	call->aggno = call->aggtransno = 0;
	foreach (cell, call->aggdirectargs)
	{
		Param *param = makeNode(Param);

		param->paramkind = PARAM_EXEC;
		param->paramid = foreach_current_index(cell);
		param->paramtype = exprType(lfirst(cell));
		param->paramtypmod = exprTypmod(lfirst(cell));
		param->paramcollid = exprCollation(lfirst(cell));
		param->location = -1;
		lfirst(cell) = param;
	}
	if (call->aggkind == AGGKIND_NORMAL && call->aggdistinct == NIL && call->aggorder != NIL)
		for (int i = 0; i < (int) lengthof(place_types); i++)
			sf_aggregate_sort_by(call,
			                     makeVar(OUTER_VAR, collected->desc->natts + 1 + i, place_types[i], -1, InvalidOid, 0));
	return call;
}

static Plan *
make_aggregation(const AggregateImpl *agg, ListPlan *plan)
{
	Agg *node = makeNode(Agg);

	node->aggstrategy = AGG_PLAIN;
	node->aggsplit = AGGSPLIT_SIMPLE;
	node->numGroups = 1;
	node->plan.targetlist = list_make1(makeTargetEntry((Expr *) make_call(agg), 1, NULL, false));
	node->plan.lefttree = make_list_scan(agg->collected, plan);
	return &node->plan;
}

/* How a set's rows are told apart: by the aggregate's DISTINCT, or column by column where an argument is a row. */
typedef struct SortColumns
{
	int n;
	AttrNumber columns[FUNC_MAX_ARGS];
	Oid sort[FUNC_MAX_ARGS];
	Oid equal[FUNC_MAX_ARGS];
	Oid collations[FUNC_MAX_ARGS];
	bool nulls_first[FUNC_MAX_ARGS];
} SortColumns;

static bool
find_sort_columns(const AggregateImpl *agg, SortColumns *sort)
{
	CollectedAggregate *collected = agg->collected;
	ListCell *cell;

	sort->n = 0;
	if (collected->has_rows)
		for (int i = 0; i < collected->desc->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(collected->desc, i);
			TypeCacheEntry *type = lookup_type_cache(column->atttypid, TYPECACHE_LT_OPR | TYPECACHE_EQ_OPR);

			if (!OidIsValid(type->lt_opr) || !OidIsValid(type->eq_opr))
				return false;
			sort->columns[sort->n] = i + 1;
			sort->sort[sort->n] = type->lt_opr;
			sort->equal[sort->n] = type->eq_opr;
			sort->collations[sort->n] = column->attcollation;
			sort->nulls_first[sort->n++] = false;
		}
	else
		foreach (cell, agg->public.aggref->aggdistinct)
		{
			SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
			Var *var = castNode(Var, get_sortgroupclause_expr(clause, collected->args));

			if (!OidIsValid(clause->sortop))
				return false;
			sort->columns[sort->n] = var->varattno;
			sort->sort[sort->n] = clause->sortop;
			sort->equal[sort->n] = clause->eqop;
			sort->collations[sort->n] = var->varcollid;
			sort->nulls_first[sort->n++] = clause->nulls_first;
		}
	return sort->n > 0;
}

static Plan *
make_distinction(const AggregateImpl *agg, ListPlan *plan)
{
	SortColumns *columns = palloc(sizeof(SortColumns));
	Sort *sort = makeNode(Sort);
	Unique *unique = makeNode(Unique);

	if (!find_sort_columns(agg, columns))
		elog(ERROR, "aggregate's DISTINCT cannot be sorted");
	sort->plan.targetlist = list_columns(agg->collected, OUTER_VAR);
	sort->plan.lefttree = make_list_scan(agg->collected, plan);
	sort->numCols = unique->numCols = columns->n;
	sort->sortColIdx = unique->uniqColIdx = columns->columns;
	sort->sortOperators = columns->sort;
	sort->collations = unique->uniqCollations = columns->collations;
	sort->nullsFirst = columns->nulls_first;
	unique->uniqOperators = columns->equal;
	unique->plan.targetlist = list_columns(agg->collected, OUTER_VAR);
	unique->plan.lefttree = &sort->plan;
	return &unique->plan;
}

/* Can repetitions be taken out?  Else the list grows with the rows. */
bool
sf_can_be_distinct(const AggregateImpl *agg)
{
	SortColumns columns;

	return agg->public.aggref->aggdistinct != NIL && find_sort_columns(agg, &columns);
}

/* ---- runs ---- */

static ListPlan *
prepare_plan(const AggregateImpl *agg, ListPlan **kept, Plan *(*make)(const AggregateImpl *agg, ListPlan *plan))
{
	MemoryContext context;
	MemoryContext old;
	ListPlan *plan = *kept;

	if (plan != NULL && !plan->running && plan->transaction == sf_local_transaction())
		return plan;
	if (plan != NULL)
	{
		*kept = NULL;
		MemoryContextDelete(plan->context);
	}
	context = AllocSetContextCreate(agg->collected->context, "streamfuse aggregate", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	plan = palloc0(sizeof(ListPlan));
	plan->context = context;
	plan->transaction = sf_local_transaction();
	plan->entries_context = AllocSetContextCreate(context, "streamfuse aggregate rows", ALLOCSET_DEFAULT_SIZES);
	plan->running = true;
	*kept = plan;
	plan->estate = CreateExecutorState();
	MemoryContextSwitchTo(plan->estate->es_query_cxt);
	if (agg->public.ndirect > 0)
		plan->estate->es_param_exec_vals = palloc0(sizeof(ParamExecData) * agg->public.ndirect);
	plan->plan = ExecInitNode(make(agg, plan), plan->estate, 0);
	plan->running = false;
	MemoryContextSwitchTo(old);
	return plan;
}

static int
compare_places(const void *a, const void *b)
{
	const SfEntry *left = *(const SfEntry *const *) a;
	const SfEntry *right = *(const SfEntry *const *) b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	if (left->block != right->block)
		return left->block < right->block ? -1 : 1;
	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	return (int) left->branch - (int) right->branch;
}

/* Rows mostly come in order. */
static bool
is_in_order(const ListPlan *plan)
{
	for (uint64 i = 1; i < plan->nentries; i++)
		if (compare_places(&plan->entries[i - 1], &plan->entries[i]) > 0)
			return false;
	return true;
}

static void
start_run(const AggregateImpl *agg, ListPlan *plan, SfBlobSpace *blobs, const SfList *list)
{
	MemoryContext old = MemoryContextSwitchTo(plan->entries_context);

	plan->running = true;
	plan->entries = sf_list_entries(blobs, list);
	plan->nentries = list->count;
	plan->shared = !SfPointerIsLocal(list->last);
	if (agg->collected->set == NULL && !is_in_order(plan))
		qsort(plan->entries, plan->nentries, sizeof(SfEntry *), compare_places);
	MemoryContextSwitchTo(old);
	ExecReScan(plan->plan);
}

/* Gives back what the run has used: sorts, and what aggregates keep beside their state. */
static void
end_run(ListPlan *plan)
{
	plan->nentries = 0;
	ExecReScan(plan->plan);
	MemoryContextReset(plan->entries_context);
	plan->running = false;
}

static void
set_direct_arguments(const AggregateImpl *agg, EState *estate)
{
	for (int i = 0; i < agg->public.ndirect; i++)
	{
		estate->es_param_exec_vals[i].value = agg->public.direct[i];
		estate->es_param_exec_vals[i].isnull = agg->public.direct_nulls[i];
	}
}

Datum
sf_collected_result(AggregateImpl *agg, SfBlobSpace *blobs, const char *state, bool *isnull)
{
	ListPlan *plan;
	TupleTableSlot *slot;
	Datum result;
	int16 typlen;
	bool typbyval;

	if (agg->public.counts_list)
		return sf_set_count((const CollectedState *) state);
	plan = prepare_plan(agg, &agg->collected->aggregation, make_aggregation);
	start_run(agg, plan, blobs, &((const CollectedState *) state)->list);
	set_direct_arguments(agg, plan->estate);
	slot = ExecProcNode(plan->plan);
	result = slot_getattr(slot, 1, isnull);
	get_typlenbyval(agg->public.result_type, &typlen, &typbyval);
	if (!*isnull)
		result = datumCopy(result, typbyval, typlen);
	end_run(plan);
	return result;
}

void
sf_distinct_begin(AggregateImpl *agg, SfBlobSpace *blobs, const SfList *list)
{
	start_run(agg, prepare_plan(agg, &agg->collected->distinction, make_distinction), blobs, list);
}

/* The next row of the set; NULL at the end.  Valid until the next call. */
MinimalTuple
sf_distinct_next(AggregateImpl *agg)
{
	ListPlan *plan = agg->collected->distinction;
	TupleTableSlot *slot = ExecProcNode(plan->plan);

	ResetPerTupleExprContext(plan->estate);
	if (TupIsNull(slot))
	{
		end_run(plan);
		return NULL;
	}
	slot_getallattrs(slot);
	return sf_form_minimal_tuple(agg->collected->desc, slot->tts_values, slot->tts_isnull);
}
