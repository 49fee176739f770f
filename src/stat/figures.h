/*
 * figures.h
 *		What shared memory says of one fragment, copied out for the statistics views.
 */
#ifndef SF_FIGURES_H
#define SF_FIGURES_H

#include "streamfuse.h"

#include "plan/view.h"
#include "state/progress.h"
#include "state/shared.h"
#include "stream/settings.h"

typedef struct SfFigures
{
	bool		found;			/* false: no worker has come to the view yet, and all else is zero */
	SfFragmentStatus status;
	uint32		resumes;
	SfTime		watermark;
	SfTime		closed_until;
	SfStanding	standing;
	uint64		rows_in;
	uint64		rows_late;
	uint64		rows_missed;
	uint64		rows_ahead;
	uint64		rows_failed;
	uint64		rows_read;
	uint64		groups;
	uint64		bytes;
	uint64		undo_bytes;
	int			open_windows;	/* or panes */
	SfTime		next_end;		/* of the open window that ends first; SF_TIME_INFINITY: none is open */
	List	   *sources;		/* SfSourceState * of each stream, as of the last published tick; NIL: none yet */
	char		error_sqlstate[6];
	char		error_message[512];
	int			attempts;
	TimestampTz retry_at;		/* 0: it is not waiting to be tried again */
} SfFigures;

/*
 * Copies what there is of a view, in the current memory context.  Takes no lock that anybody may hold for long, and the
 * fragment may be freed at any time afterwards.
 */
extern void sf_figures_get(SfDataflow *dataflow, Oid view, SfFigures *figures);

/* row: what the catalog says of the view. */
extern const char *sf_status_name(SfDataflow *dataflow, const SfFigures *figures, const SfFragmentRow *row);

/* What has to come or to change for the view's watermark to move on. */
extern const char *sf_held_by(SfDataflow *dataflow, const SfFigures *figures, const SfStreamSettings *settings);

/* How long the view has been behind what is committed, in microseconds; 0: it is not. */
extern int64 sf_figures_lag_us(SfDataflow *dataflow, const SfFigures *figures, TimestampTz now);

/* Pages of a stream's leaves: what there is, what the figures' position has come to.  A negative number: not known. */
typedef struct SfPages
{
	int			leaves;
	int64		total;			/* of those that could be looked at */
	int64		read;			/* of `total`, those that the position has come to */
	int64		open;			/* of `total`, those that an insert may still touch */
	double		rows;			/* by the planner's statistics; negative: there are none */
	bool		locked;			/* somebody holds a lock that keeps us from looking at a leaf */
} SfPages;

extern void sf_pages_get(Oid stream, const SfSourceState *source, SfPages *pages);

/* The same for all streams of a view together. */
extern void sf_view_pages_get(const SfFragmentRow *row, const SfFigures *figures, SfPages *pages);

/* Where the view is in a stream of its row; NULL: not known yet. */
extern const SfSourceState *sf_figures_source(const SfFigures *figures, int input);

/* The stream whose watermark is the view's: of several the one that holds it. */
extern int	sf_figures_holder(const SfFragmentRow *row, const SfFigures *figures);

/* Rows that wait beyond the position, by what a page has held so far; negative: not known. */
extern double sf_rows_waiting(const SfPages *pages, const SfFigures *figures);

#endif							/* SF_FIGURES_H */
