/*
 * client.h
 *		The measuring client of the benchmarks: a libpq program, because a shell's own cost would drown what is measured.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

/* client.c: connections, clocks, figures */
extern void die(const char *what, const char *detail);
extern int64_t now_ns(void);
extern void sleep_until(int64_t when_ns);
extern PGconn *connect_to(const char *database);
extern PGresult *run(PGconn *conn, const char *sql);
extern void prepare(PGconn *conn, const char *name, const char *sql);
extern PGresult *execute(PGconn *conn, const char *name, int nparams, const char *const *params);
extern int64_t query_int64(PGconn *conn, const char *sql);
extern double process_cpu(int pid);
extern uint32_t hash(uint32_t x);

/* A figure: shown, and kept for the table and the JSON.  values are sorted in place. */
extern void report_median(const char *name, const char *unit, double *values, int n);
extern void report_percentiles(const char *name, double *ms, int n);
extern void report(const char *name, const char *unit, double value);

/* events.c: the rows of the measured workload */
typedef struct Event
{
	int64_t		time_us;		/* since 2026-01-01 00:00:00+00 */
	uint32_t	user_id;
	uint32_t	category;
	uint32_t	status;
	uint32_t	amount;
} Event;

#define EVENT_COLUMNS 6
#define EVENT_TEXT 160			/* most bytes of one as a line of COPY */

extern Event event_of(int64_t number);
extern void event_time_text(int64_t time_us, char *text);
extern size_t event_line(const Event *event, char *line);
extern void prepare_insert(PGconn *conn, const char *name);
extern void insert_event(PGconn *conn, const char *name, const Event *event);
extern size_t event_arrays_size(int rows);
extern void event_arrays(int64_t first, int rows, char *memory, char **columns);
extern void insert_arrays(PGconn *conn, const char *name, char *const *columns);
extern void prepare_insert_arrays(PGconn *conn, const char *name);
extern void copy_lines(PGconn *conn, const char *table, const char *lines, size_t length);

/* The parts, by the name of their file. */
extern void load_main(int argc, char **argv);
extern void visible_main(int argc, char **argv);
extern void backend_main(int argc, char **argv);
extern void reads_main(int argc, char **argv);
extern void nexmark_main(int argc, char **argv);

#endif							/* BENCH_CLIENT_H */
