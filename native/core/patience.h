/* How long an operation waits for locks, and whether its thread may block. */
#ifndef EMMAP_CORE_PATIENCE_H
#define EMMAP_CORE_PATIENCE_H

#include <stdbool.h>

#include "emmap.h"
#include "thread_lock.h"

/* The time that an operation has for all locks that it needs. It counts from the first wait. */
typedef struct patience {
    uint64_t limit; /* ms; EMMAP_NO_LIMIT: none */
    uint64_t end;   /* ns of the monotonic clock; 0: no wait yet */
    long pause;     /* ns to sleep before the next try */
} patience_t;

/* The monotonic clock, in ns. */
uint64_t emi_monotonic_now(void);

/* From the file's lock_timeout, the process's limit and emmap_set_may_block. */
patience_t emi_patience_of(const emmap_options *options);

/* Sleeps a little, longer each time. Errors: ETIMEDOUT at once if the time is over. */
emmap_error emi_patience_rest(patience_t *self);

/* The time that is left, in ns; 0: it is over. Counts from the first call. */
uint64_t emi_patience_left(patience_t *self);

/* Whether the calling thread may block (emmap_set_may_block). */
bool emi_thread_may_block(void);

/* To be called before a step that may take long. Errors: EAGAIN if the thread may not block. */
emmap_error emi_require_blocking(void);

/* The slow path of patience_take: the lock is not free. */
emmap_error emi_patience_take_slowly(thread_lock_t *lock, patience_t *patience);

/* Takes a lock between threads. Errors: ETIMEDOUT. */
static inline emmap_error patience_take(thread_lock_t *lock, patience_t *patience)
{
    return thread_lock_try(lock) ? EMMAP_OK : emi_patience_take_slowly(lock, patience);
}

#endif
