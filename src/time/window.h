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
	int64		origin_us;		/* elapsed: origin including offset, precomputed */
} SfWindowSpec;

/*
 * Checks and fills a specification.  timezone may be NULL: then calendar windows of timestamptz take session_timezone,
 * elapsed ones align to UTC.  Raises ERRCODE_INVALID_PARAMETER_VALUE for size <= 0, a mixture, an unknown zone.
 */
extern void sf_window_spec_init(SfWindowSpec *spec, const Interval *size, const Interval *offset, const char *timezone,
								bool zoned);

/* The window that holds ts.  Raises ERRCODE_DATETIME_VALUE_OUT_OF_RANGE for infinities and out-of-range results. */
extern void sf_window_of(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end);

#endif /* SF_WINDOW_H */
