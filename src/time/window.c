/*
 * window.c
 *		Which window a time is in: checks of a specification, and calendar arithmetic.
 *
 * A calendar window begins at boundary n of a sequence of local times: origin + n * size, in days or in months.  A
 * boundary's instant is what PostgreSQL makes of that local time in the zone, so a boundary that a change of clocks
 * skips is the change itself, and one that comes twice is the later.  Instants never decrease along the sequence, which
 * makes the windows [instant n, instant n + 1) a partition of time whatever the clocks do.  A day that a zone leaves
 * out altogether (Samoa, 30 December 2011) is an empty window, and no time is in it.
 *
 * Elapsed windows are done in line by sf_window_of; they come here only to fail.
 */
#include "postgres.h"

#include "utils/datetime.h"

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

/* A window's boundary is named by its local time for windows of days, by its month for windows of months. */
static int64
boundary_before(const SfWindowSpec *spec, int64 local)
{
	struct pg_tm tm;
	fsec_t fsec;
	int64 shifted;

	if (spec->unit == SF_UNIT_DAYS)
		return floor_to(local, spec->origin_us, spec->size * USECS_PER_DAY);

	if (pg_sub_s64_overflow(local, spec->origin_us, &shifted) ||
	    timestamp2tm(shifted, NULL, &tm, &fsec, NULL, NULL) != 0)
		raise_out_of_range();
	return floor_to(((int64) tm.tm_year - ORIGIN_YEAR) * MONTHS_PER_YEAR + tm.tm_mon - 1, spec->origin_months,
	                spec->size);
}

static SfTime
boundary_instant(const SfWindowSpec *spec, int64 boundary)
{
	int64 local = boundary;

	if (spec->unit == SF_UNIT_MONTHS && pg_add_s64_overflow(month_to_local(boundary), spec->origin_us, &local))
		raise_out_of_range();
	return local_to_instant(local, spec->zone);
}

void
sf_window_of_calendar(const SfWindowSpec *spec, SfTime ts, SfTime *start, SfTime *end)
{
	int64 step = spec->unit == SF_UNIT_DAYS ? spec->size * USECS_PER_DAY : spec->size;
	int64 boundary;
	int64 next;

	if (TIMESTAMP_NOT_FINITE(ts))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("an infinite timestamp is in no window"),
		                errhint("Leave out such rows with isfinite().")));
	if (spec->unit == SF_UNIT_ELAPSED || !IS_VALID_TIMESTAMP(ts))
		raise_out_of_range();

	boundary = boundary_before(spec, instant_to_local(ts, spec->zone));
	*start = boundary_instant(spec, boundary);

	/* Where clocks are set back, a time can be past a boundary by the clock and yet before its instant. */
	while (*start > ts)
	{
		boundary -= step;
		*start = boundary_instant(spec, boundary);
	}
	for (;;)
	{
		if (pg_add_s64_overflow(boundary, step, &next))
			raise_out_of_range();
		*end = boundary_instant(spec, next);
		if (*end > ts)
			break;
		boundary = next;
		*start = *end;
	}
}

/* Unit and size. */
static void
take_size(SfWindowSpec *spec, const Interval *size)
{
	int64 ignored;

	if ((size->month != 0) + (size->day != 0) + (size->time != 0) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("window size must be either months, or days, or hours and less"),
		                errdetail("Days and months follow the calendar, hours and less are elapsed time."),
		                errhint("For example, write '36 hours' instead of '1 day 12 hours'.")));
	if (size->month != 0)
	{
		spec->unit = SF_UNIT_MONTHS;
		spec->size = size->month;
	}
	else if (size->day != 0)
	{
		spec->unit = SF_UNIT_DAYS;
		spec->size = size->day;
	}
	else
	{
		spec->unit = SF_UNIT_ELAPSED;
		spec->size = size->time;
	}
	if (spec->size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window size must be greater than zero")));
	if (spec->unit == SF_UNIT_DAYS && pg_mul_s64_overflow(spec->size, USECS_PER_DAY, &ignored))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("window size is out of range")));
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
			ereport(ERROR,
			        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("time zone \"%s\" is not recognized", timezone),
			         errhint("pg_timezone_names lists the names.")));
	}
	else if (zoned && spec->unit != SF_UNIT_ELAPSED)
		spec->zone = session_timezone;
}

/* An offset's days and time shift the origin; its months do so only where windows are counted in months. */
static void
take_offset(SfWindowSpec *spec, const Interval *offset)
{
	int64 shift_us;

	spec->offset = *offset;
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
			spec->origin_months = (int32) reduce(offset->month, spec->size);
			break;
		case SF_UNIT_DAYS:
			spec->origin_us = reduce(ORIGIN_DAYS * USECS_PER_DAY + shift_us, spec->size * USECS_PER_DAY);
			break;
		case SF_UNIT_ELAPSED:
			spec->origin_us = reduce(local_to_instant(ORIGIN_DAYS * USECS_PER_DAY + shift_us, spec->zone), spec->size);
			break;
	}
}

void
sf_window_spec_init(SfWindowSpec *spec, const Interval *size, const Interval *offset, const char *timezone, bool zoned)
{
	take_size(spec, size);
	take_zone(spec, timezone, zoned);
	take_offset(spec, offset);
}
