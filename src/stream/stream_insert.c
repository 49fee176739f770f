/*
 * stream_insert.c
 *		Inserting into a stream: heap's inserts inside the insert section, and extension by several pages at a time.
 *
 * Heap is never asked to use the free space map: a page it would find there may be sealed already.  Without the map
 * heap extends a table page by page, each under the extension lock, and parallel COPYs queue there; so a batch of rows
 * that needs several pages gets them all under one lock, and is then inserted page by page.
 */
#include "stream/stream.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/hio.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "fault.h"
#include "stream/floor.h"

void
sf_stream_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertState bistate)
{
	sf_insert_begin(rel, bistate);
	GetHeapamTableAmRoutine()->tuple_insert(rel, slot, cid, options | HEAP_INSERT_SKIP_FSM, bistate);
	sf_insert_end(rel);
}

void
sf_stream_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
                                   BulkInsertState bistate, uint32 token)
{
	sf_insert_begin(rel, bistate);
	GetHeapamTableAmRoutine()->tuple_insert_speculative(rel, slot, cid, options | HEAP_INSERT_SKIP_FSM, bistate, token);
	sf_insert_end(rel);
}

/*
 * Space on the page that inserts of this backend go to next, as PageGetHeapFreeSpace reports it.  Read without a lock:
 * heap looks again.
 */
static Size
target_free_space(Relation rel)
{
	BlockNumber target = RelationGetTargetBlock(rel);
	Buffer buffer;
	Size space;

	if (target == InvalidBlockNumber)
	{
		BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

		if (nblocks == 0)
			return 0;
		target = nblocks - 1;
	}
	buffer = ReadBuffer(rel, target);
	space = PageIsNew(BufferGetPage(buffer)) ? 0 : PageGetHeapFreeSpace(BufferGetPage(buffer));
	ReleaseBuffer(buffer);
	return space;
}

/*
 * Deals the rows out to pages: how many go to each, first to what is left of the current page (counts[0], may be 0),
 * then to fresh ones.  Returns the number of fresh pages, 0 when a row may have to be toasted, so that its size is
 * unknown.
 */
static int
deal_out(Relation rel, TupleTableSlot **slots, int nslots, int *counts)
{
	Size reserve = RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);
	Size space = target_free_space(rel);
	int page = 0;

	counts[0] = 0;
	for (int i = 0; i < nslots; i++)
	{
		HeapTuple tuple = ExecFetchSlotHeapTuple(slots[i], true, NULL);
		Size need = MAXALIGN(tuple->t_len);

		if (tuple->t_len > TOAST_TUPLE_THRESHOLD || HeapTupleHasExternal(tuple))
			return 0;
		if (space < need + reserve || counts[page] == MaxHeapTuplesPerPage)
		{
			counts[++page] = 0;
			space = BLCKSZ - SizeOfPageHeaderData - sizeof(ItemIdData);
		}
		counts[page]++;
		space -= Min(space, need + sizeof(ItemIdData));
	}
	return page;
}

/* Adds npages empty pages at the end of the relation and returns the first one's number. */
static BlockNumber
extend(Relation rel, int npages, BulkInsertState bistate)
{
	bool need_lock = !RELATION_IS_LOCAL(rel);
	BlockNumber first = InvalidBlockNumber;

	if (need_lock)
		LockRelationForExtension(rel, ExclusiveLock);
	for (int i = 0; i < npages; i++)
	{
		Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK,
		                                   bistate ? bistate->strategy : NULL);

		if (i == 0)
			first = BufferGetBlockNumber(buffer);
		PageInit(BufferGetPage(buffer), BLCKSZ, 0);
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
	}
	if (need_lock)
		UnlockRelationForExtension(rel, ExclusiveLock);
	return first;
}

static void
aim_at(Relation rel, BlockNumber block, BulkInsertState bistate)
{
	if (bistate != NULL && bistate->current_buf != InvalidBuffer)
	{
		ReleaseBuffer(bistate->current_buf);
		bistate->current_buf = InvalidBuffer;
	}
	RelationSetTargetBlock(rel, block);
}

/* Needs an insert section: the new pages cannot be sealed before they are filled. */
static void
insert_by_pages(Relation rel, TupleTableSlot **slots, const int *counts, int npages, CommandId cid, int options,
                BulkInsertState bistate)
{
	const TableAmRoutine *heap = GetHeapamTableAmRoutine();
	BlockNumber first;

	if (counts[0] > 0)
		heap->multi_insert(rel, slots, counts[0], cid, options, bistate);
	slots += counts[0];

	first = extend(rel, npages, bistate);
	SF_FAULT("insert-extended");
	for (int i = 1; i <= npages; i++)
	{
		aim_at(rel, first + i - 1, bistate);
		heap->multi_insert(rel, slots, counts[i], cid, options, bistate);
		slots += counts[i];
	}
}

void
sf_stream_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
                       BulkInsertState bistate)
{
	int *counts = palloc((nslots + 1) * sizeof(int));
	int npages;

	options |= HEAP_INSERT_SKIP_FSM;
	sf_insert_begin(rel, bistate);
	npages = deal_out(rel, slots, nslots, counts);
	if (npages > 1)
		insert_by_pages(rel, slots, counts, npages, cid, options, bistate);
	else
		GetHeapamTableAmRoutine()->multi_insert(rel, slots, nslots, cid, options, bistate);
	sf_insert_end(rel);
	pfree(counts);
}
