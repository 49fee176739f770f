/*
 * memory.h
 *		The memory of an aggregate's states, for the functions of this folder.
 */
#ifndef SF_AGGREGATE_MEMORY_H
#define SF_AGGREGATE_MEMORY_H

#include "streamfuse.h"

#include "fmgr.h"

/* The memory that lives as long as the aggregate's states.  Raises when the function is not called by an aggregate. */
static inline MemoryContext
aggregate_memory(FunctionCallInfo fcinfo)
{
	MemoryContext memory;

	if (!AggCheckCallContext(fcinfo, &memory))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return memory;
}

#endif							/* SF_AGGREGATE_MEMORY_H */
