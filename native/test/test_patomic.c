/* Atomic arithmetic on words of a file. */
#include <string.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

typedef emmap_error (*operation)(emmap_file *, uint64_t, int64_t, int64_t *);

static emmap_error store(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    assert_ok(emmap_patomic_load(file, position, old));
    return emmap_patomic_store(file, position, value);
}

static const struct {
    operation apply;
    int64_t before, value, after;
} sums[] = {
    {emmap_patomic_add, 40, 2, 42},
    {emmap_patomic_add, 0, -1, -1},
    {emmap_patomic_add, INT64_MAX, 1, INT64_MIN},
    {emmap_patomic_add, INT64_MIN, -1, INT64_MAX},
    {emmap_patomic_add, INT64_MIN, INT64_MIN, 0},
    {emmap_patomic_sub, 42, 2, 40},
    {emmap_patomic_sub, INT64_MIN, 1, INT64_MAX},
    {emmap_patomic_sub, 0, INT64_MIN, INT64_MIN},
    {emmap_patomic_and, -1, 0x0f0f, 0x0f0f},
    {emmap_patomic_and, 0x00ff, INT64_MIN, 0},
    {emmap_patomic_or, 0x00f0, 0x0f00, 0x0ff0},
    {emmap_patomic_or, 1, INT64_MIN, INT64_MIN + 1},
    {emmap_patomic_xor, -1, -1, 0},
    {emmap_patomic_xor, 0x0ff0, 0x00ff, 0x0f0f},
    {emmap_patomic_exchange, 7, INT64_MIN, INT64_MIN},
    {emmap_patomic_exchange, INT64_MAX, 0, 0},
    {store, 7, INT64_MAX, INT64_MAX},
};

static void every_operation_wraps_and_tells_what_was_there(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 24);
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        int64_t old = 77, now;
        assert_ok(emmap_patomic_store(file, 8, sums[i].before));
        assert_ok(sums[i].apply(file, 8, sums[i].value, &old));
        assert_int_equal(old, sums[i].before);
        assert_ok(emmap_patomic_load(file, 8, &now));
        assert_int_equal(now, sums[i].after);
        int64_t bytes[3] = {0, sums[i].after, 0};
        assert_file(path_of("file"), bytes, sizeof bytes);
    }
    assert_ok(emmap_patomic_store(file, 8, 1));
    assert_ok(emmap_patomic_add(file, 8, 1, NULL));
    assert_ok(emmap_patomic_compare_exchange(file, 8, 2, 3, NULL));
    int64_t now;
    assert_ok(emmap_patomic_load(file, 8, &now));
    assert_int_equal(now, 3);
    close_file(file);
}

static void compare_exchange_stores_exactly_when_it_matches(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 16);
    int64_t old, now;
    assert_ok(emmap_patomic_compare_exchange(file, 0, 0, INT64_MIN, &old));
    assert_int_equal(old, 0);
    assert_ok(emmap_patomic_compare_exchange(file, 0, 0, 5, &old));
    assert_int_equal(old, INT64_MIN);
    assert_ok(emmap_patomic_load(file, 0, &now));
    assert_int_equal(now, INT64_MIN);
    close_file(file);
}

typedef struct place {
    uint64_t offset, position;
    emmap_error error;
} place;

/* Calls on a file of 104 bytes. */
static const place places[] = {
    {0, 0, EMMAP_OK},
    {0, 96, EMMAP_OK},
    {0, 97, EINVAL},
    {0, 104, EINVAL},
    {0, 4, EMMAP_ALIGNMENT},
    {0, 95, EMMAP_ALIGNMENT},
    {0, INT64_MAX, EINVAL},
    {0, (uint64_t)1 << 63, EINVAL},
    {0, UINT64_MAX - 7, EINVAL},
    {0, UINT64_MAX, EINVAL},
    {4, 0, EMMAP_ALIGNMENT},
    {4, 4, EMMAP_OK},
    {4, 92, EMMAP_OK},
    {4, 93, EINVAL},
    {97, 0, EINVAL},
    {100, 0, EINVAL},
};

static void words_are_aligned_and_within_the_file(void **state)
{
    (void)state;
    close_file(open_file(path_of("file"), CREATE, 104));
    static const operation operations[] = {emmap_patomic_add, emmap_patomic_sub, emmap_patomic_and,
                                           emmap_patomic_or,  emmap_patomic_xor, emmap_patomic_exchange};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const place *const each = &places[i];
        emmap_file *const file = open_with(
            path_of("file"), (emmap_options){.flags = RW | EMMAP_OPEN_SHARED, .offset = each->offset});
        int64_t old;
        for (size_t k = 0; k < sizeof operations / sizeof *operations; k++)
            assert_error(each->error, operations[k](file, each->position, 0, &old));
        assert_error(each->error, emmap_patomic_load(file, each->position, &old));
        assert_error(each->error, emmap_patomic_store(file, each->position, 0));
        assert_error(each->error, emmap_patomic_compare_exchange(file, each->position, 0, 0, &old));
        close_file(file);
    }
    static const uint8_t zeros[104];
    assert_file(path_of("file"), zeros, sizeof zeros);
}

static void a_file_shorter_than_a_word_has_none(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 7);
    int64_t old;
    assert_error(EINVAL, emmap_patomic_load(file, 0, &old));
    assert_error(EINVAL, emmap_patomic_add(file, 0, 1, &old));
    close_file(file);
}

static void a_read_only_file_can_only_be_loaded(void **state)
{
    (void)state;
    const int64_t words[] = {42, 43};
    put_file(path_of("file"), words, sizeof words);
    static const uint32_t sharings[] = {EMMAP_OPEN_SHARED, EMMAP_OPEN_PRIVATE};
    for (int i = 0; i < 2; i++) {
        emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ | sharings[i], 0);
        int64_t old;
        assert_ok(emmap_patomic_load(file, 8, &old));
        assert_int_equal(old, 43);
        assert_error(EACCES, emmap_patomic_add(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_sub(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_and(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_or(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_xor(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_exchange(file, 0, 1, &old));
        assert_error(EACCES, emmap_patomic_store(file, 0, 1));
        assert_error(EACCES, emmap_patomic_compare_exchange(file, 0, 42, 1, &old));
        assert_error(EACCES, emmap_patomic_add(file, 3, 1, &old));
        close_file(file);
    }
    assert_file(path_of("file"), words, sizeof words);
}

enum { ROUNDS = 20000, CHILDREN = 3 };

static void count_up(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = RW | EMMAP_OPEN_SHARED}, &file));
    for (int i = 0; i < ROUNDS; i++) {
        require_ok(emmap_patomic_add(file, 0, 3, NULL));
        require_ok(emmap_patomic_sub(file, 0, 2, NULL));
        int64_t seen, old;
        require_ok(emmap_patomic_load(file, 8, &seen));
        do {
            old = seen;
            require_ok(emmap_patomic_compare_exchange(file, 8, old, old + 1, &seen));
        } while (seen != old);
    }
    emmap_free(file);
}

static void processes_lose_no_update(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    close_file(open_file(path, CREATE, 16));
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        children[i] = start_child(count_up, (void *)(uintptr_t)path);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(wait_child(children[i]), 0);
    const int64_t sum[] = {ROUNDS * CHILDREN, ROUNDS * CHILDREN};
    assert_file(path, sum, sizeof sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(every_operation_wraps_and_tells_what_was_there),
        folder_test(compare_exchange_stores_exactly_when_it_matches),
        folder_test(words_are_aligned_and_within_the_file),
        folder_test(a_file_shorter_than_a_word_has_none),
        folder_test(a_read_only_file_can_only_be_loaded),
        folder_test(processes_lose_no_update),
    };
    return cmocka_run_group_tests_name("patomic", tests, NULL, NULL);
}
