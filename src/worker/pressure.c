/*
 * pressure.c
 *		Which views give up memory, and how much: before memory is full, cold groups go to streamfuse.spilled.
 *
 * Looked at after each tick.  When the state of all views passes the high mark, the view with the most pays, as far as
 * its groups can leave memory; a view that passes its own bound, max_state, pays in any case.  Three steps follow
 * (state/spill.h): a commit writes the groups' rows, the next tick removes them, and the commit after it says so, from
 * when their places are free.  The room between the high mark and the limit is for the ticks in between, and ticks take
 * no more than a part of it (sf_members_most_pages).  One that still runs out is undone and tried in smaller pieces, and
 * at last without rows.
 */
#include "worker/dataflow.h"

#include "fault.h"

#define MB (UINT64CONST(1024) * 1024)

/*
 * Room that is kept free: a tick's pre-images, and places for groups that have yet to be given back.  A tick reads at
 * least what inserts may still write to, however small the memory is.
 */
#define KEPT_FREE(limit) Min((limit) / 2, (limit) / 4 + 32 * MB)

/* What is spilled at once, of the high mark. */
#define SPILLED_AT_ONCE(mark) ((mark) / 8)

/* What filters take counts, but not their least size, and no more than such a part: groups leave because of groups. */
#define FREE_FILTER_BYTES (1024 * 1024)
#define COUNTED_FILTER_BYTES(limit) ((limit) / 4)

#ifdef STREAMFUSE_TEST
bool sf_test_spill = false;
#endif

/* Groups that are forgotten after a time stay in memory until then: nobody would look for them in the table. */
bool
sf_member_can_spill(const SfMember *member)
{
	return member->store != NULL && !sf_member_stopped(member) && member->state_ttl == SF_TTL_NONE &&
	       sf_spill_is_on(member->spill);
}

/*
 * Groups that leave in a tick come back when its rows find no memory.  So where memory is full, or a tick has run out in
 * small pieces, the next one takes no rows, and what is to leave leaves.
 */
bool
sf_member_makes_room(const SfMember *member)
{
	bool full = pg_atomic_read_u64(&sf_shared->state_bytes) >= sf_state_memory_mb * MB;

	return (full || member->tick_trouble.out_of_memory) && sf_spill_is_leaving(member->spill) &&
	       !SF_BUG("no-tick-without-rows");
}

/* What a view has in memory, but for what is free or about to be. */
static uint64
used_bytes(SfMember *member)
{
	uint64 bytes = pg_atomic_read_u64(&member->shared->bytes);
	uint64 unused = 0;

	if (member->store != NULL)
		unused = sf_store_free_bytes(member->store) + sf_spill_leaving_bytes(member->spill);
	return bytes - Min(bytes, unused);
}

/* Of all views of all databases; of those of others no more is known than what they hold. */
static uint64
total_bytes(SfWorker *worker, uint64 limit)
{
	uint64 total = pg_atomic_read_u64(&sf_shared->state_bytes);
	uint64 filters = 0;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);
		uint64 filter = sf_spill_filter_bytes(member->spill);

		total -= Min(total, pg_atomic_read_u64(&member->shared->bytes));
		total += used_bytes(member);
		filters += filter - Min(filter, FREE_FILTER_BYTES);
	}
	return total + Min(filters, COUNTED_FILTER_BYTES(limit));
}

/* The view with the most that can leave. */
static SfMember *
largest_member(SfWorker *worker)
{
	SfMember *largest = NULL;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (sf_member_can_spill(member) && (largest == NULL || used_bytes(member) > used_bytes(largest)))
			largest = member;
	}
	return largest;
}

/* Keeps a view to its own bound. */
static void
relieve_member(SfMember *member)
{
	uint64 used = used_bytes(member);

	member->to_spill = 0;
	member->free_places = false;
	if (!sf_member_can_spill(member))
		return;
	member->free_places = sf_spill_awaits_commit(member->spill);
	if (member->max_state > 0 && used > member->max_state)
		member->to_spill = used - member->max_state + SPILLED_AT_ONCE(member->max_state);
#ifdef STREAMFUSE_TEST
	if (sf_test_spill && sf_spill_has_cold(member->spill))
		member->to_spill = used;
#endif
}

/* Is there something to remove in the next tick, and will the member be in it? */
static bool
is_leaving(const SfMember *member)
{
	return sf_spill_is_leaving(member->spill) && !sf_member_stopped(member) && !member->unstarted &&
	       member->tick_trouble.retry_at == 0;
}

bool
sf_relieve(SfWorker *worker)
{
	uint64 limit = sf_state_memory_mb * MB;
	uint64 mark = limit - KEPT_FREE(limit);
	uint64 total = total_bytes(worker, limit);
	SfMember *largest;
	bool again = false;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		relieve_member(lfirst(cell));
		again |= is_leaving(lfirst(cell));
	}
	largest = total > mark ? largest_member(worker) : NULL;
	if (largest != NULL)
		largest->to_spill = Max(largest->to_spill, Min(total - mark + SPILLED_AT_ONCE(mark), used_bytes(largest)));
	return again;
}
