/*
 * Waits for a word of a mapped file, for runtimes that must not block: the core sleeps, and calls the door.
 *
 * Each wait has a thread, which sleeps in the kernel on both halves of the word. The kernel compares both
 * when it puts the thread to sleep. So a store to either half is seen, and a notify counts and wakes exactly
 * the sleeping threads. One thread for many words would have to leave the kernel for every change of its
 * list, and a notify at that moment would find nobody. A sleeping thread takes about 10 KiB of memory and no
 * processor time. Idle threads are used again, and end after some seconds.
 *
 * One more thread, the watcher, checks all words every EMI_WAIT_LOOK_EVERY ms while there are waits. It ends waits that
 * get no notify: because the notifying process died, the file was truncated, or the file became shorter. If
 * threads can't sleep on words of a file (platform.h), the watcher does all of the work.
 *
 * A notify promises: a wait ends if the word holds another value than the expected one. If the word holds the
 * expected value, the notify wakes sleeping waits. It may miss a wait of another process whose thread is not
 * asleep yet or is stopped.
 */
#ifndef EMMAP_CORE_WAIT_H
#define EMMAP_CORE_WAIT_H

#include <stdatomic.h>

#include "emmap.h"

/* The subject of a wait that is not for a word's value: a word only tells of it. */
typedef struct wait_subject {
    emmap_file
        *owner; /* the file that is waited for, if it is not the word's file. If the word's file is closed
                        * and the owner is not, the result is EMMAP_OK: the owner has another word now */
    /* Called every EMI_WAIT_LOOK_EVERY ms, on any thread, since the process that should notify may have died: true ends
     * the wait. It must not take a lock. */
    bool (*is_over)(emmap_file *owner);
    _Atomic uint64_t
        *count; /* NULL, or a number in the file's mapping that is one higher while the wait lasts */
    /* Of a wait without a thread: wait_list.h. */
    _Atomic uint64_t *bell; /* NULL: it has a thread */
    uint64_t bell_bit;
    void (*pass_on)(emmap_file *owner);
} wait_subject_t;

/* The longest time between two looks at all waits, in ms: the manual promises 100 ms, with the work that follows a look. A
 * wait without a thread needs a longer timeout. */
enum { EMI_WAIT_LOOK_EVERY = 80 };

/* As emmap_wait_begin. `subject` may be NULL. */
emmap_error emi_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                           const wait_subject_t *subject, const emmap_waiter *waiter, emmap_wait **result);

/* Ends all waits on a file with EMMAP_CLOSED. To be called after the status word says so. */
void emi_wait_end_all(emmap_file *file);

#endif
