/*
 * nexmark.c
 *		The events of Nexmark, an online auction: 1 person, 3 auctions and 46 bids of every 50.
 *
 * Everything of an event comes from its number: its place in event time (within a group of so many events the order is
 * shuffled by a multiplication), and from that place its ids and all that is random, by a hash of the place and the
 * field.  So any part of a run can be made again, alone, by another process, or in another order.  Ids that are chosen
 * are those of the newest persons and auctions, a few of them not there yet, and often the hot ones: every hundredth.
 */
#include "nexmark.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BASE_SECONDS 1436918400 /* 2015-07-15 00:00:00+00 */
#define SHUFFLE 953
#define FIRST_ID 1000

/* Of so many events, in this order. */
#define ROUND 50
#define ROUND_PERSONS 1
#define ROUND_AUCTIONS 3

#define ACTIVE_PERSONS 1000
#define ACTIVE_AUCTIONS 100
#define NOT_YET 10 /* ids are chosen that far ahead of what there is */
#define HOT 100

#define CATEGORIES 5
#define FIRST_CATEGORY 10
#define CHANNELS 10000
#define HORIZON_EVENTS 1666 /* auctions last up to twice the time of so many */

/* Bytes of a row, about: what comes before is made up to them. */
#define PERSON_BYTES 200
#define AUCTION_BYTES 500
#define BID_BYTES 100

/* Each random number of an event has a number of its own. */
enum
{
	R_SELLER_HOT,
	R_SELLER,
	R_AUCTION_HOT,
	R_AUCTION,
	R_BIDDER_HOT,
	R_BIDDER,
	R_PRICE,
	R_RESERVE,
	R_CATEGORY,
	R_EXPIRES,
	R_CHANNEL_HOT,
	R_CHANNEL,
	R_FIRST_NAME,
	R_LAST_NAME,
	R_CITY,
	R_STATE,
	R_CARD,
	R_EXTRA_LENGTH,
	R_NAME_LENGTH,
	R_DESCRIPTION_LENGTH,
	R_CHANNEL_ID,
	R_HAS_CHANNEL_ID,
	/* texts take one for every eight letters */
	R_EMAIL = 100,
	R_ITEM_NAME = 200,
	R_DESCRIPTION = 300,
	R_URL = 400,
	R_EXTRA = 500
};

const char *const nexmark_tables[NEXMARK_KINDS] = {"person", "auction", "bid"};
const char *const nexmark_columns[NEXMARK_KINDS] = {
    "id, name, email_address, credit_card, city, state, date_time, extra",
    "id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra",
    "auction, bidder, price, channel, url, date_time, extra",
};

static const char *const first_names[] = {"Peter", "Paul",  "Luke",  "John",   "Saul",  "Vicky",
                                          "Kate",  "Julie", "Sarah", "Deiter", "Walter"};
static const char *const last_names[] = {"Shultz", "Abrams", "Spencer", "White", "Bartels",
                                         "Walton", "Smith",  "Jones",   "Noris"};
static const char *const cities[] = {"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
                                     "Bend",    "Redmond",     "Seattle",       "Kent",  "Cheyenne"};
static const char *const states[] = {"AZ", "CA", "ID", "OR", "WA", "WY"};
static const char *const hot_channels[] = {"Google", "Facebook", "Baidu", "Apple"};

#define LENGTH_OF(array) ((int64_t) (sizeof(array) / sizeof((array)[0])))

static uint64_t
random_of(int64_t id, int field)
{
	uint64_t x = (uint64_t) id * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t) (field + 1) * UINT64_C(0xd1b54a32d192ed03);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* 0 to n - 1 */
static int64_t
random_below(int64_t id, int field, int64_t n)
{
	return (int64_t) (((unsigned __int128) random_of(id, field) * (uint64_t) n) >> 64);
}

static char *
put(char *to, const char *text)
{
	size_t length = strlen(text);

	memcpy(to, text, length);
	return to + length;
}

static char *
put_letters(char *to, int64_t id, int field, int64_t length)
{
	uint64_t random = 0;

	for (int64_t i = 0; i < length; i++)
	{
		if (i % 8 == 0)
			random = random_of(id, field++);
		*to++ = 'a' + (char) ((random & 0xff) * 26 >> 8);
		random >>= 8;
	}
	return to;
}

/* Letters that bring a row from so many bytes to about so many. */
static char *
put_extra(char *to, int64_t id, int64_t bytes, int64_t wanted)
{
	int64_t missing = wanted - bytes;
	int64_t slack = missing / 5;

	if (missing <= 0)
		return to;
	return put_letters(to, id, R_EXTRA, missing - slack + random_below(id, R_EXTRA_LENGTH, 2 * slack + 1));
}

static char *
put_time(char *to, int64_t time_ms)
{
	time_t seconds = BASE_SECONDS + time_ms / 1000;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return to + sprintf(to, "%04d-%02d-%02d %02d:%02d:%02d.%03d+00", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	                    tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (time_ms % 1000));
}

/* The newest person and auction when this event happens; the auction is not above it even in a round's first event. */
static int64_t
last_person(int64_t id)
{
	return id / ROUND;
}

static int64_t
last_auction(int64_t id)
{
	int64_t round = id / ROUND;
	int64_t rest = id % ROUND;
	int64_t last;

	if (rest < ROUND_PERSONS)
		last = (round - 1) * ROUND_AUCTIONS + ROUND_AUCTIONS - 1;
	else if (rest < ROUND_PERSONS + ROUND_AUCTIONS)
		last = round * ROUND_AUCTIONS + rest - ROUND_PERSONS;
	else
		last = round * ROUND_AUCTIONS + ROUND_AUCTIONS - 1;
	return last < 0 ? 0 : last;
}

static int64_t
choose_person(int64_t id, int field)
{
	int64_t persons = last_person(id) + 1;
	int64_t active = persons < ACTIVE_PERSONS ? persons : ACTIVE_PERSONS;

	return persons - active + random_below(id, field, active + NOT_YET);
}

static int64_t
choose_auction(int64_t id, int field)
{
	int64_t last = last_auction(id);
	int64_t lowest = last < ACTIVE_AUCTIONS ? 0 : last - ACTIVE_AUCTIONS;

	return lowest + random_below(id, field, last - lowest + 1 + NOT_YET);
}

static int64_t
random_price(int64_t id, int field)
{
	double u = (double) (random_of(id, field) >> 11) / 9007199254740992.0; /* 2^53: u is below 1 */

	return (int64_t) round(pow(10.0, u * 6.0) * 100.0);
}

NexmarkEvent
nexmark_event(const NexmarkRun *run, int64_t number)
{
	int64_t id = number / run->group * run->group + number * SHUFFLE % run->group;
	int64_t rest = id % ROUND;
	NexmarkEvent event = {.id = id, .time_ms = id * 1000 / run->rate};

	if (rest < ROUND_PERSONS)
	{
		event.kind = NEXMARK_PERSON;
		event.person = last_person(id);
	}
	else if (rest < ROUND_PERSONS + ROUND_AUCTIONS)
	{
		event.kind = NEXMARK_AUCTION;
		event.auction = last_auction(id);
		event.hot_person = random_below(id, R_SELLER_HOT, 4) > 0;
		event.person = event.hot_person ? last_person(id) / HOT * HOT : choose_person(id, R_SELLER);
	}
	else
	{
		event.kind = NEXMARK_BID;
		event.hot_auction = random_below(id, R_AUCTION_HOT, 2) > 0;
		event.auction = event.hot_auction ? last_auction(id) / HOT * HOT : choose_auction(id, R_AUCTION);
		event.hot_person = random_below(id, R_BIDDER_HOT, 4) > 0;
		event.person = event.hot_person ? last_person(id) / HOT * HOT + 1 : choose_person(id, R_BIDDER);
		event.hot_channel = random_below(id, R_CHANNEL_HOT, 2) > 0;
	}
	event.person += FIRST_ID;
	event.auction += FIRST_ID;
	return event;
}

static char *
put_person(char *line, const NexmarkEvent *event)
{
	int64_t id = event->id;
	const char *city = cities[random_below(id, R_CITY, LENGTH_OF(cities))];
	const char *state = states[random_below(id, R_STATE, LENGTH_OF(states))];
	char *at = line;
	uint64_t card = random_of(id, R_CARD);

	at += sprintf(at, "%" PRId64 "\t%s %s\t", event->person,
	              first_names[random_below(id, R_FIRST_NAME, LENGTH_OF(first_names))],
	              last_names[random_below(id, R_LAST_NAME, LENGTH_OF(last_names))]);
	at = put_letters(at, id, R_EMAIL, 7);
	*at++ = '@';
	at = put_letters(at, id, R_EMAIL + 1, 5);
	at += sprintf(at, ".com\t%04d %04d %04d %04d\t%s\t%s\t", (int) ((card & 0xffff) % 10000),
	              (int) ((card >> 16 & 0xffff) % 10000), (int) ((card >> 32 & 0xffff) % 10000),
	              (int) ((card >> 48) % 10000), city, state);
	at = put_time(at, event->time_ms);
	*at++ = '\t';
	return put_extra(at, id, at - line, PERSON_BYTES);
}

static char *
put_auction(char *line, const NexmarkRun *run, const NexmarkEvent *event)
{
	int64_t id = event->id;
	int64_t initial_bid = random_price(id, R_PRICE);
	int64_t most_ms = 2 * (HORIZON_EVENTS * 1000 / run->rate);
	char *at = line;

	at += sprintf(at, "%" PRId64 "\t", event->auction);
	at = put_letters(at, id, R_ITEM_NAME, 3 + random_below(id, R_NAME_LENGTH, 17));
	*at++ = '\t';
	at = put_letters(at, id, R_DESCRIPTION, 3 + random_below(id, R_DESCRIPTION_LENGTH, 97));
	at += sprintf(at, "\t%" PRId64 "\t%" PRId64 "\t", initial_bid, initial_bid + random_price(id, R_RESERVE));
	at = put_time(at, event->time_ms);
	*at++ = '\t';
	at = put_time(at, event->time_ms + 1 + random_below(id, R_EXPIRES, most_ms > 1 ? most_ms : 1));
	at += sprintf(at, "\t%" PRId64 "\t%d\t", event->person,
	              (int) (FIRST_CATEGORY + random_below(id, R_CATEGORY, CATEGORIES)));
	return put_extra(at, id, at - line, AUCTION_BYTES);
}

/* A channel's name and url, the same in all its bids. */
static char *
put_channel(char *at, const NexmarkEvent *event)
{
	int64_t channel;

	if (event->hot_channel)
	{
		channel = random_below(event->id, R_CHANNEL, LENGTH_OF(hot_channels));
		at = put(at, hot_channels[channel]);
		channel = -1 - channel;
	}
	else
	{
		channel = random_below(event->id, R_CHANNEL, CHANNELS);
		at += sprintf(at, "channel-%" PRId64, channel);
	}
	at = put(at, "\thttps://www.nexmark.com/");
	for (int i = 0; i < 3; i++)
	{
		at = put_letters(at, channel, R_URL + i, 5);
		*at++ = '/';
	}
	at = put(at, "item.htm?query=1");
	if (!event->hot_channel && random_below(channel, R_HAS_CHANNEL_ID, 10) > 0)
		at += sprintf(at, "&channel_id=%" PRId64, random_below(channel, R_CHANNEL_ID, INT64_C(1) << 31));
	return at;
}

static char *
put_bid(char *line, const NexmarkEvent *event)
{
	char *at = line;
	size_t before;

	at += sprintf(at, "%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t", event->auction, event->person,
	              random_price(event->id, R_PRICE));
	at = put_channel(at, event);
	*at++ = '\t';
	at = put_time(at, event->time_ms);
	*at++ = '\t';
	/* As in Nexmark: channel and url came later, and do not count, or nothing would be left for it. */
	before = 4 * sizeof(int64_t);
	return put_extra(at, event->id, (int64_t) before, BID_BYTES);
}

/* As a line of COPY, with the columns in the table's order. */
size_t
nexmark_line(const NexmarkRun *run, const NexmarkEvent *event, char *line)
{
	char *end;

	if (event->kind == NEXMARK_PERSON)
		end = put_person(line, event);
	else if (event->kind == NEXMARK_AUCTION)
		end = put_auction(line, run, event);
	else
		end = put_bid(line, event);
	*end++ = '\n';
	return (size_t) (end - line);
}
