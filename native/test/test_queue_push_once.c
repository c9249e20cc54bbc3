/* Numbered pushes: each happens once, although it is tried again, and although processes die in between. */
#include <fcntl.h>
#include <stddef.h>
#include <time.h>

#include "deaths.h"
#include "relayed.h"

static const uint8_t first[EMMAP_ORIGIN_SIZE] = "the first origin",
                     second[EMMAP_ORIGIN_SIZE] = "another origin.";

static emmap_file *open_jobs(void)
{
    return open_queue(path_of("jobs"), QUEUE_RW, 400);
}

#define BATCH 3u

/* Pushes the three messages of a number. */
static emmap_error push_batch(emmap_file *queue, const uint8_t *origin, uint64_t number, uint64_t *last)
{
    uint8_t bytes[BATCH][24];
    struct iovec messages[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        fill_message(bytes[i], number * BATCH + i, sizeof bytes[i]);
        messages[i] = (struct iovec){.iov_base = bytes[i], .iov_len = sizeof bytes[i]};
    }
    return emmap_queue_push_once(queue, origin, number, messages, BATCH, last);
}

static void expect_batch(emmap_file *queue, uint64_t number)
{
    uint64_t got;
    for (size_t i = 0; i < BATCH; i++) {
        assert_ok(pop_number(queue, &got));
        assert_int_equal(got, number * BATCH + i);
    }
}

static void expect_last(emmap_file *queue, const uint8_t *origin, uint64_t expected)
{
    uint64_t last = 99;
    assert_ok(emmap_queue_push_once(queue, origin, 0, NULL, 0, &last));
    assert_int_equal(last, expected);
}

static void a_number_is_pushed_once(void **state)
{
    (void)state;
    uint64_t last;
    emmap_file *const queue = open_jobs();
    expect_last(queue, first, 0);
    assert_int_equal(access(path_of("jobs-relayed"), F_OK), -1);
    assert_ok(push_batch(queue, first, 1, &last));
    assert_int_equal(last, 0);
    assert_ok(push_batch(queue, first, 1, &last));
    assert_int_equal(last, 1);
    assert_ok(push_batch(queue, second, 1, &last));
    assert_int_equal(last, 0);
    /* Numbers may have gaps. */
    assert_ok(push_batch(queue, first, 7, &last));
    assert_int_equal(last, 1);
    assert_ok(push_batch(queue, first, 3, &last));
    assert_int_equal(last, 7);
    assert_ok(emmap_queue_push_once(queue, first, 8, NULL, 0, &last));
    assert_int_equal(last, 7);
    expect_last(queue, first, 8);
    expect_last(queue, second, 1);
    assert_int_equal(queue_length_of(queue), 3 * BATCH);
    expect_batch(queue, 1);
    expect_batch(queue, 1);
    expect_batch(queue, 7);
    assert_true(queue_info_of(queue).next_tail == queue_info_of(queue).tail);
    close_file(queue);
}

static void numbers_outlive_handles_moves_and_the_end_of_the_messages(void **state)
{
    (void)state;
    uint64_t last;
    for (uint64_t i = 1; i < 200; i++) {
        emmap_file *const queue = open_jobs();
        assert_ok(push_batch(queue, first, i, &last));
        assert_int_equal(last, i - 1);
        expect_batch(queue, i);
        close_file(queue);
    }
    struct stat data, about;
    assert_int_equal(stat(path_of("jobs"), &data), 0);
    assert_int_equal(stat(path_of("jobs-relayed"), &about), 0);
    assert_int_equal(about.st_size, sizeof(relayed_file_t));
    assert_int_equal(about.st_mode, data.st_mode);
}

static void nothing_is_pushed_where_it_fails(void **state)
{
    (void)state;
    uint64_t last;
    const struct iovec empty = {.iov_base = NULL, .iov_len = 0};
    emmap_file *queue = open_queue(path_of("jobs"), QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 16 + 3 * 32 + 7);
    assert_error(EINVAL, emmap_queue_push_once(queue, first, 1, &empty, 1, &last));
    /* The mark needs room, too. */
    assert_error(EMMAP_FULL, push_batch(queue, first, 1, &last));
    expect_last(queue, first, 0);
    assert_int_equal(queue_length_of(queue), 0);
    close_file(queue);
    queue = open_queue("", QUEUE_RW | EMMAP_OPEN_ANON, 4096);
    assert_error(ENOTSUP, push_batch(queue, first, 1, &last));
    close_file(queue);
    queue = open_queue(path_of("jobs"), EMMAP_OPEN_READ, 0);
    assert_error(EACCES, push_batch(queue, first, 1, &last));
    close_file(queue);
    queue = open_jobs();
    assert_int_equal(rename(path_of("jobs"), path_of("moved")), 0);
    assert_error(ESTALE, push_batch(queue, first, 1, &last));
    close_file(queue);
}

static void another_file_of_that_name_is_left_alone(void **state)
{
    (void)state;
    uint64_t last, got;
    char beside[200];
    snprintf(beside, sizeof beside, "%s", path_of("jobs-relayed"));
    emmap_file *const queue = open_jobs();
    put_file(beside, "a letter of somebody, which is longer than the head of the file of origins is", 77);
    assert_error(EMMAP_CORRUPT, push_batch(queue, first, 1, &last));
    assert_int_equal(unlink(beside), 0);
    assert_int_equal(symlink("jobs", beside), 0);
    assert_error(ELOOP, push_batch(queue, first, 1, &last));
    assert_int_equal(unlink(beside), 0);
    assert_int_equal(mkfifo(beside, 0600), 0);
    assert_error(EMMAP_CORRUPT, push_batch(queue, first, 1, &last));
    assert_int_equal(unlink(beside), 0);
    assert_int_equal(mkdir(beside, 0700), 0);
    assert_error(EISDIR, push_batch(queue, first, 1, &last));
    assert_int_equal(rmdir(beside), 0);
    relayed_head_t head = {.magic = RELAYED_MAGIC, .version = RELAYED_VERSION + 1, .slots = RELAYED_SLOTS};
    put_file(beside, &head, sizeof head);
    assert_error(ENOTSUP, push_batch(queue, first, 1, &last));
    head.version = RELAYED_VERSION;
    put_file(beside, &head, sizeof head);
    assert_error(EMMAP_CORRUPT, push_batch(queue, first, 1, &last));
    /* Others push and pop all the same. */
    assert_int_equal(queue_length_of(queue), 0);
    assert_ok(push_number(queue, 5, 24));
    assert_ok(pop_number(queue, &got));
    /* What a dead maker has left is finished. */
    put_file(beside, "\0\0\0", 3);
    assert_ok(push_batch(queue, first, 1, &last));
    expect_batch(queue, 1);
    close_file(queue);
}

static void the_origin_that_was_silent_for_the_longest_time_is_forgotten(void **state)
{
    (void)state;
    uint64_t last;
    emmap_file *const queue = open_jobs();
    assert_ok(push_batch(queue, second, 1, &last));
    for (uint64_t i = 0; i < RELAYED_SLOTS; i++) {
        uint8_t origin[EMMAP_ORIGIN_SIZE] = "many ";
        memcpy(origin + 8, &i, sizeof i);
        /* Clocks of the file count milliseconds. */
        if (i < 4)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        assert_ok(emmap_queue_push_once(queue, origin, 4, NULL, 0, &last));
        assert_int_equal(last, 0);
        if (i < 4) {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            assert_ok(push_batch(queue, first, i + 1, &last));
        }
    }
    expect_last(queue, second, 0);
    expect_last(queue, first, 4);
    close_file(queue);
}

/* ---- Deaths ---- */

#define LAST 8u

static void push_all(void *context)
{
    const bool syncs = *(const bool *)context;
    uint64_t last;
    emmap_file *const queue = open_jobs();
    for (uint64_t i = 1; i <= LAST; i++) {
        if (i == 2 && syncs)
            require_ok(emmap_sync(queue));
        deaths->started = i;
        require_ok(push_batch(queue, first, i, &last));
        require(last == i - 1);
        deaths->done = i;
        require_ok(push_number(queue, 1000 + i, 24));
    }
    emmap_free(queue);
}

#define NAME(point) #point,
static const char *const points[] = {RELAYED_PAUSE_POINTS(NAME) "queue_push_copied", "queue_push_done"};

static void die_at_these_points(const char *name)
{
    bool listed = begins_with(name, "relayed_");
    for (size_t i = 0; i < COUNT_OF(points); i++)
        listed |= strcmp(points[i], name) == 0;
    if (listed)
        count_or_die(name);
}

/* What comes between the death and the next try: nothing, a push, a pop, an opening by another process, a length. */
enum { NOTHING, PUSH_FIRST, POP_FIRST, OPEN_FIRST, LENGTH_FIRST, WAYS };

/* After a death: tries the push in progress again, as an origin does, and counts all messages. */
static void check(emmap_file *queue, int way, bool popped[])
{
    uint64_t last, number;
    if (way == PUSH_FIRST)
        assert_ok(push_number(queue, 2000, 24));
    if (way == POP_FIRST && pop_number(queue, &number) == EMMAP_OK)
        popped[number] = true;
    if (way == OPEN_FIRST)
        close_file(open_jobs());
    if (way == LENGTH_FIRST)
        (void)queue_length_of(queue);
    for (uint64_t i = deaths->done + 1; i <= LAST; i++) {
        assert_ok(push_batch(queue, first, i, &last));
        assert_true(last == i - 1 || (last == i && i == deaths->started));
    }
    expect_last(queue, first, LAST);
    emmap_error error;
    while ((error = pop_number(queue, &number)) == EMMAP_OK) {
        assert_true(number < 3000 && !popped[number]);
        popped[number] = true;
    }
    assert_error(EMMAP_EOF, error);
    for (uint64_t i = 1; i <= LAST; i++)
        for (uint64_t j = 0; j < BATCH; j++)
            assert_true(popped[i * BATCH + j]);
}

static void die_everywhere(bool syncs, bool keeps_a_handle)
{
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    counted = die_at_these_points;
    bool died = true;
    for (uint64_t target = 1; died; target++)
        for (int way = NOTHING; way < WAYS; way++) {
            static bool popped[3000];
            memset(popped, 0, sizeof popped);
            unlink(path_of("jobs"));
            unlink(path_of("jobs-relayed"));
            deaths->started = deaths->done = 0;
            emmap_file *queue = keeps_a_handle ? open_jobs() : NULL;
            died = dies_at(target, push_all, &syncs);
            if (!queue)
                queue = open_jobs();
            check(queue, way, popped);
            close_file(queue);
        }
    assert_all_points_hit();
}

static void a_number_is_pushed_once_whoever_dies(void **state)
{
    (void)state;
    die_everywhere(false, false);
}

static void the_same_for_a_handle_that_was_open(void **state)
{
    (void)state;
    die_everywhere(false, true);
}

static void the_same_in_a_synced_queue(void **state)
{
    (void)state;
    die_everywhere(true, true);
}

static void a_mark_without_its_file_holds_nobody_up(void **state)
{
    (void)state;
    bool syncs = false;
    uint64_t number, last;
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    counted = die_at_these_points;
    bool marked = false;
    for (uint64_t target = 1; target < 20; target++) {
        unlink(path_of("jobs"));
        unlink(path_of("jobs-relayed"));
        deaths->started = deaths->done = 0;
        require(dies_at(target, push_all, &syncs));
        unlink(path_of("jobs-relayed"));
        emmap_file *queue = open_queue(path_of("jobs"), EMMAP_OPEN_READ, 0);
        const bool empty = queue_length_of(queue) == 0;
        close_file(queue);
        queue = open_jobs();
        marked |= !empty;
        assert_error(empty ? EMMAP_EOF : EMMAP_OK, pop_number(queue, &number));
        assert_ok(push_batch(queue, first, 1, &last));
        assert_int_equal(last, 0);
        close_file(queue);
    }
    assert_true(marked);
}

static void a_new_queue_has_no_numbers_of_a_removed_one(void **state)
{
    (void)state;
    uint64_t last;
    for (int i = 0; i < 3; i++) {
        emmap_file *const queue = open_jobs();
        expect_last(queue, first, 0);
        assert_ok(push_batch(queue, first, 5, &last));
        assert_int_equal(last, 0);
        expect_batch(queue, 5);
        close_file(queue);
        assert_int_equal(unlink(path_of("jobs")), 0);
    }
    assert_int_equal(access(path_of("jobs-relayed.former"), F_OK), 0);
    assert_int_equal(access(path_of("jobs-relayed.former-2"), F_OK), 0);
    /* The queue that is there keeps its numbers. */
    emmap_file *queue = open_jobs();
    assert_ok(push_batch(queue, first, 6, &last));
    close_file(queue);
    queue = open_jobs();
    expect_last(queue, first, 6);
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_number_is_pushed_once),
        folder_test(numbers_outlive_handles_moves_and_the_end_of_the_messages),
        folder_test(nothing_is_pushed_where_it_fails),
        folder_test(another_file_of_that_name_is_left_alone),
        folder_test(the_origin_that_was_silent_for_the_longest_time_is_forgotten),
        folder_test(a_number_is_pushed_once_whoever_dies),
        folder_test(the_same_for_a_handle_that_was_open),
        folder_test(the_same_in_a_synced_queue),
        folder_test(a_mark_without_its_file_holds_nobody_up),
        folder_test(a_new_queue_has_no_numbers_of_a_removed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
