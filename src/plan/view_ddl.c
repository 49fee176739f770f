/*
 * view_ddl.c
 *		Commands on continuous views: CREATE, REFRESH, ALTER, DROP, and what users do to their output tables.
 *
 * A view is a real materialized view, so most commands are PostgreSQL's own.  The ProcessUtility hook steps in where
 * PostgreSQL would refuse our options (CREATE, SET, RESET), where its command means something else here (REFRESH,
 * CREATE INDEX), and where the output table has to follow.  The object-access hook sees what has no command of its own:
 * a relation that is made with our access method by other means, and every way in which a view or its output is dropped
 * (CASCADE, DROP OWNED, DROP SCHEMA).
 *
 * Invariant: a relation of access method streamfuse_view is a materialized view whose options say streamfuse.continuous.
 */
#include "plan/view_internal.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/matview.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "plan/hints.h"
#include "state/catalog.h"
#include "state/shared.h"
#include "stream/settings.h"
#include "stream/stream.h"

/* The arguments of a ProcessUtility hook, as one. */
typedef struct UtilityCall
{
	PlannedStmt *pstmt;
	const char *query_string;
	bool read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *query_env;
	DestReceiver *dest;
	QueryCompletion *completion;
} UtilityCall;

static ProcessUtility_hook_type previous_utility;
static object_access_hook_type previous_object_access;

/* While CREATE runs: the first relation of our access method is the view. */
static bool creating_view;
static Oid created_view;

/* While a command drops objects: tables that inert views leave behind, in the memory of the transaction. */
static bool dropping;
static List *orphaned_outputs;

static void
run(const UtilityCall *call, PlannedStmt *pstmt)
{
	(previous_utility ? previous_utility : standard_ProcessUtility)(pstmt, call->query_string, call->read_only_tree,
	                                                                call->context, call->params, call->query_env,
	                                                                call->dest, call->completion);
}

/* A copy of the command, for us to change. */
static PlannedStmt *
copy_command(const UtilityCall *call)
{
	return copyObject(call->pstmt);
}

/* ---- CREATE and REFRESH ---- */

/* PostgreSQL checks the privileges of a view's query when it runs; ours runs in the worker, so they are checked now. */
static bool
check_query_privileges(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		(void) sf_check_query_perms(castNode(Query, node));
		return query_tree_walker((Query *) node, check_query_privileges, context, 0);
	}
	return expression_tree_walker(node, check_query_privileges, context);
}

/*
 * Partitions are made and attached under this lock, or a stronger one, of the parent, so none that is not a stream can
 * come unseen while the view is being made.
 */
static void
lock_partitions(Oid stream)
{
	if (get_rel_relkind(stream) != RELKIND_PARTITIONED_TABLE)
		return;
	LockRelationOid(stream, ShareUpdateExclusiveLock);
	if (OidIsValid(sf_stream_other_table(stream)))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a stream", get_rel_name(stream)),
		                errdetail("A partition that is not a stream was added meanwhile.")));
}

static void
refuse_row_security(Oid stream)
{
	Relation rel = table_open(stream, AccessShareLock);

	if (rel->rd_rel->relrowsecurity)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("stream \"%s\" has row-level security", RelationGetRelationName(rel)),
		         errdetail("A continuous view shows the same rows to all its readers."),
		         errhint("Restrict who may read the view by GRANT, or give readers security-barrier views over it.")));
	table_close(rel, NoLock);
}

static void
check_streams(const SfDefinition *definition)
{
	for (int i = 0; i < definition->nstreams; i++)
	{
		lock_partitions(definition->streams[i]);
		refuse_row_security(definition->streams[i]);
	}
	for (int i = 0; i < definition->nbranches; i++)
		if (definition->branches[i].time_attnum != 0)
			sf_stream_check_window_column(definition->branches[i].stream, definition->branches[i].time_attnum);
}

SfDefinition *
sf_define_new(Query *query)
{
	SfDefinition *definition;

	check_query_privileges((Node *) query, NULL);
	definition = sf_define(CurrentMemoryContext, query, InvalidOid);
	for (int i = 0; i < definition->nstreams; i++)
		refuse_row_security(definition->streams[i]);
	return definition;
}

/* Gives an active view its fragment, and has the worker told at commit. */
static void
start_fragment(Oid view, Oid output, SfDefinition *definition, SfTime adopted_until)
{
	SfFragmentRow row = {0};

	SF_FAULT("view-before-fragment");
	sf_fragment_remove(view);
	row.id = (int32) sf_catalog_nextval("fragment_id");
	row.view = view;
	row.output = output;
	row.nstreams = definition->nstreams;
	memcpy(row.streams, definition->streams, sizeof(row.streams));
	row.begins_at = sf_view_begins_at(view);
	row.adopted_until = adopted_until;
	sf_fragment_add(&row);
	SF_FAULT("view-after-fragment");
	sf_catalog_changed_at_commit();
}

/* "a", or "a" and others, for a message. */
static char *
stream_names(const SfDefinition *definition)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < definition->nstreams; i++)
		appendStringInfo(&names, "%s\"%s\"", i == 0 ? "" : ", ", get_rel_name(definition->streams[i]));
	return names.data;
}

static void
notice_create(Oid view, const SfDefinition *definition, bool with_data)
{
	ListCell *cell;

	if (with_data)
		ereport(NOTICE, (errmsg_plural("continuous view \"%s\" is being filled from stream %s",
		                               "continuous view \"%s\" is being filled from streams %s", definition->nstreams,
		                               get_rel_name(view), stream_names(definition)),
		                 errdetail("Until that is done, reading the view runs its query.")));
	foreach (cell, sf_view_hints(view))
	{
		SfHint *hint = lfirst(cell);

		ereport(NOTICE, (errmsg_internal("%s", hint->message), errdetail_internal("%s", hint->detail),
		                 errhint("%s", hint->hint)));
	}
}

/* What asks for a window that closes, or for one that begins. */
static void
check_windowless(Oid view, bool with_data)
{
	SfViewOptions options;

	sf_view_options_get(view, &options);
	if (options.emit_final)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" cannot show final results only", get_rel_name(view)),
		                errdetail("Its groups have no window, so none is ever closed."),
		                errhint("Leave out streamfuse.emit, or group by the columns of a window.")));
	if (!with_data)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view \"%s\" cannot be created WITH NO DATA", get_rel_name(view)),
		                errdetail("Its groups have no window, so there is no next one to begin with."),
		                errhint("Create it WITH DATA; to leave out earlier rows, compare their time in WHERE.")));
}

/* Runs CREATE MATERIALIZED VIEW without our options; returns the new view, or InvalidOid (IF NOT EXISTS). */
static Oid
create_shell(const UtilityCall *call, List *other_options)
{
	PlannedStmt *pstmt = copy_command(call);
	CreateTableAsStmt *stmt = castNode(CreateTableAsStmt, pstmt->utilityStmt);
	bool outer_creating = creating_view;
	Oid outer_created = created_view;
	Oid view = InvalidOid;

	stmt->into->options = copyObject(other_options);
	stmt->into->accessMethod = pstrdup(SF_VIEW_AM);
	stmt->into->skipData = true;
	sf_fix_time_zone(castNode(Query, stmt->into->viewQuery));

	created_view = InvalidOid;
	creating_view = true;
	PG_TRY();
	{
		run(call, pstmt);
		view = created_view;
	}
	PG_FINALLY();
	{
		/* Event triggers may have created views of their own meanwhile. */
		creating_view = outer_creating;
		created_view = outer_created;
	}
	PG_END_TRY();
	return view;
}

/* Writes the new view's options, and marks it populated, for pg_dump writes REFRESH only for views that are. */
static void
finish_shell(Oid view, List *own)
{
	Relation rel;

	CommandCounterIncrement();
	sf_options_change(view, own, false);
	rel = table_open(view, NoLock);
	SetMatViewPopulatedState(rel, true);
	table_close(rel, NoLock);
}

static void
create_view(const UtilityCall *call, CreateTableAsStmt *stmt, SfOptionLists *lists)
{
	SfDefinition *definition;
	Oid view;
	Oid output;

	if (!OidIsValid(sf_view_am_oid(true)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("extension \"streamfuse\" is not installed in this database"),
		                errhint("Use CREATE EXTENSION streamfuse.")));
	sf_require_layout();
	sf_options_check_create(lists);
	if (stmt->into->accessMethod != NULL && strcmp(stmt->into->accessMethod, SF_VIEW_AM) != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("access method \"%s\" cannot be used for a continuous view", stmt->into->accessMethod),
		                errhint("Leave USING out.")));
	view = create_shell(call, lists->other);
	if (!OidIsValid(view))
		return;
	finish_shell(view, lists->own);
	if (lists->restored)
		return;

	definition = sf_define_new(castNode(Query, copyObject(stmt->query)));
	check_streams(definition);
	if (sf_is_windowless(definition))
		check_windowless(view, !stmt->into->skipData);
	sf_options_check_definition(view, definition);
	sf_option_set(view, SF_OPTION_SETTINGS, sf_settings_capture());
	if (definition->window_key != SF_WINDOW_KEY_UNKNOWN)
		sf_option_set(view, SF_OPTION_WINDOW_KEY, psprintf("%d", definition->window_key));
	if (stmt->into->skipData)
	{
		SfTime begins_at = sf_first_time_after_stored(definition);

		if (begins_at != SF_TIME_MINUS_INFINITY)
			sf_option_set(view, SF_OPTION_BEGINS_AT, timestamptz_to_str(begins_at));
	}
	output = sf_output_create(view, definition);
	start_fragment(view, output, definition, SF_TIME_MINUS_INFINITY);
	notice_create(view, definition, !stmt->into->skipData);
}

/*
 * REFRESH: activates an inert view.  Of rows without windows nobody could tell which of the stored ones a dump's output
 * has, and it is no more than a copy of them: it is filled anew.  The lock keeps a second REFRESH out; readers see the
 * view inert or active.
 */
static void
refresh_view(RefreshMatViewStmt *stmt)
{
	Oid view;
	Oid output;
	Query *query;
	SfDefinition *definition;
	int level;
	bool adopted;
	SfTime adopted_until = SF_TIME_MINUS_INFINITY;

	PreventCommandIfReadOnly("REFRESH MATERIALIZED VIEW");
	PreventCommandIfParallelMode("REFRESH MATERIALIZED VIEW");
	PreventCommandDuringRecovery("REFRESH MATERIALIZED VIEW");
	view = RangeVarGetRelidExtended(stmt->relation, ShareUpdateExclusiveLock, 0, RangeVarCallbackOwnsRelation, NULL);
	if (stmt->concurrent)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("cannot refresh continuous view \"%s\" concurrently", get_rel_name(view))));
	if (stmt->skipData)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("cannot refresh continuous view \"%s\" with no data", get_rel_name(view))));
	if (OidIsValid(sf_view_output(view)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("cannot refresh continuous view \"%s\"", get_rel_name(view)),
		                errdetail("It is kept up to date; recomputing closed windows is not supported."),
		                errhint("Drop the view and create it again to compute it anew.")));

	level = sf_view_settings_apply(view);
	query = sf_view_query(view);
	check_query_privileges((Node *) query, NULL);
	definition = sf_define_view(CurrentMemoryContext, view);
	check_streams(definition);
	AtEOXact_GUC(true, level);
	output = sf_output_adopt(view, definition, &adopted);
	if (adopted && definition->stateless)
		sf_output_empty(output);
	else if (adopted && !sf_is_windowless(definition))
		adopted_until = sf_greatest_stored(output,
		                                   quote_identifier(get_attname(output, definition->output_window_end, false)));
	start_fragment(view, output, definition, adopted_until);
}

/* ---- ALTER ---- */

/* The continuous view or output table that a command names, and which of the two; InvalidOid for anything else. */
static Oid
find_view(RangeVar *relation, bool *is_output)
{
	Oid relid;

	*is_output = false;
	if (relation == NULL || !OidIsValid(sf_view_am_oid(true)))
		return InvalidOid;
	relid = RangeVarGetRelid(relation, NoLock, true);
	if (!OidIsValid(relid))
		return InvalidOid;
	if (sf_is_continuous_view(relid))
		return relid;
	*is_output = OidIsValid(sf_output_view(relid));
	return *is_output ? relid : InvalidOid;
}

/* Takes the option subcommands' own part out of the list; returns the subcommands that PostgreSQL is to run. */
static List *
split_option_commands(List *commands, List **set, List **reset)
{
	List *remaining = NIL;
	ListCell *cell;

	foreach (cell, commands)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
		bool resets = command->subtype == AT_ResetRelOptions;
		SfOptionLists lists;

		if (resets || command->subtype == AT_SetRelOptions)
		{
			sf_options_split((List *) command->def, &lists);
			sf_options_check_alter(lists.own, resets);
			*(resets ? reset : set) = list_concat(*(resets ? reset : set), lists.own);
			if (lists.other == NIL)
				continue;
			command = copyObject(command);
			command->def = (Node *) lists.other;
		}
		remaining = lappend(remaining, command);
	}
	return remaining;
}

static bool
has_option_command(List *commands)
{
	ListCell *cell;

	foreach (cell, commands)
	{
		AlterTableType subtype = lfirst_node(AlterTableCmd, cell)->subtype;

		if (subtype == AT_SetRelOptions || subtype == AT_ResetRelOptions)
			return true;
	}
	return false;
}

/* SET and RESET: PostgreSQL validates all options of a relation, so ours are away while it changes its own. */
static void
alter_view_options(const UtilityCall *call, AlterTableStmt *stmt)
{
	List *set = NIL;
	List *reset = NIL;
	List *remaining = split_option_commands(stmt->cmds, &set, &reset);
	Oid view;

	PreventCommandIfReadOnly("ALTER MATERIALIZED VIEW");
	PreventCommandIfParallelMode("ALTER MATERIALIZED VIEW");
	view = AlterTableLookupRelation(stmt, AccessExclusiveLock);
	if (!OidIsValid(view) || !sf_is_continuous_view(view))
		elog(ERROR, "continuous view \"%s\" was replaced while it was being altered", stmt->relation->relname);
	if (remaining != NIL)
	{
		PlannedStmt *pstmt = copy_command(call);
		Datum own = sf_options_remove_own(view);

		castNode(AlterTableStmt, pstmt->utilityStmt)->cmds = remaining;
		run(call, pstmt);
		CommandCounterIncrement();
		sf_options_restore_own(view, own);
	}
	if (set != NIL)
		sf_options_change(view, set, false);
	if (reset != NIL)
		sf_options_change(view, reset, true);
	if (set != NIL && OidIsValid(sf_view_output(view)))
	{
		SfDefinition *definition = sf_define_view(CurrentMemoryContext, view);

		if (sf_is_windowless(definition))
			check_windowless(view, true);
		sf_options_check_definition(view, definition);
	}
	sf_catalog_changed_at_commit();
}

/* Refuses to give any relation our access method, or a view another one. */
static void
check_access_method_commands(AlterTableStmt *stmt, Oid view)
{
	ListCell *cell;

	foreach (cell, stmt->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype != AT_SetAccessMethod)
			continue;
		if (OidIsValid(view))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("cannot change access method of continuous view \"%s\"", get_rel_name(view))));
		if (command->name != NULL && strcmp(command->name, SF_VIEW_AM) == 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("access method \"%s\" is for continuous views only", SF_VIEW_AM),
			                errhint("Use CREATE MATERIALIZED VIEW ... WITH (streamfuse.continuous).")));
	}
}

/* The worker reads a stream past its policies. */
static void
check_row_security(AlterTableStmt *stmt)
{
	ListCell *cell;
	Oid relid;

	foreach (cell, stmt->cmds)
	{
		if (lfirst_node(AlterTableCmd, cell)->subtype != AT_EnableRowSecurity)
			continue;
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		if (OidIsValid(relid) && OidIsValid(sf_view_am_oid(true)) && sf_stream_has_views(relid))
			ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			                errmsg("cannot enable row-level security on stream \"%s\" because continuous views read it",
			                       get_rel_name(relid)),
			                errhint("Drop the continuous views first.")));
	}
}

/* An output table cannot be a partition: rows would come to it from the parent. */
static void
check_attached_partitions(AlterTableStmt *stmt)
{
	ListCell *cell;
	bool is_output;

	foreach (cell, stmt->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
		Oid relid;

		if (command->subtype != AT_AttachPartition)
			continue;
		relid = find_view(castNode(PartitionCmd, command->def)->name, &is_output);
		if (is_output)
			sf_output_refuse_change(relid, "ATTACH PARTITION");
	}
}

static void
alter_table(const UtilityCall *call, AlterTableStmt *stmt)
{
	bool is_output;
	Oid relid = find_view(stmt->relation, &is_output);

	check_access_method_commands(stmt, is_output ? InvalidOid : relid);
	check_attached_partitions(stmt);
	check_row_security(stmt);
	if (is_output)
		sf_output_check_alter(relid, stmt);
	if (!OidIsValid(relid) || is_output)
	{
		run(call, call->pstmt);
		return;
	}
	if (has_option_command(stmt->cmds))
		alter_view_options(call, stmt);
	else
		run(call, call->pstmt);
	CommandCounterIncrement();
	sf_output_follow_view(relid);
}

static void
rename_object(const UtilityCall *call, RenameStmt *stmt)
{
	bool is_output;
	Oid relid = find_view(stmt->relation, &is_output);
	bool column = stmt->renameType == OBJECT_COLUMN;

	if (is_output && column)
		sf_output_refuse_change(relid, "RENAME COLUMN");
	run(call, call->pstmt);
	if (!OidIsValid(relid))
		return;
	CommandCounterIncrement();
	if (is_output && stmt->renameType == OBJECT_TABLE)
		sf_option_set(sf_output_view(relid), SF_OPTION_OUTPUT, get_rel_name(relid));
	else if (!is_output && column)
		sf_output_follow_view(relid);
}

static void
alter_schema(const UtilityCall *call, AlterObjectSchemaStmt *stmt)
{
	bool is_output;
	Oid relid = find_view(stmt->relation, &is_output);

	if (is_output)
		sf_output_refuse_change(relid, "SET SCHEMA");
	run(call, call->pstmt);
	if (OidIsValid(relid))
	{
		CommandCounterIncrement();
		sf_output_follow_view(relid);
	}
}

static void
drop_views(const UtilityCall *call, DropStmt *stmt)
{
	ListCell *cell;
	bool is_output;

	foreach (cell, stmt->objects)
	{
		Oid relid = find_view(makeRangeVarFromNameList(lfirst(cell)), &is_output);

		if (OidIsValid(relid) && !is_output)
			sf_output_claim(relid);
	}
	run(call, call->pstmt);
}

/*
 * Drops the tables that were restored with inert views, where those have gone by CASCADE or with all that somebody owns.
 * Most have gone with the same command.
 */
static void
drop_orphans(void)
{
	ListCell *cell;

	foreach (cell, orphaned_outputs)
	{
		ObjectAddress address;

		CommandCounterIncrement();
		if (get_rel_relkind(lfirst_oid(cell)) == '\0')
			continue;
		ObjectAddressSet(address, RelationRelationId, lfirst_oid(cell));
		performDeletion(&address, DROP_CASCADE, 0);
	}
}

/* Any command that may drop views which it does not name. */
static void
run_dropping(const UtilityCall *call)
{
	List *outer = orphaned_outputs;
	bool outer_dropping = dropping;

	orphaned_outputs = NIL;
	dropping = true;
	PG_TRY();
	{
		if (IsA(call->pstmt->utilityStmt, AlterTableStmt))
			alter_table(call, (AlterTableStmt *) call->pstmt->utilityStmt);
		else
			run(call, call->pstmt);
		drop_orphans();
	}
	PG_FINALLY();
	{
		orphaned_outputs = outer;
		dropping = outer_dropping;
	}
	PG_END_TRY();
}

/* ---- commands on indexes ---- */

/* The output of an active view as a RangeVar, to stand in a command in place of the view. */
static RangeVar *
output_range_var(Oid view)
{
	Oid output;

	if (!sf_owns_relation(view, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_MATVIEW, get_rel_name(view));
	sf_view_require_active(view);
	output = sf_view_output(view);
	return makeRangeVar(get_namespace_name(get_rel_namespace(output)), get_rel_name(output), -1);
}

static void
create_index(const UtilityCall *call, IndexStmt *stmt)
{
	bool is_output;
	Oid relid = find_view(stmt->relation, &is_output);
	PlannedStmt *pstmt = call->pstmt;

	if (OidIsValid(relid) && (stmt->unique || stmt->excludeOpNames != NIL))
		sf_output_refuse_unique(relid);
	if (OidIsValid(relid) && !is_output)
	{
		pstmt = copy_command(call);
		castNode(IndexStmt, pstmt->utilityStmt)->relation = output_range_var(relid);
	}
	run(call, pstmt);
}

/* REINDEX TABLE and CLUSTER on a view mean its output. */
static void
run_on_output(const UtilityCall *call, RangeVar *relation)
{
	bool is_output;
	Oid relid = find_view(relation, &is_output);
	PlannedStmt *pstmt = call->pstmt;

	if (OidIsValid(relid) && !is_output)
	{
		pstmt = copy_command(call);
		if (IsA(pstmt->utilityStmt, ReindexStmt))
			castNode(ReindexStmt, pstmt->utilityStmt)->relation = output_range_var(relid);
		else
			castNode(ClusterStmt, pstmt->utilityStmt)->relation = output_range_var(relid);
	}
	run(call, pstmt);
}

/* ---- COPY ---- */

/* As until PostgreSQL 17 of any materialized view: from then on their rows are copied, and a view has none of its own. */
static void
refuse_copy_to(CopyStmt *stmt)
{
	bool is_output;

	if (!stmt->is_from && stmt->relation != NULL && OidIsValid(find_view(stmt->relation, &is_output)) && !is_output)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("cannot copy from materialized view \"%s\"", stmt->relation->relname),
		                errhint("Try the COPY (SELECT ...) TO variant.")));
}

/* ---- VACUUM ---- */

/* The command outlives the transactions that VACUUM makes, hence the portal's memory. */
static void
vacuum_tables(const UtilityCall *call, VacuumStmt *stmt)
{
	PlannedStmt *pstmt = call->pstmt;
	MemoryContext old;
	List *relations;

	if (IsTransactionBlock())
	{
		run(call, pstmt);
		return;
	}
	old = MemoryContextSwitchTo(PortalContext);
	relations = sf_stream_vacuum_relations(stmt);
	if (relations != stmt->rels)
	{
		pstmt = copy_command(call);
		castNode(VacuumStmt, pstmt->utilityStmt)->rels = relations;
	}
	MemoryContextSwitchTo(old);
	run(call, pstmt);
}

/* ---- the hooks ---- */

static bool
is_relation_type(ObjectType type)
{
	return type == OBJECT_TABLE || type == OBJECT_MATVIEW || type == OBJECT_VIEW || type == OBJECT_FOREIGN_TABLE;
}

static void
process_command(const UtilityCall *call)
{
	Node *stmt = call->pstmt->utilityStmt;
	bool is_output;

	switch (nodeTag(stmt))
	{
		case T_CreateTableAsStmt:
		{
			CreateTableAsStmt *create = (CreateTableAsStmt *) stmt;
			SfOptionLists lists;

			sf_options_split(create->into->options, &lists);
			if (create->objtype == OBJECT_MATVIEW && lists.own != NIL)
			{
				create_view(call, create, &lists);
				return;
			}
			break;
		}
		case T_RefreshMatViewStmt:
			if (OidIsValid(find_view(((RefreshMatViewStmt *) stmt)->relation, &is_output)) && !is_output)
			{
				refresh_view((RefreshMatViewStmt *) stmt);
				return;
			}
			break;
		case T_AlterTableStmt:
			run_dropping(call);
			return;
		case T_RenameStmt:
			if (is_relation_type(((RenameStmt *) stmt)->renameType) ||
			    ((RenameStmt *) stmt)->renameType == OBJECT_COLUMN)
			{
				rename_object(call, (RenameStmt *) stmt);
				return;
			}
			break;
		case T_AlterObjectSchemaStmt:
			if (is_relation_type(((AlterObjectSchemaStmt *) stmt)->objectType))
			{
				alter_schema(call, (AlterObjectSchemaStmt *) stmt);
				return;
			}
			break;
		case T_AlterExtensionStmt:
			run(call, call->pstmt);
			if (strcmp(((AlterExtensionStmt *) stmt)->extname, "streamfuse") == 0)
				sf_catalog_changed_at_commit();
			return;
		case T_IndexStmt:
			create_index(call, (IndexStmt *) stmt);
			return;
		case T_ReindexStmt:
			if (((ReindexStmt *) stmt)->kind == REINDEX_OBJECT_TABLE)
			{
				run_on_output(call, ((ReindexStmt *) stmt)->relation);
				return;
			}
			break;
		case T_DropStmt:
			if (((DropStmt *) stmt)->removeType == OBJECT_MATVIEW)
			{
				drop_views(call, (DropStmt *) stmt);
				return;
			}
			run_dropping(call);
			return;
		case T_DropOwnedStmt:
			run_dropping(call);
			return;
		case T_CopyStmt:
			refuse_copy_to((CopyStmt *) stmt);
			break;
		case T_VacuumStmt:
			vacuum_tables(call, (VacuumStmt *) stmt);
			return;
		case T_ClusterStmt:
			run_on_output(call, ((ClusterStmt *) stmt)->relation);
			return;
		default:
			break;
	}
	run(call, call->pstmt);
}

static void
utility_hook(PlannedStmt *pstmt, const char *query_string, bool read_only_tree, ProcessUtilityContext context,
             ParamListInfo params, QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *completion)
{
	UtilityCall call = {
	    .pstmt = pstmt,
	    .query_string = query_string,
	    .read_only_tree = read_only_tree,
	    .context = context,
	    .params = params,
	    .query_env = query_env,
	    .dest = dest,
	    .completion = completion,
	};

	process_command(&call);
}

/* Is this new relation, not yet visible to catalog snapshots, the view being created?  Any other of ours is refused. */
static void
check_new_relation(Oid relid)
{
	Oid view_am = sf_view_am_oid(true);
	Relation class;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool ours = false;

	if (!OidIsValid(view_am))
		return;
	class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(class, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		ours = ((Form_pg_class) GETSTRUCT(tuple))->relam == view_am;
	systable_endscan(scan);
	table_close(class, AccessShareLock);
	if (!ours)
		return;
	if (!creating_view || OidIsValid(created_view))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("access method \"%s\" is for continuous views only", SF_VIEW_AM),
		                errhint("Use CREATE MATERIALIZED VIEW ... WITH (streamfuse.continuous).")));
	created_view = relid;
}

static void
note_orphan(Oid view)
{
	Oid output = sf_output_restored(view);
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	if (OidIsValid(output))
		orphaned_outputs = list_append_unique_oid(orphaned_outputs, output);
	MemoryContextSwitchTo(old);
}

/* A relation is about to be dropped.  The output goes before its view, so the view is still there to be asked. */
static void
relation_dropped(Oid relid)
{
	Oid view;

	if (!OidIsValid(sf_view_am_oid(true)))
		return;
	view = sf_is_continuous_view(relid) ? relid : sf_output_view(relid);
	if (!OidIsValid(view))
		return;
	LockRelationOid(view, AccessExclusiveLock);
	if (dropping && view == relid)
		note_orphan(view);
	sf_fragment_remove(view);
	SF_FAULT("view-drop");
	sf_catalog_changed_at_commit();
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, arg);
	if (class_id != RelationRelationId || sub_id != 0)
		return;

	switch (access)
	{
		case OAT_POST_CREATE:
			if (!((ObjectAccessPostCreate *) arg)->is_internal)
				check_new_relation(object_id);
			break;
		case OAT_DROP:
			relation_dropped(object_id);
			break;
		case OAT_TRUNCATE:
			sf_output_check_rows(object_id);
			break;
		default:
			break;
	}
}

void
sf_view_ddl_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
	sf_output_guard_init();
}
