/* How long an operation of the core may wait for locks. The command line and the protocol set it for the process. */
#ifndef EMMAP_PORT_LOCK_LIMIT_H
#define EMMAP_PORT_LOCK_LIMIT_H

#include "reply.h"

#include <stdbool.h>
#include <stdint.h>

/* The most milliseconds that an operation outside of batches waits; EMMAP_NO_LIMIT unless set. */
void lock_limit_set(uint64_t milliseconds);
uint64_t lock_limit_get(void);

/* Sets whether requests that find a lock taken are postponed while others are done. If not, they wait. */
void lock_limit_postpone(reply_t *out, bool postpones);

/* Between these two calls an operation waits for up to `milliseconds`: 0, or the lock_timeout of its file. */
void lock_limit_suspend(uint64_t milliseconds);
void lock_limit_restore(const reply_t *out);

#endif
