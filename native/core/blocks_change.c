#include "blocks_change.h"

int64_t emi_blocks_write_masks(blocks_operation_t *self, const blocks_path_t *path)
{
    uint8_t *const data = self->base.mapping->data;
    int64_t last = self->last_group;
    for (unsigned level = self->shape->levels; level > 0; level--) {
        const uint64_t offset = path->offset[level];
        if (!blocks_beyond(self, offset))
            continue;
        if (level > 1)
            blocks_store64(data, BLOCKS_TREE + offset + 8, 0);
        PAUSE("block_store_group_begun");
        blocks_store64(data, BLOCKS_TREE + offset, BLOCKS_ALL);
        PAUSE("block_store_group");
        last = (int64_t)offset;
    }
    return last;
}

/* Takes the new groups on the path into use: first their masks, then the header's last group. */
static void initialise(blocks_operation_t *self, const blocks_path_t *path)
{
    const int64_t last = emi_blocks_write_masks(self, path);
    if (last != self->last_group) {
        blocks_store64(self->base.mapping->data, BLOCKS_LAST_GROUP, (uint64_t)last);
        self->last_group = last;
        PAUSE("block_store_limo");
    }
}

void emi_blocks_change_marked(blocks_operation_t *self, uint64_t address, uint64_t after, bool is_free)
{
    const blocks_path_t path = blocks_path_of(self->shape, address);
    const uint64_t leaves = blocks_capacity(self->shape) / BLOCKS_FANOUT;
    emi_blocks_mark(self, (uint32_t)(address & (leaves - 1)) + 1);
    PAUSE("blocks_marked");
    if (!is_free)
        initialise(self, &path);
    blocks_store64(self->base.mapping->data, BLOCKS_TREE + path.offset[1], after);
    PAUSE("blocks_leaf_changed");
    emi_blocks_settle(self, &path);
    emi_blocks_mark(self, 0);
    PAUSE("blocks_unmarked");
}
