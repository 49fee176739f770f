/*
 * test.h
 *		What the tests of the state share.  Only in builds for tests.
 */
#ifndef SF_STATE_TEST_H
#define SF_STATE_TEST_H

#include "state/store.h"

#include "nodes/parsenodes.h"

/* A fragment of the caller's own, which no worker or reader knows of; to be given back with dsa_free. */
extern SfFragment *sf_test_fragment(dsa_pointer *pointer);

extern Query *sf_test_analyse(const char *text);

/* The aggregates of a query, one per column. */
extern SfAggregate **sf_test_aggregates(Query *query, int *naggs);

/* Nothing must be left of a fragment that was reset. */
extern void sf_test_check_empty(SfFragment *fragment, uint64 bytes_before);

#endif							/* SF_STATE_TEST_H */
