/*
 * aggregate_kernel.c
 *		Kernels of the built-in aggregates over integers, booleans, floats, dates, times and intervals.
 *
 * One loop per kernel over a batch of rows; the answers, also nulls, NaN and overflow, are those of the functions in
 * PostgreSQL's pg_aggregate, whose names stand at each kernel.  On ties min and max keep the newer value as those do,
 * which shows for -0 and for intervals.
 */
#include "state/aggregate_private.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "fault.h"

/* Runs the statement for each row of the batch, with `state` and the row's number i. */
#define FOR_EACH_ROW(StateType, statement)                                                                             \
	for (int i = 0; i < n; i++)                                                                                        \
	{                                                                                                                  \
		StateType *state = (StateType *) states[i];                                                                    \
		if (state == NULL || (nulls != NULL && nulls[i]))                                                              \
			continue;                                                                                                  \
		statement;                                                                                                     \
	}

/* ---- count: int8inc, int8inc_any ---- */

static void
count_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(int64, (*state)++);
}

static Datum
count_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	return Int64GetDatum(*(const int64 *) state);
}

/* ---- sum and avg of int2, int4: int4_sum, int4_avg_accum, int8_avg ---- */

typedef struct IntSum
{
	int64 count;
	int64 sum;
} IntSum;

static inline void
int_sum_add(IntSum *state, int64 value)
{
	state->count++;
	state->sum = (int64) ((uint64) state->sum + (uint64) value);
}

static void
int2_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(IntSum, int_sum_add(state, DatumGetInt16(values[i])));
}

static void
int4_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	if (SF_BUG("sum-counts-nulls"))
		nulls = NULL;
	FOR_EACH_ROW(IntSum, int_sum_add(state, DatumGetInt32(values[i])));
}

static Datum
int_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const IntSum *sum = (const IntSum *) state;

	*isnull = sum->count == 0;
	return Int64GetDatum(sum->sum);
}

static Datum
int_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const IntSum *sum = (const IntSum *) state;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	return DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(sum->sum)),
	                           NumericGetDatum(int64_to_numeric(sum->count)));
}

/* ---- sum and avg of int8: int8_avg_accum, numeric_poly_sum, numeric_poly_avg ---- */

typedef struct Int8Sum
{
	int128 sum;
	int64 count;
} Int8Sum;

static void
int8_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	if (SF_BUG("sum-counts-nulls"))
		nulls = NULL;
	FOR_EACH_ROW(Int8Sum, (state->count++, state->sum += DatumGetInt64(values[i])));
}

static Datum
int8_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const Int8Sum *sum = (const Int8Sum *) state;

	*isnull = sum->count == 0;
	return *isnull ? (Datum) 0 : sf_numeric_from_int128(sum->sum, 0, 0);
}

static Datum
int8_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const Int8Sum *sum = (const Int8Sum *) state;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	return DirectFunctionCall2(numeric_div, sf_numeric_from_int128(sum->sum, 0, 0),
	                           NumericGetDatum(int64_to_numeric(sum->count)));
}

/* ---- sum of float4, float8: float4pl, float8pl ---- */

typedef struct Float4Sum
{
	int32 count; /* 0 or 1 */
	float4 sum;
} Float4Sum;

typedef struct Float8Sum
{
	int64 count; /* 0 or 1 */
	float8 sum;
} Float8Sum;

static inline void
float4_sum_add(Float4Sum *state, float4 value)
{
	state->sum = state->count > 0 ? float4_pl(state->sum, value) : value;
	state->count = 1;
}

static inline void
float8_sum_add(Float8Sum *state, float8 value)
{
	state->sum = state->count > 0 ? float8_pl(state->sum, value) : value;
	state->count = 1;
}

static void
float4_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float4Sum, float4_sum_add(state, DatumGetFloat4(values[i])));
}

static void
float8_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float8Sum, float8_sum_add(state, DatumGetFloat8(values[i])));
}

static Datum
float4_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const Float4Sum *sum = (const Float4Sum *) state;

	*isnull = sum->count == 0;
	return Float4GetDatum(sum->sum);
}

static Datum
float8_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const Float8Sum *sum = (const Float8Sum *) state;

	*isnull = sum->count == 0;
	return Float8GetDatum(sum->sum);
}

/* ---- avg of float4, float8: float8_accum, float8_avg ---- */

/* As PostgreSQL's: the sum of squared deviations is not part of the mean, but its overflow is an error of avg. */
typedef struct FloatAvg
{
	float8 count;
	float8 sum;
	float8 squares;
} FloatAvg;

static inline void
float_avg_add(FloatAvg *state, float8 value)
{
	float8 before = state->count;
	float8 count = before + 1.0;
	float8 sum = state->sum + value;
	float8 squares = state->squares;

	if (before > 0.0)
	{
		float8 deviation = value * count - sum;

		squares += deviation * deviation / (count * before);
		if (unlikely(isinf(sum) || isinf(squares)))
		{
			if (!isinf(state->sum) && !isinf(value))
				float_overflow_error();
			squares = get_float8_nan();
		}
	}
	else if (isnan(value) || isinf(value))
		squares = get_float8_nan();
	state->count = count;
	state->sum = sum;
	state->squares = squares;
}

static void
float4_avg_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(FloatAvg, float_avg_add(state, DatumGetFloat4(values[i])));
}

static void
float8_avg_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(FloatAvg, float_avg_add(state, DatumGetFloat8(values[i])));
}

static Datum
float_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const FloatAvg *avg = (const FloatAvg *) state;

	*isnull = avg->count == 0.0;
	return Float8GetDatum(*isnull ? 0.0 : avg->sum / avg->count);
}

/* ---- variance and stddev of float4, float8: float8_var_pop, float8_stddev_samp, ...; the state is avg's ---- */

/* Divided by the number of values, or by one less: the variance of all there is, or of a sample. */
static Datum
float_variance(const char *state, bool sample, bool root, bool *isnull)
{
	const FloatAvg *avg = (const FloatAvg *) state;
	float8 divisor = sample ? avg->count - 1.0 : avg->count;
	float8 variance;

	*isnull = divisor <= 0.0;
	if (*isnull)
		return (Datum) 0;
	variance = avg->squares / divisor;
	return Float8GetDatum(root ? sqrt(variance) : variance);
}

static Datum
float_var_pop_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	return float_variance(state, false, false, isnull);
}

static Datum
float_var_samp_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	return float_variance(state, true, false, isnull);
}

static Datum
float_stddev_pop_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	return float_variance(state, false, true, isnull);
}

static Datum
float_stddev_samp_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	return float_variance(state, true, true, isnull);
}

/* ---- sum and avg of interval: interval_pl, interval_accum, interval_avg ---- */

typedef struct IntervalState
{
	int64 count;
	Interval value;
} IntervalState;

static inline void
interval_add(IntervalState *state, const Interval *value)
{
	Interval sum;

	if (pg_add_s32_overflow(state->value.month, value->month, &sum.month) ||
	    pg_add_s32_overflow(state->value.day, value->day, &sum.day) ||
	    pg_add_s64_overflow(state->value.time, value->time, &sum.time))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("interval out of range")));
	state->value = sum;
	state->count++;
}

static void
interval_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(IntervalState, interval_add(state, DatumGetIntervalP(values[i])));
}

static Datum
interval_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const IntervalState *sum = (const IntervalState *) state;
	Interval *result;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	result = palloc(sizeof(Interval));
	*result = sum->value;
	return IntervalPGetDatum(result);
}

static Datum
interval_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	const IntervalState *sum = (const IntervalState *) state;
	Datum total = interval_result(blobs, state, isnull);

	if (*isnull)
		return total;
	return DirectFunctionCall2(interval_div, total, Float8GetDatum((float8) sum->count));
}

/* ---- min and max: int4larger, date_larger, timestamp_larger, float8larger, interval_larger, ... ---- */

typedef struct IntBest
{
	int64 count; /* 0 or 1 */
	int64 value;
} IntBest;

static inline void
int_min(IntBest *state, int64 value)
{
	if (state->count == 0 || value < state->value)
	{
		state->count = 1;
		state->value = value;
	}
}

static inline void
int_max(IntBest *state, int64 value)
{
	if ((state->count == 0 && !SF_BUG("max-begins-at-zero")) || value > state->value)
	{
		state->count = 1;
		state->value = value;
	}
}

#define INT_BEST_BATCH(name, fold, get)                                                                                \
	static void name(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)                 \
	{                                                                                                                  \
		FOR_EACH_ROW(IntBest, fold(state, get(values[i])));                                                            \
	}

INT_BEST_BATCH(int2_min_batch, int_min, DatumGetInt16)
INT_BEST_BATCH(int2_max_batch, int_max, DatumGetInt16)
INT_BEST_BATCH(int4_min_batch, int_min, DatumGetInt32)
INT_BEST_BATCH(int4_max_batch, int_max, DatumGetInt32)
INT_BEST_BATCH(int8_min_batch, int_min, DatumGetInt64)
INT_BEST_BATCH(int8_max_batch, int_max, DatumGetInt64)

static Datum
int2_best_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	*isnull = ((const IntBest *) state)->count == 0;
	return Int16GetDatum((int16) ((const IntBest *) state)->value);
}

static Datum
int4_best_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	*isnull = ((const IntBest *) state)->count == 0;
	return Int32GetDatum((int32) ((const IntBest *) state)->value);
}

static Datum
int8_best_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	*isnull = ((const IntBest *) state)->count == 0;
	return Int64GetDatum(((const IntBest *) state)->value);
}

/* ---- bool_and, bool_or: the least and the greatest; bit_and, bit_or, bit_xor: int4and, int4or, int4xor ---- */

INT_BEST_BATCH(bool_and_batch, int_min, DatumGetBool)
INT_BEST_BATCH(bool_or_batch, int_max, DatumGetBool)

static Datum
bool_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	*isnull = ((const IntBest *) state)->count == 0;
	return BoolGetDatum(((const IntBest *) state)->value != 0);
}

static inline void
bits_and(IntBest *state, int64 value)
{
	state->value = state->count > 0 ? state->value & value : value;
	state->count = 1;
}

static inline void
bits_or(IntBest *state, int64 value)
{
	state->value |= value;
	state->count = 1;
}

static inline void
bits_xor(IntBest *state, int64 value)
{
	state->value ^= value;
	state->count = 1;
}

INT_BEST_BATCH(int2_and_batch, bits_and, DatumGetInt16)
INT_BEST_BATCH(int2_or_batch, bits_or, DatumGetInt16)
INT_BEST_BATCH(int2_xor_batch, bits_xor, DatumGetInt16)
INT_BEST_BATCH(int4_and_batch, bits_and, DatumGetInt32)
INT_BEST_BATCH(int4_or_batch, bits_or, DatumGetInt32)
INT_BEST_BATCH(int4_xor_batch, bits_xor, DatumGetInt32)
INT_BEST_BATCH(int8_and_batch, bits_and, DatumGetInt64)
INT_BEST_BATCH(int8_or_batch, bits_or, DatumGetInt64)
INT_BEST_BATCH(int8_xor_batch, bits_xor, DatumGetInt64)

static inline void
float_min(Float8Sum *state, float8 value)
{
	if (state->count == 0 || !float8_lt(state->sum, value))
		state->sum = value;
	state->count = 1;
}

static inline void
float_max(Float8Sum *state, float8 value)
{
	if (state->count == 0 || !float8_gt(state->sum, value))
		state->sum = value;
	state->count = 1;
}

static void
float4_min_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float8Sum, float_min(state, DatumGetFloat4(values[i])));
}

static void
float4_max_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float8Sum, float_max(state, DatumGetFloat4(values[i])));
}

static void
float8_min_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float8Sum, float_min(state, DatumGetFloat8(values[i])));
}

static void
float8_max_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(Float8Sum, float_max(state, DatumGetFloat8(values[i])));
}

static Datum
float4_best_result(SfBlobSpace *blobs, const char *state, bool *isnull)
{
	*isnull = ((const Float8Sum *) state)->count == 0;
	return Float4GetDatum((float4) ((const Float8Sum *) state)->sum);
}

/* Which of two intervals is greater: interval_cmp, below zero when it is the second. */
static inline int
interval_compare(IntervalState *state, Datum value)
{
	return DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(&state->value), value));
}

static inline void
interval_min(IntervalState *state, Datum value)
{
	if (state->count == 0 || interval_compare(state, value) >= 0)
		state->value = *DatumGetIntervalP(value);
	state->count = 1;
}

static inline void
interval_max(IntervalState *state, Datum value)
{
	if (state->count == 0 || interval_compare(state, value) <= 0)
		state->value = *DatumGetIntervalP(value);
	state->count = 1;
}

static void
interval_min_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(IntervalState, interval_min(state, values[i]));
}

static void
interval_max_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n)
{
	FOR_EACH_ROW(IntervalState, interval_max(state, values[i]));
}

/* ---- two states made one ---- */

static void
count_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	*(int64 *) into += *(const int64 *) from;
}

static void
int_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	IntSum *state = (IntSum *) into;
	const IntSum *other = (const IntSum *) from;

	state->count += other->count;
	state->sum = (int64) ((uint64) state->sum + (uint64) other->sum);
}

static void
int8_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	((Int8Sum *) into)->count += ((const Int8Sum *) from)->count;
	((Int8Sum *) into)->sum += ((const Int8Sum *) from)->sum;
}

static void
float4_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const Float4Sum *) from)->count > 0)
		float4_sum_add((Float4Sum *) into, ((const Float4Sum *) from)->sum);
}

static void
float8_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const Float8Sum *) from)->count > 0)
		float8_sum_add((Float8Sum *) into, ((const Float8Sum *) from)->sum);
}

/* As float8_combine. */
static void
float_avg_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	FloatAvg *state = (FloatAvg *) into;
	const FloatAvg *other = (const FloatAvg *) from;
	float8 count = state->count + other->count;
	float8 deviation;

	if (other->count == 0.0)
		return;
	if (state->count == 0.0)
	{
		*state = *other;
		return;
	}
	deviation = state->sum / state->count - other->sum / other->count;
	state->squares += other->squares + state->count * other->count * deviation * deviation / count;
	if (unlikely(isinf(state->squares)))
		float_overflow_error();
	state->sum = float8_pl(state->sum, other->sum);
	state->count = count;
}

static void
interval_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	IntervalState *state = (IntervalState *) into;
	const IntervalState *other = (const IntervalState *) from;

	if (other->count == 0)
		return;
	interval_add(state, &other->value);
	state->count += other->count - 1;
}

static void
int_min_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntBest *) from)->count > 0)
		int_min((IntBest *) into, ((const IntBest *) from)->value);
}

static void
int_max_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntBest *) from)->count > 0)
		int_max((IntBest *) into, ((const IntBest *) from)->value);
}

static void
bits_and_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntBest *) from)->count > 0)
		bits_and((IntBest *) into, ((const IntBest *) from)->value);
}

static void
bits_or_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntBest *) from)->count > 0)
		bits_or((IntBest *) into, ((const IntBest *) from)->value);
}

static void
bits_xor_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntBest *) from)->count > 0)
		bits_xor((IntBest *) into, ((const IntBest *) from)->value);
}

static void
float_min_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const Float8Sum *) from)->count > 0)
		float_min((Float8Sum *) into, ((const Float8Sum *) from)->sum);
}

static void
float_max_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const Float8Sum *) from)->count > 0)
		float_max((Float8Sum *) into, ((const Float8Sum *) from)->sum);
}

static void
interval_min_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntervalState *) from)->count > 0)
		interval_min((IntervalState *) into, IntervalPGetDatum(&((const IntervalState *) from)->value));
}

static void
interval_max_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	if (((const IntervalState *) from)->count > 0)
		interval_max((IntervalState *) into, IntervalPGetDatum(&((const IntervalState *) from)->value));
}

/* By the kernel's number; NULL: states of this kernel cannot be combined. */
static const KernelCombine combines[] = {
    [SF_KERNEL_COUNT] = count_combine,
    [SF_KERNEL_SUM_INT] = int_sum_combine,
    [SF_KERNEL_AVG_INT] = int_sum_combine,
    [SF_KERNEL_SUM_INT8] = int8_sum_combine,
    [SF_KERNEL_AVG_INT8] = int8_sum_combine,
    [SF_KERNEL_SUM_FLOAT4] = float4_sum_combine,
    [SF_KERNEL_SUM_FLOAT8] = float8_sum_combine,
    [SF_KERNEL_AVG_FLOAT] = float_avg_combine,
    [SF_KERNEL_SUM_NUMERIC] = sf_numeric_sum_combine,
    [SF_KERNEL_AVG_NUMERIC] = sf_numeric_sum_combine,
    [SF_KERNEL_SUM_INTERVAL] = interval_sum_combine,
    [SF_KERNEL_AVG_INTERVAL] = interval_sum_combine,
    [SF_KERNEL_MIN_INT] = int_min_combine,
    [SF_KERNEL_MAX_INT] = int_max_combine,
    [SF_KERNEL_MIN_FLOAT] = float_min_combine,
    [SF_KERNEL_MAX_FLOAT] = float_max_combine,
    [SF_KERNEL_MIN_NUMERIC] = sf_numeric_min_combine,
    [SF_KERNEL_MAX_NUMERIC] = sf_numeric_max_combine,
    [SF_KERNEL_MIN_INTERVAL] = interval_min_combine,
    [SF_KERNEL_MAX_INTERVAL] = interval_max_combine,
    [SF_KERNEL_BOOL_AND] = int_min_combine,
    [SF_KERNEL_BOOL_OR] = int_max_combine,
    [SF_KERNEL_BIT_AND] = bits_and_combine,
    [SF_KERNEL_BIT_OR] = bits_or_combine,
    [SF_KERNEL_BIT_XOR] = bits_xor_combine,
    [SF_KERNEL_MOMENTS_INT] = sf_moments_int_combine,
    [SF_KERNEL_MOMENTS_NUMERIC] = sf_moments_numeric_combine,
    [SF_KERNEL_VARIANCE_FLOAT] = float_avg_combine,
};

KernelCombine
sf_kernel_combine(SfKernel number)
{
	return number < lengthof(combines) ? combines[number] : NULL;
}

/* ---- which aggregate has which kernel ---- */

static const Kernel kernels[] = {
    {F_COUNT_, SF_KERNEL_COUNT, sizeof(int64), false, count_batch, count_result},
    {F_COUNT_ANY, SF_KERNEL_COUNT, sizeof(int64), false, count_batch, count_result},
    {F_SUM_INT2, SF_KERNEL_SUM_INT, sizeof(IntSum), false, int2_sum_batch, int_sum_result},
    {F_SUM_INT4, SF_KERNEL_SUM_INT, sizeof(IntSum), false, int4_sum_batch, int_sum_result},
    {F_SUM_INT8, SF_KERNEL_SUM_INT8, sizeof(Int8Sum), false, int8_sum_batch, int8_sum_result},
    {F_SUM_FLOAT4, SF_KERNEL_SUM_FLOAT4, sizeof(Float4Sum), false, float4_sum_batch, float4_sum_result},
    {F_SUM_FLOAT8, SF_KERNEL_SUM_FLOAT8, sizeof(Float8Sum), false, float8_sum_batch, float8_sum_result},
    {F_SUM_INTERVAL, SF_KERNEL_SUM_INTERVAL, sizeof(IntervalState), false, interval_sum_batch, interval_result},
    {F_SUM_NUMERIC, SF_KERNEL_SUM_NUMERIC, sizeof(NumericSum), true, sf_numeric_sum_batch, sf_numeric_sum_result},
    {F_AVG_INT2, SF_KERNEL_AVG_INT, sizeof(IntSum), false, int2_sum_batch, int_avg_result},
    {F_AVG_INT4, SF_KERNEL_AVG_INT, sizeof(IntSum), false, int4_sum_batch, int_avg_result},
    {F_AVG_INT8, SF_KERNEL_AVG_INT8, sizeof(Int8Sum), false, int8_sum_batch, int8_avg_result},
    {F_AVG_FLOAT4, SF_KERNEL_AVG_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_avg_result},
    {F_AVG_FLOAT8, SF_KERNEL_AVG_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_avg_result},
    {F_AVG_INTERVAL, SF_KERNEL_AVG_INTERVAL, sizeof(IntervalState), false, interval_sum_batch, interval_avg_result},
    {F_AVG_NUMERIC, SF_KERNEL_AVG_NUMERIC, sizeof(NumericSum), true, sf_numeric_sum_batch, sf_numeric_avg_result},
    {F_MIN_INT2, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int2_min_batch, int2_best_result},
    {F_MAX_INT2, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int2_max_batch, int2_best_result},
    {F_MIN_INT4, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int4_min_batch, int4_best_result},
    {F_MAX_INT4, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int4_max_batch, int4_best_result},
    {F_MIN_INT8, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int8_min_batch, int8_best_result},
    {F_MAX_INT8, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int8_max_batch, int8_best_result},
    {F_MIN_DATE, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int4_min_batch, int4_best_result},
    {F_MAX_DATE, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int4_max_batch, int4_best_result},
    {F_MIN_TIMESTAMP, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int8_min_batch, int8_best_result},
    {F_MAX_TIMESTAMP, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int8_max_batch, int8_best_result},
    {F_MIN_TIMESTAMPTZ, SF_KERNEL_MIN_INT, sizeof(IntBest), false, int8_min_batch, int8_best_result},
    {F_MAX_TIMESTAMPTZ, SF_KERNEL_MAX_INT, sizeof(IntBest), false, int8_max_batch, int8_best_result},
    {F_MIN_FLOAT4, SF_KERNEL_MIN_FLOAT, sizeof(Float8Sum), false, float4_min_batch, float4_best_result},
    {F_MAX_FLOAT4, SF_KERNEL_MAX_FLOAT, sizeof(Float8Sum), false, float4_max_batch, float4_best_result},
    {F_MIN_FLOAT8, SF_KERNEL_MIN_FLOAT, sizeof(Float8Sum), false, float8_min_batch, float8_sum_result},
    {F_MAX_FLOAT8, SF_KERNEL_MAX_FLOAT, sizeof(Float8Sum), false, float8_max_batch, float8_sum_result},
    {F_MIN_NUMERIC, SF_KERNEL_MIN_NUMERIC, sizeof(NumericBest), true, sf_numeric_min_batch, sf_numeric_best_result},
    {F_MAX_NUMERIC, SF_KERNEL_MAX_NUMERIC, sizeof(NumericBest), true, sf_numeric_max_batch, sf_numeric_best_result},
    {F_MIN_INTERVAL, SF_KERNEL_MIN_INTERVAL, sizeof(IntervalState), false, interval_min_batch, interval_result},
    {F_MAX_INTERVAL, SF_KERNEL_MAX_INTERVAL, sizeof(IntervalState), false, interval_max_batch, interval_result},
    {F_BOOL_AND, SF_KERNEL_BOOL_AND, sizeof(IntBest), false, bool_and_batch, bool_result},
    {F_EVERY, SF_KERNEL_BOOL_AND, sizeof(IntBest), false, bool_and_batch, bool_result},
    {F_BOOL_OR, SF_KERNEL_BOOL_OR, sizeof(IntBest), false, bool_or_batch, bool_result},
    {F_BIT_AND_INT2, SF_KERNEL_BIT_AND, sizeof(IntBest), false, int2_and_batch, int2_best_result},
    {F_BIT_OR_INT2, SF_KERNEL_BIT_OR, sizeof(IntBest), false, int2_or_batch, int2_best_result},
    {F_BIT_XOR_INT2, SF_KERNEL_BIT_XOR, sizeof(IntBest), false, int2_xor_batch, int2_best_result},
    {F_BIT_AND_INT4, SF_KERNEL_BIT_AND, sizeof(IntBest), false, int4_and_batch, int4_best_result},
    {F_BIT_OR_INT4, SF_KERNEL_BIT_OR, sizeof(IntBest), false, int4_or_batch, int4_best_result},
    {F_BIT_XOR_INT4, SF_KERNEL_BIT_XOR, sizeof(IntBest), false, int4_xor_batch, int4_best_result},
    {F_BIT_AND_INT8, SF_KERNEL_BIT_AND, sizeof(IntBest), false, int8_and_batch, int8_best_result},
    {F_BIT_OR_INT8, SF_KERNEL_BIT_OR, sizeof(IntBest), false, int8_or_batch, int8_best_result},
    {F_BIT_XOR_INT8, SF_KERNEL_BIT_XOR, sizeof(IntBest), false, int8_xor_batch, int8_best_result},
    {F_VAR_POP_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_var_pop_result},
    {F_VAR_SAMP_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_var_samp_result},
    {F_VARIANCE_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_var_samp_result},
    {F_STDDEV_POP_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_stddev_pop_result},
    {F_STDDEV_SAMP_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch,
     float_stddev_samp_result},
    {F_STDDEV_FLOAT4, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float4_avg_batch, float_stddev_samp_result},
    {F_VAR_POP_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_var_pop_result},
    {F_VAR_SAMP_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_var_samp_result},
    {F_VARIANCE_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_var_samp_result},
    {F_STDDEV_POP_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_stddev_pop_result},
    {F_STDDEV_SAMP_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch,
     float_stddev_samp_result},
    {F_STDDEV_FLOAT8, SF_KERNEL_VARIANCE_FLOAT, sizeof(FloatAvg), false, float8_avg_batch, float_stddev_samp_result},
};

const Kernel *
sf_kernel_find(Oid aggregate)
{
	/* The kernel of intervals knows finite ones only. */
	if (SF_INFINITE_INTERVALS && (aggregate == F_SUM_INTERVAL || aggregate == F_AVG_INTERVAL))
		return NULL;
	for (int i = 0; i < (int) lengthof(kernels); i++)
		if (kernels[i].aggregate == aggregate)
			return &kernels[i];
	return sf_variance_kernel_find(aggregate);
}
