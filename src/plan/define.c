/*
 * define.c
 *		From a view's query to its definition: stream, window, filter, keys, aggregates, and what stands above them.
 *
 * A query of the maintained shape is
 *		SELECT <row-wise top> FROM stream, tumble(time, size, …) [WHERE filter] GROUP BY window columns, keys [HAVING …]
 * or the same with hop(), cumulate() or session(), or with date_trunc, date_bin or the date of the event time in the
 * place of the window columns, and no function in FROM; or without a window: groups over all time, and one row where
 * there is no GROUP BY.  GROUP BY may have several grouping sets (grouping.c).  Or, stateless,
 *		SELECT <expressions over a row> FROM stream [, tumble(time, size, …)] [WHERE filter]
 * In the place of the stream may be a subquery that filters and maps one, or a UNION ALL of such subqueries (branch.c); and
 * such a UNION ALL may be the query.
 * Everything else is refused here, by name, so that DDL, worker and readers agree on what a definition can be.
 *
 * Expressions below the aggregates are rewritten over one row of what is read: its Vars get varno 1, the window columns
 * become INNER_VAR 1 and 2.  Each branch makes of them expressions over a row of its stream.  Expressions above are
 * rewritten over the group row: varno 1, columns window_start, window_end, keys, aggregates.
 */
#include "plan/fragment.h"

#include "access/table.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "plan/branch.h"
#include "plan/define_parts.h"
#include "plan/grouping.h"
#include "plan/mutable.h"
#include "plan/view.h"
#include "plan/window_expr.h"
#include "stream/settings.h"
#include "time/session.h"

#define SF_MAX_KEYS 60

/* What the analysis knows while it works. */
typedef struct DefineContext
{
	Query *query;
	SfDefinition *definition;
	List *selects;      /* SfSelect: the branches as they are written */
	Index window_varno; /* of tumble(), hop(), cumulate() or session(), or 0 */
	SfWindowKind window_kind;
	Node *window_expr; /* without it: the grouping expression that is window_start */
	int kept_window_key;
	bool has_window; /* some key is a function of the window, or the time, by which groups close */
	List *sets;      /* grouping sets of Q; NIL for one */
	List *quals;
	List *group_exprs; /* grouping expressions of Q, in the order of `keys` */
} DefineContext;

void
sf_refuse(const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("continuous view cannot maintain %s", what),
	                errhint("%s", hint)));
}

/* Constructs of a SELECT that this shape leaves no room for. */
static void
refuse_constructs(Query *query)
{
	if (query->commandType != CMD_SELECT || query->utilityStmt != NULL)
		sf_refuse("anything but SELECT", "Write the view as a SELECT.");
	if (query->cteList != NIL)
		sf_refuse("WITH", "Write the query without common table expressions.");
	if (query->hasWindowFuncs)
		sf_refuse("window functions", "Apply window functions in a query over the continuous view.");
	if (query->hasTargetSRFs)
		sf_refuse("set-returning functions in the select list", "Apply them in a query over the continuous view.");
	if (query->distinctClause != NIL)
		sf_refuse("SELECT DISTINCT", "Use GROUP BY.");
	if (query->sortClause != NIL)
		sf_refuse("ORDER BY", "Order the rows in queries over the continuous view.");
	if (query->limitCount != NULL || query->limitOffset != NULL)
		sf_refuse("LIMIT or OFFSET", "Limit the rows in queries over the continuous view.");
	if (query->rowMarks != NIL)
		sf_refuse("FOR UPDATE or FOR SHARE", "Remove the locking clause.");
	if (query->hasSubLinks)
		sf_refuse("subqueries in expressions", "Apply the condition in a query over the continuous view.");
	if (query->constraintDeps != NIL)
		sf_refuse("columns that depend on a grouped primary key", "Name all columns in GROUP BY.");
}

bool
sf_query_is_stateless(const Query *query)
{
	return query->groupClause == NIL && query->groupingSets == NIL && !query->hasAggs && query->havingQual == NULL;
}

/* Collects range table indexes and conditions of comma lists and inner joins. */
static List *
flatten_from(Node *node, List *varnos, List **quals)
{
	if (node == NULL)
		return varnos;
	if (IsA(node, RangeTblRef))
		return lappend_int(varnos, castNode(RangeTblRef, node)->rtindex);
	if (IsA(node, FromExpr))
	{
		FromExpr *from = castNode(FromExpr, node);
		ListCell *cell;

		foreach (cell, from->fromlist)
			varnos = flatten_from(lfirst(cell), varnos, quals);
		if (from->quals != NULL)
			*quals = lappend(*quals, from->quals);
		return varnos;
	}
	else
	{
		JoinExpr *join = castNode(JoinExpr, node);

		if (join->jointype != JOIN_INNER)
			sf_refuse("outer joins", "Read one stream and one window function in FROM.");
		varnos = flatten_from(join->larg, varnos, quals);
		varnos = flatten_from(join->rarg, varnos, quals);
		if (join->quals != NULL)
			*quals = lappend(*quals, join->quals);
		return varnos;
	}
}

/* A stream, or a subquery that reads some. */
static void
accept_relation(DefineContext *context, Index varno, RangeTblEntry *rte)
{
	SfDefinition *definition = context->definition;

	if (definition->row_varno != 0)
		sf_refuse("more than one relation in FROM", "Join other tables in a query over the continuous view.");
	definition->row_varno = varno;
	context->selects = sf_selects(rte, OidIsValid(definition->view));
	if (list_length(context->selects) > SF_MAX_BRANCHES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("continuous view cannot read more than %d queries by UNION ALL", SF_MAX_BRANCHES)));
}

static void
accept_window(DefineContext *context, Index varno, RangeTblEntry *rte)
{
	RangeTblFunction *function = linitial_node(RangeTblFunction, rte->functions);

	if (list_length(rte->functions) != 1 || rte->funcordinality || !IsA(function->funcexpr, FuncExpr) ||
	    !sf_is_window_function(castNode(FuncExpr, function->funcexpr)->funcid, &context->window_kind))
		sf_refuse("functions in FROM other than tumble(), hop(), cumulate() and session()",
		          "Read one stream and one window function in FROM.");
	if (context->window_varno != 0)
		sf_refuse("more than one window function", "Create one continuous view for each window.");
	context->window_varno = varno;
}

static void
analyse_from(DefineContext *context)
{
	List *varnos = flatten_from((Node *) context->query->jointree, NIL, &context->quals);
	ListCell *cell;

	foreach (cell, varnos)
	{
		Index varno = lfirst_int(cell);
		RangeTblEntry *rte = rt_fetch(varno, context->query->rtable);

		if (rte->rtekind == RTE_RELATION || rte->rtekind == RTE_SUBQUERY)
			accept_relation(context, varno, rte);
		else if (rte->rtekind == RTE_FUNCTION)
			accept_window(context, varno, rte);
		else
			sf_refuse("VALUES or table functions in FROM", "Read one stream and one window function in FROM.");
	}
	if (context->definition->row_varno == 0)
		sf_refuse("a query without a stream", "Read a table created USING stream.");
	context->definition->has_window = !context->definition->stateless || context->window_varno != 0;
}

/*
 * Q's Vars become Vars over a row of what is read, and INNER_VARs for the window's columns.  Which columns a branch's
 * stream has is looked at when its expressions are made.
 */
static Node *
row_mutator(Node *node, void *arg)
{
	DefineContext *context = arg;

	if (node == NULL)
		return NULL;
	if (context->window_expr != NULL && equal(node, context->window_expr))
		return (Node *) makeVar(INNER_VAR, 1, context->definition->time_type, -1, InvalidOid, 0);
	if (IsA(node, Var))
	{
		Var *var = (Var *) copyObject(node);

		if (var->varno == (int) context->definition->row_varno)
		{
			/* May it be referred to? */
			(void) sf_select_expression(linitial(context->selects), var->varno, node);
			var->varno = 1;
		}
		else
		{
			Assert(var->varno == (int) context->window_varno);
			if (var->varattno == InvalidAttrNumber)
				sf_refuse("whole-row references to a window", "Name window_start and window_end.");
			var->varno = INNER_VAR;
		}
		var->varnosyn = 0;
		var->varattnosyn = 0;
		return (Node *) var;
	}
	return expression_tree_mutator(node, row_mutator, arg);
}

static Expr *
plan_row_expression(DefineContext *context, Node *node)
{
	Node *over_row = row_mutator(node, context);

	sf_refuse_mutable(over_row, SF_MUTABLE_LISTED);
	return expression_planner((Expr *) over_row);
}

/* Groups over all time are kept in one window of the store. */
static void
analyse_all_time(SfDefinition *definition, bool single_row)
{
	definition->window.kind = SF_WINDOW_NONE;
	definition->time_type = TIMESTAMPTZOID;
	definition->single_row = single_row;
}

/* Windows are closed by the watermarks of the streams, so they must be over those columns. */
static void
check_watermark(Oid stream, AttrNumber attnum)
{
	SfStreamSettings settings;

	sf_stream_settings_get(stream, &settings);
	if (settings.has_watermark && settings.time_attnum != attnum)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("windows over column \"%s\" cannot be closed by the watermark of stream \"%s\"",
		                       get_attname(stream, attnum, false), get_rel_name(stream)),
		                errdetail("The watermark is on column \"%s\".", NameStr(settings.time_column)),
		                errhint("Use that column as the window's time argument.")));
}

static void
take_time(DefineContext *context, Node *time)
{
	SfDefinition *definition = context->definition;
	ListCell *cell;

	definition->time = plan_row_expression(context, time);
	definition->time_type = exprType(time);
	if (!IsA(definition->time, Var) || ((Var *) definition->time)->varno != 1)
		sf_refuse("a window over an expression", "Use a column of the stream as the window's time argument.");
	foreach (cell, context->selects)
	{
		SfSelect *select = lfirst(cell);
		AttrNumber attnum = sf_plain_column(sf_select_expression(select, 1, (Node *) definition->time));

		if (attnum == 0)
			sf_refuse("a window over an expression",
			          "Select a column of the stream, of the same type in each branch, as the window's time.");
		check_watermark(select->stream, attnum);
	}
}

/* The window function in FROM. */
static void
analyse_window_function(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	RangeTblEntry *rte = rt_fetch(context->window_varno, context->query->rtable);
	RangeTblFunction *function = linitial_node(RangeTblFunction, rte->functions);
	FuncExpr *call = castNode(FuncExpr, eval_const_expressions(NULL, function->funcexpr));
	bool stepped = context->window_kind != SF_WINDOW_TUMBLE;
	Const *size = sf_constant_argument(lsecond(call->args), "size");
	Const *step = NULL;
	Const *offset = sf_constant_argument(list_nth(call->args, stepped ? 3 : 2), "offset");
	Const *zone = sf_constant_argument(list_nth(call->args, stepped ? 4 : 3), "timezone");
	Interval no_offset = {0, 0, 0};
	SfWindowArguments arguments;

	take_time(context, linitial(call->args));
	definition->window_start = (Expr *) makeVar(context->window_varno, 1, definition->time_type, -1, InvalidOid, 0);
	if (size->constisnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("window size must not be null")));
	if (stepped)
	{
		const char *name = context->window_kind == SF_WINDOW_HOP ? "slide" : "step";

		step = sf_constant_argument(lthird(call->args), name);
		if (step->constisnull)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("window %s must not be null", name)));
	}

	arguments = (SfWindowArguments){
	    .kind = context->window_kind,
	    .size = DatumGetIntervalP(size->constvalue),
	    .step = stepped ? DatumGetIntervalP(step->constvalue) : NULL,
	    .offset = offset->constisnull ? &no_offset : DatumGetIntervalP(offset->constvalue),
	    .timezone = zone->constisnull ? NULL : TextDatumGetCString(zone->constvalue),
	    .zoned = definition->time_type == TIMESTAMPTZOID,
	};
	if (context->window_kind == SF_WINDOW_HOP)
	{
		Const *gaps = sf_constant_argument(list_nth(call->args, 5), "gaps");

		arguments.gaps = !gaps->constisnull && DatumGetBool(gaps->constvalue);
	}
	sf_window_spec_init(&definition->window, &arguments);
}

/* session() in FROM. */
static void
analyse_session(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	RangeTblEntry *rte = rt_fetch(context->window_varno, context->query->rtable);
	FuncExpr *call = castNode(FuncExpr, linitial_node(RangeTblFunction, rte->functions)->funcexpr);
	Const *gap = sf_constant_argument(list_nth(call->args, SF_SESSION_GAP), "gap");
	SfSessionSpec *session = palloc0(sizeof(SfSessionSpec));

	take_time(context, list_nth(call->args, SF_SESSION_TIME));
	definition->window_start = (Expr *) makeVar(context->window_varno, SF_SESSION_START, definition->time_type, -1,
	                                            InvalidOid, 0);
	if (gap->constisnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("session gap must not be null")));
	session->gap = sf_session_gap(DatumGetIntervalP(gap->constvalue));
	definition->session = session;
	definition->window = (SfWindowSpec){.kind = SF_WINDOW_SESSION,
	                                    .unit = SF_UNIT_ELAPSED,
	                                    .size = session->gap,
	                                    .step = session->gap,
	                                    .zoned = definition->time_type == TIMESTAMPTZOID};
}

static bool
is_not_null(Oid relid, AttrNumber attnum)
{
	Relation rel = table_open(relid, NoLock);
	bool result = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;

	table_close(rel, NoLock);
	return result;
}

/* Is a column of a branch the one with the watermark, or could it be if there is none? */
static bool
is_event_time(const SfSelect *select, Var *column)
{
	AttrNumber attnum = sf_plain_column(sf_select_expression(select, column->varno, (Node *) column));
	SfStreamSettings settings;

	if (attnum == 0)
		return false;
	sf_stream_settings_get(select->stream, &settings);
	return settings.has_watermark ? attnum == settings.time_attnum : is_not_null(select->stream, attnum);
}

/* A length by which windows can be compared. */
static double
approximate_length(const SfWindowSpec *spec)
{
	const double unit = spec->unit == SF_UNIT_MONTHS ? DAYS_PER_MONTH * (double) USECS_PER_DAY
	                    : spec->unit == SF_UNIT_DAYS ? (double) USECS_PER_DAY
	                                                 : 1.0;

	return (double) spec->size * unit;
}

/* Groups of one view are complete when their windows close, so all have windows, or none. */
static void
refuse_partial_window(void)
{
	sf_refuse("grouping sets with and without the window",
	          "Have the window's columns in every set, as in GROUP BY window_start, window_end, ROLLUP (…).");
}

/*
 * Does an expression over a column stand for the groups' window?  If it is the event time of each branch; once the view is
 * made, if it was then.
 */
static bool
is_window_key(const DefineContext *context, int key, Var *column)
{
	ListCell *cell;

	if (context->kept_window_key != SF_WINDOW_KEY_UNKNOWN)
		return key == context->kept_window_key;
	foreach (cell, context->selects)
		if (!is_event_time(lfirst(cell), column))
			return false;
	return true;
}

/*
 * The grouping expression that is a window of a column at varno: of what is read, or of a window function.  Of several the shortest: groups are complete when its windows close.
 */
static Node *
find_window_expr(DefineContext *context, Index varno, SfWindowExpr *found)
{
	Node *result = NULL;
	bool is_partial = false;
	ListCell *cell;

	foreach (cell, context->query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Node *expr = get_sortgroupclause_expr(clause, context->query->targetList);
		Var *time = sf_window_expr_time(expr, varno);
		int key = foreach_current_index(cell) + 1;
		SfWindowExpr candidate;

		if (time == NULL)
			continue;
		context->definition->window_key = Max(context->definition->window_key, SF_WINDOW_KEY_NONE);
		if (varno == context->definition->row_varno && !is_window_key(context, key, time))
			continue;
		if (!sf_in_all_sets(context->sets, clause->tleSortGroupRef))
		{
			is_partial = true;
			continue;
		}
		(void) sf_match_window_expr(expr, varno, &candidate);
		if (result != NULL && (found->time->varattno != time->varattno ||
		                       approximate_length(&candidate.windows) >= approximate_length(&found->windows)))
			continue;
		*found = candidate;
		result = expr;
		context->definition->window_key = key;
	}
	if (result == NULL && is_partial)
		refuse_partial_window();
	return result;
}

/*
 * Without a function in FROM: groups by date_trunc, date_bin or the date of an event time.  Of other columns these are
 * keys like any other; where there is nothing else, no group is ever complete.
 */
static void
analyse_window_expr(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	SfWindowExpr found;
	Node *expr = find_window_expr(context, definition->row_varno, &found);

	if (expr == NULL)
	{
		analyse_all_time(definition, context->query->groupClause == NIL);
		return;
	}
	take_time(context, (Node *) found.time);
	definition->window = found.windows;
	definition->window_start = found.start;
	context->window_expr = found.is_start ? expr : NULL;
	context->has_window = true;
}

/* 1 or 2 for a column of the window function, 1 for the grouping expression that is a window, else 0. */
static AttrNumber
window_column(DefineContext *context, Node *node)
{
	if (context->window_expr != NULL)
		return equal(node, context->window_expr) ? 1 : 0;
	if (IsA(node, Var) && ((Var *) node)->varno == (int) context->window_varno)
		return ((Var *) node)->varattno;
	return 0;
}

static bool
groups_by_window_column(DefineContext *context)
{
	ListCell *cell;

	foreach (cell, context->query->groupClause)
		if (window_column(
		        context, get_sortgroupclause_expr(lfirst_node(SortGroupClause, cell), context->query->targetList)) != 0)
			return true;
	return false;
}

/* Groups by a coarser window of tumble()'s columns alone take in several of its windows. */
static void
analyse_coarse_window(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	SfWindowExpr found;
	SfWindowSpec *fine;
	SfWindowSpec *coarse;

	if (groups_by_window_column(context))
	{
		context->has_window = true;
		return;
	}
	if (context->window_kind != SF_WINDOW_TUMBLE || find_window_expr(context, context->window_varno, &found) == NULL)
		return;
	fine = palloc(sizeof(SfWindowSpec));
	coarse = palloc(sizeof(SfWindowSpec));
	*fine = definition->window;
	*coarse = found.windows;
	sf_window_spec_compose(&definition->window, fine, coarse, found.time->varattno == 2);
	definition->window_start = found.start;
	context->has_window = true;
}

static int
expression_index(List *expressions, Node *expression)
{
	ListCell *cell;

	foreach (cell, expressions)
		if (equal(lfirst(cell), expression))
			return foreach_current_index(cell);
	return -1;
}

/* By what a session's rows are kept apart: named keys, of which a constant keeps nothing apart, or all that is grouped by. */
static void
analyse_session_keys(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	RangeTblEntry *rte = rt_fetch(context->window_varno, context->query->rtable);
	List *args = castNode(FuncExpr, linitial_node(RangeTblFunction, rte->functions)->funcexpr)->args;
	Bitmapset *keys = NULL;
	ListCell *cell;

	args = (List *) sf_flatten_vars(context->query, (Node *) args);
	if (list_length(args) == SF_SESSION_KEYS && context->sets != NIL)
		sf_refuse("sessions of the keys of GROUPING SETS, ROLLUP or CUBE",
		          "Name the keys: session(ts, gap, key, ...).");
	if (list_length(args) == SF_SESSION_KEYS)
		keys = bms_add_range(keys, 0, definition->ngroup_keys - 1);
	for_each_from(cell, args, SF_SESSION_KEYS)
	{
		Node *expr = lfirst(cell);
		int index = expression_index(context->group_exprs, expr);

		if (IsA(expr, Const))
			continue;
		/* A key that is not in a set is null there; the session's is not. */
		if (context->sets != NIL && index < definition->ngroup_keys)
			index = -1;
		if (expression_returns_set(expr))
			sf_refuse("set-returning session keys", "Use a key that has one value in each row.");
		if (index < 0)
		{
			index = list_length(context->group_exprs);
			context->group_exprs = lappend(context->group_exprs, expr);
			definition->keys = lappend(definition->keys, plan_row_expression(context, expr));
		}
		keys = bms_add_member(keys, index);
	}
	definition->nkeys = list_length(definition->keys);
	definition->nsession_keys = definition->nkeys - definition->ngroup_keys;
	sf_define_session_keys(definition, keys);
	definition->session->by_group &= context->sets == NIL;
}

static void
analyse_grouping(DefineContext *context)
{
	Index *key_refs = palloc0(Max(list_length(context->query->groupClause), 1) * sizeof(Index));
	bool has_both = false;
	AttrNumber other = 0;
	ListCell *cell;

	foreach (cell, context->query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Node *expr = get_sortgroupclause_expr(clause, context->query->targetList);
		AttrNumber column = window_column(context, expr);

		if (column != 0)
		{
			if (!sf_in_all_sets(context->sets, clause->tleSortGroupRef))
				refuse_partial_window();
			has_both |= other == 3 - column;
			other = column;
			continue;
		}
		if (context->sets != NIL)
			sf_check_set_key(expr);
		key_refs[list_length(context->group_exprs)] = clause->tleSortGroupRef;
		context->group_exprs = lappend(context->group_exprs, expr);
		context->definition->keys = lappend(context->definition->keys, plan_row_expression(context, expr));
	}
	context->definition->nkeys = context->definition->ngroup_keys = list_length(context->definition->keys);
	if (!context->has_window && context->window_varno != 0)
		sf_refuse("a window function whose columns are not in GROUP BY",
		          "Group by window_start and window_end, or leave the window function out.");
	if (!has_both && other == 1 && context->window_kind == SF_WINDOW_CUMULATE)
		sf_refuse("cumulating windows grouped by their start alone", "Group by window_end, or by both.");
	if (context->definition->session != NULL)
		analyse_session_keys(context);
	if (!has_both && context->definition->nsession_keys > 0)
		sf_refuse("sessions grouped by one window column and not by all of their keys",
		          "Group by window_start and window_end.");
	if (context->definition->nkeys > SF_MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
		                errmsg("continuous view cannot group by more than %d expressions", SF_MAX_KEYS)));
	if (context->sets != NIL)
		sf_define_sets(context->definition, context->sets, key_refs);
}

/* Q's expressions above the aggregates become expressions over the group row; finds the aggregates as it goes. */
typedef struct TopContext
{
	DefineContext *define;
	List *aggrefs; /* as in Q */
} TopContext;

static Var *
group_var(AttrNumber attno, Node *like)
{
	return makeVar(1, attno, exprType(like), exprTypmod(like), exprCollation(like), 0);
}

static Node *
top_mutator(Node *node, void *arg)
{
	TopContext *context = arg;
	DefineContext *define = context->define;
	AttrNumber column;
	ListCell *cell;

	if (node == NULL)
		return NULL;
	column = window_column(define, node);
	if (column > 0)
		return (Node *) group_var(column, node);
	foreach (cell, define->group_exprs)
		if (foreach_current_index(cell) < define->definition->ngroup_keys && equal(lfirst(cell), node))
			return (Node *) group_var(3 + foreach_current_index(cell), node);
	if (IsA(node, Aggref))
	{
		int index = expression_index(context->aggrefs, node);

		if (index < 0)
		{
			index = list_length(context->aggrefs);
			context->aggrefs = lappend(context->aggrefs, node);
		}
		return (Node *) group_var(3 + define->definition->nkeys + index, node);
	}
	if (IsA(node, GroupingFunc))
		return (Node *) sf_grouping_call(castNode(GroupingFunc, node), define->sets, 2 + define->definition->nkeys);
	if (IsA(node, Var))
		elog(ERROR, "ungrouped column in a continuous view's select list");
	return expression_tree_mutator(node, top_mutator, arg);
}

/* An aggregate's arguments and filter, over a row of the stream; its direct arguments, over the group row. */
static Aggref *
plan_aggref(TopContext *top, Aggref *aggref)
{
	DefineContext *context = top->define;
	Aggref *planned = copyObject(aggref);
	ListCell *cell;

	foreach (cell, planned->aggdirectargs)
	{
		Node *over_group = top_mutator(lfirst(cell), top);

		sf_refuse_mutable(over_group, SF_MUTABLE_NONE);
		lfirst(cell) = expression_planner((Expr *) over_group);
	}
	foreach (cell, planned->args)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		entry->expr = plan_row_expression(context, (Node *) entry->expr);
	}
	if (planned->aggfilter != NULL)
		planned->aggfilter = plan_row_expression(context, (Node *) planned->aggfilter);
	return planned;
}

static void
analyse_top(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	TopContext top = {context, NIL};
	ListCell *cell;

	foreach (cell, context->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		TargetEntry *over_group;

		if (entry->resjunk)
			continue;
		over_group = flatCopyTargetEntry(entry);
		over_group->expr = (Expr *) top_mutator((Node *) entry->expr, &top);
		sf_refuse_mutable((Node *) over_group->expr, SF_MUTABLE_NONE);
		over_group->expr = expression_planner(over_group->expr);
		over_group->ressortgroupref = 0;
		definition->target = lappend(definition->target, over_group);
	}
	if (context->query->havingQual != NULL)
	{
		Node *having = top_mutator(context->query->havingQual, &top);

		sf_refuse_mutable(having, SF_MUTABLE_NONE);
		definition->having = expression_planner((Expr *) having);
	}
	foreach (cell, top.aggrefs)
		definition->aggrefs = lappend(definition->aggrefs, plan_aggref(&top, lfirst_node(Aggref, cell)));
	if (definition->session != NULL)
		sf_define_session_times(definition);
	definition->naggs = list_length(definition->aggrefs);
}

/*
 * A view without GROUP BY: what it selects is computed once, when a row is taken in, and kept like the key of a group of
 * its own.
 */
static void
analyse_columns(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	ListCell *cell;

	if (definition->session != NULL)
		sf_refuse("sessions of single rows", "Group by window_start, window_end and the keys.");
	if (definition->has_window && context->window_kind != SF_WINDOW_TUMBLE)
		sf_refuse("rows of windows that overlap", "Use tumble(), or group by window_start and window_end.");
	foreach (cell, context->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		int column = expression_index(context->group_exprs, (Node *) entry->expr);
		TargetEntry *over_row;

		if (entry->resjunk)
			continue;
		if (column < 0)
		{
			column = list_length(context->group_exprs);
			context->group_exprs = lappend(context->group_exprs, entry->expr);
			definition->keys = lappend(definition->keys, plan_row_expression(context, (Node *) entry->expr));
		}
		over_row = flatCopyTargetEntry(entry);
		over_row->expr = (Expr *) group_var(3 + column, (Node *) entry->expr);
		over_row->ressortgroupref = 0;
		definition->target = lappend(definition->target, over_row);
	}
	definition->nkeys = list_length(definition->keys);
	if (definition->nkeys > SF_MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
		                errmsg("continuous view without GROUP BY cannot have more than %d columns", SF_MAX_KEYS)));
}

/* Name of a grouping expression: as Q selects it, or as its column is called, or key_N. */
static char *
key_name(DefineContext *context, int key)
{
	Node *expr;
	ListCell *cell;

	if (key == list_length(context->group_exprs))
		return "grouping_set";
	expr = list_nth(context->group_exprs, key);
	foreach (cell, context->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && entry->resname != NULL && equal(entry->expr, expr))
			return entry->resname;
	}
	if (IsA(expr, Var) && ((Var *) expr)->varno == (int) context->definition->row_varno)
		return get_rte_attribute_name(rt_fetch(((Var *) expr)->varno, context->query->rtable),
		                              ((Var *) expr)->varattno);
	return psprintf("key_%d", key + 1);
}

static void
init_column(TupleDesc desc, AttrNumber attno, const char *name, Node *expr)
{
	TupleDescInitEntry(desc, attno, name, exprType(expr), exprTypmod(expr), 0);
	TupleDescInitEntryCollation(desc, attno, exprCollation(expr));
}

static void
build_group_desc(DefineContext *context)
{
	SfDefinition *definition = context->definition;
	AttrNumber attno = 0;
	ListCell *cell;

	definition->group_desc = CreateTemplateTupleDesc(2 + definition->nkeys + definition->naggs);
	TupleDescInitEntry(definition->group_desc, ++attno, "window_start", definition->time_type, -1, 0);
	TupleDescInitEntry(definition->group_desc, ++attno, "window_end", definition->time_type, -1, 0);
	foreach (cell, definition->keys)
		init_column(definition->group_desc, ++attno, key_name(context, foreach_current_index(cell)), lfirst(cell));
	foreach (cell, definition->aggrefs)
		init_column(definition->group_desc, ++attno, psprintf("aggregate_%d", foreach_current_index(cell) + 1),
		            lfirst(cell));
}

static void
build_layout(SfDefinition *definition)
{
	int n = Max(definition->nkeys, 1);
	Oid *types = palloc(n * sizeof(Oid));
	int32 *typmods = palloc(n * sizeof(int32));
	Oid *collations = palloc(n * sizeof(Oid));
	SfAggregate **aggs = palloc(Max(definition->naggs, 1) * sizeof(SfAggregate *));
	ListCell *cell;

	foreach (cell, definition->keys)
	{
		Node *key = lfirst(cell);
		int i = foreach_current_index(cell);

		types[i] = exprType(key);
		typmods[i] = exprTypmod(key);
		collations[i] = exprCollation(key);
	}
	foreach (cell, definition->aggrefs)
		aggs[foreach_current_index(cell)] = sf_aggregate_create(definition->context, lfirst_node(Aggref, cell),
		                                                        definition->window.kind != SF_WINDOW_TUMBLE &&
		                                                            !sf_is_windowless(definition));
	if (definition->stateless)
		definition->layout = sf_layout_create_rows(definition->context, definition->nkeys, types, typmods, collations);
	else
		definition->layout = sf_layout_create(definition->context, definition->nkeys, types, typmods, collations,
		                                      definition->naggs, aggs);
	if (sf_is_windowless(definition) && !definition->stateless && definition->nkeys > 0)
		sf_layout_let_groups_leave(definition->layout);
}

SfDefinition *
sf_define(MemoryContext parent, Query *query, Oid view)
{
	MemoryContext own = AllocSetContextCreate(parent, "continuous view definition", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	DefineContext context = {0};
	SfDefinition *definition = palloc0(sizeof(SfDefinition));

	definition->context = own;
	definition->view = view;
	context.definition = definition;
	context.query = sf_union_as_subquery(copyObject(query));
	definition->window_key = SF_WINDOW_KEY_UNKNOWN;
	context.kept_window_key = OidIsValid(view) ? sf_view_window_key(view) : SF_WINDOW_KEY_UNKNOWN;

	refuse_constructs(context.query);
	context.sets = sf_grouping_sets(context.query);
	definition->stateless = sf_query_is_stateless(context.query);
	analyse_from(&context);
	context.query->targetList = (List *) sf_flatten_vars(context.query, (Node *) context.query->targetList);
	context.query->havingQual = sf_flatten_vars(context.query, context.query->havingQual);
	context.quals = (List *) sf_flatten_vars(context.query, (Node *) context.quals);

	if (context.window_varno != 0 && context.window_kind == SF_WINDOW_SESSION)
	{
		analyse_session(&context);
		context.has_window = groups_by_window_column(&context);
	}
	else if (context.window_varno != 0)
	{
		analyse_window_function(&context);
		analyse_coarse_window(&context);
	}
	else if (definition->has_window)
		analyse_window_expr(&context);
	else
		definition->time_type = TIMESTAMPTZOID;
	if (context.quals != NIL)
		definition->filter = plan_row_expression(&context, (Node *) make_ands_explicit(context.quals));
	if (definition->stateless)
		analyse_columns(&context);
	else
	{
		analyse_grouping(&context);
		analyse_top(&context);
	}
	build_group_desc(&context);
	build_layout(definition);
	if (definition->session != NULL)
		sf_define_session_layout(definition);
	sf_define_branches(definition, context.selects);
	sf_define_panes(definition);
	sf_define_output(definition);

	MemoryContextSwitchTo(old);
	return definition;
}

SfDefinition *
sf_define_view(MemoryContext parent, Oid view)
{
	int level = sf_view_settings_apply(view);
	SfDefinition *definition = sf_define(parent, sf_view_query(view), view);

	AtEOXact_GUC(true, level);
	return definition;
}
