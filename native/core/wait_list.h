/*
 * The waits that there are, and how one ends: whoever takes a wait out of the list, its thread, a notify, a look or a cancel, ends
 * it, and nobody else does.
 */
#ifndef EMMAP_CORE_WAIT_LIST_H
#define EMMAP_CORE_WAIT_LIST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "file.h"
#include "platform.h"

/* Who has ended a wait. */
typedef enum ender {
    ENDED_BY_NOBODY,
    ENDED_BY_ITS_THREAD,
    ENDED_BY_NOTIFY, /* of this process: if the kernel woke its thread too, that was the same notify */
    ENDED_BY_OTHERS  /* if the kernel woke its thread too, that was for somebody else */
} ender_t;

/* A word, in whichever mapping. */
typedef struct place {
    dev_t device;
    ino_t inode;
    uint64_t offset;
} place_t;

struct emmap_wait {
    /* These do not change. */
    emmap_file *file;
    emmap_mapping *mapping; /* with a reference, which the file and the memory of the word live by */
    uint64_t position;
    const void *word; /* in that mapping; only the kernel looks at it there */
    int64_t expected;
    uint64_t deadline; /* ns of the monotonic clock; UINT64_MAX: none */
    /* NULL, or the file that is waited for, with a reference, where that is another one than the word's; and whether what it is
     * waited for is there, whatever the word holds. */
    emmap_file *owner;
    bool (*is_over)(emmap_file *owner);
    emmap_waiter waiter;
    place_t place;
    unsigned int forks; /* emi_descriptor_forks when it began */

    atomic_uint references;      /* the door's, the list's, its thread's, the watcher's while it looks */
    platform_sleeper_t sleeper;  /* its thread's; kicked when somebody else ends it */
    emmap_wait *next, *previous; /* with the lock: the list of all that wait */
    ender_t ended_by;            /* with the lock */
    bool asleep;                 /* with the lock: its thread sleeps in the kernel, or is about to */
    bool queued;                 /* with the lock: that is certain; it may have been woken by now */
};

/* All of this with the lock. No other lock is taken under it, and no function of a door is called under it. */
typedef struct wait_list {
    pthread_mutex_t lock;
    emmap_wait *first;
    size_t waiting; /* in the list */
    struct sleeper *idle;
    unsigned int sleepers;
    bool watched;  /* the watcher runs */
    bool has_news; /* a wait began since the watcher has looked */
} wait_list_t;

extern wait_list_t emi_waits;

/* A forked child has none of the threads. It forgets its parent's waits. */
void emi_wait_list_install(void);

void emi_wait_retain(emmap_wait *self);
void emi_wait_release(emmap_wait *self);

/* With the lock. False where somebody has ended it before; else the caller has the list's reference. */
bool emi_wait_take(emmap_wait *self, ender_t by);

/* Tells the door, and gives the list's reference back. Without the lock. */
void emi_wait_tell(emmap_wait *self, emmap_error result);

/* Takes a wait out of the list, and puts it behind others that are to be told. With the lock. */
void emi_wait_take_to(emmap_wait *self, ender_t by, emmap_wait ***last);

/* Without the lock. */
void emi_wait_tell_all(emmap_wait *taken, emmap_error result);

/* In ns of the monotonic clock. */
uint64_t emi_wait_now(void);

/* Ends a wait that needs no notify to end; whether it did. */
bool emi_wait_look(emmap_wait *self, ender_t by);

/*
 * Wakes up to `count` of those who wait for a word, and answers how many: first those whose threads the kernel has, of all
 * processes, then those of this process whose threads are still on their way. `word` is where it is in memory.
 */
uint64_t emi_wait_wake(const void *word, const place_t *place, uint64_t count);

#endif
