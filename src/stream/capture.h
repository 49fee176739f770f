/*
 * capture.h
 *		Reads every committed row of one stream relation (a leaf) exactly once.
 *
 * A *position* is the set of rows counted so far: everything visible below the frontier except what the pending
 * transactions wrote, and the rows in the bitmaps of the open pages.  A tick that reads to the end under snapshot S
 * leaves a position equal to "the rows visible in S"; so two positions that reach the end under the same S describe the
 * same set, and a fragment may change from one to the other.
 *
 * An SfPosition lives in the worker's memory.  A tick works on a copy and the driver keeps the copy only when the
 * tick is published; so an error leaves the position as it was.
 */
#ifndef SF_CAPTURE_H
#define SF_CAPTURE_H

#include "streamfuse.h"

#include "access/htup.h"
#include "lib/stringinfo.h"
#include "storage/bufpage.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define SF_TICK_PAGES 32768		/* most pages a tick reads of one stream: 256 MB */
#define SF_RANGE_PAGES 128		/* granularity of the pre-pass */

typedef struct SfPosition SfPosition;

/* A new position of relation rel in which no row is counted. */
extern SfPosition *sf_position_create(MemoryContext context, Relation rel);
extern SfPosition *sf_position_copy(MemoryContext context, const SfPosition *position);
extern void sf_position_free(SfPosition *position);

/* Flat form, with a version byte.  Load raises ERRCODE_DATA_CORRUPTED on what it does not know. */
extern void sf_position_save(const SfPosition *position, StringInfo out);
extern SfPosition *sf_position_load(MemoryContext context, const char *data, Size len);

extern Oid sf_position_relid(const SfPosition *position);
extern BlockNumber sf_position_frontier(const SfPosition *position);
extern int sf_position_open_pages(const SfPosition *position);
extern int sf_position_pending(const SfPosition *position); /* transactions still awaited */
extern uint64 sf_position_oldest_pending(const SfPosition *position); /* the first of them, a full xid; 0: none */
extern bool sf_position_awaits_ended(const SfPosition *position); /* has one of them ended, or may have? */

/*
 * Is the tuple at tid, whose raw xmin is xmin, in the position?  The caller knows the tuple to be visible to a snapshot
 * taken after the position was published.
 */
extern bool sf_position_counted(const SfPosition *position, ItemPointer tid, TransactionId xmin);

/*
 * Rows of one page handed to the consumer: the page is pinned and NOT locked; the line pointers in offsets are
 * normal, visible, and not counted before.  The consumer may raise errors, and must not keep pointers into the page.
 */
typedef void (*SfPageConsumer) (void *arg, Relation rel, Page page, BlockNumber block, const OffsetNumber *offsets,
								int noffsets);

typedef struct SfCaptureResult
{
	uint64		rows;			/* handed to the consumer */
	bool		complete;		/* everything visible in the snapshot has been handed over */
} SfCaptureResult;

/*
 * One tick of one relation.  Reads at most max_pages new pages (and re-reads open ones once the frontier is near the
 * end, and pending ones whose transactions have ended), hands new rows to the consumer, and moves the position.  Needs AccessShareLock on rel, an active
 * registered MVCC snapshot taken AFTER the call of sf_capture_seal for this relation, and a transaction.
 * Checks for interrupts at each page.
 *
 * sf_capture_seal decides, before the tick's snapshot is taken, how far pages are sealed, and publishes a higher floor
 * when none is under way.
 */
extern void sf_capture_seal(SfPosition *position, Relation rel);
extern SfCaptureResult sf_capture_tick(SfPosition *position, Relation rel, Snapshot snapshot, BlockNumber max_pages,
									   SfPageConsumer consumer, void *arg);

/* Cheap test before a tick, without a snapshot: may there be something new?  (file longer, page changed, pending) */
extern bool sf_capture_may_have_work(SfPosition *position, Relation rel);

/* Marks every row visible in the snapshot as counted, reading pages without handing rows over (WITH NO DATA). */
extern void sf_capture_skip(SfPosition *position, Relation rel, Snapshot snapshot);

/* No row is ever added to a page below this one. */
extern BlockNumber sf_position_sealed(const SfPosition *position);

/* How much waits beyond the frontier, in pages. */
extern BlockNumber sf_capture_backlog(const SfPosition *position, Relation rel);

/*
 * The pre-pass of a catch-up: the smallest event time (attribute attnum, timestamptz or timestamp) among the rows of
 * each SF_RANGE_PAGES range from block first to block last (exclusive) that are visible in the snapshot or may yet be.
 * SF_TIME_INFINITY where a range has none.
 */
extern SfTime *sf_capture_minima(Relation rel, Snapshot snapshot, AttrNumber attnum, BlockNumber first,
								 BlockNumber last, MemoryContext context);

#endif /* SF_CAPTURE_H */
