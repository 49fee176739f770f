/*
 * store_private.h
 *		What store.c, store_touch.c, undo.c, store_flat.c and store_scan.c share: what is in DSA beside the contract of
 *		store.h, and the worker's handle on a store.
 *
 * The truth is in DSA; the handle mirrors addresses, so that finding a group costs no dsa_get_address.  Mirrors are
 * rebuilt from DSA by sf_store_create and sf_store_take_over, and kept in step by every structural change.
 */
#ifndef SF_STORE_PRIVATE_H
#define SF_STORE_PRIVATE_H

#include "state/store.h"

/*
 * What of a layout it takes to free groups.  Made with the first window and gone with the last reset, so that state can
 * be dropped by a worker that cannot build the view's definition any more.
 */
typedef struct StoreShape		/* in DSA */
{
	Size		data_size;
	int			nblobs;
	int			nlists;
	int			nkeys;			/* where groups leave, else 0 */
	bool		groups_leave;
	Size		life_offset;
	Size		offsets[FLEXIBLE_ARRAY_MEMBER]; /* of blobs, then of lists; then of each key typlen, by value 0 */
} StoreShape;

/* A group that has been removed, and not been given back. */
typedef struct StoreAbsent
{
	SfTick		version;
	uint32		id;
} StoreAbsent;

/* A window as its worker sees it. */
typedef struct StoreWindow
{
	SfTime		start;
	SfWindow   *shared;
	dsa_pointer pointer;
	uint64	   *slots;			/* address of shared->slots */
	uint32		mask;			/* nslots - 1 */
	uint32		nchunks;
	uint32		max_chunks;
	char	  **chunks;			/* owned; address of each chunk */
	bool		grown;			/* has groups that are not published: in store->grown */
	struct StoreWindow *next_grown;
	uint32		sweep_next;		/* place where sf_store_sweep goes on */
	StoreAbsent *absent;		/* owned; those removed, the oldest first, some of which may be there again */
	uint32		absent_first;
	uint32		absent_end;
	uint32		absent_max;
	bool		leaving;		/* reclaim only */
	struct StoreWindow *next_leaving;
} StoreWindow;

/* Memory for keys passed by reference: a chain of these per window. */
typedef struct KeyChunk			/* in DSA */
{
	dsa_pointer next;
	Size		size;
	char		data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} KeyChunk;

/*
 * The undo log: segments from the oldest to the newest record.  Only the worker walks it; readers come to a record from
 * its group.  A record is reclaimed when no pin is older than its tick.
 */
typedef struct UndoSegment		/* in DSA */
{
	dsa_pointer next;
	SfTick		last_tick;		/* of the newest record, here or before */
	uint32		size;			/* bytes for records */
	uint32		used;
	uint32		reclaimed;		/* records before this offset are dead */
	char		records[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} UndoSegment;

typedef struct UndoRecord		/* in DSA; followed by the pre-image and the bitmap of orphaned blobs and lists */
{
	SfTick		tick;			/* that changed the group */
	SfTick		version;		/* of the pre-image */
	dsa_pointer older;			/* the pre-image before; meaningful only to readers pinned before version */
	SfTime		window_start;
	uint32		group;			/* its id */
	char		data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} UndoRecord;

#define UNDO_SEGMENT_SIZE (64 * 1024)

struct SfSpill;

struct SfStore
{
	MemoryContext context;
	SfFragment *fragment;
	SfLayout   *layout;
	SfBlobSpace blobs;			/* blobs.tick is the tick being applied */
	SfTick		tick;			/* the last one begun or taken over */
	bool		in_tick;
	uint64		generation;		/* of groups and windows: see sf_store_generation */

	Size		group_size;		/* bytes from one group of a chunk to the next */
	Size		record_size;	/* bytes of an undo record */
	int			orphan_words;	/* of its bitmap */
	char	   *fresh;			/* a new group's data: no keys, every aggregate at its initial value */
	SfTime		forgotten;		/* lives before it are over: as of when the tick began */
	uint64		nrevived;		/* groups that were not there when they were touched, but for new places */

	StoreWindow **windows;		/* ordered by start, as fragment->windows */
	int			nwindows;
	int			max_windows;
	StoreWindow *last;			/* the one of the last call, or NULL */
	StoreWindow *last_assembled;	/* the same of those that take no rows */
	StoreWindow *grown;			/* those with unpublished groups */
	SfTime		touched_from;	/* least start of the panes asked for since sf_store_touched_since */

	UndoSegment *undo_tail;		/* address of fragment->undo_tail, or NULL */
	dsa_pointer tick_segment;	/* where this tick's records begin, if there are any */
	Size		held_bytes;		/* in panes that only readers need */
	uint64		reclaimed_xmin; /* closed windows were looked through for this horizon */

	struct SfSpill *spill;		/* where groups may be that are not here, or NULL */

	uint64	   *saved;			/* scratch, [naggs]: see sf_store_save_group */
	Datum	   *keys;			/* scratch, [nkeys] */
	bool	   *nulls;
};

static inline SfGroup *
store_group(const SfStore *store, const StoreWindow *window, uint32 id)
{
	uint32		place;
	uint32		chunk = sf_chunk_of(id, &place);

	return (SfGroup *) (window->chunks[chunk] + place * store->group_size);
}

static inline Size
store_group_size(const SfLayout *layout)
{
	return MAXALIGN(offsetof(SfGroup, data) + layout->data_size);
}

static inline void *
store_address(const SfStore *store, dsa_pointer pointer)
{
	return dsa_get_address(store->blobs.area, pointer);
}

/* Statistics have one writer, so no locked instruction is needed. */
static inline void
store_count(pg_atomic_uint64 *figure, int64 by)
{
	pg_atomic_write_u64(figure, pg_atomic_read_u64(figure) + by);
}

static inline void
store_window_grown(SfStore *store, StoreWindow *window)
{
	if (window->grown)
		return;
	window->grown = true;
	window->next_grown = store->grown;
	store->grown = window;
}

/* A list of a group's data, or of its pre-image. */
static inline SfList *
store_list(const SfStore *store, const char *data, int i)
{
	return (SfList *) (data + store->layout->list_offset[i]);
}

/* Has a group memory of its own beside its data and what the window has of its keys? */
static inline bool
store_has_parts(const SfStore *store)
{
	return store->layout->nblobs + store->layout->nlists > 0 || store->layout->groups_leave;
}

/* Bytes of a group's keys that are passed by reference, where groups leave; *first: where they begin, or invalid. */
extern Size sf_store_key_bytes(const SfStore *store, const char *data, dsa_pointer *first);

static inline SfTime *
store_life(const SfStore *store, SfGroup *group)
{
	return (SfTime *) (group->data + store->layout->life_offset);
}

/* A group that was found: is there nothing to do before it is changed in this tick? */
static inline bool
store_is_taken(const SfStore *store, SfGroup *group)
{
	return group->version == store->tick && (!store->layout->groups_leave || *store_life(store, group) >= SF_LIFE_LEAST);
}

/* Has the life of a group that was found ended, as of when the tick began or in the tick? */
static inline bool
store_is_over(const SfStore *store, SfGroup *group)
{
	return store->layout->groups_leave &&
		*store_life(store, group) < (group->version == store->tick ? SF_LIFE_LEAST : store->forgotten);
}

/* Where the head is among the windows: beside the one over all time. */
static inline SfTime
store_head_start(const SfLayout *layout)
{
	return layout->in_panes ? SF_TIME_MINUS_INFINITY : SF_TIME_INFINITY;
}

static inline uint64
store_slot_value(uint32 hash, uint32 id)
{
	return (uint64) hash << 32 | (id + 1);
}

static inline bool
undo_has_room(const SfStore *store)
{
	return store->undo_tail != NULL && store->undo_tail->used + store->record_size <= store->undo_tail->size;
}

/* store.c */
extern void sf_store_free_parts(SfStore *store, const char *data);
extern void sf_store_drop_shape(SfStore *store);
extern StoreWindow *sf_store_mirror(SfStore *store, SfWindow *window);
extern StoreWindow *sf_store_mirror_at_start(SfStore *store, SfTime start);
extern StoreWindow *sf_store_window_create(SfStore *store, SfTime start, SfTime end, SfWindowRole role);
extern void sf_store_load_mirrors(SfStore *store);
extern void sf_store_mirror_slots(SfStore *store, StoreWindow *window);
extern void sf_store_mirror_reserve_chunk(SfStore *store, StoreWindow *window);
extern void sf_store_forget_mirror(SfStore *store, int i);
extern void sf_store_free_window(SfStore *store, StoreWindow *window);

/* store_touch.c */
extern void sf_store_rebuild_slots(SfStore *store, StoreWindow *window);
extern SfGroup *sf_store_find(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys, const bool *nulls);
extern SfGroup *sf_store_touch_here(SfStore *store, StoreWindow *window, uint32 hash, const Datum *keys,
									const bool *nulls);
extern bool sf_store_has_hash(const SfStore *store, const StoreWindow *window, uint32 hash);
extern void sf_store_take(SfStore *store, StoreWindow *window, SfGroup *group);
extern SfGroup *sf_store_touch_head(SfStore *store);

/* store_leave.c */
extern SfTime sf_store_forgotten_before(SfStore *store);
extern void sf_store_begin_lives(SfStore *store);
extern void sf_store_remove_unseen(SfStore *store, StoreWindow *window, SfGroup *group);
extern void sf_store_find_absent(SfStore *store);
extern void sf_store_revive(SfStore *store, SfGroup *group);
extern SfGroup *sf_store_take_place(SfStore *store, StoreWindow *window);
extern void sf_store_give_back_place(SfStore *store, StoreWindow *window, SfGroup *group);
extern void sf_store_reclaim_groups(SfStore *store, SfTick oldest_tick);

/* store_flat.c */
extern SfGroup *sf_store_find_saved(SfStore *store, StoreWindow *window, const char *data, const char *end);
extern bool sf_store_is_saved(SfStore *store, SfGroup *group, const char *data, const char *end);
extern bool sf_store_is_forgotten(SfStore *store, StoreWindow *window, SfTime before, const char *data, const char *end);
extern SfGroup *sf_store_load_absent(SfStore *store, StoreWindow *window, const char *data, const char *end);

/* spill.c */
extern bool sf_spill_is_empty(const struct SfSpill *spill);
extern void sf_spill_bring_back(struct SfSpill *spill, StoreWindow **windows, const uint32 *hashes, const int *rows,
								int nrows);
extern void sf_spill_publish(struct SfSpill *spill);
extern void sf_spill_rollback(struct SfSpill *spill);
extern void sf_spill_forget(struct SfSpill *spill);

/* undo.c */
extern void sf_undo_reserve(SfStore *store);
extern void sf_undo_reserve_first(SfStore *store);
extern void sf_undo_save(SfStore *store, StoreWindow *window, SfGroup *group);

#endif /* SF_STORE_PRIVATE_H */
