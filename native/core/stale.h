/* A queue or storage whose path has come to mean another file. */
#ifndef EMMAP_CORE_STALE_H
#define EMMAP_CORE_STALE_H

#include "emmap.h"

/*
 * What an operation answers that found nothing, outside of its hold: `nothing`, or, once a second at most, what comes of a
 * look at the path. ESTALE where that means another file or none; with EMMAP_OPEN_FOLLOW the handle has then gone over to
 * the file that is there now, and the next operation finds what is in it.
 * Errors: EAGAIN as structure_wait, where it is time for a look.
 */
emmap_error stale_look(emmap_file *file, emmap_error nothing);

/* The time for `looked` of a structure, in ms. */
uint64_t stale_now(void);

/* ESTALE where what the file holds is no longer where its path leads. */
emmap_error stale_check(emmap_file *file);

#endif
