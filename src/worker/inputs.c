/*
 * inputs.c
 *		The scans that feed a member, one for each stream that it reads, and what they come to together.
 *
 * A member takes part in a tick as soon as one of its scans does: where a lock keeps another out, what that one has
 * counted stays as it is.  The member's position is that of all its scans; its watermark is the lowest of theirs, so a
 * stream that has no rows yet, or that is held up, holds it.  All is asked for in a tick, of the tick under way (a scan's
 * `next`), or between ticks, of the published one.
 */
#include "worker/dataflow.h"

#include "fault.h"

/* As of the tick under way, where the scan takes part in it. */
static const SfSourceState *
present_state(const SfSource *source)
{
	return source->next != NULL ? source->next : source->state;
}

bool
sf_member_has_sources(const SfMember *member)
{
	return member->row.nstreams > 0 && member->sources[0] != NULL;
}

SfTime
sf_member_watermark(const SfMember *member)
{
	SfTime lowest = SF_TIME_INFINITY;

	for (int i = 0; i < member->row.nstreams; i++)
		if (i == 0 || !SF_BUG("watermark-of-first-stream"))
			lowest = Min(lowest, present_state(member->sources[i])->watermark);
	return lowest;
}

bool
sf_member_was_reset(const SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
		if (member->sources[i]->reset)
			return true;
	return false;
}

bool
sf_member_is_complete(const SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
		if (member->sources[i]->skipped || !member->sources[i]->complete)
			return false;
	return true;
}

bool
sf_member_takes_small_ticks(const SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
		if (!member->sources[i]->small)
			return false;
	return true;
}

uint64
sf_member_tick_rows(const SfMember *member)
{
	uint64 rows = 0;

	for (int i = 0; i < member->row.nstreams; i++)
		if (!member->sources[i]->skipped)
			rows += member->sources[i]->rows;
	return rows;
}

uint64
sf_member_pages_read(const SfMember *member)
{
	uint64 pages = 0;

	for (int i = 0; i < member->row.nstreams; i++)
		pages += sf_source_pages_read(member->sources[i]);
	return pages;
}

/* Members that share scans share their flat form, too: a scan that takes part in the tick has it at hand. */
void
sf_member_save_position(const SfMember *member, StringInfo out)
{
	sf_position_set_begin(out, member->row.nstreams);
	for (int i = 0; i < member->row.nstreams; i++)
	{
		const SfSource *source = member->sources[i];
		StringInfoData own;

		if (source->next != NULL && source->flat.len > 0 && (i == 0 || !SF_BUG("position-of-first-stream")))
		{
			sf_position_set_add(out, source->flat.data, source->flat.len);
			continue;
		}
		initStringInfo(&own);
		sf_source_state_save(i == 0 || !SF_BUG("position-of-first-stream") ? present_state(source) : source->state,
		                     &own);
		sf_position_set_add(out, own.data, own.len);
		pfree(own.data);
	}
}

void
sf_member_forget_batches(const SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
		sf_source_forget_batch(member->sources[i]);
}

/* Takes a member out of all its scans; those that feed nobody else are gone. */
void
sf_member_leave_sources(SfWorker *worker, SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
	{
		SfSource *source = member->sources[i];

		if (source == NULL)
			continue;
		sf_source_remove(source, member);
		if (source->members == NIL)
			sf_source_destroy(worker, source);
	}
}

/* Gives a member scans of its own, at the positions it was last published with; where it has one, that stays. */
void
sf_member_detach(SfWorker *worker, SfMember *member)
{
	for (int i = 0; i < member->row.nstreams; i++)
	{
		SfSource *source = member->sources[i];

		if (source == NULL || list_length(source->members) == 1)
			continue;
		sf_source_remove(source, member);
		sf_source_add(sf_source_create(worker, source->stream, source->state), member);
	}
}
