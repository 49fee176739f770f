/*
 * aggregate_variance.c
 *		Kernels of variance, stddev and their kin over integers and numeric.
 *
 * A state is the number of values, their sum and the sum of their squares: exact, in 128 and 256 bits, so that the order
 * of rows does not show.  A numeric counts in units of 10000 ^ -fraction, as in aggregate_numeric.c.  What leaves these
 * bounds, NaN and infinities are folded by PostgreSQL's own functions into a state that the blob keeps as
 * numeric_serialize() writes it.
 *
 * The answer is that of PostgreSQL's final function over the same sums: it is called, since how it rounds a root is its
 * own.  Sums and means of an argument whose variance is asked for as well read the same state.
 */
#include "state/aggregate_private.h"
#include "state/numeric_parts.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

typedef struct Moments
{
	int64 count;
	int128 sum;
	uint128 squares[2]; /* the lower half first */
} Moments;

typedef struct NumericMoments
{
	BlobState blob; /* in use: the values that are not in `moments`, serialised */
	int16 dscale;   /* largest of all finite values */
	int16 fraction; /* moments are in units of 10000 ^ -fraction, squares of that squared */
	Moments moments;
} NumericMoments;

/* What a batch has for a state's blob: PostgreSQL's state. */
typedef struct Apart
{
	NumericMoments *state; /* the key */
	Datum internal;
	char status; /* of the hash table */
} Apart;

#define SH_PREFIX aparts
#define SH_ELEMENT_TYPE Apart
#define SH_KEY_TYPE NumericMoments *
#define SH_KEY state
#define SH_HASH_KEY(table, key) murmurhash32((uint32) ((uintptr_t) (key) >> 3))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- sums ---- */

/* The square of a number below 2 ^ 126. */
static inline void
square_of(uint128 value, uint128 *square)
{
	uint128 low = (uint64) value;
	uint128 high = value >> 64;
	uint128 middle = 2 * low * high;

	square[0] = low * low + (middle << 64);
	square[1] = high * high + (middle >> 64) + (square[0] < low * low);
}

/* One more value; false, and all as before, when a sum would overflow. */
static inline bool
moments_add(Moments *state, int128 value)
{
	uint128 magnitude = value < 0 ? -(uint128) value : (uint128) value;
	uint128 square[2];
	uint128 low;
	uint128 high;
	int128 sum;

	if (likely((magnitude >> 64) == 0))
	{
		square[0] = magnitude * magnitude;
		square[1] = 0;
	}
	else
		square_of(magnitude, square);
	low = state->squares[0] + square[0];
	if (unlikely(__builtin_add_overflow(state->sum, value, &sum) ||
	             __builtin_add_overflow(state->squares[1], square[1] + (low < square[0]), &high)))
		return false;
	state->count++;
	state->sum = sum;
	state->squares[0] = low;
	state->squares[1] = high;
	return true;
}

/* All the values of another; false, and all as before, when a sum would overflow. */
static bool
moments_merge(Moments *state, const Moments *other)
{
	uint128 low = state->squares[0] + other->squares[0];
	uint128 high;
	int128 sum;

	if (__builtin_add_overflow(state->sum, other->sum, &sum) ||
	    __builtin_add_overflow(state->squares[1], other->squares[1], &high) ||
	    __builtin_add_overflow(high, (uint128) (low < other->squares[0]), &high))
		return false;
	state->count += other->count;
	state->sum = sum;
	state->squares[0] = low;
	state->squares[1] = high;
	return true;
}

/* Times a small number; false when that overflows. */
static bool
multiply(uint128 *value, uint64 factor)
{
	uint128 limbs[4] = {(uint64) value[0], value[0] >> 64, (uint64) value[1], value[1] >> 64};
	uint128 carry = 0;

	for (int i = 0; i < 4; i++)
	{
		carry += limbs[i] * factor;
		limbs[i] = (uint64) carry;
		carry >>= 64;
	}
	value[0] = limbs[0] | limbs[1] << 64;
	value[1] = limbs[2] | limbs[3] << 64;
	return carry == 0;
}

/* Divided by the base; the remainder. */
static int16
divide(uint128 *value)
{
	uint128 limbs[4] = {(uint64) value[0], value[0] >> 64, (uint64) value[1], value[1] >> 64};
	uint64 rest = 0;

	for (int i = 3; i >= 0; i--)
	{
		uint128 dividend = (uint128) rest << 64 | limbs[i];

		limbs[i] = dividend / NUMERIC_BASE;
		rest = (uint64) (dividend % NUMERIC_BASE);
	}
	value[0] = limbs[0] | limbs[1] << 64;
	value[1] = limbs[2] | limbs[3] << 64;
	return (int16) rest;
}

/* ---- PostgreSQL's own states ---- */

/* Calls a function of numeric's aggregates, in what it takes for an aggregate's context: the current memory context. */
static Datum
call(PGFunction function, Datum first, bool first_null, Datum second, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	ExprContext memory = {.type = T_ExprContext, .ecxt_per_tuple_memory = CurrentMemoryContext};
	AggState context = {.ss.ps.type = T_AggState, .curaggcontext = &memory};
	Datum result;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, (Node *) &context, NULL);
	fcinfo->args[0].value = first;
	fcinfo->args[0].isnull = first_null;
	fcinfo->args[1].value = second;
	fcinfo->args[1].isnull = false;
	result = function(fcinfo);
	*isnull = fcinfo->isnull;
	return result;
}

static Datum
call_surely(PGFunction function, Datum first, bool first_null, Datum second)
{
	bool isnull;
	Datum result = call(function, first, first_null, second, &isnull);

	if (isnull)
		elog(ERROR, "function of numeric's aggregates returned null");
	return result;
}

/* As numericvar_serialize() writes a number. */
static void
append_number(StringInfo out, bool negative, uint128 *value, int fraction, int dscale)
{
	int16 digits[24];
	int first = lengthof(digits);

	while (value[0] != 0 || value[1] != 0)
		digits[--first] = divide(value);
	pq_sendint32(out, lengthof(digits) - first);
	pq_sendint32(out, (int) lengthof(digits) - first - 1 - fraction);
	pq_sendint32(out, negative ? 0x4000 : 0);
	pq_sendint32(out, dscale);
	for (int i = first; i < (int) lengthof(digits); i++)
		pq_sendint16(out, digits[i]);
}

/* PostgreSQL's state for these sums. */
static Datum
internal_state(const Moments *moments, int fraction, int dscale)
{
	StringInfoData out;
	bool negative = moments->sum < 0;
	uint128 sum[2] = {negative ? -(uint128) moments->sum : (uint128) moments->sum, 0};
	uint128 squares[2] = {moments->squares[0], moments->squares[1]};

	pq_begintypsend(&out);
	pq_sendint64(&out, moments->count);
	append_number(&out, negative, sum, fraction, dscale);
	append_number(&out, false, squares, 2 * fraction, 2 * dscale);
	pq_sendint32(&out, dscale);
	pq_sendint64(&out, moments->count); /* values of that scale: only moving aggregates look at it */
	pq_sendint64(&out, 0);              /* NaN */
	pq_sendint64(&out, 0);              /* infinity */
	pq_sendint64(&out, 0);              /* -infinity */
	return call_surely(numeric_deserialize, PointerGetDatum(pq_endtypsend(&out)), false, (Datum) 0);
}

static Datum
blob_state(SfBlobSpace *blobs, const NumericMoments *state)
{
	Datum bytes = PointerGetDatum(sf_blob_get(blobs, state->blob.blob)->data);

	return call_surely(numeric_deserialize, bytes, false, (Datum) 0);
}

/* The blob's state and another in one. */
static Datum
with_blob(SfBlobSpace *blobs, const NumericMoments *state, Datum other)
{
	if (!state->blob.blob_in_use)
		return other;
	return call_surely(numeric_combine, blob_state(blobs, state), false, other);
}

static void
move_to_blob(SfBlobSpace *blobs, NumericMoments *state, Datum other)
{
	Datum all = call_surely(numeric_serialize, with_blob(blobs, state, other), false, (Datum) 0);

	sf_blob_store_datum(blobs, &state->blob.blob, all, -1);
	state->blob.blob_in_use = 1;
}

/* ---- transitions: int2_accum, int4_accum, int8_accum, numeric_accum ---- */

static inline void
int_moments_add(Moments *state, int64 value)
{
	if (!moments_add(state, value))
		elog(ERROR, "sums of more than 2^63 values");
}

#define INT_MOMENTS_BATCH(name, get)                                                                                   \
	static void name(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)                 \
	{                                                                                                                  \
		for (int i = 0; i < n; i++)                                                                                    \
			if (states[i] != NULL && (nulls == NULL || !nulls[i]))                                                     \
				int_moments_add((Moments *) states[i], get(values[i]));                                                \
	}

INT_MOMENTS_BATCH(int2_moments_batch, DatumGetInt16)
INT_MOMENTS_BATCH(int4_moments_batch, DatumGetInt32)
INT_MOMENTS_BATCH(int8_moments_batch, DatumGetInt64)

/* In finer units; false, and all as before, when the sums do not fit then. */
static bool
refine(NumericMoments *state, int fraction)
{
	Moments finer = state->moments;

	if (fraction > MAX_DIGITS)
		return false;
	for (int at = state->fraction; at < fraction; at++)
		if (__builtin_mul_overflow(finer.sum, NUMERIC_BASE, &finer.sum) ||
		    !multiply(finer.squares, NUMERIC_BASE * NUMERIC_BASE))
			return false;
	state->moments = finer;
	state->fraction = fraction;
	return true;
}

/* False, and all but the scale as before, when the value cannot be added to the sums. */
static inline bool
numeric_moments_add(NumericMoments *state, const struct varlena *value)
{
	NumericParts parts;
	int fraction;

	take_apart(value, &parts);
	if (unlikely(parts.special != 0))
		return false;
	state->dscale = Max(state->dscale, parts.dscale);
	fraction = fraction_of(&parts);
	return (fraction <= state->fraction || refine(state, fraction)) && fits(&parts, state->fraction) &&
	       moments_add(&state->moments, in_units(&parts, state->fraction));
}

/* Folds a value into what the batch has for the blob of its state: a blob is read and written once in a batch. */
static void
fold_apart(aparts_hash **aparts, NumericMoments *state, struct varlena *value)
{
	Apart *apart;
	bool found;

	if (*aparts == NULL)
		*aparts = aparts_create(CurrentMemoryContext, 16, NULL);
	apart = aparts_insert(*aparts, state, &found);
	apart->internal = call_surely(numeric_accum, found ? apart->internal : (Datum) 0, !found, PointerGetDatum(value));
}

static void
numeric_moments_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	aparts_hash *aparts = NULL;
	aparts_iterator iterator;
	Apart *apart;

	for (int i = 0; i < n; i++)
	{
		NumericMoments *state = (NumericMoments *) states[i];
		struct varlena *value;

		if (state == NULL || (nulls != NULL && nulls[i]))
			continue;
		value = PG_DETOAST_DATUM_PACKED(values[i]);
		if (unlikely(!numeric_moments_add(state, value)))
			fold_apart(&aparts, state, value);
	}
	if (likely(aparts == NULL))
		return;
	aparts_start_iterate(aparts, &iterator);
	while ((apart = aparts_iterate(aparts, &iterator)) != NULL)
		move_to_blob(blobs, apart->state, apart->internal);
	aparts_destroy(aparts);
}

/* ---- two states made one ---- */

void
sf_moments_int_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (!moments_merge((Moments *) into, (const Moments *) from))
		elog(ERROR, "sums of more than 2^63 values");
}

void
sf_moments_numeric_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	NumericMoments *state = (NumericMoments *) into;
	NumericMoments other = *(const NumericMoments *) from;
	int fraction = Max(state->fraction, other.fraction);

	state->dscale = Max(state->dscale, other.dscale);
	if (!refine(state, fraction) || !refine(&other, fraction) || !moments_merge(&state->moments, &other.moments))
		move_to_blob(blobs, state, internal_state(&other.moments, other.fraction, other.dscale));
	if (other.blob.blob_in_use)
		move_to_blob(blobs, state, blob_state(from_blobs, &other));
}

/* ---- answers ---- */

static Datum
int_result(const char *state, PGFunction final, bool *isnull)
{
	const Moments *moments = (const Moments *) state;

	*isnull = moments->count == 0;
	return *isnull ? (Datum) 0 : call(final, internal_state(moments, 0, 0), false, (Datum) 0, isnull);
}

static Datum
numeric_result(SfBlobSpace *blobs, const char *state, PGFunction final, bool *isnull)
{
	const NumericMoments *all = (const NumericMoments *) state;
	Datum internal;

	*isnull = all->moments.count == 0 && !all->blob.blob_in_use;
	if (*isnull)
		return (Datum) 0;
	internal = with_blob(blobs, all, internal_state(&all->moments, all->fraction, all->dscale));
	return call(final, internal, false, (Datum) 0, isnull);
}

#define RESULTS(name, final)                                                                                           \
	static Datum int_##name(SfBlobSpace *blobs, const char *state, bool *isnull)                                       \
	{                                                                                                                  \
		return int_result(state, final, isnull);                                                                       \
	}                                                                                                                  \
	static Datum numeric_##name(SfBlobSpace *blobs, const char *state, bool *isnull)                                   \
	{                                                                                                                  \
		return numeric_result(blobs, state, final, isnull);                                                            \
	}

RESULTS(sum_result, numeric_sum)
RESULTS(avg_result, numeric_avg)
RESULTS(var_pop_result, numeric_var_pop)
RESULTS(var_samp_result, numeric_var_samp)
RESULTS(stddev_pop_result, numeric_stddev_pop)
RESULTS(stddev_samp_result, numeric_stddev_samp)

/* Sums of int2 and int4 are bigint, and wrap; so do their means, which are of that sum. */
static Datum
small_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const Moments *moments = (const Moments *) state;

	*isnull = moments->count == 0;
	return Int64GetDatum((int64) moments->sum);
}

static Datum
small_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	Datum sum = small_sum_result(blobs, state, isnull);

	if (*isnull)
		return (Datum) 0;
	return DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(DatumGetInt64(sum))),
	                           NumericGetDatum(int64_to_numeric(((const Moments *) state)->count)));
}

/* ---- the tables ---- */

#define FAMILY(TYPE, number, State, has_blob, batch, kind)                                                             \
	{F_VAR_POP_##TYPE, number, sizeof(State), has_blob, batch, kind##_var_pop_result},                                 \
	    {F_VAR_SAMP_##TYPE, number, sizeof(State), has_blob, batch, kind##_var_samp_result},                           \
	    {F_VARIANCE_##TYPE, number, sizeof(State), has_blob, batch, kind##_var_samp_result},                           \
	    {F_STDDEV_POP_##TYPE, number, sizeof(State), has_blob, batch, kind##_stddev_pop_result},                       \
	    {F_STDDEV_SAMP_##TYPE, number, sizeof(State), has_blob, batch, kind##_stddev_samp_result},                     \
	{                                                                                                                  \
		F_STDDEV_##TYPE, number, sizeof(State), has_blob, batch, kind##_stddev_samp_result                             \
	}

static const Kernel variances[] = {
    FAMILY(INT2, SF_KERNEL_MOMENTS_INT, Moments, false, int2_moments_batch, int),
    FAMILY(INT4, SF_KERNEL_MOMENTS_INT, Moments, false, int4_moments_batch, int),
    FAMILY(INT8, SF_KERNEL_MOMENTS_INT, Moments, false, int8_moments_batch, int),
    FAMILY(NUMERIC, SF_KERNEL_MOMENTS_NUMERIC, NumericMoments, true, numeric_moments_batch, numeric),
};

/* Other aggregates of the same argument, answered from the same state. */
static const Kernel companions[] = {
    {F_SUM_INT2, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int2_moments_batch, small_sum_result},
    {F_AVG_INT2, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int2_moments_batch, small_avg_result},
    {F_SUM_INT4, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int4_moments_batch, small_sum_result},
    {F_AVG_INT4, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int4_moments_batch, small_avg_result},
    {F_SUM_INT8, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int8_moments_batch, int_sum_result},
    {F_AVG_INT8, SF_KERNEL_MOMENTS_INT, sizeof(Moments), false, int8_moments_batch, int_avg_result},
    {F_SUM_NUMERIC, SF_KERNEL_MOMENTS_NUMERIC, sizeof(NumericMoments), true, numeric_moments_batch, numeric_sum_result},
    {F_AVG_NUMERIC, SF_KERNEL_MOMENTS_NUMERIC, sizeof(NumericMoments), true, numeric_moments_batch, numeric_avg_result},
};

const Kernel *
sf_variance_kernel_find(Oid aggregate)
{
	for (int i = 0; i < (int) lengthof(variances); i++)
		if (variances[i].aggregate == aggregate)
			return &variances[i];
	return NULL;
}

const Kernel *
sf_variance_companion(const Kernel *kernel, const Kernel *variance)
{
	for (int i = 0; i < (int) lengthof(companions); i++)
		if (companions[i].aggregate == kernel->aggregate && companions[i].batch == variance->batch)
			return &companions[i];
	return NULL;
}
