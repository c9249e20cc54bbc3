/* Removing messages: popping them, removing those that were looked at, and popping in two steps. */
#include <errno.h>

#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_era.h"
#include "queue_wake.h"
#include "stale.h"

/* hold_end, after messages were taken out. */
static emmap_error queue_taken_out(hold *hold, emmap_error error)
{
    emmap_file *const file = hold->file;
    if (!error)
        hold->waited = queue_waited(hold);
    error = hold_end(hold, error);
    if (hold->is_waited)
        queue_call_next(file);
    return error;
}

static emmap_error pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    *count = 0;
    if (limit > INT64_MAX)
        return error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    if (limit > 0 && queue_seen_empty(file))
        return EMMAP_EOF;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    queue_range range;
    uint32_t offset;
    const uint8_t *const data = hold.mapping->data;
    const char *const wrong = queue_select(data, header, EMMAP_QUEUE_FORWARD, limit, &range, &offset);
    if (wrong)
        error = hold_corrupt(&hold, offset, wrong);
    else if (range.count == 0)
        error = limit == 0 ? EMMAP_OK : EMMAP_EOF;
    else
        error = queue_may_advance(&hold, &header, range.to);
    if (!error && range.count > 0)
        error = queue_deliver(&hold, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = file_check(file);
    if (!error && range.count > 0) {
        PAUSE("queue_pop_copied");
        queue_advance(&hold, header, range.to);
        PAUSE("queue_pop_done");
        queue_advanced(&hold, &header, range.to);
    }
    error = queue_taken_out(&hold, error);
    if (!error)
        *count = range.count;
    return error;
}

emmap_error emmap_queue_pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    emmap_error error;
    do
        error = pop_many(file, limit, sink, count);
    while (error == EMMAP_EOF && stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_pop(emmap_file *file, const emmap_sink *sink)
{
    uint64_t count;
    return emmap_queue_pop_many(file, 1, sink, &count);
}

/* Where the first `count` messages end, if they are these. Errors: ESTALE, EMMAP_CORRUPT. */
static emmap_error find_same(const hold *hold, queue_header header, const struct iovec *messages,
                             size_t count, uint32_t *end)
{
    const uint8_t *const data = hold->mapping->data;
    *end = header.head;
    for (size_t i = 0; i < count; i++) {
        uint32_t total = 0;
        const char *const wrong =
            *end == header.tail ? NULL : queue_message_at(data, *end, header.tail, &total);
        if (wrong)
            return hold_corrupt(hold, *end, wrong);
        if (total == 0 || messages[i].iov_len != total - QUEUE_FRAME ||
            memcmp(messages[i].iov_base, data + *end + 4, messages[i].iov_len) != 0)
            return error_set(ESTALE, "other messages are the first ones by now");
        *end += total;
    }
    return EMMAP_OK;
}

/* `next`: where the message goes that is the first one then, if there is one and it takes it; or NULL. */
static emmap_error remove_these(emmap_file *file, const struct iovec *messages, size_t count,
                                const emmap_sink *next)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    uint32_t end;
    error = find_same(&hold, header, messages, count, &end);
    if (!error && count > 0)
        error = queue_may_advance(&hold, &header, end);
    if (!error)
        error = file_check(file);
    if (!error && count > 0) {
        PAUSE("queue_pop_copied");
        queue_advance(&hold, header, end);
        PAUSE("queue_pop_done");
        const uint8_t *const data = hold.mapping->data;
        uint32_t total = 0;
        if (next && end != header.tail && !queue_message_at(data, end, header.tail, &total)) {
            void *const place = next->allocate(next->context, total - QUEUE_FRAME);
            if (place)
                memcpy(place, data + end + 4, total - QUEUE_FRAME);
        }
        queue_advanced(&hold, &header, end);
    }
    return queue_taken_out(&hold, error);
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
    if (queue_seen_empty(file))
        return EMMAP_EOF;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    queue *const self = (queue *)hold.structure;
    queue_range range;
    uint32_t offset;
    const uint8_t *const data = hold.mapping->data;
    const char *const wrong = queue_select(data, header, EMMAP_QUEUE_FORWARD, 1, &range, &offset);
    if (wrong)
        error = hold_corrupt(&hold, offset, wrong);
    else if (range.count == 0)
        error = EMMAP_EOF;
    else
        error = queue_deliver(&hold, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = file_check(file);
    if (!error) {
        self->taken = range.from;
        self->taken_total = range.to - range.from;
        self->taken_digest = queue_era_digest(data + range.from, self->taken_total);
        *ticket = ++self->ticket;
        hold_keep_taking(&hold);
    }
    return hold_end(&hold, error);
}

emmap_error emmap_queue_pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    emmap_error error;
    do
        error = pop_begin(file, sink, ticket);
    while (error == EMMAP_EOF && stale_went_over(file, &error));
    return error;
}

/* Ends what `ticket` stands for. Errors: EINVAL where that has ended. */
static emmap_error put_back(emmap_file *file, uint64_t ticket)
{
    structure *there;
    emmap_error error = structure_of(file, STRUCTURE_QUEUE, &there);
    if (error)
        return error;
    const queue *const self = (const queue *)there;
    /* Its holder may be waiting for others no longer than it may itself. */
    patience patience = patience_of(&(const emmap_options){.lock_timeout = EMMAP_NO_LIMIT});
    error = patience_take(&there->threads, &patience);
    if (error)
        return error;
    descriptor *descriptor;
    error = file_descriptor(file, &descriptor);
    if (!error) {
        if (there->taking && self->ticket == ticket)
            structure_taken(there, descriptor);
        else
            error = error_set(EINVAL, "no message is taken out under this ticket");
        descriptor_release(descriptor);
    }
    thread_lock_give(&there->threads);
    return error;
}

/* Removes the message, under LOCK_STRUCTURE. */
static emmap_error remove_taken(hold *hold, queue_header header, uint64_t ticket)
{
    const queue *const self = (const queue *)hold->structure;
    if (!hold->structure->taking || self->ticket != ticket)
        return error_set(EINVAL, "no message is taken out under this ticket");
    uint32_t total;
    if (header.head != self->taken ||
        queue_message_at(hold->mapping->data, header.head, header.tail, &total) != NULL ||
        total != self->taken_total ||
        queue_era_digest(hold->mapping->data + header.head, total) != self->taken_digest)
        return error_set(ESTALE, "the message was removed by somebody who takes no lock");
    const emmap_error error = queue_may_advance(hold, &header, header.head + total);
    if (error)
        return error;
    PAUSE("queue_commit_begin");
    queue_advance(hold, header, header.head + total);
    PAUSE("queue_commit_done");
    queue_advanced(hold, &header, header.head + total);
    return EMMAP_OK;
}

emmap_error emmap_queue_pop_commit(emmap_file *file, uint64_t ticket)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error == EAGAIN || error == ETIMEDOUT) /* not tried yet */
        return error;
    /* Whatever comes of it, the next one may have the head. */
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        put_back(file, ticket);
        error_restore(&failure);
        return error;
    }
    error = remove_taken(&hold, header, ticket);
    if (error == EAGAIN)
        return hold_end(&hold, error);
    if (hold.structure->taking && ((const queue *)hold.structure)->ticket == ticket)
        structure_taken(hold.structure, hold.descriptor);
    return queue_taken_out(&hold, error);
}

emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket)
{
    const emmap_error error = put_back(file, ticket);
    if (!error)
        queue_call_next(file); /* who waited while the message was taken out */
    return error;
}
