/*
 * Frames, as Erlang's {packet, 4} sends them: four bytes of length, big-endian, then that number of bytes.
 */
#ifndef EMMAP_PORT_FRAME_H
#define EMMAP_PORT_FRAME_H

#include "protocol.h"
#include "spin_wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 4u

/* Set `descriptor`, and all other bytes to 0; end with frame_reader_free. */
typedef struct frame_reader {
    int descriptor;
    int beside;     /* something else to sleep on; -1: nothing */
    int64_t rest;   /* the longest sleep, in microseconds; -1: until there is something */
    bool limits;    /* the wait for the rest of a frame has a limit */
    int64_t waited; /* how long it has waited for the rest of this frame, in microseconds */
    uint8_t *buffer;
    size_t capacity;
    size_t start; /* where the bytes begin that no frame has been made of yet */
    size_t end;
    spin_wait_t input;
} frame_reader_t;

typedef enum frame_status {
    FRAME_READY,     /* *frame has been set */
    FRAME_NONE,      /* the buffer holds no whole frame */
    FRAME_BESIDE,    /* nothing was read: the other descriptor is readable, or the time is over */
    FRAME_OVERSIZED, /* the next frame is longer than FRAME_LIMIT */
    FRAME_END,       /* end of input, between two frames */
    FRAME_TRUNCATED, /* end of input within a frame */
    FRAME_STALLED,   /* the rest of a frame did not come in time */
    FRAME_FAILED     /* see errno */
} frame_status_t;

/* The next frame in the buffer. The caller may write to its bytes, which stay until frame_fill is called. */
frame_status_t frame_next(frame_reader_t *reader, uint8_t **frame, size_t *length);

/* Waits for input and reads it. FRAME_NONE: it got bytes. FRAME_BESIDE: the other descriptor was readable first. The buffer
 * grows with the bytes that have come, and not by the length that a frame claims. */
frame_status_t frame_fill(frame_reader_t *reader);

/* Sleeps like frame_fill, and reads nothing. */
void frame_rest(frame_reader_t *reader);

void frame_reader_free(frame_reader_t *reader);

/* Writes all of the bytes, and waits as long as that takes. False, with errno: it failed. */
bool frame_write(int descriptor, const uint8_t *bytes, size_t length);

#endif
