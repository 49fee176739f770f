/*
 * shared.h
 *		The map of shared memory: dataflows (one per database), their fragments, and the pins of readers.
 *
 * Main shared memory holds a fixed array of dataflows and one pin slot per backend.  Everything that grows is in one
 * DSA area, created by the launcher and pinned.  Each field says who writes it and under which lock.
 */
#ifndef SF_SHARED_H
#define SF_SHARED_H

#include "streamfuse.h"

#include "access/transam.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"
#include "utils/timestamp.h"

#define SF_MAX_DATAFLOWS 64

typedef enum SfFragmentStatus
{
	SF_FRAGMENT_STARTING,		/* known to the worker, nothing counted: reads run Q itself */
	SF_FRAGMENT_BACKFILLING,	/* history is being worked in: reads run Q itself */
	SF_FRAGMENT_RUNNING,
	SF_FRAGMENT_FAILED,			/* stopped by an error; error_message says why */
	SF_FRAGMENT_PAUSED,			/* stopped by pause() */
} SfFragmentStatus;

/* What a worker is doing. */
typedef enum SfActivity
{
	SF_ACTIVITY_STARTING,
	SF_ACTIVITY_IDLE,
	SF_ACTIVITY_RECONCILING,	/* bringing its members in line with the catalogs */
	SF_ACTIVITY_TICK,
	SF_ACTIVITY_COMMIT,
	SF_ACTIVITY_WAITING,		/* for another try after an error */
} SfActivity;

/* Positions of a fragment's relations and its watermark, as of one published tick; replaced whole by the worker. */
typedef struct SfSharedPosition
{
	SfTick		tick;			/* the tick this copy describes */
	dsa_pointer data;			/* flat form, see state/progress.h */
	Size		size;
	Size		capacity;
} SfSharedPosition;

/* How a fragment stood when the worker last looked, for statistics only. */
typedef struct SfStanding
{
	TimestampTz behind_since;	/* what was committed by then may be uncounted; 0: all that there was is counted */
	TimestampTz last_rows;		/* start of the last tick that brought rows */
	TimestampTz last_commit;	/* its state, position and counters are durable as of then; 0: never */
	TimestampTz failed_at;
	bool		blocked;		/* the last tick had to leave the stream out: somebody holds a lock on it */
	int32		awaited;		/* open transactions that have written rows where the capture has been */
	uint64		oldest_awaited; /* full xid of the first of them */

	/* While history or what came in a downtime is worked in; what was counted when that began. */
	TimestampTz catch_up_since; /* 0: not now */
	uint64		catch_up_pages;
	uint64		catch_up_rows;
} SfStanding;

/* Where to find the windows closed by transactions up to xid, and after the entry before, in the output table. */
typedef struct SfEvicted
{
	uint64		xid;			/* full */
	SfTime		start;			/* the least of these windows' starts */
} SfEvicted;

#define SF_MAX_EVICTED 64

/*
 * One fragment: the maintained part of a view.  In DSA.  Linked from its dataflow; freed by the worker after the view
 * is gone and no pin can see it.
 */
typedef struct SfFragment
{
	dsa_pointer next;			/* dataflow->lock */
	int32		id;				/* set once */
	Oid			view;			/* set once */
	Oid			output;			/* set once */
	SfTime		begins_at;		/* set once: windows that start earlier are not the view's */
	LWLock		lock;			/* guards the structure of the store: windows, chunks, index, first touches */

	pg_atomic_uint32 status;	/* SfFragmentStatus; worker */
	bool		dropped;		/* worker, under dataflow->lock */
	/* Pins of ticks from the one to the other find the groups here, all others in the state table; worker. */
	pg_atomic_uint64 memory_from;
	pg_atomic_uint64 memory_until;	/* SF_TICK_MAX: unless the view is stopped, or could not be started */
	pg_atomic_uint32 resumes;	/* streamfuse.fragment.resumes, as the worker has taken note of it; worker */
	bool		keeps_groups;	/* its groups cannot be spilled; worker */
	uint64		local_bytes;	/* of `bytes`: memory of the worker's own; worker */
	/* Pins of ticks from this one on find groups in streamfuse.spilled, too; SF_TICK_MAX: there are none.  Worker. */
	pg_atomic_uint64 spilled_from;

	/* The store (state/store.c); written by the worker under lock, read by anybody under lock in shared mode. */
	dsa_pointer windows;		/* array of dsa_pointer to SfWindow, ordered by start */
	int			nwindows;
	int			max_windows;
	dsa_pointer shape;			/* StoreShape: what it takes to free groups without their definition; worker only */
	dsa_pointer undo_head;		/* oldest undo segment */
	dsa_pointer undo_tail;		/* newest undo segment */
	SfTick		valid_from;		/* pins of earlier ticks can not be served: the store was reset since */
	FullTransactionId evicted_xid;	/* newest closing transaction whose windows have left memory */
	int			nevicted;
	SfEvicted	evicted[SF_MAX_EVICTED];	/* the closings before it, ordered by xid; old ones are merged */

	/* Progress; written by the worker under lock. position[] alternate: the newer published one counts. */
	SfSharedPosition position[2];
	SfTime		watermark;		/* as of the last published tick */
	SfTime		closed_until;	/* windows ending at or before it are closed; goes back by a reset only */
	SfTime		forgotten_before;	/* groups over all time of lesser lives are forgotten; never goes back */
	SfTime		next_end;		/* where windows are made of panes: of the open one that ends first */

	/* flush: requests up to these are covered by a published tick, by a durable commit; worker, then broadcast. */
	pg_atomic_uint64 flush_counted;
	pg_atomic_uint64 flush_committed;
	pg_atomic_uint64 flush_checkpointed;	/* the same, and its changed state is durable */

	/* Figures for statistics; written by the worker without a lock, each read on its own. */
	pg_atomic_uint64 bytes;		/* DSA memory in use by this fragment, and what its worker has beside it */
	pg_atomic_uint64 undo_bytes;
	pg_atomic_uint64 groups;
	pg_atomic_uint64 rows_in;
	pg_atomic_uint64 rows_late;
	pg_atomic_uint64 rows_missed;
	pg_atomic_uint64 rows_ahead;
	pg_atomic_uint64 rows_read;
	SfStanding	standing;		/* worker, under lock */
	pg_atomic_uint64 rows_failed;

	/* Why it has failed, or is tried again; empty when all is well.  Worker, under lock. */
	char		error_message[512];
	char		error_sqlstate[6];
	int			attempts;		/* so many times in a row has it been tried again */
	TimestampTz retry_at;		/* when it is tried next; 0: it is not waiting for that */
} SfFragment;

/* What matters to whoever waits for a fragment: a copy. */
typedef struct SfGlance
{
	SfFragmentStatus status;
	uint32		resumes;
	SfTime		watermark;
	SfTime		forgotten_before;
	uint64		flush_counted;
	uint64		flush_committed;
	uint64		flush_checkpointed;
	TimestampTz retry_at;
	char		error_message[512];
} SfGlance;

/* A worker group: all streams of one database.  In main shared memory. */
typedef struct SfDataflow
{
	Oid			database;		/* InvalidOid when free; SfShared.lock */
	LWLock		lock;			/* the fragment list */
	dsa_pointer fragments;		/* lock */

	/* The worker: written by the launcher and the worker under SfShared.lock. */
	int			worker_pid;		/* 0 when none runs */
	Latch	   *worker_latch;
	int			parkers;		/* commands under way that allow no worker here (DROP DATABASE and the like) */

	bool		misfit_logged;	/* the worker has said that extension and library do not fit; worker */
	pg_atomic_uint32 launch_failures;	/* in a row, for want of a worker process; written by the launcher only */
	pg_atomic_uint32 vain_starts;	/* workers started since one got ready or left by itself; launcher adds, worker clears */

	pg_atomic_uint64 published; /* last published tick; written by the worker only */
	pg_atomic_uint32 spills;	/* groups have been spilled here, or were when the worker started; worker */
	pg_atomic_uint64 spill_commits;	/* odd while a commit that changes streamfuse.spilled becomes visible; worker */
	pg_atomic_uint32 ready;		/* 1 once the worker has recovered and published; 0 while it starts */
	pg_atomic_uint32 woken;		/* set with the latch; the worker clears it when a round begins, before its snapshot */
	pg_atomic_uint32 has_pending;	/* worker waits for transactions: every commit wakes it */
	pg_atomic_uint32 catalog_generation;	/* bumped at the commit of DDL on views or stream settings */

	/* flush: a backend takes a number from flush_asked and waits for its fragments to reach it. */
	pg_atomic_uint64 flush_asked;	/* last number given out; see worker/flush.h */
	pg_atomic_uint64 commit_asked;	/* highest number that waits for a commit */
	pg_atomic_uint64 checkpoint_asked;	/* highest number that waits for a checkpoint */
	pg_atomic_uint32 wanted;		/* a worker is wanted: set by backends, cleared by a worker that finds no views */
	ConditionVariable progress; /* broadcast when flush_*, ready or a status changes */

	/* Statistics; written by the worker only, each read on its own.  Times are TimestampTz, 0: none. */
	pg_atomic_uint64 ticks;
	pg_atomic_uint64 commits;
	pg_atomic_uint32 activity;	/* SfActivity */
	pg_atomic_uint64 started_at;	/* the present worker */
	pg_atomic_uint64 step_began;	/* of what it does now; 0 while it sleeps */
	pg_atomic_uint64 rows;		/* taken in by this worker's ticks */
	pg_atomic_uint64 tick_us;	/* the last tick */
	pg_atomic_uint64 commit_us; /* the last commit */
	pg_atomic_uint64 busy_us;	/* all that was not sleep */
} SfDataflow;

/*
 * What a backend's statements have pinned.  Written by its backend only (expired: by the worker).  A backend keeps here
 * between which ticks those of its open statements are.
 */
typedef struct SfPinSlot
{
	pg_atomic_uint64 tick;		/* oldest pinned tick; SF_TICK_MAX when none */
	pg_atomic_uint64 newest;	/* newest pinned tick */
	pg_atomic_uint64 parallel;	/* pinned by the statement that runs in parallel; SF_TICK_NONE when none does */
	pg_atomic_uint64 xmin;		/* full xid: closes below it are visible or aborted for all its snapshots; MAX: none */
	pg_atomic_uint32 database;
	pg_atomic_uint64 expired;	/* pins of ticks below this are too old (ERRCODE_SNAPSHOT_TOO_OLD) */
	char		pad[16];
} SfPinSlot;

typedef struct SfShared
{
	LWLock		lock;			/* the array of dataflows; the DSA handle */
	dsa_handle	area;			/* DSM_HANDLE_INVALID until the launcher has made it */
	int			launcher_pid;
	Latch	   *launcher_latch;
	int			dataflow_tranche;
	int			fragment_tranche;
	int			area_tranche;
	pg_atomic_uint32 dataflow_generation;	/* bumped whenever a dataflow is made */
	pg_atomic_uint64 state_bytes;	/* all fragments together; bounded by streamfuse.state_memory */
	SfDataflow	dataflows[SF_MAX_DATAFLOWS];
	SfPinSlot	pins[FLEXIBLE_ARRAY_MEMBER];	/* by sf_backend_number(); MaxBackends of them */
} SfShared;

extern SfShared *sf_shared;		/* NULL when not preloaded */

extern Size sf_shared_shmem_size(void);
extern void sf_shared_shmem_init(void);

/* The DSA area, attached on first use; lives as long as the process.  NULL while the launcher has not made it. */
extern dsa_area *sf_area(void);

/* Makes the area; called by the launcher once per server start. */
extern void sf_area_create(void);

/* The dataflow of this database; make = true creates it (ERRCODE_CONFIGURATION_LIMIT_EXCEEDED when all are taken). */
extern SfDataflow *sf_dataflow_get(Oid database, bool make);

/* Finds a live fragment by view, or NULL.  The pointer stays valid while the caller holds a pin or a lock on the view. */
extern SfFragment *sf_fragment_find(SfDataflow *dataflow, Oid view);

/*
 * The same without a lock on the view: when one is found, dataflow->lock is held in shared mode until sf_fragment_release
 * and the fragment is not freed.  In between: no heavyweight lock, no user code, no wait.
 */
extern SfFragment *sf_fragment_hold(SfDataflow *dataflow, Oid view);
extern void sf_fragment_release(SfDataflow *dataflow);

/* What matters to whoever waits for a fragment.  False: no such fragment is in memory. */
extern bool sf_fragment_glance(SfDataflow *dataflow, Oid view, SfGlance *glance);

/*
 * The word for a status.  paused: streamfuse.fragment says so, and the worker follows; resumed: a resume() is there that
 * the worker has not taken note of.
 */
extern const char *sf_status_word(SfFragmentStatus status, bool retrying, bool paused, bool resumed);

/* Wakes the worker of a dataflow, or the launcher when there is none.  Async-signal cheap; no locks. */
extern void sf_wake_worker(SfDataflow *dataflow);

/* The same, for a database whose worker may not have been asked for yet. */
extern void sf_want_worker(SfDataflow *dataflow);

/*
 * For DDL on views and stream settings: when the current transaction commits, catalog_generation of this database's
 * dataflow goes up by one and the worker is woken; nothing happens when it rolls back.  Such a transaction cannot be
 * prepared (PREPARE TRANSACTION).
 */
extern void sf_catalog_changed_at_commit(void);

#endif /* SF_SHARED_H */
