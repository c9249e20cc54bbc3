/* Pushes COUNT messages of 64 bytes to a shared queue for which nobody waits, and prints the nanoseconds of a push. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "emmap.h"

enum { AT_ONCE = 1000 };

static void require(emmap_error error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, emmap_error_name(error));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    static unsigned char bytes[64] = {1};
    const struct iovec message = {bytes, sizeof bytes};
    const long count = atol(argv[2]);
    double total = 0;
    emmap_file *queue;
    const emmap_options options = {.size = 1 << 20};
    require(emmap_queue_open(argv[1], &options, &queue), "open");
    for (long done = -AT_ONCE; done < count; done += AT_ONCE) {
        const double begin = now();
        for (int i = 0; i < AT_ONCE; i++)
            require(emmap_queue_push(queue, &message, 1), "push");
        if (done >= 0) /* the first ones warm up */
            total += now() - begin;
        require(emmap_queue_purge(queue), "purge");
    }
    emmap_free(queue);
    printf("%f\n", total / (double)count);
    return 0;
}
