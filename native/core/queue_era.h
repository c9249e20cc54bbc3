/*
 * Telling whether a queue is the one that it was: whether its messages still lie where a walk has seen them.
 *
 * An era ends when the queue begins anew or its messages move. Offsets mean nothing beyond that, and a boundary between
 * messages is no proof: messages of one size have their boundaries in the same places in every era. So each era but a
 * queue's first has a number, in eight bytes that no message needs at the time: the last ones of the file's first 4096,
 * or of the file where it is shorter. Messages may overwrite it later; then, and in the first era, the bytes of the
 * message beside the place tell. (The first page always has its place on the disk: to write there can't fail.)
 */
#ifndef EMMAP_CORE_QUEUE_ERA_H
#define EMMAP_CORE_QUEUE_ERA_H

#include "queue_layout.h"

/*
 * Begins a new era, with a change of the header from `before` to `after`: one before the header is stored, and one behind
 * it. One of them writes the number, unless messages are in its way. A synced queue calls the first alone, when the disk
 * has `before`: until it has `after` the disk may need what `before` speaks of.
 */
void emi_queue_era_before(uint8_t *data, queue_header_t before, queue_header_t after);
void emi_queue_era_after(uint8_t *data, queue_header_t before, queue_header_t after);

/* The same before the header is stored, where there was no message until now. */
void emi_queue_era_begin(uint8_t *data, queue_header_t header);

/* Identifies the bytes of one message, of `total` bytes. */
uint64_t emi_queue_era_digest(const uint8_t *message, uint32_t total);

/* A place for emmap_queue_walk, from 1 to 2^63 - 1: the offset `at`, and the proof of the era. `beside` is the message that
 * was read last, which begins or ends at `at`. */
uint64_t emi_queue_era_place(const uint8_t *data, queue_header_t header, uint32_t at, uint32_t beside,
                             uint32_t total);

/* Whether a step in this direction can have answered the number: a walk forward has read a message before the place. */
bool emi_queue_era_is_place(uint64_t place, bool forward);

/* The offset of a place. */
uint32_t emi_queue_era_offset(uint64_t place);

/* Whether the place is of the queue's present era. `beside` and `total` are the message there now. */
bool emi_queue_era_is_same(const uint8_t *data, queue_header_t header, uint64_t place, uint32_t beside,
                           uint32_t total);

#endif
