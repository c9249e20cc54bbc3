/*
 * A block storage's bytes. All numbers native-endian; nothing but the header need be aligned.
 *
 *   offset 0   block_size, 32 bits
 *   offset 4   32 bits that emmap neither reads nor writes:
 *                bits 0 to 24    mark: 1 + the number of the leaf in which a block is being stored or freed, else 0
 *                bit 25          space of free blocks has been given back: a store has to reserve it
 *                bits 26 and 27  generation: goes up when limo goes down in a storage that was synced
 *                bits 28 to 30   levels; 0: the file does not say, and it is a storage of 3 levels as a rule
 *                bit 31          whether emmap_sync was called on the storage
 *              A leaf's number is the address of its first block.
 *   offset 8   limo, 64 bits: offset of the last initialised group, from where the tree begins; -1: none is
 *   offset 16  the tree: the group of the top level
 *
 * A group of level 2 and up is two masks, free and used, and 64 groups of the level below; a group of level 1, a
 * leaf, is the mask free and 64 blocks. A bit of free says that this child has room, a bit of used that it holds a
 * block. Groups beyond limo have never been written: they count as free and unused. The lowest free child is always
 * taken first, so groups are initialised in the order of their offsets.
 *
 * The leaves' masks say which blocks there are. All other masks follow from them: that is how an interrupted
 * operation is repaired.
 *
 * The kernel writes pages in any order. A leaf's masks and its blocks' bytes change for the blocks concerned alone, so
 * a power cut leaves all others as they were; but two things could take more with them, and in a storage that was
 * synced wait for the disk: a group's first masks are there before limo says so, and the file's end before a mask
 * speaks of a block there. Masks above the leaves may be of any age: a store that meets that makes them follow from
 * the leaves (find_room).
 */
#ifndef EMMAP_CORE_BLOCKS_LAYOUT_H
#define EMMAP_CORE_BLOCKS_LAYOUT_H

#include <stdint.h>
#include <string.h>

#include "emmap.h"

#define BLOCKS_TREE 16u /* where the tree begins */
#define BLOCKS_WORD 4u
#define BLOCKS_MARK (((uint32_t)1 << 25) - 1)
#define BLOCKS_HOLES ((uint32_t)1 << 25)
#define BLOCKS_GENERATION ((uint32_t)3 << 26)
#define BLOCKS_GENERATION_ONE ((uint32_t)1 << 26)
#define BLOCKS_SAID_SHIFT 28
#define BLOCKS_SAID ((uint32_t)7 << BLOCKS_SAID_SHIFT)
#define BLOCKS_SYNCED ((uint32_t)1 << 31)
#define BLOCKS_LAST_GROUP 8u
#define BLOCKS_FANOUT 64u
#define BLOCKS_ALL UINT64_MAX

_Static_assert(6 * (EMMAP_LEVELS_MAX - 1) < 25, "a leaf's number fits the mark");

/* A storage's geometry. */
typedef struct blocks_shape {
    uint32_t block_size; /* 0: the header of a storage that was never made; it has no blocks */
    unsigned levels;
    unsigned said;                        /* what the file says of them, 0 for nothing */
    uint64_t sizes[EMMAP_LEVELS_MAX + 1]; /* of a group of that level; [0]: of a block */
} blocks_shape_t;

/* Where a block is: at each level, its group's offset in the tree and which child of that group leads to it. */
typedef struct blocks_path {
    uint64_t offset[EMMAP_LEVELS_MAX + 1]; /* [0]: of the block itself */
    unsigned child[EMMAP_LEVELS_MAX + 1];
} blocks_path_t;

static inline uint64_t blocks_masks(unsigned level)
{
    return level == 1 ? 8 : 16;
}

static inline uint64_t blocks_capacity(const blocks_shape_t *shape)
{
    return (uint64_t)1 << 6 * shape->levels;
}

static inline void blocks_shape_set(blocks_shape_t *shape, uint32_t block_size, unsigned levels,
                                    unsigned said)
{
    *shape = (blocks_shape_t){.block_size = block_size, .levels = levels, .said = said};
    shape->sizes[0] = block_size;
    for (unsigned level = 1; level <= levels; level++)
        shape->sizes[level] = blocks_masks(level) + BLOCKS_FANOUT * shape->sizes[level - 1];
}

/* Goes from the group of `level` on the path to its child. */
static inline void blocks_descend(const blocks_shape_t *shape, blocks_path_t *path, unsigned level,
                                  unsigned child)
{
    path->child[level] = child;
    path->offset[level - 1] = path->offset[level] + blocks_masks(level) + child * shape->sizes[level - 1];
}

/* An address counts the top level's children in its lowest six bits. */
static inline void blocks_path_set(const blocks_shape_t *shape, uint64_t address, blocks_path_t *path)
{
    path->offset[shape->levels] = 0;
    for (unsigned level = shape->levels; level > 0; level--, address /= BLOCKS_FANOUT)
        blocks_descend(shape, path, level, (unsigned)(address % BLOCKS_FANOUT));
}

static inline blocks_path_t blocks_path_of(const blocks_shape_t *shape, uint64_t address)
{
    blocks_path_t path;
    blocks_path_set(shape, address, &path);
    return path;
}

static inline uint64_t blocks_address(const blocks_shape_t *shape, const blocks_path_t *path)
{
    uint64_t address = 0;
    for (unsigned level = 1; level <= shape->levels; level++)
        address = address * BLOCKS_FANOUT + path->child[level];
    return address;
}

/* A rank counts the blocks in the order of their offsets: the top level's children are in its highest bits. */
static inline blocks_path_t blocks_path_of_rank(const blocks_shape_t *shape, uint64_t rank)
{
    blocks_path_t path;
    path.offset[shape->levels] = 0;
    for (unsigned level = shape->levels; level > 0; level--)
        blocks_descend(shape, &path, level, (unsigned)(rank >> 6 * (level - 1) & (BLOCKS_FANOUT - 1)));
    return path;
}

static inline uint64_t blocks_rank(const blocks_shape_t *shape, const blocks_path_t *path)
{
    uint64_t rank = 0;
    for (unsigned level = shape->levels; level > 0; level--)
        rank = rank * BLOCKS_FANOUT + path->child[level];
    return rank;
}

/* What the word at offset 4 says of a storage's levels, when that is made. */
static inline unsigned blocks_saying(unsigned levels)
{
    return levels == EMMAP_LEVELS ? 0 : levels;
}

static inline unsigned blocks_said(uint32_t word)
{
    return (word & BLOCKS_SAID) >> BLOCKS_SAID_SHIFT;
}

/* Masks lie at any address; what is read is used as it was read, whoever writes there meanwhile. */
static inline uint64_t blocks_load64(const uint8_t *data, uint64_t position)
{
    uint64_t value;
    memcpy(&value, data + position, sizeof value);
    __atomic_signal_fence(__ATOMIC_ACQ_REL);
    return value;
}

/* The fence keeps the compiler from exchanging stores: a process may be killed between any two. */
static inline void blocks_store64(uint8_t *data, uint64_t position, uint64_t value)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(data + position, &value, sizeof value);
    __atomic_signal_fence(__ATOMIC_ACQ_REL);
}

static inline uint32_t blocks_load32(const uint8_t *data, uint64_t position)
{
    uint32_t value;
    memcpy(&value, data + position, sizeof value);
    __atomic_signal_fence(__ATOMIC_ACQ_REL);
    return value;
}

static inline void blocks_store32(uint8_t *data, uint64_t position, uint32_t value)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(data + position, &value, sizeof value);
    __atomic_signal_fence(__ATOMIC_ACQ_REL);
}

#endif
