#include "keys.h"

#include <stdlib.h>

/* The integers of a tuple. */
static bool numbers(term_t tuple, uint64_t *values, uint32_t count)
{
    uint32_t arity;
    term_t elements, element;
    bool good = term_tuple(tuple, &arity, &elements) && arity == count;
    for (uint32_t i = 0; good && i < count; i++)
        good = term_next(&elements, &element) && term_integer(element, &values[i]) != TERM_NO_INTEGER;
    return good;
}

static void answer_word(call_t *c, emmap_error error, int64_t word)
{
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_signed(c->out, word);
}

/* {table_open, Path, {Capacity, KeyBytes, Words}, Options} -> {ok, Handle, #{exist, size}} */
void perform_table_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    uint64_t asked[3];
    if (!numbers(c->arguments[1], asked, 3)) {
        call_badarg(c);
        return;
    }
    if (!call_opening_begin(c, 2, &opening))
        return;
    const emmap_table_metadata shape = {asked[0], asked[1], asked[2]};
    const emmap_error error = emmap_table_open(opening.path, &shape, &opening.options, &file);
    call_opening_end(c, &opening, error, file);
}

/* {table_info, Handle} -> {ok, {Capacity, KeyBytes, Words}} */
void perform_table_info(const operation_t *op, call_t *c)
{
    (void)op;
    emmap_table_metadata info;
    const emmap_error error = emmap_table_info(c->file, &info);
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_tuple(c->out, 3);
    reply_unsigned(c->out, info.capacity);
    reply_unsigned(c->out, info.key_bytes);
    reply_unsigned(c->out, info.words);
}

static void update(call_t *c, __typeof__(emmap_table_add) *function)
{
    struct iovec key;
    uint64_t word;
    int64_t value, old = 0;
    if (!call_number(c, 2, &word) || !call_operand(c, 3, &value) || !term_iodata(c->arguments[1], &key)) {
        call_badarg(c);
        return;
    }
    const emmap_error error = function(c->file, key.iov_base, key.iov_len, word, value, &old);
    answer_word(c, error, old);
}

/* {table_add, Handle, Key, Word, Operand} -> {ok, Old} */
void perform_table_add(const operation_t *op, call_t *c)
{
    (void)op;
    update(c, emmap_table_add);
}

/* {table_set, Handle, Key, Word, Operand} -> {ok, Old} */
void perform_table_set(const operation_t *op, call_t *c)
{
    (void)op;
    update(c, emmap_table_set);
}

/* {table_get, Handle, Key, Word} -> {ok, Value} */
void perform_table_get(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec key;
    uint64_t word;
    int64_t value = 0;
    if (!call_number(c, 2, &word) || !term_iodata(c->arguments[1], &key)) {
        call_badarg(c);
        return;
    }
    const emmap_error error = emmap_table_get(c->file, key.iov_base, key.iov_len, word, &value);
    answer_word(c, error, value);
}

/* {table_compare_exchange, Handle, Key, Word, Expected, Operand} -> {ok, Old} */
void perform_table_compare_exchange(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec key;
    uint64_t word;
    int64_t expected, replacement, old = 0;
    if (!call_number(c, 2, &word) || !call_operand(c, 3, &expected) || !call_operand(c, 4, &replacement) ||
        !term_iodata(c->arguments[1], &key)) {
        call_badarg(c);
        return;
    }
    const emmap_error error =
        emmap_table_compare_exchange(c->file, key.iov_base, key.iov_len, word, expected, replacement, &old);
    answer_word(c, error, old);
}

/* {table_delete, Handle, Key} -> ok */
void perform_table_delete(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec key;
    if (term_iodata(c->arguments[1], &key))
        call_answer(c, emmap_table_delete(c->file, key.iov_base, key.iov_len));
    else
        call_badarg(c);
}

/* {table_hit, Handle, Key, {Limit, WindowMs, Cost, Flags}} -> {ok, Allowed, Used, Remaining, ResetMs} */
void perform_table_hit(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec key;
    uint64_t given[4];
    emmap_table_hit_result result;
    if (!numbers(c->arguments[2], given, 4) || given[3] > UINT32_MAX || !term_iodata(c->arguments[1], &key)) {
        call_badarg(c);
        return;
    }
    const emmap_table_limit limit = {given[0], given[1], (int64_t)given[2], (uint32_t)given[3]};
    const emmap_error error = emmap_table_hit(c->file, key.iov_base, key.iov_len, &limit, &result);
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 5);
    reply_atom(c->out, "ok");
    reply_atom(c->out, result.allowed ? "true" : "false");
    reply_unsigned(c->out, result.used);
    reply_unsigned(c->out, result.remaining);
    reply_unsigned(c->out, result.reset_ms);
}

/* {table_walk, Handle, Limit, Place} -> {ok, [Binary], Place} | eof */
void perform_table_walk(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t limit, place, count;
    if (!call_number(c, 1, &limit) || !call_place(c, 2, &place)) {
        call_badarg(c);
        return;
    }
    emmap_sink sink = reply_list_sink(c->out, 3);
    const emmap_error error = emmap_table_walk(c->file, limit, &place, &sink, &count);
    if (reply_list_read(c->out, error))
        reply_unsigned(c->out, place);
}
