/*
 * backend.c
 *		client backend HEAP STREAM PAIRS: what inserting costs the inserting backend alone, in CPU time, stream against
 *		heap, without views.
 *
 * Finer than `load`: both tables take turns of 500 transactions, so that what else the machine does meets both alike.  A
 * whole pair takes seconds, in which a shared processor's speed changes by a half.
 *
 *		client reads NAME QUERY TIMES: time of one query, warm, with all its rows fetched.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_ROWS 500000
#define SINGLE_ROWS 30000
#define SLICE_ROWS 500
#define WARM_UP 20

static void
empty_table(PGconn *conn, const char *table)
{
	char sql[256];

	snprintf(sql, sizeof(sql), "TRUNCATE %s", table);
	PQclear(run(conn, sql));
	PQclear(run(conn, "CHECKPOINT"));
}

static double
copy_cpu(PGconn *conn, const char *table, const char *lines, size_t length)
{
	double before;

	empty_table(conn, table);
	before = process_cpu(PQbackendPID(conn));
	copy_lines(conn, table, lines, length);
	return process_cpu(PQbackendPID(conn)) - before;
}

static double
slice_cpu(PGconn *conn, const char *table, int first)
{
	double before = process_cpu(PQbackendPID(conn));

	for (int i = first; i < first + SLICE_ROWS; i++)
	{
		char key[16];
		const char *params[1] = {key};

		snprintf(key, sizeof(key), "%u", hash(i) % 10000);
		PQclear(execute(conn, table, 1, params));
	}
	return process_cpu(PQbackendPID(conn)) - before;
}

static void
single_pair(PGconn *conn, char *const tables[2], int pair, double seconds[2])
{
	for (int t = 0; t < 2; t++)
	{
		empty_table(conn, tables[t]);
		seconds[t] = 0;
	}
	for (int slice = 0; slice < SINGLE_ROWS / SLICE_ROWS; slice++)
		for (int j = 0; j < 2; j++)
		{
			int t = (pair + slice + j) & 1;

			seconds[t] += slice_cpu(conn, tables[t], slice * SLICE_ROWS);
		}
}

void
backend_main(int argc, char **argv)
{
	PGconn *conn = connect_to(NULL);
	char *lines = malloc((size_t) COPY_ROWS * EVENT_TEXT);
	size_t length = 0;
	int pairs = argc == 3 ? atoi(argv[2]) : 0;
	double *copy;
	double *single;

	if (pairs < 1)
		die("usage", "backend HEAP STREAM PAIRS");
	copy = malloc(sizeof(double) * pairs);
	single = malloc(sizeof(double) * pairs);
	for (int i = 0; i < COPY_ROWS; i++)
	{
		Event event = event_of(i);

		length += event_line(&event, lines + length);
	}
	for (int t = 0; t < 2; t++)
	{
		char sql[256];

		snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES ('2026-01-01 12:30+00', $1, 1, 1, 1, 'a row')", argv[t]);
		prepare(conn, argv[t], sql);
	}

	/* The first pair warms up.  Who goes first changes from pair to pair. */
	for (int i = -1; i < pairs; i++)
	{
		double seconds[2];

		for (int j = 0; j < 2; j++)
			seconds[(i + j) & 1] = copy_cpu(conn, argv[(i + j) & 1], lines, length);
		if (i >= 0)
			copy[i] = seconds[1] / seconds[0];
		single_pair(conn, argv, i + 1, seconds);
		if (i >= 0)
			single[i] = seconds[1] / seconds[0];
	}
	report_median("backend.copy.cpu_ratio", "x", copy, pairs);
	report_median("backend.single.cpu_ratio", "x", single, pairs);
}

void
reads_main(int argc, char **argv)
{
	PGconn *conn = connect_to(NULL);
	int times = argc == 3 ? atoi(argv[2]) : 0;
	double *ms;
	char name[64];

	if (times < 1)
		die("usage", "reads NAME QUERY TIMES");
	ms = malloc(sizeof(double) * times);
	prepare(conn, "query", argv[1]);
	for (int i = -WARM_UP; i < times; i++)
	{
		int64_t begin = now_ns();

		PQclear(execute(conn, "query", 0, NULL));
		if (i >= 0)
			ms[i] = (now_ns() - begin) / 1e6;
	}
	snprintf(name, sizeof(name), "reads.%s", argv[0]);
	report_percentiles(name, ms, times);
}
