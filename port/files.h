/* The operations on files that have a shape of their own. */
#ifndef EMMAP_PORT_FILES_H
#define EMMAP_PORT_FILES_H

#include "call.h"

perform_function_t perform_open;
perform_function_t perform_counters_open;
perform_function_t perform_close;
perform_function_t perform_pread;
perform_function_t perform_read;
perform_function_t perform_read_line;
perform_function_t perform_pwrite;
perform_function_t perform_write;
perform_function_t perform_position;
perform_function_t perform_resize;
perform_function_t perform_truncate;
perform_function_t perform_allocate;
perform_function_t perform_advise;
perform_function_t perform_backup;
perform_function_t perform_writers;

#endif
