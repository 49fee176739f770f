/*
 * fold.c
 *		The selected rows of a batch into their groups: windows and groups are found and touched, columns folded in.
 *
 * Keys and arguments have been evaluated.  By columns all rows' groups are touched before the first aggregate takes its
 * column in; row by row, what the row's groups were is kept until the row is in them.  Where there are grouping sets
 * windows are found once, and the rest is done once for each set: keys that are not in it are null, and its number is a
 * key.
 */
#include "flow/flow_private.h"

#include "miscadmin.h"

#include "fault.h"

/* The key that a row has in grouping set `set`, from 0: keys that are not in it become null.  False: there is no such set. */
static bool
key_of_set(const SfDefinition *definition, int set, Datum *values, bool *nulls)
{
	int number = definition->nkeys - 1;

	if (definition->nsets == 0)
		return set == 0;
	if (set >= definition->nsets)
		return false;
	for (int key = 0; key < number; key++)
		if ((definition->sets[set] & (UINT64CONST(1) << key)) == 0)
			nulls[key] = true;
	values[number] = Int32GetDatum(set + 1);
	nulls[number] = false;
	return true;
}

void
sf_flow_finish(SfFlow *flow)
{
	const SfDefinition *definition = flow->definition;
	Datum values[SF_LAYOUT_MAX_KEYS] = {0};
	bool nulls[SF_LAYOUT_MAX_KEYS] = {0};
	SfWindow *window;

	if (!definition->single_row)
		return;
	window = sf_store_find_window(flow->store, SF_TIME_MINUS_INFINITY);
	if (window != NULL && window->ngroups > 0)
		return;
	window = sf_store_window(flow->store, SF_TIME_MINUS_INFINITY, SF_TIME_INFINITY);
	for (int set = 0; key_of_set(definition, set, values, nulls); set++)
		if (definition->nsets == 0 || definition->sets[set] == 0)
			(void) sf_store_touch(flow->store, window, sf_layout_hash(definition->layout, values, nulls), values,
			                      nulls);
}

static void
touch_general(SfFlow *flow)
{
	SfLayout *layout = flow->definition->layout;
	Datum *keys[SF_LAYOUT_MAX_KEYS];
	bool *nulls[SF_LAYOUT_MAX_KEYS];

	for (int key = 0; key < layout->nkeys; key++)
	{
		keys[key] = flow->branch->keys[key].values;
		nulls[key] = flow->branch->keys[key].nulls;
	}
	sf_layout_hash_batch(layout, keys, nulls, flow->hashes, flow->nselected);
	sf_store_touch_batch(flow->store, flow->windows, flow->hashes, keys, nulls, flow->groups, flow->nselected);
}

/* One group per window: found once for each run of rows in the same window. */
static void
touch_without_keys(SfFlow *flow)
{
	uint32 hash = sf_layout_hash(flow->definition->layout, NULL, NULL);

	for (int i = 0; i < flow->nselected; i++)
		if (i > 0 && flow->windows[i] == flow->windows[i - 1])
			flow->groups[i] = flow->groups[i - 1];
		else
			flow->groups[i] = sf_store_touch(flow->store, flow->windows[i], hash, NULL, NULL);
}

static void
touch_by_int(SfFlow *flow)
{
	SfValue *key = &flow->branch->keys[0];
	int16 typlen = flow->definition->layout->keys[0].typlen;

	for (int i = 0; i < flow->nselected; i++)
	{
		key->own_values[i] = sf_key_normal(key->values[i], typlen);
		flow->hashes[i] = sf_int_hash(key->own_values[i]);
	}
	sf_store_touch_int_batch(flow->store, flow->windows, flow->hashes, key->own_values, flow->groups, flow->nselected);
}

/* The groups of one grouping set. */
static void
touch_set(SfFlow *flow, int set)
{
	SfLayout *layout = flow->definition->layout;
	Datum *keys[SF_LAYOUT_MAX_KEYS];
	bool *nulls[SF_LAYOUT_MAX_KEYS];

	for (int key = 0; key < flow->nkeys; key++)
	{
		bool is_member = (flow->definition->sets[set] & (UINT64CONST(1) << key)) != 0;

		keys[key] = flow->branch->keys[key].values;
		nulls[key] = is_member || SF_BUG("set-keeps-other-keys") ? flow->branch->keys[key].nulls : flow->not_in_set;
	}
	for (int i = 0; i < flow->nselected; i++)
		flow->set_numbers[i] = Int32GetDatum(set + 1);
	keys[flow->nkeys] = flow->set_numbers;
	nulls[flow->nkeys] = NULL;
	sf_layout_hash_batch(layout, keys, nulls, flow->hashes, flow->nselected);
	sf_store_touch_batch(flow->store, flow->windows, flow->hashes, keys, nulls, flow->groups, flow->nselected);
}

static void
find_windows(SfFlow *flow)
{
	for (int i = 0; i < flow->nselected; i++)
		flow->windows[i] = i > 0 && flow->starts[i] == flow->starts[i - 1]
		                       ? flow->windows[i - 1]
		                       : sf_store_window(flow->store, flow->starts[i], flow->ends[i]);
}

static void
touch_groups(SfFlow *flow)
{
	if (flow->definition->nkeys == 0)
		touch_without_keys(flow);
	else if (sf_layout_is_int(flow->definition->layout) &&
	         (flow->branch->keys[0].nulls == NULL || SF_BUG("null-key-is-zero")))
		touch_by_int(flow);
	else
		touch_general(flow);
}

/* Where the selected rows are. */
static SfPlaces
places(const SfFlow *flow)
{
	const SfBatch *batch = flow->batch;

	return (SfPlaces){batch->relid, flow->branch->number, batch->blocks, batch->offsets, flow->selected};
}

static void
fold(SfFlow *flow)
{
	SfLayout *layout = flow->definition->layout;
	SfPlaces at = places(flow);

	for (int agg = 0; agg < layout->naggs; agg++)
	{
		SfCall *call = &flow->branch->calls[agg];
		Size offset = layout->state_offset[agg];

		if (layout->shares_state[agg])
			continue;
		for (int i = 0; i < flow->nselected; i++)
			flow->states[i] = call->filter != NULL && !call->passes[i] ? NULL : flow->groups[i]->data + offset;
		sf_aggregate_advance_batch(layout->aggs[agg], sf_store_blobs(flow->store), flow->states, call->arg_values,
		                           call->arg_nulls, &at, flow->nselected);
	}
	for (int i = 0; flow->branch->life_attnum > 0 && i < flow->nselected; i++)
		sf_flow_note_time(flow, i, flow->groups[i]);
}

void
sf_flow_fold(SfFlow *flow)
{
	find_windows(flow);
	if (flow->definition->nsets == 0)
	{
		touch_groups(flow);
		SF_FAULT("apply-touched");
		fold(flow);
	}
	for (int set = 0; set < flow->definition->nsets; set++)
	{
		CHECK_FOR_INTERRUPTS();
		touch_set(flow, set);
		SF_FAULT("apply-set-touched");
		fold(flow);
	}
}

/* The row at place i into its group of one grouping set. */
static void
fold_row_into(SfFlow *flow, int i, SfGroup *group)
{
	SfLayout *layout = flow->definition->layout;
	SfBlobSpace *blobs = sf_store_blobs(flow->store);
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];
	SfPlaces at = places(flow);

	for (int agg = 0; agg < layout->naggs; agg++)
	{
		SfCall *call = &flow->branch->calls[agg];

		if (layout->shares_state[agg] || (call->filter != NULL && !call->passes[i]))
			continue;
		for (int arg = 0; arg < call->nargs; arg++)
		{
			values[arg] = call->arg_values[arg][i];
			nulls[arg] = call->arg_nulls[arg] != NULL && call->arg_nulls[arg][i];
		}
		sf_aggregate_advance(layout->aggs[agg], blobs, group->data + layout->state_offset[agg], values, nulls, &at, i);
	}
	if (flow->branch->life_attnum > 0)
		sf_flow_note_time(flow, i, group);
}

/* The row's group with this key.  What it was before is kept, for sf_flow_fail_row. */
static SfGroup *
touch_row(SfFlow *flow, const Datum *values, const bool *nulls)
{
	SfLayout *layout = flow->definition->layout;
	SfRowTouch *touch = &flow->row_touches[flow->nrow_touches];

	touch->states = flow->row_states.len;
	touch->mark = sf_store_mark(flow->store, flow->row_window);
	touch->group = sf_store_touch(flow->store, flow->row_window, sf_layout_hash(layout, values, nulls), values, nulls);
	for (int agg = 0; agg < layout->naggs; agg++)
		sf_aggregate_keep(layout->aggs[agg], sf_store_blobs(flow->store),
		                  touch->group->data + layout->state_offset[agg], &flow->row_states);
	flow->nrow_touches++;
	return touch->group;
}

/* One row into its groups. */
void
sf_flow_fold_row(SfFlow *flow, int i)
{
	Datum values[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];
	bool set_nulls[SF_LAYOUT_MAX_KEYS];

	flow->nrow_touches = 0;
	resetStringInfo(&flow->row_states);
	for (int key = 0; key < flow->nkeys; key++)
	{
		values[key] = flow->branch->keys[key].values[i];
		nulls[key] = flow->branch->keys[key].nulls != NULL && flow->branch->keys[key].nulls[i];
	}
	flow->row_window = sf_store_window(flow->store, flow->starts[i], flow->ends[i]);
	/* Groups that come back do so before the first touch: that one may be taken back, and they are behind it then. */
	for (int set = 0;; set++)
	{
		memcpy(set_nulls, nulls, flow->nkeys * sizeof(bool));
		if (!key_of_set(flow->definition, set, values, set_nulls))
			break;
		sf_store_bring_back(flow->store, flow->row_window, sf_layout_hash(flow->definition->layout, values, set_nulls),
		                    values, set_nulls);
	}
	for (int set = 0;; set++)
	{
		memcpy(set_nulls, nulls, flow->nkeys * sizeof(bool));
		if (!key_of_set(flow->definition, set, values, set_nulls))
			break;
		fold_row_into(flow, i, touch_row(flow, values, set_nulls));
	}
}

/* The failed row's groups as they were before the row, or gone when the row had made them.  Last touch first. */
void
sf_flow_unfold_row(SfFlow *flow)
{
	SfLayout *layout = flow->definition->layout;
	const char *end = flow->row_states.data + flow->row_states.len;

	while (flow->nrow_touches > 0)
	{
		SfRowTouch *touch = &flow->row_touches[--flow->nrow_touches];
		const char *data = flow->row_states.data + touch->states;

		if (sf_store_forget(flow->store, flow->row_window, touch->group, &touch->mark))
			continue;
		for (int agg = 0; agg < layout->naggs; agg++)
			sf_aggregate_put_back(layout->aggs[agg], sf_store_blobs(flow->store),
			                      touch->group->data + layout->state_offset[agg], &data, end);
	}
}
