/*
 * spill_write.c
 *		A commit's part in spilling: which groups are cold, their rows, and the rows of groups that have come back.
 *
 * The search for cold groups goes round through the places of the windows.  A group is cold when it has not been touched
 * since the search was there the last time; where that is not enough, the next round takes whatever it meets.
 *
 * Nothing that the worker remembers changes before the transaction has committed: what it has done is in an SfSpillWrite.
 */
#include "state/spill_private.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "state/catalog.h"

/* Rows that are written together, unless one is so large that it may be compressed or moved out of line. */
#define WRITE_ROWS 64
#define LARGEST_TOGETHER 1800

/* Rows that a commit looks at for groups that are forgotten. */
#define FORGET_ROWS 4096

/* A row that has been written for a group, or deleted (then the place is that of the twin). */
typedef struct Change
{
	TwinKey key;
	ItemPointerData tid;
	int32 length;
	SfTick version;
} Change;

typedef struct Changes
{
	Change *items;
	int n;
	int max;
} Changes;

struct SfSpillWrite
{
	MemoryContext context;
	Changes deleted;
	Changes written;
	Oid file;          /* of the table that they are in */
	SfSpilled spilled; /* in the table once this has committed */
	Size bytes;        /* that the groups written have in memory */
	int64 forgotten;   /* rows deleted whose groups are not in memory */
	SfSpillSearch search;
};

/* What is needed while the rows are written. */
typedef struct Writer
{
	SfSpill *spill;
	SfSpillWrite *write;
	Relation table;
	CatalogIndexState indexes;
	TupleTableSlot *slots[WRITE_ROWS];
	int nslots; /* to be written together: the last ones of write->written */
	StringInfoData payload;
} Writer;

static Change *
add_change(SfSpillWrite *write, Changes *changes)
{
	sf_reserve(write->context, changes->items, changes->max, changes->n + 1, 256);
	return &changes->items[changes->n++];
}

/* ---- rows that are out of date ---- */

/* A group that has been closed, and has left memory with its window, is in the output table. */
static bool
is_out_of_date(SfSpill *spill, const Twin *twin)
{
	StoreWindow *window = sf_store_mirror_at_start(spill->store, twin->key.start);

	return window != NULL && store_group(spill->store, window, twin->key.id)->version != twin->version;
}

static void
delete_out_of_date(Writer *writer)
{
	SfSpillWrite *write = writer->write;
	HASH_SEQ_STATUS status;
	Twin *twin;

	hash_seq_init(&status, writer->spill->twins);
	while ((twin = hash_seq_search(&status)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_out_of_date(writer->spill, twin))
			continue;
		if (twin->file != write->file)
			sf_spill_find_row(writer->spill, twin);
		if (!SF_BUG("spilled-row-not-deleted"))
			CatalogTupleDelete(writer->table, &twin->tid);
		*add_change(write, &write->deleted) = (Change){twin->key, twin->tid, twin->length, twin->version};
		write->spilled.groups--;
		write->spilled.bytes -= twin->length;
	}
}

/* ---- rows of forgotten groups ---- */

/* When a state_ttl comes to a view whose groups are in the table: those that nobody asks for leave it, too. */
static bool
has_forgotten(const SfSpill *spill)
{
	return spill->spilled.groups > 0 && (spill->search.forget_hash < SF_SPILL_FORGET_DONE ||
	                                     sf_store_forgotten_before(spill->store) > spill->search.forget_before);
}

/* Deletes the row if its group is forgotten; one that has a place in memory is left to its twin, or to the next search. */
static void
delete_if_forgotten(Writer *writer, HeapTuple tuple)
{
	SfSpill *spill = writer->spill;
	SfSpillWrite *write = writer->write;
	bool isnull;
	Datum payload = heap_getattr(tuple, SF_SPILLED_PAYLOAD + 1, RelationGetDescr(writer->table), &isnull);
	bytea *bytes = DatumGetByteaPP(payload);
	const char *data = VARDATA_ANY(bytes);
	int length = VARSIZE_ANY_EXHDR(bytes);

	if (!sf_store_is_forgotten(spill->store, sf_store_mirror_at_start(spill->store, SF_TIME_MINUS_INFINITY),
	                           write->search.forget_before, data, data + length))
		return;
	CatalogTupleDelete(writer->table, &tuple->t_self);
	write->spilled.groups--;
	write->spilled.bytes -= length;
	write->forgotten++;
}

/* Goes through the rows in the order of their hashes, some in each commit. */
static void
delete_forgotten(Writer *writer)
{
	SfSpill *spill = writer->spill;
	SfSpillWrite *write = writer->write;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamfuse row", ALLOCSET_DEFAULT_SIZES);
	Relation index = index_open(sf_catalog_relation("spilled_key"), AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple tuple;
	int64 hash = SF_SPILL_FORGET_DONE;

	if (write->search.forget_hash == SF_SPILL_FORGET_DONE)
	{
		write->search.forget_hash = PG_INT32_MIN;
		write->search.forget_before = sf_store_forgotten_before(spill->store);
	}
	ScanKeyInit(&keys[0], SF_SPILLED_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(spill->fragment->id));
	ScanKeyInit(&keys[1], SF_SPILLED_WINDOW_START + 1, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
	            TimestampTzGetDatum(SF_TIME_MINUS_INFINITY));
	ScanKeyInit(&keys[2], SF_SPILLED_HASH + 1, BTGreaterEqualStrategyNumber, F_INT4GE,
	            Int32GetDatum((int32) write->search.forget_hash));
	scan = systable_beginscan_ordered(writer->table, index, NULL, 3, keys);
	for (int n = 0; (tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL; n++)
	{
		bool isnull;
		MemoryContext old;
		int32 found = DatumGetInt32(heap_getattr(tuple, SF_SPILLED_HASH + 1, RelationGetDescr(writer->table), &isnull));

		CHECK_FOR_INTERRUPTS();
		/* The next commit goes on with the next hash. */
		if (n >= FORGET_ROWS && found != hash)
		{
			hash = found;
			break;
		}
		hash = found;
		old = MemoryContextSwitchTo(context);
		delete_if_forgotten(writer, tuple);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	write->search.forget_hash = tuple != NULL ? hash : SF_SPILL_FORGET_DONE;
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	MemoryContextDelete(context);
}

/* ---- cold groups ---- */

/* What a group gives back when it leaves: its place, keys and blobs. */
static Size
group_bytes(const SfStore *store, SfGroup *group)
{
	SfLayout *layout = store->layout;
	dsa_pointer keys;
	Size bytes = store->group_size + sf_store_key_bytes(store, group->data, &keys);

	for (int i = 0; i < layout->nblobs; i++)
	{
		dsa_pointer blob = *(dsa_pointer *) (group->data + layout->blob_offset[i]);

		if (DsaPointerIsValid(blob))
			bytes += offsetof(SfBlob, data) + ((SfBlob *) store_address(store, blob))->capacity;
	}
	return bytes;
}

static void
flush_rows(Writer *writer)
{
	SfSpillWrite *write = writer->write;
	Change *changes = write->written.items + write->written.n - writer->nslots;

	CatalogTuplesMultiInsertWithInfo(writer->table, writer->slots, writer->nslots, writer->indexes);
	for (int i = 0; i < writer->nslots; i++)
	{
		changes[i].tid = writer->slots[i]->tts_tid;
		ExecClearTuple(writer->slots[i]);
	}
	writer->nslots = 0;
	SF_FAULT("spill-rows-written");
}

static HeapTuple
form_row(Writer *writer, const SfWindow *window, uint32 hash)
{
	Datum values[SF_SPILLED_NATTS];
	bool nulls[SF_SPILLED_NATTS] = {0};

	SET_VARSIZE(writer->payload.data, writer->payload.len);
	values[SF_SPILLED_FRAGMENT] = Int32GetDatum(writer->spill->fragment->id);
	values[SF_SPILLED_HASH] = Int32GetDatum((int32) hash);
	values[SF_SPILLED_WINDOW_START] = TimestampTzGetDatum(window->start);
	values[SF_SPILLED_WINDOW_END] = TimestampTzGetDatum(window->end);
	values[SF_SPILLED_PAYLOAD] = PointerGetDatum(writer->payload.data);
	return heap_form_tuple(RelationGetDescr(writer->table), values, nulls);
}

static void
write_group(Writer *writer, StoreWindow *window, SfGroup *group)
{
	SfSpill *spill = writer->spill;
	SfSpillWrite *write = writer->write;
	Change *change;
	HeapTuple tuple;

	resetStringInfo(&writer->payload);
	appendStringInfoSpaces(&writer->payload, VARHDRSZ);
	(void) sf_store_save_group(spill->store, group, true, false, &writer->payload);
	tuple = form_row(writer, window->shared, group->hash);
	if (writer->payload.len > LARGEST_TOGETHER)
	{
		flush_rows(writer);
		CatalogTupleInsertWithInfo(writer->table, tuple, writer->indexes);
	}
	change = add_change(write, &write->written);
	*change = (Change){twin_key(window->start, group->id), tuple->t_self, writer->payload.len - VARHDRSZ,
	                   group->version};
	write->spilled.groups++;
	write->spilled.bytes += change->length;
	write->bytes += group_bytes(spill->store, group);
	if (writer->payload.len > LARGEST_TOGETHER)
		heap_freetuple(tuple);
	else
	{
		ExecStoreHeapTuple(tuple, writer->slots[writer->nslots++], true);
		if (writer->nslots == WRITE_ROWS)
			flush_rows(writer);
	}
	sf_spill_filter_add(spill, window->start, group->hash);
}

/* Is it in memory without being on its way out? */
static bool
may_leave(const Writer *writer, const StoreWindow *window, SfGroup *group)
{
	Twin *twin;

	if (!sf_group_is_there(writer->spill->store->layout, group->data))
		return false;
	twin = sf_spill_twin(writer->spill, window->start, group->id);
	return twin == NULL || twin->version != group->version;
}

/* The windows that groups may leave: open ones of rows. */
static StoreWindow *
window_from(SfStore *store, SfTime start)
{
	for (int i = 0; i < store->nwindows; i++)
	{
		StoreWindow *window = store->windows[i];

		if (window->start >= start && window->shared->role == SF_WINDOW_OF_ROWS &&
		    window->shared->closed == SF_TICK_NONE)
			return window;
	}
	return NULL;
}

/* What one pass of the search takes: groups last touched after the one tick and up to the other, before a place. */
typedef struct Pass
{
	SfTick after;
	SfTick until;
	SfTime end_start; /* of the window that it ends in, before this group; or SF_TIME_INFINITY */
	uint32 end_group;
} Pass;

/* Goes on with the search until groups with so many bytes are written; false: the pass is through. */
static bool
search(Writer *writer, const Pass *pass, Size bytes)
{
	SfStore *store = writer->spill->store;
	SfSpillWrite *write = writer->write;
	StoreWindow *window = window_from(store, write->search.hand_start);

	for (; window != NULL && window->start <= pass->end_start; window = window_from(store, window->start + 1))
	{
		uint32 end = window->shared->ngroups;

		if (window->start == pass->end_start)
			end = Min(end, pass->end_group);
		if (window->start != write->search.hand_start)
			write->search.hand_group = 0;
		write->search.hand_start = window->start;
		for (; write->search.hand_group < end; write->search.hand_group++)
		{
			SfGroup *group = store_group(store, window, write->search.hand_group);

			if (write->bytes >= bytes)
				return true;
			if (write->search.hand_group % 1024 == 0)
				CHECK_FOR_INTERRUPTS();
			if (group->version > pass->after && group->version <= pass->until && may_leave(writer, window, group))
				write_group(writer, window, group);
		}
	}
	return write->bytes >= bytes;
}

static void
search_from_start(Writer *writer)
{
	writer->write->search.hand_start = SF_TIME_MINUS_INFINITY;
	writer->write->search.hand_group = 0;
	writer->write->search.hand_tick = writer->spill->store->tick;
}

/* No two passes take the same group. */
static void
write_cold(Writer *writer, Size bytes)
{
	SfSpillWrite *write = writer->write;
	SfTick cold = write->search.hand_tick;
	Pass rest = {SF_TICK_NONE, cold, SF_TIME_INFINITY, 0};
	Pass begin = {SF_TICK_NONE, cold, write->search.hand_start, write->search.hand_group};
	Pass others = {cold, writer->spill->store->tick, SF_TIME_INFINITY, 0};

	if (!search(writer, &rest, bytes))
	{
		search_from_start(writer);
		if (!search(writer, &begin, bytes))
		{
			search_from_start(writer);
			(void) search(writer, &others, bytes);
		}
	}
	flush_rows(writer);
}

/* ---- the commit ---- */

static void
begin_writer(Writer *writer)
{
	writer->table = table_open(sf_catalog_relation("spilled"), RowExclusiveLock);
	writer->indexes = CatalogOpenIndexes(writer->table);
	initStringInfo(&writer->payload);
	for (int i = 0; i < WRITE_ROWS; i++)
		writer->slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(writer->table), &TTSOpsHeapTuple);
}

static void
end_writer(Writer *writer)
{
	for (int i = 0; i < WRITE_ROWS; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	pfree(writer->payload.data);
	CatalogCloseIndexes(writer->indexes);
	table_close(writer->table, NoLock);
}

SfSpillWrite *
sf_spill_write(SfSpill *spill, Size bytes, MemoryContext context)
{
	SfSpillWrite *write;
	Writer writer = {.spill = spill};

	if (spill->store == NULL || spill->store->spill == NULL ||
	    (bytes == 0 && hash_get_num_entries(spill->twins) == 0 && !has_forgotten(spill)))
		return NULL;
	write = MemoryContextAllocZero(context, sizeof(SfSpillWrite));
	write->context = context;
	write->spilled = spill->spilled;
	write->search = spill->search;
	writer.write = write;
	begin_writer(&writer);
	write->file = writer.table->rd_rel->relfilenode;
	delete_out_of_date(&writer);
	if (write->deleted.n > 0)
		SF_FAULT("spill-deleted");
	if (has_forgotten(spill))
		delete_forgotten(&writer);
	if (bytes > 0)
		write_cold(&writer, bytes);
	end_writer(&writer);
	return write;
}

bool
sf_spill_wrote(const SfSpillWrite *write)
{
	return write != NULL && write->deleted.n + write->written.n + write->forgotten > 0;
}

SfSpilled
sf_spill_total(const SfSpill *spill, const SfSpillWrite *write)
{
	return write != NULL ? write->spilled : spill->spilled;
}

static void
queue_leaving(SfSpill *spill, const TwinKey *key)
{
	sf_reserve(spill->context, spill->leaving, spill->max_leaving, spill->nleaving + 1, 1024);
	spill->leaving[spill->nleaving++] = *key;
}

void
sf_spill_settle(SfSpill *spill, SfSpillWrite *write)
{
	if (write == NULL)
		return;
	for (int i = 0; i < write->deleted.n; i++)
		sf_spill_drop_twin(spill, &write->deleted.items[i].key);
	for (int i = 0; i < write->written.n; i++)
	{
		Change *change = &write->written.items[i];
		Twin *twin = sf_spill_add_twin(spill, change->key.start, change->key.id);

		twin->tid = change->tid;
		twin->file = write->file;
		twin->length = change->length;
		twin->version = change->version;
		queue_leaving(spill, &change->key);
	}
	if (write->written.n > 0)
		sf_spill_show(spill, spill->store->tick + 1);
	spill->leaving_bytes += write->bytes;
	spill->spilled = write->spilled;
	spill->search = write->search;
}
