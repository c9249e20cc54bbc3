/*
 * Opens a file of any content as a queue and uses it through two handles that may write and one that may not, while
 * another writer changes bytes and cuts the file. As long as the queue is sound and that writer does nothing, a model
 * checks each operation. An operation that fails must always leave the messages as they were.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"
#include "subject.h"

enum { FIXED_SIZE = 1, EXCLUSIVE = 2, AT_OFFSET = 4, NO_CREATE = 8, SMALL_STEPS = 16, DISTURBED_OPEN = 32 };
enum { OFFSET = 16 };
enum { FIRST, SECOND, LOOKER, HANDLES };

typedef struct message {
    uint8_t *bytes;
    size_t length;
} message;

typedef struct world {
    uint8_t options;
    emmap_file *files[HANDLES];
    bool faulted[HANDLES];
    unsigned disturbed_before; /* the operation */
    bool sound;                /* the queue holds the model's messages */
    message *list;
    size_t count;
    size_t room;
    int taker; /* the handle that is in a two-step pop, or -1 */
    uint64_t ticket;
    uint64_t place; /* of a walk */
    message before; /* the file's messages before the operation, as raw bytes */
} world;

/* ---- The model ---- */

static void model_push(world *self, const uint8_t *bytes, size_t length)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->list = realloc(self->list, self->room * sizeof *self->list);
        require(self->list);
    }
    const size_t stored = queue_total(length) - QUEUE_FRAME;
    uint8_t *const copy = calloc(1, stored);
    require(copy);
    memcpy(copy, bytes, length);
    self->list[self->count++] = (message){copy, stored};
}

static void model_drop(world *self, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(self->list[i].bytes);
    self->count -= count;
    if (self->count > 0)
        memmove(self->list, self->list + count, self->count * sizeof *self->list);
}

/* The pieces are the model's messages from `first` on, forward or backward. */
static void require_pieces(const world *self, const pieces *got, size_t first, bool backward)
{
    require(first + got->count <= self->count);
    for (size_t i = 0; i < got->count; i++) {
        const message *const expected = &self->list[backward ? self->count - 1 - first - i : first + i];
        require(got->list[i].length == expected->length);
        require(memcmp(got->list[i].bytes, expected->bytes, expected->length) == 0);
    }
}

/* ---- Before and after an operation ---- */

/* The bytes of the messages. NULL: the header is inconsistent, or a slide is in progress. */
static message raw_messages(const world *self)
{
    message raw = {0};
    const content all = subject_read();
    const size_t from = self->options & AT_OFFSET ? OFFSET : 0;
    if (all.length >= from + QUEUE_HEADER) {
        const queue_header_t header = {.size = queue_load32(all.bytes + from),
                                       .head = queue_load32(all.bytes + from + 4),
                                       .tail = queue_load32(all.bytes + from + 8),
                                       .next_tail = queue_load32(all.bytes + from + 12)};
        uint32_t offset;
        if (!emi_queue_header_wrong(header, all.length - from, &offset) && header.next_tail >= header.tail) {
            raw.length = header.tail - header.head;
            raw.bytes = malloc(raw.length + 1);
            require(raw.bytes);
            memcpy(raw.bytes, all.bytes + from + header.head, raw.length);
        }
    }
    free(all.bytes);
    return raw;
}

static void begin(world *self)
{
    self->disturbed_before = disturbed.count;
    self->before = raw_messages(self);
}

static bool undisturbed(const world *self)
{
    return disturbed.count == self->disturbed_before;
}

/* True if the model knows the result of the operation. */
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
    if (error && undisturbed(self) && self->before.bytes) {
        const message after = raw_messages(self);
        require(after.bytes && after.length == self->before.length);
        require(memcmp(after.bytes, self->before.bytes, after.length) == 0);
        free(after.bytes);
    }
    free(self->before.bytes);
    self->before = (message){0};
    if (!undisturbed(self))
        self->sound = false;
    if (self->sound) {
        require(error != EMMAP_CORRUPT && error != ESTALE);
        require(error != EMMAP_FULL || (self->options & FIXED_SIZE));
        require(error != EBUSY || self->taker >= 0);
    }
    return self->sound && !error;
}

/* ---- Operations ---- */

#define MESSAGE_MAX 300u

static struct iovec make_message(script *script, uint8_t *place)
{
    const size_t length = script_byte(script) + script_byte(script) % 46u;
    memset(place, script_byte(script), length);
    return (struct iovec){.iov_base = place, .iov_len = length};
}

static void push(world *self, int who, script *script)
{
    uint8_t place[MESSAGE_MAX];
    const struct iovec vector = make_message(script, place);
    const size_t cut = vector.iov_len / 3;
    const struct iovec vectors[] = {{place, cut}, {place + cut, 0}, {place + cut, vector.iov_len - cut}};
    begin(self);
    const emmap_error error = emmap_queue_push(self->files[who], vectors, 3);
    require_error(error, EINVAL, EMMAP_FULL, EFBIG, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    if (end(self, who, error))
        model_push(self, place, vector.iov_len);
}

static void push_many(world *self, int who, script *script)
{
    uint8_t places[4][MESSAGE_MAX];
    struct iovec vectors[4];
    const size_t count = script_byte(script) % 5;
    for (size_t i = 0; i < count; i++)
        vectors[i] = make_message(script, places[i]);
    begin(self);
    const emmap_error error = emmap_queue_push_many(self->files[who], vectors, count);
    require_error(error, EINVAL, EMMAP_FULL, EFBIG, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    if (end(self, who, error))
        for (size_t i = 0; i < count; i++)
            model_push(self, places[i], vectors[i].iov_len);
}

static void pop_many(world *self, int who, uint64_t limit)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    uint64_t count;
    begin(self);
    const emmap_error error = emmap_queue_pop_many(self->files[who], limit, &sink, &count);
    require_error(error, EMMAP_EOF, EBUSY, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    require(error ? count == 0 : count == got.count && count <= limit);
    require(error != EMMAP_EOF || !self->sound || !undisturbed(self) || self->count == 0);
    if (end(self, who, error)) {
        require(count == (limit < self->count ? limit : self->count));
        require_pieces(self, &got, 0, false);
        model_drop(self, count);
    }
    pieces_free(&got);
}

/* Removes the first message by its bytes, or tries other bytes. */
static void remove_first(world *self, int who, bool other)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    begin(self);
    emmap_error error = emmap_queue_glance_front(self->files[who], &sink);
    require_error(error, EMMAP_EOF, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    require(error != EMMAP_EOF || !self->sound || !undisturbed(self) || self->count == 0);
    if (end(self, who, error)) {
        require(got.count == 1);
        require_pieces(self, &got, 0, false);
    }
    if (!error) {
        other = other && got.list[0].length > 0;
        const struct iovec vector = {.iov_base = got.list[0].bytes,
                                     .iov_len = got.list[0].length - (other ? 1 : 0)};
        pieces next = {0};
        const emmap_sink sink_next = pieces_sink(&next);
        begin(self);
        error = emmap_queue_shift(self->files[who], &vector, &sink_next);
        require_error(error, ESTALE, EBUSY, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
        require(error || !other);
        /* Other bytes are refused in a sound queue, too. */
        if (other && error == ESTALE)
            end(self, who, EMMAP_OK);
        else if (end(self, who, error)) {
            model_drop(self, 1);
            require(next.count == 1 || self->count == 0);
            if (next.count == 1)
                require_pieces(self, &next, 0, false);
        }
        pieces_free(&next);
    }
    pieces_free(&got);
}

static void pop_begin(world *self, int who)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    uint64_t ticket;
    begin(self);
    const emmap_error error = emmap_queue_pop_begin(self->files[who], &sink, &ticket);
    require_error(error, EMMAP_EOF, EBUSY, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    if (end(self, who, error)) {
        require(got.count == 1);
        require_pieces(self, &got, 0, false);
    }
    if (ticket) {
        require(self->taker < 0);
        self->taker = who;
        self->ticket = ticket;
    }
    pieces_free(&got);
}

static void pop_end(world *self, int who, bool commit, bool wrong_ticket)
{
    const uint64_t ticket = wrong_ticket ? self->ticket + 1 : self->ticket;
    const bool mine = self->taker == who && !wrong_ticket;
    begin(self);
    const emmap_error error = commit ? emmap_queue_pop_commit(self->files[who], ticket)
                                     : emmap_queue_pop_abort(self->files[who], ticket);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, ESTALE, EACCES, EAGAIN);
    require(error || mine);
    if (mine && error != EAGAIN)
        self->taker = -1;
    if (end(self, who, error) && commit)
        model_drop(self, 1);
}

static void peek(world *self, int who, bool back)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    begin(self);
    const emmap_error error =
        (back ? emmap_queue_peek_back : emmap_queue_peek_front)(self->files[who], &sink);
    require_error(error, EMMAP_EOF, EMMAP_CORRUPT, EFAULT, EAGAIN);
    require(error != EMMAP_EOF || !self->sound || !undisturbed(self) || self->count == 0);
    if (end(self, who, error)) {
        require(got.count == 1);
        require_pieces(self, &got, 0, back);
    }
    pieces_free(&got);
}

static void walk(world *self, int who, bool backward, uint64_t limit, bool whole)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    uint64_t count;
    if (whole)
        self->place = 0;
    begin(self);
    const emmap_error error =
        emmap_queue_walk(self->files[who], backward ? EMMAP_QUEUE_BACKWARD : EMMAP_QUEUE_FORWARD, limit,
                         &self->place, &sink, &count);
    require_error(error, EMMAP_EOF, ESTALE, EMMAP_CORRUPT, EFAULT, EAGAIN);
    require(error || (count == got.count && count <= limit));
    if (error == ESTALE) {
        require(!whole);
        self->place = 0;
        /* A queue that has not moved may return it too, for a place of another queue. */
        end(self, who, EMMAP_OK);
    } else if (end(self, who, error) && whole) {
        require(count == (limit < self->count ? limit : self->count));
        require_pieces(self, &got, 0, backward);
    }
    pieces_free(&got);
}

static void look(world *self, int who)
{
    emmap_queue_metadata info;
    uint64_t length;
    bool empty;
    begin(self);
    emmap_error error = emmap_queue_info(self->files[who], &info);
    require_error(error, EMMAP_CORRUPT, EFAULT, EAGAIN);
    if (!error)
        require(info.head >= QUEUE_HEADER && info.head <= info.tail && info.tail <= info.size);
    end(self, who, error);
    begin(self);
    error = emmap_queue_is_empty(self->files[who], &empty);
    require_error(error, EMMAP_CORRUPT, EFAULT, EAGAIN);
    if (end(self, who, error))
        require(empty == (self->count == 0));
    begin(self);
    error = emmap_queue_length(self->files[who], &length);
    require_error(error, EMMAP_CORRUPT, EFAULT, EAGAIN);
    if (end(self, who, error))
        require(length == self->count);
}

static void empty_it(world *self, int who, bool erase)
{
    begin(self);
    const emmap_error error = (erase ? emmap_queue_erase : emmap_queue_purge)(self->files[who]);
    require_error(error, EMMAP_CORRUPT, EBUSY, EFAULT, EACCES, EAGAIN);
    end(self, who, error);
    if (!error && undisturbed(self)) {
        model_drop(self, self->count);
        /* A file that was cut within a page lacks its end, which no access need have noticed yet. */
        self->sound = !disturbed.truncated;
    }
}

static void compact(world *self, int who)
{
    uint64_t bytes;
    begin(self);
    const emmap_error error = emmap_queue_compact(self->files[who], &bytes);
    require_error(error, ENOTSUP, EMMAP_CORRUPT, EFAULT, EACCES, EAGAIN);
    end(self, who, error);
}

static void resize(world *self, int who, uint64_t size)
{
    uint64_t result;
    begin(self);
    const emmap_error error = emmap_resize(self->files[who], size, &result);
    require_error(error, EINVAL, EMMAP_FIXED_SIZE, EFBIG, EFAULT, EACCES);
    end(self, who, error);
}

/* ---- Opening ---- */

static emmap_error open_handle(const world *self, int who, emmap_file **file)
{
    const uint8_t asked = self->options;
    emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, .size = 64};
    if (who != LOOKER)
        options.flags |= EMMAP_OPEN_WRITE | (asked & NO_CREATE ? 0u : EMMAP_OPEN_CREATE) |
                         (asked & FIXED_SIZE ? EMMAP_OPEN_FIXED_SIZE : 0u) |
                         (asked & EXCLUSIVE ? EMMAP_OPEN_EXCLUSIVE : 0u);
    options.max_inc_size = asked & SMALL_STEPS ? 48 : 0;
    if (!(asked & AT_OFFSET))
        return emmap_queue_open(subject_path(), &options, file);
    options.offset = OFFSET;
    options.size = 0;
    emmap_error error = emmap_open(subject_path(), &options, file);
    if (error)
        return error;
    error = emmap_queue_attach(*file);
    if (error) {
        emmap_free(*file);
        *file = NULL;
    }
    return error;
}

static void close_all(world *self)
{
    for (int who = 0; who < HANDLES; who++) {
        emmap_free(self->files[who]);
        self->files[who] = NULL;
        self->faulted[who] = false;
    }
    self->taker = -1;
    self->place = 0;
}

/* False: the file was refused, and is unchanged. */
static bool open_all(world *self)
{
    opening opening = opening_begin();
    begin(self);
    emmap_error error = open_handle(self, FIRST, &self->files[FIRST]);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT, EFBIG);
    require(error != EFAULT || disturbed.truncated || !undisturbed(self));
    opening_end(&opening, error);
    free(self->before.bytes);
    self->before = (message){0};
    self->sound &= undisturbed(self);
    if (error) {
        require(!self->sound || self->count == 0);
        return false;
    }
    error = open_handle(self, SECOND, &self->files[SECOND]);
    require_error(error, EBUSY, EINVAL, EMMAP_CORRUPT, EFAULT);
    require(!(self->options & EXCLUSIVE) || error == EBUSY);
    error = open_handle(self, LOOKER, &self->files[LOOKER]);
    require_error(error, EINVAL, EMMAP_CORRUPT, EFAULT);
    self->sound &= undisturbed(self);
    return true;
}

/* Fills the model from the queue. False: the queue's content is unknown. */
static void learn(world *self)
{
    pieces got = {0};
    const emmap_sink sink = pieces_sink(&got);
    uint64_t place = 0, count;
    const unsigned before = disturbed.count;
    const emmap_error error =
        emmap_queue_walk(self->files[FIRST], EMMAP_QUEUE_FORWARD, INT64_MAX, &place, &sink, &count);
    require_error(error, EMMAP_EOF, EMMAP_CORRUPT, EFAULT);
    self->sound = (!error || error == EMMAP_EOF) && disturbed.count == before && !disturbed.truncated;
    for (size_t i = 0; self->sound && i < got.count; i++) {
        model_push(self, got.list[i].bytes, got.list[i].length);
        /* The file may have a message of a length that the rule of queue_total never makes. */
        self->list[i].length = got.list[i].length;
    }
    pieces_free(&got);
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
    switch (operation % 18) {
    case 0:
    case 1:
        push(self, who, script);
        break;
    case 2:
        push_many(self, who, script);
        break;
    case 3:
        pop_many(self, who, 1);
        break;
    case 4:
        pop_many(self, who, script_byte(script) % 8);
        break;
    case 5:
        pop_begin(self, who);
        break;
    case 6:
        pop_end(self, who, true, script_byte(script) == 77);
        break;
    case 7:
        pop_end(self, who, false, script_byte(script) == 77);
        break;
    case 8:
        peek(self, who, script_byte(script) & 1);
        break;
    case 9:
        walk(self, who, script_byte(script) & 1, 1 + script_byte(script) % 4, false);
        break;
    case 10:
        self->place = script_short(script);
        break;
    case 11:
        walk(self, who, script_byte(script) & 1, INT64_MAX, true);
        break;
    case 12:
        look(self, who);
        break;
    case 13:
        empty_it(self, who, script_byte(script) & 1);
        break;
    case 14:
        resize(self, who, script_byte(script) & 1 ? script_short(script) : 0);
        break;
    case 15:
        disturb_later(script);
        break;
    case 16:
        remove_first(self, who, script_byte(script) == 77);
        break;
    default:
        begin(self);
        disturb_now(script);
        end(self, who, EMMAP_OK);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world world = {.taker = -1};
    script script;
    if (!subject_load(data, size, &world.options, &script))
        return 0;
    emmap_set_may_block(true);
    if (world.options & DISTURBED_OPEN)
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
            walk(&world, FIRST, false, INT64_MAX, true);
    }
    close_all(&world);
    model_drop(&world, world.count);
    free(world.list);
    subject_inspect(size);
    return 0;
}
