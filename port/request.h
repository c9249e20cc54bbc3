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
    term_t operation; /* of a batch or a hello: its arguments */
    request_kind_t kind;
    bool has_begun;    /* of a batch: some operations may be done */
    batch_t batch;     /* valid if it has begun */
    reply_part_t part; /* the answers so far, if the batch has begun and waits */
    uint64_t deadline; /* of the operation that waits, for operation_waits */
} request_t;

/* False: the frame can't be answered. It is no whole term, has bytes after it, is no {Id, Operation}, or its id is too long. */
bool request_open(request_t *r, uint8_t *frame, size_t length);

/*
 * Does the request, or the rest of it, and writes the answer's frame, unless the request is answered later. False: it waits
 * for a lock of the file `out->lane`, and nothing is written; call it again later. It overwrites the frame's bytes, which may
 * be any bytes.
 */
bool request_perform(request_t *r, handles_t *files, reply_t *out);

/* Adapts the request's terms after its frame was copied from one place to another. */
void request_move(request_t *r, const uint8_t *from, uint8_t *to);

#endif
