/*
 * Exclusion between threads, for work that mostly takes nanoseconds: one thread holds the lock alone, or several share
 * it. To take the lock costs one locked instruction, and to give back a lock that is held alone costs a plain store;
 * a pthread read-write lock costs as much as all the rest of a short write.
 *
 * A thread that does not get the lock tries a few more times, and then sleeps until a holder gives the lock back. The
 * holder's store of `state` and its load of `sleepers` cross the sleeper's store and load: see fence.h. A thread that
 * wants the lock alone goes before those that would share it.
 */
#ifndef EMMAP_CORE_THREAD_LOCK_H
#define EMMAP_CORE_THREAD_LOCK_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fence.h"

typedef struct thread_lock {
    atomic_uint state;    /* 0: free; THREAD_LOCK_ALONE; else how many threads share the lock */
    atomic_uint sleepers; /* threads that sleep, or are about to */
    unsigned alone;       /* how many of them want the lock alone; under `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t given_back;
} thread_lock;

#define THREAD_LOCK_ALONE UINT_MAX

void thread_lock_init(thread_lock *self);
void thread_lock_destroy(thread_lock *self);

/* Apart from the paths that are hot. */
void thread_lock_sleep(thread_lock *self, bool alone);
void thread_lock_wake(thread_lock *self);

static inline bool thread_lock_try(thread_lock *self)
{
    unsigned none = 0;
    return atomic_compare_exchange_strong_explicit(&self->state, &none, THREAD_LOCK_ALONE,
                                                   memory_order_acquire, memory_order_relaxed);
}

static inline void thread_lock_take(thread_lock *self)
{
    if (!thread_lock_try(self))
        thread_lock_sleep(self, true);
}

static inline void thread_lock_give(thread_lock *self)
{
    atomic_store_explicit(&self->state, 0, memory_order_release);
    fence_light();
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0)
        thread_lock_wake(self);
}

static inline bool thread_lock_try_shared(thread_lock *self)
{
    unsigned now = atomic_load_explicit(&self->state, memory_order_relaxed);
    while (now < THREAD_LOCK_ALONE - 1)
        if (atomic_compare_exchange_weak_explicit(&self->state, &now, now + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Threads that share the lock in turn would starve one that wants it alone. */
static inline bool thread_lock_try_sharing(thread_lock *self)
{
    return atomic_load_explicit(&self->sleepers, memory_order_relaxed) == 0 && thread_lock_try_shared(self);
}

static inline void thread_lock_share(thread_lock *self)
{
    if (!thread_lock_try_sharing(self))
        thread_lock_sleep(self, false);
}

static inline void thread_lock_unshare(thread_lock *self)
{
    if (atomic_fetch_sub_explicit(&self->state, 1, memory_order_release) > 1)
        return;
    fence_light();
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0)
        thread_lock_wake(self);
}

#endif
