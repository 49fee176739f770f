/*
 * standby.c
 *		The live side on a physical standby, and of a failed view: open groups as of the last checkpoint, from the state
 *		table.
 *
 * No worker runs on a standby and nothing of the primary's shared memory is there; what the primary wrote down is, under
 * the statement's snapshot like any row.  A window's rows are read in the order they were written; a group in a later
 * row overrides the one before.  One window is in memory at a time.
 *
 * Groups that memory had no room for are in streamfuse.spilled, one a row, under the same snapshot; one that is in the
 * log, too, is taken from there.
 *
 * The primary closes windows more often than it writes open ones down: a window that is closed in the snapshot is
 * passed over, since its rows are in the output table.
 */
#include "read/standby.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "output/commit.h"
#include "plan/view.h"
#include "state/catalog.h"
#include "state/spill.h"

typedef struct WindowGroup
{
	char *data; /* a reader's copy */
	uint32 hash;
	char status; /* for simplehash */
} WindowGroup;

typedef struct groups_hash groups_hash;
static bool same_group(groups_hash *groups, const char *a, const char *b);

#define SH_PREFIX groups
#define SH_ELEMENT_TYPE WindowGroup
#define SH_KEY_TYPE char *
#define SH_KEY data
#define SH_HASH_KEY(table, key) 0
#define SH_EQUAL(table, a, b) same_group(table, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct SfStandbyScan
{
	MemoryContext context;        /* what lives from one restart to the next */
	MemoryContext window_context; /* groups of the current window */
	SfLayout *layout;
	Snapshot snapshot;
	int32 fragment; /* -1: the snapshot has none */
	SfTime closed_until;
	SfTime forgotten_before;
	SfTime begins_at;
	SfTime from;
	SfTime to;

	Relation state;
	Relation index;
	SysScanDesc rows;
	HeapTuple row; /* the next one to read, or NULL */

	SfTime start; /* the current window */
	SfTime end;
	groups_hash *groups;
	groups_iterator iterator;

	/* Groups that were not in memory: one a row, in the order of windows, too. */
	SfSpillScan *spilled; /* NULL: the view's groups do not leave memory */
	bool has_spilled;
	SfSpilledRow spilled_row;      /* the next one, if there is */
	MemoryContext spilled_context; /* the last group of these */
};

static bool
same_group(groups_hash *groups, const char *a, const char *b)
{
	return sf_group_same_keys(groups->private_data, NULL, a, b);
}

/* Finds the view's fragment and how far it is closed, as the snapshot sees it. */
static void
find_fragment(SfStandbyScan *scan, Oid view)
{
	List *rows = sf_fragment_rows(scan->snapshot);
	ListCell *cell;
	SfCatalog *progress;
	SysScanDesc found;
	ScanKeyData key;
	HeapTuple tuple;

	scan->fragment = -1;
	scan->begins_at = SF_TIME_MINUS_INFINITY;
	foreach (cell, rows)
	{
		SfFragmentRow *row = lfirst(cell);

		if (row->view == view)
		{
			scan->fragment = row->id;
			scan->begins_at = row->begins_at;
		}
	}
	list_free_deep(rows);

	scan->closed_until = SF_TIME_MINUS_INFINITY;
	scan->forgotten_before = SF_LIFE_LEAST;
	progress = sf_catalog_open("progress", AccessShareLock);
	ScanKeyInit(&key, SF_PROGRESS_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(scan->fragment));
	found = sf_catalog_scan_begin(progress, "progress_pkey", 1, &key, scan->snapshot);
	tuple = sf_catalog_scan_next(found);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum forgotten;

		scan->closed_until = DatumGetTimestampTz(
		    heap_getattr(tuple, SF_PROGRESS_CLOSED_UNTIL + 1, RelationGetDescr(sf_catalog_table(progress)), &isnull));
		forgotten = heap_getattr(tuple, SF_PROGRESS_FORGOTTEN_BEFORE + 1, RelationGetDescr(sf_catalog_table(progress)),
		                         &isnull);
		scan->forgotten_before = Max(DatumGetTimestampTz(forgotten), SF_LIFE_LEAST);
	}
	sf_catalog_scan_end(found);
	sf_catalog_close(progress, AccessShareLock);
}

SfStandbyScan *
sf_standby_begin(MemoryContext context, Oid view, SfLayout *layout, Snapshot snapshot)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfStandbyScan *scan = palloc0(sizeof(SfStandbyScan));

	scan->context = context;
	scan->spilled_context = AllocSetContextCreate(context, "streamfuse spilled group", ALLOCSET_DEFAULT_SIZES);
	scan->window_context = AllocSetContextCreate(context, "streamfuse window", ALLOCSET_DEFAULT_SIZES);
	scan->layout = layout;
	scan->snapshot = snapshot;
	find_fragment(scan, view);
	scan->state = table_open(sf_catalog_relation("state"), AccessShareLock);
	scan->index = index_open(sf_catalog_relation("state_pkey"), AccessShareLock);
	MemoryContextSwitchTo(old);
	return scan;
}

static void
next_spilled(SfStandbyScan *scan)
{
	scan->has_spilled = sf_spill_scan_next(scan->spilled, &scan->spilled_row);
}

void
sf_standby_restart(SfStandbyScan *scan, SfTime from, SfTime to)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	ScanKeyData keys[2];

	if (scan->rows != NULL)
		systable_endscan_ordered(scan->rows);
	MemoryContextReset(scan->window_context);
	scan->groups = NULL;
	scan->from = from;
	scan->to = to;

	/* Rows of one fragment come in the order of the primary key. */
	ScanKeyInit(&keys[0], SF_STATE_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(scan->fragment));
	ScanKeyInit(&keys[1], SF_STATE_WINDOW_START + 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
	            TimestampTzGetDatum(from));
	scan->rows = systable_beginscan_ordered(scan->state, scan->index, scan->snapshot, 2, keys);
	scan->row = systable_getnext_ordered(scan->rows, ForwardScanDirection);
	if (scan->spilled != NULL)
		sf_spill_scan_end(scan->spilled);
	scan->spilled = NULL;
	scan->has_spilled = false;
	if (sf_spill_can(scan->layout))
	{
		scan->spilled = sf_spill_scan_begin(scan->fragment, from, true, NULL, scan->snapshot);
		next_spilled(scan);
	}
	MemoryContextSwitchTo(old);
}

static SfTime
row_time(SfStandbyScan *scan, int column)
{
	bool isnull;

	return DatumGetTimestampTz(heap_getattr(scan->row, column + 1, RelationGetDescr(scan->state), &isnull));
}

/* Takes in the groups of the current row. */
static void
load_row(SfStandbyScan *scan)
{
	bool isnull;
	Datum payload = heap_getattr(scan->row, SF_STATE_PAYLOAD + 1, RelationGetDescr(scan->state), &isnull);
	bytea *bytes = DatumGetByteaPP(payload);
	const char *data = VARDATA_ANY(bytes);
	const char *end = data + VARSIZE_ANY_EXHDR(bytes);

	sf_state_check_version(&data, end);
	while (data < end)
	{
		uint32 hash;
		char *key = sf_group_load_key(scan->layout, &data, end, &hash);
		SfTime life = sf_group_life(scan->layout, key);
		WindowGroup *group;
		bool found;

		CHECK_FOR_INTERRUPTS();
		group = groups_insert_hash(scan->groups, key, hash, &found);
		if (!found)
			group->data = key;
		sf_group_load_states(scan->layout, group->data, life, &data, end);
	}
}

/* Passes over what is closed.  A pane is there as long as it is part of an open window. */
static void
skip_closed(SfStandbyScan *scan)
{
	if (scan->layout->in_panes)
		return;
	while (scan->row != NULL && row_time(scan, SF_STATE_WINDOW_END) <= scan->closed_until)
		scan->row = systable_getnext_ordered(scan->rows, ForwardScanDirection);
	while (scan->has_spilled && scan->spilled_row.end <= scan->closed_until)
		next_spilled(scan);
}

/* Reads the next open window of the range; false when there is none. */
static bool
next_window(SfStandbyScan *scan)
{
	skip_closed(scan);
	if (scan->row != NULL && (!scan->has_spilled || row_time(scan, SF_STATE_WINDOW_START) <= scan->spilled_row.start))
	{
		scan->start = row_time(scan, SF_STATE_WINDOW_START);
		scan->end = row_time(scan, SF_STATE_WINDOW_END);
	}
	else if (scan->has_spilled)
	{
		scan->start = scan->spilled_row.start;
		scan->end = scan->spilled_row.end;
	}
	else
		return false;
	if (scan->start >= scan->to)
		return false;

	MemoryContextReset(scan->window_context);
	scan->groups = groups_create(scan->window_context, 256, scan->layout);
	while (scan->row != NULL && row_time(scan, SF_STATE_WINDOW_START) == scan->start)
	{
		MemoryContext old = MemoryContextSwitchTo(scan->window_context);

		load_row(scan);
		MemoryContextSwitchTo(old);
		scan->row = systable_getnext_ordered(scan->rows, ForwardScanDirection);
	}
	groups_start_iterate(scan->groups, &scan->iterator);
	return true;
}

/* The next group of the window that has a row of its own, and is not in the log, too: then they say the same. */
static bool
next_spilled_group(SfStandbyScan *scan, SfGroupCopy *copy)
{
	bool found = false;

	while (!found && scan->groups != NULL && scan->has_spilled && scan->spilled_row.start == scan->start)
	{
		const char *data = scan->spilled_row.data;
		MemoryContext old;
		WindowGroup *logged;
		SfTime life;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scan->spilled_context);
		old = MemoryContextSwitchTo(scan->spilled_context);
		*copy = (SfGroupCopy){.start = scan->start, .end = scan->end};
		copy->data = sf_group_load_key(scan->layout, &data, scan->spilled_row.data_end, &copy->hash);
		life = sf_group_life(scan->layout, copy->data);
		logged = groups_lookup_hash(scan->groups, copy->data, copy->hash);
		found = life >= scan->forgotten_before && (logged == NULL || !sf_group_is_there(scan->layout, logged->data));
		if (found)
			sf_group_load_states(scan->layout, copy->data, life, &data, scan->spilled_row.data_end);
		MemoryContextSwitchTo(old);
		next_spilled(scan);
	}
	return found;
}

bool
sf_standby_next(SfStandbyScan *scan, SfGroupCopy *copy)
{
	for (;;)
	{
		WindowGroup *group = scan->groups != NULL ? groups_iterate(scan->groups, &scan->iterator) : NULL;

		if (group != NULL && sf_group_life(scan->layout, group->data) < scan->forgotten_before)
			continue;
		if (group != NULL)
		{
			*copy = (SfGroupCopy){scan->start, scan->end, group->hash, group->data};
			return true;
		}
		if (next_spilled_group(scan, copy))
			return true;
		if (!next_window(scan))
			return false;
	}
}

SfTime
sf_standby_begins_at(const SfStandbyScan *scan)
{
	return scan->begins_at;
}

SfTime
sf_standby_closed_until(const SfStandbyScan *scan)
{
	return scan->closed_until;
}

void
sf_standby_end(SfStandbyScan *scan)
{
	if (scan->rows != NULL)
		systable_endscan_ordered(scan->rows);
	if (scan->spilled != NULL)
		sf_spill_scan_end(scan->spilled);
	index_close(scan->index, AccessShareLock);
	table_close(scan->state, AccessShareLock);
}
