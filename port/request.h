/* Requests: one frame in, one frame out, at once or later. */
#ifndef EMMAP_PORT_REQUEST_H
#define EMMAP_PORT_REQUEST_H

#include "batch.h"
#include "handles.h"
#include "reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum request_kind { REQUEST_OPERATION, REQUEST_BATCH, REQUEST_HELLO } request_kind_t;

/* A request that is being done. Its terms are the frame's. */
typedef struct request {
    term_t id;
    term_t operation; /* of a batch and a hello: their arguments */
    request_kind_t kind;
    bool has_begun;    /* of a batch: some of it may be done */
    batch_t batch;     /* if it has begun */
    reply_part_t part; /* of its answer, if it has begun and waits */
    uint64_t deadline; /* of the operation that waits, as operation_waits has it */
} request_t;

/* False for a frame that can't be answered: no whole term, bytes after it, no {Id, Operation}, or an id over the limit. */
bool request_open(request_t *r, uint8_t *frame, size_t length);

/*
 * Does it, or what is left of it, and writes the frame that answers it, unless it is one that is answered later. False: it
 * waits for a lock, `out->lane` says whose file's, nothing is written, and it is to be done again. The frame's bytes are
 * overwritten. Any bytes at all may be in it.
 */
bool request_perform(request_t *r, handles_t *files, reply_t *out);

/* The frame has been copied from one place to another. */
void request_move(request_t *r, const uint8_t *from, uint8_t *to);

#endif
