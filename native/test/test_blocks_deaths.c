/* Kills a process between any two stores of a storage's operation. The next process finds every acknowledged block, and
 * gives each address out once. */
#include "blocks_script.h"

#define NAME(point) #point,
static const char *const points[] = {BLOCKS_PAUSE_POINTS(NAME)};

typedef struct shared {
    death death;
    record record;
} shared;

static void prepare(void)
{
    shared *const memory = shared_memory(sizeof *memory);
    deaths = &memory->death;
    records = &memory->record;
    point_names = points;
    point_count = COUNT_OF(points);
}

static void run_script(void *context)
{
    (void)context;
    run_blocks_script(path_of("blocks"));
}

static void recover(void *context)
{
    (void)context;
    emmap_file *const blocks = open_scripted_blocks(path_of("blocks"));
    blocks_count_of(blocks);
    emmap_free(blocks);
}

/* Every stored number is at its address. There are no other blocks, except pending ones. */
static uint64_t check_blocks(emmap_file *blocks)
{
    static uint64_t addresses[CAPACITY];
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t place = 0;
    size_t count = 0;
    const emmap_error error = emmap_blocks_walk(blocks, CAPACITY, &place, addresses, &sink, &count);
    assert_true(error == EMMAP_OK || error == EMMAP_EOF);
    uint8_t met[NUMBERS + 1] = {0};
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        memcpy(&number, got.list[i].iov_base, sizeof number);
        assert_true(number >= 1 && number <= NUMBERS);
        assert_int_equal(met[number]++, 0);
        assert_int_not_equal(records->fate[number], ABSENT);
        assert_true(records->fate[number] == PENDING || records->address[number] == addresses[i]);
        records->address[number] = addresses[i];
    }
    for (size_t number = 1; number <= NUMBERS; number++) {
        assert_true(records->fate[number] != STORED || met[number]);
        if (records->fate[number] == PENDING)
            records->fate[number] = met[number] ? STORED : ABSENT;
    }
    pieces_free(&got);
    return count;
}

/* All addresses of the storage can be given out, each once. */
static void check_capacity(emmap_file *blocks, uint64_t count)
{
    static uint64_t addresses[CAPACITY];
    static struct iovec list[CAPACITY];
    const uint64_t number = 1000;
    for (size_t i = 0; i < CAPACITY; i++)
        list[i] = (struct iovec){.iov_base = (void *)(uintptr_t)&number, .iov_len = BLOCK};
    assert_int_equal(blocks_count_of(blocks), count);
    assert_ok(emmap_block_store_many(blocks, list, CAPACITY - count, addresses));
    assert_int_equal(blocks_count_of(blocks), CAPACITY);
    uint64_t one_more;
    assert_error(EMMAP_FULL, emmap_block_store(blocks, list, &one_more));
}

static void a_storage_survives_death_at_every_store(void **state)
{
    (void)state;
    prepare();
    for (uint64_t target = 1;; target++) {
        unlink(path_of("blocks"));
        memset(records, 0, sizeof *records);
        const bool died = dies_at(target, run_script, NULL);
        /* The process that recovers it may die too, and again. */
        for (uint64_t again = 1; died && dies_at(again, recover, NULL); again++)
            ;
        emmap_file *const blocks = open_scripted_blocks(path_of("blocks"));
        check_capacity(blocks, check_blocks(blocks));
        close_file(blocks);
        if (!died)
            break;
    }
    assert_int_equal(deaths->done, 1);
    assert_all_points_hit();
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CYCLES 2000u /* a fork costs five times as much */
#endif
#endif
#ifndef CYCLES
#define CYCLES 10000u
#endif

/* Stores or frees one of a few numbers: stores it if it is absent. */
static void store_and_free(void *context)
{
    const uint64_t cycle = *(const uint64_t *)context;
    emmap_file *const blocks = open_scripted_blocks(path_of("blocks"));
    for (uint64_t i = 0; i < 10; i++) {
        const uint64_t number = 1 + (cycle * 7 + i * 13) % NUMBERS;
        if (records->fate[number] == STORED)
            free_numbers(blocks, number, 1);
        else
            store_numbers(blocks, number, 1);
    }
    emmap_free(blocks);
}

static void capacity_is_the_same_after_10_000_deaths(void **state)
{
    (void)state;
    prepare();
    emmap_file *const blocks = open_scripted_blocks(path_of("blocks"));
    uint64_t died = 0;
    for (uint64_t cycle = 0; died < CYCLES; cycle++) {
        died += dies_at(1 + cycle * 31 % 70, store_and_free, &cycle);
        check_blocks(blocks);
    }
    check_capacity(blocks, check_blocks(blocks));
    close_file(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_storage_survives_death_at_every_store),
        folder_test(capacity_is_the_same_after_10_000_deaths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
