/*
 * Reading messages that stay in the queue. A handle that may write reads under the lock. A read-only handle
 * takes no lock. It copies the messages, then checks that the header still includes them and that the bytes
 * are still the same. (In between the queue may have been emptied and filled again to the same offsets, so
 * that half of the copy is old. Then the bytes differ the second time, or a header in between does.)
 */
#define _GNU_SOURCE
#include "queue_look.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "queue_era.h"

/* How often an unlocked read is repeated while others change the queue: first at once, then after pauses,
 * which give a slide time to end. */
#define LOOKS 200
#define LOOKS_AT_ONCE 20
#define PAUSE_NANOSECONDS 50000

/* Narrows the header to the messages of the walk. False if `place` belongs to another era or is no place. */
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
    /* The messages at the place were popped. All messages that are there now came later, in any era. */
    if (place <= header->head) {
        if (!forward)
            header->tail = header->head;
        return true;
    }
    uint32_t before, behind = 0;
    if (place > header->tail || emi_queue_message_before(data, header->head, place, &before) != NULL ||
        (place < header->tail && queue_message_at(data, place, header->tail, &behind) != NULL))
        return false;
    /* A backward walk has read the message behind the place. */
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

/* Notes the place of the next step, after a range that is not empty. */
static void note_place(const uint8_t *data, queue_look_request_t *self)
{
    const queue_range_t range = self->range;
    uint32_t total = 0;
    if (range.count == 0 || !self->goes_on)
        return;
    const bool forward = self->direction == EMMAP_QUEUE_FORWARD;
    /* Checked a moment ago. Without the lock it may have changed since; then the read is repeated. */
    if ((forward ? emi_queue_message_before(data, range.from, range.to, &total)
                 : queue_message_at(data, range.from, range.to, &total)) != NULL)
        total = 0;
    self->next = emi_queue_era_place(data, self->header, forward ? range.to : range.from,
                                     forward ? range.to - total : range.from, total);
}

static const char place_lost[] = "the place is not from an earlier step, or the messages have moved since";

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

/* Whether the messages in `header` are still there and have not moved. New ones may follow them. */
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

/* Copies the range and decides whether the copy is consistent. If so, *error is the result. */
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

/* Between two equal headers the queue may have been emptied and filled again. So an error counts only if it
 * is found this often in a row, at the same offset. */
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
    if (!file_may_write(file)) {
        const emmap_error error = emi_operation_begin_read(file, CONTAINER_QUEUE, &operation);
        return error ? error : emi_operation_end(&operation, look_unlocked(&operation, self));
    }
    const emmap_error error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &self->header);
    return error ? error : emi_operation_end(&operation, look_locked(&operation, self));
}
