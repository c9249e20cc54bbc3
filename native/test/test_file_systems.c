/* File systems without shared memory or locks: which files open there, with which errors, and which files remain. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "structures.h"

#define CREATES (EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE)

/* The core calls these in place of libc's functions. They return the results that a test asks for. */
static unsigned long type_is;
static int locks_fail;

int fstatfs(int fd, struct statfs *about)
{
    const int result = (int)syscall(SYS_fstatfs, fd, about);
    if (type_is)
        about->f_type = (long)type_is;
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *const argument = va_arg(arguments, void *);
    va_end(arguments);
    if (locks_fail && (command == F_OFD_SETLK || command == F_OFD_SETLKW)) {
        errno = locks_fail;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

static emmap_error open_kind(int kind, const char *path, uint32_t flags, emmap_file **file)
{
    const emmap_options options = {.flags = flags, .size = kind == 1 ? 0 : 4096};
    switch (kind) {
    case 0:
        return emmap_open(path, &options, file);
    case 1:
        return emmap_counters_open(path, 3, &options, file);
    case 2:
        return emmap_queue_open(path, &options, file);
    default:
        return emmap_blocks_open(path, 8, 2, &options, file);
    }
}

enum { KINDS = 4, STRUCTURES = 2 };

static void what_does_not_share_is_refused_with_advice(void **state)
{
    (void)state;
    static const struct {
        unsigned long type;
        const char *name;
    } foreign[] = {{0x65735546, "(fuse)"},         {0x6969, "(nfs)"},
                   {0xff534d42, "(cifs)"},         {0x01021997, "(9p)"},
                   {0xfffffffffe534d42, "(smb2)"}, {0x00c36400, "(ceph)"}};
    const char *const path = path_of("file");
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        for (int kind = 0; kind < KINDS; kind++) {
            emmap_file *file;
            type_is = foreign[i].type;
            assert_error(ENOTSUP, open_kind(kind, path, CREATES | EMMAP_OPEN_SHARED, &file));
            const emmap_failure failure = *emmap_last_failure();
            assert_non_null(strstr(failure.reason, foreign[i].name));
            assert_non_null(strstr(failure.reason, "put the file on a local one"));
            assert_string_equal(failure.syscall, "statfs");
            assert_int_equal(failure.about, EMMAP_ABOUT_FILE_SYSTEM);
            assert_false(exists(path));
            /* An existing file stays as it was. */
            put_file(path, "12345678", 8);
            assert_error(ENOTSUP, open_kind(kind, path, EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, &file));
            assert_file(path, "12345678", 8);
            unlink(path);
            const emmap_error unsafe = open_kind(kind, path, CREATES | EMMAP_OPEN_SHARED_UNSAFE, &file);
            assert_error(kind < STRUCTURES ? EMMAP_OK : EINVAL, unsafe);
            if (!unsafe)
                close_file(file);
            if (kind == 0) {
                assert_ok(open_kind(kind, path, EMMAP_OPEN_WRITE | EMMAP_OPEN_PRIVATE, &file));
                close_file(file);
            }
            unlink(path);
            type_is = 0;
        }
}

static void where_locks_fail_nothing_is_left_and_the_file_system_is_named(void **state)
{
    (void)state;
    const int failures[] = {ENOLCK, EINVAL, ENOSYS, EOPNOTSUPP};
    const char *const path = path_of("file");
    for (size_t i = 0; i < COUNT_OF(failures); i++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int exclusive = 0; exclusive < 2; exclusive++) {
                emmap_file *file;
                locks_fail = failures[i];
                type_is = 0x6a656a63;
                const uint32_t flags = CREATES | EMMAP_OPEN_SHARED | (exclusive ? EMMAP_OPEN_EXCLUSIVE : 0);
                const emmap_error error = open_kind(kind, path, flags, &file);
                const emmap_failure failure = *emmap_last_failure();
                locks_fail = 0;
                type_is = 0;
                if (kind == 0 && !exclusive) {
                    assert_ok(error);
                    close_file(file);
                    unlink(path);
                    continue;
                }
                assert_error((emmap_error)failures[i], error);
                assert_string_equal(failure.syscall, "fcntl");
                assert_non_null(strstr(failure.reason, "the file system ("));
                assert_non_null(strstr(failure.reason, "locks"));
                assert_false(exists(path));
                /* A failed open must not remove a file that existed before. */
                put_file(path, "", 0);
                locks_fail = failures[i];
                assert_error((emmap_error)failures[i], open_kind(kind, path, flags, &file));
                locks_fail = 0;
                assert_true(exists(path));
                unlink(path);
            }
}

static int fail_later;

/* The lock for the file's size works. The next one, for creating the queue, fails. */
static void fail_then(const char *name)
{
    if (strcmp(name, "open_sized") == 0)
        locks_fail = fail_later;
}

static void a_structure_that_can_not_be_made_leaves_no_file(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    for (int kind = STRUCTURES; kind < KINDS; kind++) {
        emmap_file *file;
        fail_later = ENOLCK;
        pause_hook = fail_then;
        assert_error(ENOLCK, open_kind(kind, path, CREATES, &file));
        pause_hook = NULL;
        locks_fail = 0;
        assert_false(exists(path));
        assert_ok(open_kind(kind, path, CREATES, &file));
        close_file(file);
        unlink(path);
    }
}

/* ---- Layers ---- */

static void on_a_lower_layer(void *context)
{
    (void)context;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        _exit(77);
    char top[300], options[1200];
    strcpy(top, path_of("top"));
    require(mkdir(top, 0700) == 0);
    /* An upper layer can't be on an overlay itself. */
    if (mount("emmap-test", top, "tmpfs", 0, "size=8m") != 0)
        _exit(77);
    const char *const names[] = {"lower", "upper", "work", "merged"};
    char paths[4][400];
    for (size_t i = 0; i < 4; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", top, names[i]);
        require(mkdir(paths[i], 0700) == 0);
    }
    snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", top, top, top);
    for (int kind = 0; kind < KINDS; kind++) {
        char lower[500];
        snprintf(lower, sizeof lower, "%s/%d", paths[0], kind);
        emmap_file *file;
        require_ok(open_kind(kind, lower, CREATES | EMMAP_OPEN_SHARED, &file));
        emmap_free(file);
    }
    if (mount("emmap-test", paths[3], "overlay", 0, options) != 0)
        _exit(77);
    for (int kind = 0; kind < KINDS; kind++) {
        char path[500];
        snprintf(path, sizeof path, "%s/%d", paths[3], kind);
        emmap_file *reader, *writer;
        require_ok(open_kind(kind, path, EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, &reader));
        require_ok(open_kind(kind, path, EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, &writer));
        uint8_t wrote[8] = {1, 2, 3}, seen[8] = {0};
        require_ok(write_bytes(writer, 1000 % (kind == 1 ? 24 : 4000), wrote, 8));
        require_ok(read_into(reader, 1000 % (kind == 1 ? 24 : 4000), seen, 8));
        require(memcmp(wrote, seen, 8) == 0);
        emmap_free(reader);
        emmap_free(writer);
    }
}

static void a_reader_of_a_lower_layer_sees_what_the_first_writer_writes(void **state)
{
    (void)state;
    const int status = in_child(on_a_lower_layer, NULL);
    if (status == 77 << 8)
        skip();
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(what_does_not_share_is_refused_with_advice),
        folder_test(where_locks_fail_nothing_is_left_and_the_file_system_is_named),
        folder_test(a_structure_that_can_not_be_made_leaves_no_file),
        folder_test(a_reader_of_a_lower_layer_sees_what_the_first_writer_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
