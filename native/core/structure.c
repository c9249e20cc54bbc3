#include "structure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "durability.h"
#include "error.h"
#include "live.h"
#include "pause.h"
#include "size.h"
#include "stale.h"

/* Both structures begin with one of this many bytes. */
#define HEADER_SIZE 16

#define REFUSED_FLAGS (EMMAP_OPEN_PRIVATE | EMMAP_OPEN_SHARED_UNSAFE | EMMAP_OPEN_GROW)

emmap_error structure_options(const emmap_options *given, emmap_options *settled, bool *fresh)
{
    *settled = given ? *given : (emmap_options){0};
    *fresh = settled->flags & EMMAP_OPEN_TRUNCATE;
    settled->flags &= ~(uint32_t)EMMAP_OPEN_TRUNCATE;
    if ((settled->flags & REFUSED_FLAGS) || settled->offset || settled->length)
        return error_set(EINVAL, "a queue or block storage is mapped shared and whole");
    if (!(settled->flags & (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)))
        settled->flags |= EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE;
    settled->flags |= EMMAP_OPEN_SHARED;
    if (settled->size == 0)
        settled->flags &= ~(uint32_t)EMMAP_OPEN_FIT;
    return EMMAP_OK;
}

static bool may_write_with(const emmap_options *options)
{
    return options->flags & EMMAP_OPEN_WRITE;
}

static emmap_error give_size(const structure_preparer *self, int fd, const emmap_options *options)
{
    uint64_t size;
    emmap_error error = size_on_disk(fd, &size);
    if (error)
        return error;
    if (size > 0 && self->fresh)
        return error_set(EINVAL, "a queue or block storage that exists is not truncated");
    if (size > 0)
        return EMMAP_OK;
    if (!(options->flags & (EMMAP_OPEN_CREATE | EMMAP_OPEN_ANON)))
        return error_corrupt(0, "the file is empty");
    if (self->lacking)
        return error_set(EINVAL, self->lacking);
    PAUSE("structure_create_begin");
    error = file_extend(fd, options, self->size);
    PAUSE("structure_create_sized");
    return error;
}

emmap_error structure_prepare(const file_preparer *base, int fd, const emmap_options *options)
{
    const structure_preparer *const self = (const structure_preparer *)base;
    /* A reader waits for nobody, and changes nothing. */
    if (!may_write_with(options))
        return give_size(self, fd, options);
    patience patience = patience_of(options);
    emmap_error error = lock_acquire(fd, LOCK_JOIN, LOCK_EXCLUSIVE, &patience);
    if (error)
        return error;
    error = give_size(self, fd, options);
    lock_release(fd, LOCK_JOIN);
    return error;
}

emmap_error structure_made(emmap_file *file, const char *reason)
{
    if (file->options.flags & (EMMAP_OPEN_CREATE | EMMAP_OPEN_ANON))
        return EMMAP_OK;
    static const uint8_t zeros[HEADER_SIZE];
    uint8_t header[HEADER_SIZE] = {0};
    const struct iovec vector = {.iov_base = header, .iov_len = sizeof header};
    uint64_t length;
    const emmap_error error = emmap_preadv(file, 0, &vector, 1, &length);
    if (error)
        return error;
    return memcmp(header, zeros, sizeof zeros) == 0 ? error_corrupt(0, reason) : EMMAP_OK;
}

static bool may_write(const emmap_file *file)
{
    return may_write_with(&file->options);
}

/* Writes go to a copy that is this handle's own, and nobody else's changes count in it. */
static bool own_copy(const emmap_file *file)
{
    return (file->options.flags & (EMMAP_OPEN_PRIVATE | EMMAP_OPEN_ANON)) == EMMAP_OPEN_PRIVATE;
}

emmap_error structure_wait(void)
{
    return patience_for_work() ? EMMAP_OK : error_set(EAGAIN, "the operation would take long");
}

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

/* A try takes no system call, and an operation as long as a hundred. */
enum { THREAD_TRIES = 200 };

static bool try_lock(thread_lock *lock)
{
    for (int i = 0; i < THREAD_TRIES; i++)
        if (thread_lock_try(lock))
            return true;
    return false;
}

static emmap_error wait_for(thread_lock *lock, patience *patience)
{
    while (!try_lock(lock)) {
        if (patience->limit == EMMAP_NO_LIMIT) {
            thread_lock_take(lock);
            return EMMAP_OK;
        }
        const emmap_error error = patience_rest(patience);
        if (error)
            return error;
    }
    return EMMAP_OK;
}

emmap_error structure_lock(structure *self, patience *patience)
{
    return wait_for(&self->threads, patience);
}

/* Descriptor and mapping are of one file: what replaces both has `threads` (stale.c). */
static emmap_error lock(hold *self, lock_subject subject)
{
    structure *const structure = self->structure;
    const bool both = subject == LOCK_STRUCTURE_AND_TAKING;
    patience patience = patience_of(&self->file->options);
    emmap_error error = structure_lock(structure, &patience);
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
static emmap_error begin(emmap_file *file, structure *structure, lock_subject subject, hold *self)
{
    *self = (hold){.file = file, .structure = structure};
    emmap_error error = lock(self, subject);
    if (!error) {
        self->files = atomic_load(&file->files);
        error = file_mapping(file, &self->mapping);
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
    if (!may_write(file))
        return error_set(EACCES, "the file is open for reading only");
    return begin(file, structure, subject, self);
}

emmap_error hold_begin_brief(emmap_file *file, structure_kind kind, hold *self)
{
    structure *const structure = atomic_load_explicit(&file->structure, memory_order_acquire);
    if (!structure || structure->kind != kind || !structure->held || !may_write(file))
        return hold_begin(file, kind, LOCK_STRUCTURE, self);
    emmap_error error = file_owned(file);
    if (!error && !thread_lock_try(&structure->threads)) {
        patience patience = patience_of(&file->options);
        error = structure_lock(structure, &patience);
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
    if (may_write(file))
        return begin(file, structure, LOCK_STRUCTURE, self);
    *self = (hold){.file = file, .structure = structure, .files = atomic_load(&file->files)};
    return file_mapping(file, &self->mapping);
}

emmap_error hold_glance(emmap_file *file, structure_kind kind, hold *self)
{
    structure *structure;
    emmap_error error = structure_of(file, kind, &structure);
    if (error)
        return error;
    if (!may_write(file))
        return hold_look(file, kind, self);
    if (structure->held)
        return hold_begin_brief(file, kind, self);
    patience patience = patience_of(&file->options);
    error = structure_lock(structure, &patience);
    if (error)
        return error;
    *self = (hold){.file = file, .structure = structure, .files = atomic_load(&file->files), .mutexed = true};
    error = file_mapping(file, &self->mapping);
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

/* The file's mapping, after it may have been replaced. */
static emmap_error renew(hold *self)
{
    emmap_mapping *mapping;
    /* A look without a lock, that has seen the file that this one was. */
    if (atomic_load(&self->file->files) != self->files)
        return error_set(EAGAIN, "the path means another file now, which the handle has gone over to");
    const emmap_error error = file_mapping(self->file, &mapping);
    if (error)
        return error;
    mapping_release(self->mapping);
    self->mapping = mapping;
    return EMMAP_OK;
}

/* A mapping of a fixed length follows nothing by itself; it is made longer only where the file already is. */
static emmap_error reach_window(hold *self, uint64_t size)
{
    uint64_t on_disk;
    const emmap_error error = self->descriptor ? size_on_disk(self->descriptor->fd, &on_disk) : EMMAP_OK;
    if (error || !self->descriptor || on_disk < self->file->options.offset + size)
        return error;
    return emmap_resize(self->file, size, NULL);
}

emmap_error hold_follow(hold *self, uint64_t size)
{
    uint64_t now;
    emmap_error error = hold_keep(self);
    if (!error)
        error = structure_wait();
    if (!error)
        error = self->file->options.length ? reach_window(self, size) : emmap_follow(self->file, &now);
    return error ? error : renew(self);
}

emmap_error hold_grow(hold *self, uint64_t size)
{
    uint8_t header[HEADER_SIZE];
    memcpy(header, self->mapping->data, sizeof header);
    emmap_error error = hold_keep(self);
    if (!error)
        error = structure_wait();
    if (!error)
        error = emmap_resize(self->file, size, NULL);
    if (error == EMMAP_FIXED_SIZE)
        return error_set(EMMAP_FULL, "no room is left, and the file has a fixed size");
    if (!error)
        error = renew(self);
    /* Nobody else writes under the lock. A file that was truncated just before it grew has zeros here, and no fault. */
    if (!error && memcmp(header, self->mapping->data, sizeof header) != 0)
        error = file_fault(self->file);
    return error;
}

emmap_error structure_synced(emmap_file *file)
{
    structure *const self = atomic_load_explicit(&file->structure, memory_order_acquire);
    return self && may_write(file) && !own_copy(file) ? self->note_synced(file) : EMMAP_OK;
}

emmap_error hold_sync(hold *self)
{
    emmap_error error = hold_keep(self);
    if (!error)
        error = structure_wait();
    return error ? error : durability_sync(self->file, self->descriptor, self->mapping);
}

uint64_t hold_growth(const hold *self, uint64_t needed)
{
    return hold_growth_from(self, self->mapping->size, needed);
}

uint64_t hold_growth_from(const hold *self, uint64_t size, uint64_t needed)
{
    const uint64_t step = self->file->options.max_inc_size;
    while (size < needed && size < step)
        size *= 2;
    if (size < needed)
        size += (needed - size + step - 1) / step * step;
    return size;
}

emmap_error hold_reserve(const hold *self, uint64_t from, uint64_t to)
{
    /* As size_extend. A copy takes no disk space. */
    if ((self->file->options.flags & (EMMAP_OPEN_NORESERVE | EMMAP_OPEN_ANON)) || own_copy(self->file))
        return EMMAP_OK;
    const emmap_error error = structure_wait();
    return error ? error : size_reserve(self->descriptor->fd, self->file->options.offset + from, to - from);
}

emmap_error hold_punch(const hold *self, uint64_t from, uint64_t to)
{
    const uint64_t offset = self->file->options.offset;
    const emmap_error error =
        from < to ? size_punch(self->descriptor->fd, offset + from, offset + to) : EMMAP_OK;
    if (error == ENOTSUP)
        self->structure->no_holes = true;
    return error;
}

bool hold_gives_back(const hold *self)
{
    return !self->structure->no_holes && !own_copy(self->file) &&
           !(self->file->options.flags & EMMAP_OPEN_FIXED_SIZE);
}

emmap_error hold_compact_begin(const hold *self, uint64_t *taken)
{
    *taken = 0;
    if (own_copy(self->file))
        return error_set(ENOTSUP, "the space is that of the file, and not of a private copy");
    const emmap_error error = structure_wait();
    return error ? error : size_taken(self->descriptor->fd, taken);
}

uint64_t hold_compact_end(const hold *self, uint64_t taken)
{
    uint64_t now;
    return size_taken(self->descriptor->fd, &now) == EMMAP_OK && now < taken ? taken - now : 0;
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

static emmap_error keep_locks(emmap_file *file, structure *self)
{
    if (own_copy(file)) {
        self->held = true;
        return EMMAP_OK;
    }
    if (!(file->options.flags & EMMAP_OPEN_EXCLUSIVE))
        return EMMAP_OK;
    descriptor *descriptor;
    emmap_error error = file_descriptor(file, &descriptor);
    if (error)
        return error;
    error = lock_try(descriptor->fd, LOCK_STRUCTURE_AND_TAKING, LOCK_EXCLUSIVE);
    self->held = error == EMMAP_OK;
    descriptor_release(descriptor);
    return error;
}

/* Begins to exclude other handles and processes operation by operation, as they do. */
static emmap_error join(emmap_file *file, const structure *self)
{
    if (self->held || !may_write(file) || (file->options.flags & EMMAP_OPEN_ANON))
        return EMMAP_OK;
    descriptor *descriptor;
    emmap_error error = file_descriptor(file, &descriptor);
    if (error)
        return error;
    patience patience = patience_of(&file->options);
    error = live_join(file, descriptor, &patience);
    descriptor_release(descriptor);
    return error;
}

/* Undoes it: the file goes on as a plain one. */
static void part(emmap_file *file)
{
    const emmap_failure failure = *emmap_last_failure();
    descriptor *descriptor;
    if (file_descriptor(file, &descriptor) == EMMAP_OK) {
        live_leave(descriptor);
        lock_release(descriptor->fd, LOCK_KERNEL);
        descriptor_release(descriptor);
    }
    error_restore(&failure);
}

static emmap_error attach(emmap_file *file, structure *self,
                          emmap_error (*check)(structure *self, hold *hold))
{
    if (self->kind == STRUCTURE_QUEUE && own_copy(file))
        return error_set(EINVAL, "a queue needs a shared mapping");
    hold hold = {.file = file, .structure = self};
    emmap_error error = keep_locks(file, self);
    if (!error)
        error = join(file, self);
    if (!error)
        error =
            may_write(file) ? begin(file, self, LOCK_STRUCTURE, &hold) : file_mapping(file, &hold.mapping);
    if (!error)
        error = hold_end(&hold, check(self, &hold));
    if (!error)
        atomic_store(&file->structure, self);
    else
        part(file);
    return error;
}

emmap_error structure_attach(emmap_file *file, structure *self,
                             emmap_error (*check)(structure *self, hold *hold))
{
    if (!self)
        return error_set(ENOMEM, NULL);
    thread_lock_init(&self->threads);
    atomic_init(&self->looked, stale_now());
    /* One at a time: the descriptor's locks are all threads', and the second to end would take them from the first. */
    patience patience = patience_of(&file->options);
    emmap_error error = wait_for(&file->attaching, &patience);
    if (!error) {
        error = atomic_load(&file->structure)
                    ? error_set(EBUSY, "another thread has begun to use the file as a queue or block storage")
                    : attach(file, self, check);
        thread_lock_give(&file->attaching);
    }
    if (error)
        structure_free(self);
    return error;
}

void structure_free(structure *self)
{
    if (!self)
        return;
    if (self->freeing)
        self->freeing(self);
    thread_lock_destroy(&self->threads);
    free(self);
}
