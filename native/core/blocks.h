/* An operation on a block storage, and what its parts need of one another. */
#ifndef EMMAP_CORE_BLOCKS_H
#define EMMAP_CORE_BLOCKS_H

#include "blocks_layout.h"
#include "emmap.h"
#include "structure.h"

typedef struct blocks {
    structure base;
    blocks_shape shape;
    /* What this handle knows; under base.threads. */
    uint64_t durable;  /* so long the file is on disk at the least */
    uint64_t prepared; /* the last leaf with a mask on disk; 0: none is known to have one */
    bool settled;      /* the masks have been seen to follow from the leaves' */
} blocks;

typedef struct blocks_operation {
    hold hold;
    const blocks_shape *shape;
    bool synced;
    int64_t limo; /* as it was read and found to be a group's; the file's is changed with it */
} blocks_operation;

/* Begin a change or a look. A change finds repaired what a dead process left. On failure there is nothing to end.
 * Errors: as hold_begin; EMMAP_CORRUPT. */
emmap_error blocks_begin(emmap_file *file, blocks_operation *self);
emmap_error blocks_look(emmap_file *file, blocks_operation *self);

/* Begins a look as hold_glance does. Errors: also EAGAIN where somebody is changing the storage, or died of it. */
emmap_error blocks_glance(emmap_file *file, blocks_operation *self);

/* Begins a change that goes on with a mark that makes no sense: it is taken away. */
emmap_error blocks_begin_repair(emmap_file *file, blocks_operation *self);

/* A group's masks; a leaf's `used` is what is not free. */
typedef struct blocks_group {
    uint64_t free;
    uint64_t used;
} blocks_group;

blocks_group blocks_load(const blocks_operation *self, unsigned level, uint64_t offset);

/* Makes the masks of the path's groups follow from the leaf's. */
void blocks_settle(blocks_operation *self, const blocks_path *path);

/* The same for all 64 children of a group. */
void blocks_settle_group(blocks_operation *self, unsigned level, uint64_t offset);

/* The same for all groups. */
void blocks_settle_all(blocks_operation *self);

/* Reads limo, and follows the file to where it is. Errors: EMMAP_CORRUPT. */
emmap_error blocks_refresh(blocks_operation *self);

/* "No such block". */
emmap_error blocks_none(void);

#endif
