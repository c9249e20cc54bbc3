/* Waits for words: how they end, and that no notify between threads and processes is lost. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "platform.h"
#include "support.h"

/* Under the thread sanitizer the child of a process with several threads may start no thread. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILDREN_HAVE_NO_THREADS
#endif
#endif

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)
#define HIGH ((int64_t)1 << 32)

/* A wait and its result. */
typedef struct probe {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int calls;
    emmap_error result;
    emmap_wait *wait;
} probe;

static void done(void *context, emmap_error result)
{
    probe *const self = context;
    pthread_mutex_lock(&self->lock);
    self->calls++;
    self->result = result;
    pthread_cond_broadcast(&self->ended);
    pthread_mutex_unlock(&self->lock);
}

static probe *probe_new(void)
{
    probe *const self = calloc(1, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->ended, NULL);
    return self;
}

static emmap_error begin(probe *self, emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout)
{
    return emmap_wait_begin(file, position, expected, timeout, &(emmap_waiter){.done = done, .context = self},
                            &self->wait);
}

static int calls_of(probe *self)
{
    pthread_mutex_lock(&self->lock);
    const int calls = self->calls;
    pthread_mutex_unlock(&self->lock);
    return calls;
}

static emmap_error result_of(probe *self)
{
    pthread_mutex_lock(&self->lock);
    while (self->calls == 0)
        pthread_cond_wait(&self->ended, &self->lock);
    const emmap_error result = self->result;
    pthread_mutex_unlock(&self->lock);
    return result;
}

static void probe_free(probe *self)
{
    emmap_wait_free(self->wait);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->ended);
    free(self);
}

/* Waits, and ends the process with the wait's result as status. */
static emmap_error wait_for(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout)
{
    probe *const self = probe_new();
    emmap_error error = begin(self, file, position, expected, timeout);
    if (!error) {
        error = result_of(self);
        probe_free(self);
        return error;
    }
    require_that(self->wait == NULL && calls_of(self) == 0, "a wait that has not begun", __FILE__, __LINE__);
    probe_free(self);
    return error;
}

static uint64_t notify(emmap_file *file, uint64_t position, uint64_t count)
{
    uint64_t woken = 77;
    require_ok(emmap_notify(file, position, count, &woken));
    return woken;
}

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void rest(long milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

/* ---- Refused waits ---- */

static void a_word_that_holds_another_value_is_not_waited_for(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    assert_ok(emmap_patomic_store(file, 8, HIGH));
    assert_error(EAGAIN, wait_for(file, 8, 0, EMMAP_NO_LIMIT));
    assert_error(EAGAIN, wait_for(file, 8, HIGH + 1, 0));
    assert_error(ETIMEDOUT, wait_for(file, 8, HIGH, 0));
    close_file(file);
}

static void a_word_that_is_none_is_refused(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    assert_error(EMMAP_ALIGNMENT, wait_for(file, 4, 0, EMMAP_NO_LIMIT));
    assert_error(EINVAL, wait_for(file, 64, 0, EMMAP_NO_LIMIT));
    assert_error(EINVAL, wait_for(file, UINT64_MAX - 7, 0, EMMAP_NO_LIMIT));
    assert_error(EMMAP_ALIGNMENT, emmap_notify(file, 4, 1, NULL));
    assert_error(EINVAL, emmap_notify(file, 64, 1, NULL));
    assert_ok(emmap_close(file));
    assert_error(EMMAP_CLOSED, wait_for(file, 8, 0, EMMAP_NO_LIMIT));
    assert_error(EMMAP_CLOSED, emmap_notify(file, 8, 1, NULL));
    emmap_free(file);
}

static void a_private_mapping_that_may_be_written_to_is_refused(void **state)
{
    (void)state;
    close_file(open_file(path_of("file"), CREATE, 64));
    emmap_file *const file = open_file(path_of("file"), RW | EMMAP_OPEN_PRIVATE, 0);
    assert_error(EINVAL, wait_for(file, 8, 0, EMMAP_NO_LIMIT));
    assert_error(EAGAIN, wait_for(file, 8, 1, EMMAP_NO_LIMIT));
    close_file(file);
}

/* ---- The ends of a wait ---- */

static void a_wait_ends_when_its_time_is_over(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    const uint64_t before = milliseconds();
    assert_error(ETIMEDOUT, wait_for(file, 8, 0, 30));
    assert_in_range(milliseconds() - before, 30, 10000);
    close_file(file);
}

/* First at once, while the wait's thread still starts; then while it sleeps. */
static void a_notify_wakes_as_many_as_it_says(void **state)
{
    (void)state;
    enum { WAITS = 6 };
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    for (int round = 0; round < 20; round++) {
        probe *probes[WAITS];
        for (int i = 0; i < WAITS; i++) {
            probes[i] = probe_new();
            assert_ok(begin(probes[i], file, 8, 0, EMMAP_NO_LIMIT));
        }
        if (round % 2)
            rest(5);
        assert_int_equal(notify(file, 16, EMMAP_NO_LIMIT), 0);
        assert_int_equal(notify(file, 8, 0), 0);
        assert_int_equal(notify(file, 8, 2), 2);
        int ended = 0;
        while (ended < 2)
            for (int i = ended = 0; i < WAITS; i++)
                ended += calls_of(probes[i]);
        assert_int_equal(ended, 2);
        /* A thread of the two earlier waits may be counted once more while it returns; a sleeping one is not. */
        const uint64_t others = notify(file, 8, EMMAP_NO_LIMIT);
        assert_in_range(others, WAITS - 2, round % 2 ? WAITS - 2 : WAITS);
        if (round % 2)
            assert_int_equal(notify(file, 8, EMMAP_NO_LIMIT), 0);
        for (int i = 0; i < WAITS; i++) {
            assert_ok(result_of(probes[i]));
            assert_int_equal(calls_of(probes[i]), 1);
            probe_free(probes[i]);
        }
    }
    close_file(file);
}

static void who_waits_longest_is_woken_first(void **state)
{
    (void)state;
    enum { WAITS = 4 };
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    probe *probes[WAITS];
    for (int i = 0; i < WAITS; i++) {
        probes[i] = probe_new();
        assert_ok(begin(probes[i], file, 8, 0, EMMAP_NO_LIMIT));
        rest(20);
    }
    for (int i = 0; i < WAITS; i++) {
        assert_int_equal(notify(file, 8, 1), 1);
        assert_ok(result_of(probes[i]));
        for (int later = i + 1; later < WAITS; later++)
            assert_int_equal(calls_of(probes[later]), 0);
    }
    for (int i = 0; i < WAITS; i++)
        probe_free(probes[i]);
    close_file(file);
}

static void another_handle_of_the_file_wakes_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 8192);
    emmap_file *const other =
        open_with(path_of("file"), (emmap_options){.flags = RW | EMMAP_OPEN_SHARED, .offset = 4096});
    for (int i = 0; i < 50; i++) {
        probe *const self = probe_new();
        assert_ok(begin(self, file, 4096, 0, EMMAP_NO_LIMIT));
        if (i % 2)
            rest(1);
        assert_int_equal(notify(other, 0, 1), 1);
        assert_ok(result_of(self));
        probe_free(self);
    }
    close_file(other);
    close_file(file);
}

static void a_change_ends_it_that_nobody_notifies_of(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8, 0, EMMAP_NO_LIMIT));
    rest(20);
    assert_ok(emmap_patomic_store(file, 8, HIGH));
    assert_ok(result_of(self));
    probe_free(self);
    close_file(file);
}

static void closing_ends_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    probe *const early = probe_new(), *const late = probe_new();
    assert_ok(begin(early, file, 8, 0, EMMAP_NO_LIMIT));
    rest(5);
    assert_ok(begin(late, file, 16, 0, 60000));
    close_file(file);
    assert_error(EMMAP_CLOSED, result_of(early));
    assert_error(EMMAP_CLOSED, result_of(late));
    assert_false(emmap_wait_cancel(early->wait));
    probe_free(early);
    probe_free(late);
}

static void nobody_is_called_after_a_cancel(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    for (int i = 0; i < 50; i++) {
        probe *const self = probe_new();
        assert_ok(begin(self, file, 8, 0, EMMAP_NO_LIMIT));
        if (i % 2)
            rest(1);
        assert_true(emmap_wait_cancel(self->wait));
        assert_false(emmap_wait_cancel(self->wait));
        assert_int_equal(notify(file, 24, 1), 0);
        assert_int_equal(calls_of(self), 0);
        probe_free(self);
    }
    close_file(file);
}

/* One of two waits is cancelled while the notify comes. The other one gets it, no matter which the kernel has woken. */
static void a_notify_is_not_lost_to_one_who_leaves(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    for (int i = 0; i < 300; i++) {
        probe *const leaving = probe_new(), *const staying = probe_new();
        assert_ok(begin(leaving, file, 8, 0, EMMAP_NO_LIMIT));
        assert_ok(begin(staying, file, 8, 0, EMMAP_NO_LIMIT));
        if (i % 2)
            rest(1);
        const uint64_t woken = notify(file, 8, 1);
        const bool left = emmap_wait_cancel(leaving->wait);
        assert_int_equal(woken, 1);
        assert_ok(result_of(left ? staying : leaving));
        assert_int_equal(calls_of(left ? leaving : staying), 0);
        probe_free(leaving);
        probe_free(staying);
    }
    close_file(file);
}

/* ---- Changes of size ---- */

static void growth_does_not_end_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 4096);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8, 0, EMMAP_NO_LIMIT));
    rest(5);
    assert_ok(emmap_resize(file, 1 << 20, NULL));
    rest(5);
    assert_int_equal(calls_of(self), 0);
    assert_int_equal(notify(file, 8, 1), 1);
    assert_ok(result_of(self));
    probe_free(self);
    close_file(file);
}

static void a_file_that_becomes_shorter_than_the_word_ends_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 1 << 16);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8192, 0, EMMAP_NO_LIMIT));
    rest(5);
    assert_ok(emmap_resize(file, 4096, NULL));
    assert_error(EINVAL, result_of(self));
    assert_ok(emmap_patomic_store(file, 8, 1));
    probe_free(self);
    close_file(file);
}

static void a_truncated_file_ends_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 1 << 16);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8192, 0, EMMAP_NO_LIMIT));
    rest(5);
    assert_int_equal(truncate(path_of("file"), 0), 0);
    assert_error(EFAULT, result_of(self));
    assert_error(EFAULT, wait_for(file, 8, 0, EMMAP_NO_LIMIT));
    assert_error(EFAULT, emmap_notify(file, 8, 1, NULL));
    probe_free(self);
    close_file(file);
}

/* ---- Threads ---- */

enum { ROUNDS = 2000 };

typedef struct game {
    emmap_file *file;
    int64_t step;
    int64_t rounds;
} game;

/* Waits until the word at `position` differs from `seen`. */
static int64_t await_change(emmap_file *file, uint64_t position, int64_t seen)
{
    int64_t value;
    require_ok(emmap_patomic_load(file, position, &value));
    while (value == seen) {
        const emmap_error error = wait_for(file, position, seen, EMMAP_NO_LIMIT);
        require_that(error == EMMAP_OK || error == EAGAIN, "the wait has ended well", __FILE__, __LINE__);
        require_ok(emmap_patomic_load(file, position, &value));
    }
    return value;
}

/* Answers each change of the word at 8 by one at 16. */
static void answer(game *self)
{
    int64_t seen = 0;
    for (int64_t round = 0; round < self->rounds; round++) {
        seen = await_change(self->file, 8, seen);
        require_ok(emmap_patomic_store(self->file, 16, seen));
        notify(self->file, 16, 1);
    }
}

static void *answer_in_thread(void *context)
{
    answer(context);
    return NULL;
}

/* The watcher finds a change after 50 ms on average. If it had to find all of these, that would take minutes. */
static void ask(game *self)
{
    const uint64_t before = milliseconds();
    int64_t value = 0;
    for (int64_t round = 0; round < self->rounds; round++) {
        const int64_t seen = value;
        value += self->step;
        require_ok(emmap_patomic_store(self->file, 8, value));
        notify(self->file, 8, 1);
        require_that(await_change(self->file, 16, seen) == value, "the answer is to this", __FILE__,
                     __LINE__);
    }
    if (emi_platform_word_can_sleep())
        require_that(milliseconds() - before < (uint64_t)self->rounds * 25, "no notify was lost", __FILE__,
                     __LINE__);
}

static void no_change_is_missed(int64_t step)
{
    game self = {.file = open_file(path_of("file"), CREATE, 64),
                 .step = step,
                 .rounds = emi_platform_word_can_sleep() ? ROUNDS : 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_in_thread, &self), 0);
    ask(&self);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_file(self.file);
}

static void no_change_of_the_low_half_is_missed(void **state)
{
    (void)state;
    no_change_is_missed(1);
}

static void no_change_of_the_high_half_is_missed(void **state)
{
    (void)state;
    no_change_is_missed(HIGH);
}

static double processor_ms(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

static void a_hundred_that_wait_use_no_processor_time(void **state)
{
    (void)state;
    enum { WAITS = 100 };
    emmap_file *const file = open_file(path_of("file"), CREATE, 4096);
    probe *probes[WAITS];
    for (int i = 0; i < WAITS; i++) {
        probes[i] = probe_new();
        assert_ok(begin(probes[i], file, i % 2 ? 8 : 16 + 8 * (uint64_t)i, 0, EMMAP_NO_LIMIT));
    }
    rest(200);
    const double before = processor_ms();
    rest(1000);
    const double used = processor_ms() - before;
    print_message("%d waits: %.2f ms of processor time in a second\n", WAITS, used);
    assert_in_range(used, 0, 10);
    assert_int_equal(notify(file, 8, EMMAP_NO_LIMIT), WAITS / 2);
    for (int i = 0; i < WAITS; i += 2)
        assert_int_equal(notify(file, 16 + 8 * (uint64_t)i, 5), 1);
    for (int i = 0; i < WAITS; i++) {
        assert_ok(result_of(probes[i]));
        probe_free(probes[i]);
    }
    close_file(file);
}

static void more_than_the_limit_are_refused(void **state)
{
    (void)state;
    if (!emi_platform_word_can_sleep())
        return;
    emmap_file *const file = open_file(path_of("file"), CREATE, 4096);
    static probe *probes[EMMAP_WAIT_LIMIT];
    unsigned count = 0;
    emmap_error error = EMMAP_OK;
    while (count < EMMAP_WAIT_LIMIT) {
        probes[count] = probe_new();
        error = begin(probes[count], file, 8, 0, EMMAP_NO_LIMIT);
        count++;
        if (error)
            break;
    }
    if (!error) /* otherwise the system has no more threads, and returns the same error */
        error = wait_for(file, 8, 0, EMMAP_NO_LIMIT);
    assert_error(ENOMEM, error);
    close_file(file);
    while (count > 0)
        probe_free(probes[--count]);
}

#ifndef CHILDREN_HAVE_NO_THREADS
/* ---- Processes ---- */

static void answer_in_child(void *context)
{
    game self = *(game *)context;
    self.file = open_file(path_of("file"), RW | EMMAP_OPEN_SHARED, 0);
    answer(&self);
    close_file(self.file);
}

static void no_change_is_missed_between_processes(void **state)
{
    (void)state;
    for (int high = 0; high < 2; high++) {
        game self = {.file = open_file(path_of("file"), CREATE | EMMAP_OPEN_TRUNCATE, 64),
                     .step = high ? HIGH : 1,
                     .rounds = emi_platform_word_can_sleep() ? ROUNDS : 20};
        const pid_t child = start_child(answer_in_child, &self);
        ask(&self);
        assert_int_equal(wait_child(child), 0);
        close_file(self.file);
    }
}

/* Nothing changes, so that the child is asleep when it is killed. */
static void wait_read_only(void *context)
{
    const uint32_t *const flags = context;
    emmap_file *const file = open_file(path_of("file"), *flags, 0);
    require_ok(wait_for(file, 8, 0, EMMAP_NO_LIMIT));
    close_file(file);
}

static void a_notify_reaches_read_only_handles_of_other_processes(void **state)
{
    (void)state;
    if (!emi_platform_word_can_sleep())
        return;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    uint32_t flags[] = {EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, EMMAP_OPEN_READ | EMMAP_OPEN_PRIVATE};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const pid_t child = start_child(wait_read_only, &flags[i]);
        while (notify(file, 8, 1) == 0)
            rest(1);
        assert_int_equal(wait_child(child), 0);
    }
    close_file(file);
}

static void notify_once_asleep(void *context)
{
    const uint32_t *const flags = context;
    emmap_file *const file = open_file(path_of("file"), *flags, 0);
    while (notify(file, 8, 1) == 0)
        rest(1);
    close_file(file);
}

static void a_read_only_handle_may_notify(void **state)
{
    (void)state;
    if (!emi_platform_word_can_sleep())
        return;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8, 0, EMMAP_NO_LIMIT));
    uint32_t flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED;
    assert_int_equal(in_child(notify_once_asleep, &flags), 0);
    assert_ok(result_of(self));
    probe_free(self);
    close_file(file);
}

static void use_in_child(void *context)
{
    emmap_file *const inherited = context;
    require_error(EFAULT, wait_for(inherited, 8, 0, EMMAP_NO_LIMIT));
    require_error(EFAULT, emmap_notify(inherited, 8, 1, NULL));
    emmap_free(inherited);
    emmap_file *const file = open_file(path_of("file"), RW | EMMAP_OPEN_SHARED, 0);
    probe *const self = probe_new();
    require_ok(begin(self, file, 16, 0, EMMAP_NO_LIMIT));
    require_that(notify(file, 16, 1) == 1, "the child's own wait is woken", __FILE__, __LINE__);
    require_ok(result_of(self));
    probe_free(self);
    close_file(file);
}

static void a_forked_child_waits_for_itself(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    probe *const self = probe_new();
    assert_ok(begin(self, file, 8, 0, EMMAP_NO_LIMIT));
    assert_child_passes(use_in_child, file);
    assert_int_equal(calls_of(self), 0);
    assert_int_equal(notify(file, 8, 1), 1);
    assert_ok(result_of(self));
    probe_free(self);
    close_file(file);
}

#ifdef __linux__
/* Acts as a kernel without futex_waitv. */
static void forbid_waitv(void)
{
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 449, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof instructions / sizeof *instructions, instructions};
    require_that(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges", __FILE__, __LINE__);
    require_that(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "a filter", __FILE__, __LINE__);
    require_that(syscall(449, NULL, 0, 0, NULL, 0) == -1 && errno == ENOSYS, "is there", __FILE__, __LINE__);
}

static void answer_without_waitv(void *context)
{
    forbid_waitv();
    answer_in_child(context);
}

static void wait_without_waitv(void *context)
{
    emmap_file *const file = open_file(path_of("file"), RW | EMMAP_OPEN_SHARED, 0);
    (void)context;
    forbid_waitv();
    probe *const self = probe_new();
    require_error(ETIMEDOUT, wait_for(file, 32, 0, 20));
    require_ok(begin(self, file, 32, 0, EMMAP_NO_LIMIT));
    rest(20);
    require_that(notify(file, 32, 1) == 1, "one is woken", __FILE__, __LINE__);
    require_ok(result_of(self));
    close_file(file);
}

static void it_works_without_futex_waitv(void **state)
{
    (void)state;
    game self = {.file = open_file(path_of("file"), CREATE, 64), .step = 1, .rounds = 500};
    const pid_t child = start_child(answer_without_waitv, &self);
    ask(&self);
    assert_int_equal(wait_child(child), 0);
    assert_child_passes(wait_without_waitv, NULL);
    close_file(self.file);
}
#endif
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_word_that_holds_another_value_is_not_waited_for),
        folder_test(a_word_that_is_none_is_refused),
        folder_test(a_private_mapping_that_may_be_written_to_is_refused),
        folder_test(a_wait_ends_when_its_time_is_over),
        folder_test(a_notify_wakes_as_many_as_it_says),
        folder_test(who_waits_longest_is_woken_first),
        folder_test(another_handle_of_the_file_wakes_it),
        folder_test(a_change_ends_it_that_nobody_notifies_of),
        folder_test(closing_ends_it),
        folder_test(nobody_is_called_after_a_cancel),
        folder_test(a_notify_is_not_lost_to_one_who_leaves),
        folder_test(growth_does_not_end_it),
        folder_test(a_file_that_becomes_shorter_than_the_word_ends_it),
        folder_test(a_truncated_file_ends_it),
        folder_test(no_change_of_the_low_half_is_missed),
        folder_test(no_change_of_the_high_half_is_missed),
#ifndef CHILDREN_HAVE_NO_THREADS
        folder_test(no_change_is_missed_between_processes),
        folder_test(a_notify_reaches_read_only_handles_of_other_processes),
        folder_test(a_read_only_handle_may_notify),
        folder_test(a_forked_child_waits_for_itself),
#ifdef __linux__
        folder_test(it_works_without_futex_waitv),
#endif
#endif
        folder_test(a_hundred_that_wait_use_no_processor_time),
        folder_test(more_than_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
