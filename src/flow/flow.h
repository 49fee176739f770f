/*
 * flow.h
 *		The operators of one fragment: filter, window, keys, aggregates.  Rows go in by batches, groups are the result.
 *
 * A flow belongs to the worker.  Expressions of the user run before anything shared is touched; what follows changes
 * the fragment's groups, which sf_store_rollback undoes.
 */
#ifndef SF_FLOW_H
#define SF_FLOW_H

#include "streamfuse.h"

#include "flow/batch.h"
#include "plan/fragment.h"
#include "state/progress.h"
#include "state/store.h"

typedef struct SfFlow SfFlow;

/* Which columns of the stream (attno - 1) a definition needs. */
extern Bitmapset *sf_flow_columns(const SfDefinition *definition);

/*
 * Compiles a definition as the current user, who becomes the one whose rights its functions are checked against.  The
 * store and progress are borrowed.  begins_at: windows that start earlier are not the view's.
 */
extern SfFlow *sf_flow_create(MemoryContext context, SfDefinition *definition, SfStore *store, SfProgress *progress,
							  SfTime begins_at);
extern void sf_flow_destroy(SfFlow *flow);

/* True when expressions depend on the view's frozen settings, or run code of a user. */
extern bool sf_flow_needs_settings(const SfFlow *flow);

/* Starts a tick; `now` stamps rows found late.  Rollback takes the counters of the tick back. */
extern void sf_flow_begin(SfFlow *flow, TimestampTz now);
extern void sf_flow_rollback(SfFlow *flow);

/* Folds the rows of a batch into groups.  May raise; the caller then rolls back flow and store. */
extern void sf_flow_batch(SfFlow *flow, SfBatch *batch);

#endif /* SF_FLOW_H */
