#ifdef __linux__
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* From <linux/mman.h>, which can't be included beside <sys/mman.h>. */
#define HUGE_SHIFT 26
#define HUGE_2MB (21u << HUGE_SHIFT)
#define HUGE_1GB (30u << HUGE_SHIFT)

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

const int emi_platform_lock_try = F_OFD_SETLK;
const int emi_platform_lock_wait = F_OFD_SETLKW;
const int emi_platform_lock_query = F_OFD_GETLK;
const bool emi_platform_locks_handles = true;

size_t emi_platform_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t emi_platform_mapping_unit(int fd)
{
    struct statfs about;
    if (fstatfs(fd, &about) == 0 && about.f_type == HUGETLBFS_MAGIC)
        return (size_t)about.f_bsize;
    return emi_platform_page_size();
}

unsigned int emi_platform_mapping_limit(void)
{
    unsigned int limit = 65530; /* the kernel's default */
    char text[32] = {0};
    const int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return limit;
    if (read(fd, text, sizeof text - 1) > 0) {
        const unsigned long number = strtoul(text, NULL, 10);
        if (number > 0)
            limit = number < UINT_MAX ? (unsigned int)number : UINT_MAX;
    }
    close(fd);
    return limit;
}

#define WHERE_TO "; put the file on a local one (ext4, xfs, btrfs, tmpfs); in a container, on a volume"
#define NO_LOCKS(name)                                                                                       \
    "the file system (" name                                                                                 \
    ") has no open file description locks, which processes need to exclude each other" WHERE_TO
#define NO_SHARING(name)                                                                                     \
    "the file system (" name ") does not share one memory between all that open the file" WHERE_TO           \
    "; plain files and counters may be opened as unsafe to share"

static const struct {
    unsigned long type; /* statfs(2) */
    platform_file_system_t about;
} file_systems[] = {
#define SHARES(type, name)                                                                                   \
    {                                                                                                        \
        type,                                                                                                \
        {                                                                                                    \
            NULL, NO_LOCKS(name), false                                                                      \
        }                                                                                                    \
    }
#define SHARES_NOT(type, name)                                                                               \
    {                                                                                                        \
        type,                                                                                                \
        {                                                                                                    \
            NO_SHARING(name), NO_LOCKS(name), false                                                          \
        }                                                                                                    \
    }
    SHARES(0xef53, "ext4"),
    SHARES(0x58465342, "xfs"),
    SHARES(0x9123683e, "btrfs"),
    SHARES(0x01021994, "tmpfs"),
    SHARES(0x858458f6, "ramfs"),
    SHARES(0xf2f52010, "f2fs"),
    SHARES(0x2fc12fc1, "zfs"),
    SHARES(0xca451a4e, "bcachefs"),
    SHARES(0x4d44, "vfat"),
    SHARES(0x2011bab0, "exfat"),
    SHARES(0x7366746e, "ntfs3"),
    SHARES(0x958458f6, "hugetlbfs"),
    {0x794c7630, {NULL, NO_LOCKS("overlay"), true}},
    /* Another machine, or the host, may have the file open past this mount. */
    SHARES_NOT(0x65735546, "fuse"),
    SHARES_NOT(0x6969, "nfs"),
    SHARES_NOT(0xff534d42, "cifs"),
    SHARES_NOT(0xfe534d42, "smb2"),
    SHARES_NOT(0x517b, "smbfs"),
    SHARES_NOT(0x01021997, "9p"),
    SHARES_NOT(0x00c36400, "ceph"),
    SHARES_NOT(0x0bd00bd0, "lustre"),
    SHARES_NOT(0x47504653, "gpfs"),
    SHARES_NOT(0x5346414f, "afs"),
    SHARES_NOT(0x6b414653, "afs"),
    SHARES_NOT(0x786f4256, "vboxsf"),
    SHARES_NOT(0xbacbacbc, "vmhgfs"),
    SHARES_NOT(0x7461636f, "ocfs2"),
    SHARES_NOT(0x01161970, "gfs2"),
};

const platform_file_system_t *emi_platform_file_system_of(int fd)
{
    static const platform_file_system_t unknown = {NULL, NO_LOCKS("of a kind that is not known here"), false};
    struct statfs about;
    if (fstatfs(fd, &about) == 0)
        for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++)
            if (((unsigned long)about.f_type & 0xffffffff) == file_systems[i].type)
                return &file_systems[i].about;
    return &unknown;
}

bool emi_platform_map_flags(uint32_t flags, int *map_flags)
{
    int map = flags & EMMAP_OPEN_SHARED_VALIDATE ? MAP_SHARED_VALIDATE
              : flags & EMMAP_OPEN_SHARED        ? MAP_SHARED
                                                 : MAP_PRIVATE;
    if (flags & EMMAP_OPEN_FIXED)
        map |= MAP_FIXED_NOREPLACE;
    if (flags & EMMAP_OPEN_NORESERVE)
        map |= MAP_NORESERVE;
    if (flags & EMMAP_OPEN_POPULATE)
        map |= MAP_POPULATE;
    if (flags & EMMAP_OPEN_NONBLOCK)
        map |= MAP_NONBLOCK;
    if (flags & EMMAP_OPEN_SYNC)
        map |= MAP_SYNC;
    *map_flags = map;
    return true;
}

void emi_platform_populate(void *base, size_t length)
{
#ifdef MADV_POPULATE_READ
    madvise(base, length, MADV_POPULATE_READ);
#else
    (void)base, (void)length;
#endif
}

int emi_platform_anonymous_file(uint32_t flags)
{
    unsigned int memfd = MFD_CLOEXEC;
    if (flags & EMMAP_OPEN_HUGETLB)
        memfd |= MFD_HUGETLB;
    if (flags & EMMAP_OPEN_HUGE_2MB)
        memfd |= HUGE_2MB;
    if (flags & EMMAP_OPEN_HUGE_1GB)
        memfd |= HUGE_1GB;
    return (int)syscall(SYS_memfd_create, "emmap", memfd);
}

static int own_path(int fd, char *path, size_t size)
{
    return snprintf(path, size, "/proc/self/fd/%d", fd);
}

int emi_platform_unnamed_file(const char *folder)
{
    const int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[64];
    /* EISDIR: the kernel has no such files. (ENOENT can also mean a missing folder.) */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        errno = ENOTSUP;
    if (fd < 0)
        return fd;
    /* Without /proc it could never get a name. */
    own_path(fd, path, sizeof path);
    if (access(path, F_OK) != 0) {
        close(fd);
        errno = ENOTSUP;
        return -1;
    }
    return fd;
}

int emi_platform_name_file(int fd, const char *path)
{
    char own[64];
    own_path(fd, own, sizeof own);
    return linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

int emi_platform_reserve(int fd, uint64_t from, uint64_t length)
{
    /* Not posix_fallocate: if the file system can't reserve, glibc writes into blocks that others may be
     * writing. */
    int result;
    do
        result = fallocate(fd, 0, (off_t)from, (off_t)length);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno == EOPNOTSUPP || errno == ENOSYS ? ENOTSUP : errno;
}

int emi_platform_punch(int fd, uint64_t from, uint64_t length)
{
    int result;
    do
        result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)length);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno == EOPNOTSUPP || errno == ENOSYS ? ENOTSUP : errno;
}

int emi_platform_start_writeback(int fd, uint64_t from, uint64_t length, void *address)
{
    (void)address;
    return sync_file_range(fd, (off_t)from, (off_t)length, SYNC_FILE_RANGE_WRITE);
}

int emi_platform_sync(int fd)
{
    return fsync(fd);
}

int emi_platform_datasync(int fd)
{
    return fdatasync(fd);
}

bool emi_platform_page_is_gone(const siginfo_t *info)
{
    return info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR || info->si_code == BUS_MCEERR_AR;
}

bool emi_platform_word_can_sleep(void)
{
    return true;
}

#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* From <linux/futex.h>, since Linux 5.16: a word on which a thread sleeps. */
struct sleep_on {
    uint64_t expected;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};
#define SLEEP_32_BITS 2u

struct sleep_until {
    int64_t seconds;
    int64_t nanoseconds;
};

/* futex_waitv(2) is missing: before Linux 5.16, and in some sandboxes. */
static atomic_bool lacks_waitv;

static struct timespec span_until(uint64_t deadline, uint64_t longest)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t from = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    const uint64_t left = deadline > from ? deadline - from : 0;
    const uint64_t span = left < longest ? left : longest;
    return (struct timespec){(time_t)(span / 1000000000), (long)(span % 1000000000)};
}

/* Compares only one half of the word. So the sleep is short: a store to the other half between the caller's
 * look and this call is missed, and so is its notify. */
static platform_sleep_t sleep_on_half(const void *word, const uint32_t halves[2], uint64_t deadline)
{
    static const uint64_t longest = 500 * UINT64_C(1000000);
    const struct timespec span = span_until(deadline, longest);
    if (syscall(SYS_futex, word, FUTEX_WAIT, halves[0], &span, NULL, 0) == 0)
        return PLATFORM_SLEEP_WOKEN;
    return errno == EAGAIN   ? PLATFORM_SLEEP_CHANGED
           : errno == EFAULT ? PLATFORM_SLEEP_REFUSED
                             : PLATFORM_SLEEP_OVER;
}

platform_sleep_t emi_platform_word_sleep(const void *word, int64_t expected, const platform_sleeper_t *self,
                                         const uint32_t seen[2], uint64_t deadline)
{
    enum { KICK, FIRST_HALF, SECOND_HALF, GUARD, WORDS };
    enum { OWN = SLEEP_32_BITS | FUTEX_PRIVATE_FLAG };
    uint32_t halves[2];
    memcpy(halves, &expected, sizeof halves);
    if (atomic_load_explicit(&lacks_waitv, memory_order_relaxed))
        return sleep_on_half(word, halves, deadline);
    /* The kernel enters the thread into the queues in this order, and compares each word as it does. If the
     * comparison of the second half misses a store, that store comes after the thread is in the first half's
     * queue, and so does its notify. */
    const struct sleep_on words[WORDS] = {[KICK] = {seen[0], (uintptr_t)&self->kick, OWN, 0},
                                          [FIRST_HALF] = {halves[0], (uintptr_t)word, SLEEP_32_BITS, 0},
                                          [SECOND_HALF] = {halves[1], (uintptr_t)word + 4, SLEEP_32_BITS, 0},
                                          [GUARD] = {seen[1], (uintptr_t)&self->guard, OWN, 0}};
    const struct sleep_until until = {(int64_t)(deadline / 1000000000), (int64_t)(deadline % 1000000000)};
    /* The result is the last one in this order that was woken. So a kick does not hide a notify; the guard is
     * never woken. */
    const long woken =
        syscall(SYS_futex_waitv, words, WORDS, 0, deadline == UINT64_MAX ? NULL : &until, CLOCK_MONOTONIC);
    if (woken >= 0)
        return woken == KICK ? PLATFORM_SLEEP_OVER : PLATFORM_SLEEP_WOKEN;
    switch (errno) {
    case EAGAIN:
        return PLATFORM_SLEEP_CHANGED;
    case EFAULT:
        return PLATFORM_SLEEP_REFUSED;
    case ENOSYS:
    case EPERM:
        atomic_store_explicit(&lacks_waitv, true, memory_order_relaxed);
        return PLATFORM_SLEEP_OVER;
    default:
        return PLATFORM_SLEEP_OVER;
    }
}

platform_sleeps_t emi_platform_word_sleeps(platform_sleeper_t *self)
{
    if (atomic_load_explicit(&lacks_waitv, memory_order_relaxed))
        return PLATFORM_ASLEEP_OR_NOT;
    /* Sequentially consistent: the kernel compares it under the lock of the queue that the next call takes. */
    atomic_fetch_add(&self->guard, 1);
    /* Moves one thread from the guard's queue to the same queue, and returns how many there were. */
    const long moved = syscall(SYS_futex, &self->guard, FUTEX_REQUEUE_PRIVATE, 0, (long)1, &self->guard, 0);
    return moved < 0 ? PLATFORM_ASLEEP_OR_NOT : moved > 0 ? PLATFORM_ASLEEP : PLATFORM_AWAKE;
}

uint64_t emi_platform_word_wake(const void *word, int count, bool own)
{
    const long woken = syscall(SYS_futex, word, own ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE, count, NULL, NULL, 0);
    return woken > 0 ? (uint64_t)woken : 0;
}

bool emi_platform_word_rest(const void *word, uint32_t seen, uint64_t deadline)
{
    const struct timespec span = span_until(deadline, UINT64_MAX);
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &span, NULL, 0) == 0 || errno != ETIMEDOUT;
}

bool emi_platform_barrier_register(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void emi_platform_barrier(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

bool emi_platform_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t nanoseconds)
{
    /* Not FUTEX_PRIVATE_FLAG: the waker may be another process, with the page at another address. */
    const struct timespec limit = {.tv_sec = (time_t)(nanoseconds / 1000000000),
                                   .tv_nsec = (long)(nanoseconds % 1000000000)};
    if (syscall(SYS_futex, word, FUTEX_WAIT, expected, &limit, NULL, 0) == 0)
        return true;
    if (errno == ETIMEDOUT)
        return false;
    if (errno == EAGAIN || errno == EINTR)
        return true;
    /* A sandbox forbids such futexes. Returning at once would mean to wait without sleeping. */
    const struct timespec pause = {.tv_nsec = nanoseconds < 1000000 ? (long)nanoseconds : 1000000};
    nanosleep(&pause, NULL);
    return false;
}

void emi_platform_futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

const char *emi_platform_program(void)
{
    return program_invocation_short_name;
}

/* The file has a UUID: 32 hexadecimal digits and hyphens. */
void emi_platform_boot(uint8_t name[16])
{
    char text[40] = "";
    memset(name, 0, 16);
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    const ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    unsigned digits = 0;
    for (ssize_t i = 0; i < length && digits < 32; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit >= 0) {
            name[digits / 2] = (uint8_t)(name[digits / 2] << 4 | digit);
            digits++;
        }
    }
}

int emi_platform_random(void *bytes, size_t length)
{
    return syscall(SYS_getrandom, bytes, length, GRND_NONBLOCK) == (long)length ? 0 : -1;
}

#else
/* ISO C wants a declaration in every file. */
typedef int platform_linux_is_not_used;
#endif
