/*
 * view_pause.c
 *		pause() and resume(): to stop a continuous view where it is, and to let it go on from there.
 *
 * Both only write the view's row of streamfuse.fragment, so they are undone with their transaction and outlast a crash.
 * The worker follows once that is committed (worker/recover.c).  The lock keeps two calls, and DDL on the view, from
 * meeting; it is none that readers or the worker wait for.
 */
#include "plan/view_internal.h"

#include "catalog/objectaddress.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "state/shared.h"

PG_FUNCTION_INFO_V1(streamfuse_pause);
PG_FUNCTION_INFO_V1(streamfuse_resume);

/* By its owner only. */
static void
require_own_view(Oid view)
{
	if (get_rel_name(view) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", view)));
	if (!sf_is_continuous_view(view))
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous view", get_rel_name(view))));
	if (!sf_owns_relation(view, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_MATVIEW, get_rel_name(view));
}

/* Others must not get as far as the lock.  While it was waited for, the view may have been dropped or given away. */
static void
lock_own_view(Oid view)
{
	require_own_view(view);
	LockRelationOid(view, ShareUpdateExclusiveLock);
	require_own_view(view);
	sf_view_require_active(view);
}

static void
pause_view(Oid view, bool pause)
{
	sf_require_preload();
	PreventCommandIfReadOnly(pause ? "streamfuse.pause()" : "streamfuse.resume()");
	lock_own_view(view);
	if (!sf_fragment_pause(view, pause))
		elog(ERROR, "continuous view %u has no fragment", view);
	sf_catalog_changed_at_commit();
}

/* pause(view regclass) returns void */
Datum
streamfuse_pause(PG_FUNCTION_ARGS)
{
	pause_view(PG_GETARG_OID(0), true);
	PG_RETURN_VOID();
}

/* resume(view regclass) returns void */
Datum
streamfuse_resume(PG_FUNCTION_ARGS)
{
	pause_view(PG_GETARG_OID(0), false);
	PG_RETURN_VOID();
}
