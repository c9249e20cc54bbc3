/*
 * Moving a queue's messages to its beginning, over the room of popped ones.
 *
 * If old and new place do not overlap, the messages are copied, and one store of the header makes the copy
 * the queue. If they overlap, the messages slide: step by step, each no longer than the gap, so that a step's
 * target does not overlap its source and the step can be repeated. A step is a copy, then one store of the
 * header. While next tail is below tail, the bytes from head to next tail have moved down by head - 16, and
 * those from next tail to tail have not. The next process that has the lock continues the slide.
 *
 * The kernel writes pages in any order. A power cut between two of its writes must leave synced messages
 * where the header on disk says. So synced messages only move without overlap, with three barriers:
 *
 *   1. sync before the target area is overwritten, so that the disk does not need it for messages
 *   2. sync the copy before the header is stored
 *   3. sync the header before the old place is used again; until then the queue is unsettled, and the next push syncs
 */
#include "error.h"
#include "pause.h"
#include "queue_count.h"
#include "queue_era.h"
#include "taken.h"

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
        /* The last step stores the finished header: next tail equal to tail would mean that nothing has
         * moved. */
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
        error = emi_taken_settle(operation);
    if (!error)
        header->unsettled = false;
    /* The disk has an empty queue, whatever its head is. */
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

static emmap_error move(operation_t *operation, queue_header_t *header)
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

emmap_error emi_queue_move(operation_t *operation, queue_header_t *header)
{
    const queue_count_t noted = queue_count_begin(operation, *header);
    const emmap_error error = move(operation, header);
    if (!error)
        queue_count_end(&noted, operation, 0, 0);
    return error;
}

emmap_error emi_queue_slide_resume(operation_t *operation, queue_header_t *header)
{
    /* The gap is what was popped: at least one message. A smaller gap is damage, and would take long to slide
     * over. */
    if (header->head - QUEUE_HEADER < QUEUE_TOTAL_MIN)
        return emi_operation_corrupt(operation, 12,
                                     "the next tail is before the tail, and no move is in progress");
    slide(operation, header);
    return EMMAP_OK;
}
