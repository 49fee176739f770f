/*
 * view_output.c
 *		The output table of a view: made, adopted from a dump, kept in step with the view, and guarded.
 *
 * The output is an ordinary heap table in the view's schema, owned by the view's owner.  It hangs on the view by an AUTO
 * dependency, so that it goes when the view goes, and yet DROP of a dumped database (which drops the table first) works.
 * The first columns are the view's, under the view's names; the worker and readers go by position.
 *
 * Only the worker changes rows of the output of an active view, and it does not come through the executor's permission
 * check, where everybody else is refused.  The table of an inert view is an ordinary table: pg_restore fills it.
 */
#include "plan/view_internal.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "stream/settings.h"

static ExecutorCheckPerms_hook_type previous_check_perms;

/* Which relations are outputs of active views: Oid -> bool, forgotten on relation cache invalidation. */
typedef struct GuardEntry
{
	Oid relid; /* hash key */
	bool output;
} GuardEntry;

static HTAB *guard_cache;

/* A name for a column of ours that none of the view's columns has. */
static char *
name_beside_view(TupleDesc view_desc, const char *name)
{
	for (int i = 0; i < view_desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(view_desc, i)->attname), name) == 0)
			return name_beside_view(view_desc, psprintf("%s_", name));
	return pstrdup(name);
}

/* The columns of the output table: those of the definition, the view's own under the view's names. */
static List *
output_columns(Oid view, SfDefinition *definition)
{
	Relation rel = table_open(view, NoLock);
	TupleDesc view_desc = RelationGetDescr(rel);
	List *columns = NIL;

	for (int i = 0; i < definition->output_desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(definition->output_desc, i);
		const char *name = i < view_desc->natts ? NameStr(TupleDescAttr(view_desc, i)->attname)
		                                        : name_beside_view(view_desc, NameStr(attribute->attname));

		columns = lappend(columns,
		                  makeColumnDef(name, attribute->atttypid, attribute->atttypmod, attribute->attcollation));
	}
	table_close(rel, NoLock);
	return columns;
}

static void
create_index(Oid output, const char *column)
{
	IndexStmt *stmt = makeNode(IndexStmt);
	IndexElem *element = makeNode(IndexElem);

	element->name = pstrdup(column);
	element->ordering = SORTBY_DEFAULT;
	element->nulls_ordering = SORTBY_NULLS_DEFAULT;
	stmt->accessMethod = pstrdup("btree");
	stmt->indexParams = list_make1(element);
	sf_define_index(output, stmt);
	CommandCounterIncrement();
}

static void
make_active(Oid view, Oid output)
{
	ObjectAddress view_address;
	ObjectAddress output_address;

	ObjectAddressSet(view_address, RelationRelationId, view);
	ObjectAddressSet(output_address, RelationRelationId, output);
	recordDependencyOn(&output_address, &view_address, DEPENDENCY_AUTO);
	sf_option_set(view, SF_OPTION_OUTPUT, get_rel_name(output));
	CacheInvalidateRelcacheByRelid(output);
	CacheInvalidateRelcacheByRelid(view);
	CommandCounterIncrement();
}

/*
 * Makes the output table of a view and activates the view.  Goes around ProcessUtility, so that users' event triggers
 * see the view alone.
 */
Oid
sf_output_create(Oid view, SfDefinition *definition)
{
	CreateStmt *stmt = makeNode(CreateStmt);
	Relation rel = table_open(view, NoLock);
	Oid schema = RelationGetNamespace(rel);
	char *name = ChooseRelationName(RelationGetRelationName(rel), NULL, "closed", schema, false);
	Oid owner = rel->rd_rel->relowner;
	Oid tablespace = rel->rd_rel->reltablespace;
	Oid output;

	table_close(rel, NoLock);
	stmt->relation = makeRangeVar(get_namespace_name(schema), name, -1);
	stmt->tableElts = output_columns(view, definition);
	stmt->oncommit = ONCOMMIT_NOOP;
	stmt->accessMethod = pstrdup("heap");
	if (OidIsValid(tablespace))
		stmt->tablespacename = get_tablespace_name(tablespace);
	output = DefineRelation(stmt, RELKIND_RELATION, owner, NULL, "").objectId;
	CommandCounterIncrement();
	NewRelationCreateToastTable(output, (Datum) 0);
	CommandCounterIncrement();

	if (!sf_is_windowless(definition) && !definition->stateless)
		create_index(output, get_attname(output, definition->output_window_start, false));
	make_active(view, output);
	return output;
}

/* Can this table, found under the name that the view's options give, hold the view's closed rows? */
static bool
can_adopt(Oid view, Oid candidate, SfDefinition *definition)
{
	Relation rel;
	bool fits;

	if (get_rel_relkind(candidate) != RELKIND_RELATION || OidIsValid(sf_output_view(candidate)))
		return false;
	rel = table_open(candidate, AccessExclusiveLock);
	fits = rel->rd_rel->relam == HEAP_TABLE_AM_OID && RelationGetDescr(rel)->natts == definition->output_desc->natts;
	for (int i = 0; fits && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute have = TupleDescAttr(RelationGetDescr(rel), i);
		Form_pg_attribute want = TupleDescAttr(definition->output_desc, i);

		fits = !have->attisdropped && have->atttypid == want->atttypid && have->atttypmod == want->atttypmod &&
		       have->attcollation == want->attcollation;
	}
	if (!fits)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("table \"%s\" cannot become the output table of continuous view \"%s\"",
		                       RelationGetRelationName(rel), get_rel_name(view)),
		                errdetail("Its columns are not those of the view's closed rows."),
		                errhint("Rename or drop the table, then refresh the view again.")));
	if (!sf_owns_relation(candidate, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	table_close(rel, NoLock);
	return true;
}

/*
 * Activates an inert view: takes over the table that its options name, or makes a new one.  Sets *adopted to say which.
 */
Oid
sf_output_adopt(Oid view, SfDefinition *definition, bool *adopted)
{
	char *name = sf_option_get(view, SF_OPTION_OUTPUT);
	Oid candidate = name ? get_relname_relid(name, get_rel_namespace(view)) : InvalidOid;

	*adopted = OidIsValid(candidate) && can_adopt(view, candidate, definition);
	if (!*adopted)
		return sf_output_create(view, definition);
	make_active(view, candidate);
	sf_output_follow_view(view);
	return candidate;
}

/* Rows that a dump has brought go.  The worker's own way, past what keeps users from it. */
void
sf_output_empty(Oid output)
{
	Relation rel = table_open(output, AccessExclusiveLock);

	sf_truncate(list_make1(rel), list_make1_oid(output));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

static Oid
relation_owner(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	Oid owner = rel->rd_rel->relowner;

	table_close(rel, NoLock);
	return owner;
}

/* Does this look like the output of the view?  The definition is not asked: what it needs may be gone. */
static bool
has_output_columns(Oid view, Oid candidate)
{
	Relation view_rel = table_open(view, NoLock);
	Relation rel = table_open(candidate, AccessExclusiveLock);
	TupleDesc have = RelationGetDescr(rel);
	TupleDesc want = RelationGetDescr(view_rel);
	bool fits = rel->rd_rel->relam == HEAP_TABLE_AM_OID && have->natts > want->natts &&
	            TupleDescAttr(have, want->natts)->atttypid == XID8OID;

	for (int i = 0; fits && i < want->natts; i++)
		fits = TupleDescAttr(have, i)->atttypid == TupleDescAttr(want, i)->atttypid &&
		       strcmp(NameStr(TupleDescAttr(have, i)->attname), NameStr(TupleDescAttr(want, i)->attname)) == 0;
	table_close(rel, NoLock);
	table_close(view_rel, NoLock);
	return fits;
}

/* The table that was restored with an inert view, and would be its output; locked.  InvalidOid: there is none. */
Oid
sf_output_restored(Oid view)
{
	char *name;
	Oid candidate;

	if (!sf_is_continuous_view(view) || OidIsValid(sf_view_output(view)))
		return InvalidOid;
	name = sf_option_get(view, SF_OPTION_OUTPUT);
	candidate = name ? get_relname_relid(name, get_rel_namespace(view)) : InvalidOid;
	if (!OidIsValid(candidate) || get_rel_relkind(candidate) != RELKIND_RELATION ||
	    OidIsValid(sf_output_view(candidate)) || relation_owner(candidate) != relation_owner(view) ||
	    !has_output_columns(view, candidate))
		return InvalidOid;
	return candidate;
}

/*
 * Before DROP of a view: the table that was restored with an inert one is hung on it, to go with it as the output of an
 * active view does.  Without the right to drop both nothing is done; DROP then says what is wrong.
 */
void
sf_output_claim(Oid view)
{
	Oid candidate;

	if (!sf_owns_relation(view, GetUserId()))
		return;
	LockRelationOid(view, AccessExclusiveLock);
	candidate = sf_output_restored(view);
	if (OidIsValid(candidate))
		make_active(view, candidate);
}

/* Moves the output to the view's schema, under another name if its own is taken there. */
static void
follow_schema(Oid view, Oid output)
{
	Oid schema = get_rel_namespace(view);
	Oid old_schema = get_rel_namespace(output);
	ObjectAddresses *moved;
	Relation rel;

	if (schema == old_schema)
		return;
	rel = table_open(output, AccessExclusiveLock);
	if (OidIsValid(get_relname_relid(RelationGetRelationName(rel), schema)))
	{
		char *name = ChooseRelationName(get_rel_name(view), NULL, "closed", schema, false);

		RenameRelationInternal(output, name, true, false);
		CommandCounterIncrement();
		sf_option_set(view, SF_OPTION_OUTPUT, name);
	}
	moved = new_object_addresses();
	AlterTableNamespaceInternal(rel, old_schema, schema, moved);
	free_object_addresses(moved);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

static AttrNumber
column_count(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	AttrNumber count = RelationGetNumberOfAttributes(rel);

	table_close(rel, NoLock);
	return count;
}

static void
rename_column(Oid output, AttrNumber attnum, const char *name)
{
	char *old_name = get_attname(output, attnum, false);
	RenameStmt *stmt;

	if (strcmp(name, old_name) == 0)
		return;
	stmt = makeNode(RenameStmt);
	stmt->renameType = OBJECT_COLUMN;
	stmt->relationType = OBJECT_TABLE;
	stmt->relation = makeRangeVar(get_namespace_name(get_rel_namespace(output)), get_rel_name(output), -1);
	stmt->subname = old_name;
	stmt->newname = pstrdup(name);
	stmt->behavior = DROP_RESTRICT;
	renameatt(stmt);
	CommandCounterIncrement();
}

/* Renames the output's columns as the view's are named; ours, from behind, get out of their way first. */
static void
follow_columns(Oid view, Oid output)
{
	Relation rel = table_open(view, NoLock);
	TupleDesc desc = RelationGetDescr(rel);

	for (AttrNumber attnum = column_count(output); attnum > 0; attnum--)
		if (attnum > desc->natts)
			rename_column(output, attnum, name_beside_view(desc, get_attname(output, attnum, false)));
		else
			rename_column(output, attnum, NameStr(TupleDescAttr(desc, attnum - 1)->attname));
	table_close(rel, NoLock);
}

/* After ALTER of an active view: its output takes the view's owner, schema and column names. */
void
sf_output_follow_view(Oid view)
{
	Oid output = sf_view_output(view);
	Oid owner;

	if (!OidIsValid(output))
		return;
	owner = relation_owner(view);
	if (owner != relation_owner(output))
	{
		ATExecChangeOwner(output, owner, true, AccessExclusiveLock);
		CommandCounterIncrement();
	}
	follow_schema(view, output);
	follow_columns(view, output);
}

/* May this subcommand of ALTER TABLE be used on an output table?  Those that leave its columns and rows alone may. */
static bool
alter_is_harmless(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_AddConstraint:
		case AT_AddIndexConstraint:
		case AT_DropConstraint:
		case AT_ValidateConstraint:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplicaIdentity:
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigUser:
			return true;
		default:
			return false;
	}
}

/* A uniqueness that a closed window violates would stop the view, and rows cannot be corrected by hand. */
static bool
adds_unique_constraint(AlterTableCmd *command)
{
	Constraint *constraint;

	if (command->subtype != AT_AddConstraint)
		return false;
	constraint = castNode(Constraint, command->def);
	return constraint->contype == CONSTR_UNIQUE || constraint->contype == CONSTR_PRIMARY ||
	       constraint->contype == CONSTR_EXCLUSION;
}

/* Refuses what would make the table useless to the worker, or part it from the view. */
void
sf_output_check_alter(Oid output, AlterTableStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (!alter_is_harmless(command->subtype))
			sf_output_refuse_change(output, "ALTER TABLE");
		if (adds_unique_constraint(command))
			sf_output_refuse_unique(output);
	}
}

void
sf_output_refuse_unique(Oid relid)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("cannot create unique index on \"%s\"", get_rel_name(relid)),
	                errdetail("A closed window that violated it would stop the view."),
	                errhint("Create an index that is not unique.")));
}

/* Raises the error for a command on the output of an active view. */
void
sf_output_refuse_change(Oid output, const char *command)
{
	char *view = get_rel_name(sf_output_view(output));

	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("cannot use %s on \"%s\"", command, get_rel_name(output)),
	                errdetail("The table holds the closed results of continuous view \"%s\".", view),
	                errhint("Alter the view; its output table follows.")));
}

/* Raises unless rows of this relation may be changed by anybody. */
void
sf_output_check_rows(Oid relid)
{
	Oid view = sf_output_view(relid);

	if (OidIsValid(view))
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("cannot change or lock rows of \"%s\"", get_rel_name(relid)),
		         errdetail("The table holds the closed results of continuous view \"%s\".", get_rel_name(view))));
}

static void
guard_invalidate(Datum arg, Oid relid)
{
	bool found;

	if (guard_cache == NULL)
		return;
	if (OidIsValid(relid))
		hash_search(guard_cache, &relid, HASH_REMOVE, &found);
	else
	{
		hash_destroy(guard_cache);
		guard_cache = NULL;
	}
}

/* Each INSERT of every session asks this, hence the cache. */
static bool
is_output(Oid relid)
{
	GuardEntry *entry;
	bool output;
	bool found;

	if (guard_cache != NULL && (entry = hash_search(guard_cache, &relid, HASH_FIND, NULL)) != NULL)
		return entry->output;

	/* The look-up may itself accept invalidations, so the entry is made afterwards. */
	output = OidIsValid(sf_view_am_oid(true)) && OidIsValid(sf_output_view(relid));
	if (guard_cache == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(GuardEntry), .hcxt = CacheMemoryContext};

		guard_cache = hash_create("streamfuse output tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(guard_cache, &relid, HASH_ENTER, &found);
	entry->output = output;
	return output;
}

static bool
check_perms(SF_CHECK_PERMS_PARAMS)
{
	const AclMode changes = ACL_INSERT | ACL_UPDATE | ACL_DELETE;
	ListCell *cell;

	foreach (cell, range_table)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

		if (rte->rtekind == RTE_RELATION && (sf_required_perms(rte) & changes) != 0 &&
		    rte->relkind == RELKIND_RELATION && is_output(rte->relid))
		{
			if (!ereport_on_violation)
				return false;
			sf_output_check_rows(rte->relid);
		}
	}
	return previous_check_perms ? previous_check_perms(SF_CHECK_PERMS_ARGS) : true;
}

void
sf_output_guard_init(void)
{
	previous_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_perms;
	CacheRegisterRelcacheCallback(guard_invalidate, (Datum) 0);
}
