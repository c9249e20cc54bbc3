/* Room for a push: by moving the messages to the beginning, by using more of the file, or by a longer file. */
#include "error.h"
#include "pause.h"
#include "queue.h"

/* Moving is worth its time where few bytes move or many are gained, so that what it costs is a small multiple of
 * what was popped since the last time. Where the alternative is to be full it is always worth it. Synced messages
 * cost three waits for the disk as well, whose price such a gain spreads over enough messages. */
#define MOVE_ALWAYS 65536u
#define MOVE_SYNCED 65536u

static bool worth_moving(const hold *hold, queue_header header)
{
    const uint32_t live = header.tail - header.head, gap = header.head - QUEUE_HEADER;
    if (!queue_may_move(header))
        return false;
    if (header.size == QUEUE_LIMIT ||
        ((hold->file->options.flags & EMMAP_OPEN_FIXED_SIZE) && header.size == queue_usable(hold)))
        return true;
    return header.synced ? gap >= MOVE_SYNCED : live <= MOVE_ALWAYS || gap >= live / 4;
}

/* Takes what the file has behind the queue's size into use: room that was given back, or that emmap_resize or a grower
 * who died has left. */
static emmap_error use_file(hold *hold, queue_header *header, uint64_t needed)
{
    const uint32_t all = queue_usable(hold);
    uint64_t size = hold_growth_from(hold, header->size, needed);
    if (size > all)
        size = all;
    if (size <= header->size)
        return EMMAP_OK;
    const emmap_error error = hold_reserve(hold, header->size, size);
    if (!error)
        header->size = (uint32_t)size;
    PAUSE("queue_push_reserved");
    return error;
}

static emmap_error grow(hold *hold, queue_header *header, uint64_t needed)
{
    uint64_t size = hold_growth(hold, needed);
    if (size > QUEUE_LIMIT)
        size = QUEUE_LIMIT;
    const emmap_error error = hold_grow(hold, size);
    if (!error)
        header->size = queue_usable(hold);
    PAUSE("queue_push_grown");
    return error;
}

/* `error` is what came of growing, if it was tried. */
static emmap_error full(emmap_error error, const queue_header *header)
{
    if (error)
        return error;
    return error_set(EMMAP_FULL, header->synced ? "synced messages can't be moved to where they overlap"
                                                : "a queue can't pass 4 GiB - 1");
}

/* Moves the messages to the beginning, and gives space back where far less is needed than there is. */
static emmap_error move(hold *hold, queue_header *header, uint64_t total)
{
    const uint64_t needed = header->tail - header->head + total;
    if (!queue_much_is_free(hold, *header, needed))
        return queue_move(hold, header);
    const emmap_error error = structure_wait();
    if (error)
        return error;
    const queue_header before = *header;
    const emmap_error given_back = queue_give_back(hold, header, 2 * needed);
    /* Moved all the same. */
    return header->head < before.head ? EMMAP_OK : given_back;
}

/* Makes the header's size so large that `total` bytes fit behind the tail, by that alone or by a move. */
emmap_error queue_find_room(hold *hold, queue_header *header, uint64_t total)
{
    const uint64_t live = header->tail - header->head;
    const uint64_t packed = QUEUE_HEADER + live + total;
    if (header->tail + total <= header->size)
        return EMMAP_OK;
    const bool may_move = header->head > QUEUE_HEADER && packed <= QUEUE_LIMIT && queue_may_move(*header) &&
                          hold_try_taking(hold);
    const bool moves = may_move && packed <= header->size && worth_moving(hold, *header);
    /* A thread that may wait, on BEAM another one, costs more than to move this little. */
    if (moves && !header->synced && live <= MOVE_ALWAYS)
        return move(hold, header, total);
    emmap_error error = structure_wait();
    if (error)
        return error;
    if (moves)
        return move(hold, header, total);
    error = use_file(hold, header, header->tail + total);
    if (!error && header->tail + total <= header->size)
        return EMMAP_OK;
    if (!error && header->tail + total > QUEUE_LIMIT && !may_move)
        return full(EMMAP_OK, header);
    if (!error)
        error = grow(hold, header, header->tail + total > QUEUE_LIMIT ? packed : header->tail + total);
    if (header->tail + total <= header->size)
        return error;
    /* At the limit, or on a full disk, what was not worth its time before is. */
    return may_move && packed <= header->size ? queue_move(hold, header) : full(error, header);
}
