/* The bytes of `state` in a live folder (docs/live.md). Numbers are native-endian, since processes of one
 * kernel share them. Every process that may write the file may write here, so each value is checked before
 * use. */
#ifndef EMMAP_CORE_LIVE_LAYOUT_H
#define EMMAP_CORE_LIVE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"
#include "introduce.h"

#define LIVE_MAGIC UINT64_C(0x0a4556494c4d4d45) /* "EMMLIVE\n" on a little-endian machine */
#define LIVE_VERSION 1u
#define LIVE_SUFFIX "-live"

/* A handle's bell has this name, followed by the number of its slot. */
#define LIVE_BELL "bell."

/* The most handles that may write one file at a time. */
#define LIVE_SLOTS EMMAP_WRITERS

/* The lock word. 0: free. The owner's number is its slot + 1. Its generation is the slot's generation at the
 * time when it took the slot. */
#define LIVE_OWNER_SLOT UINT32_C(0x00000fff)
#define LIVE_OWNER_GENERATION_SHIFT 12
#define LIVE_OWNER_GENERATIONS UINT32_C(0x3ffff)
#define LIVE_OWNER UINT32_C(0x3fffffff)   /* slot and generation */
#define LIVE_HURRIED UINT32_C(0x40000000) /* a handle has waited long: the next owner must be a waiting one */
#define LIVE_WAITED UINT32_C(0x80000000)  /* handles sleep on the word, or are about to */

/* One handle. Only the owner writes it. */
typedef struct live_slot {
    _Atomic uint32_t generation; /* of the present or last owner */
    _Atomic uint32_t used;       /* 1: taken, while its byte is locked; 0: given back */
    introduction_t owner;
    _Atomic uint64_t operations; /* reserved: the number of changes */
    _Atomic uint64_t waited;     /* the number of changes that had to wait */
    _Atomic uint64_t pushed;     /* messages that the handle pushed */
    _Atomic uint64_t popped;     /* messages that the handle removed one by one, or by a limit */
    _Atomic uint64_t waiting;    /* waits for a message that have begun and not ended */
    uint8_t reserved[32];
} live_slot_t;

/* The queue's length (queue_count.h). Changes under the lock. */
typedef struct live_length {
    _Atomic uint32_t valid; /* 1: `count` is the number of messages while `header` is the file's */
    uint32_t reserved;
    uint64_t count;
    uint8_t header[16];
} live_length_t;

typedef struct live_state {
    /* The first 64 bytes are the same in every version. */
    uint64_t magic;
    uint32_t version;
    uint32_t slots;
    uint64_t identity;        /* random; together with the inode of `state` it names this state */
    uint64_t generation;      /* counts how often the state was begun anew */
    uint64_t file;            /* the data file's inode number */
    uint64_t since;           /* ms since 1970 */
    _Atomic uint32_t retired; /* 1: the last handle has left */
    uint8_t reserved[12];
    _Atomic uint32_t lock; /* the owner of the container's lock */
    uint8_t lock_line[60];
    _Atomic uint32_t taking; /* the handle that is popping in two steps; changes under `lock` */
    uint8_t taking_line[60];
    _Atomic int64_t waited; /* whether somebody waits for a message: queue_wake.h */
    uint8_t waited_line[56];
    live_length_t length;
    /* The identity of the file of messages in hand (taken.h). 0: nobody has looked for it; 1: there is none.
     * Changes under `lock`. */
    _Atomic uint64_t taken;
    uint8_t length_line[24];
    _Atomic uint64_t bells[LIVE_SLOTS / 64]; /* a bit for each slot: live_bell.c */
    _Atomic uint32_t turn;                   /* the slot whose bell is the next to ring */
    _Atomic uint32_t bells_made;             /* 1: some slot has a FIFO, or its dead owner left one */
    uint8_t turn_line[56];
    uint8_t rest[4096 - 8 * 64];
    live_slot_t slot[LIVE_SLOTS];
} live_state_t;

_Static_assert(sizeof(live_slot_t) == 128, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, lock) == 64, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, taking) == 128, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, waited) == 192, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, length) == 256, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, taken) == 288, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, bells) == 320, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, turn) == 448, "docs/live.md says so");
_Static_assert(offsetof(live_state_t, slot) == 4096, "docs/live.md says so");
_Static_assert(LIVE_SLOTS < LIVE_OWNER_SLOT, "an owner's number has 12 bits");

#endif
