/*
 * verify_internal.h
 *		Inside src/verify: one verification, the queries of its sides, and the statement that compares them.
 */
#ifndef SF_VERIFY_INTERNAL_H
#define SF_VERIFY_INTERNAL_H

#include "verify/verify.h"

#include "executor/spi.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "plan/fragment.h"
#include "plan/view.h"
#include "read/pin.h"
#include "state/progress.h"

/* Aliases by which the statement names its sides: all three are the view itself. */
#define SF_STREAM_SIDE "streamfuse stream"
#define SF_BATCH_SIDE "streamfuse batch"
#define SF_MAGNITUDE_SIDE "streamfuse magnitude"

/* Where a row of a stream is, and the branch of the query that it failed in. */
typedef struct SfRowPlace
{
	Oid			relid;
	ItemPointerData tid;
	int			branch;
} SfRowPlace;

/* One call of verify(). */
typedef struct SfVerification
{
	Oid			view;
	const SfFragmentRow *row;
	SfDefinition *definition;
	bool		final;			/* the view shows closed windows only */

	/* A restored view is compared before it runs: its output, up to here, against the batch over all rows stored. */
	bool		adoption;
	SfTime		adopted_until;

	/* What is compared: the rows counted at the pin's tick, as the snapshot sees them. */
	MemoryContext tick_context; /* of all below; reset for each attempt to find them */
	SfPin	   *pin;
	SfProgress	progress;
	List	   *sources;		/* SfSourceState *, of each stream */
	Snapshot	snapshot;		/* registered */
	int			nfailed;		/* of those, rows that are in the error table, sorted */
	SfRowPlace *failed;
	SfTime		last_closed;	/* windows ending up to here are in the output table, for the snapshot */

	/* Windows compared: from <= start < to, and not one of excluded. */
	SfTime		from;
	SfTime		to;
	int			nexcluded;
	Datum	   *excluded;		/* their starts and ends */
	Datum	   *excluded_ends;
} SfVerification;

/* side.c: the query that stands for the batch or magnitude side. */
extern Query *sf_verify_side(const SfVerification *verification, bool magnitude);

extern void sf_verify_keep_until(const SfVerification *verification, Query *query, Index varno, AttrNumber attnum,
								 SfTime until);

/* The column is compared with a tolerance: a floating-point number that is no grouping column. */
extern bool sf_verify_is_float(const SfVerification *verification, int column, Oid type);

/* failed.c: after the tick is fixed */
extern void sf_verify_read_failed(SfVerification *verification);
extern bool sf_verify_has_failed(const SfVerification *verification, Oid relid, ItemPointer tid, int branch);

/* compare.c: the statement, and its parameters. */
extern char *sf_verify_statement(const SfVerification *verification, Relation view);
extern ParamListInfo sf_verify_params(const SfVerification *verification);

/* verify.c: runs a statement that names the sides, as the view's owner; the caller has set user and settings. */
extern int	sf_verify_run(const SfVerification *verification, const char *statement, const SPIExecuteOptions *options);

/* adopt.c */
extern Query *sf_adopted_side(const SfVerification *verification);
extern List *sf_compare_adopted(const SfFragmentRow *row, SfDefinition *definition, const SfProgress *progress);

#endif							/* SF_VERIFY_INTERNAL_H */
