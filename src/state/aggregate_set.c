/*
 * aggregate_set.c
 *		DISTINCT: the inputs of an aggregate as a set, in which each value is once.
 *
 * Where the types can be hashed, a list (state/list.h) is kept free of repetitions: a row costs a look-up, and memory and
 * the answer go by what is distinct.  Else repetitions are sorted out now and then (aggregate_collected.c).  Values are the
 * same when DISTINCT says so: column by column by the default equality of the type, nulls being equal.  One value that is
 * passed by value, as numbers and times are, is its code, and kept as nothing else.
 *
 * count(DISTINCT …) is the number of entries, but for a null; all other aggregates get the set's values from PostgreSQL's
 * executor.
 */
#include "state/aggregate_private.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/typcache.h"

#include "state/store.h"

/* So many rows before it is needed is asked for a table's slot, and for an entry. */
#define SLOTS_AHEAD 16
#define ENTRIES_AHEAD 8

typedef struct SetKeys
{
	int nkeys;
	SfKeyColumn *keys;
	bool is_plain; /* one column, passed by value and told apart by that: codes are exact */
} SetKeys;

/* What is looked for. */
typedef struct SetProbe
{
	CollectedAggregate *collected;
	const Datum *values;
	const bool *nulls;
} SetProbe;

/* ---- which sets ---- */

/* DISTINCT by other than the default equality, as after ORDER BY … USING, is not ours. */
static bool
has_default_equality(const AggregateImpl *agg)
{
	ListCell *cell;

	foreach (cell, agg->public.aggref->aggdistinct)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Node *expr = get_sortgroupclause_expr(clause, agg->public.aggref->args);

		if (clause->eqop != lookup_type_cache(exprType(expr), TYPECACHE_EQ_OPR)->eq_opr)
			return false;
	}
	return true;
}

void
sf_set_create(AggregateImpl *agg)
{
	CollectedAggregate *collected = agg->collected;
	TupleDesc desc = collected->desc;
	SetKeys *set;

	if (agg->public.aggref->aggdistinct == NIL || desc->natts == 0 || !has_default_equality(agg))
		return;
	for (int i = 0; i < desc->natts; i++)
		if (!sf_key_can_hash(TupleDescAttr(desc, i)->atttypid))
			return;
	set = palloc0(sizeof(SetKeys));
	set->nkeys = desc->natts;
	set->keys = palloc0(sizeof(SfKeyColumn) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		sf_key_init(collected->context, &set->keys[i], column->atttypid, column->atttypmod, column->attcollation);
	}
	set->is_plain = set->nkeys == 1 && set->keys[0].kind == SF_KEY_DATUM;
	collected->set = set;
	agg->public.counts_list = agg->public.aggref->aggfnoid == F_COUNT_ANY;
}

/* ---- values ---- */

/* Of one argument, which is null: what the aggregate counts, if it is count, are others. */
static inline bool
is_null(const CollectedAggregate *collected, const bool *nulls)
{
	return !collected->has_rows && collected->set->nkeys == 1 && nulls[0];
}

/* A number for each value of a type that has no more values than there are numbers; and back. */
static inline uint64
mix(uint64 value)
{
	value = (value ^ UINT64CONST(0xA0761D6478BD642F)) * UINT64CONST(0x9E3779B97F4A7C15);
	value = (value ^ value >> 32) * UINT64CONST(0xD6E8FEB86659FD93);
	return value ^ value >> 32;
}

static inline uint64
unmix(uint64 value)
{
	value = (value ^ value >> 32) * UINT64CONST(0xCFEE444D8B59A89B);
	value = (value ^ value >> 32) * UINT64CONST(0xF1DE83E19937733D);
	return value ^ UINT64CONST(0xA0761D6478BD642F);
}

static inline SfSetCode
code_of(SetKeys *set, const Datum *values, const bool *nulls)
{
	if (!set->is_plain)
		return (SfSetCode){(uint64) sf_key_columns_hash(set->keys, set->nkeys, values, nulls) << 32, false};
	if (*nulls)
		return (SfSetCode){SF_COMMON_CODE, true};
	return (SfSetCode){Max(mix(sf_key_normal(*values, set->keys[0].typlen)), SF_COMMON_CODE), true};
}

/* The values of an entry.  Those that are passed by reference point into it. */
static void
entry_values(const CollectedAggregate *collected, const SfEntry *entry, Datum *values, bool *nulls)
{
	const MinimalTupleData *tuple = &entry->values;
	HeapTupleData heap;

	if (entry->length == SfEntryWithoutValues)
	{
		values[0] = sf_set_value(entry);
		nulls[0] = false;
		return;
	}
	heap.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
	heap.t_data = (HeapTupleHeader) ((char *) tuple - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&heap, collected->desc, values, nulls);
}

Datum
sf_set_value(const SfEntry *entry)
{
	return (Datum) unmix(sf_entry_code(entry).code);
}

static bool
is_same(const SfEntry *entry, void *arg)
{
	const SetProbe *probe = arg;
	SetKeys *set = probe->collected->set;
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];

	entry_values(probe->collected, entry, values, nulls);
	for (int i = 0; i < set->nkeys; i++)
	{
		if (nulls[i] != probe->nulls[i])
			return false;
		if (!nulls[i] && !sf_key_equal(&set->keys[i], values[i], probe->values[i]))
			return false;
	}
	return true;
}

static bool
contains(CollectedAggregate *collected, SfBlobSpace *blobs, const CollectedState *state, SfSetCode code,
         const Datum *values, const bool *nulls)
{
	SetProbe probe = {collected, values, nulls};

	if (is_null(collected, nulls))
		return state->null_at > 0;
	return sf_list_contains(blobs, &state->list, code, is_same, &probe);
}

/* Values that the set does not have; tuple: NULL where the code says what they are. */
static void
append(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, SfSetCode code, const MinimalTupleData *tuple,
       bool is_null)
{
	uint32 length = tuple != NULL ? SfEntryLength(tuple->t_len) : SfEntryWithoutValues;
	SfEntry *entry;

	sf_collected_check_size(agg, state, length);
	entry = sf_list_append_coded(blobs, &state->list, length, code);
	if (tuple != NULL)
		memcpy(&entry->values, tuple, tuple->t_len);
	if (is_null)
		state->null_at = state->list.count;
}

static inline const MinimalTupleData *
entry_tuple(const SfEntry *entry)
{
	return entry->length == SfEntryWithoutValues ? NULL : &entry->values;
}

/* ---- the aggregate's state ---- */

static void
add(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, SfSetCode code, const Datum *values,
    const bool *nulls)
{
	CollectedAggregate *collected = agg->collected;
	MinimalTuple tuple;

	if (contains(collected, blobs, state, code, values, nulls))
		return;
	if (code.exact && code.code != SF_COMMON_CODE)
	{
		append(agg, blobs, state, code, NULL, false);
		return;
	}
	tuple = sf_collected_form(collected->desc, values, nulls);
	append(agg, blobs, state, code, tuple, is_null(collected, nulls));
	heap_free_minimal_tuple(tuple);
}

void
sf_set_add(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const Datum *values, const bool *nulls)
{
	add(agg, blobs, state, code_of(agg->collected->set, values, nulls), values, nulls);
}

static void
take_row(const SetKeys *set, Datum **args, bool **nulls, int i, Datum *row_values, bool *row_nulls)
{
	for (int key = 0; key < set->nkeys; key++)
	{
		row_values[key] = args[key][i];
		row_nulls[key] = nulls[key] != NULL && nulls[key][i];
	}
}

/* A set is mostly larger than the processor's caches: what a row asks for is fetched while the rows before are at work. */
void
sf_set_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls, int n)
{
	SetKeys *set = agg->collected->set;
	SfSetCode *codes = palloc(sizeof(SfSetCode) * Max(n, 1));
	int *rows = palloc(sizeof(int) * Max(n, 1));
	Datum row_values[FUNC_MAX_ARGS];
	bool row_nulls[FUNC_MAX_ARGS];
	int nrows = 0;

	for (int i = 0; i < n; i++)
		if (states[i] != NULL)
		{
			take_row(set, args, nulls, i, row_values, row_nulls);
			rows[nrows] = i;
			codes[nrows++] = code_of(set, row_values, row_nulls);
		}
	for (int i = 0; i < nrows; i++)
	{
		if (i + SLOTS_AHEAD < nrows)
			sf_list_prefetch_slot(blobs, &((CollectedState *) states[rows[i + SLOTS_AHEAD]])->list,
			                      codes[i + SLOTS_AHEAD]);
		if (i + ENTRIES_AHEAD < nrows)
			sf_list_prefetch_entry(blobs, &((CollectedState *) states[rows[i + ENTRIES_AHEAD]])->list,
			                       codes[i + ENTRIES_AHEAD]);
		take_row(set, args, nulls, rows[i], row_values, row_nulls);
		add(agg, blobs, (CollectedState *) states[rows[i]], codes[i], row_values, row_nulls);
	}
	pfree(codes);
	pfree(rows);
}

void
sf_set_combine(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const SfEntry *entry)
{
	CollectedAggregate *collected = agg->collected;
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];

	entry_values(collected, entry, values, nulls);
	if (!contains(collected, blobs, state, sf_entry_code(entry), values, nulls))
		append(agg, blobs, state, sf_entry_code(entry), entry_tuple(entry), is_null(collected, nulls));
}

/* What a checkpoint has: codes are computed anew, since they may be another release's. */
void
sf_set_load(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const char *data, uint32 length)
{
	const char *end = data + length;

	if (state->null_at > state->list.count)
		state->null_at = 0;
	while (data < end)
	{
		Datum values[FUNC_MAX_ARGS];
		bool nulls[FUNC_MAX_ARGS];
		SfEntry *entry = sf_list_read_entry(&data, end);

		entry_values(agg->collected, entry, values, nulls);
		append(agg, blobs, state, code_of(agg->collected->set, values, nulls), entry_tuple(entry),
		       is_null(agg->collected, nulls));
		pfree(entry);
	}
}

Datum
sf_set_count(const CollectedState *state)
{
	return Int64GetDatum((int64) state->list.count - (state->null_at > 0));
}
