/*
 * Giving the space of free blocks back to the disk. The file keeps its size, so that no mapping of it faults.
 *
 *   1. The word at offset 4 records that there are holes: from then on stores reserve space.
 *   2. The last group becomes the last leaf that has a block. The groups behind it count as never used.
 *   3. The pages behind this leaf become holes, and the pages before it that hold only free blocks.
 *
 * A process killed in between leaves space to the next compaction. For a synced storage the disk has the
 * freed blocks' masks before step 1, and header and word before step 3: with the old last group on the disk,
 * masks that are gone would look like those of full leaves.
 */
#include "blocks.h"

#include <errno.h>

#include "error.h"
#include "pause.h"
#include "platform.h"
#include "size.h"

/* How much an exclusive handle reserves at once. */
#define RESERVED_AT_ONCE ((uint64_t)1 << 20)

/* ---- Giving back ---- */

/* The number of leaves up to the last one, of the first `leaves`, that has a block. */
static uint64_t used_leaves(const blocks_operation_t *self, uint64_t leaves)
{
    for (; leaves > 0; leaves--) {
        const blocks_path_t path = blocks_path_of_rank(self->shape, (leaves - 1) * BLOCKS_FANOUT);
        if (blocks_load(self, 1, path.offset[1]).used != 0)
            break;
    }
    return leaves;
}

static emmap_error lower(blocks_operation_t *self, int64_t last_group)
{
    uint32_t word = self->word | BLOCKS_HOLES;
    if (last_group != self->last_group && blocks_synced(self))
        word = (word & ~BLOCKS_GENERATION) | ((word + BLOCKS_GENERATION_ONE) & BLOCKS_GENERATION);
    emi_blocks_put_word(self, word);
    PAUSE("blocks_compact_noted");
    if (last_group != self->last_group) {
        blocks_store64(self->base.mapping->data, BLOCKS_LAST_GROUP, (uint64_t)last_group);
        self->last_group = last_group;
    }
    PAUSE("blocks_compact_lowered");
    return blocks_synced(self) ? emi_operation_sync(&self->base) : EMMAP_OK;
}

/* Punches the runs of free blocks in a leaf. */
static emmap_error punch_leaf(const blocks_operation_t *self, uint64_t rank)
{
    const blocks_path_t path = blocks_path_of_rank(self->shape, rank);
    const uint64_t size = self->shape->block_size, used = blocks_load(self, 1, path.offset[1]).used;
    const uint64_t first = BLOCKS_TREE + path.offset[1] + blocks_masks(1), page = emi_platform_page_size();
    emmap_error error = EMMAP_OK;
    for (unsigned child = 0, end; child < BLOCKS_FANOUT && !error; child = end + 1) {
        for (end = child; end < BLOCKS_FANOUT && !(used >> end & 1); end++)
            ;
        /* Small blocks rarely leave a whole page free. */
        if ((end - child) * size >= page)
            error = emi_operation_punch(&self->base, first + child * size, first + end * size);
    }
    return error;
}

static emmap_error punch(const blocks_operation_t *self, uint64_t leaves)
{
    uint64_t end = BLOCKS_TREE;
    emmap_error error = EMMAP_OK;
    if (leaves > 0)
        end +=
            blocks_path_of_rank(self->shape, (leaves - 1) * BLOCKS_FANOUT).offset[1] + self->shape->sizes[1];
    if (end < self->base.mapping->size)
        error = emi_operation_punch(&self->base, end, self->base.mapping->size);
    PAUSE("blocks_compact_cut");
    /* If no leaf has a whole page, no run of free blocks has. */
    if (self->shape->sizes[1] >= emi_platform_page_size())
        for (uint64_t leaf = 0; leaf < leaves && !error; leaf++)
            error = punch_leaf(self, leaf * BLOCKS_FANOUT);
    PAUSE("blocks_compact_done");
    return error;
}

emmap_error emi_blocks_compact(blocks_operation_t *self)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    if (self->shape->block_size == 0)
        return EMMAP_OK;
    emi_operation_keep(&self->base);
    emmap_error error = emi_require_blocking();
    if (!error && blocks_synced(self))
        error = emi_operation_sync(&self->base);
    if (error)
        return error;
    const uint64_t leaves = used_leaves(self, emi_blocks_slots(self) / BLOCKS_FANOUT);
    const int64_t last_group =
        leaves == 0 ? -1 : (int64_t)blocks_path_of_rank(self->shape, (leaves - 1) * BLOCKS_FANOUT).offset[1];
    storage->freed = 0;
    storage->reserved_from = storage->reserved_to = 0;
    error = lower(self, last_group);
    return error ? error : punch(self, leaves);
}

bool emi_blocks_compaction_due(const blocks_operation_t *self, uint64_t bytes, bool last)
{
    const uint64_t freed = ((const blocks_t *)self->base.container)->freed + bytes;
    if (self->last_group < 0 || !emi_operation_gives_back(&self->base))
        return false;
    const uint64_t used = (uint64_t)self->last_group;
    return last ? used >= GIVE_BACK_LEAST : freed >= GIVE_BACK_LEAST && freed >= used / 4;
}

emmap_error emmap_blocks_compact(emmap_file *file, uint64_t *bytes)
{
    *bytes = 0;
    blocks_operation_t self;
    uint64_t taken, on_disk;
    emmap_error error = emi_blocks_begin(file, &self);
    if (error)
        return error;
    error = emi_operation_compact_begin(&self.base, &taken);
    /* Space that others have added at the end goes back, too. */
    if (!error)
        error = emi_size_on_disk(self.base.descriptor->fd, &on_disk);
    if (!error && file->options.length == 0)
        error = operation_reach(&self.base, on_disk - file->options.offset);
    if (!error)
        error = emi_blocks_compact(&self);
    if (!error)
        *bytes = emi_operation_compact_end(&self.base, taken);
    return emi_operation_end(&self.base, error);
}

/* ---- Using it again ---- */

emmap_error emi_blocks_reserve(blocks_operation_t *self, const blocks_path_t *path)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    const uint64_t end = BLOCKS_TREE + path->offset[0] + self->shape->block_size;
    uint64_t from = BLOCKS_TREE + path->offset[0];
    /* The masks of new groups lie directly before their first block. */
    for (unsigned level = 1; level <= self->shape->levels; level++)
        if (blocks_beyond(self, path->offset[level]))
            from = BLOCKS_TREE + path->offset[level];
    if (from >= storage->reserved_from && end <= storage->reserved_to)
        return EMMAP_OK;
    uint64_t to = end;
    if (self->base.container->owns_locks && to - from < RESERVED_AT_ONCE) {
        to = from + RESERVED_AT_ONCE;
        to = to < self->base.mapping->size ? to : self->base.mapping->size;
    }
    emi_operation_keep(&self->base);
    emmap_error error = emi_operation_reserve(&self->base, from, to);
    /* There may be room for the block alone. */
    if (error && error != EAGAIN && to > end)
        error = emi_operation_reserve(&self->base, from, to = end);
    if (!error && self->base.container->owns_locks) {
        storage->reserved_from = from;
        storage->reserved_to = to;
    }
    return error;
}
