/* Copying reads and writes at positions: the bytes that they move, and the calls that they refuse. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)
#define HUGE_1 ((uint64_t)1 << 63)
#define HUGE_2 UINT64_MAX
#define HUGE_3 (UINT64_MAX - 7)
#define MOST ((uint64_t)INT64_MAX)

typedef struct bound {
    uint64_t position, length;
    emmap_error read;
    uint64_t moved;
    emmap_error write;
} bound;

/* Calls on a file of 100 bytes. */
static const bound bounds[] = {
    {0, 1, EMMAP_OK, 1, EMMAP_OK},      {0, 100, EMMAP_OK, 100, EMMAP_OK},   {0, 101, EMMAP_OK, 100, EINVAL},
    {99, 1, EMMAP_OK, 1, EMMAP_OK},     {99, 2, EMMAP_OK, 1, EINVAL},        {100, 1, EMMAP_EOF, 0, EINVAL},
    {101, 1, EMMAP_EOF, 0, EINVAL},     {0, 0, EMMAP_OK, 0, EMMAP_OK},       {100, 0, EMMAP_EOF, 0, EMMAP_OK},
    {5000, 0, EMMAP_EOF, 0, EMMAP_OK},  {MOST, 0, EMMAP_EOF, 0, EMMAP_OK},   {MOST, 1, EMMAP_EOF, 0, EINVAL},
    {MOST, MOST, EMMAP_EOF, 0, EINVAL}, {0, MOST, EMMAP_OK, 100, EINVAL},    {99, MOST, EMMAP_OK, 1, EINVAL},
    {HUGE_1, 0, EINVAL, 0, EINVAL},     {HUGE_1, 1, EINVAL, 0, EINVAL},      {HUGE_2, 1, EINVAL, 0, EINVAL},
    {HUGE_3, 8, EINVAL, 0, EINVAL},     {HUGE_3, 16, EINVAL, 0, EINVAL},     {0, HUGE_1, EINVAL, 0, EINVAL},
    {0, HUGE_2, EINVAL, 0, EINVAL},     {0, HUGE_3, EINVAL, 0, EINVAL},      {1, HUGE_2, EINVAL, 0, EINVAL},
    {50, HUGE_3, EINVAL, 0, EINVAL},    {HUGE_2, HUGE_2, EINVAL, 0, EINVAL},
};

static void reads_obey_the_bounds(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 100);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const bound *const each = &bounds[i];
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        assert_error(each->read, emmap_pread(file, each->position, each->length, &sink));
        assert_int_equal(got.length, each->moved);
        assert_int_equal(got.calls, each->read == EMMAP_OK);
        bytes_free(&got);
        emmap_slice slice;
        assert_error(each->read, emmap_pread_direct(file, each->position, each->length, &slice));
        assert_int_equal(slice.length, each->moved);
        emmap_slice_release(&slice);
        uint8_t room[128];
        const struct iovec vector = {.iov_base = room, .iov_len = (size_t)each->length};
        uint64_t moved = 77;
        assert_error(each->read, emmap_preadv(file, each->position, &vector, 1, &moved));
        assert_int_equal(moved, each->moved);
    }
    close_file(file);
}

static void writes_obey_the_bounds_and_change_nothing_when_refused(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 100);
    uint8_t before[100];
    memset(before, '.', sizeof before);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const bound *const each = &bounds[i];
        assert_ok(write_bytes(file, 0, before, sizeof before));
        uint8_t source[128];
        memset(source, 'x', sizeof source);
        assert_error(each->write, write_bytes(file, each->position, source, (size_t)each->length));
        uint8_t after[100];
        memcpy(after, before, sizeof after);
        if (each->write == EMMAP_OK && each->length > 0)
            memset(after + each->position, 'x', (size_t)each->length);
        assert_file(path, after, sizeof after);
    }
    assert_int_equal(size_of_file(path), 100);
    close_file(file);
}

static void a_read_only_file_is_not_written(void **state)
{
    (void)state;
    put_file(path_of("file"), "0123456789", 10);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_error(EACCES, write_bytes(file, 0, "x", 1));
    assert_error(EACCES, write_bytes(file, 0, "", 0));
    assert_error(EACCES, write_bytes(file, 100, "x", 1));
    assert_error(EACCES, emmap_write(file, &(struct iovec){.iov_base = "x", .iov_len = 1}, 1));
    close_file(file);
    assert_file(path_of("file"), "0123456789", 10);
}

static void vectors_are_taken_in_order_empty_ones_too(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 16);
    const struct iovec out[] = {
        {.iov_base = NULL, .iov_len = 0}, {.iov_base = "ab", .iov_len = 2},
        {.iov_base = "", .iov_len = 0},   {.iov_base = "cdefg", .iov_len = 5},
        {.iov_base = NULL, .iov_len = 0}, {.iov_base = "h", .iov_len = 1},
        {.iov_base = NULL, .iov_len = 0},
    };
    assert_ok(emmap_pwrite(file, 3, out, 7));
    assert_file(path_of("file"), "\0\0\0abcdefgh\0\0\0\0", 16);
    assert_ok(emmap_pwrite(file, 0, NULL, 0));
    assert_ok(emmap_pwrite(file, 16, out, 1));

    char one[3] = {0}, two[4] = {0}, three[32];
    memset(three, '#', sizeof three);
    const struct iovec in[] = {
        {.iov_base = one, .iov_len = 2},  {.iov_base = NULL, .iov_len = 0},   {.iov_base = two, .iov_len = 3},
        {.iov_base = NULL, .iov_len = 0}, {.iov_base = three, .iov_len = 32},
    };
    uint64_t moved;
    assert_ok(emmap_preadv(file, 3, in, 5, &moved));
    assert_int_equal(moved, 13);
    assert_string_equal(one, "ab");
    assert_string_equal(two, "cde");
    assert_memory_equal(three, "fgh\0\0\0\0", 8);
    assert_int_equal(three[8], '#');
    assert_ok(emmap_preadv(file, 0, NULL, 0, &moved));
    assert_int_equal(moved, 0);
    close_file(file);
}

static void lengths_that_overflow_together_are_einval(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 16);
    const struct iovec list[] = {
        {.iov_base = NULL, .iov_len = SIZE_MAX / 2},
        {.iov_base = NULL, .iov_len = SIZE_MAX / 2},
        {.iov_base = NULL, .iov_len = 3},
    };
    uint64_t moved = 77;
    assert_error(EINVAL, emmap_pwrite(file, 0, list, 3));
    assert_error(EINVAL, emmap_preadv(file, 0, list, 3, &moved));
    assert_int_equal(moved, 0);
    close_file(file);
}

static void copies_longer_than_a_piece_are_whole(void **state)
{
    (void)state;
    static const size_t lengths[] = {EMMAP_PIECE - 1, EMMAP_PIECE, EMMAP_PIECE + 1, 3 * EMMAP_PIECE + 17};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t length = lengths[i];
        uint8_t *const source = malloc(length);
        for (size_t at = 0; at < length; at++)
            source[at] = (uint8_t)(at * 31 + at / 251);
        emmap_file *const file = open_file(path_of("file"), CREATE, length + 5);
        const struct iovec list[] = {
            {.iov_base = source, .iov_len = 1000},
            {.iov_base = source + 1000, .iov_len = length - 1000 - 7},
            {.iov_base = source + length - 7, .iov_len = 7},
        };
        assert_ok(emmap_pwrite(file, 5, list, 3));
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        assert_ok(emmap_pread(file, 5, length, &sink));
        assert_int_equal(got.length, length);
        assert_int_equal(got.calls, 1);
        assert_memory_equal(got.data, source, length);
        memset(got.data, 0, length);
        const struct iovec back[] = {
            {.iov_base = got.data, .iov_len = 13},
            {.iov_base = got.data + 13, .iov_len = length - 13},
        };
        uint64_t moved;
        assert_ok(emmap_preadv(file, 5, back, 2, &moved));
        assert_int_equal(moved, length);
        assert_memory_equal(got.data, source, length);
        bytes_free(&got);
        assert_error(EINVAL, write_bytes(file, 6, source, length));
        close_file(file);
        free(source);
    }
}

static void *refuse(void *context, size_t length)
{
    (void)length;
    ++*(int *)context;
    return NULL;
}

static void a_sink_without_memory_is_enomem(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 4 * EMMAP_PIECE);
    int calls = 0;
    const emmap_sink sink = {.allocate = refuse, .context = &calls};
    assert_error(ENOMEM, emmap_pread(file, 0, 8, &sink));
    assert_error(ENOMEM, emmap_pread(file, 0, 2 * EMMAP_PIECE, &sink));
    assert_error(ENOMEM, emmap_read(file, 8, &sink));
    assert_error(ENOMEM, emmap_read_line(file, &sink));
    assert_int_equal(calls, 4);
    uint64_t position;
    assert_ok(emmap_position(file, 0, EMMAP_FROM_CURSOR, &position));
    assert_int_equal(position, 0);
    /* The refused calls have released everything. */
    assert_ok(emmap_resize(file, 8, NULL));
    close_file(file);
}

static void files_of_one_path_see_each_other(void **state)
{
    (void)state;
    emmap_file *const one = open_file(path_of("file"), CREATE, 64);
    emmap_file *const two = open_file(path_of("file"), RW | EMMAP_OPEN_SHARED, 0);
    assert_ok(write_bytes(one, 10, "hello", 5));
    char got[6] = {0};
    assert_ok(read_into(two, 10, got, 5));
    assert_string_equal(got, "hello");
    close_file(one);
    assert_ok(read_into(two, 10, got, 5));
    close_file(two);
}

/* ---- Bytes of the file itself ---- */

enum { SPREAD = 8 * EMMAP_PIECE };

static void fill(uint8_t *bytes)
{
    for (size_t at = 0; at < SPREAD; at++)
        bytes[at] = (uint8_t)(at * 31 + at / 251);
}

/* The source of the written bytes. */
typedef struct origin {
    const char *name;
    uint32_t flags;
    bool other_handle;
    bool earlier_mapping;
    bool at_cursor;
} origin;

static const origin origins[] = {
    {.name = "the mapping"},
    {.name = "the mapping, at the cursor", .at_cursor = true},
    {.name = "the mapping, without lock", .flags = EMMAP_OPEN_NOLOCK},
    {.name = "another handle", .other_handle = true},
    {.name = "another handle, at the cursor", .other_handle = true, .at_cursor = true},
    {.name = "an earlier mapping", .earlier_mapping = true},
    {.name = "a private mapping", .flags = EMMAP_OPEN_PRIVATE},
};

typedef struct overlapping {
    emmap_file *file, *other;
    emmap_slice slice;
    uint8_t *expected;
    bool at_cursor;
} overlapping;

static overlapping open_overlapping(const origin *from)
{
    overlapping self = {.at_cursor = from->at_cursor, .expected = malloc(SPREAD)};
    const uint32_t flags = RW | EMMAP_OPEN_CREATE | (from->flags ? from->flags : EMMAP_OPEN_SHARED);
    self.file = open_file(path_of("file"), flags, SPREAD);
    if (from->other_handle)
        self.other = open_file(path_of("file"), flags, SPREAD);
    assert_ok(emmap_pread_direct(self.other ? self.other : self.file, 0, SPREAD, &self.slice));
    if (from->earlier_mapping)
        assert_ok(emmap_resize(self.file, 2 * SPREAD, NULL));
    return self;
}

static void close_overlapping(overlapping *self)
{
    emmap_slice_release(&self->slice);
    close_file(self->file);
    if (self->other)
        close_file(self->other);
    free(self->expected);
    unlink(path_of("file"));
}

static void refill(overlapping *self)
{
    fill(self->expected);
    assert_ok(write_bytes(self->file, 0, self->expected, SPREAD));
}

static emmap_error write_at(overlapping *self, uint64_t to, const struct iovec *list, size_t count)
{
    if (!self->at_cursor)
        return emmap_pwrite(self->file, to, list, count);
    uint64_t position;
    assert_ok(emmap_position(self->file, (int64_t)to, EMMAP_FROM_START, &position));
    return emmap_write(self->file, list, count);
}

static void assert_as_expected(overlapping *self, const char *origin, uint64_t from, uint64_t to,
                               size_t length)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_pread(self->file, 0, SPREAD, &sink));
    if (memcmp(got.data, self->expected, SPREAD) != 0)
        fail_msg("%zu bytes of %s from %ju to %ju", length, origin, (uintmax_t)from, (uintmax_t)to);
    bytes_free(&got);
}

static const int64_t shifts[] = {0,
                                 1,
                                 7,
                                 64,
                                 4096,
                                 EMMAP_PIECE - 3,
                                 EMMAP_PIECE,
                                 EMMAP_PIECE + 5,
                                 -1,
                                 -7,
                                 -64,
                                 -4096,
                                 -(int64_t)EMMAP_PIECE + 3,
                                 -(int64_t)EMMAP_PIECE,
                                 -(int64_t)EMMAP_PIECE - 5};
static const size_t moved_lengths[] = {
    1, 600, 5000, EMMAP_PIECE - 1, EMMAP_PIECE, EMMAP_PIECE + 1, 2 * EMMAP_PIECE, 3 * EMMAP_PIECE + 17};

static void bytes_of_the_file_itself_are_moved(void **state)
{
    (void)state;
    const uint64_t from = 2 * EMMAP_PIECE;
    for (size_t o = 0; o < sizeof origins / sizeof *origins; o++) {
        overlapping self = open_overlapping(&origins[o]);
        for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++)
            for (size_t k = 0; k < sizeof moved_lengths / sizeof *moved_lengths; k++) {
                const size_t length = moved_lengths[k];
                const uint64_t to = (uint64_t)((int64_t)from + shifts[i]);
                refill(&self);
                memmove(self.expected + to, self.expected + from, length);
                const struct iovec vector = {.iov_base = self.slice.data + from, .iov_len = length};
                assert_ok(write_at(&self, to, &vector, 1));
                assert_as_expected(&self, origins[o].name, from, to, length);
            }
        close_overlapping(&self);
    }
}

static void vectors_of_the_file_itself_are_as_they_were(void **state)
{
    (void)state;
    static const size_t lengths[] = {10, 20000, EMMAP_PIECE, EMMAP_PIECE + 100};
    uint8_t *const source = malloc(SPREAD);
    for (size_t o = 0; o < sizeof origins / sizeof *origins; o++) {
        overlapping self = open_overlapping(&origins[o]);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const size_t length = lengths[i];
            const uint64_t to = EMMAP_PIECE;
            refill(&self);
            memcpy(source, self.expected, SPREAD);
            /* Each write overwrites the source of the next. */
            const struct iovec list[] = {
                {.iov_base = self.slice.data + 5 * EMMAP_PIECE, .iov_len = length},
                {.iov_base = "between", .iov_len = 7},
                {.iov_base = NULL, .iov_len = 0},
                {.iov_base = self.slice.data + to, .iov_len = length},
                {.iov_base = self.slice.data + to + 1, .iov_len = length},
            };
            uint8_t *place = self.expected + to;
            memcpy(place, source + 5 * EMMAP_PIECE, length);
            memcpy(place + length, "between", 7);
            memcpy(place + length + 7, source + to, length);
            memcpy(place + 2 * length + 7, source + to + 1, length);
            assert_ok(write_at(&self, to, list, 5));
            assert_as_expected(&self, origins[o].name, to, to, length);
        }
        close_overlapping(&self);
    }
    free(source);
}

static void a_read_into_the_file_itself_moves_its_bytes(void **state)
{
    (void)state;
    const uint64_t from = 2 * EMMAP_PIECE;
    for (size_t o = 0; o < sizeof origins / sizeof *origins; o++) {
        overlapping self = open_overlapping(&origins[o]);
        if (!(origins[o].flags & EMMAP_OPEN_PRIVATE))
            for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
                const size_t length = 2 * EMMAP_PIECE + 9;
                const uint64_t to = (uint64_t)((int64_t)from + shifts[i]);
                refill(&self);
                memmove(self.expected + to, self.expected + from, length);
                const struct iovec list[] = {
                    {.iov_base = self.slice.data + to, .iov_len = 100},
                    {.iov_base = self.slice.data + to + 100, .iov_len = length - 100}};
                uint64_t moved;
                assert_ok(emmap_preadv(self.file, from, list, 2, &moved));
                assert_int_equal(moved, length);
                assert_as_expected(&self, origins[o].name, from, to, length);
            }
        close_overlapping(&self);
    }
}

static void bytes_of_the_file_itself_are_refused_as_others_are(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, SPREAD);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, SPREAD, &slice));
    const struct iovec twice[] = {{.iov_base = slice.data, .iov_len = SPREAD},
                                  {.iov_base = slice.data, .iov_len = SPREAD}};
    assert_error(EINVAL, emmap_pwrite(file, 0, twice, 2));
    assert_error(EINVAL, emmap_pwrite(file, 1, twice, 1));
    emmap_file *const reader = open_file(path_of("file"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_error(EACCES, emmap_pwrite(reader, 1, twice, 1));
    emmap_slice_release(&slice);
    close_file(reader);
    close_file(file);
}

static void aliases_are_the_other_mappings_of_the_file(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, SPREAD);
    emmap_file *const other_file = open_file(path_of("other"), CREATE, SPREAD);
    const emmap_control *const control = emmap_file_control(file);
    assert_int_equal(control->aliases, 0);
    emmap_file *const again = open_file(path_of("file"), CREATE, SPREAD);
    assert_int_equal(control->aliases, 1);
    assert_int_equal(emmap_file_control(again)->aliases, 1);
    close_file(again);
    assert_int_equal(control->aliases, 0);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, 1, &slice));
    assert_ok(emmap_resize(file, 2 * SPREAD, NULL));
    assert_int_equal(control->aliases, 1);
    emmap_slice_release(&slice);
    assert_int_equal(control->aliases, 0);
    assert_int_equal(emmap_file_control(other_file)->aliases, 0);
    close_file(other_file);
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(reads_obey_the_bounds),
        folder_test(writes_obey_the_bounds_and_change_nothing_when_refused),
        folder_test(a_read_only_file_is_not_written),
        folder_test(vectors_are_taken_in_order_empty_ones_too),
        folder_test(lengths_that_overflow_together_are_einval),
        folder_test(copies_longer_than_a_piece_are_whole),
        folder_test(a_sink_without_memory_is_enomem),
        folder_test(files_of_one_path_see_each_other),
        folder_test(bytes_of_the_file_itself_are_moved),
        folder_test(vectors_of_the_file_itself_are_as_they_were),
        folder_test(a_read_into_the_file_itself_moves_its_bytes),
        folder_test(bytes_of_the_file_itself_are_refused_as_others_are),
        folder_test(aliases_are_the_other_mappings_of_the_file),
    };
    return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
