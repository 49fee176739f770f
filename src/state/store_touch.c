/*
 * store_touch.c
 *		Finding groups in a window's hash table, adding them, and making them the worker's own for the tick.
 *
 * Probes and the types' operators run without a lock.  What a row needs is allocated before fragment->lock is taken, so
 * that under it nothing can fail.  The forms for many rows take the lock once for all groups of earlier ticks, and let
 * the memory accesses of many rows overlap: at tens of thousands of groups these are what a row costs.
 *
 * Rows that are no groups are put behind one another, and shown to the readers' side by the number of them.
 */
#include "state/store_private.h"

#include "utils/datum.h"

#include "fault.h"

#define MIN_SLOTS 4
#define MIN_CHUNKS 4
#define MIN_KEY_CHUNK 64
#define MAX_KEY_CHUNK (64 * 1024)
#define TOUCH_ROWS 256

/* ---- the hash table of a window ---- */

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
	{
		SfGroup *group = store_group(store, window, id);

		if (!store->layout->groups_leave || *store_life(store, group) != SF_LIFE_FREE)
			slot_insert(window->slots, window->mask, store_slot_value(group->hash, id));
	}
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
		if (window->slots[i] != 0 && !((uint32) window->slots[i] == 1 && SF_BUG("group-lost-in-growth")))
			slot_insert(slots, nslots - 1, window->slots[i]);

	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	shared->slots = fresh;
	shared->nslots = nslots;
	LWLockRelease(&store->fragment->lock);
	sf_store_mirror_slots(store, window);
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
	sf_store_mirror_reserve_chunk(store, window);
	chunk = sf_state_allocate(&store->blobs, store->group_size * sf_chunk_groups(shared->nchunks));
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	((dsa_pointer *) store_address(store, shared->chunks))[shared->nchunks++] = chunk;
	LWLockRelease(&store->fragment->lock);
	window->chunks[window->nchunks++] = store_address(store, chunk);
}

/*
 * At most half of the slots are used: probes stay short, and end.  A place that is free has a slot left for it, and is
 * taken with a pre-image, by which it is free again for an earlier tick.
 */
static inline bool
window_has_room(const SfStore *store, const StoreWindow *window)
{
	SfWindow *shared = window->shared;

	if (shared->nfree > 0)
		return shared->born == store->tick || undo_has_room(store);
	return shared->ngroups < sf_chunks_room(shared->nchunks) && (shared->ngroups + 1) * 2 <= shared->nslots;
}

/* Room for one more group.  Allocates: not under the lock. */
static void
window_reserve(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;

	if (shared->nfree > 0)
	{
		if (shared->born != store->tick)
			sf_undo_reserve(store);
		return;
	}
	if (shared->ngroups == PG_UINT32_MAX / 4)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many groups in a window")));
	if (shared->ngroups == sf_chunks_room(shared->nchunks))
		add_chunk(store, window);
	if ((shared->ngroups + 1) * 2 > shared->nslots)
		grow_slots(store, window);
}

/*
 * Adds a group at the end of the window, or in a place that is free, at the initial value; the caller has reserved room
 * and fills in the keys before it gives the lock back.
 */
static inline SfGroup *
insert_group(SfStore *store, StoreWindow *window, uint32 hash)
{
	SfWindow *shared = window->shared;
	SfGroup *group;

	if (unlikely(shared->nfree > 0))
		group = sf_store_take_place(store, window);
	else
	{
		uint32 id = shared->ngroups;

		group = store_group(store, window, id);
		group->version = store->tick;
		group->undo = InvalidDsaPointer;
		group->id = id;
		shared->ngroups = id + 1;
	}
	group->hash = hash;
	memcpy(group->data, store->fresh, store->layout->data_size);
	slot_insert(window->slots, window->mask, store_slot_value(hash, group->id));
	store_count(&store->fragment->groups, 1);
	store_window_grown(store, window);
	return group;
}

/* ---- touching one group ---- */

SfGroup *
sf_store_find(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
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

/* Is there a group with this hash? */
bool
sf_store_has_hash(const SfStore *store, const StoreWindow *window, uint32 hash)
{
	for (uint32 i = hash & window->mask; window->slots[i] != 0; i = (i + 1) & window->mask)
		if ((uint32) (window->slots[i] >> 32) == hash &&
		    sf_group_is_there(store->layout, store_group(store, window, (uint32) window->slots[i] - 1)->data))
			return true;
	return false;
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

/* Flat copies of a group's keys in memory of their own, in place of the keys.  All or, when it raises, nothing. */
static void
copy_keys(SfStore *store, Datum *stored, const bool *nulls)
{
	SfLayout *layout = store->layout;
	Size size = 0;
	dsa_pointer pointer;

	for (int i = 0; i < layout->nkeys; i++)
	{
		int16 typlen = layout->keys[i].typlen;

		if (layout->keys[i].typbyval || nulls[i])
			continue;
		if (typlen == -1)
			stored[i] = PointerGetDatum(PG_DETOAST_DATUM(stored[i]));
		size += MAXALIGN(datumGetSize(stored[i], false, typlen));
	}
	if (size == 0)
		return;
	pointer = sf_state_allocate(&store->blobs, size);
	for (int i = 0; i < layout->nkeys; i++)
	{
		Size key_size;

		if (layout->keys[i].typbyval || nulls[i])
			continue;
		key_size = datumGetSize(stored[i], false, layout->keys[i].typlen);
		memcpy(store_address(store, pointer), DatumGetPointer(stored[i]), key_size);
		stored[i] = pointer;
		pointer += MAXALIGN(key_size);
	}
}

static SfGroup *
add_group(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	SfLayout *layout = store->layout;
	Datum *stored = store->keys;
	uint64 bitmap = 0;
	SfGroup *group;

	if (!window_has_room(store, window))
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
		else if (layout->groups_leave)
			stored[i] = keys[i];
		else
			stored[i] = copy_key(store, window, keys[i], key->typlen);
	}
	if (layout->groups_leave)
		copy_keys(store, stored, nulls);

	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	group = insert_group(store, window, hash);
	memcpy(group->data, stored, sizeof(Datum) * layout->nkeys);
	*(uint64 *) (group->data + layout->nulls_offset) = bitmap;
	LWLockRelease(&store->fragment->lock);
	return group;
}

/* A group that is there becomes the tick's own. */
void
sf_store_take(SfStore *store, StoreWindow *window, SfGroup *group)
{
	if (group->version == store->tick)
		return;
	if (!undo_has_room(store))
		sf_undo_reserve(store);
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	sf_undo_save(store, window, group);
	LWLockRelease(&store->fragment->lock);
}

/* The same for rows to come: one whose life is over starts anew. */
static void
take_group(SfStore *store, StoreWindow *window, SfGroup *group)
{
	bool over = store_is_over(store, group);

	sf_store_take(store, window, group);
	if (over)
		sf_store_revive(store, group);
}

/*
 * Groups that have been spilled come back before they are touched: those of `missing` rows, which were not found at all,
 * and of `found` ones that stand in their places and have been removed.  The latter are there then.
 */
static void
bring_back(SfStore *store, StoreWindow **mirrors, const uint32 *hashes, SfGroup **groups, const int *found, int nfound,
           const int *missing, int nmissing)
{
	int rows[2 * TOUCH_ROWS];
	int nrows = 0;

	for (int i = 0; i < nmissing; i++)
		rows[nrows++] = missing[i];
	for (int i = 0; i < nfound; i++)
		if (!sf_group_is_there(store->layout, groups[found[i]]->data))
			rows[nrows++] = found[i];
	if (nrows > 0)
		sf_spill_bring_back(store->spill, mirrors, hashes, rows, nrows);
}

static inline bool
looks_for_spilled(const SfStore *store)
{
	return unlikely(store->spill != NULL) && !sf_spill_is_empty(store->spill);
}

void
sf_store_bring_back(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	StoreWindow *mirror = sf_store_mirror(store, window);
	const int row = 0;
	SfGroup *group;

	if (!looks_for_spilled(store))
		return;
	group = sf_store_find(store, mirror, hash, keys, nulls);
	if (group == NULL || !sf_group_is_there(store->layout, group->data))
		sf_spill_bring_back(store->spill, &mirror, &hash, &row, 1);
}

/* Without looking for it among those that have been spilled. */
SfGroup *
sf_store_touch_here(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	SfGroup *group = sf_store_find(store, window, hash, keys, nulls);

	Assert(store->in_tick);
	if (group == NULL)
		return add_group(store, window, hash, keys, nulls);
	take_group(store, window, group);
	return group;
}

SfGroup *
sf_store_touch(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	sf_store_bring_back(store, window, hash, keys, nulls);
	return sf_store_touch_here(store, sf_store_mirror(store, window), hash, keys, nulls);
}

/* Its pre-image is the worker's own: there is one since the tick changed it, and it stays for the tick to be undone. */
const char *
sf_store_data_before(SfStore *store, const SfGroup *group)
{
	Assert(store->in_tick);
	if (group->version < store->tick)
		return group->data;
	if (!DsaPointerIsValid(group->undo))
		return NULL;
	return ((UndoRecord *) store_address(store, group->undo))->data;
}

SfStoreMark
sf_store_mark(const SfStore *store, const SfWindow *window)
{
	return (SfStoreMark){window->ngroups, store->nrevived, window->key_chunks, window->key_chunk_used};
}

bool
sf_store_forget(SfStore *store, SfWindow *window, SfGroup *group, const SfStoreMark *mark)
{
	StoreWindow *mirror = sf_store_mirror(store, window);
	uint32 slot;

	Assert(store->in_tick);
	if (store->nrevived != mark->nrevived)
	{
		sf_store_remove(store, window, group);
		store->nrevived = mark->nrevived;
		return true;
	}
	if (window->ngroups == mark->ngroups)
		return false;
	Assert(window->ngroups == mark->ngroups + 1 && group->id == mark->ngroups);
	sf_store_free_parts(store, group->data);

	/* No later group was placed past its slot, so that one may simply be free again. */
	slot = group->hash & mirror->mask;
	while (mirror->slots[slot] != store_slot_value(group->hash, group->id))
		slot = (slot + 1) & mirror->mask;
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	mirror->slots[slot] = 0;
	window->ngroups = mark->ngroups;
	LWLockRelease(&store->fragment->lock);
	store_count(&store->fragment->groups, -1);
	if (window->key_chunks == mark->key_chunks)
		window->key_chunk_used = mark->key_chunk_used;
	return true;
}

/* ---- the head of a store of panes ---- */

/* Its one group, touched: it is versioned like any other.  The word for null keys, and the life, hold times. */
SfGroup *
sf_store_touch_head(SfStore *store)
{
	SfTime start = store_head_start(store->layout);
	StoreWindow *head = sf_store_mirror_at_start(store, start);
	SfGroup *group;

	if (head == NULL)
		head = sf_store_window_create(store, start, start, SF_WINDOW_HEAD);
	if (head->shared->ngroups == 0)
	{
		window_reserve(store, head);
		LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
		group = insert_group(store, head, 0);
		if (store->layout->groups_leave)
			*store_life(store, group) = SF_LIFE_LEAST;
		LWLockRelease(&store->fragment->lock);
		store_count(&store->fragment->groups, -1);
		return group;
	}
	group = store_group(store, head, 0);
	sf_store_take(store, head, group);
	return group;
}

void
sf_store_note_closed_until(SfStore *store, SfTime closed_until)
{
	StoreWindow *head = sf_store_mirror_at_start(store, SF_TIME_MINUS_INFINITY);
	Size offset = store->layout->nulls_offset;

	Assert(store->in_tick && store->layout->in_panes);
	if (head == NULL || head->shared->ngroups == 0 ||
	    *(SfTime *) (store_group(store, head, 0)->data + offset) != closed_until)
		*(SfTime *) (sf_store_touch_head(store)->data + offset) = closed_until;
}

/* ---- touching many groups ---- */

/*
 * Makes the groups of some rows the worker's own: one lock for all.  Room for records is made without it.
 */
static void
save_groups(SfStore *store, StoreWindow **mirrors, SfGroup **groups, const int *rows, int nrows)
{
	LWLock *lock = &store->fragment->lock;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int j = 0; j < nrows; j++)
	{
		SfGroup *group = groups[rows[j]];
		bool over;

		/* A row before may have saved it. */
		if (store_is_taken(store, group) || SF_BUG("pre-image-not-saved"))
			continue;
		over = store_is_over(store, group);
		if (group->version != store->tick)
		{
			if (!undo_has_room(store))
			{
				LWLockRelease(lock);
				sf_undo_reserve(store);
				LWLockAcquire(lock, LW_EXCLUSIVE);
			}
			sf_undo_save(store, mirrors[rows[j]], group);
		}
		if (over)
			sf_store_revive(store, group);
	}
	LWLockRelease(lock);
}

/*
 * The misses of many rows overlap: first the index is asked for, then the groups that it leads to, and only then are
 * keys compared.
 */
static void
prefetch_groups(SfStore *store, SfWindow **windows, const uint32 *hashes, StoreWindow **mirrors, int n)
{
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
}

/* Where the first candidate has a key elsewhere in memory. */
static void
prefetch_keys(SfStore *store, StoreWindow **mirrors, const uint32 *hashes, int n)
{
	SfLayout *layout = store->layout;

	for (int column = 0; column < layout->nkeys; column++)
	{
		if (layout->keys[column].typbyval)
			continue;
		for (int i = 0; i < n; i++)
		{
			uint64 slot = mirrors[i]->slots[hashes[i] & mirrors[i]->mask];
			dsa_pointer key;

			if ((uint32) (slot >> 32) != hashes[i] || slot == 0)
				continue;
			key = ((dsa_pointer *) store_group(store, mirrors[i], (uint32) slot - 1)->data)[column];
			if (DsaPointerIsValid(key))
				__builtin_prefetch(store_address(store, key));
		}
	}
}

static inline bool
row_has_key(SfStore *store, const SfGroup *group, Datum **keys, bool **nulls, int row)
{
	SfLayout *layout = store->layout;
	uint64 bitmap = *(const uint64 *) (group->data + layout->nulls_offset);

	for (int column = 0; column < layout->nkeys; column++)
	{
		SfKeyColumn *key = &layout->keys[column];
		Datum stored = ((const Datum *) group->data)[column];
		bool null = nulls[column] != NULL && nulls[column][row];

		if (null != ((bitmap & (UINT64CONST(1) << column)) != 0))
			return false;
		if (null)
			continue;
		if (!key->typbyval)
			stored = PointerGetDatum(store_address(store, stored));
		if (!sf_key_equal(key, stored, keys[column][row]))
			return false;
	}
	return true;
}

static inline SfGroup *
find_row_group(SfStore *store, StoreWindow *window, uint32 hash, Datum **keys, bool **nulls, int row)
{
	for (uint32 i = hash & window->mask; window->slots[i] != 0; i = (i + 1) & window->mask)
		if ((uint32) (window->slots[i] >> 32) == hash)
		{
			SfGroup *group = store_group(store, window, (uint32) window->slots[i] - 1);

			if (row_has_key(store, group, keys, nulls, row))
				return group;
		}
	return NULL;
}

static SfGroup *
add_row_group(SfStore *store, StoreWindow *window, uint32 hash, Datum **keys, bool **nulls, int row)
{
	Datum row_keys[SF_LAYOUT_MAX_KEYS];
	bool row_nulls[SF_LAYOUT_MAX_KEYS];

	for (int column = 0; column < store->layout->nkeys; column++)
	{
		row_keys[column] = keys[column][row];
		row_nulls[column] = nulls[column] != NULL && nulls[column][row];
	}
	return add_group(store, window, hash, row_keys, row_nulls);
}

/* Rows first to first + n of the arrays; keys and nulls stay as they are, since they are one array per column. */
static void
touch_rows(SfStore *store, SfWindow **windows, const uint32 *hashes, Datum **keys, bool **nulls, SfGroup **groups,
           int first, int n)
{
	StoreWindow *mirrors[TOUCH_ROWS];
	int found[TOUCH_ROWS];
	int missing[TOUCH_ROWS];
	int nfound = 0;
	int nmissing = 0;

	windows += first;
	hashes += first;
	groups += first;
	prefetch_groups(store, windows, hashes, mirrors, n);
	prefetch_keys(store, mirrors, hashes, n);
	for (int i = 0; i < n; i++)
	{
		groups[i] = find_row_group(store, mirrors[i], hashes[i], keys, nulls, first + i);
		if (groups[i] == NULL)
			missing[nmissing++] = i;
		else if (!store_is_taken(store, groups[i]))
			found[nfound++] = i;
	}
	if (looks_for_spilled(store))
		bring_back(store, mirrors, hashes, groups, found, nfound, missing, nmissing);
	if (nfound > 0)
		save_groups(store, mirrors, groups, found, nfound);
	for (int j = 0; j < nmissing; j++)
	{
		int i = missing[j];

		groups[i] = find_row_group(store, mirrors[i], hashes[i], keys, nulls, first + i);
		if (groups[i] == NULL)
			groups[i] = add_row_group(store, mirrors[i], hashes[i], keys, nulls, first + i);
		else if (!store_is_taken(store, groups[i])) /* has come back, and its life was over */
			sf_store_revive(store, groups[i]);
	}
}

void
sf_store_touch_batch(SfStore *store, SfWindow **windows, const uint32 *hashes, Datum **keys, bool **nulls,
                     SfGroup **groups, int n)
{
	Assert(store->in_tick);
	for (int i = 0; i < n; i += TOUCH_ROWS)
		touch_rows(store, windows, hashes, keys, nulls, groups, i, Min(TOUCH_ROWS, n - i));
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

/* Adds the groups of some rows; gives the lock back only to allocate. */
static void
add_int_groups(SfStore *store, StoreWindow **mirrors, const uint32 *hashes, const Datum *keys, SfGroup **groups,
               const int *rows, int nrows)
{
	LWLock *lock = &store->fragment->lock;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int j = 0; j < nrows; j++)
	{
		int i = rows[j];

		groups[i] = find_int_group(store, mirrors[i], hashes[i], keys[i]);
		if (groups[i] != NULL)
		{
			/* One that has come back, and whose life was over, is there no more. */
			if (!store_is_taken(store, groups[i]))
				sf_store_revive(store, groups[i]);
			continue;
		}
		if (!window_has_room(store, mirrors[i]))
		{
			LWLockRelease(lock);
			window_reserve(store, mirrors[i]);
			LWLockAcquire(lock, LW_EXCLUSIVE);
		}
		groups[i] = insert_group(store, mirrors[i], hashes[i]);
		((Datum *) groups[i]->data)[0] = keys[i];
	}
	LWLockRelease(lock);
}

static void
touch_int_rows(SfStore *store, SfWindow **windows, const uint32 *hashes, const Datum *keys, SfGroup **groups, int n)
{
	StoreWindow *mirrors[TOUCH_ROWS];
	int found[TOUCH_ROWS];
	int missing[TOUCH_ROWS];
	int nfound = 0;
	int nmissing = 0;

	prefetch_groups(store, windows, hashes, mirrors, n);
	for (int i = 0; i < n; i++)
	{
		groups[i] = find_int_group(store, mirrors[i], hashes[i], keys[i]);
		if (groups[i] == NULL)
			missing[nmissing++] = i;
		else if (!store_is_taken(store, groups[i]))
			found[nfound++] = i;
	}
	if (looks_for_spilled(store))
		bring_back(store, mirrors, hashes, groups, found, nfound, missing, nmissing);
	if (nfound > 0)
		save_groups(store, mirrors, groups, found, nfound);
	if (nmissing > 0)
		add_int_groups(store, mirrors, hashes, keys, groups, missing, nmissing);
}

void
sf_store_touch_int_batch(SfStore *store, SfWindow **windows, const uint32 *hashes, const Datum *keys, SfGroup **groups,
                         int n)
{
	Assert(store->in_tick && sf_layout_is_int(store->layout));
	for (int i = 0; i < n; i += TOUCH_ROWS)
		touch_int_rows(store, windows + i, hashes + i, keys + i, groups + i, Min(TOUCH_ROWS, n - i));
}

/* ---- rows, and groups that are not looked up ---- */

/* Into the place behind the groups that are there: nobody looks at it yet. */
static void
put_row(SfStore *store, StoreWindow *window, SfGroup *group, uint32 id, Datum **columns, bool **nulls, int row)
{
	SfLayout *layout = store->layout;
	Datum *stored = (Datum *) group->data;
	uint64 bitmap = 0;

	group->version = store->tick;
	group->undo = InvalidDsaPointer;
	group->hash = 0;
	group->id = id;
	for (int i = 0; i < layout->nkeys; i++)
	{
		if (nulls[i] != NULL && nulls[i][row])
		{
			bitmap |= UINT64CONST(1) << i;
			stored[i] = (Datum) 0;
		}
		else if (layout->keys[i].typbyval)
			stored[i] = columns[i][row];
		else
			stored[i] = copy_key(store, window, columns[i][row], layout->keys[i].typlen);
	}
	*(uint64 *) (group->data + layout->nulls_offset) = bitmap;
}

void
sf_store_append(SfStore *store, SfWindow *window, Datum **columns, bool **nulls, int first, int n)
{
	StoreWindow *mirror = sf_store_mirror(store, window);
	uint32 ngroups = window->ngroups;

	Assert(store->in_tick && store->layout->of_rows && window->born == store->tick);
	for (int row = first; row < first + n; row++, ngroups++)
	{
		if (ngroups == PG_UINT32_MAX / 4)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many rows in a tick")));
		if (ngroups == sf_chunks_room(window->nchunks))
			add_chunk(store, mirror);
		put_row(store, mirror, store_group(store, mirror, ngroups), ngroups, columns, nulls, row);
	}
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	window->ngroups = ngroups;
	LWLockRelease(&store->fragment->lock);
	store_count(&store->fragment->groups, n);
	store_window_grown(store, mirror);
}

SfGroup *
sf_store_add(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls)
{
	SfLayout *layout = store->layout;
	Size states = layout->nulls_offset + sizeof(uint64);
	StoreWindow *mirror = sf_store_mirror(store, window);
	Datum *columns[SF_LAYOUT_MAX_KEYS];
	bool *column_nulls[SF_LAYOUT_MAX_KEYS];
	SfGroup *group;

	Assert(store->in_tick && window->born == store->tick && window->nslots == 0);
	if (window->ngroups == PG_UINT32_MAX / 4)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many groups in a window")));
	if (window->ngroups == sf_chunks_room(window->nchunks))
		add_chunk(store, mirror);
	for (int i = 0; i < layout->nkeys; i++)
	{
		columns[i] = (Datum *) &keys[i];
		column_nulls[i] = (bool *) &nulls[i];
	}
	group = store_group(store, mirror, window->ngroups);
	put_row(store, mirror, group, window->ngroups, columns, column_nulls, 0);
	group->hash = hash;
	memcpy(group->data + states, store->fresh + states, layout->data_size - states);
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	window->ngroups++;
	LWLockRelease(&store->fragment->lock);
	store_count(&store->fragment->groups, 1);
	store_window_grown(store, mirror);
	return group;
}
