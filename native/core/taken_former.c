/* A queue that is made now has no messages in hand. A file of them that lies beside it is that of a queue of the same name which was
 * removed. It gets another name, or consumers would take its messages for those of the new queue. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "beside.h"
#include "lock.h"
#include "taken.h"

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

emmap_error emi_taken_set_aside(const operation_t *operation)
{
    struct stat data;
    char *const path = emi_beside_path(operation->file, operation->descriptor->fd, TAKEN_SUFFIX, &data);
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY) : -1;
    const emmap_error error =
        fd >= 0 && has_messages(fd)
            ? emi_beside_set_aside(path,
                                   "PATH-taken has the messages in hand of a queue of this name that was "
                                   "removed, and can't be renamed")
            : EMMAP_OK;
    if (fd >= 0)
        close(fd);
    free(path);
    return error;
}
