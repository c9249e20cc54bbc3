/*
 * Makes processes that die, stop or fork between two stores, for tests of the processes that come after them. It reads a
 * command from each line, executes it in a child, and answers with a line of JSON.
 *
 *   points                              the names of all pause points
 *   die SCRIPT PAUSE PATH               runs a script on the file and is killed at its pause number PAUSE, from 1
 *   late SCRIPT MICROSECONDS PATH       is killed after that time, wherever it is
 *   stop SCRIPT PAUSE PATH              is stopped there
 *   continue                            goes on, to the end
 *   kill                                is killed, stopped as it is
 *   fork HOW EARLIER SCRIPT PAUSE PATH  as die, but at its pause EARLIER makes a child that lives on. HOW: fork; clone,
 *                                       which the C library's fork handlers don't see. Its id is the `offspring`
 *   bury                                ends the offspring
 *
 * An answer has the `point` (null: the script ended before), the number of `pauses`, and the content that the file must
 * have: of a queue the numbers `first` and `next`, of a counter its `count`, each after the steps that were `acknowledged`
 * and after those that had `begun`; of a storage the `stored` numbers with their addresses, and the `pending` ones.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "blocks_script.h"
#include "waiting_scripts.h"

/* Memory shared with the child. */
typedef struct order {
    death death;
    record record;
    const char *point; /* where it died or was stopped; static */
    uint64_t fork_at;  /* make a child at this pause; 0: at none */
    uint64_t late;     /* is killed after so many microseconds; 0: it is not */
    bool cloning;
    bool stopping;
    pid_t offspring;
} order;

static order *self;

/* A pipe. Only the process that reads the commands has its writing end. */
static int lifeline[2];

/* Waits until that process has ended. */
static void live_on(void)
{
    char none;
    pause_hook = NULL;
    while (read(lifeline[0], &none, 1) < 0)
        ;
    _exit(0);
}

/* A process that opens a file only to recover it has few pauses, and they should be in the recovery. */
static bool recovering;

/* A script that comes to the live folder's points in the same order each time. */
static bool comes_to_all;

/* Of the live folder's points it counts those that every run of a script passes. It leaves out the points of creating the
 * folder, which exists the next time, and of waiting. */
static bool is_counted(const char *name)
{
    if (comes_to_all || !begins_with(name, "live_"))
        return true;
    return !recovering && (begins_with(name, "live_join_") || begins_with(name, "live_slot_") ||
                           begins_with(name, "live_leave_") || strcmp(name, "live_agreed") == 0);
}

static void on_pause(const char *name)
{
    if (!is_counted(name))
        return;
    /* Scripts with threads come to several points at once. */
    const uint64_t pause = __atomic_add_fetch(&deaths->pauses, 1, __ATOMIC_SEQ_CST);
    if (pause == self->fork_at) {
        const pid_t child = self->cloning ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        require(child >= 0);
        if (child == 0)
            live_on();
        self->offspring = child;
    }
    if (pause != deaths->target)
        return;
    self->point = name;
    kill(getpid(), self->stopping ? SIGSTOP : SIGKILL);
}

/* ---- Scripts ---- */

typedef struct script {
    const char *name;
    void (*run)(const char *path);
    void (*report)(void);
} script;

static void report_model(const queue_action *actions)
{
    const queue_model done = model_after(actions, deaths->done),
                      begun = model_after(actions, deaths->started);
    printf("\"acknowledged\":{\"first\":%" PRIu64 ",\"next\":%" PRIu64 "},"
           "\"begun\":{\"first\":%" PRIu64 ",\"next\":%" PRIu64 "}",
           done.first, done.next, begun.first, begun.next);
}

static void run_queue(const char *path)
{
    run_queue_script(path, queue_script, COUNT_OF(queue_script));
}

static void report_queue(void)
{
    report_model(queue_script);
}

/* For a queue that has been used before. */
static const queue_action traffic[] = {OPEN, PUSH, PUSH, PUSH_TWO,  POP,  PUSH_TWO, PUSH,   POP_THREE,
                                       PUSH, PUSH, POP,  COMMIT,    PUSH, PUSH_TWO, PUSH,   PUSH,
                                       POP,  PUSH, PUSH, POP_THREE, PUSH, ABORT,    COMMIT, PUSH_TWO};

static void run_queue_traffic(const char *path)
{
    run_queue_script(path, traffic, COUNT_OF(traffic));
}

static void report_queue_traffic(void)
{
    report_model(traffic);
}

/* For an empty storage, whether it is new or not. */
static void run_blocks_traffic(const char *path)
{
    emmap_file *const blocks = open_scripted_blocks(path);
    for (uint64_t number = 1; number <= 5; number++)
        store_numbers(blocks, number, 1);
    free_numbers(blocks, 2, 1);
    store_numbers(blocks, 6, 5);
    free_numbers(blocks, 5, 3);
    store_numbers(blocks, 11, 1);
    emmap_free(blocks);
    deaths->done = 1;
}

/* The process after a death, which dies in the recovery too. The file must have the content that was reported then. */
static void recover_queue(const char *path)
{
    recovering = true;
    emmap_free(open_scripted_queue(path));
}

static void recover_blocks(const char *path)
{
    recovering = true;
    emmap_free(open_scripted_blocks(path));
}

static void report_nothing(void)
{
    printf("\"recovered\":true");
}

static void report_blocks(void)
{
    const char *separator = "\"stored\":{";
    for (unsigned number = 1; number <= NUMBERS; number++)
        if (records->fate[number] == STORED) {
            printf("%s\"%u\":%" PRIu64, separator, number, records->address[number]);
            separator = ",";
        }
    printf("%s", *separator == ',' ? "}" : "\"stored\":{}");
    separator = ",\"pending\":[";
    for (unsigned number = 1; number <= NUMBERS; number++)
        if (records->fate[number] == PENDING) {
            printf("%s%u", separator, number);
            separator = ",";
        }
    printf("%s", separator[1] ? ",\"pending\":[]" : "]");
}

#define ADDITIONS 3u

static void report_count(void)
{
    printf("\"acknowledged\":{\"count\":%" PRIu64 "},\"begun\":{\"count\":%" PRIu64 "}", deaths->done,
           deaths->started);
}

static void run_file(const char *path)
{
    const emmap_options options = {.flags = QUEUE_RW, .size = 4096, .mode = 0640, .has_mode = true};
    emmap_file *file;
    require_ok(emmap_open(path, &options, &file));
    while (deaths->started < ADDITIONS) {
        deaths->started++;
        require_ok(emmap_patomic_add(file, 8, 1, NULL));
        deaths->done++;
    }
    emmap_free(file);
}

static void run_counters(const char *path)
{
    emmap_file *counters;
    require_ok(emmap_counters_open(path, 8, NULL, &counters));
    while (deaths->started < ADDITIONS) {
        deaths->started++;
        require_ok(emmap_counter_add(counters, 1, 1, NULL));
        deaths->done++;
    }
    emmap_free(counters);
}

#define WAITING(name)                                                                                        \
    static void come_to_##name(const char *path)                                                             \
    {                                                                                                        \
        comes_to_all = true;                                                                                 \
        run_queue_##name(path);                                                                              \
    }

WAITING(wake)
WAITING(contend)
WAITING(rob)
WAITING(bury)
WAITING(join)

#define REPORTING(name, actions)                                                                             \
    static void report_##name(void)                                                                          \
    {                                                                                                        \
        report_model(actions);                                                                               \
    }

REPORTING(wake, wakes)
REPORTING(push, one_push)
REPORTING(contend, contended)
REPORTING(rob, robbed)
REPORTING(bury, buried)
REPORTING(join, joined)

static const script scripts[] = {
    {"file", run_file, report_count},
    {"counters", run_counters, report_count},
    {"queue", run_queue, report_queue},
    {"queue-traffic", run_queue_traffic, report_queue_traffic},
    {"queue-recovery", recover_queue, report_nothing},
    {"queue-push", run_queue_push, report_push},
    {"queue-wake", come_to_wake, report_wake},
    {"queue-contend", come_to_contend, report_contend},
    {"queue-rob", come_to_rob, report_rob},
    {"queue-bury", come_to_bury, report_bury},
    {"queue-join", come_to_join, report_join},
    {"blocks", run_blocks_script, report_blocks},
    {"blocks-traffic", run_blocks_traffic, report_blocks},
    {"blocks-recovery", recover_blocks, report_nothing},
};

static const script *script_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(scripts); i++)
        if (strcmp(scripts[i].name, name) == 0)
            return &scripts[i];
    require(!"a script of this name");
    return NULL;
}

/* ---- Commands ---- */

#define NAME(point) #point,

static void print_points(const char *kind, const char *const *names, size_t count, const char *end)
{
    printf("\"%s\":[", kind);
    for (size_t i = 0; i < count; i++)
        printf("%s\"%s\"", i ? "," : "", names[i]);
    printf("]%s", end);
}

static void print_all_points(void)
{
    static const char *const file[] = {FILE_PAUSE_POINTS(NAME)};
    static const char *const counters[] = {COUNTERS_PAUSE_POINTS(NAME)};
    static const char *const queue[] = {QUEUE_PAUSE_POINTS(NAME)};
    static const char *const blocks[] = {BLOCKS_PAUSE_POINTS(NAME)};
    printf("{");
    print_points("file", file, COUNT_OF(file), ",");
    print_points("counters", counters, COUNT_OF(counters), ",");
    print_points("queue", queue, COUNT_OF(queue), ",");
    static const char *const wake[] = {WAKE_PAUSE_POINTS(NAME)};
    static const char *const live[] = {LIVE_PAUSE_POINTS(NAME)};
    print_points("blocks", blocks, COUNT_OF(blocks), ",");
    print_points("wake", wake, COUNT_OF(wake), ",");
    print_points("live", live, COUNT_OF(live), "}\n");
}

static const script *current;
static char path[4096];
static pid_t child;

/* MiB of additional memory of the child, in small pages, which the kernel must release when the child dies. */
static uint64_t weight;

static void put_on_weight(void)
{
    const size_t length = (size_t)weight << 20;
    if (length == 0)
        return;
    uint8_t *const bytes =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(bytes != MAP_FAILED);
    /* Not every system has this; then the pages are small anyway. */
    (void)madvise(bytes, length, MADV_NOHUGEPAGE);
    memset(bytes, 1, length);
}

static void run(void *unused)
{
    (void)unused;
    close(lifeline[1]);
    put_on_weight();
    /* A stopped child could not notice that its parent has ended. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pause_hook = on_pause;
    current->run(path);
}

static void report(void)
{
    printf("{\"point\":");
    printf(self->point ? "\"%s\"," : "null,", self->point);
    printf("\"pauses\":%" PRIu64 ",\"offspring\":%d,", deaths->pauses, (int)self->offspring);
    current->report();
    printf("}\n");
}

static void await(void)
{
    int status;
    require(waitpid(child, &status, WUNTRACED) == child);
    if (WIFSTOPPED(status))
        require(self->stopping);
    else if (WIFSIGNALED(status)) {
        if (self->late && !self->point)
            self->point = "a random moment";
        require(WTERMSIG(status) == SIGKILL && self->point);
    } else
        require(WEXITSTATUS(status) == 0);
    report();
}

static void start(const char *script, uint64_t pause)
{
    current = script_of(script);
    deaths->target = self->late ? 0 : pause;
    child = start_child(run, NULL);
    if (self->late) {
        rest((long)self->late);
        require(kill(child, SIGKILL) == 0);
    }
    await();
}

static void obey(const char *line)
{
    char how[16], name[32];
    uint64_t pause, earlier;
    if (strcmp(line, "points\n") == 0) {
        print_all_points();
    } else if (sscanf(line, "weigh %" SCNu64, &weight) == 1) {
        printf("null\n");
    } else if (strcmp(line, "continue\n") == 0) {
        require(kill(child, SIGCONT) == 0);
        await();
    } else if (strcmp(line, "kill\n") == 0) {
        require(kill(child, SIGKILL) == 0);
        await();
    } else if (strcmp(line, "bury\n") == 0) {
        require(kill(self->offspring, SIGKILL) == 0);
        printf("null\n");
    } else {
        memset(self, 0, sizeof *self);
        if (sscanf(line, "fork %15s %" SCNu64 " %31s %" SCNu64 " %4095s", how, &earlier, name, &pause,
                   path) == 5) {
            self->fork_at = earlier;
            self->cloning = strcmp(how, "clone") == 0;
        } else {
            require(sscanf(line, "%15s %31s %" SCNu64 " %4095s", how, name, &pause, path) == 4);
            self->stopping = strcmp(how, "stop") == 0;
            self->late = strcmp(how, "late") == 0 ? pause : 0;
        }
        start(name, pause);
    }
    fflush(stdout);
}

int main(void)
{
    self = shared_memory(sizeof *self);
    deaths = &self->death;
    records = &self->record;
    require(pipe(lifeline) == 0);
    char line[8192];
    while (fgets(line, sizeof line, stdin))
        obey(line);
    return 0;
}
