/*
 * catalog.c
 *		The one way to the extension's own tables: open by name, scan by index, insert, update, delete.
 *
 * The tables are ordinary heap tables with plain btree indexes, so PostgreSQL's routines for system catalogs serve them
 * too; no SQL is run, so no search_path, trigger, rule or row security of anybody's can come between.  A schema named
 * streamfuse counts only where the extension is installed: before, it may be anybody's.
 */
#include "state/catalog.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

struct SfCatalog
{
	Relation relation;
	CatalogIndexState indexes; /* owned; NULL until the first write */
};

/* Found once and kept until some schema changes. */
static Oid cached_schema;

static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	cached_schema = InvalidOid;
}

Oid
sf_catalog_schema(bool missing_ok)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(cached_schema))
	{
		Oid schema = get_namespace_oid(SF_SCHEMA, true);

		if (OidIsValid(schema))
		{
			Oid extension = getExtensionOfObject(NamespaceRelationId, schema);

			if (OidIsValid(extension) && extension == get_extension_oid("streamfuse", true))
				cached_schema = schema;
		}
	}
	if (!OidIsValid(cached_schema) && !missing_ok)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("extension \"%s\" is not installed in this database", "streamfuse"),
		                errhint("Use CREATE EXTENSION streamfuse.")));
	return cached_schema;
}

/* Kept until some function changes. */
static enum
{
	LAYOUT_UNKNOWN,
	LAYOUT_FITS,
	LAYOUT_DIFFERS
} layout;

static void
forget_layout(Datum arg, int cacheid, uint32 hashvalue)
{
	layout = LAYOUT_UNKNOWN;
}

/* The number in the body of streamfuse.layout(); 0 where there is none. */
static int
installed_layout(Oid schema)
{
	oidvector *no_arguments = buildoidvector(NULL, 0);
	HeapTuple tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum("layout"), PointerGetDatum(no_arguments),
	                                  ObjectIdGetDatum(schema));
	int number = 0;
	bool isnull;
	Datum body;

	if (!HeapTupleIsValid(tuple))
		return 0;
	body = SysCacheGetAttr(PROCNAMEARGSNSP, tuple, Anum_pg_proc_prosrc, &isnull);
	if (isnull || sscanf(TextDatumGetCString(body), "SELECT %d", &number) != 1)
		number = 0;
	ReleaseSysCache(tuple);
	return number;
}

/* A script of the extension is running, or pg_upgrade: what is there is not complete. */
static bool
being_installed(void)
{
	return creating_extension || IsBinaryUpgrade;
}

bool
sf_layout_fits(void)
{
	static bool registered = false;
	Oid schema;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_layout, (Datum) 0);
		registered = true;
	}
	if (layout == LAYOUT_UNKNOWN)
	{
		int number;

		schema = sf_catalog_schema(true);
		if (!OidIsValid(schema) || being_installed())
			return true;
		number = installed_layout(schema);
		layout = number == SF_LAYOUT ? LAYOUT_FITS : LAYOUT_DIFFERS;
	}
	return layout == LAYOUT_FITS || being_installed();
}

bool
sf_layout_is_known(void)
{
	return layout == LAYOUT_FITS;
}

int
sf_layout_detail(void)
{
	return errdetail("The installed objects have layout %d, the loaded library works with layout %d.",
	                 installed_layout(sf_catalog_schema(false)), SF_LAYOUT);
}

int
sf_layout_hint(void)
{
	if (installed_layout(sf_catalog_schema(false)) > SF_LAYOUT)
		return errhint("Restart the server to load the newer library.");
	return errhint("Use ALTER EXTENSION streamfuse UPDATE.");
}

void
sf_require_layout(void)
{
	if (!sf_layout_fits())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("the installed extension \"%s\" does not fit its library", "streamfuse"),
		                sf_layout_detail(), sf_layout_hint()));
}

bool
sf_catalog_exists(const char *name)
{
	Oid schema = sf_catalog_schema(true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid(name, schema)) && sf_layout_fits();
}

Oid
sf_catalog_relation(const char *name)
{
	Oid relid = get_relname_relid(name, sf_catalog_schema(false));

	if (!OidIsValid(relid))
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("\"%s.%s\" does not exist", SF_SCHEMA, name),
		         errdetail("The installed objects of extension \"%s\" do not fit its library.", "streamfuse"),
		         errhint("Use ALTER EXTENSION streamfuse UPDATE.")));
	return relid;
}

SfCatalog *
sf_catalog_open(const char *name, LOCKMODE lockmode)
{
	SfCatalog *catalog = palloc0(sizeof(SfCatalog));

	/* Once the table is locked nobody changes it any more. */
	catalog->relation = table_open(sf_catalog_relation(name), lockmode);
	sf_require_layout();
	return catalog;
}

void
sf_catalog_close(SfCatalog *catalog, LOCKMODE lockmode)
{
	if (catalog->indexes != NULL)
		CatalogCloseIndexes(catalog->indexes);
	table_close(catalog->relation, lockmode);
	pfree(catalog);
}

Relation
sf_catalog_table(SfCatalog *catalog)
{
	return catalog->relation;
}

static CatalogIndexState
open_indexes(SfCatalog *catalog)
{
	if (catalog->indexes == NULL)
		catalog->indexes = CatalogOpenIndexes(catalog->relation);
	return catalog->indexes;
}

/* A nulls array to use: the caller's, or one that says there are none. */
static bool *
nulls_or_none(SfCatalog *catalog, bool *nulls)
{
	return nulls ? nulls : palloc0(sizeof(bool) * RelationGetDescr(catalog->relation)->natts);
}

void
sf_catalog_insert(SfCatalog *catalog, Datum *values, bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(catalog->relation), values, nulls_or_none(catalog, nulls));

	CatalogTupleInsertWithInfo(catalog->relation, tuple, open_indexes(catalog));
	heap_freetuple(tuple);
}

void
sf_catalog_update(SfCatalog *catalog, HeapTuple tuple, Datum *values, bool *nulls, bool *replace)
{
	TupleDesc desc = RelationGetDescr(catalog->relation);
	HeapTuple changed;

	if (replace == NULL)
	{
		replace = palloc(sizeof(bool) * desc->natts);
		memset(replace, true, sizeof(bool) * desc->natts);
	}
	changed = heap_modify_tuple(tuple, desc, values, nulls_or_none(catalog, nulls), replace);
	CatalogTupleUpdateWithInfo(catalog->relation, &tuple->t_self, changed, open_indexes(catalog));
	heap_freetuple(changed);
}

void
sf_catalog_delete(SfCatalog *catalog, HeapTuple tuple)
{
	CatalogTupleDelete(catalog->relation, &tuple->t_self);
}

SysScanDesc
sf_catalog_scan_begin(SfCatalog *catalog, const char *index, int nkeys, ScanKey keys, Snapshot snapshot)
{
	Oid indexid = index ? sf_catalog_relation(index) : InvalidOid;

	return systable_beginscan(catalog->relation, indexid, index != NULL, snapshot, nkeys, keys);
}

HeapTuple
sf_catalog_scan_next(SysScanDesc scan)
{
	return systable_getnext(scan);
}

void
sf_catalog_scan_end(SysScanDesc scan)
{
	systable_endscan(scan);
}

int64
sf_catalog_nextval(const char *sequence)
{
	return nextval_internal(sf_catalog_relation(sequence), false);
}
