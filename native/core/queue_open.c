/* Making a file a queue, and opening one. */
#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "error.h"
#include "pause.h"
#include "queue.h"
#include "queue_wake.h"

#define DEFAULT_SIZE 4096u

/* A file of zeros is one whose creator has not come to the header, or died before. */
static emmap_error create(const queue *self, hold *hold)
{
    const bool zeros =
        self->blank || (hold->mapping->size <= QUEUE_LIMIT && hold_zeros(hold, 0, hold->mapping->size));
    if (!hold->locked || !zeros)
        return hold_corrupt(hold, 0, "not a queue: its size is 0");
    PAUSE("queue_create_begin");
    queue_header_store(hold->mapping->data, queue_empty_header(queue_usable(hold)));
    PAUSE("queue_create_done");
    return EMMAP_OK;
}

/* What a file has behind the queue's size up to this comes into use when the file is opened. */
#define ADOPTED_AT_ONCE 65536u

/* A header that others change meanwhile may be of a file that has grown since it was mapped: what is wrong counts when it
 * was found several times. */
static emmap_error check_unlocked(hold *hold)
{
    enum { LOOKS = 4 };
    const char *wrong;
    uint32_t offset;
    int looks = 0;
    do {
        const queue_header header = queue_header_load(hold->mapping->data);
        const emmap_error error = hold_reach(hold, header.size);
        if (error)
            return error;
        wrong = queue_header_wrong(header, hold->mapping->size, &offset);
    } while (wrong && ++looks < LOOKS);
    return wrong ? hold_corrupt(hold, offset, wrong) : EMMAP_OK;
}

static emmap_error check(structure *self, hold *hold)
{
    if (hold->file->options.offset % QUEUE_HEADER != 0)
        return error_set(EINVAL, "a queue's header has to begin at a multiple of 16");
    if (hold->mapping->size < QUEUE_HEADER)
        return hold_corrupt(hold, 0, "not a queue: the file is too small");
    queue_header header = queue_header_load(hold->mapping->data);
    if (header.size == 0)
        return create((const queue *)self, hold);
    if (!hold->locked)
        return check_unlocked(hold);
    const emmap_error error = queue_recover(hold, &header);
    if (error)
        return error;
    const bool torn = queue_header_load(hold->mapping->data).next_tail != header.next_tail;
    /* Somebody made the file longer. (A synced header waits for a push, which brings the file's end to disk first.) Much
     * that is behind it is rather what was given back, and comes into use as it is needed. */
    const uint32_t all = queue_usable(hold);
    const bool longer = all > header.size && all - header.size <= ADOPTED_AT_ONCE && !header.synced &&
                        hold_reserve(hold, header.size, all) == EMMAP_OK;
    if (torn || longer) {
        if (longer)
            header.size = all;
        PAUSE("queue_open_torn");
        queue_header_store(hold->mapping->data, header);
        PAUSE("queue_open_mended");
    }
    return EMMAP_OK;
}

static emmap_error note_synced(emmap_file *file)
{
    hold hold;
    queue_header header;
    const emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    /* What is damaged can be brought to disk as it is. */
    if (error)
        return error == EMMAP_CORRUPT ? EMMAP_OK : error;
    if (!header.synced) {
        header.synced = true;
        queue_header_store(hold.mapping->data, header);
        PAUSE("queue_noted");
    }
    return hold_end(&hold, EMMAP_OK);
}

/* `blank`: the file is new, and nobody had the time to write to it. */
static emmap_error attach(emmap_file *file, bool blank)
{
    structure *there = atomic_load_explicit(&file->structure, memory_order_acquire);
    if (there)
        return structure_of(file, STRUCTURE_QUEUE, &there);
    queue *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (structure){.kind = STRUCTURE_QUEUE,
                                 .note_synced = note_synced,
                                 .closing = queue_wake_closing,
                                 .freeing = queue_wake_freeing};
        self->blank = blank;
    }
    return structure_attach(file, self ? &self->base : NULL, check);
}

emmap_error emmap_queue_attach(emmap_file *file)
{
    return attach(file, false);
}

/* Makes a queue that is known to be one as large as its opener wants it. A synced queue gets the room with a push. */
static emmap_error fit(emmap_file *file, uint64_t size)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error)
        return error;
    if (header.size < size && !header.synced && !(file->options.flags & EMMAP_OPEN_FIXED_SIZE)) {
        if (hold.mapping->size < size)
            error = hold_grow(&hold, size);
        if (!error)
            error = hold_reserve(&hold, header.size, size);
        if (!error) {
            header.size = (uint32_t)size;
            queue_header_store(hold.mapping->data, header);
        }
    }
    return hold_end(&hold, error);
}

emmap_error emmap_queue_open(const char *path, const emmap_options *given, emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    bool fresh;
    emmap_error error = structure_options(given, &options, &fresh);
    if (error)
        return error;
    const uint64_t size = options.size ? options.size : DEFAULT_SIZE;
    if (size < QUEUE_HEADER)
        return error_set(EINVAL, "a queue takes 16 bytes at the least");
    if (size > QUEUE_LIMIT)
        return error_set(EFBIG, "a queue takes 2^32 - 1 bytes at the most");
    const structure_preparer preparer = {.base = {structure_prepare}, .size = size, .fresh = fresh};
    if (!(options.flags & EMMAP_OPEN_ANON))
        options.size = 0;
    emmap_file *file;
    error = file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    error = structure_made(file, "not a queue: its size is 0");
    if (!error)
        error = attach(file, !file->existed);
    if (!error && (options.flags & EMMAP_OPEN_FIT) && (options.flags & EMMAP_OPEN_WRITE))
        error = fit(file, size);
    if (error) {
        file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
