/*
 * feed.c
 *		One member takes a batch: as its owner, in a subtransaction, and what becomes of a row that raises.
 *
 * A view with on_error = 'stop' goes back to the last published tick and fails, and its error names the row.  One with
 * on_error = 'skip' sets the row aside (SfProgress.failed), in an inner subtransaction for each, and goes on behind it:
 * the cost is that of the rows and of the rows that raise, each once.
 *
 * Two things make a member take its tick again, from a scan of its own: an error in a step that does not know the row
 * (it works by rows then), and more failed rows than should wait for a commit (it takes small ticks then, and none while
 * they wait).  It is undone like one that fails, but does not stop; once it has caught up, it shares the scan again.
 */
#include "worker/dataflow.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "fault.h"

#define LONGEST_MESSAGE 380

/* Is this error the row's own?  Not one that may pass, such as want of memory, and not damaged data. */
static bool
is_of_row(const ErrorData *error)
{
	return !sf_error_may_pass(error) && error->sqlerrcode != ERRCODE_DATA_CORRUPTED &&
	       error->sqlerrcode != ERRCODE_INDEX_CORRUPTED;
}

/* Runs a step in a subtransaction.  False: it raised at a row, which has been set aside. */
static bool
step_or_fail_row(SfFlow *flow, void (*step)(SfFlow *flow))
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	SfFailedRow row;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(flow);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return true;
	if (!is_of_row(error) || !sf_flow_row(flow, &row))
		ReThrowError(error);
	sf_flow_fail_row(flow, error->sqlerrcode, error->message);
	FreeErrorData(error);
	return false;
}

/* A batch for one branch of the definition. */
typedef struct TakeStep
{
	SfBatch *batch;
	int branch;
} TakeStep;

static void
take_batch(SfMember *member, void *arg)
{
	TakeStep *step = arg;
	SfFlow *flow = member->flow;
	SfOwnerScope scope;

	sf_owner_enter(member, sf_flow_needs_settings(flow), &scope);
	XactReadOnly = true;
	sf_flow_start(flow, step->branch, step->batch, member->skip_errors);
	if (member->skip_errors)
	{
		while (!step_or_fail_row(flow, sf_flow_evaluate))
			CHECK_FOR_INTERRUPTS();
		while (!step_or_fail_row(flow, sf_flow_apply))
			CHECK_FOR_INTERRUPTS();
	}
	else
	{
		sf_flow_evaluate(flow);
		sf_flow_apply(flow);
	}
	sf_owner_leave(&scope);
	SF_FAULT("tick-in-apply");
}

/* Tells the user where to look. */
static void
name_row(SfMember *member, const SfFailedRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(member->error_context);
	char *message = member->failure->message;

	/* Of a long message the beginning: what is shown in the end has 511 bytes. */
	member->failure->message = psprintf("%.*s, in row (%u,%u) of stream \"%s\"",
	                                    pg_mbcliplen(message, strlen(message), LONGEST_MESSAGE), message, row->block,
	                                    row->offset, get_rel_name(row->relid));
	pfree(message);
	MemoryContextSwitchTo(old);
}

/* Are the rows of one tick more than there is memory for, where rows wait for a commit or groups make room? */
static bool
is_too_much(const SfMember *member)
{
	return (member->definition->stateless || sf_member_can_spill(member)) && !sf_member_takes_small_ticks(member) &&
	       (member->failure->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
	        member->failure->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED);
}

static void
take_for_branch(SfMember *member, TakeStep *step)
{
	SfFailedRow row;

	if (!sf_member_guard(member, take_batch, step))
	{
		if (sf_flow_row(member->flow, &row))
			name_row(member, &row);
		else if (sf_flow_works_by_columns(member->flow) && is_of_row(member->failure))
		{
			sf_flow_work_by_rows(member->flow);
			sf_member_forget_error(member);
			member->again = true;
		}
		else if (is_too_much(member))
		{
			sf_member_forget_error(member);
			member->again = member->small_ticks = true;
		}
		sf_source_undo_member(member);
	}
	else if (member->progress.nfailed > SF_FAILED_ROWS && !sf_member_takes_small_ticks(member))
	{
		member->again = member->small_ticks = true;
		sf_source_undo_member(member);
	}
}

/* By each branch that reads the stream. */
void
sf_member_take_batch(SfMember *member, Oid stream, SfBatch *batch)
{
	const SfDefinition *definition = member->definition;

	for (int i = 0; i < definition->nbranches && member->in_tick; i++)
	{
		TakeStep step = {batch, i};

		if (definition->branches[i].stream == stream)
			take_for_branch(member, &step);
	}
}
