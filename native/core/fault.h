/*
 * SIGBUS in mappings of this library. The handler puts an anonymous page in place of the missing one and sets
 * the owner's status word; then the instruction goes on. Nothing jumps, so this serves copies, atomics and
 * direct accesses of every runtime, and costs nothing without a fault. Every operation checks the status word
 * after its last access and returns EFAULT. In a forked child all mappings become anonymous, as if they had
 * faulted.
 */
#ifndef EMMAP_CORE_FAULT_H
#define EMMAP_CORE_FAULT_H

#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

typedef struct fault_region fault_region_t;

/* Installs the handler once per process. Errors: those of sigaction. */
emmap_error emi_fault_install(void);

/* Watches [base, base + length): a fault there sets EMMAP_STATUS_FAULTED in *status, which must stay valid
 * until emi_fault_forget. `unit` is the page size of the mapping. NULL: no memory. */
fault_region_t *emi_fault_watch(void *base, size_t length, size_t unit, uint32_t *status);

/* Unblocks SIGBUS in the calling thread: if it is blocked, the kernel ends the process at a fault. */
void emi_fault_unblock(void);

/* To be called before the range is unmapped. */
void emi_fault_forget(fault_region_t *region);

#endif
