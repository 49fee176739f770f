/*
 * panes.c
 *		Windows that overlap, and sessions: what a definition must be like for its rows to be counted in panes.
 *
 * A pane is counted once for all windows that hold it, and what session a row is in may change.  So nothing below the
 * aggregates may depend on which window it is, and what several panes have counted must be what their window has counted.
 */
#include "plan/fragment.h"

#include "nodes/nodeFuncs.h"

static bool
window_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == INNER_VAR;
	return expression_tree_walker(node, window_walker, context);
}

bool
sf_refers_to_window(Node *expr)
{
	return window_walker(expr, NULL);
}

static void
refuse_window_in(const SfDefinition *definition, Node *node, const char *where, const char *hint)
{
	if (sf_refers_to_window(node))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view cannot maintain window columns in %s where windows %s", where,
		                       definition->session != NULL ? "are sessions" : "overlap"),
		                errhint("%s", hint)));
}

void
sf_define_panes(SfDefinition *definition)
{
	SfLayout *layout = definition->layout;

	layout->in_panes = definition->window.kind == SF_WINDOW_HOP || definition->window.kind == SF_WINDOW_CUMULATE ||
	                   definition->window.kind == SF_WINDOW_SESSION;
	if (!layout->in_panes)
		return;
	refuse_window_in(definition, (Node *) definition->filter, "WHERE", "Write the condition in HAVING.");
	refuse_window_in(definition, (Node *) definition->keys, "GROUP BY expressions",
	                 "Group by window_start and window_end, and compute the expression in the select list.");
	refuse_window_in(definition, (Node *) definition->aggrefs, "arguments of aggregates",
	                 "Compute the expression over the aggregate, in the select list.");
}
