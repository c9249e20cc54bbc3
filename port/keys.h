/* The operations of a table that have a shape of their own. */
#ifndef EMMAP_PORT_KEYS_H
#define EMMAP_PORT_KEYS_H

#include "call.h"

perform_function_t perform_table_open;
perform_function_t perform_table_info;
perform_function_t perform_table_add;
perform_function_t perform_table_set;
perform_function_t perform_table_get;
perform_function_t perform_table_compare_exchange;
perform_function_t perform_table_delete;
perform_function_t perform_table_hit;
perform_function_t perform_table_walk;

#endif
