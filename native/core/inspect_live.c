/* The writers of a file: from the kernel's locks on it, and from the slots of its live folder. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "inspect.h"
#include "live.h"
#include "lock.h"

/* ---- Slots ---- */

/* The parts of a state that an inspector reads at once. */
typedef struct glimpse {
    int fd;
    live_state_t *head; /* the first `HEAD` bytes */
    bool held[LIVE_SLOTS];
} glimpse_t;

#define HEAD offsetof(live_state_t, length_line)

static off_t byte_of_slot(unsigned slot)
{
    return (off_t)(offsetof(live_state_t, slot) + slot * sizeof(live_slot_t));
}

/* Finds the slots from `from` to before `to` whose owners live. The kernel tells one lock of a range, so the
 * ranges on both sides of it are asked for next. */
static emmap_error find_held(glimpse_t *self, unsigned from, unsigned to)
{
    if (from >= to)
        return EMMAP_OK;
    off_t first, last;
    bool held;
    const off_t begin = byte_of_slot(from), end = byte_of_slot(to - 1) + 1;
    emmap_error error = emi_lock_range_is_owned(self->fd, begin, end - begin, &held, &first, &last);
    if (error || !held)
        return error;
    /* A process that means no good may lock more than the byte of a slot. */
    const off_t base = byte_of_slot(0), size = (off_t)sizeof(live_slot_t);
    const unsigned lower = first <= begin ? from : (unsigned)((first - base + size - 1) / size);
    const unsigned upper = last >= end - 1 ? to : (unsigned)((last - base) / size + 1);
    for (unsigned i = lower; i < upper; i++)
        self->held[i] = true;
    error = find_held(self, from, lower);
    return error ? error : find_held(self, upper, to);
}

static bool is_named(uint32_t word, unsigned index, const live_slot_t *slot)
{
    const uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    return (word & LIVE_OWNER) == ((index + 1) | generation << LIVE_OWNER_GENERATION_SHIFT);
}

static emmap_error describe(const glimpse_t *self, unsigned index, emmap_facts *writer, uint64_t *waiters)
{
    live_slot_t slot;
    const emmap_error error = emi_inspect_read(self->fd, (uint64_t)byte_of_slot(index), &slot, sizeof slot);
    if (error)
        return error;
    emmap_writer found;
    emi_live_describe(&slot, &found);
    memcpy(writer->program, found.program, sizeof writer->program);
    emi_fact_number(writer, "process", found.process); /* the first one: inspect_queue.c */
    emi_fact_text(writer, "program", writer->program);
    emi_fact_number(writer, "since", found.since);
    emi_fact_number(writer, "pushed", found.pushed);
    emi_fact_number(writer, "popped", found.popped);
    emi_fact_number(writer, "waited", found.waited);
    const uint64_t waiting = atomic_load_explicit(&slot.waiting, memory_order_relaxed);
    emi_fact_number(writer, "waiting", waiting);
    emi_fact_flag(writer, "has_lock", is_named(self->head->lock, index, &slot));
    emi_fact_flag(writer, "is_popping", is_named(self->head->taking, index, &slot));
    *waiters += waiting;
    return EMMAP_OK;
}

static emmap_error describe_all(const glimpse_t *self, emmap_inspection *result, uint64_t *waiters)
{
    size_t count = 0;
    for (unsigned i = 0; i < LIVE_SLOTS; i++)
        count += self->held[i];
    result->writer = calloc(count ? count : 1, sizeof *result->writer);
    if (!result->writer)
        return emi_error_set(ENOMEM, NULL);
    emmap_error error = EMMAP_OK;
    for (unsigned i = 0; !error && i < LIVE_SLOTS; i++)
        if (self->held[i])
            error = describe(self, i, &result->writer[result->writers++], waiters);
    return error;
}

/* ---- The lock ---- */

/* The owner's slot is unlocked if the owner has died: then the next operation takes the lock. */
static const char *state_of_lock(const glimpse_t *self)
{
    const uint32_t owner = self->head->lock & LIVE_OWNER_SLOT;
    if ((self->head->lock & LIVE_OWNER) == 0)
        return "free";
    return owner != 0 && owner <= LIVE_SLOTS && self->held[owner - 1] ? "held" : "abandoned";
}

/* ---- The folder ---- */

/* `at`: the byte of the data file that the users of the folder have locked. */
static emmap_error look_into(glimpse_t *self, inspector_t *inspector, off_t at)
{
    emmap_inspection *const result = inspector->result;
    uint64_t waiters = 0;
    struct stat about;
    if (fstat(self->fd, &about) != 0)
        return emi_error_from_errno("fstat");
    emmap_error error = emi_inspect_read(self->fd, 0, self->head, HEAD);
    if (!error && (self->head->magic != LIVE_MAGIC || self->head->version != LIVE_VERSION ||
                   self->head->slots != LIVE_SLOTS)) {
        emi_fact_text(&result->file, "trouble",
                      "the live folder is damaged, or that of another version of emmap");
        return EMMAP_OK;
    }
    if (!error &&
        LOCK_LIVE_BASE + (off_t)emi_live_identity(self->head->identity, (uint64_t)about.st_ino) != at) {
        emi_fact_text(&result->file, "trouble",
                      "the live folder beside the file is not the one that its writers use");
        return EMMAP_OK;
    }
    if (!error)
        error = find_held(self, 0, LIVE_SLOTS);
    if (!error)
        error = describe_all(self, result, &waiters);
    if (error)
        return error;
    emi_fact_word(&result->file, "lock", state_of_lock(self));
    emi_fact_flag(&result->file, "lock_awaited", self->head->lock & LIVE_WAITED);
    emi_fact_number(&result->file, "waiters", waiters);
    inspector->length = self->head->length;
    return EMMAP_OK;
}

static emmap_error look_beside(inspector_t *inspector, off_t at)
{
    glimpse_t glimpse = {.fd = emi_inspect_open_beside(inspector, "-live/state")};
    if (glimpse.fd < 0) {
        emi_fact_text(&inspector->result->file, "trouble",
                      errno == EACCES || errno == EPERM
                          ? "this process may not read the live folder that the writers share"
                          : "the writers share a live folder that is not beside the file");
        return EMMAP_OK;
    }
    /* The slots behind it are read one by one. */
    glimpse.head = malloc(HEAD);
    const emmap_error error = glimpse.head ? look_into(&glimpse, inspector, at) : emi_error_set(ENOMEM, NULL);
    free(glimpse.head);
    close(glimpse.fd);
    return error;
}

/* ---- The file's locks ---- */

emmap_error emi_inspect_writers(inspector_t *self)
{
    bool live, kernel, shared, exclusive;
    off_t at;
    emmap_facts *const facts = &self->result->file;
    emmap_error error = emi_lock_range_is_held(self->fd, LOCK_LIVE_BASE, LOCK_LIVE_LENGTH, &live, &at);
    if (!error)
        error = emi_lock_is_held(self->fd, LOCK_KERNEL, &kernel);
    if (!error)
        error = emi_lock_is_held(self->fd, LOCK_PRESENCE, &shared);
    if (!error)
        error = emi_lock_is_owned(self->fd, LOCK_PRESENCE, &exclusive);
    /* The file system has no locks, or the system none of handles: then nobody can tell. */
    if (error)
        return EMMAP_OK;
    emi_fact_word(facts, "sharing",
                  live        ? "live"
                  : kernel    ? "kernel"
                  : exclusive ? "exclusive"
                  : shared    ? "shared"
                              : "none");
    if (kernel && emi_lock_is_owned(self->fd, LOCK_CONTAINER, &exclusive) == EMMAP_OK)
        emi_fact_word(facts, "lock", exclusive ? "held" : "free");
    return live ? look_beside(self, at) : EMMAP_OK;
}
