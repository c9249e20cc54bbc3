/* Cells: finding room for messages, copying them in and out, and computing again what follows from the cells. */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "mapping.h"
#include "queue_era.h"
#include "size.h"
#include "taken.h"

/* A recovery of more cells than these needs a thread that may block. */
#define RECOVERED_AT_ONCE 4096u

/* With fewer cells than these nothing is given back. */
#define CELLS_KEPT 64u

#define CELLS_AT offsetof(taken_file_t, cell)

emmap_error emi_taken_wrong(hand_t *hand, const void *place, const char *reason)
{
    const emmap_error error = emi_taken_check(hand->file);
    return error
               ? error
               : emi_error_corrupt((uint64_t)((const uint8_t *)place - (const uint8_t *)hand->bytes), reason);
}

void emi_taken_count(hand_t *hand, uint32_t owner, int by)
{
    taken_file_t *const bytes = hand->bytes;
    if (owner < TAKEN_OWNERS)
        atomic_store_explicit(&bytes->owner[owner].in_hand,
                              atomic_load_explicit(&bytes->owner[owner].in_hand, memory_order_relaxed) +
                                  (uint32_t)by,
                              memory_order_relaxed);
    atomic_store_explicit(&bytes->in_hand,
                          atomic_load_explicit(&bytes->in_hand, memory_order_relaxed) + (uint64_t)(int64_t)by,
                          memory_order_release);
}

/* ---- Room ---- */

static void add_free(hand_t *hand, uint32_t number)
{
    taken_cell_t *const cell = hand_cell(hand, number);
    if (!cell)
        return;
    cell->next = hand->bytes->free;
    hand->bytes->free = number + 1;
    hand->bytes->spare++;
}

/* Links new cells so that the lowest one is used first. */
static void add_cells(hand_t *hand, uint32_t cells)
{
    const uint32_t before = hand->cells;
    hand_change(hand);
    PAUSE("taken_growing");
    hand->cells = cells;
    for (uint32_t i = before; i < cells; i++)
        cell_mark(&hand->bytes->cell[i], TAKEN_FREE);
    atomic_store_explicit(&hand->bytes->cells, cells, memory_order_release);
    PAUSE("taken_grown");
    for (uint32_t i = cells; i-- > before;)
        add_free(hand, i);
    hand_changed(hand);
}

/* Makes the file longer, or uses space again that was given back. */
static emmap_error grow(hand_t *hand, uint64_t cells)
{
    if (cells > TAKEN_CELLS_MAX)
        return emi_error_set(EMMAP_FULL, "messages in hand take 64 GiB, which is the limit");
    emmap_file *const file = hand->taken->file;
    emmap_error error = emi_require_blocking();
    if (!error && hand->mapping->size < CELLS_AT + cells * TAKEN_CELL)
        error = emmap_resize(file, CELLS_AT + cells * TAKEN_CELL, NULL);
    else if (!error && hand->taken->path) {
        descriptor_t *descriptor;
        error = emi_file_descriptor(file, &descriptor);
        if (!error) {
            error = emi_size_reserve(descriptor->fd, CELLS_AT + (uint64_t)hand->cells * TAKEN_CELL,
                                     (cells - hand->cells) * TAKEN_CELL);
            emi_descriptor_release(descriptor);
        }
    }
    if (!error)
        error = emi_taken_renew(hand);
    if (error)
        return error;
    add_cells(hand, (uint32_t)cells);
    return EMMAP_OK;
}

emmap_error emi_taken_reserve(hand_t *hand, uint64_t length)
{
    const uint64_t needed = cells_of(length);
    if (needed <= hand->bytes->spare)
        return EMMAP_OK;
    const uint64_t missing = needed - hand->bytes->spare, cells = hand->cells;
    const uint64_t most = missing < cells ? cells : missing;
    uint64_t more = missing < CELLS_KEPT ? CELLS_KEPT : missing;
    /* Twice the cells, but not more than 16 MiB at a time. */
    if (more < most && most <= ((uint64_t)16 << 20) / TAKEN_CELL)
        more = most;
    return grow(hand, cells + more);
}

/* ---- Messages ---- */

static uint32_t take_free(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    const uint32_t number = bytes->free - 1;
    taken_cell_t *const cell = bytes->free ? hand_cell(hand, number) : NULL;
    if (!cell || cell->state != TAKEN_FREE || bytes->spare == 0) {
        hand->wrong = true;
        return 0;
    }
    bytes->free = cell->next;
    bytes->spare--;
    return number;
}

uint32_t emi_taken_fill(hand_t *hand, const uint8_t *payload, uint32_t length)
{
    const uint32_t number = take_free(hand);
    taken_cell_t *cell = hand->wrong ? NULL : &hand->bytes->cell[number];
    if (!cell)
        return 0;
    cell->length = length;
    uint32_t piece = length < sizeof cell->payload ? length : (uint32_t)sizeof cell->payload;
    memcpy(cell->payload, payload, piece);
    for (length -= piece; length > 0; length -= piece) {
        payload += piece;
        piece = length < TAKEN_MORE_BYTES ? length : TAKEN_MORE_BYTES;
        const uint32_t next = take_free(hand);
        if (hand->wrong)
            return 0;
        cell->next = next + 1;
        cell = &hand->bytes->cell[next];
        cell_mark(cell, TAKEN_MORE);
        memcpy((uint8_t *)cell + TAKEN_MORE_AT, payload, piece);
    }
    cell->next = 0;
    return number;
}

void emi_taken_erase(hand_t *hand, uint32_t number)
{
    taken_cell_t *cell = hand_cell(hand, number);
    if (!cell)
        return;
    uint64_t count = cells_of(cell->length);
    cell_become(cell, TAKEN_FREE);
    PAUSE("taken_erased");
    for (uint32_t next = cell->next;; next = cell->next) {
        add_free(hand, number);
        if (--count == 0)
            return;
        number = next - 1;
        cell = next ? hand_cell(hand, number) : NULL;
        if (!cell || cell->state != TAKEN_MORE) {
            hand->wrong = true;
            return;
        }
        cell_mark(cell, TAKEN_FREE);
    }
}

/* A payload, piece by piece. */
typedef struct reader {
    hand_t *hand;
    const taken_cell_t *cell;
    uint32_t left;
    bool first;
} reader_t;

/* The next piece; NULL at the end, and for a chain that ends too early (then `left` is not 0). */
static const uint8_t *next_piece(reader_t *self, uint32_t *length)
{
    if (self->left == 0)
        return NULL;
    if (!self->first) {
        const uint32_t next = self->cell->next;
        self->cell = next ? hand_cell(self->hand, next - 1) : NULL;
        if (!self->cell || self->cell->state != TAKEN_MORE)
            return NULL;
    }
    const uint32_t most = self->first ? (uint32_t)sizeof self->cell->payload : TAKEN_MORE_BYTES;
    const uint8_t *const piece =
        self->first ? self->cell->payload : (const uint8_t *)self->cell + TAKEN_MORE_AT;
    *length = self->left < most ? self->left : most;
    self->left -= *length;
    self->first = false;
    return piece;
}

static reader_t reader_of(hand_t *hand, const taken_cell_t *cell)
{
    return (reader_t){.hand = hand, .cell = cell, .left = cell->length, .first = true};
}

emmap_error emi_taken_deliver(hand_t *hand, const taken_cell_t *cell, const emmap_sink *sink)
{
    reader_t reader = reader_of(hand, cell);
    uint32_t length;
    /* A length that is no message's would ask for memory that is not there. */
    if (cells_of(reader.left) > hand->cells || reader.left == 0)
        return emi_taken_wrong(hand, cell, "a message in hand has a wrong length");
    uint8_t *place = sink->allocate(sink->context, reader.left);
    if (!place)
        return emi_error_set(ENOMEM, "no memory for a message");
    for (const uint8_t *piece; (piece = next_piece(&reader, &length)) != NULL; place += length)
        memcpy(place, piece, length);
    return reader.left == 0 ? EMMAP_OK : emi_taken_wrong(hand, cell, "a message in hand is incomplete");
}

bool emi_taken_is_whole(hand_t *hand, const taken_cell_t *cell)
{
    reader_t reader = reader_of(hand, cell);
    uint32_t length;
    if (reader.left == 0 || cells_of(reader.left) > hand->cells)
        return false;
    while (next_piece(&reader, &length) != NULL)
        ;
    return reader.left == 0;
}

bool emi_taken_equals(hand_t *hand, const taken_cell_t *cell, const uint8_t *payload, uint32_t length)
{
    reader_t reader = reader_of(hand, cell);
    if (length != reader.left)
        return false;
    for (const uint8_t *piece; (piece = next_piece(&reader, &length)) != NULL; payload += length)
        if (memcmp(piece, payload, length) != 0)
            return false;
    return reader.left == 0;
}

uint64_t emi_taken_digest(hand_t *hand, const taken_cell_t *cell)
{
    reader_t reader = reader_of(hand, cell);
    uint64_t digest = cell->length;
    uint32_t length;
    for (const uint8_t *piece; (piece = next_piece(&reader, &length)) != NULL;)
        digest = (digest ^ emi_queue_era_digest(piece, length)) * UINT64_C(0x9e3779b97f4a7c15);
    return digest | 1;
}

/* ---- Recovery ---- */

/* Marks the later cells of a message. False if the chain is broken, or shares a cell with another. */
static bool mark_chain(hand_t *hand, taken_cell_t *message)
{
    if (message->length == 0)
        return false;
    taken_cell_t *cell = message;
    for (uint64_t left = cells_of(message->length) - 1; left > 0; left--) {
        const uint32_t number = cell->next - 1;
        if (cell->next == 0 || number >= hand->cells)
            return false;
        cell = &hand->bytes->cell[number];
        if (cell->state != TAKEN_FREE)
            return false;
        cell_mark(cell, TAKEN_MORE);
    }
    return true;
}

/* The queue's first message is then the one that was on its way. */
bool emi_taken_is_in_queue(hand_t *hand, const taken_cell_t *cell)
{
    const emmap_mapping *const mapping = hand->operation->mapping;
    const uint8_t *const data = mapping->data;
    const queue_header_t header = queue_header_load(data);
    uint32_t total;
    return header.head == cell->moved && header.head < header.tail && header.tail <= mapping->size &&
           queue_message_at(data, header.head, header.tail, &total) == NULL &&
           emi_taken_equals(hand, cell, data + header.head + 4, total - QUEUE_FRAME);
}

/* Decides on which side of a move between the files a process died. Chains are marked. */
static void settle_moves(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    const queue_header_t header = queue_header_load(hand->operation->mapping->data);
    const bool all = bytes->moves_all && header.head == bytes->moved_head && header.tail == bytes->moved_tail;
    for (uint32_t i = 0; i < hand->cells; i++) {
        taken_cell_t *const cell = &bytes->cell[i];
        if (!cell_is_message(cell))
            continue;
        if (all || (cell->moved != 0 && emi_taken_is_in_queue(hand, cell)))
            cell_become(cell, TAKEN_FREE);
        cell->moved = 0;
    }
    bytes->moves_all = 0;
}

/* Later cells count only as parts of messages. */
static void free_later_cells(hand_t *hand)
{
    for (uint32_t i = 0; i < hand->cells; i++)
        if (!cell_is_message(&hand->bytes->cell[i]))
            cell_mark(&hand->bytes->cell[i], TAKEN_FREE);
}

/* Marks all chains. A message with a digest belongs to a synced queue. If its cells hold other bytes, it was
 * acknowledged before the power was cut, and the disk does not know that yet. */
static emmap_error mark_chains(hand_t *hand)
{
    for (uint32_t i = 0; i < hand->cells; i++) {
        taken_cell_t *const cell = &hand->bytes->cell[i];
        if (!cell_is_message(cell))
            continue;
        const bool whole = mark_chain(hand, cell);
        if (cell->digest == 0 && !whole)
            return emi_taken_wrong(hand, cell, "the cells of a message in hand contradict each other");
        if (cell->digest != 0 && (!whole || cell->digest != emi_taken_digest(hand, cell)))
            cell_become(cell, TAKEN_FREE);
    }
    return EMMAP_OK;
}

static void count_again(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    bytes->free = bytes->spare = bytes->released = 0;
    atomic_store_explicit(&bytes->in_hand, 0, memory_order_relaxed);
    atomic_store_explicit(&bytes->due, TAKEN_NEVER, memory_order_relaxed);
    for (uint32_t i = 0; i < TAKEN_OWNERS; i++)
        atomic_store_explicit(&bytes->owner[i].in_hand, 0, memory_order_relaxed);
    for (uint32_t i = hand->cells; i-- > 0;) {
        const taken_cell_t *const cell = &bytes->cell[i];
        if (cell->state == TAKEN_FREE)
            add_free(hand, i);
        else if (cell->state == TAKEN_RELEASED)
            emi_taken_release(hand, i, cell->due);
        else if (cell->state == TAKEN_IN_HAND)
            emi_taken_count(hand, cell->owner, 1);
        if (cell_is_message(cell) && cell->order >= bytes->order)
            bytes->order = cell->order + 1;
    }
}

emmap_error emi_taken_recover(hand_t *hand)
{
    emmap_error error = hand->cells > RECOVERED_AT_ONCE ? emi_require_blocking() : EMMAP_OK;
    if (error)
        return error;
    hand->wrong = false;
    hand_change(hand);
    PAUSE("taken_recovering");
    free_later_cells(hand);
    error = mark_chains(hand);
    if (error)
        return error;
    settle_moves(hand);
    /* The chains of messages that are gone now. */
    free_later_cells(hand);
    error = mark_chains(hand);
    if (error)
        return error;
    count_again(hand);
    PAUSE("taken_recovered");
    hand_changed(hand);
    return EMMAP_OK;
}

/* ---- Space ---- */

static uint64_t length_of_cells(const hand_t *hand)
{
    return (uint64_t)hand->cells * TAKEN_CELL;
}

bool emi_taken_empties(const hand_t *hand)
{
    return length_of_cells(hand) >= GIVE_BACK_LEAST && hand->taken->path &&
           !hand->operation->container->no_holes;
}

void emi_taken_give_back(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    const uint64_t end = CELLS_AT + length_of_cells(hand);
    descriptor_t *descriptor;
    if (bytes->spare != hand->cells || emi_file_descriptor(hand->taken->file, &descriptor) != EMMAP_OK)
        return;
    hand_change(hand);
    PAUSE("taken_giving_back");
    hand->cells = CELLS_KEPT;
    atomic_store_explicit(&bytes->cells, CELLS_KEPT, memory_order_release);
    bytes->free = bytes->spare = 0;
    for (uint32_t i = CELLS_KEPT; i-- > 0;)
        add_free(hand, i);
    PAUSE("taken_given_back");
    hand_changed(hand);
    if (emi_size_punch(descriptor->fd, CELLS_AT + CELLS_KEPT * TAKEN_CELL, end) == ENOTSUP)
        hand->operation->container->no_holes = true;
    emi_descriptor_release(descriptor);
}
