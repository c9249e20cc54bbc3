// The operations of a table that have no shape.
#include <cerrno>
#include <cstring>

#include "bytes.h"
#include "operations.h"

namespace
{

constexpr size_t HIT_NUMBERS = 4;

// A key: a string, as UTF-8, or bytes.
class Key
{
  public:
    Key(const Call &call, size_t index)
    {
        const napi_value key = call.arguments[index];
        char16_t units[SHORT + STEP];
        if (napi_get_value_string_utf16(call.env, key, units, SHORT + 1, &length) != napi_ok) {
            const iovec given = call.bytes_at(index);
            bytes = given.iov_base;
            length = given.iov_len;
            return;
        }
        bytes = text;
        // A longer string is cut off behind the limit of the core, which refuses it.
        if (length == SHORT || !copy_ascii(units))
            napi_get_value_string_utf8(call.env, key, text, sizeof text, &length);
    }

    const void *bytes;
    size_t length = 0;

  private:
    static constexpr size_t STEP = 8;
    static constexpr size_t SHORT = 8 * STEP;
    using Units = char16_t __attribute__((vector_size(2 * STEP)));
    using Narrow = char __attribute__((vector_size(STEP)));

    // Most keys are short and ASCII. V8 copies their UTF-16 in less time than it makes UTF-8. False: there are others.
    bool copy_ascii(char16_t *units)
    {
        std::memset(units + length, 0, STEP * sizeof *units);
        Units seen{};
        for (size_t at = 0; at < length; at += STEP) {
            Units some;
            std::memcpy(&some, units + at, sizeof some);
            seen |= some;
            const Narrow narrow = __builtin_convertvector(some, Narrow);
            std::memcpy(text + at, &narrow, sizeof narrow);
        }
        uint64_t halves[2];
        std::memcpy(halves, &seen, sizeof halves);
        return ((halves[0] | halves[1]) & UINT64_C(0xff80ff80ff80ff80)) == 0;
    }

    char text[1032];
};

uint64_t word_at(const Call &call, size_t index)
{
    int64_t word = -1;
    napi_get_value_int64(call.env, call.arguments[index], &word);
    return static_cast<uint64_t>(word);
}

// (key, word, value) → the word before
template <emmap_error (*operation)(emmap_file *, const void *, size_t, uint64_t, int64_t, int64_t *)>
napi_value update(const Call &call)
{
    const Key key(call, 0);
    int64_t old = 0;
    const emmap_error error =
        operation(call.core(), key.bytes, key.length, word_at(call, 1), call.signed_at(2), &old);
    return call.answer(error, make_bigint(call.env, old));
}

// (key, word, expected, replacement) → the word before
napi_value compare_exchange(const Call &call)
{
    const Key key(call, 0);
    int64_t old = 0;
    const emmap_error error = emmap_table_compare_exchange(
        call.core(), key.bytes, key.length, word_at(call, 1), call.signed_at(2), call.signed_at(3), &old);
    return call.answer(error, make_bigint(call.env, old));
}

// (key, word) → the word; undefined: there is no such key
napi_value get(const Call &call)
{
    const Key key(call, 0);
    int64_t value = 0;
    const emmap_error error = emmap_table_get(call.core(), key.bytes, key.length, word_at(call, 1), &value);
    if (error == ENOENT)
        return make_undefined(call.env);
    return call.answer(error, make_bigint(call.env, value));
}

// (key) → true; false: there was no such key
napi_value remove(const Call &call)
{
    const Key key(call, 0);
    const emmap_error error = emmap_table_delete(call.core(), key.bytes, key.length);
    return error && error != ENOENT ? call.fail(error) : make_boolean(call.env, error == EMMAP_OK);
}

// (key, [position, generation]): inserts the key if it is not there. The Float64Array gets the place.
napi_value find(const Call &call)
{
    const Key key(call, 0);
    emmap_table_place place{};
    const emmap_error error = emmap_table_find(call.core(), key.bytes, key.length, true, &place);
    if (double *const numbers = static_cast<double *>(call.bytes_at(1).iov_base)) {
        numbers[0] = static_cast<double>(place.position);
        numbers[1] = place.generation;
    }
    return call.answer(error);
}

// () → a Float64Array of 4 elements, for hit
napi_value numbers(const Call &call)
{
    File &file = *call.file;
    void *data = nullptr;
    napi_value memory = nullptr;
    napi_value array = nullptr;
    if (file.numbers_array ||
        napi_create_arraybuffer(call.env, HIT_NUMBERS * sizeof(double), &data, &memory) != napi_ok ||
        napi_create_typedarray(call.env, napi_float64_array, HIT_NUMBERS, memory, 0, &array) != napi_ok ||
        napi_create_reference(call.env, array, 1, &file.numbers_array) != napi_ok)
        return nullptr;
    file.numbers = static_cast<double *>(data);
    return array;
}

// (key) → whether it is allowed. The numbers are limit, windowMs, cost and flags; and then the use, the rest, and the
// time to the end of the window.
napi_value hit(const Call &call)
{
    double *const given = call.file->numbers;
    if (!given)
        return nullptr;
    const Key key(call, 0);
    const emmap_table_limit limit{static_cast<uint64_t>(given[0]), static_cast<uint64_t>(given[1]),
                                  static_cast<int64_t>(given[2]), static_cast<uint32_t>(given[3])};
    emmap_table_hit_result result;
    const emmap_error error = emmap_table_hit(call.core(), key.bytes, key.length, &limit, &result);
    // If the lock is taken, the operation is tried again with the same numbers.
    if (error)
        return call.fail(error);
    given[0] = static_cast<double>(result.used);
    given[1] = static_cast<double>(result.remaining);
    given[2] = static_cast<double>(result.reset_ms);
    return make_boolean(call.env, result.allowed);
}

// (limit, place) → packed entries; null at the end. The BigUint64Array has the place, in and out.
napi_value walk(const Call &call)
{
    Packed entries;
    const emmap_sink sink = entries.sink();
    uint64_t place = call.load_at(1);
    uint64_t count = 0;
    const emmap_error error = emmap_table_walk(call.core(), call.unsigned_at(0), &place, &sink, &count);
    call.store_at(1, place);
    if (error == EMMAP_EOF)
        return make_null(call.env);
    return error ? call.fail(error) : entries.to_buffer(call);
}

// () → the shape
napi_value info(const Call &call)
{
    emmap_table_metadata about{};
    const emmap_error error = emmap_table_info(call.core(), &about);
    if (error)
        return call.fail(error);
    napi_value result = nullptr;
    napi_create_object(call.env, &result);
    napi_set_named_property(call.env, result, "capacity", make_number(call.env, about.capacity));
    napi_set_named_property(call.env, result, "keyBytes", make_number(call.env, about.key_bytes));
    napi_set_named_property(call.env, result, "words", make_number(call.env, about.words));
    return result;
}

} // namespace

void add_table_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<update<emmap_table_add>>("table_add"),
                                      define<update<emmap_table_set>>("table_set"),
                                      define<compare_exchange>("table_compare_exchange"),
                                      define<get>("table_get"),
                                      define<remove>("table_delete"),
                                      define<find>("table_find"),
                                      define<numbers>("table_numbers"),
                                      define<hit>("table_hit"),
                                      define<walk>("table_walk"),
                                      define<info>("table_info"),
                                  });
}
