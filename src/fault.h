/*
 * fault.h
 *		Named points where a test can make a process wait or fail.  Nothing in a production build.
 */
#ifndef SF_FAULT_H
#define SF_FAULT_H

#ifdef STREAMFUSE_TEST
#include "postgres.h"

extern Size sf_fault_shmem_size(void);
extern void sf_fault_shmem_init(void);
extern void sf_fault_point(const char *name);
#define SF_FAULT(name) sf_fault_point(name)
#else
#define SF_FAULT(name) ((void) 0)
#endif

#endif /* SF_FAULT_H */
