/* The threads that sleep for waits, and the watcher. */
#ifndef EMMAP_CORE_WAIT_THREADS_H
#define EMMAP_CORE_WAIT_THREADS_H

#include "wait_list.h"

/* With the lock: has a thread sleep for the wait. False where there is no thread to be had. */
bool emi_wait_give_to_sleeper(emmap_wait *wait);

/* With the lock: has the watcher run. False where there is no thread to be had. */
bool emi_wait_watch(void);

/* Starts a thread that takes no signals but those that its own instructions cause. */
bool emi_wait_start_thread(void *(*body)(void *), void *context);

#endif
