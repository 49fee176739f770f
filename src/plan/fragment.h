/*
 * fragment.h
 *		From a view's query to its fragment: what is maintained, and how the view's columns follow from it.
 *
 * A definition is process-local and built from the stored query, by the DDL (which thereby learns what cannot be
 * maintained), by the worker, and by readers.  The same query gives the same definition in every process.
 */
#ifndef SF_FRAGMENT_H
#define SF_FRAGMENT_H

#include "streamfuse.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "nodes/execnodes.h"
#include "plan/view.h"
#include "state/store.h"
#include "time/window.h"

/*
 * Of session windows.  Rows are counted in panes as wide as the gap, by the keys of the groups and of the session: two
 * rows of a session's key in one pane are of one session.  The last two aggregates are the least and the greatest time of
 * a group's rows; of a group of a window that has closed, of its session's rows.
 */
typedef struct SfSessionSpec
{
	int64		gap;
	int			nkeys;			/* of the session, */
	int		   *keys;			/* which of the definition's they are, ascending */
	SfLayout   *layout;			/* of these keys alone */
	bool		by_group;		/* they are all of the definition's: a session's rows in a pane are one group */
} SfSessionSpec;

/*
 * What is done with the rows of one stream before they are grouped: that of a SELECT of a UNION ALL in FROM and of the
 * query around it, put together.  Expressions are over a row of the stream: Vars have varno 1 and its attnos.
 */
typedef struct SfBranch
{
	Oid			stream;
	AttrNumber	time_attnum;	/* the column that is the time; 0: none */
	Expr	   *time;			/* or NULL */
	AttrNumber	life_attnum;	/* where groups over all time leave: column of the watermark, if there is one */
	Expr	   *filter;			/* one boolean expression, or NULL */
	List	   *keys;			/* Expr, as in the definition */
	List	  **inputs;			/* [naggs]: Expr, as in the layout's aggregates */
	Expr	  **agg_filters;	/* [naggs]: FILTER, or NULL */
	List	   *written;		/* what its own SELECT names, asked for above or not: the view's owner may read it */
} SfBranch;

typedef struct SfDefinition
{
	MemoryContext context;
	Oid			view;			/* InvalidOid while it is being created */
	Index		row_varno;		/* range table index in Q of what is read: a stream (or partitioned parent), or a subquery */
	int			nstreams;
	Oid			streams[SF_MAX_STREAMS];	/* each once, in the order of Q */
	int			nbranches;
	SfBranch   *branches;		/* [nbranches], in the order of Q; of a plain stream one */
	bool		stateless;		/* filter and map only: a row of the stream is a row of the view */
	bool		has_window;		/* false only where it is stateless, and then not always */
	SfWindowSpec window;		/* of kind SF_WINDOW_NONE for groups over all time */
	Oid			time_type;		/* TIMESTAMPTZOID or TIMESTAMPOID; without a window the former */
	bool		timed;			/* rows have a time: some branch has */
	bool		single_row;		/* no GROUP BY, or an empty set: one row, also before the stream has any */

	/*
	 * Which expression of GROUP BY, from 1, says when groups close, where the columns of a window function do not: found
	 * by the streams' watermarks when the view is made, and kept with the view, since a watermark may change.
	 */
	int			window_key;

	Expr	   *window_start;	/* over Q: the start of a row's window; of windows of windows, of the coarse one */

	/*
	 * Over a row of what is read: Vars have varno 1 and the attnos of the stream or subquery.  Planned
	 * (expression_planner).  What is evaluated is in the branches.
	 */
	Expr	   *time;			/* the window's time argument, a plain column; NULL without a window */
	Expr	   *filter;			/* WHERE as one boolean expression, or NULL */
	int			nkeys;
	int			ngroup_keys;	/* the keys of Q's GROUP BY are the first ones */
	int			nsession_keys;	/* so many behind them are of the session alone: null in its windows' groups */
	List	   *keys;			/* Expr, grouping columns but window_start and window_end; stateless: the columns */
	SfSessionSpec *session;		/* NULL: no session windows */

	/*
	 * Of several grouping sets; none where there is one.  A row has a group in each: its last key is the set's number, from
	 * 1, an int that no expression gives, and those that are not in the set are null.
	 */
	int			nsets;
	uint64	   *sets;			/* [nsets]: bit i: key i is in the set */

	int			naggs;
	List	   *aggrefs;		/* Aggref, distinct ones; args and filters over a row of what is read */

	/* Over a group row: Vars have varno 1 and attnos 1 = window_start, 2 = window_end, keys, aggregates. */
	TupleDesc	group_desc;
	Expr	   *having;			/* or NULL */
	List	   *target;			/* TargetEntry: the view's columns in order (no junk) */

	/*
	 * The output table: the view's columns, then closed_xid, then what Q does not select of window and keys.  Stateless:
	 * not these.
	 */
	TupleDesc	output_desc;
	AttrNumber	output_closed_xid;
	AttrNumber	output_window_start;	/* 0 without a window: the table stays empty */
	AttrNumber	output_window_end;
	AttrNumber *output_keys;	/* [nkeys]; 0: not there */
	List	   *output_target;	/* TargetEntry over the group row for each output column but closed_xid (NULL expr) */

	/*
	 * For reads: the view's column i (from 1) is the plain window or key column `view_column[i-1]` of the group row, or 0.
	 * Stateless: all 0, since rows are not found by what is in them.
	 */
	AttrNumber *view_column;

	SfLayout   *layout;
} SfDefinition;

#define SF_WINDOW_KEY_NONE 0	/* expressions like a window's are keys like any other */
#define SF_WINDOW_KEY_UNKNOWN (-1)	/* there are no such expressions */

/* Are its groups over all time, so that nothing ever closes and nothing is late? */
static inline bool
sf_is_windowless(const SfDefinition *definition)
{
	return definition->window.kind == SF_WINDOW_NONE;
}

/* The least and the greatest time of a group's rows, or of its session's; false: it has none yet. */
extern bool sf_session_span(const SfDefinition *definition, const char *data, SfTime *first, SfTime *last);

/* Makes the group's times reach from `first` to `last` at least. */
extern void sf_session_widen(const SfDefinition *definition, SfBlobSpace *blobs, char *data, SfTime first, SfTime last);

/*
 * Are two groups of one session key, and the hash of that key of a group which has `hash` by all of its keys.  Run the
 * types' operators: never under a lock.
 */
extern bool sf_session_same_keys(const SfDefinition *definition, dsa_area *area, const char *a, const char *b);
extern uint32 sf_session_hash(const SfDefinition *definition, dsa_area *area, const char *data, uint32 hash);

/* Is a key of the session alone? */
static inline bool
sf_is_session_key(const SfDefinition *definition, int key)
{
	return key >= definition->ngroup_keys && key < definition->ngroup_keys + definition->nsession_keys;
}

/*
 * Analyses a view's query.  Raises ERRCODE_FEATURE_NOT_SUPPORTED (with the construct and a hint) for what cannot be
 * maintained.  The caller holds locks on Q's relations.
 */
extern SfDefinition *sf_define(MemoryContext context, Query *query, Oid view);

/*
 * The definition of a query as CREATE makes it: with the caller's privileges checked, and raising all that CREATE raises
 * for the query itself.
 */
extern SfDefinition *sf_define_new(Query *query);
/* Raises ERRCODE_FEATURE_NOT_SUPPORTED for what, by name, with a hint. */
SF_NORETURN extern void sf_refuse(const char *what, const char *hint);

/* The number of a stream among those of the definition, or -1. */
extern int	sf_definition_input(const SfDefinition *definition, Oid stream);

/* Is this query, if it can be maintained, one of filter and map only? */
extern bool sf_query_is_stateless(const Query *query);

/* The view's column (from 1) that shows a column of the group row as it is, or 0. */
extern AttrNumber sf_view_column(const SfDefinition *definition, AttrNumber group_column);

/*
 * Of a definition with a layout: are its windows made of panes, and can they be?  Raises like sf_define.
 */
extern void sf_define_panes(SfDefinition *definition);

/* Does an expression over a row of the stream refer to the window that the row is in? */
extern bool sf_refers_to_window(Node *expr);

/*
 * Writes the session's time zone into calendar windows that name none, in place: a view's days are fixed with the view.
 */
extern void sf_fix_time_zone(Query *query);

/* The definition of an existing view, from its stored query. */
extern SfDefinition *sf_define_view(MemoryContext context, Oid view);

/*
 * Turns groups into view rows (or output rows).  A projector owns an ExprContext; group slots are virtual.
 */
typedef struct SfProjector SfProjector;
extern SfProjector *sf_projector_create(EState *estate, SfDefinition *definition, bool output);

/* False when HAVING rejects the group.  data: a group's data (copy).  Result slot valid until the next call. */
extern TupleTableSlot *sf_projector_row(SfProjector *projector, SfBlobSpace *blobs, SfTime start, SfTime end,
										const char *data);

#endif /* SF_FRAGMENT_H */
