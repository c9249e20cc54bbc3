// Opening and closing files.
#include <algorithm>
#include <cerrno>
#include <climits>

#include "lock_wait.h"
#include "operations.h"

namespace
{

// [name, value | null, …]
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

// A file that nobody closes is closed when it is collected, but descriptors run out long before memory does. So an open
// file counts as this much memory with V8, which then collects after some hundreds of files.
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
    if (file->numbers_array)
        napi_delete_reference(env, file->numbers_array);
    delete file;
}

struct Opening {
    std::string path;
    emmap_options options;
    uint64_t numbers[3]; // those that only this kind of file takes
};

using Opener = emmap_error (*)(const Opening &opening, emmap_file **file);

emmap_error open_file(const Opening &opening, emmap_file **file)
{
    return emmap_open(opening.path.c_str(), &opening.options, file);
}

emmap_error open_counters(const Opening &opening, emmap_file **file)
{
    return emmap_counters_open(opening.path.c_str(), opening.numbers[0], &opening.options, file);
}

emmap_error open_queue(const Opening &opening, emmap_file **file)
{
    return emmap_queue_open(opening.path.c_str(), &opening.options, file);
}

emmap_error open_blocks(const Opening &opening, emmap_file **file)
{
    // A number that no unsigned holds becomes one that the core refuses.
    const unsigned levels = static_cast<unsigned>(std::min<uint64_t>(opening.numbers[1], UINT_MAX));
    return emmap_blocks_open(opening.path.c_str(), opening.numbers[0], levels, &opening.options, file);
}

emmap_error open_cell(const Opening &opening, emmap_file **file)
{
    return emmap_cell_open(opening.path.c_str(), opening.numbers[0], &opening.options, file);
}

emmap_error open_table(const Opening &opening, emmap_file **file)
{
    const emmap_table_metadata shape{opening.numbers[0], opening.numbers[1], opening.numbers[2]};
    return emmap_table_open(opening.path.c_str(), &shape, &opening.options, file);
}

// Repeats an open that found a lock taken, as retry does.
emmap_error open_with_retries(napi_env env, Opener opener, const Opening &opening, emmap_file **file)
{
    const emmap_options &options = opening.options;
    emmap_error error = opener(opening, file);
    if (error != ETIMEDOUT)
        return error;
    const Deadline deadline(options.has_lock_timeout ? options.lock_timeout : EMMAP_LOCK_TIMEOUT);
    while (error == ETIMEDOUT && !deadline.is_over() && is_alive(env))
        error = opener(opening, file);
    return error;
}

// (path, options, first?, second?, third?) → the file
template <Opener opener> napi_value open(napi_env env, napi_callback_info info)
{
    size_t count = 5;
    napi_value arguments[5] = {};
    napi_value self = nullptr;
    void *name = nullptr;
    napi_get_cb_info(env, info, &count, arguments, &self, &name);
    Opening opening{to_string(env, arguments[0]), {}, {}};
    for (size_t i = 2; i < count; i++)
        opening.numbers[i - 2] = to_uint64(env, arguments[i]);
    emmap_file *core = nullptr;
    emmap_error error = read_options(env, arguments[1], &opening.options);
    if (!error)
        error = open_with_retries(env, opener, opening, &core);
    if (error)
        return throw_error(env, self, last_failure(static_cast<const char *>(name), error),
                           opening.path.c_str());
    File *const file = new File{opening.path, Handle(core, emmap_free)};
    napi_value result = nullptr;
    if (napi_create_external(env, file, collected, nullptr, &result) == napi_ok)
        count_open_file(env, OPEN_FILE_COUNTS_AS);
    else
        delete file;
    return result;
}

napi_value close(const Call &call)
{
    const emmap_error error = emmap_close(call.core());
    if (call.file->handle)
        count_open_file(call.env, -OPEN_FILE_COUNTS_AS);
    call.file->handle.reset();
    return call.answer(error);
}

template <Opener opener> napi_property_descriptor define_open(const char *name)
{
    return define(name, open<opener>, name);
}

} // namespace

void add_open_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define_open<open_file>("open"),
                                      define_open<open_counters>("counters_open"),
                                      define_open<open_queue>("queue_open"),
                                      define_open<open_blocks>("blocks_open"),
                                      define_open<open_cell>("cell_open"),
                                      define_open<open_table>("table_open"),
                                      define<close>("close"),
                                  });
}
