/* Getting bytes to the disk, and telling the kernel how they will be used. Each call holds references of its own
 * on descriptor and mapping, so that a close meanwhile neither waits nor pulls them away. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "durability.h"
#include "error.h"
#include "platform.h"
#include "stale.h"
#include "structure.h"

typedef struct grip {
    descriptor *descriptor;
    emmap_mapping *mapping;
} grip;

static emmap_error take(emmap_file *file, grip *self)
{
    emmap_error error = file_descriptor(file, &self->descriptor);
    if (error)
        return error;
    error = file_mapping(file, &self->mapping);
    if (error)
        descriptor_release(self->descriptor);
    return error;
}

static void let_go(grip *self)
{
    mapping_release(self->mapping);
    descriptor_release(self->descriptor);
}

emmap_error emmap_flush(emmap_file *file)
{
    grip grip;
    emmap_error error = take(file, &grip);
    if (error)
        return error;
    const uint64_t from = file->options.offset - file->options.offset % platform_page_size();
    const uint64_t lead = file->options.offset - from;
    /* Nothing that was written to a private mapping is the file's. */
    if ((file->options.flags & (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE)) ==
            (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE) &&
        platform_start_writeback(grip.descriptor->fd, from, grip.mapping->size + lead, grip.mapping->base) !=
            0)
        error = error_from_errno("sync_file_range");
    let_go(&grip);
    return error ? error : file_check(file);
}

/*
 * The kernel says once that it could not write a page, and takes the page for written from then on (fsync(2), Notes):
 * the next fsync succeeds, and what was lost stays lost. So a file remembers, and answers the same until it is opened
 * anew.
 */
static emmap_error failed(emmap_file *file, const char *syscall)
{
    const emmap_error error = error_from_errno(syscall);
    if (error != EINTR)
        atomic_store(&file->sync_failed, (int)error);
    return error;
}

static emmap_error failed_before(emmap_file *file)
{
    const emmap_error error = (emmap_error)atomic_load(&file->sync_failed);
    return error ? error_from_syscall(error, "fsync",
                                      "an earlier sync of the file failed, and what was written may be lost")
                 : EMMAP_OK;
}

/* A new name in a directory is on disk when the directory is (fsync(2), Notes). */
static emmap_error sync_entry(emmap_file *file)
{
    if (!file->absolute || !atomic_load(&file->entry_unsynced))
        return EMMAP_OK;
    emmap_error error = EMMAP_OK;
    char *const copy = strdup(file->absolute);
    const int directory = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    /* Whoever moved or removed the directory has made our name a matter of theirs. */
    const bool moved = directory < 0 && copy && (errno == ENOENT || errno == ENOTDIR);
    if (directory < 0 && !moved)
        error = copy ? error_from_errno("open") : error_set(ENOMEM, NULL);
    else if (directory >= 0 && platform_sync(directory) != 0)
        error = failed(file, "fsync");
    if (directory >= 0)
        close(directory);
    free(copy);
    /* Only now: another thread's sync must not return before the entry is there. */
    if (!error)
        atomic_store(&file->entry_unsynced, false);
    return error;
}

static emmap_error write_out(emmap_file *file, const grip *grip, int (*sync_descriptor)(int),
                             const char *syscall)
{
    const emmap_error error = failed_before(file);
    if (error)
        return error;
    /* POSIX has only msync write a mapping out; the size and the rest of the inode are fsync's. */
    if (msync(grip->mapping->base, grip->mapping->length, MS_SYNC) != 0)
        return failed(file, "msync");
    return sync_descriptor(grip->descriptor->fd) == 0 ? EMMAP_OK : failed(file, syscall);
}

emmap_error durability_sync(emmap_file *file, descriptor *descriptor, emmap_mapping *mapping)
{
    const grip grip = {.descriptor = descriptor, .mapping = mapping};
    return write_out(file, &grip, platform_datasync, "fdatasync");
}

static emmap_error sync_with(emmap_file *file, int (*sync_descriptor)(int), const char *syscall)
{
    emmap_error error = structure_synced(file);
    if (error)
        return error;
    grip grip;
    error = take(file, &grip);
    if (error)
        return error;
    error = write_out(file, &grip, sync_descriptor, syscall);
    if (!error)
        error = sync_entry(file);
    if (!error)
        error = stale_check(file);
    let_go(&grip);
    return error ? error : file_check(file);
}

emmap_error emmap_sync(emmap_file *file)
{
    return sync_with(file, platform_sync, "fsync");
}

emmap_error emmap_datasync(emmap_file *file)
{
    return sync_with(file, platform_datasync, "fdatasync");
}

static bool kernel_advice(emmap_advice advice, int *result)
{
    switch (advice) {
    case EMMAP_ADVICE_NORMAL:
    case EMMAP_ADVICE_NO_REUSE:
        *result = MADV_NORMAL;
        return true;
    case EMMAP_ADVICE_SEQUENTIAL:
        *result = MADV_SEQUENTIAL;
        return true;
    case EMMAP_ADVICE_RANDOM:
        *result = MADV_RANDOM;
        return true;
    case EMMAP_ADVICE_WILL_NEED:
        *result = MADV_WILLNEED;
        return true;
    case EMMAP_ADVICE_DONT_NEED:
        *result = MADV_DONTNEED;
        return true;
    }
    return false;
}

static emmap_error advise(const emmap_mapping *mapping, uint64_t position, uint64_t length, int advice)
{
    if (position >= mapping->size)
        return EMMAP_OK;
    const uint64_t left = mapping->size - position;
    const uint64_t run = length == 0 || length > left ? left : length;
    const uint64_t begin = (uint64_t)(mapping->data - (uint8_t *)mapping->base) + position;
    const uint64_t page_begin = begin - begin % platform_page_size();
    if (madvise((uint8_t *)mapping->base + page_begin, (size_t)(begin - page_begin + run), advice) != 0)
        return error_from_errno("madvise");
    return EMMAP_OK;
}

emmap_error emmap_advise(emmap_file *file, uint64_t position, uint64_t length, emmap_advice advice)
{
    int kernel;
    emmap_mapping *mapping;
    emmap_error error = file_mapping(file, &mapping);
    if (error)
        return error;
    if (position > INT64_MAX || length > INT64_MAX || !kernel_advice(advice, &kernel))
        error =
            error_set(EINVAL, "position and length are from 0 to 2^63 - 1, the advice one of emmap_advice");
    /* The kernel would throw private pages away, and what was written to them. */
    else if (advice != EMMAP_ADVICE_DONT_NEED || (file->options.flags & EMMAP_OPEN_SHARED))
        error = advise(mapping, position, length, kernel);
    mapping_release(mapping);
    return error;
}
