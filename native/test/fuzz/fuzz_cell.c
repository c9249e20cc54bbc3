/*
 * Opens a file of any content as a cell and uses it, while another writer changes bytes and cuts the file. As long as that
 * writer does nothing, a get gives what was published last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

enum { DISTURBED_OPEN = 4 };
enum { LONGEST = 300 };

typedef struct world {
    emmap_file *file;
    bool known;     /* the value is `value`, */
    unsigned count; /* unless the other writer has done something since then */
    size_t length;
    uint8_t value[LONGEST];
} world;

static void publish(world *self, script *script)
{
    const size_t length = script_short(script) % LONGEST;
    memset(self->value, script_byte(script), length);
    const struct iovec vector = {.iov_base = self->value, .iov_len = length};
    const unsigned before = disturbed.count;
    const emmap_error error = emmap_cell_publish(self->file, &vector, 1);
    require_error(error, EINVAL, EACCES, EFAULT, EMMAP_CORRUPT);
    /* Bytes behind the end of a file that was cut may be there until it grows. */
    self->known = !error && disturbed.count == before && !disturbed.truncated;
    self->count = before;
    self->length = length;
}

static void get(world *self)
{
    pieces got = {0};
    uint64_t version;
    const emmap_sink sink = pieces_sink(&got);
    const emmap_error error = emmap_cell_get(self->file, &sink, &version);
    require_error(error, EMMAP_EOF, EMMAP_CORRUPT, EFAULT, EBUSY, ENOMEM);
    if (self->known && disturbed.count == self->count) {
        require(!error && got.count == 1 && got.list[0].length == self->length);
        require(memcmp(got.list[0].bytes, self->value, self->length) == 0);
    }
    pieces_free(&got);
}

static void step(world *self, script *script)
{
    uint64_t version;
    switch (script_byte(script) % 6) {
    case 0:
        publish(self, script);
        break;
    case 1:
        require_error(emmap_cell_version(self->file, &version), EFAULT);
        break;
    case 2:
        require_error(emmap_sync(self->file), EFAULT);
        break;
    case 3:
        disturb_later(script);
        break;
    case 4:
        disturb_now(script);
        break;
    default:
        get(self);
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
    const uint64_t max_bytes = script_short(&script) % 4096;
    if (asked & DISTURBED_OPEN)
        disturb_later(&script);
    opening opening = opening_begin();
    const emmap_error error = emmap_cell_open(subject_path(), max_bytes, &options, &world.file);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG, ENOMEM, ENOSPC);
    opening_end(&opening, error == EMMAP_CORRUPT);
    while (!error && script.left > 0)
        step(&world, &script);
    emmap_free(world.file);
    subject_inspect(size);
    return 0;
}
