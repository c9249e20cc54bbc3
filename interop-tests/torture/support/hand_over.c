/*
 * Hands messages or changes of words over to consumers that sleep, and sleeps until they are answered: the core's part of
 * hand-overs.mjs.
 *
 *   hand_over ask FOLDER LANE BASE            pushes to LANE.to, and receives each answer from LANE.back
 *   hand_over answer FOLDER LANE BASE         receives from LANE.to, and pushes the same to LANE.back
 *   hand_over ask-words FOLDER LANE BASE      adds to counter 0 of LANE.words, and waits until counter 1 is the same
 *   hand_over answer-words FOLDER LANE BASE   the other way round
 *
 * It says "ready" when everything is open, and ends with its input. It counts in FOLDER/counts, from counter BASE on. An asker
 * rests while counter SHUT is not 0. A message is a term for BEAM: a binary with the asker's process, and a number.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emmap.h"

/* As in hand-overs.mjs. */
enum { ASKED, ANSWERED, ASKER_SLEPT, ANSWERER_SLEPT, TAKEN, LATE, SHUT };

/* If an answer takes more ms than this, the asker checks whether its message is still there. */
#define ANSWER_TIME 300u

#define HEAD_SIZE 6u
#define CONTENT_SIZE 16u
static const uint8_t head[HEAD_SIZE] = {131, 109, 0, 0, 0, CONTENT_SIZE};

typedef struct content {
    uint64_t asker;
    uint64_t number;
} content;

static const char *folder, *lane;
static emmap_file *counts;
static uint64_t base;

static void require(emmap_error error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s: %s\n", lane, what, emmap_error_name(error));
    _exit(1);
}

static void count(uint64_t what)
{
    require(emmap_counter_add(counts, base + what, 1, NULL), "count");
}

static const char *path_of(const char *name, const char *kind)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, kind);
    return path;
}

/* ---- Waiting ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool has_ended;
static emmap_error how;

static void end(void *context, emmap_error result)
{
    (void)context;
    pthread_mutex_lock(&lock);
    has_ended = true;
    how = result;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
}

static const emmap_waiter waiter = {.done = end};

/* The result of a wait, whether it has begun or not: EMMAP_OK or ETIMEDOUT. */
static emmap_error await(emmap_error error, emmap_wait *wait, uint64_t slept)
{
    if (!error) {
        count(slept);
        pthread_mutex_lock(&lock);
        while (!has_ended)
            pthread_cond_wait(&ended, &lock);
        error = how;
        pthread_mutex_unlock(&lock);
        emmap_wait_free(wait);
    }
    if (error && error != EAGAIN && error != ETIMEDOUT)
        require(error, "wait");
    return error == ETIMEDOUT ? error : EMMAP_OK;
}

/* Sleeps while the lane is shut. */
static void await_turn(void)
{
    for (;;) {
        int64_t shut;
        require(emmap_counter_get(counts, base + SHUT, &shut), "get");
        if (!shut)
            return;
        emmap_wait *wait = NULL;
        has_ended = false;
        const emmap_error error =
            emmap_counter_wait_begin(counts, base + SHUT, shut, EMMAP_NO_LIMIT, &waiter, &wait);
        require(await(error, wait, ASKER_SLEPT), "wait");
    }
}

static void *keep(void *context, size_t length)
{
    uint8_t *const place = context;
    return length <= 64 ? place : NULL;
}

static emmap_error receive(emmap_file *queue, uint64_t timeout, uint64_t slept, content *result)
{
    uint8_t message[64];
    emmap_error error;
    while ((error = emmap_queue_pop(queue, &(emmap_sink){.allocate = keep, .context = message})) ==
               EMMAP_EOF ||
           error == EBUSY) {
        emmap_wait *wait = NULL;
        has_ended = false;
        error = emmap_queue_wait_begin(queue, timeout, &waiter, &wait);
        if (await(error, wait, slept) == ETIMEDOUT)
            return ETIMEDOUT;
    }
    require(error, "pop");
    require(memcmp(message, head, HEAD_SIZE) ? EINVAL : EMMAP_OK, "message");
    memcpy(result, message + HEAD_SIZE, sizeof *result);
    return EMMAP_OK;
}

static void push(emmap_file *queue, const content *content)
{
    uint8_t message[HEAD_SIZE + CONTENT_SIZE];
    memcpy(message, head, HEAD_SIZE);
    memcpy(message + HEAD_SIZE, content, CONTENT_SIZE);
    require(emmap_queue_push(queue, &(struct iovec){.iov_base = message, .iov_len = sizeof message}, 1),
            "push");
}

/* ---- Messages ---- */

static emmap_file *open_queue(const char *kind)
{
    emmap_file *result;
    require(emmap_queue_open(path_of(lane, kind),
                             &(emmap_options){.flags = EMMAP_OPEN_READ | EMMAP_OPEN_WRITE |
                                                       EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED},
                             &result),
            "open");
    return result;
}

/* Waits for the answer to a message that was pushed. False: a consumer has taken the message and does not answer. */
static bool is_answered(emmap_file *to, emmap_file *back, const content *asked)
{
    for (;;) {
        content answer;
        bool empty = false;
        if (receive(back, ANSWER_TIME, ASKER_SLEPT, &answer) == EMMAP_OK) {
            if (answer.asker == asked->asker && answer.number == asked->number)
                return true;
            if (answer.asker == asked->asker)
                count(LATE);
            continue;
        }
        require(emmap_queue_is_empty(to, &empty), "is_empty");
        if (!empty)
            continue;
        /* The answer may have come in between. */
        require(emmap_queue_is_empty(back, &empty), "is_empty");
        if (empty)
            return false;
    }
}

static void ask(void)
{
    emmap_file *const to = open_queue(".to"), *const back = open_queue(".back");
    content next = {.asker = (uint64_t)getpid(), .number = 1};
    puts("ready");
    for (;; next.number++) {
        await_turn();
        push(to, &next);
        count(is_answered(to, back, &next) ? ASKED : TAKEN);
    }
}

static void answer(void)
{
    emmap_file *const to = open_queue(".to"), *const back = open_queue(".back");
    content asked;
    puts("ready");
    for (;;) {
        require(receive(to, EMMAP_NO_LIMIT, ANSWERER_SLEPT, &asked), "receive");
        count(ANSWERED);
        push(back, &asked);
    }
}

/* ---- Words ---- */

static int64_t get(emmap_file *words, uint64_t index)
{
    int64_t result;
    require(emmap_counter_get(words, index, &result), "get");
    return result;
}

/* Waits until one word differs from the other, or equals it. Returns the word's value. */
static int64_t await_word(emmap_file *words, uint64_t index, bool same, uint64_t slept)
{
    for (;;) {
        const int64_t now = get(words, index);
        if ((now == get(words, 1 - index)) == same)
            return now;
        emmap_wait *wait = NULL;
        has_ended = false;
        const emmap_error error = emmap_counter_wait_begin(words, index, now, EMMAP_NO_LIMIT, &waiter, &wait);
        require(await(error, wait, slept), "wait");
    }
}

static void change(emmap_file *words, uint64_t index)
{
    require(emmap_counter_add(words, index, 1, NULL), "add");
    require(emmap_counter_notify(words, index, 1, NULL), "notify");
}

static void exchange_words(bool asks)
{
    emmap_file *words;
    require(emmap_counters_open(path_of(lane, ".words"), 2, NULL, &words), "open");
    puts("ready");
    for (;;)
        if (asks) {
            (void)await_word(words, 1, true, ASKER_SLEPT);
            await_turn();
            count(ASKED);
            change(words, 0);
        } else {
            (void)await_word(words, 0, false, ANSWERER_SLEPT);
            count(ANSWERED);
            change(words, 1);
        }
}

/* ---- The program ---- */

static void *leave(void *context)
{
    char some[64];
    while (read(STDIN_FILENO, some, sizeof some) > 0)
        ;
    _exit(0);
    return context;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 5 || pthread_create(&thread, NULL, leave, NULL) != 0)
        return 2;
    folder = argv[2];
    lane = argv[3];
    base = strtoull(argv[4], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    require(emmap_counters_open(path_of("", "counts"), 0, NULL, &counts), "open");
    if (strcmp(argv[1], "ask") == 0)
        ask();
    if (strcmp(argv[1], "answer") == 0)
        answer();
    exchange_words(strcmp(argv[1], "ask-words") == 0);
}
