#include "size.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "lock.h"
#include "pause.h"
#include "platform.h"

emmap_error emi_size_on_disk(int fd, uint64_t *size)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return emi_error_from_errno("fstat");
    *size = (uint64_t)about.st_size;
    return EMMAP_OK;
}

/* Checked before the kernel does: it would send SIGXFSZ, which ends a process that does not expect it. */
static bool over_limit(uint64_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur;
}

static emmap_error lengthen(int fd, uint64_t size)
{
    return ftruncate(fd, (off_t)size) == 0 ? EMMAP_OK : emi_error_from_errno("ftruncate");
}

static emmap_error extend(int fd, const emmap_options *options, uint64_t from, uint64_t to)
{
    if (over_limit(to))
        return emi_error_from_syscall(EFBIG, "fallocate", "the limit on file size (RLIMIT_FSIZE) forbids it");
    /* Memory without a file needs no disk space. */
    if (options->flags & (EMMAP_OPEN_NORESERVE | EMMAP_OPEN_ANON))
        return lengthen(fd, to);
    const int reserved = emi_platform_reserve(fd, from, to - from);
    if (reserved == 0)
        return EMMAP_OK;
    if (reserved == ENOTSUP)
        return lengthen(fd, to);
    /* If the disk filled up meanwhile, part of the range may be reserved. */
    (void)!ftruncate(fd, (off_t)from);
    return emi_error_from_syscall((emmap_error)reserved, "fallocate", NULL);
}

emmap_error emi_size_lock(int fd, const emmap_options *options, bool *locked)
{
    patience_t patience = emi_patience_of(options);
    const emmap_error error = emi_lock_acquire(fd, LOCK_SIZE, LOCK_EXCLUSIVE, &patience);
    *locked = error == EMMAP_OK;
    return error == ETIMEDOUT ? error : EMMAP_OK;
}

void emi_size_unlock(int fd)
{
    emi_lock_release(fd, LOCK_SIZE);
}

emmap_error emi_size_extend(int fd, const emmap_options *options, uint64_t least, uint64_t size)
{
    uint64_t now;
    emmap_error error = emi_size_on_disk(fd, &now);
    if (error || now >= size)
        return error;
    /* A file on hugetlbfs has whole huge pages. */
    const size_t unit = emi_platform_mapping_unit(fd);
    if (unit > emi_platform_page_size() && size % unit != 0 && size < INT64_MAX - unit)
        size += unit - size % unit;
    /* Without locks only the check below is left if two processes grow the file at once. Each asks for the
     * size that it needs, and neither shrinks. */
    bool locked;
    error = emi_size_lock(fd, options, &locked);
    if (error)
        return error;
    PAUSE("size_extend_begin");
    error = emi_size_on_disk(fd, &now);
    if (!error && now < least)
        error = emi_error_set(EFAULT, "the file was truncated under its mapping");
    else if (!error && now < size)
        error = extend(fd, options, now, size);
    PAUSE("size_extend_done");
    if (locked)
        emi_size_unlock(fd);
    return error;
}

emmap_error emi_size_cut(int fd, uint64_t size)
{
    uint64_t now;
    const emmap_error error = emi_size_on_disk(fd, &now);
    if (!error && now > size && ftruncate(fd, (off_t)size) != 0)
        return emi_error_from_errno("ftruncate");
    return error;
}

emmap_error emi_size_taken(int fd, uint64_t *bytes)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return emi_error_from_errno("fstat");
    *bytes = (uint64_t)about.st_blocks * 512;
    return EMMAP_OK;
}

emmap_error emi_size_punch(int fd, uint64_t from, uint64_t to)
{
    const uint64_t page = emi_platform_page_size();
    if (from / page + (from % page != 0) >= to / page)
        return EMMAP_OK;
    const uint64_t unit = emi_platform_mapping_unit(fd);
    from += unit - 1 - (from + unit - 1) % unit;
    to -= to % unit;
    if (from >= to)
        return EMMAP_OK;
    const int punched = emi_platform_punch(fd, from, to - from);
    if (punched == 0)
        return EMMAP_OK;
    if (punched != ENOTSUP)
        return emi_error_from_syscall((emmap_error)punched, "fallocate", NULL);
    emi_error_set(ENOTSUP, "the file system cannot give back space within a file");
    return emi_error_about(EMMAP_ABOUT_FILE_SYSTEM);
}

emmap_error emi_size_reserve(int fd, uint64_t from, uint64_t length)
{
    const int reserved = emi_platform_reserve(fd, from, length);
    return reserved == 0 || reserved == ENOTSUP
               ? EMMAP_OK
               : emi_error_from_syscall((emmap_error)reserved, "fallocate", NULL);
}
