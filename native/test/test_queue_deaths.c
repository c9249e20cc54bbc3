/* Kills a process between any two stores of a queue operation. The next process finds every acknowledged message once,
 * and the message in progress once or not at all. */
#include "queue_script.h"

#define NAME(point) #point,
static const char *const points[] = {QUEUE_PAUSE_POINTS(NAME)};

static void run_script(void *context)
{
    (void)context;
    run_queue_script(path_of("queue"), queue_script, COUNT_OF(queue_script));
}

static void recover(void *context)
{
    (void)context;
    emmap_file *const queue = open_scripted_queue(path_of("queue"));
    queue_length_of(queue);
    emmap_free(queue);
}

static bool holds(const pieces *got, queue_model expected)
{
    if (got->count != expected.next - expected.first)
        return false;
    for (size_t i = 0; i < got->count; i++)
        if (number_of(got->list[i].iov_base, got->list[i].iov_len) != expected.first + i)
            return false;
    return true;
}

/* The messages are in order, with or without the last step, and the queue works. */
static void check_queue(emmap_file *queue)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count;
    assert_int_equal(queue_info_of(queue).next_tail, queue_info_of(queue).tail);
    const emmap_error error = emmap_queue_pop_many(queue, 100, &sink, &count);
    assert_true(error == EMMAP_OK || error == EMMAP_EOF);
    assert_true(holds(&got, model_after(queue_script, deaths->done)) ||
                (deaths->started > deaths->done && holds(&got, model_after(queue_script, deaths->started))));
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
        /* The process that recovers it may die too, and again. */
        for (uint64_t again = 1; dies_at(again, recover, NULL); again++)
            ;
        emmap_file *const queue = open_scripted_queue(path_of("queue"));
        check_queue(queue);
        close_file(queue);
    }
    assert_int_equal(deaths->done, COUNT_OF(queue_script));
    assert_all_points_hit();
}

static void a_handle_that_was_open_goes_on_after_a_death(void **state)
{
    (void)state;
    prepare();
    const char *const path = path_of("queue");
    for (uint64_t target = 1;; target++) {
        unlink(path);
        emmap_file *const queue = open_scripted_queue(path_of("queue"));
        deaths->started = deaths->done = 0;
        const bool died = dies_at(target, run_script, NULL);
        check_queue(queue);
        close_file(queue);
        if (!died)
            break;
    }
    assert_int_equal(deaths->done, COUNT_OF(queue_script));
}

static void begin_and_die(void *context)
{
    emmap_file *const queue = open_scripted_queue(path_of("queue"));
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
    emmap_file *const queue = open_scripted_queue(path_of("queue"));
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
