/* Several threads on one handle, several handles, several processes: no block is given out twice, none is lost. */
#include <pthread.h>
#include <stdatomic.h>

#include "structures.h"

#define THREADS 4
#define KEPT 40
#define ROUNDS 1500

typedef struct owner {
    emmap_file *blocks;
    uint32_t id;
    uint64_t addresses[KEPT];
} owner;

static void require_block(emmap_file *blocks, uint64_t address, const uint32_t expected[2])
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    require_ok(emmap_block_read(blocks, address, &sink));
    require(got.length == 8 && memcmp(got.data, expected, 8) == 0);
    bytes_free(&got);
}

/* Stores, reads back and frees blocks that say whose they are. */
static void *own(void *context)
{
    owner *const self = context;
    uint32_t contents[KEPT][2];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint32_t slot = round % KEPT;
        if (round >= KEPT) {
            require_block(self->blocks, self->addresses[slot], contents[slot]);
            require_ok(emmap_block_free(self->blocks, self->addresses[slot]));
        }
        contents[slot][0] = self->id;
        contents[slot][1] = round;
        const struct iovec block = {.iov_base = contents[slot], .iov_len = 8};
        require_ok(emmap_block_store(self->blocks, &block, &self->addresses[slot]));
    }
    for (uint32_t slot = 0; slot < KEPT; slot++)
        require_block(self->blocks, self->addresses[slot], contents[slot]);
    return NULL;
}

static void run_threads(emmap_file **handles, owner *owners, uint32_t first_id)
{
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        owners[i] = (owner){.blocks = handles[i], .id = first_id + i};
        require(pthread_create(&threads[i], NULL, own, &owners[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void check_owners(emmap_file *blocks, const owner *owners, size_t count)
{
    assert_int_equal(blocks_count_of(blocks), count * KEPT);
    bool seen[4096] = {false};
    for (size_t i = 0; i < count; i++)
        for (uint32_t slot = 0; slot < KEPT; slot++) {
            const uint64_t address = owners[i].addresses[slot];
            assert_true(address < 4096 && !seen[address]);
            seen[address] = true;
        }
}

static void run(uint32_t flags, bool one_handle)
{
    emmap_file *handles[THREADS];
    for (int i = 0; i < THREADS; i++)
        handles[i] = i > 0 && one_handle ? handles[0] : open_blocks(path_of("blocks"), flags, 0, 8, 2);
    owner owners[THREADS];
    run_threads(handles, owners, 0);
    check_owners(handles[0], owners, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (i == 0 || !one_handle)
            close_file(handles[i]);
}

static void threads_share_a_handle(void **state)
{
    (void)state;
    run(QUEUE_RW, true);
}

static void threads_share_an_exclusive_handle(void **state)
{
    (void)state;
    run(QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, true);
}

static void threads_have_a_handle_each(void **state)
{
    (void)state;
    run(QUEUE_RW, false);
}

typedef struct process {
    const char *path;
    owner owner;
} process;

static void own_in_process(void *context)
{
    process *const self = context;
    self->owner.blocks = open_blocks(self->path, QUEUE_RW, 0, 8, 2);
    own(&self->owner);
    emmap_free(self->owner.blocks);
}

static void processes_share_a_storage(void **state)
{
    (void)state;
    process *const processes = shared_memory(THREADS * sizeof *processes);
    pid_t children[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        processes[i] = (process){.path = path_of("blocks"), .owner = {.id = i}};
        children[i] = start_child(own_in_process, &processes[i]);
    }
    owner owners[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(wait_child(children[i]), 0);
        owners[i] = processes[i].owner;
    }
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    check_owners(blocks, owners, THREADS);
    close_file(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(threads_share_a_handle),
        folder_test(threads_share_an_exclusive_handle),
        folder_test(threads_have_a_handle_each),
        folder_test(processes_share_a_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
