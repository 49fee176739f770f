/*
 * flush.c
 *		flush(): wait until the worker has caught up with what was committed before the call.
 *
 * A caller draws a number, wakes the worker, and waits until the fragments it asked for reach that number.  The worker
 * reads the last number drawn before it takes a tick's snapshot; so a tick that takes in all its snapshot sees covers
 * every request up to that number.
 */
#include "worker/flush.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "plan/view.h"
#include "state/catalog.h"
#include "state/shared.h"
#include "stream/settings.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(sf_flush);
PG_FUNCTION_INFO_V1(sf_checkpoint);

static bool
holds_lock(Oid relid, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	return sf_lock_held_by_me(&tag, mode);
}

/* A lock of our own that the worker would wait for, while we wait for the worker. */
static void
refuse_own_locks(const SfFragmentRow *row)
{
	Oid blocked = InvalidOid;

	for (int i = 0; i < row->nstreams; i++)
		if (holds_lock(row->streams[i], AccessExclusiveLock))
			blocked = row->streams[i];
	if (holds_lock(row->view, AccessExclusiveLock))
		blocked = row->view;
	else if (holds_lock(row->output, AccessExclusiveLock) || holds_lock(row->output, ExclusiveLock) ||
	         holds_lock(row->output, ShareRowExclusiveLock) || holds_lock(row->output, ShareLock))
		blocked = row->output;
	if (OidIsValid(blocked))
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_IN_USE),
		         errmsg("cannot wait for continuous view \"%s\"", get_rel_name(row->view)),
		         errdetail("This transaction holds a lock on \"%s\" that the worker waits for.", get_rel_name(blocked)),
		         errhint("Call streamfuse.flush() after the transaction has ended.")));
}

/* Rows of streamfuse.fragment that others see already: a view made by this very transaction has no worker yet. */
static void
refuse_own_view(const SfFragmentRow *row)
{
	SfCatalog *catalog = sf_catalog_open("fragment", AccessShareLock);
	SysScanDesc scan = sf_catalog_scan_begin(catalog, NULL, 0, NULL, NULL);
	bool own = false;
	HeapTuple tuple;

	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		bool isnull;
		Datum id = heap_getattr(tuple, 1, RelationGetDescr(sf_catalog_table(catalog)), &isnull);

		if (DatumGetInt32(id) == row->id && TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			own = true;
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	if (own)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("cannot wait for continuous view \"%s\"", get_rel_name(row->view)),
		                errdetail("It was created in this transaction."),
		                errhint("Call streamfuse.flush() after the transaction has ended.")));
}

bool
sf_may_see_error(Oid view)
{
	return sf_owns_relation(view, GetUserId()) || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static void
refuse_paused(Oid view)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("continuous view \"%s\" is paused", get_rel_name(view)),
	                errhint("Call streamfuse.resume() to let it go on.")));
}

static void
refuse_failed(Oid view, const SfGlance *glance)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("continuous view \"%s\" has failed", get_rel_name(view)),
	                sf_may_see_error(view) ? errdetail_internal("%s", glance->error_message) : 0,
	                errhint("Call streamfuse.resume() when the cause has been removed.")));
}

void
sf_refuse_stopped(Oid view)
{
	SfFragmentRow *row = sf_fragment_row(view);
	SfGlance glance;

	if (row == NULL)
		return;
	if (sf_fragment_glance(sf_dataflow_get(MyDatabaseId, false), view, &glance) &&
	    glance.status == SF_FRAGMENT_FAILED && glance.resumes == row->resumes)
		refuse_failed(view, &glance);
	if (row->paused)
		refuse_paused(view);
}

void
sf_require_worker_process(SfDataflow *dataflow, uint32 failures_before)
{
	uint32 failures = pg_atomic_read_u32(&dataflow->launch_failures);

	if (dataflow->worker_pid != 0)
		return;
	if (sf_launcher_is_registered() && (failures == 0 || failures == failures_before))
		return;
	ConditionVariableCancelSleep();
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
	                errmsg("no worker process is free for the continuous views of this database"),
	                errhint("Increase max_worker_processes.")));
}

/* The last number that a fragment has reached. */
static uint64
reached(const SfGlance *glance, SfFlushLevel level)
{
	switch (level)
	{
		case SF_FLUSH_COUNTED:
			return glance->flush_counted;
		case SF_FLUSH_COMMITTED:
			return glance->flush_committed;
		case SF_FLUSH_CHECKPOINTED:
			break;
	}
	return glance->flush_checkpointed;
}

/*
 * One that is tried again gets there, perhaps; one that was resumed and of which the worker has not taken note does, too.
 */
static bool
has_reached(SfDataflow *dataflow, const SfFragmentRow *row, SfFlushLevel level, uint64 number)
{
	SfGlance glance;

	if (!sf_fragment_glance(dataflow, row->view, &glance))
		return get_rel_relkind(row->view) == '\0';
	if ((int32) (glance.resumes - row->resumes) < 0)
		return false;
	/* The state of one that is stopped is durable as it is. */
	if (level == SF_FLUSH_CHECKPOINTED && (glance.status == SF_FRAGMENT_FAILED || glance.status == SF_FRAGMENT_PAUSED))
		return true;
	if (glance.status == SF_FRAGMENT_FAILED)
		refuse_failed(row->view, &glance);
	if (glance.status == SF_FRAGMENT_PAUSED)
		refuse_paused(row->view);
	return reached(&glance, level) >= number;
}

static uint64
ask(SfDataflow *dataflow, SfFlushLevel level)
{
	uint64 number = pg_atomic_add_fetch_u64(&dataflow->flush_asked, 1);

	if (level != SF_FLUSH_COUNTED)
	{
		pg_atomic_uint64 *asked = level == SF_FLUSH_COMMITTED ? &dataflow->commit_asked : &dataflow->checkpoint_asked;
		uint64 old = pg_atomic_read_u64(asked);

		while (old < number && !pg_atomic_compare_exchange_u64(asked, &old, number))
			;
	}
	sf_want_worker(dataflow);
	return number;
}

/* Why it takes so long, if it is for an error. */
static int
trouble_detail(SfDataflow *dataflow, Oid view)
{
	SfGlance glance;

	if (sf_fragment_glance(dataflow, view, &glance) && glance.error_message[0] != '\0' && sf_may_see_error(view))
		errdetail("It is tried again after an error: %s", glance.error_message);
	return 0;
}

static void
wait_for(SfDataflow *dataflow, const SfFragmentRow *row, SfFlushLevel level, uint64 number, TimestampTz deadline)
{
	uint32 launch_failures = pg_atomic_read_u32(&dataflow->launch_failures);

	ConditionVariablePrepareToSleep(&dataflow->progress);
	while (!has_reached(dataflow, row, level, number))
	{
		sf_require_worker_process(dataflow, launch_failures);
		/* The worker broadcasts; the time-out is for a worker that is only being started. */
		if (ConditionVariableTimedSleep(&dataflow->progress, 200, PG_WAIT_EXTENSION))
			sf_want_worker(dataflow);
		if (deadline != 0 && GetCurrentTimestamp() >= deadline)
		{
			ConditionVariableCancelSleep();
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
			                errmsg("continuous view \"%s\" has not caught up in time", get_rel_name(row->view)),
			                trouble_detail(dataflow, row->view)));
		}
	}
	ConditionVariableCancelSleep();
}

void
sf_flush_wait(Oid view, SfFlushLevel level, long timeout_ms)
{
	SfDataflow *dataflow;
	TimestampTz deadline = timeout_ms < 0 ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	List *rows;
	uint64 number;
	ListCell *cell;

	sf_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("cannot wait for continuous views during recovery")));
	dataflow = sf_dataflow_get(MyDatabaseId, true);
	rows = sf_fragment_rows(NULL);
	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (OidIsValid(view) && row->view != view)
			continue;
		refuse_own_locks(row);
		refuse_own_view(row);
		if (level != SF_FLUSH_CHECKPOINTED)
			sf_refuse_stopped(row->view);
	}
	number = ask(dataflow, level);
	SF_FAULT("flush-asked");
	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (!OidIsValid(view) || row->view == view)
			wait_for(dataflow, row, level, number, deadline);
	}
}

static long
timeout_argument(FunctionCallInfo fcinfo)
{
	Interval *timeout;

	if (PG_ARGISNULL(1))
		return -1;
	timeout = PG_GETARG_INTERVAL_P(1);
	if (timeout->month != 0 || timeout->day < 0 || timeout->time < 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout must not be negative or have months")));
	return timeout->day * (long) 86400000 + timeout->time / 1000;
}

/* The watermark of what was waited for: the lowest of the fragments'. */
static SfTime
lowest_watermark(Oid view)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);
	SfTime lowest = SF_TIME_INFINITY;
	bool found = false;
	ListCell *cell;

	foreach (cell, sf_fragment_rows(NULL))
	{
		SfFragmentRow *row = lfirst(cell);
		SfGlance glance;

		if ((OidIsValid(view) && row->view != view) || !sf_fragment_glance(dataflow, row->view, &glance))
			continue;
		lowest = Min(lowest, glance.watermark);
		found = true;
	}
	return found ? lowest : SF_TIME_MINUS_INFINITY;
}

/* Waits for the views of a stream, one by one; returns the lowest watermark. */
static SfTime
flush_stream(Oid stream, long timeout_ms)
{
	SfTime lowest = SF_TIME_INFINITY;
	ListCell *cell;

	foreach (cell, sf_fragment_rows(NULL))
	{
		SfFragmentRow *row = lfirst(cell);

		if (sf_fragment_input(row, stream) < 0)
			continue;
		sf_flush_wait(row->view, SF_FLUSH_COMMITTED, timeout_ms);
		lowest = Min(lowest, lowest_watermark(row->view));
	}
	return lowest == SF_TIME_INFINITY ? SF_TIME_MINUS_INFINITY : lowest;
}

/* flush(target regclass, timeout interval) returns timestamptz */
Datum
sf_flush(PG_FUNCTION_ARGS)
{
	Oid target = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	long timeout_ms = timeout_argument(fcinfo);

	sf_require_preload();
	if (OidIsValid(target) && sf_is_stream(target))
		PG_RETURN_TIMESTAMPTZ(flush_stream(target, timeout_ms));
	if (OidIsValid(target) && !sf_is_continuous_view(target))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("\"%s\" is not a continuous view or a stream", get_rel_name(target))));
	if (OidIsValid(target))
		sf_view_require_active(target);
	sf_flush_wait(target, SF_FLUSH_COMMITTED, timeout_ms);
	PG_RETURN_TIMESTAMPTZ(lowest_watermark(target));
}

/* checkpoint() returns void */
Datum
sf_checkpoint(PG_FUNCTION_ARGS)
{
	sf_flush_wait(InvalidOid, SF_FLUSH_CHECKPOINTED, -1);
	PG_RETURN_VOID();
}
