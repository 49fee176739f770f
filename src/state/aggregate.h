/*
 * aggregate.h
 *		The state of one aggregate call of a fragment: native kernels, and any aggregate with a flat transition type.
 *
 * A state is `size` bytes inside a group (MAXALIGNed), of which at most one field, at `blob_offset`, is a dsa_pointer
 * to a blob (state/blob.h).  Only the worker advances states, and only those of groups already touched in this tick
 * (see store.h); readers get copies.
 */
#ifndef SF_AGGREGATE_H
#define SF_AGGREGATE_H

#include "streamfuse.h"

#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "state/blob.h"

typedef struct SfAggregate SfAggregate;

/* What others may know of an aggregate; the struct starts with it. */
struct SfAggregate
{
	Aggref	   *aggref;			/* args and filter as in Q; owned by the caller */
	int			nargs;			/* number of argument values a row brings */
	Size		size;			/* bytes of state inside a group, MAXALIGNed */
	int			blob_offset;	/* offset of the dsa_pointer inside the state, or -1 */
	Oid			result_type;
	int32		result_typmod;
	Oid			result_collation;
	int			kernel;			/* SfKernel of aggregate_private.h; 0 = catalogued functions */
	/* private parts follow in aggregate_private.h */
};

/*
 * Resolves an aggregate.  Raises ERRCODE_FEATURE_NOT_SUPPORTED, naming the aggregate, with a hint, for DISTINCT,
 * ORDER BY, WITHIN GROUP and internal transition types that cannot be serialised and combined;
 * ERRCODE_INSUFFICIENT_PRIVILEGE when the current user may not execute it or its functions.
 */
extern SfAggregate *sf_aggregate_create(MemoryContext context, Aggref *aggref);

/*
 * Lets agg be answered from a state like other's, if that holds all that agg needs of the same rows, as a variance's does
 * for sum and avg.  For all pairs of a layout, before offsets are given out.
 */
extern void sf_aggregate_widen(SfAggregate *agg, const SfAggregate *other);

/* Is the state of both the same after the same rows?  Then one may fold rows in for both. */
extern bool sf_aggregate_same_state(const SfAggregate *a, const SfAggregate *b);

/* Fills a fresh state (initial value). */
extern void sf_aggregate_start(SfAggregate *agg, SfBlobSpace *blobs, char *state);

/* Folds one row in.  May raise (overflow, user code).  Temporary memory: CurrentMemoryContext, reset by the caller. */
extern void sf_aggregate_advance(SfAggregate *agg, SfBlobSpace *blobs, char *state, const Datum *args,
								 const bool *nulls);

/*
 * Batch form: row i (of n) folds args[0][i], … into states[i]; rows with states[i] == NULL are skipped (filtered or
 * late).  args and nulls are one array per argument.  nulls[a] may be NULL: no nulls in that argument.
 */
extern void sf_aggregate_advance_batch(SfAggregate *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
									   int n);

/*
 * Folds the rows of a state into another, as though they had come after those of `into`: two panes become a window.  May
 * raise, like an advance.  A state that was all zeros and is combined with one is that one.  Each of the two spaces says
 * where its state's blobs are.  Not for aggregates of which sf_aggregate_can_combine says no.
 */
extern bool sf_aggregate_can_combine(const SfAggregate *agg);
extern void sf_aggregate_combine(SfAggregate *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs,
								 const char *from);

/* The answer for a copy of a state.  Result in CurrentMemoryContext. */
extern Datum sf_aggregate_result(SfAggregate *agg, SfBlobSpace *blobs, const char *state, bool *isnull);

/* Flat form for checkpoints: appends to out / reads from *data and moves it. */
extern void sf_aggregate_save(SfAggregate *agg, SfBlobSpace *blobs, const char *state, StringInfo out);
extern void sf_aggregate_load(SfAggregate *agg, SfBlobSpace *blobs, char *state, const char **data, const char *end);

#endif /* SF_AGGREGATE_H */
