/* Containers whose path has come to name another file, or whose live folder was truncated. */
#ifndef EMMAP_CORE_STALE_H
#define EMMAP_CORE_STALE_H

#include <stdbool.h>

#include "emmap.h"

/*
 * For an operation that has found nothing and has ended: checks the path, at most once a second. *error is
 * the operation's result. It becomes ESTALE if the path names another file, or none. With EMMAP_OPEN_FOLLOW:
 * returns true if the handle has switched to the new file; then the operation has to run again. It is ESTALE if
 * the new file can't be opened like the old one, or is in use under another name, so that its live folder can't
 * be found by this path.
 * Errors: EAGAIN as emi_require_blocking, if a check is due; EFAULT if the live folder's state was truncated.
 */
bool emi_stale_went_over(emmap_file *file, emmap_error *error);

/* The time for a container's `looked`, in ms. */
uint64_t emi_stale_now(void);

/* ESTALE if the path names another file, or none. Always EMMAP_OK for a private mapping. */
emmap_error emi_stale_check(emmap_file *file);

/* Whether a check is due and the path names another file, or none: then an operation would return ESTALE.
 * Takes no lock of the container. */
bool emi_stale_is_due(emmap_file *file);

#endif
