/*
 * blob.h
 *		Values of variable length in DSA: what does not fit into a group's fixed part.
 *
 * A blob that was allocated in the current tick may be overwritten in place; an older one is left to the pre-image that
 * still refers to it, and a new one is made (copy on write).  Who replaces an older blob records it as orphaned with the
 * undo log, which frees it when no reader can need it.
 */
#ifndef SF_BLOB_H
#define SF_BLOB_H

#include "streamfuse.h"

#include "state/shared.h"

typedef struct SfBlobSpace
{
	dsa_area   *area;			/* NULL: local memory, where no state is shared (a standby's readers) */
	SfFragment *fragment;		/* whose account the memory is on */
	SfTick		tick;			/* the tick being applied; SF_TICK_NONE for readers */
	MemoryContext local;		/* of local memory; NULL: CurrentMemoryContext */
} SfBlobSpace;

typedef struct SfBlob
{
	SfTick		tick;			/* tick that allocated it */
	uint32		capacity;		/* bytes in data */
	uint32		length;			/* bytes used */
	char		data[FLEXIBLE_ARRAY_MEMBER];
} SfBlob;

/*
 * In a reader's copy of a group (state/store.h) the pointers to blobs and keys are addresses of copies in local memory,
 * marked by the highest bit, which no dsa_pointer has: a reader holds on to nothing in shared memory.
 */
#define SF_LOCAL_BIT (UINT64CONST(1) << 63)
#define SfPointerIsLocal(pointer) (((pointer) & SF_LOCAL_BIT) != 0)
#define SfPointerToLocal(pointer) ((void *) (uintptr_t) ((pointer) & ~SF_LOCAL_BIT))
#define SfLocalToPointer(address) ((dsa_pointer) (uintptr_t) (address) | SF_LOCAL_BIT)

StaticAssertDecl(sizeof(dsa_pointer) == 8, "streamfuse needs 64-bit dsa pointers");

/*
 * Stores length bytes at *pointer (a field of a touched group; InvalidDsaPointer at first), in place or copied on
 * write.  Raises ERRCODE_CONFIGURATION_LIMIT_EXCEEDED when streamfuse.state_memory is used up, and
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED beyond streamfuse.max_group_memory.  The old blob, if it
 * belongs to an older tick, stays where it is: the pre-image taken by the touch refers to it and frees it.
 */
extern void sf_blob_store(SfBlobSpace *space, dsa_pointer *pointer, const void *data, Size length);
extern SfBlob *sf_blob_get(SfBlobSpace *space, dsa_pointer pointer);
extern void sf_blob_free(SfBlobSpace *space, dsa_pointer pointer);

/* What one aggregate may keep for one group, in bytes: streamfuse.max_group_memory. */
extern uint64 sf_group_limit(void);

/* Accounted allocation for the store: raises ERRCODE_OUT_OF_MEMORY as above. */
extern dsa_pointer sf_state_allocate(SfBlobSpace *space, Size size);

/* The same past streamfuse.state_memory: for what is needed to give memory back. */
extern dsa_pointer sf_state_allocate_beyond(SfBlobSpace *space, Size size);
extern void sf_state_free(SfBlobSpace *space, dsa_pointer pointer, Size size);

/*
 * So much memory of the worker's own is part of the fragment's state from now on.  Never raises: what is allocated next
 * does.
 */
extern void sf_state_count_local(SfFragment *fragment, uint64 bytes);

/* A datum of any type in flat form (detoasted, expanded objects flattened), and back.  Null is the caller's matter. */
extern void sf_blob_store_datum(SfBlobSpace *space, dsa_pointer *pointer, Datum value, int16 typlen);
extern Datum sf_blob_get_datum(SfBlobSpace *space, dsa_pointer pointer, int16 typlen); /* palloc'd copy */

/* The next n bytes of a flat form (not aligned); moves *data.  ERRCODE_DATA_CORRUPTED when it ends before. */
extern const char *sf_flat_bytes(const char **data, const char *end, Size n);
extern void sf_flat_read(const char **data, const char *end, void *to, Size n);

#endif /* SF_BLOB_H */
