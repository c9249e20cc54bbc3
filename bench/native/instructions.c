/*
 * The core's hot paths, for callgrind to count. Each path warms up first, so that the counts have nothing that happens
 * only once. callgrind then writes a profile with the path's name. instructions.mjs compiles this program with the
 * doors' flags, and divides the counts by TIMES.
 *
 * usage: instructions TIMES FOLDER
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "emmap.h"

#define MESSAGE 64

static unsigned char bytes[MESSAGE];
static const struct iovec message = {bytes, MESSAGE};
static emmap_file *counters, *file, *queue, *blocks;
/* The size of the blocks. */
static uint64_t *addresses;
static size_t stored;

static void check(emmap_error error, const char *what)
{
    if (error == EMMAP_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, emmap_error_message(error));
    exit(1);
}

static void *in_place(void *context, size_t length)
{
    return length <= MESSAGE + 8 ? context : NULL;
}

static const emmap_sink *sink(void)
{
    static unsigned char memory[MESSAGE + 8];
    static const emmap_sink to_memory = {in_place, memory};
    return &to_memory;
}

static void counter_add(void)
{
    int64_t old;
    check(emmap_counter_add(counters, 3, 1, &old), "counter add");
}

static void atomic_add(void)
{
    int64_t old;
    check(emmap_patomic_add(file, 64, 1, &old), "atomic add");
}

static void read_copy(void)
{
    check(emmap_pread(file, 128, MESSAGE, sink()), "read");
}

static void write_copy(void)
{
    check(emmap_pwrite(file, 128, &message, 1), "write");
}

static void queue_push(void)
{
    check(emmap_queue_push(queue, &message, 1), "queue push");
}

static void queue_pop(void)
{
    check(emmap_queue_pop(queue, sink()), "queue pop");
}

static void queue_remove(void)
{
    static unsigned char copy[MESSAGE + 8];
    const emmap_sink to_copy = {in_place, copy};
    check(emmap_queue_glance_front(queue, &to_copy), "queue glance");
    check(emmap_queue_remove(queue, &(struct iovec){copy, MESSAGE}, 1), "queue remove");
}

static void block_store(void)
{
    check(emmap_block_store(blocks, &message, &addresses[stored++]), "block store");
}

static void block_read(void)
{
    check(emmap_block_read(blocks, addresses[stored - 1], sink()), "block read");
}

static void block_free(void)
{
    check(emmap_block_free(blocks, addresses[--stored]), "block free");
}

static void run(void (*operation)(void), long times)
{
    for (long i = 0; i < times; i++)
        operation();
}

/* NAME becomes the profile's trigger, by which instructions.mjs finds it. */
#define COUNT(name, operation)                                                                               \
    do {                                                                                                     \
        run(operation, times);                                                                               \
        CALLGRIND_ZERO_STATS;                                                                                \
        run(operation, times);                                                                               \
        CALLGRIND_DUMP_STATS_AT(name);                                                                       \
    } while (0)

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long times = atol(argv[1]);
    addresses = calloc(2 * (size_t)times, sizeof *addresses);
    if (!addresses)
        return 1;
    char path[4][4096];
    const char *names[] = {"counters", "file", "queue", "blocks"};
    for (int i = 0; i < 4; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", argv[2], names[i]);

    emmap_options plain = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED, .size = 65536};
    /* Exclusive, so that an operation makes no system call; callgrind does not count the kernel. The queue is so large
     * that it never moves messages and never grows. */
    emmap_options alone = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_EXCLUSIVE,
                           .size = 1u << 20};
    check(emmap_counters_open(path[0], 8, NULL, &counters), "counters open");
    check(emmap_open(path[1], &plain, &file), "open");
    check(emmap_queue_open(path[2], &alone, &queue), "queue open");
    check(emmap_blocks_open(path[3], MESSAGE, 3, &alone, &blocks), "blocks open");

    COUNT("counter add", counter_add);
    COUNT("atomic add", atomic_add);
    COUNT("read of 64 B", read_copy);
    COUNT("write of 64 B", write_copy);
    COUNT("queue push", queue_push);
    COUNT("queue pop", queue_pop);
    run(queue_push, 2 * times);
    COUNT("queue glance, remove", queue_remove);
    COUNT("block store", block_store);
    COUNT("block read", block_read);
    COUNT("block free", block_free);

    emmap_file *all[] = {counters, file, queue, blocks};
    for (int i = 0; i < 4; i++)
        emmap_free(all[i]);
    free(addresses);
    return 0;
}
