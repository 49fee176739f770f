/*
 * close.c
 *		Closing windows, as part of a tick and after all of its rows.  Sessions: session_close.c.
 *
 * A window of rows is closed by a mark: its groups do not change any more.  Of windows that overlap the store has only
 * the panes; what closes is assembled from them, with all groups combined, and is then a closed window like any other.
 * Rows that come later for windows still open change the panes, but nothing that was closed.  A pane is marked when the
 * last window that it is part of is closed.
 *
 * The assembly goes on from one closing to the next.  It holds what windows have taken in up to the end of the last one
 * closed, which is what rows that are late for some window change: then, and when a tick was undone, it begins anew.
 */
#include "flow/close.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "fault.h"
#include "flow/assembly.h"
#include "flow/batch.h"

struct SfCloser
{
	SfDefinition *definition; /* borrowed, like store and progress */
	SfStore *store;
	SfProgress *progress;
	SfTime begins_at;
	SfSessions *sessions; /* borrowed; NULL: windows are no sessions */

	/* Where windows overlap; else NULL. */
	SfAssembly *assembly;
	SfTime assembled_until; /* it stands there; SF_TIME_MINUS_INFINITY: it is to begin anew */
	MemoryContext scratch;  /* of combinations and keys */

	void (*next_step)(void);
	uint64 ngroups;
	SfTime next_end;

	/* The source: panes of the store. */
	int place;
	uint32 next_group;
};

/* Each batch of groups is a step of its own. */
static void
count_group(SfCloser *closer)
{
	if (++closer->ngroups % SF_BATCH_ROWS == 0)
		closer->next_step();
}

/* ---- the panes of the store as a source ---- */

static void
begin_panes(void *arg, SfTime from)
{
	SfCloser *closer = arg;
	int low = 0;
	int high = sf_store_nwindows(closer->store);

	while (low < high)
	{
		int middle = (low + high) / 2;
		SfWindow *window = sf_store_window_at(closer->store, middle);

		if (window->role != SF_WINDOW_ASSEMBLED && window->start < from)
			low = middle + 1;
		else
			high = middle;
	}
	closer->place = low;
	closer->next_group = 0;
}

static bool
next_pane_group(void *arg, SfGroupCopy *copy)
{
	SfCloser *closer = arg;

	for (; closer->place < sf_store_nwindows(closer->store); closer->place++, closer->next_group = 0)
	{
		SfWindow *pane = sf_store_window_at(closer->store, closer->place);
		SfGroup *group;

		if (pane->role == SF_WINDOW_ASSEMBLED)
			break;
		if (pane->role != SF_WINDOW_PANE || pane->closed != SF_TICK_NONE)
			continue;
		while (closer->next_group < pane->ngroups)
		{
			count_group(closer);
			group = sf_store_group_at(closer->store, pane, closer->next_group++);
			if (!sf_group_is_there(closer->definition->layout, group->data))
				continue;
			*copy = (SfGroupCopy){pane->start, pane->end, group->hash, group->data};
			return true;
		}
	}
	return false;
}

SfCloser *
sf_closer_create(MemoryContext context, SfDefinition *definition, SfStore *store, SfProgress *progress,
                 SfSessions *sessions, SfTime begins_at, void (*next_step)(void))
{
	SfCloser *closer = MemoryContextAllocZero(context, sizeof(SfCloser));
	SfPaneSource source = {begin_panes, next_pane_group, closer, *sf_store_blobs(store)};

	closer->definition = definition;
	closer->store = store;
	closer->progress = progress;
	closer->begins_at = begins_at;
	closer->next_step = next_step;
	closer->next_end = SF_TIME_INFINITY;
	closer->assembled_until = SF_TIME_MINUS_INFINITY;
	closer->sessions = sessions;
	if (!definition->layout->in_panes || sessions != NULL)
		return closer;
	closer->assembly = sf_assembly_create(context, &definition->window, definition->layout, &source,
	                                      (Size) sf_state_memory_mb * 1024 * 1024 / 8);
	closer->scratch = AllocSetContextCreate(context, "streamfuse close", ALLOCSET_DEFAULT_SIZES);
	return closer;
}

/* ---- windows made of panes ---- */

static void
add_group(SfCloser *closer, SfWindow *window, const SfAssembled *assembled)
{
	SfLayout *layout = closer->definition->layout;
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];
	SfGroup *group;

	sf_group_keys(layout, NULL, assembled->group.key, keys, nulls);
	group = sf_store_touch(closer->store, window, assembled->group.hash, keys, nulls);
	sf_assembly_combine(closer->assembly, assembled, sf_store_blobs(closer->store), group->data);
}

/* Goes to where the last closing stopped, or to the first pane where what it held does not hold any more. */
static void
begin_assembly(SfCloser *closer, SfTime until)
{
	SfWindowRange range = {.from = closer->begins_at,
	                       .to = SF_TIME_INFINITY,
	                       .end_after = closer->progress->closed_until,
	                       .end_until = until};

	if (sf_store_touched_since(closer->store) >= sf_assembly_taken_until(closer->assembly) &&
	    closer->assembled_until == closer->progress->closed_until && closer->assembled_until != SF_TIME_MINUS_INFINITY)
		sf_assembly_continue(closer->assembly, &range);
	else
		sf_assembly_restart(closer->assembly, &range);
	/* Until it has come to its end, nobody must go on from here. */
	closer->assembled_until = SF_TIME_MINUS_INFINITY;
}

/* Panes are closed in the order in which they start. */
static void
mark_panes(SfCloser *closer, SfTick tick, SfTime until)
{
	LWLock *lock = &sf_store_blobs(closer->store)->fragment->lock;
	SfTime start;
	SfTime end;

	for (int i = 0; i < sf_store_nwindows(closer->store); i++)
	{
		SfWindow *pane = sf_store_window_at(closer->store, i);

		if (pane->role == SF_WINDOW_ASSEMBLED)
			break;
		if (pane->role != SF_WINDOW_PANE || pane->closed != SF_TICK_NONE)
			continue;
		if (sf_window_last_of(&closer->definition->window, pane->start, &start, &end) && end > until)
			break;
		LWLockAcquire(lock, LW_EXCLUSIVE);
		pane->closed = tick;
		LWLockRelease(lock);
	}
}

static int
close_assembled(SfCloser *closer, SfTick tick, SfTime until)
{
	MemoryContext old = MemoryContextSwitchTo(closer->scratch);
	SfWindow *window = NULL;
	SfAssembled assembled;
	int closed = 0;

	begin_assembly(closer, until);
	while (sf_assembly_next(closer->assembly, &assembled))
	{
		if (assembled.first)
		{
			window = sf_store_assemble(closer->store, assembled.start, assembled.end);
			closer->progress->last_closed = Max(closer->progress->last_closed, assembled.end);
			closed++;
		}
		count_group(closer);
		add_group(closer, window, &assembled);
		MemoryContextReset(closer->scratch);
		SF_FAULT("close-assembled");
	}
	closer->assembled_until = until;
	mark_panes(closer, tick, until);
	MemoryContextSwitchTo(old);
	return closed;
}

/* ---- windows of rows ---- */

static int
close_marked(SfCloser *closer, SfTick tick, SfTime until)
{
	LWLock *lock = &sf_store_blobs(closer->store)->fragment->lock;
	int closed = 0;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < sf_store_nwindows(closer->store); i++)
	{
		SfWindow *window = sf_store_window_at(closer->store, i);

		if (window->start >= until)
			break;
		if (window->closed == SF_TICK_NONE && window->end <= until)
		{
			window->closed = tick;
			closed++;
			if (window->ngroups > 0)
				closer->progress->last_closed = Max(closer->progress->last_closed, window->end);
		}
	}
	LWLockRelease(lock);
	return closed;
}

int
sf_closer_close(SfCloser *closer, SfTick tick, SfTime until)
{
	int closed;

	if (closer->sessions != NULL)
		closed = sf_sessions_close(closer->sessions, closer->progress, tick, until);
	else if (closer->assembly != NULL)
		closed = close_assembled(closer, tick, until);
	else
		closed = close_marked(closer, tick, until);
	closer->progress->closed_until = until;
	return closed;
}

/*
 * What had a group stays closed.  A pane that has none, because its rows have failed, may be asked for again.
 */
void
sf_closer_reopen(SfCloser *closer)
{
	LWLock *lock = &sf_store_blobs(closer->store)->fragment->lock;
	SfTime start;
	SfTime end;

	closer->progress->closed_until = closer->progress->last_closed;
	for (int i = 0; closer->assembly != NULL && i < sf_store_nwindows(closer->store); i++)
	{
		SfWindow *pane = sf_store_window_at(closer->store, i);

		if (pane->role != SF_WINDOW_PANE || pane->closed == SF_TICK_NONE ||
		    !sf_window_last_of(&closer->definition->window, pane->start, &start, &end) ||
		    end <= closer->progress->closed_until)
			continue;
		Assert(pane->ngroups == 0);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		pane->closed = SF_TICK_NONE;
		LWLockRelease(lock);
	}
}

/* The end of the first window that is open and has a group. */
static SfTime
first_open_end(SfCloser *closer)
{
	SfWindowIterator windows;
	SfGroupCopy group;
	SfTime start;
	SfTime end;

	begin_panes(closer, SF_TIME_MINUS_INFINITY);
	if (!next_pane_group(closer, &group) || !sf_window_last_of(&closer->definition->window, group.start, &start, &end))
		return SF_TIME_INFINITY;
	sf_windows_ending(&windows, &closer->definition->window, Max(group.start, closer->progress->closed_until), end);
	while (sf_windows_next(&windows))
		if (windows.start >= closer->begins_at)
			return windows.end;
	return SF_TIME_INFINITY;
}

void
sf_closer_finish(SfCloser *closer)
{
	const SfProgress *progress = closer->progress;

	if (closer->sessions != NULL)
	{
		/* Those in a dump are in the output table, however far the watermark is. */
		sf_store_note_closed_until(closer->store, Max(progress->closed_until, progress->adopted_until));
		closer->next_end = sf_sessions_next_end(closer->sessions, progress->closed_until);
	}
	else if (closer->assembly != NULL)
	{
		sf_store_note_closed_until(closer->store, progress->closed_until);
		closer->next_end = first_open_end(closer);
	}
}

SfTime
sf_closer_next_end(const SfCloser *closer)
{
	return closer->next_end;
}

void
sf_closer_rollback(SfCloser *closer)
{
	closer->assembled_until = SF_TIME_MINUS_INFINITY;
}
