/*
 * page.c
 *		Reading one page of a stream: which of its rows does a snapshot see, and whose are still undecided?
 *
 * This is the inner loop of capture.  A page is locked in shared mode while its line pointers and tuple headers are
 * looked at, and only pinned afterwards.  Rows of a stream are never deleted; a set xmax is a row lock.
 */
#include "stream/page.h"

#include "access/heapam.h"
#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"

#include "fault.h"

/* A read of more pages than this uses a ring of buffers, so as not to sweep the buffer pool, and prefetches. */
#define LONG_READ_PAGES 256

/* Tuple headers are fetched into the processor's cache so many rows ahead. */
#define ROWS_AHEAD 6

void
sf_page_reader_begin(SfPageReader *reader, Relation rel, Snapshot snapshot)
{
	Assert(IsMVCCSnapshot(snapshot));
	reader->rel = rel;
	reader->snapshot = snapshot;
	reader->next_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
	reader->snapshot_xmin = sf_full_xid(reader, snapshot->xmin);
	reader->cached_xid = InvalidTransactionId; /* as of a speculative insert that was taken back */
	reader->cached_state = SF_ROW_GONE;
	reader->strategy = NULL;
	reader->prefetch_distance = 0;
	reader->prefetch_next = reader->prefetch_end = 0;
}

void
sf_page_reader_end(SfPageReader *reader)
{
	if (reader->strategy != NULL)
		FreeAccessStrategy(reader->strategy);
	reader->strategy = NULL;
}

void
sf_page_reader_expect(SfPageReader *reader, BlockNumber first, BlockNumber last)
{
	reader->prefetch_distance = 0;
	if (last - first <= LONG_READ_PAGES)
		return;
	if (reader->strategy == NULL)
		reader->strategy = GetAccessStrategy(BAS_BULKREAD);
	reader->prefetch_distance = get_tablespace_io_concurrency(reader->rel->rd_rel->reltablespace);
	reader->prefetch_next = first;
	reader->prefetch_end = last;
}

Buffer
sf_page_pin_recent(Relation rel, BlockNumber block, Buffer *recent)
{
	if (BufferIsValid(*recent) && ReadRecentBuffer(sf_file_locator(rel), MAIN_FORKNUM, block, *recent))
		return *recent;
	*recent = ReadBuffer(rel, block);
	return *recent;
}

Buffer
sf_page_pin(SfPageReader *reader, BlockNumber block, Buffer *recent)
{
	if (recent != NULL)
		return sf_page_pin_recent(reader->rel, block, recent);
	if (reader->prefetch_distance > 0)
	{
		BlockNumber end = Min(reader->prefetch_end, block + reader->prefetch_distance);

		reader->prefetch_next = Max(reader->prefetch_next, block + 1);
		for (; reader->prefetch_next < end; reader->prefetch_next++)
			PrefetchBuffer(reader->rel, MAIN_FORKNUM, reader->prefetch_next);
	}
	return ReadBufferExtended(reader->rel, MAIN_FORKNUM, block, RBM_NORMAL, reader->strategy);
}

/* The rare cases, judged by heap itself. */
static pg_noinline SfRowState
judge_by_heap(SfPageReader *reader, HeapTupleHeader header, Buffer buffer)
{
	HeapTupleData tuple;
	TransactionId xmin = HeapTupleHeaderGetRawXmin(header);

	tuple.t_data = header;
	tuple.t_len = 0;
	tuple.t_self = header->t_ctid;
	tuple.t_tableOid = RelationGetRelid(reader->rel);
	if (HeapTupleSatisfiesVisibility(&tuple, reader->snapshot, buffer))
		return SF_ROW_VISIBLE;
	if (HeapTupleHeaderXminInvalid(header) || HeapTupleHeaderXminFrozen(header) || !TransactionIdIsNormal(xmin))
		return SF_ROW_GONE;
	if (TransactionIdIsCurrentTransactionId(xmin) || XidInMVCCSnapshot(xmin, reader->snapshot))
		return SF_ROW_WAITING;
	return SF_ROW_GONE;
}

static pg_noinline SfRowState
judge_transaction(SfPageReader *reader, HeapTupleHeader header, Buffer buffer)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(header);
	SfRowState state;

	if (!TransactionIdIsNormal(xmin) || TransactionIdIsCurrentTransactionId(xmin))
		return judge_by_heap(reader, header, buffer);
	if (HeapTupleHeaderXminInvalid(header))
		state = SF_ROW_GONE;
	else if (XidInMVCCSnapshot(xmin, reader->snapshot))
		state = SF_ROW_WAITING;
	else if (HeapTupleHeaderXminCommitted(header) || TransactionIdDidCommit(xmin))
		state = SF_ROW_VISIBLE;
	else if (SF_BUG("aborted-subtransaction-counted") && TransactionIdDidCommit(SubTransGetParent(xmin)))
		state = SF_ROW_VISIBLE;
	else
		state = SF_ROW_GONE;
	reader->cached_xid = xmin;
	reader->cached_state = state;
	return state;
}

/* As HeapTupleSatisfiesVisibility with an MVCC snapshot, but that "no" is told apart.  The page must be locked. */
static inline SfRowState
row_state(SfPageReader *reader, HeapTupleHeader header, Buffer buffer)
{
	uint16 infomask = header->t_infomask;

	if (unlikely((infomask & HEAP_MOVED) || !((infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(infomask))))
		return judge_by_heap(reader, header, buffer);
	if ((infomask & HEAP_XMIN_FROZEN) == HEAP_XMIN_FROZEN)
		return SF_ROW_VISIBLE;
	if (likely(HeapTupleHeaderGetRawXmin(header) == reader->cached_xid))
		return reader->cached_state;
	return judge_transaction(reader, header, buffer);
}

static inline void
note_waiting(SfPageReader *reader, TransactionId xmin)
{
	if (reader->nwaiting == 0 || reader->waiting[reader->nwaiting - 1] != xmin)
		reader->waiting[reader->nwaiting++] = xmin;
}

static inline HeapTupleHeader
row_at(Page page, OffsetNumber offset, OffsetNumber max_offset)
{
	ItemId item = PageGetItemId(page, offset);

	/* An unused pointer's offset is 0: that fetches the page's head, which does no harm. */
	if (offset + ROWS_AHEAD <= max_offset)
		__builtin_prefetch((char *) page + ItemIdGetOffset(PageGetItemId(page, offset + ROWS_AHEAD)));
	return ItemIdIsNormal(item) ? (HeapTupleHeader) PageGetItem(page, item) : NULL;
}

bool
sf_page_read(SfPageReader *reader, Buffer buffer, BlockNumber block, SfOpenPage *open)
{
	Page page = BufferGetPage(buffer);
	OffsetNumber max_offset;
	int nvisible = 0;

	reader->nwaiting = 0;
	reader->nvisible = 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (open != NULL && !open->reread && open->lsn == PageGetLSN(page))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return false;
	}

	max_offset = reader->max_offset = PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max_offset; offset++)
	{
		HeapTupleHeader header = row_at(page, offset, max_offset);
		SfRowState state;

		if (header == NULL || (open != NULL && sf_open_page_counted(open, offset)))
			continue;
		state = row_state(reader, header, buffer);
		if (state == SF_ROW_VISIBLE)
			reader->visible[nvisible++] = offset;
		else if (state == SF_ROW_WAITING)
			note_waiting(reader, HeapTupleHeaderGetRawXmin(header));
	}
	if (open != NULL)
	{
		open->lsn = PageGetLSN(page);
		open->reread = reader->nwaiting > 0 && !SF_BUG("waiting-row-forgotten");
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	reader->nvisible = nvisible;
	for (int i = SF_BUG("counted-bit-forgotten"); open != NULL && i < nvisible; i++)
		sf_open_page_count(open, reader->visible[i]);
	return true;
}

void
sf_page_read_pending(SfPageReader *reader, Buffer buffer, BlockNumber block, const SfPending *pending, int npending)
{
	Page page = BufferGetPage(buffer);
	OffsetNumber max_offset;
	TransactionId last_xmin = InvalidTransactionId;
	bool awaited = false;
	int nvisible = 0;

	reader->nwaiting = 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	max_offset = reader->max_offset = PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max_offset; offset++)
	{
		HeapTupleHeader header = row_at(page, offset, max_offset);
		TransactionId xmin;

		if (header == NULL)
			continue;
		xmin = HeapTupleHeaderGetRawXmin(header);
		if (xmin != last_xmin)
		{
			last_xmin = xmin;
			awaited = sf_pending_has(pending, npending, xmin, block);
		}
		if (awaited && row_state(reader, header, buffer) == SF_ROW_VISIBLE)
			reader->visible[nvisible++] = offset;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	reader->nvisible = nvisible;
}
