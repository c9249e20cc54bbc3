/* Counters: the file's bytes, refused calls, and creators that die or race. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../core/pause_points.h"
#include "platform.h"
#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)

/* The fixture that emmap 2.1.3 wrote on x86-64: 42, -7, 2^63 - 1, -2^63. */
static const uint8_t from_emmap[48] = {
    'E', 'M', 'M', 'A', 'P', '0', '1', '\n', 4,    0,    0,    0,    0,    0,    0,    0,
    42,  0,   0,   0,   0,   0,   0,   0,    0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    255, 255, 255, 255, 255, 255, 255, 0x7f, 0,    0,    0,    0,    0,    0,    0,    0x80,
};

static emmap_file *open_counters(const char *path, uint64_t count)
{
    emmap_file *file;
    assert_ok(emmap_counters_open(path, count, NULL, &file));
    return file;
}

static emmap_error try_counters(const char *path, uint64_t count, const emmap_options *options)
{
    emmap_file *file = (emmap_file *)(uintptr_t)8;
    const emmap_error error = emmap_counters_open(path, count, options, &file);
    if (error)
        assert_null(file);
    else
        emmap_free(file);
    return error;
}

static void the_same_calls_write_the_same_bytes_as_emmap(void **state)
{
    (void)state;
    emmap_file *const file = open_counters(path_of("file"), 4);
    int64_t old;
    assert_ok(emmap_counter_add(file, 0, 40, &old));
    assert_int_equal(old, 0);
    assert_ok(emmap_counter_add(file, 0, 2, &old));
    assert_int_equal(old, 40);
    assert_ok(emmap_counter_sub(file, 1, 7, &old));
    assert_int_equal(old, 0);
    assert_ok(emmap_counter_set(file, 2, INT64_MAX, &old));
    assert_int_equal(old, 0);
    assert_ok(emmap_counter_compare_exchange(file, 3, 0, INT64_MIN, &old));
    assert_int_equal(old, 0);
    close_file(file);
    assert_file(path_of("file"), from_emmap, sizeof from_emmap);
}

static void a_file_of_emmap_is_read(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 4};
    static const char versions[][2] = {{'0', '1'}, {'9', '9'}, {'x', '\0'}};
    static const int64_t values[] = {42, -7, INT64_MAX, INT64_MIN};
    for (int version = 0; version < 3; version++)
        for (int i = 0; i < 2; i++) {
            uint8_t bytes[sizeof from_emmap];
            memcpy(bytes, from_emmap, sizeof bytes);
            memcpy(bytes + 5, versions[version], 2);
            put_file(path_of("file"), bytes, sizeof bytes);
            emmap_file *const file = open_counters(path_of("file"), counts[i]);
            assert_int_equal(emmap_counters_length(file), 4);
            for (uint64_t index = 0; index < 4; index++) {
                int64_t value;
                assert_ok(emmap_counter_get(file, index, &value));
                assert_int_equal(value, values[index]);
            }
            close_file(file);
            assert_file(path_of("file"), bytes, sizeof bytes);
        }
}

static void counters_beyond_the_last_are_einval(void **state)
{
    (void)state;
    emmap_file *const file = open_counters(path_of("file"), 4);
    static const uint64_t beyond[] = {
        4, 5, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 1, ((uint64_t)1 << 61) - 2};
    int64_t old;
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        assert_error(EINVAL, emmap_counter_add(file, beyond[i], 1, &old));
        assert_error(EINVAL, emmap_counter_sub(file, beyond[i], 1, &old));
        assert_error(EINVAL, emmap_counter_set(file, beyond[i], 1, &old));
        assert_error(EINVAL, emmap_counter_get(file, beyond[i], &old));
        assert_error(EINVAL, emmap_counter_compare_exchange(file, beyond[i], 0, 1, &old));
    }
    assert_error(EMMAP_FIXED_SIZE, emmap_resize(file, 4096, NULL));
    assert_error(EINVAL, emmap_resize(file, (uint64_t)1 << 63, NULL));
    assert_ok(emmap_close(file));
    assert_int_equal(emmap_counters_length(file), 4);
    assert_error(EMMAP_CLOSED, emmap_counter_get(file, 0, &old));
    assert_error(EMMAP_CLOSED, emmap_counter_get(file, 4, &old));
    emmap_free(file);
}

static void another_file_has_no_counters(void **state)
{
    (void)state;
    put_file(path_of("file"), from_emmap, sizeof from_emmap);
    emmap_file *const file = open_file(path_of("file"), RW, 0);
    int64_t old;
    assert_int_equal(emmap_counters_length(file), 0);
    assert_error(EINVAL, emmap_counter_add(file, 0, 1, &old));
    close_file(file);
}

static void a_count_of_zero_takes_what_there_is_and_creates_one(void **state)
{
    (void)state;
    emmap_file *file = open_counters(path_of("file"), 0);
    assert_int_equal(emmap_counters_length(file), 1);
    close_file(file);
    assert_int_equal(size_of_file(path_of("file")), 24);
    file = open_counters(path_of("file"), 0);
    assert_int_equal(emmap_counters_length(file), 1);
    close_file(file);
}

static void another_count_is_einval(void **state)
{
    (void)state;
    put_file(path_of("file"), from_emmap, sizeof from_emmap);
    assert_error(EINVAL, try_counters(path_of("file"), 3, NULL));
    assert_error(EINVAL, try_counters(path_of("file"), 5, NULL));
    assert_error(EINVAL, try_counters(path_of("file"), ((uint64_t)1 << 32) + 1, NULL));
    assert_error(EINVAL, try_counters(path_of("file"), UINT64_MAX, NULL));
    assert_file(path_of("file"), from_emmap, sizeof from_emmap);
}

static void a_foreign_file_is_refused_and_untouched(void **state)
{
    (void)state;
    uint8_t bytes[64];
    const char *const path = path_of("file");
    static const struct {
        size_t length;
        int at;
        uint8_t value;
    } damages[] = {
        {48, 0, 'e'}, {48, 4, 'Q'}, {48, 7, '\r'}, {48, 7, 0},  {48, 8, 5},  {48, 8, 3},
        {48, 8, 0},   {48, 15, 1},  {48, 15, 128}, {47, 20, 1}, {49, 20, 1}, {24, 20, 1},
        {16, 8, 0},   {15, 0, 'E'}, {8, 0, 'E'},   {1, 0, 'E'}, {1, 0, 0},   {64, 50, 1},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, from_emmap, sizeof from_emmap);
        bytes[damages[i].at] = damages[i].value;
        put_file(path, bytes, damages[i].length);
        static const uint64_t counts[] = {0, 1, 4};
        for (int k = 0; k < 3; k++)
            assert_error(EMMAP_CORRUPT, try_counters(path, counts[k], NULL));
        assert_non_null(emmap_last_failure()->reason);
        assert_file(path, bytes, damages[i].length);
    }
    /* Zeros with other bytes behind them, and zeros of a length that no counters file has. */
    memset(bytes, 0, sizeof bytes);
    bytes[47] = 1;
    put_file(path, bytes, 48);
    assert_error(EMMAP_CORRUPT, try_counters(path, 4, NULL));
    assert_file(path, bytes, 48);
    bytes[47] = 0;
    put_file(path, bytes, 47);
    assert_error(EMMAP_CORRUPT, try_counters(path, 0, NULL));
    put_file(path, bytes, 16);
    assert_error(EMMAP_CORRUPT, try_counters(path, 0, NULL));
    assert_file(path, bytes, 16);
}

static void options_that_do_not_go_with_counters_are_einval(void **state)
{
    (void)state;
    static const emmap_options bad[] = {
        {.flags = RW | EMMAP_OPEN_ANON},     {.flags = RW | EMMAP_OPEN_PRIVATE},
        {.flags = RW | EMMAP_OPEN_TRUNCATE}, {.flags = RW | EMMAP_OPEN_CREATE, .offset = 8},
        {.flags = RW, .length = 48},         {.flags = RW, .size = 48},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_error(EINVAL, try_counters(path_of("file"), 4, &bad[i]));
        put_file(path_of("other"), from_emmap, sizeof from_emmap);
        assert_error(EINVAL, try_counters(path_of("other"), 4, &bad[i]));
        assert_file(path_of("other"), from_emmap, sizeof from_emmap);
    }
}

static void a_reader_reads_and_neither_creates_nor_changes(void **state)
{
    (void)state;
    const emmap_options reader = {.flags = EMMAP_OPEN_READ};
    assert_error(ENOENT, try_counters(path_of("none"), 4, &reader));
    assert_false(exists(path_of("none")));
    put_file(path_of("file"), from_emmap, sizeof from_emmap);
    emmap_file *file;
    assert_ok(emmap_counters_open(path_of("file"), 4, &reader, &file));
    int64_t value;
    assert_ok(emmap_counter_get(file, 1, &value));
    assert_int_equal(value, -7);
    assert_error(EACCES, emmap_counter_add(file, 1, 1, &value));
    assert_error(EACCES, emmap_counter_set(file, 1, 1, &value));
    assert_error(EACCES, emmap_counter_compare_exchange(file, 1, -7, 1, &value));
    close_file(file);
    static const uint8_t unfinished[48];
    put_file(path_of("file"), unfinished, sizeof unfinished);
    assert_error(EMMAP_CORRUPT, try_counters(path_of("file"), 4, &reader));
    put_file(path_of("file"), "", 0);
    assert_error(EMMAP_CORRUPT, try_counters(path_of("file"), 4, &reader));
    assert_error(EMMAP_CORRUPT, try_counters(path_of("file"), 4, &(emmap_options){.flags = RW}));
    assert_int_equal(size_of_file(path_of("file")), 0);
}

typedef struct death {
    const char *path;
    const char *place;
} death;

static void create_and_die(void *context)
{
    const death *const self = context;
    die_at(self->place);
    emmap_file *file;
    require_ok(emmap_counters_open(self->path, 4, NULL, &file));
}

static void a_reader_of_what_is_open_exclusively_waits_for_nobody(void **state)
{
    (void)state;
    const emmap_options exclusive = {.flags = RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_EXCLUSIVE};
    const emmap_options reader = {.flags = EMMAP_OPEN_READ};
    emmap_file *file;
    assert_ok(emmap_queue_open(path_of("queue"), &exclusive, &file));
    assert_error(EMMAP_CORRUPT, try_counters(path_of("queue"), 0, &reader));
    emmap_free(file);
    assert_ok(emmap_blocks_open(path_of("blocks"), 8, 0, &exclusive, &file));
    assert_error(EMMAP_CORRUPT, try_counters(path_of("blocks"), 0, &reader));
    emmap_free(file);
    assert_ok(emmap_counters_open(path_of("counters"), 2, &exclusive, &file));
    assert_ok(try_counters(path_of("counters"), 2, &reader));
    emmap_free(file);
}

static void what_a_dead_creator_left_is_finished_by_the_next(void **state)
{
    (void)state;
    static const char *const places[] = {"counters_create_begin", "counters_create_sized",
                                         "counters_create_counted", "counters_create_done"};
    uint8_t expected[48] = {0};
    memcpy(expected, from_emmap, 16);
    static const uint64_t counts[] = {4, 0};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int k = 0; k < 2; k++) {
            const death death = {path_of("file"), places[i]};
            const int status = in_child(create_and_die, (void *)(uintptr_t)&death);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            /* At the first pause the file does not have the count yet. */
            emmap_file *const file = open_counters(death.path, i == 0 ? 4 : counts[k]);
            assert_int_equal(emmap_counters_length(file), 4);
            close_file(file);
            assert_file(death.path, expected, sizeof expected);
            assert_int_equal(unlink(death.path), 0);
        }
}

static void what_a_dead_creator_left_is_kept_from_another_count(void **state)
{
    (void)state;
    const death death = {path_of("file"), "counters_create_counted"};
    const int status = in_child(create_and_die, (void *)(uintptr_t)&death);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_error(EINVAL, try_counters(death.path, 5, NULL));
    assert_int_equal(size_of_file(death.path), 48);
}

/* Each creator adds once. No creator may reset the additions of another. */
static void create_and_add(void *path)
{
    emmap_file *file;
    require_ok(emmap_counters_open(path, 4, NULL, &file));
    require_ok(emmap_counter_add(file, 2, 1, NULL));
    emmap_free(file);
}

static void racing_creators_lose_no_count(void **state)
{
    (void)state;
    enum { CREATORS = 4, ROUNDS = 25 };
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[CREATORS];
        for (int i = 0; i < CREATORS; i++)
            children[i] = start_child(create_and_add, (void *)(uintptr_t)path_of("file"));
        for (int i = 0; i < CREATORS; i++)
            assert_int_equal(wait_child(children[i]), 0);
        emmap_file *const file = open_counters(path_of("file"), 0);
        int64_t value;
        assert_ok(emmap_counter_get(file, 2, &value));
        assert_int_equal(value, CREATORS);
        close_file(file);
        assert_int_equal(unlink(path_of("file")), 0);
    }
}

/* ---- More of them ---- */

#define GROWS (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_GROW)

static emmap_file *open_growing(const char *path, uint64_t count)
{
    const emmap_options options = {.flags = GROWS};
    emmap_file *file;
    require_ok(emmap_counters_open(path, count, &options, &file));
    return file;
}

static void a_file_that_grows_keeps_its_counters(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, from_emmap, sizeof from_emmap);
    emmap_file *const old = open_counters(path, 4);
    emmap_file *const file = open_growing(path, 3000);
    assert_int_equal(emmap_counters_length(file), 3000);
    assert_int_equal(emmap_counters_length(old), 4);
    int64_t value;
    assert_ok(emmap_counter_get(file, 3, &value));
    assert_true(value == INT64_MIN);
    assert_ok(emmap_counter_get(file, 4, &value));
    assert_int_equal(value, 0);
    assert_ok(emmap_counter_add(file, 2999, 7, NULL));
    /* A handle that was open goes on with its old number of counters, on the same words. */
    assert_ok(emmap_counter_add(old, 0, 1, NULL));
    assert_ok(emmap_counter_get(file, 0, &value));
    assert_int_equal(value, 43);
    assert_error(EINVAL, emmap_counter_get(old, 4, &value));
    close_file(old);
    close_file(file);
    /* A file that is as large or larger stays as it is. */
    size_t length;
    const uint8_t *const bytes = get_file(path, &length);
    assert_int_equal(length, 16 + 8 * 3000);
    assert_memory_equal(bytes, "EMMAP01\n", 8);
    const uint64_t counts[] = {0, 1, 2999, 3000};
    for (size_t i = 0; i < 4; i++) {
        emmap_file *const again = open_growing(path, counts[i]);
        assert_int_equal(emmap_counters_length(again), 3000);
        close_file(again);
        assert_file(path, bytes, length);
    }
    /* Without a file, and with one that a dead creator left. */
    unlink(path);
    close_file(open_growing(path, 5));
    assert_int_equal(size_of_file(path), 56);
    const uint8_t zeros[32] = {0};
    put_file(path, zeros, sizeof zeros);
    close_file(open_growing(path, 5));
    assert_int_equal(size_of_file(path), 56);
}

static void another_number_is_said(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    close_file(open_counters(path, 4));
    const uint64_t counts[] = {3, 5, (uint64_t)1 << 32};
    for (size_t i = 0; i < 3; i++) {
        assert_error(EINVAL, try_counters(path, counts[i], NULL));
        assert_int_equal(emmap_last_failure()->found, 4);
        assert_int_equal(emmap_last_failure()->asked, counts[i]);
    }
    const emmap_options reads = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_GROW};
    assert_error(EINVAL, try_counters(path, 5, &reads));
    assert_int_equal(emmap_last_failure()->found, 0);
    assert_int_equal(size_of_file(path), 48);
    emmap_file *file;
    const emmap_options grows = {.flags = GROWS};
    assert_error(EINVAL, emmap_queue_open(path_of("queue"), &grows, &file));
    assert_error(EINVAL, emmap_open(path, &grows, &file));
}

static void what_is_behind_the_last_counter_is_refused_unless_the_file_was_growing(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    memcpy(bytes, from_emmap, sizeof from_emmap);
    const char *const path = path_of("file");
    const emmap_options reads = {.flags = EMMAP_OPEN_READ};
    put_file(path, bytes, sizeof bytes);
    assert_error(EMMAP_CORRUPT, try_counters(path, 0, NULL));
    bytes[6] = 'g';
    put_file(path, bytes, sizeof bytes);
    assert_ok(try_counters(path, 4, &reads));
    assert_file(path, bytes, sizeof bytes);
    assert_ok(try_counters(path, 4, NULL));
    assert_file(path, from_emmap, sizeof from_emmap);
    bytes[63] = 1;
    put_file(path, bytes, sizeof bytes);
    assert_error(EMMAP_CORRUPT, try_counters(path, 0, NULL));
    assert_error(EMMAP_CORRUPT, try_counters(path, 0, &reads));
    assert_file(path, bytes, sizeof bytes);
}

static void grow_and_die(void *point)
{
    die_at(point);
    const emmap_options options = {.flags = GROWS};
    emmap_file *file;
    require_ok(emmap_counters_open(path_of("file"), 2000, &options, &file));
}

#define NAME(point) #point,

static void a_death_while_a_file_grows_leaves_the_old_number_or_the_new_one(void **state)
{
    (void)state;
    const char *const points[] = {COUNTERS_GROW_PAUSE_POINTS(NAME)};
    const char *const path = path_of("file");
    const emmap_options reads = {.flags = EMMAP_OPEN_READ};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        put_file(path, from_emmap, sizeof from_emmap);
        emmap_file *const open = open_counters(path, 4);
        /* The recovery has a change to undo. */
        if (strncmp(points[i], "counters_ungrow", 15) == 0)
            in_child(grow_and_die, (void *)(uintptr_t) "counters_grow_sized");
        const int status = in_child(grow_and_die, (void *)(uintptr_t)points[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        const bool grown = strcmp(points[i], "counters_grow_done") == 0;
        emmap_file *file;
        assert_ok(emmap_counters_open(path, 0, &reads, &file));
        assert_int_equal(emmap_counters_length(file), grown ? 2000 : 4);
        int64_t value;
        assert_ok(emmap_counter_get(file, 2, &value));
        assert_true(value == INT64_MAX);
        close_file(file);
        close_file(open_counters(path, 0));
        assert_int_equal(size_of_file(path), grown ? 16016 : 48);
        assert_ok(emmap_counter_add(open, 0, 1, NULL));
        file = open_growing(path, 2000);
        assert_int_equal(emmap_counters_length(file), 2000);
        assert_ok(emmap_counter_get(file, 0, &value));
        assert_int_equal(value, 43);
        close_file(file);
        close_file(open);
    }
}

static void a_full_disk_leaves_the_old_number(void **state)
{
    (void)state;
    /* If no disk space can be reserved, the file has its length without it. */
    if (emi_platform_reserve(-1, 0, 1) == ENOTSUP || !mount_tmpfs(path_of("disk"), "32k"))
        skip();
    const char *const path = path_of("disk/file");
    put_file(path, from_emmap, sizeof from_emmap);
    const emmap_options grows = {.flags = GROWS};
    assert_error(ENOSPC, try_counters(path, 100000, &grows));
    assert_file(path, from_emmap, sizeof from_emmap);
}

static void grow_by_turns(void *context)
{
    const uint64_t mine = *(const uint64_t *)context;
    for (uint64_t round = 0; round < 50; round++) {
        emmap_file *const file = open_growing(path_of("file"), 1 + mine + 4 * round);
        require(emmap_counters_length(file) >= 1 + mine + 4 * round);
        require_ok(emmap_counter_add(file, mine, 1, NULL));
        emmap_free(file);
    }
}

static void processes_that_grow_a_file_at_once_lose_nothing(void **state)
{
    (void)state;
    pid_t children[4];
    static uint64_t numbers[] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++)
        children[i] = start_child(grow_by_turns, &numbers[i]);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wait_child(children[i]), 0);
    emmap_file *const file = open_counters(path_of("file"), 0);
    assert_int_equal(emmap_counters_length(file), 200);
    for (uint64_t i = 0; i < 4; i++) {
        int64_t value;
        assert_ok(emmap_counter_get(file, i, &value));
        assert_int_equal(value, 50);
    }
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(the_same_calls_write_the_same_bytes_as_emmap),
        folder_test(a_file_of_emmap_is_read),
        folder_test(counters_beyond_the_last_are_einval),
        folder_test(another_file_has_no_counters),
        folder_test(a_count_of_zero_takes_what_there_is_and_creates_one),
        folder_test(another_count_is_einval),
        folder_test(a_foreign_file_is_refused_and_untouched),
        folder_test(options_that_do_not_go_with_counters_are_einval),
        folder_test(a_reader_reads_and_neither_creates_nor_changes),
        folder_test(a_reader_of_what_is_open_exclusively_waits_for_nobody),
        folder_test(what_a_dead_creator_left_is_finished_by_the_next),
        folder_test(what_a_dead_creator_left_is_kept_from_another_count),
        folder_test(racing_creators_lose_no_count),
        folder_test(a_file_that_grows_keeps_its_counters),
        folder_test(another_number_is_said),
        folder_test(what_is_behind_the_last_counter_is_refused_unless_the_file_was_growing),
        folder_test(a_death_while_a_file_grows_leaves_the_old_number_or_the_new_one),
        folder_test(a_full_disk_leaves_the_old_number),
        folder_test(processes_that_grow_a_file_at_once_lose_nothing),
    };
    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
