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

emmap_error emi_file_refs_take(emmap_file *file, file_refs_t *self)
{
    emmap_error error = emi_file_descriptor(file, &self->descriptor);
    if (error)
        return error;
    error = emi_mapping_of(file, &self->mapping);
    if (error)
        emi_descriptor_release(self->descriptor);
    return error;
}

void emi_file_refs_release(file_refs_t *self)
{
    emi_mapping_release(self->mapping);
    emi_descriptor_release(self->descriptor);
}

/* The kernel reports once that it could not write a page, and then takes the page for written (fsync(2),
 * Notes): the next fsync succeeds, and the bytes are lost. So the file remembers the error and returns it
 * until it is opened again. */
static emmap_error failed(emmap_file *file, const char *syscall)
{
    const emmap_error error = emi_error_from_errno(syscall);
    if (error != EINTR)
        atomic_store(&file->sync_failed, (int)error);
    return error;
}

static emmap_error failed_before(emmap_file *file)
{
    const emmap_error error = (emmap_error)atomic_load(&file->sync_failed);
    return error ? emi_error_from_syscall(error, "fsync",
                                          "an earlier sync of the file failed, and writes may be lost")
                 : EMMAP_OK;
}

/* A new name is on the disk when its directory is (fsync(2), Notes). */
emmap_error emi_durability_sync_entry(emmap_file *file)
{
    if (!file->absolute || !atomic_load(&file->entry_unsynced))
        return EMMAP_OK;
    emmap_error error = EMMAP_OK;
    char *const copy = strdup(file->absolute);
    const int directory = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    /* If somebody moved or removed the directory, the name is no longer ours to sync. */
    const bool moved = directory < 0 && copy && (errno == ENOENT || errno == ENOTDIR);
    if (directory < 0 && !moved)
        error = copy ? emi_error_from_errno("open") : emi_error_set(ENOMEM, NULL);
    else if (directory >= 0 && emi_platform_sync(directory) != 0)
        error = failed(file, "fsync");
    if (directory >= 0)
        close(directory);
    free(copy);
    /* Not earlier: the sync of another thread must not return before the entry is on the disk. */
    if (!error)
        atomic_store(&file->entry_unsynced, false);
    return error;
}

emmap_error emi_durability_write_out(emmap_file *file, const file_refs_t *refs, int (*sync_descriptor)(int),
                                     const char *syscall)
{
    const emmap_error error = failed_before(file);
    if (error)
        return error;
    /* By POSIX only msync writes a mapping out. The size and the rest of the inode need fsync. */
    if (msync(refs->mapping->base, refs->mapping->length, MS_SYNC) != 0)
        return failed(file, "msync");
    return sync_descriptor(refs->descriptor->fd) == 0 ? EMMAP_OK : failed(file, syscall);
}

emmap_error emi_durability_sync(emmap_file *file, descriptor_t *descriptor, emmap_mapping *mapping)
{
    const file_refs_t refs = {.descriptor = descriptor, .mapping = mapping};
    return emi_durability_write_out(file, &refs, emi_platform_datasync, "fdatasync");
}
