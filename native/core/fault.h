/*
 * SIGBUS inside our mappings: the page that is gone becomes an anonymous one, the owner's status word says so,
 * and the instruction goes on. Nothing is jumped out of, so that copies, atomics and direct accesses of any
 * runtime are all served alike, at no cost where nothing faults. Every operation looks at the status word after
 * its last access and answers EFAULT. A forked child's mappings all become anonymous, as if they had faulted.
 */
#ifndef EMMAP_CORE_FAULT_H
#define EMMAP_CORE_FAULT_H

#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

typedef struct fault_region fault_region_t;

/* Installs the handler, once in the life of the process. Errors: what sigaction says. */
emmap_error emi_fault_install(void);

/*
 * Watches [base, base + length); a fault there sets EMMAP_STATUS_FAULTED in *status, which must stay valid
 * until emi_fault_forget. `unit` is the mapping's page size. NULL: no memory.
 */
fault_region_t *emi_fault_watch(void *base, size_t length, size_t unit, uint32_t *status);

/* Lets the calling thread take SIGBUS: where it is blocked the kernel ends the process instead. */
void emi_fault_unblock(void);

/* To be called before the range is unmapped. */
void emi_fault_forget(fault_region_t *region);

#endif
