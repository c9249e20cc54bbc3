/* The operations of a cell that have a shape of their own. */
#ifndef EMMAP_PORT_CELL_H
#define EMMAP_PORT_CELL_H

#include "call.h"

perform_function_t perform_cell_open;
perform_function_t perform_cell_publish;
perform_function_t perform_cell_get;

#endif
