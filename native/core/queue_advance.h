/* Removing a queue's first messages, whose bytes are copied already or wanted by nobody. */
#ifndef EMMAP_CORE_QUEUE_ADVANCE_H
#define EMMAP_CORE_QUEUE_ADVANCE_H

#include "queue.h"

/* Whether a queue of this size gives space back when it becomes empty. */
static inline bool queue_empties(const operation_t *operation, const queue_header_t *header)
{
    return header->size > GIVE_BACK_LEAST && queue_much_is_free(operation, *header, 0);
}

/* Before the messages up to `head` go away: where space is to be given back then, the thread has to be one that may
 * wait. Errors: EAGAIN as emi_require_blocking. */
static inline emmap_error queue_may_advance(const operation_t *operation, const queue_header_t *header,
                                            uint32_t head)
{
    return head == header->tail && queue_empties(operation, header) ? emi_require_blocking() : EMMAP_OK;
}

/* Takes the messages before `head` out. */
static inline void queue_advance(operation_t *operation, queue_header_t header, uint32_t head)
{
    header.head = head;
    queue_header_store(operation->mapping->data, header);
}

/* After that: an empty queue that is large gives its space back. Whether it can is another matter than the messages. */
static inline void queue_advanced(operation_t *operation, const queue_header_t *before, uint32_t head)
{
    if (head != before->tail || !queue_empties(operation, before))
        return;
    queue_header_t header = queue_header_load(operation->mapping->data);
    (void)emi_queue_give_back(operation, &header, 0);
}

#endif
