/*
 * floor.c
 *		The insert protocol in shared memory: floors of captured streams, insert counters of backends.
 *
 * Slots never move and are found by (database, relid).  A backend keeps what it found for a relation, also "none", in
 * the relation cache entry (rd_amcache) together with the generation it was found at; every attach and detach bumps the
 * generation, and an inserter compares it inside its odd section, after the fence.  So either the inserter sees a new
 * slot, or the capture that made the slot sees the inserter's odd counter and waits for it before it seals anything.
 *
 * At the end of a transaction that wrote a stream the worker of its database is woken; also at the end of any transaction
 * while the worker awaits transactions, since COMMIT PREPARED ends the writes of one that is not the backend's own.
 *
 * Invariants.  F1: a floor never falls while its slot lives, except for a new relfilenode.  F2: a backend's counter is
 * odd exactly while it may be touching a page at or above the floor it read.
 */
#include "stream/floor.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "fault.h"
#include "state/shared.h"

struct SfFloorSlot
{
	Oid database; /* InvalidOid: free; written under SfFloors.lock exclusive, as relid and relfilenode */
	Oid relid;
	Oid relfilenode;
	pg_atomic_uint32 floor; /* a block number; written by the capture */
};

/* One cache line per backend: only its owner writes it. */
typedef union SfCounter
{
	pg_atomic_uint64 value;
	char pad[PG_CACHE_LINE_SIZE];
} SfCounter;

typedef struct SfFloors
{
	LWLock lock;
	int tranche;
	pg_atomic_uint32 generation; /* bumped whenever a slot is taken, given back or changes its relfilenode */
	SfFloorSlot *slots;          /* sf_max_streams */
	SfCounter *counters;         /* MaxBackends, by sf_backend_number() */
} SfFloors;

/* Counters as they were at the last copy; those before `passed` were even then or have moved on. */
typedef struct SfSection
{
	uint64 seen;   /* the counter */
	uint32 lately; /* for so many more copies the backend counts as one that inserts */
} SfSection;

struct SfSections
{
	int passed;
	SfSection backends[FLEXIBLE_ARRAY_MEMBER]; /* MaxBackends */
};

/* Copies are made every few milliseconds at most, and an inserter may have to wait for a processor for long. */
#define LATELY_COPIES 256

/*
 * The page this backend is filling.  Heap keeps it with the open file, which an invalidation of the relation closes; and
 * since streams do not look for room in older pages, each ANALYZE would leave a page part empty for each inserter.
 */
typedef struct SfTarget
{
	Oid relid; /* hash key */
	Oid relfilenode;
	BlockNumber block;
} SfTarget;

/* What rd_amcache of a stream holds; a plain chunk in CacheMemoryContext, freed by the relation cache. */
typedef struct SfFloorCache
{
	uint32 generation;
	SfFloorSlot *slot; /* NULL: not captured */
	SfTarget *target;
} SfFloorCache;

static SfFloors *floors;
static HTAB *targets; /* SfTarget: of this backend, one for each stream it has inserted into */

/* Has this transaction written a stream?  Captured or not: a capture may begin while the row is on its way. */
static bool wrote_stream;

Size
sf_floor_shmem_size(void)
{
	Size size = CACHELINEALIGN(sizeof(SfFloors));

	size = add_size(size, CACHELINEALIGN(mul_size(sf_max_streams, sizeof(SfFloorSlot))));
	return add_size(size, mul_size(MaxBackends + 1, sizeof(SfCounter)));
}

void
sf_floor_shmem_init(void)
{
	bool found;

	floors = ShmemInitStruct("streamfuse floors", sf_floor_shmem_size(), &found);
	if (!found)
	{
		char *next = (char *) floors + CACHELINEALIGN(sizeof(SfFloors));

		memset(floors, 0, sf_floor_shmem_size());
		floors->tranche = LWLockNewTrancheId();
		LWLockInitialize(&floors->lock, floors->tranche);
		pg_atomic_init_u32(&floors->generation, 1);
		floors->slots = (SfFloorSlot *) next;
		next += CACHELINEALIGN(sf_max_streams * sizeof(SfFloorSlot));
		floors->counters = (SfCounter *) CACHELINEALIGN(next);
		for (int i = 0; i < sf_max_streams; i++)
			pg_atomic_init_u32(&floors->slots[i].floor, 0);
		for (int i = 0; i < MaxBackends; i++)
			pg_atomic_init_u64(&floors->counters[i].value, 0);
	}
	LWLockRegisterTranche(floors->tranche, "StreamfuseFloors");
}

static SfFloorSlot *
find_slot(Oid database, Oid relid)
{
	for (int i = 0; i < sf_max_streams; i++)
		if (floors->slots[i].database == database && floors->slots[i].relid == relid)
			return &floors->slots[i];
	return NULL;
}

/* An error left the counter odd: nothing is being inserted any more. */
static void
make_counter_even(void)
{
	pg_atomic_uint64 *counter;
	uint64 value;

	if (floors == NULL || sf_backend_number() < 0)
		return;
	counter = &floors->counters[sf_backend_number()].value;
	value = pg_atomic_read_u64(counter);
	if (value & 1)
		pg_atomic_write_u64(counter, value + 1);
}

/* The dataflow of this database, or NULL; it is looked for again only after one has been made somewhere. */
static SfDataflow *
my_dataflow(void)
{
	static SfDataflow *dataflow;
	static uint32 looked_at;
	uint32 generation;

	if (dataflow != NULL || sf_shared == NULL || !OidIsValid(MyDatabaseId))
		return dataflow;
	generation = pg_atomic_read_u32(&sf_shared->dataflow_generation);
	if (generation != looked_at)
	{
		dataflow = sf_dataflow_get(MyDatabaseId, false);
		looked_at = generation;
	}
	return dataflow;
}

/*
 * The transaction has left the list of running ones.  has_pending is read after that: the worker sets it before it
 * looks a last time whether the awaited transactions still run, so one of the two sees the other.
 */
static void
wake_worker(bool wrote)
{
	SfDataflow *dataflow = my_dataflow();

	if (dataflow == NULL)
		return;
	pg_memory_barrier();
	if (!wrote && pg_atomic_read_u32(&dataflow->has_pending) == 0)
		return;
	if (dataflow->worker_latch != NULL && dataflow->worker_latch != MyLatch)
		sf_wake_worker(dataflow);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	bool wrote = wrote_stream;

	switch (event)
	{
		case XACT_EVENT_ABORT:
			make_counter_even();
			wrote_stream = false;
			wake_worker(false);
			break;
		case XACT_EVENT_PARALLEL_ABORT:
			make_counter_even();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE: /* so that the worker finds the rows and awaits their transaction */
			wrote_stream = false;
			if (wrote)
				SF_FAULT("insert-before-wake");
			wake_worker(wrote);
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		make_counter_even();
}

void
sf_floor_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

static SfTarget *
target_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	SfTarget *target;
	bool found;

	if (targets == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(SfTarget), .hcxt = TopMemoryContext};

		targets = hash_create("streamfuse target pages", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	target = hash_search(targets, &relid, HASH_ENTER, &found);
	if (!found)
		target->relfilenode = InvalidOid;
	return target;
}

/* Back to the page that was being filled, if it is still there. */
static void
restore_target(Relation rel, const SfTarget *target)
{
	if (target->relfilenode == sf_file_number(rel) && target->block < RelationGetNumberOfBlocks(rel))
		RelationSetTargetBlock(rel, target->block);
}

/* The slot that covers the relation's present file, or NULL. */
static SfFloorSlot *
cached_slot(Relation rel)
{
	uint32 generation = pg_atomic_read_u32(&floors->generation);
	SfFloorCache *cache = rel->rd_amcache;
	SfFloorSlot *slot;

	if (likely(cache != NULL && cache->generation == generation))
		return cache->slot;

	if (cache == NULL)
	{
		SfTarget *target = target_of(rel);

		cache = MemoryContextAllocZero(CacheMemoryContext, sizeof(SfFloorCache));
		cache->target = target;
		rel->rd_amcache = cache;
		if (RelationGetTargetBlock(rel) == InvalidBlockNumber)
			restore_target(rel, target);
	}
	LWLockAcquire(&floors->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId, RelationGetRelid(rel));
	cache->slot = slot != NULL && slot->relfilenode == sf_file_number(rel) ? slot : NULL;
	cache->generation = pg_atomic_read_u32(&floors->generation);
	LWLockRelease(&floors->lock);
	return cache->slot;
}

/*
 * Without a target heap inserts into the last page.  That is above the floor but for a file that is shorter than the
 * position it was captured to, as a restored or damaged one can be: then it is made longer.
 */
static void
extend_to_floor(Relation rel, BlockNumber floor)
{
	if (RelationGetNumberOfBlocks(rel) > floor)
		return;
	LockRelationForExtension(rel, ExclusiveLock);
	while (RelationGetNumberOfBlocks(rel) <= floor)
	{
		Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);

		PageInit(BufferGetPage(buffer), BLCKSZ, 0);
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
	}
	UnlockRelationForExtension(rel, ExclusiveLock);
}

void
sf_insert_begin(Relation rel, BulkInsertState bistate)
{
	pg_atomic_uint64 *counter;
	SfFloorSlot *slot;
	BlockNumber floor;
	BlockNumber target;

	if (unlikely(floors == NULL))
		sf_require_preload();
	counter = &floors->counters[sf_backend_number()].value;
	Assert((pg_atomic_read_u64(counter) & 1) == 0);
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + 1);
	pg_memory_barrier();

	wrote_stream = true;
	slot = cached_slot(rel);
	if (slot == NULL)
		return;
	floor = pg_atomic_read_u32(&slot->floor);
	if (bistate != NULL && bistate->current_buf != InvalidBuffer && BufferGetBlockNumber(bistate->current_buf) < floor)
	{
		ReleaseBuffer(bistate->current_buf);
		bistate->current_buf = InvalidBuffer;
	}
	if (bistate != NULL)
		sf_give_up_pages(bistate, floor);
	target = RelationGetTargetBlock(rel);
	if (target != InvalidBlockNumber && target >= floor)
		return;
	RelationSetTargetBlock(rel, InvalidBlockNumber);
	if (floor > 0)
		extend_to_floor(rel, floor);
}

void
sf_insert_end(Relation rel)
{
	pg_atomic_uint64 *counter = &floors->counters[sf_backend_number()].value;
	SfFloorCache *cache = rel->rd_amcache;

	/* Without a cache entry an invalidation came during the insert: what was noted last is all there is. */
	if (cache != NULL)
	{
		cache->target->relfilenode = sf_file_number(rel);
		cache->target->block = RelationGetTargetBlock(rel);
	}

	Assert(pg_atomic_read_u64(counter) & 1);
	SF_FAULT("insert-in-section");
	pg_write_barrier();
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + 1);
}

SfFloorSlot *
sf_floor_attach(Oid database, Oid relid, Oid relfilenode)
{
	SfFloorSlot *slot;

	LWLockAcquire(&floors->lock, LW_EXCLUSIVE);
	slot = find_slot(database, relid);
	if (slot == NULL)
	{
		slot = find_slot(InvalidOid, InvalidOid);
		if (slot != NULL)
		{
			slot->database = database;
			slot->relid = relid;
			slot->relfilenode = InvalidOid;
		}
	}
	if (slot != NULL && slot->relfilenode != relfilenode)
	{
		slot->relfilenode = relfilenode;
		pg_atomic_write_u32(&slot->floor, 0);
		pg_atomic_fetch_add_u32(&floors->generation, 1);
	}
	LWLockRelease(&floors->lock);

	if (slot == NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many captured streams"),
		                errdetail("All %d slots are taken; each leaf partition of a stream needs one.", sf_max_streams),
		                errhint("Increase streamfuse.max_streams and restart the server.")));
	return slot;
}

/* Needs the lock, exclusive. */
static void
free_slot(SfFloorSlot *slot)
{
	slot->database = InvalidOid;
	slot->relid = InvalidOid;
	slot->relfilenode = InvalidOid;
	pg_atomic_write_u32(&slot->floor, 0);
	pg_atomic_fetch_add_u32(&floors->generation, 1);
}

/*
 * Inserts know no floor any more and go on where they are, so that positions of the relation are worth nothing from
 * then on.
 */
void
sf_floor_detach(Oid database, Oid relid)
{
	SfFloorSlot *slot;

	LWLockAcquire(&floors->lock, LW_EXCLUSIVE);
	slot = find_slot(database, relid);
	if (slot != NULL)
		free_slot(slot);
	LWLockRelease(&floors->lock);
}

void
sf_floor_detach_database(Oid database)
{
	LWLockAcquire(&floors->lock, LW_EXCLUSIVE);
	for (int i = 0; i < sf_max_streams; i++)
		if (floors->slots[i].database == database)
			free_slot(&floors->slots[i]);
	LWLockRelease(&floors->lock);
}

List *
sf_floor_relids(Oid database)
{
	Oid *relids = palloc(sf_max_streams * sizeof(Oid));
	List *result = NIL;
	int n = 0;

	LWLockAcquire(&floors->lock, LW_SHARED);
	for (int i = 0; i < sf_max_streams; i++)
		if (floors->slots[i].database == database)
			relids[n++] = floors->slots[i].relid;
	LWLockRelease(&floors->lock);
	for (int i = 0; i < n; i++)
		result = lappend_oid(result, relids[i]);
	pfree(relids);
	return result;
}

uint32
sf_floor_generation(void)
{
	return pg_atomic_read_u32(&floors->generation);
}

BlockNumber
sf_floor_of(Oid database, Oid relid)
{
	SfFloorSlot *slot;
	BlockNumber floor = 0;

	LWLockAcquire(&floors->lock, LW_SHARED);
	slot = find_slot(database, relid);
	if (slot != NULL)
		floor = sf_floor_get(slot);
	LWLockRelease(&floors->lock);
	return floor;
}

BlockNumber
sf_floor_get(SfFloorSlot *slot)
{
	return pg_atomic_read_u32(&slot->floor);
}

void
sf_floor_publish(SfFloorSlot *slot, BlockNumber floor)
{
	uint32 present = pg_atomic_read_u32(&slot->floor);

	while (floor > present && !pg_atomic_compare_exchange_u32(&slot->floor, &present, floor))
		;
	pg_memory_barrier();
}

SfSections *
sf_sections_create(MemoryContext context)
{
	return MemoryContextAllocZero(context, offsetof(SfSections, backends) + MaxBackends * sizeof(SfSection));
}

int
sf_sections_copy(SfSections *sections)
{
	int inserting = 0;

	pg_memory_barrier();
	for (int i = 0; i < MaxBackends; i++)
	{
		SfSection *section = &sections->backends[i];
		uint64 value = pg_atomic_read_u64(&floors->counters[i].value);

		if (value != section->seen)
			section->lately = LATELY_COPIES;
		else if (section->lately > 0)
			section->lately--;
		if (section->lately > 0)
			inserting++;
		section->seen = value;
	}
	sections->passed = 0;
	return inserting;
}

bool
sf_sections_passed(SfSections *sections)
{
	for (; sections->passed < MaxBackends; sections->passed++)
	{
		uint64 seen = sections->backends[sections->passed].seen;

		if ((seen & 1) && pg_atomic_read_u64(&floors->counters[sections->passed].value) == seen)
			return false;
	}
	pg_memory_barrier();
	return true;
}
