/*
 * launcher.c
 *		The launcher: makes the shared memory area, and keeps one worker in each database that wants one.
 *
 * It runs on a primary only, from the end of recovery on.  At start it visits each database once, by a worker that
 * leaves again when there are no continuous views; later, whoever makes a view, or waits for one, sets `wanted` in the
 * database's dataflow and wakes the launcher.  A worker that dies is started again, a moment after its last start; when
 * it did not even get ready, after a growing delay.
 */
#include "worker/worker.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker_internals.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "state/shared.h"

#define RESTART_DELAY_MS 200
#define RESTART_DELAY_MAX_MS 10000
#define NO_SLOT_DELAY_MS 1000

/* A worker this launcher has started. */
typedef struct SfStarted
{
	Oid database;
	BackgroundWorkerHandle *handle; /* NULL: not running */
	TimestampTz at;
} SfStarted;

static List *started;  /* SfStarted * */
static List *to_visit; /* databases not yet visited since the server's start */
static bool no_slot_reported;

static bool registered; /* in the postmaster, and so in all its children */

/* The postmaster says in the log only that it did not take a worker. */
static bool
is_registered(const char *function_name)
{
	SfWorkerIter iter;

	sf_foreach_worker(iter)
	{
		RegisteredBgWorker *entry = sf_worker_entry(iter);

		if (strcmp(entry->rw_worker.bgw_function_name, function_name) == 0)
			return true;
	}
	return false;
}

void
sf_launcher_register(void)
{
	BackgroundWorker worker = {0};

	if (IsBinaryUpgrade)
		return;
	snprintf(worker.bgw_name, BGW_MAXLEN, "streamfuse launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "streamfuse launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "streamfuse");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "sf_launcher_main");
	RegisterBackgroundWorker(&worker);
	registered = is_registered(worker.bgw_function_name);
}

bool
sf_launcher_is_registered(void)
{
	return registered;
}

static void
list_databases(void)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database->datallowconn && !database->datistemplate)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			to_visit = lappend_oid(to_visit, database->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

static SfStarted *
find_started(Oid database)
{
	ListCell *cell;
	SfStarted *entry;

	foreach (cell, started)
		if (((SfStarted *) lfirst(cell))->database == database)
			return lfirst(cell);
	entry = palloc0(sizeof(SfStarted));
	entry->database = database;
	started = lappend(started, entry);
	return entry;
}

static bool
is_running(SfStarted *entry)
{
	pid_t pid;

	if (entry->handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(entry->handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(entry->handle);
	entry->handle = NULL;
	return false;
}

/* Whoever waits for a worker is told (sf_require_worker_process). */
static void
note_launch(Oid database, bool launched)
{
	SfDataflow *dataflow = sf_dataflow_get(database, false);

	if (dataflow == NULL)
		return;
	if (launched)
	{
		pg_atomic_write_u32(&dataflow->launch_failures, 0);
		pg_atomic_fetch_add_u32(&dataflow->vain_starts, 1);
	}
	else
	{
		pg_atomic_fetch_add_u32(&dataflow->launch_failures, 1);
		ConditionVariableBroadcast(&dataflow->progress);
	}
}

static bool
launch(SfStarted *entry)
{
	BackgroundWorker worker = {0};
	bool launched;

	snprintf(worker.bgw_name, BGW_MAXLEN, "streamfuse worker for database %u", entry->database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "streamfuse worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(entry->database);
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "streamfuse");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "sf_worker_main");
	entry->at = GetCurrentTimestamp();
	SF_FAULT("launcher-launch");
	launched = RegisterDynamicBackgroundWorker(&worker, &entry->handle);
	note_launch(entry->database, launched);
	if (launched)
	{
		no_slot_reported = false;
		return true;
	}
	entry->handle = NULL;
	if (!no_slot_reported)
		ereport(LOG, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
		              errmsg("no worker process is free for continuous views of database %u", entry->database),
		              errhint("Increase max_worker_processes.")));
	no_slot_reported = true;
	return false;
}

/* At least so long after the last start.  vain_starts counts that one, too. */
static long
restart_delay(SfDataflow *dataflow)
{
	uint32 vain = dataflow != NULL ? pg_atomic_read_u32(&dataflow->vain_starts) : 0;
	long delay_ms = RESTART_DELAY_MS;

	while (vain > 1 && delay_ms < RESTART_DELAY_MAX_MS)
	{
		delay_ms *= 2;
		vain--;
	}
	return Min(delay_ms, RESTART_DELAY_MAX_MS);
}

/* Starts the worker of a database unless it runs; returns how long to wait before trying again, -1: not needed. */
static long
ensure_worker(Oid database)
{
	SfStarted *entry = find_started(database);
	long delay_ms;
	long since;

	if (is_running(entry))
		return -1;
	delay_ms = restart_delay(sf_dataflow_get(database, false));
	since = entry->at == 0 ? delay_ms : TimestampDifferenceMilliseconds(entry->at, GetCurrentTimestamp());
	if (since < delay_ms)
		return delay_ms - since;
	return launch(entry) ? -1 : NO_SLOT_DELAY_MS;
}

static long
sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

/* Starts what is wanted; returns how long to sleep, -1 until woken. */
static long
ensure_workers(void)
{
	long wait_ms = -1;
	ListCell *cell;

	for (int i = 0; i < SF_MAX_DATAFLOWS; i++)
	{
		SfDataflow *dataflow = &sf_shared->dataflows[i];
		Oid database;
		bool wanted;

		LWLockAcquire(&sf_shared->lock, LW_SHARED);
		database = dataflow->database;
		wanted = OidIsValid(database) && dataflow->worker_pid == 0 && dataflow->parkers == 0 &&
		         pg_atomic_read_u32(&dataflow->wanted) != 0;
		LWLockRelease(&sf_shared->lock);
		if (wanted)
			wait_ms = sooner(wait_ms, ensure_worker(database));
	}
	foreach (cell, to_visit)
	{
		long retry_ms = ensure_worker(lfirst_oid(cell));

		if (retry_ms < 0)
			to_visit = foreach_delete_current (to_visit, cell);
		wait_ms = sooner(wait_ms, retry_ms);
	}
	return wait_ms;
}

static void
forget_launcher(int code, Datum arg)
{
	sf_shared->launcher_latch = NULL;
	sf_shared->launcher_pid = 0;
}

void
sf_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN); /* nothing it does is worth cancelling */
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	MemoryContextSwitchTo(TopMemoryContext);
	if (sf_area() == NULL)
		sf_area_create();
	sf_shared->launcher_pid = MyProcPid;
	sf_shared->launcher_latch = MyLatch;
	before_shmem_exit(forget_launcher, (Datum) 0);
	SF_FAULT("launcher-start");
	list_databases();

	for (;;)
	{
		long wait_ms;
		int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(TopMemoryContext);
		wait_ms = ensure_workers();
		if (wait_ms >= 0)
			events |= WL_TIMEOUT;
		(void) WaitLatch(MyLatch, events, wait_ms, PG_WAIT_EXTENSION);
	}
}
