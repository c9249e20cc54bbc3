#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void require_that(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    _exit(1);
}

void require_same(emmap_error expected, emmap_error got, const char *text, const char *file, int line)
{
    if (expected == got)
        return;
    const emmap_failure *const failure = emmap_last_failure();
    fprintf(stderr, "%s:%d: %s: %s instead of %s", file, line, text, emmap_error_name(got),
            emmap_error_name(expected));
    if (failure->error == got && failure->reason)
        fprintf(stderr, ": %s, at %llu", failure->reason, (unsigned long long)failure->offset);
    fprintf(stderr, "\n");
    _exit(1);
}

/* The resources of a test, which are released at its end. */
#define MAX_BORROWED 256
static char folder[64];
static void *borrowed[MAX_BORROWED];
static size_t borrowed_count;
static char mounted[128];
static void *shared;
static size_t shared_length;

static void *borrow(void *memory)
{
    assert_non_null(memory);
    assert_true(borrowed_count < MAX_BORROWED);
    return borrowed[borrowed_count++] = memory;
}

int folder_make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/emmap-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *walk)
{
    (void)about, (void)type, (void)walk;
    return remove(path);
}

int folder_remove(void **state)
{
    (void)state;
    pause_hook = NULL;
    while (borrowed_count > 0)
        free(borrowed[--borrowed_count]);
    if (shared)
        munmap(shared, shared_length);
    shared = NULL;
    if (mounted[0])
        umount2(mounted, MNT_DETACH);
    mounted[0] = '\0';
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *path_of(const char *name)
{
    static char paths[64][128];
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
    size_t i = 0;
    while (paths[i][0] && strcmp(paths[i], path) != 0 && strncmp(paths[i], folder, strlen(folder)) == 0)
        assert_true(++i < sizeof paths / sizeof *paths);
    return strcpy(paths[i], path);
}

void put_file(const char *path, const void *data, size_t length)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    close(fd);
}

uint64_t size_of_file(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return (uint64_t)about.st_size;
}

uint8_t *get_file(const char *path, size_t *length)
{
    *length = (size_t)size_of_file(path);
    uint8_t *const data = borrow(malloc(*length + 1));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, data, *length), *length);
    close(fd);
    return data;
}

bool exists(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

void assert_file(const char *path, const void *data, size_t length)
{
    size_t got;
    const uint8_t *const content = get_file(path, &got);
    assert_int_equal(got, length);
    assert_memory_equal(content, data, length);
}

int open_descriptors(void)
{
    DIR *const list = opendir("/proc/self/fd");
    assert_non_null(list);
    int count = 0;
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

int mappings_of(const char *path)
{
    FILE *const maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    char line[4096];
    int count = 0;
    while (fgets(line, sizeof line, maps))
        if (strstr(line, path))
            count++;
    fclose(maps);
    return count;
}

void restore_fault_handler(void)
{
    /* The core's has SA_SIGINFO, cmocka's has not. */
    static struct sigaction cores;
    struct sigaction now;
    assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
    if (now.sa_flags & SA_SIGINFO)
        cores = now;
    else if (cores.sa_flags & SA_SIGINFO)
        assert_int_equal(sigaction(SIGBUS, &cores, NULL), 0);
}

emmap_error try_open(const char *path, emmap_options options)
{
    emmap_file *file = (emmap_file *)(uintptr_t)8;
    const emmap_error error = emmap_open(path, &options, &file);
    restore_fault_handler();
    if (error)
        assert_null(file);
    else
        emmap_free(file);
    return error;
}

emmap_file *open_with(const char *path, emmap_options options)
{
    emmap_file *file;
    const emmap_error error = emmap_open(path, &options, &file);
    if (error) {
        const emmap_failure *const failure = emmap_last_failure();
        print_error("open %s: %s, %s, %s\n", path, emmap_error_name(error),
                    failure->syscall ? failure->syscall : "-", failure->reason ? failure->reason : "-");
    }
    assert_int_equal(error, EMMAP_OK);
    restore_fault_handler();
    return file;
}

emmap_file *open_file(const char *path, uint32_t flags, uint64_t size)
{
    return open_with(path, (emmap_options){.flags = flags, .size = size});
}

void close_file(emmap_file *file)
{
    assert_ok(emmap_close(file));
    emmap_free(file);
}

static void *take(void *context, size_t length)
{
    bytes *const into = context;
    into->calls++;
    into->length = length;
    free(into->data);
    into->data = malloc(length ? length : 1);
    return into->data;
}

emmap_sink sink_into(bytes *into)
{
    return (emmap_sink){.allocate = take, .context = into};
}

void bytes_free(bytes *self)
{
    free(self->data);
    *self = (bytes){0};
}

emmap_error write_bytes(emmap_file *file, uint64_t position, const void *data, size_t length)
{
    const struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    return emmap_pwrite(file, position, &vector, 1);
}

emmap_error read_into(emmap_file *file, uint64_t position, void *data, size_t length)
{
    const struct iovec vector = {.iov_base = data, .iov_len = length};
    uint64_t transferred;
    return emmap_preadv(file, position, &vector, 1, &transferred);
}

pid_t start_child(void (*body)(void *), void *context)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(context);
        _exit(0);
    }
    return child;
}

int wait_child(pid_t child)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    assert_int_equal(ended, child);
    return status;
}

int in_child(void (*body)(void *), void *context)
{
    return wait_child(start_child(body, context));
}

void *shared_memory(size_t length)
{
    assert_null(shared);
    void *const memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    shared = memory;
    shared_length = length;
    return memory;
}

void (*pause_hook)(const char *name);

void emmap_pause_point(const char *name);
void emmap_pause_point(const char *name)
{
    if (pause_hook)
        pause_hook(name);
}

static const char *death_place;

static void die_there(const char *name)
{
    if (strcmp(name, death_place) == 0)
        kill(getpid(), SIGKILL);
}

void die_at(const char *name)
{
    death_place = name;
    pause_hook = die_there;
}

bool mount_tmpfs(const char *path, const char *size)
{
    char options[64];
    snprintf(options, sizeof options, "size=%s", size);
    assert_int_equal(mkdir(path, 0700), 0);
    if (mount("emmap-test", path, "tmpfs", 0, options) != 0)
        return false;
    snprintf(mounted, sizeof mounted, "%s", path);
    return true;
}
