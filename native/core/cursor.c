/* Reads and writes at the cursor. It moves only if they succeed. `file->cursor` is held all the time, so no
 * two callers get the same bytes. */
#include <errno.h>
#include <string.h>

#include "copy.h"
#include "cursor.h"
#include "emmap.h"
#include "error.h"
#include "file.h"
#include "slice.h"

uint64_t emi_cursor_get(const emmap_file *file)
{
    return __atomic_load_n(&file->control.cursor, __ATOMIC_RELAXED);
}

static void set(emmap_file *file, uint64_t position)
{
    __atomic_store_n(&file->control.cursor, position, __ATOMIC_RELAXED);
}

emmap_error emmap_read(emmap_file *file, uint64_t length, const emmap_sink *sink)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    const uint64_t from = emi_cursor_get(file);
    uint64_t run;
    const emmap_error error = emi_copy_out(file, from, length, sink, &run);
    if (!error)
        set(file, from + run);
    pthread_mutex_unlock(&file->cursor);
    return error;
}

emmap_error emmap_read_direct(emmap_file *file, uint64_t length, emmap_slice *slice)
{
    *slice = (emmap_slice){0};
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    const emmap_error error = emmap_pread_direct(file, emi_cursor_get(file), length, slice);
    if (!error)
        set(file, emi_cursor_get(file) + slice->length);
    pthread_mutex_unlock(&file->cursor);
    return error;
}

/* The line at the cursor. The caller holds `cursor`. */
static emmap_error line(emmap_file *file, emmap_slice *slice)
{
    emmap_error error = emmap_pread_direct(file, emi_cursor_get(file), INT64_MAX, slice);
    if (error)
        return error;
    const uint8_t *const end = memchr(slice->data, '\n', slice->length);
    /* The rest of the file may be cut off while the slice lives. */
    if (end)
        emi_slice_cut(slice, (uint64_t)(end - slice->data) + 1);
    error = emi_file_check(file);
    if (error)
        emmap_slice_release(slice);
    return error;
}

static bool ends_in_cr_lf(const emmap_slice *line)
{
    return line->length >= 2 && line->data[line->length - 1] == '\n' && line->data[line->length - 2] == '\r';
}

/* A sink that remembers where its bytes are. */
typedef struct remembering_sink {
    emmap_sink base;
    const emmap_sink *inner;
    uint8_t *place;
} remembering_sink_t;

static void *allocate_and_remember(void *context, size_t length)
{
    remembering_sink_t *const self = context;
    return self->place = self->inner->allocate(self->inner->context, length);
}

/* Copies the line, with "\n" in place of "\r\n". Ends the slice. */
static emmap_error copy_line(emmap_file *file, emmap_slice *line, const emmap_sink *sink)
{
    if (!ends_in_cr_lf(line))
        return emi_copy_slice_out(file, line, sink);
    const uint64_t length = line->length - 1;
    emi_slice_cut(line, length);
    remembering_sink_t to = {.base = {.allocate = allocate_and_remember, .context = &to}, .inner = sink};
    const emmap_error error = emi_copy_slice_out(file, line, &to.base);
    if (!error)
        to.place[length - 1] = '\n';
    return error;
}

emmap_error emmap_read_line(emmap_file *file, const emmap_sink *sink)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    emmap_slice slice;
    emmap_error error = line(file, &slice);
    if (!error) {
        const uint64_t after = emi_cursor_get(file) + slice.length;
        error = copy_line(file, &slice, sink);
        if (!error)
            set(file, after);
    }
    pthread_mutex_unlock(&file->cursor);
    return error;
}

emmap_error emmap_read_line_direct(emmap_file *file, emmap_slice *slice, const emmap_sink *copy)
{
    *slice = (emmap_slice){0};
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    emmap_error error = line(file, slice);
    if (!error) {
        const uint64_t after = emi_cursor_get(file) + slice->length;
        if (ends_in_cr_lf(slice))
            error = copy_line(file, slice, copy);
        if (!error)
            set(file, after);
    }
    pthread_mutex_unlock(&file->cursor);
    return error;
}

emmap_error emmap_write(emmap_file *file, const struct iovec *list, size_t count)
{
    const emmap_error inherited = file_owned(file);
    if (inherited)
        return inherited;
    pthread_mutex_lock(&file->cursor);
    const uint64_t from = emi_cursor_get(file);
    uint64_t length;
    const emmap_error error = emi_copy_in(file, from, list, count, &length);
    if (!error)
        set(file, from + length);
    pthread_mutex_unlock(&file->cursor);
    return error;
}

emmap_error emmap_position(emmap_file *file, int64_t offset, emmap_whence whence, uint64_t *position)
{
    uint64_t size;
    emmap_error error = emmap_size(file, &size);
    if (error)
        return error;
    pthread_mutex_lock(&file->cursor);
    const uint64_t base = whence == EMMAP_FROM_START    ? 0
                          : whence == EMMAP_FROM_CURSOR ? emi_cursor_get(file)
                                                        : size;
    int64_t target;
    if (__builtin_add_overflow((int64_t)base, offset, &target) || target < 0) {
        error = emi_error_set(EINVAL, "the cursor would be below 0 or above 2^63 - 1");
    } else {
        set(file, (uint64_t)target);
        *position = (uint64_t)target;
    }
    pthread_mutex_unlock(&file->cursor);
    return error;
}
