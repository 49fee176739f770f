/*
 * slide.c
 *		Windows as running combinations of their panes.
 *
 * For each key there is a queue of items, one for each segment in which the key occurs, oldest first, in two halves.
 * Items of the first half are settled: each is the combination of itself with all settled ones behind it, so that the
 * foremost is what a window takes of all of them.  Items of the second half are as they came; what all of them come to
 * is kept beside, as `recent`.  A window of the key is the foremost settled item combined with `recent`.
 *
 * When the last settled item has moved out, and the first of the others moves out, too, the second half is settled, from
 * its end to its beginning.  So each item is combined twice in all, once into `recent` and once when it is settled.
 */
#include "state/slide.h"

#include "utils/memutils.h"

#include "state/local_group.h"

/* States of a key in a segment.  Only the states of data count; keys are those of the queue. */
typedef struct SlideItem
{
	SfTime segment;
	char *data;
} SlideItem;

typedef struct SlideQueue
{
	char *key; /* data of a group, local */
	uint32 hash;
	char status; /* for simplehash */
	int first;   /* items before it have moved out */
	int settled; /* items before it are settled */
	int nitems;
	int max_items;
	SlideItem *items;
	char *recent; /* NULL when there is at most one item that is not settled */
} SlideQueue;

typedef struct queues_hash queues_hash;
static bool same_key(queues_hash *queues, const char *a, const char *b);

#define SH_PREFIX queues
#define SH_ELEMENT_TYPE SlideQueue
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

struct SfSlide
{
	MemoryContext context; /* of queues and their items */
	MemoryContext scratch; /* of combinations */
	SfLayout *layout;
	SfBlobSpace local; /* of what is in items */
	queues_hash *queues;
	queues_iterator iterator;
	SfTime start; /* of the window that is asked for */
};

static bool
same_key(queues_hash *queues, const char *a, const char *b)
{
	SfSlide *slide = queues->private_data;
	SfLayout *layout = slide->layout;

	return sf_group_same_keys(layout, layout->nkeys > 0 ? sf_area() : NULL, a, b);
}

static void
create_queues(SfSlide *slide)
{
	slide->queues = queues_create(slide->context, 64, slide);
}

SfSlide *
sf_slide_create(MemoryContext context, SfLayout *layout)
{
	SfSlide *slide = MemoryContextAllocZero(context, sizeof(SfSlide));

	slide->context = AllocSetContextCreate(context, "streamfuse slide", ALLOCSET_DEFAULT_SIZES);
	slide->layout = layout;
	slide->scratch = AllocSetContextCreate(context, "streamfuse slide scratch", ALLOCSET_DEFAULT_SIZES);
	slide->local = (SfBlobSpace){.area = NULL, .fragment = NULL, .tick = SF_TICK_NONE, .local = slide->context};
	create_queues(slide);
	return slide;
}

void
sf_slide_reset(SfSlide *slide)
{
	MemoryContextReset(slide->context);
	create_queues(slide);
}

void
sf_slide_destroy(SfSlide *slide)
{
	MemoryContextDelete(slide->context);
	MemoryContextDelete(slide->scratch);
	pfree(slide);
}

Size
sf_slide_bytes(const SfSlide *slide)
{
	return MemoryContextMemAllocated(slide->context, true);
}

bool
sf_slide_is_empty(const SfSlide *slide)
{
	return slide->queues->members == 0;
}

/* ---- queues ---- */

static void
append_item(SfSlide *slide, SlideQueue *queue, SfTime segment, char *data)
{
	if (queue->nitems == queue->max_items && queue->first > queue->nitems / 2)
	{
		memmove(queue->items, queue->items + queue->first, (queue->nitems - queue->first) * sizeof(SlideItem));
		queue->nitems -= queue->first;
		queue->settled -= queue->first;
		queue->first = 0;
	}
	sf_reserve(slide->context, queue->items, queue->max_items, queue->nitems + 1, 4);
	queue->items[queue->nitems++] = (SlideItem){segment, data};
}

void
sf_slide_add(SfSlide *slide, SfTime segment, uint32 hash, SfBlobSpace *blobs, const char *data)
{
	MemoryContext old = MemoryContextSwitchTo(slide->scratch);
	SlideQueue *queue;
	bool found;

	queue = queues_insert_hash(slide->queues, data, hash, &found);
	if (!found)
	{
		queue->key = sf_local_copy_keys(slide->layout, &slide->local, blobs, data);
		queue->first = queue->settled = queue->nitems = queue->max_items = 0;
		queue->items = NULL;
		queue->recent = NULL;
	}
	if (queue->nitems > queue->settled)
	{
		SlideItem *last = &queue->items[queue->nitems - 1];
		bool same = last->segment == segment;

		Assert(last->segment <= segment);
		if (queue->recent == NULL && !same)
			queue->recent = sf_local_copy_states(slide->layout, &slide->local, &slide->local, last->data);
		if (queue->recent != NULL)
			sf_combine_states(slide->layout, &slide->local, queue->recent, blobs, data);
		if (same)
			sf_combine_states(slide->layout, &slide->local, last->data, blobs, data);
		else
			append_item(slide, queue, segment, sf_local_copy_states(slide->layout, &slide->local, blobs, data));
	}
	else
		append_item(slide, queue, segment, sf_local_copy_states(slide->layout, &slide->local, blobs, data));
	MemoryContextSwitchTo(old);
	MemoryContextReset(slide->scratch);
}

/* Moves out what is in segments before a window's start, up to a place in the queue. */
static void
move_out(SfSlide *slide, SlideQueue *queue, int until)
{
	while (queue->first < until && queue->items[queue->first].segment < slide->start)
		sf_local_free_states(slide->layout, &slide->local, queue->items[queue->first++].data);
}

static void
settle(SfSlide *slide, SlideQueue *queue)
{
	for (int i = queue->nitems - 2; i >= queue->first; i--)
		sf_combine_states(slide->layout, &slide->local, queue->items[i].data, &slide->local, queue->items[i + 1].data);
	queue->settled = queue->nitems;
	if (queue->recent != NULL)
		sf_local_free_states(slide->layout, &slide->local, queue->recent);
	queue->recent = NULL;
}

/* False: nothing of the key is in the window, nor in any later one so far. */
static bool
move_queue(SfSlide *slide, SlideQueue *queue)
{
	move_out(slide, queue, queue->settled);
	if (queue->first == queue->settled && queue->first < queue->nitems &&
	    queue->items[queue->first].segment < slide->start)
	{
		move_out(slide, queue, queue->nitems);
		settle(slide, queue);
	}
	return queue->first < queue->nitems;
}

void
sf_slide_begin(SfSlide *slide, SfTime start)
{
	slide->start = start;
	queues_start_iterate(slide->queues, &slide->iterator);
}

bool
sf_slide_next(SfSlide *slide, SfSlideGroup *group)
{
	SlideQueue *queue;

	while ((queue = queues_iterate(slide->queues, &slide->iterator)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(slide->scratch);
		bool any = move_queue(slide, queue);

		if (!any)
		{
			sf_local_free_keys(slide->layout, queue->key);
			pfree(queue->items);
			queues_delete_item(slide->queues, queue);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(slide->scratch);
		if (!any)
			continue;
		group->key = queue->key;
		group->hash = queue->hash;
		group->parts[0] = queue->first < queue->settled ? queue->items[queue->first].data : NULL;
		if (queue->settled == queue->nitems)
			group->parts[1] = NULL;
		else
			group->parts[1] = queue->recent != NULL ? queue->recent : queue->items[queue->settled].data;
		return true;
	}
	return false;
}

void
sf_slide_combine(SfSlide *slide, const SfSlideGroup *group, SfBlobSpace *blobs, char *data)
{
	for (int part = 0; part < 2; part++)
		if (group->parts[part] != NULL)
			sf_combine_states(slide->layout, blobs, data, &slide->local, group->parts[part]);
}

char *
sf_slide_copy(SfSlide *slide, const SfSlideGroup *group)
{
	SfLayout *layout = slide->layout;
	SfBlobSpace current = {.area = NULL, .fragment = NULL, .tick = SF_TICK_NONE};
	char *copy = palloc(layout->data_size);

	memcpy(copy, group->key, layout->data_size);
	for (int i = 0; i < layout->naggs; i++)
		if (!layout->shares_state[i])
			sf_aggregate_start(layout->aggs[i], &current, copy + layout->state_offset[i]);
	sf_slide_combine(slide, group, &current, copy);
	return copy;
}
