/*
 * session.c
 *		The SQL face of sessions: session() itself, and the window functions that stand for it.
 *
 * What session a row is in depends on its neighbours, which a function in FROM cannot see.  So the planner hook
 * (plan/session.c) puts two window functions in its place, over the rows of the query in the order of time:
 * session_start follows them, session_end looks ahead as far as the session goes, once for each session.  Both are used
 * by one WindowAgg, with one sort.  session() is called only where the hook does not put anything in its place, and
 * raises.
 */
#include "time/session.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "windowapi.h"

#include "time/window.h"

PG_FUNCTION_INFO_V1(streamfuse_session);
PG_FUNCTION_INFO_V1(streamfuse_session_start);
PG_FUNCTION_INFO_V1(streamfuse_session_end);

/* In the partition's memory: the session of the last row that was asked for. */
typedef struct SessionStart
{
	bool begun;
	SfTime start;
	SfTime last;
} SessionStart;

typedef struct SessionEnd
{
	bool known;
	int64 last_row; /* position of the session's last row in the partition */
	SfTime end;
} SessionEnd;

int64
sf_session_gap(const Interval *gap)
{
	if (gap->month != 0 || gap->day != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("session gap must not have days or months"),
		                errdetail("The gap of a session is elapsed time."),
		                errhint("Write it in hours or less, for example '24 hours' instead of '1 day'.")));
	if (gap->time <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("session gap must be greater than zero")));
	return gap->time;
}

void
sf_session_check_time(SfTime ts)
{
	if (TIMESTAMP_NOT_FINITE(ts))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("an infinite timestamp is in no session"),
		                errhint("Leave out such rows with isfinite().")));
}

SfTime
sf_session_end(SfTime last, int64 gap)
{
	SfTime end;

	if (pg_add_s64_overflow(last, gap, &end) || !IS_VALID_TIMESTAMP(end))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("session ends out of range")));
	return end;
}

Datum
streamfuse_session(PG_FUNCTION_ARGS)
{
	sf_require_preload();
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("session() must stand in FROM, beside the rows that it puts into sessions"),
	         errhint("For example: SELECT window_start, window_end, k, count(*) FROM t, session(ts, '5 minutes') "
	                 "GROUP BY window_start, window_end, k.")));
	PG_RETURN_NULL();
}

static int64
gap_argument(WindowObject window)
{
	bool isnull;
	Datum gap = WinGetFuncArgCurrent(window, 1, &isnull);

	if (isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("session gap must not be null")));
	return sf_session_gap(DatumGetIntervalP(gap));
}

/* (time, gap) OVER (PARTITION BY keys ORDER BY time) */
Datum
streamfuse_session_start(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	SessionStart *session = WinGetPartitionLocalMemory(window, sizeof(SessionStart));
	int64 gap = gap_argument(window);
	bool isnull;
	SfTime ts = DatumGetInt64(WinGetFuncArgCurrent(window, 0, &isnull));

	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	if (isnull)
		PG_RETURN_NULL();
	sf_session_check_time(ts);
	if (!session->begun || sf_session_apart(session->last, ts, gap))
		session->start = ts;
	session->begun = true;
	session->last = ts;
	PG_RETURN_TIMESTAMPTZ(session->start);
}

/* Looks ahead from the current row, at ts, to the last one of its session. */
static void
find_end(WindowObject window, SessionEnd *session, SfTime ts, int64 gap)
{
	int ahead = 0;

	for (;;)
	{
		bool isnull;
		bool isout;
		SfTime next;

		CHECK_FOR_INTERRUPTS();
		if (ahead == PG_INT32_MAX)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("session has too many rows")));
		next = DatumGetInt64(
		    WinGetFuncArgInPartition(window, 0, ahead + 1, WINDOW_SEEK_CURRENT, false, &isnull, &isout));
		if (isout || isnull || sf_session_apart(ts, next, gap))
			break;
		ts = next;
		ahead++;
	}
	session->last_row = WinGetCurrentPosition(window) + ahead;
	session->end = sf_session_end(ts, gap);
	session->known = true;
}

/* (time, gap) OVER (PARTITION BY keys ORDER BY time) */
Datum
streamfuse_session_end(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	SessionEnd *session = WinGetPartitionLocalMemory(window, sizeof(SessionEnd));
	int64 position = WinGetCurrentPosition(window);

	WinSetMarkPosition(window, position);
	if (!session->known || position > session->last_row)
	{
		int64 gap = gap_argument(window);
		bool isnull;
		SfTime ts = DatumGetInt64(WinGetFuncArgCurrent(window, 0, &isnull));

		if (isnull)
			PG_RETURN_NULL();
		sf_session_check_time(ts);
		find_end(window, session, ts, gap);
	}
	PG_RETURN_TIMESTAMPTZ(session->end);
}

bool
sf_is_session(Oid funcid)
{
	SfWindowKind kind;

	return sf_is_window_function(funcid, &kind) && kind == SF_WINDOW_SESSION;
}
