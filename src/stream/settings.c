/*
 * settings.c
 *		The settings of a stream: read from, checked as, and kept right in a security label of its table.
 *
 * A label travels with its table in a dump, needs no table of ours and goes with the stream.  Its text is made and read
 * in settings_label.c.  Whoever writes one, set_watermark or SECURITY LABEL itself, holds ShareUpdateExclusiveLock on
 * the table and passes accept_label, so a label always names a fit column; follow_column keeps that true under ALTER
 * TABLE.  Partitions have no settings of their own: those of the topmost partitioned table count.
 */
#include "stream/settings.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/seclabel.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "state/shared.h"
#include "stream/settings_label.h"

/* Found once and kept until some access method changes. */
static Oid cached_stream_am;
static Oid cached_view_am;

static void
forget_access_methods(Datum arg, int cacheid, uint32 hashvalue)
{
	cached_stream_am = InvalidOid;
	cached_view_am = InvalidOid;
}

static Oid
access_method_oid(Oid *cached, const char *name, bool missing_ok)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(AMOID, forget_access_methods, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(*cached))
		*cached = get_table_am_oid(name, missing_ok);
	return *cached;
}

Oid
sf_stream_am_oid(bool missing_ok)
{
	return access_method_oid(&cached_stream_am, SF_STREAM_AM, missing_ok);
}

Oid
sf_view_am_oid(bool missing_ok)
{
	return access_method_oid(&cached_view_am, SF_VIEW_AM, missing_ok);
}

/* relkind of a relation and whether its rows are in a table of our access method; '\0' when it is gone. */
static char
relation_kind(Oid relid, bool *uses_stream_am)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	char relkind;

	*uses_stream_am = false;
	if (!HeapTupleIsValid(tuple))
		return '\0';
	form = (Form_pg_class) GETSTRUCT(tuple);
	relkind = form->relkind;
	*uses_stream_am = relkind == RELKIND_RELATION && OidIsValid(form->relam) && form->relam == sf_stream_am_oid(true);
	ReleaseSysCache(tuple);
	return relkind;
}

bool
sf_is_stream(Oid relid)
{
	bool uses_stream_am;
	int nleaves = 0;
	List *relids;
	ListCell *cell;

	if (relation_kind(relid, &uses_stream_am) != RELKIND_PARTITIONED_TABLE)
		return uses_stream_am;
	relids = find_all_inheritors(relid, NoLock, NULL);
	foreach (cell, relids)
	{
		if (relation_kind(lfirst_oid(cell), &uses_stream_am) == RELKIND_PARTITIONED_TABLE)
			continue;
		if (!uses_stream_am)
			return false;
		nleaves++;
	}
	list_free(relids);
	return nleaves > 0;
}

void
sf_check_stream_owner(Oid relid)
{
	char *name = get_rel_name(relid);
	char relkind = get_rel_relkind(relid);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relkind), name);
	if (!sf_is_stream(relid))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a stream", name),
		                relkind == RELKIND_PARTITIONED_TABLE
		                    ? errdetail("A partitioned table is a stream when it has partitions and all of them use "
		                                "the access method \"%s\".",
		                                SF_STREAM_AM)
		                    : errdetail("A stream is a table that uses the access method \"%s\".", SF_STREAM_AM),
		                errhint("Use CREATE TABLE ... USING stream.")));
}

/* The relation whose label counts for this one: the topmost partitioned table above it, or itself. */
static Oid
labelled_relation(Oid relid)
{
	List *ancestors;
	Oid topmost;

	if (!get_rel_relispartition(relid))
		return relid;
	ancestors = get_partition_ancestors(relid);
	topmost = ancestors == NIL ? relid : llast_oid(ancestors);
	list_free(ancestors);
	return topmost;
}

bool
sf_stream_label_get(Oid relid, SfStreamSettings *settings)
{
	ObjectAddress object;
	char *label;

	memset(settings, 0, sizeof(SfStreamSettings));
	ObjectAddressSet(object, RelationRelationId, relid);
	label = GetSecurityLabel(&object, SF_LABEL_PROVIDER);
	if (label == NULL)
		return false;
	sf_label_parse(label, settings);
	pfree(label);
	return settings->has_watermark;
}

/* Fills in the column's number and type; raises an error when it cannot carry a watermark. */
static void
resolve_column(Oid relid, SfStreamSettings *settings)
{
	char *column = NameStr(settings->time_column);
	HeapTuple tuple = SearchSysCacheAttName(relid, column);
	Form_pg_attribute form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
		                errmsg("column \"%s\" of stream \"%s\" does not exist", column, get_rel_name(relid)),
		                errdetail("The watermark of a stream is on a column of its event time."),
		                errhint("Name such a column in streamfuse.set_watermark.")));
	form = (Form_pg_attribute) GETSTRUCT(tuple);
	sf_check_time_column(get_rel_name(relid), form);
	settings->time_attnum = form->attnum;
	settings->time_type = form->atttypid;
	ReleaseSysCache(tuple);
}

void
sf_stream_settings_get(Oid relid, SfStreamSettings *settings)
{
	if (sf_stream_label_get(labelled_relation(relid), settings))
		resolve_column(relid, settings);
}

/* Checks a label before it is stored, whoever writes it; NULL takes the settings away. */
static void
accept_label(const ObjectAddress *object, const char *label)
{
	SfStreamSettings settings;
	char relkind;

	if (object->classId != RelationRelationId || object->objectSubId != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("security labels of provider \"%s\" are for tables only", SF_LABEL_PROVIDER)));
	relkind = get_rel_relkind(object->objectId);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", get_rel_name(object->objectId))));
	if (label != NULL)
	{
		if (get_rel_relispartition(object->objectId))
			ereport(ERROR,
			        (errcode(ERRCODE_WRONG_OBJECT_TYPE),
			         errmsg("partition \"%s\" cannot have a watermark of its own", get_rel_name(object->objectId)),
			         errhint("Set the watermark of the partitioned table \"%s\".",
			                 get_rel_name(labelled_relation(object->objectId)))));
		memset(&settings, 0, sizeof(settings));
		sf_label_parse(label, &settings);
		resolve_column(object->objectId, &settings);
	}
	CacheInvalidateRelcacheByRelid(object->objectId);
	sf_catalog_changed_at_commit();
}

void
sf_stream_settings_init(void)
{
	register_label_provider(SF_LABEL_PROVIDER, accept_label);
}
