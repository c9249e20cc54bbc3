/* Pages removed under a mapping: the call returns an error, and the file and the process survive. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)
#define PAGE ((uint64_t)sysconf(_SC_PAGESIZE))

static void cut(void *path)
{
    require(truncate(path, 100) == 0);
}

/* A file of `pages` whose end another process has cut off. */
static emmap_file *open_cut(uint64_t pages, uint32_t flags)
{
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, flags, pages * PAGE);
    assert_ok(write_bytes(file, 0, "still here", 10));
    assert_child_passes(cut, (void *)(uintptr_t)path);
    return file;
}

static void assert_faulted(emmap_file *file)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    int64_t old;
    uint64_t number;
    emmap_slice slice;
    assert_int_equal(emmap_file_control(file)->status & EMMAP_STATUS_FAULTED, EMMAP_STATUS_FAULTED);
    assert_error(EFAULT, emmap_pread(file, 0, 10, &sink));
    assert_error(EFAULT, write_bytes(file, 0, "changed", 7));
    assert_error(EFAULT, emmap_read(file, 10, &sink));
    assert_error(EFAULT, emmap_read_line(file, &sink));
    assert_error(EFAULT, emmap_pread_direct(file, 0, 10, &slice));
    assert_error(EFAULT, emmap_patomic_load(file, 0, &old));
    assert_error(EFAULT, emmap_patomic_add(file, 0, 1, &old));
    assert_error(EFAULT, emmap_size(file, &number));
    assert_error(EFAULT, emmap_resize(file, 2 * PAGE, NULL));
    assert_error(EFAULT, emmap_follow(file, &number));
    assert_error(EFAULT, emmap_sync(file));
    assert_error(EFAULT, emmap_flush(file));
    assert_error(EFAULT, emmap_advise(file, 0, 0, EMMAP_ADVICE_NORMAL));
    bytes_free(&got);
    emmap_info info;
    emmap_describe(file, &info);
    assert_true(info.size > 0);
}

static void a_read_of_a_lost_page_is_efault_from_then_on(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    char got[10];
    assert_ok(read_into(file, 0, got, 10));
    assert_memory_equal(got, "still here", 10);
    assert_error(EFAULT, read_into(file, 8 * PAGE, got, 10));
    assert_faulted(file);
    close_file(file);
    assert_int_equal(size_of_file(path_of("file")), 100);
    size_t length;
    assert_memory_equal(get_file(path_of("file"), &length), "still here", 10);
}

static void a_write_to_a_lost_page_is_efault(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    assert_error(EFAULT, write_bytes(file, 8 * PAGE, "lost", 4));
    assert_faulted(file);
    close_file(file);
}

static void a_long_copy_over_lost_pages_is_efault(void **state)
{
    (void)state;
    const size_t length = 3 * EMMAP_PIECE;
    char *const room = calloc(1, length);
    static const uint32_t kinds[] = {CREATE, CREATE | EMMAP_OPEN_NOLOCK};
    for (int i = 0; i < 2; i++) {
        emmap_file *file = open_cut(length / PAGE, kinds[i]);
        assert_error(EFAULT, read_into(file, 0, room, length));
        close_file(file);
        file = open_cut(length / PAGE, kinds[i]);
        assert_error(EFAULT, write_bytes(file, 0, room, length));
        close_file(file);
    }
    free(room);
}

static void a_private_file_faults_alike(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, RW | EMMAP_OPEN_CREATE, 16 * PAGE);
    assert_child_passes(cut, (void *)(uintptr_t)path);
    char got[10];
    assert_error(EFAULT, read_into(file, 8 * PAGE, got, 10));
    assert_error(EFAULT, write_bytes(file, 0, "x", 1));
    close_file(file);
}

static void an_atomic_on_a_lost_page_is_efault(void **state)
{
    (void)state;
    int64_t old;
    emmap_file *file = open_cut(16, CREATE);
    assert_error(EFAULT, emmap_patomic_add(file, 8 * PAGE, 1, &old));
    assert_faulted(file);
    close_file(file);
    file = open_cut(16, CREATE);
    assert_error(EFAULT, emmap_patomic_load(file, 8 * PAGE, &old));
    close_file(file);
    file = open_cut(16, CREATE);
    assert_error(EFAULT, emmap_patomic_compare_exchange(file, 8 * PAGE, 0, 1, &old));
    close_file(file);
}

static void a_line_that_ends_in_a_lost_page_is_efault(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_error(EFAULT, emmap_read_line(file, &sink));
    assert_int_equal(got.calls, 0);
    close_file(file);
}

static void counters_of_a_cut_file_are_efault(void **state)
{
    (void)state;
    emmap_file *file;
    assert_ok(emmap_counters_open(path_of("file"), 4096, NULL, &file));
    restore_fault_handler();
    assert_child_passes(cut, (void *)(uintptr_t)path_of("file"));
    int64_t old;
    assert_ok(emmap_counter_add(file, 0, 1, &old));
    assert_error(EFAULT, emmap_counter_add(file, 4000, 1, &old));
    assert_error(EFAULT, emmap_counter_get(file, 0, &old));
    close_file(file);
}

static void a_direct_access_reads_zeros_and_the_slice_says_so(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 8 * PAGE, 100, &slice));
    assert_false(emmap_slice_faulted(&slice));
    assert_int_equal(*(volatile uint8_t *)slice.data, 0);
    assert_true(emmap_slice_faulted(&slice));
    *(volatile uint8_t *)slice.data = 1;
    assert_faulted(file);
    emmap_free(file);
    assert_true(emmap_slice_faulted(&slice));
    emmap_slice_release(&slice);
}

static void a_read_only_slice_can_be_read_after_the_fault(void **state)
{
    (void)state;
    close_file(open_cut(16, CREATE));
    assert_int_equal(truncate(path_of("file"), (off_t)(16 * PAGE)), 0);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, 16 * PAGE, &slice));
    assert_child_passes(cut, (void *)(uintptr_t)path_of("file"));
    for (uint64_t page = 1; page < 16; page++)
        assert_int_equal(((volatile uint8_t *)slice.data)[page * PAGE], 0);
    assert_int_equal(slice.data[0], 's');
    emmap_slice_release(&slice);
    close_file(file);
}

static void a_file_that_grows_back_stays_faulted_until_reopened(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    char got[10];
    assert_error(EFAULT, read_into(file, 8 * PAGE, got, 10));
    assert_int_equal(truncate(path_of("file"), (off_t)(16 * PAGE)), 0);
    emmap_file *const again = open_file(path_of("file"), CREATE, 0);
    assert_ok(write_bytes(again, 8 * PAGE, "new bytes!", 10));
    assert_error(EFAULT, read_into(file, 8 * PAGE, got, 10));
    assert_faulted(file);
    assert_ok(read_into(again, 8 * PAGE, got, 10));
    assert_memory_equal(got, "new bytes!", 10);
    close_file(file);
    close_file(again);
}

static void a_hole_is_no_fault(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE | EMMAP_OPEN_NORESERVE, 64 * PAGE);
    char got[10];
    assert_ok(read_into(file, 32 * PAGE, got, 10));
    assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0", 10);
    assert_ok(write_bytes(file, 32 * PAGE, "0123456789", 10));
    close_file(file);
}

static void a_full_disk_under_a_hole_is_efault(void **state)
{
    (void)state;
    if (!mount_tmpfs(path_of("disk"), "64k"))
        return; /* only who may mount can fill a disk of his own */
    emmap_file *const file = open_file(path_of("disk/file"), CREATE | EMMAP_OPEN_NORESERVE, 64 * PAGE);
    char block[4096] = {1};
    emmap_error error = EMMAP_OK;
    uint64_t written = 0;
    while (!error && written < 64) {
        error = write_bytes(file, written * PAGE, block, sizeof block);
        written++;
    }
    assert_int_equal(error, EFAULT);
    assert_in_range(written, 2, 17);
    close_file(file);
}

static void thousands_of_lost_pages_cost_few_mappings(void **state)
{
    (void)state;
    enum { PAGES = 5000 };
    emmap_file *const file = open_cut(PAGES, CREATE);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, PAGES * PAGE, &slice));
    /* Every second page, backwards, so that no two replaced pages are neighbours. */
    for (uint64_t page = PAGES - 1; page > 1; page -= 2)
        assert_int_equal(((volatile uint8_t *)slice.data)[page * PAGE], 0);
    assert_true(mappings_of(path_of("file")) < 2000);
    assert_true(emmap_slice_faulted(&slice));
    emmap_slice_release(&slice);
    close_file(file);
    assert_int_equal(mappings_of(path_of("file")), 0);
}

static int mapping_limit(void)
{
    FILE *const file = fopen("/proc/sys/vm/max_map_count", "r");
    int limit = 0;
    if (!file || fscanf(file, "%d", &limit) != 1)
        limit = 65530;
    if (file)
        fclose(file);
    return limit;
}

enum { SPARSE_PAGES = 2100 };

/* Each file has a slice of all its bytes, and is closed: a slice outlives its file's descriptor, in a child too. */
static void lend_and_cut(emmap_slice *slices, int count)
{
    const char *const path = path_of("file");
    const emmap_options options = {.flags = CREATE | EMMAP_OPEN_NORESERVE, .size = SPARSE_PAGES * PAGE};
    restore_fault_handler();
    for (int i = 0; i < count; i++) {
        emmap_file *file;
        require_ok(emmap_open(path, &options, &file));
        require_ok(emmap_pread_direct(file, 0, SPARSE_PAGES * PAGE, &slices[i]));
        emmap_free(file);
        require(truncate(path, 100) == 0);
        require(unlink(path) == 0);
    }
}

static void release_all(emmap_slice *slices, int count)
{
    for (int i = 0; i < count; i++)
        emmap_slice_release(&slices[i]);
}

static void many_cut_files_cost_few_mappings(int count)
{
    const int before = mappings_of("");
    emmap_slice *const slices = calloc((size_t)count, sizeof *slices);
    lend_and_cut(slices, count);
    for (int i = 0; i < count; i++)
        for (uint64_t page = 1; page < SPARSE_PAGES; page += 2)
            assert_int_equal(((volatile uint8_t *)slices[i].data)[page * PAGE], 0);
    assert_in_range(mappings_of(""), 0, (unsigned)(before + 2 * count + mapping_limit() / 4));
    for (int i = 0; i < count; i++)
        assert_true(emmap_slice_faulted(&slices[i]));
    release_all(slices, count);
    free(slices);
}

static void ten_cut_files_cost_few_mappings(void **state)
{
    (void)state;
    many_cut_files_cost_few_mappings(10);
}

static void a_hundred_cut_files_cost_few_mappings(void **state)
{
    (void)state;
    many_cut_files_cost_few_mappings(100);
}

static void a_thousand_cut_files_cost_few_mappings(void **state)
{
    (void)state;
    many_cut_files_cost_few_mappings(1000);
}

static void released_files_give_the_budget_of_single_pages_back(void **state)
{
    (void)state;
    emmap_slice slices[10];
    for (int round = 0; round < 2; round++) {
        lend_and_cut(slices, 10);
        const int before = mappings_of("");
        for (uint64_t page = 1; page < 1000; page += 2)
            assert_int_equal(((volatile uint8_t *)slices[0].data)[page * PAGE], 0);
        assert_true(mappings_of("") >= before + 499);
        for (int i = 1; i < 10; i++)
            for (uint64_t page = 1; page < SPARSE_PAGES; page += 2)
                assert_int_equal(((volatile uint8_t *)slices[i].data)[page * PAGE], 0);
        release_all(slices, 10);
    }
}

/* Sanitizers map memory of their own, and end the process if they cannot. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

#ifndef SANITIZED
/* Goes on until not one more mapping is possible: the first loop stops one short. */
static void take_all_mappings(void)
{
    const size_t pages = (size_t)mapping_limit() + 1000;
    uint8_t *const base =
        mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(base != MAP_FAILED);
    size_t page = 1;
    while (page < pages && mprotect(base + page * PAGE, PAGE, PROT_READ) == 0)
        page += 2;
    require(page < pages && errno == ENOMEM);
    for (int i = 0; i < 8; i++)
        (void)mmap(NULL, PAGE, i % 2 ? PROT_NONE : PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(mmap(NULL, PAGE, PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void without_mappings(void *context)
{
    emmap_slice *const slices = context;
    /* The parent's mappings do not exist in a child. */
    lend_and_cut(slices, 20);
    take_all_mappings();
    for (int i = 0; i < 20; i++)
        for (uint64_t page = 1; page < SPARSE_PAGES; page += 2)
            require(((volatile uint8_t *)slices[i].data)[page * PAGE] == 0);
    for (int i = 0; i < 20; i++)
        require(emmap_slice_faulted(&slices[i]));
}

static void a_process_that_may_map_no_more_survives(void **state)
{
    (void)state;
    emmap_slice slices[20];
    assert_child_passes(without_mappings, slices);
}

static void without_data(void *context)
{
    emmap_slice *const slice = context;
    lend_and_cut(slice, 1);
    require(setrlimit(RLIMIT_DATA, &(struct rlimit){.rlim_cur = 0, .rlim_max = 0}) == 0);
    for (uint64_t page = 1; page < SPARSE_PAGES; page += 2) {
        require(((volatile uint8_t *)slice->data)[page * PAGE] == 0);
        ((volatile uint8_t *)slice->data)[page * PAGE] = 1;
    }
    require(emmap_slice_faulted(slice));
}

static void a_process_that_may_have_no_more_data_survives(void **state)
{
    (void)state;
    emmap_slice slice;
    assert_child_passes(without_data, &slice);
}
#endif

static void another_file_is_not_touched_by_a_fault(void **state)
{
    (void)state;
    emmap_file *const other = open_file(path_of("other"), CREATE, 16 * PAGE);
    emmap_file *const file = open_cut(16, CREATE);
    char got[10];
    assert_error(EFAULT, read_into(file, 8 * PAGE, got, 10));
    assert_ok(read_into(other, 8 * PAGE, got, 10));
    assert_int_equal(emmap_file_control(other)->status, 0);
    close_file(file);
    close_file(other);
}

/* The thread has never called the core, and blocks all signals. */
static void *touch_directly(void *data)
{
    require(*(volatile uint8_t *)data == 0);
    return NULL;
}

static void a_thread_that_never_called_the_core_survives(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 8 * PAGE, 1, &slice));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, touch_directly, slice.data), 0);
    pthread_join(thread, NULL);
    assert_true(emmap_slice_faulted(&slice));
    emmap_slice_release(&slice);
    close_file(file);
}

static void *read_with_signals_blocked(void *file)
{
    sigset_t all;
    sigfillset(&all);
    require(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    char got;
    require_error(EFAULT, read_into(file, 8 * PAGE, &got, 1));
    return NULL;
}

static void blocked(void *file)
{
    pthread_t thread;
    require(pthread_create(&thread, NULL, read_with_signals_blocked, file) == 0);
    pthread_join(thread, NULL);
}

static void a_thread_that_blocks_all_signals_survives(void **state)
{
    (void)state;
    emmap_file *const file = open_cut(16, CREATE);
    blocked(file);
    close_file(file);
}

enum { TOUCHERS = 8, TOUCHED_PAGES = 600 };

typedef struct toucher {
    pthread_barrier_t *start;
    emmap_slice *slices[2]; /* one that all threads touch, and one of its own */
} toucher;

/* Touches both slices by turns, so that the handler runs in all threads at once. */
static void *touch_all(void *context)
{
    const toucher *const self = context;
    pthread_barrier_wait(self->start);
    for (uint64_t page = 1; page < TOUCHED_PAGES; page++)
        for (int i = 0; i < 2; i++)
            require(((volatile uint8_t *)self->slices[i]->data)[page * PAGE] == 0);
    return NULL;
}

/* Changes the handler's list of mappings until it is told to stop. */
static void *open_and_close(void *stop)
{
    while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
        emmap_file *file;
        require_ok(emmap_open(path_of("busy"), &(emmap_options){.flags = CREATE, .size = PAGE}, &file));
        emmap_free(file);
    }
    return NULL;
}

static emmap_file *open_slice_cut(const char *name, emmap_slice *slice)
{
    emmap_file *const file = open_file(path_of(name), CREATE, TOUCHED_PAGES * PAGE);
    assert_ok(emmap_pread_direct(file, 0, TOUCHED_PAGES * PAGE, slice));
    assert_int_equal(truncate(path_of(name), (off_t)PAGE), 0);
    return file;
}

static void threads_may_fault_at_once_while_others_open_and_close(void **state)
{
    (void)state;
    bool stop = false;
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, TOUCHERS);
    emmap_file *files[TOUCHERS + 1];
    emmap_slice slices[TOUCHERS + 1];
    for (int i = 0; i <= TOUCHERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "file-%d", i);
        files[i] = open_slice_cut(name, &slices[i]);
    }
    pthread_t busy, threads[TOUCHERS];
    toucher touchers[TOUCHERS];
    assert_int_equal(pthread_create(&busy, NULL, open_and_close, &stop), 0);
    for (int i = 0; i < TOUCHERS; i++) {
        touchers[i] = (toucher){.start = &start, .slices = {&slices[TOUCHERS], &slices[i]}};
        assert_int_equal(pthread_create(&threads[i], NULL, touch_all, &touchers[i]), 0);
    }
    for (int i = 0; i < TOUCHERS; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(busy, NULL);
    for (int i = 0; i <= TOUCHERS; i++) {
        assert_true(emmap_slice_faulted(&slices[i]));
        emmap_slice_release(&slices[i]);
        close_file(files[i]);
    }
    pthread_barrier_destroy(&start);
}

static void a_thousand_faults_in_a_row_leave_nothing(void **state)
{
    (void)state;
    const int descriptors = open_descriptors();
    const int before = mappings_of("");
    for (int i = 0; i < 1000; i++) {
        emmap_file *const file = open_file(path_of("file"), CREATE, 16 * PAGE);
        assert_int_equal(truncate(path_of("file"), 100), 0);
        char got;
        assert_error(EFAULT, read_into(file, (uint64_t)(i % 15 + 1) * PAGE, &got, 1));
        close_file(file);
    }
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(mappings_of(path_of("file")), 0);
    assert_in_range(mappings_of(""), 0, (unsigned)before + 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_read_of_a_lost_page_is_efault_from_then_on),
        folder_test(a_write_to_a_lost_page_is_efault),
        folder_test(a_long_copy_over_lost_pages_is_efault),
        folder_test(a_private_file_faults_alike),
        folder_test(an_atomic_on_a_lost_page_is_efault),
        folder_test(a_line_that_ends_in_a_lost_page_is_efault),
        folder_test(counters_of_a_cut_file_are_efault),
        folder_test(a_direct_access_reads_zeros_and_the_slice_says_so),
        folder_test(a_read_only_slice_can_be_read_after_the_fault),
        folder_test(a_file_that_grows_back_stays_faulted_until_reopened),
        folder_test(a_hole_is_no_fault),
        folder_test(a_full_disk_under_a_hole_is_efault),
        folder_test(thousands_of_lost_pages_cost_few_mappings),
        folder_test(ten_cut_files_cost_few_mappings),
        folder_test(a_hundred_cut_files_cost_few_mappings),
        folder_test(a_thousand_cut_files_cost_few_mappings),
        folder_test(released_files_give_the_budget_of_single_pages_back),
#ifndef SANITIZED
        folder_test(a_process_that_may_map_no_more_survives),
        folder_test(a_process_that_may_have_no_more_data_survives),
#endif
        folder_test(another_file_is_not_touched_by_a_fault),
        folder_test(a_thread_that_never_called_the_core_survives),
        folder_test(a_thread_that_blocks_all_signals_survives),
        folder_test(threads_may_fault_at_once_while_others_open_and_close),
        folder_test(a_thousand_faults_in_a_row_leave_nothing),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
