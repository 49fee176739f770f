/*
 * session_private.h
 *		What session_index.c and session_close.c share: the parts of sessions, as the worker finds them.
 *
 * Process-local, made from the store when it is asked for, and made anew when a tick was undone.
 */
#ifndef SF_SESSION_PRIVATE_H
#define SF_SESSION_PRIVATE_H

#include "flow/session.h"

typedef struct SessionPane SessionPane;

/* The groups of a pane that have one key. */
typedef struct SessionPart
{
	SessionPane *pane;
	uint32		ngroups;
	uint32		max_groups;
	union
	{
		SfGroup    *one;		/* max_groups is 1 */
		SfGroup   **many;
	};
	struct SessionPart *before; /* of the same key in the panes next to it, where these are known */
	struct SessionPart *after;
	bool		closed;			/* its session is; set when it is found out */
	bool		exists;			/* the rest as of this epoch: has it rows? */
	uint64		epoch;
	SfTime		first;			/* of its rows, or of the rows combined into it */
	SfTime		last;
} SessionPart;

typedef struct parts_hash parts_hash;

struct SessionPane
{
	MemoryContext context;
	SfSessions *sessions;
	SfWindow   *window;
	SfTime		start;
	uint32		seen;			/* groups that are in parts */
	uint32		nroom;			/* parts that `room` has place for */
	SessionPart *room;
	parts_hash *parts;
};

/* When a part's session may be closed. */
typedef struct SessionDeadline
{
	SfTime		at;
	SessionPart *part;
} SessionDeadline;

struct SfSessions
{
	MemoryContext context;
	MemoryContext scratch;
	SfDefinition *definition;	/* borrowed, like store */
	SfStore    *store;
	int64		gap;
	void		(*next_step) (void);
	uint64		nsteps;

	uint64		generation;		/* of the store: what is below is of that */
	uint64		epoch;
	bool		before;			/* spans are those before the tick */
	SessionPane **panes;		/* ordered by start */
	int			npanes;
	int			max_panes;
	SessionDeadline *deadlines; /* a heap, the least first */
	int			ndeadlines;
	int			max_deadlines;
	char	   *image;			/* data of a group, for keys to be looked up */
};

static inline SfGroup **
part_groups(SessionPart *part)
{
	return part->max_groups > 1 ? part->many : &part->one;
}

/* ---- session_index.c ---- */

/* From here on spans are of the groups as they are; forgets what a rollback has taken. */
extern void sf_sessions_settle(SfSessions *sessions);

/* The pane that starts there, with all its groups in parts; NULL: there is none, or it has left. */
extern SessionPane *sf_session_pane(SfSessions *sessions, SfTime start);
extern void sf_session_forget_pane(SfSessions *sessions, SessionPane *pane);

/* What the index takes counts as the view's state. */
extern void sf_session_count_memory(SfSessions *sessions);

/* All parts of a pane. */
extern List *sf_session_parts(SessionPane *pane);

/* False: it has no rows.  Else first and last are of this epoch. */
extern bool sf_session_part_span(SfSessions *sessions, SessionPart *part);

/* The part before or after that is of the same session, or NULL; the part's span is known. */
extern SessionPart *sf_session_before(SfSessions *sessions, SessionPart *part);
extern SessionPart *sf_session_after(SfSessions *sessions, SessionPart *part);

/*
 * The part of an open session that ends first, if it ends at or before `until`; NULL: none.  It is taken off, and has no
 * part of its session behind it.
 */
extern SessionPart *sf_session_next_tail(SfSessions *sessions, SfTime until);

/* Puts it back. */
extern void sf_session_add_deadline(SfSessions *sessions, SessionPart *part);

/* A time later by so many gaps, or earlier; infinite beyond what can be told. */
static inline SfTime
session_time(const SfSessions *sessions, SfTime time, int gaps)
{
	int64		distance;
	SfTime		result;

	if (time == SF_TIME_INFINITY || time == SF_TIME_MINUS_INFINITY)
		return time;
	if (pg_mul_s64_overflow(sessions->gap, gaps, &distance) || pg_add_s64_overflow(time, distance, &result))
		return gaps < 0 ? SF_TIME_MINUS_INFINITY : SF_TIME_INFINITY;
	return result;
}

/* The start of the pane that holds a time. */
static inline SfTime
session_pane_start(const SfSessions *sessions, SfTime time)
{
	int64		into;
	SfTime		start;

	if (time == SF_TIME_INFINITY || time == SF_TIME_MINUS_INFINITY)
		return time;
	into = time % sessions->gap;
	if (into < 0)
		into += sessions->gap;
	return pg_sub_s64_overflow(time, into, &start) ? SF_TIME_MINUS_INFINITY : start;
}

/* Panes before the one that starts there have left, when windows are closed up to a time. */
static inline SfTime
session_first_pane(const SfSessions *sessions, SfTime closed_until)
{
	return session_pane_start(sessions, session_time(sessions, closed_until, -3));
}

#endif							/* SF_SESSION_PRIVATE_H */
