/*
 * stateless.c
 *		What a flow does where a row of the stream is a row of the view: filter, map, append.
 *
 * The rows of a tick form a window of their own in the store, closed by the tick that makes it.  So they are read from
 * memory until the transaction that writes them is seen, tagged, undone and given back like the groups of any closed
 * window.  There is nothing to checkpoint: a commit writes all rows up to its position.
 */
#include "flow/flow_private.h"

#include "executor/executor.h"

/* As in flow.c, where a row is a row of the view: none is ever late.  Windows have columns, and no other meaning. */
void
sf_flow_select_stateless(SfFlow *flow, SfBatch *batch)
{
	AttrNumber attnum = flow->branch->time_attnum;
	const Datum *times = attnum > 0 ? batch->values[attnum - 1] : NULL;
	const bool *time_nulls = attnum > 0 ? batch->nulls[attnum - 1] : NULL;
	bool has_window = flow->definition->has_window;
	SfPane pane = {0};

	for (int row = flow->at; row < batch->nrows; row++)
	{
		int n = flow->nselected;

		flow->at = row;
		if (has_window && time_nulls[row])
			continue;
		if (has_window && !sf_flow_pane_of(flow, DatumGetInt64(times[row]), &pane))
			continue;
		if (!has_window && flow->begins_at != SF_TIME_MINUS_INFINITY &&
		    (times == NULL || time_nulls[row] || DatumGetInt64(times[row]) < flow->begins_at))
			continue;
		if (flow->branch->filter != NULL)
		{
			sf_flow_load_row(flow, batch, row, pane.start, pane.end);
			if (!ExecQual(flow->branch->filter, flow->econtext))
				continue;
		}
		flow->selected[n] = row;
		flow->starts[n] = pane.start;
		flow->ends[n] = pane.end;
		flow->partly_late[n] = false;
		flow->nselected = n + 1;
	}
}

/*
 * Rows that cannot change are a window of their tick, closed as it is made.  Its number goes on from the last one that
 * was closed: it is durable with it.
 */
void
sf_flow_append(SfFlow *flow, int first, int n)
{
	SfProgress *progress = flow->progress;

	flow->nrow_touches = 0;
	if (flow->tick_window == NULL)
	{
		SfTime number = Max(progress->last_closed, 0) + 1;

		flow->tick_window = sf_store_assemble(flow->store, number, number);
		progress->last_closed = number;
	}
	for (int i = 0; i < flow->definition->nkeys; i++)
	{
		flow->columns_out[i] = flow->branch->keys[i].values;
		flow->nulls_out[i] = flow->branch->keys[i].nulls;
	}
	sf_store_append(flow->store, flow->tick_window, flow->columns_out, flow->nulls_out, first, n);
}

bool
sf_flow_has_output(const SfFlow *flow)
{
	return flow->tick_window != NULL;
}
