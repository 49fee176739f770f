/*
 * assembly.h
 *		Windows that overlap, assembled from the groups of their panes, one after the other.
 *
 * The groups come from a source by ascending panes: from the worker's store when windows close, from a reader's scan of
 * it, or from the state table.  Windows come out in order of end, and of start for those with the same end, which is an
 * ascending order of starts, too.  Only windows that have a group are given.
 */
#ifndef SF_ASSEMBLY_H
#define SF_ASSEMBLY_H

#include "streamfuse.h"

#include "state/slide.h"
#include "time/window.h"

/* Groups by ascending panes.  What next() gives must stay as it is until the call after it; false: there is none. */
typedef struct SfPaneSource
{
	void		(*begin) (void *arg, SfTime from);	/* goes to the first pane that starts there or later */
	bool		(*next) (void *arg, SfGroupCopy *copy);
	void	   *arg;
	SfBlobSpace blobs;			/* where the blobs of the groups are */
} SfPaneSource;

typedef struct SfAssembly SfAssembly;

/*
 * The specification and what the source points to are borrowed.  Beyond so many bytes of local memory windows are put
 * together one by one from all of their panes, which takes longer.
 */
extern SfAssembly *sf_assembly_create(MemoryContext context, const SfWindowSpec *spec, SfLayout *layout,
									  const SfPaneSource *source, Size limit_bytes);
extern void sf_assembly_destroy(SfAssembly *assembly);

/* Which windows are asked for: start in [from, to), end in (end_after, end_until]. */
typedef struct SfWindowRange
{
	SfTime		from;
	SfTime		to;
	SfTime		end_after;
	SfTime		end_until;
} SfWindowRange;

/* Begins anew: nothing is known of the panes. */
extern void sf_assembly_restart(SfAssembly *assembly, const SfWindowRange *range);

/*
 * Goes on with a range that begins where the last one ended, end_until then being end_after now.  No pane that starts
 * before sf_assembly_taken_until() may have changed since.
 */
extern void sf_assembly_continue(SfAssembly *assembly, const SfWindowRange *range);

/* Groups of panes that start before it have been taken in; MINUS_INFINITY: none. */
extern SfTime sf_assembly_taken_until(const SfAssembly *assembly);

/* The next group, and whether it is the first of its window. */
typedef struct SfAssembled
{
	SfTime		start;
	SfTime		end;
	bool		first;
	SfSlideGroup group;
} SfAssembled;
extern bool sf_assembly_next(SfAssembly *assembly, SfAssembled *assembled);

/* The states of the group that came last: combined into fresh ones, or with the keys as a reader's copy. */
extern void sf_assembly_combine(SfAssembly *assembly, const SfAssembled *assembled, SfBlobSpace *blobs, char *data);
extern char *sf_assembly_copy(SfAssembly *assembly, const SfAssembled *assembled);

#endif /* SF_ASSEMBLY_H */
