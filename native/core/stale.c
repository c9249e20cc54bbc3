/* Following a path. If a new file is renamed over a queue, or the queue is removed and made again, handles of the
 * old file have a file that no other process will ever find. A consumer would wait in it for ever. */
#define _GNU_SOURCE
#include "stale.h"

#include <errno.h>
#include <time.h>

#include "blocks.h"
#include "error.h"
#include "file.h"
#include "live.h"
#include "operation.h"
#include "resize.h"
#include "taken.h"

#define INTERVAL 1000u /* ms */

uint64_t emi_stale_now(void)
{
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_due(container_t *self, uint64_t now, uint64_t *last)
{
    *last = atomic_load_explicit(&self->looked, memory_order_relaxed);
    return now - *last >= INTERVAL;
}

static emmap_error moved_on(void)
{
    return emi_error_set(ESTALE, "the path means another file now, or none: open it anew");
}

/* Opens the file that the path names now with the options of the old one. Errors: ENOENT; others. */
static emmap_error open_successor(emmap_file *file, const container_t *self, emmap_file **result)
{
    emmap_options options = file->options;
    options.flags &=
        ~(uint32_t)(EMMAP_OPEN_CREATE | EMMAP_OPEN_AUTO_UNLINK | EMMAP_OPEN_FIT | EMMAP_OPEN_EXACT);
    options.size = 0;
    if (self->kind == CONTAINER_QUEUE)
        return emmap_queue_open(file->named, &options, result);
    const blocks_shape_t *const shape = &((const blocks_t *)self)->shape;
    return emmap_blocks_open(file->named, shape->block_size, shape->levels, &options, result);
}

/* The caller holds `threads`. */
static void begin_anew(container_t *self, const container_t *successor)
{
    self->owns_locks = successor->owns_locks;
    self->no_holes = successor->no_holes;
    if (self->kind == CONTAINER_QUEUE)
        emi_taken_forget((queue_t *)self);
    if (self->kind == CONTAINER_BLOCKS) {
        blocks_t *const storage = (blocks_t *)self;
        storage->durable = storage->prepared = storage->freed = 0;
        storage->prepared_last_group = 0;
        storage->generation = 0;
        storage->prepared_at = storage->reserved_from = storage->reserved_to = 0;
        storage->settled = false;
    }
}

static emmap_error follow(emmap_file *file, container_t *self)
{
    emmap_file *successor;
    emmap_error error = open_successor(file, self, &successor);
    if (error)
        return error;
    /* The owner of the lock may be waiting for others. The next check is in a second. */
    if (!thread_lock_try(&self->threads)) {
        emmap_free(successor);
        return emi_error_set(EBUSY, NULL);
    }
    /* A pop in two steps has to end on the old file. */
    error = self->pop_locked ? emi_error_set(EBUSY, NULL) : emi_resize_go_over(file, successor);
    if (!error)
        begin_anew(self, successor->container);
    thread_lock_give(&self->threads);
    const emmap_failure failure = *emmap_last_failure();
    emmap_free(successor);
    if (error)
        emi_error_restore(&failure);
    return error;
}

/* Explains an EBUSY: the new file is in use under another name, so its live folder is another one. If another
 * handle is exclusive or in an operation, the failure has the name of a system call, or no reason. */
static bool is_elsewhere(void)
{
    const emmap_failure *const failure = emmap_last_failure();
    return failure->error == EBUSY && failure->reason && !failure->syscall;
}

/* True if the handle has switched files; *error is unchanged then. */
static bool look(emmap_file *file, container_t *self, emmap_error *error)
{
    bool current;
    const emmap_error unknown = emmap_is_current(file, &current);
    if (unknown == EMMAP_CLOSED) {
        *error = unknown;
        return false;
    }
    atomic_store_explicit(&self->stale, !unknown && !current, memory_order_relaxed);
    if (unknown || current)
        return false;
    if (!(file->options.flags & EMMAP_OPEN_FOLLOW)) {
        *error = moved_on();
        return false;
    }
    const emmap_error followed = follow(file, self);
    if (!followed)
        atomic_store_explicit(&self->stale, false, memory_order_relaxed);
    else if (followed == EMMAP_CLOSED)
        *error = followed;
    else if (followed == EBUSY && is_elsewhere())
        *error = emi_error_set(ESTALE, emmap_last_failure()->reason);
    else if (followed != ENOENT && followed != ENOTDIR && followed != EBUSY && followed != ETIMEDOUT)
        *error = moved_on();
    return !followed;
}

static emmap_error check_live(emmap_file *file)
{
    descriptor_t *descriptor;
    emmap_error error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    if (descriptor->live)
        error = emi_live_check(descriptor->live);
    emi_descriptor_release(descriptor);
    return error;
}

bool emi_stale_went_over(emmap_file *file, emmap_error *error)
{
    container_t *const self = atomic_load_explicit(&file->container, memory_order_acquire);
    uint64_t last;
    /* A private copy has no other users. */
    if (!self || !file->named || (file->options.flags & EMMAP_OPEN_PRIVATE))
        return false;
    const uint64_t now = emi_stale_now();
    /* Once known, staleness is reported every time. */
    const bool known = atomic_load_explicit(&self->stale, memory_order_relaxed) &&
                       !(file->options.flags & EMMAP_OPEN_FOLLOW);
    if (!is_due(self, now, &last) && !known)
        return false;
    const emmap_error busy = emi_require_blocking();
    if (busy) {
        *error = busy;
        return false;
    }
    if (!atomic_compare_exchange_strong(&self->looked, &last, now) && !known)
        return false;
    /* An operation that finds nothing may not have touched the live folder's state. */
    const emmap_error lost = check_live(file);
    if (lost) {
        *error = lost;
        return false;
    }
    return look(file, self, error);
}

emmap_error emi_stale_check(emmap_file *file)
{
    bool current;
    if (file->options.flags & EMMAP_OPEN_PRIVATE)
        return EMMAP_OK;
    /* A failed check tells nothing. */
    const emmap_error error = emmap_is_current(file, &current);
    return !error && !current ? moved_on() : EMMAP_OK;
}

bool emi_stale_is_due(emmap_file *file)
{
    container_t *const self = atomic_load_explicit(&file->container, memory_order_acquire);
    uint64_t last;
    bool current = true;
    const uint64_t now = emi_stale_now();
    if (!self || !file->named || (file->options.flags & EMMAP_OPEN_PRIVATE) || !is_due(self, now, &last))
        return false;
    if (emmap_is_current(file, &current) == EMMAP_OK && !current)
        return true;
    atomic_compare_exchange_strong(&self->looked, &last, now);
    return false;
}
