/* Batches: many operations in one frame, alike ones written together as runs. */
#ifndef EMMAP_PORT_BATCH_H
#define EMMAP_PORT_BATCH_H

#include "handles.h"
#include "reply.h"
#include "term.h"

/* Most operations in a batch: the answer to one may be longer than itself. */
#define BATCH_LIMIT (1u << 20)

/*
 * Does {batch, [Operation]}, whose argument this is: all in order, one after the other's failure too. Adds one term, a
 * list of as many answers. It changes the list's bytes.
 */
void batch_perform(handles *files, term list, reply *out);

#endif
