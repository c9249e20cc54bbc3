/* Removing messages: popping, removing messages that the caller has looked at, and popping in two steps. */
#include <errno.h>

#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_era.h"
#include "queue_wake.h"
#include "stale.h"

/* Ends an operation that may have removed messages. */
static emmap_error end_removal(operation_t *operation, emmap_error error)
{
    emmap_file *const file = operation->file;
    if (!error)
        operation->waited = emi_queue_waited(operation);
    error = emi_operation_end(operation, error);
    if (operation->is_waited)
        emi_queue_call_next(file);
    return error;
}

static emmap_error pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    *count = 0;
    if (limit > INT64_MAX)
        return emi_error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    if (limit > 0 && emi_queue_is_surely_empty(file))
        return EMMAP_EOF;
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    queue_range_t range;
    uint32_t offset;
    const uint8_t *const data = operation.mapping->data;
    const char *const wrong = emi_queue_select(data, header, EMMAP_QUEUE_FORWARD, limit, &range, &offset);
    if (wrong)
        error = emi_operation_corrupt(&operation, offset, wrong);
    else if (range.count == 0)
        error = limit == 0 ? EMMAP_OK : EMMAP_EOF;
    else
        error = queue_may_advance(&operation, &header, range.to);
    if (!error && range.count > 0)
        error = emi_queue_deliver(&operation, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = emi_file_check(file);
    if (!error && range.count > 0) {
        PAUSE("queue_pop_copied");
        queue_advance(&operation, header, range.to, range.count);
        PAUSE("queue_pop_done");
        queue_advanced(&operation, &header, range.to);
    }
    error = end_removal(&operation, error);
    if (!error)
        *count = range.count;
    return error;
}

emmap_error emmap_queue_pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    emmap_error error;
    do
        error = pop_many(file, limit, sink, count);
    while (error == EMMAP_EOF && emi_stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_pop(emmap_file *file, const emmap_sink *sink)
{
    uint64_t count;
    return emmap_queue_pop_many(file, 1, sink, &count);
}

/* Checks that the first `count` messages equal the given ones, and finds their end. Errors: ESTALE,
 * EMMAP_CORRUPT. */
static emmap_error find_same(const operation_t *operation, queue_header_t header,
                             const struct iovec *messages, size_t count, uint32_t *end)
{
    const uint8_t *const data = operation->mapping->data;
    *end = header.head;
    for (size_t i = 0; i < count; i++) {
        uint32_t total = 0;
        const char *const wrong =
            *end == header.tail ? NULL : queue_message_at(data, *end, header.tail, &total);
        if (wrong)
            return emi_operation_corrupt(operation, *end, wrong);
        if (total == 0 || messages[i].iov_len != total - QUEUE_FRAME ||
            memcmp(messages[i].iov_base, data + *end + 4, messages[i].iov_len) != 0)
            return emi_error_set(ESTALE, "the first messages are others by now");
        *end += total;
    }
    return EMMAP_OK;
}

/* `next`: receives the message that becomes the first one, or NULL. */
static emmap_error remove_these(emmap_file *file, const struct iovec *messages, size_t count,
                                const emmap_sink *next)
{
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    uint32_t end;
    error = find_same(&operation, header, messages, count, &end);
    if (!error && count > 0)
        error = queue_may_advance(&operation, &header, end);
    if (!error)
        error = emi_file_check(file);
    if (!error && count > 0) {
        PAUSE("queue_pop_copied");
        queue_advance(&operation, header, end, count);
        PAUSE("queue_pop_done");
        const uint8_t *const data = operation.mapping->data;
        uint32_t total = 0;
        if (next && end != header.tail && !queue_message_at(data, end, header.tail, &total)) {
            void *const place = next->allocate(next->context, total - QUEUE_FRAME);
            if (place)
                memcpy(place, data + end + 4, total - QUEUE_FRAME);
        }
        queue_advanced(&operation, &header, end);
    }
    return end_removal(&operation, error);
}

emmap_error emmap_queue_remove(emmap_file *file, const struct iovec *messages, size_t count)
{
    return remove_these(file, messages, count, NULL);
}

emmap_error emmap_queue_take(emmap_file *file, const struct iovec *message, const emmap_sink *next)
{
    return remove_these(file, message, 1, next);
}

/* ---- In two steps ---- */

static emmap_error pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    *ticket = 0;
    if (emi_queue_is_surely_empty(file))
        return EMMAP_EOF;
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    queue_t *const self = (queue_t *)operation.container;
    queue_range_t range;
    uint32_t offset;
    const uint8_t *const data = operation.mapping->data;
    const char *const wrong = emi_queue_select(data, header, EMMAP_QUEUE_FORWARD, 1, &range, &offset);
    if (wrong)
        error = emi_operation_corrupt(&operation, offset, wrong);
    else if (range.count == 0)
        error = EMMAP_EOF;
    else
        error = emi_queue_deliver(&operation, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = emi_file_check(file);
    if (!error) {
        self->reserved_at = range.from;
        self->reserved_total = range.to - range.from;
        self->reserved_digest = emi_queue_era_digest(data + range.from, self->reserved_total);
        *ticket = ++self->ticket;
        emi_operation_keep_pop_lock(&operation);
    }
    return emi_operation_end(&operation, error);
}

emmap_error emmap_queue_pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    emmap_error error;
    do
        error = pop_begin(file, sink, ticket);
    while (error == EMMAP_EOF && emi_stale_went_over(file, &error));
    return error;
}

/* Ends the reservation of `ticket`. Errors: EINVAL for a used ticket. */
static emmap_error put_back(emmap_file *file, uint64_t ticket)
{
    container_t *there;
    emmap_error error = emi_container_get(file, CONTAINER_QUEUE, &there);
    if (error)
        return error;
    const queue_t *const self = (const queue_t *)there;
    /* The owner of the lock waits for others with a limit of its own. */
    patience_t patience = emi_patience_of(&(const emmap_options){.lock_timeout = EMMAP_NO_LIMIT});
    error = patience_take(&there->threads, &patience);
    if (error)
        return error;
    descriptor_t *descriptor;
    error = emi_file_descriptor(file, &descriptor);
    if (!error) {
        if (there->pop_locked && self->ticket == ticket)
            emi_container_release_pop_lock(there, descriptor);
        else
            error = emi_error_set(EINVAL, "no message is taken out under this ticket");
        emi_descriptor_release(descriptor);
    }
    thread_lock_give(&there->threads);
    return error;
}

/* Removes the reserved message. The caller holds LOCK_CONTAINER. */
static emmap_error remove_reserved(operation_t *operation, queue_header_t header, uint64_t ticket)
{
    const queue_t *const self = (const queue_t *)operation->container;
    if (!operation->container->pop_locked || self->ticket != ticket)
        return emi_error_set(EINVAL, "no message is taken out under this ticket");
    uint32_t total;
    if (header.head != self->reserved_at ||
        queue_message_at(operation->mapping->data, header.head, header.tail, &total) != NULL ||
        total != self->reserved_total ||
        emi_queue_era_digest(operation->mapping->data + header.head, total) != self->reserved_digest)
        return emi_error_set(ESTALE, "a writer that takes no lock has removed the message");
    const emmap_error error = queue_may_advance(operation, &header, header.head + total);
    if (error)
        return error;
    PAUSE("queue_commit_begin");
    queue_advance(operation, header, header.head + total, 1);
    PAUSE("queue_commit_done");
    queue_advanced(operation, &header, header.head + total);
    return EMMAP_OK;
}

emmap_error emmap_queue_pop_commit(emmap_file *file, uint64_t ticket)
{
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error == EAGAIN || error == ETIMEDOUT) /* nothing was tried yet */
        return error;
    /* In any other case the reservation ends, so that others can pop. */
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        put_back(file, ticket);
        emi_error_restore(&failure);
        return error;
    }
    error = remove_reserved(&operation, header, ticket);
    if (error == EAGAIN)
        return emi_operation_end(&operation, error);
    if (operation.container->pop_locked && ((const queue_t *)operation.container)->ticket == ticket)
        emi_container_release_pop_lock(operation.container, operation.descriptor);
    return end_removal(&operation, error);
}

emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket)
{
    const emmap_error error = put_back(file, ticket);
    if (!error)
        emi_queue_call_next(file); /* those who waited meanwhile */
    return error;
}
