/*
 * watermark.h
 *		Watermark arithmetic: from the largest event time to the watermark and back, and the limit of what is ahead.
 *
 * Results saturate at the infinities.  A day of a delay is 24 hours.
 */
#ifndef SF_WATERMARK_H
#define SF_WATERMARK_H

#include "streamfuse.h"

#include "stream/settings.h"

/* The fixed strategy: max_event_time - delay.  An infinity stays what it is. */
extern SfTime sf_watermark_of(const SfStreamSettings *settings, SfTime max_event_time);

/* The largest event time that gives this watermark: watermark + delay. */
extern SfTime sf_watermark_origin(const SfStreamSettings *settings, SfTime watermark);

/*
 * The latest event time that is not ahead of the clock: now + max_ahead.  With max_ahead infinite it is the last finite
 * time: the time 'infinity' itself is always ahead, or a row of that time would close the stream for ever.
 */
extern SfTime sf_ahead_limit(const SfStreamSettings *settings, TimestampTz now);

/* Removes the punctuations of a stream that is being dropped: its OID may be given out again. */
extern void sf_punctuation_forget(Oid stream);

#endif /* SF_WATERMARK_H */
