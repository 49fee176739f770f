/*
 * close.h
 *		Closing the windows of a fragment: those of rows are marked, those that overlap are assembled from their panes.
 *
 * A closer belongs to the worker and remembers, from one closing to the next, what windows have in common.
 */
#ifndef SF_CLOSE_H
#define SF_CLOSE_H

#include "streamfuse.h"

#include "flow/session.h"
#include "plan/fragment.h"
#include "state/progress.h"
#include "state/store.h"

typedef struct SfCloser SfCloser;

/*
 * All are borrowed; sessions: of the same definition and store.  begins_at: windows that start earlier are not the view's.  next_step() is called now and then while
 * much is combined, so that its caller may tell many short calls of functions from a long one.
 */
extern SfCloser *sf_closer_create(MemoryContext context, SfDefinition *definition, SfStore *store,
								  SfProgress *progress, SfSessions *sessions, SfTime begins_at,
								  void (*next_step) (void));

/*
 * Closes, in the tick, the windows that end at or before `until`, and moves closed_until and last_closed there.  Returns
 * how many there were.  Not for a definition without a window.  Where there are panes it runs the aggregates' functions,
 * as the current user, and may raise.
 */
extern int	sf_closer_close(SfCloser *closer, SfTick tick, SfTime until);

/* The watermark was reset: windows that were passed over without a group are open again. */
extern void sf_closer_reopen(SfCloser *closer);

/* Tells readers of the tick what is closed as of it.  Once in each tick, when nothing more is closed. */
extern void sf_closer_finish(SfCloser *closer);

/* As of then, where there are panes: the end of the open window that ends first; SF_TIME_INFINITY: none is open. */
extern SfTime sf_closer_next_end(const SfCloser *closer);

/* The tick is undone. */
extern void sf_closer_rollback(SfCloser *closer);

#endif /* SF_CLOSE_H */
