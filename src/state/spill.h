/*
 * spill.h
 *		Cold groups in a table: streamfuse.spilled, where groups go that memory has no room for, and come back from.
 *
 * At each commit every group of an open window is in the log of resident groups (streamfuse.state), or has a row in
 * streamfuse.spilled, or both: then they say the same.  A group that is in memory and has a row, too, has a *twin*.
 *
 *	leave	A commit writes the rows of cold groups (sf_spill_write).  From then on they have twins, and the first tick
 *			that finds a twin unchanged removes the group from memory (sf_spill_remove).
 *	return	A touch of a key that is not in memory looks for its row (sf_spill_bring_back), and begins with the states it
 *			finds there.  The row is its twin now, and out of date: the next commit deletes it.
 *
 * A tick that is undone makes a group that had returned absent again, and its row is still there.  Which groups have
 * twins is in the worker's own memory; whoever succeeds a worker finds it out again (sf_spill_load).
 *
 * A reader at tick T takes what is in memory as of T, and of the table, under a snapshot that no commit of the worker
 * lies between and T (read/pin.h), the rows whose groups are not in memory as of T.
 */
#ifndef SF_SPILL_H
#define SF_SPILL_H

#include "streamfuse.h"

#include "nodes/pg_list.h"
#include "state/store.h"

/* Columns of streamfuse.spilled, from 0. */
#define SF_SPILLED_FRAGMENT 0
#define SF_SPILLED_HASH 1
#define SF_SPILLED_WINDOW_START 2
#define SF_SPILLED_WINDOW_END 3
#define SF_SPILLED_PAYLOAD 4
#define SF_SPILLED_NATTS 5

typedef struct SfSpill SfSpill; /* the worker's handle */

/* What one fragment has in the table. */
typedef struct SfSpilled
{
	int64		groups;
	int64		bytes;			/* of their flat form */
} SfSpilled;

extern SfSpill *sf_spill_create(MemoryContext context, SfFragment *fragment);

/* May groups of this layout leave memory?  No: it is kept whole, and the view waits when there is no room. */
extern bool sf_spill_can(const SfLayout *layout);

/* The store as it is now is the one whose groups leave and come back; NULL: there is none. */
extern void sf_spill_attach(SfSpill *spill, SfStore *store);

/* Is there a store whose groups leave? */
extern bool sf_spill_is_on(const SfSpill *spill);

/*
 * Looks through the fragment's rows, of which there are so many: the filter is built, and groups of the store that have
 * a row get to know it.  Readers that pin `tick` or a later one will look into the table.  Within a tick, by which the
 * store is loaded, also windows are made that have groups in the table alone.
 */
extern void sf_spill_load(SfSpill *spill, const SfSpilled *spilled, SfTick tick);

/* Within a tick, before its first row: groups whose twins say what they are leave memory, as far as there is room to. */
extern void sf_spill_remove(SfSpill *spill);

/* Before memory is free: is there something to do in the next tick; is that done, and a commit has yet to say so? */
extern bool sf_spill_is_leaving(const SfSpill *spill);
extern bool sf_spill_awaits_commit(const SfSpill *spill);

#ifdef STREAMFUSE_TEST
/* Are there groups that are not on their way out? */
extern bool sf_spill_has_cold(const SfSpill *spill);
#endif

/* Memory that groups on their way out will give back, and that of the filter. */
extern Size sf_spill_leaving_bytes(const SfSpill *spill);
extern Size sf_spill_filter_bytes(const SfSpill *spill);

/*
 * In a commit: deletes rows that are out of date, and writes those of cold groups with about so many bytes in memory.
 * NULL: there was nothing to do.  Once it has committed, sf_spill_settle takes note.
 */
typedef struct SfSpillWrite SfSpillWrite;
extern SfSpillWrite *sf_spill_write(SfSpill *spill, Size bytes, MemoryContext context);
extern void sf_spill_settle(SfSpill *spill, SfSpillWrite *write);

/* Has it changed the table at all? */
extern bool sf_spill_wrote(const SfSpillWrite *write);

/* What the table has, as of the last commit, or of the one under way. */
extern SfSpilled sf_spill_total(const SfSpill *spill, const SfSpillWrite *write);

/*
 * The readers' side: the rows of one window that a snapshot sees, or those with one hash; `all`: of all windows from
 * there on.  The payload is one group in flat form, valid until the next call.
 */
typedef struct SfSpilledRow
{
	SfTime		start;			/* of the window */
	SfTime		end;
	const char *data;
	const char *data_end;
} SfSpilledRow;

typedef struct SfSpillScan SfSpillScan;
extern SfSpillScan *sf_spill_scan_begin(int32 fragment, SfTime start, bool all, const uint32 *hash, Snapshot snapshot);
extern bool sf_spill_scan_next(SfSpillScan *scan, SfSpilledRow *row);
extern void sf_spill_scan_end(SfSpillScan *scan);

#endif							/* SF_SPILL_H */
