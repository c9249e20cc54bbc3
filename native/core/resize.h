/* Replacing a file's mapping. */
#ifndef EMMAP_CORE_RESIZE_H
#define EMMAP_CORE_RESIZE_H

#include "file.h"

/* Exchanges the files of two handles, and maps all of the new one. If they hold a container, the caller holds
 * its `threads`. Slices keep the old mapping. Errors: EMMAP_CLOSED; those of mmap. */
emmap_error emi_resize_go_over(emmap_file *file, emmap_file *other);

#endif
