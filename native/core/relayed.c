#define _GNU_SOURCE
#include "relayed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "error.h"
#include "pause.h"
#include "platform.h"
#include "queue_count.h"

#define PENDING_AT offsetof(relayed_head_t, number)
#define PENDING_LENGTH (offsetof(relayed_head_t, rest) - PENDING_AT)
/* Slots are read so many at a time. */
#define PIECE 128u

static off_t place_of(uint32_t slot)
{
    return (off_t)(offsetof(relayed_file_t, slot) + slot * sizeof(relayed_slot_t));
}

/* ---- The file ---- */

static emmap_error read_at(int fd, void *bytes, size_t length, off_t place)
{
    const ssize_t got = pread(fd, bytes, length, place);
    if (got < 0)
        return emi_error_from_errno("pread");
    return (size_t)got == length ? EMMAP_OK
                                 : emi_error_corrupt((uint64_t)place, "the file of origins ends too early");
}

static emmap_error write_at(int fd, const void *bytes, size_t length, off_t place)
{
    const ssize_t written = pwrite(fd, bytes, length, place);
    if (written < 0)
        return emi_error_from_errno("pwrite");
    return (size_t)written == length ? EMMAP_OK : emi_error_from_syscall(ENOSPC, "pwrite", NULL);
}

static emmap_error sync_file(int fd)
{
    return emi_platform_datasync(fd) == 0 ? EMMAP_OK : emi_error_from_errno("fdatasync");
}

/* Fills a file that is new, or whose maker died. The magic comes last. */
static emmap_error make(int fd)
{
    static const uint8_t zeros[4096];
    emmap_error error = EMMAP_OK;
    for (off_t at = 0; !error && at < (off_t)sizeof(relayed_file_t); at += (off_t)sizeof zeros)
        error = write_at(fd, zeros, sizeof zeros, at);
    PAUSE("relayed_made");
    const relayed_head_t head = {.magic = RELAYED_MAGIC, .version = RELAYED_VERSION, .slots = RELAYED_SLOTS};
    if (!error)
        error = write_at(fd, &head, sizeof head, 0);
    PAUSE("relayed_named");
    return error;
}

static emmap_error check(int fd, bool makes)
{
    struct stat about;
    relayed_head_t head = {0};
    if (fstat(fd, &about) != 0)
        return emi_error_from_errno("fstat");
    if (!S_ISREG(about.st_mode))
        return emi_error_corrupt(0, "the file beside the queue is no file of origins");
    const size_t there = about.st_size < (off_t)sizeof head ? (size_t)about.st_size : sizeof head;
    const emmap_error error = read_at(fd, &head, there, 0);
    if (error)
        return error;
    if (head.magic == 0 && about.st_size <= (off_t)sizeof(relayed_file_t))
        return makes ? make(fd) : ENOENT;
    if (head.magic != RELAYED_MAGIC)
        return emi_error_corrupt(0, "the file beside the queue is no file of origins");
    if (head.version != RELAYED_VERSION || head.slots != RELAYED_SLOTS)
        return emi_error_set(ENOTSUP, "the file of origins is that of another version of emmap");
    return EMMAP_OK;
}

/* Opens the file beside the queue. Others can't put a link or a pipe in its place. */
static emmap_error open_file(operation_t *operation, bool makes, int *fd)
{
    struct stat data;
    const bool named = !(operation->file->options.flags & EMMAP_OPEN_ANON);
    char *const path =
        named ? emi_beside_path(operation->file, operation->descriptor->fd, RELAYED_SUFFIX, &data) : NULL;
    *fd = -1;
    if (!path)
        return emi_error_set(named ? ESTALE : ENOTSUP,
                             named ? "the queue's path does not lead to it any more, so nobody would "
                                     "find the numbers of origins beside it"
                                   : "numbers of origins need a file to be beside");
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool made = false;
    if (*fd < 0 && errno == ENOENT && makes) {
        *fd = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
        made = *fd >= 0;
    }
    emmap_error error = *fd >= 0 ? EMMAP_OK : emi_error_from_errno("open");
    PAUSE("relayed_opened");
    free(path);
    if (made)
        error = emi_beside_own(*fd, &data, data.st_mode & 0666);
    if (!error)
        error = check(*fd, makes);
    if (error && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

/* Whether any origin has a number in the file. */
static bool has_numbers(int fd)
{
    relayed_head_t head;
    relayed_slot_t slot;
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
           pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && head.magic == RELAYED_MAGIC &&
           pread(fd, &slot, sizeof slot, place_of(0)) == (ssize_t)sizeof slot && slot.used != 0;
}

emmap_error emi_relayed_set_aside(const operation_t *operation)
{
    struct stat data;
    char *const path = emi_beside_path(operation->file, operation->descriptor->fd, RELAYED_SUFFIX, &data);
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY) : -1;
    const emmap_error error =
        fd >= 0 && has_numbers(fd)
            ? emi_beside_set_aside(path,
                                   "PATH-relayed has the numbers of a queue of this name that was removed, "
                                   "and can't be renamed")
            : EMMAP_OK;
    if (fd >= 0)
        close(fd);
    free(path);
    return error;
}

/* ---- Numbered pushes ---- */

/* Finds the origin's slot, or the one that it gets. `found`: it has it already. */
static emmap_error find(relayed_t *self, bool *found)
{
    relayed_slot_t slots[PIECE];
    uint64_t oldest = UINT64_MAX;
    *found = false;
    for (uint32_t from = 0; from < RELAYED_SLOTS; from += PIECE) {
        const uint32_t count = RELAYED_SLOTS - from < PIECE ? RELAYED_SLOTS - from : PIECE;
        const emmap_error error = read_at(self->fd, slots, count * sizeof *slots, place_of(from));
        if (error)
            return error;
        for (uint32_t i = 0; i < count; i++) {
            if (slots[i].used != 0 && memcmp(slots[i].origin, self->origin, EMMAP_ORIGIN_SIZE) == 0) {
                self->slot = from + i;
                self->last = slots[i].number;
                *found = true;
                return EMMAP_OK;
            }
            if (slots[i].used < oldest) {
                oldest = slots[i].used;
                self->slot = from + i;
            }
            if (slots[i].used == 0)
                return EMMAP_OK;
        }
    }
    return EMMAP_OK;
}

emmap_error emi_relayed_begin(operation_t *operation, relayed_t *self)
{
    self->fd = -1;
    self->last = 0;
    emmap_error error = open_file(operation, self->number > 0, &self->fd);
    /* A question about a number makes no file. */
    if (error == ENOENT && self->number == 0)
        return EMMAP_OK;
    bool found = false;
    if (!error)
        error = find(self, &found);
    if (error || found || self->number == 0)
        return error;
    relayed_slot_t slot = {.used = clock_now()};
    memcpy(slot.origin, self->origin, sizeof slot.origin);
    error = write_at(self->fd, &slot, sizeof slot, place_of(self->slot));
    PAUSE("relayed_origin");
    return error;
}

void emi_relayed_end(const relayed_t *self)
{
    if (self->fd >= 0)
        close(self->fd);
}

emmap_error emi_relayed_commit(operation_t *operation, relayed_t *self, queue_header_t *header)
{
    const relayed_head_t pending = {.number = self->number, .slot = self->slot, .tail = header->tail};
    emmap_error error =
        write_at(self->fd, (const uint8_t *)&pending + PENDING_AT, PENDING_LENGTH, (off_t)PENDING_AT);
    PAUSE("relayed_pending");
    if (!error && header->synced)
        error = emi_operation_sync(operation);
    if (!error && header->synced)
        error = sync_file(self->fd);
    header->numbered = !error;
    return error;
}

/* Notes the number that is pending for this tail. */
static emmap_error note(int fd, queue_header_t header)
{
    relayed_head_t head;
    relayed_slot_t slot;
    emmap_error error = read_at(fd, &head, sizeof head, 0);
    if (error || head.slot >= RELAYED_SLOTS || head.tail != header.tail)
        return error;
    error = read_at(fd, &slot, sizeof slot, place_of(head.slot));
    if (error || slot.number >= head.number)
        return error;
    slot.number = head.number;
    slot.used = clock_now();
    error = write_at(fd, &slot, sizeof slot, place_of(head.slot));
    PAUSE("relayed_number");
    return !error && header.synced ? sync_file(fd) : error;
}

emmap_error emi_queue_settle(operation_t *operation, queue_header_t *header)
{
    int fd;
    emmap_error error = emi_require_blocking();
    if (!error && header->synced)
        error = emi_operation_sync(operation);
    if (error == EAGAIN)
        return error;
    if (!error)
        error = open_file(operation, false, &fd);
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
        return error;
    if (!error) {
        error = note(fd, *header);
        close(fd);
    }
    header->numbered = false;
    const queue_count_t noted = queue_count_begin(operation, *header);
    queue_header_store(operation->mapping->data, *header);
    if (noted.known)
        queue_count_note(&noted, operation, noted.count);
    PAUSE("relayed_done");
    return error;
}
