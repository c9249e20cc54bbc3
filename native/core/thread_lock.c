#include "thread_lock.h"

/* How often a thread tries before it sleeps: about the length of a short operation. */
#define TRIES 50

/* How many threads share the lock after one was in another's way. So they wait for each other at most once in
 * so many times. */
#define CROWD 1000

/* How often a sleeper is woken in vain before the lock is reserved for it. A reservation costs every thread a
 * context switch. */
#define PATIENCE 4

void emi_thread_lock_init(thread_lock_t *self)
{
    atomic_init(&self->state, 0);
    atomic_init(&self->sleepers, 0);
    atomic_init(&self->crowd, 0);
    self->alone = 0;
    self->hurried = 0;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->given_back, NULL);
}

void emi_thread_lock_destroy(thread_lock_t *self)
{
    /* Sleepers are threads that a forked child does not have. The call would wait for them. */
    if (atomic_load(&self->sleepers) == 0)
        pthread_cond_destroy(&self->given_back);
    pthread_mutex_destroy(&self->mutex);
}

/* The caller holds `mutex`. */
static bool try_now(thread_lock_t *self, bool alone, bool hurried)
{
    unsigned reserved = THREAD_LOCK_RESERVED;
    if (hurried &&
        atomic_compare_exchange_strong_explicit(&self->state, &reserved, alone ? THREAD_LOCK_ALONE : 1,
                                                memory_order_acquire, memory_order_relaxed))
        return true;
    if (alone)
        return thread_lock_try(self);
    return (self->alone == 0 || hurried) && thread_lock_try_shared(self);
}

void emi_thread_lock_sleep(thread_lock_t *self, bool alone)
{
    for (int i = 0; i < TRIES; i++)
        if (alone ? thread_lock_try(self) : thread_lock_try_sharing(self))
            return;
    pthread_mutex_lock(&self->mutex);
    atomic_fetch_add_explicit(&self->sleepers, 1, memory_order_relaxed);
    self->alone += alone;
    /* Either a holder sees that this thread sleeps, or this thread sees that the lock is free. */
    emi_fence_heavy();
    bool hurried = false;
    for (int woken = 0; !try_now(self, alone, hurried); woken++) {
        if (woken == PATIENCE) {
            self->hurried++;
            hurried = true;
        }
        pthread_cond_wait(&self->given_back, &self->mutex);
    }
    self->hurried -= hurried;
    self->alone -= alone;
    atomic_fetch_sub_explicit(&self->sleepers, 1, memory_order_relaxed);
    pthread_mutex_unlock(&self->mutex);
}

void emi_thread_lock_share_in_crowd(thread_lock_t *self)
{
    /* Several threads may lose a count here. It is only a guess. */
    const unsigned left = atomic_load_explicit(&self->crowd, memory_order_relaxed);
    atomic_store_explicit(&self->crowd, left > 0 ? left - 1 : CROWD, memory_order_relaxed);
    if (!thread_lock_try_sharing(self))
        emi_thread_lock_sleep(self, false);
}

void emi_thread_lock_give_to_sleepers(thread_lock_t *self)
{
    pthread_mutex_lock(&self->mutex);
    unsigned next, now = atomic_load_explicit(&self->state, memory_order_relaxed);
    do { /* others that share it may release it without the mutex */
        next = now == THREAD_LOCK_ALONE || now == 1 ? 0 : now - 1;
        if (next == 0 && self->hurried > 0)
            next = THREAD_LOCK_RESERVED;
    } while (!atomic_compare_exchange_weak_explicit(&self->state, &now, next, memory_order_release,
                                                    memory_order_relaxed));
    pthread_cond_broadcast(&self->given_back);
    pthread_mutex_unlock(&self->mutex);
}

void emi_thread_lock_wake(thread_lock_t *self)
{
    pthread_mutex_lock(&self->mutex);
    pthread_cond_broadcast(&self->given_back);
    pthread_mutex_unlock(&self->mutex);
}
