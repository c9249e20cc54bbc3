/* The handles that share a file through its live folder, as their slots describe them. */
#include "live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"
#include "error.h"
#include "introduce.h"

static uint64_t number(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

void emi_live_describe(const live_slot_t *slot, emmap_writer *writer)
{
    *writer = (emmap_writer){.process = number(&slot->owner.process),
                             .since = number(&slot->owner.since),
                             .waited = number(&slot->waited),
                             .pushed = number(&slot->pushed),
                             .popped = number(&slot->popped)};
    emi_introduced_program(&slot->owner, writer->program);
}

static void list(const live_t *self, emmap_writer *writers, size_t room, size_t *count)
{
    const live_state_t *const state = self->state;
    const uint32_t lock = atomic_load_explicit(&state->lock, memory_order_relaxed) & LIVE_OWNER;
    for (unsigned i = 0; i < LIVE_SLOTS && *count < room; i++) {
        const live_slot_t *const slot = &state->slot[i];
        if (!atomic_load_explicit(&slot->used, memory_order_acquire))
            continue;
        const uint32_t owner = (i + 1) | atomic_load_explicit(&slot->generation, memory_order_acquire)
                                             << LIVE_OWNER_GENERATION_SHIFT;
        if (emi_live_is_dead(self, owner))
            continue;
        emi_live_describe(slot, &writers[*count]);
        writers[(*count)++].has_lock = owner == lock;
    }
}

/* Lists those of a folder that this handle does not use. A handle without write permission, for example. */
static emmap_error list_beside(const emmap_file *file, int fd, emmap_writer *writers, size_t room,
                               size_t *count)
{
    struct stat data;
    live_t live;
    char *const folder = emi_beside_path(file, fd, LIVE_SUFFIX, &data);
    emmap_error error = folder ? emi_live_folder_open(folder, 0, &live) : ENOENT;
    free(folder);
    if (error)
        return error == ENOENT || error == ENOTDIR ? EMMAP_OK : error;
    if (live.state->file == (uint64_t)data.st_ino)
        list(&live, writers, room, count);
    error = emi_file_check(live.file);
    emi_live_folder_close(&live);
    return error;
}

emmap_error emmap_writers(emmap_file *file, emmap_writer *writers, size_t room, size_t *count)
{
    descriptor_t *descriptor;
    *count = 0;
    if (file->options.flags & EMMAP_OPEN_ANON)
        return file_is_closed(file) ? emi_error_set(EMMAP_CLOSED, NULL) : EMMAP_OK;
    emmap_error error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    const live_t *const live = descriptor->live;
    if (live) {
        list(live, writers, room, count);
        error = emi_live_check(live);
    } else
        error = list_beside(file, descriptor->fd, writers, room, count);
    emi_descriptor_release(descriptor);
    return error;
}
