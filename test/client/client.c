/*
 * client.c
 *		What the tests' libpq clients share; client.h tells.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define EPOCH INT64_C(1767225600) /* 2026-01-01 00:00 UTC */

void
die(const char *what, const char *detail)
{
	fprintf(stderr, "client: %s: %s\n", what, detail);
	exit(2);
}

uint32_t
random_below(uint64_t *state, uint32_t limit)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = *state;

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t) ((x ^ (x >> 31)) % limit);
}

PGconn *
connect_server(const char *conninfo, const _Atomic uint64_t *stop)
{
	for (int tries = 0; tries < 12000; tries++)
	{
		PGconn *conn;

		if (stop != NULL && atomic_load(stop) != 0)
			return NULL;
		conn = PQconnectdb(conninfo);
		if (PQstatus(conn) == CONNECTION_OK)
			return conn;
		PQfinish(conn);
		usleep(10000);
	}
	die("connect", "the server has not come back for two minutes");
}

void *
share_memory(const char *path, size_t size)
{
	int fd = path != NULL ? open(path, O_RDWR) : -1;
	void *memory;

	if (path != NULL && fd < 0)
		die("open", path);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (path != NULL ? 0 : MAP_ANONYMOUS), fd, 0);
	if (memory == MAP_FAILED)
		die("mmap", path != NULL ? path : "");
	return memory;
}

const char *
format_time(int64_t ms, char *buffer, size_t size)
{
	time_t seconds = (time_t) (EPOCH + ms / 1000);
	struct tm tm;
	size_t length;

	gmtime_r(&seconds, &tm);
	length = strftime(buffer, size, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(buffer + length, size - length, ".%03d+00", (int) (ms % 1000));
	return buffer;
}
