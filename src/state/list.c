/*
 * list.c
 *		Append-only lists of rows in DSA.
 *
 * Invariants:
 *	L1	Bytes of a segment are written once, behind those that any head counts; so they need no lock.
 *	L2	A segment knows how much of the one before it is used, and how many entries come before its own: a head needs to
 *		say that only of the last.
 *	L3	A segment made in this tick is in no pre-image.
 *	L4	The table of a set's newest segment has a slot for each entry that the newest head counts, of all segments, and no
 *		other; that of an older one is what it was when the next was made, so that a head can go back there.  A slot is
 *		written after the head counts its entry, and erased before the entry is written over.  The first segment, which is
 *		short, has no table, and a local copy gets one when it is asked.
 *
 * A new segment is linked by one store to the head, when all else of it is written: who follows the head of a worker
 * that has died finds a whole chain.  In local memory (an SfBlobSpace without area) segments are freed one by one only where
 * the space names their context.
 */
#include "state/list.h"

#include "utils/memutils.h"

#include "fault.h"

#define MIN_SEGMENT 256
#define MIN_SET_SEGMENT 128
#define MAX_SEGMENT (32 * 1024)
#define MAX_SET_SEGMENT (16 * 1024 * 1024)

typedef struct Segment /* in DSA, or in local memory */
{
	SfTick tick; /* that made it */
	dsa_pointer previous;
	uint64 previous_used;
	uint64 before; /* entries in all before it */
	uint64 capacity;
	uint64 start;  /* bytes in all before it */
	uint64 *table; /* local memory only: one that was made later */
	uint32 nslots; /* of the table behind the data; 0: none */

	/* The place of an entry that has been looked for; the next one mostly is behind it. */
	uint32 found; /* its number among the segment's, from 0, which is where none has been */
	uint32 found_at;
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
segment_bytes(const Segment *segment)
{
	return offsetof(Segment, data) + segment->capacity + segment->nslots * sizeof(uint64);
}

/* The code of each entry; where it is not exact its upper half, and below it (place in the list / MAXALIGN + 1).  0: free. */
static uint64 *
segment_table(Segment *segment)
{
	return segment->table != NULL ? segment->table : (uint64 *) (segment->data + segment->capacity);
}

static const SfEntry *
entry_at(const Segment *segment, uint64 at)
{
	return (const SfEntry *) (segment->data + at);
}

/* Slots for so many entries, a fifth of them free. */
static inline uint64
table_size(uint64 entries)
{
	return entries + entries / 4 + 1;
}

/* Twice as large as the one before, up to a bound; for entries of about this length. */
static dsa_pointer
make_segment(SfBlobSpace *space, const SfList *list, uint32 needed, bool is_set)
{
	Size most = is_set ? Max(MAX_SET_SEGMENT, list->bytes / 4) : MAX_SEGMENT;
	Size size = is_set ? MIN_SET_SEGMENT : MIN_SEGMENT;
	uint64 nslots = 0;
	dsa_pointer pointer;
	Segment *segment;

	if (DsaPointerIsValid(list->last))
		size = Min(most, 2 * (offsetof(Segment, data) + segment_at(space->area, list->last)->capacity));
	size = MAXALIGN(Max(size, offsetof(Segment, data) + needed));
	if (is_set && DsaPointerIsValid(list->last))
		nslots = table_size(list->count + (size - offsetof(Segment, data)) / needed);
	if (space->area != NULL)
		pointer = sf_state_allocate(space, size + nslots * sizeof(uint64));
	else
		pointer = SfLocalToPointer(MemoryContextAllocHuge(space->local != NULL ? space->local : CurrentMemoryContext,
		                                                  size + nslots * sizeof(uint64)));
	segment = segment_at(space->area, pointer);
	segment->tick = space->tick;
	segment->previous = list->last;
	segment->previous_used = list->used;
	segment->before = list->count;
	segment->start = list->bytes;
	segment->nslots = nslots;
	segment->table = NULL;
	segment->found = 0;
	segment->capacity = size - offsetof(Segment, data);
	return pointer;
}

static void
link_segment(SfBlobSpace *space, SfList *list, dsa_pointer pointer)
{
	pg_write_barrier();
	list->last = pointer;
	list->used = 0;
	if (!DsaPointerIsValid(list->first))
		list->first = pointer;
}

/* Room for so many bytes more in the last segment. */
static char *
reserve(SfBlobSpace *space, SfList *list, uint32 length)
{
	Segment *segment = DsaPointerIsValid(list->last) ? segment_at(space->area, list->last) : NULL;

	Assert(length == MAXALIGN(length));
	if (segment == NULL || list->used + length > segment->capacity)
	{
		dsa_pointer pointer = make_segment(space, list, length, false);

		segment = segment_at(space->area, pointer);
		link_segment(space, list, pointer);
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

/* The next entry of a flat form; moves *data behind it. */
static const char *
next_flat(const char **data, const char *end, uint32 *length)
{
	const char *bytes = *data;

	sf_flat_read(&bytes, end, length, sizeof(*length));
	if (*length < SfEntryWithoutValues || *length != MAXALIGN(*length))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("saved state of a continuous view is damaged"),
		                errhint("REFRESH MATERIALIZED VIEW computes it anew from the stream.")));
	return sf_flat_bytes(data, end, *length);
}

void
sf_list_append_flat(SfBlobSpace *space, SfList *list, const char *data, uint32 length)
{
	const char *end = data + length;

	while (data < end)
	{
		uint32 entry_length;
		const char *bytes = next_flat(&data, end, &entry_length);

		memcpy(sf_list_append(space, list, entry_length), bytes, entry_length);
	}
}

SfEntry *
sf_list_read_entry(const char **data, const char *end)
{
	uint32 length;
	const char *bytes = next_flat(data, end, &length);

	return memcpy(palloc(length), bytes, length);
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

/* So that a worker that dies in between leaves nothing wrong. */
static void
note_found(Segment *segment, uint64 number, uint64 at)
{
	segment->found = 0;
	pg_write_barrier();
	segment->found_at = at;
	pg_write_barrier();
	segment->found = number;
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
	if (index - segment->before < segment->found)
		segment->found = 0;
	*at = segment->found > 0 ? segment->found_at : 0;
	for (uint64 i = segment->before + segment->found; i < index; i++)
		*at += entry_at(segment, *at)->length;
	note_found(segment, index - segment->before, *at);
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

/* ---- sets ---- */

SfSetCode
sf_entry_code(const SfEntry *entry)
{
	return (SfSetCode){(uint64) entry->relation << 32 | entry->block, entry->offset != InvalidOffsetNumber};
}

static inline uint64
first_slot(uint64 code, uint64 nslots)
{
	return ((code >> 32) * nslots) >> 32;
}

static inline uint64
slot_value(SfSetCode code, uint64 at)
{
	return code.exact ? code.code : code.code | (at / MAXIMUM_ALIGNOF + 1);
}

/* The entry that a slot of a code which is not exact leads to. */
static const SfEntry *
entry_of_slot(dsa_area *area, const Segment *segment, uint64 slot)
{
	uint64 place = ((uint32) slot - 1) * (uint64) MAXIMUM_ALIGNOF;

	while (place < segment->start)
		segment = segment_at(area, segment->previous);
	return entry_at(segment, place - segment->start);
}

static void
add_slot(Segment *segment, uint64 value)
{
	uint64 *table = segment_table(segment);
	uint64 slot = first_slot(value, segment->nslots);

	while (table[slot] != 0)
		if (++slot == segment->nslots)
			slot = 0;
	table[slot] = value;
}

/* The table of a segment of a list: all entries of a head that has its last entry there. */
static void
fill_table(SfBlobSpace *space, Segment *segment, uint64 used)
{
	const Segment *from = segment;

	memset(segment_table(segment), 0, segment->nslots * sizeof(uint64));
	for (;;)
	{
		for (uint64 at = 0; at < used; at += entry_at(from, at)->length)
			add_slot(segment, slot_value(sf_entry_code(entry_at(from, at)), from->start + at));
		if (!DsaPointerIsValid(from->previous))
			break;
		used = from->previous_used;
		from = segment_at(space->area, from->previous);
	}
}

/* That of a new segment has what the one before has. */
static void
take_table(SfBlobSpace *space, Segment *segment)
{
	Segment *older;

	if (segment->nslots == 0)
		return;
	older = segment_at(space->area, segment->previous);
	memset(segment_table(segment), 0, segment->nslots * sizeof(uint64));
	if (SF_BUG("set-forgets-older-values"))
		return;
	if (older->nslots == 0)
		fill_table(space, segment, 0);
	for (uint64 slot = 0; slot < older->nslots; slot++)
		if (segment_table(older)[slot] != 0)
			add_slot(segment, segment_table(older)[slot]);
}

/* Frees a slot; those behind it that were put past it move up. */
static void
free_slot(Segment *segment, uint64 slot)
{
	uint64 *table = segment_table(segment);

	for (uint64 next = slot;;)
	{
		uint64 first;

		if (++next == segment->nslots)
			next = 0;
		if (table[next] == 0)
			break;
		first = first_slot(table[next], segment->nslots);
		if (slot <= next ? slot < first && first <= next : slot < first || first <= next)
			continue;
		table[slot] = table[next];
		slot = next;
	}
	table[slot] = 0;
}

/*
 * An entry's slot: none, or two, where a worker has died while it wrote or moved it.  All entries with the common code lose
 * theirs; they are not looked for in tables.
 */
static void
erase_slot(Segment *segment, uint64 value)
{
	uint64 *table = segment_table(segment);
	uint64 slot = first_slot(value, segment->nslots);

	while (table[slot] != 0)
	{
		if (table[slot] == value)
			free_slot(segment, slot);
		else if (++slot == segment->nslots)
			slot = 0;
	}
}

/* The entries of a segment from one place to another leave its table. */
static void
erase_slots(Segment *segment, uint64 from, uint64 to)
{
	if (segment->nslots == 0)
		return;
	for (uint64 at = from; at < to; at += entry_at(segment, at)->length)
		erase_slot(segment, slot_value(sf_entry_code(entry_at(segment, at)), segment->start + at));
}

static bool
set_is_full(const SfList *list, const Segment *segment, uint32 length)
{
	return list->used + length > segment->capacity ||
	       (segment->nslots > 0 && table_size(list->count + 1) > segment->nslots);
}

SfEntry *
sf_list_append_coded(SfBlobSpace *space, SfList *list, uint32 length, SfSetCode code)
{
	Segment *segment = DsaPointerIsValid(list->last) ? segment_at(space->area, list->last) : NULL;
	uint64 at;
	SfEntry *entry;

	Assert(length == MAXALIGN(length));
	if (segment == NULL || set_is_full(list, segment, length))
	{
		dsa_pointer pointer = make_segment(space, list, length, true);

		segment = segment_at(space->area, pointer);
		take_table(space, segment);
		link_segment(space, list, pointer);
	}
	at = list->used;
	entry = (SfEntry *) (segment->data + at);
	entry->length = length;
	entry->relation = (Oid) (code.code >> 32);
	entry->block = (BlockNumber) code.code;
	entry->offset = code.exact ? FirstOffsetNumber : InvalidOffsetNumber;
	entry->branch = 0;
	pg_write_barrier();
	list->used += length;
	list->bytes += length;
	list->count++;
	pg_write_barrier();
	if (segment->nslots > 0)
		add_slot(segment, slot_value(code, segment->start + at));
	return entry;
}

static inline bool
has_hash(uint64 slot, SfSetCode code)
{
	return (slot & ~(uint64) PG_UINT32_MAX) == code.code;
}

static bool
table_contains(dsa_area *area, Segment *segment, SfSetCode code, SfEntryMatches matches, void *arg)
{
	const uint64 *table = segment_table(segment);
	uint64 slot = first_slot(code.code, segment->nslots);

	while (table[slot] != 0)
	{
		if (code.exact ? table[slot] == code.code
		               : has_hash(table[slot], code) && matches(entry_of_slot(area, segment, table[slot]), arg))
			return true;
		if (++slot == segment->nslots)
			slot = 0;
	}
	return false;
}

static bool
entries_contain(dsa_area *area, const SfList *list, SfSetCode code, SfEntryMatches matches, void *arg)
{
	uint64 used = list->used;
	const Segment *segment;

	for (dsa_pointer pointer = list->last; DsaPointerIsValid(pointer); pointer = segment->previous)
	{
		segment = segment_at(area, pointer);
		for (uint64 at = 0; at < used; at += entry_at(segment, at)->length)
			if (sf_entry_code(entry_at(segment, at)).code == code.code && matches(entry_at(segment, at), arg))
				return true;
		used = segment->previous_used;
	}
	return false;
}

bool
sf_list_contains(SfBlobSpace *space, const SfList *list, SfSetCode code, SfEntryMatches matches, void *arg)
{
	Segment *segment;

	if (list->count == 0)
		return false;
	segment = segment_at(space->area, list->last);
	if (segment->nslots == 0 && space->area == NULL && segment->capacity > MIN_SET_SEGMENT)
	{
		segment->nslots = table_size(list->count);
		segment->table = MemoryContextAllocHuge(GetMemoryChunkContext(segment), segment->nslots * sizeof(uint64));
		fill_table(space, segment, list->used);
	}
	if (segment->nslots == 0 || (code.exact && code.code == SF_COMMON_CODE))
		return entries_contain(space->area, list, code, matches, arg);
	return table_contains(space->area, segment, code, matches, arg);
}

void
sf_list_prefetch_slot(SfBlobSpace *space, const SfList *list, SfSetCode code)
{
	Segment *segment = list->count > 0 ? segment_at(space->area, list->last) : NULL;

	if (segment != NULL && segment->nslots > 0)
		__builtin_prefetch(&segment_table(segment)[first_slot(code.code, segment->nslots)]);
}

void
sf_list_prefetch_entry(SfBlobSpace *space, const SfList *list, SfSetCode code)
{
	Segment *segment = list->count > 0 && !code.exact ? segment_at(space->area, list->last) : NULL;
	uint64 slot;

	if (segment == NULL || segment->nslots == 0)
		return;
	slot = segment_table(segment)[first_slot(code.code, segment->nslots)];
	if (slot != 0 && has_hash(slot, code))
		__builtin_prefetch(entry_of_slot(space->area, segment, slot) + 1);
}

/* A head goes back to an older one: what has come since is known no more in the segment that stays last. */
static void
erase_newer(SfBlobSpace *space, const SfList *list, const SfList *older)
{
	uint64 used = list->used;
	dsa_pointer pointer = list->last;

	while (DsaPointerIsValid(pointer) && pointer != older->last)
	{
		used = segment_at(space->area, pointer)->previous_used;
		pointer = segment_at(space->area, pointer)->previous;
	}
	if (!DsaPointerIsValid(pointer))
		return;
	segment_at(space->area, pointer)->found = 0;
	erase_slots(segment_at(space->area, pointer), older->used, used);
}

/* ---- giving back ---- */

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

		if (space->area != NULL)
			sf_state_free(space, last, segment_bytes(segment));
		else
		{
			if (segment->table != NULL)
				pfree(segment->table);
			pfree(segment);
		}
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
	bool is_replaced = sf_list_is_replaced(older, list);

	if (DsaPointerIsValid(older->last) && !is_replaced)
		erase_newer(space, list, older);
	else if (is_replaced && segment_at(space->area, older->last)->nslots > 0)
		fill_table(space, segment_at(space->area, older->last), older->used);
	free_back_to(space, list->last, is_replaced ? InvalidDsaPointer : older->last);
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
		sf_state_free(space, last, segment_bytes(segment));
		last = previous;
	}
}

uint64
sf_list_capacity(SfBlobSpace *space, const SfList *list)
{
	uint64 bytes = 0;

	for (dsa_pointer pointer = list->last; DsaPointerIsValid(pointer);
	     pointer = segment_at(space->area, pointer)->previous)
		bytes += segment_bytes(segment_at(space->area, pointer));
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
	copy = MemoryContextAllocHuge(context, offsetof(Segment, data) + list->bytes);
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
