/*
 * The live folder, `PATH-live` beside a queue, block storage, cell or table that is open for writing: memory that all
 * writers share while they run. It holds nothing that must survive them. docs/live.md describes its bytes and
 * its protocol.
 *
 * A handle belongs to it through its descriptor. As with the kernel's locks, it keeps its slot until the last
 * reference to the descriptor is gone, so a running operation keeps its lock through a close.
 *
 *   live_folder.c  makes, opens and removes the folder
 *   live_join.c    agreement of all writers on the way in which they exclude each other; slots
 *   live_lock.c    the lock
 *   live_bell.c    FIFOs that wake waits for messages
 *   live_writers.c the handles that use the folder, as their slots describe them
 */
#ifndef EMMAP_CORE_LIVE_H
#define EMMAP_CORE_LIVE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "descriptor.h"
#include "emmap.h"
#include "file.h"
#include "live_layout.h"
#include "lock.h"

/* The bell that a handle rang last, since it mostly rings the same one. */
typedef struct live_rung {
    atomic_bool busy; /* a thread uses it */
    unsigned slot;
    uint32_t generation; /* of the slot: a later owner has another FIFO */
    descriptor_t *fifo;  /* NULL: none */
} live_rung_t;

typedef struct live {
    live_state_t *state;
    uint32_t me; /* this handle as owner of the lock word */
    unsigned slot;
    int fd;            /* the file descriptor of `state`, owned by `descriptor` */
    emmap_file *file;  /* `state`, opened as a file */
    char *folder;      /* the folder's path */
    uint64_t identity; /* made of the identity and inode of `state`; by this number writers agree */
    descriptor_t *descriptor;
    emmap_mapping *mapping;
    live_rung_t rung;
    descriptor_t *bell; /* this handle's FIFO; NULL: none was needed. Under the lock of live_bell.c */
} live_t;

/* ---- The folder (live_folder.c) ---- */

/* The number by which all users of a state agree, of 61 bits: made of the random number in it and of its inode
 * number, which a copy of the state does not share. */
uint64_t emi_live_identity(uint64_t identity, uint64_t inode);

/* Opens the folder's state, without a slot, with references to mapping and descriptor; for writing if the flags
 * say so. Errors: ENOENT and others of open; EMMAP_CORRUPT if it is no state; ENOTSUP for another version. */
emmap_error emi_live_folder_open(char *folder, uint32_t flags, live_t *result);

/* For the first user of the file: opens a new generation of the state. Makes folder and state if they are
 * missing, and the state anew if it is damaged or has other rights than the file (`data`). Takes LOCK_JOIN on
 * the state, which the caller releases when it has a slot. Errors: those of the system. */
emmap_error emi_live_folder_begin(char *folder, const struct stat *data, live_t *result);

/* The folder, for functions of names in it. Below 0: errno says why. */
int emi_live_folder_descriptor(const char *folder);

/* Removes the bells of dead processes. No other handle uses the folder. */
void emi_live_folder_clear(live_t *self);

/* Removes the state and the folder, if this state is still the folder's. */
void emi_live_folder_remove(live_t *self);

/* Ends what emi_live_folder_open opened. */
void emi_live_folder_close(live_t *self);

/* ---- Belonging to it (live_join.c) ---- */

/* Joins the other writers: sets descriptor->live, or leaves it NULL if all writers use the kernel's locks.
 * Errors: EBUSY if others use the folder and this handle can't; ENOSPC if no slot is free; ETIMEDOUT; those
 * of fcntl. On failure the handle has joined nobody. */
emmap_error emi_live_join(const emmap_file *file, descriptor_t *descriptor, patience_t *patience);

/* Undoes emi_live_join, for a descriptor without users or after a failed attach. In a forked child it only
 * frees memory. */
void emi_live_leave(descriptor_t *descriptor);

/* For tests: whether later handles may use a live folder if no other writer has decided yet. EMMAP_LIVE=off
 * in the environment does the same. */
void emi_live_enable(bool yes);

/* ---- Bells (live_bell.c) ---- */

/* Makes this handle's bell, or finds it. `*fd` is its descriptor, which belongs to the handle. */
emmap_error emi_live_bell(live_t *self, int *fd);
bool emi_live_has_bell(live_t *self);
void emi_live_bell_free(live_t *self);

/* The bit in `bells` of a slot, and its word. */
static inline uint64_t live_bell_bit(unsigned slot)
{
    return UINT64_C(1) << slot % 64;
}
static inline _Atomic uint64_t *live_bell_word(live_state_t *state, unsigned slot)
{
    return &state->bells[slot / 64];
}

/* Rings the first bell with a bit among the slots from `from` to `to` - 1. False: there is none. */
bool emi_live_ring(live_t *self, unsigned from, unsigned to);

/* ---- The lock (live_lock.c) ---- */

/* The slow path of live_lock: the word is not free. */
emmap_error emi_live_lock_slowly(live_t *self, patience_t *patience);
/* The slow path of live_unlock: others wait. */
void emi_live_unlock_waking(live_t *self);
/* Releases the lock and returns EFAULT: the state was truncated, and excludes nobody any more. */
emmap_error emi_live_lock_lost(live_t *self);
/* Touches the state. Errors: EFAULT if it was truncated. */
emmap_error emi_live_check(const live_t *self);

/* Takes the lock. Threads of one handle exclude each other by container->threads. Errors: ETIMEDOUT, EFAULT. */
static inline emmap_error live_lock(live_t *self, patience_t *patience)
{
    uint32_t expected = 0;
    /* Model step "try". Acquire: pairs with the release in live_unlock of the previous owner. */
    if (!atomic_compare_exchange_strong_explicit(&self->state->lock, &expected, self->me,
                                                 memory_order_acquire, memory_order_relaxed)) {
        const emmap_error error = emi_live_lock_slowly(self, patience);
        if (error)
            return error;
    }
    return file_faulted(self->file) ? emi_live_lock_lost(self) : EMMAP_OK;
}

static inline void live_unlock(live_t *self)
{
    uint32_t expected = self->me;
    /* Model step "release". Release: the next owner sees all stores under the lock. Sequentially consistent:
     * it comes before the load of `waited` (queue_wake.h). */
    if (!atomic_compare_exchange_strong_explicit(&self->state->lock, &expected, 0, memory_order_seq_cst,
                                                 memory_order_relaxed))
        emi_live_unlock_waking(self);
}

/* Takes the lock if it is free. */
static inline bool live_try_lock(live_t *self)
{
    uint32_t expected = 0;
    if (!atomic_compare_exchange_strong_explicit(&self->state->lock, &expected, self->me,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    if (!file_faulted(self->file))
        return true;
    live_unlock(self);
    return false;
}

/* Under the lock: whether no other living handle is popping in two steps. */
bool emi_live_may_pop(live_t *self);
/* Under the lock: this handle is popping in two steps, until emi_live_end_pop, which needs no lock. */
void emi_live_begin_pop(live_t *self);
void emi_live_end_pop(live_t *self);

/* Copies a slot's description of its owner, except whether it has the lock (live_writers.c). */
void emi_live_describe(const live_slot_t *slot, emmap_writer *writer);

/* Asks the kernel whether the handle that the word names has ended, or never existed. */
bool emi_live_is_dead(const live_t *self, uint32_t owner);

/* Frees everything that the slot's previous owner, which has ended, still holds. Under the slot's lock. */
void emi_live_bury(live_state_t *state, unsigned slot);

#endif
