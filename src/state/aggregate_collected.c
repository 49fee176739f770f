/*
 * aggregate_collected.c
 *		Aggregates that keep their inputs: those that nothing smaller than the inputs can stand for.
 *
 * Aggregates with DISTINCT, ORDER BY or WITHIN GROUP, and those whose transition value is internal and cannot be
 * serialised and combined, have a list of the rows they were given, with each row's place in the stream
 * (state/list.h).  PostgreSQL's own executor aggregates them when the answer is asked for (aggregate_executor.c), in the
 * order of their places where the query does not say another: so batch and stream agree where the batch form reads one
 * table from its beginning to its end.
 *
 * With DISTINCT the list is a set (aggregate_set.c).  Where the type cannot be hashed, repetitions come in: when the list
 * has doubled it is replaced by one without them, so that it is never much larger than what is distinct in it.
 *
 * Saved form: a number that no kernel has, how many entries come before, their end, the length and bytes of those
 * between.  Loading cuts the list to what comes before and adds the others; so a checkpoint writes what was added since
 * the last one.
 */
#include "state/aggregate_private.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_agg.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define LEAST_SET_BYTES 8192
#define SAVED_PART_BYTES 7000

/* ---- resolving ---- */

static void
read_form(Aggref *aggref, FormData_pg_aggregate *form)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
	memcpy(form, GETSTRUCT(tuple), sizeof(FormData_pg_aggregate));
	ReleaseSysCache(tuple);
}

static Oid
transition_type(Aggref *aggref, const FormData_pg_aggregate *form)
{
	Oid types[FUNC_MAX_ARGS];
	int ntypes = get_aggregate_argtypes(aggref, types);

	return resolve_aggregate_transtype(aggref->aggfnoid, form->aggtranstype, types, ntypes);
}

/* Can nothing smaller than its inputs stand for the aggregate? */
bool
sf_is_collected(Aggref *aggref)
{
	FormData_pg_aggregate form;

	if (aggref->aggkind != AGGKIND_NORMAL || aggref->aggdistinct != NIL || aggref->aggorder != NIL)
		return true;
	if (aggref->aggfnoid == F_XMLAGG) /* its transition value is its answer, and is copied whole for each row */
		return true;
	read_form(aggref, &form);
	return transition_type(aggref, &form) == INTERNALOID &&
	       (!OidIsValid(form.aggserialfn) || !OidIsValid(form.aggdeserialfn) || !OidIsValid(form.aggcombinefn) ||
	        sf_serialises_inputs(form.aggserialfn));
}

bool
sf_aggregate_keeps_inputs(Aggref *aggref)
{
	return sf_is_collected(aggref);
}

bool
sf_aggregate_is_by_place(Aggref *aggref)
{
	return aggref->aggkind == AGGKIND_NORMAL && aggref->aggdistinct == NIL && sf_is_collected(aggref);
}

/*
 * A row without a name has a type that only its process knows: its columns are kept instead, and it is built anew for
 * the executor.  Returns the argument over the inputs; adds to them.
 */
static Expr *
add_input(Expr *expr, List **inputs)
{
	if (IsA(expr, RowExpr) && ((RowExpr *) expr)->row_typeid == RECORDOID)
	{
		RowExpr *row = copyObject((RowExpr *) expr);
		ListCell *cell;

		foreach (cell, row->args)
			lfirst(cell) = add_input(lfirst(cell), inputs);
		return (Expr *) row;
	}
	if (exprType((Node *) expr) == RECORDOID || exprType((Node *) expr) == RECORDARRAYOID)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a continuous view cannot keep rows of no named type"),
		         errhint("Write the row's columns as ROW(...), or cast it to a composite type.")));
	*inputs = lappend(*inputs, expr);
	return (Expr *) makeVar(OUTER_VAR, list_length(*inputs), exprType((Node *) expr), exprTypmod((Node *) expr),
	                        exprCollation((Node *) expr), 0);
}

void
sf_collected_create(AggregateImpl *agg)
{
	Aggref *aggref = agg->public.aggref;
	CollectedAggregate *collected = palloc0(sizeof(CollectedAggregate));
	FormData_pg_aggregate form;
	List *inputs = NIL;
	ListCell *cell;
	int i = 0;

	read_form(aggref, &form);
	collected->transition_type = transition_type(aggref, &form);
	collected->args = copyObject(aggref->args);
	foreach (cell, collected->args)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		entry->expr = add_input(entry->expr, &inputs);
		if (!IsA(entry->expr, Var))
			collected->has_rows = true;
	}
	collected->desc = CreateTemplateTupleDesc(list_length(inputs));
	foreach (cell, inputs)
	{
		Node *input = lfirst(cell);

		i++;
		TupleDescInitEntry(collected->desc, i, NULL, exprType(input), exprTypmod(input), 0);
		TupleDescInitEntryCollation(collected->desc, i, exprCollation(input));
	}
	collected->context = CurrentMemoryContext;
	agg->collected = collected;
	sf_set_create(agg);
	collected->is_set = collected->set == NULL && sf_can_be_distinct(agg);
	agg->public.inputs = inputs;
	agg->public.kernel = SF_KERNEL_COLLECTED;
	agg->public.ndirect = list_length(aggref->aggdirectargs);
	agg->public.direct = palloc0(sizeof(Datum) * Max(agg->public.ndirect, 1));
	agg->public.direct_nulls = palloc0(sizeof(bool) * Max(agg->public.ndirect, 1));
	agg->public.size = MAXALIGN(sizeof(CollectedState));
	agg->public.blob_offset = -1;
	agg->public.list_offset = offsetof(CollectedState, list);
}

/* ---- rows ---- */

static void
report_too_large(const AggregateImpl *agg, const CollectedState *state)
{
	ereport(ERROR,
	        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
	         errmsg("group of a continuous view exceeds streamfuse.max_group_memory"),
	         errdetail("Aggregate %s keeps %llu bytes of %llu input rows.", get_func_name(agg->public.aggref->aggfnoid),
	                   (unsigned long long) state->list.bytes, (unsigned long long) state->list.count),
	         errhint("Raise streamfuse.max_group_memory, or group by more.")));
}

void
sf_collected_check_size(const AggregateImpl *agg, const CollectedState *state, uint64 more)
{
	if (state->list.bytes + more > sf_group_limit())
		report_too_large(agg, state);
}

MinimalTuple
sf_collected_form(TupleDesc desc, const Datum *values, const bool *nulls)
{
	Datum flat[FUNC_MAX_ARGS];

	for (int i = 0; i < desc->natts; i++)
	{
		flat[i] = values[i];
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(values[i])))
			flat[i] = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(values[i])));
	}
	return sf_form_minimal_tuple(desc, flat, nulls);
}

/* places NULL: it is of no place. */
static void
append(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state, MinimalTuple tuple, const SfPlaces *places,
       int row)
{
	SfEntry *entry;

	sf_collected_check_size(agg, state, SfEntryLength(tuple->t_len));
	entry = sf_list_append(blobs, &state->list, SfEntryLength(tuple->t_len));
	entry->relation = places != NULL ? places->relation : InvalidOid;
	entry->block = places != NULL ? places->blocks[row] : InvalidBlockNumber;
	entry->offset = places != NULL ? places->offsets[row] : InvalidOffsetNumber;
	entry->branch = places != NULL ? places->branch : 0;
	memcpy(&entry->values, tuple, tuple->t_len);
}

/* The list without what is there twice, in a list of its own. */
static void
make_distinct(AggregateImpl *agg, SfBlobSpace *blobs, CollectedState *state)
{
	CollectedState distinct = {0};

	PG_TRY();
	{
		MinimalTuple tuple;

		sf_distinct_begin(agg, blobs, &state->list);
		while ((tuple = sf_distinct_next(agg)) != NULL)
		{
			append(agg, blobs, &distinct, tuple, NULL, 0);
			heap_free_minimal_tuple(tuple);
		}
	}
	PG_CATCH();
	{
		sf_list_free(blobs, &distinct.list);
		PG_RE_THROW();
	}
	PG_END_TRY();
	sf_list_clear(blobs, &state->list);
	distinct.distinct_bytes = Max(distinct.list.bytes, LEAST_SET_BYTES);
	*state = distinct;
}

void
sf_collected_prepare(AggregateImpl *agg, SfBlobSpace *blobs, char *pointer)
{
	CollectedState *state = (CollectedState *) pointer;

	if (agg->collected->is_set && state->list.bytes >= 2 * Max(state->distinct_bytes, LEAST_SET_BYTES / 2))
		make_distinct(agg, blobs, state);
}

void
sf_collected_add(AggregateImpl *agg, SfBlobSpace *blobs, char *state, const Datum *args, const bool *nulls,
                 const SfPlaces *places, int i)
{
	int row = places->rows != NULL ? places->rows[i] : i;
	MinimalTuple tuple;

	if (agg->collected->set != NULL)
	{
		sf_set_add(agg, blobs, (CollectedState *) state, args, nulls);
		return;
	}
	tuple = sf_collected_form(agg->collected->desc, args, nulls);
	append(agg, blobs, (CollectedState *) state, tuple, places, row);
	heap_free_minimal_tuple(tuple);
}

void
sf_collected_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
                     const SfPlaces *places, int n)
{
	Datum row_args[FUNC_MAX_ARGS];
	bool row_nulls[FUNC_MAX_ARGS];

	if (agg->collected->set != NULL)
	{
		sf_set_advance(agg, blobs, states, args, nulls, n);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		if (states[i] == NULL)
			continue;
		for (int a = 0; a < agg->public.nargs; a++)
		{
			row_args[a] = args[a][i];
			row_nulls[a] = nulls[a] != NULL && nulls[a][i];
		}
		sf_collected_prepare(agg, blobs, states[i]);
		sf_collected_add(agg, blobs, states[i], row_args, row_nulls, places, i);
	}
}

void
sf_collected_combine(AggregateImpl *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	CollectedState *state = (CollectedState *) into;
	const SfList *other = &((const CollectedState *) from)->list;
	const SfEntry **entries = sf_list_entries(from_blobs, other);

	if (agg->collected->set == NULL)
		sf_collected_check_size(agg, state, other->bytes);
	for (uint64 i = 0; i < other->count; i++)
		if (agg->collected->set != NULL)
			sf_set_combine(agg, blobs, state, entries[i]);
		else
			sf_list_append_flat(blobs, &state->list, (const char *) entries[i], entries[i]->length);
	pfree(entries);
}

/* ---- flat form ---- */

bool
sf_collected_save(SfBlobSpace *blobs, const char *pointer, uint64 *saved, StringInfo out)
{
	const CollectedState *state = (const CollectedState *) pointer;
	uint64 from = Min(*saved, state->list.count);
	uint64 to = from;
	uint32 length = 0;
	int at = out->len + sizeof(from) + sizeof(to);

	appendBinaryStringInfo(out, (char *) &from, sizeof(from));
	appendBinaryStringInfo(out, (char *) &to, sizeof(to));
	appendBinaryStringInfo(out, (char *) &length, sizeof(length));
	sf_list_save(blobs, &state->list, &to, SAVED_PART_BYTES, out);
	length = out->len - at - sizeof(length);
	memcpy(out->data + at - sizeof(to), &to, sizeof(to));
	memcpy(out->data + at, &length, sizeof(length));
	*saved = to;
	return to == state->list.count;
}

void
sf_collected_load(AggregateImpl *agg, SfBlobSpace *blobs, char *pointer, const char **data, const char *end)
{
	CollectedState *state = (CollectedState *) pointer;
	uint64 from;
	uint64 to;
	uint32 length;

	sf_flat_read(data, end, &from, sizeof(from));
	sf_flat_read(data, end, &to, sizeof(to));
	sf_flat_read(data, end, &length, sizeof(length));
	sf_list_cut(blobs, &state->list, from);
	if (state->list.count == from && agg->collected->set != NULL)
		sf_set_load(agg, blobs, state, sf_flat_bytes(data, end, length), length);
	else if (state->list.count == from)
		sf_list_append_flat(blobs, &state->list, sf_flat_bytes(data, end, length), length);
	if (state->list.count != to)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("saved state of a continuous view is damaged"),
		                errhint("REFRESH MATERIALIZED VIEW computes it anew from the stream.")));
	state->saved = to;
}
