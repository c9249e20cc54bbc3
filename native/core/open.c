#define _GNU_SOURCE
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fault.h"
#include "lock.h"
#include "options.h"
#include "pause.h"
#include "platform.h"

/* On an overlay's lower layer a reader's mapping shows the old bytes for ever, since the first writer makes a
 * copy on the upper layer. Opening the file for writing makes this copy now. A reader that may not write
 * keeps the lower file. */
static int settle_layer(const char *path, int fd, int flags)
{
    if (fd < 0 || !emi_platform_file_system_of(fd)->layered)
        return fd;
    const int writing = open(path, (flags & ~O_ACCMODE) | O_WRONLY);
    if (writing < 0)
        return fd;
    const int again = open(path, flags);
    close(writing);
    if (again < 0)
        return fd;
    close(fd);
    return again;
}

/* The descriptor of an existing or a created file. O_NONBLOCK keeps a FIFO from blocking; it has no effect on
 * a regular file. */
static int open_or_create(const char *path, const emmap_options *options, bool *created)
{
    const int access_mode = options->flags & EMMAP_OPEN_WRITE ? O_RDWR : O_RDONLY;
    /* Less the umask. identify() adds the missing bits of an exact mode, so the file never has more rights
     * than it should. */
    const mode_t mode = options->has_mode ? options->mode : EMMAP_MODE;
    const int flags = access_mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    for (int attempt = 0;; attempt++) {
        *created = false;
        int fd = open(path, flags);
        if (access_mode == O_RDONLY && (options->flags & EMMAP_OPEN_SHARED))
            fd = settle_layer(path, fd, flags);
        if (fd >= 0 || errno != ENOENT || !(options->flags & EMMAP_OPEN_CREATE))
            return fd;
        *created = true;
        fd = open(path, flags | O_CREAT | O_EXCL, mode);
        if (fd >= 0 || errno != EEXIST || attempt == OPEN_ATTEMPTS)
            return fd;
    }
}

static emmap_error not_regular(void)
{
    return emi_error_from_syscall(ENODEV, "open", "only a regular file can be mapped");
}

/* Opens `path` into file->descriptor. */
static emmap_error open_descriptor(emmap_file *file, bool *created)
{
    const emmap_options *const options = &file->options;
    *created = false;
    const bool anonymous = options->flags & EMMAP_OPEN_ANON;
    emi_descriptor_forbid_fork();
    const int fd = anonymous ? emi_platform_anonymous_file(options->flags)
                             : open_or_create(file->path, options, created);
    const int reason = errno;
    file->descriptor = fd < 0 ? NULL : emi_descriptor_create(fd);
    emi_descriptor_allow_fork();
    errno = reason;
    if (fd < 0 && errno == ENXIO)
        return not_regular();
    if (fd < 0)
        return emi_error_from_errno(anonymous ? "memfd_create" : "open");
    if (!file->descriptor) {
        close(fd);
        return emi_error_set(ENOMEM, NULL);
    }
    file->existed = !*created && !anonymous;
    return EMMAP_OK;
}

static emmap_error identify(emmap_file *file, bool created)
{
    struct stat about;
    if (fstat(file->descriptor->fd, &about) != 0)
        return emi_error_from_errno("fstat");
    if (S_ISDIR(about.st_mode))
        return emi_error_from_syscall(EISDIR, "open", NULL);
    if (!S_ISREG(about.st_mode))
        return not_regular();
    file->device = about.st_dev;
    file->inode = about.st_ino;
    if (created || (file->options.flags & EMMAP_OPEN_AUTO_UNLINK)) {
        file->absolute = realpath(file->path, NULL);
        if (!file->absolute && errno == ENOMEM)
            return emi_error_set(ENOMEM, NULL);
    }
    atomic_init(&file->entry_unsynced, created);
    if (created)
        PAUSE("open_created");
    if (created && file->options.mode_exact && fchmod(file->descriptor->fd, file->options.mode) != 0)
        return emi_error_from_errno("fchmod");
    return EMMAP_OK;
}

/* A shared mapping must show what all others see. Errors: ENOTSUP. */
static emmap_error may_share(const emmap_file *file)
{
    const uint32_t flags = file->options.flags;
    if (!(flags & EMMAP_OPEN_SHARED) || (flags & (EMMAP_OPEN_ANON | EMMAP_OPEN_SHARED_UNSAFE)))
        return EMMAP_OK;
    const char *const no_sharing = emi_platform_file_system_of(file->descriptor->fd)->no_sharing;
    if (!no_sharing)
        return EMMAP_OK;
    emi_error_from_syscall(ENOTSUP, "statfs", no_sharing);
    return emi_error_about(EMMAP_ABOUT_FILE_SYSTEM);
}

/* Tells other openers that this handle may write, or that it is exclusive. */
static emmap_error announce(const emmap_file *file)
{
    const uint32_t flags = file->options.flags;
    if (!(flags & EMMAP_OPEN_WRITE) || (flags & EMMAP_OPEN_ANON))
        return EMMAP_OK;
    if (flags & EMMAP_OPEN_EXCLUSIVE)
        return emi_lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_EXCLUSIVE);
    const emmap_error error = emi_lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_SHARED);
    /* Without locks nobody can be exclusive. */
    return error == EBUSY ? error : EMMAP_OK;
}

bool emi_file_is_blank(int fd, off_t from)
{
    uint8_t piece[4096];
    for (off_t at = from;;) {
        const ssize_t got = pread(fd, piece, sizeof piece, at);
        if (got <= 0)
            return got == 0;
        if (piece[0] != 0 || memcmp(piece, piece + 1, (size_t)got - 1) != 0)
            return false;
        at += got;
    }
}

/* After a failed open: removes the file that it created, unless others use it. */
static void undo_create(const emmap_file *file)
{
    if (!file->absolute)
        return;
    const emmap_error busy = emi_lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_EXCLUSIVE);
    /* Without locks nobody can tell that it uses the file. But nobody has written to it. */
    if ((busy == EMMAP_OK || (busy != EBUSY && emi_file_is_blank(file->descriptor->fd, 0))) &&
        emi_file_has_its_name(file))
        unlink(file->absolute);
}

/* Undoes `enter`. Without `absolute`, nothing unlinks the file later. */
static void leave(emmap_file *file, bool created)
{
    const emmap_failure failure = *emmap_last_failure();
    if (created)
        undo_create(file);
    emi_descriptor_release(file->descriptor);
    file->descriptor = NULL;
    free(file->absolute);
    file->absolute = NULL;
    emi_error_restore(&failure);
}

/* Whether the file has no name any more and the path names another file, or none: then nobody will find this
 * one. */
static bool orphaned(const emmap_file *file)
{
    struct stat ours, about;
    if ((file->options.flags & EMMAP_OPEN_ANON) || fstat(file->descriptor->fd, &ours) != 0 ||
        ours.st_nlink > 0)
        return false;
    return stat(file->path, &about) != 0 || about.st_dev != ours.st_dev || about.st_ino != ours.st_ino;
}

/* Opens the file and announces it. A process that failed to create the file may have removed it in between.
 * Then nobody else can find the opened file, and the path is tried again. */
static emmap_error enter(emmap_file *file, bool *created)
{
    for (int attempt = 0;; attempt++) {
        emmap_error error = open_descriptor(file, created);
        if (error)
            return error;
        error = identify(file, *created);
        if (!error)
            error = may_share(file);
        PAUSE("open_announce");
        if (!error)
            error = announce(file);
        const bool again = (!error || error == EBUSY) && attempt < OPEN_ATTEMPTS && orphaned(file);
        if (!error && !again)
            return EMMAP_OK;
        leave(file, *created);
        if (!again)
            return error;
    }
}

emmap_error emi_file_open(const char *path, const emmap_options *options, const file_preparer_t *preparer,
                          emmap_file **result)
{
    *result = NULL;
    emmap_options settled = *options;
    emmap_error error = emi_options_settle(&settled);
    if (!error)
        error = emi_fault_install();
    emmap_file *file = NULL;
    if (!error) {
        emi_pin_install();
        /* After emi_fault_install: a fork takes the locks in the opposite order. */
        emi_descriptor_install();
        error = emi_file_create(path, &settled, &file);
    }
    if (error)
        return error;
    bool created;
    error = enter(file, &created);
    if (!error) {
        error = emi_open_fill(file, preparer);
        if (error)
            leave(file, created);
    }
    if (error) {
        emi_file_release(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}

emmap_error emmap_open(const char *path, const emmap_options *options, emmap_file **result)
{
    if (options->flags & (EMMAP_OPEN_FOLLOW | EMMAP_OPEN_GROW)) {
        *result = NULL;
        return emi_error_set(EINVAL, "follow is for queues and block storages, grow for counters");
    }
    return emi_file_open(path, options, &(const file_preparer_t){emi_open_grow_to_fit}, result);
}

void emi_file_abandon(emmap_file *file)
{
    const emmap_failure failure = *emmap_last_failure();
    /* Other handles may have come and gone, and left bytes there. */
    if (!file->existed && file->descriptor && emi_file_is_blank(file->descriptor->fd, 0))
        undo_create(file);
    emmap_free(file);
    emi_error_restore(&failure);
}
