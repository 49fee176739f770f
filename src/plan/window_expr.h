/*
 * window_expr.h
 *		Grouping expressions that are windows: date_trunc and date_bin of a column of a stream.
 */
#ifndef SF_WINDOW_EXPR_H
#define SF_WINDOW_EXPR_H

#include "streamfuse.h"

#include "nodes/primnodes.h"

#include "time/window.h"

/*
 * Whether an expression is date_trunc or date_bin of a column of the relation at varno: then the column, and the windows
 * whose starts are the expression's values.  Under the view's settings: date_trunc takes the session's time zone.
 * Raises an error where other arguments are not constant, or are ones that those functions refuse.
 */
extern bool sf_match_window_expr(Node *node, Index varno, Var **time, SfWindowSpec *spec);

/* Whether a function is date_trunc of timestamptz in the session's time zone. */
extern bool sf_is_session_date_trunc(Oid funcid);

/* The constant that an argument of a window is, or an error that names it. */
extern Const *sf_constant_argument(Node *node, const char *name);

#endif							/* SF_WINDOW_EXPR_H */
