/*
 * Frames: four bytes of length, big-endian, then that many bytes. This is what Erlang's {packet, 4} sends.
 */
#ifndef EMMAP_PORT_FRAME_H
#define EMMAP_PORT_FRAME_H

#include "protocol.h"
#include "spin_wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 4u

/* Zero it but for the descriptor; end with frame_reader_free. */
typedef struct frame_reader {
    int descriptor;
    int beside;     /* something else to sleep on; -1: nothing */
    int64_t rest;   /* the longest sleep, in microseconds; -1: until there is something */
    bool limits;    /* the rest of a frame is not awaited without end */
    int64_t waited; /* for the rest of this frame, in microseconds */
    uint8_t *buffer;
    size_t capacity;
    size_t start; /* of what no frame has been made of yet */
    size_t end;
    spin_wait_t input;
} frame_reader_t;

typedef enum frame_status {
    FRAME_READY,     /* *frame has been set */
    FRAME_NONE,      /* the buffer holds no whole frame */
    FRAME_BESIDE,    /* nothing was read: there is something on the other descriptor, or time is up */
    FRAME_OVERSIZED, /* the next frame is longer than FRAME_LIMIT */
    FRAME_END,       /* end of input, between two frames */
    FRAME_TRUNCATED, /* end of input within a frame */
    FRAME_STALLED,   /* the rest of a frame does not come */
    FRAME_FAILED     /* see errno */
} frame_status_t;

/* The next frame in the buffer. Its bytes may be written to, and are good until frame_fill is called. */
frame_status_t frame_next(frame_reader_t *reader, uint8_t **frame, size_t *length);

/* Reads what there is, waiting for some. FRAME_NONE where it got some, FRAME_BESIDE where the other descriptor had some first. The buffer grows with what has arrived,
 * never with what a length promises. */
frame_status_t frame_fill(frame_reader_t *reader);

/* Sleeps as long, and reads nothing. */
void frame_rest(frame_reader_t *reader);

void frame_reader_free(frame_reader_t *reader);

/* Writes all of the bytes, waiting as long as it takes. False with errno where that fails. */
bool frame_write(int descriptor, const uint8_t *bytes, size_t length);

#endif
