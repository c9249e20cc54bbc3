#include "error.h"

#include <errno.h>

typedef struct error_entry {
    int error;
    const char *name;
    const char *atom;
    const char *message;
} error_entry_t;

/* If two errno names are one value on some platform (EAGAIN, ENOTSUP), only one of them is listed. */
static const error_entry_t table[] = {
    {EMMAP_EOF, "EMMAP_EOF", "eof", "end of file"},
    {EMMAP_BADARG, "EMMAP_BADARG", "badarg", "bad argument"},
    {EMMAP_CLOSED, "EMMAP_CLOSED", "closed", "the file is closed"},
    {EMMAP_ALIGNMENT, "EMMAP_ALIGNMENT", "alignment", "the address is not a multiple of 8"},
    {EMMAP_FULL, "EMMAP_FULL", "full", "no room left, and the structure may not grow"},
    {EMMAP_FIXED_SIZE, "EMMAP_FIXED_SIZE", "fixed_size", "the file was opened with a fixed size"},
    {EMMAP_CORRUPT, "EMMAP_CORRUPT", "corrupt", "the file does not hold what it should"},
    {EPERM, "EPERM", "eperm", "operation not permitted"},
    {ENOENT, "ENOENT", "enoent", "no such file or directory"},
    {EINTR, "EINTR", "eintr", "interrupted system call"},
    {EIO, "EIO", "eio", "i/o error"},
    {ENXIO, "ENXIO", "enxio", "no such device or address"},
    {E2BIG, "E2BIG", "e2big", "argument list too long"},
    {EBADF, "EBADF", "ebadf", "bad file descriptor"},
    {EAGAIN, "EAGAIN", "eagain", "resource temporarily unavailable"},
    {ENOMEM, "ENOMEM", "enomem", "not enough memory"},
    {EACCES, "EACCES", "eacces", "permission denied"},
    {EFAULT, "EFAULT", "efault", "a page of the mapping went away"},
    {EBUSY, "EBUSY", "ebusy", "resource busy or locked"},
    {EEXIST, "EEXIST", "eexist", "file already exists"},
    {EXDEV, "EXDEV", "exdev", "cross-device link not permitted"},
    {ENODEV, "ENODEV", "enodev", "no such device"},
    {ENOTDIR, "ENOTDIR", "enotdir", "not a directory"},
    {EISDIR, "EISDIR", "eisdir", "illegal operation on a directory"},
    {EINVAL, "EINVAL", "einval", "invalid argument"},
    {ENFILE, "ENFILE", "enfile", "file table overflow"},
    {EMFILE, "EMFILE", "emfile", "too many open files"},
    {ENOTTY, "ENOTTY", "enotty", "inappropriate call for the device"},
    {ETXTBSY, "ETXTBSY", "etxtbsy", "text file is busy"},
    {EFBIG, "EFBIG", "efbig", "file too large"},
    {ENOSPC, "ENOSPC", "enospc", "no space left on device"},
    {ESPIPE, "ESPIPE", "espipe", "invalid seek"},
    {EROFS, "EROFS", "erofs", "read-only file system"},
    {EMLINK, "EMLINK", "emlink", "too many links"},
    {EPIPE, "EPIPE", "epipe", "broken pipe"},
    {EDOM, "EDOM", "edom", "number outside the domain"},
    {ERANGE, "ERANGE", "erange", "number outside the range"},
    {EDEADLK, "EDEADLK", "edeadlk", "resource deadlock avoided"},
    {ENAMETOOLONG, "ENAMETOOLONG", "enametoolong", "name too long"},
    {ENOLCK, "ENOLCK", "enolck", "no locks available"},
    {ENOSYS, "ENOSYS", "enosys", "function not implemented"},
    {ENOTEMPTY, "ENOTEMPTY", "enotempty", "directory not empty"},
    {ELOOP, "ELOOP", "eloop", "too many symbolic links encountered"},
    {EPROTO, "EPROTO", "eproto", "protocol error"},
    {EBADMSG, "EBADMSG", "ebadmsg", "bad message or checksum"},
    {EOVERFLOW, "EOVERFLOW", "eoverflow", "value too large for defined data type"},
    {ENOTSUP, "ENOTSUP", "enotsup", "operation not supported"},
    {EDQUOT, "EDQUOT", "edquot", "disk quota exceeded"},
    {ESTALE, "ESTALE", "estale", "stale file handle"},
    {ECONNABORTED, "ECONNABORTED", "econnaborted", "connection aborted"},
    {ENOBUFS, "ENOBUFS", "enobufs", "no buffer space available"},
    {ENOTCONN, "ENOTCONN", "enotconn", "the file system's server is not connected"},
    {ETIMEDOUT, "ETIMEDOUT", "etimedout", "connection timed out"},
    {ECANCELED, "ECANCELED", "ecanceled", "operation canceled"},
#ifdef __linux__
    {EUCLEAN, "EUCLEAN", "euclean", "the file system is damaged"},
    {EREMOTEIO, "EREMOTEIO", "eremoteio", "remote i/o error"},
    {ENOMEDIUM, "ENOMEDIUM", "enomedium", "no medium found"},
    {EMEDIUMTYPE, "EMEDIUMTYPE", "emediumtype", "wrong medium type"},
    {ENOKEY, "ENOKEY", "enokey", "the file is encrypted and its key is missing"},
    {EKEYEXPIRED, "EKEYEXPIRED", "ekeyexpired", "the key has expired"},
    {EKEYREVOKED, "EKEYREVOKED", "ekeyrevoked", "the key has been revoked"},
    {EKEYREJECTED, "EKEYREJECTED", "ekeyrejected", "the key was rejected"},
    {EHWPOISON, "EHWPOISON", "ehwpoison", "the memory page is broken"},
#endif
};

static const error_entry_t unknown = {0, "UNKNOWN", "unknown", "unknown error"};
static const error_entry_t none = {0, "OK", "ok", "no error"};

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
    return find(error)->atom;
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
