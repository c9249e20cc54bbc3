/* The masks above the leaves, which follow from the leaves' masks. */
#include "blocks.h"

#include "pause.h"

/* Writes the masks of an inner group that change. */
static void put(blocks_operation_t *self, uint64_t offset, blocks_group_t before, blocks_group_t after)
{
    uint8_t *const data = self->base.mapping->data;
    if (after.free != before.free)
        blocks_store64(data, BLOCKS_TREE + offset, after.free);
    PAUSE("blocks_settle_free");
    if (after.used != before.used)
        blocks_store64(data, BLOCKS_TREE + offset + 8, after.used);
    PAUSE("blocks_settle_used");
}

void emi_blocks_settle(blocks_operation_t *self, const blocks_path_t *path)
{
    for (unsigned level = 2; level <= self->shape->levels; level++) {
        const uint64_t offset = path->offset[level];
        if (blocks_beyond(self, offset))
            continue;
        const blocks_group_t child = blocks_load(self, level - 1, path->offset[level - 1]);
        const blocks_group_t before = blocks_load(self, level, offset);
        const blocks_group_t after = {
            .free = blocks_with_bit(before.free, path->child[level], child.free != 0),
            .used = blocks_with_bit(before.used, path->child[level], child.used != 0)};
        put(self, offset, before, after);
    }
}

blocks_group_t emi_blocks_following(const blocks_operation_t *self, unsigned level, uint64_t offset)
{
    blocks_path_t path = {.offset = {[0] = 0}};
    path.offset[level] = offset;
    blocks_group_t after = {0};
    for (unsigned child = 0; child < BLOCKS_FANOUT; child++) {
        blocks_descend(self->shape, &path, level, child);
        const blocks_group_t below = blocks_load(self, level - 1, path.offset[level - 1]);
        after.free = blocks_with_bit(after.free, child, below.free != 0);
        after.used = blocks_with_bit(after.used, child, below.used != 0);
    }
    return after;
}

void emi_blocks_settle_group(blocks_operation_t *self, unsigned level, uint64_t offset)
{
    if (!blocks_beyond(self, offset))
        put(self, offset, blocks_load(self, level, offset), emi_blocks_following(self, level, offset));
}
