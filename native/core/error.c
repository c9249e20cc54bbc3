#include "error.h"

#include <errno.h>
#include <string.h>

typedef struct error_entry {
    int error;
    const char *name;
    const char *message;
} error_entry_t;

/* If two errno names are one value on some platform (EAGAIN, ENOTSUP), only one of them is listed. */
#define ENTRY(error, message)                                                                                \
    {                                                                                                        \
        error, #error, message                                                                               \
    }
static const error_entry_t table[] = {
    ENTRY(EMMAP_EOF, "end of file"),
    ENTRY(EMMAP_BADARG, "bad argument"),
    ENTRY(EMMAP_CLOSED, "the file is closed"),
    ENTRY(EMMAP_ALIGNMENT, "the address is not a multiple of 8"),
    ENTRY(EMMAP_FULL, "no room left, and the structure may not grow"),
    ENTRY(EMMAP_FIXED_SIZE, "the file was opened with a fixed size"),
    ENTRY(EMMAP_CORRUPT, "the file is damaged"),
    ENTRY(EPERM, "operation not permitted"),
    ENTRY(ENOENT, "no such file or directory"),
    ENTRY(EINTR, "interrupted system call"),
    ENTRY(EIO, "i/o error"),
    ENTRY(ENXIO, "no such device or address"),
    ENTRY(E2BIG, "argument list too long"),
    ENTRY(EBADF, "bad file descriptor"),
    ENTRY(EAGAIN, "resource temporarily unavailable"),
    ENTRY(ENOMEM, "not enough memory"),
    ENTRY(EACCES, "permission denied"),
    ENTRY(EFAULT, "a page of the mapping no longer exists"),
    ENTRY(EBUSY, "resource busy or locked"),
    ENTRY(EEXIST, "file already exists"),
    ENTRY(EXDEV, "cross-device link not permitted"),
    ENTRY(ENODEV, "no such device"),
    ENTRY(ENOTDIR, "not a directory"),
    ENTRY(EISDIR, "illegal operation on a directory"),
    ENTRY(EINVAL, "invalid argument"),
    ENTRY(ENFILE, "file table overflow"),
    ENTRY(EMFILE, "too many open files"),
    ENTRY(ENOTTY, "inappropriate call for the device"),
    ENTRY(ETXTBSY, "text file is busy"),
    ENTRY(EFBIG, "file too large"),
    ENTRY(ENOSPC, "no space left on device"),
    ENTRY(ESPIPE, "invalid seek"),
    ENTRY(EROFS, "read-only file system"),
    ENTRY(EMLINK, "too many links"),
    ENTRY(EPIPE, "broken pipe"),
    ENTRY(EDOM, "number outside the domain"),
    ENTRY(ERANGE, "number outside the range"),
    ENTRY(EDEADLK, "resource deadlock avoided"),
    ENTRY(ENAMETOOLONG, "name too long"),
    ENTRY(ENOLCK, "no locks available"),
    ENTRY(ENOSYS, "function not implemented"),
    ENTRY(ENOTEMPTY, "directory not empty"),
    ENTRY(ELOOP, "too many symbolic links encountered"),
    ENTRY(EPROTO, "protocol error"),
    ENTRY(EBADMSG, "bad message or checksum"),
    ENTRY(EOVERFLOW, "value too large for defined data type"),
    ENTRY(ENOTSUP, "operation not supported"),
    ENTRY(EDQUOT, "disk quota exceeded"),
    ENTRY(ESTALE, "stale file handle"),
    ENTRY(ECONNABORTED, "connection aborted"),
    ENTRY(ENOBUFS, "no buffer space available"),
    ENTRY(ENOTCONN, "the file system's server is not connected"),
    ENTRY(ETIMEDOUT, "connection timed out"),
    ENTRY(ECANCELED, "operation canceled"),
#ifdef __linux__
    ENTRY(EUCLEAN, "the file system is damaged"),
    ENTRY(EREMOTEIO, "remote i/o error"),
    ENTRY(ENOMEDIUM, "no medium found"),
    ENTRY(EMEDIUMTYPE, "wrong medium type"),
    ENTRY(ENOKEY, "the file is encrypted and its key is missing"),
    ENTRY(EKEYEXPIRED, "the key has expired"),
    ENTRY(EKEYREVOKED, "the key has been revoked"),
    ENTRY(EKEYREJECTED, "the key was rejected"),
    ENTRY(EHWPOISON, "the memory page is broken"),
#endif
};

static const error_entry_t unknown = {0, "UNKNOWN", "unknown error"};
static const error_entry_t none = {0, "OK", "no error"};

static const error_entry_t *find(emmap_error error)
{
    if (error == EMMAP_OK)
        return &none;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == (int)error)
            return &table[i];
    return &unknown;
}

const char *emmap_error_name(emmap_error error)
{
    return find(error)->name;
}

const char *emmap_error_atom(emmap_error error)
{
    static _Thread_local char atom[24];
    const char *const name = find(error)->name;
    const char *const bare = strncmp(name, "EMMAP_", 6) == 0 ? name + 6 : name;
    size_t length = 0;
    for (; bare[length] && length < sizeof atom - 1; length++)
        atom[length] =
            bare[length] >= 'A' && bare[length] <= 'Z' ? (char)(bare[length] - 'A' + 'a') : bare[length];
    atom[length] = 0;
    return atom;
}

const char *emmap_error_message(emmap_error error)
{
    return find(error)->message;
}

static _Thread_local emmap_failure last;

const emmap_failure *emmap_last_failure(void)
{
    return &last;
}

static emmap_error note(emmap_error error, const char *syscall, const char *reason, uint64_t offset)
{
    last = (emmap_failure){.error = error, .syscall = syscall, .reason = reason, .offset = offset};
    return error;
}

emmap_error emi_error_set(emmap_error error, const char *reason)
{
    return note(error, NULL, reason, 0);
}

emmap_error emi_error_from_errno(const char *syscall)
{
    return note((emmap_error)errno, syscall, NULL, 0);
}

emmap_error emi_error_from_syscall(emmap_error error, const char *syscall, const char *reason)
{
    return note(error, syscall, reason, 0);
}

emmap_error emi_error_corrupt(uint64_t offset, const char *reason)
{
    return note(EMMAP_CORRUPT, NULL, reason, offset);
}

emmap_error emi_error_counters(uint64_t found, uint64_t asked)
{
    note(EINVAL, NULL, "the file has another number of counters", 0);
    last.found = found;
    last.asked = asked;
    return EINVAL;
}

emmap_error emi_error_about(emmap_failure_subject about)
{
    last.about = about;
    return last.error;
}

void emi_error_restore(const emmap_failure *failure)
{
    last = *failure;
}
