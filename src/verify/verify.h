/*
 * verify.h
 *		verify(): does what a continuous view answers equal its query run as a batch over the same rows?
 */
#ifndef SF_VERIFY_H
#define SF_VERIFY_H

#include "streamfuse.h"

extern void sf_verify_init(void);	/* from _PG_init */

#endif							/* SF_VERIFY_H */
