/*
 * store_flat.c
 *		Groups in flat form: what checkpoints write into the state table and recovery reads back.
 *
 * A group is a version byte, the bitmap of null keys, the other keys (eight bytes for by-value ones; else a length and
 * the bytes of the flat datum), and the aggregate states as sf_aggregate_save writes them.  Where groups leave, another
 * version byte says that its life follows the keys; one that has been removed has no states.  Nothing in it is aligned.
 * A later form of the same group replaces an earlier one, but for what its aggregates have collected: of that it says
 * what it goes on from.
 */
#include "state/store_private.h"

#include "utils/datum.h"

#define GROUP_FORM 1
#define GROUP_FORM_LIFE 2

static void
save_key(const SfKeyColumn *key, Datum value, StringInfo out)
{
	uint32 length;

	if (key->typbyval)
	{
		appendBinaryStringInfo(out, (char *) &value, sizeof(Datum));
		return;
	}
	length = datumGetSize(value, false, key->typlen);
	appendBinaryStringInfo(out, (char *) &length, sizeof(length));
	appendBinaryStringInfo(out, DatumGetPointer(value), length);
}

/* Is this state's flat form that of another aggregate, with which it is shared? */
static bool
is_saved_elsewhere(const SfLayout *layout, int agg)
{
	return layout->shares_state[agg] && layout->aggs[agg]->list_offset >= 0;
}

bool
sf_store_save_group(SfStore *store, SfGroup *group, bool whole, bool more, StringInfo out)
{
	SfLayout *layout = store->layout;
	bool done = true;

	appendStringInfoChar(out, layout->groups_leave ? GROUP_FORM_LIFE : GROUP_FORM);
	appendBinaryStringInfo(out, group->data + layout->nulls_offset, sizeof(uint64));
	sf_group_keys(layout, store->blobs.area, group->data, store->keys, store->nulls);
	for (int i = 0; i < layout->nkeys; i++)
		if (!store->nulls[i])
			save_key(&layout->keys[i], store->keys[i], out);
	if (layout->groups_leave)
		appendBinaryStringInfo(out, group->data + layout->life_offset, sizeof(SfTime));
	if (!sf_group_is_there(layout, group->data))
		return false;
	for (int i = 0; i < layout->naggs; i++)
	{
		SfAggregate *agg = layout->aggs[i];
		const char *state = group->data + layout->state_offset[i];

		if (is_saved_elsewhere(layout, i))
			continue;
		if (!more)
			store->saved[i] = whole ? 0 : sf_aggregate_saved(agg, state);
		done &= sf_aggregate_save(agg, &store->blobs, state, &store->saved[i], out);
	}
	return !done;
}

void
sf_store_note_saved(SfStore *store, SfWindow *window)
{
	SfLayout *layout = store->layout;

	for (uint32 id = 0; layout->nlists > 0 && id < window->ngroups; id++)
	{
		SfGroup *group = sf_store_group_at(store, window, id);

		for (int i = 0; i < layout->naggs && sf_group_is_there(layout, group->data); i++)
			sf_aggregate_set_saved(layout->aggs[i], group->data + layout->state_offset[i]);
	}
}

uint64
sf_store_saved_bytes(SfStore *store, SfWindow *window)
{
	SfLayout *layout = store->layout;
	uint64 bytes = (uint64) (window->ngroups - window->nfree) * (layout->data_size + 16);

	for (uint32 id = 0; layout->nlists > 0 && id < window->ngroups; id++)
	{
		SfGroup *group = sf_store_group_at(store, window, id);

		for (int i = 0; i < layout->nlists; i++)
			bytes += store_list(store, group->data, i)->bytes;
	}
	return bytes;
}

static Datum
load_key(const SfKeyColumn *key, const char **data, const char *end)
{
	uint32 length;
	const char *bytes;

	if (key->typbyval)
	{
		Datum value;

		sf_flat_read(data, end, &value, sizeof(Datum));
		return value;
	}
	sf_flat_read(data, end, &length, sizeof(length));
	bytes = sf_flat_bytes(data, end, length);
	return PointerGetDatum(memcpy(palloc(length), bytes, length));
}

/* The head of a group in flat form; by-reference keys in CurrentMemoryContext.  Returns its life. */
static SfTime
load_keys(SfLayout *layout, const char **data, const char *end, Datum *keys, bool *nulls)
{
	SfTime life = SF_LIFE_UNKNOWN;
	uint8 form;
	uint64 bitmap;

	sf_flat_read(data, end, &form, sizeof(form));
	if (form != GROUP_FORM && !(form == GROUP_FORM_LIFE && layout->groups_leave))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("saved state of a continuous view has an unknown form %d", form)));
	sf_flat_read(data, end, &bitmap, sizeof(bitmap));
	for (int i = 0; i < layout->nkeys; i++)
	{
		nulls[i] = (bitmap & (UINT64CONST(1) << i)) != 0;
		keys[i] = nulls[i] ? (Datum) 0 : load_key(&layout->keys[i], data, end);
	}
	if (form == GROUP_FORM_LIFE)
		sf_flat_read(data, end, &life, sizeof(life));
	return life;
}

/* Makes a group what its flat form says.  if_absent: NULL, and nothing is done, when it is there. */
static SfGroup *
load_group(SfStore *store, StoreWindow *window, const char **data, const char *end, bool if_absent)
{
	SfLayout *layout = store->layout;
	Datum *keys = palloc(sizeof(Datum) * Max(layout->nkeys, 1));
	bool *nulls = palloc(sizeof(bool) * Max(layout->nkeys, 1));
	SfTime life = load_keys(layout, data, end, keys, nulls);
	uint32 hash = sf_layout_hash(layout, keys, nulls);
	SfGroup *group = if_absent ? sf_store_find(store, window, hash, keys, nulls) : NULL;
	bool there = life >= (if_absent ? store->forgotten : SF_LIFE_LEAST);

	if (group != NULL && sf_group_is_there(layout, group->data))
		return NULL;

	/* A log may tell of many more groups that are gone than there is memory for. */
	if (!there && !if_absent && window->shared->born == store->tick)
	{
		group = sf_store_find(store, window, hash, keys, nulls);
		if (group != NULL)
			sf_store_remove_unseen(store, window, group);
		pfree(keys);
		pfree(nulls);
		return NULL;
	}
	group = sf_store_touch_here(store, window, hash, keys, nulls);
	if (!there)
		sf_store_remove(store, window->shared, group);
	else if (layout->groups_leave)
		*store_life(store, group) = life;
	for (int i = 0; i < layout->naggs && there; i++)
		if (!is_saved_elsewhere(layout, i))
			sf_aggregate_load(layout->aggs[i], &store->blobs, group->data + layout->state_offset[i], data, end);
	pfree(keys);
	pfree(nulls);
	return group;
}

void
sf_store_load_group(SfStore *store, SfWindow *window, const char **data, const char *end)
{
	(void) load_group(store, sf_store_mirror(store, window), data, end, false);
}

/* One that has been spilled comes back, unless it is there: NULL.  If its life is over, it is one that has been removed. */
SfGroup *
sf_store_load_absent(SfStore *store, StoreWindow *window, const char *data, const char *end)
{
	return load_group(store, window, &data, end, true);
}

/* The group that a flat form is of, if it is there. */
SfGroup *
sf_store_find_saved(SfStore *store, StoreWindow *window, const char *data, const char *end)
{
	SfLayout *layout = store->layout;
	Datum *keys = palloc(sizeof(Datum) * Max(layout->nkeys, 1));
	bool *nulls = palloc(sizeof(bool) * Max(layout->nkeys, 1));
	SfGroup *group;

	(void) load_keys(layout, &data, end, keys, nulls);
	group = sf_store_find(store, window, sf_layout_hash(layout, keys, nulls), keys, nulls);
	pfree(keys);
	pfree(nulls);
	return group != NULL && sf_group_is_there(layout, group->data) ? group : NULL;
}

/* Is the group of a flat form neither in memory nor of a life that still goes on? */
bool
sf_store_is_forgotten(SfStore *store, StoreWindow *window, SfTime before, const char *data, const char *end)
{
	SfLayout *layout = store->layout;
	Datum *keys = palloc(sizeof(Datum) * Max(layout->nkeys, 1));
	bool *nulls = palloc(sizeof(bool) * Max(layout->nkeys, 1));
	bool over = load_keys(layout, &data, end, keys, nulls) < before;

	if (over && window != NULL)
		over = sf_store_find(store, window, sf_layout_hash(layout, keys, nulls), keys, nulls) == NULL;
	pfree(keys);
	pfree(nulls);
	return over;
}

/* Is a flat form of this group, whatever it says of its states? */
bool
sf_store_is_saved(SfStore *store, SfGroup *group, const char *data, const char *end)
{
	SfLayout *layout = store->layout;
	Datum *keys = palloc(sizeof(Datum) * Max(layout->nkeys, 1));
	bool *nulls = palloc(sizeof(bool) * Max(layout->nkeys, 1));
	bool same;

	(void) load_keys(layout, &data, end, keys, nulls);
	sf_group_keys(layout, store->blobs.area, group->data, store->keys, store->nulls);
	same = sf_layout_equal(layout, store->keys, store->nulls, keys, nulls);
	pfree(keys);
	pfree(nulls);
	return same;
}

char *
sf_group_load_key(SfLayout *layout, const char **data, const char *end, uint32 *hash)
{
	Datum *keys = palloc(sizeof(Datum) * Max(layout->nkeys, 1));
	bool *nulls = palloc(sizeof(bool) * Max(layout->nkeys, 1));
	char *group = palloc0(layout->data_size);
	SfTime life = load_keys(layout, data, end, keys, nulls);

	if (layout->groups_leave)
		*(SfTime *) (group + layout->life_offset) = life;
	*hash = sf_layout_hash(layout, keys, nulls);
	for (int i = 0; i < layout->nkeys; i++)
	{
		if (nulls[i])
			*(uint64 *) (group + layout->nulls_offset) |= UINT64CONST(1) << i;
		else
			((Datum *) group)[i] = layout->keys[i].typbyval ? keys[i] : SfLocalToPointer(DatumGetPointer(keys[i]));
	}
	pfree(keys);
	pfree(nulls);
	return group;
}

void
sf_group_load_states(SfLayout *layout, char *group, SfTime life, const char **data, const char *end)
{
	SfBlobSpace local = {.area = NULL, .fragment = NULL, .tick = SF_TICK_NONE};
	Size states = layout->nulls_offset + sizeof(uint64);

	if (layout->groups_leave)
	{
		/* If it comes back it begins with nothing. */
		if (life < SF_LIFE_LEAST)
			memset(group + states, 0, layout->data_size - states);
		*(SfTime *) (group + layout->life_offset) = life;
		if (life < SF_LIFE_LEAST)
			return;
	}
	for (int i = 0; i < layout->naggs; i++)
		if (!is_saved_elsewhere(layout, i))
			sf_aggregate_load(layout->aggs[i], &local, group + layout->state_offset[i], data, end);
}
