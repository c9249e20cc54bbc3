/*
 * Giving the room of popped messages back to the disk. The file keeps its size, so that no mapping of it
 * faults; the pages behind the queue's size become a hole. The header's size tells how far space is reserved.
 * So it is lowered before the hole is made, and raised after space has been reserved again (queue_room.c). A
 * process killed in between leaves space to the next compaction.
 *
 * In a synced queue no byte goes away before the disk has a header that does not need it.
 */
#include "error.h"
#include "pause.h"
#include "platform.h"
#include "queue.h"
#include "size.h"

/* The size that stays: the messages and `spare` bytes, in whole pages. */
static uint64_t kept(queue_header_t header, uint64_t spare)
{
    const uint64_t page = emi_platform_page_size(), end = header.tail + spare;
    return end + (page - end % page) % page;
}

static emmap_error shrink(operation_t *operation, queue_header_t *header, uint64_t size)
{
    if (size < header->size) {
        header->size = (uint32_t)size;
        queue_header_store(operation->mapping->data, *header);
    }
    PAUSE("queue_shrunk");
    /* This also syncs the header of a move, after which the old place is free. */
    const emmap_error error = header->synced ? emi_operation_sync(operation) : EMMAP_OK;
    if (error || !header->unsettled)
        return error;
    header->unsettled = false;
    queue_header_store(operation->mapping->data, *header);
    return EMMAP_OK;
}

emmap_error emi_queue_give_back(operation_t *operation, queue_header_t *header, uint64_t spare)
{
    emmap_error error = EMMAP_OK;
    if (header->head > QUEUE_HEADER && emi_queue_may_move(*header) && emi_operation_try_pop_lock(operation))
        error = emi_queue_move(operation, header);
    const uint64_t size = kept(*header, spare);
    if (error || size >= operation->mapping->size)
        return error;
    error = shrink(operation, header, size);
    if (!error)
        error = emi_operation_punch(operation, size, operation->mapping->size);
    PAUSE("queue_given_back");
    return error;
}

emmap_error emmap_queue_compact(emmap_file *file, uint64_t *bytes)
{
    *bytes = 0;
    operation_t operation;
    queue_header_t header;
    uint64_t taken, on_disk;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    error = emi_operation_compact_begin(&operation, &taken);
    /* Space that others have added at the end goes back, too. */
    if (!error)
        error = emi_size_on_disk(operation.descriptor->fd, &on_disk);
    if (!error && file->options.length == 0)
        error = operation_reach(&operation, on_disk - file->options.offset);
    if (!error)
        error = emi_queue_give_back(&operation, &header, 0);
    if (!error)
        *bytes = emi_operation_compact_end(&operation, taken);
    return emi_operation_end(&operation, error);
}
