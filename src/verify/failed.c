/*
 * failed.c
 *		The rows that are in the error table, for a verification: they are counted, but are no part of the batch side.
 *
 * They are those that the snapshot shows in the table, and those that the pinned tick holds besides and that wait for a
 * commit.  Sorted, so that asking for a row is a binary search.
 */
#include "verify/verify_internal.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "output/error_row.h"
#include "state/catalog.h"

static int
compare(const void *a, const void *b)
{
	const SfRowPlace *x = a;
	const SfRowPlace *y = b;

	if (x->relid != y->relid)
		return x->relid < y->relid ? -1 : 1;
	if (!ItemPointerEquals((ItemPointer) &x->tid, (ItemPointer) &y->tid))
		return ItemPointerCompare((ItemPointer) &x->tid, (ItemPointer) &y->tid);
	return x->branch - y->branch;
}

static void
add(SfVerification *verification, int *capacity, Oid relid, BlockNumber block, OffsetNumber offset, int branch)
{
	SfRowPlace *place;

	sf_reserve(verification->tick_context, verification->failed, *capacity, verification->nfailed + 1, 0);
	place = &verification->failed[verification->nfailed++];
	place->relid = relid;
	ItemPointerSet(&place->tid, block, offset);
	place->branch = branch;
}

void
sf_verify_read_failed(SfVerification *verification)
{
	const SfProgress *progress = &verification->progress;
	SfCatalog *catalog = sf_catalog_open("error_row", AccessShareLock);
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	int capacity = progress->nfailed + 16;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	verification->nfailed = 0;
	verification->failed = MemoryContextAllocHuge(verification->tick_context, capacity * sizeof(SfRowPlace));
	for (int i = 0; i < progress->nfailed; i++)
		add(verification, &capacity, progress->failed[i].relid, progress->failed[i].block, progress->failed[i].offset,
		    progress->failed[i].branch);
	ScanKeyInit(&key, SF_ERROR_ROW_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(verification->row->id));
	scan = sf_catalog_scan_begin(catalog, "error_row_pkey", 1, &key, verification->snapshot);
	while (HeapTupleIsValid(tuple = sf_catalog_scan_next(scan)))
	{
		bool isnull;
		Oid relid = DatumGetObjectId(heap_getattr(tuple, SF_ERROR_ROW_RELATION + 1, desc, &isnull));
		ItemPointer tid = (ItemPointer) DatumGetPointer(heap_getattr(tuple, SF_ERROR_ROW_TID + 1, desc, &isnull));
		int branch = DatumGetInt32(heap_getattr(tuple, SF_ERROR_ROW_BRANCH + 1, desc, &isnull)) - 1;

		CHECK_FOR_INTERRUPTS();
		add(verification, &capacity, relid, ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid), branch);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	qsort(verification->failed, verification->nfailed, sizeof(SfRowPlace), compare);
}

bool
sf_verify_has_failed(const SfVerification *verification, Oid relid, ItemPointer tid, int branch)
{
	SfRowPlace place;

	if (verification->nfailed == 0)
		return false;
	place.relid = relid;
	place.tid = *tid;
	place.branch = branch;
	return bsearch(&place, verification->failed, verification->nfailed, sizeof(SfRowPlace), compare) != NULL;
}
