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
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/sinval.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "plan/view.h"
#include "state/shared.h"

/* Attribute numbers of streamfuse.progress (sql/streamfuse.sql). */
#define PROGRESS_FRAGMENT 1
#define PROGRESS_BACKFILLED 9

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

/* Has this database a continuous view?  Asked before every planning, so remembered until a relation changes. */
bool
sf_database_has_views(void)
{
	if (!OidIsValid(get_table_am_oid(SF_VIEW_AM, true)))
		return false;
	if (database_views == UNKNOWN)
	{
		List *rows = sf_fragment_rows(NULL);

		database_views = rows != NIL ? SOME : NONE;
		list_free_deep(rows);
	}
	return database_views == SOME;
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

static int32
fragment_of_view(Oid view)
{
	List *rows = sf_fragment_rows(NULL);
	int32 id = -1;
	ListCell *cell;

	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (row->view == view)
			id = row->id;
	}
	list_free_deep(rows);
	return id;
}

/* Has the history of a view been worked in, according to the last durable commit? */
static bool
is_backfilled(Oid view)
{
	Oid namespace = get_namespace_oid(SF_SCHEMA, false);
	Relation rel = table_open(get_relname_relid("progress", namespace), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool backfilled = false;

	ScanKeyInit(&key, PROGRESS_FRAGMENT, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment_of_view(view)));
	scan = systable_beginscan(rel, get_relname_relid("progress_pkey", namespace), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;

		backfilled = DatumGetBool(heap_getattr(tuple, PROGRESS_BACKFILLED, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return backfilled;
}

/* Is the fragment in memory, complete, and its worker past recovery? */
static bool
is_running(SfDataflow *dataflow, Oid view, bool partial)
{
	SfFragment *fragment;
	SfFragmentStatus status;

	if (dataflow == NULL || pg_atomic_read_u32(&dataflow->ready) == 0)
		return false;
	fragment = sf_fragment_find(dataflow, view);
	if (fragment == NULL)
		return false;
	status = pg_atomic_read_u32(&fragment->status);
	return status == SF_FRAGMENT_RUNNING || partial || (status == SF_FRAGMENT_FAILED && is_backfilled(view));
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

	if (!OidIsValid(sf_view_output(view)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("continuous view \"%s\" is not active", get_rel_name(view)),
		                errhint("Run REFRESH MATERIALIZED VIEW to activate it.")));

	if (!is_running(sf_dataflow_get(MyDatabaseId, false), view, false) && !is_backfilled(view))
		mode = mode_while_backfilling(view);
	sf_view_options_get(view, &options);
	if (mode == SF_READ_LIVE && options.emit_final)
		mode = SF_READ_CLOSED;
	return mode;
}

/*
 * A plan made for a fragment that was running, met again while the fragment is being rebuilt.  The view's cached plans
 * are invalidated in this backend, so that the next try makes the right one.
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
	                errmsg("continuous view \"%s\" is being rebuilt", get_rel_name(view)),
	                errhint("The statement's plan is out of date; run it again.")));
}

void
sf_wait_readable(Oid view)
{
	bool partial = sf_read_backfilling == SF_BACKFILLING_PARTIAL;
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);

	if (is_running(dataflow, view, partial))
		return;
	ConditionVariablePrepareToSleep(&dataflow->progress);
	while (!is_running(dataflow, view, partial))
	{
		if (!partial && !is_backfilled(view))
			refuse_stale_plan(view);
		sf_wake_worker(dataflow);
		ConditionVariableTimedSleep(&dataflow->progress, WAIT_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}
