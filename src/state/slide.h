/*
 * slide.h
 *		Windows as running combinations of their panes: what moves in at the end and out at the beginning.
 *
 * Groups are put in by ascending segments, where a segment is the greatest window start that a group still belongs to;
 * windows are asked for by ascending starts.  Whatever the overlap, a group costs a constant number of combinations, and
 * each group of a window one or two more; no aggregate needs an inverse.  All memory is local to the process.
 */
#ifndef SF_SLIDE_H
#define SF_SLIDE_H

#include "streamfuse.h"

#include "state/store.h"

typedef struct SfSlide SfSlide;

extern SfSlide *sf_slide_create(MemoryContext context, SfLayout *layout);
extern void sf_slide_reset(SfSlide *slide);
extern void sf_slide_destroy(SfSlide *slide);

/* Bytes that it holds. */
extern Size sf_slide_bytes(const SfSlide *slide);

/*
 * Puts a group of a pane in, in shared memory or a reader's copy; blobs says where its blobs are.  From now on no group
 * of a lower segment may come.
 */
extern void sf_slide_add(SfSlide *slide, SfTime segment, uint32 hash, SfBlobSpace *blobs, const char *data);

/*
 * The groups of the window that starts at `start`, whose panes have all been put in, and no later ones.  Begin, then one
 * after the other; nothing may be put in before the end, which is when next() says false.  A part that is NULL has
 * nothing; there is always one.  They are what the window's group combines, in this order, and belong to the slide.
 */
typedef struct SfSlideGroup
{
	const char *key;			/* data of a group, of which the keys count: a reader's copy */
	uint32		hash;
	const char *parts[2];
} SfSlideGroup;
extern void sf_slide_begin(SfSlide *slide, SfTime start);
extern bool sf_slide_next(SfSlide *slide, SfSlideGroup *group);

/* Is there no group in it?  Known behind the end of a window. */
extern bool sf_slide_is_empty(const SfSlide *slide);

/* Combines the parts of a group into fresh states, inside data of a group. */
extern void sf_slide_combine(SfSlide *slide, const SfSlideGroup *group, SfBlobSpace *blobs, char *data);

/* The group as a reader's copy in CurrentMemoryContext, keys not copied. */
extern char *sf_slide_copy(SfSlide *slide, const SfSlideGroup *group);

#endif /* SF_SLIDE_H */
