/* A block storage at one moment: its header, the masks of all groups up to the last group, and the blocks in
 * use. A handle that may write copies under the lock. A read-only handle copies without it, then checks that
 * all bytes are still the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "backup.h"
#include "blocks.h"
#include "error.h"

/* How often an unlocked copy is repeated while others change the storage. */
#define LOOKS 200

/* Called with each piece of the storage. False: stop. */
typedef struct visitor {
    bool (*visit)(const uint8_t *data, uint8_t *image, uint64_t position, uint64_t length);
    const uint8_t *data;
    uint8_t *image;
    uint64_t end;
} visitor_t;

static bool copy_piece(const uint8_t *data, uint8_t *image, uint64_t position, uint64_t length)
{
    memcpy(image + position, data + position, (size_t)length);
    return true;
}

static bool same_piece(const uint8_t *data, uint8_t *image, uint64_t position, uint64_t length)
{
    return memcmp(image + position, data + position, (size_t)length) == 0;
}

static bool visit_piece(const visitor_t *self, uint64_t position, uint64_t length)
{
    if (position >= self->end)
        return true;
    const uint64_t left = self->end - position;
    return self->visit(self->data, self->image, position, length < left ? length : left);
}

/* The blocks in use of a leaf; neighbours form one piece. */
static bool visit_blocks(const visitor_t *self, const blocks_shape_t *shape, uint64_t leaf, uint64_t used)
{
    bool goes_on = true;
    for (unsigned child = 0; goes_on && child < BLOCKS_FANOUT; child++) {
        unsigned run = 0;
        while (child + run < BLOCKS_FANOUT && used >> (child + run) & 1)
            run++;
        if (run > 0)
            goes_on =
                visit_piece(self, BLOCKS_TREE + leaf + blocks_masks(1) + (uint64_t)child * shape->block_size,
                            (uint64_t)run * shape->block_size);
        child += run;
    }
    return goes_on;
}

/* The masks of a group and of all groups below it, up to the last group, and the blocks. */
static bool visit_group(const visitor_t *self, const blocks_operation_t *op, unsigned level, uint64_t offset)
{
    if (offset > (uint64_t)op->last_group)
        return true;
    if (!visit_piece(self, BLOCKS_TREE + offset, blocks_masks(level)))
        return false;
    if (level == 1)
        return visit_blocks(self, op->shape, offset, blocks_load(op, 1, offset).used);
    bool goes_on = true;
    for (unsigned child = 0; goes_on && child < BLOCKS_FANOUT; child++)
        goes_on = visit_group(self, op, level - 1,
                              offset + blocks_masks(level) + child * op->shape->sizes[level - 1]);
    return goes_on;
}

static bool visit_all(const visitor_t *self, const blocks_operation_t *op)
{
    return visit_piece(self, 0, BLOCKS_TREE) &&
           (op->last_group < 0 || visit_group(self, op, op->shape->levels, 0));
}

/* The end of the bytes that the storage may use. */
static uint64_t end_of(const blocks_operation_t *op)
{
    return op->last_group < 0 ? BLOCKS_TREE : BLOCKS_TREE + (uint64_t)op->last_group + op->shape->sizes[1];
}

static emmap_error copy(blocks_operation_t *op, backup_image_t *image)
{
    uint64_t end = end_of(op);
    emmap_error error = operation_reach(&op->base, end);
    if (error)
        return error;
    if (end > op->base.mapping->size)
        end = op->base.mapping->size;
    error = emi_backup_image_create(end, image);
    if (error)
        return error;
    image->length = end;
    image->size = end;
    visitor_t visitor = {
        .visit = copy_piece, .data = op->base.mapping->data, .image = image->bytes, .end = end};
    visit_all(&visitor, op);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    visitor.visit = same_piece;
    if (!op->base.locked && !visit_all(&visitor, op))
        return emi_error_set(EAGAIN, NULL);
    /* Free blocks are holes in the copy. */
    blocks_store32(image->bytes, BLOCKS_WORD, blocks_load32(image->bytes, BLOCKS_WORD) | BLOCKS_HOLES);
    return EMMAP_OK;
}

static emmap_error copy_once(emmap_file *file, backup_image_t *image)
{
    blocks_operation_t op;
    emmap_error error = file_may_write(file) ? emi_blocks_begin(file, &op) : emi_blocks_begin_read(file, &op);
    if (error)
        return error;
    error = emi_operation_end(&op.base, copy(&op, image));
    if (error)
        emi_backup_image_free(image);
    return error;
}

emmap_error emi_blocks_backup(emmap_file *file, backup_image_t *image)
{
    emmap_error error = EAGAIN;
    for (int i = 0; error == EAGAIN && i < LOOKS; i++) {
        error = copy_once(file, image);
        if (error == EAGAIN)
            sched_yield();
    }
    return error == EAGAIN
               ? emi_error_set(EAGAIN,
                               "others change the storage faster than a handle without locks can copy it")
               : error;
}
