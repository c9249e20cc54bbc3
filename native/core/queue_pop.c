/* Removing messages: popping, removing messages that the caller has looked at, and popping in two steps. */
#include <errno.h>

#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_era.h"
#include "queue_wake.h"
#include "stale.h"
#include "taken.h"

emmap_error emi_queue_end_removal(operation_t *operation, emmap_error error)
{
    emmap_file *const file = operation->file;
    if (!error)
        operation->waited = emi_queue_waited(operation);
    error = emi_operation_end(operation, error);
    if (operation->is_waited)
        emi_queue_call_next(file);
    return error;
}

/* A removal of the first messages: those that were released come before those in the queue's file. */
typedef struct removal {
    operation_t *operation;
    hand_t hand;
    released_t released;
} removal_t;

static inline emmap_error begin_removal(operation_t *operation, uint64_t limit, removal_t *self)
{
    self->operation = operation;
    self->hand.taken = NULL;
    self->released = (released_t){0};
    if (taken_is_none(operation))
        return EMMAP_OK;
    emmap_error error = emi_taken_begin_if_sound(operation, &self->hand);
    if (!error && self->hand.taken)
        error = emi_taken_collect(&self->hand, limit, &self->released);
    /* The queue goes on without a damaged file. */
    if (error == EMMAP_CORRUPT) {
        self->hand.taken = NULL;
        error = EMMAP_OK;
    }
    return error;
}

/* Removes the collected messages and `count` more, up to `to`. With an error all of them stay. */
static inline emmap_error commit_removal(removal_t *self, emmap_error error, queue_header_t header,
                                         uint32_t to, uint64_t count)
{
    if (!error)
        error = emi_file_check(self->operation->file);
    if (self->hand.taken && error)
        emi_taken_restore(&self->hand, &self->released);
    else if (self->hand.taken)
        emi_taken_remove(&self->hand, &self->released);
    if (!error && count > 0) {
        PAUSE("queue_pop_copied");
        queue_advance(self->operation, header, to, count);
        PAUSE("queue_pop_done");
        queue_advanced(self->operation, &header, to);
    }
    return self->hand.taken ? emi_taken_end(&self->hand, error) : error;
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
    removal_t removal;
    error = begin_removal(&operation, limit, &removal);
    queue_range_t range = {0};
    uint32_t offset;
    const uint8_t *const data = operation.mapping->data;
    const char *const wrong = error ? NULL
                                    : emi_queue_select(data, header, EMMAP_QUEUE_FORWARD,
                                                       limit - removal.released.count, &range, &offset);
    const uint64_t found = removal.released.count + range.count;
    if (wrong)
        error = emi_operation_corrupt(&operation, offset, wrong);
    else if (!error && found == 0)
        error = limit == 0 ? EMMAP_OK : EMMAP_EOF;
    if (!error && range.count > 0)
        error = queue_may_advance(&operation, &header, range.to);
    if (!error && removal.released.count > 0)
        error = emi_taken_deliver_all(&removal.hand, &removal.released, sink);
    if (!error && range.count > 0)
        error = emi_queue_deliver(&operation, data, range, EMMAP_QUEUE_FORWARD, sink);
    error = commit_removal(&removal, error, header, range.to, range.count);
    error = emi_queue_end_removal(&operation, error);
    if (!error)
        *count = found;
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

/* Checks that the first messages equal the given ones, and finds the end of those in the queue's file. Errors: ESTALE,
 * EMMAP_CORRUPT. */
static emmap_error find_same(removal_t *self, queue_header_t header, const struct iovec *messages,
                             size_t count, uint32_t *end)
{
    const uint8_t *const data = self->operation->mapping->data;
    static const char others[] = "the first messages are others by now";
    *end = header.head;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *const bytes = messages[i].iov_base;
        if (i < self->released.count) {
            const taken_cell_t *const cell = &self->hand.bytes->cell[self->released.numbers[i]];
            if (messages[i].iov_len > UINT32_MAX ||
                !emi_taken_equals(&self->hand, cell, bytes, (uint32_t)messages[i].iov_len))
                return emi_error_set(ESTALE, others);
            continue;
        }
        uint32_t total = 0;
        const char *const wrong =
            *end == header.tail ? NULL : queue_message_at(data, *end, header.tail, &total);
        if (wrong)
            return emi_operation_corrupt(self->operation, *end, wrong);
        if (total == 0 || messages[i].iov_len != total - QUEUE_FRAME ||
            memcmp(bytes, data + *end + 4, messages[i].iov_len) != 0)
            return emi_error_set(ESTALE, others);
        *end += total;
    }
    return EMMAP_OK;
}

/* Copies the message that has become the first one. */
static void copy_next(removal_t *self, queue_header_t header, uint32_t end, const emmap_sink *sink)
{
    const uint8_t *const data = self->operation->mapping->data;
    uint32_t number, total = 0;
    if (self->hand.taken && emi_taken_first(&self->hand, &number))
        (void)emi_taken_deliver(&self->hand, &self->hand.bytes->cell[number], sink);
    else if (end != header.tail && !queue_message_at(data, end, header.tail, &total)) {
        void *const place = sink->allocate(sink->context, total - QUEUE_FRAME);
        if (place)
            memcpy(place, data + end + 4, total - QUEUE_FRAME);
    }
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
    removal_t removal;
    uint32_t end = header.head;
    error = begin_removal(&operation, count, &removal);
    const uint64_t released = removal.released.count;
    if (!error)
        error = find_same(&removal, header, messages, count, &end);
    if (!error && count > released)
        error = queue_may_advance(&operation, &header, end);
    /* While the mapping has the bytes: `next` may share memory with `messages`, which were compared already. */
    if (!error && count > 0 && next)
        copy_next(&removal, header, end, next);
    error = commit_removal(&removal, error, header, end, count - released);
    return emi_queue_end_removal(&operation, error);
}

emmap_error emmap_queue_remove(emmap_file *file, const struct iovec *messages, size_t count)
{
    return remove_these(file, messages, count, NULL);
}

emmap_error emmap_queue_shift(emmap_file *file, const struct iovec *message, const emmap_sink *next)
{
    return remove_these(file, message, 1, next);
}

/* ---- In two steps ---- */

static emmap_error pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    *ticket = 0;
    if (emi_queue_file_is_surely_empty(file))
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
    return emi_queue_end_removal(&operation, error);
}

emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket)
{
    const emmap_error error = put_back(file, ticket);
    if (!error)
        emi_queue_call_next(file); /* those who waited meanwhile */
    return error;
}
