#define _GNU_SOURCE
#include "patience.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "error.h"
#include "pin.h"

static _Thread_local bool may_not_block PIN_TLS;
static atomic_uint_least64_t limit = EMMAP_NO_LIMIT;

void emmap_set_may_block(bool yes)
{
    may_not_block = !yes;
}

void emmap_lock_limit(uint64_t milliseconds)
{
    atomic_store_explicit(&limit, milliseconds, memory_order_relaxed);
}

bool emi_thread_may_block(void)
{
    return !may_not_block;
}

patience_t emi_patience_of(const emmap_options *options)
{
    const uint64_t most = may_not_block ? 0 : atomic_load_explicit(&limit, memory_order_relaxed);
    return (patience_t){.limit = options->lock_timeout < most ? options->lock_timeout : most};
}

uint64_t emi_monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waiting for a kernel's lock with a limit would need signals, which belong to the host. So the lock is tried
 * again and again: often at first, since most owners keep a lock for microseconds. */
enum { FIRST_PAUSE = 10 * 1000, LONGEST_PAUSE = 1000 * 1000 };

uint64_t emi_patience_left(patience_t *self)
{
    if (self->limit == 0)
        return 0;
    const uint64_t now = emi_monotonic_now();
    if (self->end == 0) {
        self->end = self->limit > (UINT64_MAX - now) / 1000000 ? UINT64_MAX : now + self->limit * 1000000;
        self->pause = FIRST_PAUSE;
    }
    return now < self->end ? self->end - now : 0;
}

emmap_error emi_patience_rest(patience_t *self)
{
    const uint64_t left = emi_patience_left(self);
    if (left == 0)
        return emi_error_set(ETIMEDOUT, "another handle or process has had the lock all the time");
    nanosleep(&(struct timespec){.tv_nsec = left < (uint64_t)self->pause ? (long)left : self->pause}, NULL);
    self->pause = self->pause < LONGEST_PAUSE / 2 ? 2 * self->pause : LONGEST_PAUSE;
    return EMMAP_OK;
}

emmap_error emi_require_blocking(void)
{
    return emi_thread_may_block() ? EMMAP_OK : emi_error_set(EAGAIN, "the operation would take long");
}

/* A try makes no system call. An operation takes as long as a hundred tries. */
enum { THREAD_TRIES = 200 };

static bool try_lock(thread_lock_t *lock)
{
    for (int i = 0; i < THREAD_TRIES; i++)
        if (thread_lock_try(lock))
            return true;
    return false;
}

emmap_error emi_patience_take_slowly(thread_lock_t *lock, patience_t *patience)
{
    while (!try_lock(lock)) {
        if (patience->limit == EMMAP_NO_LIMIT) {
            thread_lock_take(lock);
            return EMMAP_OK;
        }
        const emmap_error error = emi_patience_rest(patience);
        if (error)
            return error;
    }
    return EMMAP_OK;
}
