/*
 * streamfuse.h
 *		What every module may use: settings, time units, the tick number, and the module initialisers.
 */
#ifndef SF_STREAMFUSE_H
#define SF_STREAMFUSE_H

#include "postgres.h"

#include "compat.h"

/* Number of a tick: one pass that takes in a set of committed rows.  0 is "before any tick". */
typedef uint64 SfTick;
#define SF_TICK_NONE ((SfTick) 0)
#define SF_TICK_MAX PG_UINT64_MAX

/* An event time or watermark: a TimestampTz (or a Timestamp taken as UTC), in microseconds. */
typedef int64 SfTime;
#define SF_TIME_MINUS_INFINITY PG_INT64_MIN
#define SF_TIME_INFINITY PG_INT64_MAX

#define SF_SCHEMA "streamfuse"
#define SF_STREAM_AM "stream"
#define SF_VIEW_AM "streamfuse_view"

/* Settings (streamfuse.c). */
extern int sf_state_memory_mb;		   /* bound on all operator state, in MB */
extern int sf_max_group_memory_mb;	   /* bound on what one aggregate keeps for one group, in MB */
extern int sf_reader_memory_mb;		   /* bound on pre-images kept for readers, in MB */
extern int sf_checkpoint_interval_ms;  /* longest time between two checkpoints of a fragment's state */
extern int sf_checkpoint_rows;		   /* most rows between two checkpoints of a fragment's state */
extern int sf_view_timeout_ms;	   /* longest time that code of a view's owner may run in one step; 0: any */
extern int sf_commit_interval_ms;	   /* closes are grouped for so long */
extern int sf_tick_interval_ms;		   /* rest after a tick */
extern int sf_restart_attempts;		   /* so often is a view tried again whose own code raises */
extern int sf_restart_delay_ms;		   /* and so long after */
extern int sf_max_streams;			   /* slots for streams (leaf partitions count) */
extern int sf_read_consistency;		   /* SfReadConsistency */
extern int sf_read_backfilling;		   /* SfReadBackfilling */
#ifdef STREAMFUSE_TEST
extern int sf_test_tick_pages;		   /* pages a tick takes in at most; 0: as in production */
extern int sf_test_lag_pages;		   /* pages that inserters may be behind at least; 0: as in production */
extern bool sf_test_spill;			   /* all groups that can leave memory do so at each commit (worker/pressure.c) */
extern bool sf_test_sweep;			   /* small windows are swept, too (output/checkpoint.c) */
#endif

typedef enum SfReadConsistency
{
	SF_READ_AVAILABLE,
	SF_READ_LATEST,
} SfReadConsistency;

typedef enum SfReadBackfilling
{
	SF_BACKFILLING_BATCH,
	SF_BACKFILLING_PARTIAL,
	SF_BACKFILLING_ERROR,
} SfReadBackfilling;

/*
 * Makes room for at least n elements in an array of the context's, NULL while it has none; `max` is its room, `least` what it
 * begins with.  Raises when there is no memory, and the array is as it was.
 */
#define sf_reserve(context, array, max, n, least) \
	do { \
		if ((n) > (max)) \
		{ \
			Size room_ = Max((Size) (n), Max((Size) (least), 2 * (Size) (max))); \
			(array) = (array) == NULL ? MemoryContextAllocHuge(context, room_ * sizeof(*(array))) \
									  : repalloc_huge(array, room_ * sizeof(*(array))); \
			(max) = room_; \
		} \
	} while (0)

/* True when the library was preloaded, i.e. shared memory and workers are there. */
extern bool sf_is_preloaded(void);

/* Raises the one clear error (ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) if it was not. */
extern void sf_require_preload(void);

#endif /* SF_STREAMFUSE_H */
