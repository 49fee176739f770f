/*
 * store_scan.c
 *		The readers' side of the store: all groups, or one, as they were at a pinned tick.
 *
 * A scan lists the windows of its range once: those of the pinned tick stay in memory while the pin is held, and one
 * whose close the snapshot does not see is to be read here even when it closes meanwhile.  Groups are copied in batches
 * under fragment->lock in shared mode, together with their keys and blobs, so that results are computed without a lock
 * and from local memory.  Each batch begins with the question whether the pin still holds, under the lock: the worker
 * takes the lock between expiring a pin and freeing what it protected.
 */
#include "state/store_private.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "state/pins.h"
#include "state/spill.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fault.h"

#define BATCH_GROUPS 256
#define BATCH_BYTES (1024 * 1024)

typedef struct ScanWindow
{
	dsa_pointer pointer;
	SfTime start;
	SfTime end;
	uint64 closed_xid;
} ScanWindow;

struct SfStoreScan
{
	MemoryContext context;
	MemoryContext batch_context; /* copies of the current batch */
	SfFragment *fragment;
	SfLayout *layout;
	dsa_area *area;
	SfTick tick;
	Snapshot snapshot;
	SfTime from;
	SfTime to;
	bool panes;       /* panes, not windows */
	SfTime forgotten; /* where groups leave: earlier lives are over, as of the tick */

	/* The windows that the snapshot shows as open, of a range that has been asked for. */
	ScanWindow *windows;
	int nwindows;
	int max_windows;
	bool listed;
	SfTime listed_from;
	SfTime listed_to;

	bool positioned;
	int window; /* where the next batch begins */
	int end_window;
	uint32 position; /* next group of the window */

	/* one key only */
	bool by_key;
	uint32 hash;
	Datum *keys;
	bool *nulls;
	MemoryContext key_context;
	Datum *found_keys; /* scratch */
	bool *found_nulls;

	/* Groups that are not in memory: rows of a window, behind those that are. */
	Snapshot spilled;  /* NULL: none are read */
	SfSpillScan *rows; /* of the window before `window`; NULL: none is being read */
	bool key_found;    /* of one key: it was in memory */
	dsa_pointer window_of_rows;

	SfGroupCopy *batch;
	int nbatch;
	int max_batch;
	int next;
	Size batch_bytes;
};

/* ---- visibility of a close ---- */

static bool
did_commit(uint64 closed_xid)
{
	TransactionId xid = XidFromFullTransactionId(FullTransactionIdFromU64(closed_xid));

	/* What is older than the commit log has been decided long ago, and an aborted close does not stay for so long. */
	if (closed_xid + (1 << 30) < U64FromFullTransactionId(ReadNextFullTransactionId()))
		return true;
	return TransactionIdDidCommit(xid);
}

bool
sf_close_visible(uint64 closed_xid, Snapshot snapshot)
{
	TransactionId xid = XidFromFullTransactionId(FullTransactionIdFromU64(closed_xid));
	uint64 next;
	uint64 xmin;

	if (closed_xid == 0)
		return false;
	if (SF_BUG("closed-before-visible"))
		return true;
	if (SF_BUG("closed-but-still-live"))
		return false;
	if (snapshot == InvalidSnapshot)
		return did_commit(closed_xid);

	/* The snapshot's 32-bit numbers are near the next one: closes before its xmin are not for them to judge. */
	next = U64FromFullTransactionId(ReadNextFullTransactionId());
	xmin = next - (uint32) ((uint32) next - snapshot->xmin);
	if (closed_xid >= xmin && XidInMVCCSnapshot(xid, snapshot))
		return false;
	return did_commit(closed_xid);
}

/* ---- begin, restart, end ---- */

SfStoreScan *
sf_store_scan_begin(MemoryContext context, SfFragment *fragment, SfLayout *layout, SfTick tick, Snapshot snapshot,
                    SfTime from, SfTime to)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfStoreScan *scan = palloc0(sizeof(SfStoreScan));
	int nkeys = Max(layout->nkeys, 1);

	scan->context = context;
	scan->batch_context = AllocSetContextCreate(context, "streamfuse groups", ALLOCSET_DEFAULT_SIZES);
	scan->key_context = AllocSetContextCreate(context, "streamfuse scan key", ALLOCSET_SMALL_SIZES);
	scan->fragment = fragment;
	scan->layout = layout;
	scan->area = sf_area();
	scan->tick = tick;
	scan->snapshot = snapshot;
	scan->from = from;
	scan->to = to;
	scan->forgotten = SF_LIFE_LEAST;
	scan->max_batch = BATCH_GROUPS;
	scan->batch = palloc(sizeof(SfGroupCopy) * scan->max_batch);
	scan->keys = palloc0(sizeof(Datum) * nkeys);
	scan->nulls = palloc0(sizeof(bool) * nkeys);
	scan->found_keys = palloc0(sizeof(Datum) * nkeys);
	scan->found_nulls = palloc0(sizeof(bool) * nkeys);
	MemoryContextSwitchTo(old);
	return scan;
}

static void
end_rows(SfStoreScan *scan)
{
	if (scan->rows != NULL)
		sf_spill_scan_end(scan->rows);
	scan->rows = NULL;
}

void
sf_store_scan_spilled(SfStoreScan *scan, Snapshot spilled)
{
	scan->spilled = spilled;
}

void
sf_store_scan_restart(SfStoreScan *scan, SfTime from, SfTime to)
{
	scan->from = from;
	scan->to = to;
	scan->positioned = false;
	scan->nbatch = scan->next = 0;
	end_rows(scan);
}

void
sf_store_scan_key(SfStoreScan *scan, const Datum *keys, const bool *nulls)
{
	SfLayout *layout = scan->layout;
	MemoryContext old;

	sf_store_scan_restart(scan, scan->from, scan->to);
	scan->by_key = keys != NULL;
	if (keys == NULL)
		return;
	MemoryContextReset(scan->key_context);
	old = MemoryContextSwitchTo(scan->key_context);
	for (int i = 0; i < layout->nkeys; i++)
	{
		scan->nulls[i] = nulls[i];
		scan->keys[i] = nulls[i] ? (Datum) 0 : datumCopy(keys[i], layout->keys[i].typbyval, layout->keys[i].typlen);
	}
	scan->hash = sf_layout_hash(layout, scan->keys, scan->nulls);
	MemoryContextSwitchTo(old);
}

void
sf_store_scan_end(SfStoreScan *scan)
{
	end_rows(scan);
	MemoryContextDelete(scan->batch_context);
	MemoryContextDelete(scan->key_context);
	if (scan->windows != NULL)
		pfree(scan->windows);
	pfree(scan->batch);
	pfree(scan->keys);
	pfree(scan->nulls);
	pfree(scan->found_keys);
	pfree(scan->found_nulls);
	pfree(scan);
}

void
sf_store_scan_panes(SfStoreScan *scan)
{
	scan->panes = true;
	scan->listed = scan->positioned = false;
}

/* Takes fragment->lock in shared mode, or gives up because the tick's state is not kept any more. */
static void
lock_for_read(SfStoreScan *scan)
{
	LWLockAcquire(&scan->fragment->lock, LW_SHARED);
	if (scan->tick >= scan->fragment->valid_from && !sf_pin_expired(scan->tick))
		return;
	LWLockRelease(&scan->fragment->lock);
	ereport(ERROR, (errcode(ERRCODE_SNAPSHOT_TOO_OLD), errmsg("snapshot too old"),
	                errdetail("The state of a continuous view as of this statement's start is not kept any more."),
	                errhint("Raise streamfuse.reader_memory, or read in shorter statements.")));
}

static void
add_window(SfStoreScan *scan, const ScanWindow *window)
{
	sf_reserve(scan->context, scan->windows, scan->max_windows, scan->nwindows + 1, 64);
	scan->windows[scan->nwindows++] = *window;
}

/* Index of the first listed window that starts at `start` or later. */
static int
first_window(const SfStoreScan *scan, SfTime start)
{
	int low = 0;
	int high = scan->nwindows;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (scan->windows[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The group's data as of the scan's tick, in shared memory; NULL when the group did not exist. */
static const char *
version_at(SfStoreScan *scan, const SfGroup *group)
{
	dsa_pointer undo = group->undo;

	if (group->version <= scan->tick)
		return group->data;
	while (DsaPointerIsValid(undo))
	{
		UndoRecord *record = dsa_get_address(scan->area, undo);

		if (record->version <= scan->tick)
			return record->data;
		undo = record->older;
	}
	return NULL;
}

/* The same when the group was there: where groups leave, it may have been removed or forgotten. */
static const char *
live_version_at(SfStoreScan *scan, const SfGroup *group)
{
	const char *data = version_at(scan, group);

	if (data != NULL && scan->layout->groups_leave && sf_group_life(scan->layout, data) < scan->forgotten)
		return NULL;
	return data;
}

/* Is it what the scan looks for, and was it there at the tick?  A pane only while one of its windows was open. */
static bool
is_scanned(const SfStoreScan *scan, const SfWindow *window)
{
	if (window->born > scan->tick || window->role == SF_WINDOW_HEAD || scan->panes != (window->role == SF_WINDOW_PANE))
		return false;
	return !scan->panes || window->closed == SF_TICK_NONE || window->closed > scan->tick;
}

/* The head's data as of the scan's tick, in shared memory, or NULL.  The caller holds the lock. */
static const char *
head_at(SfStoreScan *scan)
{
	SfFragment *fragment = scan->fragment;
	dsa_pointer *pointers = fragment->nwindows > 0 ? dsa_get_address(scan->area, fragment->windows) : NULL;

	for (int i = 0; i < fragment->nwindows; i++)
	{
		/* The first one or the last. */
		int at = scan->layout->in_panes ? i : fragment->nwindows - 1 - i;
		SfWindow *head = dsa_get_address(scan->area, pointers[at]);

		if (head->role == SF_WINDOW_HEAD && head->ngroups > 0)
		{
			dsa_pointer *chunks = dsa_get_address(scan->area, head->chunks);

			return version_at(scan, dsa_get_address(scan->area, chunks[0]));
		}
		if (head->role != SF_WINDOW_ASSEMBLED)
			return NULL;
	}
	return NULL;
}

/* Lists the windows to read.  The commit log is asked after the lock is given back. */
static void
list_windows(SfStoreScan *scan)
{
	SfFragment *fragment = scan->fragment;
	dsa_pointer *pointers;
	int kept = 0;

	scan->nwindows = 0;
	lock_for_read(scan);
	if (scan->layout->groups_leave)
	{
		const char *head = head_at(scan);

		scan->forgotten = head != NULL && !SF_BUG("forgotten-group-read") ? sf_group_life(scan->layout, head)
		                                                                  : SF_LIFE_LEAST;
	}
	pointers = fragment->nwindows > 0 ? dsa_get_address(scan->area, fragment->windows) : NULL;
	for (int i = 0; i < fragment->nwindows; i++)
	{
		SfWindow *shared = dsa_get_address(scan->area, pointers[i]);
		ScanWindow window = {pointers[i], shared->start, shared->end, pg_atomic_read_u64(&shared->closed_xid)};

		if (window.start >= scan->to && !scan->layout->in_panes)
			break;
		if (window.start >= scan->from && window.start < scan->to && is_scanned(scan, shared))
			add_window(scan, &window);
	}
	LWLockRelease(&fragment->lock);

	SF_FAULT("read-windows-listed");
	for (int i = 0; i < scan->nwindows; i++)
		if (!sf_close_visible(scan->windows[i].closed_xid, scan->snapshot))
			scan->windows[kept++] = scan->windows[i];
	scan->nwindows = kept;
	scan->listed = true;
	scan->listed_from = scan->from;
	scan->listed_to = scan->to;
}

/* Goes to the first window of the range.  A part of a range that was listed before needs no other list. */
static void
position(SfStoreScan *scan)
{
	if (!scan->listed || scan->from < scan->listed_from || scan->to > scan->listed_to)
		list_windows(scan);
	scan->window = first_window(scan, scan->from);
	scan->end_window = first_window(scan, scan->to);
	scan->position = 0;
	scan->positioned = true;
}

/* ---- copying; under the lock ---- */

static void *
copy_bytes(SfStoreScan *scan, const void *bytes, Size size)
{
	void *copy = MemoryContextAllocHuge(scan->batch_context, size);

	scan->batch_bytes += size;
	return memcpy(copy, bytes, size);
}

/* The copy of a group gets keys of its own. */
static void
copy_keys(SfStoreScan *scan, char *copy)
{
	SfLayout *layout = scan->layout;
	uint64 nulls = *(const uint64 *) (copy + layout->nulls_offset);

	for (int i = 0; i < layout->nkeys; i++)
	{
		dsa_pointer *pointer = (dsa_pointer *) copy + i;
		char *key;

		if (layout->keys[i].typbyval || (nulls & (UINT64CONST(1) << i)) != 0)
			continue;
		key = dsa_get_address(scan->area, *pointer);
		*pointer = SfLocalToPointer(
		    copy_bytes(scan, key, datumGetSize(PointerGetDatum(key), false, layout->keys[i].typlen)));
	}
}

static void
copy_group(SfStoreScan *scan, const ScanWindow *window, uint32 hash, const char *data)
{
	SfLayout *layout = scan->layout;
	SfGroupCopy *copy;

	sf_reserve(scan->context, scan->batch, scan->max_batch, scan->nbatch + 1, BATCH_GROUPS);
	copy = &scan->batch[scan->nbatch++];
	copy->start = window->start;
	copy->end = window->end;
	copy->hash = hash;
	copy->data = copy_bytes(scan, data, layout->data_size);
	copy_keys(scan, copy->data);
	for (int i = 0; i < layout->nblobs; i++)
	{
		dsa_pointer *pointer = (dsa_pointer *) (copy->data + layout->blob_offset[i]);
		SfBlob *blob;

		if (!DsaPointerIsValid(*pointer))
			continue;
		blob = dsa_get_address(scan->area, *pointer);
		*pointer = SfLocalToPointer(copy_bytes(scan, blob, offsetof(SfBlob, data) + blob->length));
	}
	for (int i = 0; i < layout->nlists; i++)
	{
		SfList *list = (SfList *) (copy->data + layout->list_offset[i]);

		if (!layout->list_is_read[i] && !layout->in_panes)
			continue;
		sf_list_copy(scan->batch_context, scan->area, list);
		scan->batch_bytes += list->bytes;
	}
}

static bool
batch_is_full(const SfStoreScan *scan)
{
	return scan->nbatch >= BATCH_GROUPS || scan->batch_bytes >= BATCH_BYTES;
}

/* Where a batch of groups in memory ends at the latest: each window's rows of spilled groups follow its groups. */
static int
batch_end(const SfStoreScan *scan)
{
	return scan->spilled != NULL ? Min(scan->window + 1, scan->end_window) : scan->end_window;
}

static void
copy_all(SfStoreScan *scan)
{
	Size group_size = store_group_size(scan->layout);
	int end = batch_end(scan);

	for (; scan->window < end; scan->window++, scan->position = 0)
	{
		ScanWindow *window = &scan->windows[scan->window];
		SfWindow *shared = dsa_get_address(scan->area, window->pointer);
		dsa_pointer *chunks = shared->ngroups > 0 ? dsa_get_address(scan->area, shared->chunks) : NULL;
		char *chunk = NULL;

		for (; scan->position < shared->ngroups; scan->position++)
		{
			uint32 place;
			uint32 number = sf_chunk_of(scan->position, &place);
			const SfGroup *group;
			const char *data;

			if (batch_is_full(scan))
				return;
			if (chunk == NULL || place == 0)
				chunk = dsa_get_address(scan->area, chunks[number]);
			group = (SfGroup *) (chunk + place * group_size);
			data = live_version_at(scan, group);
			if (data != NULL)
				copy_group(scan, window, group->hash, data);
		}
	}
}

/* Of a window that has no index. */
static void
copy_by_hash(SfStoreScan *scan, const ScanWindow *window, const SfWindow *shared)
{
	Size group_size = store_group_size(scan->layout);
	dsa_pointer *chunks = dsa_get_address(scan->area, shared->chunks);
	char *chunk = NULL;

	for (uint32 id = 0; id < shared->ngroups; id++)
	{
		uint32 place;
		uint32 number = sf_chunk_of(id, &place);
		const SfGroup *group;
		const char *data;

		if (chunk == NULL || place == 0)
			chunk = dsa_get_address(scan->area, chunks[number]);
		group = (SfGroup *) (chunk + place * group_size);
		if (group->hash != scan->hash)
			continue;
		data = live_version_at(scan, group);
		if (data != NULL)
			copy_group(scan, window, scan->hash, data);
	}
}

/*
 * All groups with the key's hash, of as many windows as fit: which one is equal is asked later, without the lock.  A
 * window is not left in the middle: the index may be another one the next time.
 */
static void
copy_candidates(SfStoreScan *scan)
{
	Size group_size = store_group_size(scan->layout);
	int end = batch_end(scan);

	for (; scan->window < end && !batch_is_full(scan); scan->window++)
	{
		ScanWindow *window = &scan->windows[scan->window];
		SfWindow *shared = dsa_get_address(scan->area, window->pointer);
		uint32 mask = shared->nslots - 1;
		uint64 *slots;
		dsa_pointer *chunks;

		if (shared->ngroups == 0)
			continue;
		if (shared->nslots == 0)
		{
			copy_by_hash(scan, window, shared);
			continue;
		}
		slots = dsa_get_address(scan->area, shared->slots);
		chunks = dsa_get_address(scan->area, shared->chunks);
		for (uint32 i = scan->hash & mask; slots[i] != 0; i = (i + 1) & mask)
		{
			uint32 place;
			uint32 number = sf_chunk_of((uint32) slots[i] - 1, &place);
			char *chunk;
			const char *data;

			if ((uint32) (slots[i] >> 32) != scan->hash)
				continue;
			chunk = dsa_get_address(scan->area, chunks[number]);
			data = live_version_at(scan, (SfGroup *) (chunk + place * group_size));
			if (data != NULL)
				copy_group(scan, window, scan->hash, data);
			if (SF_BUG("key-found-in-one-window"))
				scan->window = scan->end_window - 1;
		}
	}
}

SfTime
sf_store_scan_closed_until(SfStoreScan *scan)
{
	SfTime closed_until = SF_TIME_MINUS_INFINITY;
	const char *head;

	lock_for_read(scan);
	head = head_at(scan);
	if (head != NULL)
		closed_until = *(const SfTime *) (head + scan->layout->nulls_offset);
	LWLockRelease(&scan->fragment->lock);
	return closed_until;
}

static bool
key_matches(SfStoreScan *scan, const SfGroupCopy *copy)
{
	if (!scan->by_key)
		return true;
	sf_group_keys(scan->layout, scan->area, copy->data, scan->found_keys, scan->found_nulls);
	return sf_layout_equal(scan->layout, scan->found_keys, scan->found_nulls, scan->keys, scan->nulls);
}

/* ---- spilled groups ---- */

/* A group in memory with a row's hash, as of the scan's tick: does the row belong to it? */
typedef struct Resident
{
	int row;    /* in the batch */
	char *keys; /* copies of the key values and their null bitmap */
} Resident;

typedef struct Residents
{
	Resident *items;
	int n;
	int max;
} Residents;

/* A copy of a group's keys alone. */
static char *
copy_group_keys(SfStoreScan *scan, const char *data)
{
	SfLayout *layout = scan->layout;
	char *copy = MemoryContextAlloc(scan->batch_context, layout->nulls_offset + sizeof(uint64));

	memcpy(copy, data, layout->nulls_offset + sizeof(uint64));
	copy_keys(scan, copy);
	return copy;
}

/* Groups in memory that have the hash of a row of the batch.  The caller holds the lock. */
static void
find_residents(SfStoreScan *scan, int row, Residents *residents)
{
	SfWindow *shared = dsa_get_address(scan->area, scan->window_of_rows);
	uint32 hash = scan->batch[row].hash;
	uint32 mask = shared->nslots - 1;
	uint64 *slots;
	dsa_pointer *chunks;

	if (shared->ngroups == 0)
		return;
	slots = dsa_get_address(scan->area, shared->slots);
	chunks = dsa_get_address(scan->area, shared->chunks);
	for (uint32 i = hash & mask; slots[i] != 0; i = (i + 1) & mask)
	{
		uint32 place;
		uint32 number = sf_chunk_of((uint32) slots[i] - 1, &place);
		char *chunk;
		const char *data;

		if ((uint32) (slots[i] >> 32) != hash)
			continue;
		chunk = dsa_get_address(scan->area, chunks[number]);
		data = live_version_at(scan, (SfGroup *) (chunk + place * store_group_size(scan->layout)));
		if (data == NULL)
			continue;
		sf_reserve(scan->batch_context, residents->items, residents->max, residents->n + 1, 16);
		residents->items[residents->n++] = (Resident){row, copy_group_keys(scan, data)};
	}
}

/* Rows whose groups are in memory as of the tick say nothing: they are taken out of the batch. */
static void
drop_resident_rows(SfStoreScan *scan)
{
	Residents residents = {0};
	int kept = 0;

	lock_for_read(scan);
	for (int row = 0; row < scan->nbatch; row++)
		find_residents(scan, row, &residents);
	LWLockRelease(&scan->fragment->lock);

	for (int i = 0; i < residents.n; i++)
	{
		SfGroupCopy *copy = &scan->batch[residents.items[i].row];

		if (copy->data != NULL && sf_group_same_keys(scan->layout, scan->area, copy->data, residents.items[i].keys) &&
		    !SF_BUG("resident-row-read-twice"))
			copy->data = NULL;
	}
	for (int row = 0; row < scan->nbatch; row++)
		if (scan->batch[row].data != NULL)
			scan->batch[kept++] = scan->batch[row];
	scan->nbatch = kept;
}

static void
load_row(SfStoreScan *scan, const SfSpilledRow *row)
{
	const char *data = row->data;
	MemoryContext old = MemoryContextSwitchTo(scan->batch_context);
	SfGroupCopy *copy = &scan->batch[scan->nbatch++];
	SfTime life;

	copy->start = row->start;
	copy->end = row->end;
	scan->batch_bytes += scan->layout->data_size + (row->data_end - data);
	copy->data = sf_group_load_key(scan->layout, &data, row->data_end, &copy->hash);
	life = sf_group_life(scan->layout, copy->data);
	if (life < scan->forgotten)
		scan->nbatch--;
	else
		sf_group_load_states(scan->layout, copy->data, life, &data, row->data_end);
	MemoryContextSwitchTo(old);
}

/* The rows of the window that the scan has just been through. */
static void
begin_rows(SfStoreScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	const ScanWindow *window = &scan->windows[scan->window - 1];

	scan->window_of_rows = window->pointer;
	scan->rows = sf_spill_scan_begin(scan->fragment->id, window->start, false, scan->by_key ? &scan->hash : NULL,
	                                 scan->spilled);
	MemoryContextSwitchTo(old);
}

static void
next_rows(SfStoreScan *scan)
{
	SfSpilledRow row;

	while (!batch_is_full(scan) && scan->nbatch < scan->max_batch)
	{
		CHECK_FOR_INTERRUPTS();
		if (!sf_spill_scan_next(scan->rows, &row))
		{
			end_rows(scan);
			break;
		}
		load_row(scan, &row);
	}
	drop_resident_rows(scan);
}

/* ---- one after the other ---- */

static void
next_groups(SfStoreScan *scan)
{
	int window = scan->window;

	lock_for_read(scan);
	if (scan->by_key)
		copy_candidates(scan);
	else
		copy_all(scan);
	LWLockRelease(&scan->fragment->lock);
	if (scan->spilled != NULL && scan->window > window)
		begin_rows(scan);
}

static void
next_batch(SfStoreScan *scan)
{
	MemoryContextReset(scan->batch_context);
	scan->nbatch = scan->next = 0;
	scan->batch_bytes = 0;
	SF_FAULT("read-before-batch");
	if (scan->rows != NULL && scan->key_found)
		end_rows(scan);
	scan->key_found = false;
	if (scan->rows != NULL)
		next_rows(scan);
	else if (scan->window < scan->end_window)
		next_groups(scan);
}

bool
sf_store_scan_next(SfStoreScan *scan, SfGroupCopy *copy)
{
	if (!scan->positioned)
		position(scan);
	for (;;)
	{
		while (scan->next < scan->nbatch)
		{
			*copy = scan->batch[scan->next++];
			if (!key_matches(scan, copy))
				continue;
			scan->key_found = scan->by_key;
			return true;
		}
		if (scan->window >= scan->end_window && scan->rows == NULL)
			return false;
		CHECK_FOR_INTERRUPTS();
		next_batch(scan);
	}
}
