/*
 * Exclusion between processes, and between handles of one process: open file description locks, which the
 * kernel takes back from a dead process, on bytes that no file reaches. (fcntl_locking(2), "Open file
 * description locks".) Threads that share a handle share its locks; they need a mutex besides.
 */
#ifndef EMMAP_CORE_LOCK_H
#define EMMAP_CORE_LOCK_H

#include <stdbool.h>

#include "emmap.h"

typedef enum lock_subject {
    LOCK_PRESENCE, /* held shared by every handle that may write, exclusively by an exclusive one, till closed */
    LOCK_SIZE,     /* held exclusively while the file's size changes; may be taken while holding STRUCTURE */
    LOCK_STRUCTURE,            /* held exclusively while what the file holds is made or changed */
    LOCK_TAKING,               /* held exclusively while a queue's first message is being taken out */
    LOCK_STRUCTURE_AND_TAKING, /* both, in one call: their bytes are neighbours */
} lock_subject;

typedef enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE } lock_mode;

/* Waits for as long as it takes. Errors: what fcntl says. */
emmap_error lock_acquire(int fd, lock_subject subject, lock_mode mode);

/* Errors: EBUSY where somebody else holds it in a way that excludes this. */
emmap_error lock_try(int fd, lock_subject subject, lock_mode mode);

void lock_release(int fd, lock_subject subject);
void lock_release_all(int fd);

#endif
