/* The threads of waits, and the watcher. */
#ifndef EMMAP_CORE_WAIT_THREADS_H
#define EMMAP_CORE_WAIT_THREADS_H

#include "wait_list.h"

/* Under the lock: gives the wait a thread. False: no thread is available. `*rests` is NULL, or a word on which the thread
 * rests. The caller wakes it after it has released the lock, which the thread needs first. */
bool emi_wait_give_to_sleeper(emmap_wait *wait, const void **rests);

/* Under the lock: makes the watcher run. False: no thread is available. */
bool emi_wait_watch(void);

/* Starts a thread that takes no signals, except those that its own instructions cause. */
bool emi_wait_start_thread(void *(*body)(void *), void *context);

#endif
