/* Exclusion between processes, and between handles of one process, by open file description locks
 * (fcntl_locking(2)) on bytes that no file reaches. The kernel releases the locks of a dead process. Threads
 * of one handle share its locks, and need a mutex besides. */
#ifndef EMMAP_CORE_LOCK_H
#define EMMAP_CORE_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "emmap.h"
#include "patience.h"

typedef enum lock_subject {
    LOCK_PRESENCE, /* shared by every handle that may write, or exclusive by an exclusive handle, until it is closed */
    LOCK_SIZE,              /* exclusive while the file's size changes; may be taken under CONTAINER */
    LOCK_CONTAINER,         /* exclusive while a container is made or changed */
    LOCK_POP,               /* exclusive while a queue's first message is reserved by a pop in two steps */
    LOCK_CONTAINER_AND_POP, /* both in one call: their bytes are neighbours */
    LOCK_JOIN,   /* exclusive while a handle prepares the file, or joins or leaves other writers (live.h) */
    LOCK_KERNEL, /* shared by every handle that excludes others by CONTAINER and POP, until it is closed */
} lock_subject_t;

typedef enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE } lock_mode_t;

/* How often a lock is tried at once. Its owner mostly has it for one or two microseconds; a sleep takes 50. */
#define LOCK_TRIES 50

/* Tries often, without a sleep. Errors: EBUSY if a lock of another handle excludes this one. */
emmap_error emi_lock_try_often(int fd, lock_subject_t subject, lock_mode_t mode);

/* Waits for the lock; with `patience` NULL without a limit. Errors: ETIMEDOUT; those of fcntl. */
emmap_error emi_lock_acquire(int fd, lock_subject_t subject, lock_mode_t mode, patience_t *patience);

/* Errors: EBUSY if a lock of another handle excludes this one. */
emmap_error emi_lock_try(int fd, lock_subject_t subject, lock_mode_t mode);

void emi_lock_release(int fd, lock_subject_t subject);

/* As emi_lock_try, for the byte at `offset`. */
emmap_error emi_lock_byte_try(int fd, off_t offset, lock_mode_t mode);
void emi_lock_byte_release(int fd, off_t offset);

/* Whether another open file description has an exclusive lock on that byte. True if the kernel does not tell. */
bool emi_lock_byte_is_held(int fd, off_t offset);

/* Whether another handle has any lock in the range; *at is the first byte of one. Errors: those of fcntl. */
emmap_error emi_lock_range_is_held(int fd, off_t from, off_t length, bool *held, off_t *at);
emmap_error emi_lock_is_held(int fd, lock_subject_t subject, bool *held);

/* The same for exclusive locks alone; *from and *to are the first and the last byte of one. */
emmap_error emi_lock_range_is_owned(int fd, off_t first, off_t length, bool *held, off_t *from, off_t *to);
emmap_error emi_lock_is_owned(int fd, lock_subject_t subject, bool *held);

/* All writers that use the same live folder lock the same byte of this range, shared. */
#define LOCK_LIVE_BASE (((off_t)1 << 62) + ((off_t)1 << 61))
#define LOCK_LIVE_LENGTH (((off_t)1 << 61) - 1)

/* Handles without a live folder lock the same byte of this range, shared, if they use the same file of messages in hand. */
#define LOCK_TAKEN_BASE (((off_t)1 << 62) + ((off_t)1 << 60))
#define LOCK_TAKEN_LENGTH ((off_t)1 << 59)

void emi_lock_release_all(int fd);

#endif
