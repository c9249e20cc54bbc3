#include "blocks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* The most that an address takes in a reply. */
enum { ADDRESS_SIZE = 11 };

/* A number of levels. One that is out of all range is one that the core refuses. */
static bool levels(const call_t *c, size_t argument, unsigned *value)
{
    uint64_t number;
    if (!call_number(c, argument, &number))
        return false;
    *value = number > UINT_MAX ? UINT_MAX : (unsigned)number;
    return true;
}

/* {blocks_open, Path, BlockSize, Levels, Options} -> {ok, Handle, #{exist, size}} */
void perform_blocks_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    uint64_t block_size;
    unsigned depth;
    if (!call_number(c, 1, &block_size) || !levels(c, 2, &depth)) {
        call_badarg(c);
        return;
    }
    if (!call_opening_begin(c, 3, &opening))
        return;
    const emmap_error error = emmap_blocks_open(opening.path, block_size, depth, &opening.options, &file);
    call_opening_end(c, &opening, error, file);
}

/* {blocks_init, Handle, BlockSize, Levels} -> ok */
void perform_blocks_init(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t block_size;
    unsigned depth;
    if (call_number(c, 1, &block_size) && levels(c, 2, &depth))
        call_answer(c, emmap_blocks_init(c->file, block_size, depth));
    else
        call_badarg(c);
}

/* {block_store, Handle, Bytes} -> {ok, Address} */
void perform_block_store(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec block;
    uint64_t address = 0;
    if (!term_iodata(c->arguments[1], &block)) {
        call_badarg(c);
        return;
    }
    emmap_error error = emmap_block_store(c->file, &block, &address);
    call_answer_unsigned(c, error, address);
}

static void reply_addresses(reply_t *out, const uint64_t *addresses, size_t count)
{
    reply_list(out, count);
    for (size_t i = 0; i < count; i++)
        reply_unsigned(out, addresses[i]);
    reply_nil(out);
}

/* {block_store_many, Handle, [Bytes]} -> {ok, [Address]} */
void perform_block_store_many(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec *blocks;
    size_t count;
    const emmap_error taken = call_vectors(c, 1, &blocks, &count);
    if (taken) {
        reply_error(c->out, taken);
        return;
    }
    uint64_t *addresses = malloc((count + 1) * sizeof *addresses);
    /* Blocks whose addresses could not be answered would be lost. */
    const bool room = addresses && reply_reserve(c->out, count * ADDRESS_SIZE);
    emmap_error error =
        room ? emmap_block_store_many(c->file, blocks, count, addresses) : (emmap_error)ENOMEM;
    if (error) {
        call_answer(c, error);
    } else {
        reply_tuple(c->out, 2);
        reply_atom(c->out, "ok");
        reply_addresses(c->out, addresses, count);
    }
    free(addresses);
    free(blocks);
}

/* {block_read, Handle, Address} -> {ok, Binary} */
void perform_block_read(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t address;
    if (!call_number(c, 1, &address)) {
        call_badarg(c);
        return;
    }
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, emmap_block_read(c->file, address, &sink));
}

/* The integers of a list, to be freed. Errors: EMMAP_BADARG, ENOMEM. */
static emmap_error addresses_of(term_t list, uint64_t **result, size_t *count)
{
    uint32_t length;
    term_t elements, element;
    /* term_to_binary writes a list of small integers as a string. */
    const bool is_string = term_string(list, &elements);
    if (!is_string && !term_list(list, &length, &elements))
        return EMMAP_BADARG;
    *count = is_string ? elements.length : length;
    uint64_t *addresses = malloc((*count + 1) * sizeof *addresses);
    if (!addresses)
        return ENOMEM;
    bool good = true;
    for (size_t i = 0; good && i < *count; i++) {
        if (is_string)
            addresses[i] = elements.bytes[i];
        else
            good = term_next(&elements, &element) && term_integer(element, &addresses[i]) != TERM_NO_INTEGER;
    }
    if (good && (is_string || term_is_nil(elements))) {
        *result = addresses;
        return EMMAP_OK;
    }
    free(addresses);
    return EMMAP_BADARG;
}

/* {block_free_many, Handle, [Address]} -> ok */
void perform_block_free_many(const operation_t *op, call_t *c)
{
    (void)op;
    size_t count;
    uint64_t *addresses;
    const emmap_error taken = addresses_of(c->arguments[1], &addresses, &count);
    if (taken) {
        reply_error(c->out, taken);
        return;
    }
    call_answer(c, emmap_block_free_many(c->file, addresses, count));
    free(addresses);
}

/* {blocks_walk, Handle, Limit, Place} -> {ok, [Binary], [Address], Place} | eof */
void perform_blocks_walk(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t limit, place;
    size_t count;
    if (!call_number(c, 1, &limit) || !call_place(c, 2, &place)) {
        call_badarg(c);
        return;
    }
    /* What is no limit is for the core to refuse. */
    const size_t most = limit > EMMAP_WALK_LIMIT ? EMMAP_WALK_LIMIT : (size_t)limit;
    if (limit <= INT64_MAX)
        limit = most;
    uint64_t *addresses = malloc((most + 1) * sizeof *addresses);
    const size_t room = most * ADDRESS_SIZE;
    if (!addresses || !reply_reserve(c->out, room)) {
        free(addresses);
        call_answer(c, (emmap_error)ENOMEM);
        return;
    }
    const uint64_t start = place;
    emmap_error error;
    c->out->kept += room;
    do {
        place = start;
        emmap_sink sink = reply_list_sink(c->out, 4);
        error = emmap_blocks_walk(c->file, (size_t)limit, &place, addresses, &sink, &count);
    } while (reply_list_cut(c->out, error, &limit));
    c->out->kept -= room;
    if (reply_list_read(c->out, error)) {
        reply_addresses(c->out, addresses, count);
        reply_unsigned(c->out, place);
    }
    free(addresses);
}

/* {blocks_info, Handle} -> {ok, #{block_size, levels, capacity}} */
void perform_blocks_info(const operation_t *op, call_t *c)
{
    (void)op;
    emmap_blocks_metadata info;
    emmap_error error = emmap_blocks_info(c->file, &info);
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_map(c->out, 3);
    reply_atom(c->out, "block_size");
    reply_unsigned(c->out, info.block_size);
    reply_atom(c->out, "levels");
    reply_unsigned(c->out, info.levels);
    reply_atom(c->out, "capacity");
    reply_unsigned(c->out, info.capacity);
}

/* {blocks_repair, Handle, Limit, Place} -> {ok, Place} */
void perform_blocks_repair(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t limit, place;
    if (!call_number(c, 1, &limit) || !call_place(c, 2, &place)) {
        call_badarg(c);
        return;
    }
    emmap_error error = emmap_blocks_repair(c->file, limit, &place);
    call_answer_unsigned(c, error, place);
}
