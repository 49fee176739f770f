/*
 * live_panes.h
 *		Open windows that overlap, formed from the panes of the statement's tick.
 *
 * Inside read/.  Groups come as readers' copies, ordered by window; those of sessions in no order.
 */
#ifndef SF_LIVE_PANES_H
#define SF_LIVE_PANES_H

#include "streamfuse.h"

#include "flow/assembly.h"
#include "plan/fragment.h"
#include "read/standby.h"
#include "state/store.h"

typedef struct SfLivePanes SfLivePanes;

/*
 * Takes the panes from a scan of the store, or from the state table.  begins_at: windows that start earlier are not the
 * view's; closed_until: nor are those open that end by then.  All pointers are borrowed.
 */
extern SfLivePanes *sf_live_panes_create(MemoryContext context, SfDefinition *definition, SfStoreScan *groups,
										 SfStandbyScan *standby, SfTime begins_at, SfTime closed_until);

/* The open windows of a range. */
extern void sf_live_panes_restart(SfLivePanes *panes, const SfWindowRange *range);

/* The copy is valid until the next call.  Runs the aggregates' functions. */
extern bool sf_live_panes_next(SfLivePanes *panes, SfGroupCopy *copy);

#endif /* SF_LIVE_PANES_H */
