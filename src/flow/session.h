/*
 * session.h
 *		Sessions of a fragment, made of the groups of its panes.
 *
 * A pane is as wide as the gap, so that rows of one session's key in one pane are of one session.  The groups of a pane
 * that have one key are its *part* of the session; a session is a chain of parts in panes next to each other, each of
 * which begins less than the gap after the one before it ends.  A session is closed when the watermark has come to its
 * last row's time and the gap: that follows from the groups and from how far windows are closed, and is kept nowhere.
 *
 * Parts stay known for three gaps behind the watermark, closed or not, since a late row could touch them.  What is
 * older leaves: a closed session's part goes, and an open one's is combined into the next, so that a session which does
 * not end takes the memory of a few groups.  Then that part begins before its pane.
 *
 * Belongs to the worker.
 */
#ifndef SF_SESSION_FLOW_H
#define SF_SESSION_FLOW_H

#include "streamfuse.h"

#include "plan/fragment.h"
#include "state/progress.h"
#include "state/store.h"

typedef struct SfSessions SfSessions;

/*
 * NULL for a definition without sessions.  All are borrowed.  next_step() is called now and then while much is combined.
 */
extern SfSessions *sf_sessions_create(MemoryContext context, SfDefinition *definition, SfStore *store,
									  void (*next_step) (void));

/* Gives back what it has in memory, which is made anew when it is asked for. */
extern void sf_sessions_forget(SfSessions *sessions);

/* Rows of a tick come: from here on sessions are as they were when it began. */
extern void sf_sessions_begin(SfSessions *sessions);

/*
 * Is a row that is older than the watermark on time, and then, in which pane is it counted?  It is if it touches no closed
 * session, and
 *	- it would not be closed by itself: it is less than the gap older than the watermark; or
 *	- it touches an open session, is not older than that session's first row or is less than two gaps older than the
 *	  watermark.
 * The keys are the session's.  Runs the types' operators.
 */
extern bool sf_sessions_on_time(SfSessions *sessions, SfTime time, const Datum *keys, const bool *nulls,
								SfTime closed_until, SfTime *pane);

/* As of now, when all rows of the tick are in: closes what `until` has passed.  As sf_closer_close. */
extern int	sf_sessions_close(SfSessions *sessions, SfProgress *progress, SfTick tick, SfTime until);

/* As of now: the end of the open session that ends first; SF_TIME_INFINITY: none is open. */
extern SfTime sf_sessions_next_end(SfSessions *sessions, SfTime closed_until);

#endif							/* SF_SESSION_FLOW_H */
