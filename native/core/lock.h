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

/* How long an operation goes on waiting for all the locks that it needs. It counts from the first wait on. */
typedef struct patience {
    uint64_t limit; /* ms; EMMAP_NO_LIMIT */
    uint64_t end;   /* ns, once it counts; else 0 */
    long pause;     /* ns, until the next try */
} patience;

/* By the file's lock_timeout, the process's limit and emmap_may_wait. */
patience patience_of(const emmap_options *options);

/* Sleeps a little, each time longer. Errors: ETIMEDOUT, at once, when the time is over. */
emmap_error patience_rest(patience *self);

/* Whether the calling thread may do what takes long (emmap_may_wait). */
bool patience_for_work(void);

/* How often a lock is tried at once. Who has it mostly has it for a microsecond or two, and to sleep takes 50. */
#define LOCK_TRIES 50

/* Tries often, without a sleep. Errors: EBUSY where somebody else holds it in a way that excludes this. */
emmap_error lock_try_often(int fd, lock_subject subject, lock_mode mode);

/* Waits for the lock; `patience` NULL: as long as it takes. Errors: ETIMEDOUT; what fcntl says. */
emmap_error lock_acquire(int fd, lock_subject subject, lock_mode mode, patience *patience);

/* Errors: EBUSY where somebody else holds it in a way that excludes this. */
emmap_error lock_try(int fd, lock_subject subject, lock_mode mode);

void lock_release(int fd, lock_subject subject);
void lock_release_all(int fd);

#endif
