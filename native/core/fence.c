#include "fence.h"

#include <pthread.h>

#include "platform.h"

bool fence_asymmetric;

static void install(void)
{
    fence_asymmetric = platform_barrier_register();
}

void fence_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void fence_heavy(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (fence_asymmetric)
        platform_barrier();
}
