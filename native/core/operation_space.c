/* What an operation does about size and space: longer mappings and files, space given back, and the disk. */
#include <errno.h>
#include <string.h>

#include "durability.h"
#include "error.h"
#include "operation.h"
#include "size.h"

/* The file's mapping, after it may have been replaced. */
static emmap_error renew(hold *self)
{
    emmap_mapping *mapping;
    /* A look without a lock, that has seen the file that this one was. */
    if (atomic_load(&self->file->files) != self->files)
        return error_set(EAGAIN, "the path means another file now, which the handle has gone over to");
    const emmap_error error = mapping_of(self->file, &mapping);
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
    if ((self->file->options.flags & (EMMAP_OPEN_NORESERVE | EMMAP_OPEN_ANON)) || file_is_copy(self->file))
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
    return !self->structure->no_holes && !file_is_copy(self->file) &&
           !(self->file->options.flags & EMMAP_OPEN_FIXED_SIZE);
}

emmap_error hold_compact_begin(const hold *self, uint64_t *taken)
{
    *taken = 0;
    if (file_is_copy(self->file))
        return error_set(ENOTSUP, "the space is that of the file, and not of a private copy");
    const emmap_error error = structure_wait();
    return error ? error : size_taken(self->descriptor->fd, taken);
}

uint64_t hold_compact_end(const hold *self, uint64_t taken)
{
    uint64_t now;
    return size_taken(self->descriptor->fd, &now) == EMMAP_OK && now < taken ? taken - now : 0;
}
