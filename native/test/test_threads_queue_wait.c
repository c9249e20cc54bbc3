/* Waiting for messages: one message wakes one waiter, and no message is left while there is a waiter. */
#include <errno.h>
#include <poll.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "operation.h"
#include "patience.h"
#include "pause_points.h"
#include "platform.h"
#include "support.h"
#include "wait.h"

enum {
    EXCLUSIVE = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_EXCLUSIVE,
    SHARED = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE
};

static const unsigned kinds[] = {EXCLUSIVE, SHARED};

static emmap_file *open_queue(const char *name, unsigned flags)
{
    emmap_file *file;
    assert_ok(emmap_queue_open(path_of(name), &(emmap_options){.flags = flags}, &file));
    return file;
}

static emmap_error push(emmap_file *file, uint64_t number)
{
    const struct iovec vector = {&number, sizeof number};
    return emmap_queue_push(file, &vector, 1);
}

static void *take_number(void *context, size_t length)
{
    require(length == sizeof(uint64_t));
    return context;
}

static emmap_error pop(emmap_file *file, uint64_t *number)
{
    const emmap_sink sink = {take_number, number};
    return emmap_queue_pop(file, &sink);
}

/* The result of a wait. */
typedef struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    emmap_error result;
} outcome;

static void outcome_init(outcome *self)
{
    *self = (outcome){.calls = 0};
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
}

static void done(void *context, emmap_error result)
{
    outcome *const self = context;
    pthread_mutex_lock(&self->lock);
    self->calls++;
    self->result = result;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static emmap_error await(outcome *self)
{
    pthread_mutex_lock(&self->lock);
    while (self->calls == 0)
        pthread_cond_wait(&self->changed, &self->lock);
    const emmap_error result = self->result;
    pthread_mutex_unlock(&self->lock);
    return result;
}

static int calls(outcome *self)
{
    pthread_mutex_lock(&self->lock);
    const int result = self->calls;
    pthread_mutex_unlock(&self->lock);
    return result;
}

static emmap_error wait_begin(emmap_file *file, uint64_t timeout, outcome *outcome, emmap_wait **wait)
{
    outcome_init(outcome);
    return emmap_queue_wait_begin(file, timeout, &(emmap_waiter){.done = done, .context = outcome}, wait);
}

/* Pops a message, and waits without a limit. */
static emmap_error receive(emmap_file *file, uint64_t *number)
{
    emmap_error error;
    while ((error = pop(file, number)) == EMMAP_EOF) {
        outcome outcome;
        emmap_wait *wait;
        error = wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait);
        if (error == EAGAIN)
            continue;
        if (error)
            return error;
        error = await(&outcome);
        emmap_wait_free(wait);
        if (error)
            return error;
    }
    return error;
}

static void a_push_wakes_who_waits(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        emmap_file *const file = open_queue("queue", kinds[kind]);
        for (uint64_t round = 0; round < 200; round++) {
            outcome outcome;
            emmap_wait *wait;
            uint64_t number;
            assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
            assert_ok(push(file, round));
            assert_ok(await(&outcome));
            emmap_wait_free(wait);
            assert_ok(pop(file, &number));
            assert_int_equal(number, round);
        }
        close_file(file);
    }
}

static void a_message_that_is_there_is_not_waited_for(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        emmap_file *const file = open_queue("queue", kinds[kind]);
        outcome outcome;
        emmap_wait *wait;
        uint64_t number;
        assert_int_equal(wait_begin(file, 0, &outcome, &wait), ETIMEDOUT);
        assert_ok(push(file, 1));
        assert_int_equal(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait), EAGAIN);
        assert_null(wait);
        assert_ok(pop(file, &number));
        assert_ok(wait_begin(file, 20, &outcome, &wait));
        assert_int_equal(await(&outcome), ETIMEDOUT);
        emmap_wait_free(wait);
        close_file(file);
    }
}

enum { WAITERS = 4 };

static int woken(outcome *outcomes)
{
    int sum = 0;
    for (int i = 0; i < WAITERS; i++)
        sum += calls(&outcomes[i]);
    return sum;
}

/* True if each message has woken exactly one waiter. */
static bool wakes_one_each(emmap_file *file)
{
    outcome outcomes[WAITERS];
    emmap_wait *emi_waits[WAITERS];
    bool exact = true;
    for (int i = 0; i < WAITERS; i++)
        assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcomes[i], &emi_waits[i]));
    for (uint64_t message = 0; message < WAITERS; message++) {
        uint64_t number;
        assert_ok(push(file, message));
        while (woken(outcomes) <= (int)message)
            sched_yield();
        exact = exact && woken(outcomes) == (int)message + 1;
        assert_ok(pop(file, &number));
        assert_int_equal(number, message);
    }
    for (int i = 0; i < WAITERS; i++)
        emmap_wait_free(emi_waits[i]);
    return exact;
}

/* The check of all waits may meet an unfinished call, and then wakes all waiters; so try again. */
static void one_message_wakes_one_who_waits(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", EXCLUSIVE);
    int attempts = 1;
    while (!wakes_one_each(file) && attempts < 20)
        attempts++;
    assert_true(attempts < 20);
    close_file(file);
}

static void messages_at_once_wake_one_after_the_other(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", EXCLUSIVE);
    outcome outcomes[WAITERS];
    emmap_wait *emi_waits[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcomes[i], &emi_waits[i]));
    uint64_t numbers[WAITERS] = {1, 2, 3, 4};
    const struct iovec list[] = {{&numbers[0], 8}, {&numbers[1], 8}, {&numbers[2], 8}, {&numbers[3], 8}};
    assert_ok(emmap_queue_push_many(file, list, WAITERS));
    for (int taken = 0; taken < WAITERS; taken++) {
        while (woken(outcomes) <= taken)
            sched_yield();
        uint64_t number;
        assert_ok(pop(file, &number));
    }
    for (int i = 0; i < WAITERS; i++)
        emmap_wait_free(emi_waits[i]);
    close_file(file);
}

static void a_close_ends_what_waits(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        emmap_file *const file = open_queue("queue", kinds[kind]);
        outcome outcome;
        emmap_wait *wait;
        assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
        assert_ok(emmap_close(file));
        assert_int_equal(await(&outcome), EMMAP_CLOSED);
        emmap_wait_free(wait);
        assert_int_equal(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait), EMMAP_CLOSED);
        emmap_free(file);
    }
}

static void a_message_of_another_handle_is_received(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", SHARED), *const other = open_queue("queue", SHARED);
    for (uint64_t round = 0; round < 3; round++) {
        outcome outcome;
        emmap_wait *wait;
        uint64_t number;
        assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
        assert_ok(push(other, round));
        assert_ok(await(&outcome));
        emmap_wait_free(wait);
        assert_ok(receive(file, &number));
        assert_int_equal(number, round);
    }
    close_file(other);
    close_file(file);
}

static void a_message_that_is_put_back_wakes(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        emmap_file *const file = open_queue("queue", kinds[kind]);
        outcome outcome;
        emmap_wait *wait;
        uint64_t number;
        uint64_t ticket;
        const emmap_sink sink = {take_number, &number};
        assert_ok(push(file, 7));
        assert_ok(emmap_queue_pop_begin(file, &sink, &ticket));
        /* There is a message, which nobody may take. */
        assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
        assert_ok(emmap_queue_pop_abort(file, ticket));
        assert_ok(await(&outcome));
        emmap_wait_free(wait);
        assert_ok(receive(file, &number));
        assert_int_equal(number, 7);
        close_file(file);
    }
}

/* The message is no reason to wake, except once in each look of the watcher. */
static void a_wait_sleeps_while_another_caller_pops(void **state)
{
    (void)state;
    if (!emi_platform_word_can_sleep())
        skip(); /* there the watcher looks more often */
    for (size_t kind = 0; kind < 2; kind++) {
        emmap_file *const file = open_queue("queue", kinds[kind]);
        uint64_t number, ticket;
        const emmap_sink sink = {take_number, &number};
        assert_ok(push(file, 7));
        assert_ok(emmap_queue_pop_begin(file, &sink, &ticket));
        const uint64_t begin = emi_monotonic_now();
        enum { ROUNDS = 4 };
        for (int i = 0; i < ROUNDS; i++) {
            outcome outcome;
            emmap_wait *wait;
            assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
            assert_ok(await(&outcome));
            emmap_wait_free(wait);
        }
        /* The first one may begin right before a look, and a look may be late. */
        assert_true(emi_monotonic_now() - begin > (ROUNDS - 2) * EMI_WAIT_LOOK_EVERY * UINT64_C(1000000) / 2);
        assert_ok(emmap_queue_pop_abort(file, ticket));
        close_file(file);
    }
}

/* The first check of the wait finds the lock taken, and nobody pushes afterwards. */
static void a_message_behind_a_lock_is_found_later(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", EXCLUSIVE);
    outcome outcome;
    emmap_wait *wait;
    assert_ok(push(file, 1));
    thread_lock_t *const lock = &((container_t *)atomic_load(&file->container))->threads;
    thread_lock_take(lock);
    assert_ok(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait));
    thread_lock_give(lock);
    assert_ok(await(&outcome));
    emmap_wait_free(wait);
    close_file(file);
}

static void who_may_not_take_messages_does_not_wait_for_them(void **state)
{
    (void)state;
    close_file(open_queue("queue", SHARED));
    emmap_file *const file = open_queue("queue", EMMAP_OPEN_READ);
    outcome outcome;
    emmap_wait *wait;
    assert_int_equal(wait_begin(file, EMMAP_NO_LIMIT, &outcome, &wait), EACCES);
    close_file(file);
}

/* ---- Bells ---- */

static int bell_of(emmap_file *file)
{
    int fd = -1;
    require_ok(emmap_queue_wait_descriptor(file, &fd));
    return fd;
}

static emmap_error wait_by_bell(emmap_file *file, uint64_t timeout, outcome *outcome, emmap_wait **wait)
{
    (void)bell_of(file);
    outcome_init(outcome);
    return emmap_queue_wait_begin(file, timeout, &(emmap_waiter){done, outcome, true}, wait);
}

/* Waits up to so many ms for the bell, and reads what is there. */
static bool rings(emmap_file *file, int milliseconds)
{
    struct pollfd bell = {.fd = bell_of(file), .events = POLLIN};
    uint8_t bytes[16];
    return poll(&bell, 1, milliseconds) == 1 && read(bell.fd, bytes, sizeof bytes) > 0;
}

/* As a door does: whatever ends the wait first. */
static emmap_error await_bell(emmap_file *file, outcome *outcome, emmap_wait *wait)
{
    while (calls(outcome) == 0)
        if (rings(file, 1) && emmap_wait_woken(wait))
            return EMMAP_OK;
    return await(outcome);
}

static void a_push_rings_the_bell_of_who_waits(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", SHARED), *const other = open_queue("queue", SHARED);
    for (uint64_t round = 0; round < 200; round++) {
        outcome outcome;
        emmap_wait *wait;
        uint64_t number;
        assert_ok(wait_by_bell(file, EMMAP_NO_LIMIT, &outcome, &wait));
        /* The waiting handle itself may push, too. */
        assert_ok(push(round % 2 ? file : other, round));
        if (calls(&outcome) == 0) {
            assert_true(rings(file, 0));
            assert_int_equal(emmap_wait_woken(wait), calls(&outcome) == 0);
        }
        emmap_wait_free(wait);
        assert_ok(pop(file, &number));
        assert_int_equal(number, round);
        assert_int_equal(emmap_queue_wait_begin(file, 0, &(emmap_waiter){done, &outcome, true}, &wait),
                         ETIMEDOUT);
    }
    close_file(other);
    close_file(file);
}

static void messages_ring_each_bell_and_wake_threads_too(void **state)
{
    (void)state;
    enum { HANDLES = 4 };
    emmap_file *files[HANDLES], *const pusher = open_queue("queue", SHARED);
    outcome outcomes[HANDLES];
    emmap_wait *waits[HANDLES];
    int woken[HANDLES] = {0};
    for (int i = 0; i < HANDLES; i++)
        files[i] = open_queue("queue", SHARED);
    /* The last one sleeps in a thread. */
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < HANDLES; i++)
            assert_ok((i < HANDLES - 1 ? wait_by_bell : wait_begin)(files[i], EMMAP_NO_LIMIT, &outcomes[i],
                                                                    &waits[i]));
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        assert_ok(push(pusher, 1));
        int first = -1;
        while (first < 0)
            for (int i = 0; i < HANDLES && first < 0; i++)
                if (calls(&outcomes[i]) || (i < HANDLES - 1 && rings(files[i], 0)))
                    first = i;
        woken[first]++;
        (void)emmap_wait_woken(waits[first]); /* so that freeing it wakes no other one */
        for (int i = 0; i < HANDLES; i++)
            emmap_wait_free(waits[i]);
        uint64_t number;
        assert_ok(pop(pusher, &number));
        for (int i = 0; i < HANDLES - 1; i++)
            (void)rings(files[i], 0);
    }
    for (int i = 0; i < HANDLES; i++) {
        print_message("handle %d was woken %d times\n", i, woken[i]);
        /* Where threads can't sleep on words, a notify ends the first wait of its own process. */
        if (emi_platform_word_can_sleep())
            assert_in_range(woken[i], 1, 5);
        close_file(files[i]);
    }
    close_file(pusher);
}

static void a_cancelled_wait_whose_bell_rang_wakes_the_next(void **state)
{
    (void)state;
    emmap_file *const one = open_queue("queue", SHARED), *const other = open_queue("queue", SHARED);
    outcome outcomes[2];
    emmap_wait *waits[2];
    uint64_t number;
    assert_ok(wait_by_bell(one, EMMAP_NO_LIMIT, &outcomes[0], &waits[0]));
    assert_ok(wait_by_bell(other, EMMAP_NO_LIMIT, &outcomes[1], &waits[1]));
    assert_ok(push(one, 1));
    const bool first = rings(one, 0);
    assert_true(first || rings(other, 0));
    emmap_wait *const woken = waits[!first];
    if (calls(&outcomes[!first]) == 0)
        assert_true(emmap_wait_cancel(woken));
    assert_ok(await_bell(first ? other : one, &outcomes[first], waits[first]));
    emmap_wait_free(waits[0]);
    emmap_wait_free(waits[1]);
    assert_ok(pop(one, &number));
    close_file(one);
    close_file(other);
}

static void a_wait_by_a_bell_ends_in_time_and_by_close(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", SHARED);
    outcome outcome;
    emmap_wait *wait;
    struct timespec begun, over;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    assert_ok(wait_by_bell(file, 230, &outcome, &wait));
    assert_int_equal(await_bell(file, &outcome, wait), ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &over);
    const int64_t took = (over.tv_sec - begun.tv_sec) * 1000 + (over.tv_nsec - begun.tv_nsec) / 1000000;
    assert_in_range(took, 230, 2000);
    emmap_wait_free(wait);
    assert_ok(wait_by_bell(file, EMMAP_NO_LIMIT, &outcome, &wait));
    char bell[4096];
    snprintf(bell, sizeof bell, "%s", path_of("queue-live/bell.0"));
    assert_int_equal(access(bell, F_OK), 0);
    assert_ok(emmap_close(file));
    assert_int_equal(await(&outcome), EMMAP_CLOSED);
    emmap_wait_free(wait);
    assert_int_not_equal(access(bell, F_OK), 0);
    emmap_free(file);
}

static void handles_without_a_live_folder_have_no_bell(void **state)
{
    (void)state;
    int fd;
    emmap_file *const exclusive = open_queue("queue", EXCLUSIVE);
    assert_error(ENOTSUP, emmap_queue_wait_descriptor(exclusive, &fd));
    close_file(exclusive);
    emmap_file *const reader = open_queue("queue", EMMAP_OPEN_READ);
    assert_error(EACCES, emmap_queue_wait_descriptor(reader, &fd));
    close_file(reader);
}

static const char *deadly;

static void die_there(const char *name)
{
    if (strcmp(name, deadly) == 0)
        kill(getpid(), SIGKILL);
}

static void wait_and_die(void *context)
{
    (void)context;
    emmap_file *const file = open_queue("queue", SHARED);
    outcome outcome;
    emmap_wait *wait;
    deadly = "wake_bell_set";
    pause_hook = die_there;
    (void)wait_by_bell(file, EMMAP_NO_LIMIT, &outcome, &wait);
}

/* Its bit stays, and its FIFO. */
static void a_dead_waiter_gets_no_message(void **state)
{
    (void)state;
    emmap_file *const file = open_queue("queue", SHARED), *const other = open_queue("queue", SHARED);
    outcome outcome;
    emmap_wait *wait;
    uint64_t number;
    assert_true(WIFSIGNALED(in_child(wait_and_die, NULL)));
    assert_int_equal(access(path_of("queue-live/bell.2"), F_OK), 0);
    assert_ok(wait_by_bell(file, EMMAP_NO_LIMIT, &outcome, &wait));
    assert_ok(push(other, 1));
    assert_true(calls(&outcome) || rings(file, 0));
    emmap_wait_free(wait);
    assert_ok(pop(file, &number));
    close_file(file);
    assert_int_equal(access(path_of("queue-live/bell.2"), F_OK), 0);
    /* The last handle clears up; or the next first one, if the last one died. */
    close_file(other);
    assert_int_not_equal(access(path_of("queue-live/bell.2"), F_OK), 0);
    assert_true(WIFSIGNALED(in_child(wait_and_die, NULL)));
    assert_int_equal(access(path_of("queue-live/bell.0"), F_OK), 0);
    emmap_file *const next = open_queue("queue", SHARED);
    assert_int_not_equal(access(path_of("queue-live/bell.0"), F_OK), 0);
    close_file(next);
    assert_int_not_equal(access(path_of("queue-live/bell.2"), F_OK), 0);
}

/* ---- Deaths ---- */

static void push_and_die(void *context)
{
    (void)context;
    emmap_file *const file = open_queue("queue", SHARED);
    pause_hook = die_there;
    push(file, 5);
}

/* Kills the pushing process at each point after the message is stored. */
static void a_message_whose_pusher_was_killed_is_received(void **state)
{
    (void)state;
    static const char *const points[] = {"queue_push_done", "wake_calling", "wake_called", "live_bell_taken"};
    emmap_file *const file = open_queue("queue", SHARED);
    for (size_t i = 0; i < 2 * (sizeof points / sizeof *points) - 1; i++) {
        outcome outcome;
        emmap_wait *wait;
        uint64_t number;
        const bool by_bell = i % 2 == 0;
        deadly = points[i / 2];
        assert_ok((by_bell ? wait_by_bell : wait_begin)(file, EMMAP_NO_LIMIT, &outcome, &wait));
        const int status = in_child(push_and_die, NULL);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_ok(by_bell ? await_bell(file, &outcome, wait) : await(&outcome));
        emmap_wait_free(wait);
        assert_ok(receive(file, &number));
        assert_int_equal(number, 5);
    }
    close_file(file);
}

/* ---- Many at once ---- */

enum { PUSHERS = 2, RECEIVERS = 3, MESSAGES = 3000 };

typedef struct crowd {
    emmap_file *file; /* the queue to receive from */
    emmap_file *into; /* the queue to push to */
    uint8_t seen[PUSHERS * MESSAGES];
    uint64_t next; /* atomic */
} crowd;

static void *push_all(void *context)
{
    crowd *const self = context;
    for (int i = 0; i < MESSAGES; i++)
        require_ok(push(self->into, __atomic_fetch_add(&self->next, 1, __ATOMIC_RELAXED)));
    return NULL;
}

/* Goes on until it receives an end mark. */
static void *receive_all(void *context)
{
    crowd *const self = context;
    for (;;) {
        uint64_t number;
        require_ok(receive(self->file, &number));
        if (number == UINT64_MAX)
            return NULL;
        require(__atomic_fetch_add(&self->seen[number], 1, __ATOMIC_RELAXED) == 0);
    }
}

/* As receive, by the bell of a handle of its own. */
static void *receive_all_by_bell(void *context)
{
    crowd *const self = context;
    emmap_file *file;
    emmap_info info;
    emmap_describe(self->file, &info);
    require_ok(emmap_queue_open(info.path, &(emmap_options){.flags = SHARED}, &file));
    for (uint64_t number = 0;;) {
        emmap_error error;
        while ((error = pop(file, &number)) == EMMAP_EOF) {
            outcome outcome;
            emmap_wait *wait;
            error = wait_by_bell(file, EMMAP_NO_LIMIT, &outcome, &wait);
            if (error == EAGAIN)
                continue;
            require_ok(error);
            require_ok(await_bell(file, &outcome, wait));
            emmap_wait_free(wait);
        }
        require_ok(error);
        if (number == UINT64_MAX)
            break;
        require(__atomic_fetch_add(&self->seen[number], 1, __ATOMIC_RELAXED) == 0);
    }
    close_file(file);
    return NULL;
}

/* A lost wake-up would stop this for ever, because with the lock in memory no waiter checks by itself. */
static void no_wake_up_is_lost(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 3; kind++) {
        const bool by_bell = kind == 2;
        const unsigned flags = kinds[by_bell ? 1 : kind];
        crowd *const common = calloc(1, sizeof *common);
        common->file = open_queue("queue", flags);
        common->into = flags == SHARED ? open_queue("queue", SHARED) : common->file;
        pthread_t threads[PUSHERS + RECEIVERS];
        for (int i = 0; i < RECEIVERS; i++)
            assert_int_equal(pthread_create(&threads[PUSHERS + i], NULL,
                                            by_bell ? receive_all_by_bell : receive_all, common),
                             0);
        for (int i = 0; i < PUSHERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, push_all, common), 0);
        for (int i = 0; i < PUSHERS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < RECEIVERS; i++)
            assert_ok(push(common->into, UINT64_MAX));
        for (int i = 0; i < RECEIVERS; i++)
            pthread_join(threads[PUSHERS + i], NULL);
        for (int i = 0; i < PUSHERS * MESSAGES; i++)
            assert_int_equal(common->seen[i], 1);
        if (common->into != common->file)
            close_file(common->into);
        close_file(common->file);
        free(common);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_push_wakes_who_waits),
        folder_test(a_message_that_is_there_is_not_waited_for),
        folder_test(one_message_wakes_one_who_waits),
        folder_test(messages_at_once_wake_one_after_the_other),
        folder_test(a_close_ends_what_waits),
        folder_test(a_message_of_another_handle_is_received),
        folder_test(a_message_that_is_put_back_wakes),
        folder_test(a_wait_sleeps_while_another_caller_pops),
        folder_test(a_message_behind_a_lock_is_found_later),
        folder_test(who_may_not_take_messages_does_not_wait_for_them),
        folder_test(a_push_rings_the_bell_of_who_waits),
        folder_test(messages_ring_each_bell_and_wake_threads_too),
        folder_test(a_cancelled_wait_whose_bell_rang_wakes_the_next),
        folder_test(a_wait_by_a_bell_ends_in_time_and_by_close),
        folder_test(handles_without_a_live_folder_have_no_bell),
        folder_test(a_dead_waiter_gets_no_message),
        folder_test(a_message_whose_pusher_was_killed_is_received),
        folder_test(no_wake_up_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
