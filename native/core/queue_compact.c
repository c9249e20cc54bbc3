/*
 * Giving the room of popped messages back to the disk. The file keeps its size, so that nobody's mapping of it faults;
 * the pages behind the queue's size become a hole. The header's size says how far space is reserved, so it is lowered
 * before the hole is made, and raised after the space has been reserved again (queue.c). A process killed in between
 * leaves space that the next compaction gives back.
 *
 * Of a synced queue nothing goes away before the disk has a header that does not need it.
 */
#include "error.h"
#include "pause.h"
#include "platform.h"
#include "queue.h"
#include "size.h"

/* What stays: the messages, `spare`, and whole pages. */
static uint64_t kept(queue_header header, uint64_t spare)
{
    const uint64_t page = platform_page_size(), end = header.tail + spare;
    return end + (page - end % page) % page;
}

static emmap_error shrink(hold *hold, queue_header *header, uint64_t size)
{
    if (size < header->size) {
        header->size = (uint32_t)size;
        queue_header_store(hold->mapping->data, *header);
    }
    PAUSE("queue_shrunk");
    /* With it the header of a move, after which the old place is needed no more. */
    const emmap_error error = header->synced ? hold_sync(hold) : EMMAP_OK;
    if (error || !header->unsettled)
        return error;
    header->unsettled = false;
    queue_header_store(hold->mapping->data, *header);
    return EMMAP_OK;
}

emmap_error queue_give_back(hold *hold, queue_header *header, uint64_t spare)
{
    emmap_error error = EMMAP_OK;
    if (header->head > QUEUE_HEADER && queue_may_move(*header) && hold_try_taking(hold))
        error = queue_move(hold, header);
    const uint64_t size = kept(*header, spare);
    if (error || size >= hold->mapping->size)
        return error;
    error = shrink(hold, header, size);
    if (!error)
        error = hold_punch(hold, size, hold->mapping->size);
    PAUSE("queue_given_back");
    return error;
}

emmap_error emmap_queue_compact(emmap_file *file, uint64_t *bytes)
{
    *bytes = 0;
    hold hold;
    queue_header header;
    uint64_t taken, on_disk;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error)
        return error;
    error = hold_compact_begin(&hold, &taken);
    /* What others have added at the end goes too. */
    if (!error)
        error = size_on_disk(hold.descriptor->fd, &on_disk);
    if (!error && file->options.length == 0)
        error = hold_reach(&hold, on_disk - file->options.offset);
    if (!error)
        error = queue_give_back(&hold, &header, 0);
    if (!error)
        *bytes = hold_compact_end(&hold, taken);
    return hold_end(&hold, error);
}
