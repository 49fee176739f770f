/*
 * view_begin.c
 *		With what time a view begins that is made WITH NO DATA; and up to where the output in a dump goes.
 *
 * Both are questions to rows that are stored, asked once, in the command that makes the view or activates it.
 */
#include "plan/view_internal.h"

#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/* The greatest value that a stored row of a relation has for an expression, or SF_TIME_MINUS_INFINITY. */
SfTime
sf_greatest_stored(Oid relid, const char *expression)
{
	char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	SfTime result = SF_TIME_MINUS_INFINITY;
	Datum greatest;
	bool isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(psprintf("SELECT pg_catalog.max(%s) FROM %s", expression, name), false, 1) != SPI_OK_SELECT ||
	    SPI_processed != 1)
		elog(ERROR, "could not read the greatest time in relation %u", relid);
	greatest = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		result = DatumGetInt64(greatest);
	SPI_finish();
	return result;
}

/* The greatest time that is stored for a branch. */
static SfTime
greatest_of_branch(const SfDefinition *definition, const SfBranch *branch)
{
	List *context = deparse_context_for(get_rel_name(branch->stream), branch->stream);

	if (branch->time == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view without a window cannot be created with no data over stream \"%s\"",
		                       get_rel_name(branch->stream)),
		                errdetail("Without a watermark, rows that are stored cannot be told from those that come."),
		                errhint("Use streamfuse.set_watermark, or create the view with data.")));
	if (exprType((Node *) branch->time) != exprType((Node *) definition->branches[0].time))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("continuous view cannot be created with no data over streams with times of two types"),
		                errhint("Create the view with data.")));
	return sf_greatest_stored(branch->stream, deparse_expression((Node *) branch->time, context, true, false));
}

/*
 * WITH NO DATA: the view begins with the first window that starts after everything stored; without a window or with
 * sessions, with the first time.
 */
SfTime
sf_first_time_after_stored(SfDefinition *definition)
{
	SfTime greatest = SF_TIME_MINUS_INFINITY;
	SfWindowSpec pane;
	SfTime start;
	SfTime end;

	for (int i = 0; i < definition->nbranches; i++)
		greatest = Max(greatest, greatest_of_branch(definition, &definition->branches[i]));
	if (greatest == SF_TIME_MINUS_INFINITY)
		return SF_TIME_MINUS_INFINITY;
	if (!definition->has_window || definition->session != NULL)
		return greatest == SF_TIME_INFINITY ? greatest : greatest + 1;
	/* Windows begin where panes do. */
	sf_pane_spec(&definition->window, &pane);
	sf_window_of(&pane, greatest, &start, &end);
	return end;
}
