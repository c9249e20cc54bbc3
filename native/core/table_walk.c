/* All entries of a table, and a copy of its file. */
#include <errno.h>
#include <string.h>

#include "backup.h"
#include "error.h"
#include "table.h"

/* The most units that a step looks at. */
enum { UNITS_AT_ONCE = 65536 };

typedef struct entry {
    uint8_t bytes[8 * TABLE_WORDS_MAX + TABLE_KEY_MAX];
    size_t length;
} entry_t;

/* Copies the words and the key of a unit. False: it has no entry, or that was deleted meanwhile. */
static bool copy_entry(const table_shape_t *shape, uint8_t *data, uint32_t number, entry_t *entry)
{
    table_unit_t *const unit = table_unit(shape, data, number);
    const table_place_t place = {.unit = number,
                                 .generation = atomic_load_explicit(&unit->generation, memory_order_acquire)};
    if (!table_is_alive(place.generation))
        return false;
    for (uint32_t i = 0; i < shape->words; i++) {
        const int64_t word = atomic_load_explicit(&unit->words[i], memory_order_relaxed);
        memcpy(entry->bytes + 8 * i, &word, 8);
    }
    const uint32_t length = emi_table_copy_key(shape, data, number, entry->bytes + 8 * shape->words);
    entry->length = 8 * (size_t)shape->words + length;
    return length > 0 && table_is_same(shape, data, &place);
}

static emmap_error walk(const table_shape_t *shape, uint8_t *data, uint64_t limit, uint64_t *place,
                        const emmap_sink *sink, uint64_t *count)
{
    entry_t entry;
    uint64_t at = *place;
    for (uint64_t i = 0; i < UNITS_AT_ONCE && at < shape->units && *count < limit; i++, at++) {
        if (!copy_entry(shape, data, (uint32_t)at + 1, &entry))
            continue;
        void *const room = sink->allocate(sink->context, entry.length);
        if (!room)
            return *count > 0 ? EMMAP_OK : emi_error_set(ENOMEM, NULL);
        memcpy(room, entry.bytes, entry.length);
        ++*count;
        *place = at + 1;
    }
    *place = at;
    return EMMAP_OK;
}

emmap_error emmap_table_walk(emmap_file *file, uint64_t limit, uint64_t *place, const emmap_sink *sink,
                             uint64_t *count)
{
    container_t *base;
    emmap_mapping *mapping;
    *count = 0;
    emmap_error error = emi_container_get(file, CONTAINER_TABLE, &base);
    if (!error)
        error = emi_mapping_of(file, &mapping);
    if (error)
        return error;
    const table_shape_t *const shape = &((const table_t *)base)->shape;
    error = *place < shape->units ? walk(shape, mapping->data, limit, place, sink, count) : EMMAP_EOF;
    fence_light(); /* as in copy.c */
    const emmap_error fault = emi_file_check(file);
    emi_mapping_release(mapping);
    return fault ? fault : error;
}

static void copy_table(const table_shape_t *shape, const uint8_t *data, backup_image_t *image)
{
    memcpy(image->bytes, data, shape->size);
    image->length = image->size = shape->size;
}

emmap_error emi_table_backup(emmap_file *file, backup_image_t *image)
{
    container_t *base;
    operation_t operation;
    emmap_mapping *mapping;
    emmap_error error = emi_container_get(file, CONTAINER_TABLE, &base);
    if (error)
        return error;
    const table_shape_t *const shape = &((const table_t *)base)->shape;
    error = emi_backup_image_create(shape->size, image);
    if (error)
        return error;
    if (file_may_write(file)) {
        error = emi_table_begin(file, &operation);
        if (!error) {
            emi_operation_keep(&operation);
            copy_table(shape, operation.mapping->data, image);
            error = emi_operation_end(&operation, EMMAP_OK);
        }
    } else {
        error = emi_mapping_of(file, &mapping);
        if (!error) {
            copy_table(shape, mapping->data, image);
            /* Others may have changed it meanwhile: the copy is repaired when it is opened. */
            memset(((table_header_t *)(void *)image->bytes)->boot, 0, 16);
            emi_mapping_release(mapping);
            error = emi_file_check(file);
        }
    }
    if (error)
        emi_backup_image_free(image);
    return error;
}
