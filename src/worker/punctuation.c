/*
 * punctuation.c
 *		Watermarks set by hand, as a scan of the stream takes them in.
 *
 * A row of streamfuse.punctuation counts once all rows that were committed with it are counted, and is deleted with the
 * commit that makes it durable.  One that raises the watermark is the same however often it is taken in; a reset is not, so
 * each scan remembers the last one that it has.
 */
#include "worker/dataflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/partition.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "state/catalog.h"
#include "time/watermark.h"

/* Is this relation the stream, or a partitioned parent whose watermark the stream shares? */
static bool
has_watermark_of(SfSource *source, Oid relid)
{
	return relid == source->stream || list_member_oid(get_partition_ancestors(source->stream), relid);
}

/* Has a scan of the stream taken it in, and is it only not deleted yet? */
static bool
is_noted(SfWorker *worker, int64 id)
{
	ListCell *cell;

	foreach (cell, worker->applied_punctuations)
		if (*(int64 *) lfirst(cell) == id)
			return true;
	return false;
}

/* To be deleted with the next commit.  Once, however many scans of the stream take it in. */
static void
note_punctuation(SfWorker *worker, int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(worker->context);
	int64 *noted;

	if (!is_noted(worker, id))
	{
		noted = palloc(sizeof(int64));
		*noted = id;
		worker->applied_punctuations = lappend(worker->applied_punctuations, noted);
	}
	MemoryContextSwitchTo(old);
}

/* Is it part of what this source has published, and only not deleted yet?  A reset must not be done twice. */
static bool
is_applied(SfWorker *worker, SfSource *source, int64 id)
{
	return is_noted(worker, id) && source->state->punctuation >= id;
}

/* Rows of streamfuse.punctuation for this stream, once all rows committed with them are counted. */
void
sf_source_apply_punctuations(SfWorker *worker, SfSource *source, Snapshot snapshot)
{
	SfSourceState *next = source->next;
	SfCatalog *catalog = sf_catalog_open("punctuation", AccessShareLock);
	SysScanDesc scan = sf_catalog_scan_begin(catalog, "punctuation_pkey", 0, NULL, snapshot);
	TupleDesc desc = RelationGetDescr(sf_catalog_table(catalog));
	HeapTuple tuple;

	while ((tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		Datum values[4];
		bool nulls[4];
		SfTime watermark;
		ListCell *cell;

		heap_deform_tuple(tuple, desc, values, nulls);
		if (!has_watermark_of(source, DatumGetObjectId(values[0])) ||
		    is_applied(worker, source, DatumGetInt64(values[1])))
			continue;
		watermark = DatumGetTimestampTz(values[3]);
		if (!DatumGetBool(values[2]))
			next->watermark = Max(next->watermark, watermark);
		else
		{
			next->watermark = watermark;
			next->last_reset = Max(next->last_reset, DatumGetInt64(values[1]));
			source->reset = true;
			next->max_event = source->settings.has_watermark ? sf_watermark_origin(&source->settings, watermark)
			                                                 : SF_TIME_MINUS_INFINITY;
		}
		next->punctuation = Max(next->punctuation, DatumGetInt64(values[1]));
		note_punctuation(worker, DatumGetInt64(values[1]));
		foreach (cell, source->members)
			((SfMember *) lfirst(cell))->must_commit = true;
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
}

/* Is there a reset of this stream's watermark that others of its scans have taken in, or that waits in the table? */
static bool
has_new_reset(SfWorker *worker, SfSource *source)
{
	SfCatalog *catalog;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;
	ListCell *cell;

	foreach (cell, worker->sources)
	{
		SfSource *other = lfirst(cell);

		if (other->stream == source->stream && other->state->last_reset > source->state->last_reset)
			return true;
	}
	if (!worker->punctuations)
		return false;
	catalog = sf_catalog_open("punctuation", AccessShareLock);
	scan = sf_catalog_scan_begin(catalog, "punctuation_pkey", 0, NULL, NULL);
	while (!found && (tuple = sf_catalog_scan_next(scan)) != NULL)
	{
		Datum values[4];
		bool nulls[4];

		heap_deform_tuple(tuple, RelationGetDescr(sf_catalog_table(catalog)), values, nulls);
		found = DatumGetBool(values[2]) && DatumGetInt64(values[1]) > source->state->last_reset &&
		        has_watermark_of(source, DatumGetObjectId(values[0]));
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(catalog, AccessShareLock);
	return found;
}

/* Was one of its views filled before?  (One that is being filled would keep all of its windows open.) */
static bool
was_filled(SfSource *source)
{
	ListCell *cell;

	foreach (cell, source->members)
		if (((SfMember *) lfirst(cell))->backfilled)
			return true;
	return false;
}

/*
 * A scan that was held back meets rows from before a reset of the watermark and from after it in one tick, and they are
 * not told apart.  So none is judged by the watermark from before: windows that were passed over without a row are open.
 */
void
sf_source_look_for_reset(SfWorker *worker, SfSource *source)
{
	ListCell *cell;

	source->behind_reset = was_filled(source) && has_new_reset(worker, source);
	if (!source->behind_reset)
		return;
	source->next->watermark = source->next->max_event = SF_TIME_MINUS_INFINITY;
	foreach (cell, source->members)
	{
		SfProgress *progress = &((SfMember *) lfirst(cell))->progress;

		progress->closed_until = Min(progress->closed_until, progress->last_closed);
	}
}
