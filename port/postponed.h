/*
 * The requests that wait for a lock that somebody else has. They are tried again, at first soon and then every 10 ms, in
 * the order in which they came. One that is about the same file as another that waits waits behind it.
 */
#ifndef EMMAP_PORT_POSTPONED_H
#define EMMAP_PORT_POSTPONED_H

#include "request.h"

/* No further input is read while this many wait, or as many bytes of them. */
#define POSTPONED_LIMIT 10000u

/* Has a request wait, and copies its frame. False without memory. */
bool postponed_add(const request *r, const uint8_t *frame, size_t length, handles *files, uint64_t lane);

/* Does those that can be done, and answers them. */
void postponed_retry(handles *files, reply *out);

/* How many microseconds until one is to be tried; -1: there are none. */
int64_t postponed_rest(void);

bool postponed_is_full(void);
bool postponed_is_empty(void);

/* True for the id of one that waits. */
bool postponed_has(term id);

/* Has the one with this id answered with `cancelled`, unless it is a batch that has begun. */
void postponed_cancel(term id);

void postponed_free(void);

#endif
