/*
 * inline.h
 *		SQL functions in FROM are put into the query by the planner hook, since PostgreSQL does it only later.
 */
#ifndef SF_INLINE_H
#define SF_INLINE_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"

/* Those of one level of a query, in place; glob collects what they depend on. */
extern void sf_inline_functions(Query *query, PlannerGlobal *glob);

#endif							/* SF_INLINE_H */
