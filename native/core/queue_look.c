/*
 * Looking at a queue. A handle that may write looks under the lock. One that may not takes none: it copies what it
 * wants, and then looks whether the header still speaks of those messages and the bytes are still the same ones.
 * (Between two looks at one header the queue may have been emptied and filled again to the same offsets, the copy
 * taken half before and half after. Then the bytes would differ the second time, or the header in between.)
 */
#define _GNU_SOURCE
#include "queue_look.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "queue_era.h"

/* How often a look without a lock is repeated while others change the queue under it: at once in the beginning,
 * then after a pause, so that a slide has time to end. */
#define LOOKS 200
#define LOOKS_AT_ONCE 20
#define PAUSE_NANOSECONDS 50000

/* Narrows the header to what is to be walked. False where `place` is of another era, or no place at all. */
static bool narrow(const uint8_t *data, const queue_look_request_t *self, queue_header_t *header)
{
    const bool forward = self->direction == EMMAP_QUEUE_FORWARD;
    if (self->place == 0)
        return true;
    if (!emi_queue_era_is_place(self->place, forward))
        return false;
    if (header->head == header->tail)
        return true;
    const uint32_t place = emi_queue_era_offset(self->place);
    /* What was popped since then is passed over; what is there was all pushed behind it, in whatever era. */
    if (place <= header->head) {
        if (!forward)
            header->tail = header->head;
        return true;
    }
    uint32_t before, behind = 0;
    if (place > header->tail || emi_queue_message_before(data, header->head, place, &before) != NULL ||
        (place < header->tail && queue_message_at(data, place, header->tail, &behind) != NULL))
        return false;
    /* A walk backward has read the message behind the place. */
    const uint32_t total = forward ? before : behind;
    if (total == 0 ||
        !emi_queue_era_is_same(data, *header, self->place, forward ? place - before : place, total))
        return false;
    if (forward)
        header->head = place;
    else
        header->tail = place;
    return true;
}

/* Where the next step goes on, of a range that is not empty. */
static void note_place(const uint8_t *data, queue_look_request_t *self)
{
    const queue_range_t range = self->range;
    uint32_t total = 0;
    if (range.count == 0 || !self->goes_on)
        return;
    const bool forward = self->direction == EMMAP_QUEUE_FORWARD;
    /* Looked at a moment ago, but without the lock it may have changed: then the look is repeated. */
    if ((forward ? emi_queue_message_before(data, range.from, range.to, &total)
                 : queue_message_at(data, range.from, range.to, &total)) != NULL)
        total = 0;
    self->next = emi_queue_era_place(data, self->header, forward ? range.to : range.from,
                                     forward ? range.to - total : range.from, total);
}

static const char place_lost[] =
    "the place is not one that a step answered, or the messages have moved since";

static emmap_error look_locked(operation_t *operation, queue_look_request_t *self)
{
    const uint8_t *const data = operation->mapping->data;
    queue_header_t header = self->header;
    if (!narrow(data, self, &header))
        return emi_error_set(ESTALE, place_lost);
    uint32_t offset;
    const char *const wrong =
        emi_queue_select(data, header, self->direction, self->limit, &self->range, &offset);
    if (wrong)
        return emi_operation_corrupt(operation, offset, wrong);
    note_place(data, self);
    return self->sink ? emi_queue_deliver(operation, data, self->range, self->direction, self->sink)
                      : EMMAP_OK;
}

/* Whether the messages that `header` speaks of are there and have not moved: others may be behind them. */
static bool header_unchanged(const uint8_t *data, queue_header_t header)
{
    const queue_header_t now = queue_header_load(data);
    return now.head == header.head && now.tail >= header.tail && now.next_tail >= now.tail;
}

typedef enum verdict { SETTLED, AGAIN } verdict_t;

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
static verdict_t copy_unlocked(operation_t *operation, queue_look_request_t *self, emmap_error *error)
{
    const uint8_t *const data = operation->mapping->data;
    const queue_range_t range = self->range;
    const size_t length = range.to - range.from;
    uint8_t *const copy = malloc(length);
    if (!copy) {
        *error = emi_error_set(ENOMEM, "no memory for a message");
        return SETTLED;
    }
    memcpy(copy, data + range.from, length);
    atomic_thread_fence(memory_order_acquire);
    const bool same = header_unchanged(data, self->header) && memcmp(copy, data + range.from, length) == 0;
    atomic_thread_fence(memory_order_acquire);
    const bool whole =
        same && header_unchanged(data, self->header) && is_messages(copy, (uint32_t)length, range.count);
    const verdict_t verdict = whole ? SETTLED : AGAIN;
    if (verdict == SETTLED)
        *error = emi_queue_deliver(operation, copy,
                                   (queue_range_t){.from = 0, .to = (uint32_t)length, .count = range.count},
                                   self->direction, self->sink);
    free(copy);
    return verdict;
}

/* A queue that was emptied and filled again during a look can have the same header and other messages: what is wrong
 * counts when it was found so often one after the other, in the same place. */
#define AGREEMENTS 4

static bool confirmed(queue_look_request_t *self, const char *wrong, uint32_t offset)
{
    const bool same = wrong == self->wrong && offset == self->wrong_at;
    self->agreed = same ? self->agreed + 1 : 1;
    self->wrong = wrong;
    self->wrong_at = offset;
    return self->agreed >= AGREEMENTS;
}

static verdict_t look_once(operation_t *operation, queue_look_request_t *self, emmap_error *error)
{
    self->header = queue_header_load(operation->mapping->data);
    *error = operation_reach(operation, self->header.size);
    if (*error)
        return SETTLED;
    const uint8_t *const data = operation->mapping->data;
    uint32_t offset;
    const char *wrong = emi_queue_header_wrong(self->header, operation->mapping->size, &offset);
    if (!wrong && self->header.next_tail < self->header.tail)
        return AGAIN;
    queue_header_t header = self->header;
    bool lost = false;
    if (!wrong) {
        lost = !narrow(data, self, &header);
        if (!lost)
            wrong = emi_queue_select(data, header, self->direction, self->limit, &self->range, &offset);
        if (!lost && !wrong)
            note_place(data, self);
    }
    atomic_thread_fence(memory_order_acquire);
    if (!header_unchanged(data, self->header))
        return AGAIN;
    if (lost) {
        wrong = place_lost;
        offset = 0;
    }
    if (wrong && !confirmed(self, wrong, offset))
        return AGAIN;
    if (wrong) {
        *error = lost ? emi_error_set(ESTALE, place_lost) : emi_operation_corrupt(operation, offset, wrong);
        return SETTLED;
    }
    return self->sink && self->range.count > 0 ? copy_unlocked(operation, self, error) : SETTLED;
}

static emmap_error look_unlocked(operation_t *operation, queue_look_request_t *self)
{
    emmap_error error = EMMAP_OK;
    for (int i = 0; i < LOOKS; i++) {
        if (look_once(operation, self, &error) == SETTLED || file_faulted(operation->file))
            return error;
        if (i < LOOKS_AT_ONCE) {
            sched_yield();
            continue;
        }
        error = emi_require_blocking();
        if (error)
            return error;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
    }
    return emi_error_set(EAGAIN, "others change the queue faster than a handle without locks can look");
}

emmap_error emi_queue_look(emmap_file *file, queue_look_request_t *self)
{
    operation_t operation;
    const emmap_queue_direction direction = self->direction;
    if (direction != EMMAP_QUEUE_FORWARD && direction != EMMAP_QUEUE_BACKWARD)
        return emi_error_set(EINVAL, "a direction is forward or backward");
    if (!(file->options.flags & EMMAP_OPEN_WRITE)) {
        const emmap_error error = emi_operation_begin_read(file, CONTAINER_QUEUE, &operation);
        return error ? error : emi_operation_end(&operation, look_unlocked(&operation, self));
    }
    const emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &self->header);
    return error ? error : emi_operation_end(&operation, look_locked(&operation, self));
}
