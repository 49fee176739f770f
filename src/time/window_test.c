/*
 * window_test.c
 *		Tests of window arithmetic: panes, the last window of a time, and windows in order of their ends, from SQL.
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

#endif /* STREAMFUSE_TEST */
