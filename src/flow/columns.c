/*
 * columns.c
 *		Which columns of the stream a definition needs.
 *
 * Only these are taken out of a row's tuple (batch.c) and asked of the owner's rights (worker/member.c): so every
 * expression over a row of the stream that is evaluated must be looked at here.  Nothing is evaluated, and no lock is taken.
 */
#include "flow/flow.h"

#include "access/sysattr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"

void
sf_flow_collect_columns(Node *node, Bitmapset **columns)
{
	Bitmapset *found = NULL;
	int member = -1;

	pull_varattnos(node, 1, &found);
	while ((member = bms_next_member(found, member)) >= 0)
		*columns = bms_add_member(*columns, member + FirstLowInvalidHeapAttributeNumber - 1);
}

static void
collect_aggref_columns(Aggref *aggref, Bitmapset **columns)
{
	sf_flow_collect_columns((Node *) aggref->args, columns);
	sf_flow_collect_columns((Node *) aggref->aggfilter, columns);
}

Bitmapset *
sf_flow_columns(const SfDefinition *definition)
{
	Bitmapset *columns = NULL;
	ListCell *cell;

	sf_flow_collect_columns((Node *) definition->time, &columns);
	if (definition->life_attnum > 0)
		columns = bms_add_member(columns, definition->life_attnum - 1);
	sf_flow_collect_columns((Node *) definition->filter, &columns);
	foreach (cell, definition->keys)
		sf_flow_collect_columns(lfirst(cell), &columns);
	foreach (cell, definition->aggrefs)
		collect_aggref_columns(lfirst(cell), &columns);
	return columns;
}
