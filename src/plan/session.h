/*
 * session.h
 *		The batch form of sessions: session() in a query becomes window functions before the query is planned.
 */
#ifndef SF_PLAN_SESSION_H
#define SF_PLAN_SESSION_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"

/*
 * Rewrites all levels of a query that have session() in FROM, in place; the query belongs to the caller.  Raises
 * ERRCODE_FEATURE_NOT_SUPPORTED where sessions cannot be formed.  With inline_functions, SQL functions in FROM are put
 * in first, since PostgreSQL does it only after the planner hook; glob collects what they depend on.
 */
extern void sf_rewrite_sessions(Query *query, PlannerGlobal *glob, bool inline_functions);

#endif							/* SF_PLAN_SESSION_H */
