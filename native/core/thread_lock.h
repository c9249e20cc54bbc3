/*
 * A lock between threads, for work that mostly takes nanoseconds. One thread holds it alone, or several share
 * it.
 *
 * Taking the lock costs one locked instruction. Releasing a lock held alone costs a plain store. (A pthread
 * read-write lock costs as much as all the rest of a short write.) Releasing a shared lock costs a second
 * locked instruction, which waits for all earlier stores. So a thread that would share the lock holds it
 * alone, if no other thread has wanted to share it lately.
 *
 * A thread that does not get the lock tries a few more times, then sleeps until a holder releases it. The
 * holder's store of `state` and load of `sleepers` cross the sleeper's store and load (fence.h). A thread
 * that wants the lock alone goes before those that would share it. Running threads are faster than a woken
 * one. So a sleeper that was woken in vain a few times becomes hurried, and the next holder reserves the lock
 * for hurried sleepers.
 */
#ifndef EMMAP_CORE_THREAD_LOCK_H
#define EMMAP_CORE_THREAD_LOCK_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fence.h"

typedef struct thread_lock {
    atomic_uint
        state; /* 0: free; THREAD_LOCK_ALONE, _RESERVED; else the number of threads that share the lock */
    atomic_uint sleepers; /* threads that sleep, or are about to */
    atomic_uint crowd;    /* how many of the next threads that want to share the lock will share it */
    unsigned alone;       /* sleepers that want the lock alone; under `mutex` */
    unsigned hurried;     /* sleepers that were woken in vain too often; under `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t given_back;
} thread_lock_t;

#define THREAD_LOCK_ALONE UINT_MAX
#define THREAD_LOCK_RESERVED (UINT_MAX - 1) /* free, but only for hurried sleepers */

void emi_thread_lock_init(thread_lock_t *self);
void emi_thread_lock_destroy(thread_lock_t *self);

/* Slow paths. */
void emi_thread_lock_sleep(thread_lock_t *self, bool alone);
void emi_thread_lock_wake(thread_lock_t *self);
/* The slow path of thread_lock_give and thread_lock_unshare: threads sleep. */
void emi_thread_lock_give_to_sleepers(thread_lock_t *self);

static inline bool thread_lock_try(thread_lock_t *self)
{
    unsigned none = 0;
    return atomic_compare_exchange_strong_explicit(&self->state, &none, THREAD_LOCK_ALONE,
                                                   memory_order_acquire, memory_order_relaxed);
}

static inline void thread_lock_take(thread_lock_t *self)
{
    if (!thread_lock_try(self))
        emi_thread_lock_sleep(self, true);
}

static inline void thread_lock_give(thread_lock_t *self)
{
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0) {
        emi_thread_lock_give_to_sleepers(self);
        return;
    }
    atomic_store_explicit(&self->state, 0, memory_order_release);
    fence_light();
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0)
        emi_thread_lock_wake(self);
}

static inline bool thread_lock_try_shared(thread_lock_t *self)
{
    unsigned now = atomic_load_explicit(&self->state, memory_order_relaxed);
    while (now < THREAD_LOCK_RESERVED - 1)
        if (atomic_compare_exchange_weak_explicit(&self->state, &now, now + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Threads that share the lock in turn would keep one that wants it alone waiting for ever. */
static inline bool thread_lock_try_sharing(thread_lock_t *self)
{
    return atomic_load_explicit(&self->sleepers, memory_order_relaxed) == 0 && thread_lock_try_shared(self);
}

/* The slow path of thread_lock_share: other threads have the lock. */
void emi_thread_lock_share_in_crowd(thread_lock_t *self);

/* True: the lock is held alone, and has to be released as such. */
static inline bool thread_lock_share(thread_lock_t *self)
{
    if (atomic_load_explicit(&self->crowd, memory_order_relaxed) == 0 &&
        atomic_load_explicit(&self->sleepers, memory_order_relaxed) == 0 && thread_lock_try(self))
        return true;
    emi_thread_lock_share_in_crowd(self);
    return false;
}

static inline void thread_lock_unshare(thread_lock_t *self, bool alone)
{
    if (alone) {
        thread_lock_give(self);
        return;
    }
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0) {
        emi_thread_lock_give_to_sleepers(self);
        return;
    }
    if (atomic_fetch_sub_explicit(&self->state, 1, memory_order_release) > 1)
        return;
    fence_light();
    if (atomic_load_explicit(&self->sleepers, memory_order_relaxed) > 0)
        emi_thread_lock_wake(self);
}

#endif
