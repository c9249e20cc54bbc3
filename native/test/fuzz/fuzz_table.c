/*
 * Opens a file of any content as a table and uses it, while another writer changes bytes and cuts the file. As long as that
 * writer does nothing, words are equal to a model's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"
#include "table_layout.h"

enum { DISTURBED_OPEN = 4, ANOTHER_BOOT = 8 };
enum { KEYS = 8, LONGEST = 100 };

typedef struct world {
    emmap_file *file;
    bool known[KEYS]; /* the first word of the key is `values`; absent: -1 */
    int64_t values[KEYS];
    unsigned count; /* unless the other writer has done something since then */
} world;

/* Keys of all lengths. */
static size_t key_of(uint8_t *bytes, unsigned number)
{
    static const uint8_t lengths[KEYS] = {1, 5, 20, 38, 39, 60, 64, LONGEST};
    memset(bytes, (int)('a' + number), lengths[number]);
    return lengths[number];
}

static bool is_undisturbed(const world *self)
{
    return disturbed.count == self->count && !disturbed.truncated;
}

/* Forgets everything when the other writer has been at work. */
static void look_around(world *self)
{
    if (is_undisturbed(self))
        return;
    memset(self->known, 0, sizeof self->known);
    self->count = disturbed.count;
}

static void change(world *self, script *script, unsigned how)
{
    uint8_t key[LONGEST];
    const unsigned number = script_byte(script) % KEYS;
    const size_t length = key_of(key, number);
    const int64_t operand = script_short(script);
    int64_t old = 0, after = operand;
    const int64_t before = self->values[number];
    const bool known = self->known[number];
    emmap_error error;
    switch (how) {
    case 0:
        error = emmap_table_add(self->file, key, length, 0, operand, &old);
        after = (before < 0 ? 0 : before) + operand;
        break;
    case 1:
        error = emmap_table_set(self->file, key, length, 0, operand, &old);
        break;
    case 2:
        error = emmap_table_compare_exchange(self->file, key, length, 0, 0, operand, &old);
        after = before > 0 ? before : operand;
        break;
    case 3:
        error = emmap_table_delete(self->file, key, length);
        after = -1;
        break;
    default:
        error = emmap_table_get(self->file, key, length, 0, &old);
        after = before;
        break;
    }
    require_error(error, EINVAL, EACCES, EFAULT, EMMAP_FULL, EMMAP_CORRUPT, ENOENT, EBUSY, ENOMEM);
    self->known[number] = false;
    if ((error && error != ENOENT) || !is_undisturbed(self))
        return;
    if (known) {
        require((error == ENOENT) == (how > 2 && before < 0));
        require(error || how == 3 || old == (before < 0 ? 0 : before));
    }
    self->known[number] = known || how == 1 || how == 3;
    self->values[number] = after;
}

static void hit(world *self, script *script)
{
    uint8_t key[16];
    memset(key, script_byte(script) | 0x80, sizeof key);
    emmap_table_hit_result result;
    const emmap_table_limit limit = {.limit = script_byte(script),
                                     .window_ms = script_short(script),
                                     .cost = script_byte(script) % 4,
                                     .flags = script_byte(script) % 4};
    const emmap_error error = emmap_table_hit(self->file, key, sizeof key, &limit, &result);
    require_error(error, EINVAL, EACCES, EFAULT, EMMAP_FULL, EMMAP_CORRUPT, EBUSY, ENOMEM);
    require(error || !is_undisturbed(self) || result.used <= (1 << 26));
}

static void walk(world *self)
{
    uint64_t place = 0, count;
    emmap_error error = EMMAP_OK;
    for (unsigned steps = 0; !error && steps < 1000; steps++) {
        pieces got = {0};
        const emmap_sink sink = pieces_sink(&got);
        error = emmap_table_walk(self->file, 3, &place, &sink, &count);
        require_error(error, EMMAP_EOF, EFAULT);
        require(got.count <= 3);
        pieces_free(&got);
    }
}

static void step(world *self, script *script)
{
    const unsigned what = script_byte(script) % 12;
    uint64_t size;
    look_around(self);
    switch (what) {
    case 5:
        hit(self, script);
        break;
    case 6:
        walk(self);
        break;
    case 7:
        require_error(script_byte(script) % 4 ? emmap_table_size(self->file, &size)
                                              : emmap_table_repair(self->file),
                      EFAULT, EACCES, ENOMEM);
        break;
    case 8:
        require_error(emmap_sync(self->file), EFAULT);
        break;
    case 9:
        disturb_later(script);
        break;
    case 10:
        disturb_now(script);
        break;
    default:
        change(self, script, what % 5);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world world;
    script script;
    uint8_t asked;
    if (!subject_load(data, size, &asked, &script))
        return 0;
    memset(&world, 0, sizeof world);
    const emmap_options options = subject_options(asked);
    const emmap_table_metadata shape = {script_byte(&script) % 40, script_byte(&script) % 110,
                                        script_byte(&script) % 4};
    if (asked & DISTURBED_OPEN)
        disturb_later(&script);
    opening opening = opening_begin();
    const emmap_error error = emmap_table_open(subject_path(), &shape, &options, &world.file);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG, ENOMEM, ENOSPC);
    opening_end(&opening, error == EMMAP_CORRUPT);
    while (!error && script.left > 0)
        step(&world, &script);
    emmap_free(world.file);
    subject_inspect(size);
    return 0;
}
