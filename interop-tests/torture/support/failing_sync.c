/*
 * A library to preload, which plays a failing disk. While the file that EMMAP_FAILING_SYNC names contains the words
 * `FUNCTION ERRNO`, this function returns the error. FUNCTION is msync, fsync, fdatasync, sync_file_range, or
 * fsync_directory for an fsync of a directory. Each failure appends a byte to the file with ".hits" behind its name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static bool fails(const char *function)
{
    const char *const path = getenv("EMMAP_FAILING_SYNC");
    FILE *const orders = path ? fopen(path, "re") : NULL;
    char name[32] = "";
    int error = 0;
    const bool ordered =
        orders && fscanf(orders, "%31s %d", name, &error) == 2 && strcmp(name, function) == 0;
    if (orders)
        fclose(orders);
    if (!ordered)
        return false;
    char hits[4096];
    snprintf(hits, sizeof hits, "%s.hits", path);
    const int fd = open(hits, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1)
        abort();
    close(fd);
    errno = error;
    return true;
}

/* ISO C knows no way from an object's address to a function's. */
#define NEXT(name, type) (*(type)(void *)&(void *){dlsym(RTLD_NEXT, name)})

typedef int (*syncing)(int);

int msync(void *address, size_t length, int flags)
{
    return fails("msync") ? -1 : NEXT("msync", int (**)(void *, size_t, int))(address, length, flags);
}

int fsync(int fd)
{
    struct stat about;
    const bool directory = fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    return fails(directory ? "fsync_directory" : "fsync") ? -1 : NEXT("fsync", syncing *)(fd);
}

int fdatasync(int fd)
{
    return fails("fdatasync") ? -1 : NEXT("fdatasync", syncing *)(fd);
}

int sync_file_range(int fd, off64_t from, off64_t length, unsigned int flags)
{
    return fails("sync_file_range") ? -1
                                    : NEXT("sync_file_range", int (**)(int, off64_t, off64_t, unsigned int))(
                                          fd, from, length, flags);
}
