/* Many threads use one file at the same time, and harm neither the process nor the bytes. The thread sanitizer runs this
 * test too. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

typedef struct shared_file {
    emmap_file *file;
    int stop; /* atomic */
    int next; /* atomic: the number of the next thread of its kind */
} shared_file;

static bool stopped(shared_file *self)
{
    return __atomic_load_n(&self->stop, __ATOMIC_ACQUIRE);
}

static void stop(shared_file *self)
{
    __atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
}

static pthread_t start(void *(*body)(void *), void *context)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, context), 0);
    return thread;
}

static void join(const pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Without a lock between the threads, each has bytes of its own. */
enum { LANE = 256, LANES = 8 };

static bool may_be_closed(emmap_error error, emmap_error other)
{
    return error == EMMAP_OK || error == EMMAP_CLOSED || error == other;
}

static void *write_and_read(void *context)
{
    shared_file *const self = context;
    const int lane = __atomic_fetch_add(&self->next, 1, __ATOMIC_RELAXED);
    uint8_t out[LANE - 8], in[LANE - 8];
    for (int round = 1; !stopped(self); round++) {
        memset(out, round, sizeof out);
        const emmap_error wrote = write_bytes(self->file, (uint64_t)lane * LANE + 8, out, sizeof out);
        const emmap_error read = read_into(self->file, (uint64_t)lane * LANE + 8, in, sizeof in);
        require(may_be_closed(wrote, EMMAP_OK) && may_be_closed(read, EMMAP_OK));
        if (!wrote && !read)
            require(memcmp(in, out, sizeof in) == 0);
    }
    return NULL;
}

static void *count(void *context)
{
    shared_file *const self = context;
    while (!stopped(self)) {
        int64_t old;
        require(may_be_closed(emmap_patomic_add(self->file, 0, 1, &old), EMMAP_OK));
    }
    return NULL;
}

static void *resize(void *context)
{
    shared_file *const self = context;
    static const uint64_t sizes[] = {LANES * LANE, 100000, 5000, 300000, 0};
    for (int round = 0; !stopped(self); round++) {
        const emmap_error error = emmap_resize(self->file, sizes[round % 5], NULL);
        require(may_be_closed(error, EBUSY));
    }
    return NULL;
}

static void *lend(void *context)
{
    shared_file *const self = context;
    bytes copy = {0};
    const emmap_sink sink = sink_into(&copy);
    while (!stopped(self)) {
        emmap_slice slice, line;
        const emmap_error error = emmap_pread_direct(self->file, 0, LANES * LANE, &slice);
        require(may_be_closed(error, EMMAP_OK));
        if (!error) {
            require(!emmap_slice_faulted(&slice));
            (void)__atomic_load_n((int64_t *)(void *)slice.data, __ATOMIC_RELAXED);
        }
        uint64_t position;
        emmap_position(self->file, LANES * LANE, EMMAP_FROM_START, &position);
        require(may_be_closed(emmap_read_line_direct(self->file, &line, &sink), EMMAP_EOF));
        emmap_slice_release(&line);
        emmap_slice_release(&slice);
    }
    bytes_free(&copy);
    return NULL;
}

static void *ask(void *context)
{
    shared_file *const self = context;
    while (!stopped(self)) {
        emmap_info info;
        uint64_t size;
        emmap_describe(self->file, &info);
        require(may_be_closed(emmap_size(self->file, &size), EMMAP_OK));
        require(may_be_closed(emmap_follow(self->file, &size), EMMAP_OK));
        require(may_be_closed(emmap_flush(self->file), EMMAP_OK));
        require(may_be_closed(emmap_advise(self->file, 0, 0, EMMAP_ADVICE_WILL_NEED), EMMAP_OK));
    }
    return NULL;
}

static void *(*const everything[])(void *) = {write_and_read, write_and_read, count, count,
                                              resize,         resize,         lend,  ask};
enum { THREADS = sizeof everything / sizeof *everything };

static const uint32_t kinds[] = {CREATE, CREATE | EMMAP_OPEN_NOLOCK, RW | EMMAP_OPEN_CREATE,
                                 RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_NOLOCK};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void a_file_may_be_closed_under_everything(void **state)
{
    (void)state;
    enum { ROUNDS = 10 };
    for (int round = 0; round < ROUNDS * KINDS; round++) {
        shared_file common = {.file = open_file(path_of("file"), kinds[round % KINDS], LANES * LANE)};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            threads[i] = start(everything[i], &common);
        /* Goes on until each thread has had some turns. */
        int64_t seen = 0;
        while (seen < 500)
            assert_ok(emmap_patomic_load(common.file, 0, &seen));
        assert_ok(emmap_close(common.file));
        stop(&common);
        join(threads, THREADS);
        emmap_free(common.file);
        assert_int_equal(mappings_of(path_of("file")), 0);
        assert_int_equal(unlink(path_of("file")), 0);
    }
}

enum { ADDS = 20000, ADDERS = 3 };

static void *add_up(void *context)
{
    shared_file *const self = context;
    for (int i = 0; i < ADDS; i++)
        require_ok(emmap_patomic_add(self->file, 0, 1, NULL));
    return NULL;
}

static void no_add_is_lost_to_a_resize(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        shared_file common = {.file = open_file(path_of("file"), kinds[kind], LANES * LANE)};
        assert_ok(emmap_patomic_store(common.file, 0, 0));
        pthread_t adders[ADDERS], others[2];
        for (int i = 0; i < ADDERS; i++)
            adders[i] = start(add_up, &common);
        others[0] = start(resize, &common);
        others[1] = start(lend, &common);
        join(adders, ADDERS);
        stop(&common);
        join(others, 2);
        int64_t sum;
        assert_ok(emmap_patomic_load(common.file, 0, &sum));
        assert_int_equal(sum, ADDS * ADDERS);
        close_file(common.file);
    }
}

/* With the lock a reader sees all or nothing of a write of one piece. */
static void *write_blocks(void *context)
{
    shared_file *const self = context;
    static _Thread_local uint8_t block[EMMAP_PIECE];
    for (int round = __atomic_fetch_add(&self->next, 100, __ATOMIC_RELAXED); !stopped(self); round++) {
        memset(block, round, sizeof block);
        require_ok(write_bytes(self->file, 0, block, sizeof block));
    }
    return NULL;
}

static void a_piece_is_written_as_a_whole(void **state)
{
    (void)state;
    shared_file common = {.file = open_file(path_of("file"), CREATE, EMMAP_PIECE)};
    pthread_t writers[2] = {start(write_blocks, &common), start(write_blocks, &common)};
    uint8_t *const got = malloc(EMMAP_PIECE);
    for (int round = 0; round < 2000; round++) {
        assert_ok(read_into(common.file, 0, got, EMMAP_PIECE));
        assert_memory_equal(got, got + 1, EMMAP_PIECE - 1);
    }
    stop(&common);
    join(writers, 2);
    free(got);
    close_file(common.file);
}

/* No two readers at one cursor get the same bytes. */
enum { LINES = 20000 };

static void *read_lines(void *context)
{
    shared_file *const self = context;
    static uint8_t seen[LINES];
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    while (emmap_read_line(self->file, &sink) == EMMAP_OK) {
        require(got.length == 8);
        got.data[7] = '\0';
        const int number = atoi((char *)got.data);
        require(__atomic_fetch_add(&seen[number], 1, __ATOMIC_RELAXED) == 0);
        __atomic_fetch_add(&self->next, 1, __ATOMIC_RELAXED);
    }
    bytes_free(&got);
    return NULL;
}

static void every_line_goes_to_one_reader(void **state)
{
    (void)state;
    char *const text = malloc(LINES * 8 + 1);
    for (int i = 0; i < LINES; i++)
        sprintf(text + 8 * i, "%07d\n", i);
    put_file(path_of("file"), text, LINES * 8);
    free(text);
    shared_file common = {.file = open_file(path_of("file"), EMMAP_OPEN_READ, 0)};
    pthread_t readers[3];
    for (int i = 0; i < 3; i++)
        readers[i] = start(read_lines, &common);
    join(readers, 3);
    assert_int_equal(common.next, LINES);
    close_file(common.file);
}

/* Several threads close the file at once, and slices are released by other threads than the ones that took them. */
static void *close_it(void *context)
{
    require_ok(emmap_close(((shared_file *)context)->file));
    return NULL;
}

static void *release_it(void *slice)
{
    emmap_slice_release(slice);
    return NULL;
}

static void closers_and_releasers_may_be_any_threads(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        shared_file common = {.file = open_file(path_of("file"), CREATE, 5000)};
        emmap_slice slices[2];
        assert_ok(emmap_pread_direct(common.file, 0, 10, &slices[0]));
        assert_ok(emmap_pread_direct(common.file, 0, 5000, &slices[1]));
        const pthread_t threads[] = {start(close_it, &common), start(close_it, &common),
                                     start(release_it, &slices[0]), start(release_it, &slices[1])};
        join(threads, 4);
        emmap_free(common.file);
        assert_int_equal(mappings_of(path_of("file")), 0);
    }
}

/* Threads come and go; each needs a record of its own while it lives, and leaves it to the next. */
static void *one_add(void *context)
{
    require_ok(emmap_patomic_add(((shared_file *)context)->file, 0, 1, NULL));
    return NULL;
}

static void threads_that_end_leave_nothing_held(void **state)
{
    (void)state;
    shared_file common = {.file = open_file(path_of("file"), CREATE, 64)};
    for (int round = 0; round < 250; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            threads[i] = start(one_add, &common);
        join(threads, 4);
    }
    int64_t sum;
    assert_ok(emmap_patomic_load(common.file, 0, &sum));
    assert_int_equal(sum, 1000);
    close_file(common.file);
}

enum { OPENS = 10000, OPENERS = 2 };

static void *open_and_close(void *path)
{
    for (int i = 0; i < OPENS / OPENERS; i++) {
        emmap_file *file;
        require_ok(emmap_open(path, &(emmap_options){.flags = RW | EMMAP_OPEN_SHARED}, &file));
        require_ok(emmap_patomic_add(file, 0, 1, NULL));
        emmap_free(file);
    }
    return NULL;
}

static void thousands_of_opens_leave_no_descriptor_and_no_mapping(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 64);
    const int descriptors = open_descriptors();
    pthread_t threads[OPENERS];
    for (int i = 0; i < OPENERS; i++)
        threads[i] = start(open_and_close, (void *)(uintptr_t)path);
    join(threads, OPENERS);
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(mappings_of(path), 1);
    int64_t sum;
    assert_ok(emmap_patomic_load(file, 0, &sum));
    assert_int_equal(sum, OPENS);
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_file_may_be_closed_under_everything),
        folder_test(no_add_is_lost_to_a_resize),
        folder_test(a_piece_is_written_as_a_whole),
        folder_test(every_line_goes_to_one_reader),
        folder_test(closers_and_releasers_may_be_any_threads),
        folder_test(threads_that_end_leave_nothing_held),
        folder_test(thousands_of_opens_leave_no_descriptor_and_no_mapping),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
