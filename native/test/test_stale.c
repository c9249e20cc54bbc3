/* Files whose path leads to another file later. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "structures.h"

#define BLOCK 8u

/* The result of an operation after it has checked the path, which is within a second. */
static emmap_error until_it_looks(emmap_error (*operation)(emmap_file *), emmap_file *file,
                                  emmap_error nothing)
{
    emmap_error error;
    while ((error = operation(file)) == nothing)
        sched_yield();
    return error;
}

static emmap_error pop(emmap_file *file)
{
    uint64_t number;
    return pop_number(file, &number);
}

static emmap_error pop_many(emmap_file *file)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count;
    const emmap_error error = emmap_queue_pop_many(file, 10, &sink, &count);
    pieces_free(&got);
    return error;
}

static emmap_error pop_begin(emmap_file *file)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    uint64_t ticket;
    const emmap_error error = emmap_queue_pop_begin(file, &sink, &ticket);
    if (!error)
        require_ok(emmap_queue_pop_commit(file, ticket));
    bytes_free(&got);
    return error;
}

static emmap_error peek(emmap_file *file)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_queue_peek_back(file, &sink);
    bytes_free(&got);
    return error;
}

static emmap_error walk(emmap_file *file)
{
    uint64_t place = 0, count;
    return emmap_queue_walk(file, EMMAP_QUEUE_FORWARD, 1, &place, NULL, &count);
}

static emmap_error length(emmap_file *file)
{
    uint64_t number;
    const emmap_error error = emmap_queue_length(file, &number);
    return error || number > 0 ? error : EMMAP_EOF;
}

static emmap_error is_empty(emmap_file *file)
{
    bool empty;
    const emmap_error error = emmap_queue_is_empty(file, &empty);
    return error || !empty ? error : EMMAP_EOF;
}

static emmap_error read_block(emmap_file *file)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_block_read(file, 0, &sink);
    bytes_free(&got);
    return error == ENOENT ? EMMAP_EOF : error;
}

static emmap_error free_block(emmap_file *file)
{
    const emmap_error error = emmap_block_free(file, 0);
    return error == ENOENT ? EMMAP_EOF : error;
}

static emmap_error free_blocks(emmap_file *file)
{
    const uint64_t addresses[] = {0, 64}; /* of the first two blocks in a new storage */
    const emmap_error error = emmap_block_free_many(file, addresses, 2);
    return error == ENOENT ? EMMAP_EOF : error;
}

static emmap_error walk_blocks(emmap_file *file)
{
    uint64_t place = 0, address;
    size_t count;
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_blocks_walk(file, 1, &place, &address, &sink, &count);
    bytes_free(&got);
    return error;
}

static emmap_error count_blocks(emmap_file *file)
{
    uint64_t count;
    const emmap_error error = emmap_blocks_count(file, &count);
    return error || count > 0 ? error : EMMAP_EOF;
}

typedef struct subject {
    emmap_error (*operation)(emmap_file *);
    bool blocks;
    bool writes;
} subject;

static const subject subjects[] = {
    {pop, false, true},          {pop_many, false, true},   {pop_begin, false, true},
    {peek, false, false},        {walk, false, false},      {length, false, false},
    {is_empty, false, false},    {read_block, true, false}, {walk_blocks, true, false},
    {count_blocks, true, false}, {free_block, true, true},  {free_blocks, true, true},
};

static emmap_file *open_subject(const subject *self, const char *path, uint32_t flags)
{
    return self->blocks ? open_blocks(path, flags, 0, BLOCK, 2) : open_queue(path, flags, 0);
}

static void put_something(const subject *self, emmap_file *file)
{
    const struct iovec block = {.iov_base = "8 bytes.", .iov_len = BLOCK};
    const struct iovec two[] = {block, block};
    uint64_t addresses[2];
    require_ok(self->blocks ? emmap_block_store_many(file, two, 2, addresses) : push_number(file, 7, 8));
}

#define CREATES (EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE)

/* All trials at once, so that they wait for the same second. */
typedef struct trial {
    const subject *subject;
    uint32_t mode;
    emmap_file *file;
    char path[300], old[300], next[300];
} trial;

enum { TRIALS_MAX = 3 * COUNT_OF(subjects) };

static size_t make_trials(trial trials[TRIALS_MAX], uint32_t flags)
{
    const uint32_t modes[] = {EMMAP_OPEN_WRITE, EMMAP_OPEN_WRITE | EMMAP_OPEN_EXCLUSIVE, EMMAP_OPEN_READ};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(subjects); i++)
        for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
            if (subjects[i].writes && modes[mode] == EMMAP_OPEN_READ)
                continue;
            trial *const self = &trials[count];
            *self = (trial){.subject = &subjects[i], .mode = modes[mode]};
            char name[32];
            snprintf(name, sizeof name, "%02zu", count++);
            strcpy(self->path, path_of(name));
            strcat(strcpy(self->old, self->path), ".old");
            strcat(strcpy(self->next, self->path), ".next");
            close_file(open_subject(self->subject, self->path, CREATES));
            self->file = open_subject(self->subject, self->path, self->mode | flags);
            assert_error(EMMAP_EOF, self->subject->operation(self->file));
        }
    return count;
}

static void what_finds_nothing_says_that_its_path_is_gone(void **state)
{
    (void)state;
    static trial trials[TRIALS_MAX];
    const size_t count = make_trials(trials, 0);
    for (size_t i = 0; i < count; i++)
        require(rename(trials[i].path, trials[i].old) == 0);
    for (size_t i = 0; i < count; i++) {
        trial *const self = &trials[i];
        emmap_error (*const operation)(emmap_file *) = self->subject->operation;
        emmap_file *const file = self->file;
        const bool writes = self->mode != EMMAP_OPEN_READ;
        /* The file is removed; another one is renamed to its path; the first is put back. */
        assert_error(ESTALE, until_it_looks(operation, file, EMMAP_EOF));
        assert_error(ESTALE, operation(file));
        emmap_file *const other = open_subject(self->subject, self->next, CREATES);
        require(rename(self->next, self->path) == 0);
        assert_error(ESTALE, operation(file));
        if (writes) {
            assert_error(ESTALE, emmap_sync(file));
            assert_error(ESTALE, emmap_datasync(file));
        }
        require(rename(self->old, self->path) == 0);
        assert_error(EMMAP_EOF, operation(file));
        if (writes) {
            assert_ok(emmap_sync(file));
            /* Messages and blocks in the file are found first. */
            unlink(self->path);
            put_something(self->subject, file);
            assert_ok(operation(file));
        }
        close_file(other);
        close_file(file);
    }
}

static void a_handle_that_follows_goes_over_to_the_new_file(void **state)
{
    (void)state;
    static trial trials[TRIALS_MAX];
    const int descriptors = open_descriptors();
    const size_t count = make_trials(trials, EMMAP_OPEN_FOLLOW);
    for (size_t i = 0; i < count; i++) {
        emmap_file *const other = open_subject(trials[i].subject, trials[i].next, CREATES);
        put_something(trials[i].subject, other);
        if (i % 2)
            unlink(trials[i].path);
        require(rename(trials[i].next, trials[i].path) == 0);
        close_file(other);
    }
    /* The second is over: the call that goes over to the new file finds its content. */
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    for (size_t i = 0; i < count; i++) {
        const trial *const self = &trials[i];
        emmap_error (*const operation)(emmap_file *) = self->subject->operation;
        emmap_file *const file = self->file;
        emmap_file *other;
        bool current;
        assert_ok(operation(file));
        assert_ok(emmap_is_current(file, &current));
        assert_true(current);
        if (self->mode & EMMAP_OPEN_EXCLUSIVE) {
            const emmap_options options = {.flags = EMMAP_OPEN_WRITE};
            assert_error(EBUSY, self->subject->blocks
                                    ? emmap_blocks_open(self->path, BLOCK, 2, &options, &other)
                                    : emmap_queue_open(self->path, &options, &other));
        } else if (self->mode == EMMAP_OPEN_WRITE) {
            /* It has the new file's locks: others find the messages that it adds. */
            put_something(self->subject, file);
            assert_ok(emmap_sync(file));
            other = open_subject(self->subject, self->path, EMMAP_OPEN_WRITE);
            put_something(self->subject, other);
            assert_ok(operation(other));
            close_file(other);
        }
        close_file(file);
        assert_int_equal(mappings_of(self->path), 0);
    }
    assert_int_equal(open_descriptors(), descriptors);
}

static void what_can_not_be_followed_is_said(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, CREATES | EMMAP_OPEN_FOLLOW, 0);
    assert_error(EMMAP_EOF, pop(queue));
    put_file(path_of("next"), "this is not a queue, but a text of some length", 46);
    require(rename(path_of("next"), path) == 0);
    assert_error(ESTALE, until_it_looks(pop, queue, EMMAP_EOF));
    unlink(path);
    emmap_file *const other = open_queue(path, CREATES, 0);
    assert_ok(push_number(other, 5, 8));
    emmap_error error;
    while ((error = pop(queue)) == EMMAP_EOF || error == ESTALE)
        sched_yield();
    assert_ok(error);
    close_file(queue);
    close_file(other);
    emmap_file *file;
    const emmap_options plain = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_FOLLOW},
                        anonymous = {.flags = CREATES | EMMAP_OPEN_ANON | EMMAP_OPEN_FOLLOW, .size = 4096};
    assert_error(EINVAL, emmap_open(path, &plain, &file));
    assert_error(EINVAL, emmap_counters_open(path, 0, &plain, &file));
    assert_error(EINVAL, emmap_queue_open(path, &anonymous, &file));
}

/* Replaces a file atomically: creates it under another name, uses it, and renames it. */
static void a_new_file_in_use_by_another_name_is_said_to_be_stale(void **state)
{
    (void)state;
    const char *const path = path_of("queue");
    emmap_file *const queue = open_queue(path, CREATES | EMMAP_OPEN_FOLLOW, 0);
    emmap_file *const other = open_queue(path_of("next"), CREATES, 0);
    assert_ok(push_number(other, 5, 8));
    require(rename(path_of("next"), path) == 0);
    /* With the kernel's locks it can be used at once, by any name. */
    const bool in_memory = getenv("EMMAP_LIVE") == NULL;
    emmap_error error = until_it_looks(pop, queue, EMMAP_EOF);
    assert_int_equal(error, in_memory ? ESTALE : EMMAP_OK);
    if (in_memory)
        assert_non_null(strstr(emmap_last_failure()->reason, "that other handles use"));
    close_file(other);
    while (error == EMMAP_EOF || error == ESTALE) {
        sched_yield();
        error = pop(queue);
    }
    assert_ok(error);
    close_file(queue);
}

static void check_sync(emmap_file *file, const char *path, bool told)
{
    const char *const old = path_of("old");
    const emmap_error stale = told ? ESTALE : EMMAP_OK;
    assert_ok(emmap_sync(file));
    require(rename(path, old) == 0);
    assert_error(stale, emmap_sync(file));
    assert_error(stale, emmap_datasync(file));
    put_file(path, "another", 7);
    assert_error(stale, emmap_sync(file));
    /* The bytes are on the disk nevertheless, and the handle still works. */
    require(rename(old, path) == 0);
    assert_ok(emmap_sync(file));
    assert_ok(emmap_datasync(file));
    close_file(file);
    unlink(path);
}

static void a_sync_of_any_file_says_that_its_path_is_gone(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *counters;
    check_sync(open_file(path, CREATES | EMMAP_OPEN_SHARED, 4096), path, true);
    check_sync(open_file(path, CREATES | EMMAP_OPEN_PRIVATE, 4096), path, false);
    close_file(open_file(path, CREATES, 4096));
    check_sync(open_file(path, EMMAP_OPEN_READ | EMMAP_OPEN_SHARED, 0), path, true);
    const emmap_options options = {.flags = CREATES};
    assert_ok(emmap_counters_open(path, 3, &options, &counters));
    check_sync(counters, path, true);
    emmap_file *const memory = open_file(NULL, EMMAP_OPEN_WRITE | EMMAP_OPEN_ANON, 4096);
    assert_ok(emmap_sync(memory));
    close_file(memory);
}

/* Threads use the handle while it goes over again and again. */
typedef struct use {
    emmap_file *queue;
    atomic_uint received;
    atomic_bool end;
} use;

static void *consume(void *context)
{
    use *const self = context;
    while (!atomic_load(&self->end)) {
        uint64_t number, size, place = 0, count;
        emmap_error error = pop_number(self->queue, &number);
        require(error == EMMAP_OK || error == EMMAP_EOF || error == EBUSY);
        if (!error)
            atomic_fetch_add(&self->received, 1);
        error = emmap_queue_walk(self->queue, EMMAP_QUEUE_BACKWARD, 3, &place, NULL, &count);
        require(error == EMMAP_OK || error == EMMAP_EOF);
        require_ok(emmap_size(self->queue, &size));
        require_ok(emmap_queue_length(self->queue, &size));
        error = emmap_sync(self->queue);
        require(error == EMMAP_OK || error == ESTALE);
    }
    return NULL;
}

static void threads_go_over_together(void **state)
{
    (void)state;
    enum { THREADS = 3, FILES = 3, MESSAGES = 50 };
    const char *const path = path_of("queue"), *const next = path_of("next");
    use self = {.queue = open_queue(path, CREATES | EMMAP_OPEN_FOLLOW, 0)};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        require(pthread_create(&threads[i], NULL, consume, &self) == 0);
    for (unsigned round = 1; round <= FILES; round++) {
        emmap_file *const other = open_queue(next, CREATES, 0);
        for (uint64_t i = 0; i < MESSAGES; i++)
            require_ok(push_number(other, i, 8 + 500 * i));
        require(rename(next, path) == 0);
        close_file(other);
        while (atomic_load(&self.received) < round * MESSAGES)
            sched_yield();
    }
    atomic_store(&self.end, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&self.received), FILES * MESSAGES);
    close_file(self.queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(what_finds_nothing_says_that_its_path_is_gone),
        folder_test(a_handle_that_follows_goes_over_to_the_new_file),
        folder_test(what_can_not_be_followed_is_said),
        folder_test(a_new_file_in_use_by_another_name_is_said_to_be_stale),
        folder_test(a_sync_of_any_file_says_that_its_path_is_gone),
        folder_test(threads_go_over_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
