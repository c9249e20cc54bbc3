#include "waits.h"

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum wait_state { GOES_ON, HAS_ENDED, WAS_CANCELLED, IS_FORGOTTEN } wait_state;

typedef struct waiting {
    emmap_wait *wait;
    wait_state state;   /* with the lock */
    emmap_error result; /* with the lock */
    struct waiting *next;
    size_t length;
    uint8_t id[REQUEST_ID_LIMIT];
} waiting;

/* Only the program's thread changes the list, and reads it. */
static waiting *first;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool have_ended;        /* with the lock: some have, since waits_answer has looked */
static int ends[2] = {-1, -1}; /* a pipe with a byte in it while some have */

/* With the lock. */
static void note_end(void)
{
    if (have_ended)
        return;
    have_ended = true;
    /* A pipe that is full is readable. */
    const ssize_t written = write(ends[1], "", 1);
    (void)written;
}

/* On any thread. */
static void done(void *context, emmap_error result)
{
    waiting *const self = context;
    pthread_mutex_lock(&lock);
    const bool is_forgotten = self->state == IS_FORGOTTEN;
    if (!is_forgotten) {
        self->state = HAS_ENDED;
        self->result = result;
        note_end();
    }
    pthread_mutex_unlock(&lock);
    if (is_forgotten)
        free(self);
}

static bool open_pipe(void)
{
    if (ends[0] >= 0)
        return true;
    if (pipe(ends) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    return true;
}

int waits_descriptor(void)
{
    return first != NULL ? ends[0] : -1;
}

static void answer(reply *out, emmap_error error)
{
    if (error == EAGAIN)
        reply_atom(out, "not_equal");
    else if (error == ETIMEDOUT)
        reply_atom(out, "timeout");
    else
        reply_error(out, error);
}

/* A number of milliseconds, or of those to be woken; `infinity` is one. What is none of them, from 2^63 up and below 0, is
 * EINVAL. */
static bool limit(const call *c, size_t argument, uint64_t *value, emmap_error *error)
{
    char name[TERM_ATOM_SIZE];
    *value = EMMAP_NO_LIMIT;
    *error = EMMAP_OK;
    if (term_atom(c->arguments[argument], name))
        return strcmp(name, "infinity") == 0;
    if (!call_number(c, argument, value))
        return false;
    if (*value > INT64_MAX)
        *error = (emmap_error)EINVAL;
    return true;
}

/* What the request becomes if it waits. NULL, with the request answered: it can't. */
static waiting *prepare(call *c)
{
    /* In a batch there is no id to answer by. */
    if (c->out->id == NULL) {
        call_badarg(c);
        return NULL;
    }
    waiting *const self = open_pipe() ? calloc(1, sizeof *self) : NULL;
    if (self == NULL) {
        reply_error(c->out, (emmap_error)ENOMEM);
        return NULL;
    }
    self->length = c->out->id->length;
    memcpy(self->id, c->out->id->bytes, self->length);
    return self;
}

/* Enters what has begun to wait into the list. False: it has not, and is forgotten. */
static bool enter(call *c, waiting *self, emmap_error error)
{
    if (error != EMMAP_OK) {
        free(self);
        return false;
    }
    self->next = first;
    first = self;
    c->out->later = true;
    return true;
}

typedef emmap_error begin_function(emmap_file *, uint64_t, int64_t, uint64_t, const emmap_waiter *,
                                   emmap_wait **);

static void begin(call *c, begin_function *function)
{
    uint64_t place, timeout;
    int64_t expected;
    emmap_error error;
    if (!call_number(c, 1, &place) || !call_operand(c, 2, &expected) || !limit(c, 3, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting *const self = prepare(c);
    if (self == NULL)
        return;
    if (!error)
        error = function(c->file, place, expected, timeout, &(emmap_waiter){done, self}, &self->wait);
    if (!enter(c, self, error))
        answer(c->out, error);
}

/* {wait, Handle, Position, Expected, Timeout} -> ok | not_equal | timeout | cancelled, later */
void perform_wait(const operation *op, call *c)
{
    (void)op;
    begin(c, emmap_wait_begin);
}

/* {counter_wait, Handle, Index, Expected, Timeout}: as wait */
void perform_counter_wait(const operation *op, call *c)
{
    (void)op;
    begin(c, emmap_counter_wait_begin);
}

/* {queue_wait, Handle, Timeout} -> ok | timeout | cancelled, later; ok: there may be a message */
void perform_queue_wait(const operation *op, call *c)
{
    (void)op;
    uint64_t timeout;
    emmap_error error;
    if (!limit(c, 1, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting *const self = prepare(c);
    if (self == NULL)
        return;
    if (!error)
        error = emmap_queue_wait_begin(c->file, timeout, &(emmap_waiter){done, self}, &self->wait);
    if (!enter(c, self, error))
        answer(c->out, error == EAGAIN ? EMMAP_OK : error);
}

static void notify(call *c, emmap_error (*function)(emmap_file *, uint64_t, uint64_t, uint64_t *))
{
    uint64_t place, count, woken = 0;
    emmap_error error;
    if (!call_number(c, 1, &place) || !limit(c, 2, &count, &error)) {
        call_badarg(c);
        return;
    }
    if (!error)
        error = function(c->file, place, count, &woken);
    call_answer_unsigned(c, error, woken);
}

/* {notify, Handle, Position, Count} -> {ok, Woken} */
void perform_notify(const operation *op, call *c)
{
    (void)op;
    notify(c, emmap_notify);
}

/* {counter_notify, Handle, Index, Count} -> {ok, Woken} */
void perform_counter_notify(const operation *op, call *c)
{
    (void)op;
    notify(c, emmap_counter_notify);
}

/* {cancel, Id} -> ok. The wait that has this id is answered, with `cancelled` unless it has ended before. */
void perform_cancel(const operation *op, call *c)
{
    (void)op;
    const term id = c->arguments[0];
    for (waiting *each = first; each != NULL; each = each->next) {
        if (each->length != id.length || memcmp(each->id, id.bytes, id.length) != 0 ||
            !emmap_wait_cancel(each->wait))
            continue;
        pthread_mutex_lock(&lock);
        each->state = WAS_CANCELLED;
        note_end();
        pthread_mutex_unlock(&lock);
        break;
    }
    reply_error(c->out, EMMAP_OK);
}

/* Cuts those off that have ended. */
static waiting *take_ended(void)
{
    waiting *ended = NULL, **place = &first;
    char bytes[16];
    pthread_mutex_lock(&lock);
    if (have_ended) {
        have_ended = false;
        const ssize_t count = read(ends[0], bytes, sizeof bytes);
        (void)count;
        while (*place != NULL) {
            waiting *const each = *place;
            if (each->state == GOES_ON) {
                place = &each->next;
                continue;
            }
            *place = each->next;
            each->next = ended;
            ended = each;
        }
    }
    pthread_mutex_unlock(&lock);
    return ended;
}

static void forget(waiting *self)
{
    const bool is_cancelled = emmap_wait_cancel(self->wait);
    emmap_wait_free(self->wait);
    pthread_mutex_lock(&lock);
    /* Else `done` is being called, and has not come to the lock: it frees it. */
    const bool is_ours = is_cancelled || self->state != GOES_ON;
    if (!is_ours)
        self->state = IS_FORGOTTEN;
    pthread_mutex_unlock(&lock);
    if (is_ours)
        free(self);
}

void waits_answer(reply *out)
{
    for (waiting *each = take_ended(), *next; each != NULL; each = next) {
        next = each->next;
        reply_begin(out);
        reply_tuple(out, 2);
        reply_term(out, each->id, each->length);
        if (each->state == WAS_CANCELLED)
            reply_atom(out, "cancelled");
        else
            answer(out, each->result);
        reply_end(out);
        forget(each);
    }
}

void waits_free(void)
{
    for (waiting *each = first, *next; each != NULL; each = next) {
        next = each->next;
        forget(each);
    }
    first = NULL;
}
