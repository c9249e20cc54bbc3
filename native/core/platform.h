/* The calls that differ between Linux and POSIX. platform_linux.c and platform_posix.c both implement all of
 * them. No other file of the core depends on the system. */
#ifndef EMMAP_CORE_PLATFORM_H
#define EMMAP_CORE_PLATFORM_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

size_t emi_platform_page_size(void);

/* The page size of a mapping of this descriptor: larger than usual on hugetlbfs. */
size_t emi_platform_mapping_unit(int fd);

/* The most mappings of a process; a usual number if the system does not tell. */
unsigned int emi_platform_mapping_limit(void);

/* The mmap flags for these options. False: an option that matters is not available here. */
bool emi_platform_map_flags(uint32_t flags, int *map_flags);

/* Reads all pages of a mapping in, if the system can. */
void emi_platform_populate(void *base, size_t length);

/* A descriptor of memory without a file. Errors: errno. */
int emi_platform_anonymous_file(uint32_t flags);

/* The first returns a descriptor of a new file in the folder, with mode 0600 and no name. The second gives it a name, which
 * must be free. Errors: errno; ENOTSUP if the file system has no such files. */
int emi_platform_unnamed_file(const char *folder);
int emi_platform_name_file(int fd, const char *path);

/* Facts about the file system of a descriptor. */
typedef struct platform_file_system {
    const char *
        no_sharing; /* why a shared mapping does not show the writes of others, and a remedy; NULL: it does */
    const char *no_locks; /* the message for failing locks */
    bool layered;         /* a file that is open for reading may be replaced when somebody writes to it */
} platform_file_system_t;

const platform_file_system_t *emi_platform_file_system_of(int fd);

/* Reserves disk space for a range, and grows the file to its end. Returns an errno value, 0 for success;
 * ENOTSUP if the file system can't. */
int emi_platform_reserve(int fd, uint64_t from, uint64_t length);

/* Gives the disk space of a range back; its bytes become zeros, and the file's size stays. Returns an errno
 * value, 0 for success; ENOTSUP if the file system can't. */
int emi_platform_punch(int fd, uint64_t from, uint64_t length);

/* Starts writing a range to the disk. Returns 0, or -1 with errno. */
int emi_platform_start_writeback(int fd, uint64_t from, uint64_t length, void *address);

/* fsync and fdatasync down to the disk. Return 0, or -1 with errno. */
int emi_platform_sync(int fd);
int emi_platform_datasync(int fd);

/* Whether a SIGBUS means that the page at si_addr, which the thread has just touched, is gone. Others are
 * sent by a process, or are about a misaligned access or untouched memory. Async-signal-safe. */
bool emi_platform_page_is_gone(const siginfo_t *info);

/* The fcntl commands for locks of an open file description, and not of a process. */
extern const int emi_platform_lock_try;
extern const int emi_platform_lock_wait;
extern const int emi_platform_lock_query;

/* Whether such locks exist. Without them a handle can't tell whether another handle of its process is alive. */
extern const bool emi_platform_locks_handles;

/* Sleeps for up to this many ns while the word, which processes share, is `expected`, or until woken. False:
 * the time is over. True: any other reason, or none. Without futexes it sleeps a little and returns false. */
bool emi_platform_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t nanoseconds);

/* Wakes up to `count` threads of all processes that sleep on the word. */
void emi_platform_futex_wake(_Atomic uint32_t *word, int count);

/* The name of the running program; "" if unknown. */
const char *emi_platform_program(void);

/* Names this run of the system: another one after each restart. Zeros if the system does not tell. */
void emi_platform_boot(uint8_t name[16]);

/* Fills memory with random bytes. Returns 0, or -1 if there are none. */
int emi_platform_random(void *bytes, size_t length);

/* How a thread's sleep on a word ended. */
typedef enum platform_sleep {
    PLATFORM_SLEEP_WOKEN,   /* by emi_platform_word_wake on the word, which has counted it */
    PLATFORM_SLEEP_CHANGED, /* at once: the word or the kick held another value */
    PLATFORM_SLEEP_OVER,    /* by the deadline, a kick, or without a reason */
    PLATFORM_SLEEP_REFUSED  /* threads can't sleep on this memory; its page may be gone */
} platform_sleep_t;

/* Whether threads can sleep on a word of a file, and be woken from other processes. If not, the next
 * functions do nothing, and emi_platform_word_sleep returns PLATFORM_SLEEP_REFUSED. */
bool emi_platform_word_can_sleep(void);

/* Two words of a thread, by which other threads of its process end its sleep and see that it sleeps. */
typedef struct platform_sleeper {
    _Atomic(uint32_t) kick;  /* a change and a wake on it end the sleep */
    _Atomic(uint32_t) guard; /* a change keeps the thread from going to sleep */
} platform_sleeper_t;

/*
 * Sleeps while the aligned 64-bit word holds `expected`, the thread's own words are as in `seen`, and nobody
 * wakes it; up to the deadline in ns of the monotonic clock (UINT64_MAX: none). In one step with falling
 * asleep these are compared, in this order: the kick; both halves of the word, of which the first is the one
 * to wake; the guard. Old kernels compare only the first half: there a sleep is short, and a kick may not end
 * it.
 */
platform_sleep_t emi_platform_word_sleep(const void *word, int64_t expected, const platform_sleeper_t *self,
                                         const uint32_t seen[2], uint64_t deadline);

typedef enum platform_sleeps { PLATFORM_AWAKE, PLATFORM_ASLEEP, PLATFORM_ASLEEP_OR_NOT } platform_sleeps_t;

/* Whether a thread has gone to sleep, or was even woken and has not run yet. If not, it will not: its sleep
 * returns PLATFORM_SLEEP_CHANGED, or PLATFORM_SLEEP_WOKEN if the wake comes at the same moment. */
platform_sleeps_t emi_platform_word_sleeps(platform_sleeper_t *self);

/* Wakes up to `count` threads that sleep on a word, the longest sleepers first, and returns their number.
 * `own`: only those of this process. */
uint64_t emi_platform_word_wake(const void *word, int count, bool own);

/* Sleeps on a 32-bit word of this process while it holds `seen`. False: the deadline is over. */
bool emi_platform_word_rest(const void *word, uint32_t seen, uint64_t deadline);

/* Registers the process for emi_platform_barrier. False: there is no such call. */
bool emi_platform_barrier_register(void);

/* Returns when every thread of the process has passed a full memory barrier (membarrier(2),
 * MEMBARRIER_CMD_PRIVATE_EXPEDITED). */
void emi_platform_barrier(void);

#endif
