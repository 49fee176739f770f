/*
 * batch.h
 *		Rows of a stream as columns: what capture hands over and every fragment of the stream reads.
 *
 * Columns are numbered as in the stream named by the queries; a leaf partition's own numbering is mapped when its rows
 * are added.  Only the columns that some fragment needs are filled.
 */
#ifndef SF_BATCH_H
#define SF_BATCH_H

#include "streamfuse.h"

#include "access/attmap.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

#define SF_BATCH_ROWS 2048

typedef struct SfBatch
{
	int			nrows;
	int			natts;			/* of the stream */
	Datum	  **values;			/* [natts]: SF_BATCH_ROWS each, or NULL where not needed */
	bool	  **nulls;			/* like values */
	bool	   *has_nulls;		/* [natts]: is any value of the column null in this batch? */
	Oid			relid;			/* where the rows are: relation, block and line pointer of each */
	BlockNumber *blocks;
	OffsetNumber *offsets;
	MemoryContext rows;			/* copies that values passed by reference point into */
	struct SfBatchReader *reader;
} SfBatch;

/* needed: columns of the stream, as attno - 1. */
extern SfBatch *sf_batch_create(MemoryContext context, TupleDesc stream, const Bitmapset *needed);
extern void sf_batch_destroy(SfBatch *batch);

/* The relation (the stream or a leaf of it) whose rows are added next; stays open while they are. */
extern void sf_batch_set_relation(SfBatch *batch, Relation rel, TupleDesc stream);

/* Adds rows of a page, as many as fit; returns how many of noffsets were taken.  All rows of a batch are of one relation. */
extern int	sf_batch_add(SfBatch *batch, Page page, BlockNumber block, const OffsetNumber *offsets, int noffsets);
extern void sf_batch_reset(SfBatch *batch);

#endif /* SF_BATCH_H */
