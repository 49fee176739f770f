/*
 * settings_label.c
 *		The text of a stream's security label: parse, format, and the rules of its parts.
 *
 * Pure functions of their arguments; settings.c stores and fetches what they make.  A label that was formatted parses to
 * the same settings in every session.
 */
#include "stream/settings_label.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

SF_NORETURN static void bad_label(const char *label);

static void
bad_label(const char *label)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid security label of provider \"%s\": %s", SF_LABEL_PROVIDER, label),
	                errhint("Use streamfuse.set_watermark, which writes the label.")));
}

void
sf_check_time_column(const char *stream, Form_pg_attribute column)
{
	const char *name = NameStr(column->attname);

	if (column->attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
		                errmsg("system column \"%s\" of stream \"%s\" cannot carry the watermark", name, stream)));
	if (column->atttypid != TIMESTAMPTZOID && column->atttypid != TIMESTAMPOID)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_DATATYPE_MISMATCH),
		     errmsg("column \"%s\" of stream \"%s\" cannot carry the watermark", name, stream),
		     errdetail("It is of type %s, where a watermark needs timestamp with time zone or timestamp "
		               "without time zone.",
		               format_type_be(column->atttypid)),
		     column->atttypid == DATEOID
		         ? errhint("Add a column of type timestamp, for example GENERATED ALWAYS AS (%s::timestamp) STORED.",
		                   quote_identifier(name))
		         : errhint("Add a column of one of these types.")));
	if (!column->attnotnull)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
		                errmsg("column \"%s\" of stream \"%s\" cannot carry the watermark", name, stream),
		                errdetail("It may be null, and a row without a time belongs to no window."),
		                errhint("Use ALTER TABLE ... ALTER COLUMN ... SET NOT NULL.")));
}

void
sf_check_strategy(const char *strategy)
{
	if (strcmp(strategy, "fixed") == 0)
		return;
	if (strcmp(strategy, "adaptive") == 0 || strcmp(strategy, "ingestion") == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("watermark strategy \"%s\" is not supported in this version", strategy),
		                errhint("Use strategy => 'fixed' with a delay.")));
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized watermark strategy \"%s\"", strategy),
	         errhint("Use strategy => 'fixed' with a delay.")));
}

void
sf_check_span(const char *name, const Interval *span)
{
	Interval zero = {0};

	if (span->month != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not have months or years", name),
		                errhint("Give days, each of 24 hours, or hours and below.")));
	if (DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(span), IntervalPGetDatum(&zero))) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be negative", name)));
}

/* One style for all sessions: what it makes reads back the same under every IntervalStyle. */
static char *
format_span(const Interval *span)
{
	struct pg_itm parts;
	char text[MAXDATELEN + 1];

	interval2itm(*span, &parts);
	EncodeInterval(&parts, INTSTYLE_POSTGRES, text);
	return pstrdup(text);
}

static Interval
parse_span(const char *name, const char *text)
{
	Interval *span = DatumGetIntervalP(
	    DirectFunctionCall3(interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

	sf_check_span(name, span);
	return *span;
}

void
sf_parse_max_ahead(const char *text, SfStreamSettings *settings)
{
	memset(&settings->max_ahead, 0, sizeof(Interval));
	settings->max_ahead_infinite = pg_strcasecmp(text, "infinity") == 0;
	if (!settings->max_ahead_infinite)
		settings->max_ahead = parse_span("max_ahead", text);
}

char *
sf_format_max_ahead(const SfStreamSettings *settings)
{
	return settings->max_ahead_infinite ? pstrdup("infinity") : format_span(&settings->max_ahead);
}

static void
append_pair(StringInfo label, const char *key, const char *value)
{
	appendStringInfo(label, "%s%s=\"", label->len == 0 ? "" : " ", key);
	for (; *value != '\0'; value++)
	{
		if (*value == '"')
			appendStringInfoChar(label, '"');
		appendStringInfoChar(label, *value);
	}
	appendStringInfoChar(label, '"');
}

char *
sf_label_format(const SfStreamSettings *settings)
{
	StringInfoData label;

	initStringInfo(&label);
	append_pair(&label, "column", NameStr(settings->time_column));
	append_pair(&label, "strategy", "fixed");
	append_pair(&label, "delay", format_span(&settings->delay));
	append_pair(&label, "max_ahead", sf_format_max_ahead(settings));
	return label.data;
}

/* Takes key="value" off the front of *rest; false when nothing is left. */
static bool
next_pair(const char *label, const char **rest, char **key, char **value)
{
	StringInfoData text;
	const char *at = *rest + strspn(*rest, " ");
	size_t key_length = strcspn(at, "=");

	if (*at == '\0')
		return false;
	*key = pnstrdup(at, key_length);
	at += key_length;
	if (at[0] != '=' || at[1] != '"')
		bad_label(label);
	initStringInfo(&text);
	for (at += 2; *at != '"' || at[1] == '"'; at++)
	{
		if (*at == '\0')
			bad_label(label);
		if (*at == '"')
			at++;
		appendStringInfoChar(&text, *at);
	}
	at++;
	if (*at != '\0' && *at != ' ')
		bad_label(label);
	*value = text.data;
	*rest = at;
	return true;
}

void
sf_label_parse(const char *label, SfStreamSettings *settings)
{
	const char *rest = label;
	char *key;
	char *value;

	memset(settings, 0, sizeof(SfStreamSettings));
	settings->max_ahead.day = 1;
	while (next_pair(label, &rest, &key, &value))
	{
		if (strcmp(key, "column") == 0 && !settings->has_watermark && *value != '\0' && strlen(value) < NAMEDATALEN)
		{
			namestrcpy(&settings->time_column, value);
			settings->has_watermark = true;
		}
		else if (strcmp(key, "strategy") == 0)
			sf_check_strategy(value);
		else if (strcmp(key, "delay") == 0)
			settings->delay = parse_span("delay", value);
		else if (strcmp(key, "max_ahead") == 0)
			sf_parse_max_ahead(value, settings);
		else
			bad_label(label);
		pfree(key);
		pfree(value);
	}
	if (!settings->has_watermark)
		bad_label(label);
}
