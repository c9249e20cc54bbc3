#include "file.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "failure.h"
#include "sync.h"

namespace
{

uint64_t as_uint64(const Napi::Value &value)
{
    bool lossless;
    return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

int64_t as_int64(const Napi::Value &value)
{
    bool lossless;
    return value.As<Napi::BigInt>().Int64Value(&lossless);
}

iovec as_vector(const Napi::Value &value)
{
    const Napi::Uint8Array bytes = value.As<Napi::Uint8Array>();
    return {const_cast<uint8_t *>(bytes.Data()), bytes.ByteLength()};
}

Napi::Value number(Napi::Env env, uint64_t value)
{
    return Napi::Number::New(env, static_cast<double>(value));
}

// Where the core puts what it read: malloc, because it calls with its locks held, when V8 must not be entered.
struct Bytes {
    void *data = nullptr;
    size_t length = 0;

    emmap_sink sink()
    {
        return {allocate, this};
    }

    static void *allocate(void *context, size_t length)
    {
        Bytes *const self = static_cast<Bytes *>(context);
        self->length = length;
        self->data = std::malloc(length ? length : 1);
        return self->data;
    }

    // A Buffer that owns the bytes, or a copy where the runtime has none over foreign memory.
    Napi::Value to_buffer(Napi::Env env)
    {
        void *const owned = data;
        data = nullptr;
        if (!owned || length == 0) {
            std::free(owned);
            return Napi::Buffer<uint8_t>::New(env, 0);
        }
        return Napi::Buffer<uint8_t>::NewOrCopy(env, static_cast<uint8_t *>(owned), length,
                                                [](Napi::Env, uint8_t *bytes) { std::free(bytes); });
    }

    ~Bytes()
    {
        std::free(data);
    }
};

const char *operation_of(const Napi::CallbackInfo &info)
{
    return static_cast<const char *>(info.Data());
}

// JavaScript has no read-only buffers, and a store to a read-only page would end the process. So the pages that
// a buffer shows of a read-only file (which src/ maps private) are copied when somebody writes to them.
bool copy_on_write(const emmap_slice &slice)
{
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = reinterpret_cast<uintptr_t>(slice.data) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(slice.data) + static_cast<uintptr_t>(slice.length);
    return mprotect(reinterpret_cast<void *>(begin), end - begin, PROT_READ | PROT_WRITE) == 0;
}

} // namespace

File::File(const Napi::CallbackInfo &info) : Napi::ObjectWrap<File>(info)
{
    const std::string path = info[0].As<Napi::String>();
    const Napi::Array given = info[1].As<Napi::Array>();
    const bool counters = info.Length() > 2;
    const char *const operation = counters ? "counters_open" : "open";
    emmap_options options{};
    for (uint32_t i = 0; i + 1 < given.Length(); i += 2) {
        const std::string name = given.Get(i).As<Napi::String>();
        const Napi::Value number = given.Get(i + 1);
        const uint64_t value = number.IsNull() ? 0 : as_uint64(number);
        if (const emmap_error error =
                emmap_option_set(&options, name.c_str(), number.IsNull() ? nullptr : &value)) {
            throw_error(info.Env(), last_failure(operation, error), path.c_str());
            return;
        }
    }
    emmap_file *file;
    const emmap_error error = counters
                                  ? emmap_counters_open(path.c_str(), as_uint64(info[2]), &options, &file)
                                  : emmap_open(path.c_str(), &options, &file);
    if (error)
        throw_error(info.Env(), last_failure(operation, error), path.c_str());
    else
        handle = Handle(file, emmap_free);
}

Napi::Value File::fail(Napi::Env env, const char *operation, emmap_error error)
{
    const Failure failure = last_failure(operation, error);
    emmap_info about;
    emmap_describe(handle.get(), &about);
    return throw_error(env, failure, about.path);
}

Napi::Value File::answer(const Napi::CallbackInfo &info, emmap_error error, Napi::Value value)
{
    return error ? fail(info.Env(), operation_of(info), error) : value;
}

Napi::Value File::describe(const Napi::CallbackInfo &info)
{
    const Napi::Env env = info.Env();
    emmap_info about;
    emmap_describe(handle.get(), &about);
    const Napi::Object result = Napi::Object::New(env);
    result.Set("path", about.path);
    result.Set("existed", about.existed);
    result.Set("writable", (about.flags & EMMAP_OPEN_WRITE) != 0);
    result.Set("offset", number(env, about.offset));
    result.Set("size", number(env, about.size));
    result.Set("counters", number(env, emmap_counters_length(handle.get())));
    return result;
}

Napi::Value File::control(const Napi::CallbackInfo &info)
{
    return buffer_over_control(info.Env(), handle);
}

// lend(position, length, shown)
Napi::Value File::lend(const Napi::CallbackInfo &info)
{
    const bool shown = info[2].As<Napi::Boolean>();
    emmap_slice slice;
    const emmap_error error =
        emmap_pread_direct(handle.get(), as_uint64(info[0]), as_uint64(info[1]), &slice);
    if (error)
        return fail(info.Env(), operation_of(info), error);
    emmap_info about;
    emmap_describe(handle.get(), &about);
    if (shown && !(about.flags & EMMAP_OPEN_WRITE) && !copy_on_write(slice)) {
        const int cause = errno;
        emmap_slice_release(&slice);
        const emmap_failure failure{static_cast<emmap_error>(cause), "mprotect",
                                    "a buffer over a read-only file needs a mapping that is private", 0};
        return throw_error(info.Env(), Failure{operation_of(info), failure}, about.path);
    }
    return buffer_over_slice(info.Env(), slice, shown);
}

Napi::Value File::pread(const Napi::CallbackInfo &info)
{
    Bytes bytes;
    const emmap_sink sink = bytes.sink();
    const emmap_error error = emmap_pread(handle.get(), as_uint64(info[0]), as_uint64(info[1]), &sink);
    if (error == EMMAP_EOF)
        return info.Env().Null();
    return error ? fail(info.Env(), operation_of(info), error) : bytes.to_buffer(info.Env());
}

Napi::Value File::read(const Napi::CallbackInfo &info)
{
    Bytes bytes;
    const emmap_sink sink = bytes.sink();
    const emmap_error error = emmap_read(handle.get(), as_uint64(info[0]), &sink);
    if (error == EMMAP_EOF)
        return info.Env().Null();
    return error ? fail(info.Env(), operation_of(info), error) : bytes.to_buffer(info.Env());
}

Napi::Value File::read_line(const Napi::CallbackInfo &info)
{
    Bytes bytes;
    const emmap_sink sink = bytes.sink();
    const emmap_error error = emmap_read_line(handle.get(), &sink);
    if (error == EMMAP_EOF)
        return info.Env().Null();
    return error ? fail(info.Env(), operation_of(info), error) : bytes.to_buffer(info.Env());
}

Napi::Value File::pwrite(const Napi::CallbackInfo &info)
{
    const iovec vector = as_vector(info[1]);
    return answer(info, emmap_pwrite(handle.get(), as_uint64(info[0]), &vector, 1), info.Env().Undefined());
}

Napi::Value File::write(const Napi::CallbackInfo &info)
{
    const iovec vector = as_vector(info[0]);
    return answer(info, emmap_write(handle.get(), &vector, 1), info.Env().Undefined());
}

Napi::Value File::position(const Napi::CallbackInfo &info)
{
    const emmap_whence whence = static_cast<emmap_whence>(info[1].As<Napi::Number>().Int32Value());
    uint64_t position = 0;
    const emmap_error error = emmap_position(handle.get(), as_int64(info[0]), whence, &position);
    return answer(info, error, number(info.Env(), position));
}

Napi::Value File::resize(const Napi::CallbackInfo &info)
{
    uint64_t size = 0;
    const emmap_error error = emmap_resize(handle.get(), as_uint64(info[0]), &size);
    return answer(info, error, number(info.Env(), size));
}

Napi::Value File::allocate(const Napi::CallbackInfo &info)
{
    return answer(info, emmap_allocate(handle.get(), as_uint64(info[0]), as_uint64(info[1])),
                  info.Env().Undefined());
}

Napi::Value File::advise(const Napi::CallbackInfo &info)
{
    const emmap_advice advice = static_cast<emmap_advice>(info[2].As<Napi::Number>().Int32Value());
    return answer(info, emmap_advise(handle.get(), as_uint64(info[0]), as_uint64(info[1]), advice),
                  info.Env().Undefined());
}

Napi::Value File::patomic_store(const Napi::CallbackInfo &info)
{
    return answer(info, emmap_patomic_store(handle.get(), as_uint64(info[0]), as_int64(info[1])),
                  info.Env().Undefined());
}

template <File::Simple operation> Napi::Value File::simple(const Napi::CallbackInfo &info)
{
    return answer(info, operation(handle.get()), info.Env().Undefined());
}

template <File::Simple operation> Napi::Value File::in_background(const Napi::CallbackInfo &info)
{
    return sync_in_background(info.Env(), handle, operation, operation_of(info));
}

template <File::Sized operation> Napi::Value File::sized(const Napi::CallbackInfo &info)
{
    uint64_t size = 0;
    const emmap_error error = operation(handle.get(), &size);
    return answer(info, error, number(info.Env(), size));
}

template <File::Arithmetic operation> Napi::Value File::arithmetic(const Napi::CallbackInfo &info)
{
    int64_t old = 0;
    const emmap_error error = operation(handle.get(), as_uint64(info[0]), as_int64(info[1]), &old);
    return answer(info, error, Napi::BigInt::New(info.Env(), old));
}

template <File::CompareExchange operation> Napi::Value File::compare_exchange(const Napi::CallbackInfo &info)
{
    int64_t old = 0;
    const emmap_error error =
        operation(handle.get(), as_uint64(info[0]), as_int64(info[1]), as_int64(info[2]), &old);
    return answer(info, error, Napi::BigInt::New(info.Env(), old));
}

template <File::Load operation> Napi::Value File::load(const Napi::CallbackInfo &info)
{
    int64_t value = 0;
    const emmap_error error = operation(handle.get(), as_uint64(info[0]), &value);
    return answer(info, error, Napi::BigInt::New(info.Env(), value));
}

// The core's name of the operation is what its errors call it.
#define METHOD(name, operation, method)                                                                      \
    InstanceMethod<&File::method>(name, napi_default, const_cast<char *>(operation))

Napi::Function File::define(Napi::Env env)
{
    return DefineClass(env, "File",
                       {
                           METHOD("describe", "describe", describe),
                           METHOD("control", "file_control", control),
                           METHOD("lend", "pread_direct", lend),
                           METHOD("close", "close", simple<emmap_close>),
                           METHOD("size", "size", sized<emmap_size>),
                           METHOD("pread", "pread", pread),
                           METHOD("read", "read", read),
                           METHOD("readLine", "read_line", read_line),
                           METHOD("pwrite", "pwrite", pwrite),
                           METHOD("write", "write", write),
                           METHOD("position", "position", position),
                           METHOD("resize", "resize", resize),
                           METHOD("follow", "follow", sized<emmap_follow>),
                           METHOD("truncate", "truncate", simple<emmap_truncate>),
                           METHOD("allocate", "allocate", allocate),
                           METHOD("advise", "advise", advise),
                           METHOD("flush", "flush", simple<emmap_flush>),
                           METHOD("sync", "sync", in_background<emmap_sync>),
                           METHOD("datasync", "datasync", in_background<emmap_datasync>),
                           METHOD("patomicAdd", "patomic_add", arithmetic<emmap_patomic_add>),
                           METHOD("patomicSub", "patomic_sub", arithmetic<emmap_patomic_sub>),
                           METHOD("patomicAnd", "patomic_and", arithmetic<emmap_patomic_and>),
                           METHOD("patomicOr", "patomic_or", arithmetic<emmap_patomic_or>),
                           METHOD("patomicXor", "patomic_xor", arithmetic<emmap_patomic_xor>),
                           METHOD("patomicExchange", "patomic_exchange", arithmetic<emmap_patomic_exchange>),
                           METHOD("patomicCompareExchange", "patomic_compare_exchange",
                                  compare_exchange<emmap_patomic_compare_exchange>),
                           METHOD("patomicLoad", "patomic_load", load<emmap_patomic_load>),
                           METHOD("patomicStore", "patomic_store", patomic_store),
                           METHOD("counterAdd", "counter_add", arithmetic<emmap_counter_add>),
                           METHOD("counterSub", "counter_sub", arithmetic<emmap_counter_sub>),
                           METHOD("counterSet", "counter_set", arithmetic<emmap_counter_set>),
                           METHOD("counterGet", "counter_get", load<emmap_counter_get>),
                           METHOD("counterCompareExchange", "counter_compare_exchange",
                                  compare_exchange<emmap_counter_compare_exchange>),
                       });
}
