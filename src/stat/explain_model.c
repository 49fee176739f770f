/*
 * explain_model.c
 *		What streamfuse.explain() tells of a view, or of a query that might become one.
 *
 * The stages are those of the flow, from the view down to its streams: what is computed on read, groups, windows, the
 * stream with its filter and watermark.  Expressions are shown as PostgreSQL deparses them; those above the groups with
 * keys and aggregates put in, so that all are over the stream's columns and window_start and window_end.
 *
 * Figures are those of the last published tick; where no worker of this server has the view (on a standby, say), those
 * of the last commit.
 */
#include "stat/explain.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "flow/flow.h"
#include "output/commit.h"
#include "plan/branch.h"
#include "plan/hints.h"
#include "plan/view.h"
#include "stat/figures.h"
#include "state/catalog.h"
#include "stream/settings.h"
#include "worker/flush.h"

/* Range table of the shown expressions. */
#define STREAM_VARNO 1
#define WINDOW_VARNO 2 /* columns of the group that no row has: window_start, window_end, and */
#define SET_COLUMN 3   /* which of several grouping sets it is of */

typedef struct Model
{
	const SfDefinition *definition;
	Query *query;
	Oid view; /* or InvalidOid */
	SfFragmentRow *row;
	SfDataflow *dataflow;
	SfFigures figures;
	List *deparse_context;
} Model;

/* ---- expressions ---- */

static RangeTblEntry *
stream_entry(Oid stream)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = stream;
	entry->relkind = get_rel_relkind(stream);
	entry->rellockmode = AccessShareLock;
	entry->eref = makeAlias(get_rel_name(stream), NIL);
	return entry;
}

/* What the query reads: a stream, or a subquery, of which the names of the columns are enough. */
static RangeTblEntry *
read_entry(const Model *model)
{
	RangeTblEntry *read = rt_fetch(model->definition->row_varno, model->query->rtable);
	RangeTblEntry *entry;

	if (read->rtekind == RTE_RELATION)
		return stream_entry(read->relid);
	entry = makeNode(RangeTblEntry);
	entry->rtekind = RTE_VALUES;
	entry->eref = copyObject(read->eref);
	return entry;
}

/* For expressions over a row of that, and the columns of its window. */
static List *
make_deparse_context(RangeTblEntry *read)
{
	PlannedStmt *statement = makeNode(PlannedStmt);
	RangeTblEntry *window = makeNode(RangeTblEntry);

	window->rtekind = RTE_VALUES;
	window->eref = makeAlias(
	    "window", list_make3(makeString("window_start"), makeString("window_end"), makeString("grouping_set")));
	statement->rtable = list_make2(read, window);
	return deparse_context_for_plan_tree(statement, list_make2(read->eref->aliasname, "window"));
}

static Node *
window_column(const Var *var)
{
	return (Node *) makeVar(WINDOW_VARNO, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0);
}

/* Columns of the window, over a row of the stream. */
static Node *
put_in(Node *node, void *arg)
{
	Var *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && var->varno == INNER_VAR)
		return window_column(var);
	return expression_tree_mutator(node, put_in, NULL);
}

/* Columns of the group row become what they stand for. */
static Node *
put_in_groups(Node *node, void *arg)
{
	const SfDefinition *definition = arg;
	Var *var = (Var *) node;
	int column;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var))
		return expression_tree_mutator(node, put_in_groups, arg);
	column = var->varattno - 3;
	if (column < 0)
		return window_column(var);
	if (definition->nsets > 0 && column == definition->nkeys - 1)
		return (Node *) makeVar(WINDOW_VARNO, SET_COLUMN, INT4OID, -1, InvalidOid, 0);
	if (column < definition->nkeys)
		return put_in(list_nth(definition->keys, column), NULL);
	return put_in(list_nth(definition->aggrefs, column - definition->nkeys), NULL);
}

/* An expression over a row of what is read; NULL for none. */
static char *
row_text(const Model *model, const void *expr)
{
	Node *shown = put_in((Node *) expr, NULL);

	return shown == NULL ? NULL : deparse_expression(shown, model->deparse_context, false, false);
}

/* An expression over the group row. */
static char *
group_text(const Model *model, const void *expr)
{
	Node *shown = put_in_groups((Node *) expr, (void *) model->definition);

	return shown == NULL ? NULL : deparse_expression(shown, model->deparse_context, false, false);
}

/* ---- values ---- */

static char *
interval_text(const Interval *interval)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

/* ISO 8601 whatever DateStyle says, for people and programs alike; NULL for 0, which is no time. */
static char *
time_text(SfTime time, Oid type)
{
	return JsonEncodeDateTime(NULL, Int64GetDatum(time), type, NULL);
}

static SfExplainProperty *
clock_time(const char *key, const char *label, TimestampTz time)
{
	return time == 0 ? NULL : sf_explain_string(key, label, time_text(time, TIMESTAMPTZOID));
}

static char *
qualified_name(Oid relid)
{
	return DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)));
}

static Oid
event_time_type(const SfStreamSettings *settings)
{
	return settings->has_watermark ? settings->time_type : TIMESTAMPTZOID;
}

/* ---- the stream ---- */

static SfExplainProperty *
event_time(const SfStreamSettings *settings)
{
	if (!settings->has_watermark)
		return NULL;
	return sf_explain_list(
	    SF_EXPLAIN_OBJECT, "event_time", "Event Time",
	    list_make4(sf_explain_string("column", NULL, NameStr(settings->time_column)),
	               sf_explain_string("strategy", NULL, "fixed"),
	               sf_explain_string("delay", NULL, interval_text(&settings->delay)),
	               sf_explain_string("max_ahead", NULL,
	                                 settings->max_ahead_infinite ? "infinity" : interval_text(&settings->max_ahead))));
}

/* What keeps the watermark where it is. */
static const char *
holder(const Model *model, const SfStreamSettings *settings, SfTime watermark)
{
	const char *held_by;

	if (RecoveryInProgress())
		return "the primary server";
	if (model->row == NULL)
		return "REFRESH MATERIALIZED VIEW";
	if (model->row->paused)
		return "the paused view";
	if (!model->figures.found)
		return "a worker process";
	held_by = sf_held_by(model->dataflow, &model->figures, settings);
	if (settings->has_watermark && watermark == SF_TIME_MINUS_INFINITY && strcmp(held_by, "later rows") == 0)
		return "the first row";
	return held_by;
}

/* Since when; 0: not known. */
static TimestampTz
held_since(const SfFigures *figures)
{
	if (figures->status == SF_FRAGMENT_FAILED)
		return figures->standing.failed_at;
	return figures->standing.behind_since != 0 ? figures->standing.behind_since : figures->standing.last_rows;
}

/* A number or time that the last commit has made durable, or what there is before the first. */
static int64
committed(const Model *model, int column, int64 before)
{
	SfCatalog *progress = sf_catalog_open("progress", AccessShareLock);
	int64 value = before;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, SF_PROGRESS_FRAGMENT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(model->row->id));
	scan = sf_catalog_scan_begin(progress, "progress_pkey", 1, &key, NULL);
	tuple = sf_catalog_scan_next(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;

		value = DatumGetInt64(heap_getattr(tuple, column + 1, RelationGetDescr(sf_catalog_table(progress)), &isnull));
	}
	sf_catalog_scan_end(scan);
	sf_catalog_close(progress, AccessShareLock);
	return value;
}

/* Of several streams the view's watermark is held by the one whose own is lowest. */
static void
add_watermark(SfExplainNode *node, const Model *model, const SfStreamSettings *settings, int input)
{
	const SfFigures *figures = &model->figures;
	const SfSourceState *source = sf_figures_source(figures, input);
	Oid type = event_time_type(settings);
	SfTime watermark = SF_TIME_MINUS_INFINITY;

	sf_explain_add(node, event_time(settings));
	if (!OidIsValid(model->view))
		return;
	if (model->row != NULL)
		watermark = source != NULL ? source->watermark
		                           : committed(model, SF_PROGRESS_WATERMARK, SF_TIME_MINUS_INFINITY);
	if (model->row != NULL)
		sf_explain_add(node, sf_explain_string("watermark", "Watermark", time_text(watermark, type)));
	if (source != NULL && source->max_event != SF_TIME_MINUS_INFINITY)
		sf_explain_add(
		    node, sf_explain_string("largest_event_time", "Largest Event Time", time_text(source->max_event, type)));
	if (model->row != NULL && input != sf_figures_holder(model->row, figures))
		return;
	sf_explain_add(node, sf_explain_string("held_by", "Watermark Waits for", holder(model, settings, watermark)));
	if (figures->found)
		sf_explain_add(node, clock_time("held_since", "Since", held_since(figures)));
}

/* A branch of the query, and its stream. */
static SfExplainNode *
stream_node(const Model *model, const SfBranch *branch)
{
	const SfDefinition *definition = model->definition;
	Oid stream = branch->stream;
	SfExplainNode *node = sf_explain_node("stream", "Stream", qualified_name(stream));
	Bitmapset *columns = sf_flow_columns(definition, stream, true);
	Node *filter = put_in((Node *) branch->filter, NULL);
	List *names = NIL;
	SfStreamSettings settings;
	int column = -1;

	while ((column = bms_next_member(columns, column)) >= 0)
		names = lappend(names, get_attname(stream, column + 1, false));
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_WORDS, "columns", "Columns", names));
	if (filter != NULL)
		sf_explain_add(node, sf_explain_string(
		                         "filter", "Filter",
		                         deparse_expression(filter, make_deparse_context(stream_entry(stream)), false, false)));
	sf_stream_settings_get(stream, &settings);
	add_watermark(node, model, &settings, sf_definition_input(definition, stream));
	return node;
}

/* What is read: a stream, or the branches of a UNION ALL. */
static SfExplainNode *
read_node(const Model *model)
{
	const SfDefinition *definition = model->definition;
	SfExplainNode *node;

	if (definition->nbranches == 1)
		return stream_node(model, &definition->branches[0]);
	node = sf_explain_node("union_all", "Union All", NULL);
	for (int i = 0; i < definition->nbranches; i++)
		node->inputs = lappend(node->inputs, stream_node(model, &definition->branches[i]));
	return node;
}

/* ---- windows ---- */

static char *
length_text(SfWindowUnit unit, int64 length)
{
	Interval interval = {0};

	if (unit == SF_UNIT_MONTHS)
		interval.month = length;
	else if (unit == SF_UNIT_DAYS)
		interval.day = length;
	else
		interval.time = length;
	return interval_text(&interval);
}

typedef struct KindWords
{
	const char *key;
	const char *label;
} KindWords;

static const KindWords kind_words[] = {
    [SF_WINDOW_TUMBLE] = {"tumble", "Tumbling Windows"},
    [SF_WINDOW_HOP] = {"hop", "Hopping Windows"},
    [SF_WINDOW_CUMULATE] = {"cumulate", "Cumulating Windows"},
    [SF_WINDOW_SESSION] = {"session", "Sessions"},
};

/* The call of the window function in FROM, or NULL. */
static FuncExpr *
window_call(const Query *query)
{
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);
		RangeTblFunction *function;
		SfWindowKind kind;

		if (rte->rtekind != RTE_FUNCTION)
			continue;
		function = linitial_node(RangeTblFunction, rte->functions);
		if (IsA(function->funcexpr, FuncExpr) &&
		    sf_is_window_function(((FuncExpr *) function->funcexpr)->funcid, &kind))
			return (FuncExpr *) function->funcexpr;
	}
	return NULL;
}

/* The offset that the window function is called with. */
static SfExplainProperty *
window_offset(const Model *model)
{
	FuncExpr *call = window_call(model->query);
	Const *offset;
	Interval *interval;

	if (call == NULL || model->definition->window.kind == SF_WINDOW_SESSION)
		return NULL;
	call = castNode(FuncExpr, eval_const_expressions(NULL, (Node *) call));
	offset = (Const *) list_nth(call->args, model->definition->window.kind == SF_WINDOW_TUMBLE ? 2 : 3);
	if (!IsA(offset, Const) || offset->constisnull)
		return NULL;
	interval = DatumGetIntervalP(offset->constvalue);
	if (interval->month == 0 && interval->day == 0 && interval->time == 0)
		return NULL;
	return sf_explain_string("offset", "Offset", interval_text(interval));
}

/* The expression of GROUP BY that is the window's start, where there is no window function. */
static SfExplainProperty *
window_expression(const Model *model)
{
	Node *start;

	if (window_call(model->query) != NULL || model->definition->window_start == NULL)
		return NULL;
	start = (Node *) copyObject(model->definition->window_start);
	ChangeVarNodes(start, model->definition->row_varno, STREAM_VARNO, 0);
	return sf_explain_string("expression", "Window Start", row_text(model, start));
}

static SfExplainProperty *
panes(const SfWindowSpec *window)
{
	SfWindowSpec pane;

	if (window->kind == SF_WINDOW_SESSION)
		return sf_explain_list(SF_EXPLAIN_OBJECT, "panes", "Panes",
		                       list_make1(sf_explain_string("size", NULL, length_text(window->unit, window->size))));
	if (window->kind == SF_WINDOW_TUMBLE)
		return NULL;
	sf_pane_spec(window, &pane);
	return sf_explain_list(SF_EXPLAIN_OBJECT, "panes", "Panes",
	                       list_make2(sf_explain_string("size", NULL, length_text(pane.unit, pane.size)),
	                                  sf_explain_number("per_window", NULL, window->size / pane.size)));
}

/* What keeps sessions apart. */
static List *
session_keys(const Model *model)
{
	const SfSessionSpec *session = model->definition->session;
	List *keys = NIL;

	for (int i = 0; i < session->nkeys; i++)
		keys = lappend(keys, row_text(model, list_nth(model->definition->keys, session->keys[i])));
	return keys;
}

static SfExplainNode *
window_node(const Model *model)
{
	const SfWindowSpec *window = &model->definition->window;
	const SfWindowSpec *shown = window->unit == SF_UNIT_WINDOWS ? window->coarse : window;
	const SfWindowSpec *called = window->unit == SF_UNIT_WINDOWS ? window->fine : window;
	SfExplainNode *node = sf_explain_node("window", kind_words[window->kind].label, NULL);

	sf_explain_add(node, sf_explain_string("kind", "Kind", kind_words[window->kind].key));
	sf_explain_add(node, sf_explain_string("time", "Time", row_text(model, model->definition->time)));
	sf_explain_add(node, window_expression(model));
	if (window->kind == SF_WINDOW_SESSION)
	{
		sf_explain_add(node, sf_explain_string("gap", "Gap", length_text(window->unit, window->size)));
		sf_explain_add(node, sf_explain_list(SF_EXPLAIN_WORDS, "session_keys", "Session Key", session_keys(model)));
	}
	else
		sf_explain_add(node, sf_explain_string("size", "Size", length_text(shown->unit, shown->size)));
	if (window->unit == SF_UNIT_WINDOWS)
		sf_explain_add(node, sf_explain_string("of_windows", "Of Windows of",
		                                       length_text(window->fine->unit, window->fine->size)));
	if (window->kind == SF_WINDOW_HOP)
		sf_explain_add(node, sf_explain_string("slide", "Slide", length_text(window->unit, window->step)));
	if (window->kind == SF_WINDOW_CUMULATE)
		sf_explain_add(node, sf_explain_string("step", "Step", length_text(window->unit, window->step)));
	sf_explain_add(node, window_offset(model));
	if (called->zone != NULL && window_call(model->query) != NULL)
		sf_explain_add(node, sf_explain_string("timezone", "Time Zone", pg_get_timezone_name(called->zone)));
	sf_explain_add(node, panes(window));
	node->inputs = list_make1(read_node(model));
	return node;
}

/* ---- groups ---- */

static const char *
comparison(SfKeyKind kind)
{
	return kind == SF_KEY_DATUM ? "value" : kind == SF_KEY_BYTES ? "bytes" : "operator";
}

static List *
key_items(const Model *model)
{
	const SfDefinition *definition = model->definition;
	List *items = NIL;

	for (int i = 0; i < definition->nkeys - (definition->nsets > 0 ? 1 : 0); i++)
	{
		const SfKeyColumn *key = &definition->layout->keys[i];

		items = lappend(
		    items, sf_explain_item(
		               sf_explain_string("expression", NULL, row_text(model, list_nth(definition->keys, i))),
		               list_make2(sf_explain_string("type", NULL, format_type_with_typemod(key->type, key->typmod)),
		                          sf_explain_string("compared_by", NULL, comparison(key->kind)))));
	}
	return items;
}

/* The keys of each grouping set, as GROUP BY GROUPING SETS writes them. */
static List *
set_sentences(const Model *model)
{
	const SfDefinition *definition = model->definition;
	List *sentences = NIL;

	for (int set = 0; set < definition->nsets; set++)
	{
		StringInfoData sentence;

		initStringInfo(&sentence);
		for (int key = 0; key < definition->nkeys - 1; key++)
			if ((definition->sets[set] & (UINT64CONST(1) << key)) != 0)
				appendStringInfo(&sentence, "%s%s", sentence.len > 0 ? ", " : "",
				                 row_text(model, list_nth(definition->keys, key)));
		sentences = lappend(sentences, psprintf("(%s)", sentence.data));
	}
	return sentences;
}

static const char *
state_word(SfStateKind kind)
{
	switch (kind)
	{
		case SF_STATE_KERNEL:
			return "kernel";
		case SF_STATE_VALUE:
			return "value";
		case SF_STATE_SERIALISED:
			return "serialised";
		case SF_STATE_LIST:
			return "list";
		case SF_STATE_SET:
			return "set";
	}
	return NULL;
}

/* The aggregate whose state aggregate i uses, or i. */
static int
state_owner(const SfLayout *layout, int i)
{
	int owner = 0;

	if (!layout->shares_state[i])
		return i;
	while (owner < i && (layout->shares_state[owner] || layout->state_offset[owner] != layout->state_offset[i]))
		owner++;
	return owner;
}

static List *
aggregate_items(const Model *model)
{
	const SfDefinition *definition = model->definition;
	const SfLayout *layout = definition->layout;
	List *items = NIL;

	for (int i = 0; i < definition->naggs; i++)
	{
		const SfAggregate *agg = layout->aggs[i];
		int owner = state_owner(layout, i);
		List *details = list_make1(sf_explain_string("state", NULL, state_word(sf_aggregate_state_kind(agg))));

		if (owner == i)
			details = lappend(details, sf_explain_number("bytes", NULL, agg->size));
		else
			details = lappend(
			    details, sf_explain_string("shared_with", NULL, row_text(model, list_nth(definition->aggrefs, owner))));
		if (owner == i && (agg->blob_offset >= 0 || agg->list_offset >= 0))
			details = lappend(details, sf_explain_bool("grows", NULL, true));
		items = lappend(
		    items, sf_explain_item(sf_explain_string("call", NULL, row_text(model, list_nth(definition->aggrefs, i))),
		                           details));
	}
	return items;
}

/* With a finite state_ttl. */
static void
add_forgotten(SfExplainNode *node, const Model *model)
{
	SfStreamSettings settings;
	SfGlance glance;

	if (!OidIsValid(model->view) || model->dataflow == NULL ||
	    !sf_fragment_glance(model->dataflow, model->view, &glance) || glance.forgotten_before <= SF_LIFE_LEAST)
		return;
	sf_stream_settings_get(model->definition->streams[0], &settings);
	sf_explain_add(node, sf_explain_string("forgotten_before", "Forgotten before",
	                                       time_text(glance.forgotten_before, event_time_type(&settings))));
}

static SfExplainNode *
group_node(const Model *model)
{
	const SfDefinition *definition = model->definition;
	SfExplainNode *node = sf_explain_node("groups", definition->single_row ? "Aggregate" : "Group Aggregate", NULL);

	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_ITEMS, "keys", "Group Key", key_items(model)));
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_SENTENCES, "grouping_sets", "Grouping Set", set_sentences(model)));
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_ITEMS, "aggregates", "Aggregate", aggregate_items(model)));
	sf_explain_add(node, sf_explain_number("group_bytes", "Bytes per Group",
	                                       MAXALIGN(offsetof(SfGroup, data) + definition->layout->data_size)));
	add_forgotten(node, model);
	node->inputs = list_make1(sf_is_windowless(definition) ? read_node(model) : window_node(model));
	return node;
}

/* ---- the view ---- */

static List *
column_items(const Model *model)
{
	const SfDefinition *definition = model->definition;
	List *items = NIL;
	ListCell *cell;

	foreach (cell, definition->target)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		bool computed = !IsA(entry->expr, Var);

		items = lappend(
		    items, sf_explain_item(sf_explain_string("name", NULL, entry->resname),
		                           list_make2(sf_explain_string("expression", NULL, group_text(model, entry->expr)),
		                                      computed ? sf_explain_string("computed", NULL, "on read") : NULL)));
	}
	return items;
}

static List *
index_items(Oid table)
{
	Relation rel = table_open(table, AccessShareLock);
	List *items = NIL;
	ListCell *cell;

	foreach (cell, RelationGetIndexList(rel))
		items = lappend(items, sf_explain_item(sf_explain_string("name", NULL, get_rel_name(lfirst_oid(cell))),
		                                       list_make1(sf_explain_string(
		                                           "columns", NULL, pg_get_indexdef_columns(lfirst_oid(cell), true)))));
	table_close(rel, NoLock);
	return items;
}

static SfExplainProperty *
option_object(Oid view)
{
	List *members = NIL;
	ListCell *cell;

	foreach (cell, sf_view_user_options(view))
	{
		DefElem *option = lfirst_node(DefElem, cell);

		members = lappend(members, sf_explain_string(option->defname, NULL, defGetString(option)));
	}
	return sf_explain_list(SF_EXPLAIN_OBJECT, "options", "Options", members);
}

/* What has left memory, as of the last commit. */
static SfExplainProperty *
disk_object(const Model *model)
{
	int64 groups = committed(model, SF_PROGRESS_SPILLED_GROUPS, 0);

	return groups == 0 ? NULL
	                   : sf_explain_list(SF_EXPLAIN_OBJECT, "disk", "Disk",
	                                     list_make2(sf_explain_number("groups", NULL, groups),
	                                                sf_explain_number("bytes", NULL,
	                                                                  committed(model, SF_PROGRESS_SPILLED_BYTES, 0))));
}

static SfExplainProperty *
memory_object(const SfFigures *figures, const SfDefinition *definition)
{
	List *members = list_make3(sf_explain_number("groups", NULL, figures->groups),
	                           sf_explain_number("bytes", NULL, figures->bytes),
	                           sf_explain_number("reader_bytes", NULL, figures->undo_bytes));

	if (!sf_is_windowless(definition) && !definition->stateless)
		members = lappend(members, sf_explain_number(definition->layout->in_panes ? "open_panes" : "open_windows", NULL,
		                                             figures->open_windows));
	return sf_explain_list(SF_EXPLAIN_OBJECT, "memory", "Memory", members);
}

static void
add_view(SfExplainNode *node, const Model *model)
{
	const SfFigures *figures = &model->figures;
	Oid output = sf_view_output(model->view);

	sf_explain_add(node, sf_explain_string("status", "Status",
	                                       model->row == NULL ? "inert"
	                                       : RecoveryInProgress() || model->dataflow == NULL
	                                           ? (model->row->paused ? "paused" : NULL)
	                                           : sf_status_name(model->dataflow, figures, model->row)));
	if (figures->error_message[0] != '\0')
		sf_explain_add(node, sf_explain_string("error", "Error",
		                                       sf_may_see_error(model->view) ? figures->error_message
		                                                                     : "<insufficient privilege>"));
	sf_explain_add(node, option_object(model->view));
	if (OidIsValid(output))
	{
		sf_explain_add(node, sf_explain_string("output", "Closed Rows", qualified_name(output)));
		sf_explain_add(node, sf_explain_list(SF_EXPLAIN_ITEMS, "indexes", "Index", index_items(output)));
	}
	if (figures->found)
		sf_explain_add(node, memory_object(figures, model->definition));
	if (model->row != NULL)
		sf_explain_add(node, disk_object(model));
}

static List *
hint_sentences(const Model *model)
{
	List *hints = OidIsValid(model->view) ? sf_view_hints(model->view)
	                                      : sf_hints(model->query, !sf_is_windowless(model->definition));
	List *sentences = NIL;
	ListCell *cell;

	if (OidIsValid(model->view) && model->row == NULL)
		sentences = lappend(sentences, SF_HINT_INERT);
	foreach (cell, hints)
		sentences = lappend(sentences, ((SfHint *) lfirst(cell))->message);
	return sentences;
}

SfExplainNode *
sf_explain_model(const SfDefinition *definition, Query *query, Oid view)
{
	Model model = {.definition = definition, .query = sf_union_as_subquery(query), .view = view};
	SfExplainNode *node = OidIsValid(view) ? sf_explain_node("view", "Continuous View", qualified_name(view))
	                                       : sf_explain_node("query", "Continuous Query", NULL);
	List *exemptions = OidIsValid(view) ? sf_view_exemptions(view) : sf_query_exemptions(query);

	model.deparse_context = make_deparse_context(read_entry(&model));
	if (OidIsValid(view))
	{
		model.row = OidIsValid(sf_view_output(view)) ? sf_fragment_row(view) : NULL;
		model.dataflow = sf_dataflow_get(MyDatabaseId, false);
		sf_figures_get(model.dataflow, view, &model.figures);
		add_view(node, &model);
	}
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_ITEMS, "columns", "Output", column_items(&model)));
	sf_explain_add(node, sf_explain_string("having", "Having", group_text(&model, definition->having)));
	sf_explain_add(node, sf_explain_bool("exact", "Exact", exemptions == NIL));
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_SENTENCES, "exemptions", "Exemption", exemptions));
	sf_explain_add(node, sf_explain_list(SF_EXPLAIN_SENTENCES, "hints", "Hint", hint_sentences(&model)));
	if (!definition->stateless)
		node->inputs = list_make1(group_node(&model));
	else
		node->inputs = list_make1(definition->has_window ? window_node(&model) : read_node(&model));
	return node;
}
