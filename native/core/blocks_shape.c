/* The shape of a storage: block size and levels. A file is accepted as a storage only if it looks like one.
 * Any block size is possible, but the word at offset 4 and the last group have to be valid. */
#include <errno.h>

#include "blocks.h"
#include "error.h"

unsigned emi_blocks_level_at(const blocks_shape_t *shape, uint64_t offset)
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

const char *emi_blocks_word_wrong(uint32_t word)
{
    const unsigned said = blocks_said(word);
    return said != 0 && (said < EMMAP_LEVELS_MIN || said > EMMAP_LEVELS_MAX)
               ? "not a block storage: its number of levels is not from 2 to 5"
               : NULL;
}

/* How well a number of levels fits a file that does not record it. No offset is that of a leaf for two
 * numbers. */
typedef enum evidence {
    IMPOSSIBLE, /* no group begins at the last group's offset */
    POSSIBLE, /* an inner group does, since a writer of emmap 2.x died there; or the first leaf does, and is empty */
    CERTAIN /* a leaf does */
} evidence_t;

static evidence_t evidence_for(const operation_t *operation, uint32_t block_size, unsigned levels,
                               int64_t last_group)
{
    blocks_shape_t shape;
    blocks_shape_set(&shape, block_size, levels, 0);
    const unsigned level = last_group < 0 ? 0 : emi_blocks_level_at(&shape, (uint64_t)last_group);
    if (level != 1)
        return level == 0 ? IMPOSSIBLE : POSSIBLE;
    const uint64_t first = blocks_path_of(&shape, 0).offset[1], end = BLOCKS_TREE + first + blocks_masks(1);
    const bool empty = (uint64_t)last_group == first && end <= operation->mapping->size &&
                       blocks_load64(operation->mapping->data, BLOCKS_TREE + first) == BLOCKS_ALL;
    return empty ? POSSIBLE : CERTAIN;
}

#define UNTOLD 1u

/* Chooses the number of levels. If several are possible, nothing is stored and no choice loses anything: the
 * caller's number counts, or the default. 0: none is possible. UNTOLD: the caller has to choose. */
static unsigned deduce(const operation_t *operation, uint32_t block_size, unsigned levels, int64_t last_group)
{
    evidence_t found[EMMAP_LEVELS_MAX + 1] = {IMPOSSIBLE}, best = IMPOSSIBLE;
    unsigned equals = 0, chosen = 0;
    for (unsigned one = EMMAP_LEVELS_MIN; one <= EMMAP_LEVELS_MAX; one++) {
        found[one] = evidence_for(operation, block_size, one, last_group);
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
    return found[EMMAP_LEVELS] == best ? EMMAP_LEVELS : UNTOLD;
}

emmap_error emi_blocks_find_shape(operation_t *operation, unsigned levels, blocks_shape_t *shape)
{
    const uint8_t *const data = operation->mapping->data;
    const uint32_t block_size = blocks_load32(data, 0), word = blocks_load32(data, BLOCKS_WORD);
    const int64_t last_group = (int64_t)blocks_load64(data, BLOCKS_LAST_GROUP);
    unsigned found = blocks_said(word);
    blocks_shape_set(shape, block_size, EMMAP_LEVELS, found);
    if (block_size == 0)
        return EMMAP_OK;
    const char *const wrong = emi_blocks_word_wrong(word);
    if (wrong)
        return emi_operation_corrupt(operation, BLOCKS_WORD, wrong);
    if (found == 0)
        found = last_group == -1 ? EMMAP_LEVELS : deduce(operation, block_size, levels, last_group);
    if (found == UNTOLD)
        return emi_error_set(
            EINVAL, "the file does not tell the storage's number of levels: the caller has to name it");
    blocks_shape_set(shape, block_size, found ? found : EMMAP_LEVELS, shape->said);
    if (last_group != -1 && (last_group < 0 || emi_blocks_level_at(shape, (uint64_t)last_group) == 0))
        return emi_operation_corrupt(operation, BLOCKS_LAST_GROUP,
                                     "not a block storage: limo is not the offset of a group");
    return levels == 0 || levels == found
               ? EMMAP_OK
               : emi_error_set(EINVAL, "the block storage has another number of levels");
}
