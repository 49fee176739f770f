/*
 * live_panes.c
 *		Open windows that overlap, formed from the panes of the statement's tick.  Sessions: live_sessions.c.
 *
 * What closes a window would make of its panes, a reader makes of them as they were at its tick.  Windows are formed one
 * after the other; what neighbours have in common is combined once (flow/assembly.c).  Local memory is bounded by the
 * groups of the windows that are asked for, and beyond the limit below by those of one window.
 */
#include "read/live_panes.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "read/live_sessions.h"

#define LEAST_LIMIT ((Size) 64 * 1024 * 1024)

struct SfLivePanes
{
	SfStoreScan *groups;
	SfStandbyScan *standby; /* instead */
	SfTime begins_at;
	SfTime closed_until;
	SfAssembly *assembly;
	SfLiveSessions *sessions;    /* instead */
	MemoryContext group_context; /* the copy given last */
};

static void
begin_panes(void *arg, SfTime from)
{
	SfLivePanes *panes = arg;

	if (panes->groups != NULL)
		sf_store_scan_restart(panes->groups, from, SF_TIME_INFINITY);
	else
		sf_standby_restart(panes->standby, from, SF_TIME_INFINITY);
}

static bool
next_pane_group(void *arg, SfGroupCopy *copy)
{
	SfLivePanes *panes = arg;

	return panes->groups != NULL ? sf_store_scan_next(panes->groups, copy) : sf_standby_next(panes->standby, copy);
}

SfLivePanes *
sf_live_panes_create(MemoryContext context, SfDefinition *definition, SfStoreScan *groups, SfStandbyScan *standby,
                     SfTime begins_at, SfTime closed_until)
{
	SfLivePanes *panes = MemoryContextAllocZero(context, sizeof(SfLivePanes));
	SfPaneSource source = {.begin = begin_panes,
	                       .next = next_pane_group,
	                       .arg = panes,
	                       .blobs = {.area = groups != NULL ? sf_area() : NULL}};

	panes->groups = groups;
	panes->standby = standby;
	panes->begins_at = begins_at;
	panes->closed_until = closed_until;
	panes->group_context = AllocSetContextCreate(context, "streamfuse open group", ALLOCSET_SMALL_SIZES);
	if (definition->session != NULL)
	{
		panes->sessions = sf_live_sessions_create(context, definition, &source, closed_until);
		return panes;
	}
	panes->assembly = sf_assembly_create(context, &definition->window, definition->layout, &source,
	                                     Max((Size) work_mem * 1024, LEAST_LIMIT));
	return panes;
}

void
sf_live_panes_restart(SfLivePanes *panes, const SfWindowRange *range)
{
	SfWindowRange open = *range;

	/* The rows' conditions choose among sessions. */
	if (panes->sessions != NULL)
	{
		sf_live_sessions_restart(panes->sessions);
		return;
	}
	open.from = Max(open.from, panes->begins_at);
	open.end_after = Max(open.end_after, panes->closed_until);
	sf_assembly_restart(panes->assembly, &open);
}

bool
sf_live_panes_next(SfLivePanes *panes, SfGroupCopy *copy)
{
	SfAssembled assembled;
	MemoryContext old;
	bool found;

	if (panes->sessions != NULL)
		return sf_live_sessions_next(panes->sessions, copy);
	MemoryContextReset(panes->group_context);
	old = MemoryContextSwitchTo(panes->group_context);
	found = sf_assembly_next(panes->assembly, &assembled);
	if (found)
		*copy = (SfGroupCopy){assembled.start, assembled.end, assembled.group.hash,
		                      sf_assembly_copy(panes->assembly, &assembled)};
	MemoryContextSwitchTo(old);
	return found;
}
