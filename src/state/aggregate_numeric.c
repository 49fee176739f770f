/*
 * aggregate_numeric.c
 *		Kernels of sum, avg, min and max over numeric.
 *
 * Numerics are stored as digits in base 10000 (the on-disk format has not changed since 9.1).  The usual ones fit into
 * a 128-bit integer in units of 10000 ^ -fraction, so a row costs a few multiplications; what does not fit any more is
 * moved into a numeric in the blob, by numeric_add.  Sums are exact, so the order of additions does not show.
 *
 * As PostgreSQL's numeric_avg_accum: the answer has the largest display scale of the inputs; NaN and infinities are
 * remembered apart.
 */
#include "state/aggregate_private.h"
#include "state/numeric_parts.h"

#include "common/int.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* A numeric of value * 10000 ^ -fraction with a display scale that shows all of it. */
Datum
sf_numeric_from_int128(int128 value, int fraction, int dscale)
{
	bool negative = value < 0;
	uint128 rest = negative ? -(uint128) value : (uint128) value;
	int16 digits[16];
	int ndigits = 0;
	StringInfoData message;

	while (rest > 0)
	{
		digits[lengthof(digits) - ++ndigits] = (int16) (rest % NUMERIC_BASE);
		rest /= NUMERIC_BASE;
	}
	initStringInfo(&message);
	pq_sendint16(&message, ndigits);
	pq_sendint16(&message, (uint16) (int16) (ndigits - 1 - fraction));
	pq_sendint16(&message, negative ? 0x4000 : 0);
	pq_sendint16(&message, dscale);
	for (int i = lengthof(digits) - ndigits; i < (int) lengthof(digits); i++)
		pq_sendint16(&message, digits[i]);
	return DirectFunctionCall3(numeric_recv, PointerGetDatum(&message), ObjectIdGetDatum(InvalidOid),
	                           Int32GetDatum(-1));
}

/* ---- sum and avg ---- */

static Datum
blob_numeric(SfBlobSpace *blobs, const BlobState *state)
{
	return PointerGetDatum(sf_blob_get(blobs, state->blob)->data);
}

/* Adds a numeric to the one in the blob. */
static void
add_to_blob(SfBlobSpace *blobs, NumericSum *state, Datum value)
{
	if (state->blob.blob_in_use)
		value = DirectFunctionCall2(numeric_add, blob_numeric(blobs, &state->blob), value);
	sf_blob_store_datum(blobs, &state->blob.blob, value, -1);
	state->blob.blob_in_use = 1;
}

/* Moves the integer part of the sum into the blob, and begins it anew with the value if that fits. */
static void
spill(SfBlobSpace *blobs, NumericSum *state, const NumericParts *parts, Datum value)
{
	int fraction = fraction_of(parts);

	if (state->sum != 0)
		add_to_blob(blobs, state, sf_numeric_from_int128(state->sum, state->fraction, state->dscale));
	state->sum = 0;
	state->fraction = 0;
	if (fits(parts, fraction))
	{
		state->fraction = fraction;
		state->sum = in_units(parts, fraction);
	}
	else
		add_to_blob(blobs, state, value);
}

/* In finer units; false when the sum does not fit then. */
static bool
refine(NumericSum *state, int fraction)
{
	int128 sum;

	if (fraction > MAX_DIGITS || __builtin_mul_overflow(state->sum, power_of_base(fraction - state->fraction), &sum))
		return false;
	state->sum = sum;
	state->fraction = fraction;
	return true;
}

static inline void
numeric_sum_add(SfBlobSpace *blobs, NumericSum *state, Datum value)
{
	struct varlena *flat = PG_DETOAST_DATUM_PACKED(value);
	NumericParts parts;
	int fraction;
	int128 sum;

	take_apart(flat, &parts);
	if (unlikely(parts.special != 0))
	{
		state->specials |= parts.special;
		return;
	}
	state->dscale = Max(state->dscale, parts.dscale);
	fraction = fraction_of(&parts);
	if ((fraction > state->fraction && !refine(state, fraction)) || !fits(&parts, state->fraction) ||
	    __builtin_add_overflow(state->sum, in_units(&parts, state->fraction), &sum))
		spill(blobs, state, &parts, PointerGetDatum(flat));
	else
		state->sum = sum;
	state->count++;
}

void
sf_numeric_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	for (int i = 0; i < n; i++)
		if (states[i] != NULL && (nulls == NULL || !nulls[i]))
			numeric_sum_add(blobs, (NumericSum *) states[i], values[i]);
}

static Datum
special_numeric(const char *name)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(name), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* True when the answer is null, NaN or infinite. */
static bool
special_result(const NumericSum *state, Datum *result, bool *isnull)
{
	uint32 infinities = state->specials & (NUMERIC_SUM_PLUS_INFINITY | NUMERIC_SUM_MINUS_INFINITY);

	*result = (Datum) 0;
	*isnull = state->count == 0 && state->specials == 0;
	if (*isnull)
		return true;
	if (state->specials == 0)
		return false;
	if (infinities == state->specials && infinities == NUMERIC_SUM_PLUS_INFINITY)
		*result = special_numeric("Infinity");
	else if (infinities == state->specials && infinities == NUMERIC_SUM_MINUS_INFINITY)
		*result = special_numeric("-Infinity");
	else
		*result = special_numeric("NaN");
	return true;
}

static Datum
finite_sum(SfBlobSpace *blobs, const NumericSum *state)
{
	Datum sum = sf_numeric_from_int128(state->sum, state->fraction, state->dscale);

	if (state->blob.blob_in_use)
		sum = DirectFunctionCall2(numeric_add, blob_numeric(blobs, &state->blob), sum);
	return sum;
}

Datum
sf_numeric_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const NumericSum *sum = (const NumericSum *) state;
	Datum result;

	if (special_result(sum, &result, isnull))
		return result;
	return finite_sum(blobs, sum);
}

Datum
sf_numeric_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const NumericSum *sum = (const NumericSum *) state;
	Datum result;

	if (special_result(sum, &result, isnull))
		return result;
	return DirectFunctionCall2(numeric_div, finite_sum(blobs, sum), NumericGetDatum(int64_to_numeric(sum->count)));
}

/* Adds value * 10000 ^ -fraction to the integer part of the sum; false when it has no room. */
static bool
add_integer(NumericSum *state, int128 value, int fraction)
{
	int128 sum;

	if (fraction > state->fraction && !refine(state, fraction))
		return false;
	if (__builtin_mul_overflow(value, power_of_base(state->fraction - fraction), &value) ||
	    __builtin_add_overflow(state->sum, value, &sum))
		return false;
	state->sum = sum;
	return true;
}

void
sf_numeric_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	NumericSum *state = (NumericSum *) into;
	const NumericSum *other = (const NumericSum *) from;

	state->specials |= other->specials;
	state->count += other->count;
	state->dscale = Max(state->dscale, other->dscale);
	if (other->sum != 0 && !add_integer(state, other->sum, other->fraction))
		add_to_blob(blobs, state, sf_numeric_from_int128(other->sum, other->fraction, other->dscale));
	if (other->blob.blob_in_use)
		add_to_blob(blobs, state, blob_numeric(from_blobs, &other->blob));
}

/* ---- min and max: numeric_smaller, numeric_larger ---- */

static Datum
best_value(SfBlobSpace *blobs, const NumericBest *state)
{
	return state->blob.blob_in_use ? blob_numeric(blobs, &state->blob) : PointerGetDatum(state->data);
}

static void
best_set(SfBlobSpace *blobs, NumericBest *state, Datum value)
{
	Size length = VARSIZE(DatumGetPointer(value));

	if (length <= sizeof(state->data))
	{
		memcpy(state->data, DatumGetPointer(value), length);
		state->blob.blob_in_use = 0;
	}
	else
	{
		sf_blob_store(blobs, &state->blob.blob, DatumGetPointer(value), length);
		state->blob.blob_in_use = 1;
	}
	state->length = length;
}

static inline int
sign_of(const NumericParts *parts)
{
	return parts->ndigits == 0 ? 0 : parts->negative ? -1 : 1;
}

/* As numeric_cmp for finite values: stored ones have no zeros in front or behind. */
static inline int
compare_parts(const NumericParts *a, const NumericParts *b)
{
	int sign = sign_of(a);

	if (sign != sign_of(b))
		return sign < sign_of(b) ? -1 : 1;
	if (a->weight != b->weight)
		return a->weight < b->weight ? -sign : sign;
	for (int i = 0; i < Min(a->ndigits, b->ndigits); i++)
	{
		int difference = get_word(a->digits + 2 * i) - get_word(b->digits + 2 * i);

		if (difference != 0)
			return difference < 0 ? -sign : sign;
	}
	return a->ndigits == b->ndigits ? 0 : a->ndigits < b->ndigits ? -sign : sign;
}

/* A short header is no reason to copy a value that is only compared. */
static inline int
best_compare(SfBlobSpace *blobs, const NumericBest *state, struct varlena *value)
{
	Datum best = best_value(blobs, state);
	NumericParts a;
	NumericParts b;

	take_apart((struct varlena *) DatumGetPointer(best), &a);
	take_apart(value, &b);
	if (likely(a.special == 0 && b.special == 0))
		return compare_parts(&a, &b);
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, best, PointerGetDatum(value)));
}

/* sign: 1 for max, -1 for min.  Equal values may look different (1.0, 1.00): the newer stays, as in PostgreSQL. */
static inline void
best_fold(SfBlobSpace *blobs, NumericBest *state, Datum value, int sign)
{
	struct varlena *flat = PG_DETOAST_DATUM_PACKED(value);

	if (state->length == 0 || best_compare(blobs, state, flat) * sign <= 0)
		best_set(blobs, state, NumericGetDatum(DatumGetNumeric(PointerGetDatum(flat))));
}

void
sf_numeric_min_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	for (int i = 0; i < n; i++)
		if (states[i] != NULL && (nulls == NULL || !nulls[i]))
			best_fold(blobs, (NumericBest *) states[i], values[i], -1);
}

void
sf_numeric_max_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	for (int i = 0; i < n; i++)
		if (states[i] != NULL && (nulls == NULL || !nulls[i]))
			best_fold(blobs, (NumericBest *) states[i], values[i], 1);
}

Datum
sf_numeric_best_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const NumericBest *best = (const NumericBest *) state;
	char *copy;

	*isnull = best->length == 0;
	if (*isnull)
		return (Datum) 0;
	copy = palloc(best->length);
	memcpy(copy, DatumGetPointer(best_value(blobs, best)), best->length);
	return PointerGetDatum(copy);
}

static void
best_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from, int sign)
{
	const NumericBest *other = (const NumericBest *) from;

	if (other->length > 0)
		best_fold(blobs, (NumericBest *) into, best_value(from_blobs, other), sign);
}

void
sf_numeric_min_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	best_combine(blobs, into, from_blobs, from, -1);
}

void
sf_numeric_max_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	best_combine(blobs, into, from_blobs, from, 1);
}
