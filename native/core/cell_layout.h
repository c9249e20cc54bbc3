/*
 * The bytes of a cell, little-endian (docs/formats.md). A header, and CELL_SLOTS slots of one size. Value number V
 * (the first published one is 1) is in slot V % CELL_SLOTS.
 *
 * A publisher fills the slot of value V + 1 and then stores V + 1 into `version`. So it overwrites value V + 1 -
 * CELL_SLOTS, which a reader that began long ago may be copying. The reader notices by `version`.
 */
#ifndef EMMAP_CORE_CELL_LAYOUT_H
#define EMMAP_CORE_CELL_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CELL_MAGIC UINT64_C(0x0a4c4c45434d4d45) /* "EMMCELL\n" */
#define CELL_FORMAT 1u
#define CELL_SLOTS 4u
#define CELL_MAX_BYTES ((uint64_t)1 << 30)

typedef struct cell_header {
    uint64_t magic; /* written last by the creator */
    uint32_t format;
    uint32_t slots;
    uint64_t max_bytes; /* of a value */
    uint8_t reserved[40];
    _Atomic uint64_t version; /* of the last published value; 0: none */
    uint64_t synced;          /* a version that the disk has for certain; 0: the cell was never synced */
    uint8_t rest[48];
} cell_header_t;

typedef struct cell_slot {
    uint64_t version;
    uint64_t length;   /* bytes of the value */
    uint64_t checksum; /* of version, length and bytes (cell.c) */
    uint64_t reserved;
    uint8_t bytes[];
} cell_slot_t;

_Static_assert(sizeof(cell_header_t) == 128, "docs/formats.md says so");
_Static_assert(offsetof(cell_header_t, version) == 64, "docs/formats.md says so");
_Static_assert(sizeof(cell_slot_t) == 32, "docs/formats.md says so");

/* From one slot to the next: a multiple of 64. */
static inline uint64_t cell_stride(uint64_t max_bytes)
{
    return (sizeof(cell_slot_t) + max_bytes + 63) / 64 * 64;
}

static inline uint64_t cell_size(uint64_t max_bytes)
{
    return sizeof(cell_header_t) + CELL_SLOTS * cell_stride(max_bytes);
}

static inline cell_slot_t *cell_slot(uint8_t *data, uint64_t max_bytes, uint64_t version)
{
    return (cell_slot_t *)(void *)(data + sizeof(cell_header_t) +
                                   version % CELL_SLOTS * cell_stride(max_bytes));
}

#endif
