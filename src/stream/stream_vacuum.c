/*
 * stream_vacuum.c
 *		VACUUM FULL of a whole database: it passes over the streams that cannot be rewritten.
 *
 * PostgreSQL stops at the first table that raises an error.  So where such streams exist the command gets the list of
 * all other tables; what it makes of each is PostgreSQL's own.
 */
#include "stream/stream.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"

#include "stream/settings.h"

static bool
rewrites(VacuumStmt *stmt)
{
	bool full = false;
	ListCell *cell;

	foreach (cell, stmt->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "full") == 0)
			full = defGetBoolean(option);
	}
	return stmt->is_vacuumcmd && full;
}

List *
sf_stream_vacuum_relations(VacuumStmt *stmt)
{
	Relation pg_class;
	SysScanDesc scan;
	HeapTuple tuple;
	List *relations = NIL;
	bool skipped = false;

	if (stmt->rels != NIL || !rewrites(stmt) || !OidIsValid(sf_stream_am_oid(true)))
		return stmt->rels;
	pg_class = table_open(RelationRelationId, AccessShareLock);
	scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		if (class->relkind != RELKIND_RELATION && class->relkind != RELKIND_MATVIEW &&
		    class->relkind != RELKIND_PARTITIONED_TABLE)
			continue;
		if (class->relam == sf_stream_am_oid(true) && sf_stream_has_views(class->oid))
		{
			ereport(WARNING,
			        (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			         errmsg("skipping \"%s\" --- continuous views read this stream", NameStr(class->relname))));
			skipped = true;
		}
		else
			relations = lappend(relations, makeVacuumRelation(NULL, class->oid, NIL));
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return skipped ? relations : NIL;
}
