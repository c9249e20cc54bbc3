/* A queue or storage whose path has come to mean another file. */
#ifndef EMMAP_CORE_STALE_H
#define EMMAP_CORE_STALE_H

#include <stdbool.h>

#include "emmap.h"

/*
 * For an operation that has found nothing, and has ended: looks at the path, once a second at most. *error holds what the
 * operation is to answer, and becomes ESTALE where the path means another file or none. True, with EMMAP_OPEN_FOLLOW: the
 * handle has gone over to the file that is there now, and the operation has to be done once more.
 * Errors: EAGAIN as emi_require_blocking, where it is time for a look; EBUSY where the new file is in use by another name, whose live
 * folder can't be found by this path.
 */
bool emi_stale_went_over(emmap_file *file, emmap_error *error);

/* The time for `looked` of a structure, in ms. */
uint64_t emi_stale_now(void);

/* ESTALE where the path means another file or none. A private mapping is not asked for. */
emmap_error emi_stale_check(emmap_file *file);

/* Whether a look is due and the path means another file, or none: an operation that finds nothing says so then. Takes no
 * lock of the structure's. */
bool emi_stale_is_due(emmap_file *file);

#endif
