/* Looking at a file from outside. */
#ifndef EMMAP_PORT_INSPECT_H
#define EMMAP_PORT_INSPECT_H

#include "call.h"

perform_function_t perform_inspect;

#endif
