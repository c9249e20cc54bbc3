#define _GNU_SOURCE
#include "taken.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "durability.h"
#include "error.h"
#include "live.h"
#include "platform.h"
#include "stale.h"

/* In ms: how often a handle asks the kernel about owners, and how often one without a live folder looks
 * whether there is a file by now. */
enum { ASK_EVERY = 50, LOOK_EVERY = 100 };

#define CELLS_AT offsetof(taken_file_t, cell)
#define CELLS_FIRST 64u

static _Atomic uint64_t *agreed_by(queue_t *queue, const descriptor_t *descriptor)
{
    return descriptor && descriptor->live ? &descriptor->live->state->taken : &queue->taken_agreed;
}

/* Whether nobody can make a file without this handle's knowledge. */
static bool all_agree(const queue_t *queue, const descriptor_t *descriptor)
{
    return queue->base.owns_locks || (descriptor && descriptor->live);
}

emmap_error emi_taken_check(const emmap_file *file)
{
    return file_faulted(file)
               ? emi_error_corrupt(0, "the file of messages in hand was truncated, or its storage failed")
               : EMMAP_OK;
}

static const char replaced[] = "the file of messages in hand was replaced while others use the queue";

static const char not_itself[] = "something else has the name of the messages in hand";

static off_t byte_of(uint32_t owner)
{
    return (off_t)(offsetof(taken_file_t, owner) + owner * sizeof(taken_owner_t));
}

/* ---- Opening ---- */

static emmap_error check(const hand_t *hand)
{
    const taken_file_t *const bytes = hand->bytes;
    if (hand->mapping->size < CELLS_AT || bytes->magic != TAKEN_MAGIC)
        return emi_error_corrupt(0, "the file beside the queue is no file of messages in hand");
    if (bytes->version != TAKEN_VERSION || bytes->owners != TAKEN_OWNERS)
        return emi_error_set(ENOTSUP, "the messages in hand are those of another version of emmap");
    const uint64_t cells = atomic_load_explicit(&bytes->cells, memory_order_relaxed);
    if (cells > (hand->mapping->size - CELLS_AT) / TAKEN_CELL)
        return emi_error_corrupt(offsetof(taken_file_t, cells),
                                 "the file of messages in hand is shorter than its cells");
    return EMMAP_OK;
}

/* Fills a file without magic, which is new or was left by a process that died while it made one. The magic
 * comes last. */
static void make(taken_file_t *bytes, uint64_t inode)
{
    memset(bytes, 0, offsetof(taken_file_t, owner));
    bytes->version = TAKEN_VERSION;
    bytes->owners = TAKEN_OWNERS;
    bytes->identity = emi_random_number() | TAKEN_IDENTITIES;
    /* Higher than in a file that had this name before. */
    bytes->order = clock_now() << 20;
    bytes->file = inode;
    bytes->changing = 1; /* the first use links the cells */
    atomic_store_explicit(&bytes->cells, CELLS_FIRST, memory_order_relaxed);
    PAUSE("taken_made");
    __atomic_store_n(&bytes->magic, TAKEN_MAGIC, __ATOMIC_RELEASE);
    PAUSE("taken_named");
}

static bool is_blank(const taken_file_t *bytes)
{
    static const uint8_t zeros[64];
    _Static_assert(offsetof(taken_file_t, free) == sizeof zeros, "before what changes");
    return bytes->magic == 0 || memcmp(bytes, zeros, sizeof zeros) == 0;
}

/* Whether nobody has used the file yet. A longer file without a header is damaged. */
static bool is_new(const hand_t *hand)
{
    return is_blank(hand->bytes) && hand->mapping->size <= CELLS_AT + CELLS_FIRST * TAKEN_CELL;
}

/* Whether the name that was opened is the file's own, and not a link that others put there. */
static bool is_itself(const emmap_file *file, const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_dev == file->device &&
           about.st_ino == file->inode;
}

/* A file that is missing, or empty because its maker died, gets its size. Any other one stays as it is. */
static emmap_error options_for(const char *path, bool makes, emmap_options *options)
{
    struct stat about = {.st_size = 0};
    const bool missing = path && lstat(path, &about) != 0;
    if (!missing && path && !S_ISREG(about.st_mode))
        return emi_error_from_syscall(ELOOP, "open", not_itself);
    if (!makes || about.st_size > 0)
        return EMMAP_OK;
    options->flags |= path ? EMMAP_OPEN_CREATE : EMMAP_OPEN_ANON;
    options->size = CELLS_AT + CELLS_FIRST * TAKEN_CELL;
    return EMMAP_OK;
}

static emmap_error open_file(const operation_t *operation, const char *path, const struct stat *data,
                             bool makes, emmap_file **result)
{
    emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED,
                             .lock_timeout = operation->file->options.lock_timeout,
                             .mode = data->st_mode & 0666,
                             .has_mode = true,
                             .mode_exact = true};
    emmap_error error = options_for(path, makes, &options);
    if (!error)
        error = emmap_open(path ? path : "", &options, result);
    if (error == EACCES || error == EROFS)
        emi_error_from_syscall(error, "open",
                               "the file of messages in hand, PATH-taken beside the queue, can't be "
                               "made or opened for writing");
    if (!error && path && !is_itself(*result, path))
        error = emi_error_from_syscall(ELOOP, "open", not_itself);
    if (!error && path && !(*result)->existed)
        error = emi_beside_own((*result)->descriptor->fd, data, data->st_mode & 0666);
    if (error && *result) {
        const emmap_failure failure = *emmap_last_failure();
        emmap_free(*result);
        *result = NULL;
        emi_error_restore(&failure);
    }
    return error;
}

/* Takes the file over if nobody else uses it. Then lists and counts are computed again, since the power may have been
 * cut. Errors: EBUSY if it is in use beside another queue. */
static emmap_error enter(taken_file_t *bytes, const emmap_file *file, bool named, uint64_t inode)
{
    if (named) {
        const int fd = file->descriptor->fd;
        const emmap_error busy = emi_lock_try(fd, LOCK_PRESENCE, LOCK_EXCLUSIVE);
        if (busy == EBUSY)
            return bytes->file == inode || is_blank(bytes)
                       ? EMMAP_OK
                       : emi_error_set(EBUSY, "the messages in hand belong to another file, which is in use");
        if (!busy)
            emi_lock_try(fd, LOCK_PRESENCE, LOCK_SHARED);
    }
    bytes->file = inode;
    bytes->changing = 1;
    return EMMAP_OK;
}

/* Takes the file's mapping. The handle keeps a reference from one operation to the next, since taking one costs as much as the rest of
 * an acknowledgement. */
static emmap_error take_mapping(hand_t *hand, emmap_file *file)
{
    emmap_mapping *now = atomic_load_explicit(&file->mapping, memory_order_acquire);
    if (hand->taken && now && now == hand->taken->mapping) {
        hand->mapping = now;
        return EMMAP_OK;
    }
    const emmap_error error = emi_mapping_of(file, &now);
    if (error)
        return error;
    if (hand->taken && hand->taken->mapping)
        emi_mapping_release(hand->taken->mapping);
    if (hand->taken)
        hand->taken->mapping = now;
    hand->mapping = now;
    return EMMAP_OK;
}

/* A mapping that is not the handle's own was taken for a look. */
static void unmap(hand_t *hand)
{
    if (hand->mapping && !hand->taken)
        emi_mapping_release(hand->mapping);
    hand->mapping = NULL;
}

/* Makes hand->mapping the whole file. */
static emmap_error map(hand_t *hand, emmap_file *file)
{
    uint64_t size;
    emmap_error error = take_mapping(hand, file);
    if (error)
        return error;
    hand->bytes = (taken_file_t *)(void *)hand->mapping->data;
    if (hand->mapping->size < CELLS_AT)
        return EMMAP_OK;
    const uint64_t cells = atomic_load_explicit(&hand->bytes->cells, memory_order_acquire);
    if (cells <= TAKEN_CELLS_MAX && hand->mapping->size < CELLS_AT + cells * TAKEN_CELL) {
        error = emi_require_blocking();
        if (!error)
            error = emmap_follow(file, &size);
        unmap(hand);
        if (!error)
            error = take_mapping(hand, file);
        if (error)
            return error;
        hand->bytes = (taken_file_t *)(void *)hand->mapping->data;
    }
    const uint64_t mapped = (hand->mapping->size - CELLS_AT) / TAKEN_CELL;
    hand->cells = (uint32_t)(cells < mapped ? cells : mapped);
    return EMMAP_OK;
}

/* Agrees with handles that have no live folder, by a lock on the queue. Errors: EBUSY. */
static emmap_error agree_by_lock(int fd, uint64_t identity)
{
    const off_t first = LOCK_TAKEN_BASE, end = first + LOCK_TAKEN_LENGTH;
    const off_t mine = first + 1 + (off_t)(identity % (uint64_t)(LOCK_TAKEN_LENGTH - 2));
    bool below = false, above = false;
    off_t at;
    emmap_error error = emi_lock_byte_try(fd, mine, LOCK_SHARED);
    if (!error)
        error = emi_lock_range_is_held(fd, first, mine - first, &below, &at);
    if (!error)
        error = emi_lock_range_is_held(fd, mine + 1, end - mine - 1, &above, &at);
    if (error || !(below || above))
        return error;
    emi_lock_byte_release(fd, mine);
    return emi_error_set(EBUSY, replaced);
}

/* Makes the opened file this handle's. `path` becomes its own. */
static emmap_error adopt(operation_t *operation, emmap_file *file, char *path, uint64_t inode,
                         taken_t **result)
{
    queue_t *const queue = (queue_t *)operation->container;
    _Atomic uint64_t *const agreed = agreed_by(queue, operation->descriptor);
    hand_t hand = {.operation = operation};
    taken_t *const self = calloc(1, sizeof *self);
    emmap_error error = self ? map(&hand, file) : emi_error_set(ENOMEM, NULL);
    if (!error && hand.mapping->size >= CELLS_AT && is_new(&hand))
        make(hand.bytes, inode);
    if (!error)
        error = check(&hand);
    if (!error)
        error = enter(hand.bytes, file, path != NULL, inode);
    const uint64_t known = atomic_load_explicit(agreed, memory_order_relaxed);
    if (!error && known >= TAKEN_IDENTITIES && known != hand.bytes->identity)
        error = emi_error_set(EBUSY, replaced);
    if (!error && path && !queue->base.owns_locks && agreed == &queue->taken_agreed)
        error = agree_by_lock(operation->descriptor->fd, hand.bytes->identity);
    if (!error) {
        *self =
            (taken_t){.file = file, .identity = hand.bytes->identity, .path = path, .owner = TAKEN_OWNERS};
        atomic_store_explicit(agreed, self->identity, memory_order_release);
        /* Release: pairs with the acquire in emi_taken_may_have. */
        atomic_store_explicit(&queue->taken, self, memory_order_release);
        *result = self;
    } else
        free(self);
    unmap(&hand);
    return error;
}

static emmap_error open_taken(operation_t *operation, bool makes, taken_t **result)
{
    struct stat data = {.st_mode = 0600};
    emmap_file *file = NULL;
    char *path = NULL;
    if (!(operation->file->options.flags & EMMAP_OPEN_ANON)) {
        path = emi_beside_path(operation->file, operation->descriptor->fd, TAKEN_SUFFIX, &data);
        if (!path)
            return makes ? emi_error_set(ESTALE, "the queue's path does not lead to it any more, so "
                                                 "nobody would find messages in hand beside it")
                         : ENOENT;
        if (!emi_platform_locks_handles) {
            free(path);
            return makes ? emi_error_set(ENOTSUP, "this system does not tell which handles are alive")
                         : ENOENT;
        }
    } else if (!makes)
        return ENOENT;
    emmap_error error = open_file(operation, path, &data, makes, &file);
    PAUSE("taken_opened");
    if (!error)
        error = adopt(operation, file, path, (uint64_t)data.st_ino, result);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        emmap_free(file);
        free(path);
        emi_error_restore(&failure);
    }
    return error;
}

static bool exists(const operation_t *operation)
{
    struct stat data;
    char *const path = emi_beside_path(operation->file, operation->descriptor->fd, TAKEN_SUFFIX, &data);
    const bool result = path && access(path, F_OK) == 0;
    free(path);
    return result;
}

/* The slow path of `find`. A thread that may not block learns that there is no file, or a wait for a message would end
 * at once, again and again. */
static emmap_error find_slowly(operation_t *operation, bool makes, taken_t **result)
{
    queue_t *const queue = (queue_t *)operation->container;
    _Atomic uint64_t *const agreed = agreed_by(queue, operation->descriptor);
    const uint64_t known = atomic_load_explicit(agreed, memory_order_relaxed);
    if (*result) {
        /* A new generation of the live folder begins only when all handles have left. */
        if (known >= TAKEN_IDENTITIES)
            return emi_error_set(EBUSY,
                                 "the file of messages in hand was replaced while others use the queue");
        atomic_store_explicit(agreed, (*result)->identity, memory_order_release);
        return EMMAP_OK;
    }
    const uint64_t now = emi_stale_now();
    if (known == TAKEN_NONE && !makes &&
        now - atomic_load_explicit(&queue->taken_looked_for, memory_order_relaxed) < LOOK_EVERY)
        return EMMAP_OK;
    emmap_error error = makes || exists(operation) ? emi_require_blocking() : EMMAP_OK;
    if (error)
        return error;
    atomic_store_explicit(&queue->taken_looked_for, now, memory_order_relaxed);
    error = open_taken(operation, makes, result);
    if (error != ENOENT || makes)
        return error;
    if (known >= TAKEN_IDENTITIES)
        return emi_error_set(EBUSY, "the file of messages in hand was removed while others use the queue");
    atomic_store_explicit(agreed, TAKEN_NONE, memory_order_release);
    return EMMAP_OK;
}

/* *result is NULL if there is no file, and `makes` does not ask for one. */
static emmap_error find(operation_t *operation, bool makes, taken_t **result)
{
    queue_t *const queue = (queue_t *)operation->container;
    *result = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    const uint64_t known =
        atomic_load_explicit(agreed_by(queue, operation->descriptor), memory_order_relaxed);
    if (*result ? known == (*result)->identity
                : known == TAKEN_NONE && !makes && all_agree(queue, operation->descriptor))
        return EMMAP_OK;
    return find_slowly(operation, makes, result);
}

/* ---- Owners ---- */

/* Releases the messages of an owner that has ended. */
static void bury(hand_t *hand, uint32_t owner)
{
    hand_change(hand);
    PAUSE("taken_burying");
    for (uint32_t i = 0; i < hand->cells; i++)
        if (hand->bytes->cell[i].state == TAKEN_IN_HAND && hand->bytes->cell[i].owner == owner) {
            emi_taken_release(hand, i, 0);
            emi_taken_count(hand, owner, -1);
        }
    hand_changed(hand);
}

/* Takes a place in the table of owners. Errors: ENOSPC. */
static emmap_error take_place(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    descriptor_t *descriptor;
    emmap_error error = emi_file_descriptor(hand->taken->file, &descriptor);
    if (error)
        return error;
    uint32_t owner = 0;
    for (error = EBUSY; error == EBUSY && owner < TAKEN_OWNERS; owner++)
        error =
            hand->taken->path ? emi_lock_byte_try(descriptor->fd, byte_of(owner), LOCK_EXCLUSIVE) : EMMAP_OK;
    emi_descriptor_release(descriptor);
    if (error)
        return error == EBUSY ? emi_error_set(ENOSPC, "1024 handles take messages, which is the limit")
                              : error;
    owner--;
    PAUSE("taken_place_locked");
    if (bytes->owner[owner].in_hand != 0)
        bury(hand, owner);
    emi_introduce(&bytes->owner[owner].about);
    if (owner >= bytes->owner_end)
        bytes->owner_end = owner + 1;
    atomic_store_explicit(&hand->taken->owner, owner, memory_order_relaxed);
    return EMMAP_OK;
}

static bool is_mine(const taken_t *self, uint32_t owner)
{
    return atomic_load_explicit(&self->owner, memory_order_relaxed) == owner;
}

/* The first owner from `from` on that has messages in hand and is dead; TAKEN_OWNERS: none. */
static uint32_t dead_owner(const taken_t *self, const taken_file_t *bytes, int fd, uint32_t from)
{
    for (uint32_t i = from;
         i < TAKEN_OWNERS && i < atomic_load_explicit(&bytes->owner_end, memory_order_relaxed); i++)
        if (atomic_load_explicit(&bytes->owner[i].in_hand, memory_order_relaxed) != 0 && !is_mine(self, i) &&
            !emi_lock_byte_is_held(fd, byte_of(i)))
            return i;
    return TAKEN_OWNERS;
}

/* Whether others have messages in hand. */
static bool others_have(const taken_t *self, const taken_file_t *bytes)
{
    const uint32_t owner = atomic_load_explicit(&self->owner, memory_order_relaxed);
    const uint32_t mine =
        owner < TAKEN_OWNERS ? atomic_load_explicit(&bytes->owner[owner].in_hand, memory_order_relaxed) : 0;
    return atomic_load_explicit(&bytes->in_hand, memory_order_relaxed) != mine;
}

static bool is_time_to_ask(const taken_t *self, uint64_t now)
{
    return now - atomic_load_explicit(&self->looked, memory_order_relaxed) >= ASK_EVERY;
}

static emmap_error bury_the_dead(hand_t *hand)
{
    taken_t *const self = hand->taken;
    const uint64_t now = emi_stale_now();
    if (!self->path || !others_have(self, hand->bytes) || !is_time_to_ask(self, now))
        return EMMAP_OK;
    descriptor_t *descriptor;
    const emmap_error error = emi_file_descriptor(self->file, &descriptor);
    if (error)
        return error;
    uint32_t owner = 0;
    while ((owner = dead_owner(self, hand->bytes, descriptor->fd, owner)) < TAKEN_OWNERS) {
        bury(hand, owner);
        owner++;
    }
    atomic_store_explicit(&self->looked, now, memory_order_relaxed);
    emi_descriptor_release(descriptor);
    return EMMAP_OK;
}

/* ---- Use ---- */

emmap_error emi_taken_begin(operation_t *operation, bool makes, hand_t *hand)
{
    *hand = (hand_t){.operation = operation};
    emmap_error error = find(operation, makes, &hand->taken);
    if (error || !hand->taken) {
        hand->taken = NULL;
        return error;
    }
    hand->file = hand->taken->file;
    error = map(hand, hand->file);
    if (!error)
        error = check(hand);
    if (!error && (hand->bytes->changing || !emi_taken_heap_is_sound(hand)))
        error = emi_taken_recover(hand);
    if (!error && makes && hand_owner(hand) == TAKEN_OWNERS)
        error = take_place(hand);
    if (!error)
        error = bury_the_dead(hand);
    /* The bytes of a page that has gone away are wrong, too. */
    if (file_faulted(hand->file))
        error = emi_taken_check(hand->file);
    if (error) {
        unmap(hand);
        hand->taken = NULL;
    }
    return error;
}

emmap_error emi_taken_renew(hand_t *hand)
{
    const emmap_error error = take_mapping(hand, hand->taken->file);
    if (!error)
        hand->bytes = (taken_file_t *)(void *)hand->mapping->data;
    return error;
}

emmap_error emi_taken_begin_if_sound(operation_t *operation, hand_t *hand)
{
    const emmap_error error = emi_taken_begin(operation, false, hand);
    return error == EAGAIN || error == ENOMEM ? error : EMMAP_OK;
}

emmap_error emi_taken_end(hand_t *hand, emmap_error error)
{
    if (!hand->taken)
        return error;
    if (!error && hand->wrong)
        error = emi_taken_wrong(hand, hand->bytes, "the lists of messages in hand contradict their cells");
    if (!error)
        error = emi_taken_check(hand->file);
    unmap(hand);
    return error;
}

emmap_error emi_taken_reset(operation_t *operation)
{
    hand_t hand = {.operation = operation};
    emmap_error error = find(operation, false, &hand.taken);
    if (error || !hand.taken)
        return error;
    hand.file = hand.taken->file;
    error = map(&hand, hand.file);
    if (!error)
        error = check(&hand);
    for (uint32_t i = 0; !error && i < hand.cells; i++)
        cell_mark(&hand.bytes->cell[i], TAKEN_FREE);
    if (!error)
        error = emi_taken_recover(&hand);
    unmap(&hand);
    return error;
}

/* Ends a look that has failed. */
static emmap_error looked_in_vain(hand_t *hand, emmap_error error)
{
    const emmap_failure failure = *emmap_last_failure();
    emi_taken_looked(hand);
    emi_error_restore(&failure);
    return error;
}

emmap_error emi_taken_open_beside(emmap_file *file, uint32_t flags, hand_t *hand)
{
    struct stat data, about;
    descriptor_t *descriptor;
    *hand = (hand_t){0};
    emmap_error error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    char *const path = emi_beside_path(file, descriptor->fd, TAKEN_SUFFIX, &data);
    emi_descriptor_release(descriptor);
    /* An empty file is being made. */
    error = path && stat(path, &about) == 0 && about.st_size > 0 ? emi_require_blocking() : ENOENT;
    if (!error)
        error = emmap_open(path, &(emmap_options){.flags = flags | EMMAP_OPEN_SHARED}, &hand->file);
    if (!error && (flags & EMMAP_OPEN_WRITE) && !is_itself(hand->file, path))
        error = emi_error_from_syscall(ELOOP, "open", not_itself);
    free(path);
    if (!error)
        error = map(hand, hand->file);
    return error ? looked_in_vain(hand, error) : EMMAP_OK;
}

emmap_error emi_taken_look(emmap_file *file, hand_t *hand)
{
    emmap_error error = emi_taken_open_beside(file, EMMAP_OPEN_READ, hand);
    if (error)
        return error;
    error = is_new(hand) ? ENOENT : check(hand);
    return error ? looked_in_vain(hand, error) : EMMAP_OK;
}

void emi_taken_looked(hand_t *hand)
{
    unmap(hand);
    emmap_free(hand->file);
    hand->file = NULL;
}

bool emi_taken_may_have(emmap_file *file, const queue_t *queue)
{
    taken_t *const self = atomic_load_explicit(&queue->taken, memory_order_acquire);
    visit_t visit;
    bool result = true;
    if (!self && queue->base.owns_locks)
        return atomic_load_explicit(&queue->taken_agreed, memory_order_relaxed) != TAKEN_NONE;
    if (visit_begin(self ? self->file : file, &visit) != EMMAP_OK)
        return true;
    if (self && visit.mapping->size >= CELLS_AT) {
        const taken_file_t *const bytes = (const taken_file_t *)(const void *)visit.mapping->data;
        const uint64_t due = atomic_load_explicit(&bytes->due, memory_order_acquire);
        result = (due != TAKEN_NEVER && due <= clock_now()) ||
                 (others_have(self, bytes) && is_time_to_ask(self, emi_stale_now()));
    } else if (!self) {
        /* Lives as long as the pin. */
        const descriptor_t *const descriptor = __atomic_load_n(&file->descriptor, __ATOMIC_ACQUIRE);
        const bool live = descriptor && descriptor->live;
        const uint64_t known = atomic_load_explicit(
            live ? &descriptor->live->state->taken : &queue->taken_agreed, memory_order_acquire);
        result = known != TAKEN_NONE ||
                 (!live &&
                  emi_stale_now() - atomic_load_explicit(&queue->taken_looked_for, memory_order_relaxed) >=
                      LOOK_EVERY);
    }
    pin_release(visit.pin);
    return result;
}

/* The part of emi_taken_is_worth_a_look under a pin. */
static bool has_news(const taken_t *self, const emmap_mapping *mapping, int fd)
{
    const taken_file_t *const bytes = (const taken_file_t *)(const void *)mapping->data;
    if (mapping->size < CELLS_AT)
        return true;
    const uint64_t due = atomic_load_explicit(&bytes->due, memory_order_acquire);
    return (due != TAKEN_NEVER && due <= clock_now()) ||
           (self->path && others_have(self, bytes) && dead_owner(self, bytes, fd, 0) < TAKEN_OWNERS);
}

bool emi_taken_is_worth_a_look(emmap_file *file, const queue_t *queue)
{
    taken_t *const self = atomic_load_explicit(&queue->taken, memory_order_acquire);
    descriptor_t *descriptor;
    visit_t visit;
    /* For an exclusive handle nobody else makes the file. */
    if (!self)
        return !queue->base.owns_locks && emi_taken_may_have(file, queue);
    if (emi_file_descriptor(self->file, &descriptor) != EMMAP_OK)
        return false;
    bool result = true;
    if (visit_begin(self->file, &visit) == EMMAP_OK) {
        result = has_news(self, visit.mapping, descriptor->fd);
        pin_release(visit.pin);
    }
    emi_descriptor_release(descriptor);
    return result;
}

emmap_error emi_taken_sync(taken_t *self)
{
    file_refs_t refs;
    if (!self->path)
        return EMMAP_OK;
    emmap_error error = emi_file_refs_take(self->file, &refs);
    if (error)
        return error;
    error = emi_durability_sync(self->file, refs.descriptor, refs.mapping);
    if (!error)
        error = emi_durability_sync_entry(self->file);
    emi_file_refs_release(&refs);
    return error;
}

emmap_error emi_taken_settle(operation_t *operation)
{
    hand_t hand;
    const emmap_error error = emi_taken_begin_if_sound(operation, &hand);
    if (error || !hand.taken)
        return error;
    return emi_taken_end(&hand, emi_taken_sync(hand.taken));
}

/* ---- The end ---- */

/* Removes the file if the queue itself is gone: nobody would ever find its messages. */
static void remove_orphan(const taken_t *self)
{
    struct stat about;
    char *const queue = self->path ? strdup(self->path) : NULL;
    if (!queue)
        return;
    queue[strlen(queue) - strlen(TAKEN_SUFFIX)] = 0;
    if (lstat(queue, &about) != 0 && errno == ENOENT && is_itself(self->file, self->path))
        unlink(self->path);
    free(queue);
}

/* Closes the file. The locks of an open file description last as long as one of its mappings, which this handle may keep for a
 * while. So they are released here. */
static void end(taken_t *self)
{
    descriptor_t *descriptor;
    const uint32_t owner = atomic_load_explicit(&self->owner, memory_order_relaxed);
    if (emi_file_descriptor(self->file, &descriptor) == EMMAP_OK) {
        if (owner < TAKEN_OWNERS)
            emi_lock_byte_release(descriptor->fd, byte_of(owner));
        emi_lock_release(descriptor->fd, LOCK_PRESENCE);
        emi_descriptor_release(descriptor);
    }
    emmap_close(self->file);
}

void emi_taken_close(queue_t *queue)
{
    taken_t *const self = atomic_load_explicit(&queue->taken, memory_order_acquire);
    if (!self)
        return;
    remove_orphan(self);
    end(self);
}

void emi_taken_forget(queue_t *queue)
{
    taken_t *const self = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    atomic_store_explicit(&queue->taken_agreed, TAKEN_UNKNOWN, memory_order_relaxed);
    if (!self)
        return;
    atomic_store_explicit(&queue->taken, NULL, memory_order_release);
    self->previous = queue->taken_before;
    queue->taken_before = self;
    end(self);
}

void emi_taken_free(queue_t *queue)
{
    emi_taken_forget(queue);
    for (taken_t *self = queue->taken_before; self;) {
        taken_t *const previous = self->previous;
        if (self->mapping)
            emi_mapping_release(self->mapping);
        emmap_free(self->file);
        free(self->path);
        free(self);
        self = previous;
    }
}
