/*
 * batch.c
 *		Fills column arrays from heap tuples.
 *
 * Tuples without nulls whose needed columns all lie at fixed offsets are read straight from the page, column by column;
 * any other goes through a slot.  Where a needed column is passed by reference the tuples are copied first, because a
 * batch outlives the pin of its pages: with their page when there are some.
 */
#include "flow/batch.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"

/* From so many rows on their page is copied whole. */
#define COPY_PAGE_ROWS 8

typedef struct SfBatchColumn
{
	int column;       /* index into SfBatch.values */
	AttrNumber attno; /* in the relation being read */
	int offset;       /* fixed offset in a tuple without nulls, or -1 */
	int16 length;
} SfBatchColumn;

typedef struct SfBatchReader
{
	Oid relid; /* relation set last */
	int ncolumns;
	SfBatchColumn *columns;
	AttrNumber max_attno;
	bool fixed;        /* all columns have an offset */
	bool by_reference; /* some needed column is passed by reference */
	TupleDesc desc;    /* of the relation, a copy */
	TupleTableSlot *slot;
	MemoryContext context; /* of desc and slot */
} SfBatchReader;

SfBatch *
sf_batch_create(MemoryContext context, TupleDesc stream, const Bitmapset *needed)
{
	MemoryContext own = AllocSetContextCreate(context, "streamfuse batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	SfBatch *batch = palloc0(sizeof(SfBatch));
	SfBatchReader *reader = palloc0(sizeof(SfBatchReader));
	int column = -1;

	batch->natts = stream->natts;
	batch->values = palloc0(batch->natts * sizeof(Datum *));
	batch->nulls = palloc0(batch->natts * sizeof(bool *));
	batch->has_nulls = palloc0(batch->natts * sizeof(bool));
	batch->blocks = palloc(SF_BATCH_ROWS * sizeof(BlockNumber));
	batch->offsets = palloc(SF_BATCH_ROWS * sizeof(OffsetNumber));
	batch->rows = AllocSetContextCreate(own, "streamfuse batch rows", ALLOCSET_DEFAULT_SIZES);
	batch->reader = reader;
	reader->context = AllocSetContextCreate(own, "streamfuse batch relation", ALLOCSET_SMALL_SIZES);
	reader->columns = palloc0((bms_num_members(needed) + 1) * sizeof(SfBatchColumn));
	while ((column = bms_next_member(needed, column)) >= 0)
	{
		batch->values[column] = palloc(SF_BATCH_ROWS * sizeof(Datum));
		batch->nulls[column] = palloc0(SF_BATCH_ROWS * sizeof(bool));
		reader->columns[reader->ncolumns++].column = column;
		if (!TupleDescAttr(stream, column)->attbyval)
			reader->by_reference = true;
	}
	MemoryContextSwitchTo(old);
	return batch;
}

void
sf_batch_destroy(SfBatch *batch)
{
	if (batch->reader->slot != NULL)
		ExecDropSingleTupleTableSlot(batch->reader->slot);
	MemoryContextDelete(MemoryContextGetParent(batch->reader->context));
}

/* Offset of a column in a tuple that has no nulls; -1 when a column of variable length comes before it. */
static int
fixed_offset(TupleDesc desc, AttrNumber attno)
{
	int offset = 0;

	for (int i = 0; i < attno; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attlen <= 0)
			return -1;
		offset = att_align_nominal(offset, att->attalign);
		if (i == attno - 1)
			return att->attbyval ? offset : -1;
		offset += att->attlen;
	}
	return -1;
}

void
sf_batch_set_relation(SfBatch *batch, Relation rel, TupleDesc stream)
{
	SfBatchReader *reader = batch->reader;
	MemoryContext old;
	AttrMap *map;

	Assert(batch->nrows == 0);
	batch->relid = RelationGetRelid(rel);
	if (reader->relid == RelationGetRelid(rel) && equalTupleDescs(reader->desc, RelationGetDescr(rel)))
		return;
	old = MemoryContextSwitchTo(reader->context);
	if (reader->slot != NULL)
		ExecDropSingleTupleTableSlot(reader->slot);
	reader->slot = NULL;
	reader->relid = InvalidOid;
	MemoryContextReset(reader->context);
	reader->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	reader->slot = MakeSingleTupleTableSlot(reader->desc, &TTSOpsHeapTuple);
	reader->max_attno = 0;
	reader->fixed = !reader->by_reference;
	map = sf_attribute_map(reader->desc, stream);
	reader->relid = RelationGetRelid(rel);
	for (int i = 0; i < reader->ncolumns; i++)
	{
		SfBatchColumn *column = &reader->columns[i];

		column->attno = map == NULL ? column->column + 1 : map->attnums[column->column];
		column->offset = fixed_offset(reader->desc, column->attno);
		column->length = TupleDescAttr(reader->desc, column->attno - 1)->attlen;
		reader->max_attno = Max(reader->max_attno, column->attno);
		if (column->offset < 0)
			reader->fixed = false;
	}
	MemoryContextSwitchTo(old);
}

void
sf_batch_reset(SfBatch *batch)
{
	batch->nrows = 0;
	memset(batch->has_nulls, 0, batch->natts * sizeof(bool));
	if (batch->reader->by_reference)
		MemoryContextReset(batch->rows);
}

/* For each row of the page that lies there in the fixed form: data[i] is NULL for one that is in already. */
#define FETCH_COLUMN(type, to_datum)                                                                                   \
	for (int i = 0; i < n; i++)                                                                                        \
	{                                                                                                                  \
		if (data[i] != NULL)                                                                                           \
			values[i] = to_datum(*(const type *) (data[i] + offset));                                                  \
	}

static void
add_fixed(SfBatch *batch, char *const *data, int n)
{
	SfBatchReader *reader = batch->reader;

	for (int column = 0; column < reader->ncolumns; column++)
	{
		int offset = reader->columns[column].offset;
		Datum *values = batch->values[reader->columns[column].column] + batch->nrows;

		switch (reader->columns[column].length)
		{
			case sizeof(char):
				FETCH_COLUMN(char, CharGetDatum);
				break;
			case sizeof(int16):
				FETCH_COLUMN(int16, Int16GetDatum);
				break;
			case sizeof(int32):
				FETCH_COLUMN(int32, Int32GetDatum);
				break;
			default:
				FETCH_COLUMN(Datum, (Datum));
				break;
		}
	}
}

static void
add_any(SfBatch *batch, HeapTuple tuple, int row)
{
	SfBatchReader *reader = batch->reader;

	ExecStoreHeapTuple(tuple, reader->slot, false);
	slot_getsomeattrs(reader->slot, reader->max_attno);
	for (int i = 0; i < reader->ncolumns; i++)
	{
		SfBatchColumn *column = &reader->columns[i];
		bool isnull = reader->slot->tts_isnull[column->attno - 1];

		batch->values[column->column][row] = isnull ? (Datum) 0 : reader->slot->tts_values[column->attno - 1];
		batch->nulls[column->column][row] = isnull;
		if (isnull)
			batch->has_nulls[column->column] = true;
	}
	ExecClearTuple(reader->slot);
}

static void
init_tuple(HeapTuple tuple, Page page, ItemId item, Oid relid)
{
	tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple->t_len = ItemIdGetLength(item);
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = relid;
}

/* The tuples of these rows in the batch's memory: one by one, or as a copy of their page. */
static void
add_copies(SfBatch *batch, Page page, const OffsetNumber *offsets, int n)
{
	bool copy_page = n >= COPY_PAGE_ROWS;
	MemoryContext old = MemoryContextSwitchTo(batch->rows);

	if (copy_page)
		page = memcpy(palloc(BLCKSZ), page, BLCKSZ);
	for (int i = 0; i < n; i++)
	{
		HeapTupleData tuple;

		init_tuple(&tuple, page, PageGetItemId(page, offsets[i]), batch->reader->relid);
		add_any(batch, copy_page ? &tuple : heap_copytuple(&tuple), batch->nrows + i);
	}
	MemoryContextSwitchTo(old);
}

static void
add_in_place(SfBatch *batch, Page page, const OffsetNumber *offsets, int n)
{
	SfBatchReader *reader = batch->reader;
	char *data[MaxHeapTuplesPerPage];
	bool fixed = false;

	for (int i = 0; i < n; i++)
	{
		ItemId item = PageGetItemId(page, offsets[i]);
		HeapTupleHeader header = (HeapTupleHeader) PageGetItem(page, item);

		if (likely(reader->fixed && (header->t_infomask & HEAP_HASNULL) == 0 &&
		           HeapTupleHeaderGetNatts(header) >= reader->max_attno))
		{
			data[i] = (char *) header + header->t_hoff;
			fixed = true;
		}
		else
		{
			HeapTupleData tuple;

			init_tuple(&tuple, page, item, reader->relid);
			add_any(batch, &tuple, batch->nrows + i);
			data[i] = NULL;
		}
	}
	if (fixed)
		add_fixed(batch, data, n);
}

int
sf_batch_add(SfBatch *batch, Page page, BlockNumber block, const OffsetNumber *offsets, int noffsets)
{
	SfBatchReader *reader = batch->reader;
	int n = Min(noffsets, SF_BATCH_ROWS - batch->nrows);

	Assert(n <= MaxHeapTuplesPerPage);
	memcpy(batch->offsets + batch->nrows, offsets, n * sizeof(OffsetNumber));
	for (int i = 0; i < n; i++)
		batch->blocks[batch->nrows + i] = block;
	for (int i = 0; i < reader->ncolumns; i++)
		memset(batch->nulls[reader->columns[i].column] + batch->nrows, false, n);
	if (reader->by_reference)
		add_copies(batch, page, offsets, n);
	else
		add_in_place(batch, page, offsets, n);
	batch->nrows += n;
	return n;
}
