/*
 * Checking a table without the lock. Insertions and deletions change buckets, chains and counts meanwhile. So a finding counts only
 * if none was in progress before and after, and none has ended in between: each leaves its mark in the header (moment_t).
 *
 * A table that was not repaired since the system began to run is not checked: the next opener that may write makes everything
 * follow from the units, and a unit alone cannot be wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "platform.h"
#include "table.h"

/* How often a change in progress is waited for, and how often the table is read. */
enum { WAITS = 200, READINGS = 5, PAUSE_NANOSECONDS = 50000 };

typedef struct check {
    const table_shape_t *shape;
    uint8_t *data;
    uint8_t *seen; /* a bit for each unit */
    uint64_t size;
    uint64_t used;
    const char *reason; /* NULL: all is well so far */
    uint64_t position;
} check_t;

/* What every insertion and every deletion changes. */
typedef struct moment {
    uint32_t step, free_first, free_last;
    uint64_t removed, size, used;
} moment_t;

static moment_t moment_of(uint8_t *data)
{
    table_header_t *const header = (table_header_t *)(void *)data;
    atomic_thread_fence(memory_order_acquire);
    const moment_t now = {.step = atomic_load(&header->journal.step),
                          .free_first = header->free_first,
                          .free_last = header->free_last,
                          .removed = atomic_load(&header->removed),
                          .size = atomic_load(&header->size),
                          .used = header->used};
    atomic_thread_fence(memory_order_acquire);
    return now;
}

static bool is_same_moment(const moment_t *one, const moment_t *other)
{
    return one->step == other->step && one->free_first == other->free_first &&
           one->free_last == other->free_last && one->removed == other->removed && one->size == other->size &&
           one->used == other->used;
}

static uint64_t position_of(const check_t *self, uint32_t number)
{
    return self->shape->units_at + (uint64_t)self->shape->stride * (number - 1);
}

static bool found(check_t *self, const char *reason, uint64_t position)
{
    self->reason = reason;
    self->position = position;
    return false;
}

static bool is_seen(const check_t *self, uint32_t number)
{
    return self->seen[number / 8] >> number % 8 & 1;
}

/* Notes a unit that something at `position` leads to. */
static bool see(check_t *self, uint32_t number, uint64_t position)
{
    if (number == 0 || number > self->shape->units)
        return found(self, "a number of a unit is that of none", position);
    if (is_seen(self, number))
        return found(self, "a unit of the table is in two places", position);
    self->seen[number / 8] |= (uint8_t)(1u << number % 8);
    return true;
}

static bool is_alive(const check_t *self, uint32_t number)
{
    table_unit_t *const unit = table_unit(self->shape, self->data, number);
    return table_is_alive(atomic_load_explicit(&unit->generation, memory_order_acquire));
}

/* The tails of a key. */
static bool check_tails(check_t *self, uint32_t number, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t next = *table_link(self->shape, table_unit(self->shape, self->data, number));
        if (!see(self, next, position_of(self, number) + self->shape->stride - 4))
            return false;
        number = next;
    }
    return true;
}

/* An entry in the chain of a bucket. */
static bool check_entry(check_t *self, uint32_t number, uint32_t bucket)
{
    uint8_t bytes[TABLE_KEY_MAX];
    table_key_t key;
    table_place_t place;
    const table_shape_t *const shape = self->shape;
    table_unit_t *const unit = table_unit(shape, self->data, number);
    const uint64_t position = position_of(self, number);
    if (!is_alive(self, number))
        return found(self, "a chain of the table leads to a unit without an entry", position);
    const uint32_t length = *table_length(shape, unit) & ~TABLE_LIMITED;
    if (length == 0 || length > shape->key_bytes)
        return found(self, "the length of a key is none", position + shape->key_at - 2);
    const uint32_t count = table_units_for(shape, length);
    if (!check_tails(self, number, count))
        return false;
    if (emi_table_copy_key(shape, self->data, number, bytes) != length ||
        emi_table_key(shape, bytes, length, &key) != EMMAP_OK || key.bucket != bucket ||
        (count > 1 && *table_check(shape, unit) != key.check))
        return found(self, "an entry of the table is in the chain of another key", position);
    if (emi_table_find(shape, self->data, &key, &place) != EMMAP_OK || place.unit != number)
        return found(self, "a key of the table is there twice", position);
    self->size++;
    self->used += count;
    return true;
}

static bool check_chains(check_t *self)
{
    for (uint32_t bucket = 0; bucket < self->shape->buckets; bucket++) {
        uint64_t position = TABLE_HEADER + 4 * (uint64_t)bucket;
        uint32_t number = atomic_load_explicit(table_bucket(self->data, bucket), memory_order_acquire);
        for (; number != 0; position = position_of(self, number),
                            number = atomic_load_explicit(&table_unit(self->shape, self->data, number)->next,
                                                          memory_order_acquire))
            if (!see(self, number, position) || !check_entry(self, number, bucket))
                return false;
    }
    return true;
}

static bool check_free(check_t *self)
{
    const table_shape_t *const shape = self->shape;
    const table_header_t *const header = (const table_header_t *)(void *)self->data;
    uint64_t position = offsetof(table_header_t, free_first);
    uint64_t count = 1;
    for (uint32_t number = header->free_first;; count++) {
        if (!see(self, number, position))
            return false;
        if (is_alive(self, number))
            return found(self, "a free unit of the table has an entry", position_of(self, number));
        if (number == header->free_last)
            break;
        position = position_of(self, number) + shape->stride - 4;
        number = *table_link(shape, table_unit(shape, self->data, number));
    }
    if (self->used + count == shape->units)
        return true;
    for (uint32_t number = 1; number <= shape->units; number++)
        if (!is_seen(self, number))
            return found(self, "a unit of the table is in no chain, and not free", position_of(self, number));
    return true;
}

static bool check_counts(check_t *self)
{
    table_header_t *const header = (table_header_t *)(void *)self->data;
    if (atomic_load(&header->size) != self->size)
        return found(self, "the number of keys is another one", offsetof(table_header_t, size));
    return header->used == self->used ||
           found(self, "the number of units that keys take is another one", offsetof(table_header_t, used));
}

static bool check_all(check_t *self)
{
    memset(self->seen, 0, self->shape->units / 8 + 1);
    self->size = self->used = 0;
    return check_chains(self) && check_free(self) && check_counts(self);
}

static emmap_error check(check_t *self)
{
    int readings = 0;
    for (int i = 0; i < WAITS && readings < READINGS; i++) {
        const moment_t before = moment_of(self->data);
        if (before.step > TABLE_STEP_REPAIR)
            return emi_error_corrupt(offsetof(table_header_t, journal),
                                     "the journal of the table says a step that is none");
        if (before.step == TABLE_STEP_NONE) {
            if (check_all(self))
                return EMMAP_OK;
            const moment_t after = moment_of(self->data);
            if (is_same_moment(&before, &after))
                return emi_error_corrupt(self->position, self->reason);
            readings++;
        }
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
    }
    /* Others change the table all the time, or one has died in a change, which the next one finishes. */
    return EMMAP_OK;
}

static bool was_repaired(uint8_t *data)
{
    uint8_t boot[16];
    emi_platform_boot(boot);
    return memcmp(((const table_header_t *)(void *)data)->boot, boot, sizeof boot) == 0;
}

emmap_error emi_table_check(emmap_file *file)
{
    container_t *base;
    emmap_mapping *mapping;
    emmap_error error = emi_container_get(file, CONTAINER_TABLE, &base);
    if (!error)
        error = emi_mapping_of(file, &mapping);
    if (error)
        return error;
    check_t self = {.shape = &((const table_t *)base)->shape, .data = mapping->data};
    if (was_repaired(mapping->data)) {
        self.seen = calloc(self.shape->units / 8 + 1, 1);
        error = self.seen ? check(&self) : emi_error_set(ENOMEM, NULL);
        free(self.seen);
    }
    fence_light(); /* as in copy.c */
    const emmap_failure failure = *emmap_last_failure();
    const emmap_error fault = emi_file_check(file);
    emi_mapping_release(mapping);
    if (!fault && error)
        emi_error_restore(&failure);
    return fault ? fault : error;
}
