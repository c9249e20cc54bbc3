/*
 * The same gateway as gateway.escript, in C on the core alone. It shows how a program in another language, or with
 * another libc, takes part. gateway.escript explains how a gateway goes on after a kill.
 *
 * usage: gateway           runs
 *        gateway healthy   tells by its status whether the gateway runs
 *
 * Environment: FOLDER has the shared files.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "emmap.h"

#define NAME "c-musl"

/* The same numbers as in layout.mjs. */
#define COUNTERS 49
#define CLOSING 8
#define WORKER 29
#define MINE 39
#define FILE_MODE 0660
#define BLOCK_SIZE 32

enum row { STARTS, HEARTBEAT, SENT, HANDLED, SETTLED, LIMITED, AGAIN, LOST, DOUBLED, CLOSED };

#define WINDOW 500
#define NO_BLOCK UINT64_MAX

static emmap_file *counters;
static emmap_file *jobs;
static emmap_file *answers;
static emmap_file *results;

static volatile sig_atomic_t ending;

static void end(int signal)
{
    (void)signal;
    ending = 1;
}

/* Ends the program on an error; its container starts it again. */
static void must(emmap_error error, const char *what)
{
    if (error == EMMAP_OK)
        return;
    const emmap_failure *failure = emmap_last_failure();
    printf(NAME ": %s: %s%s%s\n", what, emmap_error_message(error), failure->reason ? ", " : "",
           failure->reason ? failure->reason : "");
    exit(1);
}

static const char *in_folder(const char *name)
{
    static char path[4096];
    const char *folder = getenv("FOLDER");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/shared", name);
    return path;
}

/* ---- Counters: our row, and the worker's */

static int64_t get(uint64_t index)
{
    int64_t value = 0;
    must(emmap_counter_get(counters, index, &value), "reading a counter");
    return value;
}

static void set(uint64_t index, int64_t value)
{
    must(emmap_counter_set(counters, index, value, NULL), "setting a counter");
}

static void add(uint64_t index, int64_t value)
{
    must(emmap_counter_add(counters, index, value, NULL), "adding to a counter");
}

/* ---- Sending */

static int tenant_of(int64_t n)
{
    return n % 2 == 0 ? 0 : (int)(1 + n / 2 % 7);
}

static size_t put_atom(uint8_t *at, const char *name)
{
    const size_t length = strlen(name);
    at[0] = 119; /* SMALL_ATOM_UTF8_EXT */
    at[1] = (uint8_t)length;
    memcpy(at + 2, name, length);
    return 2 + length;
}

/* {job, 'c-musl', N, Tenant, first | again} in external term format */
static void request(int64_t n, bool again)
{
    uint8_t term[64] = {131, 104, 5};
    size_t length = 3;
    length += put_atom(term + length, "job");
    length += put_atom(term + length, NAME);
    term[length++] = 98; /* INTEGER_EXT */
    for (int shift = 24; shift >= 0; shift -= 8)
        term[length++] = (uint8_t)(n >> shift);
    term[length++] = 97; /* SMALL_INTEGER_EXT */
    term[length++] = (uint8_t)tenant_of(n);
    length += put_atom(term + length, again ? "again" : "first");

    add((uint64_t)tenant_of(n), 1);
    const struct iovec message = {.iov_base = term, .iov_len = length};
    must(emmap_queue_push(jobs, &message, 1), "sending a job");
    set(MINE + SENT, n);
}

/* ---- Settling */

typedef struct answer {
    int64_t n;
    uint64_t block; /* NO_BLOCK where the request was refused */
    bool again;
} answer;

static uint8_t buffer[256];

static void *allocate(void *context, size_t length)
{
    (void)context;
    return length <= sizeof buffer ? buffer : NULL;
}

static const emmap_sink into_buffer = {.allocate = allocate};

static void malformed(void)
{
    printf(NAME ": an answer is not the term that it should be\n");
    exit(1);
}

/* Each function takes one term off the front. The zeros behind a message end every term. */
static void take_tuple(const uint8_t **at, uint8_t arity)
{
    if ((*at)[0] != 104 || (*at)[1] != arity)
        malformed();
    *at += 2;
}

static bool take_atom(const uint8_t **at, const char *name)
{
    const size_t length = strlen(name);
    if ((*at)[0] != 119 || (*at)[1] != length || memcmp(*at + 2, name, length) != 0)
        return false;
    *at += 2 + length;
    return true;
}

static int64_t take_integer(const uint8_t **at)
{
    const uint8_t tag = *(*at)++;
    const int bytes = tag == 97 ? 1 : tag == 98 ? 4 : 0;
    int64_t value = 0;
    if (bytes == 0)
        malformed();
    for (int i = 0; i < bytes; i++)
        value = value << 8 | *(*at)++;
    return value;
}

/* {answer, 'c-musl', N, {served, Block} | limited, first | again} */
static answer read_answer(void)
{
    const uint8_t *at = buffer + 1;
    answer result = {.block = NO_BLOCK};
    take_tuple(&at, 5);
    if (!take_atom(&at, "answer") || !take_atom(&at, NAME))
        malformed();
    result.n = take_integer(&at);
    if (!take_atom(&at, "limited")) {
        take_tuple(&at, 2);
        if (!take_atom(&at, "served"))
            malformed();
        result.block = (uint64_t)take_integer(&at);
    }
    result.again = take_atom(&at, "again");
    if (!result.again && !take_atom(&at, "first"))
        malformed();
    return result;
}

/* True if the answer's block exists and holds the request's result; see results.mjs. */
static bool is_result(const answer *answer)
{
    uint8_t expected[BLOCK_SIZE] = {[3] = (MINE - 9) / 10, [7] = (uint8_t)tenant_of(answer->n)};
    for (int i = 0; i < 8; i++)
        expected[8 + i] = (uint8_t)(answer->n >> (56 - 8 * i));
    for (int i = 0; i < 16; i++)
        expected[16 + i] = (uint8_t)~expected[i];
    const emmap_error error = emmap_block_read(results, answer->block, &into_buffer);
    if (error != ENOENT)
        must(error, "reading a block");
    return error == EMMAP_OK && memcmp(buffer, expected, BLOCK_SIZE) == 0;
}

static void settle(const answer *answer, bool first)
{
    const int64_t ahead = answer->n - get(MINE + SETTLED);
    const bool mine = answer->block != NO_BLOCK && is_result(answer);
    if (ahead == 1) {
        if (answer->block != NO_BLOCK && !mine)
            add(WORKER + LOST, 1);
        set(MINE + SETTLED, answer->n);
    } else if (ahead == 0 && (answer->again || first)) {
        add(WORKER + AGAIN, 1);
    } else if (ahead > 1) {
        add(WORKER + LOST, ahead - 1);
        set(MINE + SETTLED, answer->n);
    } else {
        add(WORKER + DOUBLED, 1);
    }
    if (mine)
        must(emmap_block_free(results, answer->block), "freeing a block");
}

/* Takes one answer. False: there is none. `first` is true for the first answer since the start. */
static bool take(bool first)
{
    uint64_t ticket = 0;
    const emmap_error error = emmap_queue_pop_begin(answers, &into_buffer, &ticket);
    if (error == EMMAP_EOF)
        return false;
    must(error, "taking an answer");
    const answer taken = read_answer();
    settle(&taken, first);
    must(emmap_queue_pop_commit(answers, ticket), "removing an answer");
    return true;
}

static sem_t ended;

static void has_ended(void *context, emmap_error result)
{
    (void)context;
    (void)result; /* the next operation reports an error of the file too */
    sem_post(&ended);
}

/* Returns when there may be an answer, or after a second. */
static void wait_for_answer(void)
{
    const emmap_waiter waiter = {.done = has_ended};
    emmap_wait *wait = NULL;
    const emmap_error error = emmap_queue_wait_begin(answers, 1000, &waiter, &wait);
    if (error == EAGAIN)
        return;
    must(error, "waiting for an answer");
    while (sem_wait(&ended) != 0) {
    }
    emmap_wait_free(wait);
}

/* ---- */

static void open_all(void)
{
    emmap_options options = {.mode = FILE_MODE, .has_mode = true, .mode_exact = true};
    must(emmap_counters_open(in_folder("traffic.counters"), COUNTERS, &options, &counters),
         "opening counters");
    options.size = 65536;
    must(emmap_queue_open(in_folder("jobs.queue"), &options, &jobs), "opening jobs");
    must(emmap_queue_open(in_folder("answers-" NAME ".queue"), &options, &answers), "opening answers");
    must(emmap_blocks_open(in_folder("results.blocks"), BLOCK_SIZE, 0, &options, &results),
         "opening results");
}

static int healthy(void)
{
    const emmap_options options = {.flags = EMMAP_OPEN_READ};
    must(emmap_counters_open(in_folder("traffic.counters"), COUNTERS, &options, &counters),
         "opening counters");
    return time(NULL) - get(MINE + HEARTBEAT) < 10 ? 0 : 1;
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 2 && strcmp(arguments[1], "healthy") == 0)
        return healthy();
    signal(SIGTERM, end);
    signal(SIGINT, end);
    sem_init(&ended, 0, 0);
    open_all();
    add(MINE + STARTS, 1);
    set(MINE + CLOSED, 0);
    set(MINE + HEARTBEAT, time(NULL));

    int64_t sent = get(MINE + SENT);
    int64_t before = sent;
    bool again = get(MINE + STARTS) > 1;
    bool first = true;
    time_t second = time(NULL);
    printf(NAME ": start %lld: going on after request %lld and answer %lld\n", (long long)get(MINE + STARTS),
           (long long)sent, (long long)get(MINE + SETTLED));
    while (!ending) {
        const bool closing = get(CLOSING) == 1;
        const int64_t under_way = sent - get(MINE + SETTLED);
        const bool send = !closing && under_way < WINDOW;
        if (send) {
            request(++sent, again);
            again = false;
        }
        const bool taken = take(first);
        if (taken)
            first = false;
        if (closing && under_way == 0)
            set(MINE + CLOSED, 1);
        if (!send && !taken)
            wait_for_answer();
        if (time(NULL) == second)
            continue;
        second = time(NULL);
        set(MINE + HEARTBEAT, second);
        if (sent != before)
            printf(NAME ": %lld requests, %lld answered, %lld in the last second\n", (long long)sent,
                   (long long)get(MINE + SETTLED), (long long)(sent - before));
        before = sent;
    }
    return 0;
}
