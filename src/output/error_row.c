/*
 * error_row.c
 *		The error table: written with each commit, and shown with the stream's rows.
 *
 * streamfuse.error_row says where a failed row is and why it failed.  The row itself stays where it was, in the stream,
 * and streamfuse.errors reads it there when it is asked, with the rights of who asks: nothing is stored twice, nothing
 * outlives the stream's row, and nobody sees a column that he may not read.
 */
#include "output/error_row.h"

#include "access/detoast.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/partition.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "state/catalog.h"

/* A longer value of a row is shown by its beginning. */
#define LONG_VALUE_BYTES 8192
#define CUT_VALUE_CHARS 1000

PG_FUNCTION_INFO_V1(sf_stream_row);

void
sf_error_rows_write(int32 fragment, const SfProgress *progress, bool timed)
{
	SfCatalog *catalog;

	if (progress->nfailed == 0)
		return;
	catalog = sf_catalog_open("error_row", RowExclusiveLock);
	for (int i = 0; i < progress->nfailed; i++)
	{
		const SfFailedRow *row = &progress->failed[i];
		Datum values[SF_ERROR_ROW_NATTS];
		bool nulls[SF_ERROR_ROW_NATTS] = {0};
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		ItemPointerSet(&tid, row->block, row->offset);
		values[SF_ERROR_ROW_FRAGMENT] = Int32GetDatum(fragment);
		values[SF_ERROR_ROW_RELATION] = ObjectIdGetDatum(row->relid);
		values[SF_ERROR_ROW_TID] = PointerGetDatum(&tid);
		values[SF_ERROR_ROW_EVENT_TIME] = TimestampTzGetDatum(row->event_time);
		nulls[SF_ERROR_ROW_EVENT_TIME] = !timed;
		values[SF_ERROR_ROW_AT] = TimestampTzGetDatum(row->at);
		values[SF_ERROR_ROW_SQLSTATE] = CStringGetTextDatum(unpack_sql_state(row->sqlstate));
		values[SF_ERROR_ROW_MESSAGE] = CStringGetTextDatum(progress->messages.data + row->message);
		values[SF_ERROR_ROW_BRANCH] = Int32GetDatum(row->branch + 1);
		sf_catalog_insert(catalog, values, nulls);
		pfree(DatumGetPointer(values[SF_ERROR_ROW_SQLSTATE]));
		pfree(DatumGetPointer(values[SF_ERROR_ROW_MESSAGE]));
	}
	sf_catalog_close(catalog, NoLock);
}

/* What a statement needs to show a row: its columns that the user may read, as parameters. */
typedef struct RowQuery
{
	StringInfoData text;
	int nparams;
	Oid *types;
	Datum *values;
	char *nulls;
} RowQuery;

/* The relation whose privileges count: the stream's for a leaf of one of the view's, a detached partition's own. */
static Oid
privileged_relation(ArrayType *streams, Oid leaf)
{
	List *ancestors = get_partition_ancestors(leaf);
	Datum *values;
	int n;

	deconstruct_array(streams, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		if (list_member_oid(ancestors, DatumGetObjectId(values[i])))
			return DatumGetObjectId(values[i]);
	return leaf;
}

static bool
may_read(Oid relid, const char *column)
{
	AttrNumber attnum = get_attnum(relid, column);

	return attnum != InvalidAttrNumber &&
	       (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
	        pg_attribute_aclcheck(relid, attnum, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
}

/* Long values are cut. */
static void
add_column(RowQuery *query, Form_pg_attribute att, Datum value, bool isnull)
{
	int i = query->nparams++;

	query->types[i] = att->atttypid;
	query->values[i] = value;
	query->nulls[i] = isnull ? 'n' : ' ';
	appendStringInfo(&query->text, i > 0 ? ", " : "");
	if (att->attlen == -1 && !isnull && toast_raw_datum_size(value) > LONG_VALUE_BYTES)
		appendStringInfo(&query->text, "pg_catalog.left($%d::pg_catalog.text, %d)", i + 1, CUT_VALUE_CHARS);
	else
		appendStringInfo(&query->text, "$%d", i + 1);
	appendStringInfo(&query->text, " AS %s", quote_identifier(NameStr(att->attname)));
}

static void
make_query(RowQuery *query, Oid privileged, TupleTableSlot *slot)
{
	TupleDesc desc = slot->tts_tupleDescriptor;

	query->nparams = 0;
	query->types = palloc(desc->natts * sizeof(Oid));
	query->values = palloc(desc->natts * sizeof(Datum));
	query->nulls = palloc(desc->natts);
	initStringInfo(&query->text);
	appendStringInfoString(&query->text, "SELECT pg_catalog.to_jsonb(r) FROM (SELECT ");
	slot_getallattrs(slot);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && may_read(privileged, NameStr(att->attname)))
			add_column(query, att, slot->tts_values[i], slot->tts_isnull[i]);
	}
	appendStringInfoString(&query->text, ") AS r");
}

static Datum
run_query(RowQuery *query)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	Datum row;
	bool isnull;

	SPI_connect();
	if (SPI_execute_with_args(query->text.data, query->nparams, query->types, query->values, query->nulls, true, 1) !=
	        SPI_OK_SELECT ||
	    SPI_processed != 1)
		elog(ERROR, "a stream's row was not shown by a query");
	row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	old = MemoryContextSwitchTo(caller);
	row = PointerGetDatum(PG_DETOAST_DATUM_COPY(row));
	MemoryContextSwitchTo(old);
	SPI_finish();
	return row;
}

/* Whatever row-level security hides is not shown, nor what is in a schema that the user may not look into. */
static bool
may_look_into(Oid relid)
{
	return sf_schema_aclcheck(get_rel_namespace(relid), GetUserId()) == ACLCHECK_OK &&
	       check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

/* False: the row is not there any more, or none of it may be read. */
static bool
read_row(Relation leaf, Oid privileged, ItemPointer tid, Datum *row)
{
	TupleTableSlot *slot;
	RowQuery query;
	bool found;

	if (ItemPointerGetBlockNumberNoCheck(tid) >= RelationGetNumberOfBlocks(leaf))
		return false;
	slot = table_slot_create(leaf, NULL);
	found = table_tuple_fetch_row_version(leaf, tid, GetActiveSnapshot(), slot);
	if (found)
	{
		make_query(&query, privileged, slot);
		found = query.nparams > 0;
		if (found)
			*row = run_query(&query);
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* stream_row(streams oid[], leaf oid, tid tid) returns jsonb */
Datum
sf_stream_row(PG_FUNCTION_ARGS)
{
	Oid privileged = privileged_relation(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_OID(1));
	Relation leaf = try_relation_open(PG_GETARG_OID(1), AccessShareLock);
	Datum row = (Datum) 0;
	bool found = false;

	if (leaf == NULL)
		PG_RETURN_NULL();
	if (leaf->rd_rel->relkind == RELKIND_RELATION && may_look_into(privileged))
		found = read_row(leaf, privileged, (ItemPointer) PG_GETARG_POINTER(2), &row);
	relation_close(leaf, AccessShareLock);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row);
}
