/*
 * branch.c
 *		The SELECTs of a UNION ALL in FROM: each filters and maps the rows of one stream.
 *
 * Taken apart for the definition (plan/define.c), where each becomes filter and map of its stream; and walked through and
 * changed where the query is run as a batch (plan/view_catalog.c, verify/side.c).  Both go through the branches in the
 * order in which they are written.
 *
 * The columns of a UNION ALL have types of their own, to which PostgreSQL's planner brings each branch's; so it is done
 * here, with the same casts.
 */
#include "plan/branch.h"

#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "plan/mutable.h"
#include "stream/settings.h"
#include "stream/stream.h"

static List *selects_of_query(Query *query, bool existing);

#define BELOW "with UNION ALL or in a subquery"

/* Constructs that are more than filter and map. */
static void
refuse_constructs(Query *query)
{
	if (query->commandType != CMD_SELECT || query->cteList != NIL)
		sf_refuse("WITH in FROM", "Write the query without common table expressions.");
	if (!sf_query_is_stateless(query))
		sf_refuse("grouping or aggregates " BELOW,
		          "Create a continuous view for each such query, or group in the query around it.");
	if (query->hasWindowFuncs)
		sf_refuse("window functions", "Apply window functions in a query over the continuous view.");
	if (query->hasTargetSRFs)
		sf_refuse("set-returning functions in the select list", "Apply them in a query over the continuous view.");
	if (query->distinctClause != NIL)
		sf_refuse("SELECT DISTINCT", "Use GROUP BY in the query around it.");
	if (query->sortClause != NIL || query->limitCount != NULL || query->limitOffset != NULL)
		sf_refuse("ORDER BY, LIMIT or OFFSET " BELOW, "Order and limit the rows in queries over the continuous view.");
	if (query->rowMarks != NIL)
		sf_refuse("FOR UPDATE or FOR SHARE", "Remove the locking clause.");
	if (query->hasSubLinks)
		sf_refuse("subqueries in expressions", "Apply the condition in a query over the continuous view.");
}

/* A stream with no partition left has nothing to say what it is; a view made before goes on. */
static bool
is_readable_stream(RangeTblEntry *rte, bool existing)
{
	return sf_is_stream(rte->relid) ||
	       (existing && rte->relkind == RELKIND_PARTITIONED_TABLE && !OidIsValid(sf_stream_other_table(rte->relid)));
}

static void
check_stream(RangeTblEntry *rte, bool existing)
{
	if (!is_readable_stream(rte, existing))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a stream", get_rel_name(rte->relid)),
		                errdetail("A continuous view reads tables created USING stream."),
		                errhint("Move the rows to a table created USING stream.")));
	if (rte->tablesample != NULL)
		sf_refuse("TABLESAMPLE", "Read the whole stream.");
	if (rte->relkind == RELKIND_PARTITIONED_TABLE && !rte->inh)
		sf_refuse("ONLY on a partitioned stream", "Remove ONLY.");
	if (rte->relkind == RELKIND_RELATION && has_subclass(rte->relid) &&
	    find_inheritance_children(rte->relid, NoLock) != NIL)
		sf_refuse("a stream that other tables inherit from", "Use a partitioned table.");
}

/* ---- expressions ---- */

typedef struct RowContext
{
	const SfSelect *select;
	Index varno;
} RowContext;

static Node *
stream_column(const SfSelect *select, Var *var)
{
	Var *column = copyObject(var);

	if (var->varattno == InvalidAttrNumber)
		sf_refuse("whole-row references to a stream", "Name the columns.");
	if (var->varattno < 0)
		sf_refuse("system columns of a stream", "Use ordinary columns.");
	if (!sf_is_stored_column(select->stream, var->varattno))
		sf_refuse("virtual generated columns of a stream", "Make the column STORED, or repeat its expression.");
	column->varno = 1;
	column->varnosyn = 0;
	column->varattnosyn = 0;
	return (Node *) column;
}

static Node *
row_mutator(Node *node, void *arg)
{
	RowContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == (int) context->varno)
	{
		Var *var = (Var *) node;

		if (context->select->columns == NIL)
			return stream_column(context->select, var);
		if (var->varattno <= 0)
			sf_refuse("whole-row references to a subquery", "Name the columns.");
		return copyObject(list_nth(context->select->columns, var->varattno - 1));
	}
	return expression_tree_mutator(node, row_mutator, arg);
}

Node *
sf_select_expression(const SfSelect *select, Index varno, Node *node)
{
	RowContext context = {select, varno};

	return row_mutator(node, &context);
}

AttrNumber
sf_plain_column(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && IsA(node, Var) && ((Var *) node)->varno == 1 ? ((Var *) node)->varattno : 0;
}

/* To the type that the column has in the UNION ALL. */
static Expr *
coerce_column(Expr *column, Oid type, int32 typmod, Oid collation)
{
	Node *node = (Node *) column;

	if (exprType(node) != type)
		node = coerce_to_common_type(NULL, node, type, "UNION ALL");
	if (exprTypmod(node) != typmod || exprCollation(node) != collation)
		node = (Node *) makeRelabelType((Expr *) node, type, typmod, collation, COERCE_IMPLICIT_CAST);
	return (Expr *) node;
}

/* ---- taking apart ---- */

/* The one relation in a subquery's FROM; its conditions are added to *quals. */
static Index
only_relation(Node *node, List **quals)
{
	FromExpr *from = (FromExpr *) node;

	if (IsA(node, RangeTblRef))
		return castNode(RangeTblRef, node)->rtindex;
	if (!IsA(node, FromExpr) || list_length(from->fromlist) != 1)
		sf_refuse("anything but one stream in FROM, " BELOW,
		          "Read one stream in it; a window function is beside the subquery.");
	if (from->quals != NULL)
		*quals = lappend(*quals, from->quals);
	return only_relation(linitial(from->fromlist), quals);
}

/* One SELECT: its columns and conditions over each branch of what it reads. */
static List *
selects_of_simple(Query *query, bool existing)
{
	List *quals = NIL;
	Index varno = only_relation((Node *) query->jointree, &quals);
	List *result = NIL;
	ListCell *cell;
	ListCell *inner;

	foreach (cell, sf_selects(rt_fetch(varno, query->rtable), existing))
	{
		SfSelect *from = lfirst(cell);
		SfSelect *select = palloc0(sizeof(SfSelect));

		select->stream = from->stream;
		/* Of it the columns may select a part. */
		select->unused = list_concat_copy(from->unused, from->columns);
		select->quals = list_concat_copy(from->quals, (List *) sf_select_expression(from, varno, (Node *) quals));
		foreach (inner, query->targetList)
		{
			TargetEntry *entry = lfirst_node(TargetEntry, inner);
			Node *column;

			if (entry->resjunk)
				continue;
			column = sf_select_expression(from, varno, (Node *) entry->expr);
			sf_refuse_mutable(column, SF_MUTABLE_LISTED);
			select->columns = lappend(select->columns, column);
		}
		sf_refuse_mutable((Node *) select->quals, SF_MUTABLE_LISTED);
		if (select->columns == NIL)
			sf_refuse("a subquery without columns", "Select a column.");
		result = lappend(result, select);
	}
	return result;
}

static List *
selects_of_union(Query *query, Node *node, bool existing)
{
	SetOperationStmt *operation = (SetOperationStmt *) node;
	List *result;
	ListCell *cell;

	if (IsA(node, RangeTblRef))
		return selects_of_query(rt_fetch(castNode(RangeTblRef, node)->rtindex, query->rtable)->subquery, existing);
	if (operation->op != SETOP_UNION || !operation->all)
		sf_refuse("UNION, INTERSECT or EXCEPT", "Use UNION ALL, or create one continuous view for each branch.");
	result = list_concat(selects_of_union(query, operation->larg, existing),
	                     selects_of_union(query, operation->rarg, existing));
	foreach (cell, result)
	{
		SfSelect *select = lfirst(cell);
		ListCell *column;
		ListCell *type;
		ListCell *typmod;
		ListCell *collation;

		forfour(column, select->columns, type, operation->colTypes, typmod, operation->colTypmods, collation,
		        operation->colCollations)
		    lfirst(column) = coerce_column(lfirst(column), lfirst_oid(type), lfirst_int(typmod), lfirst_oid(collation));
	}
	return result;
}

static List *
selects_of_query(Query *query, bool existing)
{
	check_stack_depth();
	refuse_constructs(query);
	if (query->setOperations != NULL)
		return selects_of_union(query, query->setOperations, existing);
	return selects_of_simple(query, existing);
}

List *
sf_selects(RangeTblEntry *rte, bool existing)
{
	SfSelect *select;

	if (rte->rtekind == RTE_SUBQUERY)
		return selects_of_query(copyObject(rte->subquery), existing);
	if (rte->rtekind != RTE_RELATION)
		sf_refuse("VALUES or functions in FROM, " BELOW,
		          "Read one stream in it; a window function is beside the subquery.");
	check_stream(rte, existing);
	select = palloc0(sizeof(SfSelect));
	select->stream = rte->relid;
	return list_make1(select);
}

/* ---- the branches of a definition ---- */

int
sf_definition_input(const SfDefinition *definition, Oid stream)
{
	for (int i = 0; i < definition->nstreams; i++)
		if (definition->streams[i] == stream)
			return i;
	return -1;
}

static void
add_stream(SfDefinition *definition, Oid stream)
{
	if (sf_definition_input(definition, stream) >= 0)
		return;
	if (definition->nstreams == SF_MAX_STREAMS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("continuous view cannot read more than %d streams", SF_MAX_STREAMS)));
	definition->streams[definition->nstreams++] = stream;
}

static Expr *
branch_expression(const SfSelect *select, Expr *expr)
{
	if (select->columns == NIL || expr == NULL)
		return expr;
	return expression_planner((Expr *) sf_select_expression(select, 1, (Node *) expr));
}

static List *
branch_expressions(const SfSelect *select, List *exprs)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, exprs)
		result = lappend(result, branch_expression(select, lfirst(cell)));
	return result;
}

/* Without a window the time is the watermark's column.  It matters only to views that begin with a time. */
static void
take_watermark_column(SfBranch *branch)
{
	SfStreamSettings settings;
	Oid type;
	int32 typmod;
	Oid collation;

	sf_stream_settings_get(branch->stream, &settings);
	if (!settings.has_watermark)
		return;
	get_atttypetypmodcoll(branch->stream, settings.time_attnum, &type, &typmod, &collation);
	branch->time = (Expr *) makeVar(1, settings.time_attnum, type, typmod, collation, 0);
	branch->time_attnum = settings.time_attnum;
}

static void
define_branch(SfDefinition *definition, const SfSelect *select, SfBranch *branch)
{
	List *quals = select->quals;

	branch->stream = select->stream;
	branch->written = list_concat(list_concat_copy(select->columns, select->quals), select->unused);
	if (definition->time != NULL)
	{
		branch->time = branch_expression(select, definition->time);
		branch->time_attnum = sf_plain_column((Node *) branch->time);
	}
	else if (!definition->has_window)
		take_watermark_column(branch);
	if (definition->layout->groups_leave && sf_is_windowless(definition))
	{
		SfStreamSettings settings;

		sf_stream_settings_get(branch->stream, &settings);
		branch->life_attnum = settings.has_watermark ? settings.time_attnum : 0;
	}
	if (quals == NIL)
		branch->filter = branch_expression(select, definition->filter);
	else
	{
		if (definition->filter != NULL)
			quals = lappend(list_copy(quals), sf_select_expression(select, 1, (Node *) definition->filter));
		branch->filter = expression_planner(make_ands_explicit(quals));
	}
	branch->keys = branch_expressions(select, definition->keys);
	branch->inputs = palloc0(Max(definition->naggs, 1) * sizeof(List *));
	branch->agg_filters = palloc0(Max(definition->naggs, 1) * sizeof(Expr *));
	for (int agg = 0; agg < definition->naggs; agg++)
	{
		branch->inputs[agg] = branch_expressions(select, definition->layout->aggs[agg]->inputs);
		branch->agg_filters[agg] = branch_expression(select, definition->layout->aggs[agg]->aggref->aggfilter);
	}
}

void
sf_define_branches(SfDefinition *definition, List *selects)
{
	ListCell *cell;

	definition->nbranches = list_length(selects);
	definition->branches = palloc0(definition->nbranches * sizeof(SfBranch));
	foreach (cell, selects)
	{
		SfBranch *branch = &definition->branches[foreach_current_index(cell)];

		add_stream(definition, ((SfSelect *) lfirst(cell))->stream);
		define_branch(definition, lfirst(cell), branch);
		definition->timed = definition->timed || branch->time_attnum != 0;
	}
}

Query *
sf_union_as_subquery(Query *query)
{
	Query *outer;
	RangeTblEntry *rte;
	RangeTblRef *ref;
	List *names = NIL;
	ListCell *cell;

	if (query->setOperations == NULL)
		return query;
	outer = makeNode(Query);
	rte = makeNode(RangeTblEntry);
	ref = makeNode(RangeTblRef);
	ref->rtindex = 1;
	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Var *var;

		if (entry->resjunk)
			continue;
		var = makeVarFromTargetEntry(1, entry);
		names = lappend(names, makeString(pstrdup(entry->resname)));
		outer->targetList = lappend(outer->targetList,
		                            makeTargetEntry((Expr *) var, list_length(names), pstrdup(entry->resname), false));
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->alias = makeAlias("streams", NIL);
	rte->eref = makeAlias("streams", names);
	rte->inFromCl = true;
	outer->rtable = list_make1(rte);
	outer->jointree = makeFromExpr(list_make1(ref), NULL);
	return outer;
}

/* ---- walking through ---- */

typedef struct Visit
{
	SfSelectVisitor visit;
	void *arg;
	int branch;
} Visit;

static void visit_query(Query *query, Visit *visit);

static void
visit_relation(Query *query, Index varno, Visit *visit)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);

	if (rte->rtekind == RTE_SUBQUERY)
		visit_query(rte->subquery, visit);
	else if (rte->rtekind == RTE_RELATION)
		visit->visit(query, varno, visit->branch++, visit->arg);
}

static void
visit_node(Query *query, Node *node, Visit *visit)
{
	ListCell *cell;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
		visit_relation(query, castNode(RangeTblRef, node)->rtindex, visit);
	else if (IsA(node, SetOperationStmt))
	{
		visit_node(query, castNode(SetOperationStmt, node)->larg, visit);
		visit_node(query, castNode(SetOperationStmt, node)->rarg, visit);
	}
	else if (IsA(node, JoinExpr))
	{
		visit_node(query, castNode(JoinExpr, node)->larg, visit);
		visit_node(query, castNode(JoinExpr, node)->rarg, visit);
	}
	else
		foreach (cell, castNode(FromExpr, node)->fromlist)
			visit_node(query, lfirst(cell), visit);
}

static void
visit_query(Query *query, Visit *visit)
{
	check_stack_depth();
	if (query->setOperations != NULL)
		visit_node(query, query->setOperations, visit);
	else
		visit_node(query, (Node *) query->jointree, visit);
}

void
sf_visit_selects(Query *query, SfSelectVisitor visit, void *arg)
{
	Visit context = {visit, arg, 0};

	visit_query(query, &context);
}

/* ---- where rows come from ---- */

#define NPLACE 3

static const struct
{
	const char *name;
	Oid type;
	AttrNumber attnum;
} place[NPLACE] = {
    {"streamfuse tableoid", OIDOID, TableOidAttributeNumber},
    {"streamfuse ctid", TIDOID, SelfItemPointerAttributeNumber},
    {"streamfuse branch", INT4OID, InvalidAttrNumber},
};

static void add_place(Query *query, int *branch);

static Var *
place_var(Index varno, AttrNumber attnum, int i)
{
	return makeVar(varno, attnum, place[i].type, -1, InvalidOid, 0);
}

/* The columns that a subquery is given, as Vars of the query around it. */
static List *
place_of_subquery(RangeTblEntry *rte, Index varno, int *branch)
{
	List *vars = NIL;
	int n;

	add_place(rte->subquery, branch);
	n = list_length(rte->subquery->targetList);
	for (int i = 0; i < NPLACE; i++)
	{
		rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(place[i].name)));
		vars = lappend(vars, place_var(varno, n - NPLACE + i + 1, i));
	}
	return vars;
}

/* The columns of all branches of a UNION ALL, as Vars of the first. */
static List *
place_of_union(Query *query, Node *node, int *branch)
{
	SetOperationStmt *operation = (SetOperationStmt *) node;
	List *vars;

	if (IsA(node, RangeTblRef))
	{
		Index varno = castNode(RangeTblRef, node)->rtindex;

		return place_of_subquery(rt_fetch(varno, query->rtable), varno, branch);
	}
	vars = place_of_union(query, operation->larg, branch);
	(void) place_of_union(query, operation->rarg, branch);
	for (int i = 0; i < NPLACE; i++)
	{
		operation->colTypes = lappend_oid(operation->colTypes, place[i].type);
		operation->colTypmods = lappend_int(operation->colTypmods, -1);
		operation->colCollations = lappend_oid(operation->colCollations, InvalidOid);
	}
	return vars;
}

static List *
place_of_stream(Index varno, int branch)
{
	return list_make3(place_var(varno, place[0].attnum, 0), place_var(varno, place[1].attnum, 1),
	                  makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(branch), false, true));
}

/* The relation in FROM that is not a window function. */
static Index
read_relation(Query *query)
{
	Relids members = sf_relids_in_jointree((Node *) query->jointree);
	int member = -1;

	while ((member = bms_next_member(members, member)) >= 0)
		if (rt_fetch(member, query->rtable)->rtekind != RTE_FUNCTION)
			return member;
	elog(ERROR, "unexpected FROM in a continuous view's query");
	return 0;
}

static void
add_place(Query *query, int *branch)
{
	List *columns;
	ListCell *cell;

	if (query->setOperations != NULL)
		columns = place_of_union(query, query->setOperations, branch);
	else
	{
		Index varno = read_relation(query);
		RangeTblEntry *rte = rt_fetch(varno, query->rtable);

		if (rte->rtekind == RTE_SUBQUERY)
			columns = place_of_subquery(rte, varno, branch);
		else
			columns = place_of_stream(varno, (*branch)++);
	}
	foreach (cell, columns)
		query->targetList = lappend(query->targetList,
		                            makeTargetEntry(lfirst(cell), list_length(query->targetList) + 1,
		                                            pstrdup(place[foreach_current_index(cell)].name), false));
}

List *
sf_place_columns(Query *query)
{
	Index varno = read_relation(query);
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	int branch = 0;

	if (rte->rtekind == RTE_SUBQUERY)
		return place_of_subquery(rte, varno, &branch);
	return list_make2(place_var(varno, place[0].attnum, 0), place_var(varno, place[1].attnum, 1));
}
