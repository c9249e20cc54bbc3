#include "queue.h"

#include <stdlib.h>
#include <string.h>

/* {queue_open, Path, Options} -> {ok, Handle, #{exist, size}} */
void perform_queue_open(const operation *op, call *c)
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
    const emmap_error error = emmap_queue_open(path, &options, &file);
    free(path);
    call_answer_described(c, error, file);
}

/* {queue_push, Handle, Bytes} -> ok */
void perform_queue_push(const operation *op, call *c)
{
    (void)op;
    struct iovec bytes;
    if (term_iodata(c->arguments[1], &bytes))
        call_answer(c, emmap_queue_push(c->file, &bytes, 1));
    else
        call_badarg(c);
}

/* {queue_push_many, Handle, [Bytes]} -> ok */
void perform_queue_push_many(const operation *op, call *c)
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

/* {queue_pop_many, Handle, Limit} -> {ok, [Binary]} | eof */
void perform_queue_pop_many(const operation *op, call *c)
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
void perform_queue_remove(const operation *op, call *c)
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
void perform_queue_pop_begin(const operation *op, call *c)
{
    (void)op;
    uint64_t ticket;
    emmap_sink sink = reply_sink(c->out, 3);
    if (reply_read(c->out, emmap_queue_pop_begin(c->file, &sink, &ticket)))
        reply_unsigned(c->out, ticket);
}

/* {queue_walk, Handle, forward | backward, Limit, Place} -> {ok, [Binary], Place} | eof */
void perform_queue_walk(const operation *op, call *c)
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
void perform_queue_info(const operation *op, call *c)
{
    (void)op;
    emmap_queue_metadata info;
    emmap_error error = emmap_queue_info(c->file, &info);
    if (error != EMMAP_OK) {
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
