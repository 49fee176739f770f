/*
 * view_internal.h
 *		What the view_*.c files share among themselves; nobody else includes it.
 */
#ifndef SF_VIEW_INTERNAL_H
#define SF_VIEW_INTERNAL_H

#include "plan/fragment.h"
#include "plan/view.h"

/* Names of the options that streamfuse itself keeps with a view; users cannot set them. */
#define SF_OPTION_CONTINUOUS "streamfuse.continuous"
#define SF_OPTION_EMIT "streamfuse.emit"
#define SF_OPTION_MAX_STATE "streamfuse.max_state"
#define SF_OPTION_ON_ERROR "streamfuse.on_error"
#define SF_OPTION_STATE_TTL "streamfuse.state_ttl"
#define SF_OPTION_OUTPUT "streamfuse.output"
#define SF_OPTION_SETTINGS "streamfuse.settings"
#define SF_OPTION_BEGINS_AT "streamfuse.begins_at"
#define SF_OPTION_WINDOW_KEY "streamfuse.window_key"

/* A WITH or SET list taken apart.  Ours become DefElems with the whole dotted name and a String (NULL in RESET). */
typedef struct SfOptionLists
{
	List	   *own;
	List	   *other;
	bool		restored;		/* ours came in pg_dump's spelling: quoted dotted names */
} SfOptionLists;

/* ---- view_options.c ---- */
extern void sf_options_split(List *options, SfOptionLists *lists);
extern void sf_options_check_create(SfOptionLists *lists);
extern void sf_options_check_alter(List *own, bool reset);
extern void sf_options_check_definition(Oid view, const SfDefinition *definition);
extern char *sf_option_get(Oid view, const char *name);
extern void sf_option_set(Oid view, const char *name, const char *value);
extern void sf_options_change(Oid view, List *own, bool reset);
extern Datum sf_options_remove_own(Oid view);
extern void sf_options_restore_own(Oid view, Datum own);
extern char *sf_settings_capture(void);
extern SfTime sf_view_begins_at(Oid view);

/* ---- view_begin.c ---- */

/* The greatest value that a stored row of a relation has for an expression, or SF_TIME_MINUS_INFINITY. */
extern SfTime sf_greatest_stored(Oid relid, const char *expression);

/* The first time, or start of a window, behind all that is stored. */
extern SfTime sf_first_time_after_stored(SfDefinition *definition);

/* ---- view_output.c ---- */
extern Oid	sf_output_create(Oid view, SfDefinition *definition);
extern void sf_output_empty(Oid output);
extern Oid	sf_output_adopt(Oid view, SfDefinition *definition, bool *adopted);
extern Oid	sf_output_restored(Oid view);
extern void sf_output_claim(Oid view);
extern void sf_output_follow_view(Oid view);
extern void sf_output_check_alter(Oid output, AlterTableStmt *stmt);
extern void sf_output_guard_init(void);
extern void sf_output_check_rows(Oid relid);
extern void sf_output_refuse_unique(Oid relid);
extern void sf_output_refuse_change(Oid output, const char *command);

/* ---- view_catalog.c ---- */
extern void sf_fragment_add(const SfFragmentRow *row);
extern bool sf_fragment_pause(Oid view, bool pause);
extern void sf_fragment_remove(Oid view);

#endif /* SF_VIEW_INTERNAL_H */
