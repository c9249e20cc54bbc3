/* What an operation on a queue begins with: a header that holds together. */
#include "queue.h"

#include "error.h"

const char *queue_header_wrong(queue_header header, uint64_t mapped, uint32_t *offset)
{
    *offset = 0;
    if (header.size > mapped)
        return "the queue's size passes the end of the file";
    *offset = 4;
    if (header.head < QUEUE_HEADER)
        return "the head lies within the header";
    if (header.head > header.tail)
        return "the head is beyond the tail";
    *offset = 8;
    if (header.tail > header.size)
        return "the tail is beyond the queue's size";
    *offset = 12;
    if (header.next_tail > header.size)
        return "the next tail is beyond the queue's size";
    if (header.next_tail < header.head)
        return "the next tail is before the head";
    return NULL;
}

emmap_error queue_recover(hold *hold, queue_header *header)
{
    uint32_t offset;
    *header = queue_header_load(hold->mapping->data);
    emmap_error error = hold_reach(hold, header->size);
    if (error)
        return error;
    const char *const wrong = queue_header_wrong(*header, hold->mapping->size, &offset);
    if (wrong)
        return hold_corrupt(hold, offset, wrong);
    if (header->next_tail < header->tail)
        return (error = structure_wait()) ? error : queue_slide_resume(hold, header);
    /* A writer that reserved and died; the next store of the header says so. */
    header->next_tail = header->tail;
    return EMMAP_OK;
}

emmap_error queue_begin(emmap_file *file, lock_subject subject, hold *hold, queue_header *header)
{
    emmap_error error = hold_begin(file, STRUCTURE_QUEUE, subject, hold);
    if (error)
        return error;
    error = queue_recover(hold, header);
    return error ? hold_end(hold, error) : EMMAP_OK;
}

bool queue_glance(emmap_file *file, queue_header *header)
{
    structure *structure;
    visit visit;
    if (!QUEUE_LOADS_WHOLE || !(file->options.flags & EMMAP_OPEN_WRITE) ||
        structure_of(file, STRUCTURE_QUEUE, &structure) != EMMAP_OK || structure->held ||
        visit_begin(file, &visit) != EMMAP_OK)
        return false;
    uint32_t offset;
    const uint64_t size = visit.mapping->size;
    *header = size < QUEUE_HEADER ? (queue_header){0} : queue_header_load(visit.mapping->data);
    const bool sound =
        header->next_tail == header->tail && queue_header_wrong(*header, size, &offset) == NULL;
    return visit_end(file, &visit) == EMMAP_OK && sound;
}

bool queue_seen_empty(emmap_file *file)
{
    queue_header header;
    return queue_glance(file, &header) && header.head == header.tail;
}
