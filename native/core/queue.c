/* How an operation on a queue begins: with a sound header, or with one that was read without the lock. */
#include "queue.h"

#include "error.h"

const char *emi_queue_header_wrong(queue_header_t header, uint64_t mapped, uint32_t *offset)
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

emmap_error emi_queue_recover(operation_t *operation, queue_header_t *header)
{
    uint32_t offset;
    *header = queue_header_load(operation->mapping->data);
    emmap_error error = operation_reach(operation, header->size);
    if (error)
        return error;
    const char *const wrong = emi_queue_header_wrong(*header, operation->mapping->size, &offset);
    if (wrong)
        return emi_operation_corrupt(operation, offset, wrong);
    if (header->next_tail < header->tail)
        return (error = emi_require_blocking()) ? error : emi_queue_slide_resume(operation, header);
    if (header->numbered) {
        error = emi_queue_settle(operation, header);
        if (header->numbered)
            return error;
    }
    /* A writer of emmap 2.x reserved room and died. The next store of the header corrects that. */
    header->next_tail = header->tail;
    return EMMAP_OK;
}

emmap_error emi_queue_begin(emmap_file *file, lock_subject_t subject, operation_t *operation,
                            queue_header_t *header)
{
    emmap_error error = emi_operation_begin(file, CONTAINER_QUEUE, subject, operation);
    if (error)
        return error;
    error = emi_queue_recover(operation, header);
    return error ? emi_operation_end(operation, error) : EMMAP_OK;
}

bool emi_queue_read_header_unlocked(emmap_file *file, queue_header_t *header)
{
    container_t *container;
    visit_t visit;
    if (!QUEUE_LOADS_WHOLE || !file_may_write(file) ||
        emi_container_get(file, CONTAINER_QUEUE, &container) != EMMAP_OK || container->owns_locks ||
        visit_begin(file, &visit) != EMMAP_OK)
        return false;
    uint32_t offset;
    const uint64_t size = visit.mapping->size;
    *header = size < QUEUE_HEADER ? (queue_header_t){0} : queue_header_load(visit.mapping->data);
    const bool sound =
        header->next_tail == header->tail && emi_queue_header_wrong(*header, size, &offset) == NULL;
    return visit_end(file, &visit) == EMMAP_OK && sound;
}

bool emi_queue_file_is_surely_empty(emmap_file *file)
{
    queue_header_t header;
    return emi_queue_read_header_unlocked(file, &header) && header.head == header.tail;
}
