// What every function that is given a file has in common: the file, its other arguments, where the core puts what it
// reads, and what it answers.
#ifndef EMMAP_ADDON_CALL_H
#define EMMAP_ADDON_CALL_H

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <node_api.h>

#include "buffer.h"
#include "failure.h"
#include "values.h"

// What JavaScript holds, as an external: finding what the object of a class holds costs 100 ns a call.
struct File {
    std::string path;
    // Empty once closed: the core ends a file (auto_unlink) when its last holder lets go, which must not wait for
    // a collector.
    Handle handle;
};

// A call with a file.
struct Call {
    napi_env env;
    File *file;
    const char *operation;       // the core's name, which its errors have
    const napi_value *arguments; // those behind the file
    napi_value self;             // what the function was called on: see error_factory
    bool *is_busy = nullptr;     // set, and nothing thrown, where somebody else has the lock

    emmap_file *core() const
    {
        return file->handle.get();
    }

    uint64_t unsigned_at(size_t index) const
    {
        return to_uint64(env, arguments[index]);
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

    // The one element of a BigUint64Array, by which JavaScript passes a number in and out.
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

    // Node-API takes no value for undefined.
    napi_value answer(emmap_error error, napi_value value = nullptr) const
    {
        return error ? fail(error) : value;
    }
};

// A Buffer of `length` bytes, and where they are; null where there is no memory for it. V8 ends the process where
// Node-API asks it for more memory than there is, but JavaScript's own constructors throw.
inline napi_value allocate_buffer(napi_env env, size_t length, void **data)
{
    napi_value empty = nullptr, constructor = nullptr, allocate = nullptr, size = nullptr, buffer = nullptr;
    if (napi_create_buffer(env, 0, nullptr, &empty) == napi_ok &&
        napi_get_named_property(env, empty, "constructor", &constructor) == napi_ok &&
        napi_get_named_property(env, constructor, "allocUnsafeSlow", &allocate) == napi_ok &&
        napi_create_double(env, static_cast<double>(length), &size) == napi_ok &&
        napi_call_function(env, constructor, allocate, 1, &size, &buffer) == napi_ok &&
        napi_get_buffer_info(env, buffer, data, nullptr) == napi_ok)
        return buffer;
    napi_value error = nullptr;
    napi_get_and_clear_last_exception(env, &error);
    return nullptr;
}

inline napi_value no_memory(const Call &call)
{
    const emmap_failure failure{
        static_cast<emmap_error>(ENOMEM), nullptr, "no memory for a Buffer", 0, 0, 0, EMMAP_ABOUT_FILE};
    return throw_error(call.env, call.self, Failure{call.operation, failure}, call.file->path.c_str());
}

// More than this V8 is asked for in a way that can fail. To ask so for little would cost more than to copy it.
constexpr size_t COPIED_INTO_BUFFER = 64 << 10;

// A copy. Throws where there is no memory.
inline napi_value copy_to_buffer(const Call &call, const void *data, size_t length)
{
    napi_value buffer = nullptr;
    if (length <= COPIED_INTO_BUFFER) {
        napi_create_buffer_copy(call.env, length, data, nullptr, &buffer);
        return buffer;
    }
    void *place = nullptr;
    buffer = allocate_buffer(call.env, length, &place);
    if (!buffer)
        return no_memory(call);
    std::memcpy(place, data, length);
    return buffer;
}

// Where the core puts what it read: malloc, because it calls with its locks held, when V8 must not be entered. For much
// the core is asked twice: what is read needs memory that is a Buffer already, so that nothing can fail once it is there.
struct Bytes {
    void *data = nullptr;
    size_t length = 0;
    napi_value buffer = nullptr;
    void *reserved = nullptr;
    size_t reserved_length = 0;

    emmap_sink sink()
    {
        return {allocate, this};
    }

    static void *allocate(void *context, size_t length)
    {
        Bytes *const self = static_cast<Bytes *>(context);
        self->length = length;
        if (self->reserved && length == self->reserved_length)
            return self->reserved;
        std::free(self->data);
        self->data = std::malloc(length ? length : 1);
        return self->data;
    }

    // As `allocate`, but refuses what is long until it is reserved.
    static void *allocate_reserved(void *context, size_t length)
    {
        Bytes *const self = static_cast<Bytes *>(context);
        if (length <= COPIED_INTO_BUFFER || (self->reserved && length == self->reserved_length))
            return allocate(context, length);
        self->length = length;
        return nullptr;
    }

    // Has the core read: `read` is called with the sink. ENOMEM: nothing was read.
    template <typename Read> emmap_error fill(napi_env env, Read read)
    {
        const emmap_sink into{allocate_reserved, this};
        for (;;) {
            length = 0;
            const emmap_error error = read(&into);
            // Somebody may change how much there is between two attempts.
            if (error != ENOMEM || length <= COPIED_INTO_BUFFER || length == reserved_length)
                return error;
            buffer = allocate_buffer(env, length, &reserved);
            if (!buffer)
                return error;
            reserved_length = length;
        }
    }

    napi_value to_buffer(const Call &call) const
    {
        return buffer && length == reserved_length ? buffer : copy_to_buffer(call, data, length);
    }

    ~Bytes()
    {
        std::free(data);
    }
};

// Where the core puts many things: one after the other, each behind its length in 32 bits, which src/packed.ts takes
// apart, since making a Buffer costs more here than in JavaScript. They go into a buffer that JavaScript uses again and
// again, if there is one and they fit, else into one Buffer for all of them.
struct Packed {
    iovec scratch;
    uint8_t *own = nullptr;
    size_t length = 0;
    size_t capacity = 0;

    emmap_sink sink()
    {
        capacity = scratch.iov_len;
        return {allocate, this};
    }

    uint8_t *data() const
    {
        return own ? own : static_cast<uint8_t *>(scratch.iov_base);
    }

    bool grow(size_t needed)
    {
        const size_t double_capacity = capacity ? 2 * capacity : 4096;
        size_t larger = needed > double_capacity ? needed : double_capacity;
        uint8_t *grown = static_cast<uint8_t *>(std::realloc(own, larger));
        if (!grown && larger > needed)
            grown = static_cast<uint8_t *>(std::realloc(own, larger = needed));
        if (!grown)
            return false;
        if (!own && length)
            std::memcpy(grown, scratch.iov_base, length);
        own = grown;
        capacity = larger;
        return true;
    }

    // The core has filled what it asked for before: it may move.
    static void *allocate(void *context, size_t length)
    {
        Packed *const self = static_cast<Packed *>(context);
        const uint32_t prefix = static_cast<uint32_t>(length);
        const size_t needed = self->length + sizeof prefix + length;
        if (needed > self->capacity && !self->grow(needed))
            return nullptr;
        std::memcpy(self->data() + self->length, &prefix, sizeof prefix);
        self->length = needed;
        return self->data() + needed - length;
    }

    // Their length where they are in the scratch buffer, else a Buffer. Throws where there is no memory for it.
    napi_value answer(const Call &call) const
    {
        return !own && scratch.iov_base ? make_number(call.env, length) : copy_to_buffer(call, own, length);
    }

    ~Packed()
    {
        std::free(own);
    }
};

// What a read answers: a Buffer, null at the end, or an error.
inline napi_value answer_read(const Call &call, emmap_error error, const Bytes &bytes)
{
    if (error == EMMAP_EOF)
        return make_null(call.env);
    return error ? call.fail(error) : bytes.to_buffer(call);
}

using Operation = napi_value (*)(const Call &call);

// Does an operation that found a lock taken again, until it is had or the file's lock_timeout is over.
napi_value try_again(const Call &call, Operation operation);

// What is called is an operation of an open file; for a closed one it is EMMAP_CLOSED.
template <Operation operation> napi_value invoke(napi_env env, napi_callback_info info)
{
    napi_value arguments[5];
    size_t count = sizeof arguments / sizeof *arguments;
    napi_value self;
    void *name;
    void *data;
    napi_get_cb_info(env, info, &count, arguments, &self, &name);
    if (napi_get_value_external(env, arguments[0], &data) != napi_ok)
        return nullptr;
    File *const file = static_cast<File *>(data);
    bool is_busy = false;
    const Call call{env, file, static_cast<const char *>(name), arguments + 1, self, &is_busy};
    if (file->handle) {
        const napi_value result = operation(call);
        return is_busy ? try_again(call, operation) : result;
    }
    const emmap_failure closed{EMMAP_CLOSED, nullptr, nullptr, 0, 0, 0, EMMAP_ABOUT_FILE};
    return throw_error(env, self, Failure{call.operation, closed}, file->path.c_str());
}

template <Operation operation> napi_property_descriptor define(const char *name, const char *core_name)
{
    return {name,    nullptr, invoke<operation>, nullptr,
            nullptr, nullptr, napi_enumerable,   const_cast<char *>(core_name)};
}

using Operations = std::vector<napi_property_descriptor>;

// The operations of queues, block storages and waits, besides those of every file.
void add_queue_operations(Operations &operations);
void add_blocks_operations(Operations &operations);
void add_wait_operations(Operations &operations);

#endif
