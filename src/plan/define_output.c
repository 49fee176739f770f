/*
 * define_output.c
 *		The output table of a definition: the view's columns, then what it takes to find and read a closed group again.
 *
 * The last step of define.c, once target, keys and window are known.  The view's columns come first and in its order, so
 * that reading closed windows is a plain scan of them; names of the others give way to the view's.  The same definition
 * gives the same columns in every process, and a restored table is told by them.
 */
#include "plan/fragment.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "plan/define_parts.h"

AttrNumber
sf_view_column(const SfDefinition *definition, AttrNumber group_column)
{
	for (int i = 0; i < list_length(definition->target); i++)
		if (definition->view_column[i] == group_column)
			return i + 1;
	return 0;
}

static void
init_column(TupleDesc desc, AttrNumber attno, const char *name, Node *expr)
{
	TupleDescInitEntry(desc, attno, name, exprType(expr), exprTypmod(expr), 0);
	TupleDescInitEntryCollation(desc, attno, exprCollation(expr));
}

static char *
unused_name(TupleDesc desc, int nattrs, char *name)
{
	for (int i = 0; i < nattrs; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return unused_name(desc, nattrs, psprintf("%s_", name));
	return name;
}

/* Adds a column of the group row to the output table unless the view shows it; returns its number there. */
static AttrNumber
output_column(SfDefinition *definition, AttrNumber group_column, int *natts)
{
	Form_pg_attribute column = TupleDescAttr(definition->group_desc, group_column - 1);
	AttrNumber shown = sf_view_column(definition, group_column);
	Var *var;
	char *name;

	if (shown != 0)
		return shown;
	var = makeVar(1, group_column, column->atttypid, column->atttypmod, column->attcollation, 0);
	name = unused_name(definition->output_desc, *natts, pstrdup(NameStr(column->attname)));
	(*natts)++;
	init_column(definition->output_desc, *natts, name, (Node *) var);
	definition->output_target = lappend(definition->output_target, makeTargetEntry((Expr *) var, *natts, name, false));
	return *natts;
}

void
sf_define_output(SfDefinition *definition)
{
	int ncolumns = list_length(definition->target);
	int natts = 0;
	ListCell *cell;

	definition->view_column = palloc0(Max(ncolumns, 1) * sizeof(AttrNumber));
	definition->output_keys = palloc0(Max(definition->nkeys, 1) * sizeof(AttrNumber));
	definition->output_desc = CreateTemplateTupleDesc(ncolumns + 1 + 2 + definition->nkeys);
	foreach (cell, definition->target)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Var *var = (Var *) entry->expr;

		if (IsA(var, Var) && var->varattno <= 2 + definition->nkeys && !definition->stateless)
			definition->view_column[natts] = var->varattno;
		natts++;
		init_column(definition->output_desc, natts, entry->resname, (Node *) entry->expr);
		definition->output_target = lappend(definition->output_target, entry);
	}
	natts++;
	TupleDescInitEntry(definition->output_desc, natts,
	                   unused_name(definition->output_desc, natts - 1, pstrdup("closed_xid")), XID8OID, -1, 0);
	definition->output_closed_xid = natts;
	definition->output_target = lappend(
	    definition->output_target,
	    makeTargetEntry((Expr *) makeNullConst(XID8OID, -1, InvalidOid), natts, pstrdup("closed_xid"), false));
	if (!sf_is_windowless(definition) && !definition->stateless)
	{
		definition->output_window_start = output_column(definition, 1, &natts);
		definition->output_window_end = output_column(definition, 2, &natts);
	}
	for (int key = 0; key < definition->nkeys && !definition->stateless; key++)
		if (!sf_is_session_key(definition, key))
			definition->output_keys[key] = output_column(definition, 3 + key, &natts);

	/* What was reserved and not needed is cut off. */
	definition->output_desc = sf_truncated_desc(definition->output_desc, natts);
}
