/*
 * pick.c
 *		The aggregates first, last and last_n: values of the rows that come first or last in the order of another argument.
 *
 * Rows are ordered by ts, then by value, nulls last, then by the value's bytes: so the answer does not depend on the order
 * in which rows come.  A row without ts has no place in that order and is ignored.  A state keeps n rows in a heap, at
 * whose top is the row to be dropped next, and is as large as these rows.  It can be combined and serialised, in a form
 * that names the types by oid and is good for this cluster only, like any saved state.
 *
 * Plain SQL functions: they know nothing of streams.
 */
#include "aggregate/memory.h"

#include "lib/binaryheap.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(sf_first_transition);
PG_FUNCTION_INFO_V1(sf_last_transition);
PG_FUNCTION_INFO_V1(sf_last_n_transition);
PG_FUNCTION_INFO_V1(sf_pick_combine);
PG_FUNCTION_INFO_V1(sf_pick_serialise);
PG_FUNCTION_INFO_V1(sf_pick_deserialise);
PG_FUNCTION_INFO_V1(sf_pick_value);
PG_FUNCTION_INFO_V1(sf_pick_array);

#define MAX_ROWS 1000 /* of last_n; documented */

typedef struct PickedRow
{
	Datum ts;
	Datum value; /* both in the state's memory; varlenas are flat */
	bool isnull;
} PickedRow;

typedef struct Pick
{
	MemoryContext memory;
	int n;        /* rows kept at most */
	bool forward; /* the first ones, not the last */
	Oid collation;
	TypeCacheEntry *ts;
	TypeCacheEntry *value; /* may have no comparison function */
	binaryheap *rows;      /* of PickedRow *; on top what is dropped next */
} Pick;

/* ---- the order of rows ---- */

static int
compare_bytes(const TypeCacheEntry *type, Datum a, Datum b)
{
	Size length_a;
	Size length_b;
	int result;

	if (type->typbyval)
		return a == b ? 0 : (int64) a < (int64) b ? -1 : 1;
	if (type->typlen == -1)
	{
		a = PointerGetDatum(PG_DETOAST_DATUM(a));
		b = PointerGetDatum(PG_DETOAST_DATUM(b));
	}
	length_a = datumGetSize(a, false, type->typlen);
	length_b = datumGetSize(b, false, type->typlen);
	result = memcmp(DatumGetPointer(a), DatumGetPointer(b), Min(length_a, length_b));
	return result != 0 ? result : length_a == length_b ? 0 : length_a < length_b ? -1 : 1;
}

static int
compare_rows(const PickedRow *a, const PickedRow *b, const Pick *pick)
{
	int result = DatumGetInt32(FunctionCall2Coll(&pick->ts->cmp_proc_finfo, pick->collation, a->ts, b->ts));

	if (result != 0)
		return result;
	if (a->isnull || b->isnull)
		return (int) a->isnull - (int) b->isnull;
	if (OidIsValid(pick->value->cmp_proc_finfo.fn_oid))
		result = DatumGetInt32(FunctionCall2Coll(&pick->value->cmp_proc_finfo, pick->collation, a->value, b->value));
	return result != 0 ? result : compare_bytes(pick->value, a->value, b->value);
}

/* Which of two rows is dropped first: above zero when it is a. */
static int
compare_for_heap(Datum a, Datum b, void *arg)
{
	const Pick *pick = arg;
	int order = compare_rows((PickedRow *) DatumGetPointer(a), (PickedRow *) DatumGetPointer(b), pick);

	return pick->forward ? order : order < 0 ? 1 : order > 0 ? -1 : 0;
}

static int
compare_for_sort(const void *a, const void *b, void *arg)
{
	return compare_rows(*(PickedRow *const *) a, *(PickedRow *const *) b, arg);
}

/* ---- states ---- */

static Pick *
pick_create(MemoryContext memory, int n, bool forward, Oid value_type, Oid ts_type, Oid collation)
{
	MemoryContext old = MemoryContextSwitchTo(memory);
	Pick *pick = palloc0(sizeof(Pick));

	pick->memory = memory;
	pick->n = n;
	pick->forward = forward;
	pick->collation = collation;
	pick->value = lookup_type_cache(value_type, TYPECACHE_CMP_PROC_FINFO);
	pick->ts = lookup_type_cache(ts_type, TYPECACHE_CMP_PROC_FINFO);
	if (!OidIsValid(pick->ts->cmp_proc_finfo.fn_oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
		                errmsg("could not identify a comparison function for type %s", format_type_be(ts_type))));
	pick->rows = binaryheap_allocate(n, compare_for_heap, pick);
	MemoryContextSwitchTo(old);
	return pick;
}

/* A value that belongs to the current memory context; a varlena comes out flat. */
static Datum
keep(const TypeCacheEntry *type, Datum value)
{
	if (type->typlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, type->typbyval, type->typlen);
}

static void
drop(const TypeCacheEntry *type, Datum value)
{
	if (!type->typbyval)
		pfree(DatumGetPointer(value));
}

static void
set_row(Pick *pick, PickedRow *to, const PickedRow *from)
{
	MemoryContext old = MemoryContextSwitchTo(pick->memory);

	to->ts = keep(pick->ts, from->ts);
	to->isnull = from->isnull;
	to->value = from->isnull ? (Datum) 0 : keep(pick->value, from->value);
	MemoryContextSwitchTo(old);
}

/* One more row.  Most are not among those kept, and are only looked at. */
static void
pick_add(Pick *pick, const PickedRow *row)
{
	PickedRow *top;

	if (pick->rows->bh_size < pick->n)
	{
		top = MemoryContextAlloc(pick->memory, sizeof(PickedRow));
		set_row(pick, top, row);
		binaryheap_add(pick->rows, PointerGetDatum(top));
		return;
	}
	top = (PickedRow *) DatumGetPointer(binaryheap_first(pick->rows));
	if (compare_for_heap(PointerGetDatum(row), PointerGetDatum(top), pick) >= 0)
		return;
	drop(pick->ts, top->ts);
	if (!top->isnull)
		drop(pick->value, top->value);
	set_row(pick, top, row);
	binaryheap_replace_first(pick->rows, PointerGetDatum(top));
}

/* ---- transition and combination ---- */

static void
check_same_n(const Pick *pick, int n)
{
	if (pick->n != n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("argument n of last_n must be the same in all rows of a group")));
}

static Pick *
state_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : (Pick *) PG_GETARG_POINTER(argument);
}

/* Folds a row in that has a ts. */
static Datum
add_row(FunctionCallInfo fcinfo, int n, bool forward)
{
	MemoryContext memory = aggregate_memory(fcinfo);
	Pick *pick = state_argument(fcinfo, 0);
	PickedRow row;

	if (pick == NULL)
		pick = pick_create(memory, n, forward, get_fn_expr_argtype(fcinfo->flinfo, 1),
		                   get_fn_expr_argtype(fcinfo->flinfo, 2), PG_GET_COLLATION());
	check_same_n(pick, n);
	row.isnull = PG_ARGISNULL(1);
	row.value = row.isnull ? (Datum) 0 : PG_GETARG_DATUM(1);
	row.ts = PG_GETARG_DATUM(2);
	pick_add(pick, &row);
	PG_RETURN_POINTER(pick);
}

static Datum
ignore_row(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

Datum
sf_first_transition(PG_FUNCTION_ARGS)
{
	return PG_ARGISNULL(2) ? ignore_row(fcinfo) : add_row(fcinfo, 1, true);
}

Datum
sf_last_transition(PG_FUNCTION_ARGS)
{
	return PG_ARGISNULL(2) ? ignore_row(fcinfo) : add_row(fcinfo, 1, false);
}

Datum
sf_last_n_transition(PG_FUNCTION_ARGS)
{
	int n = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);

	if (PG_ARGISNULL(2))
		return ignore_row(fcinfo);
	if (n < 1 || n > MAX_ROWS)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("argument n of last_n must be from 1 to %d", MAX_ROWS),
		         n <= MAX_ROWS
		             ? 0
		             : errhint("For more rows, group by the argument as well, or use array_agg() with ORDER BY.")));
	return add_row(fcinfo, n, false);
}

/* A null state on the left takes a copy, since what is deserialised belongs to no aggregate. */
Datum
sf_pick_combine(PG_FUNCTION_ARGS)
{
	MemoryContext memory = aggregate_memory(fcinfo);
	Pick *left = state_argument(fcinfo, 0);
	Pick *right = state_argument(fcinfo, 1);

	if (right != NULL)
	{
		if (left == NULL)
			left = pick_create(memory, right->n, right->forward, right->value->type_id, right->ts->type_id,
			                   PG_GET_COLLATION());
		check_same_n(left, right->n);
		for (int i = 0; i < right->rows->bh_size; i++)
			pick_add(left, (PickedRow *) DatumGetPointer(right->rows->bh_nodes[i]));
	}
	if (left == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(left);
}

/* ---- the serialised form ---- */

static void
send_value(StringInfo out, const TypeCacheEntry *type, Datum value)
{
	Size length;

	if (type->typbyval)
	{
		pq_sendint64(out, (int64) value);
		return;
	}
	length = datumGetSize(value, false, type->typlen);
	pq_sendint32(out, (uint32) length);
	pq_sendbytes(out, DatumGetPointer(value), (int) length);
}

static Datum
receive_value(StringInfo in, const TypeCacheEntry *type)
{
	int length;
	char *copy;

	if (type->typbyval)
		return (Datum) pq_getmsgint64(in);
	length = pq_getmsgint(in, 4);
	copy = palloc(length);
	memcpy(copy, pq_getmsgbytes(in, length), length);
	return PointerGetDatum(copy);
}

Datum
sf_pick_serialise(PG_FUNCTION_ARGS)
{
	Pick *pick = (Pick *) PG_GETARG_POINTER(0);
	StringInfoData out;

	aggregate_memory(fcinfo);
	pq_begintypsend(&out);
	pq_sendint32(&out, pick->n);
	pq_sendbyte(&out, pick->forward);
	pq_sendint32(&out, pick->value->type_id);
	pq_sendint32(&out, pick->ts->type_id);
	pq_sendint32(&out, pick->rows->bh_size);
	for (int i = 0; i < pick->rows->bh_size; i++)
	{
		const PickedRow *row = (PickedRow *) DatumGetPointer(pick->rows->bh_nodes[i]);

		send_value(&out, pick->ts, row->ts);
		pq_sendbyte(&out, row->isnull);
		if (!row->isnull)
			send_value(&out, pick->value, row->value);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/* The heap's order is kept, so that nothing has to be compared: there is no collation here. */
Datum
sf_pick_deserialise(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	StringInfoData in;
	Pick *pick;
	int n;
	bool forward;
	Oid value_type;
	int count;

	aggregate_memory(fcinfo);
	initStringInfo(&in);
	appendBinaryStringInfo(&in, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
	n = pq_getmsgint(&in, 4);
	forward = pq_getmsgbyte(&in) != 0;
	value_type = pq_getmsgint(&in, 4);
	pick = pick_create(CurrentMemoryContext, n, forward, value_type, pq_getmsgint(&in, 4), InvalidOid);
	count = pq_getmsgint(&in, 4);
	for (int i = 0; i < count; i++)
	{
		PickedRow *row = palloc(sizeof(PickedRow));

		row->ts = receive_value(&in, pick->ts);
		row->isnull = pq_getmsgbyte(&in) != 0;
		row->value = row->isnull ? (Datum) 0 : receive_value(&in, pick->value);
		binaryheap_add_unordered(pick->rows, PointerGetDatum(row));
	}
	pick->rows->bh_has_heap_property = true;
	pq_getmsgend(&in);
	pfree(in.data);
	PG_RETURN_POINTER(pick);
}

/* ---- answers ---- */

/* Of a state of one row. */
Datum
sf_pick_value(PG_FUNCTION_ARGS)
{
	Pick *pick = state_argument(fcinfo, 0);
	const PickedRow *row;

	if (pick == NULL)
		PG_RETURN_NULL();
	row = (PickedRow *) DatumGetPointer(pick->rows->bh_nodes[0]);
	if (row->isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row->value);
}

/* All rows' values, the last one at the end.  The state stays as it is. */
Datum
sf_pick_array(PG_FUNCTION_ARGS)
{
	Pick *pick = state_argument(fcinfo, 0);
	int count = pick == NULL ? 0 : pick->rows->bh_size;
	int lower_bound = 1;
	PickedRow **rows;
	Datum *values;
	bool *nulls;

	if (pick == NULL)
		PG_RETURN_NULL();
	rows = palloc(sizeof(PickedRow *) * count);
	values = palloc(sizeof(Datum) * count);
	nulls = palloc(sizeof(bool) * count);
	for (int i = 0; i < count; i++)
		rows[i] = (PickedRow *) DatumGetPointer(pick->rows->bh_nodes[i]);
	qsort_arg(rows, count, sizeof(PickedRow *), compare_for_sort, pick);
	for (int i = 0; i < count; i++)
	{
		values[i] = rows[i]->value;
		nulls[i] = rows[i]->isnull;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &count, &lower_bound, pick->value->type_id,
	                                         pick->value->typlen, pick->value->typbyval, pick->value->typalign));
}
