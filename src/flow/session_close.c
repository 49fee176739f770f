/*
 * session_close.c
 *		Closing sessions: those that the watermark has passed become groups of one window of the store.
 *
 * There may be a million of them in a tick, each with a start and an end of its own.  So they are groups of one assembled
 * window, which begins with the first of them and ends with the watermark that closed them; each has its own times in its
 * states.  From there all is as for any closed window.
 *
 * Behind that, panes older than three gaps leave: what is open there is combined into the next pane.  The last end of a
 * window that was closed moves with them, because a reset of the watermark must not go back to where parts were forgotten.
 */
#include "flow/session_private.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "fault.h"
#include "flow/batch.h"
#include "state/local_group.h"

/* A session to be closed. */
typedef struct ClosingSession
{
	SessionPart *head;
	SessionPart *tail;
} ClosingSession;

/* A group of the window that is made, where a session's rows are several groups. */
typedef struct Target
{
	const char *key; /* data of the group */
	SfGroup *group;
	SfTime start;
	SfTime end;
	uint32 hash;
	char status; /* for simplehash */
} Target;

typedef struct targets_hash targets_hash;

typedef struct Closing
{
	SfSessions *sessions;
	ClosingSession *closing;
	int nclosing;
	int max_closing;
	SfTime least_start;
	SfWindow *window;
	targets_hash *targets; /* NULL: each session is a group of its own */
	SfTime start;          /* of the session at hand */
	SfTime last;
} Closing;

static bool same_target(targets_hash *targets, const char *a, const char *b);

#define SH_PREFIX targets
#define SH_ELEMENT_TYPE Target
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, key) 0
#define SH_EQUAL(table, a, b) same_target(table, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static void
count_group(SfSessions *sessions)
{
	CHECK_FOR_INTERRUPTS();
	if (++sessions->nsteps % SF_BATCH_ROWS == 0)
		sessions->next_step();
}

/* Keys of a group of a closed window: those of the session alone are null. */
static void
target_keys(SfSessions *sessions, const char *data, Datum *keys, bool *nulls)
{
	SfDefinition *definition = sessions->definition;

	sf_group_keys(definition->layout, sf_store_blobs(sessions->store)->area, data, keys, nulls);
	for (int i = definition->ngroup_keys; i < definition->ngroup_keys + definition->nsession_keys; i++)
	{
		keys[i] = (Datum) 0;
		nulls[i] = true;
	}
}

/* Of one session's times: the window's groups have them, and one that is looked up stands for the session at hand. */
static bool
same_target(targets_hash *targets, const char *a, const char *b)
{
	Closing *closing = targets->private_data;
	SfSessions *sessions = closing->sessions;
	Datum keys[2][SF_LAYOUT_MAX_KEYS];
	bool nulls[2][SF_LAYOUT_MAX_KEYS];
	SfTime first;
	SfTime last;

	if (!sf_session_span(sessions->definition, a, &first, &last) || first != closing->start || last != closing->last)
		return false;
	target_keys(sessions, a, keys[0], nulls[0]);
	target_keys(sessions, b, keys[1], nulls[1]);
	return sf_layout_equal(sessions->definition->layout, keys[0], nulls[0], keys[1], nulls[1]);
}

static SfGroup *
add_target(Closing *closing, const char *data)
{
	SfSessions *sessions = closing->sessions;
	SfLayout *layout = sessions->definition->layout;
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];
	Target *target;
	SfGroup *group;
	uint32 hash;
	bool found;

	target_keys(sessions, data, keys, nulls);
	hash = sf_layout_hash(layout, keys, nulls);
	if (closing->targets == NULL)
		return sf_store_add(sessions->store, closing->window, hash, keys, nulls);

	target = targets_lookup_hash(closing->targets, data, hash);
	if (target != NULL)
		return target->group;
	group = sf_store_add(sessions->store, closing->window, hash, keys, nulls);
	sf_session_widen(sessions->definition, sf_store_blobs(sessions->store), group->data, closing->start, closing->last);
	target = targets_insert_hash(closing->targets, group->data, hash, &found);
	target->group = group;
	return group;
}

static void
combine(SfSessions *sessions, SfGroup *into, const SfGroup *from)
{
	SfBlobSpace *blobs = sf_store_blobs(sessions->store);

	sf_combine_states(sessions->definition->layout, blobs, into->data, blobs, from->data);
	count_group(sessions);
}

static void
close_session(Closing *closing, const ClosingSession *session)
{
	SfSessions *sessions = closing->sessions;
	SfGroup *own = NULL;

	closing->start = session->head->first;
	closing->last = session->tail->last;
	for (SessionPart *part = session->head;; part = part->after)
	{
		SfGroup **groups = part_groups(part);

		for (uint32 i = 0; i < part->ngroups; i++)
		{
			if (own == NULL || closing->targets != NULL)
				own = add_target(closing, groups[i]->data);
			combine(sessions, own, groups[i]);
		}
		if (part == session->tail)
			break;
	}
	SF_FAULT("close-assembled");
}

/* A session's parts are known to be closed. */
static SessionPart *
mark_closed(SfSessions *sessions, SessionPart *tail)
{
	SessionPart *part = tail;

	for (;;)
	{
		SessionPart *before = sf_session_before(sessions, part);

		part->closed = true;
		if (before == NULL)
			return part;
		part = before;
	}
}

/* Which sessions `until` has passed, but for those that were closed earlier, or are in the output of a dump. */
static void
collect(Closing *closing, SfProgress *progress, SfTime until)
{
	SfSessions *sessions = closing->sessions;
	SessionPart *tail;

	while ((tail = sf_session_next_tail(sessions, until)) != NULL)
	{
		SessionPart *head = mark_closed(sessions, tail);
		SfTime end = session_time(sessions, tail->last, 1);

		if (end <= progress->closed_until)
			continue;
		progress->last_closed = Max(progress->last_closed, end);
		if (end <= progress->adopted_until)
			continue;
		sf_reserve(CurrentMemoryContext, closing->closing, closing->max_closing, closing->nclosing + 1, 64);
		closing->closing[closing->nclosing++] = (ClosingSession){head, tail};
		closing->least_start = Min(closing->least_start, head->first);
	}
}

static void
close_collected(Closing *closing, SfTime until)
{
	SfSessions *sessions = closing->sessions;
	MemoryContext old;
	SfTime name = until;

	if (closing->nclosing == 0)
		return;
	/* After a reset there may be one of that name. */
	while (sf_store_has_assembled(sessions->store, closing->least_start, name))
		name++;
	closing->window = sf_store_assemble(sessions->store, closing->least_start, name);
	if (!sessions->definition->session->by_group || sessions->definition->nsession_keys > 0)
		closing->targets = targets_create(CurrentMemoryContext, closing->nclosing, closing);
	old = MemoryContextSwitchTo(sessions->scratch);
	for (int i = 0; i < closing->nclosing; i++)
	{
		close_session(closing, &closing->closing[i]);
		MemoryContextReset(sessions->scratch);
	}
	MemoryContextSwitchTo(old);
}

/* ---- panes leave ---- */

/* What an open session has here is combined into the part behind it. */
static void
move_on(SfSessions *sessions, SessionPart *part)
{
	SfLayout *layout = sessions->definition->layout;
	SessionPart *after = sf_session_after(sessions, part);
	SfGroup **groups = part_groups(part);

	if (after == NULL)
		elog(ERROR, "session is open and has ended");
	for (uint32 i = 0; i < part->ngroups; i++)
	{
		Datum keys[SF_LAYOUT_MAX_KEYS];
		bool nulls[SF_LAYOUT_MAX_KEYS];
		SfGroup *into;

		sf_group_keys(layout, sf_store_blobs(sessions->store)->area, groups[i]->data, keys, nulls);
		into = sf_store_touch(sessions->store, after->pane->window, groups[i]->hash, keys, nulls);
		combine(sessions, into, groups[i]);
	}
	/* One that was made is put into the part. */
	after->epoch = 0;
	(void) sf_session_pane(sessions, after->pane->start);
}

static void
leave_pane(SfSessions *sessions, SessionPane *pane, SfTick tick)
{
	LWLock *lock = &sf_store_blobs(sessions->store)->fragment->lock;
	List *parts = sf_session_parts(pane);
	MemoryContext old = MemoryContextSwitchTo(sessions->scratch);
	ListCell *cell;

	foreach (cell, parts)
	{
		SessionPart *part = lfirst(cell);

		if (part->closed || !sf_session_part_span(sessions, part))
			continue;
		if (!SF_BUG("open-session-forgotten"))
			move_on(sessions, part);
		MemoryContextReset(sessions->scratch);
	}
	MemoryContextSwitchTo(old);
	list_free(parts);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	pane->window->closed = tick;
	LWLockRelease(lock);
	sf_session_forget_pane(sessions, pane);
}

static void
leave_panes(SfSessions *sessions, SfProgress *progress, SfTick tick, SfTime until)
{
	SfTime first_pane = session_first_pane(sessions, until);

	for (int i = 0; i < sf_store_nwindows(sessions->store); i++)
	{
		SfWindow *window = sf_store_window_at(sessions->store, i);

		if (window->role == SF_WINDOW_ASSEMBLED || window->start >= first_pane)
			break;
		if (window->role != SF_WINDOW_PANE || window->closed != SF_TICK_NONE)
			continue;
		progress->last_closed = Max(progress->last_closed, session_time(sessions, window->end, 3));
		leave_pane(sessions, sf_session_pane(sessions, window->start), tick);
	}
}

/* ---- the whole ---- */

/* Makes the panes known that sessions which end by then are in. */
static void
look_at_panes(SfSessions *sessions, SfTime until)
{
	for (int i = 0; i < sf_store_nwindows(sessions->store); i++)
	{
		SfWindow *window = sf_store_window_at(sessions->store, i);

		if (window->role == SF_WINDOW_ASSEMBLED || window->start > until)
			break;
		if (window->role == SF_WINDOW_PANE && window->closed == SF_TICK_NONE)
			(void) sf_session_pane(sessions, window->start);
	}
}

int
sf_sessions_close(SfSessions *sessions, SfProgress *progress, SfTick tick, SfTime until)
{
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "streamfuse sessions closing",
	                                          ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	Closing closing = {.sessions = sessions, .least_start = SF_TIME_INFINITY};
	int nclosing;

	sf_sessions_settle(sessions);
	look_at_panes(sessions, until);
	collect(&closing, progress, until);
	close_collected(&closing, until);
	nclosing = closing.nclosing;
	leave_panes(sessions, progress, tick, until);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(own);
	sf_session_count_memory(sessions);
	return nclosing;
}

SfTime
sf_sessions_next_end(SfSessions *sessions, SfTime closed_until)
{
	sf_sessions_settle(sessions);
	for (int i = 0;; i++)
	{
		SessionPart *tail;
		SfWindow *window;

		/* Of panes not known yet sessions end later than those of the ones before. */
		while ((tail = sf_session_next_tail(sessions, SF_TIME_INFINITY)) != NULL)
		{
			SfTime end = session_time(sessions, tail->last, 1);

			if (end > closed_until)
			{
				sf_session_add_deadline(sessions, tail);
				sf_session_count_memory(sessions);
				return end;
			}
			(void) mark_closed(sessions, tail);
		}
		if (i >= sf_store_nwindows(sessions->store))
			return SF_TIME_INFINITY;
		window = sf_store_window_at(sessions->store, i);
		if (window->role == SF_WINDOW_PANE && window->closed == SF_TICK_NONE)
			(void) sf_session_pane(sessions, window->start);
	}
}
