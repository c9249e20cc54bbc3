/* A cell in an open file. */
#ifndef EMMAP_CORE_CELL_H
#define EMMAP_CORE_CELL_H

#include "cell_layout.h"
#include "operation.h"

typedef struct cell {
    container_t base;
    uint64_t max_bytes; /* from when the file became a cell; never changes */
} cell_t;

/* Why these first bytes of a file of this size are no cell's, and at which offset; NULL: they are a cell's. */
const char *emi_cell_header_wrong(const cell_header_t *header, uint64_t size, uint64_t *offset);

/* Checks without the lock that the last value is whole. Errors: EMMAP_CORRUPT; as emmap_cell_get. */
emmap_error emi_cell_check(emmap_file *file);

/* Finds the version of the last whole value; 0: none. Under the lock. Errors: ENOMEM. */
emmap_error emi_cell_last_whole(emmap_mapping *mapping, uint64_t max_bytes, uint64_t *version);

#endif
