/*
 * flow_private.h
 *		What flow.c, fold.c, stateless.c and session_rows.c share: a flow, and what it knows of its batch.
 */
#ifndef SF_FLOW_PRIVATE_H
#define SF_FLOW_PRIVATE_H

#include "flow/flow.h"

#include "nodes/execnodes.h"

/* What comes next for the batch. */
typedef enum SfStage
{
	STAGE_SELECT,   /* filter and window: `at` is a row of the batch */
	STAGE_EVALUATE, /* keys and arguments: `at` is a place in selected */
	STAGE_LATE,     /* the same for late rows: `at` is a place in late */
	STAGE_FOLD,     /* groups and aggregates: `at` is a place in selected, where this goes by rows */
} SfStage;

typedef struct SfLateRow /* start and end: of its window, or of its pane */
{
	int row;
	SfTime start;
	SfTime end;
} SfLateRow;

/* Which of the view's windows hold a pane; a window that does not overlap with others is its own pane. */
typedef struct SfPane
{
	SfTime start;
	SfTime end;
	SfTime first_end;
	SfTime last_start;
	SfTime last_end;
} SfPane;

/* A value computed per row: a plain column of the stream, or an expression. */
typedef struct SfValue
{
	int column;       /* attno - 1 of a plain column, or -1 */
	ExprState *state; /* when not plain */
	Datum *values;    /* over the selected rows; own array or the batch's */
	bool *nulls;      /* NULL when no value is null */
	Datum *own_values;
	bool *own_nulls;
} SfValue;

typedef struct SfCall /* an aggregate call */
{
	int nargs;
	SfValue *args;
	ExprState *filter;
	bool shares_filter; /* with a call before, which evaluates it */
	bool *passes;       /* over the selected rows, when there is a filter */
	Datum **arg_values; /* [nargs], for sf_aggregate_advance_batch */
	bool **arg_nulls;
} SfCall;

/* A group that a row has been folded into, of one of the grouping sets. */
typedef struct SfRowTouch
{
	SfGroup *group;
	SfStoreMark mark;
	int states; /* where in row_states the group is, as it was before the row */
} SfRowTouch;
/* A branch of the definition, compiled. */
typedef struct SfFlowBranch
{
	int number;
	AttrNumber time_attnum;
	AttrNumber life_attnum;
	TupleTableSlot *row; /* one row of its stream */
	Bitmapset *columns;  /* loaded into `row` for expressions */
	int ncolumns;
	int *column_list;
	ExprState *filter;
	SfValue *keys;
	SfCall *calls;
} SfFlowBranch;

struct SfFlow
{
	MemoryContext context;
	SfDefinition *definition; /* borrowed */
	SfStore *store;           /* borrowed */
	SfProgress *progress;     /* borrowed */
	SfSessions *sessions;     /* borrowed; NULL: windows are no sessions */
	SfTime begins_at;
	SfWindowSpec pane; /* what rows go into */
	bool stateless;
	bool in_panes;
	bool needs_settings;

	EState *estate;
	ExprContext *econtext;  /* its per-tuple memory lives for a batch */
	TupleTableSlot *window; /* of a row: its window_start, window_end */
	bool uses_window;       /* some expression refers to the window's columns */
	bool has_expressions;   /* some key, argument or FILTER is not a plain column */

	int nkeys; /* those that have values: the number of the grouping set has none */
	SfFlowBranch *branches;
	SfFlowBranch *branch; /* that of the batch */
	SfBatch *batch;       /* borrowed */
	bool skip;      /* late rows are evaluated, too */
	SfStage stage;
	int at;
	int nfailed; /* of the rows before that place */
	int nlate;
	SfLateRow *late;

	/* By rows. */
	int batches_by_rows; /* so many more */
	bool has_failed;     /* some row of this batch while it was folded */
	SfWindow *row_window;
	int nrow_touches; /* groups of the row that are made or saved */
	SfRowTouch *row_touches;
	StringInfoData row_states;

	/* Over the selected rows of the current batch. */
	int nselected;
	int *selected;
	SfTime *starts;
	SfTime *ends;
	bool *partly_late; /* some window that holds the row has closed */
	bool any_partly_late;
	SfWindow **windows;
	uint32 *hashes;
	SfGroup **groups;
	char **states;
	Datum *set_numbers; /* where there are grouping sets: the number of the one at hand, in every place */
	bool *not_in_set;   /* true in every place */

	/* Stateless: the values to be appended, [nkeys]; the window of this tick, NULL while it has no rows. */
	Datum **columns_out;
	bool **nulls_out;
	SfWindow *tick_window;

	/* For undoing the counters of a tick. */
	TimestampTz now;
	SfCounters saved_counters;
	SfTime saved_closed_until;
	SfTime saved_last_closed;
	SfTime saved_forgotten_before;
	SfMissed *saved_missed; /* copy made at the first late row of a tick */
	int nsaved_missed;
	bool missed_saved;
	int saved_nfailed;
	int saved_messages_size;
};

/* flow.c */

/* The pane that holds a time, and the view's windows that hold it.  False: there is none. */
extern bool sf_flow_pane_of(SfFlow *flow, SfTime time, SfPane *pane);

/* Makes row `row` of the batch, and the window it is in, what expressions see: of windows of windows the fine one. */
extern void sf_flow_load_row(SfFlow *flow, SfBatch *batch, int row, SfTime start, SfTime end);

/* fold.c: the selected rows into their groups; one row; the last one out again, which has been folded whole or in part */
extern void sf_flow_fold(SfFlow *flow);
extern void sf_flow_fold_row(SfFlow *flow, int i);
extern void sf_flow_unfold_row(SfFlow *flow);

/* stateless.c: the steps of a view without groups; rows are places in `selected` */
extern void sf_flow_select_stateless(SfFlow *flow, SfBatch *batch);
extern void sf_flow_append(SfFlow *flow, int first, int n);

/* session_rows.c */
extern void sf_flow_select_sessions(SfFlow *flow, SfBatch *batch);

/* forget.c: the row at a place in `selected` has come into the group; where a definition says what its time is */
extern void sf_flow_note_time(SfFlow *flow, int i, SfGroup *group);

#endif							/* SF_FLOW_PRIVATE_H */
