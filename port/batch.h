/* Batches: many operations in one frame. Neighbouring operations of one name on one file are a run. */
#ifndef EMMAP_PORT_BATCH_H
#define EMMAP_PORT_BATCH_H

#include "operation.h"
#include "protocol.h"

/*
 * A run: {each, Name, Width, Handle, [Argument]}. The list has the arguments of all its operations, Width of each. Name and
 * handle are most of an operation's bytes, and most of the work of decoding it. A run has them once.
 */
typedef struct run {
    const operation_t *op; /* NULL: no operation has this name and number of arguments */
    uint64_t width;
    term_t handle;
    term_t arguments; /* one after the other; or the bytes of a STRING_EXT */
    bool is_string;
    uint32_t count; /* of operations */
} run_t;

/* A batch that has begun. Its terms are the frame's. */
typedef struct batch {
    term_t elements; /* the operations that have not begun */
    uint32_t left;   /* their number */
    run_t run;       /* the run in progress; its count is 0 if there is none */
} batch_t;

/* Begins the batch {batch, list}. False: the batch is refused, and one term in `out` says why. */
bool batch_begin(batch_t *b, term_t list, reply_t *out);

/*
 * Does the rest of the batch in order, also after an operation has failed, and ends the list of answers. False: the next
 * operation waits for a lock; call it again later. It changes the list's bytes.
 */
bool batch_continue(batch_t *b, handles_t *files, reply_t *out);

/* Adapts the batch's terms after its frame was copied from one place to another. */
void batch_move(batch_t *b, const uint8_t *from, uint8_t *to);

#endif
