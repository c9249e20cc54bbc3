/*
 * Opens a file of any content as a block storage and uses it through two handles that may write and one that may not,
 * while another writer changes bytes and cuts the file. As long as that writer does nothing, three things hold: the
 * blocks that a walk found, and those that were stored, keep their bytes; no address is given out while it has a
 * block; and after a repair there are no other blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

enum {
    FIXED_SIZE = 1,
    EXCLUSIVE = 2,
    OWN_BLOCK_SIZE = 4,
    REPAIRED = 8,
    SMALL_STEPS = 16,
    DISTURBED_OPEN = 32
};
enum { LEVELS_SHIFT = 6 };
enum { FIRST, SECOND, LOOKER, HANDLES };

/* The fuzzer neither stores nor compares larger blocks. */
#define BLOCK_MAX 256u
/* The most blocks in the model. */
#define MODEL_MAX 8192u

typedef struct block {
    uint64_t address;
    uint64_t hash;
} block;

typedef struct world {
    uint8_t options;
    emmap_file *files[HANDLES];
    bool faulted[HANDLES];
    emmap_blocks_metadata shape;
    unsigned disturbed_before; /* the operation */
    bool known;                /* the storage has the model's blocks */
    bool whole;                /* and no others, and the leaves' masks decide all other masks */
    block list[MODEL_MAX];
    size_t count;
    uint64_t place; /* of a walk */
} world;

/* ---- The model ---- */

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash(const uint8_t *bytes, size_t length)
{
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++)
        value = (value ^ bytes[i]) * 0x100000001b3;
    return value;
}

static block *model_find(world *self, uint64_t address)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->list[i].address == address)
            return &self->list[i];
    return NULL;
}

static void model_add(world *self, uint64_t address, const uint8_t *bytes)
{
    require(!model_find(self, address));
    require(address < self->shape.capacity);
    if (self->count == MODEL_MAX)
        self->known = self->whole = false;
    else
        self->list[self->count++] = (block){address, hash(bytes, self->shape.block_size)};
}

static void model_remove(world *self, block *gone)
{
    *gone = self->list[--self->count];
}

static uint64_t some_address(const world *self, script *script)
{
    const uint16_t which = script_short(script);
    if (which % 4 == 3)
        return script_long(script);
    return self->count > 0 ? self->list[which / 4 % self->count].address : which;
}

/* ---- Before and after an operation ---- */

static void begin(world *self)
{
    self->disturbed_before = disturbed.count;
}

static bool undisturbed(const world *self)
{
    return disturbed.count == self->disturbed_before;
}

/* True if the model knows the result of the operation; otherwise the operation may have failed. */
static bool end(world *self, int who, emmap_error error)
{
    if (error == EFAULT) {
        /* If the other writer overwrites the header while the file grows, that looks like an earlier truncation. */
        require(disturbed.truncated || self->faulted[who] || !undisturbed(self));
        self->faulted[who] = true;
    }
    if (self->faulted[who]) {
        uint64_t size;
        require(emmap_size(self->files[who], &size) == EFAULT);
    }
    if (!undisturbed(self))
        self->known = self->whole = false;
    if (self->whole)
        require(error != EMMAP_CORRUPT);
    return self->known;
}

/* ---- Operations ---- */

static void store_many(world *self, int who, script *script, size_t count)
{
    static uint8_t places[4][BLOCK_MAX + 1];
    struct iovec vectors[4];
    uint64_t addresses[4];
    const uint8_t seed = script_byte(script);
    size_t length = self->shape.block_size;
    if (seed == 255 || length > BLOCK_MAX)
        length = BLOCK_MAX + 1;
    for (size_t i = 0; i < count; i++) {
        memset(places[i], (uint8_t)(seed + i), length);
        vectors[i] = (struct iovec){.iov_base = places[i], .iov_len = length};
    }
    begin(self);
    const emmap_error error = emmap_block_store_many(self->files[who], vectors, count, addresses);
    require_error(error, EINVAL, EMMAP_FULL, EFBIG, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    require(error || count == 0 || length == self->shape.block_size);
    if (!end(self, who, error))
        return;
    require(error != EMMAP_FULL || (self->options & FIXED_SIZE) || !self->whole ||
            self->count + count > self->shape.capacity);
    for (size_t i = 0; !error && i < count; i++)
        model_add(self, addresses[i], places[i]);
}

static void read_one(world *self, int who, script *script)
{
    const uint64_t address = some_address(self, script);
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    begin(self);
    const emmap_error error = emmap_block_read(self->files[who], address, &sink);
    require_error(error, ENOENT, ENOMEM, EMMAP_CORRUPT, EFAULT, EAGAIN);
    require(error != ENOMEM || self->shape.block_size > SUBJECT_LIMIT);
    require(error || (got.count == 1 && got.list[0].length == self->shape.block_size));
    if (end(self, who, error)) {
        const block *const there = model_find(self, address);
        if (there && error != EAGAIN && error != EFAULT && error != EMMAP_CORRUPT)
            require(!error && hash(got.list[0].bytes, got.list[0].length) == there->hash);
        if (!there && self->whole)
            require(error);
    }
    pieces_free(&got);
}

static void free_many(world *self, int who, script *script, size_t count)
{
    uint64_t addresses[4];
    for (size_t i = 0; i < count; i++)
        addresses[i] = some_address(self, script);
    begin(self);
    const emmap_error error = emmap_block_free_many(self->files[who], addresses, count);
    require_error(error, ENOENT, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    if (!end(self, who, error))
        return;
    if (count == 1 && model_find(self, addresses[0]))
        require(error != ENOENT);
    for (size_t i = 0; !error && i < count; i++) {
        block *const gone = model_find(self, addresses[i]);
        require(gone || !self->whole);
        if (gone)
            model_remove(self, gone);
    }
}

static emmap_error walk_step(world *self, int who, size_t limit, uint64_t *addresses, pieces *got,
                             size_t *count)
{
    const emmap_sink sink = pieces_sink(got);
    begin(self);
    const emmap_error error =
        emmap_blocks_walk(self->files[who], limit, &self->place, addresses, &sink, count);
    require_error(error, EMMAP_EOF, ENOMEM, EMMAP_CORRUPT, EFAULT, EAGAIN, ESTALE);
    require(error ? *count == 0 : *count <= limit && *count == got->count);
    return error;
}

static void walk_some(world *self, int who, size_t limit)
{
    uint64_t addresses[16];
    pieces got = {0};
    size_t count;
    const emmap_error error = walk_step(self, who, limit, addresses, &got, &count);
    if (end(self, who, error))
        for (size_t i = 0; i < count; i++) {
            const block *const there = model_find(self, addresses[i]);
            require(there || !self->whole);
            require(!there || hash(got.list[i].bytes, got.list[i].length) == there->hash);
        }
    pieces_free(&got);
}

static void count_all(world *self, int who)
{
    uint64_t count;
    begin(self);
    const emmap_error error = emmap_blocks_count(self->files[who], &count);
    require_error(error, EMMAP_CORRUPT, EFAULT, EAGAIN);
    if (end(self, who, error) && !error) {
        require(count >= self->count);
        require(count == self->count || !self->whole);
    }
}

static void repair(world *self, int who, uint64_t limit, uint64_t place)
{
    begin(self);
    const emmap_error error = emmap_blocks_repair(self->files[who], limit, &place);
    require_error(error, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN, ESTALE);
    end(self, who, error);
}

static void compact(world *self, int who)
{
    uint64_t bytes;
    begin(self);
    const emmap_error error = emmap_blocks_compact(self->files[who], &bytes);
    require_error(error, ENOTSUP, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    end(self, who, error);
}

static void make_anew(world *self, int who)
{
    begin(self);
    const emmap_error error = emmap_blocks_init(self->files[who], self->shape.block_size, self->shape.levels);
    require_error(error, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    if (end(self, who, error) && !error)
        self->count = 0;
}

/* ---- Opening ---- */

static emmap_error open_handle(const world *self, int who, emmap_file **file)
{
    const uint8_t asked = self->options;
    emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, .size = 64};
    if (who != LOOKER)
        options.flags |= EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE |
                         (asked & FIXED_SIZE ? EMMAP_OPEN_FIXED_SIZE : 0u) |
                         (asked & EXCLUSIVE ? EMMAP_OPEN_EXCLUSIVE : 0u);
    options.max_inc_size = asked & SMALL_STEPS ? 48 : 0;
    return emmap_blocks_open(subject_path(), asked & OWN_BLOCK_SIZE ? 8 : 0, 2u + (asked >> LEVELS_SHIFT),
                             &options, file);
}

static void close_all(world *self)
{
    for (int who = 0; who < HANDLES; who++) {
        emmap_free(self->files[who]);
        self->files[who] = NULL;
        self->faulted[who] = false;
    }
    self->place = 0;
}

/* False: the file was refused, and is unchanged. */
static bool open_all(world *self)
{
    opening opening = opening_begin();
    begin(self);
    emmap_error error = open_handle(self, FIRST, &self->files[FIRST]);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG, EMMAP_FULL);
    require(error != EFAULT || disturbed.truncated || !undisturbed(self));
    opening_end(&opening, error);
    if (error) {
        require(!self->known || !undisturbed(self));
        return false;
    }
    require(emmap_blocks_info(self->files[FIRST], &self->shape) == EMMAP_OK);
    error = open_handle(self, SECOND, &self->files[SECOND]);
    require_error(error, EBUSY, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG, EMMAP_FULL);
    require(!(self->options & EXCLUSIVE) || error == EBUSY);
    error = open_handle(self, LOOKER, &self->files[LOOKER]);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT);
    if (!undisturbed(self))
        self->known = self->whole = false;
    return true;
}

/* Fills the model from the storage. */
static void learn(world *self)
{
    const unsigned disturbed_before = disturbed.count;
    if (self->options & REPAIRED)
        repair(self, FIRST, 0, 0);
    emmap_error error = EMMAP_OK;
    self->known = true;
    while (!error && self->count < MODEL_MAX) {
        enum { LIMIT = 256 };
        uint64_t addresses[LIMIT];
        pieces got = {0};
        size_t count;
        error = walk_step(self, FIRST, LIMIT, addresses, &got, &count);
        for (size_t i = 0; i < count; i++)
            model_add(self, addresses[i], got.list[i].bytes);
        pieces_free(&got);
    }
    if (error == EFAULT)
        self->faulted[FIRST] = true;
    self->place = 0;
    self->known &= error == EMMAP_EOF && disturbed.count == disturbed_before && !disturbed.truncated;
    self->whole = self->known && (self->options & REPAIRED);
}

static void step(world *self, script *script)
{
    const uint8_t operation = script_byte(script);
    static const int who_of[] = {FIRST, FIRST, SECOND, LOOKER};
    const int asked = who_of[operation >> 6];
    const int who = self->files[asked] ? asked : FIRST;
    /* A read without a lock would wait for others, and there are none. */
    emmap_set_may_block(who != LOOKER && operation != 63);
    if (operation % 64 == 62) {
        compact(self, who);
        return;
    }
    if (operation % 64 == 61) {
        make_anew(self, who);
        return;
    }
    switch (operation % 13) {
    case 0:
    case 1:
        store_many(self, who, script, 1);
        break;
    case 2:
        store_many(self, who, script, script_byte(script) % 5);
        break;
    case 3:
    case 4:
        read_one(self, who, script);
        break;
    case 5:
    case 6:
        free_many(self, who, script, 1);
        break;
    case 7:
        free_many(self, who, script, script_byte(script) % 5);
        break;
    case 8:
        walk_some(self, who, script_byte(script) % 17);
        break;
    case 9:
        self->place = script_byte(script) ? script_short(script) : script_long(script);
        break;
    case 10:
        count_all(self, who);
        break;
    case 11:
        repair(self, who, script_short(script), script_byte(script) ? script_short(script) : 0);
        break;
    default:
        if (script_byte(script) & 1) {
            disturb_later(script);
        } else {
            begin(self);
            disturb_now(script);
            end(self, who, EMMAP_OK);
        }
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
    memset(&world, 0, offsetof(struct world, list));
    world.options = options;
    world.count = world.place = 0;
    emmap_set_may_block(true);
    if (options & DISTURBED_OPEN)
        disturb_later(&script);
    if (open_all(&world)) {
        learn(&world);
        while (script.left > 0 && world.files[FIRST]) {
            if (*script.next == 255) { /* all handles close and open again */
                script_byte(&script);
                close_all(&world);
                emmap_set_may_block(true);
                open_all(&world);
            } else {
                step(&world, &script);
            }
        }
        emmap_set_may_block(true);
        disturbed.countdown = 0;
        if (world.files[FIRST])
            count_all(&world, FIRST);
    }
    close_all(&world);
    subject_inspect(size);
    return 0;
}
