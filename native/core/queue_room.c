/* Room for a push: by moving the messages to the beginning, by using more of the file, or by a longer file. */
#include "error.h"
#include "pause.h"
#include "queue.h"

/* A move is worth its time if few bytes move or much room is gained. Then its cost is a small multiple of the
 * bytes popped since the last move. If the queue would be full otherwise, it is always worth it. Moving
 * synced messages also waits for the disk three times, which the gain spreads over enough messages. */
#define MOVE_ALWAYS 65536u
#define MOVE_SYNCED 65536u

static bool worth_moving(const operation_t *operation, queue_header_t header)
{
    const uint32_t live = header.tail - header.head, gap = header.head - QUEUE_HEADER;
    if (!emi_queue_may_move(header))
        return false;
    if (header.size == QUEUE_LIMIT ||
        ((operation->file->options.flags & EMMAP_OPEN_FIXED_SIZE) && header.size == queue_usable(operation)))
        return true;
    return header.synced ? gap >= MOVE_SYNCED : live <= MOVE_ALWAYS || gap >= live / 4;
}

/* Uses more of the file behind the queue: space that was given back, or that emmap_resize or a process that
 * died left there. */
static emmap_error use_file(operation_t *operation, queue_header_t *header, uint64_t needed)
{
    const uint32_t all = queue_usable(operation);
    uint64_t size = emi_operation_growth_from(operation, header->size, needed);
    if (size > all)
        size = all;
    if (size <= header->size)
        return EMMAP_OK;
    const emmap_error error = emi_operation_reserve(operation, header->size, size);
    if (!error)
        header->size = (uint32_t)size;
    PAUSE("queue_push_reserved");
    return error;
}

static emmap_error grow(operation_t *operation, queue_header_t *header, uint64_t needed)
{
    uint64_t size = emi_operation_growth(operation, needed);
    if (size > QUEUE_LIMIT)
        size = QUEUE_LIMIT;
    const emmap_error error = emi_operation_grow(operation, size);
    if (!error)
        header->size = queue_usable(operation);
    PAUSE("queue_push_grown");
    return error;
}

/* `error`: the result of growing, if that was tried. */
static emmap_error full(emmap_error error, const queue_header_t *header)
{
    if (error)
        return error;
    return emi_error_set(
        EMMAP_FULL, header->synced ? "synced messages cannot move to a place that overlaps with their own"
                                   : "a queue can't pass 4 GiB - 1");
}

/* Moves the messages to the beginning, and gives space back if the queue is far larger than needed. */
static emmap_error move(operation_t *operation, queue_header_t *header, uint64_t total)
{
    const uint64_t needed = header->tail - header->head + total;
    if (!queue_much_is_free(operation, *header, needed))
        return emi_queue_move(operation, header);
    const emmap_error error = emi_require_blocking();
    if (error)
        return error;
    const queue_header_t before = *header;
    const emmap_error given_back = emi_queue_give_back(operation, header, 2 * needed);
    /* The move has succeeded, even if giving back has not. */
    return header->head < before.head ? EMMAP_OK : given_back;
}

/* Makes the header's size so large that `total` bytes fit behind the tail, by that alone or by a move. */
emmap_error emi_queue_find_room(operation_t *operation, queue_header_t *header, uint64_t total)
{
    const uint64_t live = header->tail - header->head;
    const uint64_t packed = QUEUE_HEADER + live + total;
    if (header->tail + total <= header->size)
        return EMMAP_OK;
    const bool may_move = header->head > QUEUE_HEADER && packed <= QUEUE_LIMIT &&
                          emi_queue_may_move(*header) && emi_operation_try_pop_lock(operation);
    const bool moves = may_move && packed <= header->size && worth_moving(operation, *header);
    /* Switching to a thread that may block, as on BEAM, would cost more than this small move. */
    if (moves && !header->synced && live <= MOVE_ALWAYS)
        return move(operation, header, total);
    emmap_error error = emi_require_blocking();
    if (error)
        return error;
    if (moves)
        return move(operation, header, total);
    error = use_file(operation, header, header->tail + total);
    if (!error && header->tail + total <= header->size)
        return EMMAP_OK;
    if (!error && header->tail + total > QUEUE_LIMIT && !may_move)
        return full(EMMAP_OK, header);
    if (!error)
        error = grow(operation, header, header->tail + total > QUEUE_LIMIT ? packed : header->tail + total);
    if (header->tail + total <= header->size)
        return error;
    /* At the limit or on a full disk even a costly move is right. */
    return may_move && packed <= header->size ? emi_queue_move(operation, header) : full(error, header);
}
