/*
 * stat_workers.c
 *		The workers of all databases and what they do: streamfuse.stat_workers.
 *
 * All of it is in shared memory.  The list of fragments is walked under the dataflow's
 * lock in shared mode; counters are read one by one, so that a row may be of a moment between two of them.
 */
#include "streamfuse.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "state/shared.h"

PG_FUNCTION_INFO_V1(sf_stat_workers);

enum
{
	WORKER_PID,
	WORKER_DATID,
	WORKER_STATE,
	WORKER_READY,
	WORKER_VIEWS,
	WORKER_STARTED_AT,
	WORKER_TICKS,
	WORKER_COMMITS,
	WORKER_ROWS,
	WORKER_TICK_MS,
	WORKER_COMMIT_MS,
	WORKER_BUSY_MS,
	WORKER_BYTES,
	WORKER_NATTS
};

static const char *
activity_name(SfActivity activity)
{
	switch (activity)
	{
		case SF_ACTIVITY_STARTING:
			return "starting";
		case SF_ACTIVITY_IDLE:
			return "idle";
		case SF_ACTIVITY_RECONCILING:
			return "reading catalogs";
		case SF_ACTIVITY_TICK:
			return "tick";
		case SF_ACTIVITY_COMMIT:
			return "commit";
		case SF_ACTIVITY_WAITING:
			return "waiting to retry";
	}
	return "unknown";
}

/* Number of fragments, and the memory of their state. */
static int
add_up_fragments(SfDataflow *dataflow, uint64 *bytes)
{
	dsa_area *area = sf_area();
	int n = 0;

	*bytes = 0;
	if (area == NULL)
		return 0;
	LWLockAcquire(&dataflow->lock, LW_SHARED);
	for (dsa_pointer p = dataflow->fragments; DsaPointerIsValid(p); n++)
	{
		SfFragment *fragment = dsa_get_address(area, p);

		*bytes += pg_atomic_read_u64(&fragment->bytes);
		p = fragment->next;
	}
	LWLockRelease(&dataflow->lock);
	return n;
}

/* stat_workers_rows() returns setof record */
Datum
sf_stat_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	sf_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < SF_MAX_DATAFLOWS; i++)
	{
		SfDataflow *dataflow = &sf_shared->dataflows[i];
		Oid database = dataflow->database;
		int pid = dataflow->worker_pid;
		Datum values[WORKER_NATTS];
		bool nulls[WORKER_NATTS] = {0};
		uint64 bytes;

		if (!OidIsValid(database) || pid == 0)
			continue;
		values[WORKER_PID] = Int32GetDatum(pid);
		values[WORKER_DATID] = ObjectIdGetDatum(database);
		values[WORKER_STATE] = CStringGetTextDatum(activity_name(pg_atomic_read_u32(&dataflow->activity)));
		values[WORKER_READY] = BoolGetDatum(pg_atomic_read_u32(&dataflow->ready) != 0);
		values[WORKER_VIEWS] = Int32GetDatum(add_up_fragments(dataflow, &bytes));
		values[WORKER_STARTED_AT] = TimestampTzGetDatum(pg_atomic_read_u64(&dataflow->started_at));
		nulls[WORKER_STARTED_AT] = pg_atomic_read_u64(&dataflow->started_at) == 0;
		values[WORKER_TICKS] = Int64GetDatum(pg_atomic_read_u64(&dataflow->ticks));
		values[WORKER_COMMITS] = Int64GetDatum(pg_atomic_read_u64(&dataflow->commits));
		values[WORKER_ROWS] = Int64GetDatum(pg_atomic_read_u64(&dataflow->rows));
		values[WORKER_TICK_MS] = Float8GetDatum(pg_atomic_read_u64(&dataflow->tick_us) / 1000.0);
		values[WORKER_COMMIT_MS] = Float8GetDatum(pg_atomic_read_u64(&dataflow->commit_us) / 1000.0);
		values[WORKER_BUSY_MS] = Float8GetDatum(pg_atomic_read_u64(&dataflow->busy_us) / 1000.0);
		values[WORKER_BYTES] = Int64GetDatum(bytes);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
