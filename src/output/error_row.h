/*
 * error_row.h
 *		The error table: rows that were set aside because they raised an error, in a view with on_error = 'skip'.
 */
#ifndef SF_ERROR_ROW_H
#define SF_ERROR_ROW_H

#include "streamfuse.h"

#include "state/progress.h"

/* Columns of streamfuse.error_row, from 0. */
#define SF_ERROR_ROW_FRAGMENT 0
#define SF_ERROR_ROW_RELATION 1
#define SF_ERROR_ROW_TID 2
#define SF_ERROR_ROW_EVENT_TIME 3
#define SF_ERROR_ROW_AT 4
#define SF_ERROR_ROW_SQLSTATE 5
#define SF_ERROR_ROW_MESSAGE 6
#define SF_ERROR_ROW_BRANCH 7
#define SF_ERROR_ROW_NATTS 8

/*
 * Writes the failed rows of a fragment that wait for a commit, in the transaction that writes the position beyond them.
 * timed: they have event times.
 */
extern void sf_error_rows_write(int32 fragment, const SfProgress *progress, bool timed);

#endif							/* SF_ERROR_ROW_H */
