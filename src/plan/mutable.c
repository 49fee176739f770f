/*
 * mutable.c
 *		Which functions a continuous view may call.
 *
 * A maintained expression must give the same answer whenever a row is processed.  Immutable functions do; stable ones
 * only if they depend on nothing but settings that are frozen with the view.  PostgreSQL does not say what a stable
 * function depends on, so those are listed here by OID; any other, and any of a user's, is refused.
 */
#include "plan/mutable.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

typedef struct MutableContext
{
	SfMutable allowed;
	Oid found; /* the first function that is not allowed */
} MutableContext;

static const Oid listed[] = {
    F_TIMESTAMPTZ_PL_INTERVAL,
    F_TIMESTAMPTZ_MI_INTERVAL,
    F_DATE_TRUNC_TEXT_TIMESTAMPTZ,
    F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT,
    F_DATE_PART_TEXT_TIMESTAMPTZ,
    F_EXTRACT_TEXT_TIMESTAMPTZ,
    F_DATE_TIMESTAMPTZ,
    F_TIME_TIMESTAMPTZ,
    F_TIMETZ_TIMESTAMPTZ,
    F_TIMESTAMP_TIMESTAMPTZ,
    F_TIMESTAMPTZ_DATE,
    F_TIMESTAMPTZ_TIMESTAMP,
    F_DATE_LT_TIMESTAMPTZ,
    F_DATE_LE_TIMESTAMPTZ,
    F_DATE_EQ_TIMESTAMPTZ,
    F_DATE_GT_TIMESTAMPTZ,
    F_DATE_GE_TIMESTAMPTZ,
    F_DATE_NE_TIMESTAMPTZ,
    F_TIMESTAMPTZ_LT_DATE,
    F_TIMESTAMPTZ_LE_DATE,
    F_TIMESTAMPTZ_EQ_DATE,
    F_TIMESTAMPTZ_GT_DATE,
    F_TIMESTAMPTZ_GE_DATE,
    F_TIMESTAMPTZ_NE_DATE,
    F_TIMESTAMP_LT_TIMESTAMPTZ,
    F_TIMESTAMP_LE_TIMESTAMPTZ,
    F_TIMESTAMP_EQ_TIMESTAMPTZ,
    F_TIMESTAMP_GT_TIMESTAMPTZ,
    F_TIMESTAMP_GE_TIMESTAMPTZ,
    F_TIMESTAMP_NE_TIMESTAMPTZ,
    F_TIMESTAMPTZ_LT_TIMESTAMP,
    F_TIMESTAMPTZ_LE_TIMESTAMP,
    F_TIMESTAMPTZ_EQ_TIMESTAMP,
    F_TIMESTAMPTZ_GT_TIMESTAMP,
    F_TIMESTAMPTZ_GE_TIMESTAMP,
    F_TIMESTAMPTZ_NE_TIMESTAMP,
    F_DATE_OUT,
    F_TIMESTAMP_OUT,
    F_TIMESTAMPTZ_OUT,
    F_INTERVAL_OUT,
    F_TO_CHAR_TIMESTAMPTZ_TEXT,
    F_TO_CHAR_TIMESTAMP_TEXT,
    F_TO_CHAR_INTERVAL_TEXT,
    F_TO_CHAR_NUMERIC_TEXT,
    F_TO_CHAR_INT4_TEXT,
    F_TO_CHAR_INT8_TEXT,
    F_TO_CHAR_FLOAT4_TEXT,
    F_TO_CHAR_FLOAT8_TEXT,
    F_CONCAT,
    F_CONCAT_WS,
    F_FORMAT_TEXT_ANY,
    F_FORMAT_TEXT,
};

static bool
is_listed(Oid function)
{
	for (int i = 0; i < (int) lengthof(listed); i++)
		if (listed[i] == function)
			return true;
	return false;
}

static bool
check_function(Oid function, void *arg)
{
	MutableContext *context = arg;
	char volatility = func_volatile(function);

	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	if (volatility == PROVOLATILE_STABLE && context->allowed == SF_MUTABLE_LISTED && is_listed(function))
		return false;
	context->found = function;
	return true;
}

static bool
mutable_walker(Node *node, void *arg)
{
	MutableContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction) || IsA(node, NextValueExpr))
		return true;
	if (check_functions_in_node(node, check_function, context))
		return true;
	return expression_tree_walker(node, mutable_walker, context);
}

/* The time of the statement or its transaction. */
static bool
is_clock(Oid function)
{
	return function == F_NOW || function == F_TRANSACTION_TIMESTAMP || function == F_STATEMENT_TIMESTAMP;
}

void
sf_refuse_mutable(Node *expression, SfMutable allowed)
{
	MutableContext context = {allowed, InvalidOid};
	const char *hint;

	if (!mutable_walker(expression, &context))
		return;
	if (!OidIsValid(context.found))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view cannot maintain an expression that depends on the time or the session"),
		                errhint("Compare with the current time in a query over the continuous view.")));

	hint =
	    func_volatile(context.found) == PROVOLATILE_VOLATILE || allowed == SF_MUTABLE_LISTED || is_clock(context.found)
	        ? "Use immutable functions; conditions on the current time belong in a query over the continuous view."
	        : "Its result depends on the reader's settings: group by the expression, or apply it in a query over the "
	          "continuous view.";
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("continuous view cannot maintain function %s(), which is %s", get_func_name(context.found),
	                       func_volatile(context.found) == PROVOLATILE_VOLATILE ? "volatile" : "stable"),
	                errhint("%s", hint)));
}

static bool
is_sensitive(Oid function, void *arg)
{
	return function >= FirstNormalObjectId || func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

static bool
sensitive_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_sensitive, NULL))
		return true;
	return expression_tree_walker(node, sensitive_walker, NULL);
}

bool
sf_needs_settings(Node *expression)
{
	return sensitive_walker(expression, NULL);
}
