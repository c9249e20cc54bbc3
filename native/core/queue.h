/* An operation on a queue, and what its parts need of one another. */
#ifndef EMMAP_CORE_QUEUE_H
#define EMMAP_CORE_QUEUE_H

#include "emmap.h"
#include "operation.h"
#include "queue_layout.h"

typedef struct queue {
    container_t base;
    bool blank; /* it was made of a file that this handle had just created */
    /* The message that emmap_queue_pop_begin has given out, while base.pop_locked; under base.threads. */
    uint64_t ticket;
    uint32_t taken;       /* its offset */
    uint32_t taken_total; /* its length */
    uint64_t taken_digest;
    /* Who waits for a message on this handle (queue_wake.h); NULL until somebody does. */
    emmap_file *wake_file;
    _Atomic(word_t *) own_word;
} queue_t;

/* Under the lock: loads the header, and finishes what a dead process left half done. Errors: EMMAP_CORRUPT; EAGAIN as
 * emi_require_blocking. */
emmap_error emi_queue_recover(operation_t *operation, queue_header_t *header);

/* Begins a change, with a header that holds together: what a dead process left half done is finished.
 * Errors: as emi_operation_begin; EMMAP_CORRUPT. */
emmap_error emi_queue_begin(emmap_file *file, lock_subject_t subject, operation_t *operation,
                            queue_header_t *header);

/* The header without the lock, which one load reads whole. False where that does not tell; for an exclusive handle too,
 * whose lock costs nothing. */
bool emi_queue_read_header_unlocked(emmap_file *file, queue_header_t *header);

/* Whether there is no message. Whoever finds nothing to take keeps nobody from putting something there. False where
 * there is one, or where that takes the lock to tell. */
bool emi_queue_is_surely_empty(emmap_file *file);

/* Messages one behind another. */
typedef struct queue_range {
    uint32_t from;
    uint32_t to;
    uint64_t count;
} queue_range_t;

/* The first messages from header.head on, or the last before header.tail, up to `limit` of them. NULL, or what is
 * wrong, and *offset, where. */
const char *emi_queue_select(const uint8_t *data, queue_header_t header, emmap_queue_direction direction,
                             uint64_t limit, queue_range_t *range, uint32_t *offset);

/* Copies the payloads of a range's messages out, in `direction`. Lengths are checked again: in a mapping they may
 * have changed since they were selected. */
emmap_error emi_queue_deliver(const operation_t *operation, const uint8_t *data, queue_range_t range,
                              emmap_queue_direction direction, const emmap_sink *sink);

/* Whether the messages can be moved: synced ones only where old and new place do not overlap. */
bool emi_queue_may_move(queue_header_t header);

/* Makes the header's size so large that `total` bytes fit behind the tail, by that alone or by a move. Errors: EMMAP_FULL; as
 * emi_queue_move, emi_operation_grow, emi_operation_reserve. */
emmap_error emi_queue_find_room(operation_t *operation, queue_header_t *header, uint64_t total);

/* Moves the messages down to the beginning. `header` is changed with the file's. Errors: as emi_operation_sync, for synced
 * ones; the queue is sound then as well. */
emmap_error emi_queue_move(operation_t *operation, queue_header_t *header);

/* Whether so much room is free beside `live` bytes that it should be given back. */
static inline bool queue_much_is_free(const operation_t *operation, queue_header_t header, uint64_t live)
{
    return header.size > GIVE_BACK_LEAST && live <= header.size / 4 &&
           header.size - live >= GIVE_BACK_LEAST && emi_operation_gives_back(operation);
}

/* Moves the messages to the beginning if they can be moved, and gives the space that is behind them and `spare` more
 * bytes back. `header` is changed with the file's. Errors: as emi_queue_move, emi_size_punch; the queue is sound then as well. */
emmap_error emi_queue_give_back(operation_t *operation, queue_header_t *header, uint64_t spare);

/* Goes on with a slide from where it was left. Errors: EMMAP_CORRUPT. */
emmap_error emi_queue_slide_resume(operation_t *operation, queue_header_t *header);

/* NULL, or what is wrong with a header for a mapping of this size. A slide in progress is not. */
const char *emi_queue_header_wrong(queue_header_t header, uint64_t mapped, uint32_t *offset);

static inline queue_header_t queue_empty_header(uint32_t size)
{
    return (queue_header_t){
        .size = size, .head = QUEUE_HEADER, .tail = QUEUE_HEADER, .next_tail = QUEUE_HEADER};
}

static inline uint32_t queue_usable(const operation_t *operation)
{
    return operation->mapping->size < QUEUE_LIMIT ? (uint32_t)operation->mapping->size : QUEUE_LIMIT;
}

/* Lets an empty queue begin anew where its file does; the next store of the header says so. Not a synced one: the disk
 * may still have the messages that were there, and they must not be overwritten before it has the header. */
static inline bool queue_restart(queue_header_t *header)
{
    if (header->head != header->tail || header->synced)
        return false;
    const bool moves = header->head != QUEUE_HEADER;
    *header = queue_empty_header(header->size);
    return moves;
}

#endif
