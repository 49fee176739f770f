/*
 * settings_label.h
 *		The text of a stream's security label, and the rules its parts obey; for settings*.c only.
 *
 * A label is a list of key="value", separated by spaces; a double quote within a value is doubled:
 *
 *		column="event_time" strategy="fixed" delay="00:01:00" max_ahead="1 day"
 *
 * column is required; the others have the defaults of set_watermark.
 */
#ifndef SF_SETTINGS_LABEL_H
#define SF_SETTINGS_LABEL_H

#include "streamfuse.h"

#include "catalog/pg_attribute.h"

#include "stream/settings.h"

#define SF_LABEL_PROVIDER "streamfuse"

/* Fills all but time_attnum and time_type.  Raises an error for what is not a label or breaks a rule. */
extern void sf_label_parse(const char *label, SfStreamSettings *settings);

/* The label of these settings; palloc'd.  It does not depend on anybody's IntervalStyle. */
extern char *sf_label_format(const SfStreamSettings *settings);

/* The rules, each raising an error with a hint. */
extern void sf_check_time_column(const char *stream, Form_pg_attribute column);
extern void sf_check_strategy(const char *strategy);
extern void sf_check_span(const char *name, const Interval *span);

/* Reads max_ahead: an interval, or infinity. */
extern void sf_parse_max_ahead(const char *text, SfStreamSettings *settings);
extern char *sf_format_max_ahead(const SfStreamSettings *settings);

/* The label of this very relation as settings, without looking at its columns; false when it has none. */
extern bool sf_stream_label_get(Oid relid, SfStreamSettings *settings);

#endif /* SF_SETTINGS_LABEL_H */
