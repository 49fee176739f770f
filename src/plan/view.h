/*
 * view.h
 *		The view object: a materialized view of our access method, its options, and its rows in the catalog tables.
 *
 * A view is *active* when its output table hangs on it: an AUTO dependency in pg_depend, output -> view.  A view that
 * comes out of a dump is *inert* until REFRESH MATERIALIZED VIEW adopts its output table and makes the dependency.
 */
#ifndef SF_VIEW_H
#define SF_VIEW_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

typedef struct SfViewOptions
{
	bool		continuous;
	bool		emit_final;		/* emit = 'final' */
	bool		skip_errors;	/* on_error = 'skip' */
	uint64		max_state;		/* bytes of state in memory; 0: no bound of its own */
	Interval	allowed_lateness;	/* must be zero until lateness policies come */
	char	   *output;			/* name of the output table, as stored in the options */
	bool		with_data;
	int64		state_ttl;		/* microseconds, or SF_TTL_NONE, which 'infinity' is, too */
} SfViewOptions;

#define SF_TTL_NONE PG_INT64_MAX

extern void sf_view_ddl_init(void); /* installs the hooks; from _PG_init */

extern bool sf_is_continuous_view(Oid relid);
extern void sf_view_options_get(Oid view, SfViewOptions *options);

/*
 * What a user may set, without the prefix, as DefElem with String: what is set, and the defaults of what has more than
 * one value.
 */
extern List *sf_view_user_options(Oid view);

/* The output table, or InvalidOid while the view is inert (restored and not yet refreshed). */
extern Oid	sf_view_output(Oid view);

/* The active view whose output table this is, or InvalidOid. */
extern Oid	sf_output_view(Oid relid);

/* Raises ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, with the hint to REFRESH, for an inert view. */
extern void sf_view_require_active(Oid view);

/* Q as stored, a copy, not locked and not rewritten. */
extern Query *sf_view_query(Oid view);
extern bool sf_view_is_stateless(Oid view);

/* In what the answer of a query that is maintained may differ from the query run as a batch: one text each. */
extern List *sf_query_exemptions(Query *query);

/* The same for an existing view, whose options may add to it. */
extern List *sf_view_exemptions(Oid view);

/* SfDefinition.window_key, as kept with the view; SF_WINDOW_KEY_UNKNOWN: it is not. */
extern int	sf_view_window_key(Oid view);

/* Q ready to be planned in place of the view: locked, rewritten (RLS included), checked as the view's owner. */
extern Query *sf_view_batch_query(Oid view);

/*
 * The settings the view was created under (TimeZone, DateStyle, …), kept in the option streamfuse.settings.  Apply sets
 * them in a new GUC nest level, which it returns for AtEOXact_GUC(true, level).
 */
extern int	sf_view_settings_apply(Oid view);

#define SF_MAX_STREAMS 16		/* that one view can read */

/* A row of streamfuse.fragment. */
typedef struct SfFragmentRow
{
	int32		id;
	Oid			view;
	Oid			output;
	int			nstreams;
	Oid			streams[SF_MAX_STREAMS];	/* that it reads, each once, in the order of the query */
	SfTime		begins_at;		/* windows starting earlier are not the view's (WITH NO DATA); MINUS_INFINITY: all */
	SfTime		adopted_until;	/* the output came from a dump, with all windows that end up to then */
	bool		paused;			/* by pause() */
	uint32		resumes;		/* calls of resume() so far: a failure is of the run that it happened in */
} SfFragmentRow;

/* The number of a stream among those that a fragment reads, or -1. */
static inline int
sf_fragment_input(const SfFragmentRow *row, Oid stream)
{
	for (int i = 0; i < row->nstreams; i++)
		if (row->streams[i] == stream)
			return i;
	return -1;
}

/* Rows of streamfuse.fragment visible to the snapshot (NULL: the latest) whose views are active. */
extern List *sf_fragment_rows(Snapshot snapshot);

/* The one of this view, as of now; NULL when there is none.  It may be inert. */
extern SfFragmentRow *sf_fragment_row(Oid view);

#endif /* SF_VIEW_H */
