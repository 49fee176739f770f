/*
 * pin.c
 *		Pins: which tick a statement reads, and for how long the worker must keep it.
 *
 * A pin lives in the memory of its statement's executor, and a reset callback on that memory releases it: so errors,
 * cursors, portals and subtransactions need no code of their own.  A backend publishes the range of its pins in its
 * slot in shared memory.
 *
 * state/pins.c tells why the worker sees a slot in time (P1).  A slot always protects at least what the backend's pins
 * need: the range is widened before a pin exists and narrowed after one is gone.
 */
#include "read/pin.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "read/consistency.h"
#include "read/live.h"

static dlist_head pins = DLIST_STATIC_INIT(pins);

static ExecutorStart_hook_type previous_executor_start;
static ExecutorRun_hook_type previous_executor_run;

static SfPinSlot *
own_slot(void)
{
	return &sf_shared->pins[sf_backend_number()];
}

/* The full form of a normal xid that is at most two billion behind the next one. */
uint64
sf_full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static void
write_slot(SfTick tick, SfTick newest, uint64 xmin)
{
	SfPinSlot *slot = own_slot();

	/* Who sees the oldest tick sees what goes with it, or what protects more. */
	pg_atomic_write_u64(&slot->xmin, xmin);
	pg_atomic_write_u64(&slot->newest, newest);
	pg_write_barrier();
	pg_atomic_write_u64(&slot->tick, tick);
}

/* Publishes the range of all pins, of which `tick` and `xmin` may be one about to be added. */
static void
publish_range(SfTick tick, uint64 xmin)
{
	SfTick newest = tick == SF_TICK_MAX ? SF_TICK_NONE : tick;
	dlist_iter iter;

	dlist_foreach(iter, &pins)
	{
		SfPin *pin = dlist_container(SfPin, node, iter.cur);

		tick = Min(tick, pin->tick);
		newest = Max(newest, pin->tick);
		xmin = Min(xmin, pin->xmin);
	}
	write_slot(tick, newest, xmin);
}

/*
 * A snapshot that is not registered: the one of the statement, which is older and stays as long as the pin, keeps all that
 * this one sees from being vacuumed.
 */
static Snapshot
copy_snapshot(MemoryContext context, const SnapshotData *snapshot)
{
	SnapshotData *copy = MemoryContextAlloc(context, sizeof(SnapshotData));

	*copy = *snapshot;
	copy->xip = MemoryContextAlloc(context, sizeof(TransactionId) * Max(snapshot->xcnt, 1));
	memcpy(copy->xip, snapshot->xip, sizeof(TransactionId) * snapshot->xcnt);
	copy->subxip = MemoryContextAlloc(context, sizeof(TransactionId) * Max(snapshot->subxcnt, 1));
	memcpy(copy->subxip, snapshot->subxip, sizeof(TransactionId) * snapshot->subxcnt);
	copy->active_count = copy->regd_count = 0;
	copy->copied = true;
	return copy;
}

/* The slot goes to another backend. */
static void
reset_slot(int code, Datum arg)
{
	write_slot(SF_TICK_MAX, SF_TICK_NONE, PG_UINT64_MAX);
	pg_atomic_write_u64(&own_slot()->parallel, SF_TICK_NONE);
}

/* A tick of the slot's last owner may have expired, and may have been of another database. */
static void
claim_slot(void)
{
	static bool claimed = false;

	if (claimed)
		return;
	pg_atomic_write_u64(&own_slot()->expired, 0);
	pg_atomic_write_u32(&own_slot()->database, MyDatabaseId);
	on_shmem_exit(reset_slot, (Datum) 0);
	claimed = true;
}

static void
release_pin(void *arg)
{
	SfPin *pin = arg;

	dlist_delete(&pin->node);
	publish_range(SF_TICK_MAX, PG_UINT64_MAX);
}

/*
 * The tick of the statement that this one runs inside of, when both have the same snapshot: functions see what their
 * statement sees.  In a parallel worker that is what its leader has pinned for the statement.
 */
static SfTick
inherited_tick(Snapshot snapshot, SfPin **from)
{
	dlist_iter iter;

	*from = NULL;
	dlist_foreach(iter, &pins)
	{
		SfPin *pin = dlist_container(SfPin, node, iter.cur);

		if (pin->snapshot != snapshot)
			continue;
		*from = pin;
		return pin->tick;
	}
	if (IsParallelWorker() && dlist_is_empty(&pins))
		return pg_atomic_read_u64(&sf_shared->pins[sf_leader_number()].parallel);
	return SF_TICK_NONE;
}

/* Pins the last published tick in the slot (P1); the caller then puts the pin into the list. */
static SfTick
pin_published(SfDataflow *dataflow, uint64 xmin)
{
	for (;;)
	{
		SfTick tick = pg_atomic_read_u64(&dataflow->published);

		publish_range(tick, xmin);
		pg_memory_barrier();
		if (pg_atomic_read_u64(&dataflow->published) == tick)
			return tick;
	}
}

/*
 * Pins anew, with a snapshot of spilled groups.  A commit that becomes visible just now is waited for: it is short.  The
 * pin is in the list, so that an interrupt releases it.
 */
static void
pin_spilled(SfDataflow *dataflow, MemoryContext context, SfPin *pin)
{
	for (;;)
	{
		uint64 commits = pg_atomic_read_u64(&dataflow->spill_commits);

		CHECK_FOR_INTERRUPTS();
		if (commits % 2 == 1 && !SF_BUG("spilled-read-during-commit"))
		{
			ConditionVariableTimedSleep(&dataflow->progress, 10, PG_WAIT_EXTENSION);
			continue;
		}
		pg_memory_barrier();
		dlist_delete(&pin->node);
		pin->tick = pin_published(dataflow, pin->xmin);
		dlist_push_head(&pins, &pin->node);
		SF_FAULT("read-spilled-pinned");
		/* Of no relation in particular: it is one of now. */
		pin->spilled = copy_snapshot(context, GetCatalogSnapshot(InvalidOid));
		pg_memory_barrier();
		if (pg_atomic_read_u64(&dataflow->spill_commits) == commits || SF_BUG("spilled-read-during-commit"))
			break;
	}
	ConditionVariableCancelSleep();
}

SfPin *
sf_pin_take(MemoryContext context, Snapshot snapshot)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);
	SfPin *from;
	SfPin *pin = MemoryContextAllocZero(context, sizeof(SfPin));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
	bool inherited;

	claim_slot();
	pin->snapshot = snapshot;
	pin->xmin = sf_full_xid(snapshot->xmin);
	callback->func = release_pin;
	callback->arg = pin;

	pin->tick = inherited_tick(snapshot, &from);
	if (from != NULL && from->spilled != NULL)
		pin->spilled = copy_snapshot(context, from->spilled);
	inherited = pin->tick != SF_TICK_NONE;
	if (!inherited)
		pin->tick = pin_published(dataflow, pin->xmin);
	else
		publish_range(pin->tick, pin->xmin);
	pg_memory_barrier();
	dlist_push_head(&pins, &pin->node);
	MemoryContextRegisterResetCallback(context, callback);
	if (!inherited && pg_atomic_read_u32(&dataflow->spills) != 0)
		pin_spilled(dataflow, context, pin);
	return pin;
}

SfPin *
sf_pin_of(EState *estate)
{
	dlist_iter iter;

	while (estate->es_epq_active != NULL)
		estate = estate->es_epq_active->parentestate;
	dlist_foreach(iter, &pins)
	{
		SfPin *pin = dlist_container(SfPin, node, iter.cur);

		if (pin->estate == estate)
			return pin;
	}
	return NULL;
}

/* Waits for, then pins, what the statement reads.  Its snapshot is fixed; its executor's memory exists. */
static void
pin_statement(QueryDesc *query_desc)
{
	ListCell *cell;
	bool live = false;
	SfPin *pin;

	/* On a standby the live side is read from tables. */
	if (query_desc->estate->es_snapshot == InvalidSnapshot || query_desc->estate->es_snapshot->takenDuringRecovery)
		return;
	foreach (cell, query_desc->plannedstmt->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (!sf_rte_is_marked(rte, SF_LIVE_MARK))
			continue;
		live = true;
		sf_wait_readable(rte->relid);
	}
	if (!live)
		return;
	SF_FAULT("read-before-pin");
	pin = sf_pin_take(query_desc->estate->es_query_cxt, query_desc->estate->es_snapshot);
	pin->estate = query_desc->estate;
	SF_FAULT("read-after-pin");
}

static void
executor_start(QueryDesc *query_desc, int eflags)
{
	/* EXPLAIN touches no stream; a parallel worker's own statement reads at its leader's tick. */
	SfPin *from;
	bool runs = (eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0 &&
	            !(IsParallelWorker() && query_desc->dest->mydest == DestTupleQueue);

	if (runs && inherited_tick(query_desc->snapshot, &from) == SF_TICK_NONE)
		sf_wait_latest(query_desc);
	if (previous_executor_start)
		previous_executor_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
	if (runs)
		pin_statement(query_desc);
}

/* What the workers of a statement inherit.  Statements inside of one that runs in parallel have no workers. */
static bool
lend_pin(QueryDesc *query_desc)
{
	SfPin *pin;

	if (!query_desc->plannedstmt->parallelModeNeeded || IsInParallelMode())
		return false;
	pin = sf_pin_of(query_desc->estate);
	if (pin == NULL)
		return false;
	pg_atomic_write_u64(&own_slot()->parallel, pin->tick);
	return true;
}

static void
run_next(SF_RUN_PARAMS)
{
	if (previous_executor_run)
		previous_executor_run(SF_RUN_ARGS);
	else
		standard_ExecutorRun(SF_RUN_ARGS);
}

static void
executor_run(SF_RUN_PARAMS)
{
	bool renewed = sf_snapshot_renewed(query_desc);

	if (renewed)
		PushActiveSnapshot(query_desc->estate->es_snapshot);
	if (lend_pin(query_desc))
	{
		PG_TRY();
		{
			run_next(SF_RUN_ARGS);
		}
		PG_FINALLY();
		{
			pg_atomic_write_u64(&own_slot()->parallel, SF_TICK_NONE);
		}
		PG_END_TRY();
	}
	else
		run_next(SF_RUN_ARGS);
	if (renewed)
		PopActiveSnapshot();
}

void
sf_pin_init(void)
{
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
