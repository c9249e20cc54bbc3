/*
 * Replacing a file's mapping by one of another size. `file->resize` is held all the time. Only a close can
 * take the mapping away meanwhile; then the new one is dropped.
 *
 * A growing shared mapping is exchanged while other calls go on: old and new mapping show the same bytes. A
 * shrinking or private mapping is first taken out. New calls wait for the new mapping. When the running calls
 * have ended, no byte changes and no slice is taken until the new mapping is in place.
 */
#include "resize.h"

#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "emmap.h"
#include "error.h"
#include "file.h"
#include "loans.h"
#include "mapping.h"
#include "platform.h"
#include "size.h"

/* No address space is as large as this, so no larger file is of use. */
#define LARGEST_SIZE ((uint64_t)1 << 57)

/* Both references belong to the call. */
typedef struct resizing {
    emmap_file *file;
    descriptor_t *descriptor;
    emmap_mapping *mapping;
    uint64_t on_disk; /* from the file's offset on */
} resizing_t;

static void finish(resizing_t *self)
{
    emi_mapping_release(self->mapping);
    pthread_mutex_unlock(&self->file->resize);
    emi_descriptor_release(self->descriptor);
}

static emmap_error start(emmap_file *file, resizing_t *self)
{
    *self = (resizing_t){.file = file};
    emmap_error error = file_owned(file);
    if (error)
        return error;
    /* Under the lock both references are of the same file. */
    pthread_mutex_lock(&file->resize);
    error = emi_file_descriptor(file, &self->descriptor);
    if (error) {
        pthread_mutex_unlock(&file->resize);
        return error;
    }
    error = emi_mapping_of(file, &self->mapping);
    if (error) {
        pthread_mutex_unlock(&file->resize);
        emi_descriptor_release(self->descriptor);
        return error;
    }
    uint64_t size;
    error = emi_size_on_disk(self->descriptor->fd, &size);
    if (error)
        finish(self);
    else
        self->on_disk = size > file->options.offset ? size - file->options.offset : 0;
    return error;
}

/* Copies the bytes that only a private mapping has. Pages without such bytes stay shared with the file. */
static void carry_over(const emmap_mapping *from, emmap_mapping *to)
{
    const uint64_t size = from->size < to->size ? from->size : to->size;
    const size_t page = emi_platform_page_size();
    size_t run = page - (size_t)(from->data - (uint8_t *)from->base) % page;
    for (uint64_t done = 0; done < size; done += run, run = page) {
        if (run > size - done)
            run = (size_t)(size - done);
        if (memcmp(from->data + done, to->data + done, run) != 0)
            memcpy(to->data + done, from->data + done, run);
    }
}

/* Releases the file's old mapping when no call uses it any more. */
static void retire(emmap_mapping *mapping)
{
    emi_pin_drain(mapping);
    emi_mapping_release(mapping);
}

/* Takes the mapping out of the file and waits until no call uses it. The caller gets the file's reference.
 * Errors: EMMAP_CLOSED. */
static emmap_error take_out(emmap_file *file, emmap_mapping *mapping)
{
    emmap_mapping *expected = mapping;
    if (!atomic_compare_exchange_strong(&file->mapping, &expected, NULL))
        return emi_error_set(EMMAP_CLOSED, NULL);
    emi_pin_drain(mapping);
    return EMMAP_OK;
}

/* Gives the caller's reference to the file, or drops it if the file was closed meanwhile. */
static void put_in(emmap_file *file, emmap_mapping *mapping)
{
    atomic_store(&file->mapping, mapping);
    /* emmap_close sets the word first and then takes the mapping. If it found none, this thread takes it. */
    if (file_is_closed(file)) {
        emmap_mapping *const left = atomic_exchange(&file->mapping, NULL);
        if (left)
            retire(left);
    }
}

/* Replaces the mapping by a longer one. The file gets the reference; on failure it is dropped. */
static emmap_error exchange(const resizing_t *self, emmap_mapping *replacement)
{
    emmap_file *const file = self->file;
    emmap_error error = EMMAP_OK;
    emmap_mapping *expected = self->mapping;
    if (file_has_own_bytes(file)) {
        error = take_out(file, self->mapping);
        if (!error) {
            carry_over(self->mapping, replacement);
            put_in(file, replacement);
            emi_mapping_release(self->mapping);
        }
    } else if (atomic_compare_exchange_strong(&file->mapping, &expected, replacement)) {
        retire(self->mapping);
    } else {
        error = emi_error_set(EMMAP_CLOSED, NULL);
    }
    if (error)
        emi_mapping_release(replacement);
    return error;
}

/* Exchanges the descriptors and identities of the files. Errors: EMMAP_CLOSED. */
static emmap_error exchange_files(emmap_file *file, emmap_file *other)
{
    pthread_mutex_lock(&file->state);
    descriptor_t *const ours = file->descriptor;
    if (ours) {
        __atomic_store_n(&file->descriptor, other->descriptor, __ATOMIC_RELEASE);
        other->descriptor = ours;
        file->device = other->device;
        file->inode = other->inode;
        atomic_store(&file->entry_unsynced, false);
        atomic_store(&file->sync_failed, 0);
        atomic_fetch_add(&file->files, 1);
    }
    pthread_mutex_unlock(&file->state);
    return ours ? EMMAP_OK : emi_error_set(EMMAP_CLOSED, NULL);
}

emmap_error emi_resize_go_over(emmap_file *file, emmap_file *other)
{
    uint64_t size;
    emmap_mapping *mapping;
    emmap_error error = emmap_size(other, &size);
    if (error)
        return error;
    pthread_mutex_lock(&file->resize);
    error = emi_mapping_create(file, other->descriptor->fd, size, 0, &mapping);
    if (!error) {
        error = exchange_files(file, other);
        if (error)
            emi_mapping_release(mapping);
    }
    if (!error) {
        emmap_mapping *const old = atomic_exchange(&file->mapping, NULL);
        if (old)
            retire(old);
        put_in(file, mapping);
    }
    pthread_mutex_unlock(&file->resize);
    return error;
}

/* Maps all that the file has already. */
static emmap_error lengthen(const resizing_t *self, uint64_t size)
{
    emmap_mapping *replacement;
    const emmap_error error = emi_mapping_create(self->file, self->descriptor->fd, size, 0, &replacement);
    return error ? error : exchange(self, replacement);
}

static emmap_error extend(const resizing_t *self, uint64_t size)
{
    const emmap_options *const options = &self->file->options;
    /* A queue or block storage that lost its end must not grow: the missing bytes would become zeros. Any
     * other file may. */
    const uint64_t least = self->file->container ? options->offset + self->mapping->size : 0;
    const emmap_error error = emi_size_extend(self->descriptor->fd, options, least, options->offset + size);
    return error == EFAULT ? emi_file_fault(self->file) : error;
}

static emmap_error grow(const resizing_t *self, uint64_t size)
{
    if (size == self->mapping->size)
        return extend(self, size);
    /* The new mapping comes first, beyond the file's end: if there is no address space for it, the file is
     * unchanged. */
    emmap_mapping *replacement;
    emmap_error error = emi_mapping_create(self->file, self->descriptor->fd, size, 0, &replacement);
    if (error)
        return error;
    error = extend(self, size);
    if (error) {
        emi_mapping_release(replacement);
        return error;
    }
    if (self->file->options.flags & EMMAP_OPEN_POPULATE)
        emi_platform_populate(replacement->base, replacement->length);
    return exchange(self, replacement);
}

/* While the mapping is taken out. Puts the new one in, or on failure the old one. */
static emmap_error shrink_alone(const resizing_t *self, uint64_t size, emmap_mapping *replacement)
{
    emmap_file *const file = self->file;
    const bool goes_on = file->options.length > 0 && self->on_disk > self->mapping->size;
    emmap_error error = EMMAP_OK;
    if (loans_beyond(&file->loans, size))
        error = emi_error_set(EBUSY, "a direct read or a copy beyond the new size is still in use");
    else if (!goes_on)
        error = emi_size_cut(self->descriptor->fd, file->options.offset + size);
    if (!error && file_has_own_bytes(file))
        carry_over(self->mapping, replacement);
    put_in(file, error ? self->mapping : replacement);
    return error;
}

static emmap_error shrink(resizing_t *self, uint64_t size)
{
    emmap_file *const file = self->file;
    const int fd = self->descriptor->fd;
    emmap_mapping *replacement;
    emmap_error error = emi_mapping_create(file, fd, size, 0, &replacement);
    if (error)
        return error;
    /* Before other calls begin to wait for this one: another process may hold the lock for long. */
    bool locked;
    error = emi_size_lock(fd, &file->options, &locked);
    if (!error)
        error = take_out(file, self->mapping);
    if (!error)
        error = shrink_alone(self, size, replacement);
    if (locked)
        emi_size_unlock(fd);
    emi_mapping_release(error ? replacement : self->mapping);
    return error;
}

/* Doubles the size, or adds max_inc_size if that is less. */
static uint64_t grown(uint64_t size, uint64_t max_inc_size)
{
    const uint64_t step = size < max_inc_size ? size : max_inc_size;
    return size > INT64_MAX - step ? INT64_MAX : size + step;
}

static emmap_error resize(resizing_t *self, uint64_t size)
{
    const emmap_options *const options = &self->file->options;
    const uint64_t mapped = self->mapping->size;
    const bool follows = options->length == 0;
    const uint64_t now = follows && self->on_disk > mapped ? self->on_disk : mapped;
    if (size == 0)
        size = grown(now, options->max_inc_size);
    else if (follows && size >= mapped && size < now)
        size = now;
    if (size > LARGEST_SIZE || size > INT64_MAX - options->offset)
        return emi_error_set(EFBIG, "the end is past the largest file");
    if (size != mapped && (options->flags & EMMAP_OPEN_FIXED))
        return emi_error_set(ENOTSUP, "a mapping at a fixed address keeps its size");
    if (size >= mapped)
        return grow(self, size);
    /* Shrinking would cut messages or blocks off, perhaps while an operation changes them. */
    if (self->file->container)
        return emi_error_set(EINVAL, "a file that holds a queue or a block storage does not shrink");
    return shrink(self, size);
}

/* `now` is the size of the mapping. */
static emmap_error may_resize(const emmap_file *file, uint64_t size, uint64_t now)
{
    if (size > INT64_MAX)
        return emi_error_set(EINVAL, "a size is from 1 to 2^63 - 1, or 0 to grow by a step");
    if (!file_may_write(file))
        return emi_error_set(EACCES, "the file is open for reading only");
    if ((file->options.flags & EMMAP_OPEN_FIXED_SIZE) && size != now)
        return emi_error_set(EMMAP_FIXED_SIZE, NULL);
    return EMMAP_OK;
}

emmap_error emmap_resize(emmap_file *file, uint64_t size, uint64_t *result)
{
    resizing_t self;
    emmap_error error = start(file, &self);
    if (error)
        return error;
    error = may_resize(file, size, self.mapping->size);
    if (!error && !(file->options.flags & EMMAP_OPEN_FIXED_SIZE))
        error = resize(&self, size);
    finish(&self);
    uint64_t now;
    return error ? error : emmap_size(file, result ? result : &now);
}

emmap_error emmap_follow(emmap_file *file, uint64_t *size)
{
    resizing_t self;
    emmap_error error = start(file, &self);
    if (error)
        return error;
    const bool follows = file->options.length == 0 && !(file->options.flags & EMMAP_OPEN_FIXED);
    if (follows && self.on_disk > self.mapping->size)
        error = lengthen(&self, self.on_disk);
    finish(&self);
    return error ? error : emmap_size(file, size);
}

emmap_error emmap_truncate(emmap_file *file)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    const uint64_t position = emi_cursor_get(file);
    uint64_t size;
    emmap_error error = emmap_size(file, &size);
    if (!error)
        error = may_resize(file, position, size);
    if (!error && (position == 0 || position > size))
        error = emi_error_set(EINVAL, "a mapping can be truncated from position 1 to its end");
    if (!error)
        error = emmap_resize(file, position, NULL);
    pthread_mutex_unlock(&file->cursor);
    return error;
}

emmap_error emmap_allocate(emmap_file *file, uint64_t position, uint64_t length)
{
    resizing_t self;
    emmap_error error = start(file, &self);
    if (error)
        return error;
    const uint64_t size = self.mapping->size;
    if (!file_may_write(file))
        error = emi_error_set(EACCES, "the file is open for reading only");
    else if (length == 0 || position > size || length > size - position)
        error = emi_error_set(EINVAL, "the range is empty or passes the end of the mapping");
    else
        error = emi_size_reserve(self.descriptor->fd, file->options.offset + position, length);
    finish(&self);
    return error;
}
