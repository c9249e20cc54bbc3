#include "operation.h"

#include "blocks.h"
#include "call.h"
#include "emmap_operations.h"
#include "hello.h"
#include "queue.h"
#include "waits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The core's functions by their shapes, so that operations of one shape share the code around them. */
typedef union core_function {
    emmap_error (*act)(emmap_file *);
    emmap_error (*act_on)(emmap_file *, uint64_t);
    emmap_error (*measure)(emmap_file *, uint64_t *);
    emmap_error (*take)(emmap_file *, const emmap_sink *);
    emmap_error (*load)(emmap_file *, uint64_t, int64_t *);
    emmap_error (*store)(emmap_file *, uint64_t, int64_t);
    emmap_error (*update)(emmap_file *, uint64_t, int64_t, int64_t *);
    emmap_error (*ask)(emmap_file *, bool *);
    emmap_error (*compare_exchange)(emmap_file *, uint64_t, int64_t, int64_t, int64_t *);
} core_function;

struct operation {
    const char *name;
    size_t length; /* of the name: at least SHORTEST_NAME */
    unsigned arity;
    bool on_file; /* the first argument is a handle */
    bool lends;   /* answers bytes that alias the mapping of a file that was opened with `direct` */
    perform_function *perform;
    core_function core;
};

/* What a word held: `{ok, Integer}`; or the error. */
static void answer_word(call *c, emmap_error error, int64_t value)
{
    if (error != EMMAP_OK) {
        reply_error(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_signed(c->out, value);
}

/* ---- Open and close ---- */

/* {open, Path, Options} -> {ok, Handle, #{exist, size}} */
static void perform_open(const operation *op, call *c)
{
    (void)op;
    emmap_options options;
    emmap_file *file = NULL;
    if (!call_options(c, 1, &options))
        return;
    char *path = call_path(c, 0);
    if (path == NULL) {
        call_badarg(c);
        return;
    }
    const emmap_error error = emmap_open(path, &options, &file);
    free(path);
    call_answer_described(c, error, file);
}

/* {counters_open, Path, Count, Options} -> {ok, Handle, Count} */
static void perform_counters_open(const operation *op, call *c)
{
    (void)op;
    emmap_options options;
    emmap_file *file = NULL;
    uint64_t count;
    if (!call_options(c, 2, &options))
        return;
    char *path = call_number(c, 1, &count) ? call_path(c, 0) : NULL;
    if (path == NULL) {
        call_badarg(c);
        return;
    }
    const emmap_error error = emmap_counters_open(path, count, &options, &file);
    free(path);
    const emmap_failure *const failure = emmap_last_failure();
    if (error != EMMAP_OK && failure->error == error && failure->found != 0) {
        reply_tuple(c->out, 2);
        reply_atom(c->out, "error");
        reply_tuple(c->out, 3);
        reply_atom(c->out, "counters");
        reply_unsigned(c->out, failure->found);
        reply_unsigned(c->out, failure->asked);
        return;
    }
    if (call_answer_file(c, error, file))
        reply_unsigned(c->out, emmap_counters_length(file));
}

/* {close, Handle} -> ok, also where it is closed already. */
static void perform_close(const operation *op, call *c)
{
    (void)op;
    uint64_t handle;
    if (!call_number(c, 0, &handle)) {
        call_badarg(c);
        return;
    }
    if (handles_is_behind(c->files, handle)) {
        c->out->lane = handle;
        reply_error(c->out, (emmap_error)ETIMEDOUT);
        return;
    }
    handles_close(c->files, handle);
    reply_error(c->out, EMMAP_OK);
}

/* ---- Reads and writes ---- */

/* {pread, Handle, Position, Length} -> {ok, Binary} | eof */
static void perform_pread(const operation *op, call *c)
{
    (void)op;
    uint64_t position, length;
    if (!call_number(c, 1, &position) || !call_number(c, 2, &length)) {
        call_badarg(c);
        return;
    }
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, emmap_pread(c->file, position, length, &sink));
}

/* {read, Handle, Length} -> {ok, Binary} | eof */
static void perform_read(const operation *op, call *c)
{
    (void)op;
    uint64_t length;
    if (!call_number(c, 1, &length)) {
        call_badarg(c);
        return;
    }
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, emmap_read(c->file, length, &sink));
}

/* {read_line, Handle} -> {ok, Binary} | eof */
static void perform_read_line(const operation *op, call *c)
{
    (void)op;
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, emmap_read_line(c->file, &sink));
}

/* {pwrite, Handle, Position, Bytes} -> ok */
static void perform_pwrite(const operation *op, call *c)
{
    (void)op;
    uint64_t position;
    struct iovec bytes;
    if (!call_number(c, 1, &position) || !term_iodata(c->arguments[2], &bytes)) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, emmap_pwrite(c->file, position, &bytes, 1));
}

/* {write, Handle, Bytes} -> ok */
static void perform_write(const operation *op, call *c)
{
    (void)op;
    struct iovec bytes;
    if (!term_iodata(c->arguments[1], &bytes)) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, emmap_write(c->file, &bytes, 1));
}

/* {position, Handle, Offset, bof | cur | eof} -> {ok, Position} */
static void perform_position(const operation *op, call *c)
{
    (void)op;
    static const char *const names[] = {
        [EMMAP_FROM_START] = "bof", [EMMAP_FROM_CURSOR] = "cur", [EMMAP_FROM_END] = "eof"};
    uint64_t bits, position = 0;
    char name[TERM_ATOM_SIZE];
    term_integer_range range = term_integer(c->arguments[1], &bits);
    if (range == TERM_NO_INTEGER || !term_atom(c->arguments[2], name)) {
        call_badarg(c);
        return;
    }
    for (size_t whence = 0; whence < sizeof names / sizeof *names; whence++) {
        if (strcmp(name, names[whence]) != 0)
            continue;
        emmap_error error = range == TERM_SIGNED
                                ? emmap_position(c->file, (int64_t)bits, (emmap_whence)whence, &position)
                                : (emmap_error)EINVAL;
        call_answer_unsigned(c, error, position);
        return;
    }
    call_badarg(c);
}

/* ---- Size and durability ---- */

/* {resize, Handle, Size} -> {ok, Size} */
static void perform_resize(const operation *op, call *c)
{
    (void)op;
    uint64_t size, result = 0;
    if (!call_number(c, 1, &size)) {
        call_badarg(c);
        return;
    }
    emmap_error error = emmap_resize(c->file, size, &result);
    call_answer_unsigned(c, error, result);
}

/* {truncate, Handle} -> ok */
static void perform_truncate(const operation *op, call *c)
{
    (void)op;
    call_answer(c, emmap_truncate(c->file));
}

/* {allocate, Handle, Position, Length} -> ok */
static void perform_allocate(const operation *op, call *c)
{
    (void)op;
    uint64_t position, length;
    if (!call_number(c, 1, &position) || !call_number(c, 2, &length)) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, emmap_allocate(c->file, position, length));
}

/* {advise, Handle, Position, Length, Advice} -> ok */
static void perform_advise(const operation *op, call *c)
{
    (void)op;
    static const char *const names[] = {
        [EMMAP_ADVICE_NORMAL] = "normal",       [EMMAP_ADVICE_SEQUENTIAL] = "sequential",
        [EMMAP_ADVICE_RANDOM] = "random",       [EMMAP_ADVICE_NO_REUSE] = "no_reuse",
        [EMMAP_ADVICE_WILL_NEED] = "will_need", [EMMAP_ADVICE_DONT_NEED] = "dont_need"};
    uint64_t position, length;
    char name[TERM_ATOM_SIZE];
    if (!call_number(c, 1, &position) || !call_number(c, 2, &length) || !term_atom(c->arguments[3], name)) {
        call_badarg(c);
        return;
    }
    size_t advice = 0;
    while (advice < sizeof names / sizeof *names && strcmp(name, names[advice]) != 0)
        advice++;
    if (advice == sizeof names / sizeof *names) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, emmap_advise(c->file, position, length, (emmap_advice)advice));
}

/* {backup, Handle, Path} -> ok */
static void perform_backup(const operation *op, call *c)
{
    (void)op;
    char *path = call_path(c, 1);
    if (path == NULL) {
        call_badarg(c);
        return;
    }
    call_answer(c, emmap_backup(c->file, path));
    free(path);
}

/* {Name, Handle} -> ok */
static void perform_act(const operation *op, call *c)
{
    call_answer(c, op->core.act(c->file));
}

/* {Name, Handle, Number} -> ok */
static void perform_act_on(const operation *op, call *c)
{
    uint64_t subject;
    if (call_number(c, 1, &subject))
        call_answer(c, op->core.act_on(c->file, subject));
    else
        call_badarg(c);
}

/* {Name, Handle} -> {ok, Integer} */
static void perform_measure(const operation *op, call *c)
{
    uint64_t measure = 0;
    emmap_error error = op->core.measure(c->file, &measure);
    call_answer_unsigned(c, error, measure);
}

/* {Name, Handle} -> {ok, Boolean} */
static void perform_ask(const operation *op, call *c)
{
    bool yes = false;
    emmap_error error = op->core.ask(c->file, &yes);
    if (error != EMMAP_OK) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_atom(c->out, yes ? "true" : "false");
}

/* {Name, Handle} -> {ok, Binary} | eof */
static void perform_take(const operation *op, call *c)
{
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, op->core.take(c->file, &sink));
}

/* ---- Atomics ---- */

/* {Name, Handle, Position, Value} -> {ok, Old} */
static void perform_update(const operation *op, call *c)
{
    uint64_t position;
    int64_t value, old = 0;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &value)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.update(c->file, position, value, &old);
    answer_word(c, error, old);
}

/* {Name, Handle, Position, Expected, Replacement} -> {ok, Old} */
static void perform_compare_exchange(const operation *op, call *c)
{
    uint64_t position;
    int64_t expected, replacement, old = 0;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &expected) ||
        !call_operand(c, 3, &replacement)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.compare_exchange(c->file, position, expected, replacement, &old);
    answer_word(c, error, old);
}

/* {Name, Handle, Position} -> {ok, Value} */
static void perform_load(const operation *op, call *c)
{
    uint64_t position;
    int64_t value = 0;
    if (!call_number(c, 1, &position)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.load(c->file, position, &value);
    answer_word(c, error, value);
}

/* {Name, Handle, Position, Value} -> ok */
static void perform_store(const operation *op, call *c)
{
    uint64_t position;
    int64_t value;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &value)) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, op->core.store(c->file, position, value));
}

/* ---- The table ---- */

/* What has a function of its own; and what shares one with others, and says what that calls by a member of core_function. */
#define OF_ITS_OWN(name_) .perform = perform_##name_
#define SHAPED(name_, member) .perform = perform_##member, .core.member = emmap_##name_, .on_file = true

#define SHAPE_APART(name) OF_ITS_OWN(name)
#define SHAPE_OWN(name) OF_ITS_OWN(name), .on_file = true
#define SHAPE_READ(name) OF_ITS_OWN(name), .on_file = true, .lends = true
#define SHAPE_ACT(name) SHAPED(name, act)
#define SHAPE_ACT_ON(name) SHAPED(name, act_on)
#define SHAPE_TICKET(name) SHAPED(name, act_on)
#define SHAPE_MEASURE(name) SHAPED(name, measure)
#define SHAPE_ASK(name) SHAPED(name, ask)
#define SHAPE_TAKE(name) SHAPED(name, take)
#define SHAPE_LOAD(name) SHAPED(name, load)
#define SHAPE_STORE(name) SHAPED(name, store)
#define SHAPE_UPDATE(name) SHAPED(name, update)
#define SHAPE_COMPARE_EXCHANGE(name) SHAPED(name, compare_exchange)

#define OPERATION(name_, arity_, shape, cost)                                                                \
    {.name = #name_, .length = sizeof #name_ - 1, .arity = (arity_), SHAPE_##shape(name_)},

/* Those that only this door has. */
#define WAIT(name_, arity_, ...)                                                                             \
    {                                                                                                        \
        .name = #name_, .length = sizeof #name_ - 1, .arity = (arity_), OF_ITS_OWN(name_), __VA_ARGS__       \
    }

static const operation operations[] = {EMMAP_OPERATIONS(OPERATION) WAIT(wait, 4, .on_file = true),
                                       WAIT(counter_wait, 4, .on_file = true),
                                       WAIT(queue_wait, 2, .on_file = true),
                                       WAIT(queue_receive, 2, .on_file = true),
                                       WAIT(cancel, 1, .on_file = false),
                                       WAIT(hello, 2, .on_file = false)};

const size_t operation_count = sizeof operations / sizeof *operations;

const char *operation_name(size_t index)
{
    return operations[index].name;
}

/* Where operations are found by name: open addressing, from the place that the name says on. */
enum { PLACE_BITS = 8, PLACES = 1 << PLACE_BITS, SHORTEST_NAME = 4 };
static uint8_t places[PLACES]; /* index + 1; 0: none */

/* By the name's ends, which tell most operations apart. */
static size_t place_of(const uint8_t *name, size_t length)
{
    uint32_t ends[2];
    memcpy(&ends[0], name, sizeof ends[0]);
    memcpy(&ends[1], name + length - sizeof ends[1], sizeof ends[1]);
    const uint64_t both = (uint64_t)ends[0] << 32 | ends[1];
    return (both + length) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - PLACE_BITS);
}

static void find_places(void)
{
    for (size_t i = 0; i < operation_count; i++) {
        size_t place = place_of((const uint8_t *)operations[i].name, strlen(operations[i].name));
        while (places[place] != 0)
            place = (place + 1) % PLACES;
        places[place] = (uint8_t)(i + 1);
    }
}

const operation *operation_find(const uint8_t *name, size_t length, uint64_t arity)
{
    static bool found;
    if (!found) {
        find_places();
        found = true;
    }
    if (length < SHORTEST_NAME)
        return NULL;
    for (size_t place = place_of(name, length); places[place] != 0; place = (place + 1) % PLACES) {
        const operation *const op = &operations[places[place] - 1];
        if (op->arity == arity && op->length == length && memcmp(op->name, name, length) == 0)
            return op;
    }
    return NULL;
}

bool operation_is_on_file(const operation *op)
{
    return op->on_file;
}

/* Memory can't be lent through a pipe. A copy, which does not follow the file, would not be what was asked for. */
static bool is_direct(emmap_file *file)
{
    emmap_info info;
    emmap_describe(file, &info);
    return info.flags & EMMAP_OPEN_DIRECT;
}

emmap_error operation_begin(const operation *op, call *c)
{
    uint64_t handle;
    if (!op->on_file)
        return EMMAP_OK;
    if (!call_number(c, 0, &handle))
        return EMMAP_BADARG;
    const handle_slot *const slot = handles_slot(c->files, handle);
    if (slot == NULL)
        return EMMAP_CLOSED;
    c->file = slot->file;
    c->out->lane = handle;
    if (slot->waiting > 0 && handle != c->files->turn)
        return (emmap_error)ETIMEDOUT;
    return op->lends && is_direct(c->file) ? (emmap_error)ENOTSUP : EMMAP_OK;
}

void operation_perform(const operation *op, call *c)
{
    if (c->out->postpones)
        term_keep_lists();
    if (reply_reserve(c->out, 0))
        op->perform(op, c);
    else
        reply_error(c->out, (emmap_error)ENOMEM);
}

bool operation_open(term tuple, const uint8_t **name, size_t *length, uint32_t *arity, term *arguments)
{
    term head;
    if (!term_tuple(tuple, arity, arguments) || *arity == 0)
        return false;
    *arity -= 1;
    return term_next(arguments, &head) && term_atom_bytes(head, name, length);
}

void operation_perform_next(handles *files, term *rest, reply *out)
{
    const uint8_t *name;
    size_t length;
    uint32_t arity;
    term arguments;
    call c = {.files = files, .out = out};
    const operation *op = operation_open(*rest, &name, &length, &arity, &arguments)
                              ? operation_find(name, length, arity)
                              : NULL;
    out->lane = 0;
    if (op == NULL) {
        term ignored;
        (void)term_next(rest, &ignored);
        reply_error(out, EMMAP_BADARG);
        return;
    }
    /* They are there: the whole frame has been checked. */
    for (uint32_t i = 0; i < arity; i++)
        (void)term_next(&arguments, &c.arguments[i]);
    *rest = arguments;
    const emmap_error error = operation_begin(op, &c);
    if (error == EMMAP_OK)
        operation_perform(op, &c);
    else
        reply_error(out, error);
}

/* Milliseconds of the monotonic clock, from 1 up. */
static uint64_t now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000 + 1;
}

/* How long the operation is to be tried: as its file's lock_timeout says, or the options of the open that it is. */
static uint64_t patience(const handles *files, const reply *out)
{
    emmap_info info;
    emmap_file *const file = handles_find(files, out->lane);
    if (file == NULL)
        return out->patience;
    emmap_describe(file, &info);
    return info.lock_timeout;
}

bool operation_waits(const handles *files, reply *out)
{
    if (!out->postpones)
        return false;
    bool waits = false;
    if (out->locked) {
        out->locked = false;
        const uint64_t time = now();
        if (out->deadline == 0) {
            const uint64_t asked = patience(files, out);
            const uint64_t limit = asked < out->lock_limit ? asked : out->lock_limit;
            out->deadline = limit > UINT64_MAX - time ? UINT64_MAX : time + limit;
        }
        waits = time < out->deadline;
    }
    if (waits)
        term_restore_lists();
    else
        out->deadline = 0;
    term_forget_lists();
    return waits;
}
