/* Bringing masks to the disk before the header includes them. */
#include "blocks_change.h"

#define SECOND ((uint64_t)1000000000)

/* Drops what this handle knows about masks on the disk, if another handle may have lowered the last group and
 * given the room back. The last group or the generation tells. A generation can't come back within a second,
 * since each one waits for the disk twice. */
static void check_prepared(blocks_operation_t *self)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    const uint32_t generation = self->word & BLOCKS_GENERATION;
    const uint64_t time = self->base.container->owns_locks ? 0 : emi_monotonic_now();
    if (self->shape != &storage->shape || generation != storage->generation ||
        self->last_group < storage->prepared_last_group || time - storage->prepared_at > SECOND)
        storage->prepared = 0;
    storage->generation = generation;
    storage->prepared_last_group = self->last_group;
    storage->prepared_at = time;
}

/* Writes the masks of the next leaves in the same group, as far as the file goes: beyond the last group there
 * may be any bytes. Returns the offset of the last leaf. */
static uint64_t write_next_leaves(blocks_operation_t *self, const blocks_path_t *path)
{
    uint64_t last = path->offset[1];
    for (unsigned child = path->child[2] + 1; child < BLOCKS_FANOUT; child++) {
        const uint64_t leaf = last + self->shape->sizes[1];
        const uint64_t place = BLOCKS_TREE + leaf, end = place + blocks_masks(1);
        if (end > self->base.mapping->size)
            break;
        if ((self->word & BLOCKS_HOLES) && emi_operation_reserve(&self->base, place, end) != EMMAP_OK)
            break;
        blocks_store64(self->base.mapping->data, BLOCKS_TREE + leaf, BLOCKS_ALL);
        last = leaf;
    }
    return last;
}

emmap_error emi_blocks_prepare(blocks_operation_t *self, const uint64_t *addresses, size_t count)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        const blocks_path_t path = blocks_path_of(self->shape, addresses[i]);
        if (!blocks_beyond(self, path.offset[1]))
            continue;
        if (last == 0)
            check_prepared(self);
        last = last > storage->prepared ? last : storage->prepared;
        if (path.offset[1] <= last)
            continue;
        emi_operation_keep(&self->base);
        emmap_error error = emi_require_blocking();
        if (error)
            return error;
        emi_blocks_write_masks(self, &path);
        last = write_next_leaves(self, &path);
    }
    if (last == 0 || last == storage->prepared)
        return EMMAP_OK;
    PAUSE("blocks_prepared");
    const emmap_error error = emi_operation_sync(&self->base);
    if (!error)
        storage->prepared = last;
    return error;
}
