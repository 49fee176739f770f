/*
 * stream.h
 *		The table access method `stream`: append-only tables, heap underneath.
 *
 * Everything is heap's but for what this module overrides: inserts follow the insert protocol (floor.h), rows are never
 * changed or removed, index builds scan without heap's own shortcuts, VACUUM never shortens the file, and what would
 * move or drop rows is refused while a continuous view reads the stream.
 */
#ifndef SF_STREAM_H
#define SF_STREAM_H

#include "streamfuse.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"

extern void sf_stream_am_init(void);	/* from _PG_init */

/* Does a continuous view read this relation, or the partitioned table at the top of it? */
extern bool sf_stream_has_views(Oid relid);

/*
 * Gives back the floor slots of this database's streams that no continuous view reads and that are not in keep; for the
 * worker, between ticks.
 */
extern void sf_stream_release_floors(const List *keep);

/* A relation of the tree below relid, itself included, that holds rows and is no stream; InvalidOid: none. */
extern Oid	sf_stream_other_table(Oid relid);

/* Raises the error that a stream is append-only for a command that would change rows of one, if there were any. */
extern void sf_stream_refuse_changes(const Query *query);

/* Raises the error that `what` (a verb, as "truncate") cannot be done to the stream while continuous views read it. */
extern void sf_stream_refuse_with_views(Relation rel, const char *what);

/* stream_vacuum.c: the relations that VACUUM is to visit, NIL: all of the database; warns of those passed over. */
extern List *sf_stream_vacuum_relations(VacuumStmt *stmt);

/* stream_insert.c */
extern void sf_stream_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
								   BulkInsertState bistate);
extern void sf_stream_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
											   BulkInsertState bistate, uint32 token);
extern void sf_stream_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
								   BulkInsertState bistate);

/* stream_index.c */
extern double sf_stream_index_build_range_scan(Relation table, Relation index, IndexInfo *info, bool allow_sync,
											   bool anyvisible, bool progress, BlockNumber start, BlockNumber count,
											   IndexBuildCallback callback, void *callback_state, TableScanDesc scan);
extern void sf_stream_index_validate_scan(Relation table, Relation index, IndexInfo *info, Snapshot snapshot,
										  ValidateIndexState *state);

#endif							/* SF_STREAM_H */
