/*
 * Looking at a queue. A handle that may write looks under the lock. One that may not takes none: it copies what it
 * wants, and then looks whether the header still speaks of those messages and the bytes are still the same ones.
 * (Between two looks at one header the queue may have been emptied and filled again to the same offsets, the copy
 * taken half before and half after. Then the bytes would differ the second time, or the header in between.)
 */
#define _GNU_SOURCE
#include "queue.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "queue_era.h"
#include "stale.h"

/* How often a look without a lock is repeated while others change the queue under it: at once in the beginning,
 * then after a pause, so that a slide has time to end. */
#define LOOKS 200
#define LOOKS_AT_ONCE 20
#define PAUSE_NANOSECONDS 50000

const char *queue_select(const uint8_t *data, queue_header header, emmap_queue_direction direction,
                         uint64_t limit, queue_range *range, uint32_t *offset)
{
    const bool forward = direction == EMMAP_QUEUE_FORWARD;
    uint32_t head = header.head, tail = header.tail, total = 0;
    uint64_t count = 0;
    const char *wrong = NULL;
    while (count < limit && head < tail && !wrong) {
        wrong = forward ? queue_message_at(data, head, tail, &total)
                        : queue_message_before(data, head, tail, &total);
        if (wrong)
            break;
        if (forward)
            head += total;
        else
            tail -= total;
        count++;
    }
    *offset = forward ? head : tail;
    *range = forward ? (queue_range){.from = header.head, .to = head, .count = count}
                     : (queue_range){.from = tail, .to = header.tail, .count = count};
    return wrong;
}

emmap_error queue_deliver(const hold *hold, const uint8_t *data, queue_range range,
                          emmap_queue_direction direction, const emmap_sink *sink)
{
    const bool forward = direction == EMMAP_QUEUE_FORWARD;
    uint32_t from = range.from, to = range.to;
    for (uint64_t i = 0; i < range.count; i++) {
        uint32_t total = 0;
        const char *const wrong =
            forward ? queue_message_at(data, from, to, &total) : queue_message_before(data, from, to, &total);
        if (wrong)
            return hold_corrupt(hold, forward ? from : to, wrong);
        if (!forward)
            to -= total;
        void *const place = sink->allocate(sink->context, total - QUEUE_FRAME);
        if (!place)
            return error_set(ENOMEM, "no memory for a message");
        memcpy(place, data + (forward ? from : to) + 4, total - QUEUE_FRAME);
        if (forward)
            from += total;
    }
    return EMMAP_OK;
}

/* What is asked for, and what came of it. */
typedef struct look {
    emmap_queue_direction direction;
    uint64_t limit;
    uint64_t place; /* where to begin: queue_era_place, or 0 for the end that the direction comes from */
    bool goes_on;   /* and whether the next step is to be told where, */
    uint64_t next;  /* here */
    const emmap_sink *sink; /* NULL: the messages are only counted */
    queue_range range;
    queue_header header;
    const char *wrong; /* what the last look without the lock found, */
    uint32_t wrong_at; /* where, */
    unsigned agreed;   /* and how many have found the same */
} look;

/* Narrows the header to what is to be walked. False where `place` is of another era, or no place at all. */
static bool narrow(const uint8_t *data, const look *self, queue_header *header)
{
    const bool forward = self->direction == EMMAP_QUEUE_FORWARD;
    if (self->place == 0)
        return true;
    if (!queue_era_is_place(self->place, forward))
        return false;
    if (header->head == header->tail)
        return true;
    const uint32_t place = queue_era_offset(self->place);
    /* What was popped since then is passed over; what is there was all pushed behind it, in whatever era. */
    if (place <= header->head) {
        if (!forward)
            header->tail = header->head;
        return true;
    }
    uint32_t before, behind = 0;
    if (place > header->tail || queue_message_before(data, header->head, place, &before) != NULL ||
        (place < header->tail && queue_message_at(data, place, header->tail, &behind) != NULL))
        return false;
    /* A walk backward has read the message behind the place. */
    const uint32_t total = forward ? before : behind;
    if (total == 0 || !queue_era_is_same(data, *header, self->place, forward ? place - before : place, total))
        return false;
    if (forward)
        header->head = place;
    else
        header->tail = place;
    return true;
}

/* Where the next step goes on, of a range that is not empty. */
static void note_place(const uint8_t *data, look *self)
{
    const queue_range range = self->range;
    uint32_t total = 0;
    if (range.count == 0 || !self->goes_on)
        return;
    const bool forward = self->direction == EMMAP_QUEUE_FORWARD;
    /* Looked at a moment ago, but without the lock it may have changed: then the look is repeated. */
    if ((forward ? queue_message_before(data, range.from, range.to, &total)
                 : queue_message_at(data, range.from, range.to, &total)) != NULL)
        total = 0;
    self->next = queue_era_place(data, self->header, forward ? range.to : range.from,
                                 forward ? range.to - total : range.from, total);
}

static const char place_lost[] =
    "the place is not one that a step answered, or the messages have moved since";

static emmap_error look_locked(hold *hold, look *self)
{
    const uint8_t *const data = hold->mapping->data;
    queue_header header = self->header;
    if (!narrow(data, self, &header))
        return error_set(ESTALE, place_lost);
    uint32_t offset;
    const char *const wrong = queue_select(data, header, self->direction, self->limit, &self->range, &offset);
    if (wrong)
        return hold_corrupt(hold, offset, wrong);
    note_place(data, self);
    return self->sink ? queue_deliver(hold, data, self->range, self->direction, self->sink) : EMMAP_OK;
}

/* Whether the messages that `header` speaks of are there and have not moved: others may be behind them. */
static bool still(const uint8_t *data, queue_header header)
{
    const queue_header now = queue_header_load(data);
    return now.head == header.head && now.tail >= header.tail && now.next_tail >= now.tail;
}

typedef enum verdict { SETTLED, AGAIN } verdict;

static bool is_messages(const uint8_t *copy, uint32_t length, uint64_t count)
{
    uint32_t at = 0;
    for (; count > 0; count--) {
        uint32_t total = 0;
        if (queue_message_at(copy, at, length, &total) != NULL)
            return false;
        at += total;
    }
    return at == length;
}

/* Copies the range and finds out whether the copy is of one piece. *error is the answer where it is. */
static verdict copy_unlocked(hold *hold, look *self, emmap_error *error)
{
    const uint8_t *const data = hold->mapping->data;
    const queue_range range = self->range;
    const size_t length = range.to - range.from;
    uint8_t *const copy = malloc(length);
    if (!copy) {
        *error = error_set(ENOMEM, "no memory for a message");
        return SETTLED;
    }
    memcpy(copy, data + range.from, length);
    atomic_thread_fence(memory_order_acquire);
    const bool same = still(data, self->header) && memcmp(copy, data + range.from, length) == 0;
    atomic_thread_fence(memory_order_acquire);
    const bool whole = same && still(data, self->header) && is_messages(copy, (uint32_t)length, range.count);
    const verdict verdict = whole ? SETTLED : AGAIN;
    if (verdict == SETTLED)
        *error =
            queue_deliver(hold, copy, (queue_range){.from = 0, .to = (uint32_t)length, .count = range.count},
                          self->direction, self->sink);
    free(copy);
    return verdict;
}

/* A queue that was emptied and filled again during a look can have the same header and other messages: what is wrong
 * counts when it was found so often one after the other, in the same place. */
#define AGREEMENTS 4

static bool confirmed(look *self, const char *wrong, uint32_t offset)
{
    const bool same = wrong == self->wrong && offset == self->wrong_at;
    self->agreed = same ? self->agreed + 1 : 1;
    self->wrong = wrong;
    self->wrong_at = offset;
    return self->agreed >= AGREEMENTS;
}

static verdict look_once(hold *hold, look *self, emmap_error *error)
{
    self->header = queue_header_load(hold->mapping->data);
    *error = hold_reach(hold, self->header.size);
    if (*error)
        return SETTLED;
    const uint8_t *const data = hold->mapping->data;
    uint32_t offset;
    const char *wrong = queue_header_wrong(self->header, hold->mapping->size, &offset);
    if (!wrong && self->header.next_tail < self->header.tail)
        return AGAIN;
    queue_header header = self->header;
    bool lost = false;
    if (!wrong) {
        lost = !narrow(data, self, &header);
        if (!lost)
            wrong = queue_select(data, header, self->direction, self->limit, &self->range, &offset);
        if (!lost && !wrong)
            note_place(data, self);
    }
    atomic_thread_fence(memory_order_acquire);
    if (!still(data, self->header))
        return AGAIN;
    if (lost) {
        wrong = place_lost;
        offset = 0;
    }
    if (wrong && !confirmed(self, wrong, offset))
        return AGAIN;
    if (wrong) {
        *error = lost ? error_set(ESTALE, place_lost) : hold_corrupt(hold, offset, wrong);
        return SETTLED;
    }
    return self->sink && self->range.count > 0 ? copy_unlocked(hold, self, error) : SETTLED;
}

static emmap_error look_unlocked(hold *hold, look *self)
{
    emmap_error error = EMMAP_OK;
    for (int i = 0; i < LOOKS; i++) {
        if (look_once(hold, self, &error) == SETTLED || file_faulted(hold->file))
            return error;
        if (i < LOOKS_AT_ONCE) {
            sched_yield();
            continue;
        }
        error = structure_wait();
        if (error)
            return error;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
    }
    return error_set(EAGAIN, "others change the queue faster than a handle without locks can look");
}

bool queue_glance(emmap_file *file, queue_header *header)
{
    structure *structure;
    visit visit;
    if (!QUEUE_LOADS_WHOLE || !(file->options.flags & EMMAP_OPEN_WRITE) ||
        structure_of(file, STRUCTURE_QUEUE, &structure) != EMMAP_OK || structure->held ||
        visit_begin(file, &visit) != EMMAP_OK)
        return false;
    uint32_t offset;
    const uint64_t size = visit.mapping->size;
    *header = size < QUEUE_HEADER ? (queue_header){0} : queue_header_load(visit.mapping->data);
    const bool sound =
        header->next_tail == header->tail && queue_header_wrong(*header, size, &offset) == NULL;
    return visit_end(file, &visit) == EMMAP_OK && sound;
}

bool queue_seen_empty(emmap_file *file)
{
    queue_header header;
    return queue_glance(file, &header) && header.head == header.tail;
}

static emmap_error look_at(emmap_file *file, look *self)
{
    hold hold;
    const emmap_queue_direction direction = self->direction;
    if (direction != EMMAP_QUEUE_FORWARD && direction != EMMAP_QUEUE_BACKWARD)
        return error_set(EINVAL, "a direction is forward or backward");
    if (!(file->options.flags & EMMAP_OPEN_WRITE)) {
        const emmap_error error = hold_look(file, STRUCTURE_QUEUE, &hold);
        return error ? error : hold_end(&hold, look_unlocked(&hold, self));
    }
    const emmap_error error = queue_begin(file, LOCK_STRUCTURE, &hold, &self->header);
    return error ? error : hold_end(&hold, look_locked(&hold, self));
}

static emmap_error walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit, uint64_t *place,
                        const emmap_sink *sink, uint64_t *count)
{
    if (limit > INT64_MAX)
        return error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    if (*place == 0 && limit > 0 && queue_seen_empty(file))
        return EMMAP_EOF;
    look look = {.direction = direction, .limit = limit, .place = *place, .goes_on = true, .sink = sink};
    const emmap_error error = look_at(file, &look);
    if (error)
        return error;
    if (look.range.count == 0)
        return limit == 0 ? EMMAP_OK : EMMAP_EOF;
    *place = look.next;
    *count = look.range.count;
    return EMMAP_OK;
}

emmap_error emmap_queue_walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit,
                             uint64_t *place, const emmap_sink *sink, uint64_t *count)
{
    emmap_error error;
    *count = 0;
    do
        error = walk(file, direction, limit, place, sink, count);
    /* The end of a walk is not nothing. */
    while (error == EMMAP_EOF && *place == 0 && stale_went_over(file, &error));
    return error;
}

static emmap_error peek(emmap_file *file, emmap_queue_direction direction, const emmap_sink *sink)
{
    emmap_error error;
    do {
        look look = {.direction = direction, .limit = 1, .sink = sink};
        error = look_at(file, &look);
        if (!error && look.range.count == 0)
            error = EMMAP_EOF;
    } while (error == EMMAP_EOF && stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_peek_front(emmap_file *file, const emmap_sink *sink)
{
    return peek(file, EMMAP_QUEUE_FORWARD, sink);
}

emmap_error emmap_queue_peek_back(emmap_file *file, const emmap_sink *sink)
{
    return peek(file, EMMAP_QUEUE_BACKWARD, sink);
}

/* Copies the first message without LOCK_STRUCTURE. False: only the lock can tell whether there is one, or it is long. */
static bool glance_front(hold *hold, const emmap_sink *sink, emmap_error *error)
{
    const uint8_t *const data = hold->mapping->data;
    const uint64_t size = hold->mapping->size;
    uint32_t offset, total;
    const queue_header header = size < QUEUE_HEADER ? (queue_header){0} : queue_header_load(data);
    if (header.next_tail != header.tail || queue_header_wrong(header, size, &offset) != NULL)
        return false;
    *error = EMMAP_EOF;
    if (header.head == header.tail)
        return true;
    if (queue_message_at(data, header.head, header.tail, &total) != NULL || total > EMMAP_PIECE)
        return false;
    void *const place = sink->allocate(sink->context, total - QUEUE_FRAME);
    *error = place ? EMMAP_OK : error_set(ENOMEM, "no memory for a message");
    if (place)
        memcpy(place, data + header.head + 4, total - QUEUE_FRAME);
    return true;
}

emmap_error emmap_queue_glance_front(emmap_file *file, const emmap_sink *sink)
{
    /* Nobody who may not write comes to emmap_queue_remove. */
    if (!(file->options.flags & EMMAP_OPEN_WRITE))
        return emmap_queue_remove(file, NULL, 0);
    for (bool told = QUEUE_LOADS_WHOLE; told;) {
        hold hold;
        emmap_error error = hold_glance(file, STRUCTURE_QUEUE, &hold);
        if (error)
            return error;
        told = glance_front(&hold, sink, &error);
        error = hold_end(&hold, told ? error : EMMAP_OK);
        if ((told || error) && !(error == EMMAP_EOF && stale_went_over(file, &error)))
            return error;
    }
    return emmap_queue_peek_front(file, sink);
}

emmap_error emmap_queue_length(emmap_file *file, uint64_t *length)
{
    emmap_error error;
    do {
        look look = {.limit = UINT64_MAX};
        error = look_at(file, &look);
        *length = error ? 0 : look.range.count;
    } while (!error && *length == 0 && stale_went_over(file, &error));
    return error;
}

emmap_error emmap_queue_info(emmap_file *file, emmap_queue_metadata *info)
{
    look look = {.limit = 0};
    const emmap_error error = look_at(file, &look);
    *info = error ? (emmap_queue_metadata){0}
                  : (emmap_queue_metadata){.size = look.header.size,
                                           .head = look.header.head,
                                           .tail = look.header.tail,
                                           .next_tail = look.header.next_tail};
    return error;
}

emmap_error emmap_queue_is_empty(emmap_file *file, bool *empty)
{
    emmap_error error;
    do {
        look look = {.limit = 0};
        error = queue_glance(file, &look.header) ? EMMAP_OK : look_at(file, &look);
        *empty = !error && look.header.head == look.header.tail;
    } while (*empty && stale_went_over(file, &error));
    return error;
}
