#ifndef EMMAP_CORE_CURSOR_H
#define EMMAP_CORE_CURSOR_H

#include "emmap.h"

/* Where the cursor is; any thread may ask. */
uint64_t emi_cursor_get(const emmap_file *file);

#endif
