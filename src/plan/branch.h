/*
 * branch.h
 *		The SELECTs of a UNION ALL in FROM: each filters and maps the rows of one stream.
 *
 * A query reads a stream, or a subquery that is a UNION ALL of such SELECTs (or one of them), nested as you like.  Either
 * way its FROM comes to a list of branches, in the order in which they are written: it is the same wherever the query
 * is looked at, so that a branch's number may be kept.
 */
#ifndef SF_BRANCH_H
#define SF_BRANCH_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"

#include "plan/fragment.h"

#define SF_MAX_BRANCHES 64

/* A branch as it is written.  Expressions are over a row of its stream: Vars have varno 1 and the stream's attnos. */
typedef struct SfSelect
{
	Oid			stream;
	List	   *columns;		/* Expr, for each column of the subquery; NIL: the stream itself is read */
	List	   *quals;
	List	   *unused;			/* Expr: what the subqueries in it select beside that */
} SfSelect;

/*
 * The branches of a relation in Q's FROM, a stream or a subquery.  Raises ERRCODE_FEATURE_NOT_SUPPORTED, with the construct
 * and a hint, for what is more than a filter and a map.  existing: of a view that there is, whose stream may have lost
 * its last partition.
 */
extern List *sf_selects(RangeTblEntry *rte, bool existing);

/* An expression over the relation at varno of Q becomes one over a row of the branch's stream. */
extern Node *sf_select_expression(const SfSelect *select, Index varno, Node *node);

/* The column of the stream that an expression over its row is, whatever type it is labelled with; 0: none. */
extern AttrNumber sf_plain_column(Node *node);

/*
 * The branches of a definition, which has its layout, and the streams that they read.
 */
extern void sf_define_branches(SfDefinition *definition, List *selects);

/* A query that is itself a UNION ALL, as SELECT of all its columns FROM it; any other is returned as it is. */
extern Query *sf_union_as_subquery(Query *query);

/*
 * Calls visit for each branch, by number, with the query that names its stream, and the stream's place there.
 */
typedef void (*SfSelectVisitor) (Query *query, Index stream, int branch, void *arg);
extern void sf_visit_selects(Query *query, SfSelectVisitor visit, void *arg);

/*
 * Gives the relation in FROM columns that say where a row comes from: Vars of tableoid, ctid and, of a subquery, the
 * number of its branch.
 */
extern List *sf_place_columns(Query *query);

#endif							/* SF_BRANCH_H */
