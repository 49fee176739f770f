/*
 * verify.c
 *		verify(view): the rows that differ between a continuous view and its query run as a batch over the same rows.
 *
 * "The same rows" are those counted at one tick.  The order in which tick and snapshot are fixed:
 *	1. pin the last published tick T, and read T's positions beside it;
 *	2. take a snapshot S, which thereby sees every row counted at T;
 *	3. begin again if S shows windows that were closed after T: their rows in the output table may count more than T did.
 * Then one statement reads, under S, the view as of T (the statement finds the pin by its snapshot) and Q over the rows
 * in T's positions, less those in the error table.  A reader's statement takes its snapshot before its pin, which is what makes output table and
 * memory fit together (I5); here step 3 does that.
 *
 * The planner asks for the query of each side while the statement is planned; which side it is, is told by the alias.
 */
#include "verify/verify_internal.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "output/commit.h"
#include "read/live.h"
#include "state/catalog.h"
#include "worker/dataflow.h"
#include "worker/flush.h"

PG_FUNCTION_INFO_V1(sf_verify);
PG_FUNCTION_INFO_V1(sf_counted);

/* Longest sleep while the worker does something: one that cannot start broadcasts nothing. */
#define WAIT_MS 1000

/* Columns of streamfuse.dirty_window that matter, from 1. */
#define DIRTY_FRAGMENT 1
#define DIRTY_WINDOW_START 2
#define DIRTY_WINDOW_END 3

/* The verification whose statement is being planned or run. */
static const SfVerification *active = NULL;

/* ---- what the statement asks for ---- */

static Query *
side_query(const RangeTblEntry *rte)
{
	if (active == NULL || rte->relid != active->view || rte->alias == NULL)
		return NULL;
	if (strcmp(rte->alias->aliasname, SF_BATCH_SIDE) == 0)
		return sf_verify_side(active, false);
	if (strcmp(rte->alias->aliasname, SF_MAGNITUDE_SIDE) == 0)
		return sf_verify_side(active, true);
	if (strcmp(rte->alias->aliasname, SF_STREAM_SIDE) == 0 && active->adoption)
		return sf_adopted_side(active);
	if (strcmp(rte->alias->aliasname, SF_STREAM_SIDE) == 0 && sf_read_mode(rte->relid) == SF_READ_BATCH)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("continuous view \"%s\" is being rebuilt", get_rel_name(rte->relid)),
		                errhint("Call streamfuse.flush(), then verify again.")));
	return NULL;
}

static const SfPosition *
find_position(List *sources, Oid relid)
{
	ListCell *cell;
	ListCell *inner;

	foreach (cell, sources)
		foreach (inner, ((SfSourceState *) lfirst(cell))->positions)
			if (sf_position_relid(lfirst(inner)) == relid)
				return lfirst(inner);
	return NULL;
}

/*
 * counted(tableoid oid, ctid tid, xmin xid, branch int) returns bool: was this row of the stream counted at the tick, and
 * did it not fail in the branch?
 */
Datum
sf_counted(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);
	TransactionId xmin = PG_GETARG_TRANSACTIONID(2);
	int branch = PG_GETARG_INT32(3);
	const SfPosition *position;

	if (active == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("function streamfuse.counted can only be called by streamfuse.verify()")));
	if (active->adoption)
		PG_RETURN_BOOL(!sf_verify_has_failed(active, relid, tid, branch));
	position = find_position(active->sources, relid);
	PG_RETURN_BOOL(position != NULL && sf_position_counted(position, tid, xmin) &&
	               !sf_verify_has_failed(active, relid, tid, branch));
}

/* ---- what can be verified ---- */

static Relation
open_view(Oid relid)
{
	Relation view = relation_open(relid, AccessShareLock);

	if (!sf_is_continuous_view(relid))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("\"%s\" is not a continuous view", RelationGetRelationName(view))));
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_MATVIEW, RelationGetRelationName(view));
	sf_view_require_active(relid);
	return view;
}

static void
require_possible(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("continuous views cannot be verified on a standby")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
		                errmsg("continuous views cannot be verified in a transaction that keeps its snapshot"),
		                errhint("Call streamfuse.verify() in a READ COMMITTED transaction.")));
}

static SfFragmentRow *
find_row(Oid view)
{
	ListCell *cell;

	foreach (cell, sf_fragment_rows(NULL))
		if (((SfFragmentRow *) lfirst(cell))->view == view)
			return lfirst(cell);
	elog(ERROR, "continuous view %u has no fragment", view);
	return NULL;
}

/* Waits for a worker that is only starting; raises where there is nothing to wait for. */
static SfFragment *
require_running(SfDataflow *dataflow, Oid view)
{
	uint32 launch_failures = pg_atomic_read_u32(&dataflow->launch_failures);

	for (;;)
	{
		SfFragment *fragment = NULL;
		uint32 status = SF_FRAGMENT_STARTING;

		if (pg_atomic_read_u32(&dataflow->ready) != 0)
			fragment = sf_fragment_find(dataflow, view);
		if (fragment != NULL)
			status = pg_atomic_read_u32(&fragment->status);
		if (status == SF_FRAGMENT_FAILED || status == SF_FRAGMENT_PAUSED)
			sf_refuse_stopped(view);
		if (status == SF_FRAGMENT_RUNNING)
		{
			ConditionVariableCancelSleep();
			return fragment;
		}
		if (!sf_view_is_backfilled(view))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			                errmsg("history is still being worked into continuous view \"%s\"", get_rel_name(view)),
			                errhint("Wait with streamfuse.flush().")));
		sf_require_worker_process(dataflow, launch_failures);
		sf_want_worker(dataflow);
		ConditionVariableTimedSleep(&dataflow->progress, WAIT_MS, PG_WAIT_EXTENSION);
	}
}

/* ---- tick and snapshot ---- */

/* The end of the last window in the output table, for the snapshot; false while nothing was ever committed. */
static bool
committed_last_closed(int32 fragment, Snapshot snapshot, SfTime *last_closed)
{
	SfCatalog *catalog = sf_catalog_open("progress", AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull;

	ScanKeyInit(&key, SF_PROGRESS_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment));
	scan = sf_catalog_scan_begin(catalog, "progress_pkey", 1, &key, snapshot);
	tuple = sf_catalog_scan_next(scan);
	*last_closed = SF_TIME_MINUS_INFINITY;
	if (HeapTupleIsValid(tuple))
		*last_closed = DatumGetTimestampTz(
		    heap_getattr(tuple, SF_PROGRESS_LAST_CLOSED + 1, RelationGetDescr(sf_catalog_table(catalog)), &isnull));
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/* One attempt at the three steps; false when T's positions are gone, or S shows more than T. */
static bool
pin_tick(SfVerification *verification, SfFragment *fragment)
{
	Snapshot before;
	bool committed;

	MemoryContextReset(verification->tick_context);
	before = RegisterSnapshot(GetLatestSnapshot());
	verification->pin = sf_pin_take(verification->tick_context, before);
	verification->pin->snapshot = InvalidSnapshot;
	UnregisterSnapshot(before);
	if (!sf_progress_read(fragment, verification->pin->tick, verification->tick_context, &verification->progress,
	                      &verification->sources))
		return false;

	SF_FAULT("verify-before-snapshot");
	verification->snapshot = RegisterSnapshot(GetLatestSnapshot());
	committed = committed_last_closed(verification->row->id, verification->snapshot, &verification->last_closed);
	if ((committed || !verification->final) && verification->last_closed <= verification->progress.last_closed)
	{
		verification->pin->snapshot = verification->snapshot;
		return true;
	}
	UnregisterSnapshot(verification->snapshot);
	return false;
}

static void
fix_tick(SfVerification *verification)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, true);

	while (!pin_tick(verification, require_running(dataflow, verification->view)))
	{
		CHECK_FOR_INTERRUPTS();
		ConditionVariableTimedSleep(&dataflow->progress, WAIT_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* ---- windows that are not compared ---- */

static void
exclude_window(SfVerification *verification, int *capacity, Datum start, Datum end)
{
	if (verification->nexcluded == *capacity)
	{
		*capacity *= 2;
		verification->excluded = repalloc_huge(verification->excluded, *capacity * sizeof(Datum));
		verification->excluded_ends = repalloc_huge(verification->excluded_ends, *capacity * sizeof(Datum));
	}
	verification->excluded[verification->nexcluded] = start;
	verification->excluded_ends[verification->nexcluded++] = end;
}

typedef struct DirtySpan
{
	SfTime start;
	SfTime end;
} DirtySpan;

static int
compare_spans(const void *a, const void *b)
{
	SfTime start_a = ((const DirtySpan *) a)->start;
	SfTime start_b = ((const DirtySpan *) b)->start;

	return start_a < start_b ? -1 : start_a > start_b;
}

/*
 * What a missed row would have changed are the sessions that its span overlaps with, on either side: left out are all that
 * do, so that spans which meet are one.
 */
static void
join_spans(SfVerification *verification)
{
	int n = verification->nexcluded;
	DirtySpan *spans = MemoryContextAllocHuge(verification->tick_context, Max(n, 1) * sizeof(DirtySpan));

	for (int i = 0; i < n; i++)
		spans[i] = (DirtySpan){DatumGetInt64(verification->excluded[i]), DatumGetInt64(verification->excluded_ends[i])};
	qsort(spans, n, sizeof(DirtySpan), compare_spans);
	verification->nexcluded = 0;
	for (int i = 0; i < n; i++)
	{
		int last = verification->nexcluded - 1;

		if (last >= 0 && spans[i].start <= DatumGetInt64(verification->excluded_ends[last]))
		{
			SfTime end = Max(DatumGetInt64(verification->excluded_ends[last]), spans[i].end);

			verification->excluded_ends[last] = Int64GetDatum(end);
			continue;
		}
		verification->excluded[verification->nexcluded] = Int64GetDatum(spans[i].start);
		verification->excluded_ends[verification->nexcluded++] = Int64GetDatum(spans[i].end);
	}
	pfree(spans);
}

/* Dirty windows: committed ones that S shows, and those T has found since. */
static void
exclude_dirty(SfVerification *verification)
{
	SfProgress *progress = &verification->progress;
	SfCatalog *catalog = sf_catalog_open("dirty_window", AccessShareLock);
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	int capacity = progress->nmissed + 16;

	verification->excluded = MemoryContextAllocHuge(verification->tick_context, capacity * sizeof(Datum));
	verification->excluded_ends = MemoryContextAllocHuge(verification->tick_context, capacity * sizeof(Datum));
	for (int i = 0; i < progress->nmissed; i++)
		exclude_window(verification, &capacity, Int64GetDatum(progress->missed[i].start),
		               Int64GetDatum(progress->missed[i].end));

	ScanKeyInit(&key, DIRTY_FRAGMENT, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(verification->row->id));
	scan = sf_catalog_scan_begin(catalog, "dirty_window_pkey", 1, &key, verification->snapshot);
	while (HeapTupleIsValid(tuple = sf_catalog_scan_next(scan)))
	{
		bool isnull;
		Datum start = heap_getattr(tuple, DIRTY_WINDOW_START, desc, &isnull);

		CHECK_FOR_INTERRUPTS();
		exclude_window(verification, &capacity, start, heap_getattr(tuple, DIRTY_WINDOW_END, desc, &isnull));
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	if (verification->definition->session != NULL)
		join_spans(verification);
}

/*
 * Windows are told apart by their start, so the view must show it wherever some are left out.  Cumulating ones begin
 * together: where the view does not show their ends, they are left out together.
 */
static void
require_window_start(const SfVerification *verification, Relation view)
{
	if (verification->from == SF_TIME_MINUS_INFINITY && verification->to == SF_TIME_INFINITY &&
	    verification->nexcluded == 0)
		return;
	if (sf_is_windowless(verification->definition))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" cannot be verified in parts", RelationGetRelationName(view)),
		                errdetail("Its groups have no window."), errhint("Call streamfuse.verify() without a range.")));
	if (verification->definition->stateless)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" can only be verified as a whole", RelationGetRelationName(view)),
		                errdetail("It has no windows that a range could name."), errhint("Leave the range out.")));
	if (verification->definition->session != NULL && verification->nexcluded > 0 &&
	    (sf_view_column(verification->definition, 1) == 0 || sf_view_column(verification->definition, 2) == 0))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("some sessions of continuous view \"%s\" cannot be verified", RelationGetRelationName(view)),
		         errdetail("Rows came too late for some, and the view does not show window_start and window_end."),
		         errhint("Select window_start and window_end in the view's query.")));
	if (sf_view_column(verification->definition, 1) != 0)
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("some windows of continuous view \"%s\" cannot be verified", RelationGetRelationName(view)),
	         errdetail("A range is given, or windows are dirty or began before the view; and the view does not show "
	                   "window_start."),
	         errhint("Select window_start in the view's query.")));
}

/* ---- the statement ---- */

int
sf_verify_run(const SfVerification *verification, const char *statement, const SPIExecuteOptions *options)
{
	const SfVerification *outer = active;
	volatile int result = 0;

	active = verification;
	PG_TRY();
	{
		result = SPI_execute_extended(statement, options);
	}
	PG_FINALLY();
	{
		active = outer;
	}
	PG_END_TRY();
	return result;
}

static void
run_statement(const SfVerification *verification, Relation view, Tuplestorestate *result)
{
	SPIExecuteOptions options = {0};

	SPI_connect();
	options.params = sf_verify_params(verification);
	options.read_only = true;
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, result, CurrentMemoryContext, true, NULL, NULL);
	if (sf_verify_run(verification, sf_verify_statement(verification, view), &options) != SPI_OK_SELECT)
		elog(ERROR, "verification was not run as a query");
	SPI_finish();
}

/* As the view's owner, under the view's settings: Q's functions are the owner's. */
static void
compare(const SfVerification *verification, Relation view, Tuplestorestate *result)
{
	Oid user;
	int security_context;
	int guc_level;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(view->rd_rel->relowner, security_context | SECURITY_RESTRICTED_OPERATION);
	guc_level = sf_view_settings_apply(verification->view);
	PushActiveSnapshot(verification->snapshot);
	run_statement(verification, view, result);
	PopActiveSnapshot();
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, security_context);
}

/* verify(view regclass, "from" timestamptz, "to" timestamptz) returns table (side text, row jsonb, n bigint) */
Datum
sf_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SfVerification verification = {0};
	SfViewOptions options;
	Relation view;

	sf_require_preload();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("view must not be null")));
	require_possible();
	InitMaterializedSRF(fcinfo, 0);
	view = open_view(PG_GETARG_OID(0));
	sf_view_options_get(RelationGetRelid(view), &options);

	verification.view = RelationGetRelid(view);
	verification.row = find_row(verification.view);
	verification.definition = sf_read_definition(CurrentMemoryContext, verification.view);
	verification.final = options.emit_final && !verification.definition->stateless;
	verification.from = PG_ARGISNULL(1) ? SF_TIME_MINUS_INFINITY : PG_GETARG_TIMESTAMPTZ(1);
	/* Where there is no window to be told by in advance, the query says itself what the view begins with. */
	if (!verification.definition->stateless && verification.definition->session == NULL)
		verification.from = Max(verification.from, verification.row->begins_at);
	verification.to = PG_ARGISNULL(2) ? SF_TIME_INFINITY : PG_GETARG_TIMESTAMPTZ(2);

	verification.tick_context = AllocSetContextCreate(CurrentMemoryContext, "streamfuse verify", ALLOCSET_SMALL_SIZES);
	fix_tick(&verification);
	SF_FAULT("verify-after-snapshot");
	if (verification.progress.forgotten_before > SF_LIFE_LEAST)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("continuous view \"%s\" cannot be verified", RelationGetRelationName(view)),
		         errdetail("Groups that were idle for longer than streamfuse.state_ttl have been forgotten, and its "
		                   "query over the stored rows does not tell which.")));
	exclude_dirty(&verification);
	sf_verify_read_failed(&verification);
	require_window_start(&verification, view);
	compare(&verification, view, rsinfo->setResult);

	UnregisterSnapshot(verification.snapshot);
	MemoryContextDelete(verification.tick_context);
	relation_close(view, NoLock);
	return (Datum) 0;
}

void
sf_verify_init(void)
{
	sf_side_query_hook = side_query;
	sf_compare_adopted_hook = sf_compare_adopted;
}
