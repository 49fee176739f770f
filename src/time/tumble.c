/*
 * tumble.c
 *		The SQL face of tumbling windows: the functions inside tumble(), and how a query's tumble() is known.
 *
 * tumble() itself is in SQL, so that the planner puts its body in its place: a set-returning function in C would cost a
 * tuplestore for each row.  The body calls tumble_start and tumble_end.  Each keeps its arguments with the call site
 * and works them out again only when they change; it also keeps the last window, because times mostly come in order.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "time/window.h"

/* What one call site was last called with. */
typedef struct TumbleCall
{
	bool valid; /* spec stands for the fields that follow */
	Interval size;
	Interval offset;
	text *timezone;          /* owned; NULL: not given */
	pg_tz *session_timezone; /* the session's zone then */

	SfWindowSpec spec;
	SfTime start; /* the last window; start = end: none */
	SfTime end;
} TumbleCall;

PG_FUNCTION_INFO_V1(streamfuse_tumble_start_timestamptz);
PG_FUNCTION_INFO_V1(streamfuse_tumble_end_timestamptz);
PG_FUNCTION_INFO_V1(streamfuse_tumble_start_timestamp);
PG_FUNCTION_INFO_V1(streamfuse_tumble_end_timestamp);

static bool
same_timezone(const text *one, const text *other)
{
	if (one == NULL || other == NULL)
		return one == other;
	return VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
	       memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) == 0;
}

static bool
same_interval(const Interval *one, const Interval *other)
{
	return one->time == other->time && one->day == other->day && one->month == other->month;
}

/* The call site's memory, with the specification of this call's arguments. */
static TumbleCall *
tumble_call(FunctionCallInfo fcinfo, bool zoned)
{
	static const Interval no_offset = {0, 0, 0};
	TumbleCall *call = fcinfo->flinfo->fn_extra;
	const Interval *size;
	const Interval *offset;
	const text *timezone;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("window size must not be null")));
	size = PG_GETARG_INTERVAL_P(1);
	offset = PG_ARGISNULL(2) ? &no_offset : PG_GETARG_INTERVAL_P(2);
	timezone = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TumbleCall));
	if (call->valid && same_interval(&call->size, size) && same_interval(&call->offset, offset) &&
	    same_timezone(call->timezone, timezone) && call->session_timezone == session_timezone)
		return call;

	call->valid = false;
	sf_window_spec_init(&call->spec, size, offset, timezone == NULL ? NULL : text_to_cstring(timezone), zoned);
	if (call->timezone != NULL)
		pfree(call->timezone);
	call->timezone = NULL;
	if (timezone != NULL)
	{
		call->timezone = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARSIZE_ANY(timezone));
		memcpy(call->timezone, timezone, VARSIZE_ANY(timezone));
	}
	call->size = *size;
	call->offset = *offset;
	call->session_timezone = session_timezone;
	call->start = call->end = 0;
	call->valid = true;
	return call;
}

/* The call with the window of its time, or NULL for no time. */
static TumbleCall *
tumble(FunctionCallInfo fcinfo, bool zoned)
{
	TumbleCall *call;
	SfTime ts;

	if (PG_ARGISNULL(0))
		return NULL;
	ts = PG_GETARG_INT64(0);
	call = tumble_call(fcinfo, zoned);
	if (ts < call->start || ts >= call->end)
	{
		SfTime start;
		SfTime end;

		sf_window_of(&call->spec, ts, &start, &end);
		call->start = start;
		call->end = end;
	}
	return call;
}

Datum
streamfuse_tumble_start_timestamptz(PG_FUNCTION_ARGS)
{
	TumbleCall *call = tumble(fcinfo, true);

	if (call == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(call->start);
}

Datum
streamfuse_tumble_end_timestamptz(PG_FUNCTION_ARGS)
{
	TumbleCall *call = tumble(fcinfo, true);

	if (call == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(call->end);
}

Datum
streamfuse_tumble_start_timestamp(PG_FUNCTION_ARGS)
{
	TumbleCall *call = tumble(fcinfo, false);

	if (call == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMP(call->start);
}

Datum
streamfuse_tumble_end_timestamp(PG_FUNCTION_ARGS)
{
	TumbleCall *call = tumble(fcinfo, false);

	if (call == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMP(call->end);
}

/* The extension's tumble() functions as far as seen, one for each type of time; forgotten when pg_proc changes. */
static Oid known_tumbles[2];
static int nknown_tumbles = 0;

static void
forget_tumbles(Datum arg, int cacheid, uint32 hashvalue)
{
	nknown_tumbles = 0;
}

static bool
is_named_tumble(Oid funcid)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = strcmp(NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname), "tumble") == 0;
	ReleaseSysCache(tuple);
	return result;
}

bool
sf_is_tumble(Oid funcid)
{
	static bool callback_registered = false;
	Oid extension;

	for (int i = 0; i < nknown_tumbles; i++)
		if (known_tumbles[i] == funcid)
			return true;

	if (!callback_registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_tumbles, (Datum) 0);
		callback_registered = true;
	}
	if (!is_named_tumble(funcid))
		return false;
	extension = getExtensionOfObject(ProcedureRelationId, funcid);
	if (!OidIsValid(extension) || extension != get_extension_oid("streamfuse", true))
		return false;
	if (nknown_tumbles < (int) lengthof(known_tumbles))
		known_tumbles[nknown_tumbles++] = funcid;
	return true;
}
