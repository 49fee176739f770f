/*
 * progress.h
 *		How far a fragment is: what of its streams is counted, its watermark, its counters, windows that missed rows.
 *
 * The worker keeps this in its own memory, puts a flat copy into DSA with every tick that changes it (for its successor
 * and for verify), and writes it to streamfuse.progress in the transaction that makes a tick durable.
 */
#ifndef SF_PROGRESS_H
#define SF_PROGRESS_H

#include "streamfuse.h"

#include "lib/stringinfo.h"
#include "state/blob.h"
#include "state/shared.h"
#include "stream/capture.h"
#include "utils/timestamp.h"

/* One stream: positions of its leaf relations and the memory of its watermark strategy. */
typedef struct SfSourceState
{
	SfTime		max_event;		/* largest event time counted that was not ahead; MINUS_INFINITY: none */
	SfTime		watermark;
	int64		punctuation;	/* id of the last row of streamfuse.punctuation taken in */
	int64		last_reset;		/* and of the last one that was a reset */
	List	   *positions;		/* SfPosition *, one for each leaf */
} SfSourceState;

typedef struct SfCounters
{
	uint64		rows_in;		/* passed the filter and are counted in a window, however many hold them */
	uint64		rows_late;		/* came when a window that holds them had closed; maybe counted in others */
	uint64		rows_missed;	/* late and not counted: once for each such window */
	uint64		rows_ahead;
	uint64		rows_read;		/* of the stream, whatever became of them */
	uint64		rows_failed;	/* raised an error and were set aside */
} SfCounters;

/* A window that missed rows since the last durable commit. */
typedef struct SfMissed
{
	SfTime		start;
	SfTime		end;
	int64		rows;
	TimestampTz first;			/* when the first and the last of them were found late */
	TimestampTz last;
} SfMissed;

/* A row that raised an error and was set aside since the last durable commit. */
typedef struct SfFailedRow
{
	Oid			relid;			/* the stream, or a leaf of it */
	BlockNumber block;
	OffsetNumber offset;
	uint16		branch;			/* that it came by; it may be counted by another */
	int32		sqlstate;		/* as MAKE_SQLSTATE makes it */
	int32		message;		/* where it begins in SfProgress.messages */
	SfTime		event_time;
	TimestampTz at;
} SfFailedRow;

/* Beyond this many failed rows that wait for a commit a fragment takes smaller ticks; see worker/feed.c. */
#define SF_FAILED_ROWS 65536

/* What is kept of an error's message. */
#define SF_FAILED_MESSAGE_BYTES 256

typedef struct SfProgress
{
	SfCounters	counters;
	SfTime		closed_until;	/* windows ending at or before it are closed */
	SfTime		last_closed;	/* end of the last window that was closed with groups in it: a reset goes back no further */
	SfTime		forgotten_before;	/* groups over all time of lesser lives are forgotten; SF_LIFE_LEAST: none */
	SfTime		adopted_until;	/* rows of windows ending up to then were counted before a dump: neither late nor missed */
	int			nmissed;
	int			max_missed;
	SfMissed   *missed;			/* in the context given to sf_progress_init, like failed and messages */
	int			nfailed;
	int			max_failed;
	SfFailedRow *failed;		/* in the order in which they failed */
	StringInfoData messages;	/* of the failed rows, each with a zero at its end */
	MemoryContext context;
} SfProgress;

/*
 * A fragment's position: the states of all streams that it reads, in the fragment's order, in flat form.  Begin, then add
 * the flat form of each; load gives a list of SfSourceState.
 */
extern void sf_position_set_begin(StringInfo out, int nstreams);
extern void sf_position_set_add(StringInfo out, const char *flat, Size size);
extern List *sf_position_set_load(MemoryContext context, const char *data, Size size);

extern void sf_source_state_save(const SfSourceState *state, StringInfo out);
extern SfSourceState *sf_source_state_load(MemoryContext context, const char *data, Size size);
extern SfSourceState *sf_source_state_copy(MemoryContext context, const SfSourceState *state);

extern void sf_progress_init(SfProgress *progress, MemoryContext context);
extern void sf_progress_add_missed(SfProgress *progress, SfTime start, SfTime end, int64 rows, TimestampTz now);

/* row->message is filled in. */
extern void sf_progress_add_failed(SfProgress *progress, const SfFailedRow *row, const char *message);

/* Forgets the failed rows from number nfailed on, whose messages begin at messages_size. */
extern void sf_progress_cut_failed(SfProgress *progress, int nfailed, int messages_size);

/*
 * Puts the state as of `tick` where it does not hide the one of the last published tick.  May raise out of memory;
 * unprepare takes it back when the tick is undone.  position: a position set in flat form.
 */
extern void sf_progress_prepare(SfBlobSpace *space, SfTick tick, const SfProgress *progress, StringInfo position);
extern void sf_progress_unprepare(SfFragment *fragment, SfTick tick);

/*
 * Reads the newest state that is not newer than `tick`; false when there is none.  progress may be NULL, and so may
 * sources, a list of SfSourceState.  Takes the fragment's lock.
 */
extern bool sf_progress_read(SfFragment *fragment, SfTick tick, MemoryContext context, SfProgress *progress,
							 List **sources);

#endif /* SF_PROGRESS_H */
