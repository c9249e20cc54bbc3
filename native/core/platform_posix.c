#ifndef __linux__
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Without locks of an open file description there are only those of the process: two handles of one process
 * do not exclude each other. */
#ifdef F_OFD_SETLK
const int emi_platform_lock_try = F_OFD_SETLK;
const int emi_platform_lock_wait = F_OFD_SETLKW;
const int emi_platform_lock_query = F_OFD_GETLK;
const bool emi_platform_locks_handles = true;
#else
const int emi_platform_lock_try = F_SETLK;
const int emi_platform_lock_wait = F_SETLKW;
const int emi_platform_lock_query = F_GETLK;
const bool emi_platform_locks_handles = false;
#endif

size_t emi_platform_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t emi_platform_mapping_unit(int fd)
{
    (void)fd;
    return emi_platform_page_size();
}

unsigned int emi_platform_mapping_limit(void)
{
    return 65530; /* as on Linux; other systems allow more */
}

bool emi_platform_map_flags(uint32_t flags, int *map_flags)
{
    /* Populate, nonblock, noreserve and shared_validate are only hints. These are not; MAP_FIXED would
     * replace mappings. */
    if (flags & (EMMAP_OPEN_SYNC | EMMAP_OPEN_HUGETLB | EMMAP_OPEN_FIXED))
        return false;
    *map_flags = flags & EMMAP_OPEN_SHARED ? MAP_SHARED : MAP_PRIVATE;
#ifdef MAP_NOCACHE
    if (flags & EMMAP_OPEN_NOCACHE)
        *map_flags |= MAP_NOCACHE;
#endif
    return true;
}

void emi_platform_populate(void *base, size_t length)
{
    (void)base, (void)length;
}

int emi_platform_anonymous_file(uint32_t flags)
{
    (void)flags;
    char path[] = "/tmp/emmap-XXXXXX";
    const int fd = mkstemp(path);
    if (fd >= 0) {
        unlink(path);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
}

const platform_file_system_t *emi_platform_file_system_of(int fd)
{
    static const platform_file_system_t unknown = {
        NULL,
        "the file system has no open file description locks, which processes need to exclude each other",
        false};
    (void)fd;
    return &unknown;
}

int emi_platform_unnamed_file(const char *folder)
{
    (void)folder;
    errno = ENOTSUP;
    return -1;
}

int emi_platform_name_file(int fd, const char *path)
{
    (void)fd, (void)path;
    errno = ENOTSUP;
    return -1;
}

int emi_platform_reserve(int fd, uint64_t from, uint64_t length)
{
    (void)fd, (void)from, (void)length;
    return ENOTSUP;
}

int emi_platform_punch(int fd, uint64_t from, uint64_t length)
{
#ifdef F_PUNCHHOLE
    fpunchhole_t hole = {.fp_offset = (off_t)from, .fp_length = (off_t)length};
    return fcntl(fd, F_PUNCHHOLE, &hole) == 0 ? 0 : errno;
#else
    (void)fd, (void)from, (void)length;
    return ENOTSUP;
#endif
}

int emi_platform_start_writeback(int fd, uint64_t from, uint64_t length, void *address)
{
    (void)fd, (void)from;
    return msync(address, (size_t)length, MS_ASYNC);
}

int emi_platform_sync(int fd)
{
#ifdef F_FULLFSYNC
    /* macOS: fsync does not wait for the drive's cache (fsync(2)). */
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return 0;
#endif
    return fsync(fd);
}

int emi_platform_datasync(int fd)
{
    return emi_platform_sync(fd);
}

/* The codes and their meanings differ between systems (macOS: always BUS_ADRALN). */
bool emi_platform_page_is_gone(const siginfo_t *info)
{
    return info->si_code > 0;
}

/* macOS has such calls only within a process, and does not document them. */
bool emi_platform_word_can_sleep(void)
{
    return false;
}

platform_sleep_t emi_platform_word_sleep(const void *word, int64_t expected, const platform_sleeper_t *self,
                                         const uint32_t seen[2], uint64_t deadline)
{
    (void)word, (void)expected, (void)self, (void)seen, (void)deadline;
    return PLATFORM_SLEEP_REFUSED;
}

platform_sleeps_t emi_platform_word_sleeps(platform_sleeper_t *self)
{
    (void)self;
    return PLATFORM_AWAKE;
}

uint64_t emi_platform_word_wake(const void *word, int count, bool own)
{
    (void)word, (void)count, (void)own;
    return 0;
}

bool emi_platform_word_rest(const void *word, uint32_t seen, uint64_t deadline)
{
    (void)word, (void)seen, (void)deadline;
    return false;
}

bool emi_platform_barrier_register(void)
{
    return false;
}

void emi_platform_barrier(void)
{
}

bool emi_platform_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t nanoseconds)
{
    if (atomic_load_explicit(word, memory_order_relaxed) != expected)
        return true;
    /* Nobody wakes this thread, so it looks often. */
    const struct timespec pause = {.tv_nsec = nanoseconds < 200000 ? (long)nanoseconds : 200000};
    nanosleep(&pause, NULL);
    return false;
}

void emi_platform_futex_wake(_Atomic uint32_t *word, int count)
{
    (void)word, (void)count;
}

const char *emi_platform_program(void)
{
    return "";
}

void emi_platform_boot(uint8_t name[16])
{
    memset(name, 0, 16);
}

int emi_platform_random(void *bytes, size_t length)
{
    const int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, bytes, length);
    if (fd >= 0)
        close(fd);
    return got == (ssize_t)length ? 0 : -1;
}

#else
/* ISO C wants a declaration in every file. */
typedef int platform_posix_is_not_used;
#endif
