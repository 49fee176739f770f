/*
 * store.c
 *		The worker's side of the store: its handle, and the windows.
 *
 * tick: begin -> window, touch (store_touch.c), change states ... -> publish or rollback (undo.c).
 *
 * The worker is the only writer, so it reads structure without a lock.  It allocates before it locks and links under
 * fragment->lock, with interrupts held: whatever error or termination comes, DSA holds a consistent store.  Growing
 * never moves a group: chunks stay where they are, only the arrays that point to them are replaced.
 */
#include "state/store_private.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#define MIN_CHUNKS 4
#define MIN_WINDOWS 16

/* A window without groups has no index yet: every probe ends here. */
static uint64 no_slots[1];

static int
shape_keys(const SfLayout *layout)
{
	return layout->groups_leave ? layout->nkeys : 0;
}

static Size
shape_bytes(const SfLayout *layout)
{
	return offsetof(StoreShape, offsets) + sizeof(Size) * (layout->nblobs + layout->nlists + shape_keys(layout));
}

static void
fill_shape(const SfLayout *layout, StoreShape *shape)
{
	Size *offsets = shape->offsets;

	memset(shape, 0, shape_bytes(layout));
	shape->data_size = layout->data_size;
	shape->nblobs = layout->nblobs;
	shape->nlists = layout->nlists;
	shape->nkeys = shape_keys(layout);
	shape->groups_leave = layout->groups_leave;
	shape->life_offset = layout->life_offset;
	memcpy(offsets, layout->blob_offset, sizeof(Size) * layout->nblobs);
	memcpy(offsets + layout->nblobs, layout->list_offset, sizeof(Size) * layout->nlists);
	for (int i = 0; i < shape->nkeys; i++)
		offsets[layout->nblobs + layout->nlists + i] = layout->keys[i].typbyval ? 0 : (Size) layout->keys[i].typlen;
}

static void
make_shape(SfStore *store)
{
	SfLayout *layout = store->layout;
	dsa_pointer pointer;

	if (DsaPointerIsValid(store->fragment->shape))
		return;
	pointer = sf_state_allocate(&store->blobs, shape_bytes(layout));
	fill_shape(layout, store_address(store, pointer));
	store->fragment->shape = pointer;
}

void
sf_store_drop_shape(SfStore *store)
{
	sf_state_free(&store->blobs, store->fragment->shape, shape_bytes(store->layout));
	store->fragment->shape = InvalidDsaPointer;
}

static void
check_shape(SfFragment *fragment, SfLayout *layout)
{
	StoreShape *shape;
	StoreShape *wanted;

	if (!DsaPointerIsValid(fragment->shape))
		return;
	shape = dsa_get_address(sf_area(), fragment->shape);
	wanted = palloc(shape_bytes(layout));
	fill_shape(layout, wanted);
	if (shape->nblobs != wanted->nblobs || shape->nlists != wanted->nlists || shape->nkeys != wanted->nkeys ||
	    memcmp(shape, wanted, shape_bytes(layout)) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("an aggregate of a continuous view has been replaced by another one"),
		                errhint("Drop the view and create it again.")));
	pfree(wanted);
}

/* Drops all state of a fragment by its shape alone. */
void
sf_store_discard(SfFragment *fragment)
{
	StoreShape *shape;
	SfLayout layout = {0};
	MemoryContext context;

	if (!DsaPointerIsValid(fragment->shape))
		return;
	shape = dsa_get_address(sf_area(), fragment->shape);
	layout.data_size = shape->data_size;
	layout.nblobs = shape->nblobs;
	layout.nlists = shape->nlists;
	layout.groups_leave = shape->groups_leave;
	layout.life_offset = shape->life_offset;
	layout.blob_offset = palloc(sizeof(Size) * Max(shape->nblobs + shape->nlists, 1));
	layout.list_offset = layout.blob_offset + shape->nblobs;
	memcpy(layout.blob_offset, shape->offsets, sizeof(Size) * (shape->nblobs + shape->nlists));
	layout.nkeys = shape->nkeys;
	layout.keys = palloc0(sizeof(SfKeyColumn) * Max(shape->nkeys, 1));
	for (int i = 0; i < shape->nkeys; i++)
	{
		layout.keys[i].typlen = (int16) shape->offsets[shape->nblobs + shape->nlists + i];
		layout.keys[i].typbyval = layout.keys[i].typlen == 0;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "streamfuse discard", ALLOCSET_DEFAULT_SIZES);
	sf_store_reset(sf_store_create(context, fragment, &layout));
	MemoryContextDelete(context);
	pfree(layout.blob_offset);
	pfree(layout.keys);
}

SfStore *
sf_store_create(MemoryContext context, SfFragment *fragment, SfLayout *layout)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfStore *store = palloc0(sizeof(SfStore));

	check_shape(fragment, layout);
	store->context = context;
	store->fragment = fragment;
	store->layout = layout;
	store->blobs.area = sf_area();
	store->blobs.fragment = fragment;
	store->blobs.tick = SF_TICK_NONE;
	store->tick_segment = InvalidDsaPointer;
	store->group_size = store_group_size(layout);
	store->orphan_words = (layout->nblobs + layout->nlists + 63) / 64;
	store->record_size = MAXALIGN(offsetof(UndoRecord, data) + layout->data_size +
	                              store->orphan_words * sizeof(uint64));
	store->touched_from = SF_TIME_MINUS_INFINITY;
	store->keys = palloc0(sizeof(Datum) * Max(layout->nkeys, 1));
	store->nulls = palloc0(sizeof(bool) * Max(layout->nkeys, 1));
	store->saved = palloc0(sizeof(uint64) * Max(layout->naggs, 1));
	store->fresh = palloc0(layout->data_size);
	for (int i = 0; i < layout->naggs; i++)
		sf_aggregate_start(layout->aggs[i], &store->blobs, store->fresh + layout->state_offset[i]);
	if (layout->groups_leave)
		*(SfTime *) (store->fresh + layout->life_offset) = SF_LIFE_UNKNOWN;
	store->forgotten = SF_LIFE_LEAST;
	MemoryContextSwitchTo(old);
	sf_store_load_mirrors(store);
	sf_store_find_absent(store);
	return store;
}

SfBlobSpace *
sf_store_blobs(SfStore *store)
{
	return &store->blobs;
}

uint64
sf_store_generation(const SfStore *store)
{
	return store->generation;
}

/* ---- mirrors ---- */

/* After the shared index was replaced. */
void
sf_store_mirror_slots(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;

	window->slots = shared->nslots > 0 ? store_address(store, shared->slots) : no_slots;
	window->mask = shared->nslots > 0 ? shared->nslots - 1 : 0;
}

/* Makes room for one more chunk's address. */
void
sf_store_mirror_reserve_chunk(SfStore *store, StoreWindow *window)
{
	sf_reserve(store->context, window->chunks, window->max_chunks, window->nchunks + 1, MIN_CHUNKS);
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
	sf_store_mirror_slots(store, window);
	while (window->nchunks < shared->nchunks)
	{
		sf_store_mirror_reserve_chunk(store, window);
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
	if (window->absent != NULL)
		pfree(window->absent);
	pfree(window);
}

static void
mirrors_reserve(SfStore *store, int n)
{
	sf_reserve(store->context, store->windows, store->max_windows, n, MIN_WINDOWS);
}

void
sf_store_load_mirrors(SfStore *store)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer *pointers = fragment->nwindows > 0 ? store_address(store, fragment->windows) : NULL;

	while (store->nwindows > 0)
		mirror_free(store->windows[--store->nwindows]);
	store->last = store->last_assembled = NULL;
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

/*
 * The order of windows: what takes rows by start, then assembled windows by start and end.  So those come at the end when
 * they are made, and no more has to be moved for one than for another.
 */
static inline bool
is_before(const StoreWindow *window, SfTime start, SfWindowRole role, SfTime end)
{
	bool assembled = window->shared->role == SF_WINDOW_ASSEMBLED;

	if (assembled != (role == SF_WINDOW_ASSEMBLED))
		return !assembled;
	if (window->start != start)
		return window->start < start;
	return assembled && window->shared->end < end;
}

/* Index of the first window that is not before this one. */
static int
search(const SfStore *store, SfTime start, SfWindowRole role, SfTime end)
{
	int low = 0;
	int high = store->nwindows;

	/* Rows mostly belong to the newest windows. */
	if (high > 0 && is_before(store->windows[high - 1], start, role, end))
		return high;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (is_before(store->windows[middle], start, role, end))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The one that takes rows. */
StoreWindow *
sf_store_mirror_at_start(SfStore *store, SfTime start)
{
	int i;

	if (store->last != NULL && store->last->start == start)
		return store->last;
	i = search(store, start, SF_WINDOW_OF_ROWS, start);
	if (i == store->nwindows || store->windows[i]->start != start ||
	    store->windows[i]->shared->role == SF_WINDOW_ASSEMBLED)
		return NULL;
	store->last = store->windows[i];
	return store->last;
}

/* An assembled window's; NULL when it is not there. */
static StoreWindow *
assembled_mirror(SfStore *store, SfTime start, SfTime end)
{
	int i = search(store, start, SF_WINDOW_ASSEMBLED, end);
	StoreWindow *window = i < store->nwindows ? store->windows[i] : NULL;

	return window != NULL && window->start == start && window->shared->end == end ? window : NULL;
}

StoreWindow *
sf_store_mirror(SfStore *store, SfWindow *window)
{
	StoreWindow *mirror;

	if (likely(store->last != NULL && store->last->shared == window))
		return store->last;
	if (store->last_assembled != NULL && store->last_assembled->shared == window)
		return store->last_assembled;
	if (window->role == SF_WINDOW_ASSEMBLED)
		mirror = store->last_assembled = assembled_mirror(store, window->start, window->end);
	else
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

StoreWindow *
sf_store_window_create(SfStore *store, SfTime start, SfTime end, SfWindowRole role)
{
	SfFragment *fragment = store->fragment;
	int at = search(store, start, role, end);
	dsa_pointer pointer;
	dsa_pointer *pointers;
	SfWindow *shared;
	StoreWindow *window;

	make_shape(store);
	windows_reserve(store);
	pointer = sf_state_allocate(&store->blobs, sizeof(SfWindow));
	shared = store_address(store, pointer);
	memset(shared, 0, sizeof(SfWindow));
	shared->start = start;
	shared->end = end;
	shared->role = role;
	shared->born = store->tick;
	if (role == SF_WINDOW_ASSEMBLED)
		shared->closed = store->tick;
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
	store_window_grown(store, window);
	return window;
}

SfWindow *
sf_store_window(SfStore *store, SfTime start, SfTime end)
{
	StoreWindow *window = sf_store_mirror_at_start(store, start);

	Assert(store->in_tick);
	if (unlikely(window == NULL))
	{
		window = sf_store_window_create(store, start, end,
		                                store->layout->in_panes ? SF_WINDOW_PANE : SF_WINDOW_OF_ROWS);
		store->last = window;
	}
	Assert(window->shared->end == end);
	store->touched_from = Min(store->touched_from, start);
	return window->shared;
}

SfWindow *
sf_store_assemble(SfStore *store, SfTime start, SfTime end)
{
	Assert(store->in_tick);
	if (assembled_mirror(store, start, end) != NULL)
		elog(ERROR, "window is closed a second time");
	return sf_store_window_create(store, start, end, SF_WINDOW_ASSEMBLED)->shared;
}

bool
sf_store_has_assembled(SfStore *store, SfTime start, SfTime end)
{
	return assembled_mirror(store, start, end) != NULL;
}

SfTime
sf_store_touched_since(SfStore *store)
{
	SfTime from = store->touched_from;

	store->touched_from = SF_TIME_INFINITY;
	return from;
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
	store->last = store->last_assembled = NULL;
}

/* Where groups leave, the keys of a group are in one piece of memory, which begins with the first that is not null. */
Size
sf_store_key_bytes(const SfStore *store, const char *data, dsa_pointer *first)
{
	SfLayout *layout = store->layout;
	Size bytes = 0;

	*first = InvalidDsaPointer;
	for (int i = 0; i < layout->nkeys; i++)
	{
		dsa_pointer key = ((const dsa_pointer *) data)[i];

		if (layout->keys[i].typbyval || !DsaPointerIsValid(key))
			continue;
		if (!DsaPointerIsValid(*first))
			*first = key;
		bytes += MAXALIGN(datumGetSize(PointerGetDatum(store_address(store, key)), false, layout->keys[i].typlen));
	}
	return bytes;
}

static void
free_keys(SfStore *store, const char *data)
{
	dsa_pointer first;
	Size bytes = sf_store_key_bytes(store, data, &first);

	sf_state_free(&store->blobs, first, bytes);
}

/* Frees what a group that is no more has beside its data, but for keys in its window's memory. */
void
sf_store_free_parts(SfStore *store, const char *data)
{
	SfLayout *layout = store->layout;

	if (layout->groups_leave)
		free_keys(store, data);
	for (int i = 0; i < layout->nblobs; i++)
		sf_blob_free(&store->blobs, *(const dsa_pointer *) (data + layout->blob_offset[i]));
	for (int i = 0; i < layout->nlists; i++)
		sf_list_free(&store->blobs, store_list(store, data, i));
}

/* Frees a window that is in no array any more, with everything its groups refer to. */
void
sf_store_free_window(SfStore *store, StoreWindow *window)
{
	SfBlobSpace *blobs = &store->blobs;
	SfWindow *shared = window->shared;
	uint32 absent = 0;

	for (uint32 id = 0; store_has_parts(store) && id < shared->ngroups; id++)
	{
		SfGroup *group = store_group(store, window, id);

		sf_store_free_parts(store, group->data);
		absent += !sf_group_is_there(store->layout, group->data);
	}
	if (shared->role != SF_WINDOW_HEAD)
		store_count(&store->fragment->groups, (int64) absent - shared->ngroups);
	for (uint32 i = 0; i < shared->nchunks; i++)
		sf_state_free(blobs, ((dsa_pointer *) store_address(store, shared->chunks))[i],
		              store->group_size * sf_chunk_groups(i));
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
