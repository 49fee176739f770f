/*
 * capture_test.c
 *		For tests: a capture that lives in a session, ticked and examined from SQL.  Not part of a build for use.
 *
 * A test declares the functions it needs AS '$libdir/streamfuse'.  Each relation has one position per session, and
 * running totals over one integer column of the rows handed over.  Each tick's position goes through its flat form, so
 * what a restart would load is tested all along.
 */
#include "stream/position.h"

#ifdef STREAMFUSE_TEST

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "stream/floor.h"

typedef struct TestCapture
{
	Oid relid; /* hash key */
	SfPosition *position;
	int64 rows;
	int64 sum;
} TestCapture;

typedef struct TestConsumer
{
	AttrNumber attnum;
	int64 rows;
	int64 sum;
} TestConsumer;

static HTAB *captures;

PG_FUNCTION_INFO_V1(sf_test_capture);
PG_FUNCTION_INFO_V1(sf_test_capture_skip);
PG_FUNCTION_INFO_V1(sf_test_capture_save);
PG_FUNCTION_INFO_V1(sf_test_capture_load);
PG_FUNCTION_INFO_V1(sf_test_capture_counted);
PG_FUNCTION_INFO_V1(sf_test_capture_may_have_work);
PG_FUNCTION_INFO_V1(sf_test_capture_minima);
PG_FUNCTION_INFO_V1(sf_test_floor_publish);
PG_FUNCTION_INFO_V1(sf_test_floor_detach);

static TestCapture *
test_capture_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	TestCapture *capture;
	bool found;

	sf_require_preload();
	if (captures == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(TestCapture), .hcxt = TopMemoryContext};

		captures = hash_create("test captures", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	capture = hash_search(captures, &relid, HASH_ENTER, &found);
	if (!found)
	{
		capture->position = sf_position_create(TopMemoryContext, rel);
		capture->rows = capture->sum = 0;
	}
	return capture;
}

static void
add_page(void *arg, Relation rel, Page page, BlockNumber block, const OffsetNumber *offsets, int noffsets)
{
	TestConsumer *consumer = arg;

	for (int i = 0; i < noffsets; i++)
	{
		ItemId item = PageGetItemId(page, offsets[i]);
		HeapTupleData tuple = {.t_data = (HeapTupleHeader) PageGetItem(page, item), .t_len = ItemIdGetLength(item)};
		bool isnull;
		Datum value = heap_getattr(&tuple, consumer->attnum, RelationGetDescr(rel), &isnull);

		consumer->rows++;
		if (!isnull)
			consumer->sum += DatumGetInt32(value);
	}
}

/* A copy that has been through the flat form, as after a restart. */
static SfPosition *
reload(const SfPosition *position)
{
	StringInfoData flat;
	SfPosition *loaded;

	initStringInfo(&flat);
	sf_position_save(position, &flat);
	loaded = sf_position_load(TopMemoryContext, flat.data, flat.len);
	pfree(flat.data);
	return loaded;
}

static void
replace_position(TestCapture *capture, SfPosition *position)
{
	sf_position_free(capture->position);
	capture->position = position;
}

/*
 * sf_test_capture(rel regclass, attnum int, max_pages int, reload bool,
 *     OUT rows, OUT sum, OUT frontier, OUT open, OUT pending, OUT complete): one tick; rows and sum are running totals.
 */
Datum
sf_test_capture(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	TestCapture *capture = test_capture_of(rel);
	TestConsumer consumer = {.attnum = PG_GETARG_INT32(1)};
	SfPosition *position = sf_position_copy(TopMemoryContext, capture->position);
	SfCaptureResult result;
	TupleDesc desc;
	Datum values[6];
	bool nulls[6] = {0};

	sf_capture_seal(position, rel);
	PushActiveSnapshot(GetLatestSnapshot());
	result = sf_capture_tick(position, rel, GetActiveSnapshot(), PG_GETARG_INT32(2), add_page, &consumer);
	PopActiveSnapshot();
	Assert(result.rows == (uint64) consumer.rows);

	replace_position(capture, position);
	if (PG_GETARG_BOOL(3))
		replace_position(capture, reload(position));
	capture->rows += consumer.rows;
	capture->sum += consumer.sum;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(capture->rows);
	values[1] = Int64GetDatum(capture->sum);
	values[2] = Int32GetDatum(sf_position_frontier(capture->position));
	values[3] = Int32GetDatum(sf_position_open_pages(capture->position));
	values[4] = Int32GetDatum(sf_position_pending(capture->position));
	values[5] = BoolGetDatum(result.complete);
	table_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* sf_test_capture_skip(rel regclass): what is visible now counts as read. */
Datum
sf_test_capture_skip(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	TestCapture *capture = test_capture_of(rel);

	sf_capture_seal(capture->position, rel);
	PushActiveSnapshot(GetLatestSnapshot());
	sf_capture_skip(capture->position, rel, GetActiveSnapshot());
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	PG_RETURN_VOID();
}

/* sf_test_capture_save(rel regclass) returns bytea: the position's flat form. */
Datum
sf_test_capture_save(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	StringInfoData flat;
	bytea *result;

	initStringInfo(&flat);
	sf_position_save(test_capture_of(rel)->position, &flat);
	table_close(rel, AccessShareLock);
	result = palloc(VARHDRSZ + flat.len);
	SET_VARSIZE(result, VARHDRSZ + flat.len);
	memcpy(VARDATA(result), flat.data, flat.len);
	PG_RETURN_BYTEA_P(result);
}

/* sf_test_capture_load(rel regclass, position bytea, rows bigint, sum bigint): goes on from there. */
Datum
sf_test_capture_load(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	TestCapture *capture = test_capture_of(rel);
	bytea *flat = PG_GETARG_BYTEA_PP(1);

	replace_position(capture, sf_position_load(TopMemoryContext, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat)));
	capture->rows = PG_GETARG_INT64(2);
	capture->sum = PG_GETARG_INT64(3);
	table_close(rel, AccessShareLock);
	PG_RETURN_VOID();
}

/* sf_test_capture_counted(rel regclass) returns bigint: how many visible rows the position says are counted. */
Datum
sf_test_capture_counted(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	SfPosition *position = test_capture_of(rel)->position;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan;
	int64 counted = 0;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple tuple = ((HeapTupleTableSlot *) slot)->tuple;

		counted += sf_position_counted(position, &slot->tts_tid, HeapTupleHeaderGetRawXmin(tuple->t_data));
	}
	table_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	PG_RETURN_INT64(counted);
}

/* sf_test_capture_may_have_work(rel regclass) returns bool */
Datum
sf_test_capture_may_have_work(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	bool result = sf_capture_may_have_work(test_capture_of(rel)->position, rel);

	table_close(rel, AccessShareLock);
	PG_RETURN_BOOL(result);
}

/* sf_test_capture_minima(rel regclass, attnum int) returns timestamptz[]: one per range of pages of the whole table. */
Datum
sf_test_capture_minima(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	SfTime *minima = sf_capture_minima(rel, GetActiveSnapshot(), PG_GETARG_INT32(1), 0, nblocks, CurrentMemoryContext);
	int n = (nblocks + SF_RANGE_PAGES - 1) / SF_RANGE_PAGES;
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(minima[i]);
	table_close(rel, AccessShareLock);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* sf_test_floor_publish(rel regclass, floor int) */
Datum
sf_test_floor_publish(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);

	sf_require_preload();
	sf_floor_publish(sf_floor_attach(MyDatabaseId, RelationGetRelid(rel), sf_file_number(rel)), PG_GETARG_INT32(1));
	table_close(rel, AccessShareLock);
	PG_RETURN_VOID();
}

/* sf_test_floor_detach(relid oid): gives the stream's slot back and forgets its position, as a worker does when the
 * last view of a stream is gone. */
Datum
sf_test_floor_detach(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);

	sf_require_preload();
	sf_floor_detach(MyDatabaseId, relid);
	if (captures != NULL)
		hash_search(captures, &relid, HASH_REMOVE, NULL);
	PG_RETURN_VOID();
}

#endif /* STREAMFUSE_TEST */
