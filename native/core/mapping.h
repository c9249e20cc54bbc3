/* One mmap region. The last reference unmaps it. */
#ifndef EMMAP_CORE_MAPPING_H
#define EMMAP_CORE_MAPPING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"
#include "fault.h"
#include "file.h"

struct emmap_mapping {
    uint8_t *data; /* position 0 */
    uint64_t size; /* bytes of the file from there on */
    void *base;    /* what mmap returned, at or before data */
    size_t length; /* the length given to mmap */
    atomic_uint references;
    fault_region_t *region;
    emmap_mapping *next, *previous; /* the list of all mappings */
    emmap_file *file;               /* with a reference; for its status word, loans and path */
};

/* Maps `size` bytes of `fd` according to the file's options, with one reference. `at` is a hint; with
 * EMMAP_OPEN_FIXED it is the address. Errors: those of mmap; EEXIST; ENOTSUP; ENOMEM. */
emmap_error emi_mapping_create(emmap_file *file, int fd, uint64_t size, uint64_t at, emmap_mapping **result);

/* Checks whether the file could be mapped with these options if it were `size` bytes long. Errors: as
 * emi_mapping_create. */
emmap_error emi_mapping_try(int fd, const emmap_options *options, uint64_t size);

void emi_mapping_retain(emmap_mapping *self);
void emi_mapping_release(emmap_mapping *self);

/* The file's current mapping, with a reference for the caller. Errors: EMMAP_CLOSED, EFAULT. */
emmap_error emi_mapping_of(emmap_file *file, emmap_mapping **result);

/* The first mapping of the process; each has the next one. Until emi_mapping_list_end no mapping comes or
 * goes, and nobody forks. Not to be called under a pin. */
emmap_mapping *emi_mapping_list_begin(void);
void emi_mapping_list_end(void);

/* Whether this is a mapping of the same file on disk. */
static inline bool mapping_is_of(const emmap_mapping *self, const emmap_file *file)
{
    return self->file->inode == file->inode && self->file->device == file->device;
}

#endif
