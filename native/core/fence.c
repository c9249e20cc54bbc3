#include "fence.h"

#include <pthread.h>

#include "platform.h"

bool emi_fence_asymmetric;

static void install(void)
{
    emi_fence_asymmetric = emi_platform_barrier_register();
}

void emi_fence_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void emi_fence_heavy(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (emi_fence_asymmetric)
        emi_platform_barrier();
}
