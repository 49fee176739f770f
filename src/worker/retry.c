/*
 * retry.c
 *		What becomes of a view that has raised an error: it is tried again some time later, or it has failed.
 *
 * Whatever a member had begun is undone when its error is caught (sf_member_guard, sf_source_undo_member).  Here it
 * gets scans of its own at its last published position, and a time to be tried again at; until then the others go on
 * without it, and it is read as it stands.  An error of its own code, which the same rows will raise again, is tried
 * streamfuse.restart_attempts times, streamfuse.restart_delay apart; then the view has failed, until somebody resumes
 * it.  What may pass by itself (locks, memory, disk, a cancelled query) is tried for ever, with growing delay.
 *
 * There are two counts.  A member that cannot commit still takes in rows, so what a tick succeeds in says nothing about
 * its next commit.
 */
#include "worker/dataflow.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "state/shared.h"

#define DELAY_MIN_MS 10
#define DELAY_MAX_MS 10000

/* How soon one is looked at again that should have been tried by now. */
#define OVERDUE_MS 20

bool
sf_error_may_pass(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
		case ERRCODE_IO_ERROR:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
			       ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
	}
}

void
sf_member_note_error(SfMember *member, bool timed_out)
{
	MemoryContext old;

	if (member->failure != NULL)
		return;
	old = MemoryContextSwitchTo(member->error_context);
	member->failure = CopyErrorData();
	member->timed_out = timed_out && member->failure->sqlerrcode == ERRCODE_QUERY_CANCELED;
	if (member->timed_out)
		sf_view_timeout_describe(member->failure);
	MemoryContextSwitchTo(old);
}

void
sf_member_forget_error(SfMember *member)
{
	member->failure = NULL;
	MemoryContextReset(member->error_context);
}

bool
sf_trouble_waits(const SfTrouble *trouble, TimestampTz now)
{
	return trouble->retry_at > now;
}

/*
 * Lets others see how it stands with a member.  error NULL: as before, or nothing when nothing is left.  Of one that has
 * failed, why it has is what remains to be seen, whatever its last commit raises.
 */
static void
show(SfMember *member, const ErrorData *error)
{
	SfFragment *shared = member->shared;
	TimestampTz tick_at = member->tick_trouble.retry_at;
	TimestampTz commit_at = member->commit_trouble.retry_at;
	int attempts = Max(member->tick_trouble.attempts, member->commit_trouble.attempts);
	bool failed = pg_atomic_read_u32(&shared->status) == SF_FRAGMENT_FAILED;
	const char *sqlstate = error != NULL ? unpack_sql_state(error->sqlerrcode) : "";

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (!failed && (error != NULL || attempts == 0))
	{
		strlcpy(shared->error_message, error != NULL ? error->message : "", sizeof(shared->error_message));
		strlcpy(shared->error_sqlstate, sqlstate, sizeof(shared->error_sqlstate));
	}
	shared->attempts = attempts;
	shared->retry_at = tick_at == 0 || (commit_at != 0 && commit_at < tick_at) ? commit_at : tick_at;
	LWLockRelease(&shared->lock);
}

static void
report(SfMember *member, const ErrorData *error, const char *format, long delay_ms)
{
	const char *view = get_rel_name(member->row.view);

	ereport(LOG, (errcode(error->sqlerrcode), errmsg_internal(format, view ? view : "", error->message),
	              error->detail ? errdetail_internal("%s", error->detail) : 0,
	              delay_ms >= 0 ? errhint("It is tried again in %ld ms.", delay_ms) : 0));
}

/* Stops a member at its last published state. */
static void
fail(SfWorker *worker, SfMember *member, const ErrorData *error)
{
	report(member, error, "continuous view \"%s\" has failed: %s", -1);
	sf_member_detach(worker, member);
	memset(&member->tick_trouble, 0, sizeof(SfTrouble));
	memset(&member->commit_trouble, 0, sizeof(SfTrouble));
	show(member, error);
	sf_report_failure(member, GetCurrentTimestamp());
	sf_member_set_status(worker, member, SF_FRAGMENT_FAILED);
}

static void
try_again(SfWorker *worker, SfMember *member, SfTrouble *trouble, const ErrorData *error, long delay_ms)
{
	trouble->attempts++;
	trouble->out_of_memory = error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
	                         error->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
	trouble->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
	report(member, error, "continuous view \"%s\" has raised an error: %s", delay_ms);
	if (trouble == &member->tick_trouble)
		sf_member_detach(worker, member);
	show(member, error);
}

void
sf_member_trouble(SfWorker *worker, SfMember *member, SfTrouble *trouble)
{
	ErrorData *error = member->failure;
	bool failed = pg_atomic_read_u32(&member->shared->status) == SF_FRAGMENT_FAILED;

	Assert(error != NULL);
	/* Of one that has failed only that is left to be written.  A view's time-out is its own doing. */
	if (failed || (!member->timed_out && sf_error_may_pass(error)))
	{
		trouble->delay_ms = Min(Max(2 * trouble->delay_ms, DELAY_MIN_MS), DELAY_MAX_MS);
		try_again(worker, member, trouble, error, trouble->delay_ms);
	}
	else if (trouble->own_errors < sf_restart_attempts)
	{
		trouble->own_errors++;
		try_again(worker, member, trouble, error, sf_restart_delay_ms);
	}
	else
		fail(worker, member, error);
	sf_member_forget_error(member);
}

void
sf_trouble_over(SfMember *member, SfTrouble *trouble)
{
	if (trouble->attempts == 0)
		return;
	memset(trouble, 0, sizeof(SfTrouble));
	show(member, NULL);
}

void
sf_trouble_forget(SfMember *member)
{
	memset(&member->tick_trouble, 0, sizeof(SfTrouble));
	memset(&member->commit_trouble, 0, sizeof(SfTrouble));
	show(member, NULL);
	sf_report_resumed(member);
}

bool
sf_start_due(SfWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);

		if (member->unstarted && !sf_member_stopped(member) && !sf_trouble_waits(&member->tick_trouble, now))
			return true;
	}
	return false;
}

/* One that should have been tried again by now waits for something else, such as a lock. */
static long
until(TimestampTz retry_at, TimestampTz now)
{
	return retry_at > now ? TimestampDifferenceMilliseconds(now, retry_at) : OVERDUE_MS;
}

long
sf_retry_wait(SfWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	long wait_ms = -1;
	ListCell *cell;

	foreach (cell, worker->members)
	{
		SfMember *member = lfirst(cell);
		SfTrouble *troubles[] = {&member->tick_trouble, &member->commit_trouble};

		for (int i = 0; i < 2; i++)
			if (troubles[i]->retry_at != 0)
			{
				long left = until(troubles[i]->retry_at, now);

				wait_ms = wait_ms < 0 ? left : Min(wait_ms, left);
			}
	}
	return wait_ms;
}
