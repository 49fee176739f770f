/*
 * view_functions.c
 *		The SQL functions that tell about one continuous view: its output table, its status, hints.
 *
 * They read catalogs and shared memory and change nothing.  What they say of a view's status is a glance: it may be
 * another one by the time the row is shown.
 */
#include "plan/view.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "state/shared.h"
#include "stream/settings.h"

PG_FUNCTION_INFO_V1(streamfuse_output);
PG_FUNCTION_INFO_V1(streamfuse_view_status);
PG_FUNCTION_INFO_V1(streamfuse_view_hints);

/* streamfuse.output(view): the table of closed results. */
Datum
streamfuse_output(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);

	sf_require_preload();
	if (get_rel_name(view) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", view)));
	if (!sf_is_continuous_view(view))
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a continuous view", get_rel_name(view))));
	sf_view_require_active(view);
	PG_RETURN_OID(sf_view_output(view));
}

/*
 * streamfuse.view_status(view): inert, starting, backfilling, running, retrying, paused or failed.  A view that the
 * worker does not know yet is starting.
 */
Datum
streamfuse_view_status(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	SfFragmentRow *row;
	SfGlance glance;

	sf_require_preload();
	if (!sf_is_continuous_view(view))
		PG_RETURN_NULL();
	row = OidIsValid(sf_view_output(view)) ? sf_fragment_row(view) : NULL;
	if (row == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("inert"));
	if (!sf_fragment_glance(sf_dataflow_get(MyDatabaseId, false), view, &glance))
		glance = (SfGlance){.status = SF_FRAGMENT_STARTING, .resumes = row->resumes};
	PG_RETURN_TEXT_P(cstring_to_text(
	    sf_status_word(glance.status, glance.retry_at != 0, row->paused, glance.resumes != row->resumes)));
}

/* streamfuse.view_hints(view, stream): what its user should know, one sentence each; an empty array is best. */
Datum
streamfuse_view_hints(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	Oid stream = PG_GETARG_OID(1);
	ArrayBuildState *hints = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	sf_require_preload();
	if (PG_ARGISNULL(0) || !sf_is_continuous_view(view))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1) || !OidIsValid(sf_view_output(view)))
		hints = accumArrayResult(hints, CStringGetTextDatum("use REFRESH MATERIALIZED VIEW to activate the view"),
		                         false, TEXTOID, CurrentMemoryContext);
	else
	{
		SfStreamSettings settings;

		sf_stream_settings_get(stream, &settings);
		if (!settings.has_watermark)
			hints = accumArrayResult(hints,
			                         CStringGetTextDatum(psprintf(
			                             "stream \"%s\" has no watermark: windows do not close", get_rel_name(stream))),
			                         false, TEXTOID, CurrentMemoryContext);
	}
	PG_RETURN_DATUM(makeArrayResult(hints, CurrentMemoryContext));
}
