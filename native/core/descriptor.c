#include "descriptor.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock.h"

unsigned int emi_descriptor_forks;

/* Threads that forbid forks at the moment. A fork keeps new ones out and waits for these. */
static atomic_uint forbidding;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* before `list` and the locks of fault.c */

/* All open descriptors, under `list`. */
static descriptor_t *first;
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
    pthread_mutex_lock(&gate);
    /* Acquire: the child sees what they have recorded. */
    while (atomic_load_explicit(&forbidding, memory_order_acquire) > 0)
        sched_yield();
    pthread_mutex_lock(&list);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&list);
    pthread_mutex_unlock(&gate);
}

static void in_child(void)
{
    emi_descriptor_forks++;
    for (descriptor_t *each = first; each; each = each->next) {
        close(each->fd);
        /* The number may become that of one of the child's own files. */
        each->fd = -1;
    }
    after_fork();
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

void emi_descriptor_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void emi_descriptor_forbid_fork(void)
{
    pthread_mutex_lock(&gate);
    atomic_fetch_add_explicit(&forbidding, 1, memory_order_relaxed);
    pthread_mutex_unlock(&gate);
}

void emi_descriptor_allow_fork(void)
{
    atomic_fetch_sub_explicit(&forbidding, 1, memory_order_release);
}

descriptor_t *emi_descriptor_create(int fd)
{
    descriptor_t *const self = malloc(sizeof *self);
    if (!self)
        return NULL;
    *self = (descriptor_t){.fd = fd};
    atomic_init(&self->references, 1);
    pthread_mutex_lock(&list);
    self->next = first;
    if (first)
        first->previous = self;
    first = self;
    pthread_mutex_unlock(&list);
    return self;
}

void emi_descriptor_retain(descriptor_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void emi_descriptor_release(descriptor_t *self)
{
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    if (self->live)
        self->leave(self);
    pthread_mutex_lock(&list);
    if (self->next)
        self->next->previous = self->previous;
    *(self->previous ? &self->previous->next : &first) = self->next;
    /* A child that was forked just now may still have the descriptor, and with it the locks: closing would
     * not drop them. */
    if (self->fd >= 0)
        emi_lock_release_all(self->fd);
    pthread_mutex_unlock(&list);
    if (self->fd >= 0)
        close(self->fd);
    free(self);
}
