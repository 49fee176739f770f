/*
 * aggregate.h
 *		The state of one aggregate call of a fragment: native kernels, transition values, or the inputs themselves.
 *
 * A state is `size` bytes inside a group (MAXALIGNed), of which at most one field, at `blob_offset`, is a dsa_pointer
 * to a blob (state/blob.h), or at `list_offset` the head of a list (state/list.h).  Only the worker advances states, and only those of groups already touched in this tick
 * (see store.h); readers get copies.
 */
#ifndef SF_AGGREGATE_H
#define SF_AGGREGATE_H

#include "streamfuse.h"

#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "state/blob.h"
#include "state/list.h"
#include "storage/block.h"
#include "storage/off.h"

typedef struct SfAggregate SfAggregate;

/* What others may know of an aggregate; the struct starts with it. */
struct SfAggregate
{
	Aggref	   *aggref;			/* args and filter as in Q; owned by the caller */
	List	   *inputs;			/* Expr over a row of the stream: the values a row brings */
	int			nargs;			/* of them */
	Size		size;			/* bytes of state inside a group, MAXALIGNed */
	int			blob_offset;	/* offset of the dsa_pointer inside the state, or -1 */
	int			list_offset;	/* offset of the SfList inside the state, or -1 */
	bool		counts_list;	/* the list's head is all that the answer needs */
	Oid			result_type;
	int32		result_typmod;
	Oid			result_collation;
	int			kernel;			/* SfKernel of aggregate_private.h; 0 = catalogued functions */

	/* Direct arguments, which the caller computes for a group before it asks for the group's answer. */
	int			ndirect;
	Datum	   *direct;
	bool	   *direct_nulls;
	/* private parts follow in aggregate_private.h */
};

/* Where rows are: row i of an advance is row rows[i] (NULL: row i) of the arrays. */
typedef struct SfPlaces
{
	Oid			relation;
	uint16		branch;			/* of the query; see plan/branch.h */
	const BlockNumber *blocks;
	const OffsetNumber *offsets;
	const int  *rows;
} SfPlaces;

/*
 * Resolves an aggregate.  Raises ERRCODE_FEATURE_NOT_SUPPORTED for arguments that are rows of no named type;
 * ERRCODE_INSUFFICIENT_PRIVILEGE when the current user may not execute it or its functions.  to_combine: it is one of
 * which sf_aggregate_can_combine says yes, if need be by keeping its inputs.
 */
extern SfAggregate *sf_aggregate_create(MemoryContext context, Aggref *aggref, bool to_combine);

/* What a state is. */
typedef enum SfStateKind
{
	SF_STATE_KERNEL,			/* flat, folded by a kernel of ours */
	SF_STATE_VALUE,				/* flat: the transition value, by the aggregate's own functions */
	SF_STATE_SERIALISED,		/* the transition value in the aggregate's serialised form */
	SF_STATE_LIST,				/* the inputs */
	SF_STATE_SET,				/* the inputs, each once */
} SfStateKind;

extern SfStateKind sf_aggregate_state_kind(const SfAggregate *agg);

/*
 * Must all that a call of an aggregate is given be kept for its answer?  Also of one that has not been planned.  (To be
 * combined, others may have to, too.)
 */
extern bool sf_aggregate_keeps_inputs(Aggref *aggref);

/*
 * Lets agg be answered from a state like other's, if that holds all that agg needs of the same rows, as a variance's does
 * for sum and avg.  For all pairs of a layout, before offsets are given out.
 */
extern void sf_aggregate_widen(SfAggregate *agg, const SfAggregate *other);

/*
 * Does the order of rows matter to an aggregate, so that where the query leaves it open they come in the order of their
 * places, relation by relation?  And a call's rows sorted by one more column, behind what they are sorted by.
 */
extern bool sf_aggregate_is_by_place(Aggref *aggref);
extern void sf_aggregate_sort_by(Aggref *aggref, Var *var);

/* Is the state of both the same after the same rows?  Then one may fold rows in for both. */
extern bool sf_aggregate_same_state(const SfAggregate *a, const SfAggregate *b);

/* Fills a fresh state (initial value). */
extern void sf_aggregate_start(SfAggregate *agg, SfBlobSpace *blobs, char *state);

/*
 * Folds row i of places in.  May raise (overflow, user code).  Temporary memory: CurrentMemoryContext, reset by the
 * caller.
 */
extern void sf_aggregate_advance(SfAggregate *agg, SfBlobSpace *blobs, char *state, const Datum *args,
								 const bool *nulls, const SfPlaces *places, int i);

/*
 * Batch form: row i (of n) folds args[0][i], … into states[i]; rows with states[i] == NULL are skipped (filtered or
 * late).  args and nulls are one array per argument.  nulls[a] may be NULL: no nulls in that argument.
 */
extern void sf_aggregate_advance_batch(SfAggregate *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
									   const SfPlaces *places, int n);

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

/*
 * Flat form for checkpoints: appends to out / reads from *data and moves it.  *saved: how many collected inputs have been
 * saved before; moved on by as many as fit in one part.  False: there are more.
 */
extern bool sf_aggregate_save(SfAggregate *agg, SfBlobSpace *blobs, const char *state, uint64 *saved, StringInfo out);
extern void sf_aggregate_load(SfAggregate *agg, SfBlobSpace *blobs, char *state, const char **data, const char *end);

/* How many collected inputs the last checkpoint has, and that the state is now as a checkpoint has it. */
extern uint64 sf_aggregate_saved(const SfAggregate *agg, const char *state);
extern void sf_aggregate_set_saved(SfAggregate *agg, char *state);

/*
 * A touched state before one row, and back to that when the row has raised; all within a tick.  What the next row makes
 * necessary is done before.
 */
extern void sf_aggregate_keep(SfAggregate *agg, SfBlobSpace *blobs, char *state, StringInfo out);
extern void sf_aggregate_put_back(SfAggregate *agg, SfBlobSpace *blobs, char *state, const char **data,
								  const char *end);

#endif /* SF_AGGREGATE_H */
