/*
 * list.c
 *		Append-only lists of rows in DSA.
 *
 * Invariants:
 *	L1	Bytes of a segment are written once, behind those that any head counts; so they need no lock.
 *	L2	A segment knows how much of the one before it is used, and how many entries come before its own: a head needs to
 *		say that only of the last.
 *	L3	A segment made in this tick is in no pre-image.
 *
 * A new segment is linked by one store to the head, when all else of it is written: who follows the head of a worker
 * that has died finds a whole chain.  In local memory (an SfBlobSpace without area) segments are freed one by one only where
 * the space names their context.
 */
#include "state/list.h"

#include "utils/memutils.h"

#define MIN_SEGMENT 256
#define MAX_SEGMENT (32 * 1024)

typedef struct Segment /* in DSA, or in local memory */
{
	SfTick tick; /* that made it */
	dsa_pointer previous;
	uint64 previous_used;
	uint64 before; /* entries in all before it */
	uint64 capacity;
	char data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} Segment;

static Segment *
segment_at(dsa_area *area, dsa_pointer pointer)
{
	if (SfPointerIsLocal(pointer))
		return SfPointerToLocal(pointer);
	return dsa_get_address(area, pointer);
}

static Size
segment_bytes(uint64 capacity)
{
	return offsetof(Segment, data) + capacity;
}

static const SfEntry *
entry_at(const Segment *segment, uint64 at)
{
	return (const SfEntry *) (segment->data + at);
}

static dsa_pointer
make_segment(SfBlobSpace *space, const SfList *list, uint32 needed)
{
	Size size = MIN_SEGMENT;
	dsa_pointer pointer;
	Segment *segment;

	if (DsaPointerIsValid(list->last))
		size = Min(MAX_SEGMENT, 2 * segment_bytes(segment_at(space->area, list->last)->capacity));
	size = Max(size, segment_bytes(needed));
	if (space->area != NULL)
		pointer = sf_state_allocate(space, size);
	else
		pointer = SfLocalToPointer(
		    MemoryContextAllocHuge(space->local != NULL ? space->local : CurrentMemoryContext, size));
	segment = segment_at(space->area, pointer);
	segment->tick = space->tick;
	segment->previous = list->last;
	segment->previous_used = list->used;
	segment->before = list->count;
	segment->capacity = size - offsetof(Segment, data);
	return pointer;
}

/* Room for so many bytes more in the last segment. */
static char *
reserve(SfBlobSpace *space, SfList *list, uint32 length)
{
	Segment *segment = DsaPointerIsValid(list->last) ? segment_at(space->area, list->last) : NULL;

	Assert(length == MAXALIGN(length));
	if (segment == NULL || list->used + length > segment->capacity)
	{
		dsa_pointer pointer = make_segment(space, list, length);

		segment = segment_at(space->area, pointer);
		pg_write_barrier();
		list->last = pointer;
		list->used = 0;
		if (!DsaPointerIsValid(list->first))
			list->first = pointer;
	}
	return segment->data + list->used;
}

SfEntry *
sf_list_append(SfBlobSpace *space, SfList *list, uint32 length)
{
	SfEntry *entry = (SfEntry *) reserve(space, list, length);

	entry->length = length;
	list->used += length;
	list->bytes += length;
	list->count++;
	return entry;
}

void
sf_list_append_flat(SfBlobSpace *space, SfList *list, const char *data, uint32 length)
{
	const char *end = data + length;

	while (data < end)
	{
		uint32 entry_length;
		const char *bytes = data;

		sf_flat_read(&bytes, end, &entry_length, sizeof(entry_length));
		if (entry_length < SfEntryLength(SizeofMinimalTupleHeader) || entry_length != MAXALIGN(entry_length))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("saved state of a continuous view is damaged"),
			                errhint("REFRESH MATERIALIZED VIEW computes it anew from the stream.")));
		bytes = sf_flat_bytes(&data, end, entry_length);
		memcpy(sf_list_append(space, list, entry_length), bytes, entry_length);
	}
}

/* The segments of a list, the oldest first; nused[i]: bytes in use of each. */
static Segment **
list_segments(SfBlobSpace *space, const SfList *list, uint64 **nused, int *n)
{
	dsa_pointer pointer;
	Segment **segments;
	int i = 0;

	for (pointer = list->last; DsaPointerIsValid(pointer); pointer = segment_at(space->area, pointer)->previous)
		i++;
	*n = i;
	segments = palloc_extended(sizeof(Segment *) * Max(i, 1), MCXT_ALLOC_HUGE);
	*nused = palloc_extended(sizeof(uint64) * Max(i, 1), MCXT_ALLOC_HUGE);
	for (pointer = list->last; i > 0; pointer = segments[i]->previous)
	{
		uint64 used = i == *n ? list->used : segments[i]->previous_used;

		i--;
		segments[i] = segment_at(space->area, pointer);
		(*nused)[i] = used;
	}
	return segments;
}

const SfEntry **
sf_list_entries(SfBlobSpace *space, const SfList *list)
{
	const SfEntry **entries = palloc_extended(sizeof(SfEntry *) * Max(list->count, 1), MCXT_ALLOC_HUGE);
	uint64 *used;
	uint64 count = 0;
	int nsegments;
	Segment **segments = list_segments(space, list, &used, &nsegments);

	for (int i = 0; i < nsegments; i++)
		for (uint64 at = 0; at < used[i]; at += entry_at(segments[i], at)->length)
			entries[count++] = entry_at(segments[i], at);
	if (count != list->count)
		elog(ERROR, "list has %llu entries instead of %llu", (unsigned long long) count,
		     (unsigned long long) list->count);
	pfree(segments);
	pfree(used);
	return entries;
}

/* The segment that holds an entry (or its end, where there is none), what is used of it, and where the entry begins. */
static dsa_pointer
find_entry(SfBlobSpace *space, const SfList *list, uint64 index, uint64 *used, uint64 *at)
{
	dsa_pointer pointer = list->last;
	Segment *segment = segment_at(space->area, pointer);

	*used = list->used;
	while (segment->before > index)
	{
		*used = segment->previous_used;
		pointer = segment->previous;
		segment = segment_at(space->area, pointer);
	}
	*at = 0;
	for (uint64 i = segment->before; i < index; i++)
		*at += entry_at(segment, *at)->length;
	return pointer;
}

void
sf_list_save(SfBlobSpace *space, const SfList *list, uint64 *at, uint32 most, StringInfo out)
{
	uint32 length = 0;

	while (*at < list->count)
	{
		uint64 used;
		uint64 offset;
		dsa_pointer pointer = find_entry(space, list, *at, &used, &offset);
		Segment *segment = segment_at(space->area, pointer);

		for (; offset < used; offset += entry_at(segment, offset)->length)
		{
			const SfEntry *entry = entry_at(segment, offset);

			if (length > 0 && length + entry->length > most)
				return;
			appendBinaryStringInfo(out, (const char *) entry, entry->length);
			length += entry->length;
			(*at)++;
		}
	}
}

/* Frees from the last segment back to one that stays. */
static void
free_back_to(SfBlobSpace *space, dsa_pointer last, dsa_pointer kept)
{
	if (space->area == NULL && space->local == NULL)
		return;
	while (DsaPointerIsValid(last) && last != kept)
	{
		Segment *segment = segment_at(space->area, last);
		dsa_pointer previous = segment->previous;

		if (space->area == NULL)
			pfree(segment);
		else
			sf_state_free(space, last, segment_bytes(segment->capacity));
		last = previous;
	}
}

void
sf_list_free(SfBlobSpace *space, const SfList *list)
{
	free_back_to(space, list->last, InvalidDsaPointer);
}

void
sf_list_free_newer(SfBlobSpace *space, const SfList *list, const SfList *older)
{
	free_back_to(space, list->last, sf_list_is_replaced(older, list) ? InvalidDsaPointer : older->last);
}

void
sf_list_rewind(SfBlobSpace *space, SfList *list, const SfList *to)
{
	SfList old = *list;

	Assert(!sf_list_is_replaced(to, list));
	*list = *to;
	sf_list_free_newer(space, &old, to);
}

void
sf_list_cut(SfBlobSpace *space, SfList *list, uint64 count)
{
	SfList to = *list;
	uint64 used;

	if (count >= list->count)
		return;
	if (count == 0)
	{
		sf_list_clear(space, list);
		return;
	}
	to.last = find_entry(space, list, count, &used, &to.used);
	if (space->area != NULL && segment_at(space->area, list->first)->tick != space->tick)
		elog(ERROR, "list of an earlier tick cannot be cut");
	to.count = count;
	to.bytes = to.used;
	for (Segment *segment = segment_at(space->area, to.last); DsaPointerIsValid(segment->previous);
	     segment = segment_at(space->area, segment->previous))
		to.bytes += segment->previous_used;
	sf_list_rewind(space, list, &to);
}

void
sf_list_clear(SfBlobSpace *space, SfList *list)
{
	dsa_pointer last = list->last;

	memset(list, 0, sizeof(SfList));
	while (space->area != NULL && DsaPointerIsValid(last))
	{
		Segment *segment = segment_at(space->area, last);
		dsa_pointer previous = segment->previous;

		if (segment->tick != space->tick)
			break;
		sf_state_free(space, last, segment_bytes(segment->capacity));
		last = previous;
	}
}

uint64
sf_list_capacity(SfBlobSpace *space, const SfList *list)
{
	uint64 bytes = 0;

	for (dsa_pointer pointer = list->last; DsaPointerIsValid(pointer);
	     pointer = segment_at(space->area, pointer)->previous)
		bytes += segment_at(space->area, pointer)->capacity;
	return bytes;
}

void
sf_list_copy(MemoryContext context, dsa_area *area, SfList *list)
{
	Segment *copy;
	uint64 used = list->used;
	uint64 end = list->bytes;

	if (!DsaPointerIsValid(list->last))
		return;
	copy = MemoryContextAllocHuge(context, segment_bytes(list->bytes));
	*copy = (Segment){.tick = SF_TICK_NONE, .previous = InvalidDsaPointer, .capacity = list->bytes};
	for (dsa_pointer pointer = list->last; DsaPointerIsValid(pointer);)
	{
		Segment *segment = segment_at(area, pointer);

		end -= used;
		memcpy(copy->data + end, segment->data, used);
		used = segment->previous_used;
		pointer = segment->previous;
	}
	list->first = list->last = SfLocalToPointer(copy);
	list->used = list->bytes;
}
