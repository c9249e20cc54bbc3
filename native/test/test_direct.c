/* Slices of a mapping: they see changes, outlive the file, and keep it from shrinking. */
#include <string.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static void a_slice_aliases_the_mapping(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 8, 8, &slice));
    assert_ok(write_bytes(file, 8, "abcdefgh", 8));
    assert_memory_equal(slice.data, "abcdefgh", 8);
    slice.data[0] = 'X';
    char got;
    assert_ok(read_into(file, 8, &got, 1));
    assert_int_equal(got, 'X');
    assert_false(emmap_slice_faulted(&slice));
    emmap_slice_release(&slice);
    assert_null(slice.data);
    emmap_slice_release(&slice);
    close_file(file);
}

static void a_store_to_a_slice_of_a_read_only_file_copies_its_page(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    close_file(open_file(path, CREATE, 64));
    emmap_file *const file = open_file(path, EMMAP_OPEN_READ, 0);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 8, 8, &slice));
    assert_ok(emmap_slice_copy_on_write(&slice));
    slice.data[0] = 'X';
    emmap_slice_release(&slice);
    assert_ok(emmap_slice_copy_on_write(&slice));
    close_file(file);
    char got;
    emmap_file *const again = open_file(path, EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_ok(read_into(again, 8, &got, 1));
    assert_int_equal(got, 0);
    assert_ok(emmap_pread_direct(again, 8, 8, &slice));
    assert_error(EACCES, emmap_slice_copy_on_write(&slice));
    assert_string_equal(emmap_last_failure()->syscall, "mprotect");
    emmap_slice_release(&slice);
    close_file(again);
}

static void a_slice_outlives_close_and_free(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 5000);
    assert_ok(write_bytes(file, 4992, "abcdefgh", 8));
    emmap_slice one, two;
    assert_ok(emmap_pread_direct(file, 4992, 8, &one));
    assert_ok(emmap_pread_direct(file, 0, 5000, &two));
    assert_ok(emmap_close(file));
    assert_memory_equal(one.data, "abcdefgh", 8);
    emmap_free(file);
    assert_memory_equal(two.data + 4992, "abcdefgh", 8);
    assert_false(emmap_slice_faulted(&two));
    emmap_slice_release(&two);
    assert_memory_equal(one.data, "abcdefgh", 8);
    assert_int_equal(mappings_of(path), 1);
    emmap_slice_release(&one);
    assert_int_equal(mappings_of(path), 0);
}

static void a_slice_keeps_the_mapping_that_it_is_of(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 64);
    emmap_slice old;
    assert_ok(emmap_pread_direct(file, 0, 64, &old));
    assert_ok(emmap_resize(file, 1 << 20, NULL));
    assert_ok(write_bytes(file, 0, "abc", 3));
    assert_memory_equal(old.data, "abc", 3);
    assert_int_equal(mappings_of(path), 2);
    emmap_slice_release(&old);
    assert_int_equal(mappings_of(path), 1);
    close_file(file);
}

static void shrinking_is_refused_exactly_below_a_live_slice(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 10000);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 100, 400, &slice));
    assert_error(EBUSY, emmap_resize(file, 499, NULL));
    assert_int_equal(size_of_file(path), 10000);
    uint64_t size;
    assert_ok(emmap_size(file, &size));
    assert_int_equal(size, 10000);
    assert_ok(emmap_resize(file, 500, NULL));
    assert_int_equal(size_of_file(path), 500);
    emmap_slice_release(&slice);
    assert_ok(emmap_resize(file, 1, NULL));
    assert_int_equal(size_of_file(path), 1);
    close_file(file);
}

/* Each of several slices blocks as long as it lives itself. */
static void every_slice_counts_for_itself(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 10000);
    emmap_slice low, middle, high, again;
    assert_ok(emmap_pread_direct(file, 0, 10, &low));
    assert_ok(emmap_pread_direct(file, 1000, 1000, &middle));
    assert_ok(emmap_pread_direct(file, 0, 10000, &high));
    assert_ok(emmap_pread_direct(file, 0, 10000, &again));
    assert_error(EBUSY, emmap_resize(file, 9999, NULL));
    emmap_slice_release(&high);
    assert_error(EBUSY, emmap_resize(file, 9999, NULL));
    emmap_slice_release(&again);
    assert_ok(emmap_resize(file, 9999, NULL));
    assert_error(EBUSY, emmap_resize(file, 1999, NULL));
    assert_ok(emmap_resize(file, 2000, NULL));
    emmap_slice_release(&middle);
    assert_error(EBUSY, emmap_resize(file, 9, NULL));
    assert_ok(emmap_resize(file, 10, NULL));
    emmap_slice_release(&low);
    close_file(file);
}

static void a_slice_of_an_older_mapping_counts_too(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 5000);
    emmap_slice old;
    assert_ok(emmap_pread_direct(file, 4000, 1000, &old));
    assert_ok(emmap_resize(file, 20000, NULL));
    assert_error(EBUSY, emmap_resize(file, 4999, NULL));
    assert_ok(emmap_resize(file, 5000, NULL));
    emmap_slice_release(&old);
    assert_ok(emmap_resize(file, 1, NULL));
    close_file(file);
}

static void a_line_blocks_no_more_than_itself(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 10000);
    assert_ok(write_bytes(file, 0, "a line\n", 7));
    emmap_slice line;
    bytes copy = {0};
    const emmap_sink sink = sink_into(&copy);
    assert_ok(emmap_read_line_direct(file, &line, &sink));
    assert_int_equal(line.length, 7);
    assert_error(EBUSY, emmap_resize(file, 6, NULL));
    assert_ok(emmap_resize(file, 7, NULL));
    assert_memory_equal(line.data, "a line\n", 7);
    emmap_slice_release(&line);
    close_file(file);
}

static void slices_may_be_returned_in_any_order(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    emmap_file *const file = open_file(path_of("file"), CREATE, COUNT);
    static emmap_slice slices[COUNT];
    for (int i = 0; i < COUNT; i++)
        assert_ok(emmap_pread_direct(file, (uint64_t)i, 1, &slices[i]));
    for (int i = 0; i < COUNT; i++)
        emmap_slice_release(&slices[(i * 7 + 3) % COUNT]);
    assert_ok(emmap_resize(file, 1, NULL));
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_slice_aliases_the_mapping),
        folder_test(a_store_to_a_slice_of_a_read_only_file_copies_its_page),
        folder_test(a_slice_outlives_close_and_free),
        folder_test(a_slice_keeps_the_mapping_that_it_is_of),
        folder_test(shrinking_is_refused_exactly_below_a_live_slice),
        folder_test(every_slice_counts_for_itself),
        folder_test(a_slice_of_an_older_mapping_counts_too),
        folder_test(a_line_blocks_no_more_than_itself),
        folder_test(slices_may_be_returned_in_any_order),
    };
    return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
