/*
 * Checking a storage without a lock. A writer changes masks above a leaf only while the mark names the leaf. So a
 * difference counts if there was no mark before and after, and if it is found at the same place several times.
 */
#define _GNU_SOURCE
#include "blocks.h"

#include <time.h>

#include "error.h"

enum { AGREEMENTS = 4, LOOKS = 200, PAUSE_NANOSECONDS = 50000 };

static const char bad_masks[] = "the masks of a group do not follow from those below it: repair the storage";
static const char bad_block[] = "a block in use passes the end of the file";
static const char bad_mark[] = "the mark of an operation in progress names no block";

typedef struct finding {
    const char *reason; /* NULL: all is well */
    uint64_t position;
} finding_t;

static finding_t check_leaf(const blocks_operation_t *self, uint64_t offset)
{
    const uint64_t used = blocks_load(self, 1, offset).used;
    if (used == 0)
        return (finding_t){0};
    const unsigned last = 63 - (unsigned)__builtin_clzll(used);
    const uint64_t at = BLOCKS_TREE + offset + blocks_masks(1) + last * self->shape->sizes[0];
    return at + self->shape->sizes[0] > self->base.mapping->size ? (finding_t){bad_block, at}
                                                                 : (finding_t){0};
}

/* A group and all below it that were ever initialised. */
static finding_t check_group(const blocks_operation_t *self, unsigned level, uint64_t offset)
{
    if (blocks_beyond(self, offset))
        return (finding_t){0};
    if (level == 1)
        return check_leaf(self, offset);
    const blocks_group_t found = blocks_load(self, level, offset);
    const blocks_group_t follows = emi_blocks_following(self, level, offset);
    if (found.free != follows.free || found.used != follows.used)
        return (finding_t){bad_masks, BLOCKS_TREE + offset};
    finding_t finding = {0};
    blocks_path_t path = {.offset = {[0] = 0}};
    path.offset[level] = offset;
    for (unsigned child = 0; !finding.reason && child < BLOCKS_FANOUT; child++) {
        blocks_descend(self->shape, &path, level, child);
        if (blocks_beyond(self, path.offset[level - 1]))
            break;
        finding = check_group(self, level - 1, path.offset[level - 1]);
    }
    return finding;
}

static uint32_t word_now(const blocks_operation_t *self)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return blocks_load32(self->base.mapping->data, BLOCKS_WORD);
}

/* One look. *certain: nobody changed masks meanwhile. */
static emmap_error look(emmap_file *file, finding_t *finding, bool *certain)
{
    blocks_operation_t self;
    *finding = (finding_t){0};
    *certain = true;
    emmap_error error = emi_blocks_begin_read(file, &self);
    if (error)
        return error;
    const uint64_t end = BLOCKS_TREE + (self.last_group < 0 ? 0 : (uint64_t)self.last_group) +
                         BLOCKS_FANOUT * (uint64_t)self.shape->block_size + blocks_masks(EMMAP_LEVELS_MAX);
    error = operation_reach(&self.base, end);
    if (!error && self.shape->block_size != 0) {
        if ((self.word & BLOCKS_MARK) > blocks_capacity(self.shape))
            *finding = (finding_t){bad_mark, BLOCKS_WORD};
        else if (self.word & BLOCKS_MARK)
            *certain = false;
        else
            *finding = check_group(&self, self.shape->levels, 0);
        *certain = *certain && word_now(&self) == self.word;
    }
    return emi_operation_end(&self.base, error);
}

emmap_error emi_blocks_check(emmap_file *file)
{
    finding_t last = {0};
    unsigned agreed = 0;
    for (int i = 0; i < LOOKS; i++) {
        finding_t finding;
        bool certain;
        const emmap_error error = look(file, &finding, &certain);
        if (error || (certain && !finding.reason))
            return error;
        if (!certain) {
            /* A process changes the storage, or died in a change, which the next writer completes. */
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
            continue;
        }
        agreed = finding.reason == last.reason && finding.position == last.position ? agreed + 1 : 1;
        last = finding;
        if (agreed >= AGREEMENTS)
            return emi_error_corrupt(last.position, last.reason);
    }
    return EMMAP_OK;
}
