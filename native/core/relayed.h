/*
 * Numbers of origins: `PATH-relayed` beside a queue. An origin numbers what it pushes, so that a push that is tried again happens
 * once (emmap_queue_push_once).
 *
 * The number and the messages change with one store, that of the queue's header:
 *
 *   1. the file gets the new number and the tail that the queue will have (pending)
 *   2. the header is stored with the new tail and a mark (queue_layout.h)
 *   3. the origin's number becomes the new one
 *   4. the header is stored without the mark
 *
 * If a process dies between 2 and 4, the next operation under the queue's lock finds the mark and goes on with 3. Without the
 * mark what is pending means nothing. In a synced queue the disk has the messages and 1 before 2, 2 before 3, and 3 before 4.
 *
 * All of it happens under the queue's lock. The file is read and written by calls of the kernel, a few of them for each push:
 * it needs no mapping, and no handle keeps anything of it.
 */
#ifndef EMMAP_CORE_RELAYED_H
#define EMMAP_CORE_RELAYED_H

#include "queue.h"

#define RELAYED_MAGIC UINT64_C(0x0a414c45524d4d45) /* "EMMRELA\n" on a little-endian machine */
#define RELAYED_VERSION 1u
#define RELAYED_SUFFIX "-relayed"
#define RELAYED_SLOTS 2046u

/* An origin. Slots are used in their order; when all are, the one that was used the longest ago is used again. */
typedef struct relayed_slot {
    uint8_t origin[EMMAP_ORIGIN_SIZE];
    uint64_t number; /* the last one that was pushed */
    uint64_t used;   /* when, in ms since 1970; 0: the slot is free, and so are those behind it */
} relayed_slot_t;

typedef struct relayed_head {
    uint64_t magic;
    uint32_t version;
    uint32_t slots;
    /* Pending, if the queue's header has the mark and this tail. */
    uint64_t number;
    uint32_t slot;
    uint32_t tail;
    uint8_t rest[32];
} relayed_head_t;

typedef struct relayed_file {
    relayed_head_t head;
    relayed_slot_t slot[RELAYED_SLOTS];
} relayed_file_t;

_Static_assert(sizeof(relayed_head_t) == 64 && sizeof(relayed_slot_t) == 32, "docs/formats.md says so");
_Static_assert(sizeof(relayed_file_t) == 65536, "docs/formats.md says so");

/* A numbered push. */
typedef struct relayed {
    const uint8_t *origin;
    uint64_t number;
    uint64_t last; /* the number of the origin before the push */
    uint32_t slot;
    int fd; /* -1: there is no file, and nothing to close */
} relayed_t;

/* Finds the origin's last number. Errors: EMMAP_CORRUPT, ENOTSUP, ESTALE; those of open. */
emmap_error emi_relayed_begin(operation_t *operation, relayed_t *self);
void emi_relayed_end(const relayed_t *self);

/* Steps 1 and 2: the messages lie behind the tail of the file's header, and `header` includes them. Errors: those of
 * pwrite and of a sync; the queue is as before then. */
emmap_error emi_relayed_commit(operation_t *operation, relayed_t *self, queue_header_t *header);

/* Before a queue's first header is stored: gives a file of numbers that is there already another name, or it would keep pushes away from
 * the new queue. Errors: as emi_beside_set_aside. */
emmap_error emi_relayed_set_aside(const operation_t *operation);

/* Steps 3 and 4 are emi_queue_settle (queue.h). */

#endif
