#include "session.h"

#include "client.h"
#include "frame.h"
#include "hello.h"
#include "postponed.h"
#include "request.h"
#include "waits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers leave together once nothing more has come, or when there are this many bytes of them. */
#define WRITE_THRESHOLD ((size_t)256 << 10)

typedef struct session {
    int output;
    frame_reader_t reader;
    handles_t files;
    reply_t out;
    bool has_ended; /* no more input is taken; what waits for a lock is still done */
    int status;     /* to end with then */
} session_t;

/* ---- One request ---- */

/* Whether a request that is answered later can be told from the others that are. `waits`: it is among the waits itself. */
static bool has_its_own_id(const request_t *r, bool waits)
{
    return waits_count(r->id) == waits && !postponed_has(r->id);
}

/* A request that waits for a lock, with a copy of its frame. */
typedef struct waiting_request {
    postponed_work_t work; /* first */
    request_t request;
    uint8_t frame[];
} waiting_request_t;

static void begin_reply(term_t id, reply_t *out)
{
    reply_begin(out);
    reply_tuple(out, 2);
    reply_term(out, id.bytes, id.length);
}

static bool attempt(postponed_work_t *work, handles_t *files, reply_t *out)
{
    return request_perform(&((waiting_request_t *)work)->request, files, out);
}

static bool cancel(postponed_work_t *work, reply_t *out)
{
    if (((const waiting_request_t *)work)->request.has_begun)
        return false;
    begin_reply(work->id, out);
    reply_atom(out, "cancelled");
    reply_end(out);
    return true;
}

static void free_waiting(postponed_work_t *work)
{
    free(((waiting_request_t *)work)->request.part.bytes);
    free(work);
}

/* Has the request wait. False without memory. */
static bool postpone(const request_t *r, const uint8_t *frame, size_t length, handles_t *files, uint64_t lane)
{
    const size_t size = sizeof(waiting_request_t) + length;
    waiting_request_t *const self = malloc(size);
    if (!self)
        return false;
    self->request = *r;
    memcpy(self->frame, frame, length);
    request_move(&self->request, frame, self->frame);
    self->work = (postponed_work_t){
        .attempt = attempt, .cancel = cancel, .free = free_waiting, .id = self->request.id, .bytes = size};
    if (postponed_add(&self->work, files, lane))
        return true;
    free(self);
    return false;
}

/* It has no memory to wait in. */
static void refuse_to_wait(const request_t *r, reply_t *out)
{
    if (r->has_begun) {
        fprintf(stderr, "emmap_port: out of memory\n");
        exit(EXIT_FAILURE);
    }
    begin_reply(r->id, out);
    reply_error(out, (emmap_error)ENOMEM);
    reply_end(out);
}

bool session_take(handles_t *files, uint8_t *frame, size_t length, reply_t *out, const char **why)
{
    request_t r;
    if (!request_open(&r, frame, length)) {
        *why = "it is no {Id, Operation} in external term format";
        return false;
    }
    const size_t start = out->length;
    const bool is_done = request_perform(&r, files, out);
    if (is_done && out->length > start)
        return true;
    if (out->postpones && !has_its_own_id(&r, is_done)) {
        free(r.part.bytes);
        *why = "another request with its id is not answered yet";
        return false;
    }
    if (!is_done && !postpone(&r, frame, length, files, out->lane))
        refuse_to_wait(&r, out);
    return true;
}

void session_answer_late(handles_t *files, reply_t *out)
{
    waits_answer(files, out);
    postponed_retry(files, out);
}

void session_end(void)
{
    waits_free();
    postponed_free();
}

/* ---- All of them ---- */

/* The client takes no more, or has no more to ask. */
static void end(session_t *s, int status)
{
    if (!s->has_ended)
        s->status = status;
    s->has_ended = true;
}

static void refuse(session_t *s, const char *what)
{
    fprintf(stderr, "emmap_port: bad frame: %s\n", what);
    end(s, SESSION_BAD_FRAME);
}

static void fail(session_t *s, const char *what)
{
    fprintf(stderr, "emmap_port: can't %s: %s\n", what, strerror(errno));
    end(s, SESSION_FAILURE);
}

/* Writes the answers that have gathered. */
static bool flush(session_t *s)
{
    if (s->out.length > 0 && !frame_write(s->output, s->out.bytes, s->out.length)) {
        /* Nobody can learn of what else would be done. */
        postponed_free();
        /* A client that has gone is the end of the session, not a failure. */
        if (errno == EPIPE)
            end(s, EXIT_SUCCESS);
        else
            fail(s, "write");
        return false;
    }
    reply_clear(&s->out);
    return true;
}

/* Takes the frames that have come, until there is no more of them, or no more may wait. */
static void take_all(session_t *s)
{
    uint8_t *frame;
    size_t length;
    const char *why;
    while (!s->has_ended && !postponed_is_full()) {
        /* What was answered must not be lost where the next answer has no room. */
        const bool is_full =
            s->out.length >= WRITE_THRESHOLD || (s->out.length > 0 && !reply_reserve(&s->out, 0));
        if (is_full && !flush(s))
            return;
        switch (frame_next(&s->reader, &frame, &length)) {
        case FRAME_READY:
            if (!session_take(&s->files, frame, length, &s->out, &why))
                refuse(s, why);
            break;
        case FRAME_OVERSIZED:
            refuse(s, "it is longer than the limit");
            break;
        default:
            return;
        }
    }
}

/* Sleeps until there is something to do, and reads what has come. */
static void await(session_t *s)
{
    s->reader.beside = waits_descriptor();
    s->reader.rest = postponed_rest();
    if (s->has_ended || postponed_is_full()) {
        frame_rest(&s->reader);
        return;
    }
    switch (frame_fill(&s->reader)) {
    case FRAME_END:
        end(s, EXIT_SUCCESS);
        break;
    case FRAME_TRUNCATED:
        refuse(s, "the input ends within it");
        break;
    case FRAME_STALLED:
        refuse(s, "the rest of it does not come");
        break;
    case FRAME_FAILED:
        fail(s, "read");
        break;
    default:
        break;
    }
}

int session_run(int input, int output)
{
    session_t s = {
        .output = output,
        .reader = {.descriptor = input, .beside = -1, .rest = -1, .limits = client_is_known()},
    };
    hello_write(&s.out);
    for (;;) {
        session_answer_late(&s.files, &s.out);
        take_all(&s);
        (void)flush(&s);
        if (s.has_ended && postponed_is_empty())
            break;
        await(&s);
    }
    session_end();
    handles_free(&s.files);
    reply_free(&s.out);
    frame_reader_free(&s.reader);
    return s.status;
}
