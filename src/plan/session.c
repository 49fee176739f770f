/*
 * session.c
 *		The batch form of sessions: a query with session() in FROM becomes one that PostgreSQL can run.
 *
 * A level of a query
 *
 *		SELECT … FROM items, session(ts, gap) WHERE conditions GROUP BY window_start, window_end, keys
 *
 * becomes three, before it is planned:
 *
 *		SELECT … FROM windows WHERE conditions on window columns GROUP BY window_start, window_end, keys
 *		windows: SELECT session_start(ts, gap) OVER w, session_end(ts, gap) OVER w, columns
 *		         FROM rows WHERE ts IS NOT NULL WINDOW w AS (PARTITION BY keys ORDER BY ts)
 *		rows:    SELECT columns FROM items WHERE all other conditions
 *
 * so that conditions which name no window column choose the rows, and the others choose among sessions.  The first is
 * the level itself, changed in place: what refers to it from below keeps its level.  FROM and WHERE go two levels down.
 *
 * Sessions are kept apart by the keys that session() names, or by the grouping expressions without window columns.
 * Where neither says what they are, the query is refused.
 */
#include "plan/session.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "optimizer/tlist.h"
#include "parser/parse_func.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "plan/inline.h"
#include "time/session.h"

/* Columns of the windows query before those of the rows query. */
#define WINDOW_COLUMNS 2

/* The levels that FROM and WHERE go down. */
#define ROWS_DEPTH 2

typedef struct SessionContext
{
	Query *query;
	Index varno; /* of session() */
	FuncExpr *call;
	Relids dissolved; /* session() and the joins that hold it: they are no more */
	List *items;      /* the other items of FROM */
	List *row_quals;
	List *window_quals;
	List *keys;    /* expressions */
	List *columns; /* target entries of the rows query: what is used of the rows */
	int depth;     /* while an expression is worked on: how many levels down */
} SessionContext;

static void
refuse(const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("session() cannot %s", what), errhint("%s", hint)));
}

/* A list of conditions as one, or NULL. */
static Node *
make_condition(List *quals)
{
	return quals == NIL ? NULL : (Node *) make_ands_explicit(quals);
}

static bool
uses_window(SessionContext *context, Node *node)
{
	return rangeTableEntry_used(node, context->varno, 0);
}

/* ---- what session() is called with ---- */

static Node *
argument(SessionContext *context, int number)
{
	return list_nth(context->call->args, number);
}

static void
check_time(SessionContext *context)
{
	if (!contain_vars_of_level(argument(context, SF_SESSION_TIME), 0))
		refuse("work on a time that is not of its query's own rows",
		       "Put session() into the FROM list that has the table whose column it takes.");
}

static void
check_gap(SessionContext *context)
{
	Node *gap = argument(context, SF_SESSION_GAP);

	if (contain_vars_of_level(gap, 0) || contain_volatile_functions(gap))
		refuse("work with a gap that changes from row to row", "Give the gap as a constant or a parameter.");
	if (!IsA(gap, Const))
		return;
	if (((Const *) gap)->constisnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("session gap must not be null")));
	(void) sf_session_gap(DatumGetIntervalP(((Const *) gap)->constvalue));
}

static void
add_key(SessionContext *context, Node *key)
{
	if (contain_volatile_functions(key))
		refuse("take a volatile key", "Compute the key in a subquery.");
	if (expression_returns_set(key))
		refuse("take a set-returning key", "Use the function in FROM.");
	/* One that is the same for all rows keeps nothing apart; it may be an untyped literal. */
	if (!IsA(key, Const))
		context->keys = list_append_unique(context->keys, key);
}

static void
find_keys(SessionContext *context)
{
	Query *query = context->query;
	ListCell *cell;

	if (list_length(context->call->args) > SF_SESSION_KEYS)
	{
		for_each_from(cell, context->call->args, SF_SESSION_KEYS) add_key(context, lfirst(cell));
		return;
	}

	if (query->groupingSets != NIL)
		refuse("take its keys from GROUPING SETS, ROLLUP or CUBE", "Name the keys: session(ts, gap, key, ...).");
	if (query->groupClause == NIL)
		refuse("take its keys from a query without GROUP BY",
		       "Group by window_start, window_end and the keys, or name the keys: session(ts, gap, key, ...).");
	foreach (cell, query->groupClause)
	{
		Node *expr = get_sortgroupclause_expr(lfirst(cell), query->targetList);

		if (!uses_window(context, expr))
			add_key(context, expr);
		else if (!bms_is_subset(pull_varnos(NULL, expr), bms_make_singleton(context->varno)))
			refuse("take its keys from a grouping expression that uses window columns and others",
			       "Group by them one by one, or name the keys: session(ts, gap, key, ...).");
	}
}

/* ---- FROM and WHERE are divided ---- */

static void
divide_quals(SessionContext *context, Node *quals)
{
	if (quals == NULL)
		return;
	if (is_andclause(quals))
	{
		ListCell *cell;

		foreach (cell, ((BoolExpr *) quals)->args)
			divide_quals(context, lfirst(cell));
	}
	else if (uses_window(context, quals))
		context->window_quals = lappend(context->window_quals, quals);
	else
		context->row_quals = lappend(context->row_quals, quals);
}

static void
divide_from(SessionContext *context, Node *item)
{
	if (!bms_is_member(context->varno, sf_relids_in_jointree(item)))
		context->items = lappend(context->items, item);
	else if (IsA(item, FromExpr))
	{
		FromExpr *from = (FromExpr *) item;
		ListCell *cell;

		foreach (cell, from->fromlist)
			divide_from(context, lfirst(cell));
		divide_quals(context, from->quals);
	}
	else if (IsA(item, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) item;

		if (join->jointype != JOIN_INNER)
			refuse("stand inside an outer join", "List it in FROM after the join.");
		if (join->rtindex != 0)
			context->dissolved = bms_add_member(context->dissolved, join->rtindex);
		divide_from(context, join->larg);
		divide_from(context, join->rarg);
		divide_quals(context, join->quals);
	}
}

/* ---- the rows query ---- */

/* The number of an expression over the rows among the columns of the rows query; a new one if need be. */
static AttrNumber
row_column(SessionContext *context, Node *expr)
{
	TargetEntry *entry = tlist_member((Expr *) expr, context->columns);

	if (entry == NULL)
	{
		AttrNumber number = list_length(context->columns) + 1;
		char *name = psprintf("column%d", number);

		if (IsA(expr, Var) && ((Var *) expr)->varattno > 0)
			name = get_rte_attribute_name(rt_fetch(((Var *) expr)->varno, context->query->rtable),
			                              ((Var *) expr)->varattno);
		entry = makeTargetEntry(copyObject((Expr *) expr), number, name, false);
		context->columns = lappend(context->columns, entry);
	}
	return entry->resno;
}

/* A column of the windows query, seen from `depth` levels below the level that reads it. */
static Var *
windows_var(SessionContext *context, AttrNumber number, Node *like)
{
	return makeVar(1, number, exprType(like), exprTypmod(like), exprCollation(like), context->depth);
}

/* An expression of the level comes to stand over the windows query. */
static Node *
over_windows_mutator(Node *node, void *arg)
{
	SessionContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		Var *own;

		if ((int) var->varlevelsup != context->depth)
			return copyObject(node);
		if (var->varno == (int) context->varno)
		{
			if (var->varattno <= 0)
				refuse("give a window as a whole row", "Name window_start and window_end.");
			return (Node *) windows_var(context, var->varattno, node);
		}
		own = copyObject(var);
		own->varlevelsup = 0;
		return (Node *) windows_var(context, WINDOW_COLUMNS + row_column(context, (Node *) own), node);
	}
	/* A key is computed once, in the rows query. */
	if (context->depth == 0 && list_member(context->keys, node))
		return (Node *) windows_var(context, WINDOW_COLUMNS + row_column(context, node), node);
	if (IsA(node, Query))
	{
		Query *query;

		context->depth++;
		query = query_tree_mutator((Query *) node, over_windows_mutator, context, 0);
		context->depth--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, over_windows_mutator, context);
}

/* References to common table expressions of the level itself, from `depth` levels below its place, go down. */
typedef struct CteContext
{
	Index depth;
	Index delta;
} CteContext;

static bool
push_down_ctes_walker(Node *node, void *arg)
{
	CteContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == context->depth)
			rte->ctelevelsup += context->delta;
		return false;
	}
	if (IsA(node, Query))
	{
		context->depth++;
		query_tree_walker((Query *) node, push_down_ctes_walker, context, QTW_EXAMINE_RTES_BEFORE);
		context->depth--;
		return false;
	}
	return expression_tree_walker(node, push_down_ctes_walker, context);
}

/* What stood at the level, a query or an expression, goes `delta` levels down, in place. */
static void
push_down(Node *node, int delta)
{
	CteContext context = {0, delta};

	IncrementVarSublevelsUp(node, delta, 1);
	query_or_expression_tree_walker(node, push_down_ctes_walker, &context, QTW_EXAMINE_RTES_BEFORE);
}

/* A range table entry that stands for nothing: it keeps the numbers of the others. */
static RangeTblEntry *
make_empty_entry(void)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias("*RESULT*", NIL);
	return rte;
}

static Query *
make_rows_query(SessionContext *context)
{
	Query *query = context->query;
	Query *rows = makeNode(Query);
	int member = -1;

	rows->commandType = CMD_SELECT;
	rows->canSetTag = true;
	rows->rtable = copyObject(query->rtable);
	sf_move_query_perms(rows, query);
	rows->jointree = makeFromExpr(copyObject(context->items), copyObject(make_condition(context->row_quals)));
	rows->targetList = context->columns;
	rows->hasSubLinks = query->hasSubLinks;
	rows->hasRowSecurity = query->hasRowSecurity;

	while ((member = bms_next_member(context->dissolved, member)) >= 0)
		lfirst(list_nth_cell(rows->rtable, member - 1)) = make_empty_entry();
	member = -1;
	while ((member = bms_next_member(context->dissolved, member)) >= 0)
		if (rangeTableEntry_used((Node *) rows, member, 0))
			refuse("be referred to by other items of its FROM", "Put the query with session() into a subquery.");
	push_down((Node *) rows, ROWS_DEPTH);
	return rows;
}

/* ---- the windows query ---- */

static SortGroupClause *
make_sort_clause(TargetEntry *entry)
{
	SortGroupClause *clause = makeNode(SortGroupClause);
	Oid type = exprType((Node *) entry->expr);

	get_sort_group_operators(type, false, false, false, &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	if (!OidIsValid(clause->sortop) || !OidIsValid(clause->eqop))
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_FUNCTION),
		         errmsg("session() cannot take a key of type %s", format_type_be(type)),
		         errdetail("The type has no ordering operator."), errhint("Cast the key, for example to text.")));
	clause->tleSortGroupRef = entry->ressortgroupref = entry->resno;
	return clause;
}

/* As the level groups by this key, if it does so in a way that can be sorted. */
static SortGroupClause *
make_key_clause(SessionContext *context, Node *key, TargetEntry *entry)
{
	ListCell *cell;

	foreach (cell, context->query->groupClause)
	{
		SortGroupClause *group = lfirst(cell);

		if (OidIsValid(group->sortop) && equal(get_sortgroupclause_expr(group, context->query->targetList), key))
		{
			SortGroupClause *clause = copyObject(group);

			clause->tleSortGroupRef = entry->ressortgroupref = entry->resno;
			return clause;
		}
	}
	return make_sort_clause(entry);
}

/* window_start or window_end. */
static TargetEntry *
make_window_column(SessionContext *context, AttrNumber number, const char *function, Var *time)
{
	const Oid types[] = {time->vartype, INTERVALOID};
	Node *gap = copyObject(argument(context, SF_SESSION_GAP));
	WindowFunc *call = makeNode(WindowFunc);

	push_down(gap, 1);
	call->winfnoid = LookupFuncName(list_make2(makeString(SF_SCHEMA), makeString(pstrdup(function))), 2, types, false);
	call->wintype = time->vartype;
	call->args = list_make2(copyObject(time), gap);
	call->winref = 1;
	call->location = -1;
	return makeTargetEntry((Expr *) call, number, number == SF_SESSION_START ? "window_start" : "window_end", false);
}

static RangeTblEntry *
make_subquery_entry(Query *subquery, const char *name)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List *names = NIL;
	ListCell *cell;

	foreach (cell, subquery->targetList)
		names = lappend(names, makeString(pstrdup(lfirst_node(TargetEntry, cell)->resname)));
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = subquery;
	rte->eref = makeAlias(name, names);
	rte->inFromCl = true;
	return rte;
}

static RangeTblRef *
make_range_ref(int index)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = index;
	return ref;
}

static Query *
make_windows_query(SessionContext *context)
{
	Query *windows = makeNode(Query);
	WindowClause *order = makeNode(WindowClause);
	AttrNumber time_number = row_column(context, argument(context, SF_SESSION_TIME));
	TargetEntry *time;
	NullTest *has_time = makeNode(NullTest);
	ListCell *cell;

	foreach (cell, context->keys)
		(void) row_column(context, lfirst(cell));
	foreach (cell, context->columns)
	{
		TargetEntry *column = lfirst(cell);
		Var *var = windows_var(context, column->resno, (Node *) column->expr);

		windows->targetList = lappend(
		    windows->targetList, makeTargetEntry((Expr *) var, WINDOW_COLUMNS + column->resno, column->resname, false));
	}
	time = list_nth(windows->targetList, time_number - 1);

	order->winref = 1;
	order->frameOptions = FRAMEOPTION_DEFAULTS;
	foreach (cell, context->keys)
	{
		TargetEntry *entry = list_nth(windows->targetList, row_column(context, lfirst(cell)) - 1);

		order->partitionClause = lappend(order->partitionClause, make_key_clause(context, lfirst(cell), entry));
	}
	order->orderClause = list_make1(make_sort_clause(time));

	windows->targetList = lcons(make_window_column(context, SF_SESSION_END, "session_end", (Var *) time->expr),
	                            windows->targetList);
	windows->targetList = lcons(make_window_column(context, SF_SESSION_START, "session_start", (Var *) time->expr),
	                            windows->targetList);

	has_time->arg = copyObject(time->expr);
	has_time->nulltesttype = IS_NOT_NULL;
	has_time->location = -1;

	windows->commandType = CMD_SELECT;
	windows->canSetTag = true;
	windows->rtable = list_make1(make_subquery_entry(make_rows_query(context), "rows"));
	windows->jointree = makeFromExpr(list_make1(make_range_ref(1)), (Node *) has_time);
	windows->windowClause = list_make1(order);
	windows->hasWindowFuncs = true;
	windows->hasSubLinks = context->query->hasSubLinks;
	return windows;
}

/* ---- one level ---- */

/* The number of session() in FROM, or 0. */
static Index
find_session(Query *query)
{
	Index found = 0;
	Index varno = 0;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);
		Node *function;

		varno++;
		/* Anything but a plain call is left to the function, which raises. */
		if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1 || rte->funcordinality)
			continue;
		function = linitial_node(RangeTblFunction, rte->functions)->funcexpr;
		if (!IsA(function, FuncExpr) || !sf_is_session(((FuncExpr *) function)->funcid))
			continue;
		if (found != 0)
			refuse("be used twice in one FROM", "Use one of them in a subquery.");
		found = varno;
	}
	return found;
}

static void
check_level(Query *query, FuncExpr *call)
{
	if (query->commandType != CMD_SELECT)
		refuse("be used in UPDATE, DELETE or MERGE", "Use it in a subquery.");
	if (query->rowMarks != NIL)
		refuse("be used with FOR UPDATE or FOR SHARE", "Remove the locking clause.");
	if (sf_function_aclcheck(call->funcid, GetUserId()) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, "session");
}

static void
rewrite_level(Query *query)
{
	SessionContext context = {.query = query};
	RangeTblEntry *session;
	Query *windows;

	context.varno = find_session(query);
	if (context.varno == 0)
		return;
	session = rt_fetch(context.varno, query->rtable);
	context.dissolved = bms_make_singleton(context.varno);
	context.call = castNode(FuncExpr, linitial_node(RangeTblFunction, session->functions)->funcexpr);
	check_level(query, context.call);

	query->jointree = (FromExpr *) sf_flatten_vars(query, (Node *) query->jointree);
	query->targetList = (List *) sf_flatten_vars(query, (Node *) query->targetList);
	query->havingQual = sf_flatten_vars(query, query->havingQual);
	context.call = (FuncExpr *) sf_flatten_vars(query, (Node *) context.call);
	sf_drop_group_entry(query, make_empty_entry());

	divide_from(&context, (Node *) query->jointree);
	check_time(&context);
	check_gap(&context);
	find_keys(&context);

	query->jointree = makeFromExpr(list_make1(make_range_ref(1)),
	                               over_windows_mutator(make_condition(context.window_quals), &context));
	query->targetList = (List *) over_windows_mutator((Node *) query->targetList, &context);
	query->havingQual = over_windows_mutator(query->havingQual, &context);
	windows = make_windows_query(&context);
	query->rtable = list_make1(make_subquery_entry(windows, session->eref->aliasname));
}

/* ---- all levels ---- */

typedef struct LevelsContext
{
	PlannerGlobal *glob;
	bool inline_functions;
} LevelsContext;

static void rewrite_levels(Query *query, LevelsContext *context);

/* Finds the queries in an expression. */
static bool
sublink_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		rewrite_levels((Query *) node, arg);
		return false;
	}
	return expression_tree_walker(node, sublink_walker, arg);
}

/* From below: a level that is rewritten takes the finished ones with it. */
static void
rewrite_levels(Query *query, LevelsContext *context)
{
	ListCell *cell;

	check_stack_depth();
	if (context->inline_functions)
		sf_inline_functions(query, context->glob);
	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind == RTE_SUBQUERY)
			rewrite_levels(rte->subquery, context);
	}
	foreach (cell, query->cteList)
		rewrite_levels(castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery), context);
	if (query->hasSubLinks)
		query_tree_walker(query, sublink_walker, context, QTW_IGNORE_RC_SUBQUERIES);
	rewrite_level(query);
}

void
sf_rewrite_sessions(Query *query, PlannerGlobal *glob, bool inline_functions)
{
	LevelsContext context = {glob, inline_functions};

	rewrite_levels(query, &context);
}
