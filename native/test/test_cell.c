/* Cells: what a reader sees, after every publish and every death. */
#define _GNU_SOURCE
#include <stdatomic.h>

#include "cell_layout.h"
#include "deaths.h"

#define MOST 1000u

static emmap_file *open_cell(uint64_t max_bytes)
{
    emmap_file *cell;
    const emmap_error error = emmap_cell_open(path_of("cell"), max_bytes, NULL, &cell);
    restore_fault_handler();
    require_ok(error);
    return cell;
}

/* The length follows from the number, so that lengths change too. */
static size_t length_of(uint64_t number)
{
    return 8 + number * 37 % (MOST - 8);
}

static emmap_error publish(emmap_file *cell, uint64_t number)
{
    uint8_t value[MOST];
    fill_message(value, number, length_of(number));
    const struct iovec halves[] = {{.iov_base = value, .iov_len = 5},
                                   {.iov_base = value + 5, .iov_len = length_of(number) - 5}};
    return emmap_cell_publish(cell, halves, 2);
}

/* The number of the value; 0: nothing was published. Ends the process if the value is not whole. */
static uint64_t value_of(emmap_file *cell, uint64_t *version)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_cell_get(cell, &sink, version);
    if (error == EMMAP_EOF)
        return 0;
    require_ok(error);
    const uint64_t number = number_of(got.data, got.length);
    require(got.length == length_of(number));
    bytes_free(&got);
    return number;
}

static uint64_t version_of(emmap_file *cell)
{
    uint64_t version;
    assert_ok(emmap_cell_version(cell, &version));
    return version;
}

static void readers_see_what_was_published_last(void **state)
{
    (void)state;
    emmap_file *const writer = open_cell(MOST);
    emmap_file *reader;
    assert_ok(emmap_cell_open(path_of("cell"), 0, &(emmap_options){.flags = EMMAP_OPEN_READ}, &reader));
    assert_int_equal(value_of(reader, NULL), 0);
    assert_int_equal(version_of(reader), 0);
    assert_error(EACCES, publish(reader, 1));
    for (uint64_t number = 1; number < 30; number++) {
        uint64_t version;
        assert_ok(publish(writer, number));
        assert_int_equal(value_of(reader, &version), number);
        assert_int_equal(version, number);
        assert_int_equal(version_of(reader), number);
    }
    close_file(writer);
    assert_int_equal(value_of(reader, NULL), 29);
    close_file(reader);
    assert_int_equal(size_of_file(path_of("cell")), cell_size(MOST));
}

static void values_may_have_any_length_up_to_the_cells(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell(MOST);
    uint8_t value[MOST + 1] = {0};
    for (size_t length = 0; length <= MOST + 1; length += length < 40 || length > MOST - 40 ? 1 : 60) {
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        memset(value, (int)length, sizeof value);
        const struct iovec vector = {.iov_base = value, .iov_len = length};
        assert_error(length <= MOST ? EMMAP_OK : EINVAL, emmap_cell_publish(cell, &vector, 1));
        assert_ok(emmap_cell_get(cell, &sink, NULL));
        assert_int_equal(got.length, length <= MOST ? length : MOST);
        assert_true(length > MOST || memcmp(got.data, value, length) == 0);
        bytes_free(&got);
    }
    close_file(cell);
}

static void a_cell_is_opened_as_what_it_is(void **state)
{
    (void)state;
    const char *const path = path_of("cell");
    emmap_file *file;
    assert_error(EINVAL, emmap_cell_open(path, 0, NULL, &file));
    assert_false(exists(path));
    assert_error(EINVAL, emmap_cell_open(path, CELL_MAX_BYTES + 1, NULL, &file));
    assert_error(EINVAL, emmap_cell_open(path, 10, &(emmap_options){.size = 4096}, &file));
    assert_error(EINVAL, emmap_cell_open(path, 10, &(emmap_options){.flags = EMMAP_OPEN_FOLLOW}, &file));
    close_file(open_cell(10));
    close_file(open_cell(0));
    assert_error(EINVAL, emmap_cell_open(path, 11, NULL, &file));
    file = open_cell(10);
    assert_error(EMMAP_FIXED_SIZE, emmap_resize(file, 100000, NULL));
    assert_error(EINVAL, emmap_queue_attach(file));
    uint64_t length;
    assert_error(EINVAL, emmap_queue_length(file, &length));
    close_file(file);
    uint64_t version;
    emmap_file *const queue = open_with(path_of("queue"), (emmap_options){.flags = QUEUE_RW, .size = 4096});
    assert_error(EINVAL, emmap_cell_version(queue, &version));
    close_file(queue);
    const uint8_t text[200] = "no cell at all";
    put_file(path, text, sizeof text);
    assert_error(EMMAP_CORRUPT, emmap_cell_open(path, 10, NULL, &file));
    assert_file(path, text, sizeof text);
}

static void damage_is_an_error_until_the_next_publish(void **state)
{
    (void)state;
    emmap_file *cell = open_cell(MOST);
    for (uint64_t number = 1; number <= 6; number++)
        assert_ok(publish(cell, number));
    assert_ok(emmap_sync(cell));
    close_file(cell);
    size_t length;
    uint8_t *const file = get_file(path_of("cell"), &length);
    /* Without the last value it is the one before. */
    cell_slot(file, MOST, 6)->bytes[3] ^= 1;
    put_file(path_of("cell"), file, length);
    assert_ok(emmap_cell_open(path_of("cell"), 0, &(emmap_options){.flags = EMMAP_OPEN_READ}, &cell));
    assert_int_equal(value_of(cell, NULL), 5);
    close_file(cell);
    cell = open_cell(MOST);
    assert_int_equal(value_of(cell, NULL), 5);
    assert_int_equal(version_of(cell), 5);
    close_file(cell);
    for (uint64_t slot = 0; slot < CELL_SLOTS; slot++)
        cell_slot(file, MOST, slot)->length = UINT64_MAX;
    put_file(path_of("cell"), file, length);
    cell = open_cell(MOST);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_error(EMMAP_CORRUPT, emmap_cell_get(cell, &sink, NULL));
    assert_ok(publish(cell, 7));
    assert_int_equal(value_of(cell, NULL), 7);
    close_file(cell);
}

static void a_copy_has_the_value(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell(MOST);
    emmap_file *copy;
    assert_ok(emmap_backup(cell, path_of("empty")));
    for (uint64_t number = 1; number <= 6; number++)
        assert_ok(publish(cell, number));
    assert_ok(emmap_backup(cell, path_of("copy")));
    close_file(cell);
    assert_ok(emmap_cell_open(path_of("empty"), MOST, NULL, &copy));
    assert_int_equal(value_of(copy, NULL), 0);
    close_file(copy);
    assert_ok(emmap_cell_open(path_of("copy"), MOST, NULL, &copy));
    uint64_t version;
    assert_int_equal(value_of(copy, &version), 6);
    assert_int_equal(version, 6);
    close_file(copy);
}

/* ---- Waiting ---- */

static void note_end(void *context, emmap_error result)
{
    require_ok(result);
    atomic_store((atomic_bool *)context, true);
}

static void a_publish_ends_waits(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell(MOST);
    atomic_bool over = false;
    const emmap_waiter waiter = {.done = note_end, .context = &over};
    emmap_wait *wait;
    assert_error(EAGAIN, emmap_cell_wait_begin(cell, 1, 1000, &waiter, &wait));
    assert_error(ETIMEDOUT, emmap_cell_wait_begin(cell, 0, 0, &waiter, &wait));
    assert_ok(emmap_cell_wait_begin(cell, 0, EMMAP_NO_LIMIT, &waiter, &wait));
    usleep(10000);
    assert_false(over);
    assert_ok(publish(cell, 1));
    while (!atomic_load(&over))
        usleep(100);
    emmap_wait_free(wait);
    close_file(cell);
}

/* ---- Many processes ---- */

enum { PUBLISHERS = 2, READERS = 2, EACH = 20000 };

static void publish_many(void *context)
{
    emmap_file *const cell = open_cell(MOST);
    const uint64_t own = *(const uint64_t *)context;
    for (uint64_t i = 0; i < EACH; i++)
        require_ok(publish(cell, own + i * PUBLISHERS + PUBLISHERS));
    emmap_free(cell);
}

/* Versions never go back, and every value is whole. */
static void read_many(void *context)
{
    (void)context;
    emmap_file *const cell = open_cell(MOST);
    uint64_t last = 0, version = 0;
    while (version < (uint64_t)PUBLISHERS * EACH) {
        value_of(cell, &version);
        require(version >= last);
        last = version;
    }
    emmap_free(cell);
}

static void no_reader_sees_half_a_value(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell(MOST);
    assert_ok(publish(cell, 1));
    close_file(cell);
    pid_t children[PUBLISHERS + READERS];
    uint64_t own[PUBLISHERS] = {0, 1};
    for (size_t i = 0; i < PUBLISHERS; i++)
        children[i] = start_child(publish_many, &own[i]);
    for (size_t i = PUBLISHERS; i < PUBLISHERS + READERS; i++)
        children[i] = start_child(read_many, NULL);
    for (size_t i = 0; i < PUBLISHERS + READERS; i++)
        assert_int_equal(wait_child(children[i]), 0);
}

/* A reader that is stopped in the middle of its copy begins again when the slot was used anew. */
static emmap_file *overtaker;
static uint64_t overtaken_by;
static void overtake(const char *name)
{
    if (strcmp(name, "cell_copied") != 0 || overtaken_by == 0)
        return;
    const uint64_t count = overtaken_by;
    overtaken_by = 0;
    for (uint64_t i = 0; i < count; i++)
        require_ok(publish(overtaker, 100 + i));
}

static void a_reader_that_was_overtaken_begins_again(void **state)
{
    (void)state;
    overtaker = open_cell(MOST);
    emmap_file *const reader = open_cell(MOST);
    for (uint64_t count = 1; count < 9; count++) {
        assert_ok(publish(overtaker, 1));
        overtaken_by = count;
        pause_hook = overtake;
        const uint64_t number = value_of(reader, NULL);
        pause_hook = NULL;
        assert_int_equal(number, count < CELL_SLOTS - 1 ? 1 : 99 + count);
    }
    close_file(reader);
    close_file(overtaker);
}

/* ---- Deaths ---- */

#define NAME(point) #point,
static const char *const points[] = {CELL_PAUSE_POINTS(NAME)};

enum { STEPS = 7 };

static void run_script(void *context)
{
    (void)context;
    deaths->started = 1;
    emmap_file *const cell = open_cell(MOST);
    deaths->done = 1;
    for (uint64_t number = 1; number < STEPS; number++) {
        deaths->started++;
        require_ok(number == 4 ? emmap_datasync(cell) : publish(cell, number));
        value_of(cell, NULL);
        deaths->done++;
    }
    emmap_free(cell);
}

/* The value after so many steps. */
static uint64_t model(uint64_t steps)
{
    const uint64_t last = steps ? steps - 1 : 0;
    return last == 4 ? 3 : last;
}

static void check_after_death(emmap_file *cell)
{
    const uint64_t number = value_of(cell, NULL);
    assert_true(number == model(deaths->done) || number == model(deaths->started));
    for (uint64_t next = 50; next < 60; next++) {
        assert_ok(publish(cell, next));
        assert_int_equal(value_of(cell, NULL), next);
    }
}

static void a_cell_survives_death_at_every_store(void **state)
{
    (void)state;
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    for (uint64_t target = 1;; target++) {
        unlink(path_of("cell"));
        deaths->started = deaths->done = 0;
        if (!dies_at(target, run_script, NULL))
            break;
        emmap_file *const cell = open_cell(MOST);
        check_after_death(cell);
        close_file(cell);
    }
    assert_int_equal(deaths->done, STEPS);
    assert_all_points_hit();
}

static void an_open_handle_goes_on_after_a_death(void **state)
{
    (void)state;
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    for (uint64_t target = 1;; target++) {
        unlink(path_of("cell"));
        emmap_file *const cell = open_cell(MOST);
        deaths->started = deaths->done = 0;
        const bool died = dies_at(target, run_script, NULL);
        check_after_death(cell);
        close_file(cell);
        if (!died)
            break;
    }
}

/* A creator's file of another size is completed. */
static void a_death_before_the_magic_leaves_a_file_for_any_max_bytes(void **state)
{
    (void)state;
    const uint8_t zeros[1000] = {0};
    put_file(path_of("cell"), zeros, sizeof zeros);
    emmap_file *const cell = open_cell(MOST);
    assert_ok(publish(cell, 1));
    close_file(cell);
    assert_int_equal(size_of_file(path_of("cell")), cell_size(MOST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(readers_see_what_was_published_last),
        folder_test(values_may_have_any_length_up_to_the_cells),
        folder_test(a_cell_is_opened_as_what_it_is),
        folder_test(damage_is_an_error_until_the_next_publish),
        folder_test(a_copy_has_the_value),
        folder_test(a_publish_ends_waits),
        folder_test(no_reader_sees_half_a_value),
        folder_test(a_reader_that_was_overtaken_begins_again),
        folder_test(a_cell_survives_death_at_every_store),
        folder_test(an_open_handle_goes_on_after_a_death),
        folder_test(a_death_before_the_magic_leaves_a_file_for_any_max_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
