/*
 * recover.c
 *		Brings the worker's members in line with the catalogs, and their state back from where it was kept.
 *
 * A fragment's state is found in one of three places.  In shared memory, when a former worker of this server run left
 * it: what its last tick left unpublished is undone, and the work goes on from the published progress.  In the tables,
 * after a restart of the server: progress and state as of the last durable commit, from which the rows since are
 * counted again.  Nowhere, for a new view: it starts with nothing counted.
 *
 * Fragments of one stream whose progress is the same share a source; others have their own scan until they meet.
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
	SfSourceState *source; /* NULL: nothing is saved */
	bool backfilled;
	bool failed;
	TimestampTz committed_at; /* 0: never */
	TimestampTz failed_at;
} SavedProgress;

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

			saved->source = sf_source_state_load(CurrentMemoryContext, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat));
		}
		member->progress.closed_until = DatumGetTimestampTz(values[SF_PROGRESS_CLOSED_UNTIL]);
		member->progress.last_closed = DatumGetTimestampTz(values[SF_PROGRESS_LAST_CLOSED]);
		member->progress.counters.rows_in = DatumGetInt64(values[SF_PROGRESS_ROWS_IN]);
		member->progress.counters.rows_late = DatumGetInt64(values[SF_PROGRESS_ROWS_LATE]);
		member->progress.counters.rows_missed = DatumGetInt64(values[SF_PROGRESS_ROWS_MISSED]);
		member->progress.counters.rows_ahead = DatumGetInt64(values[SF_PROGRESS_ROWS_AHEAD]);
		member->progress.counters.rows_read = DatumGetInt64(values[SF_PROGRESS_ROWS_READ]);
		saved->committed_at = nulls[SF_PROGRESS_COMMITTED_AT] ? 0
		                                                      : DatumGetTimestampTz(values[SF_PROGRESS_COMMITTED_AT]);
		saved->failed_at = nulls[SF_PROGRESS_FAILED_AT] ? 0 : DatumGetTimestampTz(values[SF_PROGRESS_FAILED_AT]);
		member->progress.counters.rows_failed = DatumGetInt64(values[SF_PROGRESS_ROWS_FAILED]);
		saved->backfilled = DatumGetBool(values[SF_PROGRESS_BACKFILLED]);
		saved->failed = DatumGetBool(values[SF_PROGRESS_FAILED]);
		if (saved->failed)
		{
			strlcpy(member->shared->error_sqlstate, TextDatumGetCString(values[SF_PROGRESS_SQLSTATE]),
			        sizeof(member->shared->error_sqlstate));
			strlcpy(member->shared->error_message, TextDatumGetCString(values[SF_PROGRESS_ERROR]),
			        sizeof(member->shared->error_message));
		}
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
	window->checkpoint_seq = DatumGetInt32(values[SF_STATE_SEQ]) + 1;
	window->checkpoint_bytes += VARSIZE_ANY_EXHDR(payload);
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
	for (int i = 0; i < sf_store_nwindows(member->store); i++)
		sf_store_window_at(member->store, i)->checkpointed = tick;
	MemoryContextDelete(row_context);
}

/* From the tables, or from nothing.  The groups become visible when `tick` is published. */
static SfSourceState *
recover_from_tables(SfWorker *worker, SfMember *member, SfTick tick)
{
	SavedProgress saved;

	sf_store_reset(member->store);
	read_saved_progress(member, &saved);
	if (saved.source == NULL)
		member->progress.closed_until = member->progress.last_closed = member->row.adopted_until;
	member->backfilled = saved.backfilled;
	member->filling = saved.backfilled ? SF_FILLING_DONE : SF_FILLING_NOT_BEGUN;
	sf_report_recovered(member, saved.committed_at, saved.failed_at);
	if (saved.failed)
		pg_atomic_write_u32(&member->shared->released, 1);
	else if (saved.source != NULL)
	{
		load_state(member, tick);
		SF_FAULT("recover-loaded");
		sf_store_publish(member->store);
	}
	/* Running, but not before its groups are published: a reader would find none. */
	member->recovered = saved.backfilled && !saved.failed;
	if (saved.failed)
		pg_atomic_write_u32(&member->shared->status, SF_FRAGMENT_FAILED);
	else if (saved.source != NULL)
		pg_atomic_write_u32(&member->shared->status, SF_FRAGMENT_BACKFILLING);
	else
		pg_atomic_write_u32(&member->shared->status, SF_FRAGMENT_STARTING);
	return saved.source;
}

/*
 * The former worker may have died after a commit and before it took note: sequence numbers follow what the table holds,
 * and missed and failed rows that are already there are not counted twice.
 */
static void
settle_with_tables(SfMember *member)
{
	SfCounters counters = member->progress.counters;
	SfTime closed_until = member->progress.closed_until;
	SfTime last_closed = member->progress.last_closed;
	SavedProgress saved;
	SfCatalog *catalog;
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;

	read_saved_progress(member, &saved);
	member->backfilled = saved.backfilled || pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_RUNNING;
	/* What has been released is in the tables as of some commit, and they must stay so. */
	member->cannot_commit = pg_atomic_read_u32(&member->shared->released) != 0;
	if (member->progress.counters.rows_missed == counters.rows_missed)
		member->progress.nmissed = 0;
	if (member->progress.counters.rows_failed == counters.rows_failed)
		sf_progress_cut_failed(&member->progress, 0, 0);
	member->progress.counters = counters;
	member->progress.closed_until = closed_until;
	member->progress.last_closed = last_closed;

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
			window->checkpoint_seq = Max(window->checkpoint_seq, seq + 1);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
}

/* From shared memory, where a former worker left it; NULL when it never published anything. */
static SfSourceState *
take_over(SfWorker *worker, SfMember *member)
{
	SfTick published = pg_atomic_read_u64(&worker->dataflow->published);
	SfSourceState *source = NULL;

	if (!SF_BUG("torn-publish"))
		sf_progress_unprepare(member->shared, published + 1);
	sf_store_take_over(member->store, published);
	SF_FAULT("recover-taken-over");
	if (!sf_progress_read(member->shared, published + SF_BUG("torn-publish"), member->context, &member->progress,
	                      &source))
		return NULL;
	settle_with_tables(member);
	member->dirty_since = member->closed_since = GetCurrentTimestamp();
	member->must_commit = true;
	return source;
}

static bool
has_failed_member(SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (pg_atomic_read_u32(&((SfMember *) lfirst(cell))->shared->status) == SF_FRAGMENT_FAILED)
			return true;
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

		if (source->stream != stream || has_failed_member(source))
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
	SfSourceState *state;
} StartStep;

static void
compile_step(SfMember *member, void *arg)
{
	sf_member_compile(member);
}

static void
restore_step(SfMember *member, void *arg)
{
	StartStep *step = arg;

	SF_FAULT("recover-member");
	if (member->taken_over)
		step->state = take_over(step->worker, member);
	if (step->state == NULL)
		step->state = recover_from_tables(step->worker, member, step->tick);
}

/*
 * State that cannot be used, because the view fails to compile or what was kept is damaged.  What a former worker left
 * unpublished must be gone in any case, or the next tick would publish it.
 */
static void
settle_broken(SfWorker *worker, SfMember *member, bool compiled)
{
	if (member->store == NULL)
		sf_store_discard(member->shared);
	else if (compiled || !member->taken_over)
		sf_store_reset(member->store);
	else
		sf_store_take_over(member->store, pg_atomic_read_u64(&worker->dataflow->published));
}

static void
place_member(SfWorker *worker, SfMember *member, StartStep *step)
{
	bool compiled = sf_member_guard(member, compile_step, NULL);

	if (!compiled || !sf_member_guard(member, restore_step, step))
		settle_broken(worker, member, compiled);
	if (member->failure != NULL)
		step->state = NULL;
	member->adopting = !member->backfilled && member->row.adopted_until != SF_TIME_MINUS_INFINITY;

	/* One that has failed keeps its position, so nobody shares its scan. */
	if (member->failure != NULL || pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_FAILED)
		sf_source_add(sf_source_create(worker, member->row.stream, step->state), member);
	else
		sf_source_add(source_at(worker, member->row.stream, step->state), member);
	if (member->failure != NULL)
		sf_member_fail(worker, member, member->failure);
}

static void
start_member(SfWorker *worker, const SfFragmentRow *row, SfTick tick)
{
	SfMember *member = sf_member_create(worker, row);
	StartStep step = {worker, tick, NULL};

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
 * Members for exactly the fragments of the catalog.  Runs in a transaction of its own; an error leaves it to be called
 * again.
 */
void
sf_reconcile(SfWorker *worker)
{
	SfDataflow *dataflow = worker->dataflow;
	uint32 generation = pg_atomic_read_u32(&dataflow->catalog_generation);
	SfTick tick = pg_atomic_read_u64(&dataflow->published) + 1;
	bool deferred = false;
	List *rows;
	ListCell *cell;

	pg_memory_barrier();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = sf_fragment_rows(GetActiveSnapshot());
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

		if (find_member(worker, row->id) != NULL)
			continue;
		/* Somebody is changing the view, or has just created it: locks are released after the commit that wakes us. */
		if (sf_member_lock(row))
			start_member(worker, row, tick);
		else
			deferred = true;
	}
	if (!deferred)
		release_floors(worker);
	foreach (cell, worker->sources)
		((SfSource *) lfirst(cell))->stale = true;
	PopActiveSnapshot();
	sf_report_members(worker);
	CommitTransactionCommand();
	worker->punctuations = true;
	worker->catalog_generation = deferred ? generation - 1 : generation; /* not up to date: called again soon */
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
