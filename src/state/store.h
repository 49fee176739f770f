/*
 * store.h
 *		The groups of a fragment in shared memory, versioned by tick.
 *
 * One writer (the dataflow's worker), any number of readers.  Each open window has a hash table of its own: groups are
 * fixed-size entries in chunks, found through an open-addressing index; a closed window's memory is freed whole.
 *
 * Versions.  The first touch of a group in a tick saves its pre-image in the fragment's undo log and stamps the group
 * with the tick.  A reader pinned at T takes the group itself if its version is <= T, else the newest pre-image that is,
 * else the group does not exist for it.
 *
 * Locks.  Structure and first touches change under fragment->lock exclusive; user code never runs under it.  The states
 * of a group stamped with the unpublished tick belong to the worker alone and are changed without a lock: no reader
 * looks at them.  Readers copy under the lock in shared mode.
 *
 * Group data (SfLayout): key values (8 bytes each: a by-value Datum, or a dsa_pointer to a flat copy that lives as long
 * as the window, or as the group where groups leave), a null bitmap for the keys, then the aggregate states.
 *
 * Groups that leave (SfLayout.groups_leave).  A single group can be taken out of a window by sf_store_remove: it is absent
 * from that tick on, and new when it is touched again.  Absence is a mark in the group's life, the last word of its data,
 * so pre-images and undo are those of any change.  Place, keys and index slot are given back by sf_store_reclaim, once no
 * pin is older and the state table says that the group is gone.  The life of a group that is there is the greatest time of
 * its rows; those of earlier lives than sf_store_forget_before() has said are gone for readers, too.
 */
#ifndef SF_STORE_H
#define SF_STORE_H

#include "streamfuse.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "state/aggregate.h"
#include "state/blob.h"
#include "state/shared.h"
#include "utils/snapshot.h"

#define SF_LAYOUT_MAX_KEYS 64

typedef enum SfKeyKind
{
	SF_KEY_DATUM,				/* by value, equal when the Datums are: sf_key_normal() makes them so */
	SF_KEY_BYTES,				/* text or varchar under a deterministic collation: equal when the bytes are */
	SF_KEY_FUNCTION,			/* whatever the type's operator says */
} SfKeyKind;

typedef struct SfKeyColumn
{
	SfKeyKind	kind;
	Oid			type;
	int32		typmod;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	FmgrInfo	hash;			/* of the default hash operator class; SF_KEY_FUNCTION only */
	FmgrInfo	equal;
} SfKeyColumn;

typedef struct SfLayout			/* process-local, the same in every process for one definition */
{
	int			nkeys;			/* at most SF_LAYOUT_MAX_KEYS; window columns are not among them */
	SfKeyColumn *keys;
	int			naggs;
	SfAggregate **aggs;
	Size		nulls_offset;	/* uint64 bitmap, bit i: key i is null */
	Size	   *state_offset;	/* per aggregate */
	bool	   *shares_state;	/* per aggregate: its state is that of one before it, which folds rows in for both */
	Size		data_size;		/* MAXALIGNed size of a group's data */
	int			nblobs;
	Size	   *blob_offset;	/* offsets, in the data, of dsa_pointers to state blobs (not keys) */
	int			nlists;
	Size	   *list_offset;	/* offsets, in the data, of SfLists */
	bool	   *list_is_read;	/* of each: some aggregate's answer needs its entries */
	bool		of_rows;		/* each group is a row, its keys the row's columns: appended, never looked up */
	bool		in_panes;		/* rows go into panes, of which windows are assembled; false unless set */
	bool		groups_leave;	/* see sf_layout_let_groups_leave */
	Size		life_offset;	/* where groups leave: offset of a group's life */
} SfLayout;

/* The life of a group: the greatest time of its rows, or one of these. */
#define SF_LIFE_FREE PG_INT64_MIN	/* no group: the place is free */
#define SF_LIFE_ABSENT (PG_INT64_MIN + 1)	/* has been removed */
#define SF_LIFE_LEAST (PG_INT64_MIN + 2)	/* from here on it is there */
#define SF_LIFE_UNKNOWN (PG_INT64_MAX - 1)	/* is there, and its rows have no time */

typedef struct SfGroup			/* in DSA */
{
	SfTick		version;		/* tick of the last change */
	dsa_pointer undo;			/* newest pre-image; meaningful only to readers pinned before version */
	uint32		hash;
	uint32		id;				/* ordinal in its window */
	char		data[FLEXIBLE_ARRAY_MEMBER];
} SfGroup;

/*
 * What an SfWindow is.  Windows that overlap are made of panes: a row goes into one pane only.  The panes of a window are
 * combined when it closes; what comes out does not change any more and is written like any closed window.  While it is
 * open it is not there: readers combine the panes.
 */
typedef enum SfWindowRole
{
	SF_WINDOW_OF_ROWS,			/* rows go in; closed and written itself */
	SF_WINDOW_PANE,				/* rows go in; `closed` when the last window that it is part of is */
	SF_WINDOW_ASSEMBLED,		/* made by the tick that closed it: of panes; or of rows that cannot change */
	SF_WINDOW_HEAD,				/* no window: what readers must know of the store at their tick, in one group */
} SfWindowRole;

/* What the state table has of a window, as of the last commit; see output/checkpoint.c. */
typedef struct SfWindowSaved
{
	SfTick		tick;			/* groups with a newer version are dirty */
	uint64		bytes;			/* payload written since the window was last written whole */
	uint32		next_seq;		/* sequence number of the next row; 0: there is none yet */

	/* The sweep of a large window. */
	uint32		sweep_next;		/* groups before this one have been written, or were, since the sweep began */
	uint32		sweep_seq;		/* next_seq when it began */
	SfTick		sweep_tick;		/* groups with a newer version have been written since it began */
} SfWindowSaved;

typedef struct SfWindow			/* in DSA */
{
	SfTime		start;			/* set once, like end and role */
	SfTime		end;
	SfWindowRole role;
	SfTick		born;			/* tick that made it */
	SfTick		closed;			/* tick that closed it, SF_TICK_NONE while open; worker, fragment->lock */
	pg_atomic_uint64 closed_xid;	/* full xid of the closing transaction, 0 before; set before that commits */
	uint32		ngroups;		/* fragment->lock */
	uint32		ngroups_published;	/* as of the last published tick */
	uint32		nfree;			/* places among them that are free; fragment->lock, like the next */
	uint32		free_head;		/* the first of these, plus 1; the next one's is in its hash */
	uint32		nslots;			/* power of two */
	dsa_pointer slots;			/* uint64[nslots]: hash << 32 | (id + 1); 0 = free */
	uint32		nchunks;
	uint32		max_chunks;
	dsa_pointer chunks;			/* dsa_pointer[max_chunks]; how many groups each has: sf_chunk_groups() */
	dsa_pointer key_chunks;		/* chain of bump-allocated memory for keys passed by reference */
	uint32		key_chunk_used;
	uint32		key_chunk_size;
	SfWindowSaved saved;		/* worker only */
} SfWindow;

/*
 * Groups are in chunks: the first three have 1, 7 and 56, which makes one full chunk, and all others have that many.  So
 * a window costs little where it has few groups, and there may be a window for each second.
 */
#define SF_CHUNK_GROUPS 64

static inline uint32
sf_chunk_groups(uint32 chunk)
{
	return chunk == 0 ? 1 : chunk == 1 ? 7 : chunk == 2 ? SF_CHUNK_GROUPS - 8 : SF_CHUNK_GROUPS;
}

/* The chunk that a group is in, and its place there. */
static inline uint32
sf_chunk_of(uint32 id, uint32 *place)
{
	if (likely(id >= SF_CHUNK_GROUPS))
	{
		*place = id % SF_CHUNK_GROUPS;
		return id / SF_CHUNK_GROUPS + 2;
	}
	*place = id >= 8 ? id - 8 : id >= 1 ? id - 1 : 0;
	return id >= 8 ? 2 : id >= 1 ? 1 : 0;
}

/* Groups that so many chunks have in all, and chunks that so many groups are in. */
static inline uint32
sf_chunks_room(uint32 nchunks)
{
	return nchunks >= 3 ? (nchunks - 2) * SF_CHUNK_GROUPS : nchunks == 2 ? 8 : nchunks;
}

static inline uint32
sf_chunks_needed(uint32 ngroups)
{
	uint32		place;

	return ngroups == 0 ? 0 : sf_chunk_of(ngroups - 1, &place) + 1;
}

/* ---- layout ---- */
extern SfLayout *sf_layout_create(MemoryContext context, int nkeys, const Oid *types, const int32 *typmods,
								  const Oid *collations, int naggs, SfAggregate **aggs);

/* For rows that are no groups: types that cannot be hashed will do. */
extern SfLayout *sf_layout_create_rows(MemoryContext context, int ncolumns, const Oid *types, const int32 *typmods,
									   const Oid *collations);

/* Lets single groups leave a window.  Of a layout that no store has seen yet. */
extern void sf_layout_let_groups_leave(SfLayout *layout);

static inline SfTime
sf_group_life(const SfLayout *layout, const char *data)
{
	return layout->groups_leave ? *(const SfTime *) (data + layout->life_offset) : SF_LIFE_UNKNOWN;
}

/* Is it a group, and has it not been removed?  To be asked wherever a window's ids are gone through. */
static inline bool
sf_group_is_there(const SfLayout *layout, const char *data)
{
	return sf_group_life(layout, data) >= SF_LIFE_LEAST;
}

/* A row of that time has come into a touched group. */
static inline void
sf_group_note_time(const SfLayout *layout, char *data, SfTime time)
{
	SfTime	   *life = (SfTime *) (data + layout->life_offset);

	if (time > *life || *life == SF_LIFE_UNKNOWN)
		*life = Max(time, SF_LIFE_LEAST);
}

extern uint32 sf_layout_hash(SfLayout *layout, const Datum *keys, const bool *nulls);

/* For many rows: one array per key column; nulls[k] may be NULL when there are none in the column. */
extern void sf_layout_hash_batch(SfLayout *layout, Datum **keys, bool **nulls, uint32 *hashes, int n);

/* One column's way of telling values apart, for a type that can be hashed; else it raises. */
extern bool sf_key_can_hash(Oid type_id);
extern void sf_key_init(MemoryContext context, SfKeyColumn *key, Oid type_id, int32 typmod, Oid collation);
extern uint32 sf_key_columns_hash(SfKeyColumn *columns, int nkeys, const Datum *keys, const bool *nulls);

/* Are two values of a key column, none null, equal?  As below. */
extern bool sf_key_equal(SfKeyColumn *key, Datum a, Datum b);

/* Are two full keys equal, nulls equal to each other?  Runs the types' operators: never under a lock. */
extern bool sf_layout_equal(SfLayout *layout, const Datum *keys_a, const bool *nulls_a, const Datum *keys_b,
							const bool *nulls_b);

/* May groups be found with sf_store_touch_int_batch (where no key is null)? */
static inline bool
sf_layout_is_int(const SfLayout *layout)
{
	return layout->nkeys == 1 && layout->keys[0].kind == SF_KEY_DATUM;
}

/* The one Datum a by-value key value is stored as: PostgreSQL fills the upper bytes now with zeros, now with the sign. */
static inline Datum
sf_key_normal(Datum key, int16 typlen)
{
	switch (typlen)
	{
		case 1:
			return UInt8GetDatum(DatumGetUInt8(key));
		case 2:
			return Int16GetDatum(DatumGetInt16(key));
		case 4:
			return Int32GetDatum(DatumGetInt32(key));
		default:
			return key;
	}
}

/* The hash of one by-value key (normal form) that is not null: what sf_layout_hash gives for a key of that one column. */
static inline uint32
sf_int_hash(Datum key)
{
	uint64		x = (uint64) key * UINT64CONST(0x9E3779B97F4A7C15);

	x ^= x >> 32;
	x *= UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (x >> 32);
}

/* ---- the worker's side ---- */
typedef struct SfStore SfStore; /* process-local handle */

/* Raises ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when the fragment holds groups of another layout. */
extern SfStore *sf_store_create(MemoryContext context, SfFragment *fragment, SfLayout *layout);
extern SfBlobSpace *sf_store_blobs(SfStore *store);

/* Starts tick `tick` (greater than any published before).  Each tick ends in publish or rollback. */
extern void sf_store_begin(SfStore *store, SfTick tick);

/* Finds or makes the window or pane of rows; NULL never.  Cheap when it is the one of the call before. */
extern SfWindow *sf_store_window(SfStore *store, SfTime start, SfTime end);
extern SfWindow *sf_store_find_window(SfStore *store, SfTime start); /* NULL when there is none */

/* Makes the window that is closed by this tick, for groups of its panes, or for rows. */
extern SfWindow *sf_store_assemble(SfStore *store, SfTime start, SfTime end);
extern bool sf_store_has_assembled(SfStore *store, SfTime start, SfTime end);

/*
 * Notes, where there are panes, up to where windows are closed as of this tick.  Panes of which all windows end by then
 * are to be marked as closed: sf_store_reclaim frees those once no reader needs them, and no checkpoint holds them.
 */
extern void sf_store_note_closed_until(SfStore *store, SfTime closed_until);

/*
 * The least start of the panes that were touched since the call before, or since the handle was made; SF_TIME_INFINITY:
 * none.  It may be one whose tick was undone.
 */
extern SfTime sf_store_touched_since(SfStore *store);

/*
 * Finds or makes the group and makes it the worker's own for this tick.  Key equality runs without the lock.  On return
 * group->data may be changed freely until publish.
 */
extern SfGroup *sf_store_touch(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls);

/* Lets a group come back that has been spilled, so that it is there when it is touched.  A touch does that by itself. */
extern void sf_store_bring_back(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls);

/*
 * Adds a group to a window that this tick has made, whether or not it has one of that key.  The window's groups are found
 * by no index then: a reader that asks for a key looks at all of them.
 */
extern SfGroup *sf_store_add(SfStore *store, SfWindow *window, uint32 hash, const Datum *keys, const bool *nulls);

/* A group's data as it was when the tick began; NULL: the tick has made the group.  Blobs and lists may be gone. */
extern const char *sf_store_data_before(SfStore *store, const SfGroup *group);

/* Another number after each rollback and reset: no group or window known from before need be there. */
extern uint64 sf_store_generation(const SfStore *store);

/*
 * Takes back a touch that made a group, the last thing done to the window that has not been taken back: the mark was taken
 * before it.  False when the group was there.
 */
typedef struct SfStoreMark
{
	uint32		ngroups;
	uint64		nrevived;
	dsa_pointer key_chunks;
	uint32		key_chunk_used;
} SfStoreMark;
extern SfStoreMark sf_store_mark(const SfStore *store, const SfWindow *window);
extern bool sf_store_forget(SfStore *store, SfWindow *window, SfGroup *group, const SfStoreMark *mark);

/*
 * Where groups leave: from the tick on the group is not there.  May raise for lack of memory; then nothing has been done.
 * Pre-images are kept as for any change.
 */
extern void sf_store_remove(SfStore *store, SfWindow *window, SfGroup *group);

/*
 * Where groups leave: as of this tick groups of lesser lives are gone, for readers and for rows to come: a touch in a
 * later tick starts them anew.  They are in memory until sf_store_sweep() removes them: it looks at as many places as it
 * is told, from where it stopped, and returns how many groups it has removed.
 */
extern void sf_store_forget_before(SfStore *store, SfTime life);
extern int	sf_store_sweep(SfStore *store, SfWindow *window, SfTime life, uint32 nplaces);

/* Bytes of places that are free: in use for the view, but without a group. */
extern Size sf_store_free_bytes(SfStore *store);

/* Bytes of places whose groups have been removed, and are not free yet; and does one of them wait for a commit? */
extern Size sf_store_absent_bytes(SfStore *store);
extern bool sf_store_absent_unsaved(SfStore *store);

/* Form for many rows; arrays as for sf_layout_hash_batch. */
extern void sf_store_touch_batch(SfStore *store, SfWindow **windows, const uint32 *hashes, Datum **keys, bool **nulls,
								 SfGroup **groups, int n);

/*
 * Rows first to first + n of the arrays, where the layout is one of rows: they are added to a window that this tick has
 * made.  All of them, or, when it raises, none.
 */
extern void sf_store_append(SfStore *store, SfWindow *window, Datum **columns, bool **nulls, int first, int n);

/*
 * Fast form for many rows when sf_layout_is_int(): keys in normal form, none null, hashes by sf_int_hash.  One lock for
 * all rows that need it.
 */
extern void sf_store_touch_int_batch(SfStore *store, SfWindow **windows, const uint32 *hashes, const Datum *keys,
									 SfGroup **groups, int n);

/* After the driver has stored `published`: bookkeeping.  Cannot fail. */
extern void sf_store_publish(SfStore *store);

/* Undo all of the unpublished tick: pre-images back, new groups and windows gone.  Cannot fail. */
extern void sf_store_rollback(SfStore *store);

/*
 * Successor of a worker that died in a tick: undoes whatever is newer than `published`.  Closed windows whose closing
 * transaction did not commit lose its number (the caller is the only worker: none is in progress).
 */
extern void sf_store_take_over(SfStore *store, SfTick published);

/*
 * Frees pre-images that no reader pinned at oldest_tick or later can need, and windows whose closing transaction is
 * below oldest_xmin (a full xid) and committed.
 */
extern void sf_store_reclaim(SfStore *store, SfTick oldest_tick, uint64 oldest_xmin);

/* What was kept in the last reclaim for readers alone, beside undo: panes that are done with, but for their blobs. */
extern Size sf_store_held_bytes(const SfStore *store);

/*
 * Drops everything, also what readers might see (the view is gone, or the state is to be rebuilt).  Between ticks, or in
 * one, which then goes on with nothing.  Scans pinned at an earlier tick fail.
 */
extern void sf_store_reset(SfStore *store);

/* The same without a layout, for a fragment whose view is gone. */
extern void sf_store_discard(SfFragment *fragment);

/* Iteration for closing and checkpoints; between ticks, by the worker. */
extern int	sf_store_nwindows(SfStore *store);

/* Ordered by start, and the assembled ones behind the others. */
extern SfWindow *sf_store_window_at(SfStore *store, int i);

/* By its place in the window; where groups leave it may be one that is not there. */
extern SfGroup *sf_store_group_at(SfStore *store, SfWindow *window, uint32 id);

/* Keys of a group as datums (by-reference ones point into shared memory: valid while the window is). */
extern void sf_group_keys(SfLayout *layout, dsa_area *area, const char *data, Datum *keys, bool *nulls);

/* Have two groups equal keys?  As sf_layout_equal. */
extern bool sf_group_same_keys(SfLayout *layout, dsa_area *area, const char *a, const char *b);

/*
 * Flat form of one group's keys and states, for checkpoints.  Loading is a touch: within a tick.  What aggregates have
 * collected since the last checkpoint (whole: ever) may take several parts: the first call has `more` false, and a call
 * that returns true is followed by one with `more` true.  When all parts of the window's groups are durable,
 * sf_store_note_saved() remembers it.  A group that has been removed is saved, and loaded, as removed.
 */
extern bool sf_store_save_group(SfStore *store, SfGroup *group, bool whole, bool more, StringInfo out);
extern void sf_store_note_saved(SfStore *store, SfWindow *window);

/* About how large the flat form of all groups of a window is. */
extern uint64 sf_store_saved_bytes(SfStore *store, SfWindow *window);
extern void sf_store_load_group(SfStore *store, SfWindow *window, const char **data, const char *end);

/*
 * The same as a reader's copy in CurrentMemoryContext: where there is no store, on a standby.  The key alone, with the
 * life; then the states, into the copy of the group's part before, if there is one, and with the life that came with the key.
 */
extern char *sf_group_load_key(SfLayout *layout, const char **data, const char *end, uint32 *hash);
extern void sf_group_load_states(SfLayout *layout, char *group, SfTime life, const char **data, const char *end);

/* ---- the readers' side ---- */
typedef struct SfStoreScan SfStoreScan;

typedef struct SfGroupCopy
{
	SfTime		start;
	SfTime		end;
	uint32		hash;
	char	   *data;			/* copy of the group's data, keys and blobs, valid until the next call */
} SfGroupCopy;

/*
 * Scans the groups that exist at `tick` in windows with from <= start and start < to, ordered by window, skipping
 * windows whose closing transaction has committed and is visible in the snapshot.  Needs a pin on `tick`; raises
 * ERRCODE_SNAPSHOT_TOO_OLD when the pin has expired or the state was reset since.
 */
extern SfStoreScan *sf_store_scan_begin(MemoryContext context, SfFragment *fragment, SfLayout *layout, SfTick tick,
										Snapshot snapshot, SfTime from, SfTime to);
extern bool sf_store_scan_next(SfStoreScan *scan, SfGroupCopy *copy);

/*
 * Groups that are not in memory are read from streamfuse.spilled, under a snapshot that goes with the tick (read/pin.h):
 * behind those of the same window that are.
 */
extern void sf_store_scan_spilled(SfStoreScan *scan, Snapshot spilled);

/*
 * Of panes: from here on the scan gives the groups of those that a window open at the tick is part of.  closed_until:
 * windows ending up to then were closed at the tick.
 */
extern void sf_store_scan_panes(SfStoreScan *scan);
extern SfTime sf_store_scan_closed_until(SfStoreScan *scan);
extern void sf_store_scan_restart(SfStoreScan *scan, SfTime from, SfTime to);

/* Restricts a scan to one full key: one hash probe per window in range.  NULL keys: back to all groups. */
extern void sf_store_scan_key(SfStoreScan *scan, const Datum *keys, const bool *nulls);
extern void sf_store_scan_end(SfStoreScan *scan);

/* Is a window closed for this snapshot?  closed_xid 0: no. */
extern bool sf_close_visible(uint64 closed_xid, Snapshot snapshot);

#endif /* SF_STORE_H */
