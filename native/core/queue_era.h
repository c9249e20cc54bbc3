/*
 * Eras: whether messages still lie where an earlier step of a walk has seen them.
 *
 * An era ends when the queue begins anew or its messages move. Then offsets lose their meaning. A boundary
 * between messages at the same offset proves nothing: with messages of one size the boundaries repeat. So
 * each era but the first has a number, stored in eight bytes that no message needs at the time: the last ones
 * of the file's first 4096 bytes, or of a shorter file. Messages may overwrite the number later. Then, and in
 * the first era, the bytes of the message beside the place serve as proof. (The first page always has disk
 * space, so writing there can't fail.)
 */
#ifndef EMMAP_CORE_QUEUE_ERA_H
#define EMMAP_CORE_QUEUE_ERA_H

#include "queue_layout.h"

/*
 * Begin a new era with a change of the header from `before` to `after`. Call one before the header is stored
 * and the other after it. One of them writes the number, unless messages are in its way. For a synced queue
 * call only the first one, when the disk has `before`: until it has `after`, it may need the bytes that
 * `before` includes.
 */
void emi_queue_era_before(uint8_t *data, queue_header_t before, queue_header_t after);
void emi_queue_era_after(uint8_t *data, queue_header_t before, queue_header_t after);

/* Begins a new era before the header is stored, if the queue was empty. */
void emi_queue_era_begin(uint8_t *data, queue_header_t header);

/* A hash of one message of `total` bytes. */
uint64_t emi_queue_era_digest(const uint8_t *message, uint32_t total);

/* A place for emmap_queue_walk, from 1 to 2^63 - 1: the offset `at` and the proof of the era. `beside` is the
 * message that was read last, which begins or ends at `at`. */
uint64_t emi_queue_era_place(const uint8_t *data, queue_header_t header, uint32_t at, uint32_t beside,
                             uint32_t total);

/* Whether a step in this direction can have returned the number. (Before the place of a forward walk there is
 * a message.) */
bool emi_queue_era_is_place(uint64_t place, bool forward);

/* The offset of a place. */
uint32_t emi_queue_era_offset(uint64_t place);

/* Whether the place belongs to the present era. `beside` and `total` describe the message that is there now. */
bool emi_queue_era_is_same(const uint8_t *data, queue_header_t header, uint64_t place, uint32_t beside,
                           uint32_t total);

#endif
