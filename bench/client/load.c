/*
 * load.c
 *		client load KIND ROUNDS ROWS DATABASE…: the same rows into each database's table `events`, by turns.
 *
 * A round of one database is ROWS rows, then streamfuse.flush() where there are views, then one synchronous commit, so
 * that all WAL is written.  What it took is the CPU time of the backends, the worker and the WAL writer from beginning to
 * end.  The databases take turns within each round, in changing order; figures are medians over the rounds, differences
 * and ratios to the first database medians of those of each round.
 */
#include "client.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS 8
#define BATCH_ROWS 1000
#define MAX_DATABASES 8

/* One client's part of a round: rows first, first + step, … */
typedef struct Share
{
	const struct Kind *kind;
	PGconn *conn;
	int64_t first;
	int64_t step;
	int rows;
	char *text; /* made before the clock runs, if the kind has something to make */
	size_t length;
	char **columns; /* [rows / BATCH_ROWS][EVENT_COLUMNS], into text */
} Share;

typedef struct Kind
{
	const char *name;
	int clients;
	void (*make)(Share *share);
	void (*insert)(Share *share);
} Kind;

typedef struct Target
{
	const char *name;
	PGconn *conns[MAX_CLIENTS];
	int pids[MAX_CLIENTS + 2]; /* of the backends, the WAL writer and the worker, if there is one */
	int npids;
	bool has_views;
	double *cpu_us; /* per round, a row */
	double *rate;   /* rows/s */
	double *wal;    /* bytes a row */
} Target;

static void
make_lines(Share *share)
{
	share->text = malloc((size_t) share->rows * EVENT_TEXT);
	for (int i = 0; i < share->rows; i++)
	{
		Event event = event_of(share->first + i * share->step);

		share->length += event_line(&event, share->text + share->length);
	}
}

static void
insert_copy(Share *share)
{
	copy_lines(share->conn, "events", share->text, share->length);
}

static void
make_batches(Share *share)
{
	int batches = share->rows / BATCH_ROWS;
	size_t size = event_arrays_size(BATCH_ROWS);

	share->text = malloc(size * batches);
	share->columns = malloc(sizeof(char *) * EVENT_COLUMNS * batches);
	for (int i = 0; i < batches; i++)
		event_arrays(share->first + (int64_t) i * BATCH_ROWS, BATCH_ROWS, share->text + size * i,
		             share->columns + EVENT_COLUMNS * i);
}

static void
insert_batches(Share *share)
{
	for (int i = 0; i < share->rows / BATCH_ROWS; i++)
		insert_arrays(share->conn, "batch", share->columns + EVENT_COLUMNS * i);
}

static void
insert_singles(Share *share)
{
	for (int i = 0; i < share->rows; i++)
	{
		Event event = event_of(share->first + i * share->step);

		insert_event(share->conn, "single", &event);
	}
}

static const Kind kinds[] = {
    {"copy", 1, make_lines, insert_copy},
    {"copy4", 4, make_lines, insert_copy},
    {"tx1000", 1, make_batches, insert_batches},
    {"single8", 8, NULL, insert_singles},
};

/* Clients take every n-th row each, so that event time goes on evenly over all of them. */
static void
make_shares(const Kind *kind, Target *target, int64_t first, int rows, Share *shares)
{
	for (int i = 0; i < kind->clients; i++)
	{
		shares[i] = (Share){.kind = kind,
		                    .conn = target->conns[i],
		                    .first = first + i,
		                    .step = kind->clients,
		                    .rows = rows / kind->clients};
		if (kind->make != NULL)
			kind->make(&shares[i]);
	}
}

static void
free_shares(const Kind *kind, Share *shares)
{
	for (int i = 0; i < kind->clients; i++)
	{
		free(shares[i].text);
		free(shares[i].columns);
	}
}

static void *
share_thread(void *arg)
{
	Share *share = arg;

	share->kind->insert(share);
	return NULL;
}

static void
insert_shares(const Kind *kind, Share *shares)
{
	pthread_t threads[MAX_CLIENTS];

	if (kind->clients == 1)
	{
		kind->insert(&shares[0]);
		return;
	}
	for (int i = 0; i < kind->clients; i++)
		if (pthread_create(&threads[i], NULL, share_thread, &shares[i]) != 0)
			die("thread", "cannot be made");
	for (int i = 0; i < kind->clients; i++)
		pthread_join(threads[i], NULL);
}

static double
server_cpu(const Target *target)
{
	double sum = 0;

	for (int i = 0; i < target->npids; i++)
		sum += process_cpu(target->pids[i]);
	return sum;
}

static int64_t
wal_position(const Target *target)
{
	return query_int64(target->conns[0], "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
}

static void
finish(Target *target)
{
	if (target->has_views)
		PQclear(run(target->conns[0], "SELECT streamfuse.flush()"));
	PQclear(run(target->conns[0], "BEGIN; SET LOCAL synchronous_commit = on; SELECT txid_current(); COMMIT"));
}

static void
open_target(Target *target, const Kind *kind, const char *database, int rounds)
{
	int64_t worker;

	memset(target, 0, sizeof(Target));
	target->name = database;
	for (int i = 0; i < kind->clients; i++)
	{
		PGconn *conn = connect_to(database);

		prepare_insert(conn, "single");
		prepare_insert_arrays(conn, "batch");
		target->conns[i] = conn;
		target->pids[target->npids++] = PQbackendPID(conn);
	}
	target->pids[target->npids++] = (int) query_int64(
	    target->conns[0], "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	target->has_views = query_int64(target->conns[0], "SELECT count(*) FROM streamfuse.views") > 0;
	if (target->has_views)
		PQclear(run(target->conns[0], "SELECT streamfuse.flush()"));
	worker = query_int64(target->conns[0], "SELECT pid FROM streamfuse.stat_workers WHERE datname = current_database()");
	if (target->has_views && worker == 0)
		die(database, "there is no worker");
	if (worker != 0)
		target->pids[target->npids++] = (int) worker;
	target->cpu_us = malloc(sizeof(double) * rounds);
	target->rate = malloc(sizeof(double) * rounds);
	target->wal = malloc(sizeof(double) * rounds);
}

static void
run_round(const Kind *kind, Target *target, int round, int64_t first, int rows)
{
	Share shares[MAX_CLIENTS];
	int64_t wal;
	double cpu;
	int64_t begin;
	double seconds;

	make_shares(kind, target, first, rows, shares);
	wal = wal_position(target);
	cpu = server_cpu(target);
	begin = now_ns();
	insert_shares(kind, shares);
	finish(target);
	seconds = (now_ns() - begin) / 1e9;
	cpu = server_cpu(target) - cpu;
	wal = wal_position(target) - wal;
	free_shares(kind, shares);
	if (round < 0)
		return;
	target->cpu_us[round] = cpu * 1e6 / rows;
	target->rate[round] = rows / seconds;
	target->wal[round] = (double) wal / rows;
}

static void
report_figure(const Kind *kind, const Target *target, const char *figure, const char *unit, const double *values, int n)
{
	char name[128];
	double *copy = malloc(sizeof(double) * n);

	memcpy(copy, values, sizeof(double) * n);
	snprintf(name, sizeof(name), "%s.%s.%s", kind->name, target->name, figure);
	report_median(name, unit, copy, n);
	free(copy);
}

static void
report_target(const Kind *kind, const Target *target, const Target *base, int rounds)
{
	double *over = malloc(sizeof(double) * rounds);
	double *ratio = malloc(sizeof(double) * rounds);

	report_figure(kind, target, "rate", "rows/s", target->rate, rounds);
	report_figure(kind, target, "cpu", "us/row", target->cpu_us, rounds);
	report_figure(kind, target, "wal", "bytes/row", target->wal, rounds);
	if (target == base)
		return;
	for (int i = 0; i < rounds; i++)
	{
		over[i] = target->cpu_us[i] - base->cpu_us[i];
		ratio[i] = target->cpu_us[i] / base->cpu_us[i];
	}
	report_figure(kind, target, "cpu_over_first", "us/row", over, rounds);
	report_figure(kind, target, "cpu_ratio", "x", ratio, rounds);
	for (int i = 0; i < rounds; i++)
		ratio[i] = target->rate[i] / base->rate[i];
	report_figure(kind, target, "rate_ratio", "x", ratio, rounds);
	free(over);
	free(ratio);
}

/* Rows that a view passed over would make it look cheaper than it is. */
static void
check_complete(const Target *target, int64_t rows)
{
	if (!target->has_views)
		return;
	if (query_int64(target->conns[0], "SELECT sum(rows_missed) + sum(rows_late) FROM streamfuse.stat_views") != 0)
		die(target->name, "rows were late");
	if (query_int64(target->conns[0], "SELECT min(rows_in) FROM streamfuse.stat_views") != rows)
		die(target->name, "rows were not counted");
}

void
load_main(int argc, char **argv)
{
	const Kind *kind = NULL;
	static Target targets[MAX_DATABASES];
	int ntargets = argc - 3;
	int rounds;
	int rows;
	int64_t first;

	if (ntargets < 1 || ntargets > MAX_DATABASES)
		die("usage", "load KIND ROUNDS ROWS DATABASE...");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, argv[0]) == 0)
			kind = &kinds[i];
	if (kind == NULL)
		die("unknown kind", argv[0]);
	rounds = atoi(argv[1]);
	rows = atoi(argv[2]);
	if (rounds < 1 || rows % (kind->clients * BATCH_ROWS) != 0)
		die("rows", "must be a multiple of 1,000 for each client");
	for (int i = 0; i < ntargets; i++)
		open_target(&targets[i], kind, argv[3 + i], rounds);
	first = query_int64(targets[0].conns[0], "SELECT count(*) FROM events");

	/* The first round warms up. */
	for (int round = -1; round < rounds; round++)
	{
		for (int i = 0; i < ntargets; i++)
			run_round(kind, &targets[(round + 1 + i) % ntargets], round, first, rows);
		first += rows;
	}
	for (int i = 0; i < ntargets; i++)
	{
		check_complete(&targets[i], first);
		report_target(kind, &targets[i], &targets[0], rounds);
	}
}
