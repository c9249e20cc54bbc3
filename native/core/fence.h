/*
 * An asymmetric fence, for a store and a load that two threads do crosswise: each stores one word and then loads the
 * other's. At least one of them must see the other's store. The frequent side calls fence_light between the two, the
 * rare side emi_fence_heavy, which has every other thread of the process pass a full fence (membarrier(2)): so the
 * frequent side pays nothing. Where the system has no such call, both are full fences.
 */
#ifndef EMMAP_CORE_FENCE_H
#define EMMAP_CORE_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>

extern bool emi_fence_asymmetric;

/* Once before the first fence. */
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
