// The operations of every file that have no shape.
#include "background.h"
#include "bytes.h"
#include "operations.h"

namespace
{

napi_value describe(const Call &call)
{
    const napi_env env = call.env;
    emmap_info about;
    emmap_describe(call.core(), &about);
    napi_value result = nullptr;
    napi_create_object(env, &result);
    napi_set_named_property(env, result, "path", make_string(env, about.path));
    napi_set_named_property(env, result, "existed", make_boolean(env, about.existed));
    napi_set_named_property(env, result, "writable", make_boolean(env, about.flags & EMMAP_OPEN_WRITE));
    napi_set_named_property(env, result, "offset", make_number(env, about.offset));
    napi_set_named_property(env, result, "size", make_number(env, about.size));
    napi_set_named_property(env, result, "counters", make_number(env, emmap_counters_length(call.core())));
    return result;
}

napi_value file_control(const Call &call)
{
    return buffer_over_control(call.env, call.file->handle);
}

// (position, length, shown) → an ArrayBuffer
napi_value pread_direct(const Call &call)
{
    const bool shown = to_bool(call.env, call.arguments[2]);
    emmap_slice slice;
    emmap_error error = emmap_pread_direct(call.core(), call.unsigned_at(0), call.unsigned_at(1), &slice);
    if (error)
        return call.fail(error);
    // JavaScript has no read-only buffers, and a store to a read-only page would end the process.
    if (shown)
        error = emmap_slice_copy_on_write(&slice);
    if (error) {
        const napi_value thrown = call.fail(error);
        emmap_slice_release(&slice);
        return thrown;
    }
    return buffer_over_slice(call.env, slice, shown);
}

// (position, length) → Buffer | null
napi_value pread(const Call &call)
{
    Bytes bytes;
    const emmap_error error = bytes.fill(call.env, [&call](const emmap_sink *sink) {
        return emmap_pread(call.core(), call.unsigned_at(0), call.unsigned_at(1), sink);
    });
    return answer_read(call, error, bytes);
}

// (length) → Buffer | null
napi_value read(const Call &call)
{
    Bytes bytes;
    const emmap_error error = bytes.fill(call.env, [&call](const emmap_sink *sink) {
        return emmap_read(call.core(), call.unsigned_at(0), sink);
    });
    return answer_read(call, error, bytes);
}

// () → Buffer | null
napi_value read_line(const Call &call)
{
    Bytes bytes;
    const emmap_error error =
        bytes.fill(call.env, [&call](const emmap_sink *sink) { return emmap_read_line(call.core(), sink); });
    return answer_read(call, error, bytes);
}

// (position, bytes)
napi_value pwrite(const Call &call)
{
    const iovec vector = call.bytes_at(1);
    return call.answer(emmap_pwrite(call.core(), call.unsigned_at(0), &vector, 1));
}

// (bytes)
napi_value write(const Call &call)
{
    const iovec vector = call.bytes_at(0);
    return call.answer(emmap_write(call.core(), &vector, 1));
}

// (offset, whence) → the cursor
napi_value position(const Call &call)
{
    const emmap_whence whence = static_cast<emmap_whence>(to_int32(call.env, call.arguments[1]));
    uint64_t position = 0;
    const emmap_error error = emmap_position(call.core(), call.signed_at(0), whence, &position);
    return call.answer(error, make_number(call.env, position));
}

// (size) → the size
napi_value resize(const Call &call)
{
    uint64_t size = 0;
    const emmap_error error = emmap_resize(call.core(), call.unsigned_at(0), &size);
    return call.answer(error, make_number(call.env, size));
}

napi_value truncate(const Call &call)
{
    return call.answer(emmap_truncate(call.core()));
}

// (position, length)
napi_value allocate(const Call &call)
{
    return call.answer(emmap_allocate(call.core(), call.unsigned_at(0), call.unsigned_at(1)));
}

// (position, length, advice)
napi_value advise(const Call &call)
{
    const emmap_advice advice = static_cast<emmap_advice>(to_int32(call.env, call.arguments[2]));
    return call.answer(emmap_advise(call.core(), call.unsigned_at(0), call.unsigned_at(1), advice));
}

// (to) → a promise
napi_value backup(const Call &call)
{
    return in_background(call, emmap_backup, to_string(call.env, call.arguments[0]));
}

// () → an array of handles
napi_value writers(const Call &call)
{
    const napi_env env = call.env;
    std::vector<emmap_writer> all(EMMAP_WRITERS);
    size_t count = 0;
    const emmap_error error = emmap_writers(call.core(), all.data(), all.size(), &count);
    if (error)
        return call.fail(error);
    napi_value result = nullptr;
    napi_create_array_with_length(env, count, &result);
    for (uint32_t i = 0; i < count; i++) {
        napi_value writer = nullptr;
        napi_create_object(env, &writer);
        napi_set_named_property(env, writer, "process", make_number(env, all[i].process));
        napi_set_named_property(env, writer, "program", make_string(env, all[i].program));
        napi_set_named_property(env, writer, "since", make_number(env, all[i].since));
        napi_set_named_property(env, writer, "hasLock", make_boolean(env, all[i].has_lock));
        napi_set_named_property(env, writer, "waited", make_number(env, all[i].waited));
        napi_set_named_property(env, writer, "pushed", make_number(env, all[i].pushed));
        napi_set_named_property(env, writer, "popped", make_number(env, all[i].popped));
        napi_set_element(env, result, i, writer);
    }
    return result;
}

} // namespace

void add_file_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<describe>("describe"),
                                      define<file_control>("file_control"),
                                      define<pread_direct>("pread_direct"),
                                      define<pread>("pread"),
                                      define<read>("read"),
                                      define<read_line>("read_line"),
                                      define<pwrite>("pwrite"),
                                      define<write>("write"),
                                      define<position>("position"),
                                      define<resize>("resize"),
                                      define<truncate>("truncate"),
                                      define<allocate>("allocate"),
                                      define<advise>("advise"),
                                      define<backup>("backup"),
                                      define<writers>("writers"),
                                      define("revoke", revoke),
                                      define("moved", moved),
                                  });
}
