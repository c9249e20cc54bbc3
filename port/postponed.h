/*
 * The requests that wait for a lock that somebody else has. They are tried again, at first soon and then every 10 ms, in
 * the order in which they came. One that is about the same file as another that waits waits behind it.
 */
#ifndef EMMAP_PORT_POSTPONED_H
#define EMMAP_PORT_POSTPONED_H

#include "handles.h"
#include "reply.h"

/* What waits, whose memory is its own. */
typedef struct postponed_work {
    /* Does it, and writes the answer. False: it goes on waiting, at `out->lane`. */
    bool (*attempt)(struct postponed_work *self, handles_t *files, reply_t *out);
    /* Answers with `cancelled`. False: it has begun, and can't be cancelled. */
    bool (*cancel)(struct postponed_work *self, reply_t *out);
    void (*free)(struct postponed_work *self);
    term_t id;
    size_t bytes; /* how much memory it takes */
} postponed_work_t;

/* Takes the work over, which waits at a lane. False, with the work still the caller's, without memory. */
bool postponed_add(postponed_work_t *work, handles_t *files, uint64_t lane);

/* Does those that can be done, and answers them. */
void postponed_retry(handles_t *files, reply_t *out);

/* How many microseconds until one is to be tried; -1: there are none. */
int64_t postponed_rest(void);

/* No further input is to be read: POSTPONED_LIMIT wait, or 64 MiB of them. */
bool postponed_is_full(void);
bool postponed_is_empty(void);

/* True for the id of one that waits. */
bool postponed_has(term_t id);

/* Has the one with this id answered with `cancelled`, if it can be cancelled. */
void postponed_cancel(term_t id);

void postponed_free(void);

#endif
