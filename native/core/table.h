/*
 * A table in an open file, and what its files share.
 *
 *   table.c         the operations on words
 *   table_find.c    looking for a key, without a lock
 *   table_change.c  inserting and deleting, under the lock, and finishing what a dead process began
 *   table_check.c   looking for damage, without the lock
 *   table_repair.c  making buckets and free units follow from the entries
 *   table_hit.c     limits, and entries that expire
 *   table_walk.c    all entries, and a copy of the file
 *   table_open.c    making and opening
 *
 * A reader, and an addition, takes no lock. It finds a unit and its generation, accesses the words, and looks at the
 * generation again. If that has changed, somebody has deleted the entry meanwhile: a read begins again, and an
 * addition is undone and begins again. Free units rest in a queue, so that an addition that is late by less than the
 * time in which TABLE_RESERVE units get new keys changes no other entry, not even for a moment.
 *
 * A store that can't be undone (set, compare and exchange) takes the lock, which keeps deletions out.
 */
#ifndef EMMAP_CORE_TABLE_H
#define EMMAP_CORE_TABLE_H

#include "operation.h"
#include "table_layout.h"

typedef struct table {
    container_t base;
    table_shape_t shape; /* from when the file became a table; never changes */
} table_t;

typedef struct table_key {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t bucket;
    uint32_t check; /* tells pieces of different keys apart after a power cut */
} table_key_t;

/* Where an entry is. */
typedef struct table_place {
    uint32_t unit; /* 0: there is no entry */
    uint32_t generation;
    uint32_t link; /* what points to it, as in the journal */
    bool by_unit;
} table_place_t;

static inline table_header_t *table_header(const emmap_mapping *mapping)
{
    return (table_header_t *)(void *)mapping->data;
}

static inline const table_shape_t *table_shape(const operation_t *operation)
{
    return &((const table_t *)operation->container)->shape;
}

/* ---- Looking (table_find.c) ---- */

/* Errors: EINVAL for a key that the table has no room for. */
emmap_error emi_table_key(const table_shape_t *shape, const void *bytes, size_t length, table_key_t *key);

/* Looks for a key. Errors: EMMAP_CORRUPT; EBUSY if others change the table all the time, which can't be under the
 * lock. */
emmap_error emi_table_find(const table_shape_t *shape, uint8_t *data, const table_key_t *key,
                           table_place_t *place);

/* Copies the key of a unit. Returns its length; 0: it is no sound key. */
uint32_t emi_table_copy_key(const table_shape_t *shape, uint8_t *data, uint32_t unit, uint8_t *bytes);

/* Whether the unit still has the entry that was found there. Comes after the accesses to the entry. */
static inline bool table_is_same(const table_shape_t *shape, uint8_t *data, const table_place_t *place)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&table_unit(shape, data, place->unit)->generation, memory_order_relaxed) ==
           place->generation;
}

/* ---- Changing (table_change.c) ---- */

/* Begins a change, and finishes the one of a process that died. Errors: as emi_operation_begin; as
 * emi_table_repair. */
emmap_error emi_table_begin(emmap_file *file, operation_t *operation);

/* Inserts a key that is not there, with these words. Errors: EMMAP_FULL; EMMAP_CORRUPT. */
emmap_error emi_table_insert(operation_t *operation, const table_key_t *key, uint32_t flags,
                             const int64_t *words, table_place_t *place);

/* Deletes an entry that was found under this lock. Errors: EMMAP_CORRUPT. */
emmap_error emi_table_delete(operation_t *operation, const table_place_t *place);

/* ---- Opening (table_open.c) ---- */

/* Reads the shape that a header says. False: there is no such table, or a file of this size is too short for it. */
bool emi_table_read_shape(const table_header_t *header, uint64_t size, table_shape_t *shape);

/* ---- Checking (table_check.c) ---- */

/* Reads the whole table without the lock. Errors: EMMAP_CORRUPT; ENOMEM; EFAULT. */
emmap_error emi_table_check(emmap_file *file);

/* ---- Repairing (table_repair.c) ---- */

/* Computes all the rest again from the units that have entries. Under the lock. Errors: ENOMEM; EAGAIN as
 * emi_require_blocking. */
emmap_error emi_table_repair(operation_t *operation);

/* ---- Limits (table_hit.c) ---- */

/* Makes room for a key of so many units: expired limits give their place, and if `evict` is true, limits that expire
 * soon. Under the lock. Errors: EMMAP_FULL; EMMAP_CORRUPT. */
emmap_error emi_table_make_room(operation_t *operation, uint32_t units, bool evict);

/* For tests: added to the clock, in ms. */
extern int64_t emi_table_clock_shift;

#endif
