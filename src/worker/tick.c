/*
 * tick.c
 *		One tick: take in what a snapshot sees, all members of all sources together, and publish it with one store.
 *
 * The recipe, in this order (src/README.md explains why each step stands where it does):
 *	1. note the flush requests that this tick will cover;
 *	2. per source: lock the stream without waiting, copy the position, decide what is sealed;
 *	3. take the snapshot;
 *	4. per source: capture, batch, and feed each member in a subtransaction of its own;
 *	5. sources that took in all the snapshot sees meet: one watermark for them here, one scan once this is published;
 *	6. move watermarks, mark windows that end at or before them as closed;
 *	7. put each member's progress into shared memory beside the published one;
 *	8. publish: one store of the tick number;
 *	9. bookkeeping that cannot fail; then reclaim what no pin needs.
 * An error of one member in 4, 6 or 7 undoes that member, which is tried again later (retry.c); any other error undoes the
 * tick for all.
 */
#include "worker/dataflow.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "read/pin.h"

/* Is it this member's turn: neither stopped, nor to be started anew, nor waiting to be tried again? */
static bool
has_turn(const SfWorker *worker, const SfMember *member)
{
	return !sf_member_stopped(member) && !member->unstarted &&
	       !sf_trouble_waits(&member->tick_trouble, worker->tick_time);
}

/* One that could not be compiled yet takes no rows, and has a source of its own. */
static bool
takes_rows(const SfWorker *worker, const SfMember *member)
{
	return has_turn(worker, member) && member->flow != NULL;
}

static bool
feeds_anybody(const SfWorker *worker, const SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (takes_rows(worker, lfirst(cell)))
			return true;
	return false;
}

static void
compile_step(SfMember *member, void *arg)
{
	sf_member_compile(member);
}

/*
 * Members whose definitions may have changed are compiled again before anything of the tick is done.  One whose view is
 * locked goes on as it is; without ever having been compiled it leaves its source, to come back when it can.
 */
static void
compile_stale(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, list_copy(worker->members))
	{
		SfMember *member = lfirst(cell);

		if ((!member->stale && member->flow != NULL) || !has_turn(worker, member))
			continue;
		if (!sf_member_lock(&member->row))
		{
			if (member->flow == NULL)
				sf_member_detach(worker, member);
			continue;
		}
		if (!sf_member_guard(member, compile_step, NULL))
			sf_member_trouble(worker, member, &member->tick_trouble);
		else
			/* Batches may need other columns now. */
			sf_member_forget_batches(member);
	}
}

/* Members begin the tick with the first of their scans; one that is undone before the next takes no more of it. */
static void
begin_members(SfWorker *worker, SfSource *source, SfTick tick)
{
	ListCell *cell;

	foreach (cell, source->members)
	{
		SfMember *member = lfirst(cell);

		if (member->begun || member->failure != NULL || !takes_rows(worker, member))
			continue;
		/* Until it has caught up, a restored view meets rows that the windows in its output have counted. */
		member->progress.adopted_until = member->adopting ? member->row.adopted_until : SF_TIME_MINUS_INFINITY;
		member->compared = false;
		sf_store_begin(member->store, tick);
		sf_flow_begin(member->flow, worker->tick_time);
		member->begun = member->in_tick = true;
		/* May raise: it is undone like one whose rows do. */
		sf_spill_remove(member->spill);
	}
}

/*
 * Sources of the same stream that both took in everything are one from here on; but members change over only when the
 * tick is published, since one that is undone goes back to where its own source was.
 */
static void
meet_sources(SfWorker *worker)
{
	ListCell *cell;
	ListCell *other;

	foreach (cell, worker->sources)
	{
		SfSource *from = lfirst(cell);

		from->meets = NULL;
		/* One that must wait for a commit keeps nobody else waiting. */
		if (from->skipped || sf_source_awaits_commit(from) || (!from->complete && !SF_BUG("merged-source-skips-rows")))
			continue;
		foreach (other, worker->sources)
		{
			SfSource *into = lfirst(other);

			if (into == from)
				break;
			if (into->stream != from->stream || into->skipped || !into->complete || into->meets != NULL ||
			    sf_source_awaits_commit(into) || !sf_source_same_rows(into, from))
				continue;
			SF_FAULT("merge-before");
			sf_source_meet(into, from);
			break;
		}
	}
	foreach (cell, worker->sources)
		sf_source_follow(lfirst(cell));
}

/* After the tick is published. */
static void
join_sources(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, list_copy(worker->sources))
	{
		SfSource *from = lfirst(cell);

		if (from->meets != NULL && !from->skipped && !from->meets->skipped)
			sf_source_join(worker, from);
	}
}

typedef struct CloseStep
{
	SfTick tick;
	StringInfo position;
} CloseStep;

/*
 * Windows that end at or before the watermark are closed by this tick; their groups do not change any more.  As the
 * owner, whose functions make windows out of panes.
 */
static void
close_windows(SfMember *member, SfTick tick, SfTime until)
{
	SfOwnerScope scope;
	int closed;

	sf_owner_enter(member, member->definition->layout->in_panes && sf_flow_needs_settings(member->flow), &scope);
	XactReadOnly = true;
	closed = sf_closer_close(member->closer, tick, until);
	sf_owner_leave(&scope);
	if (closed > 0 && member->closed_since == 0)
		member->closed_since = GetCurrentTimestamp();
}

/* Rows that cannot change are closed as they come, whatever the watermark. */
static void
note_rows(SfMember *member)
{
	if (sf_flow_has_output(member->flow) && member->closed_since == 0)
		member->closed_since = GetCurrentTimestamp();
}

/* After a reset windows that were passed over without a row are open again. */
static void
move_windows(SfMember *member, SfTick tick)
{
	SfTime watermark = sf_member_watermark(member);

	/* Restored sessions are closed, however far the watermark has come. */
	if (member->definition->session != NULL && member->adopting && member->compared)
		watermark = Max(watermark, member->progress.adopted_until);
	if (sf_member_was_reset(member))
		sf_closer_reopen(member->closer);
	/* Without a window nothing closes, however far time gets. */
	if (!sf_is_windowless(member->definition) &&
	    (watermark > member->progress.closed_until || SF_BUG("watermark-moved-within-tick")))
		close_windows(member, tick, watermark);
	sf_closer_finish(member->closer);
}

/* What is gone from memory is to be gone from the state table, too: only then its place is given back. */
static void
forget_groups(SfMember *member)
{
	int removed = sf_flow_forget(member->flow, sf_member_watermark(member), member->state_ttl,
	                             sf_member_tick_rows(member));

	if (removed > 0 && member->dirty_since == 0)
		member->dirty_since = GetCurrentTimestamp();
}

static void
finish_member(SfMember *member, void *arg)
{
	CloseStep *step = arg;

	sf_flow_finish(member->flow);
	if (member->definition->stateless)
		note_rows(member);
	else
	{
		move_windows(member, step->tick);
		forget_groups(member);
	}
	SF_FAULT("close-marked");
	sf_progress_prepare(sf_store_blobs(member->store), step->tick, &member->progress, step->position);
	SF_FAULT("progress-put");
}

/* Once all watermarks have been moved. */
static void
finish_members(SfWorker *worker, SfTick tick)
{
	StringInfoData position;
	CloseStep step = {tick, &position};
	ListCell *cell;

	initStringInfo(&position);
	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (!member->in_tick)
			continue;
		resetStringInfo(&position);
		sf_member_save_position(member, &position);
		if ((member->adopting && sf_member_is_complete(member) && !sf_member_check_adopted(member)) ||
		    !sf_member_guard(member, finish_member, &step))
		{
			sf_source_undo_member(member);
			sf_progress_unprepare(member->shared, tick);
		}
	}
	pfree(position.data);
}

static bool
has_member_in_tick(SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (((SfMember *) lfirst(cell))->in_tick)
			return true;
	return false;
}

/*
 * The members that went wrong are left to be tried again.  A scan whose members all did goes back to where the tick
 * began: a member is never left at a position beyond its state.
 */
static void
leave_out_broken(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, list_copy(worker->members))
	{
		SfMember *member = lfirst(cell);

		if (member->failure != NULL)
			sf_member_trouble(worker, member, &member->tick_trouble);
	}
	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		if (source->skipped || has_member_in_tick(source))
			continue;
		sf_source_rollback(source);
		source->skipped = true;
	}
}

static void
note_change(SfMember *member, uint64 rows)
{
	if (rows == 0)
		return;
	if (member->dirty_since == 0)
		member->dirty_since = GetCurrentTimestamp();
	member->dirty_rows += rows;
}

static void
export_figures(SfMember *member)
{
	SfFragment *shared = member->shared;

	pg_atomic_write_u64(&shared->rows_in, member->progress.counters.rows_in);
	pg_atomic_write_u64(&shared->rows_late, member->progress.counters.rows_late);
	pg_atomic_write_u64(&shared->rows_missed, member->progress.counters.rows_missed);
	pg_atomic_write_u64(&shared->rows_ahead, member->progress.counters.rows_ahead);
	pg_atomic_write_u64(&shared->rows_read, member->progress.counters.rows_read);
	pg_atomic_write_u64(&shared->rows_failed, member->progress.counters.rows_failed);
}

/* After the tick is published: nothing here can fail. */
static void
settle_member(SfWorker *worker, SfMember *member, uint64 flush_number)
{
	SfFragment *shared = member->shared;
	uint32 status = pg_atomic_read_u32(&shared->status);

	sf_store_publish(member->store);
	member->in_tick = false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->watermark = sf_member_watermark(member);
	shared->closed_until = member->progress.closed_until;
	shared->forgotten_before = member->progress.forgotten_before;
	shared->next_end = sf_closer_next_end(member->closer);
	LWLockRelease(&shared->lock);
	export_figures(member);
	sf_trouble_over(member, &member->tick_trouble);
	note_change(member, sf_member_tick_rows(member));
	member->adopting = member->adopting && !member->compared;
	if (sf_member_is_complete(member) && !member->adopting)
	{
		if (status != SF_FRAGMENT_RUNNING)
			sf_member_set_status(worker, member, SF_FRAGMENT_RUNNING);
		pg_atomic_write_u64(&shared->flush_counted, flush_number);
	}
	else if (status == SF_FRAGMENT_STARTING)
		sf_member_set_status(worker, member, SF_FRAGMENT_BACKFILLING);
}

/* True: it has begun to await transactions. */
static bool
publish(SfWorker *worker, SfTick tick, uint64 flush_number)
{
	ListCell *cell;
	bool pending = false;
	bool awaits;
	uint64 oldest;

	pg_write_barrier();
	pg_atomic_write_u64(&worker->dataflow->published, tick);
	pg_memory_barrier();
	SF_FAULT("publish-stored");

	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		if (!source->skipped)
			sf_source_publish(source);
		if (feeds_anybody(worker, source) && sf_source_awaited(source, &oldest) > 0)
			pending = true;
	}
	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (member->in_tick)
			settle_member(worker, member, flush_number);
		sf_report_member(worker, member);
	}
	awaits = pg_atomic_exchange_u32(&worker->dataflow->has_pending, pending) == 0 && pending;
	pg_atomic_fetch_add_u64(&worker->dataflow->ticks, 1);
	ConditionVariableBroadcast(&worker->dataflow->progress);
	return awaits;
}

/*
 * A transaction that ended between the tick's snapshot and the store of has_pending found nothing that told it to wake
 * us.  One that still runs here will find it.
 */
static void
look_for_ended(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->sources)
		if (sf_source_awaits_ended(lfirst(cell)))
			pg_atomic_write_u32(&worker->dataflow->woken, 1);
}

/* Memory that no reader can need any more. */
static void
reclaim(SfWorker *worker)
{
	SfTick tick;
	uint64 xmin;
	ListCell *cell;

	sf_pin_horizon(MyDatabaseId, &tick, &xmin);
	tick = Min(tick, pg_atomic_read_u64(&worker->dataflow->published));
	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		sf_member_reclaim(member, tick);
		if (member->store == NULL)
			continue;
		if (pg_atomic_read_u64(&member->shared->undo_bytes) + sf_store_held_bytes(member->store) >
		    (uint64) sf_reader_memory_mb * 1024 * 1024)
		{
			sf_pin_expire(MyDatabaseId, pg_atomic_read_u64(&worker->dataflow->published));
			sf_store_reclaim(member->store, pg_atomic_read_u64(&worker->dataflow->published), xmin);
		}
		else
			sf_store_reclaim(member->store, tick, xmin);
	}
}

static void
rollback_members(SfWorker *worker, SfTick tick)
{
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		sf_progress_unprepare(member->shared, tick);
		sf_source_undo_member(member);
	}
	foreach (cell, worker->sources)
		sf_source_rollback(lfirst(cell));
}

/* Punctuations that an undone tick had taken in are to be taken in again, and not to be deleted before. */
static void
forget_punctuations(SfWorker *worker, int kept)
{
	while (list_length(worker->applied_punctuations) > kept)
	{
		pfree(llast(worker->applied_punctuations));
		worker->applied_punctuations = list_delete_last(worker->applied_punctuations);
	}
}

/* What is wrong with a stream itself is the trouble of all views that read it by this scan, and no other. */
static void
blame_members(SfWorker *worker, SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (takes_rows(worker, lfirst(cell)))
			sf_member_note_error(lfirst(cell), false);
}

/* What the steps on a source are given. */
typedef struct TickStep
{
	SfWorker *worker;
	SfTick tick;
	Snapshot snapshot;
} TickStep;

/*
 * A step of the tick for one source, in a subtransaction around those of its members.  An error that may pass is that of
 * the whole tick, unless the scan serves one view only.
 */
static void
guard_source(SfSource *source, void (*step)(SfSource *source, TickStep *tick), TickStep *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(source, arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool passes;
		ListCell *cell;

		MemoryContextSwitchTo(context);
		source->stale = true;
		error = CopyErrorData();
		passes = sf_error_may_pass(error) && list_length(source->members) > 1;
		if (!passes)
			blame_members(arg->worker, source);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (passes)
			ReThrowError(error);
		foreach (cell, source->members)
			sf_source_undo_member(lfirst(cell));
		sf_source_rollback(source);
		source->skipped = true;
	}
	PG_END_TRY();
}

static void
start_source(SfSource *source, TickStep *arg)
{
	if (!sf_source_lock(source))
		return;
	SF_FAULT("seal-before");
	sf_source_seal(source);
	sf_source_look_for_reset(arg->worker, source);
	source->skipped = false;
}

static void
scan_source(SfSource *source, TickStep *arg)
{
	begin_members(arg->worker, source, arg->tick);
	sf_source_scan(arg->worker, source, arg->snapshot);
}

/* Steps 2 to 7, in a transaction.  Returns the number of rows taken in. */
static uint64
run_tick(SfWorker *worker, SfTick tick, uint64 flush_number)
{
	TickStep step = {worker, tick, NULL};
	uint64 rows = 0;
	ListCell *cell;

	foreach (cell, worker->members)
		((SfMember *) lfirst(cell))->begun = false;
	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		source->skipped = true;
		source->complete = false;
		source->rows = 0;
		source->reset = false;
		if (feeds_anybody(worker, source))
			guard_source(source, start_source, &step);
	}
	SF_FAULT("tick-before-snapshot");
	PushActiveSnapshot(GetLatestSnapshot());
	step.snapshot = GetActiveSnapshot();
	SF_FAULT("tick-after-snapshot");

	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		if (source->skipped)
			continue;
		guard_source(source, scan_source, &step);
		rows += source->rows;
	}
	leave_out_broken(worker);
	meet_sources(worker);
	SF_FAULT("tick-before-close");
	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		if (source->skipped)
			continue;
		sf_source_advance(worker, source, step.snapshot);
		sf_source_flatten(source);
	}
	finish_members(worker, tick);
	leave_out_broken(worker);
	PopActiveSnapshot();
	SF_FAULT("tick-before-publish");
	return rows;
}

/* Is there a source that has more to take in without anything new being committed? */
static bool
has_backlog(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);

		if (feeds_anybody(worker, source) && !source->skipped && !source->complete)
			return true;
	}
	return false;
}

static bool
has_skipped(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->sources)
		if (feeds_anybody(worker, lfirst(cell)) && ((SfSource *) lfirst(cell))->skipped)
			return true;
	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (has_turn(worker, member) && (member->flow == NULL || (member->adopting && sf_member_is_complete(member))))
			return true;
	}
	return false;
}

/* Is a member to be tried again that has yet to see what the others have seen? */
static bool
has_retry(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->members)
		if (((SfMember *) lfirst(cell))->tick_trouble.retry_at != 0)
			return true;
	return false;
}

/* Errors of a tick that was undone as a whole: if they are not gone they are raised again. */
static void
forget_failures(SfWorker *worker)
{
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (member->failure != NULL)
			sf_member_forget_error(member);
	}
}

bool
sf_tick(SfWorker *worker)
{
	SfTick tick = pg_atomic_read_u64(&worker->dataflow->published) + 1;
	uint64 flush_number = pg_atomic_read_u64(&worker->dataflow->flush_asked);
	int applied = list_length(worker->applied_punctuations);
	volatile uint64 rows = 0;
	bool awaits;

	pg_memory_barrier();
	worker->tick_time = GetCurrentTimestamp();
	forget_failures(worker);
	StartTransactionCommand();
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		compile_stale(worker);
		PopActiveSnapshot();
		rows = run_tick(worker, tick, flush_number);
	}
	PG_CATCH();
	{
		rollback_members(worker, tick);
		forget_punctuations(worker, applied);
		PG_RE_THROW();
	}
	PG_END_TRY();
	HOLD_INTERRUPTS();
	awaits = publish(worker, tick, flush_number);
	worker->skipped_source = has_skipped(worker);
	worker->punctuations = worker->punctuations && (has_backlog(worker) || worker->skipped_source || has_retry(worker));
	RESUME_INTERRUPTS();
	SF_FAULT("tick-after-publish");
	if (awaits)
		look_for_ended(worker);
	join_sources(worker);
	reclaim(worker);
	sf_report_tick_rows(worker, rows);
	sf_report_fillings(worker);
	CommitTransactionCommand();
	return has_backlog(worker);
}
