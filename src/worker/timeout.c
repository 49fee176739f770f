/*
 * timeout.c
 *		streamfuse.view_timeout: how long the code of one view may run in one step of the worker.
 *
 * All views of a database share a worker, so code that does not come to an end must not hold it.  The clock runs while the
 * worker is the view's owner (sf_owner_enter to sf_owner_leave); long steps start it again for each batch of their rows.
 * When it runs out the code is cancelled as by pg_cancel_backend, which only the flag here tells apart: one is the view's
 * own failure, the other is tried again.
 */
#include "worker/dataflow.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

static TimeoutId view_timeout;
static volatile sig_atomic_t expired = false;

/* In the signal handler. */
static void
cancel(void)
{
	expired = true;
	InterruptPending = true;
	QueryCancelPending = true;
}

void
sf_view_timeout_init(void)
{
	view_timeout = RegisterTimeout(USER_TIMEOUT, cancel);
}

void
sf_view_timeout_start(void)
{
	if (sf_view_timeout_ms > 0)
		enable_timeout_after(view_timeout, sf_view_timeout_ms);
}

/* Stops the clock.  True when it had run out; the cancellation, if nobody has met it yet, is taken back. */
bool
sf_view_timeout_stop(void)
{
	bool was_expired;

	disable_timeout(view_timeout, false);
	was_expired = expired;
	expired = false;
	if (was_expired)
		QueryCancelPending = false;
	return was_expired;
}

/* The error that a view gets for it, in place of that of a cancelled statement. */
void
sf_view_timeout_describe(ErrorData *error)
{
	error->message = psprintf("canceled after streamfuse.view_timeout (%d ms)", sf_view_timeout_ms);
	error->hint = pstrdup("Make the view's functions faster, or increase streamfuse.view_timeout.");
}
