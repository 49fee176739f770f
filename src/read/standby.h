/*
 * standby.h
 *		The live side on a physical standby: open groups as of the last checkpoint, from the state table.
 */
#ifndef SF_STANDBY_H
#define SF_STANDBY_H

#include "streamfuse.h"

#include "state/store.h"

typedef struct SfStandbyScan SfStandbyScan;

/* The groups of open windows visible to the snapshot with from <= start < to, in the order of the windows. */
extern SfStandbyScan *sf_standby_begin(MemoryContext context, Oid view, SfLayout *layout, Snapshot snapshot);
extern void sf_standby_restart(SfStandbyScan *scan, SfTime from, SfTime to);
extern bool sf_standby_next(SfStandbyScan *scan, SfGroupCopy *copy);

/* As the snapshot has it.  Where windows are made of panes, those are what the scan gives. */
extern SfTime sf_standby_begins_at(const SfStandbyScan *scan);
extern SfTime sf_standby_closed_until(const SfStandbyScan *scan);
extern void sf_standby_end(SfStandbyScan *scan);

#endif							/* SF_STANDBY_H */
