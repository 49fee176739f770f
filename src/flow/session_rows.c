/*
 * session_rows.c
 *		Rows that go into sessions: which pane each is counted in, and which come too late.
 *
 * A row that is not older than the watermark is on time.  One that is older may touch a session that is closed, or have
 * one of its own that would be: that depends on its keys, which are evaluated for it here already.  A row that is missed
 * dirties the span from the start of its pane to the end of the next one, in which it would have been a session's.
 */
#include "flow/flow_private.h"

#include "executor/executor.h"

#include "fault.h"
#include "time/session.h"

/* The session's keys of a row that is loaded, where expressions need that. */
static void
evaluate_keys(SfFlow *flow, SfBatch *batch, int row, Datum *keys, bool *nulls)
{
	const SfSessionSpec *session = flow->definition->session;

	for (int i = 0; i < session->nkeys; i++)
	{
		SfValue *value = &flow->branch->keys[session->keys[i]];

		if (value->column < 0)
			keys[i] = ExecEvalExpr(value->state, flow->econtext, &nulls[i]);
		else
		{
			keys[i] = batch->values[value->column][row];
			nulls[i] = batch->nulls[value->column][row];
		}
	}
}

/* Is a row that is older than the watermark on time, and in which pane? */
static bool
is_on_time(SfFlow *flow, SfBatch *batch, int row, SfTime time, SfTime *start)
{
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];

	sf_flow_load_row(flow, batch, row, 0, 0);
	evaluate_keys(flow, batch, row, keys, nulls);
	return sf_sessions_on_time(flow->sessions, time, keys, nulls, flow->progress->closed_until, start);
}

/* As in flow.c. */
void
sf_flow_select_sessions(SfFlow *flow, SfBatch *batch)
{
	int column = flow->branch->time_attnum - 1;
	const Datum *times = batch->values[column];
	const bool *time_nulls = batch->nulls[column];
	SfTime gap = flow->definition->session->gap;
	SfTime closed_until = flow->progress->closed_until;
	SfTime start = 0;
	SfTime end = 0;
	SfTime span_end = 0;
	bool is_last = false; /* sessions of the pane may end beyond all time */

	for (int row = flow->at; row < batch->nrows; row++)
	{
		SfTime time = DatumGetInt64(times[row]);
		int n = flow->nselected;

		if (time_nulls[row] || time < flow->begins_at)
			continue;
		flow->at = row;
		if (flow->branch->filter != NULL)
		{
			sf_flow_load_row(flow, batch, row, 0, 0);
			if (!ExecQual(flow->branch->filter, flow->econtext))
				continue;
		}
		if (time < start || time >= end || is_last)
		{
			sf_session_check_time(time);
			(void) sf_session_end(time, gap);
			sf_window_of(&flow->pane, time, &start, &end);
			is_last = pg_add_s64_overflow(end, gap, &span_end) || !IS_VALID_TIMESTAMP(span_end);
		}
		flow->starts[n] = start;
		if (time < closed_until && !is_on_time(flow, batch, row, time, &flow->starts[n]))
		{
			flow->late[flow->nlate++] = (SfLateRow){row, start, is_last ? SF_TIME_INFINITY : span_end};
			continue;
		}
		flow->selected[n] = row;
		flow->ends[n] = flow->starts[n] + gap;
		flow->partly_late[n] = false;
		flow->nselected = n + 1;
	}
}
