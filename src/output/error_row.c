/*
 * error_row.c
 *		The error table: written with each commit, and shown with the stream's rows.
 *
 * streamfuse.error_row says where a failed row is and why it failed.  The row itself stays where it was, in the stream,
 * and streamfuse.errors reads it there when it is asked, with the rights of who asks: nothing is stored twice, nothing
 * outlives the stream's row, and nobody sees a column that he may not read.
 */
#include "output/error_row.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "state/catalog.h"

PG_FUNCTION_INFO_V1(sf_stream_row);

void
sf_error_rows_write(int32 fragment, const SfProgress *progress)
{
	SfCatalog *catalog;

	if (progress->nfailed == 0)
		return;
	catalog = sf_catalog_open("error_row", RowExclusiveLock);
	for (int i = 0; i < progress->nfailed; i++)
	{
		const SfFailedRow *row = &progress->failed[i];
		Datum values[SF_ERROR_ROW_NATTS];
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		ItemPointerSet(&tid, row->block, row->offset);
		values[SF_ERROR_ROW_FRAGMENT] = Int32GetDatum(fragment);
		values[SF_ERROR_ROW_RELATION] = ObjectIdGetDatum(row->relid);
		values[SF_ERROR_ROW_TID] = PointerGetDatum(&tid);
		values[SF_ERROR_ROW_EVENT_TIME] = TimestampTzGetDatum(row->event_time);
		values[SF_ERROR_ROW_AT] = TimestampTzGetDatum(row->at);
		values[SF_ERROR_ROW_SQLSTATE] = CStringGetTextDatum(unpack_sql_state(row->sqlstate));
		values[SF_ERROR_ROW_MESSAGE] = CStringGetTextDatum(progress->messages.data + row->message);
		sf_catalog_insert(catalog, values, NULL);
		pfree(DatumGetPointer(values[SF_ERROR_ROW_SQLSTATE]));
		pfree(DatumGetPointer(values[SF_ERROR_ROW_MESSAGE]));
	}
	sf_catalog_close(catalog, NoLock);
}

/* The columns of the stream that the user may read, long values cut; false when there are none. */
static bool
append_columns(StringInfo query, Relation stream)
{
	Oid relid = RelationGetRelid(stream);
	bool all = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	const char *separator = "";

	for (int i = 0; i < RelationGetDescr(stream)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(stream), i);
		const char *name = quote_identifier(NameStr(att->attname));

		if (att->attisdropped ||
		    (!all && pg_attribute_aclcheck(relid, att->attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK))
			continue;
		appendStringInfoString(query, separator);
		if (att->attlen == -1)
			appendStringInfo(query,
			                 "CASE WHEN pg_catalog.pg_column_size(%s) > 8192"
			                 " THEN pg_catalog.to_jsonb(pg_catalog.left(%s::pg_catalog.text, 1000))"
			                 " ELSE pg_catalog.to_jsonb(%s) END AS %s",
			                 name, name, name, name);
		else
			appendStringInfoString(query, name);
		separator = ", ";
	}
	return *separator != '\0';
}

/* The row as an object, or NULL: it is not there any more, or may not be read. */
static Datum
read_row(Relation stream, Oid leaf, ItemPointer tid, bool *isnull)
{
	Oid types[] = {TIDOID, OIDOID};
	Datum values[] = {PointerGetDatum(tid), ObjectIdGetDatum(leaf)};
	MemoryContext caller = CurrentMemoryContext;
	Datum row = (Datum) 0;
	StringInfoData query;

	*isnull = true;
	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT pg_catalog.to_jsonb(r) FROM (SELECT ");
	if (!append_columns(&query, stream))
		return row;
	appendStringInfo(
	    &query, " FROM %s WHERE ctid OPERATOR(pg_catalog.=) $1 AND tableoid OPERATOR(pg_catalog.=) $2) AS r",
	    quote_qualified_identifier(get_namespace_name(RelationGetNamespace(stream)), RelationGetRelationName(stream)));
	SPI_connect();
	if (SPI_execute_with_args(query.data, 2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "a stream's row was not read by a query");
	if (SPI_processed > 0)
	{
		row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
		if (!*isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(caller);

			row = PointerGetDatum(PG_DETOAST_DATUM_COPY(row));
			MemoryContextSwitchTo(old);
		}
	}
	SPI_finish();
	return row;
}

/* stream_row(stream oid, leaf oid, tid tid) returns jsonb */
Datum
sf_stream_row(PG_FUNCTION_ARGS)
{
	Relation stream = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	bool isnull = true;
	Datum row = (Datum) 0;

	if (stream != NULL)
	{
		if (stream->rd_rel->relkind == RELKIND_RELATION || stream->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			row = read_row(stream, PG_GETARG_OID(1), (ItemPointer) PG_GETARG_POINTER(2), &isnull);
		relation_close(stream, AccessShareLock);
	}
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row);
}
