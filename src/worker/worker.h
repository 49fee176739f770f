/*
 * worker.h
 *		The background processes: one launcher for the server, one worker for each database with continuous views.
 */
#ifndef SF_WORKER_H
#define SF_WORKER_H

#include "streamfuse.h"

/* Registers the launcher; from _PG_init while preloading. */
extern void sf_launcher_register(void);

extern PGDLLEXPORT void sf_launcher_main(Datum arg);
extern PGDLLEXPORT void sf_worker_main(Datum arg);

/*
 * Stops the worker of a database and keeps it from being started, for a command that allows no other connection; then
 * lets it go again.  Park waits until the worker is gone.  Both do nothing for a database without a dataflow.
 */
extern void sf_worker_park(Oid database);
extern void sf_worker_unpark(Oid database);

#endif /* SF_WORKER_H */
