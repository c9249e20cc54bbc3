/* An operation on a block storage, and the functions that its files share. */
#ifndef EMMAP_CORE_BLOCKS_H
#define EMMAP_CORE_BLOCKS_H

#include "blocks_layout.h"
#include "emmap.h"
#include "operation.h"

typedef struct blocks {
    container_t base;
    blocks_shape_t shape; /* from when the file became a storage; never changes */
    bool follows;         /* accept whatever storage the file holds, also another one than at the open */
    /* Knowledge of this handle; under base.threads. */
    uint64_t durable;            /* the disk has at least this much of the file */
    uint64_t prepared;           /* the last leaf whose mask is on the disk; 0: none is known */
    int64_t prepared_last_group; /* the last group and the generation at the last check, */
    uint32_t generation;         /* and the time of that check in ns, since changes of others make it old */
    uint64_t prepared_at;
    uint64_t freed; /* bytes freed through this handle since the last compaction, less those stored again */
    uint64_t reserved_from,
        reserved_to; /* of an exclusive handle: the range of the file that is known to have no holes */
    bool settled;    /* the masks above the leaves are known to match the leaves' masks */
    /* The last header that was found sound, for a file of at least `sound_to` bytes; 0: none. */
    uint64_t sound_to;
    int64_t sound_last_group;
    uint32_t sound_word;
} blocks_t;

typedef struct blocks_operation {
    operation_t base;
    const blocks_shape_t *shape;
    blocks_shape_t anew; /* the storage's shape, if it has changed */
    uint32_t word;       /* the word at offset 4; changes along with the file's */
    int64_t last_group;  /* checked to be the offset of a group; changes along with the file's */
} blocks_operation_t;

static inline bool blocks_synced(const blocks_operation_t *self)
{
    return self->word & BLOCKS_SYNCED;
}

/* Whether the group was never initialised. */
static inline bool blocks_beyond(const blocks_operation_t *self, uint64_t offset)
{
    return self->last_group < 0 || offset > (uint64_t)self->last_group;
}

static inline uint64_t blocks_with_bit(uint64_t mask, unsigned bit, bool set)
{
    const uint64_t one = (uint64_t)1 << bit;
    return set ? mask | one : mask & ~one;
}

/* Attaches an open file that holds no container yet, as emmap_blocks_attach with the shape that it has.
 * EMMAP_OK if it already holds one. Errors: as emmap_blocks_attach. */
emmap_error emi_blocks_adopt_now(emmap_file *file);

static inline emmap_error blocks_adopt(emmap_file *file)
{
    return atomic_load_explicit(&file->container, memory_order_acquire) ? EMMAP_OK
                                                                        : emi_blocks_adopt_now(file);
}

/* Finds the shape of the storage in a file of at least 16 bytes. `levels` is the caller's number, or 0.
 * Errors: EINVAL for another number of levels, or if it can't be deduced; EMMAP_CORRUPT for a file that is no
 * storage. */
emmap_error emi_blocks_find_shape(operation_t *operation, unsigned levels, blocks_shape_t *shape);

/* Returns NULL, or the reason why no storage has this word at offset 4. */
const char *emi_blocks_word_wrong(uint32_t word);

/* Reads the header. Under the lock it also repairs what a dead process left. Errors: EMMAP_CORRUPT. */
emmap_error emi_blocks_ready(blocks_operation_t *self);

/* Whether the file still has the operation's block size and levels. */
bool emi_blocks_same_shape(const blocks_operation_t *self);

/* The level of the group at this offset; 0: no group begins there. */
unsigned emi_blocks_level_at(const blocks_shape_t *shape, uint64_t offset);

/* Stores the word at offset 4, or the mark alone. */
void emi_blocks_put_word(blocks_operation_t *self, uint32_t word);
void emi_blocks_mark(blocks_operation_t *self, uint32_t value);

/* Begin a change or a read. A change also repairs what a dead process left. On failure there is nothing to
 * end. Errors: as emi_operation_begin; EMMAP_CORRUPT. */
emmap_error emi_blocks_begin(emmap_file *file, blocks_operation_t *self);
emmap_error emi_blocks_begin_read(emmap_file *file, blocks_operation_t *self);

/* Begins a read like emi_operation_begin_read_unlocked. Errors: also EAGAIN if a change is in progress, or
 * its process died. */
emmap_error emi_blocks_begin_read_unlocked(emmap_file *file, blocks_operation_t *self);

/* Begins a change or read of a single block, without references for an exclusive handle. */
emmap_error emi_blocks_begin_one(emmap_file *file, blocks_operation_t *self);

/* Begins a change, also if the mark is invalid, which it then removes. */
emmap_error emi_blocks_begin_repair(emmap_file *file, blocks_operation_t *self);

/* The masks of a group. A leaf's `used` is the complement of `free`. */
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

/* Makes the masks of the groups on the path follow from the leaf's mask. */
void emi_blocks_settle(blocks_operation_t *self, const blocks_path_t *path);

/* The masks of an inner group as they follow from its 64 children. */
blocks_group_t emi_blocks_following(const blocks_operation_t *self, unsigned level, uint64_t offset);

/* Writes them. */
void emi_blocks_settle_group(blocks_operation_t *self, unsigned level, uint64_t offset);

/* The same for all groups. */
void emi_blocks_settle_all(blocks_operation_t *self);

/* Reads the offset of the last group, and extends the mapping to it. Errors: EMMAP_CORRUPT. */
emmap_error emi_blocks_refresh(blocks_operation_t *self);

/* Whether the masks above the leaves follow from the leaves' masks, and all blocks lie within the file. For a
 * handle that is open for reading: takes no lock. Errors: EMMAP_CORRUPT; as emi_blocks_begin_read. */
emmap_error emi_blocks_check(emmap_file *file);

/* The number of slots in leaves that were ever used. All ranks are below it. */
uint64_t emi_blocks_slots(const blocks_operation_t *self);

/* Whether a compaction is due when `bytes` more are freed. `last`: the storage is empty then. */
bool emi_blocks_compaction_due(const blocks_operation_t *self, uint64_t bytes, bool last);

/* Gives the space of free blocks back. Errors: EAGAIN as emi_require_blocking; as emi_operation_sync,
 * emi_size_punch; the storage is sound then, too. */
emmap_error emi_blocks_compact(blocks_operation_t *self);

/* Reserves the space that a store at the path's end writes to, if it may have been given back. Errors: as
 * emi_operation_reserve. */
emmap_error emi_blocks_reserve(blocks_operation_t *self, const blocks_path_t *path);

/* The error for an address without a block. */
emmap_error emi_blocks_none(void);

#endif
