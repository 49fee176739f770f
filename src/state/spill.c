/*
 * spill.c
 *		Groups that have left memory for streamfuse.spilled: which keys may be there, and how they come back.
 *
 * A touch that does not find its group in memory asks the filter, which knows the keys of all rows that the table has or
 * had since the filter was made; so a key that was never seen costs no I/O.  The rows of the others are looked for in
 * bulk, in the order of the index.  The filter is a chain of Bloom filters, each twice as large as the one before, made
 * when that is full.
 *
 * Invariants, for the groups of a store between ticks:
 *	S1	A group in memory that has a row in the table has a twin here, with the row's place.
 *	S2	A twin whose version is its group's says the same as the group.
 *	S3	At each commit, a group that is not in memory and has been touched ever has a row, and one that is in memory is in
 *		the log of resident groups, or its last change is part of the commit.  If both: S2.
 */
#include "state/spill_private.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "lib/bloomfilter.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "state/catalog.h"

/* Two bytes a key: one in thousands of keys that have no row is looked for.  No filter of PostgreSQL's is smaller. */
#define FILTER_KEYS (512 * 1024)
#define FILTER_BYTES_PER_KEY 2

SfSpill *
sf_spill_create(MemoryContext context, SfFragment *fragment)
{
	MemoryContext own = AllocSetContextCreate(context, "streamfuse spilled groups", ALLOCSET_SMALL_SIZES);
	SfSpill *spill = MemoryContextAllocZero(own, sizeof(SfSpill));
	HASHCTL info = {.keysize = sizeof(TwinKey), .entrysize = sizeof(Twin), .hcxt = own};

	spill->context = own;
	spill->fragment = fragment;
	spill->search.hand_start = SF_TIME_MINUS_INFINITY;
	spill->search.forget_before = SF_LIFE_LEAST;
	spill->search.forget_hash = SF_SPILL_FORGET_DONE;
	spill->twins = hash_create("streamfuse twins", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return spill;
}

bool
sf_spill_can(const SfLayout *layout)
{
	return layout->groups_leave && layout->nkeys > 0 && layout->nlists == 0;
}

void
sf_spill_attach(SfSpill *spill, SfStore *store)
{
	spill->store = store;
	if (store != NULL)
		store->spill = sf_spill_can(store->layout) ? spill : NULL;
}

bool
sf_spill_is_on(const SfSpill *spill)
{
	return spill->store != NULL && spill->store->spill != NULL;
}

bool
sf_spill_is_empty(const SfSpill *spill)
{
	return spill->filters == NIL;
}

Size
sf_spill_filter_bytes(const SfSpill *spill)
{
	return spill->filter_bytes;
}

/* ---- the filter ---- */

/* What of a key goes into the filter; all of it is hashed. */
typedef struct FilterKey
{
	SfTime start;
	uint64 hash;
} FilterKey;

static void
add_filter(SfSpill *spill)
{
	MemoryContext old = MemoryContextSwitchTo(spill->context);
	int64 size = Max(spill->filter_size * 2, FILTER_KEYS);
	Size bytes = (Size) size * FILTER_BYTES_PER_KEY;

	spill->filters = lcons(bloom_create(size, (int) Min(bytes / 1024, MaxAllocSize / 2048), 0), spill->filters);
	spill->filter_size = spill->filter_room = size;
	spill->filter_bytes += Min(bytes, MaxAllocSize / 2);
	MemoryContextSwitchTo(old);
}

static bool
is_in_filter(const SfSpill *spill, SfTime start, uint32 hash)
{
	FilterKey key = {start, hash};
	ListCell *cell;

	foreach (cell, spill->filters)
		if (!bloom_lacks_element(lfirst(cell), (unsigned char *) &key, sizeof(key)))
			return true;
	return false;
}

/* A key that has been there before takes no more room. */
void
sf_spill_filter_add(SfSpill *spill, SfTime start, uint32 hash)
{
	FilterKey key = {start, hash};

	if (is_in_filter(spill, start, hash))
		return;
	if (spill->filter_room == 0)
		add_filter(spill);
	bloom_add_element(linitial(spill->filters), (unsigned char *) &key, sizeof(key));
	spill->filter_room--;
}

/* ---- twins ---- */

Twin *
sf_spill_twin(SfSpill *spill, SfTime start, uint32 id)
{
	TwinKey key = twin_key(start, id);

	return hash_search(spill->twins, &key, HASH_FIND, NULL);
}

/* The caller fills in the rest. */
Twin *
sf_spill_add_twin(SfSpill *spill, SfTime start, uint32 id)
{
	TwinKey key = twin_key(start, id);
	bool found;
	Twin *twin = hash_search(spill->twins, &key, HASH_ENTER, &found);

	if (!found)
		memset((char *) twin + sizeof(TwinKey), 0, sizeof(Twin) - sizeof(TwinKey));
	return twin;
}

void
sf_spill_drop_twin(SfSpill *spill, const TwinKey *key)
{
	TwinKey copy = *key; /* the entry's own goes with it */

	(void) hash_search(spill->twins, &copy, HASH_REMOVE, NULL);
}

/* Room to note one more change in this tick: allocates. */
static void
reserve_change(SfSpill *spill)
{
	sf_reserve(spill->context, spill->changed, spill->max_changed, spill->nchanged + 1, 256);
}

void
sf_spill_publish(SfSpill *spill)
{
	for (int i = 0; i < spill->nchanged; i++)
	{
		Twin *twin = spill->changed[i];

		/* One that was removed and has come back in the same tick is noted twice. */
		twin->born = SF_TICK_NONE;
		if (twin->removed != SF_TICK_NONE)
			sf_spill_drop_twin(spill, &twin->key);
	}
	spill->nchanged = 0;
	spill->left = spill->left_in_tick;
	if (spill->left == spill->nleaving)
	{
		spill->left = spill->left_in_tick = spill->nleaving = 0;
		spill->leaving_bytes = 0;
	}
}

void
sf_spill_rollback(SfSpill *spill)
{
	for (int i = 0; i < spill->nchanged; i++)
	{
		Twin *twin = spill->changed[i];

		if (twin->born != SF_TICK_NONE)
			sf_spill_drop_twin(spill, &twin->key);
		else
			twin->removed = SF_TICK_NONE;
	}
	spill->nchanged = 0;
	spill->left_in_tick = spill->left;
}

/* The store has nothing any more. */
void
sf_spill_forget(SfSpill *spill)
{
	HASH_SEQ_STATUS status;
	Twin *twin;

	hash_seq_init(&status, spill->twins);
	while ((twin = hash_seq_search(&status)) != NULL)
		sf_spill_drop_twin(spill, &twin->key);
	spill->nchanged = spill->nleaving = spill->left = spill->left_in_tick = 0;
	spill->leaving_bytes = 0;
}

/* From this tick on readers look into the table.  Before it is published. */
void
sf_spill_show(SfSpill *spill, SfTick tick)
{
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, false);

	pg_atomic_write_u32(&dataflow->spills, 1);
	if (tick < pg_atomic_read_u64(&spill->fragment->spilled_from))
		pg_atomic_write_u64(&spill->fragment->spilled_from, tick);
	pg_memory_barrier();
}

/* ---- groups leave ---- */

bool
sf_spill_is_leaving(const SfSpill *spill)
{
	return spill->left < spill->nleaving && !spill->stuck;
}

#ifdef STREAMFUSE_TEST
bool
sf_spill_has_cold(const SfSpill *spill)
{
	return pg_atomic_read_u64(&spill->fragment->groups) > (uint64) (spill->nleaving - spill->left);
}
#endif

/* Of one that spills; others wait for the next commit with what little leaves them. */
bool
sf_spill_awaits_commit(const SfSpill *spill)
{
	return sf_spill_is_on(spill) && !sf_spill_is_empty(spill) && !sf_spill_is_leaving(spill) &&
	       sf_store_absent_unsaved(spill->store);
}

Size
sf_spill_leaving_bytes(const SfSpill *spill)
{
	return spill->leaving_bytes + (spill->store != NULL ? sf_store_absent_bytes(spill->store) : 0);
}

/* Pre-images are kept of what is removed.  They take half of the room that there is: the rows of the tick need some, too. */
static uint64
removal_limit(void)
{
	uint64 limit = (uint64) sf_state_memory_mb * 1024 * 1024;
	uint64 used = pg_atomic_read_u64(&sf_shared->state_bytes);

	return used + (limit - Min(limit, used)) / 2;
}

void
sf_spill_remove(SfSpill *spill)
{
	SfStore *store = spill->store;
	uint64 limit = removal_limit();

	spill->stuck = false;
	for (; spill->left_in_tick < spill->nleaving; spill->left_in_tick++)
	{
		TwinKey *key = &spill->leaving[spill->left_in_tick];
		Twin *twin = sf_spill_twin(spill, key->start, key->id);
		StoreWindow *window = sf_store_mirror_at_start(store, key->start);
		SfGroup *group;

		if (twin == NULL || window == NULL || window->shared->closed != SF_TICK_NONE)
			continue;
		group = store_group(store, window, key->id);
		if (group->version != twin->version)
			continue;
		sf_undo_reserve_first(store);
		if (!undo_has_room(store) && pg_atomic_read_u64(&sf_shared->state_bytes) + UNDO_SEGMENT_SIZE > limit)
		{
			spill->stuck = spill->nchanged == 0;
			break;
		}
		reserve_change(spill);
		sf_store_remove(store, window->shared, group);
		twin->removed = store->tick;
		spill->changed[spill->nchanged++] = twin;
		SF_FAULT("spill-removed");
	}
}

/* ---- groups come back ---- */

/* Rows of the table, by window and hash. */
typedef struct Probe
{
	Relation table;
	Relation index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData keys[3];
	Snapshot snapshot;
} Probe;

static void
probe_begin(Probe *probe, int32 fragment, int nkeys)
{
	probe->table = table_open(sf_catalog_relation("spilled"), AccessShareLock);
	probe->index = index_open(sf_catalog_relation("spilled_key"), AccessShareLock);
	probe->snapshot = RegisterSnapshot(GetLatestSnapshot());
	probe->slot = table_slot_create(probe->table, NULL);
	probe->scan = sf_index_beginscan(probe->table, probe->index, probe->snapshot, nkeys);
	ScanKeyInit(&probe->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment));
}

static void
probe_for(Probe *probe, SfTime start, uint32 hash)
{
	ScanKeyInit(&probe->keys[1], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ, TimestampTzGetDatum(start));
	ScanKeyInit(&probe->keys[2], 3, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum((int32) hash));
	index_rescan(probe->scan, probe->keys, 3, NULL, 0);
}

static void
probe_end(Probe *probe)
{
	index_endscan(probe->scan);
	ExecDropSingleTupleTableSlot(probe->slot);
	UnregisterSnapshot(probe->snapshot);
	index_close(probe->index, AccessShareLock);
	table_close(probe->table, AccessShareLock);
}

/* The row in the slot becomes a group, unless it is the twin of one. */
static void
load_row(SfSpill *spill, StoreWindow *window, TupleTableSlot *slot, Oid file)
{
	bool isnull;
	bytea *payload = DatumGetByteaPP(slot_getattr(slot, SF_SPILLED_PAYLOAD + 1, &isnull));
	const char *data = VARDATA_ANY(payload);
	const char *end = data + VARSIZE_ANY_EXHDR(payload);
	SfGroup *group = sf_store_load_absent(spill->store, window, data, end);
	Twin *twin;

	if (group == NULL)
		return;
	reserve_change(spill);
	twin = sf_spill_twin(spill, window->start, group->id);
	if (twin == NULL)
	{
		twin = sf_spill_add_twin(spill, window->start, group->id);
		twin->born = spill->store->tick;
		twin->tid = slot->tts_tid;
		twin->file = file;
		twin->length = end - (char *) VARDATA_ANY(payload);
	}
	twin->removed = SF_TICK_NONE;
	spill->changed[spill->nchanged++] = twin;
	SF_FAULT("spill-came-back");
}

typedef struct Wanted
{
	StoreWindow *window;
	uint32 hash;
} Wanted;

static int
compare_wanted(const void *a, const void *b)
{
	const Wanted *one = a;
	const Wanted *other = b;

	if (one->window->start != other->window->start)
		return one->window->start < other->window->start ? -1 : 1;
	return one->hash < other->hash ? -1 : one->hash > other->hash;
}

/* For rows of which no group is in memory. */
void
sf_spill_bring_back(SfSpill *spill, StoreWindow **windows, const uint32 *hashes, const int *rows, int nrows)
{
	Wanted *wanted;
	int nwanted = 0;
	Probe probe;

	if (spill->filters == NIL)
		return;
	wanted = palloc(sizeof(Wanted) * nrows);
	for (int i = 0; i < nrows; i++)
		if (is_in_filter(spill, windows[rows[i]]->start, hashes[rows[i]]) && !SF_BUG("spilled-key-not-in-filter"))
			wanted[nwanted++] = (Wanted){windows[rows[i]], hashes[rows[i]]};
	if (nwanted > 0)
	{
		SF_FAULT("spill-look-up");
		qsort(wanted, nwanted, sizeof(Wanted), compare_wanted);
		probe_begin(&probe, spill->fragment->id, 3);
		for (int i = 0; i < nwanted; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (i > 0 && compare_wanted(&wanted[i - 1], &wanted[i]) == 0)
				continue;
			probe_for(&probe, wanted[i].window->start, wanted[i].hash);
			while (index_getnext_slot(probe.scan, ForwardScanDirection, probe.slot))
				load_row(spill, wanted[i].window, probe.slot, probe.table->rd_rel->relfilenode);
		}
		probe_end(&probe);
	}
	pfree(wanted);
}

/* The row of a twin after the table has been rewritten, which moves rows.  The caller holds a lock on the table. */
void
sf_spill_find_row(SfSpill *spill, Twin *twin)
{
	StoreWindow *window = sf_store_mirror_at_start(spill->store, twin->key.start);
	SfGroup *group = store_group(spill->store, window, twin->key.id);
	bool found = false;
	Probe probe;

	probe_begin(&probe, spill->fragment->id, 3);
	probe_for(&probe, window->start, group->hash);
	while (!found && index_getnext_slot(probe.scan, ForwardScanDirection, probe.slot))
	{
		bool isnull;
		bytea *payload = DatumGetByteaPP(slot_getattr(probe.slot, SF_SPILLED_PAYLOAD + 1, &isnull));
		const char *data = VARDATA_ANY(payload);

		found = sf_store_is_saved(spill->store, group, data, data + VARSIZE_ANY_EXHDR(payload));
	}
	if (!found)
		elog(ERROR, "row of a spilled group of fragment %d is gone", spill->fragment->id);
	twin->tid = probe.slot->tts_tid;
	twin->file = probe.table->rd_rel->relfilenode;
	probe_end(&probe);
}

/* ---- at the start ---- */

/* A window all of whose groups had been spilled is not in the store yet. */
static void
make_window(SfSpill *spill, Probe *probe, SfTime start)
{
	bool isnull;

	if (index_fetch_heap(probe->scan, probe->slot))
		(void) sf_store_window(spill->store, start,
		                       DatumGetTimestampTz(slot_getattr(probe->slot, SF_SPILLED_WINDOW_END + 1, &isnull)));
}

/* The row that an index entry leads to, where a group in memory has the same hash: is it that group's? */
static void
look_for_twin(SfSpill *spill, StoreWindow *window, Probe *probe)
{
	bool isnull;
	bytea *payload;
	const char *data;
	SfGroup *group;
	Twin *twin;

	if (!index_fetch_heap(probe->scan, probe->slot))
		return;
	payload = DatumGetByteaPP(slot_getattr(probe->slot, SF_SPILLED_PAYLOAD + 1, &isnull));
	data = VARDATA_ANY(payload);
	group = sf_store_find_saved(spill->store, window, data, data + VARSIZE_ANY_EXHDR(payload));
	if (group != NULL && !SF_BUG("twin-not-found"))
	{
		twin = sf_spill_add_twin(spill, window->start, group->id);
		twin->tid = probe->slot->tts_tid;
		twin->file = probe->table->rd_rel->relfilenode;
		twin->length = VARSIZE_ANY_EXHDR(payload);
	}
}

/* Whatever its row said when it was written: the next commit deletes it.  The log has the group, or gets it now. */
static void
look_through(SfSpill *spill, Probe *probe, bool make_windows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamfuse row", ALLOCSET_DEFAULT_SIZES);

	probe->scan->xs_want_itup = true;
	index_rescan(probe->scan, probe->keys, 1, NULL, 0);
	while (index_getnext_tid(probe->scan, ForwardScanDirection) != NULL)
	{
		bool isnull;
		SfTime start = DatumGetTimestampTz(index_getattr(probe->scan->xs_itup, 2, probe->scan->xs_itupdesc, &isnull));
		uint32 hash = (uint32) DatumGetInt32(index_getattr(probe->scan->xs_itup, 3, probe->scan->xs_itupdesc, &isnull));
		StoreWindow *window = sf_store_mirror_at_start(spill->store, start);

		CHECK_FOR_INTERRUPTS();
		sf_spill_filter_add(spill, start, hash);
		if (window == NULL && make_windows)
			make_window(spill, probe, start);
		else if (window != NULL && sf_store_has_hash(spill->store, window, hash))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			look_for_twin(spill, window, probe);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
	}
	MemoryContextDelete(context);
}

void
sf_spill_load(SfSpill *spill, const SfSpilled *spilled, SfTick tick)
{
	Probe probe;

	sf_spill_forget(spill);
	spill->spilled = *spilled;
	spill->search.hand_start = SF_TIME_MINUS_INFINITY;
	spill->search.forget_before = SF_LIFE_LEAST;
	spill->search.forget_hash = SF_SPILL_FORGET_DONE;
	if (spill->store->spill == NULL)
		return;
	probe_begin(&probe, spill->fragment->id, 1);
	look_through(spill, &probe, spill->store->in_tick);
	probe_end(&probe);
	if (spill->filters != NIL)
		sf_spill_show(spill, tick);
}
