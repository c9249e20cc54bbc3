// A call of an operation on an open file: its arguments, its answer, its error.
#ifndef EMMAP_ADDON_CALL_H
#define EMMAP_ADDON_CALL_H

#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

#include <node_api.h>

#include "buffer.h"
#include "failure.h"
#include "values.h"

// An open file. JavaScript holds it as an external, because to find the object behind a class takes 100 ns a call.
struct File {
    std::string path;
    // Empty once closed. The core deletes an auto_unlink file when the last holder lets go, and that must not wait
    // for the garbage collector.
    Handle handle;
    // Of a table: where a hit takes its numbers and gives others. To find the memory of an array at each hit costs a tenth
    // of the hit. The reference keeps the memory, which V8 never moves, and nothing but src/table.ts has the array.
    double *numbers = nullptr;
    napi_ref numbers_array = nullptr;
};

struct Call {
    napi_env env;
    File *file;
    const char *operation;       // the name that errors show
    const napi_value *arguments; // without the file
    napi_value self;             // the object that the function was called on: see error_factory
    bool *is_busy = nullptr;     // set, and nothing thrown, when another handle has the lock

    emmap_file *core() const
    {
        return file->handle.get();
    }

    uint64_t unsigned_at(size_t index) const
    {
        return to_uint64(env, arguments[index]);
    }

    // A number below 2^53, or a bigint, which costs more to make and to read.
    uint64_t ticket_at(size_t index) const
    {
        double number = 0;
        return napi_get_value_double(env, arguments[index], &number) == napi_ok
                   ? static_cast<uint64_t>(number)
                   : unsigned_at(index);
    }

    int64_t signed_at(size_t index) const
    {
        return to_int64(env, arguments[index]);
    }

    iovec bytes_at(size_t index) const
    {
        void *data = nullptr;
        size_t length = 0;
        napi_get_typedarray_info(env, arguments[index], nullptr, &length, &data, nullptr, nullptr);
        return {data, length};
    }

    std::vector<iovec> list_at(size_t index) const
    {
        uint32_t length = 0;
        napi_get_array_length(env, arguments[index], &length);
        std::vector<iovec> list(length);
        for (uint32_t i = 0; i < length; i++) {
            napi_value bytes = nullptr;
            napi_get_element(env, arguments[index], i, &bytes);
            napi_get_typedarray_info(env, bytes, nullptr, &list[i].iov_len, &list[i].iov_base, nullptr,
                                     nullptr);
        }
        return list;
    }

    // The element of a BigUint64Array of length 1, which passes a number in and out.
    uint64_t load_at(size_t index) const
    {
        const iovec cell = bytes_at(index);
        return cell.iov_base ? *static_cast<const uint64_t *>(cell.iov_base) : 0;
    }

    void store_at(size_t index, uint64_t value) const
    {
        const iovec cell = bytes_at(index);
        if (cell.iov_base)
            *static_cast<uint64_t *>(cell.iov_base) = value;
    }

    napi_value fail(emmap_error error) const
    {
        if (error == ETIMEDOUT && is_busy) {
            *is_busy = true;
            return nullptr;
        }
        return throw_error(env, self, last_failure(operation, error), file->path.c_str());
    }

    // undefined unless there is a value.
    napi_value answer(emmap_error error, napi_value value = nullptr) const
    {
        return error ? fail(error) : value;
    }
};

using Operation = napi_value (*)(const Call &call);

// Repeats an operation that found a lock taken, until it gets the lock or the file's lock_timeout is over.
napi_value retry(const Call &call, Operation operation);

// An operation on an open file, and its name in errors.
struct Definition {
    Operation operation;
    std::atomic<const char *> shown; // set when the addon is loaded, also by several threads
};

// JavaScript calls this one function for every operation. That keeps the addon small, of which the package has one for each
// platform. The function answers EMMAP_CLOSED for a closed file, so the operations never see one.
napi_value invoke(napi_env env, napi_callback_info info);

using Exports = std::vector<napi_property_descriptor>;

// A function that is not about an open file.
inline napi_property_descriptor define(const char *name, napi_callback callback, const void *data = nullptr)
{
    return {name, nullptr, callback, nullptr, nullptr, nullptr, napi_enumerable, const_cast<void *>(data)};
}

template <Operation operation> inline Definition definition{operation, {}};

// An operation on an open file. `shown` is its name in errors.
template <Operation operation> napi_property_descriptor define(const char *name, const char *shown)
{
    definition<operation>.shown.store(shown, std::memory_order_relaxed);
    return define(name, invoke, &definition<operation>);
}

template <Operation operation> napi_property_descriptor define(const char *name)
{
    return define<operation>(name, name);
}

#endif
