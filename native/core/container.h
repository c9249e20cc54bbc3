/*
 * What a file holds beyond bytes: a queue or a block storage. One operation at a time changes it (operation.h).
 */
#ifndef EMMAP_CORE_CONTAINER_H
#define EMMAP_CORE_CONTAINER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "emmap.h"
#include "thread_lock.h"

typedef enum container_kind { CONTAINER_QUEUE, CONTAINER_BLOCKS } container_kind_t;

typedef struct container {
    container_kind_t kind;
    bool owns_locks; /* both locks are this handle's until it is closed */
    thread_lock_t threads;
    bool pop_locked;         /* LOCK_POP is this handle's beyond the operation; under `threads` */
    bool no_holes;           /* space can't be given back here; under `threads` */
    _Atomic uint64_t looked; /* when the path was looked at last, in ms (stale.c) */
    atomic_bool stale;       /* and whether it meant another file then */
    /* Before the file is closed, which ends waits for what it holds; and frees what belongs to those. NULL: none. */
    void (*closing)(struct container *self);
    void (*freeing)(struct container *self);
    /* Notes in the file, for all who change it from now on, that what it holds has to survive a power cut. */
    emmap_error (*note_synced)(emmap_file *file);
} container_t;

/* NULL is ignored. */
void emi_container_free(container_t *self);

#endif
