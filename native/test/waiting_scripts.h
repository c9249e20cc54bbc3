/* Scripts that come to every step of waiting, waking and joining a live folder. Each begins with a queue that is empty. */
#ifndef EMMAP_TEST_WAITING_SCRIPTS_H
#define EMMAP_TEST_WAITING_SCRIPTS_H

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "live_layout.h"
#include "queue_script.h"

#define WAKE_PAUSE_POINTS(X)                                                                                 \
    X(wake_calling)                                                                                          \
    X(wake_called)                                                                                           \
    X(wake_bell_set)                                                                                         \
    X(live_bell_begin)                                                                                       \
    X(live_bell_made)                                                                                        \
    X(live_bell_taken)

#define LIVE_PAUSE_POINTS(X)                                                                                 \
    X(live_folder_begun)                                                                                     \
    X(live_folder_made)                                                                                      \
    X(live_state_prepared)                                                                                   \
    X(live_state_unnamed)                                                                                    \
    X(live_state_named)                                                                                      \
    X(live_state_renewed)                                                                                    \
    X(live_folder_emptied)                                                                                   \
    X(live_join_begin)                                                                                       \
    X(live_agreed)                                                                                           \
    X(live_slot_locked)                                                                                      \
    X(live_slot_buried)                                                                                      \
    X(live_slot_taken)                                                                                       \
    X(live_join_done)                                                                                        \
    X(live_leave_begin)                                                                                      \
    X(live_leave_done)                                                                                       \
    X(live_marked)                                                                                           \
    X(live_woken)                                                                                            \
    X(live_judged)                                                                                           \
    X(live_released)                                                                                         \
    X(live_buried)

static void rest(long microseconds)
{
    nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000}, NULL);
}

static void begin_step(uint64_t step)
{
    deaths->started = step;
}

static void end_step(uint64_t step)
{
    deaths->done = step;
}

static void push_next(emmap_file *queue, const queue_action *script, uint64_t step)
{
    begin_step(step + 1);
    require_ok(push_number(queue, model_after(script, step).next, 24));
    end_step(step + 1);
}

/* ---- Waking ---- */

static const queue_action wakes[] = {PUSH, POP, PUSH, PUSH, POP, POP, PUSH, POP, PUSH, POP};

static void count_wake(void *context, emmap_error result)
{
    (void)result;
    atomic_fetch_add((atomic_int *)context, 1);
}

static void see_whether_woken(int bell, emmap_wait *wait, atomic_int *ended)
{
    uint8_t bytes[16];
    if (bell >= 0 && read(bell, bytes, sizeof bytes) > 0 && emmap_wait_woken(wait))
        atomic_fetch_add(ended, 1);
}

/* One handle waits while the other one pushes. The second of two messages wakes the waiter when the first is taken. The handle
 * waits in a thread and by its bell in turn. */
static void run_queue_wake(const char *path)
{
    emmap_file *const pusher = open_scripted_queue(path), *const waiter = open_scripted_queue(path);
    atomic_int ended = 0, begun = 0;
    int bell = -1;
    emmap_wait *wait = NULL;
    for (uint64_t i = 0; i < COUNT_OF(wakes); i++) {
        const queue_model model = model_after(wakes, i);
        if (model.first == model.next) {
            emmap_wait_free(wait);
            const bool watches = begun % 2 && emmap_queue_wait_descriptor(waiter, &bell) == EMMAP_OK;
            require_ok(emmap_queue_wait_begin(waiter, EMMAP_NO_LIMIT,
                                              &(emmap_waiter){count_wake, &ended, watches}, &wait));
            begun++;
            /* So that the push finds it asleep every other time. */
            rest(begun % 4 < 2 ? 0 : 200);
        }
        if (wakes[i] == PUSH) {
            push_next(pusher, wakes, i);
            continue;
        }
        while (ended < begun) {
            see_whether_woken(bell, wait, &ended);
            rest(20);
        }
        begin_step(i + 1);
        take(waiter, POP);
        end_step(i + 1);
    }
    emmap_wait_free(wait);
    emmap_free(waiter);
    emmap_free(pusher);
}

/* Others wait in processes of their own. */
static const queue_action one_push[] = {OPEN, PUSH};

static void run_queue_push(const char *path)
{
    run_queue_script(path, one_push, COUNT_OF(one_push));
}

/* ---- Waiting for the lock ---- */

static const queue_action contended[] = {PUSH, PUSH, PUSH, PUSH, PUSH, PUSH};

static void (*hook_of_all)(const char *name);
static pthread_t lingerer;
static pthread_barrier_t lingering;

/* The lock is held at this point for longer than the other thread's first sleep. */
static void linger(const char *name)
{
    hook_of_all(name);
    if (strcmp(name, "queue_push_payload") != 0 || !pthread_equal(pthread_self(), lingerer))
        return;
    pthread_barrier_wait(&lingering);
    rest(3000);
}

static void *push_after(void *context)
{
    emmap_file *const queue = context;
    for (uint64_t i = 1; i < COUNT_OF(contended); i += 2) {
        pthread_barrier_wait(&lingering);
        require_ok(push_number(queue, model_after(contended, i).next, 24));
        pthread_barrier_wait(&lingering);
    }
    return NULL;
}

static void run_queue_contend(const char *path)
{
    emmap_file *const queue = open_scripted_queue(path), *const other = open_scripted_queue(path);
    pthread_t thread;
    require(pthread_barrier_init(&lingering, NULL, 2) == 0);
    lingerer = pthread_self();
    hook_of_all = pause_hook;
    require(pthread_create(&thread, NULL, push_after, other) == 0);
    pause_hook = linger;
    for (uint64_t i = 0; i < COUNT_OF(contended); i += 2) {
        begin_step(i + 2);
        require_ok(push_number(queue, model_after(contended, i).next, 24));
        end_step(i + 1);
        pthread_barrier_wait(&lingering);
        end_step(i + 2);
    }
    pause_hook = hook_of_all;
    require(pthread_join(thread, NULL) == 0);
    emmap_free(other);
    emmap_free(queue);
}

/* ---- The dead owner of the lock ---- */

static const queue_action robbed[] = {OPEN, PUSH, POP, PUSH};

static void die_with_lock(void *context)
{
    emmap_file *const queue = open_scripted_queue(context);
    die_at("queue_push_payload");
    (void)push_number(queue, 77, 24);
}

static void leave_lock(const char *path)
{
    char copy[4096];
    require(snprintf(copy, sizeof copy, "%s", path) < (int)sizeof copy);
    require(WIFSIGNALED(in_child(die_with_lock, copy)));
}

static void run_queue_rob(const char *path)
{
    emmap_file *const queue = open_scripted_queue(path);
    end_step(1);
    leave_lock(path);
    push_next(queue, robbed, 1);
    begin_step(3);
    take(queue, POP);
    end_step(3);
    push_next(queue, robbed, 3);
    emmap_free(queue);
}

static const char *beside(const char *path, const char *name)
{
    static char result[4200];
    require(snprintf(result, sizeof result, "%s%s", path, name) < (int)sizeof result);
    return result;
}

/* Nobody has the file open. */
static void forget_folder(const char *path)
{
    unlink(beside(path, "-live/state"));
    rmdir(beside(path, "-live"));
}

/* As if each slot had had an owner that died. */
static void use_all_slots(const char *path)
{
    const int fd = open(beside(path, "-live/state"), O_RDWR | O_CLOEXEC);
    const uint32_t used = 1;
    require(fd >= 0);
    for (size_t i = 0; i < LIVE_SLOTS; i++)
        require(pwrite(fd, &used, sizeof used,
                       (off_t)(offsetof(live_state_t, slot) + i * sizeof(live_slot_t) +
                               offsetof(live_slot_t, used))) == sizeof used);
    close(fd);
}

static const queue_action buried[] = {OPEN, PUSH, PUSH};

static void run_queue_bury(const char *path)
{
    forget_folder(path);
    emmap_file *const queue = open_scripted_queue(path);
    end_step(1);
    leave_lock(path);
    use_all_slots(path);
    emmap_file *const next = open_scripted_queue(path);
    push_next(next, buried, 1);
    push_next(queue, buried, 2);
    emmap_free(next);
    emmap_free(queue);
}

/* ---- The live folder ---- */

static const queue_action joined[] = {PUSH, PUSH, PUSH, OPEN};

static void use_folder(const char *path, uint64_t step)
{
    emmap_file *const queue = open_scripted_queue(path);
    push_next(queue, joined, step);
    emmap_free(queue);
}

static void run_queue_join(const char *path)
{
    /* A new folder, one that was left, one whose rights are wrong. */
    forget_folder(path);
    use_folder(path, 0);
    use_folder(path, 1);
    require(chmod(beside(path, "-live/state"), 0666) == 0);
    use_folder(path, 2);
    /* The folder of a file that is gone. */
    char gone[4200];
    require(snprintf(gone, sizeof gone, "%s.gone", path) < (int)sizeof gone);
    unlink(gone);
    forget_folder(gone);
    emmap_file *const queue = open_scripted_queue(gone);
    unlink(gone);
    emmap_free(queue);
}

#endif
