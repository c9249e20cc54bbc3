// The addon's functions. Those on an open file have the core's names, take the file as their first argument, and are
// made from native/include/emmap_operations.h: operations.cc has a function for each shape of that table, the other
// files one for each operation that is OWN, READ or APART there. src/addon.ts lists all of them with their types.
//
// src/ has checked the types of the arguments: 64-bit numbers are bigints from -2^63 to 2^64-1, bytes are a Uint8Array.
// The core judges their values.
#ifndef EMMAP_ADDON_OPERATIONS_H
#define EMMAP_ADDON_OPERATIONS_H

#include "call.h"

void add_shaped_operations(Exports &exports);
void add_open_operations(Exports &exports);
void add_file_operations(Exports &exports);
void add_queue_operations(Exports &exports);
void add_blocks_operations(Exports &exports);
void add_cell_operations(Exports &exports);
void add_table_operations(Exports &exports);
void add_inspect_operations(Exports &exports);
void add_wait_operations(Exports &exports);

#endif
