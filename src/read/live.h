/*
 * live.h
 *		Inside src/read: what the planner hook, the live side's paths and its scan agree on.
 *
 * A view's range table entry becomes a subquery: its output table UNION ALL its live side.  The live side is a range
 * table entry of the view's own relation under a name that marks it; a plan that scans one needs a pin.
 */
#ifndef SF_LIVE_H
#define SF_LIVE_H

#include "streamfuse.h"

#include "nodes/extensible.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

#include "plan/fragment.h"

/* Names (eref, never an alias) that mark range table entries of a view's own relation. */
#define SF_LIVE_MARK "streamfuse live"
#define SF_CLOSED_MARK "streamfuse closed"	/* not scanned: the view shows closed windows only */

#define SF_LIVE_SCAN_NAME "StreamfuseLive"

/* How a view is read by the statement being planned. */
typedef enum SfReadMode
{
	SF_READ_LIVE,				/* output table and live groups */
	SF_READ_CLOSED,				/* output table: emit = 'final' */
	SF_READ_BATCH,				/* Q itself */
} SfReadMode;

/* A condition on a window column of the live side; the value is an expression of the scan's custom_exprs. */
typedef struct SfBound
{
	bool		on_end;			/* of window_end, else of window_start */
	int			strategy;		/* BTLessStrategyNumber … BTGreaterStrategyNumber */
} SfBound;

/*
 * The live scan's custom_private, a list of two: OIDs (the view) and integers (number of key expressions, then on_end
 * and strategy of each bound).  Its custom_exprs: the key expressions in the order of the keys, then the bounds'.
 */

/* planner.c */
extern void sf_planner_init(void);

/* expand.c */
typedef struct SfExpansion
{
	PlannerGlobal *glob;		/* collects what inlined functions depend on */
	bool		live;			/* a live side was put in */
} SfExpansion;

extern void sf_expand_views(Query *query, SfExpansion *expansion);

/* Asked for each entry of a view: the query that is to stand for it, or NULL for what the view answers (verify). */
typedef Query *(*SfSideQueryHook) (const RangeTblEntry *rte);
extern SfSideQueryHook sf_side_query_hook;

/* status.c */
extern bool sf_database_has_views(void);
extern void sf_status_init(void);
extern SfReadMode sf_read_mode(Oid view);

/* Has the history of a view been worked in, according to the last durable commit? */
extern bool sf_view_is_backfilled(Oid view);

/* Waits until the live side of a view can be read; raises when it must be rebuilt first. */
extern void sf_wait_readable(Oid view);

extern bool sf_rte_is_marked(const RangeTblEntry *rte, const char *mark);

/* live_path.c */
extern void sf_live_path_init(void);

/* live_scan.c */

/* A view's definition, made with its owner's rights. */
extern SfDefinition *sf_read_definition(MemoryContext context, Oid view);

extern void sf_live_scan_init(void);
extern const CustomScanMethods sf_live_scan_methods;

#endif							/* SF_LIVE_H */
