/* Reading messages that stay in the queue. */
#ifndef EMMAP_CORE_QUEUE_LOOK_H
#define EMMAP_CORE_QUEUE_LOOK_H

#include "queue.h"

/* A read, and its result. */
typedef struct queue_look_request {
    emmap_queue_direction direction;
    uint64_t limit;
    uint64_t place; /* where to begin, by emi_queue_era_place; 0: at the end from which the direction comes */
    bool goes_on;   /* the caller wants the place of the next step */
    uint64_t next;  /* that place */
    const emmap_sink *sink; /* NULL: only count the messages */
    queue_range_t range;
    queue_header_t header;
    const char *wrong; /* the error found by the last unlocked read */
    uint32_t wrong_at; /* its offset */
    unsigned agreed;   /* how many reads in a row found it */
} queue_look_request_t;

/* Reads. Errors: EINVAL; ESTALE for a place that is lost; as emi_queue_begin; EAGAIN if others change the
 * queue all the time while a read-only handle reads, or as emi_require_blocking. */
emmap_error emi_queue_look(emmap_file *file, queue_look_request_t *self);

#endif
