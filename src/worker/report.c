/*
 * report.c
 *		What the worker tells about itself: pg_stat_activity, figures in shared memory, the server log.
 *
 * Called by the steps of the worker's loop, a few times a tick; nothing here decides anything.  What is written to a
 * fragment's `standing` is read by the statistics views only, each value as of the last tick that touched it.
 */
#include "worker/dataflow.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* ---- what the worker is doing ---- */

/* The time since the last call goes to the activity that ends; returns it, in microseconds. */
static uint64
end_activity(SfDataflow *dataflow, TimestampTz now)
{
	uint64 began = pg_atomic_read_u64(&dataflow->step_began);
	uint64 took = began != 0 && (uint64) now > began ? (uint64) now - began : 0;

	if (took > 0)
		pg_atomic_write_u64(&dataflow->busy_us, pg_atomic_read_u64(&dataflow->busy_us) + took);
	return took;
}

void
sf_report_start(SfWorker *worker)
{
	SfDataflow *dataflow = worker->dataflow;

	pg_atomic_write_u64(&dataflow->started_at, GetCurrentTimestamp());
	pg_atomic_write_u64(&dataflow->step_began, 0);
	pg_atomic_write_u64(&dataflow->rows, 0);
	pg_atomic_write_u64(&dataflow->tick_us, 0);
	pg_atomic_write_u64(&dataflow->commit_us, 0);
	pg_atomic_write_u64(&dataflow->busy_us, 0);
	pg_atomic_write_u32(&dataflow->activity, SF_ACTIVITY_STARTING);
	pgstat_report_appname("streamfuse");
}

/* The worker turns to something else.  what: for pg_stat_activity; NULL leaves what is there. */
void
sf_report_activity(SfWorker *worker, SfActivity activity, const char *what)
{
	SfDataflow *dataflow = worker->dataflow;
	TimestampTz now = GetCurrentTimestamp();
	uint64 took = end_activity(dataflow, now);
	bool asleep = activity == SF_ACTIVITY_IDLE || activity == SF_ACTIVITY_WAITING;

	if (pg_atomic_read_u32(&dataflow->activity) == SF_ACTIVITY_TICK)
		pg_atomic_write_u64(&dataflow->tick_us, took);
	else if (pg_atomic_read_u32(&dataflow->activity) == SF_ACTIVITY_COMMIT)
		pg_atomic_write_u64(&dataflow->commit_us, took);
	pg_atomic_write_u32(&dataflow->activity, activity);
	pg_atomic_write_u64(&dataflow->step_began, asleep ? 0 : (uint64) now);
	pgstat_report_activity(asleep ? STATE_IDLE : STATE_RUNNING, what);
}

/* How far a catch-up has come; one slice takes long enough to say so. */
void
sf_report_catch_up(SfSource *source, uint64 pages_left)
{
	uint64 read = sf_source_pages_read(source);
	char what[NAMEDATALEN + 64];
	char *name = get_rel_name(source->stream);

	snprintf(what, sizeof(what), "catching up stream %s, %d %%", name ? name : "?",
	         (int) (100 * read / Max(read + pages_left, 1)));
	pgstat_report_activity(STATE_RUNNING, what);
}

/* Which views a commit is of.  In a transaction. */
void
sf_report_committing(SfMember *member, int nmembers)
{
	char what[NAMEDATALEN + 64];
	char *name = get_rel_name(member->row.view);

	if (nmembers == 1 && name != NULL)
		snprintf(what, sizeof(what), "commit of view %s", name);
	else
		snprintf(what, sizeof(what), "commit of %d views", nmembers);
	pgstat_report_activity(STATE_RUNNING, what);
}

void
sf_report_tick_rows(SfWorker *worker, uint64 rows)
{
	SfDataflow *dataflow = worker->dataflow;

	char what[64];

	if (rows == 0)
		return;
	snprintf(what, sizeof(what), "tick of " UINT64_FORMAT " rows", rows);
	pgstat_report_activity(STATE_RUNNING, what);
	pg_atomic_write_u64(&dataflow->rows, pg_atomic_read_u64(&dataflow->rows) + rows);
	elog(DEBUG1, "streamfuse tick " UINT64_FORMAT " took in " UINT64_FORMAT " rows",
	     pg_atomic_read_u64(&dataflow->published), rows);
}

/* ---- how far the fragments are ---- */

static void
note_catch_up(SfStanding *standing, SfWorker *worker, SfMember *member)
{
	if (sf_member_is_complete(member))
		standing->catch_up_since = 0;
	else if (standing->catch_up_since == 0)
	{
		standing->catch_up_since = worker->tick_time;
		standing->catch_up_pages = sf_member_pages_read(member);
		standing->catch_up_rows = member->progress.counters.rows_read;
	}
}

/* Transactions whose rows a member awaits; one that has written several of its streams is in each. */
static int
count_awaited(SfMember *member, uint64 *oldest)
{
	int awaited = 0;

	for (int i = 0; i < member->row.nstreams; i++)
	{
		uint64 first;
		int n = sf_source_awaited(member->sources[i], &first);

		if (n > 0)
			*oldest = awaited == 0 ? first : Min(*oldest, first);
		awaited = Max(awaited, n);
	}
	return awaited;
}

/* How many of its scans the tick has left out. */
static int
count_skipped(const SfMember *member)
{
	int skipped = 0;

	for (int i = 0; i < member->row.nstreams; i++)
		skipped += member->sources[i]->skipped;
	return skipped;
}

/* After a tick has been published, or has left some of the member's scans out. */
void
sf_report_member(SfWorker *worker, SfMember *member)
{
	SfStanding *standing = &member->shared->standing;
	uint64 oldest = 0;
	int awaited;
	int skipped;

	if (sf_member_stopped(member) || !sf_member_has_sources(member))
		return;
	awaited = count_awaited(member, &oldest);
	skipped = count_skipped(member);
	LWLockAcquire(&member->shared->lock, LW_EXCLUSIVE);
	standing->blocked = skipped > 0 && !member->unstarted && member->tick_trouble.retry_at == 0;
	standing->awaited = awaited;
	standing->oldest_awaited = oldest;
	if (sf_member_is_complete(member))
		standing->behind_since = 0;
	else if (standing->behind_since == 0)
		standing->behind_since = worker->tick_time;
	if (skipped == 0)
		note_catch_up(standing, worker, member);
	if (sf_member_tick_rows(member) > 0)
		standing->last_rows = worker->tick_time;
	LWLockRelease(&member->shared->lock);
}

void
sf_report_commit(SfMember *member, TimestampTz time)
{
	LWLockAcquire(&member->shared->lock, LW_EXCLUSIVE);
	member->shared->standing.last_commit = time;
	LWLockRelease(&member->shared->lock);
}

/* A member has failed. */
void
sf_report_failure(SfMember *member, TimestampTz time)
{
	SfStanding *standing = &member->shared->standing;

	LWLockAcquire(&member->shared->lock, LW_EXCLUSIVE);
	standing->failed_at = time;
	standing->catch_up_since = 0;
	standing->blocked = false;
	if (standing->behind_since == 0)
		standing->behind_since = time;
	LWLockRelease(&member->shared->lock);
}

/* And goes on now, or is well in any case. */
void
sf_report_resumed(SfMember *member)
{
	LWLockAcquire(&member->shared->lock, LW_EXCLUSIVE);
	member->shared->standing.failed_at = 0;
	LWLockRelease(&member->shared->lock);
}

/* What the tables say of a fragment that is not in memory yet: what has come since its last commit is to be counted. */
void
sf_report_recovered(SfMember *member, TimestampTz committed_at, TimestampTz failed_at)
{
	SfStanding *standing = &member->shared->standing;

	LWLockAcquire(&member->shared->lock, LW_EXCLUSIVE);
	standing->last_commit = committed_at;
	standing->failed_at = failed_at;
	if (standing->behind_since == 0)
		standing->behind_since = committed_at != 0 ? committed_at : GetCurrentTimestamp();
	LWLockRelease(&member->shared->lock);
}

/* ---- the server log ---- */

void
sf_report_members(SfWorker *worker)
{
	static bool reported = false;

	if (!reported && worker->members != NIL)
		ereport(LOG, (errmsg_plural("maintaining %d continuous view of database \"%s\"",
		                            "maintaining %d continuous views of database \"%s\"", list_length(worker->members),
		                            list_length(worker->members), get_database_name(MyDatabaseId))));
	reported = reported || worker->members != NIL;
}

/* Says once what has become of a view that was made.  In a transaction; a view that is gone has nothing to say. */
static void
report_filling(SfMember *member, SfFragmentStatus status)
{
	char *name = get_rel_name(member->row.view);
	char *stream = get_rel_name(member->row.streams[0]);

	if (name == NULL || stream == NULL)
		return;
	if (status == SF_FRAGMENT_BACKFILLING)
		ereport(LOG, (errmsg("continuous view \"%s\" is being filled from stream \"%s\"", name, stream)));
	else
		ereport(LOG, (errmsg("continuous view \"%s\" is filled from stream \"%s\"", name, stream),
		              errdetail_internal(UINT64_FORMAT " rows were read.", member->progress.counters.rows_read)));
}

/* After a tick.  Only the first filling is worth a line; what a restart has to catch up with is not. */
void
sf_report_fillings(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);
		SfFragmentStatus status = pg_atomic_read_u32(&member->shared->status);

		if (member->filling == SF_FILLING_NOT_BEGUN && status == SF_FRAGMENT_BACKFILLING)
		{
			report_filling(member, status);
			member->filling = SF_FILLING_BEGUN;
		}
		else if (member->filling != SF_FILLING_DONE && status == SF_FRAGMENT_RUNNING)
		{
			report_filling(member, status);
			member->filling = SF_FILLING_DONE;
		}
	}
}
