/*
 * client.c
 *		What all parts of the measuring client use, and its command line.
 *
 *	client load KIND ROUNDS ROWS DATABASE…	rows into each database's table, by turns: rows/s, CPU and WAL a row
 *	client visible idle|batches|singles SECONDS	time from COMMIT's return until another connection's look-up shows it
 *	client backend HEAP STREAM PAIRS		CPU of the inserting backend alone, stream against heap, interleaved
 *	client reads NAME QUERY TIMES			time of one query, warm, with all its rows fetched
 *	client nexmark …						the events of Nexmark (nexmark_load.c)
 *
 * Figures go to stdout, and to the file named by SF_RESULTS: name, unit, value, lowest, highest, number.
 */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void
die(const char *what, const char *detail)
{
	fprintf(stderr, "client: %s: %s\n", what, detail);
	exit(1);
}

int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

void
sleep_until(int64_t when_ns)
{
	struct timespec when = {when_ns / 1000000000, when_ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

PGconn *
connect_to(const char *database)
{
	const char *const keywords[] = {"dbname", NULL};
	const char *const values[] = {database, NULL};
	PGconn *conn = PQconnectdbParams(keywords, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	return conn;
}

PGresult *
run(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(sql, PQerrorMessage(conn));
	return result;
}

void
prepare(PGconn *conn, const char *name, const char *sql)
{
	PGresult *result = PQprepare(conn, name, sql, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
}

PGresult *
execute(PGconn *conn, const char *name, int nparams, const char *const *params)
{
	PGresult *result = PQexecPrepared(conn, name, nparams, params, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(name, PQerrorMessage(conn));
	return result;
}

/* 0 when there is no row. */
int64_t
query_int64(PGconn *conn, const char *sql)
{
	PGresult *result = run(conn, sql);
	int64_t value = PQntuples(result) > 0 ? atoll(PQgetvalue(result, 0, 0)) : 0;

	PQclear(result);
	return value;
}

/* CPU time of a process in seconds: to the nanosecond where the kernel says, else in its clock ticks. */
double
process_cpu(int pid)
{
	char path[64];
	char line[1024];
	char *field;
	FILE *file;
	uint64_t ns;
	unsigned long user;
	unsigned long system;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (file != NULL && fscanf(file, "%" SCNu64, &ns) == 1 && ns > 0)
	{
		fclose(file);
		return ns / 1e9;
	}
	if (file != NULL)
		fclose(file);

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
		die(path, "cannot be read");
	fclose(file);
	field = strrchr(line, ')');
	if (field == NULL || sscanf(field + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		die(path, "has another format");
	return (double) (user + system) / sysconf(_SC_CLK_TCK);
}

uint32_t
hash(uint32_t x)
{
	x = (x ^ (x >> 16)) * 0x45d9f3b;
	x = (x ^ (x >> 15)) * 0x2c1b3c6d;
	return x ^ (x >> 16);
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* values are sorted */
static double
percentile(const double *values, int n, double p)
{
	int i = (int) (p * n);

	return values[i < n ? i : n - 1];
}

static void
keep(const char *name, const char *unit, double value, double low, double high, int n)
{
	const char *path = getenv("SF_RESULTS");
	FILE *file;

	printf("%-44s %12.4g %s", name, value, unit);
	if (n > 1)
		printf("  (%.4g to %.4g, %d)", low, high, n);
	printf("\n");
	fflush(stdout);
	if (path == NULL || *path == '\0')
		return;
	file = fopen(path, "a");
	if (file == NULL)
		die(path, "cannot be opened");
	fprintf(file, "%s\t%s\t%.6g\t%.6g\t%.6g\t%d\n", name, unit, value, low, high, n);
	fclose(file);
}

void
report(const char *name, const char *unit, double value)
{
	keep(name, unit, value, value, value, 1);
}

void
report_median(const char *name, const char *unit, double *values, int n)
{
	qsort(values, n, sizeof(double), compare_doubles);
	keep(name, unit, values[n / 2], values[0], values[n - 1], n);
}

void
report_percentiles(const char *name, double *ms, int n)
{
	static const struct
	{
		const char *name;
		double part;
	} parts[] = {{"p50", 0.50}, {"p90", 0.90}, {"p99", 0.99}};
	char full[128];

	qsort(ms, n, sizeof(double), compare_doubles);
	for (int i = 0; i < 3; i++)
	{
		snprintf(full, sizeof(full), "%s.%s", name, parts[i].name);
		keep(full, "ms", percentile(ms, n, parts[i].part), ms[0], ms[n - 1], n);
	}
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "load") == 0)
		load_main(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "visible") == 0)
		visible_main(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "backend") == 0)
		backend_main(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "reads") == 0)
		reads_main(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "nexmark") == 0)
		nexmark_main(argc - 2, argv + 2);
	else
		die("usage", "load KIND ROUNDS ROWS DATABASE... | visible idle|batches|singles SECONDS | "
		             "backend HEAP STREAM PAIRS | reads NAME QUERY TIMES | nexmark ...");
	return 0;
}
