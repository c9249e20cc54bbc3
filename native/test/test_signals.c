/* SIGBUS from memory that is not the core's goes to the handler from before the first open. A process installs the core's
 * handler once. So each test runs in a child of a parent that never opens a file. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define CREATE (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)

static void open_one(const char *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 65536}, &file));
    emmap_free(file);
}

/* A removed page of a mapping that is not the core's. */
static volatile char *lost_page(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && ftruncate(fd, 65536) == 0);
    char *const data = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    require(data != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    return data + 8192;
}

static void handle_by(int disposition)
{
    struct sigaction action = {.sa_handler = disposition ? SIG_IGN : SIG_DFL};
    require(sigaction(SIGBUS, &action, NULL) == 0);
}

static void default_and_sent(void *folder)
{
    handle_by(0);
    open_one(folder);
    kill(getpid(), SIGBUS);
    /* The signal comes before kill returns, because there is only this thread. */
    _exit(7);
}

static void default_and_real(void *folder)
{
    handle_by(0);
    open_one(folder);
    const char got = *lost_page("foreign");
    _exit(7 + got);
}

static void ignored_and_sent(void *folder)
{
    handle_by(1);
    open_one(folder);
    kill(getpid(), SIGBUS);
}

static void ignored_and_real(void *folder)
{
    handle_by(1);
    open_one(folder);
    const char got = *lost_page("foreign");
    _exit(7 + got);
}

static volatile sig_atomic_t handled;
static void *volatile handled_address;
static sigjmp_buf out;

static void plain_handler(int number)
{
    handled = number;
    siglongjmp(out, 1);
}

static void info_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    handled_address = info->si_addr;
    plain_handler(number);
}

static void plain_and_real(void *folder)
{
    struct sigaction action = {.sa_handler = plain_handler};
    require(sigaction(SIGBUS, &action, NULL) == 0);
    open_one(folder);
    volatile char *const lost = lost_page("foreign");
    if (sigsetjmp(out, 1) == 0) {
        *lost = 1;
        _exit(7);
    }
    require(handled == SIGBUS);
}

static void info_and_real(void *folder)
{
    struct sigaction action = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    require(sigaction(SIGBUS, &action, NULL) == 0);
    open_one(folder);
    volatile char *const lost = lost_page("foreign");
    if (sigsetjmp(out, 1) == 0) {
        *lost = 1;
        _exit(7);
    }
    require(handled_address == (void *)(uintptr_t)lost);
}

/* Signals that no page has caused, one of them with an address in a mapping of the core. */
static void forged(void *folder)
{
    struct sigaction action = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    require(sigaction(SIGBUS, &action, NULL) == 0);
    emmap_file *file;
    require_ok(emmap_open(folder, &(emmap_options){.flags = CREATE, .size = 65536}, &file));
    emmap_slice slice;
    require_ok(emmap_pread_direct(file, 0, 8, &slice));
    for (int i = 0; i < 2; i++) {
        handled = 0;
        if (sigsetjmp(out, 1) == 0) {
            if (i == 0)
                sigqueue(getpid(), SIGBUS, (union sigval){.sival_ptr = slice.data});
            else
                kill(getpid(), SIGBUS);
        }
        require(handled == SIGBUS);
    }
    require(emmap_file_control(file)->status == 0);
    emmap_slice_release(&slice);
    emmap_free(file);
}

/* ---- A handler that is installed after the core's ---- */

static struct sigaction cores;

static void later_handler(int number, siginfo_t *info, void *context)
{
    handled++;
    handled_address = info->si_addr;
    cores.sa_sigaction(number, info, context);
}

static emmap_file *open_cut(const char *path)
{
    emmap_file *file;
    require_ok(emmap_open(path, &(emmap_options){.flags = CREATE, .size = 65536}, &file));
    require(truncate(path, 100) == 0);
    return file;
}

/* The later handler gets every signal first. It passes some on: to the core's handler, and from there to the first one. */
static void later_that_passes_on(void *path)
{
    struct sigaction before = {.sa_handler = plain_handler};
    require(sigaction(SIGBUS, &before, NULL) == 0);
    emmap_file *const file = open_cut(path);
    struct sigaction later = {.sa_sigaction = later_handler, .sa_flags = SA_SIGINFO};
    require(sigaction(SIGBUS, &later, &cores) == 0);
    char byte;
    require_error(EFAULT, read_into(file, 32768, &byte, 1));
    require(handled == 1);
    emmap_free(file);
    volatile char *const lost = lost_page("foreign");
    if (sigsetjmp(out, 1) == 0) {
        *lost = 1;
        _exit(7);
    }
    /* The first handler sets the number. */
    require(handled == SIGBUS && handled_address == (void *)(uintptr_t)lost);
}

/* The core passes on signals of foreign memory, in either order of installing. */
static void later_that_does_not(void *path)
{
    open_one(path);
    struct sigaction later = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    require(sigaction(SIGBUS, &later, NULL) == 0);
    open_one(path);
    volatile char *const lost = lost_page("foreign");
    if (sigsetjmp(out, 1) == 0) {
        *lost = 1;
        _exit(7);
    }
    require(handled_address == (void *)(uintptr_t)lost);
    handled = 0;
    if (sigsetjmp(out, 1) == 0)
        kill(getpid(), SIGBUS);
    require(handled == SIGBUS);
}

static int run(void (*body)(void *))
{
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(path_of("")), 0);
    const int status = in_child(body, (void *)(uintptr_t)path_of("file"));
    assert_int_equal(chdir(before), 0);
    return status;
}

static void without_a_handler_sigbus_ends_the_process(void **state)
{
    (void)state;
    const int sent = run(default_and_sent), real = run(default_and_real);
    assert_true(WIFSIGNALED(sent) && WTERMSIG(sent) == SIGBUS);
    assert_true(WIFSIGNALED(real) && WTERMSIG(real) == SIGBUS);
}

static void ignored_it_is_ignored_unless_it_is_real(void **state)
{
    (void)state;
    assert_int_equal(run(ignored_and_sent), 0);
    const int real = run(ignored_and_real);
    assert_true(WIFSIGNALED(real) && WTERMSIG(real) == SIGBUS);
}

static void a_handler_from_before_gets_what_is_not_ours(void **state)
{
    (void)state;
    assert_int_equal(run(plain_and_real), 0);
    assert_int_equal(run(info_and_real), 0);
}

static void a_signal_that_was_sent_is_never_taken_for_a_fault(void **state)
{
    (void)state;
    assert_int_equal(run(forged), 0);
}

static void a_later_handler_that_passes_on_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(later_that_passes_on), 0);
}

static void a_later_handler_gets_what_is_not_ours(void **state)
{
    (void)state;
    assert_int_equal(run(later_that_does_not), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(without_a_handler_sigbus_ends_the_process),
        folder_test(ignored_it_is_ignored_unless_it_is_real),
        folder_test(a_handler_from_before_gets_what_is_not_ours),
        folder_test(a_signal_that_was_sent_is_never_taken_for_a_fault),
        folder_test(a_later_handler_that_passes_on_changes_nothing),
        folder_test(a_later_handler_gets_what_is_not_ours),
    };
    return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
