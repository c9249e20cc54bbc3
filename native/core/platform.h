/*
 * What Linux can do and POSIX has no word for, or says differently. platform_linux.c and platform_posix.c each
 * implement all of it; which one is compiled has no other trace in the core.
 */
#ifndef EMMAP_CORE_PLATFORM_H
#define EMMAP_CORE_PLATFORM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

size_t platform_page_size(void);

/* The unit in which the mapping of this descriptor comes: larger than a page on hugetlbfs. */
size_t platform_mapping_unit(int fd);

/* How many mappings the system lets a process have; a usual number where it does not say. */
unsigned int platform_mapping_limit(void);

/* mmap flags for these options; false where one of them can't be had here and matters. */
bool platform_map_flags(uint32_t flags, int *map_flags);

/* Has the pages of a mapping ready before they are touched, where that can be had. */
void platform_populate(void *base, size_t length);

/* A descriptor of memory without a name. Errors through errno. */
int platform_anonymous_file(uint32_t flags);

/* A descriptor of a new file in the folder that has no name yet, of mode 0600, and its name, which nothing may have. Errors
 * through errno: ENOTSUP where there are no such files. */
int platform_unnamed_file(const char *folder);
int platform_name_file(int fd, const char *path);

/* What is known of the file system that a descriptor is on. */
typedef struct platform_file_system {
    const char
        *no_sharing;      /* why a shared mapping there is not what others see, and what to do; NULL: it is */
    const char *no_locks; /* what to say where locks fail */
    bool
        layered; /* a file that was opened for reading may come to be another one when somebody writes to it */
} platform_file_system;

const platform_file_system *platform_file_system_of(int fd);

/* Reserves disk space for a range, growing the file where it ends behind it. Errors: an errno, 0 for success;
 * ENOTSUP where the file system can't reserve. */
int platform_reserve(int fd, uint64_t from, uint64_t length);

/* Gives the disk space of a range back, whose bytes are zeros from then on; the file's size stays. Errors: an errno, 0
 * for success; ENOTSUP where the file system can't. */
int platform_punch(int fd, uint64_t from, uint64_t length);

/* Starts write-out of a range. 0 or -1 with errno. */
int platform_start_writeback(int fd, uint64_t from, uint64_t length, void *address);

/* fsync and fdatasync, to the disk itself. 0 or -1 with errno. */
int platform_sync(int fd);
int platform_datasync(int fd);

/* Whether a SIGBUS says that the page at si_addr, which the thread has just touched, can't be had. Others are sent
 * by a process, are about a misaligned access, or about memory that nobody has touched. Async-signal-safe. */
bool platform_page_is_gone(const siginfo_t *info);

/* The fcntl commands of locks that belong to an open file description rather than to a process. */
extern const int platform_lock_try;
extern const int platform_lock_wait;

/* Registers this process for platform_barrier; false where there is none. */
bool platform_barrier_register(void);

/* When it returns, every thread of the process has passed a full memory barrier since the call
 * (membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED). */
void platform_barrier(void);

#endif
