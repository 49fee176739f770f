/*
 * session.h
 *		Session arithmetic, and how a query's session() is known.
 *
 * In the order of time, a row begins a new session when it is at least `gap` later than the one before it.  A session's
 * window is [first, last + gap): the next one begins at its end or later, so that sessions are disjoint.
 *
 * The gap is elapsed time.  One of days or months would make the end of a session depend on where the last row stands
 * in the calendar, so that a row in the middle could split a session where clocks change.
 */
#ifndef SF_SESSION_H
#define SF_SESSION_H

#include "streamfuse.h"

#include "common/int.h"
#include "utils/timestamp.h"

/* The gap in microseconds, greater than zero.  Raises ERRCODE_INVALID_PARAMETER_VALUE for what is no gap. */
extern int64 sf_session_gap(const Interval *gap);

/* Does a row at `later` begin a new session, when the one before it is at `earlier`?  Both are finite. */
static inline bool
sf_session_apart(SfTime earlier, SfTime later, int64 gap)
{
	int64		distance;

	return pg_sub_s64_overflow(later, earlier, &distance) || distance >= gap;
}

/* Raises ERRCODE_DATETIME_VALUE_OUT_OF_RANGE for an infinite time, which is in no session. */
extern void sf_session_check_time(SfTime ts);

/* The end of a session, from its last row.  Raises ERRCODE_DATETIME_VALUE_OUT_OF_RANGE. */
extern SfTime sf_session_end(SfTime last, int64 gap);

/* Whether a function is the extension's session(), for either type of time, with or without keys. */
extern bool sf_is_session(Oid funcid);

/* The arguments of a call of session(). */
#define SF_SESSION_TIME 0
#define SF_SESSION_GAP 1
#define SF_SESSION_KEYS 2		/* and all that follow */

/* The columns of session(). */
#define SF_SESSION_START 1
#define SF_SESSION_END 2

#endif							/* SF_SESSION_H */
