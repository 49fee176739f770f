/*
 * fault.c
 *		Named fault points for tests: make any process wait or fail at a place in the code.
 *
 * Compiled only into test builds.  The table is in shared memory, so that a session can arm a point that a background
 * worker then meets.  A process that waits at a point can be interrupted and terminated as anywhere else.
 */
#include "fault.h"

#ifdef STREAMFUSE_TEST

#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"

#define MAX_FAULTS 32

typedef enum FaultAction
{
	FAULT_NONE,
	FAULT_WAIT,
	FAULT_ERROR,
} FaultAction;

typedef struct Fault
{
	char name[64];      /* lock; empty: free */
	FaultAction action; /* lock */
	pg_atomic_uint64 hits;
} Fault;

typedef struct Faults
{
	slock_t lock;
	pg_atomic_uint32 armed; /* number of points with an action */
	ConditionVariable changed;
	Fault faults[MAX_FAULTS];
} Faults;

static Faults *faults;

PG_FUNCTION_INFO_V1(sf_fault_set);
PG_FUNCTION_INFO_V1(sf_fault_hits);
PG_FUNCTION_INFO_V1(sf_fault_wait_hit);

Size
sf_fault_shmem_size(void)
{
	return sizeof(Faults);
}

void
sf_fault_shmem_init(void)
{
	bool found;

	faults = ShmemInitStruct("streamfuse faults", sizeof(Faults), &found);
	if (found)
		return;
	memset(faults, 0, sizeof(Faults));
	SpinLockInit(&faults->lock);
	pg_atomic_init_u32(&faults->armed, 0);
	ConditionVariableInit(&faults->changed);
	for (int i = 0; i < MAX_FAULTS; i++)
		pg_atomic_init_u64(&faults->faults[i].hits, 0);
}

/* The point of a name, made when it is new; -1 when the table is full.  Needs the lock. */
static int
find_fault(const char *name)
{
	for (int i = 0; i < MAX_FAULTS; i++)
	{
		if (strcmp(faults->faults[i].name, name) == 0)
			return i;
		if (faults->faults[i].name[0] == '\0')
		{
			strlcpy(faults->faults[i].name, name, sizeof(faults->faults[i].name));
			return i;
		}
	}
	return -1;
}

static FaultAction
action_of(const char *name, bool hit)
{
	FaultAction action = FAULT_NONE;
	int index;

	SpinLockAcquire(&faults->lock);
	index = find_fault(name);
	if (index >= 0)
	{
		action = faults->faults[index].action;
		if (hit && action != FAULT_NONE)
			pg_atomic_fetch_add_u64(&faults->faults[index].hits, 1);
	}
	SpinLockRelease(&faults->lock);
	return action;
}

void
sf_fault_point(const char *name)
{
	FaultAction action;

	if (faults == NULL || pg_atomic_read_u32(&faults->armed) == 0)
		return;
	action = action_of(name, true);
	if (action == FAULT_NONE)
		return;
	ConditionVariableBroadcast(&faults->changed);
	if (action == FAULT_ERROR)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", name)));
	ConditionVariablePrepareToSleep(&faults->changed);
	while (action_of(name, false) == FAULT_WAIT)
		ConditionVariableSleep(&faults->changed, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* fault_set(name text, action text): 'none', 'wait' or 'error' */
Datum
sf_fault_set(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *word = text_to_cstring(PG_GETARG_TEXT_PP(1));
	FaultAction action = strcmp(word, "wait") == 0 ? FAULT_WAIT : strcmp(word, "error") == 0 ? FAULT_ERROR : FAULT_NONE;
	uint32 armed = 0;
	int index;

	SpinLockAcquire(&faults->lock);
	index = find_fault(name);
	if (index >= 0)
	{
		faults->faults[index].action = action;
		pg_atomic_write_u64(&faults->faults[index].hits, 0);
	}
	for (int i = 0; i < MAX_FAULTS; i++)
		if (faults->faults[i].action != FAULT_NONE)
			armed++;
	SpinLockRelease(&faults->lock);
	pg_atomic_write_u32(&faults->armed, armed);
	ConditionVariableBroadcast(&faults->changed);
	PG_RETURN_VOID();
}

static uint64
hits_of(const char *name)
{
	uint64 hits = 0;
	int index;

	SpinLockAcquire(&faults->lock);
	index = find_fault(name);
	if (index >= 0)
		hits = pg_atomic_read_u64(&faults->faults[index].hits);
	SpinLockRelease(&faults->lock);
	return hits;
}

/* fault_hits(name text) returns bigint: how often an armed point was met since it was set */
Datum
sf_fault_hits(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hits_of(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* fault_wait_hit(name text): returns once somebody has met the armed point */
Datum
sf_fault_wait_hit(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	ConditionVariablePrepareToSleep(&faults->changed);
	while (hits_of(name) == 0)
		ConditionVariableSleep(&faults->changed, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	PG_RETURN_VOID();
}

#endif
