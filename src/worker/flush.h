/*
 * flush.h
 *		Waiting for the worker: rows counted, or also what they close committed.
 */
#ifndef SF_FLUSH_H
#define SF_FLUSH_H

#include "streamfuse.h"

#include "state/shared.h"

typedef enum SfFlushLevel
{
	SF_FLUSH_COUNTED,			/* all rows committed before the call are in a published tick */
	SF_FLUSH_COMMITTED,			/* and what that tick closes is committed */
	SF_FLUSH_CHECKPOINTED,		/* and changed state is durable; a failed view's is, as it stands */
} SfFlushLevel;

/*
 * Waits for one view, or with InvalidOid for all continuous views of the database, also for one that is tried again after
 * an error.  Raises at once when a view is failed or paused, when this transaction holds a lock the worker waits for, or made the view; ERRCODE_QUERY_CANCELED when
 * timeout_ms (-1: none) is over.  Never called by the worker.
 */
extern void sf_flush_wait(Oid view, SfFlushLevel level, long timeout_ms);

/*
 * For whoever waits for a worker: raises ERRCODE_CONFIGURATION_LIMIT_EXCEEDED when the launcher has found no worker
 * process free for it since the wait began.  failures_before: dataflow->launch_failures as of then.
 */
extern void sf_require_worker_process(SfDataflow *dataflow, uint32 failures_before);

/* An error's text may hold data of rows: may the current user see that of this view? */
extern bool sf_may_see_error(Oid view);

/* Raises, with the view's own error as detail where the user may see it, when a view has failed or is paused, and was not resumed since. */
extern void sf_refuse_stopped(Oid view);

#endif /* SF_FLUSH_H */
