/* Removing the first messages of a queue, whose bytes are copied already or not wanted. */
#ifndef EMMAP_CORE_QUEUE_ADVANCE_H
#define EMMAP_CORE_QUEUE_ADVANCE_H

#include "queue_count.h"

/* Whether a queue of this size gives space back when it becomes empty. */
static inline bool queue_empties(const operation_t *operation, const queue_header_t *header)
{
    return header->size > GIVE_BACK_LEAST && queue_much_is_free(operation, *header, 0);
}

/* To be called before the messages up to `head` are removed: if that gives space back, the thread must be one
 * that may block. Errors: EAGAIN as emi_require_blocking. */
static inline emmap_error queue_may_advance(const operation_t *operation, const queue_header_t *header,
                                            uint32_t head)
{
    return head == header->tail && queue_empties(operation, header) ? emi_require_blocking() : EMMAP_OK;
}

/* Removes the messages before `head`, `count` of them. */
static inline void queue_advance(operation_t *operation, queue_header_t header, uint32_t head, uint64_t count)
{
    const queue_count_t noted = queue_count_begin(operation, header);
    header.head = head;
    queue_header_store(operation->mapping->data, header);
    queue_count_end(&noted, operation, 0, count);
}

/* To be called after the removal: a large empty queue gives its space back. A failure does not concern the
 * messages. */
static inline void queue_advanced(operation_t *operation, const queue_header_t *before, uint32_t head)
{
    if (head != before->tail || !queue_empties(operation, before))
        return;
    queue_header_t header = queue_header_load(operation->mapping->data);
    (void)emi_queue_give_back(operation, &header, 0);
}

#endif
