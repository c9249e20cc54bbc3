/*
 * The bytes of `PATH-taken`, the file of the messages in hand beside a queue (docs/formats.md). Numbers are
 * native-endian; the version tells the byte order, too.
 *
 * A header page, a table of owners, and cells of one size. A message takes one cell, whose head describes it,
 * and as many more as its bytes need; each names the next one. The states of first cells and the chains
 * behind them are the truth. Everything else (the list of free cells, the heap, the counts) follows from them and
 * is computed again if a process has died during a change, and when no other process has the file open.
 *
 * Every process that may write the queue may write here, so each number is checked before use.
 */
#ifndef EMMAP_CORE_TAKEN_LAYOUT_H
#define EMMAP_CORE_TAKEN_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "introduce.h"

#define TAKEN_MAGIC UINT64_C(0x0a454b41544d4d45) /* "EMMTAKE\n" on a little-endian machine */
#define TAKEN_VERSION 1u
#define TAKEN_SUFFIX "-taken"
#define TAKEN_OWNERS 1024u
#define TAKEN_CELL 256u

/* A ticket is the number of the first cell, and the turn of the take above it: 53 bits, which a double holds. */
#define TAKEN_CELL_BITS 28
#define TAKEN_CELLS_MAX (UINT64_C(1) << TAKEN_CELL_BITS)
#define TAKEN_TURN_MASK UINT32_C(0x1ffffff)

#define TAKEN_NEVER UINT64_MAX

typedef enum taken_state {
    TAKEN_FREE = 0,     /* no cell of a message */
    TAKEN_IN_HAND = 1,  /* the first cell of a message that its owner has in hand */
    TAKEN_RELEASED = 2, /* the first cell of a message that waits for its next consumer */
    TAKEN_MORE = 3      /* a later cell of a message */
} taken_state_t;

typedef struct taken_cell {
    uint32_t state;
    uint32_t next; /* 1 + the number of the message's next cell, or of the next free cell; 0: none */
    uint32_t
        heap; /* element n of the heap lies in cell n, and is the number of a released message's first cell */
    /* Of a first cell: */
    uint32_t turn;    /* of its present or last take */
    uint64_t order;   /* goes up with each message that is taken out of the queue */
    uint64_t due;     /* not before this time, in ms since 1970; 0: at once */
    uint64_t since;   /* the time of its present or last take, in ms since 1970 */
    uint64_t holder;  /* a number of the door */
    uint64_t digest;  /* of the payload, in a synced queue; 0: none */
    uint32_t owner;   /* the number of its owner in the table */
    uint32_t attempt; /* how often the message was taken */
    uint32_t length;  /* bytes of the payload */
    /* Not 0 while the message is on its way between the two files: if the queue's head is here and its first message equals
     * this one, it is in the queue, and this cell is free. */
    uint32_t moved;
    uint8_t payload[TAKEN_CELL - 72];
} taken_cell_t;

/* Bytes of a payload in a later cell, which has only the first three words. */
#define TAKEN_MORE_AT 16u
#define TAKEN_MORE_BYTES (TAKEN_CELL - TAKEN_MORE_AT)

/* One handle that takes messages. It owns its place while it holds an exclusive lock on the first byte. */
typedef struct taken_owner {
    introduction_t about;
    _Atomic uint32_t in_hand; /* its messages in hand */
    uint8_t reserved[12];
} taken_owner_t;

typedef struct taken_file {
    uint64_t magic;
    uint32_t version;
    uint32_t owners;
    uint64_t identity; /* random */
    uint64_t file;     /* the inode number of the queue */
    _Atomic uint64_t cells;
    uint32_t reserved;
    uint32_t changing; /* 1: a change of lists and counts is under way */
    /* While all messages are on their way into the queue: they are there if it has this head and this tail. */
    uint32_t moves_all; /* 1: that is under way */
    uint32_t moved_head;
    uint32_t moved_tail;
    uint32_t turn;
    uint32_t free;              /* 1 + the number of the first free cell; 0: none */
    uint32_t released;          /* elements of the heap */
    uint64_t order;             /* of the next message */
    _Atomic uint64_t due;       /* the least `due` of a released message; TAKEN_NEVER: there is none */
    _Atomic uint64_t in_hand;   /* messages in hand, of all owners */
    _Atomic uint32_t owner_end; /* no owner from this number on has ever been */
    uint32_t spare;             /* free cells */
    uint8_t rest[4096 - 104];
    taken_owner_t owner[TAKEN_OWNERS];
    taken_cell_t cell[];
} taken_file_t;

_Static_assert(sizeof(taken_cell_t) == TAKEN_CELL, "docs/formats.md says so");
_Static_assert(offsetof(taken_cell_t, turn) <= TAKEN_MORE_AT, "a later cell has state, next and heap");
_Static_assert(sizeof(taken_owner_t) == 64, "docs/formats.md says so");
_Static_assert(offsetof(taken_file_t, owner) == 4096, "docs/formats.md says so");
_Static_assert(offsetof(taken_file_t, cell) == 4096 + TAKEN_OWNERS * 64, "docs/formats.md says so");

#endif
