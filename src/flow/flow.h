/*
 * flow.h
 *		The operators of one fragment: filter, window, keys, aggregates.  Rows go in by batches, groups are the result.
 *
 * A flow belongs to the worker.  A batch is worked in two steps.  The first evaluates the user's expressions, before
 * anything shared is touched; the second folds their values into the fragment's groups, which sf_store_rollback undoes.
 * A step that raises has stopped at one row, mostly; the caller either gives the batch up and undoes the tick, or says
 * that this row has failed and calls the step again, which then goes on behind it.
 */
#ifndef SF_FLOW_H
#define SF_FLOW_H

#include "streamfuse.h"

#include "flow/batch.h"
#include "flow/session.h"
#include "plan/fragment.h"
#include "state/progress.h"
#include "state/store.h"

typedef struct SfFlow SfFlow;

/* Which columns of a stream (attno - 1) a definition needs.  times: with those that are there for the time alone. */
extern Bitmapset *sf_flow_columns(const SfDefinition *definition, Oid stream, bool times);

/* Adds those that an expression over a row needs. */
extern void sf_flow_collect_columns(Node *node, Bitmapset **columns);

/*
 * Compiles a definition as the current user, who becomes the one whose rights its functions are checked against.  The
 * store, progress and sessions are borrowed.  begins_at: windows that start earlier are not the view's.
 */
extern SfFlow *sf_flow_create(MemoryContext context, SfDefinition *definition, SfStore *store, SfProgress *progress,
							  SfSessions *sessions, SfTime begins_at);
extern void sf_flow_destroy(SfFlow *flow);

/* True when expressions depend on the view's frozen settings, or run code of a user. */
extern bool sf_flow_needs_settings(const SfFlow *flow);

/* Starts a tick; `now` stamps rows found late or failed.  Rollback takes the counters of the tick back. */
extern void sf_flow_begin(SfFlow *flow, TimestampTz now);
extern void sf_flow_rollback(SfFlow *flow);

/* Ends the rows of a tick: one row that is there without any is made.  May raise for lack of memory. */
extern void sf_flow_finish(SfFlow *flow);

/*
 * Where groups are over all time: those whose rows are further behind the watermark than the ttl are forgotten as of this
 * tick.  Returns how many were removed from memory.  After all rows; may raise for lack of memory.
 */
extern int	sf_flow_forget(SfFlow *flow, SfTime watermark, int64 ttl, uint64 rows);

/* Stateless: has the tick, up to now, rows for the view? */
extern bool sf_flow_has_output(const SfFlow *flow);

/* Rows that came too late for a window are counted, in the tick. */
extern void sf_flow_count_missed(SfFlow *flow, SfTime start, SfTime end, int64 rows);

/*
 * Starts a batch for a branch of the definition, whose stream its rows are of (borrowed until it has been applied).  skip: rows may be set aside, so late ones are evaluated, too: a
 * row that raises is failed, not late.
 */
extern void sf_flow_start(SfFlow *flow, int branch, SfBatch *batch, bool skip);

/* The two steps.  Both may raise. */
extern void sf_flow_evaluate(SfFlow *flow);
extern void sf_flow_apply(SfFlow *flow);

/*
 * The row that a step which raised has stopped at, in *row (but for the error); false when it is not known, because
 * sf_flow_apply works column by column.  It works row by row once it has been asked to.
 */
extern bool sf_flow_row(const SfFlow *flow, SfFailedRow *row);
extern bool sf_flow_works_by_columns(const SfFlow *flow);
extern void sf_flow_work_by_rows(SfFlow *flow);

/* Sets that row aside: it is counted as failed, and what it had changed is undone.  May raise for lack of memory. */
extern void sf_flow_fail_row(SfFlow *flow, int sqlstate, const char *message);

#endif /* SF_FLOW_H */
