/*
 * Opening a block storage, storing and freeing. A store or free writes the mark, then the leaf's mask, which is
 * the moment at which the block is there or gone, then the masks above it, then takes the mark away. Whoever finds a
 * mark under the lock does the masks above it again: nothing else can be wrong.
 */
#include "blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "pause.h"

#define DEFAULT_SIZE 4096u

static const char no_block_size[] = "a new block storage needs a block size";

emmap_error blocks_none(void)
{
    return error_set(ENOENT, "no such block");
}

static bool beyond(const blocks_operation *self, uint64_t offset)
{
    return self->limo < 0 || offset > (uint64_t)self->limo;
}

blocks_group blocks_load(const blocks_operation *self, unsigned level, uint64_t offset)
{
    if (beyond(self, offset))
        return (blocks_group){.free = BLOCKS_ALL, .used = 0};
    const uint8_t *const data = self->hold.mapping->data;
    const uint64_t free_mask = blocks_load64(data, BLOCKS_TREE + offset);
    return (blocks_group){.free = free_mask,
                          .used = level == 1 ? ~free_mask : blocks_load64(data, BLOCKS_TREE + offset + 8)};
}

static uint64_t with_bit(uint64_t mask, unsigned bit, bool set)
{
    const uint64_t one = (uint64_t)1 << bit;
    return set ? mask | one : mask & ~one;
}

/* The masks of an inner group, where they change. */
static void put(blocks_operation *self, uint64_t offset, blocks_group before, blocks_group after)
{
    uint8_t *const data = self->hold.mapping->data;
    if (after.free != before.free)
        blocks_store64(data, BLOCKS_TREE + offset, after.free);
    PAUSE("blocks_settle_free");
    if (after.used != before.used)
        blocks_store64(data, BLOCKS_TREE + offset + 8, after.used);
    PAUSE("blocks_settle_used");
}

void blocks_settle(blocks_operation *self, const blocks_path *path)
{
    for (unsigned level = 2; level <= self->shape->levels; level++) {
        const uint64_t offset = path->offset[level];
        if (beyond(self, offset))
            continue;
        const blocks_group child = blocks_load(self, level - 1, path->offset[level - 1]);
        const blocks_group before = blocks_load(self, level, offset);
        const blocks_group after = {.free = with_bit(before.free, path->child[level], child.free != 0),
                                    .used = with_bit(before.used, path->child[level], child.used != 0)};
        put(self, offset, before, after);
    }
}

void blocks_settle_group(blocks_operation *self, unsigned level, uint64_t offset)
{
    if (beyond(self, offset))
        return;
    blocks_path path = {.offset = {[0] = 0}};
    path.offset[level] = offset;
    blocks_group after = {0};
    for (unsigned child = 0; child < BLOCKS_FANOUT; child++) {
        blocks_descend(self->shape, &path, level, child);
        const blocks_group below = blocks_load(self, level - 1, path.offset[level - 1]);
        after.free = with_bit(after.free, child, below.free != 0);
        after.used = with_bit(after.used, child, below.used != 0);
    }
    put(self, offset, blocks_load(self, level, offset), after);
}

/* ---- Begin ---- */

/* The level of the group at this offset; 0: no group begins there. */
static unsigned level_at(const blocks_shape *shape, uint64_t offset)
{
    if (offset >= shape->sizes[shape->levels])
        return 0;
    for (unsigned level = shape->levels; level > 0; level--) {
        if (offset == 0)
            return level;
        if (offset < blocks_masks(level))
            return 0;
        offset = (offset - blocks_masks(level)) % shape->sizes[level - 1];
    }
    return 0;
}

emmap_error blocks_refresh(blocks_operation *self)
{
    hold *const hold = &self->hold;
    const int64_t limo = (int64_t)blocks_load64(hold->mapping->data, BLOCKS_LIMO);
    self->limo = limo;
    if (limo == -1)
        return EMMAP_OK;
    const unsigned level = limo < 0 ? 0 : level_at(self->shape, (uint64_t)limo);
    if (level == 0)
        return hold_corrupt(hold, BLOCKS_LIMO, "limo is not the offset of a group");
    const uint64_t end = BLOCKS_TREE + (uint64_t)limo + blocks_masks(level);
    const emmap_error error = hold_reach(hold, end);
    if (error)
        return error;
    return end > hold->mapping->size ? hold_corrupt(hold, BLOCKS_LIMO, "limo passes the end of the file")
                                     : EMMAP_OK;
}

static emmap_error same_block_size(blocks_operation *self)
{
    return blocks_load32(self->hold.mapping->data, 0) == self->shape->block_size
               ? EMMAP_OK
               : hold_corrupt(&self->hold, 0, "the block size is another one than when the file was opened");
}

static uint32_t marked(const blocks_operation *self)
{
    return blocks_load32(self->hold.mapping->data, BLOCKS_MARK) & ~BLOCKS_SYNCED;
}

static void mark(blocks_operation *self, uint32_t value)
{
    blocks_store32(self->hold.mapping->data, BLOCKS_MARK, self->synced ? value | BLOCKS_SYNCED : value);
}

/* Finishes what the last one to hold the lock did not. */
static emmap_error mend(blocks_operation *self)
{
    const uint32_t left = marked(self);
    if (left == 0)
        return EMMAP_OK;
    if (left > blocks_capacity(self->shape))
        return hold_corrupt(&self->hold, BLOCKS_MARK, "the mark of an operation in progress names no block");
    PAUSE("blocks_mend_begin");
    const blocks_path path = blocks_path_of(self->shape, left - 1);
    blocks_settle(self, &path);
    mark(self, 0);
    PAUSE("blocks_mend_done");
    return EMMAP_OK;
}

static emmap_error ready(blocks_operation *self)
{
    self->synced = blocks_load32(self->hold.mapping->data, BLOCKS_MARK) & BLOCKS_SYNCED;
    emmap_error error = same_block_size(self);
    if (!error)
        error = blocks_refresh(self);
    if (!error && self->hold.locked)
        error = mend(self);
    return error;
}

static emmap_error start(blocks_operation *self)
{
    self->shape = &((const blocks *)self->hold.structure)->shape;
    const emmap_error error = ready(self);
    return error ? hold_end(&self->hold, error) : EMMAP_OK;
}

emmap_error blocks_begin(emmap_file *file, blocks_operation *self)
{
    const emmap_error error = hold_begin(file, STRUCTURE_BLOCKS, LOCK_STRUCTURE, &self->hold);
    return error ? error : start(self);
}

emmap_error blocks_begin_repair(emmap_file *file, blocks_operation *self)
{
    emmap_error error = hold_begin(file, STRUCTURE_BLOCKS, LOCK_STRUCTURE, &self->hold);
    if (error)
        return error;
    self->shape = &((const blocks *)self->hold.structure)->shape;
    if (marked(self) > blocks_capacity(self->shape)) {
        self->synced = true;
        mark(self, 0);
    }
    return start(self);
}

emmap_error blocks_look(emmap_file *file, blocks_operation *self)
{
    const emmap_error error = hold_look(file, STRUCTURE_BLOCKS, &self->hold);
    return error ? error : start(self);
}

emmap_error blocks_glance(emmap_file *file, blocks_operation *self)
{
    emmap_error error = hold_glance(file, STRUCTURE_BLOCKS, &self->hold);
    if (!error)
        error = start(self);
    if (!error && self->hold.mutexed && marked(self) != 0)
        error = hold_end(&self->hold, error_set(EAGAIN, "somebody is changing the storage"));
    return error;
}

/* ---- Open ---- */

/* A header of zeros, or with a limo of -1 already, and nothing behind it: nobody has got further than that. */
static bool untouched(const hold *hold)
{
    const int64_t limo = (int64_t)blocks_load64(hold->mapping->data, BLOCKS_LIMO);
    return (limo == 0 || limo == -1) && hold_zeros(hold, 0, BLOCKS_LIMO) &&
           hold_zeros(hold, BLOCKS_TREE, hold->mapping->size - BLOCKS_TREE);
}

static emmap_error create(hold *hold, uint32_t block_size)
{
    if (!hold->locked || !untouched(hold))
        return hold_corrupt(hold, 0, "not a block storage: its block size is 0");
    if (block_size == 0)
        return error_set(EINVAL, no_block_size);
    uint8_t *const data = hold->mapping->data;
    PAUSE("blocks_create_begin");
    blocks_store64(data, BLOCKS_LIMO, (uint64_t)-1);
    PAUSE("blocks_create_limo");
    /* The block size last: it says that the rest is there. */
    blocks_store32(data, 0, block_size);
    PAUSE("blocks_create_done");
    return EMMAP_OK;
}

static emmap_error check(structure *base, hold *hold)
{
    blocks *const self = (blocks *)base;
    emmap_error error = EMMAP_OK;
    if (hold->mapping->size < BLOCKS_TREE) {
        if (!hold->locked || !hold_zeros(hold, 0, hold->mapping->size))
            return hold_corrupt(hold, 0, "not a block storage: the file is too small");
        if (self->shape.block_size == 0)
            return error_set(EINVAL, no_block_size);
        error = hold_grow(hold, hold_growth(hold, BLOCKS_TREE));
    }
    if (!error && blocks_load32(hold->mapping->data, 0) == 0)
        error = create(hold, self->shape.block_size);
    if (error)
        return error;
    const uint32_t block_size = blocks_load32(hold->mapping->data, 0);
    if (self->shape.block_size != 0 && self->shape.block_size != block_size)
        return error_set(EINVAL, "the block storage has another block size");
    blocks_shape_set(&self->shape, block_size, self->shape.levels);
    blocks_operation operation = {.hold = *hold, .shape = &self->shape};
    error = ready(&operation);
    /* The mapping may be another one by now. */
    *hold = operation.hold;
    return error;
}

static emmap_error same_storage(emmap_file *file, structure *there, uint64_t block_size, unsigned levels)
{
    const emmap_error error = structure_of(file, STRUCTURE_BLOCKS, &there);
    if (error)
        return error;
    const blocks_shape *const shape = &((const blocks *)there)->shape;
    return (block_size == 0 || block_size == shape->block_size) && levels == shape->levels
               ? EMMAP_OK
               : error_set(EINVAL, "the block storage has another block size or number of levels");
}

static emmap_error possible(uint64_t block_size, unsigned levels)
{
    if (block_size > UINT32_MAX)
        return error_set(EINVAL, "a block has from 1 to 2^32 - 1 bytes");
    if (levels != 0 && (levels < BLOCKS_LEVELS_MIN || levels > BLOCKS_LEVELS_MAX))
        return error_set(EINVAL, "a block storage has from 2 to 5 levels");
    return EMMAP_OK;
}

static emmap_error note_synced(emmap_file *file)
{
    blocks_operation self;
    const emmap_error error = blocks_begin(file, &self);
    /* What is damaged can be brought to disk as it is. */
    if (error)
        return error == EMMAP_CORRUPT ? EMMAP_OK : error;
    if (!self.synced) {
        self.synced = true;
        mark(&self, 0);
        PAUSE("blocks_noted");
    }
    return hold_end(&self.hold, EMMAP_OK);
}

emmap_error emmap_blocks_attach(emmap_file *file, uint64_t block_size, unsigned levels)
{
    const emmap_error impossible = possible(block_size, levels);
    if (impossible)
        return impossible;
    if (levels == 0)
        levels = BLOCKS_LEVELS;
    structure *const there = atomic_load_explicit(&file->structure, memory_order_acquire);
    if (there)
        return same_storage(file, there, block_size, levels);
    blocks *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (structure){.kind = STRUCTURE_BLOCKS, .note_synced = note_synced};
        self->shape = (blocks_shape){.block_size = (uint32_t)block_size, .levels = levels};
    }
    return structure_attach(file, self ? &self->base : NULL, check);
}

emmap_error emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                              const emmap_options *given, emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    /* Before a file is created for nothing. */
    bool fresh = false;
    emmap_error error = possible(block_size, levels);
    if (!error)
        error = structure_options(given, &options, &fresh);
    if (error)
        return error;
    const structure_preparer preparer = {.base = {structure_prepare},
                                         .size = options.size ? options.size : DEFAULT_SIZE,
                                         .lacking = block_size ? NULL : no_block_size,
                                         .fresh = fresh};
    if (preparer.size < BLOCKS_TREE)
        return error_set(EINVAL, "a block storage takes 16 bytes at the least");
    if (!(options.flags & EMMAP_OPEN_ANON))
        options.size = 0;
    emmap_file *file;
    error = file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    error = emmap_blocks_attach(file, block_size, levels);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        emmap_free(file);
        error_restore(&failure);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}

/* ---- Store ---- */

/* The way to the block that the next store takes by the masks. Errors: EMMAP_FULL; EMMAP_CORRUPT. */
static emmap_error descend(blocks_operation *self, blocks_path *path)
{
    *path = (blocks_path){0};
    for (unsigned level = self->shape->levels; level > 0; level--) {
        const uint64_t offset = path->offset[level];
        const blocks_group group = blocks_load(self, level, offset);
        if (group.free == 0)
            return level == self->shape->levels
                       ? error_set(EMMAP_FULL, "every block of the storage is in use")
                       : hold_corrupt(&self->hold, BLOCKS_TREE + offset,
                                      "a group that should have room has none");
        blocks_descend(self->shape, path, level, (unsigned)__builtin_ctzll(group.free));
    }
    return EMMAP_OK;
}

/*
 * The same, but before the masks above the leaves are believed where they say that no room is left, or contradict
 * what they are above, they are made to follow from the leaves': after a power cut they may be of any age. Once a
 * handle, since none outlives a power cut. Errors: also EAGAIN as structure_wait.
 */
static emmap_error find_room(blocks_operation *self, blocks_path *path)
{
    blocks *const storage = (blocks *)self->hold.structure;
    emmap_error error = descend(self, path);
    if (!error || storage->settled)
        return error;
    error = structure_wait();
    if (error)
        return error;
    blocks_settle_all(self);
    storage->settled = true;
    return descend(self, path);
}

static uint64_t block_end(const blocks_operation *self, const blocks_path *path)
{
    return BLOCKS_TREE + path->offset[0] + self->shape->block_size;
}

static emmap_error make_room(blocks_operation *self, uint64_t end)
{
    hold *const hold = &self->hold;
    blocks *const storage = (blocks *)hold->structure;
    if (end <= hold->mapping->size && (!self->synced || end <= storage->durable))
        return EMMAP_OK;
    emmap_error error = hold_reach(hold, end);
    if (!error && end > hold->mapping->size) {
        PAUSE("block_store_growing");
        error = hold_grow(hold, hold_growth(hold, end));
    }
    if (error || !self->synced || end <= storage->durable)
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
        if (!beyond(self, offset))
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

/*
 * For a synced storage: brings the masks of new groups on the path to disk, before limo: a leaf whose mask is not
 * there would be full of blocks that nobody stored. The masks of all leaves that come next under the same group, as
 * far as the file goes, are written with them (what is beyond limo may hold anything), so that at most one store in
 * 4096 waits for the disk.
 */
static emmap_error prepare(blocks_operation *self, const blocks_path *path)
{
    hold *const hold = &self->hold;
    blocks *const storage = (blocks *)hold->structure;
    uint64_t leaf = path->offset[1];
    if (!beyond(self, leaf) || leaf <= storage->prepared)
        return EMMAP_OK;
    emmap_error error = structure_wait();
    if (error)
        return error;
    write_masks(self, path);
    uint64_t last = leaf;
    for (unsigned child = path->child[2] + 1; child < BLOCKS_FANOUT; child++) {
        leaf += self->shape->sizes[1];
        if (BLOCKS_TREE + leaf + blocks_masks(1) > hold->mapping->size)
            break;
        blocks_store64(hold->mapping->data, BLOCKS_TREE + leaf, BLOCKS_ALL);
        last = leaf;
    }
    PAUSE("blocks_prepared");
    error = hold_sync(hold);
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

/* Makes the block at the path's end free or not, with all that follows from it. */
static void change(blocks_operation *self, const blocks_path *path, bool is_free)
{
    uint8_t *const data = self->hold.mapping->data;
    mark(self, (uint32_t)blocks_address(self->shape, path) + 1);
    PAUSE("blocks_marked");
    if (!is_free)
        initialise(self, path);
    const uint64_t leaf = BLOCKS_TREE + path->offset[1];
    blocks_store64(data, leaf, with_bit(blocks_load64(data, leaf), path->child[1], is_free));
    PAUSE("blocks_leaf_changed");
    blocks_settle(self, path);
    mark(self, 0);
    PAUSE("blocks_unmarked");
}

static emmap_error store(blocks_operation *self, const struct iovec *block, uint64_t *address)
{
    blocks_path path;
    emmap_error error = find_room(self, &path);
    if (!error)
        error = make_room(self, block_end(self, &path));
    if (!error && self->synced)
        error = prepare(self, &path);
    if (error)
        return error;
    PAUSE("block_store_begin");
    memcpy(self->hold.mapping->data + BLOCKS_TREE + path.offset[0], block->iov_base, block->iov_len);
    PAUSE("block_store_copied");
    change(self, &path, false);
    *address = blocks_address(self->shape, &path);
    return EMMAP_OK;
}

/* The way to a block that is in use. Errors: ENOENT. */
static emmap_error find(const blocks_operation *self, uint64_t address, blocks_path *path)
{
    if (address >= blocks_capacity(self->shape))
        return blocks_none();
    *path = blocks_path_of(self->shape, address);
    const blocks_group leaf = blocks_load(self, 1, path->offset[1]);
    return leaf.used >> path->child[1] & 1 ? EMMAP_OK : blocks_none();
}

static emmap_error release(blocks_operation *self, uint64_t address)
{
    blocks_path path;
    const emmap_error error = find(self, address, &path);
    if (!error)
        change(self, &path, true);
    return error;
}

/* Undoes what was done to these addresses; nobody has seen it, and the bytes are where they were. */
static void undo(blocks_operation *self, const uint64_t *addresses, size_t count, bool is_free)
{
    while (count > 0) {
        const blocks_path path = blocks_path_of(self->shape, addresses[--count]);
        change(self, &path, is_free);
    }
}

emmap_error emmap_block_store_many(emmap_file *file, const struct iovec *list, size_t count,
                                   uint64_t *addresses)
{
    blocks_operation self;
    emmap_error error = blocks_begin(file, &self);
    if (error)
        return error;
    for (size_t i = 0; i < count && !error; i++)
        if (list[i].iov_len != self.shape->block_size)
            error = error_set(EINVAL, "the bytes are not as many as a block has");
    size_t done = 0;
    while (!error && done < count) {
        error = store(&self, &list[done], &addresses[done]);
        if (!error)
            done++;
    }
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        undo(&self, addresses, done, true);
        error_restore(&failure);
    }
    return hold_end(&self.hold, error);
}

emmap_error emmap_block_store(emmap_file *file, const struct iovec *block, uint64_t *address)
{
    return emmap_block_store_many(file, block, 1, address);
}

emmap_error emmap_block_free_many(emmap_file *file, const uint64_t *addresses, size_t count)
{
    blocks_operation self;
    emmap_error error = blocks_begin(file, &self);
    if (error)
        return error;
    size_t done = 0;
    while (!error && done < count) {
        error = release(&self, addresses[done]);
        if (!error)
            done++;
    }
    if (error)
        undo(&self, addresses, done, false);
    return hold_end(&self.hold, error);
}

emmap_error emmap_block_free(emmap_file *file, uint64_t address)
{
    return emmap_block_free_many(file, &address, 1);
}
