/*
 * grouping.c
 *		GROUPING SETS, ROLLUP and CUBE.
 *
 * A row is counted in one group of each set, as if the rows were there once for each of them: the number of the set is a
 * key of the group like any other, the last one, and keys that are not in the set are null.  So all that is done with
 * groups, from folding to reading, need not know of sets.  Sets are numbered from 1, in the order in which PostgreSQL
 * multiplies them out; a set that the query has twice has two numbers, and its rows are there twice.
 */
#include "plan/grouping.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_agg.h"
#include "utils/array.h"

List *
sf_grouping_sets(const Query *query)
{
	List *sets;

	if (query->groupingSets == NIL)
		return NIL;
	sets = expand_grouping_sets(copyObject(query->groupingSets), query->groupDistinct, -1);
	return list_length(sets) > 1 ? sets : NIL;
}

bool
sf_in_all_sets(const List *sets, Index ref)
{
	ListCell *cell;

	foreach (cell, sets)
		if (!list_member_int(lfirst(cell), ref))
			return false;
	return true;
}

/* What is no column PostgreSQL's plan makes null in some places, and keeps as a constant in others. */
void
sf_check_set_key(Node *expr)
{
	if (!contain_var_clause(expr))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view cannot maintain constants in GROUPING SETS, ROLLUP or CUBE"),
		                errhint("Group by columns of the stream, or by expressions over them.")));
}

/* A set may be empty: without a window that is one row, also before the stream has any. */
void
sf_define_sets(SfDefinition *definition, List *sets, const Index *key_refs)
{
	ListCell *cell;

	definition->nsets = list_length(sets);
	definition->sets = palloc0(definition->nsets * sizeof(uint64));
	foreach (cell, sets)
	{
		uint64 *keys = &definition->sets[foreach_current_index(cell)];

		for (int key = 0; key < definition->nkeys; key++)
			if (sf_is_session_key(definition, key) || list_member_int(lfirst(cell), key_refs[key]))
				*keys |= UINT64CONST(1) << key;
		definition->single_row |= *keys == 0 && sf_is_windowless(definition);
	}
	definition->keys = lappend(definition->keys, makeNullConst(INT4OID, -1, InvalidOid));
	definition->nkeys++;
}

/* A bit for each argument, the last one lowest: set when it is not in the set. */
static int32
grouping_value(const GroupingFunc *call, const List *set)
{
	int32 value = 0;
	ListCell *cell;

	foreach (cell, call->refs)
		value = (value << 1) | !list_member_int(set, lfirst_int(cell));
	return value;
}

Expr *
sf_grouping_call(const GroupingFunc *call, const List *sets, AttrNumber attno)
{
	int n = list_length(sets);
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));
	SubscriptingRef *result;
	ListCell *cell;

	if (sets == NIL)
		return (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(0), false, true);
	foreach (cell, sets)
		values[foreach_current_index(cell)] = Int32GetDatum(grouping_value(call, lfirst(cell)));
	result = makeNode(SubscriptingRef);
	result->refcontainertype = INT4ARRAYOID;
	result->refelemtype = INT4OID;
	result->refrestype = INT4OID;
	result->reftypmod = -1;
	result->refupperindexpr = list_make1(makeVar(1, attno, INT4OID, -1, InvalidOid, 0));
	result->refexpr = (Expr *) makeConst(
	    INT4ARRAYOID, -1, InvalidOid, -1,
	    PointerGetDatum(construct_array(values, n, INT4OID, sizeof(int32), true, TYPALIGN_INT)), false, false);
	return (Expr *) result;
}
