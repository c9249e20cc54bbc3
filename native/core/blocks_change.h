/* Changing which blocks there are, once nothing can fail any more. */
#ifndef EMMAP_CORE_BLOCKS_CHANGE_H
#define EMMAP_CORE_BLOCKS_CHANGE_H

#include "blocks.h"
#include "pause.h"

/* Where the mask of a block's leaf is, and which of its bits is the block's. A path goes through memory, which a store
 * or free of one block need not wait for. */
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

/* Writes the masks of the groups on the path that nobody has reached before. The last one's offset, or limo. */
int64_t emi_blocks_write_masks(blocks_operation_t *self, const blocks_path_t *path);

/* blocks_change where masks above the leaf follow; apart from the path that is hot. */
void emi_blocks_change_marked(blocks_operation_t *self, uint64_t address, uint64_t after, bool is_free);

/* Makes the block free or not, with all that follows from it. Nothing follows in a leaf that has both free and used
 * blocks before and after: one store does it all, and needs no mark. */
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
 * For a synced storage: brings the masks of the new groups that these blocks take into use to disk, before limo: a leaf
 * whose mask is not there would be full of blocks that nobody stored. With it go the masks of the leaves that come
 * next, so that at most one store in 4096 waits for the disk. Errors: as emi_operation_sync.
 */
emmap_error emi_blocks_prepare(blocks_operation_t *self, const uint64_t *addresses, size_t count);

#endif
