/*
 * pins.c
 *		What open readers may still need: the worker's look at the pin slots of all backends.
 *
 * P1. A backend writes its slot, then, after a full fence, reads `published` again, and retries unless it has not
 *     moved.  The worker publishes, then, after a full fence, reads the slots.  So a horizon either sees the slot or
 *     was taken when the pinned tick was the published one, which no horizon exceeds.
 *     A pin is never outside of what its slot has as oldest and newest tick.
 * P2. Expiring is written before the fragment's lock is taken to free memory, and readers ask under that lock.
 */
#include "state/pins.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "miscadmin.h"

/* The oldest tick that a slot's owner may still read at: pins older than `expired` were given up, newer ones were not. */
static SfTick
oldest_kept(SfPinSlot *slot, SfTick pinned)
{
	SfTick expired = pg_atomic_read_u64(&slot->expired);

	if (pinned >= expired)
		return pinned;
	return pg_atomic_read_u64(&slot->newest) >= expired ? expired : SF_TICK_MAX;
}

void
sf_pin_horizon(Oid database, SfTick *tick, uint64 *xmin)
{
	SfDataflow *dataflow = sf_dataflow_get(database, false);

	*tick = dataflow != NULL ? pg_atomic_read_u64(&dataflow->published) : SF_TICK_NONE;
	*xmin = U64FromFullTransactionId(ReadNextFullTransactionId());
	pg_memory_barrier();
	for (int i = 0; i < MaxBackends; i++)
	{
		SfPinSlot *slot = &sf_shared->pins[i];
		SfTick pinned = pg_atomic_read_u64(&slot->tick);

		if (pinned == SF_TICK_MAX || pg_atomic_read_u32(&slot->database) != database)
			continue;
		pg_read_barrier();
		*xmin = Min(*xmin, pg_atomic_read_u64(&slot->xmin));
		*tick = Min(*tick, oldest_kept(slot, pinned));
	}
}

void
sf_pin_expire(Oid database, SfTick tick)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		SfPinSlot *slot = &sf_shared->pins[i];

		if (pg_atomic_read_u32(&slot->database) == database && pg_atomic_read_u64(&slot->tick) < tick &&
		    pg_atomic_read_u64(&slot->expired) < tick)
			pg_atomic_write_u64(&slot->expired, tick);
	}
	pg_memory_barrier();
}

/* What a slot without a pin says is of its last owner, maybe in another database: pinning for the first time clears it. */
static bool
has_expired(SfPinSlot *slot, SfTick tick)
{
	return pg_atomic_read_u64(&slot->tick) != SF_TICK_MAX && tick < pg_atomic_read_u64(&slot->expired);
}

bool
sf_pin_expired(SfTick tick)
{
	return has_expired(&sf_shared->pins[sf_backend_number()], tick) ||
	       (IsParallelWorker() && has_expired(&sf_shared->pins[sf_leader_number()], tick));
}
