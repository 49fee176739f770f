/*
 * seal.c
 *		Moving the floor of a stream up behind its inserters, and knowing below which page no insert can happen any more.
 *
 * The floor stays some pages behind the end of the file (the lag), so that each inserting backend can go on filling the
 * page it is at.  A sealer is a process's own record of one stream; any number of positions of the stream share it.
 * The order is: publish a higher floor, copy all backends' insert counters, and once each odd counter has moved on, the
 * pages below that floor are sealed (invariants F1, F2 in floor.c).  That takes as long as one insert, whatever the
 * length of transactions.
 */
#include "stream/position.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "stream/floor.h"

#define LEAST_LAG 64

/*
 * Pages that each inserter may be behind: as many as the others fill while it waits for a processor.  With two an
 * inserter on a busy machine is often pushed off a page that is half full.
 */
#define LAG_PER_INSERTER 4

#ifdef STREAMFUSE_TEST
int sf_test_lag_pages = 0;
#endif

typedef struct Sealer
{
	Oid relid; /* hash key */
	Oid relfilenode;
	uint32 generation; /* of the floors, when the slot was found */
	SfFloorSlot *slot;
	SfSections *sections;  /* copied when the candidate was published */
	BlockNumber candidate; /* published as a floor, not known to be sealed; 0: none */
	BlockNumber sealed;
	int inserting; /* backends that have inserted lately */
} Sealer;

static HTAB *sealers;

static Sealer *
sealer_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	uint32 generation = sf_floor_generation();
	Sealer *sealer;
	SfFloorSlot *slot;
	bool found;

	if (sealers == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Sealer), .hcxt = TopMemoryContext};

		sealers = hash_create("streamfuse sealers", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	sealer = hash_search(sealers, &relid, HASH_FIND, NULL);
	if (sealer != NULL && sealer->generation == generation && sealer->relfilenode == sf_file_number(rel))
		return sealer;

	/* Somebody took or gave back a slot: was it ours?  Then start anew, as its floor did. */
	slot = sf_floor_attach(MyDatabaseId, relid, sf_file_number(rel));
	sealer = hash_search(sealers, &relid, HASH_ENTER, &found);
	if (!found)
		sealer->sections = sf_sections_create(TopMemoryContext);
	if (!found || sealer->slot != slot || sealer->relfilenode != sf_file_number(rel) ||
	    sf_floor_get(slot) < Max(sealer->candidate, sealer->sealed))
	{
		sealer->slot = slot;
		sealer->relfilenode = sf_file_number(rel);
		sealer->sealed = 0;
		sealer->inserting = 0;
		/* A predecessor's floor: inserts that began before it may still be under way. */
		sealer->candidate = sf_floor_get(slot);
		sf_sections_copy(sealer->sections);
	}
	sealer->generation = sf_floor_generation();
	return sealer;
}

static BlockNumber
lag_of(const Sealer *sealer)
{
#ifdef STREAMFUSE_TEST
	if (sf_test_lag_pages > 0)
		return sf_test_lag_pages;
#endif
	return Max(LEAST_LAG, LAG_PER_INSERTER * sealer->inserting);
}

static void
publish_candidate(Sealer *sealer, BlockNumber nblocks)
{
	BlockNumber lag = lag_of(sealer);
	BlockNumber floor = nblocks > lag ? nblocks - 1 - lag : 0;

	if (floor <= sealer->sealed)
		return;
	sf_floor_publish(sealer->slot, floor);
	sealer->candidate = floor;
	sealer->inserting = sf_sections_copy(sealer->sections);
}

static void
take_candidate(Sealer *sealer)
{
	if (sealer->candidate > 0 && sf_sections_passed(sealer->sections))
	{
		sealer->sealed = sealer->candidate;
		sealer->candidate = 0;
	}
}

void
sf_capture_seal(SfPosition *position, Relation rel)
{
	Sealer *sealer = sealer_of(rel);

	/* After a restart: nothing may be inserted among the rows already counted. */
	if (sf_floor_get(sealer->slot) < position->frontier)
		sf_floor_publish(sealer->slot, position->frontier);

	take_candidate(sealer);
	if (sealer->candidate == 0)
	{
		publish_candidate(sealer, RelationGetNumberOfBlocks(rel));
		take_candidate(sealer);
	}
	position->sealed = sealer->sealed;
}
