/*
 * The requests that wait for a lock of another process or handle. The program tries them again, at first soon and then every
 * 10 ms, in the order in which they came. A request waits behind an earlier one on the same file.
 */
#ifndef EMMAP_PORT_POSTPONED_H
#define EMMAP_PORT_POSTPONED_H

#include "handles.h"
#include "reply.h"

/* A postponed request or batch. It owns its memory. */
typedef struct postponed_work {
    /* Does the work, and writes the answer. False: it goes on waiting, at `out->lane`. */
    bool (*attempt)(struct postponed_work *self, handles_t *files, reply_t *out);
    /* Answers with `cancelled`. False: the work has begun, and can't be cancelled. */
    bool (*cancel)(struct postponed_work *self, reply_t *out);
    void (*free)(struct postponed_work *self);
    term_t id;
    size_t bytes; /* of its memory */
} postponed_work_t;

/* Takes over work that waits at a lane. False: no memory; then the caller still owns the work. */
bool postponed_add(postponed_work_t *work, handles_t *files, uint64_t lane);

/* Tries the work that is due, and answers the work that is done. */
void postponed_retry(handles_t *files, reply_t *out);

/* The microseconds until the next try; -1: nothing waits. */
int64_t postponed_rest(void);

/* True: POSTPONED_LIMIT requests wait, or 64 MiB of them. Then the program must read no further input. */
bool postponed_is_full(void);
bool postponed_is_empty(void);

/* True if work with this id waits. */
bool postponed_has(term_t id);

/* Cancels the work with this id, if it can be cancelled: the answer is `cancelled`. */
void postponed_cancel(term_t id);

void postponed_free(void);

#endif
