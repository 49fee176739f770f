/*
 * compare.c
 *		The statement that compares the sides of a verification, and what it calls to compare floating-point numbers.
 *
 * Rows are grouped by all columns that compare exactly; a type that cannot be sorted is compared as text.  Without
 * floating-point results a group's rows on one side, less those on the other, are the difference.  With them, the rows
 * of a group are put in order on each side and compared one by one.
 *
 * The statement runs under the view's settings, search_path among them, so it names the schema of everything.
 */
#include "verify/verify_internal.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(sf_magnitude);
PG_FUNCTION_INFO_V1(sf_magnitude_float4);
PG_FUNCTION_INFO_V1(sf_float_agrees);

/* Two orders of addition agree to this share of the magnitude. */
#define TOLERANCE_FLOAT8 "1e-9"
#define TOLERANCE_FLOAT4 "1e-5"

typedef enum ColumnKind
{
	COLUMN_EXACT,
	COLUMN_TEXT, /* compared in text form */
	COLUMN_FLOAT,
} ColumnKind;

typedef struct Comparison
{
	const SfVerification *verification;
	Relation view;
	TupleDesc columns;
	ColumnKind *kinds;
	int nexact; /* columns that are not COLUMN_FLOAT */
	int nfloat;
} Comparison;

static ColumnKind
column_kind(const SfVerification *verification, int column, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	if (sf_verify_is_float(verification, column, type))
		return COLUMN_FLOAT;
	return OidIsValid(entry->eq_opr) && OidIsValid(entry->lt_opr) ? COLUMN_EXACT : COLUMN_TEXT;
}

static void
append_condition(StringInfo out, const char *column, const char *condition, int *nconditions)
{
	appendStringInfo(out, "%s %s OPERATOR(pg_catalog.%s", (*nconditions)++ == 0 ? " WHERE" : " AND", column, condition);
}

static char *
column_name(const Comparison *comparison, const char *alias, int column)
{
	return psprintf("%s.%s", quote_identifier(alias),
	                quote_identifier(NameStr(TupleDescAttr(comparison->columns, column)->attname)));
}

/* The view's column that shows window_start (1) or window_end (2), or NULL. */
static char *
window_column(const Comparison *comparison, const char *alias, AttrNumber group_column)
{
	AttrNumber column = sf_view_column(comparison->verification->definition, group_column);

	return column == 0 ? NULL : column_name(comparison, alias, column - 1);
}

/* The windows that are compared.  Where there is a condition, verify() has made sure of the column. */
static void
append_windows(StringInfo out, const Comparison *comparison, const char *alias)
{
	const SfVerification *verification = comparison->verification;
	const char *column = window_column(comparison, alias, 1);
	const char *end = window_column(comparison, alias, 2);
	int nconditions = 0;

	if (verification->from != SF_TIME_MINUS_INFINITY)
		append_condition(out, column, ">=) $1", &nconditions);
	if (verification->to != SF_TIME_INFINITY)
		append_condition(out, column, "<) $2", &nconditions);
	if (verification->nexcluded > 0 && verification->definition->window.kind == SF_WINDOW_CUMULATE && end != NULL)
		appendStringInfo(
		    out,
		    "%s NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS x (s, e) "
		    "WHERE x.s OPERATOR(pg_catalog.=) %s AND x.e OPERATOR(pg_catalog.=) %s)",
		    nconditions++ == 0 ? " WHERE" : " AND", column, end);
	else if (verification->nexcluded > 0 && verification->definition->session != NULL)
		appendStringInfo(
		    out,
		    "%s NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS x (s, e) "
		    "WHERE x.s OPERATOR(pg_catalog.<) %s AND %s OPERATOR(pg_catalog.<) x.e)",
		    nconditions++ == 0 ? " WHERE" : " AND", end, column);
	else if (verification->nexcluded > 0)
		append_condition(out, column, "<>) ALL ($3)", &nconditions);
}

/* SELECT number AS side, c1, … [, f2, …, t2, …] FROM the view under this alias */
static void
append_side(StringInfo out, const Comparison *comparison, const char *alias, int number)
{
	bool magnitude = number == 0;

	appendStringInfo(out, "SELECT %d AS side", number);
	for (int i = 0; i < comparison->columns->natts; i++)
	{
		char *column = column_name(comparison, alias, i);

		if (comparison->kinds[i] == COLUMN_EXACT)
			appendStringInfo(out, ", %s AS c%d", column, i);
		else if (comparison->kinds[i] == COLUMN_TEXT)
			appendStringInfo(out, ", CAST(%s AS pg_catalog.text) AS c%d", column, i);
		else if (magnitude)
			appendStringInfo(out, ", NULL AS f%d, CAST(%s AS pg_catalog.float8) AS t%d", i, column, i);
		else
			appendStringInfo(out, ", %s AS f%d, CAST(NULL AS pg_catalog.float8) AS t%d", column, i, i);
	}
	appendStringInfo(out, " FROM %s AS %s",
	                 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(comparison->view)),
	                                            RelationGetRelationName(comparison->view)),
	                 quote_identifier(alias));
	append_windows(out, comparison, alias);
}

/* ", prefix.letter_i" for each column of the one sort or the other; without the first comma. */
static char *
column_list(const Comparison *comparison, const char *prefix, bool floats)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < comparison->columns->natts; i++)
		if ((comparison->kinds[i] == COLUMN_FLOAT) == floats)
			appendStringInfo(&out, "%s%s.%c%d", out.len > 0 ? ", " : "", prefix, floats ? 'f' : 'c', i);
	return out.data;
}

/* side, n, c1, …: rows of one side that the other has fewer of. */
static void
append_exact_difference(StringInfo out, const Comparison *comparison)
{
	char *columns = column_list(comparison, "u", false);

	appendStringInfo(out,
	                 "SELECT CASE WHEN pg_catalog.sum(u.side) OPERATOR(pg_catalog.>) 0 THEN 1 ELSE -1 END AS side, "
	                 "pg_catalog.abs(pg_catalog.sum(u.side)) AS n%s%s FROM (",
	                 *columns ? ", " : "", columns);
	append_side(out, comparison, SF_STREAM_SIDE, 1);
	appendStringInfoString(out, " UNION ALL ");
	append_side(out, comparison, SF_BATCH_SIDE, -1);
	appendStringInfo(out, ") AS u GROUP BY %s HAVING pg_catalog.sum(u.side) OPERATOR(pg_catalog.<>) 0",
	                 *columns ? columns : "()");
}

/* The rows of all sides, numbered on their side in each group of equal rows, with the group's magnitudes. */
static void
append_numbered_rows(StringInfo out, const Comparison *comparison)
{
	char *columns = column_list(comparison, "u", false);
	const char *comma = *columns ? ", " : "";

	appendStringInfo(out,
	                 "SELECT u.side, pg_catalog.row_number() OVER (PARTITION BY %s%su.side ORDER BY %s) AS place%s%s",
	                 columns, comma, column_list(comparison, "u", true), comma, columns);
	for (int i = 0; i < comparison->columns->natts; i++)
		if (comparison->kinds[i] == COLUMN_FLOAT)
			appendStringInfo(out, ", u.f%d, pg_catalog.max(u.t%d) OVER (%s%s) AS t%d", i, i,
			                 *columns ? "PARTITION BY " : "", columns, i);
	appendStringInfoString(out, " FROM (");
	append_side(out, comparison, SF_STREAM_SIDE, 1);
	appendStringInfoString(out, " UNION ALL ");
	append_side(out, comparison, SF_BATCH_SIDE, -1);
	appendStringInfoString(out, " UNION ALL ");
	append_side(out, comparison, SF_MAGNITUDE_SIDE, 0);
	appendStringInfoString(out, ") AS u");
}

/* One row for each place: what each side has there. */
static void
append_pairs(StringInfo out, const Comparison *comparison)
{
	char *columns = column_list(comparison, "r", false);
	const char *comma = *columns ? ", " : "";

	appendStringInfo(out,
	                 "SELECT pg_catalog.bool_or(r.side OPERATOR(pg_catalog.=) 1) AS in_stream, "
	                 "pg_catalog.bool_or(r.side OPERATOR(pg_catalog.=) -1) AS in_batch%s%s",
	                 comma, columns);
	for (int i = 0; i < comparison->columns->natts; i++)
		if (comparison->kinds[i] == COLUMN_FLOAT)
			appendStringInfo(out,
			                 ", pg_catalog.max(r.f%d) FILTER (WHERE r.side OPERATOR(pg_catalog.=) 1) AS s%d"
			                 ", pg_catalog.max(r.f%d) FILTER (WHERE r.side OPERATOR(pg_catalog.=) -1) AS b%d"
			                 ", pg_catalog.max(r.t%d) AS t%d",
			                 i, i, i, i, i, i);
	appendStringInfoString(out, " FROM (");
	append_numbered_rows(out, comparison);
	appendStringInfo(out, ") AS r WHERE r.side OPERATOR(pg_catalog.<>) 0 GROUP BY %s%sr.place", columns, comma);
}

/* side, n, c1, f2, …: both rows of each pair that does not agree. */
static void
append_float_difference(StringInfo out, const Comparison *comparison)
{
	char *columns = column_list(comparison, "p", false);

	appendStringInfo(out, "SELECT x.side, 1 AS n%s%s", *columns ? ", " : "", columns);
	for (int i = 0; i < comparison->columns->natts; i++)
		if (comparison->kinds[i] == COLUMN_FLOAT)
			appendStringInfo(out, ", CASE WHEN x.side OPERATOR(pg_catalog.=) 1 THEN p.s%d ELSE p.b%d END AS f%d", i, i,
			                 i);
	appendStringInfoString(out, " FROM (");
	append_pairs(out, comparison);
	appendStringInfoString(out, ") AS p CROSS JOIN (VALUES (1), (-1)) AS x (side) "
	                            "WHERE CASE WHEN x.side OPERATOR(pg_catalog.=) 1 THEN p.in_stream ELSE p.in_batch END "
	                            "AND NOT (p.in_stream AND p.in_batch");
	for (int i = 0; i < comparison->columns->natts; i++)
		if (comparison->kinds[i] == COLUMN_FLOAT)
		{
			bool float4 = getBaseType(TupleDescAttr(comparison->columns, i)->atttypid) == FLOAT4OID;

			appendStringInfo(out, " AND " SF_SCHEMA ".float_agrees(p.s%d, p.b%d, %s, p.t%d)", i, i,
			                 float4 ? TOLERANCE_FLOAT4 : TOLERANCE_FLOAT8, i);
		}
	appendStringInfoChar(out, ')');
}

/* The columns under the view's names, and of the view's types. */
static void
append_row(StringInfo out, const Comparison *comparison)
{
	const char *separator = "";

	for (int i = 0; i < comparison->columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(comparison->columns, i);
		const char *name = quote_identifier(NameStr(column->attname));

		if (comparison->kinds[i] == COLUMN_TEXT)
			appendStringInfo(out, "%sCAST(d.c%d AS %s) AS %s", separator, i, format_type_be_qualified(column->atttypid),
			                 name);
		else
			appendStringInfo(out, "%sd.%c%d AS %s", separator, comparison->kinds[i] == COLUMN_FLOAT ? 'f' : 'c', i,
			                 name);
		separator = ", ";
	}
}

char *
sf_verify_statement(const SfVerification *verification, Relation view)
{
	Comparison comparison = {verification, view, RelationGetDescr(view), NULL, 0, 0};
	StringInfoData out;

	comparison.kinds = palloc(sizeof(ColumnKind) * (comparison.columns->natts + 1));
	for (int i = 0; i < comparison.columns->natts; i++)
	{
		comparison.kinds[i] = column_kind(verification, i, TupleDescAttr(comparison.columns, i)->atttypid);
		if (comparison.kinds[i] == COLUMN_FLOAT)
			comparison.nfloat++;
		else
			comparison.nexact++;
	}

	initStringInfo(&out);
	appendStringInfoString(&out, "SELECT CASE WHEN d.side OPERATOR(pg_catalog.=) 1 THEN 'stream' ELSE 'batch' END, "
	                             "pg_catalog.to_jsonb(r.*), CAST(pg_catalog.sum(d.n) AS pg_catalog.int8) FROM (");
	if (comparison.nfloat > 0)
		append_float_difference(&out, &comparison);
	else
		append_exact_difference(&out, &comparison);
	appendStringInfoString(&out, ") AS d CROSS JOIN LATERAL (SELECT ");
	append_row(&out, &comparison);
	appendStringInfoString(&out, ") AS r GROUP BY d.side, pg_catalog.to_jsonb(r.*)");
	return out.data;
}

ParamListInfo
sf_verify_params(const SfVerification *verification)
{
	Oid type = verification->definition->time_type;
	ParamListInfo params = makeParamList(4);
	ArrayType *excluded = construct_array(verification->excluded, verification->nexcluded, type, sizeof(int64),
	                                      FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	ArrayType *ends = construct_array(verification->excluded_ends, verification->nexcluded, type, sizeof(int64),
	                                  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);

	params->params[0] = (ParamExternData){Int64GetDatum(verification->from), false, PARAM_FLAG_CONST, type};
	params->params[1] = (ParamExternData){Int64GetDatum(verification->to), false, PARAM_FLAG_CONST, type};
	params->params[2] = (ParamExternData){PointerGetDatum(excluded), false, PARAM_FLAG_CONST, get_array_type(type)};
	params->params[3] = (ParamExternData){PointerGetDatum(ends), false, PARAM_FLAG_CONST, get_array_type(type)};
	return params;
}

/* ---- what the statement calls ---- */

/* magnitude(float8) returns float8: the absolute value, such that no sum of them overflows. */
Datum
sf_magnitude(PG_FUNCTION_ARGS)
{
	float8 value = PG_GETARG_FLOAT8(0);

	PG_RETURN_FLOAT8(isfinite(value) ? Min(fabs(value), ldexp(1, DBL_MAX_EXP - 64)) : 0);
}

/* magnitude_float4(float8) returns float4: the nearest there is. */
Datum
sf_magnitude_float4(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT4((float4) Min(PG_GETARG_FLOAT8(0), FLT_MAX));
}

/* float_agrees(stream float8, batch float8, share float8, magnitude float8) returns bool */
Datum
sf_float_agrees(PG_FUNCTION_ARGS)
{
	float8 stream = PG_ARGISNULL(0) ? 0 : PG_GETARG_FLOAT8(0);
	float8 batch = PG_ARGISNULL(1) ? 0 : PG_GETARG_FLOAT8(1);
	float8 magnitude = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT8(3);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_BOOL(PG_ARGISNULL(0) && PG_ARGISNULL(1));
	if (float8_eq(stream, batch))
		PG_RETURN_BOOL(true);
	if (!isfinite(stream) || !isfinite(batch))
		PG_RETURN_BOOL(false);
	magnitude = Max(magnitude, Max(fabs(stream), fabs(batch)));
	PG_RETURN_BOOL(fabs(stream - batch) <= PG_GETARG_FLOAT8(2) * magnitude);
}
