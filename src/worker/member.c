/*
 * member.c
 *		A fragment in the worker: made, compiled as its owner, failed, taken apart.
 *
 * Code of a view's owner runs only between sf_owner_enter and sf_owner_leave: as the owner, in a security-restricted
 * operation, under the view's settings where its expressions depend on them.
 */
#include "worker/dataflow.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "fault.h"

void
sf_owner_enter(SfMember *member, bool settings, SfOwnerScope *scope)
{
	GetUserIdAndSecContext(&scope->user, &scope->security_context);
	SetUserIdAndSecContext(member->owner, scope->security_context | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = settings ? sf_view_settings_apply(member->row.view) : 0;
	sf_view_timeout_start();
}

void
sf_owner_leave(SfOwnerScope *scope)
{
	(void) sf_view_timeout_stop();
	/* What the user's code has set goes, too. */
	if (scope->guc_level > 0)
		AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security_context);
}

bool
sf_member_guard(SfMember *member, SfMemberStep step, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool succeeded = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(member, arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		succeeded = true;
	}
	PG_CATCH();
	{
		bool expired = sf_view_timeout_stop();

		MemoryContextSwitchTo(context);
		sf_member_note_error(member, expired);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	return succeeded;
}

static dsa_pointer
allocate_fragment(SfWorker *worker, const SfFragmentRow *row)
{
	dsa_area *area = sf_area();
	dsa_pointer pointer = dsa_allocate_extended(area, sizeof(SfFragment), DSA_ALLOC_ZERO);
	SfFragment *fragment = dsa_get_address(area, pointer);

	fragment->id = row->id;
	fragment->view = row->view;
	fragment->output = row->output;
	fragment->begins_at = row->begins_at;
	LWLockInitialize(&fragment->lock, sf_shared->fragment_tranche);
	pg_atomic_init_u32(&fragment->status, SF_FRAGMENT_STARTING);
	pg_atomic_init_u64(&fragment->memory_from, SF_TICK_NONE);
	pg_atomic_init_u64(&fragment->memory_until, SF_TICK_MAX);
	pg_atomic_init_u32(&fragment->resumes, row->resumes);
	pg_atomic_init_u64(&fragment->spilled_from, SF_TICK_MAX);
	fragment->windows = InvalidDsaPointer;
	fragment->undo_head = fragment->undo_tail = InvalidDsaPointer;
	fragment->evicted_xid = InvalidFullTransactionId;
	fragment->watermark = fragment->closed_until = SF_TIME_MINUS_INFINITY;
	fragment->forgotten_before = SF_LIFE_LEAST;
	fragment->next_end = SF_TIME_INFINITY;
	pg_atomic_init_u64(&fragment->flush_counted, 0);
	pg_atomic_init_u64(&fragment->flush_committed, 0);
	pg_atomic_init_u64(&fragment->flush_checkpointed, 0);
	pg_atomic_init_u64(&fragment->bytes, 0);
	pg_atomic_init_u64(&fragment->undo_bytes, 0);
	pg_atomic_init_u64(&fragment->groups, 0);
	pg_atomic_init_u64(&fragment->rows_in, 0);
	pg_atomic_init_u64(&fragment->rows_late, 0);
	pg_atomic_init_u64(&fragment->rows_missed, 0);
	pg_atomic_init_u64(&fragment->rows_ahead, 0);
	pg_atomic_init_u64(&fragment->rows_read, 0);
	pg_atomic_init_u64(&fragment->rows_failed, 0);

	LWLockAcquire(&worker->dataflow->lock, LW_EXCLUSIVE);
	fragment->next = worker->dataflow->fragments;
	worker->dataflow->fragments = pointer;
	LWLockRelease(&worker->dataflow->lock);
	return pointer;
}

/* The fragment a former worker left in shared memory, or InvalidDsaPointer. */
static dsa_pointer
find_left_over(SfWorker *worker, const SfFragmentRow *row)
{
	dsa_pointer pointer = worker->dataflow->fragments;

	while (DsaPointerIsValid(pointer))
	{
		SfFragment *fragment = dsa_get_address(sf_area(), pointer);

		if (fragment->id == row->id && fragment->view == row->view && !fragment->dropped)
			return pointer;
		pointer = fragment->next;
	}
	return InvalidDsaPointer;
}

/* Locks what a view's definition is made from, without waiting.  False: somebody changes it, or it is gone. */
bool
sf_member_lock(const SfFragmentRow *row)
{
	if (!ConditionalLockRelationOid(row->view, AccessShareLock) || get_rel_relkind(row->view) == '\0')
		return false;
	for (int i = 0; i < row->nstreams; i++)
		if (!ConditionalLockRelationOid(row->streams[i], AccessShareLock) || get_rel_relkind(row->streams[i]) == '\0')
			return false;
	return true;
}

SfMember *
sf_member_create(SfWorker *worker, const SfFragmentRow *row)
{
	MemoryContext own = AllocSetContextCreate(worker->context, "streamfuse member", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	SfMember *member = palloc0(sizeof(SfMember));

	member->row = *row;
	member->context = own;
	member->error_context = AllocSetContextCreate(own, "streamfuse error", ALLOCSET_SMALL_SIZES);
	member->stale = true;
	sf_progress_init(&member->progress, own);
	member->shared_pointer = find_left_over(worker, row);
	member->taken_over = DsaPointerIsValid(member->shared_pointer);
	if (!member->taken_over)
		member->shared_pointer = allocate_fragment(worker, row);
	member->shared = dsa_get_address(sf_area(), member->shared_pointer);
	/* What a former worker had of its own is gone with it. */
	sf_state_count_local(member->shared, 0);
	member->spill = sf_spill_create(own, member->shared);

	MemoryContextSwitchTo(worker->context);
	worker->members = lappend(worker->members, member);
	MemoryContextSwitchTo(old);
	return member;
}

static void
unlink_fragment(SfWorker *worker, dsa_pointer pointer)
{
	dsa_pointer *link = &worker->dataflow->fragments;

	LWLockAcquire(&worker->dataflow->lock, LW_EXCLUSIVE);
	while (*link != pointer)
	{
		Assert(DsaPointerIsValid(*link));
		link = &((SfFragment *) dsa_get_address(sf_area(), *link))->next;
	}
	*link = ((SfFragment *) dsa_get_address(sf_area(), pointer))->next;
	LWLockRelease(&worker->dataflow->lock);
}

/* Frees what nobody reads any more, on the list or not; without a store for it. */
static void
free_positions(SfFragment *fragment)
{
	SfBlobSpace space = {.area = sf_area(), .fragment = fragment, .tick = SF_TICK_NONE};

	sf_state_count_local(fragment, 0);
	for (int i = 0; i < 2; i++)
		if (DsaPointerIsValid(fragment->position[i].data))
			sf_state_free(&space, fragment->position[i].data, fragment->position[i].capacity);
}

/* All that a database had which has been dropped.  There is no worker, and nobody is connected. */
void
sf_dataflow_discard(SfDataflow *dataflow)
{
	while (sf_area() != NULL && DsaPointerIsValid(dataflow->fragments))
	{
		dsa_pointer pointer = dataflow->fragments;
		SfFragment *fragment = dsa_get_address(sf_area(), pointer);

		sf_store_discard(fragment);
		free_positions(fragment);
		LWLockAcquire(&dataflow->lock, LW_EXCLUSIVE);
		dataflow->fragments = fragment->next;
		LWLockRelease(&dataflow->lock);
		dsa_free(sf_area(), pointer);
	}
}

static void
drop_compiled(SfMember *member)
{
	if (member->flow != NULL)
		sf_flow_destroy(member->flow);
	if (member->compiled != NULL)
		MemoryContextDelete(member->compiled);
	member->compiled = NULL;
	member->definition = NULL;
	member->store = NULL;
	sf_spill_attach(member->spill, NULL);
	member->flow = NULL;
	member->closer = NULL;
	member->sessions = NULL;
}

/*
 * The view is gone: so is its state.  Nobody reads it, since the transaction that dropped the view held a lock that no
 * reader's lock admits.
 */
void
sf_member_destroy(SfWorker *worker, SfMember *member)
{
	sf_member_leave_sources(worker, member);
	if (member->store != NULL)
		sf_store_reset(member->store);
	else
		sf_store_discard(member->shared);
	free_positions(member->shared);
	drop_compiled(member);
	unlink_fragment(worker, member->shared_pointer);
	dsa_free(sf_area(), member->shared_pointer);
	worker->members = list_delete_ptr(worker->members, member);
	MemoryContextDelete(member->context);
}

/*
 * Forgets a member that could not be started, whatever it had come to.  What is in shared memory stays, and is found
 * there when it is tried again.
 */
void
sf_member_abandon(SfWorker *worker, SfMember *member)
{
	sf_member_leave_sources(worker, member);
	drop_compiled(member);
	worker->members = list_delete_ptr(worker->members, member);
	MemoryContextDelete(member->context);
}

static Oid
view_owner(Oid view)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("continuous view with OID %u does not exist", view)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The owner may still read what the view reads of a stream, and no row-level security hides rows from him. */
static void
check_rights(SfMember *member, Oid stream)
{
	/* What the query does not name is ours to look at. */
	const SfDefinition *definition = member->definition;
	Bitmapset *columns = sf_flow_columns(definition, stream, definition->has_window);
	int column = -1;

	for (int i = 0; i < definition->nbranches; i++)
		if (definition->branches[i].stream == stream)
			sf_flow_collect_columns((Node *) definition->branches[i].written, &columns);

	if (check_enable_rls(stream, member->owner, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("row-level security on stream \"%s\" applies to the owner of continuous view \"%s\"",
		                       get_rel_name(stream), get_rel_name(member->row.view)),
		                errhint("Let a role that bypasses row-level security own the view.")));
	if (pg_class_aclcheck(stream, member->owner, ACL_SELECT) == ACLCHECK_OK)
		return;
	/* Where no column is named, as in SELECT count(*), the right to any will do. */
	if (bms_is_empty(columns) &&
	    pg_attribute_aclcheck_all(stream, member->owner, ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(stream));
	while ((column = bms_next_member(columns, column)) >= 0)
		if (pg_attribute_aclcheck(stream, column + 1, member->owner, ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(stream));
}

/*
 * Builds definition, store handle and flow anew, as the owner.  Between ticks.  Raises what the definition or the rights
 * raise; the member is then without a flow.
 */
void
sf_member_compile(SfMember *member)
{
	SfOwnerScope scope;
	SfViewOptions options;

	drop_compiled(member);
	/* Before the catalogs are read: what changes meanwhile is compiled again in the next tick. */
	member->stale = false;
	sf_view_options_get(member->row.view, &options);
	member->skip_errors = options.skip_errors;
	member->state_ttl = options.state_ttl;
	member->max_state = options.max_state;
	member->owner = view_owner(member->row.view);
	member->compiled = AllocSetContextCreate(member->context, "streamfuse compiled view", ALLOCSET_DEFAULT_SIZES);
	sf_owner_enter(member, true, &scope);
	member->definition = sf_define(member->compiled, sf_view_query(member->row.view), member->row.view);
	member->store = sf_store_create(member->compiled, member->shared, member->definition->layout);
	sf_spill_attach(member->spill, member->store);
	member->shared->keeps_groups = !sf_spill_is_on(member->spill) || member->state_ttl != SF_TTL_NONE;
	for (int i = 0; i < member->row.nstreams; i++)
		check_rights(member, member->row.streams[i]);
	member->sessions = sf_sessions_create(member->compiled, member->definition, member->store, sf_view_timeout_start);
	member->flow = sf_flow_create(member->compiled, member->definition, member->store, &member->progress,
	                              member->sessions, member->row.begins_at);
	member->closer = sf_closer_create(member->compiled, member->definition, member->store, &member->progress,
	                                  member->sessions, member->row.begins_at, sf_view_timeout_start);
	sf_owner_leave(&scope);
}

/* A page of rows may need several pages for new groups and pre-images: those of some ticks fit above the high mark. */
static uint64
spilling_pages(const SfMember *member)
{
	uint64 limit = (uint64) sf_state_memory_mb * 1024 * 1024;

	if (member->max_state > 0)
		limit = Min(limit, member->max_state);
	return limit / BLCKSZ / 64;
}

int
sf_members_most_pages(List *members)
{
	uint64 part = (uint64) sf_state_memory_mb * (1024 * 1024 / BLCKSZ) / 16;
	uint64 pages = SF_TICK_PAGES;
	ListCell *cell;

	foreach (cell, members)
	{
		SfMember *member = lfirst(cell);

		if (member->definition == NULL)
			continue;
		if (member->definition->stateless)
			pages = Min(pages, Max(part, 16));
		else if (sf_member_can_spill(member))
			pages = Min(pages, Max(spilling_pages(member), 4));
	}
	return (int) pages;
}

void
sf_member_set_status(SfWorker *worker, SfMember *member, SfFragmentStatus status)
{
	pg_atomic_write_u32(&member->shared->status, status);
	if (status == SF_FRAGMENT_RUNNING)
		member->backfilled = true;
	member->must_commit = true;
	ConditionVariableBroadcast(&worker->dataflow->progress);
}

bool
sf_member_stopped(const SfMember *member)
{
	uint32 status = pg_atomic_read_u32(&member->shared->status);

	return status == SF_FRAGMENT_FAILED || status == SF_FRAGMENT_PAUSED;
}

/* It stays where it was published last.  What waits to be tried again does so when it is resumed. */
void
sf_member_pause(SfWorker *worker, SfMember *member)
{
	sf_member_detach(worker, member);
	sf_member_set_status(worker, member, SF_FRAGMENT_PAUSED);
}

bool
sf_member_released(const SfMember *member)
{
	return pg_atomic_read_u64(&member->shared->memory_until) != SF_TICK_MAX;
}

/*
 * A stopped view holds no memory that others could use.  Whoever has pinned a tick up to now reads its groups in memory,
 * who pins one later finds them in the tables.  Its progress in memory goes at once: nobody shall take over from it.
 */
void
sf_member_release(SfWorker *worker, SfMember *member)
{
	if (sf_member_released(member))
		return;
	member->released = pg_atomic_read_u64(&worker->dataflow->published);
	pg_atomic_write_u64(&member->shared->memory_until, member->released);
	pg_memory_barrier();
	sf_progress_unprepare(member->shared, SF_TICK_NONE);
	/* The next tick tells which pins there are. */
	pg_atomic_write_u32(&worker->dataflow->woken, 1);
}

void
sf_member_reclaim(SfMember *member, SfTick oldest_tick)
{
	if (member->released == SF_TICK_NONE || oldest_tick <= member->released)
		return;
	SF_FAULT("stopped-before-release");
	if (member->store != NULL)
		sf_store_reset(member->store);
	else
		sf_store_discard(member->shared);
	if (member->sessions != NULL)
		sf_sessions_forget(member->sessions);
	member->released = SF_TICK_NONE;
}
