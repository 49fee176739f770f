/*
 * consistency.c
 *		read_consistency = 'latest': a statement waits until what was committed before it is in the views it reads.
 *
 * The wait comes before the statement's tick is pinned, so the live side shows what was waited for, and the statement's
 * snapshot need not be the newest: what closed meanwhile is still read from memory.  A view that shows closed windows
 * only has no live side, so there a newer snapshot is put into the statement before its executor starts.  Parallel
 * workers and functions get the active snapshot, not the statement's, so the new one is made active while it runs.
 *
 * In REPEATABLE READ the snapshot was taken before anything could be waited for: an error says what to do instead.
 */
#include "read/live.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "read/consistency.h"
#include "worker/flush.h"

static void
require_possible(void)
{
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous views cannot be read with \"latest\" consistency on a standby"),
		                errhint("Set streamfuse.read_consistency to \"available\".")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
		        (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
		         errmsg("continuous views cannot be read with \"latest\" consistency in a transaction that keeps "
		                "its snapshot"),
		         errhint("Call streamfuse.flush() before BEGIN, and set streamfuse.read_consistency to "
		                 "\"available\".")));
}

/* The newest snapshot, as of the same command. */
static void
renew_snapshot(QueryDesc *query_desc)
{
	Snapshot newest = RegisterSnapshot(GetLatestSnapshot());

	newest->curcid = query_desc->snapshot->curcid;
	UnregisterSnapshot(query_desc->snapshot);
	query_desc->snapshot = newest;
}

void
sf_wait_latest(QueryDesc *query_desc)
{
	bool closed_only = false;
	ListCell *cell;

	if (sf_read_consistency != SF_READ_LATEST)
		return;
	foreach (cell, query_desc->plannedstmt->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);
		bool closed = sf_rte_is_marked(rte, SF_CLOSED_MARK);

		if (!closed && !sf_rte_is_marked(rte, SF_LIVE_MARK))
			continue;
		require_possible();
		sf_flush_wait(rte->relid, closed ? SF_FLUSH_COMMITTED : SF_FLUSH_COUNTED, -1);
		closed_only |= closed;
	}
	SF_FAULT("read-latest-waited");
	if (closed_only && !IsInParallelMode())
		renew_snapshot(query_desc);
}

/* Is the statement run with another snapshot than the active one? */
bool
sf_snapshot_renewed(QueryDesc *query_desc)
{
	ListCell *cell;

	if (sf_read_consistency != SF_READ_LATEST || query_desc->estate->es_snapshot == GetActiveSnapshot())
		return false;
	foreach (cell, query_desc->plannedstmt->rtable)
		if (sf_rte_is_marked(lfirst(cell), SF_CLOSED_MARK))
			return true;
	return false;
}
