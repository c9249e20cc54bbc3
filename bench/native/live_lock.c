/*
 * The cost of the live folder's lock without contention: `live_lock PATH COUNT` creates a queue, locks and unlocks it COUNT
 * times, and prints nanoseconds a pair. Compare with lock_pair.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "live.h"

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    emmap_file *queue;
    if (argc != 3 || emmap_queue_open(argv[1], NULL, &queue) != EMMAP_OK || !queue->descriptor->live)
        return EXIT_FAILURE;
    live_t *const self = queue->descriptor->live;
    const long count = atol(argv[2]);
    const double begin = nanoseconds();
    for (long i = 0; i < count; i++) {
        patience_t patience = emi_patience_of(&queue->options);
        if (live_lock(self, &patience) != EMMAP_OK)
            return EXIT_FAILURE;
        live_unlock(self);
    }
    printf("%f\n", (nanoseconds() - begin) / (double)count);
    emmap_free(queue);
    return EXIT_SUCCESS;
}
