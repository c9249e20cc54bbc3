// The JavaScript class File: one method for each operation of the core, under the core's name.
#ifndef EMMAP_ADDON_FILE_H
#define EMMAP_ADDON_FILE_H

#include <node_api.h>

// new File(operation, path, [name, value | null, …], first?, second?): the operation is the core's name of one that
// opens a file ("open", "counters_open", "queue_open", "blocks_open"), the last arguments are its own numbers.
//
// Arguments come from src/, which has checked their types: 64-bit numbers are bigints from -2^63 to 2^64-1, bytes
// are a Uint8Array. Whether they mean anything is for the core to say.
napi_value define_file(napi_env env);

#endif
