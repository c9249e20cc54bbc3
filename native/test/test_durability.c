/* Write-out and advice: each call works, refuses wrong arguments and loses nothing; and errors of a failing disk.
 * test_power_loss.c tests power cuts. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "structures.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

/* The core calls these in place of libc's functions. They fail once when a test asks for it. */
static int failing_fsync, failing_fdatasync, directories_failing;

static int fail_once(int *with)
{
    errno = *with;
    *with = 0;
    return -1;
}

int fsync(int fd)
{
    struct stat about;
    if (directories_failing && fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
        return fail_once(&directories_failing);
#ifndef __linux__
    /* The core knows no other there. */
    if (failing_fdatasync)
        return fail_once(&failing_fdatasync);
#endif
    return failing_fsync ? fail_once(&failing_fsync) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return failing_fdatasync ? fail_once(&failing_fdatasync) : (int)syscall(SYS_fdatasync, fd);
}

static void a_sync_that_failed_is_not_followed_by_one_that_succeeds(void **state)
{
    (void)state;
    int *const places[] = {&failing_fsync, &failing_fdatasync, &directories_failing};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *const path = path_of(i == 0 ? "a" : i == 1 ? "b" : "c");
        emmap_file *const file = open_file(path, CREATE, 10000);
        *places[i] = EIO;
        assert_error(EIO, i == 1 ? emmap_datasync(file) : emmap_sync(file));
        assert_int_equal(*places[i], 0);
        assert_error(EIO, emmap_sync(file));
        assert_error(EIO, emmap_datasync(file));
        assert_non_null(emmap_last_failure()->reason);
        /* The file still works otherwise. */
        assert_ok(write_bytes(file, 0, "x", 1));
        emmap_file *const other = open_file(path, CREATE, 0);
        assert_ok(emmap_sync(other));
        close_file(other);
        close_file(file);
    }
}

static void an_interrupted_sync_may_be_called_again(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 100);
    failing_fsync = EINTR;
    assert_error(EINTR, emmap_sync(file));
    assert_ok(emmap_sync(file));
    close_file(file);
}

/* Pushes until a push has to wait for the disk. */
static emmap_error push_until_refused(emmap_file *queue, uint64_t *pushed)
{
    emmap_error error = EMMAP_OK;
    while (failing_fdatasync && !error && *pushed < 1000)
        if ((error = push_number(queue, *pushed, 1000)) == EMMAP_OK)
            ++*pushed;
    return error;
}

static void a_push_that_cannot_get_synced_messages_to_disk_leaves_the_queue_as_it_was(void **state)
{
    (void)state;
    emmap_file *const queue = open_queue(path_of("queue"), QUEUE_RW, 4096);
    uint64_t pushed = 0, number;
    assert_ok(push_number(queue, pushed++, 1000));
    assert_ok(emmap_sync(queue));
    failing_fdatasync = ENOSPC;
    assert_error(ENOSPC, push_until_refused(queue, &pushed));
    assert_error(ENOSPC, push_number(queue, pushed, 3000));
    assert_int_equal(queue_length_of(queue), pushed);
    for (uint64_t i = 0; i < pushed; i++) {
        assert_ok(pop_number(queue, &number));
        assert_int_equal(number, i);
    }
    close_file(queue);
}

static void a_store_that_cannot_get_masks_to_disk_leaves_the_storage_as_it_was(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    const struct iovec block = {.iov_base = "12345678", .iov_len = 8};
    uint64_t address;
    for (int i = 0; i < 64; i++)
        assert_ok(emmap_block_store(blocks, &block, &address));
    assert_ok(emmap_sync(blocks));
    failing_fdatasync = EIO;
    assert_error(EIO, emmap_block_store(blocks, &block, &address));
    assert_int_equal(failing_fdatasync, 0);
    assert_error(EIO, emmap_block_store(blocks, &block, &address));
    assert_int_equal(blocks_count_of(blocks), 64);
    close_file(blocks);
}

static void every_kind_of_file_can_be_synced(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    static const struct {
        uint32_t flags;
        uint64_t offset;
    } kinds[] = {
        {CREATE, 0},
        {CREATE, 5001},
        {EMMAP_OPEN_READ, 0},
        {EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 5001},
        {RW | EMMAP_OPEN_PRIVATE, 0},
        {RW | EMMAP_OPEN_ANON | EMMAP_OPEN_SHARED, 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        emmap_file *const file =
            open_with(path, (emmap_options){.flags = kinds[i].flags,
                                            .offset = kinds[i].offset,
                                            .size = kinds[i].flags & EMMAP_OPEN_WRITE ? 10000 : 0});
        assert_ok(emmap_flush(file));
        assert_ok(emmap_datasync(file));
        assert_ok(emmap_sync(file));
        assert_ok(emmap_sync(file));
        close_file(file);
    }
}

static void a_relative_path_is_synced_after_a_change_of_directory(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(path_of("")), 0);
    emmap_file *const file = open_file("file", CREATE, 100);
    assert_int_equal(chdir(before), 0);
    assert_ok(emmap_sync(file));
    close_file(file);
}

static void a_sync_in_a_renamed_directory_fails_for_its_path_alone(void **state)
{
    (void)state;
    emmap_options options = {.flags = CREATE, .size = 100};
    char name[64];
    snprintf(name, sizeof name, "%s", path_of("before"));
    assert_int_equal(mkdir(name, 0700), 0);
    emmap_file *const file = open_with(path_of("before/file"), options);
    assert_int_equal(rename(name, path_of("after")), 0);
    assert_error(ESTALE, emmap_sync(file));
    /* A sync works again once the path means the file again. */
    assert_int_equal(symlink("after", name), 0);
    assert_ok(emmap_sync(file));
    close_file(file);
}

static void advice_of_every_kind_is_taken(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {CREATE, RW | EMMAP_OPEN_PRIVATE, EMMAP_OPEN_READ};
    for (int kind = 0; kind < 3; kind++) {
        emmap_file *const file =
            open_with(path_of("file"), (emmap_options){.flags = kinds[kind],
                                                       .offset = 100,
                                                       .size = kinds[kind] & EMMAP_OPEN_WRITE ? 20000 : 0});
        if (kinds[kind] & EMMAP_OPEN_WRITE)
            assert_ok(write_bytes(file, 8000, "written", 7));
        for (int advice = EMMAP_ADVICE_NORMAL; advice <= EMMAP_ADVICE_DONT_NEED; advice++) {
            assert_ok(emmap_advise(file, 0, 0, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 5000, 1, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 19999, 100000, (emmap_advice)advice));
            assert_ok(emmap_advise(file, 20000, 1, (emmap_advice)advice));
            assert_ok(emmap_advise(file, INT64_MAX, INT64_MAX, (emmap_advice)advice));
            assert_error(EINVAL, emmap_advise(file, (uint64_t)1 << 63, 1, (emmap_advice)advice));
            assert_error(EINVAL, emmap_advise(file, 0, UINT64_MAX - 7, (emmap_advice)advice));
        }
        assert_error(EINVAL, emmap_advise(file, 0, 0, (emmap_advice)(EMMAP_ADVICE_DONT_NEED + 1)));
        char got[7];
        assert_ok(read_into(file, 8000, got, 7));
        assert_memory_equal(got, "written", 7);
        close_file(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(every_kind_of_file_can_be_synced),
        folder_test(a_sync_that_failed_is_not_followed_by_one_that_succeeds),
        folder_test(an_interrupted_sync_may_be_called_again),
        folder_test(a_push_that_cannot_get_synced_messages_to_disk_leaves_the_queue_as_it_was),
        folder_test(a_store_that_cannot_get_masks_to_disk_leaves_the_storage_as_it_was),
        folder_test(a_relative_path_is_synced_after_a_change_of_directory),
        folder_test(a_sync_in_a_renamed_directory_fails_for_its_path_alone),
        folder_test(advice_of_every_kind_is_taken),
    };
    return cmocka_run_group_tests_name("durability", tests, NULL, NULL);
}
