#include <node_api.h>

#include "lock_wait.h"
#include "operations.h"

napi_value invoke(napi_env env, napi_callback_info info)
{
    napi_value arguments[5];
    size_t count = sizeof arguments / sizeof *arguments;
    napi_value self;
    void *defined;
    void *data;
    napi_get_cb_info(env, info, &count, arguments, &self, &defined);
    if (napi_get_value_external(env, arguments[0], &data) != napi_ok)
        return nullptr;
    const Definition *const definition = static_cast<const Definition *>(defined);
    File *const file = static_cast<File *>(data);
    bool is_busy = false;
    const Call call{env,           file, definition->shown.load(std::memory_order_relaxed),
                    arguments + 1, self, &is_busy};
    if (file->handle) {
        const napi_value result = definition->operation(call);
        return is_busy ? retry(call, definition->operation) : result;
    }
    const emmap_failure closed{EMMAP_CLOSED, nullptr, nullptr, 0, 0, 0, EMMAP_ABOUT_FILE};
    return throw_error(env, self, Failure{call.operation, closed}, file->path.c_str());
}

NAPI_MODULE_INIT()
{
    emmap_lock_limit(LOCK_WAIT);
    // src/load.ts checks it: an addon that was copied beside a bundle may be of another release than the bundle.
    napi_set_named_property(env, exports, "version", make_string(env, EMMAP_PACKAGE_VERSION));
    Exports functions;
    add_shaped_operations(functions);
    add_open_operations(functions);
    add_file_operations(functions);
    add_queue_operations(functions);
    add_blocks_operations(functions);
    add_cell_operations(functions);
    add_table_operations(functions);
    add_inspect_operations(functions);
    add_wait_operations(functions);
    napi_define_properties(env, exports, functions.size(), functions.data());
    return exports;
}
