/* All messages of the file, in the order in which they were taken out of the queue. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "taken.h"

/* For qsort. */
typedef struct entry {
    uint64_t order;
    uint32_t number;
} entry_t;

static int compare(const void *one, const void *other)
{
    const uint64_t a = ((const entry_t *)one)->order, b = ((const entry_t *)other)->order;
    return (a > b) - (a < b);
}

static void fill(hand_t *hand, entry_t *entries, taken_list_t *self)
{
    for (uint32_t i = 0; i < hand->cells; i++) {
        const taken_cell_t *const cell = &hand->bytes->cell[i];
        if (cell->state != TAKEN_IN_HAND && cell->state != TAKEN_RELEASED)
            continue;
        entries[self->count++] = (entry_t){.order = cell->order, .number = i};
        self->of_others += cell->state == TAKEN_IN_HAND && cell->owner != hand_owner(hand);
        self->total += cell->length + QUEUE_FRAME;
    }
    qsort(entries, self->count, sizeof *entries, compare);
    for (size_t i = 0; i < self->count; i++)
        self->numbers[i] = entries[i].number;
}

emmap_error emi_taken_list(hand_t *hand, taken_list_t *self)
{
    *self = (taken_list_t){.numbers = malloc((hand->cells + 1) * sizeof *self->numbers)};
    entry_t *const entries = malloc((hand->cells + 1) * sizeof *entries);
    const bool enough = self->numbers && entries;
    if (enough)
        fill(hand, entries, self);
    free(entries);
    return enough ? EMMAP_OK : emi_error_set(ENOMEM, NULL);
}

emmap_error emi_taken_list_deliver(hand_t *hand, const taken_list_t *self, const emmap_sink *sink)
{
    emmap_error error = EMMAP_OK;
    for (size_t i = 0; !error && i < self->count; i++)
        error = emi_taken_deliver(hand, &hand->bytes->cell[self->numbers[i]], sink);
    return error;
}
