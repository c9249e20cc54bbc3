/* A queue, as queue_layout.h describes it. */
#include <string.h>

#include "error.h"
#include "inspect.h"
#include "queue.h"

/* The number of messages, as the live folder has it for this header. */
static bool noted_length(const inspector_t *self, queue_header_t header, uint64_t *count)
{
    *count = self->length.count;
    return atomic_load_explicit(&self->length.valid, memory_order_relaxed) == 1 &&
           memcmp(self->length.header, self->head, sizeof self->length.header) == 0 &&
           *count <= (header.tail - header.head) / QUEUE_TOTAL_MIN;
}

static emmap_error count_messages(const inspector_t *self, uint64_t *count)
{
    const emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    emmap_file *file;
    emmap_error error = emmap_queue_open(self->path, &options, &file);
    if (error)
        return error;
    error = emmap_queue_length(file, count);
    const emmap_failure failure = *emmap_last_failure();
    emmap_free(file);
    emi_error_restore(&failure);
    return error;
}

/* A queue's header holds only offsets of a queue. No header of another kind passes for one: numbers that other
 * kinds begin with are past the end of their files when they are read as big-endian. */
bool emi_inspect_queue(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    uint32_t offset;
    if (self->size < QUEUE_HEADER)
        return false;
    const queue_header_t header = queue_header_load(self->head);
    if (header.size < QUEUE_HEADER || emi_queue_header_wrong(header, self->size, &offset) != NULL)
        return false;
    facts->fact[0].text = "queue";
    emi_fact_number(facts, "capacity", header.size);
    emi_fact_number(facts, "head", header.head);
    emi_fact_number(facts, "tail", header.tail);
    emi_fact_number(facts, "next_tail", header.next_tail);
    emi_fact_flag(facts, "synced", header.synced);
    uint64_t count = 0;
    emmap_error error = EMMAP_OK;
    const bool noted = header.head == header.tail || noted_length(self, header, &count);
    if (!noted && self->effort == EMMAP_BRIEF)
        return true;
    if (!noted || self->effort == EMMAP_CHECK)
        error = count_messages(self, &count);
    if (error)
        emi_fact_failure(self, error);
    else
        emi_fact_number(facts, "length", count);
    return true;
}
