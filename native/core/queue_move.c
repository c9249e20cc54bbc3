/*
 * Moving a queue's messages down to where it begins, over the room of those that were popped.
 *
 * Where their new place does not overlap the old one they are copied, and one store of the header makes the copy
 * the queue. Where it does, they slide in steps no longer than the gap they close: a step's destination does not
 * overlap its source, so a step can be done again. The header says how far the slide has come: with next tail
 * below tail, the bytes from head to next tail have gone down by head - 16 already, and those from next tail to
 * tail have not. Whoever finds that under the lock goes on; a step is a copy, then one store of the header.
 */
#include "error.h"
#include "pause.h"
#include "queue.h"

static void finish(hold *hold, queue_header *header, uint32_t gap)
{
    header->head = QUEUE_HEADER;
    header->tail -= gap;
    header->next_tail = header->tail;
    queue_header_store(hold->mapping->data, *header);
}

static void slide(hold *hold, queue_header *header)
{
    uint8_t *const data = hold->mapping->data;
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
    finish(hold, header, gap);
    PAUSE("queue_slide_done");
}

void queue_move(hold *hold, queue_header *header)
{
    uint8_t *const data = hold->mapping->data;
    const uint32_t gap = header->head - QUEUE_HEADER;
    const uint32_t live = header->tail - header->head;
    PAUSE("queue_move_begin");
    if (live <= gap) {
        memcpy(data + QUEUE_HEADER, data + header->head, live);
        PAUSE("queue_move_copied");
        finish(hold, header, gap);
        PAUSE("queue_move_done");
        return;
    }
    header->next_tail = header->head;
    queue_header_store(data, *header);
    slide(hold, header);
}

emmap_error queue_slide_resume(hold *hold, queue_header *header)
{
    /* A gap is what was popped: a message at least. Less of one would also take long to slide over. */
    if (header->head - QUEUE_HEADER < QUEUE_TOTAL_MIN)
        return hold_corrupt(hold, 12, "the next tail is before the tail, and nothing was being moved");
    slide(hold, header);
    return EMMAP_OK;
}
