/*
 * nexmark.h
 *		The events of Nexmark: persons, auctions and bids, each a pure function of its number.
 */
#ifndef BENCH_NEXMARK_H
#define BENCH_NEXMARK_H

#include "client.h"

typedef enum NexmarkKind
{
	NEXMARK_PERSON,
	NEXMARK_AUCTION,
	NEXMARK_BID,
	NEXMARK_KINDS
} NexmarkKind;

/* What a run is; the same numbers under the same group and rate are the same events. */
typedef struct NexmarkRun
{
	int64_t first; /* number of the first event */
	int64_t count;
	int64_t group; /* events of a group are out of order among themselves; 1: all in order */
	int64_t rate;  /* events a second of event time */
} NexmarkRun;

/* An event without its texts. */
typedef struct NexmarkEvent
{
	int64_t id; /* its place in event time */
	NexmarkKind kind;
	int64_t time_ms; /* since the beginning of event time */
	int64_t person;  /* its id, the seller, the bidder */
	int64_t auction; /* not of a person */
	bool hot_person; /* chosen from the few, not at random */
	bool hot_auction;
	bool hot_channel;
} NexmarkEvent;

#define NEXMARK_LINE 1024 /* most bytes of one as a line of COPY */

extern const char *const nexmark_tables[NEXMARK_KINDS];
extern const char *const nexmark_columns[NEXMARK_KINDS];

extern NexmarkEvent nexmark_event(const NexmarkRun *run, int64_t number);
extern size_t nexmark_line(const NexmarkRun *run, const NexmarkEvent *event, char *line);

#endif							/* BENCH_NEXMARK_H */
