/*
 * capture.c
 *		One tick of a stream: hands each committed row to its consumer once, and moves the position.
 *
 * seal -> snapshot -> sealed pages -> open pages -> pending rows.  The pages that are sealed, from the frontier on, are
 * read for the last time: what is visible and has not been counted is handed over, what its transaction has not
 * finished is remembered as pending.  Open pages are read again whenever they have changed, and remember row by row
 * what has been counted.  Pending rows are read again once the snapshot no longer sees their transaction running.
 *
 * Whether a row counts is decided by its tuple under the tick's snapshot, never by what is known of a transaction from
 * elsewhere: commit status may be truncated long before a stopped worker comes back, tuples are frozen before that.
 * No hint bits are set: that would dirty pages that nobody else is about to write.
 *
 * Pages are locked one at a time, in shared mode, and never while a consumer runs.
 */
#include "stream/position.h"

#include "access/heapam.h"
#include "access/subtrans.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "stream/page.h"

/* Pages of one transaction this near each other are one pending item. */
#define PENDING_GAP_PAGES 16

/* How far back to look for the pending item that a row extends. */
#define PENDING_LOOK_BACK 64

typedef struct CaptureRun
{
	SfPageReader reader;
	SfPosition *position;
	SfPageConsumer consumer; /* NULL: rows are counted, not handed over */
	void *arg;
	uint64 rows;
	int pending_before; /* entries from here on are this tick's, not yet ordered */
	Buffer vmbuffer;
} CaptureRun;

static void
check_relation(const SfPosition *position, Relation rel)
{
	Assert(position->relid == RelationGetRelid(rel));
	if (position->relfilenode != sf_file_number(rel))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("stream \"%s\" has been truncated or rewritten since it was last read",
		                       RelationGetRelationName(rel)),
		                errhint("Drop and create again the continuous views that read it.")));
}

static void
hand_over(CaptureRun *run, Buffer buffer, BlockNumber block)
{
	SfPageReader *reader = &run->reader;

	SF_FAULT("capture-in-page");
	run->rows += reader->nvisible;
	if (reader->nvisible > 0 && run->consumer != NULL)
		run->consumer(run->arg, reader->rel, BufferGetPage(buffer), block, reader->visible, reader->nvisible);
}

static uint64
top_transaction(SfPageReader *reader, TransactionId xid)
{
	return sf_full_xid(reader, SubTransGetTopmostTransaction(xid));
}

/* Remembers that rows of xid on this page, which is being sealed, await its end. */
static void
add_pending(CaptureRun *run, TransactionId xmin, BlockNumber block)
{
	SfPosition *position = run->position;
	uint64 xid = sf_full_xid(&run->reader, xmin);
	int oldest = Max(run->pending_before, position->npending - PENDING_LOOK_BACK);
	SfPending new;

	for (int i = position->npending - 1; i >= oldest; i--)
	{
		SfPending *pending = &position->pending[i];

		if (pending->xid == xid && block - pending->last <= PENDING_GAP_PAGES)
		{
			pending->last = block;
			return;
		}
	}
	new.xid = xid;
	new.top = top_transaction(&run->reader, xmin);
	new.first = new.last = block;
	sf_position_add_pending(position, new);
}

/* Reads a sealed page for the last time.  open: what has been counted of it, or NULL. */
static void
read_sealed_page(CaptureRun *run, BlockNumber block, SfOpenPage *open)
{
	SfPageReader *reader = &run->reader;
	Buffer buffer;

	/* Only rows visible to everybody: all of them count, and nothing is pending. */
	if (run->consumer == NULL && VM_ALL_VISIBLE(reader->rel, block, &run->vmbuffer))
		return;

	buffer = sf_page_pin(reader, block, open ? &open->recent : NULL);
	if (sf_page_read(reader, buffer, block, SF_BUG("sealed-page-counted-again") ? NULL : open))
	{
		for (int i = SF_BUG("pending-lost") ? reader->nwaiting : 0; i < reader->nwaiting; i++)
			add_pending(run, reader->waiting[i], block);
		hand_over(run, buffer, block);
	}
	ReleaseBuffer(buffer);
}

static void
read_sealed_pages(CaptureRun *run, BlockNumber target)
{
	SfPosition *position = run->position;
	BlockNumber frontier = position->frontier;

	run->pending_before = position->npending;
	sf_page_reader_expect(&run->reader, frontier, target);
	for (BlockNumber block = frontier + SF_BUG("sealed-page-skipped"); block < target; block++)
	{
		BlockNumber index = block - frontier;

		CHECK_FOR_INTERRUPTS();
		read_sealed_page(run, block, index < (BlockNumber) position->nopen ? &position->open[index] : NULL);
	}
	sf_page_reader_expect(&run->reader, 0, 0);
	sf_position_advance(position, target);
	if (position->npending > run->pending_before)
		sf_position_sort_pending(position);
}

static void
read_open_pages(CaptureRun *run, BlockNumber nblocks)
{
	SfPageReader *reader = &run->reader;
	SfPosition *position = run->position;

	if (nblocks > position->frontier)
		sf_position_set_open(position, nblocks - position->frontier);
	for (int i = 0; i < position->nopen; i++)
	{
		SfOpenPage *open = &position->open[i];
		BlockNumber block = position->frontier + i;
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = sf_page_pin(reader, block, &open->recent);
		if (sf_page_read(reader, buffer, block, open))
		{
			if (reader->max_offset > 0)
				position->last_used = Max(position->last_used, block);
			for (int j = 0; j < reader->nwaiting; j++)
				sf_position_add_awaited(position, top_transaction(reader, reader->waiting[j]));
			hand_over(run, buffer, block);
		}
		ReleaseBuffer(buffer);
	}
}

/* Has the transaction ended, as far as the snapshot sees? */
static bool
is_finished(SfPageReader *reader, uint64 top)
{
	if (top < reader->snapshot_xmin)
		return true;
	return !TransactionIdIsCurrentTransactionId((TransactionId) top) &&
	       !XidInMVCCSnapshot((TransactionId) top, reader->snapshot);
}

static int
compare_blocks(const void *a, const void *b)
{
	const SfPending *x = *(SfPending *const *) a;
	const SfPending *y = *(SfPending *const *) b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Reads each page that holds rows of the transactions in ready once, and hands those rows over. */
static void
read_ready(CaptureRun *run, SfPending *ready, int nready)
{
	SfPageReader *reader = &run->reader;
	SfPending **by_block = palloc(nready * sizeof(SfPending *));
	BlockNumber next = 0;

	for (int i = 0; i < nready; i++)
		by_block[i] = &ready[i];
	qsort(by_block, nready, sizeof(SfPending *), compare_blocks);

	for (int i = 0; i < nready; i++)
	{
		BlockNumber from = Max(next, by_block[i]->first);

		sf_page_reader_expect(reader, from, Max(from, by_block[i]->last + 1));
		for (BlockNumber block = from; block <= by_block[i]->last; block++)
		{
			Buffer buffer;

			CHECK_FOR_INTERRUPTS();
			buffer = sf_page_pin(reader, block, NULL);
			sf_page_read_pending(reader, buffer, block, ready, nready);
			hand_over(run, buffer, block);
			ReleaseBuffer(buffer);
			next = block + 1;
		}
	}
	sf_page_reader_expect(reader, 0, 0);
	pfree(by_block);
}

/* Takes the transactions that have ended out of the pending ones, and what they wrote in. */
static void
read_pending(CaptureRun *run)
{
	SfPosition *position = run->position;
	SfPending *ready;
	int nready = 0;
	int nkept = 0;
	uint64 top = 0;
	bool finished = false;

	if (position->npending == 0)
		return;
	ready = MemoryContextAllocHuge(CurrentMemoryContext, position->npending * sizeof(SfPending));
	for (int i = 0; i < position->npending; i++)
	{
		SfPending *pending = &position->pending[i];

		if (i == 0 || pending->top != top)
		{
			top = pending->top;
			finished = is_finished(&run->reader, top);
		}
		if (finished)
			ready[nready++] = *pending;
		else
		{
			position->pending[nkept++] = *pending;
			sf_position_add_awaited(position, top);
		}
	}
	position->npending = nkept;
	if (nready > 0)
	{
		SF_FAULT("capture-pending");
		read_ready(run, ready, nready);
	}
	pfree(ready);
}

/*
 * How far the frontier may go.  Not beyond the last page that is known to hold line pointers: the empty ones after it
 * are not in WAL, so after a crash or on a standby the file may end there, and inserts would then go below the frontier.
 */
static BlockNumber
sealed_target(CaptureRun *run, BlockNumber nblocks)
{
	SfPosition *position = run->position;
	BlockNumber target = Min(position->sealed, nblocks);

	if (target <= position->frontier)
		return position->frontier;
	for (BlockNumber block = nblocks; position->last_used < target && block > position->frontier;)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = sf_page_pin(&run->reader, --block, NULL);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (PageGetMaxOffsetNumber(BufferGetPage(buffer)) > 0)
			position->last_used = Max(position->last_used, block);
		UnlockReleaseBuffer(buffer);
		if (position->last_used >= block)
			break;
	}
	return Max(position->frontier, Min(target, position->last_used));
}

SfCaptureResult
sf_capture_tick(SfPosition *position, Relation rel, Snapshot snapshot, BlockNumber max_pages, SfPageConsumer consumer,
                void *arg)
{
	CaptureRun run = {.position = position, .consumer = consumer, .arg = arg, .vmbuffer = InvalidBuffer};
	SfCaptureResult result;
	BlockNumber nblocks;
	BlockNumber target;

	check_relation(position, rel);
	nblocks = RelationGetNumberOfBlocks(rel);
	sf_page_reader_begin(&run.reader, rel, snapshot);

	target = sealed_target(&run, nblocks);
	result.complete = target - position->frontier <= max_pages;
	if (!result.complete)
		target = position->frontier + max_pages;
	/* Much more than a lag is open when a backend takes its time inside an insert: wait for it. */
	if (nblocks > target && nblocks - target > Max(max_pages, SF_RANGE_PAGES * 8))
		result.complete = false;

	read_sealed_pages(&run, target);
	position->nawaited = 0;
	if (result.complete)
	{
		read_open_pages(&run, nblocks);
		position->fresh = false;
	}
	read_pending(&run);
	sf_position_sort_awaited(position);
	if (BufferIsValid(run.vmbuffer))
		ReleaseBuffer(run.vmbuffer);
	sf_page_reader_end(&run.reader);
	result.rows = run.rows;
	return result;
}

void
sf_capture_skip(SfPosition *position, Relation rel, Snapshot snapshot)
{
	SfCaptureResult result = sf_capture_tick(position, rel, snapshot, MaxBlockNumber, NULL, NULL);

	Assert(result.complete);
	(void) result;
}

/* Is a transaction that rows await no longer running? */
static bool
awaited_has_ended(const SfPosition *position)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());

	for (int i = 0; i < position->nawaited; i++)
		if (next - position->awaited[i] > PG_INT32_MAX ||
		    !TransactionIdIsInProgress((TransactionId) position->awaited[i]))
			return true;
	return false;
}

bool
sf_capture_may_have_work(SfPosition *position, Relation rel)
{
	if (position->fresh || RelationGetNumberOfBlocks(rel) > position->frontier + position->nopen)
		return true;
	for (int i = position->nopen - 1; i >= 0; i--)
	{
		SfOpenPage *open = &position->open[i];
		Buffer buffer = sf_page_pin_recent(rel, position->frontier + i, &open->recent);
		bool changed = BufferGetLSNAtomic(buffer) != open->lsn;

		ReleaseBuffer(buffer);
		if (changed)
			return true;
	}
	return awaited_has_ended(position);
}

BlockNumber
sf_capture_backlog(const SfPosition *position, Relation rel)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber read = position->frontier + position->nopen;

	return nblocks > read ? nblocks - read : 0;
}
