/* The messages of a queue at one moment, as a queue of their own whose messages begin at 16. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "backup.h"
#include "error.h"
#include "queue.h"
#include "taken.h"

#define PAGE 4096u

typedef struct gathering {
    backup_image_t *image;
    bool too_small;
} gathering_t;

static void *place_message(void *context, size_t length)
{
    gathering_t *const self = context;
    backup_image_t *const image = self->image;
    const uint64_t total = length + QUEUE_FRAME;
    if (total > image->capacity - image->length) {
        self->too_small = true;
        return NULL;
    }
    uint8_t *const at = image->bytes + image->length;
    queue_store32(at, (uint32_t)total);
    queue_store32(at + total - 4, (uint32_t)total);
    image->length += total;
    return at + 4;
}

/* Under the lock: the messages in hand, and then those of the queue. */
static emmap_error gather_locked(emmap_file *file, const emmap_sink *sink)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    taken_list_t list = {0};
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    error = emi_taken_begin(&operation, false, &hand);
    if (!error && hand.taken)
        error = emi_taken_list(&hand, &list);
    if (!error)
        error = emi_taken_list_deliver(&hand, &list, sink);
    free(list.numbers);
    const uint8_t *const data = operation.mapping->data;
    queue_range_t range;
    uint32_t offset;
    const char *const wrong =
        emi_queue_select(data, header, EMMAP_QUEUE_FORWARD, UINT64_MAX, &range, &offset);
    if (!error && wrong)
        error = emi_operation_corrupt(&operation, offset, wrong);
    if (!error)
        error = emi_queue_deliver(&operation, data, range, EMMAP_QUEUE_FORWARD, sink);
    return emi_operation_end(&operation, emi_taken_end(&hand, error));
}

/* There may be more messages now than the memory has room for. */
static emmap_error gather(emmap_file *file, backup_image_t *image, bool *too_small)
{
    gathering_t self = {.image = image};
    const emmap_sink sink = {.allocate = place_message, .context = &self};
    uint64_t place = 0, count;
    image->length = QUEUE_HEADER;
    const emmap_error error =
        file_may_write(file) ? gather_locked(file, &sink)
                             : emmap_queue_walk(file, EMMAP_QUEUE_FORWARD, INT64_MAX, &place, &sink, &count);
    *too_small = self.too_small;
    return error == EMMAP_EOF ? EMMAP_OK : error;
}

static void finish(backup_image_t *image)
{
    const uint64_t size = (image->length + PAGE - 1) / PAGE * PAGE;
    image->size = size < QUEUE_LIMIT ? size : QUEUE_LIMIT;
    const uint32_t tail = (uint32_t)image->length;
    queue_store32(image->bytes, (uint32_t)image->size);
    queue_store32(image->bytes + 4, QUEUE_HEADER);
    queue_store32(image->bytes + 8, tail);
    queue_store32(image->bytes + 12, tail);
}

static uint64_t twice(uint64_t live)
{
    const uint64_t most = QUEUE_LIMIT - QUEUE_HEADER;
    return QUEUE_HEADER + (live < most / 2 - PAGE ? 2 * live + PAGE : most);
}

emmap_error emi_queue_backup(emmap_file *file, backup_image_t *image)
{
    emmap_queue_metadata info;
    emmap_error error = emmap_queue_info(file, &info);
    uint64_t live = error ? 0 : info.tail - info.head;
    for (bool too_small = true; !error && too_small; live = 2 * live + PAGE) {
        error = emi_backup_image_create(twice(live), image);
        if (error)
            return error;
        /* Touches the pages before others have to wait for the copy. */
        for (uint64_t at = 0; at < live + QUEUE_HEADER && at < image->capacity; at += PAGE)
            *(volatile uint8_t *)(image->bytes + at) = 0;
        error = gather(file, image, &too_small);
        if (error || too_small)
            emi_backup_image_free(image);
        if (too_small)
            error = EMMAP_OK;
    }
    if (!error)
        finish(image);
    return error;
}
