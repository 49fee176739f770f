/*
 * fault.c
 *		Named fault points and seeded bugs: tests make any process wait, fail, leave or die at a place in the code, or make
 *		the code wrong there.
 *
 * Compiled only into test builds.  The table is in shared memory, so that a session can arm a point that a background
 * worker then meets; streamfuse.test_faults arms points before there is a session.  A process that waits at a point can
 * be interrupted and terminated as anywhere else, unless interrupts are held there.
 *
 * Every point counts how often it is passed, armed or not.  When an armed point takes effect for the first time, a line
 * "name action" is added to the file that SF_COVERAGE names in the environment: by that test/run knows which points the
 * tests have been to.
 */
#include "fault.h"

#ifdef STREAMFUSE_TEST

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

typedef enum FaultAction
{
	FAULT_NONE,
	FAULT_WAIT,          /* until the point is set anew */
	FAULT_ERROR,         /* an error that is somebody's fault */
	FAULT_PASSING_ERROR, /* an error that may be gone the next time */
	FAULT_EXIT,          /* the process leaves, as after a FATAL error */
	FAULT_KILL,          /* the process dies, and PostgreSQL starts anew */
	FAULT_BUG,           /* of bugs only: switched on */
} FaultAction;

static const char *const action_names[] = {"none", "wait", "error", "passing error", "exit", "kill", "bug"};

typedef struct Fault
{
	pg_atomic_uint32 action; /* FaultAction */
	pg_atomic_uint32 set;    /* number of times it was set: waiters leave when it changes */
	pg_atomic_uint64 after;  /* takes effect once it has been passed so often */
	pg_atomic_uint64 times;  /* and so many times; 0: always */
	pg_atomic_uint64 passed; /* since it was set */
	pg_atomic_uint64 met;    /* times it has taken effect since it was set */
} Fault;

typedef struct Faults
{
	pg_atomic_uint32 bugs_on;
	ConditionVariable changed;
	Fault faults[FLEXIBLE_ARRAY_MEMBER]; /* by SfFaultSite.index */
} Faults;

/* The array of sites; its bounds are the linker's. */
extern SfFaultSite __start_sf_fault_sites[];
extern SfFaultSite __stop_sf_fault_sites[];

pg_atomic_uint32 *sf_bugs_on;

static Faults *faults;
static char *preset;

PG_FUNCTION_INFO_V1(sf_fault_set);
PG_FUNCTION_INFO_V1(sf_fault_action);
PG_FUNCTION_INFO_V1(sf_fault_hits);
PG_FUNCTION_INFO_V1(sf_fault_met);
PG_FUNCTION_INFO_V1(sf_fault_wait_hit);
PG_FUNCTION_INFO_V1(sf_fault_names);

static int
nsites(void)
{
	return (int) (__stop_sf_fault_sites - __start_sf_fault_sites);
}

void
sf_fault_define_settings(void)
{
	DefineCustomStringVariable("streamfuse.test_faults", "Fault points that are armed when the server starts.",
	                           "Of the form name=action, separated by commas.", &preset, "", PGC_POSTMASTER, 0, NULL,
	                           NULL, NULL);
}

Size
sf_fault_shmem_size(void)
{
	return offsetof(Faults, faults) + nsites() * sizeof(Fault);
}

static SfFaultSite *
find_site(const char *name)
{
	for (SfFaultSite *site = __start_sf_fault_sites; site < __stop_sf_fault_sites; site++)
		if (strcmp(site->name, name) == 0)
			return site;
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no fault point \"%s\"", name)));
}

static Fault *
find_fault(const char *name)
{
	if (faults == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("streamfuse is not preloaded")));
	return &faults->faults[find_site(name)->index];
}

static void
set_fault(const char *name, const char *word, uint64 after, uint64 times)
{
	Fault *fault = find_fault(name);
	FaultAction action = FAULT_NONE;

	while (action < lengthof(action_names) && strcmp(action_names[action], word) != 0)
		action++;
	if (action == lengthof(action_names) || (action != FAULT_NONE && (action == FAULT_BUG) != find_site(name)->bug))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" is not an action for \"%s\"", word, name)));

	if (pg_atomic_exchange_u32(&fault->action, FAULT_NONE) == FAULT_BUG)
		pg_atomic_fetch_sub_u32(&faults->bugs_on, 1);
	pg_atomic_fetch_add_u32(&fault->set, 1);
	pg_atomic_write_u64(&fault->after, after);
	pg_atomic_write_u64(&fault->times, times);
	pg_atomic_write_u64(&fault->passed, 0);
	pg_atomic_write_u64(&fault->met, 0);
	pg_memory_barrier();
	pg_atomic_write_u32(&fault->action, action);
	if (action == FAULT_BUG)
		pg_atomic_fetch_add_u32(&faults->bugs_on, 1);
	/* The postmaster, which sets presets, cannot wake anybody, and nobody is there. */
	if (MyProc != NULL)
		ConditionVariableBroadcast(&faults->changed);
}

static void
set_presets(void)
{
	char *list = pstrdup(preset);
	char *rest = NULL;

	for (char *item = strtok_r(list, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest))
	{
		char *action = strchr(item, '=');

		if (action == NULL)
			elog(FATAL, "streamfuse.test_faults: \"%s\" has no action", item);
		*action++ = '\0';
		set_fault(item, action, 0, 0);
	}
	pfree(list);
}

void
sf_fault_shmem_init(void)
{
	bool found;

	faults = ShmemInitStruct("streamfuse faults", sf_fault_shmem_size(), &found);
	sf_bugs_on = &faults->bugs_on;
	if (found)
		return;
	pg_atomic_init_u32(&faults->bugs_on, 0);
	ConditionVariableInit(&faults->changed);
	for (int i = 0; i < nsites(); i++)
	{
		Fault *fault = &faults->faults[i];

		/* The places of one bug share an entry: that of the first. */
		__start_sf_fault_sites[i].index = (int) (find_site(__start_sf_fault_sites[i].name) - __start_sf_fault_sites);
		pg_atomic_init_u32(&fault->action, FAULT_NONE);
		pg_atomic_init_u32(&fault->set, 0);
		pg_atomic_init_u64(&fault->after, 0);
		pg_atomic_init_u64(&fault->times, 0);
		pg_atomic_init_u64(&fault->passed, 0);
		pg_atomic_init_u64(&fault->met, 0);
	}
	set_presets();
}

/* Written without PostgreSQL's means: a process may be about to die. */
static void
note_coverage(const char *name, FaultAction action)
{
	const char *path = getenv("SF_COVERAGE");
	char line[128];
	int length = snprintf(line, sizeof(line), "%s %s\n", name, action_names[action]);
	int file;

	if (path == NULL)
		return;
	file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (file < 0 || write(file, line, length) != length)
		elog(LOG, "could not write to \"%s\": %m", path);
	if (file >= 0)
		close(file);
}

/* What a process that passes the point has to do. */
static FaultAction
pass(Fault *fault, const char *name)
{
	uint64 before = pg_atomic_fetch_add_u64(&fault->passed, 1);
	FaultAction action = pg_atomic_read_u32(&fault->action);
	uint64 after = pg_atomic_read_u64(&fault->after);
	uint64 times = pg_atomic_read_u64(&fault->times);

	if (action == FAULT_NONE || before < after || (times > 0 && before - after >= times))
		return FAULT_NONE;
	if (pg_atomic_fetch_add_u64(&fault->met, 1) == 0)
		note_coverage(name, action);
	return action;
}

static void
wait_until_set(Fault *fault, uint32 set)
{
	ConditionVariablePrepareToSleep(&faults->changed);
	while (pg_atomic_read_u32(&fault->set) == set)
		ConditionVariableSleep(&faults->changed, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

void
sf_fault_point(const SfFaultSite *site)
{
	Fault *fault;
	FaultAction action;
	uint32 set;

	if (faults == NULL)
		return;
	fault = &faults->faults[site->index];
	set = pg_atomic_read_u32(&fault->set);
	action = pass(fault, site->name);
	if (action == FAULT_NONE)
		return;
	ConditionVariableBroadcast(&faults->changed);
	switch (action)
	{
		case FAULT_WAIT:
			wait_until_set(fault, set);
			break;
		case FAULT_ERROR:
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", site->name)));
			break;
		case FAULT_PASSING_ERROR:
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("fault point \"%s\"", site->name)));
			break;
		case FAULT_EXIT:
			proc_exit(1);
			break;
		default:
			(void) kill(getpid(), SIGKILL);
	}
}

bool
sf_bug_is_on(const SfFaultSite *site)
{
	return pass(&faults->faults[site->index], site->name) == FAULT_BUG;
}

/*
 * fault_set(name text, action text [, after bigint [, times bigint]]): from its passing number after + 1 on the point
 * takes effect, so many times
 */
Datum
sf_fault_set(PG_FUNCTION_ARGS)
{
	set_fault(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
	          PG_NARGS() > 2 ? PG_GETARG_INT64(2) : 0, PG_NARGS() > 3 ? PG_GETARG_INT64(3) : 0);
	PG_RETURN_VOID();
}

/* fault_action(name text) returns text: what it is set to; 'none' again after a crash */
Datum
sf_fault_action(PG_FUNCTION_ARGS)
{
	Fault *fault = find_fault(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_TEXT_P(cstring_to_text(action_names[pg_atomic_read_u32(&fault->action)]));
}

/* fault_hits(name text) returns bigint: how often a point was passed since it was set */
Datum
sf_fault_hits(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(pg_atomic_read_u64(&find_fault(text_to_cstring(PG_GETARG_TEXT_PP(0)))->passed));
}

/* fault_met(name text) returns boolean: has it taken effect since it was set? */
Datum
sf_fault_met(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pg_atomic_read_u64(&find_fault(text_to_cstring(PG_GETARG_TEXT_PP(0)))->met) > 0);
}

/* fault_wait_hit(name text): returns once the armed point has taken effect on somebody */
Datum
sf_fault_wait_hit(PG_FUNCTION_ARGS)
{
	Fault *fault = find_fault(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	ConditionVariablePrepareToSleep(&faults->changed);
	while (pg_atomic_read_u64(&fault->met) == 0)
		ConditionVariableSleep(&faults->changed, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	PG_RETURN_VOID();
}

/* fault_names(bugs boolean) returns text[]: of the fault points, or of the seeded bugs */
Datum
sf_fault_names(PG_FUNCTION_ARGS)
{
	bool bugs = PG_GETARG_BOOL(0);
	Datum *names = palloc(nsites() * sizeof(Datum));
	int n = 0;

	for (SfFaultSite *site = __start_sf_fault_sites; site < __stop_sf_fault_sites; site++)
		if (site->bug == bugs && find_site(site->name) == site)
			names[n++] = CStringGetTextDatum(site->name);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

#endif
