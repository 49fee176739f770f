/*
 * undo.c
 *		The undo log, and the ends of a tick: publish, rollback, take-over, reclaim.
 *
 * Invariants:
 *	U1	A record holds its group's data as it was before record->tick; group->version == tick while it is the newest.
 *	U2	A blob or list of a pre-image belongs to the record (is orphaned) when the group has another in its place as of
 *		the end of the tick; publish sets the bits, and reclaiming the record frees them.  All others belong to the
 *		group; of the group's own list, a pre-image counts the beginning.
 *	U3	A group without a pre-image in the tick that made it has undo == InvalidDsaPointer, and such groups are the last
 *		ones of their window.  One that took a free place has a pre-image, in which the place is free.
 *	U4	group->undo and record->older may point to reclaimed records, but only when no pin is old enough to follow them.
 *
 * So the log alone says how to get back to the published tick, also to a successor of a worker that died.
 */
#include "state/store_private.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/datum.h"

#include "fault.h"
#include "state/pins.h"

static inline UndoRecord *
record_at(UndoSegment *segment, uint32 offset)
{
	return (UndoRecord *) (segment->records + offset);
}

static inline uint64 *
record_orphans(const SfStore *store, UndoRecord *record)
{
	return (uint64 *) (record->data + store->layout->data_size);
}

static inline dsa_pointer
blob_in(const SfStore *store, const char *data, int i)
{
	return *(const dsa_pointer *) (data + store->layout->blob_offset[i]);
}

static Size
segment_bytes(const UndoSegment *segment)
{
	return offsetof(UndoSegment, records) + segment->size;
}

static void
reserve(SfStore *store, bool beyond)
{
	SfFragment *fragment = store->fragment;
	Size size = Max(UNDO_SEGMENT_SIZE - offsetof(UndoSegment, records), store->record_size);
	dsa_pointer pointer;
	UndoSegment *segment;

	if (undo_has_room(store))
		return;
	pointer = beyond ? sf_state_allocate_beyond(&store->blobs, offsetof(UndoSegment, records) + size)
	                 : sf_state_allocate(&store->blobs, offsetof(UndoSegment, records) + size);
	segment = store_address(store, pointer);
	segment->next = InvalidDsaPointer;
	segment->last_tick = store->undo_tail != NULL ? store->undo_tail->last_tick : SF_TICK_NONE;
	segment->size = size;
	segment->used = segment->reclaimed = 0;

	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	if (store->undo_tail != NULL)
		store->undo_tail->next = pointer;
	else
		fragment->undo_head = pointer;
	fragment->undo_tail = pointer;
	LWLockRelease(&fragment->lock);
	store->undo_tail = segment;
}

/* Room for one more record at the tail.  Allocates: not under the lock. */
void
sf_undo_reserve(SfStore *store)
{
	reserve(store, false);
}

/* A log that has no segment gets its first one, however full memory is: without it nothing can leave. */
void
sf_undo_reserve_first(SfStore *store)
{
	if (store->undo_tail == NULL)
		reserve(store, true);
}

/* Saves the group's pre-image and stamps it with the tick.  The caller holds fragment->lock and has reserved room. */
void
sf_undo_save(SfStore *store, StoreWindow *window, SfGroup *group)
{
	SfFragment *fragment = store->fragment;
	UndoSegment *segment = store->undo_tail;
	UndoRecord *record = record_at(segment, segment->used);

	Assert(group->version < store->tick);
	record->tick = store->tick;
	record->version = group->version;
	record->older = group->undo;
	record->window_start = window->start;
	record->group = group->id;
	memcpy(record->data, group->data, store->layout->data_size);
	memset(record_orphans(store, record), 0, store->orphan_words * sizeof(uint64));

	group->undo = fragment->undo_tail + offsetof(UndoSegment, records) + segment->used;
	group->version = store->tick;
	segment->used += store->record_size;
	segment->last_tick = store->tick;
	if (!DsaPointerIsValid(store->tick_segment))
		store->tick_segment = fragment->undo_tail;
	store_count(&fragment->undo_bytes, store->record_size);
}

void
sf_store_begin(SfStore *store, SfTick tick)
{
	Assert(!store->in_tick);
	Assert(tick > store->tick);
	store->tick = tick;
	store->blobs.tick = tick;
	store->tick_segment = InvalidDsaPointer;
	store->in_tick = true;
	if (store->layout->groups_leave)
		sf_store_begin_lives(store);
}

/* ---- publish ---- */

static inline bool
is_orphan(const SfStore *store, UndoRecord *record, int bit)
{
	return (record_orphans(store, record)[bit / 64] & (UINT64CONST(1) << (bit % 64))) != 0;
}

/* Notes a part of a pre-image that belongs to the record, unless it is noted; so many bytes of it are kept for readers. */
static void
mark_orphan(SfStore *store, UndoRecord *record, int bit, uint64 bytes)
{
	if (is_orphan(store, record, bit))
		return;
	record_orphans(store, record)[bit / 64] |= UINT64CONST(1) << (bit % 64);
	store_count(&store->fragment->undo_bytes, bytes);
}

static void
mark_orphans_of(SfStore *store, UndoRecord *record)
{
	StoreWindow *window = sf_store_mirror_at_start(store, record->window_start);
	const char *data;

	if (window == NULL)
		return; /* left memory since, with all that its groups had */
	data = store_group(store, window, record->group)->data;
	for (int i = 0; i < store->layout->nblobs; i++)
	{
		dsa_pointer blob = blob_in(store, record->data, i);

		if (DsaPointerIsValid(blob) && blob != blob_in(store, data, i))
			mark_orphan(store, record, i, sf_blob_get(&store->blobs, blob)->capacity);
	}
	for (int i = 0; i < store->layout->nlists; i++)
	{
		SfList *list = store_list(store, record->data, i);

		if (sf_list_is_replaced(list, store_list(store, data, i)))
			mark_orphan(store, record, store->layout->nblobs + i, sf_list_capacity(&store->blobs, list));
	}
}

/* For the records of a tick, from a segment on, that are all published now. */
static void
mark_orphans(SfStore *store, dsa_pointer from, SfTick tick)
{
	if (!store_has_parts(store))
		return;
	while (DsaPointerIsValid(from))
	{
		UndoSegment *segment = store_address(store, from);

		for (uint32 at = segment->reclaimed; segment->last_tick >= tick && at < segment->used; at += store->record_size)
			if (record_at(segment, at)->tick == tick)
				mark_orphans_of(store, record_at(segment, at));
		from = segment->next;
	}
}

void
sf_store_publish(SfStore *store)
{
	Assert(store->in_tick);
	mark_orphans(store, store->tick_segment, store->tick);
	while (store->grown != NULL)
	{
		StoreWindow *window = store->grown;

		window->shared->ngroups_published = window->shared->ngroups;
		window->grown = false;
		store->grown = window->next_grown;
	}
	if (store->spill != NULL)
		sf_spill_publish(store->spill);
	store->in_tick = false;
}

/* ---- rollback and take-over ---- */

/* Counts a group that is there again, or that is not.  True: the pre-image is that of a free place. */
static bool
restore_life(SfStore *store, SfGroup *group, UndoRecord *record)
{
	SfLayout *layout = store->layout;

	if (!layout->groups_leave)
		return false;
	store_count(&store->fragment->groups,
	            sf_group_is_there(layout, record->data) - sf_group_is_there(layout, group->data));
	return sf_group_life(layout, record->data) == SF_LIFE_FREE;
}

/* Puts a pre-image back.  The blobs that came in its tick go. */
static void
restore(SfStore *store, UndoRecord *record)
{
	StoreWindow *window = sf_store_mirror_at_start(store, record->window_start);
	SfGroup *group;

	if (window == NULL)
		elog(PANIC, "undo record of a window that is not in the store");
	group = store_group(store, window, record->group);
	store_count(&store->fragment->undo_bytes, -(int64) store->record_size);
	if (restore_life(store, group, record))
	{
		sf_store_give_back_place(store, window, group);
		return;
	}
	for (int i = 0; i < store->layout->nblobs; i++)
	{
		dsa_pointer blob = blob_in(store, group->data, i);

		if (DsaPointerIsValid(blob) && blob != blob_in(store, record->data, i))
			sf_blob_free(&store->blobs, blob);
	}
	for (int i = 0; i < store->layout->nlists; i++)
		sf_list_free_newer(&store->blobs, store_list(store, group->data, i), store_list(store, record->data, i));
	if (!(SF_BUG("undo-misses-a-group") && record->group == 0 && store->layout->nblobs == 0))
		memcpy(group->data, record->data, store->layout->data_size);
	group->version = record->version;
	group->undo = record->older;
}

static void
free_segments(SfStore *store, dsa_pointer from)
{
	while (DsaPointerIsValid(from))
	{
		UndoSegment *segment = store_address(store, from);
		dsa_pointer next = segment->next;

		sf_state_free(&store->blobs, from, segment_bytes(segment));
		from = next;
	}
}

/* Restores all groups with records newer than a tick, and takes these records off the log. */
static void
undo_records(SfStore *store, SfTick published)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer last = InvalidDsaPointer;

	for (dsa_pointer p = fragment->undo_head; DsaPointerIsValid(p);)
	{
		UndoSegment *segment = store_address(store, p);
		uint32 kept = segment->used;

		for (uint32 at = segment->reclaimed; segment->last_tick > published && at < segment->used;
		     at += store->record_size)
			if (record_at(segment, at)->tick > published)
			{
				kept = Min(kept, at);
				restore(store, record_at(segment, at));
			}
		segment->used = kept;
		if (kept > 0)
			segment->last_tick = record_at(segment, kept - store->record_size)->tick;
		else
			segment->last_tick = SF_TICK_NONE;
		if (kept > 0 || !DsaPointerIsValid(last))
			last = p;
		p = segment->next;
	}

	/* Empty ones are behind the last that is not; the first always stays. */
	if (DsaPointerIsValid(last))
	{
		UndoSegment *segment = store_address(store, last);

		free_segments(store, segment->next);
		segment->next = InvalidDsaPointer;
		fragment->undo_tail = last;
		store->undo_tail = segment;
	}
}

static void
give_back_chunks(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	uint32 needed = sf_chunks_needed(shared->ngroups);

	while (shared->nchunks > needed)
	{
		dsa_pointer chunk = ((dsa_pointer *) store_address(store, shared->chunks))[--shared->nchunks];

		sf_state_free(&store->blobs, chunk, store->group_size * sf_chunk_groups(shared->nchunks));
	}
	window->nchunks = shared->nchunks;
}

/* The end of what a group has in its window's memory for keys; InvalidDsaPointer when it has nothing there. */
static dsa_pointer
end_of_keys(SfStore *store, SfGroup *group)
{
	SfLayout *layout = store->layout;
	uint64 nulls = *(uint64 *) (group->data + layout->nulls_offset);

	for (int i = layout->nkeys - 1; i >= 0; i--)
	{
		dsa_pointer key = ((Datum *) group->data)[i];

		if (!layout->keys[i].typbyval && (nulls & (UINT64CONST(1) << i)) == 0)
			return key +
			       MAXALIGN(datumGetSize(PointerGetDatum(store_address(store, key)), false, layout->keys[i].typlen));
	}
	return InvalidDsaPointer;
}

/* Keys are put one behind the other, in the order of the groups: what is behind those of the last one goes. */
static void
give_back_keys(SfStore *store, StoreWindow *window)
{
	SfWindow *shared = window->shared;
	dsa_pointer end = InvalidDsaPointer;

	for (uint32 id = shared->ngroups; id > 0 && DsaPointerIsValid(shared->key_chunks); id--)
	{
		end = end_of_keys(store, store_group(store, window, id - 1));
		if (DsaPointerIsValid(end))
			break;
	}
	while (DsaPointerIsValid(shared->key_chunks))
	{
		dsa_pointer head = shared->key_chunks;
		KeyChunk *chunk = store_address(store, head);
		dsa_pointer data = head + offsetof(KeyChunk, data);

		shared->key_chunk_size = chunk->size;
		if (end > data && end <= data + chunk->size)
		{
			shared->key_chunk_used = end - data;
			return;
		}
		shared->key_chunks = chunk->next;
		sf_state_free(&store->blobs, head, offsetof(KeyChunk, data) + chunk->size);
	}
	shared->key_chunk_used = shared->key_chunk_size = 0;
}

/* Takes groups that were made after a tick off the end of a window, and gives back their memory, but for the slots. */
static void
undo_groups(SfStore *store, StoreWindow *window, SfTick published)
{
	SfWindow *shared = window->shared;
	uint32 before = shared->ngroups;
	int64 there = 0;

	while (shared->ngroups > 0)
	{
		SfGroup *group = store_group(store, window, shared->ngroups - 1);

		if (group->version <= published)
			break;
		Assert(!DsaPointerIsValid(group->undo));
		there += sf_group_is_there(store->layout, group->data);
		sf_store_free_parts(store, group->data);
		shared->ngroups--;
	}
	give_back_keys(store, window);
	if (shared->ngroups == before)
		return;
	give_back_chunks(store, window);
	store_count(&store->fragment->groups, -there);
	sf_store_rebuild_slots(store, window);
}

/* Undoes everything newer than a published tick.  Readers wait; they do not see anything of it. */
static void
undo_after(SfStore *store, SfTick published)
{
	SfFragment *fragment = store->fragment;

	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	undo_records(store, published);
	for (int i = store->nwindows - 1; i >= 0; i--)
	{
		StoreWindow *window = store->windows[i];

		window->grown = false;
		while (window->absent_end > window->absent_first && window->absent[window->absent_end - 1].version > published)
			window->absent_end--;
		if (window->shared->born > published)
		{
			sf_store_forget_mirror(store, i);
			sf_store_free_window(store, window);
			continue;
		}
		undo_groups(store, window, published);
		window->shared->ngroups_published = window->shared->ngroups;
		if (window->shared->closed > published)
		{
			window->shared->closed = SF_TICK_NONE;
			pg_atomic_write_u64(&window->shared->closed_xid, 0);
		}
	}
	store->grown = NULL;
	store->tick_segment = InvalidDsaPointer;
	LWLockRelease(&fragment->lock);
}

void
sf_store_rollback(SfStore *store)
{
	if (!store->in_tick)
		return;
	SF_FAULT("undo-before");
	undo_after(store, store->tick - 1);
	if (store->spill != NULL)
		sf_spill_rollback(store->spill);

	/* The number was not published: the next try takes it again. */
	store->tick--;
	store->blobs.tick = store->tick;
	store->in_tick = false;
	store->generation++;
}

static bool
committed(uint64 full_xid)
{
	return TransactionIdDidCommit(XidFromFullTransactionId(FullTransactionIdFromU64(full_xid)));
}

void
sf_store_take_over(SfStore *store, SfTick published)
{
	sf_store_load_mirrors(store);
	undo_after(store, published);

	/* The predecessor may have died between publishing and its bookkeeping. */
	mark_orphans(store, store->fragment->undo_head, published);
	store->tick = published;
	store->blobs.tick = published;
	store->in_tick = false;
	store->generation++;
	store->reclaimed_xmin = 0;
	sf_store_find_absent(store);

	for (int i = 0; i < store->nwindows; i++)
	{
		pg_atomic_uint64 *closed_xid = &store->windows[i]->shared->closed_xid;
		uint64 xid = pg_atomic_read_u64(closed_xid);

		if (xid != 0 && !committed(xid))
			pg_atomic_write_u64(closed_xid, 0);
	}
}

/* ---- reclaim ---- */

static void
free_orphans(SfStore *store, UndoRecord *record)
{
	for (int i = 0; i < store->layout->nblobs; i++)
		if (is_orphan(store, record, i))
		{
			dsa_pointer blob = blob_in(store, record->data, i);

			store_count(&store->fragment->undo_bytes, -(int64) sf_blob_get(&store->blobs, blob)->capacity);
			sf_blob_free(&store->blobs, blob);
		}
	for (int i = 0; i < store->layout->nlists; i++)
		if (is_orphan(store, record, store->layout->nblobs + i))
		{
			SfList *list = store_list(store, record->data, i);

			store_count(&store->fragment->undo_bytes, -(int64) sf_list_capacity(&store->blobs, list));
			sf_list_free(&store->blobs, list);
		}
	store_count(&store->fragment->undo_bytes, -(int64) store->record_size);
}

/* Is there a record that nobody needs any more? */
static bool
has_dead_records(SfStore *store, SfTick oldest_tick)
{
	UndoSegment *segment;

	if (!DsaPointerIsValid(store->fragment->undo_head))
		return false;
	segment = store_address(store, store->fragment->undo_head);
	return segment->reclaimed < segment->used && record_at(segment, segment->reclaimed)->tick <= oldest_tick;
}

static void
reclaim_records(SfStore *store, SfTick oldest_tick)
{
	SfFragment *fragment = store->fragment;

	while (DsaPointerIsValid(fragment->undo_head))
	{
		dsa_pointer head = fragment->undo_head;
		UndoSegment *segment = store_address(store, head);

		while (segment->reclaimed < segment->used && record_at(segment, segment->reclaimed)->tick <= oldest_tick)
		{
			free_orphans(store, record_at(segment, segment->reclaimed));
			segment->reclaimed += store->record_size;
		}
		if (segment->reclaimed < segment->used)
			break;
		if (head == fragment->undo_tail)
		{
			segment->used = segment->reclaimed = 0;
			break;
		}
		fragment->undo_head = segment->next;
		sf_state_free(&store->blobs, head, segment_bytes(segment));
	}
}

static bool
is_closed_before(StoreWindow *window, uint64 xmin)
{
	uint64 xid = pg_atomic_read_u64(&window->shared->closed_xid);

	return xid != 0 && xid < xmin;
}

/*
 * Remembers, for readers whose snapshot does not show a window's closing, where its rows are.  When there are too many
 * closings, the two oldest become one: who needs either looks further back.  The caller holds fragment->lock.
 */
static void
note_evicted(SfFragment *fragment, uint64 xid, SfTime start)
{
	SfEvicted *evicted = fragment->evicted;
	int at = fragment->nevicted;

	while (at > 0 && evicted[at - 1].xid >= xid)
		at--;
	if (at < fragment->nevicted && evicted[at].xid == xid)
	{
		evicted[at].start = Min(evicted[at].start, start);
		return;
	}
	if (fragment->nevicted == SF_MAX_EVICTED)
	{
		if (at == 0) /* older than all: the oldest takes it in */
		{
			evicted[0].start = Min(evicted[0].start, start);
			return;
		}
		evicted[1].start = Min(evicted[0].start, evicted[1].start);
		memmove(evicted, evicted + 1, (SF_MAX_EVICTED - 1) * sizeof(SfEvicted));
		fragment->nevicted--;
		at--;
	}
	memmove(evicted + at + 1, evicted + at, (fragment->nevicted - at) * sizeof(SfEvicted));
	evicted[at] = (SfEvicted){xid, start};
	fragment->nevicted++;
	fragment->evicted_xid = FullTransactionIdFromU64(Max(xid, U64FromFullTransactionId(fragment->evicted_xid)));
}

/* Takes the window at i out of the store, to be freed when the lock is given back. */
static void
unlink_window(SfStore *store, int i, StoreWindow **unlinked)
{
	StoreWindow *window = store->windows[i];

	sf_store_forget_mirror(store, i);
	window->next_leaving = *unlinked;
	*unlinked = window;
}

static void
free_unlinked(SfStore *store, StoreWindow *unlinked)
{
	while (unlinked != NULL)
	{
		StoreWindow *window = unlinked;

		unlinked = window->next_leaving;
		sf_store_free_window(store, window);
	}
}

/*
 * Frees windows that every snapshot finds in the output table.  A reader that is pinning just now either is seen by the
 * horizon taken under the lock, or finds evicted_xid when it gets the lock.
 */
static void
reclaim_windows(SfStore *store, uint64 oldest_xmin)
{
	SfFragment *fragment = store->fragment;
	StoreWindow *unlinked = NULL;
	SfTick tick;
	uint64 xmin;
	bool any = false;

	store->reclaimed_xmin = oldest_xmin;
	for (int i = 0; i < store->nwindows; i++)
	{
		StoreWindow *window = store->windows[i];

		window->leaving = is_closed_before(window, oldest_xmin) &&
		                  committed(pg_atomic_read_u64(&window->shared->closed_xid));
		any |= window->leaving;
	}
	if (!any)
		return;

	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	sf_pin_horizon(MyDatabaseId, &tick, &xmin);
	store->reclaimed_xmin = Min(oldest_xmin, xmin);
	for (int i = store->nwindows - 1; i >= 0; i--)
	{
		StoreWindow *window = store->windows[i];

		if (!window->leaving || !is_closed_before(window, xmin))
			continue;
		note_evicted(fragment, pg_atomic_read_u64(&window->shared->closed_xid), window->start);
		unlink_window(store, i, &unlinked);
	}
	LWLockRelease(&fragment->lock);
	SF_FAULT("reclaim-unlinked");
	free_unlinked(store, unlinked);
}

/* Is it a pane that neither an open window nor the state table needs any more? */
static bool
is_done_pane(const StoreWindow *window)
{
	const SfWindow *shared = window->shared;

	return shared->role == SF_WINDOW_PANE && shared->closed != SF_TICK_NONE && shared->saved.next_seq == 0;
}

static Size
window_bytes(const SfStore *store, const StoreWindow *window)
{
	const SfWindow *shared = window->shared;

	return sf_chunks_room(shared->nchunks) * store->group_size + shared->nslots * sizeof(uint64) + sizeof(SfWindow);
}

Size
sf_store_held_bytes(const SfStore *store)
{
	return store->held_bytes;
}

/*
 * Frees panes of which all windows are closed.  A reader whose pin is old enough to need one keeps the horizon back, or
 * has expired and finds that out under the lock; any other has not listed it.
 */
static void
reclaim_panes(SfStore *store, SfTick oldest_tick)
{
	SfFragment *fragment = store->fragment;
	StoreWindow *unlinked = NULL;
	int nopen = 0;
	bool any = false;

	store->held_bytes = 0;
	/* They are closed in the order in which they start. */
	for (; nopen < store->nwindows; nopen++)
	{
		StoreWindow *window = store->windows[nopen];

		if (window->shared->role == SF_WINDOW_ASSEMBLED ||
		    (window->shared->role == SF_WINDOW_PANE && window->shared->closed == SF_TICK_NONE))
			break;
		window->leaving = is_done_pane(window) && window->shared->closed <= oldest_tick;
		any |= window->leaving;
		if (is_done_pane(window) && !window->leaving)
			store->held_bytes += window_bytes(store, window);
	}
	if (!any)
		return;
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	for (int i = nopen - 1; i >= 0; i--)
		if (store->windows[i]->leaving)
			unlink_window(store, i, &unlinked);
	LWLockRelease(&fragment->lock);
	free_unlinked(store, unlinked);
}

void
sf_store_reclaim(SfStore *store, SfTick oldest_tick, uint64 oldest_xmin)
{
	Assert(!store->in_tick);
	oldest_tick = Min(oldest_tick, store->tick);
	oldest_xmin = Min(oldest_xmin, U64FromFullTransactionId(ReadNextFullTransactionId()));
	if (has_dead_records(store, oldest_tick))
	{
		/* Readers check under the lock that their pin has not expired: those inside get out first. */
		LWLockAcquire(&store->fragment->lock, LW_EXCLUSIVE);
		LWLockRelease(&store->fragment->lock);
		reclaim_records(store, oldest_tick);
	}
	if (store->layout->groups_leave)
		sf_store_reclaim_groups(store, oldest_tick);
	if (store->layout->in_panes)
		reclaim_panes(store, oldest_tick);

	/* A window can have become free only if the horizon has moved. */
	if (oldest_xmin > store->reclaimed_xmin)
		reclaim_windows(store, oldest_xmin);
}

void
sf_store_reset(SfStore *store)
{
	SfFragment *fragment = store->fragment;
	dsa_pointer windows = fragment->windows;
	int max_windows = fragment->max_windows;
	SfDataflow *dataflow = sf_dataflow_get(MyDatabaseId, false);
	SfTick published = dataflow != NULL ? pg_atomic_read_u64(&dataflow->published) : SF_TICK_NONE;

	/* A tick may be under way, here or in a worker that died: what it replaced belongs to its records, too. */
	if (store->undo_tail != NULL)
		mark_orphans(store, fragment->undo_head, store->undo_tail->last_tick);

	for (int i = 0; i < store->nwindows; i++)
	{
		uint64 xid = pg_atomic_read_u64(&store->windows[i]->shared->closed_xid);

		store->windows[i]->leaving = xid != 0 && committed(xid);
	}

	/* Open groups are in the tables; closed windows are found like all those that have left memory. */
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	for (int i = 0; i < store->nwindows; i++)
		if (store->windows[i]->leaving)
			note_evicted(fragment, pg_atomic_read_u64(&store->windows[i]->shared->closed_xid),
			             store->windows[i]->start);
	fragment->valid_from = Max(published + 1, store->in_tick ? store->tick : store->tick + 1);
	fragment->windows = InvalidDsaPointer;
	fragment->nwindows = fragment->max_windows = 0;
	LWLockRelease(&fragment->lock);

	/* No reader follows the log now. */
	reclaim_records(store, SF_TICK_MAX);
	free_segments(store, fragment->undo_head);
	fragment->undo_head = fragment->undo_tail = InvalidDsaPointer;
	store->undo_tail = NULL;
	store->tick_segment = InvalidDsaPointer;
	while (store->nwindows > 0)
		sf_store_free_window(store, store->windows[--store->nwindows]);
	sf_state_free(&store->blobs, windows, sizeof(dsa_pointer) * max_windows);
	sf_store_drop_shape(store);
	store->last = store->last_assembled = NULL;
	store->grown = NULL;
	store->in_tick = false;
	store->generation++;
	if (store->spill != NULL)
		sf_spill_forget(store->spill);
}
