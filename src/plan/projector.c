/*
 * projector.c
 *		From a group's data to a row of the view, or of its output table.
 *
 * A group becomes a virtual tuple (window_start, window_end, keys, aggregate results); HAVING and the row-wise top of
 * the query are PostgreSQL's expressions over it.  Closing and live reads use the same code, so a row looks the same
 * before and after its window is closed.
 */
#include "plan/fragment.h"

#include "executor/executor.h"
#include "utils/memutils.h"

#include "time/session.h"

struct SfProjector
{
	SfDefinition *definition; /* borrowed */
	ExprContext *econtext;
	ExprState *having;
	ProjectionInfo *projection;
	TupleTableSlot *group;
	List **direct; /* [naggs]: ExprState of direct arguments, over the group */
};

SfProjector *
sf_projector_create(EState *estate, SfDefinition *definition, bool output)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	SfProjector *projector = palloc0(sizeof(SfProjector));
	List *target = output ? definition->output_target : definition->target;
	TupleTableSlot *result;
	ListCell *cell;

	projector->definition = definition;
	projector->econtext = CreateExprContext(estate);
	projector->group = ExecInitExtraTupleSlot(estate, definition->group_desc, &TTSOpsVirtual);
	result = ExecInitExtraTupleSlot(estate, ExecTypeFromTL(target), &TTSOpsVirtual);
	if (definition->having != NULL)
		projector->having = ExecInitQual(list_make1(definition->having), NULL);
	projector->direct = palloc0(Max(definition->naggs, 1) * sizeof(List *));
	foreach (cell, definition->aggrefs)
		projector->direct[foreach_current_index(cell)] = ExecInitExprList(lfirst_node(Aggref, cell)->aggdirectargs,
		                                                                  NULL);
	projector->projection = ExecBuildProjectionInfo(target, projector->econtext, result, NULL, definition->group_desc);
	MemoryContextSwitchTo(old);
	return projector;
}

/* What an aggregate is to know of the group beside its rows. */
static void
compute_direct(SfProjector *projector, int i)
{
	SfAggregate *agg = projector->definition->layout->aggs[i];
	ListCell *cell;

	projector->econtext->ecxt_scantuple = projector->group;
	foreach (cell, projector->direct[i])
	{
		int arg = foreach_current_index(cell);

		agg->direct[arg] = ExecEvalExpr((ExprState *) lfirst(cell), projector->econtext, &agg->direct_nulls[arg]);
	}
}

static void
fill_group(SfProjector *projector, SfBlobSpace *blobs, SfTime start, SfTime end, const char *data)
{
	SfDefinition *definition = projector->definition;
	SfLayout *layout = definition->layout;
	TupleTableSlot *slot = projector->group;

	if (definition->session != NULL)
	{
		if (!sf_session_span(definition, data, &start, &end))
			elog(ERROR, "group of a session has no rows");
		end = sf_session_end(end, definition->session->gap);
	}
	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum(start);
	slot->tts_isnull[0] = false;
	slot->tts_values[1] = Int64GetDatum(end);
	slot->tts_isnull[1] = false;
	sf_group_keys(layout, blobs->area, data, slot->tts_values + 2, slot->tts_isnull + 2);
	ExecStoreVirtualTuple(slot);
	for (int i = 0; i < layout->naggs; i++)
	{
		int column = 2 + layout->nkeys + i;

		compute_direct(projector, i);
		slot->tts_values[column] = sf_aggregate_result(layout->aggs[i], blobs, data + layout->state_offset[i],
		                                               &slot->tts_isnull[column]);
	}
}

TupleTableSlot *
sf_projector_row(SfProjector *projector, SfBlobSpace *blobs, SfTime start, SfTime end, const char *data)
{
	ExprContext *econtext = projector->econtext;
	MemoryContext old;

	ResetExprContext(econtext);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	fill_group(projector, blobs, start, end, data);
	MemoryContextSwitchTo(old);

	econtext->ecxt_scantuple = projector->group;
	if (!ExecQual(projector->having, econtext))
		return NULL;
	return ExecProject(projector->projection);
}
