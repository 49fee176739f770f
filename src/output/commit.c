/*
 * commit.c
 *		Makes published ticks durable, so that nothing becomes visible without the position that covers it.
 *
 * One transaction X writes, for each member that is due: rows of the windows closed since the last time, the groups of
 * open windows changed since their last checkpoint, windows that missed rows, rows that failed, counters, watermark and
 * position.  So a
 * fragment's close is its checkpoint, and recovery finds state and position of one and the same tick.
 *
 * Closed windows are tagged with X before it commits.  From the commit on, a reader whose snapshot sees X takes them from
 * the output table and skips them in memory; any other takes them from memory.  If X aborts the tag is taken off.
 *
 * What the worker remembers about a member changes only after the commit; a member whose rows are refused (a trigger, a
 * constraint, an index of a user) is rolled back to its subtransaction and tried again later, and the others commit.
 */
#include "worker/dataflow.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "output/checkpoint.h"
#include "output/commit.h"
#include "output/error_row.h"
#include "output/writer.h"
#include "state/catalog.h"

/* With so many failed rows, which each tick copies, a commit does not wait for the checkpoint interval. */
#define MANY_FAILED_ROWS 10000

typedef struct MemberCommit
{
	SfMember *member;
	uint64 xid; /* of the transaction, as a full xid */
	SfTick tick;
	List *windows;         /* SfWindowUpdate *, in context */
	SfSpillWrite *spilled; /* in context; NULL: there was nothing to do */
	MemoryContext context; /* outlives the transaction */
	bool done;             /* its subtransaction succeeded */
	bool status_only;      /* of a stopped member whose rows are refused, or which has none in memory */
} MemberCommit;

/* Rows for the windows closed and not yet written. */
static void
write_closed(MemberCommit *commit)
{
	SfMember *member = commit->member;
	SfDefinition *definition = member->definition;
	SfBlobSpace space = {.area = sf_area(), .fragment = member->shared, .tick = SF_TICK_NONE};
	Relation output = table_open(member->row.output, NoLock);
	SfWriter *writer = sf_writer_begin(output);
	SfProjector *projector = sf_projector_create(sf_writer_estate(writer), definition, true);

	for (int i = 0; i < sf_store_nwindows(member->store); i++)
	{
		SfWindow *window = sf_store_window_at(member->store, i);

		if (window->role == SF_WINDOW_PANE || window->role == SF_WINDOW_HEAD)
			continue;
		if (window->closed == SF_TICK_NONE || pg_atomic_read_u64(&window->closed_xid) != 0)
			continue;
		if (!SF_BUG("closed-window-not-tagged"))
			pg_atomic_write_u64(&window->closed_xid, commit->xid);
		SF_FAULT("commit-tagged");
		for (uint32 id = 0; id < window->ngroups; id++)
		{
			SfGroup *group = sf_store_group_at(member->store, window, id);
			TupleTableSlot *row;

			if (id % SF_BATCH_ROWS == 0)
				sf_view_timeout_start();
			if (!sf_group_is_there(definition->layout, group->data))
				continue;
			row = sf_projector_row(projector, &space, window->start, window->end, group->data);
			if (row == NULL)
				continue;
			row->tts_values[definition->output_closed_xid - 1] = UInt64GetDatum(commit->xid);
			row->tts_isnull[definition->output_closed_xid - 1] = false;
			sf_writer_insert(writer, row);
		}
	}
	sf_writer_end(writer);
	table_close(output, NoLock);
}

static void
write_missed_window(SfCatalog *catalog, int32 fragment, const SfMissed *missed)
{
	Datum values[6] = {
	    Int32GetDatum(fragment),     TimestampTzGetDatum(missed->start), TimestampTzGetDatum(missed->end),
	    Int64GetDatum(missed->rows), TimestampTzGetDatum(missed->first), TimestampTzGetDatum(missed->last)};
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, values[0]);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ, values[1]);
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ, values[2]);
	scan = sf_catalog_scan_begin(catalog, "dirty_window_pkey", 3, keys, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (tuple == NULL)
		sf_catalog_insert(catalog, values, NULL);
	else
	{
		Datum old[6];
		bool nulls[6];

		heap_deform_tuple(tuple, RelationGetDescr(sf_catalog_table(catalog)), old, nulls);
		values[3] = Int64GetDatum(DatumGetInt64(old[3]) + missed->rows);
		values[4] = old[4];
		sf_catalog_update(catalog, tuple, values, NULL, NULL);
	}
	sf_catalog_scan_end(scan);
}

static void
write_missed(SfMember *member)
{
	SfCatalog *catalog;

	if (member->progress.nmissed == 0)
		return;
	catalog = sf_catalog_open("dirty_window", RowExclusiveLock);
	for (int i = 0; i < member->progress.nmissed; i++)
		write_missed_window(catalog, member->row.id, &member->progress.missed[i]);
	sf_catalog_close(catalog, NoLock);
}

/* Writes a fragment's row of streamfuse.progress; of one that is there, the columns that replace[] says (NULL: all). */
static void
put_progress(Datum *values, bool *nulls, bool *replace)
{
	SfCatalog *catalog = sf_catalog_open("progress", RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, values[SF_PROGRESS_FRAGMENT]);
	scan = sf_catalog_scan_begin(catalog, "progress_pkey", 1, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (tuple == NULL)
		sf_catalog_insert(catalog, values, nulls);
	else
		sf_catalog_update(catalog, tuple, values, nulls, replace);
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, NoLock);
}

static void
write_progress(SfMember *member, SfSpilled spilled)
{
	uint32 status = pg_atomic_read_u32(&member->shared->status);
	StringInfoData position;
	Datum values[SF_PROGRESS_NATTS] = {0};
	bool nulls[SF_PROGRESS_NATTS] = {0};

	member->commit_time = GetCurrentTimestamp();
	initStringInfo(&position);
	appendStringInfoSpaces(&position, VARHDRSZ);
	sf_member_save_position(member, &position);
	SET_VARSIZE(position.data, position.len);
	values[SF_PROGRESS_FRAGMENT] = Int32GetDatum(member->row.id);
	values[SF_PROGRESS_POSITION] = PointerGetDatum(position.data);
	values[SF_PROGRESS_WATERMARK] = TimestampTzGetDatum(sf_member_watermark(member));
	values[SF_PROGRESS_CLOSED_UNTIL] = TimestampTzGetDatum(
	    SF_BUG("closed-until-not-saved") ? SF_TIME_MINUS_INFINITY : member->progress.closed_until);
	values[SF_PROGRESS_LAST_CLOSED] = TimestampTzGetDatum(member->progress.last_closed);
	values[SF_PROGRESS_FORGOTTEN_BEFORE] = TimestampTzGetDatum(member->progress.forgotten_before == SF_LIFE_LEAST ||
	                                                                   SF_BUG("forgotten-not-saved")
	                                                               ? SF_TIME_MINUS_INFINITY
	                                                               : member->progress.forgotten_before);
	values[SF_PROGRESS_ROWS_IN] = Int64GetDatum(member->progress.counters.rows_in);
	values[SF_PROGRESS_ROWS_LATE] = Int64GetDatum(member->progress.counters.rows_late);
	values[SF_PROGRESS_ROWS_MISSED] = Int64GetDatum(member->progress.counters.rows_missed);
	values[SF_PROGRESS_ROWS_AHEAD] = Int64GetDatum(member->progress.counters.rows_ahead);
	values[SF_PROGRESS_ROWS_FAILED] = Int64GetDatum(member->progress.counters.rows_failed);
	values[SF_PROGRESS_BACKFILLED] = BoolGetDatum(member->backfilled);
	values[SF_PROGRESS_FAILED] = BoolGetDatum(status == SF_FRAGMENT_FAILED);
	values[SF_PROGRESS_ROWS_READ] = Int64GetDatum(member->progress.counters.rows_read);
	values[SF_PROGRESS_COMMITTED_AT] = TimestampTzGetDatum(member->commit_time);
	values[SF_PROGRESS_FAILED_AT] = TimestampTzGetDatum(member->shared->standing.failed_at);
	values[SF_PROGRESS_SPILLED_GROUPS] = Int64GetDatum(spilled.groups);
	values[SF_PROGRESS_SPILLED_BYTES] = Int64GetDatum(spilled.bytes);
	nulls[SF_PROGRESS_SQLSTATE] = nulls[SF_PROGRESS_ERROR] = nulls[SF_PROGRESS_FAILED_AT] = status !=
	                                                                                        SF_FRAGMENT_FAILED;
	values[SF_PROGRESS_SQLSTATE] = CStringGetTextDatum(member->shared->error_sqlstate);
	values[SF_PROGRESS_ERROR] = CStringGetTextDatum(member->shared->error_message);
	values[SF_PROGRESS_RESUMES] = Int32GetDatum((int32) member->row.resumes);

	put_progress(values, nulls, NULL);
}

/*
 * That a member has failed, and why; or that it has not.  Position and state stay as of its last commit, when both were
 * whole: what was done since is in memory only, and done again where the view goes on.
 */
static void
write_status(SfMember *member)
{
	bool failed = pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_FAILED;
	Datum values[SF_PROGRESS_NATTS] = {0};
	bool nulls[SF_PROGRESS_NATTS] = {0};
	bool replace[SF_PROGRESS_NATTS] = {0};

	values[SF_PROGRESS_FRAGMENT] = Int32GetDatum(member->row.id);
	nulls[SF_PROGRESS_POSITION] = true;
	values[SF_PROGRESS_SPILLED_GROUPS] = values[SF_PROGRESS_SPILLED_BYTES] = Int64GetDatum(0);
	values[SF_PROGRESS_WATERMARK] = values[SF_PROGRESS_CLOSED_UNTIL] = values[SF_PROGRESS_LAST_CLOSED] =
	    TimestampTzGetDatum(SF_TIME_MINUS_INFINITY);
	values[SF_PROGRESS_FORGOTTEN_BEFORE] = TimestampTzGetDatum(SF_TIME_MINUS_INFINITY);
	values[SF_PROGRESS_FAILED] = BoolGetDatum(failed);
	nulls[SF_PROGRESS_SQLSTATE] = nulls[SF_PROGRESS_ERROR] = !failed;
	values[SF_PROGRESS_SQLSTATE] = CStringGetTextDatum(member->shared->error_sqlstate);
	values[SF_PROGRESS_ERROR] = CStringGetTextDatum(member->shared->error_message);
	values[SF_PROGRESS_FAILED_AT] = TimestampTzGetDatum(member->shared->standing.failed_at);
	nulls[SF_PROGRESS_FAILED_AT] = !failed;
	nulls[SF_PROGRESS_COMMITTED_AT] = true;
	values[SF_PROGRESS_RESUMES] = Int32GetDatum((int32) member->row.resumes);
	replace[SF_PROGRESS_FAILED_AT] = replace[SF_PROGRESS_FAILED] = replace[SF_PROGRESS_SQLSTATE] =
	    replace[SF_PROGRESS_ERROR] = replace[SF_PROGRESS_RESUMES] = true;

	put_progress(values, nulls, replace);
}

static void
write_member(SfMember *member, void *arg)
{
	MemberCommit *commit = arg;

	if (commit->status_only)
	{
		write_status(member);
		return;
	}
	if (member->closed_since != 0)
	{
		SfOwnerScope scope;

		sf_owner_enter(member, true, &scope);
		write_closed(commit);
		sf_owner_leave(&scope);
	}
	SF_FAULT("commit-after-output");
	if (!SF_BUG("position-saved-without-state"))
		commit->windows = sf_checkpoint_write(member, commit->tick, commit->context);
	commit->spilled = sf_spill_write(member->spill, member->to_spill, commit->context);
	SF_FAULT("commit-after-state");
	write_missed(member);
	sf_error_rows_write(member->row.id, &member->progress, member->definition->timed);
	if (!(SF_BUG("state-saved-without-position") && member->committed != SF_TICK_NONE))
		write_progress(member, sf_spill_total(member->spill, commit->spilled));
}

/* Windows tagged by a transaction that did not commit are open for the next one. */
static void
untag_windows(MemberCommit *commit)
{
	SfMember *member = commit->member;

	if (member->store == NULL)
		return;
	for (int i = 0; i < sf_store_nwindows(member->store); i++)
	{
		SfWindow *window = sf_store_window_at(member->store, i);

		if (pg_atomic_read_u64(&window->closed_xid) == commit->xid)
			pg_atomic_write_u64(&window->closed_xid, 0);
	}
}

static bool
has_failed(const SfMember *member)
{
	return pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_FAILED;
}

/* Is there nothing in memory of a member that could be written? */
static bool
has_nothing(const SfMember *member)
{
	return member->flow == NULL || member->unstarted || sf_member_released(member);
}

/*
 * One member's share of the transaction, in a subtransaction: its failure is its own.  It goes on taking in rows, and
 * what it has closed stays in memory until this succeeds.
 */
static void
commit_member(SfWorker *worker, MemberCommit *commit)
{
	SfMember *member = commit->member;

	commit->status_only = sf_member_stopped(member) && (member->cannot_commit || has_nothing(member));
	commit->done = sf_member_guard(member, write_member, commit);
	if (commit->done)
		return;
	untag_windows(commit);
	/* Of one that has failed, what is refused now is not tried again. */
	if (has_failed(member) && !sf_error_may_pass(member->failure))
		member->cannot_commit = true;
	sf_member_trouble(worker, member, &member->commit_trouble);
	if (has_failed(member) && member->commit_trouble.attempts == 0)
		member->cannot_commit = true;
}

/* After the commit: what the worker remembers follows what is durable. */
static void
settle_member(SfWorker *worker, MemberCommit *commit)
{
	SfMember *member = commit->member;

	member->must_commit = false;
	sf_trouble_over(member, &member->commit_trouble);
	if (commit->status_only)
	{
		sf_member_release(worker, member);
		return;
	}
	sf_checkpoint_settle(member, commit->windows);
	sf_spill_settle(member->spill, commit->spilled);
	member->to_spill = 0;
	member->progress.nmissed = 0;
	sf_progress_cut_failed(&member->progress, 0, 0);
	member->closed_since = 0;
	member->dirty_since = 0;
	member->dirty_rows = 0;
	member->committed = commit->tick;
	sf_report_commit(member, member->commit_time);
	pg_atomic_write_u64(&member->shared->flush_committed, pg_atomic_read_u64(&member->shared->flush_counted));
	pg_atomic_write_u64(&member->shared->flush_checkpointed, pg_atomic_read_u64(&member->shared->flush_counted));
	if (sf_member_stopped(member))
		sf_member_release(worker, member);
}

/* Is every member that has something to make durable in this transaction? */
static bool
all_are_done(SfWorker *worker, List *commits)
{
	ListCell *cell;
	int waiting = 0;

	foreach (cell, worker->members)
		if (((SfMember *) lfirst(cell))->must_commit)
			waiting++;
	foreach (cell, commits)
	{
		MemberCommit *commit = lfirst(cell);

		if (commit->member->must_commit && commit->done)
			waiting--;
	}
	return waiting == 0;
}

/*
 * Punctuations that are part of what becomes durable need not be read again.  While a member that has taken them in has
 * to be left out, they stay: it would find them gone after a crash.  False: not yet.
 */
static bool
delete_punctuations(SfWorker *worker, List *commits)
{
	SfCatalog *catalog;
	ListCell *cell;

	if (worker->applied_punctuations == NIL)
		return true;
	if (!all_are_done(worker, commits))
		return false;
	catalog = sf_catalog_open("punctuation", RowExclusiveLock);
	foreach (cell, worker->applied_punctuations)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple tuple;

		ScanKeyInit(&key, 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(*(int64 *) lfirst(cell)));
		scan = sf_catalog_scan_begin(catalog, "punctuation_pkey", 1, &key, NULL);
		tuple = sf_catalog_scan_next(scan);
		if (tuple != NULL)
			sf_catalog_delete(catalog, tuple);
		sf_catalog_scan_end(scan);
	}
	sf_catalog_close(catalog, NoLock);
	return true;
}

/* Can this member be committed now, if it is to be?  Not while it waits to be tried again, or is being started. */
static bool
can_commit(const SfMember *member, TimestampTz now)
{
	return !sf_trouble_waits(&member->commit_trouble, now) && (sf_member_stopped(member) || !has_nothing(member));
}

/* Has somebody called checkpoint(), and this member has not done it yet? */
static bool
is_to_checkpoint(SfWorker *worker, SfMember *member)
{
	uint64 done = pg_atomic_read_u64(&member->shared->flush_checkpointed);

	return !sf_member_stopped(member) && done < pg_atomic_read_u64(&worker->dataflow->checkpoint_asked) &&
	       pg_atomic_read_u64(&member->shared->flush_counted) > done;
}

static bool
is_due(SfMember *member, TimestampTz now)
{
	if (sf_member_stopped(member))
		return member->must_commit;
	return member->must_commit || member->to_spill > 0 || member->free_places || member->closed_since != 0 ||
	       member->progress.nmissed > 0 || member->progress.nfailed > 0 ||
	       member->dirty_rows >= (uint64) sf_checkpoint_rows ||
	       (member->dirty_since != 0 &&
	        TimestampDifferenceExceeds(member->dirty_since, now, sf_checkpoint_interval_ms));
}

/* Does somebody wait in flush() for what this member has to commit? */
static bool
is_awaited(SfWorker *worker, SfMember *member)
{
	uint64 asked = pg_atomic_read_u64(&worker->dataflow->commit_asked);

	return !sf_member_stopped(member) && pg_atomic_read_u64(&member->shared->flush_committed) < asked &&
	       pg_atomic_read_u64(&member->shared->flush_counted) > pg_atomic_read_u64(&member->shared->flush_committed);
}

static bool
lock_member(SfMember *member)
{
	return ConditionalLockRelationOid(member->row.view, AccessShareLock) && get_rel_relkind(member->row.view) != '\0' &&
	       ConditionalLockRelationOid(member->row.output, RowExclusiveLock) &&
	       get_rel_relkind(member->row.output) != '\0';
}

/* Rows that wait take memory until they are in the output table. */
static bool
has_much_output(const SfMember *member)
{
	return member->closed_since != 0 && member->definition != NULL && member->definition->stateless &&
	       pg_atomic_read_u64(&member->shared->bytes) > (uint64) sf_state_memory_mb * 1024 * 1024 / 8;
}

/*
 * When must the next commit be?  True: now.  Else *wait_ms is lowered to the time until then.
 */
bool
sf_commit_due(SfWorker *worker, long *wait_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	bool due = false;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);
		TimestampTz since = member->closed_since != 0 ? member->closed_since : member->dirty_since;
		long interval = member->closed_since != 0 ? sf_commit_interval_ms : sf_checkpoint_interval_ms;

		if (!can_commit(member, now))
			continue;
		if (member->must_commit || is_awaited(worker, member) || is_to_checkpoint(worker, member))
			due = true;
		else if (sf_member_stopped(member))
			continue;
		else if (member->to_spill > 0 || member->free_places || member->dirty_rows >= (uint64) sf_checkpoint_rows ||
		         member->progress.nfailed > MANY_FAILED_ROWS || has_much_output(member))
			due = true;
		else if (since != 0)
		{
			long left = interval - TimestampDifferenceMilliseconds(since, now);

			if (left <= 0)
				due = true;
			else
				*wait_ms = *wait_ms < 0 ? left : Min(*wait_ms, left);
		}
	}
	return due;
}

/* Nothing that flush() promises is left to commit. */
static void
note_nothing_due(SfMember *member)
{
	uint64 counted = pg_atomic_read_u64(&member->shared->flush_counted);

	if (sf_member_stopped(member))
		return;
	pg_atomic_write_u64(&member->shared->flush_committed, counted);
	if (member->dirty_since == 0)
		pg_atomic_write_u64(&member->shared->flush_checkpointed, counted);
}

static List *
choose_members(SfWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	List *commits = NIL;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);
		MemberCommit *commit;
		MemoryContext old;

		if (!can_commit(member, now))
			continue;
		if (!is_due(member, now) && !(member->dirty_since != 0 && is_to_checkpoint(worker, member)))
		{
			note_nothing_due(member);
			continue;
		}
		if (!lock_member(member))
			continue;
		old = MemoryContextSwitchTo(worker->commit_context);
		commit = palloc0(sizeof(MemberCommit));
		commit->member = member;
		commit->context = worker->commit_context;
		commit->tick = pg_atomic_read_u64(&worker->dataflow->published);
		commits = lappend(commits, commit);
		MemoryContextSwitchTo(old);
	}
	return commits;
}

/* Plans made while a view was read by running its query are made again. */
static void
invalidate_plans(List *commits)
{
	ListCell *cell;

	foreach (cell, commits)
	{
		MemberCommit *commit = lfirst(cell);

		if (commit->member->must_commit)
			CacheInvalidateRelcacheByRelid(commit->member->row.view);
	}
}

/* Readers that pin while this becomes visible must see all of it or nothing (read/pin.h). */
static bool
changes_spilled(List *commits)
{
	ListCell *cell;

	foreach (cell, commits)
	{
		MemberCommit *commit = lfirst(cell);

		if (commit->done && sf_spill_wrote(commit->spilled))
			return true;
	}
	return false;
}

/* Everything up to and with the commit; an error leaves nothing behind.  True when punctuations taken in are deleted. */
static bool
write_transaction(SfWorker *worker, List *commits)
{
	volatile bool deleted = false;
	volatile bool spills = false;
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionId());
	ListCell *cell;

	PG_TRY();
	{
		foreach (cell, commits)
		{
			MemberCommit *commit = lfirst(cell);

			commit->xid = xid;
			commit_member(worker, commit);
		}
		deleted = delete_punctuations(worker, commits);
		invalidate_plans(commits);
		PopActiveSnapshot();
		SF_FAULT("commit-before");
		spills = changes_spilled(commits);
		if (spills)
			pg_atomic_fetch_add_u64(&worker->dataflow->spill_commits, 1);
		CommitTransactionCommand();
		if (spills)
			pg_atomic_fetch_add_u64(&worker->dataflow->spill_commits, 1);
	}
	PG_CATCH();
	{
		if (spills)
			pg_atomic_fetch_add_u64(&worker->dataflow->spill_commits, 1);
		foreach (cell, commits)
			untag_windows(lfirst(cell));
		PG_RE_THROW();
	}
	PG_END_TRY();
	return deleted;
}

/*
 * What the worker remembers agrees with the tables again.  A worker that could not do this must not go on: it would write
 * the same a second time.  Its successor goes by what is in shared memory and in the tables.
 */
static void
settle(SfWorker *worker, List *commits, bool deleted)
{
	ListCell *cell;

	PG_TRY();
	{
		SF_FAULT("commit-after");
		foreach (cell, commits)
			if (((MemberCommit *) lfirst(cell))->done)
				settle_member(worker, lfirst(cell));
		if (deleted)
		{
			list_free_deep(worker->applied_punctuations);
			worker->applied_punctuations = NIL;
		}
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("streamfuse worker starts anew after an error behind a commit")));
	}
	PG_END_TRY();
}

/* Writes the members that are due, in a transaction of its own. */
void
sf_commit(SfWorker *worker)
{
	List *commits;
	bool deleted;

	MemoryContextReset(worker->commit_context);
	StartTransactionCommand();
	commits = choose_members(worker);
	if (commits == NIL)
		CommitTransactionCommand();
	else
	{
		sf_report_committing(((MemberCommit *) linitial(commits))->member, list_length(commits));
		PushActiveSnapshot(GetTransactionSnapshot());
		SF_FAULT("commit-begun");
		deleted = write_transaction(worker, commits);
		settle(worker, commits, deleted);
		pg_atomic_fetch_add_u64(&worker->dataflow->commits, 1);
	}
	ConditionVariableBroadcast(&worker->dataflow->progress);
}
