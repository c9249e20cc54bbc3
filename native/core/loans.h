/*
 * The loans of a file: one for each of its slices that is alive. A shrink, which is rare, looks through them, so that it is
 * refused for slices that reach beyond the new size and for no others.
 */
#ifndef EMMAP_CORE_LOANS_H
#define EMMAP_CORE_LOANS_H

#include <pthread.h>
#include <stdbool.h>

#include "emmap.h"

/* Owned by the slice; on the list of its mapping's file. */
typedef struct emmap_loan {
    struct emmap_loan *previous, *next;
    uint64_t end;
} loan_t;

typedef struct loans {
    pthread_mutex_t lock; /* waits for nothing while it is held, so it may be taken under a pin */
    loan_t *first;
} loans_t;

static inline void loans_init(loans_t *self)
{
    pthread_mutex_init(&self->lock, NULL);
}

static inline void loans_destroy(loans_t *self)
{
    pthread_mutex_destroy(&self->lock);
}

/* True while a slice that is alive reaches beyond `size`. */
static inline bool loans_beyond(loans_t *self, uint64_t size)
{
    pthread_mutex_lock(&self->lock);
    const loan_t *each = self->first;
    while (each && each->end <= size)
        each = each->next;
    pthread_mutex_unlock(&self->lock);
    return each != NULL;
}

#endif
