/*
 * commit.h
 *		Making ticks durable: closed windows' rows, open groups' state, progress, in one transaction.
 */
#ifndef SF_COMMIT_H
#define SF_COMMIT_H

#include "streamfuse.h"

/* Columns of streamfuse.progress, from 0. */
#define SF_PROGRESS_FRAGMENT 0
#define SF_PROGRESS_POSITION 1
#define SF_PROGRESS_WATERMARK 2
#define SF_PROGRESS_CLOSED_UNTIL 3
#define SF_PROGRESS_LAST_CLOSED 4
#define SF_PROGRESS_ROWS_IN 5
#define SF_PROGRESS_ROWS_LATE 6
#define SF_PROGRESS_ROWS_MISSED 7
#define SF_PROGRESS_ROWS_AHEAD 8
#define SF_PROGRESS_BACKFILLED 9
#define SF_PROGRESS_FAILED 10
#define SF_PROGRESS_SQLSTATE 11
#define SF_PROGRESS_ERROR 12
#define SF_PROGRESS_ROWS_READ 13
#define SF_PROGRESS_COMMITTED_AT 14
#define SF_PROGRESS_FAILED_AT 15
#define SF_PROGRESS_ROWS_FAILED 16
#define SF_PROGRESS_RESUMES 17
#define SF_PROGRESS_FORGOTTEN_BEFORE 18
#define SF_PROGRESS_SPILLED_GROUPS 19
#define SF_PROGRESS_SPILLED_BYTES 20
#define SF_PROGRESS_NATTS 21

/* Columns of streamfuse.state, from 0. */
#define SF_STATE_FRAGMENT 0
#define SF_STATE_WINDOW_START 1
#define SF_STATE_SEQ 2
#define SF_STATE_WINDOW_END 3
#define SF_STATE_PAYLOAD 4
#define SF_STATE_NATTS 5

/* Payloads begin with a version; raises ERRCODE_DATA_CORRUPTED on one that is not known, and moves *data. */
extern void sf_state_check_version(const char **data, const char *end);

#endif /* SF_COMMIT_H */
