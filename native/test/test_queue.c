/* Queues: their bytes, and the calls that they refuse. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "structures.h"

static emmap_error push_text(emmap_file *queue, const char *text)
{
    const struct iovec vector = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    return emmap_queue_push(queue, &vector, 1);
}

static void assert_next(emmap_file *queue, uint64_t expected)
{
    uint64_t number;
    assert_ok(pop_number(queue, &number));
    assert_int_equal(number, expected);
}

static void assert_empty(emmap_file *queue)
{
    uint64_t number;
    bool empty;
    assert_error(EMMAP_EOF, pop_number(queue, &number));
    assert_ok(emmap_queue_is_empty(queue, &empty));
    assert_true(empty);
    assert_int_equal(queue_length_of(queue), 0);
}

static void assert_header(emmap_file *queue, uint64_t size, uint64_t head, uint64_t tail)
{
    const emmap_queue_metadata info = queue_info_of(queue);
    assert_int_equal(info.size, size);
    assert_int_equal(info.head, head);
    assert_int_equal(info.tail, tail);
    assert_int_equal(info.next_tail, tail);
}

static void a_new_queue_is_a_header_and_zeros(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, 0, 1024);
    assert_empty(queue);
    close_file(queue);
    uint8_t expected[1024] = {0, 0, 4, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 16};
    assert_file(path, expected, sizeof expected);
}

/* The lengths of the fixture's terms without their padding, which the file does not record. */
static const size_t term_lengths[] = {8, 3, 3, 6, 17, 10, 9, 8, 2, 12, 20, 26, 7, 6, 8, 8, 742, 22};

static void a_pushed_queue_is_byte_for_byte_what_emmap_writes(void **state)
{
    (void)state;
    size_t length;
    const uint8_t *const expected = get_file("fixtures/queue.bin", &length);
    const char *const path = path_of("queue");
    emmap_file *const from = open_queue(fixture("queue.bin"), EMMAP_OPEN_READ, 0);
    emmap_file *const to = open_queue(path, 0, 8192);
    pieces messages = {0};
    const emmap_sink sink = sink_pieces(&messages);
    uint64_t place = 0, count;
    assert_ok(emmap_queue_walk(from, EMMAP_QUEUE_FORWARD, 100, &place, &sink, &count));
    assert_int_equal(count, COUNT_OF(term_lengths));
    assert_memory_equal(messages.list[0].iov_base, "\x83w\5hello", 8);
    for (size_t i = 0; i < count; i++) {
        const struct iovec message = {.iov_base = messages.list[i].iov_base, .iov_len = term_lengths[i]};
        assert_ok(emmap_queue_push_many(to, &message, 1));
    }
    pieces_free(&messages);
    close_file(from);
    close_file(to);
    assert_file(path, expected, length);
}

static void popping_leaves_what_emmap_leaves(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, 0, 1024);
    for (char i = 1; i <= 5; i++) {
        char term[] = {'\x83', 'h', 2, 'w', 1, 'n', 'a', i};
        const struct iovec pieces[] = {{.iov_base = term, .iov_len = 3},
                                       {.iov_base = term + 3, .iov_len = 5}};
        assert_ok(emmap_queue_push(queue, pieces, 2));
    }
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_queue_pop(queue, &sink));
    assert_ok(emmap_queue_pop(queue, &sink));
    assert_memory_equal(got.data, "\x83h\2w\1na\2", 8);
    bytes_free(&got);
    close_file(queue);
    size_t length;
    const uint8_t *const expected = get_file("fixtures/queue-popped.bin", &length);
    assert_file(path, expected, length);
}

static void what_a_dead_writer_reserved_is_given_back(void **state)
{
    (void)state;
    const char *const path = fixture("queue-torn.bin");
    emmap_file *queue = open_queue(path, EMMAP_OPEN_READ, 0);
    assert_int_equal(queue_length_of(queue), 1);
    assert_int_equal(queue_info_of(queue).next_tail, 0x4e);
    close_file(queue);
    queue = open_queue(path, 0, 0);
    assert_header(queue, 1024, 16, 0x26);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_queue_pop(queue, &sink));
    assert_memory_equal(got.data, "\x83w\4kept", 7);
    bytes_free(&got);
    assert_empty(queue);
    close_file(queue);
}

static void messages_come_out_in_the_order_they_went_in(void **state)
{
    (void)state;
    static const uint32_t flags[] = {QUEUE_RW, QUEUE_RW | EMMAP_OPEN_EXCLUSIVE,
                                     QUEUE_RW | EMMAP_OPEN_NORESERVE};
    for (size_t mode = 0; mode < COUNT_OF(flags); mode++) {
        emmap_file *const queue = open_queue(path_of("queue"), flags[mode], 64);
        for (uint64_t i = 0; i < 500; i++)
            assert_ok(push_number(queue, i, 8 + i % 100));
        assert_int_equal(queue_length_of(queue), 500);
        for (uint64_t i = 0; i < 500; i++)
            assert_next(queue, i);
        assert_empty(queue);
        /* The next message goes to the file's start. */
        assert_true(queue_info_of(queue).tail > 16);
        assert_ok(push_number(queue, 1, 8));
        assert_int_equal(queue_info_of(queue).head, 16);
        assert_next(queue, 1);
        close_file(queue);
    }
}

static void every_length_of_message_comes_back_with_its_padding(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), 0, 64);
    assert_error(EINVAL, push_text(queue, ""));
    assert_error(EINVAL, emmap_queue_push(queue, NULL, 0));
    uint8_t data[300];
    memset(data, 0xaa, sizeof data);
    for (size_t length = 1; length < sizeof data; length++) {
        const struct iovec vector = {.iov_base = data, .iov_len = length};
        assert_ok(emmap_queue_push(queue, &vector, 1));
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        assert_ok(emmap_queue_pop(queue, &sink));
        assert_int_equal(got.length, length + length % 8);
        assert_memory_equal(got.data, data, length);
        for (size_t i = length; i < got.length; i++)
            assert_int_equal(got.data[i], 0);
        bytes_free(&got);
    }
    close_file(queue);
}

static void a_queue_grows_by_steps_and_opens_whatever_size_is_asked_for(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    const emmap_options options = {.flags = QUEUE_RW, .size = 100, .max_inc_size = 1000};
    emmap_file *queue, *looker;
    assert_ok(emmap_queue_open(path, &options, &queue));
    looker = open_queue(path, EMMAP_OPEN_READ, 0);
    uint64_t last = 100;
    for (uint64_t i = 0; i < 100; i++) {
        assert_ok(push_number(queue, i, 48));
        const uint64_t size = queue_info_of(looker).size;
        assert_true(size == last || size == (last < 1000 ? 2 * last : last + 1000));
        assert_int_equal(size_of_file(path), size);
        last = size;
    }
    close_file(queue);
    static const uint64_t sizes[] = {0, 16, 100, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        queue = open_queue(path, QUEUE_RW, sizes[i]);
        assert_int_equal(queue_info_of(queue).size, last);
        assert_int_equal(size_of_file(path), last);
        assert_int_equal(queue_length_of(queue), 100);
        close_file(queue);
    }
    assert_int_equal(queue_length_of(looker), 100);
    close_file(looker);
}

static void a_full_queue_of_fixed_size_is_as_it_was(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 16 + 10 * 16);
    for (uint64_t i = 0; i < 10; i++)
        assert_ok(push_number(queue, i, 8));
    size_t length;
    const uint8_t *const before = get_file(path, &length);
    assert_error(EMMAP_FULL, push_number(queue, 10, 8));
    assert_file(path, before, length);
    close_file(queue);
}

static void messages_move_down_where_that_makes_the_room(void **state)
{
    (void)state;
    for (uint64_t popped = 1; popped <= 10; popped++)
        for (int fixed = 0; fixed < 2; fixed++) {
            char name[32];
            snprintf(name, sizeof name, "queue-%d-%d", (int)popped, fixed);
            const char *const path = path_of(name);
            const uint32_t flags = QUEUE_RW | (fixed ? EMMAP_OPEN_FIXED_SIZE : 0);
            emmap_file *const queue = open_queue(path, flags, 16 + 10 * 32);
            uint64_t next = 0;
            while (next < 10)
                assert_ok(push_number(queue, next++, 24));
            for (uint64_t first = 0; first < 200; first += popped) {
                for (uint64_t i = 0; i < popped; i++)
                    assert_next(queue, first + i);
                for (uint64_t i = 0; i < popped; i++)
                    assert_ok(push_number(queue, next++, 24));
                assert_int_equal(queue_length_of(queue), 10);
            }
            assert_int_equal(size_of_file(path), 16 + 10 * 32);
            close_file(queue);
        }
}

/* A push may move the queue's messages, and its own argument may be bytes of the queue. */
static void a_message_of_the_queue_itself_is_pushed_as_it_was(void **state)
{
    (void)state;
    enum { LENGTH = 400 };
    emmap_file *const queue = open_queue(path_of("queue"), EMMAP_OPEN_FIXED_SIZE, 1024);
    char first[LENGTH], second[LENGTH];
    memset(first, '1', LENGTH);
    memset(second, '2', LENGTH);
    const struct iovec pushed[] = {{.iov_base = first, .iov_len = LENGTH},
                                   {.iov_base = second, .iov_len = LENGTH}};
    assert_ok(emmap_queue_push_many(queue, pushed, 2));
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_queue_pop(queue, &sink));
    const uint64_t head = queue_info_of(queue).head;
    emmap_slice slice;
    assert_ok(emmap_pread_direct(queue, head + 4, LENGTH, &slice));
    /* Each half is a vector, and something else lies between. */
    const struct iovec again[] = {{.iov_base = slice.data, .iov_len = LENGTH / 2},
                                  {.iov_base = "--------", .iov_len = 8},
                                  {.iov_base = slice.data + LENGTH / 2, .iov_len = LENGTH / 2}};
    assert_ok(emmap_queue_push(queue, again, 3));
    assert_int_equal(queue_info_of(queue).head, 16);
    char expected[LENGTH + 8];
    memset(expected, '2', sizeof expected);
    memcpy(expected + LENGTH / 2, "--------", 8);
    assert_ok(emmap_queue_pop(queue, &sink));
    assert_memory_equal(got.data, second, LENGTH);
    assert_ok(emmap_queue_pop(queue, &sink));
    assert_int_equal(got.length, sizeof expected);
    assert_memory_equal(got.data, expected, sizeof expected);
    emmap_slice_release(&slice);
    bytes_free(&got);
    close_file(queue);
}

static void a_large_queue_grows_rather_than_move_much_for_little(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 1 << 20);
    uint64_t next = 0;
    while (queue_info_of(queue).tail + 16 <= 1 << 20)
        assert_ok(push_number(queue, next++, 8));
    assert_next(queue, 0);
    assert_ok(push_number(queue, next++, 8));
    assert_int_equal(size_of_file(path), 2 << 20);
    /* A quarter of the file is worth a move. */
    while (queue_info_of(queue).tail + 16 <= 2 << 20)
        assert_ok(push_number(queue, next++, 8));
    uint64_t first = 1;
    while (queue_info_of(queue).head < 600 * 1024)
        assert_next(queue, first++);
    assert_ok(push_number(queue, next++, 8));
    assert_int_equal(size_of_file(path), 2 << 20);
    assert_int_equal(queue_info_of(queue).head, 16);
    while (first < next)
        assert_next(queue, first++);
    close_file(queue);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *queue = open_queue(path, QUEUE_RW, 4096);
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(push_number(queue, i, 8 + i));
    close_file(queue);
    size_t length;
    const uint8_t *const before = get_file(path, &length);
    const uint32_t modes[] = {EMMAP_OPEN_READ, EMMAP_OPEN_WRITE};
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        queue = open_queue(path, modes[mode], 0);
        bytes got = {0};
        emmap_sink sink = sink_into(&got);
        assert_ok(emmap_queue_peek_front(queue, &sink));
        assert_int_equal(number_of(got.data, got.length), 0);
        assert_ok(emmap_queue_peek_back(queue, &sink));
        assert_int_equal(number_of(got.data, got.length), 19);
        for (uint64_t limit = 1; limit < 25; limit += 6)
            for (int direction = EMMAP_QUEUE_FORWARD; direction <= EMMAP_QUEUE_BACKWARD; direction++) {
                pieces all = {0};
                const emmap_sink collector = sink_pieces(&all);
                uint64_t place = 0, count;
                emmap_error error;
                while ((error = emmap_queue_walk(queue, (emmap_queue_direction)direction, limit, &place,
                                                 &collector, &count)) == EMMAP_OK)
                    ;
                assert_error(EMMAP_EOF, error);
                assert_int_equal(all.count, 20);
                for (size_t i = 0; i < 20; i++)
                    assert_int_equal(number_of(all.list[i].iov_base, all.list[i].iov_len),
                                     direction == EMMAP_QUEUE_FORWARD ? i : 19 - i);
                pieces_free(&all);
            }
        bytes_free(&got);
        if (modes[mode] == EMMAP_OPEN_READ) {
            uint64_t count;
            assert_error(EACCES, emmap_queue_pop(queue, &sink));
            assert_error(EACCES, push_text(queue, "x"));
            assert_error(EACCES, emmap_queue_purge(queue));
            assert_error(EACCES, emmap_queue_pop_begin(queue, &sink, &count));
        }
        close_file(queue);
    }
    assert_file(path, before, length);
}

/* Changes of a queue of ten messages of 32 bytes in the middle of a walk. */
static void refill(emmap_file *queue, uint64_t count, uint64_t first)
{
    for (uint64_t i = 0; i < count; i++)
        assert_ok(push_number(queue, first + i, 24));
}

static void drain(emmap_file *queue)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    while (emmap_queue_pop(queue, &sink) == EMMAP_OK)
        ;
    bytes_free(&got);
}

static void empty_by_pops(emmap_file *queue, uint64_t first)
{
    drain(queue);
    refill(queue, 10, first);
}

static void empty_by_commit(emmap_file *queue, uint64_t first)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket;
    while (emmap_queue_pop_begin(queue, &sink, &ticket) == EMMAP_OK)
        assert_ok(emmap_queue_pop_commit(queue, ticket));
    bytes_free(&got);
    refill(queue, 10, first);
}

static void empty_by_pop_many(emmap_file *queue, uint64_t first)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count;
    assert_ok(emmap_queue_pop_many(queue, 100, &sink, &count));
    pieces_free(&got);
    refill(queue, 10, first);
}

static void empty_by_purge(emmap_file *queue, uint64_t first)
{
    assert_ok(emmap_queue_purge(queue));
    refill(queue, 10, first);
}

static void empty_by_erase(emmap_file *queue, uint64_t first)
{
    assert_ok(emmap_queue_erase(queue));
    refill(queue, 10, first);
}

/* Fills the queue to its end, so that the next push moves the messages. */
static void move(emmap_file *queue, uint64_t first)
{
    const emmap_queue_metadata info = queue_info_of(queue);
    const uint64_t room = (info.size - info.tail) / 32;
    refill(queue, room, 10);
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t number;
        assert_ok(pop_number(queue, &number));
    }
    refill(queue, 1, first);
    assert_int_equal(queue_info_of(queue).head, 16);
}

typedef void disturbance(emmap_file *queue, uint64_t first);

static void check_lost(disturbance *disturb, uint32_t flags, uint64_t first, emmap_queue_direction direction)
{
    const char *const path = path_of("queue");
    unlink(path);
    emmap_file *const queue = open_queue(path, QUEUE_RW, 4096);
    emmap_file *const other = open_queue(path, flags, 0);
    refill(queue, 10, 0);
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    for (int round = 0; round < 3; round++) {
        uint64_t place = 0, count;
        assert_ok(emmap_queue_walk(other, direction, 3, &place, &sink, &count));
        disturb(queue, first);
        assert_error(ESTALE, emmap_queue_walk(other, direction, 3, &place, &sink, &count));
        drain(queue);
        refill(queue, 10, 0);
    }
    pieces_free(&got);
    close_file(queue);
    close_file(other);
}

static void a_walk_does_not_take_another_era_for_its_own(void **state)
{
    (void)state;
    disturbance *const all[] = {empty_by_pops,  empty_by_commit, empty_by_pop_many,
                                empty_by_purge, empty_by_erase,  move};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        /* Other messages of the same size, and then the same messages again. */
        check_lost(all[i], EMMAP_OPEN_READ, 1000, EMMAP_QUEUE_FORWARD);
        check_lost(all[i], EMMAP_OPEN_READ, 0, EMMAP_QUEUE_FORWARD);
        check_lost(all[i], EMMAP_OPEN_WRITE, 0, EMMAP_QUEUE_FORWARD);
        check_lost(all[i], EMMAP_OPEN_WRITE, 1000, EMMAP_QUEUE_BACKWARD);
    }
}

/* Messages overwrite the era's number, or the queue is too small to have one. */
static void a_walk_of_a_full_queue_knows_its_messages(void **state)
{
    (void)state;
    const uint64_t sizes[] = {16 + 10 * 32, 4096 - 4096 % 32 + 16, 3 * 32 + 16};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const uint64_t room = (sizes[i] - 16) / 32;
        const char *const path = path_of("queue");
        unlink(path);
        emmap_file *const queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, sizes[i]);
        refill(queue, room, 0);
        pieces got = {0};
        const emmap_sink sink = sink_pieces(&got);
        uint64_t place = 0, count;
        assert_ok(emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count));
        assert_ok(emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count));
        drain(queue);
        refill(queue, room, 1000);
        assert_error(ESTALE, emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count));
        assert_int_equal(got.count, 2);
        pieces_free(&got);
        close_file(queue);
    }
}

static void pushes_and_pops_leave_a_walk_its_place(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    uint64_t pushed = 0, popped = 0, seen = 0;
    /* A queue in its second era has a number. Messages overwrite it, and the file grows. */
    refill(queue, 1, 0);
    assert_next(queue, 0);
    for (; pushed < 10; pushed++)
        refill(queue, 1, pushed);
    uint64_t place = 0, count;
    emmap_error error;
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    while ((error = emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count)) == EMMAP_OK) {
        assert_int_equal(number_of(got.data, got.length), seen++);
        if (pushed < 400)
            refill(queue, 2, pushed), pushed += 2;
        else if (popped < seen)
            assert_next(queue, popped++);
    }
    /* Messages that overwrite the number lose it: a walk that had it begins anew. */
    while (error == ESTALE) {
        place = 0;
        seen = popped;
        while ((error = emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count)) == EMMAP_OK) {
            assert_int_equal(number_of(got.data, got.length), seen++);
            if (pushed < 400)
                refill(queue, 2, pushed), pushed += 2;
        }
    }
    assert_error(EMMAP_EOF, error);
    assert_int_equal(seen, pushed);
    bytes_free(&got);
    close_file(queue);
}

static void a_taken_message_is_not_committed_for_another(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 4096);
    refill(queue, 2, 0);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket;
    assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    /* A writer that takes no lock has put another message of that size there. */
    emmap_file *const file = open_file(path, EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    const struct iovec other = {.iov_base = "another", .iov_len = 7};
    assert_ok(emmap_pwrite(file, 20, &other, 1));
    assert_error(ESTALE, emmap_queue_pop_commit(queue, ticket));
    assert_int_equal(queue_length_of(queue), 2);
    bytes_free(&got);
    close_file(file);
    close_file(queue);
}

static void a_walk_goes_on_while_others_change_the_queue(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 16 + 10 * 32);
    emmap_file *const other = open_queue(path, EMMAP_OPEN_READ, 0);
    for (uint64_t i = 0; i < 10; i++)
        assert_ok(push_number(queue, i, 24));
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t place = 0, count;
    assert_ok(emmap_queue_walk(other, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count));
    for (uint64_t i = 0; i < 4; i++)
        assert_next(queue, i);
    /* The walk passes over popped messages. */
    assert_ok(emmap_queue_walk(other, EMMAP_QUEUE_FORWARD, 2, &place, &sink, &count));
    assert_int_equal(number_of(got.data, got.length), 5);
    /* A move by a length that no message has loses the place. */
    assert_ok(push_number(queue, 10, 33));
    assert_int_equal(queue_info_of(other).head, 16);
    assert_next(queue, 4);
    uint64_t lost = 100;
    assert_error(ESTALE, emmap_queue_walk(other, EMMAP_QUEUE_FORWARD, 1, &lost, &sink, &count));
    assert_error(ESTALE, emmap_queue_walk(queue, EMMAP_QUEUE_BACKWARD, 1, &lost, &sink, &count));
    lost = UINT64_MAX;
    assert_error(ESTALE, emmap_queue_walk(other, EMMAP_QUEUE_FORWARD, 1, &lost, &sink, &count));
    assert_ok(emmap_queue_purge(queue));
    assert_error(EMMAP_EOF, emmap_queue_walk(other, EMMAP_QUEUE_FORWARD, 1, &place, &sink, &count));
    bytes_free(&got);
    close_file(queue);
    close_file(other);
}

static void an_empty_queue_is_reset_and_one_with_messages_is_not(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    bool empty = false;
    assert_ok(emmap_queue_reset(queue, &empty));
    assert_true(empty);
    assert_ok(push_number(queue, 1, 8));
    assert_ok(emmap_queue_reset(queue, &empty));
    assert_false(empty);
    assert_next(queue, 1);
    assert_int_equal(queue_info_of(queue).head, 32);
    assert_ok(emmap_queue_reset(queue, &empty));
    assert_true(empty);
    const emmap_queue_metadata info = queue_info_of(queue);
    assert_int_equal(info.head, 16);
    assert_int_equal(info.tail, 16);
    assert_int_equal(info.next_tail, 16);
    close_file(queue);
}

static void a_foreign_file_is_not_made_a_queue_nor_longer(void **state)
{
    (void)state;
    const char *const path = path_of("foreign");
    static const uint8_t zeros[4096];
    put_file(path, zeros, sizeof zeros);
    emmap_file *queue;
    const emmap_options existing = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_WRITE, .size = 1024};
    assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &existing, &queue));
    assert_file(path, zeros, sizeof zeros);
    static const char text[] = "datadatadatadatadatadatadatadatadatadata";
    put_file(path, text, sizeof text - 1);
    const emmap_options fits = {.flags = QUEUE_RW | EMMAP_OPEN_FIT, .size = 4096};
    assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &fits, &queue));
    assert_file(path, text, sizeof text - 1);
    /* Longer than any queue: refused before the push reads it. */
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    const emmap_options plain = {.flags = QUEUE_RW, .size = 1024};
    assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &plain, &queue));
}

static void a_queue_that_is_there_is_grown_to_fit_and_never_truncated(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_TRUNCATE, 1024);
    assert_ok(push_number(queue, 1, 8));
    close_file(queue);
    queue = open_queue(path, QUEUE_RW, 2048);
    assert_int_equal(queue_info_of(queue).size, 1024);
    close_file(queue);
    queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIT, 2048);
    assert_int_equal(queue_info_of(queue).size, 2048);
    close_file(queue);
    const emmap_options options = {.flags = QUEUE_RW | EMMAP_OPEN_TRUNCATE, .size = 1024};
    assert_error(EINVAL, emmap_queue_open(path, &options, &queue));
    queue = open_queue(path, QUEUE_RW, 0);
    assert_next(queue, 1);
    close_file(queue);
}

static void many_are_pushed_and_popped_as_one(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 16 + 10 * 16);
    struct iovec list[11];
    uint64_t numbers[11], count;
    for (uint64_t i = 0; i < 11; i++) {
        numbers[i] = i;
        list[i] = (struct iovec){.iov_base = &numbers[i], .iov_len = 8};
    }
    assert_error(EMMAP_FULL, emmap_queue_push_many(queue, list, 11));
    assert_empty(queue);
    list[3].iov_len = 0;
    assert_error(EINVAL, emmap_queue_push_many(queue, list, 10));
    list[3].iov_len = 8;
    assert_ok(emmap_queue_push_many(queue, list, 0));
    assert_empty(queue);
    assert_ok(emmap_queue_push_many(queue, list, 10));
    pieces got = {.limit = 3};
    emmap_sink sink = sink_pieces(&got);
    assert_error(ENOMEM, emmap_queue_pop_many(queue, 5, &sink, &count));
    assert_int_equal(queue_length_of(queue), 10);
    pieces_free(&got);
    assert_ok(emmap_queue_pop_many(queue, 0, &sink, &count));
    assert_ok(emmap_queue_pop_many(queue, 4, &sink, &count));
    assert_int_equal(count, 4);
    assert_ok(emmap_queue_pop_many(queue, 100, &sink, &count));
    assert_int_equal(count, 6);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(number_of(got.list[i].iov_base, 8), i);
    pieces_free(&got);
    assert_error(EMMAP_EOF, emmap_queue_pop_many(queue, 4, &sink, &count));
    close_file(queue);
}

static void a_message_stays_until_its_pop_is_committed(void **state)
{
    (void)state;
    static const uint32_t flags[] = {QUEUE_RW, QUEUE_RW | EMMAP_OPEN_EXCLUSIVE};
    for (size_t mode = 0; mode < COUNT_OF(flags); mode++) {
        emmap_file *const queue = open_queue(path_of("queue"), flags[mode], 16 + 4 * 16);
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        uint64_t ticket, second, number;
        assert_error(EMMAP_EOF, emmap_queue_pop_begin(queue, &sink, &ticket));
        for (uint64_t i = 0; i < 4; i++)
            assert_ok(push_number(queue, i, 8));
        assert_next(queue, 0);
        assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
        assert_int_equal(number_of(got.data, got.length), 1);
        assert_error(EBUSY, pop_number(queue, &number));
        assert_error(EBUSY, emmap_queue_purge(queue));
        assert_error(EBUSY, emmap_queue_erase(queue));
        assert_error(EBUSY, emmap_queue_pop_begin(queue, &sink, &second));
        /* There is room before the head, but the message of a two-step pop must not move. */
        for (uint64_t i = 4; i < 40; i++)
            assert_ok(push_number(queue, i, 8));
        assert_int_equal(queue_length_of(queue), 39);
        assert_error(EINVAL, emmap_queue_pop_commit(queue, ticket + 1));
        assert_ok(emmap_queue_pop_commit(queue, ticket));
        assert_error(EINVAL, emmap_queue_pop_commit(queue, ticket));
        assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
        assert_int_equal(number_of(got.data, got.length), 2);
        assert_ok(emmap_queue_pop_abort(queue, ticket));
        assert_error(EINVAL, emmap_queue_pop_abort(queue, ticket));
        assert_error(EINVAL, emmap_queue_pop_commit(queue, ticket));
        for (uint64_t i = 2; i < 40; i++)
            assert_next(queue, i);
        assert_empty(queue);
        bytes_free(&got);
        close_file(queue);
    }
}

/* Copies the first message, as before a removal, and expects a number. */
static void glance(emmap_file *queue, pieces *got, uint64_t number)
{
    const emmap_sink sink = sink_pieces(got);
    assert_ok(emmap_queue_glance_front(queue, &sink));
    assert_int_equal(got->count, 1);
    assert_int_equal(number_of(got->list[0].iov_base, got->list[0].iov_len), number);
}

static void what_was_looked_at_is_removed_while_it_is_first(void **state)
{
    (void)state;
    static const uint32_t flags[] = {QUEUE_RW, QUEUE_RW | EMMAP_OPEN_EXCLUSIVE};
    for (size_t mode = 0; mode < COUNT_OF(flags); mode++) {
        emmap_file *const queue = open_queue(path_of("queue"), flags[mode], 256);
        pieces got = {0};
        const emmap_sink sink = sink_pieces(&got);
        uint64_t ticket, place = 0, count;
        assert_error(EMMAP_EOF, emmap_queue_glance_front(queue, &sink));
        assert_ok(emmap_queue_remove(queue, NULL, 0));
        for (uint64_t i = 0; i < 5; i++)
            assert_ok(push_number(queue, i, 24));
        glance(queue, &got, 0);
        assert_int_equal(queue_length_of(queue), 5);
        assert_ok(emmap_queue_remove(queue, got.list, 1));
        /* It is removed: the first message is another one. */
        assert_error(ESTALE, emmap_queue_remove(queue, got.list, 1));
        assert_int_equal(queue_length_of(queue), 4);
        pieces_free(&got);
        glance(queue, &got, 1);
        got.list[0].iov_len--;
        assert_error(ESTALE, emmap_queue_remove(queue, got.list, 1));
        got.list[0].iov_len++;
        ((uint8_t *)got.list[0].iov_base)[23]++;
        assert_error(ESTALE, emmap_queue_remove(queue, got.list, 1));
        pieces_free(&got);
        /* Removes all of them or none; none during a two-step pop. */
        assert_ok(emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 9, &place, &sink, &count));
        assert_int_equal(count, 4);
        assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
        assert_error(EBUSY, emmap_queue_remove(queue, got.list, 4));
        assert_ok(emmap_queue_pop_abort(queue, ticket));
        assert_error(ESTALE, emmap_queue_remove(queue, got.list, 5));
        assert_int_equal(queue_length_of(queue), 4);
        assert_ok(emmap_queue_remove(queue, got.list, 4));
        assert_empty(queue);
        pieces_free(&got);
        close_file(queue);
    }
}

static void the_next_message_comes_with_the_one_that_is_taken(void **state)
{
    (void)state;
    static const uint32_t flags[] = {QUEUE_RW, QUEUE_RW | EMMAP_OPEN_EXCLUSIVE};
    for (size_t mode = 0; mode < COUNT_OF(flags); mode++) {
        emmap_file *const queue = open_queue(path_of("queue"), flags[mode], 256);
        pieces got = {0}, next = {0}, none = {.limit = 1, .count = 1};
        const emmap_sink sink = sink_pieces(&next), full = {.allocate = keep_piece, .context = &none};
        for (uint64_t i = 0; i < 4; i++)
            assert_ok(push_number(queue, i, 24));
        glance(queue, &got, 0);
        assert_ok(emmap_queue_shift(queue, got.list, &sink));
        assert_int_equal(next.count, 1);
        assert_int_equal(number_of(next.list[0].iov_base, next.list[0].iov_len), 1);
        /* Takes only the first message. Without memory for the next one it returns none, but takes the first. */
        assert_error(ESTALE, emmap_queue_shift(queue, got.list, &sink));
        assert_int_equal(next.count, 1);
        assert_ok(emmap_queue_shift(queue, next.list, &full));
        pieces_free(&got);
        pieces_free(&next);
        glance(queue, &got, 2);
        assert_ok(emmap_queue_shift(queue, got.list, &sink));
        assert_int_equal(next.count, 1);
        pieces_free(&got);
        /* There is no message behind the last one. */
        assert_ok(emmap_queue_shift(queue, next.list, &full));
        assert_empty(queue);
        pieces_free(&next);
        close_file(queue);
    }
}

static void a_glance_is_for_those_who_may_remove(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 256);
    pieces none = {.limit = 1, .count = 1};
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got), full = {.allocate = keep_piece, .context = &none};
    emmap_file *const looker = open_queue(path, EMMAP_OPEN_READ, 0);
    assert_error(EACCES, emmap_queue_glance_front(looker, &sink));
    close_file(looker);
    assert_ok(push_number(queue, 1, 24));
    assert_error(ENOMEM, emmap_queue_glance_front(queue, &full));
    assert_int_equal(queue_length_of(queue), 1);
    /* A long message is copied under the lock. */
    assert_ok(emmap_queue_purge(queue));
    assert_ok(push_number(queue, 2, MESSAGE_MAX));
    glance(queue, &got, 2);
    assert_ok(emmap_queue_remove(queue, got.list, 1));
    assert_empty(queue);
    pieces_free(&got);
    assert_ok(emmap_close(queue));
    assert_error(EMMAP_CLOSED, emmap_queue_glance_front(queue, &sink));
    assert_error(EMMAP_CLOSED, emmap_queue_remove(queue, NULL, 0));
    emmap_free(queue);
}

static void other_handles_do_not_get_a_message_that_is_out(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *a = open_queue(path, QUEUE_RW, 256);
    emmap_file *const b = open_queue(path, QUEUE_RW, 256);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket, number;
    for (uint64_t i = 0; i < 3; i++)
        assert_ok(push_number(a, i, 8));
    assert_ok(emmap_queue_pop_begin(a, &sink, &ticket));
    assert_error(EBUSY, pop_number(b, &number));
    assert_error(EBUSY, emmap_queue_purge(b));
    assert_ok(push_number(b, 3, 8));
    assert_int_equal(queue_length_of(b), 4);
    assert_ok(emmap_queue_pop_commit(a, ticket));
    assert_next(b, 1);
    /* A close in between ends the two-step pop; the message stays. */
    assert_ok(emmap_queue_pop_begin(a, &sink, &ticket));
    assert_error(EBUSY, pop_number(b, &number));
    assert_ok(emmap_close(a));
    assert_error(EMMAP_CLOSED, emmap_queue_pop_commit(a, ticket));
    emmap_free(a);
    assert_next(b, 2);
    assert_next(b, 3);
    assert_empty(b);
    bytes_free(&got);
    close_file(b);
}

/* ---- Damaged queues ---- */

static void put_words(uint8_t *data, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 4; k++)
            data[4 * i + k] = (uint8_t)(words[i] >> 8 * (3 - k));
}

static void a_header_that_does_not_hold_together_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t header[4];
        uint64_t offset;
    } cases[] = {
        {{1025, 16, 16, 16}, 0},
        {{UINT32_MAX, 16, 16, 16}, 0},
        {{0, 16, 16, 16}, 0},
        {{1024, 15, 16, 16}, 4},
        {{1024, 0, 0, 0}, 4},
        {{1024, 64, 48, 48}, 4},
        {{1024, 64, 48, 64}, 4},
        {{1024, 16, 1025, 1025}, 8},
        {{1024, 16, UINT32_MAX, UINT32_MAX}, 8},
        {{1024, 16, 48, 1025}, 12},
        {{1024, 16, 48, UINT32_MAX}, 12},
        {{1024, 32, 48, 31}, 12},
        {{1024, 16, 48, 32}, 12},
        {{1024, 24, 48, 32}, 12},
        {{8, 16, 16, 16}, 8},
    };
    const char *const path = path_of("queue");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t data[1024] = {0};
        put_words(data, cases[i].header, 4);
        put_file(path, data, sizeof data);
        for (int mode = 0; mode < 2; mode++) {
            const emmap_options options = {.flags = mode ? EMMAP_OPEN_WRITE : EMMAP_OPEN_READ};
            emmap_file *file;
            /* A read-only handle cannot tell an unfinished slide from none. */
            if (!mode && cases[i].header[3] >= cases[i].header[1] && cases[i].header[3] < cases[i].header[2])
                continue;
            assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &options, &file));
            assert_int_equal(emmap_last_failure()->offset, cases[i].offset);
            assert_non_null(emmap_last_failure()->reason);
            assert_file(path, data, sizeof data);
        }
    }
    static const char *const others[] = {"x", "EMMAP01\n\1\0\0\0\0\0\0\0",
                                         "a text of more than sixteen bytes"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        put_file(path, others[i], strlen(others[i]));
        const emmap_options options = {.flags = QUEUE_RW, .size = 4096};
        emmap_file *file;
        assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &options, &file));
        assert_file(path, others[i], strlen(others[i]));
    }
    uint8_t foreign[64] = {[40] = 1};
    put_file(path, foreign, sizeof foreign);
    const emmap_options options = {.flags = QUEUE_RW};
    emmap_file *file;
    assert_error(EMMAP_CORRUPT, emmap_queue_open(path, &options, &file));
    assert_file(path, foreign, sizeof foreign);
}

static void a_message_that_does_not_hold_together_is_refused(void **state)
{
    (void)state;
    /* The first and the last length of the one message, at 16 and 44. */
    static const uint32_t cases[][2] = {
        {0, 32},  {8, 32},  {1, 1},           {33, 33}, {31, 32},
        {32, 31}, {24, 32}, {UINT32_MAX, 32}, {32, 0},  {0x80000000, 0x80000000}};
    const char *const path = path_of("queue");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int mode = 0; mode < 2; mode++) {
            uint8_t data[1024] = {0};
            const uint32_t header[] = {1024, 16, 48, 48};
            put_words(data, header, 4);
            put_words(data + 16, &cases[i][0], 1);
            put_words(data + 44, &cases[i][1], 1);
            put_file(path, data, sizeof data);
            emmap_file *const queue = open_queue(path, mode ? EMMAP_OPEN_WRITE : EMMAP_OPEN_READ, 0);
            bytes got = {0};
            const emmap_sink sink = sink_into(&got);
            uint64_t length, place = 0, count;
            assert_error(EMMAP_CORRUPT, emmap_queue_peek_front(queue, &sink));
            assert_int_equal(emmap_last_failure()->offset, 16);
            assert_error(EMMAP_CORRUPT, emmap_queue_peek_back(queue, &sink));
            assert_error(EMMAP_CORRUPT, emmap_queue_length(queue, &length));
            assert_error(EMMAP_CORRUPT,
                         emmap_queue_walk(queue, EMMAP_QUEUE_BACKWARD, 9, &place, &sink, &count));
            if (mode) {
                assert_error(EMMAP_CORRUPT, emmap_queue_pop(queue, &sink));
                assert_error(EMMAP_CORRUPT, emmap_queue_pop_many(queue, 9, &sink, &count));
                assert_error(EMMAP_CORRUPT, emmap_queue_pop_begin(queue, &sink, &count));
                assert_int_equal(got.calls, 0);
                assert_file(path, data, sizeof data);
                assert_ok(emmap_queue_erase(queue));
                assert_empty(queue);
                assert_ok(push_number(queue, 7, 8));
                assert_next(queue, 7);
            }
            bytes_free(&got);
            close_file(queue);
        }
}

/* Any bytes: every call returns, and touches nothing outside the file (the sanitizers check). */
static void random_bytes_are_survived(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    uint64_t random = 88172645463325252;
    int opened = 0;
    for (int round = 0; round < 400; round++) {
        uint8_t data[256];
        for (size_t i = 0; i < sizeof data; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            data[i] = random % 3 ? 0 : (uint8_t)(random >> 20);
        }
        const uint32_t words[4] = {256, 16 + (uint32_t)(random % 64), 16 + (uint32_t)(random >> 8) % 240,
                                   16 + (uint32_t)(random >> 16) % 240};
        put_words(data, words, 4);
        put_file(path, data, sizeof data);
        for (int mode = 0; mode < 2; mode++) {
            const emmap_options options = {.flags = mode ? EMMAP_OPEN_WRITE : EMMAP_OPEN_READ};
            emmap_file *queue;
            if (emmap_queue_open(path, &options, &queue))
                continue;
            opened++;
            pieces got = {0};
            const emmap_sink sink = sink_pieces(&got);
            uint64_t length, place = random % 300, count;
            emmap_queue_length(queue, &length);
            emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 100, &place, &sink, &count);
            emmap_queue_walk(queue, EMMAP_QUEUE_BACKWARD, 100, &place, &sink, &count);
            for (uint64_t i = 0; mode && i < 20; i++) {
                push_number(queue, i, 20);
                emmap_queue_pop(queue, &sink);
            }
            pieces_free(&got);
            close_file(queue);
        }
    }
    assert_true(opened > 50);
}

/* ---- Limits ---- */

static void a_queue_ends_at_4_gib(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    const uint64_t size = UINT32_MAX - 100;
    emmap_file *queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_NORESERVE, size);
    uint8_t header[16], length[4];
    /* One message that fills all but 100 bytes. Only its two lengths are ever written. */
    const uint32_t all[] = {(uint32_t)size, 16, (uint32_t)size, (uint32_t)size}, most = (uint32_t)size - 16;
    put_words(header, all, 4);
    put_words(length, &most, 1);
    assert_ok(write_bytes(queue, 16, length, 4));
    assert_ok(write_bytes(queue, size - 4, length, 4));
    assert_ok(write_bytes(queue, 0, header, 16));
    assert_int_equal(queue_length_of(queue), 1);
    assert_ok(push_number(queue, 1, 32));
    assert_int_equal(queue_info_of(queue).size, UINT32_MAX);
    assert_error(EMMAP_FULL, push_number(queue, 2, 64));
    assert_int_equal(queue_length_of(queue), 2);
    struct iovec huge[] = {{.iov_base = header, .iov_len = UINT32_MAX - 20}};
    assert_error(EFBIG, emmap_queue_push(queue, huge, 1));
    huge[0].iov_len = SIZE_MAX;
    assert_error(EFBIG, emmap_queue_push(queue, huge, 1));
    close_file(queue);
    assert_int_equal(size_of_file(path), UINT32_MAX);
    const emmap_options options = {.flags = QUEUE_RW, .size = (uint64_t)1 << 32};
    assert_error(EFBIG, emmap_queue_open(path_of("other"), &options, &queue));
    const emmap_options small = {.flags = QUEUE_RW, .size = 15};
    assert_error(EINVAL, emmap_queue_open(path_of("other"), &small, &queue));
    assert_false(exists(path_of("other")));
}

static void a_full_disk_leaves_the_queue_as_it_was(void **state)
{
    (void)state;
    const char *const mount = path_of("small");
    if (!mount_tmpfs(mount, "64k"))
        return;
    const char *const path = path_of("small/queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 4096);
    uint64_t pushed = 0;
    emmap_error error;
    while ((error = push_number(queue, pushed, 1000)) == EMMAP_OK)
        pushed++;
    assert_error(ENOSPC, error);
    assert_true(pushed > 20);
    size_t length;
    const uint8_t *const before = get_file(path, &length);
    assert_error(ENOSPC, push_number(queue, 0, 1000));
    assert_file(path, before, length);
    /* The room of popped messages is used when the disk is full. */
    assert_next(queue, 0);
    assert_ok(push_number(queue, pushed, 1000));
    for (uint64_t i = 1; i <= pushed; i++)
        assert_next(queue, i);
    close_file(queue);
}

static void an_opened_file_becomes_a_queue(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *file = open_file(path, QUEUE_RW, 100);
    assert_error(EINVAL, push_number(file, 1, 8));
    assert_ok(emmap_queue_attach(file));
    assert_ok(emmap_queue_attach(file));
    assert_error(EINVAL, emmap_blocks_attach(file, 8, 0));
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(push_number(file, i, 8));
    close_file(file);
    /* A part of a file, and a mapping with a length. */
    file = open_with(path, (emmap_options){.flags = QUEUE_RW, .offset = 4096, .length = 64});
    assert_ok(emmap_queue_attach(file));
    emmap_file *const other =
        open_with(path, (emmap_options){.flags = QUEUE_RW, .offset = 4096, .length = 64});
    assert_ok(emmap_queue_attach(other));
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(push_number(i % 2 ? file : other, i, 8));
    for (uint64_t i = 0; i < 20; i++)
        assert_next(i % 2 ? file : other, i);
    close_file(file);
    close_file(other);
    file = open_with(path, (emmap_options){.flags = QUEUE_RW, .offset = 8});
    assert_error(EINVAL, emmap_queue_attach(file));
    close_file(file);
    file = open_file(path, EMMAP_OPEN_WRITE, 0);
    assert_error(EINVAL, emmap_queue_attach(file));
    close_file(file);
    file = open_file("", EMMAP_OPEN_WRITE | EMMAP_OPEN_ANON, 16);
    assert_ok(emmap_queue_attach(file));
    assert_ok(push_number(file, 1, 8));
    assert_next(file, 1);
    close_file(file);
    file = open_queue(path, QUEUE_RW, 0);
    assert_int_equal(queue_length_of(file), 20);
    assert_ok(emmap_close(file));
    uint64_t length;
    assert_error(EMMAP_CLOSED, push_number(file, 1, 8));
    assert_error(EMMAP_CLOSED, emmap_queue_length(file, &length));
    emmap_free(file);
}

static void an_exclusive_queue_has_one_writer(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, 4096);
    const emmap_options options = {.flags = QUEUE_RW};
    emmap_file *other;
    assert_error(EBUSY, emmap_queue_open(path, &options, &other));
    emmap_file *const looker = open_queue(path, EMMAP_OPEN_READ, 0);
    assert_ok(push_number(queue, 1, 8));
    assert_int_equal(queue_length_of(looker), 1);
    close_file(queue);
    assert_ok(emmap_queue_open(path, &options, &other));
    assert_next(other, 1);
    close_file(other);
    close_file(looker);
}

static void a_queue_does_not_shrink_and_may_be_made_longer(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), 0, 8192);
    assert_ok(push_text(queue, "kept"));
    assert_error(EINVAL, emmap_resize(queue, 4096, NULL));
    uint64_t size;
    assert_ok(emmap_resize(queue, 16384, &size));
    assert_int_equal(size, 16384);
    assert_int_equal(queue_length_of(queue), 1);
    close_file(queue);
}

/* ---- Space that is given back ---- */

#define MEBIBYTE ((uint64_t)1 << 20)
#define LONG_MESSAGE 65536u

/* Pushes messages of 64 KiB. */
static void push_long(emmap_file *queue, uint64_t first, uint64_t count)
{
    for (uint64_t number = first; number < first + count; number++)
        assert_ok(push_number(queue, number, LONG_MESSAGE));
}

static void pop_all(emmap_file *queue, uint64_t first, uint64_t count)
{
    uint64_t got;
    for (uint64_t number = first; number < first + count; number++) {
        assert_ok(pop_number(queue, &got));
        assert_int_equal(got, number);
    }
}

static void a_queue_that_becomes_empty_gives_its_space_back(void **state)
{
    (void)state;
    for (int synced = 0; synced < 2; synced++)
        for (int way = 0; way < 4; way++) {
            const char *const path = path_of("queue");
            emmap_file *const queue = open_queue(path, QUEUE_RW, 0);
            emmap_file *const other = open_queue(path, QUEUE_RW, 0);
            if (synced)
                assert_ok(emmap_sync(queue));
            push_long(queue, 0, 160);
            assert_true(taken(path) >= 10 * MEBIBYTE);
            uint64_t size, now;
            assert_ok(emmap_size(queue, &size));
            pop_all(queue, 0, way == 0 ? 160 : 100);
            if (way == 1)
                assert_ok(emmap_queue_purge(queue));
            if (way == 2)
                assert_ok(emmap_queue_erase(queue));
            if (way == 3) {
                pieces got = {0};
                const emmap_sink sink = sink_pieces(&got);
                uint64_t count;
                assert_ok(emmap_queue_pop_many(queue, INT64_MAX, &sink, &count));
                pieces_free(&got);
            }
            assert_true(taken(path) < 64 * 1024);
            /* For other handles the file keeps its length, and the queue works on. */
            assert_ok(emmap_size(queue, &now));
            assert_int_equal(now, size);
            push_long(other, 7, 40);
            pop_all(queue, 7, 40);
            close_file(queue);
            close_file(other);
            unlink(path);
        }
}

static void a_queue_with_few_messages_gives_space_back_when_they_move(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, QUEUE_RW, 0);
    push_long(queue, 0, 200);
    pop_all(queue, 0, 190);
    assert_true(taken(path) >= 12 * MEBIBYTE);
    /* They reach the end of the file, and move to its front. */
    for (uint64_t number = 200; number < 400; number++) {
        push_long(queue, number, 1);
        pop_all(queue, number - 10, 1);
    }
    assert_true(taken(path) < 4 * MEBIBYTE);
    assert_int_equal(queue_length_of(queue), 10);
    pop_all(queue, 390, 10);
    close_file(queue);
}

static void a_compaction_leaves_the_messages_and_little_else(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        const char *const path = path_of("queue");
        emmap_file *queue = open_queue(path, QUEUE_RW, 4 * MEBIBYTE);
        if (mode == 1)
            assert_ok(emmap_sync(queue));
        push_long(queue, 0, 50);
        if (mode == 2) {
            close_file(queue);
            queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE | EMMAP_OPEN_EXCLUSIVE, 0);
        }
        pop_all(queue, 0, 45);
        const uint64_t before = taken(path);
        uint64_t bytes;
        assert_ok(emmap_queue_compact(queue, &bytes));
        assert_int_equal(before - taken(path), bytes);
        assert_true(bytes >= 3 * MEBIBYTE && taken(path) < 512 * 1024);
        assert_int_equal(queue_info_of(queue).head, 16);
        assert_ok(emmap_queue_compact(queue, &bytes));
        assert_int_equal(bytes, 0);
        push_long(queue, 50, 20);
        assert_true(taken(path) >= MEBIBYTE);
        pop_all(queue, 45, 25);
        close_file(queue);
        unlink(path);
    }
}

static void a_compaction_leaves_a_message_that_is_being_taken_where_it_is(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4 * MEBIBYTE);
    push_long(queue, 0, 10);
    pop_all(queue, 0, 5);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket, given_back;
    assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    assert_ok(emmap_queue_compact(queue, &given_back));
    assert_true(given_back > 2 * MEBIBYTE);
    assert_ok(emmap_queue_pop_commit(queue, ticket));
    bytes_free(&got);
    pop_all(queue, 6, 4);
    close_file(queue);
}

static void space_that_was_given_back_and_is_not_there_any_more_is_an_error(void **state)
{
    (void)state;
    const char *const mount = path_of("small");
    if (!mount_tmpfs(mount, "6m"))
        return;
    emmap_file *const queue = open_queue(path_of("small/queue"), QUEUE_RW, 4 * MEBIBYTE);
    push_long(queue, 0, 60);
    pop_all(queue, 0, 57);
    uint64_t bytes, number = 60;
    assert_ok(emmap_queue_compact(queue, &bytes));
    emmap_file *const filler = open_file(path_of("small/filler"), QUEUE_RW, 5 * MEBIBYTE);
    emmap_error error;
    while ((error = push_number(queue, number, LONG_MESSAGE)) == EMMAP_OK)
        number++;
    assert_error(ENOSPC, error);
    assert_true(number < 80);
    pop_all(queue, 57, number - 57);
    close_file(filler);
    unlink(path_of("small/filler"));
    push_long(queue, 0, 60);
    pop_all(queue, 0, 60);
    close_file(queue);
}

/* A door turns a negative number into one of these. */
static void a_walk_from_no_place_is_stale(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    emmap_file *const reader = open_queue(path_of("queue"), EMMAP_OPEN_READ, 0);
    pieces all = {0};
    const emmap_sink sink = sink_pieces(&all);
    const uint64_t nowhere[] = {15, 17, 23, (uint64_t)1 << 32, (uint64_t)1 << 63, EMMAP_NO_PLACE, UINT64_MAX};
    /* An empty queue says so too. */
    for (int messages = 0; messages < 3; messages++) {
        for (size_t i = 0; i < 14 + COUNT_OF(nowhere); i++) {
            const uint64_t number = i < 14 ? i + 1 : nowhere[i - 14];
            if (messages == 0 && (number == 17 || number == 23))
                continue; /* a place that a walk backward may have reached */
            uint64_t place = number, count;
            for (int way = 0; way < 2; way++) {
                const emmap_queue_direction direction = way ? EMMAP_QUEUE_BACKWARD : EMMAP_QUEUE_FORWARD;
                assert_error(ESTALE, emmap_queue_walk(queue, direction, 9, &place, &sink, &count));
                assert_error(ESTALE, emmap_queue_walk(reader, direction, 9, &place, &sink, &count));
                assert_error(ESTALE, emmap_queue_walk(queue, direction, 0, &place, &sink, &count));
            }
            assert_true(place == number);
        }
        assert_ok(push_number(queue, 1, 16));
    }
    assert_int_equal(all.count, 0);
    pieces_free(&all);
    close_file(queue);
    close_file(reader);
}

static void a_limit_that_is_none_removes_nothing(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    for (uint64_t number = 0; number < 5; number++)
        assert_ok(push_number(queue, number, 16));
    const uint64_t limits[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};
    pieces all = {0};
    const emmap_sink sink = sink_pieces(&all);
    uint64_t place = 0, count;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        assert_error(EINVAL, emmap_queue_pop_many(queue, limits[i], &sink, &count));
        assert_error(EINVAL, emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, limits[i], &place, &sink, &count));
    }
    assert_ok(emmap_queue_pop_many(queue, 0, &sink, &count));
    assert_ok(emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 0, &place, &sink, &count));
    assert_int_equal(all.count, 0);
    assert_int_equal(queue_length_of(queue), 5);
    assert_ok(emmap_queue_pop_many(queue, INT64_MAX, &sink, &count));
    assert_int_equal(count, 5);
    pieces_free(&all);
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_new_queue_is_a_header_and_zeros),
        folder_test(a_pushed_queue_is_byte_for_byte_what_emmap_writes),
        folder_test(popping_leaves_what_emmap_leaves),
        folder_test(what_a_dead_writer_reserved_is_given_back),
        folder_test(messages_come_out_in_the_order_they_went_in),
        folder_test(every_length_of_message_comes_back_with_its_padding),
        folder_test(a_queue_grows_by_steps_and_opens_whatever_size_is_asked_for),
        folder_test(a_full_queue_of_fixed_size_is_as_it_was),
        folder_test(a_walk_from_no_place_is_stale),
        folder_test(a_limit_that_is_none_removes_nothing),
        folder_test(messages_move_down_where_that_makes_the_room),
        folder_test(a_message_of_the_queue_itself_is_pushed_as_it_was),
        folder_test(a_large_queue_grows_rather_than_move_much_for_little),
        folder_test(looking_changes_nothing),
        folder_test(a_queue_does_not_shrink_and_may_be_made_longer),
        folder_test(a_walk_goes_on_while_others_change_the_queue),
        folder_test(an_empty_queue_is_reset_and_one_with_messages_is_not),
        folder_test(a_foreign_file_is_not_made_a_queue_nor_longer),
        folder_test(a_queue_that_is_there_is_grown_to_fit_and_never_truncated),
        folder_test(a_walk_does_not_take_another_era_for_its_own),
        folder_test(a_walk_of_a_full_queue_knows_its_messages),
        folder_test(pushes_and_pops_leave_a_walk_its_place),
        folder_test(a_taken_message_is_not_committed_for_another),
        folder_test(many_are_pushed_and_popped_as_one),
        folder_test(a_message_stays_until_its_pop_is_committed),
        folder_test(what_was_looked_at_is_removed_while_it_is_first),
        folder_test(the_next_message_comes_with_the_one_that_is_taken),
        folder_test(a_glance_is_for_those_who_may_remove),
        folder_test(other_handles_do_not_get_a_message_that_is_out),
        folder_test(a_header_that_does_not_hold_together_is_refused),
        folder_test(a_message_that_does_not_hold_together_is_refused),
        folder_test(random_bytes_are_survived),
        folder_test(a_queue_ends_at_4_gib),
        folder_test(a_full_disk_leaves_the_queue_as_it_was),
        folder_test(an_opened_file_becomes_a_queue),
        folder_test(an_exclusive_queue_has_one_writer),
        folder_test(a_queue_that_becomes_empty_gives_its_space_back),
        folder_test(a_queue_with_few_messages_gives_space_back_when_they_move),
        folder_test(a_compaction_leaves_the_messages_and_little_else),
        folder_test(a_compaction_leaves_a_message_that_is_being_taken_where_it_is),
        folder_test(space_that_was_given_back_and_is_not_there_any_more_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
