/* Released messages, in a binary heap: the one that is due first is at the top, and of those that are due at once
 * the one that was taken out of the queue first. */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "error.h"
#include "taken.h"

/* The message of a heap's element; NULL and hand->wrong if the bytes are damaged. */
static taken_cell_t *message_of(hand_t *hand, uint32_t element)
{
    const taken_cell_t *const place = hand_cell(hand, element);
    return place ? hand_cell(hand, place->heap) : NULL;
}

static bool is_before(hand_t *hand, uint32_t one, uint32_t other)
{
    const taken_cell_t *const a = message_of(hand, one), *const b = message_of(hand, other);
    return a && b && (a->due != b->due ? a->due < b->due : a->order < b->order);
}

static void swap(hand_t *hand, uint32_t one, uint32_t other)
{
    taken_cell_t *const a = hand_cell(hand, one), *const b = hand_cell(hand, other);
    if (!a || !b)
        return;
    const uint32_t number = a->heap;
    a->heap = b->heap;
    b->heap = number;
}

static void sift_up(hand_t *hand, uint32_t element)
{
    while (element > 0 && is_before(hand, element, (element - 1) / 2)) {
        swap(hand, element, (element - 1) / 2);
        element = (element - 1) / 2;
    }
}

static void sift_down(hand_t *hand, uint32_t element)
{
    const uint64_t count = hand->bytes->released;
    for (;;) {
        uint32_t least = element;
        for (uint64_t child = 2 * (uint64_t)element + 1; child < count && child <= 2 * (uint64_t)element + 2;
             child++)
            if (is_before(hand, (uint32_t)child, least))
                least = (uint32_t)child;
        if (least == element)
            return;
        swap(hand, element, least);
        element = least;
    }
}

/* Release: pairs with the load in emi_taken_may_have, which only decides whether to take the lock. */
static void note_due(hand_t *hand)
{
    const taken_cell_t *const first = hand->bytes->released > 0 ? message_of(hand, 0) : NULL;
    atomic_store_explicit(&hand->bytes->due, first ? first->due : TAKEN_NEVER, memory_order_release);
}

void emi_taken_release(hand_t *hand, uint32_t number, uint64_t due)
{
    taken_cell_t *const message = hand_cell(hand, number);
    const uint32_t element = hand->bytes->released;
    taken_cell_t *const place = hand_cell(hand, element);
    if (!message || !place)
        return;
    message->due = due;
    PAUSE("taken_release_timed");
    cell_become(message, TAKEN_RELEASED);
    PAUSE("taken_released");
    place->heap = number;
    hand->bytes->released = element + 1;
    sift_up(hand, element);
    note_due(hand);
}

bool emi_taken_heap_is_sound(hand_t *hand)
{
    const taken_file_t *const bytes = hand->bytes;
    if (bytes->released == 0)
        return true;
    return bytes->released <= hand->cells && bytes->cell[0].heap < hand->cells &&
           bytes->cell[bytes->cell[0].heap].state == TAKEN_RELEASED;
}

bool emi_taken_first(hand_t *hand, uint32_t *number)
{
    if (hand->bytes->released == 0)
        return false;
    const taken_cell_t *const place = hand_cell(hand, 0);
    const taken_cell_t *const message = message_of(hand, 0);
    if (!place || !message || message->state != TAKEN_RELEASED) {
        hand->wrong = true;
        return false;
    }
    *number = place->heap;
    return message->due == 0 || message->due <= clock_now();
}

void emi_taken_unrelease_first(hand_t *hand)
{
    if (hand->bytes->released == 0)
        return;
    const uint32_t last = hand->bytes->released - 1;
    swap(hand, 0, last);
    hand->bytes->released = last;
    sift_down(hand, 0);
    note_due(hand);
}

uint64_t emi_taken_due(hand_t *hand)
{
    const uint64_t now = clock_now();
    uint64_t count = 0;
    for (uint32_t i = 0; i < hand->bytes->released && i < hand->cells; i++) {
        const taken_cell_t *const message = message_of(hand, i);
        count += message && message->due <= now;
    }
    return count;
}

/* ---- Several at once ---- */

static emmap_error collect(hand_t *hand, uint64_t limit, released_t *released)
{
    uint32_t number;
    *released = (released_t){0};
    if (!hand->taken || limit == 0 || !emi_taken_first(hand, &number))
        return EMMAP_OK;
    const uint32_t most = hand->bytes->released < hand->cells ? hand->bytes->released : hand->cells;
    released->numbers = malloc((limit < most ? (size_t)limit : most) * sizeof *released->numbers);
    if (!released->numbers)
        return emi_error_set(ENOMEM, NULL);
    hand_change(hand);
    while (released->count < limit && released->count < most && emi_taken_first(hand, &number)) {
        emi_taken_unrelease_first(hand);
        released->numbers[released->count++] = number;
    }
    return EMMAP_OK;
}

/* Nothing is removed before all of it can be read. */
static bool are_whole(hand_t *hand, const released_t *released)
{
    bool whole = true;
    for (uint64_t i = 0; whole && i < released->count; i++)
        whole = emi_taken_is_whole(hand, &hand->bytes->cell[released->numbers[i]]);
    return whole && !hand->wrong && !(hand->file && file_faulted(hand->file));
}

/* Collected messages keep their state, so a recovery puts them back into the heap. */
emmap_error emi_taken_collect(hand_t *hand, uint64_t limit, released_t *released)
{
    emmap_error error = collect(hand, limit, released);
    if (error || are_whole(hand, released))
        return error;
    free(released->numbers);
    *released = (released_t){0};
    error = emi_taken_check(hand->file);
    if (!error)
        error = emi_taken_recover(hand);
    if (!error)
        error = collect(hand, limit, released);
    if (!error && !are_whole(hand, released))
        error = emi_taken_wrong(hand, hand->bytes, "the lists of messages in hand contradict their cells");
    if (error) {
        free(released->numbers);
        *released = (released_t){0};
    }
    return error;
}

static void end(hand_t *hand, released_t *released)
{
    if (released->numbers)
        hand_changed(hand);
    free(released->numbers);
    *released = (released_t){0};
}

void emi_taken_remove(hand_t *hand, released_t *released)
{
    for (uint64_t i = 0; i < released->count; i++)
        emi_taken_erase(hand, released->numbers[i]);
    end(hand, released);
}

void emi_taken_restore(hand_t *hand, released_t *released)
{
    for (uint64_t i = 0; i < released->count; i++)
        emi_taken_release(hand, released->numbers[i], hand->bytes->cell[released->numbers[i]].due);
    end(hand, released);
}

emmap_error emi_taken_deliver_all(hand_t *hand, const released_t *released, const emmap_sink *sink)
{
    emmap_error error = EMMAP_OK;
    for (uint64_t i = 0; !error && i < released->count; i++)
        error = emi_taken_deliver(hand, &hand->bytes->cell[released->numbers[i]], sink);
    return error;
}

void emi_taken_clear(hand_t *hand, bool all)
{
    if (!hand->taken)
        return;
    hand_change(hand);
    hand->bytes->released = 0;
    for (uint32_t i = 0; i < hand->cells; i++) {
        const taken_cell_t *const cell = &hand->bytes->cell[i];
        if (cell->state == TAKEN_IN_HAND && all)
            emi_taken_count(hand, cell->owner, -1);
        if (cell->state == TAKEN_RELEASED || (cell->state == TAKEN_IN_HAND && all))
            emi_taken_erase(hand, i);
    }
    note_due(hand);
    hand_changed(hand);
}
