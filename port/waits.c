#include "waits.h"

#include "bells.h"
#include "lock_limit.h"
#include "postponed.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum wait_state { GOES_ON, HAS_ENDED, WAS_CANCELLED, IS_FORGOTTEN } wait_state_t;

/* Answers with the first message. False, with nothing answered: there is none, or another caller has it or the lock. */
typedef bool take_function_t(emmap_file *file, reply_t *out);

typedef struct waiting {
    emmap_wait *wait;
    wait_state_t state; /* with the lock */
    emmap_error result; /* with the lock */
    struct waiting *next;
    uint64_t bell;         /* the handle whose bell wakes it; 0: none */
    uint64_t receiver;     /* the handle whose first message is to be its answer; 0: none */
    take_function_t *take; /* of a receiver */
    uint64_t deadline;     /* until when, in milliseconds */
    size_t length;
    uint8_t id[ID_LIMIT];
} waiting_t;

/* Only the program's thread changes the list, and reads it. */
static waiting_t *first;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool have_ended;        /* with the lock: some have, since waits_answer has looked */
static bool has_byte;          /* with the lock: there is a byte in the pipe */
static int ends[2] = {-1, -1}; /* a pipe, by which another thread wakes the program's thread */

/* With the lock. */
static void note_end(void)
{
    if (have_ended)
        return;
    have_ended = has_byte = true;
    /* A pipe that is full is readable. */
    const ssize_t written = write(ends[1], "", 1);
    (void)written;
}

/* On any thread. */
static void done(void *context, emmap_error result)
{
    waiting_t *const self = context;
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
    if (!first)
        return -1;
    const int bells = bells_descriptor(ends[0]);
    return bells >= 0 ? bells : ends[0];
}

/* Begins to wait for a message of a handle: by the handle's bell, if no other wait has that. */
static emmap_error begin_message(waiting_t *self, emmap_file *file, uint64_t handle, uint64_t timeout)
{
    bool watches = bells_descriptor(ends[0]) >= 0;
    for (const waiting_t *each = first; watches && each; each = each->next)
        watches = each->bell != handle;
    watches = watches && bells_watch(file, handle);
    self->bell = watches ? handle : 0;
    const emmap_waiter waiter = {.done = done, .context = self, .watches = watches};
    return emmap_queue_wait_begin(file, timeout, &waiter, &self->wait);
}

static void answer(reply_t *out, emmap_error error)
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
static bool limit(const call_t *c, size_t argument, uint64_t *value, emmap_error *error)
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
static waiting_t *prepare(call_t *c)
{
    /* In a batch there is no id to answer by. */
    if (!c->out->id) {
        call_badarg(c);
        return NULL;
    }
    waiting_t *const self = open_pipe() ? calloc(1, sizeof *self) : NULL;
    if (!self) {
        reply_error(c->out, (emmap_error)ENOMEM);
        return NULL;
    }
    self->length = c->out->id->length;
    memcpy(self->id, c->out->id->bytes, self->length);
    return self;
}

/* Enters what has begun to wait into the list. False: it has not, and is forgotten. */
static bool enter(call_t *c, waiting_t *self, emmap_error error)
{
    if (error) {
        free(self);
        return false;
    }
    self->next = first;
    first = self;
    c->out->later = true;
    return true;
}

typedef emmap_error begin_function_t(emmap_file *, uint64_t, int64_t, uint64_t, const emmap_waiter *,
                                     emmap_wait **);

static void begin(call_t *c, begin_function_t *function)
{
    uint64_t place, timeout;
    int64_t expected;
    emmap_error error;
    if (!call_number(c, 1, &place) || !call_operand(c, 2, &expected) || !limit(c, 3, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting_t *const self = prepare(c);
    if (!self)
        return;
    if (!error)
        error = function(c->file, place, expected, timeout, &(emmap_waiter){.done = done, .context = self},
                         &self->wait);
    if (!enter(c, self, error))
        answer(c->out, error);
}

/* {wait, Handle, Position, Expected, Timeout} -> ok | not_equal | timeout | cancelled, later */
void perform_wait(const operation_t *op, call_t *c)
{
    (void)op;
    begin(c, emmap_wait_begin);
}

/* {counter_wait, Handle, Index, Expected, Timeout}: as wait */
void perform_counter_wait(const operation_t *op, call_t *c)
{
    (void)op;
    begin(c, emmap_counter_wait_begin);
}

/* {queue_wait, Handle, Timeout} -> ok | timeout | cancelled, later; ok: there may be a message */
void perform_queue_wait(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t timeout;
    emmap_error error;
    if (!limit(c, 1, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting_t *const self = prepare(c);
    if (!self)
        return;
    if (!error)
        error = begin_message(self, c->file, c->out->lane, timeout);
    if (!enter(c, self, error))
        answer(c->out, error == EAGAIN ? EMMAP_OK : error);
}

/* {cell_wait, Handle, Version, Timeout}: as wait */
void perform_cell_wait(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t version, timeout;
    emmap_error error;
    if (!call_place(c, 1, &version) || !limit(c, 2, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting_t *const self = prepare(c);
    if (!self)
        return;
    if (!error)
        error = emmap_cell_wait_begin(c->file, version, timeout,
                                      &(emmap_waiter){.done = done, .context = self}, &self->wait);
    if (!enter(c, self, error))
        answer(c->out, error);
}

/* ---- Receiving a message ---- */

static uint64_t milliseconds(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static uint64_t end_of(uint64_t timeout)
{
    const uint64_t time = milliseconds();
    return timeout > EMMAP_NO_LIMIT - time ? EMMAP_NO_LIMIT : time + timeout;
}

static uint64_t left_until(uint64_t deadline)
{
    const uint64_t time = milliseconds();
    if (deadline == EMMAP_NO_LIMIT)
        return EMMAP_NO_LIMIT;
    return deadline > time ? deadline - time : 0;
}

static bool is_for_later(reply_t *out, emmap_error error)
{
    const bool result = error == EMMAP_EOF || error == EBUSY || error == ETIMEDOUT;
    if (result)
        reply_read_drop(out);
    return result;
}

static bool take(emmap_file *file, reply_t *out)
{
    uint64_t ticket;
    emmap_sink sink = reply_sink(out, 3);
    const emmap_error error = emmap_queue_pop_begin(file, &sink, &ticket);
    if (is_for_later(out, error))
        return false;
    if (reply_read(out, error))
        reply_unsigned(out, ticket);
    return true;
}

static bool peek(emmap_file *file, reply_t *out)
{
    emmap_sink sink = reply_sink(out, 2);
    const emmap_error error = emmap_queue_peek_front(file, &sink);
    if (is_for_later(out, error))
        return false;
    (void)reply_read(out, error);
    return true;
}

/* Answers with the first message, or begins to wait for one. True: it is answered. */
static bool receive(waiting_t *self, emmap_file *file, reply_t *out)
{
    bool is_answered;
    emmap_error error = EMMAP_OK;
    lock_limit_suspend(0);
    /* Once the wait has begun, `done` comes. So nothing may be taken, after which the wait would be freed. */
    do {
        is_answered = self->take(file, out);
    } while (!is_answered &&
             (error = begin_message(self, file, self->receiver, left_until(self->deadline))) == EAGAIN);
    lock_limit_restore(out);
    if (is_answered || !error)
        return is_answered;
    answer(out, error);
    return true;
}

static void begin_to_receive(call_t *c, take_function_t *function)
{
    uint64_t timeout;
    emmap_error error;
    if (!limit(c, 1, &timeout, &error)) {
        call_badarg(c);
        return;
    }
    waiting_t *const self = prepare(c);
    if (!self)
        return;
    self->receiver = c->out->lane;
    self->take = function;
    self->deadline = end_of(timeout);
    if (error) {
        answer(c->out, error);
        free(self);
    } else if (receive(self, c->file, c->out)) {
        free(self);
    } else {
        (void)enter(c, self, EMMAP_OK);
    }
}

/* {queue_receive, Handle, Timeout} -> {ok, Binary, Ticket} | timeout | cancelled, later */
void perform_queue_receive(const operation_t *op, call_t *c)
{
    (void)op;
    begin_to_receive(c, take);
}

/* {queue_wait_front, Handle, Timeout} -> {ok, Binary} | timeout | cancelled, later; the message stays */
void perform_queue_wait_front(const operation_t *op, call_t *c)
{
    (void)op;
    begin_to_receive(c, peek);
}

/* ---- Waking ---- */

static void notify(call_t *c, emmap_error (*function)(emmap_file *, uint64_t, uint64_t, uint64_t *))
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
void perform_notify(const operation_t *op, call_t *c)
{
    (void)op;
    notify(c, emmap_notify);
}

/* {counter_notify, Handle, Index, Count} -> {ok, Woken} */
void perform_counter_notify(const operation_t *op, call_t *c)
{
    (void)op;
    notify(c, emmap_counter_notify);
}

static bool has_id(const waiting_t *self, term_t id)
{
    return self->length == id.length && memcmp(self->id, id.bytes, id.length) == 0;
}

size_t waits_count(term_t id)
{
    size_t count = 0;
    for (const waiting_t *each = first; each; each = each->next)
        count += has_id(each, id);
    return count;
}

/* {cancel, Id} -> ok. The wait or the request that has this id is answered, with `cancelled` unless it has ended before. */
void perform_cancel(const operation_t *op, call_t *c)
{
    (void)op;
    const term_t id = c->arguments[0];
    for (waiting_t *each = first; each; each = each->next) {
        if (!has_id(each, id) || !emmap_wait_cancel(each->wait))
            continue;
        pthread_mutex_lock(&lock);
        each->state = WAS_CANCELLED;
        note_end();
        pthread_mutex_unlock(&lock);
        break;
    }
    postponed_cancel(id);
    reply_error(c->out, EMMAP_OK);
}

/* As `done`, on the program's thread, which needs no byte in the pipe. */
static void end_woken(waiting_t *self)
{
    pthread_mutex_lock(&lock);
    self->state = HAS_ENDED;
    self->result = EMMAP_OK;
    have_ended = true;
    pthread_mutex_unlock(&lock);
}

/* Ends those whose bells have rung. */
static void hear_bells(const handles_t *files)
{
    uint64_t rung[BELLS_AT_ONCE];
    const size_t count = first ? bells_rung(files, rung) : 0;
    for (size_t i = 0; i < count; i++)
        for (waiting_t *each = first; each; each = each->next)
            if (each->bell == rung[i] && emmap_wait_woken(each->wait)) {
                end_woken(each);
                break;
            }
}

/* Cuts those off that have ended. */
static waiting_t *take_ended(void)
{
    waiting_t *ended = NULL, **place = &first;
    char byte;
    pthread_mutex_lock(&lock);
    if (has_byte)
        has_byte = read(ends[0], &byte, 1) != 1;
    if (have_ended) {
        have_ended = false;
        while (*place) {
            waiting_t *const each = *place;
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

static void forget(waiting_t *self)
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

static void begin_answer(const waiting_t *self, reply_t *out)
{
    reply_begin(out);
    reply_tuple(out, 2);
    reply_term(out, self->id, self->length);
}

/* There may be a message now: answers with it, or waits for the next. */
static void receive_again(waiting_t *self, emmap_file *file, reply_t *out)
{
    emmap_wait_free(self->wait);
    self->state = GOES_ON;
    begin_answer(self, out);
    if (receive(self, file, out)) {
        reply_end(out);
        free(self);
    } else {
        reply_drop(out);
        self->next = first;
        first = self;
    }
}

void waits_answer(const handles_t *files, reply_t *out)
{
    hear_bells(files);
    for (waiting_t *each = take_ended(), *next; each; each = next) {
        next = each->next;
        emmap_file *const file = each->receiver && each->state == HAS_ENDED && !each->result
                                     ? handles_find(files, each->receiver)
                                     : NULL;
        if (file) {
            receive_again(each, file, out);
            continue;
        }
        begin_answer(each, out);
        if (each->state == WAS_CANCELLED)
            reply_atom(out, "cancelled");
        else if (each->receiver && !each->result)
            reply_error(out, EMMAP_CLOSED);
        else
            answer(out, each->result);
        reply_end(out);
        forget(each);
    }
}

void waits_free(void)
{
    for (waiting_t *each = first, *next; each; each = next) {
        next = each->next;
        forget(each);
    }
    first = NULL;
}
