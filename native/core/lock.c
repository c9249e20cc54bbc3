#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "error.h"
#include "platform.h"

/* Past everything that a file can hold, and within off_t. */
#define LOCK_BASE ((off_t)1 << 62)

static int apply_to(int fd, int command, struct flock *lock)
{
    int result;
    do
        result = fcntl(fd, command, lock);
    while (result != 0 && errno == EINTR);
    return result;
}

static struct flock range_of(lock_subject_t subject, short type)
{
    const bool both = subject == LOCK_CONTAINER_AND_POP;
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = LOCK_BASE + (both ? LOCK_CONTAINER : subject),
                          .l_len = both ? 2 : 1};
}

static int apply(int fd, int command, lock_subject_t subject, short type)
{
    struct flock lock = range_of(subject, type);
    return apply_to(fd, command, &lock);
}

static short type_of(lock_mode_t mode)
{
    return mode == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
}

/* ---- Locks ---- */

static emmap_error failed(int fd)
{
    const int reason = errno;
    const bool none = reason == ENOLCK || reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP;
    emi_error_from_syscall((emmap_error)reason, "fcntl",
                           none ? emi_platform_file_system_of(fd)->no_locks : NULL);
    return emi_error_about(none ? EMMAP_ABOUT_FILE_SYSTEM : EMMAP_ABOUT_FILE);
}

emmap_error emi_lock_try_often(int fd, lock_subject_t subject, lock_mode_t mode)
{
    emmap_error error = EBUSY;
    for (int i = 0; error == EBUSY && i < LOCK_TRIES; i++)
        error = emi_lock_try(fd, subject, mode);
    return error;
}

emmap_error emi_lock_acquire(int fd, lock_subject_t subject, lock_mode_t mode, patience_t *patience)
{
    emmap_error error = emi_lock_try_often(fd, subject, mode);
    if (error == EBUSY && (patience == NULL || patience->limit == EMMAP_NO_LIMIT))
        return apply(fd, emi_platform_lock_wait, subject, type_of(mode)) == 0 ? EMMAP_OK : failed(fd);
    while (error == EBUSY) {
        error = emi_patience_rest(patience);
        if (!error)
            error = emi_lock_try_often(fd, subject, mode);
    }
    return error;
}

static emmap_error try(int fd, struct flock lock)
{
    if (apply_to(fd, emi_platform_lock_try, &lock) == 0)
        return EMMAP_OK;
    if (errno == EAGAIN || errno == EACCES)
        return emi_error_from_syscall(EBUSY, "fcntl", "another handle has the file open");
    return failed(fd);
}

emmap_error emi_lock_try(int fd, lock_subject_t subject, lock_mode_t mode)
{
    return try(fd, range_of(subject, type_of(mode)));
}

void emi_lock_release(int fd, lock_subject_t subject)
{
    apply(fd, emi_platform_lock_try, subject, F_UNLCK);
}

void emi_lock_release_all(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_BASE};
    fcntl(fd, emi_platform_lock_try, &lock);
}

/* ---- Single bytes ---- */

static struct flock bytes_from(off_t offset, off_t length, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
}

emmap_error emi_lock_byte_try(int fd, off_t offset, lock_mode_t mode)
{
    return try(fd, bytes_from(offset, 1, type_of(mode)));
}

void emi_lock_byte_release(int fd, off_t offset)
{
    struct flock lock = bytes_from(offset, 1, F_UNLCK);
    apply_to(fd, emi_platform_lock_try, &lock);
}

bool emi_lock_byte_is_held(int fd, off_t offset)
{
    /* A shared lock only meets exclusive ones. So processes that may only read, which can hold shared locks,
     * can't pretend to live. */
    struct flock lock = bytes_from(offset, 1, F_RDLCK);
    return apply_to(fd, emi_platform_lock_query, &lock) != 0 || lock.l_type != F_UNLCK;
}

static emmap_error query(int fd, struct flock lock, bool *held, off_t *from, off_t *to)
{
    *held = false;
    if (apply_to(fd, emi_platform_lock_query, &lock) != 0)
        return failed(fd);
    *held = lock.l_type != F_UNLCK;
    *from = lock.l_start;
    *to = lock.l_len == 0 ? (off_t)INT64_MAX : lock.l_start + lock.l_len - 1;
    return EMMAP_OK;
}

emmap_error emi_lock_range_is_held(int fd, off_t from, off_t length, bool *held, off_t *at)
{
    off_t to;
    return query(fd, bytes_from(from, length, F_WRLCK), held, at, &to);
}

emmap_error emi_lock_is_held(int fd, lock_subject_t subject, bool *held)
{
    off_t from, to;
    return query(fd, range_of(subject, F_WRLCK), held, &from, &to);
}

emmap_error emi_lock_range_is_owned(int fd, off_t first, off_t length, bool *held, off_t *from, off_t *to)
{
    return query(fd, bytes_from(first, length, F_RDLCK), held, from, to);
}

emmap_error emi_lock_is_owned(int fd, lock_subject_t subject, bool *held)
{
    off_t from, to;
    return query(fd, range_of(subject, F_RDLCK), held, &from, &to);
}
