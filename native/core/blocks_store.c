/* Storing blocks. Everything that can fail comes before the first change. */
#include <errno.h>

#include "blocks_change.h"
#include "error.h"

/* Moves the path from its position at `level` to the first free block, by the masks. If a mask claims room
 * that the group below does not have, the search goes on. False: no room is left. */
static bool next_free(const blocks_operation_t *self, unsigned level, blocks_path_t *path)
{
    for (;;) {
        const unsigned child = path->child[level];
        const uint64_t mask = child < BLOCKS_FANOUT
                                  ? blocks_load(self, level, path->offset[level]).free & BLOCKS_ALL << child
                                  : 0;
        if (mask == 0 && level == self->shape->levels)
            return false;
        if (mask == 0) {
            path->child[++level]++;
            continue;
        }
        blocks_descend(self->shape, path, level, (unsigned)__builtin_ctzll(mask));
        if (level == 1)
            return true;
        path->child[--level] = 0;
    }
}

/* Finds the first free block if all masks on the way agree. */
static inline bool first_free(const blocks_operation_t *self, blocks_path_t *path)
{
    unsigned level = self->shape->levels;
    path->offset[level] = 0;
    for (; level > 0; level--) {
        const uint64_t mask = blocks_load(self, level, path->offset[level]).free;
        if (mask == 0)
            return false;
        blocks_descend(self->shape, path, level, (unsigned)__builtin_ctzll(mask));
    }
    return true;
}

/* Chooses the addresses of the next `count` blocks. `path` becomes the path of the last one. */
static bool choose(const blocks_operation_t *self, uint64_t *addresses, size_t count, blocks_path_t *path)
{
    if (count == 1 && first_free(self, path)) {
        addresses[0] = blocks_address(self->shape, path);
        return true;
    }
    *path = (blocks_path_t){0};
    unsigned level = self->shape->levels;
    for (size_t i = 0; i < count; i++) {
        if (!next_free(self, level, path))
            return false;
        addresses[i] = blocks_address(self->shape, path);
        path->child[1]++;
        level = 1;
    }
    path->child[1]--;
    return true;
}

/* As `choose`. But after a power cut the masks above the leaves may be of any age. So before "no room" is
 * believed, they are made to follow from the leaves: once per handle, since no handle outlives a power cut.
 * Errors: EMMAP_FULL; EAGAIN as emi_require_blocking. */
static emmap_error find_room(blocks_operation_t *self, uint64_t *addresses, size_t count, blocks_path_t *last)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    if (self->shape->block_size != 0 && choose(self, addresses, count, last))
        return EMMAP_OK;
    if (self->shape->block_size != 0 && !storage->settled) {
        emi_operation_keep(&self->base);
        emmap_error error = emi_require_blocking();
        if (error)
            return error;
        emi_blocks_settle_all(self);
        if (choose(self, addresses, count, last))
            return EMMAP_OK;
    }
    return emi_error_set(EMMAP_FULL, "every block of the storage is in use");
}

static uint64_t block_end(const blocks_operation_t *self, const blocks_path_t *path)
{
    return BLOCKS_TREE + path->offset[0] + self->shape->block_size;
}

static emmap_error make_room(blocks_operation_t *self, uint64_t end)
{
    operation_t *const operation = &self->base;
    blocks_t *const storage = (blocks_t *)operation->container;
    if (end <= operation->mapping->size && (!blocks_synced(self) || end <= storage->durable))
        return EMMAP_OK;
    emmap_error error = operation_reach(operation, end);
    if (!error && end > operation->mapping->size) {
        PAUSE("block_store_growing");
        error = emi_operation_grow(operation, emi_operation_growth(operation, end));
    }
    if (error || !blocks_synced(self) || end <= storage->durable)
        return error;
    error = emi_operation_sync(operation);
    if (!error)
        storage->durable = operation->mapping->size;
    return error;
}

static inline void store(blocks_operation_t *self, const struct iovec *block, uint64_t address,
                         const blocks_path_t *path)
{
    PAUSE("block_store_begin");
    memmove(self->base.mapping->data + BLOCKS_TREE + path->offset[0], block->iov_base, block->iov_len);
    PAUSE("block_store_copied");
    blocks_change(self, address, (blocks_leaf_t){path->offset[1], path->child[1]}, false);
}

static emmap_error reserve(blocks_operation_t *self, const uint64_t *addresses, size_t count)
{
    emmap_error error = EMMAP_OK;
    for (size_t i = 0; i < count && !error; i++) {
        const blocks_path_t path = blocks_path_of(self->shape, addresses[i]);
        error = emi_blocks_reserve(self, &path);
    }
    return error;
}

/* All steps that can fail, for one or more blocks. Others never see a change that would have to be undone. */
static emmap_error prepare_store(blocks_operation_t *self, const struct iovec *list, size_t count,
                                 uint64_t *addresses, blocks_path_t *last)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].iov_len != self->shape->block_size)
            return emi_error_set(EINVAL, "the number of bytes is not the block size");
    emmap_error error = find_room(self, addresses, count, last);
    /* The addresses are in the order of their places. */
    if (!error)
        error = make_room(self, block_end(self, last));
    if (!error && (self->word & BLOCKS_HOLES))
        error = reserve(self, addresses, count);
    if (!error && blocks_synced(self))
        error = emi_blocks_prepare(self, addresses, count);
    return error;
}

/* Space that is used again does not have to be given back. */
static void note_stored(blocks_operation_t *self, size_t count)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    const uint64_t bytes = (uint64_t)count * self->shape->block_size;
    storage->freed = storage->freed > bytes ? storage->freed - bytes : 0;
}

emmap_error emmap_block_store_many(emmap_file *file, const struct iovec *list, size_t count,
                                   uint64_t *addresses)
{
    if (count == 1)
        return emmap_block_store(file, list, addresses);
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin(file, &self);
    if (error)
        return error;
    blocks_path_t path;
    if (count > 0)
        error = prepare_store(&self, list, count, addresses, &path);
    for (size_t i = 0; i < count && !error; i++) {
        path = blocks_path_of(self.shape, addresses[i]);
        store(&self, &list[i], addresses[i], &path);
    }
    if (!error)
        note_stored(&self, count);
    return emi_operation_end(&self.base, error);
}

emmap_error emmap_block_store(emmap_file *file, const struct iovec *block, uint64_t *address)
{
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin_one(file, &self);
    if (error)
        return error;
    blocks_path_t path;
    error = prepare_store(&self, block, 1, address, &path);
    if (!error) {
        store(&self, block, *address, &path);
        note_stored(&self, 1);
    }
    return emi_operation_end(&self.base, error);
}
