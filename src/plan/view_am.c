/*
 * view_am.c
 *		The table access method of continuous views: an empty heap that refuses to be read or written.
 *
 * A continuous view is a materialized view without rows of its own.  Reads never come here: the planner hook replaces
 * the view by its output table and its open windows.  What comes here all the same is a path the hook does not know,
 * and it gets an error, never an empty answer.  Maintenance (VACUUM, ANALYZE, freezing, moving the file) finds an
 * ordinary empty heap.
 *
 * Invariant: no tuple is ever stored in a relation of this access method.
 */
#include "streamfuse.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(streamfuse_view_handler);

static TableAmRoutine view_methods;

SF_NORETURN static void
refuse_read(Relation rel)
{
	sf_require_preload();
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("cannot scan continuous view \"%s\" directly", RelationGetRelationName(rel)),
	                errdetail("A continuous view holds no rows of its own.")));
}

SF_NORETURN static void
refuse_write(Relation rel)
{
	sf_require_preload();
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("cannot store rows in relation \"%s\"", RelationGetRelationName(rel)),
	                errdetail("Access method \"%s\" is for continuous views only.", SF_VIEW_AM),
	                errhint("Use CREATE MATERIALIZED VIEW ... WITH (streamfuse.continuous).")));
}

/* ANALYZE reads the empty shell as any heap; nobody else may. */
static TableScanDesc
view_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key, ParallelTableScanDesc parallel,
                uint32 flags)
{
	if ((flags & SO_TYPE_ANALYZE) == 0)
		refuse_read(rel);
	return GetHeapamTableAmRoutine()->scan_begin(rel, snapshot, nkeys, key, parallel, flags);
}

static Size
view_parallelscan_initialize(Relation rel, ParallelTableScanDesc scan)
{
	refuse_read(rel);
}

static struct IndexFetchTableData *
view_index_fetch_begin(Relation rel)
{
	refuse_read(rel);
}

static double
view_index_build_range_scan(Relation table, Relation index, IndexInfo *info, bool allow_sync, bool anyvisible,
                            bool progress, BlockNumber start_block, BlockNumber nblocks, IndexBuildCallback callback,
                            void *callback_state, TableScanDesc scan)
{
	refuse_read(table);
}

static bool
view_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	refuse_read(rel);
}

static void
view_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, struct BulkInsertStateData *bistate)
{
	refuse_write(rel);
}

static void
view_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
                  struct BulkInsertStateData *bistate)
{
	refuse_write(rel);
}

static void
view_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
                              struct BulkInsertStateData *bistate, uint32 token)
{
	refuse_write(rel);
}

/* VACUUM FULL of a whole database comes by here: there is nothing to copy. */
static void
view_copy_for_cluster(Relation old_table, Relation new_table, Relation old_index, bool use_sort,
                      TransactionId oldest_xmin, TransactionId *xid_cutoff, MultiXactId *multi_cutoff,
                      double *num_tuples, double *tups_vacuumed, double *tups_recently_dead)
{
	*num_tuples = 0;
	*tups_vacuumed = 0;
	*tups_recently_dead = 0;
}

/* A toast table comes with any heap that has wide columns; it is a plain heap and stays empty as well. */
static Oid
view_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

Datum
streamfuse_view_handler(PG_FUNCTION_ARGS)
{
	if (view_methods.type != T_TableAmRoutine)
	{
		view_methods = *GetHeapamTableAmRoutine();
		view_methods.scan_begin = view_scan_begin;
		view_methods.parallelscan_initialize = view_parallelscan_initialize;
		view_methods.index_fetch_begin = view_index_fetch_begin;
		view_methods.index_build_range_scan = view_index_build_range_scan;
		view_methods.tuple_fetch_row_version = view_tuple_fetch_row_version;
		view_methods.tuple_insert = view_tuple_insert;
		view_methods.tuple_insert_speculative = view_tuple_insert_speculative;
		view_methods.multi_insert = view_multi_insert;
		view_methods.relation_copy_for_cluster = view_copy_for_cluster;
		view_methods.relation_toast_am = view_toast_am;
		sf_refuse_bitmap_scans(&view_methods);
	}
	PG_RETURN_POINTER(&view_methods);
}
