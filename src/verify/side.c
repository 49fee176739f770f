/*
 * side.c
 *		The sides of a verification that are not the view's own answer: its query over the counted rows.
 *
 * The batch side is Q with one more condition in each branch, streamfuse.counted() of its stream's row.  The magnitude side is that
 * with each floating-point result replaced by the sum of the absolute values that went into it: the scale on which two
 * orders of addition may differ.  Both are built on Q's tree, before it is planned.
 * Where an aggregate leaves the order of its rows open, it gets the order that the view keeps.
 */
#include "verify/verify_internal.h"

#include "access/sysattr.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/prep.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "plan/branch.h"

static Oid
own_function(const char *name, int nargs, const Oid *types)
{
	return LookupFuncName(list_make2(makeString(SF_SCHEMA), makeString(pstrdup(name))), nargs, types, false);
}

static void
add_condition(Query *query, Oid function, List *args)
{
	Node *condition = (Node *) makeFuncExpr(function, BOOLOID, args, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

	query->jointree->quals = make_and_qual(query->jointree->quals, condition);
}

static void
keep_counted_of(Query *query, Index stream, int branch, void *arg)
{
	const Oid types[] = {OIDOID, TIDOID, XIDOID, INT4OID};
	List *args = list_make4(makeVar(stream, TableOidAttributeNumber, OIDOID, -1, InvalidOid, 0),
	                        makeVar(stream, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0),
	                        makeVar(stream, MinTransactionIdAttributeNumber, XIDOID, -1, InvalidOid, 0),
	                        makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(branch), false, true));

	add_condition(query, own_function("counted", 4, types), args);
}

/* The order of places, which a plan for Q need not keep: the columns are in *arg. */
static bool
sort_by_place(Node *node, void *arg)
{
	List *place = arg;
	ListCell *cell;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		Aggref *aggref = (Aggref *) node;

		if (sf_aggregate_is_by_place(aggref))
			foreach (cell, place)
				sf_aggregate_sort_by(aggref, lfirst_node(Var, cell));
		return false;
	}
	return expression_tree_walker(node, sort_by_place, arg);
}

static void
sort_aggregates(Query *query)
{
	List *place;

	if (!query->hasAggs)
		return;
	place = sf_place_columns(query);
	sort_by_place((Node *) query->targetList, place);
	sort_by_place(query->havingQual, place);
}

static Const *
time_constant(const SfVerification *verification, SfTime time)
{
	return makeConst(verification->definition->time_type, -1, InvalidOid, sizeof(int64), Int64GetDatum(time), false,
	                 FLOAT8PASSBYVAL);
}

/* Only windows that end, by this column, at or before a time. */
void
sf_verify_keep_until(const SfVerification *verification, Query *query, Index varno, AttrNumber attnum, SfTime until)
{
	Oid type = verification->definition->time_type;
	Var *end = makeVar(varno, attnum, type, -1, InvalidOid, 0);

	add_condition(query, type == TIMESTAMPTZOID ? F_TIMESTAMPTZ_LE : F_TIMESTAMP_LE,
	              list_make2(end, time_constant(verification, until)));
}

/* Windows outside the range are not compared; nor are they computed, for their rows may raise and be in no error table. */
static void
keep_range(const SfVerification *verification, Query *query)
{
	Oid type = verification->definition->time_type;
	Expr *start = verification->definition->window_start;

	if (verification->from == SF_TIME_MINUS_INFINITY && verification->to == SF_TIME_INFINITY)
		return;
	if (verification->from != SF_TIME_MINUS_INFINITY)
		add_condition(query, type == TIMESTAMPTZOID ? F_TIMESTAMPTZ_GE : F_TIMESTAMP_GE,
		              list_make2(copyObject(start), time_constant(verification, verification->from)));
	if (verification->to != SF_TIME_INFINITY)
		add_condition(query, type == TIMESTAMPTZOID ? F_TIMESTAMPTZ_LT : F_TIMESTAMP_LT,
		              list_make2(copyObject(start), time_constant(verification, verification->to)));
}

/* Only windows that end at or before a time.  Those of an expression show their start alone. */
static void
keep_ended(const SfVerification *verification, Query *query, SfTime until)
{
	const SfDefinition *definition = verification->definition;
	Expr *start = definition->window_start;
	Oid type = definition->time_type;

	if (IsA(start, Var))
	{
		sf_verify_keep_until(verification, query, ((Var *) start)->varno, 2, until);
		return;
	}
	if (until != SF_TIME_MINUS_INFINITY && until != SF_TIME_INFINITY)
		until = sf_window_coarse_ending_after(&definition->window, until);
	add_condition(query, type == TIMESTAMPTZOID ? F_TIMESTAMPTZ_LT : F_TIMESTAMP_LT,
	              list_make2(copyObject(start), time_constant(verification, until)));
}

/* sum(magnitude(argument)) over the rows that an aggregate takes. */
static Expr *
sum_of_magnitudes(Expr *argument, const Aggref *aggregate)
{
	const Oid type = FLOAT8OID;
	Aggref *sum = makeNode(Aggref);

	argument = copyObject(argument);
	if (getBaseType(exprType((Node *) argument)) == FLOAT4OID)
		argument = (Expr *) makeFuncExpr(F_FLOAT8_FLOAT4, FLOAT8OID, list_make1(argument), InvalidOid, InvalidOid,
		                                 COERCE_EXPLICIT_CALL);
	argument = (Expr *) makeFuncExpr(own_function("magnitude", 1, &type), FLOAT8OID, list_make1(argument), InvalidOid,
	                                 InvalidOid, COERCE_EXPLICIT_CALL);

	sum->aggfnoid = F_SUM_FLOAT8;
	sum->aggtype = FLOAT8OID;
	sum->aggargtypes = list_make1_oid(FLOAT8OID);
	sum->args = list_make1(makeTargetEntry(argument, 1, NULL, false));
	sum->aggfilter = copyObject(aggregate->aggfilter);
	sum->aggkind = AGGKIND_NORMAL;
	sum->aggsplit = AGGSPLIT_SIMPLE;
	sum->aggno = -1;
	sum->aggtransno = -1;
	sum->location = -1;
	return (Expr *) sum;
}

static bool
is_float_type(Oid type)
{
	type = getBaseType(type);
	return type == FLOAT8OID || type == FLOAT4OID;
}

/* Collects the sums of magnitudes for all floating-point arguments of aggregates in an expression. */
static bool
collect_magnitudes(Node *node, void *arg)
{
	List **sums = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		Aggref *aggregate = (Aggref *) node;
		ListCell *cell;

		foreach (cell, aggregate->args)
		{
			TargetEntry *entry = lfirst_node(TargetEntry, cell);

			if (!entry->resjunk && is_float_type(exprType((Node *) entry->expr)))
				*sums = lappend(*sums, sum_of_magnitudes(entry->expr, aggregate));
		}
		return false;
	}
	return expression_tree_walker(node, collect_magnitudes, arg);
}

/* In place of a result of this type: of exactly this type, since the view's columns have it. */
static Expr *
magnitude_expression(Expr *result)
{
	Oid type = exprType((Node *) result);
	Oid base = getBaseType(type);
	List *sums = NIL;
	MinMaxExpr *greatest = makeNode(MinMaxExpr);
	Expr *magnitude = (Expr *) greatest;

	collect_magnitudes((Node *) result, &sums);
	if (sums == NIL)
		return (Expr *) makeNullConst(type, -1, InvalidOid);

	greatest->minmaxtype = FLOAT8OID;
	greatest->op = IS_GREATEST;
	greatest->args = sums;
	greatest->location = -1;
	if (base == FLOAT4OID)
	{
		const Oid float8 = FLOAT8OID;

		magnitude = (Expr *) makeFuncExpr(own_function("magnitude_float4", 1, &float8), FLOAT4OID,
		                                  list_make1(magnitude), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	}
	if (base != type)
		magnitude = (Expr *) makeRelabelType(magnitude, type, -1, InvalidOid, COERCE_IMPLICIT_CAST);
	return magnitude;
}

bool
sf_verify_is_float(const SfVerification *verification, int column, Oid type)
{
	/* What is computed from one row does not depend on an order of additions. */
	return !verification->definition->stateless && verification->definition->view_column[column] == 0 &&
	       is_float_type(type);
}

static void
replace_by_magnitudes(Query *query, const SfVerification *verification)
{
	int column = 0;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk)
			continue;
		if (sf_verify_is_float(verification, column++, exprType((Node *) entry->expr)))
			entry->expr = magnitude_expression(entry->expr);
	}
}

Query *
sf_verify_side(const SfVerification *verification, bool magnitude)
{
	Query *query = sf_view_batch_query(verification->view);

	if (!verification->adoption || verification->nfailed > 0)
		sf_visit_selects(query, keep_counted_of, NULL);
	if (!verification->adoption && !verification->definition->stateless)
		keep_range(verification, query);
	else if (verification->adoption)
		keep_ended(verification, query, verification->adopted_until);
	if (verification->final)
		keep_ended(verification, query, verification->last_closed);
	sort_aggregates(query);
	if (magnitude)
		replace_by_magnitudes(query, verification);
	return query;
}
