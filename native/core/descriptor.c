#define _GNU_SOURCE
#include "descriptor.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock.h"

#ifdef __GLIBC__
/* Those that keep coming would starve a fork otherwise. */
#define UNLOCKED PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#else
#define UNLOCKED PTHREAD_RWLOCK_INITIALIZER
#endif

/* Shared by whoever forbids to fork, exclusively a fork's; before `list` and the locks of fault.c. */
static pthread_rwlock_t forks = UNLOCKED;

/* All that are open, under `list`. */
static descriptor *first;
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
    pthread_rwlock_wrlock(&forks);
    pthread_mutex_lock(&list);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&list);
    pthread_rwlock_unlock(&forks);
}

static void in_child(void)
{
    for (descriptor *each = first; each; each = each->next) {
        close(each->fd);
        /* The child's own files may get the number. */
        each->fd = -1;
    }
    pthread_mutex_unlock(&list);
    /* It was locked by a thread of another number, and could not be unlocked by this one. */
    forks = (pthread_rwlock_t)UNLOCKED;
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

void descriptor_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void descriptor_forbid_fork(void)
{
    pthread_rwlock_rdlock(&forks);
}

void descriptor_allow_fork(void)
{
    pthread_rwlock_unlock(&forks);
}

descriptor *descriptor_create(int fd)
{
    descriptor *const self = malloc(sizeof *self);
    if (!self)
        return NULL;
    *self = (descriptor){.fd = fd};
    atomic_init(&self->references, 1);
    pthread_mutex_lock(&list);
    self->next = first;
    if (first)
        first->previous = self;
    first = self;
    pthread_mutex_unlock(&list);
    return self;
}

void descriptor_retain(descriptor *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void descriptor_release(descriptor *self)
{
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&list);
    if (self->next)
        self->next->previous = self->previous;
    *(self->previous ? &self->previous->next : &first) = self->next;
    /* Closing does not drop the locks where a child has been forked so lately that it has not let go yet. */
    if (self->fd >= 0)
        lock_release_all(self->fd);
    pthread_mutex_unlock(&list);
    if (self->fd >= 0)
        close(self->fd);
    free(self);
}
