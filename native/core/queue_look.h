/* Looking at a queue. */
#ifndef EMMAP_CORE_QUEUE_LOOK_H
#define EMMAP_CORE_QUEUE_LOOK_H

#include "queue.h"

/* What is asked for, and what came of it. */
typedef struct queue_look_request {
    emmap_queue_direction direction;
    uint64_t limit;
    uint64_t place; /* where to begin: emi_queue_era_place, or 0 for the end that the direction comes from */
    bool goes_on;   /* and whether the next step is to be told where, */
    uint64_t next;  /* here */
    const emmap_sink *sink; /* NULL: the messages are only counted */
    queue_range_t range;
    queue_header_t header;
    const char *wrong; /* what the last look without the lock found, */
    uint32_t wrong_at; /* where, */
    unsigned agreed;   /* and how many have found the same */
} queue_look_request_t;

/* Looks. Errors: EINVAL; ESTALE for a place that is lost; as emi_queue_begin; EAGAIN where a handle without locks meets changes
 * all the time, or as emi_require_blocking. */
emmap_error emi_queue_look(emmap_file *file, queue_look_request_t *self);

#endif
