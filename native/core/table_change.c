/*
 * Inserting and deleting entries. The journal says what is being done, in absolute numbers, before anything is done.
 * If a process dies, the next change finishes it.
 *
 *   Insertion, into the free units that were freed first:
 *     1. Write the journal.
 *     2. Fill the units. The key overwrites the link of the first one, which the journal's `free` follows from.
 *     3. Make the generation odd.
 *     4. Let the bucket point to the unit. From here on others find the entry, and may change its words.
 *     5. Store size, used and the first free unit.
 *     6. Clear the journal.
 *   A dead process's insertion is finished if step 4 was done, and undone otherwise.
 *
 *   Deletion:
 *     1. Write the journal.
 *     2. Make the generation even. From here on nobody finds the entry.
 *     3. Take the unit out of its chain. It keeps its `next`, for readers that have just reached it.
 *     4. Count the deletion, so that these readers begin again.
 *     5. Append the units to the free ones.
 *     6. Store size, used and the last free unit.
 *     7. Clear the journal.
 *   A dead process's deletion is done once more from step 2 on.
 */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "pause.h"
#include "table.h"

static _Atomic uint32_t *link_of(const table_shape_t *shape, uint8_t *data, uint32_t link, bool by_unit)
{
    return by_unit ? &table_unit(shape, data, link)->next : table_bucket(data, link);
}

/* Copies all but the step. */
static void copy_journal(table_journal_t *to, const table_journal_t *from)
{
    to->unit = from->unit;
    to->last = from->last;
    to->generation = from->generation;
    to->link = from->link;
    to->next = from->next;
    to->free = from->free;
    to->by_unit = from->by_unit;
    to->size = from->size;
    to->used = from->used;
}

/* From here on only `entry` is read: others can write to the journal at any time. */
static void journal_begin(table_journal_t *journal, const table_journal_t *entry, table_step_t step)
{
    copy_journal(journal, entry);
    PAUSE("table_journal_filled");
    atomic_store_explicit(&journal->step, step, memory_order_release);
    PAUSE("table_journal_written");
}

static void journal_end(table_journal_t *journal)
{
    atomic_store_explicit(&journal->step, TABLE_STEP_NONE, memory_order_release);
    PAUSE("table_journal_cleared");
}

/* ---- Insertion ---- */

/* From step 5 on. */
static void finish_insert(table_header_t *header, const table_journal_t *entry)
{
    atomic_store_explicit(&header->size, entry->size, memory_order_relaxed);
    header->used = entry->used;
    PAUSE("table_insert_counted");
    header->free_first = entry->free;
    PAUSE("table_insert_done");
    journal_end(&header->journal);
}

static void undo_insert(const table_shape_t *shape, uint8_t *data, const table_journal_t *entry)
{
    table_unit_t *const unit = table_unit(shape, data, entry->unit);
    atomic_store(&unit->generation, entry->generation - 1);
    PAUSE("table_undo_dead");
    if (entry->unit == entry->last)
        *table_link(shape, unit) = entry->free;
    PAUSE("table_undo_done");
    journal_end(&((table_header_t *)(void *)data)->journal);
}

/* False: the unit has fewer tails than there were. */
static bool fill(const table_shape_t *shape, uint8_t *data, const table_key_t *key, uint32_t flags,
                 const int64_t *words, uint32_t number)
{
    table_unit_t *unit = table_unit(shape, data, number);
    for (uint32_t i = 0; i < shape->words; i++)
        atomic_store_explicit(&unit->words[i], words[i], memory_order_relaxed);
    *table_length(shape, unit) = (uint16_t)(key->length | flags);
    PAUSE("table_insert_words");
    const bool whole = key->length <= table_room(shape);
    uint32_t at = whole ? key->length : table_beginning(shape);
    memcpy((uint8_t *)unit + shape->key_at, key->bytes, at);
    if (!whole)
        *table_check(shape, unit) = key->check;
    while (at < key->length) {
        const uint32_t left = key->length - at;
        const uint32_t run = left < table_tail_room(shape) ? left : table_tail_room(shape);
        unit = table_linked(shape, data, unit);
        if (!unit)
            return false;
        memcpy((uint8_t *)unit + offsetof(table_unit_t, words), key->bytes + at, run);
        at += run;
    }
    PAUSE("table_insert_filled");
    return true;
}

/* Finds the units that an insertion will take. Errors: EMMAP_CORRUPT. */
static emmap_error find_free(const operation_t *operation, uint32_t count, table_journal_t *journal)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    uint32_t number = table_header(operation->mapping)->free_first;
    journal->unit = number;
    for (uint32_t i = 0; i < count; i++) {
        if (number == 0 || number > shape->units ||
            table_is_alive(
                atomic_load_explicit(&table_unit(shape, data, number)->generation, memory_order_relaxed)))
            return emi_operation_corrupt(operation, offsetof(table_header_t, free_first),
                                         "the free units of the table are none");
        journal->last = number;
        number = *table_link(shape, table_unit(shape, data, number));
    }
    journal->free = number;
    /* A full table has free units, too. */
    return number > 0 && number <= shape->units
               ? EMMAP_OK
               : emi_operation_corrupt(operation, offsetof(table_header_t, free_first),
                                       "the table has too few free units");
}

emmap_error emi_table_insert(operation_t *operation, const table_key_t *key, uint32_t flags,
                             const int64_t *words, table_place_t *place)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_header_t *const header = table_header(operation->mapping);
    const uint32_t count = table_units_for(shape, key->length);
    if (header->used + count > shape->capacity)
        return emi_error_set(EMMAP_FULL, "the table has as many keys as its capacity");
    _Atomic uint32_t *const bucket = table_bucket(data, key->bucket);
    table_journal_t entry = {.link = key->bucket,
                             .next = atomic_load_explicit(bucket, memory_order_relaxed),
                             .size = atomic_load_explicit(&header->size, memory_order_relaxed) + 1,
                             .used = header->used + count};
    const emmap_error error = find_free(operation, count, &entry);
    if (error)
        return error;
    table_unit_t *const unit = table_unit(shape, data, entry.unit);
    entry.generation = atomic_load_explicit(&unit->generation, memory_order_relaxed) + 1;
    journal_begin(&header->journal, &entry, TABLE_STEP_INSERT);
    /* Readers that are just at this unit see that a deletion was counted (emi_table_find). */
    atomic_store_explicit(&unit->next, entry.next, memory_order_release);
    if (!fill(shape, data, key, flags, words, entry.unit)) {
        undo_insert(shape, data, &entry);
        return emi_operation_corrupt(operation, offsetof(table_header_t, free_first),
                                     "the free units of the table have changed");
    }
    atomic_store_explicit(&unit->generation, entry.generation, memory_order_release);
    PAUSE("table_insert_alive");
    atomic_store_explicit(bucket, entry.unit, memory_order_release);
    PAUSE("table_insert_linked");
    finish_insert(header, &entry);
    *place = (table_place_t){.unit = entry.unit, .generation = entry.generation, .link = key->bucket};
    return EMMAP_OK;
}

/* ---- Deletion ---- */

/* From step 2 on. */
static void do_delete(const table_shape_t *shape, uint8_t *data, const table_journal_t *entry)
{
    table_header_t *const header = (table_header_t *)(void *)data;
    table_unit_t *const unit = table_unit(shape, data, entry->unit);
    _Atomic uint32_t *const link = link_of(shape, data, entry->link, entry->by_unit);
    atomic_store_explicit(&unit->generation, entry->generation, memory_order_seq_cst);
    PAUSE("table_delete_dead");
    if (atomic_load_explicit(link, memory_order_relaxed) == entry->unit)
        atomic_store_explicit(link, entry->next, memory_order_release);
    PAUSE("table_delete_unlinked");
    atomic_fetch_add(&header->removed, 1);
    PAUSE("table_delete_told");
    *table_link(shape, table_unit(shape, data, entry->last)) = 0;
    *table_link(shape, table_unit(shape, data, entry->free)) = entry->unit;
    PAUSE("table_delete_freed");
    atomic_store_explicit(&header->size, entry->size, memory_order_relaxed);
    header->used = entry->used;
    PAUSE("table_delete_counted");
    header->free_last = entry->last;
    PAUSE("table_delete_done");
    journal_end(&header->journal);
}

emmap_error emi_table_delete(operation_t *operation, const table_place_t *place)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_header_t *const header = table_header(operation->mapping);
    table_unit_t *const unit = table_unit(shape, data, place->unit);
    const uint32_t count = table_units_for(shape, *table_length(shape, unit) & ~TABLE_LIMITED);
    const uint64_t size = atomic_load_explicit(&header->size, memory_order_relaxed);
    table_journal_t entry = {.unit = place->unit,
                             .last = place->unit,
                             .generation = place->generation + 1,
                             .link = place->link,
                             .by_unit = place->by_unit,
                             .next = atomic_load_explicit(&unit->next, memory_order_relaxed),
                             .free = header->free_last,
                             .size = size - (size > 0),
                             .used = header->used > count ? header->used - count : 0};
    for (uint32_t i = 1; i < count && entry.last != 0 && entry.last <= shape->units; i++)
        entry.last = *table_link(shape, table_unit(shape, data, entry.last));
    if (entry.last == 0 || entry.last > shape->units || entry.free == 0 || entry.free > shape->units ||
        entry.next > shape->units)
        return emi_operation_corrupt(operation, offsetof(table_header_t, free_last),
                                     "the units of the table are linked to none");
    journal_begin(&header->journal, &entry, TABLE_STEP_DELETE);
    do_delete(shape, data, &entry);
    return EMMAP_OK;
}

/* ---- A dead process's change ---- */

/* Any process with write permission may have written there. */
static bool is_sound(const table_shape_t *shape, const table_journal_t *journal)
{
    const uint32_t most = journal->by_unit ? shape->units : shape->buckets - 1;
    return journal->unit > 0 && journal->unit <= shape->units && journal->last > 0 &&
           journal->last <= shape->units && journal->free > 0 && journal->free <= shape->units &&
           journal->next <= shape->units && journal->by_unit <= 1 && journal->link >= journal->by_unit &&
           journal->link <= most;
}

static emmap_error finish(operation_t *operation)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_header_t *const header = table_header(operation->mapping);
    table_journal_t entry = {0};
    const uint32_t step = atomic_load_explicit(&header->journal.step, memory_order_acquire);
    copy_journal(&entry, &header->journal);
    if (step > TABLE_STEP_DELETE || !is_sound(shape, &entry))
        return emi_table_repair(operation);
    if (step == TABLE_STEP_DELETE)
        do_delete(shape, data, &entry);
    else if (atomic_load(link_of(shape, data, entry.link, entry.by_unit)) == entry.unit)
        finish_insert(header, &entry);
    else
        undo_insert(shape, data, &entry);
    return EMMAP_OK;
}

emmap_error emi_table_begin(emmap_file *file, operation_t *operation)
{
    emmap_error error = emi_operation_begin_brief(file, CONTAINER_TABLE, operation);
    if (error)
        return error;
    if (atomic_load_explicit(&table_header(operation->mapping)->journal.step, memory_order_acquire) !=
        TABLE_STEP_NONE) {
        error = finish(operation);
        if (error)
            emi_operation_end(operation, error);
    }
    return error;
}
