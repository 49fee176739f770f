/*
 * expand.c
 *		Replaces continuous views in a query by what they stand for.
 *
 * A view in FROM becomes the subquery
 *
 *		SELECT columns FROM output table  UNION ALL  SELECT columns FROM live side
 *
 * or, with emit = 'final', its first half; or, while history is worked in, the view's own query.  The view's own range
 * table entry moves into the subquery, out of the join tree: there it carries the permission check and makes the plan
 * depend on the view.  What is read in its place needs no permission: who may read the view may read its answer.
 *
 * The planner owns its query, so it is changed in place.
 */
#include "read/live.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "plan/inline.h"
#include "plan/view.h"

SfSideQueryHook sf_side_query_hook = NULL;

static RangeTblRef *
make_range_ref(int index)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = index;
	return ref;
}

static List *
column_names(TupleDesc desc)
{
	List *names = NIL;

	for (int i = 0; i < desc->natts; i++)
		names = lappend(names, makeString(pstrdup(NameStr(TupleDescAttr(desc, i)->attname))));
	return names;
}

/* An entry that reads a relation without asking for permission. */
static RangeTblEntry *
make_relation_entry(Relation rel, const char *name)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	rte->eref = makeAlias(name, column_names(RelationGetDescr(rel)));
	return rte;
}

static RangeTblEntry *
make_subquery_entry(Query *subquery, const char *name, TupleDesc columns)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = subquery;
	rte->eref = makeAlias(name, column_names(columns));
	return rte;
}

/* Target entries for all columns of range table entry varno, named as the view names them. */
static List *
make_target(TupleDesc columns, int varno)
{
	List *target = NIL;

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);
		Var *var = makeVar(varno, column->attnum, column->atttypid, column->atttypmod, column->attcollation, 0);

		target = lappend(target,
		                 makeTargetEntry((Expr *) var, column->attnum, pstrdup(NameStr(column->attname)), false));
	}
	return target;
}

/* SELECT the view's columns FROM the entry. */
static Query *
make_leaf_query(RangeTblEntry *rte, TupleDesc columns)
{
	Query *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(rte);
	sf_add_no_perms(query, rte);
	query->jointree = makeFromExpr(list_make1(make_range_ref(1)), NULL);
	query->targetList = make_target(columns, 1);
	return query;
}

/* The output table's first columns are the view's. */
static void
check_output_columns(Relation view, Relation output)
{
	TupleDesc expected = RelationGetDescr(view);
	TupleDesc found = RelationGetDescr(output);
	bool same = found->natts >= expected->natts;

	for (int i = 0; same && i < expected->natts; i++)
	{
		Form_pg_attribute e = TupleDescAttr(expected, i);
		Form_pg_attribute f = TupleDescAttr(found, i);

		same = !f->attisdropped && f->atttypid == e->atttypid && f->atttypmod == e->atttypmod &&
		       f->attcollation == e->attcollation;
	}
	if (!same)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("table \"%s\" does not have the columns of continuous view \"%s\"",
		                       RelationGetRelationName(output), RelationGetRelationName(view)),
		                errhint("Drop the table and run REFRESH MATERIALIZED VIEW.")));
}

static Query *
make_union_query(TupleDesc columns, RangeTblEntry *own, Query *closed, Query *live)
{
	Query *query = makeNode(Query);
	SetOperationStmt *setop = makeNode(SetOperationStmt);

	setop->op = SETOP_UNION;
	setop->all = true;
	setop->larg = (Node *) make_range_ref(2);
	setop->rarg = (Node *) make_range_ref(3);
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		setop->colTypes = lappend_oid(setop->colTypes, column->atttypid);
		setop->colTypmods = lappend_int(setop->colTypmods, column->atttypmod);
		setop->colCollations = lappend_oid(setop->colCollations, column->attcollation);
	}

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make3(own, make_subquery_entry(closed, "closed", columns),
	                           make_subquery_entry(live, "live", columns));
	query->jointree = makeFromExpr(NIL, NULL);
	query->setOperations = (Node *) setop;
	query->targetList = make_target(columns, 2);
	return query;
}

/* own: the view's own entry, to be kept in the subquery. */
static Query *
make_maintained_query(RangeTblEntry *own, SfReadMode mode)
{
	Oid output_oid = sf_view_output(own->relid);
	Relation view = table_open(own->relid, NoLock);
	Relation output;
	TupleDesc columns = CreateTupleDescCopy(RelationGetDescr(view));
	Query *query;

	output = table_open(output_oid, AccessShareLock);
	check_output_columns(view, output);
	query = make_leaf_query(make_relation_entry(output, RelationGetRelationName(output)), columns);
	if (mode == SF_READ_LIVE && sf_is_windowless(sf_read_definition(CurrentMemoryContext, own->relid)))
	{
		/* Nothing is ever closed. */
		query = make_leaf_query(make_relation_entry(view, SF_LIVE_MARK), columns);
		query->rtable = lappend(query->rtable, own);
	}
	else if (mode == SF_READ_LIVE)
		query = make_union_query(columns, own, query,
		                         make_leaf_query(make_relation_entry(view, SF_LIVE_MARK), columns));
	else
	{
		own->alias = NULL;
		own->eref = makeAlias(SF_CLOSED_MARK, own->eref->colnames);
		query->rtable = lappend(query->rtable, own);
	}
	table_close(output, NoLock);
	table_close(view, NoLock);
	return query;
}

/* The query that stands for an entry, or NULL where that is output table and live side. */
static Query *
batch_query(const RangeTblEntry *rte, SfReadMode mode)
{
	Query *side = sf_side_query_hook != NULL ? sf_side_query_hook(rte) : NULL;

	if (side == NULL && mode == SF_READ_BATCH)
		side = sf_view_batch_query(rte->relid);
	return side;
}

/* Does an expression refer to a system column of one range table entry? */
typedef struct SystemColumnSearch
{
	int varno;
	int levels_up;
} SystemColumnSearch;

static bool
system_column_walker(Node *node, void *arg)
{
	SystemColumnSearch *search = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		return var->varno == search->varno && (int) var->varlevelsup == search->levels_up && var->varattno < 0;
	}
	if (IsA(node, Query))
	{
		bool found;

		search->levels_up++;
		found = query_tree_walker((Query *) node, system_column_walker, search, 0);
		search->levels_up--;
		return found;
	}
	return expression_tree_walker(node, system_column_walker, search);
}

/* What a table can do and a view's answer cannot. */
static void
check_use(Query *query, int index, RangeTblEntry *rte)
{
	SystemColumnSearch search = {index, 0};

	if (rte->tablesample != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("TABLESAMPLE cannot be applied to continuous view \"%s\"", get_rel_name(rte->relid))));
	if (get_parse_rowmark(query, index) != NULL)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("cannot lock rows in continuous view \"%s\"", get_rel_name(rte->relid)),
		                errhint("Name the tables to be locked with FOR UPDATE OF.")));
	if (query_tree_walker(query, system_column_walker, &search, 0))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" has no system columns", get_rel_name(rte->relid))));
}

static void
replace_view(Query *query, int index, RangeTblEntry *rte, SfExpansion *expansion)
{
	SfReadMode mode;
	Query *batch;
	RangeTblEntry *own;

	check_use(query, index, rte);
	mode = sf_read_mode(rte->relid);
	batch = batch_query(rte, mode);
	own = copyObject(rte);
	own->inFromCl = false;
	own->inh = false;

	rte->rtekind = RTE_SUBQUERY;
	if (batch != NULL)
		batch->rtable = lappend(batch->rtable, own);
	rte->subquery = batch != NULL ? batch : make_maintained_query(own, mode);

	/* A condition that leaks its arguments must not see rows that Q filters out. */
	rte->security_barrier = batch != NULL;

	/* As the rewriter leaves a view's entry: relid stays, for the type of whole rows. */
	rte->inh = false;
	sf_move_perms(rte, own);
	query->hasRowSecurity |= rte->subquery->hasRowSecurity;
	expansion->live |= batch == NULL && mode == SF_READ_LIVE;
}

static void
replace_views(Query *query, SfExpansion *expansion)
{
	Relids scanned = NULL;
	int index = 0;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		index++;
		if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_MATVIEW || index == query->resultRelation ||
		    !sf_is_continuous_view(rte->relid) || sf_rte_is_marked(rte, SF_LIVE_MARK))
			continue;
		if (scanned == NULL)
			scanned = sf_relids_in_jointree((Node *) query->jointree);
		if (bms_is_member(index, scanned))
			replace_view(query, index, rte, expansion);
	}
	bms_free(scanned);
}

static bool
expand_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;
		SfExpansion *expansion = arg;

		sf_inline_functions(query, expansion->glob);
		replace_views(query, expansion);
		return query_tree_walker(query, expand_walker, arg, 0);
	}
	return expression_tree_walker(node, expand_walker, arg);
}

void
sf_expand_views(Query *query, SfExpansion *expansion)
{
	expand_walker((Node *) query, expansion);
}
