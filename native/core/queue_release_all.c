/* Putting all messages in hand back into the queue's own file, for programs that know only that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "pause.h"
#include "queue_count.h"
#include "queue_era.h"
#include "taken.h"

/* Where the next message goes in the queue's file, and where the room ends. */
typedef struct room {
    uint8_t *next;
    const uint8_t *end;
} room_t;

/* Others may have made a message longer since the list was made. */
static void *message_place(void *context, size_t length)
{
    room_t *const self = context;
    const uint64_t total = (uint64_t)length + QUEUE_FRAME;
    uint8_t *const message = self->next;
    if (total > (uint64_t)(self->end - message))
        return NULL;
    queue_store32(message, (uint32_t)total);
    queue_store32(message + total - 4, (uint32_t)total);
    self->next += total;
    return message + 4;
}

/* Writes the messages where nobody reads, and in a new place also those of the queue behind them. Changes `header`. */
static emmap_error write_all(hand_t *hand, queue_header_t *header, const taken_list_t *list)
{
    const uint64_t total = list->total;
    operation_t *const operation = hand->operation;
    const uint32_t live = header->tail - header->head;
    const bool fits = !header->synced && header->head - QUEUE_HEADER >= total;
    emmap_error error = EMMAP_OK;
    if (!fits && total + live > QUEUE_LIMIT - QUEUE_HEADER)
        error = emi_error_set(EMMAP_FULL, "a queue can't pass 4 GiB - 1");
    else if (!fits)
        error = emi_queue_find_room(operation, header, total + live);
    /* As make_room in queue_push.c. */
    if (!error && header->synced)
        error = emi_operation_sync(operation);
    if (error)
        return error;
    uint8_t *const data = operation->mapping->data;
    const uint32_t head = fits ? header->head - (uint32_t)total : header->tail;
    room_t room = {.next = data + head, .end = data + head + total};
    const emmap_sink sink = {.allocate = message_place, .context = &room};
    error = emi_taken_list_deliver(hand, list, &sink);
    if (!error && room.next != room.end)
        error = emi_taken_wrong(hand, hand->bytes, "messages in hand change while they are copied");
    if (error)
        return error;
    header->unsettled = false;
    if (!fits) {
        memcpy(room.next, data + header->head, live);
        header->tail = header->next_tail = head + (uint32_t)total + live;
    }
    header->head = head;
    return EMMAP_OK;
}

/* Stores the header that includes the messages, and then erases them here. */
static emmap_error move_all_back(hand_t *hand, queue_header_t header)
{
    operation_t *const operation = hand->operation;
    uint8_t *const data = operation->mapping->data;
    queue_header_t before = queue_header_load(data);
    /* The era's number must have one place for both headers. */
    before.size = header.size;
    hand->bytes->moved_head = header.head;
    hand->bytes->moved_tail = header.tail;
    __atomic_store_n(&hand->bytes->moves_all, 1, __ATOMIC_RELEASE);
    PAUSE("release_all_noted");
    emmap_error error = header.synced ? emi_operation_sync(operation) : EMMAP_OK;
    if (!error && header.synced)
        error = emi_taken_sync(hand->taken);
    if (!error) {
        (void)queue_count_begin(operation, before); /* the next length counts again */
        emi_queue_era_before(data, before, header);
        queue_header_store(data, header);
        if (!header.synced)
            emi_queue_era_after(data, before, header);
        PAUSE("release_all_moved");
        if (header.synced)
            error = emi_operation_sync(operation);
    }
    if (!error)
        emi_taken_clear(hand, true);
    hand->bytes->moves_all = 0;
    /* Before the queue's head moves on, and the disk can no longer tell that they are there. */
    return !error && header.synced ? emi_taken_sync(hand->taken) : error;
}

emmap_error emmap_queue_release_all(emmap_file *file, uint64_t *count)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    *count = 0;
    emmap_error error = emi_require_blocking();
    if (!error)
        error = emi_taken_operation_begin(file, &operation, &header, &hand);
    if (error || !hand.taken)
        return error ? error : emi_operation_end(&operation, EMMAP_OK);
    taken_list_t list;
    error = emi_taken_list(&hand, &list);
    if (!error && list.of_others > 0)
        error = emi_error_set(EBUSY, "another handle has messages in hand");
    if (!error && list.count > 0)
        error = write_all(&hand, &header, &list);
    if (!error && list.count > 0) {
        hand_change(&hand);
        error = move_all_back(&hand, header);
        hand_changed(&hand);
    }
    if (!error)
        *count = list.count;
    free(list.entries);
    return emi_taken_operation_end(&operation, &hand, error);
}
