/*
 * recover.c
 *		Brings the worker's members in line with the catalogs, and their state back from where it was kept.
 *
 * A fragment's state is found in one of three places.  In shared memory, when a former worker of this server run left
 * it: what its last tick left unpublished is undone, and the work goes on from the published progress.  In the tables,
 * after a restart of the server: progress and state as of the last durable commit, from which the rows since are
 * counted again.  Nowhere, for a new view: it starts with nothing counted.
 *
 * A fragment has a source for each stream that it reads.  Fragments that have counted the same rows of a stream share
 * one; others have their own scan until they meet.  One that cannot be started, or is stopped, has its own in any case:
 * it keeps its position.
 *
 * pause() and resume() are rows of streamfuse.fragment, which each reconciliation follows.  A view that is resumed is
 * started like one that a former worker left: from memory as long as its groups are there, else from the tables.
 */
#include "worker/dataflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "output/commit.h"
#include "state/catalog.h"
#include "stream/stream.h"

/* What streamfuse.progress says of a fragment. */
typedef struct SavedProgress
{
	bool found;    /* false: nothing is saved */
	List *sources; /* SfSourceState *, of each stream */
	bool backfilled;
	bool failed;              /* and not resumed since */
	TimestampTz committed_at; /* 0: never */
	TimestampTz failed_at;
	SfSpilled spilled;
} SavedProgress;

static void
show_saved_error(SfFragment *shared, const char *sqlstate, const char *message)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	strlcpy(shared->error_sqlstate, sqlstate, sizeof(shared->error_sqlstate));
	strlcpy(shared->error_message, message, sizeof(shared->error_message));
	LWLockRelease(&shared->lock);
}

static void
read_saved_progress(SfMember *member, SavedProgress *saved)
{
	SfCatalog *catalog = sf_catalog_open("progress", AccessShareLock);
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	memset(saved, 0, sizeof(*saved));
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(member->row.id));
	scan = sf_catalog_scan_begin(catalog, "progress_pkey", 1, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (tuple != NULL)
	{
		Datum values[SF_PROGRESS_NATTS];
		bool nulls[SF_PROGRESS_NATTS];

		heap_deform_tuple(tuple, desc, values, nulls);
		if (!nulls[SF_PROGRESS_POSITION])
		{
			bytea *flat = DatumGetByteaPP(values[SF_PROGRESS_POSITION]);

			saved->found = true;
			saved->sources = sf_position_set_load(CurrentMemoryContext, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat));
		}
		member->progress.closed_until = DatumGetTimestampTz(values[SF_PROGRESS_CLOSED_UNTIL]);
		member->progress.last_closed = DatumGetTimestampTz(values[SF_PROGRESS_LAST_CLOSED]);
		member->progress.forgotten_before = Max(DatumGetTimestampTz(values[SF_PROGRESS_FORGOTTEN_BEFORE]),
		                                        SF_LIFE_LEAST);
		member->progress.counters.rows_in = DatumGetInt64(values[SF_PROGRESS_ROWS_IN]);
		member->progress.counters.rows_late = DatumGetInt64(values[SF_PROGRESS_ROWS_LATE]);
		member->progress.counters.rows_missed = DatumGetInt64(values[SF_PROGRESS_ROWS_MISSED]);
		member->progress.counters.rows_ahead = DatumGetInt64(values[SF_PROGRESS_ROWS_AHEAD]);
		member->progress.counters.rows_read = DatumGetInt64(values[SF_PROGRESS_ROWS_READ]);
		saved->committed_at = nulls[SF_PROGRESS_COMMITTED_AT] ? 0
		                                                      : DatumGetTimestampTz(values[SF_PROGRESS_COMMITTED_AT]);
		saved->failed_at = nulls[SF_PROGRESS_FAILED_AT] ? 0 : DatumGetTimestampTz(values[SF_PROGRESS_FAILED_AT]);
		member->progress.counters.rows_failed = DatumGetInt64(values[SF_PROGRESS_ROWS_FAILED]);
		saved->spilled = (SfSpilled){DatumGetInt64(values[SF_PROGRESS_SPILLED_GROUPS]),
		                             DatumGetInt64(values[SF_PROGRESS_SPILLED_BYTES])};
		saved->backfilled = DatumGetBool(values[SF_PROGRESS_BACKFILLED]);
		saved->failed = DatumGetBool(values[SF_PROGRESS_FAILED]) &&
		                (uint32) DatumGetInt32(values[SF_PROGRESS_RESUMES]) == member->row.resumes;
		if (saved->failed)
			show_saved_error(member->shared, TextDatumGetCString(values[SF_PROGRESS_SQLSTATE]),
			                 TextDatumGetCString(values[SF_PROGRESS_ERROR]));
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
}

/* One row of streamfuse.state: groups of a window. */
static void
load_state_row(SfMember *member, Datum *values)
{
	SfWindow *window = sf_store_window(member->store, DatumGetTimestampTz(values[SF_STATE_WINDOW_START]),
	                                   DatumGetTimestampTz(values[SF_STATE_WINDOW_END]));
	bytea *payload = DatumGetByteaPP(values[SF_STATE_PAYLOAD]);
	const char *data = VARDATA_ANY(payload);
	const char *end = data + VARSIZE_ANY_EXHDR(payload);

	sf_state_check_version(&data, end);
	while (data < end)
		sf_store_load_group(member->store, window, &data, end);
	window->saved.next_seq = DatumGetInt32(values[SF_STATE_SEQ]) + 1;
	window->saved.bytes += VARSIZE_ANY_EXHDR(payload);
}

/* Groups of open windows as of the last checkpoint, as one tick of the store. */
static void
load_state(SfMember *member, SfTick tick)
{
	SfCatalog *catalog = sf_catalog_open("state", AccessShareLock);
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "streamfuse load", ALLOCSET_DEFAULT_SIZES);
	ScanKeyData key;
	Relation index = index_open(sf_catalog_relation("state_pkey"), AccessShareLock);
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(member->row.id));
	/* Later rows of a window override earlier ones, so the order of the index matters. */
	scan = systable_beginscan_ordered(sf_catalog_table(catalog), index, GetActiveSnapshot(), 1, &key);
	sf_store_begin(member->store, tick);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		Datum values[SF_STATE_NATTS];
		bool nulls[SF_STATE_NATTS];
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(row_context);
		heap_deform_tuple(tuple, desc, values, nulls);
		load_state_row(member, values);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	sf_catalog_close(catalog, AccessShareLock);
	sf_closer_finish(member->closer);
	if (member->definition->layout->groups_leave)
		sf_store_forget_before(member->store, member->progress.forgotten_before);
	for (int i = 0; i < sf_store_nwindows(member->store); i++)
		sf_store_window_at(member->store, i)->saved.tick = tick;
	MemoryContextDelete(row_context);
}

/* From the tables, or from nothing.  The groups become visible when `tick` is published. */
static List *
recover_from_tables(SfWorker *worker, SfMember *member, SfTick tick)
{
	SfFragment *shared = member->shared;
	SfFragmentStatus status = SF_FRAGMENT_STARTING;
	SavedProgress saved;

	sf_store_reset(member->store);
	read_saved_progress(member, &saved);
	member->progress.nmissed = 0;
	sf_progress_cut_failed(&member->progress, 0, 0);
	shared->forgotten_before = member->progress.forgotten_before;
	/* What session a restored row is in depends on its neighbours: all come in again, and what was closed is left out. */
	if (!saved.found && member->definition->session == NULL)
		member->progress.closed_until = member->progress.last_closed = member->row.adopted_until;
	member->backfilled = saved.backfilled;
	member->filling = saved.backfilled ? SF_FILLING_DONE : SF_FILLING_NOT_BEGUN;
	sf_report_recovered(member, saved.committed_at, saved.failed_at);
	if (saved.failed)
		status = SF_FRAGMENT_FAILED;
	else if (member->row.paused)
		status = SF_FRAGMENT_PAUSED;
	else if (saved.found)
	{
		status = SF_FRAGMENT_BACKFILLING;
		load_state(member, tick);
		sf_spill_load(member->spill, &saved.spilled, tick);
		SF_FAULT("recover-loaded");
		sf_store_publish(member->store);
	}
	/* Running, but not before its groups are published: a reader would find none. */
	member->recovered = saved.backfilled && status == SF_FRAGMENT_BACKFILLING;
	pg_atomic_write_u64(&shared->memory_from, tick);
	pg_write_barrier();
	pg_atomic_write_u64(&shared->memory_until,
	                    status == SF_FRAGMENT_FAILED || status == SF_FRAGMENT_PAUSED ? SF_TICK_NONE : SF_TICK_MAX);
	pg_atomic_write_u32(&shared->status, status);
	return saved.sources;
}

/*
 * The former worker may have died after a commit and before it took note: sequence numbers follow what the table holds,
 * and missed and failed rows that are already there are not counted twice.
 */
static void
settle_with_tables(SfMember *member, SfTick published)
{
	SfCounters counters = member->progress.counters;
	SfTime closed_until = member->progress.closed_until;
	SfTime last_closed = member->progress.last_closed;
	SfTime forgotten_before = member->progress.forgotten_before;
	SavedProgress saved;
	SfCatalog *catalog;
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;

	/* Of a view that has never been committed, nothing is there. */
	memset(&member->progress.counters, 0, sizeof(member->progress.counters));
	read_saved_progress(member, &saved);
	member->backfilled = saved.backfilled || pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_RUNNING;
	if (member->progress.counters.rows_missed == counters.rows_missed)
		member->progress.nmissed = 0;
	if (member->progress.counters.rows_failed == counters.rows_failed)
		sf_progress_cut_failed(&member->progress, 0, 0);
	member->progress.counters = counters;
	member->progress.closed_until = closed_until;
	member->progress.last_closed = last_closed;
	member->progress.forgotten_before = forgotten_before;

	catalog = sf_catalog_open("state", AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(member->row.id));
	scan = sf_catalog_scan_begin(catalog, "state_pkey", 1, &key, NULL);
	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
		bool isnull;
		SfTime start = DatumGetTimestampTz(heap_getattr(tuple, SF_STATE_WINDOW_START + 1, desc, &isnull));
		uint32 seq = DatumGetInt32(heap_getattr(tuple, SF_STATE_SEQ + 1, desc, &isnull));
		SfWindow *window = sf_store_find_window(member->store, start);

		if (window != NULL)
			window->saved.next_seq = Max(window->saved.next_seq, seq + 1);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	sf_spill_load(member->spill, &saved.spilled, published + 1);
}

/* Of a fragment found in memory: failed unless it was resumed since; paused when the catalog says so. */
static void
settle_status(SfMember *member)
{
	SfFragment *shared = member->shared;
	uint32 status = pg_atomic_read_u32(&shared->status);

	if (status == SF_FRAGMENT_FAILED && pg_atomic_read_u32(&shared->resumes) == member->row.resumes)
		return;
	if (member->row.paused)
		status = SF_FRAGMENT_PAUSED;
	else if (status == SF_FRAGMENT_FAILED || status == SF_FRAGMENT_PAUSED)
		status = member->backfilled ? SF_FRAGMENT_RUNNING : SF_FRAGMENT_BACKFILLING;
	pg_atomic_write_u32(&shared->status, status);
}

/* From shared memory, where a former worker left it; NIL when it never published anything. */
static List *
take_over(SfWorker *worker, SfMember *member)
{
	SfTick published = pg_atomic_read_u64(&worker->dataflow->published);
	List *sources = NIL;

	if (!SF_BUG("torn-publish"))
		sf_progress_unprepare(member->shared, published + 1);
	sf_store_take_over(member->store, published);
	SF_FAULT("recover-taken-over");
	if (!sf_progress_read(member->shared, published + SF_BUG("torn-publish"), member->context, &member->progress,
	                      &sources))
		return NIL;
	settle_with_tables(member, published);
	settle_status(member);
	member->dirty_since = member->closed_since = GetCurrentTimestamp();
	member->must_commit = true;
	return sources;
}

/* Does a member keep its position here, while others go on? */
static bool
is_held_back(SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
	{
		SfMember *member = lfirst(cell);

		if (sf_member_stopped(member) || member->unstarted || member->tick_trouble.retry_at != 0)
			return true;
	}
	return false;
}

/* Finds the source of a stream that stands exactly where this state does, or makes one. */
static SfSource *
source_at(SfWorker *worker, Oid stream, SfSourceState *state)
{
	StringInfoData wanted;
	ListCell *cell;

	initStringInfo(&wanted);
	if (state != NULL)
		sf_source_state_save(state, &wanted);
	foreach (cell, worker->sources)
	{
		SfSource *source = lfirst(cell);
		StringInfoData have;

		if (source->stream != stream || is_held_back(source))
			continue;
		if (state == NULL && source->state->positions == NIL && source->catch_up == NULL)
			return source;
		if (state == NULL)
			continue;
		initStringInfo(&have);
		sf_source_state_save(source->state, &have);
		if (have.len == wanted.len && memcmp(have.data, wanted.data, have.len) == 0)
			return source;
	}
	return sf_source_create(worker, stream, state);
}

/* What the steps of starting a member are given, and what they find out. */
typedef struct StartStep
{
	SfWorker *worker;
	SfTick tick;
	List *states; /* SfSourceState *, of each stream; NIL: nothing is counted */
	bool stopped; /* failed or paused, with nothing in memory */
} StartStep;

static void
compile_step(SfMember *member, void *arg)
{
	sf_member_compile(member);
}

static bool
is_in_memory(SfMember *member)
{
	return member->taken_over && !sf_member_released(member);
}

/* Is it one that is not to be started at all?  Its definition may be what is wrong, so it is not even compiled. */
static void
look_step(SfMember *member, void *arg)
{
	StartStep *step = arg;
	SavedProgress saved;

	if (is_in_memory(member))
		return;
	read_saved_progress(member, &saved);
	step->stopped = saved.failed || member->row.paused;
	if (!step->stopped)
		return;
	step->states = saved.sources;
	pg_atomic_write_u64(&member->shared->memory_until, SF_TICK_NONE);
	pg_atomic_write_u32(&member->shared->status, saved.failed ? SF_FRAGMENT_FAILED : SF_FRAGMENT_PAUSED);
	sf_store_discard(member->shared);
}

static void
restore_step(SfMember *member, void *arg)
{
	StartStep *step = arg;

	SF_FAULT("recover-member");
	if (is_in_memory(member))
		step->states = take_over(step->worker, member);
	if (step->states == NIL)
		step->states = recover_from_tables(step->worker, member, step->tick);
}

/* Only the position, of one that cannot be started: nobody may take it for one that has counted nothing. */
static void
position_step(SfMember *member, void *arg)
{
	StartStep *step = arg;
	SavedProgress saved;

	if (is_in_memory(member) && sf_progress_read(member->shared, pg_atomic_read_u64(&step->worker->dataflow->published),
	                                             member->context, NULL, &step->states))
		return;
	read_saved_progress(member, &saved);
	step->states = saved.sources;
}

/*
 * State that cannot be used, because the view fails to compile or what was kept is damaged.  What a former worker left
 * unpublished must be gone in any case, or the next tick would publish it.  What is dropped here is in the tables as of
 * the last commit, and so are readers and the next try sent there.
 */
static void
settle_broken(SfWorker *worker, SfMember *member, bool compiled)
{
	SfFragment *shared = member->shared;

	if (member->store != NULL && !compiled && is_in_memory(member))
		sf_store_take_over(member->store, pg_atomic_read_u64(&worker->dataflow->published));
	else
	{
		pg_atomic_write_u64(&shared->memory_until, SF_TICK_NONE);
		sf_progress_unprepare(shared, SF_TICK_NONE);
		if (member->store == NULL)
			sf_store_discard(shared);
		else
			sf_store_reset(member->store);
	}
	if (sf_member_stopped(member))
		pg_atomic_write_u32(&shared->status, SF_FRAGMENT_STARTING);
}

/*
 * Gives a member its scans, where its positions are.  One that is stopped, or cannot be started, keeps its positions, so
 * nobody shares its scans.
 */
static void
place(SfWorker *worker, SfMember *member, List *states, bool alone)
{
	if (states != NIL && list_length(states) != member->row.nstreams)
		elog(ERROR, "continuous view %u reads %d streams, its position is of %d", member->row.view,
		     member->row.nstreams, list_length(states));
	for (int i = 0; i < member->row.nstreams; i++)
	{
		Oid stream = member->row.streams[i];
		SfSourceState *state = states != NIL ? list_nth(states, i) : NULL;

		sf_source_add(alone ? sf_source_create(worker, stream, state) : source_at(worker, stream, state), member);
	}
}

/* It gets sources of its own, and is tried again. */
static void
place_broken(SfWorker *worker, SfMember *member, StartStep *step, bool compiled)
{
	member->unstarted = true;
	step->states = NIL;
	settle_broken(worker, member, compiled);
	(void) sf_member_guard(member, position_step, step);
	place(worker, member, step->states, true);
	sf_member_trouble(worker, member, &member->tick_trouble);
}

static void
place_member(SfWorker *worker, SfMember *member, StartStep *step)
{
	bool looked = sf_member_guard(member, look_step, step);
	bool compiled = looked && !step->stopped && sf_member_guard(member, compile_step, NULL);

	if (!(looked && step->stopped) && !(compiled && sf_member_guard(member, restore_step, step)))
		place_broken(worker, member, step, compiled);
	else
	{
		member->adopting = !member->backfilled && member->row.adopted_until != SF_TIME_MINUS_INFINITY;
		place(worker, member, step->states, sf_member_stopped(member));
		if (pg_atomic_read_u32(&member->shared->status) != SF_FRAGMENT_FAILED)
			sf_trouble_forget(member);
	}
	pg_write_barrier();
	pg_atomic_write_u32(&member->shared->resumes, member->row.resumes);
}

/* trouble: what there was with an earlier start of it. */
static void
start_member(SfWorker *worker, const SfFragmentRow *row, SfTick tick, const SfTrouble *trouble)
{
	SfMember *member = sf_member_create(worker, row);
	StartStep step = {worker, tick, NIL, false};

	member->tick_trouble = *trouble;
	PG_TRY();
	{
		place_member(worker, member, &step);
	}
	PG_CATCH();
	{
		sf_member_abandon(worker, member);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static SfMember *
find_member(SfWorker *worker, int32 id)
{
	ListCell *cell;

	foreach (cell, worker->members)
		if (((SfMember *) lfirst(cell))->row.id == id)
			return lfirst(cell);
	return NULL;
}

/* By view, too: where the extension was dropped and created again, numbers begin anew. */
static bool
row_exists(List *rows, int32 id, Oid view)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (row->id == id && row->view == view)
			return true;
	}
	return false;
}

/* Fragments in shared memory whose view was dropped while no worker ran. */
static void
drop_left_overs(SfWorker *worker, List *rows)
{
	dsa_pointer pointer = worker->dataflow->fragments;

	while (DsaPointerIsValid(pointer))
	{
		SfFragment *fragment = dsa_get_address(sf_area(), pointer);
		dsa_pointer next = fragment->next;

		if (!row_exists(rows, fragment->id, fragment->view))
		{
			SfFragmentRow row = {0};

			row.id = fragment->id;
			row.view = fragment->view;
			sf_member_destroy(worker, sf_member_create(worker, &row));
		}
		pointer = next;
	}
}

/* Floors that neither a view nor a position of ours needs.  All members have been started. */
static void
release_floors(SfWorker *worker)
{
	List *keep = NIL;
	ListCell *cell;
	ListCell *inner;

	foreach (cell, worker->sources)
		foreach (inner, ((SfSource *) lfirst(cell))->state->positions)
			keep = list_append_unique_oid(keep, sf_position_relid(lfirst(inner)));
	sf_stream_release_floors(keep);
}

/*
 * Starts a member anew: it was resumed, or could not be started before.  What its former self knew is in shared memory
 * or in the tables.
 */
static void
restart_member(SfWorker *worker, SfMember *member, const SfFragmentRow *row, SfTick tick)
{
	bool resumed = row->resumes != member->row.resumes;
	SfTrouble trouble = {0};

	if (!resumed)
		trouble = member->tick_trouble;
	sf_member_abandon(worker, member);
	start_member(worker, row, tick, &trouble);
}

/* Follows what the catalog says of a member that there is.  False: it is locked just now. */
static bool
follow_row(SfWorker *worker, SfMember *member, const SfFragmentRow *row, SfTick tick)
{
	bool resumed = row->resumes != member->row.resumes;
	bool stopped = sf_member_stopped(member);

	if ((resumed && !row->paused && (stopped || member->unstarted)) ||
	    (member->unstarted && !stopped && !sf_trouble_waits(&member->tick_trouble, GetCurrentTimestamp())))
	{
		if (!sf_member_lock(row))
			return false;
		restart_member(worker, member, row, tick);
		return true;
	}
	member->row = *row;
	if (resumed)
	{
		member->cannot_commit = false;
		if (!stopped)
			sf_trouble_forget(member);
	}
	if (row->paused && (!stopped || resumed))
	{
		sf_member_pause(worker, member);
		sf_trouble_forget(member);
	}
	pg_write_barrier();
	pg_atomic_write_u32(&member->shared->resumes, row->resumes);
	return true;
}

/* Members for exactly these rows.  False: some are locked just now. */
static bool
follow_rows(SfWorker *worker, List *rows, SfTick tick)
{
	const SfTrouble none = {0};
	bool complete = true;
	ListCell *cell;

	foreach (cell, list_copy(worker->members))
	{
		SfMember *member = lfirst(cell);

		if (!row_exists(rows, member->row.id, member->row.view))
			sf_member_destroy(worker, member);
	}
	drop_left_overs(worker, rows);
	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);
		SfMember *member = find_member(worker, row->id);

		/* Somebody is changing the view, or has just created it: locks are released after the commit that wakes us. */
		if (member != NULL)
			complete &= follow_row(worker, member, row, tick);
		else if (sf_member_lock(row))
			start_member(worker, row, tick, &none);
		else
			complete = false;
	}
	return complete;
}

/*
 * Brings the members in line with the catalog.  Runs in a transaction of its own; an error leaves it to be called again.
 */
void
sf_reconcile(SfWorker *worker)
{
	SfDataflow *dataflow = worker->dataflow;
	uint32 generation = pg_atomic_read_u32(&dataflow->catalog_generation);
	SfTick tick = pg_atomic_read_u64(&dataflow->published) + 1;
	bool complete;
	ListCell *cell;

	worker->catalog_generation = generation - 1;
	pg_memory_barrier();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	complete = follow_rows(worker, sf_fragment_rows(GetActiveSnapshot()), tick);
	if (complete)
		release_floors(worker);
	foreach (cell, worker->sources)
		((SfSource *) lfirst(cell))->stale = true;
	PopActiveSnapshot();
	sf_report_members(worker);
	CommitTransactionCommand();
	worker->punctuations = true;
	worker->catalog_generation = complete ? generation : generation - 1; /* not up to date: called again soon */
	SF_FAULT("recover-before-publish");
	pg_atomic_write_u64(&dataflow->published, tick);
	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (member->recovered)
			pg_atomic_write_u32(&member->shared->status, SF_FRAGMENT_RUNNING);
		member->recovered = false;
	}
	ConditionVariableBroadcast(&dataflow->progress);
}
