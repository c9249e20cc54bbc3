#define _GNU_SOURCE
#include "wait_list.h"

#include <errno.h>
#include <stdlib.h>

#include "mapping.h"
#include "patience.h"

wait_list_t emi_waits = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&emi_waits.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&emi_waits.lock);
}

/* The child has none of the threads, and can't use the files of its parent's waits. */
static void in_child(void)
{
    emi_waits.first = NULL;
    emi_waits.waiting = 0;
    emi_waits.idle = NULL;
    emi_waits.sleepers = 0;
    emi_waits.watched = false;
    pthread_mutex_unlock(&emi_waits.lock);
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

void emi_wait_list_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void emi_wait_retain(emmap_wait *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void emi_wait_release(emmap_wait *self)
{
    /* Release on each decrement, acquire on the last: all accesses come before the free. */
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    emi_mapping_release(self->mapping);
    if (self->owner)
        emi_file_release(self->owner);
    free(self);
}

bool emi_wait_take(emmap_wait *self, ender_t by)
{
    if (self->ended_by != ENDED_BY_NOBODY)
        return false;
    self->ended_by = by;
    if (self->next)
        self->next->previous = self->previous;
    *(self->previous ? &self->previous->next : &emi_waits.first) = self->next;
    emi_waits.waiting--;
    if (self->count)
        atomic_fetch_sub_explicit(self->count, 1, memory_order_relaxed);
    if (self->bell)
        self->rung = !(atomic_fetch_and(self->bell, ~self->bell_bit) & self->bell_bit);
    if (by != ENDED_BY_ITS_THREAD && self->asleep) {
        /* The kernel compares the kick when it puts the thread to sleep: it either finds the new value, or
         * the thread sleeps already and is woken. */
        atomic_fetch_add(&self->sleeper.kick, 1);
        emi_platform_word_wake(&self->sleeper.kick, 1, true);
    }
    return true;
}

void emi_wait_pass_on(const emmap_wait *self)
{
    if (self->rung)
        self->pass_on(self->owner);
}

void emi_wait_tell(emmap_wait *self, emmap_error result)
{
    /* The owner's state counts: while it is open, it has another word now. */
    if (self->owner && (result == EMMAP_OK || result == EMMAP_CLOSED))
        result = file_is_closed(self->owner) ? EMMAP_CLOSED : EMMAP_OK;
    if (result)
        emi_wait_pass_on(self);
    self->waiter.done(self->waiter.context, result);
    emi_wait_release(self);
}

static bool wait_end(emmap_wait *self, ender_t by, emmap_error result)
{
    pthread_mutex_lock(&emi_waits.lock);
    const bool taken = emi_wait_take(self, by);
    pthread_mutex_unlock(&emi_waits.lock);
    if (taken)
        emi_wait_tell(self, result);
    return taken;
}

bool emi_wait_look(emmap_wait *self, ender_t by)
{
    int64_t value = self->expected;
    /* Reads through the file's present mapping: a page of an older one may be gone since the file became
     * shorter. The load is sequentially consistent, like the stores before a notify, and so sees them. */
    const emmap_error error = emmap_patomic_load(self->file, self->position, &value);
    if (error || value != self->expected)
        return wait_end(self, by, error);
    /* Not before each sleep: a message that nobody can pop now would end every wait as it begins. */
    const bool asks_owner = self->is_over && by != ENDED_BY_ITS_THREAD;
    if ((asks_owner && self->is_over(self->owner)) ||
        (self->bell && !(atomic_load(self->bell) & self->bell_bit)))
        return wait_end(self, by, EMMAP_OK);
    return self->deadline != UINT64_MAX && emi_monotonic_now() >= self->deadline &&
           wait_end(self, by, (emmap_error)ETIMEDOUT);
}

void emi_wait_take_to(emmap_wait *self, ender_t by, emmap_wait ***last)
{
    emi_wait_take(self, by);
    self->next = NULL;
    **last = self;
    *last = &self->next;
}

void emi_wait_tell_all(emmap_wait *taken, emmap_error result)
{
    for (emmap_wait *next; taken; taken = next) {
        next = taken->next;
        emi_wait_tell(taken, result);
    }
}
