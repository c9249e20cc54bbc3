#include <node_api.h>

#include "lock_wait.h"
#include "operations.h"

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
