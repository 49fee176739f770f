/*
 * fault.h
 *		Named points where a test can make a process wait, fail or die, and named bugs it can switch on.
 *
 * Nothing of it is in a production build: SF_FAULT is no statement there and SF_BUG is false.
 *
 * SF_FAULT("name") stands where a process may sleep and no lightweight lock is held.  SF_BUG("name") is a condition that
 * makes the code around it wrong in a way that would be easy to write; several places may share the name of one bug.
 */
#ifndef SF_FAULT_H
#define SF_FAULT_H

#ifdef STREAMFUSE_TEST
#include "postgres.h"

#include "port/atomics.h"

/* A place in the code.  The linker puts all of them into one array, so that names can be listed and checked. */
typedef struct SfFaultSite
{
	const char *name;
	bool		bug;
	int			index;			/* of its name in shared memory; set at start */
} SfFaultSite;

/* Number of bugs switched on; NULL where the library was not preloaded. */
extern pg_atomic_uint32 *sf_bugs_on;

extern void sf_fault_define_settings(void);
extern Size sf_fault_shmem_size(void);
extern void sf_fault_shmem_init(void);
extern void sf_fault_point(const SfFaultSite *site);
extern bool sf_bug_is_on(const SfFaultSite *site);

#define SF_FAULT_SITE(name, bug) \
	static SfFaultSite site __attribute__((section("sf_fault_sites"), used)) = {name, bug, 0}

#define SF_FAULT(name) \
	do \
	{ \
		SF_FAULT_SITE(name, false); \
		sf_fault_point(&site); \
	} while (0)

#define SF_BUG(name) \
	({ \
		SF_FAULT_SITE(name, true); \
		unlikely(sf_bugs_on != NULL && pg_atomic_read_u32(sf_bugs_on) > 0) && sf_bug_is_on(&site); \
	})
#else
#define SF_FAULT(name) ((void) 0)
#define SF_BUG(name) false
#endif

#endif							/* SF_FAULT_H */
