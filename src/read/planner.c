/*
 * planner.c
 *		The planner hook: continuous views and session() become what they stand for, before PostgreSQL plans the query.
 *
 * Replacing happens at every level of the query (expand.c); sessions come after views, whose queries may have some.
 * SQL functions in FROM are inlined first, because PostgreSQL inlines them only after this hook.  A plan that scans a
 * live side inside a parallel query must hand the statement's tick to its workers; PostgreSQL calls a scan's
 * shared-memory callbacks only where the plan node says parallel_aware, so the finished plan is marked.
 *
 * A database without the extension pays for one look-up, one without continuous views for a look at the range tables.
 */
#include "read/live.h"

#include "miscadmin.h"
#include "nodes/extensible.h"
#include "optimizer/planner.h"

#include "fault.h"
#include "plan/session.h"
#include "stream/settings.h"
#include "stream/stream.h"

static planner_hook_type previous_planner_hook;

static void mark_parallel(Plan *plan, bool below_gather);

static void
mark_parallel_list(List *plans, bool below_gather)
{
	ListCell *cell;

	foreach (cell, plans)
		mark_parallel(lfirst(cell), below_gather);
}

static bool
is_live_scan(Plan *plan)
{
	return IsA(plan, CustomScan) && ((CustomScan *) plan)->methods == &sf_live_scan_methods;
}

/* Marks the live scans that parallel workers will run. */
static void
mark_parallel(Plan *plan, bool below_gather)
{
	if (plan == NULL)
		return;
	check_stack_depth();
	if (below_gather && is_live_scan(plan))
		plan->parallel_aware = true;
	if (IsA(plan, Gather) || IsA(plan, GatherMerge))
		below_gather = true;

	switch (nodeTag(plan))
	{
		case T_Append:
			mark_parallel_list(((Append *) plan)->appendplans, below_gather);
			break;
		case T_MergeAppend:
			mark_parallel_list(((MergeAppend *) plan)->mergeplans, below_gather);
			break;
		case T_SubqueryScan:
			mark_parallel(((SubqueryScan *) plan)->subplan, below_gather);
			break;
		case T_CustomScan:
			mark_parallel_list(((CustomScan *) plan)->custom_plans, below_gather);
			break;
		default:
			break;
	}
	mark_parallel(plan->lefttree, below_gather);
	mark_parallel(plan->righttree, below_gather);
}

/* Workers get every parallel-safe subplan of the statement, wherever it is used. */
static void
mark_parallel_scans(PlannedStmt *stmt)
{
	ListCell *cell;

	if (!stmt->parallelModeNeeded)
		return;
	mark_parallel(stmt->planTree, false);
	foreach (cell, stmt->subplans)
	{
		Plan *plan = lfirst(cell);

		mark_parallel(plan, plan != NULL && plan->parallel_safe);
	}
}

static PlannedStmt *
plan_query(Query *parse, const char *query_string, int cursor_options, ParamListInfo bound_params)
{
	SfExpansion expansion = {NULL, false};
	PlannedStmt *stmt;

	sf_stream_refuse_changes(parse);
	if (OidIsValid(sf_view_am_oid(true)))
	{
		bool views = sf_database_has_views();

		expansion.glob = makeNode(PlannerGlobal);
		expansion.glob->boundParams = bound_params;
		if (views)
			sf_expand_views(parse, &expansion);
		sf_rewrite_sessions(parse, expansion.glob, !views);
	}

	if (previous_planner_hook)
		stmt = previous_planner_hook(parse, query_string, cursor_options, bound_params);
	else
		stmt = standard_planner(parse, query_string, cursor_options, bound_params);

	if (expansion.glob != NULL)
	{
		stmt->invalItems = list_concat(stmt->invalItems, expansion.glob->invalItems);
		stmt->dependsOnRole |= expansion.glob->dependsOnRole;
	}
	if (expansion.live)
	{
		mark_parallel_scans(stmt);
		SF_FAULT("read-after-plan");
	}
	return stmt;
}

void
sf_planner_init(void)
{
	sf_status_init();
	sf_live_path_init();
	sf_live_scan_init();
	previous_planner_hook = planner_hook;
	planner_hook = plan_query;
}
