/*
 * Bells. A handle whose door watches descriptors need not sleep in a thread while it waits for a message: its bell
 * is a FIFO in the live folder, of which it has both ends open. A byte in it makes the descriptor readable.
 *
 *   set    the waiter sets its bit in `bells`
 *   take   a thread that wakes a waiter, or ends its wait, takes the bit out. Only one thread can
 *   ring   the thread that took the bit to wake the waiter writes a byte into the FIFO of the bit's slot
 *
 * A waiter whose bit was taken was woken. If its wait ends for another reason, it wakes the next waiter instead. A process may
 * die between take and ring. So a look (wait.h) ends a wait whose bit was taken, too. A byte may come after the wait has
 * ended. Then the next wait ends in vain.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "beside.h"
#include "error.h"
#include "live.h"
#include "pause.h"

/* Held while a handle makes its bell. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

enum { NAME = sizeof LIVE_BELL + 4 };

static void name_of(unsigned slot, char name[NAME])
{
    snprintf(name, NAME, "%s%u", LIVE_BELL, slot % LIVE_SLOTS);
}

/* Both ends, so that the FIFO never breaks, and opening never waits. */
static int open_fifo(int folder, const char *name)
{
    struct stat about;
    const int fd = openat(folder, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode)))
        return fd;
    close(fd);
    errno = ENOTSUP;
    return -1;
}

/* A FIFO with the state's rights. A dead owner of the slot may have left one. */
static emmap_error make_fifo(const live_t *self, int folder, int *fd)
{
    char name[NAME];
    struct stat state;
    name_of(self->slot, name);
    atomic_store_explicit(&self->state->bells_made, 1, memory_order_relaxed);
    unlinkat(folder, name, 0);
    PAUSE("live_bell_begin");
    if (fstat(self->fd, &state) != 0 || mkfifoat(folder, name, 0600) != 0)
        return emi_error_from_errno("mkfifo");
    PAUSE("live_bell_made");
    *fd = open_fifo(folder, name);
    emmap_error error = *fd < 0 ? emi_error_from_errno("open") : EMMAP_OK;
    if (!error)
        error = emi_beside_own(*fd, &state, state.st_mode & 0666);
    if (!error)
        return EMMAP_OK;
    const emmap_failure failure = *emmap_last_failure();
    unlinkat(folder, name, 0);
    if (*fd >= 0)
        close(*fd);
    emi_error_restore(&failure);
    return error;
}

static emmap_error make(live_t *self)
{
    const int folder = emi_live_folder_descriptor(self->folder);
    int fd = -1;
    if (folder < 0)
        return emi_error_from_errno("open");
    emi_descriptor_forbid_fork();
    emmap_error error = make_fifo(self, folder, &fd);
    if (!error && !(self->bell = emi_descriptor_create(fd))) {
        close(fd);
        error = emi_error_set(ENOMEM, NULL);
    }
    emi_descriptor_allow_fork();
    close(folder);
    return error;
}

emmap_error emi_live_bell(live_t *self, int *fd)
{
    pthread_mutex_lock(&making);
    const emmap_error error = self->bell ? EMMAP_OK : make(self);
    if (!error)
        *fd = self->bell->fd;
    pthread_mutex_unlock(&making);
    return error;
}

bool emi_live_has_bell(live_t *self)
{
    pthread_mutex_lock(&making);
    const bool has = self->bell;
    pthread_mutex_unlock(&making);
    return has;
}

static void forget(live_rung_t *self)
{
    if (self->fifo)
        emi_descriptor_release(self->fifo);
    self->fifo = NULL;
}

static void remove_fifo(const live_t *self)
{
    char name[NAME];
    const int folder = emi_live_folder_descriptor(self->folder);
    name_of(self->slot, name);
    atomic_fetch_and(live_bell_word(self->state, self->slot), ~live_bell_bit(self->slot));
    if (folder < 0)
        return;
    unlinkat(folder, name, 0);
    close(folder);
}

void emi_live_bell_free(live_t *self)
{
    forget(&self->rung);
    if (!self->bell)
        return;
    /* A forked child has no descriptors, and its parent goes on. */
    if (self->bell->fd >= 0)
        remove_fifo(self);
    emi_descriptor_release(self->bell);
    self->bell = NULL;
}

/* Opens no folder first, since a push waits for this. */
static int open_bell(const live_t *self, unsigned slot)
{
    char name[NAME], path[PATH_MAX];
    name_of(slot, name);
    return snprintf(path, sizeof path, "%s/%s", self->folder, name) < (int)sizeof path
               ? open_fifo(AT_FDCWD, path)
               : -1;
}

/* The caller has set `busy`. */
static int rung_before(live_t *self, unsigned slot)
{
    live_rung_t *const last = &self->rung;
    const uint32_t generation =
        atomic_load_explicit(&self->state->slot[slot].generation, memory_order_acquire);
    if (last->fifo && last->slot == slot && last->generation == generation)
        return last->fifo->fd;
    forget(last);
    emi_descriptor_forbid_fork();
    const int fd = open_bell(self, slot);
    last->fifo = fd < 0 ? NULL : emi_descriptor_create(fd);
    emi_descriptor_allow_fork();
    last->slot = slot;
    last->generation = generation;
    if (fd >= 0 && !last->fifo)
        close(fd);
    return last->fifo ? fd : -1;
}

/* Writes a byte into the FIFO of a slot. False: its owner has died, or has no FIFO that this process may use. */
static bool ring(live_t *self, unsigned slot)
{
    if (emi_live_is_dead(self, slot + 1))
        return false;
    const bool is_first = !atomic_exchange(&self->rung.busy, true);
    const int fd = is_first ? rung_before(self, slot) : open_bell(self, slot);
    /* A full FIFO is readable. */
    const bool result = fd >= 0 && (write(fd, "", 1) == 1 || errno == EAGAIN);
    if (is_first)
        atomic_store(&self->rung.busy, false);
    else if (fd >= 0)
        close(fd);
    return result;
}

/* Takes the first bit of a slot from `from` to `to` - 1. */
static bool take(live_state_t *state, unsigned from, unsigned to, unsigned *slot)
{
    for (unsigned i = from; i < to; i = (i / 64 + 1) * 64) {
        _Atomic uint64_t *const word = live_bell_word(state, i);
        uint64_t there;
        while ((there = atomic_load(word) >> i % 64) != 0) {
            *slot = i + (unsigned)__builtin_ctzll(there);
            if (*slot >= to)
                return false;
            if (atomic_fetch_and(word, ~live_bell_bit(*slot)) & live_bell_bit(*slot))
                return true;
        }
    }
    return false;
}

bool emi_live_ring(live_t *self, unsigned from, unsigned to)
{
    unsigned slot;
    while (take(self->state, from, to, &slot)) {
        PAUSE("live_bell_taken");
        if (ring(self, slot)) {
            atomic_store_explicit(&self->state->turn, slot + 1, memory_order_relaxed);
            return true;
        }
    }
    return false;
}
