/*
 * adopt.c
 *		What the output of a restored view lacks of the rows that are stored.
 *
 * A dump has rows of closed windows in the stream and their results in the output table, and both are restored.  The
 * scan passes over such rows, because they are counted; but rows that are stored and in no result look the same to it:
 * those that were missed before the dump, and those that writers have inserted since the stream was restored.  So in the
 * tick that has taken in all its snapshot sees, and before rows of these windows are taken for late, the windows of the
 * output are compared with the view's query over what the snapshot sees.  What differs is dirty.
 */
#include "worker/dataflow.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

SfCompareAdoptedHook sf_compare_adopted_hook;

/* As the view's owner, who may write nothing; a session's wishes for reads have no place here. */
static void
compare_step(SfMember *member, void *arg)
{
	List **differences = arg;
	SfOwnerScope scope;

	sf_owner_enter(member, true, &scope);
	/* This is work of ours, in proportion to the stream; no function of the view is at fault. */
	(void) sf_view_timeout_stop();
	XactReadOnly = true;
	(void) set_config_option("streamfuse.read_consistency", "available", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
	                         true, 0, false);
	(void) set_config_option("streamfuse.read_backfilling", "batch", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
	                         0, false);
	*differences = sf_compare_adopted_hook(&member->row, member->definition, &member->progress);
	sf_owner_leave(&scope);
}

static bool
lock_compared(const SfFragmentRow *row)
{
	return sf_member_lock(row) && ConditionalLockRelationOid(row->output, AccessShareLock) &&
	       get_rel_relkind(row->output) != '\0';
}

/*
 * Under the tick's snapshot.  Where a lock is not to be had the member goes on adopting, and is asked again.  A query that
 * raises says nothing of what is missing, and does not stop the view: it raises for rows that the view never takes in.
 * False: an error that may pass; the member's tick is to be undone.
 */
bool
sf_member_check_adopted(SfMember *member)
{
	List *differences = NIL;
	ListCell *cell;

	if (!lock_compared(&member->row))
		return true;
	if (!sf_member_guard(member, compare_step, &differences))
	{
		if (sf_error_may_pass(member->failure))
			return false;
		ereport(LOG, (errcode(member->failure->sqlerrcode),
		              errmsg("restored windows of continuous view \"%s\" could not be compared with its stream: %s",
		                     get_rel_name(member->row.view), member->failure->message)));
		sf_member_forget_error(member);
		differences = NIL;
	}
	foreach (cell, differences)
	{
		SfAdoptedDifference *difference = lfirst(cell);

		sf_flow_count_missed(member->flow, difference->start, difference->end, difference->rows);
	}
	if (differences != NIL)
		ereport(LOG, (errmsg_plural("%d restored window of continuous view \"%s\" lacks rows that are stored",
		                            "%d restored windows of continuous view \"%s\" lack rows that are stored",
		                            list_length(differences), list_length(differences), get_rel_name(member->row.view)),
		              errhint("See streamfuse.dirty_windows.")));
	member->compared = true;
	return true;
}
