/*
 * client.h
 *		What the tests' libpq clients share.
 *
 * Streamfuse::Client compiles them.  Where a server is comes from the connection string: the clients reconnect
 * when it has gone, and with several hosts in the string they find the one that takes writes.
 */
#ifndef SF_TEST_CLIENT_H
#define SF_TEST_CLIENT_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

extern void die(const char *what, const char *detail) __attribute__((noreturn));

/* A number below the limit, from a generator of the caller's own. */
extern uint32_t random_below(uint64_t *state, uint32_t limit);

/* A connection, tried for until there is one or `*stop` is set: then NULL. */
extern PGconn *connect_server(const char *conninfo, const _Atomic uint64_t *stop);

/* Memory that processes share, from a file of so many bytes; without a path of this process and its children. */
extern void *share_memory(const char *path, size_t size);

/* Event time in milliseconds, as text. */
extern const char *format_time(int64_t ms, char *buffer, size_t size);

#endif /* SF_TEST_CLIENT_H */
