/* Several threads on one handle, several handles, several processes: every message once, each producer's in order. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "structures.h"

#define PRODUCERS 4
#define MESSAGES 2000

typedef struct run {
    _Atomic uint64_t taken;
    _Atomic uint8_t seen[PRODUCERS][MESSAGES];
} run;

typedef struct worker {
    run *run;
    emmap_file *queue;
    const char *path;
    uint32_t id;
} worker;

static uint64_t numbered(uint32_t producer, uint64_t sequence)
{
    return (uint64_t)producer << 32 | sequence;
}

static void *produce(void *context)
{
    const worker *const self = context;
    for (uint64_t i = 0; i < MESSAGES;) {
        if (i % 10 == 0 && i + 3 <= MESSAGES) {
            uint64_t numbers[3];
            struct iovec list[3];
            for (uint64_t k = 0; k < 3; k++) {
                numbers[k] = numbered(self->id, i + k);
                list[k] = (struct iovec){.iov_base = &numbers[k], .iov_len = 8};
            }
            require_ok(emmap_queue_push_many(self->queue, list, 3));
            i += 3;
        } else {
            require_ok(push_number(self->queue, numbered(self->id, i), 8 + i % 50));
            i++;
        }
    }
    return NULL;
}

/* The numbers that one consumer gets from one producer grow. */
static void note(run *run, uint64_t number, int64_t last[PRODUCERS])
{
    const uint64_t producer = number >> 32, sequence = number & UINT32_MAX;
    require(producer < PRODUCERS && sequence < MESSAGES);
    require(atomic_fetch_add(&run->seen[producer][sequence], 1) == 0);
    require((int64_t)sequence > last[producer]);
    last[producer] = (int64_t)sequence;
    atomic_fetch_add(&run->taken, 1);
}

/* Every way to pop. During a two-step pop no other consumer takes the message. */
static emmap_error consume_some(emmap_file *queue, int way, pieces *got)
{
    const emmap_sink sink = sink_pieces(got);
    uint64_t count, ticket;
    if (way == 0)
        return emmap_queue_pop_many(queue, 5, &sink, &count);
    if (way == 2) {
        const emmap_error error = emmap_queue_glance_front(queue, &sink);
        return error ? error : emmap_queue_shift(queue, got->list, NULL);
    }
    if (way != 1)
        return emmap_queue_pop(queue, &sink);
    const emmap_error error = emmap_queue_pop_begin(queue, &sink, &ticket);
    if (error)
        return error;
    if (number_of(got->list[0].iov_base, got->list[0].iov_len) % 3 == 0) {
        require_ok(emmap_queue_pop_abort(queue, ticket));
        pieces_free(got);
        return EMMAP_OK;
    }
    require_ok(emmap_queue_pop_commit(queue, ticket));
    return EMMAP_OK;
}

static void *consume(void *context)
{
    const worker *const self = context;
    int64_t last[PRODUCERS] = {-1, -1, -1, -1};
    for (int turn = 0; atomic_load(&self->run->taken) < PRODUCERS * MESSAGES; turn++) {
        pieces got = {0};
        const emmap_error error = consume_some(self->queue, turn % 7, &got);
        require(error == EMMAP_OK || error == EMMAP_EOF || error == EBUSY || error == ESTALE);
        if (error) /* another consumer has removed it */
            pieces_free(&got);
        for (size_t i = 0; i < got.count; i++)
            note(self->run, number_of(got.list[i].iov_base, got.list[i].iov_len), last);
        pieces_free(&got);
        if (turn % 50 == 0)
            require_compacted(emmap_queue_compact, self->queue);
        if (error)
            sched_yield();
    }
    return NULL;
}

/* Reads without a lock: each message that it finds is whole. */
static void *look(void *context)
{
    const worker *const self = context;
    while (atomic_load(&self->run->taken) < PRODUCERS * MESSAGES) {
        pieces got = {0};
        const emmap_sink sink = sink_pieces(&got);
        uint64_t place = 0, count, length;
        const emmap_error errors[] = {
            emmap_queue_walk(self->queue, EMMAP_QUEUE_FORWARD, 20, &place, &sink, &count),
            emmap_queue_peek_back(self->queue, &sink),
            emmap_queue_length(self->queue, &length),
        };
        for (size_t i = 0; i < COUNT_OF(errors); i++)
            require(errors[i] == EMMAP_OK || errors[i] == EMMAP_EOF || errors[i] == EAGAIN);
        for (size_t i = 0; i < got.count; i++)
            number_of(got.list[i].iov_base, got.list[i].iov_len);
        pieces_free(&got);
        sched_yield();
    }
    return NULL;
}

#define CONSUMERS 3
#define WORKERS (PRODUCERS + CONSUMERS + 1)

static void *(*const roles[WORKERS])(void *) = {produce, produce, produce, produce,
                                                consume, consume, consume, look};

static bool is_looker(int worker)
{
    return worker == WORKERS - 1;
}

static void check_run(run *run, const char *path)
{
    for (int producer = 0; producer < PRODUCERS; producer++)
        for (int i = 0; i < MESSAGES; i++)
            assert_int_equal(atomic_load(&run->seen[producer][i]), 1);
    emmap_file *const queue = open_queue(path, QUEUE_RW, 0);
    assert_int_equal(queue_length_of(queue), 0);
    close_file(queue);
}

static void run_threads(uint32_t flags, bool one_handle)
{
    run *const run = calloc(1, sizeof *run);
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, flags, 256);
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        const bool own = is_looker(i) || !one_handle;
        workers[i] = (worker){.run = run, .id = (uint32_t)i};
        workers[i].queue = own ? open_queue(path, is_looker(i) ? EMMAP_OPEN_READ : flags, 0) : queue;
        assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].queue != queue)
            close_file(workers[i].queue);
    }
    close_file(queue);
    check_run(run, path);
    free(run);
}

static void threads_share_a_handle(void **state)
{
    (void)state;
    run_threads(QUEUE_RW, true);
}

static void threads_share_an_exclusive_handle(void **state)
{
    (void)state;
    run_threads(QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, true);
}

static void threads_have_a_handle_each(void **state)
{
    (void)state;
    run_threads(QUEUE_RW, false);
}

static void work(void *context)
{
    worker *const self = context;
    self->queue = open_queue(self->path, is_looker((int)self->id) ? EMMAP_OPEN_READ : QUEUE_RW, 256);
    roles[self->id](self);
    emmap_free(self->queue);
}

static void processes_share_a_queue(void **state)
{
    (void)state;
    run *const run = shared_memory(sizeof *run);
    const char *const path = path_of("queue");
    close_file(open_queue(path, QUEUE_RW, 256));
    pid_t children[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        worker worker = {.run = run, .path = path, .id = i};
        children[i] = start_child(work, &worker);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(wait_child(children[i]), 0);
    check_run(run, path);
}

#define LARGE 60000u

/* One message at a time, always at the same place, so that only the bytes differ. */
static void *replace_messages(void *context)
{
    run *const run = context;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, 2 * LARGE);
    static uint8_t messages[2][LARGE];
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    for (size_t i = 0; i < 2; i++)
        fill_message(messages[i], i, LARGE);
    for (size_t i = 0; !atomic_load(&run->taken); i = 1 - i) {
        const struct iovec message = {.iov_base = messages[i], .iov_len = LARGE};
        require_ok(emmap_queue_push(queue, &message, 1));
        require_ok(emmap_queue_pop(queue, &sink));
    }
    bytes_free(&got);
    close_file(queue);
    return NULL;
}

static void a_look_without_a_lock_sees_whole_messages(void **state)
{
    (void)state;
    run *const run = calloc(1, sizeof *run);
    close_file(open_queue(path_of("queue"), QUEUE_RW, 2 * LARGE));
    emmap_file *const looker = open_queue(path_of("queue"), EMMAP_OPEN_READ, 0);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, replace_messages, run), 0);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    for (int seen = 0; seen < 300;) {
        const emmap_error error = emmap_queue_peek_front(looker, &sink);
        require(error == EMMAP_OK || error == EMMAP_EOF || error == EAGAIN);
        if (error)
            continue;
        number_of(got.data, got.length);
        seen++;
    }
    atomic_store(&run->taken, 1);
    pthread_join(writer, NULL);
    bytes_free(&got);
    close_file(looker);
    free(run);
}

/* The file can be closed while a thread waits for another process's lock. */
static void *push_one(void *context)
{
    const emmap_error error = push_number(context, 1, 8);
    require(error == EMMAP_OK || error == EMMAP_CLOSED);
    return NULL;
}

static void closing_races_with_operations(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 256);
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, push_one, queue), 0);
        assert_ok(emmap_close(queue));
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        emmap_free(queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(threads_share_a_handle),
        folder_test(threads_share_an_exclusive_handle),
        folder_test(threads_have_a_handle_each),
        folder_test(processes_share_a_queue),
        folder_test(a_look_without_a_lock_sees_whole_messages),
        folder_test(closing_races_with_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
