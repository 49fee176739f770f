/*
 * store.c
 *		The worker's side of the store: windows, their hash tables, and touching groups.
 *
 * tick: begin -> window, touch, change states ... -> publish (or rollback); see undo.c for the ends of a tick.
 *
 * The worker is the only writer, so it reads structure without a lock.  It allocates before it locks and links under
 * fragment->lock, with interrupts held: whatever error or termination comes, DSA holds a consistent store.  Growing
 * never moves a group: chunks stay where they are, only the arrays that point to them are replaced.
 */
#include "state/store_private.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#define MIN_SLOTS 32
#define MIN_CHUNKS 8
#define MIN_WINDOWS 16
#define TOUCH_ROWS 256

/* Memory for keys passed by reference: a chain of these per window. */
typedef struct KeyChunk
{
	dsa_pointer next;
	Size size;
	char data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} KeyChunk;

#define MIN_KEY_CHUNK 1024
#define MAX_KEY_CHUNK (64 * 1024)

/* A window without groups has no index yet: every probe ends here. */
static uint64 no_slots[1];

SfStore *
sf_store_create(MemoryContext context, SfFragment *fragment, SfLayout *layout)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfStore *store = palloc0(sizeof(SfStore));

	store->context = context;
	store->fragment = fragment;
	store->layout = layout;
	store->blobs.area = sf_area();
	store->blobs.fragment = fragment;
	store->blobs.tick = SF_TICK_NONE;
	store->tick_segment = InvalidDsaPointer;
	store->group_size = store_group_size(layout);
	store->orphan_words = (layout->nblobs + 63) / 64;
	store->record_size = MAXALIGN(offsetof(UndoRecord, data) + layout->data_size +
	                              store->orphan_words * sizeof(uint64));
	store->keys = palloc0(sizeof(Datum) * Max(layout->nkeys, 1));
	store->nulls = palloc0(sizeof(bool) * Max(layout->nkeys, 1));
	store->fresh = palloc0(layout->data_size);
	for (int i = 0; i < layout->naggs; i++)
		sf_aggregate_start(layout->aggs[i], &store->blobs, store->fresh + layout->state_offset[i]);
	MemoryContextSwitchTo(old);
	sf_store_load_mirrors(store);
	return store;
}

SfBlobSpace *
sf_store_blobs(SfStore *store)
{
	return &store->blobs;
}

/* ---- mirrors ---- */

static void
mirror_slots(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;

	window->slots = shared->nslots > 0 ? store_address(store, shared->slots) : no_slots;
	window->mask = shared->nslots > 0 ? shared->nslots - 1 : 0;
}

/* Makes room for one more chunk's address. */
static void
mirror_reserve_chunk(SfStore *store, StoreWindow *window)
{
	if (window->nchunks < window->max_chunks)
		return;
	window->max_chunks = Max(window->max_chunks * 2, MIN_CHUNKS);
	if (window->chunks == NULL)
		window->chunks = MemoryContextAlloc(store->context, sizeof(char *) * window->max_chunks);
	else
		window->chunks = repalloc_huge(window->chunks, sizeof(char *) * window->max_chunks);
}

static StoreWindow *
mirror_create(SfStore *store, dsa_pointer pointer)
{
	StoreWindow *window = MemoryContextAllocZero(store->context, sizeof(StoreWindow));
	SfWindow *shared = store_address(store, pointer);
	dsa_pointer *chunks = shared->nchunks > 0 ? store_address(store, shared->chunks) : NULL;

	window->shared = shared;
	window->pointer = pointer;
	window->start = shared->start;
	mirror_slots(store, window);
	while (window->nchunks < shared->nchunks)
	{
		mirror_reserve_chunk(store, window);
		window->chunks[window->nchunks] = store_address(store, chunks[window->nchunks]);
		window->nchunks++;
	}
	return window;
}

static void
mirror_free(StoreWindow *window)
{
	if (window->chunks != NULL)
		pfree(window->chunks);
	pfree(window);
}

static void
mirrors_reserve(SfStore *store, int n)
{
	if (n <= store->max_windows)
		return;
	store->max_windows = Max(n, Max(store->max_windows * 2, MIN_WINDOWS));
	if (store->windows == NULL)
		store->windows = MemoryContextAlloc(store->context, sizeof(StoreWindow *) * store->max_windows);
	else
		store->windows = repalloc_huge(store->windows, sizeof(StoreWindow *) * store->max_windows);
}

void
sf_store_load_mirrors(SfStore *store)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer *pointers = fragment->nwindows > 0 ? store_address(store, fragment->windows) : NULL;

	while (store->nwindows > 0)
		mirror_free(store->windows[--store->nwindows]);
	store->last = NULL;
	store->grown = NULL;
	mirrors_reserve(store, fragment->nwindows);
	while (store->nwindows < fragment->nwindows)
	{
		store->windows[store->nwindows] = mirror_create(store, pointers[store->nwindows]);
		store->nwindows++;
	}
	store->undo_tail = DsaPointerIsValid(fragment->undo_tail) ? store_address(store, fragment->undo_tail) : NULL;
	store->tick_segment = InvalidDsaPointer;
}

/* Index of the first window that starts at `start` or later. */
static int
search_start(const SfStore *store, SfTime start)
{
	int low = 0;
	int high = store->nwindows;

	/* Rows mostly belong to the newest windows. */
	if (high > 0 && store->windows[high - 1]->start < start)
		return high;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (store->windows[middle]->start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

StoreWindow *
sf_store_mirror_at_start(SfStore *store, SfTime start)
{
	int i;

	if (store->last != NULL && store->last->start == start)
		return store->last;
	i = search_start(store, start);
	if (i == store->nwindows || store->windows[i]->start != start)
		return NULL;
	store->last = store->windows[i];
	return store->last;
}

StoreWindow *
sf_store_mirror(SfStore *store, SfWindow *window)
{
	StoreWindow *mirror;

	if (likely(store->last != NULL && store->last->shared == window))
		return store->last;
	mirror = sf_store_mirror_at_start(store, window->start);
	if (mirror == NULL || mirror->shared != window)
		elog(ERROR, "window is not in the store");
	return mirror;
}

/* ---- windows ---- */

SfWindow *
sf_store_find_window(SfStore *store, SfTime start)
{
	StoreWindow *window = sf_store_mirror_at_start(store, start);

	return window ? window->shared : NULL;
}

/* Room for one more window in the shared array. */
static void
windows_reserve(SfStore *store)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer old = fragment->windows;
	int old_max = fragment->max_windows;
	int max = Max(old_max * 2, MIN_WINDOWS);
	dsa_pointer fresh;

	mirrors_reserve(store, store->nwindows + 1);
	if (fragment->nwindows < old_max)
		return;
	fresh = sf_state_allocate(&store->blobs, sizeof(dsa_pointer) * max);
	if (fragment->nwindows > 0)
		memcpy(store_address(store, fresh), store_address(store, old), sizeof(dsa_pointer) * fragment->nwindows);
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	fragment->windows = fresh;
	fragment->max_windows = max;
	LWLockRelease(&fragment->lock);
	if (old_max > 0)
		sf_state_free(&store->blobs, old, sizeof(dsa_pointer) * old_max);
}

static void
window_grown(SfStore *store, StoreWindow *window)
{
	if (window->grown)
		return;
	window->grown = true;
	window->next_grown = store->grown;
	store->grown = window;
}

static StoreWindow *
window_create(SfStore *store, int at, SfTime start, SfTime end)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer pointer;
	dsa_pointer *pointers;
	SfWindow *shared;
	StoreWindow *window;

	windows_reserve(store);
	pointer = sf_state_allocate(&store->blobs, sizeof(SfWindow));
	shared = store_address(store, pointer);
	memset(shared, 0, sizeof(SfWindow));
	shared->start = start;
	shared->end = end;
	shared->born = store->tick;
	pg_atomic_init_u64(&shared->closed_xid, 0);
	shared->slots = shared->chunks = shared->key_chunks = InvalidDsaPointer;
	window = mirror_create(store, pointer);

	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	pointers = store_address(store, fragment->windows);
	memmove(pointers + at + 1, pointers + at, sizeof(dsa_pointer) * (fragment->nwindows - at));
	pointers[at] = pointer;
	fragment->nwindows++;
	LWLockRelease(&fragment->lock);

	memmove(store->windows + at + 1, store->windows + at, sizeof(StoreWindow *) * (store->nwindows - at));
	store->windows[at] = window;
	store->nwindows++;
	window_grown(store, window);
	return window;
}

SfWindow *
sf_store_window(SfStore *store, SfTime start, SfTime end)
{
	StoreWindow *window = sf_store_mirror_at_start(store, start);

	Assert(store->in_tick);
	if (unlikely(window == NULL))
	{
		window = window_create(store, search_start(store, start), start, end);
		store->last = window;
	}
	Assert(window->shared->end == end);
	return window->shared;
}

/* Takes the window at i out of the arrays; the caller holds fragment->lock and frees what it got hold of before. */
void
sf_store_forget_mirror(SfStore *store, int i)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer *pointers = store_address(store, fragment->windows);

	Assert(LWLockHeldByMeInMode(&fragment->lock, LW_EXCLUSIVE));
	fragment->nwindows--;
	store->nwindows--;
	memmove(pointers + i, pointers + i + 1, sizeof(dsa_pointer) * (fragment->nwindows - i));
	memmove(store->windows + i, store->windows + i + 1, sizeof(StoreWindow *) * (store->nwindows - i));
	store->last = NULL;
}

/* Frees a window that is in no array any more, with everything its groups refer to. */
void
sf_store_free_window(SfStore *store, StoreWindow *window)
{
	SfBlobSpace *blobs = &store->blobs;
	SfLayout *layout = store->layout;
	SfWindow *shared = window->shared;

	for (uint32 id = 0; layout->nblobs > 0 && id < shared->ngroups; id++)
	{
		char *data = store_group(store, window, id)->data;

		for (int i = 0; i < layout->nblobs; i++)
			sf_blob_free(blobs, *(dsa_pointer *) (data + layout->blob_offset[i]));
	}
	store_count(&store->fragment->groups, -(int64) shared->ngroups);
	for (uint32 i = 0; i < shared->nchunks; i++)
		sf_state_free(blobs, ((dsa_pointer *) store_address(store, shared->chunks))[i],
		              store->group_size * SF_CHUNK_GROUPS);
	sf_state_free(blobs, shared->chunks, sizeof(dsa_pointer) * shared->max_chunks);
	sf_state_free(blobs, shared->slots, sizeof(uint64) * shared->nslots);
	while (DsaPointerIsValid(shared->key_chunks))
	{
		dsa_pointer pointer = shared->key_chunks;
		KeyChunk *chunk = store_address(store, pointer);

		shared->key_chunks = chunk->next;
		sf_state_free(blobs, pointer, offsetof(KeyChunk, data) + chunk->size);
	}
	sf_state_free(blobs, window->pointer, sizeof(SfWindow));
	mirror_free(window);
}

int
sf_store_nwindows(SfStore *store)
{
	return store->nwindows;
}

SfWindow *
sf_store_window_at(SfStore *store, int i)
{
	Assert(i >= 0 && i < store->nwindows);
	return store->windows[i]->shared;
}

SfGroup *
sf_store_group_at(SfStore *store, SfWindow *window, uint32 id)
{
	Assert(id < window->ngroups);
	return store_group(store, sf_store_mirror(store, window), id);
}

/* ---- the hash table of a window ---- */

static inline uint64
slot_value(uint32 hash, uint32 id)
{
	return (uint64) hash << 32 | (id + 1);
}

static inline void
slot_insert(uint64 *slots, uint32 mask, uint64 value)
{
	uint32 i = (uint32) (value >> 32) & mask;

	while (slots[i] != 0)
		i = (i + 1) & mask;
	slots[i] = value;
}

/* After groups were taken off the end.  The caller holds fragment->lock. */
void
sf_store_rebuild_slots(SfStore *store, StoreWindow *window)
{
	if (window->shared->nslots == 0)
		return;
	memset(window->slots, 0, sizeof(uint64) * window->shared->nslots);
	for (uint32 id = 0; id < window->shared->ngroups; id++)
		slot_insert(window->slots, window->mask, slot_value(store_group(store, window, id)->hash, id));
}

static void
grow_slots(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	uint32 old_nslots = shared->nslots;
	dsa_pointer old = shared->slots;
	uint32 nslots = Max(old_nslots * 2, MIN_SLOTS);
	dsa_pointer fresh = sf_state_allocate(&store->blobs, sizeof(uint64) * nslots);
	uint64 *slots = store_address(store, fresh);

	memset(slots, 0, sizeof(uint64) * nslots);
	for (uint32 i = 0; i < old_nslots; i++)
		if (window->slots[i] != 0)
			slot_insert(slots, nslots - 1, window->slots[i]);

	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	shared->slots = fresh;
	shared->nslots = nslots;
	LWLockRelease(&store->fragment->lock);
	mirror_slots(store, window);
	sf_state_free(&store->blobs, old, sizeof(uint64) * old_nslots);
}

static void
grow_chunk_array(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	dsa_pointer old = shared->chunks;
	uint32 old_max = shared->max_chunks;
	uint32 max = Max(old_max * 2, MIN_CHUNKS);
	dsa_pointer fresh = sf_state_allocate(&store->blobs, sizeof(dsa_pointer) * max);

	if (shared->nchunks > 0)
		memcpy(store_address(store, fresh), store_address(store, old), sizeof(dsa_pointer) * shared->nchunks);
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	shared->chunks = fresh;
	shared->max_chunks = max;
	LWLockRelease(&store->fragment->lock);
	sf_state_free(&store->blobs, old, sizeof(dsa_pointer) * old_max);
}

static void
add_chunk(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	dsa_pointer chunk;

	if (shared->nchunks == shared->max_chunks)
		grow_chunk_array(store, window);
	mirror_reserve_chunk(store, window);
	chunk = sf_state_allocate(&store->blobs, store->group_size * SF_CHUNK_GROUPS);
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	((dsa_pointer *) store_address(store, shared->chunks))[shared->nchunks++] = chunk;
	LWLockRelease(&store->fragment->lock);
	window->chunks[window->nchunks++] = store_address(store, chunk);
}

/* At most half of the slots are used: probes stay short, and end. */
static inline bool
window_has_room(const StoreWindow *window)
{
	SfWindow *shared = window->shared;

	return shared->ngroups < shared->nchunks * SF_CHUNK_GROUPS && (shared->ngroups + 1) * 2 <= shared->nslots;
}

/* Room for one more group.  Allocates: not under the lock. */
static void
window_reserve(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;

	if (shared->ngroups == PG_UINT32_MAX / 4)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many groups in a window")));
	if (shared->ngroups == shared->nchunks * SF_CHUNK_GROUPS)
		add_chunk(store, window);
	if ((shared->ngroups + 1) * 2 > shared->nslots)
		grow_slots(store, window);
}

/*
 * Adds a group at the end of the window, at the initial value; the caller has reserved room and fills in the keys before
 * it gives the lock back.
 */
static inline SfGroup *
insert_group(SfStore *store, StoreWindow *window, uint32 hash)
{
	SfWindow *shared = window->shared;
	uint32 id = shared->ngroups;
	SfGroup *group = store_group(store, window, id);

	group->version = store->tick;
	group->undo = InvalidDsaPointer;
	group->hash = hash;
	group->id = id;
	memcpy(group->data, store->fresh, store->layout->data_size);
	slot_insert(window->slots, window->mask, slot_value(hash, id));
	shared->ngroups = id + 1;
	store_count(&store->fragment->groups, 1);
	window_grown(store, window);
	return group;
}

/* ---- touching one group ---- */

static SfGroup *
find_group(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	for (uint32 i = hash & window->mask; window->slots[i] != 0; i = (i + 1) & window->mask)
	{
		SfGroup *group;

		if ((uint32) (window->slots[i] >> 32) != hash)
			continue;
		group = store_group(store, window, (uint32) window->slots[i] - 1);
		sf_group_keys(store->layout, store->blobs.area, group->data, store->keys, store->nulls);
		if (sf_layout_equal(store->layout, store->keys, store->nulls, keys, nulls))
			return group;
	}
	return NULL;
}

/* A flat copy of a key in the window's memory. */
static dsa_pointer
copy_key(SfStore *store, StoreWindow *window, Datum value, int16 typlen)
{
	SfWindow *shared = window->shared;
	dsa_pointer pointer;
	Size size;

	if (typlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	size = datumGetSize(value, false, typlen);
	if (shared->key_chunk_used + MAXALIGN(size) > shared->key_chunk_size)
	{
		Size chunk_size = Min(MAX_KEY_CHUNK, Max(MIN_KEY_CHUNK, 2 * (Size) shared->key_chunk_size));
		KeyChunk *chunk;

		chunk_size = Max(chunk_size, MAXALIGN(size));
		pointer = sf_state_allocate(&store->blobs, offsetof(KeyChunk, data) + chunk_size);
		chunk = store_address(store, pointer);
		chunk->size = chunk_size;
		chunk->next = shared->key_chunks;
		shared->key_chunk_used = 0;
		shared->key_chunk_size = chunk_size;
		shared->key_chunks = pointer;
	}
	pointer = shared->key_chunks + offsetof(KeyChunk, data) + shared->key_chunk_used;
	shared->key_chunk_used += MAXALIGN(size);
	memcpy(store_address(store, pointer), DatumGetPointer(value), size);
	return pointer;
}

static SfGroup *
add_group(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	SfLayout *layout = store->layout;
	Datum *stored = store->keys;
	uint64 bitmap = 0;
	SfGroup *group;

	if (!window_has_room(window))
		window_reserve(store, window);
	for (int i = 0; i < layout->nkeys; i++)
	{
		SfKeyColumn *key = &layout->keys[i];

		if (nulls[i])
		{
			bitmap |= UINT64CONST(1) << i;
			stored[i] = (Datum) 0;
		}
		else if (key->typbyval)
			stored[i] = sf_key_normal(keys[i], key->typlen);
		else
			stored[i] = copy_key(store, window, keys[i], key->typlen);
	}

	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	group = insert_group(store, window, hash);
	memcpy(group->data, stored, sizeof(Datum) * layout->nkeys);
	*(uint64 *) (group->data + layout->nulls_offset) = bitmap;
	LWLockRelease(&store->fragment->lock);
	return group;
}

SfGroup *
sf_store_touch(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	StoreWindow *mirror = sf_store_mirror(store, window);
	SfGroup *group = find_group(store, mirror, hash, keys, nulls);

	Assert(store->in_tick);
	if (group == NULL)
		return add_group(store, mirror, hash, keys, nulls);
	if (group->version != store->tick)
	{
		if (!undo_has_room(store))
			sf_undo_reserve(store);
		LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
		sf_undo_save(store, mirror, group);
		LWLockRelease(&store->fragment->lock);
	}
	return group;
}

/* ---- touching many groups with a by-value key ---- */

/* The key is the first word of the data, the null bitmap (sf_layout_is_int: one key) the second. */
static inline SfGroup *
find_int_group(const SfStore *store, const StoreWindow *window, uint32 hash, Datum key)
{
	uint32 i = hash & window->mask;
	uint64 slot;

	while ((slot = window->slots[i]) != 0)
	{
		if ((uint32) (slot >> 32) == hash)
		{
			SfGroup *group = store_group(store, window, (uint32) slot - 1);

			if (((Datum *) group->data)[0] == key && ((uint64 *) group->data)[1] == 0)
				return group;
		}
		i = (i + 1) & window->mask;
	}
	return NULL;
}

/* Adds or saves the groups of those rows that need the lock; gives it back only to allocate. */
static void
own_int_groups(SfStore *store, StoreWindow **mirrors, const uint32 *hashes, const Datum *keys, SfGroup **groups,
               const int *rows, int nrows)
{
	LWLock *lock = &store->fragment->lock;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int j = 0; j < nrows; j++)
	{
		int i = rows[j];
		StoreWindow *window = mirrors[i];
		SfGroup *group = groups[i] ? groups[i] : find_int_group(store, window, hashes[i], keys[i]);

		if (group == NULL)
		{
			if (!window_has_room(window))
			{
				LWLockRelease(lock);
				window_reserve(store, window);
				LWLockAcquire(lock, LW_EXCLUSIVE);
			}
			group = insert_group(store, window, hashes[i]);
			((Datum *) group->data)[0] = keys[i];
		}
		else if (group->version != store->tick)
		{
			if (!undo_has_room(store))
			{
				LWLockRelease(lock);
				sf_undo_reserve(store);
				LWLockAcquire(lock, LW_EXCLUSIVE);
			}
			sf_undo_save(store, window, group);
		}
		groups[i] = group;
	}
	LWLockRelease(lock);
}

/* Three passes, so that the misses of many rows overlap: index, groups, and then the comparisons. */
static void
touch_int_rows(SfStore *store, SfWindow **windows, const uint32 *hashes, const Datum *keys, SfGroup **groups, int n)
{
	StoreWindow *mirrors[TOUCH_ROWS];
	int pending[TOUCH_ROWS];
	int npending = 0;

	for (int i = 0; i < n; i++)
	{
		mirrors[i] = sf_store_mirror(store, windows[i]);
		__builtin_prefetch(&mirrors[i]->slots[hashes[i] & mirrors[i]->mask]);
	}
	for (int i = 0; i < n; i++)
	{
		uint64 slot = mirrors[i]->slots[hashes[i] & mirrors[i]->mask];

		if (slot != 0)
			__builtin_prefetch(store_group(store, mirrors[i], (uint32) slot - 1));
	}
	for (int i = 0; i < n; i++)
	{
		groups[i] = find_int_group(store, mirrors[i], hashes[i], keys[i]);
		if (groups[i] == NULL || groups[i]->version != store->tick)
			pending[npending++] = i;
	}
	if (npending > 0)
		own_int_groups(store, mirrors, hashes, keys, groups, pending, npending);
}

void
sf_store_touch_int_batch(SfStore *store, SfWindow **windows, const uint32 *hashes, const Datum *keys, SfGroup **groups,
                         int n)
{
	Assert(store->in_tick && sf_layout_is_int(store->layout));
	for (int i = 0; i < n; i += TOUCH_ROWS)
		touch_int_rows(store, windows + i, hashes + i, keys + i, groups + i, Min(TOUCH_ROWS, n - i));
}
