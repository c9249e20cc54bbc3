/* A queue that is made now has no messages in hand. A file of them that lies beside it is that of a queue of the same name which was
 * removed. It gets another name, or consumers would take its messages for those of the new queue. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "error.h"
#include "lock.h"
#include "taken.h"

#define FORMER_SUFFIX ".former"
#define FORMER_MOST 10000u

/* Whether the file has messages, and no handle uses it. */
static bool has_messages(int fd)
{
    struct stat about;
    taken_file_t *const bytes = malloc(sizeof *bytes);
    bool used = true;
    const bool result = bytes && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
                        pread(fd, bytes, sizeof *bytes, 0) == (ssize_t)sizeof *bytes &&
                        bytes->magic == TAKEN_MAGIC &&
                        (bytes->changing || bytes->released || bytes->in_hand) &&
                        emi_lock_is_held(fd, LOCK_PRESENCE, &used) == EMMAP_OK && !used;
    free(bytes);
    return result;
}

/* The caller holds the lock of the queue that it makes, so no other handle of emmap chooses a name. */
static emmap_error rename_it(const char *path)
{
    char suffix[32] = FORMER_SUFFIX;
    const size_t size = strlen(path) + sizeof suffix;
    char *const name = malloc(size);
    if (!name)
        return emi_error_set(ENOMEM, NULL);
    bool is_free = false;
    for (unsigned i = 2; !is_free && i < FORMER_MOST; i++) {
        snprintf(name, size, "%s%s", path, suffix);
        is_free = access(name, F_OK) != 0;
        snprintf(suffix, sizeof suffix, FORMER_SUFFIX "-%u", i);
    }
    if (!is_free)
        errno = EEXIST;
    const bool renamed = is_free && rename(path, name) == 0;
    const int code = errno;
    free(name);
    return renamed ? EMMAP_OK
                   : emi_error_from_syscall(
                         code, "rename",
                         "PATH-taken has the messages in hand of a queue of this name that was "
                         "removed, and can't be renamed");
}

emmap_error emi_taken_set_aside(const operation_t *operation)
{
    struct stat data;
    char *const path = emi_beside_path(operation->file, operation->descriptor->fd, TAKEN_SUFFIX, &data);
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY) : -1;
    const emmap_error error = fd >= 0 && has_messages(fd) ? rename_it(path) : EMMAP_OK;
    if (fd >= 0)
        close(fd);
    free(path);
    return error;
}
