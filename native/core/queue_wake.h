/*
 * Waiting for a message, and waking waiters.
 *
 * The handles of a queue that can wake each other share a word:
 *
 *   NOBODY   nobody waits
 *   ARMED    somebody waits, or did
 *   CALLED   one waiter was woken and has not taken its message yet; others may wait
 *
 * 1. A waiter arms the word, looks for a message, and sleeps while the word is ARMED.
 * 2. A push stores its message, releases the lock, and loads the word. Unless it is NOBODY, the push stores
 * CALLED and wakes one waiter. If nobody sleeps, it takes CALLED back.
 * 3. A pop releases the lock and loads the word, too. If the word is CALLED, the pop arms it again, looks,
 * and calls if messages are left. So one message wakes one waiter, and no message is left while all waiters
 * sleep.
 *
 * Steps 1 and 2, and steps 3 and 2, cross: each side stores a word and then loads the one that the other has
 * stored. So at least one side sees the other. All these accesses are sequentially consistent, as is the release
 * of the lock in the live folder. Without such a lock the waiter's fence is the heavy one (fence.h), since the
 * threads of an exclusive handle release theirs by a plain store.
 *
 * A waiter may die between 2 and 3 and leave CALLED, a producer may die before it calls, and handles may
 * share no word. So each process also checks all its waits every EMI_WAIT_LOOK_EVERY ms (wait.h).
 */
#ifndef EMMAP_CORE_QUEUE_WAKE_H
#define EMMAP_CORE_QUEUE_WAKE_H

#include "queue.h"

/* The word of an operation's queue. NULL: no handle that this one could wake has ever waited. */
word_t *emi_queue_waited(const operation_t *operation);

/* Wakes a waiter after a push or after a message was put back. Call it if the word is not NOBODY. */
void emi_queue_call(emmap_file *file);

/* Wakes the next waiter after a removal, if messages are left. Call it if the word is not NOBODY. */
void emi_queue_call_next(emmap_file *file);

/* For container_t: closing and freeing. */
void emi_queue_closing(container_t *self);
void emi_queue_freeing(container_t *self);

#endif
