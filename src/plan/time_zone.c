/*
 * time_zone.c
 *		Writes the session's time zone into the calendar windows of a view's query when the view is created.
 *
 * A day is a day in some zone, and a view's days must not depend on who reads it, or who runs its query as a batch.  So
 * the zone that a window function would take from the session becomes an argument of it in the stored query, where \d
 * shows it and pg_dump keeps it.
 */
#include "plan/fragment.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

/* Arguments of the window functions, from 0: the zone comes later where there is a slide or step. */
#define ARGUMENT_SIZE 1
#define TUMBLE_ZONE 3
#define STEPPED_ZONE 4

static List *
all_arguments(FuncExpr *call)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	List *arguments;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", call->funcid);
	arguments = expand_function_arguments(call->args, false, call->funcresulttype, tuple);
	ReleaseSysCache(tuple);
	return arguments;
}

static bool
is_calendar_size(Node *size)
{
	Interval *interval;

	size = eval_const_expressions(NULL, size);
	if (!IsA(size, Const) || ((Const *) size)->constisnull)
		return false;
	interval = DatumGetIntervalP(((Const *) size)->constvalue);
	return interval->day != 0 || interval->month != 0;
}

static Const *
session_zone(Oid collation)
{
	return makeConst(TEXTOID, -1, collation, -1, CStringGetTextDatum(pg_get_timezone_name(session_timezone)), false,
	                 false);
}

static void
fix_call(FuncExpr *call, int zone_argument)
{
	List *arguments = all_arguments(call);
	Node *zone = eval_const_expressions(NULL, list_nth(arguments, zone_argument));

	if (exprType(linitial(arguments)) != TIMESTAMPTZOID || !is_calendar_size(list_nth(arguments, ARGUMENT_SIZE)) ||
	    !IsA(zone, Const) || !((Const *) zone)->constisnull)
		return;
	lfirst(list_nth_cell(arguments, zone_argument)) = session_zone(((Const *) zone)->constcollid);
	call->args = arguments;
}

/* date_trunc(field, time) becomes date_trunc(field, time, zone), and time::date becomes (time AT TIME ZONE zone)::date. */
static bool
fix_session_calls(Node *node, void *arg)
{
	FuncExpr *call = (FuncExpr *) node;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, fix_session_calls, arg, 0);
	if (IsA(node, FuncExpr) && call->funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ)
	{
		call->funcid = F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT;
		call->args = lappend(call->args, session_zone(DEFAULT_COLLATION_OID));
	}
	else if (IsA(node, FuncExpr) && call->funcid == F_DATE_TIMESTAMPTZ)
	{
		call->funcid = F_DATE_TIMESTAMP;
		call->args = list_make1(makeFuncExpr(F_TIMEZONE_TEXT_TIMESTAMPTZ, TIMESTAMPOID,
		                                     list_make2(session_zone(DEFAULT_COLLATION_OID), linitial(call->args)),
		                                     InvalidOid, DEFAULT_COLLATION_OID, COERCE_SQL_SYNTAX));
	}
	return expression_tree_walker(node, fix_session_calls, arg);
}

/*
 * Does the name of the session's zone mean the same to date_trunc and AT TIME ZONE?  They take CET for an abbreviation,
 * without the changes of clocks that the zone of that name has.
 */
static bool
zone_has_safe_name(void)
{
	pg_tz *named = sf_trunc_zone(pg_get_timezone_name(session_timezone));
	long int offset;
	long int session_offset;

	return named == session_timezone ||
	       (pg_get_timezone_offset(named, &offset) && pg_get_timezone_offset(session_timezone, &session_offset) &&
	        offset == session_offset);
}

void
sf_fix_time_zone(Query *query)
{
	ListCell *cell;
	ListCell *function;

	if (zone_has_safe_name())
		query_tree_walker(query, fix_session_calls, NULL, 0);
	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

		foreach (function, rte->functions)
		{
			Node *call = lfirst_node(RangeTblFunction, function)->funcexpr;
			SfWindowKind kind;

			if (IsA(call, FuncExpr) && sf_is_window_function(((FuncExpr *) call)->funcid, &kind) &&
			    kind != SF_WINDOW_SESSION)
				fix_call((FuncExpr *) call, kind == SF_WINDOW_TUMBLE ? TUMBLE_ZONE : STEPPED_ZONE);
		}
	}
}
