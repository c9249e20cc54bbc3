// The functions of the addon: one for each operation of the core, under the core's name, with the file first.
#ifndef EMMAP_ADDON_FILE_H
#define EMMAP_ADDON_FILE_H

#include <node_api.h>

// open(operation, path, [name, value | null, …], first?, second?): the operation is the core's name of one that
// opens a file ("open", "counters_open", "queue_open", "blocks_open"), the last arguments are its own numbers.
//
// Arguments come from src/, which has checked their types: 64-bit numbers are bigints from -2^63 to 2^64-1, bytes
// are a Uint8Array. Whether they mean anything is for the core to say.
void define_operations(napi_env env, napi_value exports);

#endif
