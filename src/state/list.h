/*
 * list.h
 *		Append-only lists of rows in DSA: the inputs that an aggregate keeps.
 *
 * A list is a chain of segments from the newest to the oldest, and a head in the group that says how much of it there
 * is.  What stands in a list is never changed, so an older head of the same list is a prefix of it: a pre-image costs
 * the head, and a reader pinned earlier reads its prefix of the same segments.  A list that is replaced by another has
 * another first segment, by which the two are told apart; the older one then belongs to the pre-image, as a blob does.
 *
 * A list may be a set: then its newest segment has a hash table of all entries, by which the worker knows what there is.
 * The table belongs to the newest head and says nothing to readers; when a head goes back, what has come since is taken
 * out of it.
 */
#ifndef SF_LIST_H
#define SF_LIST_H

#include "streamfuse.h"

#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "state/blob.h"

typedef struct SfList			/* in a group's state; all zeros: empty */
{
	dsa_pointer first;			/* which list it is */
	dsa_pointer last;			/* the segment that is filled now */
	uint64		used;			/* bytes of that */
	uint64		count;			/* entries */
	uint64		bytes;			/* of all entries */
} SfList;

typedef struct SfEntry			/* a row: where it is, and its values */
{
	uint32		length;			/* with everything, MAXALIGNed */
	Oid			relation;		/* InvalidOid: of no place; of a set's entry: this and the next are its code */
	BlockNumber block;
	OffsetNumber offset;		/* of a set's entry: is the code exact? */
	uint16		branch;			/* that the row came by */
	MinimalTupleData values pg_attribute_aligned(MAXIMUM_ALIGNOF);
} SfEntry;

/* An entry of a set may be without values, where its code says what they are. */
#define SfEntryWithoutValues MAXALIGN(offsetof(SfEntry, values))
#define SfEntryLength(tuple_length) MAXALIGN(offsetof(SfEntry, values) + (tuple_length))

/* Adds an entry, of which the caller fills in all but the length; may raise for lack of memory. */
extern SfEntry *sf_list_append(SfBlobSpace *space, SfList *list, uint32 length);

/*
 * An entry of a set is found by a code.  An exact one is the entry's alone, but for SF_COMMON_CODE; of others the upper half
 * is a hash, and the lower is 0.
 */
typedef struct SfSetCode
{
	uint64		code;			/* never 0 if exact */
	bool		exact;
} SfSetCode;

#define SF_COMMON_CODE UINT64CONST(1)

/* Adds an entry that the set does not have. */
extern SfEntry *sf_list_append_coded(SfBlobSpace *space, SfList *list, uint32 length, SfSetCode code);
extern SfSetCode sf_entry_code(const SfEntry *entry);

/* Does the set have an entry with this code that is, where the code leaves it open, a match? */
typedef bool (*SfEntryMatches) (const SfEntry *entry, void *arg);
extern bool sf_list_contains(SfBlobSpace *space, const SfList *list, SfSetCode code, SfEntryMatches matches, void *arg);

/* Tells the processor that it will be asked so: first to fetch where tables lead, then, later, the entry that may match. */
extern void sf_list_prefetch_slot(SfBlobSpace *space, const SfList *list, SfSetCode code);
extern void sf_list_prefetch_entry(SfBlobSpace *space, const SfList *list, SfSetCode code);

/* Adds entries from their flat form, which need not be aligned. */
extern void sf_list_append_flat(SfBlobSpace *space, SfList *list, const char *data, uint32 length);

/* The next entry of those, as a copy in CurrentMemoryContext; moves *data. */
extern SfEntry *sf_list_read_entry(const char **data, const char *end);

/* Addresses of all entries, in CurrentMemoryContext. */
extern const SfEntry **sf_list_entries(SfBlobSpace *space, const SfList *list);

/* Appends the bytes of entries from *at on, no more than most but at least one; moves *at. */
extern void sf_list_save(SfBlobSpace *space, const SfList *list, uint64 *at, uint32 most, StringInfo out);

/* Takes off the end what this tick has added since; `to` is the head as it was. */
extern void sf_list_rewind(SfBlobSpace *space, SfList *list, const SfList *to);

/* The same by a number of entries, all others of this tick. */
extern void sf_list_cut(SfBlobSpace *space, SfList *list, uint64 count);

/* Empties a list within a tick: what earlier ticks have put there stays for the pre-image. */
extern void sf_list_clear(SfBlobSpace *space, SfList *list);

/* Frees the segments of a list, all or those that an older head (of whatever list) does not have. */
extern void sf_list_free(SfBlobSpace *space, const SfList *list);
extern void sf_list_free_newer(SfBlobSpace *space, const SfList *list, const SfList *older);

/* Is the older head's list another one, which belongs to its pre-image then? */
static inline bool
sf_list_is_replaced(const SfList *older, const SfList *list)
{
	return DsaPointerIsValid(older->first) && older->first != list->first;
}

/* Memory of all segments. */
extern uint64 sf_list_capacity(SfBlobSpace *space, const SfList *list);

/* A copy in the given local memory, in one segment. */
extern void sf_list_copy(MemoryContext context, dsa_area *area, SfList *list);

#endif /* SF_LIST_H */
