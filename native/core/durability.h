/* What a structure needs to keep messages and blocks through a power cut; docs/durability.md says when. */
#ifndef EMMAP_CORE_DURABILITY_H
#define EMMAP_CORE_DURABILITY_H

#include "file.h"

/* When it returns EMMAP_OK, everything that was written to the mapping before, and the file's size, is on disk.
 * Errors: what msync and fdatasync say, and once a sync of this file has failed, that. */
emmap_error durability_sync(emmap_file *file, descriptor *descriptor, emmap_mapping *mapping);

#endif
