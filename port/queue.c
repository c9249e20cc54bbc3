#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* {queue_open, Path, Options} -> {ok, Handle, #{exist, size}} */
void perform_queue_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    if (!call_opening_begin(c, 1, &opening))
        return;
    const emmap_error error = emmap_queue_open(opening.path, &opening.options, &file);
    call_opening_end(c, &opening, error, file);
}

/* {queue_push, Handle, Bytes} -> ok */
void perform_queue_push(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec bytes;
    if (term_iodata(c->arguments[1], &bytes))
        call_answer(c, emmap_queue_push(c->file, &bytes, 1));
    else
        call_badarg(c);
}

/* {queue_push_many, Handle, [Bytes]} -> ok */
void perform_queue_push_many(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec *messages;
    size_t count;
    const emmap_error taken = call_vectors(c, 1, &messages, &count);
    if (taken) {
        reply_error(c->out, taken);
        return;
    }
    call_answer(c, emmap_queue_push_many(c->file, messages, count));
    free(messages);
}

/* {queue_push_once, Handle, Origin, Number, [Bytes]} -> {ok, Last} */
void perform_queue_push_once(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec origin, *messages;
    uint64_t number, last;
    size_t count;
    if (!term_iodata(c->arguments[1], &origin) || origin.iov_len != EMMAP_ORIGIN_SIZE ||
        !call_number(c, 2, &number) || number > INT64_MAX) {
        call_badarg(c);
        return;
    }
    const emmap_error taken = call_vectors(c, 3, &messages, &count);
    if (taken) {
        reply_error(c->out, taken);
        return;
    }
    const emmap_error error = emmap_queue_push_once(c->file, origin.iov_base, number, messages, count, &last);
    call_answer_unsigned(c, error, last);
    free(messages);
}

/* {queue_pop_many, Handle, Limit} -> {ok, [Binary]} | eof */
void perform_queue_pop_many(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t limit, count;
    if (!call_number(c, 1, &limit)) {
        call_badarg(c);
        return;
    }
    emmap_error error;
    do {
        emmap_sink sink = reply_list_sink(c->out, 2);
        error = emmap_queue_pop_many(c->file, limit, &sink, &count);
    } while (reply_list_cut(c->out, error, &limit));
    (void)reply_list_read(c->out, error);
}

/* {queue_remove, Handle, [Bytes]} -> ok */
void perform_queue_remove(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec *messages;
    size_t count;
    const emmap_error taken = call_vectors(c, 1, &messages, &count);
    if (taken) {
        reply_error(c->out, taken);
        return;
    }
    call_answer(c, emmap_queue_remove(c->file, messages, count));
    free(messages);
}

/* {queue_pop_begin, Handle} -> {ok, Binary, Ticket} | eof */
void perform_queue_pop_begin(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t ticket;
    emmap_sink sink = reply_sink(c->out, 3);
    if (reply_read(c->out, emmap_queue_pop_begin(c->file, &sink, &ticket)))
        reply_unsigned(c->out, ticket);
}

/* {queue_take, Handle, Holder} -> {ok, Binary, Ticket, Attempt} | eof */
void perform_queue_take(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t holder;
    if (!call_number(c, 1, &holder)) {
        call_badarg(c);
        return;
    }
    emmap_delivery delivery;
    emmap_sink sink = reply_sink(c->out, 4);
    if (reply_read(c->out, emmap_queue_take(c->file, holder, &sink, &delivery))) {
        reply_unsigned(c->out, delivery.ticket);
        reply_unsigned(c->out, delivery.attempt);
    }
}

/* {queue_release, Handle, Ticket, Delay} -> ok */
void perform_queue_release(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t ticket, delay;
    if (call_number(c, 1, &ticket) && call_number(c, 2, &delay))
        call_answer(c, emmap_queue_release(c->file, ticket, delay));
    else
        call_badarg(c);
}

static void reply_in_hand(reply_t *out, const void *of)
{
    const emmap_in_hand *const entry = of;
    reply_map(out, 9);
    reply_atom(out, "ticket");
    reply_unsigned(out, entry->ticket);
    reply_atom(out, "length");
    reply_unsigned(out, entry->length);
    reply_atom(out, "since");
    reply_unsigned(out, entry->since);
    reply_atom(out, "due");
    reply_unsigned(out, entry->due);
    reply_atom(out, "process");
    reply_unsigned(out, entry->process);
    reply_atom(out, "program");
    reply_binary(out, entry->program, strlen(entry->program));
    reply_atom(out, "attempt");
    reply_unsigned(out, entry->attempt);
    reply_atom(out, "alive");
    reply_atom(out, entry->alive ? "true" : "false");
    reply_atom(out, "released");
    reply_atom(out, entry->released ? "true" : "false");
}

/* {queue_in_hand, Handle} -> {ok, [#{ticket, length, since, due, process, program, attempt, alive, released}]} */
void perform_queue_in_hand(const operation_t *op, call_t *c)
{
    (void)op;
    enum {
        LONGEST = 240,
        MORE = 16
    }; /* bytes of one in the answer; room for those that are taken meanwhile */
    emmap_in_hand *entries = NULL;
    size_t room = 0, count;
    emmap_error error = emmap_queue_in_hand(c->file, NULL, 0, &count);
    if (!error && count > 0) {
        room = count + MORE;
        entries = malloc(room * sizeof *entries);
        error = entries ? emmap_queue_in_hand(c->file, entries, room, &count) : (emmap_error)ENOMEM;
        count = count < room ? count : room;
    }
    if (!error && count * LONGEST > reply_limit(c->out))
        error = (emmap_error)EMSGSIZE;
    call_answer_list(c, error, (call_list_t){entries, count, sizeof *entries, LONGEST, reply_in_hand});
    free(entries);
}

/* {queue_walk, Handle, forward | backward, Limit, Place} -> {ok, [Binary], Place} | eof */
void perform_queue_walk(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t limit, place, count;
    char name[TERM_ATOM_SIZE];
    if (!term_atom(c->arguments[1], name) || !call_number(c, 2, &limit) || !call_place(c, 3, &place)) {
        call_badarg(c);
        return;
    }
    const bool forward = strcmp(name, "forward") == 0;
    if (!forward && strcmp(name, "backward") != 0) {
        call_badarg(c);
        return;
    }
    const emmap_queue_direction direction = forward ? EMMAP_QUEUE_FORWARD : EMMAP_QUEUE_BACKWARD;
    const uint64_t start = place;
    emmap_error error;
    do {
        place = start;
        emmap_sink sink = reply_list_sink(c->out, 3);
        error = emmap_queue_walk(c->file, direction, limit, &place, &sink, &count);
    } while (reply_list_cut(c->out, error, &limit));
    if (reply_list_read(c->out, error))
        reply_unsigned(c->out, place);
}

/* {queue_info, Handle} -> {ok, #{size, head, tail, next_tail}} */
void perform_queue_info(const operation_t *op, call_t *c)
{
    (void)op;
    emmap_queue_metadata info;
    emmap_error error = emmap_queue_info(c->file, &info);
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_map(c->out, 4);
    reply_atom(c->out, "size");
    reply_unsigned(c->out, info.size);
    reply_atom(c->out, "head");
    reply_unsigned(c->out, info.head);
    reply_atom(c->out, "tail");
    reply_unsigned(c->out, info.tail);
    reply_atom(c->out, "next_tail");
    reply_unsigned(c->out, info.next_tail);
}
