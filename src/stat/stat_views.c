/*
 * stat_views.c
 *		How far each continuous view is: streamfuse.stat_views and streamfuse.stat_progress_backfill.
 *
 * Figures are those of the last published tick, copied from shared memory; what the last commit has made durable the SQL
 * views add from streamfuse.progress.  A view whose worker has yet to start is shown with its status alone.
 */
#include "streamfuse.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "plan/view.h"
#include "stat/figures.h"
#include "stream/settings.h"
#include "time/watermark.h"
#include "worker/flush.h"

PG_FUNCTION_INFO_V1(sf_stat_views);
PG_FUNCTION_INFO_V1(sf_stat_backfill);

enum
{
	VIEW_VIEW,
	VIEW_STATUS,
	VIEW_STREAM,
	VIEW_WATERMARK,
	VIEW_CLOSED_UNTIL,
	VIEW_WAITS_FOR,
	VIEW_NEXT_CLOSE,
	VIEW_NEXT_CLOSE_NEEDS,
	VIEW_LAG,
	VIEW_LAG_BYTES,
	VIEW_LAG_ROWS,
	VIEW_ROWS_READ,
	VIEW_ROWS_IN,
	VIEW_ROWS_LATE,
	VIEW_ROWS_MISSED,
	VIEW_ROWS_AHEAD,
	VIEW_ROWS_FAILED,
	VIEW_OPEN_WINDOWS,
	VIEW_GROUPS,
	VIEW_BYTES,
	VIEW_READER_BYTES,
	VIEW_LAST_ROWS,
	VIEW_LAST_CHECKPOINT,
	VIEW_SQLSTATE,
	VIEW_ERROR,
	VIEW_FAILED_AT,
	VIEW_ATTEMPTS,
	VIEW_NEXT_ATTEMPT,
	VIEW_NATTS
};

enum
{
	BACKFILL_VIEW,
	BACKFILL_STREAM,
	BACKFILL_PHASE,
	BACKFILL_ROWS_DONE,
	BACKFILL_BYTES_TOTAL,
	BACKFILL_BYTES_DONE,
	BACKFILL_PERCENT,
	BACKFILL_ROWS_PER_SECOND,
	BACKFILL_SINCE,
	BACKFILL_TIME_LEFT,
	BACKFILL_NATTS
};

static Datum
interval_datum(int64 microseconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

static void
set_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	values[column] = TimestampTzGetDatum(time);
	nulls[column] = time == 0;
}

/* Why does the window that is to close next not do so?  NULL: none is open. */
static const char *
waits_for(SfDataflow *dataflow, const SfFigures *figures, const SfStreamSettings *settings)
{
	if (figures->open_windows == 0 && figures->standing.behind_since == 0)
		return NULL;
	return sf_held_by(dataflow, figures, settings);
}

static void
fill_progress(SfDataflow *dataflow, SfFragmentRow *row, const SfFigures *figures, Datum *values, bool *nulls)
{
	SfStreamSettings settings;
	const char *waiting;
	SfPages pages;
	double rows;

	sf_stream_settings_get(row->streams[sf_figures_holder(row, figures)], &settings);
	waiting = waits_for(dataflow, figures, &settings);
	nulls[VIEW_WAITS_FOR] = waiting == NULL;
	if (waiting != NULL)
		values[VIEW_WAITS_FOR] = CStringGetTextDatum(waiting);
	nulls[VIEW_NEXT_CLOSE] = figures->open_windows == 0;
	values[VIEW_NEXT_CLOSE] = TimestampTzGetDatum(figures->next_end);
	nulls[VIEW_NEXT_CLOSE_NEEDS] = figures->open_windows == 0 || !settings.has_watermark;
	if (!nulls[VIEW_NEXT_CLOSE_NEEDS])
		values[VIEW_NEXT_CLOSE_NEEDS] = TimestampTzGetDatum(sf_watermark_origin(&settings, figures->next_end));

	values[VIEW_LAG] = interval_datum(sf_figures_lag_us(dataflow, figures, GetCurrentTimestamp()));
	sf_view_pages_get(row, figures, &pages);
	rows = sf_rows_waiting(&pages, figures);
	nulls[VIEW_LAG_BYTES] = pages.locked;
	values[VIEW_LAG_BYTES] = Int64GetDatum((pages.total - pages.read) * BLCKSZ);
	nulls[VIEW_LAG_ROWS] = pages.locked || rows < 0;
	values[VIEW_LAG_ROWS] = Int64GetDatum((int64) rows);
}

static void
fill_error(Oid view, const SfFigures *figures, Datum *values, bool *nulls)
{
	set_time(values, nulls, VIEW_FAILED_AT, figures->standing.failed_at);
	set_time(values, nulls, VIEW_NEXT_ATTEMPT, figures->retry_at);
	values[VIEW_ATTEMPTS] = Int32GetDatum(figures->attempts);
	nulls[VIEW_SQLSTATE] = nulls[VIEW_ERROR] = figures->error_message[0] == '\0';
	if (nulls[VIEW_ERROR])
		return;
	values[VIEW_SQLSTATE] = CStringGetTextDatum(figures->error_sqlstate);
	values[VIEW_ERROR] = CStringGetTextDatum(sf_may_see_error(view) ? figures->error_message
	                                                                : "<insufficient privilege>");
}

static void
fill_view(SfDataflow *dataflow, SfFragmentRow *row, const SfFigures *figures, Datum *values, bool *nulls)
{
	values[VIEW_WATERMARK] = TimestampTzGetDatum(figures->watermark);
	values[VIEW_CLOSED_UNTIL] = TimestampTzGetDatum(figures->closed_until);
	values[VIEW_ROWS_READ] = Int64GetDatum(figures->rows_read);
	values[VIEW_ROWS_IN] = Int64GetDatum(figures->rows_in);
	values[VIEW_ROWS_LATE] = Int64GetDatum(figures->rows_late);
	values[VIEW_ROWS_MISSED] = Int64GetDatum(figures->rows_missed);
	values[VIEW_ROWS_AHEAD] = Int64GetDatum(figures->rows_ahead);
	values[VIEW_ROWS_FAILED] = Int64GetDatum(figures->rows_failed);
	values[VIEW_OPEN_WINDOWS] = Int64GetDatum(figures->open_windows);
	values[VIEW_GROUPS] = Int64GetDatum(figures->groups);
	values[VIEW_BYTES] = Int64GetDatum(figures->bytes);
	values[VIEW_READER_BYTES] = Int64GetDatum(figures->undo_bytes);
	set_time(values, nulls, VIEW_LAST_ROWS, figures->standing.last_rows);
	set_time(values, nulls, VIEW_LAST_CHECKPOINT, figures->standing.last_commit);
	fill_progress(dataflow, row, figures, values, nulls);
	fill_error(row->view, figures, values, nulls);
}

/* stat_views_rows() returns setof record: one for each continuous view that is active */
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
		SfFigures figures;
		Datum values[VIEW_NATTS] = {0};
		bool nulls[VIEW_NATTS];

		CHECK_FOR_INTERRUPTS();
		sf_figures_get(dataflow, row->view, &figures);
		memset(nulls, !figures.found, sizeof(nulls));
		values[VIEW_VIEW] = ObjectIdGetDatum(row->view);
		values[VIEW_STATUS] = CStringGetTextDatum(sf_status_name(dataflow, &figures, row));
		values[VIEW_STREAM] = ObjectIdGetDatum(row->streams[sf_figures_holder(row, &figures)]);
		nulls[VIEW_VIEW] = nulls[VIEW_STATUS] = nulls[VIEW_STREAM] = false;
		if (figures.found)
			fill_view(dataflow, row, &figures, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The stream of which most has yet to be read. */
static int
furthest_behind(const SfFragmentRow *row, const SfFigures *figures)
{
	int furthest = 0;
	int64 most = -1;

	for (int i = 0; i < row->nstreams && row->nstreams > 1; i++)
	{
		SfPages pages;

		sf_pages_get(row->streams[i], sf_figures_source(figures, i), &pages);
		if (pages.total - pages.read > most)
		{
			most = pages.total - pages.read;
			furthest = i;
		}
	}
	return furthest;
}

/* Pace and time left, from what was done since the catch-up began. */
static void
fill_pace(const SfFigures *figures, const SfPages *pages, Datum *values, bool *nulls)
{
	const SfStanding *standing = &figures->standing;
	int64 elapsed_us = standing->catch_up_since != 0 ? GetCurrentTimestamp() - standing->catch_up_since : 0;
	int64 pages_done = pages->read - (int64) standing->catch_up_pages;
	bool known = elapsed_us > 0 && pages_done > 0 && !pages->locked;

	set_time(values, nulls, BACKFILL_SINCE, standing->catch_up_since);
	nulls[BACKFILL_ROWS_PER_SECOND] = nulls[BACKFILL_TIME_LEFT] = !known;
	if (!known)
		return;
	values[BACKFILL_ROWS_PER_SECOND] = Int64GetDatum(
	    (int64) ((figures->rows_read - standing->catch_up_rows) * 1e6 / elapsed_us));
	values[BACKFILL_TIME_LEFT] = interval_datum(
	    (int64) ((double) elapsed_us / pages_done * (pages->total - pages->read)));
}

/* stat_backfill_rows() returns setof record: one for each view that works in history, or what came in a downtime */
Datum
sf_stat_backfill(PG_FUNCTION_ARGS)
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
		SfFigures figures;
		SfPages pages;
		Datum values[BACKFILL_NATTS] = {0};
		bool nulls[BACKFILL_NATTS] = {0};

		CHECK_FOR_INTERRUPTS();
		sf_figures_get(dataflow, row->view, &figures);
		if (figures.found && (figures.status == SF_FRAGMENT_FAILED || figures.status == SF_FRAGMENT_PAUSED ||
		                      (figures.status == SF_FRAGMENT_RUNNING && figures.standing.catch_up_since == 0)))
			continue;
		sf_view_pages_get(row, &figures, &pages);
		values[BACKFILL_VIEW] = ObjectIdGetDatum(row->view);
		values[BACKFILL_STREAM] = ObjectIdGetDatum(row->streams[furthest_behind(row, &figures)]);
		values[BACKFILL_PHASE] = CStringGetTextDatum(
		    figures.standing.blocked ? "waiting for a lock on the stream" : sf_status_name(dataflow, &figures, row));
		values[BACKFILL_ROWS_DONE] = Int64GetDatum(figures.rows_read);
		values[BACKFILL_BYTES_TOTAL] = Int64GetDatum(pages.total * BLCKSZ);
		values[BACKFILL_BYTES_DONE] = Int64GetDatum(pages.read * BLCKSZ);
		values[BACKFILL_PERCENT] = Float8GetDatum(pages.total > 0 ? 100.0 * pages.read / pages.total : 100.0);
		fill_pace(&figures, &pages, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
