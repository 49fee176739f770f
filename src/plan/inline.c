/*
 * inline.c
 *		Puts SQL functions in FROM into the query, as the planner does a little later.
 *
 * By then the planner hook has run, and what stands in a function's body would be met as it was written: a continuous
 * view, or session().
 */
#include "plan/inline.h"

#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

void
sf_inline_functions(Query *query, PlannerGlobal *glob)
{
	PlannerInfo *root = NULL;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);
		Query *body;

		if (rte->rtekind != RTE_FUNCTION)
			continue;
		if (root == NULL)
		{
			root = makeNode(PlannerInfo);
			root->parse = query;
			root->glob = glob;
			root->query_level = 1;
			root->planner_cxt = CurrentMemoryContext;
		}
		rte->functions = (List *) eval_const_expressions(root, (Node *) rte->functions);
		body = inline_set_returning_function(root, rte);
		if (body != NULL)
		{
			rte->rtekind = RTE_SUBQUERY;
			rte->subquery = body;
			rte->security_barrier = false;
			rte->funcordinality = false;
		}
	}
}
