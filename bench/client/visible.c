/*
 * visible.c
 *		client visible idle|batches|singles SECONDS: how long after COMMIT's return another connection's look-up in the
 *		view `board` shows what was committed.
 *
 *	idle		100 commits of one row a second, and nothing else
 *	batches		20 transactions of 1,000 rows a second
 *	singles		8 clients with 2,500 commits of one row a second each
 *
 * A marker, a row of a category of its own, is in the transactions that are timed: each of them, or one in 400 of the
 * first client's.  A thread of its own looks the marker up, again and again with 0.1 ms of rest in between, which is part
 * of the figure as is the look-up itself.
 */
#include "client.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 8
#define BATCHES_PER_S 20
#define BATCH_ROWS 1000
#define SINGLES_PER_S 2500 /* of one client */
#define MARKED_SINGLE 50   /* every so many of the first client */
#define IDLE_PER_S 100
#define MARKER_CATEGORY 1000
#define REST_NS 100000
#define GIVE_UP_NS INT64_C(60000000000)

typedef struct Marker
{
	Event event;
	int64_t committed_ns; /* 0: not yet */
} Marker;

/* Markers in the order of their commits; written by one client, read by the reader. */
static Marker *markers;
static int nmarkers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static bool ended;

static int seconds;
static int64_t begin_ns;
static int64_t first_row;
static int64_t rows_written[CLIENTS];

static Event
marker_event(int64_t row)
{
	Event event = event_of(row);

	event.category = MARKER_CATEGORY + nmarkers;
	return event;
}

static void
note_marker(Event event, int64_t committed_ns)
{
	pthread_mutex_lock(&lock);
	markers[nmarkers++] = (Marker){event, committed_ns};
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}

static void *
write_idle(void *arg)
{
	PGconn *conn = connect_to(NULL);

	prepare_insert(conn, "single");
	for (int i = 0; i < seconds * IDLE_PER_S; i++)
	{
		Event event = marker_event(first_row + i * 10);

		sleep_until(begin_ns + (int64_t) i * 1000000000 / IDLE_PER_S);
		insert_event(conn, "single", &event);
		note_marker(event, now_ns());
	}
	rows_written[0] = (int64_t) seconds * IDLE_PER_S;
	PQfinish(conn);
	return NULL;
}

static void *
write_batches(void *arg)
{
	PGconn *conn = connect_to(NULL);
	char *memory = malloc(event_arrays_size(BATCH_ROWS));

	prepare_insert_arrays(conn, "batch");
	prepare_insert(conn, "single");
	for (int i = 0; i < seconds * BATCHES_PER_S; i++)
	{
		int64_t first = first_row + (int64_t) i * BATCH_ROWS;
		Event event = marker_event(first + BATCH_ROWS - 1);
		char *columns[EVENT_COLUMNS];

		event_arrays(first, BATCH_ROWS - 1, memory, columns);
		sleep_until(begin_ns + (int64_t) i * 1000000000 / BATCHES_PER_S);
		PQclear(run(conn, "BEGIN"));
		insert_arrays(conn, "batch", columns);
		insert_event(conn, "single", &event);
		PQclear(run(conn, "COMMIT"));
		note_marker(event, now_ns());
		rows_written[0] += BATCH_ROWS;
	}
	PQfinish(conn);
	return NULL;
}

static void *
write_singles(void *arg)
{
	int client = (int) (intptr_t) arg;
	PGconn *conn = connect_to(NULL);

	prepare_insert(conn, "single");
	for (int i = 0; i < seconds * SINGLES_PER_S; i++)
	{
		int64_t row = first_row + (int64_t) i * CLIENTS + client;
		bool marked = client == 0 && i % MARKED_SINGLE == 0;
		Event event = marked ? marker_event(row) : event_of(row);

		sleep_until(begin_ns + (int64_t) i * 1000000000 / SINGLES_PER_S);
		insert_event(conn, "single", &event);
		rows_written[client]++;
		if (marked)
			note_marker(event, now_ns());
	}
	PQfinish(conn);
	return NULL;
}

/* The next marker; false when there is none to come. */
static bool
next_marker(int i, Marker *marker)
{
	bool found;

	pthread_mutex_lock(&lock);
	while (i >= nmarkers && !ended)
		pthread_cond_wait(&more, &lock);
	found = i < nmarkers;
	if (found)
		*marker = markers[i];
	pthread_mutex_unlock(&lock);
	return found;
}

static bool
is_visible(PGconn *conn, const Marker *marker)
{
	char time[64];
	char category[16];
	const char *params[2] = {time, category};
	PGresult *result;
	bool visible;

	event_time_text(marker->event.time_us / 60000000 * 60000000, time);
	snprintf(category, sizeof(category), "%u", marker->event.category);
	result = execute(conn, "marker", 2, params);
	visible = PQntuples(result) > 0;
	PQclear(result);
	return visible;
}

static void *
read_markers(void *arg)
{
	PGconn *conn = connect_to(NULL);
	double *ms = malloc(sizeof(double) * seconds * SINGLES_PER_S);
	Marker marker;
	int n;

	prepare(conn, "marker", "SELECT n FROM board WHERE window_start = $1 AND category = $2");
	for (n = 0; next_marker(n, &marker); n++)
	{
		while (!is_visible(conn, &marker))
		{
			if (now_ns() - marker.committed_ns > GIVE_UP_NS)
				die("visible", "a committed row did not show up for a minute");
			sleep_until(now_ns() + REST_NS);
		}
		ms[n] = (now_ns() - marker.committed_ns) / 1e6;
	}
	report_percentiles(arg, ms, n);
	PQfinish(conn);
	return NULL;
}

void
visible_main(int argc, char **argv)
{
	PGconn *conn = connect_to(NULL);
	void *(*write)(void *);
	int clients = 1;
	pthread_t writers[CLIENTS];
	pthread_t reader;
	char name[64];
	char load[64];
	int64_t rows = 0;

	if (argc != 2)
		die("usage", "visible idle|batches|singles SECONDS");
	write = strcmp(argv[0], "idle") == 0      ? write_idle
	        : strcmp(argv[0], "batches") == 0 ? write_batches
	        : strcmp(argv[0], "singles") == 0 ? write_singles
	                                          : NULL;
	if (write == NULL)
		die("unknown load", argv[0]);
	if (write == write_singles)
		clients = CLIENTS;
	seconds = atoi(argv[1]);
	markers = malloc(sizeof(Marker) * seconds * SINGLES_PER_S);

	/* Event time goes on behind the last run's, in a minute of its own. */
	first_row = query_int64(conn, "SELECT ceil(coalesce(extract(epoch FROM max(event_time) - '2026-01-01 00:00+00'), 0)"
	                              " / 60 + 1) * 60000 FROM events");
	begin_ns = now_ns() + 200000000;
	snprintf(name, sizeof(name), "visible.%s", argv[0]);
	if (pthread_create(&reader, NULL, read_markers, name) != 0)
		die("thread", "cannot be made");
	for (int i = 0; i < clients; i++)
		if (pthread_create(&writers[i], NULL, write, (void *) (intptr_t) i) != 0)
			die("thread", "cannot be made");
	for (int i = 0; i < clients; i++)
		pthread_join(writers[i], NULL);
	for (int i = 0; i < clients; i++)
		rows += rows_written[i];
	snprintf(load, sizeof(load), "visible.%s.load", argv[0]);
	report(load, "rows/s", rows / ((now_ns() - begin_ns) / 1e9));
	pthread_mutex_lock(&lock);
	ended = true;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
	pthread_join(reader, NULL);
	if (query_int64(conn, "SELECT sum(rows_missed) FROM streamfuse.stat_views") != 0)
		die("visible", "rows were late");
	PQfinish(conn);
}
