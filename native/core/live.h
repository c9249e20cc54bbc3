/*
 * The live folder, `PATH-live` beside a queue or block storage that is open for writing: memory that all its writers
 * share while they run. It holds nothing that must survive them. docs/live.md describes bytes and protocol.
 *
 * A handle belongs to it through its descriptor: the slot lasts until the descriptor's last reference is gone, as the
 * kernel's locks do, so that an operation under way keeps its lock through a close.
 *
 *   live_folder.c  makes, opens and removes the folder
 *   live_join.c    which of two ways all writers of a file exclude each other, and slots
 *   live_lock.c    the lock
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

typedef struct live {
    live_state_t *state;
    uint32_t me; /* as owner of the lock word */
    unsigned slot;
    int fd;            /* of `state`; belongs to `descriptor` */
    emmap_file *file;  /* `state`, as opened */
    char *folder;      /* its path */
    uint64_t identity; /* identity and inode of `state` in one: a byte of the range by which writers agree */
    descriptor_t *descriptor;
    emmap_mapping *mapping;
} live_t;

/* ---- The folder (live_folder.c) ---- */

/* Opens the folder's state, without a slot; mapping and descriptor with references. Errors: ENOENT and what else open
 * says; EMMAP_CORRUPT where it is no state; ENOTSUP where it is of another version. */
emmap_error emi_live_folder_open(char *folder, live_t *result);

/* As the first user of the file: opens a new generation of the state, which is made with the folder where it is lacking,
 * and made anew where it is no state, or has other rights than the file. `data` is about the file. LOCK_JOIN on the
 * state is held then, for the caller to give back once it has a slot. Errors: what the system says. */
emmap_error emi_live_folder_begin(char *folder, const struct stat *data, live_t *result);

/* Removes both, if this state is still the folder's. */
void emi_live_folder_remove(live_t *self);

/* Ends what emi_live_folder_open gave. */
void emi_live_folder_close(live_t *self);

/* ---- Belonging to it (live_join.c) ---- */

/*
 * Takes part in the file's live folder: sets descriptor->live, or leaves it NULL where all writers use the kernel's
 * locks. Errors: EBUSY where others use the folder and this handle can't; ENOSPC where no slot is free; ETIMEDOUT;
 * what fcntl says. On failure the handle belongs to neither.
 */
emmap_error emi_live_join(const emmap_file *file, descriptor_t *descriptor, patience_t *patience);

/* Undoes it, for a descriptor that nobody uses any more or whose attach failed. In a forked child it frees memory. */
void emi_live_leave(descriptor_t *descriptor);

/* For tests: whether handles that are opened from now on take part where nobody decided yet. The environment's
 * EMMAP_LIVE=off does the same. */
void emi_live_enable(bool yes);

/* ---- The lock (live_lock.c) ---- */

/* live_lock where the word was not free; apart from the path that is hot. */
emmap_error emi_live_lock_slowly(live_t *self, patience_t *patience);
/* live_unlock where others wait. */
void emi_live_unlock_waking(live_t *self);
/* EFAULT: the state was truncated under its mapping, and excludes nobody now. Gives the lock back. */
emmap_error emi_live_lock_lost(live_t *self);

/* Takes the lock. Handles' own threads exclude each other by structure->threads. Errors: ETIMEDOUT, EFAULT. */
static inline emmap_error live_lock(live_t *self, patience_t *patience)
{
    uint32_t expected = 0;
    /* Model step "try". Acquire: pairs with the release in live_unlock of the owner before. */
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
    /* Model step "release". Release: whoever takes the lock next sees what was stored under it. Sequentially consistent: it
     * comes before the load of `waited` (queue_wake.h). */
    if (!atomic_compare_exchange_strong_explicit(&self->state->lock, &expected, 0, memory_order_seq_cst,
                                                 memory_order_relaxed))
        emi_live_unlock_waking(self);
}

/* Under the lock: whether no other handle that is alive is taking a message out. */
bool emi_live_may_pop(live_t *self);
/* Under the lock: this handle is, until emi_live_end_pop, which needs no lock. */
void emi_live_begin_pop(live_t *self);
void emi_live_end_pop(live_t *self);

/* Whether the handle that the word names has ended, or never was. One question to the kernel. */
bool emi_live_is_dead(const live_t *self, uint32_t owner);

/* Under a slot's lock, whose owner before has ended: nobody has to wait for that one. */
void emi_live_bury(live_state_t *state, unsigned slot);

#endif
