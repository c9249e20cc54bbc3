/*
 * Cuts the power between any two of the kernel's writes of a synced queue and of its file of origins. Afterwards each numbered push that has
 * returned is in the queue, and the one in progress is there or not; the number says which. So a push that is tried again happens
 * once. With SECONDS and SEED it runs for that time, and prints one line of JSON.
 */
#define _GNU_SOURCE
#include <time.h>

#include "disks.h"

static uint64_t violations, done, begun;
static const uint8_t origin[EMMAP_ORIGIN_SIZE] = "a single origin.";

static void violation(const char *what, uint64_t number)
{
    if (violations++ < 10)
        fprintf(stderr, "power loss: %s (%llu; %llu pushes had returned)\n", what, (unsigned long long)number,
                (unsigned long long)done);
}

#define BATCH 3u

static emmap_error push_batch(emmap_file *queue, uint64_t number, uint64_t *last)
{
    uint8_t bytes[BATCH][80];
    struct iovec messages[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        const size_t length = 8 + (number * 7 + i) % 9 * 8;
        fill_message(bytes[i], number * BATCH + i, length);
        messages[i] = (struct iovec){.iov_base = bytes[i], .iov_len = length};
    }
    return emmap_queue_push_once(queue, origin, number, messages, BATCH, last);
}

static uint64_t popped; /* for certain not more messages of the origin than these were removed */

/* Goes on as the origin does, and looks for each message behind those that were popped. */
static void check_image(const char *path)
{
    emmap_file *queue;
    const emmap_options options = {.flags = QUEUE_RW};
    uint64_t last = 0, number, expected = 0;
    if (emmap_queue_open(path, &options, &queue) != EMMAP_OK) {
        violation("the queue can't be opened", 0);
        return;
    }
    for (number = done + 1; number <= begun; number++) {
        if (push_batch(queue, number, &last) != EMMAP_OK)
            violation("a push fails", number);
        if (last != number - 1 && last != number)
            violation("an origin has another number", last);
    }
    bool going = true;
    while (going) {
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        const emmap_error error = emmap_queue_pop(queue, &sink);
        going = error == EMMAP_OK;
        if (!going && error != EMMAP_EOF)
            violation(emmap_error_name(error), 0);
        if (going) {
            number = number_of(got.data, got.length);
            if (expected == 0 && number > BATCH + popped)
                violation("a message is lost", number);
            if (expected != 0 && number != expected)
                violation(number < expected ? "a message is doubled" : "a message is lost", number);
            expected = number + 1;
        }
        bytes_free(&got);
    }
    if (expected == 0 ? popped < begun * BATCH : expected != (begun + 1) * BATCH)
        violation("the last messages are lost", expected);
    emmap_free(queue);
}

static void cut(void)
{
    disks_cut(path_of("cut"), check_image);
}

static void run(size_t operations)
{
    uint64_t last, number = 0;
    disks_begin(path_of("jobs"), "-relayed");
    done = begun = popped = 0;
    emmap_file *const queue = open_queue(path_of("jobs"), QUEUE_RW, 8192);
    require_ok(emmap_sync(queue));
    recording = true;
    pause_hook = at_pause;
    record(&disks[0]);
    for (size_t i = 0; i < operations; i++) {
        const uint64_t what = below(100);
        if (what < 60) {
            begun++;
            require_ok(push_batch(queue, begun, &last));
            require(last == begun - 1);
            done = begun;
        } else if (what < 95 && popped < done * BATCH) {
            popped++;
            require_ok(pop_number(queue, &number));
            require(number == BATCH + popped - 1);
        } else if (what >= 95)
            cut();
    }
    recording = false;
    pause_hook = NULL;
    emmap_free(queue);
}

static void a_number_is_pushed_once_although_the_power_is_cut(void **state)
{
    (void)state;
    random_state = 1;
    for (int i = 0; i < 3; i++)
        run(150);
    assert_int_equal(violations, 0);
    assert_true(images > 100);
}

/* For the torture. */
static int run_for(time_t seconds, uint64_t seed)
{
    const time_t end = time(NULL) + seconds;
    void *state;
    random_state = seed;
    folder_make(&state);
    do
        run(300);
    while (time(NULL) < end && violations == 0);
    folder_remove(&state);
    printf("{\"images\":%llu,\"violations\":%llu}\n", (unsigned long long)images,
           (unsigned long long)violations);
    return violations == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_for(strtol(argv[1], NULL, 10),
                       argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL));
    const struct CMUnitTest tests[] = {folder_test(a_number_is_pushed_once_although_the_power_is_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
