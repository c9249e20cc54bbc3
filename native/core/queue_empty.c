/* Emptying a queue, also a damaged one. */
#include <errno.h>

#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_era.h"
#include "taken.h"

/* queue_restart, and stores the header. `before` is the header with the messages that are removed. */
static void restart_now(uint8_t *data, queue_header_t before, queue_header_t *header)
{
    queue_restart(header);
    const bool begins_anew = !header->synced && before.tail != QUEUE_HEADER;
    if (begins_anew)
        emi_queue_era_before(data, before, *header);
    queue_header_store(data, *header);
    if (begins_anew)
        emi_queue_era_after(data, before, *header);
}

/* An empty queue has a known length. */
static void note_empty(const operation_t *operation)
{
    const queue_count_t noted = queue_count_begin(operation, queue_header_load(operation->mapping->data));
    queue_count_note(&noted, operation, 0);
}

emmap_error emmap_queue_purge(emmap_file *file)
{
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    error = queue_may_advance(&operation, &header, header.tail);
    hand_t hand;
    if (!error)
        error = emi_taken_begin_if_sound(&operation, &hand);
    if (error)
        return emi_operation_end(&operation, error);
    emi_taken_clear(&hand, false);
    PAUSE("queue_purge_begin");
    const queue_header_t before = header;
    header.head = header.tail;
    restart_now(operation.mapping->data, before, &header);
    PAUSE("queue_purge_done");
    queue_advanced(&operation, &header, header.tail);
    note_empty(&operation);
    return emi_operation_end(&operation, emi_taken_end(&hand, EMMAP_OK));
}

emmap_error emmap_queue_reset(emmap_file *file, bool *empty)
{
    *empty = false;
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    if (header.head == header.tail)
        error = queue_may_advance(&operation, &header, header.tail);
    if (error)
        return emi_operation_end(&operation, error);
    *empty = header.head == header.tail;
    if (*empty) {
        PAUSE("queue_reset_begin");
        restart_now(operation.mapping->data, header, &header);
        PAUSE("queue_reset_done");
        queue_advanced(&operation, &header, header.tail);
        note_empty(&operation);
    }
    return emi_operation_end(&operation, EMMAP_OK);
}

/* Computes the empty header that replaces `before`. Errors: EAGAIN as emi_require_blocking. */
static emmap_error erased(const operation_t *operation, queue_header_t before, queue_header_t *after)
{
    uint32_t offset;
    const bool wrong = emi_queue_header_wrong(before, operation->mapping->size, &offset) != NULL;
    /* A damaged header does not tell how much space is reserved, nor whether the queue was synced. */
    *after = queue_empty_header(wrong ? queue_usable(operation) : before.size);
    after->synced = after->unsettled = before.synced || wrong;
    const emmap_error error = wrong ? emi_operation_reserve(operation, QUEUE_HEADER, after->size)
                                    : queue_may_advance(operation, &before, before.tail);
    if (error && error != EAGAIN)
        after->size = QUEUE_HEADER; /* a later push (use_file) finds out how much can be used */
    return error == EAGAIN ? error : EMMAP_OK;
}

/* Removes the released messages, or all of them if the file is damaged. Errors: EAGAIN, ENOMEM. */
static emmap_error clear_taken(operation_t *operation)
{
    hand_t hand;
    emmap_error error = emi_taken_begin(operation, false, &hand);
    if (error == EMMAP_CORRUPT)
        error = emi_taken_reset(operation);
    else if (!error) {
        emi_taken_clear(&hand, false);
        error = emi_taken_end(&hand, EMMAP_OK);
    }
    return error == EAGAIN || error == ENOMEM ? error : EMMAP_OK;
}

emmap_error emmap_queue_erase(emmap_file *file)
{
    operation_t operation;
    emmap_error error = emi_operation_begin(file, CONTAINER_QUEUE, LOCK_CONTAINER_AND_POP, &operation);
    if (error)
        return error;
    error = clear_taken(&operation);
    if (error)
        return emi_operation_end(&operation, error);
    const queue_header_t before = queue_header_load(operation.mapping->data);
    queue_header_t after;
    error = erased(&operation, before, &after);
    uint32_t offset;
    const bool damaged = emi_queue_header_wrong(before, operation.mapping->size, &offset) != NULL;
    /* A damaged header protects no bytes. */
    const queue_header_t in_use = damaged ? (queue_header_t){0} : before;
    /* As make_room in queue_push.c. */
    if (!error && after.synced)
        error = after.size == before.size ? emi_require_blocking() : emi_operation_sync(&operation);
    if (!error) {
        PAUSE("queue_erase_begin");
        if (!after.synced)
            emi_queue_era_before(operation.mapping->data, in_use, after);
        queue_header_store(operation.mapping->data, after);
        PAUSE("queue_erase_done");
    }
    if (!error && after.synced) {
        error = emi_operation_sync(&operation);
        after.unsettled = false;
        after.synced = before.synced;
        if (!error)
            queue_header_store(operation.mapping->data, after);
    }
    /* The disk has the empty queue, or does not have to. */
    if (!error)
        emi_queue_era_after(operation.mapping->data, after.synced || damaged ? (queue_header_t){0} : before,
                            after);
    if (!error && queue_empties(&operation, &after))
        (void)emi_queue_give_back(&operation, &after, 0);
    return emi_operation_end(&operation, error);
}
