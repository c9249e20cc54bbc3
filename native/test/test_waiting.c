/* Calls of a thread that may not wait return EAGAIN, and have changed nothing. */
#include <fcntl.h>
#include <time.h>

#include "live.h"
#include "structures.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED)

/* True: writers use the kernel's locks. All tests run with and without. */
static bool by_kernel;

/* Another handle, which has the file's lock until it is closed. */
typedef struct somebody {
    emmap_file *file;
    live_t *live; /* NULL: the lock is the kernel's */
} somebody;

static somebody somebody_with(const char *path, lock_subject_t subject)
{
    const emmap_options options = {.flags = RW};
    somebody self = {0};
    patience_t patience = emi_patience_of(&(const emmap_options){.lock_timeout = EMMAP_LOCK_TIMEOUT});
    assert_ok(emmap_open(path, &options, &self.file));
    if (subject == LOCK_CONTAINER && !by_kernel) {
        assert_ok(emi_live_join(self.file, self.file->descriptor, &patience));
        self.live = self.file->descriptor->live;
        assert_non_null(self.live);
        assert_ok(live_lock(self.live, &patience));
    } else
        assert_ok(emi_lock_acquire(self.file->descriptor->fd, subject, LOCK_EXCLUSIVE, NULL));
    return self;
}

static void leave(somebody *self)
{
    if (self->live)
        live_unlock(self->live);
    close_file(self->file);
}

static emmap_error store_number(emmap_file *blocks, uint64_t *address)
{
    static const uint64_t number = 7;
    const struct iovec block = {.iov_base = (void *)&number, .iov_len = sizeof number};
    return emmap_block_store(blocks, &block, address);
}

static void a_queue_that_is_busy_is_not_waited_for(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    uint64_t number = 0, length;
    assert_ok(push_number(queue, 1, 8));
    somebody other = somebody_with(path_of("queue"), LOCK_CONTAINER);
    emmap_set_may_block(false);
    assert_error(ETIMEDOUT, push_number(queue, 2, 8));
    assert_error(ETIMEDOUT, pop_number(queue, &number));
    assert_error(ETIMEDOUT, emmap_queue_length(queue, &length));
    assert_error(ETIMEDOUT, emmap_queue_purge(queue));
    leave(&other);
    assert_ok(push_number(queue, 3, 8));
    assert_ok(pop_number(queue, &number));
    assert_int_equal(number, 1);
    emmap_set_may_block(true);
    assert_int_equal(queue_length_of(queue), 1);
    close_file(queue);
}

static void a_disk_is_not_waited_for(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 16 + 4 * 32);
    uint64_t number;
    for (uint64_t i = 0; i < 4; i++)
        assert_ok(push_number(queue, i, 24));
    assert_ok(emmap_sync(queue));
    for (uint64_t i = 0; i < 3; i++)
        assert_ok(pop_number(queue, &number));
    emmap_set_may_block(false);
    assert_error(EAGAIN, push_number(queue, 4, 24));
    assert_error(EAGAIN, emmap_queue_erase(queue));
    assert_int_equal(queue_length_of(queue), 1);
    emmap_set_may_block(true);
    assert_ok(push_number(queue, 4, 24));
    assert_int_equal(queue_length_of(queue), 2);
    close_file(queue);

    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    uint64_t address;
    assert_ok(emmap_sync(blocks));
    emmap_set_may_block(false);
    assert_error(EAGAIN, store_number(blocks, &address));
    assert_int_equal(blocks_count_of(blocks), 0);
    emmap_set_may_block(true);
    assert_ok(store_number(blocks, &address));
    emmap_set_may_block(false);
    assert_ok(store_number(blocks, &address));
    emmap_set_may_block(true);
    close_file(blocks);
}

static void a_message_stays_taken_while_its_commit_would_wait(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    uint64_t ticket, number;
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(push_number(queue, 1, 8));
    assert_ok(push_number(queue, 2, 8));
    assert_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    somebody other = somebody_with(path_of("queue"), LOCK_CONTAINER);
    emmap_set_may_block(false);
    assert_error(ETIMEDOUT, emmap_queue_pop_commit(queue, ticket));
    leave(&other);
    assert_error(EBUSY, pop_number(queue, &number));
    assert_ok(emmap_queue_pop_commit(queue, ticket));
    assert_error(EINVAL, emmap_queue_pop_commit(queue, ticket));
    emmap_set_may_block(true);
    assert_ok(pop_number(queue, &number));
    assert_int_equal(number, 2);
    bytes_free(&got);
    close_file(queue);
}

static void neither_growth_nor_a_move_of_much_is_begun(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 128 << 10);
    uint64_t number;
    while (queue_info_of(queue).tail < (127 << 10))
        assert_ok(push_number(queue, 1, 1000));
    emmap_set_may_block(false);
    assert_error(EAGAIN, push_number(queue, 2, 2000));
    while (queue_info_of(queue).head < (40 << 10))
        assert_ok(pop_number(queue, &number));
    const emmap_queue_metadata before = queue_info_of(queue);
    assert_error(EAGAIN, push_number(queue, 2, 2000));
    emmap_set_may_block(true);
    assert_int_equal(queue_info_of(queue).tail, before.tail);
    assert_int_equal(queue_info_of(queue).size, before.size);
    assert_ok(push_number(queue, 2, 2000));
    close_file(queue);
}

static void a_move_of_little_is_not_put_off(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    uint64_t number;
    while (queue_info_of(queue).tail < 3500)
        assert_ok(push_number(queue, 1, 500));
    const emmap_queue_metadata before = queue_info_of(queue);
    emmap_set_may_block(false);
    assert_ok(pop_number(queue, &number));
    assert_ok(pop_number(queue, &number));
    assert_ok(push_number(queue, 2, 1000));
    emmap_set_may_block(true);
    assert_true(queue_info_of(queue).tail < before.tail);
    assert_int_equal(queue_info_of(queue).size, before.size);
    close_file(queue);
}

static void a_storage_is_neither_waited_for_nor_grown(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), RW | EMMAP_OPEN_CREATE, 4096, 8, 2);
    uint64_t address, count = 0;
    emmap_set_may_block(false);
    somebody other = somebody_with(path_of("blocks"), LOCK_CONTAINER);
    assert_error(ETIMEDOUT, store_number(blocks, &address));
    assert_error(ETIMEDOUT, emmap_blocks_count(blocks, &count));
    leave(&other);
    emmap_error error;
    while ((error = store_number(blocks, &address)) == EMMAP_OK)
        count++;
    assert_error(EAGAIN, error);
    emmap_set_may_block(true);
    assert_int_equal(blocks_count_of(blocks), count);
    assert_ok(store_number(blocks, &address));
    close_file(blocks);
}

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static emmap_file *open_patient(const char *path, uint64_t lock_timeout)
{
    const emmap_options options = {
        .flags = QUEUE_RW, .size = 4096, .lock_timeout = lock_timeout, .has_lock_timeout = true};
    emmap_file *file;
    assert_ok(emmap_queue_open(path, &options, &file));
    return file;
}

static void a_lock_is_waited_for_as_long_as_the_option_says(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    const uint64_t limits[] = {0, 30, 100};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        emmap_file *const queue = open_patient(path, limits[i]);
        uint64_t length;
        somebody other = somebody_with(path, LOCK_CONTAINER);
        const uint64_t before = milliseconds();
        assert_error(ETIMEDOUT, push_number(queue, 1, 8));
        assert_error(ETIMEDOUT, emmap_queue_length(queue, &length));
        assert_error(ETIMEDOUT, emmap_sync(queue));
        assert_true(milliseconds() - before >= 3 * limits[i]);
        emmap_file *opened;
        const emmap_options options = {.flags = QUEUE_RW, .has_lock_timeout = true};
        assert_error(ETIMEDOUT, emmap_queue_open(path, &options, &opened));
        leave(&other);
        assert_ok(push_number(queue, 1, 8));
        assert_int_equal(queue_length_of(queue), i + 1);
        close_file(queue);
    }
}

static void the_size_is_waited_for_as_long(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    const emmap_options options = {.flags = QUEUE_RW, .size = 4096, .has_lock_timeout = true};
    emmap_file *file;
    assert_ok(emmap_open(path, &options, &file));
    somebody other = somebody_with(path, LOCK_SIZE);
    uint64_t size;
    assert_error(ETIMEDOUT, emmap_resize(file, 8192, &size));
    assert_error(ETIMEDOUT, emmap_resize(file, 100, &size));
    assert_ok(emmap_size(file, &size));
    assert_int_equal(size, 4096);
    leave(&other);
    assert_ok(emmap_resize(file, 8192, &size));
    close_file(file);
}

static void the_process_may_wait_less(void **state)
{
    (void)state;
    emmap_file *const queue = open_patient(path_of("queue"), EMMAP_NO_LIMIT);
    somebody other = somebody_with(path_of("queue"), LOCK_CONTAINER);
    emmap_lock_limit(0);
    assert_error(ETIMEDOUT, push_number(queue, 1, 8));
    emmap_lock_limit(20);
    assert_error(ETIMEDOUT, push_number(queue, 1, 8));
    leave(&other);
    assert_ok(push_number(queue, 1, 8));
    emmap_lock_limit(EMMAP_NO_LIMIT);
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_queue_that_is_busy_is_not_waited_for),
        folder_test(a_disk_is_not_waited_for),
        folder_test(a_message_stays_taken_while_its_commit_would_wait),
        folder_test(neither_growth_nor_a_move_of_much_is_begun),
        folder_test(a_move_of_little_is_not_put_off),
        folder_test(a_storage_is_neither_waited_for_nor_grown),
        folder_test(a_lock_is_waited_for_as_long_as_the_option_says),
        folder_test(the_size_is_waited_for_as_long),
        folder_test(the_process_may_wait_less),
    };
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        by_kernel = i == 1;
        emi_live_enable(!by_kernel);
        failed += cmocka_run_group_tests_name(by_kernel ? "the kernel's locks" : "the live folder", tests,
                                              NULL, NULL);
    }
    return failed;
}
