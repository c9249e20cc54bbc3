/*
 * Cuts the power between any two of the kernel's writes to the disk (power.h). Afterwards all synced content is there, once
 * and unchanged, and all other content comes from a state during the operations. Without arguments it runs as a test. With
 * SECONDS and SEED it runs for that time, and prints one line of JSON.
 */
#define _GNU_SOURCE
#include "power.h"
#include "table_layout.h"

/* Options for reading the files after a cut, without a system call per operation. */
#define ALONE (QUEUE_RW | EMMAP_OPEN_EXCLUSIVE)

/* ---- Queues ---- */

/* The numbers of the messages, after the last operation and after the operation in progress. */
enum { FIRST, NEXT, FIRST_STARTED, NEXT_STARTED };

static uint64_t queue_model[4];

typedef struct queue_floor {
    bool synced; /* at least one sync has returned */
    uint64_t first;
    uint64_t next;
} queue_floor;

static queue_floor floor_of_queue;
static uint64_t longest_message;

static size_t length_of(uint64_t number)
{
    return 8 + (number * 2654435761u >> 7) % longest_message;
}

/* The number of a message. UINT64_MAX: it is torn. */
static uint64_t number_in(const struct iovec *message)
{
    uint64_t number;
    static uint8_t expected[MESSAGE_MAX];
    if (message->iov_len < sizeof number)
        return UINT64_MAX;
    memcpy(&number, message->iov_base, sizeof number);
    const size_t length = length_of(number);
    if (length > message->iov_len || message->iov_len - length >= 8)
        return UINT64_MAX;
    fill_message(expected, number, length);
    return memcmp(expected, message->iov_base, length) == 0 ? number : UINT64_MAX;
}

static void expect_in_order(const pieces *got, emmap_error end, const moment *at)
{
    const uint64_t first = got->count ? number_in(&got->list[0]) : 0, next = first + got->count;
    for (size_t i = 0; i < got->count; i++)
        if (number_in(&got->list[i]) != first + i)
            power_violation("a queue written out in order has a message that was never there", first, i);
    const bool empty = got->count == 0;
    const bool as_before =
        empty ? at->model[FIRST] == at->model[NEXT] : first == at->model[FIRST] && next == at->model[NEXT];
    const bool as_after = empty ? at->model[FIRST_STARTED] == at->model[NEXT_STARTED]
                                : first == at->model[FIRST_STARTED] && next == at->model[NEXT_STARTED];
    if (end != EMMAP_EOF || !(as_before || as_after))
        power_violation("a queue written out in order is in a state that it never was in", first, next);
}

/* The messages that were synced and not popped since are there once, in order, before all others. Messages that were
 * popped since may be there too. Messages that were pushed since may be there with any bytes. */
static void expect_synced(const pieces *got, const moment *at)
{
    const queue_floor *const floor = &floor_of_queue;
    const uint64_t due = at->model[FIRST_STARTED];
    const uint64_t first = got->count ? number_in(&got->list[0]) : UINT64_MAX;
    if (due >= floor->next && (first == UINT64_MAX || first < floor->first || first >= floor->next))
        return;
    if (first < floor->first || first > due) {
        power_violation("a queue begins with another message than one that was synced", first, due);
        return;
    }
    for (uint64_t number = first; number < floor->next; number++)
        if (number - first >= got->count || number_in(&got->list[number - first]) != number) {
            power_violation("a synced message is lost", number, floor->next);
            return;
        }
}

static void expect_usable(emmap_file *queue, emmap_error end)
{
    if (end == EMMAP_CORRUPT && emmap_queue_erase(queue) != EMMAP_OK)
        power_violation("what was left of a queue can't be erased", 0, 0);
    /* Not push_number: one may be in progress, and it has only one buffer. */
    for (uint64_t i = 0; i < 3; i++) {
        uint8_t bytes[64];
        fill_message(bytes, i, sizeof bytes);
        const struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
        if (emmap_queue_push(queue, &vector, 1) != EMMAP_OK)
            power_violation("a queue can't be pushed to", i, 0);
    }
    for (uint64_t i = 0, number = 99; i < 3; i++)
        if (pop_number(queue, &number) != EMMAP_OK || number != i)
            power_violation("a queue does not give what was pushed after the cut", number, i);
}

static emmap_error pop_all(emmap_file *queue, pieces *got)
{
    const emmap_sink sink = sink_pieces(got);
    emmap_error error = EMMAP_OK;
    while (error == EMMAP_OK)
        error = emmap_queue_pop(queue, &sink);
    return error;
}

static void check_queue(const char *path, const moment *at, bool in_order)
{
    emmap_file *queue;
    const emmap_options options = {.flags = ALONE, .size = 4096};
    const emmap_error opened = emmap_queue_open(path, &options, &queue);
    if (opened) {
        if (in_order || floor_of_queue.synced)
            power_violation("a queue can't be opened", opened, at->length);
        return;
    }
    pieces got = {0};
    const emmap_error end = pop_all(queue, &got);
    if (end != EMMAP_EOF && end != EMMAP_CORRUPT)
        power_violation("a queue ends in an error", end, 0);
    if (in_order)
        expect_in_order(&got, end, at);
    else if (floor_of_queue.synced)
        expect_synced(&got, at);
    pieces_free(&got);
    expect_usable(queue, end);
    emmap_free(queue);
}

static size_t samples;
static void queue_settled(const moment *last)
{
    power_cut(samples, check_queue);
    floor_of_queue = (queue_floor){
        .synced = floor_of_queue.synced, .first = last->model[FIRST], .next = last->model[NEXT]};
}

typedef struct queue_round {
    uint64_t size;
    uint32_t flags;
    uint64_t longest;
    uint64_t most; /* messages, about */
} queue_round;

static void started(uint64_t first, uint64_t next)
{
    queue_model[FIRST_STARTED] = first;
    queue_model[NEXT_STARTED] = next;
}

static void done(bool yes)
{
    if (yes) {
        queue_model[FIRST] = queue_model[FIRST_STARTED];
        queue_model[NEXT] = queue_model[NEXT_STARTED];
    }
    started(queue_model[FIRST], queue_model[NEXT]);
    power_record(NULL);
}

static void push_one(emmap_file *queue)
{
    const uint64_t number = queue_model[NEXT];
    started(queue_model[FIRST], number + 1);
    const emmap_error error = push_number(queue, number, length_of(number));
    require(error == EMMAP_OK || error == EMMAP_FULL);
    done(error == EMMAP_OK);
}

static void pop_some(emmap_file *queue, uint64_t count)
{
    const uint64_t there = queue_model[NEXT] - queue_model[FIRST];
    if (there == 0)
        return;
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t popped;
    started(queue_model[FIRST] + (count < there ? count : there), queue_model[NEXT]);
    require_ok(emmap_queue_pop_many(queue, count, &sink, &popped));
    pieces_free(&got);
    done(true);
}

static void empty(emmap_file *queue, bool erase)
{
    started(queue_model[NEXT], queue_model[NEXT]);
    require_ok(erase ? emmap_queue_erase(queue) : emmap_queue_purge(queue));
    done(true);
}

static void sync_queue(emmap_file *queue)
{
    power_record(NULL);
    require_ok(power_random(2) ? emmap_sync(queue) : emmap_datasync(queue));
    floor_of_queue.synced = true;
}

/*
 * A process dies in the middle of its operation, and then others go on. The file in memory is as at a moment of the
 * operation; the disk has nothing new. `handles[0]` was the dead process's.
 */
static void die_in_push(emmap_file **handles, const char *path, const queue_round *round)
{
    const size_t before = power.count;
    const uint64_t first = queue_model[FIRST], next = queue_model[NEXT];
    push_one(handles[0]);
    /* There was an fsync in between, so the earlier moments are gone, or the file has grown. */
    if (power.count <= before + 1)
        return;
    const size_t at = before + power_random(power.count - before);
    const moment *const then = &power.moments[at];
    if (then->length != power.moments[power.count - 1].length)
        return;
    emmap_free(handles[0]);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    require(fd >= 0 && pwrite(fd, then->bytes, then->length, 0) == (ssize_t)then->length);
    close(fd);
    power_forget(at + 1);
    queue_model[FIRST] = first;
    queue_model[NEXT] = next;
    handles[0] = open_queue(path, round->flags, 0);
    const bool there = queue_length_of(handles[0]) == next + 1 - first;
    done(there);
}

/* A closed handle's knowledge is lost. */
static void reopen_queue(emmap_file **handles, const char *path, const queue_round *round)
{
    emmap_free(handles[1]);
    handles[1] = open_queue(path, round->flags, 0);
}

/* The queue keeps its messages. */
static void compact_queue(emmap_file *queue)
{
    require_compacted(emmap_queue_compact, queue);
    power_record(NULL);
}

static void run_queue(const queue_round *round, size_t operations)
{
    const char *const path = path_of("queue");
    unlink(path);
    memset(queue_model, 0, sizeof queue_model);
    floor_of_queue = (queue_floor){0};
    longest_message = round->longest;
    emmap_file *handles[2];
    handles[0] = open_queue(path, round->flags, round->size);
    handles[1] = open_queue(path, round->flags, 0);
    power_begin(path, queue_model, queue_settled);
    for (size_t i = 0; i < operations; i++) {
        emmap_file *const queue = handles[power_random(2)];
        const uint64_t there = queue_model[NEXT] - queue_model[FIRST];
        const uint64_t what = power_random(100);
        if (what < 8)
            sync_queue(queue);
        else if (what < 9)
            empty(queue, power_random(2));
        else if (what < 10 && !(round->flags & EMMAP_OPEN_FIXED_SIZE))
            require_ok(emmap_resize(queue, 0, NULL));
        else if (what < 11)
            compact_queue(queue);
        else if (what < 14)
            die_in_push(handles, path, round);
        else if (what < 16)
            reopen_queue(handles, path, round);
        else if (what < 50 || there < power_random(round->most))
            push_one(queue);
        else
            pop_some(queue, 1 + power_random(what < 60 ? there + 1 : 2));
    }
    power_cut(samples, check_queue);
    power_end();
    emmap_free(handles[0]);
    emmap_free(handles[1]);
}

static void queue_rounds(size_t operations)
{
    static const queue_round rounds[] = {
        {4096, QUEUE_RW, 700, 12},
        {16 + 40 * 64, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 100, 20},
        {9000, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 1500, 6},
        {32768, QUEUE_RW, 9000, 6},
    };
    for (size_t i = 0; i < COUNT_OF(rounds); i++) {
        power.unit = power_random(2) ? 4096 : 512;
        run_queue(&rounds[i], operations);
    }
}

/* ---- Block storages ---- */

#define BLOCK 40u
#define LEVELS 2u
#define CAPACITY 4096u
#define LOG_MAX 4096

/* A store or free. `number` is the address's number after it; 0: none. Moments are counted from the beginning. */
typedef struct change {
    uint64_t address;
    uint64_t number;
    uint64_t start;
    uint64_t end;
} change;

static uint64_t blocks_model[4]; /* [0]: changes started; [1]: done */
static bool blocks_synced;
static uint64_t on_disk[CAPACITY]; /* numbers */
static uint64_t latest[CAPACITY];
static change changes[LOG_MAX]; /* since the last fsync */
static uint64_t change_count;
static uint64_t capacity_checks;

static void fill_block(uint8_t *block, uint64_t number)
{
    fill_message(block, number, BLOCK);
}

static bool holds_number(const struct iovec *block, uint64_t number)
{
    uint8_t expected[BLOCK];
    fill_block(expected, number);
    return block->iov_len == BLOCK && memcmp(block->iov_base, expected, BLOCK) == 0;
}

/* Checks the number at an address, when `start` changes had begun and `end` were done. In order it is one of at most two
 * numbers. Otherwise a changed address may also have bytes that nobody stored. */
static bool may_hold(uint64_t address, const struct iovec *block, const moment *at, bool in_order)
{
    uint64_t settled = on_disk[address];
    bool possible = false, touched = false;
    for (uint64_t i = 0; i < change_count && changes[i].start < at->model[0]; i++) {
        if (changes[i].address != address)
            continue;
        touched = true;
        if (changes[i].end <= at->model[1])
            settled = changes[i].number;
        else if (changes[i].number == 0 ? block == NULL : block && holds_number(block, changes[i].number))
            possible = true;
    }
    if (touched && !in_order)
        return true;
    return possible || (settled == 0 ? block == NULL : block && holds_number(block, settled));
}

/* The storage gives out all remaining addresses, each once. */
static void expect_capacity(emmap_file *blocks, bool *used)
{
    uint8_t bytes[BLOCK] = {1};
    const struct iovec block = {.iov_base = bytes, .iov_len = BLOCK};
    uint64_t address, left = 0;
    emmap_error error;
    for (size_t i = 0; i < CAPACITY; i++)
        left += !used[i];
    while ((error = emmap_block_store(blocks, &block, &address)) == EMMAP_OK) {
        if (used[address])
            power_violation("an address is given out twice", address, left);
        used[address] = true;
        left--;
    }
    if (error != EMMAP_FULL || left != 0)
        power_violation("capacity is lost", error, left);
}

static void check_blocks(const char *path, const moment *at, bool in_order)
{
    static uint64_t addresses[CAPACITY];
    static bool used[CAPACITY];
    emmap_file *blocks;
    const emmap_options options = {.flags = ALONE, .size = 4096};
    const emmap_error opened = emmap_blocks_open(path, BLOCK, LEVELS, &options, &blocks);
    if (opened) {
        if (in_order || blocks_synced)
            power_violation("a storage can't be opened", opened, at->length);
        return;
    }
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    uint64_t place = 0;
    size_t count;
    const emmap_error error = emmap_blocks_walk(blocks, CAPACITY, &place, addresses, &sink, &count);
    if (in_order || blocks_synced) {
        const struct iovec *found[CAPACITY] = {NULL};
        if (error != EMMAP_OK && error != EMMAP_EOF)
            power_violation("a storage can't be walked", error, 0);
        for (size_t i = 0; i < count; i++)
            found[addresses[i]] = &got.list[i];
        for (uint64_t address = 0; address < CAPACITY; address++) {
            if (!may_hold(address, found[address], at, in_order))
                power_violation(in_order ? "a storage written out in order has what it never had"
                                         : "a synced block is lost, or one there that nobody stored",
                                address, found[address] != NULL);
            used[address] = found[address] != NULL;
        }
        if (capacity_checks++ % 16 == 0)
            expect_capacity(blocks, used);
    }
    pieces_free(&got);
    emmap_free(blocks);
}

static void blocks_settled(const moment *last)
{
    power_cut(samples, check_blocks);
    /* Earlier changes may be on disk or not, and count as changed. */
    uint64_t kept = 0;
    for (uint64_t i = 0; i < change_count; i++)
        if (changes[i].end <= last->model[1])
            on_disk[changes[i].address] = changes[i].number;
        else
            changes[kept++] = changes[i];
    change_count = kept;
}

/* The address of a store is known only afterwards. So the images are checked then, except for those of its own fsyncs. */
static void begin_change(uint64_t address, uint64_t number)
{
    require(change_count < LOG_MAX);
    changes[change_count++] =
        (change){.address = address, .number = number, .start = blocks_model[0]++, .end = UINT64_MAX};
}

static void end_change(void)
{
    changes[change_count - 1].end = ++blocks_model[1];
    latest[changes[change_count - 1].address] = changes[change_count - 1].number;
    power_record(NULL);
}

static void store_one(emmap_file *blocks, uint64_t number)
{
    uint8_t bytes[BLOCK];
    fill_block(bytes, number);
    const struct iovec block = {.iov_base = bytes, .iov_len = BLOCK};
    /* The lowest free child at every level. */
    uint64_t rank = 0, address;
    while (latest[(rank & 63) << 6 | rank >> 6] != 0)
        rank++;
    begin_change((rank & 63) << 6 | rank >> 6, number);
    require_ok(emmap_block_store(blocks, &block, &address));
    require(address == changes[change_count - 1].address);
    end_change();
}

static void free_one(emmap_file *blocks, uint64_t address)
{
    begin_change(address, 0);
    require_ok(emmap_block_free(blocks, address));
    end_change();
}

/* The storage keeps its blocks. */
static void compact_blocks(emmap_file *blocks)
{
    require_compacted(emmap_blocks_compact, blocks);
    power_record(NULL);
}

/* All blocks are freed at once. */
static void make_anew(emmap_file *blocks)
{
    uint64_t begun = 0;
    for (uint64_t address = 0; address < CAPACITY; address++)
        if (latest[address] != 0) {
            begin_change(address, 0);
            begun++;
        }
    require_ok(emmap_blocks_init(blocks, BLOCK, LEVELS));
    for (uint64_t i = change_count - begun; i < change_count; i++) {
        changes[i].end = ++blocks_model[1];
        latest[changes[i].address] = 0;
    }
    power_record(NULL);
}

static void run_blocks(size_t operations, uint64_t bias)
{
    const char *const path = path_of("blocks");
    unlink(path);
    memset(blocks_model, 0, sizeof blocks_model);
    memset(on_disk, 0, sizeof on_disk);
    memset(latest, 0, sizeof latest);
    change_count = 0;
    blocks_synced = false;
    emmap_file *handles[2];
    handles[0] = open_blocks(path, QUEUE_RW, 4096, BLOCK, LEVELS);
    handles[1] = open_blocks(path, QUEUE_RW, 0, BLOCK, LEVELS);
    power_begin(path, blocks_model, blocks_settled);
    for (uint64_t i = 1; i <= operations; i++) {
        emmap_file *const blocks = handles[power_random(2)];
        const uint64_t what = power_random(100), address = power_random(64) << 6 | power_random(3);
        if (what < 4) {
            power_record(NULL);
            require_ok(power_random(2) ? emmap_sync(blocks) : emmap_datasync(blocks));
            blocks_synced = true;
        } else if (what < 5) {
            require_ok(emmap_resize(blocks, 0, NULL));
        } else if (what < 6) {
            compact_blocks(blocks);
        } else if (what < 7 && power_random(4) == 0) {
            make_anew(blocks);
        } else if (what < 8) {
            emmap_free(handles[1]);
            handles[1] = open_blocks(path, QUEUE_RW, 0, BLOCK, LEVELS);
        } else if (what < bias && latest[address] != 0) {
            free_one(blocks, address);
        } else if (what < bias + 10) {
            for (uint64_t j = 0; j < 1 + power_random(30); j++)
                store_one(blocks, i << 8 | j);
        } else {
            store_one(blocks, i << 8 | 255);
        }
    }
    power_cut(samples, check_blocks);
    power_end();
    emmap_free(handles[0]);
    emmap_free(handles[1]);
}

static void blocks_rounds(size_t operations)
{
    for (uint64_t bias = 10; bias <= 60; bias += 50) {
        power.unit = power_random(2) ? 4096 : 512;
        run_blocks(operations, bias);
    }
}

/* ---- Counters ---- */

#define COUNTERS 1200u

static uint64_t counters_model[4]; /* [0]: additions begun; [1]: done */
static bool counters_synced;
static int64_t settled_counts[COUNTERS];
static struct addition {
    uint32_t counter;
} additions[LOG_MAX];
static uint64_t addition_first; /* the number of additions[0] */

static void check_counters(const char *path, const moment *at, bool in_order)
{
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE};
    emmap_file *counters;
    const emmap_error opened = emmap_counters_open(path, COUNTERS, &options, &counters);
    if (opened) {
        if (in_order || counters_synced)
            power_violation("counters can't be opened", opened, at->length);
        return;
    }
    int64_t most[COUNTERS];
    memcpy(most, settled_counts, sizeof most);
    for (uint64_t i = addition_first; i < at->model[0]; i++)
        most[additions[i - addition_first].counter]++;
    for (uint64_t i = 0; i < COUNTERS; i++) {
        int64_t value;
        require_ok(emmap_counter_get(counters, i, &value));
        if (value > most[i] || value < (in_order ? most[i] - 1 : settled_counts[i]))
            power_violation("a counter has a value that it never had since the sync", i, (uint64_t)value);
    }
    emmap_free(counters);
}

static void counters_settled(const moment *last)
{
    power_cut(samples, check_counters);
    for (uint64_t i = addition_first; i < last->model[1]; i++)
        settled_counts[additions[i - addition_first].counter]++;
    addition_first = last->model[1];
}

static void counters_rounds(size_t operations)
{
    const char *const path = path_of("counters");
    unlink(path);
    const emmap_options options = {.flags = QUEUE_RW};
    emmap_file *counters;
    require_ok(emmap_counters_open(path, COUNTERS, &options, &counters));
    power.unit = power_random(2) ? 4096 : 512;
    memset(counters_model, 0, sizeof counters_model);
    memset(settled_counts, 0, sizeof settled_counts);
    addition_first = 0;
    counters_synced = false;
    power_begin(path, counters_model, counters_settled);
    for (size_t i = 0; i < operations; i++) {
        if (i % 16 == 15) {
            require_ok(emmap_sync(counters));
            counters_synced = true;
        }
        const uint32_t counter = (uint32_t)power_random(COUNTERS);
        additions[counters_model[0]++ - addition_first].counter = counter;
        int64_t old;
        require_ok(emmap_counter_add(counters, counter, 1, &old));
        counters_model[1]++;
        power_record(NULL);
    }
    power_cut(samples, check_counters);
    power_end();
    emmap_free(counters);
}

/* ---- Cells ---- */

enum { CELL_DONE, CELL_STARTED };
enum { CELL_BYTES = 3000 };

static uint64_t
    cell_model[4]; /* the number of the value, after the last publish and after the one in progress */
static bool cell_synced;
static uint64_t cell_on_disk;

static uint64_t number_in_cell(emmap_file *cell, emmap_error *error)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    *error = emmap_cell_get(cell, &sink, NULL);
    longest_message = CELL_BYTES - 8;
    const uint64_t number = *error ? 0 : number_in(&got.list[0]);
    pieces_free(&got);
    return number;
}

static void check_cell(const char *path, const moment *at, bool in_order)
{
    emmap_file *cell;
    const emmap_error opened = emmap_cell_open(
        path, CELL_BYTES, &(emmap_options){.flags = ALONE & ~(uint32_t)EMMAP_OPEN_SHARED}, &cell);
    if (opened) {
        if (in_order || cell_synced)
            power_violation("a cell can't be opened", opened, at->length);
        return;
    }
    emmap_error error;
    const uint64_t number = number_in_cell(cell, &error);
    if (error && (in_order || cell_synced) && !(error == EMMAP_EOF && cell_on_disk == 0))
        power_violation("a cell has no value", error, cell_on_disk);
    else if (number > at->model[CELL_STARTED])
        power_violation("a cell's value is torn", number, at->model[CELL_STARTED]);
    else if (in_order && number != at->model[CELL_DONE] && number != at->model[CELL_STARTED])
        power_violation("a cell written out in order has an old value", number, at->model[CELL_DONE]);
    else if (cell_synced && number < cell_on_disk)
        power_violation("a synced value is lost", number, cell_on_disk);
    uint8_t bytes[16];
    fill_message(bytes, 3, sizeof bytes);
    if (emmap_cell_publish(cell, &(struct iovec){.iov_base = bytes, .iov_len = sizeof bytes}, 1) != EMMAP_OK)
        power_violation("a cell can't be published to", 0, 0);
    emmap_free(cell);
}

static void cell_settled(const moment *last)
{
    power_cut(samples, check_cell);
    cell_on_disk = last->model[CELL_DONE];
}

static void publish_next(emmap_file *cell)
{
    static uint8_t bytes[CELL_BYTES];
    const uint64_t number = ++cell_model[CELL_STARTED];
    longest_message = CELL_BYTES - 8;
    fill_message(bytes, number, length_of(number));
    require_ok(emmap_cell_publish(cell, &(struct iovec){.iov_base = bytes, .iov_len = length_of(number)}, 1));
    cell_model[CELL_DONE] = number;
    power_record(NULL);
}

static void cell_rounds(size_t operations)
{
    const char *const path = path_of("cell");
    emmap_file *cell;
    unlink(path);
    memset(cell_model, 0, sizeof cell_model);
    cell_on_disk = 0;
    cell_synced = false;
    power.unit = power_random(2) ? 4096 : 512;
    require_ok(emmap_cell_open(path, CELL_BYTES, NULL, &cell));
    power_begin(path, cell_model, cell_settled);
    for (size_t i = 0; i < operations; i++) {
        if (power_random(12) > 0) {
            publish_next(cell);
        } else {
            require_ok(emmap_sync(cell));
            cell_synced = true;
        }
    }
    power_cut(samples, check_cell);
    power_end();
    emmap_free(cell);
}

/* ---- Tables ---- */

enum { TABLE_KEYS = 20, TABLE_VALUES = 4096 };

static uint64_t
    table_model[4]; /* [0]: the last value that a change has begun to store; each is stored once */
static uint64_t table_done;
static bool table_synced;
static uint64_t table_floor;               /* the last value at the last sync */
static uint64_t table_on_disk[TABLE_KEYS]; /* the values then; 0: no such key */
static uint64_t table_now[TABLE_KEYS];
static unsigned table_owner[TABLE_VALUES]; /* of each value */
static uint64_t table_deleted[TABLE_KEYS]; /* the last value when the key was last deleted */

/* Every third key is longer than a unit has room for. */
static size_t table_key(char *key, unsigned number)
{
    return (size_t)sprintf(key, number % 3 ? "key %u" : "a key that is longer than a unit has room for: %u",
                           number);
}

static bool may_have(unsigned key, uint64_t value, const moment *at)
{
    if (value == table_on_disk[key] || !table_synced)
        return true;
    if (value == 0)
        return table_deleted[key] > table_floor || table_on_disk[key] == 0;
    return value > table_floor && value <= at->model[0] && table_owner[value] == key;
}

static void check_table(const char *path, const moment *at, bool in_order)
{
    emmap_file *table;
    /* As after a restart. */
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    require(fd >= 0 && pwrite(fd, "", 1, offsetof(table_header_t, boot)) == 1);
    close(fd);
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_EXCLUSIVE};
    const emmap_error opened = emmap_table_open(path, &(emmap_table_metadata){0}, &options, &table);
    if (opened) {
        if (in_order || table_synced)
            power_violation("a table can't be opened", opened, at->length);
        return;
    }
    char key[TABLE_KEY_MAX];
    for (unsigned number = 0; number < TABLE_KEYS; number++) {
        int64_t value = 0;
        const emmap_error error = emmap_table_get(table, key, table_key(key, number), 0, &value);
        if (error != EMMAP_OK && error != ENOENT)
            power_violation("a table can't be read", error, number);
        else if (!may_have(number, (uint64_t)value, at))
            power_violation("a key has a value that it never had after the sync", number, (uint64_t)value);
    }
    for (int i = 0; i < 2; i++)
        for (unsigned number = 0; number < TABLE_KEYS; number++)
            if (emmap_table_set(table, key, table_key(key, number), 0, 1, NULL) != EMMAP_OK ||
                emmap_table_delete(table, key, table_key(key, number)) != EMMAP_OK)
                power_violation("a key can't be changed after the cut", number, 0);
    uint64_t size = 1;
    if (emmap_table_size(table, &size) != EMMAP_OK || size != 0)
        power_violation("a table without keys has a size", size, 0);
    emmap_free(table);
}

static void table_settled(const moment *last)
{
    (void)last;
    power_cut(samples, check_table);
    table_floor = table_done;
    memcpy(table_on_disk, table_now, sizeof table_on_disk);
}

static void table_rounds(size_t operations)
{
    const char *const path = path_of("table");
    emmap_file *table;
    char key[TABLE_KEY_MAX];
    unlink(path);
    table_synced = false;
    table_done = table_floor = table_model[0] = 0;
    memset(table_on_disk, 0, sizeof table_on_disk);
    memset(table_now, 0, sizeof table_now);
    memset(table_deleted, 0, sizeof table_deleted);
    power.unit = power_random(2) ? 4096 : 512;
    require_ok(emmap_table_open(path, &(emmap_table_metadata){2 * TABLE_KEYS, 64, 2}, NULL, &table));
    power_begin(path, table_model, table_settled);
    for (size_t i = 0; i < operations; i++) {
        const unsigned number = (unsigned)power_random(TABLE_KEYS);
        const uint64_t value = ++table_model[0];
        const size_t length = table_key(key, number);
        if (power_random(15) == 0) {
            require_ok(emmap_sync(table));
            table_synced = true;
        } else if (table_now[number] && power_random(2)) {
            table_deleted[number] = value;
            require_ok(emmap_table_delete(table, key, length));
            table_now[number] = 0;
        } else {
            table_owner[value] = number;
            require_ok(emmap_table_set(table, key, length, 0, (int64_t)value, NULL));
            table_now[number] = value;
        }
        table_done = value;
        power_record(NULL);
    }
    power_cut(samples, check_table);
    power_end();
    emmap_free(table);
}

/* ---- Both forms ---- */

static void run_seeds(void (*rounds)(size_t), size_t operations, uint64_t seeds)
{
    power = (recorder){.random = 0};
    samples = 8;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        power.random = seed;
        rounds(operations);
    }
    print_message("%lu images of what a power cut leaves\n", (unsigned long)power.images);
    assert_true(power.images > 1000);
    assert_int_equal(power.violations, 0);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEEDS 1 /* the sanitizer takes three times as long */
#endif
#endif
#ifndef SEEDS
#define SEEDS 4
#endif

static void a_queue_keeps_what_was_synced(void **state)
{
    (void)state;
    run_seeds(queue_rounds, 120, SEEDS);
}

static void a_storage_keeps_what_was_synced(void **state)
{
    (void)state;
    run_seeds(blocks_rounds, 100, 1);
}

static void counters_keep_what_was_synced(void **state)
{
    (void)state;
    run_seeds(counters_rounds, 200, 1);
}

static void a_cell_keeps_what_was_synced(void **state)
{
    (void)state;
    run_seeds(cell_rounds, 60, 2 * SEEDS);
}

static void a_table_keeps_what_was_synced(void **state)
{
    (void)state;
    run_seeds(table_rounds, 80, SEEDS);
}

static int run_for(long seconds, uint64_t seed)
{
    void *state = NULL;
    require(folder_make(&state) == 0);
    const time_t end = time(NULL) + seconds;
    samples = 8;
    power.random = seed;
    do {
        queue_rounds(40);
        blocks_rounds(40);
        counters_rounds(60);
        cell_rounds(40);
        table_rounds(40);
    } while (time(NULL) < end && power.violations == 0);
    printf("{\"images\":%llu,\"violations\":%llu}\n", (unsigned long long)power.images,
           (unsigned long long)power.violations);
    folder_remove(&state);
    return power.violations == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_for(strtol(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
    const struct CMUnitTest tests[] = {
        folder_test(a_queue_keeps_what_was_synced), folder_test(a_storage_keeps_what_was_synced),
        folder_test(counters_keep_what_was_synced), folder_test(a_cell_keeps_what_was_synced),
        folder_test(a_table_keeps_what_was_synced),
    };
    return cmocka_run_group_tests_name("power loss", tests, NULL, NULL);
}
