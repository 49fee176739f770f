/*
 * window_expr.h
 *		Grouping expressions that are windows: date_trunc, date_bin and casts to date, of a time or a window's column.
 */
#ifndef SF_WINDOW_EXPR_H
#define SF_WINDOW_EXPR_H

#include "streamfuse.h"

#include "nodes/primnodes.h"

#include "time/window.h"

typedef struct SfWindowExpr
{
	Var		   *time;			/* the argument */
	SfWindowSpec windows;		/* times with the same value are those of a window, but for what SF_UNIT_CLOCK says */
	Expr	   *start;			/* the start of the time's window, over Q */
	bool		is_start;		/* the expression itself is that */
} SfWindowExpr;

/*
 * The column of the relation at varno of which an expression is date_trunc, date_bin or the date, or NULL.  Raises
 * nothing.
 */
extern Var *sf_window_expr_time(Node *node, Index varno);

/*
 * Whether an expression is a window of a column of the relation at varno.  Under the view's settings: casts and
 * date_trunc take the session's time zone.  Raises an error where other arguments are not constant, or are ones that
 * those functions refuse.
 */
extern bool sf_match_window_expr(Node *node, Index varno, SfWindowExpr *found);

/* The constant that an argument of a window is, or an error that names it. */
extern Const *sf_constant_argument(Node *node, const char *name);

#endif							/* SF_WINDOW_EXPR_H */
