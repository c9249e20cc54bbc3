/* Copies of files in use: their content, their waits, and the files that a death leaves. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../core/pause_points.h"
#include "structures.h"

#define BLOCK 64u

/* The number of files in the folder, without live folders of open files. */
static size_t entries(void)
{
    DIR *const folder = opendir(path_of("."));
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                 strstr(entry->d_name, "-live") == NULL;
    closedir(folder);
    return count;
}

static void store_number(emmap_file *blocks, uint64_t number, uint64_t *address)
{
    uint8_t block[BLOCK];
    fill_message(block, number, BLOCK);
    const struct iovec vector = {.iov_base = block, .iov_len = BLOCK};
    require_ok(emmap_block_store(blocks, &vector, address));
}

static uint64_t load_number(emmap_file *blocks, uint64_t address)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    require_ok(emmap_block_read(blocks, address, &sink));
    require(got.length == BLOCK);
    uint64_t number;
    memcpy(&number, got.data, sizeof number);
    bytes_free(&got);
    return number;
}

static void a_copy_of_a_plain_file_is_its_bytes(void **state)
{
    (void)state;
    const char *const path = path_of("file"), *const to = path_of("copy");
    uint8_t expected[200000] = {0};
    for (size_t i = 0; i < 1000; i++)
        expected[i] = expected[150000 + i] = (uint8_t)(i * 7 + 1);
    const uint32_t sharing[] = {EMMAP_OPEN_SHARED, EMMAP_OPEN_PRIVATE};
    for (size_t i = 0; i < COUNT_OF(sharing); i++) {
        put_file(path, expected, sizeof expected);
        require(chmod(path, 0640) == 0);
        emmap_file *const file = open_file(path, EMMAP_OPEN_WRITE | sharing[i], 0);
        assert_ok(write_bytes(file, 70000, "what was written to the mapping", 31));
        assert_ok(emmap_backup(file, to));
        uint8_t written[sizeof expected];
        memcpy(written, expected, sizeof expected);
        memcpy(written + 70000, "what was written to the mapping", 31);
        assert_file(to, written, sizeof written);
        struct stat about;
        assert_int_equal(stat(to, &about), 0);
        assert_int_equal(about.st_mode & 07777, 0640);
        /* A copy replaces no file, not even one that cannot be opened. */
        assert_error(EEXIST, emmap_backup(file, to));
        assert_int_equal(emmap_last_failure()->about, EMMAP_ABOUT_COPY);
        assert_error(EEXIST, emmap_backup(file, path));
        assert_int_equal(emmap_last_failure()->about, EMMAP_ABOUT_COPY);
        assert_file(to, written, sizeof written);
        unlink(to);
        require(symlink("nowhere", to) == 0);
        assert_error(EEXIST, emmap_backup(file, to));
        assert_int_equal(emmap_last_failure()->about, EMMAP_ABOUT_COPY);
        assert_error(ENOENT, emmap_backup(file, path_of("missing/copy")));
        assert_int_equal(emmap_last_failure()->about, EMMAP_ABOUT_COPY);
        unlink(to);
        assert_ok(emmap_close(file));
        assert_error(EMMAP_CLOSED, emmap_backup(file, to));
        emmap_free(file);
        assert_int_equal(entries(), 1);
    }
}

static void a_copy_of_counters_is_a_counters_file(void **state)
{
    (void)state;
    emmap_file *file, *copy;
    assert_ok(emmap_counters_open(path_of("counters"), 20000, NULL, &file));
    assert_ok(emmap_counter_add(file, 0, -7, NULL));
    assert_ok(emmap_counter_add(file, 19999, 42, NULL));
    assert_ok(emmap_backup(file, path_of("copy")));
    assert_ok(emmap_counter_add(file, 0, 1, NULL));
    assert_ok(emmap_counters_open(path_of("copy"), 20000, NULL, &copy));
    int64_t value;
    assert_ok(emmap_counter_get(copy, 0, &value));
    assert_int_equal(value, -7);
    assert_ok(emmap_counter_get(copy, 19999, &value));
    assert_int_equal(value, 42);
    close_file(copy);
    close_file(file);
}

static void a_copy_of_a_queue_has_its_messages(void **state)
{
    (void)state;
    const char *const path = path_of("queue"), *const to = path_of("copy");
    emmap_file *const queue = open_queue(path, 0, 4096);
    const uint32_t modes[] = {EMMAP_OPEN_WRITE, EMMAP_OPEN_READ};
    uint64_t first = 0, next = 0, number;
    for (unsigned round = 0; round < 12; round++) {
        emmap_file *const other = open_queue(path, modes[round % 2], 0);
        /* Empty in the first round; later moved, grown, synced. */
        for (unsigned i = 0; i < round * round; i++)
            assert_ok(push_number(queue, next++, 8 + i * 13));
        for (; first < next * 2 / 3; first++)
            assert_ok(pop_number(queue, &number));
        if (round == 6)
            assert_ok(emmap_sync(queue));
        assert_ok(emmap_backup(other, to));
        emmap_file *const copy = open_queue(to, 0, 0);
        assert_int_equal(queue_length_of(copy), next - first);
        for (uint64_t i = first; i < next; i++) {
            assert_ok(pop_number(copy, &number));
            assert_int_equal(number, i);
        }
        assert_int_equal(queue_length_of(queue), next - first);
        close_file(copy);
        close_file(other);
        unlink(to);
    }
    close_file(queue);
}

static void a_copy_of_a_storage_has_its_blocks(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static uint64_t addresses[COUNT];
    const char *const path = path_of("blocks"), *const to = path_of("copy");
    emmap_file *const blocks = open_blocks(path, 0, 4096, BLOCK, 3);
    assert_ok(emmap_backup(blocks, to));
    emmap_file *copy = open_blocks(to, 0, 0, BLOCK, 3);
    assert_int_equal(blocks_count_of(copy), 0);
    close_file(copy);
    for (uint64_t i = 0; i < COUNT; i++)
        store_number(blocks, i, &addresses[i]);
    for (uint64_t i = 0; i < COUNT; i++)
        if (i >= 70 && i < 4500)
            assert_ok(emmap_block_free(blocks, addresses[i]));
    const uint32_t modes[] = {EMMAP_OPEN_WRITE, EMMAP_OPEN_READ};
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        unlink(to);
        emmap_file *const other = open_blocks(path, modes[mode], 0, BLOCK, 3);
        assert_ok(emmap_backup(other, to));
        close_file(other);
        copy = open_blocks(to, 0, 0, BLOCK, 3);
        assert_int_equal(blocks_count_of(copy), 570);
        for (uint64_t i = 0; i < COUNT; i++)
            if (i < 70 || i >= 4500)
                assert_int_equal(load_number(copy, addresses[i]), i);
        /* The copy has the same free addresses. */
        uint64_t address;
        store_number(copy, 1, &address);
        assert_int_equal(address, addresses[70]);
        close_file(copy);
    }
    close_file(blocks);
}

static void what_is_free_takes_no_space_in_a_copy(void **state)
{
    (void)state;
    enum { COUNT = 200, LARGE = 16384 };
    const char *const to = path_of("copy");
    emmap_file *const blocks = open_blocks(path_of("blocks"), 0, 4096, LARGE, 2);
    static uint64_t addresses[COUNT];
    static uint8_t block[LARGE];
    memset(block, 7, LARGE);
    const struct iovec vector = {.iov_base = block, .iov_len = LARGE};
    for (size_t i = 0; i < COUNT; i++)
        assert_ok(emmap_block_store(blocks, &vector, &addresses[i]));
    assert_ok(emmap_block_free_many(blocks, addresses + 1, COUNT - 2));
    assert_ok(emmap_backup(blocks, to));
    struct stat about;
    assert_int_equal(stat(to, &about), 0);
    assert_true(about.st_size > COUNT * LARGE && about.st_blocks * 512 < 8 * LARGE);
    emmap_file *const copy = open_blocks(to, 0, 0, LARGE, 2);
    assert_int_equal(blocks_count_of(copy), 2);
    close_file(copy);
    close_file(blocks);
}

/* ---- Under load ---- */

typedef struct load {
    atomic_bool end;
    const char *path;
} load;

/* Every message in the queue follows the one before it. */
static void *use_queue(void *context)
{
    load *const self = context;
    emmap_file *const queue = open_queue(self->path, 0, 0);
    uint64_t number;
    for (uint64_t i = 0; !atomic_load(&self->end); i++) {
        require_ok(push_number(queue, i, 16 + i % 300));
        /* Empties the queue now and then. */
        if (i % 400 > 200 || i % 400 == 0)
            while (queue_length_of(queue) > (i % 400 == 0 ? 0 : 40))
                require_ok(pop_number(queue, &number));
    }
    emmap_free(queue);
    return NULL;
}

/* Stores and frees pairs of blocks with one number, each pair at once. */
static void *use_blocks(void *context)
{
    load *const self = context;
    emmap_file *const blocks = open_blocks(self->path, 0, 0, BLOCK, 3);
    uint64_t addresses[64] = {0};
    uint8_t block[BLOCK];
    const struct iovec pair[] = {{.iov_base = block, .iov_len = BLOCK},
                                 {.iov_base = block, .iov_len = BLOCK}};
    for (uint64_t i = 0; !atomic_load(&self->end); i++) {
        uint64_t *const place = &addresses[i * 7 % 32 * 2];
        if (place[1])
            require_ok(emmap_block_free_many(blocks, place, 2));
        fill_message(block, i, BLOCK);
        require_ok(emmap_block_store_many(blocks, pair, 2, place));
    }
    emmap_free(blocks);
    return NULL;
}

static void check_queue(const char *path, bool locked)
{
    (void)locked;
    emmap_file *const copy = open_queue(path, 0, 0);
    uint64_t number, last = 0;
    for (bool any = false; pop_number(copy, &number) == EMMAP_OK; any = true, last = number)
        require(!any || number == last + 1);
    emmap_free(copy);
}

/* A copy without a lock may have one block of a pair, from the middle of the operation. */
static void check_blocks(const char *path, bool locked)
{
    emmap_file *const copy = open_blocks(path, 0, 0, BLOCK, 3);
    static uint64_t addresses[1000];
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t place = 0, sum = 0;
    size_t count = 0;
    const emmap_error error = emmap_blocks_walk(copy, COUNT_OF(addresses), &place, addresses, &sink, &count);
    require(error == EMMAP_OK || error == EMMAP_EOF);
    require(!locked || count % 2 == 0);
    for (size_t i = 0; i < count; i++)
        sum ^= number_of(got.list[i].iov_base, BLOCK);
    require(!locked || sum == 0);
    pieces_free(&got);
    emmap_free(copy);
}

static void copies_made_under_load_are_sound(void **state)
{
    (void)state;
    void *(*const uses[])(void *) = {use_queue, use_blocks};
    void (*const checks[])(const char *, bool) = {check_queue, check_blocks};
    for (size_t kind = 0; kind < COUNT_OF(uses); kind++) {
        const char *const path = path_of(kind ? "blocks" : "queue"), *const to = path_of("copy");
        load self = {.path = path};
        pthread_t thread;
        require(pthread_create(&thread, NULL, uses[kind], &self) == 0);
        const uint32_t modes[] = {EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE, EMMAP_OPEN_READ};
        unsigned copies[2] = {0};
        for (unsigned i = 0; i < 300; i++) {
            const unsigned mode = i % 2;
            const emmap_options options = {.flags = modes[mode]};
            emmap_file *file;
            const emmap_error opened = kind ? emmap_blocks_open(path, BLOCK, 3, &options, &file)
                                            : emmap_queue_open(path, &options, &file);
            /* A reader may open before the file exists, or meet a change in every attempt. */
            if (mode && opened)
                continue;
            require_ok(opened);
            const emmap_error error = emmap_backup(file, to);
            require(!error || (mode && error == EAGAIN));
            if (!error) {
                checks[kind](to, mode == 0);
                copies[mode]++;
                unlink(to);
            }
            emmap_free(file);
        }
        atomic_store(&self.end, true);
        pthread_join(thread, NULL);
        assert_int_equal(copies[0], 150);
        assert_true(copies[1] > 0);
    }
}

/* ---- Waits ---- */

static char stopped_at[32];
static atomic_bool stopped, goes_on;

static void stop(const char *name)
{
    if (strcmp(name, stopped_at) != 0)
        return;
    atomic_store(&stopped, true);
    while (!atomic_load(&goes_on))
        sched_yield();
}

static void *make_backup(void *context)
{
    require_ok(emmap_backup(context, path_of("copy")));
    return NULL;
}

static void nobody_waits_while_a_copy_goes_to_the_disk(void **state)
{
    (void)state;
    const char *const points[] = {"backup_copied", "backup_written"};
    emmap_file *const queue = open_queue(path_of("queue"), 0, 0);
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        assert_ok(push_number(queue, i, 100));
        strcpy(stopped_at, points[i]);
        atomic_store(&stopped, false);
        atomic_store(&goes_on, false);
        pause_hook = stop;
        pthread_t thread;
        require(pthread_create(&thread, NULL, make_backup, queue) == 0);
        while (!atomic_load(&stopped))
            sched_yield();
        emmap_set_may_block(false);
        assert_ok(push_number(queue, 10 + i, 100));
        emmap_set_may_block(true);
        atomic_store(&goes_on, true);
        pthread_join(thread, NULL);
        pause_hook = NULL;
        emmap_file *const copy = open_queue(path_of("copy"), 0, 0);
        assert_int_equal(queue_length_of(copy), 1 + 2 * i);
        close_file(copy);
        unlink(path_of("copy"));
    }
    close_file(queue);
}

/* ---- Deaths and failures ---- */

static const char *victim_kind;

static void back_up_and_die(void *context)
{
    emmap_file *file;
    if (strcmp(victim_kind, "file") == 0)
        file = open_file(path_of("source"), EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    else
        file = open_queue(path_of("source"), 0, 0);
    die_at(context);
    (void)emmap_backup(file, path_of("copy"));
}

/* The files that a death leaves on a file system without nameless files. */
static size_t leftovers(void)
{
    size_t count = 0;
#ifndef __linux__
    DIR *const folder = opendir(path_of("."));
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strncmp(entry->d_name, ".copy.emmap-", 12) == 0) {
            char name[300];
            snprintf(name, sizeof name, "%s", entry->d_name);
            unlink(path_of(name));
            count++;
        }
    closedir(folder);
#endif
    return count;
}

#define NAME(point) #point,

static void a_death_leaves_a_whole_copy_or_none(void **state)
{
    (void)state;
    const char *const points[] = {BACKUP_PAUSE_POINTS(NAME)}, *const kinds[] = {"file", "queue"};
    unsigned met = 0;
    emmap_file *const queue = open_queue(path_of("source"), 0, 0);
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(push_number(queue, i, 100));
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++)
        for (size_t i = 0; i < COUNT_OF(points); i++) {
            victim_kind = kinds[kind];
            const int status = in_child(back_up_and_die, (void *)(uintptr_t)points[i]);
            const bool died = WIFSIGNALED(status);
            assert_true(died ? WTERMSIG(status) == SIGKILL : status == 0);
            met += died;
            assert_int_equal(exists(path_of("copy")), !died || strcmp(points[i], "backup_named") == 0);
            assert_true(leftovers() <= 1);
            assert_int_equal(entries(), 1u + exists(path_of("copy")));
            if (exists(path_of("copy"))) {
                emmap_file *const copy = open_queue(path_of("copy"), 0, 0);
                assert_int_equal(queue_length_of(copy), 20);
                close_file(copy);
            }
            unlink(path_of("copy"));
        }
    assert_int_equal(met, 2 * COUNT_OF(points) - 2);
    assert_int_equal(queue_length_of(queue), 20);
    close_file(queue);
}

static void a_full_disk_leaves_no_copy(void **state)
{
    (void)state;
    const char *const disk = path_of("disk");
    if (!mount_tmpfs(disk, "64k"))
        skip();
    emmap_file *const queue = open_queue(path_of("queue"), 0, 0);
    for (uint64_t i = 0; i < 100; i++)
        assert_ok(push_number(queue, i, 1000));
    assert_error(ENOSPC, emmap_backup(queue, path_of("disk/copy")));
    assert_int_equal(emmap_last_failure()->about, EMMAP_ABOUT_COPY);
    assert_false(exists(path_of("disk/copy")));
    uint64_t number;
    while (queue_length_of(queue) > 20)
        assert_ok(pop_number(queue, &number));
    assert_ok(emmap_backup(queue, path_of("disk/copy")));
    close_file(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_copy_of_a_plain_file_is_its_bytes),
        folder_test(a_copy_of_counters_is_a_counters_file),
        folder_test(a_copy_of_a_queue_has_its_messages),
        folder_test(a_copy_of_a_storage_has_its_blocks),
        folder_test(what_is_free_takes_no_space_in_a_copy),
        folder_test(copies_made_under_load_are_sound),
        folder_test(nobody_waits_while_a_copy_goes_to_the_disk),
        folder_test(a_death_leaves_a_whole_copy_or_none),
        folder_test(a_full_disk_leaves_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
