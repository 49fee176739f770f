/*
 * events.c
 *		The rows of the measured workload, made from their number: the same in every table and every run.
 *
 * 1,000 rows per second of event time, up to 2 s out of order; 20 categories, 5 statuses; about 40,700 different users
 * a minute.  A row takes about 100 bytes in a heap page.
 */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_US 1000
#define DISORDER_US 2000000
#define USERS 72000
#define CATEGORIES 20
#define STATUSES 5
#define NOTE "not part of any view, as most of a row"

static const char *const column_types[EVENT_COLUMNS] = {"timestamptz", "int", "int", "int", "int", "text"};

Event
event_of(int64_t number)
{
	uint32_t h = hash((uint32_t) number + 1);
	uint32_t g = hash(h + 77);
	Event event = {
	    .time_us = number * ROW_US + DISORDER_US - h % DISORDER_US,
	    .user_id = g % USERS,
	    .category = (g >> 8) % CATEGORIES,
	    .status = (h >> 8) % STATUSES,
	    .amount = hash(g) % 100000,
	};

	return event;
}

/* Days of a month are not counted: 2026-01-01 and so many hours is a valid time. */
void
event_time_text(int64_t time_us, char *text)
{
	int64_t seconds = time_us / 1000000;
	int days = (int) (seconds / 86400);

	sprintf(text, "2026-%02d-%02d %02d:%02d:%02d.%06d+00", 1 + days / 28, 1 + days % 28, (int) (seconds / 3600 % 24),
	        (int) (seconds / 60 % 60), (int) (seconds % 60), (int) (time_us % 1000000));
}

size_t
event_line(const Event *event, char *line)
{
	char time[64];

	event_time_text(event->time_us, time);
	return sprintf(line, "%s\t%u\t%u\t%u\t%u\t%s\n", time, event->user_id, event->category, event->status,
	               event->amount, NOTE);
}

void
prepare_insert(PGconn *conn, const char *name)
{
	prepare(conn, name, "INSERT INTO events VALUES ($1, $2, $3, $4, $5, '" NOTE "')");
}

void
insert_event(PGconn *conn, const char *name, const Event *event)
{
	char text[5][64];
	const char *params[5];

	event_time_text(event->time_us, text[0]);
	sprintf(text[1], "%u", event->user_id);
	sprintf(text[2], "%u", event->category);
	sprintf(text[3], "%u", event->status);
	sprintf(text[4], "%u", event->amount);
	for (int i = 0; i < 5; i++)
		params[i] = text[i];
	PQclear(execute(conn, name, 5, params));
}

size_t
event_arrays_size(int rows)
{
	return ((size_t) rows * 48 + 8) * EVENT_COLUMNS;
}

/* Rows as one array per column, in text, in the memory given. */
void
event_arrays(int64_t first, int rows, char *memory, char **columns)
{
	size_t size = event_arrays_size(rows) / EVENT_COLUMNS;
	char *at[EVENT_COLUMNS];

	for (int column = 0; column < EVENT_COLUMNS; column++)
	{
		columns[column] = at[column] = memory + size * column;
		*at[column]++ = '{';
	}
	for (int i = 0; i < rows; i++)
	{
		Event event = event_of(first + i);
		char time[64];
		const char *comma = i > 0 ? "," : "";

		event_time_text(event.time_us, time);
		at[0] += sprintf(at[0], "%s\"%s\"", comma, time);
		at[1] += sprintf(at[1], "%s%u", comma, event.user_id);
		at[2] += sprintf(at[2], "%s%u", comma, event.category);
		at[3] += sprintf(at[3], "%s%u", comma, event.status);
		at[4] += sprintf(at[4], "%s%u", comma, event.amount);
		at[5] += sprintf(at[5], "%s\"%s\"", comma, NOTE);
	}
	for (int column = 0; column < EVENT_COLUMNS; column++)
		strcpy(at[column], "}");
}

void
prepare_insert_arrays(PGconn *conn, const char *name)
{
	char sql[512] = "INSERT INTO events SELECT * FROM unnest(";

	for (int column = 0; column < EVENT_COLUMNS; column++)
		sprintf(sql + strlen(sql), "%s$%d::%s[]", column > 0 ? ", " : "", column + 1, column_types[column]);
	strcat(sql, ")");
	prepare(conn, name, sql);
}

void
insert_arrays(PGconn *conn, const char *name, char *const *columns)
{
	PQclear(execute(conn, name, EVENT_COLUMNS, (const char *const *) columns));
}

void
copy_lines(PGconn *conn, const char *table, const char *lines, size_t length)
{
	char sql[256];
	PGresult *result;

	snprintf(sql, sizeof(sql), "COPY %s FROM STDIN", table);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_COPY_IN)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
	for (size_t done = 0; done < length;)
	{
		size_t part = length - done < 65536 ? length - done : 65536;

		if (PQputCopyData(conn, lines + done, (int) part) != 1)
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
}
