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
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "plan/fragment.h"
#include "plan/view.h"
#include "state/catalog.h"
#include "state/shared.h"
#include "stream/settings_label.h"
#include "stream/stream.h"
#include "time/watermark.h"

PG_FUNCTION_INFO_V1(sf_set_watermark);
PG_FUNCTION_INFO_V1(sf_stream_settings);

static object_access_hook_type previous_object_access_hook;

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
	return nleaves > 0 || sf_stream_has_views(relid);
}

void
sf_check_stream_owner(Oid relid)
{
	char *name = get_rel_name(relid);
	char relkind = get_rel_relkind(relid);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
	if (!sf_owns_relation(relid, GetUserId()))
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

static void
refuse_partition(Oid relid)
{
	ereport(ERROR,
	        (errcode(ERRCODE_WRONG_OBJECT_TYPE),
	         errmsg("partition \"%s\" cannot have a watermark of its own", get_rel_name(relid)),
	         errhint("Set the watermark of the partitioned table \"%s\".", get_rel_name(labelled_relation(relid)))));
}

/*
 * Windows close by the watermark, so all windows over a stream are over its watermark column.  Creating a view and
 * setting a watermark look at each other's work: this lock, on the stream as an object, keeps them apart until commit.
 */
static void
lock_choice_of_column(Oid relid, LOCKMODE lockmode)
{
	LockDatabaseObject(RelationRelationId, relid, 0, lockmode);
}

void
sf_stream_check_window_column(Oid relid, AttrNumber attnum)
{
	SfStreamSettings settings;

	lock_choice_of_column(labelled_relation(relid), ShareLock);
	sf_stream_settings_get(relid, &settings);
	if (settings.has_watermark && settings.time_attnum != attnum)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("windows over column \"%s\" of stream \"%s\" are not supported",
		                       get_attname(relid, attnum, false), get_rel_name(relid)),
		                errdetail("The watermark of the stream, which closes windows, is on column \"%s\".",
		                          NameStr(settings.time_column)),
		                errhint("Use that column as the window's time argument.")));
}

static void
check_branch(const SfFragmentRow *row, const SfDefinition *definition, const SfBranch *branch, Oid relid,
             const SfStreamSettings *settings)
{
	const char *column;

	if (labelled_relation(branch->stream) != relid)
		return;
	column = get_attname(branch->stream, branch->time_attnum, false);
	if (strcmp(column, NameStr(settings->time_column)) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		         errmsg("cannot set the watermark of stream \"%s\" on column \"%s\"", get_rel_name(relid),
		                NameStr(settings->time_column)),
		         definition->has_window ? errdetail("Windows of continuous view \"%s\" are over column \"%s\".",
		                                            get_rel_name(row->view), column)
		                                : errdetail("Continuous view \"%s\" begins with a time of column \"%s\".",
		                                            get_rel_name(row->view), column),
		         errhint("Drop the continuous view first.")));
}

static bool
reads_labelled(const SfFragmentRow *row, Oid relid)
{
	for (int i = 0; i < row->nstreams; i++)
		if (labelled_relation(row->streams[i]) == relid)
			return true;
	return false;
}

static void
check_windows_of_views(Oid relid, const SfStreamSettings *settings)
{
	ListCell *cell;

	lock_choice_of_column(relid, ExclusiveLock);
	foreach (cell, sf_fragment_rows(NULL))
	{
		SfFragmentRow *row = lfirst(cell);
		SfDefinition *definition;

		if (!reads_labelled(row, relid))
			continue;
		definition = sf_define_view(CurrentMemoryContext, row->view);
		/* The time of a view without a window matters only where it says what the view begins with. */
		if (sf_is_windowless(definition) || (!definition->has_window && row->begins_at == SF_TIME_MINUS_INFINITY))
			continue;
		for (int i = 0; i < definition->nbranches; i++)
			check_branch(row, definition, &definition->branches[i], relid, settings);
	}
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
			refuse_partition(object->objectId);
		sf_label_parse(label, &settings);
		resolve_column(object->objectId, &settings);
		if (OidIsValid(sf_catalog_schema(true)))
			check_windows_of_views(object->objectId, &settings);
	}
	CacheInvalidateRelcacheByRelid(object->objectId);
	sf_catalog_changed_at_commit();
}

static void
store_settings(Oid relid, const SfStreamSettings *settings)
{
	char *label = sf_label_format(settings);
	ObjectAddress object;

	ObjectAddressSet(object, RelationRelationId, relid);
	accept_label(&object, label);
	SetSecurityLabel(&object, SF_LABEL_PROVIDER, label);
	pfree(label);
	/* The same statement may set it once more. */
	CommandCounterIncrement();
}

/* A column's row as the current command has left it; NULL when it is gone. */
static HeapTuple
altered_column(Oid relid, AttrNumber attnum)
{
	Relation pg_attribute = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_attribute_attnum, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(attnum));
	scan = systable_beginscan(pg_attribute, AttributeRelidNumIndexId, true, SnapshotSelf, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(pg_attribute, AccessShareLock);
	return tuple;
}

/* Does the label of this very relation name this column, as it was before the current command? */
static bool
carries_watermark(Oid relid, AttrNumber attnum, SfStreamSettings *settings)
{
	char *column = get_attname(relid, attnum, true);

	return column != NULL && !get_rel_relispartition(relid) && sf_stream_label_get(relid, settings) &&
	       strcmp(column, NameStr(settings->time_column)) == 0;
}

/* After ALTER TABLE of a column: the label follows a new name, and what unfits the column for a watermark is refused. */
static void
follow_column(Oid relid, AttrNumber attnum)
{
	SfStreamSettings settings;
	HeapTuple tuple;
	Form_pg_attribute after;

	if (!carries_watermark(relid, attnum, &settings))
		return;
	tuple = altered_column(relid, attnum);
	if (!HeapTupleIsValid(tuple))
		return;
	after = (Form_pg_attribute) GETSTRUCT(tuple);
	sf_check_time_column(get_rel_name(relid), after);
	if (strcmp(NameStr(after->attname), NameStr(settings.time_column)) != 0)
	{
		ObjectAddress object;

		settings.time_column = after->attname;
		ObjectAddressSet(object, RelationRelationId, relid);
		SetSecurityLabel(&object, SF_LABEL_PROVIDER, sf_label_format(&settings));
	}
	heap_freetuple(tuple);
	sf_catalog_changed_at_commit();
}

static void
refuse_drop_of_column(Oid relid, AttrNumber attnum)
{
	SfStreamSettings settings;

	if (carries_watermark(relid, attnum, &settings))
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		                errmsg("cannot drop column \"%s\" of stream \"%s\" because it carries the watermark",
		                       NameStr(settings.time_column), get_rel_name(relid)),
		                errhint("Set the watermark on another column first, or remove it with SECURITY LABEL FOR %s ON "
		                        "TABLE ... IS NULL.",
		                        SF_LABEL_PROVIDER)));
}

static void
settings_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	bool uses_stream_am;

	if (previous_object_access_hook)
		previous_object_access_hook(access, class_id, object_id, sub_id, arg);

	if (class_id != RelationRelationId)
		return;
	if (access == OAT_POST_ALTER && sub_id > 0)
		follow_column(object_id, sub_id);
	else if (access == OAT_DROP && sub_id > 0)
		refuse_drop_of_column(object_id, sub_id);
	else if (access == OAT_DROP && sub_id == 0 &&
	         (relation_kind(object_id, &uses_stream_am) == RELKIND_PARTITIONED_TABLE || uses_stream_am))
		sf_punctuation_forget(object_id);
}

/* The arguments of set_watermark, in order. */
enum
{
	ARG_STREAM,
	ARG_COLUMN,
	ARG_DELAY,
	ARG_STRATEGY,
	ARG_MAX_AHEAD,
	ARG_IDLE_TIMEOUT,
	ARG_SOURCE_KEY,
	ARG_PERCENTILE,
	ARG_MAX_DELAY
};

static void
check_set_watermark_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"stream",       "column_name", "delay",      "strategy", "max_ahead",
	                                    "idle_timeout", "source_key",  "percentile", "max_delay"};

	for (int i = ARG_STREAM; i <= ARG_MAX_AHEAD; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
			        (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be null", names[i])));
	sf_check_strategy(text_to_cstring(PG_GETARG_TEXT_PP(ARG_STRATEGY)));
	for (int i = ARG_IDLE_TIMEOUT; i <= ARG_MAX_DELAY; i++)
		if (!PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("argument \"%s\" is not supported in this version", names[i]),
			                errhint("Use a fixed delay, and streamfuse.advance_watermark to go on after silence.")));
}

void
sf_lock_stream_owned(Oid relid, LOCKMODE lockmode)
{
	/* Once before the lock, so that only owners can hold up others; once more since it may have changed meanwhile. */
	sf_check_stream_owner(relid);
	LockRelationOid(relid, lockmode);
	sf_check_stream_owner(relid);
	if (get_rel_relispartition(relid))
		refuse_partition(relid);
}

/* set_watermark(stream regclass, column_name name, delay interval, strategy text, max_ahead text, ...) */
Datum
sf_set_watermark(PG_FUNCTION_ARGS)
{
	SfStreamSettings settings = {.has_watermark = true};

	sf_require_preload();
	PreventCommandIfReadOnly("streamfuse.set_watermark()");
	check_set_watermark_arguments(fcinfo);
	namestrcpy(&settings.time_column, NameStr(*PG_GETARG_NAME(ARG_COLUMN)));
	settings.delay = *PG_GETARG_INTERVAL_P(ARG_DELAY);
	sf_check_span("delay", &settings.delay);
	sf_parse_max_ahead(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MAX_AHEAD)), &settings);

	sf_lock_stream_owned(PG_GETARG_OID(ARG_STREAM), ShareUpdateExclusiveLock);
	store_settings(PG_GETARG_OID(ARG_STREAM), &settings);
	PG_RETURN_VOID();
}

/*
 * stream_settings(relation regclass): one row, all null when the relation is not a stream or is a partition.  Columns
 * are not looked at, so that a view over all streams never fails.
 */
Datum
sf_stream_settings(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	SfStreamSettings settings;
	TupleDesc desc;
	Datum values[5] = {0};
	bool nulls[5] = {true, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	if (sf_is_stream(relid) && !get_rel_relispartition(relid))
	{
		values[0] = ObjectIdGetDatum(relid);
		nulls[0] = false;
		if (sf_stream_label_get(relid, &settings))
		{
			values[1] = NameGetDatum(&settings.time_column);
			values[2] = CStringGetTextDatum("fixed");
			values[3] = IntervalPGetDatum(&settings.delay);
			values[4] = CStringGetTextDatum(sf_format_max_ahead(&settings));
			memset(&nulls[1], false, 4 * sizeof(bool));
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

void
sf_stream_settings_init(void)
{
	register_label_provider(SF_LABEL_PROVIDER, accept_label);
	previous_object_access_hook = object_access_hook;
	object_access_hook = settings_object_access;
}
