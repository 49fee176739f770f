/*
 * pin.h
 *		One tick per statement: ExecutorStart pins the last published tick, all scans of the statement read at it.
 *
 * The statement's snapshot S is taken first, then tick T is pinned.  A window's closing transaction X commits after the
 * tick that closed the window was published, and X stands in the window before it commits.  So the rows of the output
 * table visible in S and, as of T, the groups of windows whose X is not committed and visible in S are the whole answer,
 * each window once.
 *
 * While a pin lasts, the worker keeps what can be read at T, and windows closed by transactions not visible in S that
 * are in memory.  Windows that left memory earlier are marked by the fragment's evicted_xid; the scan fetches those
 * from the output table.
 *
 * Groups that are not in memory at T may be in streamfuse.spilled.  That table is read under a snapshot of its own, S',
 * taken together with T: between them lies no commit that changes the table.  So a group that is not in memory at T has
 * in S' the row that it had at T, whatever has become of it since.
 */
#ifndef SF_PIN_H
#define SF_PIN_H

#include "streamfuse.h"

#include "executor/execdesc.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "state/pins.h"
#include "utils/snapshot.h"

typedef struct SfPin
{
	SfTick		tick;
	uint64		xmin;			/* closing transactions below it are visible in the snapshot, or aborted */
	Snapshot	snapshot;		/* the statement's; only compared, never followed, once the statement may be over */
	Snapshot	spilled;		/* of streamfuse.spilled at the tick; NULL: at that tick no group was there alone */
	EState	   *estate;			/* the statement's, NULL for one taken by hand */
	dlist_node	node;			/* in the backend's list */
} SfPin;

extern void sf_pin_init(void);	/* installs the executor hooks; from _PG_init */

/* The pin of a statement's EState (EvalPlanQual's goes to its parent's); NULL when it has none. */
extern SfPin *sf_pin_of(EState *estate);

/*
 * Pins by hand, in a context whose reset releases it (verify).  Positions that are consistent with it are those that
 * sf_progress_read finds for pin->tick.
 */
extern SfPin *sf_pin_take(MemoryContext context, Snapshot snapshot);

/* The full form of an xid from a snapshot. */
extern uint64 sf_full_xid(TransactionId xid);


#endif							/* SF_PIN_H */
