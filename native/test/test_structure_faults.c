/*
 * Another process truncates the file of a queue or storage again and again. Every call returns, with EFAULT and neither
 * corruption nor success. The test runs in a child, so that cmocka's handler of SIGBUS, which would end it, is the
 * earlier one and the core's the later.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "structures.h"

#define ROUNDS 60

/* Operations so far, and the operation after which the file is truncated. */
typedef struct progress {
    atomic_uint_fast64_t done;
    uint64_t enough;
    const char *path;
} progress;

static progress *progress_shared;

static void truncate_soon(void *context)
{
    const progress *const self = context;
    while (atomic_load(&self->done) < self->enough)
        sched_yield();
    require(truncate(self->path, 0) == 0);
}

/* Uses the queue until it faults; nothing else may go wrong. */
static emmap_error use_queue(emmap_file *queue)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    emmap_error error = EMMAP_OK;
    for (uint64_t i = 0; !error; i++) {
        error = push_number(queue, i, 3000);
        atomic_fetch_add(&progress_shared->done, 1);
        uint64_t place = 0, count, length;
        if (!error)
            error = emmap_queue_walk(queue, EMMAP_QUEUE_BACKWARD, 2, &place, NULL, &count);
        if (!error)
            error = emmap_queue_length(queue, &length);
        if (!error && i % 5 == 4)
            error = emmap_queue_pop(queue, &sink);
        if (!error && length > 50)
            error = emmap_queue_purge(queue);
    }
    bytes_free(&got);
    return error;
}

static emmap_error use_blocks(emmap_file *blocks)
{
    static uint64_t addresses[64];
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint8_t data[2000] = {1};
    const struct iovec block = {.iov_base = data, .iov_len = sizeof data};
    emmap_error error = EMMAP_OK;
    for (uint64_t i = 0; !error; i++) {
        const uint64_t slot = i % COUNT_OF(addresses);
        if (i >= COUNT_OF(addresses))
            error = emmap_block_read(blocks, addresses[slot], &sink);
        if (!error && i >= COUNT_OF(addresses))
            error = emmap_block_free(blocks, addresses[slot]);
        if (!error)
            error = emmap_block_store(blocks, &block, &addresses[slot]);
        atomic_fetch_add(&progress_shared->done, 1);
    }
    bytes_free(&got);
    return error;
}

static void survive(emmap_file *(*open_one)(void), emmap_error (*use)(emmap_file *), const char *path)
{
    for (int round = 0; round < ROUNDS; round++) {
        unlink(path);
        emmap_file *const file = open_one();
        progress_shared->path = path;
        progress_shared->enough = atomic_load(&progress_shared->done) + (uint64_t)round * 5;
        const pid_t other = start_child(truncate_soon, progress_shared);
        require_error(EFAULT, use(file));
        int status;
        require(waitpid(other, &status, 0) == other && status == 0);
        require_error(EFAULT, use(file));
        /* Growing the file again brings none of its content back. */
        require(truncate(path, 1 << 20) == 0);
        require_error(EFAULT, use(file));
        emmap_free(file);
    }
}

static emmap_file *open_a_queue(void)
{
    return open_queue(path_of("queue"), QUEUE_RW, 65536);
}

static emmap_file *open_a_storage(void)
{
    return open_blocks(path_of("blocks"), QUEUE_RW, 65536, 2000, 3);
}

static void survive_queue(void *context)
{
    (void)context;
    survive(open_a_queue, use_queue, path_of("queue"));
}

static void survive_blocks(void *context)
{
    (void)context;
    survive(open_a_storage, use_blocks, path_of("blocks"));
}

static void a_queue_that_is_truncated_answers_efault(void **state)
{
    (void)state;
    progress_shared = shared_memory(sizeof *progress_shared);
    assert_child_passes(survive_queue, NULL);
}

static void a_storage_that_is_truncated_answers_efault(void **state)
{
    (void)state;
    progress_shared = shared_memory(sizeof *progress_shared);
    assert_child_passes(survive_blocks, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_queue_that_is_truncated_answers_efault),
        folder_test(a_storage_that_is_truncated_answers_efault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
