/*
 * An operation on a container. One at a time changes it: `threads`
 * excludes the handle's own threads, the locks of lock.h other handles and processes. A handle opened
 * exclusively takes those locks when it attaches and keeps them, and then makes no system call per operation.
 *
 * An operation holds references of its own on descriptor and mapping, not a pin: it may wait, and a close
 * meanwhile neither waits for it nor pulls anything away from under it. One on a single block of an exclusive
 * handle begins with a pin, and takes the references only before it does what may take long.
 *
 * Locks: `threads`, then LOCK_CONTAINER, then what file.h lists.
 */
#ifndef EMMAP_CORE_OPERATION_H
#define EMMAP_CORE_OPERATION_H

#include <stdbool.h>

#include "container.h"
#include "emmap.h"
#include "file.h"
#include "lock.h"
#include "mapping.h"
#include "patience.h"
#include "word.h"

/* An operation in flight. */
typedef struct operation {
    emmap_file *file;
    container_t *container;
    descriptor_t *descriptor; /* with a reference; NULL when only looking, or under a pin */
    emmap_mapping *mapping;   /* with a reference, or under the pin */
    pin_t *pin;               /* NULL: the references are held */
    unsigned files;           /* file->files when it began */
    bool mutexed;             /* `threads` is locked */
    bool locked;              /* and LOCK_CONTAINER */
    bool pop_locked;          /* and LOCK_POP */
    word_t *waited; /* NULL, or the word that says whether somebody waits for what the operation does */
    bool is_waited; /* what it said, once the lock was given back */
} operation_t;

/* What the file holds, if it is of that kind. Errors: EMMAP_CLOSED; EINVAL. */
emmap_error emi_container_get(emmap_file *file, container_kind_t kind, container_t **result);

/*
 * Begins an operation that changes the structure, under LOCK_CONTAINER, which it waits for, or under
 * LOCK_CONTAINER_AND_POP. On failure there is nothing to end.
 * Errors: EACCES; EMMAP_CLOSED; EFAULT; EBUSY where somebody is taking a message out; ETIMEDOUT; what fcntl says.
 */
emmap_error emi_operation_begin(emmap_file *file, container_kind_t kind, lock_subject_t subject,
                                operation_t *self);

/* Begins one that looks: as emi_operation_begin for a handle that may write, without any lock for one that may not. */
emmap_error emi_operation_begin_read(emmap_file *file, container_kind_t kind, operation_t *self);

/* Begins one that looks and excludes this handle's own threads alone, for two system calls less; others may change
 * anything meanwhile. As emi_operation_begin_brief for an exclusive handle, and as emi_operation_begin_read for one that may not write. */
emmap_error emi_operation_begin_read_unlocked(emmap_file *file, container_kind_t kind, operation_t *self);

/* As emi_operation_begin; for an exclusive handle with a pin instead of references. Nothing longer than EMMAP_PIECE is copied
 * under it, and nothing is waited for before emi_operation_keep. */
emmap_error emi_operation_begin_brief(emmap_file *file, container_kind_t kind, operation_t *self);

/* Exchanges the pin, if there is one, for references. emi_operation_follow, emi_operation_grow and emi_operation_sync begin with it; before
 * emi_operation_reserve and emi_operation_punch it is called. Errors: EMMAP_CLOSED. */
emmap_error emi_operation_keep(operation_t *self);

/* LOCK_POP besides, if nobody has it. */
bool emi_operation_try_pop_lock(operation_t *self);

/* From here on LOCK_POP outlasts the operation, until emi_container_release_pop_lock. */
void emi_operation_keep_pop_lock(operation_t *self);

/* Gives LOCK_POP back, with `threads` held. */
void emi_container_release_pop_lock(container_t *self, const descriptor_t *descriptor);

/* Ends the operation, which came to `error`: the answer is EFAULT where a page has gone away meanwhile. */
emmap_error emi_operation_end(operation_t *self, emmap_error error);

/* operation_reach where the mapping is shorter; apart from the path that is hot. */
emmap_error emi_operation_follow(operation_t *self, uint64_t size);

/* Makes the mapping cover `size` bytes, if the file has them. The mapping may be another one afterwards. */
static inline emmap_error operation_reach(operation_t *self, uint64_t size)
{
    return size <= self->mapping->size ? EMMAP_OK : emi_operation_follow(self, size);
}

/* Makes file and mapping at least `size` bytes long. Errors: EMMAP_FULL with a fixed size; as emmap_resize. */
emmap_error emi_operation_grow(operation_t *self, uint64_t size);

/* The size that a structure grows to: by emmap_resize's steps until it is at least `needed`. */
uint64_t emi_operation_growth(const operation_t *self, uint64_t needed);

/* The same, from a size of the caller's. */
uint64_t emi_operation_growth_from(const operation_t *self, uint64_t size, uint64_t needed);

/*
 * Space that was given back, and is to be used again, has to be reserved: a write where the disk has no room for it would
 * be a fault. Reserves a range of the mapping. Errors: EAGAIN as emi_require_blocking; ENOSPC and what else fallocate says.
 */
emmap_error emi_operation_reserve(const operation_t *self, uint64_t from, uint64_t to);

/* Gives the disk space of the pages between these positions back, where that is possible. Errors: as emi_size_punch. */
emmap_error emi_operation_punch(const operation_t *self, uint64_t from, uint64_t to);

/* Whether an operation gives space back by itself: not from what was reserved for good by a fixed size, and not where
 * it was found to be impossible. */
bool emi_operation_gives_back(const operation_t *self);

/* So much has to be free before an operation gives space back by itself. */
#define GIVE_BACK_LEAST ((uint64_t)4 << 20)

/* Begins and ends a compaction: finds out how much space it gave back. Errors: ENOTSUP for a private mapping. */
emmap_error emi_operation_compact_begin(const operation_t *self, uint64_t *taken);
uint64_t emi_operation_compact_end(const operation_t *self, uint64_t taken);

/* Waits until everything that was stored so far, and the file's size, is on disk: an operation on what was synced
 * does that before a store that must not be there without them. Errors: EAGAIN as emi_require_blocking, with nothing done;
 * as emi_durability_sync. */
emmap_error emi_operation_sync(operation_t *self);

/* EMMAP_CORRUPT, unless the bytes are wrong because their page has gone away: EFAULT. */
emmap_error emi_operation_corrupt(const operation_t *self, uint64_t position, const char *reason);

/* Whether `length` bytes from `position` on are all 0. */
bool emi_operation_zeros(const operation_t *self, uint64_t position, uint64_t length);

/* Both structures begin with one of this many bytes. */
#define HEADER_SIZE 16

/* Begins an operation on a container that need not be the file's yet, under `subject`. */
emmap_error emi_operation_begin_on(emmap_file *file, container_t *container, lock_subject_t subject,
                                   operation_t *self);

#endif
