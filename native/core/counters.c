/*
 * A counters file:
 *
 *   offset 0        8 bytes   "EMMAP01\n"; any two characters are accepted as the version
 *   offset 8        8 bytes   number of counters N, unsigned, little-endian
 *   offset 16+8*i   8 bytes   counter i, signed, native-endian
 *
 * Nothing follows the last counter. A creator reserves the space, writes N, and the magic last. So a file
 * without the magic, whose other bytes are zeros, has a creator that died; the next opener finishes it.
 * LOCK_CONTAINER is held from the first look to the last store. A reader that finds the magic needs no lock.
 *
 * Growing has three steps, each on the disk before the next:
 *
 *   1. the version becomes "0g"
 *   2. the file gets its new size
 *   3. version and number are written in one store
 *
 * So a file of version "0g" may have zeros behind its last counter, which the next writer cuts off. Open
 * handles keep their mapping of the old size, and never read the number again.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "emmap.h"
#include "error.h"
#include "lock.h"
#include "mapping.h"
#include "open.h"
#include "pause.h"
#include "platform.h"
#include "size.h"
#include "word.h"

#define HEADER_SIZE 16
#define COUNT_MAX ((uint64_t)1 << 32)

static const char magic[8] = {'E', 'M', 'M', 'A', 'P', '0', '1', '\n'};

typedef struct preparer {
    file_preparer_t base;
    uint64_t count; /* the count asked for; 0: any */
} preparer_t;

static const char growing[8] = {'E', 'M', 'M', 'A', 'P', '0', 'g', '\n'};

static uint64_t size_of(uint64_t count)
{
    return HEADER_SIZE + 8 * count;
}

static uint64_t little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static emmap_error write_at(int fd, const void *bytes, size_t length, off_t offset)
{
    const ssize_t written = pwrite(fd, bytes, length, offset);
    if (written < 0)
        return emi_error_from_errno("pwrite");
    return (size_t)written == length ? EMMAP_OK
                                     : emi_error_from_syscall(EIO, "pwrite", "the header was cut short");
}

static emmap_error create(int fd, const emmap_options *options, uint64_t count)
{
    PAUSE("counters_create_begin");
    emmap_error error = emi_file_extend(fd, options, size_of(count));
    uint8_t number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (uint8_t)(count >> 8 * i);
    PAUSE("counters_create_sized");
    if (!error)
        error = write_at(fd, number, sizeof number, 8);
    PAUSE("counters_create_counted");
    if (!error)
        error = write_at(fd, magic, sizeof magic, 0);
    PAUSE("counters_create_done");
    return error;
}

/* Up to `length` bytes; fewer at the end of the file. */
static emmap_error read_at(int fd, uint8_t *bytes, size_t length, uint64_t offset, size_t *got)
{
    const ssize_t result = pread(fd, bytes, length, (off_t)offset);
    if (result < 0)
        return emi_error_from_errno("pread");
    *got = (size_t)result;
    return EMMAP_OK;
}

static bool zeros(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Whether every byte from an offset on is 0. */
static emmap_error rest_is_zeros(int fd, uint64_t from, bool *result)
{
    uint8_t piece[4096];
    size_t got = 0;
    *result = true;
    for (uint64_t at = from; *result; at += got) {
        const emmap_error error = read_at(fd, piece, sizeof piece, at, &got);
        if (error || got == 0)
            return error;
        *result = zeros(piece, got);
    }
    return EMMAP_OK;
}

static emmap_error synced(int fd)
{
    return emi_platform_datasync(fd) == 0 ? EMMAP_OK : emi_error_from_errno("fdatasync");
}

/* In one write: they lie in one sector. */
static emmap_error write_header(int fd, uint64_t count)
{
    uint8_t header[HEADER_SIZE];
    memcpy(header, magic, sizeof magic);
    for (int i = 0; i < 8; i++)
        header[8 + i] = (uint8_t)(count >> 8 * i);
    return write_at(fd, header, sizeof header, 0);
}

static emmap_error grow(int fd, const emmap_options *options, uint64_t count)
{
    PAUSE("counters_grow_begin");
    emmap_error error = write_at(fd, growing, sizeof growing, 0);
    PAUSE("counters_grow_marked");
    if (!error)
        error = synced(fd);
    if (!error)
        error = emi_file_extend(fd, options, size_of(count));
    PAUSE("counters_grow_sized");
    if (!error)
        error = synced(fd);
    if (!error)
        error = write_header(fd, count);
    PAUSE("counters_grow_done");
    return error;
}

/* Undoes a growth that a death or a full disk left unfinished. */
static emmap_error ungrow(int fd, const emmap_options *options, uint64_t count)
{
    bool locked;
    emmap_error error = emi_size_lock(fd, options, &locked);
    if (!error)
        error = emi_size_cut(fd, size_of(count));
    if (locked)
        emi_size_unlock(fd);
    PAUSE("counters_ungrow_cut");
    if (!error)
        error = synced(fd);
    if (!error)
        error = write_header(fd, count);
    PAUSE("counters_ungrow_done");
    return error;
}

/* Whether a file with `count` counters can be what the caller asked for. It is unchanged if not. Errors:
 * EINVAL. */
static emmap_error check_count(const preparer_t *self, const emmap_options *options, uint64_t count)
{
    const bool any = self->count == 0 || self->count == count || (options->flags & EMMAP_OPEN_GROW);
    return any ? EMMAP_OK : emi_error_counters(count, self->count);
}

/* Grows a file that has fewer counters than the caller asked for. */
static emmap_error settle_count(int fd, const preparer_t *self, const emmap_options *options, uint64_t count)
{
    if (self->count <= count)
        return EMMAP_OK;
    const emmap_error error = grow(fd, options, self->count);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        ungrow(fd, options, count);
        emi_error_restore(&failure);
    }
    return error;
}

/* Checks the header of a file that is not empty against its size and the caller's wishes. */
static emmap_error examine(int fd, const preparer_t *self, const emmap_options *options, uint64_t size)
{
    uint8_t header[HEADER_SIZE] = {0};
    size_t got;
    emmap_error error = read_at(fd, header, sizeof header, 0, &got);
    if (error)
        return error;
    const uint64_t room = size >= HEADER_SIZE ? (size - HEADER_SIZE) / 8 : 0;
    const uint64_t count = little_endian(header + 8);
    if (memcmp(header, "EMMAP", 5) == 0 && header[7] == '\n') {
        const bool marked = memcmp(header, growing, sizeof growing) == 0;
        bool sound = count > 0 && count <= COUNT_MAX && size >= size_of(count);
        if (sound && size > size_of(count)) {
            sound = marked;
            error = marked ? rest_is_zeros(fd, size_of(count), &sound) : EMMAP_OK;
        }
        if (!error && !sound)
            return emi_error_corrupt(8, "the number of counters does not fit the file's size");
        if (!error)
            error = check_count(self, options, count);
        if (!error && marked && (options->flags & EMMAP_OPEN_WRITE))
            error = ungrow(fd, options, count);
        if (error)
            return error;
        return settle_count(fd, self, options, count);
    }
    bool unfinished = zeros(header, 8) && (count == 0 || count == room) && room > 0 && size == size_of(room);
    if (unfinished)
        error = rest_is_zeros(fd, HEADER_SIZE, &unfinished);
    if (error)
        return error;
    if (!unfinished || !(options->flags & EMMAP_OPEN_WRITE))
        return emi_error_corrupt(0, "not a counters file: no \"EMMAP01\\n\" at its beginning");
    error = check_count(self, options, room);
    if (!error)
        error = create(fd, options, room);
    return error ? error : settle_count(fd, self, options, room);
}

/* The magic is written last: if the file begins with other bytes than zeros, nobody is creating it. */
static emmap_error may_be_unfinished(int fd, bool *result)
{
    uint8_t start[sizeof magic];
    size_t got = 0;
    const emmap_error error = read_at(fd, start, sizeof start, 0, &got);
    *result = !error && zeros(start, got);
    return error;
}

static emmap_error examine_or_create(const preparer_t *self, int fd, const emmap_options *options)
{
    uint64_t size;
    const emmap_error error = emi_size_on_disk(fd, &size);
    if (error)
        return error;
    if (size > 0)
        return examine(fd, self, options, size);
    if (!(options->flags & EMMAP_OPEN_CREATE))
        return emi_error_corrupt(0, "not a counters file: it is empty");
    return create(fd, options, self->count ? self->count : 1);
}

static emmap_error prepare(const file_preparer_t *base, int fd, const emmap_options *options)
{
    const preparer_t *const self = (const preparer_t *)base;
    const bool may_write = options->flags & EMMAP_OPEN_WRITE;
    bool wait = true;
    /* A reader waits only for a creator: an exclusive queue would hold the lock for ever. */
    emmap_error error = may_write ? EMMAP_OK : may_be_unfinished(fd, &wait);
    if (!error && !wait)
        return examine_or_create(self, fd, options);
    patience_t patience = emi_patience_of(options);
    if (!error)
        error = emi_lock_acquire(fd, LOCK_CONTAINER, may_write ? LOCK_EXCLUSIVE : LOCK_SHARED, &patience);
    if (error)
        return error;
    error = examine_or_create(self, fd, options);
    emi_lock_release(fd, LOCK_CONTAINER);
    return error;
}

/* The count in the header: a growing file may be mapped with bytes behind its counters. */
static uint64_t counted(emmap_file *file, uint64_t room)
{
    visit_t visit;
    if (visit_begin(file, &visit) != EMMAP_OK)
        return room;
    const uint64_t count = little_endian(visit.mapping->data + 8);
    return visit_end(file, &visit) == EMMAP_OK && count < room ? count : room;
}

#define REFUSED_FLAGS (EMMAP_OPEN_ANON | EMMAP_OPEN_PRIVATE | EMMAP_OPEN_TRUNCATE | EMMAP_OPEN_FOLLOW)

emmap_error emmap_counters_open(const char *path, uint64_t count, const emmap_options *given,
                                emmap_file **result)
{
    *result = NULL;
    emmap_options options = given ? *given : (emmap_options){0};
    if (count > COUNT_MAX)
        return emi_error_set(EINVAL, "a counters file has from 1 to 2^32 counters");
    if ((options.flags & REFUSED_FLAGS) || options.offset || options.length || options.size)
        return emi_error_set(EINVAL,
                             "a counters file is mapped shared and whole, and its count decides its size");
    if (!(options.flags & (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)))
        options.flags |= EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE;
    options.flags |= EMMAP_OPEN_SHARED | EMMAP_OPEN_FIXED_SIZE;
    const preparer_t preparer = {.base = {prepare}, .count = count};
    const emmap_error error = emi_file_open(path, &options, &preparer.base, result);
    if (!error) {
        uint64_t size = 0;
        emmap_size(*result, &size);
        const uint64_t room = size > HEADER_SIZE ? (size - HEADER_SIZE) / 8 : 0;
        (*result)->counters = room ? counted(*result, room) : 0;
    }
    return error;
}

uint64_t emmap_counters_length(emmap_file *file)
{
    return file->counters;
}

static inline bool has(const emmap_file *file, uint64_t index)
{
    return index < file->counters;
}

/* On a closed file EMMAP_CLOSED counts more than a wrong index. */
static emmap_error no_such_counter(emmap_file *file)
{
    uint64_t size;
    const emmap_error error = emmap_size(file, &size);
    if (error)
        return error;
    return emi_error_set(EINVAL, file->counters ? "no such counter" : "not opened as a counters file");
}

emmap_error emmap_counter_add(emmap_file *file, uint64_t index, int64_t value, int64_t *old)
{
    return has(file, index) ? emmap_patomic_add(file, size_of(index), value, old) : no_such_counter(file);
}

emmap_error emmap_counter_sub(emmap_file *file, uint64_t index, int64_t value, int64_t *old)
{
    return has(file, index) ? emmap_patomic_sub(file, size_of(index), value, old) : no_such_counter(file);
}

emmap_error emmap_counter_set(emmap_file *file, uint64_t index, int64_t value, int64_t *old)
{
    return has(file, index) ? emmap_patomic_exchange(file, size_of(index), value, old)
                            : no_such_counter(file);
}

emmap_error emmap_counter_get(emmap_file *file, uint64_t index, int64_t *value)
{
    return has(file, index) ? emmap_patomic_load(file, size_of(index), value) : no_such_counter(file);
}

emmap_error emmap_counter_compare_exchange(emmap_file *file, uint64_t index, int64_t expected,
                                           int64_t replacement, int64_t *old)
{
    return has(file, index) ? emmap_patomic_compare_exchange(file, size_of(index), expected, replacement, old)
                            : no_such_counter(file);
}

emmap_error emmap_counter_wait_begin(emmap_file *file, uint64_t index, int64_t expected, uint64_t timeout,
                                     const emmap_waiter *waiter, emmap_wait **wait)
{
    *wait = NULL;
    return has(file, index) ? emmap_wait_begin(file, size_of(index), expected, timeout, waiter, wait)
                            : no_such_counter(file);
}

emmap_error emmap_counter_notify(emmap_file *file, uint64_t index, uint64_t count, uint64_t *woken)
{
    if (woken)
        *woken = 0;
    return has(file, index) ? emmap_notify(file, size_of(index), count, woken) : no_such_counter(file);
}
