/*
 * How an operation on a block storage begins.
 *
 * A store or free writes in this order: the mark; the leaf's mask, which decides whether the block exists;
 * the masks above; no mark. An operation that finds a mark under the lock writes the masks above that leaf
 * again, since nothing else can be wrong. If the leaf has both free and used blocks before and after, no mask
 * above changes, and only the leaf's mask is written.
 */
#include "blocks.h"

#include <errno.h>

#include "error.h"
#include "pause.h"

emmap_error emi_blocks_none(void)
{
    return emi_error_set(ENOENT, "no such block");
}

emmap_error emi_blocks_refresh(blocks_operation_t *self)
{
    operation_t *const operation = &self->base;
    const int64_t last_group = (int64_t)blocks_load64(operation->mapping->data, BLOCKS_LAST_GROUP);
    self->last_group = last_group;
    if (last_group == -1)
        return EMMAP_OK;
    const unsigned level = last_group < 0 ? 0 : emi_blocks_level_at(self->shape, (uint64_t)last_group);
    if (level == 0)
        return emi_operation_corrupt(operation, BLOCKS_LAST_GROUP,
                                     "not a block storage: limo is not the offset of a group");
    const uint64_t end = BLOCKS_TREE + (uint64_t)last_group + blocks_masks(level);
    const emmap_error error = operation_reach(operation, end);
    if (error)
        return error;
    return end > operation->mapping->size
               ? emi_operation_corrupt(operation, BLOCKS_LAST_GROUP, "limo passes the end of the file")
               : EMMAP_OK;
}

bool emi_blocks_same_shape(const blocks_operation_t *self)
{
    const uint8_t *const data = self->base.mapping->data;
    const unsigned said = blocks_said(blocks_load32(data, BLOCKS_WORD));
    return blocks_load32(data, 0) == self->shape->block_size &&
           (said == self->shape->said || said == self->shape->levels);
}

/* The storage was made anew with another block size or number of levels. A handle opened for the old shape
 * must not go on. A handle that accepts any shape does. */
static emmap_error other_shape(blocks_operation_t *self)
{
    if (((const blocks_t *)self->base.container)->follows) {
        emi_operation_keep(&self->base);
        emmap_error error = emi_blocks_find_shape(&self->base, 0, &self->anew);
        self->shape = &self->anew;
        return error;
    }
    return blocks_load32(self->base.mapping->data, 0) != self->shape->block_size
               ? emi_operation_corrupt(&self->base, 0, "the block size has changed since the file was opened")
               : emi_operation_corrupt(&self->base, BLOCKS_WORD,
                                       "the number of levels has changed since the file was opened");
}

static uint32_t marked(const blocks_operation_t *self)
{
    return blocks_load32(self->base.mapping->data, BLOCKS_WORD) & BLOCKS_MARK;
}

void emi_blocks_put_word(blocks_operation_t *self, uint32_t word)
{
    self->word = word;
    blocks_store32(self->base.mapping->data, BLOCKS_WORD, word);
}

void emi_blocks_mark(blocks_operation_t *self, uint32_t value)
{
    emi_blocks_put_word(self, (self->word & ~BLOCKS_MARK) | value);
}

/* Completes the change of the last process that held the lock, if that died. */
static emmap_error recover(blocks_operation_t *self)
{
    const uint32_t left = self->word & BLOCKS_MARK;
    /* A leaf's number or, from older writers, the address of any block in the leaf. */
    if (left > blocks_capacity(self->shape))
        return emi_operation_corrupt(&self->base, BLOCKS_WORD,
                                     "the mark of an operation in progress names no block");
    PAUSE("blocks_mend_begin");
    const blocks_path_t path = blocks_path_of(self->shape, left - 1);
    emi_blocks_settle(self, &path);
    emi_blocks_mark(self, 0);
    PAUSE("blocks_mend_done");
    return EMMAP_OK;
}

/* The caller holds `threads`. */
static void note_sound(blocks_operation_t *self)
{
    blocks_t *const storage = (blocks_t *)self->base.container;
    if (self->shape != &storage->shape || self->shape->block_size == 0)
        return;
    const uint64_t masks = BLOCKS_TREE + (uint64_t)self->last_group + blocks_masks(EMMAP_LEVELS_MAX);
    storage->sound_to = self->last_group < 0 ? BLOCKS_TREE : masks;
    storage->sound_last_group = self->last_group;
    storage->sound_word = self->word;
}

/* Whether the header equals the last sound one: then emi_blocks_ready would find nothing new. */
static inline bool sound(blocks_operation_t *self)
{
    const blocks_t *const storage = (const blocks_t *)self->base.container;
    const uint8_t *const data = self->base.mapping->data;
    if (!self->base.mutexed || storage->sound_to == 0 || storage->sound_to > self->base.mapping->size)
        return false;
    self->shape = &storage->shape;
    self->word = blocks_load32(data, BLOCKS_WORD);
    self->last_group = (int64_t)blocks_load64(data, BLOCKS_LAST_GROUP);
    return blocks_load32(data, 0) == storage->shape.block_size && self->word == storage->sound_word &&
           self->last_group == storage->sound_last_group;
}

/* How often a changing header is read again. Without the lock a handle may see a storage made anew. */
#define LOOKS 200

emmap_error emi_blocks_ready(blocks_operation_t *self)
{
    emmap_error error = EMMAP_OK;
    for (int i = 0; i < LOOKS; i++) {
        self->word = blocks_load32(self->base.mapping->data, BLOCKS_WORD);
        error = emi_blocks_same_shape(self) ? EMMAP_OK : other_shape(self);
        self->last_group = -1;
        if (!error && self->shape->block_size != 0)
            error = emi_blocks_refresh(self);
        if (self->base.locked || emi_blocks_same_shape(self))
            break;
    }
    if (!error && self->base.locked && (self->word & BLOCKS_MARK) && self->shape->block_size != 0)
        error = recover(self);
    if (!error && self->base.locked)
        note_sound(self);
    return error;
}

static emmap_error start(blocks_operation_t *self)
{
    self->shape = &((const blocks_t *)self->base.container)->shape;
    const emmap_error error = emi_blocks_ready(self);
    return error ? emi_operation_end(&self->base, error) : EMMAP_OK;
}

emmap_error emi_blocks_begin(emmap_file *file, blocks_operation_t *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_operation_begin(file, CONTAINER_BLOCKS, LOCK_CONTAINER, &self->base);
    return error ? error : start(self);
}

/* As `start`, for an operation on one block. */
static emmap_error start_one(blocks_operation_t *self)
{
    if (((const blocks_t *)self->base.container)->shape.block_size > EMMAP_PIECE)
        emi_operation_keep(&self->base);
    return sound(self) ? EMMAP_OK : start(self);
}

emmap_error emi_blocks_begin_one(emmap_file *file, blocks_operation_t *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_operation_begin_brief(file, CONTAINER_BLOCKS, &self->base);
    return error ? error : start_one(self);
}

emmap_error emi_blocks_begin_repair(emmap_file *file, blocks_operation_t *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_operation_begin(file, CONTAINER_BLOCKS, LOCK_CONTAINER, &self->base);
    if (error)
        return error;
    self->shape = &((const blocks_t *)self->base.container)->shape;
    const uint32_t word = blocks_load32(self->base.mapping->data, BLOCKS_WORD);
    if (self->shape->block_size != 0 &&
        self->shape->block_size == blocks_load32(self->base.mapping->data, 0) &&
        (emi_blocks_word_wrong(word) != NULL || (word & BLOCKS_MARK) > blocks_capacity(self->shape)))
        emi_blocks_put_word(self, BLOCKS_SYNCED | BLOCKS_HOLES | self->shape->said << BLOCKS_SAID_SHIFT);
    return start(self);
}

emmap_error emi_blocks_begin_read(emmap_file *file, blocks_operation_t *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_operation_begin_read(file, CONTAINER_BLOCKS, &self->base);
    return error ? error : start(self);
}

emmap_error emi_blocks_begin_read_unlocked(emmap_file *file, blocks_operation_t *self)
{
    emmap_error error = blocks_adopt(file);
    if (!error)
        error = emi_operation_begin_read_unlocked(file, CONTAINER_BLOCKS, &self->base);
    if (!error)
        error = start_one(self);
    if (!error && self->base.mutexed && marked(self) != 0)
        error =
            emi_operation_end(&self->base, emi_error_set(EAGAIN, "another handle is changing the storage"));
    return error;
}
