/*
 * The least cost of a port: reads frames of {packet, 4} from descriptor 3, and writes frames to 4. Its argument is one of
 *   echo      answers each frame with the same frame
 *   spin      the same, but spins for the next frame before it sleeps, as emmap_port does
 *   source    answers each frame with the number of bytes in its last four bytes (big-endian): the pipe's bandwidth
 */
#include "spin_wait.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT = 3, OUTPUT = 4, HEADER = 4, INPUT_SIZE = 1 << 20, LONGEST = 1 << 26 };

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void write_all(const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        const ssize_t count = write(OUTPUT, bytes, length);
        if (count < 0)
            exit(EXIT_FAILURE);
        bytes += count;
        length -= (size_t)count;
    }
}

int main(int argc, char **argv)
{
    const bool spins = argc == 2 && strcmp(argv[1], "spin") == 0;
    const bool echo = spins || (argc == 2 && strcmp(argv[1], "echo") == 0);
    spin_wait_t wait = {0};
    static uint8_t input[INPUT_SIZE];
    uint8_t *const answer = echo ? NULL : calloc(1, HEADER + LONGEST);
    size_t have = 0;
    if (!echo && !answer)
        return EXIT_FAILURE;
    for (;;) {
        if (spins)
            spin_wait_begin(&wait, INPUT);
        const ssize_t count = read(INPUT, input + have, sizeof input - have);
        if (count <= 0)
            return EXIT_SUCCESS;
        if (spins)
            spin_wait_end(&wait);
        have += (size_t)count;
        size_t done = 0;
        while (have - done >= HEADER && have - done - HEADER >= number(input + done)) {
            done += HEADER + number(input + done);
            if (!echo) {
                memcpy(answer, input + done - HEADER, HEADER);
                write_all(answer, HEADER + number(answer));
            }
        }
        if (echo)
            write_all(input, done);
        memmove(input, input + done, have - done);
        have -= done;
    }
}
