/* The options of open, and their combinations. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static const char *const names[] = {
    "read",      "write",     "create",   "truncate",  "shared",      "private",       "shared_validate",
    "keep_size", "exact",     "direct",   "anon",      "auto_unlink", "fixed",         "fixed_size",
    "lock",      "exclusive", "nolock",   "noreserve", "populate",    "nonblock",      "sync",
    "hugetlb",   "huge_2mb",  "huge_1gb", "nocache",   "debug",       "uninitialized", "fit",
};

static void every_name_of_a_flag_is_accepted_without_a_value_only(void **state)
{
    (void)state;
    const uint64_t value = 1;
    uint32_t all = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        emmap_options options = {0};
        assert_ok(emmap_option_set(&options, names[i], NULL));
        all |= options.flags;
        assert_error(EMMAP_BADARG, emmap_option_set(&options, names[i], &value));
    }
    assert_int_equal(all, ((uint64_t)EMMAP_OPEN_EXACT << 1) - 1);
}

static void options_with_a_value_want_one(void **state)
{
    (void)state;
    emmap_options options = {0};
    const uint64_t value = 0600;
    static const char *const valued[] = {"address",      "chmod",  "mode",   "size",
                                         "max_inc_size", "offset", "length", "lock_timeout"};
    for (size_t i = 0; i < sizeof valued / sizeof *valued; i++) {
        assert_error(EMMAP_BADARG, emmap_option_set(&options, valued[i], NULL));
        assert_ok(emmap_option_set(&options, valued[i], &value));
    }
    assert_int_equal(options.address, value);
    assert_int_equal(options.mode, value);
    assert_true(options.has_mode);
    assert_int_equal(options.size, value);
    assert_int_equal(options.max_inc_size, value);
    assert_int_equal(options.offset, value);
    assert_int_equal(options.length, value);
    assert_int_equal(options.lock_timeout, value);
    assert_true(options.has_lock_timeout);
    const uint64_t too_much = 010000;
    assert_error(EMMAP_BADARG, emmap_option_set(&options, "chmod", &too_much));
    assert_error(EMMAP_BADARG, emmap_option_set(&options, "mode", &too_much));
    assert_int_equal(options.mode, value);
}

static void unknown_names_are_badarg(void **state)
{
    (void)state;
    const uint64_t value = 1;
    static const char *const unknown[] = {"", "reed", "READ", "sizes", "read ", "rea"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        emmap_options options = {0};
        assert_error(EMMAP_BADARG, emmap_option_set(&options, unknown[i], NULL));
        assert_error(EMMAP_BADARG, emmap_option_set(&options, unknown[i], &value));
        assert_int_equal(options.flags, 0);
    }
}

static void the_last_of_lock_and_nolock_wins(void **state)
{
    (void)state;
    emmap_options options = {0};
    assert_ok(emmap_option_set(&options, "nolock", NULL));
    assert_int_equal(options.flags, EMMAP_OPEN_NOLOCK);
    assert_ok(emmap_option_set(&options, "lock", NULL));
    assert_int_equal(options.flags, 0);
}

static void contradictory_flags_are_refused_and_create_nothing(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    static const emmap_options bad[] = {
        {.flags = CREATE | EMMAP_OPEN_PRIVATE, .size = 64},
        {.flags = RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_PRIVATE | EMMAP_OPEN_SHARED_VALIDATE, .size = 64},
        {.flags = RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_PRIVATE | EMMAP_OPEN_SYNC, .size = 64},
        {.flags = CREATE | EMMAP_OPEN_HUGE_2MB | EMMAP_OPEN_HUGE_1GB, .size = 64},
        {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_CREATE, .size = 64},
        {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_TRUNCATE, .size = 64},
        {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_EXCLUSIVE, .size = 64},
        {.flags = CREATE | EMMAP_OPEN_TRUNCATE},
        {.flags = RW | EMMAP_OPEN_ANON},
        {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_ANON, .size = 64},
        {.flags = RW | EMMAP_OPEN_ANON | EMMAP_OPEN_AUTO_UNLINK, .size = 64},
        {.flags = CREATE | EMMAP_OPEN_FIXED, .size = 64},
        {.flags = CREATE, .size = 64, .address = 4097},
        {.flags = CREATE, .size = (uint64_t)1 << 63},
        {.flags = CREATE, .size = UINT64_MAX},
        {.flags = CREATE, .length = (uint64_t)1 << 63},
        {.flags = CREATE, .size = 64, .offset = (uint64_t)1 << 63},
        {.flags = CREATE, .size = 64, .offset = UINT64_MAX - 7},
        {.flags = CREATE, .size = 64, .max_inc_size = (uint64_t)1 << 63},
        {.flags = CREATE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_error(EINVAL, try_open(path, bad[i]));
        assert_non_null(emmap_last_failure()->reason);
        assert_false(exists(path));
    }
    assert_error(EFBIG, try_open(path, (emmap_options){.flags = CREATE, .size = 64, .offset = INT64_MAX}));
    assert_false(exists(path));
}

static void harmless_flags_change_nothing(void **state)
{
    (void)state;
    static const uint32_t harmless[] = {
        EMMAP_OPEN_NOCACHE,    EMMAP_OPEN_UNINITIALIZED,
        EMMAP_OPEN_DEBUG,      EMMAP_OPEN_NONBLOCK,
        EMMAP_OPEN_DIRECT,     EMMAP_OPEN_NOLOCK,
        EMMAP_OPEN_POPULATE,   EMMAP_OPEN_POPULATE | EMMAP_OPEN_NONBLOCK,
        EMMAP_OPEN_NORESERVE,  EMMAP_OPEN_SHARED_VALIDATE,
        EMMAP_OPEN_FIXED_SIZE, EMMAP_OPEN_HUGETLB,
        EMMAP_OPEN_EXCLUSIVE,
    };
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        emmap_file *const file = open_file(path_of("file"), CREATE | harmless[i], 5000);
        assert_ok(write_bytes(file, 4990, "0123456789", 10));
        emmap_info info;
        emmap_describe(file, &info);
        assert_int_equal(info.flags, CREATE | harmless[i]);
        assert_int_equal(info.size, 5000);
        close_file(file);
        size_t length;
        const uint8_t *const content = get_file(path_of("file"), &length);
        assert_int_equal(length, 5000);
        assert_memory_equal(content + 4990, "0123456789", 10);
        assert_int_equal(unlink(path_of("file")), 0);
    }
}

static void flags_that_are_implied_are_made_explicit(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "12345678", 8);
    emmap_info info;
    emmap_file *file = open_file(path, 0, 0);
    emmap_describe(file, &info);
    assert_int_equal(info.flags, EMMAP_OPEN_READ | EMMAP_OPEN_PRIVATE);
    assert_true(info.existed);
    assert_string_equal(info.path, path);
    assert_int_equal(info.size, 8);
    close_file(file);
    file = open_file(path, EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED_VALIDATE, 0);
    emmap_describe(file, &info);
    assert_int_equal(info.flags, RW | EMMAP_OPEN_SHARED | EMMAP_OPEN_SHARED_VALIDATE);
    assert_ok(emmap_close(file));
    emmap_describe(file, &info);
    assert_int_equal(info.size, 0);
    assert_string_equal(info.path, path);
    emmap_free(file);
}

static void map_sync_without_persistent_memory_is_not_supported(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    assert_error(ENOTSUP, try_open(path, (emmap_options){.flags = CREATE | EMMAP_OPEN_SYNC, .size = 4096}));
    assert_false(exists(path));
}

/* The machine may have no huge pages. With noreserve the kernel needs them only at the access. */
static void huge_pages_come_whole(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, EMMAP_OPEN_HUGE_2MB};
    for (int i = 0; i < 2; i++) {
        emmap_file *const file =
            open_with(NULL, (emmap_options){.flags = RW | EMMAP_OPEN_ANON | EMMAP_OPEN_HUGETLB |
                                                     EMMAP_OPEN_SHARED | EMMAP_OPEN_NORESERVE | sizes[i],
                                            .size = 5000});
        emmap_info info;
        emmap_describe(file, &info);
        assert_int_equal(info.size, 2 << 20);
        char got = 1;
        const emmap_error error = read_into(file, 5000, &got, 1);
        assert_true((error == EMMAP_OK && got == 0) || error == EFAULT);
        close_file(file);
    }
}

static void a_fixed_address_is_taken_or_refused(void **state)
{
    (void)state;
    const size_t length = 65536;
    void *const place = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(place, MAP_FAILED);
    *(volatile char *)place = 'x';
    emmap_options options = {
        .flags = CREATE | EMMAP_OPEN_FIXED, .size = 4096, .address = (uint64_t)(uintptr_t)place};
    assert_error(EEXIST, try_open(path_of("file"), options));
    assert_int_equal(*(volatile char *)place, 'x');
    assert_false(exists(path_of("file")));
    munmap(place, length);

    emmap_file *const file = open_with(path_of("file"), options);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, 1, &slice));
    assert_ptr_equal(slice.data, place);
    emmap_slice_release(&slice);
    close_file(file);
}

static void a_fixed_mapping_keeps_its_size_and_its_file(void **state)
{
    (void)state;
    void *const place = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(place, 65536);
    emmap_file *const file =
        open_with(path_of("file"), (emmap_options){.flags = CREATE | EMMAP_OPEN_FIXED,
                                                   .size = 4096,
                                                   .address = (uint64_t)(uintptr_t)place});
    assert_error(ENOTSUP, emmap_resize(file, 8192, NULL));
    assert_error(ENOTSUP, emmap_resize(file, 100, NULL));
    assert_int_equal(size_of_file(path_of("file")), 4096);
    uint64_t size;
    assert_ok(emmap_resize(file, 4096, &size));
    assert_int_equal(size, 4096);
    close_file(file);
}

static void a_fixed_address_beyond_memory_fails(void **state)
{
    (void)state;
    static const uint64_t places[] = {(uint64_t)1 << 63, UINT64_MAX - 4095, (uint64_t)1 << 56};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const emmap_options options = {
            .flags = CREATE | EMMAP_OPEN_FIXED, .size = 4096, .address = places[i]};
        assert_int_not_equal(try_open(path_of("file"), options), EMMAP_OK);
        assert_false(exists(path_of("file")));
    }
}

static void an_address_alone_is_a_hint(void **state)
{
    (void)state;
    void *const place = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    emmap_file *const file = open_with(
        path_of("file"), (emmap_options){.flags = CREATE, .size = 64, .address = (uint64_t)(uintptr_t)place});
    assert_int_equal(mappings_of(path_of("file")), 1);
    close_file(file);
    munmap(place, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_a_flag_is_accepted_without_a_value_only),
        cmocka_unit_test(options_with_a_value_want_one),
        cmocka_unit_test(unknown_names_are_badarg),
        cmocka_unit_test(the_last_of_lock_and_nolock_wins),
        folder_test(contradictory_flags_are_refused_and_create_nothing),
        folder_test(harmless_flags_change_nothing),
        folder_test(flags_that_are_implied_are_made_explicit),
        folder_test(map_sync_without_persistent_memory_is_not_supported),
        folder_test(huge_pages_come_whole),
        folder_test(a_fixed_address_is_taken_or_refused),
        folder_test(a_fixed_mapping_keeps_its_size_and_its_file),
        folder_test(a_fixed_address_beyond_memory_fails),
        folder_test(an_address_alone_is_a_hint),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
