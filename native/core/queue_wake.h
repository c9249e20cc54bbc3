/*
 * Who waits for a message of a queue, and who wakes whom.
 *
 * The handles of a queue that can wake each other share a word:
 *
 *   NOBODY   nobody waits
 *   ARMED    somebody waits, or did
 *   CALLED   one was woken, and has not yet taken its message; others may wait
 *
 * 1. A waiter arms the word, looks for a message, and sleeps on the word while it is ARMED.
 * 2. A push stores its message, gives the lock back, and loads the word. Unless it is NOBODY the push calls: it stores
 *    CALLED and wakes one waiter. Where nobody sleeps it takes CALLED back.
 * 3. What takes a message out gives the lock back and loads the word too. It arms a word that is CALLED again, looks, and
 *    calls where messages are left: so one message wakes one waiter, and no message is left with waiters asleep.
 *
 * The steps of 1 and 2, and those of 3 and 2, cross: each stores and then loads what the other has stored. At least one of
 * them sees the other. Between processes all of these are sequentially consistent; between threads of an exclusive handle,
 * which gives its lock back by a plain store, the waiter's fence is the heavy one (fence.h).
 *
 * A waiter that dies between 2 and 3 leaves CALLED, one that pushes may die before it calls, and handles of one queue may share no
 * word. So each process looks ten times a second for what its waits wait for (wait.h).
 */
#ifndef EMMAP_CORE_QUEUE_WAKE_H
#define EMMAP_CORE_QUEUE_WAKE_H

#include "queue.h"

/* The word of an operation's queue; NULL: no handle has waited that this one could wake. */
word_t *emi_queue_waited(const operation_t *operation);

/* After a push, and after what put a message back, if the word said that somebody waits. */
void emi_queue_call(emmap_file *file);

/* After what took messages out, if the word said that somebody waits. */
void emi_queue_call_next(emmap_file *file);

/* For container.h. */
void emi_queue_wake_closing(container_t *self);
void emi_queue_wake_freeing(container_t *self);

#endif
