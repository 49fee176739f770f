/*
 * stream_index.c
 *		Index builds over a stream.
 *
 * Heap's own build scans insist that the table's access method is heap, so streams have scans of their own, over
 * heap_getnextslot.  They are simpler: rows of a stream are never updated, so there are no HOT chains, each row is
 * indexed under its own address, and addresses come in ascending order.  Used by CREATE INDEX [CONCURRENTLY], REINDEX
 * and brin_summarize_new_values, serial and parallel.
 */
#include "stream/stream.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

/* What it takes to make index entries of rows. */
typedef struct EntryMaker
{
	IndexInfo *info;
	EState *estate;
	ExprContext *econtext;
	ExprState *predicate;
	TupleTableSlot *slot;
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];
} EntryMaker;

static void
entry_maker_begin(EntryMaker *maker, Relation table, IndexInfo *info)
{
	maker->info = info;
	maker->estate = CreateExecutorState();
	maker->econtext = GetPerTupleExprContext(maker->estate);
	maker->slot = table_slot_create(table, NULL);
	maker->econtext->ecxt_scantuple = maker->slot;
	maker->predicate = ExecPrepareQual(info->ii_Predicate, maker->estate);
}

/* Computes values and isnull of the row in the slot; false when the index's predicate excludes it. */
static bool
entry_maker_make(EntryMaker *maker)
{
	MemoryContextReset(maker->econtext->ecxt_per_tuple_memory);
	if (maker->predicate != NULL && !ExecQual(maker->predicate, maker->econtext))
		return false;
	FormIndexDatum(maker->info, maker->slot, maker->estate, maker->values, maker->isnull);
	return true;
}

static void
entry_maker_end(EntryMaker *maker)
{
	ExecDropSingleTupleTableSlot(maker->slot);
	FreeExecutorState(maker->estate);
	/* They were made in the executor state that is gone. */
	maker->info->ii_ExpressionsState = NIL;
	maker->info->ii_PredicateState = NULL;
}

static BlockNumber
blocks_in_scan(HeapScanDesc scan)
{
	ParallelBlockTableScanDesc parallel = (ParallelBlockTableScanDesc) scan->rs_base.rs_parallel;

	return parallel ? parallel->phs_nblocks : scan->rs_nblocks;
}

/* A synchronised scan starts anywhere and wraps around. */
static BlockNumber
blocks_done(HeapScanDesc scan)
{
	ParallelBlockTableScanDesc parallel = (ParallelBlockTableScanDesc) scan->rs_base.rs_parallel;
	BlockNumber start = parallel ? parallel->phs_startblock : scan->rs_startblock;

	return scan->rs_cblock >= start ? scan->rs_cblock - start : blocks_in_scan(scan) - start + scan->rs_cblock;
}

typedef enum RowFate
{
	ROW_SKIP,   /* aborted: no entry */
	ROW_LIVE,   /* entry, and it takes part in uniqueness checks */
	ROW_PASSING /* entry for old snapshots only */
} RowFate;

/*
 * What becomes of a row read without a snapshot.  CREATE INDEX has kept writers out, so a row in progress is our own;
 * summarising a BRIN range has not, but takes any row (anyvisible).
 */
static RowFate
row_fate(TupleTableSlot *slot, TransactionId oldest_xmin, bool anyvisible)
{
	BufferHeapTupleTableSlot *row = (BufferHeapTupleTableSlot *) slot;
	HeapTuple tuple = row->base.tuple;
	HTSV_Result status;

	LockBuffer(row->buffer, BUFFER_LOCK_SHARE);
	status = HeapTupleSatisfiesVacuum(tuple, oldest_xmin, row->buffer);
	LockBuffer(row->buffer, BUFFER_LOCK_UNLOCK);

	switch (status)
	{
		case HEAPTUPLE_DEAD:
			return ROW_SKIP;
		case HEAPTUPLE_LIVE:
			return ROW_LIVE;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			if (!anyvisible && !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
				elog(ERROR, "row inserted while an index was built over its table");
			return ROW_LIVE;
		case HEAPTUPLE_RECENTLY_DEAD:
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			return ROW_PASSING;
	}
	elog(ERROR, "unexpected state of a row: %d", (int) status);
	return ROW_SKIP; /* not reached */
}

/*
 * Reads the table, or count blocks from start, and calls back for each index entry.  Returns the number of live rows.
 * An ordinary build reads all rows and judges them itself, since rows that old snapshots may see need entries too; a
 * concurrent build takes those visible in a snapshot.
 */
double
sf_stream_index_build_range_scan(Relation table, Relation index, IndexInfo *info, bool allow_sync, bool anyvisible,
                                 bool progress, BlockNumber start, BlockNumber count, IndexBuildCallback callback,
                                 void *callback_state, TableScanDesc scan)
{
	EntryMaker maker;
	TransactionId oldest_xmin = InvalidTransactionId;
	Snapshot own_snapshot = NULL;
	HeapScanDesc heap_scan;
	BlockNumber reported = InvalidBlockNumber;
	double live_rows = 0;

	entry_maker_begin(&maker, table, info);
	if (!info->ii_Concurrent)
		oldest_xmin = GetOldestNonRemovableTransactionId(table);
	if (scan == NULL)
	{
		if (info->ii_Concurrent)
			own_snapshot = RegisterSnapshot(GetTransactionSnapshot());
		scan = table_beginscan_strat(table, own_snapshot ? own_snapshot : SnapshotAny, 0, NULL, true, allow_sync);
	}
	heap_scan = (HeapScanDesc) scan;
	if (!allow_sync)
		heap_setscanlimits(scan, start, count);
	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, blocks_in_scan(heap_scan));

	while (table_scan_getnextslot(scan, ForwardScanDirection, maker.slot))
	{
		RowFate fate = ROW_LIVE;

		CHECK_FOR_INTERRUPTS();
		if (progress && heap_scan->rs_cblock != reported)
		{
			reported = heap_scan->rs_cblock;
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, blocks_done(heap_scan));
		}
		if (scan->rs_snapshot == SnapshotAny)
			fate = row_fate(maker.slot, oldest_xmin, anyvisible);
		if (fate == ROW_SKIP)
			continue;
		if (fate == ROW_LIVE)
			live_rows += 1;
		if (entry_maker_make(&maker))
			callback(index, &maker.slot->tts_tid, maker.values, maker.isnull, fate == ROW_LIVE, callback_state);
	}

	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, blocks_in_scan(heap_scan));
	table_endscan(scan);
	if (own_snapshot != NULL)
		UnregisterSnapshot(own_snapshot);
	entry_maker_end(&maker);
	return live_rows;
}

/* The next address that the index holds; false at the end. */
static bool
next_indexed(ValidateIndexState *state, ItemPointer tid)
{
	Datum value;
	bool isnull;

	if (!sf_tuplesort_next_datum(state->tuplesort, &value, &isnull))
		return false;
	Assert(!isnull);
	itemptr_decode(tid, DatumGetInt64(value));
#ifndef USE_FLOAT8_BYVAL
	pfree(DatumGetPointer(value));
#endif
	return true;
}

/*
 * The second pass of a concurrent build: gives an entry to each row visible in the snapshot that has none yet.  Both
 * the rows and the sorted addresses of the index ascend, so this is a merge.
 */
void
sf_stream_index_validate_scan(Relation table, Relation index, IndexInfo *info, Snapshot snapshot,
                              ValidateIndexState *state)
{
	EntryMaker maker;
	TableScanDesc scan;
	HeapScanDesc heap_scan;
	BlockNumber reported = InvalidBlockNumber;
	ItemPointerData indexed;
	bool more;

	entry_maker_begin(&maker, table, info);
	scan = table_beginscan_strat(table, snapshot, 0, NULL, true, false);
	heap_scan = (HeapScanDesc) scan;
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, heap_scan->rs_nblocks);

	more = next_indexed(state, &indexed);
	while (table_scan_getnextslot(scan, ForwardScanDirection, maker.slot))
	{
		ItemPointer tid = &maker.slot->tts_tid;

		CHECK_FOR_INTERRUPTS();
		state->htups += 1;
		if (heap_scan->rs_cblock != reported)
		{
			reported = heap_scan->rs_cblock;
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, reported);
		}
		while (more && ItemPointerCompare(&indexed, tid) < 0)
			more = next_indexed(state, &indexed);
		if ((more && ItemPointerEquals(&indexed, tid)) || !entry_maker_make(&maker))
			continue;
		index_insert(index, maker.values, maker.isnull, tid, table,
		             info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		state->tups_inserted += 1;
	}

	table_endscan(scan);
	entry_maker_end(&maker);
}
