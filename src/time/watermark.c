/*
 * watermark.c
 *		Watermark arithmetic, and punctuation: watermarks set by hand.
 *
 * The worker keeps the largest event time of each stream and asks here what watermark it makes.  advance_watermark and
 * reset_watermark write a row of streamfuse.punctuation in the caller's transaction; the worker takes it in once all
 * rows committed with it are counted.  A punctuation belongs to the whole stream, never to one partition of it.
 */
#include "time/watermark.h"

#include "access/htup_details.h"
#include "access/skey.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "state/catalog.h"
#include "state/shared.h"
#include "stream/stream.h"

PG_FUNCTION_INFO_V1(sf_advance_watermark);
PG_FUNCTION_INFO_V1(sf_reset_watermark);

#define PUNCTUATION "punctuation"
#define PUNCTUATION_SEQUENCE "punctuation_id_seq"
#define ANUM_STREAM 1

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

/* Does no view read this stream, or a partition of it? */
static bool
is_unread(Oid stream)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(stream, NoLock, NULL))
		if (sf_stream_has_views(lfirst_oid(cell)))
			return false;
	return true;
}

/* Only one transaction at a time takes rows of a stream away; until it ends, others leave theirs. */
static bool
lock_punctuations(Oid stream)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, sf_catalog_relation(PUNCTUATION), stream, 0);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * The rows of a stream that no view reads wait for one that does.  So that they do not grow in number those go that say
 * no more than a new one.  False: the new one says no more than those that are there.
 */
static bool
supersede(SfCatalog *catalog, Oid stream, bool reset, SfTime watermark)
{
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	int64 last_reset = PG_INT64_MIN;
	int64 higher = PG_INT64_MIN; /* the last row that advances as far */
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!is_unread(stream) || !lock_punctuations(stream))
		return true;
	ScanKeyInit(&key, ANUM_STREAM, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(stream));
	scan = sf_catalog_scan_begin(catalog, NULL, 1, &key, NULL);
	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		Datum values[4];
		bool nulls[4];

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, desc, values, nulls);
		if (reset || (!DatumGetBool(values[2]) && DatumGetTimestampTz(values[3]) < watermark))
			sf_catalog_delete(catalog, tuple);
		else if (DatumGetBool(values[2]))
			last_reset = Max(last_reset, DatumGetInt64(values[1]));
		else
			higher = Max(higher, DatumGetInt64(values[1]));
	}
	sf_catalog_scan_end(scan);
	return reset || higher <= last_reset;
}

static void
punctuate(FunctionCallInfo fcinfo, bool reset)
{
	Oid stream;
	TimestampTz watermark;
	SfCatalog *catalog;
	Datum values[4];

	sf_require_preload();
	PreventCommandIfReadOnly(reset ? "streamfuse.reset_watermark()" : "streamfuse.advance_watermark()");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
		                errmsg("argument \"%s\" must not be null", PG_ARGISNULL(0) ? "stream" : "watermark")));
	stream = PG_GETARG_OID(0);
	watermark = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(watermark))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("watermark must be finite"),
		                errhint("Give the end of the last window that is to close.")));
	sf_lock_stream_owned(stream, AccessShareLock);

	catalog = sf_catalog_open(PUNCTUATION, RowExclusiveLock);
	if (!supersede(catalog, stream, reset, watermark))
	{
		sf_catalog_close(catalog, NoLock);
		return;
	}
	values[0] = ObjectIdGetDatum(stream);
	values[1] = Int64GetDatum(sf_catalog_nextval(PUNCTUATION_SEQUENCE));
	values[2] = BoolGetDatum(reset);
	values[3] = TimestampTzGetDatum(watermark);
	sf_catalog_insert(catalog, values, NULL);
	sf_catalog_close(catalog, NoLock);
	CommandCounterIncrement();
	sf_catalog_changed_at_commit();
}

/* advance_watermark(stream regclass, watermark timestamptz) */
Datum
sf_advance_watermark(PG_FUNCTION_ARGS)
{
	punctuate(fcinfo, false);
	PG_RETURN_VOID();
}

/* reset_watermark(stream regclass, watermark timestamptz) */
Datum
sf_reset_watermark(PG_FUNCTION_ARGS)
{
	punctuate(fcinfo, true);
	PG_RETURN_VOID();
}

void
sf_punctuation_forget(Oid stream)
{
	SfCatalog *catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	/* DROP EXTENSION may have come here first. */
	if (!sf_catalog_exists(PUNCTUATION))
		return;
	catalog = sf_catalog_open(PUNCTUATION, RowExclusiveLock);
	ScanKeyInit(&key, ANUM_STREAM, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(stream));
	scan = sf_catalog_scan_begin(catalog, NULL, 1, &key, NULL);
	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
		sf_catalog_delete(catalog, tuple);
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, NoLock);
}
