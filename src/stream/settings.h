/*
 * settings.h
 *		The settings of a stream, kept as a security label of the table so that they travel with it in a dump.
 */
#ifndef SF_STREAM_SETTINGS_H
#define SF_STREAM_SETTINGS_H

#include "streamfuse.h"

#include "access/attnum.h"
#include "storage/lockdefs.h"
#include "utils/timestamp.h"

typedef struct SfStreamSettings
{
	bool		has_watermark;
	NameData	time_column;	/* event-time column */
	AttrNumber	time_attnum;	/* its number in the relation asked for */
	Oid			time_type;		/* TIMESTAMPTZOID or TIMESTAMPOID */
	Interval	delay;
	Interval	max_ahead;
	bool		max_ahead_infinite;
} SfStreamSettings;

extern void sf_stream_settings_init(void);	/* registers the label provider; from _PG_init */

/* Reads the settings of a stream (a leaf takes its topmost partitioned parent's).  No watermark: has_watermark false. */
extern void sf_stream_settings_get(Oid relid, SfStreamSettings *settings);

/*
 * For a view that is being made: raises an error unless the stream's watermark, if it has one, is on this column; and
 * keeps set_watermark from moving it until the transaction ends.
 */
extern void sf_stream_check_window_column(Oid relid, AttrNumber attnum);

/* True for a relation whose access method is `stream`, or a partitioned table all of whose leaves are. */
extern bool sf_is_stream(Oid relid);	/* one without partitions is when views read it; no lock is taken */
extern Oid	sf_stream_am_oid(bool missing_ok);
extern Oid	sf_view_am_oid(bool missing_ok);

/* Raises ERRCODE_WRONG_OBJECT_TYPE unless it is a stream, ERRCODE_INSUFFICIENT_PRIVILEGE unless the caller owns it. */
extern void sf_check_stream_owner(Oid relid);

/* The same, with the lock taken in between; and raises an error for a partition, which has no watermark of its own. */
extern void sf_lock_stream_owned(Oid relid, LOCKMODE lockmode);

#endif /* SF_STREAM_SETTINGS_H */
