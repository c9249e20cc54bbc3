/* An operation on a block storage, and what its parts need of one another. */
#ifndef EMMAP_CORE_BLOCKS_H
#define EMMAP_CORE_BLOCKS_H

#include "blocks_layout.h"
#include "emmap.h"
#include "operation.h"

typedef struct blocks {
    container_t base;
    blocks_shape_t shape; /* as it was when the file became a storage; never changes */
    bool follows;         /* whatever storage the file holds is taken, also another one than it was */
    /* What this handle knows; under base.threads. */
    uint64_t durable;            /* so long the file is on disk at the least */
    uint64_t prepared;           /* the last leaf with a mask on disk; 0: none is known to have one */
    int64_t prepared_last_group; /* limo and generation when that was found out or used last, */
    uint32_t generation;         /* and when, in nanoseconds: what others do makes it old */
    uint64_t prepared_at;
    uint64_t
        freed; /* bytes that were freed through this handle, and not stored again, since the last compaction */
    uint64_t reserved_from,
        reserved_to; /* of an exclusive handle: where the file is known to have no holes */
    bool settled;    /* the masks have been seen to follow from the leaves' */
    /* The last header that was found sound, for a file of `sound_to` bytes or more; 0: none was. */
    uint64_t sound_to;
    int64_t sound_last_group;
    uint32_t sound_word;
} blocks_t;

typedef struct blocks_operation {
    operation_t base;
    const blocks_shape_t *shape;
    blocks_shape_t anew; /* the storage's, where it is not what it was */
    uint32_t word;       /* at offset 4; the file's is changed with it */
    int64_t last_group;  /* as it was read and found to be a group's; the file's is changed with it */
} blocks_operation_t;

static inline bool blocks_synced(const blocks_operation_t *self)
{
    return self->word & BLOCKS_SYNCED;
}

/* A group that nobody has reached. */
static inline bool blocks_beyond(const blocks_operation_t *self, uint64_t offset)
{
    return self->last_group < 0 || offset > (uint64_t)self->last_group;
}

static inline uint64_t blocks_with_bit(uint64_t mask, unsigned bit, bool set)
{
    const uint64_t one = (uint64_t)1 << bit;
    return set ? mask | one : mask & ~one;
}

/* Makes a storage of an open file that is none yet, as the file is. EMMAP_OK also for a file that is anything
 * already. Errors: as emmap_blocks_attach. */
emmap_error emi_blocks_adopt_now(emmap_file *file);

static inline emmap_error blocks_adopt(emmap_file *file)
{
    return atomic_load_explicit(&file->container, memory_order_acquire) ? EMMAP_OK
                                                                        : emi_blocks_adopt_now(file);
}

/* Finds out what storage a file of 16 bytes or more holds. `levels` is what the caller says of it, or 0.
 * Errors: EINVAL for another number of levels, or where that can't be told; EMMAP_CORRUPT for what is none. */
emmap_error emi_blocks_find_shape(operation_t *operation, unsigned levels, blocks_shape_t *shape);

/* NULL, or what no storage has in the word at offset 4. */
const char *emi_blocks_word_wrong(uint32_t word);

/* Reads the header and, under the lock, repairs what a dead process left. Errors: EMMAP_CORRUPT. */
emmap_error emi_blocks_ready(blocks_operation_t *self);

/* Whether the file says that the storage has the operation's block size and levels. */
bool emi_blocks_same_shape(const blocks_operation_t *self);

/* The level of the group at this offset; 0: no group begins there. */
unsigned emi_blocks_level_at(const blocks_shape_t *shape, uint64_t offset);

/* Stores the word at offset 4, or the mark alone. */
void emi_blocks_put_word(blocks_operation_t *self, uint32_t word);
void emi_blocks_mark(blocks_operation_t *self, uint32_t value);

/* Begin a change or a look. A change finds repaired what a dead process left. On failure there is nothing to end.
 * Errors: as emi_operation_begin; EMMAP_CORRUPT. */
emmap_error emi_blocks_begin(emmap_file *file, blocks_operation_t *self);
emmap_error emi_blocks_begin_read(emmap_file *file, blocks_operation_t *self);

/* Begins a look as emi_operation_begin_read_unlocked does. Errors: also EAGAIN where somebody is changing the storage, or died of it. */
emmap_error emi_blocks_begin_read_unlocked(emmap_file *file, blocks_operation_t *self);

/* Begins a change or a look that is about a single block; an exclusive handle pays for no reference then. */
emmap_error emi_blocks_begin_one(emmap_file *file, blocks_operation_t *self);

/* Begins a change that goes on with a mark that makes no sense: it is taken away. */
emmap_error emi_blocks_begin_repair(emmap_file *file, blocks_operation_t *self);

/* A group's masks; a leaf's `used` is what is not free. */
typedef struct blocks_group {
    uint64_t free;
    uint64_t used;
} blocks_group_t;

static inline blocks_group_t blocks_load(const blocks_operation_t *self, unsigned level, uint64_t offset)
{
    if (blocks_beyond(self, offset))
        return (blocks_group_t){.free = BLOCKS_ALL, .used = 0};
    const uint8_t *const data = self->base.mapping->data;
    const uint64_t free_mask = blocks_load64(data, BLOCKS_TREE + offset);
    return (blocks_group_t){.free = free_mask,
                            .used = level == 1 ? ~free_mask : blocks_load64(data, BLOCKS_TREE + offset + 8)};
}

/* Makes the masks of the path's groups follow from the leaf's. */
void emi_blocks_settle(blocks_operation_t *self, const blocks_path_t *path);

/* The same for all 64 children of a group. */
void emi_blocks_settle_group(blocks_operation_t *self, unsigned level, uint64_t offset);

/* The same for all groups. */
void emi_blocks_settle_all(blocks_operation_t *self);

/* Reads limo, and follows the file to where it is. Errors: EMMAP_CORRUPT. */
emmap_error emi_blocks_refresh(blocks_operation_t *self);

/* How many slots the leaves have that were ever used: all ranks below it. */
uint64_t emi_blocks_slots(const blocks_operation_t *self);

/* Whether a compaction is due, with so many bytes being freed; `last`: the storage is empty then. */
bool emi_blocks_compaction_due(const blocks_operation_t *self, uint64_t bytes, bool last);

/* Gives the space of free blocks back. Errors: EAGAIN as emi_require_blocking; as emi_operation_sync, emi_size_punch; the storage is sound
 * then as well. */
emmap_error emi_blocks_compact(blocks_operation_t *self);

/* Reserves what storing the block at the path's end writes to, where it may have been given back. Errors: as
 * emi_operation_reserve. */
emmap_error emi_blocks_reserve(blocks_operation_t *self, const blocks_path_t *path);

/* "No such block". */
emmap_error emi_blocks_none(void);

#endif
