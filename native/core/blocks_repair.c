/* Making all masks follow from the leaves' again, whatever became of them. */
#include "blocks.h"
#include "error.h"
#include "pause.h"

/* The blocks below a group of level 2, and so the unit of repair. */
#define UNIT ((uint64_t)BLOCKS_FANOUT * BLOCKS_FANOUT)

/* A group of level 2 and all that is above it, each wholly: what the next store or free finds on its way then
 * holds together, wherever the repair has got to. False behind the last such group. */
static bool repair_unit(blocks_operation *self, uint64_t rank)
{
    if (rank >= blocks_capacity(self->shape))
        return false;
    const blocks_path path = blocks_path_of_rank(self->shape, rank);
    /* Behind it too: groups above may have nothing below yet, and be wrong nevertheless. */
    for (unsigned level = 2; level <= self->shape->levels; level++)
        blocks_settle_group(self, level, path.offset[level]);
    PAUSE("blocks_repair_unit");
    return self->limo >= 0 && path.offset[2] <= (uint64_t)self->limo;
}

void blocks_settle_all(blocks_operation *self)
{
    for (uint64_t rank = 0; repair_unit(self, rank); rank += UNIT)
        ;
}

emmap_error emmap_blocks_repair(emmap_file *file, uint64_t limit, uint64_t *place)
{
    blocks_operation self;
    const emmap_error error = blocks_begin_repair(file, &self);
    if (error)
        return error;
    const uint64_t first = *place / UNIT;
    const uint64_t units = limit / UNIT + (limit % UNIT != 0);
    uint64_t unit = first;
    bool more = true;
    while (more && (limit == 0 || unit - first < units))
        if ((more = repair_unit(&self, unit * UNIT)))
            unit++;
    const emmap_error ended = hold_end(&self.hold, EMMAP_OK);
    if (!ended)
        *place = more ? unit * UNIT : 0;
    return ended;
}
