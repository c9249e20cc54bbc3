/* A script that reaches every store of a storage's operations, and the state of each block after it. */
#ifndef EMMAP_TEST_BLOCKS_SCRIPT_H
#define EMMAP_TEST_BLOCKS_SCRIPT_H

#include "deaths.h"

#define BLOCK 8u
#define LEVELS 2u
#define CAPACITY 4096u
#define NUMBERS 200u

/* The state of each number, which its block holds. The victim writes it, the test reads it. */
typedef enum fate { ABSENT, PENDING, STORED } fate;
typedef struct record {
    uint8_t fate[NUMBERS + 1];
    uint64_t address[NUMBERS + 1];
} record;

static record *records;

static emmap_file *open_scripted_blocks(const char *path)
{
    return open_blocks(path, QUEUE_RW, 40, BLOCK, LEVELS);
}

static inline void store_numbers(emmap_file *blocks, uint64_t first, size_t count)
{
    uint64_t numbers[CAPACITY], addresses[CAPACITY];
    struct iovec list[CAPACITY];
    for (size_t i = 0; i < count; i++) {
        numbers[i] = first + i;
        list[i] = (struct iovec){.iov_base = &numbers[i], .iov_len = BLOCK};
        records->fate[first + i] = PENDING;
    }
    require_ok(emmap_block_store_many(blocks, list, count, addresses));
    for (size_t i = 0; i < count; i++) {
        records->address[first + i] = addresses[i];
        records->fate[first + i] = STORED;
    }
}

static inline void free_numbers(emmap_file *blocks, uint64_t first, size_t count)
{
    uint64_t addresses[NUMBERS];
    for (size_t i = 0; i < count; i++) {
        addresses[i] = records->address[first + i];
        records->fate[first + i] = PENDING;
    }
    require_ok(emmap_block_free_many(blocks, addresses, count));
    for (size_t i = 0; i < count; i++)
        records->fate[first + i] = ABSENT;
}

static inline void run_blocks_script(const char *path)
{
    emmap_file *blocks = open_scripted_blocks(path);
    /* Fills the first group, begins the second, empties it, and the first. */
    for (uint64_t number = 1; number <= 3; number++)
        store_numbers(blocks, number, 1);
    store_numbers(blocks, 4, 58);
    for (uint64_t number = 62; number <= 66; number++)
        store_numbers(blocks, number, 1);
    for (uint64_t number = 63; number <= 66; number++)
        free_numbers(blocks, number, 1);
    store_numbers(blocks, 70, 2);
    free_numbers(blocks, 1, 3);
    store_numbers(blocks, 80, 4);
    /* Begins the second group again, and the third after a sync. */
    require_ok(emmap_sync(blocks));
    store_numbers(blocks, 90, 80);
    uint64_t place = 0;
    require_ok(emmap_blocks_repair(blocks, 0, &place));
    /* Gives the last group back, and uses it again, which has to reserve room. */
    free_numbers(blocks, 153, 17);
    require_compacted(emmap_blocks_compact, blocks);
    store_numbers(blocks, 153, 2);
    emmap_free(blocks);
    /* A file of emmap 2.x has no levels: the first open finds them, and stores them. */
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED};
    require_ok(emmap_open(path, &options, &blocks));
    const struct iovec nothing = {.iov_base = "\0", .iov_len = 1};
    require_ok(emmap_pwrite(blocks, 7, &nothing, 1));
    emmap_free(blocks);
    blocks = open_scripted_blocks(path);
    emmap_free(blocks);
    deaths->done = 1;
}

#endif
