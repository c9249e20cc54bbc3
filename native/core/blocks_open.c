/* Making a file a block storage, opening one, and making one anew. */
#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "blocks.h"
#include "error.h"
#include "pause.h"

#define DEFAULT_SIZE 4096u

static const char no_block_size[] = "a new block storage needs a block size";

/* Nothing but a header that has no block size yet: nobody has got further than that. */
static bool untouched(const hold *hold)
{
    const uint8_t *const data = hold->mapping->data;
    const int64_t limo = (int64_t)blocks_load64(data, BLOCKS_LIMO);
    const uint32_t word = blocks_load32(data, BLOCKS_WORD);
    return blocks_load32(data, 0) == 0 && blocks_word_wrong(word) == NULL && (word & ~BLOCKS_SAID) == 0 &&
           (limo == 0 || limo == -1) && hold_zeros(hold, BLOCKS_TREE, hold->mapping->size - BLOCKS_TREE);
}

/* Makes an empty storage of whatever there is. Between any two stores it is a storage, and an empty one as soon as
 * limo is stored. */
static void make(hold *hold, uint32_t block_size, uint32_t word)
{
    uint8_t *const data = hold->mapping->data;
    PAUSE("blocks_create_begin");
    blocks_store64(data, BLOCKS_LIMO, (uint64_t)-1);
    PAUSE("blocks_create_limo");
    blocks_store32(data, BLOCKS_WORD, word);
    PAUSE("blocks_create_word");
    /* The block size last: it says that the rest is there. */
    blocks_store32(data, 0, block_size);
    PAUSE("blocks_create_done");
}

static emmap_error create(hold *hold, uint32_t block_size, unsigned levels)
{
    if (!hold->locked || !untouched(hold))
        return hold_corrupt(hold, 0, "not a block storage: its block size is 0");
    if (block_size == 0)
        return error_set(EINVAL, no_block_size);
    make(hold, block_size, blocks_saying(levels ? levels : BLOCKS_LEVELS) << BLOCKS_SAID_SHIFT);
    return EMMAP_OK;
}

/* What was deduced stands in the file from now on. */
static void say_levels(hold *hold, blocks_shape *shape)
{
    if (!hold->locked || shape->block_size == 0 || shape->said == blocks_saying(shape->levels))
        return;
    shape->said = blocks_saying(shape->levels);
    blocks_store32(hold->mapping->data, BLOCKS_WORD,
                   blocks_load32(hold->mapping->data, BLOCKS_WORD) | shape->said << BLOCKS_SAID_SHIFT);
    PAUSE("blocks_levels_said");
}

/* With a shape that holds what the caller says: block size or 0, levels or 0. */
static emmap_error check(structure *base, hold *hold)
{
    blocks *const self = (blocks *)base;
    const uint32_t block_size = self->shape.block_size;
    const unsigned levels = self->shape.levels;
    emmap_error error = EMMAP_OK;
    if (hold->mapping->size < BLOCKS_TREE) {
        if (self->follows || !hold->locked || !hold_zeros(hold, 0, hold->mapping->size))
            return hold_corrupt(hold, 0, "not a block storage: the file is too small");
        if (block_size == 0)
            return error_set(EINVAL, no_block_size);
        error = hold_grow(hold, hold_growth(hold, BLOCKS_TREE));
    }
    if (!error && !self->follows && blocks_load32(hold->mapping->data, 0) == 0) {
        error = create(hold, block_size, levels);
        self->settled = error == EMMAP_OK;
    }
    if (!error)
        error = blocks_find_shape(hold, levels, &self->shape);
    if (error)
        return error;
    if (block_size != 0 && block_size != self->shape.block_size)
        return error_set(EINVAL, "the block storage has another block size");
    blocks_operation operation = {.hold = *hold, .shape = &self->shape};
    error = blocks_ready(&operation);
    /* The mapping may be another one by now. */
    *hold = operation.hold;
    if (!error)
        say_levels(hold, &self->shape);
    return error;
}

static emmap_error same_storage(emmap_file *file, structure *there, uint64_t block_size, unsigned levels)
{
    const emmap_error error = structure_of(file, STRUCTURE_BLOCKS, &there);
    if (error)
        return error;
    const blocks_shape *const shape = &((const blocks *)there)->shape;
    return (block_size == 0 || block_size == shape->block_size) && (levels == 0 || levels == shape->levels)
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
    if (!blocks_synced(&self) && self.shape->block_size != 0) {
        blocks_put_word(&self, self.word | BLOCKS_SYNCED);
        PAUSE("blocks_noted");
    }
    return hold_end(&self.hold, EMMAP_OK);
}

static emmap_error attach(emmap_file *file, uint64_t block_size, unsigned levels, bool follows,
                          emmap_error (*check_file)(structure *, hold *))
{
    blocks *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (structure){.kind = STRUCTURE_BLOCKS, .note_synced = note_synced};
        self->shape = (blocks_shape){.block_size = (uint32_t)block_size, .levels = levels};
        self->follows = follows;
    }
    return structure_attach(file, self ? &self->base : NULL, check_file);
}

emmap_error emmap_blocks_attach(emmap_file *file, uint64_t block_size, unsigned levels)
{
    const emmap_error impossible = possible(block_size, levels);
    if (impossible)
        return impossible;
    structure *const there = atomic_load_explicit(&file->structure, memory_order_acquire);
    return there ? same_storage(file, there, block_size, levels)
                 : attach(file, block_size, levels, false, check);
}

emmap_error blocks_adopt_now(emmap_file *file)
{
    const emmap_error error = attach(file, 0, 0, true, check);
    /* Another thread was faster. */
    return error == EBUSY && atomic_load(&file->structure) ? EMMAP_OK : error;
}

/* ---- Making a storage anew ---- */

/* The header that `shape` says, and nothing stored. */
static emmap_error make_anew(hold *hold, const blocks_shape *shape)
{
    emmap_error error = EMMAP_OK;
    if (hold->mapping->size < BLOCKS_TREE)
        error = hold_grow(hold, hold_growth(hold, BLOCKS_TREE));
    if (error)
        return error;
    const uint32_t before = blocks_load32(hold->mapping->data, BLOCKS_WORD);
    blocks_shape now;
    /* Of a file that holds something else nothing was ever promised. */
    const bool storage = blocks_find_shape(hold, 0, &now) == EMMAP_OK && now.block_size != 0;
    const bool synced = storage && (before & BLOCKS_SYNCED);
    error = synced ? structure_wait() : EMMAP_OK;
    if (error)
        return error;
    uint32_t kept = storage ? before & BLOCKS_HOLES : 0;
    if (synced)
        kept |= BLOCKS_SYNCED | ((before + BLOCKS_GENERATION_ONE) & BLOCKS_GENERATION);
    ((blocks *)hold->structure)->settled = true;
    make(hold, shape->block_size, kept | shape->said << BLOCKS_SAID_SHIFT);
    /* The disk must not have the old header when new blocks are where its masks were. */
    return synced ? hold_sync(hold) : EMMAP_OK;
}

static emmap_error check_anew(structure *base, hold *hold)
{
    blocks *const self = (blocks *)base;
    if (!hold->locked)
        return error_set(EACCES, "the file is open for reading only");
    const unsigned levels = self->shape.levels;
    blocks_shape_set(&self->shape, self->shape.block_size, levels, blocks_saying(levels));
    return make_anew(hold, &self->shape);
}

emmap_error emmap_blocks_init(emmap_file *file, uint64_t block_size, unsigned levels)
{
    emmap_error error = possible(block_size, levels);
    if (error)
        return error;
    if (levels == 0)
        levels = BLOCKS_LEVELS;
    if (!atomic_load_explicit(&file->structure, memory_order_acquire)) {
        error = attach(file, block_size, levels, true, check_anew);
        if (error != EBUSY || !atomic_load(&file->structure))
            return error;
    }
    hold hold;
    error = hold_begin(file, STRUCTURE_BLOCKS, LOCK_STRUCTURE, &hold);
    if (error)
        return error;
    blocks *const self = (blocks *)hold.structure;
    blocks_shape shape;
    blocks_shape_set(&shape, (uint32_t)block_size, levels, blocks_saying(levels));
    const bool same = shape.block_size == self->shape.block_size && levels == self->shape.levels;
    if (!same && !self->follows)
        return hold_end(&hold,
                        error_set(EINVAL, "the file was opened as a storage with another block size or "
                                          "number of levels"));
    return hold_end(&hold, make_anew(&hold, &shape));
}

/* ---- Open ---- */

/* Makes a storage that is known to be one as large as its opener wants it. */
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
    error = structure_made(file, "not a block storage: its block size is 0");
    if (!error)
        error = emmap_blocks_attach(file, block_size, levels);
    if (!error && (options.flags & EMMAP_OPEN_FIT))
        error = fit(file, preparer.size);
    if (error) {
        file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
