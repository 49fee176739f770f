/*
 * page.h
 *		Reading one page of a stream under a snapshot.  For this folder only.
 */
#ifndef SF_PAGE_H
#define SF_PAGE_H

#include "stream/position.h"

#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef enum SfRowState
{
	SF_ROW_VISIBLE,
	SF_ROW_WAITING,				/* its transaction still runs, as the snapshot sees it */
	SF_ROW_GONE,				/* aborted */
} SfRowState;

typedef struct SfPageReader
{
	Relation	rel;
	Snapshot	snapshot;
	uint64		next_xid;		/* full; all transactions met precede it by less than 2^31 */
	uint64		snapshot_xmin;	/* full */

	/* The transaction met last and what becomes of its rows; the snapshot fixes that. */
	TransactionId cached_xid;
	SfRowState	cached_state;

	/* A long read ahead: pages up to prefetch_end are coming. */
	BufferAccessStrategy strategy;
	int			prefetch_distance;	/* 0: no prefetch */
	BlockNumber prefetch_next;
	BlockNumber prefetch_end;

	/* What sf_page_read found. */
	OffsetNumber max_offset;
	int			nvisible;
	int			nwaiting;		/* runs of rows with the same waiting xmin */
	OffsetNumber visible[MaxHeapTuplesPerPage];
	TransactionId waiting[MaxHeapTuplesPerPage];
} SfPageReader;

extern void sf_page_reader_begin(SfPageReader *reader, Relation rel, Snapshot snapshot);
extern void sf_page_reader_end(SfPageReader *reader);

/* Blocks first to last (exclusive) are going to be read, in this order; an empty range ends it. */
extern void sf_page_reader_expect(SfPageReader *reader, BlockNumber first, BlockNumber last);

/* The full form of a recent transaction's number. */
static inline uint64
sf_full_xid(const SfPageReader *reader, TransactionId xid)
{
	return reader->next_xid - (uint32) ((uint32) reader->next_xid - xid);
}

/* Pins a page; recent (may be NULL) remembers where it was. */
extern Buffer sf_page_pin(SfPageReader *reader, BlockNumber block, Buffer *recent);
extern Buffer sf_page_pin_recent(Relation rel, BlockNumber block, Buffer *recent);

/*
 * Looks at all rows of a pinned page that is not locked: fills in visible and waiting.  With open, rows counted there
 * are left out and those found visible are counted; false when the page has not changed since, and nothing was done.
 */
extern bool sf_page_read(SfPageReader *reader, Buffer buffer, BlockNumber block, SfOpenPage *open);

/* The same for rows of pending transactions only. */
extern void sf_page_read_pending(SfPageReader *reader, Buffer buffer, BlockNumber block, const SfPending *pending,
								 int npending);

#endif							/* SF_PAGE_H */
