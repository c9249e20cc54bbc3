/* A cell in an open file. */
#ifndef EMMAP_CORE_CELL_H
#define EMMAP_CORE_CELL_H

#include "cell_layout.h"
#include "operation.h"

typedef struct cell {
    container_t base;
    uint64_t max_bytes; /* from when the file became a cell; never changes */
} cell_t;

/* Finds the version of the last whole value; 0: none. Under the lock. Errors: ENOMEM. */
emmap_error emi_cell_last_whole(emmap_mapping *mapping, uint64_t max_bytes, uint64_t *version);

#endif
