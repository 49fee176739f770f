/*
 * minima.c
 *		The pre-pass of a catch-up: the smallest event time in each range of pages.
 *
 * While a long backlog is read in slices, the watermark of a slice must not pass event times that wait in later ones.
 * One quick look at the time column of all that waits finds out what they are.  Rows of transactions that still run are
 * looked at, too: they may commit before the slices come to them.
 */
#include "stream/page.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* Where the column is in a row without NULLs: an offset from the row's data, or -1 when that depends on the row. */
static int
fixed_offset(TupleDesc desc, AttrNumber attnum)
{
	int offset = 0;

	for (int i = 0; i < attnum - 1; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attlen <= 0)
			return -1;
		offset = att_align_nominal(offset, attribute->attalign) + attribute->attlen;
	}
	return att_align_nominal(offset, TupleDescAttr(desc, attnum - 1)->attalign);
}

static SfTime
page_minimum(TupleDesc desc, Page page, AttrNumber attnum, int offset)
{
	OffsetNumber max_offset = PageGetMaxOffsetNumber(page);
	SfTime minimum = SF_TIME_INFINITY;

	for (OffsetNumber i = FirstOffsetNumber; i <= max_offset; i++)
	{
		ItemId item = PageGetItemId(page, i);
		HeapTupleHeader header;
		SfTime time;

		if (!ItemIdIsNormal(item))
			continue;
		header = (HeapTupleHeader) PageGetItem(page, item);
		if (HeapTupleHeaderXminInvalid(header))
			continue;
		if (offset >= 0 && !(header->t_infomask & HEAP_HASNULL) && HeapTupleHeaderGetNatts(header) >= attnum)
			memcpy(&time, (char *) header + header->t_hoff + offset, sizeof(SfTime));
		else
		{
			HeapTupleData tuple = {.t_data = header, .t_len = ItemIdGetLength(item)};
			bool isnull;
			Datum value = heap_getattr(&tuple, attnum, desc, &isnull);

			if (isnull)
				continue;
			time = DatumGetTimestampTz(value);
		}
		minimum = Min(minimum, time);
	}
	return minimum;
}

SfTime *
sf_capture_minima(Relation rel, Snapshot snapshot, AttrNumber attnum, BlockNumber first, BlockNumber last,
                  MemoryContext context)
{
	BlockNumber nranges = (last - first + SF_RANGE_PAGES - 1) / SF_RANGE_PAGES;
	SfTime *minima = MemoryContextAllocHuge(context, Max(nranges, 1) * sizeof(SfTime));
	int offset = fixed_offset(RelationGetDescr(rel), attnum);
	SfPageReader *reader = palloc(sizeof(SfPageReader));

	Assert(first <= last && last <= RelationGetNumberOfBlocks(rel));
	for (BlockNumber i = 0; i < nranges; i++)
		minima[i] = SF_TIME_INFINITY;

	sf_page_reader_begin(reader, rel, snapshot);
	sf_page_reader_expect(reader, first, last);
	for (BlockNumber block = first; block < last; block++)
	{
		Buffer buffer;
		SfTime *minimum = &minima[(block - first) / SF_RANGE_PAGES];

		CHECK_FOR_INTERRUPTS();
		buffer = sf_page_pin(reader, block, NULL);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		*minimum = Min(*minimum, page_minimum(RelationGetDescr(rel), BufferGetPage(buffer), attnum, offset));
		UnlockReleaseBuffer(buffer);
	}
	sf_page_reader_end(reader);
	pfree(reader);
	return minima;
}
