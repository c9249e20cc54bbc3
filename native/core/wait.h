/*
 * Waits for a word of a mapped file, for runtimes that may not block: the core sleeps, and calls the door.
 *
 * Each wait has a thread of its own, which sleeps in the kernel on both halves of the word. The kernel compares both as it
 * puts the thread to sleep, so a store to either half is seen, and a notify counts and wakes exactly the threads that
 * sleep. One thread for many words would have to leave the kernel whenever it gets or loses a word, and a notify that
 * comes meanwhile would find nobody. A sleeping thread takes about 10 KiB of memory and no processor time; threads that
 * have nothing to do are used again, and end after some seconds.
 *
 * One more thread, the watcher, looks at all words ten times a second while there are waits. It ends what needs no
 * notify: a word that has changed while the process that was to notify died, a truncated file, a file that has become
 * shorter. Where threads can't sleep on words of a file (platform.h) the watcher does all of the work.
 *
 * What a notify promises: a wait ends if the word holds another value than the expected one when the notify is called.
 * A notify that finds the expected value wakes whom it finds asleep; it passes over a wait of another process whose thread
 * has not gone to sleep yet, or is stopped.
 */
#ifndef EMMAP_CORE_WAIT_H
#define EMMAP_CORE_WAIT_H

#include "emmap.h"

/*
 * emmap_wait_begin for another file than the word's, unless `owner` is NULL. `is_over`, unless NULL, is asked ten times a
 * second, on any thread, since who was to notify may have been killed: the wait ends where it says yes. It takes no lock. When the word's file is closed, and
 * the owner is not, the result is EMMAP_OK: the owner has another word by now.
 */
emmap_error emi_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                           emmap_file *owner, bool (*is_over)(emmap_file *owner), const emmap_waiter *waiter,
                           emmap_wait **result);

/* Ends all waits on a file with EMMAP_CLOSED. After its status word says so. */
void emi_wait_end_all(emmap_file *file);

#endif
