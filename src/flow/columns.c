/*
 * columns.c
 *		Which columns of a stream a definition needs.
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
collect_branch_columns(const SfDefinition *definition, const SfBranch *branch, bool times, Bitmapset **columns)
{
	if (times)
		sf_flow_collect_columns((Node *) branch->time, columns);
	if (times && branch->life_attnum > 0)
		*columns = bms_add_member(*columns, branch->life_attnum - 1);
	sf_flow_collect_columns((Node *) branch->filter, columns);
	sf_flow_collect_columns((Node *) branch->keys, columns);
	for (int agg = 0; agg < definition->naggs; agg++)
	{
		sf_flow_collect_columns((Node *) branch->inputs[agg], columns);
		sf_flow_collect_columns((Node *) branch->agg_filters[agg], columns);
	}
}

Bitmapset *
sf_flow_columns(const SfDefinition *definition, Oid stream, bool times)
{
	Bitmapset *columns = NULL;

	for (int i = 0; i < definition->nbranches; i++)
		if (definition->branches[i].stream == stream)
			collect_branch_columns(definition, &definition->branches[i], times, &columns);
	return columns;
}
