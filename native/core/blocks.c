/*
 * What every operation on a block storage begins with. A store or free writes the mark, then the leaf's mask, which is
 * the moment at which the block is there or gone, then the masks above it, then takes the mark away. An operation that
 * finds a mark under the lock does the masks above it again: nothing else can be wrong. In a leaf that has
 * free and used blocks before and after, no mask above it changes, and the leaf's mask alone is written.
 */
#include "blocks.h"

#include <errno.h>

#include "error.h"
#include "pause.h"

emmap_error blocks_none(void)
{
    return error_set(ENOENT, "no such block");
}

emmap_error blocks_refresh(blocks_operation *self)
{
    hold *const hold = &self->hold;
    const int64_t limo = (int64_t)blocks_load64(hold->mapping->data, BLOCKS_LIMO);
    self->limo = limo;
    if (limo == -1)
        return EMMAP_OK;
    const unsigned level = limo < 0 ? 0 : blocks_level_at(self->shape, (uint64_t)limo);
    if (level == 0)
        return hold_corrupt(hold, BLOCKS_LIMO, "not a block storage: limo is not the offset of a group");
    const uint64_t end = BLOCKS_TREE + (uint64_t)limo + blocks_masks(level);
    const emmap_error error = hold_reach(hold, end);
    if (error)
        return error;
    return end > hold->mapping->size ? hold_corrupt(hold, BLOCKS_LIMO, "limo passes the end of the file")
                                     : EMMAP_OK;
}

bool blocks_same_shape(const blocks_operation *self)
{
    const uint8_t *const data = self->hold.mapping->data;
    const unsigned said = blocks_said(blocks_load32(data, BLOCKS_WORD));
    return blocks_load32(data, 0) == self->shape->block_size &&
           (said == self->shape->said || said == self->shape->levels);
}

/* A storage may be made anew, with blocks of another size or another number of levels. A handle that was opened for
 * what it was must not go on. One that takes the file as it is does. */
static emmap_error other_shape(blocks_operation *self)
{
    if (((const blocks *)self->hold.structure)->follows) {
        emmap_error error = hold_keep(&self->hold);
        if (!error)
            error = blocks_find_shape(&self->hold, 0, &self->anew);
        self->shape = &self->anew;
        return error;
    }
    return blocks_load32(self->hold.mapping->data, 0) != self->shape->block_size
               ? hold_corrupt(&self->hold, 0, "the block size is another one than when the file was opened")
               : hold_corrupt(&self->hold, BLOCKS_WORD,
                              "the number of levels is another one than when the file was opened");
}

static uint32_t marked(const blocks_operation *self)
{
    return blocks_load32(self->hold.mapping->data, BLOCKS_WORD) & BLOCKS_MARK;
}

void blocks_put_word(blocks_operation *self, uint32_t word)
{
    self->word = word;
    blocks_store32(self->hold.mapping->data, BLOCKS_WORD, word);
}

void blocks_mark(blocks_operation *self, uint32_t value)
{
    blocks_put_word(self, (self->word & ~BLOCKS_MARK) | value);
}

/* Finishes what the last one to hold the lock did not. */
static emmap_error mend(blocks_operation *self)
{
    const uint32_t left = self->word & BLOCKS_MARK;
    /* A number of a leaf, or the address of any block in it, as it was written once. */
    if (left > blocks_capacity(self->shape))
        return hold_corrupt(&self->hold, BLOCKS_WORD, "the mark of an operation in progress names no block");
    PAUSE("blocks_mend_begin");
    const blocks_path path = blocks_path_of(self->shape, left - 1);
    blocks_settle(self, &path);
    blocks_mark(self, 0);
    PAUSE("blocks_mend_done");
    return EMMAP_OK;
}

/* Under `threads`. */
static void note_sound(blocks_operation *self)
{
    blocks *const storage = (blocks *)self->hold.structure;
    if (self->shape != &storage->shape || self->shape->block_size == 0)
        return;
    const uint64_t masks = BLOCKS_TREE + (uint64_t)self->limo + blocks_masks(BLOCKS_LEVELS_MAX);
    storage->sound_to = self->limo < 0 ? BLOCKS_TREE : masks;
    storage->sound_limo = self->limo;
    storage->sound_word = self->word;
}

/* Whether the header is one that needs no other look: what blocks_ready finds follows from it and the shape. */
static inline bool sound(blocks_operation *self)
{
    const blocks *const storage = (const blocks *)self->hold.structure;
    const uint8_t *const data = self->hold.mapping->data;
    if (!self->hold.mutexed || storage->sound_to == 0 || storage->sound_to > self->hold.mapping->size)
        return false;
    self->shape = &storage->shape;
    self->word = blocks_load32(data, BLOCKS_WORD);
    self->limo = (int64_t)blocks_load64(data, BLOCKS_LIMO);
    return blocks_load32(data, 0) == storage->shape.block_size && self->word == storage->sound_word &&
           self->limo == storage->sound_limo;
}

/* How often the header is read again when it changes meanwhile: a handle without the lock may see it made anew. */
#define LOOKS 200

emmap_error blocks_ready(blocks_operation *self)
{
    emmap_error error = EMMAP_OK;
    for (int i = 0; i < LOOKS; i++) {
        self->word = blocks_load32(self->hold.mapping->data, BLOCKS_WORD);
        error = blocks_same_shape(self) ? EMMAP_OK : other_shape(self);
        self->limo = -1;
        if (!error && self->shape->block_size != 0)
            error = blocks_refresh(self);
        if (self->hold.locked || blocks_same_shape(self))
            break;
    }
    if (!error && self->hold.locked && (self->word & BLOCKS_MARK) && self->shape->block_size != 0)
        error = mend(self);
    if (!error && self->hold.locked)
        note_sound(self);
    return error;
}

static emmap_error start(blocks_operation *self)
{
    self->shape = &((const blocks *)self->hold.structure)->shape;
    const emmap_error error = blocks_ready(self);
    return error ? hold_end(&self->hold, error) : EMMAP_OK;
}

emmap_error blocks_begin(emmap_file *file, blocks_operation *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = hold_begin(file, STRUCTURE_BLOCKS, LOCK_STRUCTURE, &self->hold);
    return error ? error : start(self);
}

/* start, of what is about one block. */
static emmap_error start_one(blocks_operation *self)
{
    emmap_error error = EMMAP_OK;
    if (((const blocks *)self->hold.structure)->shape.block_size > EMMAP_PIECE)
        error = hold_keep(&self->hold);
    if (error)
        return hold_end(&self->hold, error);
    return sound(self) ? EMMAP_OK : start(self);
}

emmap_error blocks_begin_one(emmap_file *file, blocks_operation *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = hold_begin_brief(file, STRUCTURE_BLOCKS, &self->hold);
    return error ? error : start_one(self);
}

emmap_error blocks_begin_repair(emmap_file *file, blocks_operation *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = hold_begin(file, STRUCTURE_BLOCKS, LOCK_STRUCTURE, &self->hold);
    if (error)
        return error;
    self->shape = &((const blocks *)self->hold.structure)->shape;
    const uint32_t word = blocks_load32(self->hold.mapping->data, BLOCKS_WORD);
    if (self->shape->block_size != 0 &&
        self->shape->block_size == blocks_load32(self->hold.mapping->data, 0) &&
        (blocks_word_wrong(word) != NULL || (word & BLOCKS_MARK) > blocks_capacity(self->shape)))
        blocks_put_word(self, BLOCKS_SYNCED | BLOCKS_HOLES | self->shape->said << BLOCKS_SAID_SHIFT);
    return start(self);
}

emmap_error blocks_look(emmap_file *file, blocks_operation *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = hold_look(file, STRUCTURE_BLOCKS, &self->hold);
    return error ? error : start(self);
}

emmap_error blocks_glance(emmap_file *file, blocks_operation *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = hold_glance(file, STRUCTURE_BLOCKS, &self->hold);
    if (!error)
        error = start_one(self);
    if (!error && self->hold.mutexed && marked(self) != 0)
        error = hold_end(&self->hold, error_set(EAGAIN, "somebody is changing the storage"));
    return error;
}
