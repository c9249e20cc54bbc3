/* Making a file a block storage, opening one, and making one anew. */
#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "blocks.h"
#include "error.h"
#include "pause.h"

#define DEFAULT_SIZE 4096u

static const char no_block_size[] = "a new block storage needs a block size";

/* Whether the file is zeros, or a header without a block size: its creator got no further. */
static bool untouched(const operation_t *operation)
{
    const uint8_t *const data = operation->mapping->data;
    const int64_t last_group = (int64_t)blocks_load64(data, BLOCKS_LAST_GROUP);
    const uint32_t word = blocks_load32(data, BLOCKS_WORD);
    return blocks_load32(data, 0) == 0 && emi_blocks_word_wrong(word) == NULL && (word & ~BLOCKS_SAID) == 0 &&
           (last_group == 0 || last_group == -1) &&
           emi_operation_zeros(operation, BLOCKS_TREE, operation->mapping->size - BLOCKS_TREE);
}

/* Makes an empty storage in place of anything. Between any two stores there is a storage, and after the first
 * store an empty one. */
static void make(operation_t *operation, uint32_t block_size, uint32_t word)
{
    uint8_t *const data = operation->mapping->data;
    PAUSE("blocks_create_begin");
    blocks_store64(data, BLOCKS_LAST_GROUP, (uint64_t)-1);
    PAUSE("blocks_create_limo");
    blocks_store32(data, BLOCKS_WORD, word);
    PAUSE("blocks_create_word");
    /* The block size comes last: it tells that the rest is there. */
    blocks_store32(data, 0, block_size);
    PAUSE("blocks_create_done");
}

static emmap_error create(operation_t *operation, uint32_t block_size, unsigned levels)
{
    if (!operation->locked || !untouched(operation))
        return emi_operation_corrupt(operation, 0, "not a block storage: its block size is 0");
    if (block_size == 0)
        return emi_error_set(EINVAL, no_block_size);
    make(operation, block_size, blocks_saying(levels ? levels : EMMAP_LEVELS) << BLOCKS_SAID_SHIFT);
    return EMMAP_OK;
}

/* Records the deduced number of levels in the file. */
static void say_levels(operation_t *operation, blocks_shape_t *shape)
{
    if (!operation->locked || shape->block_size == 0 || shape->said == blocks_saying(shape->levels))
        return;
    shape->said = blocks_saying(shape->levels);
    blocks_store32(operation->mapping->data, BLOCKS_WORD,
                   blocks_load32(operation->mapping->data, BLOCKS_WORD) | shape->said << BLOCKS_SAID_SHIFT);
    PAUSE("blocks_levels_said");
}

/* self->shape holds the caller's block size and levels, or 0. */
static emmap_error check(container_t *base, operation_t *operation)
{
    blocks_t *const self = (blocks_t *)base;
    const uint32_t block_size = self->shape.block_size;
    const unsigned levels = self->shape.levels;
    emmap_error error = EMMAP_OK;
    if (operation->mapping->size < BLOCKS_TREE) {
        if (self->follows || !operation->locked ||
            !emi_operation_zeros(operation, 0, operation->mapping->size))
            return emi_operation_corrupt(operation, 0, "not a block storage: the file is too small");
        if (block_size == 0)
            return emi_error_set(EINVAL, no_block_size);
        error = emi_operation_grow(operation, emi_operation_growth(operation, BLOCKS_TREE));
    }
    if (!error && !self->follows && blocks_load32(operation->mapping->data, 0) == 0) {
        error = create(operation, block_size, levels);
        self->settled = error == EMMAP_OK;
    }
    if (!error)
        error = emi_blocks_find_shape(operation, levels, &self->shape);
    if (error)
        return error;
    if (block_size != 0 && block_size != self->shape.block_size)
        return emi_error_set(EINVAL, "the block storage has another block size");
    blocks_operation_t whole = {.base = *operation, .shape = &self->shape};
    error = emi_blocks_ready(&whole);
    /* It may have another mapping. */
    *operation = whole.base;
    if (!error)
        say_levels(operation, &self->shape);
    return error;
}

static emmap_error same_storage(emmap_file *file, container_t *there, uint64_t block_size, unsigned levels)
{
    const emmap_error error = emi_container_get(file, CONTAINER_BLOCKS, &there);
    if (error)
        return error;
    const blocks_shape_t *const shape = &((const blocks_t *)there)->shape;
    return (block_size == 0 || block_size == shape->block_size) && (levels == 0 || levels == shape->levels)
               ? EMMAP_OK
               : emi_error_set(EINVAL, "the block storage has another block size or number of levels");
}

static emmap_error possible(uint64_t block_size, unsigned levels)
{
    if (block_size > UINT32_MAX)
        return emi_error_set(EINVAL, "a block has from 1 to 2^32 - 1 bytes");
    if (levels != 0 && (levels < EMMAP_LEVELS_MIN || levels > EMMAP_LEVELS_MAX))
        return emi_error_set(EINVAL, "a block storage has from 2 to 5 levels");
    return EMMAP_OK;
}

static emmap_error note_synced(emmap_file *file)
{
    blocks_operation_t self;
    const emmap_error error = emi_blocks_begin(file, &self);
    /* A damaged storage can be synced as it is. */
    if (error)
        return error == EMMAP_CORRUPT ? EMMAP_OK : error;
    if (!blocks_synced(&self) && self.shape->block_size != 0) {
        emi_blocks_put_word(&self, self.word | BLOCKS_SYNCED);
        PAUSE("blocks_noted");
    }
    return emi_operation_end(&self.base, EMMAP_OK);
}

static emmap_error attach(emmap_file *file, uint64_t block_size, unsigned levels, bool follows,
                          emmap_error (*check_file)(container_t *, operation_t *))
{
    blocks_t *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (container_t){.kind = CONTAINER_BLOCKS, .note_synced = note_synced};
        self->shape = (blocks_shape_t){.block_size = (uint32_t)block_size, .levels = levels};
        self->follows = follows;
    }
    return emi_container_attach(file, self ? &self->base : NULL, check_file);
}

emmap_error emmap_blocks_attach(emmap_file *file, uint64_t block_size, unsigned levels)
{
    const emmap_error impossible = possible(block_size, levels);
    if (impossible)
        return impossible;
    container_t *const there = atomic_load_explicit(&file->container, memory_order_acquire);
    return there ? same_storage(file, there, block_size, levels)
                 : attach(file, block_size, levels, false, check);
}

emmap_error emi_blocks_adopt_now(emmap_file *file)
{
    const emmap_error error = attach(file, 0, 0, true, check);
    /* Another thread was faster. */
    return error == EBUSY && atomic_load(&file->container) ? EMMAP_OK : error;
}

/* ---- Making a storage anew ---- */

/* Writes a header of this shape, with no block stored. */
static emmap_error make_anew(operation_t *operation, const blocks_shape_t *shape)
{
    emmap_error error = EMMAP_OK;
    if (operation->mapping->size < BLOCKS_TREE)
        error = emi_operation_grow(operation, emi_operation_growth(operation, BLOCKS_TREE));
    if (error)
        return error;
    const uint32_t before = blocks_load32(operation->mapping->data, BLOCKS_WORD);
    blocks_shape_t now;
    /* Whatever else the file holds was never promised to survive. */
    const bool storage = emi_blocks_find_shape(operation, 0, &now) == EMMAP_OK && now.block_size != 0;
    const bool synced = storage && (before & BLOCKS_SYNCED);
    error = synced ? emi_require_blocking() : EMMAP_OK;
    if (error)
        return error;
    uint32_t kept = storage ? before & BLOCKS_HOLES : 0;
    if (synced)
        kept |= BLOCKS_SYNCED | ((before + BLOCKS_GENERATION_ONE) & BLOCKS_GENERATION);
    ((blocks_t *)operation->container)->settled = true;
    make(operation, shape->block_size, kept | shape->said << BLOCKS_SAID_SHIFT);
    /* The disk must not have the old header when new blocks lie where its masks were. */
    return synced ? emi_operation_sync(operation) : EMMAP_OK;
}

static emmap_error check_anew(container_t *base, operation_t *operation)
{
    blocks_t *const self = (blocks_t *)base;
    if (!operation->locked)
        return emi_error_set(EACCES, "the file is open for reading only");
    const unsigned levels = self->shape.levels;
    blocks_shape_set(&self->shape, self->shape.block_size, levels, blocks_saying(levels));
    return make_anew(operation, &self->shape);
}

emmap_error emmap_blocks_init(emmap_file *file, uint64_t block_size, unsigned levels)
{
    emmap_error error = possible(block_size, levels);
    if (error)
        return error;
    if (levels == 0)
        levels = EMMAP_LEVELS;
    if (!atomic_load_explicit(&file->container, memory_order_acquire)) {
        error = attach(file, block_size, levels, true, check_anew);
        if (error != EBUSY || !atomic_load(&file->container))
            return error;
    }
    operation_t operation;
    error = emi_operation_begin(file, CONTAINER_BLOCKS, LOCK_CONTAINER, &operation);
    if (error)
        return error;
    blocks_t *const self = (blocks_t *)operation.container;
    blocks_shape_t shape;
    blocks_shape_set(&shape, (uint32_t)block_size, levels, blocks_saying(levels));
    const bool same = shape.block_size == self->shape.block_size && levels == self->shape.levels;
    if (!same && !self->follows)
        return emi_operation_end(
            &operation, emi_error_set(EINVAL, "the file was opened as a storage with another block size or "
                                              "number of levels"));
    return emi_operation_end(&operation, make_anew(&operation, &shape));
}

/* ---- Open ---- */

/* Makes a storage as large as its opener asks. */
static emmap_error fit(emmap_file *file, uint64_t size)
{
    uint64_t now;
    const emmap_error error = emmap_size(file, &now);
    if (error || now >= size ||
        (file->options.flags & (EMMAP_OPEN_WRITE | EMMAP_OPEN_FIXED_SIZE)) != EMMAP_OPEN_WRITE)
        return error;
    return emmap_resize(file, size, NULL);
}

emmap_error emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                              const emmap_options *given, emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    /* First, so that no file is created in vain. */
    bool fresh = false;
    emmap_error error = possible(block_size, levels);
    if (!error)
        error = emi_container_options(given, &options, &fresh);
    if (error)
        return error;
    const container_preparer_t preparer = {.base = {emi_container_prepare},
                                           .size = options.size ? options.size : DEFAULT_SIZE,
                                           .lacking = block_size ? NULL : no_block_size,
                                           .fresh = fresh};
    if (preparer.size < BLOCKS_TREE)
        return emi_error_set(EINVAL, "a block storage takes 16 bytes at the least");
    if (!(options.flags & EMMAP_OPEN_ANON))
        options.size = 0;
    emmap_file *file;
    error = emi_file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    error = emi_container_require_made(file, "not a block storage: its block size is 0");
    if (!error)
        error = emmap_blocks_attach(file, block_size, levels);
    if (!error && (options.flags & EMMAP_OPEN_FIT))
        error = fit(file, preparer.size);
    if (error) {
        emi_file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
