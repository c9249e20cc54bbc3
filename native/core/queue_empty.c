/* Emptying a queue, and making a damaged one an empty one. */
#include <errno.h>

#include "error.h"
#include "pause.h"
#include "queue_advance.h"
#include "queue_era.h"

/* The same, and stores the header. `before` is what it was with the messages that are gone now. */
static void restart_now(uint8_t *data, queue_header before, queue_header *header)
{
    queue_restart(header);
    const bool begins_anew = !header->synced && before.tail != QUEUE_HEADER;
    if (begins_anew)
        queue_era_before(data, before, *header);
    queue_header_store(data, *header);
    if (begins_anew)
        queue_era_after(data, before, *header);
}

emmap_error emmap_queue_purge(emmap_file *file)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    error = queue_may_advance(&hold, &header, header.tail);
    if (error)
        return hold_end(&hold, error);
    PAUSE("queue_purge_begin");
    const queue_header before = header;
    header.head = header.tail;
    restart_now(hold.mapping->data, before, &header);
    PAUSE("queue_purge_done");
    queue_advanced(&hold, &header, header.tail);
    return hold_end(&hold, EMMAP_OK);
}

emmap_error emmap_queue_reset(emmap_file *file, bool *empty)
{
    *empty = false;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error)
        return error;
    if (header.head == header.tail)
        error = queue_may_advance(&hold, &header, header.tail);
    if (error)
        return hold_end(&hold, error);
    *empty = header.head == header.tail;
    if (*empty) {
        PAUSE("queue_reset_begin");
        restart_now(hold.mapping->data, header, &header);
        PAUSE("queue_reset_done");
        queue_advanced(&hold, &header, header.tail);
    }
    return hold_end(&hold, EMMAP_OK);
}

/* The empty header that takes the place of `before`. Errors: EAGAIN as structure_wait. */
static emmap_error erased(const hold *hold, queue_header before, queue_header *after)
{
    uint32_t offset;
    const bool wrong = queue_header_wrong(before, hold->mapping->size, &offset) != NULL;
    /* Damage hides how far space is reserved, and whether the queue was synced. */
    *after = queue_empty_header(wrong ? queue_usable(hold) : before.size);
    after->synced = after->unsettled = before.synced || wrong;
    const emmap_error error =
        wrong ? hold_reserve(hold, QUEUE_HEADER, after->size) : queue_may_advance(hold, &before, before.tail);
    if (error && error != EAGAIN)
        after->size = QUEUE_HEADER; /* use_file finds out how much there is */
    return error == EAGAIN ? error : EMMAP_OK;
}

emmap_error emmap_queue_erase(emmap_file *file)
{
    hold hold;
    emmap_error error = hold_begin(file, STRUCTURE_QUEUE, LOCK_STRUCTURE_AND_TAKING, &hold);
    if (error)
        return error;
    const queue_header before = queue_header_load(hold.mapping->data);
    queue_header after;
    error = erased(&hold, before, &after);
    uint32_t offset;
    const bool damaged = queue_header_wrong(before, hold.mapping->size, &offset) != NULL;
    /* What a damaged header says is in the way of nothing. */
    const queue_header in_use = damaged ? (queue_header){0} : before;
    /* As make_room. */
    if (!error && after.synced)
        error = after.size == before.size ? structure_wait() : hold_sync(&hold);
    if (!error) {
        PAUSE("queue_erase_begin");
        if (!after.synced)
            queue_era_before(hold.mapping->data, in_use, after);
        queue_header_store(hold.mapping->data, after);
        PAUSE("queue_erase_done");
    }
    if (!error && after.synced) {
        error = hold_sync(&hold);
        after.unsettled = false;
        after.synced = before.synced;
        if (!error)
            queue_header_store(hold.mapping->data, after);
    }
    /* The disk has the empty queue, or need not. */
    if (!error)
        queue_era_after(hold.mapping->data, after.synced || damaged ? (queue_header){0} : before, after);
    if (!error && queue_empties(&hold, &after))
        (void)queue_give_back(&hold, &after, 0);
    return hold_end(&hold, error);
}
