/*
 * explain.h
 *		What streamfuse.explain() tells, as a tree of nodes, and that tree as text, JSON or DOT.
 *
 * The tree is built once and printed by one walk for each form.  Keys are part of the interface (README.md lists them);
 * labels are for people.  What is not known, or does not apply, has no property.
 */
#ifndef SF_EXPLAIN_H
#define SF_EXPLAIN_H

#include "streamfuse.h"

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/jsonb.h"

#include "plan/fragment.h"

typedef enum SfExplainKind
{
	SF_EXPLAIN_SCALAR,
	SF_EXPLAIN_OBJECT,			/* members: properties that are scalars */
	SF_EXPLAIN_WORDS,			/* members: strings, short ones, on one line */
	SF_EXPLAIN_SENTENCES,		/* members: strings, a line each */
	SF_EXPLAIN_ITEMS,			/* members: SfExplainItem, a line each */
} SfExplainKind;

typedef struct SfExplainProperty
{
	SfExplainKind kind;
	const char *key;
	const char *label;			/* of a scalar in an object or item its key is enough: NULL */
	JsonbValue	scalar;
	List	   *members;
} SfExplainProperty;

/* An element of a list: what it is about, under a key of its own, and scalars that tell more of it. */
typedef struct SfExplainItem
{
	SfExplainProperty *head;
	List	   *details;
} SfExplainItem;

/* A stage of the view.  Its inputs are the stages that its rows come from. */
typedef struct SfExplainNode
{
	const char *key;
	const char *label;
	const char *name;			/* or NULL */
	List	   *properties;
	List	   *inputs;
} SfExplainNode;

/* ---- explain_model.c ---- */
/* view: InvalidOid for a query that is none; query: as given or stored. */
extern SfExplainNode *sf_explain_model(const SfDefinition *definition, Query *query, Oid view);

/* ---- explain_print.c ---- */
extern SfExplainNode *sf_explain_node(const char *key, const char *label, const char *name);
extern SfExplainProperty *sf_explain_string(const char *key, const char *label, const char *value);
extern SfExplainProperty *sf_explain_number(const char *key, const char *label, int64 value);
extern SfExplainProperty *sf_explain_bool(const char *key, const char *label, bool value);
extern SfExplainProperty *sf_explain_list(SfExplainKind kind, const char *key, const char *label, List *members);
extern SfExplainItem *sf_explain_item(SfExplainProperty *head, List *details);	/* details that are NULL are left out */

/* Adds a property, unless it is NULL or a list of nothing. */
extern void sf_explain_add(SfExplainNode *node, SfExplainProperty *property);

/* Lines in the look of EXPLAIN; a document; a directed graph for graphviz. */
extern List *sf_explain_text(const SfExplainNode *node);
extern char *sf_explain_json(const SfExplainNode *node);
extern char *sf_explain_dot(const SfExplainNode *node);

#endif							/* SF_EXPLAIN_H */
