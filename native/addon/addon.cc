#include <node_api.h>

#include "buffer.h"
#include "failure.h"
#include "file.h"
#include "values.h"
#include "waiting.h"

static void export_function(napi_env env, napi_value exports, const char *name, napi_callback callback)
{
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
}

NAPI_MODULE_INIT()
{
    // src/load.ts asks for it: an addon that was copied beside a bundle may be of another release than the bundle.
    napi_set_named_property(env, exports, "version", make_string(env, EMMAP_PACKAGE_VERSION));
    emmap_lock_limit(SLICE);
    define_operations(env, exports);
    export_function(env, exports, "revoke", revoke);
    export_function(env, exports, "moved", moved);
    return exports;
}
