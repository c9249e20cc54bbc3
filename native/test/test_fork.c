/* Children of fork: they can't use the parent's files, but open their own, and harm none of the parent's. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static void work(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 10000}, &file));
    require_ok(emmap_patomic_add(file, 0, 1, NULL));
    emmap_slice slice;
    require_ok(emmap_pread_direct(file, 0, 10, &slice));
    require_ok(emmap_resize(file, 20000, NULL));
    emmap_slice_release(&slice);
    require_ok(emmap_resize(file, 10000, NULL));
    require_ok(emmap_close(file));
    emmap_free(file);
}

static void a_child_opens_files_of_its_own(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 10000);
    assert_ok(emmap_patomic_add(file, 0, 1, NULL));
    assert_child_passes(work, (void *)(uintptr_t)path);
    int64_t sum;
    assert_ok(emmap_patomic_load(file, 0, &sum));
    assert_int_equal(sum, 2);
    close_file(file);
}

static void cut_and_read(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 65536}, &file));
    require(truncate(path, 100) == 0);
    char got;
    require_error(EFAULT, read_into(file, 40000, &got, 1));
    emmap_free(file);
}

static void a_child_survives_faults(void **state)
{
    (void)state;
    close_file(open_file(path_of("file"), CREATE, 65536));
    assert_child_passes(cut_and_read, (void *)(uintptr_t)path_of("file"));
}

typedef struct opener {
    const char *path;
    int stop;
} opener;

static void *open_and_close(void *context)
{
    opener *const self = context;
    while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
        emmap_file *file;
        require_ok(emmap_open(self->path, &(emmap_options){.flags = CREATE, .size = 10000}, &file));
        require_ok(emmap_patomic_add(file, 8, 1, NULL));
        emmap_free(file);
    }
    return NULL;
}

/* A child that waits for a lock which no thread of its own will give back is ended by the alarm. */
static void work_in_time(void *path)
{
    alarm(60);
    work(path);
}

static void a_fork_while_other_threads_open_leaves_no_lock_held(void **state)
{
    (void)state;
    enum { CHILDREN = 200, OPENERS = 3 };
    opener opener = {.path = path_of("file")};
    pthread_t threads[OPENERS];
    for (int i = 0; i < OPENERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &opener), 0);
    for (int i = 0; i < CHILDREN; i++)
        assert_child_passes(work_in_time, (void *)(uintptr_t)path_of("other"));
    __atomic_store_n(&opener.stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < OPENERS; i++)
        pthread_join(threads[i], NULL);
    int64_t sum;
    emmap_file *const file = open_file(path_of("other"), RW | EMMAP_OPEN_SHARED, 0);
    assert_ok(emmap_patomic_load(file, 0, &sum));
    assert_int_equal(sum, CHILDREN);
    close_file(file);
}

static void wait_for_signal(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

static emmap_error open_exclusively(emmap_file **queue)
{
    return emmap_queue_open(path_of("queue"), &(emmap_options){.flags = CREATE | EMMAP_OPEN_EXCLUSIVE},
                            queue);
}

static void a_child_that_lives_on_holds_no_lock(void **state)
{
    (void)state;
    emmap_file *queue, *again;
    assert_ok(open_exclusively(&queue));
    const pid_t child = start_child(wait_for_signal, NULL);
    assert_error(EBUSY, open_exclusively(&again));
    close_file(queue);
    assert_ok(open_exclusively(&again));
    assert_int_equal(kill(child, SIGKILL), 0);
    wait_child(child);
    close_file(again);
}

static void leave_a_child(void *ready)
{
    emmap_file *queue;
    require_ok(open_exclusively(&queue));
    const pid_t child = fork();
    if (child == 0)
        wait_for_signal(NULL);
    *(pid_t *)ready = child;
    kill(getpid(), SIGKILL);
}

static void a_child_that_outlives_its_parent_holds_no_lock(void **state)
{
    (void)state;
    pid_t *const grandchild = shared_memory(sizeof *grandchild);
    const int status = in_child(leave_a_child, grandchild);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    emmap_file *queue;
    emmap_error error;
    /* It lets go when it runs for the first time. */
    while ((error = open_exclusively(&queue)) == EBUSY)
        sched_yield();
    assert_ok(error);
    assert_int_equal(kill(*grandchild, SIGKILL), 0);
    close_file(queue);
}

static void closing_drops_the_locks_although_a_slice_is_alive(void **state)
{
    (void)state;
    emmap_file *queue;
    assert_ok(open_exclusively(&queue));
    emmap_slice slice;
    assert_ok(emmap_pread_direct(queue, 0, 16, &slice));
    close_file(queue);
    assert_ok(open_exclusively(&queue));
    emmap_slice_release(&slice);
    close_file(queue);
}

static void use(void *queue)
{
    char got;
    require_error(EFAULT, read_into(queue, 0, &got, 1));
    const struct iovec message = {.iov_base = "message", .iov_len = 7};
    require_error(EBADF, emmap_queue_push(queue, &message, 1));
    const int before = open_descriptors();
    emmap_free(queue);
    require(open_descriptors() == before);
}

static void a_child_changes_nothing_by_a_handle_of_its_parent(void **state)
{
    (void)state;
    emmap_file *queue;
    assert_ok(emmap_queue_open(path_of("queue"), NULL, &queue));
    assert_child_passes(use, queue);
    bool empty;
    assert_ok(emmap_queue_is_empty(queue, &empty));
    assert_true(empty);
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_child_opens_files_of_its_own),
        folder_test(a_child_survives_faults),
        folder_test(a_child_that_lives_on_holds_no_lock),
        folder_test(a_child_that_outlives_its_parent_holds_no_lock),
        folder_test(closing_drops_the_locks_although_a_slice_is_alive),
        folder_test(a_child_changes_nothing_by_a_handle_of_its_parent),
        folder_test(a_fork_while_other_threads_open_leaves_no_lock_held),
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
