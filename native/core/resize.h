/* Replacing what a file maps. */
#ifndef EMMAP_CORE_RESIZE_H
#define EMMAP_CORE_RESIZE_H

#include "file.h"

/* Makes `other`'s file `file`'s, with all of it mapped, and the other way round. With `threads` held where they hold a
 * structure. Slices keep the mapping that they are of. Errors: EMMAP_CLOSED; what mmap says. */
emmap_error emi_resize_go_over(emmap_file *file, emmap_file *other);

#endif
