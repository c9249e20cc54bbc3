/* Pushing messages. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "overlap.h"
#include "pause.h"
#include "queue_count.h"
#include "queue_era.h"
#include "queue_wake.h"
#include "relayed.h"
#include "vectors.h"

/* The bytes of a push: one message in pieces, or a message in each piece. */
typedef struct batch {
    const struct iovec *list;
    size_t count;
    bool one;
} batch_t;

/* Errors: EINVAL; EFBIG if no queue could hold it. */
static emmap_error batch_total(const batch_t *self, uint64_t *total)
{
    uint64_t sum = 0;
    if (!emi_vectors_total(self->list, self->count, &sum))
        return emi_error_set(EFBIG, "more than a queue can hold");
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
        return emi_error_set(EINVAL, "a message has at least one byte");
    return *total > QUEUE_LIMIT - QUEUE_HEADER ? emi_error_set(EFBIG, "more than a queue can hold")
                                               : EMMAP_OK;
}

/* Writes a message behind the tail, where nobody reads, and returns its end. */
static uint8_t *write_message(uint8_t *place, const struct iovec *list, size_t count)
{
    uint64_t length = 0;
    emi_vectors_total(list, count, &length);
    const uint32_t total = (uint32_t)queue_total(length);
    queue_store32(place, total);
    PAUSE("queue_push_length");
    vectors_t from = {.next = list};
    emi_vectors_gather(place + 4, &from, (size_t)length);
    PAUSE("queue_push_payload");
    memset(place + 4 + length, 0, total - QUEUE_FRAME - length);
    queue_store32(place + total - 4, total);
    return place + total;
}

static void write_batch(uint8_t *place, const batch_t *self)
{
    if (self->one)
        write_message(place, self->list, self->count);
    else
        for (size_t i = 0; i < self->count; i++)
            place = write_message(place, &self->list[i], 1);
}

/* Makes room for `total` bytes behind the tail. Moving messages needs LOCK_POP, so that a message reserved by
 * emmap_queue_pop_begin stays in place. */
static emmap_error make_room(operation_t *operation, queue_header_t *header, uint64_t total)
{
    const uint32_t size = header->size;
    /* Nearly every push finds room. */
    if (header->tail + total <= size && !header->unsettled)
        return EMMAP_OK;
    const emmap_error error = emi_queue_find_room(operation, header, total);
    /* The disk must have the file's end before the header that includes it. */
    if (error || !(header->unsettled || (header->synced && header->size != size)))
        return error;
    const emmap_error unsynced = emi_operation_sync(operation);
    header->unsettled &= unsynced != EMMAP_OK;
    return unsynced;
}

/* Whether the pushed bytes belong to the queue's own file. */
static bool is_own(const operation_t *operation, const batch_t *pushed)
{
    const emmap_mapping *const mapping = operation->mapping;
    if (__atomic_load_n(&operation->file->control.aliases, __ATOMIC_RELAXED) > 0)
        return emi_overlap_anywhere(operation->file, pushed->list, pushed->count);
    for (size_t i = 0; i < pushed->count; i++)
        if ((uintptr_t)pushed->list[i].iov_base - (uintptr_t)mapping->data < mapping->size)
            return true;
    return false;
}

/* Copies all that is pushed into one allocation, which the caller frees. Pushed bytes of the queue's own file
 * could otherwise change before they are copied: making room moves messages, and the push writes over old
 * ones. */
static emmap_error detach(const batch_t *from, batch_t *copy, void **memory)
{
    uint64_t length = 0;
    emi_vectors_total(from->list, from->count, &length);
    *copy = *from;
    *memory = malloc(from->count * sizeof *from->list + (size_t)length);
    if (!*memory)
        return emi_error_set(ENOMEM, "no memory for a copy of messages that lie in their own queue");
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

/* Stores a header that includes what was pushed. `numbered`: as push. */
static emmap_error commit(operation_t *operation, queue_header_t header, uint64_t messages,
                          relayed_t *numbered)
{
    emmap_error error = numbered ? emi_relayed_commit(operation, numbered, &header) : EMMAP_OK;
    if (error)
        return error;
    const queue_count_t noted = queue_count_begin(operation, queue_header_load(operation->mapping->data));
    queue_header_store(operation->mapping->data, header);
    queue_count_end(&noted, operation, messages, 0);
    PAUSE("queue_push_done");
    return numbered ? emi_queue_settle(operation, &header) : EMMAP_OK;
}

/* `numbered`: NULL, or the number of the batch, which is not pushed if its origin has had that number. */
static emmap_error push(emmap_file *file, const batch_t *batch, relayed_t *numbered)
{
    uint64_t total = 0;
    emmap_error error = batch_total(batch, &total);
    if (error)
        return error;
    operation_t operation;
    queue_header_t header;
    error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    if (numbered) {
        error = emi_relayed_begin(&operation, numbered);
        if (error || numbered->number <= numbered->last) {
            emi_relayed_end(numbered);
            return emi_operation_end(&operation, error);
        }
    }
    PAUSE("queue_push_begin");
    const struct batch *pushed = batch;
    struct batch copy;
    void *memory = NULL;
    if (is_own(&operation, batch))
        error = detach(batch, &copy, &memory);
    if (memory)
        pushed = &copy;
    /* Places in the old messages lose their meaning. */
    const bool begins_anew = queue_restart(&header);
    if (!error)
        error = make_room(&operation, &header, total + (numbered ? QUEUE_NUMBERED_ROOM : 0));
    if (!error) {
        write_batch(operation.mapping->data + header.tail, pushed);
        PAUSE("queue_push_copied");
        header.tail += (uint32_t)total;
        header.next_tail = header.tail;
        if (begins_anew)
            emi_queue_era_begin(operation.mapping->data, header);
        PAUSE("queue_restart");
        error = commit(&operation, header, batch->one ? 1 : batch->count, numbered);
    }
    free(memory);
    if (numbered)
        emi_relayed_end(numbered);
    if (!error)
        operation.waited = emi_queue_waited(&operation);
    error = emi_operation_end(&operation, error);
    if (operation.is_waited)
        emi_queue_call(file);
    return error;
}

emmap_error emmap_queue_push(emmap_file *file, const struct iovec *vectors, size_t count)
{
    return push(file, &(batch_t){.list = vectors, .count = count, .one = true}, NULL);
}

emmap_error emmap_queue_push_many(emmap_file *file, const struct iovec *messages, size_t count)
{
    return push(file, &(batch_t){.list = messages, .count = count, .one = false}, NULL);
}

emmap_error emmap_queue_push_once(emmap_file *file, const uint8_t origin[EMMAP_ORIGIN_SIZE], uint64_t number,
                                  const struct iovec *messages, size_t count, uint64_t *last)
{
    relayed_t numbered = {.origin = origin, .number = number};
    emmap_error error = emi_require_blocking();
    if (!error)
        error = push(file, &(batch_t){.list = messages, .count = count, .one = false}, &numbered);
    *last = error ? 0 : numbered.last;
    return error;
}
