/*
 * store_leave.c
 *		Groups that leave a window: removed, forgotten, and their places given back and taken again.
 *
 * A removed group is absent, but stands in its place and in the index as long as somebody may ask for it: a reader pinned
 * before, a row to come, or a checkpoint that has yet to write that it is gone.  Then its place is free; the free places of
 * a window are a chain.  Taking one saves a pre-image in which it is free, so undo gives it back like any other change.
 *
 * What is absent is also in a queue of the worker's, by which reclaim finds it.  An entry says nothing but where to look:
 * one whose group has been touched since is dropped.  A new worker fills the queue from the places.
 */
#include "state/store_private.h"

#include "fault.h"

#define MIN_ABSENT 64

/* So many places are given back under one hold of the lock. */
#define BATCH_PLACES 256

/* Where the states begin: behind the keys. */
static inline Size
states_offset(const SfStore *store)
{
	return store->layout->nulls_offset + sizeof(uint64);
}

/* The group at its initial value.  What its states have of earlier ticks is left to the pre-image. */
static void
start_anew(SfStore *store, SfGroup *group)
{
	SfLayout *layout = store->layout;

	Assert(group->version == store->tick);
	for (int i = 0; i < layout->nblobs; i++)
	{
		dsa_pointer blob = *(dsa_pointer *) (group->data + layout->blob_offset[i]);

		if (DsaPointerIsValid(blob) && sf_blob_get(&store->blobs, blob)->tick == store->tick)
			sf_blob_free(&store->blobs, blob);
	}
	for (int i = 0; i < layout->nlists; i++)
		sf_list_clear(&store->blobs, store_list(store, group->data, i));
	memcpy(group->data + states_offset(store), store->fresh + states_offset(store),
	       layout->data_size - states_offset(store));
}

/* A touched group that is absent, or whose life was over before the tick, is new. */
void
sf_store_revive(SfStore *store, SfGroup *group)
{
	if (!sf_group_is_there(store->layout, group->data))
		store_count(&store->fragment->groups, 1);
	start_anew(store, group);
	store->nrevived++;
}

/* ---- removing ---- */

static void
queue_absent(SfStore *store, StoreWindow *window, SfTick version, uint32 id)
{
	sf_reserve(store->context, window->absent, window->absent_max, window->absent_end + 1, MIN_ABSENT);
	window->absent[window->absent_end++] = (StoreAbsent){version, id};
}

void
sf_store_remove(SfStore *store, SfWindow *window, SfGroup *group)
{
	StoreWindow *mirror = sf_store_mirror(store, window);

	Assert(store->in_tick && store->layout->groups_leave);
	if (!sf_group_is_there(store->layout, group->data))
		return;
	queue_absent(store, mirror, store->tick, group->id);
	sf_store_take(store, mirror, group);
	start_anew(store, group);
	*store_life(store, group) = SF_LIFE_ABSENT;
	store_count(&store->fragment->groups, -1);
}

/* In the tick that made the window: nobody has seen the group, and its place is free at once. */
void
sf_store_remove_unseen(SfStore *store, StoreWindow *window, SfGroup *group)
{
	Assert(store->in_tick && window->shared->born == store->tick);
	store_count(&store->fragment->groups, -(int64) sf_group_is_there(store->layout, group->data));
	LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
	sf_store_give_back_place(store, window, group);
	LWLockRelease(&store->fragment->lock);
}

/* What a former worker, or a former handle, had in its queue. */
void
sf_store_find_absent(SfStore *store)
{
	if (!store->layout->groups_leave)
		return;
	for (int i = 0; i < store->nwindows; i++)
	{
		StoreWindow *window = store->windows[i];

		window->absent_first = window->absent_end = 0;
		for (uint32 id = 0; id < window->shared->ngroups; id++)
		{
			SfGroup *group = store_group(store, window, id);

			if (*store_life(store, group) == SF_LIFE_ABSENT)
				queue_absent(store, window, group->version, id);
		}
	}
}

/* ---- places ---- */

/* Takes a group out of the index; those behind it that were put past its slot move up.  The caller holds the lock. */
static void
unindex(StoreWindow *window, const SfGroup *group)
{
	uint64 *slots = window->slots;
	uint32 mask = window->mask;
	uint32 hole = group->hash & mask;

	while (slots[hole] != store_slot_value(group->hash, group->id))
	{
		if (slots[hole] == 0)
			return; /* was not found before, either */
		hole = (hole + 1) & mask;
	}
	for (uint32 i = (hole + 1) & mask; slots[i] != 0 && !SF_BUG("index-not-mended"); i = (i + 1) & mask)
	{
		uint32 wanted = (uint32) (slots[i] >> 32) & mask;

		if (((i - wanted) & mask) >= ((i - hole) & mask))
		{
			slots[hole] = slots[i];
			hole = i;
		}
	}
	slots[hole] = 0;
}

/* The place of a group that is no more, as it was before or for good.  The caller holds the lock. */
void
sf_store_give_back_place(SfStore *store, StoreWindow *window, SfGroup *group)
{
	SfWindow *shared = window->shared;

	unindex(window, group);
	sf_store_free_parts(store, group->data);
	memcpy(group->data, store->fresh, store->layout->data_size);
	*store_life(store, group) = SF_LIFE_FREE;
	group->version = SF_TICK_NONE;
	group->undo = InvalidDsaPointer;
	group->hash = shared->free_head;
	shared->free_head = group->id + 1;
	shared->nfree++;
}

/* A free place becomes the tick's own; the caller holds the lock, has reserved room for the pre-image, and fills it. */
SfGroup *
sf_store_take_place(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	SfGroup *group = store_group(store, window, shared->free_head - 1);

	Assert(*store_life(store, group) == SF_LIFE_FREE);
	shared->free_head = group->hash;
	shared->nfree--;
	if (shared->born == store->tick)
		group->version = store->tick; /* the window is undone as a whole */
	else
		sf_undo_save(store, window, group);
	store->nrevived++;
	return group;
}

/* What a place takes, with its share of the index. */
static Size
place_bytes(const SfStore *store, const SfWindow *window)
{
	return store->group_size + sizeof(uint64) * window->nslots / Max(window->ngroups, 1);
}

Size
sf_store_free_bytes(SfStore *store)
{
	Size bytes = 0;

	for (int i = 0; i < store->nwindows; i++)
		bytes += store->windows[i]->shared->nfree * place_bytes(store, store->windows[i]->shared);
	return bytes;
}

Size
sf_store_absent_bytes(SfStore *store)
{
	Size bytes = 0;

	for (int i = 0; i < store->nwindows; i++)
		bytes += (store->windows[i]->absent_end - store->windows[i]->absent_first) *
		         place_bytes(store, store->windows[i]->shared);
	return bytes;
}

bool
sf_store_absent_unsaved(SfStore *store)
{
	for (int i = 0; i < store->nwindows; i++)
	{
		StoreWindow *window = store->windows[i];

		if (window->absent_first < window->absent_end &&
		    window->absent[window->absent_end - 1].version > window->shared->saved.tick)
			return true;
	}
	return false;
}

/* Is nobody left who may ask for the group of this entry?  False also when there is nothing to be given back. */
static bool
is_absent(SfStore *store, StoreWindow *window, const StoreAbsent *entry)
{
	SfGroup *group;

	if (entry->id >= window->shared->ngroups)
		return false; /* undone */
	group = store_group(store, window, entry->id);
	return *store_life(store, group) == SF_LIFE_ABSENT && group->version == entry->version;
}

/*
 * Places of groups that were removed at `until` or before.  By then their pre-images are reclaimed, and the state table
 * says that they are gone.
 */
static void
reclaim_places(SfStore *store, StoreWindow *window, SfTick until)
{
	LWLock *lock = &store->fragment->lock;

	while (window->absent_first < window->absent_end && window->absent[window->absent_first].version <= until)
	{
		LWLockAcquire(lock, LW_EXCLUSIVE);
		for (int n = 0; n < BATCH_PLACES && window->absent_first < window->absent_end; n++)
		{
			StoreAbsent *entry = &window->absent[window->absent_first];

			if (entry->version > until)
				break;
			if (is_absent(store, window, entry))
				sf_store_give_back_place(store, window, store_group(store, window, entry->id));
			window->absent_first++;
		}
		LWLockRelease(lock);
	}

	/* The part of the queue that is done with does not grow beyond the other. */
	if (window->absent_first == window->absent_end)
	{
		pfree(window->absent);
		window->absent = NULL;
		window->absent_first = window->absent_end = window->absent_max = 0;
	}
	else if (window->absent_first > window->absent_end / 2)
	{
		window->absent_end -= window->absent_first;
		memmove(window->absent, window->absent + window->absent_first, sizeof(StoreAbsent) * window->absent_end);
		window->absent_first = 0;
	}
}

void
sf_store_reclaim_groups(SfStore *store, SfTick oldest_tick)
{
	for (int i = 0; i < store->nwindows; i++)
	{
		StoreWindow *window = store->windows[i];

		if (window->absent_end > 0 && window->shared->closed == SF_TICK_NONE)
			reclaim_places(store, window, Min(oldest_tick, window->shared->saved.tick));
	}
}

/* ---- forgetting ---- */

/* The head's life says which lives are over. */
SfTime
sf_store_forgotten_before(SfStore *store)
{
	StoreWindow *head = sf_store_mirror_at_start(store, store_head_start(store->layout));

	if (head == NULL || head->shared->role != SF_WINDOW_HEAD || head->shared->ngroups == 0)
		return SF_LIFE_LEAST;
	return *store_life(store, store_group(store, head, 0));
}

void
sf_store_begin_lives(SfStore *store)
{
	store->forgotten = SF_BUG("forgotten-group-goes-on") ? SF_LIFE_LEAST : sf_store_forgotten_before(store);
}

void
sf_store_forget_before(SfStore *store, SfTime life)
{
	Assert(store->in_tick && store->layout->groups_leave);
	life = Max(life, SF_LIFE_LEAST);
	if (life != sf_store_forgotten_before(store))
		*store_life(store, sf_store_touch_head(store)) = life;
}

int
sf_store_sweep(SfStore *store, SfWindow *window, SfTime life, uint32 nplaces)
{
	StoreWindow *mirror = sf_store_mirror(store, window);
	int removed = 0;

	nplaces = Min(nplaces, window->ngroups);
	for (uint32 n = 0; n < nplaces; n++)
	{
		SfGroup *group;

		if (mirror->sweep_next >= window->ngroups)
			mirror->sweep_next = 0;
		group = store_group(store, mirror, mirror->sweep_next++);

		/* What this tick has touched comes the next time. */
		if (group->version == store->tick || !sf_group_is_there(store->layout, group->data) ||
		    *store_life(store, group) >= life)
			continue;
		sf_store_remove(store, window, group);
		removed++;
	}
	return removed;
}
