/*
 * store_test.c
 *		Tests of the store: ticks against a model, the memory limit, closing.  Only in builds for tests.
 *
 * Functions that test/sql/state_store.sql declares.  What a store holds is compared with a model in local memory, tick
 * by tick.
 */
#include "state/test.h"

#ifdef STREAMFUSE_TEST

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(sf_test_random_ticks);
PG_FUNCTION_INFO_V1(sf_test_churn);
PG_FUNCTION_INFO_V1(sf_test_memory_limit);
PG_FUNCTION_INFO_V1(sf_test_closing);

/* ---- random ticks against a model ---- */

#define MODEL_WINDOWS 4
#define MODEL_KEYS 150
#define MODEL_TICKS 40

/* What the rows of one group add up to. */
typedef struct ModelGroup
{
	int64 count;
	int64 sum;
	int64 huge;    /* rows with 10^40 added to their numeric */
	int32 longest; /* greatest text, by its number */
	SfTime last;   /* greatest time, where groups leave */
} ModelGroup;

typedef ModelGroup ModelState[MODEL_WINDOWS][MODEL_KEYS];

typedef struct Model
{
	pg_prng_state random;
	SfFragment *fragment;
	SfLayout *layout;
	SfStore *store;
	char keys; /* kind of key: i(nteger), t(ext), m(any) or n(one) */
	int nkeys; /* different ones */
	SfTime forgotten;
	SfTick tick;
	SfTick published;
	SfTick pinned;
	ModelState *at; /* [MODEL_TICKS + 1] by tick */
	ModelState now;
} Model;

static int
any_of(Model *model, int n)
{
	return (int) pg_prng_uint64_range(&model->random, 0, n - 1);
}

static text *
long_text(int number)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%08d", number);
	for (int i = 0; i < number % 300; i++)
		appendStringInfoChar(&text, 'x');
	return cstring_to_text(text.data);
}

static SfLayout *
model_layout(char keys, bool leaving)
{
	/* Those that keep their inputs take time: not with all kinds of keys. */
	const char *kept = keys == 'i' || keys == 'n' ? ", sum(v ORDER BY v), max(DISTINCT t COLLATE \"C\")" : "";
	Query *query = sf_test_analyse(psprintf("SELECT count(*), sum(v), sum(n), max(t COLLATE \"C\")%s "
	                                        "FROM (SELECT 1::int8 AS v, 1::numeric AS n, ''::text AS t) AS s",
	                                        kept));
	Oid types[] = {keys == 'i' ? INT8OID : TEXTOID, NUMERICOID, INT4OID};
	int32 typmods[] = {-1, -1, -1};
	Oid collations[] = {keys == 'i' ? InvalidOid : DEFAULT_COLLATION_OID, InvalidOid, InvalidOid};
	int nkeys = keys == 'm' ? 3 : keys == 'n' ? 0 : 1;
	int naggs;
	SfAggregate **aggs = sf_test_aggregates(query, &naggs);
	SfLayout *layout = sf_layout_create(CurrentMemoryContext, nkeys, types, typmods, collations, naggs, aggs);

	if (leaving)
		sf_layout_let_groups_leave(layout);
	return layout;
}

/* The key values of group k; text keys are null for k = 0, and the numeric is now 1.0, now 1.00. */
static void
model_key(Model *model, int k, Datum *keys, bool *nulls)
{
	memset(nulls, 0, sizeof(bool) * 3);
	if (model->keys == 'i')
		keys[0] = Int64GetDatum((int64) k * 1000000007);
	else
	{
		nulls[0] = k == 0;
		keys[0] = PointerGetDatum(long_text(k));
	}
	keys[1] = DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf(any_of(model, 2) ? "%d.0" : "%d.00", k / 3)),
	                              ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	keys[2] = Int32GetDatum(-k);
	nulls[2] = k % 5 == 1;
}

static Datum
model_numeric(int64 sum, int64 huge)
{
	Datum power = DirectFunctionCall3(numeric_in, CStringGetDatum("1e40"), ObjectIdGetDatum(InvalidOid),
	                                  Int32GetDatum(-1));

	return DirectFunctionCall2(numeric_add, NumericGetDatum(int64_to_numeric(sum)),
	                           DirectFunctionCall2(numeric_mul, power, NumericGetDatum(int64_to_numeric(huge))));
}

/* A row that raises behind the fold is taken back; what it makes necessary for the state may stay. */
static void
add_and_take_back(Model *model, SfAggregate *agg, char *state, const Datum *arg, const SfPlaces *places)
{
	SfBlobSpace *blobs = sf_store_blobs(model->store);
	StringInfoData kept;
	const char *data;
	bool null = false;

	initStringInfo(&kept);
	sf_aggregate_keep(agg, blobs, state, &kept);
	sf_aggregate_advance(agg, blobs, state, arg, &null, places, 0);
	data = kept.data;
	sf_aggregate_put_back(agg, blobs, state, &data, kept.data + kept.len);
}

/* Adds a random row to the group, in the store and in the model. */
static void
add_row(Model *model, int w, int k, SfGroup *group)
{
	SfLayout *layout = model->layout;
	ModelGroup *expected = &model->now[w][k];
	int64 value = any_of(model, 2001) - 1000;
	bool huge = any_of(model, 10) == 0;
	int number = any_of(model, 100000);
	Datum text = PointerGetDatum(long_text(number));
	Datum args[] = {(Datum) 0, Int64GetDatum(value), model_numeric(value, huge), text, Int64GetDatum(value), text};
	BlockNumber block = any_of(model, 1000);
	OffsetNumber offset = any_of(model, 100) + 1;
	SfPlaces places = {InvalidOid, 0, &block, &offset, NULL};
	bool null = false;

	for (int i = 0; i < layout->naggs && any_of(model, 4) == 0; i++)
		add_and_take_back(model, layout->aggs[i], group->data + layout->state_offset[i], &args[i], &places);
	for (int i = 0; i < layout->naggs; i++)
		sf_aggregate_advance(layout->aggs[i], sf_store_blobs(model->store), group->data + layout->state_offset[i],
		                     &args[i], &null, &places, 0);
	expected->longest = expected->count == 0 ? number : Max(expected->longest, number);
	expected->count++;
	expected->sum += value;
	expected->huge += huge;
	if (layout->groups_leave)
	{
		SfTime time = (SfTime) model->tick * 100 - any_of(model, 1000);

		sf_group_note_time(layout, group->data, time);
		expected->last = expected->count == 1 ? time : Max(expected->last, time);
	}
}

static SfWindow *
model_window(Model *model, int w)
{
	return sf_store_window(model->store, w * 10, w * 10 + 10);
}

static void
add_rows_one_by_one(Model *model, int n)
{
	while (n-- > 0)
	{
		int w = any_of(model, MODEL_WINDOWS);
		int k = any_of(model, model->nkeys);
		Datum keys[3];
		bool nulls[3];

		model_key(model, k, keys, nulls);
		add_row(model, w, k,
		        sf_store_touch(model->store, model_window(model, w), sf_layout_hash(model->layout, keys, nulls), keys,
		                       nulls));
	}
}

/* Which group it is. */
static int
key_number(Model *model, const Datum *keys, const bool *nulls)
{
	switch (model->keys)
	{
		case 'i':
			return (int) (DatumGetInt64(keys[0]) / 1000000007);
		case 'n':
			return 0;
		default:
			return nulls[0] ? 0 : atoi(pnstrdup(TextDatumGetCString(keys[0]), 8));
	}
}

/* Groups that the tick has touched, and others, leave.  Some come back in the same tick. */
static void
remove_groups(Model *model, int n)
{
	while (n-- > 0)
	{
		int w = any_of(model, MODEL_WINDOWS);
		SfWindow *window = sf_store_find_window(model->store, w * 10);
		Datum keys[3];
		bool nulls[3];
		SfGroup *group;

		if (window == NULL || window->closed != SF_TICK_NONE || window->ngroups == 0)
			continue;
		group = sf_store_group_at(model->store, window, any_of(model, window->ngroups));
		if (!sf_group_is_there(model->layout, group->data) ||
		    (group->version != model->tick && sf_group_life(model->layout, group->data) < model->forgotten))
			continue;
		sf_group_keys(model->layout, sf_area(), group->data, keys, nulls);
		memset(&model->now[w][key_number(model, keys, nulls)], 0, sizeof(ModelGroup));
		sf_store_remove(model->store, window, group);
		if (any_of(model, 4) == 0)
			add_rows_one_by_one(model, 1);
	}
}

/* A row that raises after it has made its group, or brought it back. */
static void
touch_and_forget(Model *model)
{
	SfWindow *window = model_window(model, any_of(model, MODEL_WINDOWS));
	SfStoreMark mark = sf_store_mark(model->store, window);
	Datum keys[3];
	bool nulls[3];
	SfGroup *group;

	model_key(model, any_of(model, model->nkeys), keys, nulls);
	group = sf_store_touch(model->store, window, sf_layout_hash(model->layout, keys, nulls), keys, nulls);
	(void) sf_store_forget(model->store, window, group, &mark);
}

/* The end of a tick: some lives are over, and what is over is partly swept. */
static void
forget_groups(Model *model)
{
	SfTime until = (SfTime) model->tick * 100 - 1000 - any_of(model, 500);

	if (any_of(model, 2))
		model->forgotten = Max(model->forgotten, until);
	for (int w = 0; w < MODEL_WINDOWS; w++)
		for (int k = 0; k < model->nkeys; k++)
			if (model->now[w][k].count > 0 && model->now[w][k].last < model->forgotten)
				memset(&model->now[w][k], 0, sizeof(ModelGroup));
	sf_store_forget_before(model->store, model->forgotten);
	for (int w = 0; w < MODEL_WINDOWS; w++)
	{
		SfWindow *window = sf_store_find_window(model->store, w * 10);

		if (window != NULL && window->closed == SF_TICK_NONE)
			(void) sf_store_sweep(model->store, window, model->forgotten, any_of(model, 100));
	}
}

/* Between ticks: what is gone has been written, up to some tick. */
static void
save_windows(Model *model)
{
	for (int i = 0; i < sf_store_nwindows(model->store); i++)
		if (any_of(model, 2))
			sf_store_window_at(model->store, i)->saved.tick = model->published - any_of(model, 2);
}

/* Each group that is not given back has one slot, and is found by it. */
static void
check_index(Model *model)
{
	for (int i = 0; i < sf_store_nwindows(model->store); i++)
	{
		SfWindow *window = sf_store_window_at(model->store, i);
		uint64 *slots = window->nslots > 0 ? dsa_get_address(sf_area(), window->slots) : NULL;
		uint32 used = 0;

		for (uint32 slot = 0; slot < window->nslots; slot++)
			used += slots[slot] != 0;
		if (used != window->ngroups - window->nfree)
			elog(ERROR, "tick %llu: an index of %u groups, %u of them free, has %u entries",
			     (unsigned long long) model->tick, window->ngroups, window->nfree, used);
	}
}

/* By the form for integers, or by the one for any keys. */
static void
add_rows_in_batch(Model *model, int n)
{
	SfWindow **windows = palloc(sizeof(SfWindow *) * n);
	uint32 *hashes = palloc(sizeof(uint32) * n);
	Datum *keys[3];
	bool *nulls[3];
	SfGroup **groups = palloc(sizeof(SfGroup *) * n);
	int *w = palloc(sizeof(int) * n);
	int *k = palloc(sizeof(int) * n);

	for (int column = 0; column < 3; column++)
	{
		keys[column] = palloc(sizeof(Datum) * n);
		nulls[column] = palloc(sizeof(bool) * n);
	}
	for (int i = 0; i < n; i++)
	{
		Datum row_keys[3];
		bool row_nulls[3];

		w[i] = any_of(model, MODEL_WINDOWS);
		k[i] = any_of(model, model->nkeys);
		windows[i] = model_window(model, w[i]);
		model_key(model, k[i], row_keys, row_nulls);
		for (int column = 0; column < 3; column++)
		{
			keys[column][i] = row_keys[column];
			nulls[column][i] = row_nulls[column];
		}
	}
	sf_layout_hash_batch(model->layout, keys, nulls, hashes, n);
	if (sf_layout_is_int(model->layout) && any_of(model, 2))
		sf_store_touch_int_batch(model->store, windows, hashes, keys[0], groups, n);
	else
		sf_store_touch_batch(model->store, windows, hashes, keys, nulls, groups, n);
	for (int i = 0; i < n; i++)
		add_row(model, w[i], k[i], groups[i]);
}

static void
check_result(Model *model, SfTick tick, const SfGroupCopy *copy, int agg, Datum expected)
{
	SfBlobSpace blobs = {.area = sf_area(), .fragment = model->fragment, .tick = SF_TICK_NONE};
	SfAggregate *aggregate = model->layout->aggs[agg];
	bool isnull;
	Datum result = sf_aggregate_result(aggregate, &blobs, copy->data + model->layout->state_offset[agg], &isnull);
	bool byval = get_typbyval(aggregate->result_type);
	char *got;
	char *wanted;
	Oid output;
	bool varlena;

	if (!isnull && get_typlen(aggregate->result_type) == -1)
		result = PointerGetDatum(PG_DETOAST_DATUM(result)); /* a short one in its long form */
	if (!isnull && datumIsEqual(result, expected, byval, get_typlen(aggregate->result_type)))
		return;
	getTypeOutputInfo(aggregate->result_type, &output, &varlena);
	got = isnull ? "null" : OidOutputFunctionCall(output, result);
	wanted = OidOutputFunctionCall(output, expected);
	elog(ERROR, "tick %llu read at %llu, aggregate %d: got %s, wanted %s", (unsigned long long) model->tick,
	     (unsigned long long) tick, agg, got, wanted);
}

static void
check_group(Model *model, SfTick tick, const SfGroupCopy *copy, const ModelGroup *expected)
{
	if (expected->count == 0)
		elog(ERROR, "tick %llu read at %llu: a group that should not be there", (unsigned long long) model->tick,
		     (unsigned long long) tick);
	check_result(model, tick, copy, 0, Int64GetDatum(expected->count));
	check_result(model, tick, copy, 1, NumericGetDatum(int64_to_numeric(expected->sum)));
	check_result(model, tick, copy, 2, model_numeric(expected->sum, expected->huge));
	check_result(model, tick, copy, 3, PointerGetDatum(long_text(expected->longest)));
	if (model->layout->naggs == 4 || any_of(model, 4) > 0)
		return;
	check_result(model, tick, copy, 4, NumericGetDatum(int64_to_numeric(expected->sum)));
	check_result(model, tick, copy, 5, PointerGetDatum(long_text(expected->longest)));
}

static int
key_of(Model *model, const SfGroupCopy *copy)
{
	Datum keys[3];
	bool nulls[3];

	sf_group_keys(model->layout, sf_area(), copy->data, keys, nulls);
	return key_number(model, keys, nulls);
}

static void
check_all(Model *model, SfTick tick)
{
	ModelState *expected = &model->at[tick];
	int from = any_of(model, MODEL_WINDOWS);
	int wanted = 0;
	SfGroupCopy copy;
	SfStoreScan *scan = sf_store_scan_begin(CurrentMemoryContext, model->fragment, model->layout, tick,
	                                        GetActiveSnapshot(), from * 10, SF_TIME_INFINITY);

	while (sf_store_scan_next(scan, &copy))
	{
		check_group(model, tick, &copy, &(*expected)[copy.start / 10][key_of(model, &copy)]);
		wanted--;
	}
	for (int w = from; w < MODEL_WINDOWS; w++)
		for (int k = 0; k < model->nkeys; k++)
			wanted += (*expected)[w][k].count > 0;
	if (wanted != 0)
		elog(ERROR, "tick %llu read at %llu: %d groups too few", (unsigned long long) model->tick,
		     (unsigned long long) tick, wanted);
	sf_store_scan_end(scan);
}

static void
check_key(Model *model, SfTick tick)
{
	ModelState *expected = &model->at[tick];
	int k = any_of(model, model->nkeys);
	int wanted = 0;
	SfGroupCopy copy;
	Datum keys[3];
	bool nulls[3];
	SfStoreScan *scan = sf_store_scan_begin(CurrentMemoryContext, model->fragment, model->layout, tick,
	                                        GetActiveSnapshot(), 0, SF_TIME_INFINITY);

	model_key(model, k, keys, nulls);
	sf_store_scan_key(scan, keys, nulls);
	while (sf_store_scan_next(scan, &copy))
	{
		if (key_of(model, &copy) != k)
			elog(ERROR, "a group of another key");
		check_group(model, tick, &copy, &(*expected)[copy.start / 10][k]);
		wanted--;
	}
	for (int w = 0; w < MODEL_WINDOWS; w++)
		wanted += (*expected)[w][k].count > 0;
	if (wanted != 0)
		elog(ERROR, "tick %llu read at %llu by key: %d groups too few", (unsigned long long) model->tick,
		     (unsigned long long) tick, wanted);
	sf_store_scan_end(scan);
}

/* The ticks that a pin holds read as they were. */
static void
check_pinned(Model *model)
{
	SfTick any = model->pinned + any_of(model, model->published - model->pinned + 1);

	check_all(model, model->pinned);
	check_all(model, any);
	check_all(model, model->published);
	check_key(model, any);
}

static void
worker_dies(Model *model)
{
	model->store = sf_store_create(CurrentMemoryContext, model->fragment, model->layout);
	sf_store_take_over(model->store, model->published);
}

static void
undone(Model *model)
{
	/* The number of the tick is used up: readers at it see what was before. */
	memcpy(&model->at[model->tick], &model->at[model->published], sizeof(ModelState));
	memcpy(&model->now, &model->at[model->published], sizeof(ModelState));
}

/* A window closes and leaves memory: no tick shows it any more. */
static void
close_window(Model *model, uint64 committed_xid)
{
	int w = any_of(model, MODEL_WINDOWS);
	SfWindow *window = sf_store_find_window(model->store, w * 10);

	if (window == NULL)
		return;
	LWLockAcquire(&model->fragment->lock, LW_EXCLUSIVE);
	window->closed = model->tick;
	pg_atomic_write_u64(&window->closed_xid, committed_xid);
	LWLockRelease(&model->fragment->lock);
	memset(model->now[w], 0, sizeof(model->now[w]));
	for (SfTick tick = 0; tick <= model->tick; tick++)
		memset(model->at[tick][w], 0, sizeof(model->now[w]));
}

static void
one_tick(Model *model, uint64 committed_xid)
{
	int fate = any_of(model, 10);
	bool closing = fate > 5 && any_of(model, 4) == 0;

	sf_store_begin(model->store, ++model->tick);
	if (any_of(model, 2))
		add_rows_in_batch(model, any_of(model, 600));
	else
		add_rows_one_by_one(model, any_of(model, 200));
	if (model->layout->groups_leave)
	{
		remove_groups(model, any_of(model, 150));
		touch_and_forget(model);
		add_rows_in_batch(model, any_of(model, 100));
	}
	check_pinned(model);
	if (closing)
		close_window(model, committed_xid);
	if (model->layout->groups_leave)
		forget_groups(model);
	memcpy(&model->at[model->tick], &model->now, sizeof(ModelState));

	if (fate < 2)
	{
		sf_store_rollback(model->store);
		undone(model);
	}
	else if (fate < 4)
	{
		worker_dies(model);
		undone(model);
	}
	else
	{
		model->published = model->tick;
		if (fate == 4)
			worker_dies(model); /* between publishing and the bookkeeping */
		else
			sf_store_publish(model->store);
	}
	check_pinned(model);
	if (any_of(model, 3) == 0)
		model->pinned += any_of(model, model->published - model->pinned + 1);

	/* All windows close under the same old transaction, which only a new worker looks at again. */
	if (closing)
		worker_dies(model);
	save_windows(model);
	sf_store_reclaim(model->store, model->pinned, closing ? PG_UINT64_MAX : 0);
	check_index(model);
	check_pinned(model);
}

/* random_ticks(keys "char", seed int, committed xid8, leaving): ticks that succeed, fail, or lose their worker. */
Datum
sf_test_random_ticks(PG_FUNCTION_ARGS)
{
	Model *model = palloc0(sizeof(Model));
	uint64 bytes_before = pg_atomic_read_u64(&sf_shared->state_bytes);
	dsa_pointer pointer;
	uint64 most = 0;

	model->keys = PG_GETARG_CHAR(0);
	pg_prng_seed(&model->random, PG_GETARG_INT32(1));
	model->nkeys = model->keys == 'n' ? 1 : MODEL_KEYS;
	model->at = palloc0(sizeof(ModelState) * (MODEL_TICKS + 1));
	model->layout = model_layout(model->keys, PG_GETARG_BOOL(3));
	model->forgotten = SF_LIFE_LEAST;
	model->fragment = sf_test_fragment(&pointer);
	model->store = sf_store_create(CurrentMemoryContext, model->fragment, model->layout);
	for (int i = 0; i < MODEL_TICKS; i++)
	{
		one_tick(model, PG_GETARG_INT64(2));
		most = Max(most, pg_atomic_read_u64(&model->fragment->bytes));
	}

	sf_store_reclaim(model->store, SF_TICK_MAX, PG_UINT64_MAX);
	if (pg_atomic_read_u64(&model->fragment->undo_bytes) != 0)
		elog(ERROR, "pre-images are left that nobody needs");

	/* In a tick, with and without a layout. */
	sf_store_begin(model->store, ++model->tick);
	add_rows_in_batch(model, 300);
	if (any_of(model, 2))
		sf_store_reset(model->store);
	else
		sf_store_discard(model->fragment);
	sf_test_check_empty(model->fragment, bytes_before);
	dsa_free(sf_area(), pointer);
	PG_RETURN_BOOL(most > 0);
}

/* ---- churn ---- */

/* The keys from first to first + n: new ones, or such as are to leave. */
static void
churn_keys(Model *model, int64 first, int n, bool leave)
{
	for (int64 k = first; k < first + n; k++)
	{
		SfWindow *window = sf_store_window(model->store, SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
		Datum keys[3];
		bool nulls[3];
		SfGroup *group;

		model_key(model, (int) (k % 10000000) + 1, keys, nulls);
		group = sf_store_touch(model->store, window, sf_layout_hash(model->layout, keys, nulls), keys, nulls);
		if (leave)
			sf_store_remove(model->store, window, group);
		else
			add_row(model, 0, 0, group);
	}
}

/*
 * churn(keys "char", ticks int, OUT early int8, OUT late int8): each tick brings a hundred new keys, and those of ten ticks
 * ago leave.  The most bytes of the first tenth, and of all the rest.
 */
Datum
sf_test_churn(PG_FUNCTION_ARGS)
{
	Model *model = palloc0(sizeof(Model));
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "rows", ALLOCSET_DEFAULT_SIZES);
	int64 nticks = PG_GETARG_INT32(1);
	Datum most[2] = {0, 0};
	bool nulls[2] = {false, false};
	dsa_pointer pointer;
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	model->keys = PG_GETARG_CHAR(0);
	pg_prng_seed(&model->random, 1);
	model->layout = model_layout(model->keys, true);
	model->fragment = sf_test_fragment(&pointer);
	model->store = sf_store_create(CurrentMemoryContext, model->fragment, model->layout);
	for (int64 tick = 1; tick <= nticks; tick++)
	{
		MemoryContext old = MemoryContextSwitchTo(rows);
		int late = tick > nticks / 10;

		model->tick = tick;
		sf_store_begin(model->store, tick);
		churn_keys(model, tick * 100, 100, false);
		if (tick > 10)
			churn_keys(model, (tick - 10) * 100, 100, true);
		sf_store_publish(model->store);
		sf_store_window_at(model->store, 0)->saved.tick = tick;
		sf_store_reclaim(model->store, tick, 0);
		most[late] = Max(most[late], pg_atomic_read_u64(&model->fragment->bytes));
		if (pg_atomic_read_u64(&model->fragment->groups) != (uint64) Min(tick, 10) * 100)
			elog(ERROR, "%llu groups are counted", (unsigned long long) pg_atomic_read_u64(&model->fragment->groups));
		MemoryContextSwitchTo(old);
		MemoryContextReset(rows);
	}
	sf_store_reset(model->store);
	dsa_free(sf_area(), pointer);
	return HeapTupleGetDatum(heap_form_tuple(desc, most, nulls));
}

/* ---- the memory limit ---- */

static void
fill(SfStore *store, SfLayout *layout, int64 ngroups)
{
	for (int64 i = 0; i < ngroups; i++)
	{
		Datum key = Int64GetDatum(i);
		bool null = false;

		sf_store_touch(store, sf_store_window(store, 0, 1), sf_layout_hash(layout, &key, &null), &key, &null);
	}
}

static int64
count_groups(SfFragment *fragment, SfLayout *layout, SfTick tick)
{
	SfStoreScan *scan = sf_store_scan_begin(CurrentMemoryContext, fragment, layout, tick, GetActiveSnapshot(),
	                                        SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
	SfGroupCopy copy;
	int64 n = 0;

	while (sf_store_scan_next(scan, &copy))
		n++;
	sf_store_scan_end(scan);
	return n;
}

/* memory_limit() returns text: the error of a tick that needs too much; what was published before stays readable. */
Datum
sf_test_memory_limit(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	uint64 bytes_before = pg_atomic_read_u64(&sf_shared->state_bytes);
	int limit = sf_state_memory_mb;
	dsa_pointer pointer;
	SfFragment *fragment = sf_test_fragment(&pointer);
	SfLayout *layout = model_layout('i', false);
	SfStore *store = sf_store_create(CurrentMemoryContext, fragment, layout);
	ErrorData *error = NULL;
	int64 left;

	sf_store_begin(store, 1);
	fill(store, layout, 100);
	sf_store_publish(store);

	sf_state_memory_mb = bytes_before / (1024 * 1024) + 2;
	sf_store_begin(store, 2);
	PG_TRY();
	{
		fill(store, layout, 1000000);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	sf_state_memory_mb = limit;
	if (LWLockHeldByMe(&fragment->lock))
		elog(ERROR, "the lock was kept");
	sf_store_rollback(store);
	left = count_groups(fragment, layout, 1);
	sf_store_reset(store);
	sf_test_check_empty(fragment, bytes_before);
	dsa_free(sf_area(), pointer);
	PG_RETURN_TEXT_P(cstring_to_text(
	    psprintf("%s, then %lld groups as before", error != NULL ? error->message : "no error", (long long) left)));
}

/* ---- closing ---- */

static void
close_first(SfStore *store, SfFragment *fragment, SfTick tick, uint64 xid)
{
	SfWindow *window = sf_store_window_at(store, 0);

	sf_store_begin(store, tick);
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	window->closed = tick;
	pg_atomic_write_u64(&window->closed_xid, xid);
	LWLockRelease(&fragment->lock);
	sf_store_publish(store);
}

/*
 * closing(committed xid8, aborted xid8) returns setof record: what a reader finds of a window of 10 groups, and how many
 * windows are in memory, when its closing is committed, was aborted, or is under way; and after a reset.
 */
Datum
sf_test_closing(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64 committed = PG_GETARG_INT64(0);
	uint64 aborted = PG_GETARG_INT64(1);
	uint64 running = U64FromFullTransactionId(GetTopFullTransactionId());
	dsa_pointer pointer;
	SfFragment *fragment = sf_test_fragment(&pointer);
	SfLayout *layout = model_layout('i', false);
	SfStore *store = sf_store_create(CurrentMemoryContext, fragment, layout);
	SfTick tick = 1;

#define REPORT(what)                                                                                                   \
	do                                                                                                                 \
	{                                                                                                                  \
		Datum values[] = {CStringGetTextDatum(what), Int64GetDatum(count_groups(fragment, layout, tick)),              \
		                  Int32GetDatum(sf_store_nwindows(store))};                                                    \
		bool nulls[] = {false, false, false};                                                                          \
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);                                       \
	} while (0)

	InitMaterializedSRF(fcinfo, 0);
	sf_store_begin(store, tick);
	fill(store, layout, 10);
	sf_store_publish(store);
	REPORT("open");

	close_first(store, fragment, ++tick, committed);
	sf_store_reclaim(store, tick, committed);
	REPORT("closed, kept for older readers");
	sf_store_reclaim(store, tick, committed + 1);
	REPORT(U64FromFullTransactionId(fragment->evicted_xid) == committed ? "evicted" : "evicted, but by whom?");

	sf_store_begin(store, ++tick);
	fill(store, layout, 10);
	sf_store_publish(store);
	close_first(store, fragment, ++tick, aborted);
	sf_store_reclaim(store, tick, aborted + 1);
	REPORT("closing was aborted");
	sf_store_take_over(store, tick);
	REPORT(pg_atomic_read_u64(&sf_store_window_at(store, 0)->closed_xid) == 0 ? "to be closed again" : "still closed");

	close_first(store, fragment, ++tick, running);
	sf_store_reclaim(store, tick, running + 1);
	REPORT("closing is under way");
	sf_store_reset(store);
	PG_TRY();
	{
		count_groups(fragment, layout, tick);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
		error = CopyErrorData();
		FlushErrorState();
		tick = fragment->valid_from;
		REPORT(error->message);
	}
	PG_END_TRY();
	dsa_free(sf_area(), pointer);
	return (Datum) 0;
}

#endif /* STREAMFUSE_TEST */
