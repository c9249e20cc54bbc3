#include "files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Open and close ---- */

/* {open, Path, Options} -> {ok, Handle, #{exist, size}} */
void perform_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    if (!call_opening_begin(c, 1, &opening))
        return;
    const emmap_error error = emmap_open(opening.path, &opening.options, &file);
    call_opening_end(c, &opening, error, file);
}

/* {counters_open, Path, Count, Options} -> {ok, Handle, Count} */
void perform_counters_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    uint64_t count;
    if (!call_number(c, 1, &count)) {
        call_badarg(c);
        return;
    }
    if (!call_opening_begin(c, 2, &opening))
        return;
    const emmap_error error = emmap_counters_open(opening.path, count, &opening.options, &file);
    free(opening.path);
    const emmap_failure *const failure = emmap_last_failure();
    if (error && failure->error == error && failure->found != 0) {
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
void perform_close(const operation_t *op, call_t *c)
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
void perform_pread(const operation_t *op, call_t *c)
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
void perform_read(const operation_t *op, call_t *c)
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
void perform_read_line(const operation_t *op, call_t *c)
{
    (void)op;
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, emmap_read_line(c->file, &sink));
}

/* {pwrite, Handle, Position, Bytes} -> ok */
void perform_pwrite(const operation_t *op, call_t *c)
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
void perform_write(const operation_t *op, call_t *c)
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
void perform_position(const operation_t *op, call_t *c)
{
    (void)op;
    static const char *const names[] = {
        [EMMAP_FROM_START] = "bof", [EMMAP_FROM_CURSOR] = "cur", [EMMAP_FROM_END] = "eof"};
    uint64_t bits, position = 0;
    char name[TERM_ATOM_SIZE];
    term_integer_range_t range = term_integer(c->arguments[1], &bits);
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
void perform_resize(const operation_t *op, call_t *c)
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
void perform_truncate(const operation_t *op, call_t *c)
{
    (void)op;
    call_answer(c, emmap_truncate(c->file));
}

/* {allocate, Handle, Position, Length} -> ok */
void perform_allocate(const operation_t *op, call_t *c)
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
void perform_advise(const operation_t *op, call_t *c)
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

static void reply_writer(reply_t *out, const void *entry)
{
    const emmap_writer *const writer = entry;
    reply_map(out, 7);
    reply_atom(out, "process");
    reply_unsigned(out, writer->process);
    reply_atom(out, "program");
    reply_binary(out, writer->program, strlen(writer->program));
    reply_atom(out, "since");
    reply_unsigned(out, writer->since);
    reply_atom(out, "has_lock");
    reply_atom(out, writer->has_lock ? "true" : "false");
    reply_atom(out, "waited");
    reply_unsigned(out, writer->waited);
    reply_atom(out, "pushed");
    reply_unsigned(out, writer->pushed);
    reply_atom(out, "popped");
    reply_unsigned(out, writer->popped);
}

/* {writers, Handle} -> {ok, [#{process, program, since, has_lock, waited, pushed, popped}]} */
void perform_writers(const operation_t *op, call_t *c)
{
    (void)op;
    enum { LONGEST = 200 }; /* bytes of one in the answer */
    emmap_writer *const all = malloc(EMMAP_WRITERS * sizeof *all);
    size_t count = 0;
    emmap_error error = all ? emmap_writers(c->file, all, EMMAP_WRITERS, &count) : (emmap_error)ENOMEM;
    call_answer_list(c, error, (call_list_t){all, count, sizeof *all, LONGEST, reply_writer});
    free(all);
}

/* {backup, Handle, Path} -> ok */
void perform_backup(const operation_t *op, call_t *c)
{
    (void)op;
    char *path = call_path(c, 1);
    if (!path) {
        call_badarg(c);
        return;
    }
    call_answer(c, emmap_backup(c->file, path));
    free(path);
}
