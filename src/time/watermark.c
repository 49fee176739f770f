/*
 * watermark.c
 *		Watermark arithmetic, and punctuation: watermarks set by hand.
 *
 * The worker keeps the largest event time of each stream and asks here what watermark it makes.  advance_watermark and
 * reset_watermark write a row of streamfuse.punctuation in the caller's transaction; the worker takes it in once all
 * rows committed with it are counted.  A punctuation belongs to the whole stream, never to one partition of it.
 */
#include "time/watermark.h"

#include "common/int.h"

/* Delays are checked when they are set: no months, not negative. */
static int64
interval_us(const Interval *interval)
{
	int64 days_us;
	int64 result;

	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &days_us) ||
	    pg_add_s64_overflow(days_us, interval->time, &result))
		return PG_INT64_MAX;
	return result;
}

static bool
is_infinite(SfTime time)
{
	return time == SF_TIME_MINUS_INFINITY || time == SF_TIME_INFINITY;
}

SfTime
sf_watermark_of(const SfStreamSettings *settings, SfTime max_event_time)
{
	SfTime result;

	if (is_infinite(max_event_time))
		return max_event_time;
	if (pg_sub_s64_overflow(max_event_time, interval_us(&settings->delay), &result))
		return SF_TIME_MINUS_INFINITY;
	return result;
}

SfTime
sf_watermark_origin(const SfStreamSettings *settings, SfTime watermark)
{
	SfTime result;

	if (is_infinite(watermark))
		return watermark;
	if (pg_add_s64_overflow(watermark, interval_us(&settings->delay), &result))
		return SF_TIME_INFINITY;
	return result;
}

SfTime
sf_ahead_limit(const SfStreamSettings *settings, TimestampTz now)
{
	SfTime limit;

	if (settings->max_ahead_infinite || pg_add_s64_overflow(now, interval_us(&settings->max_ahead), &limit))
		return SF_TIME_INFINITY - 1;
	return Min(limit, SF_TIME_INFINITY - 1);
}
