/*
 * spill_scan.c
 *		Rows of streamfuse.spilled as a snapshot sees them, for readers.
 *
 * A reader's statement may run under any user: the table is read past its privileges, like all of the extension's own.
 */
#include "state/spill.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "state/catalog.h"

struct SfSpillScan
{
	SfCatalog *table;
	Relation index;
	SysScanDesc rows;
	bytea *detoasted; /* of the row before, when it had to be copied */
};

SfSpillScan *
sf_spill_scan_begin(int32 fragment, SfTime start, bool all, const uint32 *hash, Snapshot snapshot)
{
	SfSpillScan *scan = palloc0(sizeof(SfSpillScan));
	ScanKeyData keys[3];

	Assert(!(all && hash != NULL));
	scan->table = sf_catalog_open("spilled", AccessShareLock);
	scan->index = index_open(sf_catalog_relation("spilled_key"), AccessShareLock);
	ScanKeyInit(&keys[0], SF_SPILLED_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment));
	ScanKeyInit(&keys[1], SF_SPILLED_WINDOW_START + 1, all ? BTGreaterEqualStrategyNumber : BTEqualStrategyNumber,
	            all ? F_TIMESTAMPTZ_GE : F_TIMESTAMPTZ_EQ, TimestampTzGetDatum(start));
	if (hash != NULL)
		ScanKeyInit(&keys[2], SF_SPILLED_HASH + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum((int32) *hash));
	scan->rows = systable_beginscan_ordered(sf_catalog_table(scan->table), scan->index, snapshot, hash != NULL ? 3 : 2,
	                                        keys);
	return scan;
}

bool
sf_spill_scan_next(SfSpillScan *scan, SfSpilledRow *row)
{
	TupleDesc desc = RelationGetDescr(sf_catalog_table(scan->table));
	HeapTuple tuple = systable_getnext_ordered(scan->rows, ForwardScanDirection);
	Datum payload;
	bool isnull;
	bytea *bytes;

	if (scan->detoasted != NULL)
		pfree(scan->detoasted);
	scan->detoasted = NULL;
	if (!HeapTupleIsValid(tuple))
		return false;
	row->start = DatumGetTimestampTz(heap_getattr(tuple, SF_SPILLED_WINDOW_START + 1, desc, &isnull));
	row->end = DatumGetTimestampTz(heap_getattr(tuple, SF_SPILLED_WINDOW_END + 1, desc, &isnull));
	payload = heap_getattr(tuple, SF_SPILLED_PAYLOAD + 1, desc, &isnull);
	bytes = DatumGetByteaPP(payload);
	if ((Pointer) bytes != DatumGetPointer(payload))
		scan->detoasted = bytes;
	row->data = VARDATA_ANY(bytes);
	row->data_end = row->data + VARSIZE_ANY_EXHDR(bytes);
	return true;
}

void
sf_spill_scan_end(SfSpillScan *scan)
{
	systable_endscan_ordered(scan->rows);
	if (scan->detoasted != NULL)
		pfree(scan->detoasted);
	index_close(scan->index, AccessShareLock);
	sf_catalog_close(scan->table, AccessShareLock);
	pfree(scan);
}
