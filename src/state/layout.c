/*
 * layout.c
 *		How a group's data is laid out, and what its keys are: hash, equality, reading them back.
 *
 * A layout is process-local and follows from the definition alone, so worker and readers of one fragment agree on every
 * offset and hash.  Most keys are integers, times or text, for which the operator's answer is known without calling it.
 */
#include "state/store.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "fault.h"

#define NULL_KEY_HASH 0x7F4A7C15

static SfKeyKind
key_kind(const TypeCacheEntry *type, Oid collation)
{
	switch (type->eq_opr_finfo.fn_oid)
	{
		case F_BOOLEQ:
		case F_CHAREQ:
		case F_INT2EQ:
		case F_INT4EQ:
		case F_INT8EQ:
		case F_OIDEQ:
		case F_DATE_EQ:
		case F_TIME_EQ:
		case F_TIMESTAMP_EQ:
		case F_TIMESTAMPTZ_EQ:
		case F_CASH_EQ:
		case F_ENUM_EQ:
			return type->typbyval ? SF_KEY_DATUM : SF_KEY_FUNCTION;
		case F_TEXTEQ:
			if (OidIsValid(collation) && get_collation_isdeterministic(collation))
				return SF_KEY_BYTES;
			return SF_KEY_FUNCTION;
		default:
			return SF_KEY_FUNCTION;
	}
}

bool
sf_key_can_hash(Oid type_id)
{
	TypeCacheEntry *type = lookup_type_cache(type_id, TYPECACHE_EQ_OPR | TYPECACHE_HASH_PROC);

	return OidIsValid(type->eq_opr) && OidIsValid(type->hash_proc);
}

void
sf_key_init(MemoryContext context, SfKeyColumn *key, Oid type_id, int32 typmod, Oid collation)
{
	TypeCacheEntry *type = lookup_type_cache(type_id, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_PROC_FINFO);

	key->kind = key_kind(type, collation);
	if (!OidIsValid(type->eq_opr_finfo.fn_oid) ||
	    (key->kind == SF_KEY_FUNCTION && !OidIsValid(type->hash_proc_finfo.fn_oid)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("a continuous view cannot group by type %s", format_type_be(type_id)),
		                errdetail("The type has no default hash operator class."),
		                errhint("Group by an expression of another type, for instance a cast to text.")));
	key->type = type_id;
	key->typmod = typmod;
	key->collation = collation;
	key->typlen = type->typlen;
	key->typbyval = type->typbyval;
	if (key->kind == SF_KEY_FUNCTION)
		fmgr_info_copy(&key->hash, &type->hash_proc_finfo, context);
	fmgr_info_copy(&key->equal, &type->eq_opr_finfo, context);
}

/* sum, avg and stddev of the same keep one state. */
static bool
share_state(SfLayout *layout, int agg)
{
	for (int i = 0; i < agg; i++)
		if (sf_aggregate_same_state(layout->aggs[i], layout->aggs[agg]))
		{
			layout->state_offset[agg] = layout->state_offset[i];
			layout->shares_state[agg] = true;
			return true;
		}
	return false;
}

static void
note_read_lists(SfLayout *layout)
{
	layout->list_is_read = palloc0(sizeof(bool) * Max(layout->nlists, 1));
	for (int i = 0; i < layout->nlists; i++)
		for (int agg = 0; agg < layout->naggs; agg++)
			if (layout->aggs[agg]->list_offset >= 0 && !layout->aggs[agg]->counts_list &&
			    layout->state_offset[agg] + layout->aggs[agg]->list_offset == layout->list_offset[i])
				layout->list_is_read[i] = true;
}

SfLayout *
sf_layout_create(MemoryContext context, int nkeys, const Oid *types, const int32 *typmods, const Oid *collations,
                 int naggs, SfAggregate **aggs)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SfLayout *layout = palloc0(sizeof(SfLayout));
	Size offset;

	if (nkeys > SF_LAYOUT_MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
		                errmsg("a continuous view cannot group by more than %d columns", SF_LAYOUT_MAX_KEYS)));
	layout->nkeys = nkeys;
	layout->keys = palloc0(sizeof(SfKeyColumn) * Max(nkeys, 1));
	for (int i = 0; i < nkeys; i++)
		sf_key_init(context, &layout->keys[i], types[i], typmods[i], collations[i]);

	layout->nulls_offset = sizeof(Datum) * nkeys;
	offset = layout->nulls_offset + sizeof(uint64);
	layout->naggs = naggs;
	layout->aggs = palloc(sizeof(SfAggregate *) * Max(naggs, 1));
	layout->state_offset = palloc(sizeof(Size) * Max(naggs, 1));
	layout->shares_state = palloc0(sizeof(bool) * Max(naggs, 1));
	layout->blob_offset = palloc(sizeof(Size) * Max(naggs, 1));
	layout->list_offset = palloc(sizeof(Size) * Max(naggs, 1));
	for (int i = 0; i < naggs; i++)
		for (int j = 0; j < naggs; j++)
			sf_aggregate_widen(aggs[i], aggs[j]);
	for (int i = 0; i < naggs; i++)
	{
		Assert(aggs[i]->size == MAXALIGN(aggs[i]->size));
		layout->aggs[i] = aggs[i];
		if (share_state(layout, i))
			continue;
		layout->state_offset[i] = offset;
		if (aggs[i]->blob_offset >= 0)
			layout->blob_offset[layout->nblobs++] = offset + aggs[i]->blob_offset;
		if (aggs[i]->list_offset >= 0)
			layout->list_offset[layout->nlists++] = offset + aggs[i]->list_offset;
		offset += aggs[i]->size;
	}
	layout->data_size = MAXALIGN(offset);
	note_read_lists(layout);
	MemoryContextSwitchTo(old);
	return layout;
}

void
sf_layout_let_groups_leave(SfLayout *layout)
{
	Assert(!layout->groups_leave && !layout->of_rows);
	layout->groups_leave = true;
	layout->life_offset = layout->data_size;
	layout->data_size = MAXALIGN(layout->life_offset + sizeof(SfTime));
}

/* What the columns hold does not matter here: a group of rows is never looked for. */
SfLayout *
sf_layout_create_rows(MemoryContext context, int ncolumns, const Oid *types, const int32 *typmods,
                      const Oid *collations)
{
	SfLayout *layout = sf_layout_create(context, 0, NULL, NULL, NULL, 0, NULL);

	Assert(ncolumns <= SF_LAYOUT_MAX_KEYS);
	layout->of_rows = true;
	layout->nkeys = ncolumns;
	layout->keys = MemoryContextAllocZero(context, sizeof(SfKeyColumn) * Max(ncolumns, 1));
	for (int i = 0; i < ncolumns; i++)
	{
		SfKeyColumn *column = &layout->keys[i];

		column->kind = SF_KEY_FUNCTION;
		column->type = types[i];
		column->typmod = typmods[i];
		column->collation = collations[i];
		get_typlenbyval(types[i], &column->typlen, &column->typbyval);
	}
	layout->nulls_offset = sizeof(Datum) * ncolumns;
	layout->data_size = MAXALIGN(layout->nulls_offset + sizeof(uint64));
	return layout;
}

/* Eight bytes at a time; the last word is padded with zeros, so the length counts too. */
static uint32
bytes_hash(const char *bytes, Size length)
{
	uint64 hash = length * UINT64CONST(0xD6E8FEB86659FD93);

	while (length > 0)
	{
		Size step = Min(length, sizeof(uint64));
		uint64 word = 0;

		memcpy(&word, bytes, step);
		hash = (hash ^ word) * UINT64CONST(0x9E3779B97F4A7C15);
		hash ^= hash >> 32;
		bytes += step;
		length -= step;
	}
	hash *= UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (hash >> 32);
}

static inline const char *
text_bytes(Datum value, Size *length)
{
	struct varlena *text = (struct varlena *) DatumGetPointer(value);

	if (VARATT_IS_EXTERNAL(text) || VARATT_IS_COMPRESSED(text))
		text = PG_DETOAST_DATUM_PACKED(value);
	*length = VARSIZE_ANY_EXHDR(text);
	return VARDATA_ANY(text);
}

static inline uint32
key_hash(SfKeyColumn *key, Datum value)
{
	switch (key->kind)
	{
		case SF_KEY_DATUM:
			return sf_int_hash(sf_key_normal(value, key->typlen));
		case SF_KEY_BYTES:
		{
			Size length;
			const char *bytes = text_bytes(value, &length);

			return bytes_hash(bytes, length);
		}
		default:
			if (SF_BUG("numeric-key-by-bytes") && key->type == NUMERICOID)
			{
				Size length;
				const char *bytes = text_bytes(value, &length);

				return bytes_hash(bytes, length);
			}
			return DatumGetUInt32(FunctionCall1Coll(&key->hash, key->collation, value));
	}
}

/* The hash of a key of several columns, column by column. */
static inline uint32
add_column(uint32 hash, int column, uint32 one)
{
	return column == 0 ? one : hash_combine(hash, one);
}

static inline uint32
finish_hash(int nkeys, uint32 hash)
{
	return nkeys > 1 ? murmurhash32(hash) : hash;
}

uint32
sf_key_columns_hash(SfKeyColumn *columns, int nkeys, const Datum *keys, const bool *nulls)
{
	uint32 hash = 0;

	for (int i = 0; i < nkeys; i++)
		hash = add_column(hash, i, nulls[i] ? NULL_KEY_HASH : key_hash(&columns[i], keys[i]));
	return finish_hash(nkeys, hash);
}

uint32
sf_layout_hash(SfLayout *layout, const Datum *keys, const bool *nulls)
{
	return sf_key_columns_hash(layout->keys, layout->nkeys, keys, nulls);
}

void
sf_layout_hash_batch(SfLayout *layout, Datum **keys, bool **nulls, uint32 *hashes, int n)
{
	memset(hashes, 0, sizeof(uint32) * n);
	for (int column = 0; column < layout->nkeys; column++)
	{
		SfKeyColumn *key = &layout->keys[column];
		bool *null = nulls[column];

		for (int i = 0; i < n; i++)
			hashes[i] = add_column(hashes[i], column,
			                       null != NULL && null[i] ? NULL_KEY_HASH : key_hash(key, keys[column][i]));
	}
	if (layout->nkeys > 1)
		for (int i = 0; i < n; i++)
			hashes[i] = finish_hash(layout->nkeys, hashes[i]);
}

bool
sf_key_equal(SfKeyColumn *key, Datum a, Datum b)
{
	switch (key->kind)
	{
		case SF_KEY_DATUM:
			return sf_key_normal(a, key->typlen) == sf_key_normal(b, key->typlen);
		case SF_KEY_BYTES:
		{
			Size length_a;
			Size length_b;
			const char *bytes_a = text_bytes(a, &length_a);
			const char *bytes_b = text_bytes(b, &length_b);

			return length_a == length_b && memcmp(bytes_a, bytes_b, length_a) == 0;
		}
		default:
			return DatumGetBool(FunctionCall2Coll(&key->equal, key->collation, a, b));
	}
}

bool
sf_layout_equal(SfLayout *layout, const Datum *keys_a, const bool *nulls_a, const Datum *keys_b, const bool *nulls_b)
{
	for (int i = 0; i < layout->nkeys; i++)
	{
		if (nulls_a[i] != nulls_b[i])
			return false;
		if (!nulls_a[i] && !sf_key_equal(&layout->keys[i], keys_a[i], keys_b[i]))
			return false;
	}
	return true;
}

void
sf_group_keys(SfLayout *layout, dsa_area *area, const char *data, Datum *keys, bool *nulls)
{
	const Datum *stored = (const Datum *) data;
	uint64 bitmap = *(const uint64 *) (data + layout->nulls_offset);

	for (int i = 0; i < layout->nkeys; i++)
	{
		nulls[i] = (bitmap & (UINT64CONST(1) << i)) != 0;
		if (nulls[i])
			keys[i] = (Datum) 0;
		else if (layout->keys[i].typbyval)
			keys[i] = stored[i];
		else if (SfPointerIsLocal(stored[i]))
			keys[i] = PointerGetDatum(SfPointerToLocal(stored[i]));
		else
			keys[i] = PointerGetDatum(dsa_get_address(area, stored[i]));
	}
}

bool
sf_group_same_keys(SfLayout *layout, dsa_area *area, const char *a, const char *b)
{
	Datum keys[2][SF_LAYOUT_MAX_KEYS];
	bool nulls[2][SF_LAYOUT_MAX_KEYS];

	sf_group_keys(layout, area, a, keys[0], nulls[0]);
	sf_group_keys(layout, area, b, keys[1], nulls[1]);
	return sf_layout_equal(layout, keys[0], nulls[0], keys[1], nulls[1]);
}
