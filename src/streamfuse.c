/*
 * streamfuse.c
 *		The library's entry: settings, shared memory, hooks.  Nothing else lives here.
 *
 * The library must be preloaded: shared memory and workers are made at server start.  When it is loaded later, as
 * pg_upgrade and CREATE EXTENSION do, it stays passive and every entry point raises the error of sf_require_preload.
 */
#include "streamfuse.h"

#include <limits.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "fault.h"
#include "plan/view.h"
#include "read/live.h"
#include "read/pin.h"
#include "state/shared.h"
#include "stream/floor.h"
#include "stream/settings.h"
#include "stream/stream.h"
#include "verify/verify.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

int sf_state_memory_mb;
int sf_reader_memory_mb = 64;
int sf_max_group_memory_mb = 256;
int sf_checkpoint_interval_ms = 10000;
int sf_checkpoint_rows = 1000000;
int sf_commit_interval_ms = 100;
int sf_tick_interval_ms = 1;
int sf_view_timeout_ms = 60000;
int sf_restart_attempts = 3;
int sf_restart_delay_ms = 10000;
int sf_max_streams = 1024;
int sf_read_consistency = SF_READ_AVAILABLE;
int sf_read_backfilling = SF_BACKFILLING_BATCH;

static const struct config_enum_entry read_consistency_options[] = {
    {"available", SF_READ_AVAILABLE, false},
    {"latest", SF_READ_LATEST, false},
    {NULL, 0, false},
};

static const struct config_enum_entry read_backfilling_options[] = {
    {"batch", SF_BACKFILLING_BATCH, false},
    {"partial", SF_BACKFILLING_PARTIAL, false},
    {"error", SF_BACKFILLING_ERROR, false},
    {NULL, 0, false},
};

static shmem_request_hook_type previous_shmem_request_hook;
static shmem_startup_hook_type previous_shmem_startup_hook;
static bool preloaded;

void _PG_init(void);

bool
sf_is_preloaded(void)
{
	return preloaded;
}

void
sf_require_preload(void)
{
	if (!preloaded)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("streamfuse must be preloaded"),
		         errhint("Set shared_preload_libraries = 'streamfuse' in postgresql.conf and restart the server.")));
}

static void
request_shmem(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(sf_shared_shmem_size());
	RequestAddinShmemSpace(sf_floor_shmem_size());
#ifdef STREAMFUSE_TEST
	RequestAddinShmemSpace(sf_fault_shmem_size());
#endif
}

static void
startup_shmem(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	sf_shared_shmem_init();
	sf_floor_shmem_init();
#ifdef STREAMFUSE_TEST
	sf_fault_shmem_init();
#endif
	LWLockRelease(AddinShmemInitLock);
}

/* One eighth of the machine's memory, at least 64 MB. */
static int
default_state_memory_mb(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_size = sysconf(_SC_PAGESIZE);

	if (pages <= 0 || page_size <= 0)
		return 64;
	return (int) Max(64, Min((int64) pages * page_size / 8 / (1024 * 1024), INT_MAX / 2));
}

static void
define_settings(void)
{
	DefineCustomIntVariable("streamfuse.state_memory", "Bounds the memory of all continuous views' state.", NULL,
	                        &sf_state_memory_mb, default_state_memory_mb(), 1, INT_MAX / 2, PGC_SIGHUP, GUC_UNIT_MB,
	                        NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.reader_memory", "Bounds the memory kept for open readers of continuous views.",
	                        "Beyond it the oldest reader fails with \"snapshot too old\".", &sf_reader_memory_mb, 64, 1,
	                        INT_MAX / 2, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.max_group_memory", "Bounds what one aggregate keeps for one group.",
	                        "A view with a larger group fails.", &sf_max_group_memory_mb, 256, 1, 1024, PGC_SIGHUP,
	                        GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.checkpoint_interval", "Longest time between checkpoints of a view's state.",
	                        NULL, &sf_checkpoint_interval_ms, 10000, 10, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL,
	                        NULL);
	DefineCustomIntVariable("streamfuse.checkpoint_rows", "Most rows between checkpoints of a view's state.", NULL,
	                        &sf_checkpoint_rows, 1000000, 1, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.commit_interval", "Closing windows are committed in groups this far apart.",
	                        NULL, &sf_commit_interval_ms, 100, 0, 60000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.tick_interval", "Rest of the worker after a tick.",
	                        "0 gives the lowest latency and costs committing sessions a wake-up each.",
	                        &sf_tick_interval_ms, 1, 0, 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.view_timeout", "Longest time that functions of one view may run in one step.",
	                        "A step is a batch of rows. A view that takes longer fails alone. 0 turns the limit off.",
	                        &sf_view_timeout_ms, 60000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.restart_attempts", "How often a view whose own code raises is tried again.",
	                        "After that it has failed.", &sf_restart_attempts, 3, 0, INT_MAX, PGC_SIGHUP, 0, NULL, NULL,
	                        NULL);
	DefineCustomIntVariable("streamfuse.restart_delay", "Time after which a view whose own code raises is tried again.",
	                        NULL, &sf_restart_delay_ms, 10000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.max_streams", "Most streams that continuous views may read.",
	                        "Each leaf partition counts.", &sf_max_streams, 1024, 1, 1 << 20, PGC_POSTMASTER, 0, NULL,
	                        NULL, NULL);
#ifdef STREAMFUSE_TEST
	DefineCustomIntVariable("streamfuse.test_tick_pages", "Most pages that one tick takes in.", "0 is the default.",
	                        &sf_test_tick_pages, 0, 0, INT_MAX / 2, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("streamfuse.test_lag_pages", "Open pages that a stream has at least.", "0 is the default.",
	                        &sf_test_lag_pages, 0, 0, INT_MAX / 2, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("streamfuse.test_spill", "All groups that can leave memory do so.", NULL, &sf_test_spill,
	                         false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("streamfuse.test_sweep", "Checkpoints treat small windows like large ones.", NULL,
	                         &sf_test_sweep, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	sf_fault_define_settings();
#endif
	DefineCustomEnumVariable("streamfuse.read_consistency",
	                         "Whether reads of continuous views wait for committed rows.", NULL, &sf_read_consistency,
	                         SF_READ_AVAILABLE, read_consistency_options, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("streamfuse.read_backfilling", "How a view is read while its history is worked in.", NULL,
	                         &sf_read_backfilling, SF_BACKFILLING_BATCH, read_backfilling_options, PGC_USERSET, 0, NULL,
	                         NULL, NULL);
	MarkGUCPrefixReserved("streamfuse");
}

void
_PG_init(void)
{
	/* Even when not preloaded: pg_upgrade restores streams, labels included, whatever the new server preloads. */
	sf_stream_settings_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	preloaded = true;

	define_settings();
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;

	sf_floor_init();
	sf_stream_am_init();
	sf_view_ddl_init();
	sf_planner_init();
	sf_pin_init();
	sf_park_init();
	sf_verify_init();
	sf_launcher_register();
}
