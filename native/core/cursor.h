#ifndef EMMAP_CORE_CURSOR_H
#define EMMAP_CORE_CURSOR_H

#include "emmap.h"

/* The cursor. Any thread may ask. */
uint64_t emi_cursor_get(const emmap_file *file);

#endif
