/* The limits that the hello frame states. */
#ifndef EMMAP_PORT_PROTOCOL_H
#define EMMAP_PORT_PROTOCOL_H

#include <stddef.h>

/* The longest frame that the program reads, in bytes without its length: libei counts in int, and a slow reader should not
 * have to hold more. */
#define FRAME_LIMIT ((size_t)1 << 30)

/* The longest id, in bytes as encoded. The answer repeats it. */
#define ID_LIMIT 255u

/* The most operations in a batch, because an answer may be longer than its operation. */
#define BATCH_LIMIT (1u << 20)

/* While this many requests wait for locks, the program reads no further input. */
#define POSTPONED_LIMIT 10000u

#endif
