/*
 * checkpoint.c
 *		The groups of open windows in the state table.
 *
 * A window's rows there are a log: each checkpoint adds the groups that have changed, and a later row overrides an earlier
 * one.  So that the log stays in proportion to the window, a small window is written anew as a whole when it has
 * outgrown that.  A large one is swept: each checkpoint writes, beside the groups that have changed, about as many of
 * those that have not been written since the sweep began; when it has come past the last group, no row from before the
 * sweep is needed, and these are deleted.  So no checkpoint takes longer for it than twice what the changes ask for.
 *
 * A group that has been removed is a change like any other, written without states.  No sweep writes it again: what was
 * written of it before is deleted together with that.  Its place is taken again only after that commit (state/store_leave.c).
 *
 * What the worker remembers of a window (SfWindow) changes only after the commit.
 */
#include "output/checkpoint.h"

#include "access/stratnum.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "output/commit.h"
#include "state/catalog.h"

#define STATE_VERSION 1

/* A payload fills one page: larger rows would be cut into TOAST chunks. */
#define PAYLOAD_BYTES 8000

/* What such a window needs is written at once. */
#define SMALL_WINDOW_BYTES (4 * 1024 * 1024)

/* Far from the end of the column's type: then a window is written as a whole and counts its rows from zero. */
#define MOST_ROWS (PG_INT32_MAX / 2)

#ifdef STREAMFUSE_TEST
bool sf_test_sweep = false;
#endif

/* What becomes true of a window once the transaction has committed. */
typedef struct SfWindowUpdate
{
	SfWindow *window;
	SfWindowSaved saved;
} SfWindowUpdate;

/* One window's share of a checkpoint. */
typedef struct Checkpoint
{
	SfMember *member;
	SfTick tick;
	SfCatalog *state;
	SfWindowUpdate *update;
	StringInfoData payload;
	StringInfoData group_bytes;
} Checkpoint;

void
sf_state_check_version(const char **data, const char *end)
{
	int32 version;

	sf_flat_read(data, end, &version, sizeof(version));
	if (version != STATE_VERSION)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("state has version %d, this library knows %d", version, STATE_VERSION)));
}

/* Deletes a window's rows with lower sequence numbers. */
static void
delete_rows(SfCatalog *state, int32 fragment, SfWindowUpdate *update, uint32 before)
{
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], SF_STATE_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(fragment));
	ScanKeyInit(&keys[1], SF_STATE_WINDOW_START + 1, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
	            TimestampTzGetDatum(update->window->start));
	ScanKeyInit(&keys[2], SF_STATE_SEQ + 1, BTLessStrategyNumber, F_INT4LT, Int32GetDatum((int32) before));
	scan = sf_catalog_scan_begin(state, "state_pkey", 3, keys, NULL);
	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		update->saved.bytes -= Min(update->saved.bytes, tuple->t_len);
		sf_catalog_delete(state, tuple);
	}
	sf_catalog_scan_end(scan);
}

static void
delete_all_rows(SfCatalog *state, int32 fragment, SfWindowUpdate *update)
{
	delete_rows(state, fragment, update, PG_INT32_MAX);
	update->saved.bytes = 0;
	update->saved.next_seq = 0;
}

static void
start_payload(StringInfo payload)
{
	int32 version = STATE_VERSION;

	resetStringInfo(payload);
	appendStringInfoSpaces(payload, VARHDRSZ);
	appendBinaryStringInfo(payload, (char *) &version, sizeof(version));
}

static bool
payload_is_empty(const Checkpoint *checkpoint)
{
	return checkpoint->payload.len == VARHDRSZ + (int) sizeof(int32);
}

static void
write_payload(Checkpoint *checkpoint)
{
	SfWindowUpdate *update = checkpoint->update;
	StringInfo payload = &checkpoint->payload;
	Datum values[SF_STATE_NATTS];

	SET_VARSIZE(payload->data, payload->len);
	values[SF_STATE_FRAGMENT] = Int32GetDatum(checkpoint->member->row.id);
	values[SF_STATE_WINDOW_START] = TimestampTzGetDatum(update->window->start);
	values[SF_STATE_SEQ] = Int32GetDatum((int32) update->saved.next_seq++);
	values[SF_STATE_WINDOW_END] = TimestampTzGetDatum(update->window->end);
	values[SF_STATE_PAYLOAD] = PointerGetDatum(payload->data);
	sf_catalog_insert(checkpoint->state, values, NULL);
	update->saved.bytes += payload->len;
	start_payload(payload);
}

/* Returns how many bytes it takes.  whole: also what its aggregates have collected and was written before. */
static Size
add_group(Checkpoint *checkpoint, SfGroup *group, bool whole)
{
	StringInfo bytes = &checkpoint->group_bytes;
	bool more = false;
	Size size = 0;

	do
	{
		resetStringInfo(bytes);
		more = sf_store_save_group(checkpoint->member->store, group, whole, more, bytes);
		if (!payload_is_empty(checkpoint) && checkpoint->payload.len + bytes->len > PAYLOAD_BYTES)
			write_payload(checkpoint);
		appendBinaryStringInfo(&checkpoint->payload, bytes->data, bytes->len);
		size += bytes->len;
	} while (more);
	return size;
}

/* The groups that have changed, or all. */
static Size
write_groups(Checkpoint *checkpoint, bool whole)
{
	const SfLayout *layout = checkpoint->member->definition->layout;
	SfWindow *window = checkpoint->update->window;
	Size bytes = 0;

	for (uint32 id = 0; id < window->ngroups; id++)
	{
		SfGroup *group = sf_store_group_at(checkpoint->member->store, window, id);

		/* That a group is gone is a change; but a window written as a whole says it by leaving it out. */
		if (whole ? sf_group_is_there(layout, group->data)
		          : group->version > window->saved.tick + SF_BUG("changed-group-not-saved"))
			bytes += add_group(checkpoint, group, whole);
	}
	return bytes;
}

/* All groups are in the rows written up to now: what comes from here on can replace them. */
static void
begin_sweep(Checkpoint *checkpoint)
{
	SfWindowUpdate *update = checkpoint->update;

	if (!payload_is_empty(checkpoint))
		write_payload(checkpoint);
	update->saved.sweep_next = 0;
	update->saved.sweep_seq = update->saved.next_seq;
	update->saved.sweep_tick = checkpoint->tick;
}

/* Goes on with the sweep until so many bytes are written or it is through. */
static void
sweep(Checkpoint *checkpoint, Size most_bytes)
{
	SfWindowUpdate *update = checkpoint->update;
	SfWindow *window = update->window;
	Size bytes = 0;

	for (; update->saved.sweep_next < window->ngroups && bytes < most_bytes; update->saved.sweep_next++)
	{
		SfGroup *group = sf_store_group_at(checkpoint->member->store, window, update->saved.sweep_next);

		if (group->version <= update->saved.sweep_tick &&
		    sf_group_is_there(checkpoint->member->definition->layout, group->data))
			bytes += add_group(checkpoint, group, true);
	}
	if (update->saved.sweep_next < window->ngroups)
		return;
	delete_rows(checkpoint->state, checkpoint->member->row.id, update, update->saved.sweep_seq);
	begin_sweep(checkpoint);
}

/* What aggregates have collected goes on from rows before, so that no sweep can tell which of them are needed. */
static bool
is_written_as_a_whole(const SfLayout *layout, uint64 whole_bytes)
{
	if (layout->nlists > 0)
		return true;
#ifdef STREAMFUSE_TEST
	if (sf_test_sweep)
		return false;
#endif
	return whole_bytes <= SMALL_WINDOW_BYTES;
}

static void
checkpoint_window(Checkpoint *checkpoint)
{
	SfMember *member = checkpoint->member;
	SfWindowUpdate *update = checkpoint->update;
	SfWindow *window = update->window;
	uint64 whole_bytes = sf_store_saved_bytes(member->store, window);
	bool swept = !is_written_as_a_whole(member->definition->layout, whole_bytes);
	bool whole = window->saved.next_seq == 0 || window->saved.next_seq > MOST_ROWS ||
	             (!swept && window->saved.bytes > 2 * whole_bytes + 65536);
	Size bytes;

	if (whole && window->saved.next_seq > 0)
		delete_all_rows(checkpoint->state, member->row.id, update);
	start_payload(&checkpoint->payload);
	bytes = write_groups(checkpoint, whole);
	if (whole)
		begin_sweep(checkpoint);
	else if (bytes > 0 && swept && window->saved.bytes > whole_bytes)
		sweep(checkpoint, bytes);
	if (!payload_is_empty(checkpoint))
		write_payload(checkpoint);
	update->saved.tick = checkpoint->tick;
}

List *
sf_checkpoint_write(SfMember *member, SfTick tick, MemoryContext context)
{
	Checkpoint checkpoint = {.member = member, .tick = tick};
	List *updates = NIL;

	checkpoint.state = sf_catalog_open("state", RowExclusiveLock);
	initStringInfo(&checkpoint.payload);
	initStringInfo(&checkpoint.group_bytes);
	for (int i = 0; i < sf_store_nwindows(member->store); i++)
	{
		SfWindow *window = sf_store_window_at(member->store, i);
		SfWindowUpdate *update;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (window->role == SF_WINDOW_ASSEMBLED || window->role == SF_WINDOW_HEAD)
			continue;
		update = MemoryContextAlloc(context, sizeof(SfWindowUpdate));
		*update = (SfWindowUpdate){window, window->saved};
		checkpoint.update = update;
		if (window->closed == SF_TICK_NONE)
			checkpoint_window(&checkpoint);
		else if (window->saved.next_seq > 0)
			delete_all_rows(checkpoint.state, member->row.id, update);
		old = MemoryContextSwitchTo(context);
		updates = lappend(updates, update);
		MemoryContextSwitchTo(old);
	}
	pfree(checkpoint.payload.data);
	pfree(checkpoint.group_bytes.data);
	sf_catalog_close(checkpoint.state, NoLock);
	return updates;
}

void
sf_checkpoint_settle(SfMember *member, List *updates)
{
	ListCell *cell;

	foreach (cell, updates)
	{
		SfWindowUpdate *update = lfirst(cell);
		SfWindow *window = update->window;

		if (window->closed == SF_TICK_NONE)
			sf_store_note_saved(member->store, window);
		window->saved = update->saved;
	}
}
