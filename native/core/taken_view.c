/*
 * Messages in hand, as a handle for reading sees them. It takes no lock, so others may change anything meanwhile. A message
 * keeps its order and its bytes as long as it is in the file. So bytes that were copied while the order stayed are the message's.
 */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "error.h"
#include "lock.h"
#include "operation.h"
#include "platform.h"
#include "taken.h"

/* How often a look is repeated while others take and release messages. */
enum { LOOKS = 20 };

emmap_error emi_taken_view(emmap_file *file, hand_t *hand, taken_list_t *list)
{
    operation_t operation;
    *list = (taken_list_t){0};
    emmap_error error = emi_taken_look(file, hand);
    if (error)
        return error == ENOENT ? EMMAP_OK : error;
    error = emi_operation_begin_read(file, CONTAINER_QUEUE, &operation);
    if (!error) {
        hand->operation = &operation;
        error = emi_operation_end(&operation, emi_taken_list(hand, list));
        hand->operation = NULL;
    }
    if (!error)
        error = emi_taken_check(hand->file);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        free(list->entries);
        *list = (taken_list_t){0};
        emi_taken_looked(hand);
        emi_error_restore(&failure);
    }
    return error;
}

bool emi_taken_list_is_same(const taken_list_t *one, const taken_list_t *other)
{
    bool same = one->count == other->count;
    for (size_t i = 0; same && i < one->count; i++)
        same = one->entries[i].order == other->entries[i].order &&
               one->entries[i].number == other->entries[i].number;
    return same;
}

/* When a take may get the message; TAKEN_NEVER: its owner lives. */
static uint64_t due_of(const taken_cell_t *cell, int fd)
{
    const uint32_t owner = cell->owner;
    if (__atomic_load_n(&cell->state, __ATOMIC_ACQUIRE) == TAKEN_RELEASED)
        return cell->due;
    const off_t place = (off_t)(offsetof(taken_file_t, owner) + owner * sizeof(taken_owner_t));
    return emi_platform_locks_handles && (owner >= TAKEN_OWNERS || !emi_lock_byte_is_held(fd, place))
               ? 0
               : TAKEN_NEVER;
}

/* Counts the messages that are due, and finds the first one. */
static emmap_error find_due(const hand_t *hand, const taken_list_t *list, uint64_t *count,
                            taken_entry_t *first)
{
    descriptor_t *descriptor;
    const uint64_t now = clock_now();
    uint64_t least = TAKEN_NEVER;
    const emmap_error error = emi_file_descriptor(hand->file, &descriptor);
    for (size_t i = 0; !error && i < list->count; i++) {
        const uint64_t due = due_of(&hand->bytes->cell[list->entries[i].number], descriptor->fd);
        if (due > now)
            continue;
        ++*count;
        if (due < least) {
            least = due;
            *first = list->entries[i];
        }
    }
    if (!error)
        emi_descriptor_release(descriptor);
    return error;
}

typedef struct copy {
    uint8_t *bytes;
    size_t length;
} copy_t;

static void *allocate_copy(void *context, size_t length)
{
    copy_t *const self = context;
    *self = (copy_t){.bytes = malloc(length), .length = length};
    return self->bytes;
}

static emmap_error hand_out(const copy_t *copy, const emmap_sink *sink)
{
    void *const place = sink->allocate(sink->context, copy->length);
    if (!place)
        return emi_error_set(ENOMEM, "no memory for a message");
    memcpy(place, copy->bytes, copy->length);
    return EMMAP_OK;
}

/* `again`: the message went away meanwhile. */
static emmap_error deliver(hand_t *hand, taken_entry_t entry, const emmap_sink *sink, bool *again)
{
    copy_t copy = {0};
    const emmap_sink to_copy = {.allocate = allocate_copy, .context = &copy};
    const taken_cell_t *const cell = &hand->bytes->cell[entry.number];
    emmap_error error = emi_taken_deliver(hand, cell, &to_copy);
    atomic_thread_fence(memory_order_acquire);
    *again = !cell_is_message(cell) || cell->order != entry.order;
    if (!error && !*again)
        error = emi_taken_check(hand->file);
    if (!error && !*again)
        error = hand_out(&copy, sink);
    free(copy.bytes);
    return error;
}

static emmap_error look(emmap_file *file, const emmap_sink *sink, uint64_t *count, bool *again)
{
    hand_t hand;
    taken_list_t list;
    taken_entry_t first = {0};
    *count = 0;
    *again = false;
    emmap_error error = emi_taken_view(file, &hand, &list);
    if (error || !hand.file)
        return error;
    error = find_due(&hand, &list, count, &first);
    if (!error && *count > 0 && sink)
        error = deliver(&hand, first, sink, again);
    else if (!error && *count > 0 && !emi_taken_is_whole(&hand, &hand.bytes->cell[first.number]))
        error = EMMAP_CORRUPT;
    const emmap_failure failure = *emmap_last_failure();
    free(list.entries);
    emi_taken_looked(&hand);
    if (error)
        emi_error_restore(&failure);
    return error;
}

emmap_error emi_taken_view_due(emmap_file *file, const emmap_sink *sink, uint64_t *count)
{
    bool again = true;
    emmap_error error = EMMAP_OK;
    for (int i = 0; i < LOOKS && again; i++)
        error = look(file, sink, count, &again);
    if (again)
        error = emi_error_set(EAGAIN, "others take messages faster than a handle without locks can look");
    if (error)
        *count = 0;
    return error == EAGAIN || error == ENOMEM ? error : EMMAP_OK;
}
