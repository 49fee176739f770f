/*
 * live_scan.c
 *		The scan of a view's live side: groups in shared memory as of the statement's tick, as rows of the view.
 *
 * First come windows that left memory although the statement's snapshot does not show their closing: they are fetched
 * from the output table under a newer snapshot, through the index on window_start.  Then the windows in memory whose
 * closing the snapshot does not show.  Both in ascending order of window_start, and evicted windows precede those in
 * memory, since windows close in order and leave in the order of closing.
 *
 * Nothing in shared memory is looked up before the first row is asked for: EXPLAIN touches no stream.  The view's
 * expressions run as the view's owner, under the view's settings where they call code of users; the statement's
 * conditions run as the statement's user.
 */
#include "read/live.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "fault.h"
#include "plan/mutable.h"
#include "plan/view.h"
#include "read/live_panes.h"
#include "read/pin.h"
#include "read/standby.h"
#include "state/blob.h"
#include "state/store.h"

/* What a parallel query's leader tells its workers. */
typedef struct LiveShared
{
	SfTick tick;
	bool has_spilled;
	char spilled[FLEXIBLE_ARRAY_MEMBER]; /* snapshot of spilled groups, in serial form */
} LiveShared;

typedef struct LiveScan
{
	CustomScanState css;

	/* Set when the node is initialised. */
	Oid view;
	Oid owner;
	SfDefinition *definition;
	List *key_values; /* ExprState, one for each key, or none */
	uint64 key_members;
	int nbounds;
	SfBound *bounds;
	List *bound_values; /* ExprState */

	/* Set when the first row is asked for. */
	bool started;
	SfTick tick;      /* in a parallel worker: set earlier, like the next */
	Snapshot spilled; /* of spilled groups, or NULL */
	SfProjector *projector;
	SfBlobSpace blobs;
	SfStoreScan *groups;
	SfStandbyScan *standby;   /* instead, on a standby, or when the view has failed */
	SfStoreScan *pane_groups; /* where windows are made of panes: groups are of closed windows then, */
	SfLivePanes *panes;       /* and open ones are formed from these; the standby's rows are panes */
	Tuplesortstate *evicted;  /* rows of the output table, or NULL */
	TupleTableSlot *evicted_slot;
	TupleTableSlot *rows_slot;
	Tuplestorestate *rows; /* projected rows, where that needs settings; else NULL */

	/* Set for each (re)scan. */
	bool positioned;
	bool empty; /* a condition that no row can meet */
	bool evicted_done;
	bool closed_done; /* of windows made of panes: those in memory that are closed */
	bool rows_filled;
	MemoryContext values_context; /* key values of this scan */
} LiveScan;

/* ---- the view's own expressions ---- */

typedef struct SavedUser
{
	Oid user;
	int context;
} SavedUser;

static Oid
view_owner(Oid view)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Becomes a view's owner; an error restores the user by aborting the (sub)transaction. */
static SavedUser
become_owner(Oid owner)
{
	SavedUser saved;

	GetUserIdAndSecContext(&saved.user, &saved.context);
	SetUserIdAndSecContext(owner, saved.context | SECURITY_RESTRICTED_OPERATION);
	return saved;
}

static void
become_user(SavedUser saved)
{
	SetUserIdAndSecContext(saved.user, saved.context);
}

SfDefinition *
sf_read_definition(MemoryContext context, Oid view)
{
	SavedUser saved = become_owner(view_owner(view));
	SfDefinition *definition = sf_define_view(context, view);

	become_user(saved);
	return definition;
}

/*
 * Must the view's settings hold while groups are turned into rows?  Code of users finds what it calls by search_path,
 * which must not be the reader's while it runs with the owner's rights.
 */
static bool
needs_settings(SfDefinition *definition)
{
	return sf_needs_settings((Node *) definition->target) || sf_needs_settings((Node *) definition->having) ||
	       sf_needs_settings((Node *) definition->aggrefs);
}

/* ---- start ---- */

/* A btree index that begins with the column, or InvalidOid: then the whole table is read. */
static Oid
index_on(Relation output, AttrNumber column)
{
	List *indexes = RelationGetIndexList(output);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indkey.values[0] == column && index->rd_index->indisvalid &&
		    RelationGetIndexPredicate(index) == NIL && index->rd_rel->relam == BTREE_AM_OID)
			found = RelationGetRelid(index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/* How to find what closed windows have in the output table: all of it, where rows have no window. */
static SysScanDesc
scan_output(const SfDefinition *definition, Relation output, SfTime from, Snapshot snapshot)
{
	AttrNumber start = definition->output_window_start;
	RegProcedure not_before = definition->time_type == TIMESTAMPTZOID ? F_TIMESTAMPTZ_GE : F_TIMESTAMP_GE;
	ScanKeyData key;

	if (definition->stateless)
		return systable_beginscan(output, InvalidOid, false, snapshot, 0, NULL);
	ScanKeyInit(&key, start, BTGreaterEqualStrategyNumber, not_before, Int64GetDatum(from));
	return systable_beginscan(output, index_on(output, start), true, snapshot, 1, &key);
}

/*
 * Collects the windows from `from` on that left memory, closed by transactions up to `last` which the statement's
 * snapshot does not show.  They are visible to a snapshot taken now, since a window leaves memory after its closing
 * committed.
 */
static void
collect_evicted(LiveScan *scan, SfFragment *fragment, Snapshot statement, SfTime from, uint64 last)
{
	SfDefinition *definition = scan->definition;
	Relation output = table_open(fragment->output, AccessShareLock);
	TupleDesc desc = RelationGetDescr(output);
	AttrNumber by = definition->stateless ? definition->output_closed_xid : definition->output_window_start;
	Oid order = lookup_type_cache(TupleDescAttr(desc, by - 1)->atttypid, TYPECACHE_LT_OPR)->lt_opr;
	Oid collation = InvalidOid;
	bool nulls_first = false;
	Snapshot now = RegisterSnapshot(GetCatalogSnapshot(fragment->output));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	SysScanDesc rows;
	HeapTuple tuple;

	scan->evicted = tuplesort_begin_heap(desc, 1, &by, &order, &collation, &nulls_first, work_mem, NULL,
	                                     TUPLESORT_RANDOMACCESS);
	rows = scan_output(definition, output, from, now);
	while (HeapTupleIsValid(tuple = systable_getnext(rows)))
	{
		bool isnull;
		Datum xid = heap_getattr(tuple, definition->output_closed_xid, desc, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (DatumGetUInt64(xid) > last || sf_close_visible(DatumGetUInt64(xid), statement))
			continue;
		ExecStoreHeapTuple(tuple, slot, false);
		tuplesort_puttupleslot(scan->evicted, slot);
	}
	systable_endscan(rows);
	tuplesort_performsort(scan->evicted);

	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(now);
	scan->evicted_slot = ExecInitExtraTupleSlot(scan->css.ss.ps.state, CreateTupleDescCopy(desc), &TTSOpsMinimalTuple);
	table_close(output, NoLock);
}

/* The least start of the windows that were closed by transactions from `xmin` on and have left memory.  Needs the lock. */
static SfTime
evicted_since(const SfFragment *fragment, uint64 xmin)
{
	SfTime start = SF_TIME_INFINITY;

	for (int i = fragment->nevicted - 1; i >= 0 && fragment->evicted[i].xid >= xmin; i--)
		start = Min(start, fragment->evicted[i].start);
	return start;
}

static void
collect_evicted_if_any(LiveScan *scan, SfFragment *fragment)
{
	Snapshot snapshot = scan->css.ss.ps.state->es_snapshot;
	uint64 evicted;
	SfTime from;

	/* Read after the pin was set: what this snapshot does not show leaves memory no more. */
	LWLockAcquire(&fragment->lock, LW_SHARED);
	evicted = U64FromFullTransactionId(fragment->evicted_xid);
	from = evicted_since(fragment, sf_full_xid(snapshot->xmin));
	LWLockRelease(&fragment->lock);
	if (evicted != 0 && !sf_close_visible(evicted, snapshot) && !SF_BUG("evicted-window-forgotten"))
		collect_evicted(scan, fragment, snapshot, from, evicted);
}

static void
start_projection(LiveScan *scan)
{
	SavedUser saved = become_owner(scan->owner);

	scan->projector = sf_projector_create(scan->css.ss.ps.state, scan->definition, false);
	become_user(saved);
	if (needs_settings(scan->definition))
	{
		scan->rows = tuplestore_begin_heap(false, false, work_mem);
		scan->rows_slot = ExecInitExtraTupleSlot(
		    scan->css.ss.ps.state, RelationGetDescr(scan->css.ss.ss_currentRelation), &TTSOpsMinimalTuple);
	}
}

static SfTick
statement_tick(LiveScan *scan)
{
	SfPin *pin = sf_pin_of(scan->css.ss.ps.state);

	if (pin == NULL)
		elog(ERROR, "live side of continuous view %u is read without a pin", scan->view);
	scan->spilled = pin->spilled;
	return pin->tick;
}

/*
 * Spilled groups are read as of the tick.  Who has the tick of a parallel query's leader without being part of its plan
 * does not have what goes with it.
 */
static void
read_spilled(LiveScan *scan, SfFragment *fragment)
{
	if (scan->tick < pg_atomic_read_u64(&fragment->spilled_from))
		return;
	if (scan->spilled == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("continuous view \"%s\" has groups on disk, which a function in a parallel worker cannot read",
		                get_rel_name(scan->view)),
		         errhint("Mark the function that reads the view as PARALLEL RESTRICTED.")));
	sf_store_scan_spilled(scan->groups, scan->spilled);
}

static void
start_shared(LiveScan *scan, SfFragment *fragment)
{
	EState *estate = scan->css.ss.ps.state;

	scan->blobs = (SfBlobSpace){.area = sf_area(), .fragment = fragment, .tick = SF_TICK_NONE};
	scan->groups = sf_store_scan_begin(estate->es_query_cxt, fragment, scan->definition->layout, scan->tick,
	                                   estate->es_snapshot, SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
	read_spilled(scan, fragment);
	collect_evicted_if_any(scan, fragment);
	if (!scan->definition->layout->in_panes)
		return;
	scan->pane_groups = sf_store_scan_begin(estate->es_query_cxt, fragment, scan->definition->layout, scan->tick,
	                                        estate->es_snapshot, SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
	sf_store_scan_panes(scan->pane_groups);
	scan->panes = sf_live_panes_create(estate->es_query_cxt, scan->definition, scan->pane_groups, NULL,
	                                   fragment->begins_at, sf_store_scan_closed_until(scan->pane_groups));
}

static void
start_standby(LiveScan *scan)
{
	EState *estate = scan->css.ss.ps.state;

	scan->standby = sf_standby_begin(estate->es_query_cxt, scan->view, scan->definition->layout, estate->es_snapshot);
	if (scan->definition->layout->in_panes)
		scan->panes = sf_live_panes_create(estate->es_query_cxt, scan->definition, NULL, scan->standby,
		                                   sf_standby_begins_at(scan->standby), sf_standby_closed_until(scan->standby));
}

/* The groups are in shared memory, unless the view was stopped when the statement's tick was published. */
static SfFragment *
fragment_in_memory(LiveScan *scan)
{
	SfFragment *fragment = sf_fragment_find(sf_dataflow_get(MyDatabaseId, false), scan->view);
	SfTick until;

	if (fragment == NULL)
		elog(ERROR, "continuous view %u has no fragment in memory", scan->view);
	if (scan->tick == SF_TICK_NONE)
		scan->tick = statement_tick(scan);
	until = pg_atomic_read_u64(&fragment->memory_until);
	pg_read_barrier();
	return scan->tick <= until && scan->tick >= pg_atomic_read_u64(&fragment->memory_from) ? fragment : NULL;
}

static void
start_scan(LiveScan *scan)
{
	EState *estate = scan->css.ss.ps.state;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	SfFragment *fragment = NULL;

	SF_FAULT("read-scan-start");
	if (!estate->es_snapshot->takenDuringRecovery)
		fragment = fragment_in_memory(scan);
	if (fragment != NULL)
		start_shared(scan, fragment);
	else
		start_standby(scan);
	start_projection(scan);
	scan->started = true;
	MemoryContextSwitchTo(old);
}

/* ---- positions ---- */

/* Narrows a range [*from, *to) by one condition. */
static void
narrow(int strategy, SfTime value, SfTime *from, SfTime *to)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			*to = Min(*to, value);
			break;
		case BTLessEqualStrategyNumber:
			*to = value == SF_TIME_INFINITY ? *to : Min(*to, value + 1 - SF_BUG("window-bound-exclusive"));
			break;
		case BTEqualStrategyNumber:
			*from = Max(*from, value);
			*to = value == SF_TIME_INFINITY ? *to : Min(*to, value + 1);
			break;
		case BTGreaterEqualStrategyNumber:
			*from = Max(*from, value);
			break;
		case BTGreaterStrategyNumber:
			*from = value == SF_TIME_INFINITY ? value : Max(*from, value + 1);
			break;
	}
}

/*
 * Windows of rows end in the order they start in, so a bound on an end is one on a start: end > t where start >= that of
 * the first window that ends after t.
 */
static void
narrow_by_end(const SfWindowSpec *window, int strategy, SfTime value, SfTime *from, SfTime *to)
{
	const SfTime century = INT64CONST(100) * 366 * USECS_PER_DAY;
	SfTime before = value - 1; /* end >= t is end > t - 1, and so on */

	if (value < MIN_TIMESTAMP + century || value > END_TIMESTAMP - century)
		return;
	if (strategy == BTGreaterStrategyNumber || strategy == BTLessEqualStrategyNumber)
		before = value;
	value = sf_window_first_ending_after(window, before);
	if (strategy == BTLessEqualStrategyNumber)
		strategy = BTLessStrategyNumber;
	else if (strategy == BTGreaterStrategyNumber)
		strategy = BTGreaterEqualStrategyNumber;
	narrow(strategy, value, from, to);
}

/* Evaluates the conditions; false when one of them is NULL or the range is empty. */
static bool
evaluate_range(LiveScan *scan, SfWindowRange *range)
{
	SfTime end_from = SF_TIME_MINUS_INFINITY;
	SfTime end_to = SF_TIME_INFINITY;
	ExprContext *econtext = scan->css.ss.ps.ps_ExprContext;
	ListCell *cell;
	int i = 0;

	range->from = range->end_after = SF_TIME_MINUS_INFINITY;
	range->to = range->end_until = SF_TIME_INFINITY;
	foreach (cell, scan->bound_values)
	{
		bool isnull;
		Datum value = ExecEvalExpr((ExprState *) lfirst(cell), econtext, &isnull);
		SfBound bound;

		if (isnull)
			return false;
		bound = scan->bounds[i++];
		if (!bound.on_end)
			narrow(bound.strategy, DatumGetTimestampTz(value), &range->from, &range->to);
		else if (scan->panes != NULL)
			narrow(bound.strategy, DatumGetTimestampTz(value), &end_from, &end_to);
		else
			narrow_by_end(&scan->definition->window, bound.strategy, DatumGetTimestampTz(value), &range->from,
			              &range->to);
	}
	if (end_from != SF_TIME_MINUS_INFINITY)
		range->end_after = end_from - 1;
	if (end_to != SF_TIME_INFINITY)
		range->end_until = end_to - 1;
	return range->from < range->to && end_from < end_to;
}

/* Evaluates the key and restricts the scan to it; false when it cannot be equal to any. */
static bool
apply_key(LiveScan *scan)
{
	ExprContext *econtext = scan->css.ss.ps.ps_ExprContext;
	int nkeys = list_length(scan->key_values);
	Datum *keys = palloc(sizeof(Datum) * Max(nkeys, 1));
	bool *nulls = palloc0(sizeof(bool) * Max(nkeys, 1));
	ListCell *cell;
	int i = 0;

	foreach (cell, scan->key_values)
	{
		keys[i] = ExecEvalExpr((ExprState *) lfirst(cell), econtext, &nulls[i]);
		if (nulls[i] && (scan->key_members & (UINT64CONST(1) << i)) != 0)
			return false;
		i++;
	}
	if (nkeys > 0 && scan->groups != NULL)
		sf_store_scan_key(scan->groups, keys, nulls);
	/* What sessions there are may depend on groups of other keys. */
	if (nkeys > 0 && scan->pane_groups != NULL &&
	    (scan->definition->session == NULL || scan->definition->session->by_group))
		sf_store_scan_key(scan->pane_groups, keys, nulls);
	return true;
}

static void
position_scan(LiveScan *scan)
{
	MemoryContext old;
	SfWindowRange range;

	if (!scan->started)
		start_scan(scan);
	MemoryContextReset(scan->values_context);
	old = MemoryContextSwitchTo(scan->values_context);
	scan->empty = !evaluate_range(scan, &range) || !apply_key(scan);
	if (!scan->empty)
	{
		/* A window of the store has many sessions. */
		if (scan->groups != NULL && scan->definition->session != NULL)
			sf_store_scan_restart(scan->groups, SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
		else if (scan->groups != NULL)
			sf_store_scan_restart(scan->groups, range.from, range.to);
		else if (scan->panes == NULL)
			sf_standby_restart(scan->standby, range.from, range.to);
		if (scan->panes != NULL)
			sf_live_panes_restart(scan->panes, &range);
		scan->closed_done = scan->groups == NULL;
	}
	MemoryContextSwitchTo(old);
	if (scan->evicted != NULL)
		tuplesort_rescan(scan->evicted);
	if (scan->rows != NULL)
		tuplestore_clear(scan->rows);
	scan->evicted_done = scan->evicted == NULL;
	scan->rows_filled = false;
	scan->positioned = true;
}

/* ---- rows ---- */

static bool
fetch_group(LiveScan *scan, SfGroupCopy *group)
{
	if (scan->panes == NULL)
		return scan->groups != NULL ? sf_store_scan_next(scan->groups, group) : sf_standby_next(scan->standby, group);
	if (!scan->closed_done && sf_store_scan_next(scan->groups, group))
		return true;
	scan->closed_done = true;
	return sf_live_panes_next(scan->panes, group);
}

/* The next group as a row of the view, or NULL. */
static TupleTableSlot *
next_group(LiveScan *scan)
{
	SfGroupCopy group;
	TupleTableSlot *row = NULL;
	SavedUser saved = become_owner(scan->owner);

	while (row == NULL && fetch_group(scan, &group))
	{
		CHECK_FOR_INTERRUPTS();
		row = sf_projector_row(scan->projector, &scan->blobs, group.start, group.end, group.data);
	}
	become_user(saved);
	return row;
}

/* Projects all rows at once under the view's settings. */
static void
fill_rows(LiveScan *scan)
{
	int level = sf_view_settings_apply(scan->view);
	TupleTableSlot *row;

	while ((row = next_group(scan)) != NULL)
		tuplestore_puttupleslot(scan->rows, row);
	AtEOXact_GUC(true, level);
	scan->rows_filled = true;
}

/* Shows the first columns of a slot as a row of the view. */
static TupleTableSlot *
show(LiveScan *scan, TupleTableSlot *from)
{
	TupleTableSlot *slot = scan->css.ss.ss_ScanTupleSlot;
	int natts = slot->tts_tupleDescriptor->natts;

	slot_getsomeattrs(from, natts);
	memcpy(slot->tts_values, from->tts_values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, from->tts_isnull, sizeof(bool) * natts);
	return ExecStoreVirtualTuple(slot);
}

static TupleTableSlot *
next_row(ScanState *node)
{
	LiveScan *scan = (LiveScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	TupleTableSlot *row;

	ExecClearTuple(slot);
	if (!scan->positioned)
		position_scan(scan);
	if (scan->empty)
		return slot;

	if (!scan->evicted_done)
	{
		if (tuplesort_gettupleslot(scan->evicted, true, false, scan->evicted_slot, NULL))
			return show(scan, scan->evicted_slot);
		scan->evicted_done = true;
	}
	if (scan->rows != NULL)
	{
		if (!scan->rows_filled)
			fill_rows(scan);
		row = scan->rows_slot;
		if (!tuplestore_gettupleslot(scan->rows, true, false, row))
			row = NULL;
	}
	else
		row = next_group(scan);
	return row != NULL ? show(scan, row) : slot;
}

/* For EvalPlanQual: a row is what it is; the core checks the conditions again. */
static bool
recheck_row(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

/* ---- the node ---- */

/* The keys that a look-up has a value for: all but those that are not in its grouping set, which are null. */
static uint64
key_members(SfDefinition *definition, List *key_exprs)
{
	int number = list_length(key_exprs) - 1;

	if (key_exprs == NIL || definition->nsets == 0)
		return PG_UINT64_MAX;
	return definition->sets[DatumGetInt32(castNode(Const, llast(key_exprs))->constvalue) - 1] | UINT64CONST(1)
	                                                                                                << number;
}

static void
begin_live_scan(CustomScanState *node, EState *estate, int eflags)
{
	LiveScan *scan = (LiveScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	List *integers = lsecond(plan->custom_private);
	List *values = ExecInitExprList(plan->custom_exprs, &node->ss.ps);
	int nkeys = linitial_int(integers);

	scan->view = linitial_oid(linitial(plan->custom_private));
	scan->owner = view_owner(scan->view);
	scan->definition = sf_read_definition(estate->es_query_cxt, scan->view);
	scan->key_values = list_truncate(list_copy(values), nkeys);
	scan->key_members = key_members(scan->definition, list_copy_head(plan->custom_exprs, nkeys));
	scan->bound_values = list_copy_tail(values, nkeys);
	scan->nbounds = list_length(scan->bound_values);
	scan->bounds = palloc0(sizeof(SfBound) * Max(scan->nbounds, 1));
	for (int i = 0; i < scan->nbounds; i++)
	{
		scan->bounds[i].on_end = list_nth_int(integers, 1 + 2 * i);
		scan->bounds[i].strategy = list_nth_int(integers, 2 + 2 * i);
	}
	scan->values_context = AllocSetContextCreate(estate->es_query_cxt, "live scan keys", ALLOCSET_SMALL_SIZES);
}

static TupleTableSlot *
exec_live_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

static void
end_live_scan(CustomScanState *node)
{
	LiveScan *scan = (LiveScan *) node;

	if (scan->groups != NULL)
		sf_store_scan_end(scan->groups);
	if (scan->pane_groups != NULL)
		sf_store_scan_end(scan->pane_groups);
	if (scan->standby != NULL)
		sf_standby_end(scan->standby);
	if (scan->evicted != NULL)
		tuplesort_end(scan->evicted);
	if (scan->rows != NULL)
		tuplestore_end(scan->rows);
}

static void
rescan_live_scan(CustomScanState *node)
{
	((LiveScan *) node)->positioned = false;
	ExecScanReScan(&node->ss);
}

static Size
estimate_live_shared(CustomScanState *node, ParallelContext *pcxt)
{
	SfPin *pin = sf_pin_of(node->ss.ps.state);

	return offsetof(LiveShared, spilled) +
	       (pin != NULL && pin->spilled != NULL ? EstimateSnapshotSpace(pin->spilled) : 0);
}

static void
initialize_live_shared(CustomScanState *node, ParallelContext *pcxt, void *coordinate)
{
	SfPin *pin = sf_pin_of(node->ss.ps.state);

	LiveShared *shared = coordinate;

	shared->tick = pin != NULL ? pin->tick : SF_TICK_NONE;
	shared->has_spilled = pin != NULL && pin->spilled != NULL;
	if (shared->has_spilled)
		SerializeSnapshot(pin->spilled, shared->spilled);
}

static void
initialize_live_worker(CustomScanState *node, shm_toc *toc, void *coordinate)
{
	LiveScan *scan = (LiveScan *) node;
	LiveShared *shared = coordinate;

	scan->tick = shared->tick;
	if (shared->has_spilled)
		scan->spilled = RestoreSnapshot(shared->spilled);
}

/* ---- EXPLAIN ---- */

static void
append_comparison(StringInfo out, const char *column, const char *op, Expr *value, List *context)
{
	if (out->len > 0)
		appendStringInfoString(out, " AND ");
	appendStringInfo(out, "%s %s %s", quote_identifier(column), op,
	                 deparse_expression((Node *) value, context, false, false));
}

static void
explain_live_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	static const char *const operators[] = {"", "<", "<=", "=", ">=", ">"};
	LiveScan *scan = (LiveScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, ancestors);
	TupleDesc columns = scan->definition->group_desc;
	int nkeys = list_length(scan->key_values);
	StringInfoData keys;
	StringInfoData windows;

	initStringInfo(&keys);
	initStringInfo(&windows);
	for (int i = 0; i < nkeys; i++)
		if ((scan->key_members & (UINT64CONST(1) << i)) != 0)
			append_comparison(&keys, NameStr(TupleDescAttr(columns, 2 + i)->attname), "=",
			                  list_nth(plan->custom_exprs, i), context);
	for (int i = 0; i < scan->nbounds; i++)
		append_comparison(&windows, scan->bounds[i].on_end ? "window_end" : "window_start",
		                  operators[scan->bounds[i].strategy], list_nth(plan->custom_exprs, nkeys + i), context);
	if (keys.len > 0)
		ExplainPropertyText("Key Lookup", keys.data, es);
	if (windows.len > 0)
		ExplainPropertyText("Windows", windows.data, es);
}

static const CustomExecMethods live_exec_methods = {
    .CustomName = SF_LIVE_SCAN_NAME,
    .BeginCustomScan = begin_live_scan,
    .ExecCustomScan = exec_live_scan,
    .EndCustomScan = end_live_scan,
    .ReScanCustomScan = rescan_live_scan,
    .EstimateDSMCustomScan = estimate_live_shared,
    .InitializeDSMCustomScan = initialize_live_shared,
    .ReInitializeDSMCustomScan = initialize_live_shared,
    .InitializeWorkerCustomScan = initialize_live_worker,
    .ExplainCustomScan = explain_live_scan,
};

static Node *
create_live_scan(CustomScan *plan)
{
	LiveScan *scan = (LiveScan *) newNode(sizeof(LiveScan), T_CustomScanState);

	scan->css.methods = &live_exec_methods;
	return (Node *) scan;
}

const CustomScanMethods sf_live_scan_methods = {
    .CustomName = SF_LIVE_SCAN_NAME,
    .CreateCustomScanState = create_live_scan,
};

void
sf_live_scan_init(void)
{
	RegisterCustomScanMethods(&sf_live_scan_methods);
}
