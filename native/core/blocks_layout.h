/*
 * The bytes of a block storage. All numbers are native-endian. Only the header is aligned.
 *
 *   offset 0   block_size, 32 bits
 *   offset 4   32 bits that emmap neither reads nor writes:
 *                bits 0 to 24    mark: 1 + the number of the leaf in which a block is being stored or freed, else 0
 *                bit 25          space of free blocks has been given back: a store has to reserve it
 *                bits 26 and 27  generation: goes up when the last group goes down in a synced storage
 *                bits 28 to 30   levels; 0: not recorded, mostly 3
 *                bit 31          emmap_sync was called on the storage
 *              A leaf's number is the address of its first block.
 *   offset 8   last group ("limo" in emmap), 64 bits: the offset in the tree of the last initialised group; -1: none
 *   offset 16  the tree: the group of the top level
 *
 * A group of level 2 or more has two masks, free and used, and 64 groups of the level below. A group of level
 * 1, a leaf, has the mask free and 64 blocks. A bit of free: this child has room. A bit of used: this child
 * holds a block. Groups beyond the last group have never been written, and count as free and unused. The
 * lowest free child is always taken first, so groups are initialised in the order of their offsets.
 *
 * The leaves' masks decide which blocks exist. All other masks follow from them, and so an interrupted
 * operation is repaired.
 *
 * The kernel writes pages in any order. A change touches only the mask bits and bytes of its own blocks, so a
 * power cut leaves all others. But two things could take others with them. In a synced storage they wait for
 * the disk: the first masks of a group are there before the header includes the group, and the file's end
 * before a mask mentions a block there. Masks above the leaves may be of any age after a power cut. A store
 * that finds no room by them first makes them follow from the leaves (find_room).
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

/* The geometry of a storage. */
typedef struct blocks_shape {
    uint32_t block_size; /* 0: a header without a storage; it has no blocks */
    unsigned levels;
    unsigned said;                        /* the levels as the file records them; 0: not recorded */
    uint64_t sizes[EMMAP_LEVELS_MAX + 1]; /* the size of a group of each level; [0]: of a block */
} blocks_shape_t;

/* The way to a block: at each level, the offset of its group in the tree, and the child of this group that
 * leads to it. */
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

/* Steps from the group of `level` on the path to its child. */
static inline void blocks_descend(const blocks_shape_t *shape, blocks_path_t *path, unsigned level,
                                  unsigned child)
{
    path->child[level] = child;
    path->offset[level - 1] = path->offset[level] + blocks_masks(level) + child * shape->sizes[level - 1];
}

/* The lowest six bits of an address are the child of the top level. */
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

/* Ranks number the blocks in the order of their offsets: the highest bits are the child of the top level. */
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

/* The levels as a new storage records them. */
static inline unsigned blocks_saying(unsigned levels)
{
    return levels == EMMAP_LEVELS ? 0 : levels;
}

static inline unsigned blocks_said(uint32_t word)
{
    return (word & BLOCKS_SAID) >> BLOCKS_SAID_SHIFT;
}

/* Masks may be unaligned. The value that was read is used and not read again, since others may write it. */
static inline uint64_t blocks_load64(const uint8_t *data, uint64_t position)
{
    uint64_t value;
    memcpy(&value, data + position, sizeof value);
    __atomic_signal_fence(__ATOMIC_ACQ_REL);
    return value;
}

/* The fence keeps the order of stores in the compiler: a process may be killed between any two. */
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
