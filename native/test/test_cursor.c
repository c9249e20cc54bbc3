/* Reads and writes at the cursor. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static uint64_t cursor_of(emmap_file *file)
{
    uint64_t position;
    assert_ok(emmap_position(file, 0, EMMAP_FROM_CURSOR, &position));
    return position;
}

static void reads_go_on_where_the_last_one_ended(void **state)
{
    (void)state;
    put_file(path_of("file"), "0123456789", 10);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ, 0);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_read(file, 4, &sink));
    assert_memory_equal(got.data, "0123", 4);
    assert_ok(emmap_read(file, 4, &sink));
    assert_memory_equal(got.data, "4567", 4);
    assert_ok(emmap_read(file, 4, &sink));
    assert_int_equal(got.length, 2);
    assert_memory_equal(got.data, "89", 2);
    assert_error(EMMAP_EOF, emmap_read(file, 4, &sink));
    assert_int_equal(cursor_of(file), 10);
    assert_error(EMMAP_EOF, emmap_read(file, 0, &sink));
    uint64_t position;
    assert_ok(emmap_position(file, 4, EMMAP_FROM_START, &position));
    assert_ok(emmap_read(file, 0, &sink));
    assert_int_equal(got.length, 0);
    assert_ok(emmap_position(file, 0, EMMAP_FROM_END, &position));
    assert_error(EINVAL, emmap_read(file, (uint64_t)1 << 63, &sink));
    assert_int_equal(cursor_of(file), 10);
    bytes_free(&got);
    close_file(file);
}

static void writes_move_the_cursor_only_when_they_succeed(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 10);
    const struct iovec list[] = {{.iov_base = "abc", .iov_len = 3}, {.iov_base = "def", .iov_len = 3}};
    assert_ok(emmap_write(file, list, 2));
    assert_int_equal(cursor_of(file), 6);
    assert_error(EINVAL, emmap_write(file, list, 2));
    assert_int_equal(cursor_of(file), 6);
    assert_ok(emmap_write(file, list, 1));
    assert_int_equal(cursor_of(file), 9);
    assert_file(path_of("file"), "abcdefabc\0", 10);
    close_file(file);
}

static void position_goes_where_it_can(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 10);
    static const struct {
        int64_t offset;
        emmap_whence whence;
        emmap_error error;
        uint64_t result;
    } moves[] = {
        {0, EMMAP_FROM_START, EMMAP_OK, 0},
        {7, EMMAP_FROM_START, EMMAP_OK, 7},
        {-1, EMMAP_FROM_START, EINVAL, 7},
        {-2, EMMAP_FROM_CURSOR, EMMAP_OK, 5},
        {-6, EMMAP_FROM_CURSOR, EINVAL, 5},
        {INT64_MIN, EMMAP_FROM_CURSOR, EINVAL, 5},
        {INT64_MAX, EMMAP_FROM_CURSOR, EINVAL, 5},
        {0, EMMAP_FROM_END, EMMAP_OK, 10},
        {-10, EMMAP_FROM_END, EMMAP_OK, 0},
        {-11, EMMAP_FROM_END, EINVAL, 0},
        {INT64_MIN, EMMAP_FROM_END, EINVAL, 0},
        {5, EMMAP_FROM_END, EMMAP_OK, 15},
        {INT64_MAX, EMMAP_FROM_START, EMMAP_OK, INT64_MAX},
        {0, EMMAP_FROM_CURSOR, EMMAP_OK, INT64_MAX},
        {1, EMMAP_FROM_CURSOR, EINVAL, INT64_MAX},
        {INT64_MAX, EMMAP_FROM_END, EINVAL, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        uint64_t result = moves[i].result;
        assert_error(moves[i].error, emmap_position(file, moves[i].offset, moves[i].whence, &result));
        assert_int_equal(result, moves[i].result);
        assert_int_equal(cursor_of(file), moves[i].result);
    }
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_error(EMMAP_EOF, emmap_read(file, 1, &sink));
    assert_error(EMMAP_EOF, emmap_read_line(file, &sink));
    assert_error(EINVAL, emmap_write(file, &(struct iovec){.iov_base = "x", .iov_len = 1}, 1));
    close_file(file);
}

static void a_door_may_move_the_cursor_itself(void **state)
{
    (void)state;
    put_file(path_of("file"), "0123456789", 10);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ, 0);
    emmap_control *const control = emmap_file_control(file);
    control->cursor = 8;
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_read(file, 1, &sink));
    assert_int_equal(got.data[0], '8');
    assert_int_equal(control->cursor, 9);
    control->cursor = UINT64_MAX;
    assert_error(EINVAL, emmap_read(file, 1, &sink));
    bytes_free(&got);
    close_file(file);
}

static void lines_end_with_their_newline_or_the_file(void **state)
{
    (void)state;
    static const char text[] = "one\n\n\nlast but \0one\ntwo\r\n\r\nkept\r\r\nno end\r";
    static const char *const lines[] = {"one\n", "\n", "\n",       "last but \0one\n",
                                        "two\n", "\n", "kept\r\n", "no end\r"};
    static const size_t lengths[] = {4, 1, 1, 14, 4, 1, 6, 7};
    /* A "\r" is left out of these lines, so they are no bytes of the mapping. */
    static const bool copied[] = {false, false, false, false, true, true, true, false};
    enum { LINES = sizeof lengths / sizeof *lengths };
    put_file(path_of("file"), text, sizeof text - 1);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ, 0);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    for (int i = 0; i < LINES; i++) {
        assert_ok(emmap_read_line(file, &sink));
        assert_int_equal(got.length, lengths[i]);
        assert_memory_equal(got.data, lines[i], lengths[i]);
    }
    assert_error(EMMAP_EOF, emmap_read_line(file, &sink));
    uint64_t position;
    assert_ok(emmap_position(file, 0, EMMAP_FROM_START, &position));
    for (int i = 0; i < LINES; i++) {
        emmap_slice slice;
        assert_ok(emmap_read_line_direct(file, &slice, &sink));
        assert_int_equal(slice.mapping == NULL, copied[i]);
        assert_int_equal(copied[i] ? got.length : slice.length, lengths[i]);
        assert_memory_equal(copied[i] ? got.data : slice.data, lines[i], lengths[i]);
        emmap_slice_release(&slice);
    }
    emmap_slice slice;
    assert_error(EMMAP_EOF, emmap_read_line_direct(file, &slice, &sink));
    assert_null(slice.mapping);
    bytes_free(&got);
    close_file(file);
}

static void a_line_may_be_longer_than_a_piece(void **state)
{
    (void)state;
    const size_t length = 2 * EMMAP_PIECE + 100;
    char *const text = malloc(length);
    memset(text, 'x', length);
    text[length - 2] = '\n';
    put_file(path_of("file"), text, length);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ, 0);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_read_line(file, &sink));
    assert_int_equal(got.length, length - 1);
    assert_memory_equal(got.data, text, length - 1);
    assert_ok(emmap_read_line(file, &sink));
    assert_int_equal(got.length, 1);
    bytes_free(&got);
    close_file(file);
    free(text);
}

static void direct_reads_move_the_cursor_too(void **state)
{
    (void)state;
    put_file(path_of("file"), "0123456789", 10);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ, 0);
    emmap_slice slice;
    assert_ok(emmap_read_direct(file, 0, &slice));
    assert_int_equal(slice.length, 0);
    emmap_slice_release(&slice);
    assert_ok(emmap_read_direct(file, 4, &slice));
    assert_memory_equal(slice.data, "0123", 4);
    emmap_slice_release(&slice);
    assert_ok(emmap_read_direct(file, 100, &slice));
    assert_int_equal(slice.length, 6);
    emmap_slice_release(&slice);
    assert_error(EMMAP_EOF, emmap_read_direct(file, 1, &slice));
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(reads_go_on_where_the_last_one_ended),
        folder_test(writes_move_the_cursor_only_when_they_succeed),
        folder_test(position_goes_where_it_can),
        folder_test(a_door_may_move_the_cursor_itself),
        folder_test(lines_end_with_their_newline_or_the_file),
        folder_test(a_line_may_be_longer_than_a_piece),
        folder_test(direct_reads_move_the_cursor_too),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
