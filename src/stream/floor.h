/*
 * floor.h
 *		The insert protocol: which blocks of a stream an insert may still touch.
 *
 * Shared memory holds one slot per captured stream (the *floor*: no insert that begins now goes below this block) and
 * one counter per backend (odd while the backend is inside an insert).  An inserter goes odd, fences, reads the floor,
 * inserts at or above it, and goes even.  The capture publishes a higher floor, fences, copies the counters; once every
 * odd counter has moved on, no insert can touch blocks below the floor any more: they are *sealed*.
 */
#ifndef SF_FLOOR_H
#define SF_FLOOR_H

#include "streamfuse.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "nodes/pg_list.h"
#include "storage/block.h"
#include "utils/rel.h"

typedef struct SfFloorSlot SfFloorSlot; /* opaque, in main shared memory */

/* A copy of all backends' insert counters. */
typedef struct SfSections SfSections;

extern Size sf_floor_shmem_size(void);
extern void sf_floor_shmem_init(void);
extern void sf_floor_init(void);	/* transaction callbacks; from _PG_init */

/*
 * The insert section.  Begin returns with the counter odd and with the relation's target block and the bulk state's pages
 * (it may be NULL) forgotten where they lie below the floor; a target block that an invalidation took away is back.  No
 * ereport may happen between the two except through the insert itself; the transaction callbacks make the counter even
 * again after an error.
 */
extern void sf_insert_begin(Relation rel, BulkInsertState bistate);
extern void sf_insert_end(Relation rel);

/*
 * The capture's side.  sf_floor_attach finds or makes the slot of a relation (ERRCODE_CONFIGURATION_LIMIT_EXCEEDED when
 * streamfuse.max_streams are taken).  A slot starts with floor 0.  sf_floor_reset is for a new relfilenode.
 */
extern SfFloorSlot *sf_floor_attach(Oid database, Oid relid, Oid relfilenode);
extern void sf_floor_detach(Oid database, Oid relid);
extern void sf_floor_detach_database(Oid database);
extern List *sf_floor_relids(Oid database); /* that have slots */
extern uint32 sf_floor_generation(void); /* changes whenever any slot is taken, given back or reset */
extern BlockNumber sf_floor_get(SfFloorSlot *slot);
extern BlockNumber sf_floor_of(Oid database, Oid relid); /* 0 for one that is not captured; for statistics */
extern void sf_floor_publish(SfFloorSlot *slot, BlockNumber floor); /* a lower one than there is changes nothing */

/*
 * Copies the counters of all backends over those of the last copy; returns how many have inserted since.  Passed: every
 * counter that was odd in the copy has moved on.
 */
extern SfSections *sf_sections_create(MemoryContext context);
extern int	sf_sections_copy(SfSections *sections);
extern bool sf_sections_passed(SfSections *sections);

#endif /* SF_FLOOR_H */
