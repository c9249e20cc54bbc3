/*
 * Waits for input. A read that sleeps is woken up, and the sleep and the wake-up take longer than all else in a round trip;
 * spinning costs processor time. So a wait spins before its read sleeps, while spinning is measured to be the quicker way:
 * with a client that waits for each answer and soon has its next request. Spinning is not quicker where requests come
 * seldom, where all processes share one processor, or where all processors are busy.
 */
#ifndef EMMAP_PORT_SPIN_WAIT_H
#define EMMAP_PORT_SPIN_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Set all bytes to 0 first. */
typedef struct spin_wait {
    uint32_t waits;
    uint32_t rest;      /* the next waits sleep at once: how many */
    uint32_t last_rest; /* how many these were, if no spin has succeeded since */
    bool spins;         /* the wait that is going on */
    int64_t since;      /* its begin, in ns */
    int64_t mean[2];    /* how long waits took lately, in ns: asleep, and spinning */
} spin_wait_t;

/* Begins to wait for a descriptor's input, and spins or not. Then read the descriptor, which may sleep. */
void spin_wait_begin(spin_wait_t *self, int descriptor);

/* Ends the wait: the read has returned. */
void spin_wait_end(spin_wait_t *self);

#endif
