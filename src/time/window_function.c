/*
 * window_function.c
 *		The SQL face of windows: the functions inside tumble(), hop() and cumulate(), and how a query's are known.
 *
 * tumble() itself is in SQL, so that the planner puts its body in its place: a set-returning function in C would cost a
 * tuplestore for each row.  The body calls tumble_start and tumble_end.  hop() and cumulate() are the same way, over
 * functions that return the starts and the ends of all windows of a time, one per call, side by side in a select list.
 *
 * Each call site keeps its arguments and works them out again only when they change; one of tumble_start or tumble_end
 * also keeps the last window, because times mostly come in order.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "time/window.h"

/* What one call site was last called with. */
typedef struct WindowCall
{
	bool valid; /* spec stands for the fields that follow */
	Interval size;
	Interval step;
	Interval offset;
	bool gaps;
	text *timezone;          /* owned; NULL: not given */
	pg_tz *session_timezone; /* the session's zone then */

	SfWindowSpec spec;
	SfTime start; /* tumble: the last window; start = end: none */
	SfTime end;
	SfWindowIterator iterator; /* hop and cumulate: the windows of a time */
	bool enumerating;          /* more calls for them are to come */
} WindowCall;

/* The arguments of one call, as they are in fcinfo. */
typedef struct CallArguments
{
	const Interval *size;
	const Interval *step;
	const Interval *offset;
	const text *timezone;
	bool gaps;
} CallArguments;

/* Of (ts, size, step, offset, timezone); hop has gaps after them. */
#define CUMULATE_ARGUMENTS 5

PG_FUNCTION_INFO_V1(streamfuse_window_rows);

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

static const Interval *
length_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("window %s must not be null", name)));
	return PG_GETARG_INTERVAL_P(argument);
}

/* tumble: (ts, size, offset, timezone); hop and cumulate have a step after the size, hop gaps at the end. */
static void
take_arguments(FunctionCallInfo fcinfo, SfWindowKind kind, CallArguments *arguments)
{
	static const Interval none = {0, 0, 0};
	int offset = kind == SF_WINDOW_TUMBLE ? 2 : 3;

	arguments->size = length_argument(fcinfo, 1, "size");
	if (kind == SF_WINDOW_TUMBLE)
		arguments->step = &none;
	else
		arguments->step = length_argument(fcinfo, 2, kind == SF_WINDOW_HOP ? "slide" : "step");
	arguments->offset = PG_ARGISNULL(offset) ? &none : PG_GETARG_INTERVAL_P(offset);
	arguments->timezone = PG_ARGISNULL(offset + 1) ? NULL : PG_GETARG_TEXT_PP(offset + 1);
	arguments->gaps = kind == SF_WINDOW_HOP && !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
}

static bool
is_called_with(const WindowCall *call, const CallArguments *arguments)
{
	return call->valid && same_interval(&call->size, arguments->size) && same_interval(&call->step, arguments->step) &&
	       same_interval(&call->offset, arguments->offset) && call->gaps == arguments->gaps &&
	       same_timezone(call->timezone, arguments->timezone) && call->session_timezone == session_timezone;
}

static void
keep_arguments(WindowCall *call, const CallArguments *arguments, MemoryContext context)
{
	if (call->timezone != NULL)
		pfree(call->timezone);
	call->timezone = NULL;
	if (arguments->timezone != NULL)
	{
		call->timezone = MemoryContextAlloc(context, VARSIZE_ANY(arguments->timezone));
		memcpy(call->timezone, arguments->timezone, VARSIZE_ANY(arguments->timezone));
	}
	call->size = *arguments->size;
	call->step = *arguments->step;
	call->offset = *arguments->offset;
	call->gaps = arguments->gaps;
	call->session_timezone = session_timezone;
	call->start = call->end = 0;
}

/* The call site's memory, with the specification of this call's arguments. */
static WindowCall *
window_call(FunctionCallInfo fcinfo, SfWindowKind kind, bool zoned)
{
	WindowCall *call = fcinfo->flinfo->fn_extra;
	CallArguments arguments;
	SfWindowArguments given;

	take_arguments(fcinfo, kind, &arguments);
	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(WindowCall));
	if (is_called_with(call, &arguments))
		return call;

	call->valid = false;
	given = (SfWindowArguments){.kind = kind,
	                            .size = arguments.size,
	                            .step = arguments.step,
	                            .offset = arguments.offset,
	                            .timezone = arguments.timezone == NULL ? NULL : text_to_cstring(arguments.timezone),
	                            .zoned = zoned,
	                            .gaps = arguments.gaps};
	sf_window_spec_init(&call->spec, &given);
	keep_arguments(call, &arguments, fcinfo->flinfo->fn_mcxt);
	call->valid = true;
	return call;
}

/* The call with the window of its time, or NULL for no time. */
static WindowCall *
tumble(FunctionCallInfo fcinfo, bool zoned)
{
	WindowCall *call;
	SfTime ts;

	if (PG_ARGISNULL(0))
		return NULL;
	ts = PG_GETARG_INT64(0);
	call = window_call(fcinfo, SF_WINDOW_TUMBLE, zoned);
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

/* The executor will not ask for the rest: LIMIT, or another row of an outer relation. */
static void
end_enumeration(Datum call)
{
	((WindowCall *) DatumGetPointer(call))->enumerating = false;
}

/* The call with the next window of its time, or NULL after the last one. */
static WindowCall *
next_window(FunctionCallInfo fcinfo, SfWindowKind kind, bool zoned)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WindowCall *call = fcinfo->flinfo->fn_extra;

	if (result == NULL || !IsA(result, ReturnSetInfo) || (result->allowedModes & SFRM_ValuePerCall) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("set-valued function called in context that cannot accept a set")));
	result->isDone = ExprEndResult;
	if (call == NULL || !call->enumerating)
	{
		if (PG_ARGISNULL(0))
			return NULL;
		call = window_call(fcinfo, kind, zoned);
		sf_windows_of(&call->iterator, &call->spec, PG_GETARG_INT64(0));
		call->enumerating = true;
		RegisterExprContextCallback(result->econtext, end_enumeration, PointerGetDatum(call));
	}
	if (!sf_windows_next(&call->iterator))
	{
		call->enumerating = false;
		UnregisterExprContextCallback(result->econtext, end_enumeration, PointerGetDatum(call));
		return NULL;
	}
	result->isDone = ExprMultipleResult;
	return call;
}

/* The functions that return one side of a time's window, or of each of its windows. */
#define DEFINE_SIDE(function, window, side)                                                                            \
	PG_FUNCTION_INFO_V1(function);                                                                                     \
	Datum function(PG_FUNCTION_ARGS)                                                                                   \
	{                                                                                                                  \
		WindowCall *call = window;                                                                                     \
                                                                                                                       \
		if (call == NULL)                                                                                              \
			PG_RETURN_NULL();                                                                                          \
		PG_RETURN_INT64(call->side);                                                                                   \
	}

DEFINE_SIDE(streamfuse_tumble_start_timestamptz, tumble(fcinfo, true), start)
DEFINE_SIDE(streamfuse_tumble_end_timestamptz, tumble(fcinfo, true), end)
DEFINE_SIDE(streamfuse_tumble_start_timestamp, tumble(fcinfo, false), start)
DEFINE_SIDE(streamfuse_tumble_end_timestamp, tumble(fcinfo, false), end)
DEFINE_SIDE(streamfuse_hop_starts_timestamptz, next_window(fcinfo, SF_WINDOW_HOP, true), iterator.start)
DEFINE_SIDE(streamfuse_hop_ends_timestamptz, next_window(fcinfo, SF_WINDOW_HOP, true), iterator.end)
DEFINE_SIDE(streamfuse_hop_starts_timestamp, next_window(fcinfo, SF_WINDOW_HOP, false), iterator.start)
DEFINE_SIDE(streamfuse_hop_ends_timestamp, next_window(fcinfo, SF_WINDOW_HOP, false), iterator.end)
DEFINE_SIDE(streamfuse_cumulate_starts_timestamptz, next_window(fcinfo, SF_WINDOW_CUMULATE, true), iterator.start)
DEFINE_SIDE(streamfuse_cumulate_ends_timestamptz, next_window(fcinfo, SF_WINDOW_CUMULATE, true), iterator.end)
DEFINE_SIDE(streamfuse_cumulate_starts_timestamp, next_window(fcinfo, SF_WINDOW_CUMULATE, false), iterator.start)
DEFINE_SIDE(streamfuse_cumulate_ends_timestamp, next_window(fcinfo, SF_WINDOW_CUMULATE, false), iterator.end)

/* A length by which intervals can be compared. */
static double
approximate_microseconds(const Interval *interval)
{
	return (double) interval->time +
	       ((double) interval->day + (double) interval->month * DAYS_PER_MONTH) * (double) USECS_PER_DAY;
}

/* How many windows of one time the functions of hop and cumulate return: all that start or end within a size. */
Datum
streamfuse_window_rows(PG_FUNCTION_ARGS)
{
	SupportRequestRows *request = (SupportRequestRows *) PG_GETARG_POINTER(0);
	List *arguments;
	Const *size;
	Const *step;
	double steps;

	if (!IsA(request, SupportRequestRows) || !IsA(request->node, FuncExpr))
		PG_RETURN_POINTER(NULL);
	arguments = ((FuncExpr *) request->node)->args;
	size = lsecond(arguments);
	step = lthird(arguments);
	if (!IsA(size, Const) || !IsA(step, Const) || size->constisnull || step->constisnull)
		PG_RETURN_POINTER(NULL);

	steps = approximate_microseconds(DatumGetIntervalP(size->constvalue)) /
	        Max(approximate_microseconds(DatumGetIntervalP(step->constvalue)), 1.0);
	if (list_length(arguments) == CUMULATE_ARGUMENTS)
		steps = (steps + 1) / 2; /* a time is in those that end after it */
	request->rows = Max(steps, 1.0);
	PG_RETURN_POINTER(request);
}

/* The extension's window functions as far as seen; forgotten when pg_proc changes. */
typedef struct KnownFunction
{
	Oid funcid;
	SfWindowKind kind;
} KnownFunction;

/* Each for two types of time, session() with and without keys. */
static KnownFunction known[10];
static int nknown = 0;

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	nknown = 0;
}

static bool
is_named_window_function(Oid funcid, SfWindowKind *kind)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	const char *name;
	bool result = true;

	if (!HeapTupleIsValid(tuple))
		return false;
	name = NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname);
	if (strcmp(name, "tumble") == 0)
		*kind = SF_WINDOW_TUMBLE;
	else if (strcmp(name, "hop") == 0)
		*kind = SF_WINDOW_HOP;
	else if (strcmp(name, "cumulate") == 0)
		*kind = SF_WINDOW_CUMULATE;
	else if (strcmp(name, "session") == 0)
		*kind = SF_WINDOW_SESSION;
	else
		result = false;
	ReleaseSysCache(tuple);
	return result;
}

bool
sf_is_window_function(Oid funcid, SfWindowKind *kind)
{
	static bool callback_registered = false;
	Oid extension;

	for (int i = 0; i < nknown; i++)
		if (known[i].funcid == funcid)
		{
			*kind = known[i].kind;
			return true;
		}

	if (!callback_registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
		callback_registered = true;
	}
	if (!is_named_window_function(funcid, kind))
		return false;
	extension = getExtensionOfObject(ProcedureRelationId, funcid);
	if (!OidIsValid(extension) || extension != get_extension_oid("streamfuse", true))
		return false;
	if (nknown < (int) lengthof(known))
		known[nknown++] = (KnownFunction){funcid, *kind};
	return true;
}
