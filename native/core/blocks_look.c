/*
 * Reading blocks. A read of one block takes no lock between processes. It copies the block, then checks that
 * the block still exists and has the same bytes. (If it was freed and stored anew in between, so that the
 * copy has parts of both, the bytes differ the second time, or the block is free at one of the checks.) If
 * that fails, and for reads of many blocks, a handle that may write takes the lock.
 */
#include "blocks.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "error.h"
#include "stale.h"

/* How often an unlocked read is repeated while others store into the same block. */
#define LOOKS 200

/* The masks of a group beyond the last group may have gone away with their page. */
static bool still_reached(const blocks_operation_t *self, uint64_t offset)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    const int64_t last_group = (int64_t)blocks_load64(self->base.mapping->data, BLOCKS_LAST_GROUP);
    return last_group >= 0 && offset <= (uint64_t)last_group;
}

static bool in_use(const blocks_operation_t *self, const blocks_path_t *path)
{
    const bool used = blocks_load(self, 1, path->offset[1]).used >> path->child[1] & 1;
    return used && still_reached(self, path->offset[1]);
}

/* Makes sure that the block is mapped. */
static emmap_error reach(blocks_operation_t *self, const blocks_path_t *path)
{
    const uint64_t begin = BLOCKS_TREE + path->offset[0];
    const uint64_t end = begin + self->shape->block_size;
    const emmap_error error = operation_reach(&self->base, end);
    if (error)
        return error;
    return end > self->base.mapping->size
               ? emi_operation_corrupt(&self->base, begin, "a block in use passes the end of the file")
               : EMMAP_OK;
}

static emmap_error deliver(const blocks_operation_t *self, const uint8_t *bytes, const emmap_sink *sink)
{
    const size_t size = self->shape->block_size;
    void *const place = sink->allocate(sink->context, size);
    if (!place)
        return emi_error_set(ENOMEM, "no memory for a block");
    memcpy(place, bytes, size);
    return EMMAP_OK;
}

/* Copies the block consistently. Errors: ENOENT; EAGAIN. */
static emmap_error copy_unlocked(blocks_operation_t *self, const blocks_path_t *path, uint8_t *copy)
{
    const size_t size = self->shape->block_size;
    for (int i = 0; i < LOOKS; i++) {
        if (!in_use(self, path))
            return emi_blocks_none();
        const emmap_error error = reach(self, path);
        if (error)
            return error;
        const uint8_t *const bytes = self->base.mapping->data + BLOCKS_TREE + path->offset[0];
        memcpy(copy, bytes, size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (in_use(self, path) && memcmp(copy, bytes, size) == 0 && in_use(self, path) &&
            emi_blocks_same_shape(self))
            return EMMAP_OK;
        sched_yield();
    }
    return emi_error_set(EAGAIN,
                         "others store into the block faster than a handle without locks can read it");
}

static emmap_error read_unlocked(blocks_operation_t *self, const blocks_path_t *path, const emmap_sink *sink)
{
    /* Memory is allocated only for a block within the file: a hostile file may claim 4 GiB. */
    emmap_error error = in_use(self, path) ? reach(self, path) : emi_blocks_none();
    if (error)
        return error;
    uint8_t *const copy = malloc(self->shape->block_size);
    if (!copy)
        return emi_error_set(ENOMEM, "no memory for a block");
    error = copy_unlocked(self, path, copy);
    if (!error)
        error = deliver(self, copy, sink);
    free(copy);
    return error;
}

static emmap_error read_block(blocks_operation_t *self, const blocks_path_t *path, const emmap_sink *sink)
{
    if (!self->base.locked)
        return read_unlocked(self, path, sink);
    if (!in_use(self, path))
        return emi_blocks_none();
    const emmap_error error = reach(self, path);
    return error ? error : deliver(self, self->base.mapping->data + BLOCKS_TREE + path->offset[0], sink);
}

/* Reads one block. The sink is called once, also if the read is repeated under the lock. */
static emmap_error read_into(blocks_operation_t *self, const blocks_path_t *path, const emmap_sink *sink,
                             void **place)
{
    const size_t size = self->shape->block_size;
    /* Memory is allocated only for a block within the file: a hostile file may claim 4 GiB. */
    const emmap_error error = in_use(self, path) ? reach(self, path) : emi_blocks_none();
    if (error)
        return error;
    if (!*place)
        *place = sink->allocate(sink->context, size);
    if (!*place)
        return emi_error_set(ENOMEM, "no memory for a block");
    if (!self->base.locked)
        return copy_unlocked(self, path, *place);
    memcpy(*place, self->base.mapping->data + BLOCKS_TREE + path->offset[0], size);
    return EMMAP_OK;
}

static emmap_error read_address(blocks_operation_t *self, uint64_t address, const emmap_sink *sink,
                                void **place)
{
    if (address >= blocks_capacity(self->shape))
        return emi_operation_end(&self->base, emi_blocks_none());
    const blocks_path_t path = blocks_path_of(self->shape, address);
    return emi_operation_end(&self->base, read_into(self, &path, sink, place));
}

static emmap_error read_one(emmap_file *file, uint64_t address, const emmap_sink *sink, void **place)
{
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin_read_unlocked(file, &self);
    if (!error)
        error = read_address(&self, address, sink, place);
    if (error != EAGAIN || !file_may_write(file))
        return error;
    error = emi_blocks_begin(file, &self);
    return error ? error : read_address(&self, address, sink, place);
}

emmap_error emmap_block_read(emmap_file *file, uint64_t address, const emmap_sink *sink)
{
    /* The sink is called once: after a switch to another file the blocks have the same size. */
    void *place = NULL;
    emmap_error error;
    do
        error = read_one(file, address, sink, &place);
    while (error == ENOENT && emi_stale_went_over(file, &error));
    return error == ENOENT ? emi_blocks_none() : error;
}

/* Finds the leaf that holds the block of this rank. False if no leaf there was ever used. */
static bool leaf_at(const blocks_operation_t *self, uint64_t rank, blocks_path_t *path, uint64_t *used)
{
    if (rank >= blocks_capacity(self->shape))
        return false;
    *path = blocks_path_of_rank(self->shape, rank);
    if (blocks_beyond(self, path->offset[1]))
        return false;
    *used = blocks_load(self, 1, path->offset[1]).used;
    return still_reached(self, path->offset[1]);
}

/* Skips a group that is unused by the masks above it: true, and *rank is behind it. Only under the lock, and
 * if this handle knows that the masks follow from the leaves. */
static bool pass_over(const blocks_operation_t *self, uint64_t *rank)
{
    if (!self->base.locked || !((const blocks_t *)self->base.container)->settled)
        return false;
    const blocks_path_t path = blocks_path_of_rank(self->shape, *rank);
    for (unsigned level = self->shape->levels; level > 1; level--)
        if (!(blocks_load(self, level, path.offset[level]).used >> path.child[level] & 1)) {
            const uint64_t span = (uint64_t)1 << 6 * (level - 1);
            *rank = (*rank / span + 1) * span;
            return true;
        }
    return false;
}

/* Reads the leaf's blocks from path->child[1] on. */
static emmap_error walk_leaf(blocks_operation_t *self, blocks_path_t *path, uint64_t used, size_t limit,
                             uint64_t *rank, uint64_t *addresses, const emmap_sink *sink, size_t *count)
{
    for (unsigned child = path->child[1]; child < BLOCKS_FANOUT && *count < limit; child++, (*rank)++) {
        if (!(used >> child & 1))
            continue;
        blocks_descend(self->shape, path, 1, child);
        const emmap_error error = read_block(self, path, sink);
        /* Freed by a holder of the lock after the leaf was read. */
        if (error == ENOENT)
            continue;
        if (error)
            return error;
        addresses[(*count)++] = blocks_address(self->shape, path);
    }
    return EMMAP_OK;
}

static emmap_error walk(emmap_file *file, size_t limit, uint64_t *place, uint64_t *addresses,
                        const emmap_sink *sink, size_t *count)
{
    if (limit > INT64_MAX)
        return emi_error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    blocks_operation_t self;
    emmap_error error = emi_blocks_begin_read(file, &self);
    if (error)
        return error;
    size_t found = 0;
    blocks_path_t path = blocks_path_of(self.shape, *place);
    uint64_t rank = *place < blocks_capacity(self.shape) ? blocks_rank(self.shape, &path) : UINT64_MAX, used;
    if (*place > 0 && *place >= blocks_capacity(self.shape) && *place != EMMAP_BLOCKS_END)
        error = emi_error_set(ESTALE, "the storage has no such address");
    while (!error && found < limit && leaf_at(&self, rank, &path, &used))
        if (!pass_over(&self, &rank))
            error = walk_leaf(&self, &path, used, limit, &rank, addresses, sink, &found);
    if (!error && found == 0 && limit > 0)
        error = EMMAP_EOF;
    uint64_t next = EMMAP_BLOCKS_END;
    if (found == limit && rank < blocks_capacity(self.shape)) {
        path = blocks_path_of_rank(self.shape, rank);
        next = blocks_address(self.shape, &path);
    }
    error = emi_operation_end(&self.base, error);
    if (!error) {
        *place = next;
        *count = found;
    }
    return error;
}

emmap_error emmap_blocks_walk(emmap_file *file, size_t limit, uint64_t *place, uint64_t *addresses,
                              const emmap_sink *sink, size_t *count)
{
    emmap_error error;
    *count = 0;
    do
        error = walk(file, limit, place, addresses, sink, count);
    while (error == EMMAP_EOF && *place == 0 && emi_stale_went_over(file, &error));
    return error;
}

static emmap_error count_blocks(emmap_file *file, uint64_t *count)
{
    blocks_operation_t self;
    const emmap_error error = emi_blocks_begin_read(file, &self);
    if (error)
        return error;
    uint64_t sum = 0, used;
    blocks_path_t path;
    for (uint64_t rank = 0; leaf_at(&self, rank, &path, &used); rank += BLOCKS_FANOUT)
        sum += (uint64_t)__builtin_popcountll(used);
    const emmap_error ended = emi_operation_end(&self.base, EMMAP_OK);
    *count = ended ? 0 : sum;
    return ended;
}

emmap_error emmap_blocks_count(emmap_file *file, uint64_t *count)
{
    emmap_error error;
    *count = 0;
    do
        error = count_blocks(file, count);
    while (!error && *count == 0 && emi_stale_went_over(file, &error));
    return error;
}

emmap_error emmap_blocks_info(emmap_file *file, emmap_blocks_metadata *info)
{
    *info = (emmap_blocks_metadata){0};
    container_t *container;
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_container_get(file, CONTAINER_BLOCKS, &container);
    if (error)
        return error;
    const blocks_t *const self = (const blocks_t *)container;
    blocks_shape_t shape = self->shape, now;
    operation_t operation;
    if (self->follows &&
        (error = emi_operation_begin_read_unlocked(file, CONTAINER_BLOCKS, &operation)) != EMMAP_CLOSED) {
        if (!error)
            error = emi_operation_end(&operation, emi_blocks_find_shape(&operation, 0, &now));
        if (error)
            return error;
        shape = now;
    }
    *info = (emmap_blocks_metadata){
        .block_size = shape.block_size, .levels = shape.levels, .capacity = blocks_capacity(&shape)};
    return EMMAP_OK;
}
