/* How long an operation of the core may wait for locks: set for the process, by the command line and the protocol. */
#ifndef EMMAP_PORT_LOCK_LIMIT_H
#define EMMAP_PORT_LOCK_LIMIT_H

#include "reply.h"

#include <stdbool.h>
#include <stdint.h>

/* The most that an operation waits, in milliseconds, but one of a batch; EMMAP_NO_LIMIT unless set. */
void lock_limit_set(uint64_t milliseconds);
uint64_t lock_limit_get(void);

/* Sets whether requests that find a lock taken are done again later, while others are. Else they wait where they are. */
void lock_limit_postpone(reply_t *out, bool postpones);

/* Between these an operation does not wait at all, or waits as long as its file says. */
void lock_limit_suspend(uint64_t milliseconds);
void lock_limit_restore(const reply_t *out);

#endif
