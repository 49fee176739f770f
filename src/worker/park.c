/*
 * park.c
 *		Gets the worker out of the way of commands that allow no other connection to a database.
 *
 * DROP DATABASE, CREATE DATABASE from a template, ALTER DATABASE RENAME and SET TABLESPACE give up when somebody is
 * connected, and PostgreSQL makes only autovacuum workers leave.  So before such a command the worker is asked to make
 * everything durable and go; it may come back when the last such command has ended, however it ended.
 */
#include "worker/worker.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "state/shared.h"
#include "worker/dataflow.h"

/* A worker in the middle of a user's function is not waited for any longer than this. */
#define PATIENCE_MS 3000

static ProcessUtility_hook_type next_process_utility;

static Oid
template_of(CreatedbStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return get_database_oid(defGetString(option), true);
	}
	return InvalidOid;
}

/* The database that a command must be alone in, or InvalidOid. */
static Oid
database_to_empty(Node *statement)
{
	ListCell *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return get_database_oid(((DropdbStmt *) statement)->dbname, true);
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) statement);
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return get_database_oid(((RenameStmt *) statement)->subname, true);
			return InvalidOid;
		case T_AlterDatabaseStmt:
			foreach (cell, ((AlterDatabaseStmt *) statement)->options)
				if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
					return get_database_oid(((AlterDatabaseStmt *) statement)->dbname, true);
			return InvalidOid;
		default:
			return InvalidOid;
	}
}

static int
worker_pid(SfDataflow *dataflow, bool park)
{
	int pid;

	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	if (park)
		dataflow->parkers++;
	pid = dataflow->worker_pid;
	LWLockRelease(&sf_shared->lock);
	return pid;
}

static void
park(SfDataflow *dataflow)
{
	TimestampTz since = GetCurrentTimestamp();
	int pid = worker_pid(dataflow, true);

	SF_FAULT("park-asked");
	if (pid == 0)
		return;
	sf_wake_worker(dataflow);
	ConditionVariablePrepareToSleep(&dataflow->progress);
	while ((pid = worker_pid(dataflow, false)) != 0)
	{
		(void) ConditionVariableTimedSleep(&dataflow->progress, 50, PG_WAIT_EXTENSION);
		if (TimestampDifferenceExceeds(since, GetCurrentTimestamp(), PATIENCE_MS))
			(void) kill(pid, SIGTERM);
	}
	ConditionVariableCancelSleep();
}

/* A command that needed a database for itself. */
typedef struct Parking
{
	SfDataflow *dataflow;
	Oid database;
} Parking;

/*
 * Lets the worker start again, when nobody else needs the database for himself; where it is gone its place is free, and
 * so is the memory of its views.  Of two commands the other may have dropped it: then the place is not ours any more.
 */
static void
unpark(const Parking *parking, bool dropped)
{
	SfDataflow *dataflow = parking->dataflow;
	bool ours;

	if (dropped)
		sf_dataflow_discard(dataflow);
	LWLockAcquire(&sf_shared->lock, LW_EXCLUSIVE);
	ours = dataflow->database == parking->database;
	if (ours && dropped)
	{
		dataflow->database = InvalidOid;
		dataflow->parkers = 0;
		pg_atomic_write_u32(&dataflow->vain_starts, 0);
		pg_atomic_write_u32(&dataflow->wanted, 0);
	}
	else if (ours)
		dataflow->parkers--;
	LWLockRelease(&sf_shared->lock);
	if (ours && !dropped)
		sf_wake_worker(dataflow);
}

static void
unpark_on_error(int code, Datum parking)
{
	unpark((Parking *) DatumGetPointer(parking), false);
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree, ProcessUtilityContext context,
                ParamListInfo params, QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *completion)
{
	Parking parking = {NULL, database_to_empty(pstmt->utilityStmt)};

	if (OidIsValid(parking.database))
		parking.dataflow = sf_dataflow_get(parking.database, false);
	if (parking.dataflow == NULL)
	{
		next_process_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest, completion);
		return;
	}
	/* A backend that is terminated in the command must not leave the database without a worker. */
	PG_ENSURE_ERROR_CLEANUP(unpark_on_error, PointerGetDatum(&parking));
	{
		park(parking.dataflow);
		next_process_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest, completion);
	}
	PG_END_ENSURE_ERROR_CLEANUP(unpark_on_error, PointerGetDatum(&parking));
	unpark(&parking, IsA(pstmt->utilityStmt, DropdbStmt));
}

void
sf_park_init(void)
{
	next_process_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = process_utility;
}
