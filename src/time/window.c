/*
 * window.c
 *		Which window a time is in: checks of a specification, and calendar arithmetic.
 *
 * A tumbling calendar window begins at boundary n of a sequence of local times: origin + n * size, in days or in months.
 * A boundary's instant is what PostgreSQL makes of that local time in the zone, so a boundary that a change of clocks
 * skips is the change itself, and one that comes twice is the later.  Instants never decrease along the sequence, which
 * makes the windows [instant n, instant n + 1) a partition of time whatever the clocks do.  A day that a zone leaves
 * out altogether (Samoa, 30 December 2011) is an empty window, and no time is in it.
 *
 * Hopping and cumulating windows begin and end at such boundaries, too, so they are made of tumbling ones: their panes.
 *
 * Tumbling elapsed windows are done in line by sf_window_of; they come here only to fail.
 */
#include "postgres.h"

#include "parser/scansup.h"
#include "utils/datetime.h"

#include "compat.h"
#include "time/window.h"

/* Monday 2000-01-03 00:00, the origin of windows of weeks and less, on PostgreSQL's scale. */
#define ORIGIN_DAYS 2
#define ORIGIN_YEAR 2000

/* The first year without timestamps: END_TIMESTAMP begins it. */
#define TIMESTAMP_END_YEAR 294277

static void
raise_out_of_range(void)
{
	ereport(ERROR,
	        (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("window of timestamp begins or ends out of range")));
}

/* The greatest origin + n * step that is at most value. */
static int64
floor_to(int64 value, int64 origin, int64 step)
{
	int64 since;
	int64 into;
	int64 result;

	if (pg_sub_s64_overflow(value, origin, &since))
		raise_out_of_range();
	into = since % step;
	if (into < 0)
		into += step;
	if (pg_sub_s64_overflow(value, into, &result))
		raise_out_of_range();
	return result;
}

/* A value in [0, step) that is the same modulo step. */
static int64
reduce(int64 value, int64 step)
{
	int64 rest = value % step;

	return rest < 0 ? rest + step : rest;
}

static int64
instant_to_local(SfTime instant, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	int west_seconds;

	if (zone == NULL)
		return instant;
	if (timestamp2tm(instant, &west_seconds, &tm, &fsec, NULL, zone) != 0)
		raise_out_of_range();
	return instant - west_seconds * USECS_PER_SEC;
}

static SfTime
local_to_instant(int64 local, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	SfTime instant = local;

	if (zone != NULL)
	{
		if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		    pg_add_s64_overflow(local, DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC, &instant))
			raise_out_of_range();
	}
	if (!IS_VALID_TIMESTAMP(instant))
		raise_out_of_range();
	return instant;
}

/* Midnight that begins a month, counted from 2000-01. */
static int64
month_to_local(int64 month)
{
	int month_of_year = (int) reduce(month, MONTHS_PER_YEAR) + 1;
	int64 year = ORIGIN_YEAR + floor_to(month, 0, MONTHS_PER_YEAR) / MONTHS_PER_YEAR;

	if (year < JULIAN_MINYEAR || year >= TIMESTAMP_END_YEAR || !IS_VALID_JULIAN(year, month_of_year, 1))
		raise_out_of_range();
	return (date2j((int) year, month_of_year, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/* From one window's start to the next one's. */
static int64
period_of(const SfWindowSpec *spec)
{
	return spec->kind == SF_WINDOW_CUMULATE ? spec->size : spec->step;
}

/* A length in boundaries: microseconds, but for months. */
static int64
span_of(const SfWindowSpec *spec, int64 length)
{
	return spec->unit == SF_UNIT_DAYS ? length * USECS_PER_DAY : length;
}

static int64
moved(int64 boundary, int64 span)
{
	if (pg_add_s64_overflow(boundary, span, &boundary))
		raise_out_of_range();
	return boundary;
}

/* The boundary a span later; none comes after the last one. */
static int64
following(int64 boundary, int64 span)
{
	return pg_add_s64_overflow(boundary, span, &boundary) ? PG_INT64_MAX : boundary;
}

static bool
is_instant(const SfWindowSpec *spec)
{
	return spec->unit == SF_UNIT_ELAPSED || spec->unit == SF_UNIT_CLOCK;
}

/*
 * A boundary is named by its instant for elapsed windows and those of hours by the clock, by its local time for windows
 * of days, by its month for windows of months.  The last one at or before a time by the clock, of those that lie a span
 * apart.
 */
static int64
boundary_before(const SfWindowSpec *spec, int64 shift, int64 span, int64 local)
{
	struct pg_tm tm;
	fsec_t fsec;
	int64 shifted;

	if (spec->unit != SF_UNIT_MONTHS)
		return floor_to(local, moved(spec->origin_us, shift), span);

	if (pg_sub_s64_overflow(local, spec->origin_us, &shifted) ||
	    timestamp2tm(shifted, NULL, &tm, &fsec, NULL, NULL) != 0)
		raise_out_of_range();
	return floor_to(((int64) tm.tm_year - ORIGIN_YEAR) * MONTHS_PER_YEAR + tm.tm_mon - 1,
	                moved(spec->origin_months, shift), span);
}

static SfTime
boundary_instant(const SfWindowSpec *spec, int64 boundary)
{
	int64 local = boundary;

	if (spec->unit == SF_UNIT_MONTHS && pg_add_s64_overflow(month_to_local(boundary), spec->origin_us, &local))
		raise_out_of_range();
	return local_to_instant(local, is_instant(spec) ? NULL : spec->zone);
}

static void
check_time(SfTime ts)
{
	if (TIMESTAMP_NOT_FINITE(ts))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("an infinite timestamp is in no window"),
		                errhint("Leave out such rows with isfinite().")));
	if (!IS_VALID_TIMESTAMP(ts))
		raise_out_of_range();
}

/* The last of the boundaries origin + shift + n * span whose instant is at most ts. */
static int64
last_boundary(const SfWindowSpec *spec, int64 shift, int64 span, SfTime ts)
{
	int64 boundary;

	check_time(ts);
	if (spec->unit == SF_UNIT_ELAPSED)
		return boundary_before(spec, shift, span, ts);

	/* Where clocks are set back, a time can be past a boundary by the clock and yet before its instant. */
	boundary = boundary_before(spec, shift, span, instant_to_local(ts, spec->zone));
	while (boundary_instant(spec, boundary) > ts)
		boundary = moved(boundary, -span);
	while (boundary_instant(spec, moved(boundary, span)) <= ts)
		boundary = moved(boundary, span);
	return boundary;
}

/* What date_trunc does: the boundary is what the clock shows, cut off; hours and minutes keep the time's own offset. */
static int64
boundary_by_clock(const SfWindowSpec *spec, SfTime ts)
{
	int64 span = span_of(spec, spec->size);
	int64 local;

	check_time(ts);
	local = instant_to_local(ts, spec->zone);
	return spec->unit == SF_UNIT_CLOCK ? moved(ts, -reduce(local, span)) : boundary_before(spec, 0, span, local);
}

/* ---- windows of windows ---- */

/* The time of a fine window that says in which coarse one it is. */
static SfTime
place_of(const SfWindowSpec *spec, SfTime ts)
{
	SfTime start;
	SfTime end;

	sf_window_of(spec->fine, ts, &start, &end);
	return spec->of_end ? end : start;
}

/* The start of the first fine window whose place is at `coarse_start` or later. */
static SfTime
first_fine(const SfWindowSpec *spec, SfTime coarse_start)
{
	SfTime start;
	SfTime end;

	if (spec->of_end)
		sf_window_of(spec->fine, coarse_start - 1, &start, &end);
	else
	{
		sf_window_of(spec->fine, coarse_start, &start, &end);
		if (start < coarse_start)
			start = end;
	}
	return start;
}

static void
window_of_windows(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	SfTime coarse_start;
	SfTime coarse_end;
	SfTime last_start;
	SfTime last_end;

	sf_window_of(spec->coarse, place_of(spec, ts), &coarse_start, &coarse_end);
	*start = first_fine(spec, coarse_start);

	/* The last fine window that starts, or ends, before the coarse end. */
	sf_window_of(spec->fine, coarse_end - 1, &last_start, &last_end);
	*end = spec->of_end ? last_start : last_end;
}

void
sf_window_spec_compose(SfWindowSpec *spec, const SfWindowSpec *fine, const SfWindowSpec *coarse, bool of_end)
{
	*spec = (SfWindowSpec){.kind = SF_WINDOW_TUMBLE,
	                       .unit = SF_UNIT_WINDOWS,
	                       .size = 1,
	                       .step = 1,
	                       .by_clock = coarse->by_clock,
	                       .zoned = coarse->zoned,
	                       .fine = fine,
	                       .coarse = coarse,
	                       .of_end = of_end};
}

void
sf_window_of_calendar(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	int64 span = span_of(spec, spec->size);
	int64 boundary;

	if (spec->unit == SF_UNIT_WINDOWS)
	{
		window_of_windows(spec, ts, start, end);
		return;
	}
	boundary = spec->by_clock ? boundary_by_clock(spec, ts) : last_boundary(spec, 0, span, ts);

	*start = boundary_instant(spec, boundary);
	*end = boundary_instant(spec, moved(boundary, span));
}

/*
 * Windows are enumerated by the boundaries they end at, a step apart.  A hopping window begins its size earlier, a
 * cumulating one at the last boundary of a size's windows before that.
 */
static int64
start_for_end(const SfWindowSpec *spec, int64 end)
{
	int64 size = span_of(spec, spec->size);

	if (spec->kind != SF_WINDOW_CUMULATE)
		return moved(end, -size);
	return floor_to(moved(end, -span_of(spec, spec->step)),
	                spec->unit == SF_UNIT_MONTHS ? spec->origin_months : spec->origin_us, size);
}

/* The last boundary at which a window ends, not after ts. */
static int64
last_end_boundary(const SfWindowSpec *spec, SfTime ts)
{
	return last_boundary(spec, span_of(spec, spec->size), span_of(spec, spec->step), ts);
}

/* Where the window ends that starts last of those that start at or before ts, and ends last. */
static int64
end_of_last_start(const SfWindowSpec *spec, SfTime ts)
{
	return moved(last_boundary(spec, 0, span_of(spec, period_of(spec)), ts), span_of(spec, spec->size));
}

static void
begin_at(SfWindowIterator *iterator, const SfWindowSpec *spec, int64 first_end, int64 last_end)
{
	iterator->spec = spec;
	iterator->start = iterator->end = 0;
	iterator->next_end = first_end;
	iterator->last_end = last_end;
	iterator->single = false;
}

void
sf_windows_of(SfWindowIterator *iterator, const SfWindowSpec *spec, SfTime ts)
{
	if (spec->by_clock || spec->unit == SF_UNIT_WINDOWS)
	{
		*iterator = (SfWindowIterator){.spec = spec, .single = true, .next_end = 1};
		sf_window_of(spec, ts, &iterator->start, &iterator->end);
	}
	else
		begin_at(iterator, spec, following(last_end_boundary(spec, ts), span_of(spec, spec->step)),
		         end_of_last_start(spec, ts));
}

void
sf_windows_ending(SfWindowIterator *iterator, const SfWindowSpec *spec, SfTime from, SfTime until)
{
	begin_at(iterator, spec, following(last_end_boundary(spec, from), span_of(spec, spec->step)),
	         last_end_boundary(spec, until));
}

bool
sf_windows_next(SfWindowIterator *iterator)
{
	const SfWindowSpec *spec = iterator->spec;

	if (iterator->single)
	{
		iterator->single = false;
		return true;
	}
	while (iterator->next_end <= iterator->last_end)
	{
		SfTime end = boundary_instant(spec, iterator->next_end);
		SfTime start = boundary_instant(spec, start_for_end(spec, iterator->next_end));
		bool repeated = start == iterator->start && end == iterator->end;

		iterator->next_end = following(iterator->next_end, span_of(spec, spec->step));
		if (start == end || repeated)
			continue;
		iterator->start = start;
		iterator->end = end;
		return true;
	}
	return false;
}

bool
sf_window_last_of(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	int64 boundary = end_of_last_start(spec, ts);

	*end = boundary_instant(spec, boundary);
	*start = boundary_instant(spec, start_for_end(spec, boundary));
	return *end > ts;
}

SfTime
sf_window_first_ending_after(const SfWindowSpec *spec, SfTime ts)
{
	if (spec->unit == SF_UNIT_WINDOWS)
		return first_fine(spec, sf_window_coarse_ending_after(spec, ts));
	if (spec->unit == SF_UNIT_CLOCK)
		return ts - spec->size + 1;
	return boundary_instant(spec,
	                        start_for_end(spec, following(last_end_boundary(spec, ts), span_of(spec, spec->step))));
}

SfTime
sf_window_coarse_ending_after(const SfWindowSpec *spec, SfTime ts)
{
	if (spec->unit == SF_UNIT_WINDOWS)
		return sf_window_first_ending_after(spec->coarse, place_of(spec, ts));
	return sf_window_first_ending_after(spec, ts);
}

/* No change of clocks within two days of a time, which is more than any change is by. */
static bool
is_steady_near(pg_tz *zone, SfTime ts)
{
	const pg_time_t reach = 2 * SECS_PER_DAY;
	pg_time_t from = timestamptz_to_time_t(ts) - reach;
	pg_time_t change;
	long int ignored_offset;
	int ignored_dst;
	int found = pg_next_dst_boundary(&from, &ignored_offset, &ignored_dst, &change, &ignored_offset, &ignored_dst,
	                                 zone);

	return found == 0 || (found > 0 && change > from + 2 * reach);
}

bool
sf_window_is_regular_by_clock(const SfWindowSpec *spec, SfTime start, SfTime end)
{
	if (spec->unit == SF_UNIT_WINDOWS)
	{
		sf_window_of(spec->coarse, place_of(spec, start), &start, &end);
		spec = spec->coarse;
	}
	return is_steady_near(spec->zone, start) && is_steady_near(spec->zone, end);
}

/* An interval as a number of one unit. */
static int64
take_length(const Interval *interval, const char *name, SfWindowUnit *unit)
{
	int64 length;
	int64 ignored;

	if ((interval->month != 0) + (interval->day != 0) + (interval->time != 0) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("window %s must be either months, or days, or hours and less", name),
		                errdetail("Days and months follow the calendar, hours and less are elapsed time."),
		                errhint("For example, write '36 hours' instead of '1 day 12 hours'.")));
	if (interval->month != 0)
	{
		*unit = SF_UNIT_MONTHS;
		length = interval->month;
	}
	else if (interval->day != 0)
	{
		*unit = SF_UNIT_DAYS;
		length = interval->day;
	}
	else
	{
		*unit = SF_UNIT_ELAPSED;
		length = interval->time;
	}
	if (length <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window %s must be greater than zero", name)));
	if (*unit == SF_UNIT_DAYS && pg_mul_s64_overflow(length, USECS_PER_DAY, &ignored))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window %s is out of range", name)));
	return length;
}

static void
check_hop(const SfWindowSpec *spec, bool gaps)
{
	if (spec->step > spec->size && !gaps)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("window slide must not be greater than the window size"),
		                errdetail("Times between the windows would be in none."),
		                errhint("The size comes first: hop(ts, size, slide).  If gaps are meant, add gaps => true.")));
}

static void
check_cumulate(const SfWindowSpec *spec)
{
	if (spec->size % spec->step != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window size must be a multiple of the step"),
		                errhint("The size comes first: cumulate(ts, size, step).")));
}

/* Unit, size and step. */
static void
take_lengths(SfWindowSpec *spec, const SfWindowArguments *arguments)
{
	const char *name = arguments->kind == SF_WINDOW_CUMULATE ? "step" : "slide";
	SfWindowUnit step_unit;

	*spec = (SfWindowSpec){.kind = arguments->kind};
	spec->size = spec->step = take_length(arguments->size, "size", &spec->unit);
	if (spec->kind == SF_WINDOW_TUMBLE)
		return;

	spec->step = take_length(arguments->step, name, &step_unit);
	if (step_unit != spec->unit)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("window size and %s must both be months, or days, or hours and less", name),
		                errdetail("Days and months follow the calendar, hours and less are elapsed time."),
		                errhint("For example, write '24 hours' instead of '1 day' next to '1 hour'.")));
	if (spec->kind == SF_WINDOW_HOP)
		check_hop(spec, arguments->gaps);
	else
		check_cumulate(spec);
}

static void
raise_unknown_zone(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("time zone \"%s\" is not recognized", name),
	                errhint("pg_timezone_names lists the names.")));
}

static void
take_zone(SfWindowSpec *spec, const char *timezone, bool zoned)
{
	spec->zoned = zoned;
	spec->zone = NULL;
	if (timezone != NULL)
	{
		if (!zoned)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("windows of timestamp without time zone take no time zone"),
			                errhint("Leave out the argument \"timezone\", or cast the time to timestamp with time "
			                        "zone.")));
		spec->zone = pg_tzset(timezone);
		if (spec->zone == NULL || !pg_tz_acceptable(spec->zone))
			raise_unknown_zone(timezone);
	}
	else if (zoned && spec->unit != SF_UNIT_ELAPSED)
		spec->zone = session_timezone;
}

/* An offset's days and time shift the origin; its months do so only where windows are counted in months. */
static void
take_offset(SfWindowSpec *spec, const Interval *offset)
{
	int64 period = span_of(spec, period_of(spec));
	int64 shift_us;

	spec->origin_months = 0;
	if (offset->month != 0 && spec->unit != SF_UNIT_MONTHS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("the offset of windows of days or less must not have months"),
		                errhint("Give the offset in days, hours or less.")));
	if (pg_mul_s64_overflow(offset->day, USECS_PER_DAY, &shift_us) ||
	    pg_add_s64_overflow(shift_us, offset->time, &shift_us) || shift_us < MIN_TIMESTAMP || shift_us > -MIN_TIMESTAMP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window offset is out of range")));

	switch (spec->unit)
	{
		case SF_UNIT_MONTHS:
			spec->origin_us = shift_us;
			spec->origin_months = (int32) reduce(offset->month, period);
			break;
		case SF_UNIT_CLOCK:
		case SF_UNIT_DAYS:
			spec->origin_us = reduce(ORIGIN_DAYS * USECS_PER_DAY + shift_us, period);
			break;
		case SF_UNIT_WINDOWS:
			break;
		case SF_UNIT_ELAPSED:
			spec->origin_us = reduce(local_to_instant(ORIGIN_DAYS * USECS_PER_DAY + shift_us, spec->zone), period);
			break;
	}
}

/* Days of a clock that is never changed have 24 hours: elapsed windows, which cost less; and such a clock is unambiguous. */
static void
simplify(SfWindowSpec *spec)
{
	long int east_seconds = 0;

	if (spec->zone != NULL && !pg_get_timezone_offset(spec->zone, &east_seconds))
		return;
	spec->by_clock = false;
	if (spec->unit != SF_UNIT_DAYS && spec->unit != SF_UNIT_CLOCK)
		return;
	spec->origin_us = reduce(spec->origin_us - east_seconds * USECS_PER_SEC, span_of(spec, period_of(spec)));
	spec->size = span_of(spec, spec->size);
	spec->step = span_of(spec, spec->step);
	spec->unit = SF_UNIT_ELAPSED;
}

void
sf_window_spec_init(SfWindowSpec *spec, const SfWindowArguments *arguments)
{
	take_lengths(spec, arguments);
	take_zone(spec, arguments->timezone, arguments->zoned);
	take_offset(spec, arguments->offset);
	simplify(spec);
}

/* The fields of date_trunc: their windows, and for months the month that one of them starts with, from 2000-01. */
static const struct
{
	int field;
	SfWindowUnit unit;
	int64 size;
	int32 origin_months;
} trunc_fields[] = {
    {DTK_MICROSEC, SF_UNIT_ELAPSED, 1, 0},
    {DTK_MILLISEC, SF_UNIT_ELAPSED, 1000, 0},
    {DTK_SECOND, SF_UNIT_ELAPSED, USECS_PER_SEC, 0},
    {DTK_MINUTE, SF_UNIT_CLOCK, USECS_PER_MINUTE, 0},
    {DTK_HOUR, SF_UNIT_CLOCK, USECS_PER_HOUR, 0},
    {DTK_DAY, SF_UNIT_DAYS, 1, 0},
    {DTK_WEEK, SF_UNIT_DAYS, 7, 0},
    {DTK_MONTH, SF_UNIT_MONTHS, 1, 0},
    {DTK_QUARTER, SF_UNIT_MONTHS, 3, 0},
    {DTK_YEAR, SF_UNIT_MONTHS, 12, 0},
    {DTK_DECADE, SF_UNIT_MONTHS, 120, 0},
    {DTK_CENTURY, SF_UNIT_MONTHS, 1200, 12},
    {DTK_MILLENNIUM, SF_UNIT_MONTHS, 12000, 12},
};

static int
find_trunc_field(const char *field)
{
	char *lower = downcase_truncate_identifier(field, (int) strlen(field), false);
	int value;

	if (DecodeUnits(0, lower, &value) == UNITS)
		for (int i = 0; i < (int) lengthof(trunc_fields); i++)
			if (trunc_fields[i].field == value)
				return i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("date_trunc has no unit \"%s\"", field)));
}

pg_tz *
sf_trunc_zone(const char *name)
{
	char *lower = downcase_truncate_identifier(name, (int) strlen(name), false);
	pg_tz *zone = NULL;
	int kind;
	int west_seconds;

	if (!sf_timezone_abbreviation(lower, &kind, &west_seconds, &zone))
		zone = pg_tzset(name);
	else if (kind != DYNTZ)
		zone = pg_tzset_offset(-west_seconds);
	if (zone == NULL)
		raise_unknown_zone(name);
	return zone;
}

void
sf_window_spec_trunc(SfWindowSpec *spec, const char *field, pg_tz *zone, bool zoned)
{
	const Interval no_offset = {0, 0, 0};
	int i = find_trunc_field(field);

	*spec = (SfWindowSpec){.kind = SF_WINDOW_TUMBLE,
	                       .unit = trunc_fields[i].unit,
	                       .size = trunc_fields[i].size,
	                       .step = trunc_fields[i].size,
	                       .zoned = zoned,
	                       .zone = zoned ? zone : NULL};
	take_offset(spec, &no_offset);
	if (spec->unit == SF_UNIT_MONTHS)
		spec->origin_months = (int32) reduce(trunc_fields[i].origin_months, spec->size);
	else if (spec->unit == SF_UNIT_ELAPSED)
		spec->origin_us = 0; /* offsets of zones are whole seconds */
	spec->by_clock = spec->unit != SF_UNIT_ELAPSED;
	simplify(spec);
}

/* As date_bin counts: a day of the stride is 24 hours, whatever the zone. */
void
sf_window_spec_bin(SfWindowSpec *spec, const Interval *stride, SfTime origin, bool zoned)
{
	int64 size;

	if (TIMESTAMP_NOT_FINITE(origin))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("origin out of range")));
	if (stride->month != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("timestamps cannot be binned into intervals containing months or years"),
		                errhint("Use tumble() or date_trunc().")));
	if (pg_mul_s64_overflow(stride->day, USECS_PER_DAY, &size) || pg_add_s64_overflow(size, stride->time, &size))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window size is out of range")));
	if (size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("stride must be greater than zero")));
	*spec = (SfWindowSpec){.kind = SF_WINDOW_TUMBLE,
	                       .unit = SF_UNIT_ELAPSED,
	                       .size = size,
	                       .step = size,
	                       .zoned = zoned,
	                       .origin_us = reduce(origin, size)};
}

static int64
greatest_common_divisor(int64 one, int64 other)
{
	while (other != 0)
	{
		int64 rest = one % other;

		one = other;
		other = rest;
	}
	return one;
}

void
sf_pane_spec(const SfWindowSpec *spec, SfWindowSpec *pane)
{
	int64 span;

	*pane = *spec;
	pane->kind = SF_WINDOW_TUMBLE;
	pane->size = pane->step = greatest_common_divisor(spec->size, spec->step);
	span = span_of(pane, pane->size);
	if (pane->unit == SF_UNIT_MONTHS)
		pane->origin_months = (int32) reduce(spec->origin_months, span);
	else
		pane->origin_us = reduce(spec->origin_us, span);
}
