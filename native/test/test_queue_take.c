/* Deliveries: taking messages, and acknowledging, releasing or putting them back. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "structures.h"
#include "taken.h"

static emmap_file *open_jobs(void)
{
    emmap_file *const queue = open_queue(path_of("jobs"), QUEUE_RW, 4096);
    restore_fault_handler();
    return queue;
}

/* Takes a message that carries a number. */
static emmap_error take_held(emmap_file *queue, uint64_t holder, uint64_t *number, emmap_delivery *delivery)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    const emmap_error error = emmap_queue_take(queue, holder, &sink, delivery);
    if (!error) {
        assert_int_equal(got.count, 1);
        *number = number_of(got.list[0].iov_base, got.list[0].iov_len);
    }
    pieces_free(&got);
    return error;
}

static emmap_error take_number(emmap_file *queue, uint64_t *number, emmap_delivery *delivery)
{
    return take_held(queue, 0, number, delivery);
}

static emmap_delivery expect_take(emmap_file *queue, uint64_t expected, uint32_t attempt)
{
    uint64_t number;
    emmap_delivery delivery;
    assert_ok(take_number(queue, &number, &delivery));
    assert_int_equal(number, expected);
    assert_int_equal(delivery.attempt, attempt);
    return delivery;
}

static void nothing_left(emmap_file *queue)
{
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EMMAP_EOF, take_number(queue, &number, &delivery));
    assert_error(EMMAP_EOF, pop_number(queue, &number));
}

static void push_numbers(emmap_file *queue, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        assert_ok(push_number(queue, i, 24));
}

static size_t in_hand(emmap_file *queue, emmap_in_hand *entries, size_t room)
{
    size_t count;
    assert_ok(emmap_queue_in_hand(queue, entries, room, &count));
    return count;
}

static void messages_are_taken_in_order_and_acknowledged_in_any(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    const emmap_delivery first = expect_take(queue, 0, 1), second = expect_take(queue, 1, 1),
                         third = expect_take(queue, 2, 1);
    nothing_left(queue);
    assert_ok(emmap_queue_ack(queue, second.ticket));
    assert_error(EINVAL, emmap_queue_ack(queue, second.ticket));
    assert_ok(emmap_queue_ack(queue, third.ticket));
    assert_ok(emmap_queue_ack(queue, first.ticket));
    assert_int_equal(in_hand(queue, NULL, 0), 0);
    nothing_left(queue);
    close_file(queue);
}

static void a_released_message_comes_before_the_next_one(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 4);
    const emmap_delivery first = expect_take(queue, 0, 1), second = expect_take(queue, 1, 1);
    assert_ok(emmap_queue_release(queue, second.ticket, 0));
    assert_ok(emmap_queue_release(queue, first.ticket, 0));
    assert_error(EINVAL, emmap_queue_release(queue, first.ticket, 0));
    assert_int_equal(queue_length_of(queue), 4);
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 0, 2).ticket));
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 1, 2).ticket));
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 2, 1).ticket));
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 3, 1).ticket));
    nothing_left(queue);
    close_file(queue);
}

static void pop_peek_and_remove_see_released_messages(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 4);
    for (uint64_t i = 0; i < 3; i++)
        expect_take(queue, i, 1);
    assert_ok(emmap_queue_release_held(queue, 0));
    bool empty = true;
    assert_ok(emmap_queue_is_empty(queue, &empty));
    assert_false(empty);
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    assert_ok(emmap_queue_peek_front(queue, &sink));
    assert_int_equal(number_of(got.list[0].iov_base, got.list[0].iov_len), 0);
    assert_ok(emmap_queue_remove(queue, got.list, 1));
    assert_error(ESTALE, emmap_queue_remove(queue, got.list, 1));
    pieces_free(&got);
    assert_ok(emmap_queue_glance_front(queue, &sink));
    assert_int_equal(number_of(got.list[0].iov_base, got.list[0].iov_len), 1);
    pieces next = {0};
    const emmap_sink next_sink = sink_pieces(&next);
    assert_ok(emmap_queue_shift(queue, got.list, &next_sink));
    assert_int_equal(number_of(next.list[0].iov_base, next.list[0].iov_len), 2);
    pieces_free(&got);
    pieces_free(&next);
    /* A batch takes released messages and others together, or none of them. */
    uint64_t count;
    got.limit = 1;
    assert_error(ENOMEM, emmap_queue_pop_many(queue, 5, &sink, &count));
    pieces_free(&got);
    assert_ok(emmap_queue_pop_many(queue, 5, &sink, &count));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(number_of(got.list[i].iov_base, got.list[i].iov_len), 2 + i);
    pieces_free(&got);
    nothing_left(queue);
    close_file(queue);
}

static void a_delay_has_a_limit(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 1);
    const uint64_t ticket = expect_take(queue, 0, 1).ticket;
    assert_error(EINVAL, emmap_queue_release(queue, ticket, EMMAP_DELAY_MAX + 1));
    assert_error(EINVAL, emmap_queue_release(queue, ticket, UINT64_MAX));
    assert_ok(emmap_queue_release(queue, ticket, EMMAP_DELAY_MAX));
    emmap_in_hand entry;
    size_t count;
    assert_ok(emmap_queue_in_hand(queue, &entry, 1, &count));
    assert_int_equal(count, 1);
    assert_true(entry.released);
    assert_true(entry.due > EMMAP_DELAY_MAX && entry.due < UINT64_C(8640000000000000));
    close_file(queue);
}

static void a_delay_holds_for_new_handles_too(void **state)
{
    (void)state;
    emmap_file *queue = open_jobs();
    push_numbers(queue, 0, 2);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 0, 1).ticket, 1000000));
    assert_ok(emmap_queue_release(queue, expect_take(queue, 1, 1).ticket, 20));
    assert_int_equal(queue_length_of(queue), 0);
    close_file(queue);
    queue = open_jobs();
    uint64_t number;
    emmap_delivery delivery;
    emmap_error error;
    while ((error = take_number(queue, &number, &delivery)) == EMMAP_EOF)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_ok(error);
    assert_int_equal(number, 1);
    assert_int_equal(delivery.attempt, 2);
    nothing_left(queue);
    emmap_in_hand entries[2];
    assert_int_equal(in_hand(queue, entries, 2), 2);
    assert_int_equal(entries[0].released + entries[1].released, 1);
    close_file(queue);
}

static void a_message_put_back_is_the_first_one_again(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 2);
    assert_ok(emmap_queue_put_back(queue, expect_take(queue, 0, 1).ticket));
    /* It lies in the queue's own file again, where emmap 2.x finds it. */
    assert_int_equal(in_hand(queue, NULL, 0), 0);
    const emmap_delivery first = expect_take(queue, 0, 1);
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 1, 1).ticket));
    push_numbers(queue, 2, 3);
    /* Its place is gone. */
    assert_ok(emmap_queue_put_back(queue, first.ticket));
    expect_take(queue, 0, 1);
    expect_take(queue, 2, 1);
    close_file(queue);
}

static void closing_a_handle_releases_what_it_has_in_hand(void **state)
{
    (void)state;
    emmap_file *const other = open_jobs();
    emmap_file *queue = open_jobs();
    push_numbers(queue, 0, 2);
    const emmap_delivery delivery = expect_take(queue, 0, 1);
    assert_error(EINVAL, emmap_queue_ack(other, delivery.ticket));
    /* A runtime may free the handle much later. */
    assert_ok(emmap_close(queue));
    expect_take(other, 0, 2);
    close_file(queue);
    close_file(other);
    queue = open_jobs();
    expect_take(queue, 0, 3);
    expect_take(queue, 1, 1);
    close_file(queue);
}

static void take_and_die(void *context)
{
    (void)context;
    emmap_file *const queue = open_jobs();
    uint64_t number;
    emmap_delivery delivery;
    require_ok(take_number(queue, &number, &delivery));
    require_ok(take_number(queue, &number, &delivery));
    kill(getpid(), SIGKILL);
}

static void messages_of_a_dead_process_are_delivered_again(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    const int status = in_child(take_and_die, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (uint64_t i = 0; i < 2; i++)
        assert_ok(emmap_queue_ack(queue, expect_take(queue, i, 2).ticket));
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 2, 1).ticket));
    nothing_left(queue);
    close_file(queue);
}

static void only_the_messages_of_a_holder_are_released(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 4);
    uint64_t number;
    emmap_delivery delivery;
    for (uint64_t i = 0; i < 4; i++)
        assert_ok(take_held(queue, i % 2, &number, &delivery));
    assert_ok(emmap_queue_release_held(queue, 1));
    expect_take(queue, 1, 2);
    expect_take(queue, 3, 2);
    nothing_left(queue);
    close_file(queue);
}

/* Holders are counted together if their numbers end alike. */
static void holders_whose_numbers_end_alike_are_told_apart(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    uint64_t number;
    emmap_delivery deliveries[3];
    const uint64_t holders[] = {1, 1 + TAKEN_HELD, 2};
    for (int i = 0; i < 3; i++)
        assert_ok(take_held(queue, holders[i], &number, &deliveries[i]));
    assert_ok(emmap_queue_ack(queue, deliveries[0].ticket));
    assert_ok(emmap_queue_release_held(queue, 1));
    nothing_left(queue);
    assert_ok(emmap_queue_release_held(queue, 1 + TAKEN_HELD));
    expect_take(queue, 1, 2);
    nothing_left(queue);
    close_file(queue);
}

static void all_messages_go_back_into_the_queue(void **state)
{
    (void)state;
    emmap_file *queue = open_jobs();
    push_numbers(queue, 0, 60);
    for (uint64_t i = 0; i < 40; i++)
        expect_take(queue, i, 1);
    assert_ok(emmap_queue_release_held(queue, 0));
    for (uint64_t i = 0; i < 10; i++)
        assert_ok(emmap_queue_ack(queue, expect_take(queue, i, 2).ticket));
    expect_take(queue, 10, 2);
    uint64_t count;
    emmap_file *const other = open_jobs();
    assert_error(EBUSY, emmap_queue_release_all(other, &count));
    assert_ok(emmap_queue_release_all(queue, &count));
    assert_int_equal(count, 30);
    assert_int_equal(in_hand(queue, NULL, 0), 0);
    close_file(other);
    close_file(queue);
    assert_int_equal(unlink(path_of("jobs-taken")), 0);
    queue = open_jobs();
    for (uint64_t i = 10; i < 60; i++)
        assert_ok(emmap_queue_ack(queue, expect_take(queue, i, 1).ticket));
    /* Also where the queue is empty. */
    push_numbers(queue, 0, 1);
    expect_take(queue, 0, 1);
    assert_ok(emmap_queue_release_all(queue, &count));
    expect_take(queue, 0, 1);
    close_file(queue);
}

static void messages_of_any_size_are_taken(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    static const size_t sizes[] = {8, 176, 177, 184, 416, 417, 1000, 4096, 70000};
    for (size_t round = 0; round < 3; round++) {
        emmap_delivery deliveries[COUNT_OF(sizes)];
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            assert_ok(push_number(queue, i, sizes[i]));
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            deliveries[i] = expect_take(queue, i, 1);
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            assert_ok(emmap_queue_release(queue, deliveries[i].ticket, 0));
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            assert_ok(emmap_queue_ack(queue, expect_take(queue, i, 2).ticket));
        nothing_left(queue);
    }
    close_file(queue);
}

static void ten_thousand_messages_are_in_hand_and_their_space_comes_back(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    enum { MANY = 20000 };
    emmap_delivery *const deliveries = malloc(MANY * sizeof *deliveries);
    push_numbers(queue, 0, MANY);
    for (uint64_t i = 0; i < MANY; i++)
        deliveries[i] = expect_take(queue, i, 1);
    for (uint64_t i = 0; i < MANY; i += 2)
        assert_ok(emmap_queue_release(queue, deliveries[i].ticket, 0));
    for (uint64_t i = 0; i < MANY; i += 2)
        assert_ok(emmap_queue_ack(queue, expect_take(queue, i, 2).ticket));
    for (uint64_t i = 1; i < MANY; i += 2)
        assert_ok(emmap_queue_ack(queue, deliveries[i].ticket));
    free(deliveries);
    struct stat about;
    assert_int_equal(stat(path_of("jobs-taken"), &about), 0);
    uint64_t given_back;
    assert_true(about.st_size > 4 << 20);
    if (emmap_queue_compact(queue, &given_back) != ENOTSUP)
        assert_true(about.st_blocks * 512 < 200000);
    nothing_left(queue);
    close_file(queue);
}

static void a_damaged_file_is_refused_and_the_queue_goes_on(void **state)
{
    (void)state;
    emmap_file *queue = open_jobs();
    push_numbers(queue, 0, 3);
    expect_take(queue, 0, 1);
    close_file(queue);
    static const uint8_t garbage[200] = "this is no file of messages in hand";
    put_file(path_of("jobs-taken"), garbage, sizeof garbage);
    queue = open_jobs();
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
    size_t count;
    assert_error(EMMAP_CORRUPT, emmap_queue_in_hand(queue, NULL, 0, &count));
    push_numbers(queue, 3, 4);
    for (uint64_t i = 1; i < 4; i++) {
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
    assert_file(path_of("jobs-taken"), garbage, sizeof garbage);
    close_file(queue);
}

static void a_file_that_was_replaced_in_use_is_refused(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    expect_take(queue, 0, 1);
    assert_int_equal(rename(path_of("jobs-taken"), path_of("elsewhere")), 0);
    emmap_file *const other = open_jobs();
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EBUSY, take_number(other, &number, &delivery));
    expect_take(queue, 1, 1);
    close_file(other);
    close_file(queue);
}

static void the_file_has_the_rights_of_the_queue_and_goes_with_it(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    struct stat about;
    assert_int_equal(chmod(path_of("jobs"), 0640), 0);
    push_numbers(queue, 0, 1);
    expect_take(queue, 0, 1);
    assert_int_equal(stat(path_of("jobs-taken"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    assert_int_equal(unlink(path_of("jobs")), 0);
    close_file(queue);
    assert_false(exists(path_of("jobs-taken")));
}

static void a_truncated_file_loses_no_message_of_the_queue(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    expect_take(queue, 0, 1);
    assert_int_equal(truncate(path_of("jobs-taken"), 0), 0);
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
    for (uint64_t i = 1; i < 3; i++) {
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
    close_file(queue);
}

static void a_link_in_the_place_of_the_file_is_refused(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    put_file(path_of("precious"), "precious", 8);
    assert_int_equal(symlink(path_of("precious"), path_of("jobs-taken")), 0);
    push_numbers(queue, 0, 1);
    uint64_t number;
    emmap_delivery delivery;
    assert_error(ELOOP, take_number(queue, &number, &delivery));
    close_file(queue);
    assert_file(path_of("precious"), "precious", 8);
}

static void a_purge_leaves_messages_in_hand(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 3);
    const emmap_delivery first = expect_take(queue, 0, 1), second = expect_take(queue, 1, 1);
    assert_ok(emmap_queue_release(queue, second.ticket, 0));
    assert_ok(emmap_queue_purge(queue));
    nothing_left(queue);
    assert_ok(emmap_queue_release(queue, first.ticket, 0));
    expect_take(queue, 0, 2);
    close_file(queue);
}

static void a_backup_has_the_messages_in_hand(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 5);
    expect_take(queue, 0, 1);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 1, 1).ticket, 1000000));
    assert_ok(emmap_queue_ack(queue, expect_take(queue, 2, 1).ticket));
    assert_ok(emmap_backup(queue, path_of("copy")));
    emmap_file *const copy = open_queue(path_of("copy"), QUEUE_RW, 0);
    static const uint64_t expected[] = {0, 1, 3, 4};
    uint64_t number;
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_ok(pop_number(copy, &number));
        assert_int_equal(number, expected[i]);
    }
    nothing_left(copy);
    close_file(copy);
    close_file(queue);
}

/* What a take, a dead owner and a delay leave beside the queue is there for a handle for reading, too. */
static void a_handle_for_reading_sees_what_is_in_hand(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs(), *const other = open_jobs();
    push_numbers(queue, 0, 6);
    expect_take(queue, 0, 1);
    const emmap_delivery second = expect_take(queue, 1, 1);
    expect_take(other, 2, 1);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 3, 1).ticket, 1000000));
    emmap_file *const reader = open_queue(path_of("jobs"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_int_equal(queue_length_of(reader), 2);
    assert_ok(emmap_queue_release(queue, second.ticket, 0));
    assert_int_equal(queue_length_of(reader), 3);
    close_file(other);
    assert_int_equal(queue_length_of(reader), 4);
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    assert_ok(emmap_queue_peek_front(reader, &sink));
    assert_int_equal(number_of(got.list[0].iov_base, got.list[0].iov_len), 1);
    pieces_free(&got);
    assert_ok(emmap_backup(reader, path_of("copy")));
    emmap_file *const copy = open_queue(path_of("copy"), QUEUE_RW, 0);
    uint64_t number;
    for (uint64_t i = 0; i < 6; i++) {
        assert_ok(pop_number(copy, &number));
        assert_int_equal(number, i);
    }
    nothing_left(copy);
    close_file(copy);
    /* A taker notices the death within 100 ms. */
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    for (int i = 0; i < 4; i++)
        assert_ok(pop_number(queue, &number));
    assert_int_equal(queue_length_of(reader), 0);
    bool empty;
    assert_ok(emmap_queue_is_empty(reader, &empty));
    assert_true(empty);
    assert_ok(emmap_queue_release_held(queue, 0));
    assert_ok(emmap_queue_is_empty(reader, &empty));
    assert_false(empty);
    close_file(reader);
    close_file(queue);
}

static void overwrite(const char *path, off_t at, const void *bytes, size_t length)
{
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
    close(fd);
}

static void a_file_damaged_in_use_leaves_the_queue_usable(void **state)
{
    (void)state;
    static const uint8_t ones[4] = {255, 255, 255, 255};
    static const off_t length_at = offsetof(taken_file_t, cell) + offsetof(taken_cell_t, length);
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 4);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 0, 1).ticket, 0));
    overwrite(path_of("jobs-taken"), length_at, ones, sizeof ones);
    emmap_in_hand entry;
    size_t count;
    assert_error(EMMAP_CORRUPT, emmap_queue_in_hand(queue, &entry, 1, &count));
    assert_int_equal(emmap_last_failure()->offset, offsetof(taken_file_t, cell));
    emmap_inspection *found;
    assert_ok(emmap_inspect(path_of("jobs"), EMMAP_CHECK, &found));
    bool damaged = false;
    for (size_t i = 0; i < found->file.count; i++)
        damaged = damaged || strcmp(found->file.fact[i].name, "damage") == 0;
    emmap_inspection_free(found);
    assert_true(damaged);
    emmap_file *const reader = open_queue(path_of("jobs"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_int_equal(queue_length_of(reader), 3);
    assert_error(EMMAP_CORRUPT, emmap_backup(reader, path_of("copy")));
    close_file(reader);
    uint64_t number;
    emmap_delivery delivery;
    for (uint64_t i = 1; i < 4; i++) {
        assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
        assert_int_equal(queue_length_of(queue), 4 - i);
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
    assert_error(EMMAP_EOF, pop_number(queue, &number));
    assert_ok(push_number(queue, 4, 24));
    assert_ok(pop_number(queue, &number));
    close_file(queue);
}

static void a_damaged_message_is_none_for_a_waiter(void **state)
{
    (void)state;
    static const uint8_t ones[4] = {255, 255, 255, 255};
    static const off_t length_at = offsetof(taken_file_t, cell) + offsetof(taken_cell_t, length);
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 1);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 0, 1).ticket, 0));
    overwrite(path_of("jobs-taken"), length_at, ones, sizeof ones);
    emmap_wait *wait;
    const emmap_waiter nobody = {0};
    assert_error(EMMAP_EOF, emmap_queue_peek_front(queue, &(emmap_sink){0}));
    assert_error(ETIMEDOUT, emmap_queue_wait_begin(queue, 0, &nobody, &wait));
    uint64_t number;
    assert_error(EMMAP_EOF, pop_number(queue, &number));
    assert_error(ETIMEDOUT, emmap_queue_wait_begin(queue, 0, &nobody, &wait));
    close_file(queue);
}

/* The heap follows from the cells. */
static void a_damaged_heap_is_made_again(void **state)
{
    (void)state;
    static const uint8_t ones[4] = {255, 255, 255, 255};
    static const off_t heap_at = offsetof(taken_file_t, cell) + offsetof(taken_cell_t, heap);
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 6);
    for (uint64_t i = 0; i < 4; i++)
        expect_take(queue, i, 1);
    assert_ok(emmap_queue_release_held(queue, 0));
    overwrite(path_of("jobs-taken"), heap_at, ones, sizeof ones);
    uint64_t number;
    assert_ok(pop_number(queue, &number));
    assert_int_equal(number, 0);
    overwrite(path_of("jobs-taken"), heap_at + TAKEN_CELL, ones, sizeof ones);
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count;
    assert_ok(emmap_queue_pop_many(queue, 3, &sink, &count));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(number_of(got.list[i].iov_base, got.list[i].iov_len), 1 + i);
    pieces_free(&got);
    expect_take(queue, 4, 1);
    close_file(queue);
}

static void a_file_cut_in_its_table_of_owners_leaves_the_queue_usable(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs();
    push_numbers(queue, 0, 4);
    assert_ok(emmap_queue_release(queue, expect_take(queue, 0, 1).ticket, 0));
    assert_int_equal(truncate(path_of("jobs-taken"), 5000), 0);
    uint64_t number;
    emmap_delivery delivery;
    for (uint64_t i = 1; i < 4; i++) {
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
        assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
    }
    close_file(queue);
}

static void memory_without_a_file_has_deliveries_too(void **state)
{
    (void)state;
    emmap_file *queue;
    const emmap_options options = {
        .flags = EMMAP_OPEN_ANON | EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, .size = 4096};
    assert_ok(emmap_open("", &options, &queue));
    assert_ok(emmap_queue_attach(queue));
    push_numbers(queue, 0, 2);
    const emmap_delivery first = expect_take(queue, 0, 1);
    assert_ok(emmap_queue_release(queue, first.ticket, 0));
    expect_take(queue, 0, 2);
    close_file(queue);
}

/* ---- Repair ---- */

/* Changes the file of messages in hand. `at` is an offset from a cell's beginning; of the header with cell -1. */
static void damage(int cell, size_t at, const void *bytes, size_t length)
{
    const int fd = open(path_of("jobs-taken"), O_WRONLY | O_CLOEXEC);
    const size_t from = cell < 0 ? 0 : offsetof(taken_file_t, cell) + (size_t)cell * TAKEN_CELL;
    assert_int_equal(pwrite(fd, bytes, length, (off_t)(from + at)), length);
    close(fd);
}

static void damage_number(int cell, size_t at, uint32_t number)
{
    damage(cell, at, &number, sizeof number);
}

/* Leaves messages in hand whose owner is dead, 0 to `count` - 1. Each takes two cells: 2 n and 2 n + 1. */
static void leave_in_hand(unsigned count)
{
    emmap_file *const queue = open_jobs();
    for (unsigned i = 0; i < count; i++)
        assert_ok(push_number(queue, i, 300));
    for (unsigned i = 0; i < count; i++)
        expect_take(queue, i, 1);
    close_file(queue);
}

static void expect_repair(emmap_file *queue, uint64_t expected)
{
    uint64_t lost;
    assert_ok(emmap_queue_repair(queue, &lost));
    assert_int_equal(lost, expected);
    assert_ok(emmap_queue_repair(queue, &lost));
    assert_int_equal(lost, 0);
}

static void a_repair_keeps_the_sound_messages(void **state)
{
    (void)state;
    leave_in_hand(9);
    damage_number(0, offsetof(taken_cell_t, length), UINT32_MAX);
    damage_number(2, offsetof(taken_cell_t, length), 0);
    damage_number(6, offsetof(taken_cell_t, next), 0);
    /* It shares a cell with the next message, and nothing tells whose it is. */
    damage_number(8, offsetof(taken_cell_t, next), 11 + 1);
    damage_number(14, offsetof(taken_cell_t, owner), 5000);
    emmap_file *const queue = open_jobs();
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
    expect_repair(queue, 5);
    expect_take(queue, 2, 2);
    for (uint64_t i = 6; i < 9; i++)
        expect_take(queue, i, 2);
    nothing_left(queue);
    assert_ok(push_number(queue, 9, 5000));
    expect_take(queue, 9, 1);
    close_file(queue);
}

/* All messages go on to one long chain, and a circle leads to itself: a walk from each of them would not come to its end. */
static void a_repair_ends_however_cells_are_linked(void **state)
{
    (void)state;
    enum { MESSAGES = 1 << 16, CHAIN = 1 << 16, CIRCLE = 2 };
    const uint32_t length = sizeof((taken_cell_t *)0)->payload + CHAIN * TAKEN_MORE_BYTES;
    const size_t size = (MESSAGES + CHAIN + CIRCLE) * sizeof(taken_cell_t);
    leave_in_hand(1);
    taken_cell_t *const cells = calloc(1, size);
    assert_non_null(cells);
    for (uint32_t i = 0; i < MESSAGES; i++)
        cells[i] = (taken_cell_t){.state = TAKEN_IN_HAND, .next = 1 + MESSAGES, .length = length};
    for (uint32_t i = 0; i < CHAIN + CIRCLE; i++)
        cells[MESSAGES + i] = (taken_cell_t){.state = TAKEN_MORE, .next = MESSAGES + i + 2};
    cells[MESSAGES + CHAIN - 1].next = 0;
    cells[MESSAGES + CHAIN + CIRCLE - 1].next = 1 + MESSAGES + CHAIN;
    damage(0, 0, cells, size);
    free(cells);
    emmap_file *const queue = open_jobs();
    expect_repair(queue, MESSAGES);
    nothing_left(queue);
    close_file(queue);
}

static void a_repair_makes_a_header_again(void **state)
{
    (void)state;
    static const uint8_t zeros[4096], garbage[64] = "some other file has been written here";
    const struct {
        const void *bytes;
        size_t length;
    } damages[] = {{zeros, sizeof zeros}, {garbage, sizeof garbage}};
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        leave_in_hand(40);
        damage(-1, 0, damages[i].bytes, damages[i].length);
        emmap_file *const queue = open_jobs();
        uint64_t number;
        emmap_delivery delivery;
        size_t count;
        assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
        assert_error(EMMAP_CORRUPT, emmap_queue_in_hand(queue, NULL, 0, &count));
        expect_repair(queue, 0);
        for (unsigned j = 0; j < 40; j++)
            assert_ok(emmap_queue_ack(queue, expect_take(queue, j, 2).ticket));
        nothing_left(queue);
        close_file(queue);
    }
}

static void a_repair_tells_what_a_cut_has_taken(void **state)
{
    (void)state;
    static const struct {
        size_t length, kept;
    } cuts[] = {{offsetof(taken_file_t, cell) + 7 * TAKEN_CELL + 100, 3}, {5000, 0}, {200, 0}};
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        leave_in_hand(5);
        /* So that the counts are sound. */
        emmap_file *queue = open_jobs();
        expect_take(queue, 0, 2);
        close_file(queue);
        assert_int_equal(truncate(path_of("jobs-taken"), (off_t)cuts[i].length), 0);
        queue = open_jobs();
        uint64_t number;
        emmap_delivery delivery;
        assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
        expect_repair(queue, 5 - cuts[i].kept);
        for (size_t j = 0; j < cuts[i].kept; j++)
            assert_ok(emmap_queue_ack(queue, expect_take(queue, j, j == 0 ? 3 : 2).ticket));
        nothing_left(queue);
        close_file(queue);
    }
}

static void a_repair_leaves_messages_in_the_hands_of_the_living(void **state)
{
    (void)state;
    emmap_file *const queue = open_jobs(), *const other = open_jobs();
    push_numbers(queue, 0, 3);
    const emmap_delivery first = expect_take(queue, 0, 1), second = expect_take(other, 1, 1);
    expect_take(other, 2, 1);
    damage_number(2, offsetof(taken_cell_t, length), UINT32_MAX);
    expect_repair(queue, 1);
    nothing_left(queue);
    assert_ok(emmap_queue_ack(queue, first.ticket));
    assert_ok(emmap_queue_ack(other, second.ticket));
    assert_int_equal(in_hand(queue, NULL, 0), 0);
    /* Pages that have gone away. */
    push_numbers(queue, 3, 5);
    expect_take(queue, 3, 1);
    assert_int_equal(truncate(path_of("jobs-taken"), 5000), 0);
    uint64_t number;
    emmap_delivery delivery;
    assert_error(EMMAP_CORRUPT, take_number(queue, &number, &delivery));
    expect_repair(queue, 1);
    expect_take(queue, 4, 1);
    close_file(other);
    close_file(queue);
}

static void a_repair_of_a_synced_queue_finds_wrong_bytes(void **state)
{
    (void)state;
    emmap_file *queue = open_jobs();
    assert_ok(emmap_sync(queue));
    push_numbers(queue, 0, 2);
    expect_take(queue, 0, 1);
    expect_take(queue, 1, 1);
    close_file(queue);
    damage(0, offsetof(taken_cell_t, payload) + 9, "x", 1);
    queue = open_jobs();
    expect_repair(queue, 1);
    expect_take(queue, 1, 2);
    nothing_left(queue);
    close_file(queue);
}

static void a_repair_leaves_other_files_alone(void **state)
{
    (void)state;
    uint64_t lost;
    emmap_file *queue = open_jobs();
    assert_ok(emmap_queue_repair(queue, &lost));
    assert_int_equal(lost, 0);
    assert_false(exists(path_of("jobs-taken")));
    static const uint8_t text[100000] = "this is no file of messages in hand";
    static const size_t lengths[] = {36, 5000, sizeof text};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        put_file(path_of("jobs-taken"), text, lengths[i]);
        assert_error(EMMAP_CORRUPT, emmap_queue_repair(queue, &lost));
        assert_file(path_of("jobs-taken"), text, lengths[i]);
    }
    assert_int_equal(unlink(path_of("jobs-taken")), 0);
    put_file(path_of("precious"), text, sizeof text);
    assert_int_equal(symlink(path_of("precious"), path_of("jobs-taken")), 0);
    assert_error(ELOOP, emmap_queue_repair(queue, &lost));
    assert_int_equal(unlink(path_of("jobs-taken")), 0);
    close_file(queue);
    leave_in_hand(1);
    damage_number(-1, offsetof(taken_file_t, version), 2);
    queue = open_jobs();
    assert_error(ENOTSUP, emmap_queue_repair(queue, &lost));
    close_file(queue);
    queue = open_queue(path_of("jobs"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_error(EACCES, emmap_queue_repair(queue, &lost));
    close_file(queue);
}

/* ---- Another queue of the same name ---- */

static void a_new_queue_has_no_messages_of_a_removed_one(void **state)
{
    (void)state;
    leave_in_hand(2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(path_of("jobs")), 0);
        emmap_file *const queue = open_jobs();
        nothing_left(queue);
        assert_int_equal(in_hand(queue, NULL, 0), 0);
        push_numbers(queue, 10, 11);
        expect_take(queue, 10, 1);
        close_file(queue);
    }
    assert_true(exists(path_of("jobs-taken.former")));
    assert_true(exists(path_of("jobs-taken.former-2")));
    /* Its messages come back beside an empty queue. */
    emmap_file *queue = open_queue(path_of("other"), QUEUE_RW, 4096);
    close_file(queue);
    assert_int_equal(rename(path_of("jobs-taken.former"), path_of("other-taken")), 0);
    queue = open_queue(path_of("other"), QUEUE_RW, 4096);
    expect_take(queue, 0, 2);
    expect_take(queue, 1, 2);
    close_file(queue);
}

static void a_copy_and_its_messages_in_hand_belong_together(void **state)
{
    (void)state;
    leave_in_hand(1);
    emmap_file *queue = open_jobs();
    push_numbers(queue, 5, 6);
    close_file(queue);
    /* As a restored backup: the file has another inode. */
    assert_int_equal(rename(path_of("jobs"), path_of("before")), 0);
    queue = open_queue(path_of("before"), QUEUE_RW, 0);
    assert_ok(emmap_backup(queue, path_of("jobs")));
    close_file(queue);
    queue = open_jobs();
    expect_take(queue, 0, 2);
    expect_take(queue, 5, 1);
    close_file(queue);
    assert_false(exists(path_of("jobs-taken.former")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(messages_are_taken_in_order_and_acknowledged_in_any),
        folder_test(a_released_message_comes_before_the_next_one),
        folder_test(pop_peek_and_remove_see_released_messages),
        folder_test(a_delay_has_a_limit),
        folder_test(a_delay_holds_for_new_handles_too),
        folder_test(a_message_put_back_is_the_first_one_again),
        folder_test(closing_a_handle_releases_what_it_has_in_hand),
        folder_test(messages_of_a_dead_process_are_delivered_again),
        folder_test(only_the_messages_of_a_holder_are_released),
        folder_test(holders_whose_numbers_end_alike_are_told_apart),
        folder_test(all_messages_go_back_into_the_queue),
        folder_test(messages_of_any_size_are_taken),
        folder_test(ten_thousand_messages_are_in_hand_and_their_space_comes_back),
        folder_test(a_damaged_file_is_refused_and_the_queue_goes_on),
        folder_test(a_file_that_was_replaced_in_use_is_refused),
        folder_test(the_file_has_the_rights_of_the_queue_and_goes_with_it),
        folder_test(a_truncated_file_loses_no_message_of_the_queue),
        folder_test(a_link_in_the_place_of_the_file_is_refused),
        folder_test(a_purge_leaves_messages_in_hand),
        folder_test(a_backup_has_the_messages_in_hand),
        folder_test(a_handle_for_reading_sees_what_is_in_hand),
        folder_test(a_file_damaged_in_use_leaves_the_queue_usable),
        folder_test(a_damaged_message_is_none_for_a_waiter),
        folder_test(a_damaged_heap_is_made_again),
        folder_test(a_file_cut_in_its_table_of_owners_leaves_the_queue_usable),
        folder_test(memory_without_a_file_has_deliveries_too),
        folder_test(a_repair_keeps_the_sound_messages),
        folder_test(a_repair_ends_however_cells_are_linked),
        folder_test(a_repair_makes_a_header_again),
        folder_test(a_repair_tells_what_a_cut_has_taken),
        folder_test(a_repair_leaves_messages_in_the_hands_of_the_living),
        folder_test(a_repair_of_a_synced_queue_finds_wrong_bytes),
        folder_test(a_repair_leaves_other_files_alone),
        folder_test(a_new_queue_has_no_messages_of_a_removed_one),
        folder_test(a_copy_and_its_messages_in_hand_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
