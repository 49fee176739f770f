/*
 * session_index.c
 *		The parts of sessions in the panes of a store, found by their key; and whether a row is on time for one.
 *
 * Panes are looked at when the watermark comes near them, or a late row does.  Groups are put into parts once, in the
 * order in which they were made; a part knows those of its key in the panes next to it.  A heap has, for each part, a time
 * before which its session cannot be closed: where the part's last row turns out to be later, it is put in anew, and where
 * the session goes on in the next pane, it is that part's matter.
 *
 * While rows come, times are those before the tick: a row changes what later rows of its tick are judged by in nothing.
 */
#include "flow/session_private.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "fault.h"
#include "time/session.h"

#define MIN_PANES 8
#define MIN_DEADLINES 64

/* A pane's parts are allocated so many at a time. */
#define LEAST_PARTS 8
#define MOST_PARTS 512

typedef struct PartEntry
{
	const char *key; /* data of a group, or an image of one */
	uint32 hash;
	char status; /* for simplehash */
	SessionPart *part;
} PartEntry;

static bool same_key(parts_hash *parts, const char *a, const char *b);

#define SH_PREFIX parts
#define SH_ELEMENT_TYPE PartEntry
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, key) 0
#define SH_EQUAL(table, a, b) same_key(table, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- memory ---- */

/* The index is as large as the groups it finds, so it counts as the view's state; as it is once or twice a tick. */
void
sf_session_count_memory(SfSessions *sessions)
{
	sf_state_count_local(sf_store_blobs(sessions->store)->fragment, MemoryContextMemAllocated(sessions->context, true));
}

static void
count_nothing(void *fragment)
{
	sf_state_count_local(fragment, 0);
}

SfSessions *
sf_sessions_create(MemoryContext context, SfDefinition *definition, SfStore *store, void (*next_step)(void))
{
	SfSessions *sessions;
	MemoryContextCallback *callback;

	if (definition->session == NULL)
		return NULL;
	sessions = MemoryContextAllocZero(context, sizeof(SfSessions));
	sessions->context = AllocSetContextCreate(context, "streamfuse sessions", ALLOCSET_DEFAULT_SIZES);
	sessions->scratch = AllocSetContextCreate(context, "streamfuse sessions scratch", ALLOCSET_DEFAULT_SIZES);
	sessions->definition = definition;
	sessions->store = store;
	sessions->gap = definition->session->gap;
	sessions->next_step = next_step;
	sessions->generation = sf_store_generation(store);
	sessions->epoch = 1;
	sessions->image = MemoryContextAllocZero(sessions->context, definition->layout->data_size);
	callback = MemoryContextAllocZero(sessions->context, sizeof(MemoryContextCallback));
	callback->func = count_nothing;
	callback->arg = sf_store_blobs(store)->fragment;
	MemoryContextRegisterResetCallback(sessions->context, callback);
	return sessions;
}

/* ---- keys ---- */

static dsa_area *
area_of(const SfSessions *sessions)
{
	return sf_store_blobs(sessions->store)->area;
}

static bool
same_key(parts_hash *parts, const char *a, const char *b)
{
	SfSessions *sessions = ((SessionPane *) parts->private_data)->sessions;

	return sf_session_same_keys(sessions->definition, area_of(sessions), a, b);
}

/* Keys as a group has them, to be looked up. */
static uint32
make_image(SfSessions *sessions, const Datum *keys, const bool *nulls)
{
	const SfSessionSpec *spec = sessions->definition->session;
	SfLayout *layout = sessions->definition->layout;
	Datum *stored = (Datum *) sessions->image;
	uint64 bitmap = ~UINT64CONST(0);

	for (int i = 0; i < spec->nkeys; i++)
	{
		const SfKeyColumn *key = &layout->keys[spec->keys[i]];
		Datum value = keys[i];

		if (nulls[i])
			continue;
		bitmap &= ~(UINT64CONST(1) << spec->keys[i]);
		if (key->typlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM(value));
		stored[spec->keys[i]] = key->typbyval ? sf_key_normal(value, key->typlen)
		                                      : SfLocalToPointer(DatumGetPointer(value));
	}
	*(uint64 *) (sessions->image + layout->nulls_offset) = bitmap;
	return sf_layout_hash(spec->layout, keys, nulls);
}

/* ---- times ---- */

bool
sf_session_part_span(SfSessions *sessions, SessionPart *part)
{
	SfGroup **groups = part_groups(part);

	if (part->epoch == sessions->epoch)
		return part->exists;
	part->epoch = sessions->epoch;
	part->exists = false;
	for (uint32 i = 0; i < part->ngroups; i++)
	{
		const char *data = sessions->before ? sf_store_data_before(sessions->store, groups[i]) : groups[i]->data;
		SfTime first;
		SfTime last;

		if (data == NULL || !sf_session_span(sessions->definition, data, &first, &last))
			continue;
		part->first = part->exists ? Min(part->first, first) : first;
		part->last = part->exists ? Max(part->last, last) : last;
		part->exists = true;
	}
	return part->exists;
}

static SfTime
deadline_of(SfSessions *sessions, const SessionPart *part)
{
	return session_time(sessions, part->last, 1);
}

/* ---- deadlines ---- */

static void
push_deadline(SfSessions *sessions, SfTime at, SessionPart *part)
{
	SessionDeadline *heap;
	int i;

	sf_reserve(sessions->context, sessions->deadlines, sessions->max_deadlines, sessions->ndeadlines + 1,
	           MIN_DEADLINES);
	heap = sessions->deadlines;
	for (i = sessions->ndeadlines++; i > 0 && heap[(i - 1) / 2].at > at; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = (SessionDeadline){at, part};
}

/* Puts a deadline in the place of the least one, which is gone. */
static void
replace_least(SfSessions *sessions, SessionDeadline deadline)
{
	SessionDeadline *heap = sessions->deadlines;
	int n = sessions->ndeadlines;
	int i = 0;

	for (;;)
	{
		int child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1].at < heap[child].at)
			child++;
		if (heap[child].at >= deadline.at)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = deadline;
}

static void
drop_least(SfSessions *sessions)
{
	SessionDeadline last = sessions->deadlines[--sessions->ndeadlines];

	if (sessions->ndeadlines > 0)
		replace_least(sessions, last);
}

void
sf_session_add_deadline(SfSessions *sessions, SessionPart *part)
{
	push_deadline(sessions, deadline_of(sessions, part), part);
}

SessionPart *
sf_session_next_tail(SfSessions *sessions, SfTime until)
{
	while (sessions->ndeadlines > 0 && sessions->deadlines[0].at <= until)
	{
		SessionPart *part = sessions->deadlines[0].part;

		CHECK_FOR_INTERRUPTS();
		if (!part->closed && sf_session_part_span(sessions, part))
		{
			SfTime at = deadline_of(sessions, part);

			if (at > sessions->deadlines[0].at)
			{
				replace_least(sessions, (SessionDeadline){at, part});
				continue;
			}
			drop_least(sessions);
			if (sf_session_after(sessions, part) == NULL)
				return part;
		}
		else
			drop_least(sessions);
	}
	return NULL;
}

/* ---- panes ---- */

/* Index of the first known pane that starts there or later. */
static int
pane_place(const SfSessions *sessions, SfTime start)
{
	int low = 0;
	int high = sessions->npanes;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (sessions->panes[middle]->start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static SessionPane *
known_pane(const SfSessions *sessions, SfTime start)
{
	int place = pane_place(sessions, start);

	return place < sessions->npanes && sessions->panes[place]->start == start ? sessions->panes[place] : NULL;
}

static SessionPart *
find_part(SessionPane *pane, const char *key, uint32 hash)
{
	PartEntry *entry = pane != NULL ? parts_lookup_hash(pane->parts, key, hash) : NULL;

	return entry != NULL ? entry->part : NULL;
}

static SessionPart *
make_part(SfSessions *sessions, SessionPane *pane, SfGroup *group, uint32 hash)
{
	SessionPart *part;

	if (pane->nroom == 0)
	{
		pane->nroom = Min(MOST_PARTS, Max(LEAST_PARTS, pane->seen));
		pane->room = MemoryContextAllocZero(pane->context, sizeof(SessionPart) * pane->nroom);
	}
	part = pane->room++;
	pane->nroom--;
	part->pane = pane;
	part->max_groups = 1;
	part->before = find_part(known_pane(sessions, session_time(sessions, pane->start, -1)), group->data, hash);
	part->after = find_part(known_pane(sessions, session_time(sessions, pane->start, 1)), group->data, hash);
	if (part->before != NULL)
		part->before->after = part;
	if (part->after != NULL)
		part->after->before = part;
	return part;
}

static void
add_group(SessionPane *pane, SessionPart *part, SfGroup *group)
{
	if (part->ngroups == part->max_groups)
	{
		SfGroup **groups = MemoryContextAllocHuge(pane->context, sizeof(SfGroup *) * part->max_groups * 2);

		memcpy(groups, part_groups(part), sizeof(SfGroup *) * part->ngroups);
		if (part->max_groups > 1)
			pfree(part->many);
		part->many = groups;
		part->max_groups *= 2;
	}
	part_groups(part)[part->ngroups++] = group;
}

/* Groups made since the last time.  One of a row that failed is gone before anybody looks. */
static void
put_into_parts(SfSessions *sessions, SessionPane *pane)
{
	while (pane->seen < pane->window->ngroups)
	{
		SfGroup *group = sf_store_group_at(sessions->store, pane->window, pane->seen);
		uint32 hash = sf_session_hash(sessions->definition, area_of(sessions), group->data, group->hash);
		SessionPart *part = find_part(pane, group->data, hash);
		SfTime first;
		SfTime last;

		CHECK_FOR_INTERRUPTS();
		if (part == NULL)
		{
			bool found;
			PartEntry *entry;

			part = make_part(sessions, pane, group, hash);
			entry = parts_insert_hash(pane->parts, group->data, hash, &found);
			entry->part = part;
			if (!sf_session_span(sessions->definition, group->data, &first, &last))
				last = pane->start;
			push_deadline(sessions, session_time(sessions, last, 1), part);
		}
		add_group(pane, part, group);
		pane->seen++;
	}
}

static SessionPane *
add_pane(SfSessions *sessions, SfWindow *window)
{
	MemoryContext context = AllocSetContextCreate(sessions->context, "streamfuse session pane", ALLOCSET_SMALL_SIZES);
	SessionPane *pane = MemoryContextAllocZero(context, sizeof(SessionPane));
	int place = pane_place(sessions, window->start);

	pane->context = context;
	pane->sessions = sessions;
	pane->window = window;
	pane->start = window->start;
	pane->parts = parts_create(context, Max(window->ngroups, 16), pane);
	sf_reserve(sessions->context, sessions->panes, sessions->max_panes, sessions->npanes + 1, MIN_PANES);
	memmove(sessions->panes + place + 1, sessions->panes + place, sizeof(SessionPane *) * (sessions->npanes - place));
	sessions->panes[place] = pane;
	sessions->npanes++;
	return pane;
}

SessionPane *
sf_session_pane(SfSessions *sessions, SfTime start)
{
	SessionPane *pane = known_pane(sessions, start);

	if (pane == NULL)
	{
		SfWindow *window = sf_store_find_window(sessions->store, start);

		if (window == NULL || window->role != SF_WINDOW_PANE || window->closed != SF_TICK_NONE)
			return NULL;
		pane = add_pane(sessions, window);
	}
	put_into_parts(sessions, pane);
	return pane;
}

/* Its parts' sessions have been closed, or go on in the next pane: none of them has a deadline. */
void
sf_session_forget_pane(SfSessions *sessions, SessionPane *pane)
{
	int place = pane_place(sessions, pane->start);
	parts_iterator iterator;
	PartEntry *entry;

	parts_start_iterate(pane->parts, &iterator);
	while ((entry = parts_iterate(pane->parts, &iterator)) != NULL)
	{
		if (entry->part->after != NULL)
			entry->part->after->before = NULL;
		if (entry->part->before != NULL)
			entry->part->before->after = NULL;
	}
	sessions->npanes--;
	memmove(sessions->panes + place, sessions->panes + place + 1, sizeof(SessionPane *) * (sessions->npanes - place));
	MemoryContextDelete(pane->context);
}

List *
sf_session_parts(SessionPane *pane)
{
	List *parts = NIL;
	parts_iterator iterator;
	PartEntry *entry;

	parts_start_iterate(pane->parts, &iterator);
	while ((entry = parts_iterate(pane->parts, &iterator)) != NULL)
		parts = lappend(parts, entry->part);
	return parts;
}

/* ---- ticks ---- */

void
sf_sessions_forget(SfSessions *sessions)
{
	while (sessions->npanes > 0)
		MemoryContextDelete(sessions->panes[--sessions->npanes]->context);
	if (sessions->deadlines != NULL)
		pfree(sessions->deadlines);
	sessions->deadlines = NULL;
	sessions->ndeadlines = sessions->max_deadlines = 0;
	sessions->generation = sf_store_generation(sessions->store);
	sf_session_count_memory(sessions);
}

static void
forget_what_is_gone(SfSessions *sessions)
{
	if (sessions->generation != sf_store_generation(sessions->store))
		sf_sessions_forget(sessions);
}

void
sf_sessions_begin(SfSessions *sessions)
{
	forget_what_is_gone(sessions);
	sessions->before = true;
	sessions->epoch++;
	sf_session_count_memory(sessions);
}

void
sf_sessions_settle(SfSessions *sessions)
{
	forget_what_is_gone(sessions);
	sessions->before = false;
	sessions->epoch++;
}

/* ---- chains ---- */

/* The part in the pane next to it, if it has rows. */
static SessionPart *
neighbour(SfSessions *sessions, SessionPart *part, int direction)
{
	SessionPart *found;

	found = direction < 0 ? part->before : part->after;
	if (found == NULL)
	{
		/* Where the pane is not known yet, or has new groups, that sets the link. */
		(void) sf_session_pane(sessions, session_time(sessions, part->pane->start, direction));
		found = direction < 0 ? part->before : part->after;
	}
	return found != NULL && sf_session_part_span(sessions, found) ? found : NULL;
}

SessionPart *
sf_session_before(SfSessions *sessions, SessionPart *part)
{
	SessionPart *before = neighbour(sessions, part, -1);

	return before != NULL && !sf_session_apart(before->last, part->first, sessions->gap) ? before : NULL;
}

SessionPart *
sf_session_after(SfSessions *sessions, SessionPart *part)
{
	SessionPart *after = neighbour(sessions, part, 1);

	return after != NULL && !sf_session_apart(part->last, after->first, sessions->gap) ? after : NULL;
}

/* ---- rows ---- */

/* Was the part's session closed when the tick began? */
static bool
is_closed(SfSessions *sessions, SessionPart *part, SfTime closed_until)
{
	while (part != NULL && !part->closed)
	{
		if (deadline_of(sessions, part) > closed_until)
			return false;
		part = sf_session_after(sessions, part);
	}
	return true;
}

bool
sf_sessions_on_time(SfSessions *sessions, SfTime time, const Datum *keys, const bool *nulls, SfTime closed_until,
                    SfTime *pane)
{
	SfTime first_pane = session_first_pane(sessions, closed_until);
	SfTime own = session_pane_start(sessions, time);
	bool touches = false;
	bool inside = false;
	uint32 hash;

	forget_what_is_gone(sessions);
	hash = make_image(sessions, keys, nulls);
	*pane = Max(own, first_pane);
	for (int i = -1; i <= 1; i++)
	{
		SfTime start = session_time(sessions, own, i);
		SessionPart *part;

		/* What is older than the first pane has come to be in it. */
		if (own < first_pane && i == 0)
			start = first_pane;
		else if (start < first_pane || own < first_pane)
			continue;
		part = find_part(sf_session_pane(sessions, start), sessions->image, hash);
		if (part == NULL || !sf_session_part_span(sessions, part) ||
		    sf_session_apart(part->last, time, sessions->gap) || sf_session_apart(time, part->first, sessions->gap))
			continue;
		if (is_closed(sessions, part, closed_until) && !SF_BUG("closed-session-extended"))
			return false;
		touches = true;
		inside |= part->first <= time;
	}
	if (session_time(sessions, time, 1) > closed_until)
		return true;
	return touches && (inside || session_time(sessions, time, 2) > closed_until);
}
