/*
 * explain_print.c
 *		What streamfuse.explain() tells, printed: as text in the look of EXPLAIN, as JSON, as a graph.
 *
 * Nothing here knows what a view is: nodes, properties and lists of items are printed as they come.  Text and graph say
 * the same lines of a node.
 */
#include "stat/explain.h"

#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* ---- making the tree ---- */

SfExplainNode *
sf_explain_node(const char *key, const char *label, const char *name)
{
	SfExplainNode *node = palloc0(sizeof(SfExplainNode));

	node->key = key;
	node->label = label;
	node->name = name;
	return node;
}

static SfExplainProperty *
make_property(SfExplainKind kind, const char *key, const char *label)
{
	SfExplainProperty *property = palloc0(sizeof(SfExplainProperty));

	property->kind = kind;
	property->key = key;
	property->label = label;
	return property;
}

static void
set_string(JsonbValue *value, const char *string)
{
	value->type = jbvString;
	value->val.string.val = pstrdup(string);
	value->val.string.len = strlen(string);
}

SfExplainProperty *
sf_explain_string(const char *key, const char *label, const char *value)
{
	SfExplainProperty *property = make_property(SF_EXPLAIN_SCALAR, key, label);

	if (value == NULL)
		return NULL;
	set_string(&property->scalar, value);
	return property;
}

SfExplainProperty *
sf_explain_number(const char *key, const char *label, int64 value)
{
	SfExplainProperty *property = make_property(SF_EXPLAIN_SCALAR, key, label);

	property->scalar.type = jbvNumeric;
	property->scalar.val.numeric = int64_to_numeric(value);
	return property;
}

SfExplainProperty *
sf_explain_bool(const char *key, const char *label, bool value)
{
	SfExplainProperty *property = make_property(SF_EXPLAIN_SCALAR, key, label);

	property->scalar.type = jbvBool;
	property->scalar.val.boolean = value;
	return property;
}

SfExplainProperty *
sf_explain_list(SfExplainKind kind, const char *key, const char *label, List *members)
{
	SfExplainProperty *property = make_property(kind, key, label);

	property->members = members;
	return property;
}

SfExplainItem *
sf_explain_item(SfExplainProperty *head, List *details)
{
	SfExplainItem *item = palloc0(sizeof(SfExplainItem));
	ListCell *cell;

	item->head = head;
	foreach (cell, details)
		if (lfirst(cell) != NULL)
			item->details = lappend(item->details, lfirst(cell));
	return item;
}

void
sf_explain_add(SfExplainNode *node, SfExplainProperty *property)
{
	if (property != NULL && (property->kind == SF_EXPLAIN_SCALAR || property->members != NIL))
		node->properties = lappend(node->properties, property);
}

/* ---- lines, for people ---- */

static char *
scalar_text(const SfExplainProperty *property)
{
	switch (property->scalar.type)
	{
		case jbvString:
			return property->scalar.val.string.val;
		case jbvBool:
			return property->scalar.val.boolean ? "yes" : "no";
		default:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(property->scalar.val.numeric)));
	}
}

/* key=value, key=value */
static char *
details_text(List *details)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, details)
	{
		SfExplainProperty *detail = lfirst(cell);

		appendStringInfo(&text, "%s%s=%s", text.len > 0 ? ", " : "", detail->key, scalar_text(detail));
	}
	return text.data;
}

static char *
words_text(List *words)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, words)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", (char *) lfirst(cell));
	return text.data;
}

static char *
item_text(const SfExplainItem *item)
{
	if (item->details == NIL)
		return scalar_text(item->head);
	return psprintf("%s  (%s)", scalar_text(item->head), details_text(item->details));
}

static List *
add_property_lines(List *lines, const SfExplainProperty *property)
{
	ListCell *cell;

	switch (property->kind)
	{
		case SF_EXPLAIN_SCALAR:
			return lappend(lines, psprintf("%s: %s", property->label, scalar_text(property)));
		case SF_EXPLAIN_OBJECT:
			return lappend(lines, psprintf("%s: %s", property->label, details_text(property->members)));
		case SF_EXPLAIN_WORDS:
			return lappend(lines, psprintf("%s: %s", property->label, words_text(property->members)));
		case SF_EXPLAIN_SENTENCES:
			foreach (cell, property->members)
				lines = lappend(lines, psprintf("%s: %s", property->label, (char *) lfirst(cell)));
			return lines;
		case SF_EXPLAIN_ITEMS:
			foreach (cell, property->members)
				lines = lappend(lines, psprintf("%s: %s", property->label, item_text(lfirst(cell))));
			return lines;
	}
	return lines;
}

/* The first says what the node is. */
static List *
node_lines(const SfExplainNode *node)
{
	List *lines = list_make1(node->name != NULL ? psprintf("%s %s", node->label, node->name) : pstrdup(node->label));
	ListCell *cell;

	foreach (cell, node->properties)
		lines = add_property_lines(lines, lfirst(cell));
	return lines;
}

/* ---- text ---- */

static void
add_text(List **text, const SfExplainNode *node, int indent)
{
	List *lines = node_lines(node);
	const char *arrow = indent == 0 ? "" : "->  ";
	int inside = indent + (int) strlen(arrow);
	ListCell *cell;

	*text = lappend(*text, psprintf("%*s%s%s", indent, "", arrow, (char *) linitial(lines)));
	for_each_from(cell, lines, 1) *text = lappend(*text, psprintf("%*s%s", inside + 2, "", (char *) lfirst(cell)));
	foreach (cell, node->inputs)
		add_text(text, lfirst(cell), inside + 2);
}

List *
sf_explain_text(const SfExplainNode *node)
{
	List *text = NIL;

	add_text(&text, node, 0);
	return text;
}

/* ---- JSON ---- */

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue value;

	set_string(&value, key);
	pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue value;

	set_string(&value, string);
	pushJsonbValue(state, token, &value);
}

static void
push_members(JsonbParseState **state, List *properties)
{
	ListCell *cell;

	foreach (cell, properties)
	{
		SfExplainProperty *property = lfirst(cell);

		push_key(state, property->key);
		pushJsonbValue(state, WJB_VALUE, &property->scalar);
	}
}

static void
push_property(JsonbParseState **state, SfExplainProperty *property)
{
	ListCell *cell;

	push_key(state, property->key);
	if (property->kind == SF_EXPLAIN_SCALAR)
	{
		pushJsonbValue(state, WJB_VALUE, &property->scalar);
		return;
	}
	if (property->kind == SF_EXPLAIN_OBJECT)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_members(state, property->members);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
		return;
	}
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (cell, property->members)
	{
		SfExplainItem *item = lfirst(cell);

		if (property->kind != SF_EXPLAIN_ITEMS)
		{
			push_string(state, WJB_ELEM, lfirst(cell));
			continue;
		}
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_members(state, list_make1(item->head));
		push_members(state, item->details);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static JsonbValue *
push_node(JsonbParseState **state, const SfExplainNode *node)
{
	ListCell *cell;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "node");
	push_string(state, WJB_VALUE, node->key);
	if (node->name != NULL)
	{
		push_key(state, "name");
		push_string(state, WJB_VALUE, node->name);
	}
	foreach (cell, node->properties)
		push_property(state, lfirst(cell));
	if (node->inputs != NIL)
	{
		push_key(state, "inputs");
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		foreach (cell, node->inputs)
			push_node(state, lfirst(cell));
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

char *
sf_explain_json(const SfExplainNode *node)
{
	JsonbParseState *state = NULL;
	Jsonb *document = JsonbValueToJsonb(push_node(&state, node));

	return JsonbToCStringIndent(NULL, &document->root, VARSIZE(document));
}

/* ---- DOT ---- */

/* A line of a label, with the escape that ends it and has it flush left.  An ampersand would begin an entity. */
static void
append_label_line(StringInfo graph, const char *line)
{
	for (; *line != '\0'; line++)
	{
		if (*line == '"' || *line == '\\')
			appendStringInfoChar(graph, '\\');
		if (*line == '\n')
			appendStringInfoString(graph, "\\l");
		else if (*line == '&')
			appendStringInfoString(graph, "&amp;");
		else
			appendStringInfoChar(graph, *line);
	}
	appendStringInfoString(graph, "\\l");
}

/* Writes a node and what is below it; returns its number. */
static int
append_node(StringInfo graph, const SfExplainNode *node, int *last)
{
	int number = ++*last;
	ListCell *cell;

	appendStringInfo(graph, "  n%d [label=\"", number);
	foreach (cell, node_lines(node))
		append_label_line(graph, lfirst(cell));
	appendStringInfoString(graph, "\"];\n");
	foreach (cell, node->inputs)
	{
		int input = append_node(graph, lfirst(cell), last);

		appendStringInfo(graph, "  n%d -> n%d;\n", input, number);
	}
	return number;
}

char *
sf_explain_dot(const SfExplainNode *node)
{
	StringInfoData graph;
	int last = 0;

	initStringInfo(&graph);
	appendStringInfoString(&graph, "digraph view {\n  node [shape=box, fontname=\"monospace\"];\n");
	append_node(&graph, node, &last);
	appendStringInfoChar(&graph, '}');
	return graph.data;
}
