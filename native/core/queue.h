/* An operation on a queue, and what its parts need of one another. */
#ifndef EMMAP_CORE_QUEUE_H
#define EMMAP_CORE_QUEUE_H

#include "emmap.h"
#include "operation.h"
#include "queue_layout.h"

typedef struct queue {
    structure base;
    bool blank; /* it was made of a file that this handle had just created */
    /* The message that emmap_queue_pop_begin has given out, while base.taking; under base.threads. */
    uint64_t ticket;
    uint32_t taken;       /* its offset */
    uint32_t taken_total; /* its length */
    uint64_t taken_digest;
    /* Who waits for a message on this handle (queue_wake.h); NULL until somebody does. */
    emmap_file *wake_file;
    _Atomic(word *) own_word;
} queue;

/* Under the lock: loads the header, and finishes what a dead process left half done. Errors: EMMAP_CORRUPT; EAGAIN as
 * structure_wait. */
emmap_error queue_recover(hold *hold, queue_header *header);

/* Begins a change, with a header that holds together: what a dead process left half done is finished.
 * Errors: as hold_begin; EMMAP_CORRUPT. */
emmap_error queue_begin(emmap_file *file, lock_subject subject, hold *hold, queue_header *header);

/* The header without the lock, which one load reads whole. False where that does not tell; for an exclusive handle too,
 * whose lock costs nothing. */
bool queue_glance(emmap_file *file, queue_header *header);

/* Whether there is no message. Whoever finds nothing to take keeps nobody from putting something there. False where
 * there is one, or where that takes the lock to tell. */
bool queue_seen_empty(emmap_file *file);

/* Messages one behind another. */
typedef struct queue_range {
    uint32_t from;
    uint32_t to;
    uint64_t count;
} queue_range;

/* The first messages from header.head on, or the last before header.tail, up to `limit` of them. NULL, or what is
 * wrong, and *offset, where. */
const char *queue_select(const uint8_t *data, queue_header header, emmap_queue_direction direction,
                         uint64_t limit, queue_range *range, uint32_t *offset);

/* Copies the payloads of a range's messages out, in `direction`. Lengths are checked again: in a mapping they may
 * have changed since they were selected. */
emmap_error queue_deliver(const hold *hold, const uint8_t *data, queue_range range,
                          emmap_queue_direction direction, const emmap_sink *sink);

/* Whether the messages can be moved: synced ones only where old and new place do not overlap. */
bool queue_may_move(queue_header header);

/* Makes the header's size so large that `total` bytes fit behind the tail, by that alone or by a move. Errors: EMMAP_FULL; as
 * queue_move, hold_grow, hold_reserve. */
emmap_error queue_find_room(hold *hold, queue_header *header, uint64_t total);

/* Moves the messages down to the beginning. `header` is changed with the file's. Errors: as hold_sync, for synced
 * ones; the queue is sound then as well. */
emmap_error queue_move(hold *hold, queue_header *header);

/* Whether so much room is free beside `live` bytes that it should be given back. */
static inline bool queue_much_is_free(const hold *hold, queue_header header, uint64_t live)
{
    return header.size > GIVE_BACK_LEAST && live <= header.size / 4 &&
           header.size - live >= GIVE_BACK_LEAST && hold_gives_back(hold);
}

/* Moves the messages to the beginning if they can be moved, and gives the space that is behind them and `spare` more
 * bytes back. `header` is changed with the file's. Errors: as queue_move, size_punch; the queue is sound then as well. */
emmap_error queue_give_back(hold *hold, queue_header *header, uint64_t spare);

/* Goes on with a slide from where it was left. Errors: EMMAP_CORRUPT. */
emmap_error queue_slide_resume(hold *hold, queue_header *header);

/* NULL, or what is wrong with a header for a mapping of this size. A slide in progress is not. */
const char *queue_header_wrong(queue_header header, uint64_t mapped, uint32_t *offset);

static inline queue_header queue_empty_header(uint32_t size)
{
    return (queue_header){
        .size = size, .head = QUEUE_HEADER, .tail = QUEUE_HEADER, .next_tail = QUEUE_HEADER};
}

static inline uint32_t queue_usable(const hold *hold)
{
    return hold->mapping->size < QUEUE_LIMIT ? (uint32_t)hold->mapping->size : QUEUE_LIMIT;
}

/* Lets an empty queue begin anew where its file does; the next store of the header says so. Not a synced one: the disk
 * may still have the messages that were there, and they must not be overwritten before it has the header. */
static inline bool queue_restart(queue_header *header)
{
    if (header->head != header->tail || header->synced)
        return false;
    const bool moves = header->head != QUEUE_HEADER;
    *header = queue_empty_header(header->size);
    return moves;
}

#endif
