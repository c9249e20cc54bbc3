#include "bytes.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace
{

// V8 can refuse more than this without ending the process. For less it costs more to ask than to copy.
constexpr size_t COPIED_INTO_BUFFER = 64 << 10;

// A Buffer of `length` bytes; null if there is no memory for it. V8 ends the process where Node-API asks for more
// memory than there is, but JavaScript's own constructors throw.
napi_value allocate_buffer(napi_env env, size_t length, void **data)
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

napi_value copy_to_buffer(const Call &call, const void *data, size_t length)
{
    napi_value buffer = nullptr;
    if (length <= COPIED_INTO_BUFFER) {
        napi_create_buffer_copy(call.env, length, data, nullptr, &buffer);
        return buffer;
    }
    void *place = nullptr;
    buffer = allocate_buffer(call.env, length, &place);
    if (!buffer) {
        const emmap_failure failure{
            static_cast<emmap_error>(ENOMEM), nullptr, "no memory for a Buffer", 0, 0, 0, EMMAP_ABOUT_FILE};
        return throw_error(call.env, call.self, Failure{call.operation, failure}, call.file->path.c_str());
    }
    std::memcpy(place, data, length);
    return buffer;
}

using Prefix = uint32_t;

// Writes the length of a piece and returns where the piece goes.
uint8_t *put_prefix(uint8_t *at, size_t length)
{
    const Prefix prefix = static_cast<Prefix>(length);
    std::memcpy(at, &prefix, sizeof prefix);
    return at + sizeof prefix;
}

} // namespace

void *Bytes::allocate(void *context, size_t length)
{
    Bytes *const self = static_cast<Bytes *>(context);
    self->length = length;
    if (self->reserved && length == self->reserved_length)
        return self->reserved;
    if (length > COPIED_INTO_BUFFER)
        return nullptr;
    std::free(self->data);
    self->data = std::malloc(length ? length : 1);
    return self->data;
}

bool Bytes::reserve(napi_env env)
{
    // The length may differ from attempt to attempt, since others write meanwhile.
    if (length <= COPIED_INTO_BUFFER || length == reserved_length)
        return false;
    reserved = nullptr;
    reserved_length = length;
    buffer = allocate_buffer(env, length, &reserved);
    return buffer != nullptr;
}

napi_value Bytes::to_buffer(const Call &call) const
{
    return buffer && length == reserved_length ? buffer : copy_to_buffer(call, data, length);
}

Bytes::~Bytes()
{
    std::free(data);
}

napi_value answer_read(const Call &call, emmap_error error, const Bytes &bytes)
{
    if (error == EMMAP_EOF)
        return make_null(call.env);
    return error ? call.fail(error) : bytes.to_buffer(call);
}

bool Packed::grow(size_t needed)
{
    const size_t double_capacity = capacity ? 2 * capacity : 4096;
    size_t larger = needed > double_capacity ? needed : double_capacity;
    uint8_t *grown = static_cast<uint8_t *>(std::realloc(data, larger));
    if (!grown && larger > needed)
        grown = static_cast<uint8_t *>(std::realloc(data, larger = needed));
    if (!grown)
        return false;
    data = grown;
    capacity = larger;
    return true;
}

// The core has filled the pieces before this one, so they may move.
void *Packed::allocate(void *context, size_t length)
{
    Packed *const self = static_cast<Packed *>(context);
    const size_t begin = self->length;
    const size_t needed = begin + sizeof(Prefix) + length;
    if (needed > self->capacity && !self->grow(needed))
        return nullptr;
    self->length = needed;
    return put_prefix(self->data + begin, length);
}

napi_value Packed::to_buffer(const Call &call) const
{
    return copy_to_buffer(call, data, length);
}

Packed::~Packed()
{
    std::free(data);
}

void *Room::allocate(void *context, size_t length)
{
    Room *const self = static_cast<Room *>(context);
    const size_t size = (self->packed ? sizeof(Prefix) : 0) + length;
    if (self->place.iov_len - self->length < size) {
        self->needed = size;
        return nullptr;
    }
    uint8_t *const at = static_cast<uint8_t *>(self->place.iov_base) + self->length;
    self->length += size;
    self->count++;
    return self->packed ? put_prefix(at, length) : at;
}

napi_value Room::answer(const Call &call, emmap_error error) const
{
    if (error == EMMAP_EOF)
        return make_null(call.env);
    if (needed == 0 && error)
        return call.fail(error);
    napi_value number = nullptr;
    napi_create_double(call.env, needed ? -static_cast<double>(needed) : static_cast<double>(length),
                       &number);
    return number;
}
