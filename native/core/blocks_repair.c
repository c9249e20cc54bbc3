/* Repairing the masks above the leaves, whatever they are. */
#include "blocks.h"

#include <errno.h>

#include "error.h"
#include "pause.h"

/* The number of blocks below a group of level 2, which is repaired at once. */
#define UNIT ((uint64_t)BLOCKS_FANOUT * BLOCKS_FANOUT)

/* Repairs a group of level 2 and all groups above it completely. So stores and frees between two steps find
 * consistent masks on their way. False behind the last such group. */
static bool repair_unit(blocks_operation_t *self, uint64_t rank)
{
    if (rank >= blocks_capacity(self->shape))
        return false;
    const blocks_path_t path = blocks_path_of_rank(self->shape, rank);
    for (unsigned level = 2; level <= self->shape->levels; level++)
        emi_blocks_settle_group(self, level, path.offset[level]);
    PAUSE("blocks_repair_unit");
    return self->last_group >= 0 && path.offset[2] <= (uint64_t)self->last_group;
}

void emi_blocks_settle_all(blocks_operation_t *self)
{
    for (uint64_t rank = 0; repair_unit(self, rank); rank += UNIT)
        ;
    ((blocks_t *)self->base.container)->settled = true;
}

uint64_t emi_blocks_slots(const blocks_operation_t *self)
{
    uint64_t from = 0, to = blocks_capacity(self->shape) / BLOCKS_FANOUT;
    /* Leaves come into use in the order of their offsets. */
    while (from < to) {
        const uint64_t leaf = from + (to - from) / 2;
        const blocks_path_t path = blocks_path_of_rank(self->shape, leaf * BLOCKS_FANOUT);
        if (blocks_beyond(self, path.offset[1]))
            to = leaf;
        else
            from = leaf + 1;
    }
    return from * BLOCKS_FANOUT;
}

/* The groups that contain the slots from `rank` to `end`. */
static void repair_slots(blocks_operation_t *self, uint64_t rank, uint64_t end)
{
    for (uint64_t unit = rank / UNIT; unit * UNIT < end && repair_unit(self, unit * UNIT); unit++)
        ;
}

emmap_error emmap_blocks_repair(emmap_file *file, uint64_t limit, uint64_t *place)
{
    if (limit > INT64_MAX)
        return emi_error_set(EINVAL, "a limit is from 0 to 2^63 - 1");
    blocks_operation_t self;
    const emmap_error error = emi_blocks_begin_repair(file, &self);
    if (error)
        return error;
    if (*place > 0 && *place >= blocks_capacity(self.shape))
        return emi_operation_end(&self.base, emi_error_set(ESTALE, "the storage has no such address"));
    const uint64_t capacity = blocks_capacity(self.shape), all = emi_blocks_slots(&self);
    blocks_path_t path = blocks_path_of(self.shape, *place);
    const uint64_t rank = *place < capacity ? blocks_rank(self.shape, &path) : capacity;
    const bool more = limit != 0 && rank < all && limit <= all - rank && rank + limit < capacity;
    /* At the end, also the groups behind: those without leaves in use may be wrong, too. */
    repair_slots(&self, rank, more ? rank + limit : capacity);
    uint64_t next = 0;
    if (more) {
        path = blocks_path_of_rank(self.shape, rank + limit);
        next = blocks_address(self.shape, &path);
    }
    const emmap_error ended = emi_operation_end(&self.base, EMMAP_OK);
    if (!ended)
        *place = next;
    return ended;
}
