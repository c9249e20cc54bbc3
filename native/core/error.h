/* Failures: their codes, and details for emmap_last_failure. */
#ifndef EMMAP_CORE_ERROR_H
#define EMMAP_CORE_ERROR_H

#include "emmap.h"

/* Each records the failure for emmap_last_failure and returns its code. */
emmap_error emi_error_set(emmap_error error, const char *reason);
emmap_error emi_error_from_errno(const char *syscall);
emmap_error emi_error_from_syscall(emmap_error error, const char *syscall, const char *reason);
emmap_error emi_error_counters(uint64_t found, uint64_t asked);
emmap_error emi_error_corrupt(uint64_t offset, const char *reason);

/* Records the subject of the last failure, and returns its code. */
emmap_error emi_error_about(emmap_failure_subject about);

/* Restores a failure that clean-up may have overwritten. */
void emi_error_restore(const emmap_failure *failure);

#endif
