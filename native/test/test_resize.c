/* Changing the size, and following the changes of other handles. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static uint64_t size_of(emmap_file *file)
{
    uint64_t size;
    assert_ok(emmap_size(file, &size));
    return size;
}

static void a_file_grows_and_shrinks(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 100);
    assert_ok(write_bytes(file, 0, "abcdef", 6));
    static const uint64_t sizes[] = {101, 5000, 4096, 4097, 1 << 20, 3, 1, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t size;
        assert_ok(emmap_resize(file, sizes[i], &size));
        assert_int_equal(size, sizes[i]);
        assert_int_equal(size_of(file), sizes[i]);
        assert_int_equal(size_of_file(path), sizes[i]);
        assert_int_equal(mappings_of(path), 1);
        char got;
        assert_ok(read_into(file, 0, &got, 1));
        assert_int_equal(got, 'a');
        assert_ok(write_bytes(file, sizes[i] - 1, "a", 1));
        assert_error(EINVAL, write_bytes(file, sizes[i], "z", 1));
    }
    close_file(file);
}

static void what_was_cut_off_comes_back_as_zeros(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 8192);
    assert_ok(write_bytes(file, 10, "abcdef", 6));
    assert_ok(write_bytes(file, 8000, "abcdef", 6));
    assert_ok(emmap_resize(file, 12, NULL));
    assert_ok(emmap_resize(file, 8192, NULL));
    char got[6];
    assert_ok(read_into(file, 10, got, 6));
    assert_memory_equal(got, "ab\0\0\0\0", 6);
    assert_ok(read_into(file, 8000, got, 6));
    assert_memory_equal(got, "\0\0\0\0\0\0", 6);
    close_file(file);
}

static void size_zero_doubles_up_to_the_step(void **state)
{
    (void)state;
    emmap_file *const file =
        open_with(path_of("file"), (emmap_options){.flags = CREATE, .size = 1000, .max_inc_size = 3000});
    static const uint64_t steps[] = {2000, 4000, 7000, 10000};
    for (int i = 0; i < 4; i++) {
        uint64_t size;
        assert_ok(emmap_resize(file, 0, &size));
        assert_int_equal(size, steps[i]);
    }
    close_file(file);
}

static void a_fixed_size_may_be_asked_for(void **state)
{
    (void)state;
    uint64_t size = 0;
    emmap_file *const file = open_file(path_of("file"), CREATE | EMMAP_OPEN_FIXED_SIZE, 100);
    assert_ok(emmap_resize(file, 100, &size));
    assert_int_equal(size, 100);
    uint64_t position;
    assert_ok(emmap_position(file, 0, EMMAP_FROM_END, &position));
    assert_ok(emmap_truncate(file));
    assert_int_equal(size_of(file), 100);
    close_file(file);
}

static void what_may_not_be_resized_is_not(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *file = open_file(path, CREATE | EMMAP_OPEN_FIXED_SIZE, 100);
    assert_error(EMMAP_FIXED_SIZE, emmap_resize(file, 200, NULL));
    assert_error(EMMAP_FIXED_SIZE, emmap_resize(file, 50, NULL));
    assert_error(EMMAP_FIXED_SIZE, emmap_truncate(file));
    assert_error(EMMAP_FIXED_SIZE, emmap_resize(file, 0, NULL));
    close_file(file);
    file = open_file(path, EMMAP_OPEN_READ, 0);
    assert_error(EACCES, emmap_resize(file, 200, NULL));
    assert_error(EACCES, emmap_truncate(file));
    assert_error(EACCES, emmap_allocate(file, 0, 1));
    close_file(file);
    file = open_file(path, RW, 0);
    assert_error(EINVAL, emmap_resize(file, (uint64_t)1 << 63, NULL));
    assert_error(EINVAL, emmap_resize(file, UINT64_MAX - 7, NULL));
    assert_error(EINVAL, emmap_resize(file, UINT64_MAX, NULL));
    assert_error(EFBIG, emmap_resize(file, INT64_MAX, NULL));
    assert_int_equal(size_of(file), 100);
    close_file(file);
    file = open_with(path, (emmap_options){.flags = RW, .offset = 50});
    assert_error(EFBIG, emmap_resize(file, INT64_MAX, NULL));
    close_file(file);
    assert_int_equal(size_of_file(path), 100);
}

static uint64_t address_space_in_use(void)
{
    FILE *const file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;
    require(file && fscanf(file, "%llu", &pages) == 1);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void without_address_space(void *path)
{
    emmap_file *const file = open_file(path, CREATE | EMMAP_OPEN_NORESERVE, 100);
    struct rlimit limit;
    require(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = address_space_in_use() + ((rlim_t)1 << 30);
    require(setrlimit(RLIMIT_AS, &limit) == 0);
    require_error(ENOMEM, emmap_resize(file, (uint64_t)2 << 30, NULL));
    require(size_of(file) == 100 && size_of_file(path) == 100);
    require_ok(emmap_resize(file, 10000, NULL));
    require(size_of(file) == 10000 && size_of_file(path) == 10000);
    emmap_free(file);
}

static void a_file_that_there_is_no_address_space_for_does_not_grow(void **state)
{
    (void)state;
    assert_child_passes(without_address_space, (void *)(uintptr_t)path_of("file"));
}

static const uint64_t TOO_MUCH = (uint64_t)2 << 30;

static void opened_without_address_space(void *path)
{
    const struct rlimit limit = {.rlim_cur = address_space_in_use() + ((rlim_t)1 << 30),
                                 .rlim_max = RLIM_INFINITY};
    require(setrlimit(RLIMIT_AS, &limit) == 0);
    const emmap_options options = {.flags = CREATE | EMMAP_OPEN_NORESERVE, .size = TOO_MUCH};
    emmap_file *file;
    require_error(ENOMEM, emmap_open(path, &options, &file));
    require(size_of_file(path) == 100);
    require(truncate(path, 0) == 0);
    require_error(ENOMEM, emmap_queue_open(path, &options, &file));
    require_error(ENOMEM, emmap_blocks_open(path, 64, 0, &options, &file));
    const emmap_options counters = {.flags = CREATE | EMMAP_OPEN_NORESERVE};
    require_error(ENOMEM, emmap_counters_open(path, TOO_MUCH / 8, &counters, &file));
    require(size_of_file(path) == 0);
}

static void a_file_that_there_is_no_address_space_for_is_not_lengthened_by_open(void **state)
{
    (void)state;
    close_file(open_file(path_of("file"), CREATE, 100));
    assert_child_passes(opened_without_address_space, (void *)(uintptr_t)path_of("file"));
}

static void a_file_whose_address_is_taken_is_not_lengthened_by_open(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    close_file(open_file(path, CREATE, 100));
    void *const taken = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(taken != MAP_FAILED);
    assert_error(EEXIST, try_open(path, (emmap_options){.flags = CREATE | EMMAP_OPEN_FIXED,
                                                        .size = 8192,
                                                        .address = (uint64_t)(uintptr_t)taken}));
    assert_int_equal(size_of_file(path), 100);
    munmap(taken, 4096);
}

/* The bytes of the file's mapping in this process's page tables. */
static unsigned resident_kilobytes(const char *path)
{
    FILE *const maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    char line[4096];
    bool ours = false;
    unsigned kilobytes = 0;
    while (fgets(line, sizeof line, maps) && !(ours && sscanf(line, "Rss: %u", &kilobytes) == 1))
        ours = ours || strstr(line, path);
    fclose(maps);
    return kilobytes;
}

static void the_pages_of_a_populated_file_are_there_when_it_has_grown(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE | EMMAP_OPEN_POPULATE, 8192);
    assert_int_equal(resident_kilobytes(path), 8);
    assert_ok(emmap_resize(file, 1 << 20, NULL));
    assert_int_equal(resident_kilobytes(path), 1024);
    close_file(file);
}

static void private_bytes_are_kept(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    static const uint64_t offsets[] = {0, 100};
    for (int i = 0; i < 2; i++) {
        char content[12000];
        memset(content, '.', sizeof content);
        put_file(path, content, sizeof content);
        emmap_file *const file = open_with(path, (emmap_options){.flags = RW, .offset = offsets[i]});
        assert_ok(write_bytes(file, 5000, "mine", 4));
        assert_ok(emmap_resize(file, 40000, NULL));
        assert_ok(write_bytes(file, 39996, "more", 4));
        char got[4];
        assert_ok(read_into(file, 5000, got, 4));
        assert_memory_equal(got, "mine", 4);
        assert_ok(emmap_resize(file, 6000, NULL));
        assert_ok(read_into(file, 5000, got, 4));
        assert_memory_equal(got, "mine", 4);
        size_t length;
        const uint8_t *const disk = get_file(path, &length);
        assert_int_equal(length, 6000 + offsets[i]);
        assert_memory_equal(disk, content, length);
        close_file(file);
    }
}

static void private_pages_that_nobody_wrote_follow_the_file(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint64_t offsets[] = {0, 100};
    for (int i = 0; i < 2; i++) {
        emmap_file *const shared = open_file(path, CREATE, 8 * page);
        emmap_file *const mine = open_with(path, (emmap_options){.flags = RW, .offset = offsets[i]});
        /* Maps over the third page of the file; the second and the fourth stay the file's. */
        assert_ok(write_bytes(mine, 2 * page + 8 - offsets[i], "mine", 4));
        assert_ok(emmap_resize(mine, 16 * page, NULL));
        assert_ok(write_bytes(shared, page + 8, "file", 4));
        assert_ok(write_bytes(shared, 3 * page + 8, "file", 4));
        char got[4];
        assert_ok(read_into(mine, page + 8 - offsets[i], got, 4));
        assert_memory_equal(got, "file", 4);
        assert_ok(read_into(mine, 3 * page + 8 - offsets[i], got, 4));
        assert_memory_equal(got, "file", 4);
        assert_ok(read_into(mine, 2 * page + 8 - offsets[i], got, 4));
        assert_memory_equal(got, "mine", 4);
        close_file(mine);
        close_file(shared);
        assert_int_equal(unlink(path), 0);
    }
}

static void grow_elsewhere(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = RW | EMMAP_OPEN_SHARED}, &file));
    require_ok(emmap_resize(file, 50000, NULL));
    require_ok(write_bytes(file, 49997, "end", 3));
    emmap_free(file);
}

static void growth_by_another_process_is_followed(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 1000);
    uint64_t size;
    assert_ok(emmap_follow(file, &size));
    assert_int_equal(size, 1000);
    assert_child_passes(grow_elsewhere, (void *)(uintptr_t)path);
    assert_int_equal(size_of(file), 1000);
    assert_ok(emmap_follow(file, &size));
    assert_int_equal(size, 50000);
    char got[3];
    assert_ok(read_into(file, 49997, got, 3));
    assert_memory_equal(got, "end", 3);
    close_file(file);
}

static void growing_never_shrinks_what_another_has_grown(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 1000);
    assert_child_passes(grow_elsewhere, (void *)(uintptr_t)path);
    uint64_t size;
    assert_ok(emmap_resize(file, 2000, &size));
    assert_int_equal(size, 50000);
    assert_int_equal(size_of_file(path), 50000);
    assert_ok(emmap_resize(file, 0, &size));
    assert_int_equal(size, 100000);
    close_file(file);
}

static void a_private_reader_follows_growth(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const writer = open_file(path, CREATE, 1000);
    emmap_file *const reader = open_file(path, EMMAP_OPEN_READ | EMMAP_OPEN_PRIVATE, 0);
    assert_ok(emmap_resize(writer, 10000, NULL));
    uint64_t size;
    assert_ok(emmap_follow(reader, &size));
    assert_int_equal(size, 10000);
    close_file(reader);
    close_file(writer);
}

static void a_window_keeps_what_lies_behind_it(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    char content[10000];
    memset(content, '.', sizeof content);
    put_file(path, content, sizeof content);
    emmap_file *const file =
        open_with(path, (emmap_options){.flags = RW | EMMAP_OPEN_SHARED, .offset = 1000, .length = 5000});
    uint64_t size;
    assert_ok(emmap_resize(file, 100, &size));
    assert_int_equal(size, 100);
    assert_int_equal(size_of_file(path), 10000);
    assert_ok(emmap_follow(file, &size));
    assert_int_equal(size, 100);
    assert_ok(emmap_resize(file, 9000, &size));
    assert_int_equal(size, 9000);
    assert_int_equal(size_of_file(path), 10000);
    assert_ok(emmap_resize(file, 9001, &size));
    assert_int_equal(size_of_file(path), 10001);
    assert_ok(emmap_resize(file, 8000, &size));
    assert_int_equal(size_of_file(path), 9000);
    close_file(file);
}

static void truncate_ends_the_file_at_the_cursor(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 1000);
    uint64_t position;
    assert_error(EINVAL, emmap_truncate(file));
    assert_ok(emmap_position(file, 1001, EMMAP_FROM_START, &position));
    assert_error(EINVAL, emmap_truncate(file));
    assert_ok(emmap_position(file, 1000, EMMAP_FROM_START, &position));
    assert_ok(emmap_truncate(file));
    assert_int_equal(size_of_file(path), 1000);
    assert_ok(emmap_position(file, 300, EMMAP_FROM_START, &position));
    assert_ok(emmap_truncate(file));
    assert_int_equal(size_of_file(path), 300);
    assert_int_equal(size_of(file), 300);
    close_file(file);
}

static void allocate_fills_a_hole_within_the_mapping(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE | EMMAP_OPEN_NORESERVE, 1 << 20);
    assert_error(EINVAL, emmap_allocate(file, 0, 0));
    assert_error(EINVAL, emmap_allocate(file, 1 << 20, 1));
    assert_error(EINVAL, emmap_allocate(file, 1, 1 << 20));
    assert_error(EINVAL, emmap_allocate(file, UINT64_MAX - 7, 8));
    assert_error(EINVAL, emmap_allocate(file, 8, UINT64_MAX - 7));
    assert_ok(emmap_allocate(file, 4096, 65536));
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_true(about.st_blocks * 512 >= 65536);
    assert_int_equal(about.st_size, 1 << 20);
    close_file(file);
}

static void *add_up(void *context)
{
    emmap_file *const file = context;
    for (int i = 0; i < 30000; i++)
        require_ok(emmap_patomic_add(file, 8, 1, NULL));
    return NULL;
}

static void *fill(void *context)
{
    emmap_file *const file = context;
    static char block[4 * EMMAP_PIECE];
    for (int i = 1; i <= 60; i++) {
        memset(block, i, sizeof block);
        require_ok(write_bytes(file, EMMAP_PIECE, block, sizeof block));
        char *const got = malloc(sizeof block);
        require_ok(read_into(file, EMMAP_PIECE, got, sizeof block));
        require(memcmp(got, block, sizeof block) == 0);
        free(got);
    }
    return NULL;
}

/* A write that returned EMMAP_OK is kept, even if another thread replaces the mapping meanwhile. */
static void no_private_write_is_lost_to_a_resize(void **state)
{
    (void)state;
    static const uint32_t locks[] = {0, EMMAP_OPEN_NOLOCK};
    for (int i = 0; i < 2; i++) {
        emmap_file *const file =
            open_file(path_of("file"), RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_PRIVATE | locks[i], 1 << 20);
        int64_t before;
        assert_ok(emmap_patomic_load(file, 8, &before));
        assert_int_equal(before, 0);
        pthread_t adder, filler;
        assert_int_equal(pthread_create(&adder, NULL, add_up, file), 0);
        assert_int_equal(pthread_create(&filler, NULL, fill, file), 0);
        for (int round = 0; round < 100; round++) {
            assert_ok(emmap_resize(file, 1 << 20, NULL));
            emmap_slice slice;
            assert_ok(emmap_pread_direct(file, 0, 1 << 20, &slice));
            assert_error(EBUSY, emmap_resize(file, 5 * EMMAP_PIECE, NULL));
            emmap_slice_release(&slice);
            assert_ok(emmap_resize(file, 5 * EMMAP_PIECE, NULL));
        }
        pthread_join(adder, NULL);
        pthread_join(filler, NULL);
        int64_t sum;
        assert_ok(emmap_patomic_load(file, 8, &sum));
        assert_int_equal(sum, 30000);
        close_file(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_file_grows_and_shrinks),
        folder_test(what_was_cut_off_comes_back_as_zeros),
        folder_test(size_zero_doubles_up_to_the_step),
        folder_test(what_may_not_be_resized_is_not),
        folder_test(a_fixed_size_may_be_asked_for),
        folder_test(a_file_that_there_is_no_address_space_for_does_not_grow),
        folder_test(a_file_that_there_is_no_address_space_for_is_not_lengthened_by_open),
        folder_test(a_file_whose_address_is_taken_is_not_lengthened_by_open),
        folder_test(the_pages_of_a_populated_file_are_there_when_it_has_grown),
        folder_test(private_bytes_are_kept),
        folder_test(private_pages_that_nobody_wrote_follow_the_file),
        folder_test(growth_by_another_process_is_followed),
        folder_test(growing_never_shrinks_what_another_has_grown),
        folder_test(a_private_reader_follows_growth),
        folder_test(a_window_keeps_what_lies_behind_it),
        folder_test(truncate_ends_the_file_at_the_cursor),
        folder_test(allocate_fills_a_hole_within_the_mapping),
        folder_test(no_private_write_is_lost_to_a_resize),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
