/*
 * The number of messages, kept in the live folder, so that a queue's length takes constant time. It counts only
 * while the header that it was noted with is the file's: a writer that does not note it (emmap 2.x, a move of the
 * messages, an exclusive handle) changes the header, and then the messages are counted again.
 *
 *   1. before the header changes, the note is taken back
 *   2. the header is stored
 *   3. the new count is noted with the new header
 *
 * A process that dies in between leaves no note. All of it happens under the lock.
 */
#ifndef EMMAP_CORE_QUEUE_COUNT_H
#define EMMAP_CORE_QUEUE_COUNT_H

#include <string.h>

#include "live.h"
#include "queue.h"

typedef struct queue_count {
    live_length_t *place; /* NULL: there is no live folder */
    bool known;
    uint64_t count;
} queue_count_t;

static inline live_length_t *queue_count_place(const operation_t *operation)
{
    const descriptor_t *const descriptor = operation->descriptor;
    return descriptor && descriptor->live ? &descriptor->live->state->length : NULL;
}

/* Loads the count. The bytes are others', too: a count that has no room in the queue is none. */
static inline queue_count_t queue_count_load(const operation_t *operation, queue_header_t header)
{
    queue_count_t self = {.place = queue_count_place(operation)};
    if (!self.place || atomic_load_explicit(&self.place->valid, memory_order_acquire) != 1)
        return self;
    self.count = self.place->count;
    self.known = memcmp(self.place->header, operation->mapping->data, sizeof self.place->header) == 0 &&
                 self.count <= (header.tail - header.head) / QUEUE_TOTAL_MIN;
    return self;
}

/* Step 1. */
static inline queue_count_t queue_count_begin(const operation_t *operation, queue_header_t header)
{
    const queue_count_t self = queue_count_load(operation, header);
    if (self.place)
        atomic_store_explicit(&self.place->valid, 0, memory_order_release);
    return self;
}

/* Step 3, where the count is known. */
static inline void queue_count_note(const queue_count_t *self, const operation_t *operation, uint64_t count)
{
    if (!self->place)
        return;
    memcpy(self->place->header, operation->mapping->data, sizeof self->place->header);
    self->place->count = count;
    atomic_store_explicit(&self->place->valid, 1, memory_order_release);
}

/* Only the handle's own threads write its slot, under `threads`. */
static inline void queue_count_add(_Atomic uint64_t *total, uint64_t count)
{
    atomic_store_explicit(total, atomic_load_explicit(total, memory_order_relaxed) + count,
                          memory_order_relaxed);
}

/* The same, after the handle pushed and popped messages. Adds them to its totals. */
static inline void queue_count_end(const queue_count_t *self, const operation_t *operation, uint64_t pushed,
                                   uint64_t popped)
{
    if (!self->place)
        return;
    const live_t *const live = operation->descriptor->live;
    live_slot_t *const mine = &live->state->slot[live->slot];
    if (pushed)
        queue_count_add(&mine->pushed, pushed);
    if (popped)
        queue_count_add(&mine->popped, popped);
    if (self->known && popped <= self->count + pushed)
        queue_count_note(self, operation, self->count + pushed - popped);
}

#endif
