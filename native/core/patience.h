/* How long an operation waits for locks, and whether its thread may wait at all. */
#ifndef EMMAP_CORE_PATIENCE_H
#define EMMAP_CORE_PATIENCE_H

#include <stdbool.h>

#include "emmap.h"
#include "thread_lock.h"

/* How long an operation goes on waiting for all the locks that it needs. It counts from the first wait on. */
typedef struct patience {
    uint64_t limit; /* ms; EMMAP_NO_LIMIT */
    uint64_t end;   /* ns, once it counts; else 0 */
    long pause;     /* ns, until the next try */
} patience_t;

/* By the file's lock_timeout, the process's limit and emmap_may_wait. */
patience_t emi_patience_of(const emmap_options *options);

/* Sleeps a little, each time longer. Errors: ETIMEDOUT, at once, when the time is over. */
emmap_error emi_patience_rest(patience_t *self);

/* How much of the time is left, in ns; 0: it is over. It counts from the first call on. */
uint64_t emi_patience_left(patience_t *self);

/* Whether the calling thread may do what takes long (emmap_may_wait). */
bool emi_thread_may_block(void);

/* The same as an error, before what may take long. Errors: EAGAIN where the thread may not wait. */
emmap_error emi_require_blocking(void);

/* patience_take where the lock is not free; apart from the path that is hot. */
emmap_error emi_patience_take_slowly(thread_lock_t *lock, patience_t *patience);

/* Takes a lock between threads. Errors: ETIMEDOUT. */
static inline emmap_error patience_take(thread_lock_t *lock, patience_t *patience)
{
    return thread_lock_try(lock) ? EMMAP_OK : emi_patience_take_slowly(lock, patience);
}

#endif
