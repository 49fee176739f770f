/*
 * position.c
 *		Positions: the set of rows of one stream that have been counted, and its flat form.
 *
 * The flat form is a version byte and variable-length integers: seven bits a byte, low ones first.  An open page is the
 * length of its unbroken run of counted rows and what bits lie beyond it; pending rows are differences, and a run of
 * consecutive transactions that wrote the same pages, as a bulk of subtransactions does, is one item.  So a position
 * takes a few hundred bytes, however many rows it covers.
 */
#include "stream/position.h"

#include <limits.h>

#include "access/transam.h"
#include "port/pg_bitutils.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#define POSITION_VERSION 1
#define MOST_ASKED 32

/* A reader of the flat form. */
typedef struct FlatReader
{
	const uint8 *next;
	const uint8 *end;
} FlatReader;

SfPosition *
sf_position_create(MemoryContext context, Relation rel)
{
	SfPosition *position = MemoryContextAllocZero(context, sizeof(SfPosition));

	position->context = context;
	position->relid = RelationGetRelid(rel);
	position->relfilenode = sf_file_number(rel);
	position->fresh = true;
	return position;
}

static void *
copy_array(MemoryContext context, const void *array, Size size)
{
	void *copy = NULL;

	if (size > 0)
	{
		copy = MemoryContextAllocHuge(context, size);
		memcpy(copy, array, size);
	}
	return copy;
}

SfPosition *
sf_position_copy(MemoryContext context, const SfPosition *position)
{
	SfPosition *copy = MemoryContextAlloc(context, sizeof(SfPosition));

	*copy = *position;
	copy->context = context;
	copy->open = copy_array(context, position->open, position->nopen * sizeof(SfOpenPage));
	copy->max_open = position->nopen;
	copy->pending = copy_array(context, position->pending, position->npending * sizeof(SfPending));
	copy->max_pending = position->npending;
	copy->awaited = copy_array(context, position->awaited, position->nawaited * sizeof(uint64));
	copy->max_awaited = position->nawaited;
	return copy;
}

void
sf_position_free(SfPosition *position)
{
	if (position->open)
		pfree(position->open);
	if (position->pending)
		pfree(position->pending);
	if (position->awaited)
		pfree(position->awaited);
	pfree(position);
}

void
sf_position_set_open(SfPosition *position, int nopen)
{
	sf_reserve(position->context, position->open, position->max_open, nopen, 0);
	if (nopen > position->nopen)
		memset(position->open + position->nopen, 0, (nopen - position->nopen) * sizeof(SfOpenPage));
	for (int i = position->nopen; i < nopen; i++)
		position->open[i].reread = true;
	position->nopen = nopen;
}

void
sf_position_advance(SfPosition *position, BlockNumber frontier)
{
	BlockNumber passed = frontier - position->frontier;

	Assert(frontier >= position->frontier);
	if (passed >= (BlockNumber) position->nopen)
		position->nopen = 0;
	else
	{
		position->nopen -= passed;
		memmove(position->open, position->open + passed, position->nopen * sizeof(SfOpenPage));
	}
	position->frontier = frontier;
}

void
sf_position_add_pending(SfPosition *position, SfPending pending)
{
	sf_reserve(position->context, position->pending, position->max_pending, position->npending + 1, 0);
	position->pending[position->npending++] = pending;
}

static int
compare_pending(const void *a, const void *b)
{
	const SfPending *x = a;
	const SfPending *y = b;

	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

void
sf_position_sort_pending(SfPosition *position)
{
	if (position->npending > 1)
		qsort(position->pending, position->npending, sizeof(SfPending), compare_pending);
}

void
sf_position_add_awaited(SfPosition *position, uint64 top)
{
	if (position->nawaited > 0 && position->awaited[position->nawaited - 1] == top)
		return;
	sf_reserve(position->context, position->awaited, position->max_awaited, position->nawaited + 1, 0);
	position->awaited[position->nawaited++] = top;
}

static int
compare_uint64(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

void
sf_position_sort_awaited(SfPosition *position)
{
	int n = 0;

	if (position->nawaited < 2)
		return;
	qsort(position->awaited, position->nawaited, sizeof(uint64), compare_uint64);
	for (int i = 1; i < position->nawaited; i++)
		if (position->awaited[i] != position->awaited[n])
			position->awaited[++n] = position->awaited[i];
	position->nawaited = n + 1;
}

bool
sf_pending_has(const SfPending *pending, int npending, TransactionId xmin, BlockNumber block)
{
	uint64 xid;
	int low = 0;
	int high = npending;

	if (npending == 0 || !TransactionIdIsNormal(xmin))
		return false;
	/* All pending transactions lie within 2^32 of the first, so the low half of an xid tells it from the others. */
	xid = pending[0].xid + (uint32) (xmin - (uint32) pending[0].xid);
	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (pending[middle].xid < xid)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < npending && pending[low].xid == xid && pending[low].first <= block; low++)
		if (block <= pending[low].last)
			return true;
	return false;
}

bool
sf_position_counted(const SfPosition *position, ItemPointer tid, TransactionId xmin)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);

	if (block < position->frontier)
		return !sf_pending_has(position->pending, position->npending, xmin, block);
	if (block - position->frontier < (BlockNumber) position->nopen)
		return sf_open_page_counted(&position->open[block - position->frontier], ItemPointerGetOffsetNumber(tid));
	return false;
}

Oid
sf_position_relid(const SfPosition *position)
{
	return position->relid;
}

BlockNumber
sf_position_frontier(const SfPosition *position)
{
	return position->frontier;
}

BlockNumber
sf_position_sealed(const SfPosition *position)
{
	return position->sealed;
}

int
sf_position_open_pages(const SfPosition *position)
{
	return position->nopen;
}

int
sf_position_pending(const SfPosition *position)
{
	return position->nawaited;
}

uint64
sf_position_oldest_pending(const SfPosition *position)
{
	return position->nawaited > 0 ? position->awaited[0] : 0;
}

/* Many transactions are not asked for one by one. */
bool
sf_position_awaits_ended(const SfPosition *position)
{
	if (position->nawaited > MOST_ASKED)
		return true;
	for (int i = 0; i < position->nawaited; i++)
		if (!TransactionIdIsInProgress((TransactionId) position->awaited[i]))
			return true;
	return false;
}

static void
put(StringInfo out, uint64 value)
{
	for (; value >= 128; value >>= 7)
		appendStringInfoCharMacro(out, (char) (value | 128));
	appendStringInfoCharMacro(out, (char) value);
}

/* The last offset that is counted, 0: none. */
static int
counted_length(const SfOpenPage *page)
{
	for (int word = COUNTED_WORDS - 1; word >= 0; word--)
		if (page->counted[word] != 0)
			return word * 64 + pg_leftmost_one_pos64(page->counted[word]) + 1;
	return 0;
}

/* How many offsets from the first on are counted. */
static int
counted_run(const SfOpenPage *page)
{
	for (int word = 0; word < COUNTED_WORDS; word++)
		if (~page->counted[word] != 0)
			return word * 64 + pg_rightmost_one_pos64(~page->counted[word]);
	return COUNTED_WORDS * 64;
}

/* Every tick saves every open page: word by word, not bit by bit. */
static void
put_open_page(StringInfo out, const SfOpenPage *page)
{
	int run = counted_run(page);
	int length = counted_length(page);

	put(out, run);
	put(out, length - run);
	for (int i = run; i < length; i += 8)
	{
		uint8 bits = 0;

		for (int j = i; j < Min(i + 8, length); j++)
			bits |= sf_open_page_counted(page, j + 1) << (j - i);
		appendStringInfoCharMacro(out, (char) bits);
	}
}

/* The number of entries from i on that differ by nothing but one more in xid each. */
static int
run_of_pending(const SfPosition *position, int i)
{
	const SfPending *first = &position->pending[i];
	int n = 1;

	for (; i + n < position->npending; n++)
	{
		const SfPending *next = &position->pending[i + n];

		if (next->xid != first->xid + n || next->top != first->top || next->first != first->first ||
		    next->last != first->last)
			break;
	}
	return n;
}

void
sf_position_save(const SfPosition *position, StringInfo out)
{
	uint64 previous_xid = 0;
	int n;

	appendStringInfoCharMacro(out, POSITION_VERSION);
	put(out, position->relid);
	put(out, position->relfilenode);
	put(out, position->frontier);
	put(out, position->nopen);
	for (int i = 0; i < position->nopen; i++)
		put_open_page(out, &position->open[i]);
	put(out, position->npending);
	for (int i = 0; i < position->npending; i += n)
	{
		const SfPending *pending = &position->pending[i];

		n = run_of_pending(position, i);
		put(out, n);
		put(out, pending->xid - previous_xid);
		put(out, pending->xid - pending->top);
		put(out, pending->first);
		put(out, pending->last - pending->first);
		previous_xid = pending->xid + n - 1;
	}
}

static void
refuse_flat(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid position of a stream")));
}

static uint64
get(FlatReader *in, uint64 most)
{
	uint64 value = 0;
	int shift = 0;

	for (;;)
	{
		uint8 byte;

		if (in->next >= in->end || shift > 63)
			refuse_flat();
		byte = *in->next++;
		value |= (uint64) (byte & 127) << shift;
		if (byte < 128)
			break;
		shift += 7;
	}
	if (value > most)
		refuse_flat();
	return value;
}

static void
get_open_page(FlatReader *in, SfOpenPage *page)
{
	int run = get(in, MaxHeapTuplesPerPage);
	int rest = get(in, MaxHeapTuplesPerPage - run);

	for (int i = 1; i <= run; i++)
		sf_open_page_count(page, i);
	if (in->end - in->next < (rest + 7) / 8)
		refuse_flat();
	for (int i = 0; i < rest; i++)
		if ((in->next[i / 8] >> (i % 8)) & 1)
			sf_open_page_count(page, run + i + 1);
	in->next += (rest + 7) / 8;
}

static void
get_pending(FlatReader *in, SfPosition *position)
{
	int total = get(in, INT_MAX);
	uint64 previous_xid = 0;

	while (position->npending < total)
	{
		int n = get(in, total - position->npending);
		SfPending pending;

		if (n == 0)
			refuse_flat();
		pending.xid = previous_xid + get(in, PG_UINT64_MAX - previous_xid - n);
		pending.top = pending.xid - get(in, pending.xid);
		pending.first = get(in, MaxBlockNumber);
		pending.last = pending.first + get(in, MaxBlockNumber - pending.first);
		sf_position_add_awaited(position, pending.top);
		for (int i = 0; i < n; i++)
		{
			sf_position_add_pending(position, pending);
			pending.xid++;
		}
		previous_xid = pending.xid - 1;
	}
	sf_position_sort_awaited(position);
}

SfPosition *
sf_position_load(MemoryContext context, const char *data, Size len)
{
	SfPosition *position = MemoryContextAllocZero(context, sizeof(SfPosition));
	FlatReader in = {(const uint8 *) data, (const uint8 *) data + len};
	int nopen;

	if (len == 0 || *in.next++ != POSITION_VERSION)
		refuse_flat();
	position->context = context;
	position->fresh = true;
	position->relid = get(&in, OID_MAX);
	position->relfilenode = get(&in, OID_MAX);
	position->frontier = get(&in, MaxBlockNumber);
	position->last_used = position->frontier;
	nopen = get(&in, MaxBlockNumber - position->frontier);
	if (nopen > in.end - in.next) /* each takes two bytes at least: do not allocate on a wrong count's word */
		refuse_flat();
	sf_position_set_open(position, nopen);
	for (int i = 0; i < nopen; i++)
		get_open_page(&in, &position->open[i]);
	get_pending(&in, position);
	if (in.next != in.end)
		refuse_flat();
	return position;
}
