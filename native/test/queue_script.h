/* A script that reaches every store of a queue's operations, and the queue's messages after each step. */
#ifndef EMMAP_TEST_QUEUE_SCRIPT_H
#define EMMAP_TEST_QUEUE_SCRIPT_H

#include <fcntl.h>

#include "deaths.h"

typedef enum queue_action {
    OPEN,
    PUSH,
    PUSH_TWO,
    POP,
    POP_THREE,
    REMOVE,
    REMOVE_THREE,
    COMMIT,
    ABORT,
    TEAR,
    PURGE,
    RESET,
    ERASE,
    SYNC,
    FIX_SIZE,
    LENGTHEN,
    COMPACT
} queue_action;

/* A message of 24 bytes takes 32 in the file. The queue has room for ten before it grows. */
#define QUEUE_SIZE (16 + 10 * 32)
static const queue_action queue_script[] = {
    OPEN, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH,
    /* The first six make room for the other four to be copied down. */
    POP, POP, POP_THREE, POP, PUSH, PUSH, PUSH, PUSH, PUSH, PUSH,
    /* Three make room for seven to slide, in three steps. */
    COMMIT, POP, REMOVE, PUSH, PUSH, PUSH,
    /* One makes room for nine, in nine steps. */
    POP, PUSH,
    /* Four make room for six: less than twice the room that they need. */
    REMOVE_THREE, REMOVE, PUSH, PUSH, PUSH, PUSH,
    /* Two more need a larger file. */
    PUSH_TWO, POP_THREE, ABORT, COMMIT, TEAR, PUSH, PURGE, PUSH, RESET, POP, RESET, PUSH, PUSH, ERASE,
    PUSH_TWO, POP,
    /* With room for twenty, once synced: thirteen make room for seven, */
    FIX_SIZE, SYNC, PUSH, PUSH, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO,
    PUSH_TWO, POP_THREE, POP_THREE, POP_THREE, POP_THREE, PUSH,
    /* and nothing at the end lets it begin anew. */
    POP_THREE, POP_THREE, PURGE, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, POP_THREE,
    POP_THREE, REMOVE_THREE, POP_THREE, PUSH, SYNC, PUSH, ERASE, PUSH, REMOVE,
    /* The file has more room than the queue's header says. The queue gives it back, and uses it again. */
    LENGTHEN, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO, PUSH_TWO,
    PUSH_TWO, PUSH_TWO, PUSH_TWO, POP_THREE, POP_THREE, POP_THREE, POP_THREE, POP_THREE, COMPACT, PUSH_TWO,
    POP, COMPACT, POP_THREE, POP_THREE, POP_THREE, COMPACT, PUSH, POP};

/* The messages of the queue: the numbers from first to next. */
typedef struct queue_model {
    uint64_t first;
    uint64_t next;
} queue_model;

/* The messages after this many steps of a script on an empty queue. */
static inline queue_model model_after(const queue_action *script, uint64_t steps)
{
    queue_model self = {0};
    for (uint64_t i = 0; i < steps; i++)
        switch (script[i]) {
        case PUSH_TWO:
            self.next++;
            /* fall through */
        case PUSH:
            self.next++;
            break;
        case POP_THREE:
        case REMOVE_THREE:
            self.first += 2;
            /* fall through */
        case POP:
        case REMOVE:
        case COMMIT:
            self.first++;
            break;
        case PURGE:
        case ERASE:
            self.first = self.next;
            break;
        case RESET:
        case OPEN:
        case ABORT:
        case TEAR:
        case SYNC:
        case FIX_SIZE:
        case LENGTHEN:
        case COMPACT:
            break;
        }
    return self;
}

static emmap_file *open_scripted_queue(const char *path)
{
    return open_queue(path, QUEUE_RW, QUEUE_SIZE);
}

static void take(emmap_file *queue, queue_action action)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t count, ticket;
    if (action == POP)
        require_ok(emmap_queue_pop(queue, &sink));
    if (action == POP_THREE)
        require_ok(emmap_queue_pop_many(queue, 3, &sink, &count));
    if (action == REMOVE)
        require_ok(emmap_queue_glance_front(queue, &sink));
    uint64_t place = 0;
    if (action == REMOVE_THREE)
        require_ok(emmap_queue_walk(queue, EMMAP_QUEUE_FORWARD, 3, &place, &sink, &count));
    if (action == REMOVE || action == REMOVE_THREE)
        require_ok(emmap_queue_remove(queue, got.list, got.count));
    if (action == COMMIT || action == ABORT)
        require_ok(emmap_queue_pop_begin(queue, &sink, &ticket));
    if (action == COMMIT)
        require_ok(emmap_queue_pop_commit(queue, ticket));
    if (action == ABORT)
        require_ok(emmap_queue_pop_abort(queue, ticket));
    pieces_free(&got);
}

static void push_two(emmap_file *queue, uint64_t number)
{
    uint8_t messages[2][24];
    struct iovec list[2];
    for (size_t i = 0; i < 2; i++) {
        fill_message(messages[i], number + i, 24);
        list[i] = (struct iovec){.iov_base = messages[i], .iov_len = 24};
    }
    require_ok(emmap_queue_push_many(queue, list, 2));
}

/* The state that a writer of emmap 2.x leaves if it dies between reserving and committing. */
static emmap_file *tear(emmap_file *queue, const char *path)
{
    const emmap_queue_metadata info = queue_info_of(queue);
    emmap_free(queue);
    const uint32_t next_tail = (uint32_t)info.tail + 24;
    const uint8_t word[4] = {0, 0, (uint8_t)(next_tail >> 8), (uint8_t)next_tail};
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    require(fd >= 0 && pwrite(fd, word, 4, 12) == 4);
    close(fd);
    return open_scripted_queue(path);
}

static void reset(emmap_file *queue, queue_model expected)
{
    bool empty;
    require_ok(emmap_queue_reset(queue, &empty));
    require(empty == (expected.first == expected.next));
}

static inline void run_queue_script(const char *path, const queue_action *script, size_t steps)
{
    emmap_file *queue = NULL;
    for (uint64_t i = 0; i < steps; i++) {
        deaths->started = i + 1;
        switch (script[i]) {
        case OPEN:
            queue = open_scripted_queue(path);
            break;
        case PUSH:
            require_ok(push_number(queue, model_after(script, i).next, 24));
            break;
        case PUSH_TWO:
            push_two(queue, model_after(script, i).next);
            break;
        case TEAR:
            queue = tear(queue, path);
            break;
        case SYNC:
            require_ok(emmap_sync(queue));
            break;
        case FIX_SIZE:
            emmap_free(queue);
            queue = open_queue(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 0);
            break;
        case LENGTHEN:
            emmap_free(queue);
            queue = open_scripted_queue(path);
            require_ok(emmap_resize(queue, 20000, NULL));
            break;
        case COMPACT:
            require_compacted(emmap_queue_compact, queue);
            break;
        case PURGE:
            require_ok(emmap_queue_purge(queue));
            break;
        case RESET:
            reset(queue, model_after(script, i));
            break;
        case ERASE:
            require_ok(emmap_queue_erase(queue));
            break;
        default:
            take(queue, script[i]);
        }
        deaths->done = i + 1;
    }
    emmap_free(queue);
}

#endif
