/* Write-out and advice. That bytes survive a power cut can't be shown here; that each call goes through, refuses what
 * it should and loses nothing can. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static void every_kind_of_file_can_be_synced(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    static const struct {
        uint32_t flags;
        uint64_t offset;
    } kinds[] = {
        {CREATE, 0},
        {CREATE, 5001},
        {EMMAP_OPEN_READ, 0},
        {EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 5001},
        {RW | EMMAP_OPEN_PRIVATE, 0},
        {RW | EMMAP_OPEN_ANON | EMMAP_OPEN_SHARED, 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        emmap_file *const file =
            open_with(path, (emmap_options){.flags = kinds[i].flags,
                                            .offset = kinds[i].offset,
                                            .size = kinds[i].flags & EMMAP_OPEN_WRITE ? 10000 : 0});
        assert_ok(emmap_flush(file));
        assert_ok(emmap_datasync(file));
        assert_ok(emmap_sync(file));
        assert_ok(emmap_sync(file));
        close_file(file);
    }
}

static void a_relative_path_is_synced_after_a_change_of_directory(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(path_of("")), 0);
    emmap_file *const file = open_file("file", CREATE, 100);
    assert_int_equal(chdir(before), 0);
    assert_ok(emmap_sync(file));
    close_file(file);
}

static void a_file_whose_directory_was_renamed_can_be_synced(void **state)
{
    (void)state;
    emmap_options options = {.flags = CREATE, .size = 100};
    char name[64];
    snprintf(name, sizeof name, "%s", path_of("before"));
    assert_int_equal(mkdir(name, 0700), 0);
    emmap_file *const file = open_with(path_of("before/file"), options);
    assert_int_equal(rename(name, path_of("after")), 0);
    assert_ok(emmap_sync(file));
    close_file(file);
}

static void advice_of_every_kind_is_taken(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {CREATE, RW | EMMAP_OPEN_PRIVATE, EMMAP_OPEN_READ};
    for (int kind = 0; kind < 3; kind++) {
        emmap_file *const file =
            open_with(path_of("file"), (emmap_options){.flags = kinds[kind],
                                                       .offset = 100,
                                                       .size = kinds[kind] & EMMAP_OPEN_WRITE ? 20000 : 0});
        if (kinds[kind] & EMMAP_OPEN_WRITE)
            assert_ok(write_bytes(file, 8000, "written", 7));
        for (int advice = EMMAP_ADVICE_NORMAL; advice <= EMMAP_ADVICE_DONT_NEED; advice++) {
            assert_ok(emmap_advise(file, 0, 0, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 5000, 1, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 19999, 100000, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 20000, 1, (emmap_advice)advice));
            assert_ok(emmap_advise(file, INT64_MAX, INT64_MAX, (emmap_advice)advice));
            assert_error(EINVAL, emmap_advise(file, (uint64_t)1 << 63, 1, (emmap_advice)advice));
            assert_error(EINVAL, emmap_advise(file, 0, UINT64_MAX - 7, (emmap_advice)advice));
        }
        assert_error(EINVAL, emmap_advise(file, 0, 0, (emmap_advice)(EMMAP_ADVICE_DONT_NEED + 1)));
        char got[7];
        assert_ok(read_into(file, 8000, got, 7));
        assert_memory_equal(got, "written", 7);
        close_file(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(every_kind_of_file_can_be_synced),
        folder_test(a_relative_path_is_synced_after_a_change_of_directory),
        folder_test(a_file_whose_directory_was_renamed_can_be_synced),
        folder_test(advice_of_every_kind_is_taken),
    };
    return cmocka_run_group_tests_name("durability", tests, NULL, NULL);
}
