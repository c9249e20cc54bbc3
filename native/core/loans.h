/* The loans of a file, one for each living slice. A shrink looks through them, so that it is refused only for
 * slices beyond the new size. */
#ifndef EMMAP_CORE_LOANS_H
#define EMMAP_CORE_LOANS_H

#include <pthread.h>
#include <stdbool.h>

#include "emmap.h"

/* Owned by the slice, and on the list of its file. */
typedef struct emmap_loan {
    struct emmap_loan *previous, *next;
    uint64_t end;
} loan_t;

typedef struct loans {
    pthread_mutex_t lock; /* its holder waits for nothing, so it may be taken under a pin */
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

/* True if a living slice reaches beyond `size`. */
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
