/*
 * dataflow.h
 *		What the worker of a database knows: sources (one scan of a stream each) and their members (fragments).
 *
 * A member has a source for each stream that it reads, and a source feeds any number of members.
 *
 * All of it is the worker's own memory; what others see is SfDataflow and SfFragment in shared memory.  Calls go
 * worker.c → tick.c, commit → members and sources; nothing here is called from below.
 */
#ifndef SF_WORKER_DATAFLOW_H
#define SF_WORKER_DATAFLOW_H

#include "streamfuse.h"

#include "flow/batch.h"
#include "flow/close.h"
#include "flow/flow.h"
#include "plan/fragment.h"
#include "plan/view.h"
#include "state/progress.h"
#include "state/spill.h"
#include "state/store.h"
#include "stream/settings.h"

typedef struct SfMember SfMember;
typedef struct SfSource SfSource;
typedef struct SfCatchUp SfCatchUp;

/* What the server log has been told of a view's first filling. */
typedef enum SfFilling
{
	SF_FILLING_DONE,			/* all, or there is nothing to tell */
	SF_FILLING_NOT_BEGUN,
	SF_FILLING_BEGUN,
} SfFilling;

/* What a member raised, and when it is tried again (retry.c).  All zero: nothing. */
typedef struct SfTrouble
{
	int			attempts;		/* in a row */
	int			own_errors;		/* those that do not pass by themselves; bounded by streamfuse.restart_attempts */
	int			delay_ms;		/* the last one after an error that may pass */
	TimestampTz retry_at;
	bool		out_of_memory;	/* the last error was that */
} SfTrouble;

/* A fragment as the worker holds it. */
struct SfMember
{
	SfFragmentRow row;
	SfFragment *shared;
	dsa_pointer shared_pointer;
	MemoryContext context;		/* of the member itself */
	MemoryContext compiled;		/* definition, store handle, flow; rebuilt after an invalidation */
	SfDefinition *definition;	/* NULL until compiled */
	SfStore    *store;
	SfFlow	   *flow;
	SfCloser   *closer;			/* like the flow */
	SfSessions *sessions;		/* like the flow; NULL: none */
	SfSpill    *spill;			/* like the flow, but that it outlives it */
	SfProgress	progress;
	Oid			owner;
	SfSource   *sources[SF_MAX_STREAMS];	/* of row.streams; all NULL before it is started */
	bool		stale;			/* an invalidation came: compile again before the next tick */
	bool		skip_errors;	/* on_error = 'skip' */
	uint64		max_state;		/* bytes; 0: none */
	bool		begun;			/* in the current tick */
	int64		state_ttl;		/* microseconds; SF_TTL_NONE: groups over all time are not forgotten */
	bool		in_tick;		/* begun in the current tick and not rolled back */
	bool		again;			/* undone, to take the tick again from a source of its own */
	bool		small_ticks;	/* and in small ticks */
	bool		taken_over;		/* its groups were found in shared memory */
	bool		unstarted;		/* starting it has raised; it has a source of its own and is started anew */
	bool		recovered;		/* running as soon as the groups read from the tables are published */
	bool		adopting;		/* its output came from a dump and is yet to be compared with what is stored */
	bool		compared;		/* in the current tick */
	SfFilling	filling;
	ErrorData  *failure;		/* raised, and not dealt with yet; in error_context */
	MemoryContext error_context;	/* FreeErrorData does not free all of an error */
	bool		timed_out;		/* that is streamfuse.view_timeout */
	SfTrouble	tick_trouble;	/* of compiling, starting, and taking in rows */
	SfTrouble	commit_trouble;
	SfTick		released;		/* its groups go once no pin is at this tick or before; SF_TICK_NONE: they do not */

	/* What waits for a commit. */
	TimestampTz closed_since;	/* first close not yet committed; 0: none */
	TimestampTz dirty_since;	/* first change not yet checkpointed; 0: none */
	uint64		dirty_rows;
	Size		to_spill;		/* groups of so many bytes are to leave memory with the next commit (pressure.c) */
	bool		free_places;	/* groups have left: their places are free once a commit has said so */
	bool		backfilled;		/* history has been worked in, if it failed afterwards or not */
	bool		cannot_commit;	/* its rows were refused: only its failure is written */
	bool		must_commit;	/* a status or a punctuation waits to be durable */
	SfTick		committed;		/* tick that is durable */
	TimestampTz commit_time;	/* of the last commit, or of the one under way */
};

/* One scan of one stream. */
struct SfSource
{
	Oid			stream;
	MemoryContext context;
	SfSourceState *state;		/* as of the last published tick; in state_context */
	MemoryContext state_context;
	SfSourceState *next;		/* during a tick; in next_context */
	MemoryContext next_context;
	StringInfoData flat;		/* of `next`, once it will not change any more in the tick; in next_context */
	List	   *members;		/* SfMember * that this scan feeds */
	SfBatch    *batch;			/* NULL until needed; thrown away when members change */
	SfStreamSettings settings;
	List	   *leaves;			/* oids of the relations that hold rows */
	bool		stale;			/* settings or leaves may have changed */
	SfCatchUp  *catch_up;		/* while history is worked through in slices */
	uint64		rows;			/* seen in this tick */
	bool		reset;			/* the watermark was reset in this tick */
	bool		behind_reset;	/* a reset is known that it has not taken in: it judges nothing by the watermark before it */
	bool		small;			/* takes small ticks until it is complete: many of its rows fail */
	bool		skipped;		/* not scanned in this tick: a lock was not to be had, or an error */
	SfSource   *meets;			/* has counted the same rows in this tick: its members go there once that is published */
	bool		complete;		/* the tick took in all that its snapshot sees */
	bool		progressed;		/* it moved a position's frontier */
};

typedef struct SfWorker
{
	SfDataflow *dataflow;
	MemoryContext context;
	MemoryContext commit_context;	/* what a commit must remember until it has happened */
	List	   *members;		/* SfMember * */
	List	   *sources;		/* SfSource *; failed members have none */
	uint32		catalog_generation; /* as of the last reconciliation */
	bool		punctuations;	/* streamfuse.punctuation may have rows */
	List	   *applied_punctuations;	/* int64 *: ids taken in and not yet deleted */
	TimestampTz tick_time;
	bool		skipped_source; /* the last tick had to leave a source out */
} SfWorker;

/* member.c */
extern SfMember *sf_member_create(SfWorker *worker, const SfFragmentRow *row);
extern void sf_member_destroy(SfWorker *worker, SfMember *member);
extern void sf_dataflow_discard(SfDataflow *dataflow);
extern bool sf_member_lock(const SfFragmentRow *row);
extern void sf_member_compile(SfMember *member);
extern void sf_member_set_status(SfWorker *worker, SfMember *member, SfFragmentStatus status);
extern void sf_member_abandon(SfWorker *worker, SfMember *member);
extern void sf_member_pause(SfWorker *worker, SfMember *member);

/* Has it failed, or is it paused?  Then it takes no rows until it is resumed. */
extern bool sf_member_stopped(const SfMember *member);

/* Its groups are read from the tables from here on; what is in memory goes once nobody reads it (sf_member_reclaim). */
extern void sf_member_release(SfWorker *worker, SfMember *member);
extern bool sf_member_released(const SfMember *member);
extern void sf_member_reclaim(SfMember *member, SfTick oldest_tick);

/*
 * Most pages that these members can take in at once: rows that become rows of a view are in memory until they are
 * committed.  And the same where what one tick takes in is more than should wait for a commit, or than there is room for.
 */
#define SF_SMALL_TICK_PAGES 256
extern int	sf_members_most_pages(List *members);

/* inputs.c: all scans of a member together */
extern bool sf_member_has_sources(const SfMember *member);
extern SfTime sf_member_watermark(const SfMember *member);
extern bool sf_member_was_reset(const SfMember *member);	/* in this tick: the watermark of one of its streams */
extern bool sf_member_is_complete(const SfMember *member);	/* the tick took in all that its snapshot sees */
extern bool sf_member_makes_room(const SfMember *member);
extern bool sf_member_takes_small_ticks(const SfMember *member);
extern uint64 sf_member_tick_rows(const SfMember *member);
extern uint64 sf_member_pages_read(const SfMember *member);
extern void sf_member_save_position(const SfMember *member, StringInfo out);
extern void sf_member_forget_batches(const SfMember *member);
extern void sf_member_leave_sources(SfWorker *worker, SfMember *member);
extern void sf_member_detach(SfWorker *worker, SfMember *member);

/* Runs code of a view's owner: switches the user, and the view's settings where they matter. */
typedef struct SfOwnerScope
{
	Oid			user;
	int			security_context;
	int			guc_level;
} SfOwnerScope;
extern void sf_owner_enter(SfMember *member, bool settings, SfOwnerScope *scope);
extern void sf_owner_leave(SfOwnerScope *scope);

/* timeout.c: bounds the time that code of a view's owner takes; the scope starts and stops the clock */
extern void sf_view_timeout_init(void);
extern void sf_view_timeout_start(void);
extern bool sf_view_timeout_stop(void);
extern void sf_view_timeout_describe(ErrorData *error);

/*
 * Runs a step for one member in a subtransaction.  False when it raised: the subtransaction is undone, the error is in
 * the member's `failure` (the first one is kept), and the caller sees to it that sf_member_trouble is called between steps.
 */
typedef void (*SfMemberStep) (SfMember *member, void *arg);
extern bool sf_member_guard(SfMember *member, SfMemberStep step, void *arg);

/* retry.c */

/*
 * Copies the error that is being caught into `failure`, unless there is one already.  timed_out: it is that of
 * streamfuse.view_timeout, if it is a cancellation.
 */
extern void sf_member_note_error(SfMember *member, bool timed_out);
extern void sf_member_forget_error(SfMember *member);

/* Errors that may pass by themselves: tried again for ever. */
extern bool sf_error_may_pass(const ErrorData *error);

/*
 * Deals with a member's `failure`: it gets sources of its own and is tried again some time later, or it has failed.
 * What it had begun is undone before.
 */
extern void sf_member_trouble(SfWorker *worker, SfMember *member, SfTrouble *trouble);

/* The step that had raised has succeeded, or does not matter any more. */
extern void sf_trouble_over(SfMember *member, SfTrouble *trouble);

/* All is well with a member, whatever a former worker or a former run of it has left to be seen. */
extern void sf_trouble_forget(SfMember *member);

/* Is it too early to try again? */
extern bool sf_trouble_waits(const SfTrouble *trouble, TimestampTz now);

/* Is there a member that is to be started anew by now?  sf_reconcile does it. */
extern bool sf_start_due(SfWorker *worker);

/* Until the next member is tried again, in ms; -1: none waits for that. */
extern long sf_retry_wait(SfWorker *worker);

/* source.c */
extern SfSource *sf_source_create(SfWorker *worker, Oid stream, SfSourceState *state);
extern void sf_source_destroy(SfWorker *worker, SfSource *source);
extern void sf_source_add(SfSource *source, SfMember *member);
extern void sf_source_remove(SfSource *source, SfMember *member);
extern void sf_source_forget_batch(SfSource *source);
extern bool sf_source_lock(SfSource *source);
extern bool sf_source_awaits_commit(const SfSource *source);
extern void sf_source_seal(SfSource *source);
extern void sf_source_scan(SfWorker *worker, SfSource *source, Snapshot snapshot);
extern void sf_source_advance(SfWorker *worker, SfSource *source, Snapshot snapshot);
extern void sf_source_flatten(SfSource *source);
extern void sf_source_publish(SfSource *source);
extern void sf_source_rollback(SfSource *source);
extern void sf_source_undo_member(SfMember *member);
extern bool sf_source_same_rows(SfSource *a, SfSource *b);

/* punctuation.c */
extern void sf_source_look_for_reset(SfWorker *worker, SfSource *source);
extern void sf_source_apply_punctuations(SfWorker *worker, SfSource *source, Snapshot snapshot);

/* Two scans that meet in a tick: the same watermark for both in the tick, the same scan once it is published. */
extern void sf_source_meet(SfSource *into, SfSource *from);
extern void sf_source_follow(SfSource *from);
extern void sf_source_join(SfWorker *worker, SfSource *from);
extern int	sf_source_awaited(const SfSource *source, uint64 *oldest);
extern bool sf_source_awaits_ended(const SfSource *source);
extern uint64 sf_source_pages_read(const SfSource *source);

/*
 * adopt.c: once a restored view has taken in all there is, its output is compared with what its query gives for the same
 * windows; those that differ have missed rows.  The comparison is verify's, which is above.
 */
typedef struct SfAdoptedDifference
{
	SfTime		start;
	SfTime		end;
	int64		rows;			/* that the output has not; at least so many */
} SfAdoptedDifference;
typedef List *(*SfCompareAdoptedHook) (const SfFragmentRow *row, SfDefinition *definition, const SfProgress *progress);
extern SfCompareAdoptedHook sf_compare_adopted_hook;
extern bool sf_member_check_adopted(SfMember *member);

/* report.c: what others are told; nothing here decides anything. */
extern void sf_report_start(SfWorker *worker);
extern void sf_report_activity(SfWorker *worker, SfActivity activity, const char *what);
extern void sf_report_catch_up(SfSource *source, uint64 pages_left);
extern void sf_report_committing(SfMember *member, int nmembers);
extern void sf_report_tick_rows(SfWorker *worker, uint64 rows);
extern void sf_report_member(SfWorker *worker, SfMember *member);
extern void sf_report_commit(SfMember *member, TimestampTz time);
extern void sf_report_failure(SfMember *member, TimestampTz time);
extern void sf_report_resumed(SfMember *member);
extern void sf_report_recovered(SfMember *member, TimestampTz committed_at, TimestampTz failed_at);
extern void sf_report_members(SfWorker *worker);
extern void sf_report_fillings(SfWorker *worker);

/* feed.c: one member takes a batch; when it is not in the tick any more, it has raised or is to take it again */
extern void sf_member_take_batch(SfMember *member, Oid stream, SfBatch *batch);

/*
 * pressure.c: which views give up memory with the next commit, for others or to keep to their own bound.  True: groups
 * are on their way out, and the next tick is not to be waited for.
 */
extern bool sf_relieve(SfWorker *worker);
extern bool sf_member_can_spill(const SfMember *member);

/* tick.c: one tick in the caller's transaction environment (it starts and ends its own); true when there is more to take in already. */
extern bool sf_tick(SfWorker *worker);

/* recover.c */
extern void sf_reconcile(SfWorker *worker);

/* output/commit.c */
extern bool sf_commit_due(SfWorker *worker, long *wait_ms);
extern void sf_commit(SfWorker *worker);

#endif /* SF_WORKER_DATAFLOW_H */
