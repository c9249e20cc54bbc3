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

emmap_error emmap_queue_in_hand(emmap_file *file, emmap_in_hand *entries, size_t room, size_t *count)
{
    emmap_file *opened;
    hand_t hand;
    descriptor_t *descriptor;
    *count = 0;
    emmap_error error = emi_taken_look(file, &opened, &hand);
    if (error)
        return error == ENOENT ? EMMAP_OK : error;
    /* By a description of its own: the kernel does not report locks of the one that asks. */
    error = emi_file_descriptor(opened, &descriptor);
    for (uint32_t i = 0; !error && i < hand.cells; i++) {
        const uint32_t state = __atomic_load_n(&hand.bytes->cell[i].state, __ATOMIC_ACQUIRE);
        if (state != TAKEN_IN_HAND && state != TAKEN_RELEASED)
            continue;
        if (*count < room)
            describe(&hand, descriptor->fd, i, &entries[*count]);
        ++*count;
    }
    if (!error) {
        error = emi_file_check(opened);
        emi_descriptor_release(descriptor);
    }
    emi_taken_looked(opened, &hand);
    return error;
}
