/*
 * The folder with the memory that a file's writers share, and its state.
 *
 * A state gets its name when it is complete. A process that holds LOCK_JOIN on it, and then has seen that the
 * name is still this state's and that no slot is taken, may begin a new generation in it or remove it.
 */
#define _GNU_SOURCE
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "error.h"
#include "introduce.h"
#include "mapping.h"
#include "pause.h"
#include "platform.h"

/* Others may rarely make or remove what a handle is about to use. */
enum { ATTEMPTS = 50 };

/* Joins two strings. NULL: no memory. */
static char *joined(const char *path, const char *more)
{
    const size_t size = strlen(path) + strlen(more) + 1;
    char *const result = malloc(size);
    if (result)
        snprintf(result, size, "%s%s", path, more);
    return result;
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

#define STATE "state"

/* Not through a symbolic link: a user who may write to the surrounding folder could otherwise choose what is
 * removed. */
int emi_live_folder_descriptor(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether the descriptor's file is the folder's state. */
static bool is_state_of(int fd, int folder)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && fstatat(folder, STATE, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_same(&opened, &named);
}

/* ---- Opening ---- */

uint64_t emi_live_identity(uint64_t identity, uint64_t inode)
{
    uint64_t mixed = (identity ^ inode) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 29;
    return mixed % (uint64_t)LOCK_LIVE_LENGTH;
}

static emmap_error check(const live_t *self)
{
    const live_state_t *const state = self->state;
    if (self->mapping->size < sizeof *state || state->magic != LIVE_MAGIC)
        return emi_error_corrupt(0, "the live folder has no valid state");
    if (state->version != LIVE_VERSION || state->slots != LIVE_SLOTS)
        return emi_error_set(ENOTSUP, "the live folder is that of another version of emmap");
    return EMMAP_OK;
}

static emmap_error take_parts(live_t *self)
{
    emmap_error error = emi_file_descriptor(self->file, &self->descriptor);
    if (!error)
        error = emi_mapping_of(self->file, &self->mapping);
    if (error)
        return error;
    self->fd = self->descriptor->fd;
    self->state = (live_state_t *)(void *)self->mapping->data;
    error = check(self);
    if (!error)
        error = emi_file_check(self->file);
    if (!error)
        self->identity = emi_live_identity(self->state->identity, (uint64_t)self->file->inode);
    return error;
}

emmap_error emi_live_folder_open(char *folder, uint32_t flags, live_t *result)
{
    /* All of it, without growing: a state that is too short is refused. */
    const emmap_options options = {.flags = flags | EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    *result = (live_t){.fd = -1, .slot = LIVE_SLOTS};
    char *const path = joined(folder, "/" STATE);
    if (!path)
        return emi_error_set(ENOMEM, NULL);
    emmap_error error = emmap_open(path, &options, &result->file);
    free(path);
    if (!error)
        error = take_parts(result);
    if (error)
        emi_live_folder_close(result);
    return error;
}

void emi_live_folder_close(live_t *self)
{
    const emmap_failure failure = *emmap_last_failure();
    if (self->mapping)
        emi_mapping_release(self->mapping);
    if (self->descriptor)
        emi_descriptor_release(self->descriptor);
    emmap_free(self->file);
    *self = (live_t){.fd = -1};
    emi_error_restore(&failure);
}

/* ---- Rights ---- */

static mode_t mode_of_state(const struct stat *data)
{
    return data->st_mode & 0666;
}

static mode_t mode_of_folder(const struct stat *data)
{
    return mode_of_state(data) | (data->st_mode & 0444) >> 2;
}

static bool has_rights(const struct stat *about, const struct stat *data, mode_t mode)
{
    return about->st_uid == data->st_uid && about->st_gid == data->st_gid && (about->st_mode & 07777) == mode;
}

/* ---- Making ---- */

/* Gives a new, empty folder its rights under a name of its own. The caller then renames it. */
static emmap_error prepare_folder(const char *fresh, const struct stat *data)
{
    const int fd = emi_live_folder_descriptor(fresh);
    struct stat about;
    if (fd < 0)
        return emi_error_from_errno("open");
    emmap_error error = EMMAP_OK;
    /* Another user of the surrounding folder may have put something else there. */
    if (fstat(fd, &about) != 0 || about.st_uid != geteuid() || (about.st_mode & 0777) != 0700)
        error = emi_error_from_syscall(ENOENT, "fstat", NULL);
    if (!error)
        error = emi_beside_own(fd, data, mode_of_folder(data));
    close(fd);
    return error;
}

static emmap_error try_folder(const char *folder, const char *fresh, const struct stat *data)
{
    struct stat about;
    if (lstat(folder, &about) == 0)
        return S_ISDIR(about.st_mode)
                   ? EMMAP_OK
                   : emi_error_from_syscall(ENOTDIR, "mkdir", "another file has the live folder's name");
    if (errno != ENOENT)
        return emi_error_from_errno("lstat");
    /* Left by a process that died. It is always empty. */
    rmdir(fresh);
    if (mkdir(fresh, 0700) != 0)
        return errno == EEXIST ? emi_error_set(EAGAIN, NULL) : emi_error_from_errno("mkdir");
    PAUSE("live_folder_begun");
    emmap_error error = prepare_folder(fresh, data);
    if (!error && rename(fresh, folder) != 0)
        error = emi_error_from_errno("rename");
    PAUSE("live_folder_made");
    if (error && error != ENOENT)
        rmdir(fresh);
    /* Another process was faster, or took this for the folder of a dead one. */
    return error == EEXIST || error == ENOTEMPTY || error == ENOENT ? emi_error_set(EAGAIN, NULL) : error;
}

static emmap_error make_folder(const char *folder, const struct stat *data)
{
    char *const fresh = joined(folder, ".new");
    if (!fresh)
        return emi_error_set(ENOMEM, NULL);
    emmap_error error = EAGAIN;
    for (int i = 0; error == EAGAIN && i < ATTEMPTS; i++)
        error = try_folder(folder, fresh, data);
    free(fresh);
    return error;
}

/* Removes the leftovers of dead processes: states without their final name, and bells. If a state is still being
 * prepared, its process starts again. Nobody has a bell while no slot is taken. */
static void remove_remains(const char *folder, int opened)
{
    DIR *const entries = opendir(folder);
    if (!entries)
        return;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (strncmp(entry->d_name, STATE ".", sizeof STATE) == 0 ||
            strncmp(entry->d_name, LIVE_BELL, sizeof LIVE_BELL - 1) == 0)
            unlinkat(opened, entry->d_name, 0);
    closedir(entries);
}

/* A state that is being prepared. */
typedef struct preparation {
    int fd;
    char *name; /* its own name, until it gets the state's; NULL: none */
} preparation_t;

static void discard(preparation_t *self)
{
    if (self->name && self->fd >= 0)
        unlink(self->name);
    if (self->fd >= 0)
        close(self->fd);
    free(self->name);
}

/* Reserves disk space for what is written, so that a full disk is an error here and no fault later. A slot's
 * page is reserved when the first slot in it is taken (live_join.c): reserving all would make removing the
 * state slow. */
static emmap_error fill(int fd, const struct stat *data)
{
    union {
        struct {
            uint64_t magic;
            uint32_t version, slots;
            uint64_t identity, generation, file, since;
        } head;
        uint8_t bytes[offsetof(live_state_t, slot)];
    } const first = {.head = {LIVE_MAGIC, LIVE_VERSION, LIVE_SLOTS, emi_random_number(), clock_now(),
                              (uint64_t)data->st_ino, clock_now()}};
    _Static_assert(sizeof first.head == offsetof(live_state_t, retired), "as live_state begins");
    if (ftruncate(fd, sizeof(live_state_t)) != 0)
        return emi_error_from_errno("ftruncate");
    const ssize_t written = pwrite(fd, &first, sizeof first, 0);
    if (written < 0)
        return emi_error_from_errno("pwrite");
    return written == (ssize_t)sizeof first ? emi_beside_own(fd, data, mode_of_state(data))
                                            : emi_error_set(ENOSPC, NULL);
}

static emmap_error prepare(const char *folder, const struct stat *data, preparation_t *self)
{
    *self = (preparation_t){.fd = emi_platform_unnamed_file(folder)};
    if (self->fd < 0 && errno == ENOTSUP) {
        char own_name[40];
        snprintf(own_name, sizeof own_name, "/state.%016" PRIx64, emi_random_number());
        self->name = joined(folder, own_name);
        if (!self->name)
            return emi_error_set(ENOMEM, NULL);
        self->fd = open(self->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (self->fd < 0)
        return emi_error_from_errno("open");
    return fill(self->fd, data);
}

/* Takes the name from the state that has it. EAGAIN: another process is about to. */
static emmap_error take_name(int folder)
{
    const int fd = openat(folder, STATE, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? EMMAP_OK : emi_error_from_errno("open");
    emmap_error error = emi_lock_try_often(fd, LOCK_JOIN, LOCK_EXCLUSIVE);
    if (!error) {
        if (!is_state_of(fd, folder))
            error = emi_error_set(EAGAIN, NULL);
        else if (unlinkat(folder, STATE, 0) != 0)
            error = emi_error_from_errno("unlink");
        PAUSE("live_state_unnamed");
        emi_lock_release(fd, LOCK_JOIN);
    }
    close(fd);
    return error == EBUSY ? emi_error_set(EAGAIN, NULL) : error;
}

static emmap_error try_state(const char *folder, const char *path, const struct stat *data)
{
    const int opened = emi_live_folder_descriptor(folder);
    if (opened < 0)
        return emi_error_from_errno("open");
    remove_remains(folder, opened);
    preparation_t state;
    emmap_error error = prepare(folder, data, &state);
    PAUSE("live_state_prepared");
    if (!error)
        error = take_name(opened);
    if (!error && (state.name ? link(state.name, path) : emi_platform_name_file(state.fd, path)) != 0)
        error = errno == EEXIST ? emi_error_set(EAGAIN, NULL) : emi_error_from_errno("link");
    PAUSE("live_state_named");
    const emmap_failure failure = *emmap_last_failure();
    discard(&state);
    close(opened);
    emi_error_restore(&failure);
    return error;
}

static emmap_error make(const char *folder, const struct stat *data)
{
    char *const path = joined(folder, "/" STATE);
    if (!path)
        return emi_error_set(ENOMEM, NULL);
    emmap_error error = EAGAIN;
    /* ENOENT: the folder went away again. */
    for (int i = 0; (error == EAGAIN || error == ENOENT) && i < ATTEMPTS; i++) {
        error = make_folder(folder, data);
        if (!error)
            error = try_state(folder, path, data);
    }
    free(path);
    return error;
}

/* ---- Beginning ---- */

/* Takes LOCK_JOIN on the folder's state, if nobody uses it. EAGAIN: somebody uses it, or it is no longer the
 * folder's. `fits`: it still has the rights that it would get now. */
static emmap_error claim(const live_t *self, const char *folder, const struct stat *data, bool *fits)
{
    bool held = true;
    off_t at;
    struct stat around, about;
    const int opened = emi_live_folder_descriptor(folder);
    if (opened < 0)
        return emi_error_from_errno("open");
    emmap_error error = emi_lock_try_often(self->fd, LOCK_JOIN, LOCK_EXCLUSIVE);
    if (!error && is_state_of(self->fd, opened))
        error = emi_lock_range_is_held(self->fd, (off_t)offsetof(live_state_t, slot),
                                       (off_t)sizeof self->state->slot, &held, &at);
    /* The folder's rights follow those of the file, as far as this process may change them. */
    if (!error && !held && fstat(opened, &around) == 0 && !has_rights(&around, data, mode_of_folder(data)))
        emi_beside_own(opened, data, mode_of_folder(data));
    if (!error && !held && atomic_exchange(&self->state->bells_made, 0))
        remove_remains(folder, opened);
    *fits = fstat(self->fd, &about) == 0 && has_rights(&about, data, mode_of_state(data)) &&
            S_ISREG(about.st_mode) && about.st_nlink == 1 && about.st_size == sizeof(live_state_t);
    close(opened);
    return !error && held   ? emi_error_set(EAGAIN, NULL)
           : error == EBUSY ? emi_error_set(EAGAIN, NULL)
                            : error;
}

/* Begins a new generation in a claimed state. Slots keep their generations, which numbers of dead owners
 * contain. */
static emmap_error renew(live_t *self, const struct stat *data)
{
    live_state_t *const state = self->state;
    atomic_store_explicit(&state->lock, 0, memory_order_relaxed);
    atomic_store_explicit(&state->taking, 0, memory_order_relaxed);
    memset((void *)state->bells, 0, sizeof state->bells);
    state->identity = emi_random_number();
    state->generation++;
    state->file = (uint64_t)data->st_ino;
    state->since = clock_now();
    atomic_store_explicit(&state->taken, 0, memory_order_relaxed);
    memset(&state->length, 0, sizeof state->length);
    atomic_store_explicit(&state->retired, 0, memory_order_release);
    self->identity = emi_live_identity(state->identity, (uint64_t)self->file->inode);
    PAUSE("live_state_renewed");
    return emi_file_check(self->file);
}

static emmap_error begin(char *folder, const struct stat *data, live_t *result, bool anew)
{
    bool fits;
    emmap_error error = emi_live_folder_open(folder, EMMAP_OPEN_WRITE, result);
    if (error)
        return error;
    error = claim(result, folder, data, &fits);
    if (!error && !anew)
        error = fits ? renew(result, data) : emi_error_set(EAGAIN, NULL);
    if (error)
        emi_live_folder_close(result);
    return error;
}

emmap_error emi_live_folder_begin(char *folder, const struct stat *data, live_t *result)
{
    emmap_error error = EAGAIN;
    for (int i = 0; error == EAGAIN && i < ATTEMPTS; i++) {
        if (begin(folder, data, result, false) == EMMAP_OK)
            return EMMAP_OK;
        error = make(folder, data);
        if (!error)
            error = begin(folder, data, result, true);
    }
    return error;
}

/* ---- Removing ---- */

void emi_live_folder_clear(live_t *self)
{
    const int opened =
        atomic_exchange(&self->state->bells_made, 0) ? emi_live_folder_descriptor(self->folder) : -1;
    if (opened < 0)
        return;
    remove_remains(self->folder, opened);
    close(opened);
}

/* The folder stays if anything else is in it. */
static void remove_from(live_t *self, int opened)
{
    if (!is_state_of(self->fd, opened))
        return;
    unlinkat(opened, STATE, 0);
    PAUSE("live_folder_emptied");
    if (rmdir(self->folder) == 0 || (errno != ENOTEMPTY && errno != EEXIST))
        return;
    remove_remains(self->folder, opened);
    rmdir(self->folder);
}

void emi_live_folder_remove(live_t *self)
{
    const int opened = emi_live_folder_descriptor(self->folder);
    if (opened < 0)
        return;
    if (emi_lock_try_often(self->fd, LOCK_JOIN, LOCK_EXCLUSIVE) == EMMAP_OK) {
        remove_from(self, opened);
        emi_lock_release(self->fd, LOCK_JOIN);
    }
    close(opened);
}
