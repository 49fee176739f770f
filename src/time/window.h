/*
 * window.h
 *		Window arithmetic: pure functions of a time and a specification, no I/O, no catalogs.
 *
 * Windows are half-open [start, end).  An interval with months or days makes a calendar window, hours and below an
 * elapsed one; a mixture is refused.  Origins: Monday 2000-01-03 for weeks and shorter, 2000-01-01 for months and
 * years.  Calendar windows of timestamptz need a zone.
 */
#ifndef SF_WINDOW_H
#define SF_WINDOW_H

#include "streamfuse.h"

#include "common/int.h"
#include "pgtime.h"
#include "utils/timestamp.h"

typedef enum SfWindowUnit
{
	SF_UNIT_ELAPSED,			/* size in microseconds */
	SF_UNIT_DAYS,
	SF_UNIT_MONTHS,
} SfWindowUnit;

typedef struct SfWindowSpec
{
	SfWindowUnit unit;
	int64		size;			/* in units of `unit`; > 0 */
	Interval	offset;			/* added to the origin; zero by default */
	bool		zoned;			/* timestamptz (true) or timestamp (false) */
	pg_tz	   *zone;			/* for calendar windows, or elapsed ones aligned to a zone's midnight; else NULL */

	/*
	 * The offset worked in: for elapsed windows a start, in [0, size); for windows of days a start in local time, in
	 * [0, size); for windows of months the time from the first of a month to a start.
	 */
	int64		origin_us;
	int32		origin_months;	/* months: month of a start, counted from 2000-01, in [0, size) */
} SfWindowSpec;

/*
 * Checks and fills a specification.  timezone may be NULL: then calendar windows of timestamptz take session_timezone,
 * elapsed ones align to UTC.  Raises ERRCODE_INVALID_PARAMETER_VALUE for size <= 0, a mixture, an unknown zone.
 */
extern void sf_window_spec_init(SfWindowSpec *spec, const Interval *size, const Interval *offset, const char *timezone,
								bool zoned);

/* The part of sf_window_of that is not in line: calendar windows and errors. */
extern void sf_window_of_calendar(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end);

/* The window that holds ts.  Raises ERRCODE_DATETIME_VALUE_OUT_OF_RANGE for infinities and out-of-range results. */
static inline void
sf_window_of(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	int64		since;

	if (likely(spec->unit == SF_UNIT_ELAPSED && IS_VALID_TIMESTAMP(ts)) &&
		likely(!pg_sub_s64_overflow(ts, spec->origin_us, &since)))
	{
		int64		into = since % spec->size;

		if (into < 0)
			into += spec->size;
		if (likely(!pg_sub_s64_overflow(ts, into, start) && !pg_add_s64_overflow(*start, spec->size, end) &&
				   IS_VALID_TIMESTAMP(*start) && IS_VALID_TIMESTAMP(*end)))
			return;
	}
	sf_window_of_calendar(spec, ts, start, end);
}

/* Whether a function is the extension's tumble(), for either type of time (tumble.c). */
extern bool sf_is_tumble(Oid funcid);

#endif /* SF_WINDOW_H */
