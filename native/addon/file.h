// The JavaScript class File: one method for each operation of the core, under the core's name.
#ifndef EMMAP_ADDON_FILE_H
#define EMMAP_ADDON_FILE_H

#include <node_api.h>

// new File(path, [name, value | null, …], counters?): emmap_counters_open if there is a third argument.
//
// Arguments come from src/, which has checked their types: 64-bit numbers are bigints from -2^63 to 2^64-1, bytes
// are a Uint8Array. Whether they mean anything is for the core to say.
napi_value define_file(napi_env env);

#endif
