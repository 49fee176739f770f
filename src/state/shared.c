/*
 * shared.c
 *		Shared memory: dataflows, fragments' headers, pin slots, and the DSA area everything that grows lives in.
 *
 * Main shared memory is fixed at server start.  The area cannot be made by the postmaster, so the launcher makes it and
 * stores its handle; every other process attaches on first use and stays attached.  Lock order: SfShared.lock, then
 * SfDataflow.lock, then SfFragment.lock; none is held across user code or I/O.
 */
#include "state/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

SfShared *sf_shared;

static dsa_area *attached_area;

Size
sf_shared_shmem_size(void)
{
	return add_size(offsetof(SfShared, pins), mul_size(MaxBackends, sizeof(SfPinSlot)));
}

static void
dataflow_init(SfDataflow *dataflow, int tranche)
{
	memset(dataflow, 0, sizeof(SfDataflow));
	dataflow->database = InvalidOid;
	LWLockInitialize(&dataflow->lock, tranche);
	dataflow->fragments = InvalidDsaPointer;
	pg_atomic_init_u32(&dataflow->launch_failures, 0);
	pg_atomic_init_u32(&dataflow->vain_starts, 0);
	pg_atomic_init_u64(&dataflow->published, SF_TICK_NONE);
	pg_atomic_init_u32(&dataflow->spills, 0);
	pg_atomic_init_u64(&dataflow->spill_commits, 0);
	pg_atomic_init_u32(&dataflow->ready, 0);
	pg_atomic_init_u32(&dataflow->woken, 0);
	pg_atomic_init_u32(&dataflow->has_pending, 0);
	pg_atomic_init_u32(&dataflow->catalog_generation, 0);
	pg_atomic_init_u64(&dataflow->flush_asked, 0);
	pg_atomic_init_u64(&dataflow->commit_asked, 0);
	pg_atomic_init_u64(&dataflow->checkpoint_asked, 0);
	pg_atomic_init_u32(&dataflow->wanted, 0);
	ConditionVariableInit(&dataflow->progress);
	pg_atomic_init_u64(&dataflow->ticks, 0);
	pg_atomic_init_u64(&dataflow->commits, 0);
	pg_atomic_init_u32(&dataflow->activity, SF_ACTIVITY_STARTING);
	pg_atomic_init_u64(&dataflow->started_at, 0);
	pg_atomic_init_u64(&dataflow->step_began, 0);
	pg_atomic_init_u64(&dataflow->rows, 0);
	pg_atomic_init_u64(&dataflow->tick_us, 0);
	pg_atomic_init_u64(&dataflow->commit_us, 0);
	pg_atomic_init_u64(&dataflow->busy_us, 0);
}

void
sf_shared_shmem_init(void)
{
	bool found;

	sf_shared = ShmemInitStruct("streamfuse", sf_shared_shmem_size(), &found);
	if (!found)
	{
		memset(sf_shared, 0, offsetof(SfShared, pins));
		sf_shared->dataflow_tranche = LWLockNewTrancheId();
		sf_shared->fragment_tranche = LWLockNewTrancheId();
		sf_shared->area_tranche = LWLockNewTrancheId();
		LWLockInitialize(&sf_shared->lock, sf_shared->dataflow_tranche);
		sf_shared->area = DSM_HANDLE_INVALID;
		pg_atomic_init_u32(&sf_shared->dataflow_generation, 1);
		pg_atomic_init_u64(&sf_shared->state_bytes, 0);
		for (int i = 0; i < SF_MAX_DATAFLOWS; i++)
			dataflow_init(&sf_shared->dataflows[i], sf_shared->dataflow_tranche);
		for (int i = 0; i < MaxBackends; i++)
		{
			SfPinSlot *slot = &sf_shared->pins[i];

			pg_atomic_init_u64(&slot->tick, SF_TICK_MAX);
			pg_atomic_init_u64(&slot->xmin, PG_UINT64_MAX);
			pg_atomic_init_u64(&slot->newest, SF_TICK_NONE);
			pg_atomic_init_u64(&slot->parallel, SF_TICK_NONE);
			pg_atomic_init_u32(&slot->database, InvalidOid);
			pg_atomic_init_u64(&slot->expired, 0);
		}
	}
	LWLockRegisterTranche(sf_shared->dataflow_tranche, "StreamfuseDataflow");
	LWLockRegisterTranche(sf_shared->fragment_tranche, "StreamfuseFragment");
	LWLockRegisterTranche(sf_shared->area_tranche, "StreamfuseArea");
}

dsa_area *
sf_area(void)
{
	MemoryContext old;
	dsa_handle handle;

	if (attached_area != NULL || sf_shared == NULL)
		return attached_area;

	LWLockAcquire(&sf_shared->lock, LW_SHARED);
	handle = sf_shared->area;
	LWLockRelease(&sf_shared->lock);
	if (handle == DSM_HANDLE_INVALID)
		return NULL;

	old = MemoryContextSwitchTo(TopMemoryContext);
	attached_area = dsa_attach(handle);
	dsa_pin_mapping(attached_area);
	MemoryContextSwitchTo(old);
	return attached_area;
}

/* For the launcher, once per server start: makes the area and keeps it for the life of the server. */
void
sf_area_create(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	attached_area = dsa_create(sf_shared->area_tranche);
	dsa_pin(attached_area);
	dsa_pin_mapping(attached_area);
	MemoryContextSwitchTo(old);

	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	sf_shared->area = dsa_get_handle(attached_area);
	LWLockRelease(&sf_shared->lock);
}

static SfDataflow *
find_dataflow(Oid database)
{
	for (int i = 0; i < SF_MAX_DATAFLOWS; i++)
		if (sf_shared->dataflows[i].database == database)
			return &sf_shared->dataflows[i];
	return NULL;
}

SfDataflow *
sf_dataflow_get(Oid database, bool make)
{
	SfDataflow *dataflow;

	if (sf_shared == NULL)
		return NULL;
	LWLockAcquire(&sf_shared->lock, LW_SHARED);
	dataflow = find_dataflow(database);
	LWLockRelease(&sf_shared->lock);
	if (dataflow != NULL || !make)
		return dataflow;

	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	dataflow = find_dataflow(database);
	if (dataflow == NULL)
	{
		dataflow = find_dataflow(InvalidOid);
		if (dataflow != NULL)
		{
			dataflow->database = database;
			pg_atomic_fetch_add_u32(&sf_shared->dataflow_generation, 1);
		}
	}
	LWLockRelease(&sf_shared->lock);
	if (dataflow == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many databases with continuous views"),
		         errdetail("streamfuse serves at most %d databases of a server.", SF_MAX_DATAFLOWS)));
	return dataflow;
}

/* Needs dataflow->lock. */
static SfFragment *
find_fragment(SfDataflow *dataflow, Oid view)
{
	dsa_area *area = sf_area();

	for (dsa_pointer p = dataflow->fragments; DsaPointerIsValid(p);)
	{
		SfFragment *fragment = dsa_get_address(area, p);

		if (fragment->view == view && !fragment->dropped)
			return fragment;
		p = fragment->next;
	}
	return NULL;
}

SfFragment *
sf_fragment_hold(SfDataflow *dataflow, Oid view)
{
	SfFragment *fragment;

	if (dataflow == NULL || sf_area() == NULL)
		return NULL;
	LWLockAcquire(&dataflow->lock, LW_SHARED);
	fragment = find_fragment(dataflow, view);
	if (fragment == NULL)
		LWLockRelease(&dataflow->lock);
	return fragment;
}

void
sf_fragment_release(SfDataflow *dataflow)
{
	LWLockRelease(&dataflow->lock);
}

SfFragment *
sf_fragment_find(SfDataflow *dataflow, Oid view)
{
	SfFragment *fragment = sf_fragment_hold(dataflow, view);

	if (fragment != NULL)
		sf_fragment_release(dataflow);
	return fragment;
}

bool
sf_fragment_glance(SfDataflow *dataflow, Oid view, SfGlance *glance)
{
	SfFragment *fragment = sf_fragment_hold(dataflow, view);

	if (fragment == NULL)
		return false;
	/* The worker writes the status before it says which resume() that is an answer to. */
	glance->resumes = pg_atomic_read_u32(&fragment->resumes);
	pg_read_barrier();
	glance->status = (SfFragmentStatus) pg_atomic_read_u32(&fragment->status);
	glance->flush_counted = pg_atomic_read_u64(&fragment->flush_counted);
	glance->flush_committed = pg_atomic_read_u64(&fragment->flush_committed);
	glance->flush_checkpointed = pg_atomic_read_u64(&fragment->flush_checkpointed);
	LWLockAcquire(&fragment->lock, LW_SHARED);
	glance->watermark = fragment->watermark;
	glance->forgotten_before = fragment->forgotten_before;
	glance->retry_at = fragment->retry_at;
	memcpy(glance->error_message, fragment->error_message, sizeof(glance->error_message));
	LWLockRelease(&fragment->lock);
	sf_fragment_release(dataflow);
	return true;
}

const char *
sf_status_word(SfFragmentStatus status, bool retrying, bool paused, bool resumed)
{
	if (status == SF_FRAGMENT_FAILED && !resumed)
		return "failed";
	if (paused)
		return "paused";
	if (retrying)
		return "retrying";
	switch (status)
	{
		case SF_FRAGMENT_BACKFILLING:
			return "backfilling";
		case SF_FRAGMENT_RUNNING:
			return "running";
		default:
			return "starting";
	}
}

/*
 * The latch ends the worker's sleep, but waits for locks within a round reset it too: only the flag is sure to be there
 * when the worker is about to sleep.  What the caller has done before is seen by the round that finds the flag cleared.
 */
void
sf_wake_worker(SfDataflow *dataflow)
{
	Latch *latch = dataflow ? dataflow->worker_latch : NULL;

	if (dataflow != NULL)
	{
		pg_memory_barrier();
		if (pg_atomic_read_u32(&dataflow->woken) == 0)
			pg_atomic_write_u32(&dataflow->woken, 1);
	}
	if (latch == NULL)
		latch = sf_shared->launcher_latch;
	if (latch != NULL)
		SetLatch(latch);
}

/* Whether this transaction, as far as it has not been rolled back, has changed what the worker works by. */
static bool catalog_changed;

/* A rolled-back subtransaction may leave the mark: the worker then looks once for nothing. */
static void
announce_catalog_change(XactEvent event, void *arg)
{
	SfDataflow *dataflow;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (!catalog_changed)
				return;
			catalog_changed = false;
			dataflow = sf_dataflow_get(MyDatabaseId, false);
			if (dataflow == NULL)
				return;
			pg_atomic_fetch_add_u32(&dataflow->catalog_generation, 1);
			sf_want_worker(dataflow);
			break;
		case XACT_EVENT_ABORT:
			catalog_changed = false;
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (catalog_changed)
				ereport(ERROR,
				        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				         errmsg("cannot PREPARE a transaction that has changed continuous views or stream settings")));
			break;
		default:
			break;
	}
}

void
sf_catalog_changed_at_commit(void)
{
	static bool registered = false;

	if (sf_shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(announce_catalog_change, NULL);
		registered = true;
	}
	/* Made here, where it may fail. */
	(void) sf_dataflow_get(MyDatabaseId, true);
	catalog_changed = true;
}

void
sf_want_worker(SfDataflow *dataflow)
{
	pg_atomic_write_u32(&dataflow->wanted, 1);
	sf_wake_worker(dataflow);
}
