/* Block storages: their bytes, and the calls that they refuse. */
#include "structures.h"

static uint64_t store_bytes(emmap_file *blocks, const void *data, size_t length)
{
    const struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    uint64_t address = UINT64_MAX;
    assert_ok(emmap_block_store(blocks, &vector, &address));
    return address;
}

/* A block of `size` bytes that begins with a big-endian number of `width` bytes. */
static uint64_t store_number(emmap_file *blocks, uint64_t number, size_t width, size_t size)
{
    uint8_t block[64] = {0};
    for (size_t i = 0; i < width; i++)
        block[i] = (uint8_t)(number >> 8 * (width - 1 - i));
    return store_bytes(blocks, block, size);
}

static emmap_error read_number(emmap_file *blocks, uint64_t address, size_t width, uint64_t *number)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_block_read(blocks, address, &sink);
    *number = 0;
    for (size_t i = 0; !error && i < width; i++)
        *number = *number << 8 | got.data[i];
    bytes_free(&got);
    return error;
}

static void assert_same_as_fixture(const char *path, const char *name)
{
    char fixture_path[64];
    snprintf(fixture_path, sizeof fixture_path, "fixtures/%s", name);
    size_t length;
    const uint8_t *const expected = get_file(fixture_path, &length);
    assert_file(path, expected, length);
}

static void a_storage_is_byte_for_byte_what_emmap_writes(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 0, 22, 0);
    uint64_t addresses[100];
    for (uint64_t i = 1; i <= 100; i++)
        addresses[i - 1] = store_number(blocks, i, 4, 22);
    for (uint64_t i = 7; i <= 100; i += 7)
        assert_ok(emmap_block_free(blocks, addresses[i - 1]));
    assert_int_equal(blocks_count_of(blocks), 86);
    close_file(blocks);
    assert_same_as_fixture(path, "blocks.bin");
}

static void a_deep_storage_is_byte_for_byte_what_emmap_writes(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 0, 8, 3);
    for (uint64_t i = 1; i <= 5000; i++) {
        const uint64_t address = store_number(blocks, i, 8, 8);
        assert_true(i != 1 || address == 0);
        assert_true(i != 2 || address == 4096);
        assert_true(i != 5000 || address == 29569);
    }
    close_file(blocks);
    assert_same_as_fixture(path, "blocks-deep.bin");
}

static void the_blocks_that_emmap_wrote_are_read_by_their_addresses(void **state)
{
    (void)state;
    const uint32_t modes[] = {EMMAP_OPEN_READ, EMMAP_OPEN_WRITE, EMMAP_OPEN_WRITE | EMMAP_OPEN_EXCLUSIVE};
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        emmap_file *const blocks = open_blocks(fixture("blocks.bin"), modes[mode], 0, 0, 0);
        FILE *const list = fopen("fixtures/blocks.addresses.txt", "re");
        assert_non_null(list);
        unsigned long address, number;
        uint64_t count = 0, got;
        while (fscanf(list, "%lu %lu", &address, &number) == 2) {
            assert_ok(read_number(blocks, address, 4, &got));
            assert_int_equal(got, number);
            count++;
        }
        fclose(list);
        assert_int_equal(count, 86);
        assert_int_equal(blocks_count_of(blocks), 86);
        close_file(blocks);
    }
}

static void an_address_without_a_block_is_no_such_block(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(fixture("blocks.bin"), EMMAP_OPEN_WRITE, 0, 22, 3);
    size_t length;
    const uint8_t *const before = get_file(path_of("blocks.bin"), &length);
    /* A freed address, one never stored, the last one, the one behind it, and one of more than 18 bits. */
    static const uint64_t none[] = {
        6 * 4096, 1, 262143, 262144, UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        uint64_t number;
        assert_error(ENOENT, read_number(blocks, none[i], 4, &number));
        assert_error(ENOENT, emmap_block_free(blocks, none[i]));
    }
    assert_file(path_of("blocks.bin"), before, length);
    close_file(blocks);
}

static void a_freed_block_is_the_next_one_given_out(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    uint64_t addresses[200], number;
    for (uint64_t i = 0; i < 200; i++)
        addresses[i] = store_number(blocks, i, 8, 8);
    assert_ok(emmap_block_free(blocks, addresses[130]));
    assert_ok(emmap_block_free(blocks, addresses[70]));
    assert_error(ENOENT, emmap_block_free(blocks, addresses[70]));
    assert_error(ENOENT, read_number(blocks, addresses[70], 8, &number));
    assert_int_equal(store_number(blocks, 1000, 8, 8), addresses[70]);
    assert_int_equal(store_number(blocks, 1001, 8, 8), addresses[130]);
    assert_ok(read_number(blocks, addresses[70], 8, &number));
    assert_int_equal(number, 1000);
    assert_ok(read_number(blocks, addresses[71], 8, &number));
    assert_int_equal(number, 71);
    close_file(blocks);
}

static void a_storage_is_full_at_its_capacity_and_not_before(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 16, 3, 2);
    emmap_blocks_metadata info;
    assert_ok(emmap_blocks_info(blocks, &info));
    assert_int_equal(info.capacity, 4096);
    bool *const seen = calloc(4096, sizeof *seen);
    for (int round = 0; round < 3; round++) {
        memset(seen, 0, 4096);
        for (uint64_t i = 0; i < 4096; i++) {
            const uint64_t address = store_number(blocks, i, 3, 3);
            assert_true(address < 4096 && !seen[address]);
            seen[address] = true;
        }
        const struct iovec one_more = {.iov_base = "abc", .iov_len = 3};
        uint64_t address;
        assert_error(EMMAP_FULL, emmap_block_store(blocks, &one_more, &address));
        assert_int_equal(blocks_count_of(blocks), 4096);
        for (uint64_t i = 0; i < 4096; i++)
            assert_ok(emmap_block_free(blocks, (i * 1237) % 4096));
        assert_int_equal(blocks_count_of(blocks), 0);
    }
    free(seen);
    close_file(blocks);
}

static void a_storage_of_five_levels_keeps_its_addresses(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 1, 5);
    emmap_blocks_metadata info;
    assert_ok(emmap_blocks_info(blocks, &info));
    assert_int_equal(info.capacity, 1 << 30);
    for (uint64_t i = 0; i < 130; i++) {
        const uint64_t address = store_number(blocks, i, 1, 1);
        assert_int_equal(address, ((i % 64) << 24) + ((i / 64) << 18));
    }
    for (uint64_t i = 0; i < 130; i++) {
        uint64_t number;
        assert_ok(read_number(blocks, ((i % 64) << 24) + ((i / 64) << 18), 1, &number));
        assert_int_equal(number, i);
    }
    close_file(blocks);
}

static void a_walk_meets_every_block_once(void **state)
{
    (void)state;
    const uint32_t modes[] = {EMMAP_OPEN_READ, EMMAP_OPEN_WRITE};
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++)
        for (size_t limit = 1; limit < 100; limit += 17) {
            emmap_file *const blocks = open_blocks(fixture("blocks-deep.bin"), modes[mode], 0, 8, 0);
            uint64_t place = 0, addresses[100], expected = 1;
            size_t count;
            pieces got = {0};
            const emmap_sink sink = sink_pieces(&got);
            emmap_error error;
            while ((error = emmap_blocks_walk(blocks, limit, &place, addresses, &sink, &count)) == EMMAP_OK)
                for (size_t i = 0; i < count; i++, expected++) {
                    assert_int_equal(addresses[i] % 64, (expected - 1) / 4096);
                    const uint8_t *const data = got.list[expected - 1].iov_base;
                    assert_int_equal(data[6] << 8 | data[7], expected);
                }
            assert_error(EMMAP_EOF, error);
            assert_int_equal(expected, 5001);
            pieces_free(&got);
            close_file(blocks);
        }
}

static void many_are_stored_or_freed_together_or_none_is(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 0, 4, 2);
    struct iovec list[4096];
    uint64_t addresses[4097];
    for (size_t i = 0; i < 4096; i++)
        list[i] = (struct iovec){.iov_base = "abcd", .iov_len = 4};
    assert_ok(emmap_block_store_many(blocks, list, 4000, addresses));
    assert_int_equal(blocks_count_of(blocks), 4000);
    uint64_t others[97];
    assert_error(EMMAP_FULL, emmap_block_store_many(blocks, list, 97, others));
    assert_int_equal(blocks_count_of(blocks), 4000);
    list[5].iov_len = 3;
    assert_error(EINVAL, emmap_block_store_many(blocks, list, 6, others));
    addresses[10] = addresses[9];
    assert_error(ENOENT, emmap_block_free_many(blocks, addresses, 4000));
    assert_int_equal(blocks_count_of(blocks), 4000);
    assert_ok(emmap_block_free_many(blocks, addresses, 10));
    assert_int_equal(blocks_count_of(blocks), 3990);
    assert_ok(emmap_block_free_many(blocks, addresses, 0));
    close_file(blocks);
}

static void a_fixed_storage_is_full_and_as_it_was(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW | EMMAP_OPEN_FIXED_SIZE, 16 + 16 + 8 + 30, 10, 2);
    uint64_t address;
    for (uint64_t i = 0; i < 3; i++)
        store_number(blocks, i, 8, 10);
    size_t length;
    const uint8_t *const before = get_file(path, &length);
    const struct iovec one_more = {.iov_base = "0123456789", .iov_len = 10};
    assert_error(EMMAP_FULL, emmap_block_store(blocks, &one_more, &address));
    assert_file(path, before, length);
    close_file(blocks);
}

static void a_storage_follows_the_growth_of_another_handle(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *const a = open_blocks(path, QUEUE_RW, 64, 16, 0);
    emmap_file *const b = open_blocks(path, QUEUE_RW, 64, 16, 0);
    emmap_file *const looker = open_blocks(path, EMMAP_OPEN_READ, 0, 16, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t number;
        const uint64_t address = store_number(i % 2 ? a : b, i, 8, 16);
        assert_ok(read_number(i % 2 ? b : a, address, 8, &number));
        assert_int_equal(number, i);
        assert_ok(read_number(looker, address, 8, &number));
        assert_int_equal(number, i);
    }
    assert_int_equal(blocks_count_of(looker), 1000);
    assert_error(EACCES, emmap_block_free(looker, 0));
    close_file(a);
    close_file(b);
    close_file(looker);
}

static void a_repair_restores_all_that_follows_from_the_leaves(void **state)
{
    (void)state;
    /* Masks of the top and of the second level's two groups. */
    static const size_t masks[] = {16, 24, 32, 40, 16 + 16 + 33296, 24 + 16 + 33296};
    const char *const path = fixture("blocks-deep.bin");
    size_t length;
    uint8_t *const sound = get_file(path, &length);
    for (int chunked = 0; chunked < 2; chunked++)
        for (size_t i = 0; i < COUNT_OF(masks); i++)
            for (int wrong = 0; wrong < 3; wrong++) {
                emmap_file *const blocks = open_blocks(path, EMMAP_OPEN_WRITE, 0, 8, 0);
                const uint64_t bad = wrong == 0 ? 0 : wrong == 1 ? UINT64_MAX : 0x5555555555555555;
                assert_ok(write_bytes(blocks, masks[i], &bad, 8));
                uint64_t place = 0;
                int calls = 0;
                do {
                    assert_ok(emmap_blocks_repair(blocks, chunked ? 100 : 0, &place));
                    calls++;
                    if (place != 0 && i < 4) {
                        /* Usable in between; and the repaired bytes are equal to the original ones. */
                        const uint64_t address = store_number(blocks, 0, 8, 8);
                        assert_ok(emmap_block_free(blocks, address));
                    }
                } while (place != 0);
                /* 79 leaves of 64 were used. */
                assert_int_equal(calls, chunked ? 51 : 1);
                close_file(blocks);
                assert_file(path, sound, length);
            }
}

/* Does the same as emmap 2.x, which reads the masks of all levels. */
static void a_walk_believes_the_masks_that_its_handle_has_made(void **state)
{
    (void)state;
    emmap_file *blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 3);
    for (uint64_t i = 0; i < 100; i++)
        store_number(blocks, i, 8, 8);
    const uint64_t nothing = 0;
    assert_ok(write_bytes(blocks, 24, &nothing, 8));
    uint64_t address, place = 0, number;
    size_t count;
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    assert_error(EMMAP_EOF, emmap_blocks_walk(blocks, 1, &place, &address, &sink, &count));
    assert_ok(read_number(blocks, 64, 8, &number));
    /* Another handle may open after a power cut, and checks by itself. */
    emmap_file *const other = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 0);
    assert_ok(emmap_blocks_walk(other, 1, &place, &address, &sink, &count));
    close_file(other);
    place = 0;
    assert_ok(emmap_blocks_repair(blocks, 0, &place));
    assert_ok(emmap_blocks_walk(blocks, 1, &place, &address, &sink, &count));
    pieces_free(&got);
    close_file(blocks);
}

static void a_store_believes_the_leaves_masks_rather_than_those_above(void **state)
{
    (void)state;
    const struct iovec block = {.iov_base = "12345678", .iov_len = 8};
    uint64_t addresses[4096], address;
    emmap_file *blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    for (size_t i = 0; i < 4096; i++)
        assert_ok(emmap_block_store(blocks, &block, &addresses[i]));
    assert_error(EMMAP_FULL, emmap_block_store(blocks, &block, &address));
    assert_ok(emmap_block_free(blocks, addresses[100]));
    /* The masks from before the block was freed. */
    const uint64_t nothing = 0;
    assert_ok(write_bytes(blocks, 16, &nothing, 8));
    close_file(blocks);
    blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    assert_ok(emmap_block_store(blocks, &block, &address));
    assert_int_equal(address, addresses[100]);
    assert_error(EMMAP_FULL, emmap_block_store(blocks, &block, &address));
    close_file(blocks);
}

static void a_repair_reaches_groups_that_have_nothing_below(void **state)
{
    (void)state;
    /* The top group alone is initialised, and says that it is full. */
    uint8_t data[4096] = {8};
    put_file(path_of("blocks"), data, sizeof data);
    emmap_file *const blocks = open_blocks(path_of("blocks"), EMMAP_OPEN_WRITE, 0, 8, 3);
    const struct iovec block = {.iov_base = "12345678", .iov_len = 8};
    uint64_t address, place = 0;
    assert_ok(emmap_blocks_repair(blocks, 0, &place));
    assert_int_equal(place, 0);
    assert_ok(emmap_block_store(blocks, &block, &address));
    assert_int_equal(address, 0);
    assert_int_equal(blocks_count_of(blocks), 1);
    close_file(blocks);
}

static void without_a_block_size_no_storage_is_made(void **state)
{
    (void)state;
    static const uint8_t zeros[8192];
    static const size_t lengths[] = {0, 8, 16, sizeof zeros};
    emmap_file *file;
    assert_error(EINVAL, emmap_blocks_open(path_of("new"), 0, 0, NULL, &file));
    assert_false(exists(path_of("new")));
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        put_file(path_of("zeros"), zeros, lengths[i]);
        assert_error(EINVAL, emmap_blocks_open(path_of("zeros"), 0, 0, NULL, &file));
        assert_file(path_of("zeros"), zeros, lengths[i]);
    }
}

static void an_interrupted_operation_is_repaired_by_the_next_one(void **state)
{
    (void)state;
    const char *const path = fixture("blocks-deep.bin");
    size_t length;
    const uint8_t *const sound = get_file(path, &length);
    emmap_file *const blocks = open_blocks(path, EMMAP_OPEN_WRITE, 0, 8, 0);
    /* Block 64 fills the first leaf: its parents' bits as they were before, and the mark. */
    const uint64_t room = UINT64_MAX, nothing = 0;
    const uint32_t mark = 63 * 4096 + 1;
    assert_ok(write_bytes(blocks, 32, &room, 8));
    assert_ok(write_bytes(blocks, 40, &nothing, 8));
    assert_ok(write_bytes(blocks, 4, &mark, 4));
    uint64_t number;
    assert_ok(read_number(blocks, 0, 8, &number));
    uint32_t mark_now;
    uint64_t free_now, used_now;
    assert_ok(read_into(blocks, 4, &mark_now, 4));
    assert_ok(read_into(blocks, 32, &free_now, 8));
    assert_ok(read_into(blocks, 40, &used_now, 8));
    assert_int_equal(mark_now, 0);
    assert_int_equal(free_now, UINT64_MAX - 1);
    assert_int_equal(used_now, 1);
    uint64_t place = 0;
    assert_ok(emmap_blocks_repair(blocks, 0, &place));
    close_file(blocks);
    assert_file(path, sound, length);
}

static void assert_corrupt(const char *path, uint64_t offset)
{
    const uint32_t modes[] = {EMMAP_OPEN_READ, EMMAP_OPEN_WRITE};
    size_t length;
    const uint8_t *const before = get_file(path, &length);
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        const emmap_options options = {.flags = modes[mode]};
        emmap_file *file;
        assert_error(EMMAP_CORRUPT, emmap_blocks_open(path, 0, 0, &options, &file));
        assert_null(file);
        assert_int_equal(emmap_last_failure()->offset, offset);
        assert_non_null(emmap_last_failure()->reason);
    }
    assert_file(path, before, length);
}

static void what_is_no_storage_is_refused_and_left_alone(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    put_file(path, "x", 1);
    assert_corrupt(path, 0);
    uint8_t data[4096] = {0};
    data[4000] = 1;
    put_file(path, data, sizeof data);
    assert_corrupt(path, 0);
    data[0] = 8;
    static const int64_t limos[] = {-2, INT64_MIN, INT64_MAX, 8, 4096, 20};
    for (size_t i = 0; i < COUNT_OF(limos); i++) {
        memcpy(data + 8, &limos[i], 8);
        put_file(path, data, sizeof data);
        assert_corrupt(path, 8);
    }
}

/* An exclusive handle has just checked the header, and does not check it again while it stays the same. */
static void a_header_that_changes_under_an_exclusive_handle_is_met_at_once(void **state)
{
    (void)state;
    const uint32_t block_size = 16, levels = 4u << 28, mark = 1u << 24;
    const int64_t limos[] = {-2, INT64_MIN, INT64_MAX, 20};
    const struct {
        uint64_t position;
        const void *bytes;
        size_t length;
    } wrongs[] = {{0, &block_size, 4}, {4, &levels, 4},   {4, &mark, 4},    {8, &limos[0], 8},
                  {8, &limos[1], 8},   {8, &limos[2], 8}, {8, &limos[3], 8}};
    emmap_file *const blocks =
        open_blocks(path_of("blocks"), EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_EXCLUSIVE, 0, 8, 3);
    const uint64_t kept = store_number(blocks, 1, 8, 8);
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        uint8_t header[16];
        uint64_t address = store_number(blocks, 2, 8, 8), number;
        assert_ok(emmap_block_free(blocks, address));
        assert_ok(read_into(blocks, 0, header, sizeof header));
        assert_ok(write_bytes(blocks, wrongs[i].position, wrongs[i].bytes, wrongs[i].length));
        const struct iovec block = {.iov_base = &number, .iov_len = 8};
        number = 0;
        assert_error(EMMAP_CORRUPT, emmap_block_store(blocks, &block, &address));
        assert_error(EMMAP_CORRUPT, emmap_block_free(blocks, kept));
        assert_error(EMMAP_CORRUPT, read_number(blocks, kept, 8, &number));
        assert_ok(write_bytes(blocks, 0, header, sizeof header));
        assert_ok(read_number(blocks, kept, 8, &number));
        assert_int_equal(number, 1);
    }
    close_file(blocks);
}

static void a_hostile_storage_never_leads_outside(void **state)
{
    (void)state;
    const char *const path = fixture("blocks.bin");
    emmap_file *const blocks = open_blocks(path, EMMAP_OPEN_WRITE, 0, 22, 0);
    uint64_t address, number;
    /* Marks every block of the second and third leaf as used, also those behind the end of the file. */
    const uint64_t all_used = 0, third = 2864;
    assert_ok(write_bytes(blocks, 16 + 1448, &all_used, 8));
    assert_ok(write_bytes(blocks, 16 + third, &all_used, 8));
    assert_ok(write_bytes(blocks, 8, &third, 8));
    assert_ok(read_number(blocks, 53 * 4096 + 128, 4, &number));
    assert_error(EMMAP_CORRUPT, read_number(blocks, 54 * 4096 + 128, 4, &number));
    const struct iovec block = {.iov_base = "0123456789012345678901", .iov_len = 22};
    const struct iovec ten[10] = {block, block, block, block, block, block, block, block, block, block};
    uint64_t addresses[10];
    /* Nine go into the first leaf. Then the masks above wrongly say that the second has room. */
    assert_ok(emmap_block_store_many(blocks, ten, 10, addresses));
    assert_int_equal(addresses[9], 3 * 64);
    assert_ok(write_bytes(blocks, 16 + third + 1416, &all_used, 8));
    assert_ok(emmap_block_store(blocks, &block, &address));
    assert_int_equal(address, 4 * 64);
    uint32_t mark = UINT32_MAX;
    assert_ok(write_bytes(blocks, 4, &mark, 4));
    assert_error(EMMAP_CORRUPT, emmap_block_store(blocks, &block, &address));
    assert_int_equal(emmap_last_failure()->offset, 4);
    uint64_t place = 0;
    assert_ok(emmap_blocks_repair(blocks, 0, &place));
    assert_ok(emmap_block_store(blocks, &block, &address));
    uint32_t size = 23;
    assert_ok(write_bytes(blocks, 0, &size, 4));
    assert_error(EMMAP_CORRUPT, emmap_block_store(blocks, &block, &address));
    assert_int_equal(emmap_last_failure()->offset, 0);
    close_file(blocks);
}

static emmap_error store_one(emmap_file *blocks, const char *bytes, uint64_t *address)
{
    const struct iovec block = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = strlen(bytes)};
    return emmap_block_store(blocks, &block, address);
}

static void an_opened_file_becomes_a_storage(void **state)
{
    (void)state;
    const char *const path = path_of("file");
    emmap_file *file = open_file(path, QUEUE_RW, 8);
    uint64_t address;
    assert_error(EMMAP_CORRUPT, store_one(file, "12345678", &address));
    assert_error(EINVAL, emmap_blocks_attach(file, 0, 0));
    assert_error(EINVAL, emmap_blocks_attach(file, 8, 1));
    assert_error(EINVAL, emmap_blocks_attach(file, 8, 6));
    assert_error(EINVAL, emmap_blocks_attach(file, (uint64_t)1 << 32, 3));
    assert_ok(emmap_blocks_attach(file, 8, 0));
    assert_ok(emmap_blocks_attach(file, 8, 3));
    assert_error(EINVAL, emmap_blocks_attach(file, 9, 3));
    assert_error(EINVAL, emmap_queue_attach(file));
    assert_ok(store_one(file, "12345678", &address));
    close_file(file);
    file = open_with("", (emmap_options){.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_ANON, .size = 1});
    assert_ok(emmap_blocks_attach(file, 100, 4));
    close_file(file);
}

static void a_plain_file_is_used_as_the_storage_that_it_holds(void **state)
{
    (void)state;
    const uint32_t modes[] = {EMMAP_OPEN_READ, EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, EMMAP_OPEN_WRITE,
                              EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED | EMMAP_OPEN_EXCLUSIVE};
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        emmap_file *const file = open_file(fixture("blocks.bin"), modes[mode], 0);
        uint64_t number, address, place = 0;
        assert_ok(read_number(file, 0, 4, &number));
        assert_int_equal(number, 1);
        assert_int_equal(blocks_count_of(file), 86);
        if (modes[mode] & EMMAP_OPEN_WRITE) {
            assert_ok(store_one(file, "0123456789012345678901", &address));
            assert_ok(emmap_block_free(file, address));
            assert_ok(emmap_blocks_repair(file, 0, &place));
        } else {
            assert_error(EACCES, store_one(file, "0123456789012345678901", &address));
        }
        close_file(file);
    }
}

static void a_file_of_zeros_has_no_blocks_until_a_storage_is_made_of_it(void **state)
{
    (void)state;
    emmap_file *const file = open_file(path_of("file"), QUEUE_RW, 4096);
    emmap_file *const other = open_file(path_of("file"), QUEUE_RW, 4096);
    uint64_t address, number, place = 0;
    size_t count;
    pieces none = {0};
    const emmap_sink sink = sink_pieces(&none);
    assert_error(ENOENT, read_number(file, 0, 8, &number));
    assert_error(ENOENT, emmap_block_free(file, 0));
    assert_error(EMMAP_EOF, emmap_blocks_walk(file, 1, &place, &address, &sink, &count));
    assert_ok(emmap_blocks_repair(file, 0, &place));
    assert_int_equal(blocks_count_of(file), 0);
    assert_error(EINVAL, store_one(file, "12345678", &address));
    assert_error(EMMAP_FULL, store_one(file, "", &address));
    assert_ok(emmap_sync(file));
    static const uint8_t zeros[4096];
    assert_file(path_of("file"), zeros, sizeof zeros);
    /* Another handle makes one of it. */
    assert_ok(emmap_blocks_init(other, 8, 0));
    assert_ok(store_one(file, "12345678", &address));
    assert_ok(read_number(other, address, 8, &number));
    emmap_blocks_metadata info;
    assert_ok(emmap_blocks_info(file, &info));
    assert_int_equal(info.block_size, 8);
    close_file(file);
    close_file(other);
}

static void a_storage_is_made_anew_of_whatever_there_is(void **state)
{
    (void)state;
    uint64_t address, number;
    uint8_t header[16];
    static const uint8_t made[16] = {8, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};
    put_file(path_of("text"), "this is no storage, but a text, and as long as it has to be for a block", 71);
    emmap_file *file = open_file(path_of("text"), EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    assert_error(EMMAP_CORRUPT, store_one(file, "12345678", &address));
    assert_ok(emmap_blocks_init(file, 8, 0));
    assert_ok(read_into(file, 0, header, sizeof header));
    assert_memory_equal(header, made, sizeof made);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(store_number(file, 1, 8, 8), 0);
        assert_int_equal(store_number(file, 2, 8, 8), 4096);
        assert_ok(emmap_blocks_init(file, 8, 0));
        assert_ok(read_into(file, 0, header, sizeof header));
        assert_memory_equal(header, made, sizeof made);
        assert_error(ENOENT, read_number(file, 0, 8, &number));
        assert_int_equal(blocks_count_of(file), 0);
    }
    /* With another block size, other levels, and no storage. */
    assert_ok(emmap_blocks_init(file, 16, 2));
    assert_int_equal(store_number(file, 3, 8, 16), 0);
    assert_int_equal(store_number(file, 3, 8, 16), 64);
    assert_error(EINVAL, store_one(file, "12345678", &address));
    assert_ok(emmap_blocks_init(file, 0, 0));
    assert_error(EINVAL, store_one(file, "12345678", &address));
    assert_error(ENOENT, read_number(file, 0, 8, &number));
    assert_error(EINVAL, emmap_blocks_init(file, 8, 1));
    assert_error(EINVAL, emmap_blocks_init(file, (uint64_t)1 << 32, 0));
    close_file(file);
    assert_error(EACCES, emmap_blocks_init(file = open_file(path_of("text"), EMMAP_OPEN_READ, 0), 8, 0));
    close_file(file);
    file = open_file(path_of("short"), QUEUE_RW, 1);
    assert_ok(emmap_blocks_init(file, 1, 0));
    uint64_t size;
    assert_ok(emmap_size(file, &size));
    assert_int_equal(size, 16);
    close_file(file);
    file = open_queue(path_of("queue"), QUEUE_RW, 4096);
    assert_error(EINVAL, emmap_blocks_init(file, 8, 0));
    close_file(file);
}

static void who_has_the_storage_open_as_it_was_is_told_that_it_was_made_anew(void **state)
{
    (void)state;
    emmap_file *const was = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 0);
    emmap_file *const looker = open_blocks(path_of("blocks"), EMMAP_OPEN_READ, 0, 8, 0);
    emmap_file *const plain = open_file(path_of("blocks"), EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    uint64_t address, number;
    store_number(was, 1, 8, 8);
    assert_ok(emmap_blocks_init(was, 8, 0));
    assert_error(ENOENT, read_number(looker, 0, 8, &number));
    assert_ok(emmap_blocks_init(plain, 16, 2));
    assert_int_equal(store_number(plain, 7, 8, 16), 0);
    assert_error(EMMAP_CORRUPT, store_one(was, "12345678", &address));
    assert_error(EMMAP_CORRUPT, read_number(looker, 0, 8, &number));
    assert_error(EINVAL, emmap_blocks_init(was, 16, 2));
    assert_ok(read_number(plain, 0, 8, &number));
    assert_int_equal(number, 7);
    close_file(was);
    close_file(looker);
    close_file(plain);
}

static void a_private_storage_is_the_handles_own_copy(void **state)
{
    (void)state;
    static const uint8_t zeros[4096];
    put_file(path_of("file"), zeros, sizeof zeros);
    emmap_file *const file = open_file(path_of("file"), EMMAP_OPEN_WRITE, 0);
    uint64_t number;
    assert_ok(emmap_blocks_init(file, 8, 0));
    for (uint64_t i = 0; i < 64; i++)
        store_number(file, i + 1, 8, 8);
    assert_ok(read_number(file, 0, 8, &number));
    assert_int_equal(number, 1);
    assert_ok(emmap_sync(file));
    assert_file(path_of("file"), zeros, sizeof zeros);
    /* It grows too, and keeps its blocks. */
    for (uint64_t i = 64; i < 2000; i++)
        store_number(file, i + 1, 8, 8);
    assert_int_equal(blocks_count_of(file), 2000);
    close_file(file);
}

/* ---- Levels ---- */

static void the_file_says_how_many_levels_there_are(void **state)
{
    (void)state;
    for (unsigned levels = 2; levels <= 5; levels++) {
        emmap_file *blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, levels);
        store_number(blocks, 1, 8, 8);
        store_number(blocks, 2, 8, 8);
        close_file(blocks);
        const uint32_t modes[] = {EMMAP_OPEN_READ, QUEUE_RW};
        for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
            blocks = open_blocks(path_of("blocks"), modes[mode], 0, 0, 0);
            emmap_blocks_metadata info;
            assert_ok(emmap_blocks_info(blocks, &info));
            assert_int_equal(info.levels, levels);
            uint64_t number;
            assert_ok(read_number(blocks, (uint64_t)1 << 6 * (levels - 1), 8, &number));
            assert_int_equal(number, 2);
            close_file(blocks);
            for (unsigned other = 2; other <= 5; other++) {
                const emmap_options options = {.flags = modes[mode]};
                const emmap_error error = emmap_blocks_open(path_of("blocks"), 8, other, &options, &blocks);
                assert_error(other == levels ? EMMAP_OK : EINVAL, error);
                if (!error)
                    close_file(blocks);
            }
        }
        unlink(path_of("blocks"));
    }
}

/* A storage as emmap 2.x writes it, with this many levels. */
static void forget_levels(const char *path)
{
    const uint32_t nothing = 0;
    emmap_file *const file = open_file(path, EMMAP_OPEN_WRITE | EMMAP_OPEN_SHARED, 0);
    assert_ok(write_bytes(file, 4, &nothing, 4));
    close_file(file);
}

static void levels_that_the_file_does_not_say_follow_from_what_is_stored(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 64, 65, 130, 4000};
    static const uint32_t sizes[] = {1, 8, 22, 60};
    for (unsigned levels = 2; levels <= 5; levels++)
        for (size_t i = 0; i < COUNT_OF(counts); i++)
            for (size_t j = 0; j < COUNT_OF(sizes); j++) {
                const char *const path = path_of("blocks");
                emmap_file *blocks = open_blocks(path, QUEUE_RW, 0, sizes[j], levels);
                for (uint64_t n = 0; n < counts[i]; n++)
                    store_number(blocks, n, 1, sizes[j]);
                close_file(blocks);
                forget_levels(path);
                emmap_blocks_metadata info;
                for (int pass = 0; pass < 3; pass++) {
                    /* A reader deduces the levels each time; a writer stores them. */
                    blocks = open_blocks(path, pass == 1 ? EMMAP_OPEN_WRITE : EMMAP_OPEN_READ, 0, 0, 0);
                    assert_ok(emmap_blocks_info(blocks, &info));
                    assert_int_equal(info.levels, levels);
                    assert_int_equal(blocks_count_of(blocks), counts[i]);
                    close_file(blocks);
                }
                size_t length;
                const uint8_t *const bytes = get_file(path, &length);
                assert_int_equal(bytes[7] >> 4, levels == 3 ? 0 : levels);
                unlink(path);
            }
}

static void levels_that_cannot_be_told_are_an_error(void **state)
{
    (void)state;
    const char *const path = path_of("blocks");
    emmap_file *blocks = open_blocks(path, QUEUE_RW, 0, 8, 4);
    assert_ok(emmap_block_free(blocks, store_number(blocks, 1, 8, 8)));
    close_file(blocks);
    forget_levels(path);
    /* The first leaf of four levels, which is empty, may as well be the masks of a group of five. */
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE};
    assert_error(EINVAL, emmap_blocks_open(path, 8, 0, &options, &blocks));
    assert_non_null(strstr(emmap_last_failure()->reason, "levels"));
    assert_error(EINVAL, emmap_blocks_open(path, 8, 3, &options, &blocks));
    blocks = open_blocks(path, EMMAP_OPEN_WRITE, 0, 8, 4);
    close_file(blocks);
    close_file(open_blocks(path, EMMAP_OPEN_WRITE, 0, 8, 0));
}

static void another_block_size_is_told_from_what_is_no_storage(void **state)
{
    (void)state;
    emmap_file *file;
    const emmap_options options = {.flags = EMMAP_OPEN_WRITE};
    assert_error(EINVAL, emmap_blocks_open(fixture("blocks.bin"), 23, 0, &options, &file));
    assert_non_null(strstr(emmap_last_failure()->reason, "block size"));
    static const char *const others[] = {"queue.bin", "counters.bin"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_error(EMMAP_CORRUPT, emmap_blocks_open(fixture(others[i]), 22, 0, &options, &file));
        assert_non_null(strstr(emmap_last_failure()->reason, "not a block storage"));
    }
    put_file(path_of("text"), "The quick brown fox jumps over the lazy dog, once and again.", 60);
    assert_error(EMMAP_CORRUPT, emmap_blocks_open(path_of("text"), 22, 0, &options, &file));
    assert_non_null(strstr(emmap_last_failure()->reason, "not a block storage"));
}

static void a_closed_storage_says_so(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 0);
    const struct iovec block = {.iov_base = "12345678", .iov_len = 8};
    uint64_t address, number;
    assert_ok(emmap_close(blocks));
    assert_error(EMMAP_CLOSED, emmap_block_store(blocks, &block, &address));
    assert_error(EMMAP_CLOSED, read_number(blocks, 0, 8, &number));
    emmap_free(blocks);
}

static void a_full_disk_leaves_the_storage_as_it_was(void **state)
{
    (void)state;
    const char *const mount = path_of("small");
    if (!mount_tmpfs(mount, "64k"))
        return;
    const char *const path = path_of("small/blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 4096, 1000, 0);
    uint8_t data[1000] = {0};
    const struct iovec block = {.iov_base = data, .iov_len = sizeof data};
    uint64_t address, count = 0;
    emmap_error error;
    while ((error = emmap_block_store(blocks, &block, &address)) == EMMAP_OK)
        count++;
    assert_error(ENOSPC, error);
    assert_true(count >= 30);
    assert_int_equal(blocks_count_of(blocks), count);
    assert_ok(emmap_block_free(blocks, 0));
    assert_ok(emmap_block_store(blocks, &block, &address));
    close_file(blocks);
}

/* ---- Space that is given back ---- */

#define MEBIBYTE ((uint64_t)1 << 20)

/* Blocks that begin and end with their numbers. */
static void store_large(emmap_file *blocks, uint32_t size, uint64_t count, uint64_t *addresses)
{
    uint8_t *const data = calloc(1, size);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(data, &i, sizeof i);
        memcpy(data + size - sizeof i, &i, sizeof i);
        addresses[i] = store_bytes(blocks, data, size);
    }
    free(data);
}

static void assert_large(emmap_file *blocks, uint32_t size, uint64_t address, uint64_t number)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    assert_ok(emmap_block_read(blocks, address, &sink));
    assert_memory_equal(got.data, &number, sizeof number);
    assert_memory_equal(got.data + size - sizeof number, &number, sizeof number);
    bytes_free(&got);
}

static void a_storage_gives_the_space_of_freed_blocks_back(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {64, 5000, 65536};
    static uint64_t addresses[200000];
    for (int mode = 0; mode < 3; mode++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            const char *const path = path_of("blocks");
            const uint32_t size = sizes[i];
            const uint64_t count = 10 * MEBIBYTE / size;
            emmap_file *const blocks =
                open_blocks(path, QUEUE_RW | (mode == 2 ? EMMAP_OPEN_EXCLUSIVE : 0u), 0, size, 3);
            if (mode == 1)
                assert_ok(emmap_sync(blocks));
            store_large(blocks, size, count, addresses);
            assert_true(taken(path) >= 10 * MEBIBYTE);
            uint64_t length, now;
            assert_ok(emmap_size(blocks, &length));
            /* Frees all but the first, from the front. */
            for (uint64_t n = 1; n < count; n++)
                assert_ok(emmap_block_free(blocks, addresses[n]));
            assert_large(blocks, size, addresses[0], 0);
            uint64_t given_back;
            assert_ok(emmap_blocks_compact(blocks, &given_back));
            assert_true(taken(path) < 256 * 1024);
            assert_ok(emmap_size(blocks, &now));
            assert_int_equal(now, length);
            assert_int_equal(blocks_count_of(blocks), 1);
            /* Stores at the same addresses again. */
            store_large(blocks, size, count - 1, addresses + 1);
            for (uint64_t n = 1; n < count; n++)
                assert_large(blocks, size, addresses[n], n - 1);
            for (uint64_t n = 0; n < count; n++)
                assert_ok(emmap_block_free(blocks, addresses[n]));
            /* Without a call of compact. */
            assert_true(taken(path) < 256 * 1024);
            close_file(blocks);
            unlink(path);
        }
}

static void holes_are_made_between_blocks(void **state)
{
    (void)state;
    enum { SIZE = 16384, COUNT = 640 };
    uint64_t addresses[COUNT], given_back;
    const char *const path = path_of("blocks");
    emmap_file *const blocks = open_blocks(path, QUEUE_RW, 0, SIZE, 2);
    emmap_file *const looker = open_blocks(path, EMMAP_OPEN_READ, 0, SIZE, 2);
    store_large(blocks, SIZE, COUNT, addresses);
    /* One block of each leaf stays, and the very last one. */
    for (uint64_t n = 0; n + 1 < COUNT; n++)
        if (n % 64 != 17)
            assert_ok(emmap_block_free(blocks, addresses[n]));
    assert_ok(emmap_blocks_compact(blocks, &given_back));
    assert_true(taken(path) < MEBIBYTE);
    for (uint64_t n = 17; n < COUNT; n += 64)
        assert_large(looker, SIZE, addresses[n], n);
    assert_large(looker, SIZE, addresses[COUNT - 1], COUNT - 1);
    assert_int_equal(blocks_count_of(looker), 11);
    close_file(blocks);
    close_file(looker);
}

static void a_storage_whose_space_is_not_there_any_more_says_so(void **state)
{
    (void)state;
    const char *const mount = path_of("small");
    if (!mount_tmpfs(mount, "6m"))
        return;
    enum { SIZE = 16384, COUNT = 200 };
    uint64_t addresses[COUNT], given_back, address;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        emmap_file *const blocks =
            open_blocks(path_of("small/blocks"), QUEUE_RW | (exclusive ? EMMAP_OPEN_EXCLUSIVE : 0u),
                        4 * MEBIBYTE, SIZE, 2);
        store_large(blocks, SIZE, COUNT, addresses);
        for (uint64_t n = 1; n < COUNT; n++)
            assert_ok(emmap_block_free(blocks, addresses[n]));
        assert_ok(emmap_blocks_compact(blocks, &given_back));
        emmap_file *const filler = open_file(path_of("small/filler"), QUEUE_RW, 5 * MEBIBYTE);
        uint8_t *const data = calloc(1, SIZE);
        const struct iovec block = {.iov_base = data, .iov_len = SIZE};
        uint64_t count = 0;
        emmap_error error;
        while ((error = emmap_block_store(blocks, &block, &address)) == EMMAP_OK)
            count++;
        assert_error(ENOSPC, error);
        assert_true(count > 5 && count < 64);
        assert_int_equal(blocks_count_of(blocks), count + 1);
        assert_large(blocks, SIZE, addresses[0], 0);
        close_file(filler);
        unlink(path_of("small/filler"));
        assert_ok(emmap_block_store(blocks, &block, &address));
        free(data);
        close_file(blocks);
        unlink(path_of("small/blocks"));
    }
}

static void a_private_storage_gives_nothing_back(void **state)
{
    (void)state;
    close_file(open_blocks(path_of("blocks"), QUEUE_RW, 65536, 8, 3));
    emmap_file *const file = open_file(path_of("blocks"), EMMAP_OPEN_WRITE, 0);
    uint64_t given_back;
    assert_error(ENOTSUP, emmap_blocks_compact(file, &given_back));
    close_file(file);
}

static void a_walk_begins_at_no_place_that_is_none(void **state)
{
    (void)state;
    emmap_file *const blocks = open_blocks(path_of("blocks"), QUEUE_RW, 0, 8, 2);
    uint64_t addresses[64], address, place;
    pieces all = {0};
    const emmap_sink sink = sink_pieces(&all);
    size_t count;
    const struct iovec block = {.iov_base = (char[]){"12345678"}, .iov_len = 8};
    for (int i = 0; i < 3; i++)
        assert_ok(emmap_block_store(blocks, &block, &address));
    const uint64_t nowhere[] = {4096, 4097, (uint64_t)1 << 63, UINT64_MAX - 1};
    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        place = nowhere[i];
        assert_error(ESTALE, emmap_blocks_walk(blocks, 1, &place, addresses, &sink, &count));
        assert_int_equal(place, nowhere[i]);
        assert_error(ESTALE, emmap_blocks_repair(blocks, 1, &place));
    }
    place = EMMAP_BLOCKS_END;
    assert_error(EMMAP_EOF, emmap_blocks_walk(blocks, 1, &place, addresses, &sink, &count));
    place = 0;
    assert_error(EINVAL, emmap_blocks_walk(blocks, SIZE_MAX, &place, addresses, &sink, &count));
    assert_error(EINVAL, emmap_blocks_repair(blocks, UINT64_MAX, &place));
    pieces_free(&all);
    close_file(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_storage_is_byte_for_byte_what_emmap_writes),
        folder_test(a_deep_storage_is_byte_for_byte_what_emmap_writes),
        folder_test(the_blocks_that_emmap_wrote_are_read_by_their_addresses),
        folder_test(an_address_without_a_block_is_no_such_block),
        folder_test(a_freed_block_is_the_next_one_given_out),
        folder_test(a_storage_is_full_at_its_capacity_and_not_before),
        folder_test(a_storage_of_five_levels_keeps_its_addresses),
        folder_test(a_walk_meets_every_block_once),
        folder_test(many_are_stored_or_freed_together_or_none_is),
        folder_test(a_fixed_storage_is_full_and_as_it_was),
        folder_test(a_storage_follows_the_growth_of_another_handle),
        folder_test(a_repair_restores_all_that_follows_from_the_leaves),
        folder_test(a_walk_believes_the_masks_that_its_handle_has_made),
        folder_test(a_store_believes_the_leaves_masks_rather_than_those_above),
        folder_test(a_repair_reaches_groups_that_have_nothing_below),
        folder_test(without_a_block_size_no_storage_is_made),
        folder_test(an_interrupted_operation_is_repaired_by_the_next_one),
        folder_test(what_is_no_storage_is_refused_and_left_alone),
        folder_test(a_header_that_changes_under_an_exclusive_handle_is_met_at_once),
        folder_test(a_hostile_storage_never_leads_outside),
        folder_test(an_opened_file_becomes_a_storage),
        folder_test(a_plain_file_is_used_as_the_storage_that_it_holds),
        folder_test(a_file_of_zeros_has_no_blocks_until_a_storage_is_made_of_it),
        folder_test(a_storage_is_made_anew_of_whatever_there_is),
        folder_test(who_has_the_storage_open_as_it_was_is_told_that_it_was_made_anew),
        folder_test(a_private_storage_is_the_handles_own_copy),
        folder_test(the_file_says_how_many_levels_there_are),
        folder_test(levels_that_the_file_does_not_say_follow_from_what_is_stored),
        folder_test(levels_that_cannot_be_told_are_an_error),
        folder_test(another_block_size_is_told_from_what_is_no_storage),
        folder_test(a_closed_storage_says_so),
        folder_test(a_full_disk_leaves_the_storage_as_it_was),
        folder_test(a_storage_gives_the_space_of_freed_blocks_back),
        folder_test(holes_are_made_between_blocks),
        folder_test(a_storage_whose_space_is_not_there_any_more_says_so),
        folder_test(a_private_storage_gives_nothing_back),
        folder_test(a_walk_begins_at_no_place_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
