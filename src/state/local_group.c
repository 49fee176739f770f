/*
 * local_group.c
 *		Groups in local memory: copies of keys and of states, and states folded into one another.
 *
 * A copy's blobs and keys are marked as local pointers (state/blob.h), so that whatever takes a group takes a copy.
 */
#include "state/local_group.h"

#include "utils/datum.h"
#include "utils/memutils.h"

char *
sf_local_copy_states(SfLayout *layout, SfBlobSpace *local, SfBlobSpace *blobs, const char *data)
{
	char *copy = MemoryContextAlloc(local->local, layout->data_size);

	memcpy(copy, data, layout->data_size);
	for (int i = 0; i < layout->nblobs; i++)
	{
		dsa_pointer *pointer = (dsa_pointer *) (copy + layout->blob_offset[i]);
		SfBlob *blob;

		if (!DsaPointerIsValid(*pointer))
			continue;
		blob = sf_blob_get(blobs, *pointer);
		*pointer = InvalidDsaPointer;
		sf_blob_store(local, pointer, blob->data, blob->length);
	}
	for (int i = 0; i < layout->nlists; i++)
		sf_list_copy(local->local, blobs->area, (SfList *) (copy + layout->list_offset[i]));
	return copy;
}

void
sf_local_free_states(SfLayout *layout, SfBlobSpace *local, char *data)
{
	for (int i = 0; i < layout->nblobs; i++)
	{
		dsa_pointer pointer = *(dsa_pointer *) (data + layout->blob_offset[i]);

		if (DsaPointerIsValid(pointer))
			pfree(SfPointerToLocal(pointer));
	}
	for (int i = 0; i < layout->nlists; i++)
		sf_list_free(local, (SfList *) (data + layout->list_offset[i]));
	pfree(data);
}

void
sf_combine_states(SfLayout *layout, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	for (int i = 0; i < layout->naggs; i++)
		if (!layout->shares_state[i])
			sf_aggregate_combine(layout->aggs[i], blobs, into + layout->state_offset[i], from_blobs,
			                     from + layout->state_offset[i]);
}

char *
sf_local_copy_keys(SfLayout *layout, SfBlobSpace *local, SfBlobSpace *blobs, const char *data)
{
	MemoryContext old = MemoryContextSwitchTo(local->local);
	char *copy = palloc0(layout->data_size);
	Datum keys[SF_LAYOUT_MAX_KEYS];
	bool nulls[SF_LAYOUT_MAX_KEYS];

	sf_group_keys(layout, blobs->area, data, keys, nulls);
	memcpy(copy + layout->nulls_offset, data + layout->nulls_offset, sizeof(uint64));
	for (int i = 0; i < layout->nkeys; i++)
		if (nulls[i])
			continue;
		else if (layout->keys[i].typbyval)
			((Datum *) copy)[i] = keys[i];
		else
			((Datum *) copy)[i] = SfLocalToPointer(DatumGetPointer(datumCopy(keys[i], false, layout->keys[i].typlen)));
	MemoryContextSwitchTo(old);
	return copy;
}

void
sf_local_free_keys(SfLayout *layout, char *keys)
{
	for (int i = 0; i < layout->nkeys; i++)
		if (!layout->keys[i].typbyval && ((dsa_pointer *) keys)[i] != 0)
			pfree(SfPointerToLocal(((dsa_pointer *) keys)[i]));
	pfree(keys);
}
