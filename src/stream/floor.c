/*
 * floor.c
 *		The insert protocol in shared memory: floors of captured streams, insert counters of backends.
 *
 * Slots never move and are found by (database, relid).  A backend keeps what it found for a relation, also "none", in
 * the relation cache entry (rd_amcache) together with the generation it was found at; every attach and detach bumps the
 * generation, and an inserter compares it inside its odd section, after the fence.  So either the inserter sees a new
 * slot, or the capture that made the slot sees the inserter's odd counter and waits for it before it seals anything.
 *
 * Invariants.  F1: a floor never falls while its slot lives, except for a new relfilenode.  F2: a backend's counter is
 * odd exactly while it may be touching a page at or above the floor it read.
 */
#include "stream/floor.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/backendid.h"
#include "storage/bufmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

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
	SfFloorSlot *slots;			 /* sf_max_streams */
	SfCounter *counters;		 /* MaxBackends, by MyBackendId - 1 */
} SfFloors;

struct SfSections
{
	int nbackends;
	uint64 odd[FLEXIBLE_ARRAY_MEMBER]; /* 0 where the counter was even */
};

/* What rd_amcache of a stream holds; a plain chunk in CacheMemoryContext, freed by the relation cache. */
typedef struct SfFloorCache
{
	uint32 generation;
	SfFloorSlot *slot; /* NULL: not captured */
} SfFloorCache;

static SfFloors *floors;
static bool callbacks_registered;

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
	pg_atomic_uint64 *counter = &floors->counters[MyBackendId - 1].value;
	uint64 value = pg_atomic_read_u64(counter);

	if (value & 1)
		pg_atomic_write_u64(counter, value + 1);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		make_counter_even();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		make_counter_even();
}

static SfFloorSlot *
cached_slot(Relation rel)
{
	uint32 generation = pg_atomic_read_u32(&floors->generation);
	SfFloorCache *cache = rel->rd_amcache;

	if (likely(cache != NULL && cache->generation == generation))
		return cache->slot;

	if (cache == NULL)
	{
		cache = MemoryContextAllocZero(CacheMemoryContext, sizeof(SfFloorCache));
		rel->rd_amcache = cache;
	}
	LWLockAcquire(&floors->lock, LW_SHARED);
	cache->generation = pg_atomic_read_u32(&floors->generation);
	cache->slot = find_slot(MyDatabaseId, RelationGetRelid(rel));
	LWLockRelease(&floors->lock);
	return cache->slot;
}

void
sf_insert_begin(Relation rel, BulkInsertState bistate)
{
	pg_atomic_uint64 *counter = &floors->counters[MyBackendId - 1].value;
	SfFloorSlot *slot;
	BlockNumber floor;
	BlockNumber target;

	if (!callbacks_registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		callbacks_registered = true;
	}

	Assert((pg_atomic_read_u64(counter) & 1) == 0);
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + 1);
	pg_memory_barrier();

	slot = cached_slot(rel);
	if (slot == NULL)
		return;
	floor = pg_atomic_read_u32(&slot->floor);
	target = RelationGetTargetBlock(rel);
	if (target != InvalidBlockNumber && target < floor)
		RelationSetTargetBlock(rel, InvalidBlockNumber);
	if (bistate != NULL && bistate->current_buf != InvalidBuffer && BufferGetBlockNumber(bistate->current_buf) < floor)
	{
		ReleaseBuffer(bistate->current_buf);
		bistate->current_buf = InvalidBuffer;
	}
}

void
sf_insert_end(void)
{
	pg_atomic_uint64 *counter = &floors->counters[MyBackendId - 1].value;

	Assert(pg_atomic_read_u64(counter) & 1);
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

void
sf_floor_detach(Oid database, Oid relid)
{
	SfFloorSlot *slot;

	LWLockAcquire(&floors->lock, LW_EXCLUSIVE);
	slot = find_slot(database, relid);
	if (slot != NULL)
	{
		slot->database = InvalidOid;
		slot->relid = InvalidOid;
		slot->relfilenode = InvalidOid;
		pg_atomic_write_u32(&slot->floor, 0);
		pg_atomic_fetch_add_u32(&floors->generation, 1);
	}
	LWLockRelease(&floors->lock);
}

BlockNumber
sf_floor_get(SfFloorSlot *slot)
{
	return pg_atomic_read_u32(&slot->floor);
}

void
sf_floor_publish(SfFloorSlot *slot, BlockNumber floor)
{
	Assert(floor >= pg_atomic_read_u32(&slot->floor));
	pg_atomic_write_u32(&slot->floor, floor);
	pg_memory_barrier();
}

SfSections *
sf_sections_copy(MemoryContext context)
{
	SfSections *sections =
		MemoryContextAlloc(context, offsetof(SfSections, odd) + MaxBackends * sizeof(uint64));

	sections->nbackends = MaxBackends;
	pg_memory_barrier();
	for (int i = 0; i < MaxBackends; i++)
	{
		uint64 value = pg_atomic_read_u64(&floors->counters[i].value);

		sections->odd[i] = (value & 1) ? value : 0;
	}
	return sections;
}

bool
sf_sections_passed(SfSections *sections)
{
	for (int i = 0; i < sections->nbackends; i++)
	{
		if (sections->odd[i] == 0)
			continue;
		if (pg_atomic_read_u64(&floors->counters[i].value) == sections->odd[i])
			return false;
		sections->odd[i] = 0;
	}
	return true;
}
