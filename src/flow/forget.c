/*
 * forget.c
 *		Groups over all time that have been idle for longer than the view's state_ttl are forgotten.
 *
 * Idle against the watermark: a group's life is the greatest time of its rows, and it is over when that is further behind
 * the watermark than the ttl.  The watermark moves at the end of a tick, and so does the time before which lives are over;
 * a row of a later tick finds its group gone and begins a new one, and a reader leaves it out from that tick on.  So what is
 * forgotten follows from the rows and the watermark, and not from when memory is swept: each tick looks at some places
 * and removes what is over there.  It looks at more of them the more rows it has brought, so what is left over stays in
 * proportion.
 *
 * What is forgotten stays so: when the ttl is raised, when it is taken away, and when the watermark is set back.
 */
#include "flow/flow_private.h"

#include "common/int.h"

#include "plan/view.h"

/* Places that each tick looks at, and for each of its rows.  Tests are to meet groups that are over and not yet swept. */
#ifdef STREAMFUSE_TEST
#define SWEPT_PLACES 4
#else
#define SWEPT_PLACES 1024
#endif
#define SWEPT_PLACES_PER_ROW 2

/* The time before which lives are over, as of the end of the tick. */
static void
move_forgotten(SfProgress *progress, SfTime watermark, int64 ttl)
{
	SfTime before;

	if (ttl == SF_TTL_NONE || TIMESTAMP_NOT_FINITE(watermark) || pg_sub_s64_overflow(watermark, ttl, &before))
		return;
	progress->forgotten_before = Max(progress->forgotten_before, before);
}

int
sf_flow_forget(SfFlow *flow, SfTime watermark, int64 ttl, uint64 rows)
{
	SfProgress *progress = flow->progress;
	SfWindow *window;

	if (!sf_is_windowless(flow->definition) || !flow->definition->layout->groups_leave)
		return 0;
	move_forgotten(progress, watermark, ttl);
	if (progress->forgotten_before == SF_LIFE_LEAST)
		return 0;
	sf_store_forget_before(flow->store, progress->forgotten_before);
	window = sf_store_find_window(flow->store, SF_TIME_MINUS_INFINITY);
	if (window == NULL)
		return 0;
	return sf_store_sweep(flow->store, window, progress->forgotten_before,
	                      (uint32) Min(SWEPT_PLACES + SWEPT_PLACES_PER_ROW * rows, PG_UINT32_MAX));
}

void
sf_flow_note_time(SfFlow *flow, int i, SfGroup *group)
{
	int column = flow->branch->life_attnum - 1;
	int row = flow->selected[i];

	if (!flow->batch->nulls[column][row])
		sf_group_note_time(flow->definition->layout, group->data, DatumGetInt64(flow->batch->values[column][row]));
}
