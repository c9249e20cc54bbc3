/* The live folder: who creates it, who may use it, who owns its lock, and the effects of deaths on both. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "live.h"
#include "platform.h"
#include "structures.h"

#define NOBODY 65534

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static const char *queue_path(void)
{
    return path_of("queue");
}

static const char *folder_path(void)
{
    return path_of("queue-live");
}

static const char *state_path(void)
{
    return path_of("queue-live/state");
}

static emmap_error try_queue(const char *path, uint32_t flags, emmap_file **result)
{
    const emmap_options options = {.flags = flags, .lock_timeout = 2000, .has_lock_timeout = true};
    const emmap_error error = emmap_queue_open(path, &options, result);
    restore_fault_handler();
    return error;
}

static emmap_file *open_it(void)
{
    emmap_file *file;
    require_ok(try_queue(queue_path(), QUEUE_RW, &file));
    return file;
}

static live_t *live_of(const emmap_file *file)
{
    return file->descriptor->live;
}

static void assert_refused(const char *path, emmap_error expected, const char *reason)
{
    emmap_file *file;
    assert_error(expected, try_queue(path, QUEUE_RW, &file));
    assert_null(file);
    assert_non_null(strstr(emmap_last_failure()->reason, reason));
}

static void assert_works(emmap_file *file)
{
    uint64_t number;
    assert_ok(push_number(file, 7, 8));
    assert_ok(pop_number(file, &number));
    assert_int_equal(number, 7);
}

/* The folder after its last user: it has only the state, with free slots and words. */
static void assert_unused(void)
{
    size_t length;
    const live_state_t *const left = (const live_state_t *)(const void *)get_file(state_path(), &length);
    assert_int_equal(length, sizeof *left);
    assert_int_equal(left->lock, 0);
    assert_int_equal(left->taking, 0);
    DIR *const folder = opendir(folder_path());
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        assert_true(entry->d_name[0] == '.' || strcmp(entry->d_name, "state") == 0);
    closedir(folder);
    assert_false(exists(path_of("queue-live.new")));
}

static void remove_folder(void)
{
    DIR *const folder = opendir(folder_path());
    for (const struct dirent *entry; folder && (entry = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(folder_path());
}

/* ---- The folder ---- */

static void writers_share_a_folder_that_stays_for_the_next(void **state)
{
    (void)state;
    emmap_file *const one = open_it();
    emmap_file *const other = open_it();
    assert_non_null(live_of(one));
    assert_int_equal(live_of(one)->state->lock, 0);
    const uint64_t generation = live_of(one)->state->generation;
    assert_true(live_of(one)->identity == live_of(other)->identity);
    assert_true(live_of(one)->me != live_of(other)->me);
    assert_works(one);
    assert_works(other);
    close_file(one);
    assert_true(exists(state_path()));
    assert_works(other);
    close_file(other);
    assert_unused();
    emmap_file *const next = open_it();
    assert_int_equal(live_of(next)->state->generation, generation + 1);
    assert_int_equal(unlink(queue_path()), 0);
    close_file(next);
    assert_false(exists(folder_path()));
    close_file(open_queue(queue_path(), QUEUE_RW | EMMAP_OPEN_AUTO_UNLINK, 0));
    assert_false(exists(queue_path()));
    assert_false(exists(folder_path()));
}

static void readers_and_exclusive_writers_need_none(void **state)
{
    (void)state;
    close_file(open_it());
    remove_folder();
    emmap_file *const alone = open_queue(queue_path(), QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, 0);
    emmap_file *const reader = open_queue(queue_path(), EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0);
    assert_works(alone);
    assert_false(exists(folder_path()));
    emmap_file *file;
    assert_error(EBUSY, try_queue(queue_path(), QUEUE_RW, &file));
    close_file(alone);
    file = open_it();
    assert_error(EBUSY, try_queue(queue_path(), QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, &file));
    close_file(reader);
}

static void rights_are_those_of_the_file(void **state)
{
    (void)state;
    close_file(open_it());
    assert_int_equal(chmod(queue_path(), 0640), 0);
    const bool root = geteuid() == 0;
    if (root)
        assert_int_equal(chown(queue_path(), NOBODY, NOBODY), 0);
    emmap_file *const file = open_it();
    struct stat data, folder, content;
    assert_int_equal(stat(queue_path(), &data), 0);
    assert_int_equal(stat(folder_path(), &folder), 0);
    assert_int_equal(stat(state_path(), &content), 0);
    assert_int_equal(folder.st_mode & 07777, 0750);
    assert_int_equal(content.st_mode & 07777, 0640);
    assert_true(content.st_uid == data.st_uid && content.st_gid == data.st_gid);
    assert_true(folder.st_uid == data.st_uid && folder.st_gid == data.st_gid);
    close_file(file);
}

static void other_names_of_the_file(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_int_equal(symlink(queue_path(), path_of("symbolic")), 0);
    emmap_file *const same = open_queue(path_of("symbolic"), QUEUE_RW, 0);
    assert_true(live_of(file)->identity == live_of(same)->identity);
    assert_works(same);
    assert_int_equal(link(queue_path(), path_of("hard")), 0);
    assert_refused(path_of("hard"), EBUSY, "by another name");
    close_file(file);
    close_file(same);
    emmap_file *const hard = open_queue(path_of("hard"), QUEUE_RW, 0);
    assert_works(hard);
    close_file(hard);
}

static void the_folder_is_removed_under_writers(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_int_equal(unlink(state_path()), 0);
    assert_refused(queue_path(), EBUSY, "removed");
    assert_int_equal(rmdir(folder_path()), 0);
    assert_refused(queue_path(), EBUSY, "removed");
    assert_works(file);
    close_file(file);
    emmap_file *const next = open_it();
    assert_works(next);
    close_file(next);
    assert_unused();
}

static void the_folder_is_replaced_under_writers(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    size_t length;
    const uint8_t *const bytes = get_file(state_path(), &length);
    /* A copy of the state has the same bytes, but gives no exclusion. */
    assert_int_equal(rename(folder_path(), path_of("away")), 0);
    assert_int_equal(mkdir(folder_path(), 0700), 0);
    put_file(state_path(), bytes, length);
    assert_refused(queue_path(), EBUSY, "not the one");
    put_file(state_path(), "garbage", 7);
    assert_refused(queue_path(), EBUSY, "is damaged");
    assert_works(file);
    /* This handle must not remove a folder that existed before. */
    close_file(file);
    assert_true(exists(state_path()));
    emmap_file *const next = open_it();
    assert_non_null(live_of(next));
    assert_works(next);
    close_file(next);
}

static void what_nobody_holds_is_stale_whatever_it_is(void **state)
{
    (void)state;
    close_file(open_it());
    emmap_file *file = open_it();
    size_t length;
    uint8_t *const bytes = get_file(state_path(), &length);
    close_file(file);
    ((live_state_t *)(void *)bytes)->lock = 17;
    ((live_state_t *)(void *)bytes)->version = 2;
    const struct {
        const void *bytes;
        size_t length;
    } states[] = {{bytes, length}, {bytes, 64}, {"", 0}, {"garbage", 7}};
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        put_file(state_path(), states[i].bytes, states[i].length);
        file = open_it();
        assert_non_null(live_of(file));
        assert_works(file);
        close_file(file);
        assert_unused();
    }
    /* Rights that the file no longer has. */
    assert_int_equal(chmod(queue_path(), 0640), 0);
    file = open_it();
    close_file(file);
    struct stat content;
    assert_int_equal(stat(state_path(), &content), 0);
    assert_int_equal(content.st_mode & 07777, 0640);
    /* An empty folder under preparation. */
    remove_folder();
    assert_int_equal(mkdir(path_of("queue-live.new"), 0700), 0);
    file = open_it();
    assert_non_null(live_of(file));
    close_file(file);
    assert_false(exists(path_of("queue-live.new")));
}

static void what_is_in_the_way_stays_and_the_kernels_locks_serve(void **state)
{
    (void)state;
    close_file(open_it());
    remove_folder();
    put_file(folder_path(), "mine", 4);
    emmap_file *const file = open_it();
    emmap_file *const other = open_it();
    assert_null(live_of(file));
    assert_null(live_of(other));
    assert_works(file);
    assert_works(other);
    assert_file(folder_path(), "mine", 4);
    unlink(folder_path());
    assert_int_equal(mkdir(path_of("other"), 0700), 0);
    put_file(path_of("other/state"), "mine", 4);
    /* A third handle does as the others do. */
    emmap_file *const third = open_it();
    assert_null(live_of(third));
    assert_false(exists(folder_path()));
    close_file(file);
    close_file(other);
    close_file(third);
    assert_int_equal(symlink("other", folder_path()), 0);
    emmap_file *const led_astray = open_it();
    assert_null(live_of(led_astray));
    close_file(led_astray);
    assert_file(path_of("other/state"), "mine", 4);
    unlink(folder_path());
    assert_int_equal(mkdir(folder_path(), 0700), 0);
    assert_int_equal(mkdir(state_path(), 0700), 0);
    emmap_file *const last = open_it();
    assert_null(live_of(last));
    close_file(last);
    assert_true(exists(state_path()));
}

static void another_version_is_refused_while_it_runs(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    live_of(file)->state->version = LIVE_VERSION + 1;
    assert_refused(queue_path(), EBUSY, "another version");
    live_of(file)->state->version = LIVE_VERSION;
    emmap_file *const other = open_it();
    close_file(other);
    close_file(file);
}

static void as_nobody(void (*body)(void *), void *context)
{
    require(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    body(context);
}

static void meet_a_closed_folder(void *context)
{
    (void)context;
    emmap_file *file;
    require_error(EBUSY, try_queue(queue_path(), QUEUE_RW, &file));
    require(strstr(emmap_last_failure()->reason, "may not open") != NULL);
}

static void open_without_folder(void *context)
{
    (void)context;
    emmap_file *const file = open_it();
    require(live_of(file) == NULL);
    require_ok(push_number(file, 1, 8));
    *(int *)context = 1;
    for (;;)
        rest();
}

static void in_child_as_nobody(void *body)
{
    as_nobody((void (*)(void *))(uintptr_t)body, NULL);
}

static int *ready;

static void wait_as_nobody(void *context)
{
    as_nobody(open_without_folder, context);
}

static void a_user_without_permission(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    emmap_file *file = open_it();
    assert_int_equal(chmod(path_of("."), 0777), 0);
    assert_int_equal(chmod(queue_path(), 0666), 0);
    assert_int_equal(chmod(folder_path(), 0700), 0);
    assert_child_passes(in_child_as_nobody, (void *)(uintptr_t)meet_a_closed_folder);
    assert_works(file);
    close_file(file);
    /* If one handle cannot create the folder, all use the kernel's locks, even handles that could create it. */
    assert_int_equal(chmod(path_of("."), 0755), 0);
    ready = shared_memory(sizeof *ready);
    const pid_t child = start_child(wait_as_nobody, ready);
    while (!__atomic_load_n(ready, __ATOMIC_ACQUIRE))
        rest();
    file = open_it();
    assert_null(live_of(file));
    assert_int_equal(queue_length_of(file), 1);
    kill(child, SIGKILL);
    wait_child(child);
    close_file(file);
    file = open_it();
    assert_non_null(live_of(file));
    close_file(file);
}

static void all_writers_use_the_same_way(void **state)
{
    (void)state;
    emi_live_enable(false);
    emmap_file *const one = open_it();
    emi_live_enable(true);
    emmap_file *const other = open_it();
    assert_null(live_of(one));
    assert_null(live_of(other));
    assert_works(one);
    close_file(one);
    close_file(other);
    emmap_file *const third = open_it();
    emi_live_enable(false);
    assert_refused(queue_path(), EBUSY, "EMMAP_LIVE=off");
    emi_live_enable(true);
    close_file(third);
}

/* Locks as a version of this library without live folders does. */
static void a_program_that_knows_the_kernels_locks_alone_is_kept_out(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    emmap_file *const old =
        open_file(queue_path(), EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    const int fd = old->descriptor->fd;
    assert_error(EBUSY, emi_lock_try(fd, LOCK_CONTAINER, LOCK_EXCLUSIVE));
    close_file(file);
    assert_ok(emi_lock_try(fd, LOCK_CONTAINER, LOCK_EXCLUSIVE));
    emmap_file *next;
    const emmap_options options = {.flags = QUEUE_RW, .has_lock_timeout = true};
    assert_error(ETIMEDOUT, emmap_queue_open(queue_path(), &options, &next));
    emi_lock_release(fd, LOCK_CONTAINER);
    next = open_it();
    assert_works(next);
    close_file(next);
    close_file(old);
}

static void slots_have_a_limit(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    const int fd = open(state_path(), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (unsigned i = 1; i < LIVE_SLOTS; i++)
        assert_ok(emi_lock_byte_try(fd, (off_t)(offsetof(live_state_t, slot) + i * sizeof(live_slot_t)),
                                    LOCK_EXCLUSIVE));
    assert_refused(queue_path(), ENOSPC, "1024 handles");
    close(fd);
    emmap_file *const other = open_it();
    assert_int_equal(live_of(other)->slot, 1);
    assert_works(file);
    close_file(file);
    close_file(other);
}

static void a_state_that_is_truncated_is_an_error(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_works(file);
    assert_int_equal(truncate(state_path(), 0), 0);
    assert_error(EFAULT, push_number(file, 1, 8));
    assert_error(EFAULT, push_number(file, 1, 8));
    assert_refused(queue_path(), EBUSY, "is damaged");
    emmap_free(file);
    emmap_file *const next = open_it();
    assert_works(next);
    close_file(next);
}

/* A pop that finds nothing needs no lock, so it does not touch the state. */
static void a_consumer_notices_within_a_second_that_the_state_is_truncated(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    uint64_t number;
    assert_works(file);
    assert_error(EMMAP_EOF, pop_number(file, &number));
    assert_int_equal(truncate(state_path(), 0), 0);
    const uint64_t before = milliseconds();
    emmap_error error;
    while ((error = pop_number(file, &number)) == EMMAP_EOF)
        sched_yield();
    assert_int_equal(error, EFAULT);
    assert_true(milliseconds() - before < 2000);
    assert_non_null(strstr(emmap_last_failure()->reason, "live folder's state"));
    close_file(file);
}

/* ---- Many at once ---- */

enum { OPENERS = 6, OPENINGS = 40 };

static void open_and_push(void *context)
{
    const uint64_t number = (uintptr_t)context;
    for (uint64_t i = 0; i < OPENINGS; i++) {
        emmap_file *const file = open_it();
        require(live_of(file) != NULL);
        require_ok(push_number(file, number * 1000 + i, 16));
        close_file(file);
    }
}

static void openers_race(void **state)
{
    (void)state;
    pid_t children[OPENERS];
    for (uintptr_t i = 0; i < OPENERS; i++)
        children[i] = start_child(open_and_push, (void *)i);
    for (size_t i = 0; i < OPENERS; i++)
        assert_int_equal(wait_child(children[i]), 0);
    emmap_file *const file = open_it();
    assert_int_equal(queue_length_of(file), OPENERS * OPENINGS);
    close_file(file);
    assert_unused();
}

typedef struct contest {
    uint64_t rounds[4];
    int stop;
    uint64_t one, other; /* plain: equal whenever the lock is free */
} contest;

static contest *contested;

static void contend(void *context)
{
    uint64_t *const mine = &contested->rounds[(uintptr_t)context];
    emmap_file *const file = open_it();
    live_t *const self = live_of(file);
    while (!__atomic_load_n(&contested->stop, __ATOMIC_ACQUIRE)) {
        patience_t patience = emi_patience_of(&file->options);
        require_ok(live_lock(self, &patience));
        require(contested->one == contested->other);
        contested->one++;
        if (*mine % 512 == 0)
            sched_yield();
        contested->other++;
        live_unlock(self);
        ++*mine;
    }
    close_file(file);
}

static void processes_exclude_each_other_and_each_gets_its_turn(void **state)
{
    (void)state;
    contested = shared_memory(sizeof *contested);
    pid_t children[4];
    for (uintptr_t i = 0; i < COUNT_OF(children); i++)
        children[i] = start_child(contend, (void *)i);
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    __atomic_store_n(&contested->stop, 1, __ATOMIC_RELEASE);
    uint64_t sum = 0, least = UINT64_MAX;
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        assert_int_equal(wait_child(children[i]), 0);
        sum += contested->rounds[i];
        if (contested->rounds[i] < least)
            least = contested->rounds[i];
    }
    print_message("%lu turns, at least %lu each\n", (unsigned long)sum, (unsigned long)least);
    assert_int_equal(contested->one, sum);
    assert_true(least > 0);
}

/* ---- Deaths ---- */

static const char *stop_point;
static int *stopped;

static void stop_here(const char *name)
{
    if (strcmp(name, stop_point) != 0)
        return;
    __atomic_store_n(stopped, 1, __ATOMIC_RELEASE);
    for (;;)
        rest();
}

static void push_and_stop(void *context)
{
    emmap_file *const file = open_it();
    stop_point = context;
    pause_hook = stop_here;
    push_number(file, 99, 8);
}

/* A child that has the lock, and stays at a pause point until it is killed. */
static pid_t start_holder(const char *point)
{
    if (!stopped)
        stopped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *stopped = 0;
    const pid_t child = start_child(push_and_stop, (void *)(uintptr_t)point);
    while (!__atomic_load_n(stopped, __ATOMIC_ACQUIRE))
        rest();
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    wait_child(child);
}

static void *kill_soon(void *context)
{
    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000 * 1000}, NULL);
    kill((pid_t)(intptr_t)context, SIGKILL);
    return NULL;
}

static void a_dead_holder_is_not_waited_for(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    for (int i = 0; i < 5; i++) {
        const pid_t holder = start_holder("queue_push_copied");
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, kill_soon, (void *)(intptr_t)holder), 0);
        const uint64_t before = milliseconds();
        assert_ok(push_number(file, 1, 8));
        const uint64_t waited = milliseconds() - before;
        print_message("waited %lu ms, 30 of them for one alive\n", (unsigned long)waited);
        assert_true(waited < 500);
        pthread_join(thread, NULL);
        wait_child(holder);
    }
    assert_int_equal(queue_length_of(file), 5);
    close_file(file);
}

static void who_may_not_wait_takes_a_dead_ones_lock(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    const pid_t holder = start_holder("queue_push_copied");
    emmap_set_may_block(false);
    assert_error(ETIMEDOUT, push_number(file, 1, 8));
    end(holder);
    assert_ok(push_number(file, 1, 8));
    emmap_set_may_block(true);
    assert_int_equal(live_of(file)->state->lock & LIVE_OWNER, 0);
    close_file(file);
}

static emmap_writer the_owner_by(emmap_file *file)
{
    emmap_writer writers[EMMAP_WRITERS];
    size_t count;
    assert_ok(emmap_writers(file, writers, EMMAP_WRITERS, &count));
    for (size_t i = 0; i < count; i++)
        if (writers[i].has_lock)
            return writers[i];
    fail_msg("no writer has the lock");
    return writers[0];
}

static void a_stopped_holder_keeps_the_lock_and_goes_on(void **state)
{
    (void)state;
    const emmap_options options = {
        .flags = QUEUE_RW, .size = 4096, .lock_timeout = 100, .has_lock_timeout = true};
    emmap_file *file;
    assert_ok(emmap_queue_open(queue_path(), &options, &file));
    const pid_t holder = start_holder("queue_push_copied");
    assert_int_equal(kill(holder, SIGSTOP), 0);
    const uint32_t word = live_of(file)->state->lock & LIVE_OWNER;
    const uint64_t before = milliseconds();
    assert_error(ETIMEDOUT, push_number(file, 1, 8));
    assert_true(milliseconds() - before >= 100);
    assert_int_equal(live_of(file)->state->lock & LIVE_OWNER, word);
    char process[32];
    snprintf(process, sizeof process, "process %d (", (int)holder);
    print_message("%s\n", emmap_last_failure()->reason);
    assert_non_null(strstr(emmap_last_failure()->reason, process));
    const emmap_writer owner = the_owner_by(file);
    assert_int_equal(owner.process, holder);
    end(holder);
    assert_ok(push_number(file, 1, 8));
    close_file(file);
}

static void any_handle_lists_the_writers(void **state)
{
    (void)state;
    emmap_writer writers[3];
    size_t count;
    emmap_file *reader, *exclusive;
    emmap_file *const file = open_it();
    assert_ok(push_number(file, 1, 8));
    assert_ok(try_queue(queue_path(), EMMAP_OPEN_READ, &reader));
    const pid_t holder = start_holder("queue_push_copied");
    emmap_file *const each[] = {file, reader};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        assert_ok(emmap_writers(each[i], writers, 3, &count));
        assert_int_equal(count, 2);
        assert_int_equal(writers[0].process, getpid());
        assert_int_equal(writers[0].pushed, 1);
        assert_false(writers[0].has_lock);
        assert_int_equal(writers[1].process, holder);
        assert_true(writers[1].has_lock);
        assert_string_equal(writers[1].program, emi_platform_program());
        assert_true(writers[1].since >= writers[0].since && writers[1].since / 1000 <= (uint64_t)time(NULL));
        assert_ok(emmap_writers(each[i], writers, 1, &count));
        assert_int_equal(count, 1);
    }
    /* A dead process is listed no longer, although its slot was never given back. */
    end(holder);
    assert_ok(emmap_writers(reader, writers, 3, &count));
    assert_int_equal(count, 1);
    close_file(file);
    assert_ok(emmap_writers(reader, writers, 3, &count));
    assert_int_equal(count, 0);
    assert_ok(try_queue(queue_path(), QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, &exclusive));
    assert_ok(emmap_writers(exclusive, writers, 3, &count));
    assert_int_equal(count, 0);
    remove_folder();
    assert_ok(emmap_writers(reader, writers, 3, &count));
    assert_int_equal(count, 0);
    close_file(exclusive);
    close_file(reader);
}

static void the_next_owner_of_a_slot_buries_the_last(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    const pid_t holder = start_holder("queue_push_copied");
    const unsigned slot = (live_of(file)->state->lock & LIVE_OWNER_SLOT) - 1;
    assert_int_equal(slot, 1);
    live_of(file)->state->taking = live_of(file)->state->lock & LIVE_OWNER;
    end(holder);
    /* All other slots are locked, so that only the dead process's slot is left. */
    const int fd = open(state_path(), O_RDWR | O_CLOEXEC);
    for (unsigned i = 2; i < LIVE_SLOTS; i++)
        assert_ok(emi_lock_byte_try(fd, (off_t)(offsetof(live_state_t, slot) + i * sizeof(live_slot_t)),
                                    LOCK_EXCLUSIVE));
    const uint32_t generation = live_of(file)->state->slot[slot].generation;
    emmap_file *const other = open_it();
    assert_int_equal(live_of(other)->slot, slot);
    assert_int_equal(live_of(file)->state->slot[slot].generation, generation + 1);
    assert_int_equal(live_of(file)->state->lock, 0);
    assert_int_equal(live_of(file)->state->taking, 0);
    assert_works(file);
    close(fd);
    close_file(other);
    close_file(file);
}

static void a_lock_for_reading_does_not_make_the_dead_live(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    const pid_t holder = start_holder("queue_push_copied");
    end(holder);
    const int fd = open(state_path(), O_RDONLY | O_CLOEXEC);
    assert_ok(
        emi_lock_byte_try(fd, (off_t)(offsetof(live_state_t, slot) + sizeof(live_slot_t)), LOCK_SHARED));
    assert_works(file);
    close(fd);
    close_file(file);
}

static void take_and_wait(void *context)
{
    emmap_file *const file = open_it();
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket;
    require_ok(emmap_queue_pop_begin(file, &sink, &ticket));
    __atomic_store_n((int *)context, 1, __ATOMIC_RELEASE);
    for (;;)
        rest();
}

static void a_message_in_a_dead_ones_hand_is_popped(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    uint64_t number;
    assert_ok(push_number(file, 1, 8));
    int *const taken = shared_memory(sizeof *taken);
    const pid_t child = start_child(take_and_wait, taken);
    while (!__atomic_load_n(taken, __ATOMIC_ACQUIRE))
        rest();
    assert_error(EBUSY, pop_number(file, &number));
    assert_ok(push_number(file, 2, 8));
    end(child);
    assert_ok(pop_number(file, &number));
    assert_int_equal(number, 1);
    assert_int_equal(live_of(file)->state->taking, 0);
    close_file(file);
}

static void garbage_in_the_words_names_nobody(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    const uint32_t words[] = {
        LIVE_OWNER, LIVE_OWNER_SLOT, LIVE_HURRIED,  LIVE_WAITED, LIVE_HURRIED | LIVE_WAITED, UINT32_MAX,
        5,          0x3ffff000,      LIVE_SLOTS + 1};
    uint64_t number;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        live_of(file)->state->lock = words[i];
        assert_ok(push_number(file, 1, 8));
        live_of(file)->state->taking = words[i];
        assert_ok(pop_number(file, &number));
    }
    close_file(file);
}

static void use_once(void *context)
{
    (void)context;
    uint64_t number;
    emmap_file *const file = open_it();
    require_ok(push_number(file, 1, 8));
    require_ok(pop_number(file, &number));
    close_file(file);
}

static uint64_t *pauses, *target;

static void die_at_target(const char *name)
{
    if (strncmp(name, "live_", 5) == 0 && ++*pauses == *target)
        kill(getpid(), SIGKILL);
}

/* Kills a process at each point of the live folder. Its remains stop no other process. `others` have the file open. */
static unsigned die_everywhere(bool others, bool anew)
{
    for (*target = 1;; ++*target) {
        if (anew)
            remove_folder();
        emmap_file *const other = others ? open_it() : NULL;
        *pauses = 0;
        pause_hook = die_at_target;
        const int status = in_child(use_once, NULL);
        pause_hook = NULL;
        if (!WIFSIGNALED(status))
            assert_int_equal(status, 0);
        emmap_file *const file = open_it();
        assert_non_null(live_of(file));
        uint64_t number;
        assert_true(queue_length_of(file) <= 1);
        if (queue_length_of(file) == 1)
            assert_ok(pop_number(file, &number));
        assert_works(file);
        if (other)
            assert_works(other);
        close_file(file);
        if (other)
            close_file(other);
        assert_false(exists(path_of("queue-live.new")));
        if (!WIFSIGNALED(status))
            return (unsigned)*target - 1;
    }
}

static void a_death_at_any_step_is_in_nobodys_way(void **state)
{
    (void)state;
    pauses = shared_memory(2 * sizeof *pauses);
    target = pauses + 1;
    close_file(open_it());
    const unsigned first = die_everywhere(false, true), alone = die_everywhere(false, false),
                   beside_others = die_everywhere(true, false);
    print_message("%u deaths of the first, %u alone, %u beside others\n", first, alone, beside_others);
    assert_true(first >= 12 && alone >= 9 && beside_others >= 8);
}

static void use_inherited(void *context)
{
    emmap_file *const file = context;
    require_error(EFAULT, push_number(file, 1, 8));
    emmap_free(file);
}

static void a_forked_child_owns_no_slot(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_child_passes(use_inherited, file);
    assert_true(exists(state_path()));
    assert_int_equal(live_of(file)->state->slot[0].used, 1);
    emmap_file *const other = open_it();
    assert_int_equal(live_of(other)->slot, 1);
    assert_false(emi_live_is_dead(live_of(other), live_of(file)->me));
    close_file(other);
    assert_works(file);
    close_file(file);
}

static void opening_and_closing_leaks_nothing(void **state)
{
    (void)state;
    close_file(open_it());
    const int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        emmap_file *const one = open_it();
        emmap_file *const other = open_it();
        close_file(one);
        close_file(other);
    }
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(mappings_of(queue_path()), 0);
    assert_unused();
}

/* ---- The queue's length ---- */

static live_length_t *length_in(emmap_file *file)
{
    return &live_of(file)->state->length;
}

/* Changes the noted length, to tell whether it is used. */
static void expect_noted(emmap_file *file, uint64_t count)
{
    live_length_t *const noted = length_in(file);
    assert_int_equal(noted->valid, 1);
    assert_int_equal(noted->count, count);
    assert_int_equal(queue_length_of(file), count);
}

static void the_length_is_noted_while_all_note_it(void **state)
{
    (void)state;
    emmap_file *const file = open_it(), *const other = open_it();
    assert_int_equal(queue_length_of(file), 0);
    for (uint64_t i = 0; i < 20; i++)
        require_ok(push_number(i % 2 ? file : other, i, 64));
    expect_noted(file, 20);
    /* Constant time: the messages are not counted. */
    length_in(file)->count = 19;
    assert_int_equal(queue_length_of(other), 19);
    length_in(file)->count = 20;
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t popped, ticket;
    assert_ok(emmap_queue_pop_many(file, 5, &sink, &popped));
    assert_ok(emmap_queue_pop(other, &sink));
    assert_ok(emmap_queue_pop_begin(file, &sink, &ticket));
    assert_ok(emmap_queue_pop_commit(file, ticket));
    expect_noted(other, 13);
    const live_slot_t *const mine = &live_of(file)->state->slot[live_of(file)->slot];
    assert_int_equal(mine->pushed, 10);
    assert_int_equal(mine->popped, 6);
    /* Through moves to the beginning. */
    for (uint64_t i = 0; i < 1000; i++) {
        require_ok(push_number(file, i, 64));
        require_ok(emmap_queue_pop(other, &sink));
    }
    expect_noted(other, 13);
    bytes_free(&got);
    assert_ok(emmap_queue_purge(file));
    expect_noted(other, 0);
    close_file(other);
    close_file(file);
}

static void a_length_that_somebody_else_has_changed_is_counted(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    for (uint64_t i = 0; i < 3; i++)
        require_ok(push_number(file, i, 8));
    assert_int_equal(queue_length_of(file), 3);
    /* Somebody else puts the header of before a pop back. */
    uint8_t header[16];
    uint64_t number;
    const struct iovec bytes = {.iov_base = header, .iov_len = sizeof header};
    assert_ok(read_into(file, 0, header, sizeof header));
    assert_ok(pop_number(file, &number));
    expect_noted(file, 2);
    assert_ok(emmap_pwrite(file, 0, &bytes, 1));
    assert_int_equal(queue_length_of(file), 3);
    expect_noted(file, 3);
    /* A count that can't be is none. */
    length_in(file)->count = UINT64_MAX;
    assert_int_equal(queue_length_of(file), 3);
    expect_noted(file, 3);
    /* A process that died in the middle of a change has taken it back. */
    length_in(file)->valid = 0;
    assert_int_equal(queue_length_of(file), 3);
    expect_noted(file, 3);
    close_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(writers_share_a_folder_that_stays_for_the_next),
        folder_test(readers_and_exclusive_writers_need_none),
        folder_test(rights_are_those_of_the_file),
        folder_test(other_names_of_the_file),
        folder_test(the_folder_is_removed_under_writers),
        folder_test(the_folder_is_replaced_under_writers),
        folder_test(what_nobody_holds_is_stale_whatever_it_is),
        folder_test(what_is_in_the_way_stays_and_the_kernels_locks_serve),
        folder_test(another_version_is_refused_while_it_runs),
        folder_test(a_user_without_permission),
        folder_test(all_writers_use_the_same_way),
        folder_test(a_program_that_knows_the_kernels_locks_alone_is_kept_out),
        folder_test(slots_have_a_limit),
        folder_test(the_length_is_noted_while_all_note_it),
        folder_test(a_length_that_somebody_else_has_changed_is_counted),
        folder_test(a_state_that_is_truncated_is_an_error),
        folder_test(a_consumer_notices_within_a_second_that_the_state_is_truncated),
        folder_test(openers_race),
        folder_test(processes_exclude_each_other_and_each_gets_its_turn),
        folder_test(a_dead_holder_is_not_waited_for),
        folder_test(who_may_not_wait_takes_a_dead_ones_lock),
        folder_test(a_stopped_holder_keeps_the_lock_and_goes_on),
        folder_test(any_handle_lists_the_writers),
        folder_test(the_next_owner_of_a_slot_buries_the_last),
        folder_test(a_lock_for_reading_does_not_make_the_dead_live),
        folder_test(a_message_in_a_dead_ones_hand_is_popped),
        folder_test(garbage_in_the_words_names_nobody),
        folder_test(a_death_at_any_step_is_in_nobodys_way),
        folder_test(a_forked_child_owns_no_slot),
        folder_test(opening_and_closing_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
