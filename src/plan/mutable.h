/*
 * mutable.h
 *		Which functions a continuous view may call: immutable ones, and a list of built-in stable ones.
 */
#ifndef SF_MUTABLE_H
#define SF_MUTABLE_H

#include "streamfuse.h"

#include "nodes/nodes.h"

typedef enum SfMutable
{
	SF_MUTABLE_NONE,			/* immutable only: above the aggregates, where the reader's settings would hold */
	SF_MUTABLE_LISTED,			/* also stable ones that depend on nothing but the view's frozen settings */
} SfMutable;

/* Raises ERRCODE_FEATURE_NOT_SUPPORTED naming the first function that is not allowed. */
extern void sf_refuse_mutable(Node *expression, SfMutable allowed);

/* Does the expression call anything whose result may depend on settings, or code of a user? */
extern bool sf_needs_settings(Node *expression);

#endif /* SF_MUTABLE_H */
