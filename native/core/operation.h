/*
 * An operation on a container. One at a time changes it: `threads`
 * excludes the handle's own threads, the locks of lock.h other handles and processes. A handle opened
 * exclusively takes those locks when it attaches and keeps them, and then makes no system call per operation.
 *
 * An operation holds references of its own on descriptor and mapping, not a pin: it may wait, and a close
 * meanwhile neither waits for it nor pulls anything away from under it. One on a single block of an exclusive
 * handle begins with a pin, and takes the references only before it does what may take long.
 *
 * Locks: `threads`, then LOCK_STRUCTURE, then what file.h lists.
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
typedef struct hold {
    emmap_file *file;
    structure *structure;
    descriptor *descriptor; /* with a reference; NULL when only looking, or under a pin */
    emmap_mapping *mapping; /* with a reference, or under the pin */
    pin *pin;               /* NULL: the references are held */
    unsigned files;         /* file->files when it began */
    bool mutexed;           /* `threads` is locked */
    bool locked;            /* and LOCK_STRUCTURE */
    bool taking;            /* and LOCK_TAKING */
    word *waited;   /* NULL, or the word that says whether somebody waits for what the operation does */
    bool is_waited; /* what it said, once the lock was given back */
} hold;

/* What the file holds, if it is of that kind. Errors: EMMAP_CLOSED; EINVAL. */
emmap_error structure_of(emmap_file *file, structure_kind kind, structure **result);

/*
 * Begins an operation that changes the structure, under LOCK_STRUCTURE, which it waits for, or under
 * LOCK_STRUCTURE_AND_TAKING. On failure there is nothing to end.
 * Errors: EACCES; EMMAP_CLOSED; EFAULT; EBUSY where somebody is taking a message out; ETIMEDOUT; what fcntl says.
 */
emmap_error hold_begin(emmap_file *file, structure_kind kind, lock_subject subject, hold *self);

/* Begins one that looks: as hold_begin for a handle that may write, without any lock for one that may not. */
emmap_error hold_look(emmap_file *file, structure_kind kind, hold *self);

/* Begins one that looks and excludes this handle's own threads alone, for two system calls less; others may change
 * anything meanwhile. As hold_begin_brief for an exclusive handle, and as hold_look for one that may not write. */
emmap_error hold_glance(emmap_file *file, structure_kind kind, hold *self);

/* As hold_begin; for an exclusive handle with a pin instead of references. Nothing longer than EMMAP_PIECE is copied
 * under it, and nothing is waited for before hold_keep. */
emmap_error hold_begin_brief(emmap_file *file, structure_kind kind, hold *self);

/* Exchanges the pin, if there is one, for references. hold_follow, hold_grow and hold_sync begin with it; before
 * hold_reserve and hold_punch it is called. Errors: EMMAP_CLOSED. */
emmap_error hold_keep(hold *self);

/* LOCK_TAKING besides, if nobody has it. */
bool hold_try_taking(hold *self);

/* From here on LOCK_TAKING outlasts the operation, until structure_taken. */
void hold_keep_taking(hold *self);

/* Gives LOCK_TAKING back, with `threads` held. */
void structure_taken(structure *self, const descriptor *descriptor);

/* Ends the operation, which came to `error`: the answer is EFAULT where a page has gone away meanwhile. */
emmap_error hold_end(hold *self, emmap_error error);

/* hold_reach where the mapping is shorter; apart from the path that is hot. */
emmap_error hold_follow(hold *self, uint64_t size);

/* Makes the mapping cover `size` bytes, if the file has them. The mapping may be another one afterwards. */
static inline emmap_error hold_reach(hold *self, uint64_t size)
{
    return size <= self->mapping->size ? EMMAP_OK : hold_follow(self, size);
}

/* Makes file and mapping at least `size` bytes long. Errors: EMMAP_FULL with a fixed size; as emmap_resize. */
emmap_error hold_grow(hold *self, uint64_t size);

/* The size that a structure grows to: by emmap_resize's steps until it is at least `needed`. */
uint64_t hold_growth(const hold *self, uint64_t needed);

/* The same, from a size of the caller's. */
uint64_t hold_growth_from(const hold *self, uint64_t size, uint64_t needed);

/*
 * Space that was given back, and is to be used again, has to be reserved: a write where the disk has no room for it would
 * be a fault. Reserves a range of the mapping. Errors: EAGAIN as structure_wait; ENOSPC and what else fallocate says.
 */
emmap_error hold_reserve(const hold *self, uint64_t from, uint64_t to);

/* Gives the disk space of the pages between these positions back, where that is possible. Errors: as size_punch. */
emmap_error hold_punch(const hold *self, uint64_t from, uint64_t to);

/* Whether an operation gives space back by itself: not from what was reserved for good by a fixed size, and not where
 * it was found to be impossible. */
bool hold_gives_back(const hold *self);

/* So much has to be free before an operation gives space back by itself. */
#define GIVE_BACK_LEAST ((uint64_t)4 << 20)

/* Begins and ends a compaction: finds out how much space it gave back. Errors: ENOTSUP for a private mapping. */
emmap_error hold_compact_begin(const hold *self, uint64_t *taken);
uint64_t hold_compact_end(const hold *self, uint64_t taken);

/* Waits until everything that was stored so far, and the file's size, is on disk: an operation on what was synced
 * does that before a store that must not be there without them. Errors: EAGAIN as structure_wait, with nothing done;
 * as durability_sync. */
emmap_error hold_sync(hold *self);

/* EMMAP_CORRUPT, unless the bytes are wrong because their page has gone away: EFAULT. */
emmap_error hold_corrupt(const hold *self, uint64_t position, const char *reason);

/* Whether `length` bytes from `position` on are all 0. */
bool hold_zeros(const hold *self, uint64_t position, uint64_t length);

/* Both structures begin with one of this many bytes. */
#define HEADER_SIZE 16

/* Begins an operation on a container that need not be the file's yet, under `subject`. */
emmap_error hold_begin_on(emmap_file *file, structure *structure, lock_subject subject, hold *self);

#endif
