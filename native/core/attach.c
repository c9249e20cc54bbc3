#include "attach.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "live.h"
#include "lock.h"
#include "pause.h"
#include "size.h"
#include "stale.h"

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
    if (!(options->flags & EMMAP_OPEN_WRITE))
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

static emmap_error keep_locks(emmap_file *file, structure *self)
{
    if (file_is_copy(file)) {
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
    if (self->held || !file_may_write(file) || (file->options.flags & EMMAP_OPEN_ANON))
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
    if (self->kind == STRUCTURE_QUEUE && file_is_copy(file))
        return error_set(EINVAL, "a queue needs a shared mapping");
    hold hold = {.file = file, .structure = self};
    emmap_error error = keep_locks(file, self);
    if (!error)
        error = join(file, self);
    if (!error)
        error = file_may_write(file) ? hold_begin_on(file, self, LOCK_STRUCTURE, &hold)
                                     : mapping_of(file, &hold.mapping);
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
    emmap_error error = patience_take(&file->attaching, &patience);
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
