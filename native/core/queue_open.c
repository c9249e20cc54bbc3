/* Making a file a queue, and opening a queue. */
#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "error.h"
#include "pause.h"
#include "queue.h"
#include "queue_wake.h"
#include "relayed.h"
#include "taken.h"

#define DEFAULT_SIZE 4096u

/* A file of zeros: its creator has not written the header yet, or died before. */
static emmap_error create(const queue_t *self, operation_t *operation)
{
    const bool zeros = self->blank || (operation->mapping->size <= QUEUE_LIMIT &&
                                       emi_operation_zeros(operation, 0, operation->mapping->size));
    if (!operation->locked || !zeros)
        return emi_operation_corrupt(operation, 0, "not a queue: its size is 0");
    emmap_error error = emi_taken_set_aside(operation);
    if (!error)
        error = emi_relayed_set_aside(operation);
    if (error)
        return error;
    PAUSE("queue_create_begin");
    queue_header_store(operation->mapping->data, queue_empty_header(queue_usable(operation)));
    PAUSE("queue_create_done");
    return EMMAP_OK;
}

/* If the file is longer than the queue by no more than this, an open takes the rest into use. */
#define ADOPTED_AT_ONCE 65536u

/* The file may have grown since it was mapped, with a header that others change. So a wrong header counts
 * only if it is found several times. */
static emmap_error check_unlocked(operation_t *operation)
{
    enum { LOOKS = 4 };
    const char *wrong;
    uint32_t offset;
    int looks = 0;
    do {
        const queue_header_t header = queue_header_load(operation->mapping->data);
        const emmap_error error = operation_reach(operation, header.size);
        if (error)
            return error;
        wrong = emi_queue_header_wrong(header, operation->mapping->size, &offset);
    } while (wrong && ++looks < LOOKS);
    return wrong ? emi_operation_corrupt(operation, offset, wrong) : EMMAP_OK;
}

static emmap_error check(container_t *self, operation_t *operation)
{
    if (operation->file->options.offset % QUEUE_HEADER != 0)
        return emi_error_set(EINVAL, "a queue's header has to begin at a multiple of 16");
    if (operation->mapping->size < QUEUE_HEADER)
        return emi_operation_corrupt(operation, 0, "not a queue: the file is too small");
    queue_header_t header = queue_header_load(operation->mapping->data);
    if (header.size == 0)
        return create((const queue_t *)self, operation);
    if (!operation->locked)
        return check_unlocked(operation);
    const emmap_error error = emi_queue_recover(operation, &header);
    if (error)
        return error;
    const bool torn = queue_header_load(operation->mapping->data).next_tail != header.next_tail;
    /* The file is longer than the queue: somebody made it so. (A synced queue uses the rest with a push,
     * which first syncs the file's end.) A large rest is mostly space that was given back, and is used when
     * it is needed. */
    const uint32_t all = queue_usable(operation);
    const bool longer = all > header.size && all - header.size <= ADOPTED_AT_ONCE && !header.synced &&
                        emi_operation_reserve(operation, header.size, all) == EMMAP_OK;
    if (torn || longer) {
        if (longer)
            header.size = all;
        PAUSE("queue_open_torn");
        queue_header_store(operation->mapping->data, header);
        PAUSE("queue_open_mended");
    }
    return EMMAP_OK;
}

static emmap_error note_synced(emmap_file *file)
{
    operation_t operation;
    queue_header_t header;
    const emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    /* A damaged queue can be synced as it is. */
    if (error)
        return error == EMMAP_CORRUPT ? EMMAP_OK : error;
    hand_t hand;
    const emmap_error unsound = emi_taken_begin_if_sound(&operation, &hand);
    if (unsound)
        return emi_operation_end(&operation, unsound);
    if (!header.synced) {
        header.synced = true;
        queue_header_store(operation.mapping->data, header);
        PAUSE("queue_noted");
    }
    return emi_operation_end(&operation, emi_taken_end(&hand, EMMAP_OK));
}

/* The messages in hand, before the queue whose head has moved past them. */
static emmap_error sync_beside(emmap_file *file)
{
    taken_t *const taken =
        atomic_load_explicit(&((queue_t *)atomic_load(&file->container))->taken, memory_order_acquire);
    const emmap_error error = taken ? emi_taken_sync(taken) : EMMAP_OK;
    /* The handle went over to another file meanwhile. */
    return error == EMMAP_CLOSED && !file_is_closed(file) ? EMMAP_OK : error;
}

/* `blank`: the file is new, and nobody has written to it. */
static emmap_error attach(emmap_file *file, bool blank)
{
    container_t *there = atomic_load_explicit(&file->container, memory_order_acquire);
    if (there)
        return emi_container_get(file, CONTAINER_QUEUE, &there);
    queue_t *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (container_t){.kind = CONTAINER_QUEUE,
                                   .note_synced = note_synced,
                                   .sync_beside = sync_beside,
                                   .closing = emi_queue_closing,
                                   .freeing = emi_queue_freeing};
        self->blank = blank;
    }
    return emi_container_attach(file, self ? &self->base : NULL, check);
}

emmap_error emmap_queue_attach(emmap_file *file)
{
    return attach(file, false);
}

/* Makes a queue as large as its opener asks. A synced queue gets the room with a push. */
static emmap_error fit(emmap_file *file, uint64_t size)
{
    operation_t operation;
    queue_header_t header;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    if (header.size < size && !header.synced && !(file->options.flags & EMMAP_OPEN_FIXED_SIZE)) {
        if (operation.mapping->size < size)
            error = emi_operation_grow(&operation, size);
        if (!error)
            error = emi_operation_reserve(&operation, header.size, size);
        if (!error) {
            header.size = (uint32_t)size;
            queue_header_store(operation.mapping->data, header);
        }
    }
    return emi_operation_end(&operation, error);
}

emmap_error emmap_queue_open(const char *path, const emmap_options *given, emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    bool fresh;
    emmap_error error = emi_container_options(given, &options, &fresh);
    if (error)
        return error;
    const uint64_t size = options.size ? options.size : DEFAULT_SIZE;
    if (size < QUEUE_HEADER)
        return emi_error_set(EINVAL, "a queue takes 16 bytes at the least");
    if (size > QUEUE_LIMIT)
        return emi_error_set(EFBIG, "a queue takes 2^32 - 1 bytes at the most");
    const container_preparer_t preparer = {.base = {emi_container_prepare}, .size = size, .fresh = fresh};
    if (!(options.flags & EMMAP_OPEN_ANON))
        options.size = 0;
    emmap_file *file;
    error = emi_file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    error = emi_container_require_made(file, "not a queue: its size is 0");
    if (!error)
        error = attach(file, !file->existed);
    if (!error && (options.flags & EMMAP_OPEN_FIT) && (options.flags & EMMAP_OPEN_WRITE))
        error = fit(file, size);
    if (error) {
        emi_file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
