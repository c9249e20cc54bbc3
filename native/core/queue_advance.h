/* Removing a queue's first messages, whose bytes are copied already or wanted by nobody. */
#ifndef EMMAP_CORE_QUEUE_ADVANCE_H
#define EMMAP_CORE_QUEUE_ADVANCE_H

#include "queue.h"

/* Whether a queue of this size gives space back when it becomes empty. */
static inline bool queue_empties(const hold *hold, const queue_header *header)
{
    return header->size > GIVE_BACK_LEAST && queue_much_is_free(hold, *header, 0);
}

/* Before the messages up to `head` go away: where space is to be given back then, the thread has to be one that may
 * wait. Errors: EAGAIN as structure_wait. */
static inline emmap_error queue_may_advance(const hold *hold, const queue_header *header, uint32_t head)
{
    return head == header->tail && queue_empties(hold, header) ? structure_wait() : EMMAP_OK;
}

/* Takes the messages before `head` out. */
static inline void queue_advance(hold *hold, queue_header header, uint32_t head)
{
    header.head = head;
    queue_header_store(hold->mapping->data, header);
}

/* After that: an empty queue that is large gives its space back. Whether it can is another matter than the messages. */
static inline void queue_advanced(hold *hold, const queue_header *before, uint32_t head)
{
    if (head != before->tail || !queue_empties(hold, before))
        return;
    queue_header header = queue_header_load(hold->mapping->data);
    (void)queue_give_back(hold, &header, 0);
}

#endif
