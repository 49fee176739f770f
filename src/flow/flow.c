/*
 * flow.c
 *		One fragment's operators over a batch of rows: filter → window → keys and arguments → groups (fold.c).
 *
 * The batch is worked column by column.  First all expressions are evaluated into arrays over the selected rows, in the
 * memory of one ExprContext that is reset per batch; then windows and groups are found and touched; then each aggregate
 * folds its column in.  A batch is of one branch, which has expressions of its own.  Where a key or an argument is a
 * plain column and no row was left out, the batch's own array is used as it is.
 *
 * Evaluation goes row by row, and `at` is the place of the row it is at; so an error has stopped at that row, and to go
 * on behind it is to go on at the next place.  Folding by columns knows no row.  After an error there, some batches are
 * folded row by row: what a row's group was is kept until the row is in it.
 *
 * Lateness is judged against closed_until as it stood when the tick began: rows of one tick are never late with respect
 * to one another.  Where windows overlap a row goes into a pane, as long as one of the pane's windows is open, and is
 * missed in those of them that have closed.  Without a window all rows go into one, whatever their time, and none is late.
 */
#include "flow/flow_private.h"

#include "access/table.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fault.h"
#include "plan/branch.h"
#include "plan/mutable.h"

/* So many batches without an error are folded row by row after one with an error. */
#define BATCHES_BY_ROWS 4096

static void
note_expression(SfFlow *flow, SfFlowBranch *branch, Expr *expr)
{
	if (expr == NULL)
		return;
	if (sf_refers_to_window((Node *) expr))
		flow->uses_window = true;
	if (sf_needs_settings((Node *) expr))
		flow->needs_settings = true;
	sf_flow_collect_columns((Node *) expr, &branch->columns);
}

static void
init_value(SfFlow *flow, SfFlowBranch *branch, SfValue *value, Expr *expr)
{
	AttrNumber column = sf_plain_column((Node *) expr);

	value->column = -1;
	value->own_values = palloc(SF_BATCH_ROWS * sizeof(Datum));
	value->own_nulls = palloc(SF_BATCH_ROWS * sizeof(bool));
	if (column != 0)
	{
		value->column = column - 1;
		return;
	}
	note_expression(flow, branch, expr);
	value->state = ExecInitExpr(expr, NULL);
	flow->has_expressions = true;
}

/* Many aggregates of few conditions are common. */
static void
share_filter(SfFlow *flow, SfFlowBranch *branch, int agg)
{
	Expr **filters = flow->definition->branches[branch->number].agg_filters;
	SfCall *call = &branch->calls[agg];

	for (int other = 0; other < agg; other++)
		if (filters[other] != NULL && equal(filters[other], filters[agg]))
		{
			call->shares_filter = true;
			call->filter = branch->calls[other].filter;
			call->passes = branch->calls[other].passes;
			return;
		}
	call->filter = ExecInitExpr(filters[agg], NULL);
	call->passes = palloc(SF_BATCH_ROWS * sizeof(bool));
}

static void
init_call(SfFlow *flow, SfFlowBranch *branch, int agg)
{
	const SfBranch *defined = &flow->definition->branches[branch->number];
	SfAggregate *aggregate = flow->definition->layout->aggs[agg];
	SfCall *call = &branch->calls[agg];
	Aggref *aggref = aggregate->aggref;
	ListCell *cell;

	call->nargs = aggregate->nargs;
	call->args = palloc0(Max(call->nargs, 1) * sizeof(SfValue));
	call->arg_values = palloc0(Max(call->nargs, 1) * sizeof(Datum *));
	call->arg_nulls = palloc0(Max(call->nargs, 1) * sizeof(bool *));
	foreach (cell, defined->inputs[agg])
		init_value(flow, branch, &call->args[foreach_current_index(cell)], lfirst(cell));
	if (defined->agg_filters[agg] != NULL)
	{
		note_expression(flow, branch, defined->agg_filters[agg]);
		share_filter(flow, branch, agg);
		flow->has_expressions = true;
	}
	if (OidIsValid(aggref->aggfnoid) && sf_needs_settings((Node *) aggref))
		flow->needs_settings = true;
}

static TupleTableSlot *
make_row(SfFlow *flow, Oid stream)
{
	Relation rel = table_open(stream, NoLock);
	TupleDesc desc = CreateTupleDescCopy(RelationGetDescr(rel));
	TupleTableSlot *row = ExecInitExtraTupleSlot(flow->estate, desc, &TTSOpsVirtual);

	table_close(rel, NoLock);
	ExecStoreAllNullTuple(row);
	return row;
}

static void
init_window(SfFlow *flow)
{
	TupleDesc desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "window_start", flow->definition->time_type, -1, 0);
	TupleDescInitEntry(desc, 2, "window_end", flow->definition->time_type, -1, 0);
	flow->window = ExecInitExtraTupleSlot(flow->estate, desc, &TTSOpsVirtual);
	ExecStoreAllNullTuple(flow->window);
}

static void
list_columns(SfFlowBranch *branch)
{
	int column = -1;

	branch->column_list = palloc((bms_num_members(branch->columns) + 1) * sizeof(int));
	while ((column = bms_next_member(branch->columns, column)) >= 0)
		branch->column_list[branch->ncolumns++] = column;
}

static void
init_branch(SfFlow *flow, SfFlowBranch *branch, int number)
{
	const SfDefinition *definition = flow->definition;
	const SfBranch *defined = &definition->branches[number];
	ListCell *cell;

	branch->number = number;
	branch->time_attnum = defined->time_attnum;
	branch->life_attnum = defined->life_attnum;
	branch->row = make_row(flow, defined->stream);
	if (defined->filter != NULL)
	{
		note_expression(flow, branch, defined->filter);
		branch->filter = ExecInitQual(list_make1(defined->filter), NULL);
	}
	branch->keys = palloc0(Max(flow->nkeys, 1) * sizeof(SfValue));
	foreach (cell, defined->keys)
		if (foreach_current_index(cell) < flow->nkeys)
			init_value(flow, branch, &branch->keys[foreach_current_index(cell)], lfirst(cell));
	branch->calls = palloc0(Max(definition->naggs, 1) * sizeof(SfCall));
	for (int agg = 0; agg < definition->naggs; agg++)
		init_call(flow, branch, agg);
	list_columns(branch);
}

SfFlow *
sf_flow_create(MemoryContext parent, SfDefinition *definition, SfStore *store, SfProgress *progress,
               SfSessions *sessions, SfTime begins_at)
{
	MemoryContext own = AllocSetContextCreate(parent, "streamfuse flow", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	SfFlow *flow = palloc0(sizeof(SfFlow));

	flow->context = own;
	flow->definition = definition;
	flow->store = store;
	flow->progress = progress;
	flow->sessions = sessions;
	flow->begins_at = begins_at;
	flow->in_panes = definition->layout->in_panes;
	flow->stateless = definition->stateless;
	if (definition->has_window && !sf_is_windowless(definition))
		sf_pane_spec(&definition->window, &flow->pane);
	flow->columns_out = palloc0(Max(definition->nkeys, 1) * sizeof(Datum *));
	flow->nulls_out = palloc0(Max(definition->nkeys, 1) * sizeof(bool *));
	flow->estate = CreateExecutorState();
	flow->econtext = CreateExprContext(flow->estate);
	flow->nkeys = definition->nkeys - (definition->nsets > 0);
	init_window(flow);
	flow->branches = palloc0(definition->nbranches * sizeof(SfFlowBranch));
	for (int i = 0; i < definition->nbranches; i++)
		init_branch(flow, &flow->branches[i], i);
	flow->branch = &flow->branches[0];

	flow->selected = palloc(SF_BATCH_ROWS * sizeof(int));
	flow->starts = palloc(SF_BATCH_ROWS * sizeof(SfTime));
	flow->ends = palloc(SF_BATCH_ROWS * sizeof(SfTime));
	flow->partly_late = palloc(SF_BATCH_ROWS * sizeof(bool));
	flow->windows = palloc(SF_BATCH_ROWS * sizeof(SfWindow *));
	flow->hashes = palloc(SF_BATCH_ROWS * sizeof(uint32));
	flow->groups = palloc(SF_BATCH_ROWS * sizeof(SfGroup *));
	flow->states = palloc(SF_BATCH_ROWS * sizeof(char *));
	flow->late = palloc(SF_BATCH_ROWS * sizeof(SfLateRow));
	flow->row_touches = palloc(Max(definition->nsets, 1) * sizeof(SfRowTouch));
	if (definition->nsets > 0)
	{
		flow->set_numbers = palloc(SF_BATCH_ROWS * sizeof(Datum));
		flow->not_in_set = palloc(SF_BATCH_ROWS * sizeof(bool));
		memset(flow->not_in_set, true, SF_BATCH_ROWS * sizeof(bool));
	}
	initStringInfo(&flow->row_states);
	MemoryContextSwitchTo(old);
	return flow;
}

void
sf_flow_destroy(SfFlow *flow)
{
	FreeExecutorState(flow->estate);
	MemoryContextDelete(flow->context);
}

bool
sf_flow_needs_settings(const SfFlow *flow)
{
	return flow->needs_settings;
}

void
sf_flow_begin(SfFlow *flow, TimestampTz now)
{
	flow->now = now;
	flow->tick_window = NULL;
	if (flow->sessions != NULL)
		sf_sessions_begin(flow->sessions);
	flow->saved_counters = flow->progress->counters;
	flow->saved_closed_until = flow->progress->closed_until;
	flow->saved_last_closed = flow->progress->last_closed;
	flow->saved_forgotten_before = flow->progress->forgotten_before;
	flow->missed_saved = false;
	flow->saved_nfailed = flow->progress->nfailed;
	flow->saved_messages_size = flow->progress->messages.len;
}

void
sf_flow_rollback(SfFlow *flow)
{
	SfProgress *progress = flow->progress;

	flow->batch = NULL;
	flow->tick_window = NULL;
	progress->counters = flow->saved_counters;
	progress->closed_until = flow->saved_closed_until;
	progress->last_closed = flow->saved_last_closed;
	progress->forgotten_before = flow->saved_forgotten_before;
	sf_progress_cut_failed(progress, flow->saved_nfailed, flow->saved_messages_size);
	if (!flow->missed_saved)
		return;
	progress->nmissed = flow->nsaved_missed;
	if (flow->nsaved_missed > 0)
		memcpy(progress->missed, flow->saved_missed, flow->nsaved_missed * sizeof(SfMissed));
	flow->missed_saved = false;
}

static void
note_missed(SfFlow *flow, SfTime start, SfTime end, int64 rows)
{
	SfProgress *progress = flow->progress;

	if (!flow->missed_saved)
	{
		if (flow->saved_missed != NULL)
			pfree(flow->saved_missed);
		flow->saved_missed = MemoryContextAllocHuge(flow->context, Max(progress->nmissed, 1) * sizeof(SfMissed));
		flow->nsaved_missed = progress->nmissed;
		if (progress->nmissed > 0)
			memcpy(flow->saved_missed, progress->missed, progress->nmissed * sizeof(SfMissed));
		flow->missed_saved = true;
	}
	progress->counters.rows_missed += rows;
	if (!SF_BUG("late-row-not-listed"))
		sf_progress_add_missed(progress, start, end, rows, flow->now);
}

void
sf_flow_count_missed(SfFlow *flow, SfTime start, SfTime end, int64 rows)
{
	flow->progress->counters.rows_late += rows;
	note_missed(flow, start, end, rows);
}

/*
 * A row that has come after windows that hold it were closed is missed in each of them.  When it is counted in others, its
 * pane has it: then no reset opens those windows again, which would count it in them after all.
 */
static void
count_late(SfFlow *flow, SfTime start, SfTime end, bool counted)
{
	SfProgress *progress = flow->progress;
	SfWindowIterator windows;
	bool late = false;

	if (!flow->in_panes || flow->sessions != NULL)
	{
		if (end > progress->adopted_until)
			sf_flow_count_missed(flow, start, end, 1);
		return;
	}
	sf_windows_of(&windows, &flow->definition->window, start);
	while (sf_windows_next(&windows))
	{
		/* Those in the dump's output have counted it. */
		if (windows.start < flow->begins_at || windows.end > progress->closed_until ||
		    windows.end <= progress->adopted_until)
			continue;
		note_missed(flow, windows.start, windows.end, 1);
		if (counted)
			progress->last_closed = Max(progress->last_closed, windows.end);
		late = true;
	}
	if (late)
		flow->progress->counters.rows_late++;
}

bool
sf_flow_pane_of(SfFlow *flow, SfTime time, SfPane *pane)
{
	SfWindowIterator windows;

	sf_window_of(&flow->pane, time, &pane->start, &pane->end);
	if (!flow->in_panes)
	{
		pane->last_start = pane->start;
		pane->first_end = pane->last_end = pane->end;
		return pane->start >= flow->begins_at + SF_BUG("first-window-left-out");
	}
	if (!sf_window_last_of(&flow->definition->window, pane->start, &pane->last_start, &pane->last_end) ||
	    pane->last_start < flow->begins_at + SF_BUG("first-window-left-out"))
		return false;
	sf_windows_of(&windows, &flow->definition->window, pane->start);
	do
	{
		if (!sf_windows_next(&windows))
			return false;
	} while (windows.start < flow->begins_at);
	pane->first_end = windows.end;
	return true;
}

void
sf_flow_load_row(SfFlow *flow, SfBatch *batch, int row, SfTime start, SfTime end)
{
	const SfFlowBranch *branch = flow->branch;
	TupleTableSlot *slot = branch->row;

	for (int i = 0; i < branch->ncolumns; i++)
	{
		int column = branch->column_list[i];

		slot->tts_values[column] = batch->values[column][row];
		slot->tts_isnull[column] = batch->nulls[column][row];
	}
	if (flow->uses_window)
	{
		if (flow->definition->window.fine != NULL)
			sf_window_of(flow->definition->window.fine,
			             DatumGetInt64(batch->values[flow->branch->time_attnum - 1][row]), &start, &end);
		flow->window->tts_values[0] = Int64GetDatum(start);
		flow->window->tts_values[1] = Int64GetDatum(end);
		flow->window->tts_isnull[0] = flow->window->tts_isnull[1] = false;
	}
}

/* Filter, window and lateness: which rows of the batch are folded in, and into which windows or panes. */
static void
select_rows(SfFlow *flow, SfBatch *batch)
{
	const bool windowless = sf_is_windowless(flow->definition);
	const Datum *times = windowless ? NULL : batch->values[flow->branch->time_attnum - 1];
	const bool *time_nulls = windowless ? NULL : batch->nulls[flow->branch->time_attnum - 1];
	SfTime closed_until = flow->progress->closed_until;
	SfPane pane = {0};
	bool in_window = windowless;
	bool is_regular = true;
	int n = flow->nselected;

	if (windowless)
	{
		pane.start = pane.last_start = SF_TIME_MINUS_INFINITY;
		pane.end = pane.first_end = pane.last_end = SF_TIME_INFINITY;
	}
	for (int row = flow->at; row < batch->nrows; row++)
	{
		SfTime time = windowless ? 0 : DatumGetInt64(times[row]);

		if (!windowless && time_nulls[row])
			continue;
		flow->at = row;
		flow->nselected = n;
		if (flow->branch->filter != NULL && !flow->uses_window)
		{
			sf_flow_load_row(flow, batch, row, 0, 0);
			if (!ExecQual(flow->branch->filter, flow->econtext) &&
			    !(row == SF_BATCH_ROWS - 1 && SF_BUG("filter-misses-last-row")))
				continue;
		}
		if (!windowless && (time < pane.start || time >= pane.end + SF_BUG("window-end-inclusive") || !is_regular))
		{
			in_window = sf_flow_pane_of(flow, time, &pane);
			is_regular = sf_window_is_regular(&flow->pane, pane.start, pane.end);
		}
		if (flow->branch->filter != NULL && flow->uses_window)
		{
			sf_flow_load_row(flow, batch, row, pane.start, pane.end);
			if (!ExecQual(flow->branch->filter, flow->econtext))
				continue;
		}
		if (!in_window)
			continue;
		if (pane.last_end <= closed_until)
		{
			/* One that the dump has counted, or had set aside: in that case it is set aside again. */
			if (pane.last_end > flow->progress->adopted_until || flow->skip)
				flow->late[flow->nlate++] = (SfLateRow){row, pane.start, pane.end};
			continue;
		}
		flow->selected[n] = row;
		flow->starts[n] = pane.start;
		flow->ends[n] = pane.end;
		flow->partly_late[n] = pane.first_end <= closed_until;
		flow->any_partly_late |= flow->partly_late[n];
		n++;
	}
	flow->nselected = n;
}

/* A plain column over the selected rows: the batch's own array where all rows are selected. */
static void
gather(SfFlow *flow, SfBatch *batch, SfValue *value)
{
	Datum *values = batch->values[value->column];
	bool *nulls = batch->nulls[value->column];
	bool has_nulls = batch->has_nulls[value->column];

	value->values = values;
	value->nulls = has_nulls ? nulls : NULL;
	if (flow->nselected == batch->nrows)
		return;
	for (int i = 0; i < flow->nselected; i++)
	{
		value->own_values[i] = values[flow->selected[i]];
		value->own_nulls[i] = nulls[flow->selected[i]];
	}
	value->values = value->own_values;
	value->nulls = has_nulls ? value->own_nulls : NULL;
}

static inline void
evaluate(SfFlow *flow, SfValue *value, int i)
{
	if (value->column < 0)
		value->own_values[i] = ExecEvalExpr(value->state, flow->econtext, &value->own_nulls[i]);
}

static void
finish_value(SfFlow *flow, SfBatch *batch, SfValue *value)
{
	if (value->column >= 0)
		gather(flow, batch, value);
	else
	{
		value->values = value->own_values;
		value->nulls = memchr(value->own_nulls, true, flow->nselected) != NULL ? value->own_nulls : NULL;
	}
}

static inline bool
evaluate_filter(SfFlow *flow, SfCall *call)
{
	bool isnull;
	Datum passes = ExecEvalExpr(call->filter, flow->econtext, &isnull);

	return !isnull && DatumGetBool(passes);
}

/* Keys, arguments and aggregate filters of the row that has been loaded, into place i of their arrays. */
static inline void
evaluate_row(SfFlow *flow, const SfDefinition *definition, int i)
{
	for (int key = 0; key < flow->nkeys; key++)
		evaluate(flow, &flow->branch->keys[key], i);
	for (int agg = 0; agg < definition->naggs; agg++)
	{
		SfCall *call = &flow->branch->calls[agg];

		if (call->filter != NULL)
		{
			if (!call->shares_filter)
				call->passes[i] = evaluate_filter(flow, call);
			if (!call->passes[i])
			{
				for (int arg = 0; arg < call->nargs; arg++)
					call->args[arg].own_nulls[i] = true;
				continue;
			}
		}
		for (int arg = 0; arg < call->nargs; arg++)
			evaluate(flow, &call->args[arg], i);
	}
}

/* All selected rows, in the econtext's memory.  Those that have failed leave no gap. */
static void
evaluate_rows(SfFlow *flow, SfBatch *batch)
{
	const SfDefinition *definition = flow->definition;
	int n = flow->nselected;
	int failed = flow->nfailed;

	if (!flow->has_expressions)
		return;
	for (int i = flow->at; i < n; i++)
	{
		flow->at = i;
		if (failed > 0)
		{
			flow->selected[i - failed] = flow->selected[i];
			flow->starts[i - failed] = flow->starts[i];
			flow->ends[i - failed] = flow->ends[i];
			flow->partly_late[i - failed] = flow->partly_late[i];
		}
		sf_flow_load_row(flow, batch, flow->selected[i], flow->starts[i], flow->ends[i]);
		evaluate_row(flow, definition, i - failed);
	}
	flow->nselected = n - failed;
}

/* Late rows only for whether they raise: the values go to a place that no selected row has. */
static void
evaluate_late(SfFlow *flow, SfBatch *batch)
{
	if (!flow->has_expressions || !flow->skip)
		return;
	for (; flow->at < flow->nlate; flow->at++)
	{
		SfLateRow *late = &flow->late[flow->at - flow->nfailed];

		*late = flow->late[flow->at];
		sf_flow_load_row(flow, batch, late->row, late->start, late->end);
		evaluate_row(flow, flow->definition, flow->nselected);
	}
	flow->nlate -= flow->nfailed;
}

static void
finish_values(SfFlow *flow, SfBatch *batch)
{
	SfDefinition *definition = flow->definition;

	for (int key = 0; key < flow->nkeys; key++)
		finish_value(flow, batch, &flow->branch->keys[key]);
	for (int agg = 0; agg < definition->naggs; agg++)
		for (int arg = 0; arg < flow->branch->calls[agg].nargs; arg++)
		{
			SfCall *call = &flow->branch->calls[agg];

			finish_value(flow, batch, &call->args[arg]);
			call->arg_values[arg] = call->args[arg].values;
			call->arg_nulls[arg] = call->args[arg].nulls;
		}
}

static void
enter_stage(SfFlow *flow, SfStage stage)
{
	flow->stage = stage;
	flow->at = 0;
	flow->nfailed = 0;
}

static void
fold_by_rows(SfFlow *flow)
{
	for (; flow->at < flow->nselected; flow->at++)
	{
		if (flow->stateless)
			sf_flow_append(flow, flow->at, 1);
		else
			sf_flow_fold_row(flow, flow->at);
		flow->progress->counters.rows_in++;
		if (flow->partly_late[flow->at])
			count_late(flow, flow->starts[flow->at], flow->ends[flow->at], true);
	}
	flow->batches_by_rows = flow->has_failed ? BATCHES_BY_ROWS : flow->batches_by_rows - 1;
}

void
sf_flow_start(SfFlow *flow, int branch, SfBatch *batch, bool skip)
{
	flow->branch = &flow->branches[SF_BUG("rows-by-first-branch") ? 0 : branch];
	ResetExprContext(flow->econtext);
	flow->econtext->ecxt_scantuple = flow->branch->row;
	flow->econtext->ecxt_innertuple = flow->window;
	flow->batch = batch;
	flow->skip = skip;
	flow->nselected = 0;
	flow->nlate = 0;
	flow->any_partly_late = false;
	flow->has_failed = false;
	enter_stage(flow, STAGE_SELECT);
}

void
sf_flow_evaluate(SfFlow *flow)
{
	MemoryContext old = MemoryContextSwitchTo(flow->econtext->ecxt_per_tuple_memory);

	if (flow->stage == STAGE_SELECT)
	{
		if (flow->stateless)
			sf_flow_select_stateless(flow, flow->batch);
		else if (flow->sessions != NULL)
			sf_flow_select_sessions(flow, flow->batch);
		else
			select_rows(flow, flow->batch);
		enter_stage(flow, STAGE_EVALUATE);
	}
	if (flow->stage == STAGE_EVALUATE)
	{
		evaluate_rows(flow, flow->batch);
		enter_stage(flow, STAGE_LATE);
	}
	evaluate_late(flow, flow->batch);
	finish_values(flow, flow->batch);
	enter_stage(flow, STAGE_FOLD);
	MemoryContextSwitchTo(old);
}

void
sf_flow_apply(SfFlow *flow)
{
	MemoryContext old = MemoryContextSwitchTo(flow->econtext->ecxt_per_tuple_memory);

	Assert(flow->stage == STAGE_FOLD);
	SF_FAULT("apply-evaluated");
	if (flow->batches_by_rows > 0)
		fold_by_rows(flow);
	else if (flow->stateless && flow->nselected > 0)
	{
		sf_flow_append(flow, 0, flow->nselected);
		flow->progress->counters.rows_in += flow->nselected;
	}
	else if (flow->nselected > 0)
	{
		sf_flow_fold(flow);
		flow->progress->counters.rows_in += flow->nselected;
		for (int i = 0; flow->any_partly_late && i < flow->nselected; i++)
			if (flow->partly_late[i])
				count_late(flow, flow->starts[i], flow->ends[i], true);
	}
	for (int i = 0; i < flow->nlate; i++)
		count_late(flow, flow->late[i].start, flow->late[i].end, false);
	flow->batch = NULL;
	MemoryContextSwitchTo(old);
}

/* Is the step one of sf_flow_apply for all rows together? */
bool
sf_flow_works_by_columns(const SfFlow *flow)
{
	return flow->batch != NULL && flow->stage == STAGE_FOLD && flow->batches_by_rows == 0;
}

/* Of a view without a time: since ever. */
static SfTime
event_time(const SfFlow *flow, const SfBatch *batch, int row)
{
	int column = flow->branch->time_attnum - 1;

	return column < 0 || batch->nulls[column][row] ? SF_TIME_MINUS_INFINITY : DatumGetInt64(batch->values[column][row]);
}

bool
sf_flow_row(const SfFlow *flow, SfFailedRow *failed)
{
	SfBatch *batch = flow->batch;
	int row = flow->at;

	if (batch == NULL || sf_flow_works_by_columns(flow) || (flow->stage == STAGE_FOLD && flow->at == flow->nselected))
		return false;
	if (flow->stage == STAGE_LATE)
		row = flow->late[flow->at].row;
	else if (flow->stage != STAGE_SELECT)
		row = flow->selected[flow->at];
	*failed = (SfFailedRow){.relid = batch->relid,
	                        .branch = flow->branch->number,
	                        .block = batch->blocks[row],
	                        .offset = batch->offsets[row],
	                        .event_time = event_time(flow, batch, row),
	                        .at = flow->now};
	return true;
}

void
sf_flow_work_by_rows(SfFlow *flow)
{
	flow->batches_by_rows = BATCHES_BY_ROWS;
}

void
sf_flow_fail_row(SfFlow *flow, int sqlstate, const char *message)
{
	SfFailedRow failed;

	if (!sf_flow_row(flow, &failed))
		elog(ERROR, "no row has failed");
	failed.sqlstate = sqlstate;
	if (flow->stage == STAGE_FOLD)
	{
		sf_flow_unfold_row(flow);
		flow->has_failed = true;
	}
	sf_progress_add_failed(flow->progress, &failed, message);
	flow->progress->counters.rows_failed++;
	flow->nfailed++;
	flow->at++;
}
