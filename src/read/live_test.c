/*
 * live_test.c
 *		A live group falsified behind everybody's back, in builds for tests: what compares views with their queries has to
 *		report it.
 *
 * The group is changed where readers copy it from, under the fragment's lock as they expect it.  The worker knows nothing
 * of it: the falsehood lasts, and is closed with its window.
 */
#include "read/live.h"

#ifdef STREAMFUSE_TEST

#include "access/relation.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "state/shared.h"
#include "state/store_private.h"

PG_FUNCTION_INFO_V1(sf_test_falsify);

/* The first open window that has groups. */
static SfWindow *
open_window(SfFragment *fragment)
{
	dsa_pointer *windows = fragment->nwindows > 0 ? dsa_get_address(sf_area(), fragment->windows) : NULL;

	for (int i = 0; i < fragment->nwindows; i++)
	{
		SfWindow *window = dsa_get_address(sf_area(), windows[i]);

		if (window->closed == SF_TICK_NONE && window->ngroups > 0)
			return window;
	}
	return NULL;
}

/*
 * falsify(view regclass) returns bool: the first aggregate of the view, a count, is one too high in one group of an open
 * window.  False when there is no such group.
 */
Datum
sf_test_falsify(PG_FUNCTION_ARGS)
{
	Relation view = relation_open(PG_GETARG_OID(0), AccessShareLock);
	SfDefinition *definition = sf_read_definition(CurrentMemoryContext, RelationGetRelid(view));
	SfFragment *fragment = sf_fragment_find(sf_dataflow_get(MyDatabaseId, false), RelationGetRelid(view));
	SfWindow *window;

	if (fragment == NULL || definition->naggs == 0)
		elog(ERROR, "there is nothing to falsify");
	LWLockAcquire(&fragment->lock, LW_EXCLUSIVE);
	window = open_window(fragment);
	if (window != NULL)
	{
		dsa_pointer *chunks = dsa_get_address(sf_area(), window->chunks);
		SfGroup *group = dsa_get_address(sf_area(), chunks[0]);

		(*(int64 *) (group->data + definition->layout->state_offset[0]))++;
	}
	LWLockRelease(&fragment->lock);
	relation_close(view, AccessShareLock);
	PG_RETURN_BOOL(window != NULL);
}

#endif
