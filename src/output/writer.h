/*
 * writer.h
 *		Appends rows to a view's output table, with its indexes, constraints and triggers.
 */
#ifndef SF_WRITER_H
#define SF_WRITER_H

#include "streamfuse.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

typedef struct SfWriter SfWriter;

/* The relation stays open and locked RowExclusiveLock by the caller until after end.  Needs an active snapshot. */
extern SfWriter *sf_writer_begin(Relation output);
extern EState *sf_writer_estate(SfWriter *writer);
extern void sf_writer_insert(SfWriter *writer, TupleTableSlot *row);
extern void sf_writer_end(SfWriter *writer);

#endif /* SF_WRITER_H */
