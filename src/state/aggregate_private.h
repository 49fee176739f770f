/*
 * aggregate_private.h
 *		What the files of aggregate states share: kernels, and the common head of states with a blob.
 */
#ifndef SF_AGGREGATE_PRIVATE_H
#define SF_AGGREGATE_PRIVATE_H

#include "state/aggregate.h"

#include "executor/nodeAgg.h"

/* Kernels.  The numbers are part of the saved form of a state: new ones go to the end, none is used twice. */
typedef enum SfKernel
{
	SF_KERNEL_CATALOG = 0,		/* the aggregate's own functions */
	SF_KERNEL_COUNT,
	SF_KERNEL_SUM_INT,			/* of int2 and int4: bigint, wraps as PostgreSQL's */
	SF_KERNEL_AVG_INT,
	SF_KERNEL_SUM_INT8,			/* exact */
	SF_KERNEL_AVG_INT8,
	SF_KERNEL_SUM_FLOAT4,
	SF_KERNEL_SUM_FLOAT8,
	SF_KERNEL_AVG_FLOAT,
	SF_KERNEL_SUM_NUMERIC,
	SF_KERNEL_AVG_NUMERIC,
	SF_KERNEL_SUM_INTERVAL,
	SF_KERNEL_AVG_INTERVAL,
	SF_KERNEL_MIN_INT,			/* int2, int4, int8, date, timestamp, timestamptz */
	SF_KERNEL_MAX_INT,
	SF_KERNEL_MIN_FLOAT,
	SF_KERNEL_MAX_FLOAT,
	SF_KERNEL_MIN_NUMERIC,
	SF_KERNEL_MAX_NUMERIC,
	SF_KERNEL_MIN_INTERVAL,
	SF_KERNEL_MAX_INTERVAL,
	SF_KERNEL_BOOL_AND,			/* every is its other name */
	SF_KERNEL_BOOL_OR,
	SF_KERNEL_BIT_AND,			/* of int2, int4, int8 */
	SF_KERNEL_BIT_OR,
	SF_KERNEL_BIT_XOR,
	SF_KERNEL_MOMENTS_INT,		/* variances of int2, int4, int8, and sum and avg beside them */
	SF_KERNEL_MOMENTS_NUMERIC,
	SF_KERNEL_VARIANCE_FLOAT,
} SfKernel;

/* What no kernel is: the inputs are kept. */
#define SF_KERNEL_COLLECTED 255

/* Folds values of one argument into states; a state of NULL, or a null value, is skipped. */
typedef void (*KernelBatch) (SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n);
typedef Datum (*KernelResult) (SfBlobSpace *blobs, const char *state, bool *isnull);

/* Folds the rows of one state into another; each has its own place for blobs. */
typedef void (*KernelCombine) (SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);

typedef struct Kernel
{
	Oid			aggregate;		/* pg_proc oid of the built-in aggregate */
	SfKernel	number;
	Size		size;			/* of the state; all zeros is its initial value */
	bool		has_blob;		/* the state begins with a BlobState */
	KernelBatch batch;
	KernelResult result;
} Kernel;

/* How states with a blob begin.  A blob that is not in use is only memory for the next value. */
typedef struct BlobState
{
	dsa_pointer blob;
	uint32		blob_in_use;
} BlobState;

typedef struct AggregateImpl
{
	SfAggregate public;
	const Kernel *kernel;		/* NULL: catalogued */
	struct CatalogAggregate *catalog;
	struct CollectedAggregate *collected;	/* instead of either */
} AggregateImpl;

typedef struct ListPlan ListPlan;	/* aggregate_executor.c */

typedef struct CollectedAggregate
{
	MemoryContext context;
	List	   *args;			/* TargetEntry: as in Q, over OUTER_VAR columns for the inputs */
	TupleDesc	desc;			/* of the inputs */
	Oid			transition_type;
	bool		has_rows;		/* an argument is a row built of several inputs */
	bool		is_set;			/* with DISTINCT: repetitions are taken out now and then */
	struct SetKeys *set;		/* with DISTINCT: none comes in; instead of that */
	ListPlan   *aggregation;	/* or NULL */
	ListPlan   *distinction;
} CollectedAggregate;

typedef struct CollectedState
{
	SfList		list;
	uint64		saved;			/* entries that the last checkpoint has; worker only */
	uint64		distinct_bytes; /* of a set without repetitions, when they were last taken out */
	uint64		null_at;		/* of a set: the number, from 1, of the entry that is null; 0: none is */
} CollectedState;

extern const Kernel *sf_kernel_find(Oid aggregate);
extern KernelCombine sf_kernel_combine(SfKernel number);

/* aggregate_numeric.c */
typedef struct NumericSum
{
	BlobState	blob;			/* in use: a numeric to be added to sum */
	int16		dscale;			/* largest of all finite values */
	int16		fraction;		/* sum is in units of 10000 ^ -fraction */
	int128		sum;
	int64		count;			/* of finite values */
	uint32		specials;		/* NUMERIC_SUM_* */
} NumericSum;

typedef struct NumericBest
{
	BlobState	blob;			/* in use: the numeric; else it is in data */
	uint32		length;			/* 0: none yet */
	char		data[24];
} NumericBest;

extern Datum sf_numeric_from_int128(int128 value, int fraction, int dscale);
extern void sf_numeric_sum_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n);
extern Datum sf_numeric_sum_result(SfBlobSpace *blobs, const char *state, bool *isnull);
extern Datum sf_numeric_avg_result(SfBlobSpace *blobs, const char *state, bool *isnull);
extern void sf_numeric_min_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n);
extern void sf_numeric_max_batch(SfBlobSpace *blobs, char **states, const Datum *values, const bool *nulls, int n);
extern Datum sf_numeric_best_result(SfBlobSpace *blobs, const char *state, bool *isnull);
extern void sf_numeric_sum_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);
extern void sf_numeric_min_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);
extern void sf_numeric_max_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);

/* aggregate_variance.c */
extern const Kernel *sf_variance_kernel_find(Oid aggregate);
extern void sf_moments_int_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);
extern void sf_moments_numeric_combine(SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from);

/* The kernel that answers an aggregate from a variance's state of the same argument, or NULL. */
extern const Kernel *sf_variance_companion(const Kernel *kernel, const Kernel *variance);

/* aggregate_catalog.c */
extern void sf_catalog_create(AggregateImpl *agg, MemoryContext context);
extern void sf_catalog_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
							   int n);
extern Datum sf_catalog_result(AggregateImpl *agg, SfBlobSpace *blobs, const char *state, bool *isnull);
extern bool sf_catalog_can_combine(const AggregateImpl *agg);
extern bool sf_catalog_is_serialised(const AggregateImpl *agg);
extern void sf_catalog_combine(AggregateImpl *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs,
							   const char *from);

/* aggregate_collected.c */
extern bool sf_is_collected(Aggref *aggref);
extern void sf_collected_create(AggregateImpl *agg);
extern void sf_collected_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
								 const SfPlaces *places, int n);

/* The two steps of one row: the first may replace the list, the second only appends. */
extern void sf_collected_prepare(AggregateImpl *agg, SfBlobSpace *blobs, char *state);
extern void sf_collected_add(AggregateImpl *agg, SfBlobSpace *blobs, char *state, const Datum *args, const bool *nulls,
							 const SfPlaces *places, int i);
extern void sf_collected_combine(AggregateImpl *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs,
								 const char *from);
extern bool sf_collected_save(SfBlobSpace *blobs, const char *state, uint64 *saved, StringInfo out);
extern void sf_collected_load(AggregateImpl *agg, SfBlobSpace *blobs, char *state, const char **data, const char *end);
extern void sf_collected_check_size(const AggregateImpl *agg, const CollectedState *state, uint64 more);

/* The values as a tuple that refers to nothing outside it. */
extern MinimalTuple sf_collected_form(TupleDesc desc, const Datum *values, const bool *nulls);

/* aggregate_set.c */
extern void sf_set_create(AggregateImpl *agg);
extern void sf_set_add(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const Datum *values,
					   const bool *nulls);
extern void sf_set_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls, int n);
extern void sf_set_combine(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const SfEntry *entry);
extern void sf_set_load(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, const char *data,
						uint32 length);
extern Datum sf_set_count(const CollectedState *state);

/* Of an entry without values: the one that it stands for. */
extern Datum sf_set_value(const SfEntry *entry);

/* aggregate_executor.c */
extern bool sf_can_be_distinct(const AggregateImpl *agg);
extern Datum sf_collected_result(AggregateImpl *agg, SfBlobSpace *blobs, const char *state, bool *isnull);
extern void sf_distinct_begin(AggregateImpl *agg, SfBlobSpace *blobs, const SfList *list);
extern MinimalTuple sf_distinct_next(AggregateImpl *agg);

#endif /* SF_AGGREGATE_PRIVATE_H */
