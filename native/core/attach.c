#include "attach.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "live.h"
#include "lock.h"
#include "pause.h"
#include "size.h"
#include "stale.h"

#define REFUSED_FLAGS (EMMAP_OPEN_PRIVATE | EMMAP_OPEN_SHARED_UNSAFE | EMMAP_OPEN_GROW)

emmap_error emi_container_options(const emmap_options *given, emmap_options *settled, bool *fresh)
{
    *settled = given ? *given : (emmap_options){0};
    *fresh = settled->flags & EMMAP_OPEN_TRUNCATE;
    settled->flags &= ~(uint32_t)EMMAP_OPEN_TRUNCATE;
    if ((settled->flags & REFUSED_FLAGS) || settled->offset || settled->length)
        return emi_error_set(EINVAL, "a queue, block storage, cell or table is mapped shared and whole");
    if (!(settled->flags & (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)))
        settled->flags |= EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE;
    settled->flags |= EMMAP_OPEN_SHARED;
    if (settled->size == 0)
        settled->flags &= ~(uint32_t)EMMAP_OPEN_FIT;
    return EMMAP_OK;
}

/* Whether the creator of a container whose format decides the size has died before it wrote the magic. */
static bool is_unfinished(const container_preparer_t *self, int fd, const emmap_options *options)
{
    uint64_t magic = 0;
    return self->blank_from && (options->flags & EMMAP_OPEN_CREATE) &&
           pread(fd, &magic, sizeof magic, 0) >= 0 && magic == 0 && emi_file_is_blank(fd, self->blank_from);
}

static emmap_error give_size(const container_preparer_t *self, int fd, const emmap_options *options)
{
    uint64_t size;
    emmap_error error = emi_size_on_disk(fd, &size);
    if (error)
        return error;
    if (size > 0 && self->fresh)
        return emi_error_set(EINVAL, "a queue or block storage that exists is not truncated");
    if (size >= self->size || (size > 0 && !is_unfinished(self, fd, options)))
        return EMMAP_OK;
    if (!(options->flags & (EMMAP_OPEN_CREATE | EMMAP_OPEN_ANON)))
        return emi_error_corrupt(0, "the file is empty");
    if (self->lacking)
        return emi_error_set(EINVAL, self->lacking);
    PAUSE("structure_create_begin");
    error = emi_file_extend(fd, options, self->size);
    PAUSE("structure_create_sized");
    return error;
}

emmap_error emi_container_prepare(const file_preparer_t *base, int fd, const emmap_options *options)
{
    const container_preparer_t *const self = (const container_preparer_t *)base;
    /* A read-only handle waits for nobody and changes nothing. */
    if (!(options->flags & EMMAP_OPEN_WRITE))
        return give_size(self, fd, options);
    patience_t patience = emi_patience_of(options);
    emmap_error error = emi_lock_acquire(fd, LOCK_JOIN, LOCK_EXCLUSIVE, &patience);
    if (error)
        return error;
    error = give_size(self, fd, options);
    emi_lock_release(fd, LOCK_JOIN);
    return error;
}

emmap_error emi_container_require_made(emmap_file *file, const char *reason)
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
    return memcmp(header, zeros, sizeof zeros) == 0 ? emi_error_corrupt(0, reason) : EMMAP_OK;
}

static emmap_error keep_locks(emmap_file *file, container_t *self)
{
    if (file_is_copy(file)) {
        self->owns_locks = true;
        return EMMAP_OK;
    }
    if (!(file->options.flags & EMMAP_OPEN_EXCLUSIVE))
        return EMMAP_OK;
    descriptor_t *descriptor;
    emmap_error error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    error = emi_lock_try(descriptor->fd, LOCK_CONTAINER_AND_POP, LOCK_EXCLUSIVE);
    self->owns_locks = error == EMMAP_OK;
    emi_descriptor_release(descriptor);
    return error;
}

/* Agrees with the other writers on how to exclude each other. */
static emmap_error join(emmap_file *file, const container_t *self)
{
    if (self->owns_locks || !file_may_write(file) || (file->options.flags & EMMAP_OPEN_ANON))
        return EMMAP_OK;
    descriptor_t *descriptor;
    emmap_error error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    patience_t patience = emi_patience_of(&file->options);
    error = emi_live_join(file, descriptor, &patience);
    emi_descriptor_release(descriptor);
    return error;
}

/* Undoes `join`: the file goes on as a plain one. */
static void part(emmap_file *file)
{
    const emmap_failure failure = *emmap_last_failure();
    descriptor_t *descriptor;
    if (emi_file_descriptor(file, &descriptor) == EMMAP_OK) {
        emi_live_leave(descriptor);
        emi_lock_release(descriptor->fd, LOCK_KERNEL);
        emi_descriptor_release(descriptor);
    }
    emi_error_restore(&failure);
}

static emmap_error attach(emmap_file *file, container_t *self,
                          emmap_error (*check)(container_t *self, operation_t *operation))
{
    if (self->kind == CONTAINER_QUEUE && file_is_copy(file))
        return emi_error_set(EINVAL, "a queue needs a shared mapping");
    operation_t operation = {.file = file, .container = self};
    emmap_error error = keep_locks(file, self);
    if (!error)
        error = join(file, self);
    if (!error)
        error = file_may_write(file) ? emi_operation_begin_on(file, self, LOCK_CONTAINER, &operation)
                                     : emi_mapping_of(file, &operation.mapping);
    if (!error)
        error = emi_operation_end(&operation, check(self, &operation));
    if (!error)
        atomic_store(&file->container, self);
    else
        part(file);
    return error;
}

emmap_error emi_container_attach(emmap_file *file, container_t *self,
                                 emmap_error (*check)(container_t *self, operation_t *operation))
{
    if (!self)
        return emi_error_set(ENOMEM, NULL);
    emi_thread_lock_init(&self->threads);
    atomic_init(&self->looked, emi_stale_now());
    /* One thread at a time: all threads share the descriptor's locks, so the end of one attach would release
     * those of the other. */
    patience_t patience = emi_patience_of(&file->options);
    emmap_error error = patience_take(&file->attaching, &patience);
    if (!error) {
        error =
            atomic_load(&file->container)
                ? emi_error_set(EBUSY, "another thread has begun to use the file as a queue or block storage")
                : attach(file, self, check);
        thread_lock_give(&file->attaching);
    }
    if (error)
        emi_container_free(self);
    return error;
}
