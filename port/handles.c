#include "handles.h"

#include <stdlib.h>

/* A number is generation << SLOT_BITS | index: a small integer on the BEAM for as long as one may care. */
enum { SLOT_BITS = 24 };
#define SLOT_MASK (((uint64_t)1 << SLOT_BITS) - 1)
#define GENERATION_MASK (((uint64_t)1 << 35) - 1)

static bool grow(handles_t *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    if (table->capacity > SLOT_MASK)
        return false;
    handle_slot_t *slots = realloc(table->slots, capacity * sizeof *slots);
    if (!slots)
        return false;
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

bool handles_add(handles_t *table, emmap_file *file, uint64_t *number)
{
    size_t index;
    if (table->first_free > 0) {
        index = table->first_free - 1;
        table->first_free = table->slots[index].next_free;
    } else {
        if (table->count == table->capacity && !grow(table))
            return false;
        index = table->count++;
        table->slots[index] = (handle_slot_t){0};
    }
    handle_slot_t *slot = &table->slots[index];
    slot->file = file;
    slot->generation = (slot->generation + 1) & GENERATION_MASK;
    slot->waiting = 0;
    slot->pass = 0;
    *number = slot->generation << SLOT_BITS | index;
    return true;
}

handle_slot_t *handles_slot(const handles_t *table, uint64_t number)
{
    size_t index = number & SLOT_MASK;
    if (index >= table->count)
        return NULL;
    handle_slot_t *slot = &table->slots[index];
    return slot->file && slot->generation == number >> SLOT_BITS ? slot : NULL;
}

emmap_file *handles_find(const handles_t *table, uint64_t number)
{
    const handle_slot_t *slot = handles_slot(table, number);
    return !slot ? NULL : slot->file;
}

bool handles_is_behind(const handles_t *table, uint64_t number)
{
    const handle_slot_t *slot = handles_slot(table, number);
    return slot && slot->waiting > 0 && number != table->turn;
}

void handles_close(handles_t *table, uint64_t number)
{
    handle_slot_t *slot = handles_slot(table, number);
    if (!slot)
        return;
    emmap_free(slot->file); /* which closes it */
    slot->file = NULL;
    slot->next_free = table->first_free;
    table->first_free = (size_t)(slot - table->slots) + 1;
}

void handles_free(handles_t *table)
{
    for (size_t i = 0; i < table->count; i++)
        emmap_free(table->slots[i].file);
    free(table->slots);
    *table = (handles_t){0};
}
