/* The operations by name. */
#ifndef EMMAP_PORT_TABLE_H
#define EMMAP_PORT_TABLE_H

#include "shapes.h"

extern const size_t table_length;

/* From 0 to table_length - 1. */
const char *table_name(size_t index);

/* NULL: there is no operation with this name and number of arguments. */
const operation_t *table_find(const uint8_t *name, size_t length, uint64_t arity);

#endif
