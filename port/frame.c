#define _GNU_SOURCE /* ppoll */
#include "frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { USUAL_CAPACITY = 256 << 10, SMALL_STEP = 4 << 20 };

/* How long one descriptor is watched instead of two, in milliseconds. */
enum { FEW_FILES = 20 };

/* How long the rest of a frame is awaited, in microseconds: so much, and one for so many bytes of the frame. */
enum { PATIENCE = 5 * 1000 * 1000, BYTES_PER_MICROSECOND = 16 };

/* The length of the next frame, of whose header all bytes are there. */
static size_t length_of(const frame_reader_t *reader)
{
    const uint8_t *const header = reader->buffer + reader->start;
    return (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
}

frame_status_t frame_next(frame_reader_t *reader, uint8_t **frame, size_t *length)
{
    size_t have = reader->end - reader->start;
    if (have < FRAME_HEADER)
        return FRAME_NONE;
    const size_t want = length_of(reader);
    if (want > FRAME_LIMIT)
        return FRAME_OVERSIZED;
    if (have - FRAME_HEADER < want)
        return FRAME_NONE;
    *frame = reader->buffer + reader->start + FRAME_HEADER;
    *length = want;
    reader->start += FRAME_HEADER + want;
    reader->waited = 0;
    return FRAME_READY;
}

static bool set_capacity(frame_reader_t *reader, size_t capacity)
{
    uint8_t *buffer = realloc(reader->buffer, capacity);
    if (!buffer)
        return false;
    reader->buffer = buffer;
    reader->capacity = capacity;
    return true;
}

/* Makes room at the end: forward over the frames that are done, else by doubling. */
static bool make_room(frame_reader_t *reader)
{
    size_t have = reader->end - reader->start;
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, have);
        reader->start = 0;
        reader->end = have;
        if (reader->capacity > USUAL_CAPACITY && have < USUAL_CAPACITY / 2)
            return set_capacity(reader, USUAL_CAPACITY);
    }
    if (reader->end < reader->capacity)
        return true;
    if (reader->capacity == 0)
        return set_capacity(reader, USUAL_CAPACITY);
    /* Where memory is short the frame may still fit. */
    return set_capacity(reader, 2 * reader->capacity) || set_capacity(reader, reader->capacity + SMALL_STEP);
}

/* Sleeps until one of them is readable, or time is up. A descriptor below 0 is none. */
static void sleep_for(struct pollfd both[2], int64_t rest)
{
    int ready;
    do {
#ifdef __linux__
        const struct timespec limit = {.tv_sec = rest / 1000000, .tv_nsec = rest % 1000000 * 1000};
        ready = ppoll(both, 2, rest < 0 ? NULL : &limit, NULL);
#else
        ready = poll(both, 2, rest < 0 ? -1 : (int)((rest + 999) / 1000));
#endif
    } while (ready < 0 && errno == EINTR);
    /* A process that may open one file may watch one. */
    if (ready < 0 && errno == EINVAL)
        (void)poll(both, 1, FEW_FILES);
}

static int64_t microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How much longer the rest of a frame may be awaited. -1: without end, or there is no part of a frame. */
static int64_t patience(const frame_reader_t *reader)
{
    const size_t have = reader->end - reader->start;
    if (!reader->limits || have == 0)
        return -1;
    const size_t length = have < FRAME_HEADER ? 0 : length_of(reader);
    const int64_t left = PATIENCE + (int64_t)(length / BYTES_PER_MICROSECOND) - reader->waited;
    return left > 0 ? left : 0;
}

/* FRAME_NONE where there is input. */
static frame_status_t sleep_for_input(frame_reader_t *reader)
{
    struct pollfd both[] = {{.fd = reader->descriptor, .events = POLLIN},
                            {.fd = reader->beside, .events = POLLIN}};
    const int64_t left = patience(reader);
    const bool is_last = left >= 0 && (reader->rest < 0 || left <= reader->rest);
    const int64_t since = microseconds();
    sleep_for(both, is_last ? left : reader->rest);
    if (left >= 0)
        reader->waited += microseconds() - since;
    if (both[1].revents != 0)
        return FRAME_BESIDE;
    if (both[0].revents != 0)
        return FRAME_NONE;
    return is_last ? FRAME_STALLED : FRAME_BESIDE;
}

void frame_rest(frame_reader_t *reader)
{
    struct pollfd both[] = {{.fd = -1}, {.fd = reader->beside, .events = POLLIN}};
    sleep_for(both, reader->rest);
}

frame_status_t frame_fill(frame_reader_t *reader)
{
    if (!make_room(reader))
        return FRAME_FAILED;
    spin_wait_begin(&reader->input, reader->descriptor);
    if (reader->beside >= 0 || reader->rest >= 0 || patience(reader) >= 0) {
        const frame_status_t status = sleep_for_input(reader);
        if (status != FRAME_NONE)
            return status;
    }
    for (;;) {
        ssize_t count =
            read(reader->descriptor, reader->buffer + reader->end, reader->capacity - reader->end);
        if (count > 0) {
            spin_wait_end(&reader->input);
            reader->end += (size_t)count;
            return FRAME_NONE;
        }
        if (count == 0)
            return reader->start == reader->end ? FRAME_END : FRAME_TRUNCATED;
        if (errno != EINTR)
            return FRAME_FAILED;
    }
}

void frame_reader_free(frame_reader_t *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = reader->start = reader->end = 0;
}

bool frame_write(int descriptor, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(descriptor, bytes, length);
        if (count >= 0) {
            bytes += count;
            length -= (size_t)count;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}
