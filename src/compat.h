/*
 * compat.h
 *		Differences between PostgreSQL's major versions, each wrapped under a name of its own.
 *
 * This is the only file that looks at PG_VERSION_NUM.  PostgreSQL 15 is the version streamfuse is built for; 16 to 18
 * are kept working.  Each wrapper says what PostgreSQL changed, and in which version.  Most are macros, and who uses
 * one includes the headers that the call needs.
 */
#ifndef SF_COMPAT_H
#define SF_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "streamfuse needs PostgreSQL 15, 16, 17 or 18"
#endif

/* ---- functions that do not return: 18 has pg_noreturn, which stands first, for pg_attribute_noreturn() ---- */

#if PG_VERSION_NUM >= 180000
#define SF_NORETURN pg_noreturn
#else
#define SF_NORETURN pg_attribute_noreturn()
#endif

/* ---- intervals: 17 has infinite ones, which only its own functions sum up ---- */

#if PG_VERSION_NUM >= 170000
#define SF_INFINITE_INTERVALS true
#else
#define SF_INFINITE_INTERVALS false
#endif

/* ---- abbreviations of time zones: 16 tells the kind apart from errors.  Includers need utils/datetime.h ---- */

#if PG_VERSION_NUM >= 160000
#define sf_timezone_abbreviation(name, kind, offset, zone)                                                             \
	(DecodeTimezoneAbbrev(0, (name), (kind), (offset), (zone), &(DateTimeErrorExtra){0}) == 0 &&                       \
	 *(kind) != UNKNOWN_FIELD)
#else
#define sf_timezone_abbreviation(name, kind, offset, zone)                                                             \
	((*(kind) = DecodeTimezoneAbbrev(0, (name), (offset), (zone))) != UNKNOWN_FIELD)
#endif

/* ---- a backend's number, from 0 to MaxBackends - 1: 17 has ProcNumber for BackendId, which began at 1 ---- */

#if PG_VERSION_NUM >= 170000
#include "storage/procnumber.h"
#define sf_backend_number() (MyProcNumber)
#define sf_leader_number() (ParallelLeaderProcNumber)
#else
#include "storage/backendid.h"
#define sf_backend_number() (MyBackendId - 1)
#define sf_leader_number() (ParallelLeaderBackendId - 1)
#endif

/* ---- a relation's file: 16 has RelFileLocator for RelFileNode, and renamed the callback that makes a new file ---- */

#if PG_VERSION_NUM >= 160000
typedef struct RelFileLocator SfFileLocator;
#define sf_file_locator(rel) ((rel)->rd_locator)
#define sf_file_number(rel) ((rel)->rd_locator.relNumber)
#define relation_set_new_file relation_set_new_filelocator
#else
typedef struct RelFileNode SfFileLocator;
#define sf_file_locator(rel) ((rel)->rd_node)
#define sf_file_number(rel) ((rel)->rd_node.relNode)
#define relation_set_new_file relation_set_new_filenode
#endif

/* ---- table access methods ---- */

/* What tuple_update says about indexes: 16 can tell that summarizing ones alone need new entries. */
#if PG_VERSION_NUM >= 160000
#define SF_UPDATED_INDEXES TU_UpdateIndexes
#else
#define SF_UPDATED_INDEXES bool
#endif

/* An access method without bitmap scans: 18 has one callback for them where there were two. */
#if PG_VERSION_NUM >= 180000
#define sf_refuse_bitmap_scans(methods) ((methods)->scan_bitmap_next_tuple = NULL)
#else
#define sf_refuse_bitmap_scans(methods)                                                                                \
	((methods)->scan_bitmap_next_block = NULL, (methods)->scan_bitmap_next_tuple = NULL)
#endif

/*
 * Since 16 a bulk insert keeps a range of pages that it has added, up to 64, and fills them one after the other, however
 * long that takes.  Those below the block are given up, and stay empty.
 */
#if PG_VERSION_NUM >= 160000
#define sf_give_up_pages(bistate, block)                                                                               \
	do                                                                                                                 \
	{                                                                                                                  \
		if ((bistate)->next_free != InvalidBlockNumber && (bistate)->next_free < (block))                              \
			(bistate)->next_free = (block);                                                                            \
		if ((bistate)->next_free != InvalidBlockNumber && (bistate)->next_free > (bistate)->last_free)                 \
			(bistate)->next_free = (bistate)->last_free = InvalidBlockNumber;                                          \
	} while (0)
#else
#define sf_give_up_pages(bistate, block) ((void) 0)
#endif

/* ---- permissions: 16 moved them from range table entries into entries of their own, RTEPermissionInfo ---- */

#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#define SF_CHECK_PERMS_PARAMS List *range_table, List *perm_infos, bool ereport_on_violation
#define SF_CHECK_PERMS_ARGS range_table, perm_infos, ereport_on_violation
#define sf_required_perms(rte)                                                                                         \
	((rte)->perminfoindex == 0 ? ACL_NO_RIGHTS : getRTEPermissionInfo(perm_infos, rte)->requiredPerms)
#define sf_check_query_perms(query) ExecCheckPermissions((query)->rtable, (query)->rteperminfos, true)
#else
#define SF_CHECK_PERMS_PARAMS List *range_table, bool ereport_on_violation
#define SF_CHECK_PERMS_ARGS range_table, ereport_on_violation
#define sf_required_perms(rte) ((rte)->requiredPerms)
#define sf_check_query_perms(query) ExecCheckRTPerms((query)->rtable, true)
#endif

/*
 * A range table entry becomes a subquery that contains `own`, a copy of it.  Until 15 own carries the permission check
 * and the lock; since 16 the entry itself goes on to carry them, as those of views do after the rewriter.
 */
#if PG_VERSION_NUM >= 160000
#define sf_move_perms(rte, own) ((own)->perminfoindex = 0)
#else
#define sf_move_perms(rte, own)                                                                                        \
	((rte)->relkind = 0, (rte)->rellockmode = 0, (rte)->requiredPerms = 0, (rte)->checkAsUser = InvalidOid,            \
	 (rte)->selectedCols = NULL)
#endif

/* An entry that nobody needs a permission for: since 16 one that is scanned must say even that. */
#if PG_VERSION_NUM >= 160000
#define sf_add_no_perms(query, rte) ((void) addRTEPermissionInfo(&(query)->rteperminfos, rte))
#else
#define sf_add_no_perms(query, rte) ((void) 0)
#endif

/* The range table of a query goes to another one that takes its place, in FROM, under the first. */
#if PG_VERSION_NUM >= 160000
#define sf_move_query_perms(to, from) ((to)->rteperminfos = (from)->rteperminfos, (from)->rteperminfos = NIL)
#else
#define sf_move_query_perms(to, from) ((void) 0)
#endif

/* 16 has one function for all classes of objects. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_proc_d.h"
#define sf_owns_relation(relid, role) object_ownercheck(RelationRelationId, relid, role)
#define sf_function_aclcheck(function, role) object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#define sf_schema_aclcheck(schema, role) object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE)
#else
#define sf_owns_relation(relid, role) pg_class_ownercheck(relid, role)
#define sf_function_aclcheck(function, role) pg_proc_aclcheck(function, role, ACL_EXECUTE)
#define sf_schema_aclcheck(schema, role) pg_namespace_aclcheck(schema, role, ACL_USAGE)
#endif

/* ---- queries and plans ---- */

/* 16: outer joins have range table indexes of their own, which are left out here. */
#if PG_VERSION_NUM >= 160000
#define sf_relids_in_jointree(node) get_relids_in_jointree(node, false, false)
#else
#define sf_relids_in_jointree(node) get_relids_in_jointree(node, false)
#endif

/* 16: Vars know which outer joins may make them null; a path key needs to be told no more. */
#if PG_VERSION_NUM >= 160000
#define sf_expression_pathkey(root, expr, op, rel) build_expression_pathkey(root, expr, op, (rel)->relids, false)
#else
#define sf_expression_pathkey(root, expr, op, rel) build_expression_pathkey(root, expr, NULL, op, (rel)->relids, false)
#endif

/*
 * An expression of a query over its tables' columns.  Vars may refer to columns of joins, and, since 18, to those of
 * the grouping step.
 */
#if PG_VERSION_NUM >= 180000
#define sf_flatten_vars(query, node)                                                                                   \
	flatten_join_alias_vars(NULL, query, (query)->hasGroupRTE ? flatten_group_exprs(NULL, query, node) : (node))
#elif PG_VERSION_NUM >= 160000
#define sf_flatten_vars(query, node) flatten_join_alias_vars(NULL, query, node)
#else
#define sf_flatten_vars(query, node) flatten_join_alias_vars(query, node)
#endif

/*
 * Once sf_flatten_vars has been applied to all of a query: the entry of the grouping step is no more.  It is not always
 * the last: what a view stands for carries the view's own entry behind it.
 */
#if PG_VERSION_NUM >= 180000
#include "nodes/parsenodes.h"
static inline void
sf_drop_group_entry(Query *query, RangeTblEntry *empty)
{
	ListCell   *cell;

	foreach(cell, query->rtable)
		if (lfirst_node(RangeTblEntry, cell)->rtekind == RTE_GROUP)
			lfirst(cell) = empty;
	query->hasGroupRTE = false;
}
#else
#define sf_drop_group_entry(query, empty) ((void) 0)
#endif

/* 18 has generated columns that are computed by who reads them, and not stored. */
#if PG_VERSION_NUM >= 180000
#define sf_is_stored_column(relid, column) (get_attgenerated(relid, column) != ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define sf_is_stored_column(relid, column) true
#endif

/*
 * 16 gave array_agg and string_agg transition states that can be serialised.  Such a state holds all its inputs, would
 * be serialised whole for each batch that adds to it, and shows the order in which rows came.
 */
#if PG_VERSION_NUM >= 160000
#define sf_serialises_inputs(function)                                                                                 \
	((function) == F_ARRAY_AGG_SERIALIZE || (function) == F_ARRAY_AGG_ARRAY_SERIALIZE ||                               \
	 (function) == F_STRING_AGG_SERIALIZE)
#else
#define sf_serialises_inputs(function) false
#endif

/* ---- execution ---- */

/* 18: a plan runs once only, so that execute_once went away. */
#if PG_VERSION_NUM >= 180000
#define SF_RUN_PARAMS QueryDesc *query_desc, ScanDirection direction, uint64 count
#define SF_RUN_ARGS query_desc, direction, count
#define sf_executor_run(query_desc) ExecutorRun(query_desc, ForwardScanDirection, 0)
#else
#define SF_RUN_PARAMS QueryDesc *query_desc, ScanDirection direction, uint64 count, bool execute_once
#define SF_RUN_ARGS query_desc, direction, count, execute_once
#define sf_executor_run(query_desc) ExecutorRun(query_desc, ForwardScanDirection, 0, true)
#endif

/* 18: a minimal tuple may have room before it. */
#if PG_VERSION_NUM >= 180000
#define sf_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple(desc, values, nulls, 0)
#define sf_copy_minimal_tuple(tuple) heap_copy_minimal_tuple(tuple, 0)
#else
#define sf_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple(desc, (Datum *) (values), (bool *) (nulls))
#define sf_copy_minimal_tuple(tuple) heap_copy_minimal_tuple(tuple)
#endif

/* Tells a backend's transactions apart.  17 moved it. */
#if PG_VERSION_NUM >= 170000
#define sf_local_transaction() (MyProc->vxid.lxid)
#else
#define sf_local_transaction() (MyProc->lxid)
#endif

/* A range table without permissions; 18 wants to know which relations run-time pruning leaves. */
#if PG_VERSION_NUM >= 180000
#define sf_init_range_table(estate, range_table)                                                                       \
	ExecInitRangeTable(estate, range_table, NIL, bms_add_range(NULL, 1, list_length(range_table)))
#elif PG_VERSION_NUM >= 160000
#define sf_init_range_table(estate, range_table) ExecInitRangeTable(estate, range_table, NIL)
#else
#define sf_init_range_table(estate, range_table) ExecInitRangeTable(estate, range_table)
#endif

/* Index entries of a new row.  16: an update may ask for summarizing indexes alone. */
#if PG_VERSION_NUM >= 160000
#define sf_insert_index_entries(target, slot, estate)                                                                  \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#else
#define sf_insert_index_entries(target, slot, estate)                                                                  \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#endif

/* The first columns of a descriptor.  In 18 its size is part of where its columns lie, so that it takes a copy. */
#if PG_VERSION_NUM >= 180000
#define sf_truncated_desc(desc, size) CreateTupleDescTruncatedCopy(desc, size)
#else
#define sf_truncated_desc(desc, size) ((desc)->natts = (size), (desc))
#endif

/* 18 moved ExplainPropertyText and its like. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

/* ---- smaller ones ---- */

/* A scan of an index.  18 counts what it does, if asked to. */
#if PG_VERSION_NUM >= 180000
#define sf_index_beginscan(table, index, snapshot, nkeys) index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define sf_index_beginscan(table, index, snapshot, nkeys) index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* An index of a table's own, quietly.  16 reports progress over partitions, whose number is not known (-1). */
#if PG_VERSION_NUM >= 160000
#define sf_define_index(relid, stmt)                                                                                   \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, -1, false, false, false, false, true)
#else
#define sf_define_index(relid, stmt)                                                                                   \
	DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, false, false, false, false, true)
#endif

/* 16: a column of the one that the other lacks may be passed over, if asked for. */
#if PG_VERSION_NUM >= 160000
#define sf_attribute_map(to, from) build_attrmap_by_name_if_req(to, from, false)
#else
#define sf_attribute_map(to, from) build_attrmap_by_name_if_req(to, from)
#endif

/* The next value of a sort, as a copy.  16 can do without copying. */
#if PG_VERSION_NUM >= 160000
#define sf_tuplesort_next_datum(sort, value, isnull) tuplesort_getdatum(sort, true, true, value, isnull, NULL)
#else
#define sf_tuplesort_next_datum(sort, value, isnull) tuplesort_getdatum(sort, true, value, isnull, NULL)
#endif

/* Exactly this lock mode.  17 can also ask for stronger ones. */
#if PG_VERSION_NUM >= 170000
#define sf_lock_held_by_me(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define sf_lock_held_by_me(tag, mode) LockHeldByMe(tag, mode)
#endif

/* The postmaster's list of background workers is doubly linked since 18. */
#if PG_VERSION_NUM >= 180000
#define SfWorkerIter dlist_iter
#define sf_foreach_worker(iter) dlist_foreach(iter, &BackgroundWorkerList)
#define sf_worker_entry(iter) dlist_container(RegisteredBgWorker, rw_lnode, (iter).cur)
#else
#define SfWorkerIter slist_iter
#define sf_foreach_worker(iter) slist_foreach(iter, &BackgroundWorkerList)
#define sf_worker_entry(iter) slist_container(RegisteredBgWorker, rw_lnode, (iter).cur)
#endif

/* 17 dropped the error code with the feature (old_snapshot_threshold). */
#ifndef ERRCODE_SNAPSHOT_TOO_OLD
#define ERRCODE_SNAPSHOT_TOO_OLD MAKE_SQLSTATE('7', '2', '0', '0', '0')
#endif

/* Empties tables that are open and locked, of which the lists tell.  16: may run as the tables' owners. */
#if PG_VERSION_NUM >= 160000
#define sf_truncate(rels, relids) ExecuteTruncateGuts((rels), (relids), NIL, DROP_RESTRICT, false, false)
#else
#define sf_truncate(rels, relids) ExecuteTruncateGuts((rels), (relids), NIL, DROP_RESTRICT, false)
#endif

#endif /* SF_COMPAT_H */
