/*
 * pin.h
 *		One tick per statement: ExecutorStart pins the last published tick, all scans of the statement read at it.
 */
#ifndef SF_PIN_H
#define SF_PIN_H

#include "streamfuse.h"

#include "executor/execdesc.h"
#include "nodes/execnodes.h"
#include "state/shared.h"

typedef struct SfPin
{
	SfTick		tick;
	Snapshot	snapshot;		/* the statement's */
	dlist_node	node;			/* in the backend's list */
	bool		keep_positions; /* positions below are filled */
	List	   *positions;		/* SfPosition *, as of tick (verify); palloc'd in the pin's context */
} SfPin;

extern void sf_pin_init(void);	/* installs the executor hooks; from _PG_init */

/* The pin of a statement's EState (EvalPlanQual's goes to its parent's); NULL when it has none. */
extern SfPin *sf_pin_of(EState *estate);

/* Pins by hand, in a context whose reset releases it (verify). */
extern SfPin *sf_pin_take(MemoryContext context, Snapshot snapshot);

/* Raises ERRCODE_SNAPSHOT_TOO_OLD when the worker had to give the pin's tick up. */
extern void sf_pin_check(const SfPin *pin);

/* For the worker: the oldest pinned tick of a database (SF_TICK_MAX when none) and the oldest snapshot horizon. */
extern void sf_pin_horizon(Oid database, SfTick *tick, uint64 *xmin);

/* For the worker: expires pins of a database older than tick. */
extern void sf_pin_expire(Oid database, SfTick tick);

#endif /* SF_PIN_H */
