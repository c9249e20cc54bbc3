/*
 * How all writers of a file agree on the way in which they exclude each other, and on slots.
 *
 * Locks on the data file (their bytes are in lock.h):
 *
 *   LOCK_JOIN       exclusive, while a handle joins or leaves
 *   LOCK_KERNEL     shared: this handle uses the kernel's locks
 *   LOCK_LIVE_BASE  shared, at a byte that depends on the state: this handle uses the live folder with this state
 *   LOCK_CONTAINER  shared, by all users of the live folder: a program that only knows the kernel's locks can't change the
 *                   file meanwhile
 *
 * A handle that joins under LOCK_JOIN uses what the others use. The first one decides: the live folder if it
 * can be made, else the kernel's locks.
 */
#define _GNU_SOURCE
#include "live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "beside.h"
#include "error.h"
#include "pause.h"
#include "platform.h"

/* ---- Whether to ---- */

enum { UNDECIDED, YES, NO };
static atomic_int enabled = UNDECIDED;

void emi_live_enable(bool yes)
{
    atomic_store_explicit(&enabled, yes ? YES : NO, memory_order_relaxed);
}

static bool is_enabled(void)
{
    int now = atomic_load_explicit(&enabled, memory_order_relaxed);
    if (now == UNDECIDED) {
        const char *const said = getenv("EMMAP_LIVE");
        now = said && strcmp(said, "off") == 0 ? NO : YES;
        atomic_store_explicit(&enabled, now, memory_order_relaxed);
    }
    return now == YES;
}

/* ---- Slots ---- */

static off_t byte_of_slot(unsigned slot)
{
    return (off_t)(offsetof(live_state_t, slot) + slot * sizeof(live_slot_t));
}

/* `unused`: only slots that were given back. Otherwise also those whose owner has died. */
static emmap_error find_slot(live_t *self, bool unused)
{
    for (unsigned i = 0; i < LIVE_SLOTS; i++) {
        if (unused && atomic_load_explicit(&self->state->slot[i].used, memory_order_relaxed))
            continue;
        const emmap_error error = emi_lock_byte_try(self->fd, byte_of_slot(i), LOCK_EXCLUSIVE);
        if (error != EBUSY) {
            self->slot = i;
            return error;
        }
    }
    return emi_error_set(ENOSPC, "1024 handles have the file open for writing, which is the limit");
}

static void introduce(live_slot_t *slot)
{
    emi_introduce(&slot->owner);
    atomic_store_explicit(&slot->operations, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->waited, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->pushed, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->popped, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting, 0, memory_order_relaxed);
}

/* Reserves disk space for the slot's page, by writing bytes without a meaning. */
static emmap_error reserve(const live_t *self)
{
    static const uint8_t zeros[sizeof self->state->slot->reserved];
    const off_t place = byte_of_slot(self->slot) + (off_t)offsetof(live_slot_t, reserved);
    const ssize_t written = pwrite(self->fd, zeros, sizeof zeros, place);
    if (written == (ssize_t)sizeof zeros)
        return EMMAP_OK;
    return emi_error_from_syscall(written < 0 ? (emmap_error)errno : (emmap_error)ENOSPC, "pwrite",
                                  "`state` in the live folder beside the file takes no other handle");
}

/* The caller holds LOCK_JOIN on the data file. */
static emmap_error take_slot(live_t *self)
{
    emmap_error error = find_slot(self, true);
    if (error == ENOSPC)
        error = find_slot(self, false);
    if (!error)
        error = reserve(self);
    if (error)
        return error;
    PAUSE("live_slot_locked");
    live_slot_t *const slot = &self->state->slot[self->slot];
    /* Before the new generation: then nobody meets a number of this slot that belongs to no owner. */
    emi_live_bury(self->state, self->slot);
    PAUSE("live_slot_buried");
    const uint32_t generation =
        (atomic_load_explicit(&slot->generation, memory_order_relaxed) + 1) & LIVE_OWNER_GENERATIONS;
    introduce(slot);
    atomic_store_explicit(&slot->generation, generation, memory_order_release);
    atomic_store_explicit(&slot->used, 1, memory_order_release);
    self->me = (self->slot + 1) | generation << LIVE_OWNER_GENERATION_SHIFT;
    PAUSE("live_slot_taken");
    return file_faulted(self->file) ? emi_file_check(self->file) : EMMAP_OK;
}

/* ---- Joining ---- */

static emmap_error refused(const char *reason)
{
    return emi_error_set(EBUSY, reason);
}

/* Opens the state that others use, whose byte is `at`. Errors: EBUSY; ENOMEM and the like. */
static emmap_error open_theirs(char *folder, off_t at, live_t *result)
{
    if (!is_enabled())
        return refused(
            "other handles use the live folder beside the file, and EMMAP_LIVE=off forbids it here");
    if (!folder)
        return refused("other handles use a live folder beside the file, which has no path in this process");
    const emmap_error error = emi_live_folder_open(folder, EMMAP_OPEN_WRITE, result);
    switch ((int)error) {
    case EMMAP_OK:
        if (LOCK_LIVE_BASE + (off_t)result->identity == at)
            return EMMAP_OK;
        emi_live_folder_close(result);
        return refused("the live folder beside the file is not the one that other handles use");
    case EACCES:
    case EPERM:
    case EROFS:
        return refused("other handles use the live folder beside the file, which this process may not open");
    case ENOENT:
    case ENOTDIR:
        return refused("other handles use a live folder that was removed, or they have opened the file by "
                       "another name or through another mount");
    case ENOTSUP:
        return refused("other handles use the live folder of another version of emmap");
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return error;
    default:
        return refused("the live folder beside the file is damaged, and other handles use it");
    }
}

/* Announces by locks on the data file what this handle uses, and takes a slot. */
static emmap_error enter(live_t *self, int fd, patience_t *patience)
{
    const off_t agreed = LOCK_LIVE_BASE + (off_t)self->identity;
    emmap_error error = emi_lock_byte_try(fd, agreed, LOCK_SHARED);
    if (error)
        return error;
    PAUSE("live_agreed");
    /* A program that only knows the kernel's locks may be at work. */
    error = emi_lock_acquire(fd, LOCK_CONTAINER, LOCK_SHARED, patience);
    if (!error)
        error = take_slot(self);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        emi_lock_release(fd, LOCK_CONTAINER);
        emi_lock_byte_release(fd, agreed);
        emi_error_restore(&failure);
    }
    return error;
}

static emmap_error use_live(live_t *opened, char *folder, descriptor_t *descriptor, patience_t *patience)
{
    live_t *const self = malloc(sizeof *self);
    emmap_error error = self ? EMMAP_OK : emi_error_set(ENOMEM, NULL);
    if (!error) {
        *self = *opened;
        self->folder = folder;
        error = enter(self, descriptor->fd, patience);
        /* The new generation is in use now. */
        emi_lock_release(self->fd, LOCK_JOIN);
    }
    if (error) {
        emi_live_folder_close(opened);
        free(self);
        free(folder);
        return error;
    }
    descriptor->live = self;
    descriptor->leave = emi_live_leave;
    return EMMAP_OK;
}

/* The caller holds LOCK_JOIN. */
static emmap_error join(const emmap_file *file, descriptor_t *descriptor, patience_t *patience)
{
    const int fd = descriptor->fd;
    bool live_held, kernel_held = false;
    off_t at = 0;
    emmap_error error = emi_lock_range_is_held(fd, LOCK_LIVE_BASE, LOCK_LIVE_LENGTH, &live_held, &at);
    if (!error)
        error = emi_lock_is_held(fd, LOCK_KERNEL, &kernel_held);
    if (error)
        return error;
    if (live_held && kernel_held)
        return refused("some handles use the live folder beside the file, and some the kernel's locks");
    struct stat data;
    live_t opened;
    char *const folder = emi_beside_path(file, fd, LIVE_SUFFIX, &data);
    if (live_held)
        error = open_theirs(folder, at, &opened);
    else if (kernel_held || !is_enabled() || !folder)
        error = ENOTSUP;
    else
        error = emi_live_folder_begin(folder, &data, &opened);
    if (!error)
        error = use_live(&opened, folder, descriptor, patience);
    else
        free(folder);
    /* As long as nobody depends on the folder, it may fail, for example on a full disk. */
    if (!error || live_held || error == ETIMEDOUT)
        return error;
    return emi_lock_try(fd, LOCK_KERNEL, LOCK_SHARED);
}

emmap_error emi_live_join(const emmap_file *file, descriptor_t *descriptor, patience_t *patience)
{
    if (!emi_platform_locks_handles)
        return EMMAP_OK;
    emmap_error error = emi_lock_acquire(descriptor->fd, LOCK_JOIN, LOCK_EXCLUSIVE, patience);
    if (error)
        return error;
    PAUSE("live_join_begin");
    error = join(file, descriptor, patience);
    const emmap_failure failure = *emmap_last_failure();
    emi_lock_release(descriptor->fd, LOCK_JOIN);
    emi_error_restore(&failure);
    PAUSE("live_join_done");
    return error;
}

/* ---- Leaving ---- */

/* The caller holds LOCK_JOIN. The folder stays for the next opener, since making and removing files takes
 * long. It goes with the file. */
static void retire(live_t *self, int fd)
{
    bool held = true;
    off_t at;
    struct stat data;
    if (emi_lock_range_is_held(fd, LOCK_LIVE_BASE, LOCK_LIVE_LENGTH, &held, &at) != EMMAP_OK || held)
        return;
    atomic_store_explicit(&self->state->retired, 1, memory_order_release);
    emi_live_folder_clear(self);
    if (fstat(fd, &data) == 0 && data.st_nlink == 0)
        emi_live_folder_remove(self);
}

static void withdraw(live_t *self, int fd)
{
    emi_live_end_pop(self);
    atomic_store_explicit(&self->state->slot[self->slot].used, 0, memory_order_release);
    PAUSE("live_leave_begin");
    const bool alone = emi_lock_try_often(fd, LOCK_JOIN, LOCK_EXCLUSIVE) == EMMAP_OK;
    if (alone)
        retire(self, fd);
    emi_lock_byte_release(fd, LOCK_LIVE_BASE + (off_t)self->identity);
    emi_lock_release(fd, LOCK_CONTAINER);
    if (alone)
        emi_lock_release(fd, LOCK_JOIN);
    PAUSE("live_leave_done");
}

void emi_live_leave(descriptor_t *descriptor)
{
    live_t *const self = descriptor->live;
    if (!self)
        return;
    const emmap_failure failure = *emmap_last_failure();
    descriptor->live = NULL;
    emi_live_bell_free(self);
    /* A forked child has no descriptors any more, and owns no slot. */
    if (descriptor->fd >= 0 && self->descriptor->fd >= 0)
        withdraw(self, descriptor->fd);
    char *const folder = self->folder;
    emi_live_folder_close(self);
    free(folder);
    free(self);
    emi_error_restore(&failure);
}
