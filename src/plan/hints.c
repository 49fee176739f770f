/*
 * hints.c
 *		What the user of a continuous view should know: that windows do not close, that state grows for ever.
 *
 * A look at the query alone, the stream's settings and what is kept with the view: so hints are told of a view that
 * cannot be compiled any more, too.  CREATE prints each as a NOTICE, and streamfuse.views repeats it.
 */
#include "plan/hints.h"

#include "catalog/pg_class.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "plan/fragment.h"
#include "plan/view.h"
#include "plan/window_expr.h"
#include "state/aggregate.h"
#include "stream/settings.h"

static List *
add_hint(List *hints, char *message, char *detail, char *hint)
{
	SfHint *added = palloc(sizeof(SfHint));

	*added = (SfHint){message, detail, hint};
	return lappend(hints, added);
}

/* ---- windows that do not close ---- */

/* The stored query of a view has entries for the view itself, too. */
static bool
is_stream_entry(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_MATVIEW;
}

static bool
find_streams(Node *node, void *arg)
{
	List **streams = arg;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (is_stream_entry(rte))
			*streams = list_append_unique_oid(*streams, rte->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_streams, arg, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, find_streams, arg);
}

static List *
add_missing_watermarks(List *hints, const Query *query)
{
	List *streams = NIL;
	ListCell *cell;

	find_streams((Node *) query, &streams);
	foreach (cell, streams)
	{
		SfStreamSettings settings;

		sf_stream_settings_get(lfirst_oid(cell), &settings);
		if (!settings.has_watermark)
			hints = add_hint(
			    hints, psprintf("stream \"%s\" has no watermark: windows do not close", get_rel_name(lfirst_oid(cell))),
			    "A window closes when the watermark has come to its end.", "Use streamfuse.set_watermark.");
	}
	return hints;
}

/* The column of which a grouping expression is date_trunc, date_bin or the date, of a stream or of a subquery. */
static Var *
grouped_time(const Query *query, SortGroupClause *clause, RangeTblEntry **of)
{
	Node *expr = (Node *) sf_flatten_vars((Query *) query, get_sortgroupclause_expr(clause, query->targetList));
	int varno = 0;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		Var *time;

		*of = lfirst_node(RangeTblEntry, cell);
		varno++;
		if (!is_stream_entry(*of) && (*of)->rtekind != RTE_SUBQUERY)
			continue;
		time = sf_window_expr_time(expr, varno);
		if (time != NULL)
			return time;
	}
	return NULL;
}

/* Of a view that was made while the watermark was not on the column. */
static bool
has_moved_to(const RangeTblEntry *rte, const Var *time, SfStreamSettings *settings)
{
	if (rte->rtekind != RTE_RELATION)
		return false;
	sf_stream_settings_get(rte->relid, settings);
	return settings->has_watermark && settings->time_attnum == time->varattno;
}

static char *
explain_other_time(const RangeTblEntry *rte, const Var *time)
{
	SfStreamSettings settings;

	if (has_moved_to(rte, time, &settings))
		return "The watermark was not on the column when the view was made.";
	if (rte->rtekind != RTE_RELATION)
		return "In some SELECT in FROM it is not the watermark's column as it is.";
	if (settings.has_watermark)
		return psprintf("The watermark of the stream is on column \"%s\".", NameStr(settings.time_column));
	return "No watermark can be on a column that may be null.";
}

/* Groups by hours or days of a time that the watermark is not on. */
static List *
add_other_times(List *hints, const Query *query)
{
	ListCell *cell;

	foreach (cell, query->groupClause)
	{
		RangeTblEntry *rte;
		Var *time = grouped_time(query, lfirst_node(SortGroupClause, cell), &rte);
		SfStreamSettings settings;

		if (time == NULL)
			continue;
		return add_hint(hints,
		                psprintf("groups by date_trunc(), date_bin() or the date of column \"%s\" never close",
		                         get_rte_attribute_name(rte, time->varattno)),
		                explain_other_time(rte, time),
		                has_moved_to(rte, time, &settings) ? "Drop the view and create it again."
		                                                   : "Group by such an expression of the watermark's column.");
	}
	return hints;
}

/* Does an existing view have windows, which are to close? */
static bool
view_closes(Oid view, const Query *query)
{
	int key = sf_view_window_key(view);
	RangeTblEntry *rte;
	ListCell *cell;

	if (sf_query_is_stateless(query))
		return false;
	foreach (cell, query->rtable)
		if (lfirst_node(RangeTblEntry, cell)->rtekind == RTE_FUNCTION)
			return true;
	if (key != SF_WINDOW_KEY_UNKNOWN)
		return key != SF_WINDOW_KEY_NONE;
	foreach (cell, query->groupClause)
		if (grouped_time(query, lfirst_node(SortGroupClause, cell), &rte) != NULL)
			return true;
	return false;
}

/* ---- state that grows for ever ---- */

static bool
find_keepers(Node *node, void *arg)
{
	List **keepers = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_keepers, arg, 0);
	if (IsA(node, Aggref) && sf_aggregate_keeps_inputs((Aggref *) node))
		*keepers = lappend(*keepers, node);
	return expression_tree_walker(node, find_keepers, arg);
}

static List *
add_keepers(List *hints, const Query *query)
{
	List *keepers = NIL;
	List *names = NIL;
	ListCell *cell;

	find_keepers((Node *) query, &keepers);
	foreach (cell, keepers)
	{
		Aggref *aggref = lfirst_node(Aggref, cell);
		bool distinct = aggref->aggdistinct != NIL;
		String *name = makeString(psprintf("%s%s", get_func_name(aggref->aggfnoid), distinct ? "(DISTINCT)" : ""));

		if (list_member(names, name))
			continue;
		names = lappend(names, name);
		hints = add_hint(hints,
		                 psprintf("aggregate %s keeps %s over all time", strVal(name),
		                          distinct ? "its distinct values" : "its rows"),
		                 "They are needed for its answer, and no group is ever closed.",
		                 "Group by the columns of a window.");
	}
	return hints;
}

List *
sf_hints(const Query *query, bool closes)
{
	if (sf_query_is_stateless(query))
		return NIL;
	return closes ? add_missing_watermarks(NIL, query) : add_keepers(add_other_times(NIL, query), query);
}

/* Has its user said how long groups are kept, or that they may be kept for ever? */
static bool
growth_is_meant(Oid view)
{
	ListCell *cell;

	foreach (cell, sf_view_user_options(view))
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "state_ttl") == 0)
			return strcmp(strVal(option->arg), "none") != 0;
	}
	return false;
}

List *
sf_view_hints(Oid view)
{
	Query *query = sf_view_query(view);

	if (view_closes(view, query))
		return sf_hints(query, true);
	return growth_is_meant(view) ? add_other_times(NIL, query) : sf_hints(query, false);
}
