/*
 * source.c
 *		One scan of a stream: its leaves are captured, their rows batched and fed to the members, its watermark moved.
 *
 * A tick works on a copy of the source's state (`next`), which replaces `state` only when the tick is published.  While
 * more waits than one tick may take, the source catches up: a pre-pass records the smallest event time of each block
 * range, what waits is worked through in slices, and the watermark stays below what still waits.
 */
#include "worker/dataflow.h"

#include "access/attmap.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fault.h"
#include "stream/capture.h"
#include "stream/floor.h"
#include "time/watermark.h"

/* What the pre-pass found out about one leaf. */
typedef struct SfWaiting
{
	Oid relid;
	BlockNumber first; /* block the ranges start at */
	BlockNumber known; /* no row is added to a block below this one after it was looked at */
	BlockNumber end;   /* of what has been looked at */
	SfTime *least;     /* smallest event time in each range of SF_RANGE_PAGES blocks */
} SfWaiting;

struct SfCatchUp
{
	MemoryContext context;
	List *leaves; /* SfWaiting * */
};

#ifdef STREAMFUSE_TEST
int sf_test_tick_pages = 0;
#endif

/* Most pages that one tick takes in. */
static BlockNumber
tick_pages(const SfSource *source)
{
	int most = sf_members_most_pages(source->members);

	if (list_length(source->members) == 1 && sf_member_makes_room(linitial(source->members)))
		return 0;
	if (source->small)
		return Min(SF_SMALL_TICK_PAGES, Max(most / 16, 1));
#ifdef STREAMFUSE_TEST
	if (sf_test_tick_pages > 0)
		return sf_test_tick_pages;
#endif
	return most;
}

SfSource *
sf_source_create(SfWorker *worker, Oid stream, SfSourceState *state)
{
	MemoryContext own = AllocSetContextCreate(worker->context, "streamfuse source", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	SfSource *source = palloc0(sizeof(SfSource));

	source->stream = stream;
	source->context = own;
	source->state_context = AllocSetContextCreate(own, "streamfuse position", ALLOCSET_SMALL_SIZES);
	source->next_context = AllocSetContextCreate(own, "streamfuse position", ALLOCSET_SMALL_SIZES);
	source->stale = true;
	source->skipped = true;
	if (state != NULL)
		source->state = sf_source_state_copy(source->state_context, state);
	else
	{
		source->state = MemoryContextAllocZero(source->state_context, sizeof(SfSourceState));
		source->state->max_event = SF_TIME_MINUS_INFINITY;
		source->state->watermark = SF_TIME_MINUS_INFINITY;
	}
	MemoryContextSwitchTo(worker->context);
	worker->sources = lappend(worker->sources, source);
	MemoryContextSwitchTo(old);
	return source;
}

void
sf_source_destroy(SfWorker *worker, SfSource *source)
{
	worker->sources = list_delete_ptr(worker->sources, source);
	if (source->batch != NULL)
		sf_batch_destroy(source->batch);
	MemoryContextDelete(source->context);
}

/* It may need other columns now. */
void
sf_source_forget_batch(SfSource *source)
{
	if (source->batch != NULL)
		sf_batch_destroy(source->batch);
	source->batch = NULL;
}

void
sf_source_add(SfSource *source, SfMember *member)
{
	MemoryContext old = MemoryContextSwitchTo(source->context);

	source->members = lappend(source->members, member);
	MemoryContextSwitchTo(old);
	member->sources[sf_fragment_input(&member->row, source->stream)] = source;
	sf_source_forget_batch(source);
}

void
sf_source_remove(SfSource *source, SfMember *member)
{
	source->members = list_delete_ptr(source->members, member);
	member->sources[sf_fragment_input(&member->row, source->stream)] = NULL;
	sf_source_forget_batch(source);
}

static void
read_leaves(SfSource *source)
{
	MemoryContext old;
	List *leaves = NIL;
	ListCell *cell;

	foreach (cell, find_all_inheritors(source->stream, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(cell));
	old = MemoryContextSwitchTo(source->context);
	leaves = list_copy(leaves);
	list_free(source->leaves);
	source->leaves = leaves;
	MemoryContextSwitchTo(old);
}

/* Does it take in nothing until a commit has written the failed rows of one of its members? */
bool
sf_source_awaits_commit(const SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (((SfMember *) lfirst(cell))->progress.nfailed > SF_FAILED_ROWS)
			return true;
	return false;
}

/*
 * Locks the stream and its leaves, without waiting: a user's lock stops this source for a tick, not the worker.  False
 * when a lock is not to be had or the stream is gone; and while too many failed rows wait for a commit.
 */
bool
sf_source_lock(SfSource *source)
{
	ListCell *cell;

	if (sf_source_awaits_commit(source))
		return false;
	if (!ConditionalLockRelationOid(source->stream, AccessShareLock))
		return false;
	if (get_rel_relkind(source->stream) == '\0')
		return false;
	if (source->stale)
	{
		bool first = source->leaves == NIL;

		/* Before: what changes while it is read is looked at again in the next tick. */
		source->stale = false;
		if (first || !SF_BUG("attached-partition-forgotten"))
			read_leaves(source);
		SF_FAULT("source-leaves-read");
		if (first || !SF_BUG("changed-delay-forgotten"))
			sf_stream_settings_get(source->stream, &source->settings);
	}
	foreach (cell, source->leaves)
		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock) || get_rel_relkind(lfirst_oid(cell)) == '\0')
		{
			source->stale = true;
			return false;
		}
	return true;
}

static SfPosition *
find_position(List *positions, Oid relid)
{
	ListCell *cell;

	foreach (cell, positions)
		if (sf_position_relid(lfirst(cell)) == relid)
			return lfirst(cell);
	return NULL;
}

/*
 * Positions for the leaves there are, in their order, new ones at nothing counted; then those of partitions that were
 * detached, as long as the table exists: its rows must not be counted again if it is attached again.  (Its floor stays,
 * too, without which a position is worth nothing.)
 */
static void
match_positions(SfSource *source)
{
	List *positions = NIL;
	ListCell *cell;

	foreach (cell, source->leaves)
	{
		SfPosition *position = find_position(source->next->positions, lfirst_oid(cell));

		if (position == NULL)
		{
			Relation rel = table_open(lfirst_oid(cell), NoLock);

			position = sf_position_create(source->next_context, rel);
			table_close(rel, NoLock);
		}
		positions = lappend(positions, position);
	}
	foreach (cell, source->next->positions)
	{
		Oid relid = sf_position_relid(lfirst(cell));

		if (list_member_ptr(positions, lfirst(cell)))
			continue;
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			positions = lappend(positions, lfirst(cell));
		else
			sf_floor_detach(MyDatabaseId, relid);
	}
	source->next->positions = positions;
}

/* During a tick: the positions of the leaves, without those of detached partitions. */
static List *
active_positions(SfSource *source)
{
	return list_truncate(list_copy(source->next->positions), list_length(source->leaves));
}

/* Starts the source's part of a tick: a copy to work on, and a decision on sealed pages, before the snapshot is taken. */
void
sf_source_seal(SfSource *source)
{
	MemoryContext old;
	ListCell *cell;

	MemoryContextReset(source->next_context);
	source->flat.len = 0;
	source->next = sf_source_state_copy(source->next_context, source->state);
	old = MemoryContextSwitchTo(source->next_context);
	match_positions(source);
	MemoryContextSwitchTo(old);
	foreach (cell, active_positions(source))
	{
		Relation rel = table_open(sf_position_relid(lfirst(cell)), NoLock);

		sf_capture_seal(lfirst(cell), rel);
		table_close(rel, NoLock);
	}
}

static void
make_batch(SfSource *source)
{
	Relation rel = table_open(source->stream, NoLock);
	Bitmapset *needed = NULL;
	ListCell *cell;

	foreach (cell, source->members)
	{
		SfMember *member = lfirst(cell);

		if (member->definition != NULL)
			needed = bms_add_members(needed, sf_flow_columns(member->definition, source->stream, true));
	}
	if (source->settings.has_watermark)
		needed = bms_add_member(needed, source->settings.time_attnum - 1);
	source->batch = sf_batch_create(source->context, RelationGetDescr(rel), needed);
	table_close(rel, NoLock);
}

/* Takes back what a member has done in the tick. */
void
sf_source_undo_member(SfMember *member)
{
	if (!member->in_tick)
		return;
	sf_flow_rollback(member->flow);
	sf_closer_rollback(member->closer);
	sf_store_rollback(member->store);
	member->in_tick = false;
}

/* Largest event time of the batch that is not ahead of the clock. */
static void
note_event_times(SfWorker *worker, SfSource *source, SfBatch *batch)
{
	int column = source->settings.time_attnum - 1;
	SfTime limit = sf_ahead_limit(&source->settings, worker->tick_time);
	SfTime max_event = source->next->max_event;
	uint64 ahead = 0;
	ListCell *cell;

	for (int row = 0; row < batch->nrows; row++)
	{
		SfTime time = DatumGetInt64(batch->values[column][row]);

		if (batch->nulls[column][row])
			continue;
		if (time > limit)
			ahead++;
		else if (time > max_event)
			max_event = time;
	}
	source->next->max_event = max_event;
	if (ahead > 0)
		foreach (cell, source->members)
			((SfMember *) lfirst(cell))->progress.counters.rows_ahead += ahead;
}

typedef struct SfFeed
{
	SfWorker *worker;
	SfSource *source;
} SfFeed;

static void
flush_batch(SfFeed *feed)
{
	SfBatch *batch = feed->source->batch;
	ListCell *cell;

	if (batch->nrows == 0)
		return;
	if (feed->source->settings.has_watermark)
		note_event_times(feed->worker, feed->source, batch);
	foreach (cell, feed->source->members)
	{
		SfMember *member = lfirst(cell);

		if (!member->in_tick)
			continue;
		member->progress.counters.rows_read += batch->nrows;
		sf_member_take_batch(member, feed->source->stream, batch);
	}
	feed->source->rows += batch->nrows;
	if (feed->source->settings.has_watermark && SF_BUG("watermark-moved-within-tick"))
		foreach (cell, feed->source->members)
			((SfMember *) lfirst(cell))->progress.closed_until = sf_watermark_of(&feed->source->settings,
			                                                                     feed->source->next->max_event);
	sf_batch_reset(batch);
}

static void
consume_page(void *arg, Relation rel, Page page, BlockNumber block, const OffsetNumber *offsets, int noffsets)
{
	SfFeed *feed = arg;
	int taken = 0;

	while (taken < noffsets)
	{
		taken += sf_batch_add(feed->source->batch, page, block, offsets + taken, noffsets - taken);
		if (feed->source->batch->nrows == SF_BATCH_ROWS)
			flush_batch(feed);
	}
}

static AttrNumber
leaf_time_attnum(SfSource *source, Relation leaf)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(leaf), NameStr(source->settings.time_column));

	if (attnum == InvalidAttrNumber)
		elog(ERROR, "column \"%s\" is missing in partition \"%s\"", NameStr(source->settings.time_column),
		     RelationGetRelationName(leaf));
	return attnum;
}

static SfWaiting *
waiting_of(SfSource *source, SfPosition *position)
{
	SfCatchUp *catch_up = source->catch_up;
	SfWaiting *waiting;
	MemoryContext old;
	ListCell *cell;

	foreach (cell, catch_up->leaves)
	{
		waiting = lfirst(cell);
		if (waiting->relid == sf_position_relid(position))
			return waiting;
	}
	old = MemoryContextSwitchTo(catch_up->context);
	waiting = palloc0(sizeof(SfWaiting));
	waiting->relid = sf_position_relid(position);
	waiting->first = waiting->known = waiting->end = sf_position_frontier(position);
	catch_up->leaves = lappend(catch_up->leaves, waiting);
	MemoryContextSwitchTo(old);
	return waiting;
}

/* Looks at what has come to a leaf since it was looked at last. */
static void
look_ahead(SfSource *source, SfPosition *position, Snapshot snapshot)
{
	SfWaiting *waiting = waiting_of(source, position);
	Relation rel = table_open(waiting->relid, NoLock);
	BlockNumber end = RelationGetNumberOfBlocks(rel);
	BlockNumber from = waiting->first + (waiting->known - waiting->first) / SF_RANGE_PAGES * SF_RANGE_PAGES;

	if (from < end)
	{
		BlockNumber nknown = (from - waiting->first) / SF_RANGE_PAGES;
		BlockNumber nnew = (end - from + SF_RANGE_PAGES - 1) / SF_RANGE_PAGES;
		SfTime *new = sf_capture_minima(rel, snapshot, leaf_time_attnum(source, rel), from, end, CurrentMemoryContext);
		SfTime *least = MemoryContextAlloc(source->catch_up->context, (nknown + nnew) * sizeof(SfTime));

		if (nknown > 0)
			memcpy(least, waiting->least, nknown * sizeof(SfTime));
		memcpy(least + nknown, new, nnew * sizeof(SfTime));
		pfree(new);
		if (waiting->least != NULL)
			pfree(waiting->least);
		waiting->least = least;
	}
	waiting->known = Max(waiting->known, Min(sf_position_sealed(position), end));
	waiting->end = end;
	table_close(rel, NoLock);
}

/*
 * The pre-pass, and what it has to add after each slice: all rows that the slice's snapshot sees are counted or looked
 * at from here on.
 */
static void
look_at_waiting(SfSource *source, Snapshot snapshot)
{
	ListCell *cell;

	SF_FAULT("catch-up-look");
	if (source->catch_up == NULL)
	{
		MemoryContext own = AllocSetContextCreate(source->context, "streamfuse catch-up", ALLOCSET_DEFAULT_SIZES);

		source->catch_up = MemoryContextAllocZero(own, sizeof(SfCatchUp));
		source->catch_up->context = own;
	}
	if (source->settings.has_watermark)
		foreach (cell, active_positions(source))
			look_ahead(source, lfirst(cell), snapshot);
}

static void
end_catch_up(SfSource *source)
{
	if (source->catch_up == NULL)
		return;
	MemoryContextDelete(source->catch_up->context);
	source->catch_up = NULL;
}

/* Smallest event time that waits in a leaf beyond its position, or may: rows of open pages are not told apart. */
static SfTime
least_waiting(SfSource *source, SfPosition *position)
{
	SfWaiting *waiting = waiting_of(source, position);
	BlockNumber frontier = sf_position_frontier(position);
	SfTime least = SF_TIME_INFINITY;

	if (waiting->least == NULL || frontier >= waiting->end)
		return SF_TIME_INFINITY;
	for (BlockNumber i = (frontier - waiting->first) / SF_RANGE_PAGES;
	     i < (waiting->end - waiting->first + SF_RANGE_PAGES - 1) / SF_RANGE_PAGES; i++)
		least = Min(least, waiting->least[i]);
	return least;
}

static BlockNumber
total_backlog(SfSource *source)
{
	uint64 pages = 0;
	ListCell *cell;

	foreach (cell, active_positions(source))
	{
		Relation rel = table_open(sf_position_relid(lfirst(cell)), NoLock);

		pages += sf_capture_backlog(lfirst(cell), rel);
		table_close(rel, NoLock);
	}
	return Min(pages, (uint64) MaxBlockNumber);
}

static int
by_least_waiting(const ListCell *a, const ListCell *b)
{
	SfTime left = ((SfTime *) lfirst(a))[0];
	SfTime right = ((SfTime *) lfirst(b))[0];

	return left < right ? -1 : left > right ? 1 : 0;
}

/* Positions, the one whose waiting rows are oldest first. */
static List *
positions_in_order(SfSource *source)
{
	typedef struct
	{
		SfTime least;
		SfPosition *position;
	} Entry;
	List *entries = NIL;
	List *ordered = NIL;
	ListCell *cell;

	if (source->catch_up == NULL || list_length(source->leaves) < 2)
		return active_positions(source);
	foreach (cell, active_positions(source))
	{
		Entry *entry = palloc(sizeof(Entry));

		entry->least = least_waiting(source, lfirst(cell));
		entry->position = lfirst(cell);
		entries = lappend(entries, entry);
	}
	list_sort(entries, by_least_waiting);
	foreach (cell, entries)
		ordered = lappend(ordered, ((Entry *) lfirst(cell))->position);
	return ordered;
}

/* Members that are to take the tick again go on by themselves. */
static void
part_with_members(SfWorker *worker, SfSource *source)
{
	ListCell *cell;

	foreach (cell, list_copy(source->members))
	{
		SfMember *member = lfirst(cell);

		/* The wish of a tick that was undone as a whole is forgotten. */
		if (member->again && !member->in_tick)
		{
			sf_member_detach(worker, member);
			for (int i = 0; i < member->row.nstreams; i++)
				member->sources[i]->small = member->sources[i]->small || member->small_ticks;
		}
		member->again = member->small_ticks = false;
	}
}

/* Captures the leaves under the tick's snapshot and feeds the members.  Sets complete. */
void
sf_source_scan(SfWorker *worker, SfSource *source, Snapshot snapshot)
{
	SfFeed feed = {worker, source};
	int64 budget = tick_pages(source);
	ListCell *cell;

	if (source->batch == NULL)
		make_batch(source);
	sf_batch_reset(source->batch);
	source->rows = 0;
	source->complete = true;
	source->progressed = false;
	if (source->catch_up == NULL && total_backlog(source) > tick_pages(source))
		look_at_waiting(source, snapshot);
	if (source->catch_up != NULL)
		sf_report_catch_up(source, total_backlog(source));

	foreach (cell, positions_in_order(source))
	{
		SfPosition *position = lfirst(cell);
		Relation rel;
		Relation stream;
		BlockNumber before = sf_position_frontier(position);
		SfCaptureResult result;

		/* Where no budget is left, what awaited the end of a transaction is still taken in: with its other rows. */
		rel = table_open(sf_position_relid(position), NoLock);
		stream = table_open(source->stream, NoLock);
		sf_batch_set_relation(source->batch, rel, RelationGetDescr(stream));
		table_close(stream, NoLock);
		result = sf_capture_tick(position, rel, snapshot, (BlockNumber) budget, consume_page, &feed);
		flush_batch(&feed);
		table_close(rel, NoLock);
		budget -= sf_position_frontier(position) - before;
		if (sf_position_frontier(position) > before)
			source->progressed = true;
		if (!result.complete)
			source->complete = false;
	}
	part_with_members(worker, source);
}

/*
 * Moves the watermark at the end of a tick.  While rows wait that the snapshot sees, it stays below the smallest event
 * time among them; and where it is, when an insert that takes its time keeps everything else from being read.
 */
void
sf_source_advance(SfWorker *worker, SfSource *source, Snapshot snapshot)
{
	SfSourceState *next = source->next;
	SfTime watermark = next->watermark;

	/* What is right after a reset comes from the punctuation, or from a scan that has taken it in. */
	if (source->behind_reset)
		next->max_event = SF_TIME_MINUS_INFINITY;
	if (source->settings.has_watermark && next->max_event != SF_TIME_MINUS_INFINITY)
		watermark = Max(watermark, sf_watermark_of(&source->settings, next->max_event));
	if (source->complete)
		end_catch_up(source);
	else if (!source->progressed)
		watermark = next->watermark;
	else
	{
		ListCell *cell;

		look_at_waiting(source, snapshot);
		foreach (cell, active_positions(source))
			if (!SF_BUG("watermark-ahead-of-catch-up"))
				watermark = Min(watermark, least_waiting(source, lfirst(cell)));
	}
	next->watermark = Max(next->watermark, watermark);
	if (source->complete && worker->punctuations)
		sf_source_apply_punctuations(worker, source, snapshot);
}

/* What the tick comes to for this scan is known: once for all its members. */
void
sf_source_flatten(SfSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(source->next_context);

	initStringInfo(&source->flat);
	sf_source_state_save(source->next, &source->flat);
	MemoryContextSwitchTo(old);
}

void
sf_source_publish(SfSource *source)
{
	MemoryContext swap = source->state_context;

	source->state_context = source->next_context;
	source->next_context = swap;
	source->state = source->next;
	source->next = NULL;
	source->small = source->small && !source->complete && source->progressed;
}

/* The tick is undone: the copy is forgotten, and a catch-up looks anew at what waits from where the state is. */
void
sf_source_rollback(SfSource *source)
{
	source->next = NULL;
	end_catch_up(source);
	sf_source_forget_batch(source);
}

/*
 * Do two scans that both took in all that their common snapshot sees have counted the same rows?  Not when a partition
 * came between the locks of one and the other, nor when they were at different places in one that is detached.
 */
bool
sf_source_same_rows(SfSource *a, SfSource *b)
{
	List *active = active_positions(a);
	ListCell *cell;

	if (list_length(a->next->positions) != list_length(b->next->positions))
		return false;
	foreach (cell, a->next->positions)
	{
		SfPosition *other = find_position(b->next->positions, sf_position_relid(lfirst(cell)));
		StringInfoData left;
		StringInfoData right;

		if (other == NULL || list_member_ptr(active, lfirst(cell)) != list_member_ptr(active_positions(b), other))
			return false;
		if (list_member_ptr(active, lfirst(cell)))
			continue;
		initStringInfo(&left);
		initStringInfo(&right);
		sf_position_save(lfirst(cell), &left);
		sf_position_save(other, &right);
		if (left.len != right.len || memcmp(left.data, right.data, left.len) != 0)
			return false;
	}
	return true;
}

/*
 * Both scans have counted the same rows in this tick.  `into` takes the watermark that is right for both; a reset that
 * one has taken in already counts for both.
 */
void
sf_source_meet(SfSource *into, SfSource *from)
{
	SfSourceState *own = into->next;
	SfSourceState *other = from->next;

	Assert(into->complete && (from->complete || SF_BUG("merged-source-skips-rows")) && into->stream == from->stream);
	from->meets = into;
	/* A reset that one has taken in already counts for both. */
	own->punctuation = Max(own->punctuation, other->punctuation);
	if (own->last_reset < other->last_reset)
	{
		into->reset = true;
		into->behind_reset = from->behind_reset;
		own->max_event = other->max_event;
		own->watermark = other->watermark;
		own->last_reset = other->last_reset;
	}
	else if (own->last_reset == other->last_reset)
	{
		own->max_event = Max(own->max_event, other->max_event);
		own->watermark = Max(own->watermark, other->watermark);
	}
}

/* Once all have met: a source that is going to be given up has the same watermark as the one that stays. */
void
sf_source_follow(SfSource *from)
{
	SfSource *into = from->meets;

	if (into == NULL)
		return;
	from->reset = into->reset || from->next->last_reset < into->next->last_reset;
	from->behind_reset = into->behind_reset;
	from->next->max_event = into->next->max_event;
	from->next->watermark = into->next->watermark;
	from->next->punctuation = into->next->punctuation;
	from->next->last_reset = into->next->last_reset;
}

/* The tick in which two scans met is published: their members share one. */
void
sf_source_join(SfWorker *worker, SfSource *from)
{
	while (from->members != NIL)
	{
		sf_source_add(from->meets, linitial(from->members));
		from->members = list_delete_first(from->members);
	}
	sf_source_destroy(worker, from);
}

/* Open transactions, as of the published tick, that have written rows where the scan has been; the first of them. */
int
sf_source_awaited(const SfSource *source, uint64 *oldest)
{
	int awaited = 0;
	ListCell *cell;

	foreach (cell, source->state->positions)
	{
		uint64 first = sf_position_oldest_pending(lfirst(cell));
		int n = sf_position_pending(lfirst(cell));

		if (n > 0)
			*oldest = awaited == 0 ? first : Min(*oldest, first);
		awaited = Max(awaited, n); /* one that wrote several partitions is in each */
	}
	return awaited;
}

/* May one of these transactions have ended since the tick's snapshot? */
bool
sf_source_awaits_ended(const SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->state->positions)
		if (sf_position_awaits_ended(lfirst(cell)))
			return true;
	return false;
}

/* Pages that the scan has come to, of all leaves. */
uint64
sf_source_pages_read(const SfSource *source)
{
	uint64 pages = 0;
	ListCell *cell;

	foreach (cell, source->next != NULL ? source->next->positions : source->state->positions)
		pages += sf_position_frontier(lfirst(cell)) + sf_position_open_pages(lfirst(cell));
	return pages;
}
