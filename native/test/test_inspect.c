/* Looking at files from outside: the facts of each kind, of writers and of damage; and that nothing changes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "live.h"
#include "platform.h"
#include "structures.h"
#include "table.h"
#include "taken_layout.h"

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static emmap_inspection *inspect(const char *path, emmap_effort effort)
{
    emmap_inspection *found;
    assert_ok(emmap_inspect(path, effort, &found));
    restore_fault_handler();
    return found;
}

static const emmap_fact *fact(const emmap_facts *facts, const char *name)
{
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->fact[i].name, name) == 0)
            return &facts->fact[i];
    return NULL;
}

static void assert_number(const emmap_facts *facts, const char *name, uint64_t number)
{
    const emmap_fact *const found = fact(facts, name);
    assert_non_null(found);
    assert_int_equal(found->number, number);
}

static void assert_text(const emmap_facts *facts, const char *name, const char *text)
{
    const emmap_fact *const found = fact(facts, name);
    assert_non_null(found);
    assert_string_equal(found->text, text);
}

static void assert_kind(const char *path, const char *kind)
{
    emmap_inspection *const found = inspect(path, EMMAP_COUNT);
    assert_text(&found->file, "kind", kind);
    emmap_inspection_free(found);
}

static void assert_damaged(const char *path, uint64_t offset)
{
    emmap_inspection *const found = inspect(path, EMMAP_CHECK);
    assert_non_null(fact(&found->file, "damage"));
    assert_number(&found->file, "damage_offset", offset);
    emmap_inspection_free(found);
}

static void assert_sound(const char *path)
{
    emmap_inspection *const found = inspect(path, EMMAP_CHECK);
    assert_null(fact(&found->file, "damage"));
    emmap_inspection_free(found);
}

static void put_at(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    FILE *const file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static emmap_file *open_it(void)
{
    return open_queue(path_of("queue"), QUEUE_RW, 4096);
}

static emmap_file *open_cell(void)
{
    emmap_file *cell;
    assert_ok(emmap_cell_open(path_of("cell"), 100, NULL, &cell));
    return cell;
}

static emmap_file *open_table(const char *name)
{
    emmap_file *table;
    assert_ok(emmap_table_open(path_of(name), &(emmap_table_metadata){.capacity = 100}, NULL, &table));
    return table;
}

static void add_key(emmap_file *table, const char *key)
{
    assert_ok(emmap_table_add(table, key, strlen(key), 0, 1, NULL));
}

/* ---- Kinds ---- */

static void a_file_is_known_by_its_bytes(void **state)
{
    (void)state;
    put_file(path_of("text"), "hello", 5);
    put_file(path_of("empty"), "", 0);
    put_file(path_of("zeros"), (const uint8_t[4096]){0}, 4096);
    /* A plain file whose first words are numbers. */
    put_file(path_of("words"), (const uint8_t[4096]){42}, 4096);
    put_file(path_of("program"), "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0\1", 21);
    for (size_t i = 0; i < 5; i++)
        assert_kind(path_of((const char *const[]){"text", "empty", "zeros", "words", "program"}[i]), "plain");
    assert_kind(fixture("counters.bin"), "counters");
    assert_kind(fixture("queue.bin"), "queue");
    assert_kind(fixture("queue-torn.bin"), "queue");
    assert_kind(fixture("queue-popped.bin"), "queue");
    assert_kind(fixture("blocks.bin"), "blocks");
    assert_kind(fixture("blocks-deep.bin"), "blocks");
    close_file(open_blocks(path_of("new"), QUEUE_RW, 4096, 42, 2));
    assert_kind(path_of("new"), "blocks");
    close_file(open_cell());
    assert_kind(path_of("cell"), "cell");
    emmap_file *table = open_table("table");
    assert_kind(path_of("table"), "table");
    add_key(table, "ann");
    close_file(table);
    assert_kind(path_of("table"), "table");
    table = open_table("metrics");
    add_key(table, "\1requests_total\x1f"
                   "counter\x1f\x1f");
    close_file(table);
    assert_kind(path_of("metrics"), "metrics");
    emmap_inspection *found;
    assert_error(ENOENT, emmap_inspect(path_of("none"), EMMAP_BRIEF, &found));
    assert_null(found);
    assert_error(EISDIR, emmap_inspect("/", EMMAP_BRIEF, &found));
    assert_error(ENODEV, emmap_inspect("/dev/null", EMMAP_BRIEF, &found));
}

static void efforts_differ(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_ok(push_number(file, 1, 8));
    assert_ok(push_number(file, 2, 8));
    /* The count that a handle has noted in the live folder. */
    assert_int_equal(queue_length_of(file), 2);
    emmap_inspection *found = inspect(path_of("queue"), EMMAP_BRIEF);
    if (file->descriptor->live)
        assert_number(&found->file, "length", 2);
    emmap_inspection_free(found);
    close_file(file);
    found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_null(fact(&found->file, "length"));
    emmap_inspection_free(found);
    found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_number(&found->file, "length", 2);
    assert_text(&found->file, "sharing", "none");
    assert_int_equal(found->writers, 0);
    emmap_inspection_free(found);
    emmap_effort effort;
    assert_true(emmap_effort_named("check", &effort));
    assert_int_equal(effort, EMMAP_CHECK);
    assert_false(emmap_effort_named("all", &effort));
}

static void cells_tell_their_version(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell();
    emmap_inspection *found = inspect(path_of("cell"), EMMAP_BRIEF);
    assert_number(&found->file, "max_bytes", 100);
    assert_number(&found->file, "version", 0);
    assert_number(&found->file, "synced", 0);
    assert_null(fact(&found->file, "value_bytes"));
    emmap_inspection_free(found);
    assert_ok(emmap_cell_publish(cell, &(struct iovec){.iov_base = (char[]){"flags"}, .iov_len = 5}, 1));
    assert_ok(emmap_sync(cell));
    found = inspect(path_of("cell"), EMMAP_CHECK);
    assert_number(&found->file, "version", 1);
    assert_number(&found->file, "value_bytes", 5);
    assert_number(&found->file, "synced", 1);
    assert_null(fact(&found->file, "damage"));
    emmap_inspection_free(found);
    close_file(cell);
}

static void tables_tell_their_keys(void **state)
{
    (void)state;
    emmap_file *const table = open_table("table");
    add_key(table, "ann");
    add_key(table, "bob");
    emmap_inspection *const found = inspect(path_of("table"), EMMAP_BRIEF);
    assert_number(&found->file, "capacity", 100);
    assert_number(&found->file, "keys", 2);
    assert_number(&found->file, "key_bytes", 64);
    assert_number(&found->file, "words", 2);
    assert_number(&found->file, "unfinished", 0);
    emmap_inspection_free(found);
    close_file(table);
}

static void a_queue_that_was_cut_is_a_damaged_queue(void **state)
{
    (void)state;
    static const off_t lengths[] = {524288, 4095, 16};
    emmap_file *queue;
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED,
                                   .size = 1 << 20};
    assert_ok(emmap_queue_open(path_of("cut"), &options, &queue));
    for (uint64_t i = 0; i < 50; i++)
        assert_ok(push_number(queue, i, 8));
    close_file(queue);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        assert_int_equal(truncate(path_of("cut"), lengths[i]), 0);
        emmap_inspection *const found = inspect(path_of("cut"), EMMAP_CHECK);
        assert_text(&found->file, "kind", "queue");
        assert_number(&found->file, "damage_offset", 0);
        emmap_inspection_free(found);
    }
    assert_int_equal(truncate(path_of("cut"), 15), 0);
    emmap_inspection *const found = inspect(path_of("cut"), EMMAP_CHECK);
    assert_text(&found->file, "kind", "plain");
    emmap_inspection_free(found);
}

/* Takes two messages and releases one. */
static void messages_in_hand_are_counted(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    emmap_inspection *found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_null(fact(&found->file, "in_hand"));
    emmap_inspection_free(found);
    emmap_delivery deliveries[2];
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    for (uint64_t i = 0; i < 2; i++) {
        assert_ok(push_number(file, i, 8));
        assert_ok(emmap_queue_take(file, 0, &sink, &deliveries[i]));
        bytes_free(&got);
    }
    assert_ok(emmap_queue_release(file, deliveries[0].ticket, 0));
    found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_number(&found->file, "in_hand", 1);
    assert_number(&found->file, "released", 1);
    assert_number(&found->file, "due", 0);
    if (file->descriptor->live)
        assert_number(&found->writer[0], "in_hand", 1);
    emmap_inspection_free(found);
    close_file(file);
}

/* ---- Writers ---- */

static void the_ways_of_sharing(void **state)
{
    (void)state;
    const emmap_options shared = {.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED};
    emmap_file *counters;
    assert_ok(emmap_counters_open(path_of("counters"), 4, &shared, &counters));
    emmap_inspection *found = inspect(path_of("counters"), EMMAP_BRIEF);
    assert_text(&found->file, "sharing", "shared");
    assert_number(&found->file, "counters", 4);
    emmap_inspection_free(found);
    close_file(counters);

    emmap_file *file = open_queue(path_of("queue"), QUEUE_RW | EMMAP_OPEN_EXCLUSIVE, 4096);
    found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_text(&found->file, "sharing", "exclusive");
    emmap_inspection_free(found);
    close_file(file);

    emi_live_enable(false);
    file = open_it();
    found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_text(&found->file, "sharing", "kernel");
    assert_text(&found->file, "lock", "free");
    emmap_inspection_free(found);
    close_file(file);
    emi_live_enable(true);

    file = open_it();
    emmap_file *const other = open_it();
    assert_ok(push_number(other, 1, 8));
    assert_int_equal(symlink(path_of("queue"), path_of("link")), 0);
    found = inspect(path_of("link"), EMMAP_BRIEF);
    assert_text(&found->file, "sharing", "live");
    assert_text(&found->file, "lock", "free");
    assert_int_equal(found->writers, 2);
    assert_number(&found->writer[0], "process", (uint64_t)getpid());
    assert_number(&found->writer[0], "pushed", 0);
    assert_number(&found->writer[1], "pushed", 1);
    assert_text(&found->writer[1], "program", emi_platform_program());
    emmap_inspection_free(found);
    close_file(file);
    close_file(other);
}

static void all_slots_are_found(void **state)
{
    (void)state;
    enum { HANDLES = 70 };
    static emmap_file *files[HANDLES];
    for (size_t i = 0; i < HANDLES; i++)
        files[i] = open_it();
    for (size_t i = 0; i < HANDLES; i += 3)
        close_file(files[i]);
    emmap_inspection *const found = inspect(path_of("queue"), EMMAP_BRIEF);
    assert_int_equal(found->writers, HANDLES - (HANDLES + 2) / 3);
    emmap_inspection_free(found);
    for (size_t i = 0; i < HANDLES; i++)
        if (i % 3 != 0)
            close_file(files[i]);
}

static int *stopped;

static void stop_here(const char *name)
{
    if (strcmp(name, "queue_push_copied") != 0)
        return;
    __atomic_store_n(stopped, 1, __ATOMIC_RELEASE);
    for (;;)
        rest();
}

static void push_and_stop(void *context)
{
    (void)context;
    emmap_file *const file = open_it();
    pause_hook = stop_here;
    push_number(file, 99, 8);
}

static void the_owner_of_the_lock(void **state)
{
    (void)state;
    stopped = shared_memory(4096);
    emmap_file *const file = open_it();
    const pid_t holder = start_child(push_and_stop, NULL);
    while (!__atomic_load_n(stopped, __ATOMIC_ACQUIRE))
        rest();
    assert_int_equal(kill(holder, SIGSTOP), 0);
    emmap_inspection *found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_text(&found->file, "lock", "held");
    assert_int_equal(found->writers, 2);
    for (size_t i = 0; i < found->writers; i++)
        assert_number(&found->writer[i], "has_lock",
                      fact(&found->writer[i], "process")->number == (uint64_t)holder);
    emmap_inspection_free(found);
    kill(holder, SIGKILL);
    wait_child(holder);
    found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_text(&found->file, "lock", "abandoned");
    assert_int_equal(found->writers, 1);
    emmap_inspection_free(found);
    assert_ok(push_number(file, 1, 8));
    found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_text(&found->file, "lock", "free");
    emmap_inspection_free(found);
    close_file(file);
}

static void ignore(void *context, emmap_error result)
{
    (void)context, (void)result;
}

static uint64_t waiters(void)
{
    emmap_inspection *const found = inspect(path_of("queue"), EMMAP_BRIEF);
    const uint64_t number = fact(&found->file, "waiters")->number;
    emmap_inspection_free(found);
    return number;
}

static void wait_until_killed(void *context)
{
    (void)context;
    emmap_wait *wait;
    require_ok(emmap_queue_wait_begin(open_it(), EMMAP_NO_LIMIT, &(emmap_waiter){.done = ignore}, &wait));
    for (;;)
        rest();
}

static void waits_are_counted_until_they_end(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    emmap_wait *one, *other;
    const emmap_waiter waiter = {.done = ignore};
    assert_ok(emmap_queue_wait_begin(file, EMMAP_NO_LIMIT, &waiter, &one));
    assert_ok(emmap_queue_wait_begin(file, EMMAP_NO_LIMIT, &waiter, &other));
    assert_int_equal(waiters(), 2);
    assert_true(emmap_wait_cancel(one));
    emmap_wait_free(one);
    assert_int_equal(waiters(), 1);
    const pid_t child = start_child(wait_until_killed, NULL);
    while (waiters() != 2)
        rest();
    kill(child, SIGKILL);
    wait_child(child);
    assert_int_equal(waiters(), 1);
    assert_ok(push_number(file, 1, 8));
    while (waiters() != 0)
        rest();
    emmap_wait_free(other);
    close_file(file);
}

/* ---- Nothing changes ---- */

static void nothing_changes(void **state)
{
    (void)state;
    size_t length, state_length;
    emmap_file *const file = open_it();
    assert_ok(push_number(file, 1, 8));
    const uint8_t *const before = get_file(path_of("queue"), &length);
    const uint8_t *const state_before = get_file(path_of("queue-live/state"), &state_length);
    const int descriptors = open_descriptors();
    for (int effort = EMMAP_BRIEF; effort <= EMMAP_CHECK; effort++)
        emmap_inspection_free(inspect(path_of("queue"), (emmap_effort)effort));
    assert_int_equal(open_descriptors(), descriptors);
    assert_file(path_of("queue"), before, length);
    assert_file(path_of("queue-live/state"), state_before, state_length);
    close_file(file);
    /* A look makes no folder. */
    fixture("queue.bin");
    emmap_inspection_free(inspect(path_of("queue.bin"), EMMAP_CHECK));
    assert_false(exists(path_of("queue.bin-live")));
}

/* ---- Damage ---- */

static void damage_is_found(void **state)
{
    (void)state;
    put_file(path_of("counters"), "EMMAP01\n\x03\0\0\0\0\0\0\0........", 24);
    assert_damaged(path_of("counters"), 8);

    emmap_file *file = open_it();
    for (uint64_t i = 0; i < 3; i++)
        assert_ok(push_number(file, i, 8));
    close_file(file);
    assert_sound(path_of("queue"));
    put_at(path_of("queue"), 16, "\xff", 1);
    assert_damaged(path_of("queue"), 16);

    file = open_blocks(path_of("blocks"), QUEUE_RW, 4096, 8, 2);
    const struct iovec block = {.iov_base = (char[8]){"block"}, .iov_len = 8};
    uint64_t address;
    for (int i = 0; i < 70; i++)
        assert_ok(emmap_block_store(file, &block, &address));
    close_file(file);
    assert_sound(path_of("blocks"));
    /* The top group's mask of used children. */
    put_at(path_of("blocks"), 24, "\0", 1);
    assert_damaged(path_of("blocks"), 16);
    file = open_blocks(path_of("blocks"), QUEUE_RW, 4096, 8, 2);
    uint64_t place = 0;
    assert_ok(emmap_blocks_repair(file, 0, &place));
    close_file(file);
    assert_sound(path_of("blocks"));
    assert_int_equal(truncate(path_of("blocks"), 600), 0);
    assert_damaged(path_of("blocks"), 600);
}

static void damage_of_cells_is_found(void **state)
{
    (void)state;
    emmap_file *const cell = open_cell();
    for (int i = 0; i < 5; i++)
        assert_ok(emmap_cell_publish(cell, &(struct iovec){.iov_base = (char[]){"flags"}, .iov_len = 5}, 1));
    assert_sound(path_of("cell"));
    close_file(cell);
    /* The slot of version 5, which has 32 bytes before the value. */
    const uint64_t slot = 128 + 5 % 4 * 192;
    put_at(path_of("cell"), slot + 32, "F", 1);
    assert_damaged(path_of("cell"), slot);
    put_at(path_of("cell"), 16, "\xff\xff", 2);
    assert_damaged(path_of("cell"), 16);
    put_at(path_of("cell"), 8, "\x09", 1);
    assert_damaged(path_of("cell"), 8);
}

/* Overwrites four bytes, checks that this is found at `at`, and puts them back. */
static void assert_word_matters(uint64_t place, uint32_t word, uint64_t at)
{
    size_t length;
    const uint8_t *const before = get_file(path_of("table"), &length);
    put_at(path_of("table"), place, &word, sizeof word);
    assert_damaged(path_of("table"), at);
    put_file(path_of("table"), before, length);
    assert_sound(path_of("table"));
}

static void damage_of_tables_is_found(void **state)
{
    (void)state;
    emmap_file *table = open_table("table");
    char key[64];
    for (int i = 0; i < 90; i++) {
        /* Every third key has two units. */
        snprintf(key, sizeof key, i % 3 ? "key %d" : "a key that is longer than a unit has room for, %d", i);
        if (emmap_table_add(table, key, strlen(key), 0, 1, NULL) != EMMAP_OK)
            break;
    }
    assert_ok(emmap_table_delete(table, "key 1", 5));
    uint64_t keys;
    assert_ok(emmap_table_size(table, &keys));
    close_file(table);
    assert_sound(path_of("table"));
    table_shape_t shape = {.capacity = 100, .key_bytes = 64, .words = 2};
    table_shape_complete(&shape);
    /* Unit 1 has an entry, and two units. */
    const uint64_t unit = shape.units_at, link = unit + shape.stride - 4;
    /* What leads to it: a bucket, or the beginning of a unit. */
    uint64_t place = TABLE_HEADER;
    size_t length;
    const uint8_t *const bytes = get_file(path_of("table"), &length);
    while (memcmp(bytes + place, &(uint32_t){1}, 4) != 0)
        place = place < unit ? place + 4 : place + shape.stride;
    assert_word_matters(8, 2, 8);
    assert_word_matters(128, 7, 128);
    assert_word_matters(192, 1, 192);
    assert_word_matters(200, 1, 200);
    assert_word_matters(208, 0, 208);
    assert_word_matters(208, 1, 208);
    assert_word_matters(place, 0xffffff, place);
    assert_word_matters(unit, 1, unit);
    assert_word_matters(unit + 4, 2, unit);
    assert_word_matters(unit + shape.key_at, 0, unit);
    assert_word_matters(unit + shape.key_at - 2, 0, unit + shape.key_at - 2);
    assert_word_matters(link, 0, link);
    assert_word_matters(link - 4, 0, unit);
    /* A repair loses no sound entry. */
    const uint32_t none = 0xffffff;
    put_at(path_of("table"), place, &none, 4);
    put_at(path_of("table"), 192, &none, 4);
    table = open_table("table");
    uint64_t size;
    assert_ok(emmap_table_repair(table));
    assert_ok(emmap_table_size(table, &size));
    assert_int_equal(size, keys);
    close_file(table);
    assert_sound(path_of("table"));
    /* A change that a dead process left is none: the next one finishes it. */
    put_at(path_of("table"), 128, "\1", 1);
    assert_sound(path_of("table"));
    put_at(path_of("table"), 128, "\0", 1);
    /* Another run of the system: the next opener that may write repairs the table. */
    put_at(path_of("table"), 56, "another run ofit", 16);
    put_at(path_of("table"), TABLE_HEADER, "\0\0\0\0\0\0\0\0", 8);
    assert_sound(path_of("table"));
    close_file(open_table("table"));
    assert_sound(path_of("table"));
}

static void a_folder_that_is_not_theirs(void **state)
{
    (void)state;
    emmap_file *const file = open_it();
    assert_int_equal(rename(path_of("queue-live"), path_of("away")), 0);
    emmap_inspection *found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_text(&found->file, "sharing", "live");
    assert_non_null(fact(&found->file, "trouble"));
    emmap_inspection_free(found);
    assert_int_equal(mkdir(path_of("queue-live"), 0700), 0);
    size_t length;
    const uint8_t *const copy = get_file(path_of("away/state"), &length);
    put_file(path_of("queue-live/state"), copy, length);
    found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_non_null(fact(&found->file, "trouble"));
    emmap_inspection_free(found);
    put_file(path_of("queue-live/state"), "garbage", 7);
    found = inspect(path_of("queue"), EMMAP_COUNT);
    assert_non_null(fact(&found->file, "trouble"));
    assert_int_equal(found->writers, 0);
    emmap_inspection_free(found);
    close_file(file);
    unlink(path_of("queue-live/state"));
    rmdir(path_of("queue-live"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_file_is_known_by_its_bytes),
        folder_test(efforts_differ),
        folder_test(cells_tell_their_version),
        folder_test(tables_tell_their_keys),
        folder_test(messages_in_hand_are_counted),
        folder_test(a_queue_that_was_cut_is_a_damaged_queue),
        folder_test(the_ways_of_sharing),
        folder_test(all_slots_are_found),
        folder_test(the_owner_of_the_lock),
        folder_test(waits_are_counted_until_they_end),
        folder_test(nothing_changes),
        folder_test(damage_is_found),
        folder_test(damage_of_cells_is_found),
        folder_test(damage_of_tables_is_found),
        folder_test(a_folder_that_is_not_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
