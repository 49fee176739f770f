/*
 * torture.c
 *		Clients that write down, outside the server, what it has promised them.
 *
 *	torture writer CONNINFO CONTROL JOURNAL NUMBER SEED
 *	torture reader CONNINFO CONTROL JOURNAL NUMBER SEED [VIEW IDENTITY ROW]…
 *
 * A writer inserts rows in all ways there are and keeps in JOURNAL.rows each row that it means to stay, before it is
 * committed, and in JOURNAL.fates what became of each transaction: 'c' its commit was acknowledged, 'a' it was certainly
 * not committed.  A transaction without a fate is in doubt: the connection was lost during its commit.  Rows that are
 * rolled back are in no journal, and so must be in no table.
 *
 * A reader reads views again and again and keeps what it has seen as closed: rows of closed windows in JOURNAL.seen,
 * counters in JOURNAL.counters.  What it has seen before and sees otherwise now goes to JOURNAL.found; IDENTITY and ROW
 * are SQL expressions over the view's columns.  Errors that are not the loss of a connection go to JOURNAL.errors.
 *
 * CONTROL is a file in shared memory: a clock for event times, a counter of acknowledged commits, and a mark in it; the
 * writer that comes to the mark writes a byte to the pipe CONTROL.reached, which whoever placed the mark waits on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define STEP_MS 20       /* event time between two rows */
#define DISORDER_MS 5000 /* rows come out of order by so much */
#define LATE_MS 600000   /* and one in so many rows by so much */
#define LATE_EVERY 150
#define TXN_ROWS 10000 /* room for the ids of one transaction */
#define WRITER_TXNS 1000000

typedef struct Control
{
	_Atomic uint64_t commits;
	_Atomic uint64_t mark; /* a number of commits; 0: none */
	_Atomic uint64_t clock;
	_Atomic uint64_t stop_writers;
	_Atomic uint64_t stop_readers;
	_Atomic uint64_t sequence[16]; /* transactions of each writer so far */
} Control;

typedef enum Outcome
{
	DONE,
	REFUSED, /* an error, and the connection is there */
	LOST,
} Outcome;

static Control *control;
static const char *conninfo;
static const char *journal;
static int reached;
static uint64_t number;
static uint64_t random_state;
static FILE *errors;

static uint32_t
chance(uint32_t limit)
{
	return random_below(&random_state, limit);
}

static FILE *
open_journal(const char *suffix)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s.%s", journal, suffix);
	file = fopen(path, "a");
	if (file == NULL)
		die("journal", path);
	setvbuf(file, NULL, _IOLBF, 0);
	return file;
}

static Outcome
outcome_of(PGconn *conn, PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);
	Outcome outcome = DONE;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN)
	{
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

		/* An error without a state is libpq's own, whether or not it has noticed already that the connection is gone. */
		outcome = PQstatus(conn) == CONNECTION_OK && state != NULL ? REFUSED : LOST;
		if (outcome == LOST && PQstatus(conn) == CONNECTION_OK)
		{
			shutdown(PQsocket(conn), SHUT_RDWR);
			(void) PQconsumeInput(conn);
		}
		if (outcome == REFUSED)
			fprintf(errors, "%s\t%s\t%.60s\n", state, message ? message : "", what);
	}
	return outcome;
}

static Outcome
run(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);
	Outcome outcome = outcome_of(conn, result, sql);

	PQclear(result);
	return outcome;
}

/* ---- writing ---- */

typedef struct Txn
{
	uint64_t number;
	uint32_t rows; /* ids given out */
} Txn;

static PGconn *writer;
static PGconn *long_writer; /* of a transaction that others overtake */
static Txn long_txn;        /* 0: none is open */
static FILE *rows_file;
static FILE *fates_file;

static const char *const streams[] = {"events", "payments"};

static Txn
begin_txn(void)
{
	uint64_t n = atomic_fetch_add(&control->sequence[number], 1) + 1;

	return (Txn){number * WRITER_TXNS + n, 0};
}

static void
note_fate(Txn *txn, char fate)
{
	uint64_t commits;
	uint64_t mark;

	fprintf(fates_file, "%" PRIu64 "\t%c\n", txn->number, fate);
	if (fate != 'c')
		return;
	commits = atomic_fetch_add(&control->commits, 1) + 1;
	mark = atomic_load(&control->mark);
	if (mark != 0 && commits >= mark && atomic_compare_exchange_strong(&control->mark, &mark, 0))
		if (write(reached, "x", 1) != 1)
			die("write", "nobody waits for the mark");
}

/* The fate of a transaction whose last statement, which commits it, had this outcome. */
static void
note_outcome(Txn *txn, Outcome outcome)
{
	if (outcome == DONE)
		note_fate(txn, 'c');
	else if (outcome == REFUSED)
		note_fate(txn, 'a');
}

/* The next row of a transaction in the text format of COPY, without the end of line. */
static void
make_row(Txn *txn, char *row, size_t size)
{
	uint64_t id = txn->number * TXN_ROWS + txn->rows++;
	uint32_t hash = (uint32_t) ((id * UINT64_C(2654435761)) >> 7);
	int64_t ms = (int64_t) atomic_fetch_add(&control->clock, STEP_MS) - chance(DISORDER_MS);
	char at[40];
	char key[48] = "\\N";

	if (chance(LATE_EVERY) == 0)
		ms = (ms - LATE_MS) / LATE_MS * LATE_MS; /* in few windows, so that few are left out of the comparison */
	if (hash % 17 != 0)
		snprintf(key, sizeof(key), hash % 5 == 0 ? "a key of some length, number %u" : "k%u", hash % 11);
	snprintf(row, size, "%" PRIu64 "\t%" PRIu64 "\t%s\t%u.%02u\t%s", id, txn->number, key, hash % 1000, hash % 100,
	         format_time(ms > 0 ? ms : 0, at, sizeof(at)));
}

/* Appends a row in COPY's format to an INSERT. */
static void
append_values(char *sql, const char *row)
{
	char copy[256];
	char *rest = copy;
	char *end = sql + strlen(sql);

	snprintf(copy, sizeof(copy), "%s", row);
	for (int column = 0; column < 5; column++)
	{
		const char *value = strsep(&rest, "\t");

		end += sprintf(end, strcmp(value, "\\N") == 0 ? "%sNULL" : "%s'%s'", column == 0 ? "(" : ", ", value);
	}
	sprintf(end, ")");
}

static void
journal_row(const char *stream, const char *row)
{
	fprintf(rows_file, "%s\t%s\n", stream, row);
}

/* Inserts rows by one statement; those that are meant to stay are journaled first. */
static Outcome
insert_rows(PGconn *conn, Txn *txn, uint32_t n, bool kept)
{
	const char *stream = streams[chance(2)];
	char *sql = malloc(256 * ((size_t) n + 1));
	Outcome outcome;

	sprintf(sql, "INSERT INTO %s VALUES ", stream);
	for (uint32_t i = 0; i < n; i++)
	{
		char row[256];

		make_row(txn, row, sizeof(row));
		if (i > 0)
			strcat(sql, ", ");
		append_values(sql, row);
		if (kept)
			journal_row(stream, row);
	}
	outcome = run(conn, sql);
	free(sql);
	return outcome;
}

static Outcome
copy_rows(PGconn *conn, Txn *txn, uint32_t n)
{
	const char *stream = streams[chance(2)];
	char sql[64];
	PGresult *result;
	Outcome outcome;

	snprintf(sql, sizeof(sql), "COPY %s FROM STDIN", stream);
	outcome = run(conn, sql);
	if (outcome != DONE)
		return outcome;
	for (uint32_t i = 0; i < n; i++)
	{
		char row[256];

		make_row(txn, row, sizeof(row));
		journal_row(stream, row);
		strcat(row, "\n");
		if (PQputCopyData(conn, row, (int) strlen(row)) != 1)
			return LOST;
	}
	if (PQputCopyEnd(conn, NULL) != 1)
		return LOST;
	result = PQgetResult(conn);
	outcome = outcome_of(conn, result, sql);
	PQclear(result);
	while ((result = PQgetResult(conn)) != NULL)
		PQclear(result);
	return outcome;
}

/* Some statements in a block, up to COMMIT exclusive; false when one failed, and then nothing of it stays. */
static bool
fill_block(PGconn *conn, Txn *txn, bool kept, bool savepoints)
{
	if (run(conn, "BEGIN") != DONE || insert_rows(conn, txn, 1 + chance(8), kept) != DONE)
		return false;
	if (savepoints &&
	    (run(conn, "SAVEPOINT a") != DONE || insert_rows(conn, txn, 1 + chance(30), false) != DONE ||
	     run(conn, "ROLLBACK TO a") != DONE || insert_rows(conn, txn, 1 + chance(8), kept) != DONE ||
	     run(conn, "SAVEPOINT b") != DONE || insert_rows(conn, txn, 1, kept) != DONE || run(conn, "RELEASE b") != DONE))
		return false;
	return insert_rows(conn, txn, 1 + chance(8), kept) == DONE;
}

/* After an error in a block, or when a block is not wanted. */
static void
leave_block(PGconn *conn)
{
	if (PQstatus(conn) == CONNECTION_OK)
		run(conn, "ROLLBACK");
}

static void
write_block(bool savepoints)
{
	Txn txn = begin_txn();

	if (fill_block(writer, &txn, true, savepoints))
		note_outcome(&txn, run(writer, "COMMIT"));
	else
	{
		note_fate(&txn, 'a');
		leave_block(writer);
	}
}

static void
write_rolled_back(void)
{
	Txn txn = begin_txn();

	(void) fill_block(writer, &txn, false, chance(2) == 0);
	leave_block(writer);
}

/*
 * Is a transaction of this name prepared?  Asked after the connection was lost, until there is an answer.  The process
 * that had it to do has gone with its server, or is about to: then the name is busy, and it is asked again.
 */
static bool
is_prepared(const char *name)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT 1 FROM pg_prepared_xacts WHERE gid = '%s' AND database = current_database()",
	         name);
	for (;;)
	{
		PGresult *result;
		bool answered;
		bool found;

		if (PQstatus(writer) != CONNECTION_OK)
		{
			PQfinish(writer);
			writer = connect_server(conninfo, NULL);
		}
		result = PQexec(writer, sql);
		answered = PQresultStatus(result) == PGRES_TUPLES_OK;
		found = answered && PQntuples(result) > 0;
		PQclear(result);
		if (answered)
			return found;
	}
}

/* Two-phase commit; whatever happens to the connection, the transaction is finished, as it was meant to be. */
static void
write_prepared(bool kept)
{
	Txn txn = begin_txn();
	char name[40];
	char sql[80];
	bool prepared;
	Outcome outcome;

	snprintf(name, sizeof(name), "t%" PRIu64, txn.number);
	snprintf(sql, sizeof(sql), "PREPARE TRANSACTION '%s'", name);
	if (!fill_block(writer, &txn, kept, false))
	{
		note_fate(&txn, 'a');
		leave_block(writer);
		return;
	}
	outcome = run(writer, sql);
	prepared = outcome == DONE || (outcome == LOST && is_prepared(name));
	if (!prepared)
	{
		note_fate(&txn, 'a');
		return;
	}
	snprintf(sql, sizeof(sql), "%s PREPARED '%s'", kept ? "COMMIT" : "ROLLBACK", name);
	while (run(writer, sql) != DONE)
		if (!is_prepared(name))
			break;
	if (kept)
		note_fate(&txn, 'c');
}

/* One step of the transaction that others overtake: begin it, add to it, or end it. */
static void
write_long(bool end)
{
	Outcome outcome;

	if (long_txn.number == 0)
	{
		if (end)
			return;
		if (long_writer == NULL || PQstatus(long_writer) != CONNECTION_OK)
		{
			PQfinish(long_writer);
			long_writer = connect_server(conninfo, &control->stop_writers);
			if (long_writer == NULL)
				return;
		}
		long_txn = begin_txn();
		outcome = run(long_writer, "BEGIN");
	}
	else if (end || chance(12) == 0)
	{
		outcome = run(long_writer, "COMMIT");
		note_outcome(&long_txn, outcome);
		long_txn.number = 0;
		return;
	}
	else
		outcome = insert_rows(long_writer, &long_txn, 1 + chance(5), true);
	if (outcome == DONE)
		return;
	note_fate(&long_txn, 'a');
	leave_block(long_writer);
	long_txn.number = 0;
}

static void
write_plain(uint32_t rows, bool copy)
{
	Txn txn = begin_txn();

	note_outcome(&txn, copy ? copy_rows(writer, &txn, rows) : insert_rows(writer, &txn, rows, true));
}

static void
write_something(void)
{
	uint32_t dice = chance(100);

	if (dice < 35)
		write_plain(1, false);
	else if (dice < 50)
		write_plain(2 + chance(50), false);
	else if (dice < 56)
		write_plain(20 + chance(300), true);
	else if (dice < 74)
		write_block(dice < 66);
	else if (dice < 80)
		write_rolled_back();
	else if (dice < 88)
		write_prepared(dice < 85);
	else
		write_long(false);
}

static void
be_writer(void)
{
	rows_file = open_journal("rows");
	fates_file = open_journal("fates");
	while (atomic_load(&control->stop_writers) == 0)
	{
		if (writer == NULL || PQstatus(writer) != CONNECTION_OK)
		{
			PQfinish(writer);
			writer = connect_server(conninfo, &control->stop_writers);
			continue;
		}
		write_something();
		/* A pace, so that there is not too much to compare: slow while nobody waits for commits. */
		usleep(atomic_load(&control->mark) != 0 ? 4000 : 50000);
	}
	write_long(true);
}

/* ---- reading ---- */

/* Something seen as closed: what it was, and the pass in which it was last seen. */
typedef struct Seen
{
	char *what;  /* view and identity, or the name of a counter */
	char *value; /* the row, or the count */
	uint64_t pass;
} Seen;

static PGconn *reader;
static Seen *seen; /* a hash table with open addressing */
static size_t seen_size = 1 << 18;
static size_t seen_used;
static FILE *seen_file;
static FILE *counters_file;
static FILE *found_file;

static Seen *
seen_slot(const char *what)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *p = what; *p; p++)
		hash = (hash ^ (unsigned char) *p) * UINT64_C(1099511628211);
	for (size_t i = hash % seen_size;; i = (i + 1) % seen_size)
		if (seen[i].what == NULL || strcmp(seen[i].what, what) == 0)
			return &seen[i];
}

/* The place of something; made, with the value still to be set, when it is new. */
static Seen *
see(const char *what)
{
	Seen *entry = seen_slot(what);

	if (entry->what == NULL)
	{
		if (++seen_used > seen_size / 2)
			die("reader", "too much to remember");
		entry->what = strdup(what);
	}
	return entry;
}

static void
note_found(const char *kind, const char *what, const char *before, const char *now)
{
	fprintf(found_file, "%s\t%s\t%s\t%s\n", kind, what, before, now);
}

/* A row of a closed window; in one pass it is there once. */
static void
see_row(const char *view, const char *identity, const char *row, uint64_t pass)
{
	char what[512];
	Seen *entry;

	snprintf(what, sizeof(what), "%s|%s", view, identity);
	entry = see(what);
	if (entry->value == NULL)
	{
		entry->value = strdup(row);
		fprintf(seen_file, "%s\t%s\t%s\n", view, identity, row);
	}
	else if (strcmp(entry->value, row) != 0)
		note_found("altered", what, entry->value, row);
	if (entry->pass == pass)
		note_found("doubled", what, entry->value, row);
	entry->pass = pass;
}

/* What was seen of a view before and not in this pass has disappeared. */
static void
miss_rows(const char *view, uint64_t pass)
{
	size_t length = strlen(view);

	for (size_t i = 0; i < seen_size; i++)
		if (seen[i].what != NULL && seen[i].pass != pass && strncmp(seen[i].what, view, length) == 0 &&
		    seen[i].what[length] == '|')
			note_found("lost", seen[i].what, seen[i].value, "");
}

/* Counters only grow. */
static void
see_counter(const char *what, const char *value)
{
	Seen *entry = see(what);

	if (entry->value != NULL && strtoll(value, NULL, 10) < strtoll(entry->value, NULL, 10))
		note_found("counter", what, entry->value, value);
	if (entry->value == NULL || strcmp(entry->value, value) != 0)
		fprintf(counters_file, "%s\t%s\n", what, value);
	free(entry->value);
	entry->value = strdup(value);
}

static PGresult *
query(const char *sql)
{
	PGresult *result = PQexec(reader, sql);

	if (outcome_of(reader, result, sql) == DONE)
		return result;
	PQclear(result);
	return NULL;
}

/* All rows of closed windows, by one statement; how many they were, or -1. */
static int
read_closed(const char *view, const char *sql)
{
	static uint64_t pass;
	PGresult *result = query(sql);
	int n;

	if (result == NULL)
		return -1;
	n = PQntuples(result);
	pass++;
	for (int i = 0; i < n; i++)
		see_row(view, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1), pass);
	miss_rows(view, pass);
	PQclear(result);
	return n;
}

/* From the output table and through the view; with one snapshot, by chance, where both must be the same. */
static void
read_view(char **spec)
{
	bool one_snapshot = chance(2) == 0 && number % 2 == 0;
	char from_table[1024];
	char through_view[1024];
	int in_table;
	int in_view;

	snprintf(from_table, sizeof(from_table), "SELECT %s, %s FROM %s_closed v", spec[1], spec[2], spec[0]);
	snprintf(through_view, sizeof(through_view),
	         "SELECT %s, %s FROM %s v WHERE window_start IN (SELECT window_start FROM %s_closed)", spec[1], spec[2],
	         spec[0], spec[0]);
	if (one_snapshot && run(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ") != DONE)
		return;
	in_table = read_closed(spec[0], from_table);
	in_view = in_table < 0 ? -1 : read_closed(spec[0], through_view);
	if (in_view >= 0 && (one_snapshot ? in_view != in_table : in_view < in_table))
		note_found("doubled", spec[0], "rows in its output table and through the view differ", "");
	if (one_snapshot && PQstatus(reader) == CONNECTION_OK)
		run(reader, "COMMIT");
}

/* As of the last commit, of views that stay; others come and go, and are numbers once dropped. */
static void
read_counters(void)
{
	PGresult *result = query(
	    "SELECT 'dirty|' || view || '|' || window_start, missed FROM streamfuse.dirty_windows "
	    "WHERE view::text ~ '^(by|p)' "
	    "UNION ALL SELECT name || '|' || view, value FROM streamfuse.stat_views, LATERAL (VALUES "
	    "('missed', committed_rows_missed), ('in', committed_rows_in), ('late', committed_rows_late), "
	    "('watermark', extract(epoch FROM committed_watermark)::bigint)) v (name, value) "
	    "WHERE view::text ~ '^(by|p)' AND isfinite(committed_watermark)");

	if (result == NULL)
		return;
	for (int i = 0; i < PQntuples(result); i++)
		see_counter(PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	PQclear(result);
}

static void
be_reader(int nviews, char **views)
{
	seen = calloc(seen_size, sizeof(Seen));
	seen_file = open_journal("seen");
	counters_file = open_journal("counters");
	found_file = open_journal("found");
	while (atomic_load(&control->stop_readers) == 0)
	{
		if (reader == NULL || PQstatus(reader) != CONNECTION_OK)
		{
			PQfinish(reader);
			reader = connect_server(conninfo, &control->stop_readers);
			/* One of two readers waits for what was committed before. */
			if (reader != NULL && number % 2 == 1)
				run(reader, "SET streamfuse.read_consistency = 'latest'");
			continue;
		}
		read_view(views + 3 * chance((uint32_t) nviews));
		read_counters();
		usleep(2000); /* a pace, so that writers are not crowded out */
	}
}

int
main(int argc, char **argv)
{
	char pipe_name[1024];

	if (argc < 7)
		die("usage", "torture writer|reader CONNINFO CONTROL JOURNAL NUMBER SEED [VIEW IDENTITY ROW]...");
	conninfo = argv[2];
	control = share_memory(argv[3], sizeof(Control));
	journal = argv[4];
	number = strtoull(argv[5], NULL, 10);
	random_state = strtoull(argv[6], NULL, 10) * 100 + number;
	snprintf(pipe_name, sizeof(pipe_name), "%s.reached", argv[3]);
	reached = open(pipe_name, O_RDWR);
	if (reached < 0)
		die("open", pipe_name);
	errors = open_journal("errors");

	if (strcmp(argv[1], "writer") == 0)
		be_writer();
	else
		be_reader((argc - 7) / 3, argv + 7);
	return 0;
}
