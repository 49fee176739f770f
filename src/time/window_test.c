/*
 * window_test.c
 *		Tests of window arithmetic from SQL: panes, windows in order of their ends, windows of date_trunc and date_bin,
 *		windows of windows.
 *
 * Functions that test/sql/window_panes.sql declares, for times with time zone.
 */
#include "postgres.h"

#include "time/window.h"

#ifdef STREAMFUSE_TEST

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(sf_test_window_pane);
PG_FUNCTION_INFO_V1(sf_test_windows_ending);
PG_FUNCTION_INFO_V1(sf_test_window_trunc);
PG_FUNCTION_INFO_V1(sf_test_window_bin);
PG_FUNCTION_INFO_V1(sf_test_window_compose);

/* Arguments 0 to 4: kind, size, step, offset, timezone. */
static void
take_spec(FunctionCallInfo fcinfo, SfWindowSpec *spec)
{
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SfWindowArguments arguments = {
	    .kind = strcmp(kind, "hop") == 0        ? SF_WINDOW_HOP
	            : strcmp(kind, "cumulate") == 0 ? SF_WINDOW_CUMULATE
	                                            : SF_WINDOW_TUMBLE,
	    .size = PG_GETARG_INTERVAL_P(1),
	    .step = PG_GETARG_INTERVAL_P(2),
	    .offset = PG_GETARG_INTERVAL_P(3),
	    .timezone = text_to_cstring(PG_GETARG_TEXT_PP(4)),
	    .zoned = true,
	    .gaps = true,
	};

	sf_window_spec_init(spec, &arguments);
}

/* (pane_start, pane_end, last_start, last_end); the last two are null where no window holds the time. */
Datum
sf_test_window_pane(PG_FUNCTION_ARGS)
{
	SfTime ts = PG_GETARG_TIMESTAMPTZ(5);
	SfWindowSpec spec;
	SfWindowSpec pane;
	SfTime times[4] = {0};
	Datum values[4];
	bool nulls[4] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	take_spec(fcinfo, &spec);
	sf_pane_spec(&spec, &pane);
	sf_window_of(&pane, ts, &times[0], &times[1]);
	nulls[2] = nulls[3] = !sf_window_last_of(&spec, ts, &times[2], &times[3]);
	for (int i = 0; i < 4; i++)
		values[i] = TimestampTzGetDatum(times[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
sf_test_windows_ending(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SfWindowSpec spec;
	SfWindowIterator iterator;

	InitMaterializedSRF(fcinfo, 0);
	take_spec(fcinfo, &spec);
	sf_windows_ending(&iterator, &spec, PG_GETARG_TIMESTAMPTZ(5), PG_GETARG_TIMESTAMPTZ(6));
	while (sf_windows_next(&iterator))
	{
		Datum values[2] = {TimestampTzGetDatum(iterator.start), TimestampTzGetDatum(iterator.end)};
		bool nulls[2] = {false, false};

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * (window_start, window_end, regular, first_start): the window of a time, whether it is that of all times in it, and the
 * start of the first window that ends after the time.
 */
static Datum
window_row(FunctionCallInfo fcinfo, const SfWindowSpec *spec, SfTime ts)
{
	bool nulls[4] = {false};
	Datum values[4];
	SfWindowIterator windows;
	SfTime start;
	SfTime end;
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sf_window_of(spec, ts, &start, &end);
	sf_windows_of(&windows, spec, ts);
	if (!sf_windows_next(&windows) || windows.start != start || windows.end != end || sf_windows_next(&windows))
		elog(ERROR, "enumeration gives other windows");
	values[0] = TimestampTzGetDatum(start);
	values[1] = TimestampTzGetDatum(end);
	values[2] = BoolGetDatum(sf_window_is_regular(spec, start, end));
	values[3] = TimestampTzGetDatum(sf_window_first_ending_after(spec, ts));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
sf_test_window_trunc(PG_FUNCTION_ARGS)
{
	char *zone = text_to_cstring(PG_GETARG_TEXT_PP(2));
	SfWindowSpec spec;

	sf_window_spec_trunc(&spec, text_to_cstring(PG_GETARG_TEXT_PP(0)), sf_trunc_zone(zone), true);
	return window_row(fcinfo, &spec, PG_GETARG_TIMESTAMPTZ(1));
}

Datum
sf_test_window_bin(PG_FUNCTION_ARGS)
{
	SfWindowSpec spec;

	sf_window_spec_bin(&spec, PG_GETARG_INTERVAL_P(0), PG_GETARG_TIMESTAMPTZ(2), true);
	return window_row(fcinfo, &spec, PG_GETARG_TIMESTAMPTZ(1));
}

/* Arguments after those of take_spec: the time, the field, and whether window_end is cut off and not window_start. */
Datum
sf_test_window_compose(PG_FUNCTION_ARGS)
{
	SfWindowSpec fine;
	SfWindowSpec coarse;
	SfWindowSpec spec;

	take_spec(fcinfo, &fine);
	sf_window_spec_trunc(&coarse, text_to_cstring(PG_GETARG_TEXT_PP(6)),
	                     sf_trunc_zone(text_to_cstring(PG_GETARG_TEXT_PP(4))), true);
	sf_window_spec_compose(&spec, &fine, &coarse, PG_GETARG_BOOL(7));
	return window_row(fcinfo, &spec, PG_GETARG_TIMESTAMPTZ(5));
}

#endif /* STREAMFUSE_TEST */
