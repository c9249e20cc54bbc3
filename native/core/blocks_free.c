/* Freeing blocks. Everything that can fail comes before the first change. */
#include <errno.h>
#include <stdlib.h>

#include "blocks_change.h"
#include "error.h"
#include "stale.h"

/* Errors: ENOENT. */
static inline emmap_error find(const blocks_operation_t *self, uint64_t address, blocks_leaf_t *leaf)
{
    if (address >= blocks_capacity(self->shape))
        return emi_blocks_none();
    *leaf = blocks_leaf_of(self->shape, address);
    return blocks_load(self, 1, leaf->offset).used >> leaf->child & 1 ? EMMAP_OK : emi_blocks_none();
}

static int by_number(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Errors: ENOENT if an address comes twice: the second time there is no such block. */
static emmap_error different(const uint64_t *addresses, size_t count)
{
    if (count == 0)
        return EMMAP_OK;
    uint64_t *const sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return emi_error_set(ENOMEM, "no memory for a list of addresses");
    memcpy(sorted, addresses, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_number);
    emmap_error error = EMMAP_OK;
    for (size_t i = 1; i < count && !error; i++)
        error = sorted[i] == sorted[i - 1] ? emi_blocks_none() : EMMAP_OK;
    free(sorted);
    return error;
}

/* Whether this is the only block. */
static bool is_last(const blocks_operation_t *self, uint64_t address)
{
    const blocks_path_t path = blocks_path_of(self->shape, address);
    for (unsigned level = self->shape->levels; level > 0; level--)
        if (blocks_load(self, level, path.offset[level]).used != (uint64_t)1 << path.child[level])
            return false;
    return true;
}

static bool is_empty(const blocks_operation_t *self)
{
    return blocks_load(self, self->shape->levels, 0).used == 0;
}

/* Whether the storage is large enough to give space back. */
static bool much(const blocks_operation_t *self)
{
    return self->last_group >= (int64_t)GIVE_BACK_LEAST;
}

static void note_freed(blocks_operation_t *self, uint64_t bytes)
{
    ((blocks_t *)self->base.container)->freed += bytes;
    /* A failure does not concern the blocks. */
    if (much(self) && emi_blocks_compaction_due(self, 0, is_empty(self)))
        (void)emi_blocks_compact(self);
}

static emmap_error free_many(emmap_file *file, const uint64_t *addresses, size_t count)
{
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin(file, &self);
    if (error)
        return error;
    blocks_leaf_t leaf = {0, 0};
    for (size_t i = 0; i < count && !error; i++)
        error = find(&self, addresses[i], &leaf);
    if (!error)
        error = different(addresses, count);
    const uint64_t bytes = (uint64_t)count * self.shape->block_size;
    /* Giving space back needs a thread that may block. */
    if (!error && much(&self) && emi_blocks_compaction_due(&self, bytes, false))
        error = emi_require_blocking();
    for (size_t i = 0; i < count && !error; i++)
        blocks_change(&self, addresses[i], blocks_leaf_of(self.shape, addresses[i]), true);
    if (!error)
        note_freed(&self, bytes);
    return emi_operation_end(&self.base, error);
}

/* Inlined: a call would take a tenth of the time of a free. */
__attribute__((always_inline)) static inline emmap_error free_one(emmap_file *file, uint64_t address)
{
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin_one(file, &self);
    if (error)
        return error;
    blocks_leaf_t leaf = {0, 0};
    error = find(&self, address, &leaf);
    const uint64_t bytes = self.shape->block_size;
    /* Giving space back needs a thread that may block. */
    if (!error && much(&self) && emi_blocks_compaction_due(&self, bytes, is_last(&self, address)))
        error = emi_require_blocking();
    if (!error) {
        blocks_change(&self, address, leaf, true);
        note_freed(&self, bytes);
    }
    return emi_operation_end(&self.base, error);
}

emmap_error emmap_block_free(emmap_file *file, uint64_t address)
{
    emmap_error error = free_one(file, address);
    while (error == ENOENT && emi_stale_went_over(file, &error))
        error = free_one(file, address);
    return error;
}

emmap_error emmap_block_free_many(emmap_file *file, const uint64_t *addresses, size_t count)
{
    if (count == 1)
        return emmap_block_free(file, addresses[0]);
    emmap_error error;
    do
        error = free_many(file, addresses, count);
    while (error == ENOENT && emi_stale_went_over(file, &error));
    return error;
}
