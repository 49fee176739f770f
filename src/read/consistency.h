/*
 * consistency.h
 *		read_consistency = 'latest', for the executor hooks of pin.c.
 */
#ifndef SF_CONSISTENCY_H
#define SF_CONSISTENCY_H

#include "streamfuse.h"

#include "executor/execdesc.h"

/* Before the executor starts: waits, and may replace the statement's snapshot. */
extern void sf_wait_latest(QueryDesc *query_desc);

/* Before it runs: must the statement's snapshot be made the active one? */
extern bool sf_snapshot_renewed(QueryDesc *query_desc);

#endif							/* SF_CONSISTENCY_H */
