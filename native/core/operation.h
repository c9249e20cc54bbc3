/*
 * An operation on a container. One operation at a time changes it: `threads` excludes the handle's own
 * threads, the locks of lock.h and live.h exclude other handles and processes. An exclusive handle takes
 * these locks when it attaches and keeps them, so its operations make no system call.
 *
 * An operation holds references to descriptor and mapping, not a pin: it may wait, and a close meanwhile must
 * neither wait for it nor take anything away. An operation on a single block begins with a pin if it
 * finds no lock taken, and takes references only before a step that may take long.
 *
 * Order of locks: `threads`, then LOCK_CONTAINER, then those of file.h.
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

/* A running operation. */
typedef struct operation {
    emmap_file *file;
    container_t *container;
    descriptor_t *descriptor; /* with a reference, or under the pin; NULL for an unlocked read */
    emmap_mapping *mapping;   /* with a reference, or under the pin */
    pin_t *pin;               /* NULL: the operation holds references */
    unsigned files;           /* file->files when it began */
    bool mutexed;             /* `threads` is locked */
    bool locked;              /* LOCK_CONTAINER, or the live folder's lock, is held */
    bool pop_locked;          /* LOCK_POP is held, too */
    word_t *waited; /* NULL, or the word that tells whether somebody waits for this kind of change */
    bool is_waited; /* the answer of that word, after the lock was released */
} operation_t;

/* The file's container, if it has this kind. Errors: EMMAP_CLOSED; EINVAL. */
emmap_error emi_container_get(emmap_file *file, container_kind_t kind, container_t **result);

/*
 * Begins an operation that changes the container. Waits for LOCK_CONTAINER. With LOCK_CONTAINER_AND_POP it
 * also takes LOCK_POP, for which it does not wait. On failure there is nothing to end.
 * Errors: EACCES; EMMAP_CLOSED; EFAULT; EBUSY if another caller is popping in two steps; ETIMEDOUT; those of
 * fcntl.
 */
emmap_error emi_operation_begin(emmap_file *file, container_kind_t kind, lock_subject_t subject,
                                operation_t *self);

/* Begins an operation that reads. Takes the same lock as emi_operation_begin, or none if the handle is
 * read-only. */
emmap_error emi_operation_begin_read(emmap_file *file, container_kind_t kind, operation_t *self);

/* Begins an operation that reads without LOCK_CONTAINER: it excludes only other threads of this handle, and
 * others may change anything meanwhile. An exclusive handle takes emi_operation_begin_brief, a read-only one
 * emi_operation_begin_read. */
emmap_error emi_operation_begin_read_unlocked(emmap_file *file, container_kind_t kind, operation_t *self);

/* As emi_operation_begin, but with a pin instead of references if no lock is taken: references cost six locked
 * instructions. Until emi_operation_keep the operation must not wait and must not copy more than EMMAP_PIECE
 * bytes. */
emmap_error emi_operation_begin_brief(emmap_file *file, container_kind_t kind, operation_t *self);

/* Replaces a pin by references. The functions that follow, grow and sync call it; before reserve and punch
 * the caller does. */
void emi_operation_keep(operation_t *self);

/* Takes LOCK_POP, too, if it is free. */
bool emi_operation_try_pop_lock(operation_t *self);

/* Keeps LOCK_POP beyond this operation, until emi_container_release_pop_lock. */
void emi_operation_keep_pop_lock(operation_t *self);

/* Releases LOCK_POP. The caller holds `threads`. */
void emi_container_release_pop_lock(container_t *self, const descriptor_t *descriptor);

/* Ends the operation with the result `error`, or with EFAULT if a page has gone away meanwhile. */
emmap_error emi_operation_end(operation_t *self, emmap_error error);

/* The slow path of operation_reach: the mapping is shorter. */
emmap_error emi_operation_follow(operation_t *self, uint64_t size);

/* Makes the mapping cover `size` bytes, if the file has them. This may replace the mapping. */
static inline emmap_error operation_reach(operation_t *self, uint64_t size)
{
    return size <= self->mapping->size ? EMMAP_OK : emi_operation_follow(self, size);
}

/* Makes file and mapping at least `size` bytes long. Errors: EMMAP_FULL with a fixed size; as emmap_resize. */
emmap_error emi_operation_grow(operation_t *self, uint64_t size);

/* The size to which a container grows: the first one of emmap_resize's steps that is at least `needed`. */
uint64_t emi_operation_growth(const operation_t *self, uint64_t needed);

/* The same, counted from `size`. */
uint64_t emi_operation_growth_from(const operation_t *self, uint64_t size, uint64_t needed);

/* Reserves disk space for a range of the mapping that was given back. Without that a write on a full disk
 * would be a fault. Errors: EAGAIN as emi_require_blocking; ENOSPC and the like from fallocate. */
emmap_error emi_operation_reserve(const operation_t *self, uint64_t from, uint64_t to);

/* Gives the disk space of the pages between these positions back, if the file system can. Errors: as
 * emi_size_punch. */
emmap_error emi_operation_punch(const operation_t *self, uint64_t from, uint64_t to);

/* Whether operations may give space back by themselves: not with a fixed size, whose space is reserved for
 * good, and not after the file system has refused. */
bool emi_operation_gives_back(const operation_t *self);

/* Operations give space back only if at least this much is free. */
#define GIVE_BACK_LEAST ((uint64_t)4 << 20)

/* Begin and end a compaction, and tell how much space it gave back. Errors: ENOTSUP for a private mapping. */
emmap_error emi_operation_compact_begin(const operation_t *self, uint64_t *taken);
uint64_t emi_operation_compact_end(const operation_t *self, uint64_t taken);

/* Waits until all stores so far, and the file's size, are on the disk. An operation on synced data calls it
 * before a store that the disk must not have without them. Errors: EAGAIN as emi_require_blocking, before
 * anything is done; as emi_durability_sync. */
emmap_error emi_operation_sync(operation_t *self);

/* Returns EMMAP_CORRUPT, or EFAULT if the bytes are wrong because their page has gone away. */
emmap_error emi_operation_corrupt(const operation_t *self, uint64_t position, const char *reason);

/* Whether `length` bytes from `position` on are all 0. */
bool emi_operation_zeros(const operation_t *self, uint64_t position, uint64_t length);

/* Every container begins with a header of this size. */
#define HEADER_SIZE 16

/* Begins an operation on a container that may not be the file's yet. */
emmap_error emi_operation_begin_on(emmap_file *file, container_t *container, lock_subject_t subject,
                                   operation_t *self);

#endif
