/*
 * Exclusion between processes, and between handles of one process: open file description locks, which the
 * kernel takes back from a dead process, on bytes that no file reaches. (fcntl_locking(2), "Open file
 * description locks".) Threads that share a handle share its locks; they need a mutex besides.
 */
#ifndef EMMAP_CORE_LOCK_H
#define EMMAP_CORE_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "emmap.h"
#include "patience.h"

typedef enum lock_subject {
    LOCK_PRESENCE, /* held shared by every handle that may write, exclusively by an exclusive one, till closed */
    LOCK_SIZE,     /* held exclusively while the file's size changes; may be taken while holding STRUCTURE */
    LOCK_CONTAINER,         /* held exclusively while what the file holds is made or changed */
    LOCK_POP,               /* held exclusively while a queue's first message is being taken out */
    LOCK_CONTAINER_AND_POP, /* both, in one call: their bytes are neighbours */
    LOCK_JOIN, /* held exclusively while a handle prepares the file, or begins or ends to exclude others (live.h) */
    LOCK_KERNEL, /* held shared by every handle that excludes others by STRUCTURE and TAKING, till closed */
} lock_subject_t;

typedef enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE } lock_mode_t;

/* How often a lock is tried at once. Who has it mostly has it for a microsecond or two, and to sleep takes 50. */
#define LOCK_TRIES 50

/* Tries often, without a sleep. Errors: EBUSY where somebody else holds it in a way that excludes this. */
emmap_error emi_lock_try_often(int fd, lock_subject_t subject, lock_mode_t mode);

/* Waits for the lock; `patience` NULL: as long as it takes. Errors: ETIMEDOUT; what fcntl says. */
emmap_error emi_lock_acquire(int fd, lock_subject_t subject, lock_mode_t mode, patience_t *patience);

/* Errors: EBUSY where somebody else holds it in a way that excludes this. */
emmap_error emi_lock_try(int fd, lock_subject_t subject, lock_mode_t mode);

void emi_lock_release(int fd, lock_subject_t subject);

/* As emi_lock_try, for the byte at `offset`. */
emmap_error emi_lock_byte_try(int fd, off_t offset, lock_mode_t mode);
void emi_lock_byte_release(int fd, off_t offset);

/* Whether another open file description holds that byte exclusively. True where the kernel does not say. */
bool emi_lock_byte_is_held(int fd, off_t offset);

/* Whether another holds any lock there; then *at is the first byte of one of them. Errors: what fcntl says. */
emmap_error emi_lock_range_is_held(int fd, off_t from, off_t length, bool *held, off_t *at);
emmap_error emi_lock_is_held(int fd, lock_subject_t subject, bool *held);

/* Writers that use the same live folder hold the same byte of this range, shared. */
#define LOCK_LIVE_BASE (((off_t)1 << 62) + ((off_t)1 << 61))
#define LOCK_LIVE_LENGTH (((off_t)1 << 61) - 1)

void emi_lock_release_all(int fd);

#endif
