/* A container: the structure in a file: a queue, a block storage, a cell or a table. One operation at a time changes it
 * (operation.h). */
#ifndef EMMAP_CORE_CONTAINER_H
#define EMMAP_CORE_CONTAINER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "emmap.h"
#include "thread_lock.h"

typedef enum container_kind {
    CONTAINER_QUEUE,
    CONTAINER_BLOCKS,
    CONTAINER_CELL,
    CONTAINER_TABLE
} container_kind_t;

typedef struct container {
    container_kind_t kind;
    bool owns_locks; /* the handle is exclusive: it keeps both locks until it is closed */
    thread_lock_t threads;
    bool pop_locked;         /* the handle keeps LOCK_POP beyond an operation; under `threads` */
    bool no_holes;           /* the file system can't give space back; under `threads` */
    _Atomic uint64_t looked; /* when the path was last checked, in ms (stale.c) */
    atomic_bool stale;       /* the path named another file then */
    /* Called when the file is closed, to end waits; and when it is freed. NULL: nothing to do. */
    void (*closing)(struct container *self);
    void (*freeing)(struct container *self);
    /* Marks the file as synced: from now on every writer keeps what it holds through a power cut. */
    emmap_error (*note_synced)(emmap_file *file);
    /* Brings the container's file beside the data file to the disk. NULL: there is none. */
    emmap_error (*sync_beside)(emmap_file *file);
} container_t;

/* NULL is ignored. */
void emi_container_free(container_t *self);

#endif
