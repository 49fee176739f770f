/*
 * stream_am.c
 *		The handler of the access method `stream`, and what a stream refuses.
 *
 * A stream is a heap whose rows never change: reads, row locks, TOAST, VACUUM and ANALYZE are heap's own callbacks, so
 * pages and WAL are those of a heap.  Capture relies on three things held here.  S1: a row once committed keeps its
 * place (no update, no delete, no rewrite while a view reads the stream).  S2: the file never gets shorter (VACUUM does
 * not truncate).  S3: pages are shared and WAL-logged (no temporary and no unlogged streams).
 *
 * Reading works without the library being preloaded, so that nobody's data is held hostage; creating and inserting
 * does not.
 */
#include "stream/stream.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "catalog/pg_database_d.h"
#include "catalog/pg_inherits.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "state/catalog.h"
#include "stream/floor.h"
#include "stream/settings.h"

/* The column of streamfuse.fragment that names the streams a view reads. */
#define ANUM_FRAGMENT_STREAMS 4

static const TableAmRoutine *heap;
static TableAmRoutine stream_methods;
static object_access_hook_type previous_object_access_hook;

PG_FUNCTION_INFO_V1(streamfuse_stream_handler);

/* Is one of these relations in an array of oids? */
static bool
has_one_of(ArrayType *array, List *relids)
{
	Datum *values;
	int n;

	deconstruct_array(array, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		if (list_member_oid(relids, DatumGetObjectId(values[i])))
			return true;
	return false;
}

/* Is one of the relations named in the fragments? */
static bool
fragment_reads_one_of(List *relids)
{
	Oid schema = sf_catalog_schema(true);
	SfCatalog *fragments;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	/* Also asked for while the extension is being created or dropped. */
	if (!OidIsValid(schema) || !OidIsValid(get_relname_relid("fragment", schema)))
		return false;
	fragments = sf_catalog_open("fragment", AccessShareLock);
	scan = sf_catalog_scan_begin(fragments, NULL, 0, NULL, NULL);
	while (!found && (tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		bool isnull;
		Datum streams = heap_getattr(tuple, ANUM_FRAGMENT_STREAMS, RelationGetDescr(sf_catalog_table(fragments)),
		                             &isnull);

		found = !isnull && has_one_of(DatumGetArrayTypeP(streams), relids);
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(fragments, AccessShareLock);
	return found;
}

bool
sf_stream_has_views(Oid relid)
{
	List *relids = list_make1_oid(relid);
	bool result;

	if (get_rel_relispartition(relid))
		relids = list_concat(relids, get_partition_ancestors(relid));
	result = fragment_reads_one_of(relids);
	list_free(relids);
	return result;
}

void
sf_stream_release_floors(const List *keep)
{
	List *relids = sf_floor_relids(MyDatabaseId);
	ListCell *cell;

	foreach (cell, relids)
		if (!list_member_oid(keep, lfirst_oid(cell)) && !sf_stream_has_views(lfirst_oid(cell)))
			sf_floor_detach(MyDatabaseId, lfirst_oid(cell));
	list_free(relids);
}

void
sf_stream_refuse_with_views(Relation rel, const char *what)
{
	if (sf_stream_has_views(RelationGetRelid(rel)))
		ereport(ERROR,
		        (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		         errmsg("cannot %s stream \"%s\" because continuous views read it", what, RelationGetRelationName(rel)),
		         errhint("Drop the continuous views first, or keep old rows in partitions and drop those.")));
}

static void
refuse_change(Relation rel)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("stream \"%s\" is append-only", RelationGetRelationName(rel)),
	                errdetail("Rows of a stream cannot be updated, deleted or moved to another partition."),
	                errhint("Insert a row that corrects the earlier one, or remove old rows by dropping partitions.")));
}

/* Partitions are not looked at one by one where the first is an ordinary table. */
static bool
holds_stream_rows(Oid relid)
{
	Oid leaf = relid;

	while (get_rel_relkind(leaf) == RELKIND_PARTITIONED_TABLE)
	{
		Relation rel = table_open(leaf, AccessShareLock);
		PartitionDesc partitions = RelationGetPartitionDesc(rel, true);

		leaf = partitions->nparts > 0 ? partitions->oids[0] : InvalidOid;
		table_close(rel, NoLock);
	}
	return OidIsValid(leaf) && sf_is_stream(leaf) && (leaf == relid || sf_is_stream(relid));
}

static bool
changes_rows(const Query *query)
{
	ListCell *cell;

	if (query->commandType == CMD_UPDATE || query->commandType == CMD_DELETE)
		return true;
	foreach (cell, query->mergeActionList)
	{
		CmdType action = lfirst_node(MergeAction, cell)->commandType;

		if (action == CMD_UPDATE || action == CMD_DELETE)
			return true;
	}
	return false;
}

/*
 * A foreign key's own actions (they are known by their exemption from row-level security) are left to what they find: a
 * referenced row that no row of the stream refers to may go.
 */
void
sf_stream_refuse_changes(const Query *query)
{
	ListCell *cell;

	if (changes_rows(query) && query->resultRelation > 0 && !InNoForceRLSOperation())
	{
		RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);

		if (rte->rtekind == RTE_RELATION && holds_stream_rows(rte->relid))
		{
			Relation rel = table_open(rte->relid, NoLock);

			refuse_change(rel);
		}
	}
	foreach (cell, query->cteList)
	{
		Node *inner = lfirst_node(CommonTableExpr, cell)->ctequery;

		if (IsA(inner, Query) && castNode(Query, inner)->commandType != CMD_SELECT)
			sf_stream_refuse_changes(castNode(Query, inner));
	}
}

static TM_Result
stream_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                    TM_FailureData *tmfd, bool changing_partition)
{
	refuse_change(rel);
	return TM_Invisible; /* not reached */
}

static TM_Result
stream_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot,
                    Snapshot crosscheck, bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode,
                    SF_UPDATED_INDEXES *update_indexes)
{
	refuse_change(rel);
	return TM_Invisible; /* not reached */
}

/*
 * The table that a rewriting command has locked and is making this copy of; InvalidOid: it is no copy.  A copy is known
 * by its name only.
 */
static Oid
copied_relation(Relation copy)
{
	Oid relid;
	LOCKTAG tag;

	if (sscanf(RelationGetRelationName(copy), "pg_temp_%u", &relid) != 1)
		return InvalidOid;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	return sf_lock_held_by_me(&tag, AccessExclusiveLock) ? relid : InvalidOid;
}

/* Refuses a rewrite before its work; where another access method makes the copy it is refused after it. */
static void
refuse_copy(Relation copy)
{
	Oid relid = copied_relation(copy);
	Relation rel;

	if (!OidIsValid(relid) || !sf_stream_has_views(relid))
		return;
	rel = table_open(relid, NoLock);
	sf_stream_refuse_with_views(rel, "rewrite");
	table_close(rel, NoLock);
}

/*
 * Called for CREATE, TRUNCATE and for the new copy of a rewritten table.  pg_upgrade must be able to restore the
 * definition of a stream whatever the new server preloads.
 */
static void
stream_relation_set_new_filenode(Relation rel, const SfFileLocator *newrnode, char persistence,
                                 TransactionId *freeze_xid, MultiXactId *minmulti)
{
	if (!IsBinaryUpgrade)
		sf_require_preload();
	if (persistence == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("streams cannot be temporary"),
		                errhint("Create a permanent table, or a temporary one with USING heap.")));
	if (persistence == RELPERSISTENCE_UNLOGGED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("streams cannot be unlogged"),
		                errhint("Create a permanent table, or an unlogged one with USING heap.")));
	sf_stream_refuse_with_views(rel, "truncate");
	refuse_copy(rel);
	heap->relation_set_new_file(rel, newrnode, persistence, freeze_xid, minmulti);
}

static void
stream_relation_nontransactional_truncate(Relation rel)
{
	sf_stream_refuse_with_views(rel, "truncate");
	heap->relation_nontransactional_truncate(rel);
}

static void
stream_relation_copy_data(Relation rel, const SfFileLocator *newrnode)
{
	sf_stream_refuse_with_views(rel, "move");
	heap->relation_copy_data(rel, newrnode);
}

/* VACUUM FULL and CLUSTER. */
static void
stream_relation_copy_for_cluster(Relation old, Relation new, Relation index, bool use_sort, TransactionId oldest_xmin,
                                 TransactionId *xid_cutoff, MultiXactId *multi_cutoff, double *num_tuples,
                                 double *tups_vacuumed, double *tups_recently_dead)
{
	sf_stream_refuse_with_views(old, "rewrite");
	heap->relation_copy_for_cluster(old, new, index, use_sort, oldest_xmin, xid_cutoff, multi_cutoff, num_tuples,
	                                tups_vacuumed, tups_recently_dead);
}

/* Trailing pages are kept: rows inserted after a truncation would lie below the floor and never be counted. */
static void
stream_relation_vacuum(Relation rel, VacuumParams *params, BufferAccessStrategy strategy)
{
	VacuumParams keep_length = *params;

	keep_length.truncate = VACOPTVALUE_DISABLED;
	heap->relation_vacuum(rel, &keep_length, strategy);
}

static Oid
stream_relation_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

/*
 * The rewriting forms of ALTER TABLE have no callback for the table they replace (refuse_copy knows most).  They all end in a swap of relation
 * files, which reports the alteration of the old relation's pg_class row before it is visible: a changed relfilenode
 * there is a rewrite.
 */
static bool
is_being_rewritten(Oid relid)
{
	HeapTuple before = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Relation pg_class;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple after;
	bool changed;

	if (!HeapTupleIsValid(before))
		return false;
	pg_class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	after = systable_getnext(scan);
	changed = HeapTupleIsValid(after) &&
	          ((Form_pg_class) GETSTRUCT(after))->relfilenode != ((Form_pg_class) GETSTRUCT(before))->relfilenode;
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	ReleaseSysCache(before);
	return changed;
}

Oid
sf_stream_other_table(Oid relid)
{
	List *relids = find_all_inheritors(relid, NoLock, NULL);
	Oid other = InvalidOid;
	ListCell *cell;

	foreach (cell, relids)
		if (!OidIsValid(other) && get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE &&
		    !sf_is_stream(lfirst_oid(cell)))
			other = lfirst_oid(cell);
	list_free(relids);
	return other;
}

/*
 * A table has got a parent, as a partition, made as one or attached, or otherwise.  The worker could not read partitions
 * that are no streams; and tables that inherit from a stream would come into FROM unless it says ONLY.
 */
static void
check_new_child(Oid relid, Oid parent)
{
	Oid other;

	if (!sf_stream_has_views(parent))
		return;
	if (get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
		        (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		         errmsg("cannot inherit from stream \"%s\" because continuous views read it", get_rel_name(parent)),
		         errhint("Use a partitioned table.")));
	other = sf_stream_other_table(relid);
	if (OidIsValid(other))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("table \"%s\" cannot belong to \"%s\" because it is not a stream", get_rel_name(other),
		                       get_rel_name(parent)),
		                errdetail("Continuous views read \"%s\".", get_rel_name(parent)),
		                errhint("Use CREATE TABLE ... USING stream.")));
}

static void
stream_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_object_access_hook)
		previous_object_access_hook(access, class_id, object_id, sub_id, arg);

	/* Nobody is connected to a database that is being dropped, so no insert is under way. */
	if (access == OAT_DROP && class_id == DatabaseRelationId)
		sf_floor_detach_database(object_id);

	if (access == OAT_POST_ALTER && class_id == InheritsRelationId && !IsBinaryUpgrade)
		check_new_child(object_id, ((ObjectAccessPostAlter *) arg)->auxiliary_id);

	if (access == OAT_POST_ALTER && class_id == RelationRelationId && sub_id == 0 && !IsBinaryUpgrade &&
	    sf_stream_has_views(object_id) && is_being_rewritten(object_id))
	{
		Relation rel = RelationIdGetRelation(object_id);

		sf_stream_refuse_with_views(rel, "rewrite");
		RelationClose(rel);
	}
}

static void
define_methods(void)
{
	heap = GetHeapamTableAmRoutine();
	stream_methods = *heap;
	stream_methods.tuple_insert = sf_stream_tuple_insert;
	stream_methods.tuple_insert_speculative = sf_stream_tuple_insert_speculative;
	stream_methods.multi_insert = sf_stream_multi_insert;
	stream_methods.tuple_delete = stream_tuple_delete;
	stream_methods.tuple_update = stream_tuple_update;
	stream_methods.relation_set_new_file = stream_relation_set_new_filenode;
	stream_methods.relation_nontransactional_truncate = stream_relation_nontransactional_truncate;
	stream_methods.relation_copy_data = stream_relation_copy_data;
	stream_methods.relation_copy_for_cluster = stream_relation_copy_for_cluster;
	stream_methods.relation_vacuum = stream_relation_vacuum;
	stream_methods.relation_toast_am = stream_relation_toast_am;
	stream_methods.index_build_range_scan = sf_stream_index_build_range_scan;
	stream_methods.index_validate_scan = sf_stream_index_validate_scan;
}

Datum
streamfuse_stream_handler(PG_FUNCTION_ARGS)
{
	if (heap == NULL)
		define_methods();
	PG_RETURN_POINTER(&stream_methods);
}

void
sf_stream_am_init(void)
{
	previous_object_access_hook = object_access_hook;
	object_access_hook = stream_object_access;
}
