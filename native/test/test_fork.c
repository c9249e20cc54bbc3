/* Forked children cannot use the parent's files, can open their own, and harm none of the parent's. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
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

/* A child may wait for a lock that none of its threads can release. Then the alarm ends it. */
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
    /* It releases the parent's locks when it runs for the first time. */
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
    require_error(EFAULT, emmap_queue_push(queue, &message, 1));
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

/* Handles of each kind, and the answers in children. */
typedef struct handles {
    emmap_file *file, *queue, *blocks, *counters;
    emmap_slice slice;
    uint64_t address;
} handles;

static void open_handles(handles *self)
{
    self->file = open_file(path_of("file"), CREATE, 400000);
    restore_fault_handler();
    assert_ok(emmap_queue_open(path_of("queue"), NULL, &self->queue));
    assert_ok(emmap_blocks_open(path_of("blocks"), 8, 2, NULL, &self->blocks));
    assert_ok(emmap_counters_open(path_of("counters"), 4, NULL, &self->counters));
    const struct iovec message = {.iov_base = "message!", .iov_len = 8};
    for (int i = 0; i < 3; i++)
        assert_ok(emmap_queue_push(self->queue, &message, 1));
    assert_ok(emmap_block_store(self->blocks, &message, &self->address));
    assert_ok(emmap_pread_direct(self->file, 0, 100, &self->slice));
}

static void close_handles(handles *self)
{
    emmap_slice_release(&self->slice);
    close_file(self->file);
    close_file(self->queue);
    close_file(self->blocks);
    close_file(self->counters);
}

static void *never(void *context, size_t length)
{
    (void)context, (void)length;
    require(!"something was read");
    return NULL;
}

static void use_file(emmap_file *file)
{
    const emmap_sink sink = {.allocate = never};
    const struct iovec bytes = {.iov_base = "bytes", .iov_len = 5};
    char place[10];
    const struct iovec room = {.iov_base = place, .iov_len = sizeof place};
    emmap_slice slice;
    uint64_t number;
    int64_t word;
    emmap_info info;
    require_error(EFAULT, emmap_pread(file, 0, 10, &sink));
    require_error(EFAULT, emmap_pread(file, 0, 200000, &sink));
    require_error(EFAULT, emmap_preadv(file, 0, &room, 1, &number));
    require_error(EFAULT, emmap_pwrite(file, 0, &bytes, 1));
    require_error(EFAULT, emmap_read(file, 0, &sink));
    require_error(EFAULT, emmap_read(file, 10, &sink));
    require_error(EFAULT, emmap_read_line(file, &sink));
    require_error(EFAULT, emmap_write(file, &bytes, 1));
    require_error(EFAULT, emmap_position(file, 0, EMMAP_FROM_CURSOR, &number));
    require_error(EFAULT, emmap_pread_direct(file, 0, 10, &slice));
    require_error(EFAULT, emmap_read_direct(file, 10, &slice));
    require_error(EFAULT, emmap_read_line_direct(file, &slice, &sink));
    require_error(EFAULT, emmap_size(file, &number));
    require_error(EFAULT, emmap_resize(file, 800000, NULL));
    require_error(EFAULT, emmap_follow(file, &number));
    require_error(EFAULT, emmap_truncate(file));
    require_error(EFAULT, emmap_allocate(file, 0, 10));
    require_error(EFAULT, emmap_flush(file));
    require_error(EFAULT, emmap_sync(file));
    require_error(EFAULT, emmap_datasync(file));
    require_error(EFAULT, emmap_advise(file, 0, 0, EMMAP_ADVICE_NORMAL));
    require_error(EFAULT, emmap_patomic_add(file, 0, 1, &word));
    require_error(EFAULT, emmap_patomic_load(file, 0, &word));
    bool current;
    require_error(EFAULT, emmap_is_current(file, &current));
    require_error(EFAULT, emmap_backup(file, path_of("copy")));
    require_error(EFAULT, emmap_queue_attach(file));
    require_error(EFAULT, emmap_blocks_attach(file, 8, 2));
    emmap_describe(file, &info);
}

static void use_queue(emmap_file *queue)
{
    const emmap_sink sink = {.allocate = never};
    const struct iovec message = {.iov_base = "message", .iov_len = 7};
    uint64_t number, place = 0;
    bool empty;
    emmap_queue_metadata info;
    require_error(EFAULT, emmap_queue_push(queue, &message, 1));
    require_error(EFAULT, emmap_queue_push_many(queue, &message, 1));
    require_error(EFAULT, emmap_queue_pop(queue, &sink));
    require_error(EFAULT, emmap_queue_pop_many(queue, 10, &sink, &number));
    require_error(EFAULT, emmap_queue_pop_begin(queue, &sink, &number));
    require_error(EFAULT, emmap_queue_pop_commit(queue, 1));
    require_error(EFAULT, emmap_queue_pop_abort(queue, 1));
    require_error(EFAULT, emmap_queue_peek_front(queue, &sink));
    require_error(EFAULT, emmap_queue_peek_back(queue, &sink));
    require_error(EFAULT, emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 10, &place, &sink, &number));
    require_error(EFAULT, emmap_queue_length(queue, &number));
    require_error(EFAULT, emmap_queue_is_empty(queue, &empty));
    require_error(EFAULT, emmap_queue_info(queue, &info));
    require_error(EFAULT, emmap_queue_glance_front(queue, &sink));
    require_error(EFAULT, emmap_queue_remove(queue, &message, 1));
    require_error(EFAULT, emmap_queue_reset(queue, &empty));
    require_error(EFAULT, emmap_queue_compact(queue, &number));
    require_error(EFAULT, emmap_queue_purge(queue));
    require_error(EFAULT, emmap_queue_erase(queue));
}

static void use_blocks(emmap_file *blocks, uint64_t address)
{
    const emmap_sink sink = {.allocate = never};
    const struct iovec block = {.iov_base = "a block!", .iov_len = 8};
    uint64_t number, place = 0, addresses[4];
    size_t count;
    require_error(EFAULT, emmap_block_store(blocks, &block, &number));
    require_error(EFAULT, emmap_block_read(blocks, address, &sink));
    require_error(EFAULT, emmap_block_free(blocks, address));
    require_error(EFAULT, emmap_blocks_walk(blocks, 4, &place, addresses, &sink, &count));
    require_error(EFAULT, emmap_block_store_many(blocks, &block, 1, addresses));
    require_error(EFAULT, emmap_block_free_many(blocks, &address, 1));
    require_error(EFAULT, emmap_blocks_init(blocks, 8, 2));
    require_error(EFAULT, emmap_blocks_compact(blocks, &number));
    require_error(EFAULT, emmap_blocks_count(blocks, &number));
    require_error(EFAULT, emmap_blocks_repair(blocks, 0, &place));
}

/* The parent's threads may hold any lock. The alarm ends a child that waits for one of them. */
static void use_everything(void *context)
{
    handles *const self = context;
    int64_t word;
    alarm(20);
    use_file(self->file);
    use_file(self->queue);
    use_queue(self->queue);
    use_blocks(self->blocks, self->address);
    require_error(EFAULT, emmap_counter_add(self->counters, 0, 1, &word));
    require(emmap_slice_faulted(&self->slice) && self->slice.data[0] == 0);
    emmap_slice_release(&self->slice);
    require_ok(emmap_close(self->file));
    require_error(EMMAP_CLOSED, emmap_pwrite(self->file, 0, NULL, 0));
    emmap_free(self->file);
    emmap_free(self->queue);
    emmap_free(self->blocks);
    emmap_free(self->counters);
    work((void *)(uintptr_t)path_of("another"));
}

/* A thread that is stopped with locks held, in the sink of a read or at a pause point. */
static pthread_barrier_t reached, go_on;

static void stop_here(void)
{
    pthread_barrier_wait(&reached);
    pthread_barrier_wait(&go_on);
}

static void *stop_in_sink(void *room, size_t length)
{
    (void)length;
    stop_here();
    return room;
}

static _Thread_local bool stops_when_pushing;

static void stop_at_push(const char *name)
{
    if (stops_when_pushing && strcmp(name, "queue_push_begin") == 0)
        stop_here();
}

static void *hold_reading(void *context)
{
    char room[100];
    const emmap_sink sink = {.allocate = stop_in_sink, .context = room};
    require_ok(emmap_read(((handles *)context)->file, 10, &sink));
    return NULL;
}

static void *sleep_for_bytes(void *context)
{
    const struct iovec bytes = {.iov_base = "bytes", .iov_len = 5};
    require_ok(emmap_pwrite(((handles *)context)->file, 0, &bytes, 1));
    return NULL;
}

static void *hold_popping(void *context)
{
    char room[100];
    const emmap_sink sink = {.allocate = stop_in_sink, .context = room};
    require_ok(emmap_queue_pop(((handles *)context)->queue, &sink));
    return NULL;
}

static void *hold_pushing(void *context)
{
    const struct iovec message = {.iov_base = "message", .iov_len = 7};
    stops_when_pushing = true;
    require_ok(emmap_queue_push(((handles *)context)->queue, &message, 1));
    return NULL;
}

static void *hold_walking(void *context)
{
    char room[100];
    const emmap_sink sink = {.allocate = stop_in_sink, .context = room};
    uint64_t place = 0, address;
    size_t count;
    require_ok(emmap_blocks_walk(((handles *)context)->blocks, 1, &place, &address, &sink, &count));
    return NULL;
}

static void a_child_waits_for_no_thread_of_its_parent(void **state)
{
    (void)state;
    static void *(*const holders[])(void *) = {hold_reading, hold_popping, hold_pushing, hold_walking};
    handles handles;
    open_handles(&handles);
    pthread_barrier_init(&reached, NULL, 2);
    pthread_barrier_init(&go_on, NULL, 2);
    pause_hook = stop_at_push;
    for (size_t i = 0; i < sizeof holders / sizeof *holders; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, holders[i], &handles), 0);
        pthread_barrier_wait(&reached);
        assert_child_passes(use_everything, &handles);
        pthread_barrier_wait(&go_on);
        pthread_join(thread, NULL);
    }
    pause_hook = NULL;
    pthread_barrier_destroy(&reached);
    pthread_barrier_destroy(&go_on);
    close_handles(&handles);
}

static void a_child_frees_a_file_for_which_a_thread_of_its_parent_sleeps(void **state)
{
    (void)state;
    handles handles;
    open_handles(&handles);
    pthread_barrier_init(&reached, NULL, 2);
    pthread_barrier_init(&go_on, NULL, 2);
    pthread_t holder, sleeper;
    assert_int_equal(pthread_create(&holder, NULL, hold_reading, &handles), 0);
    pthread_barrier_wait(&reached);
    assert_int_equal(pthread_create(&sleeper, NULL, sleep_for_bytes, &handles), 0);
    /* It counts itself under the mutex, and releases the mutex when it sleeps. */
    thread_lock_t *const lock = &handles.file->bytes;
    while (atomic_load(&lock->sleepers) == 0)
        sched_yield();
    pthread_mutex_lock(&lock->mutex);
    pthread_mutex_unlock(&lock->mutex);
    assert_child_passes(use_everything, &handles);
    pthread_barrier_wait(&go_on);
    pthread_join(holder, NULL);
    pthread_join(sleeper, NULL);
    pthread_barrier_destroy(&reached);
    pthread_barrier_destroy(&go_on);
    close_handles(&handles);
}

typedef struct busy {
    handles *handles;
    int stop;
} busy;

static bool goes_on(const busy *self)
{
    return !__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE);
}

static void *resize_and_lend(void *context)
{
    busy *const self = context;
    emmap_file *const file = self->handles->file;
    for (uint64_t i = 0; goes_on(self); i++) {
        emmap_slice slice;
        require_ok(emmap_resize(file, 400000 + (i % 2) * 4096, NULL));
        require_ok(emmap_pread_direct(file, 0, 1000, &slice));
        require_ok(emmap_sync(file));
        emmap_slice_release(&slice);
    }
    return NULL;
}

static void *push_and_pop(void *context)
{
    busy *const self = context;
    char room[100000] = {0};
    while (goes_on(self)) {
        const struct iovec message = {.iov_base = room, .iov_len = 3000};
        bytes got = {0};
        const emmap_sink into = sink_into(&got);
        require_ok(emmap_queue_push(self->handles->queue, &message, 1));
        require_ok(emmap_queue_pop(self->handles->queue, &into));
        bytes_free(&got);
        const struct iovec all = {.iov_base = room, .iov_len = sizeof room};
        require_ok(emmap_pwrite(self->handles->file, 0, &all, 1));
    }
    return NULL;
}

static void children_wait_for_no_thread_that_works(void **state)
{
    (void)state;
    enum { CHILDREN = 100 };
    handles handles;
    open_handles(&handles);
    busy busy = {.handles = &handles};
    static void *(*const works[])(void *) = {resize_and_lend, push_and_pop, push_and_pop};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, works[i], &busy), 0);
    for (int i = 0; i < CHILDREN; i++)
        assert_child_passes(use_everything, &handles);
    __atomic_store_n(&busy.stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    close_handles(&handles);
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
        folder_test(a_child_waits_for_no_thread_of_its_parent),
        folder_test(a_child_frees_a_file_for_which_a_thread_of_its_parent_sleeps),
        folder_test(children_wait_for_no_thread_that_works),
        folder_test(a_fork_while_other_threads_open_leaves_no_lock_held),
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
