/*
 * An asymmetric fence. Two threads each store one word and then load the word of the other; at least one must
 * see the other's store. The frequent side calls fence_light in between, the rare side emi_fence_heavy, which
 * makes every other thread of the process pass a full fence (membarrier(2)). So the frequent side pays
 * nothing. On systems without this call both are full fences.
 */
#ifndef EMMAP_CORE_FENCE_H
#define EMMAP_CORE_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>

extern bool emi_fence_asymmetric;

/* To be called before the first fence. */
void emi_fence_install(void);

static inline void fence_light(void)
{
    if (emi_fence_asymmetric)
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* Async-signal-safe. */
void emi_fence_heavy(void);

#endif
