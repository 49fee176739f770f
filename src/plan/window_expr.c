/*
 * window_expr.c
 *		Grouping expressions that are windows: date_trunc, date_bin and casts to date, of a time or a window's column.
 *
 * The values of date_trunc and date_bin are the starts of tumbling windows, so groups by them close.  Of a stream's
 * column, the definition puts window_start in the place of the expression, wherever the query repeats it.  A date, and
 * what is computed from a window's column, stays a key; and its windows say when groups by it close.
 */
#include "plan/window_expr.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

Const *
sf_constant_argument(Node *node, const char *name)
{
	node = eval_const_expressions(NULL, node);
	if (!IsA(node, Const))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("argument \"%s\" of a window function must be a constant in a continuous view", name)));
	return castNode(Const, node);
}

static Datum
value_argument(FuncExpr *call, int argument, const char *name)
{
	Const *constant = sf_constant_argument(list_nth(call->args, argument), name);

	if (constant->constisnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("window %s must not be null", name)));
	return constant->constvalue;
}

static bool
is_text_constant(Node *node)
{
	return IsA(node, Const) && ((Const *) node)->consttype == TEXTOID;
}

/* date_trunc and date_bin: the expression is the start of its window. */
static void
match_start(FuncExpr *call, SfWindowExpr *found)
{
	pg_tz *zone = session_timezone;

	switch (call->funcid)
	{
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
			sf_window_spec_bin(&found->windows, DatumGetIntervalP(value_argument(call, 0, "stride")),
			                   DatumGetInt64(value_argument(call, 2, "origin")),
			                   call->funcid == F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ);
			break;
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
			zone = sf_trunc_zone(TextDatumGetCString(value_argument(call, 2, "timezone")));
			/* FALLTHROUGH */
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
			sf_window_spec_trunc(&found->windows, TextDatumGetCString(value_argument(call, 0, "field")), zone,
			                     call->funcid != F_DATE_TRUNC_TEXT_TIMESTAMP);
			break;
		default:
			elog(ERROR, "function %u is no window", call->funcid);
	}
	found->start = (Expr *) call;
	found->is_start = true;
}

/* A cast to date: the start of its window is date_trunc('day'), in the same zone. */
static void
match_date(Node *time, Node *zone, bool zoned, SfWindowExpr *found)
{
	List *arguments = list_make2(
	    makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1, CStringGetTextDatum("day"), false, false), copyObject(time));
	Oid function = !zoned         ? F_DATE_TRUNC_TEXT_TIMESTAMP
	               : zone == NULL ? F_DATE_TRUNC_TEXT_TIMESTAMPTZ
	                              : F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT;

	if (zone != NULL)
		arguments = lappend(arguments, copyObject(zone));
	sf_window_spec_trunc(
	    &found->windows, "day",
	    zone == NULL ? session_timezone : sf_trunc_zone(TextDatumGetCString(((Const *) zone)->constvalue)), zoned);
	found->start = (Expr *) makeFuncExpr(function, exprType(time), arguments, InvalidOid, DEFAULT_COLLATION_OID,
	                                     COERCE_EXPLICIT_CALL);
	found->is_start = false;
}

static bool
is_column_of(Node *node, Index varno)
{
	Var *var = (Var *) node;

	return IsA(node, Var) && var->varno == (int) varno && var->varattno > 0 && var->varlevelsup == 0;
}

/* What is cast to date: timestamptz::date, timestamp::date, (timestamptz AT TIME ZONE zone)::date.  NULL: neither. */
static Node *
date_argument(FuncExpr *call, Node **zone)
{
	FuncExpr *inner = linitial(call->args);

	*zone = NULL;
	if (call->funcid == F_DATE_TIMESTAMP && IsA(inner, FuncExpr) && inner->funcid == F_TIMEZONE_TEXT_TIMESTAMPTZ &&
	    is_text_constant(linitial(inner->args)) && !linitial_node(Const, inner->args)->constisnull)
	{
		*zone = linitial(inner->args);
		return lsecond(inner->args);
	}
	return call->funcid == F_DATE_TIMESTAMPTZ || call->funcid == F_DATE_TIMESTAMP ? (Node *) inner : NULL;
}

Var *
sf_window_expr_time(Node *node, Index varno)
{
	FuncExpr *call = (FuncExpr *) node;
	Node *time = NULL;
	Node *zone;

	if (!IsA(node, FuncExpr) || call->args == NIL)
		return NULL;
	switch (call->funcid)
	{
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
			time = lsecond(call->args);
			break;
		default:
			time = date_argument(call, &zone);
	}
	return time != NULL && is_column_of(time, varno) ? (Var *) time : NULL;
}

bool
sf_match_window_expr(Node *node, Index varno, SfWindowExpr *found)
{
	FuncExpr *call = (FuncExpr *) node;
	Node *zone;

	found->time = sf_window_expr_time(node, varno);
	if (found->time == NULL)
		return false;
	if (list_length(call->args) > 1)
		match_start(call, found);
	else
	{
		(void) date_argument(call, &zone);
		match_date((Node *) found->time, zone, exprType((Node *) found->time) == TIMESTAMPTZOID, found);
	}
	return true;
}
