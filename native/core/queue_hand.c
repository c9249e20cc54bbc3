/* Listing the messages in hand and their owners, without a lock. */
#include <errno.h>
#include <stddef.h>

#include "error.h"
#include "lock.h"
#include "taken.h"

/* Others may write there. A value that they change meanwhile is the old or the new one. */
__attribute__((no_sanitize("thread"))) static void describe(const hand_t *hand, int fd, uint32_t number,
                                                            emmap_in_hand *entry)
{
    const taken_cell_t *const cell = &hand->bytes->cell[number];
    *entry = (emmap_in_hand){.ticket = (uint64_t)cell->turn << TAKEN_CELL_BITS | number,
                             .length = cell->length,
                             .since = cell->since,
                             .due = cell->due,
                             .attempt = cell->attempt,
                             .released = cell->state == TAKEN_RELEASED};
    const uint32_t owner = cell->owner;
    if (entry->released || owner >= TAKEN_OWNERS)
        return;
    const introduction_t *const about = &hand->bytes->owner[owner].about;
    entry->process = atomic_load_explicit(&about->process, memory_order_relaxed);
    emi_introduced_program(about, entry->program);
    entry->alive =
        emi_lock_byte_is_held(fd, (off_t)(offsetof(taken_file_t, owner) + owner * sizeof(taken_owner_t)));
}

/* Others may free the cells meanwhile: then nothing is wrong. */
__attribute__((no_sanitize("thread"))) static bool is_damaged(hand_t *hand, const taken_cell_t *cell)
{
    const uint64_t order = cell->order;
    if (emi_taken_is_whole(hand, cell))
        return false;
    atomic_thread_fence(memory_order_acquire);
    return cell_is_message(cell) && cell->order == order;
}

emmap_error emmap_queue_in_hand(emmap_file *file, emmap_in_hand *entries, size_t room, size_t *count)
{
    hand_t hand;
    descriptor_t *descriptor;
    *count = 0;
    emmap_error error = emi_taken_look(file, &hand);
    if (error)
        return error == ENOENT ? EMMAP_OK : error;
    /* By a description of its own: the kernel does not report locks of the one that asks. */
    error = emi_file_descriptor(hand.file, &descriptor);
    const bool described = !error;
    for (uint32_t i = 0; !error && i < hand.cells; i++) {
        const taken_cell_t *const cell = &hand.bytes->cell[i];
        if (!cell_is_message(cell))
            continue;
        if (is_damaged(&hand, cell))
            error = emi_taken_wrong(&hand, cell, "a message in hand has a wrong length, or lacks cells");
        else if (*count < room)
            describe(&hand, descriptor->fd, i, &entries[*count]);
        ++*count;
    }
    if (!error)
        error = emi_taken_check(hand.file);
    if (described)
        emi_descriptor_release(descriptor);
    const emmap_failure failure = *emmap_last_failure();
    emi_taken_looked(&hand);
    if (error)
        emi_error_restore(&failure);
    return error;
}
