// The operations of a block storage.
#include <cerrno>

#include "call.h"

namespace
{

// store(bytes) → address
napi_value store(const Call &call)
{
    const iovec block = call.bytes_at(0);
    uint64_t address = 0;
    const emmap_error error = emmap_block_store(call.core(), &block, &address);
    return call.answer(error, make_number(call.env, address));
}

// storeMany([bytes, …]) → [address, …]
napi_value store_many(const Call &call)
{
    const std::vector<iovec> blocks = call.list_at(0);
    std::vector<uint64_t> addresses(blocks.size());
    const emmap_error error =
        emmap_block_store_many(call.core(), blocks.data(), blocks.size(), addresses.data());
    if (error)
        return call.fail(error);
    napi_value array = nullptr;
    napi_create_array_with_length(call.env, addresses.size(), &array);
    for (size_t i = 0; i < addresses.size(); i++)
        napi_set_element(call.env, array, static_cast<uint32_t>(i), make_number(call.env, addresses[i]));
    return array;
}

// read(address) → Buffer, or null where there is no such block
napi_value read(const Call &call)
{
    Bytes bytes;
    const emmap_error error = bytes.fill(call.env, [&call](const emmap_sink *sink) {
        return emmap_block_read(call.core(), call.unsigned_at(0), sink);
    });
    if (error == ENOENT)
        return make_null(call.env);
    return error ? call.fail(error) : bytes.to_buffer(call);
}

// free(address) → whether there was such a block
napi_value release(const Call &call)
{
    const emmap_error error = emmap_block_free(call.core(), call.unsigned_at(0));
    if (error == ENOENT)
        return make_boolean(call.env, false);
    return call.answer(error, make_boolean(call.env, true));
}

// freeMany([address, …]) → whether there were all these blocks
napi_value release_many(const Call &call)
{
    uint32_t length = 0;
    napi_get_array_length(call.env, call.arguments[0], &length);
    std::vector<uint64_t> addresses(length);
    for (uint32_t i = 0; i < length; i++) {
        napi_value address = nullptr;
        napi_get_element(call.env, call.arguments[0], i, &address);
        addresses[i] = to_uint64(call.env, address);
    }
    const emmap_error error = emmap_block_free_many(call.core(), addresses.data(), addresses.size());
    if (error == ENOENT)
        return make_boolean(call.env, false);
    return call.answer(error, make_boolean(call.env, true));
}

// walk(limit, place): the blocks, packed, and their addresses, from the place in the BigUint64Array on, which becomes
// the next one.
napi_value walk(const Call &call)
{
    const size_t limit = static_cast<size_t>(call.unsigned_at(0));
    uint64_t place = call.load_at(1);
    std::vector<uint64_t> addresses(limit);
    Packed blocks{};
    const emmap_sink sink = blocks.sink();
    size_t count = 0;
    const emmap_error error = emmap_blocks_walk(call.core(), limit, &place, addresses.data(), &sink, &count);
    if (error && error != EMMAP_EOF)
        return call.fail(error);
    if (error)
        count = 0;
    const napi_value packed = blocks.answer(call);
    if (!packed)
        return nullptr;
    call.store_at(1, place);
    napi_value array = nullptr;
    napi_create_array_with_length(call.env, count + 1, &array);
    napi_set_element(call.env, array, 0, packed);
    for (size_t i = 0; i < count; i++)
        napi_set_element(call.env, array, static_cast<uint32_t>(i + 1), make_number(call.env, addresses[i]));
    return array;
}

// compact() → how many bytes were given back
napi_value compact(const Call &call)
{
    uint64_t bytes = 0;
    const emmap_error error = emmap_blocks_compact(call.core(), &bytes);
    return call.answer(error, make_number(call.env, bytes));
}

napi_value count(const Call &call)
{
    uint64_t count = 0;
    const emmap_error error = emmap_blocks_count(call.core(), &count);
    return call.answer(error, make_number(call.env, count));
}

napi_value info(const Call &call)
{
    emmap_blocks_metadata about{};
    const emmap_error error = emmap_blocks_info(call.core(), &about);
    if (error)
        return call.fail(error);
    napi_value result = nullptr;
    napi_create_object(call.env, &result);
    napi_set_named_property(call.env, result, "blockSize", make_number(call.env, about.block_size));
    napi_set_named_property(call.env, result, "levels", make_number(call.env, about.levels));
    napi_set_named_property(call.env, result, "capacity", make_number(call.env, about.capacity));
    return result;
}

// repair(limit, place) → whether there is more to do from the place in the BigUint64Array on
napi_value repair(const Call &call)
{
    uint64_t place = call.load_at(1);
    const emmap_error error = emmap_blocks_repair(call.core(), call.unsigned_at(0), &place);
    call.store_at(1, place);
    return call.answer(error, make_boolean(call.env, place != 0));
}

} // namespace

void add_blocks_operations(Operations &operations)
{
    operations.insert(operations.end(), {
                                            define<store>("blockStore", "block_store"),
                                            define<store_many>("blockStoreMany", "block_store_many"),
                                            define<read>("blockRead", "block_read"),
                                            define<release>("blockFree", "block_free"),
                                            define<release_many>("blockFreeMany", "block_free_many"),
                                            define<walk>("blocksWalk", "blocks_walk"),
                                            define<count>("blocksCount", "blocks_count"),
                                            define<info>("blocksInfo", "blocks_info"),
                                            define<repair>("blocksRepair", "blocks_repair"),
                                            define<compact>("blocksCompact", "blocks_compact"),
                                        });
}
