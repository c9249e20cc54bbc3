/* Storing and freeing. Everything that can fail comes before the first change. */
#define _GNU_SOURCE
#include "blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "pause.h"

#define SECOND ((uint64_t)1000000000)

/* ---- Store ---- */

/* Moves the path on to the first free block from where it is at `level`, by the masks. Where those say that there is
 * room, and the group below has none, the next one is looked at. False: no room is left. */
static bool next_free(const blocks_operation *self, unsigned level, blocks_path *path)
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

/* The path of the first free block, where the masks agree on it. */
static inline bool first_free(const blocks_operation *self, blocks_path *path)
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

/* Chooses the addresses of the next `count` blocks, and the path of the last one. */
static bool choose(const blocks_operation *self, uint64_t *addresses, size_t count, blocks_path *path)
{
    if (count == 1 && first_free(self, path)) {
        addresses[0] = blocks_address(self->shape, path);
        return true;
    }
    *path = (blocks_path){0};
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

/*
 * The same, but before the masks above the leaves are believed where they say that no room is left they are made to
 * follow from the leaves': after a power cut they may be of any age. Once a handle, since none outlives a power cut.
 * Errors: EMMAP_FULL; EAGAIN as structure_wait.
 */
static emmap_error find_room(blocks_operation *self, uint64_t *addresses, size_t count, blocks_path *last)
{
    blocks *const storage = (blocks *)self->hold.structure;
    if (self->shape->block_size != 0 && choose(self, addresses, count, last))
        return EMMAP_OK;
    if (self->shape->block_size != 0 && !storage->settled) {
        emmap_error error = hold_keep(&self->hold);
        if (!error)
            error = structure_wait();
        if (error)
            return error;
        blocks_settle_all(self);
        if (choose(self, addresses, count, last))
            return EMMAP_OK;
    }
    return error_set(EMMAP_FULL, "every block of the storage is in use");
}

static uint64_t block_end(const blocks_operation *self, const blocks_path *path)
{
    return BLOCKS_TREE + path->offset[0] + self->shape->block_size;
}

static emmap_error make_room(blocks_operation *self, uint64_t end)
{
    hold *const hold = &self->hold;
    blocks *const storage = (blocks *)hold->structure;
    if (end <= hold->mapping->size && (!blocks_synced(self) || end <= storage->durable))
        return EMMAP_OK;
    emmap_error error = hold_reach(hold, end);
    if (!error && end > hold->mapping->size) {
        PAUSE("block_store_growing");
        error = hold_grow(hold, hold_growth(hold, end));
    }
    if (error || !blocks_synced(self) || end <= storage->durable)
        return error;
    error = hold_sync(hold);
    if (!error)
        storage->durable = hold->mapping->size;
    return error;
}

/* Writes the masks of the groups on the path that nobody has reached before. The last one's offset, or limo. */
static int64_t write_masks(blocks_operation *self, const blocks_path *path)
{
    uint8_t *const data = self->hold.mapping->data;
    int64_t last = self->limo;
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

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/*
 * Whether what this handle knows of masks on the disk still holds. It does not when another one has lowered limo since,
 * and given the room back. That shows in limo or in the generation; and a generation can't come back within a second,
 * since each one takes two waits for the disk.
 */
static void check_prepared(blocks_operation *self)
{
    blocks *const storage = (blocks *)self->hold.structure;
    const uint32_t generation = self->word & BLOCKS_GENERATION;
    const uint64_t time = self->hold.structure->held ? 0 : now();
    if (self->shape != &storage->shape || generation != storage->generation ||
        self->limo < storage->prepared_limo || time - storage->prepared_at > SECOND)
        storage->prepared = 0;
    storage->generation = generation;
    storage->prepared_limo = self->limo;
    storage->prepared_at = time;
}

/* Writes the masks of the leaves behind the path's under the same group, as far as the file goes: what is beyond limo
 * may hold anything. The last one's offset. */
static uint64_t write_next_leaves(blocks_operation *self, const blocks_path *path)
{
    uint64_t last = path->offset[1];
    for (unsigned child = path->child[2] + 1; child < BLOCKS_FANOUT; child++) {
        const uint64_t leaf = last + self->shape->sizes[1];
        const uint64_t place = BLOCKS_TREE + leaf, end = place + blocks_masks(1);
        if (end > self->hold.mapping->size)
            break;
        if ((self->word & BLOCKS_HOLES) && hold_reserve(&self->hold, place, end) != EMMAP_OK)
            break;
        blocks_store64(self->hold.mapping->data, BLOCKS_TREE + leaf, BLOCKS_ALL);
        last = leaf;
    }
    return last;
}

/*
 * For a synced storage: brings the masks of the new groups that these blocks take into use to disk, before limo: a leaf
 * whose mask is not there would be full of blocks that nobody stored. With it go the masks of the leaves that come
 * next, so that at most one store in 4096 waits for the disk.
 */
static emmap_error prepare(blocks_operation *self, const uint64_t *addresses, size_t count)
{
    blocks *const storage = (blocks *)self->hold.structure;
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        const blocks_path path = blocks_path_of(self->shape, addresses[i]);
        if (!blocks_beyond(self, path.offset[1]))
            continue;
        if (last == 0)
            check_prepared(self);
        last = last > storage->prepared ? last : storage->prepared;
        if (path.offset[1] <= last)
            continue;
        emmap_error error = hold_keep(&self->hold);
        if (!error)
            error = structure_wait();
        if (error)
            return error;
        write_masks(self, &path);
        last = write_next_leaves(self, &path);
    }
    if (last == 0 || last == storage->prepared)
        return EMMAP_OK;
    PAUSE("blocks_prepared");
    const emmap_error error = hold_sync(&self->hold);
    if (!error)
        storage->prepared = last;
    return error;
}

/* Takes the groups on the path that nobody has reached before into use: their masks, then limo. */
static void initialise(blocks_operation *self, const blocks_path *path)
{
    const int64_t last = write_masks(self, path);
    if (last != self->limo) {
        blocks_store64(self->hold.mapping->data, BLOCKS_LIMO, (uint64_t)last);
        self->limo = last;
        PAUSE("block_store_limo");
    }
}

/* Where the mask of a block's leaf is, and which of its bits is the block's. A path goes through memory, which a store
 * or free of one block need not wait for. */
typedef struct leaf {
    uint64_t offset;
    unsigned child;
} leaf;

static inline leaf leaf_of(const blocks_shape *shape, uint64_t address)
{
    uint64_t offset = 0;
    for (unsigned level = shape->levels; level > 1; level--, address /= BLOCKS_FANOUT)
        offset += blocks_masks(level) + address % BLOCKS_FANOUT * shape->sizes[level - 1];
    return (leaf){offset, (unsigned)(address % BLOCKS_FANOUT)};
}

static bool same_above(uint64_t free_mask, uint64_t other)
{
    return (free_mask == 0) == (other == 0) && (free_mask == BLOCKS_ALL) == (other == BLOCKS_ALL);
}

/* Apart from the path that is hot. */
static void change_marked(blocks_operation *self, uint64_t address, uint64_t after, bool is_free)
{
    const blocks_path path = blocks_path_of(self->shape, address);
    const uint64_t leaves = blocks_capacity(self->shape) / BLOCKS_FANOUT;
    blocks_mark(self, (uint32_t)(address & (leaves - 1)) + 1);
    PAUSE("blocks_marked");
    if (!is_free)
        initialise(self, &path);
    blocks_store64(self->hold.mapping->data, BLOCKS_TREE + path.offset[1], after);
    PAUSE("blocks_leaf_changed");
    blocks_settle(self, &path);
    blocks_mark(self, 0);
    PAUSE("blocks_unmarked");
}

/* Makes the block free or not, with all that follows from it. Nothing follows in a leaf that has both free and used
 * blocks before and after: one store does it all, and needs no mark. */
static inline void change(blocks_operation *self, uint64_t address, leaf leaf, bool is_free)
{
    const uint64_t before = blocks_load(self, 1, leaf.offset).free;
    const uint64_t after = blocks_with_bit(before, leaf.child, is_free);
    if (!same_above(before, after) || blocks_beyond(self, leaf.offset)) {
        change_marked(self, address, after, is_free);
        return;
    }
    blocks_store64(self->hold.mapping->data, BLOCKS_TREE + leaf.offset, after);
    PAUSE("blocks_leaf_changed");
}

static inline void store(blocks_operation *self, const struct iovec *block, uint64_t address,
                         const blocks_path *path)
{
    PAUSE("block_store_begin");
    memmove(self->hold.mapping->data + BLOCKS_TREE + path->offset[0], block->iov_base, block->iov_len);
    PAUSE("block_store_copied");
    change(self, address, (leaf){path->offset[1], path->child[1]}, false);
}

static emmap_error reserve(blocks_operation *self, const uint64_t *addresses, size_t count)
{
    emmap_error error = EMMAP_OK;
    for (size_t i = 0; i < count && !error; i++) {
        const blocks_path path = blocks_path_of(self->shape, addresses[i]);
        error = blocks_reserve(self, &path);
    }
    return error;
}

/* All that can fail, for one or more blocks: whoever looks meanwhile never sees what would have to be undone. */
static emmap_error prepare_store(blocks_operation *self, const struct iovec *list, size_t count,
                                 uint64_t *addresses, blocks_path *last)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].iov_len != self->shape->block_size)
            return error_set(EINVAL, "the bytes are not as many as a block has");
    emmap_error error = find_room(self, addresses, count, last);
    /* They are in the order of their places. */
    if (!error)
        error = make_room(self, block_end(self, last));
    if (!error && (self->word & BLOCKS_HOLES))
        error = reserve(self, addresses, count);
    if (!error && blocks_synced(self))
        error = prepare(self, addresses, count);
    return error;
}

/* What was freed and is in use again need not be given back. */
static void note_stored(blocks_operation *self, size_t count)
{
    blocks *const storage = (blocks *)self->hold.structure;
    const uint64_t bytes = (uint64_t)count * self->shape->block_size;
    storage->freed = storage->freed > bytes ? storage->freed - bytes : 0;
}

emmap_error emmap_block_store_many(emmap_file *file, const struct iovec *list, size_t count,
                                   uint64_t *addresses)
{
    if (count == 1)
        return emmap_block_store(file, list, addresses);
    blocks_operation self;
    emmap_error error = blocks_begin(file, &self);
    if (error)
        return error;
    blocks_path path;
    if (count > 0)
        error = prepare_store(&self, list, count, addresses, &path);
    for (size_t i = 0; i < count && !error; i++) {
        path = blocks_path_of(self.shape, addresses[i]);
        store(&self, &list[i], addresses[i], &path);
    }
    if (!error)
        note_stored(&self, count);
    return hold_end(&self.hold, error);
}

emmap_error emmap_block_store(emmap_file *file, const struct iovec *block, uint64_t *address)
{
    blocks_operation self;
    emmap_error error = blocks_begin_one(file, &self);
    if (error)
        return error;
    blocks_path path;
    error = prepare_store(&self, block, 1, address, &path);
    if (!error) {
        store(&self, block, *address, &path);
        note_stored(&self, 1);
    }
    return hold_end(&self.hold, error);
}

/* ---- Free ---- */

/* Errors: ENOENT. */
static inline emmap_error find(const blocks_operation *self, uint64_t address, leaf *leaf)
{
    if (address >= blocks_capacity(self->shape))
        return blocks_none();
    *leaf = leaf_of(self->shape, address);
    return blocks_load(self, 1, leaf->offset).used >> leaf->child & 1 ? EMMAP_OK : blocks_none();
}

static int by_number(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Errors: ENOENT where one comes twice: the second time there is no such block. */
static emmap_error different(const uint64_t *addresses, size_t count)
{
    if (count == 0)
        return EMMAP_OK;
    uint64_t *const sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return error_set(ENOMEM, "no memory for a list of addresses");
    memcpy(sorted, addresses, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_number);
    emmap_error error = EMMAP_OK;
    for (size_t i = 1; i < count && !error; i++)
        error = sorted[i] == sorted[i - 1] ? blocks_none() : EMMAP_OK;
    free(sorted);
    return error;
}

/* Whether there is no other block. */
static bool is_last(const blocks_operation *self, uint64_t address)
{
    const blocks_path path = blocks_path_of(self->shape, address);
    for (unsigned level = self->shape->levels; level > 0; level--)
        if (blocks_load(self, level, path.offset[level]).used != (uint64_t)1 << path.child[level])
            return false;
    return true;
}

static bool is_empty(const blocks_operation *self)
{
    return blocks_load(self, self->shape->levels, 0).used == 0;
}

/* Whether so much is in use that space may be given back. */
static bool much(const blocks_operation *self)
{
    return self->limo >= (int64_t)GIVE_BACK_LEAST;
}

static void note_freed(blocks_operation *self, uint64_t bytes)
{
    ((blocks *)self->hold.structure)->freed += bytes;
    /* Whether that can be done is another matter than the blocks. */
    if (much(self) && blocks_compaction_due(self, 0, is_empty(self)))
        (void)blocks_compact(self);
}

emmap_error emmap_block_free_many(emmap_file *file, const uint64_t *addresses, size_t count)
{
    if (count == 1)
        return emmap_block_free(file, addresses[0]);
    blocks_operation self;
    emmap_error error = blocks_begin(file, &self);
    if (error)
        return error;
    leaf leaf = {0, 0};
    for (size_t i = 0; i < count && !error; i++)
        error = find(&self, addresses[i], &leaf);
    if (!error)
        error = different(addresses, count);
    const uint64_t bytes = (uint64_t)count * self.shape->block_size;
    /* Space is given back where the thread may wait. */
    if (!error && much(&self) && blocks_compaction_due(&self, bytes, false))
        error = structure_wait();
    for (size_t i = 0; i < count && !error; i++)
        change(&self, addresses[i], leaf_of(self.shape, addresses[i]), true);
    if (!error)
        note_freed(&self, bytes);
    return hold_end(&self.hold, error);
}

emmap_error emmap_block_free(emmap_file *file, uint64_t address)
{
    blocks_operation self;
    emmap_error error = blocks_begin_one(file, &self);
    if (error)
        return error;
    leaf leaf = {0, 0};
    error = find(&self, address, &leaf);
    const uint64_t bytes = self.shape->block_size;
    /* Space is given back where the thread may wait. */
    if (!error && much(&self) && blocks_compaction_due(&self, bytes, is_last(&self, address)))
        error = structure_wait();
    if (!error) {
        change(&self, address, leaf, true);
        note_freed(&self, bytes);
    }
    return hold_end(&self.hold, error);
}
