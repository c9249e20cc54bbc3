/* The operations on files that have a shape of their own. */
#ifndef EMMAP_PORT_FILES_H
#define EMMAP_PORT_FILES_H

#include "call.h"

perform_function perform_open;
perform_function perform_counters_open;
perform_function perform_close;
perform_function perform_pread;
perform_function perform_read;
perform_function perform_read_line;
perform_function perform_pwrite;
perform_function perform_write;
perform_function perform_position;
perform_function perform_resize;
perform_function perform_truncate;
perform_function perform_allocate;
perform_function perform_advise;
perform_function perform_backup;
perform_function perform_writers;

#endif
