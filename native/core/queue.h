/* An operation on a queue, and the functions that its files share. */
#ifndef EMMAP_CORE_QUEUE_H
#define EMMAP_CORE_QUEUE_H

#include "emmap.h"
#include "operation.h"
#include "queue_layout.h"

typedef struct queue {
    container_t base;
    bool blank; /* this handle has just created the file */
    /* The message reserved by emmap_queue_pop_begin, valid while base.pop_locked is set; under base.threads. */
    uint64_t ticket;
    uint32_t reserved_at;    /* its offset */
    uint32_t reserved_total; /* its length */
    uint64_t reserved_digest;
    /* For waits for a message on this handle (queue_wake.h); NULL until the first one. */
    emmap_file *wake_file;
    _Atomic(word_t *) own_word;
    /* Messages in hand (taken.h). NULL: none that this handle knows of. Changes under base.threads. */
    _Atomic(struct taken *) taken;
    struct taken *taken_before;        /* those of files that the handle used before */
    _Atomic uint64_t taken_agreed;     /* as live_state_t has it, for a handle without a live folder */
    _Atomic uint64_t taken_looked_for; /* when such a handle last looked for the file, as emi_stale_now */
} queue_t;

/* Under the lock: loads the header, and completes the change of a process that died. Errors: EMMAP_CORRUPT;
 * EAGAIN as emi_require_blocking. */
emmap_error emi_queue_recover(operation_t *operation, queue_header_t *header);

/* Begins a change, with a sound header. Completes the change of a process that died. Errors: as
 * emi_operation_begin; EMMAP_CORRUPT. */
emmap_error emi_queue_begin(emmap_file *file, lock_subject_t subject, operation_t *operation,
                            queue_header_t *header);

/* Reads the header without the lock, in one 16-byte load. False: not trustworthy (no SSE2, read-only handle,
 * change in progress, bad header), or the handle is exclusive. Use emi_queue_begin then. */
bool emi_queue_read_header_unlocked(emmap_file *file, queue_header_t *header);

/* True if nothing can be popped, judged without the lock, so that polling consumers never delay producers. False:
 * there is a message, or only the lock can tell. The second one says it of the queue's file alone, without
 * messages that were released. */
bool emi_queue_is_surely_empty(emmap_file *file);
bool emi_queue_file_is_surely_empty(emmap_file *file);

/* The number of messages in the queue's file, without released ones. As emmap_queue_length. */
emmap_error emi_queue_length_of_file(emmap_file *file, uint64_t *length);

/* Messages that follow one another. */
typedef struct queue_range {
    uint32_t from;
    uint32_t to;
    uint64_t count;
} queue_range_t;

/* Selects up to `limit` messages, the first ones from header.head on or the last ones before header.tail.
 * Returns NULL, or what is wrong; *offset tells where. */
const char *emi_queue_select(const uint8_t *data, queue_header_t header, emmap_queue_direction direction,
                             uint64_t limit, queue_range_t *range, uint32_t *offset);

/* Copies the payloads of a range's messages out, in `direction`. Checks the lengths again, which may have
 * changed in the mapping since. */
emmap_error emi_queue_deliver(const operation_t *operation, const uint8_t *data, queue_range_t range,
                              emmap_queue_direction direction, const emmap_sink *sink);

/* Ends an operation that may have removed messages, and wakes the next waiter. */
emmap_error emi_queue_end_removal(operation_t *operation, emmap_error error);

/* Whether the messages may move. Synced ones may only move to where they do not overlap. */
bool emi_queue_may_move(queue_header_t header);

/* Makes room for `total` bytes behind the tail, by a move or by a larger size. Changes `header`; the caller
 * stores it. Errors: EMMAP_FULL; as emi_queue_move, emi_operation_grow, emi_operation_reserve. */
emmap_error emi_queue_find_room(operation_t *operation, queue_header_t *header, uint64_t total);

/* Moves the messages to the beginning. Changes `header` along with the file's. Errors: as emi_operation_sync
 * for synced messages; the queue is sound then, too. */
emmap_error emi_queue_move(operation_t *operation, queue_header_t *header);

/* Whether so much is free besides `live` bytes that it should be given back. */
static inline bool queue_much_is_free(const operation_t *operation, queue_header_t header, uint64_t live)
{
    return header.size > GIVE_BACK_LEAST && live <= header.size / 4 &&
           header.size - live >= GIVE_BACK_LEAST && emi_operation_gives_back(operation);
}

/* Moves the messages to the beginning, if they may move, and gives the space behind them back, except for
 * `spare` bytes. Changes `header` along with the file's. Errors: as emi_queue_move, emi_size_punch; the queue
 * is sound then, too. */
emmap_error emi_queue_give_back(operation_t *operation, queue_header_t *header, uint64_t spare);

/* Continues a slide that was interrupted. Errors: EMMAP_CORRUPT. */
emmap_error emi_queue_slide_resume(operation_t *operation, queue_header_t *header);

/* Notes the number of a numbered push, and takes the mark out of the header (relayed.c). If the number can't be noted, the mark goes
 * all the same: the queue must go on. Errors: EAGAIN as emi_require_blocking, ENOMEM and the like: the mark stays; those of a sync, of
 * open and pwrite: it is gone. */
emmap_error emi_queue_settle(operation_t *operation, queue_header_t *header);

/* Returns NULL, or what is wrong with a header for a mapping of this size. A slide in progress is not wrong. */
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

/* Makes an empty queue begin at the start of its file again; the next store of the header writes it. A synced
 * queue does not: the disk may still have the header with the old messages, which must not be overwritten. */
static inline bool queue_restart(queue_header_t *header)
{
    if (header->head != header->tail || header->synced)
        return false;
    const bool moves = header->head != QUEUE_HEADER;
    *header = queue_empty_header(header->size);
    return moves;
}

#endif
