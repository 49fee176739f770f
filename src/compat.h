/*
 * compat.h
 *		Differences between PostgreSQL's major versions, each wrapped under a name of its own.
 *
 * This is the only file that looks at PG_VERSION_NUM.  PostgreSQL 15 is the version streamfuse is built for.
 */
#ifndef SF_COMPAT_H
#define SF_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "streamfuse needs PostgreSQL 15"
#endif

#endif /* SF_COMPAT_H */
