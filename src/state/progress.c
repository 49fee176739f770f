/*
 * progress.c
 *		Flat copies of a fragment's progress, two per fragment in DSA, written alternately.
 *
 * The copy for a tick is prepared before the tick is published and overwrites the older of the two; a reader takes the
 * newest that is not newer than its tick.  So at every moment one of them describes the last published tick, whatever
 * becomes of the worker.
 */
#include "state/progress.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "state/store.h"

/* What the flat form begins with; missed windows, failed rows, their messages and the position follow. */
typedef struct FlatHeader
{
	SfCounters counters;
	SfTime closed_until;
	SfTime last_closed;
	SfTime forgotten_before;
	int64 nmissed;
	int64 nfailed;
	int64 messages_size;
	int64 position_size;
} FlatHeader;

/* How many of the last failed rows are looked at for the same message. */
#define SAME_MESSAGE_ROWS 8

#define SOURCE_VERSION 2

typedef struct SourceHeader
{
	int32 version;
	int32 npositions;
	SfTime max_event;
	SfTime watermark;
	int64 punctuation;
	int64 last_reset;
} SourceHeader;

void
sf_source_state_save(const SfSourceState *state, StringInfo out)
{
	SourceHeader header = {SOURCE_VERSION,     list_length(state->positions),
	                       state->max_event,   state->watermark,
	                       state->punctuation, state->last_reset};
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

/* The next number of the flat form, which must not be greater than `most`. */
static int32
get_number(const char **data, const char *end, int32 most)
{
	int32 number;

	if (end - *data < (ptrdiff_t) sizeof(number))
		elog(ERROR, "streamfuse position is too short");
	memcpy(&number, *data, sizeof(number));
	*data += sizeof(number);
	if (number < 0 || number > most)
		elog(ERROR, "streamfuse position is too short");
	return number;
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
	state->last_reset = header.last_reset;
	for (int i = 0; i < header.npositions; i++)
	{
		int32 length = get_number(&data, end, size);

		if (end - data < length)
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
sf_position_set_begin(StringInfo out, int nstreams)
{
	int32 n = nstreams;

	appendBinaryStringInfo(out, (char *) &n, sizeof(n));
}

void
sf_position_set_add(StringInfo out, const char *flat, Size size)
{
	int32 length = size;

	appendBinaryStringInfo(out, (char *) &length, sizeof(length));
	appendBinaryStringInfo(out, flat, size);
}

List *
sf_position_set_load(MemoryContext context, const char *data, Size size)
{
	const char *end = data + size;
	int32 n = get_number(&data, end, size);
	List *states = NIL;

	for (int32 i = 0; i < n; i++)
	{
		int32 length = get_number(&data, end, size);
		MemoryContext old;

		if (end - data < length)
			elog(ERROR, "streamfuse position is too short");
		old = MemoryContextSwitchTo(context);
		states = lappend(states, sf_source_state_load(context, data, length));
		MemoryContextSwitchTo(old);
		data += length;
	}
	return states;
}

void
sf_progress_init(SfProgress *progress, MemoryContext context)
{
	memset(progress, 0, sizeof(SfProgress));
	progress->closed_until = SF_TIME_MINUS_INFINITY;
	progress->last_closed = SF_TIME_MINUS_INFINITY;
	progress->forgotten_before = SF_LIFE_LEAST;
	progress->adopted_until = SF_TIME_MINUS_INFINITY;
	progress->context = context;
}

static void
reserve_missed(SfProgress *progress, int n)
{
	sf_reserve(progress->context, progress->missed, progress->max_missed, n, 8);
}

/* The list is kept ordered by start and end, so that a burst of late rows costs a binary search each. */
void
sf_progress_add_missed(SfProgress *progress, SfTime start, SfTime end, int64 rows, TimestampTz now)
{
	int low = 0;
	int high = progress->nmissed;
	SfMissed *entry;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (progress->missed[middle].start < start ||
		    (progress->missed[middle].start == start && progress->missed[middle].end < end))
			low = middle + 1;
		else
			high = middle;
	}
	if (low < progress->nmissed && progress->missed[low].start == start && progress->missed[low].end == end)
	{
		progress->missed[low].rows += rows;
		progress->missed[low].last = now;
		return;
	}
	reserve_missed(progress, progress->nmissed + 1);
	entry = &progress->missed[low];
	memmove(entry + 1, entry, (progress->nmissed - low) * sizeof(SfMissed));
	progress->nmissed++;
	*entry = (SfMissed){start, end, rows, now, now};
}

static void
reserve_failed(SfProgress *progress, int nfailed, int messages_size)
{
	MemoryContext old = MemoryContextSwitchTo(progress->context);

	if (progress->messages.data == NULL)
		initStringInfo(&progress->messages);
	enlargeStringInfo(&progress->messages, messages_size);
	MemoryContextSwitchTo(old);
	sf_reserve(progress->context, progress->failed, progress->max_failed, nfailed, 64);
}

/* Where the message is to be found; rows that fail together mostly fail with the same. */
static int32
message_place(SfProgress *progress, const char *message)
{
	int length = pg_mbcliplen(message, strlen(message), SF_FAILED_MESSAGE_BYTES);
	int32 place;

	for (int i = progress->nfailed - 1; i >= 0 && i >= progress->nfailed - SAME_MESSAGE_ROWS; i--)
	{
		const char *other = progress->messages.data + progress->failed[i].message;

		if (strncmp(other, message, length) == 0 && other[length] == '\0')
			return progress->failed[i].message;
	}
	place = progress->messages.len;
	appendBinaryStringInfo(&progress->messages, message, length);
	appendStringInfoChar(&progress->messages, '\0');
	return place;
}

void
sf_progress_add_failed(SfProgress *progress, const SfFailedRow *row, const char *message)
{
	SfFailedRow *entry;

	reserve_failed(progress, progress->nfailed + 1, SF_FAILED_MESSAGE_BYTES + 1);
	entry = &progress->failed[progress->nfailed];
	*entry = *row;
	entry->message = message_place(progress, message);
	progress->nfailed++;
}

void
sf_progress_cut_failed(SfProgress *progress, int nfailed, int messages_size)
{
	progress->nfailed = nfailed;
	progress->messages.len = messages_size;
}

static char *
put(char *at, const void *bytes, Size size)
{
	if (size > 0)
		memcpy(at, bytes, size);
	return at + size;
}

static const char *
get(const char *at, void *bytes, Size size)
{
	if (size > 0)
		memcpy(bytes, at, size);
	return at + size;
}

void
sf_progress_prepare(SfBlobSpace *space, SfTick tick, const SfProgress *progress, StringInfo position)
{
	SfFragment *fragment = space->fragment;
	FlatHeader header = {.counters = progress->counters,
	                     .closed_until = progress->closed_until,
	                     .last_closed = progress->last_closed,
	                     .forgotten_before = progress->forgotten_before,
	                     .nmissed = progress->nmissed,
	                     .nfailed = progress->nfailed,
	                     .messages_size = progress->messages.len,
	                     .position_size = position->len};
	Size size = sizeof(header) + progress->nmissed * sizeof(SfMissed) + progress->nfailed * sizeof(SfFailedRow) +
	            progress->messages.len + position->len;
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
	data = put(data, &header, sizeof(header));
	data = put(data, progress->missed, progress->nmissed * sizeof(SfMissed));
	data = put(data, progress->failed, progress->nfailed * sizeof(SfFailedRow));
	data = put(data, progress->messages.data, progress->messages.len);
	data = put(data, position->data, position->len);
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
sf_progress_read(SfFragment *fragment, SfTick tick, MemoryContext context, SfProgress *progress, List **sources)
{
	char *flat = copy_flat(fragment, tick, context);
	const char *at = flat;
	FlatHeader header;

	if (flat == NULL)
		return false;
	at = get(at, &header, sizeof(header));
	if (progress != NULL)
	{
		sf_progress_init(progress, context);
		progress->counters = header.counters;
		progress->closed_until = header.closed_until;
		progress->last_closed = header.last_closed;
		progress->forgotten_before = header.forgotten_before;
		reserve_missed(progress, header.nmissed);
		reserve_failed(progress, header.nfailed, header.messages_size);
		progress->nmissed = header.nmissed;
		progress->nfailed = header.nfailed;
		progress->messages.len = header.messages_size;
		at = get(at, progress->missed, header.nmissed * sizeof(SfMissed));
		at = get(at, progress->failed, header.nfailed * sizeof(SfFailedRow));
		(void) get(at, progress->messages.data, header.messages_size);
	}
	at = flat + sizeof(header) + header.nmissed * sizeof(SfMissed) + header.nfailed * sizeof(SfFailedRow) +
	     header.messages_size;
	if (sources != NULL)
		*sources = sf_position_set_load(context, at, header.position_size);
	pfree(flat);
	return true;
}
