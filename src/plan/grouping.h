/*
 * grouping.h
 *		The grouping sets of a query: which there are, and what GROUPING() is in each.
 *
 * A set is a list of the sortgrouprefs of what it groups by, as in PostgreSQL's tree.
 */
#ifndef SF_GROUPING_H
#define SF_GROUPING_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"
#include "plan/fragment.h"

/*
 * ROLLUP, CUBE and lists of sets multiplied out, a set as often as the query has it.  NIL when that is one set, so that
 * the query is one of plain GROUP BY.
 */
extern List *sf_grouping_sets(const Query *query);

/* Is that column in every set?  It is where there are no sets. */
extern bool sf_in_all_sets(const List *sets, Index ref);

/* Can this expression be in some sets and not in others?  If not, raises like sf_define. */
extern void sf_check_set_key(Node *expr);

/* Gives a definition that has its other keys those sets; key_refs[]: what the keys are in them. */
extern void sf_define_sets(SfDefinition *definition, List *sets, const Index *key_refs);

/* GROUPING() over a group whose number of the set, from 1, is in column `attno` of the group row. */
extern Expr *sf_grouping_call(const GroupingFunc *call, const List *sets, AttrNumber attno);

#endif							/* SF_GROUPING_H */
