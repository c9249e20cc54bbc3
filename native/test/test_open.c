/* Opening: the mapped bytes, the refused calls, and the files after a failure. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE)
#define CREATE (RW | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static void create_makes_a_file_of_the_size_and_zeros(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE, 100);
    static const uint8_t zeros[100];
    assert_file(path, zeros, 100);
    emmap_info info;
    emmap_describe(file, &info);
    assert_false(info.existed);
    assert_int_equal(info.size, 100);
    close_file(file);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_true(about.st_blocks > 0);
}

static void noreserve_makes_a_sparse_file(void **state)
{
    (void)state;
    close_file(open_file(path_of("file"), CREATE | EMMAP_OPEN_NORESERVE, 1 << 20));
    struct stat about;
    assert_int_equal(stat(path_of("file"), &about), 0);
    assert_int_equal(about.st_size, 1 << 20);
    assert_int_equal(about.st_blocks, 0);
}

static void what_is_there_is_kept_and_only_grown(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "abc", 3);
    close_file(open_file(path, CREATE, 2));
    assert_file(path, "abc", 3);
    close_file(open_file(path, CREATE, 5));
    assert_file(path, "abc\0\0", 5);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ, .size = 6}));
    assert_file(path, "abc\0\0", 5);
}

static void truncate_empties_the_file_first(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "abcdef", 6);
    close_file(open_file(path, CREATE | EMMAP_OPEN_TRUNCATE, 4));
    assert_file(path, "\0\0\0\0", 4);
}

static void a_missing_file_is_enoent_without_create(void **state)
{
    (void)state;
    assert_error(ENOENT, try_open(path_of("none"), (emmap_options){.flags = RW, .size = 8}));
    assert_string_equal(emmap_last_failure()->syscall, "open");
    assert_error(ENOENT, try_open(path_of("no/such/folder"), (emmap_options){.flags = CREATE, .size = 8}));
    assert_error(ENOENT, try_open("", (emmap_options){.flags = CREATE, .size = 8}));
}

static void an_empty_file_needs_a_size(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "", 0);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ}));
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = RW}));
    assert_true(exists(path));
    close_file(open_file(path, RW, 8));
    assert_int_equal(size_of_file(path), 8);
}

static void position_zero_is_the_byte_at_the_offset(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    char content[20000];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)('a' + i % 26);
    put_file(path, content, sizeof content);
    static const uint64_t offsets[] = {0, 1, 7, 4095, 4096, 4097, 8191, 12289, 19999};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        const uint64_t offset = offsets[i];
        emmap_file *file = open_with(path, (emmap_options){.flags = EMMAP_OPEN_READ, .offset = offset});
        uint64_t size;
        assert_ok(emmap_size(file, &size));
        assert_int_equal(size, sizeof content - offset);
        bytes got = {0};
        const emmap_sink sink = sink_into(&got);
        assert_ok(emmap_pread(file, 0, INT64_MAX, &sink));
        assert_int_equal(got.length, sizeof content - offset);
        assert_memory_equal(got.data, content + offset, got.length);
        bytes_free(&got);
        close_file(file);

        file = open_with(path, (emmap_options){.flags = EMMAP_OPEN_READ, .offset = offset, .length = 1});
        assert_ok(emmap_size(file, &size));
        assert_int_equal(size, 1);
        char byte;
        assert_ok(read_into(file, 0, &byte, 1));
        assert_int_equal(byte, content[offset]);
        assert_error(EMMAP_EOF, read_into(file, 1, &byte, 1));
        close_file(file);
    }
}

static void a_window_past_the_end_grows_or_is_refused(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "0123456789", 10);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ, .offset = 10}));
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ, .offset = 5, .length = 6}));
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = RW, .offset = 10}));
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ, .offset = INT64_MAX}));
    assert_int_equal(size_of_file(path), 10);
    emmap_file *const file =
        open_with(path, (emmap_options){.flags = RW | EMMAP_OPEN_SHARED, .offset = 5, .length = 6});
    assert_ok(write_bytes(file, 0, "ABCDEF", 6));
    assert_error(EINVAL, write_bytes(file, 0, "ABCDEFG", 7));
    close_file(file);
    assert_file(path, "01234ABCDEF", 11);
}

static void anonymous_memory_has_no_path(void **state)
{
    (void)state;
    const uint32_t sharings[] = {EMMAP_OPEN_SHARED, EMMAP_OPEN_PRIVATE};
    for (int i = 0; i < 2; i++) {
        emmap_file *const file =
            open_with(NULL, (emmap_options){.flags = RW | EMMAP_OPEN_ANON | sharings[i], .size = 100});
        emmap_info info;
        emmap_describe(file, &info);
        assert_string_equal(info.path, "");
        assert_false(info.existed);
        assert_ok(write_bytes(file, 95, "abcde", 5));
        uint64_t size;
        assert_ok(emmap_resize(file, 100000, &size));
        assert_int_equal(size, 100000);
        char got[6] = {0};
        assert_ok(read_into(file, 95, got, 5));
        assert_string_equal(got, "abcde");
        assert_ok(write_bytes(file, 99999, "z", 1));
        assert_ok(emmap_resize(file, 97, &size));
        assert_int_equal(size, 97);
        assert_ok(emmap_sync(file));
        close_file(file);
    }
}

static void private_writes_stay_private(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "0123456789", 10);
    emmap_file *const file = open_file(path, RW, 0);
    assert_ok(write_bytes(file, 0, "abc", 3));
    int64_t old;
    assert_ok(emmap_patomic_add(file, 0, 1, &old));
    assert_ok(emmap_sync(file));
    assert_file(path, "0123456789", 10);
    char got[4] = {0};
    assert_ok(read_into(file, 0, got, 3));
    assert_string_equal(got, "bbc");
    close_file(file);
    assert_file(path, "0123456789", 10);
}

static void a_read_only_file_may_be_opened_by_who_may_only_read(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "0123456789", 10);
    assert_int_equal(chmod(path, 0444), 0);
    close_file(open_file(path, EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0));
}

static void auto_unlink_unlinks_at_close_whoever_has_slices(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE | EMMAP_OPEN_AUTO_UNLINK, 64);
    assert_ok(write_bytes(file, 0, "bytes", 5));
    assert_ok(emmap_resize(file, 128, NULL));
    emmap_slice slice;
    assert_ok(emmap_pread_direct(file, 0, 64, &slice));
    assert_true(exists(path));
    assert_ok(emmap_close(file));
    assert_false(exists(path));
    assert_memory_equal(slice.data, "bytes", 5);
    /* Unlinks once: a file that others create there later is theirs. */
    put_file(path, "mine", 4);
    emmap_slice_release(&slice);
    emmap_free(file);
    assert_file(path, "mine", 4);
}

static void auto_unlink_spares_a_file_that_took_the_path(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *const file = open_file(path, CREATE | EMMAP_OPEN_AUTO_UNLINK, 64);
    put_file(path_of("other"), "mine", 4);
    assert_int_equal(rename(path_of("other"), path), 0);
    close_file(file);
    assert_file(path, "mine", 4);
}

static void auto_unlink_outlives_a_change_of_directory(void **state)
{
    (void)state;
    char *const before = getcwd(NULL, 0);
    assert_int_equal(chdir(path_of("")), 0);
    emmap_file *const file = open_file("file", CREATE | EMMAP_OPEN_AUTO_UNLINK, 64);
    assert_int_equal(chdir("/"), 0);
    close_file(file);
    assert_false(exists(path_of("file")));
    assert_int_equal(chdir(before), 0);
    free(before);
}

static void auto_unlink_of_a_failed_open_spares_the_file(void **state)
{
    (void)state;
    put_file(path_of("file"), "", 0);
    assert_error(EINVAL, try_open(path_of("file"), (emmap_options){.flags = RW | EMMAP_OPEN_AUTO_UNLINK}));
    assert_true(exists(path_of("file")));
}

static mode_t mode_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 07777;
}

static void modes_and_the_default_are_less_the_umask_unless_exact(void **state)
{
    (void)state;
    const mode_t before = umask(027);
    static const uint32_t modes[] = {0600, 0666, 0777, 0400, 0, 01666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        for (int exact = 0; exact < 2; exact++) {
            const emmap_options options = {
                .flags = CREATE, .size = 8, .mode = modes[i], .has_mode = true, .mode_exact = exact};
            close_file(open_with(path_of("file"), options));
            assert_int_equal(mode_of(path_of("file")), exact ? modes[i] : modes[i] & ~027u);
            assert_int_equal(unlink(path_of("file")), 0);
        }
    umask(0);
    close_file(open_file(path_of("default"), CREATE, 8));
    assert_int_equal(mode_of(path_of("default")), 0600);
    umask(027);
    close_file(open_with(path_of("default"),
                         (emmap_options){.flags = CREATE, .size = 8, .mode = 0777, .has_mode = true}));
    assert_int_equal(mode_of(path_of("default")), 0600);
    umask(before);
}

/* A process that opens the file before its permissions are set must not succeed. */
static void a_file_is_never_more_open_than_asked_for(void **state)
{
    (void)state;
    const mode_t before = umask(0);
    const char *const path = path_of("file");
    /* open(2) creates the file with fewer permissions, and fchmod(2) only adds some. */
    const emmap_options options = {
        .flags = CREATE, .size = 8, .mode = 0600, .has_mode = true, .mode_exact = true};
    int *const seen = shared_memory(sizeof *seen);
    const pid_t watcher = fork();
    if (watcher == 0) {
        while (!__atomic_load_n(&seen[0], __ATOMIC_ACQUIRE)) {
            struct stat about;
            if (stat(path, &about) == 0 && (about.st_mode & 0077) != 0)
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < 2000; i++) {
        close_file(open_with(path, options));
        assert_int_equal(unlink(path), 0);
    }
    __atomic_store_n(&seen[0], 1, __ATOMIC_RELEASE);
    assert_int_equal(wait_child(watcher), 0);
    umask(before);
}

static void assert_structures_refuse(emmap_error expected, const char *path)
{
    static const emmap_options reader = {.flags = EMMAP_OPEN_READ};
    const emmap_options *const options[] = {NULL, &reader};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        emmap_file *file;
        assert_error(expected, emmap_counters_open(path, 1, options[i], &file));
        assert_error(expected, emmap_queue_open(path, options[i], &file));
        assert_error(expected, emmap_blocks_open(path, 8, 0, options[i], &file));
    }
}

static void a_directory_is_eisdir(void **state)
{
    (void)state;
    assert_structures_refuse(EISDIR, path_of(""));
    assert_error(EISDIR, try_open(path_of(""), (emmap_options){.flags = EMMAP_OPEN_READ}));
    assert_error(EISDIR, try_open(path_of(""), (emmap_options){.flags = RW}));
    assert_error(EISDIR, try_open(path_of(""), (emmap_options){.flags = CREATE, .size = 8}));
}

static void what_is_no_regular_file_is_enodev_at_once(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path_of("socket"));
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    const char *const paths[] = {path_of("fifo"), path_of("socket"), "/dev/null", "/dev/zero"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_error(ENODEV, try_open(paths[i], (emmap_options){.flags = EMMAP_OPEN_READ}));
        assert_error(ENODEV, try_open(paths[i], (emmap_options){.flags = CREATE, .size = 8}));
        assert_structures_refuse(ENODEV, paths[i]);
        assert_true(exists(paths[i]));
    }
    close(server);
}

static void nobody(void *path)
{
    if (getuid() == 0) {
        require(setgid(65534) == 0);
        require(setuid(65534) == 0);
    }
    emmap_file *file;
    require_error(EACCES, emmap_open(path, &(emmap_options){.flags = EMMAP_OPEN_READ}, &file));
    require_error(EACCES, emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8}, &file));
    require(file == NULL);
}

static void an_unreadable_file_is_eacces(void **state)
{
    (void)state;
    assert_int_equal(chmod(path_of(""), 0755), 0);
    put_file(path_of("file"), "12345678", 8);
    assert_int_equal(chmod(path_of("file"), 0), 0);
    assert_child_passes(nobody, (void *)(uintptr_t)path_of("file"));
}

static void limited(void *path)
{
    const struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_DFL);
    emmap_file *file;
    require_error(EFBIG, emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8193}, &file));
    require(!exists(path));
    require_error(
        EFBIG,
        emmap_open(path, &(emmap_options){.flags = CREATE | EMMAP_OPEN_NORESERVE, .size = 8193}, &file));
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8192}, &file));
    require_error(EFBIG, emmap_resize(file, 8193, NULL));
    require_error(EFBIG, emmap_resize(file, 0, NULL));
    uint64_t size;
    require_ok(emmap_size(file, &size));
    require(size == 8192);
    emmap_free(file);
}

static void the_limit_on_file_size_is_efbig_and_no_signal(void **state)
{
    (void)state;
    assert_child_passes(limited, (void *)(uintptr_t)path_of("file"));
    assert_int_equal(size_of_file(path_of("file")), 8192);
}

static void a_full_disk_is_enospc_and_leaves_nothing(void **state)
{
    (void)state;
    if (!mount_tmpfs(path_of("disk"), "64k"))
        return; /* only a user who may mount can fill a disk of his own */
    const char *const path = path_of("disk/file");
    assert_error(ENOSPC, try_open(path, (emmap_options){.flags = CREATE, .size = 1 << 20}));
    assert_false(exists(path));
    emmap_file *const file = open_file(path, CREATE, 32768);
    assert_ok(write_bytes(file, 32760, "12345678", 8));
    assert_error(ENOSPC, emmap_resize(file, 1 << 20, NULL));
    assert_int_equal(size_of_file(path), 32768);
    assert_error(ENOSPC, emmap_resize(file, 80000, NULL));
    assert_int_equal(size_of_file(path), 32768);
    char got[8];
    assert_ok(read_into(file, 32760, got, 8));
    assert_memory_equal(got, "12345678", 8);
    assert_ok(emmap_resize(file, 65536, NULL));
    close_file(file);
}

static void a_failed_open_leaves_no_descriptor_and_no_mapping(void **state)
{
    (void)state;
    put_file(path_of("empty"), "", 0);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    const int descriptors = open_descriptors();
    const int before = mappings_of("emmap-test");
    const struct {
        const char *path;
        emmap_options options;
    } failing[] = {
        {path_of(""), {.flags = EMMAP_OPEN_READ}},
        {path_of("none"), {.flags = EMMAP_OPEN_READ}},
        {path_of("fifo"), {.flags = EMMAP_OPEN_READ}},
        {path_of("empty"), {.flags = EMMAP_OPEN_READ}},
        {path_of("huge"), {.flags = CREATE | EMMAP_OPEN_NORESERVE, .size = INT64_MAX}},
        {path_of("pmem"), {.flags = CREATE | EMMAP_OPEN_SYNC, .size = 64}},
    };
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
            const bool existed = exists(failing[i].path);
            assert_int_not_equal(try_open(failing[i].path, failing[i].options), EMMAP_OK);
            assert_int_equal(exists(failing[i].path), existed);
            assert_int_equal(open_descriptors(), descriptors);
        }
    assert_int_equal(mappings_of("emmap-test"), before);
}

static void without_descriptors(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8}, &file));
    const struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
    require(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int taken[64], count = 0, fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[count++] = fd;
    emmap_file *second;
    require_error(EMFILE, emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8}, &second));
    require_error(EMFILE, emmap_open("x", &(emmap_options){.flags = CREATE, .size = 8}, &second));
    require_error(EMFILE,
                  emmap_open(NULL, &(emmap_options){.flags = RW | EMMAP_OPEN_ANON, .size = 8}, &second));
    require(!exists("x"));
    require_ok(emmap_resize(file, 100000, NULL));
    while (count > 0)
        close(taken[--count]);
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 8}, &second));
    emmap_free(second);
    emmap_free(file);
}

static void without_descriptors_open_fails_and_files_go_on(void **state)
{
    (void)state;
    assert_child_passes(without_descriptors, (void *)(uintptr_t)path_of("file"));
}

static void a_file_that_must_have_a_size_has_it_or_is_left_alone(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    const uint32_t flags = CREATE | EMMAP_OPEN_EXACT;
    close_file(open_file(path, flags, 8192));
    static const uint64_t others[] = {1, 8191, 8193, 1 << 20};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_error(EINVAL, try_open(path, (emmap_options){.flags = flags, .size = others[i]}));
        assert_int_equal(size_of_file(path), 8192);
    }
    close_file(open_file(path, flags, 8192));
    emmap_file *const rest = open_with(path, (emmap_options){.flags = flags, .offset = 4096, .length = 8192});
    uint64_t size;
    assert_ok(emmap_size(rest, &size));
    assert_int_equal(size, 4096);
    close_file(rest);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = flags, .offset = 4, .length = 8192}));
    assert_error(
        EINVAL,
        try_open(path, (emmap_options){.flags = flags | EMMAP_OPEN_TRUNCATE, .offset = 4, .length = 20}));
    assert_int_equal(size_of_file(path), 8192);
    close_file(open_file(path, flags | EMMAP_OPEN_TRUNCATE, 100));
    assert_int_equal(size_of_file(path), 100);
    /* Behind an offset a new file is as long as the whole is said to be, and not made where bytes would lie elsewhere. */
    close_file(open_with(path_of("new"), (emmap_options){.flags = flags, .offset = 4096, .length = 8192}));
    assert_int_equal(size_of_file(path_of("new")), 8192);
    assert_error(EINVAL,
                 try_open(path_of("none"), (emmap_options){.flags = flags, .offset = 4, .length = 20}));
    assert_false(exists(path_of("none")));
}

static void a_file_that_keeps_its_size_has_another_only_when_it_is_empty(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "", 0);
    close_file(open_file(path, RW | EMMAP_OPEN_KEEP_SIZE, 100));
    assert_int_equal(size_of_file(path), 100);
    close_file(open_file(path, RW | EMMAP_OPEN_KEEP_SIZE, 200));
    assert_int_equal(size_of_file(path), 100);
    close_file(open_file(path, RW | EMMAP_OPEN_KEEP_SIZE | EMMAP_OPEN_TRUNCATE, 200));
    assert_int_equal(size_of_file(path), 100);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = RW | EMMAP_OPEN_KEEP_SIZE, .length = 300}));
    assert_int_equal(size_of_file(path), 100);
}

static void truncating_keeps_the_size_where_none_is_asked_for(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "0123456789", 10);
    close_file(open_file(path, RW | EMMAP_OPEN_TRUNCATE, 0));
    assert_file(path, "\0\0\0\0\0\0\0\0\0\0", 10);
    put_file(path, "", 0);
    assert_error(EINVAL, try_open(path, (emmap_options){.flags = RW | EMMAP_OPEN_TRUNCATE}));
}

static void symbolic_links_are_followed_and_loops_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink(path_of("loop"), path_of("loop")), 0);
    assert_error(ELOOP, try_open(path_of("loop"), (emmap_options){.flags = CREATE, .size = 8}));
    put_file(path_of("file"), "12345678", 8);
    assert_int_equal(symlink(path_of("file"), path_of("link")), 0);
    close_file(open_file(path_of("link"), CREATE, 9));
    assert_int_equal(size_of_file(path_of("file")), 9);
}

static void a_link_to_nothing_makes_no_file_where_it_points(void **state)
{
    (void)state;
    assert_int_equal(symlink(path_of("nothing"), path_of("link")), 0);
    assert_error(ENOENT, try_open(path_of("link"), (emmap_options){.flags = RW}));
    assert_error(EEXIST, try_open(path_of("link"), (emmap_options){.flags = CREATE, .size = 8}));
    emmap_file *file;
    assert_error(EEXIST, emmap_counters_open(path_of("link"), 1, NULL, &file));
    assert_error(EEXIST, emmap_queue_open(path_of("link"), NULL, &file));
    assert_error(EEXIST, emmap_blocks_open(path_of("link"), 8, 0, NULL, &file));
    assert_false(exists(path_of("nothing")));
    assert_true(exists(path_of("link")));
}

static void auto_unlink_removes_what_a_link_led_to_and_not_the_link(void **state)
{
    (void)state;
    put_file(path_of("first"), "12345678", 8);
    put_file(path_of("second"), "12345678", 8);
    assert_int_equal(symlink(path_of("first"), path_of("link")), 0);
    emmap_file *const file = open_file(path_of("link"), CREATE | EMMAP_OPEN_AUTO_UNLINK, 8);
    /* No handle may remove the link's later target. */
    assert_int_equal(unlink(path_of("link")), 0);
    assert_int_equal(symlink(path_of("second"), path_of("link")), 0);
    close_file(file);
    assert_false(exists(path_of("first")));
    assert_true(exists(path_of("second")));
    assert_true(exists(path_of("link")));
}

typedef struct racer {
    const char *path;
    pthread_barrier_t *start;
    int *created;
} racer;

static void *race(void *context)
{
    const racer *const self = context;
    pthread_barrier_wait(self->start);
    emmap_file *file;
    require_ok(emmap_open(self->path, &(emmap_options){.flags = CREATE, .size = 64}, &file));
    emmap_info info;
    emmap_describe(file, &info);
    if (!info.existed)
        __atomic_fetch_add(self->created, 1, __ATOMIC_RELAXED);
    require_ok(emmap_patomic_add(file, 0, 1, NULL));
    emmap_free(file);
    return NULL;
}

static void two_threads(void *context)
{
    const racer *const self = context;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, race, (void *)(uintptr_t)self);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void of_many_creators_one_creates(void **state)
{
    (void)state;
    struct {
        pthread_barrier_t start;
        int created;
    } *const common = shared_memory(sizeof *common);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    for (int round = 0; round < 20; round++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", round);
        pthread_barrier_init(&common->start, &attributes, 6);
        common->created = 0;
        racer racer = {path_of(name), &common->start, &common->created};
        pid_t children[3];
        for (int i = 0; i < 3; i++)
            children[i] = start_child(two_threads, &racer);
        for (int i = 0; i < 3; i++)
            assert_int_equal(wait_child(children[i]), 0);
        assert_int_equal(common->created, 1);
        emmap_file *const file = open_file(racer.path, RW | EMMAP_OPEN_SHARED, 0);
        int64_t value;
        assert_ok(emmap_patomic_load(file, 0, &value));
        assert_int_equal(value, 6);
        close_file(file);
    }
}

static const char *shrinking;

/* Changes the size as another handle's resize does. */
static void shrink_it(const char *place)
{
    if (shrinking && strcmp(place, "open_sized") == 0) {
        assert_int_equal(truncate(shrinking, 1), 0);
        shrinking = NULL;
    }
}

static void a_file_that_is_shrunk_under_an_open_gets_its_size_anew(void **state)
{
    (void)state;
    shrinking = path_of("file");
    pause_hook = shrink_it;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    assert_null(shrinking);
    uint64_t size;
    assert_ok(emmap_size(file, &size));
    assert_int_equal(size, 64);
    close_file(file);
    pause_hook = NULL;
}

static const char *doomed;

/* Removes the file as a creator does whose open fails. */
static void unlink_it(const char *place)
{
    if (doomed && strcmp(place, "open_announce") == 0) {
        assert_int_equal(unlink(doomed), 0);
        doomed = NULL;
    }
}

static void a_file_that_is_unlinked_under_an_open_is_opened_anew(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "", 0);
    doomed = path;
    pause_hook = unlink_it;
    emmap_file *const file = open_file(path, CREATE, 8);
    assert_null(doomed);
    assert_ok(write_bytes(file, 0, "kept it!", 8));
    emmap_info info;
    emmap_describe(file, &info);
    assert_false(info.existed);
    close_file(file);
    assert_file(path, "kept it!", 8);

    doomed = path;
    const int descriptors = open_descriptors();
    assert_error(ENOENT, try_open(path, (emmap_options){.flags = RW}));
    assert_null(doomed);
    assert_int_equal(open_descriptors(), descriptors);
}

static void a_file_without_a_name_can_be_opened_through_proc(void **state)
{
    (void)state;
    put_file(path_of("file"), "12345678", 8);
    const int fd = open(path_of("file"), O_RDWR | O_CLOEXEC);
    assert_int_equal(unlink(path_of("file")), 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    emmap_file *const file = open_file(path, RW | EMMAP_OPEN_SHARED, 0);
    char got[8];
    assert_ok(read_into(file, 0, got, 8));
    assert_memory_equal(got, "12345678", 8);
    close_file(file);
    close(fd);
}

static void an_exclusive_file_has_no_second_writer(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *file = open_file(path, CREATE | EMMAP_OPEN_EXCLUSIVE, 64);
    const emmap_options writer = {.flags = RW | EMMAP_OPEN_SHARED};
    const emmap_options alone = {.flags = RW | EMMAP_OPEN_SHARED | EMMAP_OPEN_EXCLUSIVE};
    assert_error(EBUSY, try_open(path, writer));
    assert_error(EBUSY, try_open(path, alone));
    assert_error(EBUSY, try_open(path, (emmap_options){.flags = CREATE | EMMAP_OPEN_TRUNCATE, .size = 1}));
    assert_int_equal(size_of_file(path), 64);
    assert_ok(try_open(path, (emmap_options){.flags = EMMAP_OPEN_READ}));
    close_file(file);
    file = open_with(path, writer);
    assert_error(EBUSY, try_open(path, alone));
    assert_ok(try_open(path, writer));
    close_file(file);
    assert_ok(try_open(path, alone));
}

static void hold_and_die(void *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE | EMMAP_OPEN_EXCLUSIVE, .size = 64}, &file));
    kill(getpid(), SIGKILL);
}

static void a_dead_process_excludes_nobody(void **state)
{
    (void)state;
    const int status = in_child(hold_and_die, (void *)(uintptr_t)path_of("file"));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_ok(try_open(path_of("file"), (emmap_options){.flags = RW | EMMAP_OPEN_EXCLUSIVE}));
}

static void the_descriptor_is_closed_on_exec(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    int checked = 0;
    for (int fd = 3; fd < 256; fd++) {
        char link[64], target[256];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t length = readlink(link, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (strcmp(target, path_of("file")) == 0) {
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            checked++;
        }
    }
    assert_int_equal(checked, 1);
    close_file(file);
}

static void closing_twice_is_fine_and_everything_else_is_closed(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), CREATE, 64);
    assert_ok(emmap_close(file));
    assert_ok(emmap_close(file));
    assert_int_equal(mappings_of(path_of("file")), 0);
    assert_int_equal(emmap_file_control(file)->status, EMMAP_STATUS_CLOSED);
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const struct iovec vector = {.iov_base = "x", .iov_len = 1};
    uint64_t number;
    int64_t old;
    emmap_slice slice;
    assert_error(EMMAP_CLOSED, emmap_pread(file, 0, 1, &sink));
    assert_error(EMMAP_CLOSED, emmap_pwrite(file, 0, &vector, 1));
    assert_error(EMMAP_CLOSED, emmap_read(file, 0, &sink));
    assert_error(EMMAP_CLOSED, emmap_read(file, 1, &sink));
    assert_error(EMMAP_CLOSED, emmap_read_line(file, &sink));
    assert_error(EMMAP_CLOSED, emmap_write(file, &vector, 1));
    assert_error(EMMAP_CLOSED, emmap_position(file, 0, EMMAP_FROM_START, &number));
    assert_error(EMMAP_CLOSED, emmap_pread_direct(file, 0, 1, &slice));
    assert_error(EMMAP_CLOSED, emmap_read_direct(file, 0, &slice));
    assert_error(EMMAP_CLOSED, emmap_read_direct(file, 1, &slice));
    assert_error(EMMAP_CLOSED, emmap_read_line_direct(file, &slice, &sink));
    assert_null(slice.mapping);
    assert_error(EMMAP_CLOSED, emmap_size(file, &number));
    assert_error(EMMAP_CLOSED, emmap_resize(file, 128, NULL));
    assert_error(EMMAP_CLOSED, emmap_follow(file, &number));
    assert_error(EMMAP_CLOSED, emmap_truncate(file));
    assert_error(EMMAP_CLOSED, emmap_allocate(file, 0, 8));
    assert_error(EMMAP_CLOSED, emmap_flush(file));
    assert_error(EMMAP_CLOSED, emmap_sync(file));
    assert_error(EMMAP_CLOSED, emmap_datasync(file));
    assert_error(EMMAP_CLOSED, emmap_advise(file, 0, 0, EMMAP_ADVICE_NORMAL));
    assert_error(EMMAP_CLOSED, emmap_patomic_add(file, 0, 1, &old));
    assert_error(EMMAP_CLOSED, emmap_patomic_load(file, 0, &old));
    assert_error(EMMAP_CLOSED, emmap_counter_get(file, 0, &old));
    assert_int_equal(got.calls, 0);
    emmap_free(file);
    emmap_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(create_makes_a_file_of_the_size_and_zeros),
        folder_test(noreserve_makes_a_sparse_file),
        folder_test(what_is_there_is_kept_and_only_grown),
        folder_test(truncate_empties_the_file_first),
        folder_test(a_missing_file_is_enoent_without_create),
        folder_test(an_empty_file_needs_a_size),
        folder_test(position_zero_is_the_byte_at_the_offset),
        folder_test(a_window_past_the_end_grows_or_is_refused),
        folder_test(anonymous_memory_has_no_path),
        folder_test(private_writes_stay_private),
        folder_test(a_read_only_file_may_be_opened_by_who_may_only_read),
        folder_test(auto_unlink_unlinks_at_close_whoever_has_slices),
        folder_test(auto_unlink_spares_a_file_that_took_the_path),
        folder_test(auto_unlink_outlives_a_change_of_directory),
        folder_test(auto_unlink_of_a_failed_open_spares_the_file),
        folder_test(modes_and_the_default_are_less_the_umask_unless_exact),
        folder_test(a_file_is_never_more_open_than_asked_for),
        folder_test(a_directory_is_eisdir),
        folder_test(what_is_no_regular_file_is_enodev_at_once),
        folder_test(an_unreadable_file_is_eacces),
        folder_test(the_limit_on_file_size_is_efbig_and_no_signal),
        folder_test(a_full_disk_is_enospc_and_leaves_nothing),
        folder_test(a_failed_open_leaves_no_descriptor_and_no_mapping),
        folder_test(without_descriptors_open_fails_and_files_go_on),
        folder_test(a_file_that_must_have_a_size_has_it_or_is_left_alone),
        folder_test(a_file_that_keeps_its_size_has_another_only_when_it_is_empty),
        folder_test(truncating_keeps_the_size_where_none_is_asked_for),
        folder_test(symbolic_links_are_followed_and_loops_refused),
        folder_test(a_link_to_nothing_makes_no_file_where_it_points),
        folder_test(auto_unlink_removes_what_a_link_led_to_and_not_the_link),
        folder_test(of_many_creators_one_creates),
        folder_test(a_file_that_is_unlinked_under_an_open_is_opened_anew),
        folder_test(a_file_that_is_shrunk_under_an_open_gets_its_size_anew),
        folder_test(a_file_without_a_name_can_be_opened_through_proc),
        folder_test(an_exclusive_file_has_no_second_writer),
        folder_test(a_dead_process_excludes_nobody),
        folder_test(the_descriptor_is_closed_on_exec),
        folder_test(closing_twice_is_fine_and_everything_else_is_closed),
    };
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
