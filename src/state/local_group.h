/*
 * local_group.h
 *		Groups in local memory: copies whose states more rows or groups are folded into.
 *
 * `local` is a space without an area, whose `local` memory context has the copies.  Keys and states are separate copies,
 * both data of a group: of the one only the keys count, of the other only the states.
 */
#ifndef SF_LOCAL_GROUP_H
#define SF_LOCAL_GROUP_H

#include "streamfuse.h"

#include "state/store.h"

/* The states of a group, of which the blobs are in `blobs`, with copies of all blobs and lists. */
extern char *sf_local_copy_states(SfLayout *layout, SfBlobSpace *local, SfBlobSpace *blobs, const char *data);
extern void sf_local_free_states(SfLayout *layout, SfBlobSpace *local, char *data);

/* Folds the states of one group into those of another. */
extern void sf_combine_states(SfLayout *layout, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs,
							  const char *from);

/* The keys of a group, also those passed by reference. */
extern char *sf_local_copy_keys(SfLayout *layout, SfBlobSpace *local, SfBlobSpace *blobs, const char *data);
extern void sf_local_free_keys(SfLayout *layout, char *keys);

#endif							/* SF_LOCAL_GROUP_H */
