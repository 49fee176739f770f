/*
 * aggregate_catalog.c
 *		Aggregates without a kernel: their transition and final functions, as catalogued, on flat states.
 *
 * The transition value lives in the state (by value), or flat in its blob.  A function never sees shared memory: it gets
 * a copy, which it may change in place or turn into an expanded object, with an AggState as its context, and what it
 * returns is flattened and stored.  Null rules are those of nodeAgg.c.
 *
 * An internal transition value is kept in serialised form.  What an aggregate promises for such a value is what parallel
 * aggregation asks of it: deserialised, it may be combined, but neither be advanced nor finished (the sums of squares of
 * stddev's would be lost).  So the rows that a batch has for a group are folded into a value of their own, which is then
 * combined with what was kept.
 */
#include "state/aggregate_private.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "parser/parse_agg.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* What a state's transition value is. */
typedef enum CatalogPhase
{
	PHASE_FRESH = 0, /* no row yet: the catalogued initial value, or none */
	PHASE_NULL,
	PHASE_VALUE,
} CatalogPhase;

typedef struct CatalogState
{
	BlobState blob; /* by-reference values only */
	uint32 phase;
	Datum value; /* by-value ones */
} CatalogState;

typedef struct CatalogAggregate
{
	Oid transition_type;
	int16 typlen; /* of the value as stored: bytea for internal ones */
	bool typbyval;
	bool serialised;
	int ninputs;
	int nfinal;
	Datum initial;
	bool initial_null;
	int16 result_typlen;
	bool result_typbyval;

	FmgrInfo transition;
	FmgrInfo serialise;
	FmgrInfo deserialise;
	FmgrInfo combine;
	FmgrInfo final; /* fn_oid invalid: the transition value is the answer */
	FunctionCallInfo transition_call;
	FunctionCallInfo combine_call;
	FunctionCallInfo final_call;

	AggState *context; /* what the functions believe to run in */
	AggStatePerTransData per_trans;
	AggStatePerAggData per_agg;
} CatalogAggregate;

/* The rows that a batch has for one state, folded; an internal value. */
typedef struct Partial
{
	char *state; /* the key */
	Datum value;
	bool isnull;
	char status; /* of the hash table */
} Partial;

#define SH_PREFIX partials
#define SH_ELEMENT_TYPE Partial
#define SH_KEY_TYPE char *
#define SH_KEY state
#define SH_HASH_KEY(table, key) murmurhash32((uint32) ((uintptr_t) (key) >> 3))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- resolving ---- */

static void
check_function(Oid function, Oid owner)
{
	AclResult acl = sf_function_aclcheck(function, owner);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

static Oid
owner_of(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
read_initial(CatalogAggregate *catalog, HeapTuple tuple)
{
	Datum literal = SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval, &catalog->initial_null);
	Oid input;
	Oid parameter;

	if (catalog->initial_null)
		return;
	getTypeInputInfo(catalog->transition_type, &input, &parameter);
	catalog->initial = OidInputFunctionCall(input, TextDatumGetCString(literal), parameter, -1);
}

static FunctionCallInfo
prepare_call(CatalogAggregate *catalog, FmgrInfo *function, int nargs, Oid collation)
{
	FunctionCallInfo call = palloc0(SizeForFunctionCallInfo(nargs));

	InitFunctionCallInfoData(*call, function, nargs, collation, (Node *) catalog->context, NULL);
	return call;
}

/* An AggState as far as AggCheckCallContext and its companions look at it. */
static void
make_context(CatalogAggregate *catalog, Aggref *aggref)
{
	AggState *context = makeNode(AggState);

	context->curaggcontext = CreateStandaloneExprContext();
	context->tmpcontext = CreateStandaloneExprContext();
	context->numaggs = context->numtrans = 1;
	context->peragg = &catalog->per_agg;
	context->pertrans = &catalog->per_trans;
	catalog->per_trans.aggref = aggref;
	catalog->per_agg.aggref = aggref;
	catalog->context = context;
}

static void
prepare_serialisation(CatalogAggregate *catalog, Aggref *aggref, Form_pg_aggregate form, Oid owner)
{
	Oid internal = INTERNALOID;
	Expr *expr;

	check_function(form->aggserialfn, owner);
	check_function(form->aggdeserialfn, owner);
	check_function(form->aggcombinefn, owner);
	build_aggregate_serialfn_expr(form->aggserialfn, &expr);
	fmgr_info(form->aggserialfn, &catalog->serialise);
	fmgr_info_set_expr((Node *) expr, &catalog->serialise);
	build_aggregate_deserialfn_expr(form->aggdeserialfn, &expr);
	fmgr_info(form->aggdeserialfn, &catalog->deserialise);
	fmgr_info_set_expr((Node *) expr, &catalog->deserialise);
	build_aggregate_transfn_expr(&internal, 1, 0, false, INTERNALOID, aggref->inputcollid, form->aggcombinefn,
	                             InvalidOid, &expr, NULL);
	fmgr_info(form->aggcombinefn, &catalog->combine);
	fmgr_info_set_expr((Node *) expr, &catalog->combine);
	catalog->combine_call = prepare_call(catalog, &catalog->combine, 2, aggref->inputcollid);
	catalog->serialised = true;
	catalog->typlen = -1;
	catalog->typbyval = false;
}

/* Of a value kept as it is: one that cannot be combined, or whose owner may not, has no combine call. */
static void
prepare_combination(CatalogAggregate *catalog, Aggref *aggref, Form_pg_aggregate form, Oid owner)
{
	Expr *expr;

	if (!OidIsValid(form->aggcombinefn) || sf_function_aclcheck(form->aggcombinefn, owner) != ACLCHECK_OK)
		return;
	InvokeFunctionExecuteHook(form->aggcombinefn);
	build_aggregate_transfn_expr(&catalog->transition_type, 1, 0, false, catalog->transition_type, aggref->inputcollid,
	                             form->aggcombinefn, InvalidOid, &expr, NULL);
	fmgr_info(form->aggcombinefn, &catalog->combine);
	fmgr_info_set_expr((Node *) expr, &catalog->combine);
	catalog->combine_call = prepare_call(catalog, &catalog->combine, 2, aggref->inputcollid);
}

static void
prepare_functions(CatalogAggregate *catalog, Aggref *aggref, Form_pg_aggregate form, Oid *input_types, int ninputs)
{
	Expr *expr;

	build_aggregate_transfn_expr(input_types, ninputs, 0, aggref->aggvariadic, catalog->transition_type,
	                             aggref->inputcollid, form->aggtransfn, InvalidOid, &expr, NULL);
	fmgr_info(form->aggtransfn, &catalog->transition);
	fmgr_info_set_expr((Node *) expr, &catalog->transition);
	catalog->transition_call = prepare_call(catalog, &catalog->transition, ninputs + 1, aggref->inputcollid);

	if (!OidIsValid(form->aggfinalfn))
		return;
	catalog->nfinal = form->aggfinalextra ? ninputs + 1 : 1;
	build_aggregate_finalfn_expr(input_types, catalog->nfinal, catalog->transition_type, aggref->aggtype,
	                             aggref->inputcollid, form->aggfinalfn, &expr);
	fmgr_info(form->aggfinalfn, &catalog->final);
	fmgr_info_set_expr((Node *) expr, &catalog->final);
	catalog->final_call = prepare_call(catalog, &catalog->final, catalog->nfinal, aggref->inputcollid);
}

void
sf_catalog_create(AggregateImpl *agg, MemoryContext context)
{
	Aggref *aggref = agg->public.aggref;
	CatalogAggregate *catalog = palloc0(sizeof(CatalogAggregate));
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
	Oid input_types[FUNC_MAX_ARGS];
	Oid owner = owner_of(aggref->aggfnoid);
	Form_pg_aggregate form;

	Assert(CurrentMemoryContext == context);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	check_function(form->aggtransfn, owner);
	if (OidIsValid(form->aggfinalfn))
		check_function(form->aggfinalfn, owner);

	catalog->ninputs = get_aggregate_argtypes(aggref, input_types);
	catalog->transition_type = resolve_aggregate_transtype(aggref->aggfnoid, form->aggtranstype, input_types,
	                                                       catalog->ninputs);
	make_context(catalog, aggref);
	if (catalog->transition_type == INTERNALOID)
		prepare_serialisation(catalog, aggref, form, owner);
	else
	{
		get_typlenbyval(catalog->transition_type, &catalog->typlen, &catalog->typbyval);
		prepare_combination(catalog, aggref, form, owner);
	}
	get_typlenbyval(aggref->aggtype, &catalog->result_typlen, &catalog->result_typbyval);
	prepare_functions(catalog, aggref, form, input_types, catalog->ninputs);
	read_initial(catalog, tuple);
	if (catalog->transition.fn_strict && catalog->initial_null &&
	    (catalog->ninputs < 1 || !IsBinaryCoercible(input_types[0], catalog->transition_type)))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
		         errmsg("aggregate %u needs to have compatible input type and transition type", aggref->aggfnoid)));
	ReleaseSysCache(tuple);

	agg->catalog = catalog;
	agg->public.size = MAXALIGN(sizeof(CatalogState));
	agg->public.blob_offset = catalog->typbyval ? -1 : (int) offsetof(CatalogState, blob.blob);
}

/* ---- the transition value ---- */

/* A private copy of the transition value, in the current context.  Serialised ones come out as such. */
static Datum
get_value(CatalogAggregate *catalog, SfBlobSpace *blobs, const CatalogState *state, bool *isnull)
{
	*isnull = state->phase == PHASE_NULL || (state->phase == PHASE_FRESH && catalog->initial_null);
	if (*isnull)
		return (Datum) 0;
	if (state->phase == PHASE_FRESH)
		return datumCopy(catalog->initial, catalog->typbyval, catalog->typlen);
	if (catalog->typbyval)
		return state->value;
	return sf_blob_get_datum(blobs, state->blob.blob, catalog->typlen);
}

static void
set_value(CatalogAggregate *catalog, SfBlobSpace *blobs, CatalogState *state, Datum value, bool isnull)
{
	state->phase = PHASE_NULL;
	state->blob.blob_in_use = 0;
	if (isnull)
		return;
	if (catalog->typbyval)
		state->value = value;
	else
	{
		sf_blob_store_datum(blobs, &state->blob.blob, value, catalog->typlen);
		state->blob.blob_in_use = 1;
	}
	state->phase = PHASE_VALUE;
}

static Datum
call_one(CatalogAggregate *catalog, FmgrInfo *function, Datum value, int nargs, bool *isnull)
{
	LOCAL_FCINFO(call, 2);
	Datum result;

	InitFunctionCallInfoData(*call, function, nargs, InvalidOid, (Node *) catalog->context, NULL);
	call->args[0].value = value;
	call->args[0].isnull = false;
	call->args[1].value = (Datum) 0; /* deserial functions have a dummy internal argument */
	call->args[1].isnull = false;
	result = FunctionCallInvoke(call);
	*isnull = call->isnull;
	return result;
}

/* Memory of functions: what they keep for the transition value, and what they drop. */
static MemoryContext
enter(CatalogAggregate *catalog)
{
	ReScanExprContext(catalog->context->curaggcontext);
	ReScanExprContext(catalog->context->tmpcontext);
	catalog->context->curpertrans = NULL; /* an error may have left them */
	catalog->context->curperagg = NULL;
	return MemoryContextSwitchTo(catalog->context->curaggcontext->ecxt_per_tuple_memory);
}

/* The transition function over a private value; its result may belong to the aggregate's memory or the current one. */
static Datum
transition(CatalogAggregate *catalog, Datum value, bool *isnull, const Datum *args, const bool *nulls)
{
	FunctionCallInfo call = catalog->transition_call;

	call->args[0].value = value;
	call->args[0].isnull = *isnull;
	for (int i = 0; i < catalog->ninputs; i++)
	{
		call->args[i + 1].value = args[i];
		call->args[i + 1].isnull = nulls[i];
	}
	call->isnull = false;
	catalog->context->curpertrans = &catalog->per_trans;
	MemoryContextSwitchTo(catalog->context->tmpcontext->ecxt_per_tuple_memory);
	value = FunctionCallInvoke(call);
	catalog->context->curpertrans = NULL;
	*isnull = call->isnull;
	return value;
}

/* One internal value out of two; combine functions are never strict. */
static Datum
combine(CatalogAggregate *catalog, Datum left, bool left_null, Datum right, bool *isnull)
{
	FunctionCallInfo call = catalog->combine_call;

	call->args[0].value = left;
	call->args[0].isnull = left_null;
	call->args[1].value = right;
	call->args[1].isnull = *isnull;
	call->isnull = false;
	catalog->context->curpertrans = &catalog->per_trans;
	right = FunctionCallInvoke(call);
	catalog->context->curpertrans = NULL;
	*isnull = call->isnull;
	return right;
}

/* What is kept of an internal value, fit to be combined with more, or finished. */
static Datum
revive(CatalogAggregate *catalog, SfBlobSpace *blobs, const CatalogState *state, bool *isnull)
{
	Datum value = get_value(catalog, blobs, state, isnull);

	if (*isnull)
		return value;
	value = call_one(catalog, &catalog->deserialise, value, 2, isnull);
	return combine(catalog, (Datum) 0, true, value, isnull);
}

/* Folds a row into a state that is kept as it is. */
static void
advance_flat(CatalogAggregate *catalog, SfBlobSpace *blobs, CatalogState *state, const Datum *args, const bool *nulls)
{
	MemoryContext old = enter(catalog);
	Datum value;
	bool isnull;

	if (catalog->transition.fn_strict && catalog->initial_null && state->phase == PHASE_FRESH)
		set_value(catalog, blobs, state, args[0], false);
	else
	{
		value = get_value(catalog, blobs, state, &isnull);
		/* A strict function with a null transition value: stays null for good. */
		if (!isnull || !catalog->transition.fn_strict)
		{
			value = transition(catalog, value, &isnull, args, nulls);
			set_value(catalog, blobs, state, value, isnull);
		}
	}
	MemoryContextSwitchTo(old);
}

/* Folds a row into the value that its batch has for the state. */
static void
advance_partial(CatalogAggregate *catalog, partials_hash *partials, char *state, const Datum *args, const bool *nulls)
{
	MemoryContext old = CurrentMemoryContext;
	Partial *partial;
	bool found;

	partial = partials_insert(partials, state, &found);
	if (!found)
	{
		partial->value = (Datum) 0;
		partial->isnull = true;
	}
	ResetExprContext(catalog->context->tmpcontext);
	partial->value = transition(catalog, partial->value, &partial->isnull, args, nulls);
	MemoryContextSwitchTo(old);
}

/* What was kept and what the batch has brought become what is kept. */
static void
combine_partials(CatalogAggregate *catalog, SfBlobSpace *blobs, partials_hash *partials)
{
	MemoryContext old = CurrentMemoryContext;
	partials_iterator iterator;
	Partial *partial;

	MemoryContextSwitchTo(catalog->context->tmpcontext->ecxt_per_tuple_memory);
	partials_start_iterate(partials, &iterator);
	while ((partial = partials_iterate(partials, &iterator)) != NULL)
	{
		CatalogState *state = (CatalogState *) partial->state;
		bool kept_null;
		bool isnull = partial->isnull;
		Datum kept;
		Datum value = partial->value;

		ResetExprContext(catalog->context->tmpcontext);
		kept = revive(catalog, blobs, state, &kept_null);
		if (!kept_null)
			value = combine(catalog, kept, false, value, &isnull);
		if (!isnull)
			value = call_one(catalog, &catalog->serialise, value, 1, &isnull);
		set_value(catalog, blobs, state, value, isnull);
	}
	MemoryContextSwitchTo(old);
}

void
sf_catalog_advance(AggregateImpl *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls, int n)
{
	CatalogAggregate *catalog = agg->catalog;
	Datum row_args[FUNC_MAX_ARGS];
	bool row_nulls[FUNC_MAX_ARGS];
	partials_hash *partials = NULL;
	MemoryContext old = CurrentMemoryContext;

	if (catalog->serialised)
	{
		enter(catalog);
		partials = partials_create(catalog->context->curaggcontext->ecxt_per_tuple_memory, 64, NULL);
	}
	for (int i = 0; i < n; i++)
	{
		bool skip = states[i] == NULL;

		for (int a = 0; !skip && a < catalog->ninputs; a++)
		{
			row_args[a] = args[a][i];
			row_nulls[a] = nulls[a] != NULL && nulls[a][i];
			skip = row_nulls[a] && catalog->transition.fn_strict;
		}
		if (skip)
			continue;
		if (partials != NULL)
			advance_partial(catalog, partials, states[i], row_args, row_nulls);
		else
			advance_flat(catalog, blobs, (CatalogState *) states[i], row_args, row_nulls);
	}
	if (partials != NULL)
		combine_partials(catalog, blobs, partials);
	MemoryContextSwitchTo(old);
}

/* ---- two states made one ---- */

bool
sf_catalog_is_serialised(const AggregateImpl *agg)
{
	return agg->catalog->serialised;
}

bool
sf_catalog_can_combine(const AggregateImpl *agg)
{
	return agg->catalog->combine_call != NULL;
}

/* Null rules of nodeAgg.c: a strict function passes over nulls. */
static Datum
combine_values(CatalogAggregate *catalog, Datum left, bool left_null, Datum right, bool *isnull)
{
	if (catalog->combine.fn_strict && (left_null || *isnull))
	{
		if (!left_null)
			right = left;
		*isnull = left_null && *isnull;
		return right;
	}
	return combine(catalog, left, left_null, right, isnull);
}

void
sf_catalog_combine(AggregateImpl *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	CatalogAggregate *catalog = agg->catalog;
	CatalogState *state = (CatalogState *) into;
	const CatalogState *other = (const CatalogState *) from;
	MemoryContext old;
	Datum value;
	bool isnull;

	if (other->phase == PHASE_FRESH)
		return;
	old = enter(catalog);
	if (state->phase == PHASE_FRESH)
		value = get_value(catalog, from_blobs, other, &isnull);
	else
	{
		bool left_null;
		Datum left;

		if (catalog->serialised)
		{
			left = revive(catalog, blobs, state, &left_null);
			value = revive(catalog, from_blobs, other, &isnull);
		}
		else
		{
			left = get_value(catalog, blobs, state, &left_null);
			value = get_value(catalog, from_blobs, other, &isnull);
		}
		value = combine_values(catalog, left, left_null, value, &isnull);
		if (catalog->serialised && !isnull)
			value = call_one(catalog, &catalog->serialise, value, 1, &isnull);
	}
	/* What is stored locally belongs to the caller's memory. */
	MemoryContextSwitchTo(old);
	set_value(catalog, blobs, state, value, isnull);
}

/* ---- the answer ---- */

static Datum
finalise(CatalogAggregate *catalog, Datum value, bool *isnull)
{
	FunctionCallInfo call = catalog->final_call;

	/* Extra arguments only tell the types: they are null. */
	if (catalog->final.fn_strict && (*isnull || catalog->nfinal > 1))
	{
		*isnull = true;
		return (Datum) 0;
	}
	call->args[0].value = value;
	call->args[0].isnull = *isnull;
	for (int i = 1; i < catalog->nfinal; i++)
	{
		call->args[i].value = (Datum) 0;
		call->args[i].isnull = true;
	}
	call->isnull = false;
	catalog->context->curperagg = &catalog->per_agg;
	value = FunctionCallInvoke(call);
	catalog->context->curperagg = NULL;
	*isnull = call->isnull;
	return value;
}

Datum
sf_catalog_result(AggregateImpl *agg, SfBlobSpace *blobs, const char *state, bool *isnull)
{
	CatalogAggregate *catalog = agg->catalog;
	MemoryContext old = enter(catalog);
	Datum value = catalog->serialised ? revive(catalog, blobs, (const CatalogState *) state, isnull)
	                                  : get_value(catalog, blobs, (const CatalogState *) state, isnull);

	if (OidIsValid(catalog->final.fn_oid))
		value = finalise(catalog, value, isnull);
	MemoryContextSwitchTo(old);
	return *isnull ? (Datum) 0 : datumCopy(value, catalog->result_typbyval, catalog->result_typlen);
}
