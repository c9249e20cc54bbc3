/* A queue's operations that change it, by one process at a time: opening, pushing, popping, emptying. */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "overlap.h"
#include "pause.h"
#include "queue_era.h"
#include "queue_wake.h"
#include "stale.h"
#include "vectors.h"

#define DEFAULT_SIZE 4096u

const char *queue_message_at(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total)
{
    if (end - at < QUEUE_TOTAL_MIN)
        return "what is left before the tail is smaller than a message can be";
    *total = queue_load32(data + at);
    if (*total < QUEUE_TOTAL_MIN)
        return "a message's length is smaller than a message can be";
    if (*total > end - at)
        return "a message's length passes the tail";
    if (queue_load32(data + at + *total - 4) != *total)
        return "a message's two lengths differ";
    return NULL;
}

const char *queue_message_before(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total)
{
    if (end - at < QUEUE_TOTAL_MIN)
        return "what is left behind the head is smaller than a message can be";
    *total = queue_load32(data + end - 4);
    if (*total < QUEUE_TOTAL_MIN)
        return "a message's length is smaller than a message can be";
    if (*total > end - at)
        return "a message's length passes the head";
    if (queue_load32(data + end - *total) != *total)
        return "a message's two lengths differ";
    return NULL;
}

const char *queue_header_wrong(queue_header header, uint64_t mapped, uint32_t *offset)
{
    *offset = 0;
    if (header.size > mapped)
        return "the queue's size passes the end of the file";
    *offset = 4;
    if (header.head < QUEUE_HEADER)
        return "the head lies within the header";
    if (header.head > header.tail)
        return "the head is beyond the tail";
    *offset = 8;
    if (header.tail > header.size)
        return "the tail is beyond the queue's size";
    *offset = 12;
    if (header.next_tail > header.size)
        return "the next tail is beyond the queue's size";
    if (header.next_tail < header.head)
        return "the next tail is before the head";
    return NULL;
}

static emmap_error recover(hold *hold, queue_header *header)
{
    uint32_t offset;
    *header = queue_header_load(hold->mapping->data);
    emmap_error error = hold_reach(hold, header->size);
    if (error)
        return error;
    const char *const wrong = queue_header_wrong(*header, hold->mapping->size, &offset);
    if (wrong)
        return hold_corrupt(hold, offset, wrong);
    if (header->next_tail < header->tail)
        return (error = structure_wait()) ? error : queue_slide_resume(hold, header);
    /* A writer that reserved and died; the next store of the header says so. */
    header->next_tail = header->tail;
    return EMMAP_OK;
}

emmap_error queue_begin(emmap_file *file, lock_subject subject, hold *hold, queue_header *header)
{
    emmap_error error = hold_begin(file, STRUCTURE_QUEUE, subject, hold);
    if (error)
        return error;
    error = recover(hold, header);
    return error ? hold_end(hold, error) : EMMAP_OK;
}

/* ---- Open ---- */

static queue_header empty_header(uint32_t size)
{
    return (queue_header){
        .size = size, .head = QUEUE_HEADER, .tail = QUEUE_HEADER, .next_tail = QUEUE_HEADER};
}

static uint32_t usable(const hold *hold)
{
    return hold->mapping->size < QUEUE_LIMIT ? (uint32_t)hold->mapping->size : QUEUE_LIMIT;
}

/* A file of zeros is one whose creator has not come to the header, or died before. */
static emmap_error create(const queue *self, hold *hold)
{
    const bool zeros =
        self->blank || (hold->mapping->size <= QUEUE_LIMIT && hold_zeros(hold, 0, hold->mapping->size));
    if (!hold->locked || !zeros)
        return hold_corrupt(hold, 0, "not a queue: its size is 0");
    PAUSE("queue_create_begin");
    queue_header_store(hold->mapping->data, empty_header(usable(hold)));
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
    const emmap_error error = recover(hold, &header);
    if (error)
        return error;
    const bool torn = queue_header_load(hold->mapping->data).next_tail != header.next_tail;
    /* Somebody made the file longer. (A synced header waits for a push, which brings the file's end to disk first.) Much
     * that is behind it is rather what was given back, and comes into use as it is needed. */
    const uint32_t all = usable(hold);
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

/* ---- Push ---- */

/* What is pushed: one message in pieces, or a message a piece. */
typedef struct batch {
    const struct iovec *list;
    size_t count;
    bool one;
} batch;

/* Errors: EINVAL; EFBIG where no queue could hold it. */
static emmap_error batch_total(const batch *self, uint64_t *total)
{
    uint64_t sum = 0;
    if (!vectors_total(self->list, self->count, &sum))
        return error_set(EFBIG, "more than a queue can hold");
    *total = queue_total(sum);
    bool empty = sum == 0;
    if (!self->one) {
        *total = 0;
        empty = false;
        for (size_t i = 0; i < self->count; i++) {
            empty |= self->list[i].iov_len == 0;
            *total += queue_total(self->list[i].iov_len);
        }
    }
    if (empty)
        return error_set(EINVAL, "a message has a byte at least");
    return *total > QUEUE_LIMIT - QUEUE_HEADER ? error_set(EFBIG, "more than a queue can hold") : EMMAP_OK;
}

/* Writes a message behind the tail, where nobody looks, and returns its end. */
static uint8_t *write_message(uint8_t *place, const struct iovec *list, size_t count)
{
    uint64_t length = 0;
    vectors_total(list, count, &length);
    const uint32_t total = (uint32_t)queue_total(length);
    queue_store32(place, total);
    PAUSE("queue_push_length");
    vectors from = {.next = list};
    vectors_gather(place + 4, &from, (size_t)length);
    PAUSE("queue_push_payload");
    memset(place + 4 + length, 0, total - QUEUE_FRAME - length);
    queue_store32(place + total - 4, total);
    return place + total;
}

static void write_batch(uint8_t *place, const batch *self)
{
    if (self->one)
        write_message(place, self->list, self->count);
    else
        for (size_t i = 0; i < self->count; i++)
            place = write_message(place, &self->list[i], 1);
}

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
        ((hold->file->options.flags & EMMAP_OPEN_FIXED_SIZE) && header.size == usable(hold)))
        return true;
    return header.synced ? gap >= MOVE_SYNCED : live <= MOVE_ALWAYS || gap >= live / 4;
}

/* Takes what the file has behind the queue's size into use: room that was given back, or that emmap_resize or a grower
 * who died has left. */
static emmap_error use_file(hold *hold, queue_header *header, uint64_t needed)
{
    const uint32_t all = usable(hold);
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
        header->size = usable(hold);
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
static emmap_error find_room(hold *hold, queue_header *header, uint64_t total)
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

/*
 * Makes room for `total` bytes behind the tail. Only messages that are taken out go before the head, so whoever
 * moves them needs LOCK_TAKING: a message that emmap_queue_pop_begin has given out stays where it is.
 */
static emmap_error make_room(hold *hold, queue_header *header, uint64_t total)
{
    const uint32_t size = header->size;
    /* What nearly every push finds. */
    if (header->tail + total <= size && !header->unsettled)
        return EMMAP_OK;
    const emmap_error error = find_room(hold, header, total);
    /* A header must not be on disk before the end of the file that it speaks of. */
    if (error || !(header->unsettled || (header->synced && header->size != size)))
        return error;
    const emmap_error unsynced = hold_sync(hold);
    header->unsettled &= unsynced != EMMAP_OK;
    return unsynced;
}

/* Lets an empty queue begin anew where its file does; the next store of the header says so. Not a synced one: the disk
 * may still have the messages that were there, and they must not be overwritten before it has the header. */
static bool restart(queue_header *header)
{
    if (header->head != header->tail || header->synced)
        return false;
    const bool moves = header->head != QUEUE_HEADER;
    *header = empty_header(header->size);
    return moves;
}

/* The same, and stores the header. `before` is what it was with the messages that are gone now. */
static void restart_now(uint8_t *data, queue_header before, queue_header *header)
{
    restart(header);
    const bool begins_anew = !header->synced && before.tail != QUEUE_HEADER;
    if (begins_anew)
        queue_era_before(data, before, *header);
    queue_header_store(data, *header);
    if (begins_anew)
        queue_era_after(data, before, *header);
}

/* Whether bytes of the queue's own file are pushed. */
static bool is_own(const hold *hold, const batch *pushed)
{
    const emmap_mapping *const mapping = hold->mapping;
    if (__atomic_load_n(&hold->file->control.aliases, __ATOMIC_RELAXED) > 0)
        return overlap_anywhere(hold->file, pushed->list, pushed->count);
    for (size_t i = 0; i < pushed->count; i++)
        if ((uintptr_t)pushed->list[i].iov_base - (uintptr_t)mapping->data < mapping->size)
            return true;
    return false;
}

/* Room is made by moving messages, and a push writes where others were, so that bytes of the file may change before they
 * are copied: a copy of all that is pushed, in one allocation that is to be freed. */
static emmap_error detach(const batch *from, batch *copy, void **memory)
{
    uint64_t length = 0;
    vectors_total(from->list, from->count, &length);
    *copy = *from;
    *memory = malloc(from->count * sizeof *from->list + (size_t)length);
    if (!*memory)
        return error_set(ENOMEM, "no memory for messages that are bytes of their own queue");
    struct iovec *const list = *memory;
    uint8_t *place = (uint8_t *)(list + from->count);
    for (size_t i = 0; i < from->count; i++) {
        list[i] = (struct iovec){.iov_base = place, .iov_len = from->list[i].iov_len};
        if (list[i].iov_len > 0)
            memcpy(place, from->list[i].iov_base, list[i].iov_len);
        place += list[i].iov_len;
    }
    copy->list = list;
    return EMMAP_OK;
}

static emmap_error push(emmap_file *file, const batch *batch)
{
    uint64_t total = 0;
    emmap_error error = batch_total(batch, &total);
    if (error)
        return error;
    hold hold;
    queue_header header;
    error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error)
        return error;
    PAUSE("queue_push_begin");
    const struct batch *pushed = batch;
    struct batch copy;
    void *memory = NULL;
    if (is_own(&hold, batch))
        error = detach(batch, &copy, &memory);
    if (memory)
        pushed = &copy;
    /* Places in what was there mean nothing any more. */
    const bool begins_anew = restart(&header);
    if (!error)
        error = make_room(&hold, &header, total);
    if (!error) {
        write_batch(hold.mapping->data + header.tail, pushed);
        PAUSE("queue_push_copied");
        header.tail += (uint32_t)total;
        header.next_tail = header.tail;
        if (begins_anew)
            queue_era_begin(hold.mapping->data, header);
        PAUSE("queue_restart");
        queue_header_store(hold.mapping->data, header);
        PAUSE("queue_push_done");
    }
    free(memory);
    if (!error)
        hold.waited = queue_waited(&hold);
    error = hold_end(&hold, error);
    if (hold.is_waited)
        queue_call(file);
    return error;
}

emmap_error emmap_queue_push(emmap_file *file, const struct iovec *vectors, size_t count)
{
    return push(file, &(batch){.list = vectors, .count = count, .one = true});
}

emmap_error emmap_queue_push_many(emmap_file *file, const struct iovec *messages, size_t count)
{
    return push(file, &(batch){.list = messages, .count = count, .one = false});
}

/* ---- Pop ---- */

/* hold_end, after messages were taken out. */
static emmap_error taken_out(hold *hold, emmap_error error)
{
    emmap_file *const file = hold->file;
    if (!error)
        hold->waited = queue_waited(hold);
    error = hold_end(hold, error);
    if (hold->is_waited)
        queue_call_next(file);
    return error;
}

/* Whether a queue of this size gives space back when it becomes empty. */
static bool empties(const hold *hold, const queue_header *header)
{
    return header->size > GIVE_BACK_LEAST && queue_much_is_free(hold, *header, 0);
}

/* Before the messages up to `head` go away: where space is to be given back then, the thread has to be one that may
 * wait. Errors: EAGAIN as structure_wait. */
static emmap_error may_advance(const hold *hold, const queue_header *header, uint32_t head)
{
    return head == header->tail && empties(hold, header) ? structure_wait() : EMMAP_OK;
}

/* Takes the messages before `head` out. */
static void advance(hold *hold, queue_header header, uint32_t head)
{
    header.head = head;
    queue_header_store(hold->mapping->data, header);
}

/* After that: an empty queue that is large gives its space back. Whether it can is another matter than the messages. */
static void advanced(hold *hold, const queue_header *before, uint32_t head)
{
    if (head != before->tail || !empties(hold, before))
        return;
    queue_header header = queue_header_load(hold->mapping->data);
    (void)queue_give_back(hold, &header, 0);
}

static emmap_error pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    *count = 0;
    if (limit > INT64_MAX)
        return error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    if (limit > 0 && queue_seen_empty(file))
        return EMMAP_EOF;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    queue_range range;
    uint32_t offset;
    const uint8_t *const data = hold.mapping->data;
    const char *const wrong = queue_select(data, header, EMMAP_QUEUE_FORWARD, limit, &range, &offset);
    if (wrong)
        error = hold_corrupt(&hold, offset, wrong);
    else if (range.count == 0)
        error = limit == 0 ? EMMAP_OK : EMMAP_EOF;
    else
        error = may_advance(&hold, &header, range.to);
    if (!error && range.count > 0)
        error = queue_deliver(&hold, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = file_check(file);
    if (!error && range.count > 0) {
        PAUSE("queue_pop_copied");
        advance(&hold, header, range.to);
        PAUSE("queue_pop_done");
        advanced(&hold, &header, range.to);
    }
    error = taken_out(&hold, error);
    if (!error)
        *count = range.count;
    return error;
}

emmap_error emmap_queue_pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count)
{
    emmap_error error;
    do
        error = pop_many(file, limit, sink, count);
    while (error == EMMAP_EOF && stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_pop(emmap_file *file, const emmap_sink *sink)
{
    uint64_t count;
    return emmap_queue_pop_many(file, 1, sink, &count);
}

/* Where the first `count` messages end, if they are these. Errors: ESTALE, EMMAP_CORRUPT. */
static emmap_error find_same(const hold *hold, queue_header header, const struct iovec *messages,
                             size_t count, uint32_t *end)
{
    const uint8_t *const data = hold->mapping->data;
    *end = header.head;
    for (size_t i = 0; i < count; i++) {
        uint32_t total = 0;
        const char *const wrong =
            *end == header.tail ? NULL : queue_message_at(data, *end, header.tail, &total);
        if (wrong)
            return hold_corrupt(hold, *end, wrong);
        if (total == 0 || messages[i].iov_len != total - QUEUE_FRAME ||
            memcmp(messages[i].iov_base, data + *end + 4, messages[i].iov_len) != 0)
            return error_set(ESTALE, "other messages are the first ones by now");
        *end += total;
    }
    return EMMAP_OK;
}

/* `next`: where the message goes that is the first one then, if there is one and it takes it; or NULL. */
static emmap_error remove_these(emmap_file *file, const struct iovec *messages, size_t count,
                                const emmap_sink *next)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    uint32_t end;
    error = find_same(&hold, header, messages, count, &end);
    if (!error && count > 0)
        error = may_advance(&hold, &header, end);
    if (!error)
        error = file_check(file);
    if (!error && count > 0) {
        PAUSE("queue_pop_copied");
        advance(&hold, header, end);
        PAUSE("queue_pop_done");
        const uint8_t *const data = hold.mapping->data;
        uint32_t total = 0;
        if (next && end != header.tail && !queue_message_at(data, end, header.tail, &total)) {
            void *const place = next->allocate(next->context, total - QUEUE_FRAME);
            if (place)
                memcpy(place, data + end + 4, total - QUEUE_FRAME);
        }
        advanced(&hold, &header, end);
    }
    return taken_out(&hold, error);
}

emmap_error emmap_queue_remove(emmap_file *file, const struct iovec *messages, size_t count)
{
    return remove_these(file, messages, count, NULL);
}

emmap_error emmap_queue_take(emmap_file *file, const struct iovec *message, const emmap_sink *next)
{
    return remove_these(file, message, 1, next);
}

/* ---- Taking the first message out in two steps ---- */

static emmap_error pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    *ticket = 0;
    if (queue_seen_empty(file))
        return EMMAP_EOF;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    queue *const self = (queue *)hold.structure;
    queue_range range;
    uint32_t offset;
    const uint8_t *const data = hold.mapping->data;
    const char *const wrong = queue_select(data, header, EMMAP_QUEUE_FORWARD, 1, &range, &offset);
    if (wrong)
        error = hold_corrupt(&hold, offset, wrong);
    else if (range.count == 0)
        error = EMMAP_EOF;
    else
        error = queue_deliver(&hold, data, range, EMMAP_QUEUE_FORWARD, sink);
    if (!error)
        error = file_check(file);
    if (!error) {
        self->taken = range.from;
        self->taken_total = range.to - range.from;
        self->taken_digest = queue_era_digest(data + range.from, self->taken_total);
        *ticket = ++self->ticket;
        hold_keep_taking(&hold);
    }
    return hold_end(&hold, error);
}

emmap_error emmap_queue_pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket)
{
    emmap_error error;
    do
        error = pop_begin(file, sink, ticket);
    while (error == EMMAP_EOF && stale_went_over(file, &error));
    return error;
}

/* Ends what `ticket` stands for. Errors: EINVAL where that has ended. */
static emmap_error put_back(emmap_file *file, uint64_t ticket)
{
    structure *there;
    emmap_error error = structure_of(file, STRUCTURE_QUEUE, &there);
    if (error)
        return error;
    const queue *const self = (const queue *)there;
    /* Its holder may be waiting for others no longer than it may itself. */
    patience patience = patience_of(&(const emmap_options){.lock_timeout = EMMAP_NO_LIMIT});
    error = structure_lock(there, &patience);
    if (error)
        return error;
    descriptor *descriptor;
    error = file_descriptor(file, &descriptor);
    if (!error) {
        if (there->taking && self->ticket == ticket)
            structure_taken(there, descriptor);
        else
            error = error_set(EINVAL, "no message is taken out under this ticket");
        descriptor_release(descriptor);
    }
    thread_lock_give(&there->threads);
    return error;
}

/* Removes the message, under LOCK_STRUCTURE. */
static emmap_error remove_taken(hold *hold, queue_header header, uint64_t ticket)
{
    const queue *const self = (const queue *)hold->structure;
    if (!hold->structure->taking || self->ticket != ticket)
        return error_set(EINVAL, "no message is taken out under this ticket");
    uint32_t total;
    if (header.head != self->taken ||
        queue_message_at(hold->mapping->data, header.head, header.tail, &total) != NULL ||
        total != self->taken_total ||
        queue_era_digest(hold->mapping->data + header.head, total) != self->taken_digest)
        return error_set(ESTALE, "the message was removed by somebody who takes no lock");
    const emmap_error error = may_advance(hold, &header, header.head + total);
    if (error)
        return error;
    PAUSE("queue_commit_begin");
    advance(hold, header, header.head + total);
    PAUSE("queue_commit_done");
    advanced(hold, &header, header.head + total);
    return EMMAP_OK;
}

emmap_error emmap_queue_pop_commit(emmap_file *file, uint64_t ticket)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error == EAGAIN || error == ETIMEDOUT) /* not tried yet */
        return error;
    /* Whatever comes of it, the next one may have the head. */
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        put_back(file, ticket);
        error_restore(&failure);
        return error;
    }
    error = remove_taken(&hold, header, ticket);
    if (error == EAGAIN)
        return hold_end(&hold, error);
    if (hold.structure->taking && ((const queue *)hold.structure)->ticket == ticket)
        structure_taken(hold.structure, hold.descriptor);
    return taken_out(&hold, error);
}

emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket)
{
    const emmap_error error = put_back(file, ticket);
    if (!error)
        queue_call_next(file); /* who waited while the message was taken out */
    return error;
}

/* ---- Emptying ---- */

emmap_error emmap_queue_purge(emmap_file *file)
{
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    if (error)
        return error;
    error = may_advance(&hold, &header, header.tail);
    if (error)
        return hold_end(&hold, error);
    PAUSE("queue_purge_begin");
    const queue_header before = header;
    header.head = header.tail;
    restart_now(hold.mapping->data, before, &header);
    PAUSE("queue_purge_done");
    advanced(&hold, &header, header.tail);
    return hold_end(&hold, EMMAP_OK);
}

emmap_error emmap_queue_reset(emmap_file *file, bool *empty)
{
    *empty = false;
    hold hold;
    queue_header header;
    emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &header);
    if (error)
        return error;
    if (header.head == header.tail)
        error = may_advance(&hold, &header, header.tail);
    if (error)
        return hold_end(&hold, error);
    *empty = header.head == header.tail;
    if (*empty) {
        PAUSE("queue_reset_begin");
        restart_now(hold.mapping->data, header, &header);
        PAUSE("queue_reset_done");
        advanced(&hold, &header, header.tail);
    }
    return hold_end(&hold, EMMAP_OK);
}

/* The empty header that takes the place of `before`. Errors: EAGAIN as structure_wait. */
static emmap_error erased(const hold *hold, queue_header before, queue_header *after)
{
    uint32_t offset;
    const bool wrong = queue_header_wrong(before, hold->mapping->size, &offset) != NULL;
    /* Damage hides how far space is reserved, and whether the queue was synced. */
    *after = empty_header(wrong ? usable(hold) : before.size);
    after->synced = after->unsettled = before.synced || wrong;
    const emmap_error error =
        wrong ? hold_reserve(hold, QUEUE_HEADER, after->size) : may_advance(hold, &before, before.tail);
    if (error && error != EAGAIN)
        after->size = QUEUE_HEADER; /* use_file finds out how much there is */
    return error == EAGAIN ? error : EMMAP_OK;
}

emmap_error emmap_queue_erase(emmap_file *file)
{
    hold hold;
    emmap_error error = hold_begin(file, STRUCTURE_QUEUE, LOCK_STRUCTURE_AND_TAKING, &hold);
    if (error)
        return error;
    const queue_header before = queue_header_load(hold.mapping->data);
    queue_header after;
    error = erased(&hold, before, &after);
    uint32_t offset;
    const bool damaged = queue_header_wrong(before, hold.mapping->size, &offset) != NULL;
    /* What a damaged header says is in the way of nothing. */
    const queue_header in_use = damaged ? (queue_header){0} : before;
    /* As make_room. */
    if (!error && after.synced)
        error = after.size == before.size ? structure_wait() : hold_sync(&hold);
    if (!error) {
        PAUSE("queue_erase_begin");
        if (!after.synced)
            queue_era_before(hold.mapping->data, in_use, after);
        queue_header_store(hold.mapping->data, after);
        PAUSE("queue_erase_done");
    }
    if (!error && after.synced) {
        error = hold_sync(&hold);
        after.unsettled = false;
        after.synced = before.synced;
        if (!error)
            queue_header_store(hold.mapping->data, after);
    }
    /* The disk has the empty queue, or need not. */
    if (!error)
        queue_era_after(hold.mapping->data, after.synced || damaged ? (queue_header){0} : before, after);
    if (!error && empties(&hold, &after))
        (void)queue_give_back(&hold, &after, 0);
    return hold_end(&hold, error);
}
