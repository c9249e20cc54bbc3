/* The list of waits. The thread that takes a wait out of the list ends it: the wait's own thread, a notify, a look, or a
 * cancel. */
#ifndef EMMAP_CORE_WAIT_LIST_H
#define EMMAP_CORE_WAIT_LIST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "file.h"
#include "platform.h"

/* The thread that has ended a wait. */
typedef enum ender {
    ENDED_BY_NOBODY,
    ENDED_BY_ITS_THREAD,
    ENDED_BY_NOTIFY, /* of this process; if the kernel woke the wait's thread, too, that was the same notify */
    ENDED_BY_OTHERS  /* if the kernel woke the wait's thread, too, that wake-up was for another wait */
} ender_t;

/* A word, independent of mappings. */
typedef struct place {
    dev_t device;
    ino_t inode;
    uint64_t offset;
} place_t;

struct emmap_wait {
    /* Constant: */
    emmap_file *file;
    emmap_mapping *mapping; /* with a reference, which keeps the file and the word's memory */
    uint64_t position;
    const void *word; /* in that mapping; only the kernel reads it there */
    int64_t expected;
    uint64_t deadline; /* ns of the monotonic clock; UINT64_MAX: none */
    /* NULL, or the file that is waited for, with a reference, if that is not the word's file; and its test,
     * whatever the word holds. */
    emmap_file *owner;
    bool (*is_over)(emmap_file *owner);
    _Atomic uint64_t *count; /* NULL, or a number in that mapping that is one higher while this waits */
    /* NULL, or a word with a bit that says that the wait goes on. The thread that takes the bit out wakes the wait, whose
     * door watches a descriptor (live_bell.c). Such a wait has no thread. */
    _Atomic uint64_t *bell;
    uint64_t bell_bit;
    void (*pass_on)(emmap_file *owner); /* wakes the next waiter */
    emmap_waiter waiter;
    place_t place;
    unsigned int forks; /* emi_descriptor_forks when it began */

    atomic_uint references;      /* of the door, the list, its thread, and of the watcher during a look */
    platform_sleeper_t sleeper;  /* of its thread; another thread that ends the wait kicks it */
    emmap_wait *next, *previous; /* under the lock: the list of all waits */
    ender_t ended_by;            /* under the lock */
    bool asleep;                 /* under the lock: its thread sleeps in the kernel, or is about to */
    bool queued;                 /* under the lock: that is certain; it may have been woken since */
    bool rung;                   /* the thread that ended it found the bit taken */
};

/* All waits and their threads, under `lock`. Under it no other lock is taken, and no function of a door is
 * called. */
typedef struct wait_list {
    pthread_mutex_t lock;
    emmap_wait *first;
    size_t waiting; /* the number of waits in the list */
    struct sleeper *idle;
    unsigned int sleepers;
    bool watched;  /* the watcher runs */
    bool has_news; /* a wait began after the watcher's last look */
} wait_list_t;

extern wait_list_t emi_waits;

/* In a forked child: forgets the parent's waits and threads. */
void emi_wait_list_install(void);

void emi_wait_retain(emmap_wait *self);
void emi_wait_release(emmap_wait *self);

/* Under the lock: takes the wait out of the list. False if another thread has done so. On success the caller
 * gets the list's reference. */
bool emi_wait_take(emmap_wait *self, ender_t by);

/* Without the lock, after a wait was taken that its door does not learn of, or not by EMMAP_OK: wakes the next
 * waiter if this one was woken. */
void emi_wait_pass_on(const emmap_wait *self);

/* Without the lock: calls the door, and drops the list's reference. */
void emi_wait_tell(emmap_wait *self, emmap_error result);

/* Under the lock: takes the wait out of the list and appends it to a list of waits for emi_wait_tell_all. */
void emi_wait_take_to(emmap_wait *self, ender_t by, emmap_wait ***last);

/* Without the lock. */
void emi_wait_tell_all(emmap_wait *taken, emmap_error result);

/* Ends the wait if it needs no notify to end. Returns whether it did. */
bool emi_wait_look(emmap_wait *self, ender_t by);

/* Wakes up to `count` waits for a word and returns their number: first those of all processes whose threads
 * sleep in the kernel, then those of this process whose threads are about to sleep. `word` is its address in
 * any mapping. */
uint64_t emi_wait_wake(const void *word, const place_t *place, uint64_t count);

#endif
