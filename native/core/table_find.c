#include <errno.h>
#include <string.h>

#include "error.h"
#include "siphash.h"
#include "table.h"

/* How often a look begins again. Each time somebody has deleted an entry meanwhile. */
enum { ATTEMPTS = 1000 };

emmap_error emi_table_key(const table_shape_t *shape, const void *bytes, size_t length, table_key_t *key)
{
    if (length == 0 || length > shape->key_bytes)
        return emi_error_set(EINVAL, "a key has at least one byte, and at most the table's key_bytes");
    const uint64_t hash = emi_siphash(shape->secret, bytes, length);
    *key = (table_key_t){.bytes = bytes,
                         .length = (uint32_t)length,
                         .bucket = (uint32_t)((hash >> 32) * shape->buckets >> 32),
                         .check = (uint32_t)hash};
    return EMMAP_OK;
}

/* Whether the bytes are the same. A call of memcmp costs as much as all of this, and it loads more at once than the door
 * has just stored, which processors do slowly. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t length)
{
    enum { STEP = 8 };
    uint64_t x, y;
    if (length < STEP)
        return memcmp(a, b, length) == 0;
    for (uint32_t at = 0; at < length; at += STEP) {
        at = at > length - STEP ? length - STEP : at;
        memcpy(&x, a + at, STEP);
        memcpy(&y, b + at, STEP);
        if (x != y)
            return false;
    }
    return true;
}

static bool same_tails(const table_shape_t *shape, uint8_t *data, table_unit_t *unit, const table_key_t *key)
{
    uint32_t at = table_beginning(shape);
    if (memcmp((uint8_t *)unit + shape->key_at, key->bytes, at) != 0 ||
        *table_check(shape, unit) != key->check)
        return false;
    while (at < key->length) {
        const uint32_t left = key->length - at;
        const uint32_t run = left < table_tail_room(shape) ? left : table_tail_room(shape);
        unit = table_linked(shape, data, unit);
        if (!unit || memcmp((uint8_t *)unit + offsetof(table_unit_t, words), key->bytes + at, run) != 0)
            return false;
        at += run;
    }
    return true;
}

static inline bool same_key(const table_shape_t *shape, uint8_t *data, table_unit_t *unit,
                            const table_key_t *key)
{
    if ((*table_length(shape, unit) & ~TABLE_LIMITED) != key->length)
        return false;
    return key->length <= table_room(shape)
               ? same_bytes((uint8_t *)unit + shape->key_at, key->bytes, key->length)
               : same_tails(shape, data, unit, key);
}

static emmap_error corrupt(const char *reason)
{
    return emi_error_corrupt(TABLE_HEADER, reason);
}

/* Goes through the chain once. *changed: a unit has changed under it. */
static emmap_error go_through(const table_shape_t *shape, uint8_t *data, const table_key_t *key,
                              table_place_t *place, bool *changed)
{
    *place = (table_place_t){.link = key->bucket};
    *changed = false;
    uint32_t number = atomic_load_explicit(table_bucket(data, key->bucket), memory_order_acquire);
    for (uint32_t steps = 0; number != 0; steps++) {
        if (number > shape->units || steps > shape->units)
            return corrupt("a chain of the table leads nowhere, or never ends");
        table_unit_t *const unit = table_unit(shape, data, number);
        const uint32_t generation = atomic_load_explicit(&unit->generation, memory_order_acquire);
        if (table_is_alive(generation) && same_key(shape, data, unit, key)) {
            place->unit = number;
            place->generation = generation;
            *changed = !table_is_same(shape, data, place);
            return EMMAP_OK;
        }
        place->link = number;
        place->by_unit = true;
        number = atomic_load_explicit(&unit->next, memory_order_acquire);
    }
    return EMMAP_OK;
}

emmap_error emi_table_find(const table_shape_t *shape, uint8_t *data, const table_key_t *key,
                           table_place_t *place)
{
    table_header_t *const header = (table_header_t *)(void *)data;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        const uint64_t removed = atomic_load_explicit(&header->removed, memory_order_acquire);
        bool changed;
        const emmap_error error = go_through(shape, data, key, place, &changed);
        /* A unit that was deleted and used again may have led into another chain. */
        atomic_thread_fence(memory_order_acquire);
        const bool same = atomic_load_explicit(&header->removed, memory_order_relaxed) == removed;
        if (!changed && (error || place->unit == 0) && same)
            return error;
        if (!changed && !error && place->unit != 0)
            return EMMAP_OK;
    }
    return emi_error_set(EBUSY, "others delete entries of the table all the time");
}

uint32_t emi_table_copy_key(const table_shape_t *shape, uint8_t *data, uint32_t number, uint8_t *bytes)
{
    table_unit_t *unit = table_unit(shape, data, number);
    const uint32_t length = *table_length(shape, unit) & ~TABLE_LIMITED;
    if (length == 0 || length > shape->key_bytes)
        return 0;
    const bool whole = length <= table_room(shape);
    uint32_t at = whole ? length : table_beginning(shape);
    memcpy(bytes, (uint8_t *)unit + shape->key_at, at);
    while (at < length) {
        const uint32_t left = length - at;
        const uint32_t run = left < table_tail_room(shape) ? left : table_tail_room(shape);
        unit = table_linked(shape, data, unit);
        if (!unit)
            return 0;
        memcpy(bytes + at, (uint8_t *)unit + offsetof(table_unit_t, words), run);
        at += run;
    }
    return length;
}
