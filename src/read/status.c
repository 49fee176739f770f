/*
 * status.c
 *		How a continuous view is to be read now: live, closed windows only, or as a batch.
 *
 * A fragment whose history has been worked in once is read from shared memory, and a reader waits for the worker where
 * it is only starting, as after a crash.  One whose history has not is left to PostgreSQL as a batch.  When a fragment's
 * status changes the worker invalidates the view's relation cache entry, so that plans are made again; a plan that meets
 * a fragment it was not made for is never run.
 */
#include "read/live.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/sinval.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "output/commit.h"
#include "plan/view.h"
#include "state/catalog.h"
#include "state/shared.h"
#include "stream/settings.h"
#include "worker/flush.h"

/* Columns of streamfuse.fragment, from 0. */
#define FRAGMENT_ID 0
#define FRAGMENT_VIEW 1

/* Longest sleep of a waiting reader: a worker that cannot start broadcasts nothing. */
#define WAIT_MS 1000

static enum
{
	UNKNOWN,
	NONE,
	SOME
} database_views = UNKNOWN;

static void
forget_views(Datum arg, Oid relid)
{
	database_views = UNKNOWN;
}

void
sf_status_init(void)
{
	CacheRegisterRelcacheCallback(forget_views, (Datum) 0);
}

bool
sf_rte_is_marked(const RangeTblEntry *rte, const char *mark)
{
	return rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_MATVIEW && rte->alias == NULL && rte->eref != NULL &&
	       strcmp(rte->eref->aliasname, mark) == 0;
}

/*
 * The first row of a table of ours whose column `column` (from 0) equals a value, or the first at all when index is
 * NULL; column `wanted` of it as a Datum passed by value.  False when there is none.
 */
static bool
look_up(const char *table, const char *index, int column, RegProcedure equal, Datum value, int wanted, Datum *result)
{
	SfCatalog *catalog = sf_catalog_open(table, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull = true;

	ScanKeyInit(&key, column + 1, BTEqualStrategyNumber, equal, value);
	scan = sf_catalog_scan_begin(catalog, index, index != NULL ? 1 : 0, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (HeapTupleIsValid(tuple))
		*result = heap_getattr(tuple, wanted + 1, RelationGetDescr(sf_catalog_table(catalog)), &isnull);
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	return !isnull;
}

/* Has this database a continuous view?  Asked before every planning, so remembered until a relation changes. */
bool
sf_database_has_views(void)
{
	if (!OidIsValid(sf_view_am_oid(true)))
		return false;
	/* Then each view is refused (sf_read_mode), and nothing else. */
	if (!sf_layout_fits())
		return true;
	if (database_views == UNKNOWN)
	{
		Datum fragment;

		database_views = look_up("fragment", NULL, FRAGMENT_ID, F_INT4EQ, (Datum) 0, FRAGMENT_ID, &fragment) ? SOME
		                                                                                                     : NONE;
	}
	return database_views == SOME;
}

bool
sf_view_is_backfilled(Oid view)
{
	Datum fragment;
	Datum backfilled;

	return look_up("fragment", "fragment_view_key", FRAGMENT_VIEW, F_OIDEQ, ObjectIdGetDatum(view), FRAGMENT_ID,
	               &fragment) &&
	       look_up("progress", "progress_pkey", SF_PROGRESS_FRAGMENT, F_INT4EQ, fragment, SF_PROGRESS_BACKFILLED,
	               &backfilled) &&
	       DatumGetBool(backfilled);
}

/* Can the live side be read: does the worker know the fragment, and is it, unless parts will do, past recovery? */
static bool
is_running(SfDataflow *dataflow, Oid view, bool partial)
{
	SfFragment *fragment = sf_fragment_find(dataflow, view);
	SfFragmentStatus status;

	if (fragment == NULL)
		return false;
	if (partial)
		return true;
	if (pg_atomic_read_u32(&dataflow->ready) == 0)
		return false;
	status = pg_atomic_read_u32(&fragment->status);
	if (status == SF_FRAGMENT_RUNNING)
		return true;
	/* One that is stopped, or cannot be started, is read as it stood. */
	return (status == SF_FRAGMENT_FAILED || status == SF_FRAGMENT_PAUSED ||
	        pg_atomic_read_u64(&fragment->memory_until) != SF_TICK_MAX) &&
	       sf_view_is_backfilled(view);
}

static SfReadMode
mode_while_backfilling(Oid view)
{
	if (sf_read_backfilling == SF_BACKFILLING_ERROR)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("history is still being worked into continuous view \"%s\"", get_rel_name(view)),
		                errhint("Wait with streamfuse.flush(), or set streamfuse.read_backfilling to \"batch\".")));
	return sf_read_backfilling == SF_BACKFILLING_PARTIAL ? SF_READ_LIVE : SF_READ_BATCH;
}

SfReadMode
sf_read_mode(Oid view)
{
	SfViewOptions options;
	SfReadMode mode = SF_READ_LIVE;

	sf_require_layout();
	sf_view_require_active(view);
	if (!is_running(sf_dataflow_get(MyDatabaseId, false), view, false) && !sf_view_is_backfilled(view))
		mode = mode_while_backfilling(view);

	/*
	 * Closed windows are right at any time; which windows of Q are closed is not for a batch to say.  Rows that cannot
	 * change are all final.
	 */
	sf_view_options_get(view, &options);
	return options.emit_final && !sf_view_is_stateless(view) ? SF_READ_CLOSED : mode;
}

/*
 * A plan that reads the live side, met while that is not complete.  The view's cached plans are invalidated in this
 * backend, so that the next try makes the right one.
 */
static void
refuse_stale_plan(Oid view)
{
	SharedInvalidationMessage message;

	memset(&message, 0, sizeof(message));
	message.rc.id = SHAREDINVALRELCACHE_ID;
	message.rc.dbId = MyDatabaseId;
	message.rc.relId = view;
	LocalExecuteInvalidationMessage(&message);
	ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
	                errmsg("plan for continuous view \"%s\" is out of date", get_rel_name(view)),
	                errdetail("History is still being worked into the view."), errhint("Run the statement again.")));
}

void
sf_wait_readable(Oid view)
{
	bool partial = sf_read_backfilling == SF_BACKFILLING_PARTIAL;
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);
	uint32 launch_failures;

	if (is_running(dataflow, view, partial))
		return;
	launch_failures = pg_atomic_read_u32(&dataflow->launch_failures);
	ConditionVariablePrepareToSleep(&dataflow->progress);
	while (!is_running(dataflow, view, partial))
	{
		sf_require_layout();
		sf_require_worker_process(dataflow, launch_failures);
		if (!partial && !sf_view_is_backfilled(view))
			refuse_stale_plan(view);
		sf_want_worker(dataflow);
		ConditionVariableTimedSleep(&dataflow->progress, WAIT_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}
