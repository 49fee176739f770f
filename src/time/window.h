/*
 * window.h
 *		Window arithmetic: pure functions of a time and a specification, no I/O, no catalogs.
 *
 * Windows are half-open [start, end).  An interval with months or days makes a calendar window, hours and below an
 * elapsed one; a mixture is refused, within an interval and between a size and its slide or step.  Origins: Monday
 * 2000-01-03 for weeks and shorter, 2000-01-01 for months and years.  Calendar windows of timestamptz need a zone.
 *
 * Tumbling windows hold each time once.  Hopping ones of a size start every slide, so that a time is in size/slide of
 * them; with gaps (slide > size) it may be in none.  Cumulating ones are tumbling windows of the size, each with the
 * windows that start with it and end after one step, two, and so on up to the size.  A window is its start and end: where
 * a zone leaves out a day, a step may add nothing, and windows that would be the same are one; empty ones are none.
 *
 * date_trunc() and date_bin() give tumbling windows, too.  A window of date_trunc is named by what the clock shows, so
 * where clocks are set back across its start, it holds times before its start, or two windows overlap: those are windows
 * by the clock.  They still end after all times they hold, and in the order of their starts.
 *
 * A pane is a window of the tumbling specification that sf_pane_spec gives: each pane is wholly in or wholly outside of
 * any window, so what holds a pane's start holds all of it.
 */
#ifndef SF_WINDOW_H
#define SF_WINDOW_H

#include "streamfuse.h"

#include "common/int.h"
#include "pgtime.h"
#include "utils/timestamp.h"

typedef enum SfWindowKind
{
	SF_WINDOW_TUMBLE,
	SF_WINDOW_HOP,
	SF_WINDOW_CUMULATE,
	SF_WINDOW_SESSION,			/* has no specification: time/session.h */
	SF_WINDOW_NONE,				/* groups over all time: one window from -infinity to infinity, which never closes */
} SfWindowKind;

typedef enum SfWindowUnit
{
	SF_UNIT_ELAPSED,			/* microseconds */
	SF_UNIT_CLOCK,				/* microseconds by the clock of the zone: date_trunc to hours or minutes */
	SF_UNIT_DAYS,
	SF_UNIT_MONTHS,
	SF_UNIT_WINDOWS,			/* other windows: see `fine` */
} SfWindowUnit;

typedef struct SfWindowSpec
{
	SfWindowKind kind;
	SfWindowUnit unit;			/* days that always have 24 hours are kept as elapsed time */
	int64		size;			/* in units of `unit`; > 0 */
	int64		step;			/* from start to start (tumble: the size; hop: the slide), or from end to end (cumulate) */
	bool		by_clock;		/* a time is in the window of what the clock shows: date_trunc, where clocks change */
	bool		zoned;			/* timestamptz (true) or timestamp (false) */
	pg_tz	   *zone;			/* for calendar windows, or elapsed ones aligned to a zone's midnight; else NULL */

	/*
	 * The offset worked in: for elapsed windows a start, in [0, period); for windows of days a start in local time, in
	 * [0, period); for windows of months the time from the first of a month to a start.  The period is the step, or the
	 * size of cumulating windows.
	 */
	int64		origin_us;
	int32		origin_months;	/* months: month of a start, counted from 2000-01, in [0, period) */

	/* Windows of windows: all `fine` ones whose start (or end) is in the same `coarse` one.  Both tumble; borrowed. */
	const struct SfWindowSpec *fine;
	const struct SfWindowSpec *coarse;
	bool		of_end;
} SfWindowSpec;

/* What a window function is called with. */
typedef struct SfWindowArguments
{
	SfWindowKind kind;
	const Interval *size;
	const Interval *step;		/* slide or step; not for tumble */
	const Interval *offset;		/* added to the origin */
	const char *timezone;		/* or NULL: calendar windows of timestamptz take session_timezone, elapsed ones UTC */
	bool		zoned;			/* timestamptz (true) or timestamp (false) */
	bool		gaps;			/* hop: the slide may be greater than the size */
} SfWindowArguments;

/*
 * Checks arguments and fills a specification.  Raises ERRCODE_INVALID_PARAMETER_VALUE for what is zero, negative, a
 * mixture, a slide greater than the size without gaps, a size that is not a multiple of its step, an unknown zone.
 */
extern void sf_window_spec_init(SfWindowSpec *spec, const SfWindowArguments *arguments);

/*
 * The windows whose starts are date_trunc(field, ts [, timezone]), and date_bin(stride, ts, origin).  Raises
 * ERRCODE_INVALID_PARAMETER_VALUE for a field or stride that those functions refuse.  The zone is for timestamptz.
 */
extern void sf_window_spec_trunc(SfWindowSpec *spec, const char *field, pg_tz *zone, bool zoned);
extern pg_tz *sf_trunc_zone(const char *name);	/* as date_trunc reads it: abbreviations come before names */
extern void sf_window_spec_bin(SfWindowSpec *spec, const Interval *stride, SfTime origin, bool zoned);

/*
 * The windows of groups by a coarser window of window_start, or of window_end (of_end): such a window begins with its
 * first fine window and ends with its last.
 */
extern void sf_window_spec_compose(SfWindowSpec *spec, const SfWindowSpec *fine, const SfWindowSpec *coarse, bool of_end);

/*
 * The tumbling windows that all windows of a specification are made of: the greatest common divisor of size and slide,
 * or the step of cumulating windows.  For tumbling windows the same again.
 */
extern void sf_pane_spec(const SfWindowSpec *spec, SfWindowSpec *pane);

/* The part of sf_window_of that is not in line: calendar windows and errors. */
extern void sf_window_of_calendar(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end);

/*
 * The tumbling window that holds ts.  Raises ERRCODE_DATETIME_VALUE_OUT_OF_RANGE for infinities and out-of-range
 * results.
 */
static inline void
sf_window_of(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	int64		since;

	Assert(spec->kind == SF_WINDOW_TUMBLE);
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

extern bool sf_window_is_regular_by_clock(const SfWindowSpec *spec, SfTime start, SfTime end);

/* Whether all times in [start, end), the window of some time, have this window: not so by the clock where it changes. */
static inline bool
sf_window_is_regular(const SfWindowSpec *spec, SfTime start, SfTime end)
{
	return likely(!spec->by_clock) || sf_window_is_regular_by_clock(spec, start, end);
}

/*
 * The start of the first window that ends after ts: a window ends after ts if and only if it starts there or later.  For
 * tumbling and hopping windows; of cumulating ones there are more with that start.
 */
extern SfTime sf_window_first_ending_after(const SfWindowSpec *spec, SfTime ts);

/* Of windows of windows, the start of the coarse one instead of the first fine one; of others the same. */
extern SfTime sf_window_coarse_ending_after(const SfWindowSpec *spec, SfTime ts);

/* An enumeration of windows of any kind; plain data, nothing to free.  The specification is borrowed. */
typedef struct SfWindowIterator
{
	const SfWindowSpec *spec;
	SfTime		start;			/* the window that sf_windows_next gave last; start = end: none yet */
	SfTime		end;
	int64		next_end;		/* the boundary at which the next window ends (see window.c) */
	int64		last_end;		/* and the last one */
	bool		single;			/* start and end are the only window, not given yet */
} SfWindowIterator;

/*
 * All windows that hold ts, in order of start, and of end for those with the same start.  Raises
 * ERRCODE_DATETIME_VALUE_OUT_OF_RANGE like sf_window_of, here or in sf_windows_next.
 */
extern void sf_windows_of(SfWindowIterator *iterator, const SfWindowSpec *spec, SfTime ts);

/*
 * All windows with from < end <= until, but for those by the clock and of windows, in order of end, and of start for those with the same end.  Both times are
 * finite.  The number of windows is that of the slides or steps in between, whether or not anything is in them.
 */
extern void sf_windows_ending(SfWindowIterator *iterator, const SfWindowSpec *spec, SfTime from, SfTime until);

/* The next window into iterator->start and iterator->end; false when there is none. */
extern bool sf_windows_next(SfWindowIterator *iterator);

/* The window that holds ts and ends last: once it has closed, nothing needs ts any more.  False when none holds it. */
extern bool sf_window_last_of(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end);

/* Whether a function is one of the extension's window functions, for either type of time; which (window_function.c). */
extern bool sf_is_window_function(Oid funcid, SfWindowKind *kind);

#endif							/* SF_WINDOW_H */
