/*
 * view_options.c
 *		The options of a continuous view, and the settings it was created under.
 *
 * Options are kept in the view's pg_class.reloptions under dotted names (streamfuse.emit=final), next to PostgreSQL's
 * own, which ignores them when it loads the relation and would refuse them when it validates a change.  So whatever
 * changes them comes through here.  A user writes streamfuse.emit = final; pg_dump writes "streamfuse.emit"='final',
 * and that spelling marks a view that is being restored.
 */
#include "plan/view_internal.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "state/spill.h"
#include "stream/settings.h"

#define PREFIX "streamfuse."
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)

/* With less memory than that a view would do little but spill. */
#define MIN_MAX_STATE_KB 256

/* An option and the values that it takes, the default first; with no other it is the one value that is supported. */
typedef struct OptionSpec
{
	const char *name;
	const char *only;
	const char *other;
} OptionSpec;

static const OptionSpec user_options[] = {
    {"continuous", NULL, NULL},   {"emit", "live", "final"},       {"allowed_lateness", "0", NULL},
    {"lateness", "drop", NULL},   {"emit_every", "off", NULL},     {"state_ttl", "none", NULL},
    {"max_state", "none", NULL},  {"retention", "infinity", NULL}, {"durability", "checkpoint", NULL},
    {"on_error", "stop", "skip"},
};

static const char *const internal_options[] = {SF_OPTION_OUTPUT, SF_OPTION_SETTINGS, SF_OPTION_BEGINS_AT,
                                               SF_OPTION_WINDOW_KEY};

/* What STABLE functions of a view's query may depend on; each can be set by any user. */
static const char *const frozen_settings[] = {
    "TimeZone",   "DateStyle", "IntervalStyle", "search_path",        "lc_monetary",
    "lc_numeric", "lc_time",   "bytea_output",  "extra_float_digits", "default_text_search_config",
    "xmloption",
};

/* Takes a WITH, SET or RESET list apart. */
void
sf_options_split(List *options, SfOptionLists *lists)
{
	ListCell *cell;

	memset(lists, 0, sizeof(*lists));
	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		char *value;
		bool dotted = option->defnamespace == NULL && strncmp(option->defname, PREFIX, PREFIX_LENGTH) == 0;

		if (!dotted && (option->defnamespace == NULL || strcmp(option->defnamespace, "streamfuse") != 0))
		{
			lists->other = lappend(lists->other, option);
			continue;
		}
		if (dotted)
			lists->restored = true;
		value = option->arg ? defGetString(option) : NULL;
		lists->own = lappend(lists->own, makeDefElem(dotted ? option->defname : psprintf(PREFIX "%s", option->defname),
		                                             value ? (Node *) makeString(value) : NULL, option->location));
	}
}

static bool
is_internal(const char *name)
{
	for (size_t i = 0; i < lengthof(internal_options); i++)
		if (strcmp(name, internal_options[i]) == 0)
			return true;
	return false;
}

static const OptionSpec *
find_option(const char *name)
{
	StringInfoData valid;

	for (size_t i = 0; i < lengthof(user_options); i++)
		if (strcmp(name + PREFIX_LENGTH, user_options[i].name) == 0)
			return &user_options[i];

	initStringInfo(&valid);
	for (size_t i = 0; i < lengthof(user_options); i++)
		appendStringInfo(&valid, "%s" PREFIX "%s", i > 0 ? ", " : "", user_options[i].name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized option \"%s\"", name),
	                errhint("Valid options are: %s.", valid.data)));
}

static bool
is_zero_interval(const char *value)
{
	Interval *interval = DatumGetIntervalP(
	    DirectFunctionCall3(interval_in, CStringGetDatum(value), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

	return interval->month == 0 && interval->day == 0 && interval->time == 0;
}

/*
 * The value of state_ttl in microseconds.  A day has 24 hours, since idle time is elapsed time; how long a month is nobody
 * can say.
 */
static int64
parse_ttl(const char *value)
{
	Interval *interval;
	int64 ttl;

	if (strcmp(value, "none") == 0 || pg_strcasecmp(value, "infinity") == 0)
		return SF_TTL_NONE;
	interval = DatumGetIntervalP(
	    DirectFunctionCall3(interval_in, CStringGetDatum(value), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	if (interval->month != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for option \"" SF_OPTION_STATE_TTL "\": \"%s\"", value),
		                errdetail("Months and years have no fixed length."), errhint("Use days.")));
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &ttl) || pg_add_s64_overflow(ttl, interval->time, &ttl) ||
	    ttl <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for option \"" SF_OPTION_STATE_TTL "\": \"%s\"", value),
		                errhint("Valid values are \"none\", \"infinity\" and intervals greater than zero.")));
	return ttl;
}

/* A number of bytes, with a unit as settings have them; 0: none. */
static uint64
max_state_bytes(const char *value)
{
	int64 kilobytes;
	int number;
	const char *hint = NULL;

	if (strcmp(value, "none") == 0)
		return 0;
	if (!parse_int(value, &number, GUC_UNIT_KB, &hint) || number < MIN_MAX_STATE_KB)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("invalid value for option \"%s\": \"%s\"", PREFIX "max_state", value),
		         hint != NULL ? errhint("%s", _(hint))
		                      : errhint("Give at least %d kB, for example \"64MB\", or \"none\".", MIN_MAX_STATE_KB)));
	kilobytes = number;
	return (uint64) kilobytes * 1024;
}

/* Checks one option's value; a name alone means true, as with PostgreSQL's own. */
static void
check_value(const OptionSpec *spec, DefElem *option)
{
	char *value;

	if (option->arg == NULL)
		option->arg = (Node *) makeString("true");
	value = strVal(option->arg);
	if (strcmp(spec->name, "continuous") == 0)
	{
		if (!defGetBoolean(option))
			ereport(ERROR,
			        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" cannot be turned off", option->defname),
			         errhint("Create a materialized view without streamfuse options instead.")));
		option->arg = (Node *) makeString("true");
	}
	else if (strcmp(spec->name, "state_ttl") == 0)
		(void) parse_ttl(value);
	else if (spec->other != NULL)
	{
		if (strcmp(value, spec->only) != 0 && strcmp(value, spec->other) != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("invalid value for option \"%s\": \"%s\"", option->defname, value),
			                errhint("Valid values are \"%s\" and \"%s\".", spec->only, spec->other)));
	}
	else if (strcmp(spec->name, "max_state") == 0)
		(void) max_state_bytes(value);
	else if (strcmp(spec->name, "allowed_lateness") == 0 ? !is_zero_interval(value) : strcmp(value, spec->only) != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("value \"%s\" of option \"%s\" is not supported", value, option->defname),
		                errhint("The only supported value is the default, \"%s\".", spec->only)));
}

/* Reads one name='value' pair; false at the end of the text.  Moves *text behind it. */
static bool
next_setting(const char **text, char **name, char **value)
{
	const char *at = *text;
	const char *start;
	StringInfoData unquoted;

	while (*at == ',' || *at == ' ')
		at++;
	if (*at == '\0')
		return false;
	start = at;
	at = strchr(at, '=');
	if (at == NULL || at[1] != '\'')
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed option \"" SF_OPTION_SETTINGS "\"")));
	*name = pnstrdup(start, at - start);
	initStringInfo(&unquoted);
	for (at += 2; *at; at++)
	{
		if (*at == '\'' && *++at != '\'')
			break;
		appendStringInfoChar(&unquoted, *at);
	}
	*value = unquoted.data;
	*text = at;
	return true;
}

static bool
is_frozen_setting(const char *name)
{
	for (size_t i = 0; i < lengthof(frozen_settings); i++)
		if (strcmp(name, frozen_settings[i]) == 0)
			return true;
	return false;
}

/* Reads the next pair and checks that it is one of ours; false at the end. */
static bool
next_frozen_setting(const char **text, char **name, char **value)
{
	if (!next_setting(text, name, value))
		return false;
	if (!is_frozen_setting(*name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("setting \"%s\" cannot be kept with a continuous view", *name)));
	return true;
}

/* The options that only a dump can carry. */
static void
check_internal(DefElem *option)
{
	const char *text = strVal(option->arg);
	char *name;
	char *value;

	if (strcmp(option->defname, SF_OPTION_SETTINGS) == 0)
		while (next_frozen_setting(&text, &name, &value))
			;
}

/* For CREATE: names, values, no duplicates, and that the view is declared continuous at all. */
void
sf_options_check_create(SfOptionLists *lists)
{
	bool continuous = false;
	ListCell *cell;

	foreach (cell, lists->own)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		ListCell *other;

		foreach (other, lists->own)
			if (lfirst(other) != option && strcmp(lfirst_node(DefElem, other)->defname, option->defname) == 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				                errmsg("option \"%s\" specified more than once", option->defname)));
		if (lists->restored && is_internal(option->defname) && option->arg != NULL)
		{
			check_internal(option);
			continue;
		}
		check_value(find_option(option->defname), option);
		continuous |= strcmp(option->defname, SF_OPTION_CONTINUOUS) == 0;
	}
	if (!continuous)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("option \"%s\" needs \"" SF_OPTION_CONTINUOUS "\"",
		                       linitial_node(DefElem, lists->own)->defname),
		                errhint("Add streamfuse.continuous to the options of the materialized view.")));
}

/* For ALTER ... SET and RESET. */
void
sf_options_check_alter(List *own, bool reset)
{
	ListCell *cell;

	foreach (cell, own)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		const OptionSpec *spec = find_option(option->defname);

		if (!reset)
			check_value(spec, option);
		else if (option->arg != NULL)
			ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("RESET must not include values for parameters")));
		else if (strcmp(spec->name, "continuous") == 0)
			ereport(ERROR,
			        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" cannot be reset", option->defname),
			         errhint("Drop the view and create a materialized view without streamfuse options instead.")));
	}
}

static void
check_ttl(Oid view, const SfDefinition *definition)
{
	if (!sf_is_windowless(definition) || !definition->layout->groups_leave || definition->single_row)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("continuous view \"%s\" has no groups that could be forgotten", get_rel_name(view)),
		         definition->stateless          ? errdetail("It keeps no state.")
		         : sf_is_windowless(definition) ? errdetail("It has a row for all rows of the stream, which stays.")
		                                        : errdetail("Its groups leave memory when their window closes."),
		         errhint("Leave out " SF_OPTION_STATE_TTL ".")));
	for (int i = 0; i < definition->nstreams; i++)
	{
		SfStreamSettings settings;

		sf_stream_settings_get(definition->streams[i], &settings);
		if (!settings.has_watermark)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			                errmsg("stream \"%s\" has no watermark", get_rel_name(definition->streams[i])),
			                errdetail("Without one nobody can say how long a group of \"%s\" has been idle.",
			                          get_rel_name(view)),
			                errhint("Use streamfuse.set_watermark, or leave out " SF_OPTION_STATE_TTL ".")));
	}
}

/* A view is bounded by groups that leave memory. */
static void
check_max_state(Oid view, const SfDefinition *definition, bool forgets)
{
	const SfLayout *layout = definition->layout;

	if (sf_spill_can(layout) && !forgets)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("groups of continuous view \"%s\" cannot leave memory", get_rel_name(view)),
	                definition->stateless   ? errdetail("It keeps no state.")
	                : forgets               ? errdetail("They are forgotten after " SF_OPTION_STATE_TTL ".")
	                : !layout->groups_leave ? errdetail("Only groups over all time leave memory, by their keys.")
	                                        : errdetail("An aggregate of it keeps the rows it is given."),
	                errhint("Leave out " SF_OPTION_MAX_STATE ".")));
}

/* What of the view's options its definition does not allow. */
void
sf_options_check_definition(Oid view, const SfDefinition *definition)
{
	SfViewOptions options;

	sf_view_options_get(view, &options);
	if (options.state_ttl != SF_TTL_NONE)
		check_ttl(view, definition);
	if (options.max_state > 0)
		check_max_state(view, definition, options.state_ttl != SF_TTL_NONE);
}

/* The view's reloptions as a text array, or (Datum) 0. */
static Datum
read_reloptions(Oid view)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Datum options;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	options = isnull ? (Datum) 0 : PointerGetDatum(DatumGetArrayTypePCopy(options));
	ReleaseSysCache(tuple);
	return options;
}

/* Stores a view's reloptions.  The caller holds a lock on the view that keeps other changes of its options out. */
static void
write_reloptions(Oid view, Datum options)
{
	Relation class = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	HeapTuple changed;
	Datum values[Natts_pg_class] = {0};
	bool nulls[Natts_pg_class] = {0};
	bool replaces[Natts_pg_class] = {0};

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	values[Anum_pg_class_reloptions - 1] = options;
	nulls[Anum_pg_class_reloptions - 1] = options == (Datum) 0;
	replaces[Anum_pg_class_reloptions - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(class), values, nulls, replaces);
	CatalogTupleUpdate(class, &changed->t_self, changed);
	ReleaseSysCache(tuple);
	table_close(class, RowExclusiveLock);
	CommandCounterIncrement();
}

/* The elements of a reloptions array that are ours, or those that are not. */
static Datum
filter_reloptions(Datum options, bool own)
{
	ArrayBuildState *kept = NULL;
	Datum *elements;
	int n;

	if (options == (Datum) 0)
		return options;
	deconstruct_array(DatumGetArrayTypeP(options), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char *element = TextDatumGetCString(elements[i]);

		if ((strncmp(element, PREFIX, PREFIX_LENGTH) == 0) == own)
			kept = accumArrayResult(kept, elements[i], false, TEXTOID, CurrentMemoryContext);
	}
	return kept ? makeArrayResult(kept, CurrentMemoryContext) : (Datum) 0;
}

/* Takes our options away, so that PostgreSQL can validate a change of its own; returns them. */
Datum
sf_options_remove_own(Oid view)
{
	Datum options = read_reloptions(view);

	write_reloptions(view, filter_reloptions(options, false));
	return filter_reloptions(options, true);
}

/* Puts back what sf_options_remove_own took away. */
void
sf_options_restore_own(Oid view, Datum own)
{
	Datum options = read_reloptions(view);
	List *definitions = own == (Datum) 0 ? NIL : untransformRelOptions(own);

	write_reloptions(view, transformRelOptions(options, definitions, NULL, NULL, false, false));
}

/* Sets (or resets) options of ours. */
void
sf_options_change(Oid view, List *own, bool reset)
{
	write_reloptions(view, transformRelOptions(read_reloptions(view), own, NULL, NULL, false, reset));
}

void
sf_option_set(Oid view, const char *name, const char *value)
{
	DefElem *option = makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);

	sf_options_change(view, list_make1(option), false);
}

/* The value of an option, or NULL. */
char *
sf_option_get(Oid view, const char *name)
{
	Datum options = read_reloptions(view);
	ListCell *cell;

	if (options == (Datum) 0)
		return NULL;
	foreach (cell, untransformRelOptions(options))
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (option->arg != NULL && strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return NULL;
}

void
sf_view_options_get(Oid view, SfViewOptions *options)
{
	char *emit = sf_option_get(view, SF_OPTION_EMIT);
	char *on_error = sf_option_get(view, SF_OPTION_ON_ERROR);
	char *state_ttl = sf_option_get(view, SF_OPTION_STATE_TTL);
	char *max_state;

	memset(options, 0, sizeof(*options));
	options->continuous = sf_option_get(view, SF_OPTION_CONTINUOUS) != NULL;
	options->emit_final = emit != NULL && strcmp(emit, "final") == 0;
	options->skip_errors = on_error != NULL && strcmp(on_error, "skip") == 0;
	options->output = sf_option_get(view, SF_OPTION_OUTPUT);
	options->state_ttl = state_ttl != NULL ? parse_ttl(state_ttl) : SF_TTL_NONE;
	max_state = sf_option_get(view, SF_OPTION_MAX_STATE);
	options->max_state = max_state != NULL ? max_state_bytes(max_state) : 0;
	options->with_data = sf_option_get(view, SF_OPTION_BEGINS_AT) == NULL;
}

List *
sf_view_user_options(Oid view)
{
	List *options = NIL;

	for (size_t i = 0; i < lengthof(user_options); i++)
	{
		const OptionSpec *spec = &user_options[i];
		char *value = sf_option_get(view, psprintf(PREFIX "%s", spec->name));

		if (value == NULL && spec->other != NULL)
			value = pstrdup(spec->only);
		if (value != NULL && spec->only != NULL)
			options = lappend(options, makeDefElem(pstrdup(spec->name), (Node *) makeString(value), -1));
	}
	return options;
}

/* Windows that start earlier are not the view's; SF_TIME_MINUS_INFINITY: all are. */
SfTime
sf_view_begins_at(Oid view)
{
	char *text = sf_option_get(view, SF_OPTION_BEGINS_AT);

	if (text == NULL)
		return SF_TIME_MINUS_INFINITY;
	return DatumGetTimestampTz(
	    DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

int
sf_view_window_key(Oid view)
{
	char *text = sf_option_get(view, SF_OPTION_WINDOW_KEY);

	return text == NULL ? SF_WINDOW_KEY_UNKNOWN : pg_strtoint32(text);
}

/* ---- settings ---- */

/* The session's settings as name='value' pairs, quotes doubled, separated by commas. */
char *
sf_settings_capture(void)
{
	StringInfoData text;

	initStringInfo(&text);
	for (size_t i = 0; i < lengthof(frozen_settings); i++)
	{
		const char *value = GetConfigOption(frozen_settings[i], false, false);

		appendStringInfo(&text, "%s%s='", i > 0 ? ", " : "", frozen_settings[i]);
		for (; *value; value++)
		{
			if (*value == '\'')
				appendStringInfoChar(&text, '\'');
			appendStringInfoChar(&text, *value);
		}
		appendStringInfoChar(&text, '\'');
	}
	return text.data;
}

int
sf_view_settings_apply(Oid view)
{
	int level = NewGUCNestLevel();
	const char *text = sf_option_get(view, SF_OPTION_SETTINGS);
	char *name;
	char *value;

	while (text != NULL && next_frozen_setting(&text, &name, &value))
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	return level;
}
