/*
 * define_session.c
 *		Session windows of a definition: what tells a session's rows from others, and where a group has its times.
 *
 * Each group of a pane carries the least and the greatest time of its rows, as two aggregates behind those of the query.
 * So what sessions are is kept, combined, undone and saved like any aggregate's state, and a window's start and end are
 * read off its groups.
 */
#include "plan/fragment.h"

#include "catalog/pg_aggregate.h"
#include "nodes/makefuncs.h"
#include "utils/fmgroids.h"

#include "plan/define_parts.h"

/*
 * The least or the greatest time.  Where a session's rows are one group it may share its state with one of Q's
 * aggregates; where they are several, these have their session's times in the end, and the name keeps it apart.
 */
static Aggref *
time_aggref(SfDefinition *definition, bool least)
{
	bool zoned = definition->time_type == TIMESTAMPTZOID;
	char *name = definition->session->by_group ? NULL : pstrdup("session");
	Aggref *aggref = makeNode(Aggref);

	if (least)
		aggref->aggfnoid = zoned ? F_MIN_TIMESTAMPTZ : F_MIN_TIMESTAMP;
	else
		aggref->aggfnoid = zoned ? F_MAX_TIMESTAMPTZ : F_MAX_TIMESTAMP;
	aggref->aggtype = definition->time_type;
	aggref->aggargtypes = list_make1_oid(definition->time_type);
	aggref->args = list_make1(makeTargetEntry(copyObject(definition->time), 1, name, false));
	aggref->aggkind = AGGKIND_NORMAL;
	aggref->aggsplit = AGGSPLIT_SIMPLE;
	aggref->aggno = aggref->aggtransno = -1;
	aggref->location = -1;
	return aggref;
}

void
sf_define_session_times(SfDefinition *definition)
{
	definition->aggrefs = lappend(definition->aggrefs, time_aggref(definition, true));
	definition->aggrefs = lappend(definition->aggrefs, time_aggref(definition, false));
}

void
sf_define_session_keys(SfDefinition *definition, const Bitmapset *keys)
{
	SfSessionSpec *session = definition->session;
	int key = -1;

	session->keys = palloc(sizeof(int) * Max(definition->nkeys, 1));
	while ((key = bms_next_member(keys, key)) >= 0)
		session->keys[session->nkeys++] = key;
	session->by_group = session->nkeys == definition->nkeys;
}

void
sf_define_session_layout(SfDefinition *definition)
{
	SfSessionSpec *session = definition->session;
	int n = Max(session->nkeys, 1);
	Oid *types = palloc(n * sizeof(Oid));
	int32 *typmods = palloc(n * sizeof(int32));
	Oid *collations = palloc(n * sizeof(Oid));

	for (int i = 0; i < session->nkeys; i++)
	{
		const SfKeyColumn *key = &definition->layout->keys[session->keys[i]];

		types[i] = key->type;
		typmods[i] = key->typmod;
		collations[i] = key->collation;
	}
	session->layout = sf_layout_create(definition->context, session->nkeys, types, typmods, collations, 0, NULL);
}

bool
sf_session_span(const SfDefinition *definition, const char *data, SfTime *first, SfTime *last)
{
	const SfLayout *layout = definition->layout;
	int least = layout->naggs - 2;
	int greatest = layout->naggs - 1;
	bool no_first;
	bool no_last;

	*first = DatumGetInt64(
	    sf_aggregate_result(layout->aggs[least], NULL, data + layout->state_offset[least], &no_first));
	*last = DatumGetInt64(
	    sf_aggregate_result(layout->aggs[greatest], NULL, data + layout->state_offset[greatest], &no_last));
	Assert(no_first == no_last);
	return !no_first;
}

void
sf_session_widen(const SfDefinition *definition, SfBlobSpace *blobs, char *data, SfTime first, SfTime last)
{
	const SfLayout *layout = definition->layout;

	for (int agg = layout->naggs - 2; agg < layout->naggs; agg++)
	{
		Datum time = Int64GetDatum(agg == layout->naggs - 2 ? first : last);
		bool isnull = false;

		sf_aggregate_advance(layout->aggs[agg], blobs, data + layout->state_offset[agg], &time, &isnull, NULL, 0);
	}
}

static void
session_keys(const SfDefinition *definition, dsa_area *area, const char *data, Datum *keys, bool *nulls)
{
	const SfSessionSpec *session = definition->session;
	Datum all_keys[SF_LAYOUT_MAX_KEYS];
	bool all_nulls[SF_LAYOUT_MAX_KEYS];

	sf_group_keys(definition->layout, area, data, all_keys, all_nulls);
	for (int i = 0; i < session->nkeys; i++)
	{
		keys[i] = all_keys[session->keys[i]];
		nulls[i] = all_nulls[session->keys[i]];
	}
}

bool
sf_session_same_keys(const SfDefinition *definition, dsa_area *area, const char *a, const char *b)
{
	Datum keys[2][SF_LAYOUT_MAX_KEYS];
	bool nulls[2][SF_LAYOUT_MAX_KEYS];

	session_keys(definition, area, a, keys[0], nulls[0]);
	session_keys(definition, area, b, keys[1], nulls[1]);
	return sf_layout_equal(definition->session->layout, keys[0], nulls[0], keys[1], nulls[1]);
}

uint32
sf_session_hash(const SfDefinition *definition, dsa_area *area, const char *data, uint32 hash)
{
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];

	if (definition->session->by_group)
		return hash;
	session_keys(definition, area, data, keys, nulls);
	return sf_layout_hash(definition->session->layout, keys, nulls);
}
