#define _GNU_SOURCE
#include "durability.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "mapping.h"
#include "platform.h"

emmap_error file_refs_take(emmap_file *file, grip *self)
{
    emmap_error error = file_descriptor(file, &self->descriptor);
    if (error)
        return error;
    error = mapping_of(file, &self->mapping);
    if (error)
        descriptor_release(self->descriptor);
    return error;
}

void file_refs_release(grip *self)
{
    mapping_release(self->mapping);
    descriptor_release(self->descriptor);
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
emmap_error durability_sync_entry(emmap_file *file)
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

emmap_error durability_write_out(emmap_file *file, const grip *grip, int (*sync_descriptor)(int),
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
    return durability_write_out(file, &grip, platform_datasync, "fdatasync");
}
