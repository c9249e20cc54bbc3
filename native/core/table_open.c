/* Making a file a table, and opening one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "error.h"
#include "pause.h"
#include "platform.h"
#include "table.h"

static const char no_capacity[] = "a new table needs a capacity";

static bool is_possible(uint64_t capacity, uint64_t key_bytes, uint64_t words)
{
    return capacity > 0 && capacity <= TABLE_CAPACITY_MAX && key_bytes > 0 && key_bytes <= TABLE_KEY_MAX &&
           words > 0 && words <= TABLE_WORDS_MAX;
}

/* Makes an empty table. The magic comes last: it tells that the rest is there. Errors: EIO without random bytes. */
static emmap_error create(uint8_t *data, const table_shape_t *shape)
{
    table_header_t *const header = (table_header_t *)(void *)data;
    PAUSE("table_create_begin");
    header->format = TABLE_FORMAT;
    header->words = shape->words;
    header->capacity = shape->capacity;
    header->key_bytes = shape->key_bytes;
    header->stride = shape->stride;
    header->buckets = shape->buckets;
    header->units = shape->units;
    if (emi_platform_random(header->secret, sizeof header->secret) != 0)
        return emi_error_set(EIO, "the system has no random bytes");
    emi_platform_boot(header->boot);
    PAUSE("table_create_shaped");
    for (uint32_t number = 1; number < shape->units; number++)
        *table_link(shape, table_unit(shape, data, number)) = number + 1;
    header->free_first = 1;
    header->free_last = shape->units;
    PAUSE("table_create_freed");
    __atomic_store_n(&header->magic, TABLE_MAGIC, __ATOMIC_RELEASE);
    PAUSE("table_create_done");
    return EMMAP_OK;
}

bool emi_table_read_shape(const table_header_t *header, uint64_t size, table_shape_t *shape)
{
    if (header->format != TABLE_FORMAT || !is_possible(header->capacity, header->key_bytes, header->words))
        return false;
    *shape =
        (table_shape_t){.capacity = header->capacity, .key_bytes = header->key_bytes, .words = header->words};
    table_shape_complete(shape);
    memcpy(shape->secret, header->secret, sizeof shape->secret);
    return header->stride == shape->stride && header->buckets == shape->buckets &&
           header->units == shape->units && size >= shape->size;
}

static bool read_shape(const operation_t *operation, table_shape_t *shape)
{
    return emi_table_read_shape(table_header(operation->mapping), operation->mapping->size, shape);
}

/* Whether the creator died before it wrote the magic. *shape becomes that of the file, if the creator has said one. */
static bool unfinished(const operation_t *operation, table_shape_t *shape)
{
    if (!operation->locked || operation->mapping->size < TABLE_HEADER ||
        table_header(operation->mapping)->magic != 0)
        return false;
    table_shape_t said;
    if (read_shape(operation, &said)) {
        *shape = said;
        return true;
    }
    /* After a death in the middle of the header, there is nothing behind it. */
    return emi_operation_zeros(operation, offsetof(table_header_t, reserved),
                               operation->mapping->size - offsetof(table_header_t, reserved));
}

/* Whether no other handle may write the file. A system that does not tell its runs apart may have lost its power since the last one
 * was open. */
static bool is_alone(const operation_t *operation)
{
    const int fd = operation->descriptor->fd;
    if (operation->file->options.flags & EMMAP_OPEN_EXCLUSIVE)
        return true;
    if (emi_lock_try(fd, LOCK_PRESENCE, LOCK_EXCLUSIVE) != EMMAP_OK)
        return false;
    emi_lock_try(fd, LOCK_PRESENCE, LOCK_SHARED);
    return true;
}

/* 0 asks for the file's number. */
static bool is_another(uint64_t asked, uint64_t there)
{
    return asked != 0 && asked != there;
}

static emmap_error check(container_t *base, operation_t *operation)
{
    table_t *const self = (table_t *)base;
    const table_shape_t asked = self->shape;
    table_shape_t shape = asked;
    emmap_error error = EMMAP_OK;
    if (unfinished(operation, &shape)) {
        if (shape.capacity == 0)
            return emi_error_set(EINVAL, no_capacity);
        table_shape_complete(&shape);
        if (operation->mapping->size >= shape.size)
            error = create(operation->mapping->data, &shape);
        if (error)
            return error;
    }
    if (operation->mapping->size < TABLE_HEADER || table_header(operation->mapping)->magic != TABLE_MAGIC)
        return emi_operation_corrupt(operation, 0, "not a table: no \"EMMPTBL\\n\" at its beginning");
    if (!read_shape(operation, &self->shape))
        return emi_operation_corrupt(operation, offsetof(table_header_t, format),
                                     "the shape of the table is none, or does not fit the file");
    if (is_another(asked.capacity, self->shape.capacity) ||
        is_another(asked.key_bytes, self->shape.key_bytes) || is_another(asked.words, self->shape.words))
        return emi_error_set(EINVAL, "the table has another capacity, or other key_bytes or words");
    if (!operation->locked)
        return EMMAP_OK;
    uint8_t boot[16];
    static const uint8_t unknown[sizeof boot];
    table_header_t *const header = table_header(operation->mapping);
    emi_platform_boot(boot);
    const bool same = memcmp(boot, header->boot, sizeof boot) == 0;
    if (same && (memcmp(boot, unknown, sizeof boot) != 0 || !is_alone(operation)))
        return EMMAP_OK;
    error = emi_table_repair(operation);
    if (!error)
        memcpy(header->boot, boot, sizeof boot);
    return error;
}

/* A synced table needs nothing more: after a power cut everything follows from the units. */
static emmap_error note_synced(emmap_file *file)
{
    (void)file;
    return EMMAP_OK;
}

#define REFUSED_FLAGS (EMMAP_OPEN_ANON | EMMAP_OPEN_TRUNCATE | EMMAP_OPEN_FOLLOW)

emmap_error emmap_table_open(const char *path, const emmap_table_metadata *asked, const emmap_options *given,
                             emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    bool fresh;
    table_shape_t shape = {.capacity = asked->capacity};
    const uint64_t key_bytes = asked->key_bytes ? asked->key_bytes : EMMAP_TABLE_KEY_BYTES;
    const uint64_t words = asked->words ? asked->words : EMMAP_TABLE_WORDS;
    if (!is_possible(asked->capacity ? asked->capacity : 1, key_bytes, words))
        return emi_error_set(EINVAL, "a table has a capacity up to 2^31, keys of up to 1024 bytes, and up to "
                                     "64 words");
    if (given && ((given->flags & REFUSED_FLAGS) || given->size))
        return emi_error_set(EINVAL, "a table is a file whose size is decided by its capacity");
    emmap_error error = emi_container_options(given, &options, &fresh);
    if (error)
        return error;
    shape.key_bytes = (uint32_t)key_bytes;
    shape.words = (uint32_t)words;
    table_shape_t whole = shape;
    table_shape_complete(&whole);
    options.flags |= EMMAP_OPEN_FIXED_SIZE;
    const container_preparer_t preparer = {.base = {emi_container_prepare},
                                           .size = whole.size,
                                           .lacking = asked->capacity ? NULL : no_capacity,
                                           .blank_from = offsetof(table_header_t, format)};
    emmap_file *file;
    error = emi_file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    table_t *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (container_t){.kind = CONTAINER_TABLE, .note_synced = note_synced};
        self->shape = shape;
        if (asked->capacity == 0) {
            self->shape.key_bytes = (uint32_t)asked->key_bytes;
            self->shape.words = (uint32_t)asked->words;
        }
    }
    error = emi_container_attach(file, self ? &self->base : NULL, check);
    if (error) {
        emi_file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
