/* Requests: one frame in, one frame out. */
#ifndef EMMAP_PORT_REQUEST_H
#define EMMAP_PORT_REQUEST_H

#include "handles.h"
#include "reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_PROTOCOL_VERSION 1
/* Longest id, in bytes as encoded: it is sent back with the answer. */
#define REQUEST_ID_LIMIT 255u

/* The most that an operation waits for a lock, but those of a batch; EMMAP_NO_LIMIT unless set. */
void request_limit_locks(uint64_t milliseconds);

/* Writes the frame that a session begins with: {emmap_port, ProtocolVersion, Info}. */
void request_hello(reply *out);

/*
 * Does what a frame asks for and writes one frame with the answer. False for a frame that can't be answered:
 * no whole term, bytes after it, no {Id, Operation}, or an id over the limit. The frame's bytes are overwritten.
 * Any bytes at all may be in it.
 */
bool request_answer(handles *files, uint8_t *frame, size_t length, reply *out);

#endif
