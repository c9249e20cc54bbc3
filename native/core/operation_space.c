/* Size and space of a container: longer mappings and files, space that is given back, and syncing. */
#include <errno.h>
#include <string.h>

#include "durability.h"
#include "error.h"
#include "operation.h"
#include "size.h"

/* Takes the file's current mapping after it may have been replaced. */
static emmap_error renew(operation_t *self)
{
    emmap_mapping *mapping;
    /* An unlocked read that began on the old file. */
    if (atomic_load(&self->file->files) != self->files)
        return emi_error_set(EAGAIN, "the path leads to another file now, and the handle uses that one");
    const emmap_error error = emi_mapping_of(self->file, &mapping);
    if (error)
        return error;
    emi_mapping_release(self->mapping);
    self->mapping = mapping;
    return EMMAP_OK;
}

/* A mapping of fixed length does not follow the file. It is made longer only within the file. */
static emmap_error reach_fixed_length(operation_t *self, uint64_t size)
{
    uint64_t on_disk;
    const emmap_error error = self->descriptor ? emi_size_on_disk(self->descriptor->fd, &on_disk) : EMMAP_OK;
    if (error || !self->descriptor || on_disk < self->file->options.offset + size)
        return error;
    return emmap_resize(self->file, size, NULL);
}

emmap_error emi_operation_follow(operation_t *self, uint64_t size)
{
    uint64_t now;
    emi_operation_keep(self);
    emmap_error error = emi_require_blocking();
    if (!error)
        error = self->file->options.length ? reach_fixed_length(self, size) : emmap_follow(self->file, &now);
    return error ? error : renew(self);
}

emmap_error emi_operation_grow(operation_t *self, uint64_t size)
{
    uint8_t header[HEADER_SIZE];
    memcpy(header, self->mapping->data, sizeof header);
    emi_operation_keep(self);
    emmap_error error = emi_require_blocking();
    if (!error)
        error = emmap_resize(self->file, size, NULL);
    if (error == EMMAP_FIXED_SIZE)
        return emi_error_set(EMMAP_FULL, "no room is left, and the file has a fixed size");
    if (!error)
        error = renew(self);
    /* Nobody else writes under the lock. If the file was truncated just before it grew, the header is zeros
     * here, without a fault. */
    if (!error && memcmp(header, self->mapping->data, sizeof header) != 0)
        error = emi_file_fault(self->file);
    return error;
}

emmap_error emi_operation_sync(operation_t *self)
{
    emi_operation_keep(self);
    emmap_error error = emi_require_blocking();
    return error ? error : emi_durability_sync(self->file, self->descriptor, self->mapping);
}

uint64_t emi_operation_growth(const operation_t *self, uint64_t needed)
{
    return emi_operation_growth_from(self, self->mapping->size, needed);
}

uint64_t emi_operation_growth_from(const operation_t *self, uint64_t size, uint64_t needed)
{
    const uint64_t step = self->file->options.max_inc_size;
    while (size < needed && size < step)
        size *= 2;
    if (size < needed)
        size += (needed - size + step - 1) / step * step;
    return size;
}

emmap_error emi_operation_reserve(const operation_t *self, uint64_t from, uint64_t to)
{
    /* As emi_size_extend. A private copy takes no disk space. */
    if ((self->file->options.flags & (EMMAP_OPEN_NORESERVE | EMMAP_OPEN_ANON)) || file_is_copy(self->file))
        return EMMAP_OK;
    const emmap_error error = emi_require_blocking();
    return error ? error
                 : emi_size_reserve(self->descriptor->fd, self->file->options.offset + from, to - from);
}

emmap_error emi_operation_punch(const operation_t *self, uint64_t from, uint64_t to)
{
    const uint64_t offset = self->file->options.offset;
    const emmap_error error =
        from < to ? emi_size_punch(self->descriptor->fd, offset + from, offset + to) : EMMAP_OK;
    if (error == ENOTSUP)
        self->container->no_holes = true;
    return error;
}

bool emi_operation_gives_back(const operation_t *self)
{
    return !self->container->no_holes && !file_is_copy(self->file) &&
           !(self->file->options.flags & EMMAP_OPEN_FIXED_SIZE);
}

emmap_error emi_operation_compact_begin(const operation_t *self, uint64_t *taken)
{
    *taken = 0;
    if (file_is_copy(self->file))
        return emi_error_set(ENOTSUP, "a private mapping has no space of the file to give back");
    const emmap_error error = emi_require_blocking();
    return error ? error : emi_size_taken(self->descriptor->fd, taken);
}

uint64_t emi_operation_compact_end(const operation_t *self, uint64_t taken)
{
    uint64_t now;
    return emi_size_taken(self->descriptor->fd, &now) == EMMAP_OK && now < taken ? taken - now : 0;
}
