/*
 * spill_private.h
 *		What spill.c and spill_write.c share: the worker's handle on what a fragment has in streamfuse.spilled.
 */
#ifndef SF_SPILL_PRIVATE_H
#define SF_SPILL_PRIVATE_H

#include "state/spill.h"

#include "storage/itemptr.h"
#include "utils/hsearch.h"

#include "state/store_private.h"

typedef struct TwinKey
{
	SfTime		start;			/* of its window */
	uint32		id;				/* of its group there */
	uint32		unused;			/* so that all of it can be hashed */
} TwinKey;

/* The row of a group that is in memory, too. */
typedef struct Twin
{
	TwinKey		key;
	ItemPointerData tid;
	Oid			file;			/* of the table, that tid is a place in: VACUUM FULL makes another */
	int32		length;			/* of the payload */
	SfTick		version;		/* the row says what the group was in this version; SF_TICK_NONE: it is out of date */
	SfTick		born;			/* tick that found it, SF_TICK_NONE once that is published */
	SfTick		removed;		/* tick that removed its group from memory, SF_TICK_NONE: it is there */
} Twin;

/* How far commits have come in going round. */
typedef struct SfSpillSearch
{
	/* For rows of forgotten groups, and what had been forgotten when it began. */
	int64		forget_hash;
	SfTime		forget_before;

	/* For cold groups. */
	SfTime		hand_start;
	uint32		hand_group;
	SfTick		hand_tick;		/* groups untouched since then are cold: it has been here at that time */
} SfSpillSearch;

struct SfSpill
{
	MemoryContext context;
	SfFragment *fragment;
	SfStore    *store;			/* borrowed; NULL while there is none */
	SfSpilled	spilled;		/* as of the last commit */

	HTAB	   *twins;			/* by TwinKey */
	Twin	  **changed;		/* born or removed in this tick */
	int			nchanged;
	int			max_changed;

	TwinKey    *leaving;		/* groups that have been written and are to be removed from memory */
	int			nleaving;
	int			max_leaving;
	int			left;			/* so many of them have been looked at in published ticks, */
	int			left_in_tick;	/* and with this one */
	bool		stuck;			/* in the last tick none could: there was no memory for pre-images */
	Size		leaving_bytes;	/* what they have in memory */

	/* Which keys have a row, or had one: those of the other keys are not looked for. */
	List	   *filters;		/* struct bloom_filter *, the newest first */
	int64		filter_room;	/* so many more go into the newest */
	int64		filter_size;	/* of so many that it is made for */
	Size		filter_bytes;

	SfSpillSearch search;		/* as of the last commit */
};

/* No row is left that the search has not been at. */
#define SF_SPILL_FORGET_DONE (INT64CONST(1) << 32)

static inline TwinKey
twin_key(SfTime start, uint32 id)
{
	return (TwinKey){start, id, 0};
}

extern void sf_spill_filter_add(SfSpill *spill, SfTime start, uint32 hash);
extern void sf_spill_show(SfSpill *spill, SfTick tick);
extern Twin *sf_spill_twin(SfSpill *spill, SfTime start, uint32 id);
extern Twin *sf_spill_add_twin(SfSpill *spill, SfTime start, uint32 id);
extern void sf_spill_find_row(SfSpill *spill, Twin *twin);
extern void sf_spill_drop_twin(SfSpill *spill, const TwinKey *key);

#endif							/* SF_SPILL_PRIVATE_H */
