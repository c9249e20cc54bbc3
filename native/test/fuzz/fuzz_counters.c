/*
 * Opens a file of any content as a counters file and uses it, as counters and as a file, while another writer changes
 * bytes and cuts the file. As long as that writer does nothing, the counters are equal to a model's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

enum { READ_ONLY = 1, NO_CREATE = 2, ANY_COUNT = 4, EXCLUSIVE = 8, DISTURBED_OPEN = 32 };

#define MODEL_MAX 1024u

typedef struct world {
    uint8_t options;
    emmap_file *file;
    bool faulted;
    unsigned disturbed_before; /* the operation */
    bool known;
    uint64_t count;
    int64_t values[MODEL_MAX];
} world;

static void begin(world *self)
{
    self->disturbed_before = disturbed.count;
}

/* True if the model knows the result of the operation. */
static bool end(world *self, emmap_error error)
{
    if (error == EFAULT) {
        require(disturbed.truncated);
        self->faulted = true;
    }
    if (self->faulted) {
        uint64_t size;
        require(emmap_size(self->file, &size) == EFAULT);
    }
    if (disturbed.count != self->disturbed_before)
        self->known = false;
    return self->known && !error;
}

static int64_t wrapping(int64_t one, int64_t other, bool negative)
{
    return (int64_t)(negative ? (uint64_t)one - (uint64_t)other : (uint64_t)one + (uint64_t)other);
}

static void change(world *self, script *script, unsigned how)
{
    const uint16_t which = script_short(script);
    const uint64_t index = which == UINT16_MAX ? script_long(script) : which % (self->count + 2);
    const int64_t operand = (int64_t)script_long(script);
    /* Compares the counters that the model holds. */
    int64_t *const value = index < self->count ? &self->values[index % MODEL_MAX] : NULL;
    int64_t old = 0, after = 0, expected = 0;
    emmap_error error;
    begin(self);
    switch (how) {
    case 0:
        error = emmap_counter_add(self->file, index, operand, &old);
        break;
    case 1:
        error = emmap_counter_sub(self->file, index, operand, &old);
        break;
    case 2:
        error = emmap_counter_set(self->file, index, operand, &old);
        break;
    case 3:
        error = emmap_counter_get(self->file, index, &old);
        break;
    default:
        expected = which & 0x4000 || !value ? operand : *value;
        error = emmap_counter_compare_exchange(self->file, index, expected, operand, &old);
        break;
    }
    require_error(error, EINVAL, EACCES, EFAULT);
    require((error == EINVAL) == !value || error == EFAULT);
    require(error != EACCES || ((self->options & READ_ONLY) && how != 3));
    if (!end(self, error))
        return;
    require(old == *value);
    after = how == 3 ? old : how < 2 ? wrapping(old, operand, how == 1) : operand;
    if (how > 3 && old != expected)
        after = old;
    *value = after;
}

static void read_bytes(world *self, uint64_t position, uint64_t length)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    begin(self);
    const emmap_error error = emmap_pread(self->file, position, length, &sink);
    require_error(error, EMMAP_EOF, EINVAL, EFAULT, ENOMEM);
    require(error || (got.count == 1 && got.list[0].length <= length));
    if (end(self, error) && position >= 16 && position % 8 == 0)
        for (size_t at = 0; at + 8 <= got.list[0].length && (position - 16 + at) / 8 < self->count; at += 8)
            require(memcmp(got.list[0].bytes + at, &self->values[(position - 16 + at) / 8], 8) == 0);
    pieces_free(&got);
}

/* Writes only over the counters: without its header the file would be no counters file. */
static void write_bytes(world *self, uint64_t position, uint8_t byte, size_t length)
{
    uint8_t bytes[256];
    memset(bytes, byte, sizeof bytes);
    const struct iovec vector = {.iov_base = bytes, .iov_len = length};
    begin(self);
    const emmap_error error = emmap_pwrite(self->file, position, &vector, 1);
    require_error(error, EINVAL, EACCES, EFAULT);
    if (end(self, error)) {
        const uint64_t room = 8 * self->count, at = position - 16;
        /* A mapping that has followed the file's growth ends behind the counters. */
        require(length == 0 || at + length <= room || disturbed.grown);
        if (at < room)
            memcpy((uint8_t *)self->values + at, bytes, length < room - at ? length : room - at);
    }
}

static void use_cursor(world *self, script *script)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    uint64_t position;
    begin(self);
    emmap_error error = emmap_position(self->file, (int64_t)script_long(script),
                                       (emmap_whence)(script_byte(script) % 3), &position);
    require_error(error, EINVAL, EFAULT);
    error = script_byte(script) & 1 ? emmap_read(self->file, script_short(script), &sink)
                                    : emmap_read_line(self->file, &sink);
    require_error(error, EMMAP_EOF, EFAULT);
    end(self, error);
    pieces_free(&got);
}

static void use_slice(world *self, uint64_t position, uint64_t length)
{
    emmap_slice slice;
    begin(self);
    const emmap_error error = emmap_pread_direct(self->file, position, length, &slice);
    require_error(error, EMMAP_EOF, EINVAL, EFAULT);
    uint8_t sum = 0;
    disturb_point();
    for (uint64_t i = 0; !error && i < slice.length; i++)
        sum ^= slice.data[i];
    __asm__ volatile("" : : "r"(sum));
    end(self, !error && emmap_slice_faulted(&slice) ? (emmap_error)EFAULT : error);
    emmap_slice_release(&slice);
}

static void use_size(world *self, script *script)
{
    uint64_t size = script_long(script);
    begin(self);
    switch (script_byte(script) % 5) {
    case 0:
        require_error(emmap_resize(self->file, size, NULL), EMMAP_FIXED_SIZE, EACCES, EINVAL, EFAULT);
        break;
    case 1:
        require_error(emmap_truncate(self->file), EMMAP_FIXED_SIZE, EACCES, EFAULT);
        break;
    case 2:
        require_error(emmap_follow(self->file, &size), EFAULT);
        break;
    case 3:
        require_error(emmap_advise(self->file, size, script_long(script), (emmap_advice)(size % 6)), EINVAL,
                      EFAULT);
        break;
    default:
        require_error(emmap_sync(self->file), EFAULT);
        break;
    }
    end(self, EMMAP_OK);
}

/* The file is no queue, and no storage unless it looks like one. */
static void attach(world *self, bool queue)
{
    begin(self);
    const emmap_error error = queue ? emmap_queue_attach(self->file) : emmap_blocks_attach(self->file, 0, 0);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT);
    end(self, error == EFAULT ? error : EMMAP_OK);
    /* Opening a storage may repair it. */
    if (!error)
        self->known = false;
}

/* False: the file was refused, and is unchanged. */
static bool open_it(world *self, uint64_t count)
{
    const uint8_t asked = self->options;
    emmap_options options = {0};
    if (asked & (READ_ONLY | NO_CREATE | EXCLUSIVE))
        options.flags = asked & READ_ONLY
                            ? EMMAP_OPEN_READ
                            : EMMAP_OPEN_WRITE | (asked & EXCLUSIVE ? EMMAP_OPEN_EXCLUSIVE : 0u) |
                                  (asked & NO_CREATE ? 0u : EMMAP_OPEN_CREATE);
    opening opening = opening_begin();
    begin(self);
    const emmap_error error = emmap_counters_open(subject_path(), count, &options, &self->file);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG);
    const bool as_it_was = disturbed.count == self->disturbed_before && !disturbed.grown;
    opening_end(&opening, error);
    const content after = subject_read();
    self->known = !error && as_it_was && after.length <= 16 + sizeof self->values;
    if (!error)
        self->count = emmap_counters_length(self->file);
    if (self->known) {
        /* A process that died while it grew the file may leave bytes behind the counters. A reader keeps them. */
        const bool growing = (asked & READ_ONLY) && memcmp(after.bytes, "EMMAP0g\n", 8) == 0;
        const size_t length = 16 + 8 * self->count;
        require((growing ? after.length >= length : after.length == length) &&
                memcmp(after.bytes, "EMMAP", 5) == 0);
        memcpy(self->values, after.bytes + 16, 8 * self->count);
    }
    free(after.bytes);
    return !error;
}

static void step(world *self, script *script)
{
    const uint8_t operation = script_byte(script);
    switch (operation % 14) {
    case 5:
        read_bytes(self, script_short(script) % 64, script_short(script));
        break;
    case 6:
        read_bytes(self, script_long(script), script_long(script));
        break;
    case 7:
        write_bytes(self, 16u + script_short(script) % 128, script_byte(script), script_byte(script));
        break;
    case 8:
        use_cursor(self, script);
        break;
    case 9:
        use_slice(self, script_short(script) % 64, script_short(script));
        break;
    case 10:
        use_size(self, script);
        break;
    case 11:
        attach(self, operation & 0x80);
        break;
    case 12:
        disturb_later(script);
        break;
    case 13:
        begin(self);
        disturb_now(script);
        end(self, EMMAP_OK);
        break;
    default:
        change(self, script, operation % 14);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world world;
    script script;
    uint8_t options;
    if (!subject_load(data, size, &options, &script))
        return 0;
    memset(&world, 0, sizeof world);
    world.options = options;
    const uint64_t count = options & ANY_COUNT ? 0 : script_byte(&script);
    if (options & DISTURBED_OPEN)
        disturb_later(&script);
    while (!world.file && open_it(&world, count)) {
        while (script.left > 0 && *script.next != 255)
            step(&world, &script);
        emmap_free(world.file);
        world.faulted = false;
        if (script.left > 0) {
            script_byte(&script);
            world.file = NULL;
        }
    }
    subject_inspect(size);
    return 0;
}
