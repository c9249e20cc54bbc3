#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "pin.h"
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

/* ---- How long to wait ---- */

static _Thread_local bool may_not_wait PIN_TLS;
static atomic_uint_least64_t limit = EMMAP_NO_LIMIT;

void emmap_may_wait(bool yes)
{
    may_not_wait = !yes;
}

void emmap_lock_limit(uint64_t milliseconds)
{
    atomic_store_explicit(&limit, milliseconds, memory_order_relaxed);
}

bool patience_for_work(void)
{
    return !may_not_wait;
}

patience patience_of(const emmap_options *options)
{
    const uint64_t most = may_not_wait ? 0 : atomic_load_explicit(&limit, memory_order_relaxed);
    return (patience){.limit = options->lock_timeout < most ? options->lock_timeout : most};
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A kernel's lock can't be waited for with a limit but by signals, which are the host's. So it is asked again and
 * again: often at first, since a lock is mostly had for microseconds. */
enum { FIRST_PAUSE = 10 * 1000, LONGEST_PAUSE = 1000 * 1000 };

emmap_error patience_rest(patience *self)
{
    static const char over[] = "another handle or process has had the lock all the time";
    if (self->limit == 0)
        return error_set(ETIMEDOUT, over);
    const uint64_t now = nanoseconds();
    if (self->end == 0) {
        self->end = self->limit > (UINT64_MAX - now) / 1000000 ? UINT64_MAX : now + self->limit * 1000000;
        self->pause = FIRST_PAUSE;
    }
    if (now >= self->end)
        return error_set(ETIMEDOUT, over);
    const uint64_t left = self->end - now;
    nanosleep(&(struct timespec){.tv_nsec = left < (uint64_t)self->pause ? (long)left : self->pause}, NULL);
    self->pause = self->pause < LONGEST_PAUSE / 2 ? 2 * self->pause : LONGEST_PAUSE;
    return EMMAP_OK;
}

/* ---- Locks ---- */

static emmap_error failed(int fd)
{
    const int reason = errno;
    const bool none = reason == ENOLCK || reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP;
    error_from_syscall((emmap_error)reason, "fcntl", none ? platform_file_system_of(fd)->no_locks : NULL);
    return error_about(none ? EMMAP_ABOUT_FILE_SYSTEM : EMMAP_ABOUT_FILE);
}

emmap_error lock_try_often(int fd, lock_subject subject, lock_mode mode)
{
    emmap_error error = EBUSY;
    for (int i = 0; error == EBUSY && i < LOCK_TRIES; i++)
        error = lock_try(fd, subject, mode);
    return error;
}

emmap_error lock_acquire(int fd, lock_subject subject, lock_mode mode, patience *patience)
{
    emmap_error error = lock_try_often(fd, subject, mode);
    if (error == EBUSY && (patience == NULL || patience->limit == EMMAP_NO_LIMIT))
        return apply(fd, platform_lock_wait, subject, type_of(mode)) == 0 ? EMMAP_OK : failed(fd);
    while (error == EBUSY) {
        error = patience_rest(patience);
        if (!error)
            error = lock_try_often(fd, subject, mode);
    }
    return error;
}

emmap_error lock_try(int fd, lock_subject subject, lock_mode mode)
{
    if (apply(fd, platform_lock_try, subject, type_of(mode)) == 0)
        return EMMAP_OK;
    if (errno == EAGAIN || errno == EACCES)
        return error_from_syscall(EBUSY, "fcntl", "another handle has the file open");
    return failed(fd);
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
