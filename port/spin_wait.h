/*
 * How to wait for input. A read that sleeps is woken up, and both take longer than all else in a round trip; to look
 * again and again costs processor time. So it looks out for a while before the read sleeps, where that is found to be
 * the quicker way: with a client that waits for each answer and soon has its next request. It is not where nothing comes
 * for longer, where all share one processor, or where all processors are busy.
 */
#ifndef EMMAP_PORT_LOOKOUT_H
#define EMMAP_PORT_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

/* Zero it to begin with. */
typedef struct lookout {
    uint32_t waits;
    uint32_t rest;      /* waits that are to be slept through */
    uint32_t last_rest; /* how many these were, if nothing has been seen since */
    bool looking;       /* in the wait that is going on */
    int64_t since;      /* when that began, in ns */
    int64_t mean[2];    /* how long waits took lately, in ns: asleep, and looking out */
} lookout;

/* Begins to wait for a descriptor's input. When it returns there is some, or a read is to sleep until there is. */
void lookout_begin(lookout *l, int descriptor);

/* The wait is over: the read has returned. */
void lookout_end(lookout *l);

#endif
