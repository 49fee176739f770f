/*
 * stat_streams.c
 *		How far the views of each stream are: streamfuse.stat_streams.
 *
 * A stream is as far as the slowest view that reads it: pages that all its views have read, the lowest watermark, the
 * longest lag.
 */
#include "streamfuse.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "plan/view.h"
#include "stat/figures.h"

PG_FUNCTION_INFO_V1(sf_stat_stream);

enum
{
	STREAM_VIEWS,
	STREAM_LEAVES,
	STREAM_BYTES,
	STREAM_ESTIMATED_ROWS,
	STREAM_WATERMARK,
	STREAM_MAX_EVENT,
	STREAM_BYTES_READ,
	STREAM_OPEN_BYTES,
	STREAM_LAG,
	STREAM_LAG_BYTES,
	STREAM_LAG_ROWS,
	STREAM_LOCKED,
	STREAM_AWAITED,
	STREAM_OLDEST_AWAITED,
	STREAM_NATTS
};

/* What the views of a stream come to. */
typedef struct Summary
{
	int views;
	SfPages pages; /* as the slowest has read them */
	SfTime watermark;
	SfTime max_event;
	int64 lag_us;
	double waiting; /* rows; negative: not known */
	int awaited;
	uint64 oldest_awaited;
} Summary;

static void
add_view(Summary *summary, SfDataflow *dataflow, const SfFragmentRow *row, int input)
{
	const SfSourceState *source;
	SfFigures figures;
	SfPages pages;
	double waiting;

	sf_figures_get(dataflow, row->view, &figures);
	source = sf_figures_source(&figures, input);
	sf_pages_get(row->streams[input], source, &pages);
	/* How many rows a page holds is not known of one stream among several. */
	if (row->nstreams > 1)
		figures.rows_read = 0;
	waiting = sf_rows_waiting(&pages, &figures);
	if (summary->views++ == 0 || pages.read < summary->pages.read)
	{
		summary->pages = pages;
		summary->waiting = waiting;
	}
	if (!figures.found)
		return;
	summary->watermark = Min(summary->watermark, source != NULL ? source->watermark : figures.watermark);
	if (source != NULL)
		summary->max_event = Max(summary->max_event, source->max_event);
	summary->lag_us = Max(summary->lag_us, sf_figures_lag_us(dataflow, &figures, GetCurrentTimestamp()));
	if (figures.standing.awaited > 0)
	{
		summary->oldest_awaited = summary->awaited == 0 ? figures.standing.oldest_awaited
		                                                : Min(summary->oldest_awaited, figures.standing.oldest_awaited);
		summary->awaited = Max(summary->awaited, figures.standing.awaited);
	}
}

static void
fill_views(const Summary *summary, Datum *values, bool *nulls)
{
	Interval *lag = palloc0(sizeof(Interval));

	lag->time = summary->lag_us;
	values[STREAM_WATERMARK] = TimestampTzGetDatum(summary->watermark);
	nulls[STREAM_WATERMARK] = summary->watermark == SF_TIME_INFINITY;
	values[STREAM_MAX_EVENT] = TimestampTzGetDatum(summary->max_event);
	nulls[STREAM_MAX_EVENT] = summary->max_event == SF_TIME_MINUS_INFINITY;
	values[STREAM_BYTES_READ] = Int64GetDatum(summary->pages.read * BLCKSZ);
	values[STREAM_LAG] = IntervalPGetDatum(lag);
	values[STREAM_LAG_BYTES] = Int64GetDatum((summary->pages.total - summary->pages.read) * BLCKSZ);
	values[STREAM_LAG_ROWS] = Int64GetDatum((int64) summary->waiting);
	nulls[STREAM_LAG_ROWS] = summary->waiting < 0;
	values[STREAM_AWAITED] = Int32GetDatum(summary->awaited);
	values[STREAM_OLDEST_AWAITED] = UInt64GetDatum(summary->oldest_awaited);
	nulls[STREAM_OLDEST_AWAITED] = summary->awaited == 0;
}

/* stat_stream(stream) returns record */
Datum
sf_stat_stream(PG_FUNCTION_ARGS)
{
	Oid stream = PG_GETARG_OID(0);
	Summary summary = {.watermark = SF_TIME_INFINITY, .max_event = SF_TIME_MINUS_INFINITY};
	SfDataflow *dataflow;
	TupleDesc desc;
	Datum values[STREAM_NATTS] = {0};
	bool nulls[STREAM_NATTS] = {0};
	ListCell *cell;

	sf_require_preload();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	dataflow = sf_dataflow_get(MyDatabaseId, false);
	foreach (cell, sf_fragment_rows(NULL))
	{
		int input = sf_fragment_input(lfirst(cell), stream);

		if (input >= 0)
			add_view(&summary, dataflow, lfirst(cell), input);
	}
	if (summary.views == 0)
	{
		sf_pages_get(stream, NULL, &summary.pages);
		memset(nulls + STREAM_WATERMARK, true, STREAM_NATTS - STREAM_WATERMARK);
		nulls[STREAM_LOCKED] = false;
	}
	else
		fill_views(&summary, values, nulls);
	values[STREAM_VIEWS] = Int32GetDatum(summary.views);
	values[STREAM_LEAVES] = Int32GetDatum(summary.pages.leaves);
	values[STREAM_BYTES] = Int64GetDatum(summary.pages.total * BLCKSZ);
	values[STREAM_ESTIMATED_ROWS] = Int64GetDatum((int64) summary.pages.rows);
	nulls[STREAM_ESTIMATED_ROWS] = summary.pages.rows < 0;
	values[STREAM_OPEN_BYTES] = Int64GetDatum(summary.pages.open * BLCKSZ);
	values[STREAM_LOCKED] = BoolGetDatum(summary.pages.locked);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
