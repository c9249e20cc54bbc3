/* Block storages. */
#ifndef EMMAP_NIF_BLOCKS_H
#define EMMAP_NIF_BLOCKS_H

#include "nif_call.h"

nif_function nif_blocks_open, nif_blocks_init, nif_blocks_count, nif_blocks_info, nif_blocks_repair;
nif_function nif_blocks_compact;
nif_function nif_block_store, nif_block_store_many, nif_block_read, nif_block_free, nif_block_free_many;
nif_function nif_blocks_walk;

#endif
