#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "error.h"
#include "platform.h"

/* Behind anything that a file can hold, and short of what off_t can. */
#define LOCK_BASE ((off_t)1 << 62)

static int apply(int fd, int command, lock_subject subject, short type)
{
    const bool both = subject == LOCK_STRUCTURE_AND_TAKING;
    struct flock lock = {.l_type = type,
                         .l_whence = SEEK_SET,
                         .l_start = LOCK_BASE + (both ? LOCK_STRUCTURE : subject),
                         .l_len = both ? 2 : 1};
    int result;
    do
        result = fcntl(fd, command, &lock);
    while (result != 0 && errno == EINTR);
    return result;
}

static short type_of(lock_mode mode)
{
    return mode == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
}

emmap_error lock_acquire(int fd, lock_subject subject, lock_mode mode)
{
    return apply(fd, platform_lock_wait, subject, type_of(mode)) == 0 ? EMMAP_OK : error_from_errno("fcntl");
}

emmap_error lock_try(int fd, lock_subject subject, lock_mode mode)
{
    if (apply(fd, platform_lock_try, subject, type_of(mode)) == 0)
        return EMMAP_OK;
    if (errno == EAGAIN || errno == EACCES)
        return error_from_syscall(EBUSY, "fcntl", "another handle has the file open");
    return error_from_errno("fcntl");
}

void lock_release(int fd, lock_subject subject)
{
    apply(fd, platform_lock_try, subject, F_UNLCK);
}

void lock_release_all(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_BASE};
    fcntl(fd, platform_lock_try, &lock);
}
