/* Batches: many operations in one frame, alike ones written together as runs. */
#ifndef EMMAP_PORT_BATCH_H
#define EMMAP_PORT_BATCH_H

#include "operation.h"
#include "protocol.h"

/*
 * A run: {each, Name, Width, Handle, [Argument]}, operations of one name on one file, whose arguments follow one another in
 * the list, this many of each. What operations begin with is most of their bytes, and of the work of taking them apart:
 * a run has it once.
 */
typedef struct run {
    const operation_t *op; /* NULL: none takes that */
    uint64_t width;
    term_t handle;
    term_t arguments; /* one after the other; or only bytes */
    bool is_string;
    uint32_t count; /* of operations */
} run_t;

/* A batch that has begun. Its terms are the frame's. */
typedef struct batch {
    term_t elements; /* that have not begun */
    uint32_t left;   /* of them */
    run_t run;       /* that goes on; its count is 0 where there is none */
} batch_t;

/* Begins {batch, [Operation]}, whose argument this is. False: it is refused, and one term says why. */
bool batch_begin(batch_t *b, term_t list, reply_t *out);

/*
 * Does what is left of it, all in order, one after the other's failure too, and ends the list of answers. False: its next
 * operation waits for a lock, and it is to be continued. It changes the list's bytes.
 */
bool batch_continue(batch_t *b, handles_t *files, reply_t *out);

/* The frame has been copied from one place to another. */
void batch_move(batch_t *b, const uint8_t *from, uint8_t *to);

#endif
