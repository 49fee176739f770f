/*
 * stat.c
 *		What the statistics views show: how far each continuous view is, read from shared memory.
 *
 * Each figure is read on its own; the watermark and the error under the fragment's lock.  A view without a fragment in
 * memory (its worker has yet to start) is shown with its status alone.
 */
#include "streamfuse.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "plan/view.h"
#include "state/shared.h"

#define STAT_VIEWS_COLUMNS 13

PG_FUNCTION_INFO_V1(sf_stat_views);
PG_FUNCTION_INFO_V1(sf_stat_worker);

static const char *
status_name(SfDataflow *dataflow, SfFragment *fragment)
{
	if (dataflow == NULL || fragment == NULL)
		return "starting";
	switch ((SfFragmentStatus) pg_atomic_read_u32(&fragment->status))
	{
		case SF_FRAGMENT_STARTING:
			return "starting";
		case SF_FRAGMENT_BACKFILLING:
			return "backfilling";
		case SF_FRAGMENT_FAILED:
			return "failed";
		case SF_FRAGMENT_RUNNING:
			break;
	}
	return pg_atomic_read_u32(&dataflow->ready) != 0 ? "running" : "recovering";
}

static void
fill_from_fragment(SfFragment *fragment, Datum *values, bool *nulls)
{
	LWLockAcquire(&fragment->lock, LW_SHARED);
	values[2] = TimestampTzGetDatum(fragment->watermark);
	values[3] = TimestampTzGetDatum(fragment->closed_until);
	nulls[11] = nulls[12] = fragment->error_message[0] == '\0';
	if (!nulls[11])
	{
		values[11] = CStringGetTextDatum(fragment->error_sqlstate);
		values[12] = CStringGetTextDatum(fragment->error_message);
	}
	LWLockRelease(&fragment->lock);
	values[4] = Int64GetDatum(pg_atomic_read_u64(&fragment->rows_in));
	values[5] = Int64GetDatum(pg_atomic_read_u64(&fragment->rows_late));
	values[6] = Int64GetDatum(pg_atomic_read_u64(&fragment->rows_missed));
	values[7] = Int64GetDatum(pg_atomic_read_u64(&fragment->rows_ahead));
	values[8] = Int64GetDatum(pg_atomic_read_u64(&fragment->groups));
	values[9] = Int64GetDatum(pg_atomic_read_u64(&fragment->bytes));
	values[10] = Int64GetDatum(pg_atomic_read_u64(&fragment->undo_bytes));
}

/* stat_views() returns setof record, one row for each continuous view that is active */
Datum
sf_stat_views(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SfDataflow *dataflow;
	ListCell *cell;

	sf_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	dataflow = sf_dataflow_get(MyDatabaseId, false);
	foreach (cell, sf_fragment_rows(NULL))
	{
		SfFragmentRow *row = lfirst(cell);
		SfFragment *fragment = sf_fragment_find(dataflow, row->view);
		Datum values[STAT_VIEWS_COLUMNS];
		bool nulls[STAT_VIEWS_COLUMNS];

		memset(nulls, fragment == NULL, sizeof(nulls));
		values[0] = ObjectIdGetDatum(row->view);
		values[1] = CStringGetTextDatum(status_name(dataflow, fragment));
		nulls[0] = nulls[1] = false;
		if (fragment != NULL)
			fill_from_fragment(fragment, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* stat_worker() returns record: the worker of this database */
Datum
sf_stat_worker(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	SfDataflow *dataflow;
	Datum values[4];
	bool nulls[4] = {0};

	sf_require_preload();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	dataflow = sf_dataflow_get(MyDatabaseId, false);
	if (dataflow == NULL || dataflow->worker_pid == 0)
		PG_RETURN_NULL();
	values[0] = Int32GetDatum(dataflow->worker_pid);
	values[1] = BoolGetDatum(pg_atomic_read_u32(&dataflow->ready) != 0);
	values[2] = Int64GetDatum(pg_atomic_read_u64(&dataflow->ticks));
	values[3] = Int64GetDatum(pg_atomic_read_u64(&dataflow->commits));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
