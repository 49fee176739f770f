/*
 * blob.c
 *		Accounted memory in DSA, and the values of variable length that groups point to.
 *
 * Every byte of operator state is allocated here, so the account (per fragment, and all together against
 * streamfuse.state_memory) is exact.  A blob's bytes are written before the pointer to it is, and the pointer is changed
 * by one store: a worker that dies in between leaves an unreachable blob, never a dangling pointer.
 */
#include "state/blob.h"

#include "fmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"

/* The view's own doing, and what stops it: memory that the system lacks is another error, and is waited for. */
static void
report_out_of_state_memory(const SfFragment *fragment, Size size)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
	                errmsg("continuous view state exceeds streamfuse.state_memory"),
	                errdetail("%zu more bytes were needed; %llu of %llu bytes are in use.%s", size,
	                          (unsigned long long) pg_atomic_read_u64(&sf_shared->state_bytes),
	                          (unsigned long long) sf_state_memory_mb * 1024 * 1024,
	                          fragment->keeps_groups ? " Groups of this view cannot go to disk." : ""),
	                errhint("Raise streamfuse.state_memory, or let the views keep fewer groups open.")));
}

/* The account follows the allocation, which may raise an error of its own when the system has no memory. */
dsa_pointer
sf_state_allocate_beyond(SfBlobSpace *space, Size size)
{
	dsa_pointer pointer;

	pointer = dsa_allocate_extended(space->area, size, size > MaxAllocSize ? DSA_ALLOC_HUGE : 0);
	pg_atomic_fetch_add_u64(&sf_shared->state_bytes, size);
	pg_atomic_fetch_add_u64(&space->fragment->bytes, size);
	return pointer;
}

dsa_pointer
sf_state_allocate(SfBlobSpace *space, Size size)
{
	uint64 limit = (uint64) sf_state_memory_mb * 1024 * 1024;

	if (pg_atomic_read_u64(&sf_shared->state_bytes) + size > limit)
		report_out_of_state_memory(space->fragment, size);
	return sf_state_allocate_beyond(space, size);
}

void
sf_state_free(SfBlobSpace *space, dsa_pointer pointer, Size size)
{
	if (!DsaPointerIsValid(pointer))
		return;
	dsa_free(space->area, pointer);
	pg_atomic_sub_fetch_u64(&sf_shared->state_bytes, size);
	pg_atomic_sub_fetch_u64(&space->fragment->bytes, size);
}

void
sf_state_count_local(SfFragment *fragment, uint64 bytes)
{
	int64 more = (int64) (bytes - fragment->local_bytes);

	fragment->local_bytes = bytes;
	pg_atomic_fetch_add_u64(&sf_shared->state_bytes, more);
	pg_atomic_fetch_add_u64(&fragment->bytes, more);
}

uint64
sf_group_limit(void)
{
	return Min((uint64) sf_max_group_memory_mb * 1024 * 1024, MaxAllocSize);
}

static inline Size
blob_bytes(uint32 capacity)
{
	return offsetof(SfBlob, data) + capacity;
}

SfBlob *
sf_blob_get(SfBlobSpace *space, dsa_pointer pointer)
{
	if (SfPointerIsLocal(pointer))
		return SfPointerToLocal(pointer);
	return dsa_get_address(space->area, pointer);
}

void
sf_blob_free(SfBlobSpace *space, dsa_pointer pointer)
{
	if (DsaPointerIsValid(pointer))
	{
		SfBlob *blob = dsa_get_address(space->area, pointer);

		sf_state_free(space, pointer, blob_bytes(blob->capacity));
	}
}

/* A local blob belongs to its state alone, so that it may be replaced at once. */
static void
store_locally(SfBlobSpace *space, dsa_pointer *pointer, const void *data, Size length)
{
	SfBlob *blob = SfPointerIsLocal(*pointer) ? SfPointerToLocal(*pointer) : NULL;

	if (blob == NULL || blob->capacity < length)
	{
		Size capacity = blob != NULL ? length + length / 4 : length;
		MemoryContext context = space->local != NULL ? space->local : CurrentMemoryContext;
		SfBlob *fresh = MemoryContextAllocHuge(context, blob_bytes(capacity));

		if (blob != NULL)
			pfree(blob);
		blob = fresh;
		blob->tick = SF_TICK_NONE;
		blob->capacity = capacity;
	}
	blob->length = length;
	memcpy(blob->data, data, length);
	*pointer = SfLocalToPointer(blob);
}

void
sf_blob_store(SfBlobSpace *space, dsa_pointer *pointer, const void *data, Size length)
{
	dsa_pointer old = *pointer;
	dsa_pointer fresh;
	SfBlob *blob;
	bool own;
	Size capacity = MAXALIGN(Max(length, 8));

	if (space->area == NULL)
	{
		store_locally(space, pointer, data, length);
		return;
	}
	blob = DsaPointerIsValid(old) ? dsa_get_address(space->area, old) : NULL;
	own = blob != NULL && blob->tick == space->tick;
	if (own && length <= blob->capacity)
	{
		memcpy(blob->data, data, length);
		blob->length = length;
		return;
	}
	if (length > sf_group_limit())
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("group of a continuous view exceeds streamfuse.max_group_memory"),
		                errdetail("An aggregate's state has %zu bytes.", length),
		                errhint("Raise streamfuse.max_group_memory, or group by more.")));

	/* What has grown once will grow again. */
	if (blob != NULL && length > blob->length)
		capacity += MAXALIGN(length / (own ? 2 : 4));
	fresh = sf_state_allocate(space, blob_bytes(capacity));
	blob = dsa_get_address(space->area, fresh);
	blob->tick = space->tick;
	blob->capacity = capacity;
	blob->length = length;
	memcpy(blob->data, data, length);
	*pointer = fresh;
	if (own)
		sf_blob_free(space, old);
}

void
sf_blob_store_datum(SfBlobSpace *space, dsa_pointer *pointer, Datum value, int16 typlen)
{
	if (typlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	sf_blob_store(space, pointer, DatumGetPointer(value), datumGetSize(value, false, typlen));
}

Datum
sf_blob_get_datum(SfBlobSpace *space, dsa_pointer pointer, int16 typlen)
{
	SfBlob *blob = sf_blob_get(space, pointer);
	char *copy = palloc(blob->length);

	Assert(typlen < 0 || (Size) typlen == blob->length);
	memcpy(copy, blob->data, blob->length);
	return PointerGetDatum(copy);
}

const char *
sf_flat_bytes(const char **data, const char *end, Size n)
{
	const char *bytes = *data;

	if ((Size) (end - bytes) < n)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("saved state of a continuous view is damaged"),
		                errhint("REFRESH MATERIALIZED VIEW computes it anew from the stream.")));
	*data += n;
	return bytes;
}

void
sf_flat_read(const char **data, const char *end, void *to, Size n)
{
	memcpy(to, sf_flat_bytes(data, end, n), n);
}
