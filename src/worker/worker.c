/*
 * worker.c
 *		The worker of a database: tick, commit when due, sleep on the latch.
 *
 * It knows nothing of streams and windows; sf_reconcile, sf_tick and sf_commit do.  An error that reaches the loop undoes
 * what the step had begun, is logged, and the step is tried again with growing delay; what one view does wrong is dealt
 * with below, view by view (retry.c).  If the process dies in a tick its successor undoes the tick (recover.c).
 *
 * An idle worker sleeps without a time-out.  Ticks that something is to do for begin streamfuse.tick_interval after the
 * one before has ended.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "state/catalog.h"
#include "state/shared.h"
#include "worker/dataflow.h"

#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 10000

/*
 * Locks of our own are asked for without waiting.  This is for those that a user's trigger takes: it is tried again, and
 * the others need not wait.
 */
#define LOCK_TIMEOUT "100ms"

/* How soon a lock that was not to be had is asked for again. */
#define LOCK_RETRY_MS 20

static SfWorker the_worker;

/* Something about a relation has changed: whoever depends on it looks again before the next tick. */
static void
relation_changed(Datum arg, Oid relid)
{
	ListCell *cell;

	foreach (cell, the_worker.members)
	{
		SfMember *member = lfirst(cell);

		if (relid == InvalidOid || relid == member->row.view || sf_fragment_input(&member->row, relid) >= 0)
			member->stale = true;
	}
	foreach (cell, the_worker.sources)
	{
		SfSource *source = lfirst(cell);

		if (relid == InvalidOid || relid == source->stream || list_member_oid(source->leaves, relid))
			source->stale = true;
	}
}

/* So has a function, or who may call it: compiled expressions may hold what it was, and rights are checked again. */
static void
function_changed(Datum arg, int cache, uint32 hash)
{
	ListCell *cell;

	foreach (cell, the_worker.members)
		((SfMember *) lfirst(cell))->stale = true;
}

static void
detach_from_dataflow(int code, Datum arg)
{
	SfDataflow *dataflow = the_worker.dataflow;

	Latch *launcher;

	/* A commit that was about to become visible does not. */
	if (pg_atomic_read_u64(&dataflow->spill_commits) % 2 == 1)
		pg_atomic_fetch_add_u64(&dataflow->spill_commits, 1);
	/* Before a successor can set it. */
	pg_atomic_write_u32(&dataflow->ready, 0);
	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	if (dataflow->worker_pid == MyProcPid)
	{
		dataflow->worker_pid = 0;
		dataflow->worker_latch = NULL;
	}
	LWLockRelease(&sf_shared->lock);
	ConditionVariableBroadcast(&dataflow->progress);

	/* A launcher that was itself started anew is not told by the postmaster. */
	launcher = sf_shared->launcher_latch;
	if (launcher != NULL)
		SetLatch(launcher);
}

/* Makes this process the dataflow's worker; false when there is one already, or there may be none. */
static bool
attach_to_dataflow(void)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);
	bool mine;

	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	mine = dataflow->worker_pid == 0 && dataflow->parkers == 0;
	if (mine)
	{
		dataflow->worker_pid = MyProcPid;
		dataflow->worker_latch = MyLatch;
	}
	LWLockRelease(&sf_shared->lock);
	the_worker.dataflow = dataflow;
	if (mine)
		before_shmem_exit(detach_from_dataflow, (Datum) 0);
	return mine;
}

static bool
extension_is_installed(void)
{
	bool installed;

	StartTransactionCommand();
	installed = OidIsValid(get_extension_oid("streamfuse", true));
	CommitTransactionCommand();
	return installed;
}

/*
 * There is no extension here, so nobody wants a worker, unless one is created just now.  Without this the launcher would
 * try again and again.
 */
static void
leave_without_extension(uint32 generation)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, false);

	if (dataflow != NULL)
	{
		pg_atomic_write_u32(&dataflow->wanted, 0);
		pg_memory_barrier();
		if (pg_atomic_read_u32(&dataflow->catalog_generation) != generation)
			sf_want_worker(dataflow);
		pg_atomic_write_u32(&dataflow->vain_starts, 0);
	}
	proc_exit(0);
}

static uint32
present_generation(void)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, false);

	return dataflow != NULL ? pg_atomic_read_u32(&dataflow->catalog_generation) : 0;
}

static void
start(void)
{
	the_worker.context = AllocSetContextCreate(TopMemoryContext, "streamfuse worker", ALLOCSET_DEFAULT_SIZES);
	the_worker.commit_context = AllocSetContextCreate(the_worker.context, "streamfuse commit", ALLOCSET_DEFAULT_SIZES);
	the_worker.catalog_generation = pg_atomic_read_u32(&the_worker.dataflow->catalog_generation) - 1;
	sf_report_start(&the_worker);
	sf_view_timeout_init();
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, function_changed, (Datum) 0);

	/* What is visible as closed must survive a crash; standbys are not waited for. */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("statement_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
}

/* Of its own accord: the next worker need not be waited for. */
static void
leave(void)
{
	pg_atomic_write_u32(&the_worker.dataflow->vain_starts, 0);
	proc_exit(0);
}

/* Nothing to do in this database: the next view's creator asks for a worker again. */
static void
leave_if_idle(void)
{
	SfDataflow *dataflow = the_worker.dataflow;

	if (the_worker.members != NIL)
	{
		pg_atomic_write_u32(&dataflow->wanted, 1);
		return;
	}
	pg_atomic_write_u32(&dataflow->wanted, 0);
	pg_memory_barrier();
	if (pg_atomic_read_u32(&dataflow->catalog_generation) == the_worker.catalog_generation)
		leave();
}

/*
 * The installed objects are of another layout than this library works with: ALTER EXTENSION asks for a worker again.
 * Said once, however often somebody asks in the meantime.
 */
static void
leave_if_misfit(void)
{
	SfDataflow *dataflow = the_worker.dataflow;
	uint32 generation = pg_atomic_read_u32(&dataflow->catalog_generation);
	bool fits;

	StartTransactionCommand();
	fits = sf_layout_fits();
	if (!fits && !dataflow->misfit_logged)
		ereport(LOG, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		              errmsg("continuous views of database \"%s\" are not maintained", get_database_name(MyDatabaseId)),
		              sf_layout_detail(), sf_layout_hint()));
	CommitTransactionCommand();
	dataflow->misfit_logged = !fits;
	if (fits)
		return;
	pg_atomic_write_u32(&dataflow->wanted, 0);
	pg_memory_barrier();
	if (pg_atomic_read_u32(&dataflow->catalog_generation) == generation)
		leave();
}

/* The shorter of two waits; -1 is for ever. */
static long
sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

/* One round: everything that is to be done now.  Returns how long to sleep: 0 not at all, -1 until woken. */
static long
work(void)
{
	SfDataflow *dataflow = the_worker.dataflow;
	long wait_ms = -1;
	bool more;

	if (!sf_layout_is_known())
		leave_if_misfit();
	if (pg_atomic_read_u32(&dataflow->catalog_generation) != the_worker.catalog_generation || sf_start_due(&the_worker))
	{
		sf_report_activity(&the_worker, SF_ACTIVITY_RECONCILING, "reading the catalogs");
		sf_reconcile(&the_worker);
	}
	leave_if_idle();

	sf_report_activity(&the_worker, SF_ACTIVITY_TICK, "tick");
	more = sf_tick(&the_worker);
	if (pg_atomic_read_u32(&dataflow->vain_starts) != 0)
		pg_atomic_write_u32(&dataflow->vain_starts, 0);
	if (pg_atomic_exchange_u32(&dataflow->ready, 1) == 0)
		ConditionVariableBroadcast(&dataflow->progress);

	(void) sf_relieve(&the_worker);
	if (sf_commit_due(&the_worker, &wait_ms))
	{
		sf_report_activity(&the_worker, SF_ACTIVITY_COMMIT, "commit");
		sf_commit(&the_worker);
		wait_ms = -1;
		more |= sf_relieve(&the_worker);
		if (sf_commit_due(&the_worker, &wait_ms))
			wait_ms = LOCK_RETRY_MS;
	}
	sf_report_activity(&the_worker, SF_ACTIVITY_IDLE, NULL);
	if (the_worker.skipped_source || the_worker.catalog_generation != pg_atomic_read_u32(&dataflow->catalog_generation))
		wait_ms = sooner(wait_ms, LOCK_RETRY_MS);
	return more ? 0 : sooner(wait_ms, sf_retry_wait(&the_worker));
}

static bool
is_woken(void)
{
	return pg_atomic_read_u32(&the_worker.dataflow->woken) != 0;
}

/*
 * Sleeps until there is something to do, one sleep a tick.  Where commits come faster than ticks that is a sleep without
 * the latch: committing sessions set it and save themselves the signal.  Where they come more slowly it is the latch.
 */
static void
rest(long wait_ms)
{
	static bool busy = false;
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	TimestampTz since = GetCurrentTimestamp();
	long interval_us = sf_tick_interval_ms * 1000L;
	long left_us;

	if (wait_ms == 0)
		return;
	if (busy || is_woken())
	{
		if (interval_us > 0)
			pg_usleep(interval_us);
		busy = is_woken();
		if (busy)
			return;
	}
	if (wait_ms > 0)
		events |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, events, wait_ms, PG_WAIT_EXTENSION);
	left_us = Min(interval_us, interval_us - (long) (GetCurrentTimestamp() - since));
	if (left_us > 0 && is_woken())
	{
		pg_usleep(left_us);
		busy = true;
	}
}

/* Between two rounds there is nothing to be cancelled. */
static void
check_for_exit(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

/* The round failed: its transaction is gone, its tick undone; the error is logged. */
static void
recover_from_error(int retry_ms)
{
	TimestampTz failed_at;
	HOLD_INTERRUPTS();
	EmitErrorReport();
	AbortOutOfAnyTransaction();
	FlushErrorState();
	MemoryContextSwitchTo(the_worker.context);
	RESUME_INTERRUPTS();
	sf_report_activity(&the_worker, SF_ACTIVITY_WAITING, "waiting for another try after an error");

	/* Commits in the meantime set the latch, which must not make the retries more frequent. */
	failed_at = GetCurrentTimestamp();
	while (!TimestampDifferenceExceeds(failed_at, GetCurrentTimestamp(), retry_ms) && the_worker.dataflow->parkers == 0)
	{
		ResetLatch(MyLatch);
		check_for_exit();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, retry_ms, PG_WAIT_EXTENSION);
	}
}

/*
 * Somebody must be alone in this database: everything is made durable.  The groups stay in memory, since sessions may
 * still be reading them; the next worker takes them over.
 */
static void
leave_for_good(void)
{
	ListCell *cell;

	foreach (cell, the_worker.members)
		((SfMember *) lfirst(cell))->must_commit = true;
	SF_FAULT("park-leave");
	if (the_worker.members != NIL)
		sf_commit(&the_worker);
	leave();
}

static void
handle_signals(void)
{
	check_for_exit();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (the_worker.dataflow->parkers > 0)
		leave_for_good();
}

void
sf_worker_main(Datum arg)
{
	volatile int retry_ms = RETRY_MIN_MS;
	uint32 generation;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	generation = present_generation();
	if (!extension_is_installed())
		leave_without_extension(generation);
	if (sf_area() == NULL || !attach_to_dataflow())
		proc_exit(0);
	SF_FAULT("worker-start");
	start();

	for (;;)
	{
		volatile long wait_ms = 0;
		volatile bool failed = false;

		ResetLatch(MyLatch);
		(void) pg_atomic_exchange_u32(&the_worker.dataflow->woken, 0); /* a full barrier, too */
		handle_signals();
		MemoryContextSwitchTo(the_worker.context);
		PG_TRY();
		{
			wait_ms = work();
		}
		PG_CATCH();
		{
			failed = true;
		}
		PG_END_TRY();
		if (failed)
		{
			recover_from_error(retry_ms);
			retry_ms = Min(retry_ms * 2, RETRY_MAX_MS);
			continue;
		}
		retry_ms = RETRY_MIN_MS;
		rest(wait_ms);
	}
}
