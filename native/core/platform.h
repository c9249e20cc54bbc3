/*
 * What Linux can do and POSIX has no word for, or says differently. platform_linux.c and platform_posix.c each
 * implement all of it; which one is compiled has no other trace in the core.
 */
#ifndef EMMAP_CORE_PLATFORM_H
#define EMMAP_CORE_PLATFORM_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

size_t emi_platform_page_size(void);

/* The unit in which the mapping of this descriptor comes: larger than a page on hugetlbfs. */
size_t emi_platform_mapping_unit(int fd);

/* How many mappings the system lets a process have; a usual number where it does not say. */
unsigned int emi_platform_mapping_limit(void);

/* mmap flags for these options; false where one of them can't be had here and matters. */
bool emi_platform_map_flags(uint32_t flags, int *map_flags);

/* Has the pages of a mapping ready before they are touched, where that can be had. */
void emi_platform_populate(void *base, size_t length);

/* A descriptor of memory without a name. Errors through errno. */
int emi_platform_anonymous_file(uint32_t flags);

/* A descriptor of a new file in the folder that has no name yet, of mode 0600, and its name, which nothing may have. Errors
 * through errno: ENOTSUP where there are no such files. */
int emi_platform_unnamed_file(const char *folder);
int emi_platform_name_file(int fd, const char *path);

/* What is known of the file system that a descriptor is on. */
typedef struct platform_file_system {
    const char
        *no_sharing;      /* why a shared mapping there is not what others see, and what to do; NULL: it is */
    const char *no_locks; /* what to say where locks fail */
    bool
        layered; /* a file that was opened for reading may come to be another one when somebody writes to it */
} platform_file_system_t;

const platform_file_system_t *emi_platform_file_system_of(int fd);

/* Reserves disk space for a range, growing the file where it ends behind it. Errors: an errno, 0 for success;
 * ENOTSUP where the file system can't reserve. */
int emi_platform_reserve(int fd, uint64_t from, uint64_t length);

/* Gives the disk space of a range back, whose bytes are zeros from then on; the file's size stays. Errors: an errno, 0
 * for success; ENOTSUP where the file system can't. */
int emi_platform_punch(int fd, uint64_t from, uint64_t length);

/* Starts write-out of a range. 0 or -1 with errno. */
int emi_platform_start_writeback(int fd, uint64_t from, uint64_t length, void *address);

/* fsync and fdatasync, to the disk itself. 0 or -1 with errno. */
int emi_platform_sync(int fd);
int emi_platform_datasync(int fd);

/* Whether a SIGBUS says that the page at si_addr, which the thread has just touched, can't be had. Others are sent
 * by a process, are about a misaligned access, or about memory that nobody has touched. Async-signal-safe. */
bool emi_platform_page_is_gone(const siginfo_t *info);

/* The fcntl commands of locks that belong to an open file description rather than to a process. */
extern const int emi_platform_lock_try;
extern const int emi_platform_lock_wait;
extern const int emi_platform_lock_query;

/* Whether there are such locks. Without them a handle can't tell whether another one of its own process is alive. */
extern const bool emi_platform_locks_handles;

/*
 * Sleeps while the word, which processes share, is `expected`, until it is woken or for so many ns. False where the time
 * is over; true for any other reason, of which some are none. Without futexes it sleeps a little, and answers false.
 */
bool emi_platform_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t nanoseconds);

/* Wakes at most so many of those who sleep on it, of any process. */
void emi_platform_futex_wake(_Atomic uint32_t *word, int count);

/* The name of the running program, "" where it is not known. */
const char *emi_platform_program(void);

/* So many random bytes. 0, or -1 where there are none. */
int emi_platform_random(void *bytes, size_t length);

/* How a thread's sleep on a word has ended. */
typedef enum platform_sleep {
    PLATFORM_SLEEP_WOKEN,   /* by emi_platform_word_wake on the word, which has counted it */
    PLATFORM_SLEEP_CHANGED, /* at once: the word or the kick held another value */
    PLATFORM_SLEEP_OVER,    /* the deadline, a wake on the kick, or nothing in particular */
    PLATFORM_SLEEP_REFUSED  /* there can be none on this memory: its page is gone, for example */
} platform_sleep_t;

/* Whether threads can sleep on a word of a file that others, in other processes too, wake them from. The next
 * functions do nothing where they can't, and emi_platform_word_sleep is PLATFORM_SLEEP_REFUSED. */
bool emi_platform_word_can_sleep(void);

/* The two words of a thread's own by which others of its process end its sleep, and see that it sleeps. */
typedef struct platform_sleeper {
    _Atomic(uint32_t) kick;  /* to change it and to wake on it ends the sleep */
    _Atomic(uint32_t) guard; /* to change it keeps the thread from going to sleep, if it has not yet */
} platform_sleeper_t;

/*
 * Sleeps while the aligned 64-bit word holds `expected` and nobody wakes it, and the thread's own words are what `seen` has;
 * up to the deadline, in ns of the monotonic clock (UINT64_MAX: none). In one step with the beginning of the sleep these
 * are compared, in this order: the kick; both halves of the word, of which the first is the one that is woken; the guard.
 * Old kernels compare the first half only: there a sleep is short, and a kick need not end it.
 */
platform_sleep_t emi_platform_word_sleep(const void *word, int64_t expected, const platform_sleeper_t *self,
                                         const uint32_t seen[2], uint64_t deadline);

typedef enum platform_sleeps { PLATFORM_AWAKE, PLATFORM_ASLEEP, PLATFORM_ASLEEP_OR_NOT } platform_sleeps_t;

/* Whether a thread has gone to sleep, or even been woken by now and not run yet. One that has not will not: its sleep is
 * PLATFORM_SLEEP_CHANGED, or PLATFORM_SLEEP_WOKEN where the wake comes in the same moment. */
platform_sleeps_t emi_platform_word_sleeps(platform_sleeper_t *self);

/* Wakes up to `count` threads that sleep on a word: those that have slept longest. How many. `own`: of this process only. */
uint64_t emi_platform_word_wake(const void *word, int count, bool own);

/* Sleeps on a 32-bit word of this process while it holds `seen`. False when the deadline is over. */
bool emi_platform_word_rest(const void *word, uint32_t seen, uint64_t deadline);

/* Registers this process for emi_platform_barrier; false where there is none. */
bool emi_platform_barrier_register(void);

/* When it returns, every thread of the process has passed a full memory barrier since the call
 * (membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED). */
void emi_platform_barrier(void);

#endif
