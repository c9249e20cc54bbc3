/* All messages of the file, in the order in which they were taken out of the queue. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "taken.h"

static int compare(const void *one, const void *other)
{
    const uint64_t a = ((const taken_entry_t *)one)->order, b = ((const taken_entry_t *)other)->order;
    return (a > b) - (a < b);
}

/* Whether all messages were moved into the queue, and a process died before their cells were freed. */
static bool are_in_queue(const hand_t *hand)
{
    const queue_header_t header = queue_header_load(hand->operation->mapping->data);
    return hand->bytes->moves_all && header.head == hand->bytes->moved_head &&
           header.tail == hand->bytes->moved_tail;
}

static void fill(hand_t *hand, taken_list_t *self)
{
    for (uint32_t i = 0; i < hand->cells; i++) {
        const taken_cell_t *const cell = &hand->bytes->cell[i];
        if (!cell_is_message(cell) || (cell->moved != 0 && emi_taken_is_in_queue(hand, cell)))
            continue;
        self->entries[self->count++] = (taken_entry_t){.order = cell->order, .number = i};
        self->of_others += cell->state == TAKEN_IN_HAND && cell->owner != hand_owner(hand);
        self->total += (uint64_t)cell->length + QUEUE_FRAME;
    }
    qsort(self->entries, self->count, sizeof *self->entries, compare);
}

emmap_error emi_taken_list(hand_t *hand, taken_list_t *self)
{
    *self = (taken_list_t){.entries = malloc(((size_t)hand->cells + 1) * sizeof *self->entries)};
    if (!self->entries)
        return emi_error_set(ENOMEM, NULL);
    if (!are_in_queue(hand))
        fill(hand, self);
    return EMMAP_OK;
}

emmap_error emi_taken_list_deliver(hand_t *hand, const taken_list_t *self, const emmap_sink *sink)
{
    emmap_error error = EMMAP_OK;
    for (size_t i = 0; !error && i < self->count; i++)
        error = emi_taken_deliver(hand, &hand->bytes->cell[self->entries[i].number], sink);
    return error;
}
