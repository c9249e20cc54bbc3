// Functions that headers use and old releases of glibc lack. See glibc.h.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Since 2.32. libstdc++ uses atomic instructions while it is 0, as it must: Node has threads.
char __libc_single_threaded = 0;

// Since 2.33; inline functions before. On these architectures the struct stat of the kernel is that of the libc.
int stat64(const char *restrict path, struct stat64 *restrict about)
{
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, about, 0);
}

int lstat64(const char *restrict path, struct stat64 *restrict about)
{
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, about, AT_SYMLINK_NOFOLLOW);
}

int fstat64(int fd, struct stat64 *about)
{
    return (int)syscall(SYS_newfstatat, fd, "", about, AT_EMPTY_PATH);
}

int fstatat64(int fd, const char *restrict path, struct stat64 *restrict about, int flags)
{
    return (int)syscall(SYS_newfstatat, fd, path, about, flags);
}
