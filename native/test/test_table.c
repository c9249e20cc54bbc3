/* Tables: words of keys, limits, walks, and what deaths and damage leave. */
#define _GNU_SOURCE
#include <stdatomic.h>

#include "deaths.h"
#include "platform.h"
#include "table.h"

enum { KEY_BYTES = 64 };

static emmap_file *open_table(uint64_t capacity, uint64_t key_bytes, uint64_t words)
{
    emmap_file *table;
    const emmap_table_metadata shape = {capacity, key_bytes, words};
    const emmap_error error = emmap_table_open(path_of("table"), &shape, NULL, &table);
    restore_fault_handler();
    require_ok(error);
    return table;
}

/* A key that carries a number. Every third one is longer than a unit has room for. */
static size_t key_for(char *key, uint64_t number)
{
    if (number % 3 != 0)
        return (size_t)snprintf(key, KEY_BYTES + 1, "key %llu", (unsigned long long)number);
    return (size_t)snprintf(key, KEY_BYTES + 1, "a long key, longer than a unit: %020llu",
                            (unsigned long long)number);
}

static int64_t add(emmap_file *table, uint64_t number, int64_t value)
{
    char key[KEY_BYTES + 1];
    int64_t old;
    require_ok(emmap_table_add(table, key, key_for(key, number), 0, value, &old));
    return old;
}

/* The word; -1: there is no such key. */
static int64_t get(emmap_file *table, uint64_t number)
{
    char key[KEY_BYTES + 1];
    int64_t value;
    const emmap_error error = emmap_table_get(table, key, key_for(key, number), 0, &value);
    if (error == ENOENT)
        return -1;
    require_ok(error);
    return value;
}

static emmap_error delete_key(emmap_file *table, uint64_t number)
{
    char key[KEY_BYTES + 1];
    return emmap_table_delete(table, key, key_for(key, number));
}

static uint64_t size_of(emmap_file *table)
{
    uint64_t size;
    require_ok(emmap_table_size(table, &size));
    return size;
}

/* Counts the entries of a walk, and checks each against a look-up. */
static uint64_t walk(emmap_file *table, uint64_t words)
{
    uint64_t place = 0, count, all = 0;
    for (;;) {
        pieces got = {0};
        const emmap_sink sink = sink_pieces(&got);
        const emmap_error error = emmap_table_walk(table, 7, &place, &sink, &count);
        if (error == EMMAP_EOF)
            return all;
        require_ok(error);
        require(got.count == count);
        for (size_t i = 0; i < got.count; i++) {
            const uint8_t *const bytes = got.list[i].iov_base;
            int64_t value, word;
            memcpy(&word, bytes, sizeof word);
            require_ok(emmap_table_get(table, bytes + 8 * words, got.list[i].iov_len - 8 * words, 0, &value));
            require(value == word);
        }
        all += got.count;
        pieces_free(&got);
    }
}

/* ---- Words ---- */

static void keys_have_words(void **state)
{
    (void)state;
    emmap_file *const table = open_table(1000, 0, 0);
    emmap_file *const other = open_table(0, 0, 0);
    for (uint64_t number = 0; number < 500; number++) {
        assert_int_equal(get(other, number), -1);
        assert_int_equal(add(table, number, (int64_t)number), 0);
        assert_int_equal(add(other, number, 1), number);
        assert_int_equal(get(table, number), number + 1);
        assert_int_equal(size_of(other), number + 1);
    }
    assert_int_equal(walk(table, 2), 500);
    for (uint64_t number = 0; number < 500; number += 2)
        assert_ok(delete_key(other, number));
    assert_int_equal(size_of(table), 250);
    assert_int_equal(walk(table, 2), 250);
    for (uint64_t number = 0; number < 500; number++) {
        assert_int_equal(get(table, number), number % 2 ? (int64_t)number + 1 : -1);
        assert_error(number % 2 ? EMMAP_OK : ENOENT, delete_key(table, number));
    }
    assert_int_equal(walk(table, 2), 0);
    close_file(other);
    close_file(table);
}

static void words_are_set_and_exchanged(void **state)
{
    (void)state;
    emmap_file *const table = open_table(10, 8, 3);
    int64_t old = 99;
    assert_error(ENOENT, emmap_table_get(table, "a", 1, 0, &old));
    assert_ok(emmap_table_compare_exchange(table, "a", 1, 1, 5, 6, &old));
    assert_int_equal(old, 0);
    assert_int_equal(size_of(table), 0);
    assert_ok(emmap_table_compare_exchange(table, "a", 1, 1, 0, 6, &old));
    assert_int_equal(size_of(table), 1);
    assert_ok(emmap_table_compare_exchange(table, "a", 1, 1, 6, 7, &old));
    assert_int_equal(old, 6);
    assert_ok(emmap_table_set(table, "a", 1, 2, -8, &old));
    assert_int_equal(old, 0);
    assert_ok(emmap_table_set(table, "b", 1, 2, 9, NULL));
    for (uint64_t word = 0; word < 3; word++) {
        assert_ok(emmap_table_get(table, "a", 1, word, &old));
        assert_true(old == (word == 0 ? 0 : word == 1 ? 7 : -8));
    }
    assert_error(EINVAL, emmap_table_get(table, "a", 1, 3, &old));
    assert_error(EINVAL, emmap_table_add(table, "", 0, 0, 1, &old));
    assert_error(EINVAL, emmap_table_add(table, "123456789", 9, 0, 1, &old));
    assert_ok(emmap_table_add(table, "12345678", 8, 0, 1, &old));
    emmap_table_place place;
    assert_error(ENOENT, emmap_table_find(table, "c", 1, false, &place));
    assert_ok(emmap_table_find(table, "c", 1, true, &place));
    assert_ok(emmap_patomic_add(table, place.position + 8, 5, &old));
    assert_ok(emmap_table_get(table, "c", 1, 0, &old));
    assert_int_equal(old, 5);
    close_file(table);
}

static void shapes_of_all_kinds_work(void **state)
{
    (void)state;
    const emmap_table_metadata shapes[] = {{1, 1, 1},      {7, 38, 2},    {7, 39, 2},
                                           {40, 1024, 64}, {40, 1024, 1}, {9, 200, 5}};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        unlink(path_of("table"));
        emmap_file *const table = open_table(shapes[i].capacity, shapes[i].key_bytes, shapes[i].words);
        emmap_table_metadata info;
        assert_ok(emmap_table_info(table, &info));
        assert_memory_equal(&info, &shapes[i], sizeof info);
        char key[1025];
        memset(key, 'k', sizeof key);
        uint64_t keys = 0;
        for (size_t length = 1; length <= shapes[i].key_bytes; length += 1 + length / 9) {
            key[0] = (char)length;
            const emmap_error error =
                emmap_table_set(table, key, length, shapes[i].words - 1, (int64_t)length, NULL);
            if (error == EMMAP_FULL)
                break;
            assert_ok(error);
            keys++;
            int64_t value;
            assert_ok(emmap_table_get(table, key, length, shapes[i].words - 1, &value));
            assert_int_equal(value, length);
        }
        assert_true(keys > 0);
        assert_int_equal(walk(table, shapes[i].words), keys);
        assert_int_equal(size_of(table), keys);
        close_file(table);
    }
}

static void a_full_table_says_so_and_goes_on(void **state)
{
    (void)state;
    emmap_file *const table = open_table(100, 20, 2);
    char key[21];
    int64_t old;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++)
            assert_ok(emmap_table_add(table, key, (size_t)sprintf(key, "%d of %d", i, round), 0, 1, &old));
        assert_error(EMMAP_FULL, emmap_table_add(table, "one more", 8, 0, 1, &old));
        assert_ok(emmap_table_add(table, key, strlen(key), 0, 1, &old));
        assert_int_equal(old, 1);
        for (int i = 0; i < 100; i++)
            assert_ok(emmap_table_delete(table, key, (size_t)sprintf(key, "%d of %d", i, round)));
    }
    assert_int_equal(size_of(table), 0);
    close_file(table);
}

static void a_table_is_opened_as_what_it_is(void **state)
{
    (void)state;
    const char *const path = path_of("table");
    emmap_file *file;
    assert_error(EINVAL, emmap_table_open(path, &(emmap_table_metadata){0}, NULL, &file));
    assert_false(exists(path));
    const emmap_table_metadata wrong[] = {{1, 1025, 1}, {1, 1, 65}, {(uint64_t)1 << 32, 1, 1}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_error(EINVAL, emmap_table_open(path, &wrong[i], NULL, &file));
    close_file(open_table(10, 20, 1));
    close_file(open_table(0, 0, 0));
    const emmap_table_metadata other[] = {{11, 20, 1}, {10, 21, 1}, {10, 20, 2}, {0, 21, 0}, {0, 0, 2}};
    for (size_t i = 0; i < COUNT_OF(other); i++)
        assert_error(EINVAL, emmap_table_open(path, &other[i], NULL, &file));
    assert_ok(emmap_table_open(path, &(emmap_table_metadata){0}, &(emmap_options){.flags = EMMAP_OPEN_READ},
                               &file));
    int64_t old;
    emmap_table_place place;
    assert_error(EACCES, emmap_table_add(file, "a", 1, 0, 1, &old));
    assert_error(EACCES, emmap_table_find(file, "a", 1, true, &place));
    assert_error(EACCES, emmap_table_delete(file, "a", 1));
    assert_error(ENOENT, emmap_table_get(file, "a", 1, 0, &old));
    close_file(file);
    const uint8_t text[5000] = "no table at all";
    put_file(path, text, sizeof text);
    assert_error(EMMAP_CORRUPT, emmap_table_open(path, &(emmap_table_metadata){10, 20, 1}, NULL, &file));
    assert_file(path, text, sizeof text);
}

static void a_copy_has_all_keys(void **state)
{
    (void)state;
    emmap_file *const table = open_table(1000, 0, 0);
    emmap_file *reader, *copy;
    for (uint64_t number = 0; number < 300; number++)
        add(table, number, (int64_t)number);
    assert_ok(emmap_backup(table, path_of("copy")));
    assert_ok(emmap_table_open(path_of("table"), &(emmap_table_metadata){0},
                               &(emmap_options){.flags = EMMAP_OPEN_READ}, &reader));
    assert_ok(emmap_backup(reader, path_of("reader's copy")));
    const char *const names[] = {"copy", "reader's copy"};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(emmap_table_open(path_of(names[i]), &(emmap_table_metadata){0}, NULL, &copy));
        assert_int_equal(walk(copy, 2), 300);
        for (uint64_t number = 0; number < 300; number++)
            assert_int_equal(add(copy, number, 1), number);
        close_file(copy);
    }
    close_file(reader);
    close_file(table);
}

/* ---- Limits ---- */

static emmap_table_hit_result hit_with(emmap_file *table, const char *key, emmap_table_limit limit)
{
    emmap_table_hit_result result;
    require_ok(emmap_table_hit(table, key, strlen(key), &limit, &result));
    return result;
}

/* Sets the clock to `ms` after the beginning of a window of 1000 s. */
static void set_clock(int64_t ms)
{
    struct timespec now;
#ifdef CLOCK_REALTIME_COARSE
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
#else
    clock_gettime(CLOCK_REALTIME, &now);
#endif
    emi_table_clock_shift =
        (int64_t)2000000000000 + ms - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static void a_limit_holds_in_its_window(void **state)
{
    (void)state;
    emmap_file *const table = open_table(100, 20, 2);
    const emmap_table_limit limit = {.limit = 5, .window_ms = 1000000, .cost = 1};
    set_clock(1000);
    for (uint64_t used = 1; used <= 8; used++) {
        const emmap_table_hit_result result = hit_with(table, "ann", limit);
        assert_int_equal(result.allowed, used <= 5);
        assert_int_equal(result.used, used < 5 ? used : 5);
        assert_int_equal(result.remaining, used < 5 ? 5 - used : 0);
        assert_in_range(result.reset_ms, 998000, 999000);
    }
    assert_true(hit_with(table, "bob", limit).allowed);
    assert_int_equal(hit_with(table, "bob", (emmap_table_limit){5, 1000000, 4, 0}).used, 5);
    assert_false(hit_with(table, "carl", (emmap_table_limit){5, 1000000, 6, 0}).allowed);
    assert_int_equal(size_of(table), 2);
    assert_int_equal(hit_with(table, "bob", (emmap_table_limit){5, 1000000, -2, 0}).used, 3);
    assert_int_equal(hit_with(table, "bob", (emmap_table_limit){5, 1000000, -9, 0}).used, 0);
    assert_int_equal(hit_with(table, "dora", (emmap_table_limit){5, 1000000, -1, 0}).used, 0);
    assert_int_equal(size_of(table), 2);
    assert_int_equal(hit_with(table, "carl", (emmap_table_limit){5, 1000000, 0, 0}).used, 0);
    set_clock(1000001);
    assert_int_equal(hit_with(table, "ann", limit).used, 1);
    /* The clock is set back, and forward. */
    set_clock(-5000000);
    assert_int_equal(hit_with(table, "ann", limit).used, 1);
    set_clock(65536 * (int64_t)1000000 - 4000000);
    assert_int_equal(hit_with(table, "ann", limit).used, 1);
    emi_table_clock_shift = 0;
    close_file(table);
}

static emmap_file *hit_table;
static int64_t hit_at; /* the clock while another hit is between its two stores; 0: no more */

static void hit_meanwhile(const char *name)
{
    if (hit_at == 0 || strcmp(name, "table_hit_expiry") != 0)
        return;
    set_clock(hit_at);
    hit_at = 0;
    hit_with(hit_table, "ann", (emmap_table_limit){.limit = 9, .window_ms = 1000000, .cost = 1});
}

static void a_late_hit_does_not_begin_an_earlier_window_again(void **state)
{
    (void)state;
    const emmap_table_limit limit = {.limit = 9, .window_ms = 1000000, .cost = 1};
    hit_table = open_table(100, 20, 2);
    pause_hook = hit_meanwhile;
    for (int64_t window = 0; window < 4; window++) {
        set_clock(window * 1000000 + 999000);
        assert_int_equal(hit_with(hit_table, "ann", limit).used, window == 0 ? 1 : 3);
        /* One hit in the window after it, while this one is late. */
        hit_at = (window + 1) * 1000000 + 1000;
        assert_int_equal(hit_with(hit_table, "ann", limit).used, 2);
    }
    pause_hook = NULL;
    emi_table_clock_shift = 0;
    close_file(hit_table);
}

static void a_sliding_limit_weighs_the_window_before(void **state)
{
    (void)state;
    emmap_file *const table = open_table(100, 20, 2);
    const emmap_table_limit limit = {100, 1000000, 1, EMMAP_TABLE_SLIDING};
    set_clock(500000);
    for (int i = 0; i < 80; i++)
        hit_with(table, "ann", limit);
    set_clock(1000100);
    assert_in_range(hit_with(table, "ann", limit).used, 80, 81);
    set_clock(1500000);
    assert_in_range(hit_with(table, "ann", limit).used, 41, 42);
    set_clock(1999900);
    assert_in_range(hit_with(table, "ann", limit).used, 3, 3);
    set_clock(3000100);
    assert_int_equal(hit_with(table, "ann", limit).used, 1);
    emi_table_clock_shift = 0;
    close_file(table);
}

static void sliding_and_other_hits_of_a_key_count_together(void **state)
{
    (void)state;
    emmap_file *const table = open_table(100, 20, 2);
    const emmap_table_limit fixed = {.limit = 10, .window_ms = 1000000, .cost = 1};
    emmap_table_limit sliding = fixed;
    sliding.flags = EMMAP_TABLE_SLIDING;
    set_clock(999000);
    for (uint64_t used = 1; used <= 15; used++)
        assert_int_equal(hit_with(table, "ann", used % 2 ? sliding : fixed).used, used < 10 ? used : 10);
    /* The sliding ones weigh the window before, and the others do not. */
    set_clock(1000100);
    assert_int_equal(hit_with(table, "ann", fixed).used, 1);
    assert_false(hit_with(table, "ann", sliding).allowed);
    set_clock(1500000);
    assert_in_range(hit_with(table, "ann", sliding).used, 6, 7);
    assert_int_equal(hit_with(table, "ann", fixed).used, 3);
    set_clock(3000100);
    assert_int_equal(hit_with(table, "ann", fixed).used, 1);
    emi_table_clock_shift = 0;
    close_file(table);
}

static void expired_entries_give_their_place(void **state)
{
    (void)state;
    emmap_file *const table = open_table(100, 20, 2);
    const emmap_table_limit limit = {.limit = 5, .window_ms = 1000000, .cost = 1};
    emmap_table_hit_result result;
    char key[21];
    assert_ok(emmap_table_set(table, "a counter", 9, 1, 1, NULL));
    for (int64_t round = 0; round < 20; round++) {
        set_clock(round * 1000000 + 10);
        for (int i = 0; i < 99; i++) {
            sprintf(key, "%d of %d", i, (int)round);
            assert_int_equal(hit_with(table, key, limit).used, 1);
        }
        assert_int_equal(size_of(table), 100);
        assert_error(EMMAP_FULL, emmap_table_hit(table, "one more", 8, &limit, &result));
    }
    emmap_table_limit evicting = limit;
    evicting.flags = EMMAP_TABLE_EVICT;
    for (int i = 0; i < 500; i++) {
        sprintf(key, "new %d", i);
        assert_true(hit_with(table, key, evicting).allowed);
    }
    assert_int_equal(size_of(table), 100);
    /* Every operation takes the place of what has expired. */
    set_clock((int64_t)21 * 1000000 + 10);
    for (int i = 0; i < 50; i++) {
        sprintf(key, "counter %d", i);
        assert_ok(emmap_table_add(table, key, strlen(key), 0, 1, NULL));
    }
    int64_t value;
    assert_ok(emmap_table_get(table, "a counter", 9, 1, &value));
    assert_int_equal(value, 1);
    assert_error(EINVAL, emmap_table_hit(table, "a", 1, &(emmap_table_limit){1 << 24, 1, 1, 0}, &result));
    assert_error(EINVAL, emmap_table_hit(table, "a", 1, &(emmap_table_limit){1, 0, 1, 0}, &result));
    emi_table_clock_shift = 0;
    close_file(table);
}

/* ---- Many processes ---- */

enum { PROCESSES = 4, KEYS = 50, EACH = 30000 };

/* Shared between the processes: what each has done. */
typedef struct tally {
    _Atomic int64_t added[KEYS];
    _Atomic int64_t taken[KEYS];
    _Atomic int64_t allowed;
    _Atomic int64_t last[KEYS];
} tally;

static void hammer(void *context)
{
    tally *const all = context;
    emmap_file *const table = open_table(200, KEY_BYTES, 2);
    unsigned random = (unsigned)getpid();
    emmap_table_hit_result result;
    const emmap_table_limit limit = {.limit = 1000, .window_ms = (uint64_t)1 << 39, .cost = 1};
    for (int i = 0; i < EACH; i++) {
        const uint64_t number = (unsigned)rand_r(&random) % KEYS;
        char key[KEY_BYTES + 1];
        const size_t length = key_for(key, number);
        int64_t old;
        switch (rand_r(&random) % 10) {
        case 0:
            require_ok(emmap_table_hit(table, "the limit", 9, &limit, &result));
            atomic_fetch_add(&all->allowed, result.allowed);
            break;
        case 1: {
            /* Other keys come and go. */
            char own[KEY_BYTES + 1];
            const size_t own_length = key_for(own, 1000 + (uint64_t)getpid() % 1000 * 3 + number % 3);
            require_ok(emmap_table_add(table, own, own_length, 0, 1, &old));
            require(old == 0);
            require_ok(emmap_table_delete(table, own, own_length));
            break;
        }
        case 2:
            /* Takes what the key has, and deletes nothing that is not 0. */
            require_ok(emmap_table_set(table, key, length, 0, 0, &old));
            atomic_fetch_add(&all->taken[number], old);
            break;
        default:
            require_ok(emmap_table_add(table, key, length, 0, 1, &old));
            atomic_fetch_add(&all->added[number], 1);
            break;
        }
    }
    emmap_free(table);
}

static void every_addition_counts_among_four_processes(void **state)
{
    (void)state;
    tally *const all = shared_memory(sizeof *all);
    close_file(open_table(200, KEY_BYTES, 2));
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++)
        children[i] = start_child(hammer, all);
    for (size_t i = 0; i < PROCESSES; i++)
        assert_int_equal(wait_child(children[i]), 0);
    emmap_file *const table = open_table(200, KEY_BYTES, 2);
    for (uint64_t number = 0; number < KEYS; number++)
        assert_int_equal(get(table, number) + all->taken[number], all->added[number]);
    assert_int_equal(all->allowed, 1000);
    assert_int_equal(walk(table, 2), KEYS + 1);
    assert_int_equal(size_of(table), KEYS + 1);
    close_file(table);
}

/* Deletes and inserts the same keys all the time. An addition is in the entry that it found, or in one that came later. */
static void churn(void *context)
{
    (void)context;
    emmap_file *const table = open_table(200, KEY_BYTES, 2);
    for (int i = 0; i < EACH; i++) {
        const uint64_t number = (uint64_t)i % 6;
        if (i % 2)
            delete_key(table, number);
        else
            add(table, number, 1);
        require(get(table, 6) == 7 && get(table, 7) == 8);
    }
    emmap_free(table);
}

static void look_ups_are_right_while_others_delete(void **state)
{
    (void)state;
    emmap_file *table = open_table(200, KEY_BYTES, 2);
    add(table, 6, 7);
    add(table, 7, 8);
    close_file(table);
    pid_t children[3];
    for (size_t i = 0; i < 3; i++)
        children[i] = start_child(churn, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(wait_child(children[i]), 0);
    table = open_table(200, KEY_BYTES, 2);
    assert_int_equal(walk(table, 2), size_of(table));
    close_file(table);
}

/* ---- Deaths ---- */

#define NAME(point) #point,
static const char *const points[] = {TABLE_PAUSE_POINTS(NAME)};

enum { STEPS = 14 };
static const struct {
    char what;
    uint64_t number;
} script[STEPS] = {{'o', 0}, {'a', 1}, {'a', 2}, {'a', 3}, {'a', 1}, {'d', 2}, {'h', 4},
                   {'h', 4}, {'a', 6}, {'d', 3}, {'d', 1}, {'a', 9}, {'d', 6}, {'a', 3}};

static void run_script(void *context)
{
    (void)context;
    emmap_file *table = NULL;
    char key[KEY_BYTES + 1];
    for (size_t i = 0; i < STEPS; i++) {
        deaths->started = i + 1;
        const size_t length = key_for(key, script[i].number);
        emmap_table_hit_result result;
        const emmap_table_limit limit = {.limit = 10, .window_ms = (uint64_t)1 << 39, .cost = 1};
        if (script[i].what == 'o')
            table = open_table(6, KEY_BYTES, 2);
        else if (script[i].what == 'a')
            add(table, script[i].number, 1);
        else if (script[i].what == 'd')
            require_ok(delete_key(table, script[i].number));
        else
            require_ok(emmap_table_hit(table, key, length, &limit, &result));
        deaths->done = i + 1;
    }
    emmap_free(table);
}

/* What a key holds after so many steps; -1: nothing. Hits are counted like additions. */
static int64_t model(uint64_t steps, uint64_t number)
{
    int64_t value = -1;
    for (uint64_t i = 1; i < steps; i++)
        if (script[i].number == number)
            value = script[i].what == 'd' ? -1 : value < 0 ? 1 : value + 1;
    return value;
}

static bool is_as_after(emmap_file *table, uint64_t steps)
{
    uint64_t keys = 0;
    for (uint64_t number = 1; number < 10; number++) {
        const int64_t value = get(table, number);
        /* A hit's word has the number of its window too. */
        if ((number == 4 && value >= 0 ? value & 0xffffff : value) != model(steps, number))
            return false;
        keys += value >= 0;
    }
    return walk(table, 2) == keys && size_of(table) == keys;
}

static void check_after_death(emmap_file *table)
{
    assert_true(is_as_after(table, deaths->done) || is_as_after(table, deaths->started));
    for (uint64_t number = 1; number < 10; number++)
        delete_key(table, number);
    assert_int_equal(size_of(table), 0);
    for (int round = 0; round < 40; round++) {
        for (uint64_t number = 1; number < 7; number++)
            if (number % 3)
                assert_int_equal(add(table, number, 1), 0);
        assert_int_equal(add(table, 12, 5), 0);
        assert_int_equal(walk(table, 2), 5);
        for (uint64_t number = 1; number < 7; number++)
            if (number % 3)
                assert_ok(delete_key(table, number));
        assert_ok(delete_key(table, 12));
    }
}

/* The first change after a death. */
static void recover(void *context)
{
    (void)context;
    emmap_file *const table = open_table(6, KEY_BYTES, 2);
    delete_key(table, 8);
    emmap_free(table);
}

/* A system that does not tell its runs apart repairs with each first open. */
static void die_outside_of_repair(const char *name)
{
    if (!begins_with(name, "table_repair"))
        count_or_die(name);
}

static void prepare(void)
{
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    counted = die_outside_of_repair;
}

static void a_table_survives_death_at_every_store(void **state)
{
    (void)state;
    prepare();
    for (uint64_t target = 1;; target++) {
        unlink(path_of("table"));
        deaths->started = deaths->done = 0;
        if (!dies_at(target, run_script, NULL))
            break;
        for (uint64_t again = 1; dies_at(again, recover, NULL); again++)
            ;
        emmap_file *const table = open_table(6, KEY_BYTES, 2);
        check_after_death(table);
        close_file(table);
    }
    assert_int_equal(deaths->done, STEPS);
    /* Without a name of the boot, a repair comes before an undo. */
    static const uint8_t unknown[16];
    uint8_t boot[16];
    emi_platform_boot(boot);
    if (memcmp(boot, unknown, sizeof boot) != 0)
        assert_all_points_hit();
}

static void an_open_handle_goes_on_after_a_death(void **state)
{
    (void)state;
    prepare();
    for (uint64_t target = 1;; target++) {
        unlink(path_of("table"));
        emmap_file *const table = open_table(6, KEY_BYTES, 2);
        deaths->started = deaths->done = 0;
        const bool died = dies_at(target, run_script, NULL);
        delete_key(table, 8);
        check_after_death(table);
        close_file(table);
        if (!died)
            break;
    }
}

/* ---- Repair ---- */

#define REPAIR_NAME(point) #point,
static const char *const repair_points[] = {TABLE_REPAIR_PAUSE_POINTS(REPAIR_NAME)};

static void open_and_close(void *context)
{
    (void)context;
    emmap_free(open_table(0, 0, 0));
}

/* As after a restart of the system: buckets, links and header are of any moment. */
static void everything_follows_from_the_entries(void **state)
{
    (void)state;
    emmap_file *table = open_table(1000, 0, 0);
    for (uint64_t number = 0; number < 400; number++)
        add(table, number, (int64_t)number);
    for (uint64_t number = 0; number < 400; number += 3)
        assert_ok(delete_key(table, number));
    const table_shape_t shape = ((const table_t *)table->container)->shape;
    close_file(table);
    size_t length;
    uint8_t *const file = get_file(path_of("table"), &length);
    table_header_t *const header = (table_header_t *)(void *)file;
    memset(header->boot, 1, sizeof header->boot);
    memset(file + TABLE_HEADER, 0x55, 4 * (size_t)shape.buckets);
    header->journal.step = 77;
    header->free_first = header->free_last = 5;
    header->used = 3;
    header->size = 3;
    for (uint32_t number = 1; number <= shape.units; number++)
        table_unit(&shape, file, number)->next = number;
    deaths = shared_memory(sizeof *deaths);
    point_names = repair_points;
    point_count = COUNT_OF(repair_points);
    counted = count_or_die;
    put_file(path_of("table"), file, length);
    for (uint64_t target = 1; dies_at(target, open_and_close, NULL); target++)
        ;
    assert_all_points_hit();
    table = open_table(0, 0, 0);
    assert_int_equal(walk(table, 2), 266);
    assert_int_equal(size_of(table), 266);
    for (uint64_t number = 0; number < 400; number++)
        assert_int_equal(get(table, number), number % 3 ? (int64_t)number : -1);
    for (uint64_t number = 1000; number < 1300; number++)
        add(table, number, 1);
    assert_int_equal(walk(table, 2), 566);
    close_file(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(keys_have_words),
        folder_test(words_are_set_and_exchanged),
        folder_test(shapes_of_all_kinds_work),
        folder_test(a_full_table_says_so_and_goes_on),
        folder_test(a_table_is_opened_as_what_it_is),
        folder_test(a_copy_has_all_keys),
        folder_test(a_limit_holds_in_its_window),
        folder_test(a_late_hit_does_not_begin_an_earlier_window_again),
        folder_test(a_sliding_limit_weighs_the_window_before),
        folder_test(sliding_and_other_hits_of_a_key_count_together),
        folder_test(expired_entries_give_their_place),
        folder_test(every_addition_counts_among_four_processes),
        folder_test(look_ups_are_right_while_others_delete),
        folder_test(a_table_survives_death_at_every_store),
        folder_test(an_open_handle_goes_on_after_a_death),
        folder_test(everything_follows_from_the_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
