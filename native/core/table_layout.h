/*
 * The bytes of a table, little-endian (docs/formats.md): a header, buckets, and units of one size.
 *
 * A bucket is the number of the first unit of a chain; units are counted from 1, and 0 is none. A unit has an entry:
 * a key and its words. A key that is too long for a unit goes on in further units, its tails. Units without an entry
 * are in a queue: the one that was freed first is used first, so that a unit rests as long as possible before it gets
 * another key.
 *
 *   A unit with an entry   next 4 · generation 4 · words 8 each · length 2 · key
 *     with a longer key    … · first bytes of the key · check 4 · link 4
 *   A tail                 unused 4 · generation 4 · more of the key · link 4
 *   A free unit            next 4 · generation 4 · … · link 4
 *
 * The generation is odd while the unit has an entry. `link` is the next tail, or the next free unit.
 */
#ifndef EMMAP_CORE_TABLE_LAYOUT_H
#define EMMAP_CORE_TABLE_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_MAGIC UINT64_C(0x0a4c4254504d4d45) /* "EMMPTBL\n" */
#define TABLE_FORMAT 1u
#define TABLE_HEADER 4096u
#define TABLE_CAPACITY_MAX ((uint64_t)1 << 31)
#define TABLE_KEY_MAX 1024u
#define TABLE_WORDS_MAX 64u
/* A unit has room for a key of this length, unless every key of the table is shorter. */
#define TABLE_KEY_USUAL 38u
/* Units of at most this size need not be a multiple of a cache line. */
#define TABLE_LINE 64u
/* Free units that a full table still has, so that freed units rest. */
#define TABLE_RESERVE(capacity) (64 + (capacity) / 128)
/* In the length of a key: emmap_table_hit made the entry, which has an end. */
#define TABLE_LIMITED 0x8000u
/* Fewer buckets than units: 1,000,000 keys take less than 64 MiB. */
#define TABLE_BUCKETS(capacity) ((capacity)*5 / 8 + 16)

typedef enum table_step {
    TABLE_STEP_NONE,
    TABLE_STEP_INSERT,
    TABLE_STEP_DELETE,
    TABLE_STEP_REPAIR
} table_step_t;

/* The change in progress. All numbers are absolute, so that it can be finished, or undone, twice. */
typedef struct table_journal {
    _Atomic uint32_t step; /* table_step_t; written last and cleared first */
    uint32_t unit;         /* the entry's unit, */
    uint32_t last;         /* and the last one of its units */
    uint32_t generation;   /* the unit's afterwards */
    uint32_t link;         /* what points to the unit: a bucket, or another unit if `by_unit` is 1 */
    uint32_t next;         /* what the link holds before an insertion, and after a deletion */
    uint32_t free;         /* an insertion: the first free unit afterwards; a deletion: the last one before */
    uint32_t by_unit;
    uint64_t size; /* afterwards */
    uint64_t used;
    uint8_t reserved[16];
} table_journal_t;

typedef struct table_header {
    uint64_t magic; /* written last by the creator */
    uint32_t format;
    uint32_t words;    /* of an entry */
    uint64_t capacity; /* units with entries or tails, at most */
    uint32_t key_bytes;
    uint32_t stride; /* bytes of a unit */
    uint32_t buckets;
    uint32_t units;
    uint8_t secret[16]; /* of the hash */
    uint8_t boot[16];   /* names the system's run in which the table was last repaired */
    uint8_t reserved[56];
    table_journal_t journal; /* at 128 */
    _Atomic uint64_t size;   /* at 192: the number of entries */
    uint64_t used;           /* units with entries or tails */
    uint32_t free_first;     /* the first free unit, and the last one */
    uint32_t free_last;
    uint32_t hand;  /* the unit that is looked at next for an expired entry */
    uint32_t swept; /* units that were looked at for one in vain, since all were the last time */
    uint64_t none_expires_before; /* ms since 1970: until then nobody looks for an expired entry */
    uint64_t swept_expiry;        /* the first expiry of an entry in the units that were swept */
    uint8_t line[16];
    _Atomic uint64_t removed; /* at 256: counts deletions */
} table_header_t;

_Static_assert(sizeof(table_journal_t) == 64, "docs/formats.md says so");
_Static_assert(offsetof(table_header_t, journal) == 128, "docs/formats.md says so");
_Static_assert(offsetof(table_header_t, size) == 192, "docs/formats.md says so");
_Static_assert(offsetof(table_header_t, removed) == 256, "docs/formats.md says so");

/* The numbers that follow from capacity, key_bytes and words. */
typedef struct table_shape {
    uint64_t capacity;
    uint32_t key_bytes;
    uint32_t words;
    uint32_t stride;
    uint32_t buckets;
    uint32_t units;
    uint32_t key_at;   /* the offset of a key in its unit */
    uint64_t units_at; /* the offset of unit 1 in the file */
    uint64_t size;     /* of the file */
    uint64_t secret[2];
} table_shape_t;

/* The fixed part of a unit. The rest depends on the shape. */
typedef struct table_unit {
    _Atomic uint32_t next;
    _Atomic uint32_t generation;
    _Atomic int64_t words[];
} table_unit_t;

static inline uint64_t table_round(uint64_t number, uint64_t multiple)
{
    return (number + multiple - 1) / multiple * multiple;
}

/* Completes a shape with capacity, key_bytes and words. */
static inline void table_shape_complete(table_shape_t *self)
{
    const uint64_t fixed = offsetof(table_unit_t, words) + 8 * (uint64_t)self->words + 2;
    const uint32_t usual = self->key_bytes < TABLE_KEY_USUAL ? self->key_bytes : TABLE_KEY_USUAL;
    const uint64_t whole = table_round(fixed + (self->key_bytes > 6 ? self->key_bytes : 6), 8);
    self->key_at = (uint32_t)fixed;
    self->stride = (uint32_t)(whole <= TABLE_LINE ? whole : table_round(fixed + usual, TABLE_LINE));
    self->buckets = (uint32_t)TABLE_BUCKETS(self->capacity);
    self->units = (uint32_t)(self->capacity + TABLE_RESERVE(self->capacity));
    self->units_at = table_round(TABLE_HEADER + 4 * (uint64_t)self->buckets, TABLE_LINE);
    self->size = self->units_at + (uint64_t)self->stride * self->units;
}

static inline _Atomic uint32_t *table_bucket(uint8_t *data, uint32_t bucket)
{
    return (_Atomic uint32_t *)(void *)(data + TABLE_HEADER + 4 * (uint64_t)bucket);
}

/* From 1 to units. */
static inline table_unit_t *table_unit(const table_shape_t *self, uint8_t *data, uint32_t number)
{
    return (table_unit_t *)(void *)(data + self->units_at + (uint64_t)self->stride * (number - 1));
}

static inline uint32_t *table_link(const table_shape_t *self, table_unit_t *unit)
{
    return (uint32_t *)(void *)((uint8_t *)unit + self->stride - 4);
}

/* The unit that a unit is linked to, of a key or of the free units. NULL: none. Others can write to the link at any
 * time. */
static inline table_unit_t *table_linked(const table_shape_t *self, uint8_t *data, table_unit_t *unit)
{
    const uint32_t number = __atomic_load_n(table_link(self, unit), __ATOMIC_RELAXED);
    return number > 0 && number <= self->units ? table_unit(self, data, number) : NULL;
}

static inline uint32_t *table_check(const table_shape_t *self, table_unit_t *unit)
{
    return (uint32_t *)(void *)((uint8_t *)unit + self->stride - 8);
}

static inline uint16_t *table_length(const table_shape_t *self, table_unit_t *unit)
{
    return (uint16_t *)(void *)((uint8_t *)unit + self->key_at - 2);
}

/* The bytes of a key that fit: a whole key in one unit, the first bytes of a longer key, and the bytes in a tail. */
static inline uint32_t table_room(const table_shape_t *self)
{
    return self->stride - self->key_at;
}

static inline uint32_t table_beginning(const table_shape_t *self)
{
    return self->stride - 8 - self->key_at;
}

static inline uint32_t table_tail_room(const table_shape_t *self)
{
    return self->stride - 12;
}

/* The units that a key takes. */
static inline uint32_t table_units_for(const table_shape_t *self, uint64_t length)
{
    if (length <= table_room(self))
        return 1;
    const uint64_t rest = length - table_beginning(self);
    return (uint32_t)(1 + (rest + table_tail_room(self) - 1) / table_tail_room(self));
}

static inline bool table_is_alive(uint32_t generation)
{
    return generation & 1;
}

#endif
