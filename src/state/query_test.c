/*
 * query_test.c
 *		Tests of the state: aggregates and groups of a query, computed by the store, for comparison with PostgreSQL's.
 *
 * Functions that test/sql/state_*.sql declares.  Each makes a fragment of its own in shared memory and drops it.
 */
#include "state/test.h"

#ifdef STREAMFUSE_TEST

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(sf_test_answer);
PG_FUNCTION_INFO_V1(sf_test_groups);

/* ---- fragments and layouts ---- */

SfFragment *
sf_test_fragment(dsa_pointer *pointer)
{
	SfFragment *fragment;

	if (sf_area() == NULL)
		sf_area_create();
	*pointer = dsa_allocate0(sf_area(), sizeof(SfFragment));
	fragment = dsa_get_address(sf_area(), *pointer);
	LWLockInitialize(&fragment->lock, sf_shared->fragment_tranche);
	return fragment;
}

Query *
sf_test_analyse(const char *text)
{
	List *raw = pg_parse_query(text);

	return parse_analyze_fixedparams(linitial_node(RawStmt, raw), text, NULL, 0, NULL);
}

/* The aggregates of a query, one per column. */
SfAggregate **
sf_test_aggregates(Query *query, int *naggs)
{
	SfAggregate **aggs = palloc(sizeof(SfAggregate *) * list_length(query->targetList));

	*naggs = 0;
	for (int i = 0; i < list_length(query->targetList); i++)
	{
		TargetEntry *entry = list_nth_node(TargetEntry, query->targetList, i);

		aggs[(*naggs)++] = sf_aggregate_create(CurrentMemoryContext, castNode(Aggref, entry->expr), false);
	}
	return aggs;
}

/* Nothing must be left of a fragment that was reset. */
void
sf_test_check_empty(SfFragment *fragment, uint64 bytes_before)
{
	if (pg_atomic_read_u64(&fragment->bytes) != 0 || pg_atomic_read_u64(&sf_shared->state_bytes) != bytes_before ||
	    pg_atomic_read_u64(&fragment->undo_bytes) != 0 || pg_atomic_read_u64(&fragment->groups) != 0)
		elog(ERROR, "%llu bytes, %llu bytes of undo and %llu groups are left",
		     (unsigned long long) pg_atomic_read_u64(&fragment->bytes),
		     (unsigned long long) pg_atomic_read_u64(&fragment->undo_bytes),
		     (unsigned long long) pg_atomic_read_u64(&fragment->groups));
}

/* ---- one aggregate over a query's rows, through the store ---- */

static Tuplestorestate *
run_query(Query *query, const char *text, TupleDesc *desc)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	PlannedStmt *plan = pg_plan_query(query, text, 0, NULL);
	QueryDesc *run;

	SetTuplestoreDestReceiverParams(dest, rows, CurrentMemoryContext, false, NULL, NULL);
	run = CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot, dest, NULL, NULL, 0);
	ExecutorStart(run, 0);
	sf_executor_run(run);
	*desc = CreateTupleDescCopy(run->tupDesc);
	ExecutorFinish(run);
	ExecutorEnd(run);
	FreeQueryDesc(run);
	return rows;
}

/* The rows of the arguments of a query's one aggregate. */
static Tuplestorestate *
argument_rows(Query *query, SfAggregate *agg, const char *text, TupleDesc *desc)
{
	ListCell *cell;

	query->targetList = NIL;
	foreach (cell, agg->inputs)
		query->targetList = lappend(
		    query->targetList,
		    makeTargetEntry(copyObject(lfirst(cell)), foreach_current_index(cell) + 1, "input", false));
	if (query->targetList == NIL)
		query->targetList = list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, "row", false));
	query->hasAggs = false;
	return run_query(query, text, desc);
}

#define ANSWER_BATCH 4
#define FIRST_APART 1000000 /* windows from here on hold batches that are folded apart */

typedef struct AnswerBatch
{
	Datum *args[FUNC_MAX_ARGS];
	bool *nulls[FUNC_MAX_ARGS];
	char *states[ANSWER_BATCH];
	int n;
} AnswerBatch;

static void
read_batch(Tuplestorestate *rows, TupleTableSlot *slot, int nargs, AnswerBatch *batch)
{
	for (int a = 0; a < nargs; a++)
	{
		batch->args[a] = palloc0(sizeof(Datum) * ANSWER_BATCH);
		batch->nulls[a] = palloc0(sizeof(bool) * ANSWER_BATCH);
	}
	batch->n = 0;
	while (batch->n < ANSWER_BATCH && tuplestore_gettupleslot(rows, true, false, slot))
	{
		slot_getallattrs(slot);
		for (int a = 0; a < nargs; a++)
		{
			Form_pg_attribute attribute = TupleDescAttr(slot->tts_tupleDescriptor, a);

			batch->nulls[a][batch->n] = slot->tts_isnull[a];
			if (!slot->tts_isnull[a])
				batch->args[a][batch->n] = datumCopy(slot->tts_values[a], attribute->attbyval, attribute->attlen);
		}
		batch->n++;
	}
}

/* Every other batch goes in row by row. */
static void
fold_batch(SfStore *store, SfLayout *layout, SfGroup *group, AnswerBatch *batch, bool by_row)
{
	SfAggregate *agg = layout->aggs[0];
	char *state = group->data + layout->state_offset[0];
	BlockNumber blocks[ANSWER_BATCH] = {0};
	OffsetNumber offsets[ANSWER_BATCH] = {0};
	SfPlaces places = {InvalidOid, 0, blocks, offsets, NULL};

	if (!by_row)
	{
		for (int i = 0; i < batch->n; i++)
			batch->states[i] = state;
		sf_aggregate_advance_batch(agg, sf_store_blobs(store), batch->states, batch->args, batch->nulls, &places,
		                           batch->n);
		return;
	}
	for (int i = 0; i < batch->n; i++)
	{
		Datum args[FUNC_MAX_ARGS];
		bool nulls[FUNC_MAX_ARGS];

		for (int a = 0; a < agg->nargs; a++)
		{
			args[a] = batch->args[a][i];
			nulls[a] = batch->nulls[a][i];
		}
		sf_aggregate_advance(agg, sf_store_blobs(store), state, args, nulls, &places, i);
	}
}

/* Moves the group to another window, in the form of a checkpoint. */
static SfGroup *
move_group(SfStore *store, SfGroup *group, SfTime start)
{
	StringInfoData flat;
	const char *data;
	SfWindow *window = sf_store_window(store, start, start + 1);
	bool more = false;

	initStringInfo(&flat);
	while ((more = sf_store_save_group(store, group, true, more, &flat)))
		;
	data = flat.data;
	while (data < flat.data + flat.len)
		sf_store_load_group(store, window, &data, flat.data + flat.len);
	if (data != flat.data + flat.len)
		elog(ERROR, "a group was not read to its end");
	return sf_store_group_at(store, window, 0);
}

/* Direct arguments of the test's aggregates are constants. */
static void
compute_direct(SfAggregate *agg)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	ListCell *cell;

	foreach (cell, agg->aggref->aggdirectargs)
	{
		int arg = foreach_current_index(cell);

		agg->direct[arg] = ExecEvalExpr(ExecInitExpr(expression_planner(lfirst(cell)), NULL), econtext,
		                                &agg->direct_nulls[arg]);
	}
}

/* Folds the batch into a state of its own, which is then combined with the group's. */
static void
combine_batch(SfStore *store, SfLayout *layout, SfGroup *group, AnswerBatch *batch, SfTime start)
{
	SfWindow *window = sf_store_window(store, start, start + 1);
	SfGroup *apart = sf_store_touch(store, window, sf_layout_hash(layout, NULL, NULL), NULL, NULL);
	Size offset = layout->state_offset[0];

	fold_batch(store, layout, apart, batch, false);
	sf_aggregate_combine(layout->aggs[0], sf_store_blobs(store), group->data + offset, sf_store_blobs(store),
	                     apart->data + offset);
}

/* Has it a combine function, whose answer does not depend on what is combined when, as that of floats does? */
static bool
may_combine(const SfAggregate *agg)
{
	return sf_aggregate_can_combine(agg) && agg->result_type != FLOAT4OID && agg->result_type != FLOAT8OID;
}

/*
 * Folds all rows, a batch per tick.  Before each third batch the state goes through its saved form, and that batch is
 * folded apart.
 */
static text *
fold_all(SfStore *store, SfFragment *fragment, SfLayout *layout, Tuplestorestate *rows, TupleDesc desc)
{
	SfAggregate *agg = layout->aggs[0];
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	uint32 hash = sf_layout_hash(layout, NULL, NULL);
	SfTime start = 0;
	SfTick tick = 0;
	AnswerBatch batch;
	SfStoreScan *scan;
	SfGroupCopy copy;
	SfBlobSpace blobs = {.area = sf_area(), .fragment = fragment, .tick = SF_TICK_NONE};
	Datum result;
	bool isnull;
	Oid output;
	bool varlena;

	do
	{
		SfGroup *group;

		read_batch(rows, slot, agg->nargs, &batch);
		sf_store_begin(store, ++tick);
		group = sf_store_touch(store, sf_store_window(store, start, start + 1), hash, NULL, NULL);
		if (tick % 3 == 0)
			group = move_group(store, group, ++start);
		if (tick % 3 == 0 && may_combine(agg))
			combine_batch(store, layout, group, &batch, FIRST_APART + (SfTime) tick);
		else
			fold_batch(store, layout, group, &batch, tick % 2 == 0);
		sf_store_publish(store);
		if (tick % 4 == 0)
			sf_store_reclaim(store, tick, 0);
	} while (batch.n > 0);

	scan = sf_store_scan_begin(CurrentMemoryContext, fragment, layout, tick, InvalidSnapshot, start, start + 1);
	if (!sf_store_scan_next(scan, &copy))
		elog(ERROR, "the group is not found");
	compute_direct(agg);
	result = sf_aggregate_result(agg, &blobs, copy.data + layout->state_offset[0], &isnull);
	sf_store_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	if (isnull)
		return NULL;
	getTypeOutputInfo(agg->result_type, &output, &varlena);
	return cstring_to_text(OidOutputFunctionCall(output, result));
}

/* answer(query text) returns text: SELECT one_aggregate(...) FROM ..., computed by the state. */
Datum
sf_test_answer(PG_FUNCTION_ARGS)
{
	char *query_text = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Query *query = sf_test_analyse(query_text);
	uint64 bytes_before = pg_atomic_read_u64(&sf_shared->state_bytes);
	int naggs;
	SfAggregate **aggs = sf_test_aggregates(query, &naggs);
	SfLayout *layout = sf_layout_create(CurrentMemoryContext, 0, NULL, NULL, NULL, naggs, aggs);
	TupleDesc desc;
	Tuplestorestate *rows = argument_rows(query, aggs[0], query_text, &desc);
	dsa_pointer pointer;
	SfFragment *fragment = sf_test_fragment(&pointer);
	SfStore *store = sf_store_create(CurrentMemoryContext, fragment, layout);
	text *volatile result = NULL;

	PG_TRY();
	{
		result = fold_all(store, fragment, layout, rows, desc);
	}
	PG_FINALLY();
	{
		sf_store_rollback(store);
		sf_store_reset(store);
		sf_test_check_empty(fragment, bytes_before);
		dsa_free(sf_area(), pointer);
	}
	PG_END_TRY();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/* ---- grouping by columns of any type ---- */

static SfLayout *
counting_layout(TupleDesc desc)
{
	Oid types[64];
	int32 typmods[64];
	Oid collations[64];
	int naggs;
	SfAggregate **aggs = sf_test_aggregates(sf_test_analyse("SELECT count(*)"), &naggs);

	for (int i = 0; i < desc->natts; i++)
	{
		types[i] = TupleDescAttr(desc, i)->atttypid;
		typmods[i] = TupleDescAttr(desc, i)->atttypmod;
		collations[i] = TupleDescAttr(desc, i)->attcollation;
	}
	return sf_layout_create(CurrentMemoryContext, desc->natts, types, typmods, collations, naggs, aggs);
}

/* Counts a row.  Where there is a fast form for its key, every other row takes it. */
static void
count_row(SfStore *store, SfLayout *layout, SfTick tick, TupleTableSlot *slot)
{
	SfWindow *window = sf_store_window(store, 0, 1);
	uint32 hash = sf_layout_hash(layout, slot->tts_values, slot->tts_isnull);
	SfGroup *group;
	bool null = false;

	if (sf_layout_is_int(layout) && !slot->tts_isnull[0] && tick % 2 == 0)
	{
		Datum key = sf_key_normal(slot->tts_values[0], layout->keys[0].typlen);

		hash = sf_int_hash(key);
		sf_store_touch_int_batch(store, &window, &hash, &key, &group, 1);
	}
	else
		group = sf_store_touch(store, window, hash, slot->tts_values, slot->tts_isnull);
	sf_aggregate_advance(layout->aggs[0], sf_store_blobs(store), group->data + layout->state_offset[0], NULL, &null,
	                     NULL, 0);
}

static void
return_groups(ReturnSetInfo *result, SfFragment *fragment, SfLayout *layout, SfTick tick)
{
	SfStoreScan *scan = sf_store_scan_begin(CurrentMemoryContext, fragment, layout, tick, InvalidSnapshot, 0, 1);
	SfBlobSpace blobs = {.area = sf_area(), .fragment = fragment, .tick = SF_TICK_NONE};
	SfGroupCopy copy;

	while (sf_store_scan_next(scan, &copy))
	{
		Datum keys[64];
		bool keys_null[64];
		Datum values[2];
		bool nulls[2];
		Oid output;
		bool varlena;

		sf_group_keys(layout, sf_area(), copy.data, keys, keys_null);
		getTypeOutputInfo(layout->keys[0].type, &output, &varlena);
		nulls[0] = keys_null[0];
		values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(OidOutputFunctionCall(output, keys[0]));
		values[1] = sf_aggregate_result(layout->aggs[0], &blobs, copy.data + layout->state_offset[0], &nulls[1]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	sf_store_scan_end(scan);
}

/* groups(query text) returns setof record: SELECT key, count(*) FROM (query) GROUP BY key, by the store. */
Datum
sf_test_groups(PG_FUNCTION_ARGS)
{
	char *query_text = text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint64 bytes_before = pg_atomic_read_u64(&sf_shared->state_bytes);
	TupleDesc desc;
	Tuplestorestate *rows = run_query(sf_test_analyse(query_text), query_text, &desc);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	SfLayout *layout = counting_layout(desc);
	dsa_pointer pointer;
	SfFragment *fragment = sf_test_fragment(&pointer);
	SfStore *store = sf_store_create(CurrentMemoryContext, fragment, layout);
	SfTick tick = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		sf_store_begin(store, ++tick);
		slot_getallattrs(slot);
		count_row(store, layout, tick, slot);
		sf_store_publish(store);
	}
	return_groups((ReturnSetInfo *) fcinfo->resultinfo, fragment, layout, tick);
	sf_store_reset(store);
	sf_test_check_empty(fragment, bytes_before);
	dsa_free(sf_area(), pointer);
	ExecDropSingleTupleTableSlot(slot);
	return (Datum) 0;
}

#endif /* STREAMFUSE_TEST */
