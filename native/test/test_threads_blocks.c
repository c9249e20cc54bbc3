/* Several threads on one handle, several handles, several processes: no block is given out twice, none is lost. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

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

/* Stores, reads and frees blocks that have their owner's number. */
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

/* ---- Lists that fail ---- */

#define LISTED 300u

typedef struct watch {
    emmap_file *blocks;
    atomic_bool ended;
    atomic_uint looks;
    uint64_t addresses[LISTED];
} watch;

/* Reads blocks that nobody frees, and counts them. */
static void *look_at_blocks(void *context)
{
    watch *const self = context;
    for (unsigned i = 0; !atomic_load(&self->ended); i++) {
        const uint32_t expected[2] = {i % LISTED, 7};
        require_block(self->blocks, self->addresses[i % LISTED], expected);
        if (i % 64 == 0)
            require(blocks_count_of(self->blocks) == LISTED);
        atomic_fetch_add(&self->looks, 1);
    }
    return NULL;
}

static void no_reader_sees_what_a_list_that_fails_began(void **state)
{
    (void)state;
    const uint32_t flags[] = {QUEUE_RW, EMMAP_OPEN_READ};
    for (size_t mode = 0; mode < 2; mode++) {
        const char *const path = path_of(mode == 0 ? "a" : "b");
        emmap_file *const writer = open_blocks(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 4000, 8, 2);
        static watch watch;
        uint32_t contents[LISTED][2];
        struct iovec list[LISTED];
        for (uint32_t i = 0; i < LISTED; i++) {
            contents[i][0] = i;
            contents[i][1] = 7;
            list[i] = (struct iovec){.iov_base = contents[i], .iov_len = 8};
        }
        require_ok(emmap_block_store_many(writer, list, LISTED, watch.addresses));
        watch.blocks = open_blocks(path, flags[mode], 0, 8, 2);
        atomic_store(&watch.ended, false);
        atomic_store(&watch.looks, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, look_at_blocks, &watch), 0);
        uint64_t some[LISTED + 1];
        memcpy(some, watch.addresses, sizeof watch.addresses);
        some[LISTED] = 4095;
        while (atomic_load(&watch.looks) < 3000) {
            assert_error(ENOENT, emmap_block_free_many(writer, some, LISTED + 1));
            uint64_t stored[LISTED];
            /* The file has room for some of these, and not for all. */
            assert_error(EMMAP_FULL, emmap_block_store_many(writer, list, LISTED, stored));
        }
        atomic_store(&watch.ended, true);
        pthread_join(thread, NULL);
        close_file(watch.blocks);
        close_file(writer);
    }
}

/* ---- A plain file that many threads use first at the same time ---- */

static void *store_into_plain(void *context)
{
    for (int i = 0; i < 20; i++) {
        uint64_t address;
        const struct iovec block = {.iov_base = "12345678", .iov_len = 8};
        require_ok(emmap_block_store(context, &block, &address));
    }
    return NULL;
}

static void many_threads_are_the_first_to_use_a_plain_file(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        unlink(path_of("blocks"));
        close_file(open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2));
        emmap_file *const file = open_file(path_of("blocks"), EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, store_into_plain, file), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(blocks_count_of(file), THREADS * 20);
        close_file(file);
    }
}

/* ---- Space that is given back under readers ---- */

#define PAGES 8192u /* bytes of a block: whole pages become holes */
#define CHURNED 200u

typedef struct churn {
    emmap_file *blocks;
    atomic_bool ended;
    atomic_uint looks;
} churn;

/* Every block that a reader finds is as it was stored: all bytes are equal, and none is zero. */
static void *read_anything(void *context)
{
    churn *const self = context;
    for (uint64_t i = 0; !atomic_load(&self->ended); i++) {
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        /* Two levels: the first blocks' addresses are 0, 64, 128 ... */
        const emmap_error error = emmap_block_read(self->blocks, i * 7 % 64 * 64 + i % 4, &sink);
        require(error == EMMAP_OK || error == ENOENT || error == EAGAIN);
        if (!error)
            require(got.data[0] != 0 && memcmp(got.data, got.data + 1, PAGES - 1) == 0);
        bytes_free(&got);
        uint64_t count;
        require_ok(emmap_blocks_count(self->blocks, &count));
        require(count <= CHURNED);
        atomic_fetch_add(&self->looks, 1);
    }
    return NULL;
}

static void readers_never_see_a_hole(void **state)
{
    (void)state;
    const uint32_t modes[] = {EMMAP_OPEN_READ, QUEUE_RW};
    for (size_t mode = 0; mode < 2; mode++) {
        const char *const path = path_of(mode == 0 ? "a" : "b");
        emmap_file *const writer = open_blocks(path, QUEUE_RW, 0, PAGES, 2);
        static churn churn;
        churn.blocks = open_blocks(path, modes[mode], 0, PAGES, 2);
        atomic_store(&churn.ended, false);
        atomic_store(&churn.looks, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, read_anything, &churn), 0);
        uint8_t *const data = malloc(PAGES);
        for (unsigned round = 0; round < 60 || atomic_load(&churn.looks) < 300; round++) {
            uint64_t addresses[CHURNED];
            memset(data, 1 + (int)(round % 200), PAGES);
            const struct iovec block = {.iov_base = data, .iov_len = PAGES};
            for (unsigned i = 0; i < CHURNED; i++)
                require_ok(emmap_block_store(writer, &block, &addresses[i]));
            require_ok(emmap_block_free_many(writer, addresses + 100, CHURNED - 100));
            require_compacted(emmap_blocks_compact, writer);
            require_ok(emmap_block_free_many(writer, addresses, 100));
            require_compacted(emmap_blocks_compact, writer);
        }
        atomic_store(&churn.ended, true);
        pthread_join(thread, NULL);
        free(data);
        close_file(churn.blocks);
        close_file(writer);
    }
}

/* ---- A close under an operation ---- */

static atomic_bool stands, may_go_on;

static void stand(const char *name)
{
    if (strcmp(name, "block_store_copied") != 0)
        return;
    atomic_store(&stands, true);
    while (!atomic_load(&may_go_on))
        sched_yield();
}

static void *store_one(void *context)
{
    const uint64_t number = 7;
    const struct iovec block = {.iov_base = (void *)(uintptr_t)&number, .iov_len = 8};
    uint64_t address;
    require_ok(emmap_block_store(context, &block, &address));
    return NULL;
}

static void *close_it(void *context)
{
    require_ok(emmap_close(context));
    return NULL;
}

static void an_exclusive_storage_is_nobody_elses_before_its_last_store_is_over(void **state)
{
    (void)state;
    const uint32_t flags = QUEUE_RW | EMMAP_OPEN_EXCLUSIVE;
    emmap_file *const blocks = open_blocks(path_of("blocks"), flags, 4096, 8, 2);
    pthread_t threads[2];
    atomic_store(&stands, false);
    atomic_store(&may_go_on, false);
    pause_hook = stand;
    assert_int_equal(pthread_create(&threads[0], NULL, store_one, blocks), 0);
    while (!atomic_load(&stands))
        sched_yield();
    assert_int_equal(pthread_create(&threads[1], NULL, close_it, blocks), 0);
    const emmap_control *const control = emmap_file_control(blocks);
    while (!(__atomic_load_n(&control->status, __ATOMIC_ACQUIRE) & EMMAP_STATUS_CLOSED))
        sched_yield();
    /* The close must not release the locks yet. */
    emmap_file *other;
    const emmap_options options = {.flags = flags};
    for (int i = 0; i < 100; i++) {
        assert_error(EBUSY, emmap_blocks_open(path_of("blocks"), 8, 2, &options, &other));
        sched_yield();
    }
    atomic_store(&may_go_on, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    pause_hook = NULL;
    emmap_free(blocks);
    assert_ok(emmap_blocks_open(path_of("blocks"), 8, 2, &options, &other));
    assert_int_equal(blocks_count_of(other), 1);
    close_file(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(threads_share_a_handle),
        folder_test(threads_share_an_exclusive_handle),
        folder_test(threads_have_a_handle_each),
        folder_test(processes_share_a_storage),
        folder_test(no_reader_sees_what_a_list_that_fails_began),
        folder_test(many_threads_are_the_first_to_use_a_plain_file),
        folder_test(readers_never_see_a_hole),
        folder_test(an_exclusive_storage_is_nobody_elses_before_its_last_store_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
