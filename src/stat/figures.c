/*
 * figures.c
 *		One fragment's figures, copied out of shared memory, and the pages of its stream.
 *
 * A statistics view must neither wait for a lock that a user holds nor look at a fragment that DROP has freed.  So
 * everything is copied under the lock of the dataflow's list, which the worker takes before it frees one; and a relation
 * is looked at only where its lock is to be had at once.
 */
#include "stat/figures.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "state/store.h"
#include "stream/capture.h"
#include "stream/floor.h"

/* Needs the fragment's lock. */
static void
copy_windows(SfFragment *fragment, SfFigures *figures)
{
	dsa_pointer *windows;

	figures->next_end = fragment->next_end;
	if (fragment->nwindows == 0)
		return;
	windows = dsa_get_address(sf_area(), fragment->windows);
	for (int i = 0; i < fragment->nwindows; i++)
	{
		SfWindow *window = dsa_get_address(sf_area(), windows[i]);

		if (window->closed != SF_TICK_NONE || window->role == SF_WINDOW_HEAD)
			continue;
		if (window->end == SF_TIME_INFINITY) /* it never closes */
			continue;
		figures->open_windows++;
		if (window->role == SF_WINDOW_OF_ROWS)
			figures->next_end = Min(figures->next_end, window->end);
	}
}

/* The worker keeps two: what was the published one may be gone when it is looked at, and then there is a newer one. */
static void
copy_sources(SfDataflow *dataflow, SfFragment *fragment, SfFigures *figures)
{
	SfTick published;

	do
		published = pg_atomic_read_u64(&dataflow->published);
	while (!sf_progress_read(fragment, published, CurrentMemoryContext, NULL, &figures->sources) &&
	       published != pg_atomic_read_u64(&dataflow->published));
}

void
sf_figures_get(SfDataflow *dataflow, Oid view, SfFigures *figures)
{
	SfFragment *fragment;

	memset(figures, 0, sizeof(SfFigures));
	fragment = sf_fragment_hold(dataflow, view);
	if (fragment == NULL)
		return;
	figures->found = true;
	LWLockAcquire(&fragment->lock, LW_SHARED);
	figures->watermark = fragment->watermark;
	figures->closed_until = fragment->closed_until;
	figures->standing = fragment->standing;
	memcpy(figures->error_sqlstate, fragment->error_sqlstate, sizeof(figures->error_sqlstate));
	memcpy(figures->error_message, fragment->error_message, sizeof(figures->error_message));
	figures->attempts = fragment->attempts;
	figures->retry_at = fragment->retry_at;
	copy_windows(fragment, figures);
	LWLockRelease(&fragment->lock);
	figures->resumes = pg_atomic_read_u32(&fragment->resumes);
	pg_read_barrier();
	figures->status = pg_atomic_read_u32(&fragment->status);
	figures->rows_in = pg_atomic_read_u64(&fragment->rows_in);
	figures->rows_late = pg_atomic_read_u64(&fragment->rows_late);
	figures->rows_missed = pg_atomic_read_u64(&fragment->rows_missed);
	figures->rows_ahead = pg_atomic_read_u64(&fragment->rows_ahead);
	figures->rows_failed = pg_atomic_read_u64(&fragment->rows_failed);
	figures->rows_read = pg_atomic_read_u64(&fragment->rows_read);
	figures->groups = pg_atomic_read_u64(&fragment->groups);
	figures->bytes = pg_atomic_read_u64(&fragment->bytes);
	figures->undo_bytes = pg_atomic_read_u64(&fragment->undo_bytes);
	copy_sources(dataflow, fragment, figures);
	sf_fragment_release(dataflow);
}

const char *
sf_status_name(SfDataflow *dataflow, const SfFigures *figures, const SfFragmentRow *row)
{
	const char *word = sf_status_word(figures->status, figures->retry_at != 0, row->paused,
	                                  figures->found && figures->resumes != row->resumes);

	if (strcmp(word, "running") != 0)
		return word;
	if (pg_atomic_read_u32(&dataflow->ready) == 0)
		return "recovering";
	return figures->standing.catch_up_since != 0 ? "catching up" : "running";
}

const char *
sf_held_by(SfDataflow *dataflow, const SfFigures *figures, const SfStreamSettings *settings)
{
	if (figures->status == SF_FRAGMENT_FAILED)
		return "the failed view";
	if (figures->status == SF_FRAGMENT_PAUSED)
		return "the paused view";
	if (dataflow == NULL || dataflow->worker_pid == 0)
		return "a worker process";
	if (figures->retry_at != 0)
		return "another attempt";
	if (figures->standing.blocked)
		return "a lock on the stream";
	if (figures->standing.behind_since != 0)
		return "rows to catch up with";
	return settings->has_watermark ? "later rows" : "streamfuse.set_watermark";
}

/*
 * Behind is who has left something uncounted in the last tick; besides, a tick that is under way may find something that
 * was committed since it began.
 */
int64
sf_figures_lag_us(SfDataflow *dataflow, const SfFigures *figures, TimestampTz now)
{
	TimestampTz since = figures->standing.behind_since;

	if (since == 0 && pg_atomic_read_u32(&dataflow->activity) == SF_ACTIVITY_TICK)
		since = (TimestampTz) pg_atomic_read_u64(&dataflow->step_began);
	return since == 0 ? 0 : Max(now - since, 0);
}

static const SfPosition *
find_position(const SfSourceState *source, Oid relid)
{
	ListCell *cell;

	if (source != NULL)
		foreach (cell, source->positions)
			if (sf_position_relid(lfirst(cell)) == relid)
				return lfirst(cell);
	return NULL;
}

static void
add_leaf(Oid relid, const SfSourceState *source, SfPages *pages)
{
	const SfPosition *position = find_position(source, relid);
	Relation rel;
	BlockNumber total;
	BlockNumber floor;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		pages->locked = true;
		return;
	}
	rel = try_relation_open(relid, NoLock);
	if (rel != NULL)
	{
		total = RelationGetNumberOfBlocks(rel);
		floor = sf_floor_of(MyDatabaseId, relid);
		pages->total += total;
		if (position != NULL)
			pages->read += Min(sf_position_frontier(position) + sf_position_open_pages(position), total);
		pages->open += total - Min(floor, total);
		if (rel->rd_rel->reltuples < 0 || pages->rows < 0)
			pages->rows = total == 0 ? pages->rows : -1;
		else if (rel->rd_rel->relpages > 0)
			pages->rows += rel->rd_rel->reltuples / rel->rd_rel->relpages * total;
		relation_close(rel, NoLock);
	}
	UnlockRelationOid(relid, AccessShareLock);
}

static void
add_stream(Oid stream, const SfSourceState *source, SfPages *pages)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(stream, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION)
		{
			pages->leaves++;
			add_leaf(lfirst_oid(cell), source, pages);
		}
}

void
sf_pages_get(Oid stream, const SfSourceState *source, SfPages *pages)
{
	memset(pages, 0, sizeof(SfPages));
	add_stream(stream, source, pages);
}

void
sf_view_pages_get(const SfFragmentRow *row, const SfFigures *figures, SfPages *pages)
{
	memset(pages, 0, sizeof(SfPages));
	for (int i = 0; i < row->nstreams; i++)
		add_stream(row->streams[i], sf_figures_source(figures, i), pages);
}

const SfSourceState *
sf_figures_source(const SfFigures *figures, int input)
{
	return input < list_length(figures->sources) ? list_nth(figures->sources, input) : NULL;
}

int
sf_figures_holder(const SfFragmentRow *row, const SfFigures *figures)
{
	int holder = 0;

	for (int i = 1; i < Min(row->nstreams, list_length(figures->sources)); i++)
		if (sf_figures_source(figures, i)->watermark < sf_figures_source(figures, holder)->watermark)
			holder = i;
	return holder;
}

double
sf_rows_waiting(const SfPages *pages, const SfFigures *figures)
{
	int64 waiting = pages->total - pages->read;

	if (waiting == 0)
		return 0;
	if (figures->rows_read > 0 && pages->read > 0)
		return (double) figures->rows_read / pages->read * waiting;
	return pages->rows < 0 ? -1 : pages->rows / pages->total * waiting;
}
