/*
 * live_sessions.c
 *		Open sessions, formed from the groups of panes as they were at the statement's tick.
 *
 * Panes come in ascending order.  For each key of sessions there is the one that is at hand: when the groups of a pane
 * are there, it goes on with them or, where they begin the gap later or more, is given out and they begin another.  That
 * is asked of all groups together that a pane has of the key.  See flow/session.h; what closes is formed alike, by
 * flow/session_close.c.
 */
#include "read/live_sessions.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "state/local_group.h"
#include "time/session.h"

/* A group of a session. */
typedef struct LivePart
{
	char *keys;
	char *states;
	uint32 hash;
	struct LivePart *next;
} LivePart;

/* The session at hand of a key, and what the pane at hand has of it. */
typedef struct LiveSession
{
	const char *key; /* data of a group */
	LivePart *parts; /* NULL: there is none */
	SfTime first;
	SfTime last;
	LivePart *fresh;
	SfTime fresh_first;
	SfTime fresh_last;
	uint32 hash;
	char status; /* for simplehash */
} LiveSession;

/* A group by all of its keys: of the session at hand, or among those given out. */
typedef struct LiveEntry
{
	const char *key;
	uint32 hash;
	char status;
	LivePart *part;
} LiveEntry;

static bool same_session(void *arg, const char *a, const char *b);
static bool same_group(void *arg, const char *a, const char *b);

#define SH_PREFIX open
#define SH_ELEMENT_TYPE LiveSession
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, key) 0
#define SH_EQUAL(table, a, b) same_session((table)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX entries
#define SH_ELEMENT_TYPE LiveEntry
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, key) 0
#define SH_EQUAL(table, a, b) same_group((table)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct SfLiveSessions
{
	MemoryContext context; /* of all below */
	MemoryContext scratch; /* of combinations */
	SfDefinition *definition;
	SfPaneSource source;
	SfTime closed_until;
	SfBlobSpace local;

	bool formed;
	open_hash *open;
	entries_hash *parts; /* of the sessions at hand, by all keys; NULL where each is one group */
	entries_hash *given; /* those given out; NULL where they cannot be equal */
	List *touched;       /* keys that the pane at hand has */
	SfGroupCopy *groups;
	int64 ngroups;
	int64 max_groups;
	int64 next;
};

SfLiveSessions *
sf_live_sessions_create(MemoryContext context, SfDefinition *definition, const SfPaneSource *source,
                        SfTime closed_until)
{
	SfLiveSessions *sessions = MemoryContextAllocZero(context, sizeof(SfLiveSessions));

	sessions->context = AllocSetContextCreate(context, "streamfuse open sessions", ALLOCSET_DEFAULT_SIZES);
	sessions->scratch = AllocSetContextCreate(context, "streamfuse open sessions scratch", ALLOCSET_DEFAULT_SIZES);
	sessions->definition = definition;
	sessions->source = *source;
	sessions->closed_until = closed_until;
	sessions->local = (SfBlobSpace){.area = NULL, .fragment = NULL, .tick = SF_TICK_NONE, .local = sessions->context};
	return sessions;
}

void
sf_live_sessions_restart(SfLiveSessions *sessions)
{
	const SfDefinition *definition = sessions->definition;
	MemoryContext old;

	MemoryContextReset(sessions->context);
	old = MemoryContextSwitchTo(sessions->context);
	sessions->formed = false;
	sessions->touched = NIL;
	sessions->groups = NULL;
	sessions->ngroups = sessions->max_groups = sessions->next = 0;
	sessions->open = open_create(sessions->context, 64, sessions);
	sessions->parts = definition->session->by_group ? NULL : entries_create(sessions->context, 64, sessions);
	sessions->given = definition->nsession_keys == 0 ? NULL : entries_create(sessions->context, 64, sessions);
	MemoryContextSwitchTo(old);
}

/* ---- keys ---- */

static bool
same_session(void *arg, const char *a, const char *b)
{
	SfLiveSessions *sessions = arg;

	return sf_session_same_keys(sessions->definition, sessions->source.blobs.area, a, b);
}

/* By the keys, and where there are, by the times: those of groups that are given out. */
static bool
same_group(void *arg, const char *a, const char *b)
{
	SfLiveSessions *sessions = arg;
	SfTime first[2];
	SfTime last[2];

	if (sf_session_span(sessions->definition, a, &first[0], &last[0]) &&
	    sf_session_span(sessions->definition, b, &first[1], &last[1]) && (first[0] != first[1] || last[0] != last[1]))
		return false;
	return sf_group_same_keys(sessions->definition->layout, sessions->source.blobs.area, a, b);
}

/* ---- groups that are given out ---- */

/* A group of a closed window has its session's times, and no key that is of the session alone. */
static void
finish_data(SfLiveSessions *sessions, const LiveSession *session, LivePart *part)
{
	const SfDefinition *definition = sessions->definition;
	SfLayout *layout = definition->layout;
	uint64 *bitmap = (uint64 *) (part->states + layout->nulls_offset);

	memcpy(part->states, part->keys, layout->nulls_offset + sizeof(uint64));
	for (int i = definition->ngroup_keys; i < definition->ngroup_keys + definition->nsession_keys; i++)
		*bitmap |= UINT64CONST(1) << i;
	sf_session_widen(definition, &sessions->local, part->states, session->first, session->last);
}

/* The key to find equal groups by: the times, and the keys. */
static uint32
given_hash(SfLiveSessions *sessions, const LiveSession *session, const char *data)
{
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];
	uint32 hash;

	sf_group_keys(sessions->definition->layout, sessions->source.blobs.area, data, keys, nulls);
	hash = sf_layout_hash(sessions->definition->layout, keys, nulls);
	return hash_combine(
	    hash, hash_combine(sf_int_hash(Int64GetDatum(session->first)), sf_int_hash(Int64GetDatum(session->last))));
}

/* Is there one with these times and keys?  Then the states are combined into it. */
static bool
is_given(SfLiveSessions *sessions, const LiveSession *session, LivePart *part)
{
	uint32 hash = given_hash(sessions, session, part->states);
	bool found;
	LiveEntry *entry;

	entry = entries_insert_hash(sessions->given, part->states, hash, &found);
	if (found)
		sf_combine_states(sessions->definition->layout, &sessions->local, entry->part->states, &sessions->local,
		                  part->states);
	else
		entry->part = part;
	return found;
}

static void
give(SfLiveSessions *sessions, const LiveSession *session, LivePart *part)
{
	sf_reserve(sessions->context, sessions->groups, sessions->max_groups, sessions->ngroups + 1, 64);
	sessions->groups[sessions->ngroups++] = (SfGroupCopy){session->first, session->last, part->hash, part->states};
}

/* The session at hand has come to its end. */
static void
finish_session(SfLiveSessions *sessions, LiveSession *session)
{
	SfLayout *layout = sessions->definition->layout;
	bool open = sf_session_end(session->last, sessions->definition->session->gap) > sessions->closed_until;
	LivePart *next;

	for (LivePart *part = session->parts; part != NULL; part = next)
	{
		next = part->next;
		if (sessions->parts != NULL)
			entries_delete_item(sessions->parts, entries_lookup_hash(sessions->parts, part->keys, part->hash));
		if (open)
		{
			finish_data(sessions, session, part);
			if (sessions->given != NULL && is_given(sessions, session, part))
				continue;
			give(sessions, session, part);
		}
		else
		{
			sf_local_free_states(layout, &sessions->local, part->states);
			if (part->keys != session->key)
				sf_local_free_keys(layout, part->keys);
			pfree(part);
		}
	}
	session->parts = NULL;
}

/* ---- groups of panes ---- */

static void
add_part(SfLiveSessions *sessions, LiveSession *session, LivePart *part)
{
	SfLayout *layout = sessions->definition->layout;
	LivePart *into = session->parts;

	if (sessions->parts != NULL)
	{
		LiveEntry *entry;
		bool found;

		entry = entries_insert_hash(sessions->parts, part->keys, part->hash, &found);
		if (!found)
			entry->part = part;
		into = found ? entry->part : NULL;
	}
	if (into == NULL)
	{
		part->next = session->parts;
		session->parts = part;
		return;
	}
	sf_combine_states(layout, &sessions->local, into->states, &sessions->local, part->states);
	sf_local_free_states(layout, &sessions->local, part->states);
	if (part->keys != session->key)
		sf_local_free_keys(layout, part->keys);
	pfree(part);
}

/* All groups of a pane are there. */
static void
finish_pane(SfLiveSessions *sessions)
{
	int64 gap = sessions->definition->session->gap;
	ListCell *cell;

	foreach (cell, sessions->touched)
	{
		LivePart *first = lfirst(cell);
		LiveSession *session = open_lookup_hash(sessions->open, first->keys, first->hash);
		LivePart *next;

		if (session->parts != NULL && sf_session_apart(session->last, session->fresh_first, gap))
			finish_session(sessions, session);
		session->first = session->parts != NULL ? Min(session->first, session->fresh_first) : session->fresh_first;
		session->last = session->parts != NULL ? Max(session->last, session->fresh_last) : session->fresh_last;
		for (LivePart *part = session->fresh; part != NULL; part = next)
		{
			next = part->next;
			add_part(sessions, session, part);
		}
		session->fresh = NULL;
	}
	list_free_deep(sessions->touched);
	sessions->touched = NIL;
}

/* For finish_pane: a session's place in the table may change. */
static void
note_touched(SfLiveSessions *sessions, const LiveSession *session)
{
	MemoryContext old = MemoryContextSwitchTo(sessions->context);
	LivePart *touched = palloc0(sizeof(LivePart));

	touched->keys = (char *) session->key;
	touched->hash = session->hash;
	sessions->touched = lappend(sessions->touched, touched);
	MemoryContextSwitchTo(old);
}

static void
take_group(SfLiveSessions *sessions, const SfGroupCopy *group)
{
	SfLayout *layout = sessions->definition->layout;
	SfBlobSpace *blobs = &sessions->source.blobs;
	LiveSession *session;
	LivePart *part;
	SfTime first;
	SfTime last;
	bool found;

	if (!sf_session_span(sessions->definition, group->data, &first, &last))
		return;
	session = open_insert_hash(sessions->open, group->data,
	                           sf_session_hash(sessions->definition, blobs->area, group->data, group->hash), &found);
	if (!found)
	{
		session->parts = session->fresh = NULL;
		session->key = sf_local_copy_keys(layout, &sessions->local, blobs, group->data);
	}
	part = MemoryContextAlloc(sessions->context, sizeof(LivePart));
	part->keys = sf_local_copy_keys(layout, &sessions->local, blobs, group->data);
	part->states = sf_local_copy_states(layout, &sessions->local, blobs, group->data);
	part->hash = group->hash;
	part->next = session->fresh;
	if (session->fresh == NULL)
	{
		note_touched(sessions, session);
		session->fresh_first = first;
		session->fresh_last = last;
	}
	session->fresh_first = Min(session->fresh_first, first);
	session->fresh_last = Max(session->fresh_last, last);
	session->fresh = part;
}

static void
form_sessions(SfLiveSessions *sessions)
{
	MemoryContext old = MemoryContextSwitchTo(sessions->scratch);
	SfTime pane = SF_TIME_MINUS_INFINITY;
	open_iterator iterator;
	LiveSession *session;
	SfGroupCopy group;

	sessions->source.begin(sessions->source.arg, SF_TIME_MINUS_INFINITY);
	while (sessions->source.next(sessions->source.arg, &group))
	{
		CHECK_FOR_INTERRUPTS();
		if (group.start != pane)
		{
			finish_pane(sessions);
			MemoryContextReset(sessions->scratch);
		}
		pane = group.start;
		take_group(sessions, &group);
	}
	finish_pane(sessions);
	open_start_iterate(sessions->open, &iterator);
	while ((session = open_iterate(sessions->open, &iterator)) != NULL)
		finish_session(sessions, session);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sessions->scratch);
	sessions->formed = true;
}

bool
sf_live_sessions_next(SfLiveSessions *sessions, SfGroupCopy *copy)
{
	if (!sessions->formed)
		form_sessions(sessions);
	if (sessions->next >= sessions->ngroups)
		return false;
	*copy = sessions->groups[sessions->next++];
	return true;
}
