/*
 * assembly.c
 *		Windows that overlap, assembled from the groups of their panes: which windows there are, and what each takes in.
 *
 * The panes say which windows there are: each enumeration of windows is up to the last one of the next pane that has
 * groups, and begins no earlier than that pane, so that no window without a group is met, however far apart the rows
 * are.  A window takes in the panes up to its end; what lies before its start moves out of the slide (state/slide.h).
 *
 * When the slide has outgrown its limit, each window is put together from its panes alone for a while, in one item for
 * each key: slower, but in no more memory than the window's groups need.
 */
#include "flow/assembly.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* So many windows are put together one by one before the slide is tried again. */
#define DIRECT_WINDOWS 64

struct SfAssembly
{
	const SfWindowSpec *spec; /* borrowed */
	SfSlide *slide;
	SfPaneSource source;
	Size limit_bytes;
	SfWindowRange range;

	/* The source: its next group, if it has been asked for. */
	bool has_group;
	bool exhausted;
	SfGroupCopy group;
	SfTime pane; /* the one that last_start and last_end are of; MINUS_INFINITY: none */
	SfTime last_start;
	SfTime last_end;

	/* The windows. */
	bool enumerating;
	SfWindowIterator windows;
	SfTime known_until; /* the windows of all groups taken in end by then */
	SfTime done_until;  /* windows that end by then have been enumerated */
	SfTime taken_until;

	/* The window at hand. */
	bool in_window;
	bool first;
	SfTime start;
	SfTime end;
	int direct;      /* so many more windows are put together one by one */
	bool was_direct; /* the slide holds one window only */
};

SfAssembly *
sf_assembly_create(MemoryContext context, const SfWindowSpec *spec, SfLayout *layout, const SfPaneSource *source,
                   Size limit_bytes)
{
	SfAssembly *assembly = MemoryContextAllocZero(context, sizeof(SfAssembly));

	assembly->spec = spec;
	assembly->slide = sf_slide_create(context, layout);
	assembly->source = *source;
	assembly->limit_bytes = limit_bytes;
	return assembly;
}

void
sf_assembly_destroy(SfAssembly *assembly)
{
	sf_slide_destroy(assembly->slide);
	pfree(assembly);
}

static void
begin_source(SfAssembly *assembly, SfTime from)
{
	assembly->source.begin(assembly->source.arg, from);
	assembly->has_group = assembly->exhausted = false;
	assembly->pane = SF_TIME_MINUS_INFINITY;
}

static void
begin_range(SfAssembly *assembly, const SfWindowRange *range)
{
	assembly->range = *range;
	assembly->done_until = range->end_after;
	assembly->enumerating = assembly->in_window = false;
}

void
sf_assembly_restart(SfAssembly *assembly, const SfWindowRange *range)
{
	sf_slide_reset(assembly->slide);
	assembly->known_until = assembly->taken_until = SF_TIME_MINUS_INFINITY;
	assembly->direct = 0;
	assembly->was_direct = false;
	begin_range(assembly, range);
	begin_source(assembly, range->from);
}

void
sf_assembly_continue(SfAssembly *assembly, const SfWindowRange *range)
{
	Assert(range->end_after >= assembly->range.end_until);
	begin_range(assembly, range);
	begin_source(assembly, assembly->taken_until);
}

SfTime
sf_assembly_taken_until(const SfAssembly *assembly)
{
	return assembly->taken_until;
}

/* ---- panes ---- */

/* Is there a group ahead?  The last window of its pane is in last_start and last_end then. */
static bool
look_ahead(SfAssembly *assembly)
{
	if (!assembly->has_group && !assembly->exhausted)
	{
		assembly->has_group = assembly->source.next(assembly->source.arg, &assembly->group);
		assembly->exhausted = !assembly->has_group;
	}
	if (!assembly->has_group)
		return false;
	if (assembly->group.start != assembly->pane)
	{
		assembly->pane = assembly->group.start;
		if (!sf_window_last_of(assembly->spec, assembly->pane, &assembly->last_start, &assembly->last_end))
			elog(ERROR, "pane is in no window");
	}
	return true;
}

/* The panes of the window at hand that have not been taken in. */
static void
take_in(SfAssembly *assembly, bool alone)
{
	while (look_ahead(assembly) && assembly->group.start < assembly->end)
	{
		SfTime segment = alone ? assembly->start : Min(assembly->last_start, assembly->range.to - 1);

		CHECK_FOR_INTERRUPTS();
		if (segment >= assembly->start)
			sf_slide_add(assembly->slide, segment, assembly->group.hash, &assembly->source.blobs, assembly->group.data);
		assembly->known_until = Max(assembly->known_until, assembly->last_end);
		assembly->has_group = false;
	}
	assembly->taken_until = assembly->end;
}

static void
start_window(SfAssembly *assembly)
{
	if (assembly->direct == 0 && sf_slide_bytes(assembly->slide) > assembly->limit_bytes && !assembly->was_direct)
		assembly->direct = DIRECT_WINDOWS;
	if (assembly->direct > 0 || assembly->was_direct)
	{
		sf_slide_reset(assembly->slide);
		begin_source(assembly, assembly->start);
	}
	assembly->was_direct = assembly->direct > 0;
	take_in(assembly, assembly->was_direct);
	if (assembly->direct > 0)
		assembly->direct--;
	sf_slide_begin(assembly->slide, assembly->start);
	assembly->in_window = assembly->first = true;
}

/* ---- windows ---- */

/* Enumerates windows that have not been.  False: there are no more of the range. */
static bool
enumerate(SfAssembly *assembly)
{
	SfTime from = assembly->done_until;

	if (assembly->done_until >= assembly->range.end_until)
		return false;
	if (assembly->known_until <= from)
	{
		while (look_ahead(assembly) && (assembly->last_start < assembly->range.from || assembly->last_end <= from))
			assembly->has_group = false;
		if (!assembly->has_group)
			return false;
		assembly->known_until = assembly->last_end;
		from = Max(from, assembly->pane);
	}
	assembly->done_until = Min(assembly->known_until, assembly->range.end_until);
	assembly->enumerating = from < assembly->done_until;
	if (assembly->enumerating)
		sf_windows_ending(&assembly->windows, assembly->spec, from, assembly->done_until);
	return true;
}

static bool
next_window(SfAssembly *assembly)
{
	for (;;)
	{
		while (assembly->enumerating && sf_windows_next(&assembly->windows))
		{
			CHECK_FOR_INTERRUPTS();
			if (assembly->windows.start < assembly->range.from)
				continue;
			if (assembly->windows.start >= assembly->range.to)
				return false;
			assembly->start = assembly->windows.start;
			assembly->end = assembly->windows.end;
			return true;
		}
		assembly->enumerating = false;
		if (!enumerate(assembly))
			return false;
	}
}

bool
sf_assembly_next(SfAssembly *assembly, SfAssembled *assembled)
{
	for (;;)
	{
		if (!assembly->in_window)
		{
			if (!next_window(assembly))
				return false;
			start_window(assembly);
		}
		if (sf_slide_next(assembly->slide, &assembled->group))
		{
			assembled->start = assembly->start;
			assembled->end = assembly->end;
			assembled->first = assembly->first;
			assembly->first = false;
			return true;
		}
		assembly->in_window = false;
	}
}

void
sf_assembly_combine(SfAssembly *assembly, const SfAssembled *assembled, SfBlobSpace *blobs, char *data)
{
	sf_slide_combine(assembly->slide, &assembled->group, blobs, data);
}

char *
sf_assembly_copy(SfAssembly *assembly, const SfAssembled *assembled)
{
	return sf_slide_copy(assembly->slide, &assembled->group);
}
