/* The messages of a queue at one moment, as a queue of their own whose messages begin at 16. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
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
    free(list.entries);
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

/* How often a handle for reading tries to copy while others take messages. */
enum { LOOKS = 200 };

/* Without the lock messages move between the two files meanwhile. If the same ones are in hand afterwards, none has moved. */
static emmap_error gather_unlocked_once(emmap_file *file, const emmap_sink *sink, bool *settled)
{
    hand_t hand, hand_after;
    taken_list_t list, after;
    uint64_t place = 0, count;
    emmap_error error = emi_taken_view(file, &hand, &list);
    *settled = error != EMMAP_OK;
    if (error)
        return error;
    error = emi_taken_list_deliver(&hand, &list, sink);
    if (!error)
        error = emmap_queue_walk(file, EMMAP_QUEUE_FORWARD, INT64_MAX, &place, sink, &count);
    emmap_failure failure = *emmap_last_failure();
    const emmap_error looked = emi_taken_view(file, &hand_after, &after);
    *settled = looked || emi_taken_list_is_same(&list, &after);
    if (looked) {
        error = looked;
        failure = *emmap_last_failure();
    } else {
        free(after.entries);
        emi_taken_looked(&hand_after);
    }
    free(list.entries);
    emi_taken_looked(&hand);
    if (error)
        emi_error_restore(&failure);
    return error;
}

static emmap_error gather_unlocked(emmap_file *file, gathering_t *self, const emmap_sink *sink)
{
    bool settled = false;
    for (int i = 0; i < LOOKS; i++) {
        self->image->length = QUEUE_HEADER;
        const emmap_error error = gather_unlocked_once(file, sink, &settled);
        if (settled || self->too_small)
            return error;
        sched_yield();
    }
    return emi_error_set(EAGAIN, "others take messages faster than a handle without locks can copy");
}

/* There may be more messages now than the memory has room for. */
static emmap_error gather(emmap_file *file, backup_image_t *image, bool *too_small)
{
    gathering_t self = {.image = image};
    const emmap_sink sink = {.allocate = place_message, .context = &self};
    image->length = QUEUE_HEADER;
    const emmap_error error =
        file_may_write(file) ? gather_locked(file, &sink) : gather_unlocked(file, &self, &sink);
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
