/*
 * by_key.c
 *		The aggregates count_by and sum_by: a number of rows, or a sum, for each key; as a jsonb object.
 *
 * Keys are texts, equal when their bytes are, as those of jsonb are.  A row without key is ignored.  A state is a hash
 * table of at most MAX_KEYS keys; with more the aggregate raises, in whatever order rows come.  It can be combined and
 * serialised.
 *
 * Plain SQL functions: they know nothing of streams.
 */
#include "aggregate/memory.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(sf_count_by_transition);
PG_FUNCTION_INFO_V1(sf_sum_by_transition);
PG_FUNCTION_INFO_V1(sf_by_key_combine);
PG_FUNCTION_INFO_V1(sf_by_key_serialise);
PG_FUNCTION_INFO_V1(sf_by_key_deserialise);
PG_FUNCTION_INFO_V1(sf_by_key_object);

#define MAX_KEYS 10000 /* documented */

typedef struct KeyBytes
{
	const char *data;
	uint32 length;
} KeyBytes;

typedef struct KeyEntry
{
	KeyBytes key; /* in the table's memory */
	uint32 hash;
	char status;
	int64 count;
	Numeric sum; /* in the table's memory; NULL: no value but nulls */
} KeyEntry;

#define SH_PREFIX keys
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE KeyBytes
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_bytes((const unsigned char *) (key).data, (int) (key).length)
#define SH_EQUAL(table, a, b) ((a).length == (b).length && memcmp((a).data, (b).data, (a).length) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct ByKey
{
	MemoryContext memory;
	bool sums;
	keys_hash *keys;
} ByKey;

/* ---- states ---- */

static ByKey *
state_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : (ByKey *) PG_GETARG_POINTER(argument);
}

static ByKey *
by_key_create(MemoryContext memory, bool sums)
{
	ByKey *state = MemoryContextAlloc(memory, sizeof(ByKey));

	state->memory = memory;
	state->sums = sums;
	state->keys = keys_create(memory, 16, NULL);
	return state;
}

/* The entry of a key, made if there is none. */
static KeyEntry *
find_entry(ByKey *state, KeyBytes key)
{
	KeyEntry *entry = keys_lookup(state->keys, key);
	char *copy;
	bool found;

	if (entry != NULL)
		return entry;
	if (state->keys->members >= MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("%s cannot have more than %d keys", state->sums ? "sum_by" : "count_by", MAX_KEYS),
		                errhint("Group by the key instead.")));
	copy = MemoryContextAlloc(state->memory, Max(key.length, 1));
	memcpy(copy, key.data, key.length);
	entry = keys_insert(state->keys, (KeyBytes){copy, key.length}, &found);
	entry->count = 0;
	entry->sum = NULL;
	return entry;
}

static void
add_to_sum(ByKey *state, KeyEntry *entry, Numeric value)
{
	MemoryContext old = MemoryContextSwitchTo(state->memory);
	Numeric before = entry->sum;

	if (before == NULL)
		entry->sum = DatumGetNumericCopy(NumericGetDatum(value));
	else
	{
		entry->sum = DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(before), NumericGetDatum(value)));
		pfree(before);
	}
	MemoryContextSwitchTo(old);
}

/* ---- transition and combination ---- */

static Datum
transition(FunctionCallInfo fcinfo, bool sums)
{
	MemoryContext memory = aggregate_memory(fcinfo);
	ByKey *state = state_argument(fcinfo, 0);

	if (!PG_ARGISNULL(1))
	{
		text *key = PG_GETARG_TEXT_PP(1);
		KeyEntry *entry;

		if (state == NULL)
			state = by_key_create(memory, sums);
		entry = find_entry(state, (KeyBytes){VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)});
		entry->count++;
		if (sums && !PG_ARGISNULL(2))
			add_to_sum(state, entry, PG_GETARG_NUMERIC(2));
	}
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

Datum
sf_count_by_transition(PG_FUNCTION_ARGS)
{
	return transition(fcinfo, false);
}

Datum
sf_sum_by_transition(PG_FUNCTION_ARGS)
{
	return transition(fcinfo, true);
}

/* A null state on the left takes a copy, since what is deserialised belongs to no aggregate. */
Datum
sf_by_key_combine(PG_FUNCTION_ARGS)
{
	MemoryContext memory = aggregate_memory(fcinfo);
	ByKey *left = state_argument(fcinfo, 0);
	ByKey *right = state_argument(fcinfo, 1);
	keys_iterator iterator;
	KeyEntry *other;

	if (right != NULL)
	{
		if (left == NULL)
			left = by_key_create(memory, right->sums);
		keys_start_iterate(right->keys, &iterator);
		while ((other = keys_iterate(right->keys, &iterator)) != NULL)
		{
			KeyEntry *entry = find_entry(left, other->key);

			entry->count += other->count;
			if (other->sum != NULL)
				add_to_sum(left, entry, other->sum);
		}
	}
	if (left == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(left);
}

/* ---- the serialised form ---- */

Datum
sf_by_key_serialise(PG_FUNCTION_ARGS)
{
	ByKey *state = (ByKey *) PG_GETARG_POINTER(0);
	StringInfoData out;
	keys_iterator iterator;
	KeyEntry *entry;

	aggregate_memory(fcinfo);
	pq_begintypsend(&out);
	pq_sendbyte(&out, state->sums);
	pq_sendint32(&out, state->keys->members);
	keys_start_iterate(state->keys, &iterator);
	while ((entry = keys_iterate(state->keys, &iterator)) != NULL)
	{
		uint32 sum_length = entry->sum == NULL ? 0 : VARSIZE(entry->sum);

		pq_sendint32(&out, entry->key.length);
		pq_sendbytes(&out, entry->key.data, (int) entry->key.length);
		pq_sendint64(&out, entry->count);
		pq_sendint32(&out, sum_length);
		if (sum_length > 0)
			pq_sendbytes(&out, (const char *) entry->sum, (int) sum_length);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

Datum
sf_by_key_deserialise(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	StringInfoData in;
	ByKey *state;
	int count;

	aggregate_memory(fcinfo);
	initStringInfo(&in);
	appendBinaryStringInfo(&in, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
	state = by_key_create(CurrentMemoryContext, pq_getmsgbyte(&in) != 0);
	count = pq_getmsgint(&in, 4);
	for (int i = 0; i < count; i++)
	{
		KeyBytes key;
		KeyEntry *entry;
		int sum_length;

		key.length = pq_getmsgint(&in, 4);
		key.data = pq_getmsgbytes(&in, (int) key.length);
		entry = find_entry(state, key);
		entry->count = pq_getmsgint64(&in);
		sum_length = pq_getmsgint(&in, 4);
		if (sum_length > 0)
		{
			entry->sum = palloc(sum_length);
			memcpy(entry->sum, pq_getmsgbytes(&in, sum_length), sum_length);
		}
	}
	pq_getmsgend(&in);
	pfree(in.data);
	PG_RETURN_POINTER(state);
}

/* ---- the answer ---- */

/* A number as jsonb_object_agg() would put it: NaN and infinities are strings. */
static JsonbValue
json_number(Numeric number)
{
	JsonbValue value;

	if (number == NULL)
		value.type = jbvNull;
	else if (numeric_is_nan(number) || numeric_is_inf(number))
	{
		value.type = jbvString;
		value.val.string.val = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
		value.val.string.len = (int) strlen(value.val.string.val);
	}
	else
	{
		value.type = jbvNumeric;
		value.val.numeric = number;
	}
	return value;
}

Datum
sf_by_key_object(PG_FUNCTION_ARGS)
{
	ByKey *state = state_argument(fcinfo, 0);
	JsonbParseState *json = NULL;
	keys_iterator iterator;
	KeyEntry *entry;

	if (state == NULL)
		PG_RETURN_NULL();
	pushJsonbValue(&json, WJB_BEGIN_OBJECT, NULL);
	keys_start_iterate(state->keys, &iterator);
	while ((entry = keys_iterate(state->keys, &iterator)) != NULL)
	{
		JsonbValue key;
		JsonbValue value = json_number(state->sums ? entry->sum : int64_to_numeric(entry->count));

		key.type = jbvString;
		key.val.string.val = (char *) entry->key.data;
		key.val.string.len = (int) entry->key.length;
		pushJsonbValue(&json, WJB_KEY, &key);
		pushJsonbValue(&json, WJB_VALUE, &value);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&json, WJB_END_OBJECT, NULL)));
}
