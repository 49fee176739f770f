/*
 * position.h
 *		What a position is made of.  For position.c and capture.c only.
 *
 * The rows in a position are: those of pages below the frontier, but for what awaited transactions wrote there
 * (pending); and on the open pages, from the frontier on, those whose bit is set.  A counted row is never removed while
 * its page is open, so its line pointer is never given to another row.
 */
#ifndef SF_POSITION_H
#define SF_POSITION_H

#include "stream/capture.h"

#include "access/htup_details.h"
#include "access/xlogdefs.h"
#include "storage/buf.h"

#define COUNTED_WORDS ((MaxHeapTuplesPerPage + 63) / 64)

typedef struct SfOpenPage
{
	uint64		counted[COUNTED_WORDS]; /* bit offset - 1 */
	XLogRecPtr	lsn;			/* the page's at the last read; not saved */
	Buffer		recent;			/* where it was at the last read; not saved */
	bool		reread;			/* read it whatever its LSN: a commit does not touch the page */
} SfOpenPage;

/* Rows written by xid on pages first..last, all below the frontier, await the end of its top-level transaction. */
typedef struct SfPending
{
	uint64		xid;			/* full; as in the rows' raw xmin */
	uint64		top;			/* full; equal to xid for a top-level transaction */
	BlockNumber first;
	BlockNumber last;
} SfPending;

struct SfPosition
{
	MemoryContext context;
	Oid			relid;
	Oid			relfilenode;
	BlockNumber frontier;		/* never beyond last_used */
	int			nopen;			/* open pages: frontier .. frontier + nopen - 1 */
	int			max_open;
	SfOpenPage *open;
	int			npending;		/* ordered by xid, then first; more than one where a transaction's pages lie apart */
	int			max_pending;
	SfPending  *pending;

	/* Not saved. */
	BlockNumber sealed;			/* pages below it are sealed, as of sf_capture_seal */
	BlockNumber last_used;		/* a page known to hold, or to have held, line pointers */
	bool		fresh;			/* made or loaded, and no tick has read it to the end yet */
	int			nawaited;		/* distinct top-level transactions of pending and open pages, ordered */
	int			max_awaited;
	uint64	   *awaited;
};

static inline bool
sf_open_page_counted(const SfOpenPage *page, OffsetNumber offset)
{
	return (page->counted[(offset - 1) / 64] >> ((offset - 1) % 64)) & 1;
}

static inline void
sf_open_page_count(SfOpenPage *page, OffsetNumber offset)
{
	page->counted[(offset - 1) / 64] |= UINT64CONST(1) << ((offset - 1) % 64);
}

extern void sf_position_set_open(SfPosition *position, int nopen);	/* adds empty pages, or drops the last ones */
extern void sf_position_advance(SfPosition *position, BlockNumber frontier);	/* drops the open pages below */
extern void sf_position_add_pending(SfPosition *position, SfPending pending);	/* sort when all are added */
extern void sf_position_sort_pending(SfPosition *position);
extern void sf_position_add_awaited(SfPosition *position, uint64 top);
extern void sf_position_sort_awaited(SfPosition *position);

/* Is a row on this page with this raw xmin pending?  The array is ordered. */
extern bool sf_pending_has(const SfPending *pending, int npending, TransactionId xmin, BlockNumber block);

#endif							/* SF_POSITION_H */
