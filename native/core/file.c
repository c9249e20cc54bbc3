#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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
#include "size.h"
#include "structure.h"
#include "wait.h"

/* A file that others create and unlink all the time may slip through our fingers this often. */
#define OPEN_ATTEMPTS 100

static void init_locks(emmap_file *file)
{
    thread_lock_init(&file->bytes);
    loans_init(&file->loans);
    pthread_mutex_init(&file->cursor, NULL);
    pthread_mutex_init(&file->resize, NULL);
    pthread_mutex_init(&file->state, NULL);
    thread_lock_init(&file->attaching);
}

/* As it is where there is no current folder any more. NULL: no memory. */
static char *from_root(const char *path)
{
    char folder[PATH_MAX];
    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        return strdup(path);
    const size_t size = strlen(folder) + 1 + strlen(path) + 1;
    char *const result = malloc(size);
    if (result)
        snprintf(result, size, "%s/%s", folder, path);
    return result;
}

static emmap_error create_handle(const char *path, const emmap_options *options, emmap_file **result)
{
    emmap_file *const file = calloc(1, sizeof *file);
    if (!file)
        return error_set(ENOMEM, NULL);
    file->options = *options;
    const bool anonymous = options->flags & EMMAP_OPEN_ANON;
    file->path = strdup(anonymous ? "" : path);
    file->named = anonymous ? NULL : from_root(path);
    if (!file->path || !(anonymous || file->named)) {
        free(file->path);
        free(file->named);
        free(file);
        return error_set(ENOMEM, NULL);
    }
    init_locks(file);
    atomic_init(&file->references, 1);
    file->forks = descriptor_forks;
    *result = file;
    return EMMAP_OK;
}

static bool path_is_ours(const emmap_file *file)
{
    struct stat about;
    return stat(file->absolute, &about) == 0 && about.st_dev == file->device && about.st_ino == file->inode;
}

void file_retain(emmap_file *file)
{
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
}

void file_release(emmap_file *file)
{
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1)
        return;
    structure_free(file->structure);
    thread_lock_destroy(&file->bytes);
    loans_destroy(&file->loans);
    pthread_mutex_destroy(&file->cursor);
    pthread_mutex_destroy(&file->resize);
    pthread_mutex_destroy(&file->state);
    thread_lock_destroy(&file->attaching);
    free(file->absolute);
    free(file->named);
    free(file->path);
    free(file);
}

/*
 * A reader's mapping of a file on an overlay's lower layer shows what is there for ever, although the first writer makes
 * a copy on the upper one. To open it for writing makes that copy now; who may not do so gets what there is.
 */
static int settle_layer(const char *path, int fd, int flags)
{
    if (fd < 0 || !platform_file_system_of(fd)->layered)
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

/* The descriptor of an existing or a created file; *created says which. O_NONBLOCK: a FIFO must not make us
 * wait for its other end; it means nothing to a regular file. */
static int open_or_create(const char *path, const emmap_options *options, bool *created)
{
    const int access_mode = options->flags & EMMAP_OPEN_WRITE ? O_RDWR : O_RDONLY;
    /* Less the umask: identify() adds what an exact mode lacks, so that the file is never more open than it is to be. */
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
    return error_from_syscall(ENODEV, "open", "only a regular file can be mapped");
}

/* Opens `path` into file->descriptor. */
static emmap_error open_descriptor(emmap_file *file, bool *created)
{
    const emmap_options *const options = &file->options;
    *created = false;
    const bool anonymous = options->flags & EMMAP_OPEN_ANON;
    descriptor_forbid_fork();
    const int fd =
        anonymous ? platform_anonymous_file(options->flags) : open_or_create(file->path, options, created);
    const int reason = errno;
    file->descriptor = fd < 0 ? NULL : descriptor_create(fd);
    descriptor_allow_fork();
    errno = reason;
    if (fd < 0 && errno == ENXIO)
        return not_regular();
    if (fd < 0)
        return error_from_errno(anonymous ? "memfd_create" : "open");
    if (!file->descriptor) {
        close(fd);
        return error_set(ENOMEM, NULL);
    }
    file->existed = !*created && !anonymous;
    return EMMAP_OK;
}

static emmap_error identify(emmap_file *file, bool created)
{
    struct stat about;
    if (fstat(file->descriptor->fd, &about) != 0)
        return error_from_errno("fstat");
    if (S_ISDIR(about.st_mode))
        return error_from_syscall(EISDIR, "open", NULL);
    if (!S_ISREG(about.st_mode))
        return not_regular();
    file->device = about.st_dev;
    file->inode = about.st_ino;
    if (created || (file->options.flags & EMMAP_OPEN_AUTO_UNLINK)) {
        file->absolute = realpath(file->path, NULL);
        if (!file->absolute && errno == ENOMEM)
            return error_set(ENOMEM, NULL);
    }
    atomic_init(&file->entry_unsynced, created);
    if (created)
        PAUSE("open_created");
    if (created && file->options.mode_exact && fchmod(file->descriptor->fd, file->options.mode) != 0)
        return error_from_errno("fchmod");
    return EMMAP_OK;
}

/* What is mapped shared is to be what everybody sees. Errors: ENOTSUP. */
static emmap_error may_share(const emmap_file *file)
{
    const uint32_t flags = file->options.flags;
    if (!(flags & EMMAP_OPEN_SHARED) || (flags & (EMMAP_OPEN_ANON | EMMAP_OPEN_SHARED_UNSAFE)))
        return EMMAP_OK;
    const char *const no_sharing = platform_file_system_of(file->descriptor->fd)->no_sharing;
    if (!no_sharing)
        return EMMAP_OK;
    error_from_syscall(ENOTSUP, "statfs", no_sharing);
    return error_about(EMMAP_ABOUT_FILE_SYSTEM);
}

/* Tells the other openers that we are here, or that nobody else may be. */
static emmap_error announce(const emmap_file *file)
{
    const uint32_t flags = file->options.flags;
    if (!(flags & EMMAP_OPEN_WRITE) || (flags & EMMAP_OPEN_ANON))
        return EMMAP_OK;
    if (flags & EMMAP_OPEN_EXCLUSIVE)
        return lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_EXCLUSIVE);
    const emmap_error error = lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_SHARED);
    /* On a file system without locks nobody can be exclusive. */
    return error == EBUSY ? error : EMMAP_OK;
}

/* True if a file that has bytes is not made longer. */
static bool keeps_size(const emmap_options *options)
{
    return options->flags & (EMMAP_OPEN_KEEP_SIZE | EMMAP_OPEN_EXACT);
}

/* The number of bytes to map, of a file that is as large as it will get. */
static emmap_error window(const emmap_file *file, uint64_t *size)
{
    const emmap_options *const options = &file->options;
    uint64_t on_disk;
    const emmap_error error = size_on_disk(file->descriptor->fd, &on_disk);
    if (error)
        return error;
    const uint64_t available = on_disk > options->offset ? on_disk - options->offset : 0;
    if (available == 0)
        return error_set(EINVAL, options->offset ? "the offset is at or past the end of the file"
                                                 : "the file is empty, and no memory can be mapped of it");
    /* Callers of emmap 2.x have to give the whole file's size behind an offset as well. (Not one within a page: emmap
     * 2.x counts positions from the page's beginning then, so that they would get other bytes than they mean.) */
    const bool rest = (options->flags & EMMAP_OPEN_EXACT) && options->offset && options->length == on_disk &&
                      options->offset % platform_page_size() == 0;
    if ((options->length > available && !rest) || (options->size > available && !keeps_size(options)))
        return error_set(EINVAL, "the range passes the end of the file");
    if ((options->flags & EMMAP_OPEN_EXACT) && options->size && options->size != available)
        return error_set(EINVAL, "the file has another size than it must have");
    *size = options->length && !rest ? options->length : available;
    return EMMAP_OK;
}

/* The number of bytes to map, once the file has them. Somebody may shrink it again before we look. */
static emmap_error measure(const emmap_file *file, const file_preparer *preparer, uint64_t *size)
{
    const emmap_options *const options = &file->options;
    const bool grows = (options->flags & EMMAP_OPEN_WRITE) && !keeps_size(options) &&
                       (options->size > 0 || options->length > 0);
    for (int attempt = 0;; attempt++) {
        emmap_error error = preparer->prepare(preparer, file->descriptor->fd, options);
        if (error)
            return error;
        PAUSE("open_sized");
        error = window(file, size);
        if (error != EINVAL || !grows || attempt == OPEN_ATTEMPTS)
            return error;
    }
}

/* emmap 2.x counts positions from the page's beginning then: its callers would write other bytes than they mean. */
static const char offset_within_page[] = "an exact file is not made behind an offset within a page";

static bool within_page(const emmap_options *options)
{
    return (options->flags & EMMAP_OPEN_EXACT) && options->offset % platform_page_size() != 0;
}

/* Empties the file, which gets the size that it has had where no other is asked for. */
static emmap_error empty(emmap_file *file)
{
    emmap_options *const options = &file->options;
    const int fd = file->descriptor->fd;
    uint64_t had;
    const emmap_error error = size_on_disk(fd, &had);
    if (error)
        return error;
    /* One that keeps its size does so emptied, too. */
    const bool kept = (options->flags & EMMAP_OPEN_KEEP_SIZE) && had > options->offset;
    if (kept || (options->size == 0 && options->length == 0)) {
        if (had <= options->offset)
            return error_set(EINVAL, "truncate needs a size where the file is missing or empty");
        options->size = had - options->offset;
    }
    if (within_page(options))
        return error_set(EINVAL, offset_within_page);
    return ftruncate(fd, 0) == 0 ? EMMAP_OK : error_from_errno("ftruncate");
}

static emmap_error fill(emmap_file *file, const file_preparer *preparer)
{
    const int fd = file->descriptor->fd;
    uint64_t size = 0;
    emmap_error error = file->options.flags & EMMAP_OPEN_TRUNCATE ? empty(file) : EMMAP_OK;
    if (!error)
        error = measure(file, preparer, &size);
    emmap_mapping *mapping = NULL;
    if (!error)
        error = mapping_create(file, fd, size, file->options.address, &mapping);
    atomic_store_explicit(&file->mapping, mapping, memory_order_release);
    return error;
}

/* Whether no byte of the file has been written. */
static bool is_blank(int fd)
{
    uint8_t piece[4096];
    for (off_t at = 0;;) {
        const ssize_t got = pread(fd, piece, sizeof piece, at);
        if (got <= 0)
            return got == 0;
        if (piece[0] != 0 || memcmp(piece, piece + 1, (size_t)got - 1) != 0)
            return false;
        at += got;
    }
}

/* After a failed open: what we created goes again, unless somebody else has begun to use it. */
static void undo_create(const emmap_file *file)
{
    if (!file->absolute)
        return;
    const emmap_error busy = lock_try(file->descriptor->fd, LOCK_PRESENCE, LOCK_EXCLUSIVE);
    /* Without locks nobody can say that he uses it; but nobody has put anything there. */
    if ((busy == EMMAP_OK || (busy != EBUSY && is_blank(file->descriptor->fd))) && path_is_ours(file))
        unlink(file->absolute);
}

/* Undoes what enter did; without `absolute` nothing is unlinked later. */
static void leave(emmap_file *file, bool created)
{
    const emmap_failure failure = *emmap_last_failure();
    if (created)
        undo_create(file);
    descriptor_release(file->descriptor);
    file->descriptor = NULL;
    free(file->absolute);
    file->absolute = NULL;
    error_restore(&failure);
}

/* Whether the path has come to mean another file, or none, since it was opened, and nobody will find this one. */
static bool orphaned(const emmap_file *file)
{
    struct stat ours, about;
    if ((file->options.flags & EMMAP_OPEN_ANON) || fstat(file->descriptor->fd, &ours) != 0 ||
        ours.st_nlink > 0)
        return false;
    return stat(file->path, &about) != 0 || about.st_dev != ours.st_dev || about.st_ino != ours.st_ino;
}

/* Opens the file and says that we are here. Somebody who failed to create it may have removed it before we did:
 * then what was opened is lost to everybody else, and the path is tried anew. */
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

emmap_error file_open(const char *path, const emmap_options *options, const file_preparer *preparer,
                      emmap_file **result)
{
    *result = NULL;
    emmap_options settled = *options;
    emmap_error error = options_settle(&settled);
    if (!error)
        error = fault_install();
    emmap_file *file = NULL;
    if (!error) {
        pin_install();
        /* After fault_install: a fork takes its locks in the opposite order. */
        descriptor_install();
        error = create_handle(path, &settled, &file);
    }
    if (error)
        return error;
    bool created;
    error = enter(file, &created);
    if (!error) {
        error = fill(file, preparer);
        if (error)
            leave(file, created);
    }
    if (error) {
        file_release(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}

emmap_error file_extend(int fd, const emmap_options *options, uint64_t size)
{
    uint64_t now;
    emmap_error error = size_on_disk(fd, &now);
    if (error || now >= size)
        return error;
    /* A mapping that is refused must not have changed a file that was there. No file is past INT64_MAX. */
    if (size <= INT64_MAX)
        error = mapping_try(fd, options, size);
    return error ? error : size_extend(fd, options, 0, size);
}

static emmap_error grow_to_fit(const file_preparer *self, int fd, const emmap_options *options)
{
    (void)self;
    const uint64_t wanted = options->length > options->size ? options->length : options->size;
    if (wanted == 0 || !(options->flags & EMMAP_OPEN_WRITE))
        return EMMAP_OK;
    uint64_t now;
    const emmap_error error = size_on_disk(fd, &now);
    if (error || (now > 0 && keeps_size(options)))
        return error;
    if (!(options->flags & EMMAP_OPEN_EXACT) || options->offset == 0)
        return file_extend(fd, options, options->offset + wanted);
    /* As emmap 2.x: `length` is the whole file's, and what is behind the offset gets mapped. */
    return within_page(options) ? error_set(EINVAL, offset_within_page) : file_extend(fd, options, wanted);
}

emmap_error emmap_open(const char *path, const emmap_options *options, emmap_file **result)
{
    static const file_preparer plain = {grow_to_fit};
    if (options->flags & (EMMAP_OPEN_FOLLOW | EMMAP_OPEN_GROW)) {
        *result = NULL;
        return error_set(EINVAL, "follow is for queues and block storages, grow for counters");
    }
    return file_open(path, options, &plain, result);
}

/* Takes the descriptor out of the file. */
static descriptor *take_descriptor(emmap_file *file)
{
    const bool owned = !file_inherited(file);
    if (owned)
        pthread_mutex_lock(&file->state);
    descriptor *const taken = file->descriptor;
    file->descriptor = NULL;
    if (owned)
        pthread_mutex_unlock(&file->state);
    return taken;
}

emmap_error emmap_close(emmap_file *file)
{
    descriptor *const descriptor = take_descriptor(file);
    if (!descriptor)
        return EMMAP_OK;
    __atomic_fetch_or(&file->control.status, EMMAP_STATUS_CLOSED, __ATOMIC_SEQ_CST);
    emmap_mapping *const mapping = atomic_exchange(&file->mapping, NULL);
    if (mapping)
        pin_drain(mapping);
    /* What slices and other handles have mapped stays theirs without the name. With the descriptor the live folder of a
     * file without name goes. */
    if ((file->options.flags & EMMAP_OPEN_AUTO_UNLINK) && file->absolute && path_is_ours(file))
        unlink(file->absolute);
    /* Not before the drain: the locks go with it, and who holds a pin may be changing a structure under them. */
    descriptor_release(descriptor);
    /* Not in a child, whose parent goes on waiting. */
    if (!file_inherited(file)) {
        structure *const held = atomic_load(&file->structure);
        wait_end_all(file);
        if (held && held->closing)
            held->closing(held);
    }
    if (mapping)
        mapping_release(mapping);
    return EMMAP_OK;
}

void file_abandon(emmap_file *file)
{
    const emmap_failure failure = *emmap_last_failure();
    /* Others may have come and gone, and left something there. */
    if (!file->existed && file->descriptor && is_blank(file->descriptor->fd))
        undo_create(file);
    emmap_free(file);
    error_restore(&failure);
}

void emmap_free(emmap_file *file)
{
    if (!file)
        return;
    emmap_close(file);
    file_release(file);
}

/* The file's mapping under a pin, faulted or not. Errors: EMMAP_CLOSED, ENOMEM; EFAULT for an inherited file. */
static emmap_error pin_mapping(emmap_file *file, visit *visit)
{
    visit->pin = pin_self();
    if (!visit->pin)
        return error_set(ENOMEM, NULL);
    while ((visit->mapping = pin_hold(visit->pin, &file->mapping)) == NULL) {
        pin_release(visit->pin);
        /* Acquire: emmap_close sets the word before it takes the mapping away. */
        if (__atomic_load_n(&file->control.status, __ATOMIC_ACQUIRE) & EMMAP_STATUS_CLOSED)
            return error_set(EMMAP_CLOSED, NULL);
        const emmap_error error = file_owned(file);
        if (error)
            return error;
        /* Somebody who holds the lock is replacing it. */
        pthread_mutex_lock(&file->resize);
        pthread_mutex_unlock(&file->resize);
    }
    return EMMAP_OK;
}

void emmap_describe(emmap_file *file, emmap_info *info)
{
    uint64_t size = 0;
    visit visit;
    if (pin_mapping(file, &visit) == EMMAP_OK) {
        size = visit.mapping->size;
        pin_release(visit.pin);
    }
    *info = (emmap_info){.path = file->path,
                         .flags = file->options.flags,
                         .existed = file->existed,
                         .offset = file->options.offset,
                         .size = size,
                         .lock_timeout = file->options.lock_timeout};
}

emmap_error emmap_is_current(emmap_file *file, bool *current)
{
    struct stat about;
    *current = true;
    const emmap_error error = file_owned(file);
    if (error)
        return error;
    pthread_mutex_lock(&file->state);
    const bool closed = !file->descriptor;
    const dev_t device = file->device;
    const ino_t inode = file->inode;
    pthread_mutex_unlock(&file->state);
    if (closed)
        return error_set(EMMAP_CLOSED, NULL);
    if (!file->named)
        return EMMAP_OK;
    if (stat(file->named, &about) == 0)
        *current = about.st_dev == device && about.st_ino == inode;
    else if (errno == ENOENT || errno == ENOTDIR)
        *current = false;
    else
        return error_from_errno("stat");
    return EMMAP_OK;
}

emmap_control *emmap_file_control(emmap_file *file)
{
    return &file->control;
}

emmap_error file_not_owned(const emmap_file *file)
{
    return __atomic_load_n(&file->control.status, __ATOMIC_ACQUIRE) & EMMAP_STATUS_CLOSED
               ? error_set(EMMAP_CLOSED, NULL)
               : error_set(EFAULT, "this process is a forked child of the one that opened the file");
}

emmap_error file_descriptor(emmap_file *file, descriptor **result)
{
    const emmap_error error = file_owned(file);
    if (error)
        return error;
    pthread_mutex_lock(&file->state);
    *result = file->descriptor;
    if (*result)
        descriptor_retain(*result);
    pthread_mutex_unlock(&file->state);
    return *result ? EMMAP_OK : error_set(EMMAP_CLOSED, NULL);
}

emmap_error file_mapping(emmap_file *file, emmap_mapping **result)
{
    visit visit;
    const emmap_error error = visit_begin(file, &visit);
    if (error)
        return error;
    mapping_retain(visit.mapping);
    *result = visit.mapping;
    pin_release(visit.pin);
    return EMMAP_OK;
}

emmap_error file_check(const emmap_file *file)
{
    return file_faulted(file)
               ? error_set(
                     EFAULT,
                     "the file was truncated, or its storage failed, under its mapping, or this process is a "
                     "forked child")
               : EMMAP_OK;
}

emmap_error file_fault(emmap_file *file)
{
    __atomic_fetch_or(&file->control.status, EMMAP_STATUS_FAULTED, __ATOMIC_SEQ_CST);
    return file_check(file);
}

emmap_error visit_begin_slowly(emmap_file *file, visit *visit)
{
    const emmap_error error = pin_mapping(file, visit);
    if (error || !file_faulted(file))
        return error;
    pin_release(visit->pin);
    return file_check(file);
}
