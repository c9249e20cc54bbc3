/* The threads that sleep, each for one wait after another. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "patience.h"
#include "wait_threads.h"

enum {
    STACK = 128 << 10, /* bytes; a thread touches two pages */
    /* If the kernel finds another value this often in a row, and a look finds the expected one, then the
     * handle has another file mapped than the one on which the thread sleeps. */
    CHANGES = 1000
};

/* How long an idle thread stays, in ns. */
static const uint64_t idle_time = 5000 * UINT64_C(1000000);

typedef struct sleeper sleeper_t;

/* A thread that sleeps for one wait after the other. */
struct sleeper {
    emmap_wait *wait;        /* under the lock; NULL: idle */
    _Atomic(uint32_t) begun; /* counts the waits given to it */
    sleeper_t *next;         /* in the list of idle ones */
};

/* Another thread ended the wait while the kernel woke this one: the next wait gets the notify. */
static void pass_on(const emmap_wait *self)
{
    emi_wait_wake(self->word, &self->place, 1);
}

/* Marks the thread as about to sleep, and reads the thread's own words. False: the wait has ended. */
static bool fall_asleep(emmap_wait *self, uint32_t seen[2])
{
    pthread_mutex_lock(&emi_waits.lock);
    const bool goes_on = self->ended_by == ENDED_BY_NOBODY;
    self->asleep = goes_on;
    self->queued = false;
    seen[0] = atomic_load(&self->sleeper.kick);
    seen[1] = atomic_load(&self->sleeper.guard);
    pthread_mutex_unlock(&emi_waits.lock);
    return goes_on;
}

/* The kernel does not let threads sleep on this memory: the watcher takes the wait over. */
static void leave(emmap_wait *self)
{
    pthread_mutex_lock(&emi_waits.lock);
    self->asleep = false;
    pthread_mutex_unlock(&emi_waits.lock);
}

static void was_notified(emmap_wait *self)
{
    pthread_mutex_lock(&emi_waits.lock);
    const bool taken = emi_wait_take(self, ENDED_BY_ITS_THREAD);
    const ender_t by = self->ended_by;
    pthread_mutex_unlock(&emi_waits.lock);
    if (taken)
        emi_wait_tell(self, EMMAP_OK);
    else if (by == ENDED_BY_OTHERS)
        pass_on(self);
}

static void sleep_for(emmap_wait *self)
{
    uint32_t seen[2];
    for (int changes = 0; changes < CHANGES && fall_asleep(self, seen);) {
        /* An old kernel compares only half of the word. This look leaves a microsecond in which the other
         * half may change. */
        if (emi_wait_look(self, ENDED_BY_ITS_THREAD))
            return;
        switch (emi_platform_word_sleep(self->word, self->expected, &self->sleeper, seen, self->deadline)) {
        case PLATFORM_SLEEP_WOKEN:
            was_notified(self);
            return;
        case PLATFORM_SLEEP_REFUSED:
            changes = CHANGES;
            break;
        case PLATFORM_SLEEP_CHANGED:
            changes += seen[1] == atomic_load(&self->sleeper.guard);
            break;
        case PLATFORM_SLEEP_OVER:
            changes = 0;
            break;
        }
    }
    leave(self);
}

/* Under the lock: removes the thread from the idle ones. False: it was given a wait. */
static bool retire(sleeper_t *self)
{
    if (self->wait)
        return false;
    sleeper_t **place = &emi_waits.idle;
    while (*place != self)
        place = &(*place)->next;
    *place = self->next;
    emi_waits.sleepers--;
    return true;
}

/* The next wait, or NULL if none came for some time. */
static emmap_wait *next_wait(sleeper_t *self)
{
    const uint64_t deadline = emi_monotonic_now() + idle_time;
    pthread_mutex_lock(&emi_waits.lock);
    self->wait = NULL;
    self->next = emi_waits.idle;
    emi_waits.idle = self;
    while (!self->wait) {
        const uint32_t seen = atomic_load(&self->begun);
        pthread_mutex_unlock(&emi_waits.lock);
        const bool is_over = !emi_platform_word_rest(&self->begun, seen, deadline);
        pthread_mutex_lock(&emi_waits.lock);
        if (is_over && retire(self))
            break;
    }
    emmap_wait *const wait = self->wait;
    pthread_mutex_unlock(&emi_waits.lock);
    return wait;
}

static void *run_sleeper(void *context)
{
    sleeper_t *const self = context;
    emmap_wait *wait = self->wait;
    while (wait) {
        sleep_for(wait);
        emi_wait_release(wait);
        wait = next_wait(self);
    }
    free(self);
    return NULL;
}

bool emi_wait_start_thread(void *(*body)(void *), void *context)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&blocked, own[i]);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(&thread, &attributes, body, context);
    if (error == EINVAL) /* a system with a larger minimum */
        error = pthread_attr_setstacksize(&attributes, 8 * STACK) == 0
                    ? pthread_create(&thread, &attributes, body, context)
                    : error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

bool emi_wait_give_to_sleeper(emmap_wait *wait, const void **rests)
{
    sleeper_t *self = emi_waits.idle;
    *rests = NULL;
    if (self) {
        emi_waits.idle = self->next;
        self->wait = wait;
        atomic_fetch_add(&self->begun, 1);
        *rests = &self->begun;
    } else {
        if (emi_waits.sleepers >= EMMAP_WAIT_LIMIT || !(self = calloc(1, sizeof *self)))
            return false;
        self->wait = wait;
        if (!emi_wait_start_thread(run_sleeper, self)) {
            free(self);
            return false;
        }
        emi_waits.sleepers++;
    }
    emi_wait_retain(wait);
    return true;
}
