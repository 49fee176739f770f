/*
 * nexmark_load.c
 *		client nexmark …: the events of Nexmark written, loaded, or looked at.
 *
 *	rows TABLE FIRST COUNT GROUP RATE				one table's rows of these events, as lines of COPY
 *	load DATABASE FIRST COUNT GROUP RATE TRANSACTION	all three tables' rows into them, so many events a transaction,
 *													then flush() where there are views, then a synchronous commit;
 *													what that took in seconds
 *	shares COUNT GROUP RATE TRANSACTION				what the events are like, as figures; those that are not what
 *													Nexmark says end it with an error
 */
#include "nexmark.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MS 10000
#define DELAY_MS 4000

/* The rows of one transaction, made before the clock runs. */
typedef struct Transaction
{
	char *lines[NEXMARK_KINDS];
	size_t length[NEXMARK_KINDS];
} Transaction;

static int64_t
number_of(const char *name, const char *text, int64_t least)
{
	char *end;
	int64_t number = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number < least)
		die(name, text);
	return number;
}

static NexmarkRun
run_of(const char *first, const char *count, const char *group, const char *rate)
{
	NexmarkRun run = {.first = number_of("first event", first, 0),
	                  .count = number_of("number of events", count, 1),
	                  .group = number_of("events of a group", group, 1),
	                  .rate = number_of("events a second", rate, 1)};

	/* The shuffle would not reach all places. */
	if (run.group > 1 && run.group % 953 == 0)
		die("events of a group", "must not be a multiple of 953");
	return run;
}

static void
write_rows(const char *table, const NexmarkRun *run)
{
	char line[NEXMARK_LINE];
	int kind = 0;

	while (kind < NEXMARK_KINDS && strcmp(nexmark_tables[kind], table) != 0)
		kind++;
	if (kind == NEXMARK_KINDS)
		die("unknown table", table);
	for (int64_t i = 0; i < run->count; i++)
	{
		NexmarkEvent event = nexmark_event(run, run->first + i);

		if ((int) event.kind == kind)
			fwrite(line, 1, nexmark_line(run, &event, line), stdout);
	}
	if (fflush(stdout) != 0)
		die("rows", "cannot be written");
}

static void
make_transaction(const NexmarkRun *run, int64_t first, int64_t count, char **scratch, Transaction *transaction)
{
	for (int64_t i = 0; i < count; i++)
	{
		NexmarkEvent event = nexmark_event(run, first + i);
		size_t *length = &transaction->length[event.kind];

		*length += nexmark_line(run, &event, scratch[event.kind] + *length);
	}
	for (int kind = 0; kind < NEXMARK_KINDS; kind++)
	{
		transaction->lines[kind] = malloc(transaction->length[kind] + 1);
		memcpy(transaction->lines[kind], scratch[kind], transaction->length[kind]);
	}
}

static Transaction *
make_transactions(const NexmarkRun *run, int64_t events, int64_t n)
{
	Transaction *transactions = calloc((size_t) n, sizeof(Transaction));
	char *scratch[NEXMARK_KINDS];

	for (int kind = 0; kind < NEXMARK_KINDS; kind++)
		scratch[kind] = malloc((size_t) events * NEXMARK_LINE);
	for (int64_t i = 0; i < n; i++)
	{
		int64_t left = run->count - i * events;

		make_transaction(run, run->first + i * events, left < events ? left : events, scratch, &transactions[i]);
	}
	for (int kind = 0; kind < NEXMARK_KINDS; kind++)
		free(scratch[kind]);
	return transactions;
}

static void
insert_transaction(PGconn *conn, const Transaction *transaction)
{
	char target[256];

	PQclear(run(conn, "BEGIN"));
	for (int kind = 0; kind < NEXMARK_KINDS; kind++)
	{
		if (transaction->length[kind] == 0)
			continue;
		snprintf(target, sizeof(target), "%s (%s)", nexmark_tables[kind], nexmark_columns[kind]);
		copy_lines(conn, target, transaction->lines[kind], transaction->length[kind]);
	}
	PQclear(run(conn, "COMMIT"));
}

static void
load(const char *database, const NexmarkRun *events, int64_t transaction_events)
{
	int64_t n = (events->count + transaction_events - 1) / transaction_events;
	Transaction *transactions = make_transactions(events, transaction_events, n);
	PGconn *conn = connect_to(database);
	int64_t begin;

	begin = now_ns();
	for (int64_t i = 0; i < n; i++)
		insert_transaction(conn, &transactions[i]);
	if (query_int64(conn, "SELECT count(*) FROM streamfuse.views") > 0)
		PQclear(run(conn, "SELECT streamfuse.flush()"));
	PQclear(run(conn, "BEGIN; SET LOCAL synchronous_commit = on; SELECT txid_current(); COMMIT"));
	printf("%.6f\n", (now_ns() - begin) / 1e9);
	PQfinish(conn);
}

/* A share in the figures; when it is not within so much of what it should be, that is an error. */
static void
share(const char *name, int64_t part, int64_t whole, double expected, double tolerance)
{
	double value = (double) part / (double) whole;
	char text[128];

	report(name, "", value);
	if (fabs(value - expected) <= tolerance)
		return;
	snprintf(text, sizeof(text), "%.4f is not within %g of %g", value, tolerance, expected);
	die(name, text);
}

/* What counts as late among bids: the window had closed by the watermark that the transactions before have moved. */
typedef struct Lateness
{
	int64_t newest_ms;
	int64_t watermark_ms;
	int64_t late;
} Lateness;

static void
judge(Lateness *lateness, int64_t time_ms)
{
	if ((time_ms / WINDOW_MS + 1) * WINDOW_MS <= lateness->watermark_ms)
		lateness->late++;
	if (time_ms > lateness->newest_ms)
		lateness->newest_ms = time_ms;
}

/*
 * Which share is late follows from where the windows' ends lie in the groups: for these three it is told beforehand, for
 * transactions that are small against them.
 */
static void
report_lateness(const NexmarkRun *run, int64_t transaction_events, const Lateness *lateness, int64_t bids)
{
	static const struct
	{
		int64_t group;
		double expected;
		double tolerance;
	} known[] = {{1, 0.0, 0.0}, {70000, 0.05, 0.02}, {150000, 0.50, 0.05}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (run->group == known[i].group && run->rate == 10000 && run->count >= 2100000 && transaction_events <= 5000)
		{
			share("late", lateness->late, bids, known[i].expected, known[i].tolerance);
			return;
		}
	report("late", "", (double) lateness->late / (double) bids);
}

static void
report_shares(const NexmarkRun *run, int64_t transaction_events)
{
	int64_t kinds[NEXMARK_KINDS] = {0};
	int64_t hot_sellers = 0;
	int64_t hot_bidders = 0;
	int64_t hot_auctions = 0;
	int64_t hot_channels = 0;
	Lateness lateness = {.newest_ms = -1, .watermark_ms = INT64_MIN};

	for (int64_t i = 0; i < run->count; i++)
	{
		NexmarkEvent event = nexmark_event(run, run->first + i);

		kinds[event.kind]++;
		if (event.kind == NEXMARK_AUCTION)
			hot_sellers += event.hot_person;
		if (event.kind == NEXMARK_BID)
		{
			hot_bidders += event.hot_person;
			hot_auctions += event.hot_auction;
			hot_channels += event.hot_channel;
			judge(&lateness, event.time_ms);
		}
		if ((i + 1) % transaction_events == 0 && lateness.newest_ms >= 0)
			lateness.watermark_ms = lateness.newest_ms - DELAY_MS;
	}
	share("persons", kinds[NEXMARK_PERSON], run->count, 0.02, 0.001);
	share("auctions", kinds[NEXMARK_AUCTION], run->count, 0.06, 0.002);
	share("bids", kinds[NEXMARK_BID], run->count, 0.92, 0.003);
	share("hot sellers of auctions", hot_sellers, kinds[NEXMARK_AUCTION], 0.75, 0.01);
	share("hot bidders of bids", hot_bidders, kinds[NEXMARK_BID], 0.75, 0.01);
	share("hot auctions of bids", hot_auctions, kinds[NEXMARK_BID], 0.50, 0.01);
	share("hot channels of bids", hot_channels, kinds[NEXMARK_BID], 0.50, 0.01);
	report_lateness(run, transaction_events, &lateness, kinds[NEXMARK_BID]);
}

void
nexmark_main(int argc, char **argv)
{
	NexmarkRun events;

	if (argc == 6 && strcmp(argv[0], "rows") == 0)
	{
		events = run_of(argv[2], argv[3], argv[4], argv[5]);
		write_rows(argv[1], &events);
	}
	else if (argc == 7 && strcmp(argv[0], "load") == 0)
	{
		events = run_of(argv[2], argv[3], argv[4], argv[5]);
		load(argv[1], &events, number_of("events of a transaction", argv[6], 1));
	}
	else if (argc == 5 && strcmp(argv[0], "shares") == 0)
	{
		events = run_of("0", argv[1], argv[2], argv[3]);
		report_shares(&events, number_of("events of a transaction", argv[4], 1));
	}
	else
		die("usage", "nexmark rows TABLE FIRST COUNT GROUP RATE | load DATABASE FIRST COUNT GROUP RATE TRANSACTION | "
		             "shares COUNT GROUP RATE TRANSACTION");
}
