/*
 * worker.h
 *		The background processes: one launcher for the server, one worker for each database with continuous views.
 */
#ifndef SF_WORKER_H
#define SF_WORKER_H

#include "streamfuse.h"

/* Registers the launcher; from _PG_init while preloading. */
extern void sf_launcher_register(void);

/* False when max_worker_processes left no room even for the launcher. */
extern bool sf_launcher_is_registered(void);

extern PGDLLEXPORT void sf_launcher_main(Datum arg);
extern PGDLLEXPORT void sf_worker_main(Datum arg);

/* Gets workers out of the way of commands that must be alone in a database; from _PG_init. */
extern void sf_park_init(void);

#endif /* SF_WORKER_H */
