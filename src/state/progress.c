/*
 * progress.c
 *		Flat copies of a fragment's progress, two per fragment in DSA, written alternately.
 *
 * The copy for a tick is prepared before the tick is published and overwrites the older of the two; a reader takes the
 * newest that is not newer than its tick.  So at every moment one of them describes the last published tick, whatever
 * becomes of the worker.
 */
#include "state/progress.h"

#include "utils/memutils.h"

/* What precedes the missed windows and the source in the flat form. */
typedef struct FlatHeader
{
	SfCounters counters;
	SfTime closed_until;
	SfTime last_closed;
	int64 nmissed;
	int64 source_size;
} FlatHeader;

#define SOURCE_VERSION 1

typedef struct SourceHeader
{
	int32 version;
	int32 npositions;
	SfTime max_event;
	SfTime watermark;
	int64 punctuation;
} SourceHeader;

void
sf_source_state_save(const SfSourceState *state, StringInfo out)
{
	SourceHeader header = {SOURCE_VERSION, list_length(state->positions), state->max_event, state->watermark,
	                       state->punctuation};
	ListCell *cell;

	appendBinaryStringInfo(out, (char *) &header, sizeof(header));
	foreach (cell, state->positions)
	{
		int at = out->len;
		int32 size = 0;

		appendBinaryStringInfo(out, (char *) &size, sizeof(size));
		sf_position_save(lfirst(cell), out);
		size = out->len - at - sizeof(size);
		memcpy(out->data + at, &size, sizeof(size));
	}
}

SfSourceState *
sf_source_state_load(MemoryContext context, const char *data, Size size)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfSourceState *state = palloc0(sizeof(SfSourceState));
	const char *end = data + size;
	SourceHeader header;

	if (size < sizeof(header))
		elog(ERROR, "streamfuse position is too short");
	memcpy(&header, data, sizeof(header));
	data += sizeof(header);
	if (header.version != SOURCE_VERSION)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("position has version %d, this library knows %d", header.version, SOURCE_VERSION)));
	state->max_event = header.max_event;
	state->watermark = header.watermark;
	state->punctuation = header.punctuation;
	for (int i = 0; i < header.npositions; i++)
	{
		int32 length;

		if (end - data < (ptrdiff_t) sizeof(length))
			elog(ERROR, "streamfuse position is too short");
		memcpy(&length, data, sizeof(length));
		data += sizeof(length);
		if (length < 0 || end - data < length)
			elog(ERROR, "streamfuse position is too short");
		state->positions = lappend(state->positions, sf_position_load(context, data, length));
		data += length;
	}
	MemoryContextSwitchTo(old);
	return state;
}

SfSourceState *
sf_source_state_copy(MemoryContext context, const SfSourceState *state)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfSourceState *copy = palloc(sizeof(SfSourceState));
	ListCell *cell;

	*copy = *state;
	copy->positions = NIL;
	foreach (cell, state->positions)
		copy->positions = lappend(copy->positions, sf_position_copy(context, lfirst(cell)));
	MemoryContextSwitchTo(old);
	return copy;
}

void
sf_progress_init(SfProgress *progress, MemoryContext context)
{
	memset(progress, 0, sizeof(SfProgress));
	progress->closed_until = SF_TIME_MINUS_INFINITY;
	progress->last_closed = SF_TIME_MINUS_INFINITY;
	progress->adopted_until = SF_TIME_MINUS_INFINITY;
	progress->context = context;
}

static void
reserve_missed(SfProgress *progress, int n)
{
	if (n <= progress->max_missed)
		return;
	progress->max_missed = Max(8, Max(n, 2 * progress->max_missed));
	if (progress->missed == NULL)
		progress->missed = MemoryContextAlloc(progress->context, progress->max_missed * sizeof(SfMissed));
	else
		progress->missed = repalloc_huge(progress->missed, progress->max_missed * sizeof(SfMissed));
}

/* The list is kept ordered by start, so that a burst of late rows costs a binary search each. */
void
sf_progress_add_missed(SfProgress *progress, SfTime start, SfTime end, TimestampTz now)
{
	int low = 0;
	int high = progress->nmissed;
	SfMissed *entry;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (progress->missed[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < progress->nmissed && progress->missed[low].start == start)
	{
		progress->missed[low].rows++;
		progress->missed[low].last = now;
		return;
	}
	reserve_missed(progress, progress->nmissed + 1);
	entry = &progress->missed[low];
	memmove(entry + 1, entry, (progress->nmissed - low) * sizeof(SfMissed));
	progress->nmissed++;
	*entry = (SfMissed){start, end, 1, now, now};
}

void
sf_progress_prepare(SfBlobSpace *space, SfTick tick, const SfProgress *progress, StringInfo flat_source)
{
	SfFragment *fragment = space->fragment;
	FlatHeader header = {progress->counters, progress->closed_until, progress->last_closed, progress->nmissed,
	                     flat_source->len};
	Size missed_size = progress->nmissed * sizeof(SfMissed);
	Size size = sizeof(header) + missed_size + flat_source->len;
	SfSharedPosition *slot = fragment->position[0].tick <= fragment->position[1].tick ? &fragment->position[0]
	                                                                                  : &fragment->position[1];
	char *data;

	if (slot->capacity < size)
	{
		Size capacity = MAXALIGN(size + size / 2);
		dsa_pointer fresh = sf_state_allocate(space, capacity);
		dsa_pointer stale;

		LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
		stale = slot->data;
		slot->tick = SF_TICK_NONE;
		slot->data = fresh;
		LWLockRelease(&fragment->lock);
		if (DsaPointerIsValid(stale))
			sf_state_free(space, stale, slot->capacity);
		slot->capacity = capacity;
	}

	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	slot->tick = SF_TICK_NONE;
	data = dsa_get_address(space->area, slot->data);
	memcpy(data, &header, sizeof(header));
	data += sizeof(header);
	if (missed_size > 0)
		memcpy(data, progress->missed, missed_size);
	memcpy(data + missed_size, flat_source->data, flat_source->len);
	slot->size = size;
	slot->tick = tick;
	LWLockRelease(&fragment->lock);
}

void
sf_progress_unprepare(SfFragment *fragment, SfTick tick)
{
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	for (int i = 0; i < 2; i++)
		if (fragment->position[i].tick >= tick)
			fragment->position[i].tick = SF_TICK_NONE;
	LWLockRelease(&fragment->lock);
}

/* Copies the newest flat state not newer than tick; NULL when there is none. */
static char *
copy_flat(SfFragment *fragment, SfTick tick, MemoryContext context)
{
	char *copy = NULL;
	Size size = 0;

	/* Memory is taken before the lock, so the size is looked at twice. */
	for (;;)
	{
		SfSharedPosition *best = NULL;
		bool fits;

		LWLockAcquire(&fragment->lock, LW_SHARED);
		for (int i = 0; i < 2; i++)
		{
			SfSharedPosition *slot = &fragment->position[i];

			if (slot->tick != SF_TICK_NONE && slot->tick <= tick && (best == NULL || slot->tick > best->tick))
				best = slot;
		}
		if (best == NULL)
		{
			LWLockRelease(&fragment->lock);
			return NULL;
		}
		fits = best->size <= size;
		if (fits)
			memcpy(copy, dsa_get_address(sf_area(), best->data), best->size);
		else
			size = best->size;
		LWLockRelease(&fragment->lock);
		if (fits)
			return copy;
		if (copy != NULL)
			pfree(copy);
		copy = MemoryContextAllocHuge(context, size);
	}
}

bool
sf_progress_read(SfFragment *fragment, SfTick tick, MemoryContext context, SfProgress *progress, SfSourceState **source)
{
	char *flat = copy_flat(fragment, tick, context);
	char *at = flat;
	FlatHeader header;

	if (flat == NULL)
		return false;
	memcpy(&header, at, sizeof(header));
	at += sizeof(header);
	if (progress != NULL)
	{
		sf_progress_init(progress, context);
		progress->counters = header.counters;
		progress->closed_until = header.closed_until;
		progress->last_closed = header.last_closed;
		reserve_missed(progress, header.nmissed);
		progress->nmissed = header.nmissed;
		if (header.nmissed > 0)
			memcpy(progress->missed, at, header.nmissed * sizeof(SfMissed));
	}
	at += header.nmissed * sizeof(SfMissed);
	if (source != NULL)
		*source = sf_source_state_load(context, at, header.source_size);
	pfree(flat);
	return true;
}
