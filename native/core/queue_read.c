/* Operations that read messages or facts, and leave the queue as it is. */
#include <errno.h>

#include "error.h"
#include "queue_count.h"
#include "queue_look.h"
#include "stale.h"
#include "taken.h"

bool emi_queue_is_surely_empty(emmap_file *file)
{
    return emi_queue_file_is_surely_empty(file) &&
           !emi_taken_may_have(file,
                               (const queue_t *)atomic_load_explicit(&file->container, memory_order_acquire));
}

static emmap_error walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit, uint64_t *place,
                        const emmap_sink *sink, uint64_t *count)
{
    if (limit > INT64_MAX)
        return emi_error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    if (*place == 0 && limit > 0 && emi_queue_file_is_surely_empty(file))
        return EMMAP_EOF;
    queue_look_request_t look = {
        .direction = direction, .limit = limit, .place = *place, .goes_on = true, .sink = sink};
    const emmap_error error = emi_queue_look(file, &look);
    if (error)
        return error;
    if (look.range.count == 0)
        return limit == 0 ? EMMAP_OK : EMMAP_EOF;
    *place = look.next;
    *count = look.range.count;
    return EMMAP_OK;
}

emmap_error emmap_queue_walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit,
                             uint64_t *place, const emmap_sink *sink, uint64_t *count)
{
    emmap_error error;
    *count = 0;
    do
        error = walk(file, direction, limit, place, sink, count);
    /* At the end of a walk there was something, so the path is not checked. */
    while (error == EMMAP_EOF && *place == 0 && emi_stale_went_over(file, &error));
    return error;
}

/* Whether messages may have been released, which come before those in the queue's file. */
static bool may_have_released(emmap_file *file)
{
    const container_t *const container = atomic_load_explicit(&file->container, memory_order_acquire);
    if (!container || container->kind != CONTAINER_QUEUE)
        return false;
    return !file_may_write(file) || emi_taken_may_have(file, (const queue_t *)container);
}

/* Copies the first released message out, with a sink, and counts those that are due. */
static emmap_error look_at_released(emmap_file *file, const emmap_sink *sink, uint64_t *count)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint32_t number;
    *count = 0;
    if (!file_may_write(file))
        return emi_taken_view_due(file, sink, count);
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    error = emi_taken_begin_if_sound(&operation, &hand);
    if (!error && hand.taken && emi_taken_first(&hand, &number) &&
        emi_taken_is_whole(&hand, &hand.bytes->cell[number])) {
        *count = emi_taken_due(&hand);
        if (sink)
            error = emi_taken_deliver(&hand, &hand.bytes->cell[number], sink);
    }
    return emi_operation_end(&operation, emi_taken_end(&hand, error));
}

static emmap_error peek(emmap_file *file, emmap_queue_direction direction, const emmap_sink *sink)
{
    emmap_error error = EMMAP_OK;
    uint64_t released = 0;
    if (direction == EMMAP_QUEUE_FORWARD && may_have_released(file))
        error = look_at_released(file, sink, &released);
    if (error || released > 0)
        return error;
    do {
        queue_look_request_t look = {.direction = direction, .limit = 1, .sink = sink};
        error = emi_queue_look(file, &look);
        if (!error && look.range.count == 0)
            error = EMMAP_EOF;
    } while (error == EMMAP_EOF && emi_stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_peek_front(emmap_file *file, const emmap_sink *sink)
{
    return peek(file, EMMAP_QUEUE_FORWARD, sink);
}

emmap_error emmap_queue_peek_back(emmap_file *file, const emmap_sink *sink)
{
    return peek(file, EMMAP_QUEUE_BACKWARD, sink);
}

/* Copies the first message without LOCK_CONTAINER. False: only the lock can tell, or the message is long. */
static bool glance_front(operation_t *operation, const emmap_sink *sink, emmap_error *error)
{
    const uint8_t *const data = operation->mapping->data;
    const uint64_t size = operation->mapping->size;
    uint32_t offset, total;
    const queue_header_t header = size < QUEUE_HEADER ? (queue_header_t){0} : queue_header_load(data);
    if (header.next_tail != header.tail || emi_queue_header_wrong(header, size, &offset) != NULL)
        return false;
    *error = EMMAP_EOF;
    if (header.head == header.tail)
        return true;
    if (queue_message_at(data, header.head, header.tail, &total) != NULL || total > EMMAP_PIECE)
        return false;
    void *const place = sink->allocate(sink->context, total - QUEUE_FRAME);
    *error = place ? EMMAP_OK : emi_error_set(ENOMEM, "no memory for a message");
    if (place)
        memcpy(place, data + header.head + 4, total - QUEUE_FRAME);
    return true;
}

emmap_error emmap_queue_glance_front(emmap_file *file, const emmap_sink *sink)
{
    /* For a read-only handle, which emmap_queue_remove refuses. */
    if (!file_may_write(file))
        return emmap_queue_remove(file, NULL, 0);
    for (bool told = QUEUE_LOADS_WHOLE && !may_have_released(file); told;) {
        operation_t operation;
        emmap_error error = emi_operation_begin_read_unlocked(file, CONTAINER_QUEUE, &operation);
        if (error)
            return error;
        told = glance_front(&operation, sink, &error);
        error = emi_operation_end(&operation, told ? error : EMMAP_OK);
        if ((told || error) && !(error == EMMAP_EOF && emi_stale_went_over(file, &error)))
            return error;
    }
    return emmap_queue_peek_front(file, sink);
}

/* For a handle that may write: takes the noted length, or counts the messages and notes how many there are. */
static emmap_error length_under_lock(emmap_file *file, uint64_t *length)
{
    operation_t operation;
    queue_header_t header;
    queue_range_t range = {0};
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    const queue_count_t noted = queue_count_load(&operation, header);
    if (noted.known) {
        *length = noted.count;
        return emi_operation_end(&operation, EMMAP_OK);
    }
    uint32_t offset;
    const char *const wrong =
        emi_queue_select(operation.mapping->data, header, EMMAP_QUEUE_FORWARD, UINT64_MAX, &range, &offset);
    if (wrong)
        error = emi_operation_corrupt(&operation, offset, wrong);
    else
        queue_count_note(&noted, &operation, range.count);
    *length = range.count;
    return emi_operation_end(&operation, error);
}

static emmap_error length_by_walking(emmap_file *file, uint64_t *length)
{
    queue_look_request_t look = {.limit = UINT64_MAX};
    const emmap_error error = emi_queue_look(file, &look);
    *length = look.range.count;
    return error;
}

emmap_error emi_queue_length_of_file(emmap_file *file, uint64_t *length)
{
    emmap_error error;
    do {
        error = file_may_write(file) ? length_under_lock(file, length) : length_by_walking(file, length);
        if (error)
            *length = 0;
    } while (!error && *length == 0 && emi_stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_length(emmap_file *file, uint64_t *length)
{
    uint64_t released = 0;
    emmap_error error = emi_queue_length_of_file(file, length);
    if (!error && may_have_released(file))
        error = look_at_released(file, NULL, &released);
    *length += released;
    return error;
}

emmap_error emmap_queue_info(emmap_file *file, emmap_queue_metadata *info)
{
    queue_look_request_t look = {.limit = 0};
    const emmap_error error = emi_queue_look(file, &look);
    *info = error ? (emmap_queue_metadata){0}
                  : (emmap_queue_metadata){.size = look.header.size,
                                           .head = look.header.head,
                                           .tail = look.header.tail,
                                           .next_tail = look.header.next_tail};
    return error;
}

emmap_error emmap_queue_is_empty(emmap_file *file, bool *empty)
{
    emmap_error error;
    do {
        queue_look_request_t look = {.limit = 0};
        error = emi_queue_read_header_unlocked(file, &look.header) ? EMMAP_OK : emi_queue_look(file, &look);
        *empty = !error && look.header.head == look.header.tail;
    } while (*empty && emi_stale_went_over(file, &error));
    uint64_t released;
    if (*empty && !error && may_have_released(file)) {
        error = look_at_released(file, NULL, &released);
        *empty = !error && released == 0;
    }
    return error;
}
