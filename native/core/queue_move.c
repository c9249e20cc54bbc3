/*
 * Moving a queue's messages down to where it begins, over the room of those that were popped.
 *
 * Where their new place does not overlap the old one they are copied, and one store of the header makes the copy
 * the queue. Where it does, they slide in steps no longer than the gap they close: a step's destination does not
 * overlap its source, so a step can be done again. The header says how far the slide has come: with next tail
 * below tail, the bytes from head to next tail have gone down by head - 16 already, and those from next tail to
 * tail have not. Whoever finds that under the lock goes on; a step is a copy, then one store of the header.
 *
 * The kernel writes pages in any order. So that a power cut between any two of its writes leaves synced messages
 * where the header on disk says, they are moved only where places do not overlap, and three times the disk is waited
 * for: until it no longer takes the room in front for messages, before that is written to; until the copy is there,
 * before the header says so; and until the header is, before the old place is written to (the queue is unsettled up
 * to then, and whoever pushes next waits).
 */
#include "error.h"
#include "pause.h"
#include "queue.h"
#include "queue_era.h"

static void finish(operation_t *operation, queue_header_t *header, uint32_t gap)
{
    uint8_t *const data = operation->mapping->data;
    const queue_header_t before = *header;
    header->head = QUEUE_HEADER;
    header->tail -= gap;
    header->next_tail = header->tail;
    emi_queue_era_before(data, before, *header);
    PAUSE("queue_era");
    queue_header_store(data, *header);
    if (!header->synced)
        emi_queue_era_after(data, before, *header);
}

static void slide(operation_t *operation, queue_header_t *header)
{
    uint8_t *const data = operation->mapping->data;
    const uint32_t gap = header->head - QUEUE_HEADER;
    PAUSE("queue_slide_begin");
    while (header->next_tail < header->tail) {
        const uint32_t at = header->next_tail;
        const uint32_t step = header->tail - at < gap ? header->tail - at : gap;
        memcpy(data + at - gap, data + at, step);
        PAUSE("queue_slide_copied");
        /* The last step's header is the finished one: next tail at tail would say that nothing has moved. */
        header->next_tail = at + step;
        if (header->next_tail < header->tail)
            queue_header_store(data, *header);
        PAUSE("queue_slide_advanced");
    }
    finish(operation, header, gap);
    PAUSE("queue_slide_done");
}

static uint32_t gap_of(queue_header_t header)
{
    return header.head - QUEUE_HEADER;
}

static uint32_t live_of(queue_header_t header)
{
    return header.tail - header.head;
}

bool emi_queue_may_move(queue_header_t header)
{
    return !header.synced || live_of(header) <= gap_of(header);
}

static void copy_down(operation_t *operation, queue_header_t header)
{
    uint8_t *const data = operation->mapping->data;
    PAUSE("queue_move_begin");
    memcpy(data + QUEUE_HEADER, data + header.head, live_of(header));
    PAUSE("queue_move_copied");
}

static emmap_error move_synced(operation_t *operation, queue_header_t *header)
{
    const uint32_t gap = gap_of(*header);
    emmap_error error = emi_operation_sync(operation);
    if (!error)
        header->unsettled = false;
    /* The disk has an empty queue now, wherever that begins. */
    if (!error && live_of(*header) == 0) {
        finish(operation, header, gap);
        PAUSE("queue_restarted");
        return EMMAP_OK;
    }
    if (!error) {
        copy_down(operation, *header);
        error = emi_operation_sync(operation);
    }
    if (error)
        return error;
    header->unsettled = true;
    finish(operation, header, gap);
    PAUSE("queue_move_done");
    return EMMAP_OK;
}

emmap_error emi_queue_move(operation_t *operation, queue_header_t *header)
{
    if (header->synced)
        return move_synced(operation, header);
    const uint32_t gap = gap_of(*header);
    if (live_of(*header) <= gap) {
        copy_down(operation, *header);
        finish(operation, header, gap);
        PAUSE("queue_move_done");
        return EMMAP_OK;
    }
    PAUSE("queue_move_begin");
    header->next_tail = header->head;
    queue_header_store(operation->mapping->data, *header);
    slide(operation, header);
    return EMMAP_OK;
}

emmap_error emi_queue_slide_resume(operation_t *operation, queue_header_t *header)
{
    /* A gap is what was popped: a message at least. Less of one would also take long to slide over. */
    if (header->head - QUEUE_HEADER < QUEUE_TOTAL_MIN)
        return emi_operation_corrupt(operation, 12,
                                     "the next tail is before the tail, and nothing was being moved");
    slide(operation, header);
    return EMMAP_OK;
}
