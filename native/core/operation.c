#include "operation.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "live.h"

/* Waits for CONTAINER and tries POP. If both are free, one call takes both. */
static emmap_error lock_both_in_kernel(int fd, patience_t *patience)
{
    emmap_error error = emi_lock_try_often(fd, LOCK_CONTAINER_AND_POP, LOCK_EXCLUSIVE);
    if (error != EBUSY)
        return error;
    error = emi_lock_acquire(fd, LOCK_CONTAINER, LOCK_EXCLUSIVE, patience);
    if (error)
        return error;
    error = emi_lock_try(fd, LOCK_POP, LOCK_EXCLUSIVE);
    if (error)
        emi_lock_release(fd, LOCK_CONTAINER);
    return error;
}

static emmap_error lock_live(live_t *live, bool both, patience_t *patience)
{
    emmap_error error = live_lock(live, patience);
    if (!error && both && !emi_live_may_pop(live)) {
        live_unlock(live);
        error = EBUSY;
    }
    return error;
}

/* Excludes other handles and processes. Errors: EBUSY if another handle is popping in two steps; ETIMEDOUT;
 * EFAULT; those of fcntl. */
static emmap_error lock_others(const descriptor_t *descriptor, bool both, patience_t *patience)
{
    if (descriptor->live)
        return lock_live(descriptor->live, both, patience);
    return both ? lock_both_in_kernel(descriptor->fd, patience)
                : emi_lock_acquire(descriptor->fd, LOCK_CONTAINER, LOCK_EXCLUSIVE, patience);
}

static void unlock_others(const descriptor_t *descriptor, bool both)
{
    if (descriptor->live)
        live_unlock(descriptor->live);
    else
        emi_lock_release(descriptor->fd, both ? LOCK_CONTAINER_AND_POP : LOCK_CONTAINER);
}

/* The caller gets descriptor and mapping of the same file, since stale.c replaces both under `threads`. */
static emmap_error lock(operation_t *self, lock_subject_t subject)
{
    container_t *const container = self->container;
    const bool both = subject == LOCK_CONTAINER_AND_POP;
    patience_t patience = emi_patience_of(&self->file->options);
    emmap_error error = patience_take(&container->threads, &patience);
    if (error)
        return error;
    error = emi_file_descriptor(self->file, &self->descriptor);
    if (!error && both && container->pop_locked)
        error = EBUSY;
    else if (!error && !container->owns_locks)
        error = lock_others(self->descriptor, both, &patience);
    if (error) {
        thread_lock_give(&container->threads);
        return error == EBUSY ? emi_error_set(EBUSY, "a two-step pop of the first message is in progress")
                              : error;
    }
    self->mutexed = self->locked = true;
    self->pop_locked = both;
    return EMMAP_OK;
}

static inline void unlock(operation_t *self)
{
    container_t *const container = self->container;
    if (self->locked && !container->owns_locks)
        unlock_others(self->descriptor, self->pop_locked);
    if (self->mutexed)
        thread_lock_give(&container->threads);
}

emmap_error emi_operation_begin_on(emmap_file *file, container_t *container, lock_subject_t subject,
                                   operation_t *self)
{
    *self = (operation_t){.file = file, .container = container};
    emmap_error error = lock(self, subject);
    if (!error) {
        self->files = atomic_load(&file->files);
        error = emi_mapping_of(file, &self->mapping);
        if (error)
            unlock(self);
    }
    if (error && self->descriptor)
        emi_descriptor_release(self->descriptor);
    return error;
}

emmap_error emi_container_get(emmap_file *file, container_kind_t kind, container_t **result)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    *result = atomic_load_explicit(&file->container, memory_order_acquire);
    if (*result && (*result)->kind == kind)
        return EMMAP_OK;
    uint64_t size;
    const emmap_error error = emmap_size(file, &size);
    if (error)
        return error;
    static const char *const reasons[] = {[CONTAINER_QUEUE] = "not opened as a queue",
                                          [CONTAINER_BLOCKS] = "not opened as a block storage",
                                          [CONTAINER_CELL] = "not opened as a cell",
                                          [CONTAINER_TABLE] = "not opened as a table"};
    return emi_error_set(EINVAL, reasons[kind]);
}

emmap_error emi_operation_begin(emmap_file *file, container_kind_t kind, lock_subject_t subject,
                                operation_t *self)
{
    container_t *container;
    const emmap_error error = emi_container_get(file, kind, &container);
    if (error)
        return error;
    if (!file_may_write(file))
        return emi_error_set(EACCES, "the file is open for reading only");
    return emi_operation_begin_on(file, container, subject, self);
}

emmap_error emi_operation_begin_brief(emmap_file *file, container_kind_t kind, operation_t *self)
{
    container_t *const container = atomic_load_explicit(&file->container, memory_order_acquire);
    if (!container || container->kind != kind || !file_may_write(file))
        return emi_operation_begin(file, kind, LOCK_CONTAINER, self);
    emmap_error error = file_owned(file);
    if (!error && !thread_lock_try(&container->threads)) {
        patience_t patience = emi_patience_of(&file->options);
        error = emi_patience_take_slowly(&container->threads, &patience);
    }
    if (error)
        return error;
    visit_t visit;
    error = visit_begin(file, &visit);
    if (error) {
        thread_lock_give(&container->threads);
        return error;
    }
    /* Lives as long as the pin: a close takes the mapping away and waits for its pins before it releases the
     * descriptor. */
    descriptor_t *const descriptor = __atomic_load_n(&file->descriptor, __ATOMIC_ACQUIRE);
    if (!descriptor || !(container->owns_locks || (descriptor->live && live_try_lock(descriptor->live)))) {
        pin_release(visit.pin);
        thread_lock_give(&container->threads);
        return emi_operation_begin(file, kind, LOCK_CONTAINER, self);
    }
    *self = (operation_t){.file = file,
                          .container = container,
                          .descriptor = descriptor,
                          .mapping = visit.mapping,
                          .pin = visit.pin,
                          .files = atomic_load(&file->files),
                          .mutexed = true,
                          .locked = true};
    return EMMAP_OK;
}

void emi_operation_keep(operation_t *self)
{
    if (!self->pin)
        return;
    emi_descriptor_retain(self->descriptor);
    emi_mapping_retain(self->mapping);
    pin_release(self->pin);
    self->pin = NULL;
}

emmap_error emi_operation_begin_read(emmap_file *file, container_kind_t kind, operation_t *self)
{
    container_t *container;
    const emmap_error error = emi_container_get(file, kind, &container);
    if (error)
        return error;
    if (file_may_write(file))
        return emi_operation_begin_on(file, container, LOCK_CONTAINER, self);
    *self = (operation_t){.file = file, .container = container, .files = atomic_load(&file->files)};
    return emi_mapping_of(file, &self->mapping);
}

emmap_error emi_operation_begin_read_unlocked(emmap_file *file, container_kind_t kind, operation_t *self)
{
    container_t *container;
    emmap_error error = emi_container_get(file, kind, &container);
    if (error)
        return error;
    if (!file_may_write(file))
        return emi_operation_begin_read(file, kind, self);
    if (container->owns_locks)
        return emi_operation_begin_brief(file, kind, self);
    patience_t patience = emi_patience_of(&file->options);
    error = patience_take(&container->threads, &patience);
    if (error)
        return error;
    *self = (operation_t){
        .file = file, .container = container, .files = atomic_load(&file->files), .mutexed = true};
    error = emi_mapping_of(file, &self->mapping);
    if (error)
        unlock(self);
    return error;
}

bool emi_operation_try_pop_lock(operation_t *self)
{
    if (self->pop_locked)
        return true;
    if (self->container->pop_locked)
        return false;
    if (self->container->owns_locks)
        self->pop_locked = true;
    else if (self->descriptor->live)
        self->pop_locked = emi_live_may_pop(self->descriptor->live);
    else
        self->pop_locked = emi_lock_try(self->descriptor->fd, LOCK_POP, LOCK_EXCLUSIVE) == EMMAP_OK;
    return self->pop_locked;
}

void emi_operation_keep_pop_lock(operation_t *self)
{
    self->container->pop_locked = true;
    self->pop_locked = false;
    if (!self->container->owns_locks && self->descriptor->live)
        emi_live_begin_pop(self->descriptor->live);
}

void emi_container_release_pop_lock(container_t *self, const descriptor_t *descriptor)
{
    self->pop_locked = false;
    if (!self->owns_locks && descriptor->live)
        emi_live_end_pop(descriptor->live);
    else if (!self->owns_locks)
        emi_lock_release(descriptor->fd, LOCK_POP);
}

emmap_error emi_operation_end(operation_t *self, emmap_error error)
{
    fence_light(); /* as in copy.c */
    if (file_faulted(self->file))
        error = emi_file_check(self->file);
    unlock(self);
    /* After the release of the lock, which is a full fence for other processes (queue_wake.h). The word lives
     * as long as the descriptor or the handle. */
    if (self->waited) {
        fence_light();
        self->is_waited = atomic_load(self->waited) != 0;
    }
    if (self->pin) {
        pin_release(self->pin);
        return error;
    }
    emi_mapping_release(self->mapping);
    if (self->descriptor)
        emi_descriptor_release(self->descriptor);
    return error;
}

emmap_error emi_operation_corrupt(const operation_t *self, uint64_t position, const char *reason)
{
    const emmap_error error = emi_file_check(self->file);
    return error ? error : emi_error_corrupt(self->file->options.offset + position, reason);
}

bool emi_operation_zeros(const operation_t *self, uint64_t position, uint64_t length)
{
    const uint8_t *const bytes = self->mapping->data + position;
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)length - 1) == 0);
}
