/* Deliveries: a message that was taken stays in hand until it is acknowledged or released (taken.h). */
#include <errno.h>

#include "clock.h"
#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_wake.h"
#include "stale.h"
#include "taken.h"

static uint64_t ticket_of(const taken_cell_t *cell, uint32_t number)
{
    return (uint64_t)cell->turn << TAKEN_CELL_BITS | number;
}

/* Within a change: adds a message of this handle to the counts, or takes it off. */
static void count(hand_t *hand, uint32_t number, int by)
{
    emi_taken_count(hand, hand_owner(hand), by);
    hand->taken->held[hand->bytes->cell[number].holder % TAKEN_HELD] += (uint32_t)by;
}

/* Gives a message to this handle. Within a change; the state is the caller's. */
static void hand_over(hand_t *hand, uint32_t number, uint64_t holder, emmap_delivery *delivery)
{
    taken_cell_t *const cell = &hand->bytes->cell[number];
    hand->bytes->turn = (hand->bytes->turn & TAKEN_TURN_MASK) % TAKEN_TURN_MASK + 1; /* never 0 */
    cell->turn = hand->bytes->turn;
    cell->owner = hand_owner(hand);
    cell->holder = holder;
    cell->since = clock_now();
    cell->due = 0;
    cell->attempt++;
    *delivery = (emmap_delivery){.ticket = ticket_of(cell, number), .attempt = cell->attempt};
}

/* ---- Taking ---- */

/* Takes a message that was released before. */
static emmap_error take_released(hand_t *hand, uint32_t number, uint64_t holder, const emmap_sink *sink,
                                 emmap_delivery *delivery)
{
    taken_cell_t *const cell = &hand->bytes->cell[number];
    const emmap_error error = emi_taken_deliver(hand, cell, sink);
    if (error)
        return error;
    hand_change(hand);
    PAUSE("take_again_begin");
    emi_taken_unrelease_first(hand);
    hand_over(hand, number, holder, delivery);
    PAUSE("take_again_owned");
    cell_become(cell, TAKEN_IN_HAND);
    PAUSE("take_again_done");
    count(hand, number, 1);
    hand_changed(hand);
    return EMMAP_OK;
}

static void describe(hand_t *hand, uint32_t number, bool synced)
{
    taken_cell_t *const cell = &hand->bytes->cell[number];
    cell->order = hand->bytes->order++;
    cell->attempt = 0;
    cell->digest = synced ? emi_taken_digest(hand, cell) : 0;
}

/* Removes the copied message from the queue. The power may be cut between any two writes of the kernel to the disk: so in a synced
 * queue the disk gets the copy before the new head, and the new head before the next move. */
static emmap_error move_head(hand_t *hand, queue_header_t header, uint32_t head)
{
    operation_t *const operation = hand->operation;
    emmap_error error = header.synced ? emi_taken_sync(hand->taken) : EMMAP_OK;
    /* If the file was truncated meanwhile, the copy is gone. */
    if (!error)
        error = emi_taken_check(hand->file);
    if (error)
        return error;
    queue_advance(operation, header, head, 1);
    PAUSE("take_moved");
    /* If that fails, the handle can't be synced any more, and says so at its next sync. */
    if (header.synced)
        (void)emi_operation_sync(operation);
    return EMMAP_OK;
}

/* Takes the queue's first message. The queue is not empty. */
static emmap_error take_first(hand_t *hand, queue_header_t header, uint64_t holder, const emmap_sink *sink,
                              emmap_delivery *delivery)
{
    operation_t *const operation = hand->operation;
    queue_range_t range;
    uint32_t offset;
    const char *const wrong =
        emi_queue_select(operation->mapping->data, header, EMMAP_QUEUE_FORWARD, 1, &range, &offset);
    if (wrong)
        return emi_operation_corrupt(operation, offset, wrong);
    const uint32_t length = range.to - range.from - QUEUE_FRAME;
    emmap_error error = header.synced ? emi_require_blocking() : EMMAP_OK;
    if (!error)
        error = emi_taken_reserve(hand, length);
    if (!error)
        error = emi_queue_deliver(operation, operation->mapping->data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = emi_file_check(operation->file);
    if (error)
        return error;
    hand_change(hand);
    PAUSE("take_begin");
    const uint32_t number = emi_taken_fill(hand, operation->mapping->data + range.from + 4, length);
    if (hand->wrong)
        return emi_taken_wrong(hand, hand->bytes, "the list of free cells contradicts the cells");
    describe(hand, number, header.synced);
    hand_over(hand, number, holder, delivery);
    PAUSE("take_copied");
    taken_cell_t *const cell = &hand->bytes->cell[number];
    cell->moved = header.head;
    cell_become(cell, TAKEN_IN_HAND);
    PAUSE("take_in_hand");
    error = move_head(hand, header, range.to);
    if (error)
        emi_taken_erase(hand, number);
    else
        count(hand, number, 1);
    cell->moved = 0;
    hand_changed(hand);
    return error;
}

/* Doors turn a number that no 64 bits hold into one of the refused ones: else all such holders would be one. */
static const char no_holder[] = "a holder is a number from 0 to 2^63 - 1";

static emmap_error take(emmap_file *file, uint64_t holder, const emmap_sink *sink, emmap_delivery *delivery)
{
    *delivery = (emmap_delivery){0};
    if (holder > INT64_MAX)
        return emi_error_set(EINVAL, no_holder);
    if (emi_queue_is_surely_empty(file))
        return EMMAP_EOF;
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    error = emi_taken_begin(&operation, true, &hand);
    uint32_t number;
    if (!error) {
        if (emi_taken_first(&hand, &number))
            error = take_released(&hand, number, holder, sink, delivery);
        else if (header.head == header.tail)
            error = EMMAP_EOF;
        else
            error = take_first(&hand, header, holder, sink, delivery);
        error = emi_taken_end(&hand, error);
    }
    return emi_queue_end_removal(&operation, error);
}

emmap_error emmap_queue_take(emmap_file *file, uint64_t holder, const emmap_sink *sink,
                             emmap_delivery *delivery)
{
    emmap_error error;
    do
        error = take(file, holder, sink, delivery);
    while (error == EMMAP_EOF && emi_stale_went_over(file, &error));
    return error;
}

/* ---- Giving back ---- */

emmap_error emi_taken_operation_begin(emmap_file *file, operation_t *operation, queue_header_t *header,
                                      hand_t *hand)
{
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, operation, header);
    if (error)
        return error;
    error = emi_taken_begin(operation, false, hand);
    return error ? emi_operation_end(operation, error) : EMMAP_OK;
}

static const char no_such_ticket[] = "this handle has no message in hand under this ticket";

/* The message of a ticket that this handle has in hand. Errors: EINVAL. */
static emmap_error find(hand_t *hand, uint64_t ticket, uint32_t *number)
{
    *number = (uint32_t)(ticket & (TAKEN_CELLS_MAX - 1));
    if (hand->taken && *number < hand->cells) {
        const taken_cell_t *const cell = &hand->bytes->cell[*number];
        if (cell->state == TAKEN_IN_HAND && cell->owner == hand_owner(hand) &&
            ticket_of(cell, *number) == ticket)
            return EMMAP_OK;
    }
    return emi_error_set(EINVAL, no_such_ticket);
}

emmap_error emmap_queue_order(emmap_file *file, uint64_t ticket, int64_t *order)
{
    container_t *container;
    emmap_error error = emi_container_get(file, CONTAINER_QUEUE, &container);
    taken_t *const self =
        error ? NULL : atomic_load_explicit(&((queue_t *)container)->taken, memory_order_acquire);
    const uint64_t number = ticket & (TAKEN_CELLS_MAX - 1);
    visit_t visit;
    bool found = false;
    if (!error && self)
        error = visit_begin(self->file, &visit);
    if (error || !self)
        return error ? error : emi_error_set(EINVAL, no_such_ticket);
    const taken_file_t *const bytes = (const taken_file_t *)(const void *)visit.mapping->data;
    /* The message is in this handle's hand, so nobody else changes its cell. */
    if (visit.mapping->size >= offsetof(taken_file_t, cell) &&
        number < (visit.mapping->size - offsetof(taken_file_t, cell)) / TAKEN_CELL) {
        const taken_cell_t *const cell = &bytes->cell[number];
        if (__atomic_load_n(&cell->state, __ATOMIC_ACQUIRE) == TAKEN_IN_HAND &&
            ticket_of(cell, (uint32_t)number) == ticket) {
            *order = (int64_t)cell->order;
            found = true;
        }
    }
    error = visit_end(self->file, &visit);
    return error || found ? error : emi_error_set(EINVAL, no_such_ticket);
}

emmap_error emi_taken_operation_end(operation_t *operation, hand_t *hand, emmap_error error)
{
    emmap_file *const file = operation->file;
    error = emi_taken_end(hand, error);
    if (!error)
        operation->waited = emi_queue_waited(operation);
    error = emi_operation_end(operation, error);
    if (operation->is_waited)
        emi_queue_call(file);
    return error;
}

emmap_error emmap_queue_ack(emmap_file *file, uint64_t ticket)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint32_t number;
    emmap_error error = emi_taken_operation_begin(file, &operation, &header, &hand);
    if (error)
        return error;
    error = find(&hand, ticket, &number);
    if (!error && emi_taken_empties(&hand))
        error = emi_require_blocking();
    /* A large queue that a take has emptied keeps its bytes until now, so that the message can be put back. */
    if (!error)
        error = queue_may_advance(&operation, &header, header.head);
    if (!error) {
        hand_change(&hand);
        PAUSE("ack_begin");
        emi_taken_erase(&hand, number);
        count(&hand, number, -1);
        hand_changed(&hand);
        PAUSE("ack_done");
        if (emi_taken_empties(&hand))
            emi_taken_give_back(&hand);
        queue_advanced(&operation, &header, header.head);
    }
    return emi_operation_end(&operation, emi_taken_end(&hand, error));
}

static void release(hand_t *hand, uint32_t number, uint64_t due)
{
    hand_change(hand);
    PAUSE("release_begin");
    count(hand, number, -1);
    emi_taken_release(hand, number, due);
    hand_changed(hand);
}

emmap_error emmap_queue_release(emmap_file *file, uint64_t ticket, uint64_t delay)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint32_t number;
    if (delay > EMMAP_DELAY_MAX)
        return emi_error_set(EINVAL, "a delay is a number of milliseconds from 0 to 10^15");
    const uint64_t now = clock_now();
    emmap_error error = emi_taken_operation_begin(file, &operation, &header, &hand);
    if (error)
        return error;
    error = find(&hand, ticket, &number);
    if (!error)
        release(&hand, number, delay == 0 ? 0 : now + delay);
    return emi_taken_operation_end(&operation, &hand, error);
}

emmap_error emmap_queue_release_held(emmap_file *file, uint64_t holder)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    if (holder > INT64_MAX)
        return emi_error_set(EINVAL, no_holder);
    const emmap_error error = emi_taken_operation_begin(file, &operation, &header, &hand);
    if (error)
        return error;
    /* Most holders that go away have nothing in hand, and there may be many cells. */
    const uint32_t *const held = hand.taken ? &hand.taken->held[holder % TAKEN_HELD] : NULL;
    for (uint32_t i = 0; held && *held > 0 && i < hand.cells; i++) {
        const taken_cell_t *const cell = &hand.bytes->cell[i];
        if (cell->state == TAKEN_IN_HAND && cell->owner == hand_owner(&hand) && cell->holder == holder)
            release(&hand, i, 0);
    }
    return emi_taken_operation_end(&operation, &hand, EMMAP_OK);
}

/* Whether the message's bytes are still there directly before the head, so that one store puts it back. */
static bool lies_before_head(hand_t *hand, queue_header_t header, const taken_cell_t *cell, uint32_t *at)
{
    const uint8_t *const data = hand->operation->mapping->data;
    uint32_t total;
    if (emi_queue_message_before(data, QUEUE_HEADER, header.head, &total) != NULL)
        return false;
    *at = header.head - total;
    return emi_taken_equals(hand, cell, data + *at + 4, total - QUEUE_FRAME);
}

/* Makes the queue begin with the message again. As a take, in the other direction. */
static void move_back(hand_t *hand, queue_header_t header, uint32_t number, uint32_t at)
{
    operation_t *const operation = hand->operation;
    hand_change(hand);
    __atomic_store_n(&hand->bytes->cell[number].moved, at, __ATOMIC_RELEASE);
    PAUSE("put_back_noted");
    const queue_count_t noted = queue_count_begin(operation, header);
    header.head = at;
    queue_header_store(operation->mapping->data, header);
    if (noted.known)
        queue_count_note(&noted, operation, noted.count + 1);
    PAUSE("put_back_moved");
    emi_taken_erase(hand, number);
    count(hand, number, -1);
    hand_changed(hand);
}

emmap_error emmap_queue_put_back(emmap_file *file, uint64_t ticket)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint32_t number, at;
    emmap_error error = emi_taken_operation_begin(file, &operation, &header, &hand);
    if (error)
        return error;
    error = find(&hand, ticket, &number);
    /* In a synced queue the disk could get the head without the freed cell, or the other way round. */
    if (!error && !header.synced && hand.bytes->released == 0 &&
        lies_before_head(&hand, header, &hand.bytes->cell[number], &at))
        move_back(&hand, header, number, at);
    else if (!error) {
        hand.bytes->cell[number].attempt--;
        release(&hand, number, 0);
    }
    return emi_taken_operation_end(&operation, &hand, error);
}
