/*
 * The least that a message takes through a port program whose event loop watches a FIFO: forwards each byte of the FIFO THERE
 * to BEAM as a frame of {packet, 4}, and writes a byte to the FIFO BACK for each frame of BEAM. A frame with the byte 2 is a
 * request, which is answered with the same frame.
 *
 * With a third argument the loop does not watch THERE: a thread sleeps on it, and wakes the loop by a pipe.
 *
 *   fifo_port THERE BACK [thread]
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT = 3, OUTPUT = 4, FRAME = 5, REQUEST = 2 };

static int fifo, ends[2];

static void *sleep_on_fifo(void *context)
{
    (void)context;
    char byte;
    while (read(fifo, &byte, 1) == 1 && write(ends[1], &byte, 1) == 1)
        ;
    return NULL;
}

/* What the loop watches instead of the FIFO; -1: nothing. */
static int watch_by_thread(int there)
{
    pthread_t thread;
    fifo = there;
    return pipe(ends) == 0 && pthread_create(&thread, NULL, sleep_on_fifo, NULL) == 0 ? ends[0] : -1;
}

int main(int argc, char **argv)
{
    static const uint8_t frame[FRAME] = {0, 0, 0, 1, 1};
    uint8_t bytes[FRAME];
    int there = argc >= 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
    const int back = argc >= 3 ? open(argv[2], O_RDWR | O_CLOEXEC) : -1;
    if (there >= 0 && argc == 4)
        there = watch_by_thread(there);
    if (there < 0 || back < 0)
        return EXIT_FAILURE;
    struct pollfd both[] = {{.fd = INPUT, .events = POLLIN}, {.fd = there, .events = POLLIN}};
    for (;;) {
        if (poll(both, 2, -1) < 0)
            return EXIT_FAILURE;
        if (both[1].revents && (read(there, bytes, 1) != 1 || write(OUTPUT, frame, FRAME) != FRAME))
            return EXIT_FAILURE;
        if (!both[0].revents)
            continue;
        /* One frame at a time is on its way. */
        const ssize_t count = read(INPUT, bytes, FRAME);
        if (count <= 0)
            return EXIT_SUCCESS;
        if (count != FRAME)
            return EXIT_FAILURE;
        const ssize_t length = bytes[FRAME - 1] == REQUEST ? FRAME : 1;
        if (write(length == FRAME ? OUTPUT : back, bytes, (size_t)length) != length)
            return EXIT_FAILURE;
    }
}
