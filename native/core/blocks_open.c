/*
 * Making a file a block storage, and finding out what storage it is. Before a file's bytes are taken for a storage's
 * they have to look like one: the block size is any number, but the word at offset 4 and limo are not.
 */
#include "blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "pause.h"

#define DEFAULT_SIZE 4096u

static const char no_block_size[] = "a new block storage needs a block size";

/* ---- What a file holds ---- */

const char *blocks_word_wrong(uint32_t word)
{
    const unsigned said = blocks_said(word);
    return said != 0 && (said < BLOCKS_LEVELS_MIN || said > BLOCKS_LEVELS_MAX)
               ? "not a block storage: it has another number of levels than from 2 to 5"
               : NULL;
}

/* What speaks for a number of levels, where the file does not say it. No offset is that of a leaf for two numbers. */
typedef enum evidence {
    IMPOSSIBLE, /* no group begins at limo */
    POSSIBLE, /* an inner group does: a writer of emmap 2.x died there. Or the first leaf does, and is empty */
    CERTAIN   /* a leaf does */
} evidence;

static evidence evidence_for(const hold *hold, uint32_t block_size, unsigned levels, int64_t limo)
{
    blocks_shape shape;
    blocks_shape_set(&shape, block_size, levels, 0);
    const unsigned level = limo < 0 ? 0 : blocks_level_at(&shape, (uint64_t)limo);
    if (level != 1)
        return level == 0 ? IMPOSSIBLE : POSSIBLE;
    const uint64_t first = blocks_path_of(&shape, 0).offset[1], end = BLOCKS_TREE + first + blocks_masks(1);
    const bool empty = (uint64_t)limo == first && end <= hold->mapping->size &&
                       blocks_load64(hold->mapping->data, BLOCKS_TREE + first) == BLOCKS_ALL;
    return empty ? POSSIBLE : CERTAIN;
}

#define UNTOLD 1u

/* The number of levels by the evidence. Where several are possible nothing is stored, and no choice can lose anything:
 * what the caller says decides, or the default. 0: no number is possible. UNTOLD. */
static unsigned deduce(const hold *hold, uint32_t block_size, unsigned levels, int64_t limo)
{
    evidence found[BLOCKS_LEVELS_MAX + 1] = {IMPOSSIBLE}, best = IMPOSSIBLE;
    unsigned equals = 0, chosen = 0;
    for (unsigned one = BLOCKS_LEVELS_MIN; one <= BLOCKS_LEVELS_MAX; one++) {
        found[one] = evidence_for(hold, block_size, one, limo);
        if (found[one] > best) {
            best = found[one];
            equals = 0;
        }
        if (found[one] == best) {
            equals++;
            chosen = one;
        }
    }
    if (best == IMPOSSIBLE || equals == 1)
        return best == IMPOSSIBLE ? 0 : chosen;
    if (levels != 0 && found[levels] == best)
        return levels;
    return found[BLOCKS_LEVELS] == best ? BLOCKS_LEVELS : UNTOLD;
}

emmap_error blocks_find_shape(hold *hold, unsigned levels, blocks_shape *shape)
{
    const uint8_t *const data = hold->mapping->data;
    const uint32_t block_size = blocks_load32(data, 0), word = blocks_load32(data, BLOCKS_WORD);
    const int64_t limo = (int64_t)blocks_load64(data, BLOCKS_LIMO);
    unsigned found = blocks_said(word);
    blocks_shape_set(shape, block_size, BLOCKS_LEVELS, found);
    if (block_size == 0)
        return EMMAP_OK;
    const char *const wrong = blocks_word_wrong(word);
    if (wrong)
        return hold_corrupt(hold, BLOCKS_WORD, wrong);
    if (found == 0)
        found = limo == -1 ? BLOCKS_LEVELS : deduce(hold, block_size, levels, limo);
    if (found == UNTOLD)
        return error_set(EINVAL, "the file does not say how many levels the storage has: the caller has to");
    blocks_shape_set(shape, block_size, found ? found : BLOCKS_LEVELS, shape->said);
    if (limo != -1 && (limo < 0 || blocks_level_at(shape, (uint64_t)limo) == 0))
        return hold_corrupt(hold, BLOCKS_LIMO, "not a block storage: limo is not the offset of a group");
    return levels == 0 || levels == found
               ? EMMAP_OK
               : error_set(EINVAL, "the block storage has another number of levels");
}

/* ---- Attach ---- */

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
