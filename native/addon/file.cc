#include "file.h"

#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "call.h"
#include "failure.h"
#include "sync.h"
#include "values.h"
#include "waiting.h"

namespace
{

// JavaScript has no read-only buffers, and a store to a read-only page would end the process. So the pages that
// a buffer shows of a read-only file (which src/ maps private) are copied when somebody writes to them.
bool copy_on_write(const emmap_slice &slice)
{
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = reinterpret_cast<uintptr_t>(slice.data) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(slice.data) + static_cast<uintptr_t>(slice.length);
    return mprotect(reinterpret_cast<void *>(begin), end - begin, PROT_READ | PROT_WRITE) == 0;
}

emmap_error read_options(napi_env env, napi_value given, emmap_options *options)
{
    uint32_t length = 0;
    napi_get_array_length(env, given, &length);
    for (uint32_t i = 0; i + 1 < length; i += 2) {
        napi_value name = nullptr;
        napi_value number = nullptr;
        napi_get_element(env, given, i, &name);
        napi_get_element(env, given, i + 1, &number);
        const uint64_t value = to_uint64(env, number);
        const emmap_error error =
            emmap_option_set(options, to_string(env, name).c_str(), is_null(env, number) ? nullptr : &value);
        if (error)
            return error;
    }
    return EMMAP_OK;
}

// A file that nobody closes is closed when it is collected, and descriptors run out long before memory does: so an open
// file counts as this much memory with V8, which collects for some hundreds of them.
constexpr int64_t OPEN_FILE_COUNTS_AS = 256 << 10;

void count_open_file(napi_env env, int64_t bytes)
{
    int64_t all;
    napi_adjust_external_memory(env, bytes, &all);
}

void collected(napi_env env, void *data, void *)
{
    File *const file = static_cast<File *>(data);
    if (file->handle)
        count_open_file(env, -OPEN_FILE_COUNTS_AS);
    delete file;
}

// What is to be opened: the core's operation, and the numbers of its own that it takes.
struct Opening {
    std::string operation;
    std::string path;
    emmap_options options;
    uint64_t first;
    uint64_t second;

    emmap_error open(emmap_file **core) const
    {
        if (operation == "counters_open")
            return emmap_counters_open(path.c_str(), first, &options, core);
        if (operation == "queue_open")
            return emmap_queue_open(path.c_str(), &options, core);
        if (operation == "blocks_open")
            return emmap_blocks_open(path.c_str(), first, static_cast<unsigned>(second), &options, core);
        return emmap_open(path.c_str(), &options, core);
    }

    // As try_again does.
    emmap_error open_patiently(napi_env env, emmap_file **core) const
    {
        emmap_error error = open(core);
        if (error != ETIMEDOUT)
            return error;
        const Patience patience(options.has_lock_timeout ? options.lock_timeout : EMMAP_LOCK_TIMEOUT);
        while (error == ETIMEDOUT && patience.is_left() && is_alive(env))
            error = open(core);
        return error;
    }

    const char *name() const
    {
        for (const char *const known : {"counters_open", "queue_open", "blocks_open"})
            if (operation == known)
                return known;
        return "open";
    }
};

napi_value open(napi_env env, napi_callback_info info)
{
    size_t count = 5;
    napi_value arguments[5] = {};
    napi_value self = nullptr;
    napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
    Opening opening{to_string(env, arguments[0]), to_string(env, arguments[1]), {}, 0, 0};
    emmap_error error = read_options(env, arguments[2], &opening.options);
    if (count > 3)
        opening.first = to_uint64(env, arguments[3]);
    if (count > 4)
        opening.second = to_uint64(env, arguments[4]);
    emmap_file *core = nullptr;
    if (!error)
        error = opening.open_patiently(env, &core);
    const std::string &path = opening.path;
    if (error)
        return throw_error(env, self, last_failure(opening.name(), error), path.c_str());
    File *const file = new File{path, Handle(core, emmap_free)};
    napi_value result = nullptr;
    if (napi_create_external(env, file, collected, nullptr, &result) == napi_ok)
        count_open_file(env, OPEN_FILE_COUNTS_AS);
    else
        delete file;
    return result;
}

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

napi_value is_current(const Call &call)
{
    bool current = false;
    const emmap_error error = emmap_is_current(call.core(), &current);
    return call.answer(error, make_boolean(call.env, current));
}

napi_value close(const Call &call)
{
    const emmap_error error = emmap_close(call.core());
    if (call.file->handle)
        count_open_file(call.env, -OPEN_FILE_COUNTS_AS);
    call.file->handle.reset();
    return call.answer(error);
}

napi_value control(const Call &call)
{
    return buffer_over_control(call.env, call.file->handle);
}

// lend(position, length, shown)
napi_value lend(const Call &call)
{
    const bool shown = to_bool(call.env, call.arguments[2]);
    emmap_slice slice;
    const emmap_error error =
        emmap_pread_direct(call.core(), call.unsigned_at(0), call.unsigned_at(1), &slice);
    if (error)
        return call.fail(error);
    emmap_info about;
    emmap_describe(call.core(), &about);
    if (shown && !(about.flags & EMMAP_OPEN_WRITE) && !copy_on_write(slice)) {
        const emmap_error cause = static_cast<emmap_error>(errno);
        emmap_slice_release(&slice);
        const emmap_failure failure{
            cause, "mprotect",      "a buffer over a read-only file needs a mapping that is private", 0, 0,
            0,     EMMAP_ABOUT_FILE};
        return throw_error(call.env, call.self, Failure{call.operation, failure}, call.file->path.c_str());
    }
    return buffer_over_slice(call.env, slice, shown);
}

napi_value pread(const Call &call)
{
    Bytes bytes;
    const emmap_error error = bytes.fill(call.env, [&call](const emmap_sink *sink) {
        return emmap_pread(call.core(), call.unsigned_at(0), call.unsigned_at(1), sink);
    });
    return answer_read(call, error, bytes);
}

napi_value read(const Call &call)
{
    Bytes bytes;
    const emmap_error error = bytes.fill(call.env, [&call](const emmap_sink *sink) {
        return emmap_read(call.core(), call.unsigned_at(0), sink);
    });
    return answer_read(call, error, bytes);
}

napi_value read_line(const Call &call)
{
    Bytes bytes;
    const emmap_error error =
        bytes.fill(call.env, [&call](const emmap_sink *sink) { return emmap_read_line(call.core(), sink); });
    return answer_read(call, error, bytes);
}

napi_value pwrite(const Call &call)
{
    const iovec vector = call.bytes_at(1);
    return call.answer(emmap_pwrite(call.core(), call.unsigned_at(0), &vector, 1));
}

napi_value write(const Call &call)
{
    const iovec vector = call.bytes_at(0);
    return call.answer(emmap_write(call.core(), &vector, 1));
}

napi_value position(const Call &call)
{
    const emmap_whence whence = static_cast<emmap_whence>(to_int32(call.env, call.arguments[1]));
    uint64_t position = 0;
    const emmap_error error = emmap_position(call.core(), call.signed_at(0), whence, &position);
    return call.answer(error, make_number(call.env, position));
}

napi_value resize(const Call &call)
{
    uint64_t size = 0;
    const emmap_error error = emmap_resize(call.core(), call.unsigned_at(0), &size);
    return call.answer(error, make_number(call.env, size));
}

napi_value allocate(const Call &call)
{
    return call.answer(emmap_allocate(call.core(), call.unsigned_at(0), call.unsigned_at(1)));
}

napi_value advise(const Call &call)
{
    const emmap_advice advice = static_cast<emmap_advice>(to_int32(call.env, call.arguments[2]));
    return call.answer(emmap_advise(call.core(), call.unsigned_at(0), call.unsigned_at(1), advice));
}

napi_value patomic_store(const Call &call)
{
    return call.answer(emmap_patomic_store(call.core(), call.unsigned_at(0), call.signed_at(1)));
}

template <emmap_error (*operation)(emmap_file *)> napi_value simple(const Call &call)
{
    return call.answer(operation(call.core()));
}

template <emmap_error (*operation)(emmap_file *)> emmap_error without_path(emmap_file *file, const char *)
{
    return operation(file);
}

template <emmap_error (*operation)(emmap_file *)> napi_value in_background(const Call &call)
{
    return sync_in_background(call.env, call.self, call.file->handle, call.file->path,
                              without_path<operation>, call.operation);
}

// backup(to)
napi_value backup(const Call &call)
{
    return sync_in_background(call.env, call.self, call.file->handle, call.file->path, emmap_backup,
                              call.operation, to_string(call.env, call.arguments[0]));
}

template <emmap_error (*operation)(emmap_file *, uint64_t *)> napi_value sized(const Call &call)
{
    uint64_t size = 0;
    const emmap_error error = operation(call.core(), &size);
    return call.answer(error, make_number(call.env, size));
}

template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t, int64_t *)>
napi_value arithmetic(const Call &call)
{
    int64_t old = 0;
    const emmap_error error = operation(call.core(), call.unsigned_at(0), call.signed_at(1), &old);
    return call.answer(error, make_bigint(call.env, old));
}

template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t, int64_t, int64_t *)>
napi_value compare_exchange(const Call &call)
{
    int64_t old = 0;
    const emmap_error error =
        operation(call.core(), call.unsigned_at(0), call.signed_at(1), call.signed_at(2), &old);
    return call.answer(error, make_bigint(call.env, old));
}

template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t *)> napi_value load(const Call &call)
{
    int64_t value = 0;
    const emmap_error error = operation(call.core(), call.unsigned_at(0), &value);
    return call.answer(error, make_bigint(call.env, value));
}

} // namespace

void define_operations(napi_env env, napi_value exports)
{
    Operations operations = {
        {"open", nullptr, open, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
        define<describe>("describe", "describe"),
        define<control>("control", "file_control"),
        define<lend>("lend", "pread_direct"),
        define<close>("close", "close"),
        define<sized<emmap_size>>("size", "size"),
        define<pread>("pread", "pread"),
        define<read>("read", "read"),
        define<read_line>("readLine", "read_line"),
        define<pwrite>("pwrite", "pwrite"),
        define<write>("write", "write"),
        define<position>("position", "position"),
        define<resize>("resize", "resize"),
        define<sized<emmap_follow>>("follow", "follow"),
        define<simple<emmap_truncate>>("truncate", "truncate"),
        define<allocate>("allocate", "allocate"),
        define<advise>("advise", "advise"),
        define<simple<emmap_flush>>("flush", "flush"),
        define<in_background<emmap_sync>>("sync", "sync"),
        define<in_background<emmap_datasync>>("datasync", "datasync"),
        define<backup>("backup", "backup"),
        define<is_current>("isCurrent", "is_current"),
        define<arithmetic<emmap_patomic_add>>("patomicAdd", "patomic_add"),
        define<arithmetic<emmap_patomic_sub>>("patomicSub", "patomic_sub"),
        define<arithmetic<emmap_patomic_and>>("patomicAnd", "patomic_and"),
        define<arithmetic<emmap_patomic_or>>("patomicOr", "patomic_or"),
        define<arithmetic<emmap_patomic_xor>>("patomicXor", "patomic_xor"),
        define<arithmetic<emmap_patomic_exchange>>("patomicExchange", "patomic_exchange"),
        define<compare_exchange<emmap_patomic_compare_exchange>>("patomicCompareExchange",
                                                                 "patomic_compare_exchange"),
        define<load<emmap_patomic_load>>("patomicLoad", "patomic_load"),
        define<patomic_store>("patomicStore", "patomic_store"),
        define<arithmetic<emmap_counter_add>>("counterAdd", "counter_add"),
        define<arithmetic<emmap_counter_sub>>("counterSub", "counter_sub"),
        define<arithmetic<emmap_counter_set>>("counterSet", "counter_set"),
        define<load<emmap_counter_get>>("counterGet", "counter_get"),
        define<compare_exchange<emmap_counter_compare_exchange>>("counterCompareExchange",
                                                                 "counter_compare_exchange"),
    };
    add_queue_operations(operations);
    add_blocks_operations(operations);
    add_wait_operations(operations);
    napi_define_properties(env, exports, operations.size(), operations.data());
}
