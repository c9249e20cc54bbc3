/*
 * A copy of up to EMMAP_PIECE bytes runs under the lock `bytes` and a pin. A longer copy takes a slice, so
 * the mapping stays while others replace or close it, and takes the lock again for each piece, so nobody
 * waits for more than one piece. Bytes that overlap with their own place in the file go through separate
 * memory (overlap.h).
 */
#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file.h"
#include "mapping.h"
#include "overlap.h"
#include "slice.h"
#include "vectors.h"

/* True: the lock is held alone, which unlock_bytes needs to know. */
static bool lock_bytes(emmap_file *file, bool writing)
{
    if (file->options.flags & EMMAP_OPEN_NOLOCK)
        return true;
    if (!writing)
        return thread_lock_share(&file->bytes);
    thread_lock_take(&file->bytes);
    return true;
}

static void unlock_bytes(emmap_file *file, bool alone)
{
    if (!(file->options.flags & EMMAP_OPEN_NOLOCK))
        thread_lock_unshare(&file->bytes, alone);
}

/* Where a read puts its bytes: into memory of the sink, or into a list of the caller's. */
typedef struct destination {
    const emmap_sink *sink; /* NULL: use `place` */
    uint8_t *memory;        /* of the sink, for the next byte */
    vectors_t place;
} destination_t;

static emmap_error allocate(destination_t *self, size_t length)
{
    if (!self->sink)
        return EMMAP_OK;
    self->memory = self->sink->allocate(self->sink->context, length);
    return self->memory ? EMMAP_OK : emi_error_set(ENOMEM, "no memory for the bytes to be read");
}

static void put(destination_t *self, const uint8_t *data, size_t length)
{
    if (!self->sink) {
        emi_vectors_scatter(&self->place, data, length);
        return;
    }
    memcpy(self->memory, data, length);
    self->memory += length;
}

/* A piece of a long copy, at the bytes' current place: a resize moves those of a private mapping. The slice's
 * loan keeps the new mapping long enough. */
typedef struct piece {
    uint8_t *data;
    size_t length;
    visit_t visit;
    bool visiting;
    bool alone; /* the lock is held alone */
} piece_t;

static piece_t piece_begin(emmap_file *file, const emmap_slice *slice, uint64_t done, bool writing)
{
    const uint64_t left = slice->length - done;
    piece_t self = {.length = left < EMMAP_PIECE ? (size_t)left : EMMAP_PIECE};
    self.alone = lock_bytes(file, writing);
    /* If the file was closed meanwhile, the slice is still there. */
    self.visiting = (file->options.flags & EMMAP_OPEN_PRIVATE) && visit_begin(file, &self.visit) == EMMAP_OK;
    const emmap_mapping *const mapping = self.visiting ? self.visit.mapping : slice->mapping;
    self.data = mapping->data + (slice->data - slice->mapping->data) + done;
    return self;
}

static void piece_end(emmap_file *file, piece_t *self)
{
    if (self->visiting)
        pin_release(self->visit.pin);
    unlock_bytes(file, self->alone);
}

static emmap_error slice_to(emmap_file *file, emmap_slice *slice, destination_t *to)
{
    emmap_error error = allocate(to, slice->length);
    for (uint64_t done = 0; !error && done < slice->length; done += EMMAP_PIECE) {
        piece_t piece = piece_begin(file, slice, done, false);
        put(to, piece.data, piece.length);
        piece_end(file, &piece);
        error = emi_file_check(file);
    }
    emmap_slice_release(slice);
    return error;
}

/* Inlined into its callers: reading a page takes hardly longer than a call. */
__attribute__((always_inline)) static inline emmap_error
read_to(emmap_file *file, uint64_t position, uint64_t length, destination_t *to, uint64_t *transferred)
{
    *transferred = 0;
    emmap_slice slice = {0};
    visit_t visit;
    emmap_error error = file_owned(file);
    if (error)
        return error;
    const bool alone = lock_bytes(file, false);
    error = visit_begin(file, &visit);
    if (!error) {
        const uint64_t size = visit.mapping->size;
        const uint64_t left = position < size ? size - position : 0;
        const uint64_t run = length < left ? length : left;
        emmap_error failed = EMMAP_OK;
        if (position > INT64_MAX || length > INT64_MAX)
            failed = emi_error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
        else if (left == 0)
            failed = EMMAP_EOF;
        else if (run > EMMAP_PIECE)
            failed = emi_slice_take(visit.mapping, position, run, &slice);
        else if ((failed = allocate(to, (size_t)run)) == EMMAP_OK)
            put(to, visit.mapping->data + position, (size_t)run);
        error = visit_end(file, &visit);
        if (!error)
            error = failed;
        *transferred = run;
    }
    unlock_bytes(file, alone);
    if (slice.mapping) {
        const emmap_error copied = slice_to(file, &slice, to);
        error = error ? error : copied;
    }
    return error;
}

emmap_error emi_copy_out(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink,
                         uint64_t *transferred)
{
    destination_t to = {.sink = sink};
    return read_to(file, position, length, &to, transferred);
}

emmap_error emi_copy_slice_out(emmap_file *file, emmap_slice *slice, const emmap_sink *sink)
{
    destination_t to = {.sink = sink};
    return slice_to(file, slice, &to);
}

emmap_error emmap_pread(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink)
{
    uint64_t transferred;
    destination_t to = {.sink = sink};
    return read_to(file, position, length, &to, &transferred);
}

static void *allocate_room(void *context, size_t length)
{
    return *(void **)context = malloc(length);
}

/* Reads by way of separate memory. */
static emmap_error read_around(emmap_file *file, uint64_t position, uint64_t length, const struct iovec *list,
                               uint64_t *run)
{
    void *room = NULL;
    const emmap_sink sink = {.allocate = allocate_room, .context = &room};
    const emmap_error error = emi_copy_out(file, position, length, &sink, run);
    if (!error)
        emi_vectors_scatter(&(vectors_t){.next = list}, room, (size_t)*run);
    free(room);
    return error;
}

emmap_error emmap_preadv(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                         uint64_t *transferred)
{
    uint64_t length;
    *transferred = 0;
    if (!emi_vectors_total(list, count, &length))
        return emi_error_set(EINVAL, "the lengths add up to more than 2^63 - 1");
    uint64_t run;
    emmap_error error;
    if (position <= INT64_MAX && !overlap_is_plain(file, list, count) &&
        emi_overlap_find(file, position, list, count, length) != OVERLAP_NONE) {
        error = read_around(file, position, length, list, &run);
    } else {
        destination_t to = {.place = {.next = list}};
        error = read_to(file, position, length, &to, &run);
    }
    *transferred = error ? 0 : run;
    return error;
}

/* A range of bytes that overlaps with its own place in the file. */
typedef struct detour {
    const uint8_t *bytes;
    uint8_t *room; /* memory for one piece */
    bool backward; /* copy the last piece first */
} detour_t;

/* Copies a piece of the list, or of the range with a detour. */
static inline void copy_piece(uint8_t *to, vectors_t *from, const detour_t *around, uint64_t done,
                              size_t length)
{
    if (!around) {
        emi_vectors_gather(to, from, length);
        return;
    }
    memcpy(around->room, around->bytes + done, length);
    memcpy(to, around->room, length);
}

static emmap_error slice_from(emmap_file *file, emmap_slice *slice, vectors_t *from, const detour_t *around)
{
    const uint64_t last = (slice->length - 1) / EMMAP_PIECE;
    emmap_error error = EMMAP_OK;
    for (uint64_t i = 0; !error && i <= last; i++) {
        const uint64_t done = (around && around->backward ? last - i : i) * EMMAP_PIECE;
        piece_t piece = piece_begin(file, slice, done, true);
        copy_piece(piece.data, from, around, done, piece.length);
        piece_end(file, &piece);
        /* The processor may do a later load before this store. Only behind a fence does the status word tell
         * whether the store still met the file's page. Pairs with the fence of the SIGBUS handler. */
        fence_light();
        error = emi_file_check(file);
    }
    emmap_slice_release(slice);
    return error;
}

/* Compiled twice: most writes have no detour and do not check for one. */
__attribute__((always_inline)) static inline emmap_error write_either(emmap_file *file, uint64_t position,
                                                                      const struct iovec *list, size_t count,
                                                                      const detour_t *around,
                                                                      uint64_t *transferred)
{
    uint64_t length = 0;
    *transferred = 0;
    const bool countable = emi_vectors_total(list, count, &length);
    vectors_t from = {.next = list};
    emmap_slice slice = {0};
    visit_t visit;
    emmap_error error = file_owned(file);
    if (error)
        return error;
    lock_bytes(file, true);
    error = visit_begin(file, &visit);
    if (!error) {
        const uint64_t size = visit.mapping->size;
        emmap_error failed = EMMAP_OK;
        if (position > INT64_MAX || !countable)
            failed = emi_error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
        else if (!file_may_write(file))
            failed = emi_error_set(EACCES, "the file is open for reading only");
        else if (length > 0 && (position > size || length > size - position))
            failed = emi_error_set(EINVAL, "the write would pass the end of the mapping");
        else if (length > EMMAP_PIECE)
            failed = emi_slice_take(visit.mapping, position, length, &slice);
        else if (length > 0) {
            copy_piece(visit.mapping->data + position, &from, around, 0, (size_t)length);
            fence_light(); /* as in slice_from */
        }
        error = visit_end(file, &visit);
        if (!error)
            error = failed;
    }
    unlock_bytes(file, true);
    if (slice.mapping) {
        const emmap_error copied = slice_from(file, &slice, &from, around);
        error = error ? error : copied;
    }
    *transferred = error ? 0 : length;
    return error;
}

static emmap_error write_plainly(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                                 uint64_t *transferred)
{
    return write_either(file, position, list, count, NULL, transferred);
}

/* Needs memory for the whole list, or for one piece if a single range can be written in the right order. */
static emmap_error write_around(emmap_file *file, uint64_t position, const struct iovec *list, overlap_t how,
                                uint64_t length, uint64_t *transferred)
{
    const bool whole = how == OVERLAP_MIXED;
    uint8_t *const room = malloc(!whole && length > EMMAP_PIECE ? EMMAP_PIECE : (size_t)length);
    if (!room)
        return emi_error_set(ENOMEM, "no memory for a copy of bytes that overlap with their target");
    const struct iovec copied = {.iov_base = room, .iov_len = (size_t)length};
    const detour_t by_pieces = {.bytes = list->iov_base, .room = room, .backward = how == OVERLAP_BACKWARD};
    if (whole)
        emi_vectors_gather(room, &(vectors_t){.next = list}, (size_t)length);
    const emmap_error error = whole ? write_plainly(file, position, &copied, 1, transferred)
                                    : write_either(file, position, list, 1, &by_pieces, transferred);
    free(room);
    return error;
}

/* A list that may overlap with its place. A write that is refused anyway must not allocate memory first. */
__attribute__((noinline)) static emmap_error write_carefully(emmap_file *file, uint64_t position,
                                                             const struct iovec *list, size_t count,
                                                             uint64_t *transferred)
{
    uint64_t length, size;
    overlap_t how = OVERLAP_NONE;
    *transferred = 0;
    if (file_may_write(file) && emi_vectors_total(list, count, &length) && length > 0 &&
        emmap_size(file, &size) == EMMAP_OK && position <= size && length <= size - position)
        how = emi_overlap_find(file, position, list, count, length);
    return how == OVERLAP_NONE ? write_plainly(file, position, list, count, transferred)
                               : write_around(file, position, list, how, length, transferred);
}

emmap_error emi_copy_in(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                        uint64_t *transferred)
{
    return overlap_is_plain(file, list, count) ? write_plainly(file, position, list, count, transferred)
                                               : write_carefully(file, position, list, count, transferred);
}

emmap_error emmap_pwrite(emmap_file *file, uint64_t position, const struct iovec *list, size_t count)
{
    uint64_t transferred;
    return emi_copy_in(file, position, list, count, &transferred);
}
