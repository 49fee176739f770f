/*
 * writer.c
 *		Appends rows to an output table.
 *
 * Rows go in by the hundred with table_multi_insert, as COPY does it.  Where a user has put row triggers on the table
 * each row goes the executor's single-row way, which fires them.
 */
#include "output/writer.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define WRITER_ROWS 500

struct SfWriter
{
	Relation output; /* borrowed */
	EState *estate;
	ResultRelInfo *target;
	bool row_by_row;
	CommandId cid;
	BulkInsertState bulk;
	TupleTableSlot *slots[WRITER_ROWS];
	int nslots; /* made */
	int nrows;  /* filled */
};

static bool
has_row_triggers(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	return triggers != NULL &&
	       (triggers->trig_insert_before_row || triggers->trig_insert_after_row || triggers->trig_insert_instead_row);
}

SfWriter *
sf_writer_begin(Relation output)
{
	SfWriter *writer = palloc0(sizeof(SfWriter));
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(output);
	rte->relkind = output->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	writer->output = output;
	writer->estate = CreateExecutorState();
	sf_init_range_table(writer->estate, list_make1(rte));
	writer->cid = GetCurrentCommandId(true);
	writer->estate->es_output_cid = writer->cid;
	writer->target = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->target, output, 1, NULL, 0);
	ExecOpenIndices(writer->target, false);
	/* For AFTER triggers, which would open the table once more and leave it open. */
	writer->estate->es_opened_result_relations = list_make1(writer->target);
	writer->row_by_row = has_row_triggers(output);
	if (writer->row_by_row)
		AfterTriggerBeginQuery();
	else
		writer->bulk = GetBulkInsertState();
	return writer;
}

EState *
sf_writer_estate(SfWriter *writer)
{
	return writer->estate;
}

static void
write_rows(SfWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));

	CHECK_FOR_INTERRUPTS();
	if (writer->output->rd_att->constr != NULL)
		for (int i = 0; i < writer->nrows; i++)
			ExecConstraints(writer->target, writer->slots[i], writer->estate);
	table_multi_insert(writer->output, writer->slots, writer->nrows, writer->cid, 0, writer->bulk);
	for (int i = 0; i < writer->nrows; i++)
	{
		if (writer->target->ri_NumIndices > 0)
			list_free(sf_insert_index_entries(writer->target, writer->slots[i], writer->estate));
		ExecClearTuple(writer->slots[i]);
	}
	writer->nrows = 0;
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(writer->estate);
}

static TupleTableSlot *
next_slot(SfWriter *writer)
{
	if (writer->nrows == writer->nslots)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->estate->es_query_cxt);

		writer->slots[writer->nslots++] = table_slot_create(writer->output, &writer->estate->es_tupleTable);
		MemoryContextSwitchTo(old);
	}
	return writer->slots[writer->nrows];
}

void
sf_writer_insert(SfWriter *writer, TupleTableSlot *row)
{
	TupleTableSlot *slot = next_slot(writer);

	ExecCopySlot(slot, row);
	if (writer->row_by_row)
	{
		CHECK_FOR_INTERRUPTS();
		ExecSimpleRelationInsert(writer->target, writer->estate, slot);
		ExecClearTuple(slot);
		ResetPerTupleExprContext(writer->estate);
		return;
	}
	writer->nrows++;
	if (writer->nrows == WRITER_ROWS)
		write_rows(writer);
}

void
sf_writer_end(SfWriter *writer)
{
	if (writer->nrows > 0)
		write_rows(writer);
	if (writer->row_by_row)
		AfterTriggerEndQuery(writer->estate);
	else
	{
		FreeBulkInsertState(writer->bulk);
		table_finish_bulk_insert(writer->output, 0);
	}
	ExecCloseIndices(writer->target);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	FreeExecutorState(writer->estate);
	pfree(writer);
}
