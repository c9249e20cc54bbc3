/*
 * The cost of a kernel's lock without contention: `lock_pair PATH COUNT` locks and unlocks a byte of the file COUNT times
 * with an open file description lock (fcntl(2), F_OFD_SETLK), and prints nanoseconds a pair.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    const int file = argc == 3 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0)
        return EXIT_FAILURE;
    const long count = atol(argv[2]);
    const double begin = nanoseconds();
    for (long i = 0; i < count; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        if (fcntl(file, F_OFD_SETLK, &lock) != 0 || fcntl(file, F_OFD_SETLK, &unlock) != 0)
            return EXIT_FAILURE;
    }
    printf("%f\n", (nanoseconds() - begin) / (double)count);
    return EXIT_SUCCESS;
}
