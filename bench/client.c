/*
 * client.c
 *		The measuring client of the benchmarks: a libpq program, because a shell's own cost would drown what is measured.
 *
 *	client latency VIEW KEYS COMMITS RATE	time from COMMIT's return until another connection's lookup shows the row
 *	client ingest HEAP STREAM PAIRS			CPU of the inserting backend, stream against heap, interleaved
 *	client reads QUERY TIMES				time of one query, warm, with all its rows fetched
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define COPY_ROWS 1000000
#define SINGLE_ROWS 60000
#define SLICE_ROWS 500
#define WARM_UP 20

static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "client: %s: %s\n", what, detail);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
sleep_until(int64_t when_ns)
{
	struct timespec when = {when_ns / 1000000000, when_ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static PGconn *
connect_server(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	return conn;
}

static PGresult *
run(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(sql, PQerrorMessage(conn));
	return result;
}

static void
prepare(PGconn *conn, const char *name, const char *sql)
{
	PGresult *result = PQprepare(conn, name, sql, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
}

static PGresult *
execute(PGconn *conn, const char *name, int nparams, const char *const *params)
{
	PGresult *result = PQexecPrepared(conn, name, nparams, params, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(name, PQerrorMessage(conn));
	return result;
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
print_percentiles(const char *what, double *ms, int n)
{
	qsort(ms, n, sizeof(double), compare_doubles);
	printf("%s: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms (%d samples)\n", what, percentile(ms, n, 0.50),
	       percentile(ms, n, 0.90), percentile(ms, n, 0.99), ms[n - 1], n);
}

static uint32_t
hash(uint32_t x)
{
	x = (x ^ (x >> 16)) * 0x45d9f3b;
	x = (x ^ (x >> 15)) * 0x2c1b3c6d;
	return x ^ (x >> 16);
}

/*
 * One connection commits a row, the other looks its key up until the count has grown.  Both are driven from here in
 * turn, so nothing but the lookups themselves stands between the commit and the time it is seen.
 */
static void
latency(const char *view, int nkeys, int ncommits, int rate)
{
	PGconn *writer = connect_server();
	PGconn *reader = connect_server();
	double *ms = malloc(sizeof(double) * ncommits);
	double *lookup_ms = malloc(sizeof(double) * ncommits);
	char sql[512];
	int64_t lookups = 0;
	int64_t begin;

	prepare(writer, "put", "INSERT INTO events VALUES ($1, $2, '2026-01-01 12:30+00')");
	snprintf(sql, sizeof(sql), "SELECT n FROM %s WHERE window_start = '2026-01-01 12:00+00' AND key = $1", view);
	prepare(reader, "get", sql);

	begin = now_ns();
	for (int i = -WARM_UP; i < ncommits; i++)
	{
		char key[16];
		const char *params[2] = {key, "1"};
		PGresult *result;
		int64_t before;
		int64_t committed;
		int64_t seen;

		snprintf(key, sizeof(key), "%u", hash(i) % nkeys);
		sleep_until(begin + (int64_t) (i + WARM_UP) * 1000000000 / rate);

		result = execute(reader, "get", 1, params);
		before = PQntuples(result) ? atoll(PQgetvalue(result, 0, 0)) : 0;
		PQclear(result);

		PQclear(execute(writer, "put", 2, params));
		committed = now_ns();
		for (;;)
		{
			int64_t asked = now_ns();
			int64_t count;

			result = execute(reader, "get", 1, params);
			count = PQntuples(result) ? atoll(PQgetvalue(result, 0, 0)) : 0;
			PQclear(result);
			seen = now_ns();
			lookups++;
			if (i >= 0)
				lookup_ms[i] = (seen - asked) / 1e6;
			if (count > before)
				break;
			if (seen - committed > INT64_C(60000000000))
				die("latency", "a committed row did not show up for a minute");
		}
		if (i >= 0)
			ms[i] = (seen - committed) / 1e6;
	}
	print_percentiles("commit to visible", ms, ncommits);
	print_percentiles("one lookup", lookup_ms, ncommits);
	printf("lookups per commit: %.1f\n", (double) lookups / (ncommits + WARM_UP));
}

/* CPU time of a process in seconds: to the nanosecond where the kernel says, else in its clock ticks. */
static double
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

static void
empty_table(PGconn *conn, const char *table)
{
	char sql[256];

	snprintf(sql, sizeof(sql), "TRUNCATE %s", table);
	PQclear(run(conn, sql));
	PQclear(run(conn, "CHECKPOINT"));
}

static double
copy_cpu(PGconn *conn, const char *table, const char *data, size_t length)
{
	char sql[256];
	double before;
	PGresult *result;

	empty_table(conn, table);
	before = process_cpu(PQbackendPID(conn));
	snprintf(sql, sizeof(sql), "COPY %s FROM STDIN", table);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_COPY_IN)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
	for (size_t done = 0; done < length;)
	{
		size_t part = length - done < 65536 ? length - done : 65536;

		if (PQputCopyData(conn, data + done, (int) part) != 1)
			die(sql, PQerrorMessage(conn));
		done += part;
	}
	if (PQputCopyEnd(conn, NULL) != 1)
		die(sql, PQerrorMessage(conn));
	while ((result = PQgetResult(conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			die(sql, PQerrorMessage(conn));
		PQclear(result);
	}
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

/*
 * One pair: both tables by turns, a slice each, so that what else the machine does meets both alike.  A whole pair takes
 * seconds, in which a shared processor's speed changes by a half.
 */
static void
single_pair(PGconn *conn, const char *tables[2], int pair, double seconds[2])
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

static void
print_pairs(const char *what, const double *heap, const double *stream, int n)
{
	double *heap_sorted = malloc(sizeof(double) * n);
	double *stream_sorted = malloc(sizeof(double) * n);
	double *ratio = malloc(sizeof(double) * n);

	for (int i = 0; i < n; i++)
	{
		heap_sorted[i] = heap[i];
		stream_sorted[i] = stream[i];
		ratio[i] = stream[i] / heap[i];
	}
	qsort(heap_sorted, n, sizeof(double), compare_doubles);
	qsort(stream_sorted, n, sizeof(double), compare_doubles);
	qsort(ratio, n, sizeof(double), compare_doubles);
	printf("%s: stream / heap %.3f (median of %d pairs; %.3f to %.3f); heap %.3f s, stream %.3f s of CPU\n", what,
	       ratio[n / 2], n, ratio[0], ratio[n - 1], heap_sorted[n / 2], stream_sorted[n / 2]);
}

static void
ingest(const char *heap, const char *stream, int npairs)
{
	PGconn *conn = connect_server();
	const char *tables[2] = {heap, stream};
	double *cpu[2];
	char *data = malloc((size_t) COPY_ROWS * 64);
	size_t length = 0;

	for (int i = 0; i < COPY_ROWS; i++)
		length += sprintf(data + length, "%u\t%u\t2026-01-01 12:%02d:%02d+00\n", hash(i) % 10000, hash(i) >> 8,
		                  i / (COPY_ROWS / 60 + 1), i % 60);
	for (int t = 0; t < 2; t++)
	{
		char sql[256];

		cpu[t] = malloc(sizeof(double) * npairs);
		snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES ($1, 1, '2026-01-01 12:30+00')", tables[t]);
		prepare(conn, tables[t], sql);
	}

	/* The first pair warms up.  Who goes first changes from pair to pair. */
	for (int i = -1; i < npairs; i++)
		for (int j = 0; j < 2; j++)
		{
			int t = (i + j) & 1;
			double seconds = copy_cpu(conn, tables[t], data, length);

			if (i >= 0)
				cpu[t][i] = seconds;
		}
	print_pairs("COPY of 1,000,000 rows", cpu[0], cpu[1], npairs);
	fflush(stdout);
	for (int i = -1; i < npairs; i++)
	{
		double seconds[2];

		single_pair(conn, tables, i + 1, seconds);
		for (int t = 0; t < 2 && i >= 0; t++)
			cpu[t][i] = seconds[t];
	}
	print_pairs("60,000 transactions of one row", cpu[0], cpu[1], npairs);
}

static void
reads(const char *query, int times)
{
	PGconn *conn = connect_server();
	double *ms = malloc(sizeof(double) * times);
	int rows = 0;
	char what[64];

	prepare(conn, "query", query);
	for (int i = -WARM_UP; i < times; i++)
	{
		int64_t begin = now_ns();
		PGresult *result = execute(conn, "query", 0, NULL);

		rows = PQntuples(result);
		PQclear(result);
		if (i >= 0)
			ms[i] = (now_ns() - begin) / 1e6;
	}
	snprintf(what, sizeof(what), "%d rows", rows);
	print_percentiles(what, ms, times);
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "latency") == 0)
		latency(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	else if (argc == 5 && strcmp(argv[1], "ingest") == 0)
		ingest(argv[2], argv[3], atoi(argv[4]));
	else if (argc == 4 && strcmp(argv[1], "reads") == 0)
		reads(argv[2], atoi(argv[3]));
	else
		die("usage", "latency VIEW KEYS COMMITS RATE | ingest HEAP STREAM PAIRS | reads QUERY TIMES");
	return 0;
}
