/*
 * view_catalog.c
 *		What the catalogs say of a view: its query, its output table, its row in streamfuse.fragment.
 *
 * The truth about which table is a view's output, and whether the view is active at all, is the AUTO dependency
 * output -> view in pg_depend; streamfuse.fragment carries what the worker needs beside it.  A row of that table whose
 * view is not active (it was left by pg_upgrade, say) is passed over.
 */
#include "plan/view_internal.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pg_list.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "plan/branch.h"
#include "state/catalog.h"
#include "stream/settings.h"

enum
{
	FRAGMENT_ID = 1,
	FRAGMENT_VIEW,
	FRAGMENT_OUTPUT,
	FRAGMENT_STREAMS,
	FRAGMENT_BEGINS_AT,
	FRAGMENT_ADOPTED_UNTIL,
	FRAGMENT_PAUSED,
	FRAGMENT_RESUMES,
	FRAGMENT_COLUMNS = FRAGMENT_RESUMES,
};

bool
sf_is_continuous_view(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class class;
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	result = class->relkind == RELKIND_MATVIEW && OidIsValid(class->relam) && class->relam == sf_view_am_oid(true);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * The relation at the other end of a whole-relation AUTO dependency: the table that hangs on `relid`, or the
 * materialized view that `relid` hangs on.
 */
static Oid
auto_dependency(Oid relid, bool find_dependent)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	Oid found = InvalidOid;

	ScanKeyInit(&key[0], find_dependent ? Anum_pg_depend_refclassid : Anum_pg_depend_classid, BTEqualStrategyNumber,
	            F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], find_dependent ? Anum_pg_depend_refobjid : Anum_pg_depend_objid, BTEqualStrategyNumber,
	            F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, find_dependent ? DependReferenceIndexId : DependDependerIndexId, true, NULL, 2,
	                          key);
	while (!OidIsValid(found) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);
		Oid other = find_dependent ? row->objid : row->refobjid;

		if (row->deptype == DEPENDENCY_AUTO && row->classid == RelationRelationId &&
		    row->refclassid == RelationRelationId && row->objsubid == 0 && row->refobjsubid == 0 &&
		    get_rel_relkind(other) == (find_dependent ? RELKIND_RELATION : RELKIND_MATVIEW))
			found = other;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

Oid
sf_view_output(Oid view)
{
	return auto_dependency(view, true);
}

Oid
sf_output_view(Oid relid)
{
	Oid view;

	if (get_rel_relkind(relid) != RELKIND_RELATION)
		return InvalidOid;
	view = auto_dependency(relid, false);
	return OidIsValid(view) && sf_is_continuous_view(view) ? view : InvalidOid;
}

void
sf_view_require_active(Oid view)
{
	if (!OidIsValid(sf_view_output(view)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("continuous view \"%s\" is not active", get_rel_name(view)),
		                errdetail("It was restored from a dump, or its output table was dropped."),
		                errhint("Run REFRESH MATERIALIZED VIEW to activate it.")));
}

Query *
sf_view_query(Oid view)
{
	Relation rel = table_open(view, AccessShareLock);
	RewriteRule *rule;
	Query *query;

	if (rel->rd_rules == NULL || rel->rd_rules->numLocks != 1 || list_length(rel->rd_rules->rules[0]->actions) != 1)
		elog(ERROR, "continuous view \"%s\" has no stored query", RelationGetRelationName(rel));
	rule = rel->rd_rules->rules[0];
	query = copyObject(linitial_node(Query, rule->actions));
	table_close(rel, NoLock);
	return query;
}

bool
sf_view_is_stateless(Oid view)
{
	return sf_query_is_stateless(sf_view_query(view));
}

static void
add_later_or_equal(Query *query, Node *time, SfTime begins_at)
{
	Oid type = exprType(time);
	Oid later_or_equal = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(">=")), type, type);
	OpExpr *later = (OpExpr *) make_opclause(
	    later_or_equal, BOOLOID, false, (Expr *) time,
	    (Expr *) makeConst(type, -1, InvalidOid, sizeof(int64), Int64GetDatum(begins_at), false, FLOAT8PASSBYVAL),
	    InvalidOid, InvalidOid);

	set_opfuncid(later);
	query->jointree->quals = make_and_qual(query->jointree->quals, (Node *) later);
}

/* With what time a view without a window begins: each branch by the time of its stream. */
typedef struct BranchesBegin
{
	const SfDefinition *definition;
	SfTime begins_at;
} BranchesBegin;

static void
leave_out_of_branch(Query *query, Index stream, int branch, void *arg)
{
	BranchesBegin *begin = arg;
	Node *time = copyObject((Node *) begin->definition->branches[branch].time);

	if (time == NULL)
		elog(ERROR, "a branch of a continuous view begins with a time that its stream has not");
	ChangeVarNodes(time, 1, stream, 0);
	add_later_or_equal(query, time, begin->begins_at);
}

/*
 * A view made WITH NO DATA begins at the start of a window, so the rows of its windows are those from that time on.  Where
 * windows overlap these are in earlier windows, too.  Sessions are those of the rows from that time on.
 */
static void
leave_out_earlier_windows(Oid view, Query *query)
{
	SfTime begins_at = sf_view_begins_at(view);
	SfDefinition *definition;
	Node *time;

	if (begins_at == SF_TIME_MINUS_INFINITY)
		return;
	definition = sf_define_view(CurrentMemoryContext, view);
	if (!definition->has_window)
	{
		BranchesBegin begin = {definition, begins_at};

		sf_visit_selects(query, leave_out_of_branch, &begin);
		return;
	}
	if (definition->layout->in_panes && definition->session == NULL)
		time = (Node *) copyObject(definition->window_start);
	else
	{
		time = (Node *) copyObject(definition->time);
		ChangeVarNodes(time, 1, definition->row_varno, 0);
	}
	add_later_or_equal(query, time, begins_at);
}

/* The relation cache hands out the query's range tables with checkAsUser set to the owner of the view. */
Query *
sf_view_batch_query(Oid view)
{
	Query *query = sf_view_query(view);
	List *rewritten;

	AcquireRewriteLocks(query, true, false);
	leave_out_earlier_windows(view, query);
	rewritten = QueryRewrite(query);
	if (list_length(rewritten) != 1)
		elog(ERROR, "unexpected rewrite result for continuous view %u", view);
	return linitial_node(Query, rewritten);
}

static void
read_streams(SfFragmentRow *row, Datum value)
{
	Datum *streams;
	int n;

	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &streams, NULL, &n);
	if (n < 1 || n > SF_MAX_STREAMS)
		elog(ERROR, "continuous view %u reads %d streams", row->view, n);
	row->nstreams = n;
	for (int i = 0; i < n; i++)
		row->streams[i] = DatumGetObjectId(streams[i]);
	pfree(streams);
}

static Datum
streams_array(const SfFragmentRow *row)
{
	Datum streams[SF_MAX_STREAMS];

	for (int i = 0; i < row->nstreams; i++)
		streams[i] = ObjectIdGetDatum(row->streams[i]);
	return PointerGetDatum(construct_array(streams, row->nstreams, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

static SfFragmentRow *
fragment_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	SfFragmentRow *row = palloc0(sizeof(SfFragmentRow));
	bool isnull;

	row->id = DatumGetInt32(heap_getattr(tuple, FRAGMENT_ID, desc, &isnull));
	row->view = DatumGetObjectId(heap_getattr(tuple, FRAGMENT_VIEW, desc, &isnull));
	row->output = DatumGetObjectId(heap_getattr(tuple, FRAGMENT_OUTPUT, desc, &isnull));
	read_streams(row, heap_getattr(tuple, FRAGMENT_STREAMS, desc, &isnull));
	row->begins_at = DatumGetInt64(heap_getattr(tuple, FRAGMENT_BEGINS_AT, desc, &isnull));
	if (isnull)
		row->begins_at = SF_TIME_MINUS_INFINITY;
	row->adopted_until = DatumGetInt64(heap_getattr(tuple, FRAGMENT_ADOPTED_UNTIL, desc, &isnull));
	if (isnull)
		row->adopted_until = SF_TIME_MINUS_INFINITY;
	row->paused = DatumGetBool(heap_getattr(tuple, FRAGMENT_PAUSED, desc, &isnull));
	row->resumes = (uint32) DatumGetInt32(heap_getattr(tuple, FRAGMENT_RESUMES, desc, &isnull));
	return row;
}

List *
sf_fragment_rows(Snapshot snapshot)
{
	SfCatalog *fragment = sf_catalog_open("fragment", AccessShareLock);
	SysScanDesc scan = sf_catalog_scan_begin(fragment, NULL, 0, NULL, snapshot);
	HeapTuple tuple;
	List *rows = NIL;
	ListCell *cell;

	while (HeapTupleIsValid(tuple = sf_catalog_scan_next(scan)))
		rows = lappend(rows, fragment_from_tuple(tuple, RelationGetDescr(sf_catalog_table(fragment))));
	sf_catalog_scan_end(scan);
	sf_catalog_close(fragment, AccessShareLock);

	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (!sf_is_continuous_view(row->view) || sf_view_output(row->view) != row->output)
			rows = foreach_delete_current (rows, cell);
	}
	return rows;
}

SfFragmentRow *
sf_fragment_row(Oid view)
{
	SfCatalog *fragment = sf_catalog_open("fragment", AccessShareLock);
	SfFragmentRow *row = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, FRAGMENT_VIEW, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	scan = sf_catalog_scan_begin(fragment, "fragment_view_key", 1, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (HeapTupleIsValid(tuple))
		row = fragment_from_tuple(tuple, RelationGetDescr(sf_catalog_table(fragment)));
	sf_catalog_scan_end(scan);
	sf_catalog_close(fragment, AccessShareLock);
	return row;
}

void
sf_fragment_add(const SfFragmentRow *row)
{
	SfCatalog *fragment = sf_catalog_open("fragment", RowExclusiveLock);
	Datum values[FRAGMENT_COLUMNS];
	bool nulls[FRAGMENT_COLUMNS] = {0};

	values[FRAGMENT_ID - 1] = Int32GetDatum(row->id);
	values[FRAGMENT_VIEW - 1] = ObjectIdGetDatum(row->view);
	values[FRAGMENT_OUTPUT - 1] = ObjectIdGetDatum(row->output);
	values[FRAGMENT_STREAMS - 1] = streams_array(row);
	values[FRAGMENT_BEGINS_AT - 1] = Int64GetDatum(row->begins_at);
	nulls[FRAGMENT_BEGINS_AT - 1] = row->begins_at == SF_TIME_MINUS_INFINITY;
	values[FRAGMENT_ADOPTED_UNTIL - 1] = Int64GetDatum(row->adopted_until);
	nulls[FRAGMENT_ADOPTED_UNTIL - 1] = row->adopted_until == SF_TIME_MINUS_INFINITY;
	values[FRAGMENT_PAUSED - 1] = BoolGetDatum(row->paused);
	values[FRAGMENT_RESUMES - 1] = Int32GetDatum((int32) row->resumes);
	sf_catalog_insert(fragment, values, nulls);
	sf_catalog_close(fragment, NoLock);
	CommandCounterIncrement();
}

/*
 * What pause() and resume() ask for; the worker follows once it is committed.  The caller's lock on the view keeps others
 * from changing the row.  False: there is none.
 */
bool
sf_fragment_pause(Oid view, bool pause)
{
	SfCatalog *fragment = sf_catalog_open("fragment", RowExclusiveLock);
	Datum values[FRAGMENT_COLUMNS] = {0};
	bool nulls[FRAGMENT_COLUMNS] = {0};
	bool replace[FRAGMENT_COLUMNS] = {0};
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found;

	ScanKeyInit(&key, FRAGMENT_VIEW, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	scan = sf_catalog_scan_begin(fragment, "fragment_view_key", 1, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		SfFragmentRow *row = fragment_from_tuple(tuple, RelationGetDescr(sf_catalog_table(fragment)));

		values[FRAGMENT_PAUSED - 1] = BoolGetDatum(pause);
		values[FRAGMENT_RESUMES - 1] = Int32GetDatum((int32) (row->resumes + 1));
		replace[FRAGMENT_PAUSED - 1] = true;
		replace[FRAGMENT_RESUMES - 1] = !pause;
		sf_catalog_update(fragment, tuple, values, nulls, replace);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(fragment, NoLock);
	CommandCounterIncrement();
	return found;
}

/*
 * Deletes a fragment's rows from a table whose first column, and first column of the index, is the fragment's number.
 * The worker writes these tables too, but a fragment's rows only while it holds a lock on the view, which whoever
 * deletes them has exclusively.
 */
static void
delete_rows(const char *table_name, const char *index_name, int32 fragment)
{
	SfCatalog *catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!sf_catalog_exists(table_name))
		return;
	catalog = sf_catalog_open(table_name, RowExclusiveLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment));
	scan = sf_catalog_scan_begin(catalog, index_name, 1, &key, NULL);
	while (HeapTupleIsValid(tuple = sf_catalog_scan_next(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		sf_catalog_delete(catalog, tuple);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, NoLock);
}

/*
 * Removes a view's fragment and all that is kept for it.  Finds nothing for a view that is not active, and nothing when
 * DROP EXTENSION has taken our tables before it came to the view.
 */
void
sf_fragment_remove(Oid view)
{
	SfCatalog *fragment;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!sf_catalog_exists("fragment"))
		return;
	fragment = sf_catalog_open("fragment", RowExclusiveLock);
	ScanKeyInit(&key, FRAGMENT_VIEW, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	scan = sf_catalog_scan_begin(fragment, "fragment_view_key", 1, &key, NULL);
	while (HeapTupleIsValid(tuple = sf_catalog_scan_next(scan)))
	{
		SfFragmentRow *row = fragment_from_tuple(tuple, RelationGetDescr(sf_catalog_table(fragment)));

		delete_rows("progress", "progress_pkey", row->id);
		delete_rows("state", "state_pkey", row->id);
		delete_rows("spilled", "spilled_key", row->id);
		delete_rows("dirty_window", "dirty_window_pkey", row->id);
		delete_rows("error_row", "error_row_pkey", row->id);
		sf_catalog_delete(fragment, tuple);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(fragment, NoLock);
	CommandCounterIncrement();
}
