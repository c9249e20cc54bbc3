// The operations of a block storage that have no shape.
#include <cerrno>

#include "bytes.h"
#include "operations.h"

namespace
{

// (bytes) → the address
napi_value store(const Call &call)
{
    const iovec block = call.bytes_at(0);
    uint64_t address = 0;
    const emmap_error error = emmap_block_store(call.core(), &block, &address);
    return call.answer(error, make_number(call.env, address));
}

// ([bytes, …]) → [address, …]
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

// (address) → Buffer; null: there is no such block
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

// ([address, …]) → true; false: not all of these blocks are there
napi_value free_many(const Call &call)
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

// (limit, place) → [packed, address, …]. The BigUint64Array has the place where the walk goes on, in and out.
napi_value walk(const Call &call)
{
    const size_t limit = static_cast<size_t>(call.unsigned_at(0));
    uint64_t place = call.load_at(1);
    std::vector<uint64_t> addresses(limit);
    Packed blocks;
    const emmap_sink sink = blocks.sink();
    size_t count = 0;
    const emmap_error error = emmap_blocks_walk(call.core(), limit, &place, addresses.data(), &sink, &count);
    if (error && error != EMMAP_EOF)
        return call.fail(error);
    if (error)
        count = 0;
    const napi_value packed = blocks.to_buffer(call);
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

// () → the header
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

// (limit, place) → true: there is more to do, from the place in the BigUint64Array on
napi_value repair(const Call &call)
{
    uint64_t place = call.load_at(1);
    const emmap_error error = emmap_blocks_repair(call.core(), call.unsigned_at(0), &place);
    call.store_at(1, place);
    return call.answer(error, make_boolean(call.env, place != 0));
}

} // namespace

void add_blocks_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<store>("block_store"),
                                      define<store_many>("block_store_many"),
                                      define<read>("block_read"),
                                      define<free_many>("block_free_many"),
                                      define<walk>("blocks_walk"),
                                      define<info>("blocks_info"),
                                      define<repair>("blocks_repair"),
                                  });
}
