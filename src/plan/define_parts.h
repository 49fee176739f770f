/*
 * define_parts.h
 *		Steps of making a definition that stand apart from define.c.  Inside plan/.
 */
#ifndef SF_DEFINE_PARTS_H
#define SF_DEFINE_PARTS_H

#include "plan/fragment.h"

/* Sessions.  When nkeys is known: which of the keys are the session's. */
extern void sf_define_session_keys(SfDefinition *definition, const Bitmapset *keys);

/* When all other aggregates are there: those of the times. */
extern void sf_define_session_times(SfDefinition *definition);

/* When the layout is there: the one of the session's keys. */
extern void sf_define_session_layout(SfDefinition *definition);

/* The last step. */
extern void sf_define_output(SfDefinition *definition);

#endif							/* SF_DEFINE_PARTS_H */
