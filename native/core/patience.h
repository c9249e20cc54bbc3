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
} patience;

/* By the file's lock_timeout, the process's limit and emmap_may_wait. */
patience patience_of(const emmap_options *options);

/* Sleeps a little, each time longer. Errors: ETIMEDOUT, at once, when the time is over. */
emmap_error patience_rest(patience *self);

/* How much of the time is left, in ns; 0: it is over. It counts from the first call on. */
uint64_t patience_left(patience *self);

/* Whether the calling thread may do what takes long (emmap_may_wait). */
bool patience_for_work(void);

/* The same as an error, before what may take long. Errors: EAGAIN where the thread may not wait. */
emmap_error structure_wait(void);

/* patience_take where the lock is not free; apart from the path that is hot. */
emmap_error patience_take_slowly(thread_lock *lock, patience *patience);

/* Takes a lock between threads. Errors: ETIMEDOUT. */
static inline emmap_error patience_take(thread_lock *lock, patience *patience)
{
    return thread_lock_try(lock) ? EMMAP_OK : patience_take_slowly(lock, patience);
}

#endif
