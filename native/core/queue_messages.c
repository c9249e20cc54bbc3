/* Messages of a queue: finding them and copying them out. */
#include "queue.h"

#include <errno.h>

#include "error.h"

const char *emi_queue_message_before(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total)
{
    if (end - at < QUEUE_TOTAL_MIN)
        return "fewer bytes are left behind the head than a message has";
    *total = queue_load32(data + end - 4);
    if (*total < QUEUE_TOTAL_MIN)
        return "a message's length is smaller than a message can be";
    if (*total > end - at)
        return "a message's length passes the head";
    if (queue_load32(data + end - *total) != *total)
        return "a message's two lengths differ";
    return NULL;
}

const char *emi_queue_select(const uint8_t *data, queue_header_t header, emmap_queue_direction direction,
                             uint64_t limit, queue_range_t *range, uint32_t *offset)
{
    const bool forward = direction == EMMAP_QUEUE_FORWARD;
    uint32_t head = header.head, tail = header.tail, total = 0;
    uint64_t count = 0;
    const char *wrong = NULL;
    while (count < limit && head < tail && !wrong) {
        wrong = forward ? queue_message_at(data, head, tail, &total)
                        : emi_queue_message_before(data, head, tail, &total);
        if (wrong)
            break;
        if (forward)
            head += total;
        else
            tail -= total;
        count++;
    }
    *offset = forward ? head : tail;
    *range = forward ? (queue_range_t){.from = header.head, .to = head, .count = count}
                     : (queue_range_t){.from = tail, .to = header.tail, .count = count};
    return wrong;
}

emmap_error emi_queue_deliver(const operation_t *operation, const uint8_t *data, queue_range_t range,
                              emmap_queue_direction direction, const emmap_sink *sink)
{
    const bool forward = direction == EMMAP_QUEUE_FORWARD;
    uint32_t from = range.from, to = range.to;
    for (uint64_t i = 0; i < range.count; i++) {
        uint32_t total = 0;
        const char *const wrong = forward ? queue_message_at(data, from, to, &total)
                                          : emi_queue_message_before(data, from, to, &total);
        if (wrong)
            return emi_operation_corrupt(operation, forward ? from : to, wrong);
        if (!forward)
            to -= total;
        void *const place = sink->allocate(sink->context, total - QUEUE_FRAME);
        if (!place)
            return emi_error_set(ENOMEM, "no memory for a message");
        memcpy(place, data + (forward ? from : to) + 4, total - QUEUE_FRAME);
        if (forward)
            from += total;
    }
    return EMMAP_OK;
}
