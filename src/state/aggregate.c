/*
 * aggregate.c
 *		Aggregates of a fragment: choosing a kernel, and the calls of aggregate.h.
 *
 * A built-in aggregate with a kernel (aggregate_kernel.c, aggregate_numeric.c) is recognised by its oid in pg_proc, which
 * no user's function can have.  Others go through their catalogued functions (aggregate_catalog.c), or keep what they are
 * given (aggregate_collected.c).  In any case the answer is PostgreSQL's, to the last digit and error.
 *
 * Saved form of a state: the kernel's number, a length, the state's bytes without the blob's address, and when a blob is
 * in use its length and bytes.
 */
#include "state/aggregate_private.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* The expressions of an aggregate's arguments. */
static List *
argument_expressions(const Aggref *aggref)
{
	List *expressions = NIL;
	ListCell *cell;

	foreach (cell, aggref->args)
		expressions = lappend(expressions, lfirst_node(TargetEntry, cell)->expr);
	return expressions;
}

static void
use_kernel(AggregateImpl *agg, const Kernel *kernel)
{
	agg->kernel = kernel;
	agg->public.kernel = kernel->number;
	agg->public.size = MAXALIGN(kernel->size);
	agg->public.blob_offset = kernel->has_blob ? (int) offsetof(BlobState, blob) : -1;
}

SfAggregate *
sf_aggregate_create(MemoryContext context, Aggref *aggref, bool to_combine)
{
	MemoryContext old;
	AggregateImpl *agg;
	AclResult acl = sf_function_aclcheck(aggref->aggfnoid, GetUserId());

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_AGGREGATE, get_func_name(aggref->aggfnoid));
	InvokeFunctionExecuteHook(aggref->aggfnoid);

	old = MemoryContextSwitchTo(context);
	agg = palloc0(sizeof(AggregateImpl));
	agg->public.aggref = aggref;
	agg->public.inputs = argument_expressions(aggref);
	agg->public.result_type = aggref->aggtype;
	agg->public.result_typmod = exprTypmod((Node *) aggref);
	agg->public.result_collation = aggref->aggcollid;
	agg->public.blob_offset = agg->public.list_offset = -1;
	if (sf_is_collected(aggref))
		sf_collected_create(agg);
	else if ((agg->kernel = sf_kernel_find(aggref->aggfnoid)) != NULL)
		use_kernel(agg, agg->kernel);
	else
		sf_catalog_create(agg, context);
	if (to_combine && !sf_aggregate_can_combine(&agg->public))
	{
		agg->kernel = NULL;
		agg->catalog = NULL;
		sf_collected_create(agg);
	}
	agg->public.nargs = list_length(agg->public.inputs);
	if (agg->public.nargs > FUNC_MAX_ARGS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS),
		                errmsg("aggregate %s has more than %d arguments and sort keys in a continuous view",
		                       get_func_name(aggref->aggfnoid), FUNC_MAX_ARGS)));
	MemoryContextSwitchTo(old);
	return &agg->public;
}

static bool
same_input(const SfAggregate *a, const SfAggregate *b)
{
	return equal(a->aggref->args, b->aggref->args) && equal(a->aggref->aggfilter, b->aggref->aggfilter);
}

void
sf_aggregate_widen(SfAggregate *agg, const SfAggregate *other)
{
	AggregateImpl *impl = (AggregateImpl *) agg;
	const Kernel *variance = ((const AggregateImpl *) other)->kernel;
	const Kernel *companion;

	if (impl->kernel == NULL || variance == NULL || !same_input(agg, other))
		return;
	companion = sf_variance_companion(impl->kernel, variance);
	if (companion != NULL)
		use_kernel(impl, companion);
}

bool
sf_aggregate_same_state(const SfAggregate *a, const SfAggregate *b)
{
	const Kernel *kernel_a = ((const AggregateImpl *) a)->kernel;
	const Kernel *kernel_b = ((const AggregateImpl *) b)->kernel;

	if (a->list_offset >= 0 && b->list_offset >= 0)
	{
		bool is_set = ((const AggregateImpl *) a)->collected->set != NULL;

		if (is_set != (((const AggregateImpl *) b)->collected->set != NULL))
			return false;
		return same_input(a, b) && (is_set || (a->aggref->aggdistinct == NIL && b->aggref->aggdistinct == NIL));
	}
	return kernel_a != NULL && kernel_b != NULL && kernel_a->batch == kernel_b->batch && same_input(a, b);
}

SfStateKind
sf_aggregate_state_kind(const SfAggregate *agg)
{
	const AggregateImpl *impl = (const AggregateImpl *) agg;

	if (impl->kernel != NULL)
		return SF_STATE_KERNEL;
	if (impl->catalog != NULL)
		return sf_catalog_is_serialised(impl) ? SF_STATE_SERIALISED : SF_STATE_VALUE;
	return impl->collected->is_set || impl->collected->set != NULL ? SF_STATE_SET : SF_STATE_LIST;
}

/* All zeros is every state's beginning; the catalogued initial value comes in with the first row or the result. */
void
sf_aggregate_start(SfAggregate *agg, SfBlobSpace *blobs, char *state)
{
	memset(state, 0, agg->size);
}

void
sf_aggregate_advance_batch(SfAggregate *agg, SfBlobSpace *blobs, char **states, Datum **args, bool **nulls,
                           const SfPlaces *places, int n)
{
	AggregateImpl *impl = (AggregateImpl *) agg;

	if (impl->kernel != NULL)
		impl->kernel->batch(blobs, states, agg->nargs > 0 ? args[0] : NULL, agg->nargs > 0 ? nulls[0] : NULL, n);
	else if (impl->catalog != NULL)
		sf_catalog_advance(impl, blobs, states, args, nulls, n);
	else
		sf_collected_advance(impl, blobs, states, args, nulls, places, n);
}

/* The same for a single row. */
void
sf_aggregate_advance(SfAggregate *agg, SfBlobSpace *blobs, char *state, const Datum *args, const bool *nulls,
                     const SfPlaces *places, int i)
{
	AggregateImpl *impl = (AggregateImpl *) agg;
	Datum *columns[FUNC_MAX_ARGS];
	bool *column_nulls[FUNC_MAX_ARGS];

	if (impl->collected != NULL)
	{
		sf_collected_add(impl, blobs, state, args, nulls, places, i);
		return;
	}
	for (int a = 0; a < agg->nargs; a++)
	{
		columns[a] = (Datum *) &args[a];
		column_nulls[a] = (bool *) &nulls[a];
	}
	sf_aggregate_advance_batch(agg, blobs, &state, columns, column_nulls, NULL, 1);
}

bool
sf_aggregate_can_combine(const SfAggregate *agg)
{
	const AggregateImpl *impl = (const AggregateImpl *) agg;

	if (impl->kernel != NULL)
		return sf_kernel_combine(impl->kernel->number) != NULL;
	return impl->collected != NULL || sf_catalog_can_combine(impl);
}

void
sf_aggregate_combine(SfAggregate *agg, SfBlobSpace *blobs, char *into, SfBlobSpace *from_blobs, const char *from)
{
	AggregateImpl *impl = (AggregateImpl *) agg;

	if (impl->kernel != NULL)
		sf_kernel_combine(impl->kernel->number)(blobs, into, from_blobs, from);
	else if (impl->collected != NULL)
		sf_collected_combine(impl, blobs, into, from_blobs, from);
	else
		sf_catalog_combine(impl, blobs, into, from_blobs, from);
}

Datum
sf_aggregate_result(SfAggregate *agg, SfBlobSpace *blobs, const char *state, bool *isnull)
{
	AggregateImpl *impl = (AggregateImpl *) agg;

	*isnull = false;
	if (impl->kernel != NULL)
		return impl->kernel->result(blobs, state, isnull);
	if (impl->collected != NULL)
		return sf_collected_result(impl, blobs, state, isnull);
	return sf_catalog_result(impl, blobs, state, isnull);
}

bool
sf_aggregate_save(SfAggregate *agg, SfBlobSpace *blobs, const char *state, uint64 *saved, StringInfo out)
{
	uint32 skip = agg->blob_offset >= 0 ? sizeof(dsa_pointer) : 0;
	uint32 size = agg->size - skip;
	const BlobState *head = (const BlobState *) state;

	Assert(agg->blob_offset <= 0);
	appendStringInfoChar(out, (char) agg->kernel);
	if (agg->list_offset >= 0)
		return sf_collected_save(blobs, state, saved, out);
	appendBinaryStringInfo(out, (char *) &size, sizeof(size));
	appendBinaryStringInfo(out, state + skip, size);
	if (agg->blob_offset >= 0 && head->blob_in_use)
	{
		SfBlob *blob = sf_blob_get(blobs, head->blob);

		appendBinaryStringInfo(out, (char *) &blob->length, sizeof(blob->length));
		appendBinaryStringInfo(out, blob->data, blob->length);
	}
	return true;
}

static void
report_unknown_form(const SfAggregate *agg)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
	                errmsg("saved state of aggregate %s has an unknown form", get_func_name(agg->aggref->aggfnoid))));
}

void
sf_aggregate_load(SfAggregate *agg, SfBlobSpace *blobs, char *state, const char **data, const char *end)
{
	uint32 skip = agg->blob_offset >= 0 ? sizeof(dsa_pointer) : 0;
	uint32 size;
	uint32 length;
	uint8 kernel;

	sf_flat_read(data, end, &kernel, sizeof(kernel));
	if (kernel != agg->kernel)
		report_unknown_form(agg);
	if (agg->list_offset >= 0)
	{
		sf_collected_load((AggregateImpl *) agg, blobs, state, data, end);
		return;
	}
	sf_flat_read(data, end, &size, sizeof(size));
	if (size != agg->size - skip)
		report_unknown_form(agg);
	sf_flat_read(data, end, state + skip, size);
	if (agg->blob_offset < 0 || !((BlobState *) state)->blob_in_use)
		return;
	((BlobState *) state)->blob_in_use = 0;
	sf_flat_read(data, end, &length, sizeof(length));
	sf_blob_store(blobs, &((BlobState *) state)->blob, sf_flat_bytes(data, end, length), length);
	((BlobState *) state)->blob_in_use = 1;
}

uint64
sf_aggregate_saved(const SfAggregate *agg, const char *state)
{
	return agg->list_offset >= 0 ? ((const CollectedState *) state)->saved : 0;
}

void
sf_aggregate_set_saved(SfAggregate *agg, char *state)
{
	if (agg->list_offset >= 0)
		((CollectedState *) state)->saved = ((CollectedState *) state)->list.count;
}

void
sf_aggregate_keep(SfAggregate *agg, SfBlobSpace *blobs, char *state, StringInfo out)
{
	uint64 saved = 0;

	if (agg->list_offset < 0)
	{
		sf_aggregate_save(agg, blobs, state, &saved, out);
		return;
	}
	sf_collected_prepare((AggregateImpl *) agg, blobs, state);
	appendBinaryStringInfo(out, state, sizeof(CollectedState));
}

void
sf_aggregate_put_back(SfAggregate *agg, SfBlobSpace *blobs, char *state, const char **data, const char *end)
{
	CollectedState kept;

	if (agg->list_offset < 0)
	{
		sf_aggregate_load(agg, blobs, state, data, end);
		return;
	}
	sf_flat_read(data, end, &kept, sizeof(kept));
	sf_list_rewind(blobs, &((CollectedState *) state)->list, &kept.list);
	((CollectedState *) state)->null_at = kept.null_at;
}
