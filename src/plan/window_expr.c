/*
 * window_expr.c
 *		Grouping expressions that are windows: date_trunc and date_bin of a column of a stream.
 *
 * Their values are the starts of tumbling windows, so groups by them close.  The definition puts window_start in the
 * place of the expression, wherever the query repeats it.
 */
#include "plan/window_expr.h"

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

bool
sf_is_session_date_trunc(Oid funcid)
{
	return funcid == F_DATE_TRUNC_TEXT_TIMESTAMPTZ;
}

static bool
is_window_function(Oid funcid)
{
	switch (funcid)
	{
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
			return true;
		default:
			return false;
	}
}

static void
take_spec(FuncExpr *call, SfWindowSpec *spec)
{
	pg_tz *zone = session_timezone;

	switch (call->funcid)
	{
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
			sf_window_spec_bin(spec, DatumGetIntervalP(value_argument(call, 0, "stride")),
			                   DatumGetInt64(value_argument(call, 2, "origin")),
			                   call->funcid == F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ);
			return;
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
			zone = sf_trunc_zone(TextDatumGetCString(value_argument(call, 2, "timezone")));
			break;
		default:
			break;
	}
	sf_window_spec_trunc(spec, TextDatumGetCString(value_argument(call, 0, "field")), zone,
	                     call->funcid != F_DATE_TRUNC_TEXT_TIMESTAMP);
}

bool
sf_match_window_expr(Node *node, Index varno, Var **time, SfWindowSpec *spec)
{
	FuncExpr *call = (FuncExpr *) node;

	if (!IsA(node, FuncExpr) || !is_window_function(call->funcid))
		return false;
	*time = lsecond(call->args);
	if (!IsA(*time, Var) || (*time)->varno != (int) varno || (*time)->varattno <= 0 || (*time)->varlevelsup != 0)
		return false;
	take_spec(call, spec);
	return true;
}
