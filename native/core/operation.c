#include "operation.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "live.h"

/* STRUCTURE first waits and TAKING never does: in one call where nobody else has either. */
static emmap_error lock_both_in_kernel(int fd, patience *patience)
{
    emmap_error error = lock_try_often(fd, LOCK_STRUCTURE_AND_TAKING, LOCK_EXCLUSIVE);
    if (error != EBUSY)
        return error;
    error = lock_acquire(fd, LOCK_STRUCTURE, LOCK_EXCLUSIVE, patience);
    if (error)
        return error;
    error = lock_try(fd, LOCK_TAKING, LOCK_EXCLUSIVE);
    if (error)
        lock_release(fd, LOCK_STRUCTURE);
    return error;
}

static emmap_error lock_live(live *live, bool both, patience *patience)
{
    emmap_error error = live_lock(live, patience);
    if (!error && both && !live_may_take(live)) {
        live_unlock(live);
        error = EBUSY;
    }
    return error;
}

/* Excludes other handles and processes. Errors: EBUSY where one is taking a message out; ETIMEDOUT; EFAULT; fcntl's. */
static emmap_error lock_others(const descriptor *descriptor, bool both, patience *patience)
{
    if (descriptor->live)
        return lock_live(descriptor->live, both, patience);
    return both ? lock_both_in_kernel(descriptor->fd, patience)
                : lock_acquire(descriptor->fd, LOCK_STRUCTURE, LOCK_EXCLUSIVE, patience);
}

static void unlock_others(const descriptor *descriptor, bool both)
{
    if (descriptor->live)
        live_unlock(descriptor->live);
    else
        lock_release(descriptor->fd, both ? LOCK_STRUCTURE_AND_TAKING : LOCK_STRUCTURE);
}

/* Descriptor and mapping are of one file: what replaces both has `threads` (stale.c). */
static emmap_error lock(hold *self, lock_subject subject)
{
    structure *const structure = self->structure;
    const bool both = subject == LOCK_STRUCTURE_AND_TAKING;
    patience patience = patience_of(&self->file->options);
    emmap_error error = patience_take(&structure->threads, &patience);
    if (error)
        return error;
    error = file_descriptor(self->file, &self->descriptor);
    if (!error && both && structure->taking)
        error = EBUSY;
    else if (!error && !structure->held)
        error = lock_others(self->descriptor, both, &patience);
    if (error) {
        thread_lock_give(&structure->threads);
        return error == EBUSY ? error_set(EBUSY, "somebody is taking the first message out") : error;
    }
    self->mutexed = self->locked = true;
    self->taking = both;
    return EMMAP_OK;
}

static inline void unlock(hold *self)
{
    structure *const structure = self->structure;
    if (self->locked && !structure->held)
        unlock_others(self->descriptor, self->taking);
    if (self->mutexed)
        thread_lock_give(&structure->threads);
}

/* Under the lock or not, by `subject`; the structure need not be the file's yet. */
emmap_error hold_begin_on(emmap_file *file, structure *structure, lock_subject subject, hold *self)
{
    *self = (hold){.file = file, .structure = structure};
    emmap_error error = lock(self, subject);
    if (!error) {
        self->files = atomic_load(&file->files);
        error = mapping_of(file, &self->mapping);
        if (error)
            unlock(self);
    }
    if (error && self->descriptor)
        descriptor_release(self->descriptor);
    return error;
}

emmap_error structure_of(emmap_file *file, structure_kind kind, structure **result)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    *result = atomic_load_explicit(&file->structure, memory_order_acquire);
    if (*result && (*result)->kind == kind)
        return EMMAP_OK;
    uint64_t size;
    const emmap_error error = emmap_size(file, &size);
    if (error)
        return error;
    return error_set(EINVAL,
                     kind == STRUCTURE_QUEUE ? "not opened as a queue" : "not opened as a block storage");
}

emmap_error hold_begin(emmap_file *file, structure_kind kind, lock_subject subject, hold *self)
{
    structure *structure;
    const emmap_error error = structure_of(file, kind, &structure);
    if (error)
        return error;
    if (!file_may_write(file))
        return error_set(EACCES, "the file is open for reading only");
    return hold_begin_on(file, structure, subject, self);
}

emmap_error hold_begin_brief(emmap_file *file, structure_kind kind, hold *self)
{
    structure *const structure = atomic_load_explicit(&file->structure, memory_order_acquire);
    if (!structure || structure->kind != kind || !structure->held || !file_may_write(file))
        return hold_begin(file, kind, LOCK_STRUCTURE, self);
    emmap_error error = file_owned(file);
    if (!error && !thread_lock_try(&structure->threads)) {
        patience patience = patience_of(&file->options);
        error = patience_take_slowly(&structure->threads, &patience);
    }
    if (error)
        return error;
    visit visit;
    error = visit_begin(file, &visit);
    if (error) {
        thread_lock_give(&structure->threads);
        return error;
    }
    *self = (hold){.file = file,
                   .structure = structure,
                   .mapping = visit.mapping,
                   .pin = visit.pin,
                   .files = atomic_load(&file->files),
                   .mutexed = true,
                   .locked = true};
    return EMMAP_OK;
}

emmap_error hold_keep(hold *self)
{
    if (!self->pin)
        return EMMAP_OK;
    /* A close waits for the pin before it lets go of the locks between processes. With the descriptor they stay. */
    const emmap_error error = file_descriptor(self->file, &self->descriptor);
    mapping_retain(self->mapping);
    pin_release(self->pin);
    self->pin = NULL;
    return error;
}

emmap_error hold_look(emmap_file *file, structure_kind kind, hold *self)
{
    structure *structure;
    const emmap_error error = structure_of(file, kind, &structure);
    if (error)
        return error;
    if (file_may_write(file))
        return hold_begin_on(file, structure, LOCK_STRUCTURE, self);
    *self = (hold){.file = file, .structure = structure, .files = atomic_load(&file->files)};
    return mapping_of(file, &self->mapping);
}

emmap_error hold_glance(emmap_file *file, structure_kind kind, hold *self)
{
    structure *structure;
    emmap_error error = structure_of(file, kind, &structure);
    if (error)
        return error;
    if (!file_may_write(file))
        return hold_look(file, kind, self);
    if (structure->held)
        return hold_begin_brief(file, kind, self);
    patience patience = patience_of(&file->options);
    error = patience_take(&structure->threads, &patience);
    if (error)
        return error;
    *self = (hold){.file = file, .structure = structure, .files = atomic_load(&file->files), .mutexed = true};
    error = mapping_of(file, &self->mapping);
    if (error)
        unlock(self);
    return error;
}

bool hold_try_taking(hold *self)
{
    if (self->taking)
        return true;
    if (self->structure->taking)
        return false;
    if (self->structure->held)
        self->taking = true;
    else if (self->descriptor->live)
        self->taking = live_may_take(self->descriptor->live);
    else
        self->taking = lock_try(self->descriptor->fd, LOCK_TAKING, LOCK_EXCLUSIVE) == EMMAP_OK;
    return self->taking;
}

void hold_keep_taking(hold *self)
{
    self->structure->taking = true;
    self->taking = false;
    if (!self->structure->held && self->descriptor->live)
        live_take(self->descriptor->live);
}

void structure_taken(structure *self, const descriptor *descriptor)
{
    self->taking = false;
    if (!self->held && descriptor->live)
        live_taken(descriptor->live);
    else if (!self->held)
        lock_release(descriptor->fd, LOCK_TAKING);
}

emmap_error hold_end(hold *self, emmap_error error)
{
    fence_light(); /* as in copy.c */
    if (file_faulted(self->file))
        error = file_check(self->file);
    if (self->pin)
        pin_release(self->pin);
    else
        mapping_release(self->mapping);
    unlock(self);
    /* After the lock, whose release is a full fence for other processes: see queue_wake.h. The word is the descriptor's, or the
     * handle's. */
    if (self->waited) {
        fence_light();
        self->is_waited = atomic_load(self->waited) != 0;
    }
    if (self->descriptor)
        descriptor_release(self->descriptor);
    return error;
}

emmap_error hold_corrupt(const hold *self, uint64_t position, const char *reason)
{
    const emmap_error error = file_check(self->file);
    return error ? error : error_corrupt(self->file->options.offset + position, reason);
}

bool hold_zeros(const hold *self, uint64_t position, uint64_t length)
{
    const uint8_t *const bytes = self->mapping->data + position;
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)length - 1) == 0);
}
