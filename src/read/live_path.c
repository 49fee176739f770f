/*
 * live_path.c
 *		Paths of a view's live side, and the plan node made from them.
 *
 * The live side is a range table entry of the view's own relation, marked by its name (live.h).  It can be read whole,
 * always in the order of the windows, or, where every grouping key is compared with a value, by one hash probe per
 * window, also as the inner side of a nested loop.  Conditions on window columns narrow the windows visited.  Every
 * condition is also checked on the rows, so narrowing may be approximate.
 *
 * An unmarked view that reaches the planner's core came by a way the planner hook does not know: an error, not an
 * empty answer.
 */
#include "read/live.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "plan/view.h"
#include "state/shared.h"

/* Fewest groups assumed: a plan made while memory is empty must still be good a moment later. */
#define LEAST_GROUPS 1000.0

/* Most sets of outer relations tried for one view. */
#define MOST_OUTERS 8

/* A clause that compares key column `key` with a value from outside the view. */
typedef struct KeyClause
{
	int key;
	Expr *value;
	Relids outer; /* relations the value needs; NULL: a constant or parameter */
} KeyClause;

typedef struct LivePlanner
{
	PlannerInfo *root;
	RelOptInfo *rel;
	Oid view;
	SfDefinition *definition;
	List *key_clauses; /* KeyClause */
	List *outers;      /* Relids: what join clauses need */
} LivePlanner;

static get_relation_info_hook_type previous_relation_info;
static get_relation_stats_hook_type previous_relation_stats;
static set_rel_pathlist_hook_type previous_pathlist;

static Plan *plan_live_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses,
                            List *custom_plans);

static const CustomPathMethods live_path_methods = {
    .CustomName = SF_LIVE_SCAN_NAME,
    .PlanCustomPath = plan_live_path,
};

/* ---- what a clause says about the view's columns ---- */

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* The column of the group row (1 = window_start, 2 = window_end, then keys) that an expression is, or 0. */
static AttrNumber
group_column(SfDefinition *definition, RelOptInfo *rel, Node *node)
{
	node = strip_relabel(node);
	if (node != NULL && IsA(node, Var))
	{
		Var *var = (Var *) node;

		if (var->varno == (int) rel->relid && var->varlevelsup == 0 && var->varattno > 0)
			return definition->view_column[var->varattno - 1];
	}
	return 0;
}

/*
 * Splits "column op value", either way round, so that the column stands left.  False when the clause is not of that
 * form, or the value depends on the view itself or is volatile.
 */
static bool
split_comparison(LivePlanner *planner, Expr *clause, AttrNumber *column, Oid *op, Node **value)
{
	OpExpr *expr = (OpExpr *) clause;
	Node *left;
	Node *right;

	if (!IsA(clause, OpExpr) || list_length(expr->args) != 2)
		return false;
	left = linitial(expr->args);
	right = lsecond(expr->args);
	*op = expr->opno;
	*column = group_column(planner->definition, planner->rel, left);
	*value = right;
	if (*column == 0)
	{
		*op = get_commutator(expr->opno);
		*column = group_column(planner->definition, planner->rel, right);
		*value = left;
	}
	return *column != 0 && OidIsValid(*op) && !bms_is_member(planner->rel->relid, pull_varnos(planner->root, *value)) &&
	       !contain_volatile_functions(*value) && !contain_subplans(*value);
}

/* Does equality under either collation mean the same? */
static bool
same_equality(Oid a, Oid b)
{
	if (a == b || !OidIsValid(a) || !OidIsValid(b))
		return true;
	return get_collation_isdeterministic(a) && get_collation_isdeterministic(b);
}

/*
 * The value of the key's type that equals `value` by the operator, or NULL.  A value of another type, as 1 is where the key
 * is bigint, is cast where that loses nothing: to an operator of the family by which the keys are hashed, the value and
 * its implicit cast are the same.
 */
static Node *
as_key(LivePlanner *planner, const SfKeyColumn *key, Oid op, Node *value)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_HASH_OPFAMILY);
	Oid other = exprType(value);
	Oid cast;

	if (op == type->eq_opr)
		return value;
	if (!OidIsValid(type->hash_opf) ||
	    get_opfamily_member(type->hash_opf, type->hash_opintype, other, HTEqualStrategyNumber) != op ||
	    find_coercion_pathway(key->type, other, COERCION_IMPLICIT, &cast) != COERCION_PATH_FUNC ||
	    func_volatile(cast) != PROVOLATILE_IMMUTABLE || get_func_nargs(cast) != 1)
		return NULL;
	return eval_const_expressions(planner->root, (Node *) makeFuncExpr(cast, key->type, list_make1(value), InvalidOid,
	                                                                   InvalidOid, COERCE_IMPLICIT_CAST));
}

static void
add_key_clause(LivePlanner *planner, RestrictInfo *info)
{
	SfLayout *layout = planner->definition->layout;
	AttrNumber column;
	Oid op;
	Node *value;
	SfKeyColumn *key;
	KeyClause *found;

	if (!split_comparison(planner, info->clause, &column, &op, &value) || column <= 2)
		return;
	key = &layout->keys[column - 3];
	value = as_key(planner, key, op, value);
	if (value == NULL || !same_equality(key->collation, ((OpExpr *) info->clause)->inputcollid))
		return;

	found = palloc(sizeof(KeyClause));
	found->key = column - 3;
	found->value = (Expr *) value;
	found->outer = bms_difference(info->clause_relids, planner->rel->relids);
	planner->key_clauses = lappend(planner->key_clauses, found);
}

/* Takes note of a clause; one that needs other relations makes them worth a parameterised path. */
static void
add_clause(LivePlanner *planner, RestrictInfo *info)
{
	Relids outer = bms_difference(info->clause_relids, planner->rel->relids);
	ListCell *cell;

	add_key_clause(planner, info);
	foreach (cell, planner->outers)
		if (bms_equal(lfirst(cell), outer))
			return;
	if (!bms_is_empty(outer) && list_length(planner->outers) < MOST_OUTERS)
		planner->outers = lappend(planner->outers, outer);
}

static bool
is_own_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em, void *arg)
{
	Node *node = strip_relabel((Node *) em->em_expr);

	return node != NULL && IsA(node, Var) && ((Var *) node)->varno == (int) rel->relid &&
	       ((Var *) node)->varattno == *(AttrNumber *) arg;
}

static void
collect_clauses(LivePlanner *planner)
{
	RelOptInfo *rel = planner->rel;
	int ncolumns = list_length(planner->definition->target);
	List *implied;
	ListCell *cell;

	foreach (cell, rel->baserestrictinfo)
	{
		if (!((RestrictInfo *) lfirst(cell))->pseudoconstant)
			add_clause(planner, lfirst(cell));
	}
	foreach (cell, rel->joininfo)
	{
		RestrictInfo *info = lfirst(cell);

		if (join_clause_is_movable_to(info, rel))
			add_clause(planner, info);
	}
	/* The planner gives those of one column at a time. */
	for (AttrNumber column = 1; column <= ncolumns; column++)
	{
		implied = generate_implied_equalities_for_column(planner->root, rel, is_own_column, &column,
		                                                 rel->lateral_referencers);
		foreach (cell, implied)
			add_clause(planner, lfirst(cell));
	}
}

/* A value for a key that uses only the relations in `outer`, or NULL. */
static Expr *
choose_key_value(LivePlanner *planner, int key, Relids outer)
{
	KeyClause *best = NULL;
	ListCell *cell;

	foreach (cell, planner->key_clauses)
	{
		KeyClause *clause = lfirst(cell);

		if (clause->key == key && bms_is_subset(clause->outer, outer) &&
		    (best == NULL || bms_num_members(clause->outer) < bms_num_members(best->outer)))
			best = clause;
	}
	return best != NULL ? best->value : NULL;
}

/* ---- grouping sets: a look-up is in one of them, when no other can have groups with these keys ---- */

typedef struct SetSubstitution
{
	LivePlanner *planner;
	Node *number; /* in place of the number of the group's set */
} SetSubstitution;

static Node *
number_mutator(Node *node, void *number)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
		return copyObject((Node *) number);
	return expression_tree_mutator(node, number_mutator, number);
}

/* Columns of the view that follow from the set alone become what they are in it. */
static Node *
set_mutator(Node *node, void *arg)
{
	SetSubstitution *substitution = arg;
	LivePlanner *planner = substitution->planner;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;
		Node *column;
		Bitmapset *columns = NULL;
		int attno = 2 + planner->definition->nkeys;

		if (var->varno != (int) planner->rel->relid || var->varlevelsup != 0 || var->varattno <= 0)
			return node;
		column = (Node *) list_nth_node(TargetEntry, planner->definition->target, var->varattno - 1)->expr;
		pull_varattnos(column, 1, &columns);
		if (bms_membership(columns) == BMS_SINGLETON &&
		    bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, columns) && !contain_leaked_vars(column))
			return number_mutator(column, substitution->number);
		return node;
	}
	return expression_tree_mutator(node, set_mutator, arg);
}

/* Conditions on GROUPING() leave out other sets. */
static bool
set_is_possible(LivePlanner *planner, int set)
{
	SetSubstitution substitution = {planner, NULL};
	ListCell *cell;

	substitution.number = (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(set + 1), false,
	                                         true);
	foreach (cell, planner->rel->baserestrictinfo)
	{
		Node *clause = (Node *) lfirst_node(RestrictInfo, cell)->clause;
		Node *value;

		/* What may raise is for the rows that are there. */
		if (contain_leaked_vars(clause))
			continue;
		value = eval_const_expressions(NULL, set_mutator(clause, &substitution));
		if (IsA(value, Const) && (((Const *) value)->constisnull || !DatumGetBool(((Const *) value)->constvalue)))
			return false;
	}
	return true;
}

/* The only set that can have groups where these keys are not null, and that has no others; or -1. */
static int
choose_set(LivePlanner *planner, uint64 keys)
{
	SfDefinition *definition = planner->definition;
	int found = -1;

	for (int set = 0; set < definition->nsets; set++)
	{
		if ((keys & ~definition->sets[set]) != 0 || !set_is_possible(planner, set))
			continue;
		if (found >= 0 || definition->sets[set] != keys)
			return -1;
		found = set;
	}
	return found;
}

static List *
choose_set_values(LivePlanner *planner, Relids outer)
{
	SfLayout *layout = planner->definition->layout;
	int number = layout->nkeys - 1;
	Expr *values[SF_LAYOUT_MAX_KEYS];
	uint64 keys = 0;
	List *result = NIL;
	int set;

	for (int key = 0; key < number; key++)
	{
		values[key] = choose_key_value(planner, key, outer);
		if (values[key] != NULL)
			keys |= UINT64CONST(1) << key;
		else
			values[key] = (Expr *) makeNullConst(layout->keys[key].type, -1, InvalidOid);
	}
	set = choose_set(planner, keys);
	if (set < 0)
		return NIL;
	values[number] = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(set + 1), false, true);
	for (int key = 0; key <= number; key++)
		result = lappend(result, values[key]);
	return result;
}

/* One value for every key, using only the relations in `outer`; NIL when a key has none. */
static List *
choose_key_values(LivePlanner *planner, Relids outer)
{
	List *values = NIL;

	if (planner->definition->nsets > 0)
		return choose_set_values(planner, outer);
	for (int key = 0; key < planner->definition->nkeys; key++)
	{
		Expr *value = choose_key_value(planner, key, outer);

		if (value == NULL)
			return NIL;
		values = lappend(values, value);
	}
	return values;
}

/* ---- paths ---- */

/*
 * The scan returns windows, but for sessions, in ascending order of start, which is the order of their ends too.  Offers both columns,
 * first the one the query asks for first.
 */
static List *
window_pathkeys(LivePlanner *planner)
{
	SfDefinition *definition = planner->definition;
	TupleDesc desc = definition->group_desc;
	PlannerInfo *root = planner->root;
	List *pathkeys[2] = {NIL, NIL};

	if (definition->session != NULL)
		return NIL;
	for (AttrNumber i = 0; i < list_length(definition->target); i++)
	{
		AttrNumber column = definition->view_column[i];
		Form_pg_attribute attribute;
		Var *var;

		if (column != 1 && column != 2)
			continue;
		attribute = TupleDescAttr(desc, column - 1);
		var = makeVar(planner->rel->relid, i + 1, attribute->atttypid, attribute->atttypmod, InvalidOid, 0);
		if (pathkeys[column - 1] == NIL)
			pathkeys[column - 1] = sf_expression_pathkey(
			    root, (Expr *) var, lookup_type_cache(attribute->atttypid, TYPECACHE_LT_OPR)->lt_opr, planner->rel);
	}
	if (pathkeys[1] != NIL && root->query_pathkeys != NIL && linitial(pathkeys[1]) == linitial(root->query_pathkeys))
		return list_concat(pathkeys[1], pathkeys[0]);
	return list_concat(pathkeys[0], pathkeys[1]);
}

static CustomPath *
make_path(LivePlanner *planner, Relids outer, double rows)
{
	RelOptInfo *rel = planner->rel;
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = get_baserel_parampathinfo(planner->root, rel, outer);
	path->path.parallel_safe = rel->consider_parallel;
	path->path.rows = path->path.param_info ? path->path.param_info->ppi_rows : rel->rows;
	path->path.pathkeys = window_pathkeys(planner);
	path->path.total_cost = rows * (cpu_tuple_cost + rel->baserestrictcost.per_tuple) + rel->baserestrictcost.startup +
	                        path->path.pathtarget->cost.per_tuple * path->path.rows;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = &live_path_methods;
	return path;
}

/* key_values: NIL for a scan of all groups. */
static void
add_live_path(LivePlanner *planner, Relids outer, List *key_values)
{
	RelOptInfo *rel = planner->rel;
	CustomPath *path = make_path(planner, outer, key_values == NIL ? rel->tuples : Min(rel->tuples, 10.0));

	path->custom_private = list_make2(list_make1_oid(planner->view), key_values);
	add_path(rel, (Path *) path);
}

/*
 * Look-ups by constants alone, and paths for each set of outer relations that clauses need and for all of them
 * together.  Where these do not give every key, the path reads all groups: it is there so that an index of the output
 * table can be the inner side of a nested loop.
 */
static void
add_clause_paths(LivePlanner *planner)
{
	Relids all = NULL;
	List *values;
	ListCell *cell;

	collect_clauses(planner);
	values = choose_key_values(planner, NULL);
	if (values != NIL)
		add_live_path(planner, planner->rel->lateral_relids, values);

	foreach (cell, planner->outers)
		all = bms_add_members(all, lfirst(cell));
	if (list_length(planner->outers) > 1)
		planner->outers = lappend(planner->outers, all);
	foreach (cell, planner->outers)
	{
		values = choose_key_values(planner, lfirst(cell));
		add_live_path(planner, bms_union(planner->rel->lateral_relids, lfirst(cell)), values);
	}
}

static void
set_live_paths(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	LivePlanner planner = {.root = root, .rel = rel, .view = rte->relid};

	planner.definition = sf_read_definition(CurrentMemoryContext, rte->relid);
	rel->pathlist = NIL;
	rel->partial_pathlist = NIL;
	add_live_path(&planner, rel->lateral_relids, NIL);
	add_clause_paths(&planner);
}

static void
live_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	if (previous_pathlist)
		previous_pathlist(root, rel, rti, rte);
	if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_MATVIEW)
		return;
	if (sf_rte_is_marked(rte, SF_LIVE_MARK))
	{
		if (!IS_DUMMY_REL(rel))
			set_live_paths(root, rel, rte);
	}
	else if (sf_is_continuous_view(rte->relid))
	{
		sf_view_require_active(rte->relid);
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" cannot be read here", get_rel_name(rte->relid))));
	}
}

/* ---- estimates ---- */

/* How many groups there are: known where the fragment is in memory. */
static void
live_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	RangeTblEntry *rte = root->simple_rte_array[rel->relid];
	SfFragment *fragment;

	if (previous_relation_info)
		previous_relation_info(root, relid, inhparent, rel);
	if (!sf_rte_is_marked(rte, SF_LIVE_MARK))
		return;
	fragment = sf_fragment_find(sf_dataflow_get(MyDatabaseId, false), relid);
	rel->tuples = Max(LEAST_GROUPS, fragment != NULL ? (double) pg_atomic_read_u64(&fragment->groups) : 0);
	rel->pages = 0;
	rel->allvisfrac = 0;
	rel->indexlist = NIL;
}

/* The live side's columns are taken to be distributed as the output table's. */
static bool
live_relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	if (sf_rte_is_marked(rte, SF_LIVE_MARK))
	{
		vardata->statsTuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(sf_view_output(rte->relid)),
		                                      Int16GetDatum(attnum), BoolGetDatum(false));
		vardata->freefunc = ReleaseSysCache;
		vardata->acl_ok = false;
		return true;
	}
	return previous_relation_stats ? previous_relation_stats(root, rte, attnum, vardata) : false;
}

/* ---- the plan ---- */

/*
 * If a clause bounds a window column by a value of the column's own type, says how.  Only values that are fixed while
 * the scan runs.
 */
static bool
window_bound(LivePlanner *planner, Expr *clause, SfBound *bound, Node **value)
{
	AttrNumber column;
	Oid op;
	Oid type;
	Oid family;

	/* Sessions are in no order. */
	if (planner->definition->session != NULL)
		return false;
	if (!split_comparison(planner, clause, &column, &op, value) || column > 2)
		return false;
	type = TupleDescAttr(planner->definition->group_desc, column - 1)->atttypid;
	if (exprType(*value) != type)
		return false;
	family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	bound->on_end = column == 2;
	bound->strategy = get_op_opfamily_strategy(op, family);
	return bound->strategy >= BTLessStrategyNumber && bound->strategy <= BTGreaterStrategyNumber;
}

static Plan *
plan_live_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *custom_plans)
{
	LivePlanner planner = {.root = root, .rel = rel};
	CustomScan *scan = makeNode(CustomScan);
	List *key_values = lsecond(path->custom_private);
	List *integers = list_make1_int(list_length(key_values));
	ListCell *cell;

	planner.view = linitial_oid(linitial(path->custom_private));
	planner.definition = sf_read_definition(CurrentMemoryContext, planner.view);
	clauses = extract_actual_clauses(clauses, false);

	scan->custom_exprs = copyObject(key_values);
	foreach (cell, clauses)
	{
		SfBound bound;
		Node *value;

		if (!window_bound(&planner, lfirst(cell), &bound, &value))
			continue;
		scan->custom_exprs = lappend(scan->custom_exprs, copyObject(value));
		integers = lappend_int(lappend_int(integers, bound.on_end), bound.strategy);
	}
	scan->custom_private = list_make2(linitial(path->custom_private), integers);
	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = clauses;
	scan->scan.scanrelid = rel->relid;
	scan->flags = path->flags;
	scan->methods = &sf_live_scan_methods;
	return &scan->scan.plan;
}

void
sf_live_path_init(void)
{
	previous_relation_info = get_relation_info_hook;
	get_relation_info_hook = live_relation_info;
	previous_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = live_relation_stats;
	previous_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = live_pathlist;
}
