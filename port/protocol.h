/* The limits that the hello frame states. */
#ifndef EMMAP_PORT_PROTOCOL_H
#define EMMAP_PORT_PROTOCOL_H

#include <stddef.h>

/* Longest frame that is taken, in bytes without its length: libei counts in int, and a reader in no hurry
 * should not be made to hold more. */
#define FRAME_LIMIT ((size_t)1 << 30)

/* Longest id, in bytes as encoded: it is sent back with the answer. */
#define ID_LIMIT 255u

/* Most operations in a batch: the answer to one may be longer than itself. */
#define BATCH_LIMIT (1u << 20)

/* No further input is read while this many requests wait for locks. */
#define POSTPONED_LIMIT 10000u

#endif
