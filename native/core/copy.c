/*
 * A copy of up to EMMAP_PIECE bytes runs under the byte lock and a pin. A longer one takes a slice, so that the
 * mapping stays while others replace or close it, and the lock anew for each piece, so that nobody waits for
 * more than a piece.
 */
#include "copy.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "file.h"
#include "loans.h"
#include "vectors.h"

/* True: the lock is held alone, as unlock_bytes has to know. */
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

/* Where a read goes: into what the sink allocates, or into a list that is there already. */
typedef struct destination {
    const emmap_sink *sink; /* NULL: `place` it is */
    uint8_t *memory;        /* for the next byte, of what the sink allocated */
    vectors place;
} destination;

static emmap_error allocate(destination *self, size_t length)
{
    if (!self->sink)
        return EMMAP_OK;
    self->memory = self->sink->allocate(self->sink->context, length);
    return self->memory ? EMMAP_OK : error_set(ENOMEM, "no memory for the bytes to be read");
}

static void put(destination *self, const uint8_t *data, size_t length)
{
    if (!self->sink) {
        vectors_scatter(&self->place, data, length);
        return;
    }
    memcpy(self->memory, data, length);
    self->memory += length;
}

/* A piece of a long copy, from where the file's bytes are now: those of a private mapping move when a resize
 * replaces it. The slice's loan sees to it that the new one reaches as far. */
typedef struct piece {
    uint8_t *data;
    size_t length;
    visit visit;
    bool visiting;
    bool alone; /* holds the byte lock alone */
} piece;

static piece piece_begin(emmap_file *file, const emmap_slice *slice, uint64_t done, bool writing)
{
    const uint64_t left = slice->length - done;
    piece self = {.length = left < EMMAP_PIECE ? (size_t)left : EMMAP_PIECE};
    self.alone = lock_bytes(file, writing);
    /* A file that is closed meanwhile leaves us the slice. */
    self.visiting = (file->options.flags & EMMAP_OPEN_PRIVATE) && visit_begin(file, &self.visit) == EMMAP_OK;
    const emmap_mapping *const mapping = self.visiting ? self.visit.mapping : slice->mapping;
    self.data = mapping->data + (slice->data - slice->mapping->data) + done;
    return self;
}

static void piece_end(emmap_file *file, piece *self)
{
    if (self->visiting)
        pin_release(self->visit.pin);
    unlock_bytes(file, self->alone);
}

static emmap_error slice_to(emmap_file *file, emmap_slice *slice, destination *to)
{
    emmap_error error = allocate(to, slice->length);
    for (uint64_t done = 0; !error && done < slice->length; done += EMMAP_PIECE) {
        piece piece = piece_begin(file, slice, done, false);
        put(to, piece.data, piece.length);
        piece_end(file, &piece);
        error = file_check(file);
    }
    emmap_slice_release(slice);
    return error;
}

static emmap_error read_to(emmap_file *file, uint64_t position, uint64_t length, destination *to,
                           uint64_t *transferred)
{
    *transferred = 0;
    emmap_slice slice = {0};
    visit visit;
    const bool alone = lock_bytes(file, false);
    emmap_error error = visit_begin(file, &visit);
    if (!error) {
        const uint64_t size = visit.mapping->size;
        const uint64_t left = position < size ? size - position : 0;
        const uint64_t run = length < left ? length : left;
        emmap_error failed = EMMAP_OK;
        if (position > INT64_MAX || length > INT64_MAX)
            failed = error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
        else if (left == 0)
            failed = EMMAP_EOF;
        else if (run > EMMAP_PIECE)
            failed = loans_take(visit.mapping, position, run, &slice);
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

emmap_error copy_out(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink,
                     uint64_t *transferred)
{
    destination to = {.sink = sink};
    return read_to(file, position, length, &to, transferred);
}

emmap_error copy_slice_out(emmap_file *file, emmap_slice *slice, const emmap_sink *sink)
{
    destination to = {.sink = sink};
    return slice_to(file, slice, &to);
}

emmap_error emmap_pread(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink)
{
    uint64_t transferred;
    return copy_out(file, position, length, sink, &transferred);
}

emmap_error emmap_preadv(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                         uint64_t *transferred)
{
    uint64_t length;
    *transferred = 0;
    if (!vectors_total(list, count, &length))
        return error_set(EINVAL, "the lengths add up to more than 2^63 - 1");
    destination to = {.place = {.next = list}};
    uint64_t run;
    const emmap_error error = read_to(file, position, length, &to, &run);
    *transferred = error ? 0 : run;
    return error;
}

static emmap_error slice_from(emmap_file *file, emmap_slice *slice, vectors *from)
{
    emmap_error error = EMMAP_OK;
    for (uint64_t done = 0; !error && done < slice->length; done += EMMAP_PIECE) {
        piece piece = piece_begin(file, slice, done, true);
        vectors_gather(piece.data, from, piece.length);
        piece_end(file, &piece);
        /* A store may be on its way while a later load is done: only behind a fence does the status word tell
         * whether the page was still the file's. Pairs with the fence of the SIGBUS handler. */
        fence_light();
        error = file_check(file);
    }
    emmap_slice_release(slice);
    return error;
}

emmap_error copy_in(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                    uint64_t *transferred)
{
    uint64_t length = 0;
    *transferred = 0;
    const bool countable = vectors_total(list, count, &length);
    vectors from = {.next = list};
    emmap_slice slice = {0};
    visit visit;
    lock_bytes(file, true);
    emmap_error error = visit_begin(file, &visit);
    if (!error) {
        const uint64_t size = visit.mapping->size;
        emmap_error failed = EMMAP_OK;
        if (position > INT64_MAX || !countable)
            failed = error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
        else if (!(file->options.flags & EMMAP_OPEN_WRITE))
            failed = error_set(EACCES, "the file is open for reading only");
        else if (length > 0 && (position > size || length > size - position))
            failed = error_set(EINVAL, "the write would pass the end of the mapping");
        else if (length > EMMAP_PIECE)
            failed = loans_take(visit.mapping, position, length, &slice);
        else if (length > 0) {
            vectors_gather(visit.mapping->data + position, &from, (size_t)length);
            fence_light(); /* as in slice_from */
        }
        error = visit_end(file, &visit);
        if (!error)
            error = failed;
    }
    unlock_bytes(file, true);
    if (slice.mapping) {
        const emmap_error copied = slice_from(file, &slice, &from);
        error = error ? error : copied;
    }
    *transferred = error ? 0 : length;
    return error;
}

emmap_error emmap_pwrite(emmap_file *file, uint64_t position, const struct iovec *list, size_t count)
{
    uint64_t transferred;
    return copy_in(file, position, list, count, &transferred);
}
