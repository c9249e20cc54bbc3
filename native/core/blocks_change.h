/* Changing which blocks exist, when nothing can fail any more. */
#ifndef EMMAP_CORE_BLOCKS_CHANGE_H
#define EMMAP_CORE_BLOCKS_CHANGE_H

#include "blocks.h"
#include "pause.h"

/* The place of a block's bit: the offset of its leaf, and the bit in the mask. (A path is kept in memory,
 * which a store or free of one block does not need.) */
typedef struct blocks_leaf {
    uint64_t offset;
    unsigned child;
} blocks_leaf_t;

static inline blocks_leaf_t blocks_leaf_of(const blocks_shape_t *shape, uint64_t address)
{
    uint64_t offset = 0;
    for (unsigned level = shape->levels; level > 1; level--, address /= BLOCKS_FANOUT)
        offset += blocks_masks(level) + address % BLOCKS_FANOUT * shape->sizes[level - 1];
    return (blocks_leaf_t){offset, (unsigned)(address % BLOCKS_FANOUT)};
}

static inline bool blocks_same_above(uint64_t free_mask, uint64_t other)
{
    return (free_mask == 0) == (other == 0) && (free_mask == BLOCKS_ALL) == (other == BLOCKS_ALL);
}

/* Writes the first masks of those groups on the path that are new. Returns the offset of the last group then. */
int64_t emi_blocks_write_masks(blocks_operation_t *self, const blocks_path_t *path);

/* The slow path of blocks_change: masks above the leaf change, too. */
void emi_blocks_change_marked(blocks_operation_t *self, uint64_t address, uint64_t after, bool is_free);

/* Makes the block free or used, with all masks that follow. If the leaf has both free and used blocks before
 * and after, one store does it, and no mark is needed. */
static inline void blocks_change(blocks_operation_t *self, uint64_t address, blocks_leaf_t leaf, bool is_free)
{
    const uint64_t before = blocks_load(self, 1, leaf.offset).free;
    const uint64_t after = blocks_with_bit(before, leaf.child, is_free);
    if (!blocks_same_above(before, after) || blocks_beyond(self, leaf.offset)) {
        emi_blocks_change_marked(self, address, after, is_free);
        return;
    }
    blocks_store64(self->base.mapping->data, BLOCKS_TREE + leaf.offset, after);
    PAUSE("blocks_leaf_changed");
}

/*
 * For a synced storage: brings the first masks of the new groups for these blocks to the disk, before the
 * header includes them. Without its mask on the disk, a leaf could seem full of blocks that nobody stored.
 * The masks of the next leaves go along, so that at most one store in 4096 waits for the disk. Errors: as
 * emi_operation_sync.
 */
emmap_error emi_blocks_prepare(blocks_operation_t *self, const uint64_t *addresses, size_t count);

#endif
