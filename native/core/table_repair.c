/*
 * Computes buckets, chains and free units again from the entries: after a power cut, when the disk may have any of the
 * pages, and after damage. A unit is whole on the disk, because it does not cross a sector, or its check shows whether it
 * is. A key that was deleted and inserted again may be there twice. Then one of its entries stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "pause.h"
#include "platform.h"
#include "table.h"

typedef struct repair {
    const table_shape_t *shape;
    uint8_t *data;
    uint8_t *claimed; /* a bit for each unit that an entry has */
    uint64_t size;
    uint64_t used;
} repair_t;

static bool is_claimed(const repair_t *self, uint32_t number)
{
    return self->claimed[number / 8] >> number % 8 & 1;
}

static void flip(repair_t *self, uint32_t number)
{
    self->claimed[number / 8] ^= (uint8_t)(1u << number % 8);
}

/* Claims, or gives back, the units of a key. Returns the number of those before the first one that is claimed. */
static uint32_t claim(repair_t *self, uint32_t number, uint32_t count, bool yes)
{
    for (uint32_t i = 0; i < count; i++) {
        if (number == 0 || number > self->shape->units || is_claimed(self, number) == yes)
            return i;
        flip(self, number);
        if (i + 1 < count)
            number = *table_link(self->shape, table_unit(self->shape, self->data, number));
    }
    return count;
}

/* The key of a unit, if it has an entry. `bytes` is room for it. */
static bool key_of(const repair_t *self, uint32_t number, uint8_t *bytes, table_key_t *key)
{
    const table_shape_t *const shape = self->shape;
    table_unit_t *const unit = table_unit(shape, self->data, number);
    if (!table_is_alive(atomic_load(&unit->generation)))
        return false;
    const uint32_t length = emi_table_copy_key(shape, self->data, number, bytes);
    return emi_table_key(shape, bytes, length, key) == EMMAP_OK &&
           (length <= table_room(shape) || *table_check(shape, unit) == key->check);
}

/* Adds an entry. Nothing happens if an entry before it has one of its units, or its key, or if the table is full. */
static void add(repair_t *self, uint32_t number, const table_key_t *key)
{
    const table_shape_t *const shape = self->shape;
    table_unit_t *const unit = table_unit(shape, self->data, number);
    _Atomic uint32_t *const bucket = table_bucket(self->data, key->bucket);
    const uint32_t count = table_units_for(shape, key->length);
    const uint32_t claimed = claim(self, number, count, true);
    table_place_t place;
    if (claimed < count || self->used + count > shape->capacity ||
        emi_table_find(shape, self->data, key, &place) != EMMAP_OK || place.unit != 0) {
        claim(self, number, claimed, false);
        return;
    }
    table_unit_t *tail = unit;
    for (uint32_t i = 1; i < count && (tail = table_linked(shape, self->data, tail)); i++)
        atomic_fetch_and(&tail->generation, ~UINT32_C(1));
    atomic_store(&unit->next, atomic_load(bucket));
    atomic_store(bucket, number);
    self->size++;
    self->used += count;
}

static void free_rest(repair_t *self, table_header_t *header)
{
    const table_shape_t *const shape = self->shape;
    uint32_t last = 0;
    header->free_first = 0;
    for (uint32_t number = 1; number <= shape->units; number++) {
        if (is_claimed(self, number))
            continue;
        table_unit_t *const unit = table_unit(shape, self->data, number);
        atomic_fetch_and(&unit->generation, ~UINT32_C(1));
        if (last != 0)
            *table_link(shape, table_unit(shape, self->data, last)) = number;
        else
            header->free_first = number;
        last = number;
    }
    if (last != 0)
        *table_link(shape, table_unit(shape, self->data, last)) = 0;
    header->free_last = last;
}

static void repair(repair_t *self, table_header_t *header)
{
    uint8_t bytes[TABLE_KEY_MAX];
    table_key_t key;
    atomic_store(&header->journal.step, TABLE_STEP_REPAIR);
    PAUSE("table_repair_begin");
    memset(self->data + TABLE_HEADER, 0, 4 * (size_t)self->shape->buckets);
    PAUSE("table_repair_begun");
    for (uint32_t number = 1; number <= self->shape->units; number++)
        if (!is_claimed(self, number) && key_of(self, number, bytes, &key))
            add(self, number, &key);
    PAUSE("table_repair_linked");
    free_rest(self, header);
    atomic_store(&header->size, self->size);
    header->used = self->used;
    header->hand = 0;
    header->none_expires_before = 0;
    header->swept = 0;
    atomic_fetch_add(&header->removed, 1);
    PAUSE("table_repair_freed");
    atomic_store(&header->journal.step, TABLE_STEP_NONE);
    PAUSE("table_repair_done");
}

/* Without emi_table_begin: what a dead process left may be damaged, too. */
emmap_error emmap_table_repair(emmap_file *file)
{
    operation_t operation;
    const emmap_error error = emi_operation_begin(file, CONTAINER_TABLE, LOCK_CONTAINER, &operation);
    return error ? error : emi_operation_end(&operation, emi_table_repair(&operation));
}

emmap_error emi_table_repair(operation_t *operation)
{
    const emmap_error error = emi_require_blocking();
    if (error)
        return error;
    emi_operation_keep(operation);
    repair_t self = {.shape = table_shape(operation), .data = operation->mapping->data};
    self.claimed = calloc(self.shape->units / 8 + 1, 1);
    if (!self.claimed)
        return emi_error_set(ENOMEM, NULL);
    repair(&self, table_header(operation->mapping));
    free(self.claimed);
    return EMMAP_OK;
}
