/* A process killed between any two stores of a queue operation: the next one finds every acknowledged message once,
 * and what was not acknowledged once or not at all. */
#include "deaths.h"

#include <fcntl.h>

#define NAME(point) #point,
static const char *const points[] = {QUEUE_PAUSE_POINTS(NAME)};

typedef enum action {
    OPEN,
    PUSH,
    PUSH_TWO,
    POP,
    POP_THREE,
    COMMIT,
    ABORT,
    TEAR,
    PURGE,
    ERASE,
    SYNC,
    FIX_SIZE
} action;

/* With 24 bytes a message takes 32, and the queue has room for ten before it grows. */
#define SIZE (16 + 10 * 32)
static const action script[] = {
    OPEN, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH,
    /* The first six make room for the other four to be copied down. */
    POP, POP, POP_THREE, POP, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH,
    /* Three make room for seven to slide, in three steps. */
    COMMIT, POP, POP, PUSH, PUSH, PUSH,
    /* And one for nine, in nine. */
    POP, PUSH,
    /* Four for six: less than twice the room that they need. */
    POP_THREE, POP, PUSH, PUSH, PUSH, PUSH,
    /* Two more need a larger file. */
    PUSH_TWO, POP_THREE, ABORT, COMMIT, TEAR, PUSH, PURGE, PUSH, POP, PUSH, PUSH, ERASE, PUSH_TWO, POP,
    /* With room for twenty, once synced: thirteen make room for seven, */
    FIX_SIZE, SYNC, PUSH, PUSH, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO,
    PUSH_TWO, POP_THREE, POP_THREE, POP_THREE, POP_THREE, PUSH,
    /* and nothing at the end lets it begin anew. */
    POP_THREE, POP_THREE, PURGE, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, POP_THREE,
    POP_THREE, POP_THREE, POP_THREE, PUSH, SYNC, PUSH, ERASE, PUSH, POP};
#define STEPS COUNT_OF(script)

/* What the queue holds: the numbers from first to next. */
typedef struct model {
    uint64_t first;
    uint64_t next;
} model;

static model after(uint64_t steps)
{
    model self = {0};
    for (uint64_t i = 0; i < steps; i++)
        switch (script[i]) {
        case PUSH_TWO:
            self.next++;
            /* fall through */
        case PUSH:
            self.next++;
            break;
        case POP_THREE:
            self.first += 2;
            /* fall through */
        case POP:
        case COMMIT:
            self.first++;
            break;
        case PURGE:
        case ERASE:
            self.first = self.next;
            break;
        case OPEN:
        case ABORT:
        case TEAR:
        case SYNC:
        case FIX_SIZE:
            break;
        }
    return self;
}

static emmap_file *open_here(void)
{
    return open_queue(path_of("queue"), QUEUE_RW, SIZE);
}

static void take(emmap_file *queue, action action)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count, ticket;
    if (action == POP)
        require_ok(emmap_queue_pop(queue, &sink));
    if (action == POP_THREE)
        require_ok(emmap_queue_pop_many(queue, 3, &sink, &count));
    if (action == COMMIT || action == ABORT)
        require_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    if (action == COMMIT)
        require_ok(emmap_queue_pop_commit(queue, ticket));
    if (action == ABORT)
        require_ok(emmap_queue_pop_abort(queue, ticket));
    pieces_free(&got);
}

static void push_two(emmap_file *queue, uint64_t number)
{
    uint8_t messages[2][24];
    struct iovec list[2];
    for (size_t i = 0; i < 2; i++) {
        fill_message(messages[i], number + i, 24);
        list[i] = (struct iovec){.iov_base = messages[i], .iov_len = 24};
    }
    require_ok(emmap_queue_push_many(queue, list, 2));
}

/* As a writer of emmap leaves it that dies between reserving and committing. */
static emmap_file *tear(emmap_file *queue)
{
    const emmap_queue_metadata info = queue_info_of(queue);
    emmap_free(queue);
    const uint32_t next_tail = (uint32_t)info.tail + 24;
    const uint8_t word[4] = {0, 0, (uint8_t)(next_tail >> 8), (uint8_t)next_tail};
    const int fd = open(path_of("queue"), O_WRONLY | O_CLOEXEC);
    require(fd >= 0 && pwrite(fd, word, 4, 12) == 4);
    close(fd);
    return open_here();
}

static void run_script(void *context)
{
    (void)context;
    emmap_file *queue = NULL;
    for (uint64_t i = 0; i < STEPS; i++) {
        deaths->started = i + 1;
        switch (script[i]) {
        case OPEN:
            queue = open_here();
            break;
        case PUSH:
            require_ok(push_number(queue, after(i).next, 24));
            break;
        case PUSH_TWO:
            push_two(queue, after(i).next);
            break;
        case TEAR:
            queue = tear(queue);
            break;
        case SYNC:
            require_ok(emmap_sync(queue));
            break;
        case FIX_SIZE:
            emmap_free(queue);
            queue = open_queue(path_of("queue"), QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 0);
            break;
        case PURGE:
            require_ok(emmap_queue_purge(queue));
            break;
        case ERASE:
            require_ok(emmap_queue_erase(queue));
            break;
        default:
            take(queue, script[i]);
        }
        deaths->done = i + 1;
    }
    emmap_free(queue);
}

static void recover(void *context)
{
    (void)context;
    emmap_file *const queue = open_here();
    queue_length_of(queue);
    emmap_free(queue);
}

static bool holds(const pieces *got, model expected)
{
    if (got->count != expected.next - expected.first)
        return false;
    for (size_t i = 0; i < got->count; i++)
        if (number_of(got->list[i].iov_base, got->list[i].iov_len) != expected.first + i)
            return false;
    return true;
}

/* All of it in order, whatever the last step came to; and it can be used. */
static void check_queue(emmap_file *queue)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count;
    assert_int_equal(queue_info_of(queue).next_tail, queue_info_of(queue).tail);
    const emmap_error error = emmap_queue_pop_many(queue, 100, &sink, &count);
    assert_true(error == EMMAP_OK || error == EMMAP_EOF);
    assert_true(holds(&got, after(deaths->done)) ||
                (deaths->started > deaths->done && holds(&got, after(deaths->started))));
    pieces_free(&got);
    for (uint64_t i = 0; i < 12; i++)
        assert_ok(push_number(queue, i, 24));
    for (uint64_t i = 0; i < 12; i++) {
        uint64_t number;
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
}

static void prepare(void)
{
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
}

static void a_queue_survives_death_at_every_store(void **state)
{
    (void)state;
    prepare();
    const char *const path = path_of("queue");
    for (uint64_t target = 1;; target++) {
        unlink(path);
        deaths->started = deaths->done = 0;
        if (!dies_at(target, run_script, NULL))
            break;
        /* Whoever recovers it may die of that, too, and again. */
        for (uint64_t again = 1; dies_at(again, recover, NULL); again++)
            ;
        emmap_file *const queue = open_here();
        check_queue(queue);
        close_file(queue);
    }
    assert_int_equal(deaths->done, STEPS);
    assert_all_points_hit();
}

static void a_handle_that_was_open_goes_on_after_a_death(void **state)
{
    (void)state;
    prepare();
    const char *const path = path_of("queue");
    for (uint64_t target = 1;; target++) {
        unlink(path);
        emmap_file *const queue = open_here();
        deaths->started = deaths->done = 0;
        const bool died = dies_at(target, run_script, NULL);
        check_queue(queue);
        close_file(queue);
        if (!died)
            break;
    }
    assert_int_equal(deaths->done, STEPS);
}

static void begin_and_die(void *context)
{
    emmap_file *const queue = open_here();
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket;
    require_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    (void)context;
    kill(getpid(), SIGKILL);
}

static void a_message_whose_taker_died_is_still_the_first(void **state)
{
    (void)state;
    emmap_file *const queue = open_here();
    for (uint64_t i = 0; i < 3; i++)
        assert_ok(push_number(queue, i, 24));
    const int status = in_child(begin_and_die, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t number;
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_queue_survives_death_at_every_store),
        folder_test(a_handle_that_was_open_goes_on_after_a_death),
        folder_test(a_message_whose_taker_died_is_still_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
