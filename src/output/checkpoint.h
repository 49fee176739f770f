/*
 * checkpoint.h
 *		The groups of open windows, written to and read from the state table.
 */
#ifndef SF_CHECKPOINT_H
#define SF_CHECKPOINT_H

#include "streamfuse.h"

#include "nodes/pg_list.h"
#include "worker/dataflow.h"

/*
 * In the transaction that makes `tick` durable: writes the groups of a member's open windows that have changed since
 * they were written last, and deletes what is not needed any more.  What becomes true of the windows once the
 * transaction has committed is returned, in `context`.
 */
extern List *sf_checkpoint_write(SfMember *member, SfTick tick, MemoryContext context);

/* It has committed. */
extern void sf_checkpoint_settle(SfMember *member, List *updates);

#endif							/* SF_CHECKPOINT_H */
