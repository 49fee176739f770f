/*
 * transfer.c
 *		Money is moved round rings of accounts; whoever reads credits and debits in one statement finds no difference.
 *
 *	transfer CONNINFO READS PAUSES SEED
 *
 * A transfer moves an amount from a to b, from b to c and from c to a, in one transaction and at one event time: a credit
 * and an equal debit for each of the three.  So at any boundary between transactions the totals are equal, those of
 * each account are, and those of each account in each minute.  The views' windows are of a minute and of twenty seconds,
 * so that one that is missing or doubled on its way from memory to its table does not fail to show.  Two children make transfers all the while; this process
 * commits one more before each of its reads.
 *
 * In one of eight reads the reading session is stopped at a fault point, by turns after planning, before its tick is
 * pinned and after; then a transfer is committed that closes a window, the closing is waited for, and the reader goes
 * on.  What closed is measured, not assumed.
 *
 * The reads are divided into PAUSES + 1 parts.  Between them "pause" is printed and a line awaited on standard input:
 * time for a blow to the server.  At the end what happened is printed, one figure a line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define ACCOUNTS 4
#define WRITERS 2
#define WINDOW_MS INT64_C(60000)
#define DELAY_MS INT64_C(300000)
#define STEP_MS INT64_C(100)
#define CLOSE_EVERY 8 /* reads */

typedef enum Form
{
	TOTALS,
	ACCOUNT,
	ACCOUNT_IN_WINDOW,
	JOINED,
	FORMS
} Form;

/* $1 is the account, $2 the start of a window; all forms take both. */
static const char *const forms[FORMS] = {
    [TOTALS] = "SELECT (SELECT sum(amount) FROM credits), (SELECT sum(amount) FROM debits) "
               "WHERE $1::int IS NOT NULL AND $2::timestamptz IS NOT NULL",
    [ACCOUNT] = "SELECT (SELECT sum(amount) FROM credits WHERE account = $1::int), "
                "(SELECT sum(amount) FROM debits WHERE account = $1::int) WHERE $2::timestamptz IS NOT NULL",
    [ACCOUNT_IN_WINDOW] =
        "SELECT (SELECT amount FROM credits WHERE account = $1::int AND window_start = $2::timestamptz), "
        "(SELECT sum(amount) FROM debits WHERE account = $1::int AND window_start IN "
        "($2::timestamptz, $2::timestamptz + interval '20 seconds', $2::timestamptz + interval '40 seconds'))",
    [JOINED] = "SELECT count(*) FILTER (WHERE c.amount = d.amount), count(*) FROM credits c FULL JOIN "
               "(SELECT date_bin('1 minute', window_start, '2026-01-01 00:00+00') AS window_start, account, "
               "sum(amount) AS amount FROM debits GROUP BY 1, 2) d USING (window_start, account) "
               "WHERE $1::int IS NOT NULL AND $2::timestamptz IS NOT NULL",
};

static const char *const points[] = {"read-after-plan", "read-before-pin", "read-after-pin"};
#define POINTS 3

/* What this process and its writers share. */
typedef struct Shared
{
	_Atomic uint64_t clock;   /* event time, in milliseconds */
	_Atomic uint64_t commits; /* transfers that were acknowledged */
	_Atomic uint64_t stop;
	_Atomic uint64_t began[WRITERS]; /* the clock when a child began its transfer; 0: it is between two */
} Shared;

typedef struct Tally
{
	uint64_t reads;
	uint64_t lookups;     /* of them by account */
	uint64_t generic;     /* of them by a plan made before */
	uint64_t repeatable;  /* of them in REPEATABLE READ */
	uint64_t closings;    /* of them while a window closed */
	uint64_t at[POINTS];  /* of those, by fault point */
	uint64_t differences; /* reads that found one */
	uint64_t grown;       /* reads of totals that had grown since the last one */
	uint64_t shrunk;
	uint64_t without_commit; /* reads with no commit since the last one */
	uint64_t lost;           /* reads not counted: the connection was lost */
} Tally;

static Shared *shared;
static Tally tally;
static const char *conninfo;
static uint64_t random_state;

/* The sessions of the reading process.  A reader's number says how it reads. */
#define READERS 3 /* with plans of the moment, with generic plans, with consistency 'latest' */
static PGconn *readers[READERS];
static PGconn *mover;   /* commits the transfer before a read */
static PGconn *control; /* fault points, flush */
static int64_t last_total[READERS];

/* Did it fail because the connection has gone?  libpq may have yet to notice that: its own errors have no state. */
static bool
is_lost(PGconn *conn, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return PQstatus(conn) != CONNECTION_OK || state == NULL || strncmp(state, "57P", 3) == 0;
}

/* The first value of a statement's result, or NULL when the connection is lost.  Anything else ends the program. */
static char *
ask(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	char *value;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
	{
		if (!is_lost(conn, result))
			die(sql, PQerrorMessage(conn));
		PQclear(result);
		return NULL;
	}
	value = strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return value;
}

/* Did it work?  False: the connection is lost. */
static bool
run(PGconn *conn, const char *sql)
{
	char *value = ask(conn, sql);

	free(value);
	return value != NULL;
}

/* Commits one transfer at the clock's next step, or so much later; false when the connection is lost. */
static bool
transfer(PGconn *conn, uint64_t *random, int64_t advance_ms)
{
	int64_t ms = (int64_t) atomic_fetch_add(&shared->clock, (uint64_t) (STEP_MS + advance_ms)) + STEP_MS + advance_ms;
	int a = (int) random_below(random, ACCOUNTS);
	int b = (a + 1 + (int) random_below(random, ACCOUNTS - 2)) % ACCOUNTS;
	int c = (a + ACCOUNTS - 1) % ACCOUNTS;
	uint32_t cents = 1 + random_below(random, 100000);
	char at[40];
	char amount[24];
	char sql[1024];

	format_time(ms, at, sizeof(at));
	snprintf(amount, sizeof(amount), "%u.%02u", cents / 100, cents % 100);
	snprintf(sql, sizeof(sql),
	         "BEGIN;"
	         "INSERT INTO debit VALUES (%d, %s, '%s');"
	         "INSERT INTO credit VALUES (%d, %s, '%s'), (%d, %s, '%s'), (%d, %s, '%s');"
	         "INSERT INTO debit VALUES (%d, %s, '%s'), (%d, %s, '%s');"
	         "COMMIT",
	         a, amount, at, b, amount, at, c, amount, at, a, amount, at, b, amount, at, c, amount, at);
	if (!run(conn, sql))
		return false;
	atomic_fetch_add(&shared->commits, 1);
	return true;
}

/* Time does not leave a child behind that is slow: none of its rows may come too late for its window. */
static void
wait_for_writers(void)
{
	for (int i = 0; i < WRITERS; i++)
	{
		uint64_t began;

		while ((began = atomic_load(&shared->began[i])) != 0 && began + DELAY_MS / 2 < atomic_load(&shared->clock))
			usleep(1000);
	}
}

/* The reading process's own transfers. */
static bool
move_time(int64_t advance_ms)
{
	wait_for_writers();
	return transfer(mover, &random_state, advance_ms);
}

/* A child: transfers until it is told to stop. */
static void
write_transfers(int number)
{
	uint64_t random = random_state + (uint64_t) number + 1;
	PGconn *conn = NULL;
	bool alive;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (atomic_load(&shared->stop) == 0)
	{
		if (conn == NULL)
		{
			conn = connect_server(conninfo, &shared->stop);
			continue;
		}
		atomic_store(&shared->began[number], atomic_load(&shared->clock) + 1);
		alive = transfer(conn, &random, 0);
		atomic_store(&shared->began[number], 0);
		if (!alive)
		{
			PQfinish(conn);
			conn = NULL;
		}
		usleep(2000); /* a pace, so that reads are not crowded out */
	}
	exit(0);
}

static void
prepare_reader(int number)
{
	PGconn *conn = connect_server(conninfo, NULL);
	bool alive;

	readers[number] = conn;
	alive = run(conn,
	            number == 1 ? "SET plan_cache_mode = force_generic_plan" : "SET plan_cache_mode = force_custom_plan");
	if (number == 2)
		alive = alive && run(conn, "SET streamfuse.read_consistency = 'latest'");
	for (int form = 0; alive && form < FORMS; form++)
	{
		char name[16];
		PGresult *result;

		snprintf(name, sizeof(name), "form%d", form);
		result = PQprepare(conn, name, forms[form], 0, NULL);
		if (PQresultStatus(result) != PGRES_COMMAND_OK && !is_lost(conn, result))
			die(forms[form], PQerrorMessage(conn));
		PQclear(result);
	}
}

/* All sessions anew, where one was lost: the server has gone and come back. */
static void
reconnect(void)
{
	for (int i = 0; i < READERS; i++)
	{
		PQfinish(readers[i]);
		prepare_reader(i);
	}
	PQfinish(mover);
	mover = connect_server(conninfo, NULL);
	PQfinish(control);
	control = connect_server(conninfo, NULL);
	run(control, "SET statement_timeout = '60s'");
}

/* The end of the last window that is closed, in milliseconds; -1 when the connection is lost. */
static int64_t
closed_until(void)
{
	char *value = ask(control, "SELECT greatest(0, extract(epoch FROM min(closed_until) - '2026-01-01')) * 1000 "
	                           "FROM streamfuse.stat_views WHERE isfinite(closed_until)");
	int64_t ms = value != NULL ? atoll(value) : -1;

	free(value);
	return ms;
}

static bool
set_fault(int point, const char *action)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT fault_set('%s', '%s')", points[point], action);
	return run(control, sql);
}

/* While the reader waits at a point: a window closes.  False: a connection is lost, or nothing closed. */
static bool
close_window(int point)
{
	int64_t before;
	char sql[128];
	bool closed;

	snprintf(sql, sizeof(sql), "SELECT fault_wait_hit('%s')", points[point]);
	if (!run(control, sql))
		return false;
	before = closed_until();
	closed = before >= 0 && move_time(WINDOW_MS) && run(control, "SELECT streamfuse.flush()") &&
	         closed_until() > before;
	return set_fault(point, "none") && closed;
}

/* What a read found is judged. */
static void
judge(PGresult *result, int number, Form form, const char *const *params)
{
	const char *credit = PQgetvalue(result, 0, 0);
	const char *debit = PQgetvalue(result, 0, 1);

	if (strcmp(credit, debit) != 0)
	{
		tally.differences++;
		printf("# read %" PRIu64 ", reader %d, form %d, account %s, window %s: %s against %s\n", tally.reads, number,
		       form, params[0], params[1], credit, debit);
	}
	if (form == TOTALS)
	{
		int64_t total = (int64_t) (strtod(credit, NULL) * 100 + 0.5);

		tally.grown += total > last_total[number];
		tally.shrunk += total < last_total[number];
		last_total[number] = total;
	}
}

/* One read by one statement, with a window that closes in its middle where a point is given; false: not counted. */
static bool
read_once(int number, Form form, int point)
{
	static uint64_t last_commits;
	uint64_t commits = atomic_load(&shared->commits);
	int64_t window_ms = (int64_t) atomic_load(&shared->clock) / WINDOW_MS * WINDOW_MS;
	char account[16];
	char window[40];
	char name[16];
	const char *params[2] = {account, window};
	PGresult *result;
	bool closed = false;
	bool ok;

	/* The window now filling, or one that is closed or about to be. */
	window_ms -= WINDOW_MS * random_below(&random_state, 9);
	format_time(window_ms > 0 ? window_ms : 0, window, sizeof(window));
	snprintf(account, sizeof(account), "%u", random_below(&random_state, ACCOUNTS));
	snprintf(name, sizeof(name), "form%d", form);

	if (point >= 0 && !set_fault(point, "wait"))
		return false;
	if (!PQsendQueryPrepared(readers[number], name, 2, params, NULL, NULL, 0))
		return false;
	if (point >= 0)
		closed = close_window(point);
	result = PQgetResult(readers[number]);
	ok = PQresultStatus(result) == PGRES_TUPLES_OK;
	if (!ok && !is_lost(readers[number], result))
		die(forms[form], PQerrorMessage(readers[number]));
	if (ok)
	{
		judge(result, number, form, params);
		tally.reads++;
		tally.lookups += form == ACCOUNT || form == ACCOUNT_IN_WINDOW;
		tally.generic += number == 1;
		tally.without_commit += commits == last_commits;
		tally.closings += closed;
		if (closed)
			tally.at[point]++;
		last_commits = commits;
	}
	PQclear(result);
	while ((result = PQgetResult(readers[number])) != NULL)
		PQclear(result);
	return ok;
}

/* The next read of the row: who reads, what and where it is held up goes by the number. */
static bool
read_next(uint64_t i)
{
	static const Form order[] = {TOTALS, ACCOUNT, TOTALS, ACCOUNT_IN_WINDOW, ACCOUNT, TOTALS, ACCOUNT, JOINED};
	Form form = order[random_below(&random_state, 8)];
	int number = (int) random_below(&random_state, READERS);
	int point = -1;

	if (i % CLOSE_EVERY == 0)
		point = (int) (i / CLOSE_EVERY % POINTS);
	/* A generic plan is not made again, so that its reader passes by the first point. */
	if (point == 0)
		number = 0;
	if (!move_time(0))
		return false;
	if (number != 2 && i % 32 == 1)
	{
		bool ok = run(readers[number], "BEGIN ISOLATION LEVEL REPEATABLE READ") && read_once(number, form, -1) &&
		          move_time(WINDOW_MS) && read_once(number, form, -1) && run(readers[number], "COMMIT");

		tally.repeatable += ok ? 2 : 0;
		return ok;
	}
	return read_once(number, form, point);
}

static void
read_part(uint64_t until)
{
	uint64_t tries = 0;

	while (tally.reads < until)
	{
		if (read_next(tries++))
			continue;
		tally.lost++;
		if (tries > 10 * until)
			die("read", "reads do not succeed");
		reconnect();
	}
}

static void
print_tally(void)
{
	printf("reads %" PRIu64 "\nlookups %" PRIu64 "\ngeneric %" PRIu64 "\nrepeatable %" PRIu64 "\n", tally.reads,
	       tally.lookups, tally.generic, tally.repeatable);
	printf("closings %" PRIu64 "\n", tally.closings);
	for (int point = 0; point < POINTS; point++)
		printf("closings_at_%s %" PRIu64 "\n", points[point], tally.at[point]);
	printf("differences %" PRIu64 "\ngrown %" PRIu64 "\nshrunk %" PRIu64 "\n", tally.differences, tally.grown,
	       tally.shrunk);
	printf("without_commit %" PRIu64 "\nlost %" PRIu64 "\ncommits %" PRIu64 "\n", tally.without_commit, tally.lost,
	       atomic_load(&shared->commits));
}

int
main(int argc, char **argv)
{
	uint64_t reads;
	int pauses;
	char line[16];

	if (argc != 5)
		die("usage", "transfer CONNINFO READS PAUSES SEED");
	conninfo = argv[1];
	reads = strtoull(argv[2], NULL, 10);
	pauses = atoi(argv[3]);
	random_state = strtoull(argv[4], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = share_memory(NULL, sizeof(Shared));
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0)
			write_transfers(i);

	reconnect();
	for (int part = 0; part <= pauses; part++)
	{
		if (part > 0)
		{
			printf("pause\n");
			if (fgets(line, sizeof(line), stdin) == NULL)
				die("pause", "nobody is there");
		}
		read_part(reads * (uint64_t) (part + 1) / (uint64_t) (pauses + 1));
	}
	atomic_store(&shared->stop, 1);
	while (wait(NULL) > 0)
		;
	print_tally();
	return 0;
}
