/*
 * live_sessions.h
 *		Open sessions, formed from the groups of panes as they were at the statement's tick.
 *
 * Inside read/.  Groups come as readers' copies, in no order.  All open sessions are in local memory at once.
 */
#ifndef SF_LIVE_SESSIONS_H
#define SF_LIVE_SESSIONS_H

#include "streamfuse.h"

#include "flow/assembly.h"
#include "plan/fragment.h"

typedef struct SfLiveSessions SfLiveSessions;

/* closed_until: sessions that end by then are closed, and not given.  The definition is borrowed. */
extern SfLiveSessions *sf_live_sessions_create(MemoryContext context, SfDefinition *definition,
											   const SfPaneSource *source, SfTime closed_until);
extern void sf_live_sessions_restart(SfLiveSessions *sessions);

/* The copy is valid until the restart.  Runs the aggregates' functions. */
extern bool sf_live_sessions_next(SfLiveSessions *sessions, SfGroupCopy *copy);

#endif							/* SF_LIVE_SESSIONS_H */
