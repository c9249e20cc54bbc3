/* The operations on block storages that have a shape of their own. */
#ifndef EMMAP_PORT_BLOCKS_H
#define EMMAP_PORT_BLOCKS_H

#include "call.h"

perform_function_t perform_blocks_open;
perform_function_t perform_blocks_init;
perform_function_t perform_block_store;
perform_function_t perform_block_store_many;
perform_function_t perform_block_read;
perform_function_t perform_block_free_many;
perform_function_t perform_blocks_walk;
perform_function_t perform_blocks_info;
perform_function_t perform_blocks_repair;

#endif
