/*
 * The slices of a file that are alive. Each is on a list for as long as it lives; a shrink, which is rare, looks
 * through it, so that it is refused for slices that reach beyond the new size and for no others.
 */
#ifndef EMMAP_CORE_LOANS_H
#define EMMAP_CORE_LOANS_H

#include <pthread.h>
#include <stdbool.h>

#include "emmap.h"

typedef struct emmap_loan loan;

typedef struct loans {
    pthread_mutex_t lock; /* waits for nothing while it is held, so it may be taken under a pin */
    loan *first;
} loans;

void loans_init(loans *self);
void loans_destroy(loans *self);

/* Takes a slice of a mapping that the caller holds a pin or reference on. Errors: ENOMEM. */
emmap_error loans_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice);

/* Makes a slice end after `length` bytes, of which it has at least that many. */
void loans_cut(emmap_slice *slice, uint64_t length);

/* True while a slice that is alive reaches beyond `size`. */
bool loans_beyond(loans *self, uint64_t size);

#endif
