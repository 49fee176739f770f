/*
 * hints.h
 *		What the user of a continuous view should know: told when it is made, and in streamfuse.views.
 */
#ifndef SF_HINTS_H
#define SF_HINTS_H

#include "streamfuse.h"

#include "nodes/parsenodes.h"

typedef struct SfHint
{
	char	   *message;		/* one sentence, as streamfuse.views shows it */
	char	   *detail;
	char	   *hint;			/* what to do about it */
} SfHint;

/* Of a view that is not active; streamfuse.views says nothing else of it. */
#define SF_HINT_INERT "use REFRESH MATERIALIZED VIEW to activate the view"

/*
 * Hints for a query that can be maintained, the most important first.  closes: its groups have windows, which are to
 * close.
 */
extern List *sf_hints(const Query *query, bool closes);

/* For an existing view, which need not be one that can still be maintained. */
extern List *sf_view_hints(Oid view);

#endif							/* SF_HINTS_H */
