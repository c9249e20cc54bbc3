/* Looking at a queue. */
#ifndef EMMAP_CORE_QUEUE_LOOK_H
#define EMMAP_CORE_QUEUE_LOOK_H

#include "queue.h"

/* What is asked for, and what came of it. */
typedef struct queue_look_request {
    emmap_queue_direction direction;
    uint64_t limit;
    uint64_t place; /* where to begin: queue_era_place, or 0 for the end that the direction comes from */
    bool goes_on;   /* and whether the next step is to be told where, */
    uint64_t next;  /* here */
    const emmap_sink *sink; /* NULL: the messages are only counted */
    queue_range range;
    queue_header header;
    const char *wrong; /* what the last look without the lock found, */
    uint32_t wrong_at; /* where, */
    unsigned agreed;   /* and how many have found the same */
} queue_look_request;

/* Looks. Errors: EINVAL; ESTALE for a place that is lost; as queue_begin; EAGAIN where a handle without locks meets changes
 * all the time, or as structure_wait. */
emmap_error queue_look(emmap_file *file, queue_look_request *self);

#endif
